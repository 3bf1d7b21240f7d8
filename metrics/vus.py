"""Volume under the surface: PR and ROC areas with incidents widened by sloped labels, averaged over how far they are widened.

Source: Paparrizos, Boniol, Palpanas, Tsay, Elmore and Franklin, Volume Under the Surface: A New Accuracy Evaluation Measure for
Time-Series Anomaly Detection (PVLDB 15(11), 2022); the definition of the public `vus` package (its version "opt"), which the TSB-AD
leaderboard reports.

For a window of w steps, a step d ≤ ⌊w/2⌋ beyond an incident carries the label √(1 - d/w), where two incidents reach it 1. Of the
steps called, TP sums the labels; the positives are the incidents' steps and half of the called part of the slopes. Recall is
TP/positives, at most 1, times the share of widened, merged incidents called somewhere; precision TP per step called.

Each step joins the called ones at one threshold of the falling list, so a curve is a handful of cumulative sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from metrics.ranking import checked
from metrics.spans import Floats, Steps, first_called, reached, spans

WINDOW = 100
THRESHOLDS = 250


def vus_pr(labels: NDArray[Any], scores: NDArray[Any], *, window: int = WINDOW, thresholds: int | None = THRESHOLDS) -> float:
    """Mean over windows 0 to `window` of the area under the precision-recall step curve: 0 to 1.

    `labels` and `scores` are (T,) in the order of time. The thresholds are the scores at `thresholds` equally spaced ranks, or every
    distinct score if None (exact). With one incident, window 0 and all thresholds it is average precision. NaN without a strange
    step, 1 when all are strange.

    Raises:
        BadInput: lengths differ, labels are not 0/1, a score is not finite, or the window or count is out of range.

    >>> labels = np.array([0, 0, 0, 1, 1, 0, 0, 0])
    >>> vus_pr(labels, labels), round(vus_pr(labels, np.array([0, 0, 0, 0, 1, 1, 0, 0]), window=4), 4)
    (1.0, 0.6297)
    """
    return _volumes(labels, scores, window, thresholds)[0]


def vus_roc(labels: NDArray[Any], scores: NDArray[Any], *, window: int = WINDOW, thresholds: int | None = THRESHOLDS) -> float:
    """Mean over windows 0 to `window` of the area under the ROC curve, trapezoids closed at (1, 1): 0 to 1.

    Arguments as of `vus_pr`. With one incident, window 0 and all thresholds it is the plain area. NaN without both classes.

    Raises:
        BadInput: lengths differ, labels are not 0/1, a score is not finite, or the window or count is out of range.

    >>> vus_roc(np.array([0, 0, 0, 1, 1, 0, 0, 0]), np.array([0, 0, 0, 1, 1, 0, 0, 0]), window=0)
    1.0
    """
    return _volumes(labels, scores, window, thresholds)[1]


def _volumes(labels: NDArray[Any], scores: NDArray[Any], window: int, thresholds: int | None) -> tuple[float, float]:
    """VUS-PR and VUS-ROC."""
    truth, values = checked(labels, scores)
    if window < 0:
        raise BadInput(f"window {window!r}: expected a number of steps of at least 0.")
    if thresholds is not None and thresholds < 2:
        raise BadInput(f"thresholds {thresholds!r}: expected at least 2, or None for every distinct score.")
    if not truth.any():
        return float("nan"), float("nan")
    values = values.astype(np.float64)
    falling = np.unique(values)[::-1] if thresholds is None else _at_ranks(values, thresholds)
    starts, ends = spans(truth)
    first, count, size, positives = first_called(values, falling), len(falling), len(truth), int(truth.sum())
    called, hits = reached(first, count), reached(first, count, truth.astype(np.float64))
    near, distance, second = _distances(truth, starts, ends, window // 2)
    nearby = first[near]
    precisions, areas, share = [], [], np.empty(0)
    for width in range(window + 1):
        half = width // 2
        if width % 2 == 0:
            share = _share_called(starts, ends, first, count, half)
        until = int(np.searchsorted(distance, half, side="right"))
        slope = np.sqrt(1 - distance[:until] / max(width, 1))
        slope[second[:until] <= half] = 1.0
        extra = reached(nearby[:until], count, slope)
        gained, widened = hits + extra, positives + extra / 2
        recall = np.minimum(gained / widened, 1.0) * share
        precisions.append(float(np.diff(recall, prepend=0.0) @ (gained / called)))
        if positives < size:
            false_rate = (called - gained) / (size - widened)
            areas.append(float(np.trapezoid(np.concatenate([[0.0], recall, [1.0]]), np.concatenate([[0.0], false_rate, [1.0]]))))
    return float(np.mean(precisions)), float(np.mean(areas)) if areas else float("nan")


def _at_ranks(values: Floats, count: int) -> Floats:
    return np.sort(values)[::-1][np.linspace(0, len(values) - 1, count).astype(np.int64)]


def _distances(truth: NDArray[np.int64], starts: Steps, ends: Steps, reach: int) -> tuple[Steps, Steps, Steps]:
    """Normal steps within `reach` of an incident, nearest first, with the distances to their nearest and second nearest one.

    Two are enough: a label on a slope is at least √½, so a second one fills it up to 1.
    """
    far = len(truth) + reach + 1
    steps = np.flatnonzero(truth == 0)
    ahead = np.searchsorted(starts, steps) + 2  # places in the padded lists below
    left, right = np.concatenate([[-far, -far], ends]), np.concatenate([[0, 0], starts, [2 * far, 2 * far]])
    apart = np.stack([steps - left[ahead - 1], steps - left[ahead - 2], right[ahead] - steps, right[ahead + 1] - steps])
    nearest, second = np.partition(apart, 1, axis=0)[:2]
    order = np.argsort(nearest, kind="stable")[: int((nearest <= reach).sum())]
    return steps[order], nearest[order], second[order]


def _share_called(starts: Steps, ends: Steps, first: Steps, count: int, half: int) -> Floats:
    """Share of the incidents, widened by `half` steps and merged where they overlap, with a step called at each threshold."""
    apart = ends[:-1] + half < starts[1:] - half
    low = np.maximum(starts - half, 0)[np.append(True, apart)]
    high = np.minimum(ends + half, len(first) - 1)[np.append(apart, True)]
    edges = np.stack([low, high + 1], axis=1).ravel()
    found = np.minimum.reduceat(np.append(first, count), edges)[::2]
    return reached(found, count) / len(low)
