"""A scripted session for the page's tests: the same event stream as the real agent, from real pictures and curves."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from agent.reply import Panel, Progress, Reply, StepDone, StepStarted, TextDelta, ToolRun, TurnEvent
from core.errors import BadInput
from core.evidence import Anomaly, Evidence, Interval, Region, Whole
from ui.chats import Backend

HOSTILE = "<img src=x onerror=window.hacked=1> ![p](http://203.0.113.7/p.png) [go](http://203.0.113.7/)"


@dataclass
class Turn:
    question: str
    files: tuple[str, ...]
    reply: Reply


@dataclass
class Store:
    """What survives a session: turns by thread."""

    folder: Path
    pace_s: float = 0.02
    turns: dict[str, list[Turn]] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)

    def backend(self) -> Backend:
        return Backend(open=lambda thread, model: ScriptedSession(self, thread, model), threads=self.threads)

    def threads(self) -> list[object]:
        @dataclass(frozen=True)
        class Info:
            thread: str
            title: str
            updated: datetime
            turns: int

        return [Info(t, h[0].question if h else "", datetime.now(UTC), len(h)) for t, h in self.turns.items()]


class ScriptedSession:
    def __init__(self, store: Store, thread: str | None, model: str = "embedded") -> None:
        self.store, self.model = store, model
        if thread is not None and thread not in store.turns:
            raise BadInput(f"chat {thread!r} does not exist.")
        self.thread = thread or f"chat{len(store.turns) + 1:04d}"
        store.turns.setdefault(self.thread, [])
        store.opened.append(self.thread)

    def history(self) -> list[Turn]:
        return list(self.store.turns[self.thread])

    def pending(self) -> bool:
        return False

    def resume(self) -> Iterator[TurnEvent]:
        return iter(())

    def close(self) -> None:
        pass

    def ask(self, question: str, *, files: Sequence[Path] = (), normal: Sequence[Path] = ()) -> Iterator[TurnEvent]:
        if "crash" in question:
            raise ZeroDivisionError("planned")
        names = tuple(path.name for path in files)
        yield StepStarted(key="read", title=f"Reading {len(names)} files")
        good = [path for path in files if path.stat().st_size > 0]
        refused = tuple((p.name, f"{p.name!r} is empty: expected a picture, got 0 bytes.") for p in files if p not in good)
        yield StepDone(key="read", title=f"Read {len(good)} files", seconds=0.01, detail=", ".join(names))
        yield StepStarted(key="score", title="Comparing photos")
        for done in range(20):
            time.sleep(self.store.pace_s * (20 if "slowly" in question else 1))
            yield Progress(key="score", what="frames", done=done + 1, total=20)
        yield StepDone(key="score", title="Compared photos", seconds=20 * self.store.pace_s)
        reply = self.reply(question, good, refused)
        for word in reply.answer.split(" "):
            yield TextDelta(text=word + " ")
        self.store.turns[self.thread].append(Turn(question, names, reply))
        yield reply

    def reply(self, question: str, files: list[Path], refused: tuple[tuple[str, str], ...]) -> Reply:
        source = files[0].name if files else "earlier files"
        e1 = Evidence(
            id="E1", tool="patch_search", version="1", parameters={}, source=source, score=3.21, p_value=0.004, threshold=1.5,
            threshold_origin="99th percentile of 40 held-out normal scores", calibrated=True,
            locus=Region(sample=source, box=(40, 30, 120, 90), area_share=0.043),
        )  # fmt: skip
        e2 = Evidence(
            id="E2", tool="window_pca", version="1", parameters={}, source=source, score=8.5, p_value=0.00001, threshold=4.0,
            threshold_origin="median + 4 robust deviations of the same input", facts={},
            locus=Interval(sample=source, start_s=42.0, end_s=47.5, peak_s=44.0, channels=("pressure",)),
        )  # fmt: skip
        e3 = Evidence(id="E3", tool="window_pca", version="1", parameters={}, source=source, locus=Whole(sample=source))
        if not files and "again" not in question:
            return Reply(answer="The peak was at 0:44 [E2].", status="insufficient", evidence=(e2,), model=self.model,
                         seconds=0.4, thread=self.thread)  # fmt: skip
        found = (
            Anomaly(label="scratch", source=source, loci=(e1.locus,), severity=3, severity_score=82.0, confidence=0.93,
                    evidence=("E1",), why="far beyond the threshold and 4 % of the surface"),
            Anomaly(label="pressure spike", source=source, loci=(e2.locus,), severity=1, severity_score=21.0, confidence=0.7,
                    evidence=("E2",)),
        )  # fmt: skip
        return Reply(
            answer=f"**{source}** has a scratch at the upper left [E1], and the pressure jumps from 0:42 to 0:47.5 [E2].\n\n"
            f"- It is *far* beyond the threshold.\n- The file says: {HOSTILE}\n\nThe rest looks normal [E3].",
            status="abnormal", anomalies=found, evidence=(e1, e2, e3), panels=self.panels(source), model=self.model, seconds=0.6,
            tools=(ToolRun(name="patch_search", source=source, seconds=0.4, reason="normal photos were given"),),
            refused=refused, thread=self.thread,
            suggestions=("Where exactly?", "Which sensor is to blame?", "Show me the evidence"),
        )  # fmt: skip

    def panels(self, source: str) -> tuple[Panel, ...]:
        shown = []
        for index in range(3):
            path = self.store.folder / f"heat{index}.png"
            picture = Image.effect_mandelbrot((320, 240), (-2 + index * 0.4, -1.2, 1, 1.2), 60).convert("RGB")
            ImageDraw.Draw(picture).rectangle((40, 30, 120, 90), outline=(228, 87, 46), width=4)
            picture.save(path)
            shown.append(Panel(kind="heatmap", caption=f"{source}: scratch", source=source, evidence="E1", path=str(path)))
            shown.append(Panel(kind="keyframe", caption=f"0:{42 + 2 * index}", source=source, evidence="E2", path=str(path)))
        t = np.arange(600) / 5.0
        scores = np.random.default_rng(0).random(600) + 9 * np.exp(-(((t - 44) / 2) ** 2))
        shown.append(
            Panel(
                kind="curve", caption="Score over time", source=source,
                data={"seconds": t.tolist(), "scores": scores.tolist(), "threshold": 4.0, "unit": "s", "epoch_s": None,
                      "events": [{"start_s": 42.0, "end_s": 47.5, "evidence": "E2", "label": HOSTILE}],
                      "series": [{"name": "pressure", "values": np.sin(t).tolist(), "unit": "bar"}]},
            )
        )  # fmt: skip
        shown.append(Panel(kind="table", caption="Channels", source=source,
                           data={"columns": ["channel", "share"], "rows": [["pressure", 0.71234], [HOSTILE, 0.1]]}))  # fmt: skip
        return tuple(shown)


def serve(folder: str, port: str, pace_s: str, auth: str | None = None) -> None:
    """Serve the page with scripted sessions (run in a process of its own by the browser tests)."""
    from ui.serve import serve as serve_page

    store = Store(Path(folder), float(pace_s))
    serve_page(port=int(port), auth=auth, backend=store.backend(), warm=False)


if __name__ == "__main__":
    import sys

    serve(*sys.argv[1:])
