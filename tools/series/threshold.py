"""A threshold that keeps its promised rate of false alarms while a stream wanders: adaptive conformal inference.

After Gibbs & Candès, Adaptive Conformal Inference Under Distribution Shift (NeurIPS 2021): every alarm raises the threshold by
step·(1 − rate), every quiet step lowers it by step·rate, so the long-run share of alarms tends to `rate` whatever the scores do. Real
incidents are alarms too; so the threshold stays between `below` and `above` its start, lest a long incident deafen it. Scores and
thresholds are surprises (minus log10 of a tail probability), where the start needs no data: −log10 rate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput

STEP = 0.05
"""Surprise units: some twenty false alarms move the threshold tenfold."""
BELOW, ABOVE = 1.0, 2.0
"""How far it may go: a tenth of the rarity first asked for, and a hundred times it."""


class AdaptiveThreshold:
    """Alarms at a target rate on a stream of surprises.

    Raises:
        BadInput: a rate outside (0, 0.5].

    >>> rng = np.random.default_rng(0)
    >>> threshold = AdaptiveThreshold(rate=0.01)
    >>> later = threshold.update((rng.exponential(0.6, 200_000)).astype(np.float32))  # wavers more than normal data did: 0.43
    >>> bool(0.008 < later[100_000:].mean() < 0.012), threshold.value > 2.0
    (True, True)
    """

    def __init__(self, *, rate: float = 0.001, step: float = STEP) -> None:
        if not 0 < rate <= 0.5 or not 0 < step <= 1:
            raise BadInput(f"threshold: expected a rate in (0, 0.5] and a step in (0, 1], got {rate!r} and {step!r}.")
        self.rate, self.step = rate, step
        self._start = -float(np.log10(rate))
        self.value = self._start
        """The threshold for the next step."""

    def update(self, surprises: NDArray[np.float32], valid: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        """Which of the next surprises (n,) alarm; each is compared with the threshold that the ones before it made.

        Steps that are not `valid` (n,) neither alarm nor count.
        """
        alarms = np.zeros(len(surprises), bool)
        lowest, highest = max(0.0, self._start - BELOW), self._start + ABOVE
        up, down, value = self.step * (1.0 - self.rate), self.step * self.rate, self.value
        counted = [True] * len(surprises) if valid is None else valid.tolist()
        for i, (surprise, counts) in enumerate(zip(surprises.tolist(), counted, strict=True)):
            if not counts:
                continue
            if surprise > value:
                alarms[i] = True
                value = min(value + up, highest)
            else:
                value = max(value - down, lowest)
        self.value = value
        return alarms
