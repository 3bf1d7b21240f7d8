"""From a member's raw scores to surprises that compare: minus the log10 of the share of normal steps that score as high.

A conformal rank (Vovk et al. 2005) against reference scores says how rare a score is whatever its unit, so members, series and
machines can be added and compared: 2 is met in one normal step of a hundred, 3 in one of a thousand. Beyond the reference's upper
tail an exponential of the mean excess there goes on (peaks over threshold; Pickands 1975, shape 0), so that stranger still ranks higher.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TAIL = 0.02
"""Share of the reference whose excess sets the slope beyond."""
KNOTS = 1_000
"""Points of the curve that are kept."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Surprise:
    """A rising curve through (`scores`, `surprises`), both (K,), that goes on with `slope` per unit of score."""

    scores: NDArray[np.float64]
    surprises: NDArray[np.float64]
    slope: float

    def __call__(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Surprises (T,), 0 or more, of raw scores (T,)."""
        values = scores.astype(np.float64)
        inside = np.interp(values, self.scores, self.surprises)
        return np.asarray(inside + np.maximum(values - self.scores[-1], 0.0) * self.slope, dtype=np.float32)


def learn_surprise(reference: NDArray[np.float32]) -> Surprise:
    """The curve for raw scores whose normal values are `reference` (N,), N ≥ 1.

    >>> curve = learn_surprise(np.random.default_rng(0).exponential(size=100_000).astype(np.float32))
    >>> curve(np.array([np.log(10), np.log(1000), 3 * np.log(1000)], np.float32)).round().tolist()
    [1.0, 3.0, 9.0]
    """
    ordered = np.sort(reference.astype(np.float64))
    count = len(ordered)
    start = float(np.quantile(ordered, 1.0 - TAIL))
    excess = float((ordered[ordered >= start] - start).mean())
    excess = max(excess, 1e-3 * float(np.ptp(ordered)), 1e-6 * max(1.0, abs(start)))
    body = ordered[ordered < start]
    places = np.unique(np.linspace(0, len(body) - 1, min(KNOTS, len(body))).astype(int))
    knots, _first = np.unique(body[places], return_index=True)
    above = count - np.searchsorted(ordered, knots, side="left")
    surprises = -np.log10(above / (count + 1.0))
    at_start = -np.log10((1.0 + int((ordered >= start).sum())) / (count + 1.0))
    return Surprise(
        scores=np.append(knots, start),
        surprises=np.maximum.accumulate(np.append(surprises, max(at_start, surprises[-1] if len(surprises) else 0.0))),
        slope=1.0 / (excess * float(np.log(10.0))),
    )
