import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from skimage import data as textures

from core.errors import BadInput, NotFitted
from core.samples import ImageSample
from models.feature_levels import FixedMaps
from models.local_metric import LocalMetric, contrastive_loss, local_distance
from tools.image.cpr import CPR
from tools.image.cpr_training import centres_of, disturbed, make_pool, pieces, train_metric
from tools.image.foreground import discriminant, learn_foreground
from tools.image.retrieval import block_histograms, learn_codes, most_similar, trimmed_divergence

BRICK = np.repeat(textures.brick()[..., None], 3, axis=2)


pytestmark = pytest.mark.usefixtures("one_thread")


def part(number, *, hole=False, size=(100, 100)):
    """A round part on a white table, lit and placed a little differently each time; `hole` is a dark spot on it."""
    rng = np.random.default_rng(number)
    rows, columns = np.indices(size)
    middle = np.array(size) / 2 + rng.integers(-1, 2, 2)
    ring = np.hypot(rows - middle[0], columns - middle[1])
    pixels = np.full((*size, 3), 245.0)
    pixels[ring < 38] = BRICK[: size[0], : size[1]][ring < 38] * rng.uniform(0.9, 1.1) * 0.6
    pixels[ring < 15] = 60
    if hole:
        pixels[(rows - 70) ** 2 + (columns - 52) ** 2 < 64] = (150, 30, 30)
    pixels += rng.normal(0, 3, pixels.shape)
    return ImageSample(name=f"part {number}", pixels=pixels.clip(0, 255).astype(np.uint8))


def unit_map(seed, height=6, width=7, depth=8):
    return F.normalize(torch.randn(height, width, depth, generator=torch.Generator().manual_seed(seed)), dim=-1)


# --- matching -------------------------------------------------------------------------------------------------------------


def test_identical_query_and_reference_are_at_distance_zero_everywhere():
    one = unit_map(0)
    for window in (1, 3):
        assert local_distance(one, torch.stack([unit_map(1), one]), window=window).max() < 1e-6


@pytest.mark.parametrize("shift", [(1, 0), (0, 1), (-1, -1)])
def test_a_shift_by_one_cell_is_forgiven_by_a_window_of_three_only(shift):
    one = unit_map(0)
    moved = one.roll(shift, (0, 1))[None]
    inner = (slice(1, -1), slice(1, -1))
    assert local_distance(one, moved, window=3)[inner].max() < 1e-6
    assert local_distance(one, moved, window=1)[inner].min() > 1e-2


def test_matching_equals_a_naive_loop():
    query, references = unit_map(0), torch.stack([unit_map(1), unit_map(2), unit_map(3)])
    for window in (1, 3, 5):
        reach = window // 2
        for row in range(6):
            for column in range(7):
                best = min(
                    1 - float(query[row, column] @ reference[r, c])
                    for reference in references
                    for r in range(max(0, row - reach), min(6, row + reach + 1))
                    for c in range(max(0, column - reach), min(7, column + reach + 1))
                )
                assert local_distance(query, references, window=window)[row, column] == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("window", [1, 3])
def test_several_photos_are_matched_as_one_by_one(window):
    queries = torch.stack([unit_map(0), unit_map(1)])
    references = torch.stack([torch.stack([unit_map(n) for n in numbers]) for numbers in ((2, 3, 4), (5, 6, 7))])
    found = local_distance(queries, references, window=window)
    for one, query, some in zip(found, queries, references, strict=True):
        assert torch.equal(one, local_distance(query, some, window=window))


# --- retrieval ------------------------------------------------------------------------------------------------------------


def test_histograms_and_divergence_equal_a_naive_loop():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(4, 3, 11, 9)).astype(np.float32)  # 11 and 9 cells: five blocks need padding
    codes = rng.normal(size=(12, 3)).astype(np.float32)
    found = np.stack([block_histograms(one, codes) for one in maps])
    expected = np.zeros((4, 25, 13))
    for n, one in enumerate(maps):
        for i in range(15):
            for j in range(10):
                inside = i < 11 and j < 9
                code = 1 + int(((codes - one[:, i, j]) ** 2).sum(1).argmin()) if inside else 0
                expected[n, 5 * (i // 3) + j // 2, code] += 1 / 6
    assert np.allclose(found, expected, atol=1e-6)
    got = trimmed_divergence(found[0], found[1:])
    for n, reference in enumerate(expected[1:]):
        blocks = []
        for b in range(25):
            q, r = expected[0, b] + 1e-8, reference[b] + 1e-8
            blocks.append(sum(float(x) * (np.log(x) - np.log(y)) for x, y in zip(q, r, strict=True)))
        assert got[n] == pytest.approx(sum(sorted(blocks)[:20]), rel=1e-4)


def test_a_defect_in_five_blocks_does_not_change_what_is_retrieved():
    rng = np.random.default_rng(1)
    references = rng.dirichlet(np.ones(13), (6, 25)).astype(np.float32)
    query = references[4].copy()
    query[:5] = np.eye(13, dtype=np.float32)[0]
    assert most_similar(query, references, 1).tolist() == [4]
    assert trimmed_divergence(query, references)[4] < 1e-5
    assert 4 not in most_similar(query, references, 6, but=4)
    assert len(most_similar(query, references, 6, but=4)) == 5


def test_codes_are_learned_from_constant_maps_too():
    assert len(learn_codes([np.zeros((3, 8, 8), np.float32)])) >= 1


# --- foreground -----------------------------------------------------------------------------------------------------------


def test_foreground_is_found_on_parts_and_refused_on_cloth():
    encoder = FixedMaps(size=(96, 96), strides=(4,))
    maps = [encoder.encode(part(n, size=(96, 96)).pixels)[0].numpy() for n in range(4)]
    found = learn_foreground(maps)
    assert found is not None
    shown = found.of(maps[0])
    assert shown.shape == (24, 24)
    assert shown[10:14, 10:14].mean() > 0.8 > 0.3 > shown[:2].mean()
    cloth = [encoder.encode(BRICK[k : k + 96, k : k + 96])[0].numpy() for k in (0, 100, 200)]
    assert learn_foreground(cloth) is None


def test_discriminant_allows_for_the_spread_of_a_feature():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 500, 2)) * (1, 10) + np.array([[[0, 0]], [[1, 1]]])
    weight = discriminant(a, b)
    assert weight[0] > 20 * abs(weight[1])


# --- metric and training --------------------------------------------------------------------------------------------------


def test_pieces_give_the_same_vectors_as_the_whole_map():
    metric = LocalMetric(24, width=16, seed=3).eval()
    maps = torch.randn(2, 6, 8, 24)
    whole = metric(maps.permute(0, 3, 1, 2))
    place = torch.tensor([1 * 8 + 1, 3 * 8 + 5, 4 * 8 + 6])
    picture = torch.tensor([0, 1, 1])
    cut = metric(pieces(maps, picture, place), rim=False).flatten(1)
    expected = torch.stack([whole[n, :, p // 8, p % 8] for n, p in zip(picture.tolist(), place.tolist(), strict=True)])
    assert torch.allclose(cut, expected, atol=1e-5)
    assert torch.allclose(whole.norm(dim=1), torch.ones(2, 6, 8), atol=1e-5)


def test_loss_is_the_worked_value():
    loss = contrastive_loss(torch.tensor([0.3, 0.9]), torch.tensor([0.3, -0.5]), torch.tensor([2.0, 1.0]))
    assert float(loss) == pytest.approx(0.5**3 / 2 + 1.0**3 / 2)
    assert float(contrastive_loss(torch.tensor([0.8]), torch.empty(0))) == 0


def test_training_pulls_defects_away_and_leaves_matches_near():
    encoder = FixedMaps(size=(96, 96), strides=(4, 8))
    photos = [part(n, size=(96, 96)).pixels for n in range(4)]
    maps = [encoder.encode(p) for p in photos]
    codes = learn_codes([m[0].numpy() for m in maps])
    histograms = np.stack([block_histograms(m[0].numpy(), codes) for m in maps])
    pool = make_pool(photos, encoder, codes, histograms, count=8, partners=3, seed=0)
    assert pool.masks[0].shape == (8, 24, 24)
    assert all(number % 4 not in partners for number, partners in enumerate(pool.partners.tolist()))
    normals = torch.stack([m[1].permute(1, 2, 0) for m in maps])
    metric = LocalMetric(40, width=16)
    losses = train_metric(metric, pool, normals, 1, stride=8, steps=25, pairs=4, seed=0, foreground=torch.ones(4, 12, 12))
    assert not metric.training
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    with torch.inference_mode():
        made = metric(pool.maps[1].permute(0, 3, 1, 2).float())
        good = metric(normals[pool.partners[:, 0]].permute(0, 3, 1, 2))
    cosine = (made * good).sum(dim=1)
    assert cosine[~pool.masks[1]].mean() > cosine[pool.masks[1]].mean() + 0.2


def test_disturbances_are_small_and_rare():
    pixels = np.full((40, 40, 3), 100, np.uint8)
    made = [disturbed(pixels, np.random.default_rng(n)) for n in range(60)]
    untouched = sum(np.array_equal(one, pixels) for one in made)
    assert 15 <= untouched <= 45
    assert all((np.abs(one.astype(int) - 100).max(axis=2) > 10).mean() < 0.06 for one in made)
    assert (pixels == 100).all()


def test_masks_are_read_at_the_cells_centres():
    mask = np.zeros((96, 96), np.bool_)
    mask[40:48] = True
    assert np.flatnonzero(centres_of(mask, 8).any(axis=1)).tolist() == [5]


# --- the detector ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def raw():
    return CPR(side=96, steps=0).fit([part(n) for n in range(5)])


def test_raw_features_find_the_hole_and_where_it_is(raw):
    good, torn = raw.score([part(20), part(20, hole=True)])
    assert torn.score > 1.3 * good.score
    row, column = np.unravel_index(torn.heatmap.argmax(), torn.heatmap.shape)
    assert abs(row - 70) < 10
    assert abs(column - 52) < 10


def test_a_known_photo_is_at_distance_zero(raw):
    assert raw.score([part(2)])[0].score < 2e-3 < raw.reference_scores().min()


def test_the_background_does_not_count():
    parts = [part(n) for n in range(5)]
    stained = part(21)
    pixels = stained.pixels.copy()
    pixels[3:9, 3:9] = 225  # a faint stain on the table
    weighed, everywhere = (CPR(side=96, steps=0, foreground=choice).fit(parts) for choice in (None, False))
    faint = ImageSample(name="stained", pixels=pixels)
    ours, theirs = (d.score([faint])[0].heatmap[2:10, 2:10].max() for d in (weighed, everywhere))
    assert ours < 0.5 * theirs


def test_each_fifth_of_many_photos_is_held_out():
    cascade = CPR(side=64, steps=0).fit([part(n, size=(64, 64)) for n in range(21)])
    assert len(cascade.reference_scores()) == 4
    assert len(CPR(side=64, steps=0, references=7).fit([part(n) for n in range(9)]).reference_scores()) == 7


def test_one_photo_is_compared_with_itself_shifted():
    lonely = CPR(side=96, steps=0).fit([part(0)])
    assert len(lonely.reference_scores()) == 8
    assert lonely.reference_scores().min() > lonely.score([part(0)])[0].score


def test_trained_save_and_load(tmp_path):
    trained = CPR(side=64, width=8, simulated=4, steps=4, pairs=2).fit([part(n) for n in range(3)])
    trained.save(tmp_path / "cascade.npz")
    loaded = CPR.load(tmp_path / "cascade.npz")
    ours, theirs = (d.score([part(9, hole=True)])[0] for d in (trained, loaded))
    assert np.array_equal(ours.heatmap, theirs.heatmap)
    assert trained._cascade.vectors[0].shape == (3, 16, 16, 8)


def test_wrong_use_is_refused(tmp_path):
    with pytest.raises(NotFitted, match="cpr"):
        CPR().score([part(0)])
    with pytest.raises(NotFitted):
        CPR().save(tmp_path / "x.npz")
    with pytest.raises(BadInput, match="expected counts"):
        CPR(retrieved=0)
    with pytest.raises(BadInput, match="multiples of 32"):
        CPR(side=100)
    cloth = [ImageSample(name="cloth", pixels=BRICK[k : k + 96, k : k + 96]) for k in (0, 50)]
    with pytest.raises(BadInput, match="plain rim"):
        CPR(side=96, steps=0, foreground=True).fit(cloth)


def test_the_cascade_judges_several_photos_as_one_by_one_and_blurs_as_scipy():
    detector = CPR(side=64, steps=0, retrieved=2, foreground=False).fit([part(n) for n in range(4)])
    cascade = detector._cascade
    features = [
        torch.stack(level) for level in zip(*(detector._features(detector._resized(part(n).pixels)) for n in (8, 9)), strict=True)
    ]
    together = cascade.strangeness(features)
    for number in range(2):
        alone = cascade.strangeness([level[number : number + 1] for level in features])
        assert torch.allclose(together[number], alone[0], atol=1e-6)
    noise = torch.rand(1, 9, 13, generator=torch.Generator().manual_seed(0))
    assert np.allclose(cascade._blurred(noise)[0].numpy(), gaussian_filter(noise[0].numpy(), 1.0, mode="nearest"), atol=1e-6)
