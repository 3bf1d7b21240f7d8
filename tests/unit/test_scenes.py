import numpy as np
import pytest

from core.samples import VideoClip
from tools.video.frame_novelty import FrameNovelty
from tools.video.repeats import Thumbnails
from tools.video.scenes import SIDE, Scenes, scenes_of

FPS = 10.0


def scene(seed, count, *, dark=1.0, size=(48, 64)):
    """A textured place that a block crosses."""
    rng = np.random.default_rng(seed)
    ground = np.kron(rng.integers(40, 200, (6, 8)), np.ones((size[0] // 6, size[1] // 8)))
    frames = np.repeat((ground * dark)[None, ..., None], count, 0).repeat(3, axis=3)
    for number, frame in enumerate(frames):
        left = number % (size[1] - 8)
        frame[20:30, left : left + 8] = 230
    return (frames + rng.normal(0, 2, frames.shape)).clip(0, 255).astype(np.uint8)


def found(frames):
    seen = Thumbnails()
    for _ in seen.watch(VideoClip.from_array("toy", frames, fps=FPS).frames()):
        pass
    return seen.scenes()


def test_a_cut_away_and_back_shows_the_first_scene_again():
    scenes = found(np.concatenate([scene(0, 40), scene(1, 30), scene(0, 40)]))
    assert scenes.jumps_s == (4.0, 7.0)
    assert scenes.numbers == (0, 1, 0)
    assert scenes.seconds == pytest.approx((7.9, 3.0))


def test_a_camera_that_is_turned_shows_another_scene():
    frames = scene(0, 80)
    frames[40:] = np.roll(frames[40:], 9, axis=2)
    assert found(frames).jumps_s == (4.0,)


def test_light_and_what_moves_in_a_scene_are_no_jump():
    assert found(scene(0, 80)).jumps_s == ()
    assert found(np.concatenate([scene(0, 40), scene(0, 40, dark=0.5)])).jumps_s == ()
    passing = scene(0, 80)
    for number in range(30, 60):  # a van before half of the picture, coming and going
        left = max(0, 2 * (number - 30) - 32)
        passing[number, :, left : left + 32] = 120
    assert found(passing).jumps_s == ()


def test_a_thing_that_is_suddenly_there_is_no_jump():
    frames = scene(0, 80)
    frames[30:60, 8:40, 16:48] = np.random.default_rng(5).integers(0, 255, (32, 32, 1))
    assert found(frames).jumps_s == ()


def test_a_fade_is_slow_and_no_jump():
    a, b = scene(0, 80).astype(float), scene(1, 80).astype(float)
    share = np.clip((np.arange(80) - 20) / 40, 0, 1)[:, None, None, None]
    assert found((a * (1 - share) + b * share).astype(np.uint8)).jumps_s == ()


def test_moments_at_a_jump_and_of_a_glimpse_belong_to_no_scene():
    scenes = Scenes((4.0, 5.0), (0, 1, 0), (9.0, 1.0))
    assert scenes.of(np.array([1.0, 3.8, 4.2, 4.5, 5.1, 6.0])).tolist() == [0, -1, -1, -1, -1, 0]
    assert scenes.near(np.array([3.8, 4.5])).tolist() == [True, False]
    assert Scenes((), (0,), (0.4,)).of(np.array([0.1])).tolist() == [0]


@pytest.mark.parametrize("count", [0, 1, 3, 9])
def test_few_pictures_have_one_scene(count):
    assert scenes_of(np.arange(count) / 10, np.zeros((count, SIDE * SIDE), np.float32)).numbers == (0,)


def test_a_cut_is_told_and_scored_as_no_event():
    frames = np.concatenate([scene(0, 60), scene(1, 30), scene(0, 60)])
    detector = FrameNovelty(side=64, flow_side=64)
    score = detector.score([VideoClip.from_array("cut", frames, fps=FPS)])[0]
    assert score.jumps_s == (6.0, 9.0)
    assert not score.valid[np.abs(score.seconds - 6.0) < 0.3].any()
    assert score.scores[score.valid].max() < 5.0
    fitted = FrameNovelty(side=64, flow_side=64).fit([VideoClip.from_array("one", scene(0, 60), fps=FPS)])
    against = fitted.score([VideoClip.from_array("cut", frames, fps=FPS)])[0]
    assert against.jumps_s == (6.0, 9.0)
    assert not against.valid[np.abs(against.seconds - 9.0) < 0.3].any()
