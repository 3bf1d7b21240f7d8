import numpy as np
import pytest
import torch

from models.nearest import cover, distance, largest_cosine, nearest, unit


def directions(count, channels=24, seed=0):
    return unit(torch.randn(count, channels, generator=torch.Generator().manual_seed(seed)))


def clusters(count, centres=40, seed=0):
    """Many points around few directions, some directions rare."""
    rng = np.random.default_rng(seed)
    which = rng.choice(centres, count, p=np.arange(1, centres + 1) ** 3 / (np.arange(1, centres + 1) ** 3).sum())
    return unit(directions(centres, seed=seed)[torch.from_numpy(which)] + 0.02 * directions(count, seed=seed + 1))


@pytest.mark.parametrize(("queries", "bank"), [(1, 1), (7, 3), (1601, 5), (3300, 2049)])
def test_largest_cosine_equals_the_whole_table(queries, bank):
    q, b = directions(queries), directions(bank, seed=1)
    assert torch.allclose(largest_cosine(q, b), (q @ b.T).amax(dim=1), atol=1e-6)
    cosine, index = nearest(q, b)
    assert torch.allclose(cosine, largest_cosine(q, b), atol=1e-6)
    assert torch.allclose((q * b[index]).sum(dim=1), cosine, atol=1e-5)


def test_distance_is_euclidean_and_small_ones_are_kept():
    q, b = directions(50), directions(60, seed=1)
    expected = torch.cdist(q.double(), b.double()).amin(dim=1)
    assert torch.allclose(distance(largest_cosine(q, b)).double(), expected, atol=1e-5)
    near = unit(q + 0.02 * directions(50, seed=2))
    exact = (near.double() - q.double()).norm(dim=1)
    found = distance((near * q).sum(dim=1)).double()
    assert float((found / exact - 1).abs().max()) < 0.01
    assert float(distance(largest_cosine(q, q)).max()) < 1e-3


@pytest.mark.parametrize("size", [64, 200, 400])
def test_held_out_cosines_are_those_of_the_other_owners(size):
    points, owners = directions(400), torch.arange(8).repeat_interleave(50)
    chosen, closest = cover(points, owners, size)
    assert len(chosen) == len(set(chosen.tolist())) == size
    table = points @ points[chosen].T
    assert torch.allclose(closest.to_all, table.amax(dim=1), atol=1e-6)
    table[owners[:, None] == owners[chosen][None]] = -1
    assert torch.allclose(closest.to_others, table.amax(dim=1), atol=1e-6)


def test_a_single_owner_has_nobody_else():
    _, closest = cover(directions(100), torch.zeros(100, dtype=torch.long), 20)
    assert (closest.to_others == -1).all()


def test_the_memory_covers_rare_patches_that_chance_misses():
    points, owners = clusters(4000), torch.zeros(4000, dtype=torch.long)
    _, closest = cover(points, owners, 80)
    random = torch.randperm(4000, generator=torch.Generator().manual_seed(0))[:80]
    farthest = float(distance(closest.to_all).max())
    by_chance = float(distance(largest_cosine(points, points[random])).max())
    assert farthest < 0.1 < by_chance


def test_cover_is_close_to_greedy_k_centre():
    points, owners = clusters(1500), torch.zeros(1500, dtype=torch.long)
    picked, near = [0], points @ points[0]
    while len(picked) < 100:
        picked.append(int(near.argmin()))
        near = near.maximum(points @ points[picked[-1]])
    chosen, closest = cover(points, owners, 100)
    assert float(distance(closest.to_all).max()) < 2 * float(distance(near).max())
    assert len(chosen) == 100


def test_the_same_seed_gives_the_same_memory():
    points, owners = directions(500), torch.zeros(500, dtype=torch.long)
    first, second, other = (cover(points, owners, 50, seed=s)[0] for s in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_duplicates_are_not_picked_twice():
    points = directions(10).repeat(30, 1)
    chosen, closest = cover(points, torch.zeros(300, dtype=torch.long), 40)
    assert len(set(chosen.tolist())) == 40
    assert float(distance(closest.to_all).max()) < 1e-2


def test_zero_vectors_stay_zero():
    assert float(unit(torch.zeros(3, 4)).abs().max()) == 0
