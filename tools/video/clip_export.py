"""A stretch of video written as a file of its own: mp4, true times, optionally with the box drawn.

H.264 where PyAV has the encoder, else MPEG-4 part 2. Frames keep their distances in time, so that a variable frame rate stays one; sound
is left out. The file appears under its name only when it is complete.

Units: seconds; boxes xyxy in pixels of the frames given.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import draw
from core.errors import BadInput
from core.progress import step
from core.samples import VideoClip
from core.scores import Box

ENCODERS = ("libx264", "libopenh264", "mpeg4")
"""Tried in this order."""
TICKS = 30_000
"""Ticks a second: exact for 24, 25, 30 and 29.97 frames a second, and few enough for MPEG-4."""
LONGEST_S = 600.0
"""Longest clip that is written at once."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written: `frames` of them, from `start_s` to `end_s` of the source, by `encoder`."""

    path: Path
    start_s: float
    end_s: float
    frames: int
    encoder: str


class ClipWriter:
    """Writes frames to an mp4 as they come.

    Args:
        path: where the file appears when `close` was called.
        fps: about how many frames a second there will be (for the encoder; times are those given).

    Raises:
        BadInput: the folder cannot be written to, or PyAV has none of the encoders.

    >>> folder = Path(tempfile.mkdtemp())
    >>> writer = ClipWriter(folder / "a.mp4")
    >>> for number in range(5):
    ...     writer.add(10 + number / 10, np.full((48, 64, 3), 40 * number, np.uint8))
    >>> written = writer.close(); written.frames, written.path.name, [one.name for one in folder.iterdir()]
    (5, 'a.mp4', ['a.mp4'])
    """

    def __init__(self, path: Path, *, fps: float = 12.5) -> None:
        import av

        self.path = path
        self._encoder = next((name for name in ENCODERS if name in av.codecs_available), None)
        if self._encoder is None:
            raise BadInput(f"{path.name}: this PyAV can write none of {', '.join(ENCODERS)}; install its wheel from PyPI.")
        self._fps = Fraction(fps).limit_denominator(1001) if fps > 0 else Fraction(25, 2)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=".mp4")
            os.close(handle)
            self._temporary = Path(temporary)
            self._container: Any = av.open(temporary, "w", format="mp4", options={"movflags": "+faststart"})
        except OSError as error:
            raise BadInput(f"{path.name}: the clip cannot be written ({error.strerror}); choose another folder.") from error
        self._stream: Any = None
        self._size = (0, 0)
        self._first_s = self._last_s = 0.0
        self._tick = -1
        self._count = 0

    @property
    def length_s(self) -> float:
        """Seconds from the first frame to the last."""
        return self._last_s - self._first_s

    def add(self, time_s: float, rgb: NDArray[np.uint8]) -> None:
        """Add a frame (H, W, 3); one that is not later than the last is left out, one of another size is brought to the first one's.

        Raises:
            BadInput: it could not be written (a full disk).
        """
        import av

        if self._stream is None:
            self._begin(rgb)
            self._first_s = time_s
        tick = round((time_s - self._first_s) * TICKS)
        if tick <= self._tick:
            return
        frame = av.VideoFrame.from_ndarray(self._fitted(rgb), format="rgb24")
        frame.pts, frame.time_base = tick, Fraction(1, TICKS)
        self._mux(frame)
        self._tick, self._last_s, self._count = tick, time_s, self._count + 1

    def close(self) -> Exported:
        """Finish the file.

        Raises:
            BadInput: there was no frame, or the file could not be finished.
        """
        import av

        if self._stream is None:
            self.discard()
            raise BadInput(f"{self.path.name}: there is no frame in that stretch, so no clip was written.")
        self._mux(None)
        try:
            self._container.close()
            os.chmod(self._temporary, 0o666 & ~_umask())
            os.replace(self._temporary, self.path)
        except (OSError, av.error.FFmpegError) as error:
            self.discard()
            raise self._failed(error) from error
        return Exported(
            path=self.path, start_s=self._first_s, end_s=self._last_s + float(1 / self._fps), frames=self._count,
            encoder=str(self._encoder),
        )  # fmt: skip

    def discard(self) -> None:
        """Leave nothing behind."""
        import av

        try:
            self._container.close()
        except (OSError, ValueError, av.error.FFmpegError):
            pass
        finally:
            self._temporary.unlink(missing_ok=True)

    def _begin(self, rgb: NDArray[np.uint8]) -> None:
        height, width = rgb.shape[:2]
        self._size = (height + height % 2, width + width % 2)
        stream = self._container.add_stream(self._encoder, rate=self._fps)
        stream.height, stream.width = self._size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        if self._encoder == "mpeg4":
            stream.bit_rate = max(1_000_000, 4 * height * width)
        else:
            stream.options = {"crf": "23", "preset": "veryfast"}
        self._stream = stream

    def _fitted(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The frame with even edges: a row or column is repeated where one is missing."""
        height, width = self._size
        if abs(rgb.shape[0] - height) > 1 or abs(rgb.shape[1] - width) > 1:
            import cv2

            return np.asarray(cv2.resize(np.ascontiguousarray(rgb), (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        rgb = rgb[:height, :width]
        missing = ((0, height - rgb.shape[0]), (0, width - rgb.shape[1]), (0, 0))
        return np.ascontiguousarray(np.pad(rgb, missing, mode="edge"))

    def _mux(self, frame: Any) -> None:
        import av

        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (OSError, av.error.FFmpegError) as error:
            self.discard()
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> BadInput:
        why = getattr(error, "strerror", None) or type(error).__name__
        return BadInput(f"{self.path.name}: the clip could not be written ({why}). Free some space or choose another folder.")


def export_clip(
    clip: VideoClip, out: Path, *, start_s: float, end_s: float, pad_s: float = 0.0, max_side: int | None = None,
    box_at: Callable[[float], Box | None] | None = None,
) -> Exported:  # fmt: skip
    """Write the frames of [start_s − pad_s, end_s + pad_s) to the mp4 `out`; what was there before is replaced.

    Args:
        clip: the source.
        out: the file to write.
        start_s: where the stretch begins.
        end_s: where it ends.
        pad_s: seconds added on either side.
        max_side: shrink frames to this longest side.
        box_at: the box to draw at a time, in pixels of the clip.

    Raises:
        BadInput: an empty stretch, one outside the clip or longer than LONGEST_S, or the file cannot be written.
    """
    first, last = max(0.0, start_s - pad_s), min(end_s + pad_s, clip.duration_s)
    if not (np.isfinite(start_s) and np.isfinite(end_s) and np.isfinite(pad_s)) or pad_s < 0 or end_s <= start_s:
        raise BadInput(f"clip of {clip.name}: expected a start before the end, got {start_s:g} to {end_s:g} s.")
    if first >= last:
        raise BadInput(f"clip of {clip.name}: expected times within its {clip.duration_s:.1f} s, got {start_s:g} to {end_s:g} s.")
    if last - first > LONGEST_S:
        raise BadInput(f"clip of {clip.name}: expected at most {LONGEST_S:g} s, got {last - first:.0f} s; cut it in parts.")
    writer = ClipWriter(out, fps=clip.fps)
    expected = max(1, round((last - first) * clip.fps))
    try:
        for done, frame in enumerate(clip.frames(start_s=first, end_s=last, max_side=max_side), start=1):
            box = None if box_at is None else box_at(frame.time_s)
            writer.add(frame.time_s, frame.rgb if box is None else _boxed(frame.rgb, box, clip.width))
            step("frames written", done, max(done, expected))
    except BaseException:
        writer.discard()
        raise
    return writer.close()


def _boxed(rgb: NDArray[np.uint8], box: Box, width: int) -> NDArray[np.uint8]:
    scale = rgb.shape[1] / width
    x0, y0, x1, y1 = box
    return draw.boxes(rgb, [(x0 * scale, y0 * scale, x1 * scale, y1 * scale)])


def _umask() -> int:
    """The process's mask of file permissions (it can only be read by setting it)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
