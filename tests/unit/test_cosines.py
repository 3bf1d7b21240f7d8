import pytest
import torch

from models.cosines import NARROW, SMALLEST, Factor, Space, factor, multiplies_bytes, stacked
from models.nearest import distance, unit
from tools.image.mutual_scores import minima


def directions(count, width, seed=0, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    return unit(torch.ones(width) + spread * torch.randn(count, width, generator=generator))


def cosines(a, b):
    return a.times(b, Space()).float() * (a.unit * b.unit)


@pytest.mark.parametrize("width", [1, 3, NARROW, 40, 112, 1024])
@pytest.mark.parametrize("exact", [True, False])
def test_products_are_the_cosines(width, exact):
    a, b = directions(70, width), directions(90, width, seed=1)
    assert torch.allclose(cosines(factor(a, exact=exact), factor(b, exact=exact)), a @ b.T, atol=1e-6 if exact else 1e-4)


@pytest.mark.parametrize("spread", [0.01, 0.1, 1.0, 10.0])
def test_distances_are_off_by_little_where_patches_are_nearly_alike_too(spread):
    a, b = directions(300, 40, spread=spread), directions(300, 40, seed=1, spread=spread)
    exact = torch.cdist(a.double(), b.double()).float()
    found = distance(cosines(factor(a), factor(b)))
    apart = (found - exact).abs()
    assert float(apart.max()) < 0.008
    far = exact > 0.1
    assert spread < 0.1 or bool(far.any())
    assert bool((apart[far] < 0.004 * exact[far]).all())


def test_the_same_patch_is_found_at_next_to_nothing():
    a = directions(200, 40)
    assert float(distance(cosines(factor(a), factor(a))).diagonal().max()) < 0.008


def test_sums_stay_within_32_bits_for_the_flattest_vectors():
    flat = unit(torch.ones(3, 2048))
    assert float(flat.max()) < SMALLEST
    assert torch.allclose(cosines(factor(flat), factor(flat)), torch.ones(3, 3), atol=1e-3)
    lonely = torch.zeros(2, 64)
    lonely[0, 5], lonely[1, 6] = 1, -1
    assert torch.allclose(cosines(factor(lonely), factor(lonely)), torch.eye(2), atol=1e-4)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 50.0, 3e4])
def test_vectors_of_any_length_are_multiplied(scale):
    generator = torch.Generator().manual_seed(2)
    a, b = (scale * torch.randn(count, 40, generator=generator) for count in (30, 50))
    exact = a @ b.T
    assert float((cosines(factor(a), factor(b)) - exact).abs().max()) < 1e-4 * float(exact.abs().max())
    flat = torch.full((3, 1024), scale)
    assert torch.allclose(cosines(factor(flat), factor(flat)), flat @ flat.T, rtol=2e-3)


def test_bytes_are_used_where_the_processor_multiplies_them():
    made = factor(directions(10, 16))
    assert (made.left is not None) == multiplies_bytes()
    assert factor(directions(10, 16), exact=True).left is None
    assert factor(directions(10, NARROW - 1)).left is None
    assert len(factor(torch.zeros(0, 16))) == 0


def test_parts_and_stacks_keep_their_rows():
    a, b = factor(directions(10, 16)), factor(directions(6, 16, seed=1))
    both = stacked([a, b])
    assert len(both) == 16
    assert torch.equal(both[10:16].coarse, b.coarse)
    alone = cosines(a[2:5], b)
    again = a[2:5].times(both[10:16], Space()).float() * (a.unit * b.unit)
    assert torch.equal(alone, again)


def test_without_byte_products_the_result_is_the_exact_one(monkeypatch):
    monkeypatch.setattr("models.cosines.multiplies_bytes", lambda: False)
    photos = [directions(50, 16, seed=s) for s in range(4)]
    assert all(torch.equal(a, b) for a, b in zip(minima(photos), minima(photos, exact=False), strict=True))
    assert isinstance(factor(photos[0]), Factor)


def test_mutual_scores_hardly_differ():
    photos = [directions(120 if s else 77, 40, seed=s, spread=0.5) for s in range(6)]
    for a, b in zip(minima(photos), minima(photos, exact=False), strict=True):
        assert torch.allclose(a, b, atol=2e-3)
