import numpy as np
import pytest
import torch
from skimage import data as textures

from core.errors import BadInput, NotFitted
from core.progress import watching
from core.samples import ImageSample
from metrics.ranking import auroc
from models.coupling_flow import CouplingFlow, surprise
from models.flow_training import negative_log_likelihood, train_flow
from tools.image.fastflow import FastFlow

BRICK = np.repeat(textures.brick()[..., None], 3, axis=2)
SMALL = {"side": 96, "steps": 4, "updates": 24}


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


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def fitted():
    return FastFlow(**SMALL).fit([photo(n) for n in range(12)])


def shaken(flow, seed=0):
    """Weights as after long training: nothing near the identity."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator))
        flow.whitening.matrix.add_(0.3 * torch.randn(flow.whitening.matrix.shape, generator=generator))
        flow.whitening.mean.add_(0.3 * torch.randn(flow.whitening.mean.shape, generator=generator))
    return flow.double()


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---- the flow


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_the_inverse_takes_noise_back_to_features(channels):
    flow = shaken(CouplingFlow(channels=channels, height=3, width=4, steps=5))
    x = drawn(6, channels, 3, 4)
    noise, _ = flow(x)
    assert not torch.allclose(noise, x, atol=0.1)
    assert torch.allclose(flow.inverse(noise), flow.norm.prepared(x), atol=1e-9)
    assert torch.allclose(flow.inverse(flow(flow.inverse(x))[0]), flow.norm.prepared(flow.inverse(x)), atol=1e-6)


@pytest.mark.parametrize("steps", [1, 4])
def test_log_determinant_is_the_jacobians(steps):
    """Of everything behind the layer norm's mean and deviation, on a 2×2 map of four channels."""
    flow = shaken(CouplingFlow(channels=4, height=2, width=2, steps=steps))
    prepared = flow.norm.prepared(drawn(1, 4, 2, 2))

    def behind(flat):
        y = flat.reshape(1, 4, 2, 2) * flow.norm.log_gain.exp() + flow.norm.offset
        y, _ = flow.whitening(y)
        for step in flow.steps:
            y, _ = step(y)
        return y.flatten()

    jacobian = torch.autograd.functional.jacobian(behind, prepared.flatten())
    _, told = flow(prepared)
    assert told.shape == (1, 2, 2)
    assert told.sum().item() == pytest.approx(torch.linalg.slogdet(jacobian).logabsdet.item(), abs=1e-6)


def test_surprise_is_minus_the_log_density():
    flow = shaken(CouplingFlow(channels=4, height=2, width=2, steps=2))
    noise, log_determinant = flow(drawn(3, 4, 2, 2))
    density = torch.distributions.Normal(0.0, 1.0).log_prob(noise).sum(dim=(1, 2, 3)) + log_determinant.sum(dim=(1, 2))
    ours = surprise(noise, log_determinant).sum(dim=(1, 2)) * 4 + 16 * 0.5 * np.log(2 * np.pi)
    assert torch.allclose(ours, -density)


def test_whitening_starts_with_uncorrelated_channels():
    x = torch.einsum("cd,ndhw->nchw", drawn(4, 4, seed=1), drawn(50, 4, 3, 3)).float()
    flow = CouplingFlow(channels=4, height=3, width=3)
    flow.start(x)
    white = flow.whitening(flow.norm(x)[0])[0].transpose(0, 1).flatten(1)
    assert torch.allclose(torch.cov(white, correction=0), torch.eye(4), atol=0.02)


def test_kernels_alternate_and_channels_are_permuted_by_the_seed():
    one, same, other = (CouplingFlow(channels=6, height=2, width=2, seed=seed) for seed in (0, 0, 1))
    assert [step.net[0].kernel_size[0] for step in one.steps] == [3, 1] * 4
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), same.state_dict().values(), strict=True))
    assert not all(torch.equal(a.permutation, b.permutation) for a, b in zip(one.steps, other.steps, strict=True))


def test_building_a_flow_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    CouplingFlow(channels=4, height=2, width=2)
    assert torch.equal(torch.rand(1), expected)


# ---- training


def curved(count, seed):
    """Channels that depend on each other by more than a line: what whitening cannot say."""
    a, b = drawn(count, 1, 4, 4, seed=seed), 0.2 * drawn(count, 1, 4, 4, seed=seed + 1)
    return torch.cat([a, a.square() + b, drawn(count, 1, 4, 4, seed=seed + 2), torch.sin(2 * a) + b], dim=1).float()


def test_training_beats_the_gaussian_it_starts_from_and_keeps_the_best_weights():
    flow = CouplingFlow(channels=4, height=4, width=4, steps=4, ratio=8)
    course = train_flow(flow, curved(60, 0), curved(20, 10), steps=80, batch=20, rate=2e-2)
    assert course.held_out[-1] < course.held_out[0] - 0.1
    assert negative_log_likelihood(flow, curved(20, 10)) == pytest.approx(min(course.held_out), abs=1e-5)
    assert not flow.training


def test_training_stops_when_held_out_pictures_get_less_likely():
    """Held-out maps of another kind: learning only hurts, the first weights are kept."""
    flow = CouplingFlow(channels=4, height=4, width=4, steps=4)
    seen = []
    with watching(lambda what, done, total: seen.append((what, done, total))):
        course = train_flow(flow, curved(20, 0), 3 * drawn(6, 4, 4, 4).float(), steps=160, rate=2e-2, what="updates")
    assert course.kept_step < 160
    assert len(course.held_out) < 17
    assert seen[-1] == ("updates", 160, 160)


def test_training_twice_gives_equal_weights():
    flows = [CouplingFlow(channels=4, height=4, width=4, steps=3) for _ in range(2)]
    for flow in flows:
        train_flow(flow, curved(10, 0), curved(4, 5), steps=6)
    assert all(torch.equal(a, b) for a, b in zip(*(flow.state_dict().values() for flow in flows), strict=True))


# ---- the detector


def test_finds_the_hole_and_where_it_is(fitted):
    good = fitted.score([photo(n) for n in range(20, 24)])
    torn = fitted.score([photo(n, hole=True) for n in range(20, 24)])
    assert min(s.score for s in torn) > max(s.score for s in good)
    for score in torn:
        assert score.heatmap.shape == (120, 160)
        assert auroc(truth(), score.heatmap) > 0.9


def test_held_out_scores_are_like_those_of_new_normal_photos(fitted):
    new = np.array([s.score for s in fitted.score([photo(n) for n in range(30, 42)])])
    held_out = fitted.reference_scores()
    assert len(held_out) == 2
    assert abs(np.median(held_out) - np.median(new)) < 3 * new.std()


def test_photos_of_other_sizes_are_scored_too(fitted):
    for size in ((90, 260), (260, 90), (31, 47)):
        assert fitted.score([photo(50, size=size)])[0].heatmap.shape == size


def test_few_photos_are_turned():
    lonely = FastFlow(side=64, steps=2, updates=4).fit([photo(0)])
    assert len(lonely.reference_scores()) == 2
    assert len(FastFlow(side=64, steps=2, updates=4, strides=(16,)).fit([photo(n) for n in range(4)]).reference_scores()) == 16


def test_progress_is_told():
    seen = []
    with watching(lambda what, done, total: seen.append((what, done, total))):
        FastFlow(side=64, steps=2, updates=4).fit([photo(0), photo(1)])
    assert ("normal photos", 2, 2) in seen
    assert {("training steps at 8 pixels per cell", 4, 4), ("training steps at 16 pixels per cell", 4, 4)} <= set(seen)


def test_save_and_load(tmp_path, fitted):
    fitted.save(tmp_path / "flow.npz")
    loaded = FastFlow.load(tmp_path / "flow.npz")
    ours, theirs = (d.score([photo(23, hole=True)])[0] for d in (fitted, loaded))
    assert ours.score == theirs.score
    assert np.array_equal(ours.heatmap, theirs.heatmap)
    assert np.array_equal(fitted.reference_scores(), loaded.reference_scores())


def test_weights_that_do_not_fit_are_refused(tmp_path, fitted):
    from core.archive import load_arrays, save_arrays

    fitted.save(tmp_path / "flow.npz")
    values, arrays, state = load_arrays(tmp_path / "flow.npz", name="fastflow")
    arrays.pop("flow0.norm.offset")
    save_arrays(tmp_path / "less.npz", name="fastflow", parameters=values, arrays=arrays, state=state)
    with pytest.raises(BadInput, match="do not fit"):
        FastFlow.load(tmp_path / "less.npz")


def test_wrong_use_is_refused(tmp_path):
    with pytest.raises(NotFitted, match="fastflow"):
        FastFlow().score([photo(0)])
    with pytest.raises(NotFitted):
        FastFlow().save(tmp_path / "x.npz")
    for values in ({"side": 8}, {"strides": (3,)}, {"strides": ()}, {"steps": 0}, {"updates": 0}, {"ratio": 0.0}, {"rate": -1.0}):
        with pytest.raises(BadInput):
            FastFlow(**values)
