"""How well scores rank strange above normal: area under the ROC curve, average precision, best F1.

Labels are (N,) with 1 = strange, 0 = normal; scores (N,) finite, higher = stranger, never rescaled before ranking. Degenerate
cases are defined, not errors: without both classes the areas are NaN (there is nothing to rank).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput


def auroc(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    """Area under the ROC curve: P(a strange one scores above a normal one), ties counted half; NaN without both classes.

    Raises:
        BadInput: lengths differ, labels are not 0/1, or a score is not finite.

    >>> auroc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    truth, values = checked(labels, scores)
    if not _both(truth):
        return float("nan")
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, values))


def average_precision(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    """Area under the precision-recall step curve; NaN without a strange one, 1 when all are strange.

    Raises:
        BadInput: lengths differ, labels are not 0/1, or a score is not finite.

    >>> round(average_precision(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])), 4)
    0.8333
    """
    truth, values = checked(labels, scores)
    if not truth.any():
        return float("nan")
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(truth, values))


def f1_max(labels: NDArray[Any], scores: NDArray[Any]) -> tuple[float, float]:
    """Highest F1 over all thresholds, and the threshold (score ≥ it is called strange); (NaN, NaN) without a strange one.

    Raises:
        BadInput: lengths differ, labels are not 0/1, or a score is not finite.

    >>> f1_max(np.array([0, 1, 1]), np.array([0.2, 0.6, 0.9]))
    (1.0, 0.6)
    """
    truth, values = checked(labels, scores)
    if not truth.any():
        return float("nan"), float("nan")
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(truth, values)
    total = precision[:-1] + recall[:-1]
    f1 = np.divide(2 * precision[:-1] * recall[:-1], total, out=np.zeros_like(total), where=total > 0)
    best = int(f1.argmax())
    return float(f1[best]), float(thresholds[best])


def _both(truth: NDArray[np.int64]) -> bool:
    return bool(truth.any() and not truth.all())


def checked(labels: NDArray[Any], scores: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Labels and scores as flat arrays of equal length, the labels 0/1.

    Raises:
        BadInput: lengths differ or are 0, labels are not 0/1, or a score is not finite.

    >>> checked(np.array([True]), np.array([[2.0]]))[0].tolist()
    [1]
    """
    truth, values = np.asarray(labels).ravel(), np.asarray(scores).ravel()
    if len(truth) != len(values) or len(truth) == 0:
        raise BadInput(f"expected as many labels as scores and at least one, got {len(truth)} and {len(values)}.")
    if not np.isin(truth, (0, 1)).all():
        raise BadInput(f"labels: expected 0 (normal) and 1 (strange), got {np.unique(truth)[:5].tolist()}.")
    if not np.isfinite(values).all():
        raise BadInput("scores: expected finite numbers, got NaN or infinity.")
    return truth.astype(np.int64), values
