"""The parts of the cascade of retrievals against numbers from the authors' code.

Source of the numbers: github.com/flyinghu123/CPR, commit 36db5676e59276caa3905545343c33bd1970b96d, run on a CPU in float32 on the
inputs below. Settings: 12 codes, 5×5 blocks, Kullback–Leibler divergence, four fifths of the blocks; search regions of 3 and 1
cells, one scale at a time, photos as large as their maps, no foreground, its smoothing left out; loss with exponent 3. Inputs and
weights come from NumPy's `RandomState`, whose stream does not change; weights are filled in the order of their names here.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.local_metric import LocalMetric, contrastive_loss, local_distance
from tools.image.cascade import picture_scores
from tools.image.cpr import STRANGEST
from tools.image.foreground import discriminant, learn_foreground
from tools.image.retrieval import block_histograms, most_similar, nearest_code, trimmed_divergence

NEAR = {"rel": 1e-3, "abs": 1e-5}
CHANNELS, EDGE, NORMALS = 6, 20, 7
WIDTH = 16


pytestmark = pytest.mark.usefixtures("one_thread")


def drawn(seed, *shape):
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def photo_maps():
    """Maps (C, h, w) of a photo and of the normal photos: one layout, coarse differences and fine ones."""
    layout = np.kron(drawn(0, CHANNELS, 5, 5), np.ones((4, 4), np.float32))
    coarse = np.kron(drawn(1, NORMALS + 1, CHANNELS, 5, 5), np.ones((4, 4), np.float32))
    return (
        2 * layout
        + np.linspace(0.3, 1.2, NORMALS + 1, dtype=np.float32)[:, None, None, None] * coarse
        + drawn(2, NORMALS + 1, CHANNELS, EDGE, EDGE)
    )


def codes():
    return 2 * drawn(3, 12, CHANNELS)


def filled():
    """A metric whose weights matter everywhere, with batch norms that have seen something."""
    metric = LocalMetric(CHANNELS, width=WIDTH)
    metric.stem.norm.eps = 1e-5  # the first batch norm has the usual epsilon there
    stream = np.random.RandomState(4)
    state = metric.state_dict()
    for name, value in sorted(state.items()):
        if value.ndim:
            numbers = torch.from_numpy(stream.standard_normal(tuple(value.shape)).astype(np.float32))
            fan = value[0].numel() if value.ndim == 4 else 1
            state[name] = 1 + 0.2 * numbers.abs() if "norm.weight" in name or "running_var" in name else numbers * fan**-0.5
    metric.load_state_dict(state)
    return metric.eval()


def pair_vectors():
    """Descriptors of pairs (2 photos, D, 5 places) and weights of those that do not match."""
    a = drawn(6, 4, 2, 8, 5)
    return a[0], a[0] + 0.8 * a[1], a[2], a[2] + 1.5 * a[3], np.random.RandomState(7).uniform(0.2, 2, (2, 5)).astype(np.float32)


def disks():
    """Maps of three photos of a disk before a plain background, 80 cells wide as there."""
    stream = np.random.RandomState(9)
    disk = np.hypot(*(np.indices((80, 80)) - 39.5)) < 28
    outside, inside = 3 * stream.standard_normal((2, 8, 1, 1))
    return [(np.where(disk, inside, outside) + 0.7 * stream.standard_normal((8, 80, 80))).astype(np.float32) for _ in range(3)]


def groups():
    """Vectors of a background and of an object, (N, C) each."""
    stream = np.random.RandomState(8)
    mixing = np.eye(CHANNELS) + 0.4 * stream.standard_normal((CHANNELS, CHANNELS))
    return (stream.standard_normal((2, 200, CHANNELS)) @ mixing + stream.standard_normal((2, 1, CHANNELS))).astype(np.float32)


def close(found, expected):
    assert torch.as_tensor(found).detach().flatten().tolist() == pytest.approx(expected, **NEAR)


def histograms():
    return np.stack([block_histograms(one, codes()) for one in photo_maps()])


# ---- global retrieval


def test_codes_and_block_histograms():
    """Edges that five divides: other maps are filled up with empty cells at other sides there."""
    assert nearest_code(photo_maps()[0], codes())[7].tolist() == [8, 8, 8, 4, 10, 10, 10, 10, 4, 7, 4, 1, 3, 3, 3, 3, 3, 3, 3, 3]
    found = histograms()
    assert found.shape == (NORMALS + 1, 25, 13)
    close(found[0, 6], [0, 0.0625, 0, 0, 0.0625, 0, 0, 0, 0, 0, 0, 0.75, 0.125])
    close(found[3, 24], [0, 0.5625, 0.25, 0, 0, 0.0625, 0, 0, 0, 0, 0.125, 0, 0])


def test_divergences_and_their_order():
    query, *normals = histograms()
    close(trimmed_divergence(query, np.stack(normals)), [7.408513, 14.15582, 23.34087, 24.12072, 11.04442, 19.35287, 32.68654])
    assert most_similar(query, np.stack(normals), NORMALS).tolist() == [0, 4, 1, 5, 2, 3, 6]


# ---- local retrieval


def test_vectors_of_the_metric():
    with torch.no_grad():
        found = filled()(torch.from_numpy(photo_maps()[:1]))[0]
    close(found[:6, 9, 8], [-0.4470735, 0.4800325, -0.02271012, -0.08656973, -0.295896, 0.09886503])
    close(found[:6, 0, 0], [-0.2852528, 0.5215443, -0.1202944, -0.148682, -0.155885, 0.1082201])


@pytest.mark.parametrize(
    ("window", "corner", "row", "end", "mean", "strangest"),
    [
        (
            3, [0.01011389, 0.01988214, 0.006836712, 0.01609057],
            [0.01507056, 0.01158869, 0.01771879, 0.02976578, 0.01982921, 0.03022373],
            [0.02002025, 0.01383746, 0.009274065], 0.01779188, 0.1057973,
        ),
        (
            1, [0.01585799, 0.02488053, 0.02169722, 0.01609057],
            [0.02726048, 0.01158869, 0.04700655, 0.04058659, 0.05359113, 0.03022373],
            [0.02502543, 0.01405126, 0.009274006], 0.02446209, 0.1727275,
        ),
    ],
)  # fmt: skip
def test_local_distances_to_the_retrieved_photos(window, corner, row, end, mean, strangest):
    """One scale's map against three photos; its score is the sum of the two strangest cells there, their mean here."""
    query, *normals = histograms()
    chosen = most_similar(query, np.stack(normals), 3) + 1
    with torch.no_grad():
        vectors = filled()(torch.from_numpy(photo_maps())).permute(0, 2, 3, 1)
    found = local_distance(vectors[0], vectors[chosen.tolist()], window=window)
    close(found[0, :4], corner)
    close(found[9, 8:14], row)
    close(found[-1, -3:], end)
    close(found.mean(), [mean])
    assert 2 * picture_scores(found[None], STRANGEST)[0] == pytest.approx(strangest, **NEAR)


def test_contrastive_loss():
    ours, theirs, odd, normal, weight = map(torch.from_numpy, pair_vectors())
    matching, different = F.cosine_similarity(ours, theirs).flatten(), F.cosine_similarity(odd, normal).flatten()
    close(contrastive_loss(matching, torch.empty(0)), [0.006093402])
    close(contrastive_loss(matching, different, weight.flatten()), [0.006093402 + 1.231795])


# ---- foreground


def test_direction_from_background_to_object():
    """Scikit-learn's linear discriminant, which is called there; ours adds a ridge of a thousandth, hence the cosine."""
    found = discriminant(*(group.astype(np.float64) for group in groups()))
    expected = np.array([-0.8067871, 0.04971068, -0.1844538, 0.004795276, -0.3046953, 0.4687623])
    assert found @ expected / np.linalg.norm(found) == pytest.approx(1, rel=1e-3)


def test_foreground_of_an_object():
    """The values that become 0 and 1 are percentiles of all cells there, of those that the line was learned from here."""
    found = learn_foreground(disks())
    assert found is not None
    expected = [0.1293532, 0.0934588, 0.0721919, 0.8940852, 0.9333327, 0.9029521]
    assert found.of(disks()[0])[40, [2, 8, 11, 12, 20, 40]] == pytest.approx(expected, abs=0.01)
