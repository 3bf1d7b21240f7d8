"""Nearest-neighbour search in the vectors of a bank: of every cell of a picture, or of those alone that make its number.

The number of a picture is the mean distance of its strangest cells. A cell's distance to any vector is a bound from above of that
to the nearest one; before a fixed ground the same place in another unit gives a good bound. So the cells with the highest bounds are
measured, those of several pictures in one pass over the bank, and then whatever could still be among the strangest: the numbers are
those of the whole search. Ours; the idea is that of early abandoning.

Axes: cells (N, C) float32 of a picture; vectors (P, C), those of unit u in rows starts[u] to starts[u + 1] − 1; distances Euclidean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from models.cosines import Factor, Space

LOOKED_AT, SAMPLED = 16, 48
"""Units whose nearest bounds a cell's distance, and cells by which it is decided which units are most like a picture."""
FIRST = 3
"""Times the wanted number of cells that are measured first, to learn what counts."""
ROUNDING = 0.02
"""Products of bytes are off by less than this, so that a bound that is no more below what counts may still hide a cell that does."""


@dataclass(frozen=True, eq=False)
class Search:
    """Vectors as they are kept, ready to be multiplied, and their squared lengths (P,)."""

    vectors: torch.Tensor
    kept: Factor
    squares: torch.Tensor
    starts: NDArray[np.int64]
    space: Space

    @classmethod
    def of(cls, vectors: torch.Tensor, starts: NDArray[np.int64]) -> Search:
        """Prepare vectors (P, C) whose units begin at `starts` (U + 1,)."""
        from models.cosines import Space, factor

        full = vectors.float()
        return cls(vectors, factor(full), (full * full).sum(dim=1), starts, Space())

    def runs(self, allowed: NDArray[np.bool_]) -> list[tuple[int, int]]:
        """Runs of vectors whose units are allowed (U,).

        >>> Search(None, None, None, np.array([0, 5, 9, 12, 20]), None).runs(np.array([True, True, False, True]))  # type: ignore[arg-type]
        [(0, 9), (12, 20)]
        """
        edges = np.flatnonzero(np.diff(np.concatenate(([0], allowed.astype(np.int8), [0]))))
        spans = [(int(self.starts[a]), int(self.starts[b])) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        return [(low, high) for low, high in spans if high > low]

    def regular(self, cells: int) -> bool:
        """Whether each unit has as many vectors as a picture has cells, or none, and no GPU does all products quickly."""
        counts = np.diff(self.starts)
        return self.vectors.device.type == "cpu" and set(counts[counts > 0].tolist()) == {cells}

    def nearest(self, picture: Picture, rows: torch.Tensor | None = None) -> torch.Tensor:
        """Distance of each cell, or of some `rows`, to its nearest allowed vector."""
        some = picture.ours if rows is None else picture.ours[rows]
        best: torch.Tensor | None = None
        size = max(1, some.tile // len(some))
        for low, high in self.runs(picture.allowed):
            for first in range(low, high, size):
                tile = slice(first, min(first + size, high))
                found = picture.brackets(some.times(self.kept[tile], self.space), tile).amax(dim=1)
                best = found if best is None else best.maximum(found)
        assert best is not None  # a picture for which nothing is allowed is not asked about
        return picture.distances(best, rows)

    def nearest_of_several(self, pictures: Sequence[Picture], rows: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Distances of some rows of each picture, in one pass over the vectors; the bank must be regular."""
        import torch

        from models.cosines import stacked

        some = stacked([one.ours[chosen] for one, chosen in zip(pictures, rows, strict=True)])
        ends = np.cumsum([0, *(len(chosen) for chosen in rows)])
        filled = np.flatnonzero(np.diff(self.starts))
        cells = int(self.starts[filled[0] + 1] - self.starts[filled[0]])
        size = max(1, some.tile // len(some) // cells)
        best: list[torch.Tensor | None] = [None] * len(pictures)
        for first in range(0, len(filled), size):
            units = filled[first : first + size]
            tile = slice(int(self.starts[units[0]]), int(self.starts[units[-1] + 1]))
            raw = some.times(self.kept[tile], self.space)
            for n, one in enumerate(pictures):
                use = np.flatnonzero(one.allowed[units])
                if len(use) == 0:
                    continue
                brackets = one.brackets(raw[ends[n] : ends[n + 1]], tile).view(len(rows[n]), len(units), cells).amax(dim=2)
                found = (brackets if len(use) == len(units) else brackets[:, torch.from_numpy(use)]).amax(dim=1)
                last = best[n]
                best[n] = found if last is None else last.maximum(found)
        return [
            one.distances(values, chosen) for one, values, chosen in zip(pictures, best, rows, strict=True) if values is not None
        ]

    def bounds(self, picture: Picture) -> torch.Tensor:
        """Distance of each cell to the nearest vector from its own place in LOOKED_AT allowed units, those most like the picture."""
        usable = np.flatnonzero(picture.allowed & (np.diff(self.starts) > 0))
        count = len(picture.cells)
        sample = np.unique(np.linspace(0, count - 1, SAMPLED).round().astype(np.int64))
        alike = self._apart(picture, usable, sample).mean(dim=1).argsort()[:LOOKED_AT].numpy()
        return self._apart(picture, usable[alike], np.arange(count)).amin(dim=0).sqrt()

    def _apart(self, picture: Picture, units: NDArray[np.int64], places: NDArray[np.int64]) -> torch.Tensor:
        """Squared distances (units, places) to vectors from the same place."""
        import torch

        rows = torch.from_numpy((self.starts[units][:, None] + places).ravel())
        there = self.vectors[rows].float().reshape(len(units), len(places), -1)
        return (there - picture.cells[torch.from_numpy(places)]).square_().sum(dim=2)


@dataclass(frozen=True, eq=False)
class Picture:
    """Cells (N, C) with their squared lengths, and the units (U,) they may be compared with.

    |a − b|² = |a|² − 2 (a·b − |b|²/2): the nearest is where the bracket is largest, in the `unit` of the products.
    """

    cells: torch.Tensor
    allowed: NDArray[np.bool_]
    ours: Factor
    lengths: torch.Tensor
    unit: float
    half: torch.Tensor = field(repr=False)

    @classmethod
    def of(cls, cells: torch.Tensor, allowed: NDArray[np.bool_], search: Search) -> Picture:
        """Prepare the cells of one picture."""
        from models.cosines import factor

        cells = cells.float()
        ours = factor(cells)
        unit = ours.unit * search.kept.unit
        return cls(cells, allowed, ours, (cells * cells).sum(dim=1), unit, search.squares / (2 * unit))

    def brackets(self, raw: torch.Tensor, tile: slice) -> torch.Tensor:
        """The brackets of raw products with the vectors of `tile`, in place."""
        return raw.sub_(self.half[tile] if raw.is_floating_point() else self.half[tile].round().int())

    def distances(self, best: torch.Tensor, rows: torch.Tensor | None) -> torch.Tensor:
        """Distances from the largest brackets."""
        lengths = self.lengths if rows is None else self.lengths[rows]
        return (lengths - 2 * self.unit * best.double()).clamp_min(0).sqrt().float()


def farthest(search: Search, pictures: Sequence[Picture], most: int) -> list[torch.Tensor]:
    """Distances (N,) of each picture's cells: exact where they are among the `most` largest, else exact or bounds from above."""
    import torch

    if not pictures:
        return []
    found = [search.bounds(one) for one in pictures]
    first = [bounds.topk(min(len(bounds), FIRST * most)).indices for bounds in found]
    out = []
    for one, values, rows, exact in zip(pictures, found, first, search.nearest_of_several(pictures, first), strict=True):
        values[rows] = exact
        known = torch.zeros(len(values), dtype=torch.bool)
        known[rows] = True
        least = exact.topk(min(most, len(rows))).values[-1]
        rest = torch.nonzero(~known & (values * (1 + ROUNDING) >= least)).flatten()
        if len(rest):
            values[rest] = search.nearest(one, rest)
        out.append(values)
    return out
