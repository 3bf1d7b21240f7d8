"""A multivariate Gaussian of feature vectors with a shrunk covariance, and the distance of other vectors from it.

Source: Rippel et al., Modeling the Distribution of Normal Data in Pre-Trained Deep Features for Anomaly Detection (ICPR 2020):
Ledoit-Wolf shrinkage, Mahalanobis distance, and the negated principal components, whose finding is that anomalies show where
normal data vary least; Ledoit & Wolf, A well-conditioned estimator for large-dimensional covariance matrices (2004). Ours: only
the directions that the data span are stored. Shrinkage gives all directions without data the same variance, so that their share
follows from what is left of a vector's length: N vectors of C numbers cost N·C numbers and no C×C matrix.

Axes: vectors (N, C); distances (N,) without unit: of Gaussian vectors their square follows χ² with `freedom` degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput

Reduction: TypeAlias = Literal["none", "pca", "npca"]
REDUCTIONS: tuple[str, ...] = get_args(Reduction)
FLOOR = 1e-9
"""Least variance, as a share of the features' mean square: directions in which copies of one picture do not differ at all."""
Vectors: TypeAlias = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ShrunkGaussian:
    """Mean (C,), the spanned `directions` (R, C) of unit length, their `variances` (R,), and the variance of all others.

    `freedom` counts the directions that a distance is taken in; with `rest` zero only the spanned ones are.
    """

    mean: NDArray[np.float64]
    directions: NDArray[np.float64]
    variances: NDArray[np.float64]
    dropped: NDArray[np.float64]
    """Spanned directions (D, C) that the reduction left out."""
    rest: float
    freedom: int
    shrinkage: float

    @classmethod
    def fit(cls, vectors: Vectors, *, reduce: Reduction = "none", variance: float = 0.99) -> Self:
        """Estimate from vectors (N, C).

        Args:
            vectors: at least two.
            reduce: "none"; "pca" keeps the leading principal components up to the one with which their share of the variance
                reaches `variance`; "npca" keeps the others, from one before that one to the last.
            variance: share, above 0 and below 1.

        Raises:
            BadInput: fewer than two vectors, or another reduction or share.

        >>> rng = np.random.default_rng(0)
        >>> made = ShrunkGaussian.fit(rng.normal(size=(500, 3)) * [2, 1, 1])
        >>> made.distance(np.array([[6.0, 0, 0], [0, 6.0, 0]])).round().tolist()
        [3.0, 6.0]
        """
        from sklearn.covariance import ledoit_wolf_shrinkage

        if vectors.ndim != 2 or len(vectors) < 2:
            raise BadInput(f"vectors of shape {vectors.shape}: expected (N, C) with at least two.")
        checked_reduction(reduce, variance)
        data = np.asarray(vectors, dtype=np.float64)
        mean = data.mean(axis=0)
        spread, directions = _principal(data - mean)
        first, end = _kept(spread, reduce, variance)
        count = data.shape[1] - len(spread) if reduce != "pca" else 0  # directions without data
        kept = np.zeros((len(data), end - first + count))
        kept[:, : end - first] = (data - mean) @ directions[first:end].T
        total = float(spread[first:end].sum())
        # Shrinkage is the same in any orthonormal basis, so scikit-learn is asked in that of the components.
        shrinkage = float(ledoit_wolf_shrinkage(kept, assume_centered=True)) if total > 0 else 1.0
        floor = FLOOR * float(np.square(data).mean()) + np.finfo(np.float64).tiny
        level = shrinkage * total / kept.shape[1]
        return cls(
            mean=mean,
            directions=directions[first:end],
            variances=np.maximum((1 - shrinkage) * spread[first:end] + level, floor),
            dropped=np.concatenate([directions[:first], directions[end:]]) if count else directions[:0],
            rest=max(level, floor) if count else 0.0,
            freedom=kept.shape[1],
            shrinkage=shrinkage,
        )

    def distance(self, vectors: Vectors) -> NDArray[np.float64]:
        """Mahalanobis distances (…,) of vectors (…, C)."""
        away = np.asarray(vectors, dtype=np.float64) - self.mean
        along = away @ self.directions.T
        squares = (np.square(along) / self.variances).sum(axis=-1)
        if self.rest > 0:
            left = np.square(away).sum(axis=-1) - np.square(along).sum(axis=-1) - np.square(away @ self.dropped.T).sum(axis=-1)
            squares += np.maximum(left, 0) / self.rest
        return np.asarray(np.sqrt(squares), dtype=np.float64)

    def radius(self, share: float) -> float:
        """Distance within which this share of vectors lies if they are Gaussian and the covariance is the true one (χ²).

        With fewer vectors than channels the covariance is far from the true one, and new normal vectors lie farther out.

        >>> round(ShrunkGaussian.fit(np.random.default_rng(0).normal(size=(50, 1))).radius(0.9545), 2)
        2.0
        """
        from scipy.stats import chi2

        return float(np.sqrt(chi2.ppf(share, self.freedom)))

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """What `from_arrays` needs, under names that start with `prefix`."""
        return {
            f"{prefix}mean": self.mean, f"{prefix}directions": self.directions, f"{prefix}variances": self.variances,
            f"{prefix}dropped": self.dropped, f"{prefix}numbers": np.array([self.rest, self.freedom, self.shrinkage]),
        }  # fmt: skip

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str) -> Self:
        """Read back what `arrays` gave."""
        mean, directions, variances, dropped = (
            np.asarray(arrays[f"{prefix}{part}"], dtype=np.float64) for part in ("mean", "directions", "variances", "dropped")
        )
        rest, freedom, shrinkage = (float(number) for number in arrays[f"{prefix}numbers"])
        return cls(
            mean=mean, directions=directions, variances=variances, dropped=dropped, rest=rest, freedom=int(freedom), shrinkage=shrinkage
        )  # fmt: skip


def checked_reduction(reduce: str, variance: float) -> None:
    """Raise BadInput unless `reduce` is one of REDUCTIONS and `variance` a share."""
    if reduce not in REDUCTIONS:
        raise BadInput(f"reduce {reduce!r}: expected one of {REDUCTIONS}.")
    if not 0 < variance < 1:
        raise BadInput(f"variance {variance!r}: expected above 0 and below 1.")


def satterthwaite(squares: Vectors, share: float) -> float:
    """Value below which this share of sums of squares lies, for a scaled χ² with their mean and variance.

    Sums of correlated squared distances do not follow χ², but nearly a multiple g·χ² with ν degrees of freedom, g = s²/2m and
    ν = 2m²/s² (Satterthwaite 1946).

    >>> rng = np.random.default_rng(0)
    >>> sums = 3 * rng.chisquare(4, 20_000)
    >>> abs(float((sums > satterthwaite(sums, 0.99)).mean()) - 0.01) < 0.002
    True
    """
    from scipy.stats import chi2

    mean, variance = float(np.mean(squares)), float(np.var(squares, ddof=1)) if len(squares) > 1 else 0.0
    if variance <= 1e-12 * mean * mean:
        return mean
    return float(variance / (2 * mean) * chi2.ppf(share, 2 * mean * mean / variance))


def _principal(centred: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variances (R,), largest first, and unit directions (R, C) that centred vectors (N, C) span, R at most N − 1 and C."""
    count, channels = centred.shape
    rank = min(count - 1, channels)
    if count > channels:  # many short vectors: the C×C matrix is the small one
        values, vectors = np.linalg.eigh(centred.T @ centred / count)
        return np.maximum(values[::-1], 0)[:rank], vectors[:, ::-1].T[:rank].copy()
    _, lengths, vectors = np.linalg.svd(centred, full_matrices=False)
    return np.square(lengths[:rank]) / count, vectors[:rank]


def _kept(spread: NDArray[np.float64], reduce: Reduction, variance: float) -> tuple[int, int]:
    """First and one past the last component that is kept."""
    total = spread.sum()
    if reduce == "none" or total <= 0:
        return 0, len(spread)
    crossing = min(int(np.searchsorted(np.cumsum(spread) / total, variance)), len(spread) - 1)
    return (0, crossing + 1) if reduce == "pca" else (max(crossing - 1, 0), len(spread))
