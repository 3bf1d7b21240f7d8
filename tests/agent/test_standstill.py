"""Readings that stand still, and times with too little in them: neither may pass for normal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from asking import ask

from agent.examine.standstill import standstills
from agent.session import Session
from core.samples import Series

ROWS = 2016
"""A week of a reading every five minutes."""


def table(path: Path, *, left_out: slice = slice(0), daily: float = 1.0) -> Path:
    """flow and level over a week from 2 March on; flow stands still at its usual value from 5 March 06:00 to 08:00."""
    rng = np.random.default_rng(5)
    day = daily * np.sin(np.arange(ROWS) / 288 * 2 * np.pi)
    flow, level = 50 + 10 * day + rng.normal(0, 1, ROWS), 3 - day + rng.normal(0, 0.1, ROWS)
    flow[936:960] = np.round(flow[936], 2)
    stamps = np.datetime64("2026-03-02T00:00") + np.arange(ROWS) * np.timedelta64(5, "m")
    rows = [f"{t},{f:.2f},{v:.3f}" for t, f, v in zip(stamps, flow, level, strict=True)]
    del rows[left_out]
    path.write_text("time,flow [m3/h],level [m]\n" + "\n".join(rows) + "\n")
    return path


def one(values: np.ndarray) -> Series:
    return Series(name="s", values=values.astype(np.float32)[:, None], time_s=np.arange(float(len(values))), channels=("a",))


def test_a_stuck_sensor_is_found_at_its_rows_and_habits_are_not() -> None:
    rng = np.random.default_rng(2)
    noisy = rng.normal(size=1500)
    noisy[700:760] = 0.25
    (found,) = standstills(one(noisy), 0)
    assert (found.first, found.last, found.rows, found.value) == (700, 759, 60, 0.25)
    nightly = rng.normal(size=1500)
    for night in range(5):
        nightly[300 * night : 300 * night + 90] = 0.0
    assert standstills(one(nightly), 0) == []
    valve = np.repeat([0.0, 1.0, 0.0], 500)
    assert standstills(one(valve), 0) == []
    gaps = noisy.copy()
    gaps[700:760] = np.nan
    assert standstills(one(gaps), 0) == []


def test_a_time_in_which_a_sensor_is_stuck_is_not_normal(pump: Session) -> None:
    reply = ask(pump, "is flow normal between 3 and 5 pm on 14 March?")
    assert reply.answer.startswith(
        "No, it does not look so. `flow` stands still at 45 m3/h from 2026-03-14 06:10:00 to 2026-03-14 17:05:00"
    )
    assert reply.status == "abnormal"
    other = ask(pump, "is vibration ok between 3 and 5 pm on 14 March?")
    assert (other.status, other.answer[:3]) == ("normal", "Yes")
    earlier = ask(pump, "is flow normal between 3 and 5 pm on 12 March?")
    assert (earlier.status, earlier.answer[:3]) == ("normal", "Yes")


@pytest.mark.parametrize(
    ("question", "start"),
    [
        ("is flow stuck?", "Yes"), ("is vibration stuck?", "No"), ("is any sensor stuck?", "Yes"),
        ("was the flow sensor frozen on 13 March?", "No"), ("which sensor is stuck?", "`flow` stands still"),
    ],
)  # fmt: skip
def test_stuck_is_answered_by_readings_that_stand_still(pump: Session, question: str, start: str) -> None:
    answer = ask(pump, question).answer
    assert any(line.startswith(start) for line in answer.splitlines()), answer


def test_a_standstill_below_the_threshold_is_an_anomaly_of_its_own(tmp_path: Path) -> None:
    session = Session(home=tmp_path / "home")
    ask(session, "hello", files=[table(tmp_path / "week.csv")])
    reply = ask(session, "is flow normal on 5 March?")
    assert "`flow` stands still" in reply.answer
    assert reply.status == "abnormal"
    stuck = next(a for a in reply.anomalies if a.label == "flatline in flow")
    assert stuck.severity >= 1
    locus = stuck.loci[0]
    assert locus.start_s == pytest.approx(936 * 300, abs=3600)  # type: ignore[union-attr]


def test_a_time_without_enough_readings_is_not_called_normal(tmp_path: Path) -> None:
    session = Session(home=tmp_path / "home")
    ask(session, "hello", files=[table(tmp_path / "week.csv", left_out=slice(1500, 1560), daily=0.0)])
    gap = ask(session, "was level ok between 4 and 10 am on 7 March?")  # rows 1488 to 1560: only the first hour is there
    assert gap.status == "insufficient", gap.answer
    assert gap.answer.startswith("I cannot say. ")
    assert "only 17 % of what belongs there was recorded, too little to call it normal" in gap.answer
    none = ask(session, "was level ok between 6 and 8 am on 7 March?")
    assert (none.status, none.anomalies) == ("insufficient", ())
    fine = ask(session, "was level ok between 5 and 7 am on 6 March?")
    assert (fine.status, fine.answer[:3]) == ("normal", "Yes")


def test_a_dip_is_called_a_dip(tmp_path: Path) -> None:
    values = np.random.default_rng(8).normal(50, 1, 800)
    values[300:303] -= 45
    path = tmp_path / "dip.csv"
    path.write_text("time_s,flow\n" + "\n".join(f"{i},{v:.2f}" for i, v in enumerate(values)) + "\n")
    session = Session(home=tmp_path / "home")
    answer = ask(session, "what is wrong?", files=[path]).answer
    assert "dip in `flow`" in answer
    assert "down to" in answer
    assert "spike" not in answer
    assert "dip in `flow`" in ask(session, "explain the dip").answer
