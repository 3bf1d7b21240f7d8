import math

import numpy as np
import pytest
import torch

from core.errors import BadInput
from core.samples import ImageSample
from models.nearest import unit
from tools.image.mutual_search import MutualSearch, _both_ways
from tools.image.patch_maps import patch_vectors

GOOD, ODD = range(7), 7


def photo(number, *, hole=False, size=(96, 128)):
    rng = np.random.default_rng(number)
    weave = np.indices(size).sum(0)[..., None] + rng.integers(12)
    pixels = (weave % 12 * 14 + rng.integers(0, 20, (*size, 3))).astype(np.uint8)
    if hole:
        pixels[30:56, 70:100] = 10
    return ImageSample(name=f"photo {number}", pixels=pixels)


def batch():
    return [*(photo(n) for n in GOOD), photo(ODD, hole=True)]


def test_the_only_torn_photo_stands_out_and_where():
    scores = MutualSearch(side=96).score(batch())
    assert int(np.argmax([s.score for s in scores])) == ODD
    row, column = np.unravel_index(scores[ODD].heatmap.argmax(), (96, 128))
    assert 26 <= row < 60
    assert 66 <= column < 104


def test_a_minority_of_equal_defects_is_still_found():
    """The lowest 30 % of distances would hide a defect that a third of the photos share, not one that a fifth shares."""
    samples = [*(photo(n) for n in range(12)), photo(12, hole=True), photo(13, hole=True)]
    order = np.argsort([-s.score for s in MutualSearch(side=96).score(samples)])
    assert set(order[:2].tolist()) == {12, 13}


def test_equals_the_definition():
    detector, samples = MutualSearch(side=96, share=0.3), batch()
    vectors = [patch_vectors(detector._encoder, s.pixels).flatten(0, 1) for s in samples]
    for number, found in enumerate(detector._mutual(vectors, [])):
        others = [v for index, v in enumerate(vectors) if index != number]
        table = torch.stack([torch.cdist(vectors[number], other).amin(dim=1) for other in others])
        expected = table.sort(dim=0).values[: max(1, math.ceil(0.3 * len(others)))].mean(dim=0)
        assert np.allclose(found, expected.numpy(), atol=2e-3)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (513, 40), (40, 700)])
def test_one_product_serves_both_directions(rows, columns):
    generator = torch.Generator().manual_seed(0)
    a, b = (unit(torch.randn(n, 16, generator=generator)) for n in (rows, columns))
    forward, backward = _both_ways(a, b)
    table = a @ b.T
    assert torch.allclose(forward, table.amax(dim=1), atol=1e-6)
    assert torch.allclose(backward, table.amax(dim=0), atol=1e-6)


def test_a_large_batch_is_dealt_the_same_way_in_any_order():
    samples = [photo(n, hole=n == 3) for n in range(14)]
    detector = MutualSearch(side=64, partners=5)
    scores = detector.score(samples)
    assert int(np.argmax([s.score for s in scores])) == 3
    groups = detector._dealt(samples)
    assert sorted(index for group in groups for index in group) == list(range(14))
    assert {len(group) for group in groups} <= {4, 5}
    order = np.random.default_rng(0).permutation(14)
    permuted = detector.score([samples[int(i)] for i in order])
    for place, index in enumerate(order):
        assert permuted[place].sample == samples[int(index)].name
        assert np.allclose(permuted[place].heatmap, scores[int(index)].heatmap, atol=1e-4)
    assert detector._dealt(samples) != MutualSearch(side=64, partners=5, seed=1)._dealt(samples)


def test_normals_are_partners_and_give_references():
    detector = MutualSearch(side=96).fit([photo(n) for n in range(20, 25)])
    alone, torn = (detector.score([sample])[0] for sample in (photo(1), photo(1, hole=True)))
    assert torn.score > alone.score
    assert len(detector.reference_scores()) == 5
    assert torn.score > detector.reference_scores().max()
    assert len(MutualSearch(side=64).fit([photo(0)]).reference_scores()) == 0


def test_many_normals_are_thinned():
    detector = MutualSearch(side=64, partners=3).fit([photo(n) for n in range(9)])
    assert len(detector._normals) == 3


def test_two_photos_and_mixed_sizes_work():
    scores = MutualSearch(side=64).score([photo(0), photo(1, size=(60, 200))])
    assert [s.heatmap.shape for s in scores] == [(96, 128), (60, 200)]


def test_save_and_load(tmp_path):
    fitted = MutualSearch(side=64).fit([photo(n) for n in range(3)])
    fitted.save(tmp_path / "x.npz")
    loaded = MutualSearch.load(tmp_path / "x.npz")
    ours, theirs = (d.score([photo(9, hole=True)])[0].heatmap for d in (fitted, loaded))
    assert np.array_equal(ours, theirs)


def test_wrong_use_is_refused():
    with pytest.raises(BadInput, match="at least two photos"):
        MutualSearch(side=64).score([photo(0)])
    for values in ({"share": 0.0}, {"share": 1.5}, {"partners": 1}):
        with pytest.raises(BadInput):
            MutualSearch(**values)
