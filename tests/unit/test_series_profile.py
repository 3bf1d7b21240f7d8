"""The matrix profile among the ensemble's members: against brute force, at pieces' ends, in the detector, and where stumpy is missing."""

import sys

import numpy as np
import pytest

from core.errors import MissingExtra
from core.samples import Series
from tools.series.ensemble import SeriesEnsemble
from tools.series.profile import FAR, MOST_STEPS, joined, profile_energy


def waves(steps, channels=2, *, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(steps)[:, None]
    return (np.sin(t / 6 + np.arange(channels)) + 0.1 * rng.standard_normal((steps, channels))).astype(np.float32)


def brute(z, known, length):
    """The mean, over the windows a step lies in, of the squared distance to the nearest window without a gap."""
    out = np.empty(z.shape)
    for channel in range(z.shape[1]):
        theirs = np.lib.stride_tricks.sliding_window_view(known[:, channel], length)
        theirs = theirs[~np.isnan(theirs).any(axis=1)]
        ours = np.lib.stride_tricks.sliding_window_view(z[:, channel], length)
        energy = ((ours[:, None] - theirs[None]) ** 2).sum(axis=2).min(axis=1) / length
        for step in range(len(z)):
            out[step, channel] = energy[max(0, step - length + 1) : step + 1].mean()
    return out


def test_energies_equal_those_of_brute_force():
    pytest.importorskip("stumpy")
    known = joined([waves(80, seed=1), waves(60, seed=2)], [np.arange(80) != 33, np.ones(60, bool)])
    z = waves(70, seed=3)
    np.testing.assert_allclose(profile_energy(z, known, window=8), brute(z, known, 8), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_compared_is_far_and_what_stands_still_as_before_is_near():
    pytest.importorskip("stumpy")
    still = np.zeros((40, 1), np.float32)
    assert not profile_energy(still, still, window=8).any()
    nothing = np.full((40, 1), np.nan, np.float32)
    assert (profile_energy(waves(40, 1), nothing, window=8) == FAR).all()
    assert (profile_energy(waves(2, 1), still, window=8) == FAR).all()


def test_a_long_reference_keeps_a_part_of_every_piece():
    kept = joined([np.full((MOST_STEPS, 1), number, np.float32) for number in range(4)])
    assert len(kept) <= MOST_STEPS + 4
    assert {int(value) for value in np.unique(kept[~np.isnan(kept)])} == {0, 1, 2, 3}


@pytest.mark.parametrize("history", [True, False])
def test_a_shape_of_usual_size_that_never_occurred_is_found(history, tmp_path):
    pytest.importorskip("stumpy")
    values = waves(1_200, seed=4)
    values[700:740, 1] = values[700:740, 1][::-1] * np.sign(np.sin(np.arange(40) / 2))
    given = Series(name="s", values=values, time_s=np.arange(1_200.0), channels=("a", "b"))
    detector = SeriesEnsemble(members=("profile",))
    if history:
        normal = Series(name="n", values=waves(1_200, seed=5), time_s=np.arange(1_200.0), channels=("a", "b"))
        detector.fit([normal]).save(tmp_path / "a.npz")
        detector = SeriesEnsemble.load(tmp_path / "a.npz")
    found = detector.score([given])[0]
    assert 690 <= int(found.scores.argmax()) < 750
    assert int(found.channels[700:740].sum(axis=0).argmax()) == 1


def test_without_stumpy_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "stumpy", None)
    with pytest.raises(MissingExtra, match=r"telltale\[profile\]"):
        profile_energy(waves(40), waves(40), window=8)
