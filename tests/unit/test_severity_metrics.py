import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadInput
from metrics.severity import auroc_per_level, c_index, c_index_anomalies, kendall_tau, severity_order

RANKED = st.lists(st.tuples(st.integers(0, 3), st.integers(-4, 4)), min_size=2, max_size=30)


def all_pairs(levels, scores):
    """(level difference, score difference) of each pair once: what the definitions are made of."""
    first, second = np.triu_indices(len(levels), k=1)
    return np.sign(levels[first] - levels[second]), np.sign(scores[first] - scores[second])


def pairwise_c_index(levels, scores):
    level, score = all_pairs(levels, scores)
    comparable = level != 0
    if not comparable.any():
        return float("nan")
    return float(((level * score)[comparable] == 1).mean() + 0.5 * (score[comparable] == 0).mean())


def pairwise_tau_b(levels, scores):
    level, score = all_pairs(levels, scores)
    ordered = np.sqrt(float((level != 0).sum()) * float((score != 0).sum()))
    return float((level * score).sum() / ordered) if ordered else float("nan")


@settings(max_examples=80, deadline=None)
@given(RANKED)
def test_values_equal_their_definitions_over_all_pairs(pairs):
    levels, scores = np.array(pairs).T
    assert c_index(levels, scores) == pytest.approx(pairwise_c_index(levels, scores), nan_ok=True)
    strange = levels > 0
    reference = pairwise_c_index(levels[strange], scores[strange])
    assert c_index_anomalies(levels, scores) == pytest.approx(reference, nan_ok=True)
    assert kendall_tau(levels, scores) == pytest.approx(pairwise_tau_b(levels, scores), nan_ok=True)


@settings(max_examples=80, deadline=None)
@given(RANKED)
def test_a_level_against_normal_is_the_c_index_of_these_two_levels(pairs):
    levels, scores = np.array(pairs).T
    found = auroc_per_level(levels, scores)
    assert list(found) == sorted({float(level) for level in levels if level > 0})
    for level, value in found.items():
        taken = (levels == 0) | (levels == level)
        assert value == pytest.approx(pairwise_c_index(levels[taken], scores[taken]), nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(RANKED)
def test_only_the_order_counts_and_reversing_mirrors(pairs):
    levels, scores = np.array(pairs, dtype=float).T
    here, grown, reversed_ = (severity_order(levels, s) for s in (scores, np.exp(scores) + 7.0, -scores))
    same = {"nan_ok": True}
    assert grown.c_index == pytest.approx(here.c_index, **same)
    assert grown.kendall_tau == pytest.approx(here.kendall_tau, **same)
    assert grown.auroc_per_level == pytest.approx(here.auroc_per_level, **same)
    assert reversed_.c_index == pytest.approx(1 - here.c_index, **same)
    assert reversed_.c_index_anomalies == pytest.approx(1 - here.c_index_anomalies, **same)
    assert reversed_.auroc_all == pytest.approx(1 - here.auroc_all, **same)
    assert reversed_.kendall_tau == pytest.approx(-here.kendall_tau, **same)


@settings(max_examples=40, deadline=None)
@given(RANKED, st.randoms(use_true_random=False))
def test_the_order_of_the_things_does_not_matter(pairs, random):
    shuffled = list(pairs)
    random.shuffle(shuffled)
    one, other = (severity_order(*np.array(p).T) for p in (pairs, shuffled))
    assert one.c_index == pytest.approx(other.c_index, nan_ok=True)
    assert one.kendall_tau == pytest.approx(other.kendall_tau, nan_ok=True)


def test_detection_and_severity_are_told_apart():
    levels = np.repeat([0, 1, 3], [90, 5, 5])
    found = severity_order(levels, np.concatenate([np.zeros(90), np.full(5, 9.0), np.full(5, 8.0)]))  # finds all, orders wrongly
    assert found.auroc_all == 1.0
    assert found.c_index == pytest.approx(1 - 25 / (90 * 10 + 25))
    assert found.c_index_anomalies == 0.0


def test_half_levels_are_levels_of_their_own():
    assert list(auroc_per_level(np.array([0, 0.5, 1.0]), np.array([0.1, 0.2, 0.3]))) == [0.5, 1.0]
    assert c_index(np.array([0.5, 1.0]), np.array([0.2, 0.3])) == 1.0


def test_degenerate_cases_are_defined():
    equal = severity_order(np.array([0, 1, 2]), np.zeros(3))
    assert (equal.auroc_all, equal.c_index, equal.c_index_anomalies) == (0.5, 0.5, 0.5)
    assert np.isnan(equal.kendall_tau)
    normal = severity_order(np.zeros(3), np.arange(3.0))
    assert normal.auroc_per_level == {}
    assert np.isnan([normal.auroc_all, normal.c_index, normal.c_index_anomalies, normal.kendall_tau]).all()
    one = severity_order(np.array([0, 0, 2]), np.arange(3.0))
    assert (one.auroc_per_level, one.c_index) == ({2.0: 1.0}, 1.0)
    assert np.isnan(one.c_index_anomalies)
    strange = severity_order(np.array([1, 2]), np.arange(2.0))
    assert np.isnan(list(strange.auroc_per_level.values())).all()
    assert strange.c_index_anomalies == 1.0


def test_large_inputs_are_quick_and_exact():
    rng = np.random.default_rng(0)
    levels, scores = rng.integers(0, 5, 3000), rng.normal(size=3000).round(1)
    assert c_index(levels, scores) == pytest.approx(pairwise_c_index(levels, scores))
    assert kendall_tau(levels, scores) == pytest.approx(pairwise_tau_b(levels, scores))


@pytest.mark.parametrize(
    ("levels", "scores"),
    [
        ([0, 1], [0.1]),
        ([], []),
        ([0, -1], [0.1, 0.2]),
        ([0, np.nan], [0.1, 0.2]),
        ([0, 1], [0.1, np.nan]),
        ([0, 1], [0.1, np.inf]),
    ],
)
@pytest.mark.parametrize("metric", [severity_order, auroc_per_level, c_index, c_index_anomalies, kendall_tau])
def test_bad_input_is_refused(metric, levels, scores):
    with pytest.raises(BadInput, match="expected"):
        metric(np.array(levels), np.array(scores))
