"""When a reading of a series was taken: written times, epochs, elapsed times, zones, order, and times that cannot be read."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from readers.time_columns import time_columns
from readers.timestamps import parse_times, without_year

FORMATS = [
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S,%f", "%Y/%m/%d %H:%M:%S",
    "%d.%m.%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%d-%b-%Y %H:%M:%S", "%d %b %Y %H:%M:%S",
    "%b %d, %Y %H:%M:%S", "%Y%m%d %H%M%S", "%Y%m%dT%H%M%S", "%d.%m.%y %H:%M:%S", "%a %b %d %H:%M:%S %Y", "%d/%b/%Y:%H:%M:%S",
    "%Y-%m-%d-%H.%M.%S.%f", "%Y.%m.%d %H:%M:%S", "%H:%M:%S %d.%m.%Y",
]  # fmt: skip


@pytest.mark.parametrize("pattern", FORMATS)
@settings(max_examples=8, deadline=None)
@given(day=st.datetimes(dt.datetime(1995, 1, 1), dt.datetime(2060, 1, 1)), step=st.integers(60, 40_000))
def test_written_times_are_understood(pattern, day, step):
    stamps = [day.replace(microsecond=0) + dt.timedelta(seconds=step * k) for k in range(80)]
    column = pl.Series("time", [s.strftime(pattern) for s in stamps])
    assert time_columns(pl.DataFrame([column, pl.Series("x", ["1"] * 80)])) == ("time",)
    times = parse_times(column, "time")
    assert times.base == "clock"
    expected = np.array([s.replace(tzinfo=dt.UTC).timestamp() for s in stamps])
    if "%m/%d" in pattern or "%d/%m" in pattern:  # a span of few days may be read either way, but never in disorder
        assert np.allclose(np.diff(times.seconds), step) or len({s.month for s in stamps}) > 1
        expected = times.seconds if all(s.day <= 12 for s in stamps) else expected
    assert np.abs(times.seconds - expected).max() < 1e-3


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([1, 1_000, 1_000_000, 1_000_000_000]),
    st.integers(400_000_000, 4_000_000_000),
    st.booleans(),
    st.sampled_from(["t", "Timestamp", "epoch_ms"]),
)
def test_epochs_in_any_unit(scale, start, as_text, header):
    ticks = [(start + 60 * k) * scale for k in range(30)]
    times = parse_times(pl.Series(header, [str(t) for t in ticks] if as_text else ticks), header)
    assert times.base == "clock"
    assert np.allclose(times.seconds, start + 60 * np.arange(30), atol=1e-3)


@pytest.mark.parametrize(
    ("header", "scale"), [("t [ms]", 1e-3), ("time (s)", 1), ("elapsed_us", 1e-6), ("Time [min]", 60), ("time_h", 3600), ("t", 1)]
)
def test_elapsed_time_in_its_unit(series_of, tmp_path, header, scale):
    s = series_of(tmp_path, f"{header},x\n" + "".join(f"{k * 5},{k % 3}\n" for k in range(20)))
    assert s.time_base == "elapsed"
    assert np.allclose(s.time_s, 5 * scale * np.arange(20))
    assert s.channels == ("x",)


def test_zones_are_converted(series_of, tmp_path):
    s = series_of(tmp_path, "t,x\n2024-03-31T01:59:00+01:00,1\n2024-03-31T03:01:00+02:00,2\n")
    assert s.time_s.tolist() == [0, 120]
    assert s.epoch_s == dt.datetime(2024, 3, 31, 0, 59, tzinfo=dt.UTC).timestamp()
    assert not any("UTC" in n for n in s.notes)


@pytest.mark.parametrize(("first", "second", "day"), [("03/04/2024", "04/04/2024", 3), ("03/04/2024", "03/05/2024", 4)])
def test_day_and_month_are_told_apart_by_order(series_of, tmp_path, first, second, day):
    rows = "".join(f"{first} {h:02}:00:00,{h}\n" for h in range(24)) + "".join(f"{second} {h:02}:00:00,{h}\n" for h in range(24))
    s = series_of(tmp_path, "date,x\n" + rows)
    assert dt.datetime.fromtimestamp(s.epoch_s, dt.UTC).day == day
    assert s.time_s[-1] == 47 * 3600
    assert any("were read" in n for n in s.notes)


def test_date_and_time_in_two_columns(series_of, tmp_path):
    s = series_of(tmp_path, "Date;Time;x\n" + "".join(f"13.05.2024;{22 + k // 60:02}:{k % 60:02}:00;{k}\n" for k in range(100)))
    assert s.time_s.tolist() == [60.0 * k for k in range(100)]
    assert s.channels == ("x",)


def test_clock_times_run_over_midnight(series_of, tmp_path):
    s = series_of(tmp_path, "Time,x\n23:59:58,1\n23:59:59,2\n00:00:00,3\n00:00:01,4\n")
    assert s.time_base == "elapsed"
    assert s.time_s.tolist() == [0, 1, 2, 3]


def test_unsorted_duplicate_and_missing_times(series_of, tmp_path):
    s = series_of(
        tmp_path,
        "time,x\n"
        + "2024-05-01 00:00:02,2\n2024-05-01 00:00:01,1\n2024-05-01 00:00:01,11\nnonsense,9\n"
        + "".join(f"2024-05-01 00:01:{k:02},{k}\n" for k in range(40)),
    )
    assert s.rows[:3].tolist() == [2, 3, 1]
    assert s.values[:3, 0].tolist() == [1, 11, 2]
    assert s.rows[3] == 5
    notes = " ".join(s.notes)
    assert "sorted" in notes
    assert "share their time" in notes
    assert "1 rows without a readable time" in notes
    assert "gap" in notes


def test_stamps_without_a_year():
    now = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
    times = without_year(["Dec 31 23:00:00", "Jan  1 01:00:00", "Feb 29 00:00:00", None, "Xxx 99 00:00:00"], now=now)
    years = [dt.datetime.fromtimestamp(t, dt.UTC).year for t in times.seconds[:3]]
    assert years == [2023, 2024, 2024]
    assert np.isnan(times.seconds[3:]).all()


def test_times_out_of_range_leave_a_series_by_rows(series_of, tmp_path):
    s = series_of(tmp_path, "time,a\n" + "".join(f"9999-12-31 23:00:{k:02d},{k}.5\n" for k in range(60)))
    assert (s.time_base, s.channels, len(s.values)) == ("index", ("a",), 60)
    assert any(n.startswith("The times in 'time' could not be read") and "9999" in n for n in s.notes)
    assert not any("No time column" in n for n in s.notes)
