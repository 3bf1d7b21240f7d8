"""Simulated defects on real textures and on a drawn part before a plain background."""

import numpy as np
import pytest
from skimage import data as textures

from core.errors import BadInput
from tools.image.simulated_defects import (
    CELLS,
    NUMBER,
    PLACE,
    PRESENCE,
    VISIBLE,
    foreground,
    place_of,
    simulate,
)

BRICK = np.ascontiguousarray(np.repeat(textures.brick()[..., None], 3, axis=2)[:200, :260])
GRAVEL = np.ascontiguousarray(np.repeat(textures.gravel()[..., None], 3, axis=2)[:150, :150])


def part(seed=0):
    """A rough grey disc before white."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((160, 160))
    disc = (rows - 80) ** 2 + (columns - 80) ** 2 < 50**2
    pixels = np.full((160, 160, 3), 250, np.uint8)
    pixels[disc] = (90 + rng.integers(-30, 30, (disc.sum(), 1))).astype(np.uint8)
    return pixels, disc


@pytest.mark.parametrize("blending", ["poisson", "mixed", "paste"])
def test_only_the_mask_changes_and_it_changes_visibly(blending):
    made = simulate([BRICK, GRAVEL], count=12, seed=3, clean=0.0, blendings=(blending,))
    assert all(spot.blending in (blending, "paste") for photo in made for spot in photo.spots)
    assert sum(spot.blending == blending for photo in made for spot in photo.spots) >= 6
    for photo in made:
        before = (BRICK, GRAVEL)[photo.source]
        step = np.abs(photo.pixels.astype(int) - before.astype(int)).max(axis=2)
        assert photo.mask.any()
        assert (step[photo.mask] > 0).all()
        assert np.median(step[photo.mask]) > VISIBLE
        assert (step[~photo.mask] <= VISIBLE).all()
        assert photo.mask.mean() < 0.5


def test_poisson_blending_leaves_no_seam_where_a_plain_paste_does():
    """The jump across the mask's rim, in grey levels, against the jump across neighbouring pixels of the untouched photo."""
    from scipy.ndimage import binary_dilation

    def jump(blending):
        jumps = []
        for photo in simulate([GRAVEL], count=20, seed=8, clean=0.0, most=1, blendings=(blending,)):
            if photo.spots[0].blending != blending:
                continue
            outer = binary_dilation(photo.mask) & ~photo.mask
            rows, columns = np.nonzero(outer[1:-1, 1:-1])
            change = photo.pixels.astype(float).mean(axis=2) - GRAVEL.astype(float).mean(axis=2)
            near = [change[r : r + 3, c : c + 3][photo.mask[r : r + 3, c : c + 3]] for r, c in zip(rows, columns, strict=True)]
            jumps.append(np.mean([np.abs(part).mean() for part in near]))
        return np.median(jumps)

    assert jump("poisson") < 0.8 * jump("paste")


def test_the_seed_decides_everything_and_the_count_nothing():
    first, again = (simulate([BRICK, GRAVEL], count=6, seed=5) for _ in range(2))
    more, other = simulate([BRICK, GRAVEL], count=9, seed=5), simulate([BRICK, GRAVEL], count=6, seed=6)
    for a, b, c in zip(first, again, more[:6], strict=True):
        assert np.array_equal(a.pixels, b.pixels)
        assert np.array_equal(a.pixels, c.pixels)
        assert a.dialogue == b.dialogue == c.dialogue
    assert any(not np.array_equal(a.pixels, b.pixels) for a, b in zip(first, other, strict=True))


def test_inputs_stay_as_they_are_and_clean_photos_too():
    kept = BRICK.copy()
    made = simulate([BRICK], count=30, seed=1, clean=0.5)
    assert np.array_equal(BRICK, kept)
    clean = [photo for photo in made if not photo.spots]
    assert 8 <= len(clean) <= 22
    assert all(np.array_equal(photo.pixels, BRICK) and not photo.mask.any() for photo in clean)
    assert not any(photo.spots for photo in simulate([BRICK], count=5, clean=1.0))


def test_answers_say_what_the_mask_shows():
    from scipy.ndimage import label

    words = {"None.": 0, "One.": 1, "Two.": 2}
    seen = set()
    for photo in simulate([BRICK], count=40, seed=2, most=2):
        answers = dict(photo.dialogue)
        assert (answers[PRESENCE] == "Yes.") == photo.mask.any()
        assert words[answers[NUMBER]] == len(photo.spots)
        # blended shapes may show as several islands, never as fewer than there are defects
        assert label(photo.mask, np.ones((3, 3)))[1] >= len(photo.spots)
        seen.add(answers[NUMBER])
        if len(photo.spots) == 1:
            assert answers[PLACE].lower() == f"{place_of(photo.mask)}."
            assert photo.spots[0].share == pytest.approx(photo.mask.mean())
            assert place_of(photo.mask) in photo.description
        if not photo.spots:
            assert PLACE not in answers
    assert seen == set(words)


@pytest.mark.parametrize("cell", range(9))
def test_places_are_the_cells_of_the_picture(cell):
    mask = np.zeros((90, 120), bool)
    mask[30 * (cell // 3) + 10 : 30 * (cell // 3) + 20, 40 * (cell % 3) + 10 : 40 * (cell % 3) + 30] = True
    assert place_of(mask) == CELLS[cell]


def test_defects_lie_on_the_object():
    pixels, disc = part()
    assert (foreground(pixels) == disc).mean() > 0.98
    made = simulate([pixels, part(1)[0]], count=30, seed=4, clean=0.0)
    inside = [photo.mask[disc].sum() / photo.mask.sum() for photo in made]
    assert np.mean(inside) > 0.85
    assert min(inside) > 0.3
    assert foreground(BRICK).all()


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (7, 40), (8, 8), (33, 9)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_tiny_and_plain_photos_get_a_defect_too(size, level):
    for photo in simulate([np.full((*size, 3), level, np.uint8)], count=4, clean=0.0):
        assert photo.mask.any()
        assert photo.spots
        assert photo.pixels.shape == (*size, 3)


@pytest.mark.parametrize(
    ("photos", "settings"),
    [([], {}), ([np.zeros((4, 4), np.uint8)], {}), ([np.zeros((4, 4, 3))], {}), ([BRICK], {"count": 0}),
     ([BRICK], {"clean": 1.5}), ([BRICK], {"most": 0}), ([BRICK], {"blendings": ()})],
)  # fmt: skip
def test_wrong_input_is_refused(photos, settings):
    with pytest.raises(BadInput, match="expected"):
        simulate(photos, **{"count": 2, **settings})
