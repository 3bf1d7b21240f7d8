"""Questions as people type them, in the chats of five kinds of users, and what must be understood of them.

A line of `questions.jsonl` is (chat, question, intents, what else). Targets: `samples` (names), `channels`, `entities`, `sources`,
`times` ((start, end) in seconds), `findings` (indices of the last answer), `concept`, `limit`, `view`, `rule` ((subject, polarity)),
`sensitivity`, `min_severity`, `negation`, `expects`, `reason` and `note` (parts of the sentence), `format`, `language`. What a row does not
list is not checked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.grammar import understand
from agent.question import Context, EntityIndex, PriorFinding, Request, SampleRef, SourceInfo

DAY0 = 1709337600.0  # 2024-03-02 00:00 UTC, a Saturday

TILES = SourceInfo(name="tiles", kind="image", samples=tuple(f"tile_{i:02d}.jpg" for i in range(1, 11)))
YARD = SourceInfo(name="yard.mp4", kind="video", duration_s=120.0, fps=25.0)
PUMP = SourceInfo(
    name="pump.csv", kind="series", duration_s=86400.0, period_s=60.0, epoch_s=DAY0, time_base="clock",
    channels=("motor_temp", "bearing_temp", "inlet pressure", "vibration_x", "flow"), units=("°C", "°C", "bar", "mm/s", "l/min"),
)  # fmt: skip
WEEK = SourceInfo(
    name="line7.csv", kind="series", duration_s=5 * 86400.0, period_s=60.0, epoch_s=DAY0 - 86400, time_base="clock",
    channels=("speed", "torque", "power"),
)  # fmt: skip
SERVER = SourceInfo(
    name="machine-1-1.txt", kind="series", duration_s=5000.0, period_s=1.0, time_base="index",
    channels=tuple(str(i) for i in range(38)),
)  # fmt: skip
_NAMES = (
    "C:\\Windows\\System32\\lsass.exe", "powershell.exe", "alice", "svc_backup", "10.0.0.5", "rundll32.exe", "NT AUTHORITY\\SYSTEM",
    "/etc/passwd",
)  # fmt: skip
HOST = SourceInfo(
    name="host.jsonl", kind="events", duration_s=3600.0, epoch_s=DAY0 + 36000, time_base="clock", entities=EntityIndex.of(_NAMES)
)

_SPIKES = tuple(
    PriorFinding(
        label="spike",
        source="pump.csv",
        start_s=s,
        end_s=s + 600,
        severity_score=v,
        channels=("motor_temp",),
        evidence=(f"E{i}",),
    )
    for i, (s, v) in enumerate(((30000.0, 40.0), (60000.0, 90.0), (10000.0, 20.0)), 1)
)
_CRASHES = (
    PriorFinding(label="sudden motion", source="yard.mp4", start_s=15.0, end_s=18.0, severity_score=80.0, evidence=("E1",)),
    PriorFinding(label="unusual object", source="yard.mp4", start_s=60.0, end_s=75.0, severity_score=50.0, evidence=("E2",)),
)
_DEFECTS = (
    PriorFinding(label="defect", source="tiles", sample="tile_04.jpg", severity_score=70.0, evidence=("E1",)),
    PriorFinding(label="defect", source="tiles", sample="tile_07.jpg", severity_score=30.0, evidence=("E2",)),
)


def _chat(*sources: SourceInfo, asked: tuple[Request, ...] = (), findings: tuple[PriorFinding, ...] = ()) -> Context:
    return Context(sources=sources, previous=asked, findings=findings)


_ALL = Request(question="anything unusual?", intents=("overview",))
_TILE2 = Request(question="is image 2 ok?", intents=("is_normal",), samples=(SampleRef(source="tiles", sample="tile_02.jpg"),))
_TEMP = Request(question="is the motor temp ok?", intents=("is_normal",), channels=("motor_temp",))
_SHELL = Request(question="what did powershell do?", intents=("what",), entities=("powershell.exe",))
CHATS: dict[str, Context] = {
    "tiles": _chat(TILES),
    "yard": _chat(YARD),
    "pump": _chat(PUMP),
    "week": _chat(WEEK),
    "server": _chat(SERVER),
    "host": _chat(HOST),
    "empty": _chat(),
    "mixed": _chat(TILES, YARD, PUMP),
    "tiles+": _chat(TILES, asked=(_ALL,), findings=_DEFECTS),
    "tile2": _chat(TILES, asked=(_TILE2,), findings=_DEFECTS),
    "yard+": _chat(YARD, asked=(_ALL,), findings=_CRASHES),
    "pump+": _chat(PUMP, asked=(_ALL,), findings=_SPIKES),
    "temp": _chat(PUMP, asked=(_TEMP,), findings=_SPIKES),
    "host+": _chat(HOST, asked=(_SHELL,)),
}

Row = tuple[str, str, str, dict[str, Any]]
TABLE: tuple[Row, ...] = tuple(
    (chat, question, intents, wanted)
    for chat, question, intents, wanted in map(
        json.loads, Path(__file__).with_name("questions.jsonl").read_text("utf-8").splitlines()
    )
)


def deaf(text: str, kinds: Sequence[str], before: str) -> None:
    """A reader that hears nothing, so that only rules decide."""


def mistakes(row: Row, request: Request) -> list[str]:
    """What was understood differently from the row."""
    _, _, intents, wanted = row
    rule = request.rule
    got: dict[str, Any] = {
        **{
            name: getattr(request, name)
            for name in ("intents", "channels", "entities", "sources", "findings", "concept", "limit", "view")
        },
        **{name: getattr(request, name) for name in ("sensitivity", "min_severity", "negation", "language", "expects")},
        "samples": tuple(s.sample for s in request.samples),
        "times": tuple((t.start_s, t.end_s) for t in request.times),
        "rule": (rule.subject, rule.polarity) if rule else None,
        "format": request.export_format,
    }
    wrong = []
    for name, value in {"intents": tuple(intents.split()), **wanted}.items():
        if name in ("note", "reason"):
            said = " ".join(request.notes) if name == "note" else (request.reason or "")
            if value not in said:
                wrong.append(f"{name}: {value!r} not in {said!r}")
        elif name == "times":
            if np.shape(got["times"]) != np.shape(value) or not np.allclose(got["times"], value):
                wrong.append(f"times: wanted {value}, got {got['times']}")
        elif got[name] != (tuple(value) if isinstance(value, list) else value):
            wrong.append(f"{name}: wanted {value!r}, got {got[name]!r}")
    return wrong


def test_table_is_large() -> None:
    assert len(TABLE) >= 400


@pytest.mark.parametrize("row", TABLE, ids=[f"{chat}: {question[:60]}" for chat, question, _, _ in TABLE])
def test_row(row: Row) -> None:
    request = understand(row[1], CHATS[row[0]], reader=deaf)
    assert not mistakes(row, request), request
    assert Request.from_json(request.to_json()) == request
