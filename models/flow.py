"""Dense optical flow: how far every point of the picture moves from one frame to the next (OpenCV DIS, on the CPU).

Kroeger et al., Fast Optical Flow using Dense Inverse Search (ECCV 2016). Frames are (H, W, 3) uint8 RGB and are shrunk to a
small working size; flow is (h, w, 2) float32, channel 0 to the right and channel 1 down, in pixels of the working size per
pair of frames. `scale` times a flow vector gives pixels of the original frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.samples import shrink

if TYPE_CHECKING:
    from core.samples import Frame

Preset: TypeAlias = Literal["ultrafast", "fast", "medium"]
PRESETS: tuple[Preset, ...] = ("ultrafast", "fast", "medium")

SMALLEST_SIDE = 16
"""DIS matches 8-pixel patches on a pyramid; below this many pixels a side it has nothing to match, and flow is zero."""


class FlowStep(NamedTuple):
    """The flow from the frame before to this `frame`: (h, w, 2) float32 working-size pixels over `dt_s` seconds."""

    frame: Frame
    dt_s: float
    flow: NDArray[np.float32]
    scale: float


class DenseFlow:
    """Optical flow between frames at a small working size, one pair or a stream at a time (one frame is kept).

    Args:
        side: longest side of the working size in pixels; larger frames are shrunk by area averaging.
        preset: DIS speed, "ultrafast", "fast" or "medium".

    Raises:
        BadInput: `side` below 16 or an unknown preset (at construction); frames of two sizes (in `between`).

    >>> import numpy as np
    >>> picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    >>> flow, scale = DenseFlow(side=64).between(picture, np.roll(picture, 2, axis=1))
    >>> flow.shape, scale, round(float(np.median(flow[..., 0])))
    ((48, 64, 2), 1.0, 2)
    """

    def __init__(self, *, side: int = 320, preset: Preset = "fast") -> None:
        if side < SMALLEST_SIDE:
            raise BadInput(f"flow side {side!r}: expected at least {SMALLEST_SIDE} pixels.")
        if preset not in PRESETS:
            raise BadInput(f"flow preset {preset!r}: expected one of {', '.join(PRESETS)}.")
        self.side = side
        self.preset: Preset = preset
        self._engine: Any = None

    def between(self, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> tuple[NDArray[np.float32], float]:
        """Flow (h, w, 2) float32 from `before` to `after`, both (H, W, 3) uint8, and the scale H / h."""
        if before.shape != after.shape:
            raise BadInput(f"flow: expected two frames of one size, got {before.shape} and {after.shape}.")
        first, scale = self.prepare(before)
        second, _ = self.prepare(after)
        return self.of(first, second), scale

    def stream(self, frames: Iterable[Frame]) -> Iterator[FlowStep]:
        """Flow for every frame after the first, in order; memory does not grow with the number of frames.

        A pair without a positive time between its frames, or of two sizes, is left out (there is no speed to state).
        """
        before: NDArray[np.uint8] | None = None
        before_s = 0.0
        for frame in frames:
            grey, scale = self.prepare(frame.rgb)
            dt_s = frame.time_s - before_s
            if before is not None and before.shape == grey.shape and dt_s > 0:
                yield FlowStep(frame, dt_s, self.of(before, grey), scale)
            before, before_s = grey, frame.time_s

    def prepare(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
        """Grey (h, w) uint8 at working size, and original height over working height."""
        import cv2

        small = shrink(rgb, self.side)
        scale = max(rgb.shape[:2]) / max(small.shape[:2])
        return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8), scale

    def of(self, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Flow (h, w, 2) float32 between two frames as `prepare` gives them, for those who keep the one before."""
        height, width = before.shape
        if min(height, width) < SMALLEST_SIDE:
            return np.zeros((height, width, 2), np.float32)
        if self._engine is None:
            import cv2

            code = getattr(cv2, f"DISOPTICAL_FLOW_PRESET_{self.preset.upper()}")
            self._engine = cv2.DISOpticalFlow.create(code)
        flow = self._engine.calc(before, after, None)
        # A flat or saturated picture can give unbounded vectors; nothing moves further than the picture is wide.
        return np.asarray(np.clip(np.nan_to_num(flow), -width, width), dtype=np.float32)
