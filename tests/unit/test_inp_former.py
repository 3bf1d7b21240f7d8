import math

import numpy as np
import pytest
import torch
from skimage import data as textures
from torch import nn

from core.errors import BadInput, NotFitted
from core.samples import ImageSample
from metrics.ranking import auroc
from models.prototype_training import Pace, loss_of, train_net
from models.prototypes import PrototypeNet, coherence, hard_places, mined, misfit, soft_coherence
from models.residual_head import ResidualHead, dice_loss, residual, train_head
from models.stable_adamw import StableAdamW
from tools.image.inp_former import FEW, INPFormer, copies

BRICK = np.repeat(textures.brick()[..., None], 3, axis=2)
FAST = {"side": 96, "steps": 50, "patches": 16}


pytestmark = pytest.mark.usefixtures("one_thread")


def photo(number, *, hole=False, size=(90, 120)):
    """A crop of a real brick wall, lit a little differently each time; `hole` is a dark round spot."""
    rng = np.random.default_rng(number)
    top, left = rng.integers(0, 512 - size[0]), rng.integers(0, 512 - size[1])
    pixels = BRICK[top : top + size[0], left : left + size[1]] * rng.uniform(0.9, 1.1)
    if hole:
        pixels[truth(size)] = 10
    return ImageSample(name=f"photo {number}", pixels=pixels.clip(0, 255).astype(np.uint8))


def truth(size=(90, 120)):
    rows, columns = np.indices(size)
    return (rows - 50) ** 2 + (columns - 70) ** 2 < 14**2


def some_net(seed=0, **more):
    """A network whose weights are large enough for every part to matter."""
    net = PrototypeNet((8, 12, 4), prototypes=3, heads=4, **more)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in (*net.parameters(), net.mean):
            value.copy_(torch.randn(value.shape, generator=generator) * 0.5)
        net.deviation.copy_(1 + torch.rand(net.deviation.shape, generator=generator))
    return net.eval()


def features(photos=2, patches=9, seed=1):
    return torch.randn(photos, patches, 24, generator=torch.Generator().manual_seed(seed))


# The network, written down a second time: one photo, loops over heads and blocks, float64.


def layer_norm(x, w, name):
    middle = x.mean(-1, keepdims=True)
    return (x - middle) / np.sqrt(((x - middle) ** 2).mean(-1, keepdims=True) + 1e-8) * w[f"{name}.weight"] + w[f"{name}.bias"]


def linear(x, w, name):
    return np.einsum("oi,li->lo", w[f"{name}.weight"], x) + w[f"{name}.bias"]


def mlp(x, w, name):
    hidden = linear(x, w, f"{name}.0")
    hidden = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
    return linear(hidden, w, f"{name}.2")


def naive(w, patches, channels, heads, blocks):
    size = patches.shape[1] // heads
    own = [slice(h * size, (h + 1) * size) for h in range(heads)]
    x = (patches - w["mean"]) / w["deviation"]
    queries, seen = layer_norm(w["extractor.queries"], w, "extractor.norm1"), layer_norm(x, w, "extractor.norm1")
    q, k, v = (linear(a, w, f"extractor.{n}") for a, n in ((queries, "query"), (seen, "key"), (seen, "value")))
    found = np.zeros_like(q)
    for h in own:
        raised = np.exp(np.einsum("mc,lc->ml", q[:, h], k[:, h]) / math.sqrt(size))
        found[:, h] = np.einsum("ml,lc->mc", raised / raised.sum(1, keepdims=True), v[:, h])
    tokens = w["extractor.queries"] + linear(found, w, "extractor.out")
    prototypes = tokens + mlp(layer_norm(tokens, w, "extractor.norm2"), w, "extractor.mlp")
    y, made = mlp(x, w, "bottleneck"), []
    for block in range(blocks * len(channels)):
        name = f"decoder.{block}"
        q = linear(layer_norm(y, w, f"{name}.norm1"), w, f"{name}.query")
        both = linear(layer_norm(prototypes, w, f"{name}.norm1"), w, f"{name}.key_value")
        k, v = both[:, : both.shape[1] // 2], both[:, both.shape[1] // 2 :]
        out = np.zeros_like(q)
        for number, h in enumerate(own):
            a = q[:, h] / np.linalg.norm(q[:, h], axis=1)[:, None]
            b = k[:, h] / np.linalg.norm(k[:, h], axis=1)[:, None]
            out[:, h] = np.maximum(w[f"{name}.gain"][number, 0, 0] * np.einsum("lc,mc->lm", a, b), 0) @ v[:, h]
        y = linear(out, w, f"{name}.out")
        y = y + mlp(layer_norm(y, w, f"{name}.norm2"), w, f"{name}.mlp")
        made.insert(0, y)
    ends = np.cumsum([0, *channels])
    rebuilt = [np.mean(made[g * blocks : (g + 1) * blocks], axis=0)[:, ends[g] : ends[g + 1]] for g in range(len(channels))]
    return x, prototypes, rebuilt


@pytest.mark.parametrize("blocks", [1, 2])
def test_network_equals_an_independent_one(blocks):
    net, given = some_net(blocks=blocks), features()
    with torch.no_grad():
        found = net(given)
    weights = {name: value.double().numpy() for name, value in net.state_dict().items()}
    for index in range(len(given)):
        x, prototypes, rebuilt = naive(weights, given[index].double().numpy(), net.channels, 4, blocks)
        assert np.allclose(found.patches[index], x, atol=1e-5)
        assert np.allclose(found.prototypes[index], prototypes, atol=1e-5 * np.abs(prototypes).max())
        far = []
        for part, target, expected in zip(found.rebuilt, found.targets, rebuilt, strict=True):
            assert np.allclose(part[index], expected, atol=1e-5 * np.abs(expected).max())
            t = target[index].double().numpy()
            far.append(1 - (t * expected).sum(1) / np.linalg.norm(t, axis=1) / np.linalg.norm(expected, axis=1))
        assert np.allclose(misfit(found)[index], np.mean(far, axis=0), atol=1e-5)


def test_without_prototypes_the_photo_does_not_matter():
    """There is no way around the prototypes: where they are zero and biases too, every token is the same."""
    net = some_net()
    with torch.no_grad():
        a, b = (net.decoder[0](features(seed=seed), torch.zeros(2, 3, 24)) for seed in (1, 2))
        c, d = (net.decoder[0](features(seed=seed), features(2, 3, seed=5)) for seed in (1, 2))
        for bias in (net.decoder[0].norm1.bias, net.decoder[0].key_value.bias):
            bias.zero_()
        e, f = (net.decoder[0](features(seed=seed), torch.zeros(2, 3, 24)) for seed in (1, 2))
    assert not torch.allclose(c, d, atol=1e-3)
    assert not torch.allclose(a, b, atol=1e-3)  # biases of keys and values are a prototype of their own
    assert torch.equal(e, f)


def test_patches_are_rebuilt_one_by_one_given_the_prototypes():
    net, given = some_net(), features()
    with torch.no_grad():
        prototypes = net(given).prototypes
        whole = net.decoder[0](given, prototypes)
        assert torch.allclose(net.decoder[0](given[:, 3:5], prototypes), whole[:, 3:5], atol=1e-5)
        order = torch.randperm(9)
        assert torch.allclose(net.distances(given[:, order]), net.distances(given)[:, order], atol=1e-5)


def test_coherence_is_the_nearest_prototype_and_leaves_patches_alone():
    patches, prototypes = features(2, 7).requires_grad_(), features(2, 3, seed=2).requires_grad_()
    loss = coherence(patches, prototypes)
    expected = np.mean([
        min(1 - torch.cosine_similarity(p, q, dim=0).item() for q in prototypes[b]) for b in range(2) for p in patches[b]
    ])  # fmt: skip
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    loss.backward()
    assert patches.grad is None
    assert prototypes.grad.abs().sum() > 0


def test_soft_coherence_reaches_every_prototype():
    patches, prototypes = features(1, 5), features(1, 4, seed=2).requires_grad_()
    weights = torch.stack([(torch.cosine_similarity(p, prototypes[0]) / 0.1).softmax(0) for p in patches[0]])
    mixed = weights @ prototypes[0]
    loss = soft_coherence(patches, prototypes)
    assert loss.item() == pytest.approx((1 - torch.cosine_similarity(patches[0], mixed)).mean().item(), abs=1e-6)
    loss.backward()
    assert (prototypes.grad.abs().sum(-1) > 0).all()


@pytest.mark.parametrize("amplitude", [False, True])
def test_mining_equals_a_hook_on_the_gradient(amplitude):
    target, rebuilt = features(3, 6), features(3, 6, seed=2).requires_grad_()
    loss = mined(target, rebuilt, amplitude=amplitude)
    loss.backward()
    hooked = rebuilt.detach().clone().requires_grad_()
    through = hooked * 1
    weight = hard_places(target, hooked)
    through.register_hook(lambda gradient: gradient * weight)
    plain = (1 - torch.cosine_similarity(target.flatten(1), through.flatten(1))).mean()
    plain = plain + (through - target).square().mean() if amplitude else plain
    plain.backward()
    assert loss.item() == pytest.approx(plain.item(), abs=1e-6)
    assert torch.allclose(rebuilt.grad, hooked.grad, atol=1e-8)
    assert weight.max() > 2 * weight.min()


def test_loss_is_mean_over_taps_and_a_fifth_of_the_coherence():
    found = some_net()(features())
    parts = [
        (1 - torch.cosine_similarity(a.flatten(1), b.flatten(1))).mean()
        for a, b in zip(found.targets, found.rebuilt, strict=True)
    ]
    expected = sum(parts) / 3 + 0.2 * coherence(found.patches, found.prototypes)
    assert loss_of(found).item() == pytest.approx(expected.item(), abs=1e-5)


def test_first_weights_are_small_and_follow_the_seed():
    net, again, other = PrototypeNet((40, 112), seed=3), PrototypeNet((40, 112), seed=3), PrototypeNet((40, 112), seed=4)
    weights = torch.cat([m.weight.flatten() for m in net.modules() if isinstance(m, nn.Linear)])
    assert weights.abs().max() <= 0.03
    assert weights.std().item() == pytest.approx(0.01, rel=0.02)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
    assert not torch.equal(net.extractor.queries, other.extractor.queries)
    assert net.extractor.queries.std().item() == pytest.approx(1, rel=0.1)


def test_optimiser_equals_adamw_while_gradients_are_as_expected():
    """Once squared gradients have been large, g / √v̂ stays below one and nothing is clipped."""
    start = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    one = StableAdamW([ours], lr=0.01, eps=1e-10, weight_decay=0.1)
    two = torch.optim.AdamW([theirs], lr=0.01, eps=1e-10, weight_decay=0.1, amsgrad=True)
    for number in range(30):
        gradient = torch.randn(4, 5, generator=torch.Generator().manual_seed(number)) * 0.9**number
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        square = one.state[ours]["square"] if number else torch.zeros(4, 5)
        largest = (0.999 * square + 0.001 * gradient**2).maximum(one.state[ours]["largest"] if number else square)
        rms = (gradient / (largest / (1 - 0.999 ** (number + 1))).sqrt()).square().mean().sqrt()
        assert rms < 1 + 1e-5, number
        one.step()
        two.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_sudden_gradient_is_held_back_tensor_by_tensor():
    wild, calm = nn.Parameter(torch.zeros(8)), nn.Parameter(torch.zeros(3))
    optimiser = StableAdamW([wild, calm], lr=0.1, weight_decay=0.0)
    for scale in (1.0, 1.0, 1.0, 50.0):
        before = wild.detach().clone()
        wild.grad, calm.grad = torch.full((8,), scale), torch.ones(3)
        optimiser.step()
    m, v = 0.0, 0.0
    for scale in (1.0, 1.0, 1.0, 50.0):
        m, v = 0.9 * m + 0.1 * scale, 0.999 * v + 0.001 * scale**2
    divisor = math.sqrt(v) / math.sqrt(1 - 0.999**4)
    rms = 50 / divisor
    assert rms > 1.5
    assert (before - wild).mean().item() == pytest.approx(0.1 / ((1 - 0.9**4) * rms) * m / divisor, rel=1e-4)
    assert calm.mean().item() == pytest.approx(-0.4, rel=1e-4)


def test_optimiser_refuses_numbers_out_of_range():
    with pytest.raises(BadInput, match="lr=-1"):
        StableAdamW([nn.Parameter(torch.zeros(1))], lr=-1)


def test_pace_of_a_short_training_rises_for_half_of_it():
    pace = Pace(steps=10)
    assert [pace(number) for number in (0, 5)] == [0, 1e-3]
    assert all(a > b for a, b in zip(map(pace, range(5, 10)), map(pace, range(6, 11)), strict=True))
    assert Pace(steps=1)(0) == 1e-3


def test_training_lowers_the_loss_and_follows_the_seed():
    photos = [
        features(1, length, seed=number)[0] * 0.1 + torch.sin(torch.arange(24.0)) for number, length in enumerate((9, 5, 14))
    ]
    losses, nets = [], []
    for seed in (0, 0, 1):
        net = PrototypeNet((8, 12, 4), prototypes=3, heads=4)
        losses.append(train_net(net, photos, steps=30, patches=8, seed=seed))
        nets.append(net)
    assert np.mean(losses[0][-5:]) < 0.8 * losses[0][0]
    assert losses[0] == losses[1] != losses[2]
    every = torch.cat(photos)
    assert torch.allclose(nets[0].mean, every.mean(0), atol=1e-5)
    assert torch.allclose(nets[0].deviation, every.std(0, correction=0), atol=1e-5)
    with pytest.raises(BadInput, match="at least one photo"):
        train_net(nets[0], [], steps=1)


def test_head_learns_where_leftovers_are_and_gives_no_gradient_back():
    net = some_net()
    found = net(features())
    left = residual(found)
    assert left.shape == (2, 9, 24)
    assert not left.requires_grad
    assert torch.allclose(left[..., :8], (found.targets[0] - found.rebuilt[0]).abs())
    generator = torch.Generator().manual_seed(0)
    truths = [(torch.rand(6, 7, generator=generator) < 0.2).float() for _ in range(10)]
    residuals = [torch.rand(6, 7, 5, generator=generator) + truth[..., None] for truth in truths]
    head = ResidualHead(5)
    losses = train_head(head, residuals[:8], truths[:8], steps=150)
    assert losses[-1] < 0.3 < losses[0]
    with torch.no_grad():
        assert auroc(truths[9].numpy().ravel() > 0, head(residuals[9]).numpy().ravel()) > 0.95
    assert dice_loss([torch.zeros(3)], [torch.ones(3)]).item() == pytest.approx(1, abs=1e-3)
    with pytest.raises(BadInput, match="as many"):
        train_head(head, residuals[:2], truths[:1])


@pytest.fixture(scope="module")
def fitted():
    return INPFormer(**FAST).fit([photo(n) for n in range(12)])


def test_finds_the_hole_and_where_it_is(fitted):
    good = fitted.score([photo(n) for n in range(20, 24)])
    torn = fitted.score([photo(n, hole=True) for n in range(20, 24)])
    assert min(s.score for s in torn) > max(s.score for s in good)
    for score in torn:
        assert auroc(truth(), score.heatmap) > 0.88


def test_a_fifth_of_many_photos_is_held_out(fitted):
    assert len(fitted.reference_scores()) == 2
    net = fitted._learned.net
    assert int(net.mean.numel()) == 152
    new = [s.score for s in fitted.score([photo(n) for n in range(30, 36)])]
    assert 0.6 < np.median(fitted.reference_scores()) / np.median(new) < 1.6


def test_few_photos_are_copied_and_scored_by_the_other_half(monkeypatch):
    seen = []
    original = INPFormer._trained

    def watched(self, features, photos):
        seen.append(len(features))
        return original(self, features, photos)

    monkeypatch.setattr(INPFormer, "_trained", watched)
    three = INPFormer(side=64, steps=2, patches=4).fit([photo(n) for n in range(3)])
    assert seen == [44, 22, 66]
    assert len(three.reference_scores()) == 3
    seen.clear()
    one = INPFormer(side=64, steps=2, patches=4).fit([photo(0)])
    assert seen == [11, 11, 22]
    assert len(one.reference_scores()) == 22


def test_copies_are_22_different_ones():
    pixels = (photo(0).pixels * np.array([1.0, 0.8, 0.7])).astype(np.uint8)
    made = list(copies(pixels))
    assert len({copy.tobytes() + bytes(copy.shape[:1]) for copy in made}) == 22
    assert np.array_equal(made[17], pixels[:, ::-1])
    moved = made[9]  # a tenth up and to the left, or down and to the right, mirrored at the rim
    assert any(np.array_equal(moved[20:40, 30:60], pixels[20 + a : 40 + a, 30 + b : 60 + b]) for a in (-9, 9) for b in (-12, 12))
    for size in ((1, 1), (2, 3)):
        assert len(list(copies(np.zeros((*size, 3), np.uint8)))) == 22


def test_photos_of_several_sizes_are_learned_and_scored_together():
    sizes = [(90, 120), (120, 60), (64, 64)]
    learned = INPFormer(side=96, steps=2, patches=8).fit([photo(n, size=sizes[n % 3]) for n in range(FEW + 1)])
    for size in (*sizes, (31, 47)):
        assert learned.score([photo(50, size=size)])[0].heatmap.shape == size


def test_many_patches_are_sampled(monkeypatch):
    monkeypatch.setattr("tools.image.inp_former.POOL", 90)
    lengths = []
    monkeypatch.setattr("models.prototype_training.train_net", lambda net, photos, **_: lengths.extend(map(len, photos)))
    INPFormer(side=64, steps=1).fit([photo(n) for n in range(FEW + 1)])
    assert lengths == [11] * 8


def test_leftovers_may_be_read_by_a_head(tmp_path):
    learned = INPFormer(**FAST, residual=True, simulated=12).fit([photo(n) for n in range(12)])
    good, torn = learned.score([photo(21), photo(21, hole=True)])
    assert torn.score > good.score
    assert auroc(truth(), torn.heatmap) > 0.85
    learned.save(tmp_path / "plus.npz")
    loaded = INPFormer.load(tmp_path / "plus.npz")
    assert np.array_equal(loaded.score([photo(21, hole=True)])[0].heatmap, torn.heatmap)


def test_save_and_load(tmp_path, fitted):
    fitted.save(tmp_path / "net.npz")
    loaded = INPFormer.load(tmp_path / "net.npz")
    ours, theirs = (d.score([photo(23, hole=True)])[0] for d in (fitted, loaded))
    assert np.array_equal(ours.heatmap, theirs.heatmap)
    assert np.array_equal(fitted.reference_scores(), loaded.reference_scores())


def test_weights_of_another_shape_are_refused(tmp_path, fitted, monkeypatch):
    fitted.save(tmp_path / "net.npz")
    monkeypatch.setattr("tools.image.inp_former.TAPS", (8,))
    with pytest.raises(BadInput, match="fit it anew"):
        INPFormer.load(tmp_path / "net.npz")


def test_wrong_use_is_refused(tmp_path):
    with pytest.raises(NotFitted, match="inp_former"):
        INPFormer().score([photo(0)])
    with pytest.raises(NotFitted):
        INPFormer().save(tmp_path / "x.npz")
    with pytest.raises(BadInput, match="steps=0"):
        INPFormer(steps=0)
    with pytest.raises(BadInput, match="divide the width"):
        PrototypeNet((3, 4), heads=2)
    with pytest.raises(BadInput, match="channels of all taps"):
        some_net()(torch.zeros(1, 4, 5))
