import numpy as np
import pytest

from core.errors import BadInput
from core.samples import Frame
from models.flow import DenseFlow


def _texture(height, width, seed=0):
    import cv2

    noise = np.random.default_rng(seed).integers(0, 255, (height // 4, width // 4, 3), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize(("shift", "axis", "channel"), [(3, 1, 0), (-3, 1, 0), (2, 0, 1)])
def test_a_shifted_picture_flows_by_the_shift(shift, axis, channel):
    picture = _texture(96, 128)
    flow, scale = DenseFlow(side=128).between(picture, np.roll(picture, shift, axis=axis))
    assert flow.shape == (96, 128, 2)
    assert flow.dtype == np.float32
    assert scale == 1.0
    assert np.median(flow[16:-16, 16:-16, channel]) == pytest.approx(shift, abs=0.3)
    assert abs(np.median(flow[16:-16, 16:-16, 1 - channel])) < 0.3


def test_flow_times_scale_is_in_original_pixels():
    picture = _texture(192, 256)
    flow, scale = DenseFlow(side=128).between(picture, np.roll(picture, 6, axis=1))
    assert flow.shape == (96, 128, 2)
    assert np.median(flow[..., 0]) * scale == pytest.approx(6, abs=0.5)


def test_a_stream_has_true_time_steps_and_leaves_out_repeated_times():
    picture = _texture(48, 64)
    frames = [Frame(i, t, np.roll(picture, i, axis=1)) for i, t in enumerate((0.0, 0.1, 0.1, 0.4))]
    steps = list(DenseFlow(side=64).stream(frames))
    assert [round(one.dt_s, 3) for one in steps] == [0.1, 0.3]
    assert [one.frame.number for one in steps] == [1, 3]


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 7), (15, 15), (17, 33)])
def test_odd_and_tiny_sizes(size):
    picture = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    flow, _ = DenseFlow(side=320).between(picture, picture)
    assert flow.shape[2] == 2
    assert np.isfinite(flow).all()
    assert np.abs(flow).max() < 1.0


def test_flat_pictures_do_not_move():
    flat = np.full((64, 64, 3), 200, np.uint8)
    flow, _ = DenseFlow(side=64).between(flat, flat)
    assert np.abs(flow).max() < 0.1


def test_bad_values_are_refused():
    with pytest.raises(BadInput, match="at least 16"):
        DenseFlow(side=4)
    with pytest.raises(BadInput, match="ultrafast"):
        DenseFlow(preset="slow")
    with pytest.raises(BadInput, match="one size"):
        DenseFlow().between(np.zeros((20, 20, 3), np.uint8), np.zeros((20, 21, 3), np.uint8))
