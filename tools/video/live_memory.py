"""What a stream showed lately: the units it is compared with, and what their numbers usually were. Both are bounded.

A moment of a stream without normal clips is compared with earlier moments only. The last `memory_s` seconds are kept as at most
`bank_units` units, evenly spread over time: all of them at first, and each time the room is used up every second one is let go and half as
many are taken from then on, until they span the whole memory. What a part usually measures is the median and the upper spread
(`tools.video.part_numbers`) of its own earlier numbers, each found the same way, from what came before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from core.calibrate import MIN_REFERENCES
from tools.video.frame_bank import PARTS, Bank
from tools.video.frame_features import Units
from tools.video.part_numbers import median_and_upper_spread

LEAST_NUMBERS = MIN_REFERENCES
"""Fewer earlier numbers say too little of what is usual."""
LATELY = 0.5
"""Numbers found when less than this share of the warm-up had been seen do not count: with little to compare with, all is strange."""


class Memory:
    """The memory of one scene.

    Args:
        unit_s: seconds per unit.
        memory_s: how far back it reaches.
        warm_up_s: seconds that are only learned from.
        bank_units: most units that are kept.
        exclusion_s: moments closer than this are no comparison.
    """

    def __init__(self, *, unit_s: float, memory_s: float, warm_up_s: float, bank_units: int, exclusion_s: float) -> None:
        self.unit_s, self.memory_s, self.warm_up_s = unit_s, memory_s, warm_up_s
        self.bank_units, self.exclusion_s = bank_units, exclusion_s
        self._units: deque[Units] = deque()
        self._every = 1
        self._widest = 1
        while self._widest * bank_units * unit_s < memory_s:
            self._widest *= 2
        self._last_s = self._first_s = self._kept_s = -float("inf")
        self._numbers: dict[str, deque[float]] = {part: deque(maxlen=max(1, ceil(memory_s / unit_s))) for part in PARTS}
        self._bank: Bank | None = None

    def __len__(self) -> int:
        """Units kept to compare with."""
        return len(self._units)

    @property
    def seen_s(self) -> float:
        """Seconds from the first unit to the last."""
        return self._last_s - self._first_s + self.unit_s if self._units else 0.0

    @property
    def ready(self) -> bool:
        """Whether enough was seen to say what is usual."""
        return self.seen_s >= self.warm_up_s - 1e-6 and len(self._numbers["appearance"]) >= LEAST_NUMBERS

    def bank(self, second: float) -> tuple[Bank, NDArray[np.bool_]] | None:
        """What the moment `second` may be compared with: a bank and which of its units (1, U); None: nothing yet.

        The bank is made anew no more often than every `exclusion_s`, since what came since then is no comparison anyway.
        """
        usable = [units for units in self._units if units.seconds[0] < second - self.exclusion_s]
        if not usable:
            return None
        if self._bank is None or usable[-1].seconds[0] >= self._bank.seconds[-1] + self.exclusion_s:
            self._bank = Bank.of([(0, units) for units in usable])
        return self._bank, (self._bank.seconds < second - self.exclusion_s)[None]

    def usual(self) -> dict[str, tuple[float, float]]:
        """Centre and spread of each part's earlier numbers."""
        return {part: median_and_upper_spread(np.asarray(kept, np.float32), part) for part, kept in self._numbers.items()}

    def add(self, units: Units, measured: Mapping[str, NDArray[np.float32]]) -> None:
        """Remember a single unit, and what was measured of it (nothing, when there was nothing to compare it with)."""
        second = float(units.seconds[0])
        if self.seen_s >= LATELY * self.warm_up_s:
            for part, values in measured.items():
                if np.isfinite(values[0]):
                    self._numbers[part].append(float(values[0]))
        if not self._units:
            self._first_s = second
        self._last_s = second
        if second - self._kept_s < (self._every - 0.5) * self.unit_s:
            return
        self._kept_s = second
        self._units.append(replace(units, appearance=units.appearance.half(), motion=units.motion.half()))
        if self._every < self._widest and len(self._units) > self.bank_units:
            self._units = deque(list(self._units)[::-1][::2][::-1])
            self._every *= 2
        while len(self._units) > min(self.bank_units, max(2, ceil(self.memory_s / (self._every * self.unit_s)))):
            self._units.popleft()

    def rest(self) -> None:
        """Let go of what can be made again, while another scene is shown."""
        self._bank = None
