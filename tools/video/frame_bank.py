"""The memory of what is normal in a video: patches of appearance and motion cells of chosen units, and nearest-neighbour search.

Nearest neighbour at any position (Roth et al., CVPR 2022): with minutes of normal video, most things were normal at some place
but not yet at every place. Distances are Euclidean in feature space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.progress import step
from tools.video.frame_features import Units

if TYPE_CHECKING:
    import torch

TILE = 4096
"""Vectors compared at once: the table of distances stays in the processor's cache."""
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

        Infinite where nothing is allowed.
        """
        import torch

        bank, owner = self.vectors[part].float(), self.owner[part]
        count, height, width, channels = grids.shape
        out = np.full((count, height, width), np.inf, np.float32)
        if len(bank) == 0:
            return out
        squares = (bank * bank).sum(dim=1)
        allow = torch.from_numpy(allowed).to(bank.device)
        with torch.inference_mode():
            for index in range(count):
                step("pictures compared", index + 1, count)
                if not bool(allow[index].any()):
                    continue
                cells = grids[index].reshape(-1, channels).float()
                # Leaving units out through their squared length costs one pass over the bank, not one over all distances.
                barred = squares.masked_fill(~allow[index][owner], float("inf"))
                nearest = cells.new_full((len(cells),), float("inf"))
                for first in range(0, len(bank), TILE):
                    tile = slice(first, first + TILE)
                    nearest = nearest.minimum(torch.addmm(barred[tile], cells, bank[tile].T, alpha=-2.0).amin(dim=1))
                nearest += (cells * cells).sum(dim=1)
                out[index] = nearest.clamp_min(0).sqrt().reshape(height, width).cpu().numpy()
        return out

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
