"""Mutual scoring of scans: point groups, descriptors, the table, similar neighbours, what modalities tell each other, and the detector."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import BadInput
from core.samples import PointSample
from core.synthetic import BOX, case
from models.nearest import unit
from models.point_descriptors import descriptors, histograms, normals
from models.point_groups import FIRST, curvature, grouped, grown, spread
from tools.image.cross_modal import collaborated, transferred
from tools.image.musc_v2 import MuScV2
from tools.image.mutual_scores import lowest_mean, minima
from tools.image.scan_surface import part, thinned
from tools.image.similar_neighbours import of_cells, of_centres
from tools.image.surfaces import SurfaceEncoder

SMALL = {"side": 96, "groups": 128, "size": 32, "inner": (8, 32)}
SCANS = case("points")


def cloud(count, *, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 3))


def like(scan, **changes):
    values = {"name": scan.name, "xyz": scan.xyz, "valid": scan.valid, "rgb": scan.rgb, **changes}
    return PointSample(**values)


def table_scene(*, height=80, width=100, radius=22.0, at=(40, 52), seed=0, unit_mm=1.0):
    """A half ball on a noisy, tilted table, seen from above (the scanner is at the origin)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    inside = radius**2 - (x - at[1]) ** 2 - (y - at[0]) ** 2
    z = 600 + 0.1 * x + rng.normal(0, 0.2, x.shape) - np.sqrt(inside.clip(0))
    xyz = (np.stack([x - 50, y - 40, z], axis=-1) * unit_mm).astype(np.float32)
    return PointSample(name="ball", xyz=xyz, valid=np.ones(x.shape, bool)), inside


def naive_group(points, centre, size):
    """The definition, one candidate at a time."""
    order = np.argsort(np.linalg.norm(points - points[centre], axis=1), kind="stable")[: 2 * size]
    step = round(FIRST * size)
    members = list(order[:step])
    while len(members) < size:
        left = [q for q in order if q not in members]
        apart = [min(np.linalg.norm(points[q] - points[m]) for m in members) for q in left]
        members += [left[i] for i in np.argsort(apart, kind="stable")[: min(step, size - len(members))]]
    return members


def test_a_group_grows_as_the_plain_loop_does():
    points = cloud(120)
    found = grouped(points, groups=20, size=24)
    assert (found.curvature > 0.01).all()
    for centre, members in zip(found.centres, found.members, strict=True):
        assert members.tolist() == naive_group(points, centre, 24)


def test_a_flat_group_is_its_nearest_points():
    points = np.concatenate([cloud(150)[:, :2], np.zeros((150, 1))], axis=1)
    found = grouped(points, groups=10, size=16)
    assert found.curvature.max() < 1e-9
    for centre, members in zip(found.centres, found.members, strict=True):
        assert members.tolist() == np.argsort(np.linalg.norm(points - points[centre], axis=1), kind="stable")[:16].tolist()


def test_a_group_follows_the_surface_and_does_not_jump_to_the_next_sheet():
    """Two parallel sheets: some of the nearest points lie on the other sheet, none of the grown group does."""
    x, y = (a.ravel() for a in np.meshgrid(np.arange(21.0), np.arange(21.0)))
    points = np.concatenate([np.stack([x, y, np.full_like(x, z)], axis=1) for z in (0.0, 3.1)])
    centre = 220  # the middle of the first sheet
    order = np.argsort(np.linalg.norm(points - points[centre], axis=1), kind="stable")[:80]
    nearest, followed = order[:40], order[grown(points[order][None], 40)[0]]
    assert curvature((points[nearest] - points[centre])[None])[0] > 0.01
    assert (nearest >= 441).sum() == 3
    assert (followed >= 441).sum() == 0


def test_spread_centres_are_greedy_and_never_twice():
    points = cloud(60)
    chosen = spread(points, 12)
    for number in range(1, 12):
        apart = np.linalg.norm(points[:, None] - points[chosen[:number]], axis=2).min(axis=1)
        assert apart[chosen[number]] == pytest.approx(apart.max())
    assert sorted(spread(np.zeros((5, 3)), 9).tolist()) == [0, 1, 2, 3, 4]


def test_curvature_equals_numpys_covariance():
    around = cloud(40).reshape(4, 10, 3)
    for offsets, found in zip(around, curvature(around), strict=True):
        values = np.linalg.eigvalsh(np.cov(offsets.T))
        assert found == pytest.approx(values[0] / values.sum())


def test_normals_of_a_ball_point_along_its_radius():
    directions = unit(torch.from_numpy(cloud(3000))).numpy()
    points = directions * 5 + (0, 0, 50)
    found = normals(points)
    assert np.abs((found * directions).sum(axis=1)).min() > 0.97
    assert ((found * points).sum(axis=1) <= 0).all()


def test_descriptors_do_not_change_when_the_part_is_turned_moved_or_scaled_but_when_it_is_bent():
    points = np.stack(np.meshgrid(np.arange(14.0), np.arange(14.0), [0.0]), -1).reshape(-1, 3)
    points[:, 2] = 40 + 0.05 * (points[:, 0] - 6) ** 2 + 0.01 * np.random.default_rng(0).normal(size=len(points))
    groups = grouped(points, groups=20, size=24)

    def described(moved, viewed):
        directions = normals(moved)
        directions *= np.sign((directions * viewed).sum(axis=1, keepdims=True))
        return descriptors(moved, directions, groups.centres, groups.members, (8, 24))

    viewed = normals(points)
    turn = np.linalg.qr(cloud(3, seed=3))[0]
    turn *= np.linalg.det(turn)
    for a, b in zip(described(points, viewed), described(3 * points @ turn.T + (9, 5, 70), viewed @ turn.T), strict=True):
        assert a.shape == (20, 33)
        assert np.allclose(a, b, atol=1e-3)
        assert np.allclose(np.linalg.norm(a, axis=1), 1, atol=1e-6)
    other = points.copy()
    other[:, 2] = 80 - other[:, 2]  # a valley is no ridge
    assert np.abs(described(other, normals(other))[1] - described(points, viewed)[1]).max() > 0.1


def test_a_value_between_two_bins_is_shared():
    found = histograms(np.array([[[0.01, -1.0, 1.0]]]))[0] ** 2 * 3
    assert np.allclose(found[[5, 6, 11, 32]], [0.5, 0.5, 1, 1], atol=1e-6)


def test_the_table_is_taken_away_and_a_part_that_fills_the_picture_is_not():
    scan, inside = table_scene()
    found = part(scan)
    assert found[inside > 100].all()
    assert not found[inside <= 0].any()
    assert np.array_equal(found, part(table_scene(unit_mm=0.001)[0]))
    assert part(scan, table=False).all()
    assert np.array_equal(part(SCANS.odd), SCANS.odd.valid)


def test_an_empty_table_stays():
    scan, _ = table_scene(radius=0.0)
    assert part(scan).all()


def test_specks_above_the_table_are_left_out_and_a_second_piece_is_not():
    scan, inside = table_scene()
    xyz = scan.xyz.copy()
    xyz[60:74, 80:94, 2] -= 9  # 196 pixels, more than a tenth of the ball
    xyz[3:70:9, 4, 2] -= 9
    xyz[79, 99, 2] -= 9
    found = part(like(scan, xyz=xyz))
    assert found[inside > 100].all()
    assert not found[:, 4].any()
    assert found[60:74, 80:94].all()


def test_thinning_keeps_a_grid_of_the_mask():
    mask = np.random.default_rng(0).random((90, 120)) > 0.3
    found = thinned(mask, 52)
    assert mask.ravel()[found].all()
    assert 0.6 < len(found) / (mask.mean() * 52 * 52) < 1.4
    assert np.array_equal(thinned(mask, 500), np.flatnonzero(mask))
    assert len(thinned(np.ones((1, 5000), bool), 20)) == 400


def test_similar_neighbours_equal_the_plain_loop():
    layer = torch.randn(6, 4, 7, generator=torch.Generator().manual_seed(0))
    vectors = unit(layer.permute(1, 2, 0))
    found = of_cells(layer).reshape(4, 7, 6)
    for row in range(4):
        for column in range(7):
            means = []
            for reach in (0, 1, 2):
                square = [
                    (vectors[r, c], torch.exp(-(vectors[r, c] - vectors[row, column]).norm()))
                    for r in range(max(0, row - reach), min(4, row + reach + 1))
                    for c in range(max(0, column - reach), min(7, column + reach + 1))
                ]
                means.append(sum(f * w for f, w in square) / sum(w for _, w in square))
            assert torch.allclose(found[row, column], unit(sum(means) / 3), atol=1e-5)


def test_centres_equal_the_plain_loop_and_curved_ones_stay():
    vectors = unit(torch.randn(8, 5, generator=torch.Generator().manual_seed(1)))
    neighbours = torch.stack([torch.arange(8).roll(-n)[:5] for n in range(8)])
    curved = torch.tensor([0.0, 0.2] * 4)
    found = of_centres(vectors, neighbours, curved)
    for centre in range(8):
        if curved[centre] >= 0.01:
            assert torch.allclose(found[centre], vectors[centre], atol=1e-6)
            continue
        means = []
        for reach in (1, 3, 5):
            near = vectors[neighbours[centre][:reach]]
            weights = torch.exp(-(near - vectors[centre]).norm(dim=1))
            means.append((near * weights[:, None]).sum(dim=0) / weights.sum())
        assert torch.allclose(found[centre], unit(sum(means) / 3), atol=1e-5)


def test_rank_transfer_of_a_table_onto_itself_is_itself():
    table = np.random.default_rng(0).random((5, 40)).astype(np.float32)
    table[1, :9] = 0.25  # ties
    assert np.array_equal(transferred(table, table), table)


@pytest.mark.parametrize("count", [60, 31, 200])
def test_rank_transfer_keeps_the_targets_order_in_the_sources_range(count):
    rng = np.random.default_rng(1)
    source, target = rng.random(count).astype(np.float32) * 7 + 3, rng.random((3, 20)).astype(np.float32)
    found = transferred(source, target)
    assert found.shape == target.shape
    assert np.array_equal(np.argsort(found.ravel(), kind="stable"), np.argsort(target.ravel(), kind="stable"))
    assert found.min() == source.min()
    assert found.max() == source.max()
    if count == 60:
        assert np.array_equal(np.sort(found.ravel()), np.sort(source))


def test_rank_transfer_does_not_depend_on_the_order_of_equal_elements():
    source, target = np.arange(6.0), np.array([1.0, 1, 2, 2, 2, 0])
    order = np.array([1, 0, 4, 2, 3, 5])
    assert transferred(source, target).tolist() == [1.5, 1.5, 4, 4, 4, 0]
    assert np.array_equal(transferred(source, target)[order], transferred(source, target[order]))


def test_modalities_heard_equal_the_plain_loop():
    rng = np.random.default_rng(2)
    partners, cells, centres = 4, 6, 9
    d2, d3 = (rng.random((partners, n)).astype(np.float32) for n in (cells, centres))
    cell = np.array([0, 0, 1, 3, 3, 3, 5, 1, 0])  # cells 2 and 4 hold no centre
    c2, c3 = np.zeros_like(d2), np.zeros_like(d3)
    for partner in range(partners):
        for place in range(cells):
            inside = [d3[partner, g] for g in range(centres) if cell[g] == place]
            c2[partner, place] = np.mean(inside) if inside else 0.0
        for centre in range(centres):
            c3[partner, centre] = d2[partner, cell[centre]]

    def rank(source, target):
        given, flat = sorted(source.ravel().tolist()), target.ravel().tolist()
        places = [[place for place, value in enumerate(sorted(flat)) if value == wanted] for wanted in flat]
        return np.array([np.mean([given[place] for place in some]) for some in places]).reshape(target.shape)

    def both(own, other, covered):
        confidence = 1 - rank(own.std(axis=0, ddof=1), other.std(axis=0, ddof=1)).astype(np.float32)
        brought = np.zeros_like(own)
        brought[:, covered] = rank(own[:, covered], other[:, covered])
        loud = np.array(
            [[max(a, b) * c for a, b, c in zip(*row, confidence, strict=True)] for row in zip(own, brought, strict=True)]
        )
        return (own + rank(own, loud)) / 2

    found2, found3 = collaborated(d2, d3, cell)
    assert np.allclose(found2, both(d2, c2, [0, 1, 3, 5]), atol=1e-6)
    assert np.allclose(found3, both(d3, c3, list(range(centres))), atol=1e-6)


def test_what_shape_sees_raises_colour_there():
    """Colour finds all cells alike but one centre of the shape is far from every partner."""
    rng = np.random.default_rng(0)
    d2 = (0.2 + 0.02 * rng.random((5, 16))).astype(np.float32)
    d3 = (0.1 + 0.02 * rng.random((5, 16))).astype(np.float32)
    d3[:, 7] = 0.9
    found2, found3 = collaborated(d2, d3, np.arange(16))
    gain = (found2 - d2).mean(axis=0)
    assert int(gain.argmax()) == 7
    assert int(found3.mean(axis=0).argmax()) == 7


def test_surface_maps_interpolate_between_the_three_nearest_centres():
    surface = SurfaceEncoder(groups=64, size=32, inner=(32,)).surface(SCANS.odd)
    assert np.allclose(surface.weights.sum(axis=1), 1)
    values = np.random.default_rng(0).random(64).astype(np.float32)
    inside = surface.to_pixels(values)
    assert inside.shape == (90, 120)
    assert values.min() <= inside[5:-5, 5:-5].min() <= inside.max() <= values.max() + 1e-6
    assert np.allclose(surface.to_pixels(np.ones(64, np.float32)), 1, atol=0.05)
    ball, outside = table_scene()
    flat = SurfaceEncoder(groups=64, size=32, inner=(32,)).surface(ball).to_pixels(np.ones(64, np.float32))
    assert flat[outside > 100].min() > 0.95
    assert flat[:4].max() == pytest.approx(0, abs=1e-6)
    cells = surface.cells((9, 12))
    assert np.array_equal(cells, (surface.pixels // 120) // 10 * 12 + (surface.pixels % 120) // 10)


@pytest.mark.parametrize(("mode", "enhance"), [("points", False), ("both", False), ("both", True)])
def test_the_dent_is_found_and_where(mode, enhance):
    scores = MuScV2(mode=mode, enhance=enhance, **SMALL).score([*SCANS.unseen, SCANS.odd])
    assert int(np.argmax([s.score for s in scores])) == 3
    row, column = np.unravel_index(scores[3].heatmap.argmax(), (90, 120))
    assert BOX[1] <= row < BOX[3]
    assert BOX[0] <= column < BOX[2]


def test_colour_alone_sees_a_stain_that_shape_does_not():
    rgb = SCANS.unseen[1].rgb.copy()
    rgb[30:50, 40:66] = (20, 90, 20)
    batch = [SCANS.unseen[0], like(SCANS.unseen[1], rgb=rgb), SCANS.unseen[2], SCANS.normal[0]]
    assert int(np.argmax([s.score for s in MuScV2(mode="rgb", **SMALL).score(batch)])) == 1
    both = MuScV2(**SMALL).score(batch)
    assert int(np.argmax([s.score for s in both])) == 1
    row, column = np.unravel_index(both[1].heatmap.argmax(), (90, 120))
    assert 26 <= row < 54
    assert 36 <= column < 70


def test_without_enhancement_scores_are_the_plain_mutual_ones():
    detector = MuScV2(mode="points", **SMALL)
    scans = [detector._scan(sample) for sample in SCANS.normal]
    tables = detector._tables("points", scans, [])
    low = detector._lowest(scans[2], {"points": tables[2]})["points"]
    for layer in (0, 1):
        plain = minima([scan.vectors["points"][layer] for scan in scans])[2]
        kept = plain.sort(dim=0).values[:2].mean(dim=0)  # 30 % of four partners, at least one, rounded up
        assert np.allclose(low[layer], kept, atol=1e-6)
        assert torch.allclose(lowest_mean(plain, 0.3), kept, atol=1e-6)


def test_a_scan_without_depth_is_scored_by_colour_alone():
    blind = like(SCANS.unseen[0], xyz=np.zeros_like(SCANS.unseen[0].xyz), valid=np.ones((90, 120), bool))
    scores = MuScV2(enhance=True, **SMALL).score([blind, *SCANS.unseen[1:], SCANS.odd])
    assert all(np.isfinite(s.heatmap).all() for s in scores)
    alone = MuScV2(mode="rgb", **SMALL).score([blind, *SCANS.unseen[1:], SCANS.odd])
    assert np.allclose(scores[0].heatmap, alone[0].heatmap, atol=1e-5)
    with pytest.raises(BadInput, match="expected measured points in every scan, got none in 'unseen 0'"):
        MuScV2(mode="points", **SMALL).score([blind, SCANS.odd])


def test_enhancement_changes_only_what_has_both():
    detector = MuScV2(enhance=True, **SMALL)
    samples = [*SCANS.normal, like(SCANS.unseen[0], rgb=None)]
    scans = [detector._scan(sample) for sample in samples]
    heard = detector._judged(samples, scans, [])
    detector.enhance = False
    plain = detector._judged(samples, scans, [])
    assert not np.allclose(heard[0].heatmap, plain[0].heatmap, atol=1e-3)
    assert np.array_equal(heard[5].heatmap, plain[5].heatmap)


def test_a_scan_without_picture_is_scored_by_shape_alone():
    grey = like(SCANS.odd, rgb=None)
    scores = MuScV2(**SMALL).score([*SCANS.unseen, grey])
    assert int(np.argmax(scores[3].heatmap)) // 120 in range(BOX[1], BOX[3])
    with pytest.raises(BadInput, match="expected a picture in every scan, got none in 'odd'"):
        MuScV2(mode="rgb", **SMALL).score([*SCANS.unseen, grey])


def test_scans_that_share_nothing_are_refused():
    blind = like(SCANS.unseen[0], xyz=np.zeros_like(SCANS.unseen[0].xyz))
    with pytest.raises(BadInput, match="expected another scan to compare 'unseen 0' with"):
        MuScV2(**SMALL).score([blind, like(SCANS.odd, rgb=None)])
    with pytest.raises(BadInput, match="a picture or measured points"):
        MuScV2(**SMALL).score([like(blind, rgb=None), SCANS.odd])


def test_unmeasured_and_infinite_spots_do_no_harm():
    xyz = SCANS.odd.xyz.copy()
    xyz[:20, :30] = np.inf
    xyz[60:, 100:] = 0
    scores = MuScV2(mode="points", **SMALL).score([*SCANS.unseen, like(SCANS.odd, xyz=xyz)])
    assert int(np.argmax([s.score for s in scores])) == 3


def test_loose_clouds_are_scored_by_their_points():
    def loose(scan):
        return PointSample(name=scan.name, xyz=scan.xyz[scan.valid][None], valid=np.ones((1, int(scan.valid.sum())), bool))

    scores = MuScV2(**SMALL).score([loose(s) for s in (*SCANS.unseen, SCANS.odd)])
    assert scores[3].heatmap.shape == (1, int(SCANS.odd.valid.sum()))
    assert int(np.argmax([s.score for s in scores])) == 3


def test_scans_with_like_spots_share_scores():
    plain, shared = (MuScV2(rescoring=rescoring, **SMALL).fit(SCANS.normal) for rescoring in ((1,), (1, 3)))
    assert len(plain.reference_scores()) == 5
    assert not np.allclose(plain.reference_scores(), shared.reference_scores())
    one, other = (detector.score([SCANS.odd])[0] for detector in (plain, shared))
    assert other.score < one.score
    assert np.array_equal(one.heatmap, other.heatmap)


def test_a_large_batch_is_dealt_the_same_way_in_any_order():
    detector = MuScV2(partners=4, **SMALL)
    batch = [*SCANS.normal, *SCANS.unseen]
    groups = detector._dealt(batch)
    assert sorted(index for group in groups for index in group) == list(range(8))
    assert [len(group) for group in groups] == [4, 4]
    turned = detector._dealt(batch[::-1])
    assert [[7 - index for index in group] for group in turned] == groups


def test_save_and_load(tmp_path):
    fitted = MuScV2(rescoring=(1, 3), **SMALL).fit(SCANS.normal)
    fitted.save(tmp_path / "x.npz")
    loaded = MuScV2.load(tmp_path / "x.npz")
    ours, theirs = (detector.score([SCANS.odd])[0] for detector in (fitted, loaded))
    assert ours.score == theirs.score
    assert np.array_equal(ours.heatmap, theirs.heatmap)


@pytest.mark.parametrize(
    "values",
    [
        {"mode": "xyz"},
        {"share": 0.0},
        {"partners": 1},
        {"inner": ()},
        {"inner": (32, 200)},
        {"inner": (32,)},
        {"rescoring": (0,)},
    ],
)
def test_wrong_values_are_refused(values):
    with pytest.raises(BadInput, match="expected"):
        MuScV2(**values)


@pytest.mark.data
def test_real_scans_lose_their_table_and_are_scored():
    base = Path(os.environ.get("TELLTALE_DATA", "")) / "mvtec3d_cable_gland" / "test" / "hole"
    if not base.is_dir():
        pytest.skip("mvtec3d_cable_gland is not under TELLTALE_DATA")
    from readers.open import open_path

    scans = list(open_path(base).samples)
    for scan in scans:
        shown = part(scan)
        assert 0.1 < shown.mean() < 0.25
        assert scan.rgb[shown].mean() > 3 * scan.rgb[~shown].mean()  # the part is bright, the table black
    scores = MuScV2(**{**SMALL, "grid": 112}).score(scans)
    assert all(s.heatmap.shape == (400, 400) and s.score > 0 for s in scores)
