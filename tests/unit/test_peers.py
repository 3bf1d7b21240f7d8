"""The published implementations beside ours: what is said where they are missing, and that they work where they are not."""

from __future__ import annotations

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
    assert list(peers.rows(None)) == []
    assert "pip install anomalib" in capsys.readouterr().out


def test_the_suite_says_which_data_is_missing(tmp_path, capsys):
    assert list(rows(tmp_path, quick=True)) == []
    assert "image_systems: " in capsys.readouterr().out


def test_features_are_the_raw_maps_of_a_square():
    found = peers.features(photo(0))
    assert {name: tuple(maps.shape) for name, maps in found.items()} == {
        str(s): (1, peers.CHANNELS[s], peers.SIDE // s, peers.SIDE // s) for s in peers.STRIDES
    }


@pytest.mark.skipif(not peers.installed(), reason="anomalib is not installed")
@pytest.mark.parametrize("peer", [peers._PatchCore, peers._Padim, peers._FastFlow])
def test_a_peer_finds_the_hole_and_its_map_has_the_photos_size(monkeypatch, peer):
    monkeypatch.setattr(peers, "PASSES", 6)
    outcome = peers._measured(peer(), [photo(n) for n in range(6)], [photo(7), photo(8, hole=True)])
    good, torn = outcome.scores
    assert torn.score > good.score
    assert torn.heatmap.shape == (96, 120)
    row, column = np.unravel_index(torn.heatmap.argmax(), torn.heatmap.shape)
    assert 20 <= row < 70
    assert 50 <= column < 100
