"""Labelled incidents of a series as spans of steps, and the first of falling thresholds at which each step is called strange."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Steps = NDArray[np.int64]
Floats = NDArray[np.float64]


def spans(labels: NDArray[Any]) -> tuple[Steps, Steps]:
    """First and last step of each run of ones in labels (T,) 0/1, both (K,) and both inclusive.

    >>> [part.tolist() for part in spans(np.array([1, 0, 1, 1]))]
    [[0, 2], [0, 3]]
    """
    edges = np.diff(np.concatenate([[0], np.asarray(labels, dtype=np.int64), [0]]))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1


def first_called(scores: Floats, thresholds: Floats) -> Steps:
    """Index of the first of the falling `thresholds` (N,) that a score reaches (score ≥ threshold); N where it reaches none.

    >>> first_called(np.array([0.9, 0.5, 0.1]), np.array([0.8, 0.5])).tolist()
    [0, 1, 2]
    """
    return np.asarray(len(thresholds) - np.searchsorted(thresholds[::-1], scores, side="right"), dtype=np.int64)


def reached(first: Steps, count: int, weights: Floats | None = None) -> Floats:
    """Total weight (1 each if None) of the steps called at each of `count` falling thresholds, (count,).

    >>> reached(np.array([0, 1, 1, 2]), 2).tolist()
    [1.0, 3.0]
    """
    return np.cumsum(np.bincount(first, weights, minlength=count + 1)[:count], dtype=np.float64)
