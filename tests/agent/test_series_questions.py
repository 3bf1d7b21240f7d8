"""What is asked of readings, times, channels and recordings: the number asked for, at the time it has, and nothing invented."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from asking import SAMPLES, ask

from agent.question import SourceInfo
from agent.reading.channels import find_channels
from agent.reading.values import blank_values, find_comparison, find_wanted
from agent.session import Session

PUMP = SourceInfo(
    name="pump.csv", kind="series", channels=("flow", "inlet_pressure", "bearing_temp", "vibration"), units=("m3/h", "bar", "°C", "mm/s"),
    duration_s=14 * 86400.0, period_s=300.0, epoch_s=1772409600.0, time_base="clock",
)  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> dict[str, list[tuple[str, float]]]:
    """(time as printed, value) of every channel of the bundled series, read without any of Telltale."""
    with (SAMPLES / "pump.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    stamps = [str(datetime.fromisoformat(line["timestamp"])) for line in lines]
    return {
        name.split(" ")[0]: [(stamp, float(line[name])) for stamp, line in zip(stamps, lines, strict=True)]
        for name in lines[0] if name != "timestamp"
    }  # fmt: skip


def test_a_limit_that_is_never_passed_gives_no_and_the_nearest_reading(
    pump: Session, rows: dict[str, list[tuple[str, float]]]
) -> None:
    stamp, low = min(rows["flow"], key=lambda row: row[1])
    answer = ask(pump, "Did flow drop below 20?").answer
    assert answer.startswith("No, `flow` is never below 20 m3/h")
    assert f"{low:g} m3/h, at {stamp}" in answer
    assert "No channel is ever above 100" in ask(pump, "how often was anything above 100?").answer


@pytest.mark.parametrize(("channel", "limit"), [("vibration", 5.0), ("vibration", 3.0), ("flow", 90.0), ("bearing_temp", 60.0)])
def test_stretches_above_a_limit_are_counted_and_dated(
    pump: Session, rows: dict[str, list[tuple[str, float]]], channel: str, limit: float
) -> None:
    above = [value > limit for _, value in rows[channel]]
    starts = [i for i, now in enumerate(above) if now and not above[i - 1]]
    answer = ask(pump, f"how many times did {channel} exceed {limit:g} and when?").answer
    assert ("once" if len(starts) == 1 else f"{len(starts)} separate times") in answer
    for i in starts:
        assert rows[channel][i][0] in answer


def test_a_question_whether_it_stayed_tells_when_it_did_not(pump: Session) -> None:
    assert ask(pump, "did flow stay above 20?").answer.startswith("Yes, `flow` is always above 20 m3/h")
    answer = ask(pump, "did the bearing temperature stay below 60 °C?").answer
    assert answer.startswith("No, `bearing_temp` is 3 separate times at or above 60 °C")


@pytest.mark.parametrize(
    ("question", "channel", "which"),
    [
        ("what's the highest bearing temp and when?", "bearing_temp", max), ("when was the temperature highest?", "bearing_temp", max),
        ("what was the lowest flow", "flow", min), ("how high did vibration get?", "vibration", max),
    ],
)  # fmt: skip
def test_extremes_come_with_their_time(pump: Session, rows: dict[str, list[tuple[str, float]]], question: str, channel: str,
                                       which: object) -> None:  # fmt: skip
    stamp, value = which(rows[channel], key=lambda row: row[1])  # type: ignore[operator]
    answer = ask(pump, question).answer
    assert f"`{channel}`" in answer
    assert f"{value:.3g}" in answer
    assert stamp in answer


def test_the_average_and_the_value_at_a_time(pump: Session, rows: dict[str, list[tuple[str, float]]]) -> None:
    mean = float(np.mean([value for _, value in rows["flow"]]))
    assert f"`flow` is {mean:.3g} m3/h on average" in ask(pump, "average flow").answer
    value = dict(rows["flow"])["2026-03-07 15:00:00"]
    answer = ask(pump, "what was the flow at 3 pm on 7 March?").answer
    assert answer.startswith(f"`flow` is {value:g} m3/h at 2026-03-07 15:00:00")
    assert "lies between" not in answer


def test_readings_are_looked_up_inside_the_time_asked_for(pump: Session) -> None:
    assert ask(pump, "was vibration above 3 on 8 March?").answer.startswith(
        "No, `vibration` is never above 3 mm/s from 2026-03-08"
    )
    assert "6.49 mm/s, at 2026-03-07 10:55:00" in ask(pump, "max vibration on 7 march").answer


def test_is_a_channel_all_right(pump: Session) -> None:
    broken = ask(pump, "is vibration ok?")
    assert broken.status == "abnormal"
    assert broken.answer.startswith("No")
    assert re.search(r"the spike since 2026-03-07 10:\d\d:00", broken.answer)
    fine = ask(pump, "is the inlet pressure ok?")
    assert (fine.status, fine.answer[:3], fine.anomalies) == ("normal", "Yes", ())
    assert "see below" not in broken.answer + fine.answer


@pytest.mark.parametrize(
    "question", ["what happened on 20 March?", "what happened after 1 April?", "was flow above 50 on 20 March?"]
)
def test_a_time_outside_the_data_is_no_verdict(pump: Session, question: str) -> None:
    reply = ask(pump, question)
    assert (reply.status, reply.anomalies) == ("insufficient", ())
    assert "outside pump.csv" in reply.answer
    assert len(reply.answer.splitlines()) == 1


def test_a_time_behind_the_end_of_a_video_is_no_verdict(crossing: Session) -> None:
    reply = ask(crossing, "what happens at 0:25?")
    assert (reply.status, reply.anomalies) == ("insufficient", ())
    assert "outside crossing.mp4" in reply.answer


def test_two_channels_are_compared_by_how_they_move(pump: Session, rows: dict[str, list[tuple[str, float]]]) -> None:
    r = float(np.corrcoef([v for _, v in rows["flow"]], [v for _, v in rows["motor_current"]])[0, 1])
    answer = ask(pump, "compare flow with motor current").answer
    assert f"their correlation over the whole series is {r:.2f}" in answer
    assert "`flow` does not move while the other does" in answer
    assert "`vibration`" not in answer


def test_two_times_are_compared(pump: Session, crossing: Session, rows: dict[str, list[tuple[str, float]]]) -> None:
    day = {stamp: value for stamp, value in rows["flow"] if stamp.startswith("2026-03-07")}
    morning = np.mean([v for s, v in day.items() if "06:00" <= s[11:16] < "12:00"])
    afternoon = np.mean([v for s, v in day.items() if "12:00" <= s[11:16] < "18:00"])
    answer = ask(pump, "compare the flow in the morning with the afternoon on 7 march").answer
    assert answer.startswith("Only the morning is abnormal")
    assert f"higher in the morning: {morning:.3g} m3/h on average" in answer
    assert f"against {afternoon:.3g} m3/h on average" in answer
    assert "at 3 pm: " in ask(pump, "compare 3 pm with 4 pm").answer
    assert ask(crossing, "compare 0:05-0:10 with 0:10-0:15").answer.startswith("Only 0:10-0:15 is abnormal")


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("what's the sampling interval?", "one row every 5 min"), ("are there any missing values", "No, no value of `pump.csv` is missing"),
        ("which sensors are there?", "6 channels: `flow` (m3/h)"),
        ("how long is the recording", "covers 14 days, from 2026-03-02 00:00:00"),
        ("how many rows", "4,032 rows"), ("what unit is flow in?", "`flow` (m3/h)"),
        ("are any values missing in flow?", "No, no value of `flow`"),
    ],
)  # fmt: skip
def test_facts_of_a_series(pump: Session, question: str, said: str) -> None:
    reply = ask(pump, question)
    assert said in reply.answer
    assert len(reply.answer.splitlines()) == 1


@pytest.mark.parametrize(
    ("question", "said"),
    [("what is the duration of the video?", "lasts 0:20 (20 s)"), ("what's the frame rate?", "15 frames per second"),
     ("how many frames", "300 frames")],
)  # fmt: skip
def test_facts_of_a_video(crossing: Session, question: str, said: str) -> None:
    assert said in ask(crossing, question).answer


@pytest.mark.parametrize(
    "question", ["how long did the spike last?", "which sensors are to blame?", "how many anomalies are there?"]
)
def test_questions_about_findings_are_not_about_the_recording(pump: Session, question: str) -> None:
    assert ask(pump, question).status == "abnormal"


def test_the_words_of_a_stretch_name_the_finding_in_it(pump: Session, crossing: Session) -> None:
    answer = ask(pump, "how many are there on 7 March?").answer
    assert "lies one of the 2 abnormal stretches, a spike in `vibration`" in answer
    assert ask(crossing, "what happened between 0:12 and 0:15?").answer.startswith(
        "From 0:12 to 0:15 lies the only abnormal stretch"
    )


def test_missing_values_and_gaps_are_counted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    start, lines = datetime(2026, 1, 1, tzinfo=UTC), ["time,a,b"]
    for i in range(400):
        stamp = start + timedelta(minutes=i if i < 200 else i + 90)
        lines.append(f"{stamp:%Y-%m-%dT%H:%M:%S},{rng.normal():.3f},{'' if 50 <= i < 57 else f'{rng.normal():.3f}'}")
    path = tmp_path / "holes.csv"
    path.write_text("\n".join(lines) + "\n")
    session = Session(home=tmp_path / "home")
    answer = ask(session, "are there any missing values?", files=[path]).answer
    assert "Yes, 7 of 800 values of `holes.csv` are missing: `b` (7, first at 2026-01-01 00:50:00)" in answer
    assert "1 gap between time stamps, the widest from 2026-01-01 03:19:00 to 2026-01-01 04:50:00" in answer
    gap = ask(session, "what happened between 3:40 and 4:20?")
    assert "There are no readings in `holes.csv` from 2026-01-01 03:40:00 to 2026-01-01 04:20:00" in gap.answer
    assert gap.status == "insufficient"


def test_every_event_is_a_finding_and_the_first_ones_have_a_plot(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(6000, 2)) * 0.1 + np.sin(np.arange(6000) / 20)[:, None]
    for i in range(15):
        values[300 + 380 * i : 303 + 380 * i, 0] += 6 + i
    path = tmp_path / "many.csv"
    path.write_text("a,b\n" + "\n".join(",".join(f"{v:.4f}" for v in row) for row in values) + "\n")
    reply = ask(Session(home=tmp_path / "home"), "list everything", files=[path])
    events = next(int(str(e.facts["events"])) for e in reply.evidence if e.tool == "window_pca")
    assert len(reply.anomalies) == events > 10
    found = [e for e in reply.evidence if "rank" in e.facts]
    assert [bool(e.path) for e in sorted(found, key=lambda e: int(str(e.facts["rank"])))] == [i < 10 for i in range(events)]


@pytest.mark.parametrize(
    ("text", "how", "limits"),
    [
        ("did flow drop below 20?", "below", (20.0, 20.0)), ("flow >= 90", "at least", (90.0, 90.0)),
        ("when did flow reach 90?", "at least", (90.0, 90.0)),
        ("was flow between 20 and 30?", "between", (20.0, 30.0)),
        ("was the bearing temp over 60 degrees c on monday", "above", (60.0, 60.0)),
        ("was the flow outside 20 to 90 m3/h?", "outside", (20.0, 90.0)), ("no more than 5.5 mm/s", "at most", (5.5, 5.5)),
    ],
)  # fmt: skip
def test_comparisons(text: str, how: str, limits: tuple[float, float]) -> None:
    found = find_comparison(text, PUMP)
    assert found is not None
    assert (found.how, (found.low, found.high)) == (how, limits)
    assert len(blank_values(text, PUMP)) == len(text)
    assert not re.search(r"\d", blank_values(text.replace("m3/h", ""), PUMP))


@pytest.mark.parametrize(
    "text",
    ["was flow high for more than 5 minutes", "more than 3 anomalies", "is flow ok between 3 and 5?", "after 10:30", "over 2 hours",
     "what did flow do between 100 and 200?", "below 10:30", ""],
)  # fmt: skip
def test_no_comparisons(text: str) -> None:
    assert find_comparison(text, PUMP) is None


def test_wanted_readings_are_not_findings() -> None:
    assert find_wanted("what is the highest severity") == ()
    assert find_wanted("the biggest anomaly") == ()
    assert find_wanted("highest and lowest flow") == ("highest", "lowest")
    assert find_channels("was vibration above 5 bar?", PUMP).channels == ("vibration",)


def test_the_fine_channels_and_the_abnormal_time_are_summed_up(pump: Session) -> None:
    fine = ask(pump, "which sensors are fine?").answer
    assert fine.startswith("**4 of 6 channels** carry no abnormal stretch")
    assert "Not so `flow` and `vibration`" in fine
    reply = ask(pump, "how many hours were abnormal?")
    rows = sum(int(e.facts["rows"]) for e in reply.evidence if e.id in {a.evidence[0] for a in reply.anomalies})  # type: ignore[call-overload]
    assert f"{rows} of 4,032 rows" in reply.answer
    assert f"**{rows * 5 / 60:.3g} h** in all" in reply.answer


def test_everyday_words_for_missing_readings_and_for_a_relation(pump: Session) -> None:
    assert ask(pump, "is anything missing in the data?").answer.startswith("No, no value of `pump.csv` is missing")
    assert "their correlation over the whole series is" in ask(pump, "is motor current related to flow?").answer
    assert "132 readings in a row, 11 h" in ask(pump, "how long was flow stuck?").answer


def test_which_channel_goes_wrong_first_is_told_by_their_findings(pump: Session) -> None:
    reply = ask(pump, "did vibration spike before the flow problem?")
    onsets = next(e.facts["onsets"] for e in reply.evidence if "onsets" in e.facts)
    starts = [onset["start_s"] for onset in onsets if "start_s" in onset]
    assert {onset["channel"] for onset in onsets} == {"vibration", "flow"}
    assert starts == sorted(starts)
    assert f"`{onsets[0]['channel']}` goes wrong" in reply.answer
    alone = ask(pump, "which came first, the vibration or the inlet pressure problem?").answer
    assert "`inlet_pressure` carries no abnormal stretch" in alone


def test_drift_is_told_by_the_first_and_the_last_quarter(pump: Session, rows: dict[str, list[tuple[str, float]]]) -> None:
    values = [value for _, value in rows["bearing_temp"]]
    quarter = len(values) // 4
    reply = ask(pump, "is the bearing temperature creeping up?")
    for part in (values[:quarter], values[-quarter:]):
        assert f"{np.mean(part):.3g} °C on average" in reply.answer
    assert "first quarter" in reply.answer
