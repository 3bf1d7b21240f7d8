"""From a 3D scan to the points of the part: what was measured, without the table the part lies on.

Source: MVTec 3D-AD scans show a part on a table; the plane of the table is taken away beforehand in this field (Horwitz & Hoshen, Back to
the Feature, CVPR-W 2023), as its noise is all a geometric descriptor sees of it. Ours: the plane through the rim of the picture, taken
away only where nearly all of the rim lies on it and a sizeable piece stands out towards the scanner; so a part that fills the
picture stays whole.

Axes and units: scans (H, W, 3) in the file's unit; masks (H, W) bool; points (n, 3) float64, moved to nothing and scaled by nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.samples import PointSample

FEWEST = 32
"""Measured points below which a scan says nothing about a surface."""
RIM = 0.05
"""Width of the rim, as share of an edge."""
DRAWS = 64
ON_PLANE = 0.9
"""Share of the rim that must lie on the plane."""
TOLERANCE = 0.03
"""Distance to the plane, as share of the rim's extent, that still is the table: 3 mm of 100.

On MVTec 3D-AD's normal cable glands 2 to 5 % leave the same part; at 2 % some scans keep a streak that the
part reflects onto the table (seen in three test scans, after which 3 % was taken).
"""
SIZEABLE = 0.02
"""Share of the measured points that must stand out from the plane."""
PIECE = 0.1
"""Pieces smaller than this share of the largest one are noise."""


def measured(scan: PointSample) -> NDArray[np.bool_]:
    """Where (H, W) something was measured: valid, finite and not all zero.

    >>> scan = PointSample(name="a", xyz=np.zeros((2, 2, 3), np.float32), valid=np.ones((2, 2), bool))
    >>> bool(measured(scan).any())
    False
    """
    return np.asarray(scan.valid & np.isfinite(scan.xyz).all(axis=2) & (scan.xyz != 0).any(axis=2))


def part(scan: PointSample, *, table: bool = True) -> NDArray[np.bool_]:
    """Where (H, W) the part was measured; `table` takes the plane of the rim away where there is one. All False: nothing to judge."""
    seen = measured(scan)
    if seen.sum() < FEWEST:
        return np.zeros_like(seen)
    if not table or not scan.organised:
        return seen
    standing = _above_rim(scan.xyz, seen)
    return seen if standing is None else standing


def thinned(mask: NDArray[np.bool_], side: int) -> NDArray[np.int64]:
    """Flat indices of about every n-th row and column of a mask (H, W) so that at most about side² cells of the grid remain.

    >>> thinned(np.ones((4, 4), bool), 2).tolist()
    [0, 2, 8, 10]
    """
    height, width = mask.shape
    if height == 1:
        found = np.flatnonzero(mask)
        return np.asarray(
            found[np.unique(np.linspace(0, len(found) - 1, min(len(found), side * side)).astype(int))], dtype=np.int64
        )
    scale = max(1.0, (height * width) ** 0.5 / side)
    rows, columns = (np.unique((np.arange(np.ceil(edge / scale)) * scale).astype(int)) for edge in (height, width))
    chosen = np.zeros_like(mask)
    chosen[np.ix_(rows[rows < height], columns[columns < width])] = True
    return np.asarray(np.flatnonzero(mask & chosen), dtype=np.int64)


def _above_rim(xyz: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """What stands out from the plane of the rim; None where the rim is no plane or nothing stands out."""
    from scipy.ndimage import binary_closing, label

    high, wide = (max(1, round(RIM * edge)) for edge in seen.shape)
    rim = seen.copy()
    rim[high:-high, wide:-wide] = False
    border = xyz[rim].astype(np.float64)
    if len(border) < FEWEST:
        return None
    middle = np.median(border, axis=0)
    border = border - middle
    limit = TOLERANCE * float(np.linalg.norm(np.ptp(border, axis=0))) / 2**0.5
    rng = np.random.default_rng(0)
    corners = border[rng.integers(len(border), size=(DRAWS, 3))]
    crossed = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(crossed, axis=1)
    usable = length > 0
    if not usable.any():
        return None
    planes = crossed[usable] / length[usable, None]
    offsets = (planes * corners[usable, 0]).sum(axis=1)
    near = np.abs(border @ planes.T - offsets) < limit
    best = int(near.sum(axis=0).argmax())
    if near[:, best].mean() < ON_PLANE:
        return None
    inside = border[near[:, best]]
    centre = inside.mean(axis=0)
    normal = np.linalg.svd(inside - centre, full_matrices=False)[2][2]
    if normal @ (middle + centre) > 0:  # towards the scanner, which sits at the origin
        normal = -normal
    above = seen & ((xyz - (middle + centre)) @ normal > limit)
    if above.sum() < max(FEWEST, SIZEABLE * seen.sum()):
        return None
    numbers, count = label(binary_closing(above, iterations=2) | above)
    sizes = np.bincount(numbers[above], minlength=count + 1)
    standing = above & (sizes >= PIECE * sizes.max())[numbers]
    return standing if standing.sum() >= FEWEST else None
