"""Colour and shape of a scan speak for each other: distances of one modality are raised where the other one sees something strange.

Source: Li et al., MuSc-V2 (2025, arXiv 2511.10047), cross-modal anomaly enhancement (CAE). ρ(S → T) gives every element of T the
element of S of the same rank: T's order in S's range, so that distances of two modalities can be compared at all. With D₂ the
distances of cells of the picture to each partner, D₃ those of the centres of point groups, C₂ the mean D₃ of the centres in a cell,
and C₃ the D₂ of a centre's cell: M = max(D, ρ(D → C)) · (1 − ρ(std D → std C)), std that of a sample of partners (divided by one less
than their number, as the authors' program does); the result is (D + ρ(D → M)) / 2.
Ours: equal elements of T share the mean of their ranks' values, so that the result does not depend on the order of partners; where the
counts differ, S is read at the same share of its ranks; cells without a centre hear nothing and take no part in ρ(D → C).

Axes and units: distances (partners, P) of P cells and (partners, G) of G centres, 0 to 2; `cell` (G,) is the cell a centre lies in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float32]


def transferred(source: NDArray[Any], target: NDArray[Any]) -> NDArray[np.float32]:
    """ρ(source → target): the values of `source` (any shape) in the order of `target`, in its shape.

    >>> transferred(np.array([10.0, 30.0, 20.0]), np.array([[0.5, 0.1, 0.9]])).tolist()
    [[20.0, 10.0, 30.0]]
    >>> transferred(np.array([1.0, 3.0]), np.array([7.0, 7.0])).tolist()
    [2.0, 2.0]
    """
    if target.size == 0:
        return np.zeros(target.shape, dtype=np.float32)
    values = np.sort(source.ravel().astype(np.float64))
    if len(values) != target.size:
        values = np.interp(np.linspace(0, len(values) - 1, target.size), np.arange(len(values)), values)
    _, rank, count = np.unique(target.ravel(), return_inverse=True, return_counts=True)
    shared = np.add.reduceat(values, np.cumsum(count) - count) / count
    return np.asarray(shared[rank.ravel()].reshape(target.shape), dtype=np.float32)


def heard(own: Table, other: Table, covered: NDArray[np.bool_]) -> Table:
    """Distances (partners, P) raised by those of the other modality at the same places; `covered` (P,) is where it has any."""
    missing = min(1, len(own) - 1)  # a single partner spreads by 0
    confidence = 1 - transferred(own.std(axis=0, ddof=missing), other.std(axis=0, ddof=missing))
    loudest = own.copy()
    loudest[:, covered] = np.maximum(own[:, covered], transferred(own[:, covered], other[:, covered]))
    return np.asarray((own + transferred(own, loudest * confidence)) / 2, dtype=np.float32)


def collaborated(cells: Table, centres: Table, cell: NDArray[np.int64]) -> tuple[Table, Table]:
    """Distances of cells (partners, P) and of centres (partners, G), both with the other modality heard; the partners are the same.

    >>> flat, dent = np.full((2, 4), 0.1, np.float32), np.array([[0.1, 0.9], [0.2, 0.8]], np.float32)
    >>> [part.shape for part in collaborated(flat, dent, np.array([0, 3]))]
    [(2, 4), (2, 2)]
    """
    count = np.bincount(cell, minlength=cells.shape[1])
    totals = np.stack([np.bincount(cell, row, minlength=cells.shape[1]) for row in centres.astype(np.float64)])
    means = np.asarray(totals / np.maximum(count, 1), dtype=np.float32)
    everywhere = np.ones(centres.shape[1], dtype=np.bool_)
    return heard(cells, means, count > 0), heard(centres, cells[:, cell], everywhere)
