"""Mutual scoring: how far each patch of a photo is from its nearest patch in each of the other photos.

Source: Li et al., MuSc (ICLR 2024), mutual scoring: a(p; j) = min over patches q of photo j of ‖p − q‖, and a patch's strangeness is
the mean of its lowest a(p; ·): lowest, because good parts also differ and some photos are odd themselves.
Ours: one product of two photos' patches serves both directions (largest of each row, largest of each column), in tiles that
stay in the processor's cache; no table of patches against patches is ever held, only the (partners, P) minima. Exact but for
rounding: patches closer than about 0.001 are found at 0 to 0.001.

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

if TYPE_CHECKING:
    import torch

Grid: TypeAlias = tuple[int, int]
TILE = {"cpu": 200_000, "cuda": 64_000_000}
"""Cosines held at once: on a CPU 800 kB stay in the second-level cache while they are reduced twice."""
FAR = -1.0
"""Cosine of patches that were not compared: the smallest there is."""


def minima(
    photos: Sequence[torch.Tensor],
    normals: Sequence[torch.Tensor] = (),
    *,
    grids: Sequence[Grid] = (),
    normal_grids: Sequence[Grid] = (),
    window: int | None = None,
    done: Callable[[int], None] = lambda _: None,
) -> list[torch.Tensor]:
    """Distances (partners, P) of each photo's patches to the nearest patch of each partner.

    Partners of photo i are the other photos in order, then the normals. With a `window` a patch p of i is compared only with patches at
    most that many cells away (both grids stretched to one size; the `grids` (rows, columns) are needed then).
    `done` is called after each photo with how many are finished.

    >>> import torch
    >>> east, north = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> [table.tolist() for table in minima([east, east, torch.cat([north, east])])]
    [[[0.0], [0.0]], [[0.0], [0.0]], [[1.41..., 0.0], [1.41..., 0.0]]]
    """
    from models.nearest import distance

    count = len(photos)
    closest = [ours.new_empty((count - 1 + len(normals), len(ours))) for ours in photos]
    for i, ours in enumerate(photos):
        for j in range(i + 1, count):
            near = None if window is None else Window(grids[i], grids[j], window)
            closest[i][j - 1], closest[j][i] = both_ways(ours, photos[j], near)
        for j, normal in enumerate(normals):
            near = None if window is None else Window(grids[i], normal_grids[j], window)
            closest[i][count - 1 + j] = one_way(ours, normal, near)
        done(i + 1)
    return [distance(cosines) for cosines in closest]


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
    lowest: torch.Tensor = table.topk(count, dim=0, largest=False).values.mean(dim=0)
    return lowest


class Window:
    """Which patches of two grids are at most `cells` cells apart, rows and columns each, both grids stretched to the smaller one.

    >>> Window((1, 5), (1, 5), 1).bias(0, 1, 0, 5).tolist()
    [[0.0, 0.0, -inf, -inf, -inf]]
    """

    def __init__(self, ours: Grid, theirs: Grid, cells: int) -> None:
        self.ours, self.theirs, self.cells = ours, theirs, cells

    def bias(self, first: int, last: int, low: int, high: int) -> torch.Tensor:
        """0 where patch `first`..`last` of ours may meet patch `low`..`high` of theirs, −∞ elsewhere."""
        down, across = (_apart(a, b, self.cells) for a, b in zip(self.ours, self.theirs, strict=True))
        rows, columns = self.ours[1], self.theirs[1]
        top, bottom = first // rows, -(-last // rows)
        upper, lower = low // columns, -(-high // columns)
        block = down[top:bottom, None, upper:lower, None] + across[None, :, None, :]
        flat = block.reshape((bottom - top) * rows, (lower - upper) * columns)
        return flat[first - top * rows : last - top * rows, low - upper * columns : high - upper * columns]

    def band(self, first: int, last: int) -> tuple[int, int]:
        """The run of their patches outside which nothing is near patches `first`..`last` of ours."""
        allowed = _apart(self.ours[0], self.theirs[0], self.cells)[first // self.ours[1] : -(-last // self.ours[1])]
        reached = (allowed == 0).any(dim=0).nonzero().flatten()
        return int(reached[0]) * self.theirs[1], (int(reached[-1]) + 1) * self.theirs[1]


@lru_cache(maxsize=64)
def _apart(ours: int, theirs: int, cells: int) -> torch.Tensor:
    """(ours, theirs) 0 where two cells of an edge are within `cells` of the shorter grid, else −∞."""
    import torch

    def middles(count: int) -> torch.Tensor:
        return (torch.arange(count) + 0.5) * (min(ours, theirs) / count)

    near = (middles(ours)[:, None] - middles(theirs)[None]).abs() <= cells + 1e-4
    return torch.zeros(ours, theirs).masked_fill_(~near, -math.inf)


def both_ways(a: torch.Tensor, b: torch.Tensor, window: Window | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Largest cosine of each row of `a` with `b` and of each row of `b` with `a`, from one product."""
    forward, backward = a.new_empty(len(a)), b.new_full((len(b),), FAR)
    for rows, low, high, cosine in _products(a, b, window):
        forward[rows] = cosine.amax(dim=1)
        backward[low:high] = backward[low:high].maximum(cosine.amax(dim=0))
    return forward, backward


def one_way(a: torch.Tensor, b: torch.Tensor, window: Window | None = None) -> torch.Tensor:
    """Largest cosine of each row of `a` with `b`."""
    forward = a.new_empty(len(a))
    for rows, _, _, cosine in _products(a, b, window):
        forward[rows] = cosine.amax(dim=1)
    return forward


def _products(a: torch.Tensor, b: torch.Tensor, window: Window | None) -> Iterator[tuple[slice, int, int, torch.Tensor]]:
    """Cosines of a tile of rows of `a` with patches low..high of `b`, tile by tile."""
    height = max(64, TILE[a.device.type] // len(b))
    for first in range(0, len(a), height):
        last = min(first + height, len(a))
        low, high = (0, len(b)) if window is None else window.band(first, last)
        cosine = a[first:last] @ b[low:high].T
        if window is not None:
            cosine += window.bias(first, last, low, high).to(a.device)
        yield slice(first, last), low, high, cosine


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
