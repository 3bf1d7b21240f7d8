"""Videos as files of features with classes, descriptions and spans, in the list format of PreVAD; long ones cut into pieces for scoring.

A list is JSON: [{"path": features.npy, "class_name": …, "descriptions": null | text | [texts], "anomaly_span": [[start, end], …]}, …],
paths relative to the list, spans as shares of the video (Liu et al., LaGoVAD, ICLR 2026). Features are (n, C), a row per unit of time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput

NORMAL = "normal"
Span = tuple[float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class ListedVideo:
    """A video of a list: features (n, C) float32, its class, its descriptions, and its abnormal spans as shares of it."""

    name: str
    units: NDArray[np.float32]
    class_name: str
    descriptions: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()

    @property
    def normal(self) -> bool:
        """Whether nothing abnormal is in it."""
        return self.class_name.strip().lower() == NORMAL


def read_list(path: Path) -> list[ListedVideo]:
    """The videos of a list, features read.

    Raises:
        BadInput: the list or a file of features is missing, damaged or of another form; features are of different lengths.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path.name!r}: expected a JSON list of videos, but it cannot be read ({error}).") from error
    if not isinstance(rows, list) or not rows:
        raise BadInput(f"{path.name!r}: expected a JSON list of videos, got {type(rows).__name__} of {len(rows) if rows else 0}.")
    found = [_video(row, path, number) for number, row in enumerate(rows, start=1)]
    widths = {video.units.shape[1] for video in found}
    if len(widths) > 1:
        raise BadInput(f"{path.name!r}: expected features of one length, got {sorted(widths)}.")
    return found


def _video(row: Any, path: Path, number: int) -> ListedVideo:
    where = f"{path.name!r}, video {number}"
    if not isinstance(row, dict) or not isinstance(row.get("path"), str):
        raise BadInput(f"{where}: expected an object with a path, got {row!r:.80}.")
    said = row.get("descriptions")
    texts = [said] if isinstance(said, str) else said or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise BadInput(f"{where}: expected descriptions to be null, a text or texts, got {said!r:.80}.")
    spans = row.get("anomaly_span") or []
    try:
        pairs = tuple((float(start), float(end)) for start, end in spans)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{where}: expected anomaly_span to be pairs of shares, got {spans!r:.80}.") from error
    if not all(0 <= start <= end <= 1 + 1e-6 for start, end in pairs):
        raise BadInput(f"{where}: expected anomaly_span between 0 and 1 with start before end, got {spans!r:.80}.")
    return ListedVideo(
        name=Path(row["path"]).stem, units=_features(path.parent / row["path"], where), spans=pairs,
        class_name=str(row.get("class_name") or NORMAL), descriptions=tuple(text.strip() for text in texts if text.strip()),
    )  # fmt: skip


def _features(path: Path, where: str) -> NDArray[np.float32]:
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"{where}: {path.name!r} holds no features that can be read ({error}).") from error
    if rows.ndim != 2 or 0 in rows.shape or not np.issubdtype(rows.dtype, np.number) or not np.isfinite(rows).all():
        raise BadInput(f"{where}: expected finite features (n, C) in {path.name!r}, got {rows.shape} of {rows.dtype}.")
    return np.asarray(rows, np.float32)


def pieces(length: int, most: int, margin: int) -> Iterator[tuple[slice, slice]]:
    """Cuts `length` units into pieces of at most `most`: what to look at, and which part of that counts, `margin` units from its ends.

    >>> [(seen.start, seen.stop, kept.start, kept.stop) for seen, kept in pieces(20, 12, 2)]
    [(0, 12, 0, 10), (8, 20, 2, 12)]
    """
    if most <= 2 * margin:
        raise BadInput(f"pieces of {most} units: expected more than twice the margin of {margin}.")
    if length <= most:
        yield slice(0, length), slice(0, length)
        return
    first = done = 0
    while done < length:
        last = min(first + most, length)
        first = max(0, last - most)
        end = last if last == length else last - margin
        yield slice(first, last), slice(done - first, end - first)
        done, first = end, end - margin
