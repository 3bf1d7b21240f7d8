"""Videos as bags of segments, for learning from videos that are labelled as a whole: read from clips, from feature files or from a list.

Source: Sultani, Chen & Shah, Real-World Anomaly Detection in Surveillance Videos (CVPR 2018): features of equal pieces of a video are
averaged into 32 segments and scaled to length 1. Theirs are C3D activations (4,096 numbers per 16 frames), one text file per video, which
`read_bag` takes as they are; ours, for clips, are the embedded network's and dense flow's (`tools.video.frame_features`).

Axes: pieces (n, C) float32 in time order; segments (32, C), rows of length 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.progress import step
from core.samples import Sample, VideoClip
from core.scores import FrameScores

if TYPE_CHECKING:
    from tools.video.frame_features import FrameFeatures, Units

Pieces: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int64]]
"""A clip's features (n, C), centres in seconds and frame numbers."""
SEGMENTS = 32
PARTS = 3
"""Appearance on average, appearance's spread over the picture, and motion."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bag:
    """A video's segments, and whether something abnormal is in it."""

    name: str
    segments: NDArray[np.float32]
    abnormal: bool


def segments(pieces: NDArray[np.floating], count: int = SEGMENTS) -> NDArray[np.float32]:
    """Means (count, C) of about equal runs of a video's pieces (n, C), each scaled to length 1; a run without a piece takes the nearest.

    >>> segments(np.array([[2.0, 0.0], [0.0, 5.0]]), 4).tolist()
    [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    """
    if pieces.ndim != 2 or len(pieces) == 0:
        raise BadInput(f"pieces of a video: expected (n, C) with n from 1, got {pieces.shape}.")
    bounds = borders(len(pieces), count)
    found = np.empty((count, pieces.shape[1]), np.float64)
    for number, (first, after) in enumerate(pairwise(bounds.tolist())):
        found[number] = pieces[first : max(after, first + 1)].mean(axis=0)
    return unit_rows(found)


def borders(pieces: int, count: int) -> NDArray[np.int64]:
    """Where each segment begins (0-based), and the end: even steps, halves rounded up.

    >>> (borders(50, 32)[:8] + 1).tolist()
    [1, 3, 4, 6, 7, 9, 10, 12]
    """
    return np.asarray(np.floor(np.linspace(1, pieces, count + 1) + 0.5).astype(np.int64) - 1)


def unit_rows(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows scaled to length 1; a row of zeros stays."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.where(lengths == 0, 1, lengths), np.float32)


def piece_features(units: Units) -> NDArray[np.float32]:
    """What some units of a clip look like and how they move (n, 2 C + 16), as rows of length 1, each part a third of it."""
    look, move = units.appearance.float(), units.motion.float()
    parts: tuple[NDArray[np.float32], ...] = (
        look.mean(dim=(1, 2)).cpu().numpy(),
        look.std(dim=(1, 2), correction=0).cpu().numpy(),
        np.concatenate([move.mean(dim=(1, 2)).cpu().numpy(), move.amax(dim=(1, 2)).cpu().numpy()], axis=1),
    )
    return np.asarray(np.concatenate([unit_rows(part) for part in parts], axis=1) / PARTS**0.5, np.float32)


def clip_pieces(features: FrameFeatures, clip: VideoClip) -> Pieces:
    """Features (n, C), centres in seconds and frame numbers of a clip's units.

    Raises:
        BadInput: no frame can be decoded.
    """
    units = list(features.read(clip))
    if not units:
        raise BadInput(f"video {clip.name!r}: no frame could be decoded; try another file.")
    seconds, frames = (np.concatenate([getattr(some, name) for some in units]) for name in ("seconds", "frame_index"))
    return np.concatenate([piece_features(some) for some in units]), seconds, frames


def scored(
    batch: Sequence[Sample], read: Callable[[VideoClip], Pieces], judge: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    unit_of: Callable[[VideoClip], float],
) -> list[FrameScores]:  # fmt: skip
    """Scores of clips, whose pieces are read and judged one clip after the other.

    Args:
        batch: clips.
        read: a clip's features (n, C), centres in seconds and frame numbers.
        judge: features to scores (n,).
        unit_of: seconds per piece of a clip.
    """
    found = []
    for number, clip in enumerate(batch, start=1):
        assert isinstance(clip, VideoClip)
        pieces, seconds, frames = read(clip)
        found.append(
            FrameScores(
                sample=clip.name, seconds=seconds, scores=judge(pieces), unit_s=unit_of(clip), frame_index=frames,
                valid=np.ones(len(seconds), np.bool_),
            )
        )  # fmt: skip
        step("clips", number, len(batch))
    return found


def read_bag(path: Path, *, abnormal: bool) -> Bag:
    """A video's features from a file: text with one row of numbers per segment (C3D's `_C.txt`), or npy/npz with (n, C).

    Raises:
        BadInput: the file is missing, holds something else or not only finite numbers.
    """
    try:
        if path.suffix.lower() == ".npy":
            rows = np.load(path, allow_pickle=False)
        elif path.suffix.lower() == ".npz":
            with np.load(path, allow_pickle=False) as packed:
                rows = packed[packed.files[0]]
        else:
            rows = np.loadtxt(path, dtype=np.float32, ndmin=2)
    except (OSError, ValueError, EOFError, IndexError) as error:
        raise BadInput(
            f"{path.name!r}: expected features of a video (text, npy, npz), but it cannot be read ({error})."
        ) from error
    if rows.ndim != 2 or len(rows) == 0 or not np.issubdtype(rows.dtype, np.number) or not np.isfinite(rows).all():
        raise BadInput(
            f"{path.name!r}: expected finite numbers in rows, one per piece of the video, got {rows.shape} of {rows.dtype}."
        )
    return Bag(name=path.stem, segments=unit_rows(rows) if len(rows) == SEGMENTS else segments(rows), abnormal=abnormal)


def read_bags(given: Path) -> list[Bag]:
    """Bags of a folder with `normal` and `abnormal` folders of feature files, or of a CSV with columns path and abnormal (0 or 1).

    Paths in a CSV are relative to it.

    Raises:
        BadInput: neither of both, a file that cannot be read, or features of different lengths.
    """
    if given.is_dir():
        files = [(path, label == "abnormal") for label in ("normal", "abnormal") for path in sorted((given / label).glob("*.*"))]
        if not files:
            raise BadInput(f"{given.name!r}: expected folders 'normal' and 'abnormal' with one feature file per video.")
    else:
        files = _listed(given)
    bags = [read_bag(path, abnormal=abnormal) for path, abnormal in files]
    require_alike(bags)
    return bags


def _listed(path: Path) -> list[tuple[Path, bool]]:
    import polars

    try:
        table = polars.read_csv(path)
    except (OSError, polars.exceptions.PolarsError) as error:
        raise BadInput(
            f"{path.name!r}: expected a CSV with columns path and abnormal, but it cannot be read ({error})."
        ) from error
    if not {"path", "abnormal"} <= set(table.columns) or not set(map(str, table["abnormal"])) <= {"0", "1"}:
        raise BadInput(f"{path.name!r}: expected columns path and abnormal (0 or 1), got {', '.join(table.columns)}.")
    return [(path.parent / str(name), str(label) == "1") for name, label in table.select("path", "abnormal").iter_rows()]


def require_alike(bags: Sequence[Bag]) -> None:
    """Raise BadInput unless there are bags of both kinds with features of one length."""
    if len({bag.abnormal for bag in bags}) < 2:
        raise BadInput("bags: expected videos of both kinds, normal ones and ones that hold something abnormal.")
    widths = {bag.segments.shape[1] for bag in bags}
    if len(widths) > 1:
        raise BadInput(f"bags: expected features of one length, got {sorted(widths)}; use one feature extractor for all videos.")
