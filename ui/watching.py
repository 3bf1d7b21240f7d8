"""The watching itself: read in one thread, score in another, tell what happens.

Nothing waits for anything slower: the reader hands units over a short queue that leaves units out rather than grow, the webhook has its own
thread, and a clip is written as its frames come. Whatever fails on the way (a break in the stream, a full disk, a webhook that is down)
is said in one line, and watching goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Protocol

from core.archive import write_atomic
from core.errors import BadInput

if TYPE_CHECKING:
    from agent.watching import Alert, Watcher
    from core.calibrate import Calibration
    from core.samples import Frame
    from readers.stream import Stream, StreamKind
    from tools.video.clip_export import Exported
    from tools.video.clip_recorder import ClipRecorder
    from tools.video.frame_novelty import FrameNovelty
    from tools.video.live import LiveNovelty, LiveUnit
    from tools.video.unit_queue import UnitQueue

PAD_S = 3.0
"""Seconds before and after an event that its clip shows."""
REMIND_S = 10.0
"""Seconds between two lines about units that were left out."""
IDLE_S = 0.25
_HEAD = 6
"""Frames from whose distances the rate of a stream is taken that does not say it."""


class Sink(Protocol):
    """Takes alerts."""

    def put(self, alert: Mapping[str, Any]) -> None:
        """Take one."""
        ...


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What a watch came to."""

    events: int
    seconds: float
    judged: int
    left_out: int


@dataclass(kw_only=True, eq=False)
class Watch:
    """One watch of a stream.

    Args:
        stream: what is watched.
        kind: which sort of source it is.
        detector: fitted on normal clips, or not.
        calibration: threshold and origin.
        folder: where evidence pictures go.
        clips: whether a clip of each event is kept there as well.
        sinks: alert files and webhooks.
        show: told each alert and its JSON form.
        say: told everything else, one line each.
        passing: told how it stands, several times a second.
        stop: ends it.
        patient: the reader waits for the scorer.
        warm_up_s, memory_s: see `tools.video.live.LiveNovelty`.
        tau_s: seconds over which scores are smoothed.
        prefix: how the names of pictures and clips begin.
    """

    stream: Stream
    kind: StreamKind
    detector: FrameNovelty
    calibration: Calibration
    folder: Path
    clips: bool
    sinks: Sequence[Sink]
    show: Callable[[str, Mapping[str, Any]], None]
    say: Callable[[str], None]
    stop: Event
    passing: Callable[[str], None] = lambda line: None
    patient: bool = False
    warm_up_s: float = 30.0
    memory_s: float = 600.0
    tau_s: float = 1.0
    prefix: str = ""

    def __post_init__(self) -> None:
        from tools.video.clip_recorder import ClipRecorder
        from tools.video.unit_queue import UnitQueue

        self._queue: UnitQueue = UnitQueue(patient=self.patient)
        self._recorder: ClipRecorder | None = ClipRecorder() if self.clips else None
        self._recording = Lock()
        self._novelty: LiveNovelty | None = None
        self._watcher: Watcher | None = None
        self._last_s = 0.0
        self._learning = False

    def run(self, for_s: float | None = None) -> Watched:
        """Watch until the stream is over, `for_s` seconds have passed, or `stop` is set.

        Raises:
            UserError: the stream broke for good; what was open is closed and told first.
        """
        reader = Thread(target=self._read, name="stream", daemon=True)
        reader.start()
        try:
            self._follow(for_s)
        finally:
            self.stop.set()
            self._queue.close()
            if self._novelty is not None and self._watcher is not None:
                for unit in self._novelty.finish():
                    self._take(unit, self._watcher, self._novelty)
                self._emit(self._watcher.finish())
            with self._recording:
                self._end_clip()
            reader.join(2.0)
        watcher = self._watcher
        return Watched(
            events=0 if watcher is None else watcher.events.count, seconds=self._last_s,
            judged=0 if watcher is None else watcher.judged, left_out=self._queue.left_out,
        )  # fmt: skip

    def _read(self) -> None:
        """The reader's thread: frames to the recorder, units to the queue."""
        from tools.video.frame_features import stretches
        from tools.video.live import LiveNovelty, thinned

        try:
            frames, fps = self.stream.frames(), self.stream.fps
            if fps is None:
                fps, frames = rate_of(frames)
            self._novelty = LiveNovelty(self.detector, fps=fps, memory_s=self.memory_s, warm_up_s=self.warm_up_s)
            for stretch in stretches(self._recorded(thinned(frames)), self._novelty.unit_s):
                self._queue.put(stretch)
            self._queue.close()
        except BaseException as error:  # told by the thread that scores
            self._queue.close(error)

    def _recorded(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """The same frames; the recorder sees each, also those of units that are left out."""
        for frame in frames:
            if self._recorder is not None:
                with self._recording:
                    try:
                        self._tell_clip(self._recorder.add(frame.time_s, frame.rgb))
                    except BadInput as error:
                        self.say(str(error))
            yield frame

    def _follow(self, for_s: float | None) -> None:
        """The scorer's loop."""
        queue = self._queue
        started = arrived = reminded = time.monotonic()
        reminder = 0
        while not self.stop.is_set():
            stretch = queue.get(IDLE_S)
            now = time.monotonic()
            if stretch is not None and self._novelty is not None:
                arrived, self._last_s = now, stretch.frames[-1].time_s
                if self._watcher is None:
                    self._watcher = self._begin(self._novelty.unit_s)
                for unit in self._novelty.push(stretch):
                    self._take(unit, self._watcher, self._novelty)
            elif queue.over:
                return
            elif self._watcher is not None and not self.patient:
                self._emit(self._watcher.idle(now - arrived))
            if now - reminded >= REMIND_S and queue.left_out > reminder:
                self.say(
                    f"scoring is slower than the stream: {queue.left_out:,} of {queue.left_out + queue.taken:,} units left out"
                )
                reminded, reminder = now, queue.left_out
            if for_s is not None and (self._last_s >= for_s or now - started >= for_s):
                return

    def _begin(self, unit_s: float) -> Watcher:
        """What turns units into alerts; made at the first unit, when the clock time of the stream's start is known."""
        from agent.watching import Watcher

        return Watcher(
            source=self.stream.name, detector=self.detector, unit_s=unit_s, calibration=self.calibration, keep_picture=self._keep,
            tau_s=self.tau_s, epoch_s=None if self.kind == "file" else self.stream.epoch_s,
        )  # fmt: skip

    def _take(self, unit: LiveUnit, watcher: Watcher, novelty: LiveNovelty) -> None:
        """One unit: what it says of the camera and of learning, then what opens or closes by it."""
        from agent.watching import said_time

        at = said_time(unit.second, watcher.epoch_s)
        if unit.jump is not None:
            scene = "this scene was seen before" if unit.jump.known else "a new scene"
            note = "the normal clips may show another place" if self.detector.fitted else scene
            self.say(f"the camera jumped at {said_time(unit.jump.time_s, watcher.epoch_s)}: {note}")
        if unit.why == "learning" and not self._learning:
            self.say(f"learning what is usual: about {novelty.left_to_learn_s:.0f} s are not judged")
            self._learning = True
        elif self._learning and unit.valid:
            self.say(f"judging from {at} on")
            self._learning = False
        self._emit(watcher.take(unit))
        level = watcher.events.level
        self.passing(
            f"{at} · " + (f"score {level:.1f} of {self.calibration.threshold:.1f}" if unit.valid and level else unit.why)
        )

    def _emit(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            self._publish(alert.sentence(), alert.to_json())
            if self._recorder is None:
                continue
            with self._recording:
                if alert.state == "closed":
                    self._recorder.until(alert.end_s + PAD_S)
                    continue
                self._end_clip()  # that of the event before, when what follows it is not over yet
                try:
                    name = f"{self.prefix}event-{alert.event:04d}.mp4"
                    self._recorder.start(self.folder / name, alert.start_s - PAD_S)
                except BadInput as error:
                    self.say(str(error))

    def _publish(self, sentence: str, data: Mapping[str, Any]) -> None:
        self.show(sentence, data)
        for sink in self.sinks:
            sink.put(data)

    def _end_clip(self) -> None:
        try:
            self._tell_clip(None if self._recorder is None else self._recorder.finish())
        except BadInput as error:
            self.say(str(error))

    def _tell_clip(self, done: Exported | None) -> None:
        if done is None:
            return
        number = int(done.path.stem.rpartition("-")[2])
        self._publish(
            f"event {number} saved as {done.path} ({done.end_s - done.start_s:.1f} s)",
            {"event": number, "state": "saved", "text": f"{self.stream.name}: event {number} saved as {done.path.name}",
             "source": self.stream.name, "clip": str(done.path), "start_s": round(done.start_s, 3), "end_s": round(done.end_s, 3)},
        )  # fmt: skip

    def _keep(self, name: str, data: bytes) -> str | None:
        path = self.folder / f"{self.prefix}{name}"
        try:
            write_atomic(path, data)
        except OSError as error:
            self.say(f"{path.name} could not be kept ({error.strerror})")
            return None
        return str(path)


def rate_of(frames: Iterator[Frame]) -> tuple[float | None, Iterator[Frame]]:
    """Frames a second, from the usual distance of the first ones, and all frames; None when there are too few."""
    head = list(islice(frames, _HEAD))
    apart = sorted(b.time_s - a.time_s for a, b in pairwise(head) if b.time_s > a.time_s)
    return (1 / apart[len(apart) // 2] if apart else None), chain(head, frames)
