"""A live source, whatever it is: an address, a camera of this machine, a growing folder, or a file that is played as if it were live.

All give `core.samples.Frame`s in order of time, from 0, shrunk and thinned to what is looked at. A camera is read by OpenCV
(Video4Linux), since PyAV's wheels hold no device formats.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Literal, Protocol, TypeAlias

import numpy as np

from core.errors import BadInput
from core.samples import Frame, VideoClip, shrink
from readers.growing import GrowingFolder
from readers.names import shown_name
from readers.network import NetworkStream, is_address

MAX_SIDE = 640
"""Longest side of the frames in pixels: enough to recognise a person, and a second of them takes 10 MB."""
APART_S = 0.06

_DEVICE = re.compile(r"/dev/video(\d+)")

StreamKind: TypeAlias = Literal["network", "camera", "folder", "file"]


class Stream(Protocol):
    """A source of frames; `name` may be shown, `epoch_s` is the clock time of time 0, if anybody knows yet."""

    name: str
    fps: float | None
    epoch_s: float | None

    def frames(self) -> Iterator[Frame]:
        """Frames in order of time, from 0."""
        ...


def open_stream(
    source: str, *, stop: Event, say: Callable[[str], None] = lambda line: None, speed: float = 1.0,
    max_side: int | None = MAX_SIDE, apart_s: float = APART_S,
) -> tuple[Stream, StreamKind]:  # fmt: skip
    """Open a live source; nothing is read beyond the first frame of an address or a camera.

    Args:
        source: an address (rtsp, http), a device (/dev/video0), a folder, or a video file.
        stop: ends reading and waiting.
        say: told in one line what breaks off, is passed over or left out; no line holds a password.
        speed: a file is played so many times as fast as it was recorded; 0: as fast as it is taken.
        max_side: longest side of the frames.
        apart_s: frames closer than this to the one before are not taken.

    Raises:
        BadInput: there is no such thing, it does not answer, or it is not video.
    """
    if not speed >= 0 or speed == float("inf"):
        raise BadInput(f"speed {speed!r}: expected 0 or more.")
    if is_address(source):
        return NetworkStream(source, max_side=max_side, apart_s=apart_s, stop=stop, say=say), "network"
    place = Path(source)
    try:
        device = place.is_char_device()
        folder = place.is_dir()
    except (OSError, ValueError) as error:
        raise BadInput(f"{shown_name(source)}: this is not a usable path.") from error
    if device:
        return Camera(place, max_side=max_side, apart_s=apart_s, stop=stop), "camera"
    if folder:
        return GrowingFolder(place, max_side=max_side, apart_s=apart_s, stop=stop, say=say), "folder"
    return PlayedFile(place, max_side=max_side, apart_s=apart_s, stop=stop, speed=speed), "file"


class PlayedFile:
    """A video file, played at its own pace times `speed` (0: without waiting).

    Raises:
        BadInput: not a video that can be read.
    """

    def __init__(self, path: Path, *, max_side: int | None, apart_s: float, stop: Event, speed: float) -> None:
        from readers.open import open_path

        source = open_path(path)
        clip = source.samples[0]
        if not isinstance(clip, VideoClip) or len(source.samples) != 1:
            raise BadInput(f"{source.name}: expected a video, got {source.kind}.")
        self._clip, self.name = clip, clip.name
        self.fps: float | None = clip.fps
        self.epoch_s: float | None = clip.epoch_s
        self._max_side, self._apart_s, self._stop, self._speed = max_side, apart_s, stop, speed

    def frames(self) -> Iterator[Frame]:
        """The frames, each when it is due."""
        started = time.monotonic()
        step = max(1, int(np.ceil(self._apart_s * self._clip.fps - 1e-6)))
        for frame in self._clip.frames(step=step, max_side=self._max_side):
            if self._speed:
                wait_s = frame.time_s / self._speed - (time.monotonic() - started)
                if wait_s > 0:
                    self._stop.wait(wait_s)
            if self._stop.is_set():
                return
            yield frame


class Camera:
    """A camera of this machine, by its device path (/dev/video0, or a link to it).

    Raises:
        BadInput: it is no camera, cannot be opened, or gives no picture.
    """

    def __init__(self, path: Path, *, max_side: int | None, apart_s: float, stop: Event) -> None:
        import cv2

        self.name = shown_name(path)
        self._max_side, self._apart_s, self._stop = max_side, apart_s, stop
        numbered = _DEVICE.fullmatch(str(path.resolve()))
        if numbered is None:
            raise BadInput(f"{self.name}: expected a camera like /dev/video0, got another device.")
        loud = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what is wrong is said below
        self._camera = cv2.VideoCapture(int(numbered[1]), cv2.CAP_V4L2)
        there = self._camera.isOpened() and self._camera.grab()
        cv2.utils.logging.setLogLevel(loud)
        if not there:
            self._camera.release()
            raise BadInput(f"{self.name}: the camera gives no picture; is it a camera, and does no other program use it?")
        rate = float(self._camera.get(cv2.CAP_PROP_FPS))
        self.fps = rate if 0 < rate <= 240 else None
        self.epoch_s: float | None = time.time()

    def frames(self) -> Iterator[Frame]:
        """Frames at the time at which they came.

        Raises:
            BadInput: the camera is gone.
        """
        import cv2

        started, last, number = time.monotonic(), -float("inf"), 0
        try:
            while not self._stop.is_set():
                if not self._camera.grab():
                    raise BadInput(f"{self.name}: the camera gives no picture any more; is it still plugged in?")
                time_s = time.monotonic() - started
                if time_s < last + self._apart_s:
                    continue
                last = time_s
                whole, picture = self._camera.retrieve()
                if whole:
                    rgb = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)
                    yield Frame(number, time_s, shrink(rgb, self._max_side))
                    number += 1
        finally:
            self._camera.release()
