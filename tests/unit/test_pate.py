import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_steps import INCIDENTS, case

from core.errors import BadInput
from metrics.pate import pate, pate_f1


def counted(labels, called, early, late):
    """Precision and recall of one set of calls, step by step and with the distances summed as the paper has them."""
    steps = len(labels)
    incidents, inside = [], False
    for step in range(steps):
        if labels[step] and not inside:
            incidents.append([step, step])
        elif labels[step]:
            incidents[-1][1] = step
        inside = bool(labels[step])
    gained = wrong = missed = 0.0
    free, tail = set(range(steps)), -1
    for number, (start, end) in enumerate(incidents):
        span = range(start, end + 1)
        ahead = incidents[number + 1][0] if number + 1 < len(incidents) else steps
        before = range(max(0, start - early, tail + 1), start)
        tail = min(end + late, ahead - 1)
        hit = [p for p in span if called[p]]
        gained += len(hit)
        for zone, edge in ((range(end + 1, tail + 1), tail), (before, before.start)):
            for p in zone:
                credit = 1 - sum(abs(p - y) for y in span) / sum(abs(edge - y) for y in span)
                if zone is before and not hit:
                    credit = 0
                gained += credit * called[p]
                wrong += (1 - credit) * called[p]
        free -= {*span, *before, *range(end + 1, tail + 1)}
        run = 0
        while hit and hit[0] + run <= end and called[hit[0] + run]:
            run += 1
        for p in span:
            if not called[p] and (not hit or p <= start + run):
                missed += 1
            elif not called[p]:
                missed += 1 - sum(abs(p - y) for y in range(start, start + run + 1)) / sum(end - y for y in span)
    wrong += sum(called[p] for p in free)
    return gained / (gained + wrong) if gained + wrong else 0, gained / (gained + missed) if gained + missed else 0


def brute_force(labels, scores, early, late):
    """Every threshold in turn, for every pair of buffers."""
    falling = sorted(set(scores.tolist()), reverse=True)
    hits = [int(labels[scores >= t].sum()) for t in falling]
    turning = [
        t for i, t in enumerate(falling)
        if i in (0, len(falling) - 1) or len(falling) <= 2 or not hits[i - 1] == hits[i] == hits[i + 1]
    ]  # fmt: skip
    areas = []
    for e in (0, early):
        for d in (0, late):
            area, x, y = 0.0, 0.0, 1.0
            for threshold in turning:
                precision, recall = counted(labels, scores >= threshold, e, d)
                if recall >= x:
                    area, x, y = area + (recall - x) * (precision + y) / 2, recall, precision
            areas.append(area)
    return np.mean(areas)


@pytest.mark.parametrize(
    ("kind", "curve", "every", "f1"),
    [
        ("apart", 0.330285518, 0.329450429, 0.134255906),
        ("close", 0.399396060, 0.403981138, 0.217597447),
        ("ties", 0.518267505, 0.517306882, 0.263311484),
    ],
)
def test_equals_the_authors_package(kind, curve, every, f1):
    # Values of PATE 0.1.1 with scikit-learn 1.5.2 and numpy 1.26.4.
    labels, scores = case(kind)
    assert pate(labels, scores, early=20, late=10) == pytest.approx(curve, abs=1e-8)
    assert pate(labels, scores, early=20, late=10, splits=2, thresholds=None) == pytest.approx(every, abs=1e-8)
    assert pate_f1(labels, scores > 0.7, early=20, late=10) == pytest.approx(f1, abs=1e-8)


series = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40)
buffers = st.integers(0, 12)


@settings(max_examples=60, deadline=None)
@given(series, buffers, buffers)
def test_equals_counting_step_by_step(pairs, early, late):
    labels, scores = np.array([a for a, _ in pairs], int), np.array([b for _, b in pairs], float)
    if not labels.any():
        return
    found = pate(labels, scores, early=early, late=late, thresholds=None)
    assert found == pytest.approx(brute_force(labels, scores, early, late))
    assert -1e-9 <= found <= 1 + 1e-9


@settings(max_examples=60, deadline=None)
@given(series, buffers, buffers)
def test_f1_equals_counting_step_by_step(pairs, early, late):
    labels, called = np.array([a for a, _ in pairs], int), np.array([b > 3 for _, b in pairs], int)
    if not labels.any():
        return
    parts = [counted(labels, called, e, d) for e in (0, early) for d in (0, late)]
    expected = np.mean([2 * p * r / (p + r) if p + r else 0 for p, r in parts])
    assert pate_f1(labels, called, early=early, late=late) == pytest.approx(expected)


def test_long_incidents_are_weighed_in_blocks(monkeypatch):
    labels, scores = case("ties")
    scores = scores + np.arange(600) * 1e-5
    whole = pate(labels, scores, thresholds=None)
    monkeypatch.setattr("metrics.pate._CELLS", 100)
    assert pate(labels, scores, thresholds=None) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("kind", INCIDENTS)
def test_perfect_scores_earn_one_and_reversed_ones_little(kind):
    labels, _ = case(kind)
    assert pate(labels, labels) == 1
    assert pate_f1(labels, labels) == 1
    assert pate(labels, -labels, early=5, late=5) < 0.3


def test_nearer_calls_earn_more_but_never_as_much_as_the_incident():
    labels = np.zeros(200, int)
    labels[100:110] = 1
    shifted = [pate(labels, np.roll(labels, by), early=20, late=20) for by in (0, 2, 5, 9, 60)]
    assert shifted[0] == 1
    assert shifted == sorted(shifted, reverse=True)
    assert len(set(shifted)) == 5


def test_a_warning_counts_only_if_the_incident_is_called_too():
    labels, early, both = np.zeros(60, int), np.zeros(60, int), np.zeros(60, int)
    labels[30:40] = 1
    early[26:30] = 1
    both[26:31] = 1
    late = np.roll(early, 14)
    assert pate_f1(labels, early) == 0
    assert pate_f1(labels, both) > pate_f1(labels, late) > 0


def test_one_touched_step_does_not_earn_the_whole_incident():
    labels, touch = np.zeros(1000, int), np.zeros(1000, int)
    labels[400:600] = 1
    touch[500] = 1
    assert pate_f1(labels, touch, early=0, late=0) < 0.05  # point adjustment would call this perfect


def test_with_all_thresholds_only_the_order_counts_and_far_steps_may_change_places():
    rng = np.random.default_rng(0)
    labels, scores = np.zeros(300, int), rng.normal(size=300).round(1)
    labels[50:70] = 1
    value = pate(labels, scores, early=10, late=10, thresholds=None)
    assert pate(labels, np.exp(scores), early=10, late=10, thresholds=None) == pytest.approx(value)
    moved = scores.copy()
    moved[100:] = rng.permutation(moved[100:])
    assert pate(labels, moved, early=10, late=10, thresholds=None) == pytest.approx(value)


def test_constant_scores_earn_the_area_of_calling_everything():
    labels, _ = case("apart")
    share = labels.mean()
    assert pate(labels, np.zeros(600), early=0, late=0) == pytest.approx((1 + share) / 2)  # (0, 1) to (1, share)
    assert pate(labels, np.zeros(600), early=0, late=0, thresholds=None) == pytest.approx((1 + share) / 2)


def test_degenerate_cases_are_defined():
    ones, ramp = np.ones(5, int), np.arange(5.0)
    assert np.isnan(pate(0 * ones, ramp))
    assert np.isnan(pate_f1(0 * ones, ones))
    assert pate(ones, ramp) == pytest.approx(1)
    assert pate_f1(ones, 0 * ones) == 0
    assert pate([1], [0.3]) == 1


def test_bad_input_is_refused():
    labels, scores = [0, 1, 0], [0.1, 0.9, 0.2]
    for given_labels, given_scores in (
        (labels, scores[:2]), ([], []), ([0, 2, 0], scores), (labels, [0.1, np.nan, 0.2]), (labels, [0.1, np.inf, 0.2]),
    ):  # fmt: skip
        with pytest.raises(BadInput):
            pate(given_labels, given_scores)
        with pytest.raises(BadInput):
            pate_f1(given_labels, given_scores)
    for bad in ({"early": -1}, {"late": -1}, {"splits": 0}, {"thresholds": 1}):
        with pytest.raises(BadInput):
            pate(labels, scores, **bad)
    with pytest.raises(BadInput, match="use `pate`"):
        pate_f1(labels, scores)
