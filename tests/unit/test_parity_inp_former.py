"""The prototype network against numbers from the authors' code.

Source of the numbers: github.com/luow23/INP-Former, commit 17d265381d9b323a2ef6e05aab0665a85edebe84, run on a CPU in float32 on
the inputs and weights below. Settings: width 24, four heads, three prototypes, MLPs four times as wide (as there), biases in all
linear maps, layer norms with 1e-8, an encoder that hands its input through; groups of two decoder blocks; exponent 3; StableAdamW
with betas .9 and .999, 1e-10, decay 1e-4, AMSGrad; gradients clipped to 0.1. Inputs and weights come from NumPy's `RandomState`,
whose stream does not change; weights are filled in the order of their names here.
"""

import numpy as np
import pytest
import torch

from models.prototype_training import CLIP, COHERENT, loss_of
from models.prototypes import PrototypeNet, coherence, mined, misfit
from models.stable_adamw import StableAdamW

NEAR = {"rel": 1e-3, "abs": 1e-5}
WIDTH, HEADS, PROTOTYPES, PHOTOS, PLACES = 24, 4, 3, 2, 9
RATE = 1e-3


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _as_wide_as_the_papers(monkeypatch):
    monkeypatch.setattr("models.prototypes.WIDER", 4)


def drawn(seed, *shape):
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))


def filled(channels, seed=0):
    """A network of two blocks per tap whose weights matter everywhere."""
    net = PrototypeNet(channels, prototypes=PROTOTYPES, heads=HEADS, blocks=2)
    stream = np.random.RandomState(seed)
    with torch.no_grad():
        for name, value in sorted(net.named_parameters()):
            numbers = torch.from_numpy(stream.standard_normal(tuple(value.shape)).astype(np.float32))
            about_one = "gain" in name or ("norm" in name and "weight" in name)
            value.copy_(1 + 0.3 * numbers if about_one else 0.3 * numbers)
    return net.eval()


def features():
    """Few directions and some noise, so that there is something to rebuild, and places of very different distance."""
    return drawn(1, PHOTOS, PLACES, 3) @ drawn(2, 3, WIDTH) + 0.5 * drawn(3, PHOTOS, PLACES, WIDTH)


@pytest.fixture
def whole():
    """One tap of all channels: the paper's case of one group."""
    return filled((WIDTH,))


def close(found, expected):
    assert torch.as_tensor(found).detach().flatten().tolist() == pytest.approx(expected, **NEAR)


def test_prototypes_are_the_aggregation_blocks(whole):
    found = whole(features()).prototypes
    close(found[1, :, 5], [-2.832454, -2.218532, -1.26072])
    close(found.abs().mean(), [3.111311])


def test_rebuilt_features_are_the_bottlenecks_and_the_decoders(whole):
    found = whole(features()).rebuilt[0]
    close(found[1, 4, :5], [2.83694, -1.67586, -2.017848, -0.2087245, 0.4466953])
    close(found.std(), [3.261356])


def test_groups_of_blocks_are_reversed_and_averaged():
    """Two taps stand side by side here, so that of each group's features (there of the whole width) the tap's own part is compared."""
    found = filled((10, 14))(features())
    first, last = found.rebuilt
    close(first[0, 2, :5], [2.07757, 1.760681, 0.4866405, 0.4918998, -1.898747])
    close(last[0, 2, :5], [-0.5237443, -0.02372849, 0.3684638, 1.886197, 2.944848])
    expected = [0.9546171, 1.017505, 0.8813537, 0.9661623, 0.755119, 1.388148, 0.9534025, 0.9602038, 0.8770633]
    close(misfit(found)[0], expected)
    close(loss_of(found), [1.178457])


def test_map_is_the_papers_before_it_is_enlarged(whole):
    expected = [0.7171609, 1.004374, 0.7260002, 0.8364812, 0.9781029, 0.859045, 0.8286692, 0.9039094, 0.8397117]
    close(whole.distances(features())[1], expected)


def test_coherence_loss_and_its_distances(whole):
    found = whole(features())
    close(coherence(found.patches, found.prototypes), [0.9016507])
    # The distances that are the whole score where a network trained on other products is used.
    expected = [0.8923256, 0.7922232, 0.9416767, 0.7168944, 1.187904, 0.6151851, 0.9044605, 0.802448, 0.8872096]
    close(torch.stack([coherence(found.patches[1:, [place]], found.prototypes[1:]) for place in range(PLACES)]), expected)


def test_soft_mining_and_the_gradient_it_weighs(whole):
    """Once on given features, with the length of the gradient at each place, and once through the whole network."""
    target, rebuilt = (drawn(seed, 2, 8, 3, 3).flatten(2).transpose(1, 2) for seed in (4, 5))
    rebuilt.requires_grad_()
    loss = mined(target, rebuilt)
    loss.backward()
    close(loss, [0.9698415])
    expected = [0.006348974, 0.05508727, 0.01500983, 0.04501631, 0.04681767, 0.01097289, 0.006621297, 0.03885586, 0.03083676]
    close(rebuilt.grad[1].norm(dim=-1), expected)

    found = whole(features())
    close(mined(found.targets[0], found.rebuilt[0]), [0.8958843])
    total = loss_of(found)
    close(total, [1.076214])
    total.backward()
    close(whole.decoder[0].gain.grad, [-0.06534658, -0.0009330724, -0.0007116365, 0.00781638])
    lengths = [
        part.grad.norm()
        for part in (
            whole.extractor.queries,
            whole.extractor.key.weight,
            whole.extractor.value.weight,
            whole.bottleneck[0].weight,
        )
    ]
    close(torch.stack(lengths), [0.1741968, 0.1879552, 0.2696812, 0.2173184])


def test_eight_steps_of_training_take_the_same_course(whole):
    """Nearly: the extractor's keys and values are one tensor there and two here, and steps are held back tensor by tensor."""
    assert (CLIP, COHERENT) == (0.1, 0.2)
    optimizer = StableAdamW(whole.parameters(), lr=RATE)
    losses = []
    for _ in range(8):
        loss = loss_of(whole(features()))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(whole.parameters(), CLIP)
        optimizer.step()
        losses.append(loss.item())
    assert losses == pytest.approx([1.076214, 1.015664, 0.9780645, 0.9434241, 0.9114636, 0.8830134, 0.8597326, 0.8388765], **NEAR)
    close(whole.extractor.queries[0, :5], [0.2671607, -0.1146848, -0.09512495, -0.2553612, 0.1923141])
