"""Tables that are mapped instead of loaded: the same log comes out, whatever the form of the file, and nothing is left on the disk."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.errors import BadInput
from core.settings import limits
from readers.open import open_path
from readers.spool import spooled


@pytest.fixture
def mapped(monkeypatch, tmp_path):
    """Everything above two kilobytes is mapped, in a folder of its own."""
    place = tmp_path / "spool"
    place.mkdir()
    monkeypatch.setenv("TELLTALE_MAX_LOADED_BYTES", "2000")
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    limits.cache_clear()
    yield place
    limits.cache_clear()


def events(count: int) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    return pl.DataFrame({
        "time": [f"2024-05-01T10:{(i * 7 // 60) % 60:02d}:{(i * 7) % 60:02d}" for i in rng.permutation(count)],
        "user": [None if i % 50 == 7 else f"u{i % 9}" for i in range(count)], "action": ["read", "write", "delete"] * (count // 3),
        "file": [f"/data/{i % 40}.txt" for i in range(count)], "bytes": rng.integers(0, 10_000, count),
    })  # fmt: skip


def write(table: pl.DataFrame, path: Path) -> Path:
    if path.suffix == ".csv":
        table.write_csv(path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in table.iter_rows(named=True)) + "\n")
    else:
        table.with_columns(pl.col("action").cast(pl.Categorical)).write_parquet(path, row_group_size=100)
    return path


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "log.parquet"])
def test_a_mapped_log_is_the_loaded_one(tmp_path, name, request):
    path = write(events(600), tmp_path / name)
    loaded = open_path(path).samples[0]
    place = request.getfixturevalue("mapped")
    log = open_path(path).samples[0]
    assert log.table.equals(loaded.table)
    assert log.table.schema == loaded.table.schema
    assert log.roles == loaded.roles
    assert log.notes == loaded.notes
    assert (np.diff(log.table["time_s"].to_numpy()) >= 0).all()
    assert list(place.rglob("*")) == []  # mapped files have no name


def test_a_mapped_log_is_judged_alike(tmp_path, request):
    from tools.events.rarity import Rarity

    path = write(events(600), tmp_path / "log.csv")
    scores = Rarity().score([open_path(path).samples[0]])[0].scores
    request.getfixturevalue("mapped")
    np.testing.assert_array_equal(Rarity().score([open_path(path).samples[0]])[0].scores, scores)


def test_damaged_large_tables_are_refused_in_one_sentence(tmp_path, mapped):
    path = write(events(600), tmp_path / "log.parquet")
    whole = bytearray(path.read_bytes())
    whole[200:900] = bytes(700)
    path.write_bytes(whole)
    with pytest.raises(BadInput, match=r"log\.parquet"):
        open_path(path)
    assert list(mapped.rglob("*")) == []


def test_a_full_disk_is_said(tmp_path, mapped, monkeypatch):
    monkeypatch.setattr(
        pl.LazyFrame, "sink_ipc", lambda *args, **more: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(BadInput, match=r"No space left on device.*TELLTALE_MAX_LOADED_BYTES"):
        spooled(pl.LazyFrame({"a": [1]}), "big.csv")


MEASURE = """
import sys
from pathlib import Path
from readers.open import open_path

log = open_path(Path(sys.argv[1])).samples[0]
maps = [line for line in open("/proc/self/maps") if "table.arrow" in line]
print(log.table.height, len(maps), sum(line.rstrip().endswith("(deleted)") for line in maps))
"""


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what is mapped")
def test_a_large_log_is_mapped_and_its_file_has_no_name_any_more(tmp_path):
    path = write(events(6_000), tmp_path / "log.csv")
    for most, expected in (("100000", True), ("1000000000", False)):
        environment = {**os.environ, "TELLTALE_MAX_LOADED_BYTES": most}
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(path)], env=environment, capture_output=True, text=True, check=True
        )
        rows, maps, unnamed = (int(number) for number in done.stdout.split())
        assert rows == 6_000
        assert bool(maps) is expected
        assert maps == unnamed
