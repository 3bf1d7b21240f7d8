"""Does a score order things by how bad they are: AUROC per level, concordance index, Kendall's τ-b.

The protocol of MAD-Bench (Cao et al. 2024, arXiv 2411.14515): levels (N,) are finite numbers ≥ 0, 0 = normal and higher = worse;
scores (N,) are finite, higher = worse. Only orders count, so a monotone change of the scores changes nothing. The C-index of the
strange ones alone tells severity from detection: where normal things abound, the C-index over all is mostly detection. Degenerate
cases are defined, not errors: with nothing to order (one level only, no normal one, no strange one) a value is NaN; scores that
are all equal order nothing, so their AUROC and C-index are ½ and their τ-b, whose denominator is then 0, is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from metrics.ranking import auroc


@dataclass(frozen=True, kw_only=True)
class SeverityOrder:
    """All of the protocol's values, each 0–1 but `kendall_tau` (−1–1); ½ (0 for τ) is chance.

    `auroc_per_level` has an entry per level above 0 that occurs, lowest first; `auroc_all` is level 0 against all others.
    """

    auroc_per_level: dict[float, float]
    auroc_all: float
    c_index: float
    c_index_anomalies: float
    kendall_tau: float


def severity_order(levels: NDArray[Any], scores: NDArray[Any]) -> SeverityOrder:
    """Everything at once, as a row of MAD-Bench shows it.

    Raises:
        BadInput: lengths differ, a level is negative or not finite, or a score is not finite.

    >>> found = severity_order(np.array([0, 0, 1, 2, 2]), np.array([0.1, 0.3, 0.2, 0.9, 0.5]))
    >>> found.auroc_per_level, found.c_index, found.c_index_anomalies
    ({1.0: 0.5, 2.0: 1.0}, 0.875, 1.0)
    """
    worse, values = _checked(levels, scores)
    return SeverityOrder(
        auroc_per_level=auroc_per_level(worse, values),
        auroc_all=auroc((worse > 0).astype(np.int64), values),
        c_index=c_index(worse, values),
        c_index_anomalies=c_index_anomalies(worse, values),
        kendall_tau=kendall_tau(worse, values),
    )


def auroc_per_level(levels: NDArray[Any], scores: NDArray[Any]) -> dict[float, float]:
    """AUROC of level 0 against each level above it, lowest level first; NaN for each without a normal one.

    Raises:
        BadInput: lengths differ, a level is negative or not finite, or a score is not finite.

    >>> auroc_per_level(np.array([0, 1, 3]), np.array([0.2, 0.1, 0.9]))
    {1.0: 0.0, 3.0: 1.0}
    """
    worse, values = _checked(levels, scores)
    found = {}
    for level in np.unique(worse[worse > 0]):
        taken = (worse == 0) | (worse == level)
        found[float(level)] = auroc((worse[taken] == level).astype(np.int64), values[taken])
    return found


def c_index(levels: NDArray[Any], scores: NDArray[Any]) -> float:
    """P(the worse of two scores higher) over all pairs of different level, ties in score counted half; NaN without such a pair.

    Pairs of equal level are left out (Harrell's concordance without censoring). Sorts once per level: O(L·N log N).

    Raises:
        BadInput: lengths differ, a level is negative or not finite, or a score is not finite.

    >>> c_index(np.array([0, 1, 2]), np.array([0.3, 0.3, 0.1]))
    0.16666666666666666
    """
    worse, values = _checked(levels, scores)
    won, pairs = 0.0, 0
    for level in np.unique(worse)[1:]:
        below, here = np.sort(values[worse < level]), values[worse == level]
        # Of the ones below, those left of a score lose against it, those between left and right tie with it.
        left, right = (np.searchsorted(below, here, side=side).sum(dtype=np.int64) for side in ("left", "right"))
        won += 0.5 * (int(left) + int(right))
        pairs += len(below) * len(here)
    return won / pairs if pairs else float("nan")


def c_index_anomalies(levels: NDArray[Any], scores: NDArray[Any]) -> float:
    """The C-index among the strange ones (level above 0) alone; NaN when they are all of one level or there is none.

    Raises:
        BadInput: lengths differ, a level is negative or not finite, or a score is not finite.

    >>> c_index_anomalies(np.array([0, 1, 2]), np.array([0.5, 0.1, 0.9]))
    1.0
    """
    worse, values = _checked(levels, scores)
    strange = worse > 0
    return c_index(worse[strange], values[strange]) if strange.any() else float("nan")


def kendall_tau(levels: NDArray[Any], scores: NDArray[Any]) -> float:
    """Kendall's τ-b, corrected for ties in both; NaN when all levels or all scores are equal.

    Levels tie often and continuous scores do not, so even a perfect order stays below 1.

    Raises:
        BadInput: lengths differ, a level is negative or not finite, or a score is not finite.

    >>> kendall_tau(np.array([0, 1, 2]), np.array([0.2, 0.4, 0.9]))
    1.0
    """
    worse, values = _checked(levels, scores)
    if (worse == worse[0]).all() or (values == values[0]).all():
        return float("nan")
    from scipy.stats import kendalltau

    return float(kendalltau(worse, values, variant="b").statistic)


def _checked(levels: NDArray[Any], scores: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[Any]]:
    worse, values = np.asarray(levels, dtype=np.float64).ravel(), np.asarray(scores).ravel()
    if len(worse) != len(values) or len(worse) == 0:
        raise BadInput(f"expected as many levels as scores and at least one, got {len(worse)} and {len(values)}.")
    if not np.isfinite(worse).all() or (worse < 0).any():
        raise BadInput(f"levels: expected finite numbers from 0 (normal) upwards, got {np.unique(worse)[:5].tolist()}.")
    if not np.isfinite(values).all():
        raise BadInput("scores: expected finite numbers, got NaN or infinity.")
    return worse, values
