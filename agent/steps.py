"""What a face hears of a turn while it runs, and whether anybody still waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from agent.reply import Progress, StepDone, StepStarted, TurnEvent
from core.errors import BudgetExceeded

Emit: TypeAlias = Callable[[TurnEvent], None]


class Steps:
    """The visible steps of one chat; `emit` receives them, `cancelled` is set when nobody waits any more.

    >>> steps, heard = Steps(), []
    >>> steps.emit = heard.append
    >>> with steps.step("read", "Reading") as step:
    ...     step["detail"] = "one file"
    >>> [type(event).__name__ for event in heard], heard[-1].detail
    (['StepStarted', 'StepDone'], 'one file')
    """

    def __init__(self) -> None:
        self.emit: Emit = lambda event: None
        self.cancelled = threading.Event()

    @contextmanager
    def step(self, key: str, title: str) -> Iterator[dict[str, Any]]:
        """A visible step; the block may set `detail` and `ok`."""
        outcome: dict[str, Any] = {"detail": "", "ok": True}
        self.emit(StepStarted(key=key, title=title))
        start = time.perf_counter()
        yield outcome
        seconds = time.perf_counter() - start
        self.emit(StepDone(key=key, title=title, seconds=round(seconds, 3), detail=outcome["detail"], ok=outcome["ok"]))

    def progress(self, key: str, what: str, done: int, total: int) -> None:
        """Pass progress on.

        Raises:
            BudgetExceeded: nobody waits for it any more.
        """
        self.heed(what, done, total)
        self.emit(Progress(key=key, what=what, done=done, total=total))

    def heed(self, what: str, done: int, total: int) -> None:
        """Nothing while somebody waits.

        Raises:
            BudgetExceeded: nobody does any more.
        """
        if self.cancelled.is_set():
            raise BudgetExceeded(f"stopped at {done} of {total or 'unknown'} {what}.")
