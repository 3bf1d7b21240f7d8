"""TripLLM on made-up series: planted faults, all rules, switches, hostile input; errors of overlapping windows against loops."""

import dataclasses
import itertools

import numpy as np
import pytest

from core.archive import restate
from core.errors import BadInput, BudgetExceeded, NotFitted, UnknownName
from core.progress import watching
from core.samples import Series
from tools.series import overlaps, trip_llm
from tools.series.overlaps import Windowing, step_errors
from tools.series.trip_llm import TripLLM

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {
    "window": 16,
    "hop": 4,
    "patches": (4, 8),
    "stride": 4,
    "body": "none",
    "updates": 150,
    "rate": 3e-3,
    "device": "cpu/fp32",
}


def waves(steps=600, channels=3, *, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(steps)[:, None] + 40 * seed
    return (np.sin(t / 4 + np.arange(channels)) + 0.1 * rng.standard_normal((steps, channels))).astype(np.float32)


def series(values, name="s", channels=None):
    names = channels or tuple(f"c{i}" for i in range(values.shape[1]))
    return Series(name=name, values=values, time_s=np.arange(len(values), dtype=np.float64), channels=names)


def faulty(channel=1, at=300, length=12):
    values = waves(seed=2)
    values[at : at + length, channel] += 2
    return values


@pytest.fixture(scope="module")
def learned():
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    detector = TripLLM(**SMALL).fit([series(waves(seed=1))])
    torch.set_num_threads(threads)
    return detector


def ruled(learned, rule, hop, tmp_path):
    """The same network scoring otherwise."""
    learned.save(tmp_path / "a.npz")
    restate(tmp_path / "a.npz", tmp_path / "b.npz", name="trip_llm", rule=rule, hop=hop)
    return TripLLM.load(tmp_path / "b.npz")


@pytest.mark.parametrize(("rule", "hop"), [("average", 4), ("average", 1), ("window", 4), ("window", 1), ("last", 1)])
def test_a_shift_is_found_and_its_channel_blamed(learned, rule, hop, tmp_path):
    found = ruled(learned, rule, hop, tmp_path).score([series(faulty())])[0]
    late = 16 if rule == "last" else 0
    assert 296 <= int(found.scores.argmax()) < 316 + late
    assert int(found.channels[300:312].sum(axis=0).argmax()) == 1
    np.testing.assert_allclose(found.channels.sum(axis=1), found.scores, rtol=1e-5)


def test_the_papers_rule_is_the_windows_mean_error_at_its_last_step(learned, tmp_path):
    detector = ruled(learned, "last", 1, tmp_path)
    values = waves(60, seed=3)
    found = detector.score([series(values)])[0]
    scale = detector._scale
    z = np.clip((values - scale.mean) / scale.spread, -detector.clip, detector.clip).astype(np.float32)
    for t in (15, 16, 40, 59):
        window = z[None, t - 15 : t + 1]
        error = ((detector._rebuilt(window) - window) ** 2)[0].mean(axis=0)
        assert found.scores[t] == pytest.approx(error @ detector._weights, rel=1e-4)
    assert not found.scores[:15].any()
    assert not found.valid[:15].any()
    assert found.valid[15:].all()


@pytest.mark.parametrize("rule", ["average", "window"])
def test_a_step_gets_the_mean_over_its_windows_of_its_own_or_their_whole_error(learned, rule):
    values = waves(37, seed=3)
    errors, _ = learned.scored_by(rule=rule, hop=4, balanced=True)._errors(values)
    z = np.clip((values - learned._scale.mean) / learned._scale.spread, -learned.clip, learned.clip).astype(np.float32)
    starts = [0, 4, 8, 12, 16, 20, 21]
    rebuilt = learned._rebuilt(np.stack([z[a : a + 16] for a in starts]))
    for t in (0, 5, 20, 36):
        squares = [(t - a, (rebuilt[i] - z[a : a + 16]) ** 2) for i, a in enumerate(starts) if a <= t < a + 16]
        of = [square[place] if rule == "average" else square.mean(axis=0) for place, square in squares]
        np.testing.assert_allclose(errors[t], np.mean(of, axis=0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rule", ["average", "window", "last"])
@pytest.mark.parametrize("hop", [1, 3, 5])
@pytest.mark.parametrize("cuts", [[], [2], [5, 6, 17], [9]])
def test_blocks_of_any_size_give_the_errors_of_one(rule, hop, cuts, monkeypatch):
    monkeypatch.setattr(overlaps, "AT_ONCE", 4)
    z = np.random.default_rng(0).normal(size=(23, 2)).astype(np.float32)
    edges = [0, *cuts, len(z)]
    blocks = ((a, z[a:b]) for a, b in itertools.pairwise(edges))
    found = step_errors(blocks, z.shape, np.zeros_like, Windowing(length=5, hop=hop, rule=rule))
    starts = sorted({*range(0, 19, hop), 18})
    expected = np.zeros_like(z)
    for t in range(23):
        if rule == "average":
            expected[t] = z[t] ** 2  # every window rebuilds it as 0
        elif rule == "window":
            expected[t] = np.mean([(z[a : a + 5] ** 2).mean(axis=0) for a in starts if a <= t < a + 5], axis=0)
        elif t >= 4:
            start = next(a for a in starts if a + 4 >= t)  # the first window that ends there or later
            expected[t] = (z[start : start + 5] ** 2).mean(axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_long_series_is_prepared_in_blocks_with_equal_scores(learned, monkeypatch):
    values = waves(500, seed=4)
    values[90:200, 0] = np.nan
    values[130:140] = np.nan
    whole = learned.score([series(values)])[0]
    monkeypatch.setattr(trip_llm, "BLOCK_NUMBERS", 3 * 37)
    parts = learned.score([series(values)])[0]
    np.testing.assert_allclose(parts.channels, whole.channels, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(parts.valid, whole.valid)
    assert not whole.valid[130:140].any()
    assert not whole.scores[130:140].any()
    assert (whole.channels[115:128, 0] > 10 * np.median(whole.channels[:, 0])).all()  # long silent


def test_shorter_than_a_window_is_scored_and_too_short_to_learn_from_is_refused(learned):
    for steps in (1, 2, 15):
        found = learned.score([series(waves(steps))])[0]
        assert found.scores.shape == (steps,)
    with pytest.raises(BadInput, match=r"at least 32 rows, two windows, got 31.*window_pca"):
        TripLLM(**SMALL).fit([series(waves(31))])
    assert len(TripLLM(**{**SMALL, "updates": 1}).fit([series(waves(31)), series(waves(32))]).reference_scores()) == 16


def test_a_constant_channel_and_a_single_one_are_learned_and_a_move_of_the_constant_is_seen():
    still = waves(seed=1)
    still[:, 2] = 7.0
    detector = TripLLM(**SMALL).fit([series(still)])
    moved = waves(seed=2)
    moved[:, 2] = 7.0
    calm = detector.score([series(moved.copy())])[0]
    moved[300:310, 2] = 7.5
    found = detector.score([series(moved)])[0]
    assert np.isfinite(found.scores).all()
    assert int(found.channels[300:310].sum(axis=0).argmax()) == 2
    assert found.scores[300:310].min() > calm.scores.max()
    alone = TripLLM(**SMALL).fit([series(waves(seed=1, channels=1))]).score([series(waves(seed=2, channels=1))])[0]
    assert alone.channels.shape == (600, 1)
    flat = TripLLM(**{**SMALL, "updates": 5}).fit([series(np.full((64, 2), 3, np.float32))])
    assert np.isfinite(flat.score([series(np.full((64, 2), 3, np.float32))])[0].scores).all()


def test_ten_thousand_channels_are_refused_and_window_pca_is_named():
    with pytest.raises(BadInput, match=r"at most 1,000 channels, got 10,000.*window_pca"):
        TripLLM(**SMALL).fit([series(np.zeros((40, 10_000), np.float32))])


def test_a_series_without_readings_or_with_other_channels_is_refused(learned):
    with pytest.raises(BadInput, match="every value is missing"):
        learned.score([series(np.full((40, 3), np.nan, np.float32))])
    with pytest.raises(BadInput, match="it lacks 'c2'"):
        learned.score([series(waves(40, channels=2))])
    swapped = learned.score([series(faulty()[:, [2, 1, 0]], channels=("c2", "c1", "c0"))])[0]
    straight = learned.score([series(faulty())])[0]
    np.testing.assert_array_equal(swapped.channels[:, [2, 1, 0]], straight.channels)


def test_infinite_readings_never_reach_it():
    values = waves(40)
    values[3, 0] = np.inf
    with pytest.raises(BadInput, match="infinity"):
        series(values)


@pytest.mark.parametrize(
    "wrong",
    [{"window": 1}, {"patches": ()}, {"hop": 0}, {"hop": 17}, {"rule": "first"}, {"clip": 0}, {"rate": 0}, {"updates": 0}, {"batch": 0},
     {"window": 17}, {"stride": 5}, {"patches": (8, 4)}],
)  # fmt: skip
def test_wrong_values_are_refused(wrong):
    with pytest.raises(BadInput, match=r"expected|in no patch"):
        TripLLM(**{**SMALL, **wrong})


def test_before_fit_nothing_is_scored_or_saved(tmp_path):
    with pytest.raises(NotFitted):
        TripLLM().score([series(waves(60))])
    with pytest.raises(NotFitted):
        TripLLM().save(tmp_path / "a.npz")
    assert len(TripLLM().reference_scores()) == 0


def test_seeds_are_told_apart_and_unbalanced_errors_are_the_plain_ones():
    one, other = (TripLLM(**{**SMALL, "updates": 20, "seed": seed}).fit([series(waves(seed=1))]) for seed in (0, 1))
    assert not np.array_equal(one.reference_scores(), other.reference_scores())
    plain = TripLLM(**{**SMALL, "updates": 20, "balanced": False}).fit([series(waves(seed=1))])
    found = plain.score([series(waves(seed=2))])[0]
    errors, _ = plain._errors(waves(seed=2))
    np.testing.assert_allclose(found.scores, errors.mean(axis=1), rtol=1e-5)
    balanced = one.score([series(waves(seed=2))])[0]
    np.testing.assert_allclose(balanced.channels / one._weights / 3, found.channels, rtol=1e-5)


def with_switch(values, *, seed):
    """Two more channels: a flag thrown at random, as often in any part, and one that never moves."""
    flag = (np.random.default_rng(seed).random(len(values)) < 0.1).astype(np.float32)
    return np.column_stack([values, flag, np.full(len(values), 3, np.float32)])


def test_switches_are_looked_at_and_not_judged_unless_asked_for(tmp_path):
    normal, test = with_switch(waves(seed=1), seed=1), with_switch(faulty(), seed=2)
    detector = TripLLM(**SMALL).fit([series(normal)])
    assert detector._judged.tolist() == [True, True, True, False, True]
    found = detector.score([series(test)])[0]
    assert not found.channels[:, 3].any()
    assert 290 <= int(found.scores.argmax()) < 322
    detector.save(tmp_path / "a.npz")
    np.testing.assert_array_equal(TripLLM.load(tmp_path / "a.npz").score([series(test)])[0].scores, found.scores)
    judging = TripLLM(**SMALL, switches="judged").fit([series(normal)])
    assert judging.score([series(test)])[0].channels[:, 3].any()


def test_a_channel_that_never_moved_counts_when_it_moves_and_only_then():
    detector = TripLLM(**SMALL).fit([series(with_switch(waves(seed=1), seed=1))])
    still = with_switch(waves(seed=2), seed=2)
    assert not detector.score([series(still)])[0].channels[:, 4].any()
    moved = still.copy()
    moved[200:210, 4] = 4
    found = detector.score([series(moved)])[0]
    assert 184 < int(found.scores.argmax()) < 226
    assert int(found.channels[200:210].sum(axis=0).argmax()) == 4


def test_a_series_of_nothing_but_switches_is_judged_by_them():
    flags = with_switch(waves(seed=1), seed=1)[:, 3:]
    detector = TripLLM(**SMALL).fit([series(flags)])
    assert detector._judged.all()
    assert np.isfinite(detector.score([series(flags)])[0].scores).all()


def test_training_tells_its_progress_and_ends_with_the_budget():
    seen = []
    with watching(lambda what, done, total: seen.append((what, done, total))):
        TripLLM(**{**SMALL, "updates": 10}).fit([series(waves(seed=1))])
    done = [done for what, done, total in seen if (what, total) == ("training steps", 10)]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (1, 10)
    with pytest.raises(BudgetExceeded), watching(budget_s=0.0):
        TripLLM(**SMALL).fit([series(waves(seed=1))])


def test_a_body_that_is_not_here_is_told_at_fit(tmp_path, monkeypatch):
    monkeypatch.setenv("TELLTALE_HOME", str(tmp_path))
    with pytest.raises(UnknownName, match="telltale models pull"):
        TripLLM(body="gpt2").fit([series(waves(200))])


def test_weights_of_another_network_are_refused(learned, tmp_path):
    learned.save(tmp_path / "a.npz")
    restate(tmp_path / "a.npz", tmp_path / "b.npz", name="trip_llm", patches=(4, 12))
    with pytest.raises(BadInput, match="fit it anew"):
        TripLLM.load(tmp_path / "b.npz")
    assert dataclasses.asdict(learned.spec)["needs_fit"]
