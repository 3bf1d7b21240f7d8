"""What several files say together: which questions ask for it, and what a person reads then."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from asking import ask
from plant import DAY, FAULT, write_clip, write_log, write_pump

from agent.grammar import understand
from agent.investigation import Finding, Investigation
from agent.lookups import look_up_together
from agent.lookups.timeline import MOST_STEPS, Together
from agent.question import Context
from agent.session import Session
from agent.telling.lookup_timeline import together as tell
from agent.workbench import describe_source, one_by_one
from core.evidence import EventRows, Evidence, Interval, Whole
from readers.open import Source, open_all

CAUSES = re.compile(r"\b(?:caus(?:e[sd]|ing)|because|due to|led to|leads to|triggered|as a result)\b")


def deaf(text: str, kinds: Sequence[str], before: str) -> None:
    """A reader that hears nothing, so that only rules decide."""


def found(source: Source, *starts: float, length: float = 20.0) -> Investigation:
    """An investigation with a finding at each of some moments (seconds of the source)."""
    survey = Evidence(
        id=f"E1{source.name}", tool="t", version="1", parameters={}, source=source.name, locus=Whole(sample=source.name)
    )
    findings = []
    for i, start in enumerate(starts):
        logged = source.kind == "events"
        locus = (
            EventRows(sample=source.name, rows=(i + 1,)) if logged
            else Interval(sample=source.name, start_s=start, end_s=start + length, peak_s=start)
        )  # fmt: skip
        facts = {"first_s": start, "last_s": start + length, "did": [[i + 1, start, "a.exe started b.exe"]]} if logged else {}
        evidence = replace(survey, id=f"E{20 + i}{source.kind[0]}", locus=locus, facts=facts)
        findings.append(Finding(evidence=evidence, abnormal=True, label="spike in flow", severity_score=10.0 + i))
    return Investigation(tool="t", source=source.name, kind=source.kind, reason="", survey=survey, findings=tuple(findings),
                         status="abnormal" if findings else "normal")  # fmt: skip


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> list[Source]:
    """pump.csv, controller.jsonl and hall.mp4, and crossing.mp4, which has no clock."""
    folder = tmp_path_factory.mktemp("plant")
    write_pump(folder / "pump.csv")
    write_log(folder / "controller.jsonl")
    write_clip(folder / "hall.mp4", seconds=12)
    write_clip(folder / "crossing.mp4", begins=None, seconds=3)
    names = ("pump.csv", "controller.jsonl", "hall.mp4", "crossing.mp4")
    return [one for source in open_all([folder / name for name in names]).sources for one in one_by_one(source)]


def asked(question: str, sources: Sequence[Source], *investigations: Investigation) -> Together:
    context = Context(sources=tuple(describe_source(source) for source in sources))
    request = understand(question, context, reader=deaf)
    return look_up_together(request, sources, {inv.source: inv for inv in investigations})


def told(question: str, sources: Sequence[Source], *investigations: Investigation) -> str:
    """The sentences of what the sources say together."""
    return "\n".join(
        line for evidence in asked(question, sources, *investigations).evidence for line in tell(replace(evidence, id="E9"))
    )


@pytest.mark.parametrize(
    ("question", "what"),
    [
        ("what happened around 14:32?", "time"), ("was everything ok at 14:32?", "time"), ("anything unusual at 14:32?", "time"),
        ("what happened between 14:30 and 14:35?", "time"), ("what happened at 13:35?", None), ("give me a timeline", "timeline"),
        ("tell me in order what happened", "timeline"), ("put it all together", "timeline"), ("put it together", "timeline"),
        ("in which order did things happen?", "timeline"), ("reconstruct what happened", "timeline"), ("what came first?", "first"),
        ("what happened first?", "first"), ("was the pump first or the log?", "first"), ("are the findings related?", "connection"),
        ("is there a connection between pump.csv and the log?", "connection"), ("do the video and the log belong together?", "connection"),
        ("did anything happen at the same time?", "connection"), ("is the vibration linked to the log?", "connection"),
        ("what is wrong here?", None), ("how many events are there?", None), ("what was the flow at 14:32?", None),
        ("what did the log show at 14:32?", None), ("show me the frame at 14:32", None), ("give me a timeline of pump.csv", None),
        ("is flow connected to vibration?", None), ("is everything in order?", None), ("show me the timeline of flow", None),
        ("sort the findings by severity", None), ("which process started svc_update.exe?", None),
    ],
)  # fmt: skip
def test_which_questions_are_about_several_files(plant: list[Source], question: str, what: str | None) -> None:
    pump, log, hall, _ = plant
    found_there = asked(question, [pump, log, hall], found(pump, 3710.0), found(log, 3635.0), found(hall, 8.0, length=3.0))
    assert [e.facts["what"] for e in found_there.evidence] == ([what] if what else [])


def test_an_incident_is_told_in_the_order_of_onset_with_the_lags(plant: list[Source]) -> None:
    pump, log, hall, _ = plant
    begin = (FAULT - timedelta(minutes=61, seconds=50)).timestamp()  # 13:30, when pump.csv begins
    log_begin = describe_source(log).epoch_s or 0.0
    answer = told("what happened around 14:32?", [pump, log, hall], found(pump, 3710.0), found(log, begin + 3635.0 - log_begin),
                  found(hall, 8.0, length=3.0))  # fmt: skip
    assert [line[:10] for line in answer.splitlines() if line.startswith("- ")] == ["- 14:30:35", "- 14:31:50", "- 14:31:56"]
    assert "14:31:50, 75 s later, `pump.csv`" in answer
    assert "14:31:56, 6 s later (too close to call), `hall.mp4` at 0:08 of the video" in answer
    assert "This is an order in time, not a cause." in answer
    later = next(line for line in answer.splitlines() if "75 s later" in line)
    assert "[E9, E20e, E20s]" in later, "a later step cites what came before it"


def test_a_source_without_a_clock_is_told_and_not_placed(plant: list[Source]) -> None:
    pump, log, _, crossing = plant
    answer = told("give me a timeline", [pump, log, crossing], found(pump, 3710.0), found(log, 3635.0), found(crossing, 1.0))
    assert "`crossing.mp4` has no clock, so it cannot be placed [E9]." in answer
    assert answer.count("crossing.mp4") == 1
    alone = told("do pump.csv and the video belong together?", [pump, crossing], found(pump, 3710.0), found(crossing, 1.0))
    assert "**Only `pump.csv` tells the time of day and the date**, so there is nothing to put on one timeline" in alone


def test_findings_far_apart_are_not_put_together(plant: list[Source]) -> None:
    pump, log, *_ = plant
    far = found(pump, 3710.0), found(log, 900.0)
    answer = told("is there a connection between pump.csv and the log?", [pump, log], *far)
    assert "**Nothing comes together in time**: no finding of one file lies within 5 min of a finding of another" in answer
    assert "unusual together in time" not in answer
    only = told("what happened around 14:32?", [pump, log], *far)
    assert (
        "**Only `pump.csv` shows something unusual then**; `controller.jsonl` covers that time and shows nothing unusual" in only
    )
    assert "**`controller.jsonl` came first**" in told("what came first?", [pump, log], *far)


def test_a_source_that_was_not_judged_does_not_count_as_showing_nothing(plant: list[Source]) -> None:
    pump, log, *_ = plant
    only = told("what happened around 14:32?", [pump, log], found(pump, 3710.0))
    assert "**Only `pump.csv` shows something unusual then** [E9, E20s]." in only
    assert "controller.jsonl" not in only


def test_clocks_that_leave_the_order_open_name_no_first(plant: list[Source]) -> None:
    pump, _, hall, _ = plant
    answer = told("what came first?", [pump, hall], found(pump, 3710.0), found(hall, 8.0))
    assert "**The clocks do not tell which came first**" in answer
    assert "came first**, at" not in answer


def test_nothing_found_leaves_the_answer_to_the_files_themselves(plant: list[Source]) -> None:
    pump, log, *_ = plant
    assert asked("give me a timeline", [pump, log], found(pump), found(log)) == Together()
    assert asked("give me a timeline", [pump], found(pump, 3710.0)) == Together()


def test_a_long_timeline_keeps_its_incidents_and_says_what_it_leaves_out(plant: list[Source]) -> None:
    pump, log, *_ = plant
    many = found(pump, *(400.0 * i for i in range(17)), length=5.0)
    (evidence,) = asked("give me a timeline", [pump, log], many, found(log, 3635.0)).evidence
    steps = [step for steps in evidence.facts["groups"] for step in steps]  # type: ignore[union-attr]
    assert len(steps) == MOST_STEPS
    assert {step["source"] for step in steps} == {"pump.csv", "controller.jsonl"}
    assert [step["start_s"] for step in steps] == sorted(step["start_s"] for step in steps)
    assert f"Left out here: {18 - MOST_STEPS} milder findings" in told(
        "give me a timeline", [pump, log], many, found(log, 3635.0)
    )


def test_the_evidence_of_many_files_stays_small(plant: list[Source]) -> None:
    _, log, *_ = plant
    logs = [replace(log, name=f"{i}_{'a_rather_long_name_for_a_log' * 2}.jsonl") for i in range(9)]
    many = [found(source, 3635.0 + i, 3640.0 + i) for i, source in enumerate(logs)]
    deed = [[1, 3635.0, "a.exe started b.exe " * 20]]
    many = [
        replace(inv, findings=tuple(replace(f, label="suspicious chain ending in " + "/long/path" * 20,
                                            evidence=replace(f.evidence, facts={**f.evidence.facts, "did": deed})) for f in inv.findings))
        for inv in many
    ]  # fmt: skip
    (evidence,) = asked("give me a timeline", logs, *many).evidence
    assert len(json.dumps(evidence.to_json())) < 4000


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A chat with all three files of one incident, and with one that has no clock."""
    folder = tmp_path_factory.mktemp("incident")
    files = [write_pump(folder / "pump.csv"), write_log(folder / "controller.jsonl"), write_clip(folder / "hall.mp4")]
    chat = Session(home=folder / "home")
    ask(chat, "what is wrong?", files=files)
    yield chat
    chat.close()


def test_what_happened_around_a_time_is_answered_from_all_files(session: Session) -> None:
    reply = ask(session, "what happened around 14:32?")
    assert reply.status == "abnormal"
    assert {anomaly.source for anomaly in reply.anomalies} == {"pump.csv", "controller.jsonl", "hall.mp4"}
    order = re.findall(r"^- \d\d:\d\d:\d\d[^`]*`([^`]+)`", reply.answer, re.MULTILINE)
    assert order == ["controller.jsonl", "pump.csv", "hall.mp4"]
    assert "- 14:30:35, `controller.jsonl`: suspicious chain ending in `svc_update.exe`" in reply.answer
    assert "14:31:50, 75 s later, `pump.csv`: spike in" in reply.answer, "the stretch begins earlier, its readings do not"
    assert "`pump.csv` writes no time zone, so I took its times as UTC" in reply.answer
    assert "`hall.mp4` is placed by the file's creation time" in reply.answer
    assert not CAUSES.search(reply.answer)


def test_the_same_incident_answers_what_came_first_and_whether_it_is_connected(session: Session) -> None:
    assert (
        "**`controller.jsonl` came first**, at 2026-03-05 14:30:35, before `pump.csv`" in ask(session, "what came first?").answer
    )
    answer = ask(session, "is there a connection between pump.csv and the log?").answer
    assert "**In time, yes**: two files show something within 5 min of each other." in answer
    assert "Whether one made the other happen, times cannot show" in answer
    assert "hall.mp4" not in answer
    assert not CAUSES.search(answer)


def test_a_quiet_time_is_answered_file_by_file(session: Session) -> None:
    reply = ask(session, "what happened between 13:35 and 13:40?")
    assert reply.status == "normal"
    assert not [e for e in reply.evidence if e.tool == "lookup_timeline"]


def test_the_same_time_on_another_day_is_not_the_same_time(tmp_path: Path) -> None:
    files = [write_pump(tmp_path / "pump.csv"), write_log(tmp_path / "nextday.jsonl", at=FAULT + timedelta(days=1))]
    chat = Session(home=tmp_path / "home")
    try:
        answer = ask(chat, "what happened around 14:32?", files=files).answer
        assert "The files do not share that time: it is on 2026-03-05 in `pump.csv` and 2026-03-06 in `nextday.jsonl`" in answer
        assert "unusual together in time" not in answer
        answer = ask(chat, "is there a connection between the files?").answer
        assert "**Nothing comes together in time**: the two files have no time in common" in answer
    finally:
        chat.close()


def test_a_log_without_times_beside_a_clock_is_not_read_as_minutes(tmp_path: Path) -> None:
    files = [write_pump(tmp_path / "pump.csv", day=DAY), write_log(tmp_path / "events.jsonl", stamped=False)]
    chat = Session(home=tmp_path / "home")
    try:
        answer = ask(chat, "what happened around 14:32?", files=files).answer
        assert "`events.jsonl` has no clock, so it cannot be placed" in answer
        assert "the log holds no event" not in answer
    finally:
        chat.close()
