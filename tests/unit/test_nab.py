"""NAB's scoring: values worked by hand, and every threshold, recording and step in turn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadInput
from metrics.nab import LOW_FALSE_ALARMS, LOW_MISSES, PROFILES, STANDARD, Recording, best_nab, nab, probation


def sigma(position):
    return -1.0 if position >= 3 else 2 / (1 + math.exp(5 * position)) - 1


def brute_force(recordings, threshold, profile):
    """The normalised score, step by step as the benchmark's paper tells it."""
    total, found = 0.0, 0
    for recording in recordings:
        skipped = min(math.floor(0.15 * len(recording.scores)), 750)
        for first, last in recording.windows:
            if last < skipped:
                continue
            found += 1
            alarms = [i for i in range(max(first, skipped), last + 1) if recording.scores[i] >= threshold]
            if alarms:
                total += sigma(-(last - alarms[0] + 1) / (last - first + 1)) / sigma(-1)
            else:
                total -= profile.miss
        for i in range(skipped, len(recording.scores)):
            if recording.scores[i] < threshold or any(first <= i <= last for first, last in recording.windows):
                continue
            before = [(first, last) for first, last in recording.windows if last < i]
            behind = (i - before[-1][1]) / (before[-1][1] - before[-1][0]) if before and before[-1][1] > before[-1][0] else 3
            total += profile.false_alarm * sigma(behind)
    silent = -profile.miss * found
    return 100 * (total - silent) / (found - silent)


def recording(size, windows, *alarms):
    scores = np.zeros(size)
    scores[list(alarms)] = 1
    return Recording(scores=scores, windows=windows)


def test_an_alarm_at_the_first_step_of_each_window_is_worth_100_and_silence_0():
    two = [recording(100, [(40, 49), (70, 79)], 40, 70), recording(50, [(20, 29)], 20)]
    for profile in PROFILES:
        assert nab(two, 0.5, profile) == pytest.approx(100)
        assert nab(two, 2.0, profile) == 0


@pytest.mark.parametrize(
    ("alarms", "profile", "expected"),
    [
        # The last step of ten: σ(−1/10) = 0.2449187 of σ(−1) = 0.9866143, so 0.2482416; and 100 · (1 + 0.2482416)/2.
        ((49,), STANDARD, 62.412080),
        # Later alarms in the window change nothing.
        ((49, 48, 47), STANDARD, 50 + 50 * (2 / (1 + math.exp(-1.5)) - 1) / 0.98661430),
        # 9 steps behind a window of 10: σ(1) = −0.9866143, a false alarm of 0.11 · 0.9866143 = 0.1085276 beside a miss.
        ((58,), STANDARD, -50 * 0.10852757),
        # Before any window it costs all of 0.11 (0.22): 100 · (0 − 0.11)/2.
        ((20,), STANDARD, -5.5),
        ((20,), LOW_FALSE_ALARMS, -11.0),
        # Where a miss weighs 2, silence is −2 of 1, and one alarm at the first step with a false one before: (3 − 0.11)/3.
        ((20, 40), LOW_MISSES, 100 * 2.89 / 3),
        # Steps 0 to 14 of 100 are not scored.
        ((14, 40), STANDARD, 100.0),
        ((15, 40), STANDARD, 94.5),
        # 27 steps behind is three windows' lengths: the whole weight.
        ((76,), STANDARD, -5.5),
    ],
)
def test_values_worked_by_hand(alarms, profile, expected):
    assert nab([recording(100, [(40, 49)], *alarms)], 0.5, profile) == pytest.approx(expected, abs=1e-5)


@st.composite
def recordings(draw):
    found = []
    for _ in range(draw(st.integers(1, 3))):
        size = draw(st.integers(20, 60))
        edges = sorted(draw(st.lists(st.integers(size // 5, size - 1), min_size=2, max_size=6, unique=True)))
        windows = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False)]
        scores = draw(st.lists(st.integers(0, 6), min_size=size, max_size=size))
        found.append(Recording(scores=np.array(scores, np.float32), windows=windows))
    return found


@settings(max_examples=60, deadline=None)
@given(recordings(), st.sampled_from(PROFILES))
def test_equals_the_loop_at_every_threshold_and_the_best_is_the_best_of_them(found, profile):
    thresholds = [7.0, *range(6, -1, -1)]
    slow = [brute_force(found, threshold, profile) for threshold in thresholds]
    assert [nab(found, threshold, profile) for threshold in thresholds] == pytest.approx(slow)
    best = best_nab(found, profile)
    assert best.score == pytest.approx(max(slow))
    assert nab(found, best.threshold, profile) == pytest.approx(best.score)


def test_a_window_of_one_step_and_one_inside_the_unscored_beginning():
    assert nab([recording(100, [(40, 40)], 40, 41)], 0.5) == pytest.approx(100 - 5.5)
    assert nab([recording(100, [(3, 8), (40, 49)], 5, 40)], 0.5) == pytest.approx(100)  # the first cannot be found or missed
    with pytest.raises(BadInput, match="at least one labelled window"):
        nab([recording(100, [(3, 8)])], 0.5)


def test_a_threshold_for_each_recording():
    two = [recording(100, [(40, 49)], 40), Recording(scores=10 * recording(100, [], 60).scores, windows=[])]
    assert nab(two, 0.5) == pytest.approx(94.5)
    assert nab(two, [0.5, 20.0]) == pytest.approx(100)
    with pytest.raises(BadInput, match="got 1"):
        nab(two, [0.5])


def test_a_long_recording_skips_750_steps():
    assert probation(20_000) == 750
    assert nab([recording(20_000, [(9_000, 9_009)], 749, 9_000)], 0.5) == pytest.approx(100)
    assert nab([recording(20_000, [(9_000, 9_009)], 750, 9_000)], 0.5) == pytest.approx(94.5)


@pytest.mark.parametrize("windows", [[(5, 3)], [(40, 120)], [(40, 50), (50, 60)], [(60, 70), (20, 30)]])
def test_windows_out_of_order_or_range_are_refused(windows):
    with pytest.raises(BadInput, match="in the order of time"):
        recording(100, windows)


def test_scores_must_be_finite():
    with pytest.raises(BadInput, match="finite scores"):
        Recording(scores=np.array([0.0, np.nan]), windows=[])
    with pytest.raises(BadInput, match="got none"):
        best_nab([])
