"""Series conditions on readings with known stretches: thresholds, durations, gaps, rates, co-occurrence, units, time of day."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.rules import units
from agent.rules.compile import compile_rule
from agent.rules.conditions import Hours, SeriesCondition
from agent.rules.evaluate import Material, evaluate
from agent.rules.evaluate_series import channels_of, in_hours, runs_of
from agent.rules.evaluate_series import evaluate as on_series
from core.samples import Series


def series(values, *, time_s=None, channels=("pressure",), units=(), base="clock", epoch_s=0.0):
    values = np.asarray(values, np.float32)
    values = values[:, None] if values.ndim == 1 else values
    time_s = np.arange(len(values), dtype=np.float64) if time_s is None else np.asarray(time_s, np.float64)
    return Series(
        name="pump.csv",
        values=values,
        time_s=time_s,
        channels=channels,
        units=units or ("",) * len(channels),
        time_base=base,
        epoch_s=epoch_s if base == "clock" else None,
    )


def spans(findings):
    return [(f.locus.start_s, f.locus.end_s) for f in findings]


def fired(text, data):
    return evaluate(compile_rule(text).definition, Material(source="pump.csv", kind="series", samples=[data]))


def test_a_stretch_is_half_open_and_knows_its_highest_value():
    found, cannot, _ = on_series(SeriesCondition(channel="pressure", low=7), series([5, 8, 9, 8, 5, 9]))
    assert spans(found) == [(1.0, 4.0), (5.0, 6.0)]
    assert [f.measured for f in found] == [9.0, 9.0]
    assert found[0].facts["length_s"] == 3.0
    assert not cannot


@pytest.mark.parametrize(
    ("high", "strict", "fires"), [(10, True, False), (10, False, True), (11, True, True), (11, False, True), (9, False, False)]
)
def test_more_than_ten_seconds_is_longer_than_ten(high, strict, fires):
    condition = SeriesCondition(channel="pressure", low=7, for_s=10, for_at_least=not strict)
    found, _, _ = on_series(condition, series([5, *[8] * high, 5, 5]))
    assert bool(found) == fires


def test_a_hole_in_the_time_stamps_ends_a_stretch():
    time_s = [0, 1, 2, 3, 60, 61, 62, 63]
    found, _, _ = on_series(SeriesCondition(channel="pressure", low=7), series([8] * 8, time_s=time_s))
    assert spans(found) == [(0.0, 4.0), (60.0, 64.0)]
    assert not on_series(SeriesCondition(channel="pressure", low=7, for_s=10), series([8] * 8, time_s=time_s))[0]


def test_uneven_stamps_are_measured_in_seconds_not_rows():
    time_s = [0, 1, 2, 4, 6, 8, 9, 10]
    found, _, _ = on_series(SeriesCondition(channel="pressure", low=7), series([5, 8, 8, 8, 8, 8, 5, 5], time_s=time_s))
    assert spans(found) == [(1.0, 9.0)]


def test_a_missing_reading_ends_a_stretch_and_never_fires():
    found, _, _ = on_series(SeriesCondition(channel="pressure", how="outside", low=1, high=7), series([8, np.nan, 8, np.nan]))
    assert spans(found) == [(0.0, 1.0), (2.0, 3.0)]


def test_readings_in_a_row():
    found, _, _ = on_series(SeriesCondition(channel="pressure", low=7, for_rows=3), series([8, 8, 5, 8, 8, 8, 5], base="index"))
    assert spans(found) == [(3.0, 6.0)]


def test_seconds_cannot_be_told_without_a_time_column():
    outcome = fired("pressure above 7 for more than 10 seconds is an anomaly", series([8] * 50, base="index"))
    assert not outcome.findings
    assert "no time column" in outcome.cannot[0].reason
    assert "readings" in outcome.cannot[0].what_would_help


def test_a_second_channel_limits_when_the_rule_holds():
    data = series(np.array([[8, 0], [8, 0], [8, 1], [8, 1], [8, 0], [5, 0]], np.float32), channels=("pressure", "pump_on"))
    outcome = fired("pressure above 7 when the pump is off is an anomaly", data)
    assert spans(outcome.findings) == [(0.0, 2.0), (4.0, 5.0)]
    assert any("pump_on = 0" in note for note in outcome.notes)
    other = fired("pressure above 7 when the pump is on is an anomaly", data)
    assert spans(other.findings) == [(2.0, 4.0)]


def test_a_rule_about_a_channel_that_is_not_there_abstains_rather_than_ignoring_it():
    outcome = fired("pressure above 7 when the valve is closed is an anomaly", series([8, 8]))
    assert not outcome.findings
    assert "valve" in outcome.cannot[0].reason
    assert "pressure" in outcome.cannot[0].what_would_help


def test_off_of_a_channel_of_many_values_is_near_zero_and_says_so():
    data = series(np.array([[8, 100], [8, 98], [8, 2], [8, 0]], np.float32), channels=("pressure", "pump_speed"))
    outcome = fired("pressure above 7 while the pump is off is an anomaly", data)
    assert spans(outcome.findings) == [(2.0, 4.0)]
    assert any("5%" in note or "5 %" in note for note in outcome.notes)


def test_a_rise_within_a_time_is_counted_from_the_lowest_reading():
    values = [5, 5, 5, 4, 5, 6.5, 7, 7, 7, 7]
    found, _, _ = on_series(SeriesCondition(channel="pressure", measure="rise", how="above", low=2, within_s=3), series(values))
    assert spans(found) == [(5.0, 7.0)]
    assert found[0].measured == 3.0
    assert not on_series(SeriesCondition(channel="pressure", measure="rise", how="above", low=2, within_s=1), series(values))[0]
    fall, _, _ = on_series(SeriesCondition(channel="pressure", measure="fall", how="at least", low=1, within_s=1), series(values))
    assert spans(fall) == [(3.0, 4.0)]


def test_a_rate_is_scaled_where_readings_lie_apart():
    data = series([0, 10, 20, 21, 22], time_s=[0, 120, 240, 360, 480])
    condition = SeriesCondition(channel="pressure", measure="rise", how="above", low=3, within_s=60, rate=True)
    found, _, _ = on_series(condition, data)
    assert spans(found) == [(120.0, 360.0)]
    assert found[0].measured == 5.0
    absolute, cannot, _ = on_series(condition.model_copy(update={"rate": False}), data)
    assert not absolute
    assert "farther apart" in cannot[0].reason


def test_a_steady_rate_over_fine_readings():
    data = series(np.arange(0, 12, 0.1), time_s=np.arange(120.0))
    condition = SeriesCondition(channel="pressure", measure="rise", how="above", low=5.9, within_s=60, rate=True)
    found, _, _ = on_series(condition, data)
    assert len(found) == 1
    assert found[0].locus.end_s == 120.0
    assert 58 <= found[0].locus.start_s <= 61


def test_gaps_and_flat_lines():
    data = series(
        np.array([[1, 1], [2, 1], [3, 1], [3, 1], [3, 1], [4, 2]], np.float32), time_s=[0, 1, 50, 51, 52, 53], channels=("a", "b")
    )
    gaps, _, _ = on_series(SeriesCondition(channel="*", measure="gap", for_s=10), data)
    assert spans(gaps) == [(1.0, 50.0)]
    assert gaps[0].locus.channels == ("a", "b")
    assert gaps[0].measured == 49.0
    flat, _, _ = on_series(SeriesCondition(channel="a", measure="flat", for_s=2.5), data)
    assert spans(flat) == [(50.0, 53.0)]


def test_two_plateaus_are_two_stretches():
    data = series([1, 1, 1, 2, 2, 2, 2, 3])
    flat = SeriesCondition(channel="pressure", measure="flat", for_rows=4)
    assert spans(on_series(flat, data)[0]) == [(3.0, 7.0)]
    assert not on_series(flat.model_copy(update={"for_rows": 5}), data)[0]


def test_a_rise_within_readings_whatever_their_time_stamps():
    data = series([0, 1, 2, 3, 3, 3, 3], time_s=[0, 1, 100, 101, 102, 103, 104])
    condition = SeriesCondition(channel="pressure", measure="rise", how="at least", low=2, within_rows=3)
    assert spans(on_series(condition, data)[0]) == [(100.0, 102.0)]
    step = SeriesCondition(channel="pressure", measure="rise", how="above", low=0, within_rows=2)
    assert sum(f.facts["rows"] for f in on_series(step, data)[0]) == 3
    assert sum(f.facts["rows"] for f in on_series(step, series([0, 1, 1, 2], base="index"))[0]) == 2


def test_one_channel_minus_another():
    data = series(np.array([[5, 4], [9, 4], [3, 8], [np.nan, 1]], np.float32), channels=("inlet", "outlet"), units=("bar", "bar"))
    found = on_series(SeriesCondition(channel="inlet", minus="outlet", how="above", low=2, unit="bar"), data)[0]
    assert [(f.locus.start_s, f.measured) for f in found] == [(1.0, 5.0)]
    assert "above outlet" in found[0].sentence
    apart = on_series(SeriesCondition(channel="inlet", minus="outlet", how="outside", low=-2, high=2), data)[0]
    assert spans(apart) == [(1.0, 3.0)]
    for said, other in (("nothing", "bar"), ("outlet", "°C")):
        data = series(np.zeros((3, 2), np.float32), channels=("inlet", "outlet"), units=("bar", other))
        findings, cannot, _ = on_series(SeriesCondition(channel="inlet", minus=said, how="at least", low=0), data)
        assert not findings
        assert cannot


def test_a_value_that_is_not_the_number():
    found = on_series(SeriesCondition(channel="pressure", how="not equal to", low=0), series([0, 1, np.nan, -1, 0]))[0]
    assert spans(found) == [(1.0, 2.0), (3.0, 4.0)]


def test_all_other_times_of_the_week():
    working = Hours(said="outside working hours", from_s=8 * 3600, to_s=18 * 3600, days=(0, 1, 2, 3, 4), outside=True)
    monday = 4 * 86_400.0
    times = np.array([monday + 9 * 3600, monday + 19 * 3600, monday - 86_400 + 9 * 3600, np.nan])
    assert in_hours(times, working).tolist() == [False, True, True, False]


def test_missing_values_of_one_channel_are_its_gap():
    data = series(np.array([[1, 1], [2, np.nan], [3, np.nan], [3, np.nan], [4, 2]], np.float32), channels=("a", "b"))
    gaps, _, _ = on_series(SeriesCondition(channel="*", measure="gap", for_s=3), data)
    assert [(f.locus.channels, f.locus.start_s, f.locus.end_s) for f in gaps] == [(("b",), 0.0, 4.0)]


def test_any_channel_in_a_unit():
    data = series(np.array([[90, 90], [10, 90]], np.float32), channels=("motor_temp", "pressure"), units=("°C", "bar"))
    outcome = fired("anything above 80 °C is critical", data)
    assert [f.locus.channels for f in outcome.findings] == [("motor_temp",)]
    none = fired("anything above 80 °C is critical", series([90, 90], units=("bar",)))
    assert not none.findings
    assert "no channel in °C" in none.cannot[0].reason


def test_units_that_differ_are_converted_and_said():
    outcome = fired("pressure above 100 psi is an anomaly", series([5, 8], units=("bar",)))  # 100 psi are 6.89 bar
    assert spans(outcome.findings) == [(1.0, 2.0)]
    assert any("6.89" in note for note in outcome.notes)
    other = fired("pressure above 100 °C is an anomaly", series([5, 800], units=("bar",)))
    assert not other.findings
    assert "°C" in other.cannot[0].reason
    assert "bar" in other.cannot[0].what_would_help


@pytest.mark.parametrize(
    ("value", "said", "unit", "difference", "wanted"),
    [
        (100, "psi", "bar", False, 6.8948),
        (176, "°F", "°C", False, 80),
        (9, "°F", "°C", True, 5),
        (3000, "rpm", "Hz", False, 50),
        (60, "l/min", "m³/h", False, 3.6),
        (5, "kW", "W", False, 5000),
        (200, "kPa", "bar", False, 2),
        (-40, "°F", "°C", False, -40),
        (300, "K", "°C", False, 26.85),
        (4.5, "mm/s", "m/s", False, 0.0045),
        (250, "ms", "s", False, 0.25),
        (1, "g", "m/s²", False, 9.80665),
    ],
)
def test_known_conversions(value, said, unit, difference, wanted):
    found = units.in_unit(value, said, unit, difference=difference)
    assert found.how == "converted"
    assert found.value == pytest.approx(wanted, rel=1e-4)


def test_without_a_unit_in_the_file_the_plain_number_is_compared_and_said():
    outcome = fired("pressure above 7 bar is an anomaly", series([5, 8]))
    assert spans(outcome.findings) == [(1.0, 2.0)]
    assert any("gives no unit" in note for note in outcome.notes)


def test_how_a_channel_was_read_is_said():
    outcome = fired("the temperature above 80 is an anomaly", series([90], channels=("motor_temp",)))
    assert len(outcome.findings) == 1
    assert "“temperature” was read as motor_temp." in outcome.notes


def test_a_part_of_the_day_that_passes_midnight():
    hours = np.arange(0, 48 * 3600, 1800.0)
    data = series([8] * len(hours), time_s=hours)
    outcome = fired("pressure above 7 between 22:00 and 6:00 is an anomaly", data)
    assert spans(outcome.findings) == [(0.0, 21600.0), (79200.0, 108000.0), (165600.0, 172800.0)]
    elapsed = fired("pressure above 7 at night is an anomaly", series([8, 8], base="elapsed"))
    assert not elapsed.findings
    assert "time of day" in elapsed.cannot[0].reason


def test_days_of_the_week_count_from_the_epoch():
    sunday, monday = 3 * 86400.0, 4 * 86400.0  # 4 and 5 January 1970
    hours = Hours(said="on sundays", from_s=0, to_s=86400, days=(6,))
    assert in_hours(np.array([sunday, monday, sunday + 86399.0]), hours).tolist() == [True, False, True]


def test_channels_by_name_word_and_number():
    data = series(np.zeros((1, 3), np.float32), channels=("motor_temp", "bearing_temp", "flow"))
    assert channels_of("flow", data) == [2]
    assert channels_of("bearing temperature", data) == [1]
    assert channels_of("temperature", data) == [0, 1]
    assert channels_of("sensor 3", data) == [2]
    assert channels_of("*", data) == [0, 1, 2]
    assert channels_of("humidity", data) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=40), st.lists(st.floats(0.5, 20), min_size=40, max_size=40))
def test_runs_cover_exactly_the_true_rows(flags, steps):
    time_s = np.cumsum(steps[: len(flags)])
    period = float(np.median(np.diff(time_s))) if len(flags) > 1 else 1.0
    covered = np.zeros(len(flags), bool)
    for a, b in runs_of(np.array(flags), time_s, period):
        assert not covered[a : b + 1].any()
        assert (np.diff(time_s[a : b + 1]) <= 3 * period).all()
        covered[a : b + 1] = True
    assert covered.tolist() == flags


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-10, 10, width=32), min_size=2, max_size=60), st.floats(-9, 9, width=32))
def test_opposite_comparisons_split_the_rows_between_them(values, border):
    data = series(values)
    rows = {}
    for how in ("above", "at most"):
        found, _, _ = on_series(SeriesCondition(channel="pressure", how=how, low=border), data)
        rows[how] = sum(f.facts["rows"] for f in found)
    assert rows["above"] == int((np.float32(values) > np.float32(border)).sum())
    assert rows["above"] + rows["at most"] == len(values)
