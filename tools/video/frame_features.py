"""What a video looks like and how it moves, unit by unit: the features that frame detectors compare.

A unit is a short stretch of time (0.2 s). Its appearance is the patch grid (h, w, C) of the frame nearest to its centre; its
motion is a grid (gh, gw, 8) of mean speed per direction, in picture diagonals per second, square-rooted: flow after Reiss &
Hoshen, Attribute-based Representations for Accurate and Interpretable Video Anomaly Detection (2022), here per cell instead of
per object. Both are read in one pass with flat memory. Units without a frame (gaps of a variable frame rate) do not appear.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.read_ahead import read_ahead
from core.samples import Frame, VideoClip
from models.device import leaving_a_core
from models.flow import DenseFlow

if TYPE_CHECKING:
    import torch

    from models.patches import PatchEncoder

DIRECTIONS = 8
CELL = 16
"""Motion cell in pixels of the flow's working size."""

FLOW_RATE = 12.5
"""Frame pairs per second that flow looks at: more only adds noise (speed = pixels / time), and costs."""

QUIET = 0.002
"""Speed (diagonals per second) below which flow is mostly noise: about a tenth of a pixel per pair at 320 pixels."""

BATCH = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Units:
    """Some units of a clip in time order: `appearance` (m, h, w, C) float32 of those looked at, `motion` (n, gh, gw, 8) float32.

    `moved` (n,) is False where no pair of frames was there to measure motion (then `motion` is zero); `looked` (n,) says which m of the
    n units have an appearance: all, unless they were read with `looks` > 1.
    """

    number: NDArray[np.int64]
    seconds: NDArray[np.float64]
    frame_index: NDArray[np.int64]
    appearance: torch.Tensor
    motion: torch.Tensor
    moved: NDArray[np.bool_]
    looked: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.seconds)


@dataclass(frozen=True, kw_only=True)
class FrameFeatures:
    """Reads the units of clips: `unit_s` seconds each, patch features at `encoder.side`, flow at `flow_side` pixels."""

    encoder: PatchEncoder
    unit_s: float
    flow_side: int
    flow_apart: int = 1
    """Flow is taken at every such pixel: at 4 little is lost, as DIS measures it there and interpolates what lies between."""

    def unit_of(self, clip: VideoClip) -> float:
        """Seconds per unit of this clip: `unit_s`, or one frame where frames are further apart."""
        return max(self.unit_s, 1.0 / clip.fps)

    def expected(self, clip: VideoClip) -> int:
        """About how many units `read` gives."""
        return max(1, int(np.ceil(clip.duration_s / self.unit_of(clip) - 1e-6)))

    def read(
        self, clip: VideoClip, *, every: int = 1, rest: bool = False, looks: int = 1,
        watch: Callable[[Iterator[Frame]], Iterator[Frame]] = iter,
    ) -> Iterator[Units]:  # fmt: skip
        """The clip's units in batches, in one pass: every `every`-th, or with `rest` all the others (what is left is only decoded).

        Only units whose number is a multiple of `looks` get an appearance. All decoded frames pass through `watch`.
        """
        frames = clip.frames(step=self._step(clip), max_side=self.flow_side)
        return self._units(clip, watch(frames), lambda k: (k % every != 0) == rest, looks)

    def at(
        self, clip: VideoClip, numbers: Sequence[int], watch: Callable[[Iterator[Frame]], Iterator[Frame]] = iter
    ) -> Iterator[Units]:
        """The units of these numbers, in order, each by a glimpse at the clip: the same as `read` gives, without what lies between."""
        unit_s, step = self.unit_of(clip), self._step(clip)
        back_s = (step + 0.5) / clip.fps  # the frame before, for the unit's first motion
        starts = [max(0.0, number * unit_s - back_s) for number in numbers]
        glimpses = clip.glimpses(starts, length_s=unit_s + back_s, step=step, max_side=self.flow_side)
        return self._units(clip, watch(_once(chain.from_iterable(glimpses))), set(numbers).__contains__)

    def stretch(
        self, clip: VideoClip, first: int, last: int, wanted: Callable[[int], bool], *, looks: int = 1,
        watch: Callable[[Iterator[Frame]], Iterator[Frame]] = iter,
    ) -> Iterator[Units]:  # fmt: skip
        """The wanted units of those numbered first to last − 1, in one pass over their stretch of the clip.

        Only units whose number is a multiple of `looks` get an appearance.
        """
        unit_s, step = self.unit_of(clip), self._step(clip)
        start_s = max(0.0, first * unit_s - (step + 0.5) / clip.fps)
        frames = clip.frames(start_s=start_s, end_s=last * unit_s, step=step, max_side=self.flow_side)
        return self._units(clip, watch(frames), lambda number: first <= number < last and wanted(number), looks)

    def first_whole(self, clip: VideoClip, time_s: float) -> int:
        """Number of the first unit that decoding from `time_s` on gives in full, with the frame before it."""
        ahead_s = 0.0 if time_s <= 0 else (self._step(clip) + 0.5) / clip.fps
        return int(np.ceil((time_s + ahead_s) / self.unit_of(clip) - 1e-6))

    def _step(self, clip: VideoClip) -> int:
        """Every how many-th frame is looked at: at least two in a unit where the frame rate allows."""
        step = max(1, round(clip.fps / FLOW_RATE))
        return step if step / clip.fps <= self.unit_of(clip) / 2 else max(1, int(self.unit_of(clip) * clip.fps / 2))

    def longest_side(self, height: int, width: int) -> int:
        """The longest side to which frames of this size are shrunk before their appearance is measured."""
        return max(self.flow_side, *self.encoder.resized(height, width))

    def flow(self) -> DenseFlow:
        """What measures the motion."""
        return DenseFlow(side=self.flow_side)

    def one(self, stretch: Stretch, before: Frame | None, unit_s: float, flow: DenseFlow, side: int) -> Units:
        """The single unit of a stretch, whose frames can be had at longest side `side`; `before` is the frame before it."""
        frames = (*(() if before is None else (before,)), *stretch.frames)
        return self._encode(list(self._gather(iter(frames), unit_s, flow, stretch.number.__eq__, side, 1)), unit_s)

    def _units(self, clip: VideoClip, frames: Iterator[Frame], wanted: Callable[[int], bool], looks: int = 1) -> Iterator[Units]:
        """Batches of the wanted units of frames; frames and motion are made ready while a batch is encoded and compared."""
        unit_s, side = self.unit_of(clip), self.longest_side(clip.height, clip.width)
        pending: list[_Open] = []
        with leaving_a_core():
            for unit in read_ahead(self._gather(frames, unit_s, self.flow(), wanted, side, looks), BATCH):
                pending.append(unit)
                if len(pending) == BATCH:
                    yield self._encode(pending, unit_s)
                    pending = []
            if pending:
                yield self._encode(pending, unit_s)

    def _gather(
        self, frames: Iterator[Frame], unit_s: float, flow: DenseFlow, wanted: Callable[[int], bool], side: int, looks: int
    ) -> Iterator[_Open]:
        """Group frames into units, those looked at with a picture of this longest side; flow is computed only inside wanted units
        (from the frame before).
        """
        current: _Open | None = None
        before: Frame | None = None
        grey: tuple[Frame, NDArray[np.uint8]] | None = None  # the latest frame that was made ready for flow
        for frame in frames:
            number = unit_number(frame.time_s, unit_s)
            if current is not None and number != current.number:
                yield current
                current = None
            if wanted(number):
                centre = (number + 0.5) * unit_s
                apart_s = abs(frame.time_s - centre)
                if current is None:
                    current = _Open(number, centre, frame.number, np.inf, None)
                if apart_s < current.apart_s:
                    current.nearest, current.apart_s = frame.number, apart_s
                    if number % looks == 0:
                        current.picture = frame.at(side)
                dt_s = 0.0 if before is None else frame.time_s - before.time_s
                # Across a gap of several units the flow would say nothing about this unit.
                if before is not None and 0 < dt_s <= 2 * unit_s and before.rgb.shape == frame.rgb.shape:
                    earlier = grey[1] if grey is not None and grey[0] is before else flow.prepare(before.rgb)[0]
                    grey = (frame, flow.prepare(frame.rgb)[0])
                    current.add(speed_grid(flow.of(earlier, grey[1]), dt_s, self.flow_apart))
            before = frame
        if current is not None:
            yield current

    def _encode(self, units: list[_Open], unit_s: float) -> Units:
        import torch

        from models.device import place

        grids = [unit.motion() for unit in units]
        shape = next((grid.shape for grid in grids if grid is not None), (1, 1, DIRECTIONS))
        motion = np.stack([np.zeros(shape, np.float32) if grid is None else grid for grid in grids])
        looked = [unit.picture is not None for unit in units]
        pictures = [unit.picture for unit in units if unit.picture is not None]
        features = (
            self.encoder.encode(pictures) if pictures else torch.zeros((0, 1, 1, 1), device=place(self.encoder.device).device)
        )
        return Units(
            number=np.array([unit.number for unit in units], np.int64),
            seconds=np.array([(unit.number + 0.5) * unit_s for unit in units]),
            frame_index=np.array([unit.nearest for unit in units], np.int64),
            appearance=_pool(features),
            motion=torch.from_numpy(motion).to(features.device),
            moved=np.array([grid is not None for grid in grids]),
            looked=np.array(looked),
        )


@dataclass(frozen=True, eq=False)
class Stretch:
    """The frames of unit `number`, in order of time; at least one."""

    number: int
    frames: tuple[Frame, ...]

    def nearest(self, unit_s: float) -> Frame:
        """The (first) frame nearest to the centre of the unit."""
        centre = (self.number + 0.5) * unit_s
        return min(self.frames, key=lambda frame: abs(frame.time_s - centre))


def stretches(frames: Iterable[Frame], unit_s: float) -> Iterator[Stretch]:
    """Group frames into units; one is told when the first frame of another came, or there are no more.

    >>> rgb = np.zeros((4, 4, 3), np.uint8)
    >>> [(one.number, len(one.frames)) for one in stretches((Frame(n, n / 10, rgb) for n in (0, 1, 2, 7)), 0.2)]
    [(0, 2), (1, 1), (3, 1)]
    """
    kept: list[Frame] = []
    number = -1
    for frame in frames:
        now = unit_number(frame.time_s, unit_s)
        if kept and now != number:
            yield Stretch(number, tuple(kept))
            kept = []
        number = now
        kept.append(frame)
    if kept:
        yield Stretch(number, tuple(kept))


def unit_number(time_s: float, unit_s: float) -> int:
    """The unit that a time belongs to."""
    return int(time_s / unit_s + 1e-6)


@dataclass(eq=False)
class _Open:
    """A unit while its frames are coming in; keeps the number of the frame nearest to its centre, its picture where it is looked at, and
    the sum of its motion.
    """

    number: int
    centre: float
    nearest: int
    apart_s: float
    picture: NDArray[np.uint8] | None
    total: NDArray[np.float32] | None = None
    pairs: int = 0

    def add(self, grid: NDArray[np.float32]) -> None:
        self.total = grid if self.total is None else self.total + grid
        self.pairs += 1

    def motion(self) -> NDArray[np.float32] | None:
        """Mean speed per cell and direction, variance-stabilised: the root makes twice as fast count alike at any speed."""
        if self.total is None:
            return None
        return np.asarray(np.sqrt(self.total / self.pairs + QUIET) - np.sqrt(QUIET), dtype=np.float32)


def _once(frames: Iterator[Frame]) -> Iterator[Frame]:
    """Without the frames that the glimpse before gave already, when two of them touch."""
    latest = -1
    for frame in frames:
        if frame.number > latest:
            latest = frame.number
            yield frame


def speed_grid(flow: NDArray[np.float32], dt_s: float, apart: int = 1) -> NDArray[np.float32]:
    """Mean speed per cell and direction (gh, gw, 8) in picture diagonals per second, from flow (h, w, 2) over `dt_s` seconds,
    taken at every `apart`-th pixel.

    Direction 0 points right, 2 down, 4 left, 6 up; a cell's eight numbers add up to its mean speed.

    >>> right = np.zeros((32, 48, 2), np.float32)
    >>> right[..., 0] = 5.0
    >>> grid = speed_grid(right, dt_s=0.1)
    >>> grid.shape, bool(np.allclose(grid[..., 0], 50 / np.hypot(32, 48))), float(grid[..., 1:].sum())
    ((2, 3, 8), True, 0.0)
    """
    import cv2

    height, width = flow.shape[:2]
    rows, columns, taken, bins, pixels = _cells(height, width, apart)
    flow = flow[taken]
    speed, angle = cv2.cartToPolar(np.ascontiguousarray(flow[..., 0]), np.ascontiguousarray(flow[..., 1]))
    direction = np.floor(np.asarray(angle) * (DIRECTIONS / (2 * np.pi)) + 0.5).astype(np.int64) % DIRECTIONS
    total = np.bincount((bins + direction).ravel(), np.asarray(speed, np.float64).ravel(), rows * columns * DIRECTIONS)
    grid = total.reshape(rows, columns, DIRECTIONS) / pixels.reshape(rows, columns, 1)
    return np.asarray(grid / (dt_s * float(np.hypot(height, width))), dtype=np.float32)


@lru_cache(maxsize=8)
def _cells(height: int, width: int, apart: int) -> tuple[int, int, tuple[slice, slice], NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of cells; which pixels are taken; the first of the eight numbers of each one's cell; pixels taken of each cell."""
    rows, columns = max(1, height // CELL), max(1, width // CELL)
    row = np.minimum(np.arange(height) * rows // height, rows - 1)
    column = np.minimum(np.arange(width) * columns // width, columns - 1)
    apart = apart if min(height, width) >= CELL else 1
    taken = (slice(apart // 2, None, apart), slice(apart // 2, None, apart))
    which = (row[:, None] * columns + column[None, :])[taken]
    return rows, columns, taken, which * DIRECTIONS, np.bincount(which.ravel(), minlength=rows * columns)


def _pool(features: torch.Tensor) -> torch.Tensor:
    """Average 2×2 patches (n, h, w, C): a quarter of the comparisons; people and cars still span several cells."""
    import torch.nn.functional as F

    maps = features.permute(0, 3, 1, 2)
    if min(maps.shape[2:]) >= 4:
        maps = F.avg_pool2d(maps, 2)
    return maps.permute(0, 2, 3, 1).contiguous()
