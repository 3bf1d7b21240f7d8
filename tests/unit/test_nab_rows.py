"""The NAB suite: what is streamed, when a score is known, onsets of alarms, and its own labels."""

import numpy as np
import pytest

from benchmarks import series_sets, tasks_nab
from benchmarks.run import DATA
from benchmarks.series_sets import Labelled
from benchmarks.tasks_nab import METHODS, REMEMBERED, onsets

pytestmark = pytest.mark.usefixtures("one_thread")


def recording(*, jump=1_500, size=2_000, seed=0):
    values = np.sin(np.arange(size) / 9) + np.random.default_rng(seed).normal(0, 0.1, size)
    values[jump : jump + 40] += 8
    return Labelled(name="r", values=values.astype(np.float32), windows=((jump - 20, jump + 100),))


@pytest.mark.parametrize("seed", range(5))
def test_onsets_are_the_records_of_the_last_steps(seed):
    scores = np.random.default_rng(seed).integers(0, 50, 1_500).astype(np.float32)
    for step, found in enumerate(onsets(scores)):
        before = scores[max(0, step - REMEMBERED) : step]
        assert found == (scores[step] if not len(before) or scores[step] > before.max() else 0)


def test_alarms_that_go_on_are_one():
    alarms = np.zeros(2_000, bool)
    alarms[[10, 11, 300, 702, 1_102, 1_900]] = True
    assert np.flatnonzero(tasks_nab._starts(alarms)).tolist() == [10, 702, 1_900]


@pytest.mark.parametrize("method", ["z-score", "window_pca, streamed", "ensemble, streamed"])
def test_streamed_scores_know_nothing_of_what_comes(method):
    whole = recording()
    changed = Labelled(name="r", values=whole.values.copy(), windows=whole.windows)
    changed.values[1_000:] = 3
    ask = METHODS[method][0]
    one, other = ask(whole, 0), ask(changed, 0)
    np.testing.assert_allclose(one.scores[:1_000], other.scores[:1_000], rtol=1e-3, atol=1e-3)
    assert 1_500 <= int(one.scores.argmax()) < 1_600
    assert not one.scores[:300].any()


def test_rows_give_the_profiles_and_our_own_threshold(monkeypatch):
    both = [recording(), recording(jump=900, seed=1)]
    monkeypatch.setattr(series_sets, "nab_recordings", lambda data: both)
    found = {row.method: row for row in tasks_nab.rows(None, quick=False)}
    best = found["window_pca, streamed, onsets"]
    assert set(best.metrics) == {"standard", "low FP", "low FN", "own threshold"}
    assert best.metrics["standard"] > 90
    assert best.metrics["standard"] >= best.metrics["own threshold"]
    assert found["random"].trivial
    assert found["random"].seeds == (0, 1, 2)
    assert "not comparable" in found["ensemble, no history"].note
    assert found["Numenta HTM (published)"].metrics == {"standard": 70.10, "low FP": 63.12, "low FN": 74.32}


@pytest.mark.data
def test_its_recordings_and_windows_are_all_there():
    if not (DATA / "nab").is_dir():
        pytest.skip("TELLTALE_DATA has no nab")
    found = series_sets.nab_recordings(DATA)
    assert len(found) == 58
    assert sum(len(one.windows) for one in found) == 116
    assert sum(not one.windows for one in found) == 6
