"""Frames of a video inside a chat message: one JSON content block that carries the true time of every frame.

`{"type": "frames", "name": …, "times_s": […], "images": [base64 JPEG, …]}`. Models that take video with time stamps get it as video;
for all others `stamped` turns it into pictures, each after its printed time.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput

Block = dict[str, Any]
MAX_SIDE = 768
"""Pixels of a frame's longer side that are kept."""
_JPEG_QUALITY = 90


def frames_block(frames: Sequence[NDArray[np.uint8]], times_s: Sequence[float], *, name: str, max_side: int = MAX_SIDE) -> Block:
    """Frames (H, W, 3) uint8 of one video, with their times in seconds from its start, ascending.

    Raises:
        BadInput: no frames, not one time per frame, times that do not ascend, or frames that are not (H, W, 3) uint8.

    >>> frames_block([np.zeros((4, 6, 3), np.uint8)] * 2, [0.0, 1.25], name="gate.mp4")["times_s"]
    [0.0, 1.25]
    """
    times = [float(t) for t in times_s]
    if not len(frames) or len(frames) != len(times):
        raise BadInput(f"frames of {name!r}: expected at least one and a time for each, got {len(frames)} and {len(times)}.")
    if not np.isfinite(times).all() or any(b <= a for a, b in itertools.pairwise(times)):
        raise BadInput(f"frames of {name!r}: expected ascending times in seconds, got {times[:8]}.")
    return {"type": "frames", "name": name, "times_s": times, "images": [_jpeg(frame, name, max_side) for frame in frames]}


def stamp(time_s: float) -> str:
    """The printed time of a frame, to the tenth of a second; from one minute on also as minutes and seconds.

    >>> stamp(12.44), stamp(75.0), stamp(3723.5)
    ('12.4 s', '75.0 s (1:15)', '3723.5 s (1:02:03)')
    """
    tenths = round(time_s, 1)
    if tenths < 60:
        return f"{tenths:.1f} s"
    minutes, seconds = divmod(int(tenths), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{tenths:.1f} s ({hours}:{minutes:02d}:{seconds:02d})" if hours else f"{tenths:.1f} s ({minutes}:{seconds:02d})"


def stamped(block: Mapping[str, Any]) -> list[Block]:
    """A frames block as text and picture blocks in turn, for models that take pictures only.

    >>> [b.get("text", "").strip() for b in stamped(frames_block([np.zeros((4, 6, 3), np.uint8)], [2.0], name="gate.mp4"))]
    ['Frames of gate.mp4:', 'Frame at 2.0 s:', '']
    """
    blocks: list[Block] = [{"type": "text", "text": f"\nFrames of {block['name']}:"}]
    for time_s, picture in zip(block["times_s"], pictures(block), strict=True):
        blocks += [{"type": "text", "text": f"\nFrame at {stamp(time_s)}:"}, picture]
    return blocks


def pictures(block: Mapping[str, Any]) -> list[Block]:
    """The frames of a block as picture blocks, in order."""
    return [{"type": "image", "base64": data, "mime_type": "image/jpeg"} for data in block["images"]]


def _jpeg(frame: NDArray[np.uint8], name: str, max_side: int) -> str:
    import base64
    import io

    from PIL import Image

    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise BadInput(f"frames of {name!r}: expected (H, W, 3) uint8, got {frame.shape} {frame.dtype}.")
    picture = Image.fromarray(frame)
    picture.thumbnail((max_side, max_side))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
