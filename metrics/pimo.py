"""AUPIMO: how much of each defect is found before normal pictures raise next to no false alarm, one value per picture.

Source: Bertoldo et al., AUPIMO: Redefining Visual Anomaly Detection Benchmarks with High Speed and Low Tolerance (BMVC 2024). A
threshold's false-positive rate is shared: the share of a normal picture's pixels at or above it, averaged over the normal pictures.
A picture's curve is the share of its defect's pixels found against that rate; its AUPIMO is the mean of the curve over the
logarithm of the rate from 1e-5 to 1e-4.

Axes: truth and heatmap (H, W) per picture, any sizes; a picture is normal where its mask is empty. Exact, without a grid of
thresholds: only the highest 1e-4 of the normal pixels matter, and a defect pixel earns the part of the logarithmic axis on which it
is found, so that a picture's area is the mean over its defect's pixels of a table lookup. Equal scores move as one group, along the
straight line in the rate that a random order among them would give on average; a constant map thus gets just what chance gets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from metrics.pro import check_maps

BOUNDS = (1e-5, 1e-4)
"""False-positive rates between which the paper integrates."""
ENOUGH = 30
"""Normal pixels beyond the lower bound from which on the curve's left end is more than the luck of single pixels."""
SAME = 1e-3
"""AUPIMO values closer than this count as equal when methods are compared, as in the paper's own comparisons."""
QUANTILES = (0.0, 0.25, 0.33, 0.5, 0.75, 1.0)
"""The box plot's, and the third that the paper reports beside the mean."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SharedRate:
    """The shared false-positive rate as a step function of the threshold, where it rises from `lower` to `upper`.

    `levels` (K,) are distinct scores of normal pixels, ascending; `at` (K,) the rate of pixels at or above a level and `above` (K,)
    of those strictly above it, both descending.
    """

    levels: NDArray[np.floating]
    at: NDArray[np.float64]
    above: NDArray[np.float64]
    lower: float
    upper: float

    def credit(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """The share of the logarithmic rate axis, 0 to 1, on which a pixel of each score is found; same shape as `scores`.

        >>> rate = shared_rate([np.array([[0.1, 0.2], [0.3, 0.4]])], bounds=(0.25, 1.0))
        >>> rate.credit(np.array([0.05, 0.25, 0.9])).tolist()
        [0.0, 0.5, 1.0]
        """
        strictly, weakly = self._weights
        return np.asarray(
            strictly[np.searchsorted(self.levels, scores, side="left")]
            + weakly[np.searchsorted(self.levels, scores, side="right")]
        )

    def curve(self, scores: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A picture's curve from the scores of its defect's pixels: rates (P,) from `lower` to `upper`, and the share found (P,).

        Straight lines in the rate join the points; equal rates in a row are a step.

        Raises:
            BadInput: there is no score.

        >>> rate = shared_rate([np.array([[0.1, 0.2], [0.3, 0.4]])], bounds=(0.25, 1.0))
        >>> [part.tolist() for part in rate.curve(np.array([0.35, 0.9]))]
        [[0.25, 0.5, 0.5, 0.75, 0.75, 1.0], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]]
        """
        if not scores.size:
            raise BadInput("expected the scores of a defect's pixels, got none: a normal picture has no curve.")
        start, end = self._spans
        kept = end > start
        found = np.sort(scores, axis=None)
        strictly, weakly = (1 - np.searchsorted(found, self.levels[kept], side=side) / len(found) for side in ("right", "left"))
        slope = (weakly - strictly) / (self.at - self.above)[kept]
        ends = [(edge[kept], strictly + slope * (edge - self.above)[kept]) for edge in (end, start)]
        rates, shares = (np.stack(part, axis=1).ravel()[::-1] for part in zip(*ends, strict=True))
        return rates, shares

    @cached_property
    def _spans(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of each level's step of the rate, the part between the bounds; empty steps start where they end."""
        start = np.maximum(self.above, self.lower)
        return start, np.maximum(np.minimum(self.at, self.upper), start)

    @cached_property
    def _weights(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of each step, how much of the axis it gives to pixels strictly above its level and to those at it; summed from below."""
        start, end = self._spans
        width = np.log(end / start)
        # The integral of the straight line from 0 at `above` to 1 at `at` over the logarithm of the rate; where the bound cuts a step
        # down to a sliver the difference is all rounding, and could turn an area negative.
        at = np.clip((end - start - self.above * width) / (self.at - self.above), 0, width)
        total = np.log(self.upper / self.lower)
        strictly, weakly = (np.concatenate([[0.0], np.cumsum(part / total)]) for part in (width - at, at))
        return strictly, weakly


def shared_rate(normal: Sequence[NDArray[np.floating]], *, bounds: tuple[float, float] = BOUNDS) -> SharedRate:
    """The shared false-positive rate of normal heatmaps, each picture weighing the same whatever its size.

    Reads one heatmap after the other and keeps only the scores that can still matter: about `bounds[1]` of all pixels.

    Raises:
        BadInput: there is no heatmap, or the bounds are not 0 < lower < upper ≤ 1.

    >>> shared_rate([np.array([[1.0, 2.0], [2.0, 4.0]])], bounds=(0.1, 0.5)).at.tolist()
    [0.75, 0.25]
    """
    lower, upper = _checked(bounds)
    if not normal:
        raise BadInput("expected at least one normal picture, got none: without one there is no false-positive rate.")
    levels, full = np.empty(0, dtype=normal[0].dtype), False
    weights: NDArray[np.float64] = np.empty(0)
    for heat in normal:
        kept = heat.ravel()
        if full:
            kept = kept[kept >= levels[0]]
        elif (few := int(np.ceil(upper * len(normal) * heat.size)) + 1) < heat.size:
            kept = kept[kept >= np.partition(kept, -few)[-few]]  # this picture's share alone exceeds the upper bound
        scores, counts = np.unique(kept, return_counts=True)
        levels, place = np.unique(np.concatenate([levels, scores]), return_inverse=True)
        weights = np.bincount(place, weights=np.concatenate([weights, counts / (heat.size * len(normal))])).astype(np.float64)
        beyond = int(np.count_nonzero(_from_above(weights) > upper))
        full = full or beyond > 0
        levels, weights = levels[max(0, beyond - 1) :], weights[max(0, beyond - 1) :]
    at = _from_above(weights)
    return SharedRate(levels=levels, at=at, above=np.append(at[1:], 0.0), lower=lower, upper=upper)


def _checked(bounds: tuple[float, float]) -> tuple[float, float]:
    if not 0 < bounds[0] < bounds[1] <= 1:
        raise BadInput(f"bounds {bounds!r}: expected two false-positive rates, 0 < lower < upper <= 1.")
    return bounds


def _from_above(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.cumsum(weights[::-1])[::-1]


def aupimo(
    truths: Sequence[NDArray[np.bool_]], heatmaps: Sequence[NDArray[np.float32]], *, bounds: tuple[float, float] = BOUNDS
) -> NDArray[np.float64]:
    """AUPIMO of each picture (N,), 0 to 1; NaN for normal pictures, and for all where no picture is normal.

    With fewer normal pixels than 1/lower the curve begins with the share of the defect above every normal pixel: defined, but coarse
    (see `resolved`). Chance is (upper − lower) / ln(upper / lower), 3.9e-5 for the paper's bounds.

    Raises:
        BadInput: counts or shapes differ, a heatmap is empty or not finite, or the bounds are not 0 < lower < upper ≤ 1.

    >>> truth = np.zeros((4, 4), bool); truth[1:3, 1:3] = True
    >>> aupimo([truth, np.zeros((4, 4), bool)], [truth.astype(np.float32), np.zeros((4, 4), np.float32)]).round(9).tolist()
    [1.0, nan]
    """
    check_maps(truths, heatmaps)
    _checked(bounds)
    found = np.full(len(truths), np.nan)
    strange = [bool(mask.any()) for mask in truths]
    normal = [heat for heat, odd in zip(heatmaps, strange, strict=True) if not odd]
    if not normal:
        return found
    rate = shared_rate(normal, bounds=bounds)
    for number, (mask, heat) in enumerate(zip(truths, heatmaps, strict=True)):
        if strange[number]:
            scores = heat[mask]
            # Below the lowest level nothing is earned; the mean rounds, so that a perfect map could exceed 1 by a bit.
            earned = rate.credit(scores[scores >= rate.levels[0]]).sum() / len(scores)
            found[number] = min(float(earned), 1.0)
    return found


def resolved(truths: Sequence[NDArray[np.bool_]], *, bounds: tuple[float, float] = BOUNDS) -> bool:
    """Whether the normal pictures have enough pixels for the curve's left end to be more than noise: `ENOUGH` beyond the lower bound.

    >>> resolved([np.zeros((1000, 1000), bool)]), resolved([np.zeros((2000, 1500), bool)])
    (False, True)
    """
    return bounds[0] * sum(mask.size for mask in truths if not mask.any()) >= ENOUGH


@dataclass(frozen=True, kw_only=True)
class Summary:
    """AUPIMO values of a set of pictures: `mean`, its bootstrap `interval` (low, high), `quantiles`, and the number of `pictures`."""

    mean: float
    interval: tuple[float, float]
    quantiles: dict[float, float]
    pictures: int


def summary(
    scores: NDArray[np.float64],
    *,
    quantiles: Sequence[float] = QUANTILES,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Summary:
    """Mean, quantiles and the percentile bootstrap interval of the mean over the pictures that have a value (not NaN).

    Without such a picture all is NaN; with one, only the interval is. The interval tells how much the choice of defective pictures
    matters; the normal pictures, which all values share, are taken as given.

    Raises:
        BadInput: a score is infinite, `level` or a quantile lies outside its range, or `draws` is below 1.

    >>> found = summary(np.array([0.2, np.nan, 0.6]))
    >>> found.mean, found.quantiles[0.5], found.pictures
    (0.4, 0.4, 2)
    """
    if np.isinf(scores).any():
        raise BadInput("scores: expected numbers, or NaN where a picture has no value, got infinity.")
    if not 0 < level < 1 or draws < 1 or not all(0 <= part <= 1 for part in quantiles):
        raise BadInput(
            f"expected a level in (0, 1), quantiles in [0, 1] and draws >= 1, got {level!r}, {tuple(quantiles)!r}, {draws!r}."
        )
    valued = scores[~np.isnan(scores)]
    nothing = float("nan")
    if not len(valued):
        return Summary(mean=nothing, interval=(nothing, nothing), quantiles=dict.fromkeys(quantiles, nothing), pictures=0)
    interval = (nothing, nothing)
    if len(valued) > 1:
        times = np.random.default_rng(seed).multinomial(len(valued), np.full(len(valued), 1 / len(valued)), size=draws)
        low, high = np.quantile(times @ valued / len(valued), [(1 - level) / 2, (1 + level) / 2])
        interval = (float(low), float(high))
    return Summary(
        mean=float(valued.mean()),
        interval=interval,
        quantiles={part: float(np.quantile(valued, part)) for part in quantiles},
        pictures=len(valued),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Methods by mean AUPIMO, best first, and `p` (M, M): how likely such differences were if row's method were not better.

    One-sided Wilcoxon signed-rank test on the same pictures; NaN on the diagonal, and 1 where no picture tells the two apart. Not
    corrected for the number of pairs.
    """

    methods: tuple[str, ...]
    p: NDArray[np.float64]


def compare(scores: Mapping[str, NDArray[np.float64]]) -> Comparison:
    """Each method against each other on the same pictures (`scores`: name to (N,)), differences below `SAME` taken as none.

    Raises:
        BadInput: lengths differ, a score is infinite, or the methods lack values (NaN) for different pictures.

    >>> found = compare({"weak": np.array([0.1, 0.2, 0.3, 0.2, 0.1]), "strong": np.array([0.5, 0.7, 0.9, 0.8, 0.6])})
    >>> found.methods, found.p.round(3).tolist()
    (('strong', 'weak'), [[nan, 0.031], [1.0, nan]])
    """
    missing = {name: np.isnan(values) for name, values in scores.items()}
    for name, values in scores.items():
        if np.isinf(values).any() or not np.array_equal(missing[name], next(iter(missing.values()))):
            raise BadInput(f"method {name!r}: expected a finite value for each picture that the other methods have a value for.")
    valued = {name: values[~missing[name]] for name, values in scores.items()}
    methods = tuple(
        sorted(valued, key=lambda name: -float(valued[name].sum()))
    )  # as many values each: the sum ranks like the mean
    p = np.full((len(methods), len(methods)), np.nan)
    for row, better in enumerate(methods):
        for column, worse in enumerate(methods):
            if row != column:
                p[row, column] = _signed_rank(valued[better] - valued[worse])
    return Comparison(methods=methods, p=p)


def _signed_rank(differences: NDArray[np.float64]) -> float:
    from scipy.stats import wilcoxon

    telling = differences[np.abs(differences) >= SAME]
    return float(wilcoxon(telling, alternative="greater").pvalue) if len(telling) else 1.0
