"""Sensor series as tables of text: dialects, headers, units, labels, gaps, sizes, and everything that can be wrong with a table."""

import datetime as dt
import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import core.settings
from core.errors import BadInput
from readers.open import open_path

START = dt.datetime(2024, 5, 13, 22, 58, 30)


def test_the_usual_table(series_of, tmp_path):
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
def test_every_dialect_gives_the_same_numbers(series_of, tmp_path, dialect, count, random):
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


def test_rows_count_blank_lines_like_a_spreadsheet(series_of, tmp_path):
    s = series_of(tmp_path, "t,x\n0,1\n\n1,2\n,\n2,3\n")
    assert s.rows.tolist() == [1, 3, 5]


def test_labels_never_reach_the_values(series_of, tmp_path):
    s = series_of(
        tmp_path,
        "t,x,label,is_anomaly,changepoint,class,target\n"
        + "".join(f"{k},{k % 5},{k % 2},0,0,{k % 2},{k * 3}\n" for k in range(20)),
    )
    assert s.channels == ("x", "target")
    assert any("'label', 'is_anomaly', 'changepoint', 'class'" in n for n in s.notes)


def test_columns_without_numbers(series_of, tmp_path):
    s = series_of(tmp_path, "t,x,empty,state,flat\n" + "".join(f"{k},{k % 5},,OK,7\n" for k in range(20)))
    assert s.channels == ("x", "flat")
    notes = " ".join(s.notes)
    assert "'state'" in notes
    assert "'empty'" in notes


def test_infinity_and_words_for_missing(series_of, tmp_path):
    s = series_of(tmp_path, "t,x,y\n0,inf,1\n1,NaN,n/a\n2,-Infinity,3\n3,4,NULL\n4,5,?\n")
    assert np.isnan(s.values[:3, 0]).all()
    assert s.values[3:, 0].tolist() == [4, 5]
    assert np.isnan(s.values[[1, 3, 4], 1]).all()
    assert any("infinite" in n for n in s.notes)


def test_tables_without_header_or_time(series_of, tmp_path):
    s = series_of(tmp_path, "".join(f"{k * 0.5},{3 - k}\n" for k in range(10)))
    assert s.channels == ("column_1", "column_2")
    assert s.time_base == "index"
    assert s.rows.tolist() == list(range(1, 11))
    one = series_of(tmp_path, "".join(f"{k * 0.5}\n" for k in range(10)), name="one.txt")
    assert one.values[:, 0].tolist() == [k * 0.5 for k in range(10)]


def test_blanks_between_columns_and_a_commented_header(series_of, tmp_path):
    s = series_of(
        tmp_path, "# made by a logger\n# t  x  y\n" + "".join(f"  {k}   {k * 2.5:8.3f}  {-k}\n" for k in range(12)), name="a.txt"
    )
    assert s.channels == ("x", "y")
    assert s.time_s.tolist() == list(range(12))


def test_a_row_of_units(series_of, tmp_path):
    s = series_of(tmp_path, "t;U;I\ns;V;mA\n" + "".join(f"{k};{k},5;{k}\n" for k in range(10)))
    assert s.units == ("V", "mA")
    assert s.values[3].tolist() == [3.5, 3]


def test_thousands_and_percent(series_of, tmp_path):
    s = series_of(tmp_path, 't,x,y\n0,"1,234.5",10%\n1,"2,000,000",20 %\n')
    assert s.values.tolist() == [[1234.5, 10], [2_000_000, 20]]
    german = series_of(tmp_path, "t;x\n0;1.234,5\n1;2.000.000,25\n")
    assert german.values[:, 0].tolist() == [1234.5, 2_000_000.25]


def test_repeated_and_empty_headers(series_of, tmp_path):
    s = series_of(tmp_path, "t,x,x,\n" + "".join(f"{k},1,2,{k % 3}.5\n" for k in range(5)))
    assert len(set(s.channels)) == 3


def test_a_counting_index_is_no_channel(series_of, tmp_path):
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


def test_long_tables_are_spread(series_of, tmp_path):
    rows = "".join(
        f"{START + dt.timedelta(minutes=k)},{name},{k * factor}\n" for k in range(30) for name, factor in (("a", 1), ("b", 2))
    )
    s = series_of(tmp_path, "timestamp,sensor,value\n" + rows)
    assert s.channels == ("a", "b")
    assert s.values[4].tolist() == [4, 8]
    assert s.rows[:3].tolist() == [1, 3, 5]


def test_ten_thousand_channels(series_of, tmp_path):
    values = np.random.default_rng(0).normal(size=(12, 10_000)).round(3)
    buffer = io.StringIO()
    buffer.write("t," + ",".join(f"s{k}" for k in range(10_000)) + "\n")
    for k, row in enumerate(values):
        buffer.write(f"{k}," + ",".join(map(str, row)) + "\n")
    s = series_of(tmp_path, buffer.getvalue())
    assert s.values.shape == (12, 10_000)
    assert np.allclose(s.values, values, atol=1e-3)


def test_a_late_text_does_not_spoil_a_column(series_of, tmp_path):
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


STAMPS = [f"2024-05-01 10:{k // 60:02d}:{k % 60:02d}" for k in range(120)]


@pytest.mark.parametrize(("delimiter", "decimal"), [(",", "."), (";", ","), ("\t", ".")])
@pytest.mark.parametrize("full", [2, 5])
def test_rows_of_unequal_length_keep_the_columns_of_the_header(series_of, tmp_path, delimiter, decimal, full):
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


def test_decimal_commas_between_blanks_stay_numbers(series_of, tmp_path):
    s = series_of(tmp_path, "a b c\n" + "".join(f"{k},5 2,25 -3,125\n" for k in range(60)))
    assert s.values[3].tolist() == [3.5, 2.25, -3.125]
