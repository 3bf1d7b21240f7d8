"""Per-region overlap (PRO): how much of each defect is covered, small defects counting as much as large ones.

Source: Bergmann et al., MVTec Anomaly Detection Dataset (IJCV 2021): mean over the connected regions of the truth of the share of
the region above the threshold, integrated over the false-positive rate of all normal pixels up to 30 % and divided by .3.

Axes: truth and heatmap (H, W) per picture, any sizes; regions are 8-connected. Exact: the curve of a step function, ties handled
by moving whole groups of equal scores, the last step cut at the limit. One sort of the normal pixels, one of each region's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput

LIMIT = 0.3


def regions(truth: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """The 8-connected regions of a mask (H, W), each as a mask.

    >>> len(regions(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0]], bool)))
    2
    """
    from scipy.ndimage import label

    numbered, count = label(truth, structure=np.ones((3, 3)))
    return [np.asarray(numbered == number) for number in range(1, count + 1)]


def pro(truths: Sequence[NDArray[np.bool_]], heatmaps: Sequence[NDArray[np.float32]], *, limit: float = LIMIT) -> float:
    """Area under the curve of mean region coverage against false-positive rate up to `limit`, divided by `limit`: 0 to 1.

    NaN when there is no defect region or no normal pixel.

    Raises:
        BadInput: counts or shapes differ, or a heatmap is empty or not finite.

    >>> truth = np.zeros((4, 4), bool); truth[1:3, 1:3] = True
    >>> pro([truth], [truth.astype(np.float32)]), pro([truth], [1 - truth.astype(np.float32)])
    (1.0, 0.0)
    """
    check_maps(truths, heatmaps)
    if not 0 < limit <= 1:
        raise BadInput(f"limit {limit!r}: expected a false-positive rate above 0 and at most 1.")
    parts = [np.sort(heat[region]) for mask, heat in zip(truths, heatmaps, strict=True) for region in regions(mask)]
    normal = np.concatenate([heat[~mask] for mask, heat in zip(truths, heatmaps, strict=True)]) if truths else np.empty(0)
    if not parts or not len(normal):
        return float("nan")
    # Thresholds at which the false-positive rate or a region's coverage changes; only those up to the limit matter.
    normal = np.sort(normal)
    kept = normal[max(0, len(normal) - int(np.ceil(limit * len(normal))) - 1) :]
    inside = [part[part >= kept[0]] for part in parts]
    thresholds = np.unique(np.concatenate([kept, *inside]))[::-1]
    false_rate = (len(normal) - np.searchsorted(normal, thresholds, side="left")) / len(normal)
    coverage = np.zeros(len(thresholds))
    for part in parts:
        coverage += (len(part) - np.searchsorted(part, thresholds, side="left")) / len(part)
    return _area(np.concatenate([[0.0], false_rate]), np.concatenate([[0.0], coverage / len(parts)]), limit)


def _area(x: NDArray[np.float64], y: NDArray[np.float64], limit: float) -> float:
    """Trapezoids under (x, y) from 0 to `limit`, the last one cut there by linear interpolation, divided by `limit`."""
    inside = x <= limit
    last = int(inside.sum())
    xs, ys = x[:last], y[:last]
    if xs[-1] < limit:
        share = (limit - xs[-1]) / (x[last] - xs[-1])
        xs, ys = np.append(xs, limit), np.append(ys, ys[-1] + share * (y[last] - ys[-1]))
    return float(np.trapezoid(ys, xs) / limit)


def check_maps(truths: Sequence[NDArray[np.bool_]], heatmaps: Sequence[NDArray[np.float32]]) -> None:
    """Refuse what no pixel metric can rank.

    Raises:
        BadInput: counts or shapes differ, or a heatmap is empty or not finite.
    """
    if len(truths) != len(heatmaps):
        raise BadInput(f"expected one heatmap per mask, got {len(truths)} masks and {len(heatmaps)} heatmaps.")
    for number, (mask, heat) in enumerate(zip(truths, heatmaps, strict=True)):
        if mask.shape != heat.shape or mask.ndim != 2 or mask.dtype != np.bool_:
            raise BadInput(f"picture {number}: expected a bool mask (H, W) like the heatmap {heat.shape}, got {mask.shape}.")
        if not heat.size:
            raise BadInput(f"picture {number}: expected a heatmap with pixels, got {heat.shape}.")
        if not np.isfinite(heat).all():
            raise BadInput(f"picture {number}: heatmap holds NaN or infinity.")
