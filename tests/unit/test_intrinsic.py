import numpy as np
import pytest
from skimage import data as textures

from core.errors import BadInput
from core.samples import ImageSample
from metrics.ranking import auroc
from tools.image.intrinsic import Intrinsic

SPOT = (140, 210, 14)
"""Row, column and radius of the planted spot."""


def wall(*, spot=False):
    pixels = np.repeat(textures.brick()[:260, :330, None], 3, axis=2).copy()
    if spot:
        pixels[mask()] = 25
    return ImageSample(name="wall", pixels=pixels)


def mask():
    rows, columns = np.indices((260, 330))
    return (rows - SPOT[0]) ** 2 + (columns - SPOT[1]) ** 2 < SPOT[2] ** 2


def test_finds_the_one_spot_on_a_real_wall():
    plain, spotted = Intrinsic(side=224).score([wall(), wall(spot=True)])
    assert spotted.score > plain.score
    assert mask()[np.unravel_index(spotted.heatmap.argmax(), spotted.heatmap.shape)]
    assert auroc(mask(), spotted.heatmap) > 0.95


def test_what_recurs_is_ordinary():
    """The same spot once is strange, forty times it is the pattern."""
    rng = np.random.default_rng(0)
    ground = rng.integers(90, 110, (240, 320, 3)).astype(np.uint8)

    def spotted(places):
        pixels = ground.copy()
        for row, column in places:
            pixels[row : row + 12, column : column + 12] = 240
        return ImageSample(name="dots", pixels=pixels)

    once = [(112, 144)]
    often = [(row, column) for row in range(16, 240, 48) for column in range(16, 320, 40)]
    assert (112, 136) in often
    single, many = Intrinsic(side=224).score([spotted(once), spotted(often)])
    assert single.heatmap[118, 150] > 1.5 * many.heatmap[118, 142]


def test_a_mirrored_repetition_explains():
    """A part that is there once and once mirrored is less strange than a part that is there once."""
    left = np.full((200, 300, 3), 120, np.uint8)
    left[60:90, 60:66] = 250
    left[84:90, 60:90] = 250
    both = np.maximum(left, left[:, ::-1])
    one, two = Intrinsic(side=224, share=0.001).score([ImageSample(name=n, pixels=p) for n, p in (("one", left), ("two", both))])
    assert two.heatmap[87, 63] < one.heatmap[87, 63]


def test_corners_and_edges_of_a_plain_texture_are_not_the_strangest():
    heat = Intrinsic(side=224).score([wall()])[0].heatmap
    inner, border = heat[20:-20, 20:-20], np.concatenate([heat[:20].ravel(), heat[-20:].ravel()])
    assert np.median(border) < 1.3 * np.median(inner)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (17, 31)])
def test_odd_sizes_are_scored(size):
    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3)).astype(np.uint8)
    assert Intrinsic(side=64).score([ImageSample(name="x", pixels=pixels)])[0].heatmap.shape == size


def test_a_flat_photo_has_nothing_strange_inside():
    heat = Intrinsic(side=160).score([ImageSample(name="flat", pixels=np.full((120, 160, 3), 90, np.uint8))])[0].heatmap
    assert float(heat[40:80, 50:110].max()) < 0.1


@pytest.mark.parametrize("size", [(1, 1), (120, 160), (300, 300)])
@pytest.mark.parametrize("noise", [0, 2])
def test_a_photo_that_shows_nothing_is_nowhere_strange(size, noise):
    """The encoder's padding alone would make the edges of an even photo stand out."""
    pixels = 90 + np.random.default_rng(0).integers(0, noise + 1, (*size, 3)).astype(np.uint8)
    found = Intrinsic(side=96).score([ImageSample(name="flat", pixels=pixels)])[0]
    assert found.score == 0
    assert found.heatmap.shape == size
    assert not found.heatmap.any()


def test_a_faint_mark_on_an_even_photo_is_still_found():
    pixels = np.full((120, 160, 3), 90, np.uint8)
    pixels[56:64, 76:88] = 110
    heat = Intrinsic(side=160).score([ImageSample(name="faint", pixels=pixels)])[0].heatmap
    row, column = np.unravel_index(heat[24:-24, 24:-24].argmax(), (72, 112))
    assert 48 <= row + 24 <= 72
    assert 68 <= column + 24 <= 96


def test_fit_keeps_references_only(tmp_path):
    fresh, fitted = Intrinsic(side=96), Intrinsic(side=96).fit([wall(), wall(spot=True)])
    ours, theirs = (d.score([wall(spot=True)])[0] for d in (fresh, fitted))
    assert np.array_equal(ours.heatmap, theirs.heatmap)
    assert fitted.reference_scores()[1] == pytest.approx(ours.score)
    fitted.save(tmp_path / "x.npz")
    assert np.array_equal(Intrinsic.load(tmp_path / "x.npz").reference_scores(), fitted.reference_scores())


def test_wrong_use_is_refused():
    with pytest.raises(BadInput):
        Intrinsic(share=0.0)
    with pytest.raises(BadInput, match="at least one"):
        Intrinsic().score([])
