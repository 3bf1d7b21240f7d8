import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadInput
from metrics.pimo import BOUNDS, SAME, aupimo, compare, resolved, shared_rate, summary

WIDE = (0.01, 0.5)
"""Bounds at which small maps have many levels; the paper's need a million pixels."""


def chance(bounds):
    return (bounds[1] - bounds[0]) / math.log(bounds[1] / bounds[0])


def brute_force(truths, heatmaps, bounds):
    """Every distinct score as a threshold, counted pixel by pixel; the line between two thresholds integrated in closed form."""
    lower, upper = bounds
    normal = [heat for mask, heat in zip(truths, heatmaps, strict=True) if not mask.any()]
    thresholds = sorted({float(score) for heat in heatmaps for score in heat.ravel()}, reverse=True)
    found = []
    for mask, heat in zip(truths, heatmaps, strict=True):
        if not mask.any() or not normal:
            found.append(math.nan)
            continue
        area, rate, share = 0.0, 0.0, 0.0
        for threshold in thresholds:
            next_rate = sum(float((flat >= threshold).sum()) / flat.size for flat in normal) / len(normal)
            next_share = sum(float(score) >= threshold for score in heat[mask]) / int(mask.sum())
            start, end = max(rate, lower), min(next_rate, upper)
            if end > start:
                slope = (next_share - share) / (next_rate - rate)
                area += (share - slope * rate) * math.log(end / start) + slope * (end - start)
            rate, share = next_rate, next_share
        found.append(area / math.log(upper / lower))
    return np.array(found)


def case(seed, *, decimals):
    """Pictures of different sizes, the third and fourth of them normal."""
    rng = np.random.default_rng(seed)
    truths, heatmaps = [], []
    for number, (height, width) in enumerate(((6, 9), (10, 5), (8, 8), (4, 13), (5, 5))):
        truth = np.zeros((height, width), bool)
        if number not in (2, 3):
            truth[1:4, 1:4] = rng.random((3, 3)) < 0.7
            truth[0, 0] = True
        truths.append(truth)
        heatmaps.append((rng.random((height, width)) + 0.5 * truth * rng.random()).round(decimals).astype(np.float32))
    return truths, heatmaps


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("decimals", [0, 1, 6])  # nearly all tied, many ties, none
@pytest.mark.parametrize("bounds", [WIDE, (0.001, 0.3), (0.2, 1.0), BOUNDS])
def test_equals_counting(seed, decimals, bounds):
    truths, heatmaps = case(seed, decimals=decimals)
    np.testing.assert_allclose(aupimo(truths, heatmaps, bounds=bounds), brute_force(truths, heatmaps, bounds), atol=1e-12)


@pytest.mark.parametrize("decimals", [1, 6])
def test_area_under_the_drawn_curve_is_the_value(decimals):
    truths, heatmaps = case(3, decimals=decimals)
    rate = shared_rate([heatmaps[2], heatmaps[3]], bounds=WIDE)
    rates, shares = rate.curve(heatmaps[0][truths[0]])
    assert (rates[0], rates[-1]) == WIDE
    assert (np.diff(rates) >= 0).all()
    assert (np.diff(shares) >= -1e-12).all()
    fine = np.exp(np.linspace(*np.log(WIDE), 200_001))
    area = np.interp(fine, rates, shares).mean()
    assert area == pytest.approx(aupimo(truths, heatmaps, bounds=WIDE)[0], abs=1e-4)


def test_close_to_a_fine_grid_of_thresholds():
    truths, heatmaps = example()
    grid = np.linspace(min(h.min() for h in heatmaps), max(h.max() for h in heatmaps), 20_001)
    normal = np.sort(np.concatenate([h.ravel() for t, h in zip(truths, heatmaps, strict=True) if not t.any()]))
    rate = 1 - np.searchsorted(normal, grid) / len(normal)
    inside = (rate >= 1e-3) & (rate <= 1e-1)
    found = aupimo(truths, heatmaps, bounds=(1e-3, 1e-1))
    for number in range(40, 46):
        share = 1 - np.searchsorted(np.sort(heatmaps[number][truths[number]]), grid) / truths[number].sum()
        area = -np.trapezoid(share[inside], np.log(rate[inside])) / math.log(100)
        assert found[number] == pytest.approx(area, abs=0.005)


def example():
    """Forty normal maps and six with a defect that is ever larger and hotter."""
    rng = np.random.default_rng(20241125)
    truths, heatmaps = [], []
    for number in range(46):
        truth = np.zeros((192, 192), bool)
        if number >= 40:
            truth[20:60, 30 : 40 + 10 * (number - 40)] = True
        heat = rng.random((192, 192)) ** 2 + truth * (0.2 + 0.15 * (number - 40)) * rng.random((192, 192))
        truths.append(truth)
        heatmaps.append(heat.astype(np.float32))
    return truths, heatmaps


@pytest.mark.parametrize(
    ("bounds", "theirs", "within"),
    [
        ((1e-3, 1e-1), [0.06807, 0.1325, 0.16538, 0.22217, 0.25866, 0.35157], 5e-5),
        (BOUNDS, [0.04956, 0.10656, 0.13629, 0.18833, 0.2255, 0.31299], 4e-3),
    ],
)
def test_agrees_with_anomalib(bounds, theirs, within):
    """anomalib 2.7.0, aupimo_scores with 300,000 thresholds, on the CPU. Its integral ends at the thresholds nearest to the bounds but is
    divided by the bounds' own span: here 1.017e-5 to 1e-4 at the paper's bounds, hence up to 1 % low; elsewhere it can be high."""
    truths, heatmaps = example()
    found = aupimo(truths, heatmaps, bounds=bounds)
    np.testing.assert_allclose(found[40:], theirs, atol=within)
    assert (found[40:] >= np.array(theirs) - 1e-5).all()


maps = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@given(rng=maps, ties=st.sampled_from([5, 40, 10_000]))
def test_only_the_order_of_scores_counts(rng, ties):
    truths, _ = case(1, decimals=1)
    ranks = [rng.integers(0, ties, mask.shape) for mask in truths]
    table = np.cumsum(rng.random(ties) + 1e-3) ** 3 - 7  # strictly rising
    plain = aupimo(truths, [r.astype(np.float32) for r in ranks], bounds=WIDE)
    np.testing.assert_allclose(aupimo(truths, [table[r] for r in ranks], bounds=WIDE), plain, atol=1e-12)


@given(rng=maps, data=st.data())
def test_the_order_of_pictures_does_not_count(rng, data):
    truths, heatmaps = case(int(rng.integers(1000)), decimals=1)
    order = data.draw(st.permutations(range(len(truths))))
    plain = aupimo(truths, heatmaps, bounds=WIDE)
    moved = aupimo([truths[i] for i in order], [heatmaps[i] for i in order], bounds=WIDE)
    np.testing.assert_allclose(moved, plain[list(order)], atol=1e-12)


@given(rng=maps, pixels=st.integers(1, 30))
def test_a_hotter_defect_is_never_worse_and_a_perfect_one_is_one(rng, pixels):
    truth = np.zeros((6, 6), bool)
    truth.flat[rng.permutation(36)[:pixels]] = True
    normal, heat = rng.random((2, 6, 6)).round(1)
    truths = [truth, np.zeros((6, 6), bool)]
    plain, hotter, perfect = (aupimo(truths, [heat + more * truth, normal], bounds=WIDE)[0] for more in (0, 0.25, 1.1))
    assert 0 <= plain <= hotter + 1e-12
    assert hotter <= perfect + 1e-12
    assert perfect == pytest.approx(1, abs=1e-12)
    assert perfect <= 1


def test_a_step_that_ends_at_the_bound_but_for_rounding_takes_nothing_away():
    """Ten normal pixels of .1 each do not sum to exactly .5: what is left of the sixth step must not count below zero."""
    truth, normal = np.zeros((1, 10), bool), np.arange(10.0)[None]
    truth[0, 0] = True
    for level in range(10):
        for upper in np.arange(2, 11) / 10:
            assert 0 <= aupimo([truth, truth & False], [np.full((1, 10), float(level)), normal], bounds=(0.01, upper))[0] <= 1


def test_shuffled_maps_are_at_chance():
    rng = np.random.default_rng(5)
    heatmaps = list(rng.random((30, 300, 300), dtype=np.float32))
    truth = np.zeros((300, 300), bool)
    truth[:150] = True
    truths = [truth if number < 20 else np.zeros_like(truth) for number in range(30)]
    assert np.nanmean(aupimo(truths, heatmaps)) == pytest.approx(chance(BOUNDS), abs=3e-5)
    assert np.nanmean(aupimo(truths, heatmaps, bounds=WIDE)) == pytest.approx(chance(WIDE), abs=0.003)


def test_constant_maps_get_exactly_what_chance_gets():
    truths = [np.eye(5, dtype=bool), np.zeros((7, 3), bool)]
    flat = [np.full(mask.shape, 2, np.float32) for mask in truths]
    for bounds in (BOUNDS, WIDE):
        assert aupimo(truths, flat, bounds=bounds)[0] == pytest.approx(chance(bounds), rel=1e-9)


def test_pictures_weigh_the_same_whatever_their_size():
    """One alarm in a picture of 4 pixels and none in one of 400: a rate of 1/8, not 1/404."""
    small, large = np.array([[0, 0], [0, 9.0]]), np.zeros((20, 20))
    rate = shared_rate([large, small], bounds=(0.01, 0.5))
    assert rate.levels.tolist() == [0, 9]
    assert rate.at.tolist() == pytest.approx([1, 1 / 8])
    assert rate.credit(np.array([5.0]))[0] == pytest.approx(math.log(0.5 / 0.125) / math.log(50), rel=1e-9)


def test_few_normal_pixels_leave_a_coarse_but_defined_value():
    """100 normal pixels at bounds far below 1/100: the share of the defect above all of them, ties with the highest aside."""
    truth = np.zeros((10, 10), bool)
    truth[0, :4] = True
    heat = np.zeros((10, 10), np.float32)
    heat[0, :4] = [0.2, 2, 3, 1]
    normal = np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10)
    none = np.zeros_like(truth)
    assert aupimo([truth, none], [heat, normal])[0] == pytest.approx(0.5 + 0.25 * 100 * chance(BOUNDS))
    assert not resolved([truth, none])
    assert resolved([truth, none], bounds=(0.3, 0.4))
    assert not resolved([truth, truth], bounds=(0.3, 0.4))


def test_only_the_highest_normal_scores_are_kept():
    normal = list(np.random.default_rng(0).random((12, 100, 100)))
    rate = shared_rate(normal, bounds=(1e-4, 1e-3))
    assert len(rate.levels) == 121  # 1e-3 of 120,000 and the one that crosses it
    assert rate.levels.tolist() == np.sort(np.concatenate(normal), axis=None)[-121:].tolist()


def test_degenerate_cases_are_defined():
    flat, none, all_odd = np.zeros((4, 4), np.float32), np.zeros((4, 4), bool), np.ones((4, 4), bool)
    assert aupimo([], []).shape == (0,)
    assert np.isnan(aupimo([none, none], [flat, flat])).all()  # no anomalous pixel
    assert np.isnan(aupimo([all_odd, all_odd], [flat, flat])).all()  # no normal picture
    assert aupimo([all_odd, none], [flat + 1, flat])[0] == pytest.approx(1)
    assert aupimo([all_odd, none], [flat - 1, flat])[0] == 0


def test_bad_input_is_refused():
    flat, mask = np.zeros((4, 4), np.float32), np.eye(4, dtype=bool)
    none = mask & False
    for truths, heatmaps, bounds in (
        ([mask, none], [flat], BOUNDS), ([mask[:3], none], [flat, flat], BOUNDS), ([mask.astype(int), none], [flat, flat], BOUNDS),
        ([mask, none], [flat * np.nan, flat], BOUNDS), ([mask, none], [flat, flat + np.inf], BOUNDS),
        ([mask, none[:0]], [flat, flat[:0]], BOUNDS), ([mask, none], [flat, flat], (0, 0.1)),
        ([mask, none], [flat, flat], (0.1, 0.1)), ([mask, none], [flat, flat], (0.1, 1.1)),
        ([mask, none], [flat, flat], (np.nan, 0.1)), ([mask], [flat], (0.1, 0.1)),
    ):  # fmt: skip
        with pytest.raises(BadInput):
            aupimo(truths, heatmaps, bounds=bounds)
    with pytest.raises(BadInput, match="normal picture"):
        shared_rate([])
    with pytest.raises(BadInput, match="no curve"):
        shared_rate([flat]).curve(flat[mask & False])


def test_summary_of_known_values():
    scores = np.array([np.nan, 0.0, 0.25, 0.5, 0.75, 1.0, np.nan])
    found = summary(scores)
    assert (found.mean, found.pictures) == (0.5, 5)
    assert found.quantiles == pytest.approx({0: 0, 0.25: 0.25, 0.33: 0.33, 0.5: 0.5, 0.75: 0.75, 1: 1})
    assert found == summary(scores)  # seeded
    spread = np.random.default_rng(0).random(20)
    assert summary(spread).interval != summary(spread, seed=1).interval


def test_bootstrap_interval_holds_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        low, high = summary(rng.beta(2, 1, size=60), level=0.9, draws=400).interval
        held += low <= 2 / 3 <= high
    assert held / 300 == pytest.approx(0.9, abs=0.05)


def test_summary_of_nothing_and_of_one():
    nothing = summary(np.array([np.nan]))
    assert nothing.pictures == 0
    assert np.isnan([nothing.mean, *nothing.interval, *nothing.quantiles.values()]).all()
    one = summary(np.array([0.4]))
    assert one.mean == one.quantiles[0.5] == 0.4
    assert np.isnan(one.interval).all()
    same = summary(np.full(9, 0.4))
    assert same.interval == pytest.approx((0.4, 0.4))
    for bad in ({"level": 1.0}, {"draws": 0}, {"quantiles": (1.5,)}):
        with pytest.raises(BadInput):
            summary(np.array([0.4]), **bad)
    with pytest.raises(BadInput, match="infinity"):
        summary(np.array([np.inf]))


def test_comparison_finds_the_better_method_and_no_difference_in_noise():
    rng = np.random.default_rng(2)
    base = rng.random(60)
    noisy = base + rng.normal(0, 0.05, 60)
    found = compare({"noisy": noisy - 0.001, "base": base, "better": base + 0.1 + rng.normal(0, 0.05, 60)})
    assert found.methods[0] == "better"
    assert (found.p[0, 1:] < 1e-6).all()
    assert (found.p[1:, 0] > 0.999).all()
    assert 0.05 < found.p[1, 2] < 0.95
    assert np.isnan(np.diag(found.p)).all()


def test_comparison_by_counting_signs():
    """Exact null by trying all signs of the ranks: the share of them whose positive ranks sum to no less than the observed."""
    differences = np.array([0.3, -0.1, 0.5, 0.2, -0.05, 0.4])
    ranks = np.array([4, 2, 6, 3, 1, 5])
    observed = ranks[differences > 0].sum()
    signs = (np.arange(64)[:, None] >> np.arange(6)) & 1
    expected = (signs @ ranks >= observed).mean()
    p = compare({"a": 0.5 + differences, "b": np.full(6, 0.5)}).p
    assert p[0, 1] == pytest.approx(expected)


def test_comparison_of_equals_tells_nothing():
    scores = np.array([0.1, np.nan, 0.9, 0.4])
    found = compare({"a": scores, "b": scores + SAME / 2})
    assert found.methods == ("b", "a")
    assert found.p[0, 1] == found.p[1, 0] == 1
    assert compare({}).p.shape == (0, 0)
    assert compare({"none": np.array([np.nan]), "nil": np.array([np.nan])}).p[0, 1] == 1


def test_comparison_needs_the_same_pictures():
    scores = np.array([0.1, np.nan, 0.9])
    for other in (scores[:2], np.array([0.1, 0.2, 0.9]), np.array([np.inf, np.nan, 0.9])):
        with pytest.raises(BadInput, match="'b'"):
            compare({"a": scores, "b": other})
