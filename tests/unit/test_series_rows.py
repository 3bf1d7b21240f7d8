import numpy as np
import pytest

from benchmarks import tasks_series
from benchmarks.series_sets import Entity, as_series
from metrics.pate import pate
from metrics.vus import vus_pr


@pytest.fixture
def entity(monkeypatch):
    labels = np.zeros(300, np.int64)
    labels[200:220] = 1
    lagging = np.roll(labels, 30).astype(np.float32)
    methods = {title: (lambda entity, seed: (lagging, None), ()) for title in ("lagging", "window_pca, shapes")}
    monkeypatch.setattr(
        tasks_series, "METHODS", methods | {"flat": (lambda entity, seed: (np.zeros(300, np.float32), None), (0, 1))}
    )
    values = np.zeros((300, 2), np.float32)
    return Entity(name="one", normal=as_series("one start", values), test=as_series("one", values), labels=labels)


def rows(name, entity):
    return {
        row.method: row for row in tasks_series.ranking(name, [entity], tasks_series.METHODS, quick=False) if "(1)" in row.data
    }


def test_ranking_rows_carry_the_measures_of_near_misses(entity):
    found = rows("msl", entity)["lagging"].metrics
    scores = np.roll(entity.labels, 30)
    assert list(found) == ["auroc", "ap", "pate", "vus_pr"]
    assert found["pate"] == pytest.approx(pate(entity.labels, scores, early=100, late=100))
    assert found["vus_pr"] == pytest.approx(vus_pr(entity.labels, scores, window=100))
    assert found["ap"] < min(found["vus_pr"], found["pate"]) < 1
    assert rows("skab", entity)["lagging"].metrics["pate"] == pytest.approx(pate(entity.labels, scores, early=60, late=60))


def test_rows_say_what_was_chosen_on_them_and_where_a_measure_flatters(entity):
    nab = rows("nab", entity)
    assert "development set for this row" in nab["window_pca, shapes"].note
    assert nab["lagging"].note == ""
    assert rows("msl", entity)["window_pca, shapes"].note == ""
    assert "development set" in rows("skab", entity)["lagging"].note
    assert nab["flat"].note == "all scores equal in 1 of 1: PATE flatters that"
