"""Clips of a stream: the last seconds are kept, so that a clip can begin before anybody knew that it would.

What is kept are small JPEG pictures (a second of 640 × 360 pixels is about 0.7 MB), at most `before_s` seconds and `most_bytes` of them;
a clip itself is written as its frames come, so that its length costs no memory.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.samples import shrink
from tools.video.clip_export import ClipWriter, Exported


class ClipRecorder:
    """Keeps the last seconds of a stream as small JPEG pictures, so that a clip can begin before it was asked for.

    Memory: at most `before_s` seconds, and at most `most_bytes`. A clip longer than `longest_s` ends there.

    Args:
        before_s: seconds that are kept.
        longest_s: longest clip.
        max_side: longest side of what is kept.
        most_bytes: most memory.

    Raises:
        BadInput: a value that is not positive.
    """

    def __init__(
        self, *, before_s: float = 15.0, longest_s: float = 120.0, max_side: int = 640, most_bytes: int = 64 * 2**20
    ) -> None:  # fmt: skip
        if not (before_s > 0 and longest_s > 0 and max_side > 0 and most_bytes > 0):
            raise BadInput(
                f"clip recorder: expected positive values, got {before_s!r} s, {longest_s!r} s, {max_side!r} pixels, {most_bytes!r} bytes."
            )
        self.before_s, self.longest_s, self.max_side, self.most_bytes = before_s, longest_s, max_side, most_bytes
        self.held_bytes = 0
        self._kept: list[tuple[float, bytes]] = []
        self._writer: ClipWriter | None = None
        self._end_s = float("inf")

    @property
    def recording(self) -> bool:
        """Whether a clip is being written."""
        return self._writer is not None

    def start(self, path: Path, from_s: float) -> None:
        """Begin a clip with what is kept from `from_s` on.

        Raises:
            BadInput: it cannot be written, or another is being written.
        """
        if self._writer is not None:
            raise BadInput(f"{path.name}: another clip is being written.")
        self._writer, self._end_s = ClipWriter(path), float("inf")
        for time_s, packed in self._kept:
            if time_s >= from_s:
                self._write(time_s, _unpacked(packed))

    def until(self, end_s: float) -> None:
        """Let the clip end at `end_s`."""
        self._end_s = end_s

    def add(self, time_s: float, rgb: NDArray[np.uint8]) -> Exported | None:
        """Take a frame of the stream; the clip that is finished by it, if any.

        Raises:
            BadInput: the clip could not be written; it is given up, and nothing is left of it.
        """
        small = shrink(rgb, self.max_side)
        packed = _packed(small)
        self._kept.append((time_s, packed))
        self.held_bytes += len(packed)
        gone = 0
        while gone < len(self._kept) - 1 and (
            self._kept[gone][0] < time_s - self.before_s or self.held_bytes > self.most_bytes
        ):  # fmt: skip
            self.held_bytes -= len(self._kept[gone][1])
            gone += 1
        del self._kept[:gone]
        if self._writer is None:
            return None
        if time_s > self._end_s or self._writer.length_s >= self.longest_s:
            return self.finish()
        self._write(time_s, small)
        return None

    def finish(self) -> Exported | None:
        """End the clip that is being written, if any.

        Raises:
            BadInput: it could not be written.
        """
        writer, self._writer = self._writer, None
        return None if writer is None else writer.close()

    def _write(self, time_s: float, rgb: NDArray[np.uint8]) -> None:
        assert self._writer is not None
        try:
            self._writer.add(time_s, rgb)
        except BadInput:
            self._writer = None
            raise


def _packed(rgb: NDArray[np.uint8]) -> bytes:
    import cv2

    _, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return bytes(data)


def _unpacked(data: bytes) -> NDArray[np.uint8]:
    import cv2

    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)
