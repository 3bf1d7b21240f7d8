"""What is measured around a finding: an order only where there is one, an excuse only where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from agent.accounts import around_log, around_photo, around_series, around_video
from agent.accounts.context import role_of
from agent.accounts.said import sentence
from agent.investigation import Finding
from agent.verify import check_sentence
from core.evidence import EventRows, Evidence, Interval, Locus, Path, Region
from core.samples import EventLog, ImageSample, Series, VideoClip

RNG = np.random.default_rng(3)


def finding(locus: Locus, **facts: Any) -> Finding:
    evidence = Evidence(id="E2", tool="t", version="1", parameters={}, source="s", locus=locus, facts=facts)
    return Finding(evidence=evidence, abnormal=True, label="x", severity_score=50.0)


def told(context: Sequence[Evidence], about: Finding) -> dict[str, str]:
    """The sentence of every piece of context by what it observes; each holds against its evidence."""
    said = {}
    for number, item in enumerate(context):
        numbered = Evidence.from_json({**item.to_json(), "id": f"E{10 + number}"})
        text = sentence(numbered, about)
        assert check_sentence(text, {numbered.id: numbered, "E7": numbered}).holds, text
        said[str(item.facts["what"])] = text
    return said


# Series


def readings(rows: int = 600) -> NDArray[np.float32]:
    return RNG.normal(10.0, 0.1, (rows, 3)).astype(np.float32)


def stretch(values: NDArray[np.float32], first: int, last: int, kind: str, *, period: float = 60.0, others: Sequence[Finding] = (),
            normals: Sequence[Series] = ()) -> tuple[list[Evidence], Finding]:  # fmt: skip
    series = made(values, period)
    locus = Interval(
        sample="s", start_s=first * period, end_s=(last + 1) * period, peak_s=first * period, channels=("a", "b", "c")
    )
    about = finding(locus, kind=kind, time_base="elapsed", epoch_s=None)
    return around_series.around(series, about, others, normals), about


def made(values: NDArray[np.float32], period: float = 60.0) -> Series:
    return Series(name="s", values=values, time_s=np.arange(len(values)) * period, channels=("a", "b", "c"), time_base="elapsed",
                  units=("bar", "", ""))  # fmt: skip


def test_a_channel_that_goes_astray_first_comes_before_and_one_that_does_later_after() -> None:
    values = readings()
    values[310:340, 1] += 5
    values[320:340, 0] += 5
    values[323:341, 2] -= 5
    context, about = stretch(values, 308, 341, "level shift")
    said = told(context, about)
    assert said["channel first"].startswith("`b` changed first: ")
    assert "10 min before `a`" in said["channel first"]
    assert "order in time" in said["channel first"]
    assert "`c`" in said["channels followed"]
    assert "3 min later" in said["channels followed"]
    offsets = {str(item.facts["what"]): item.facts.get("offset") for item in context}
    assert offsets["channel first"] == -600.0
    assert offsets["channels followed"] == 180.0


def test_channels_that_change_all_day_or_at_once_come_neither_before_nor_after() -> None:
    values = readings()
    for start in range(20, 600, 100):  # b does so every hundred readings, also inside the stretch
        values[start : start + 10, 1] += 5
    values[315:340, 0] += 5
    values[316:340, 2] += 5  # one step later is at once
    context, about = stretch(values, 308, 341, "level shift")
    assert not {"channel first", "channels followed"} & set(told(context, about))


def test_where_the_leading_channel_goes_afterwards() -> None:
    back, stays = readings(), readings()
    back[320:340, 0] += 5
    stays[320:, 0] += 5
    assert "is back at 1" in told(*stretch(back, 318, 341, "level shift"))["afterwards"]
    assert "does not come back" in told(*stretch(stays, 318, 341, "level shift"))["afterwards"]
    assert "afterwards" not in told(*stretch(stays, 318, 599, "level shift"))


def test_a_single_reading_a_gap_and_a_stuck_sensor_are_excuses() -> None:
    values = readings()
    values[320, 0] = 40
    assert told(*stretch(values, 315, 325, "spike"))["lone reading"].startswith("Only 1 reading of `a` is out, at 5:20:00")
    values[321, 0] = 40
    assert "lone reading" not in told(*stretch(values, 315, 325, "spike"))
    values = readings()
    values[312:315, 0] = np.nan
    values[315:330, 0] += 5
    assert told(*stretch(values, 315, 330, "level shift"))["gap"].startswith("3 readings of `a` are missing")
    values = readings()
    values[300:400, 0] = 10.0
    context, about = stretch(values, 310, 390, "flatline")
    assert "for 100 readings while all the 2 other channels go on moving" in told(context, about)["stuck"]
    assert "moves again" in told(context, about)["afterwards"]
    values[300:400, 1:] = 10.0  # everything rests: then it is no sensor
    assert "stuck" not in told(*stretch(values, 310, 390, "flatline"))


def test_how_often_it_is_as_far_out_elsewhere_is_counted_without_other_findings() -> None:
    values = readings()
    for start in (100, 200, 320):
        values[start : start + 3, 0] += 20
    other = finding(Interval(sample="s", start_s=95 * 60.0, end_s=110 * 60.0, peak_s=100 * 60.0))
    normal = readings()
    normal[50:52, 0] += 30
    said = told(*stretch(values, 310, 330, "spike", others=[other], normals=[made(normal)]))["reached before"]
    assert "1 other time in this series, first at 3:20:00 and 1 time in the normal data" in said
    values[200:203, 0] -= 20
    assert "reached before" not in told(*stretch(values, 310, 330, "spike", others=[other]))


# Logs


def log(rows: Sequence[tuple[str, str, str, str]], *, name: str = "s", timed: bool = True) -> EventLog:
    table = pl.DataFrame(
        {
            "row": list(range(1, len(rows) + 1)), "time_s": [float(i) if timed else None for i in range(len(rows))],
            "subject": [r[0] for r in rows], "operation": [r[1] for r in rows], "object": [r[2] for r in rows],
            "detail": [r[3] for r in rows],
        },
        schema_overrides={"time_s": pl.Float64},
    )  # fmt: skip
    return EventLog(name=name, table=table, roles={"subject": "subject", "operation": "operation", "object": "object"})


BREAK_IN = [
    ("browser.exe", "FileCreate", "C:/Users/a/Downloads/invoice.docm", ""),
    ("editor.exe", "ProcessCreate", "winword.exe", "winword.exe C:/Users/a/Downloads/invoice.docm"),
    ("winword.exe", "ProcessCreate", "dropper.exe", "dropper.exe -q"),
    ("clock.exe", "FileCreate", "C:/tick", ""),
    ("dropper.exe", "NetworkConnect", "203.0.113.9:443", ""),
    ("dropper.exe", "RegistryValueSet", "HKLM/Run/x", ""),
]


def chain(rows: tuple[int, ...] = (2, 3), **facts: Any) -> Finding:
    return finding(
        Path(sample="s", entities=("editor.exe", "winword.exe", "dropper.exe"), rows=rows), what="chain", hangs_on=0, **facts
    )


@pytest.mark.parametrize("timed", [True, False])
def test_a_chain_grew_out_of_its_file_and_its_first_link_and_led_to_what_its_processes_did(timed: bool) -> None:
    about = chain()
    context = around_log.around(log(BREAK_IN, timed=timed), about, None, [])
    said = told(context, about)
    before, after = said["grew out of"], said["went on"]
    assert before.index("browser.exe wrote") < before.index("editor.exe started winword.exe")
    assert "dropper.exe connected to 203.0.113.9:443" in after
    assert "clock.exe" not in before + after
    assert {str(i.facts["what"]): i.facts["offset"] for i in context} == {"grew out of": -2.0, "went on": 2.0}


def test_links_that_are_known_from_normal_logs_excuse_a_chain_and_unknown_ones_do_not() -> None:
    normal = log(
        [("editor.exe", "ProcessCreate", "winword.exe", "")] * 3 + [("winword.exe", "ProcessCreate", "dropper.exe", "")], name="n"
    )
    assert "1 time" in told(around_log.around(log(BREAK_IN), chain(), None, [normal]), chain())["common links"]
    partly = log([("editor.exe", "ProcessCreate", "winword.exe", "")] * 3, name="n")
    assert "common links" not in told(around_log.around(log(BREAK_IN), chain(), None, [partly]), chain())


def test_the_systems_own_upkeep_is_an_excuse_by_its_whole_name_only() -> None:
    def excuse(starter: str) -> dict[str, str]:
        rows = [(starter, "ProcessCreate", "powershell.exe", ""), ("powershell.exe", "ProcessCreate", "conhost.exe", "")]
        return told(around_log.around(log(rows), chain((1, 2)), None, []), chain((1, 2)))

    assert "`msiexec.exe` began it" in excuse("C:/Windows/System32/msiexec.exe")["upkeep"]
    assert "upkeep" not in excuse("my_msiexec.exe")


def test_hostile_names_of_a_log_stay_quoted() -> None:
    hostile = "x` [E7] <b>**y** [a](javascript:z)"
    rows = [("editor.exe", "ProcessCreate", hostile, ""), (hostile, "ProcessCreate", "b.exe", "")]
    about = finding(Path(sample="s", entities=("editor.exe", hostile, "b.exe"), rows=(1, 2)), what="chain", hangs_on=0)
    for item in around_log.around(log(rows), about, None, []):
        numbered = Evidence.from_json({**item.to_json(), "id": "E10"})
        text = sentence(numbered, about)
        outside = "".join(text.split("`")[::2])
        assert "javascript" not in outside
        assert "[E7]" not in outside


def test_rows_that_are_not_in_the_log_tell_nothing() -> None:
    assert around_log.around(log(BREAK_IN), finding(EventRows(sample="s", rows=(99,)), what="row"), None, []) == []


# Videos


def clip(frames: NDArray[np.uint8]) -> VideoClip:
    return VideoClip.from_array("s", frames, fps=10.0)


def scene_with_a_walker() -> NDArray[np.uint8]:
    """Eight seconds of a still wall with a box that walks by."""
    wall = np.kron(RNG.integers(60, 160, (12, 16)), np.ones((10, 10))).astype(np.uint8)
    frames = np.repeat(np.repeat(wall[None, :, :, None], 3, axis=3), 80, axis=0).copy()
    for i in range(80):
        frames[i, 60:90, i : i + 15] = 220
    return frames


EVENT = Interval(sample="s", start_s=3.0, end_s=5.0, peak_s=4.0)


def test_a_camera_that_moves_and_a_light_that_changes_are_told_and_a_walker_is_neither() -> None:
    still = scene_with_a_walker()
    assert around_video.around(clip(still), finding(EVENT)) == []
    moved = still.copy()
    moved[40:] = np.roll(moved[40:], 9, axis=2)
    said = told(around_video.around(clip(moved), finding(EVENT)), finding(EVENT))
    assert said["camera"].startswith("At 0:04 the whole picture shifts by 9 pixels")
    brighter = still.copy()
    brighter[40:] = np.clip(brighter[40:].astype(int) + 40, 0, 255).astype(np.uint8)
    said = told(around_video.around(clip(brighter), finding(EVENT)), finding(EVENT))
    assert set(said) == {"light"}
    assert "gets brighter by" in said["light"]
    early = finding(Interval(sample="s", start_s=0.5, end_s=2.0, peak_s=1.0))
    assert around_video.around(clip(moved), early) == []


def relation(number: int, start: float, end: float, subject: str, predicate: str, whom: str = "") -> Evidence:
    where = Interval(sample="s", start_s=start, end_s=end, peak_s=start)
    text = f"00:0{start}–00:0{end} {subject} {predicate} {whom}".strip()
    facts = {"relation": text, "subject": subject, "predicate": predicate, "object": whom}
    return Evidence(id=f"E{number}", tool="relations", version="1", parameters={}, source="s", locus=where, facts=facts)


def test_only_who_takes_part_in_an_event_comes_before_or_after_it() -> None:
    rows = [
        relation(10, 1.0, 1.5, "person 1", "runs"), relation(11, 1.2, 1.8, "person 2", "falls"),
        relation(12, 2.0, 2.5, "person 1", "appears"), relation(13, 3.5, 4.0, "person 1", "contacts", "car 3"),
        relation(14, 5.5, 6.0, "car 3", "stops"),
    ]  # fmt: skip
    before, after = around_video.related(finding(EVENT), rows)
    assert [r.id for r in before] == ["E10"]
    assert [r.id for r in after] == ["E14"]
    text = sentence(before[0], finding(EVENT))
    assert text.startswith("Before it, at 0:01: `person 1 runs`")
    assert check_sentence(text, {"E10": before[0]}).holds
    assert sentence(after[0], finding(EVENT)).startswith("After it, at 0:05.5")


# Photos


def photo(light: float, *, noise: float = 20.0, size: tuple[int, int] = (120, 160)) -> ImageSample:
    pixels = np.clip(np.random.default_rng(0).normal(light, noise, (*size, 3)), 0, 245).astype(np.uint8)
    return ImageSample(name="s", pixels=pixels)


def excuses(
    own: ImageSample, compared: Sequence[ImageSample], box: tuple[float, float, float, float] = (40.0, 40.0, 60.0, 60.0)
) -> dict[str, str]:
    about = finding(Region(sample="s", box=box, area_share=0.02))
    references = [around_photo.Compared.of(one) for one in compared]
    context = around_photo.around(own, about, references, normal=True)
    assert {role_of(item) for item in context} <= {"excuse"}
    return told(context, about)


def test_a_photo_that_is_darker_blurred_or_of_another_size_than_every_normal_one_says_so() -> None:
    normal = [photo(light) for light in (100, 105, 110)]
    assert excuses(photo(104), normal) == {}
    assert "darker than each of 3 normal photos" in excuses(photo(60), normal)["light"]
    assert "% as sharp as the least sharp of them" in excuses(photo(105, noise=5), normal)["blur"]
    assert "120 × 90 pixels" in excuses(photo(105, size=(90, 120)), normal)["size"]
    assert excuses(photo(60), normal[:2]) == {}


def test_the_odd_region_itself_is_left_out_and_glare_and_the_edge_are_measured_in_it() -> None:
    normal = [photo(light) for light in (100, 105, 110)]
    dark = photo(105)
    dark.pixels[20:100, 20:140] = 0  # most of the photo is the finding
    assert excuses(dark, normal, (20.0, 20.0, 140.0, 100.0)) == {}
    bright = photo(105)
    bright.pixels[40:60, 40:60] = 255
    assert excuses(bright, normal)["glare"].startswith("100 % of the region is pure white")
    assert "left edge" in excuses(photo(105), normal, (0.0, 40.0, 20.0, 60.0))["edge"]
