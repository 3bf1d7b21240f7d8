"""PATE: area under a precision-recall curve that credits calls near an incident by how near they are.

Source: Ghorbani, Reinders and Tax, PATE: Proximity-Aware Time series anomaly Evaluation (KDD 2024, arXiv 2405.12096).

A step called inside an incident earns 1. A step called up to `late` after it earns a credit that falls to 0 at the end of that zone;
up to `early` before it likewise, but only if the incident itself is called somewhere, as a warning of nothing is a false alarm. An
incident never called costs its length; one called in part costs less for its late gaps the longer its first called run is. Precision
is the credit per step called, recall the credit over credit and cost. No step earns more than itself: nothing is point-adjusted.

Every step joins the called ones at one threshold of the falling list, so a curve is a handful of cumulative sums.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from metrics.ranking import checked
from metrics.spans import Floats, Steps, first_called, reached, spans

BUFFER = 100
THRESHOLDS = 250
_CELLS = 4_000_000
"""Steps × states weighed at a time: bounds the memory of long incidents under many thresholds."""


def pate(
    labels: NDArray[Any],
    scores: NDArray[Any],
    *,
    early: int = BUFFER,
    late: int = BUFFER,
    splits: int = 1,
    thresholds: int | None = THRESHOLDS,
) -> float:
    """Mean area under the curve over all pairs of buffers, each 0 to its largest in `splits` equal parts: 0 to 1.

    `labels` and `scores` are (T,) in the order of time; `early`, `late` count steps. The thresholds are the distinct scores where
    the number of strange steps called changes, thinned to `thresholds` percentiles of that list, or all of them if None (exact, and
    then only the order of the scores matters). NaN without a strange step; 1 when all are strange. Two baselines to read it
    against: a random score earns somewhat more than the share p of strange steps, as buffers give credit; scores that are all equal
    earn (1 + p)/2 and more, as the paper's curve is drawn straight from precision 1 at recall 0. Many ties at the top flatter too.

    Raises:
        BadInput: lengths differ, labels are not 0/1, a score is not finite, or a buffer, split or count is out of range.

    >>> labels = np.array([0, 0, 0, 1, 1, 0, 0, 0])
    >>> pate(labels, labels), round(pate(labels, np.array([0, 0, 0, 0, 1, 1, 0, 0]), early=2, late=2), 4)
    (1.0, 0.6391)
    """
    truth, values = checked(labels, scores)
    if thresholds is not None and thresholds < 2:
        raise BadInput(f"thresholds {thresholds!r}: expected at least 2, or None for all of them.")
    pairs = _pairs(early, late, splits)
    if not truth.any():
        return float("nan")
    values = values.astype(np.float64)
    falling = _turning(truth, values)
    if thresholds is not None:
        falling = np.percentile(falling, np.linspace(100, 0, thresholds))
    first = first_called(values, falling)
    areas = []
    for precision, recall in _curves(truth, first, len(falling), pairs):
        precision, recall = np.append(1.0, precision), np.append(0.0, recall)
        kept = recall >= np.maximum.accumulate(recall)
        areas.append(float(np.trapezoid(precision[kept], recall[kept])))
    return float(np.mean(areas))


def pate_f1(labels: NDArray[Any], called: NDArray[Any], *, early: int = BUFFER, late: int = BUFFER, splits: int = 1) -> float:
    """The same credit for one set of called steps (T,) 0/1: mean over the pairs of buffers of the F1 of its precision and recall.

    NaN without a strange step; 0 when none is called.

    Raises:
        BadInput: lengths differ, labels or calls are not 0/1, or a buffer or split is out of range.

    >>> round(pate_f1(np.array([0, 1, 1, 0, 0]), np.array([0, 0, 1, 1, 0]), early=0, late=0), 4)
    0.5
    """
    truth, flags = checked(labels, called)
    if not np.isin(flags, (0, 1)).all():
        raise BadInput(f"called: expected 0 and 1, got {np.unique(flags)[:5].tolist()}; use `pate` for scores.")
    pairs = _pairs(early, late, splits)
    if not truth.any():
        return float("nan")
    found = []
    for precision, recall in _curves(truth, 1 - flags.astype(np.int64), 1, pairs):
        total = float(precision[0] + recall[0])
        found.append(2 * float(precision[0] * recall[0]) / total if total else 0.0)
    return float(np.mean(found))


def _pairs(early: int, late: int, splits: int) -> list[tuple[int, int]]:
    for name, value, least in (("early", early, 0), ("late", late, 0), ("splits", splits, 1)):
        if value < least:
            raise BadInput(f"{name} {value!r}: expected a whole number of at least {least}.")
    grids = (np.linspace(0, largest, splits + 1, dtype=np.int64).tolist() for largest in (early, late))
    return list(product(*grids))


def _turning(truth: NDArray[np.int64], values: Floats) -> Floats:
    """Distinct scores, falling, without those where the number of strange steps called changes neither before nor after."""
    falling = np.unique(values)[::-1]
    hits = reached(first_called(values, falling), len(falling), truth.astype(np.float64))
    if len(hits) <= 2:
        return falling
    steps = np.diff(hits) != 0
    return np.asarray(falling[np.concatenate([[True], steps[:-1] | steps[1:], [True]])])


def _curves(truth: NDArray[np.int64], first: Steps, count: int, pairs: list[tuple[int, int]]) -> list[tuple[Floats, Floats]]:
    """Precision and recall at each threshold, one curve for each pair of buffers."""
    starts, ends = spans(truth)
    called, cost = reached(first, count), _cost(starts, ends, first, count)
    curves = []
    for early, late in pairs:
        gained = _gained(starts, ends, first, count, early, late)
        precision = np.divide(gained, called, out=np.zeros(count), where=called > 0)
        total = gained + cost
        curves.append((precision, np.divide(gained, total, out=np.zeros(count), where=total > 0)))
    return curves


def _gained(starts: Steps, ends: Steps, first: Steps, count: int, early: int, late: int) -> Floats:
    """Credit of the steps called at each threshold. The zone after an incident goes before that ahead of the next one."""
    middle = (starts + ends) / 2
    after = np.minimum(ends + late, np.append(starts[1:], len(first)) - 1)
    before = np.maximum(np.maximum(starts - early, 0), np.append(0, after[:-1] + 1))
    credit, when = np.zeros(len(first)), first.copy()
    step, owner = _within(starts, ends + 1)
    credit[step] = 1.0
    found = np.full(len(starts), count)
    np.minimum.at(found, owner, first[step])
    step, owner = _within(ends + 1, after + 1)
    credit[step] = 1 - (step - middle[owner]) / (after - middle)[owner]
    step, owner = _within(before, starts)
    credit[step] = 1 - (middle[owner] - step) / (middle - before)[owner]
    when[step] = np.maximum(first[step], found[owner])
    return reached(when, count, credit)


def _within(low: Steps, high: Steps) -> tuple[Steps, Steps]:
    """All steps of the ranges [low, high), and the number of the range each is of."""
    sizes = high - low
    owner = np.repeat(np.arange(len(low)), sizes)
    return np.arange(sizes.sum()) - (np.cumsum(sizes) - sizes - low)[owner], owner


def _cost(starts: Steps, ends: Steps, first: Steps, count: int) -> Floats:
    """Cost of the steps missed inside incidents at each threshold; it changes only where a step of the incident joins."""
    changes = np.zeros(count + 1)
    for start, end in zip(starts, ends, strict=True):
        inside = first[start : end + 1]
        states = np.unique(inside[inside < count])
        block = max(1, _CELLS // len(inside))
        costs = [_cost_of_gaps(inside[:, None] <= states[a : a + block]) for a in range(0, len(states), block)]
        changes[0] += len(inside)
        changes[states] += np.diff(np.concatenate([[len(inside)], *costs]))
    return np.cumsum(changes[:count])


def _cost_of_gaps(called: NDArray[np.bool_]) -> Floats:
    """Cost (S,) of the missed steps of one incident of L steps in S states, called (L, S) with at least one step in each.

    A gap step within the length of the first called run from the start costs 1; a later one 1 less its summed distance to those
    steps, in units of the last step's distance to all.
    """
    size = len(called)
    place = np.arange(size)[:, None]
    begin = called.argmax(axis=0)
    gap = ~called & (place > begin)
    grace = np.where(gap.any(axis=0), gap.argmax(axis=0), size) - begin
    late = ~called & (place > grace)
    counted, placed = late.sum(axis=0), (late * place).sum(axis=0)
    saved = (grace + 1) * (placed - counted * grace / 2) / max(1.0, size * (size - 1) / 2)
    return np.asarray((~called).sum(axis=0) - saved, dtype=np.float64)
