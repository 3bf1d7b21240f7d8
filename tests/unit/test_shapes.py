"""Usual shapes against a brute-force reference, and what only they see."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tools.series.shapes as shapes_module
from core.samples import Series
from tools.series.shapes import Shapes, learn_shapes, shape_energy
from tools.series.window_pca import WindowPCA


def by_hand(z, centres):
    """Every window against every centre, in plain loops."""
    length = min(centres.shape[1], len(z))
    centres = centres[:, :length].astype(np.float64)
    per_window = []
    for start in range(len(z) - length + 1):
        window = z[start : start + length].astype(np.float64)
        apart = (window - centres) ** 2
        nearest = apart.sum(axis=(1, 2)).argmin()
        per_window.append(apart[nearest].mean(axis=0))
    return np.array(
        [np.mean([e for start, e in enumerate(per_window) if start <= t < start + length], axis=0) for t in range(len(z))]
    )


@settings(deadline=None, max_examples=40)
@given(
    steps=st.integers(1, 60), channels=st.integers(1, 3), length=st.integers(1, 12), count=st.integers(1, 4),
    block=st.sampled_from([1, 7, 4_000_000]), seed=st.integers(0, 2**16),
)  # fmt: skip
def test_energies_equal_the_brute_force(steps, channels, length, count, block, seed):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(steps, channels)).astype(np.float32)
    centres = rng.normal(size=(count, length, channels)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes_module, "BLOCK_CELLS", block)
        found = shape_energy(z, Shapes(centres=centres))
    assert found.shape == z.shape
    np.testing.assert_allclose(found, by_hand(z, centres), atol=2e-4)


def test_two_habits_become_two_shapes():
    rng = np.random.default_rng(0)
    low, high = np.zeros((300, 2)), np.full((300, 2), 3.0)
    z = (np.concatenate([low, high]) + rng.normal(0, 0.05, (600, 2))).astype(np.float32)
    learned = learn_shapes([z[:300], z[300:]], length=20, count=2, seed=0)
    np.testing.assert_allclose(sorted(learned.centres.mean(axis=(1, 2))), [0.0, 3.0], atol=0.05)


def test_steps_set_aside_teach_no_shape():
    z = np.zeros((400, 1), np.float32)
    z[200:300] = 5.0
    keep = np.ones(400, bool)
    keep[190:310] = False
    learned = learn_shapes([z], length=10, count=4, seed=0, keep=[keep])
    assert learned.centres.max() == 0.0
    assert learn_shapes([z], length=10, count=4, seed=0).centres.max() > 4.0
    nothing_left = learn_shapes([z], length=10, count=4, seed=0, keep=[np.zeros(400, bool)])
    assert len(nothing_left.centres) >= 1


def busy(seed, *, fault):
    """Three channels with short bursts that come ten times as often during the fault, rows 1500 to 1900."""
    rng = np.random.default_rng(seed)
    often = np.full(3000, 0.01)
    if fault:
        often[1500:1900] = 0.1
    values = rng.normal(0, 0.1, (3000, 3)) + (rng.random((3000, 3)) < often[:, None]) * rng.uniform(0.5, 1.5, (3000, 3))
    return Series(name="s", values=values.astype(np.float32), time_s=np.arange(3000.0), channels=("a", "b", "c"))


def test_a_long_stretch_of_slightly_busier_readings_stands_out_by_its_shape():
    """Every burst is usual, only their number is not: what a view of 16 steps cannot tell."""
    margins = {}
    for count in (0, 10):
        detector = WindowPCA(shapes=count).fit([busy(1, fault=False)])
        scores = detector.score([busy(2, fault=True)])[0].scores
        inside, outside = scores[1500:1900], np.r_[scores[:1400], scores[2000:]]
        margins[count] = (inside[:, None] > outside[None]).mean()
    assert margins[10] > 0.95
    assert margins[10] > margins[0]


def test_causal_scores_have_no_shapes():
    normal, odd = busy(1, fault=False), busy(2, fault=True)
    causal = WindowPCA(causal=True).fit([normal]).score([odd])[0].scores
    np.testing.assert_array_equal(causal, WindowPCA(causal=True, shapes=0).fit([normal]).score([odd])[0].scores)
    alone = WindowPCA(causal=True).score([odd])[0].scores
    np.testing.assert_array_equal(alone, WindowPCA(causal=True, shapes=0).score([odd])[0].scores)
