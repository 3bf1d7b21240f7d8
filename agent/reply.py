"""What a conversation turn streams to a face (web page, command line), and the reply it ends with.

A turn yields `StepStarted`, `Progress` and `StepDone` while tools run, `TextDelta`s while the answer is written, and exactly one
`Reply` at the end, also when something failed: a failure is a sentence in the reply, never an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from agent.accounts.account import Account
from core.evidence import Anomaly, Evidence, Status


@dataclass(frozen=True, kw_only=True)
class StepStarted:
    """A visible step began; `key` pairs it with its StepDone and Progress."""

    key: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Work inside a step: `done` of `total` (0 = unknown) `what`."""

    key: str
    what: str
    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class StepDone:
    """A step ended after `seconds`; `detail` is one line; `ok` False when it failed (detail says why)."""

    key: str
    title: str
    seconds: float
    detail: str = ""
    ok: bool = True


@dataclass(frozen=True, kw_only=True)
class TextDelta:
    """A piece of the (already checked) answer text."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One thing to show with the answer.

    kind "heatmap" | "keyframe" | "picture" | "graph": `path` is a PNG, `caption` a line, `evidence` the id it belongs to.
    kind "clip": `path` is an MP4 to save, `caption` the name to save it under.
    kind "curve": `data` = {"seconds": [...], "scores": [...], "threshold": x, "unit": "s"|"step"|"clock", "epoch_s": float|None,
    "events": [{"start_s", "end_s", "evidence", "label"}], "series": [{"name", "values", "unit"}] (raw channels, optional)}.
    kind "table": `data` = {"columns": [...], "rows": [[...]]}.
    """

    kind: Literal["heatmap", "keyframe", "picture", "graph", "clip", "curve", "table"]
    caption: str
    source: str
    evidence: str | None = None
    path: str | None = None
    data: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class ToolRun:
    """One tool the answer rests on, how long it took (0.0 from the cache) and why it was chosen."""

    name: str
    source: str
    seconds: float
    reason: str
    cached: bool = False


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The end of a turn: checked answer (Markdown with evidence ids like [E3]), verdict, evidence, panels and costs.

    `accounts` tell of each anomaly (of many, the worst) what came before and after it and what may excuse it, in the same order.
    `skimmed` names the long videos of which only a first look is known: `Session.refine` reads the rest.
    `removed` are draft sentences the check took out; `refused` are (file name, sentence) of uploads that could not be read.
    """

    answer: str
    status: Status
    anomalies: tuple[Anomaly, ...] = ()
    accounts: tuple[Account, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    panels: tuple[Panel, ...] = ()
    tools: tuple[ToolRun, ...] = ()
    model: str = "embedded"
    seconds: float = 0.0
    thread: str = ""
    removed: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    suggestions: tuple[str, ...] = ()
    skimmed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The object `telltale ask --json` prints (panels are for faces and stay out)."""
        return {
            "answer": self.answer,
            "status": self.status,
            "anomalies": [a.to_json() for a in self.anomalies],
            "accounts": [a.to_json() for a in self.accounts],
            "evidence": [e.to_json() for e in self.evidence],
            "tools": [asdict(t) for t in self.tools],
            "model": self.model,
            "seconds": round(self.seconds, 3),
            "thread": self.thread,
            **({"skimmed": list(self.skimmed)} if self.skimmed else {}),
            "refused": [{"name": name, "message": message} for name, message in self.refused],
        }


TurnEvent: TypeAlias = StepStarted | Progress | StepDone | TextDelta | Reply
