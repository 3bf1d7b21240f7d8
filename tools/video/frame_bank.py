"""The memory of what is normal in a video: patches of appearance and motion cells of chosen units, and nearest-neighbour search.

Nearest neighbour at any position (Roth et al., CVPR 2022): with minutes of normal video, most things were normal at some place
but not yet at every place. Distances are Euclidean in feature space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.progress import step
from tools.video.frame_features import Units

if TYPE_CHECKING:
    import torch

    from models.cosines import Factor

PARTS: tuple[str, str] = ("appearance", "motion")

SEAM_S = 0.3

LOOKED_AT = 24
"""Vectors from the same place whose nearest bounds a cell's distance."""
FIRST = 6
"""Times the wanted number of cells that are measured first, to learn what counts."""
ROUNDING = 0.02
"""Products of bytes are off by less than this, so that a bound that is no more below what counts may still hide a cell that does."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bank:
    """Vectors of U units: for each part a float16 matrix (P, C) and the unit (P,) each row belongs to.

    `clip` (U,) and `seconds` (U,) say where a unit comes from, so that its neighbours can be left out.
    """

    clip: NDArray[np.int64]
    seconds: NDArray[np.float64]
    vectors: dict[str, torch.Tensor]
    owner: dict[str, torch.Tensor]

    def __len__(self) -> int:
        return len(self.seconds)

    @classmethod
    def of(cls, batches: Sequence[tuple[int, Units]]) -> Bank:
        """Collect (clip number, units). float16 halves memory and files; the rounding is far below a frame's noise."""
        import torch

        seconds = np.concatenate([units.seconds for _, units in batches])
        clip = np.concatenate([np.full(len(units), number, np.int64) for number, units in batches])
        vectors: dict[str, torch.Tensor] = {}
        owner: dict[str, torch.Tensor] = {}
        for part in PARTS:
            rows, owners, first = [], [], 0
            for _, units in batches:
                grid = units.appearance if part == "appearance" else units.motion
                keep = np.ones(len(units), bool) if part == "appearance" else units.moved
                numbers = torch.from_numpy(first + np.flatnonzero(keep)).to(grid.device)
                chosen = grid[torch.from_numpy(keep).to(grid.device)]
                rows.append(chosen.reshape(-1, grid.shape[-1]))
                owners.append(numbers.repeat_interleave(grid.shape[1] * grid.shape[2]))
                first += len(units)
            vectors[part], owner[part] = torch.cat(rows).half(), torch.cat(owners)
        return cls(clip=clip, seconds=seconds, vectors=vectors, owner=owner)

    def distances(
        self, part: str, grids: torch.Tensor, allowed: NDArray[np.bool_], *, most: int | None = None
    ) -> NDArray[np.float32]:
        """Distance of every cell to its nearest allowed vector: (n, h, w) from `grids` (n, h, w, C) and `allowed` (n, U).

        Infinite where nothing is allowed. The products are the machine's fastest (`models.cosines`): distances are off by up to
        half a percent. With `most`, only the farthest `most` cells of each picture are as without; of others a bound from above may be
        kept, the distance to the nearest of a few vectors from the same place, which before a fixed ground saves most products.
        """
        import torch

        from models.cosines import Space, factor

        count, height, width, channels = grids.shape
        out = np.full((count, height, width), np.inf, np.float32)
        if len(self.vectors[part]) == 0:
            return out
        kept, squares, starts = self._search[part]
        space = Space()
        with torch.inference_mode():
            for index in range(count):
                step("pictures compared", index + 1, count)
                runs = _runs(allowed[index], starts)
                if not runs:
                    continue
                cells = grids[index].reshape(-1, channels).float()
                ours = factor(cells)
                # |a − b|² = |a|² − 2 (a·b − |b|²/2): the nearest is where the bracket is largest, in the unit of the products.
                unit = ours.unit * kept.unit
                half = squares / (2 * unit)
                lengths = (cells * cells).sum(dim=1)

                def nearest(
                    some: Factor, lengths: torch.Tensor, half: torch.Tensor = half, unit: float = unit,
                    runs: list[tuple[int, int]] = runs,
                ) -> torch.Tensor:  # fmt: skip
                    best: torch.Tensor | None = None
                    rows = max(1, some.tile // len(some))
                    for low, high in runs:
                        for first in range(low, high, rows):
                            tile = slice(first, min(first + rows, high))
                            raw = some.times(kept[tile], space)
                            found = raw.sub_(half[tile] if raw.is_floating_point() else half[tile].round().int()).amax(dim=1)
                            best = found if best is None else best.maximum(found)
                    assert best is not None
                    return (lengths - 2 * unit * best.double()).clamp_min(0).sqrt().float()

                bounds = None if most is None else self._bounds(part, cells, allowed[index], starts)
                if bounds is None or most is None:
                    found = nearest(ours, lengths)
                else:
                    found = _farthest(bounds, most, lambda rows: nearest(ours[rows], lengths[rows]))  # noqa: B023 (used at once)
                out[index] = found.reshape(height, width).cpu().numpy()
        return out

    def _bounds(
        self, part: str, cells: torch.Tensor, allowed: NDArray[np.bool_], starts: NDArray[np.int64]
    ) -> torch.Tensor | None:
        """Distance (N,) of each cell to the nearest of LOOKED_AT allowed vectors from its own place.

        None where units of another grid are kept, and on a GPU, which is quick at all products.
        """
        import torch

        counts = np.diff(starts)
        if cells.device.type != "cpu" or not set(counts[counts > 0].tolist()) <= {len(cells)}:
            return None
        usable = np.flatnonzero(allowed & (counts > 0))
        if len(usable) <= LOOKED_AT:
            return None
        chosen = starts[usable[np.linspace(0, len(usable) - 1, LOOKED_AT).round().astype(int)]]
        rows = torch.from_numpy((chosen[:, None] + np.arange(len(cells))).ravel())
        there = self.vectors[part][rows].float().reshape(LOOKED_AT, len(cells), -1)
        return (there - cells).square_().sum(dim=2).amin(dim=0).sqrt()

    @cached_property
    def _search(self) -> dict[str, tuple[Factor, torch.Tensor, NDArray[np.int64]]]:
        """Per part the vectors ready to be multiplied, their squared lengths, and where each unit's begin."""
        import torch

        from models.cosines import factor

        found = {}
        for part in self.vectors:
            vectors = self.vectors[part].float()
            units = torch.arange(len(self) + 1, device=vectors.device)
            starts = torch.searchsorted(self.owner[part].contiguous(), units).cpu().numpy()
            found[part] = factor(vectors), (vectors * vectors).sum(dim=1), starts
        return found

    def without_clips(self) -> NDArray[np.bool_]:
        """(U, U): which units each unit may be compared with when its own clip is left out."""
        return np.asarray(self.clip[:, None] != self.clip[None, :])

    def without_neighbours(
        self, seconds: NDArray[np.float64], exclusion_s: float, round_s: float | None = None
    ) -> NDArray[np.bool_]:
        """(n, U): units further than `exclusion_s` away in time, but never fewer than the far three quarters of the clip.

        In a video that repeats itself every `round_s` seconds, the copies of what is left out are left out too, and so is what lies within
        SEAM_S of where a round begins again: the pictures change there as by a motion that never was, and it would explain others.
        """
        spread = float(self.seconds[-1] - self.seconds[0]) if len(self) else 0.0
        apart = np.abs(seconds[:, None] - self.seconds[None, :])
        if round_s is not None:
            spread = min(spread, round_s)
            apart = np.minimum(apart, np.abs((seconds % round_s)[:, None] - (self.seconds % round_s)[None, :]))
        allowed = np.asarray(apart > min(exclusion_s, spread / 4))
        if round_s is not None:
            begun = np.rint(self.seconds / round_s)
            allowed[:, (begun >= 1) & (np.abs(self.seconds - begun * round_s) < SEAM_S)] = False
        return allowed


def _farthest(bounds: torch.Tensor, most: int, exact: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """`bounds` (N,) from above, replaced by `exact` numbers wherever these may be among the `most` largest.

    >>> import torch
    >>> true = torch.tensor([1.0, 7.0, 2.0, 5.0, 0.5, 0.5, 0.5, 0.5])
    >>> _farthest(torch.tensor([9.0, 8.0, 2.0, 6.0, 1.0, 1.0, 1.0, 1.0]), 1, lambda rows: true[rows]).tolist()[:4]
    [1.0, 7.0, 2.0, 5.0]
    """
    import torch

    found = bounds.clone()
    first = bounds.topk(min(len(bounds), FIRST * most)).indices
    found[first] = exact(first)
    known = torch.zeros(len(bounds), dtype=torch.bool)
    known[first] = True
    least = found[first].topk(min(most, len(first))).values[-1]
    rest = torch.nonzero(~known & (found * (1 + ROUNDING) >= least)).flatten()
    if len(rest):
        found[rest] = exact(rest)
    return found


def _runs(allowed: NDArray[np.bool_], starts: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Runs of vectors whose units are allowed (U,), from where the units' vectors begin (U + 1,).

    >>> _runs(np.array([True, True, False, True]), np.array([0, 5, 9, 12, 20]))
    [(0, 9), (12, 20)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([0], allowed.astype(np.int8), [0]))))
    spans = [(int(starts[first]), int(starts[last])) for first, last in zip(edges[::2], edges[1::2], strict=True)]
    return [(low, high) for low, high in spans if high > low]
