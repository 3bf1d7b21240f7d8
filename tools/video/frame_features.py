"""What a video looks like and how it moves, unit by unit: the features that frame detectors compare.

A unit is a short stretch of time (0.2 s). Its appearance is the patch grid (h, w, C) of the frame nearest to its centre; its
motion is a grid (gh, gw, 8) of mean speed per direction, in picture diagonals per second, square-rooted: flow after Reiss &
Hoshen, Attribute-based Representations for Accurate and Interpretable Video Anomaly Detection (2022), here per cell instead of
per object. Both are read in one pass with flat memory. Units without a frame (gaps of a variable frame rate) do not appear.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.samples import Frame, VideoClip
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
    """Some units of a clip in time order: `appearance` (n, h, w, C) float32, `motion` (n, gh, gw, 8) float32.

    `moved` (n,) is False where no pair of frames was there to measure motion (then `motion` is zero).
    """

    number: NDArray[np.int64]
    seconds: NDArray[np.float64]
    frame_index: NDArray[np.int64]
    appearance: torch.Tensor
    motion: torch.Tensor
    moved: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.seconds)


@dataclass(frozen=True, kw_only=True)
class FrameFeatures:
    """Reads the units of clips: `unit_s` seconds each, patch features at `encoder.side`, flow at `flow_side` pixels."""

    encoder: PatchEncoder
    unit_s: float
    flow_side: int

    def unit_of(self, clip: VideoClip) -> float:
        """Seconds per unit of this clip: `unit_s`, or one frame where frames are further apart."""
        return max(self.unit_s, 1.0 / clip.fps)

    def expected(self, clip: VideoClip) -> int:
        """About how many units `read` gives."""
        return max(1, int(np.ceil(clip.duration_s / self.unit_of(clip) - 1e-6)))

    def read(
        self, clip: VideoClip, *, every: int = 1, rest: bool = False,
        watch: Callable[[Iterator[Frame]], Iterator[Frame]] = iter,
    ) -> Iterator[Units]:  # fmt: skip
        """The clip's units in batches, in one pass: every `every`-th, or with `rest` all the others (what is left is only decoded).

        All decoded frames pass through `watch`.
        """
        unit_s = self.unit_of(clip)
        step = max(1, round(clip.fps / FLOW_RATE))
        if step / clip.fps > unit_s / 2:  # at least two frames in a unit where the frame rate allows
            step = max(1, int(unit_s * clip.fps / 2))
        max_side = self.longest_side(clip.height, clip.width)
        flow = DenseFlow(side=self.flow_side)
        before: Frame | None = None
        pending: list[_Measured] = []
        for stretch in stretches(watch(clip.frames(step=step, max_side=max_side)), unit_s):
            if (stretch.number % every != 0) == rest:
                pending.append(_measured(stretch, before, unit_s, flow))
            before = stretch.frames[-1]
            if len(pending) == BATCH:
                yield self._encode(pending, unit_s)
                pending = []
        if pending:
            yield self._encode(pending, unit_s)

    def longest_side(self, height: int, width: int) -> int:
        """The longest side to which frames of this size are shrunk before anything is measured."""
        return max(self.flow_side, *self.encoder.resized(height, width))

    def one(self, stretch: Stretch, before: Frame | None, unit_s: float, flow: DenseFlow) -> Units:
        """The single unit of a stretch that was shrunk to `longest_side`; `before` is the frame before it."""
        return self._encode([_measured(stretch, before, unit_s, flow)], unit_s)

    def _encode(self, units: list[_Measured], unit_s: float) -> Units:
        import torch

        grids = [unit.motion for unit in units]
        shape = next((grid.shape for grid in grids if grid is not None), (1, 1, DIRECTIONS))
        motion = np.stack([np.zeros(shape, np.float32) if grid is None else grid for grid in grids])
        features = self.encoder.encode([unit.nearest.rgb for unit in units])
        return Units(
            number=np.array([unit.number for unit in units], np.int64),
            seconds=np.array([(unit.number + 0.5) * unit_s for unit in units]),
            frame_index=np.array([unit.nearest.number for unit in units], np.int64),
            appearance=_pool(features),
            motion=torch.from_numpy(motion).to(features.device),
            moved=np.array([grid is not None for grid in grids]),
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


@dataclass(frozen=True, eq=False)
class _Measured:
    """What is kept of a unit's frames: one of them, and the mean speed per cell and direction (None: no pair was there)."""

    number: int
    nearest: Frame
    motion: NDArray[np.float32] | None


def _measured(stretch: Stretch, before: Frame | None, unit_s: float, flow: DenseFlow) -> _Measured:
    """Measure the motion from frame to frame, from the frame before the unit on.

    Speed is variance-stabilised: the root makes twice as fast count alike at any speed.
    """
    total: NDArray[np.float32] | None = None
    pairs = 0
    for frame in stretch.frames:
        dt_s = 0.0 if before is None else frame.time_s - before.time_s
        # Across a gap of several units the flow would say nothing about this unit.
        if before is not None and 0 < dt_s <= 2 * unit_s and before.rgb.shape == frame.rgb.shape:
            grid = speed_grid(flow.between(before.rgb, frame.rgb)[0], dt_s)
            total = grid if total is None else total + grid
            pairs += 1
        before = frame
    motion = None if total is None else np.asarray(np.sqrt(total / pairs + QUIET) - np.sqrt(QUIET), dtype=np.float32)
    return _Measured(stretch.number, stretch.nearest(unit_s), motion)


def speed_grid(flow: NDArray[np.float32], dt_s: float) -> NDArray[np.float32]:
    """Mean speed per cell and direction (gh, gw, 8) in picture diagonals per second, from flow (h, w, 2) over `dt_s` seconds.

    Direction 0 points right, 2 down, 4 left, 6 up; a cell's eight numbers add up to its mean speed.

    >>> right = np.zeros((32, 48, 2), np.float32)
    >>> right[..., 0] = 5.0
    >>> grid = speed_grid(right, dt_s=0.1)
    >>> grid.shape, bool(np.allclose(grid[..., 0], 50 / np.hypot(32, 48))), float(grid[..., 1:].sum())
    ((2, 3, 8), True, 0.0)
    """
    import cv2

    height, width = flow.shape[:2]
    rows, columns = max(1, height // CELL), max(1, width // CELL)
    speed, angle = cv2.cartToPolar(flow[..., 0], flow[..., 1])
    direction = np.floor(np.asarray(angle) * (DIRECTIONS / (2 * np.pi)) + 0.5).astype(np.int64) % DIRECTIONS
    row = np.minimum(np.arange(height) * rows // height, rows - 1)
    column = np.minimum(np.arange(width) * columns // width, columns - 1)
    cell = row[:, None] * columns + column[None, :]
    total = np.bincount(
        (cell * DIRECTIONS + direction).ravel(), np.asarray(speed, np.float64).ravel(), rows * columns * DIRECTIONS
    )
    pixels = np.bincount(cell.ravel(), minlength=rows * columns)
    grid = total.reshape(rows, columns, DIRECTIONS) / pixels.reshape(rows, columns, 1)
    return np.asarray(grid / (dt_s * float(np.hypot(height, width))), dtype=np.float32)


def _pool(features: torch.Tensor) -> torch.Tensor:
    """Average 2×2 patches (n, h, w, C): a quarter of the comparisons; people and cars still span several cells."""
    import torch.nn.functional as F

    maps = features.permute(0, 3, 1, 2)
    if min(maps.shape[2:]) >= 4:
        maps = F.avg_pool2d(maps, 2)
    return maps.permute(0, 2, 3, 1).contiguous()
