"""Sensor series: dialects, time formats, gaps, units, labels, sizes, and everything that can be wrong with a table."""

import datetime as dt
import io
import zipfile

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import core.settings
from core.errors import BadInput
from readers.open import open_path
from readers.time_columns import time_columns
from readers.timestamps import parse_times, without_year

START = dt.datetime(2024, 5, 13, 22, 58, 30)


def series_of(tmp_path, text, name="a.csv", encoding="utf-8", **options):
    file = tmp_path / name
    file.write_bytes(text.encode(encoding) if isinstance(text, str) else text)
    return open_path(file, **options).samples[0]


def test_the_usual_table(tmp_path):
    s = series_of(
        tmp_path,
        "time,temp (°C),Pressure [bar]\n2024-05-01 10:00:00,20.5,1.0\n2024-05-01 10:00:10,21,1.1\n2024-05-01 10:00:20,,1.2\n",
    )
    assert s.channels == ("temp", "Pressure")
    assert s.units == ("°C", "bar")
    assert s.time_base == "clock"
    assert s.epoch_s == dt.datetime(2024, 5, 1, 10, tzinfo=dt.UTC).timestamp()
    assert s.time_s.tolist() == [0, 10, 20]
    assert s.rows.tolist() == [1, 2, 3]
    assert s.values[:2, 0].tolist() == [20.5, 21]
    assert np.isnan(s.values[2, 0])
    assert any("taken as UTC" in n for n in s.notes)


DIALECTS = st.tuples(
    st.sampled_from([(",", "."), (";", "."), (";", ","), ("\t", "."), ("\t", ","), ("|", ".")]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    st.booleans(),  # quoted cells
    st.integers(0, 3),  # lines above the table
    st.integers(2, 6),  # columns
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DIALECTS, st.integers(5, 30), st.randoms(use_true_random=False))
def test_every_dialect_gives_the_same_numbers(tmp_path, dialect, count, random):
    (delimiter, point), newline, encoding, quoted, above, width = dialect
    numbers = [[round(random.uniform(-500, 500), 3) for _ in range(width)] for _ in range(count)]
    quote = (lambda c: f'"{c}"') if quoted else (lambda c: c)
    lines = ["Gerät 7"] * above
    lines.append(delimiter.join(quote(c) for c in ["Zeit", *(f"Größe {k} [m³]" for k in range(width))]))
    for k, row in enumerate(numbers):
        stamp = (START + dt.timedelta(seconds=10 * k)).strftime("%d.%m.%Y %H:%M:%S")
        lines.append(delimiter.join(quote(c) for c in [stamp, *(f"{v:.3f}".replace(".", point) for v in row)]))
    s = series_of(tmp_path, newline.join(lines) + newline, encoding=encoding)
    assert s.values.shape == (count, width)
    assert np.allclose(s.values, numbers, atol=1e-3)
    assert s.time_s.tolist() == [10.0 * k for k in range(count)]
    assert s.channels == tuple(f"Größe {k}" for k in range(width))
    assert set(s.units) == {"m³"}
    assert s.epoch_s == START.replace(tzinfo=dt.UTC).timestamp()


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
def test_elapsed_time_in_its_unit(tmp_path, header, scale):
    s = series_of(tmp_path, f"{header},x\n" + "".join(f"{k * 5},{k % 3}\n" for k in range(20)))
    assert s.time_base == "elapsed"
    assert np.allclose(s.time_s, 5 * scale * np.arange(20))
    assert s.channels == ("x",)


def test_zones_are_converted(tmp_path):
    s = series_of(tmp_path, "t,x\n2024-03-31T01:59:00+01:00,1\n2024-03-31T03:01:00+02:00,2\n")
    assert s.time_s.tolist() == [0, 120]
    assert s.epoch_s == dt.datetime(2024, 3, 31, 0, 59, tzinfo=dt.UTC).timestamp()
    assert not any("UTC" in n for n in s.notes)


@pytest.mark.parametrize(("first", "second", "day"), [("03/04/2024", "04/04/2024", 3), ("03/04/2024", "03/05/2024", 4)])
def test_day_and_month_are_told_apart_by_order(tmp_path, first, second, day):
    rows = "".join(f"{first} {h:02}:00:00,{h}\n" for h in range(24)) + "".join(f"{second} {h:02}:00:00,{h}\n" for h in range(24))
    s = series_of(tmp_path, "date,x\n" + rows)
    assert dt.datetime.fromtimestamp(s.epoch_s, dt.UTC).day == day
    assert s.time_s[-1] == 47 * 3600
    assert any("were read" in n for n in s.notes)


def test_date_and_time_in_two_columns(tmp_path):
    s = series_of(tmp_path, "Date;Time;x\n" + "".join(f"13.05.2024;{22 + k // 60:02}:{k % 60:02}:00;{k}\n" for k in range(100)))
    assert s.time_s.tolist() == [60.0 * k for k in range(100)]
    assert s.channels == ("x",)


def test_clock_times_run_over_midnight(tmp_path):
    s = series_of(tmp_path, "Time,x\n23:59:58,1\n23:59:59,2\n00:00:00,3\n00:00:01,4\n")
    assert s.time_base == "elapsed"
    assert s.time_s.tolist() == [0, 1, 2, 3]


def test_unsorted_duplicate_and_missing_times(tmp_path):
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


def test_rows_count_blank_lines_like_a_spreadsheet(tmp_path):
    s = series_of(tmp_path, "t,x\n0,1\n\n1,2\n,\n2,3\n")
    assert s.rows.tolist() == [1, 3, 5]


def test_labels_never_reach_the_values(tmp_path):
    s = series_of(
        tmp_path,
        "t,x,label,is_anomaly,changepoint,class,target\n"
        + "".join(f"{k},{k % 5},{k % 2},0,0,{k % 2},{k * 3}\n" for k in range(20)),
    )
    assert s.channels == ("x", "target")
    assert any("'label', 'is_anomaly', 'changepoint', 'class'" in n for n in s.notes)


def test_columns_without_numbers(tmp_path):
    s = series_of(tmp_path, "t,x,empty,state,flat\n" + "".join(f"{k},{k % 5},,OK,7\n" for k in range(20)))
    assert s.channels == ("x", "flat")
    notes = " ".join(s.notes)
    assert "'state'" in notes
    assert "'empty'" in notes


def test_infinity_and_words_for_missing(tmp_path):
    s = series_of(tmp_path, "t,x,y\n0,inf,1\n1,NaN,n/a\n2,-Infinity,3\n3,4,NULL\n4,5,?\n")
    assert np.isnan(s.values[:3, 0]).all()
    assert s.values[3:, 0].tolist() == [4, 5]
    assert np.isnan(s.values[[1, 3, 4], 1]).all()
    assert any("infinite" in n for n in s.notes)


def test_tables_without_header_or_time(tmp_path):
    s = series_of(tmp_path, "".join(f"{k * 0.5},{3 - k}\n" for k in range(10)))
    assert s.channels == ("column_1", "column_2")
    assert s.time_base == "index"
    assert s.rows.tolist() == list(range(1, 11))
    one = series_of(tmp_path, "".join(f"{k * 0.5}\n" for k in range(10)), name="one.txt")
    assert one.values[:, 0].tolist() == [k * 0.5 for k in range(10)]


def test_blanks_between_columns_and_a_commented_header(tmp_path):
    s = series_of(
        tmp_path, "# made by a logger\n# t  x  y\n" + "".join(f"  {k}   {k * 2.5:8.3f}  {-k}\n" for k in range(12)), name="a.txt"
    )
    assert s.channels == ("x", "y")
    assert s.time_s.tolist() == list(range(12))


def test_a_row_of_units(tmp_path):
    s = series_of(tmp_path, "t;U;I\ns;V;mA\n" + "".join(f"{k};{k},5;{k}\n" for k in range(10)))
    assert s.units == ("V", "mA")
    assert s.values[3].tolist() == [3.5, 3]


def test_thousands_and_percent(tmp_path):
    s = series_of(tmp_path, 't,x,y\n0,"1,234.5",10%\n1,"2,000,000",20 %\n')
    assert s.values.tolist() == [[1234.5, 10], [2_000_000, 20]]
    german = series_of(tmp_path, "t;x\n0;1.234,5\n1;2.000.000,25\n")
    assert german.values[:, 0].tolist() == [1234.5, 2_000_000.25]


def test_repeated_and_empty_headers(tmp_path):
    s = series_of(tmp_path, "t,x,x,\n" + "".join(f"{k},1,2,{k % 3}.5\n" for k in range(5)))
    assert len(set(s.channels)) == 3


def test_a_counting_index_is_no_channel(tmp_path):
    s = series_of(tmp_path, ",time,x\n" + "".join(f"{k},2024-01-01 00:00:{k:02},{k % 4}\n" for k in range(30)))
    assert s.channels == ("x",)


def test_stacked_series_are_parted(tmp_path):
    rows = "".join(
        f"{name},{START + dt.timedelta(minutes=k)},{k * factor}\n"
        for name, factor in (("pump <1>", 1), ("pump 2", 2))
        for k in range(30)
    )
    (tmp_path / "s.csv").write_text("series,timestamp,value\n" + rows)
    source = open_path(tmp_path / "s.csv")
    assert [s.name for s in source.samples] == ["s.csv:pump ‹1›", "s.csv:pump 2"]
    assert source.samples[1].rows[0] == 31
    assert source.samples[1].values[3, 0] == 6


def test_long_tables_are_spread(tmp_path):
    rows = "".join(
        f"{START + dt.timedelta(minutes=k)},{name},{k * factor}\n" for k in range(30) for name, factor in (("a", 1), ("b", 2))
    )
    s = series_of(tmp_path, "timestamp,sensor,value\n" + rows)
    assert s.channels == ("a", "b")
    assert s.values[4].tolist() == [4, 8]
    assert s.rows[:3].tolist() == [1, 3, 5]


def test_parquet_arrow_and_npz(tmp_path):
    frame = pl.DataFrame({
        "when": [START + dt.timedelta(seconds=k) for k in range(20)], "x": np.arange(20.0), "on": [k % 2 == 0 for k in range(20)],
        "name": ["a"] * 20, "label": [0] * 20,
    })  # fmt: skip
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_ipc(tmp_path / "a.arrow")
    for name in ("a.parquet", "a.arrow"):
        s = open_path(tmp_path / name).samples[0]
        assert s.channels == ("x", "on")
        assert s.time_s.tolist() == list(range(20))
        assert s.epoch_s == START.replace(tzinfo=dt.UTC).timestamp()
    np.savez(tmp_path / "a.npz", time=np.arange(50) * 0.1, x=np.ones(50), y=np.zeros(50), label=np.zeros(50))
    s = open_path(tmp_path / "a.npz").samples[0]
    assert s.channels == ("x", "y")
    assert s.period_s == pytest.approx(0.1)
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(30, 4)))
    assert open_path(tmp_path / "a.npy").samples[0].values.shape == (30, 4)


def test_npz_takes_the_test_part_and_says_so(tmp_path):
    np.savez(tmp_path / "a.npz", train=np.zeros((9, 2)), test=np.ones((5, 2)), test_label=np.zeros(5))
    source = open_path(tmp_path / "a.npz")
    assert source.samples[0].values.shape == (5, 2)
    assert any("'test'" in n and "'train'" in n for n in source.notes)
    np.savez(tmp_path / "b.npz", **{f"C-{k}__{part}": np.full((6, 3), k) for k in (1, 2) for part in ("train", "test")})
    assert [s.name for s in open_path(tmp_path / "b.npz").samples] == ["b.npz:C-1", "b.npz:C-2"]


def test_objects_in_npz_are_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    np.savez(tmp_path / "o.npz", bad=np.array([Trap()], dtype=object), good=np.ones((5, 2)))
    source = open_path(tmp_path / "o.npz")
    assert source.samples[0].values.shape == (5, 2)
    assert "'bad'" in " ".join(source.notes)
    np.save(tmp_path / "o.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(BadInput, match=r"o\.npy"):
        open_path(tmp_path / "o.npy")
    assert not (tmp_path / "ran").exists()


def test_ten_thousand_channels(tmp_path):
    values = np.random.default_rng(0).normal(size=(12, 10_000)).round(3)
    buffer = io.StringIO()
    buffer.write("t," + ",".join(f"s{k}" for k in range(10_000)) + "\n")
    for k, row in enumerate(values):
        buffer.write(f"{k}," + ",".join(map(str, row)) + "\n")
    s = series_of(tmp_path, buffer.getvalue())
    assert s.values.shape == (12, 10_000)
    assert np.allclose(s.values, values, atol=1e-3)


def test_a_late_text_does_not_spoil_a_column(tmp_path):
    rows = [f"{k},{k}" for k in range(9000)]
    rows[8000] = "8000,sensor broken"
    s = series_of(tmp_path, "t,x\n" + "\n".join(rows))
    assert np.isnan(s.values[8000, 0])
    assert np.isfinite(s.values).sum() == 8999


def test_summary_and_source(tmp_path):
    (tmp_path / "a.csv").write_text("time,x\n2024-05-01 10:00:00,1\n2024-05-01 10:00:10,\n2024-05-01 10:00:20,3\n")
    source = open_path(tmp_path / "a.csv")
    assert source.kind == "series"
    wanted = {"rows": 3, "channels": ["x"], "start": "2024-05-01T10:00:00Z", "end": "2024-05-01T10:00:20Z", "period_s": 10.0}
    assert {k: source.summary[k] for k in wanted} == wanted
    assert source.summary["missing_share"] == pytest.approx(1 / 3, abs=1e-6)


@pytest.mark.parametrize(("text", "message"), [
    ("", "empty file"), ("t,x\n", "rows of data"), ("t,x\n1,2\n", "at least two rows"), ("t,x\n2024-01-01,5", "at least two rows"),
    ("t,x\n0,\n1,\n2,\n", "every value is missing"), ("t,x\n0,nan\n1,nan\n", "every value is missing"), ("x\n", "rows of data"),
    ("Dear all,\nthis is a letter. It has no numbers.\n\nYours\n", "neither columns nor time stamps"), ("\n\n\n", "neither columns"),
])  # fmt: skip
def test_bad_tables_are_refused_in_one_sentence(tmp_path, text, message):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(BadInput, match=message) as caught:
        open_path(tmp_path / "bad.csv")
    assert str(caught.value).startswith("bad.csv: ")
    assert "\n" not in str(caught.value)


def test_damaged_columnar_files_are_refused(tmp_path):
    pl.DataFrame({"x": range(1000)}).write_parquet(tmp_path / "p.parquet")
    np.savez(tmp_path / "z.npz", x=np.arange(1000.0))
    np.save(tmp_path / "y.npy", np.ones((100, 3)))
    for name in ("p.parquet", "z.npz", "y.npy"):
        data = (tmp_path / name).read_bytes()
        for cut in (20, len(data) // 2, len(data) - 5):
            (tmp_path / name).write_bytes(data[:cut])
            with pytest.raises(BadInput, match=rf"^{name}"):
                open_path(tmp_path / name)
    pl.DataFrame({"x": []}).write_parquet(tmp_path / "e.parquet")
    with pytest.raises(BadInput, match="empty table"):
        open_path(tmp_path / "e.parquet")


def test_limits(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("t,x,y\n" + "".join(f"{k},1,2\n" for k in range(100)))
    monkeypatch.setattr("readers.series.limits", lambda: core.settings.Limits(max_series_rows=50))
    with pytest.raises(BadInput, match="more than the 50 rows allowed"):
        open_path(tmp_path / "a.csv")
    monkeypatch.setattr("readers.series.limits", lambda: core.settings.Limits(max_series_cells=120))
    with pytest.raises(BadInput, match="more than the 60 rows allowed"):
        open_path(tmp_path / "a.csv")
    monkeypatch.setattr("readers.table.limits", lambda: core.settings.Limits(max_series_channels=2))
    with pytest.raises(BadInput, match="3 columns"):
        open_path(tmp_path / "a.csv")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.text(max_size=300),
        st.lists(st.text(alphabet='0123456789.,;\t"\n -:eE/axNI\r', max_size=40), max_size=12).map("\n".join),
    )
)
def test_any_text_opens_or_is_refused_in_one_sentence(tmp_path, text):
    file = tmp_path / "any.csv"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    message = ""
    try:
        source = open_path(file)
    except BadInput as error:
        message = str(error)
    if message:
        assert message.startswith("any.csv: ")
        assert "\n" not in message
        assert "unusual sort" not in message
    else:
        assert source.kind in ("series", "events")
        assert source.summary["rows"] >= 1


def test_stamps_without_a_year():
    now = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
    times = without_year(["Dec 31 23:00:00", "Jan  1 01:00:00", "Feb 29 00:00:00", None, "Xxx 99 00:00:00"], now=now)
    years = [dt.datetime.fromtimestamp(t, dt.UTC).year for t in times.seconds[:3]]
    assert years == [2023, 2024, 2024]
    assert np.isnan(times.seconds[3:]).all()


STAMPS = [f"2024-05-01 10:{k // 60:02d}:{k % 60:02d}" for k in range(120)]


@pytest.mark.parametrize(("delimiter", "decimal"), [(",", "."), (";", ","), ("\t", ".")])
@pytest.mark.parametrize("full", [2, 5])
def test_rows_of_unequal_length_keep_the_columns_of_the_header(tmp_path, delimiter, decimal, full):
    """The blank inside the time stamps is the most regular delimiter here, and still none."""
    lines = [delimiter.join(("time", "a", "b"))]
    for k, stamp in enumerate(STAMPS):
        cells = [stamp, f"1{decimal}5"] + [f"2{decimal}5"] * (k % full == 0) + ["9", "9"] * (k % (5 * full) == 0)
        lines.append(delimiter.join(cells))
    s = series_of(tmp_path, "\n".join(lines))
    assert s.channels == ("a", "b")
    assert s.time_base == "clock"
    assert len(s.values) == 120
    assert (s.values[:, 0] == 1.5).all()
    assert np.flatnonzero(~np.isnan(s.values[:, 1])).tolist() == list(range(0, 120, full))
    assert any("unequal lengths" in n for n in s.notes)


def test_decimal_commas_between_blanks_stay_numbers(tmp_path):
    s = series_of(tmp_path, "a b c\n" + "".join(f"{k},5 2,25 -3,125\n" for k in range(60)))
    assert s.values[3].tolist() == [3.5, 2.25, -3.125]


def test_times_out_of_range_leave_a_series_by_rows(tmp_path):
    s = series_of(tmp_path, "time,a\n" + "".join(f"9999-12-31 23:00:{k:02d},{k}.5\n" for k in range(60)))
    assert (s.time_base, s.channels, len(s.values)) == ("index", ("a",), 60)
    assert any(n.startswith("The times in 'time' could not be read") and "9999" in n for n in s.notes)
    assert not any("No time column" in n for n in s.notes)


def test_odd_columns_of_a_parquet_file_are_left_out_by_name(tmp_path):
    frame = pl.DataFrame(
        {"t": pl.datetime_range(START, START + dt.timedelta(seconds=59), "1s", eager=True), "a": [float(k) for k in range(60)],
         "lst": [[1, 2]] * 60, "st": [{"q": 1, "r": "x"}] * 60, "bin": [b"ab"] * 60, "dur": [dt.timedelta(milliseconds=1500)] * 60,
         "kind": pl.Series(["x"] * 60).cast(pl.Categorical), "day": [START.date()] * 60, "tod": [START.time()] * 60,
         "arr": pl.Series([[1, 2]] * 60, dtype=pl.Array(pl.Int64, 2)), "dec": pl.Series(["1.25"] * 60).cast(pl.Decimal(10, 2))}
    )  # fmt: skip
    frame.write_parquet(tmp_path / "odd.parquet")
    source = open_path(tmp_path / "odd.parquet")
    s = source.samples[0]
    assert s.channels == ("a", "dur", "dec")
    assert s.units == ("", "s", "")
    assert s.values[5].tolist() == [5.0, 1.5, 1.25]
    assert "Left out because they hold lists, records or bytes: 'lst', 'st', 'bin', 'arr'." in s.notes
    assert "Durations were turned into seconds: 'dur'." in s.notes
    frame.select("lst").write_parquet(tmp_path / "only.parquet")
    with pytest.raises(BadInput, match="got only lists, records or bytes in 'lst'; unpack them"):
        open_path(tmp_path / "only.parquet", kind="series")
    (tmp_path / "none.json").write_text("{}")
    with pytest.raises(BadInput, match="got no column at all; export it again"):
        open_path(tmp_path / "none.json")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("array", "message"), [
    (np.zeros((9, 2), complex), "complex ones .*np.abs"), (np.zeros(9, [("a", "f8"), ("b", "i4")]), "records of several fields"),
    (np.array(["a", "b"]), "got text .*CSV"), (np.full((9, 2), 1e300), "every one is larger"), (np.full(9, -1e300), "every one is larger"),
    (np.zeros((0, 3)), "without any value"), (np.zeros((3, 4, 5)), "of shape 3×4×5; reshape"), (np.float64(3), "reshape"),
    (np.array([{}], dtype=object), "Python objects, which are never loaded"),
])  # fmt: skip
@pytest.mark.parametrize("form", ["npy", "npz"])
def test_arrays_that_are_no_readings_are_named(tmp_path, array, message, form):
    file = tmp_path / f"x.{form}"
    if form == "npy":
        np.save(file, array, allow_pickle=True)
    else:
        np.savez(file, x=array)
    with pytest.raises(BadInput, match=message) as caught:
        open_path(file)
    assert str(caught.value).startswith(f"x.{form}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("error")
def test_numbers_beyond_float_count_as_missing(tmp_path):
    values = np.arange(40.0).reshape(20, 2)
    values[3, 1] = 1e300
    np.save(tmp_path / "wide.npy", values)
    np.savez(tmp_path / "flat.npz", x=values[:, 1], y=values[:, 0].astype(">f8"))
    pl.DataFrame({"x": values[:, 1]}).write_parquet(tmp_path / "x.parquet")
    (tmp_path / "x.csv").write_text("x,y\n" + "".join(f"{v!r},1\n" for v in values[:, 1].tolist()))
    np.savez(tmp_path / "mixed.npz", x=values, z=values + 1j)
    for name in ("wide.npy", "flat.npz", "x.parquet", "x.csv", "mixed.npz"):
        s = open_path(tmp_path / name).samples[0]
        assert np.isnan(s.values).sum() == 1, name
        assert "1 number beyond ±3.4e38 count as missing." in s.notes, name
    assert "Left out because they hold complex numbers: 'z'." in s.notes


def test_archives_are_judged_by_their_headers(tmp_path, monkeypatch):
    def archive(name, shape, data, squeeze=zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / name, "w", squeeze) as file, file.open("a.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": shape})
            member.write(data)
        return tmp_path / name

    monkeypatch.setattr("readers.npy.np.lib.format.read_array", lambda *_, **__: pytest.fail("read"))
    for shape in ((10**9, 10), (-1, 2), (2**62, 2**62)):
        with pytest.raises(BadInput, match=r"cut off or damaged"):
            open_path(archive("liar.npz", shape, bytes(100)))
    monkeypatch.setattr("readers.npy.limits", lambda: core.settings.Limits(max_unpack_bytes=1_000_000))
    with pytest.raises(BadInput, match=r"unpacks from [\d,]+ to 8,000,\d+ bytes, allowed are 200 times"):
        open_path(archive("bomb.npz", (1_000_000, 1), bytes(8_000_000)))
    monkeypatch.setattr("readers.arrays.limits", lambda: core.settings.Limits(max_series_rows=100))
    for shape in ((101, 1), (101,)):
        with pytest.raises(BadInput, match="101 rows, allowed are 100"):
            open_path(archive("long.npz", shape, bytes(808)))
    monkeypatch.setattr("readers.npy.limits", lambda: core.settings.Limits(max_series_cells=100))
    np.savez(tmp_path / "sum.npz", x=np.zeros((20, 3)), y=np.zeros((20, 3)))
    with pytest.raises(BadInput, match="120 values, allowed are 100"):
        open_path(tmp_path / "sum.npz")
