"""Mutual scoring of photos and of scans against numbers from its authors' programs.

Photos: github.com/xrli-U/MuSc, commit b76b93da8bd3096a99964a96ae29d46f197a0651: `LNAMD`, `MSM` from the lowest to 30 %, `RsCIN`.
Scans: github.com/HUST-SLOW/MuSc-V2, commit b5e911dbc089bfa82cd30cf0af1888dac8a6438e: `SNAMD` (there in float16), `MSM_multiple`,
`RsCon` and the curvature of `iter_group`. All in float32 on a CPU.

The authors round the share of partners down, we round it up: shares here are whole numbers of partners.
Of a large result some entries, the mean and quantiles are held (`digest`). Features come from NumPy's `RandomState`, whose stream does
not change.
"""

import numpy as np
import pytest
import torch

from models.point_groups import curvature
from tools.image.cross_modal import collaborated
from tools.image.musc import MuSc, Photo
from tools.image.mutual_scores import lowest_mean, minima
from tools.image.neighbourhoods import averaged
from tools.image.patch_maps import picture_score
from tools.image.rescoring import rescored
from tools.image.similar_neighbours import of_cells, of_centres

PHOTOS, EDGE, CHANNELS = 11, 7, 16
WIDE = 9
"""Edge of the maps whose inner 5 × 5 cells have whole neighbourhoods: beyond the rim the authors count zeros, we count nothing."""
SHARE = 0.3
NEAR = {"rtol": 1e-3, "atol": 1e-5}
HALF = {"rtol": 1e-3, "atol": 5e-4}
"""Their aggregated features are float16, whose steps are 1/2048 of a number."""
TIED = {"rtol": 1e-2}
"""Where distances tie, their sort orders them by chance; by the order of the photos their own result moves as much."""


pytestmark = pytest.mark.usefixtures("one_thread")


def features(photos, places, seed):
    """(photos, places, CHANNELS) of six kinds of patches; three patches of the third photo are strange."""
    stream = np.random.RandomState(seed)
    kinds = stream.standard_normal((6, CHANNELS))
    found = kinds[stream.randint(6, size=(photos, places))] + 0.5 * stream.standard_normal((photos, places, CHANNELS))
    found[2, 5:8] += 5 * stream.standard_normal(CHANNELS)
    return found.astype(np.float32)


def scaled(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def embeddings(seed):
    """(PHOTOS, CHANNELS) unit vectors without negative entries."""
    return scaled(np.abs(np.random.RandomState(seed).standard_normal((PHOTOS, CHANNELS)))).astype(np.float32)


def layout(kind, seed):
    """Which cell each centre of a scan lies in: as many centres as cells, some cells empty, or some with several centres."""
    stream = np.random.RandomState(seed)
    order = stream.permutation(EDGE * EDGE)
    return {"each": order, "fewer": order[:40], "more": np.concatenate([order, stream.randint(EDGE * EDGE, size=21)])}[kind]


def surface():
    """Centres (40, 3), their unit features and curvatures, half of them beyond the limit of .01."""
    stream = np.random.RandomState(5)
    return stream.standard_normal((40, 3)).astype(np.float32), scaled(features(3, 40, 6)[0]), stream.random_sample(40) * 0.02


def cloud():
    """Points (400, 3), ever thicker, and for every twentieth its nearest ones, itself first."""
    points = np.random.RandomState(9).standard_normal((400, 3)).astype(np.float32)
    points[:, 2] *= np.linspace(0.01, 0.5, 400)
    apart = np.linalg.norm(points[:, None] - points[None, ::20], axis=2)
    return points, np.argsort(apart, axis=0, kind="stable").T


def as_map(patches):
    edge = round(len(patches) ** 0.5)
    return torch.from_numpy(np.ascontiguousarray(patches.T).reshape(CHANNELS, edge, edge))


def inner(patches):
    return np.asarray(patches).reshape(-1, WIDE, WIDE, CHANNELS)[:, 2:-2, 2:-2]


def digest(values):
    flat = np.asarray(values, dtype=np.float64).ravel()
    return [*flat[np.linspace(0, flat.size - 1, 6).astype(int)], flat.mean(), *np.quantile(flat, [0.1, 0.5, 0.9])]


def close(found, expected, **near):
    np.testing.assert_allclose(digest(found), expected, **(near or NEAR))


def brought(scores, plain):
    """On the authors' scale: they bring the scores to 0 to 1 before they share them."""
    return (scores - plain.min()) / (plain.max() - plain.min())


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (1, [0.171882, -0.166372, -0.0206082, 0.16788, -0.161106, 0.539402, 0.00184295, -0.325225, -0.00248837, 0.333704]),
        (3, [0.0113065, -0.11885, 0.0568025, -0.270253, -0.183517, 0.506865, -0.00141645, -0.340963, 0.00509727, 0.314733]),
        (5, [-0.101831, -0.258217, -0.0249654, -0.303459, -0.211161, 0.497894, -0.000846414, -0.354899, 0.0232346, 0.301807]),
    ],
)
def test_neighbourhoods_of_a_layer(size, expected):
    close([averaged(as_map(patches), size).numpy() for patches in features(PHOTOS, EDGE * EDGE, 1)], expected)


@pytest.mark.parametrize(
    ("photos", "lowest", "expected"),
    [
        (6, 1, [0.549787, 0.510378, 0.755668, 0.580479, 0.68759, 0.505552, 0.550013, 0.412585, 0.542363, 0.706479]),
        (8, 2, [0.54854, 0.545886, 0.673002, 0.580689, 0.643408, 0.673558, 0.548279, 0.4163, 0.547922, 0.684688]),
        (11, 3, [0.562582, 0.459518, 0.339963, 0.61962, 0.633353, 0.605815, 0.543024, 0.419079, 0.540551, 0.667009]),
    ],
)
def test_mutual_scores_of_patches(photos, lowest, expected):
    vectors = [averaged(as_map(patches), 3) for patches in features(PHOTOS, EDGE * EDGE, 1)[:photos]]
    close([lowest_mean(table, lowest / (photos - 1)).numpy() for table in minima(vectors)], expected)


def whole():
    detector = MuSc(strides=(8,), neighbourhoods=(1, 3, 5), merged=False, share=SHARE, device="cpu")
    photos = [Photo([as_map(patches)], torch.empty(0)) for patches in features(PHOTOS, EDGE * EDGE, 1)]
    return detector._mutual(photos, [])


def test_maps_and_scores_of_photos():
    """Patch maps averaged over neighbourhoods; the strangest of 49 patches is the highest pixel of the enlarged map."""
    maps = whole()
    close(maps, [0.535211, 0.5053, 0.353312, 0.556788, 0.493748, 0.509058, 0.501572, 0.404759, 0.501282, 0.600579])
    expected = [0.655288, 0.646017, 0.667253, 0.678832, 0.662683, 0.62658, 0.675037, 0.611041, 0.709423, 0.671997, 0.586831]
    np.testing.assert_allclose([picture_score(patches) for patches in maps], expected, **NEAR)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (
            (1, 2, 3),
            [0.649039, 0.487978, 0.708266, 0.800474, 0.689367, 0.454517, 0.730625, 0.41778, 0.882312, 0.569826, 0.224116],
        ),
        ((1, 8, 9), [0.568433, 0.551825, 0.61857, 0.626492, 0.618359, 0.509749, 0.634317, 0.436227, 0.715407, 0.57994, 0.360704]),
    ],
)
def test_similar_photos_share_scores(counts, expected):
    plain = np.array([picture_score(patches) for patches in whole()], np.float32)
    found = rescored(plain, torch.from_numpy(embeddings(3)), counts)
    np.testing.assert_allclose(brought(found, plain), expected, **NEAR)


def test_similar_scans_share_scores():
    """Features of the strangest spot of both modalities, side by side."""
    plain = np.array([picture_score(patches) for patches in whole()], np.float32)
    salient = scaled(np.concatenate([embeddings(7), embeddings(8)], axis=1))
    found = rescored(plain, torch.from_numpy(salient), (1, 7))
    expected = [0.56707, 0.521854, 0.597141, 0.652154, 0.556355, 0.391535, 0.678934, 0.350346, 0.761689, 0.693539, 0.240463]
    np.testing.assert_allclose(brought(found, plain), expected, **NEAR)


def test_similar_neighbours_in_a_picture():
    expected = [-0.105713, -0.00932312, 0.0212555, 0.313477, 0.113525, 0.140991, 0.0288439, -0.28584, 0.0264816, 0.365039]
    found = [of_cells(as_map(patches)).numpy() for patches in scaled(features(3, WIDE * WIDE, 4))]
    close(inner(found), expected, **HALF)


@pytest.mark.parametrize(
    ("reach", "expected"),
    [
        (3, [-0.318856, 0.174522, -0.410388, -0.401905, 0.371311, -0.0803876, 0.0250251, -0.304608, 0.0294841, 0.33334]),
        (5, [-0.318856, -0.0803359, -0.51938, -0.401905, 0.296246, -0.0803876, 0.026838, -0.301236, 0.0359274, 0.340922]),
    ],
)
def test_similar_neighbours_on_a_surface(reach, expected):
    """One reach at a time: of several, the authors' program averages neighbouring channels instead of the reaches."""
    centres, vectors, curved = surface()
    nearest = np.argsort(np.linalg.norm(centres[:, None] - centres[None], axis=2), axis=1)[:, :reach]
    found = of_centres(torch.from_numpy(vectors), torch.from_numpy(nearest), torch.from_numpy(curved), (reach,))
    close(found.numpy(), expected, **HALF)


def test_curvature_of_neighbours():
    """Of the 127 nearest points, without the centre itself."""
    expected = [0.110874, 0.129325, 0.086486, 0.117884, 0.0940381, 0.111402, 0.096533, 0.0758304, 0.0926097, 0.118762]
    points, nearest = cloud()
    close(curvature(points[nearest[:, 1:128]].astype(np.float64) - points[::20, None]), expected)


@pytest.mark.parametrize(
    ("kind", "colour", "shape", "near"),
    [
        (
            "each",
            [0.415984, 0.381685, 0.68511, 0.402408, 0.663284, 0.397544, 0.457524, 0.34338, 0.449927, 0.581648],
            [0.398235, 0.458469, 0.407395, 0.364772, 0.491012, 0.43069, 0.461001, 0.382385, 0.455874, 0.543461],
            (NEAR, NEAR),
        ),
        (
            "fewer",
            [0.395624, 0.354442, 0.675257, 0.416217, 0.640268, 0.343487, 0.455545, 0.342429, 0.447004, 0.575083],
            [0.427514, 0.741631, 0.409631, 0.479857, 0.485257, 0.404301, 0.462055, 0.382002, 0.455043, 0.545573],
            (TIED, NEAR),
        ),
        (
            "more",
            [0.473663, 0.360108, 0.687629, 0.396942, 0.637624, 0.431817, 0.456124, 0.346586, 0.44621, 0.572346],
            [0.378595, 0.365581, 0.450186, 0.523149, 0.370727, 0.461654, 0.441421, 0.370665, 0.433399, 0.525191],
            (NEAR, TIED),
        ),
    ],
)
def test_modalities_that_heard_each_other(kind, colour, shape, near):
    cells = [layout(kind, 100 + number) for number in range(PHOTOS)]
    seen = [torch.from_numpy(scan) for scan in scaled(features(PHOTOS, EDGE * EDGE, 10))]
    felt = [torch.from_numpy(scan) for scan in scaled(features(PHOTOS, len(cells[0]), 11))]
    heard = [
        collaborated(one.numpy(), other.numpy(), cell) for one, other, cell in zip(minima(seen), minima(felt), cells, strict=True)
    ]
    for number, expected in enumerate((colour, shape)):
        low = [lowest_mean(torch.from_numpy(pair[number]), SHARE).numpy() for pair in heard]
        close(low, expected, **near[number])
