"""Sensor series in columns and arrays (Parquet, Arrow, npy, npz): what is taken, what is left out by name, and what is never unpacked."""

import datetime as dt
import zipfile

import numpy as np
import polars as pl
import pytest

import core.settings
from core.errors import BadInput
from readers.open import open_path

START = dt.datetime(2024, 5, 13, 22, 58, 30)


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
