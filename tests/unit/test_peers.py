"""The published implementations beside ours: what is said where they are missing, and that they work where they are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from benchmarks import peers
from benchmarks.tasks_image_systems import rows
from core.samples import ImageSample


def photo(number, *, hole=False):
    rng = np.random.default_rng(number)
    pixels = (np.indices((96, 120)).sum(0)[..., None] % 12 * 14 + rng.integers(0, 20, (96, 120, 3))).astype(np.uint8)
    pixels[30:60, 60:90] = 5 if hole else pixels[30:60, 60:90]
    return ImageSample(name=str(number), pixels=pixels)


def test_without_them_one_line_says_how_to_get_them(monkeypatch, capsys):
    monkeypatch.setattr(peers, "installed", lambda: False)
    assert list(peers.rows([None, None])) == []
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "pip install --no-deps anomalib" in said


def test_the_suite_says_which_data_is_missing(tmp_path, capsys):
    assert list(rows(tmp_path, quick=True)) == []
    assert "image_systems: " in capsys.readouterr().out


def test_features_are_the_raw_maps_of_a_square():
    found = peers.features(photo(0))
    assert {name: tuple(maps.shape) for name, maps in found.items()} == {
        str(s): (1, peers.CHANNELS[s], peers.SIDE // s, peers.SIDE // s) for s in peers.STRIDES
    }


@pytest.mark.parametrize(("size", "how"), [((96, 120), cv2.INTER_LINEAR), ((400, 500), cv2.INTER_AREA)])
def test_a_photo_is_resized_as_for_our_own_systems(monkeypatch, size, how):
    used, resize = [], cv2.resize
    monkeypatch.setattr(
        cv2, "resize", lambda *given, interpolation: used.append(interpolation) or resize(*given, None, 0, 0, interpolation)
    )
    peers.features(ImageSample(name="grey", pixels=np.full((*size, 3), 90, np.uint8)))
    assert used == [how]


@pytest.mark.parametrize(("photos", "passes"), [(13, 300), (33, 150), (209, 43), (320, 40)])
def test_fastflow_is_trained_for_some_passes_and_some_steps_at_least(photos, passes):
    assert peers._passes(photos) == passes


@pytest.mark.skipif(not peers.installed(), reason="anomalib is not installed")
@pytest.mark.parametrize("peer", [peers._PatchCore, peers._Padim, peers._FastFlow])
def test_a_peer_finds_the_hole_and_its_map_has_the_photos_size(monkeypatch, peer):
    monkeypatch.setattr(peers, "PASSES", 6)
    monkeypatch.setattr(peers, "LEAST_STEPS", 0)
    outcome = peers._measured(peer, [photo(n) for n in range(6)], [photo(7), photo(8, hole=True)])
    good, torn = outcome.scores
    assert torn.score > good.score
    assert torn.heatmap.shape == (96, 120)
    row, column = np.unravel_index(torn.heatmap.argmax(), torn.heatmap.shape)
    assert 20 <= row < 70
    assert 50 <= column < 100


@pytest.mark.skipif(not peers.installed(), reason="anomalib is not installed")
@pytest.mark.parametrize("peer", [peers._Padim, peers._FastFlow])
def test_a_peer_depends_on_its_seed_alone_and_not_on_what_was_drawn_before(monkeypatch, peer):
    import torch

    monkeypatch.setattr(peers, "PASSES", 1)
    monkeypatch.setattr(peers, "LEAST_STEPS", 0)
    found = []
    for drawn in (1, 50):
        torch.rand(drawn)
        found.append(peers._measured(peer, [photo(n) for n in range(3)], [photo(7)]).scores[0])
    assert found[0].score == found[1].score
    assert np.array_equal(found[0].heatmap, found[1].heatmap)
