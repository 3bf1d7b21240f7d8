"""Novelty of a stream: each moment against normal clips, or against what the stream itself showed before. No future is used.

The live counterpart of `tools.video.frame_novelty`, unit by unit: the same features, the same two parts, counted in the same spreads. With
a detector that was fitted on normal clips a unit gets the score it would get in a file that is looked at in every unit. Without, it is
compared with the last minutes of the stream (`tools.video.live_memory`), and nothing is scored until enough was seen; each scene of a
camera that tours several places has a memory of its own.

A jump of the camera (`tools.video.live_scenes`) is told and not scored. That it was one is known only half a second later, so a unit is
told 0.8 s after its centre; all it rests on is older than that.

Memory is fixed: the bank of normal clips, or at most MOST_SCENES memories of `bank_units` units, and a second of frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.samples import Frame, shrink
from core.scores import Box
from tools.video.frame_bank import PARTS, Bank
from tools.video.frame_features import Stretch, Units, stretches
from tools.video.frame_novelty import FrameNovelty
from tools.video.live_memory import Memory
from tools.video.live_scenes import Jump, LiveScenes
from tools.video.part_numbers import Usual, box, counted, part_numbers
from tools.video.scenes import AROUND_S, BLURRED_S

MEMORY_S, WARM_UP_S = 600.0, 30.0
"""Without normal clips: how far back a moment is compared, and how long the stream is only learned from."""
LEAST_APART_S = 0.06
"""Frames closer than this to the one before are not looked at: about 12.5 to 15 a second, as `tools.video.frame_features` takes."""

Why: TypeAlias = Literal["", "learning", "jump"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LiveUnit:
    """One unit: its centre, score (NaN where it was not judged, and `why`), the parts that add up to it, and where it is strangest.

    `box` is in pixels of `frame`, the frame nearest to the centre, as it came. `jump` is what became known of the camera by this unit.
    """

    second: float
    score: float
    frame: Frame
    why: Why = ""
    parts: dict[str, float] = field(default_factory=dict)
    box: Box | None = None
    jump: Jump | None = None

    @property
    def valid(self) -> bool:
        """Whether it was judged."""
        return not self.why


@dataclass(frozen=True, eq=False)
class _Waiting:
    units: Units
    frame: Frame


class LiveNovelty:
    """Scores a stream unit by unit.

    Args:
        detector: a `FrameNovelty`, fitted on normal clips or not; its settings hold here too.
        fps: the stream's frame rate, if known: units are at least one frame long.
        memory_s: without normal clips, how far back a moment is compared.
        warm_up_s: without normal clips, seconds that are only learned from.

    Raises:
        BadInput: a value out of range.

    >>> LiveNovelty(warm_up_s=900.0)
    Traceback (most recent call last):
    core.errors.BadInput: live novelty: expected warm_up_s from 2 × exclusion_s to memory_s (4.0 to 600.0 s), got 900.0.
    """

    def __init__(
        self, detector: FrameNovelty | None = None, *, fps: float | None = None, memory_s: float = MEMORY_S,
        warm_up_s: float = WARM_UP_S,
    ) -> None:  # fmt: skip
        self.detector = FrameNovelty() if detector is None else detector
        if fps is not None and not (np.isfinite(fps) and fps > 0):
            raise BadInput(f"live novelty: expected fps > 0, got {fps!r}.")
        least = 2 * self.detector.exclusion_s
        if not least <= warm_up_s <= memory_s < float("inf"):
            raise BadInput(
                f"live novelty: expected warm_up_s from 2 × exclusion_s to memory_s ({least} to {memory_s} s), got {warm_up_s!r}."
            )
        self.memory_s, self.warm_up_s = memory_s, warm_up_s
        self.unit_s = max(self.detector.unit_s, 1.0 / fps if fps else 0.0)
        self.lag_s = BLURRED_S + max(AROUND_S, self.unit_s)
        """A unit is told when a frame this much later than its centre was seen."""
        self._scenes = LiveScenes()
        self._memories: dict[int, Memory] = {}
        self._shown = 0
        self._flow = self.detector.features.flow()
        self._before: Frame | None = None
        self._waiting: deque[_Waiting] = deque()
        self._jumps: deque[Jump] = deque()

    def follow(self, frames: Iterable[Frame]) -> Iterator[LiveUnit]:
        """Score frames in order of time as they come; for a stream that does not wait see `tools.video.unit_queue`."""
        for stretch in stretches(thinned(frames), self.unit_s):
            yield from self.push(stretch)
        yield from self.finish()

    def push(self, stretch: Stretch) -> list[LiveUnit]:
        """Take the frames of one unit, later than those before; the units that can be told now."""
        features = self.detector.features
        small, side = [], features.longest_side(*stretch.frames[0].rgb.shape[:2])
        for frame in stretch.frames:
            seen = frame._replace(rgb=shrink(frame.rgb, features.flow_side), source=partial(shrink, frame.rgb))
            small.append(seen)
            jump = self._scenes.add(seen)
            if jump is not None:
                self._jumps.append(jump)
        units = features.one(Stretch(stretch.number, tuple(small)), self._before, self.unit_s, self._flow, side)
        self._before = small[-1]._replace(source=None)
        self._waiting.append(_Waiting(units, stretch.nearest(self.unit_s)))
        return self._told(small[-1].time_s)

    def finish(self) -> list[LiveUnit]:
        """The units that still wait when the stream is over."""
        return self._told(float("inf"))

    @property
    def left_to_learn_s(self) -> float:
        """Seconds that are still only learned from; 0 with normal clips."""
        if self.detector.fitted:
            return 0.0
        memory = self._memories.get(self._shown)
        return self.warm_up_s if memory is None else 0.0 if memory.ready else max(self.unit_s, self.warm_up_s - memory.seen_s)

    def _told(self, now_s: float) -> list[LiveUnit]:
        out = []
        while self._waiting and now_s >= float(self._waiting[0].units.seconds[0]) + self.lag_s - 1e-6:
            out.append(self._judge(self._waiting.popleft()))
        return out

    def _judge(self, waiting: _Waiting) -> LiveUnit:
        units, frame = waiting.units, waiting.frame
        second = float(units.seconds[0])
        jump = self._jumps.popleft() if self._jumps and self._jumps[0].time_s <= second + BLURRED_S else None
        if self._scenes.near(second):
            return LiveUnit(second=second, score=float("nan"), frame=frame, why="jump", jump=jump)
        learned = self.detector.learned
        if learned is not None:
            usual: dict[str, Usual] | None = learned[1]
            measured, places = self._measure(learned[0], units, np.ones((1, len(learned[0])), bool))
        else:
            memory = self._memory(second)
            found = memory.bank(second)
            measured, places = ({}, {}) if found is None else self._measure(found[0], units, found[1])
            usual = memory.usual() if memory.ready and found is not None else None
            memory.add(units, measured)
        if usual is None:
            return LiveUnit(second=second, score=float("nan"), frame=frame, why="learning", jump=jump)
        parts = counted(measured, usual)
        return LiveUnit(
            second=second,
            score=float(parts["appearance"][0] + parts["motion"][0]),
            frame=frame,
            parts={part: float(values[0]) for part, values in parts.items()},
            box=box(places, parts, 0, *frame.rgb.shape[:2]),
            jump=jump,
        )

    def _measure(
        self, bank: Bank, units: Units, allowed: NDArray[np.bool_]
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float64]]]:
        measured, places = {}, {}
        for part in PARTS:
            measured[part], places[part] = part_numbers(bank, units, part, allowed, self.detector.share)
        return measured, places

    def _memory(self, second: float) -> Memory:
        """The memory of the scene shown at `second`; scenes that are forgotten take theirs along."""
        scene = self._scenes.scene_at(second)
        if scene != self._shown and self._shown in self._memories:
            self._memories[self._shown].rest()
        self._shown = scene
        for number in set(self._memories) - self._scenes.known - {scene}:
            del self._memories[number]
        if scene not in self._memories:
            self._memories[scene] = Memory(
                unit_s=self.unit_s, memory_s=self.memory_s, warm_up_s=self.warm_up_s, bank_units=self.detector.bank_units,
                exclusion_s=self.detector.exclusion_s,
            )  # fmt: skip
        return self._memories[scene]


def thinned(frames: Iterable[Frame], apart_s: float = LEAST_APART_S) -> Iterator[Frame]:
    """The frames that are at least `apart_s` after the last one taken, and later than it.

    >>> rgb = np.zeros((4, 4, 3), np.uint8)
    >>> [frame.number for frame in thinned(Frame(n, n / 25, rgb) for n in range(6))]
    [0, 2, 4]
    """
    last = -float("inf")
    for frame in frames:
        if frame.time_s >= last + apart_s - 1e-6:
            last = frame.time_s
            yield frame
