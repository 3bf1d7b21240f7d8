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


def test_tokens_of_twelve_blocks_are_those_m3dm_reads():
    """Golden values of nomewang/M3DM at 62b7f46, which reads blocks 3, 7 and 11, on these weights."""
    tokens = PointMae(_tiny(channels=128, depth=12, seed=1)).tokens(*groups_and_centres(), layers=3)
    expected = [
        ([0.45716, 0.87496, 1.03406, 0.21034], 9.6451, 0.796089),
        ([0.81813, 1.42512, 1.11341, -0.23838], 8.9995, 0.797858),
        ([1.21856, 2.05525, 0.6988, -0.31132], 9.7693, 0.795246),
    ]
    for found, (some, total, size) in zip(tokens, expected, strict=True):
        assert found[2, :4].tolist() == pytest.approx(some, rel=1e-3)
        assert float(found.sum()) == pytest.approx(total, rel=1e-3)
        assert float(found.abs().mean()) == pytest.approx(size, rel=1e-3)


def test_a_class_token_takes_part_and_is_left_out(tmp_path):
    """Golden values of Pang-Yatian/Point-MAE at 7445a68, the fine-tuned PointTransformer up to its final norm, on these weights."""
    rng = np.random.default_rng(5)
    weights = _tiny(channels=128, depth=4)
    plain = PointMae(weights).tokens(*groups_and_centres(), layers=1)[0]
    for name in ("cls_token", "cls_pos"):
        weights[name] = torch.from_numpy(rng.standard_normal((1, 1, 128)).astype(np.float32))
    named = {f"module.{name}": value for name, value in weights.items()}
    torch.save({"base_model": {**named, "module.cls_head_finetune.0.weight": torch.zeros(256, 256)}}, tmp_path / "tuned.pth")
    found = load(str(tmp_path / "tuned.pth")).tokens(*groups_and_centres(), layers=1)[0]
    assert found.shape == plain.shape
    assert found[2, :4].tolist() == pytest.approx([-0.68759, 0.81512, 0.78892, 0.65118], rel=1e-3)
    assert float(found.sum()) == pytest.approx(6.5117, rel=1e-3)
    assert float((found - plain).abs().max()) > 0.5


def test_many_groups_have_the_tokens_of_one_pass(monkeypatch):
    net = PointMae(_tiny(channels=64, depth=2))
    plain = net.tokens(*groups_and_centres(), layers=2)
    monkeypatch.setattr("models.point_mae.GROUPS_AT_ONCE", 4)
    for one, other in zip(plain, net.tokens(*groups_and_centres(), layers=2), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


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


@pytest.mark.parametrize("layout", ["published", "unwrapped", "wrapped", "plain", "safetensors"])
def test_every_layout_of_a_checkpoint_is_read(tmp_path, layout):
    weights = _tiny(channels=128, depth=2)
    path = tmp_path / ("a.safetensors" if layout == "safetensors" else "a.pth")
    if layout == "safetensors":
        from safetensors.torch import save_file

        save_file(weights, path)
    else:
        whole = published(weights)
        inner = {name.removeprefix("module."): value for name, value in whole["base_model"].items()}
        wrapped = {f"base_model.{name}": value for name, value in inner.items()}
        torch.save({"published": whole, "unwrapped": inner, "wrapped": wrapped, "plain": weights}[layout], path)
    found = load(str(path))
    assert (found.channels, found.depth, found.heads) == (128, 2, 2)
    expected = PointMae(weights).tokens(*groups_and_centres(), layers=2)
    for one, other in zip(found.tokens(*groups_and_centres(), layers=2), expected, strict=True):
        assert torch.equal(one, other)


def altered(**changes):
    weights = _tiny(channels=64, depth=2)
    return {**weights, **{name.replace("__", "."): value for name, value in changes.items()}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"base_model": {"conv.weight": torch.zeros(3)}}, "expected the encoder's weights, got 1 entries without 'encoder"),
        ([1, 2], "expected tensors by name, got list"),
        ({"base_model": torch.zeros(3)}, "expected tensors by name, got Tensor"),
        ({n: w for n, w in altered().items() if "fc2" not in n}, r"without 'blocks.0.mlp.fc2.weight' \(4 missing\)"),
        ({n.replace("blocks.1", "blocks.2"): w for n, w in altered().items()}, "without 'blocks.1.norm1.weight'"),
        ({n: w for n, w in altered().items() if "running" not in n}, "without 'encoder.first_conv.1.running_mean'"),
        (altered(cls_token=torch.zeros(1, 1, 64)), "without 'cls_pos'"),
        (altered(encoder__first_conv__0__weight=torch.zeros(128, 3)), "expected tensors of matching sizes"),
        (altered(norm__weight=torch.tensor(1.0)), "expected tensors of matching sizes"),
        (altered(norm__weight=torch.zeros(65)), "expected tensors of matching sizes"),
        (altered(norm__weight=torch.full((64,), float("nan"))), "expected finite numbers"),
    ],
)
def test_other_weights_are_refused_in_one_sentence(tmp_path, content, words):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(BadInput, match=words) as caught:
        load(str(tmp_path / "other.pth"))
    assert "\n" not in str(caught.value)


def test_files_that_are_no_checkpoint_are_refused(tmp_path):
    from safetensors.torch import save_file

    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("not a checkpoint")
        with pytest.raises(BadInput, match=r"expected a checkpoint .* got a file that is none"):
            load(str(tmp_path / name))
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(BadInput, match="expected the encoder's weights, got 1 entries"):
        load(str(tmp_path / "other.safetensors"))
    for name in ("absent.pth", "."):
        with pytest.raises(BadInput, match="no such file"):
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
