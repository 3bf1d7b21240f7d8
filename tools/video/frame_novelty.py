"""Frame novelty: when and where a video looks or moves unlike normal clips, or unlike the rest of itself.

Every unit of time (0.2 s) is compared, patch by patch and motion cell by motion cell, with its nearest neighbour (Roth et al.,
CVPR 2022; flow statistics after Reiss & Hoshen 2022) among normal clips, or among the same video's other moments. A part's raw
number is the mean over the strangest 2 % of the picture, about one near person.

Motion is measured in every unit. Appearance, which costs most and changes slowest, is looked at in every second one (0.4 s) and lies
between for those between. Chosen by agreement with everything measured in every unit, on normal clips with and without things put into
them: smoothed scores correlate by at least 0.99 (every third unit: 0.98; every fourth: 0.93). Flow in pictures of half the size (0.95)
and of one pair of frames a unit (0.81) was not enough like it.

Each part is then counted in spreads above its usual value, one-sidedly: score = r(z_appearance) + r(z_motion), with
r(z) = log(1 + e^(1.7 z)) / 1.7, a smooth max(z, 0). So a calm picture never excuses a strange one, which matters across videos:
a nearly still video with a strange object would be excused by an average. "Usual" is, with normal clips, the median of held-out
normal units (leave one clip out; one clip: leave its neighbourhood in time out) and a spread read off their 95th percentile, since
normal motion has a heavy tail that a standard deviation understates. Without normals it is the video's own median and
upper-quartile spread: traffic has calm stretches and bursts, and the usual bursts must widen the spread.

A video that plays the same footage again (`tools.video.repeats`) would explain each event by its copy: without normals, the copies of
a moment are left out like its neighbours in time.

Cost is linear in frames. Videos of at most `bank_units` units (26 s) compare all with all; longer ones are read from coarse to fine
(`tools.video.inspection`): `skim` stops after a first look, `score` goes on until all is read. Memory is flat: the bank keeps at most
`bank_units` units, evenly spread over time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from core.archive import load_arrays, save_arrays
from core.detector import DetectorSpec, parameters, require_batch
from core.errors import BadInput
from core.progress import step
from core.samples import Sample, VideoClip
from core.scores import FrameScores
from tools.catalog import ROWS
from tools.video.frame_bank import PARTS, Bank
from tools.video.frame_features import FrameFeatures, Units
from tools.video.part_numbers import Usual, counted, median_and_tail, part_numbers
from tools.video.repeats import Thumbnails
from tools.video.unit_table import UnitTable

if TYPE_CHECKING:
    from models.patches import PatchEncoder
    from tools.video.inspection import Inspection

NAME = "frame_novelty"

FLOW_APART = 4
"""Flow is taken at every such pixel."""
LEAST_LOOKS = 16
"""Appearances that a clip is compared with itself by."""

SELF_THRESHOLD = 5.0
"""Threshold for scores without normal clips: one part four spreads above the video's own usual (0.8 is what two usual parts add)."""

SIGMA_S, MERGE_GAP_S, MIN_LENGTH_S, LOW_SHARE = 0.5, 1.0, 0.5, 0.5
"""For `core.segments.extract_events` on these scores: smoothing, merging, shortest event, low threshold / high threshold."""


class FrameNovelty:
    """When and where a video is unlike normal clips, or unlike the rest of itself: scores (T,) float32, one per unit of time.

    Args:
        unit_s: seconds per score.
        side: resolution of the appearance features (a picture is resized to about side² pixels).
        flow_side: longest side for optical flow in pixels.
        share: share of the picture, from the strangest down, that makes a part's number.
        bank_units: most units that are kept to compare with.
        exclusion_s: without normal clips, moments closer than this are no comparison (at most a quarter of the video).
        look_s: appearance is looked at so often, motion in every unit.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        BadInput: a value out of range.

    >>> FrameNovelty(unit_s=0.0)
    Traceback (most recent call last):
    core.errors.BadInput: frame_novelty: expected unit_s > 0, got 0.0.
    """

    spec: DetectorSpec = next(row for row in ROWS if row.name == NAME)

    def __init__(
        self, *, unit_s: float = 0.2, side: int = 340, flow_side: int = 320, share: float = 0.02,
        bank_units: int = 128, exclusion_s: float = 2.0, look_s: float = 0.4, device: str = "auto",
    ) -> None:  # fmt: skip
        for name, value, good, expected in (
            ("unit_s", unit_s, unit_s > 0, "> 0"),
            ("share", share, 0 < share <= 1, "in (0, 1]"),
            ("bank_units", bank_units, bank_units >= 2, "≥ 2"),
            ("exclusion_s", exclusion_s, exclusion_s >= 0, "≥ 0"),
            ("look_s", look_s, look_s > 0, "> 0"),
        ):
            if not good:
                raise BadInput(f"{NAME}: expected {name} {expected}, got {value!r}.")
        self.unit_s, self.side, self.flow_side, self.share = unit_s, side, flow_side, share
        self.bank_units, self.exclusion_s, self.look_s, self.device = bank_units, exclusion_s, look_s, device
        self._bank: Bank | None = None
        self._usual: dict[str, tuple[float, float]] = {}
        self._reference = np.zeros(0, np.float32)

    @property
    def fitted(self) -> bool:
        """True when normal clips were given; then scores count spreads of held-out normals, else of the video itself."""
        return self._bank is not None

    @property
    def learned(self) -> tuple[Bank, dict[str, Usual]] | None:
        """What normal clips taught: the units to compare with, and each part's usual numbers; None without normal clips."""
        return None if self._bank is None else (self._bank, self._usual)

    def fit(self, normal: Sequence[Sample]) -> Self:
        """Learn from normal clips.

        Raises:
            BadInput: no clip, or not clips.
        """
        clips = _clips(normal)
        every = max(1, int(np.ceil(sum(self.features.expected(clip) for clip in clips) / self.bank_units)))
        batches: list[tuple[int, Units]] = []
        for number, clip in enumerate(clips):
            batches += [(number, units) for units in self.features.read(clip, every=every)]
            step("normal clips learned", number + 1, len(clips))
        if not batches:
            raise BadInput(f"{NAME}: none of the {len(clips)} normal clips has a frame that can be decoded.")
        bank = Bank.of(batches)
        allowed = bank.without_clips() if len(clips) > 1 else bank.without_neighbours(bank.seconds, self.exclusion_s)
        held_out: dict[str, NDArray[np.float32]] = {}
        for part in PARTS:
            parts, first = [], 0
            for _, units in batches:
                parts.append(part_numbers(bank, units, part, allowed[first : first + len(units)], self.share)[0])
                first += len(units)
            held_out[part] = np.concatenate(parts)
        self._bank = bank
        self._usual = {part: median_and_tail(values, part) for part, values in held_out.items()}
        known = np.isfinite(held_out["appearance"])
        self._reference = sum(counted(held_out, self._usual).values(), np.zeros(len(bank), np.float32))[known]
        return self

    def score(self, batch: Sequence[Sample]) -> Sequence[FrameScores]:
        """One FrameScores per clip: score, where (box in original pixels) and the parts "appearance" and "motion" that add up.

        `valid` is False where there was nothing to compare with (a video of one frame without normal clips).

        Raises:
            BadInput: an empty batch, or samples that are not clips.
        """
        return [self._score_clip(clip) for clip in _clips(batch)]

    def inspect(self, clip: VideoClip) -> Inspection:
        """Begin to look at a clip: first the moments of a skim, then as much of the rest as there is time for."""
        from tools.video.inspection import Inspection

        return Inspection(
            clip, self.features, self._bank, usual=self._usual or None, share=self.share, bank_units=self.bank_units,
            exclusion_s=self.exclusion_s, looks=self._looks(clip),
        )  # fmt: skip

    def skim(self, clip: VideoClip) -> FrameScores:
        """A first look at a clip in the time that a few minutes of video take: moments spread evenly, and what lies around the
        strangest of them (`tools.video.inspection`). `every_s` and `read` of the result say what was read: of a short clip, all.

        Raises:
            BadInput: no frame can be decoded.
        """
        if self.features.expected(clip) <= self.bank_units:
            return self._score_clip(clip)
        inspection = self.inspect(clip)
        inspection.skim()
        return inspection.scores()

    def reference_scores(self) -> NDArray[np.float32]:
        """Held-out scores of the normal clips' units (those kept in the bank); empty when nothing was fitted."""
        return self._reference

    def normal_s(self) -> float:
        """Seconds of normal video that were learned when it was one clip; 0 without normals, infinite with several clips.

        The moments of one clip resemble each other more than another clip's would, so what they score when held out is too low: the
        shorter the clip, the less a threshold made of them can be trusted.
        """
        if self._bank is None:
            return 0.0
        if len(np.unique(self._bank.clip)) > 1:
            return float("inf")
        return float(np.ptp(self._bank.seconds)) + self.unit_s

    def save(self, path: Path) -> None:
        """Write parameters, bank and reference to one .npz file."""
        arrays: dict[str, NDArray[Any]] = {"reference": self._reference}
        if self._bank is not None:
            arrays |= {"clip": self._bank.clip, "seconds": self._bank.seconds}
            for part in PARTS:
                arrays[f"vectors_{part}"] = self._bank.vectors[part].cpu().numpy()
                arrays[f"owner_{part}"] = self._bank.owner[part].cpu().numpy()
        save_arrays(path, name=NAME, parameters=parameters(self), arrays=arrays, state={"usual": self._usual})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or holds another detector.
        """
        import torch

        from models.device import place

        values, arrays, state = load_arrays(path, name=NAME)
        loaded = cls(**values)
        loaded._reference = arrays["reference"]
        loaded._usual = {part: (float(centre), float(spread)) for part, (centre, spread) in state["usual"].items()}
        if "clip" in arrays:
            device = place(loaded.device).device
            loaded._bank = Bank(
                clip=arrays["clip"],
                seconds=arrays["seconds"],
                vectors={part: torch.from_numpy(arrays[f"vectors_{part}"]).to(device) for part in PARTS},
                owner={part: torch.from_numpy(arrays[f"owner_{part}"]).to(device) for part in PARTS},
            )
        return loaded

    @cached_property
    def features(self) -> FrameFeatures:
        """What reads the units of a video."""
        return FrameFeatures(encoder=self._encoder, unit_s=self.unit_s, flow_side=self.flow_side, flow_apart=FLOW_APART)

    @cached_property
    def _encoder(self) -> PatchEncoder:
        from models.patches import PatchEncoder

        return PatchEncoder(side=self.side, strides=(8, 16), device=self.device)

    def _looks(self, clip: VideoClip) -> int:
        """In every how many-th unit appearance is looked at; a clip of a few seconds has none to spare."""
        return max(1, min(round(self.look_s / self.features.unit_of(clip)), self.features.expected(clip) // LEAST_LOOKS))

    def _score_clip(self, clip: VideoClip) -> FrameScores:
        if self.features.expected(clip) > self.bank_units:
            inspection = self.inspect(clip)
            inspection.refine()
            return inspection.scores()
        seen = Thumbnails()
        looks = self._looks(clip)
        batches: Iterable[Units] = self.features.read(clip, looks=looks, watch=seen.watch)
        alone = self._bank is None
        if alone:  # short: all units are compared with all
            batches = list(batches)
            if not batches:
                raise BadInput(f"video {clip.name!r}: no frame could be decoded; try another file.")
        bank = self._bank or Bank.of([(0, units) for units in batches])
        round_s, scenes = (seen.round_s(), seen.scenes()) if alone else (None, None)
        expected = self.features.expected(clip)
        table = UnitTable(looks)
        for units in batches:
            if scenes is not None:
                allowed = bank.without_neighbours(units.seconds, self.exclusion_s, round_s)
                here, there = scenes.of(units.seconds), scenes.of(bank.seconds)
                allowed &= (here[:, None] == there[None]) & (here >= 0)[:, None]
            else:
                allowed = np.ones((len(units), len(bank)), bool)
            table.add(units, {part: part_numbers(bank, units, part, allowed, self.share, thorough=False) for part in PARTS})
            step("video units scored", len(table), max(expected, len(table)))
        if not len(table):
            raise BadInput(f"video {clip.name!r}: no frame could be decoded; try another file.")
        scenes = seen.scenes() if scenes is None else scenes
        return table.scores(clip, self.features.unit_of(clip), scenes, usual=self._usual or None, round_s=round_s)


def _clips(batch: Sequence[Any]) -> list[VideoClip]:
    require_batch(batch, VideoClip, NAME)
    return list(batch)
