"""Thresholds of small unlabelled batches: odd members do not hide each other, and good batches stay quiet."""

import numpy as np
import pytest

from core.calibrate import among_many, from_majority

SPREAD = 0.05


def batch(good, odd, seed):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(0.4, SPREAD, good), rng.normal(0.9, SPREAD, odd)]).astype(np.float32)


@pytest.mark.parametrize(("good", "odd"), [(2, 1), (7, 3), (5, 5), (6, 4), (30, 20)])
def test_odd_members_are_found_and_do_not_hide_each_other(good, odd):
    for seed in range(20):
        scores = batch(good, odd, seed)
        flagged = scores > from_majority(scores, usual_spread=SPREAD).threshold
        assert flagged[good:].all()


@pytest.mark.parametrize("count", [3, 5, 10, 20, 100])
def test_a_batch_of_good_things_is_seldom_flagged(count):
    alarms = 0
    for seed in range(200):
        scores = batch(count, 0, seed)
        alarms += bool((scores > from_majority(scores, usual_spread=SPREAD).threshold).any())
    assert alarms <= 20


def test_between_ordinary_and_abnormal_lies_a_band():
    found = from_majority(batch(10, 0, 0), usual_spread=SPREAD)
    assert found.borderline is not None
    assert found.centre < found.borderline < found.threshold
    assert not found.calibrated


def test_very_equal_scores_do_not_make_a_threshold_without_room():
    scores = np.array([0.400, 0.401, 0.402, 0.403, 0.404, 0.450], np.float32)
    assert not (scores > from_majority(scores, usual_spread=SPREAD).threshold).any()


@pytest.mark.parametrize("scores", [[0.5], [0.5, 0.5], [0.0, 0.0, 0.0]])
def test_the_smallest_batches_have_a_threshold(scores):
    found = from_majority(np.array(scores, np.float32), usual_spread=SPREAD)
    assert np.isfinite(found.threshold)
    assert found.threshold > max(scores)


def test_among_many_lets_few_normal_ones_through_and_finds_both_few_and_many():
    rng = np.random.default_rng(0)
    reference = rng.exponential(1.0, 2_000).astype(np.float32)
    alarms = [
        int((calm > among_many(reference, calm).threshold).sum()) for calm in rng.exponential(1.0, (200, 500)).astype(np.float32)
    ]
    assert np.mean(np.array(alarms) > 0) < 0.15  # 5 % is meant, by an estimated tail
    one = np.append(rng.exponential(1.0, 500), 30.0).astype(np.float32)
    found = among_many(reference, one)
    assert (one > found.threshold).nonzero()[0].tolist() == [500]
    many = np.concatenate([rng.exponential(1.0, 500), 8.0 + rng.exponential(1.0, 500)]).astype(np.float32)
    found = among_many(reference, many)
    caught = many > found.threshold
    assert caught[500:].mean() > 0.95
    assert caught[:500].sum() < 0.1 * caught.sum()


def test_among_many_takes_constant_references_and_single_scores():
    flat = np.zeros(50, np.float32)
    assert among_many(flat, flat).threshold >= 0.0
    assert (np.array([5.0]) > among_many(flat, np.array([5.0], np.float32)).threshold).all()
