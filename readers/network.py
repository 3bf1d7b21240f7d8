"""A camera or server by its address: frames by PyAV, connected again whenever the stream breaks off.

An address may hold a password: only its scheme, host and port are ever shown, and FFmpeg's own messages, which repeat it whole, are neither
shown nor logged nor chained. An address is opened only when a person gives it as one; the protocols FFmpeg may use are those of the
address's scheme, so that a play list from far away reaches no file here.

Time 0 is the first frame. Frames keep the stream's own time stamps as long as these agree with the clock to LEAD_S; what a server sends
ahead waits until it is due. After a break, time goes on by the clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import Any
from urllib.parse import urlsplit

from core.errors import BadInput
from core.samples import Frame
from core.settings import limits
from readers.video import main_stream, upright_rgb

SCHEMES: dict[str, str] = {
    "rtsp": "rtsp,rtp,srtp,udp,tcp",
    "rtsps": "rtsp,rtsps,rtp,srtp,udp,tcp,tls,crypto",
    "http": "http,https,tcp,tls,crypto",
    "https": "https,tcp,tls,crypto",
}
"""Schemes of addresses, and the protocols FFmpeg may use for one."""
OPEN_S, READ_S = 10.0, 10.0
"""Seconds a server has to answer, and to send the next packet."""
TRIES = 3
"""Times a server is tried at the start, before the address is refused. Later it is tried until it answers."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
"""Seconds before the next try: doubled each time, plus up to half a second by chance."""
LEAD_S = 10.0
"""Time stamps further from the clock than this are not believed."""


class Lost(Exception):
    """A connection that could not be made or broke off; the message holds no address."""


def is_address(source: str) -> bool:
    r"""Whether this is written like an address.

    >>> is_address("rtsp://gate/1"), is_address("C:\\clips\\a.mp4"), is_address("clips/a.mp4")
    (True, False, False)
    """
    return "://" in source


def shown_address(address: str) -> str:
    """An address as it may be shown: scheme, host and port. User, password, path and query may be secret.

    >>> shown_address("rtsp://ann:secret@cam.example.org:554/live?token=abc")
    'rtsp://cam.example.org:554'
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    scheme = address.partition("://")[0].lower()
    host = "".join(c for c in host if c.isalnum() or c in ".-_:%")
    host = f"[{host}]" if ":" in host else host
    return f"{scheme if scheme.isalnum() else 'address'}://{host or '…'}" + (f":{port}" if port else "")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Connection:
    container: Any
    stream: Any
    first: Any
    rest: Iterator[Any]
    finite: bool


class NetworkStream:
    """The frames of an address.

    Args:
        address: rtsp, rtsps, http or https.
        max_side: frames are shrunk to this longest side.
        apart_s: frames closer than this to the one before are only decoded.
        stop: ends reading and waiting.
        say: told when the connection breaks off and comes back.
        first_wait_s: seconds before the second try.
        timeouts_s: seconds to answer, and between packets.

    Raises:
        BadInput: another scheme, no host, or no answer after TRIES tries.
    """

    def __init__(
        self, address: str, *, max_side: int | None, apart_s: float, stop: Event, say: Callable[[str], None],
        first_wait_s: float = FIRST_WAIT_S, timeouts_s: tuple[float, float] = (OPEN_S, READ_S),
    ) -> None:  # fmt: skip
        self.name = shown_address(address)
        self._address, self._max_side, self._apart_s = address, max_side, apart_s
        self._stop, self._say, self._first_wait_s, self._timeouts_s = stop, say, first_wait_s, timeouts_s
        self._scheme = address.partition("://")[0].lower()
        if self._scheme not in SCHEMES:
            raise BadInput(f"{self.name}: expected an address of {', '.join(SCHEMES)}, got {self._scheme!r}.")
        if "…" in self.name:
            raise BadInput(f"{self.name}: expected an address with a host, as in {self._scheme}://camera.local/stream.")
        from tenacity import stop_after_attempt

        try:
            self._now: _Connection | None = self._connected(stop_after_attempt(TRIES))
        except Lost as error:
            raise BadInput(f"{self.name}: {error}; check the address, and whether the camera is on.") from None
        self.epoch_s: float | None = time.time()
        """Clock time of the first frame, seconds since 1970."""
        rate = self._now.stream.average_rate or self._now.stream.guessed_rate if self._now is not None else None
        self.fps = float(rate) if rate and 0 < rate <= 240 else None
        """Frames a second, as the stream says."""

    def frames(self) -> Iterator[Frame]:
        """Frames in order of time, until `stop` is set or a recording is over."""
        started, last, number = time.monotonic(), -1.0, 0
        from tenacity import stop_never

        while not self._stop.is_set():
            try:
                connection = self._now or self._connected(stop_never)
                self._now = None
                for time_s, frame in self._timed(connection, started, last):
                    last = time_s
                    yield Frame(number, time_s, frame)
                    number += 1
                if connection.finite or self._stop.is_set():
                    return
                raise Lost("the stream ended")
            except Lost as error:
                if self._stop.is_set():
                    return
                self._say(f"{self.name}: {error}; connecting again")
                self._stop.wait(self._first_wait_s)

    def _timed(self, connection: _Connection, started: float, last: float) -> Iterator[tuple[float, Any]]:
        """(time_s, rgb) of the frames that are far enough apart, each when it is due."""
        from av.video.reformatter import VideoReformatter

        reformatter = VideoReformatter()
        stamp0, base = None, max(time.monotonic() - started, last + self._apart_s) if last >= 0 else 0.0
        for frame in _chained(connection):
            clock = time.monotonic() - started
            stamp = None if frame.pts is None or frame.time_base is None else float(frame.pts * frame.time_base)
            if stamp is None:
                time_s = max(clock, last)
            else:
                stamp0 = stamp if stamp0 is None else stamp0
                time_s = base + stamp - stamp0
                if abs(time_s - clock) > LEAD_S or time_s < last:
                    stamp0, base = stamp, max(clock, last)
                    time_s = base
            if time_s > clock and self._stop.wait(time_s - clock):
                return
            if last >= 0 and time_s < last + self._apart_s - 1e-6:
                continue
            if frame.width * frame.height > limits().max_video_pixels:
                raise BadInput(
                    f"{self.name}: frames have {frame.width}×{frame.height} pixels, allowed are {limits().max_video_pixels:,} in all."
                )
            last = time_s
            yield time_s, upright_rgb(frame, reformatter, self._max_side)

    def _connected(self, stop: Any) -> _Connection:
        """Try until there is a first frame, or `stop` says so.

        Raises:
            Lost: the last try failed.
        """
        import tenacity as again

        def told(state: again.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome is not None else None
            wait_s = state.next_action.sleep if state.next_action is not None else 0.0
            self._say(f"{self.name}: {error}; next try in {wait_s:.0f} s")

        retrying = again.Retrying(
            retry=again.retry_if_exception_type(Lost), stop=stop | again.stop_when_event_set(self._stop), before_sleep=told, reraise=True,
            wait=again.wait_exponential(multiplier=self._first_wait_s, max=LONGEST_WAIT_S)
            + again.wait_random(0, min(0.5, self._first_wait_s)),
            sleep=again.sleep_using_event(self._stop),
        )  # fmt: skip
        found: _Connection = retrying(self._connect)
        return found

    def _connect(self) -> _Connection:
        """One try: open, and decode the first frame."""
        import av

        options = {"protocol_whitelist": SCHEMES[self._scheme]}
        if self._scheme.startswith("rtsp"):
            options["rtsp_transport"] = "tcp"
        container = None
        try:
            container = av.open(self._address, mode="r", options=options, timeout=self._timeouts_s, metadata_errors="replace")
            stream = main_stream(container, self.name)
            finite = bool(container.duration)
            frames = _decoded(container, stream)
            first = next(frames, None)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            if container is not None:
                container.close()
            raise Lost(_reason(error)) from None
        except BadInput:
            if container is not None:
                container.close()
            raise
        if first is None:
            container.close()
            raise Lost("it sent no picture")
        return _Connection(container=container, stream=stream, first=first, rest=frames, finite=finite)


def _chained(connection: _Connection) -> Iterator[Any]:
    """All frames of a connection, which is closed at the end."""
    import av

    try:
        yield connection.first
        yield from connection.rest
    except (av.error.FFmpegError, OSError) as error:
        raise Lost(_reason(error)) from None
    finally:
        connection.container.close()


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Frames in order; damaged packets are passed over."""
    import av

    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.EOFError:
            return
        except av.error.InvalidDataError:
            continue


def _reason(error: BaseException) -> str:
    """What went wrong, without the address that FFmpeg's message repeats."""
    import av

    if isinstance(error, av.error.ExitError):
        return "no answer in time"
    text = getattr(error, "strerror", None) or type(error).__name__
    return f"the connection failed ({text})"
