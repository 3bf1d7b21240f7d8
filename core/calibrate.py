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
    """A threshold, where it came from, and how to turn scores into p-values.

    Scores between `borderline` and the threshold are no finding, yet doubtful; None: no such band is known.
    """

    threshold: float
    origin: str
    calibrated: bool
    centre: float
    spread: float
    reference: NDArray[np.float64]
    borderline: float | None = None

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


def among_many(reference: NDArray[np.float32], scores: NDArray[np.float32], *, false_share: float = 0.05) -> Calibration:
    """Calibrate for many scores of which any may be reported: of those above the threshold, about `false_share` are expected to be normal.

    Benjamini & Hochberg (1995) on conformal p-values (Bates et al. 2023); beyond the highest reference the tail goes on exponentially, as
    it does above the references' 95th percentile. With nothing to report, the threshold is what one normal score in any of 1/`false_share`
    such batches would pass.

    >>> reference = np.linspace(0, 1, 200).astype(np.float32)
    >>> usual, odd = reference[::4], np.array([3.0, 4.0], np.float32)
    >>> found = among_many(reference, np.concatenate([usual, odd]))
    >>> int((usual > found.threshold).sum()), int((odd > found.threshold).sum())
    (0, 2)
    """
    ordered = np.sort(np.asarray(reference, dtype=np.float64))
    asked = np.sort(np.asarray(scores, dtype=np.float64))[::-1]
    n, count = len(ordered), len(asked)
    centre, spread = robust_bulk(ordered)
    start = float(np.quantile(ordered, 0.95))
    over = ordered[ordered > start] - start
    scale = max(float(over.mean()) if len(over) else spread, 1e-6 * max(1.0, abs(centre)))
    above = n - np.searchsorted(ordered, asked, side="left")
    chance = (1.0 + above) / (n + 1.0) * np.exp(-np.maximum(asked - ordered[-1], 0.0) / scale)
    passing = np.flatnonzero(chance <= false_share * np.arange(1, count + 1) / count)
    if len(passing):
        last = int(passing[-1])
        below = float(asked[last + 1]) if last + 1 < count else centre
        threshold = (float(asked[last]) + max(below, centre)) / 2
    else:
        threshold = float(ordered[-1]) + scale * max(float(np.log(count / false_share / (n + 1.0))), 0.0)
    origin = f"{n} held-out normal scores; about {100 * false_share:g} % of what passes is expected to be normal"
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
    scores: NDArray[np.float32], *, usual_spread: float, rate: float = 0.01, worth_a_look: float = 0.02, prior: float = 16.0
) -> Calibration:
    """Calibrate a small batch of unlabelled things on its ordinary members: threshold, and a lower limit worth a look; uncalibrated.

    A forward search (Hadi 1992; Billor, Hadi & Velleman 2000): the lower half of `scores` (N,) is ordinary, and so is whatever a
    Student bound around it lets in, until nothing more comes in; so three or four odd members of ten do not hide each other. A
    handful of scores says little of their spread, and the lowest lie closer together than good things do: the variance is
    therefore moderated (Smyth 2004), as if `prior` more things had been seen whose standard deviation is `usual_spread`. If scores of
    good things were Gaussian, one would pass the threshold in a share `rate` of the batches; `borderline` lets through the
    share `worth_a_look` of single good things.

    >>> scores = np.array([0.30, 0.31, 0.32, 0.33, 0.34, 0.31, 0.9, 1.0, 0.8, 0.7], np.float32)
    >>> (scores > from_majority(scores, usual_spread=0.05).threshold).sum().item()
    4
    """
    from scipy.stats import t

    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    count = len(ordered)
    kept = max(min(2, count), int(np.ceil(count / 2)))
    while True:
        basis = ordered[:kept]
        freedom = prior + kept - 1
        variance = (prior * usual_spread**2 + float(((basis - basis.mean()) ** 2).sum())) / freedom
        centre, spread = float(basis.mean()), float(np.sqrt(variance * (1 + 1 / kept)))
        threshold = centre + float(t.isf(rate / count, freedom)) * spread
        let_in = int((ordered <= threshold).sum())
        if let_in <= kept:
            break
        kept = let_in
    return Calibration(
        threshold=threshold,
        borderline=min(threshold, centre + float(t.isf(worth_a_look, freedom)) * spread),
        origin=f"{(threshold - centre) / spread:.1f} deviations above the {kept} ordinary of the same {count} (no normal data given)",
        calibrated=False,
        centre=centre,
        spread=spread,
        reference=ordered,
    )
