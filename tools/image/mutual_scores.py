"""Mutual scoring: how far each patch of a photo is from its nearest patch in each of the other photos.

Source: Li et al., MuSc (ICLR 2024), mutual scoring: a(p; j) = min over patches q of photo j of ‖p − q‖, and a patch's strangeness is
the mean of its lowest a(p; ·): lowest, because good parts also differ and some photos are odd themselves.
Ours: one product of two photos' patches serves both directions (largest of each row, largest of each column), in tiles that
stay in the processor's cache; no table of patches against patches is ever held, only the (partners, P) minima. Exact but for
rounding: patches closer than about 0.001 are found at 0 to 0.001 (with the faster products of `models.cosines`: 0.007).

Axes and units: unit vectors (P, C), P = rows · columns of a photo's grid, row by row; distances of unit vectors, 0 to 2; a window is
measured in cells of the grid.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.cosines import Factor, Space, factor, stacked

if TYPE_CHECKING:
    import torch

Grid: TypeAlias = tuple[int, int]
GPU_ROWS = 16
"""Tables whose sides are multiples of this are multiplied by a GPU's fastest kernels, others up to five times as slowly (H200)."""


def minima(
    photos: Sequence[torch.Tensor],
    normals: Sequence[torch.Tensor] = (),
    *,
    grids: Sequence[Grid] = (),
    normal_grids: Sequence[Grid] = (),
    window: int | None = None,
    exact: bool = True,
    done: Callable[[int], None] = lambda _: None,
) -> list[torch.Tensor]:
    """Distances (partners, P) of each photo's patches to the nearest patch of each partner.

    Partners of photo i are the other photos in order, then the normals. With a `window` a patch p of i is compared only with patches at
    most that many cells away (both grids stretched to one size; the `grids` (rows, columns) are needed then). Without `exact`
    the products are those of `models.cosines` that are fastest here.
    `done` is called after each photo with how many are finished.

    >>> import torch
    >>> east, north = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> [table.tolist() for table in minima([east, east, torch.cat([north, east])])]
    [[[0.0], [0.0]], [[0.0], [0.0]], [[1.41..., 0.0], [1.41..., 0.0]]]
    """
    from models.nearest import distance

    ours, theirs = Partners(photos, exact=exact), Partners(normals, exact=exact)
    count, met = len(photos), len(photos) - 1 + len(normals)
    alike = photos[0].new_empty((count, met, ours.sizes[0])) if len(set(ours.sizes)) == 1 else None
    closest = [photos[0].new_empty((met, size)) for size in ours.sizes] if alike is None else list(alike)
    for i in range(count):
        for group in ours.groups(i + 1, ours.factors[i], single=window is not None):
            near = None if window is None else Window(grids[i], grids[group.start], window)
            forward, backward = both_ways(ours.factors[i], ours, group, near)
            closest[i][group.start - 1 : group.stop - 1] = forward
            if alike is None:
                for j, found in zip(group, backward, strict=True):
                    closest[j][i] = found
            else:  # one step for the whole run: on a GPU, steps are what time goes into
                alike[group.start : group.stop, i] = backward
        for group in theirs.groups(0, ours.factors[i], single=window is not None):
            near = None if window is None else Window(grids[i], normal_grids[group.start], window)
            closest[i][count - 1 + group.start : count - 1 + group.stop] = one_way(ours.factors[i], theirs, group, near)
        done(i + 1)
    return [distance(cosines[:, : len(vectors)]) for cosines, vectors in zip(closest, photos, strict=True)]


class Partners:
    """Photos' unit vectors (P, C), one photo below the other, so that photos of one size are met in one product."""

    def __init__(self, photos: Sequence[torch.Tensor], *, exact: bool) -> None:
        self.factors = [factor(_padded(vectors), exact=exact) for vectors in photos]
        self.sizes = [len(one) for one in self.factors]
        self.starts = [0, *np.cumsum(self.sizes).tolist()]
        self.space = Space()
        self.all = stacked(self.factors) if self.factors else None

    def groups(self, first: int, ours: Factor, *, single: bool) -> Iterator[range]:
        """Runs of photos from `first` on that have one size and whose products with `ours` fit into a tile; `single`: one by one."""
        while first < len(self.sizes):
            size = self.sizes[first]
            most = 1 if single else max(1, ours.tile // max(1, size * len(ours)))
            last = first + 1
            while last < len(self.sizes) and last - first < most and self.sizes[last] == size:
                last += 1
            yield range(first, last)
            first = last

    def of(self, group: range) -> Factor:
        """The vectors of a run of photos."""
        assert self.all is not None
        return self.all[self.starts[group.start] : self.starts[group.stop]]

    def cosines(self, raw: torch.Tensor, ours: Factor, group: range) -> torch.Tensor:
        """Raw products (photos, …) of a run with ours as cosines."""
        import torch

        if ours.left is None:
            return raw
        return raw * torch.tensor([ours.unit * self.factors[j].unit for j in group])[:, None]


def _padded(vectors: torch.Tensor) -> torch.Tensor:
    """On a GPU, rows up to a multiple of GPU_ROWS, by repeating the first ones, which changes no minimum."""
    import torch

    missing = -len(vectors) % GPU_ROWS if vectors.device.type == "cuda" and len(vectors) >= GPU_ROWS else 0
    return torch.cat([vectors, vectors[:missing]]) if missing else vectors


def lowest_mean(table: torch.Tensor, share: float, kept: NDArray[np.bool_] | None = None) -> torch.Tensor:
    """Mean (P,) of the lowest `share` of each column of distances (partners, P), at least one of them.

    `kept` (partners,) bool leaves partners out; with none left, all count.

    >>> import torch
    >>> lowest_mean(torch.tensor([[3.0], [1.0], [2.0]]), 0.5).tolist()
    [1.5]
    """
    import torch

    if kept is not None and kept.any():
        table = table[torch.from_numpy(kept).to(table.device)]
    count = max(1, math.ceil(share * len(table)))
    if table.device.type == "cpu":  # five times as fast as topk
        return torch.from_numpy(np.partition(table.numpy(), count - 1, axis=0)[:count].mean(axis=0))
    columns = table.T.contiguous()  # selecting along the last axis is many times as fast
    lowest: torch.Tensor = columns.topk(count, dim=1, largest=False, sorted=False).values.mean(dim=1)
    return lowest


class Window:
    """Which patches of two grids are at most `cells` cells apart, rows and columns each, both grids stretched to the smaller one.

    >>> Window((1, 5), (1, 5), 1).beyond(0, 1, 0, 5).tolist()
    [[False, False, True, True, True]]
    """

    def __init__(self, ours: Grid, theirs: Grid, cells: int) -> None:
        self.ours, self.theirs, self.cells = ours, theirs, cells

    def beyond(self, first: int, last: int, low: int, high: int) -> torch.Tensor:
        """Whether patch `low`..`high` of theirs is too far from patch `first`..`last` of ours."""
        down, across = (_apart(a, b, self.cells) for a, b in zip(self.ours, self.theirs, strict=True))
        rows, columns = self.ours[1], self.theirs[1]
        top, bottom = first // rows, -(-last // rows)
        upper, lower = low // columns, -(-high // columns)
        block = down[top:bottom, None, upper:lower, None] | across[None, :, None, :]
        flat = block.reshape((bottom - top) * rows, (lower - upper) * columns)
        return flat[first - top * rows : last - top * rows, low - upper * columns : high - upper * columns]

    def band(self, first: int, last: int) -> tuple[int, int]:
        """The run of their patches outside which nothing is near patches `first`..`last` of ours."""
        apart = _apart(self.ours[0], self.theirs[0], self.cells)[first // self.ours[1] : -(-last // self.ours[1])]
        reached = (~apart).any(dim=0).nonzero().flatten()
        return int(reached[0]) * self.theirs[1], (int(reached[-1]) + 1) * self.theirs[1]


@lru_cache(maxsize=64)
def _apart(ours: int, theirs: int, cells: int) -> torch.Tensor:
    """(ours, theirs) whether two cells of an edge are more than `cells` of the shorter grid apart."""
    import torch

    def middles(count: int) -> torch.Tensor:
        return (torch.arange(count) + 0.5) * (min(ours, theirs) / count)

    apart: torch.Tensor = (middles(ours)[:, None] - middles(theirs)[None]).abs() > cells + 1e-4
    return apart


def both_ways(ours: Factor, partners: Partners, group: range, window: Window | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Largest cosine (photos, P) of each of our rows with each photo of the run, and (photos, Q) of its rows with ours."""
    theirs = partners.of(group)
    forward: list[torch.Tensor] = []
    backward: torch.Tensor | None = None
    for low, high, raw in _products(ours, theirs, window, partners.space):
        forward.append(_best_of_each(raw, len(group)))
        best = raw.amax(dim=0)
        if backward is None and high - low == len(theirs):
            backward = best
            continue
        if backward is None:
            backward = raw.new_full((len(theirs),), _least(raw))
        backward[low:high] = backward[low:high].maximum(best)
    assert backward is not None
    return partners.cosines(_joined(forward), ours, group), partners.cosines(backward.view(len(group), -1), ours, group)


def one_way(ours: Factor, partners: Partners, group: range, window: Window | None = None) -> torch.Tensor:
    """Largest cosine (photos, P) of each of our rows with each photo of the run."""
    products = _products(ours, partners.of(group), window, partners.space)
    return partners.cosines(_joined([_best_of_each(raw, len(group)) for _, _, raw in products]), ours, group)


def _best_of_each(raw: torch.Tensor, photos: int) -> torch.Tensor:
    """Largest raw product (rows, photos) of each row with each photo of a run."""
    return raw.view(len(raw), photos, -1).amax(dim=2)


def _joined(tiles: list[torch.Tensor]) -> torch.Tensor:
    import torch

    return (tiles[0] if len(tiles) == 1 else torch.cat(tiles)).T


def _products(ours: Factor, theirs: Factor, window: Window | None, space: Space) -> Iterator[tuple[int, int, torch.Tensor]]:
    """Raw products of a tile of our rows with patches low..high of theirs, tile by tile; the least number beyond the window."""
    height = max(64, ours.tile // len(theirs))
    for first in range(0, len(ours), height):
        last = min(first + height, len(ours))
        low, high = (0, len(theirs)) if window is None else window.band(first, last)
        raw = ours[first:last].times(theirs[low:high], space)
        if window is not None:
            raw.masked_fill_(window.beyond(first, last, low, high).to(raw.device), _least(raw))
        yield low, high, raw


def _least(raw: torch.Tensor) -> float:
    """The least number of a table of products."""
    import torch

    return -math.inf if raw.is_floating_point() else torch.iinfo(raw.dtype).min


def dealt(contents: Sequence[tuple[str, bytes]], *, size: int, seed: int) -> list[list[int]]:
    """Indices of samples (name, content) in groups of about `size`, random but the same for every order of the samples.

    >>> dealt([("a", b"1"), ("b", b"2"), ("c", b"3")], size=40, seed=0)
    [[0, 1, 2]]
    >>> sorted(map(len, dealt([(str(n), b"") for n in range(10)], size=3, seed=0)))
    [3, 3, 4]
    """
    groups = max(1, round(len(contents) / size))
    if groups == 1:
        return [list(range(len(contents)))]
    keys = [hashlib.sha256(f"{seed}\0{name}\0".encode() + content).digest() for name, content in contents]
    order = sorted(range(len(contents)), key=keys.__getitem__)
    return [[int(index) for index in part] for part in np.array_split(np.array(order), groups)]
