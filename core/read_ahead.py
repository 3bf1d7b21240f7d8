"""Work of two kinds side by side: what is read for the next step is made ready while this step is worked on.

Decoding, resizing and optical flow let go of Python's lock, so that a thread that reads frames keeps a second core busy. Order and
values are those of the plain iterator, and memory stays flat: at most `most` things wait.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")
_END = object()


def read_ahead(source: Iterator[T], most: int) -> Iterator[T]:
    """The same things in the same order, up to `most` of them made ready in a thread. What `source` raises is raised here.

    Whoever stops early should close this generator (leaving it to be collected does): the thread then ends after the thing it is at,
    and closes `source` if that is a generator.

    >>> list(read_ahead(iter("abc"), 2))
    ['a', 'b', 'c']
    """
    ready: queue.Queue[object] = queue.Queue(maxsize=max(1, most))
    left = threading.Event()
    failed: list[BaseException] = []

    def put(thing: object) -> bool:
        while not left.is_set():
            with suppress(queue.Full):
                ready.put(thing, timeout=0.1)
                return True
        return False

    def work() -> None:
        try:
            for thing in source:
                if not put(thing):
                    break
        except BaseException as error:
            failed.append(error)
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()
            put(_END)

    worker = threading.Thread(target=work, name="read-ahead", daemon=True)
    worker.start()
    try:
        while (thing := ready.get()) is not _END:
            yield thing  # type: ignore[misc]
        if failed:
            raise failed[0]
    finally:
        left.set()
        worker.join()
