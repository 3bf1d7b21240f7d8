"""Between a stream and what scores it: a short queue that lets the oldest unit go rather than grow.

A live stream does not wait. When scoring is slower than the stream, whole units are left out, so that what is told is never later than the
queue is long, and how many is counted, to be said. A recording that is played for trying can wait instead.
"""

from __future__ import annotations

from collections import deque
from threading import Condition
from time import monotonic

from core.errors import BadInput
from tools.video.frame_features import Stretch

MOST = 5
"""Units that wait: one second."""


class UnitQueue:
    """Hands stretches from the thread that reads to the one that scores.

    Args:
        most: units that may wait.
        patient: the reader waits for room; False: the oldest unit that waits is left out.

    >>> queue = UnitQueue(most=2)
    >>> for number in range(5):
    ...     queue.put(Stretch(number, ()))
    >>> queue.get().number, queue.get().number, queue.left_out
    (3, 4, 3)
    """

    def __init__(self, *, most: int = MOST, patient: bool = False) -> None:
        if most < 1:
            raise BadInput(f"unit queue: expected most ≥ 1, got {most!r}.")
        self.most, self.patient = most, patient
        self.left_out = 0
        """Units that were never scored."""
        self.taken = 0
        """Units that were handed on."""
        self._waiting: deque[Stretch] = deque()
        self._changed = Condition()
        self._closed = False
        self._trouble: BaseException | None = None

    def put(self, stretch: Stretch) -> None:
        """Queue a unit; on a closed queue it is dropped."""
        with self._changed:
            while self.patient and len(self._waiting) >= self.most and not self._closed:
                self._changed.wait()
            if self._closed:
                return
            if len(self._waiting) >= self.most:
                self._waiting.popleft()
                self.left_out += 1
            self._waiting.append(stretch)
            self._changed.notify_all()

    def get(self, timeout_s: float | None = None) -> Stretch | None:
        """The next unit; None when none came within `timeout_s`, or the queue is closed and empty.

        Raises:
            BaseException: what `close` was given, after the units before it.
        """
        until = None if timeout_s is None else monotonic() + timeout_s
        with self._changed:
            while not self._waiting and not self._closed:
                left = None if until is None else until - monotonic()
                if left is not None and left <= 0:
                    return None
                self._changed.wait(left)
            if self._waiting:
                self.taken += 1
                self._changed.notify_all()
                return self._waiting.popleft()
            if self._trouble is not None:
                trouble, self._trouble = self._trouble, None
                raise trouble
            return None

    def close(self, trouble: BaseException | None = None) -> None:
        """Say that no unit comes any more, and why."""
        with self._changed:
            self._closed, self._trouble = True, trouble if self._trouble is None else self._trouble
            self._changed.notify_all()

    @property
    def over(self) -> bool:
        """Whether the queue is closed and empty."""
        with self._changed:
            return self._closed and not self._waiting and self._trouble is None
