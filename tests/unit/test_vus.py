import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_steps import INCIDENTS, case

from core.errors import BadInput
from metrics.ranking import auroc, average_precision
from metrics.spans import first_called, spans
from metrics.vus import vus_pr, vus_roc


def brute_force(labels, scores, window):
    """Every window, every threshold, every step and every incident in turn: (PR, ROC)."""
    steps, strange = len(labels), [p for p in range(len(labels)) if labels[p]]
    firsts = [p for p in strange if p == 0 or not labels[p - 1]]
    lasts = [p for p in strange if p == steps - 1 or not labels[p + 1]]
    precisions, areas = [], []
    for width in range(window + 1):
        half = width // 2
        soft = labels.astype(float)
        for first, last in zip(firsts, lasts, strict=True):
            for p in range(steps):
                apart = max(first - p, p - last)
                if 0 < apart <= half:
                    soft[p] += np.sqrt(1 - apart / width)
        soft = np.minimum(soft, 1)
        widened = [[firsts[0] - half, lasts[0] + half]]
        for first, last in zip(firsts[1:], lasts[1:], strict=True):
            if first - half > widened[-1][1]:
                widened.append([first - half, last + half])
            else:
                widened[-1][1] = last + half
        x, y, area, precision = 0.0, 0.0, 0.0, 0.0
        for threshold in sorted(set(scores.tolist()), reverse=True):
            called = scores >= threshold
            gained = soft[called].sum()
            positives = (len(strange) + len(strange) + soft[called & (labels == 0)].sum()) / 2
            found = sum(called[max(a, 0) : b + 1].any() for a, b in widened)
            recall = min(gained / positives, 1) * found / len(widened)
            false_rate = (called.sum() - gained) / (steps - positives) if steps > len(strange) else np.nan
            precision += (recall - y) * gained / called.sum()
            area += (false_rate - x) * (recall + y) / 2
            x, y = false_rate, recall
        precisions.append(precision)
        areas.append(area + (1 - x) * (1 + y) / 2)
    return np.mean(precisions), np.mean(areas)


@pytest.mark.parametrize(
    ("kind", "pr", "roc", "coarse_pr", "coarse_roc"),
    [
        ("apart", 0.369199315, 0.778311120, 0.185220650, 0.695066586),
        ("close", 0.442515953, 0.789486619, 0.331570613, 0.718385099),
        ("ties", 0.466943348, 0.822583411, 0.435136440, 0.807591032),
    ],
)
def test_equals_the_authors_package(kind, pr, roc, coarse_pr, coarse_roc):
    # Values of vus 0.0.6 (its version "opt") with numpy 1.26.4.
    labels, scores = case(kind)
    assert vus_pr(labels, scores, window=16) == pytest.approx(pr, abs=1e-8)
    assert vus_roc(labels, scores, window=16) == pytest.approx(roc, abs=1e-8)
    assert vus_pr(labels, scores, window=7, thresholds=40) == pytest.approx(coarse_pr, abs=1e-8)
    assert vus_roc(labels, scores, window=7, thresholds=40) == pytest.approx(coarse_roc, abs=1e-8)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40), st.integers(0, 15))
def test_equals_counting_step_by_step(pairs, window):
    labels, scores = np.array([a for a, _ in pairs], int), np.array([b for _, b in pairs], float)
    if not labels.any():
        return
    pr, roc = brute_force(labels, scores, window)
    assert vus_pr(labels, scores, window=window, thresholds=None) == pytest.approx(pr)
    assert vus_roc(labels, scores, window=window, thresholds=None) == pytest.approx(roc, nan_ok=True)
    assert -1e-9 <= pr <= 1 + 1e-9


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=12, max_size=40), st.integers(0, 5), st.integers(1, 6))
def test_one_incident_without_slopes_is_plain_precision_and_area(values, start, length):
    scores = np.array(values, float)
    labels = np.zeros(len(scores), int)
    labels[start : start + length] = 1
    for window in (0, 1):  # half of one step is none
        assert vus_pr(labels, scores, window=window, thresholds=None) == pytest.approx(average_precision(labels, scores))
        assert vus_roc(labels, scores, window=window, thresholds=None) == pytest.approx(auroc(labels, scores))


@pytest.mark.parametrize("kind", INCIDENTS)
def test_perfect_scores_rank_above_random_and_reversed_ones(kind):
    labels, _ = case(kind)
    rng = np.random.default_rng(0)
    assert vus_pr(labels, labels) == 1
    assert vus_roc(labels, labels, window=0) == 1
    assert vus_pr(labels, labels) > vus_pr(labels, rng.random(600)) > 0
    assert vus_pr(labels, -labels) < 0.5
    assert vus_roc(labels, labels, window=20) > 0.9 > vus_roc(labels, -labels, window=20)


def test_near_misses_earn_by_how_near_they_are():
    labels = np.zeros(400, int)
    labels[200:210] = 1
    shifted = [vus_pr(labels, np.roll(labels, by), window=60) for by in (0, 5, 15, 25, 100)]
    assert shifted == sorted(shifted, reverse=True)
    assert len(set(shifted)) == 5
    assert shifted[1] == pytest.approx(vus_pr(labels, np.roll(labels, -5), window=60), abs=0.02)  # late or early alike


def test_one_touched_step_does_not_earn_the_whole_incident():
    labels, touch = np.zeros(1000, int), np.zeros(1000, int)
    labels[400:600] = 1
    touch[500] = 1
    assert vus_pr(labels, touch, window=0) < 0.25  # point adjustment would call this perfect


def test_only_the_order_counts_and_far_steps_may_change_places():
    rng = np.random.default_rng(0)
    labels, scores = np.zeros(300, int), rng.normal(size=300).round(1)
    labels[50:70] = 1
    moved = scores.copy()
    moved[100:] = rng.permutation(moved[100:])
    for measure in (vus_pr, vus_roc):
        for thresholds in (None, 40):
            value = measure(labels, scores, window=40, thresholds=thresholds)
            assert measure(labels, np.exp(scores), window=40, thresholds=thresholds) == pytest.approx(value)
            assert measure(labels, moved, window=40, thresholds=thresholds) == pytest.approx(value)


def test_constant_scores_are_the_share_and_a_half():
    labels, _ = case("apart")
    assert vus_pr(labels, np.zeros(600), window=0) == pytest.approx(labels.mean())
    assert vus_roc(labels, np.zeros(600), window=0) == pytest.approx(0.5)


def test_degenerate_cases_are_defined():
    ones, ramp = np.ones(5, int), np.arange(5.0)
    assert np.isnan(vus_pr(0 * ones, ramp))
    assert np.isnan(vus_roc(0 * ones, ramp))
    assert vus_pr(ones, ramp) == pytest.approx(1)
    assert np.isnan(vus_roc(ones, ramp))
    assert vus_pr([0, 1], [0, 1], window=1000) == 1  # wider than the series


def test_bad_input_is_refused():
    labels, scores = [0, 1, 0], [0.1, 0.9, 0.2]
    for given_labels, given_scores, given_options in (
        (labels, scores[:2], {}), ([], [], {}), ([0, 2, 0], scores, {}), (labels, [0.1, np.nan, 0.2], {}),
        (labels, [0.1, np.inf, 0.2], {}), (labels, scores, {"window": -1}), (labels, scores, {"thresholds": 1}),
    ):  # fmt: skip
        for measure in (vus_pr, vus_roc):
            with pytest.raises(BadInput):
                measure(given_labels, given_scores, **given_options)


def test_spans_and_first_thresholds():
    assert [part.tolist() for part in spans(np.array([0, 1, 1, 0, 1]))] == [[1, 4], [2, 4]]
    assert [part.tolist() for part in spans(np.zeros(3, int))] == [[], []]
    assert first_called(np.array([3.0, 2.0, 0.0]), np.array([3.0, 2.0, 2.0, 1.0])).tolist() == [0, 1, 4]
