"""The shrunk Gaussian and the coupling flow against numbers from the repositories that the literature's values come from.

Gaussian: github.com/ORippler/gaussian-ad-mvtec, commit bc10bd736d85b750410e6b0e7ac843061e09511e, on a CPU (features in float32,
covariance by scikit-learn's Ledoit-Wolf), on the vectors below.
Flow: github.com/gathierry/FastFlow, commit 2cf1f2f4c562a7f13cfb1959e3afe5df2f2d2565, with the FrEIA that it asks for
(github.com/vislearn/FrEIA, commit 1779d1fba1e21000fda1927b59eeac0a6fcaa284): four steps, kernels 3×3 and 1×1 in turn, ratio 1, clamp
2, behind a layer norm of torch; maps of 6 channels, 3×4.
Vectors and weights come from NumPy's `RandomState`, whose stream does not change; weights are filled in the order of their names
here.
"""

import numpy as np
import pytest
import torch

from models.coupling_flow import CouplingFlow, surprise
from models.gaussians import ShrunkGaussian

NEAR = {"rel": 1e-3, "abs": 1e-5}
CHANNELS, HEIGHT, WIDTH = 6, 3, 4


pytestmark = pytest.mark.usefixtures("one_thread")


def vectors(count, channels, seed):
    """Correlated channels of very different spread."""
    stream = np.random.RandomState(1000 + channels)
    mixing = stream.standard_normal((channels, channels)) * np.geomspace(1, 0.05, channels)
    return (np.random.RandomState(seed).standard_normal((count, channels)) @ mixing + 3).astype(np.float32)


def filled():
    """A flow whose weights are nothing like the identity's; the whitening stays out of it."""
    flow = CouplingFlow(channels=CHANNELS, height=HEIGHT, width=WIDTH, steps=4)
    stream = np.random.RandomState(0)
    with torch.no_grad():
        for _, value in sorted(flow.named_parameters()):
            value.copy_(torch.from_numpy(stream.standard_normal(tuple(value.shape)).astype(np.float32)) * 0.4)
        for step in flow.steps:
            step.permutation.copy_(torch.from_numpy(stream.permutation(CHANNELS)))
            step.net[0].weight.mul_(2)  # what is said is multiplied by a tenth
            step.net[2].weight.mul_(3)
    return flow


def maps():
    return torch.from_numpy(np.random.RandomState(1).standard_normal((3, CHANNELS, HEIGHT, WIDTH)).astype(np.float32)) * 2 + 1


def close(found, expected):
    assert torch.as_tensor(found).detach().flatten().tolist() == pytest.approx(expected, **NEAR)


# ---- the Gaussian


@pytest.mark.parametrize(
    ("count", "channels", "reduce", "variance", "freedom", "expected"),
    [
        (200, 12, "none", 0.99, 12, [3.418146, 2.298467, 1.664715, 2.479686, 1.690999, 2.565044]),
        (30, 12, "none", 0.99, 12, [3.275246, 2.117677, 1.628293, 2.383038, 1.480044, 2.346733]),
        (8, 30, "none", 0.99, 30, [5.670192, 4.151937, 4.957997, 2.595938, 6.162201, 4.863845]),
        (200, 12, "pca", 0.9, 4, [1.755739, 1.969703, 1.447442, 1.95241, 0.7747181, 1.893954]),
        (8, 30, "pca", 0.9, 4, [2.088677, 1.937133, 1.277722, 0.8029675, 1.903479, 1.049002]),
        (200, 12, "npca", 0.9, 10, [3.312741, 2.203122, 1.003643, 2.039257, 1.866537, 2.684767]),
        (30, 12, "npca", 0.99, 8, [4.484551, 1.489667, 0.8434457, 1.188527, 2.468616, 2.207757]),
    ],
)
def test_distances_of_new_vectors(count, channels, reduce, variance, freedom, expected):
    """There, "npca" of fewer vectors than channels keeps as many components as there are vectors; here, all directions without data.

    So only "none" and "pca" are compared for those.
    """
    model = ShrunkGaussian.fit(vectors(count, channels, 0), reduce=reduce, variance=variance)
    assert model.freedom == freedom
    close(model.distance(vectors(6, channels, 1)), expected)


def test_the_score_is_the_mean_of_the_levels():
    levels = [
        ShrunkGaussian.fit(vectors(60, channels, 2), reduce="npca", variance=0.95).distance(vectors(6, channels, 3))
        for channels in (12, 20)
    ]
    close(np.mean(levels, axis=0), [3.071236, 3.103937, 4.429556, 2.902642, 4.522268, 2.611034])


def test_the_threshold_of_a_level():
    model = ShrunkGaussian.fit(vectors(200, 12, 0))
    close([model.radius(0.9973), model.radius(0.5)], [5.486078, 3.36754])


# ---- the flow


def test_noise_and_log_determinants():
    """There the determinant leaves out the gain of the layer norm in front, here it counts."""
    flow = filled()
    noise, told = flow(maps())
    close(noise[1, :, 1, 2], [-2.676126, 0.2183492, 1.132853, 2.001626, 1.634721, 1.214807])
    close(noise.std(), [4.82579])
    close(told.sum(dim=(1, 2)) - flow.norm.log_gain.sum(), [-72.77477, -58.57484, -90.08508])


def test_likelihood_and_its_gradient():
    """There a picture's sum, here the mean over channels and places; the gain of the layer norm is left out here too."""
    flow = filled()
    loss = surprise(*flow(maps())).mean() * CHANNELS * HEIGHT * WIDTH + flow.norm.log_gain.sum()
    close(loss, [915.5166])
    loss.backward()
    close(flow.steps[0].net[0].weight.grad.norm(), [626.5039])
    close(flow.steps[3].net[2].weight.grad.norm(), [198.5895])
    close(flow.steps[0].offset.grad, [-147.4668, -179.7262, -360.4234, -164.6017, -32.96262, -66.89611])


def test_the_steps_backwards():
    noise = torch.from_numpy(np.random.RandomState(5).standard_normal((1, CHANNELS, HEIGHT, WIDTH)).astype(np.float32))
    for step in reversed(list(filled().steps)):
        noise = step.inverse(noise)
    close(noise[0, :, 2, 1], [-0.1024442, -0.1638294, -0.3110966, 1.67249, 2.327594, 97.80943])


def test_the_factor_of_a_channel_starts_at_one():
    """Another function of another parameter gives it there, with the same range and the same first value."""
    flow = CouplingFlow(channels=CHANNELS, height=HEIGHT, width=WIDTH, steps=1)
    close(flow.steps[0]._factor(), [1.0] * CHANNELS)
