import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from core.errors import BadInput
from core.samples import ImageSample
from models.nearest import distance, unit
from tools.image.musc import MuSc
from tools.image.mutual_scores import Partners, Window, both_ways, lowest_mean, minima, one_way
from tools.image.mutual_stream import SKEW, MutualStream, _lattice
from tools.image.neighbourhoods import averaged, placed
from tools.image.patch_maps import picture_score
from tools.image.repeated_defects import links, trusted
from tools.image.rescoring import rescored

GOOD, ODD = range(7), 7


def photo(number, *, hole=False, size=(96, 128), at=(30, 70)):
    rng = np.random.default_rng(number)
    weave = np.indices(size).sum(0)[..., None] + rng.integers(12)
    pixels = (weave % 12 * 14 + rng.integers(0, 20, (*size, 3))).astype(np.uint8)
    if hole:
        pixels[at[0] : at[0] + 26, at[1] : at[1] + 30] = 10
    return ImageSample(name=f"photo {number}", pixels=pixels)


def batch():
    return [*(photo(n) for n in GOOD), photo(ODD, hole=True)]


def vectors(*shape, seed=0):
    return unit(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)))


def naive(maps, sizes, share):
    """MuSc as written down in the paper: one loop per photo, layer and neighbourhood over all other photos, in double precision."""
    streams = []
    for layer in range(len(maps[0])):
        for size in sizes:
            photos = []
            for photo_maps in maps:
                standard = F.layer_norm(photo_maps[layer].double(), photo_maps[layer].shape, eps=1e-5)
                around = F.unfold(standard[None], size, padding=size // 2)[0].reshape(len(standard), size * size, -1)
                photos.append(F.normalize(around.mean(dim=1).T, dim=1))
            tables = [
                torch.stack(
                    [torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").amin(1) for b in photos if b is not a]
                )
                for a in photos
            ]
            streams.append([t.sort(dim=0).values[: max(1, math.ceil(share * len(t)))].mean(dim=0) for t in tables])
    return streams


@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_neighbourhood_is_the_papers_unfold_and_adaptive_pooling(size):
    layer = torch.randn(6, 7, 9, generator=torch.Generator().manual_seed(1))
    standard = F.layer_norm(layer, layer.shape, eps=1e-5)
    around = F.unfold(standard[None], size, padding=size // 2)[0].T  # (P, C · size²)
    expected = F.adaptive_avg_pool1d(around[:, None], 6)[:, 0]
    assert torch.allclose(averaged(layer, size), unit(expected), atol=1e-5)


def test_brightness_and_contrast_of_a_map_do_not_matter():
    layer = torch.randn(6, 7, 9, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(averaged(3 * layer + 5, 3), averaged(layer, 3), atol=1e-4)


@pytest.mark.parametrize("count", [2, 3, 8])
def test_equals_the_naive_definition(count):
    detector, samples = MuSc(side=96, neighbourhoods=(1, 3, 5), merged=False, exact=True), batch()[-count:]
    photos = detector._photos(samples)
    streams = naive([p.maps for p in photos], (1, 3, 5), detector.share)
    for number, found in enumerate(detector._mutual(photos, [])):
        maps = []
        for index, scores in enumerate(streams):
            layer = index // 3
            grid = photos[number].maps[layer].shape[1:]
            maps.append(
                placed(scores[number].float().numpy().reshape(grid), (8, 16)[layer], *photos[number].maps[0].shape[1:], 8)
            )
        assert np.allclose(found, np.mean(maps, axis=0), atol=1e-5)


def test_each_layer_and_neighbourhood_equals_the_naive_loop():
    maps = [[torch.randn(5, 6, 6, generator=torch.Generator().manual_seed(n))] for n in range(9)]
    for index, size in enumerate((1, 3, 5)):
        expected = naive(maps, (1, 3, 5), 0.3)[index]
        tables = minima([averaged(m[0], size) for m in maps])
        for table, wanted in zip(tables, expected, strict=True):
            assert torch.allclose(lowest_mean(table, 0.3), wanted.float(), atol=1e-5)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (513, 40), (40, 700)])
def test_one_product_serves_both_directions(rows, columns):
    a, b, c = vectors(rows, 16), vectors(columns, 16, seed=1), vectors(columns, 16, seed=2)
    partners = Partners([a, b, c], exact=True)
    ours = partners.factors[0]
    forward, backward = both_ways(ours, partners, range(1, 3))
    for number, other in enumerate((b, c)):
        assert torch.allclose(forward[number], (a @ other.T).amax(dim=1), atol=1e-6)
        assert torch.allclose(backward[number], (a @ other.T).amax(dim=0), atol=1e-6)
    assert torch.equal(one_way(ours, partners, range(1, 3)), forward)


@pytest.mark.parametrize(
    ("ours", "theirs", "cells"), [((20, 15), (20, 15), 1), ((20, 15), (20, 15), 4), ((17, 9), (6, 21), 1), ((3, 3), (3, 3), 9)]
)
@pytest.mark.parametrize("exact", [True, False])
def test_a_window_equals_a_search_with_all_else_masked(ours, theirs, cells, exact):
    a, b = vectors(ours[0] * ours[1], 16), vectors(theirs[0] * theirs[1], 16, seed=1)
    partners = Partners([a, b], exact=exact)
    forward, backward = (found[0] for found in both_ways(partners.factors[0], partners, range(1, 2), Window(ours, theirs, cells)))
    table = a @ b.T
    for p in range(len(a)):
        for q in range(len(b)):
            for axis, (one, other) in enumerate(((p // ours[1], q // theirs[1]), (p % ours[1], q % theirs[1]))):
                small = min(ours[axis], theirs[axis])
                if abs((one + 0.5) / ours[axis] - (other + 0.5) / theirs[axis]) * small > cells + 1e-4:
                    table[p, q] = -1
    assert torch.allclose(forward, table.amax(dim=1), atol=1e-6 if exact else 1e-4)
    assert torch.allclose(backward, table.amax(dim=0), atol=1e-6 if exact else 1e-4)


def test_normals_are_the_last_partners_and_left_out_partners_do_not_count():
    photos, normals = [vectors(10, 4, seed=s) for s in range(3)], [vectors(7, 4, seed=s) for s in (8, 9)]
    table = minima(photos, normals)[1]
    for row, other in zip(table, [photos[0], photos[2], *normals], strict=True):
        assert torch.allclose(row, distance((photos[1] @ other.T).amax(dim=1)), atol=1e-4)
    kept = np.array([False, True, False, False])
    assert torch.equal(lowest_mean(table, 0.3, kept), table[1])
    assert torch.equal(lowest_mean(table, 1.0, np.zeros(4, np.bool_)), lowest_mean(table, 1.0))


def test_rescoring_equals_the_masked_matrix_in_any_order():
    scores, embeddings = np.random.default_rng(0).random(30).astype(np.float32), vectors(30, 64).abs()
    embeddings = unit(embeddings)
    similar = embeddings @ embeddings.T
    wanted = torch.zeros(30)
    for k in (1, 8, 9):
        masked = torch.zeros_like(similar).scatter_(1, similar.topk(k).indices, similar.topk(k).values)
        wanted += (masked / masked.sum(dim=1, keepdim=True)) @ torch.from_numpy(scores) / 3
    found = rescored(scores, embeddings, (1, 8, 9))
    assert np.allclose(found, wanted.numpy(), atol=1e-6)
    order = np.random.default_rng(1).permutation(30)
    assert np.allclose(rescored(scores[order], embeddings[torch.from_numpy(order)], (1, 8, 9)), found[order], atol=1e-6)


def test_rescoring_by_itself_alone_changes_nothing():
    scores, copies = np.array([1.0, 5.0, 2.0], np.float32), vectors(1, 8).repeat(3, 1)
    assert np.array_equal(rescored(scores, copies, (1,)), scores)
    assert np.allclose(rescored(scores, copies, (9,)), scores.mean())


def test_similar_photos_share_scores_and_normals_take_part():
    normals = [photo(n) for n in range(20, 25)]
    plain = MuSc(side=64).fit(normals)
    shared = MuSc(side=64, rescoring=(2,)).fit(normals)
    assert not np.allclose(plain.reference_scores(), shared.reference_scores())
    alone, averaged_ = plain.score([photo(1, hole=True)])[0], shared.score([photo(1, hole=True)])[0]
    assert averaged_.score < alone.score
    assert np.array_equal(averaged_.heatmap, alone.heatmap)


def test_the_only_torn_photo_stands_out_and_where():
    scores = MuSc(side=96).score(batch())
    assert int(np.argmax([s.score for s in scores])) == ODD
    row, column = np.unravel_index(scores[ODD].heatmap.argmax(), (96, 128))
    assert 26 <= row < 60
    assert 66 <= column < 104


def test_a_defect_that_repeats_is_found_when_asked_for():
    """Five of twelve photos share a hole: with 30 % of the partners each finds it four times and takes it for normal."""
    samples = [photo(n, hole=n < 5, at=(8 + 12 * n, 90 - 14 * n)) for n in range(12)]
    low, high = ([s.score for s in MuSc(side=96, repeats=repeats).score(samples)] for repeats in (False, True))
    assert min(high[:5]) > max(high[5:])
    gap = [np.mean(scores[:5]) / np.mean(scores[5:]) for scores in (low, high)]
    assert gap[1] > 1.2 * gap[0]


def test_photos_without_a_shared_defect_are_all_trusted():
    photos = [vectors(50, 8, seed=s) for s in range(6)]
    assert trusted(links(photos, minima(photos))).mean() > 0.9


def test_a_window_finds_what_is_right_but_at_the_wrong_place():
    def part(number, left):
        rng = np.random.default_rng(number)
        pixels = rng.integers(90, 110, (96, 96, 3)).astype(np.uint8)
        pixels[36:60, left : left + 24] = 220
        return ImageSample(name=f"part {number}", pixels=pixels)

    samples = [*(part(n, 10) for n in range(6)), *(part(n, 56) for n in range(6, 8)), part(8, 34)]
    free, bound = (MuSc(side=96, window=window, share=0.5).score(samples) for window in (None, 1))
    assert bound[8].score > 1.1 * free[8].score
    assert bound[8].score > max(s.score for s in bound[:6])


@pytest.mark.parametrize("merged", [False, True])
def test_a_large_batch_is_dealt_the_same_way_in_any_order(merged):
    samples = [photo(n, hole=n == 3) for n in range(14)]
    detector = MuSc(side=64, partners=5, merged=merged, rescoring=(1, 2))
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
        assert permuted[place].score == pytest.approx(scores[int(index)].score, abs=1e-4)
    assert detector._dealt(samples) != MuSc(side=64, partners=5, seed=1)._dealt(samples)


def test_normals_are_partners_and_give_references():
    detector = MuSc(side=96).fit([photo(n) for n in range(20, 25)])
    alone, torn = (detector.score([sample])[0] for sample in (photo(1), photo(1, hole=True)))
    assert torn.score > alone.score
    assert len(detector.reference_scores()) == 5
    assert torn.score > detector.reference_scores().max()
    assert len(MuSc(side=64).fit([photo(0)]).reference_scores()) == 0


def test_many_normals_are_thinned():
    assert len(MuSc(side=64, partners=3).fit([photo(n) for n in range(9)])._normals) == 3


@pytest.mark.parametrize("window", [None, 2])
def test_two_photos_and_mixed_sizes_work(window):
    scores = MuSc(side=64, window=window, repeats=True).score([photo(0), photo(1, size=(60, 200))])
    assert [s.heatmap.shape for s in scores] == [(96, 128), (60, 200)]


def test_save_and_load(tmp_path):
    fitted = MuSc(side=64, rescoring=(1, 3)).fit([photo(n) for n in range(3)])
    fitted.save(tmp_path / "x.npz")
    loaded = MuSc.load(tmp_path / "x.npz")
    ours, theirs = (d.score([photo(9, hole=True)])[0] for d in (fitted, loaded))
    assert np.array_equal(ours.heatmap, theirs.heatmap)
    assert ours.score == theirs.score


def test_wrong_use_is_refused():
    with pytest.raises(BadInput, match="at least two photos"):
        MuSc(side=64).score([photo(0)])
    for values in (
        {"share": 0.0}, {"share": 1.5}, {"partners": 1}, {"neighbourhoods": (2,)}, {"neighbourhoods": ()}, {"rescoring": (0,)},
        {"window": 0},
    ):  # fmt: skip
        with pytest.raises(BadInput):
            MuSc(**values)


def test_a_stream_that_searches_every_patch_equals_the_definition():
    stream, detector = MutualStream(side=96, lattice=(1, 1)), MuSc(side=96)
    samples = batch()
    photos = detector._photos(samples)
    for number, sample in enumerate(samples):
        score = stream.score_next(sample)
        assert (score is None) == (number == 0)
    expected = picture_score(detector._mutual(photos, [])[-1])  # the last photo has seen all the others
    assert score.score == pytest.approx(expected, rel=1e-5)


def test_a_stream_finds_the_torn_photo_and_forgets_the_oldest():
    stream = MutualStream(side=96, bank=6)
    scores = [stream.score_next(photo(n, hole=n == 9)) for n in range(10)]
    assert len(stream) == 6
    assert scores[9].score > 1.1 * max(s.score for s in scores[3:9])
    row, column = np.unravel_index(scores[9].heatmap.argmax(), (96, 128))
    assert 26 <= row < 60
    assert 66 <= column < 104


@pytest.mark.parametrize("one_in", sorted(SKEW))
def test_a_lattice_leaves_no_patch_far_from_it(one_in):
    chosen = np.zeros((40, 52), bool)
    chosen.flat[_lattice(40, 52, one_in).numpy()] = True
    assert chosen.mean() == pytest.approx(1 / one_in, rel=0.05)
    rows, columns = np.nonzero(chosen)
    inner = np.argwhere(np.ones((30, 42))) + 5
    nearest = np.maximum(abs(inner[:, :1] - rows), abs(inner[:, 1:] - columns)).min(axis=1)
    assert nearest.max() <= (0 if one_in == 1 else 1 if one_in <= 5 else 2)


def test_a_stream_refuses_wrong_values():
    for values in ({"bank": 0}, {"share": 0}, {"lattice": (3, 1)}, {"lattice": (1,)}, {"strangest": 2}):
        with pytest.raises(BadInput):
            MutualStream(**values)
    with pytest.raises(BadInput, match="expected ImageSample"):
        MutualStream(side=64).score_next(np.zeros((4, 4, 3)))
