"""Series as they come: counters that run over, clocks set back, labels in the file, thousands of channels, gaps, constants."""

import datetime as dt
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadInput
from core.samples import Series
from readers.counters import Falls, count_on, find_falls
from tools.catalog import catalogue
from tools.series.ensemble import SeriesEnsemble
from tools.series.window_pca import WindowPCA

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {"trip_llm": {"window": 16, "hop": 8, "patches": (4, 8), "stride": 4, "body": "none", "updates": 10}}
DETECTORS = [name for name, spec in catalogue().items() if spec.kind == "series"]


def waves(steps, channels=2, *, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(steps)[:, None]
    return (np.sin(t / 9 + np.arange(channels)) + 0.1 * rng.standard_normal((steps, channels))).astype(np.float32)


def series(values, time_s=None):
    values = np.asarray(values, np.float32)
    times = np.arange(len(values), dtype=np.float64) if time_s is None else time_s
    return Series(name="s", values=values, time_s=times, channels=tuple(f"c{i}" for i in range(values.shape[1])))


@pytest.mark.parametrize("register", [2**15, 2**16, 10**5, 2**31, 2**32])
@pytest.mark.parametrize("start", [0.6, 0.99])
def test_a_counter_that_runs_over_is_counted_on(register, start):
    rises = np.random.default_rng(1).integers(0, register // 60, 300)
    true = int(start * register) + np.cumsum(rises)
    shown = (true % register).astype(np.float32)
    falls = find_falls(shown)
    assert falls == Falls(steps=tuple((np.flatnonzero(np.diff(true // register)) + 1).tolist()), register=register)
    notes = []
    mended = count_on(shown[:, None], ("total",), np.arange(1, 301), notes)
    np.testing.assert_allclose(mended[:, 0], true, rtol=1e-6)
    assert len(notes) == 1
    assert f"'total' is a counter that begins anew after {register - 1:,}" in notes[0]


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from(["noise", "waves", "saw", "steps", "percent", "flag"]))
def test_what_falls_otherwise_is_no_counter(seed, kind):
    rng, t = np.random.default_rng(seed), np.arange(400)
    values = {
        "noise": rng.normal(size=400), "waves": 100 * np.sin(t / 20 + seed), "saw": (t * 7) % 360, "flag": rng.integers(0, 2, 400),
        "steps": rng.integers(0, 50, 400), "percent": np.abs((t * 3) % 200 - 100),
    }[kind]  # fmt: skip
    falls = find_falls(values.astype(np.float32))
    assert falls is None or falls.register is None


def test_the_file_says_what_was_counted_on_and_what_was_set_back(series_of, tmp_path):
    rows = [
        f"2024-05-01 {k // 60:02}:{k % 60:02}:00,{(65_000 + 7 * k) % 65_536},{(5 * k) % 1500 if k >= 300 else 5 * k},{k % 7}"
        for k in range(600)
    ]
    s = series_of(tmp_path, "time,packets,uptime,x\n" + "\n".join(rows))
    notes = " ".join(s.notes)
    assert "'packets' is a counter that begins anew after 65,535, 1 time, first in row 78; it was counted on" in notes
    assert "'uptime' counts up and was set back to about 0 1 time, first in row 301: a reset or restart" in notes
    assert s.values[-1, 0] == 65_000 + 7 * 599
    assert s.values[300, 1] == 0
    assert "'x'" not in notes


def test_a_counter_that_runs_over_is_not_what_is_strangest(series_of, tmp_path):
    rng = np.random.default_rng(3)
    total = 60_000 + np.cumsum(rng.integers(20, 40, 800))
    heat = 40 + np.sin(np.arange(800) / 9) + rng.normal(0, 0.1, 800)
    heat[600:620] += 3
    over = int(np.flatnonzero(total > 65_535)[0])
    text = "t,total,heat\n" + "\n".join(f"{k},{n % 65_536},{h:.3f}" for k, (n, h) in enumerate(zip(total, heat, strict=True)))
    s = series_of(tmp_path, text)
    for detector in (WindowPCA(), SeriesEnsemble()):
        found = detector.score([s])[0].scores
        assert 590 <= int(found.argmax()) < 630, detector.spec.name
        assert found[over - 20 : over + 20].max() < 0.5 * found.max(), detector.spec.name


@pytest.mark.parametrize("minutes", [1, 15, 60])
def test_rows_of_the_hour_that_occurs_twice_keep_their_order(series_of, tmp_path, minutes):
    true = np.datetime64("2023-10-28T12:00") + minutes * np.arange(24 * 60 // minutes) * np.timedelta64(1, "m")
    local = true + np.where(true < np.datetime64("2023-10-29T01:00"), 2, 1) * np.timedelta64(1, "h")
    s = series_of(tmp_path, "time,x\n" + "\n".join(f"{t},{k}.5" for k, t in enumerate(local)))
    assert np.all(np.diff(s.values[:, 0]) == 1)  # nothing is mixed
    assert np.all(np.diff(s.time_s) > 0)
    notes = " ".join(s.notes)
    assert "The hour from 2023-10-29 02:00 occurs twice" in notes
    assert "sorted" not in notes
    written = (local - local[0]) / np.timedelta64(1, "s")
    outside = (local < np.datetime64("2023-10-29T02:00")) | (local >= np.datetime64("2023-10-29T03:00"))
    np.testing.assert_array_equal(s.time_s[outside], written[outside])


def test_an_hour_back_on_another_day_or_in_utc_is_no_summer_time(series_of, tmp_path):
    for day, zone in (("2023-10-25", ""), ("2023-10-29", "Z")):
        stamps = [f"{day}T{h:02}:{m:02}:00{zone}" for h in (1, 2, 2, 3) for m in range(0, 60, 10)]
        s = series_of(tmp_path, "time,x\n" + "\n".join(f"{t},{k}.5" for k, t in enumerate(stamps)))
        assert any("sorted" in n for n in s.notes)
        assert not any("twice" in n for n in s.notes)


def test_mixed_offsets_and_stamps_without_a_zone(series_of, tmp_path):
    stamps = ["2024-03-31T01:59:00+01:00", "2024-03-31T01:00:00Z", "2024-03-31T03:01:00+02:00", "2024-03-31T01:02:00"]
    s = series_of(tmp_path, "t,x\n" + "\n".join(f"{t},{k}" for k, t in enumerate(stamps)))
    assert s.time_s.tolist() == [0, 60, 120, 180]
    assert s.epoch_s == dt.datetime(2024, 3, 31, 0, 59, tzinfo=dt.UTC).timestamp()
    assert any("no zone" in n and "UTC" in n for n in s.notes)


@pytest.mark.parametrize(
    "name", ["label", "Label", "anomaly", "is_anomaly", "Is Anomaly", "attack", "is-anomaly", "outlier", "ground_truth"]
)
@pytest.mark.parametrize("marks", [("0", "1"), ("0.0", "1.0"), ("False", "True"), ("no", "yes"), ("normal", "attack")])
def test_a_column_that_gives_the_answer_is_said_and_set_aside(series_of, tmp_path, name, marks):
    rows = "".join(f"{k},{k % 5},{marks[10 < k < 14]}\n" for k in range(30))
    s = series_of(tmp_path, f"t,x,{name}\n" + rows)
    assert s.channels == ("x",)
    assert any("labels, not measurements" in n and name in n for n in s.notes)


HOSTILE = {
    "constant": np.full((300, 3), 7.0),
    "one channel": waves(300, 1),
    "one constant channel": np.zeros((300, 1)),
    "a run of gaps": np.where((np.abs(np.arange(300) - 150) < 40)[:, None], np.nan, waves(300)),
    "a channel gone for good": np.where((np.arange(300)[:, None] > 150) & (np.arange(2) == 1), np.nan, waves(300)),
    "half missing": np.where(np.random.default_rng(0).random((300, 2)) < 0.5, np.nan, waves(300)),
    "a 16-bit counter": np.arange(300)[:, None] * 7919.0 % 65_536,
    "a 32-bit counter": 4_294_900_000.0 + np.arange(300)[:, None] * 100.0,
    "huge and tiny": waves(300) * np.array([1e30, 1e-30]),
    "flags": np.random.default_rng(0).integers(0, 2, (300, 3)).astype(float),
}


@pytest.fixture(scope="module", params=DETECTORS)
def learned(request):
    """A detector of each kind, and what it was taught with."""
    return lambda values: catalogue().create(request.param, **SMALL.get(request.param, {})).fit([series(values)])


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_series_get_finite_scores(learned, kind):
    found = learned(HOSTILE[kind]).score([series(HOSTILE[kind])])[0]
    assert found.scores.shape == (300,)
    assert np.isfinite(found.scores).all()
    assert np.isfinite(found.channels).all()
    assert not found.scores[~found.valid].any()


def test_infinity_is_refused_before_any_detector_sees_it():
    values = waves(50)
    values[20, 0] = np.inf
    with pytest.raises(BadInput, match="infin"):
        series(values)


@pytest.mark.parametrize("name", DETECTORS)
def test_ten_thousand_channels_are_scored_or_refused_with_a_reason(name):
    values = np.random.default_rng(0).normal(size=(60, 10_000)).astype(np.float32)
    values[40:44, 7_000:7_400] += 12
    detector = catalogue().create(name, **SMALL.get(name, {}))
    if name == "trip_llm":  # each channel has weights of its own there
        with pytest.raises(BadInput, match=r"10,000.*window_pca"):
            detector.fit([series(values[:30])])
        return
    detector.fit([series(values[:30])])
    found = detector.score([series(values[30:])])[0]
    assert found.channels.shape == (30, 10_000)
    assert int(found.scores.argmax()) in range(8, 16)


@pytest.mark.parametrize("make", [WindowPCA, SeriesEnsemble])
def test_a_stream_takes_no_more_memory_however_long_it_lasts(make):
    stream = make().fit([series(waves(2_000))]).stream()
    peaks = []
    tracemalloc.start()
    try:
        for turn in range(6):
            tracemalloc.reset_peak()
            for part in range(5):
                stream.update(waves(2_000, seed=turn * 5 + part))
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert peaks[-1] < 1.1 * peaks[1] + 200_000  # bytes; ten thousand rows a turn


@pytest.mark.parametrize("name", ["window_pca", "ensemble"])
def test_uneven_times_do_not_change_the_scores(name):
    values, rng = waves(400), np.random.default_rng(0)
    detector = catalogue().create(name).fit([series(waves(400, seed=1))])
    even = detector.score([series(values)])[0]
    uneven = detector.score([series(values, time_s=np.cumsum(rng.integers(0, 3, 400)).astype(np.float64))])[0]
    np.testing.assert_array_equal(even.scores, uneven.scores)
