"""How the surface bends around a point: histograms of the angles between a centre's normal and those of its group.

Source: Rusu et al., Fast Point Feature Histograms (FPFH) for 3D Registration (ICRA 2009), its simplified histogram: with u the centre's
normal, d the unit offset to a member, v = d × u, w = u × v and n the member's normal, the three angles are v·n, u·d and
atan2(w·n, u·n). They do not change when the part is moved or turned.
Ours: a root stretches angles around 0, where smooth surfaces have nearly all of theirs; a value is shared between its two nearest
bins; histograms enter by their roots, so that Euclidean distance is Hellinger's and a few odd members count.

Axes and units: points (N, 3) float64, any unit; normals (N, 3) of length 1, towards the origin of the coordinates, where scanners put
themselves; groups (G, M) indices; descriptors (G, 33) float32 of length 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.point_groups import Indices, Points

BINS = 11
NEIGHBOURS = 16
"""Points whose plane gives a normal."""
TINY = 1e-12


def normals(points: Points, *, neighbours: int = NEIGHBOURS) -> Points:
    """Normals (N, 3) of the plane through each point's nearest points, on the side of the origin.

    >>> grid = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0), [9.0]), -1).reshape(-1, 3)
    >>> np.abs(normals(grid)).round(6)[12].tolist(), bool((normals(grid)[:, 2] < 0).all())
    ([0.0, 0.0, 1.0], True)
    """
    from scipy.spatial import cKDTree

    count = min(neighbours, len(points))
    nearest = cKDTree(points).query(points, k=count)[1].reshape(len(points), count)
    around = points[nearest]
    around = around - around.mean(axis=1, keepdims=True)
    size = np.abs(around).max(axis=(1, 2), keepdims=True)
    around = around / np.where(size > 0, size, 1.0)
    found = np.linalg.eigh(around.transpose(0, 2, 1) @ around)[1][:, :, 0]
    away = (found * points).sum(axis=1) > 0
    return np.asarray(np.where(away[:, None], -found, found))


def angles(points: Points, directions: Points, centres: Indices, members: Indices) -> Points:
    """The three angles (G, M, 3) of each member to its centre, each brought to −1 to 1."""
    u = directions[centres][:, None]
    offset = points[members] - points[centres][:, None]
    length = np.linalg.norm(offset, axis=2, keepdims=True)
    d = offset / np.where(length > TINY, length, 1.0)
    v = np.cross(d, u)
    length = np.linalg.norm(v, axis=2, keepdims=True)
    v = v / np.where(length > TINY, length, 1.0)
    w = np.cross(u, v)
    n = directions[members]
    turn = np.arctan2((w * n).sum(axis=2), (u * n).sum(axis=2)) / np.pi
    return np.stack([(v * n).sum(axis=2), (u * d).sum(axis=2), turn], axis=2).clip(-1, 1)


def histograms(values: Points) -> NDArray[np.float32]:
    """Descriptors (G, 33) of length 1 from angles (G, M, 3) in −1 to 1.

    >>> found = histograms(np.zeros((1, 4, 3)))
    >>> np.flatnonzero(found[0]).tolist(), float(np.linalg.norm(found[0]).round(6))
    ([5, 16, 27], 1.0)
    """
    groups, members, kinds = values.shape
    at = (np.sign(values) * np.sqrt(np.abs(values)) + 1) / 2 * (BINS - 1)
    low = np.minimum(np.floor(at).astype(np.int64), BINS - 2)
    share = at - low
    place = (np.arange(groups)[:, None, None] * kinds + np.arange(kinds)) * BINS + low
    counts = np.bincount(place.ravel(), (1 - share).ravel(), groups * kinds * BINS)
    counts += np.bincount(place.ravel() + 1, share.ravel(), groups * kinds * BINS)
    roots = np.sqrt(counts.reshape(groups, kinds * BINS) / (members * kinds))
    return np.asarray(roots, dtype=np.float32)


def descriptors(
    points: Points, directions: Points, centres: Indices, members: Indices, sizes: tuple[int, ...]
) -> list[NDArray[np.float32]]:
    """Descriptors (G, 33) of each group's first members, one array per size; the centre itself, place 0, says nothing and is left out.

    A group of the centre alone has the descriptor of a plane.
    """
    found = angles(points, directions, centres, members[:, 1:] if members.shape[1] > 1 else members)
    return [histograms(found[:, : max(1, size - 1)]) for size in sizes]
