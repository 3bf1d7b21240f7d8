"""A scan's surface as geometric features at spread centres, and from values at centres back to a map of the scan.

Source: MuSc-V2 (2025, arXiv 2511.10047), its three-dimensional branch, with descriptors of `models.point_descriptors` in place of a
pretrained point transformer, unless its weights are given (`models.point_mae`); the values of the three nearest centres are interpolated
by inverse square distance, as in PointNet++ (2017).

Axes and units: scans (H, W, 3); features (G, C) float32 of length 1 per layer; values (G,); maps (H, W) float32, 0 where the
scan shows no part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.samples import PointSample
from tools.image.scan_surface import FEWEST, part, thinned

if TYPE_CHECKING:
    import torch

ANGLES = "angles"
INTERPOLATED = 3
BLUR = 4 / 224
"""Standard deviation of the map's Gaussian as share of the root of its area, as in the paper."""
LITTLE = 0.5
"""Share of measured points around a pixel below which its value fades."""


@dataclass(frozen=True, eq=False)
class Surface:
    """`vectors` (G, C) per layer; `pixels` (G,) flat indices of the centres; where the part is (H, W), and its points' (n, 3) centres."""

    vectors: list[torch.Tensor]
    pixels: NDArray[np.int64]
    shown: NDArray[np.bool_]
    nearest: NDArray[np.int64]
    weights: NDArray[np.float64]

    def cells(self, grid: tuple[int, int]) -> NDArray[np.int64]:
        """The cell (G,) of a grid (rows, columns) over the scan's picture that each centre lies in, row by row."""
        height, width = self.shown.shape
        rows, columns = self.pixels // width * grid[0] // height, self.pixels % width * grid[1] // width
        return np.asarray(rows * grid[1] + columns, dtype=np.int64)

    def to_pixels(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map (H, W) of values (G,) at the centres; unmeasured spots in the part are filled, away from it the map is 0."""
        from scipy.ndimage import gaussian_filter

        flat: NDArray[np.float64] = np.zeros(self.shown.shape, dtype=np.float64)
        flat[self.shown] = (values[self.nearest] * self.weights).sum(axis=1)
        if len(flat) == 1:  # a loose cloud: its points lie beside each other by chance
            return flat.astype(np.float32)
        sigma = BLUR * flat.size**0.5
        blurred = gaussian_filter(flat, sigma, mode="constant")
        share = gaussian_filter(self.shown.astype(np.float64), sigma, mode="constant")
        edge = gaussian_filter(np.ones_like(flat), sigma, mode="constant")
        return np.asarray(blurred / np.maximum(share, LITTLE * edge), dtype=np.float32)


class SurfaceEncoder:
    """Turns scans into surfaces.

    Args:
        grid: an organised scan is thinned to about grid² places, a loose cloud to grid² points.
        groups: centres per scan.
        size: points per group.
        inner: how many of a group's first points each layer's descriptor is of.
        table: take the plane that the rim lies on away.
        shape: "angles" describes groups by angle histograms; else the path of Point-MAE weights, tapped after as many blocks as `inner` has
            entries.
        device: "auto", "cpu", "cuda" or "cuda:N".

    >>> from core.synthetic import case
    >>> surface = SurfaceEncoder(groups=64, size=32, inner=(8, 32)).surface(case("points").odd)
    >>> [tuple(v.shape) for v in surface.vectors], surface.to_pixels(np.ones(64, np.float32)).shape
    ([(64, 33), (64, 33)], (90, 120))
    """

    def __init__(
        self, *, grid: int = 224, groups: int = 1024, size: int = 128, inner: tuple[int, ...] = (32, 128), table: bool = True,
        shape: str = ANGLES, device: str = "auto",
    ) -> None:  # fmt: skip
        self.shape = shape
        self.grid, self.groups, self.size, self.inner, self.table, self.device = grid, groups, size, inner, table, device

    @property
    def channels(self) -> int:
        """Channels of every layer."""
        from models.point_descriptors import BINS
        from models.point_mae import load

        return 3 * BINS if self.shape == ANGLES else load(self.shape).channels

    def surface(self, scan: PointSample) -> Surface | None:
        """The surface of a scan; None where it shows too few measured points."""
        import torch
        from scipy.spatial import cKDTree

        from models.device import place
        from models.point_descriptors import descriptors, normals
        from models.point_groups import grouped
        from models.point_mae import load, scaled
        from tools.image.similar_neighbours import REACHES, of_centres

        shown = part(scan, table=self.table)
        kept = thinned(shown, self.grid)
        if len(kept) < FEWEST:
            return None
        every = scan.xyz.reshape(-1, 3).astype(np.float64)
        points = every[kept]
        groups = grouped(points, groups=self.groups, size=self.size)
        if self.shape == ANGLES:
            layers = [
                torch.from_numpy(layer)
                for layer in descriptors(points, normals(points), groups.centres, groups.members, self.inner)
            ]
        else:
            within = scaled(points)
            middles = within[groups.centres]
            layers = load(self.shape).tokens(within[groups.members] - middles[:, None], middles, layers=len(self.inner))
        at = points[groups.centres]
        tree = cKDTree(at)
        around = _nearest(tree, at, max(REACHES))[1]
        around[:, 0], rest = np.arange(len(at)), around[:, 0]
        twins = (around[:, 1:] == around[:, :1]).nonzero()
        around[twins[0], twins[1] + 1] = rest[twins[0]]  # centres at one place: the own one first
        apart, nearest = _nearest(tree, every[shown.ravel()], INTERPOLATED)
        weights = 1 / np.maximum(apart, 1e-9 * max(float(apart.max()), 1e-300)) ** 2
        device = place(self.device).device
        neighbours, curved = torch.from_numpy(around).to(device), torch.from_numpy(groups.curvature).to(device)
        return Surface(
            vectors=[of_centres(layer.to(device), neighbours, curved) for layer in layers],
            pixels=kept[groups.centres],
            shown=shown,
            nearest=nearest,
            weights=weights / weights.sum(axis=1, keepdims=True),
        )


def _nearest(tree: object, points: NDArray[np.float64], count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distances and indices (n, k) of the nearest centres, k at most as many as there are."""
    from scipy.spatial import cKDTree

    assert isinstance(tree, cKDTree)
    k = min(count, tree.n)
    apart, nearest = tree.query(points, k=k)
    return apart.reshape(len(points), k), np.asarray(nearest, dtype=np.int64).reshape(len(points), k)
