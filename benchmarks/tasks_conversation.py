"""What a person waits for: cold answers in a fresh process, follow-ups on cached evidence, and how cost grows with length.

Each row runs the command line (`telltale ask`) in a new process with an empty TELLTALE_HOME and no warm caches, and reports wall
seconds and the process's peak memory. Rows that cut a video or a batch to 1×, 2× and 4× show that cost grows linearly and memory
stays flat.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.rows import Row, measured

QUESTION = "what is wrong here, when, and how bad?"


def rows(data: Path, *, quick: bool) -> Iterator[Row]:
    """Cold answers, follow-ups and growth."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        yield from _photos(data, folder)
        yield from _clip(data, folder)
        if not quick:
            yield from _growth(data, folder)


def _photos(data: Path, folder: Path) -> Iterator[Row]:
    test = data / "mvtec_bottle" / "test"
    if not test.is_dir():
        print("mvtec_bottle is absent: photo rows skipped")
        return
    good = sorted((test / "good").glob("*"))[:7]
    broken = [sorted((test / kind).glob("*"))[0] for kind in ("broken_large", "broken_small", "contamination")]
    yield _cold("ten 450-pixel photos", [*good, *broken], folder)


def _clip(data: Path, folder: Path) -> Iterator[Row]:
    clip = data / "ucf_crime_clips" / "RoadAccidents002_x264.mp4"
    if not clip.is_file():
        print("ucf_crime_clips is absent: video rows skipped")
        return
    yield _cold("RoadAccidents002, 20 s", [clip], folder)
    yield from _follow_up(clip, folder)


def _growth(data: Path, folder: Path) -> Iterator[Row]:
    """The same clip once, twice and four times after itself."""
    clip = data / "ucf_crime_clips" / "RoadAccidents002_x264.mp4"
    if not clip.is_file():
        return
    for times in (1, 2, 4):
        longer = folder / f"repeated_{times}.mp4"
        repeat_video(clip, longer, times)
        yield _cold(f"RoadAccidents002 repeated {times}×", [longer], folder)


def repeat_video(source: Path, target: Path, times: int) -> None:
    """Write `source` `times` times in a row, re-encoded frame by frame."""
    import av

    with av.open(str(target), "w") as out:
        stream = None
        for _ in range(times):
            with av.open(str(source)) as container:
                rate = container.streams.video[0].average_rate
                for frame in container.decode(video=0):
                    if stream is None:
                        stream = out.add_stream("libx264", rate=rate)
                        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
                        stream.options = {"preset": "ultrafast", "crf": "20"}
                    image = av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"), format="rgb24")
                    for packet in stream.encode(image):
                        out.mux(packet)
        if stream is not None:
            for packet in stream.encode():
                out.mux(packet)


def _cold(title: str, files: Sequence[Path], folder: Path) -> Row:
    seconds, peak_mb, reply = ask([str(f) for f in files], QUESTION, Path(tempfile.mkdtemp(dir=folder)))
    inside = sum(tool["seconds"] for tool in reply["tools"])
    return Row(
        data=title, method="telltale ask (cold process)", seconds=seconds, peak_mb=peak_mb,
        metrics={"anomalies": float(len(reply["anomalies"])), "tool_s": inside, "reply_s": reply["seconds"]}, note=reply["status"],
    )  # fmt: skip


def ask(files: Sequence[str], question: str, home: Path) -> tuple[float, float, dict[str, Any]]:
    """Run the command line in a new process; returns wall seconds, its peak memory in MB and the reply."""
    command = [sys.executable, "-c", "from ui.cli import main; main()", "ask", *files, "-q", question, "--json"]
    environment = {**os.environ, "TELLTALE_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    read, write = os.pipe()
    start = time.perf_counter()
    process = os.posix_spawn(
        sys.executable, command, environment, file_actions=[(os.POSIX_SPAWN_DUP2, write, 1), (os.POSIX_SPAWN_CLOSE, read)]
    )
    os.close(write)
    with os.fdopen(read, "rb") as output:
        text = output.read()
    _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status) != 0:
        raise RuntimeError(f"telltale ask ended with {os.waitstatus_to_exitcode(status)}")
    return seconds, usage.ru_maxrss / 1024, json.loads(text)


FIRST_WHY = "why?"
FOLLOW_UPS = (
    "why?",
    "how bad is it?",
    "show me the strongest one",
    "what happened at 0:05?",
    "how do you know?",
    "list everything",
)


def _follow_up(clip: Path, folder: Path) -> Iterator[Row]:
    """Follow-up questions in the same chat and process: the first "why?" has who does what followed, the others read what is kept."""
    from agent.session import Session

    session = Session(home=Path(tempfile.mkdtemp(dir=folder)))
    list(session.ask(QUESTION, files=[clip]))
    with measured() as cost:
        list(session.ask(FIRST_WHY))
    data = "RoadAccidents002, 20 s"
    yield Row(data=data, method="the first why: people and things are followed", seconds=cost.seconds, peak_mb=0.0,
              metrics={"seconds": cost.seconds})  # fmt: skip
    seconds = []
    for question in FOLLOW_UPS:
        with measured() as cost:
            list(session.ask(question))
        seconds.append(cost.seconds)
    session.close()
    yield Row(
        data=data, method=f"{len(FOLLOW_UPS)} follow-up questions on cached evidence", seconds=max(seconds), peak_mb=0.0,
        metrics={"slowest_s": max(seconds), "mean_s": sum(seconds) / len(seconds)},
    )  # fmt: skip
