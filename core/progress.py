"""Progress and time budget, passed to detectors without widening their signatures.

A face (web page, command line, agent) opens a `watching(...)` block; a detector calls `step(...)` in its loops. Without
a watcher a step costs nothing. With a deadline a step raises BudgetExceeded, so long work ends at a clean boundary.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeAlias

from core.errors import BudgetExceeded

Sink: TypeAlias = Callable[[str, int, int], None]
"""(what, done, total): total 0 means unknown."""


@dataclass(frozen=True)
class _Watcher:
    sink: Sink | None
    deadline: float
    budget_s: float


_watcher: ContextVar[_Watcher | None] = ContextVar("telltale_watcher", default=None)


@contextmanager
def watching(sink: Sink | None = None, *, budget_s: float = float("inf")) -> Iterator[None]:
    """Receive progress of everything run inside the block, and stop it after `budget_s` seconds.

    >>> seen = []
    >>> with watching(lambda what, done, total: seen.append((what, done, total))):
    ...     step("frames", 1, 10)
    >>> seen
    [('frames', 1, 10)]
    """
    token = _watcher.set(_Watcher(sink, time.monotonic() + budget_s, budget_s))
    try:
        yield
    finally:
        _watcher.reset(token)


def step(what: str, done: int, total: int = 0) -> None:
    """Report that `done` of `total` units of `what` are finished.

    Raises:
        BudgetExceeded: the time budget of the surrounding `watching` block is used up.
    """
    watcher = _watcher.get()
    if watcher is None:
        return
    if time.monotonic() > watcher.deadline:
        raise BudgetExceeded(f"stopped after {watcher.budget_s:.0f} s at {done} of {total or 'unknown'} {what}.")
    if watcher.sink is not None:
        watcher.sink(what, done, total)
