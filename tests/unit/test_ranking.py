import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadInput
from metrics.ranking import auroc, average_precision, f1_max


def pairwise_auroc(labels, scores):
    strange, normal = scores[labels == 1], scores[labels == 0]
    wins = (strange[:, None] > normal).sum() + 0.5 * (strange[:, None] == normal).sum()
    return wins / (len(strange) * len(normal))


def stepwise_precision(labels, scores):
    total = 0.0
    for value in np.unique(scores):
        called, above = scores >= value, scores > value
        gained = (labels[called].sum() - labels[above].sum()) / labels.sum()
        total += gained * labels[called].mean()
    return total


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=2, max_size=40))
def test_areas_equal_their_definitions_with_ties(pairs):
    labels, scores = np.array(pairs).T
    if 0 < labels.sum() < len(labels):
        assert auroc(labels, scores) == pytest.approx(pairwise_auroc(labels, scores))
    if labels.any():
        assert average_precision(labels, scores) == pytest.approx(stepwise_precision(labels, scores))
        best = max(2 * (labels * (scores >= t)).sum() / (labels.sum() + (scores >= t).sum()) for t in np.unique(scores))
        assert f1_max(labels, scores)[0] == pytest.approx(best)


def test_the_f1_threshold_reaches_the_f1():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 50), rng.normal(size=50).round(1)
    best, threshold = f1_max(labels, scores)
    called = scores >= threshold
    assert best == pytest.approx(2 * (labels * called).sum() / (labels.sum() + called.sum()))


def test_ranking_ignores_monotone_changes_and_reverses_with_the_sign():
    rng = np.random.default_rng(1)
    labels, scores = rng.integers(0, 2, 60), rng.normal(size=60)
    assert auroc(labels, np.exp(3 * scores)) == auroc(labels, scores)
    assert auroc(labels, -scores) == pytest.approx(1 - auroc(labels, scores))


def test_degenerate_cases_are_defined():
    one = np.ones(3)
    assert np.isnan(auroc(one, np.arange(3.0)))
    assert np.isnan(auroc(0 * one, np.arange(3.0)))
    assert average_precision(one, np.arange(3.0)) == 1
    assert np.isnan(average_precision(0 * one, np.arange(3.0)))
    assert np.isnan(f1_max(0 * one, np.arange(3.0))).all()
    assert auroc(np.array([0, 1]), np.zeros(2)) == 0.5


@pytest.mark.parametrize(
    ("labels", "scores"), [([0, 1], [0.1]), ([], []), ([0, 2], [0.1, 0.2]), ([0, 1], [0.1, np.nan]), ([0, 1], [0.1, np.inf])]
)
@pytest.mark.parametrize("metric", [auroc, average_precision, f1_max])
def test_bad_input_is_refused(metric, labels, scores):
    with pytest.raises(BadInput):
        metric(np.array(labels), np.array(scores))
