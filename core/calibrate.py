"""From raw scores to p-values and thresholds, with the origin of every threshold in words.

With normal references: the conformal rank (a p-value that holds for any score distribution; Vovk et al. 2005). Without:
self-calibration on the robust bulk of the same input, flagged `calibrated=False`, because the input may itself be odd.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_REFERENCES = 20
"""Below this many references a rank p-value cannot reach 0.05; the bulk's spread is used as well."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """A threshold, where it came from, and how to turn scores into p-values."""

    threshold: float
    origin: str
    calibrated: bool
    centre: float
    spread: float
    reference: NDArray[np.float64]

    def p_value(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """P(a normal score is at least this high), per element: conformal rank, or the bulk's normal tail when uncalibrated."""
        values = np.asarray(scores, dtype=np.float64)
        if self.calibrated and len(self.reference) >= MIN_REFERENCES:
            above = len(self.reference) - np.searchsorted(self.reference, values, side="left")
            return np.asarray((1.0 + above) / (len(self.reference) + 1.0))
        from scipy.stats import norm

        return np.asarray(norm.sf(self.excess(values)))

    def excess(self, scores: NDArray[np.float64] | NDArray[np.float32] | float) -> NDArray[np.float64]:
        """Distance above the normal centre in robust standard deviations."""
        return (np.asarray(scores, dtype=np.float64) - self.centre) / self.spread

    def ratio(self, score: float) -> float:
        """How far `score` lies above the normal centre, in units of the threshold's own distance: 1 at the threshold."""
        return (score - self.centre) / max(self.threshold - self.centre, 1e-12)


def robust_bulk(scores: NDArray[np.float32] | NDArray[np.float64]) -> tuple[float, float]:
    """Median and 1.4826·MAD of `scores`; the spread falls back to the standard deviation, then to a tiny positive number.

    >>> robust_bulk(np.array([1.0, 2.0, 3.0, 4.0, 100.0]))
    (3.0, 1.4826)
    """
    values = np.asarray(scores, dtype=np.float64)
    centre = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - centre)))
    if spread <= 0:
        spread = float(values.std())
    return centre, max(spread, 1e-6 * max(1.0, abs(centre)))


def from_reference(reference: NDArray[np.float32], *, false_positive_rate: float = 0.01) -> Calibration:
    """Calibrate on held-out scores of normal data: the threshold lets `false_positive_rate` of them through.

    With fewer than 1/false_positive_rate references the quantile is extrapolated from the bulk's spread, and says so.
    """
    ordered = np.sort(np.asarray(reference, dtype=np.float64))
    centre, spread = robust_bulk(ordered)
    n = len(ordered)
    if n * false_positive_rate >= 1.0:
        threshold = float(np.quantile(ordered, 1.0 - false_positive_rate))
        origin = f"{100 * (1 - false_positive_rate):g}th percentile of {n} held-out normal scores"
    else:
        from scipy.stats import norm

        spread = max(spread, float(ordered.std()), 0.02 * abs(centre))
        threshold = max(float(ordered[-1]), centre + float(norm.isf(false_positive_rate)) * spread)
        origin = f"spread of {n} held-out normal scores (too few for a percentile)"
    return Calibration(threshold=threshold, origin=origin, calibrated=True, centre=centre, spread=spread, reference=ordered)


def from_self(scores: NDArray[np.float32], *, deviations: float = 4.0) -> Calibration:
    """Calibrate on the input itself: median + `deviations` robust standard deviations of the same scores; uncalibrated."""
    centre, spread = robust_bulk(scores)
    return Calibration(
        threshold=centre + deviations * spread,
        origin=f"median + {deviations:g} robust deviations of the same input (no normal data given)",
        calibrated=False,
        centre=centre,
        spread=spread,
        reference=np.sort(np.asarray(scores, dtype=np.float64)),
    )


def from_majority(
    scores: NDArray[np.float32], *, share: float = 0.6, deviations: float = 4.0, least_spread: float = 0.1
) -> Calibration:
    """Calibrate a small batch on its ordinary majority: the lowest `share` of its scores; uncalibrated.

    Median and deviation of a whole batch of ten are swamped by three or four odd members. The spread is at least `least_spread` of
    the centre, because the lowest scores of a few good things lie closer together than good things do.

    >>> scores = np.array([0.30, 0.31, 0.32, 0.33, 0.34, 0.31, 0.9, 1.0, 0.8, 0.7], np.float32)
    >>> (scores > from_majority(scores).threshold).sum().item()
    4
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    centre, spread = robust_bulk(ordered[: max(2, int(np.ceil(share * len(ordered))))])
    spread = max(spread, least_spread * abs(centre))
    return Calibration(
        threshold=centre + deviations * spread,
        origin=f"{deviations:g} deviations above the ordinary {100 * share:g} % of the same batch (no normal data given)",
        calibrated=False,
        centre=centre,
        spread=spread,
        reference=ordered,
    )
