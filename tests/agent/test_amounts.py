"""How much went through in all: sums over time of what is measured per time, against closed forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from agent.lookups.amounts import rate_of
from agent.reply import Reply
from agent.session import Session

HOUR = 12  # readings an hour


def table(tmp_path: Path, *, lost: slice | None = None, dropped: slice | None = None) -> Path:
    """Two days of readings: 6 m3/h by day and night, 2.4 kW, a pressure; some lost (empty) or dropped (rows missing)."""
    rows = 48 * HOUR
    wobble = np.random.default_rng(0).normal(0, 0.01, rows)
    flow = np.full(rows, 6.0) + wobble - wobble.mean()
    frame = pl.DataFrame({
        "time": pl.Series(np.datetime64("2026-05-01T00:00:00", "ms") + np.arange(rows) * np.timedelta64(300_000, "ms")),
        "flow [m3/h]": flow, "drive [kW]": np.full(rows, 2.4) + np.tile([0.01, -0.01], rows // 2), "pressure [bar]": 3 + wobble,
    })  # fmt: skip
    if lost is not None:
        gone = pl.int_range(rows).is_between(lost.start, lost.stop - 1)
        frame = frame.with_columns(pl.when(~gone).then(pl.col("flow [m3/h]")).alias("flow [m3/h]"))
    if dropped is not None:
        frame = frame.filter(~pl.int_range(rows).is_between(dropped.start, dropped.stop - 1))
    path = tmp_path / "plant.csv"
    frame.write_csv(path)
    return path


def ask(tmp_path: Path, question: str, path: Path) -> Reply:
    session = Session(home=tmp_path / "home")
    *_, reply = session.ask(question, files=[path])
    session.close()
    assert isinstance(reply, Reply)
    return reply


def amount(reply: Reply) -> dict[str, object]:
    (found,) = [e for e in reply.evidence if e.tool == "lookup_amount"]
    return dict(found.facts)


def test_a_constant_flow_sums_up_to_its_hours(tmp_path: Path) -> None:
    reply = ask(tmp_path, "what was the total volume pumped?", table(tmp_path))
    assert amount(reply)["amount"] == pytest.approx(6 * 48, rel=1e-3)
    assert "**288 m3**" in reply.answer


def test_a_part_of_the_time_is_summed_alone(tmp_path: Path) -> None:
    facts = amount(ask(tmp_path, "how much water was pumped on May 2?", table(tmp_path)))
    assert facts["amount"] == pytest.approx(6 * 24, rel=2e-3)


def test_energy_is_that_of_power_and_not_of_flow(tmp_path: Path) -> None:
    facts = amount(ask(tmp_path, "how many kWh were used in total?", table(tmp_path)))
    assert (facts["channel"], facts["amount_unit"]) == ("drive", "kWh")
    assert facts["amount"] == pytest.approx(2.4 * 48, rel=1e-3)


@pytest.mark.parametrize("hole", ["lost", "dropped"])
def test_what_was_not_measured_is_left_out_and_said(tmp_path: Path, hole: str) -> None:
    path = table(tmp_path, **{hole: slice(100, 100 + 6 * HOUR)})
    reply = ask(tmp_path, "total volume pumped?", path)
    assert amount(reply)["amount"] == pytest.approx(6 * 42, rel=2e-3)
    assert "6 h without readings are left out" in reply.answer


def test_nothing_is_summed_that_is_not_per_time(tmp_path: Path) -> None:
    reply = ask(tmp_path, "what is the total pressure used?", table(tmp_path))
    assert not [e for e in reply.evidence if e.tool == "lookup_amount"]


PER_TIME = {"m3/h": "m3", "l/min": "l", "kg/s": "kg", "kW": "kWh", "W": "Wh", "t/d": "t", "parts/minute": "parts"}
NOT_PER_TIME = ("A", "bar", "mm/s", "rev/min", "°C", "", "m3", "1/2")


@pytest.mark.parametrize(("unit", "sum_unit"), [*PER_TIME.items(), *((unit, None) for unit in NOT_PER_TIME)])
def test_units_that_are_per_time(unit: str, sum_unit: str | None) -> None:
    found = rate_of(unit)
    assert (None if found is None else found.unit) == sum_unit
