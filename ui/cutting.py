"""Save a stretch of a video as a file of its own (the `telltale clip` command)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import BadInput

if TYPE_CHECKING:
    from core.scores import Box
    from tools.video.clip_export import Exported

_TIME = re.compile(r"(?:(?:(\d+):)?(\d{1,3}):)?(\d+(?:\.\d*)?|\.\d+)")


def cut(file: Path, *, start: str, end: str, out: Path | None = None, pad_s: float = 0.0, box: str | None = None) -> Exported:
    """Write [start, end) of the video `file` to `out`.

    Raises:
        UserError: the video cannot be read, a time or box is not one, or the clip cannot be written.
    """
    from core.progress import watching
    from core.samples import VideoClip
    from readers.open import open_path
    from tools.video.clip_export import export_clip
    from ui.terminal import clear_progress, print_progress

    first, last = seconds_of(start, "--from"), seconds_of(end, "--to")
    where = None if box is None else _box(box)
    source = open_path(file, kind="video")
    clip = source.samples[0]
    if not isinstance(clip, VideoClip) or len(source.samples) != 1:
        raise BadInput(f"{source.name}: expected one video.")
    place = out if out is not None else Path(f"{Path(clip.name).stem}_{first:g}-{last:g}.mp4")
    if place.is_dir():
        raise BadInput(f"--out {str(place)!r}: expected a file name, got a folder.")
    if place.suffix.lower() != ".mp4":
        raise BadInput(f"--out {str(place)!r}: expected a name that ends in .mp4.")
    if place.exists() and place.resolve() == file.resolve():
        raise BadInput(f"--out {str(place)!r}: this is the video itself; choose another name.")
    with watching(print_progress):
        try:
            return export_clip(
                clip, place, start_s=first, end_s=last, pad_s=pad_s, box_at=None if where is None else lambda _: where
            )
        finally:
            clear_progress()


def seconds_of(text: str, option: str) -> float:
    """Seconds of "12.5", "1:02.5" or "1:00:02".

    Raises:
        BadInput: it is no time.

    >>> seconds_of("12.5", "--from"), seconds_of("1:02.5", "--from"), seconds_of("1:00:02", "--from")
    (12.5, 62.5, 3602.0)
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise BadInput(f"{option} {text!r}: expected seconds or minutes:seconds, e.g. 62.5 or 1:02.5.")
    hours, minutes, seconds = match.groups()
    return 3600.0 * int(hours or 0) + 60.0 * int(minutes or 0) + float(seconds)


def _box(text: str) -> Box:
    try:
        x0, y0, x1, y1 = (float(edge) for edge in text.split(","))
    except ValueError:
        raise BadInput(f"--box {text!r}: expected left,top,right,bottom in pixels, e.g. 20,30,120,200.") from None
    if not (0 <= x0 < x1 < 1e6 and 0 <= y0 < y1 < 1e6):
        raise BadInput(f"--box {text!r}: expected left < right and top < bottom.")
    return x0, y0, x1, y1
