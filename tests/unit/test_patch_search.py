import numpy as np
import pytest
import torch
from skimage import data as textures

from core.calibrate import from_reference
from core.errors import BadInput, NotFitted
from core.progress import watching
from core.samples import ImageSample
from metrics.ranking import auroc
from tools.image.patch_maps import BLUR_CELLS, orientations, patch_vectors, picture_score, score_of
from tools.image.patch_search import PatchSearch

BRICK = np.repeat(textures.brick()[..., None], 3, axis=2)


def photo(number, *, hole=False, size=(150, 200), name="photo"):
    """A crop of a real brick wall, lit a little differently each time; `hole` is a dark round spot."""
    rng = np.random.default_rng(number)
    top, left = rng.integers(0, 512 - size[0]), rng.integers(0, 512 - size[1])
    pixels = BRICK[top : top + size[0], left : left + size[1]] * rng.uniform(0.9, 1.1)
    if hole:
        rows, columns = np.indices(size)
        pixels[(rows - 90) ** 2 + (columns - 60) ** 2 < 14**2] = 20
    return ImageSample(name=f"{name} {number}", pixels=pixels.clip(0, 255).astype(np.uint8))


def truth(size=(150, 200)):
    rows, columns = np.indices(size)
    return (rows - 90) ** 2 + (columns - 60) ** 2 < 14**2


@pytest.fixture(scope="module")
def fitted():
    return PatchSearch(side=160, bank=2000).fit([photo(n) for n in range(6)])


def test_finds_the_hole_and_where_it_is(fitted):
    good = fitted.score([photo(n) for n in range(20, 24)])
    torn = fitted.score([photo(n, hole=True) for n in range(20, 24)])
    assert min(s.score for s in torn) > max(s.score for s in good)
    for score in torn:
        assert score.heatmap.shape == (150, 200)
        assert truth()[np.unravel_index(score.heatmap.argmax(), score.heatmap.shape)]
        assert auroc(truth(), score.heatmap) > 0.95


def test_one_normal_photo_is_enough_for_an_obvious_hole():
    search = PatchSearch(side=160).fit([photo(0)])
    good, torn = search.score([photo(21), photo(21, hole=True)])
    assert torn.score > good.score
    assert len(search.reference_scores()) == 8


def test_held_out_scores_are_near_those_of_a_search_without_the_photo():
    """Leaving a photo out also makes the others a little rarer, so a bit below, never by much."""
    normal = [photo(n) for n in range(5)]
    search = PatchSearch(side=96, bank=100_000, augment=False).fit(normal)
    for left_out, held_out in enumerate(search.reference_scores()):
        others = [sample for number, sample in enumerate(normal) if number != left_out]
        alone = PatchSearch(side=96, bank=100_000, augment=False).fit(others).score([normal[left_out]])[0]
        assert 0.95 < held_out / alone.score < 1.3
    assert search.score([normal[0]])[0].score < 0.01 < search.reference_scores().min()


def test_strangeness_is_the_weighed_distance():
    normal = [photo(n) for n in range(3)]
    search = PatchSearch(side=96, bank=100_000, augment=False).fit(normal)
    vectors = [patch_vectors(search._encoder, sample.pixels).flatten(0, 1) for sample in (*normal, photo(9, hole=True))]
    query, memory = vectors.pop(), torch.cat(vectors)
    owner = torch.arange(3).repeat_interleave(len(vectors[0]))
    among = torch.cdist(memory, memory)
    among[owner[:, None] == owner[None]] = torch.inf
    table = torch.cdist(query, memory)
    d, index = table.min(dim=1)
    expected = d * d / (d + among.amin(dim=1)[index])
    assert np.allclose(search._strangeness(query), expected.numpy(), atol=2e-3)


def test_held_out_scores_are_like_those_of_new_normal_photos(fitted):
    new = np.array([s.score for s in fitted.score([photo(n) for n in range(30, 42)])])
    held_out = fitted.reference_scores()
    assert len(held_out) == 6
    assert 0.7 < np.median(held_out) / np.median(new) < 1.4


def test_turned_copies_explain_a_turned_photo():
    stripes = np.repeat((np.indices((120, 120))[0] % 16 < 8)[..., None], 3, axis=2).astype(np.uint8) * 200
    turned = ImageSample(name="turned", pixels=np.ascontiguousarray(np.rot90(stripes)))
    upright = ImageSample(name="upright", pixels=stripes)
    known = PatchSearch(side=96).fit([upright]).score([turned])[0].score
    strict = PatchSearch(side=96, augment=False).fit([upright])
    assert known < 0.2 * strict.score([turned])[0].score
    assert len(strict.reference_scores()) == 7


def test_many_normals_are_sampled_evenly(monkeypatch):
    monkeypatch.setattr("tools.image.patch_search.POOL", 300)
    search = PatchSearch(side=96, bank=150, augment=False).fit([photo(n) for n in range(10)])
    assert len(search.reference_scores()) == 10
    assert search.score([photo(40, hole=True)])[0].score > search.score([photo(40)])[0].score


def test_photos_of_other_sizes_are_searched_too(fitted):
    for size in ((90, 260), (260, 90), (31, 47)):
        assert fitted.score([photo(50, size=size)])[0].heatmap.shape == size


def test_exposure_alone_is_not_strange(fitted):
    dim = ImageSample(name="dim", pixels=(photo(22).pixels * 0.6).astype(np.uint8))
    plain, darker, torn = fitted.score([photo(22), dim, photo(22, hole=True)])
    assert darker.score - plain.score < 0.5 * (torn.score - plain.score)


def test_a_lazy_batch_is_read_one_photo_at_a_time(fitted):
    opened = []

    class Folder:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            if index >= 3:
                raise IndexError
            opened.append(index)
            return photo(index)

    scores = fitted.score(Folder())
    assert [s.sample for s in scores] == ["photo 0", "photo 1", "photo 2"]
    assert opened == [0, 1, 2]


def test_progress_is_told(fitted):
    seen = []
    with watching(lambda what, done, total: seen.append((what, done, total))):
        fitted.score([photo(1), photo(2)])
    assert ("photos", 2, 2) in seen


def test_save_and_load(tmp_path, fitted):
    fitted.save(tmp_path / "memory.npz")
    loaded = PatchSearch.load(tmp_path / "memory.npz")
    ours, theirs = (d.score([photo(23, hole=True)])[0] for d in (fitted, loaded))
    assert np.array_equal(ours.heatmap, theirs.heatmap)
    assert np.array_equal(fitted.reference_scores(), loaded.reference_scores())


def test_wrong_use_is_refused(tmp_path):
    with pytest.raises(NotFitted, match="patch_search"):
        PatchSearch().score([photo(0)])
    with pytest.raises(NotFitted):
        PatchSearch().save(tmp_path / "x.npz")
    with pytest.raises(BadInput, match="at least one patch"):
        PatchSearch(bank=0)
    with pytest.raises(BadInput, match="expected ImageSample"):
        PatchSearch().fit(iter_of_wrong())


def iter_of_wrong():
    class Wrong:
        def __len__(self):
            return 1

        def __getitem__(self, index):
            if index:
                raise IndexError
            return "photo.png"

    return Wrong()


def test_score_is_the_mean_of_the_strangest_percent():
    patches = np.zeros(1000, np.float32)
    patches[:10] = np.arange(10)
    assert picture_score(patches) == pytest.approx(4.5)
    assert picture_score(patches[:50].reshape(5, 10)) == 9


def test_heatmap_peaks_where_the_patch_is(fitted):
    encoder = fitted._encoder
    patches = np.zeros(encoder.grid(150, 200), np.float32)
    patches[3, 10] = 1
    heat = score_of("x", encoder, patches, np.zeros((150, 200, 3), np.uint8)).heatmap
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert abs(row - (3 * 8 + 3.4) * 150 / encoder.resized(150, 200)[0]) < 3
    assert abs(column - (10 * 8 + 3.4) * 200 / encoder.resized(150, 200)[1]) < 3
    assert BLUR_CELLS < 1 < 2 * heat.max()


def test_orientations_are_eight_different_ones_and_vectors_are_unit(fitted):
    cells = np.arange(6).reshape(2, 3)
    assert len({o.tobytes() + bytes(o.shape) for o in orientations(cells)}) == 8
    vectors = patch_vectors(fitted._encoder, photo(0).pixels)
    assert torch.allclose(vectors.norm(dim=-1), torch.ones(vectors.shape[:2]), atol=1e-5)


def sticker(number, top=40, left=120):
    """A photo with a harmless label at (top, left): red, with a white stripe."""
    pixels = photo(number).pixels.copy()
    pixels[top : top + 24, left : left + 24] = (200, 40, 40)
    pixels[top + 8 : top + 16, left + 4 : left + 20] = 250
    return ImageSample(name=f"sticker {number}", pixels=pixels)


@pytest.fixture(scope="module")
def stickers():
    """The same label on other photos, elsewhere on the grid of patches."""
    return [sticker(30 + n, *place) for n, place in enumerate([(40, 120), (43, 117), (81, 32), (22, 61)])]


@pytest.fixture(scope="module")
def taught():
    search = PatchSearch(side=160, bank=2000).fit([photo(n) for n in range(12)])
    before = search.score([sticker(30)])[0].score, search.score([photo(n, hole=True) for n in range(20, 24)])
    added = search.learn(sticker(29), box=(120, 40, 144, 64))
    return search, before, added


def test_a_learnt_false_alarm_is_not_raised_again_and_a_defect_still_is(taught, stickers):
    search, (before, _), added = taught
    threshold = from_reference(search.reference_scores(), false_positive_rate=0.01).threshold
    assert added == search.learnt > 0
    assert before > threshold
    assert max(s.score for s in search.score(stickers)) < threshold
    torn = search.score([photo(n, hole=True) for n in range(20, 24)])
    assert min(s.score for s in torn) > threshold
    assert all(truth()[np.unravel_index(s.heatmap.argmax(), s.heatmap.shape)] for s in torn)


def test_a_defect_beside_a_learnt_label_is_still_found(taught):
    search, _, _ = taught
    both = sticker(31, 43, 117)
    pixels = both.pixels.copy()
    pixels[truth()] = 20
    score = search.score([ImageSample(name="both", pixels=pixels)])[0]
    assert truth()[np.unravel_index(score.heatmap.argmax(), score.heatmap.shape)]
    assert score.score > from_reference(search.reference_scores()).threshold


def test_what_was_learnt_is_saved_and_forgotten_by_a_new_fit(tmp_path, taught, stickers):
    search, _, added = taught
    search.save(tmp_path / "memory.npz")
    loaded = PatchSearch.load(tmp_path / "memory.npz")
    assert loaded.learnt == added
    assert np.array_equal(loaded.score(stickers[:1])[0].heatmap, search.score(stickers[:1])[0].heatmap)
    assert loaded.learn(sticker(29), box=(120, 40, 144, 64)) == 0  # it is known already
    again = loaded.fit([photo(n) for n in range(3)])
    assert again.learnt == 0
    fresh = PatchSearch(side=160, bank=2000).fit([photo(n) for n in range(3)])
    assert again.score(stickers[:1])[0].score == fresh.score(stickers[:1])[0].score


def test_few_normals_are_turned_and_so_is_what_is_learnt():
    search = PatchSearch(side=96, bank=2000).fit([photo(n) for n in range(2)])
    label = sticker(29)
    search.learn(label, box=(120, 40, 144, 64))
    turned = ImageSample(name="turned", pixels=np.ascontiguousarray(np.rot90(label.pixels)))
    plain = PatchSearch(side=96, bank=2000).fit([photo(n) for n in range(2)])
    assert search.score([turned])[0].score < 0.6 * plain.score([turned])[0].score


def test_a_mask_a_box_and_the_whole_photo_mean_the_same_patches():
    known = PatchSearch(side=96, bank=500, augment=False).fit([photo(n) for n in range(3)])
    counts = []
    mask = np.zeros((150, 200), bool)
    mask[40:64, 120:144] = True
    for how in ({"box": (120, 40, 144, 64)}, {"mask": mask}, {}, {"box": (-50, -50, 900, 900)}):
        search = PatchSearch(side=96, bank=500, augment=False).fit([photo(n) for n in range(3)])
        counts.append(search.learn(sticker(29), **how))
    assert counts[0] == counts[1] < counts[2] == counts[3]
    assert counts[2] == 4 * np.prod(known._encoder.grid(150, 200))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"box": (0, 0, 9, 9), "mask": np.ones((150, 200), bool)}, "got both"),
        ({"mask": np.ones((10, 10), bool)}, r"expected shape \(150, 200\)"),
        ({"mask": np.ones((150, 200), np.uint8)}, "uint8"),
        ({"mask": np.zeros((150, 200), bool)}, "at least one pixel"),
        ({"box": (300, 0, 400, 9)}, "200 × 150 pixels"),
        ({"box": (9, 9, 9, 9)}, "at least one pixel"),
        ({"box": (-9, -9, -1, -1)}, "at least one pixel"),
        ({"box": (0, 0, float("nan"), 9)}, "left, top, right, bottom"),
    ],
)
def test_a_region_that_is_none_is_refused(fitted, how, message):
    with pytest.raises(BadInput, match=message):
        fitted.learn(photo(0), **how)


def test_learning_before_fitting_is_refused():
    with pytest.raises(NotFitted, match="patch_search"):
        PatchSearch().learn(photo(0))


def test_tiles_find_a_defect_too_small_for_the_whole_photo():
    """A spot of 6 pixels in a photo of 1024: a tenth of a patch when the photo is seen at once, a whole one in tiles."""
    big = np.tile(BRICK, (2, 2, 1))

    def wall(number, spot=False):
        rng = np.random.default_rng(number)
        pixels = np.clip(big * rng.uniform(0.95, 1.05) + rng.normal(0, 2, big.shape), 0, 255).astype(np.uint8)
        if spot:
            pixels[700:706, 300:306] = (250, 30, 30)
        return ImageSample(name=f"wall {number}", pixels=pixels)

    normal, good, torn = [wall(n) for n in range(2)], wall(8), wall(9, spot=True)
    margins = {}
    for tiles in (1, 6):
        search = PatchSearch(side=128, bank=3000, augment=False, tiles=tiles).fit(normal)
        scores = search.score([good, torn])
        margins[tiles] = scores[1].score / scores[0].score
        row, column = np.unravel_index(scores[1].heatmap.argmax(), scores[1].heatmap.shape)
    assert abs(row - 703) < 12
    assert abs(column - 303) < 12
    assert margins[6] > 1.5 * margins[1]
