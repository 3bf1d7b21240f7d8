import numpy as np
import pytest
from scipy.stats import chi2, kstest
from skimage import data as textures
from sklearn.covariance import LedoitWolf

from core.errors import BadInput, NotFitted
from core.samples import ImageSample
from metrics.ranking import auroc
from models.efficientnet_lite import LEVEL_CHANNELS
from models.feature_levels import FixedMaps, common_size, pooled_levels
from models.gaussians import ShrunkGaussian, satterthwaite
from models.patches import PatchEncoder
from tools.image.gaussian import Gaussian

BRICK = np.repeat(textures.brick()[..., None], 3, axis=2)


def photo(number, *, hole=False, size=(120, 160)):
    """A crop of a real brick wall, lit a little differently each time; `hole` is a dark round spot."""
    rng = np.random.default_rng(number)
    top, left = rng.integers(0, 512 - size[0]), rng.integers(0, 512 - size[1])
    pixels = BRICK[top : top + size[0], left : left + size[1]] * rng.uniform(0.9, 1.1)
    if hole:
        pixels[truth(size)] = 20
    return ImageSample(name=f"photo {number}", pixels=pixels.clip(0, 255).astype(np.uint8))


def truth(size=(120, 160)):
    rows, columns = np.indices(size)
    return (rows - 70) ** 2 + (columns - 60) ** 2 < 14**2


def mixed(count, channels, seed=0):
    """Gaussian vectors with correlated channels of very different spread."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, channels)) @ (rng.normal(size=(channels, channels)) * np.geomspace(1, 0.05, channels)) + 3


@pytest.fixture(scope="module")
def fitted():
    return Gaussian(side=96).fit([photo(n) for n in range(12)])


# ---- the model


@pytest.mark.parametrize(("count", "channels"), [(200, 12), (13, 12), (12, 12), (8, 30)])
def test_distances_are_scikit_learns(count, channels):
    """With more and with fewer vectors than channels; its covariance is inverted in full."""
    x, new = mixed(count, channels), mixed(40, channels, seed=1)
    ours, theirs = ShrunkGaussian.fit(x), LedoitWolf().fit(x)
    assert ours.shrinkage == pytest.approx(theirs.shrinkage_)
    assert ours.freedom == channels
    assert np.allclose(np.square(ours.distance(new)), theirs.mahalanobis(new), rtol=1e-6)


@pytest.mark.parametrize("count", [60, 9])
@pytest.mark.parametrize("reduce", ["pca", "npca"])
def test_reductions_are_those_of_a_full_principal_component_analysis(count, reduce):
    channels, variance = 20, 0.9
    x, new = mixed(count, channels), mixed(15, channels, seed=2)
    mean = x.mean(axis=0)
    values, vectors = np.linalg.eigh((x - mean).T @ (x - mean))
    values, vectors = values[::-1], vectors[:, ::-1]
    crossing = int(np.argmax(np.cumsum(values) >= variance * values.sum()))
    basis = vectors[:, : crossing + 1] if reduce == "pca" else vectors[:, crossing - 1 :]
    full = LedoitWolf(assume_centered=True).fit((x - mean) @ basis)
    ours = ShrunkGaussian.fit(x, reduce=reduce, variance=variance)
    assert ours.freedom == basis.shape[1]
    assert np.allclose(np.square(ours.distance(new)), full.mahalanobis((new - mean) @ basis), rtol=1e-6)


def test_squared_distances_of_new_vectors_follow_chi_square():
    """Kolmogorov-Smirnov test, after many vectors of no extreme covariance; and `radius` is that distribution's."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40_000, 6)) @ (np.eye(6) + 0.3 * rng.normal(size=(6, 6)))
    model = ShrunkGaussian.fit(x[:36_000])
    squares = np.square(model.distance(x[36_000:]))
    assert kstest(squares, chi2(6).cdf).pvalue > 0.01
    assert kstest(squares * 1.15, chi2(6).cdf).pvalue < 0.01
    assert np.mean(squares < model.radius(0.9) ** 2) == pytest.approx(0.9, abs=0.02)


def test_a_sum_of_correlated_squares_needs_satterthwaite():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(40_000, 1))
    vectors = 0.8 * shared + 0.6 * rng.normal(size=(40_000, 8))
    sums = np.square(vectors).sum(axis=1)
    ours = float(np.mean(sums[20_000:] > satterthwaite(sums[:20_000], 0.99)))
    plain = float(np.mean(sums[20_000:] > chi2.ppf(0.99, 8)))
    assert abs(ours - 0.01) < 0.006 < 0.03 < plain
    assert satterthwaite(np.array([2.0, 2.0]), 0.99) == 2.0


def test_equal_vectors_give_finite_distances():
    model = ShrunkGaussian.fit(np.ones((3, 4)))
    assert model.distance(np.ones(4)) == 0
    assert np.isfinite(model.distance(np.full(4, 2.0)))
    assert model.distance(np.full(4, 2.0)) > 100


def test_a_model_comes_back_from_its_arrays():
    model = ShrunkGaussian.fit(mixed(9, 20), reduce="npca")
    again = ShrunkGaussian.from_arrays(model.arrays("a_"), "a_")
    assert np.array_equal(model.distance(mixed(5, 20, seed=3)), again.distance(mixed(5, 20, seed=3)))


@pytest.mark.parametrize("values", [{"reduce": "ica"}, {"variance": 1.0}])
def test_wrong_reductions_are_refused(values):
    with pytest.raises(BadInput):
        ShrunkGaussian.fit(mixed(5, 3), **values)
    with pytest.raises(BadInput):
        Gaussian(**values)
    with pytest.raises(BadInput, match="at least two"):
        ShrunkGaussian.fit(np.ones((1, 3)))


# ---- the levels


def test_the_nine_levels_hold_the_taps():
    import torch

    from models.device import place
    from models.efficientnet_lite import load

    placement = place("cpu")
    net = load(placement)
    x = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)).to(placement.dtype)
    with torch.inference_mode():
        levels = net.levels(x)
        assert tuple(level.shape[1] for level in levels) == LEVEL_CHANNELS
        for tap, index in zip(net.taps(x, (4, 8, 16, 32)), (2, 3, 5, 7), strict=True):
            assert torch.equal(tap, levels[index])
        assert torch.equal(net.classifier(levels[-1].mean((2, 3))), net(x))


def test_pooled_levels_are_means_over_places():
    """A picture of its own resized size, so that nothing but the network lies between."""
    import torch

    from models.device import place
    from models.efficientnet_lite import load

    pixels = photo(0, size=(96, 128)).pixels
    assert PatchEncoder(side=111).resized(96, 128) == (96, 128)
    net, dtype = load(place("cpu")), place("cpu").dtype
    x = ((torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() - 127) / 128).to(dtype)
    with torch.inference_mode():
        for ours, level in zip(pooled_levels(pixels, side=111, device="cpu"), net.levels(x), strict=True):
            assert np.allclose(ours, level.float().mean(dim=(0, 2, 3)).numpy(), atol=0.02)


def test_fixed_maps_are_the_patch_features_of_each_depth():
    from models.nearest import unit

    pixels = photo(0, size=(96, 128)).pixels
    for stride, one in zip((4, 16), FixedMaps(size=(96, 128), strides=(4, 16), device="cpu").encode(pixels), strict=True):
        expected = unit(PatchEncoder(side=111, strides=(stride,), device="cpu").encode([pixels])[0])
        assert np.allclose(one.permute(1, 2, 0).numpy(), expected.numpy(), atol=0.02)


def test_maps_of_several_depths_meet_where_they_look():
    """A ramp over the photo's pixels, sampled at each depth's cell centres, is the same ramp on the finest grid and on pixels."""
    from models.efficientnet_lite import CENTRES

    maps = FixedMaps(size=(160, 224), strides=(16, 8))
    assert maps.strides == (8, 16)
    assert maps.shapes() == [(40, 20, 28), (112, 10, 14)]
    ramps = [np.add.outer(CENTRES[s] + s * np.arange(160 // s), CENTRES[s] + s * np.arange(224 // s)) for s in (8, 16)]
    fine, coarse = maps.on_finest([r.astype(np.float32) for r in ramps])
    assert np.allclose(fine[2:-2, 2:-2], coarse[2:-2, 2:-2], atol=1e-3)
    pixels = maps.to_pixels(fine, 80, 112)
    assert np.allclose(
        pixels[10:-10, 10:-10], np.add.outer(np.arange(80) * 2 + 0.5, np.arange(112) * 2 + 0.5)[10:-10, 10:-10], atol=1e-3
    )
    assert common_size([(100, 400), (100, 100), (90, 100)], 320) == PatchEncoder(side=320).resized(90, 100)


# ---- the detector


def test_finds_the_hole_and_where_it_is(fitted):
    good = fitted.score([photo(n) for n in range(20, 24)])
    torn = fitted.score([photo(n, hole=True) for n in range(20, 24)])
    assert min(s.score for s in torn) > max(s.score for s in good)
    for score in torn:
        assert auroc(truth(), score.heatmap) > 0.9


def test_the_score_is_the_mean_of_the_levels(fitted):
    pixels = photo(30).pixels
    levels = fitted.level_distances(pixels)
    assert levels.shape == (9,)
    assert fitted.score([photo(30)])[0].score == pytest.approx(levels.mean())
    some = Gaussian(side=96, levels=(8, 3)).fit([photo(n) for n in range(12)])
    assert np.allclose(some.level_distances(pixels), levels[[8, 3]])


def test_held_out_scores_are_those_of_models_without_the_photo(fitted):
    normal = [photo(n) for n in range(12)]
    without = Gaussian(side=96).fit([sample for number, sample in enumerate(normal) if number % 5 != 1])
    expected = [s.score for s in without.score([normal[1], normal[6], normal[11]])]
    assert np.allclose(fitted.reference_scores()[[1, 6, 11]], expected, rtol=1e-5)
    assert fitted.reference_scores().min() > max(s.score for s in fitted.score(normal[:3]))


def test_the_working_point_lies_above_most_normal_photos():
    learned = Gaussian(side=64, levels=(4, 6)).fit([photo(n) for n in range(30)])
    scores = np.array([s.score for s in learned.score([photo(n) for n in range(100, 130)])])
    assert np.mean(scores > learned.working_point(0.9)) < 0.3
    assert learned.working_point(0.5) < learned.working_point(0.9) < learned.working_point()
    assert np.mean([s.score > learned.working_point() for s in learned.score([photo(n, hole=True) for n in range(5)])]) > 0.5


def test_one_photo_and_few_photos_are_turned():
    lonely = Gaussian(side=32).fit([photo(0)])
    good, torn = lonely.score([photo(1), photo(1, hole=True)])
    assert torn.score > good.score
    assert len(lonely.reference_scores()) == 8
    assert len(Gaussian(side=32, levels=(2,)).fit([photo(0), photo(1)]).reference_scores()) == 2
    assert len(Gaussian(side=32, augment=False, levels=(2,)).fit([photo(n) for n in range(3)]).reference_scores()) == 3


def test_save_and_load(tmp_path, fitted):
    fitted.save(tmp_path / "gaussian.npz")
    loaded = Gaussian.load(tmp_path / "gaussian.npz")
    ours, theirs = (d.score([photo(23, hole=True)])[0] for d in (fitted, loaded))
    assert ours.score == theirs.score
    assert np.array_equal(ours.heatmap, theirs.heatmap)
    assert loaded.working_point() == fitted.working_point()


def test_wrong_use_is_refused(fitted, tmp_path):
    for ask in (
        lambda: Gaussian().score([photo(0)]), lambda: Gaussian().working_point(), lambda: Gaussian().level_distances(photo(0).pixels),
        lambda: Gaussian().save(tmp_path / "x.npz"),
    ):  # fmt: skip
        with pytest.raises(NotFitted, match="gaussian"):
            ask()
    for levels in ((), (1, 1), (9,)):
        with pytest.raises(BadInput, match="levels"):
            Gaussian(levels=levels)
    with pytest.raises(BadInput, match="share"):
        fitted.working_point(1.0)
    for values in ({"size": (64, 65)}, {"size": (0, 64)}, {"size": (64, 64), "strides": (3,)}):
        with pytest.raises(BadInput):
            FixedMaps(**values)
    with pytest.raises(BadInput, match="picture"):
        pooled_levels(np.zeros((4, 4), np.uint8), side=64)
