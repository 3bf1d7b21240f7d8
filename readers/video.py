"""Video by PyAV: frames decoded when asked for, at their true presentation times, with flat memory.

Time 0 is the first frame. Opening reads the packet table (no decoding), so that the number of frames, the average rate and the
times are those of the frames really present, also for variable rates, missing headers and cut-off files. Frames that cannot be
decoded are passed over; a damaged tail ends the clip. Sound is ignored. A folder of pictures becomes a clip at 25 frames/s.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.samples import Frame, VideoClip, shrink
from core.settings import limits
from readers.image import Photo, decode

FOLDER_FPS = 25.0
_SEEK_GAIN_S = 1.0  # below this a seek costs more than decoding from the start
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Table:
    """What the packets say: presentation times in seconds from the first frame, ascending; the offset of that frame in ticks.

    `keys` are the times of frames that need no other one, from which decoding can begin.
    """

    times: NDArray[np.float64]
    keys: NDArray[np.float64]
    first_tick: int | None
    tick_s: float
    fps: float
    cut: bool


def open_video(path: Path, name: str, *, form: str = "any video", note: str = "") -> VideoClip:
    """Open the video at `path` without decoding more than its first frame.

    Args:
        path: an existing file.
        name: what people call it.
        form: the container as `readers.sniff` names it; only that demuxer is tried, so a play list can never reach another file.
        note: a remark to carry along.

    Returns:
        A clip whose `frames()` decode lazily.

    Raises:
        BadInput: not a video, no video stream, no decodable frame, or beyond the limits.
    """
    import av

    allowed = limits()
    if path.stat().st_size > allowed.max_file_bytes:
        raise BadInput(f"{name}: the video has {path.stat().st_size:,} bytes, allowed are {allowed.max_file_bytes:,}.")
    try:
        with _container(path, form) as container:
            stream = main_stream(container, name)
            width, height = stream.codec_context.width, stream.codec_context.height
            if width * height > allowed.max_video_pixels:
                raise BadInput(f"{name}: frames have {width}×{height} pixels, allowed are {allowed.max_video_pixels:,} in all.")
            claimed = _claimed_seconds(container, stream)
            if claimed is not None and claimed > allowed.max_video_seconds:
                raise BadInput(
                    f"{name}: the video lasts {claimed:,.0f} s, allowed are {allowed.max_video_seconds:,.0f} s; cut it."
                )
            table = _scan(container, stream)
            announced = int(stream.frames or 0)
            created = str(container.metadata.get("creation_time", ""))
        if table.times.size and table.times[-1] > allowed.max_video_seconds:
            raise BadInput(
                f"{name}: the video lasts {table.times[-1]:,.0f} s, allowed are {allowed.max_video_seconds:,.0f} s; cut it."
            )
        first = next(_decode(path, form, name, table, 0.0, float("inf"), 1, None), None)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise BadInput(f"{name}: the video could not be opened; it is cut off, damaged or not a video.") from error
    if first is None or not table.times.size:
        raise BadInput(f"{name}: expected a video with frames, but none could be decoded.")
    notes = [note] if note else []
    n_frames = len(table.times)
    duration = float(table.times[-1]) + 1.0 / table.fps
    whole = max(claimed or 0.0, announced / table.fps)
    if table.cut or whole - duration > max(0.5, 0.02 * whole):
        notes.append(f"{name} ends early: {duration:.1f} s of the {max(whole, duration):.1f} s announced are there.")
    epoch = _created(created)
    if epoch is not None:
        notes.append(f"The clock time comes from the file's creation time, {created}.")

    def opener(start_s: float, end_s: float, step: int, max_side: int | None) -> Iterator[Frame]:
        return _decode(path, form, name, table, start_s, end_s, step, max_side)

    def glimpser(moments: Sequence[float], length_s: float, step: int, max_side: int | None) -> Iterator[Iterable[Frame]]:
        return _glimpses(path, form, name, table, moments, length_s, step, max_side)

    return VideoClip(
        name=name, height=first.rgb.shape[0], width=first.rgb.shape[1], fps=table.fps, duration_s=duration,
        n_frames=n_frames, opener=opener, epoch_s=epoch, notes=tuple(notes), key_s=table.keys, glimpser=glimpser,
    )  # fmt: skip


def clip_of_photos(photos: Sequence[Photo], name: str, *, fps: float = FOLDER_FPS, notes: tuple[str, ...] = ()) -> VideoClip:
    """Treat numbered pictures of one size as the frames of a clip.

    Raises:
        BadInput: there is no picture, or they differ in size.
    """
    if not photos:
        raise BadInput(f"{name}: expected at least one picture, got none.")
    first = photos[0]
    for photo in photos:
        if (photo.height, photo.width) != (first.height, first.width):
            raise BadInput(
                f"{name}: frames of a clip must have one size, but {first.name} is {first.width}×{first.height} "
                f"and {photo.name} is {photo.width}×{photo.height}."
            )

    def at(number: int, max_side: int | None) -> NDArray[np.uint8]:
        return shrink(decode(photos[number], max_side=max_side).pixels, max_side)

    def opener(start_s: float, end_s: float, step: int, max_side: int | None) -> Iterator[Frame]:
        for number in range(0, len(photos), step):
            time_s = number / fps
            if time_s >= end_s:
                return
            if time_s >= start_s:
                yield Frame(number, time_s, at(number, max_side), partial(at, number))

    return VideoClip(
        name=name, height=first.height, width=first.width, fps=fps, duration_s=len(photos) / fps, n_frames=len(photos),
        opener=opener, notes=(*notes, f"{len(photos)} pictures were taken as frames at {fps:g} frames/s."),
    )  # fmt: skip


def _container(path: Path, form: str) -> Any:
    """Open with one named demuxer and local files only."""
    import av

    form_argument = None if form == "any video" else form
    whole = str(path.resolve())
    try:
        whole.encode()
    except UnicodeEncodeError:  # a name that is no text
        return av.open(path.open("rb"), mode="r", format=form_argument, metadata_errors="replace")
    return av.open(whole, mode="r", format=form_argument, options={"protocol_whitelist": "file"}, metadata_errors="replace")


def main_stream(container: Any, name: str) -> Any:
    """The main video stream; cover pictures of sound files do not count."""
    import av

    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams or streams[0].codec_context is None:
        raise BadInput(f"{name}: expected a video, got a file without a video stream.")
    stream = streams[0]
    stream.thread_type = "AUTO"
    return stream


def _claimed_seconds(container: Any, stream: Any) -> float | None:
    """What the header says about the length."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return float(container.duration) / 1e6 if container.duration else None


def _scan(container: Any, stream: Any) -> _Table:
    """Read every packet's time stamp without decoding."""
    import av

    ticks: list[int] = []
    keys: list[int] = []
    without = 0
    cut = False
    try:
        for packet in container.demux(stream):
            if packet.size == 0 or packet.is_discard:
                continue
            if packet.pts is None:
                without += 1
            else:
                ticks.append(packet.pts)
                if packet.is_keyframe:
                    keys.append(packet.pts)
    except av.error.FFmpegError:
        cut = True
    tick_s = float(stream.time_base) if stream.time_base else 0.0
    nominal = float(stream.average_rate or stream.guessed_rate or 0) or 25.0
    if not ticks or without > len(ticks) or not tick_s:
        count = len(ticks) + without
        times = np.arange(count) / nominal
        return _Table(times=times, keys=times[:1], first_tick=None, tick_s=tick_s, fps=nominal, cut=cut)
    array = np.unique(np.asarray(ticks, dtype=np.int64))
    times = (array - array[0]) * tick_s
    steps = np.diff(times)
    rate = float(len(steps) / times[-1]) if len(steps) and times[-1] > 0 else nominal
    fps = nominal if abs(rate - nominal) <= 0.005 * nominal else rate
    from_key = (np.unique(np.asarray(keys, dtype=np.int64)) - array[0]) * tick_s
    return _Table(times=times, keys=from_key, first_tick=int(array[0]), tick_s=tick_s, fps=fps, cut=cut)


def _decode(
    path: Path, form: str, name: str, table: _Table, start_s: float, end_s: float, step: int, max_side: int | None
) -> Iterator[Frame]:
    """Yield frames in presentation order; only the kept ones are converted to RGB, at the wanted size."""
    if step < 1:
        raise BadInput(f"{name}: expected step ≥ 1, got {step}.")
    pictures = _Pictures(max_side)
    with _container(path, form) as container:
        stream = main_stream(container, name)
        sought = start_s > _SEEK_GAIN_S and _seek(container, stream, table, start_s)
        nothing = sought
        for number, time_s, frame in _numbered(container, stream, table, name, sought=sought):
            nothing = False
            if sought and time_s > start_s and number > int(np.searchsorted(table.times, start_s - 1e-6)):
                break  # the index led past the wanted frame: decode from the beginning instead
            sought = False
            if time_s >= end_s - 1e-9:
                return
            if time_s >= start_s - 1e-9 and number % step == 0:
                yield pictures.of(number, time_s, frame)
                pictures.let_go()
        else:
            if not nothing:  # the index may also lead behind the last frame
                return
    with _container(path, form) as container:
        stream = main_stream(container, name)
        for number, time_s, frame in _numbered(container, stream, table, name, sought=False):
            if time_s >= end_s - 1e-9:
                return
            if time_s >= start_s - 1e-9 and number % step == 0:
                yield pictures.of(number, time_s, frame)
                pictures.let_go()


def _glimpses(
    path: Path, form: str, name: str, table: _Table, moments: Sequence[float], length_s: float, step: int, max_side: int | None
) -> Iterator[Iterable[Frame]]:
    """For each moment the frames of [moment, moment + length_s), from one open container; it seeks where a key frame lies between."""
    if step < 1:
        raise BadInput(f"{name}: expected step ≥ 1, got {step}.")
    pictures = _Pictures(max_side)
    with _container(path, form) as container:
        stream = main_stream(container, name)
        coming = _numbered(container, stream, table, name, sought=False)
        held: list[tuple[int, float, Any]] = []  # decoded, and not behind the moment
        begins = reached = 0.0  # the first frame since the last seek, and the latest one
        for moment in moments:
            end_s = moment + length_s - 1e-9
            if _worth_a_seek(table, reached, moment) and _seek(container, stream, table, moment):
                coming = _numbered(container, stream, table, name, sought=True)
                held = [one for one in [next(coming, None)] if one is not None]
                begins = reached = held[0][1] if held else float("inf")
            if moment < begins and np.searchsorted(table.times, moment - 1e-6) < np.searchsorted(table.times, begins - 1e-6):
                # the index led past the wanted frame: this moment is decoded by itself, from the beginning if need be
                yield _decode(path, form, name, table, moment, moment + length_s, step, max_side)
                continue
            while (not held or held[-1][1] < end_s) and (found := next(coming, None)) is not None:
                held = [*(one for one in held if one[1] >= moment - 1e-9), found]
                reached = found[1]
            held = [one for one in held if one[1] >= moment - 1e-9]
            yield [
                pictures.of(number, time_s, frame)
                for number, time_s, frame in held if time_s < end_s and number % step == 0
            ]  # fmt: skip
            pictures.let_go()


def _worth_a_seek(table: _Table, reached: float, moment: float) -> bool:
    """Whether decoding can begin nearer to `moment` than where it stands."""
    at = int(np.searchsorted(table.keys, moment + 1e-9)) - 1
    return at >= 0 and float(table.keys[at]) > reached + _SEEK_GAIN_S


def _seek(container: Any, stream: Any, table: _Table, start_s: float) -> bool:
    """Jump to the key frame before `start_s`; False when the container cannot."""
    import av

    if table.first_tick is None:
        return False
    try:
        container.seek(table.first_tick + int(start_s / table.tick_s), stream=stream, backward=True, any_frame=False)
    except av.error.FFmpegError:
        return False
    return True


def _numbered(container: Any, stream: Any, table: _Table, name: str, *, sought: bool) -> Iterator[tuple[int, float, Any]]:
    """(number, time_s, frame) of every decodable frame; damaged packets are passed over, a damaged tail ends the clip."""
    import av

    damaged = 0
    count = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except av.error.FFmpegError:
            _log.warning("%s: the container is cut off; the clip ends here", name)
            break
        try:
            frames = packet.decode()
        except av.error.EOFError:
            break
        except av.error.FFmpegError:
            damaged += 1
            continue
        for frame in frames:
            if frame.pts is None or table.first_tick is None:
                number = count
                time_s = float(table.times[number]) if number < len(table.times) else number / table.fps
            else:
                time_s = (frame.pts - table.first_tick) * table.tick_s
                number = int(np.searchsorted(table.times, time_s - 0.5 * table.tick_s))
            if time_s < 0:  # cut away by the container's edit list
                continue
            count += 1
            yield number, time_s, frame
    if damaged:
        _log.warning("%s: %d packets could not be decoded and were passed over", name, damaged)


@dataclass(eq=False)
class _Source:
    """A decoded picture at any size, until it is let go."""

    frame: Any
    reformatter: Any

    def __call__(self, max_side: int) -> NDArray[np.uint8]:
        if self.frame is None:
            raise RuntimeError("a frame was asked for at another size after the next one was; expected before.")
        return upright_rgb(self.frame, self.reformatter, max_side)


class _Pictures:
    """Makes frames of one longest side, which can be had at another one until they are let go: decoded pictures are large.

    Each of the two sizes has a reformatter of its own, as one that changes sizes is set up anew each time.
    """

    def __init__(self, max_side: int | None) -> None:
        from av.video.reformatter import VideoReformatter

        self._max_side = max_side
        self._usual, self._other = VideoReformatter(), VideoReformatter()
        self._held: list[_Source] = []

    def of(self, number: int, time_s: float, frame: Any) -> Frame:
        """The frame at the usual size."""
        rgb = upright_rgb(frame, self._usual, self._max_side)
        if self._max_side is None or max(frame.width, frame.height) <= self._max_side:
            return Frame(number, time_s, rgb)
        source = _Source(frame, self._other)
        self._held.append(source)
        return Frame(number, time_s, rgb, source)

    def let_go(self) -> None:
        """Forget the decoded pictures of all frames so far."""
        for source in self._held:
            source.frame = None
        self._held.clear()


def upright_rgb(frame: Any, reformatter: Any, max_side: int | None) -> NDArray[np.uint8]:
    """Convert (and shrink in the same pass) to upright RGB."""
    from av.video.reformatter import Interpolation

    width, height = frame.width, frame.height
    if max_side is not None and max(width, height) > max_side:
        scale = max_side / max(width, height)
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
    small = reformatter.reformat(frame, width=width, height=height, format="rgb24", interpolation=Interpolation.AREA)
    pixels = small.to_ndarray()
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else np.asarray(pixels, dtype=np.uint8)


@lru_cache(maxsize=64)
def _created(text: str) -> float | None:
    """Seconds since 1970 UTC of a container's creation time, None when absent or obviously unset."""
    from datetime import UTC, datetime

    try:
        stamp = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    stamp = stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)
    return stamp.timestamp() if stamp.year >= 1990 else None
