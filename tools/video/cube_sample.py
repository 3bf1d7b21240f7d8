"""Which cubes of normal clips are learned from, and which are held out to say how well normal cubes are rebuilt.

Of five or more clips each fifth is held out. Of fewer, each clip is cut into stretches of time and each fifth stretch is held out, and
the frames next to it are not learned from. What is kept of a long clip is a fair sample, so memory does not grow with its length.
"""

from __future__ import annotations

import heapq
from typing import Generic, Literal, TypeAlias, TypeVar

import numpy as np

T = TypeVar("T")
Use: TypeAlias = Literal["learn", "hold out", "neither"]

FOLDS = 5
"""Each fifth clip or stretch is held out."""
LONGEST_S = 12.0
"""Longest stretch in seconds."""


class FairSample(Generic[T]):
    """Keeps items of different sizes, at most `capacity` in all: each item draws a lot, and the lowest lots stay.

    >>> kept = FairSample[str](capacity=10, seed=0)
    >>> for number in range(100):
    ...     kept.add(f"item {number}", size=3)
    >>> len(kept.items()), len(FairSample[str](capacity=10, seed=0).items())
    (3, 0)
    """

    def __init__(self, *, capacity: int, seed: int) -> None:
        self.capacity = capacity
        self._rng = np.random.default_rng(seed)
        self._heap: list[tuple[float, int, int, T]] = []
        self._total = self._seen = 0

    def add(self, item: T, *, size: int) -> None:
        """Offer an item; the single item with the lowest lot stays, however large it is."""
        heapq.heappush(self._heap, (-float(self._rng.random()), self._seen, size, item))
        self._seen += 1
        self._total += size
        while self._total > self.capacity and len(self._heap) > 1:
            self._total -= heapq.heappop(self._heap)[2]

    def items(self) -> list[T]:
        """What was kept, in the order in which it came."""
        return [item for _, _, _, item in sorted(self._heap, key=lambda entry: entry[1])]


def use_of(time_s: float, *, clip: int, clips: int, duration_s: float, margin_s: float) -> Use:
    """What a frame of normal clip number `clip` is for; `margin_s` next to a stretch that is held out is for neither.

    >>> [use_of(t, clip=0, clips=2, duration_s=10.0, margin_s=0.3) for t in (1.0, 3.8, 4.0, 5.9, 6.2, 9.0)]
    ['learn', 'neither', 'hold out', 'hold out', 'neither', 'learn']
    >>> [use_of(1.0, clip=number, clips=6, duration_s=10.0, margin_s=0.3) for number in (0, 2, 5)]
    ['learn', 'hold out', 'learn']
    """
    if clips >= FOLDS:
        return "hold out" if clip % FOLDS == FOLDS // 2 else "learn"
    stretch_s = duration_s / (FOLDS * max(1, np.ceil(duration_s / (FOLDS * LONGEST_S))))
    for near in (time_s, time_s - margin_s, time_s + margin_s):
        if 0 <= near < duration_s and int(near / stretch_s) % FOLDS == FOLDS // 2:
            return "hold out" if near == time_s else "neither"
    return "learn"
