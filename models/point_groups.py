"""Groups of neighbouring points on a scanned surface: evenly spread centres, and around each the points that the surface leads to.

Source: iterative point grouping (IPG) of Li et al., MuSc-V2 (2025, arXiv 2511.10047): on a flat place the nearest points are the
surface; on a curved one, where the nearest points may lie across an edge or behind a thin wall, the nearest ones only start the group
and the rest are those nearest to any member. All centres grow at once here: each round updates the distance of every candidate to the
group by the members that came last.

Axes and units: points (N, 3) float64 in the scan's unit, which does not matter; groups (G, M) hold indices of points, the nearest first,
the centre itself at place 0; curvature λ_min / Σλ is 0 on a plane and at most 1/3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Indices = NDArray[np.int64]

FLAT = 0.01
"""Curvature below which the nearest points are the group."""
FIRST = 0.625
"""Share of a group that is added in one round: 80 of 128 points."""
CANDIDATES = 2
"""A group is chosen among this many times its size of the centre's nearest points."""
CENTRES_AT_ONCE = 128
"""Keeps the largest table, candidates × members, below 20 MB."""


@dataclass(frozen=True, eq=False)
class Groups:
    """`centres` (G,) and `members` (G, M) as indices of points, `curvature` (G,)."""

    centres: Indices
    members: Indices
    curvature: NDArray[np.float64]


def spread(points: Points, count: int) -> Indices:
    """Indices (min(count, N),) of points far from each other: farthest point sampling from the point farthest off the mean.

    >>> spread(np.array([[0.0, 0, 0], [1, 0, 0], [1.1, 0, 0], [5, 0, 0]]), 3).tolist()
    [3, 0, 2]
    """
    count = min(count, len(points))
    chosen = np.empty(count, dtype=np.int64)
    chosen[0] = int(((points - points.mean(axis=0)) ** 2).sum(axis=1).argmax())
    closest = np.full(len(points), np.inf)
    for number in range(1, count):
        np.minimum(closest, ((points - points[chosen[number - 1]]) ** 2).sum(axis=1), out=closest)
        closest[chosen[number - 1]] = -1.0  # never twice, even among points at one place
        chosen[number] = int(closest.argmax())
    return chosen


def curvature(around: Points) -> NDArray[np.float64]:
    """λ_min / Σλ (G,) of the covariance of offsets (G, K, 3) from a centre; 0 where all points are one.

    >>> flat = np.array([[[1.0, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]]])
    >>> curvature(flat).tolist()
    [0.0]
    """
    largest = np.linalg.norm(around, axis=2).max(axis=1)
    scaled = around / np.where(largest > 0, largest, 1.0)[:, None, None]
    scaled = scaled - scaled.mean(axis=1, keepdims=True)
    values = np.linalg.eigvalsh(scaled.transpose(0, 2, 1) @ scaled).clip(0)
    total = values.sum(axis=1)
    return np.asarray(values[:, 0] / np.where(total > 0, total, 1.0))


def grouped(points: Points, *, groups: int, size: int) -> Groups:
    """At most `groups` groups of `size` points each (all points where there are fewer).

    >>> grid = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0), [0.0]), -1).reshape(-1, 3)
    >>> found = grouped(grid, groups=16, size=9)
    >>> found.members.shape, bool((found.members[:, 0] == found.centres).all()), float(found.curvature.max())
    ((16, 9), True, 0.0)
    """
    from scipy.spatial import cKDTree

    centres = spread(points, groups)
    size = min(size, len(points))
    reach = min(CANDIDATES * size, len(points))
    nearest = np.asarray(cKDTree(points).query(points[centres], k=reach)[1], dtype=np.int64).reshape(len(centres), reach)
    _bring_first(nearest, centres)
    bent = curvature(points[nearest[:, :size]] - points[centres][:, None])
    members = nearest[:, :size].copy()
    curved = np.flatnonzero(bent >= FLAT)
    for start in range(0, len(curved), CENTRES_AT_ONCE):
        rows = curved[start : start + CENTRES_AT_ONCE]
        members[rows] = np.take_along_axis(nearest[rows], grown(points[nearest[rows]], size), axis=1)
    return Groups(centres=centres, members=members, curvature=bent)


def grown(candidates: Points, size: int) -> Indices:
    """Which `size` of the candidates (G, K, 3), the centre's nearest points in order, make up each group, in the order of joining.

    >>> wall = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 0, 2.5], [0, 0, 2.6], [3, 0, 0], [4, 0, 0], [5, 0, 0], [6, 0, 0]]])
    >>> grown(wall, 3).tolist()  # the next point is nearer to the second member than the wall is to the first
    [[0, 1, 4]]
    """
    step = max(1, round(FIRST * size))
    rows = np.arange(len(candidates))[:, None]
    members = np.tile(np.arange(min(step, size)), (len(candidates), 1))
    closest = np.full(candidates.shape[:2], np.inf)
    fresh = members
    while members.shape[1] < size:
        joined = candidates[rows, fresh]
        # |a − b|² from products: a table of offsets would be three times as large.
        apart = (candidates**2).sum(axis=2)[:, :, None] + (joined**2).sum(axis=2)[:, None]
        apart -= 2 * candidates @ joined.transpose(0, 2, 1)
        closest = np.minimum(closest, apart.min(axis=2))
        closest[rows, members] = np.inf
        wanted = min(step, size - members.shape[1])
        fresh = np.argsort(closest, axis=1, kind="stable")[:, :wanted]
        members = np.concatenate([members, fresh], axis=1)
    return np.asarray(members, dtype=np.int64)


def _bring_first(nearest: Indices, centres: Indices) -> None:
    """Put each centre at place 0 of its row: among points at one place the tree may name another first."""
    for row in np.flatnonzero(nearest[:, 0] != centres):
        at = np.flatnonzero(nearest[row] == centres[row])
        if len(at):
            nearest[row, at[0]] = nearest[row, 0]
        nearest[row, 0] = centres[row]
