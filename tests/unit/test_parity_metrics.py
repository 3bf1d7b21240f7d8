"""AUPIMO and PRO against numbers from the libraries that published values come from.

AUPIMO: github.com/jpcbertoldo/aupimo, commit 188ec86b5b7d6badad9aa1ae2bc25f94e98a92ca, `pimo_numpy.aupimo_scores`.
PRO: github.com/open-edge-platform/anomalib, commit b7233686172e3485bfbe01272a8cd7a7e4576986, `AUPRO` on a CPU.
Maps are smooth noise from NumPy's `RandomState`, whose stream does not change, with a bump at each defect.
"""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from metrics.pimo import BOUNDS, aupimo
from metrics.pro import pro

NEAR = {"rel": 1e-3}
ODD, SIZE = 6, 250
WIDE = (1e-3, 1e-1)


def smooth(stream, size, cells):
    field = gaussian_filter(stream.standard_normal((size, size)), cells, mode="wrap")
    return field / field.std()


def one_defect_each(normal):
    """`normal` pictures of noise, then six with a growing rectangle that stands out ever more."""
    stream = np.random.RandomState(0)
    truths, heatmaps = [], []
    for number in range(normal + ODD):
        truth, heat = np.zeros((SIZE, SIZE), bool), smooth(stream, SIZE, 4)
        if number >= normal:
            order = number - normal
            truth[40 : 60 + 8 * order, 60 : 90 + 10 * order] = True
            heat = heat + (3 + 0.6 * order) * gaussian_filter(truth.astype(np.float64), 4)
        truths.append(truth)
        heatmaps.append(heat.astype(np.float32))
    return truths, heatmaps


def many_regions(levels):
    """Six pictures with 0 to 5 rectangles, some of which touch; scores rounded to 1/`levels`, so that many are equal, or not (0)."""
    stream = np.random.RandomState(3)
    truths, heatmaps = [], []
    for number in range(6):
        truth, heat = np.zeros((96, 96), bool), smooth(stream, 96, 3)
        for _ in range(number):
            top, left = stream.randint(0, 76, 2)
            high, wide = stream.randint(2, 20, 2)
            truth[top : top + high, left : left + wide] = True
        heat = heat + 0.6 * number * gaussian_filter(truth.astype(np.float64), 3)
        truths.append(truth)
        heatmaps.append((np.round(heat * levels) / levels if levels else heat).astype(np.float32))
    return truths, heatmaps


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (BOUNDS, [0.0656922, 0.0320681, 0.305, 0.631195, 0.790915, 0.859603]),
        (WIDE, [0.574905, 0.735804, 0.82485, 0.927746, 0.948415, 0.977852]),
    ],
)
def test_aupimo_where_the_bounds_are_met(bounds, expected):
    """A million normal pixels, so that 10 and 100 of them (1,000 and 100,000) are just the bounds' shares, and 300,000 thresholds.

    What is left is their grid: pixels between two thresholds move together; 1e-5 of the value here, a tenth of it with more thresholds.
    """
    truths, heatmaps = one_defect_each(16)
    assert aupimo(truths, heatmaps, bounds=bounds)[16:].tolist() == pytest.approx(expected, **NEAR)


def test_aupimo_where_the_bounds_are_missed():
    """13 pictures: 8.1 and 81.3 pixels are the bounds' shares. The library integrates between the thresholds nearest to the bounds, 8 and
    81 pixels, but divides by the span between the bounds: it counts a little too much at one end and too little at the other."""
    truths, heatmaps = one_defect_each(13)
    expected = [0.189901, 0.162838, 0.501044, 0.61982, 0.73396, 0.847936]
    ends = np.log(np.array([8, 81]) / (13 * SIZE**2) / BOUNDS)
    assert aupimo(truths, heatmaps)[13:].tolist() == pytest.approx(expected, abs=np.abs(ends).max() / np.log(10) + 1e-4)
    met = (8 / (13 * SIZE**2), 81 / (13 * SIZE**2))
    found = aupimo(truths, heatmaps, bounds=met)[13:] * np.log(met[1] / met[0]) / np.log(10)
    assert found.tolist() == pytest.approx(expected, **NEAR)


@pytest.mark.parametrize(
    ("levels", "limit", "expected"),
    [
        (0, 0.05, 0.3549254),
        (0, 0.3, 0.6045581),
        (0, 1.0, 0.8417764),
        (4, 0.05, 0.3532267),
        (4, 0.3, 0.6029896),
        (4, 1.0, 0.8412216),
    ],
)
def test_pro(levels, limit, expected):
    """Both are exact; theirs in float32."""
    assert pro(*many_regions(levels), limit=limit) == pytest.approx(expected, rel=1e-5)
