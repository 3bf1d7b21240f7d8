import numpy as np
import pytest
import torch
from skimage import data as textures

from core.errors import BadInput, NotFitted
from core.samples import ImageSample
from tools.image.patch_maps import picture_score
from tools.image.vision_ad import VIEWS, VisionAD, fused, same_product, turned_and_flipped

BRICK, GRAVEL = (np.repeat(grey[..., None], 3, axis=2) for grey in (textures.brick(), textures.gravel()))
SMALL = {"side": 96, "bank": 100_000}


pytestmark = pytest.mark.usefixtures("one_thread")


def photo(number, *, of=BRICK, hole=False, size=(90, 120)):
    rng = np.random.default_rng(number)
    top, left = rng.integers(0, 512 - size[0]), rng.integers(0, 512 - size[1])
    pixels = of[top : top + size[0], left : left + size[1]].copy()
    if hole:
        pixels[30:56, 40:66] = 15
    return ImageSample(name=f"photo {number}", pixels=pixels)


@pytest.fixture(scope="module")
def fitted():
    return VisionAD(**SMALL).fit([photo(n) for n in range(3)])


def test_finds_the_hole_and_where_it_is(fitted):
    good, torn = fitted.score([photo(20), photo(20, hole=True)])
    assert torn.score > good.score
    row, column = np.unravel_index(torn.heatmap.argmax(), torn.heatmap.shape)
    assert 28 <= row < 58
    assert 38 <= column < 68


def test_a_map_is_the_mean_over_views_of_the_distance_to_every_remembered_patch():
    """Against a plain loop over views, copies and patches."""
    normal, query = photo(0), photo(21, hole=True).pixels
    search = VisionAD(**SMALL, views=("plain", "flipped", "limited")).fit([normal])
    expected = []
    for view in ("plain", "flipped", "limited"):
        ours = fused(search._encoder.encode([VIEWS[view](query)])[0])
        closest = torch.full(ours.shape[:2], -1.0)
        for copy in turned_and_flipped(normal.pixels):
            theirs = fused(search._encoder.encode([VIEWS[view](copy)])[0]).flatten(0, 1)
            closest = closest.maximum((ours @ theirs.T).amax(dim=-1))
        closest = closest.flip(0) if view == "flipped" else closest
        expected.append(1 - closest)
    assert np.allclose(search._distances(query), torch.stack(expected).mean(dim=0).numpy(), atol=1e-5)


def test_fused_cosine_is_the_mean_of_the_depths_cosines():
    a, b = torch.randn(2, 5, 152, generator=torch.Generator().manual_seed(0))
    cosine = torch.nn.functional.cosine_similarity
    expected = (cosine(a[:, :40], b[:, :40]) + cosine(a[:, 40:], b[:, 40:])) / 2
    assert torch.allclose((fused(a) * fused(b)).sum(dim=-1), expected, atol=1e-5)


def test_the_limited_view_is_blind_to_dark_differences():
    dark = photo(0).pixels // 3
    darker = dark.copy()
    darker[20:40, 20:40] = 0
    normal, changed = ImageSample(name="dark", pixels=dark), ImageSample(name="darker", pixels=darker)
    blind = VisionAD(**SMALL, views=("limited",)).fit([normal]).score([changed])[0]
    seeing = VisionAD(**SMALL, views=("plain",)).fit([normal]).score([changed])[0]
    assert blind.score < 1e-3 < 0.05 < seeing.score
    assert (VIEWS["limited"](dark) == 127).all()


def test_a_turned_photo_is_known_unless_orientation_counts():
    stripes = np.repeat((np.indices((96, 96))[0] % 16 < 8)[..., None], 3, axis=2).astype(np.uint8) * 200
    upright, turned = (ImageSample(name="stripes", pixels=np.ascontiguousarray(p)) for p in (stripes, np.rot90(stripes)))
    known, strict = (VisionAD(**SMALL, augment=augment).fit([upright]) for augment in (None, False))
    assert known.score([turned])[0].score < 0.1 * strict.score([turned])[0].score
    assert (len(known.reference_scores()), len(strict.reference_scores())) == (6, 5)


def test_each_photo_is_looked_up_in_its_own_product():
    bricks, stones = [photo(n) for n in range(2)], [photo(n, of=GRAVEL) for n in range(2)]
    both = VisionAD(**SMALL).fit([bricks[0], stones[0], bricks[1], stones[1]])
    assert both.products == 2
    assert [both.product_of(photo(n, of=of).pixels) for n, of in ((30, GRAVEL), (31, BRICK), (32, GRAVEL))] == [1, 0, 1]
    batch = [photo(30, of=GRAVEL), photo(31), photo(32, hole=True)]
    alone = [VisionAD(**SMALL).fit(stones).score(batch[:1])[0], *VisionAD(**SMALL).fit(bricks).score(batch[1:])]
    for ours, theirs in zip(both.score(batch), alone, strict=True):  # a mixed batch: nobody decides for the others
        assert np.allclose(ours.heatmap, theirs.heatmap, atol=1e-5)
    reference = both.reference_scores()
    assert np.allclose(reference[[0, 2]], VisionAD(**SMALL).fit(bricks).reference_scores(), atol=1e-5)


def test_one_photo_of_each_product_is_enough():
    both = VisionAD(**SMALL).fit([photo(0), photo(0, of=GRAVEL)])
    assert both.products == 2
    assert len(both.reference_scores()) == 12
    good, torn = both.score([photo(33, of=GRAVEL), photo(33, of=GRAVEL, hole=True)])
    assert good.score < torn.score


def test_products_are_linked_by_chains():
    chain = np.eye(4, dtype=np.float32)
    chain[0, 3] = chain[3, 0] = chain[3, 2] = chain[2, 3] = 0.7
    assert same_product(chain).tolist() == [0, 1, 0, 0]


def test_held_out_scores_are_those_of_a_search_without_the_photo():
    normal = [photo(n) for n in range(3)]
    held_out = VisionAD(**SMALL).fit(normal).reference_scores()
    for index in range(3):
        others = VisionAD(**SMALL).fit([sample for number, sample in enumerate(normal) if number != index])
        assert held_out[index] == pytest.approx(picture_score(others._distances(normal[index].pixels)), abs=1e-5)


def test_many_normals_are_covered_by_a_small_memory(monkeypatch):
    monkeypatch.setattr("tools.image.vision_ad.POOL", 900)
    search = VisionAD(side=96, bank=300).fit([photo(n) for n in range(10)])
    assert [len(bank) for bank in search._banks[0]] == [300, 300]
    assert len(search.reference_scores()) == 10
    assert search.score([photo(40, hole=True)])[0].score > search.score([photo(40)])[0].score


def test_save_and_load_keep_products(tmp_path):
    both = VisionAD(**SMALL).fit([photo(0), photo(0, of=GRAVEL)])
    both.save(tmp_path / "x.npz")
    loaded = VisionAD.load(tmp_path / "x.npz")
    batch = [photo(35), photo(36, of=GRAVEL)]
    for ours, theirs in zip(both.score(batch), loaded.score(batch), strict=True):
        assert np.array_equal(ours.heatmap, theirs.heatmap)
    assert (loaded.products, loaded.views) == (2, ("plain", "flipped"))


def test_wrong_use_is_refused(tmp_path):
    with pytest.raises(NotFitted, match="vision_ad"):
        VisionAD().score([photo(0)])
    with pytest.raises(NotFitted):
        VisionAD().product_of(photo(0).pixels)
    with pytest.raises(NotFitted):
        VisionAD().save(tmp_path / "x.npz")
    with pytest.raises(BadInput, match="sideways"):
        VisionAD(views=("sideways",))
    with pytest.raises(BadInput, match="at least one patch"):
        VisionAD(bank=0)
