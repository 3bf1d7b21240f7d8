"""Real attack captures: the payload's lineage is among the first things shown, with and without history."""

import os
import pathlib

import numpy as np
import polars as pl
import pytest

from core.samples import EventLog
from metrics.ranking import auroc, average_precision
from readers.open import open_path
from tools.events.gid import Gid
from tools.events.rarity import Rarity

DATA = pathlib.Path(os.environ.get("TELLTALE_DATA", pathlib.Path(__file__).parents[3] / "shared" / "data"))
FOLDER = DATA / "otrf_sysmon"
LSASS = ("lsass01_mimikatz", "lsass02_procdump", "lsass03_comsvcs", "lsass04_outminidump")

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="real data set otrf_sysmon not found under TELLTALE_DATA"),
]


@pytest.fixture(scope="module")
def captures():
    found = {}
    for path in sorted(FOLDER.glob("*.parquet")):
        labels = pl.read_parquet(path, columns=["label", "harness"]).with_row_index("row", 1)
        found[path.stem] = (open_path(path).samples[0], labels)
    return found


def part(capture, keep):
    log, labels = capture
    rows = labels.filter(keep)["row"].to_list()
    return EventLog(name=log.name, roles=log.roles, table=log.table.filter(pl.col("row").is_in(rows)))


def of_attack(capture):
    labels = dict(capture[1].select("row", "label").iter_rows())
    return lambda rows: np.mean([labels[r] for r in rows]) >= 0.5


def test_with_history_the_payload_lineage_leads_and_events_are_ranked(captures):
    quality = []
    for name in LSASS:
        normal = [part(c, pl.col("label") == 0) for n, c in captures.items() if n != name]
        found = Rarity().fit(normal).score([part(captures[name], pl.col("harness") == 0)])[0]
        attack = of_attack(captures[name])
        assert any(attack(p.rows) for p in found.paths[:3]), name
        assert any(attack(e.rows) for e in found.entities[:3]), name
        assert any("payload" in step or "happy_image" in step for path in found.paths[:3] for step in path.steps), name
        truth = dict(captures[name][1].select("row", "label").iter_rows())
        labels = np.array([truth[r] for r in found.rows.tolist()])
        quality.append((auroc(labels, found.scores), average_precision(labels, found.scores)))
    area, precision = np.mean(quality, axis=0)
    assert area >= 0.97
    assert precision >= 0.37


@pytest.mark.parametrize("name", LSASS)
def test_without_history_the_payload_lineage_is_in_the_top_three(captures, name):
    found = Rarity().score([part(captures[name], pl.col("harness") == 0)])[0]
    attack = of_attack(captures[name])
    assert any(attack(p.rows) for p in found.paths[:3])
    assert any(attack(e.rows) for e in found.entities[:3])


def test_the_whole_file_as_a_person_drops_it_in(captures):
    """Nothing removed, not even the recording's own tooling."""
    hits = []
    for name in LSASS:
        found = Rarity().score([captures[name][0]])[0]
        attack = of_attack(captures[name])
        hits.append(any(attack(x.rows) for x in (*found.paths[:3], *found.entities[:3])))
    assert all(hits)


def test_paths_of_flow_lead_through_the_attack(captures):
    quality, led = [], []
    for name in LSASS:
        normal = [part(c, pl.col("label") == 0) for n, c in captures.items() if n != name]
        found = Gid().fit(normal).score([part(captures[name], pl.col("harness") == 0)])[0]
        attack = of_attack(captures[name])
        led.append(any(attack(p.rows) for p in found.paths[:5]))
        truth = dict(captures[name][1].select("row", "label").iter_rows())
        labels = np.array([truth[r] for r in found.rows.tolist()])
        quality.append((auroc(labels, found.scores), average_precision(labels, found.scores)))
    area, precision = np.mean(quality, axis=0)
    assert sum(led) >= 3
    assert area >= 0.93
    assert precision >= 0.45
