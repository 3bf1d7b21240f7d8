"""Findings on one clock: where a source begins, what that rests on, and when a finding sets in."""

from __future__ import annotations

from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from plant import DAY, FAULT, write_clip, write_log, write_pump

from agent.incidents.timeline import CLOCK_SLACK_S, Clock, clock_of, timeline
from agent.investigation import Finding, Investigation
from core.evidence import EventRows, Evidence, Interval, Locus, Whole
from readers.open import Source, open_all


def opened(*paths: Path) -> list[Source]:
    result = open_all(list(paths))
    assert not result.refused, result.refused
    return list(result.sources)


def investigation(source: Source, *findings: Finding) -> Investigation:
    survey = Evidence(id="E1", tool="t", version="1", parameters={}, source=source.name, locus=Whole(sample=source.name))
    return Investigation(tool="t", source=source.name, kind=source.kind, reason="", survey=survey, findings=findings,
                         status="abnormal" if findings else "normal")  # fmt: skip


def finding(source: Source, locus: Locus, *, label: str = "spike in vibration", evidence: str = "E2", **facts: Any) -> Finding:
    made = Evidence(id=evidence, tool="t", version="1", parameters={}, source=source.name, locus=locus, facts=facts)
    return Finding(evidence=made, abnormal=True, label=label, severity_score=50.0)


def clock(path: Path) -> Clock:
    found = clock_of(opened(path)[0])
    assert isinstance(found, Clock), found
    return found


def test_stamps_without_a_zone_are_an_assumption_and_those_with_one_are_not(tmp_path: Path) -> None:
    naive = clock(write_pump(tmp_path / "pump.csv"))
    assert naive.rests_on == "assumed zone"
    assert naive.start_s == (DAY + timedelta(hours=13, minutes=30)).timestamp()
    assert naive.end_s == naive.start_s + 7200.0
    utc, paris = (
        clock(write_log(tmp_path / f"{hours}.jsonl", zone=timezone(timedelta(hours=hours)))) for hours in (0, 1)
    )  # fmt: skip
    assert utc.rests_on == paris.rests_on == "stated"
    assert utc.start_s == paris.start_s, "the same moments, written in another zone"


def test_a_video_begins_at_its_creation_time(tmp_path: Path) -> None:
    begins = FAULT - timedelta(seconds=2)
    found = clock(write_clip(tmp_path / "hall.mp4", seconds=3))
    assert (found.rests_on, found.start_s) == ("creation time", begins.timestamp())
    assert found.end_s - found.start_s == pytest.approx(3.0, abs=0.21)


def test_what_has_no_clock_says_why(tmp_path: Path) -> None:
    lines = write_pump(tmp_path / "pump.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "undated.csv").write_text("\n".join([lines[0], *(line[11:] for line in lines[1:])]) + "\n", encoding="utf-8")
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(tmp_path / "tile.png")
    write_clip(tmp_path / "crossing.mp4", begins=None, seconds=2)
    write_log(tmp_path / "log.jsonl", stamped=False)
    sources = opened(*(tmp_path / name for name in ("crossing.mp4", "log.jsonl", "undated.csv", "tile.png")))
    line = timeline(sources, {source.name: investigation(source) for source in sources})
    assert dict(line.unplaced) == {
        "crossing.mp4": "has no clock", "log.jsonl": "has no clock", "undated.csv": "gives times of day but no date",
        "tile.png": "holds pictures without a time",
    }  # fmt: skip
    assert (line.clocks, line.moments) == ((), ())


def test_a_spike_sets_in_where_its_readings_do_and_not_where_the_window_begins(tmp_path: Path) -> None:
    source = opened(write_pump(tmp_path / "pump.csv"))[0]
    wide = Interval(sample=source.name, start_s=3600.0 - 95.0, end_s=3600.0 + 500.0, peak_s=3720.0, channels=("vibration",))
    change = {"channel": "vibration", "kind": "spike", "before": 1.4, "peak": 6.0}
    (moment,) = timeline(
        [source], {source.name: investigation(source, finding(source, wide, kind="spike", changes=[change]))}
    ).moments
    assert moment.start_s == FAULT.timestamp()
    assert moment.end_s == FAULT.timestamp() + 90.0
    assert moment.by_readings
    assert moment.slack_s == CLOCK_SLACK_S + 5.0, "a reading every 5 s"


@pytest.mark.parametrize("kind", ["drift", "variation change", "missing"])
def test_what_sets_in_slowly_keeps_its_whole_stretch(tmp_path: Path, kind: str) -> None:
    source = opened(write_pump(tmp_path / "pump.csv"))[0]
    stretch = Interval(sample=source.name, start_s=3000.0, end_s=4000.0, peak_s=3720.0, channels=("vibration",))
    change = {"channel": "vibration", "kind": kind, "before": 1.4, "peak": 6.0}
    (moment,) = timeline(
        [source], {source.name: investigation(source, finding(source, stretch, kind=kind, changes=[change]))}
    ).moments
    begin = (DAY + timedelta(hours=13, minutes=30)).timestamp()
    assert (moment.start_s - begin, moment.end_s - begin, moment.by_readings) == (3000.0, 4000.0, False)


def test_a_dip_is_found_below_and_a_gap_of_readings_does_not_break_it(tmp_path: Path) -> None:
    path = tmp_path / "tank.csv"
    levels = [20.0] * 40 + [19.0, 4.0, "", 5.0, 4.0] + [20.0] * 40
    rows = [f"{DAY + timedelta(seconds=10 * i):%Y-%m-%dT%H:%M:%SZ},{level}" for i, level in enumerate(levels)]
    path.write_text("\n".join(["time,level [m]", *rows]) + "\n", encoding="utf-8")
    source = opened(path)[0]
    stretch = Interval(sample=source.name, start_s=300.0, end_s=600.0, peak_s=410.0, channels=("level",))
    change = {"channel": "level", "kind": "dip", "before": 20.0, "peak": 4.0}
    (moment,) = timeline(
        [source], {source.name: investigation(source, finding(source, stretch, kind="dip", changes=[change]))}
    ).moments
    assert (moment.own_s, moment.end_s - DAY.timestamp()) == (410.0, 450.0)


def test_a_chain_of_a_log_begins_with_its_first_deed_that_belongs_to_it(tmp_path: Path) -> None:
    source = opened(write_log(tmp_path / "log.jsonl"))[0]
    chain = finding(
        source, EventRows(sample=source.name, rows=(3, 9)), label="suspicious chain ending in b.exe", first_s=100.0, last_s=130.0,
        hangs_on=1, did=[[3, 2.0, "explorer.exe started a.exe"], [9, 100.0, "a.exe started b.exe"]],
    )  # fmt: skip
    timeless = finding(source, EventRows(sample=source.name, rows=(4,)), evidence="E3", first_s=None, last_s=None, did=[])
    line = timeline([source], {source.name: investigation(source, chain, timeless)})
    (moment,) = line.moments
    begin = line.clock(source.name).epoch_s
    assert (moment.start_s - begin, moment.end_s - begin) == (100.0, 130.0)
    assert moment.deed == (9, "a.exe started b.exe")


def test_what_is_normal_is_no_moment_and_only_judged_sources_can_show_nothing(tmp_path: Path) -> None:
    pump, log = opened(write_pump(tmp_path / "pump.csv"), write_log(tmp_path / "log.jsonl"))
    stretch = Interval(sample=pump.name, start_s=10.0, end_s=20.0, peak_s=15.0, channels=("flow",))
    ordinary = Finding(evidence=finding(pump, stretch).evidence)
    line = timeline([pump, log], {pump.name: investigation(pump, ordinary)})
    assert line.moments == ()
    assert [c.judged for c in line.clocks] == [True, False]
