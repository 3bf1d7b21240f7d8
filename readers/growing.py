"""A folder that grows: each new picture is a frame at the time it was written, each finished video is a stretch of the stream.

A file is taken once it is whole: a picture when its end is there, a video when it has not changed for two seconds. Time 0 is the first
frame taken; a picture's time is the file's modification time, a video ends at it. Files that were there before count when they are younger
than `since_s`, so that what is usual can be learned from them. What cannot be read is said and passed over; when reading falls further
behind than LATE_S, files are left out, and how many is said.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from core.errors import BadInput
from core.samples import Frame, shrink
from readers.image import decode, inspect, looks_whole
from readers.names import shown_name
from readers.sniff import sniff
from readers.video import open_video

POLL_S = 0.5
SETTLED_S = 2.0
"""A file that has not changed for so long is finished."""
SINCE_S = 600.0
LATE_S = 60.0
JOIN_S = 1.0
"""A video that begins this near to the end of the one before goes on where that ended."""


@dataclass(frozen=True, kw_only=True, order=True)
class _File:
    written_ns: int
    name: str
    size: int
    path: Path

    @property
    def written_s(self) -> float:
        return self.written_ns / 1e9


class GrowingFolder:
    """The frames of a growing folder.

    Args:
        folder: an existing folder; what lies in folders below it does not count.
        max_side: frames are shrunk to this longest side.
        apart_s: frames closer than this to the one before are not taken.
        stop: ends reading and waiting.
        say: told what could not be read and what was left out.
        poll_s: seconds between looks.
        settled_s: seconds after which a file that does not change is finished.
        since_s: files that were there before and are older than this are left out.
    """

    def __init__(
        self, folder: Path, *, max_side: int | None, apart_s: float, stop: Event, say: Callable[[str], None], poll_s: float = POLL_S,
        settled_s: float = SETTLED_S, since_s: float = SINCE_S,
    ) -> None:  # fmt: skip
        self.name = shown_name(folder.resolve())
        self.fps: float | None = None
        self.epoch_s: float | None = None
        """Clock time of the first frame; None before it came."""
        self._folder, self._max_side, self._apart_s, self._stop, self._say = folder, max_side, apart_s, stop, say
        self._poll_s, self._settled_s, self._since_s = poll_s, settled_s, since_s
        self._done: set[str] = set()
        self._seen: dict[str, tuple[int, int, float]] = {}
        self._last_s = -float("inf")
        self._number = 0

    def frames(self) -> Iterator[Frame]:
        """Frames in order of time, until `stop` is set.

        Raises:
            BadInput: the folder can no longer be read.
        """
        first = True
        while not self._stop.is_set():
            for file in self._finished(first=first):
                if self._stop.is_set():
                    return
                try:
                    for time_s, frame in self._read(file):
                        if time_s < self._last_s + self._apart_s - 1e-6 and self._number:
                            continue
                        self._last_s = time_s
                        yield Frame(self._number, time_s, frame.rgb)
                        self._number += 1
                except BadInput as error:
                    self._say(f"passed over: {error}")
            first = False
            self._stop.wait(self._poll_s)

    def _finished(self, *, first: bool) -> list[_File]:
        """New files that are whole, in the order in which they were written."""
        there = self._listing()
        names = {file.name for file in there}
        self._done &= names  # a name that is used again is a new file
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}
        if first:
            old = {file.name for file in there if file.written_s < time.time() - self._since_s}
            self._done |= old
            if old:
                self._say(f"{self.name}: {len(old):,} older file{'s' * (len(old) > 1)} left out")
        fresh = [file for file in there if file.name not in self._done]
        whole = sorted(file for file in fresh if self._whole(file))
        late = [] if first else [file for file in whole if whole[-1].written_s - file.written_s > LATE_S]
        if late:
            self._say(f"{self.name}: reading is slower than the folder grows; {len(late):,} file(s) left out")
        self._done |= {file.name for file in whole}
        return [file for file in whole if file not in late]

    def _listing(self) -> list[_File]:
        found = []
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or not entry.is_file():
                        continue
                    try:
                        about = entry.stat()
                    except OSError:  # gone again
                        continue
                    found.append(_File(written_ns=about.st_mtime_ns, name=entry.name, size=about.st_size, path=Path(entry.path)))
        except OSError as error:
            raise BadInput(f"{self.name}: the folder can no longer be read ({error.strerror}).") from error
        return found

    def _whole(self, file: _File) -> bool:
        """Whether a file is finished: unchanged for long enough, or a picture whose end is there."""
        now = time.monotonic()
        size, written, since = self._seen.get(file.name, (-1, -1, now))
        if (size, written) != (file.size, file.written_ns):
            since = now
            self._seen[file.name] = (file.size, file.written_ns, now)
        if now - since >= self._settled_s:
            return True
        try:
            seen = sniff(file.path, file.name)
            return seen.kind == "image" and looks_whole(inspect(file.path, file.name, seen.form))
        except (BadInput, OSError):
            return False

    def _read(self, file: _File) -> Iterator[tuple[float, Frame]]:
        """(seconds, frame) of one file."""
        name = shown_name(file.name)
        try:
            seen = sniff(file.path, name)
            if seen.kind == "image":
                photo = decode(inspect(file.path, name, seen.form), max_side=self._max_side)
                yield self._at(file.written_s), Frame(0, 0.0, shrink(photo.pixels, self._max_side))
                return
            if seen.kind != "video":
                raise BadInput(f"{name}: expected a picture or a video.")
            clip = open_video(file.path, name, form=seen.form)
        except OSError as error:
            raise BadInput(f"{name}: the file could not be read ({error.strerror or type(error).__name__}).") from error
        start_s = self._at(file.written_s - clip.duration_s)
        if self._number and start_s - self._last_s < JOIN_S:
            start_s = self._last_s + self._apart_s
        for frame in clip.frames(max_side=self._max_side):
            yield start_s + frame.time_s, frame

    def _at(self, clock_s: float) -> float:
        """Seconds of the stream of a clock time, never earlier than the last frame."""
        if self.epoch_s is None:
            self.epoch_s = clock_s
        return max(clock_s - self.epoch_s, self._last_s, 0.0)
