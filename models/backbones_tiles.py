"""Large pictures in overlapping tiles: each goes through the network by itself, and the maps are joined without seams or gaps.

A picture is cut into cores of about side × side pixels. A tile is a core with a part of its neighbours around it, because a network's
cells are worse where it sees no surroundings; of its map only the core is kept. Borders lie on multiples of the network's coarsest
cell, so that cells fall where they would in the whole picture: where the overlap is wider than what a cell sees, the joined map
is that of the whole picture (a test holds this). Memory is that of one tile; a transformer's attention costs the square of a
tile's tokens, not of the picture's.

Axes: pictures (N, H, W, 3) uint8; maps (N, C, H/s, W/s) float32.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

    from models.backbones import Backbone, Taps

OVERLAP = 8
"""A tile reaches at least 1/8 of `side` into its neighbours."""


class Span(NamedTuple):
    """Along one edge, in pixels: a tile from `first` to `last`, whose cells count from `core` to `end`."""

    first: int
    core: int
    end: int
    last: int

    def cells(self, stride: int) -> tuple[slice, slice]:
        """Cells of the core in the whole map, and in the tile's own."""
        own = slice((self.core - self.first) // stride, (self.end - self.first) // stride)
        return slice(self.core // stride, self.end // stride), own


def spans(size: int, side: int, multiple: int) -> list[Span]:
    """Cut an edge of `size` pixels into cores of about `side`, all borders on multiples of `multiple`.

    >>> [tuple(span) for span in spans(640, 320, 32)]
    [(0, 0, 320, 384), (256, 320, 640, 640)]
    """
    overlap = -(-side // (OVERLAP * multiple)) * multiple
    count = max(1, round(size / max(side, multiple)))
    borders = [round(size * part / count / multiple) * multiple for part in range(count + 1)]
    return [Span(max(0, a - overlap), a, b, min(size, b + overlap)) for a, b in itertools.pairwise(borders)]


def tiled_maps(net: Backbone, pictures: torch.Tensor, taps: Taps, *, strides: tuple[int, ...], side: int) -> list[torch.Tensor]:
    """Maps (N, C, H/s, W/s) of each tap; `strides` are those of the taps, edges of the pictures multiples of the network's."""
    _, high, wide, _ = pictures.shape
    multiple = net.layout.multiple
    out: list[torch.Tensor] = []
    for down in spans(high, side, multiple):
        for across in spans(wide, side, multiple):
            maps = net.maps(pictures[:, down.first : down.last, across.first : across.last], taps)
            if not out:
                out = [m.new_empty((*m.shape[:2], high // s, wide // s)) for m, s in zip(maps, strides, strict=True)]
            for whole, part, stride in zip(out, maps, strides, strict=True):
                (rows, own_rows), (columns, own_columns) = down.cells(stride), across.cells(stride)
                whole[:, :, rows, columns] = part[:, :, own_rows, own_columns]
    return out
