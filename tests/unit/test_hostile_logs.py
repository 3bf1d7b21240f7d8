"""Logs as they come: clocks in several zones, copies of rows, processes that start themselves or each other, one event alone."""

import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from office_log import make, office

from core.samples import EventLog
from readers.open import open_path
from tools.events.fused import FusedPaths
from tools.events.gid import Gid
from tools.events.rarity import Rarity
from tools.events.sequences import Sequences

DETECTORS = [Rarity, Gid, FusedPaths, Sequences]


@pytest.fixture(scope="module")
def fitted():
    normal = [make(office(seed), name=f"day {seed}") for seed in range(3)]
    return {kind: kind().fit(normal) for kind in DETECTORS}


def test_offsets_of_several_zones_are_one_clock(tmp_path: Path):
    path = tmp_path / "log.csv"
    stamps = ["2024-05-01T10:00:00+02:00", "2024-05-01T09:00:30+01:00", "2024-05-01T08:01:00Z", "2024-05-01T03:01:30-05:00"] * 5
    rows = [f"{stamp},ann,read,{i}.txt" for i, stamp in enumerate(stamps)]
    path.write_text("time,user,action,file\n" + "\n".join(rows) + "\n")
    log = open_path(path).samples[0]
    assert sorted(set(log.table["time_s"].to_list())) == [0.0, 30.0, 60.0, 90.0]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_log_with_another_separator_than_its_name_says_is_read(tmp_path: Path, separator):
    path = tmp_path / "log.csv"
    rows = [(f"2024-05-01 10:00:0{i % 10}", f"u{i % 3}", "read, then write", f"{i}.txt") for i in range(30)]
    path.write_text("\n".join(separator.join(row) for row in [("time", "user", "action", "file"), *rows]) + "\n")
    log = open_path(path).samples[0]
    assert log.roles == {"subject": "user", "operation": "action", "object": "file"}
    assert log.table["operation"].unique().to_list() == ["read, then write"]


@pytest.mark.parametrize("kind", DETECTORS)
def test_copies_of_rows_score_as_the_row_does_and_change_no_other(fitted, kind):
    rows = office(7)
    once = fitted[kind].score([make(rows)])[0].scores
    twice = fitted[kind].score([make([row for row in rows for _ in range(2)])])[0]
    assert np.isfinite(twice.scores).all()
    if kind is not Sequences:  # a course of events in which each comes twice is another one
        np.testing.assert_allclose(twice.scores[::2], twice.scores[1::2], rtol=1e-5)
        assert np.corrcoef(twice.scores[::2], once)[0, 1] > 0.95


@pytest.mark.parametrize("kind", DETECTORS)
def test_processes_that_start_themselves_and_each_other_end_somewhere(fitted, kind):
    ring = [(f"C:\\p{i}.exe", "create_process", f"C:\\p{(i + 1) % 5}.exe", f"P{i}", f"P{(i + 1) % 5}") for i in range(5)]
    itself = [("C:\\p0.exe", "create_process", "C:\\p0.exe", "P0", "P0")] * 3
    missing = [("C:\\orphan.exe", "connect", "203.0.113.9:443", "nobody started me", "")]
    found = fitted[kind].score([make(office(8)[:100] + ring * 4 + itself + missing)])[0]
    assert np.isfinite(found.scores).all()
    assert len(found.scores) == 124
    assert all(len(set(path.rows)) == len(path.rows) for path in found.paths)


@pytest.mark.parametrize("kind", [Rarity, Gid, FusedPaths])
def test_a_single_event_is_scored(fitted, kind):
    log = make([("C:\\Users\\ann\\pay.exe", "connect", "203.0.113.9:8443", "P", "")])
    assert fitted[kind].score([log])[0].scores.shape == (1,)
    assert np.isfinite(kind().score([log])[0].scores).all()


def test_clocks_of_hosts_that_disagree_leave_every_event_scored(fitted):
    rows = office(9)
    hosts = [f"H{i % 3}" for i in range(len(rows))]
    log = make(rows, host=hosts)
    skewed = log.table.with_columns(pl.col("time_s") + pl.col("host").replace_strict({"H0": 0.0, "H1": -3600.0, "H2": 86400.0}))
    for kind in DETECTORS:
        found = fitted[kind].score([EventLog(name="skewed", roles={}, table=skewed.sort("time_s"))])[0]
        assert np.isfinite(found.scores).all()
        assert sorted(found.rows.tolist()) == list(range(1, len(rows) + 1))


def test_half_a_million_distinct_entities_are_ranked_in_a_minute_of_work(fitted):
    count = 250_000
    table = pl.DataFrame({"n": pl.int_range(count, eager=True)}).select(
        (pl.col("n") + 1).alias("row"), (pl.col("n") * 0.01).alias("time_s"),
        pl.format("C:\\bin\\tool{}.exe", pl.col("n") % 500).alias("subject"),
        pl.lit("create_file").alias("operation"), pl.format("C:\\data\\{}.bin", "n").alias("object"),
        pl.format("<{}>", "n").alias("subject_id"), pl.lit("").alias("object_id"),
    )  # fmt: skip
    log = EventLog(name="many", roles={}, table=table)
    for kind in (Rarity, Gid):
        before = time.process_time()
        found = fitted[kind].score([log])[0]
        assert np.isfinite(found.scores).all()
        assert time.process_time() - before < 60
