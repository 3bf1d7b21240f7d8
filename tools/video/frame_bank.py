"""The memory of what is normal in a video: patches of appearance and motion cells of chosen units, and nearest-neighbour search.

Nearest neighbour at any position (Roth et al., CVPR 2022): with minutes of normal video, most things were normal at some place
but not yet at every place. Distances are Euclidean in feature space.
"""

from __future__ import annotations

from collections.abc import Sequence
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

    def distances(self, part: str, grids: torch.Tensor, allowed: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Distance of every cell to its nearest allowed vector: (n, h, w) from `grids` (n, h, w, C) and `allowed` (n, U).

        Infinite where nothing is allowed. The products are the machine's fastest (`models.cosines`): distances are off by up to
        half a percent.
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
                best: torch.Tensor | None = None
                rows = max(1, ours.tile // len(cells))
                for low, high in runs:
                    for first in range(low, high, rows):
                        tile = slice(first, min(first + rows, high))
                        raw = ours.times(kept[tile], space)
                        found = raw.sub_(half[tile] if raw.is_floating_point() else half[tile].round().int()).amax(dim=1)
                        best = found if best is None else best.maximum(found)
                assert best is not None
                nearest = (cells * cells).sum(dim=1) - 2 * unit * best.double()
                out[index] = nearest.clamp_min(0).sqrt().reshape(height, width).float().cpu().numpy()
        return out

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

        In a video that repeats itself every `round_s` seconds, the copies of what is left out are left out too.
        """
        spread = float(self.seconds[-1] - self.seconds[0]) if len(self) else 0.0
        apart = np.abs(seconds[:, None] - self.seconds[None, :])
        if round_s is not None:
            spread = min(spread, round_s)
            apart = np.minimum(apart, np.abs((seconds % round_s)[:, None] - (self.seconds % round_s)[None, :]))
        return np.asarray(apart > min(exclusion_s, spread / 4))


def _runs(allowed: NDArray[np.bool_], starts: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Runs of vectors whose units are allowed (U,), from where the units' vectors begin (U + 1,).

    >>> _runs(np.array([True, True, False, True]), np.array([0, 5, 9, 12, 20]))
    [(0, 9), (12, 20)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([0], allowed.astype(np.int8), [0]))))
    spans = [(int(starts[first]), int(starts[last])) for first, last in zip(edges[::2], edges[1::2], strict=True)]
    return [(low, high) for low, high in spans if high > low]
