"""Overlays, boxes, strips and plots: right place, right size, nothing changed that should not."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from core import draw
from core.errors import BadInput

GREY = np.full((60, 90, 3), 110, np.uint8)


def _heat(y, x):
    heat = np.zeros((60, 90), np.float32)
    heat[y, x] = 1.0
    return heat


def test_overlay_colours_only_where_it_is_hot():
    before = GREY.copy()
    picture = draw.overlay(GREY, _heat(12, 70), low=0.1)
    assert picture.shape == GREY.shape
    assert picture.dtype == np.uint8
    changed = np.argwhere((picture != GREY).any(axis=2))
    assert changed.tolist() == [[12, 70]]
    assert np.array_equal(GREY, before)


def test_hotter_is_lighter_on_black():
    ramp = np.linspace(0, 1, 90, dtype=np.float32)[None].repeat(60, axis=0)
    light = draw.overlay(np.zeros((60, 90, 3), np.uint8), ramp, low=0.0, high=1.0)[0].astype(float) @ [0.299, 0.587, 0.114]
    assert (np.diff(light) >= -0.6).all()  # perceptual: lightness grows with the value, up to rounding
    assert light[-1] > light[0] + 100


def test_one_scale_makes_pictures_comparable():
    weak = draw.overlay(GREY, 0.3 * _heat(5, 5), low=0.1, high=1.0)[5, 5].astype(int)
    strong = draw.overlay(GREY, _heat(5, 5), low=0.1, high=1.0)[5, 5].astype(int)
    assert np.abs(strong - 110).sum() > np.abs(weak - 110).sum()


@pytest.mark.parametrize("heat", [np.zeros((90, 60), np.float32), np.full((60, 90), np.nan, np.float32)])
def test_overlay_refuses_what_does_not_fit(heat):
    with pytest.raises(BadInput, match="expected finite values of shape"):
        draw.overlay(GREY, heat)


def test_a_constant_heatmap_leaves_the_picture():
    assert np.array_equal(draw.overlay(GREY, np.full((60, 90), 3.0, np.float32)), GREY)


def test_boxes_are_drawn_at_their_edges_and_cut_at_the_border():
    picture = draw.boxes(GREY, [(10, 20, 30, 40), (80, 50, 200, 300), (500, 500, 600, 600)])
    assert tuple(picture[39, 20]) == draw.MARK
    assert tuple(picture[30, 10]) == draw.MARK
    assert tuple(picture[59, 85]) == draw.MARK
    assert tuple(picture[30, 20]) == (110, 110, 110)


def test_strip_has_one_stamped_tile_per_frame():
    frames = [(float(t), np.full((30, 40, 3), 10 * t, np.uint8)) for t in range(1, 6)]
    strip = draw.contact_strip(frames, height=90, columns=3)
    assert strip.shape == (2 * 90 + 2, 3 * 120 + 2 * 2, 3)
    assert strip[5, 60].tolist() == [10, 10, 10]
    assert strip[100, 130].tolist() == [50, 50, 50]
    assert strip[60:90, :60].max() > 200  # white digits


def test_strip_needs_a_frame():
    with pytest.raises(BadInput, match="at least one frame"):
        draw.contact_strip([])


def test_png_keeps_every_pixel():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 11, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(BytesIO(draw.png_bytes(pixels)))), pixels)


def _plot(**more):
    time_s = np.arange(5000.0)
    values = np.sin(time_s / 50)[:, None].repeat(2, axis=1).astype(np.float32)
    values[1000:1200, 1] = np.nan
    return np.asarray(
        Image.open(BytesIO(draw.series_plot(time_s, values, ["a $x_1$ 100 %", "Δp °C"], **more))).convert("RGB")
    ).astype(int)


def test_events_are_shaded_where_they_are():
    plain, shaded = _plot(), _plot(events=[(2500.0, 3500.0)])
    assert plain.shape == shaded.shape
    columns = np.nonzero((plain != shaded).any(axis=(0, 2)))[0] / plain.shape[1]
    assert 0.45 < columns.min() < 0.6
    assert 0.65 < columns.max() < 0.8


def test_clock_time_is_another_axis():
    assert (_plot() != _plot(epoch_s=1.77e9)).any()


def test_thinning_keeps_spikes_and_gaps():
    values = np.zeros(100_000, np.float32)
    values[54_321] = 9.0
    values[10_000:20_000] = np.nan
    at, thinned = draw._thin(np.arange(100_000.0), values)
    assert len(at) <= draw.MAX_POINTS
    assert thinned[at == 54_321].tolist() == [9.0]
    assert np.isnan(thinned[(at > 11_000) & (at < 19_000)]).all()


def test_plot_refuses_what_does_not_fit():
    with pytest.raises(BadInput, match="expected values of shape"):
        draw.series_plot(np.arange(3.0), np.zeros((4, 1), np.float32), ["a"])


def test_drawing_never_loads_torch():
    import subprocess
    import sys

    code = (
        "import sys, numpy as np; from core import draw; p = np.zeros((9, 9, 3), np.uint8);"
        "draw.png_bytes(draw.overlay(p, np.eye(9, dtype=np.float32), boxes=[(1, 1, 4, 4)]));"
        "draw.series_plot(np.arange(3.0), np.zeros((3, 1), np.float32), ['a']);"
        "print('torch' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == [
        "False",
        "False",
    ]
