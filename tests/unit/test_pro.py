import numpy as np
import pytest

from core.errors import BadInput
from metrics.pro import pro, regions


def brute_force(truths, heatmaps, limit):
    """Every distinct score as a threshold; coverage of every region and false-positive rate by counting."""
    parts = [(heat, region) for mask, heat in zip(truths, heatmaps, strict=True) for region in regions(mask)]
    normal = np.concatenate([heat[~mask] for mask, heat in zip(truths, heatmaps, strict=True)])
    x, y = [0.0], [0.0]
    for threshold in np.unique(np.concatenate([heat.ravel() for heat in heatmaps]))[::-1]:
        x.append(float((normal >= threshold).mean()))
        y.append(float(np.mean([(heat[region] >= threshold).mean() for heat, region in parts])))
    grid = np.concatenate([[limit], [v for v in x if v < limit]])
    fine = [(v, w) for v, w in zip(x, y, strict=True) if v <= limit]
    if fine[-1][0] < limit:
        after = next((v, w) for v, w in zip(x, y, strict=True) if v > limit)
        before = fine[-1]
        fine.append((limit, before[1] + (limit - before[0]) / (after[0] - before[0]) * (after[1] - before[1])))
    xs, ys = np.array(fine).T
    assert grid.max() == limit
    return float(np.sum((xs[1:] - xs[:-1]) * (ys[1:] + ys[:-1]) / 2) / limit)


def case(seed, *, decimals):
    rng = np.random.default_rng(seed)
    truths, heatmaps = [], []
    for height, width in ((12, 17), (20, 9), (8, 8)):
        truth = np.zeros((height, width), bool)
        if seed % 3 or height != 8:  # some pictures are good
            truth[2:5, 1:4] = True
            truth[6, 5:8] = True
        truths.append(truth)
        heatmaps.append((rng.random((height, width)) + 0.6 * truth * rng.random()).round(decimals).astype(np.float32))
    return truths, heatmaps


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("decimals", [1, 6])  # many ties, no ties
@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_equals_counting(seed, decimals, limit):
    truths, heatmaps = case(seed, decimals=decimals)
    assert pro(truths, heatmaps, limit=limit) == pytest.approx(brute_force(truths, heatmaps, limit), abs=1e-9)


def test_small_regions_count_as_much_as_large_ones():
    truth = np.zeros((30, 30), bool)
    truth[:10, :10] = True
    truth[20, 20] = True
    large, small = np.zeros((30, 30), np.float32), np.zeros((30, 30), np.float32)
    large[:10, :10], small[20, 20] = 1, 1
    assert pro([truth], [large]) == pytest.approx(pro([truth], [small]))
    assert 0.5 < pro([truth], [small]) < 0.6  # one of two regions, then the diagonal of everything else


def test_chance_is_half_the_limit():
    rng = np.random.default_rng(0)
    truth = np.zeros((400, 400), bool)
    truth[100:160, 50:300] = True
    assert pro([truth], [rng.random((400, 400)).astype(np.float32)]) == pytest.approx(0.15, abs=0.01)


def test_diagonal_pixels_are_one_region():
    assert len(regions(np.eye(4, dtype=bool))) == 1
    assert regions(np.zeros((3, 3), bool)) == []


def test_degenerate_cases_are_defined():
    flat = np.zeros((4, 4), np.float32)
    assert np.isnan(pro([np.zeros((4, 4), bool)], [flat]))
    assert np.isnan(pro([np.ones((4, 4), bool)], [flat]))
    assert np.isnan(pro([], []))
    half = np.zeros((4, 4), bool)
    half[:2] = True
    assert pro([half], [flat]) == pytest.approx(0.15)  # one tie: the diagonal


def test_bad_input_is_refused():
    flat, mask = np.zeros((4, 4), np.float32), np.eye(4, dtype=bool)
    for truths, heatmaps, limit in (
        ([mask], [], 0.3), ([mask[:3]], [flat], 0.3), ([mask.astype(int)], [flat], 0.3),
        ([mask], [flat * np.nan], 0.3), ([mask], [flat], 0),
    ):  # fmt: skip
        with pytest.raises(BadInput):
            pro(truths, heatmaps, limit=limit)
