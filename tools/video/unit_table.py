"""What has been measured of a video so far, unit by unit, in whatever order it was read; and the scores this makes.

Per unit: its number, centre in seconds, frame, each part's number and place (`tools.video.part_numbers`), and what it looks and moves like
(`tools.video.boundaries`). 700 bytes a unit: an hour at five units a second takes 13 MB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.samples import VideoClip
from core.scores import FrameScores
from tools.video.boundaries import traits
from tools.video.frame_bank import PARTS
from tools.video.frame_features import Units
from tools.video.part_numbers import Usual, box, counted, median_and_upper_spread
from tools.video.scenes import Scenes

Measured = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float64]]]
"""Part → its numbers (n,) and places (n, 4)."""


@dataclass(eq=False)
class UnitTable:
    """Columns by name, as the batches that came. Appearance was looked at in units no further than `looks` apart."""

    looks: int = 1
    batches: list[dict[str, NDArray[Any]]] = field(default_factory=list)
    have: set[int] = field(default_factory=set)
    """Numbers of the units that are in the table."""

    def __len__(self) -> int:
        return len(self.have)

    def add(self, units: Units, measured: Measured) -> None:
        """Take a batch of new units in."""
        columns: dict[str, NDArray[Any]] = {"number": units.number, "seconds": units.seconds, "frame": units.frame_index}
        columns["traits"] = traits(units)
        for part in PARTS:
            columns[part], columns[f"{part}_place"] = measured[part]
        self.take(columns)

    def take(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Take columns in as `columns` gives them."""
        self.batches.append(dict(columns))
        self.have.update(int(number) for number in columns["number"])

    def columns(self) -> dict[str, NDArray[Any]]:
        """All columns in order of time."""
        if len(self.batches) > 1:
            joined = {name: np.concatenate([batch[name] for batch in self.batches]) for name in self.batches[0]}
            order = np.argsort(joined["number"], kind="stable")
            self.batches = [{name: values[order] for name, values in joined.items()}]
        elif self.batches:
            order = np.argsort(self.batches[0]["number"], kind="stable")
            self.batches = [{name: values[order] for name, values in self.batches[0].items()}]
        return self.batches[0] if self.batches else {}

    def scores(
        self, clip: VideoClip, unit_s: float, scenes: Scenes, *, usual: Mapping[str, Usual] | None,
        typical: NDArray[np.int64] | None = None, round_s: float | None = None, every_s: float | None = None,
        read: float = 1.0,
    ) -> FrameScores:  # fmt: skip
        """Scores of the units in the table; next to a jump they are not valid.

        Args:
            clip: the video.
            unit_s: seconds per unit.
            scenes: between which it jumps.
            usual: centre and spread of each part; None: the video's own, of all units or of the `typical` ones.
            typical: numbers of units that were chosen without looking at them.
            round_s: as in `FrameScores`, and so are `every_s` and `read`.
            every_s: as in `FrameScores`.
            read: as in `FrameScores`.
        """
        kept = self.columns()
        numbers, times = kept["number"], kept["seconds"]
        places = {part: kept[f"{part}_place"] for part in PARTS}
        measured = {part: kept[part] for part in PARTS}
        measured["appearance"], places["appearance"] = _between(numbers, measured["appearance"], places["appearance"], self.looks)
        among = np.ones(len(numbers), np.bool_) if typical is None else np.isin(numbers, typical)
        own = usual or {part: median_and_upper_spread(values[among], part) for part, values in measured.items()}
        near = scenes.near(times)
        measured = {
            part: np.where(near, np.float32(np.inf if part == "appearance" else np.nan), v) for part, v in measured.items()
        }
        parts = counted(measured, own)
        return FrameScores(
            sample=clip.name,
            seconds=times,
            scores=np.asarray(parts["appearance"] + parts["motion"], dtype=np.float32),
            unit_s=unit_s,
            frame_index=kept["frame"],
            valid=np.isfinite(measured["appearance"]),
            boxes=tuple(box(places, parts, index, clip.height, clip.width) for index in range(len(numbers))),
            parts=parts,
            round_s=round_s,
            jumps_s=scenes.jumps_s,
            every_s=every_s,
            read=read,
            traits=kept["traits"],
        )


def _between(
    numbers: NDArray[np.int64], values: NDArray[np.float32], places: NDArray[np.float64], reach: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Units that were not looked at (NaN) lie evenly between those next to them, less than `reach` away, in the place of the stranger one.

    >>> nowhere = np.full((5, 4), np.nan)
    >>> _between(np.array([4, 5, 6, 7, 9]), np.array([1, np.nan, np.nan, 4, np.nan], np.float32), nowhere, 3)[0].tolist()
    [1.0, 2.0, 3.0, 4.0, 4.0]
    """
    missing = np.flatnonzero(np.isnan(values))
    looked = np.flatnonzero(~np.isnan(values))
    if not len(missing):
        return values, places
    values, places = values.copy(), places.copy()
    for row, after in zip(missing, np.searchsorted(looked, missing), strict=True):
        sides = [
            int(side) for side in looked[max(0, after - 1) : after + 1] if abs(int(numbers[side]) - int(numbers[row])) < reach
        ]
        if not sides:
            values[row] = np.inf
            continue
        known = np.isfinite(values[sides]).all()
        values[row] = np.interp(numbers[row], numbers[sides], values[sides]) if known else np.inf
        places[row] = places[max(sides, key=lambda side: values[side])]
    return values, places
