"""Watch a stream (the `telltale watch` command): open everything given, watch, say what it came to."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock, current_thread, main_thread
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from core.errors import BadInput, UserError
from ui.terminal import plain
from ui.watching import Watch, Watched

if TYPE_CHECKING:
    from tools.video.frame_novelty import FrameNovelty


def evidence_folder(name: str, chosen: Path | None) -> tuple[Path, str]:
    """Where pictures and clips go, and how their names begin: the folder chosen, else one of this watch in the user data folder.

    Raises:
        BadInput: it cannot be made.
    """
    from core.settings import home

    safe = re.sub(r"[^\w.-]+", "_", name.partition("://")[2] or name).strip("._") or "stream"
    this = f"{safe}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder, prefix = (home() / "watch" / this, "") if chosen is None else (chosen, f"{this}-")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{str(folder)!r}: expected a folder that can be written to ({error.strerror}).") from error
    return folder, prefix


def fitted(normal: Sequence[Path]) -> FrameNovelty:
    """The detector, fitted on normal clips when there are some.

    Raises:
        UserError: one cannot be read, or is no video.
    """
    from readers.open import open_all
    from tools.video.frame_novelty import FrameNovelty

    detector = FrameNovelty()
    if not normal:
        return detector
    opened = open_all(normal, kind="video")
    if opened.refused or not opened.sources:
        raise BadInput(opened.refused[0].message if opened.refused else "--normal: nothing could be read.")
    try:
        return detector.fit([sample for source in opened.sources for sample in source.samples])
    except UserError as error:
        raise BadInput(f"--normal: {error}") from error


def run_watch(
    source: str, *, normal: Sequence[Path] = (), alerts: Path | None = None, webhook: str | None = None, clips: Path | None = None,
    for_s: float | None = None, speed: float = 1.0, warm_up_s: float = 30.0, threshold: float | None = None, tau_s: float = 1.0,
    as_json: bool = False,
) -> Watched:  # fmt: skip
    """The command: open everything, watch, and say at the end what it came to.

    Raises:
        UserError: something given cannot be used, or the stream broke for good.
    """
    from agent.watching import threshold_of
    from core.progress import watching
    from readers.stream import open_stream
    from tools.video.live import MEMORY_S, LiveNovelty
    from ui.alerts import AlertFile, Webhook
    from ui.terminal import clear_progress, print_passing, print_progress

    stop, told = Event(), Lock()

    def line(text: str, file: TextIO) -> None:
        with told:
            clear_progress()
            print(plain(text), file=file, flush=True)

    def say(text: str) -> None:
        line(f"telltale: {text}", sys.stderr)

    def show(sentence: str, data: Mapping[str, Any]) -> None:
        line(json.dumps(data, ensure_ascii=False, default=str) if as_json else sentence, sys.stdout)

    LiveNovelty(warm_up_s=warm_up_s)  # refuses a value out of range before anything is read
    file = None if alerts is None else AlertFile(alerts, say)
    with watching(print_progress):
        try:
            detector = fitted(normal)
        finally:
            clear_progress()
    calibration = threshold_of(detector, memory_s=MEMORY_S, chosen=threshold)
    hook = None if webhook is None else Webhook(webhook, say)
    try:
        if hook is not None and (warning := hook.warning()) is not None:
            say(warning)
        _load(detector)
        stream, kind = open_stream(source, stop=stop, say=say, speed=speed)
        folder, prefix = evidence_folder(stream.name, clips)
        say(
            f"watching {stream.name}; an event opens at {calibration.threshold:.2f} ({calibration.origin}); pictures go to {folder}"
        )
        watch = Watch(
            stream=stream, kind=kind, detector=detector, calibration=calibration, folder=folder, prefix=prefix,
            clips=clips is not None, sinks=[sink for sink in (file, hook) if sink is not None], show=show, say=say,
            passing=print_passing, stop=stop, patient=kind == "folder" or (kind == "file" and speed == 0), warm_up_s=warm_up_s,
            memory_s=MEMORY_S, tau_s=tau_s,
        )  # fmt: skip
        with stopped_by_signals(stop):
            done = watch.run(for_s)
    finally:
        clear_progress()
        if hook is not None:
            hook.close()
    hint = (
        ""
        if done.judged or normal
        else f"; the first {warm_up_s:g} s are only learned from: give --normal, or a shorter --warm-up"
    )
    say(
        f"watched {done.seconds:.1f} s of {stream.name}: {done.events} event{'s' * (done.events != 1)}, {done.judged:,} units judged, "
        f"{done.left_out:,} left out{hint}"
    )
    return done


def _load(detector: FrameNovelty) -> None:
    """Load networks and make the comparison ready, so that the stream's first units do not wait for it."""
    import numpy as np

    from core.samples import Frame
    from tools.video.live import LiveNovelty

    blank = np.zeros((360, 640, 3), np.uint8)
    for _ in LiveNovelty(detector).follow(Frame(number, number / 10, blank) for number in range(2)):
        pass


@contextmanager
def stopped_by_signals(stop: Event) -> Iterator[None]:
    """Ctrl-C and a request to end set `stop`, so that what is open is closed; a second one ends at once."""
    kept: dict[signal.Signals, Any] = {}

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if current_thread() is main_thread():  # elsewhere signals cannot be caught
        for one in (signal.SIGINT, signal.SIGTERM):
            kept[one] = signal.signal(one, ask)
    try:
        yield
    finally:
        for one, before in kept.items():
            signal.signal(one, before)
