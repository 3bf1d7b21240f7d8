"""What people drop in, as frozen samples with units and a time base.

Axes: images and frames are (H, W, 3) uint8 RGB; series are (T, M) float32; boxes are xyxy absolute pixels;
times are seconds from the start of the sample, and `epoch_s` says when that start was, if anybody knows.
A sample's `name` is what the person calls it (a file name, never a path to trust).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

Kind: TypeAlias = Literal["image", "points", "video", "series", "events"]
KINDS: tuple[Kind, ...] = ("image", "points", "video", "series", "events")


def _expect(array: Any, what: str, *, ndim: int, dtype: type, last: int | None = None) -> None:
    """Raise BadInput unless `array` has this rank, dtype and last axis, naming expected and got."""
    if not isinstance(array, np.ndarray):
        raise BadInput(f"{what}: expected a numpy array, got {type(array).__name__}.")
    shape_ok = array.ndim == ndim and (last is None or array.shape[-1] == last)
    if not shape_ok or array.dtype != dtype:
        axes = "×".join(["·"] * (ndim - (last is not None)) + ([str(last)] if last is not None else []))
        raise BadInput(f"{what}: expected shape {axes} of {np.dtype(dtype).name}, got shape {array.shape} of {array.dtype.name}.")
    if 0 in array.shape:
        raise BadInput(f"{what}: expected at least one element on every axis, got shape {array.shape}.")


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSample:
    """One picture: `pixels` (H, W, 3) uint8 RGB.

    >>> ImageSample(name="a.png", pixels=np.zeros((4, 6, 3), np.uint8)).size
    (4, 6)
    """

    name: str
    pixels: NDArray[np.uint8]
    notes: tuple[str, ...] = ()

    kind: Kind = field(default="image", init=False)

    def __post_init__(self) -> None:
        _expect(self.pixels, f"image {self.name!r}", ndim=3, dtype=np.uint8, last=3)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return int(self.pixels.shape[0]), int(self.pixels.shape[1])


@dataclass(frozen=True, kw_only=True, eq=False)
class PointSample:
    """One 3D scan: `xyz` (H, W, 3) float32 in the file's unit, organised like a picture; (1, N, 3) when it is a loose cloud.

    `valid` (H, W) is False where nothing was measured; `rgb` (H, W, 3) uint8 or None.
    """

    name: str
    xyz: NDArray[np.float32]
    valid: NDArray[np.bool_]
    rgb: NDArray[np.uint8] | None = None
    notes: tuple[str, ...] = ()

    kind: Kind = field(default="points", init=False)

    def __post_init__(self) -> None:
        _expect(self.xyz, f"scan {self.name!r}", ndim=3, dtype=np.float32, last=3)
        _expect(self.valid, f"valid mask of scan {self.name!r}", ndim=2, dtype=np.bool_)
        if self.valid.shape != self.xyz.shape[:2]:
            raise BadInput(f"scan {self.name!r}: valid mask {self.valid.shape} does not fit xyz {self.xyz.shape}.")
        if not self.valid.any():
            raise BadInput(f"scan {self.name!r}: expected measured points, got none.")

    @property
    def organised(self) -> bool:
        """True when the points lie on a picture-like grid."""
        return int(self.xyz.shape[0]) > 1


class Frame(NamedTuple):
    """One decoded frame: its number in the file (from 0), its true time in seconds, and (H, W, 3) uint8 RGB.

    `source` gives the picture at another longest side, where it was shrunk: only until the next frame is asked for.
    """

    number: int
    time_s: float
    rgb: NDArray[np.uint8]
    source: Callable[[int], NDArray[np.uint8]] | None = None

    def at(self, max_side: int) -> NDArray[np.uint8]:
        """The picture (H, W, 3) with its longest side at most `max_side`: so a few frames can be seen larger than all.

        >>> clip = VideoClip.from_array("toy", np.zeros((2, 60, 80, 3), np.uint8), fps=10.0)
        >>> [(frame.rgb.shape[1], frame.at(40).shape[1]) for frame in clip.frames(max_side=20)]
        [(20, 40), (20, 40)]
        """
        return shrink(self.rgb, max_side) if self.source is None or max(self.rgb.shape[:2]) >= max_side else self.source(max_side)


FrameOpener: TypeAlias = Callable[[float, float, int, int | None], Iterator[Frame]]
"""(start_s, end_s, step, max_side) -> frames whose time lies in [start_s, end_s), every `step`-th, shrunk to `max_side`."""

Glimpser: TypeAlias = Callable[[Sequence[float], float, int, int | None], Iterator[Iterable[Frame]]]
"""(moments in order, length_s, step, max_side) -> for each moment the frames whose time lies in [moment, moment + length_s)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoClip:
    """A video that is decoded only when read: true time stamps, flat memory.

    `fps` is the average rate and `n_frames`/`duration_s` are what the container says (a broken tail may hold fewer). `key_s` are the
    times, in order, of the frames from which decoding can begin; None: from any.

    >>> clip = VideoClip.from_array("toy", np.zeros((5, 4, 6, 3), np.uint8), fps=10.0)
    >>> [round(f.time_s, 1) for f in clip.frames(step=2)]
    [0.0, 0.2, 0.4]
    """

    name: str
    height: int
    width: int
    fps: float
    duration_s: float
    n_frames: int
    opener: FrameOpener = field(repr=False)
    epoch_s: float | None = None
    notes: tuple[str, ...] = ()
    key_s: NDArray[np.float64] | None = field(default=None, repr=False)
    glimpser: Glimpser | None = field(default=None, repr=False)

    kind: Kind = field(default="video", init=False)

    def __post_init__(self) -> None:
        if self.n_frames < 1 or self.height < 1 or self.width < 1:
            raise BadInput(
                f"video {self.name!r}: expected at least one frame, got {self.n_frames} of {self.height}×{self.width}."
            )
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise BadInput(f"video {self.name!r}: expected a positive frame rate, got {self.fps!r}.")

    def frames(
        self, *, start_s: float = 0.0, end_s: float = float("inf"), step: int = 1, max_side: int | None = None
    ) -> Iterator[Frame]:
        """Decode frames with time in [start_s, end_s), keeping every `step`-th (by index), longest side ≤ `max_side`."""
        return self.opener(start_s, end_s, step, max_side)

    def glimpses(
        self, moments: Sequence[float], *, length_s: float, step: int = 1, max_side: int | None = None
    ) -> Iterator[Iterable[Frame]]:
        """For each moment, in order, the frames with time in [moment, moment + length_s): those that `frames` gives there.

        What lies between the moments is not decoded where the file allows that: a glimpse costs the frames from the last of `key_s`
        on. A glimpse may be empty (a gap of a variable rate, a damaged stretch); it is read before the next one is asked for.

        Raises:
            BadInput: the moments are not in order.

        >>> clip = VideoClip.from_array("toy", np.zeros((50, 4, 6, 3), np.uint8), fps=10.0)
        >>> [[frame.number for frame in glimpse] for glimpse in clip.glimpses([1.0, 3.0], length_s=0.4, step=2)]
        [[10, 12], [30, 32]]
        """
        if any(later < earlier for earlier, later in pairwise(moments)):
            raise BadInput(f"video {self.name!r}: expected moments in order of time, got some out of order; sort them.")
        if self.glimpser is not None:
            return self.glimpser(moments, length_s, step, max_side)
        return (self.frames(start_s=m, end_s=m + length_s, step=step, max_side=max_side) for m in moments)

    @classmethod
    def from_array(cls, name: str, frames: NDArray[np.uint8], *, fps: float) -> VideoClip:
        """Wrap frames (T, H, W, 3) uint8 that already lie in memory."""
        _expect(frames, f"video {name!r}", ndim=4, dtype=np.uint8, last=3)

        def opener(start_s: float, end_s: float, step: int, max_side: int | None) -> Iterator[Frame]:
            for index in range(0, len(frames), step):
                time_s = index / fps
                if start_s <= time_s < end_s:
                    yield Frame(index, time_s, shrink(frames[index], max_side), partial(shrink, frames[index]))

        return cls(
            name=name, height=frames.shape[1], width=frames.shape[2], fps=fps,
            duration_s=len(frames) / fps, n_frames=len(frames), opener=opener,
        )  # fmt: skip


def shrink(rgb: NDArray[np.uint8], max_side: int | None) -> NDArray[np.uint8]:
    """Return `rgb` (H, W, 3) with its longest side at most `max_side` pixels, by area averaging."""
    height, width = rgb.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return rgb
    import cv2

    scale = max_side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


TimeBase: TypeAlias = Literal["clock", "elapsed", "index"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """Sensor readings: `values` (T, M) float32 (NaN = missing), `time_s` (T,) float64 non-decreasing, from 0.

    `time_base` is "clock" (then `epoch_s` is when time_s = 0 was, seconds since 1970 UTC), "elapsed" (seconds) or
    "index" (no time column: one unit per row). `units` has one entry per channel, "" when unknown.
    `row0` maps sample t to the row of the file it came from: row t of the arrays is file row `rows[t]`.
    """

    name: str
    values: NDArray[np.float32]
    time_s: NDArray[np.float64]
    channels: tuple[str, ...]
    time_base: TimeBase = "index"
    units: tuple[str, ...] = ()
    epoch_s: float | None = None
    rows: NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()

    kind: Kind = field(default="series", init=False)

    def __post_init__(self) -> None:
        _expect(self.values, f"series {self.name!r}", ndim=2, dtype=np.float32)
        _expect(self.time_s, f"time stamps of series {self.name!r}", ndim=1, dtype=np.float64)
        if len(self.time_s) != len(self.values):
            raise BadInput(f"series {self.name!r}: {len(self.values)} rows but {len(self.time_s)} time stamps.")
        if len(self.channels) != self.values.shape[1]:
            raise BadInput(f"series {self.name!r}: {self.values.shape[1]} columns but {len(self.channels)} names.")
        if np.isinf(self.values).any():
            raise BadInput(f"series {self.name!r}: expected finite values or NaN for missing ones, got infinity.")
        if not np.isfinite(self.time_s).all() or (np.diff(self.time_s) < 0).any():
            raise BadInput(f"series {self.name!r}: expected finite, non-decreasing time stamps.")
        if not self.units:
            object.__setattr__(self, "units", ("",) * len(self.channels))

    @property
    def period_s(self) -> float:
        """Median distance of two time stamps (1.0 for a single row)."""
        steps = np.diff(self.time_s)
        steps = steps[steps > 0]
        return float(np.median(steps)) if len(steps) else 1.0


EVENT_ROLES: tuple[str, ...] = ("subject", "operation", "object")
OPTIONAL_EVENT_ROLES: tuple[str, ...] = (
    "subject_id", "object_id", "object_type", "parent", "host", "user", "detail",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class EventLog:
    """Discrete events as a polars table, one row per event, in time order.

    Columns: `row` (1-based row or line of the file), `time_s` (float64, from 0; NaN when unknown), `subject`, `operation`,
    `object` (strings, "" when absent), any of the optional roles `subject_id`, `object_id`, `object_type`, `parent`, `host`,
    `user`, `detail`, and every other column of the file under its own name with the prefix `attr:`.
    `roles` maps each role to the file's column it was taken from (shown to the person, who may override it).
    """

    name: str
    table: pl.DataFrame
    roles: dict[str, str]
    epoch_s: float | None = None
    notes: tuple[str, ...] = ()

    kind: Kind = field(default="events", init=False)

    def __post_init__(self) -> None:
        missing = [c for c in ("row", "time_s", *EVENT_ROLES) if c not in self.table.columns]
        if missing:
            raise BadInput(f"events {self.name!r}: expected columns {missing}, got {self.table.columns}.")
        if self.table.height == 0:
            raise BadInput(f"events {self.name!r}: expected at least one event, got none.")

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the `attr:` columns."""
        return tuple(c for c in self.table.columns if c.startswith("attr:"))


Sample: TypeAlias = ImageSample | PointSample | VideoClip | Series | EventLog
