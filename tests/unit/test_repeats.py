"""Footage that is played again is recognised; what merely resembles itself is not."""

import numpy as np
import pytest

from core.samples import Frame, VideoClip
from tools.video.repeats import Thumbnails, round_of

RATE = 10.0


def walk(seconds, seed):
    """A bright figure that wanders over a textured ground, with a little noise: (T, 48, 64, 3) uint8."""
    rng = np.random.default_rng(seed)
    count = int(seconds * RATE)
    ground = np.random.default_rng(99).integers(60, 120, (48, 64, 3))
    places = np.cumsum(rng.normal(0, 2.5, (count, 2)), axis=0) + np.array([18, 26])
    frames = np.repeat(ground[None], count, axis=0) + rng.integers(-3, 4, (count, 48, 64, 3))
    for frame, (y, x) in zip(frames, places.astype(int) % [36, 52], strict=True):
        frame[y : y + 12, x : x + 12] = 220
    return frames.clip(0, 255).astype(np.uint8)


def round_s(frames):
    seen = Thumbnails()
    for _ in seen.watch(VideoClip.from_array("walk", frames, fps=RATE).frames()):
        pass
    return seen.round_s()


@pytest.mark.parametrize("times", [2, 3, 5])
def test_a_clip_played_again_is_recognised_by_its_length(times):
    once = walk(6, 1).astype(int)
    noise = np.random.default_rng(0)
    frames = np.concatenate([once + noise.integers(-4, 5, once.shape) for _ in range(times)]).clip(0, 255).astype(np.uint8)
    assert round_s(frames) == pytest.approx(6.0, abs=0.1)


def test_a_last_round_that_is_cut_off_still_counts():
    once = walk(6, 2)
    assert round_s(np.concatenate([once, once[:30]])) == pytest.approx(6.0, abs=0.1)


@pytest.mark.parametrize("seed", range(6))
def test_other_footage_of_the_same_place_is_no_copy(seed):
    assert round_s(walk(12, seed)) is None
    assert round_s(np.concatenate([walk(6, seed), walk(6, seed + 100)])) is None


def test_stills_noise_and_short_clips_have_no_round():
    still = np.full((80, 48, 64, 3), 90, np.uint8)
    assert round_s(still) is None
    noisy = np.random.default_rng(0).integers(88, 93, still.shape).astype(np.uint8)
    assert round_s(noisy) is None
    assert round_s(walk(1, 0)) is None
    assert round_of(np.zeros((1, 4), np.float32), step_s=0.1) is None


def test_frames_of_a_variable_rate_are_put_on_a_clock():
    once = walk(6, 3)
    frames = np.concatenate([once, once])
    kept = np.sort(np.random.default_rng(0).choice(len(frames), 100, replace=False))
    seen = Thumbnails()
    for _ in seen.watch(iter([Frame(int(i), i / RATE, frames[i]) for i in kept])):
        pass
    assert seen.round_s() == pytest.approx(6.0, abs=0.2)
