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
from tools.video.bank_search import Picture, Search, farthest
from tools.video.frame_features import Units

if TYPE_CHECKING:
    import torch

PARTS: tuple[str, str] = ("appearance", "motion")

SEAM_S = 0.3
"""Around the beginning of a round of a video that is played again and again."""

TOGETHER = 16
"""Pictures that are compared at once."""


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
                keep = units.looked if part == "appearance" else units.moved
                numbers = torch.from_numpy(first + np.flatnonzero(keep)).to(grid.device)
                if not len(numbers):
                    continue
                chosen = grid if part == "appearance" else grid[torch.from_numpy(keep).to(grid.device)]
                rows.append(chosen.reshape(-1, grid.shape[-1]))
                owners.append(numbers.repeat_interleave(grid.shape[1] * grid.shape[2]))
                first += len(units)
            if not rows:
                rows, owners = [grid.new_zeros((0, grid.shape[-1]))], [numbers]
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

        count, height, width, channels = grids.shape
        out = np.full((count, height, width), np.inf, np.float32)
        if len(self.vectors[part]) == 0:
            return out
        search = self._search[part]
        with torch.inference_mode():
            for first in range(0, count, TOGETHER):
                step("pictures compared", first, count)
                group = [n for n in range(first, min(first + TOGETHER, count)) if search.runs(allowed[n])]
                pictures = [Picture.of(grids[n].reshape(-1, channels), allowed[n], search) for n in group]
                bounded = most is not None and search.regular(height * width)
                found = farthest(search, pictures, most or 0) if bounded else [search.nearest(one) for one in pictures]
                for n, values in zip(group, found, strict=True):
                    out[n] = values.reshape(height, width).cpu().numpy()
        return out

    @cached_property
    def _search(self) -> dict[str, Search]:
        """Per part the vectors ready to be multiplied."""
        import torch

        found = {}
        for part, vectors in self.vectors.items():
            units = torch.arange(len(self) + 1, device=vectors.device)
            found[part] = Search.of(vectors, torch.searchsorted(self.owner[part].contiguous(), units).cpu().numpy())
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
