"""Point-MAE: the published forward pass, the layouts of its checkpoints, and shapes of scans described by it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.errors import BadInput
from core.synthetic import case
from models.point_mae import PointMae, _tiny, load, scaled
from tools.image.musc_v2 import MuScV2


def groups_and_centres():
    rng = np.random.default_rng(7)
    centres = rng.uniform(-1, 1, (6, 3))
    return 0.1 * rng.standard_normal((6, 16, 3)), centres


def published(weights):
    """The layout of the published pretraining checkpoint."""
    named = {f"module.MAE_encoder.{name}".replace(".blocks.", ".blocks.blocks.", 1): value for name, value in weights.items()}
    others = {"module.mask_token": torch.zeros(1, 1, 128), "module.MAE_decoder.blocks.0.norm1.weight": torch.zeros(128)}
    others["module.MAE_encoder.encoder.first_conv.1.num_batches_tracked"] = torch.tensor(3)
    return {"base_model": {**named, **others}, "epoch": 300}


def test_tokens_are_those_of_the_published_code():
    """Golden values of Pang-Yatian/Point-MAE at 7445a68, MaskTransformer without masking, on these weights."""
    tokens = PointMae(_tiny(channels=128, depth=4)).tokens(*groups_and_centres(), layers=2)
    expected = [
        ([-0.38969, 0.10802, 1.42792, 2.29336], 6.6439, 0.794854),
        ([-0.6713, 0.85299, 1.10045, 1.60337], 5.5285, 0.805475),
    ]
    for found, (some, total, size) in zip(tokens, expected, strict=True):
        assert found[2, :4].tolist() == pytest.approx(some, rel=1e-3)
        assert float(found.sum()) == pytest.approx(total, rel=1e-3)
        assert float(found.abs().mean()) == pytest.approx(size, rel=1e-3)


def test_the_order_of_a_groups_points_and_of_the_groups_does_not_matter():
    net = PointMae(_tiny(channels=64, depth=3))
    groups, centres = groups_and_centres()
    plain = net.tokens(groups, centres, layers=3)
    assert len(plain) == 3
    turned = net.tokens(groups[::-1, ::-1].copy(), centres[::-1].copy(), layers=3)
    for one, other in zip(plain, turned, strict=True):
        assert torch.allclose(one, other.flip(0), atol=1e-5)


def test_more_layers_than_blocks_are_refused():
    with pytest.raises(BadInput, match="expected 1 to 3"):
        PointMae(_tiny(channels=64, depth=3)).tokens(*groups_and_centres(), layers=4)


@pytest.mark.parametrize("layout", ["published", "plain", "safetensors"])
def test_every_layout_of_a_checkpoint_is_read(tmp_path, layout):
    weights = _tiny(channels=128, depth=2)
    path = tmp_path / ("a.safetensors" if layout == "safetensors" else "a.pth")
    if layout == "safetensors":
        from safetensors.torch import save_file

        save_file(weights, path)
    else:
        torch.save(published(weights) if layout == "published" else weights, path)
    found = load(str(path))
    assert (found.channels, found.depth, found.heads) == (128, 2, 2)
    expected = PointMae(weights).tokens(*groups_and_centres(), layers=2)
    for one, other in zip(found.tokens(*groups_and_centres(), layers=2), expected, strict=True):
        assert torch.equal(one, other)


def test_what_is_no_such_checkpoint_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "text.pth").write_text("not a checkpoint")
    torch.save({"base_model": {"conv.weight": torch.zeros(3)}}, tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({n: w for n, w in _tiny(channels=64, depth=2).items() if "fc2" not in n}, tmp_path / "holes.pth")
    said = {"text.pth": "a file that is none", "other.pth": "expected the encoder's weights", "list.pth": "expected the encoder's weights",
            "holes.pth": "do not fit together", "absent.pth": "no such file"}  # fmt: skip
    for name, words in said.items():
        with pytest.raises(BadInput, match=words):
            load(str(tmp_path / name))


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Nasty:
        def __reduce__(self):
            return (print, ("run",))

    torch.save({"base_model": Nasty()}, tmp_path / "nasty.pth")
    with pytest.raises(BadInput, match="a file that is none"):
        load(str(tmp_path / "nasty.pth"))


def test_points_are_scaled_into_a_unit_sphere():
    points = scaled(np.random.default_rng(0).uniform(200, 900, (50, 3)))
    assert np.allclose(points.mean(axis=0), 0, atol=1e-12)
    assert np.linalg.norm(points, axis=1).max() == pytest.approx(1)
    assert np.array_equal(scaled(np.ones((3, 3))), np.zeros((3, 3)))


def test_scans_are_compared_by_it_and_it_is_kept_with_the_detector(tmp_path):
    path = tmp_path / "mae.pth"
    torch.save(published(_tiny(channels=64, depth=4)), path)
    made = case("points")
    small = {"mode": "points", "groups": 192, "size": 48, "inner": (16, 48)}
    by_angles = MuScV2(**small).fit(made.normal).score([made.odd])[0]
    detector = MuScV2(**small, shape=str(path)).fit(made.normal)
    found = detector.score([made.odd])[0]
    assert found.heatmap.shape == by_angles.heatmap.shape
    assert not np.allclose(found.heatmap, by_angles.heatmap)
    detector.save(tmp_path / "kept.npz")
    assert MuScV2.load(tmp_path / "kept.npz").score([made.odd])[0].score == found.score
    with pytest.raises(BadInput, match="no such file"):
        MuScV2(**small, shape="nowhere.pth").score([made.odd, *made.unseen])
