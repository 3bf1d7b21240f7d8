"""Backbones by name and from folders, on tiny networks with random weights: maps, positions, tiles, weights that are not there."""

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage import data as pictures
from torch import nn

from core.errors import BadInput
from models import backbones
from models.backbone_weights import NORMALISATIONS, known, known_backbones, recipe, weight_file
from models.backbones import HEADS, Layout, Taps, TimmBackbone, layout
from models.backbones_tiles import spans, tiled_maps
from models.device import Placement
from models.patches import PatchEncoder

COFFEE = pictures.coffee()
CPU32 = Placement(torch.device("cpu"), torch.float32, "test")
MEAN, STD = NORMALISATIONS["imagenet"]
TINY = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 2}
VITS = {
    "class token": {},
    "registers": {"reg_tokens": 4, "no_embed_class": True},
    "registers, embedded class": {"reg_tokens": 4},
    "no prefix": {"class_token": False, "global_pool": "avg"},
    "pre-norm, layer scale": {"pre_norm": True, "init_values": 0.1},
}


@pytest.fixture(autouse=True)
def _fp32(monkeypatch):
    """Number formats are not the matter here, and equalities are told apart better in fp32."""
    monkeypatch.setattr("models.device.place", lambda device="auto": CPU32)


def vit(seed=0, **more):
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(seed)
    net = VisionTransformer(**{**TINY, "num_classes": 0, "dynamic_img_size": True, **more}).eval().requires_grad_(False)
    for parameter in net.parameters():  # zero biases and norms of one would hide what is left out
        parameter.add_(0.1 * torch.randn_like(parameter))
    return net


def resnet(seed=0):
    from timm.models.resnet import BasicBlock, ResNet

    torch.manual_seed(seed)
    return ResNet(BasicBlock, [1, 1, 1, 1], num_classes=0, channels=(4, 6, 8, 10), stem_width=4).eval().requires_grad_(False)


def wrapped(net):
    return TimmBackbone(net, mean=MEAN, std=STD)


def pixels(high, wide, count=1, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, high, wide, 3), dtype=np.uint8))


def folder(path, net, architecture="vit_tiny_patch16_224", model_args=None, more=None, **settings):
    """A folder as `telltale models pull` finds it on the hub."""
    path.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in {**net.state_dict(), **(more or {})}.items()}, path / "model.safetensors")
    row = {"architecture": architecture, "model_args": TINY if model_args is None else model_args}
    (path / "config.json").write_text(json.dumps({**row, "pretrained_cfg": {"mean": MEAN, "std": STD, **settings}}))
    return str(path)


# maps of a transformer


@pytest.mark.parametrize("kind", VITS)
@pytest.mark.parametrize("size", [(32, 32), (48, 24), (8, 96)])
def test_a_transformers_tokens_become_a_map_without_its_prefix(kind, size):
    net = vit(**VITS[kind])
    maps = wrapped(net).maps(pixels(*size, count=2), Taps(blocks=(0, 2)))
    assert [tuple(m.shape) for m in maps] == [(2, 24, size[0] // 8, size[1] // 8)] * 2
    assert all(m.dtype == torch.float32 and torch.isfinite(m).all() for m in maps)


@pytest.mark.parametrize("kind", VITS)
@pytest.mark.parametrize("final_norm", [False, True])
def test_a_tap_is_what_its_block_puts_out(kind, final_norm):
    net, seen = vit(**VITS[kind]), {}
    for index, block in enumerate(net.blocks):
        block.register_forward_hook(lambda _m, _i, out, index=index: seen.__setitem__(index, out))
    picture = pixels(40, 24)
    taps = wrapped(net).maps(picture, Taps(blocks=(2, 0, -2), final_norm=final_norm))
    normalised = (picture.float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    seen.clear()
    net(normalised.permute(0, 3, 1, 2))
    for tap, block in zip(taps, (2, 0, 1), strict=True):
        tokens = net.norm(seen[block]) if final_norm else seen[block]
        tokens = tokens[:, net.num_prefix_tokens :]
        assert tokens.shape[1] == 15
        assert torch.allclose(tap.flatten(2).transpose(1, 2), tokens, atol=1e-4)


def test_nothing_runs_deeper_than_the_deepest_tap():
    net, seen = vit(), []
    for index, block in enumerate(net.blocks):
        block.register_forward_hook(lambda *_, index=index: seen.append(index))
    wrapped(net).maps(pixels(32, 32), Taps(blocks=(1, 0)))
    assert seen == [0, 1]


@pytest.mark.parametrize("kind", VITS)
def test_at_the_trained_size_position_embeddings_are_the_trained_ones(kind):
    fixed = vit(**VITS[kind], dynamic_img_size=False)
    flexible = vit(**VITS[kind])
    flexible.load_state_dict(fixed.state_dict())
    picture = pixels(32, 32)
    ours, theirs = (wrapped(net).maps(picture, Taps(blocks=(2,)))[0] for net in (flexible, fixed))
    assert torch.equal(ours, theirs)


def test_other_sizes_interpolate_position_embeddings_and_leave_the_prefix():
    net = vit(reg_tokens=2)
    rows, columns = 6, 3
    native = net.pos_embed[:, 3:].reshape(1, 4, 4, 24).permute(0, 3, 1, 2)
    wanted = nn.functional.interpolate(native, (rows, columns), mode="bicubic", antialias=True).flatten(2).transpose(1, 2)
    for block in net.blocks:
        block.forward = lambda x: x
    with_positions = wrapped(net).maps(pixels(48, 24), Taps(blocks=(0,)))[0]
    net.pos_embed.zero_()
    without = wrapped(net).maps(pixels(48, 24), Taps(blocks=(0,)))[0]
    assert torch.allclose((with_positions - without).flatten(2).transpose(1, 2), wanted, atol=1e-4)


@pytest.mark.parametrize("blocks", [(3,), (-4,)])
def test_a_block_that_is_not_there_is_refused(blocks):
    with pytest.raises(BadInput, match="expected 0 to 2"):
        wrapped(vit()).maps(pixels(32, 32), Taps(blocks=blocks))


# maps of a convolutional network


def test_strides_of_a_convolutional_network_are_its_layers():
    net = resnet()
    x = pixels(64, 96, count=2)
    maps = wrapped(net).maps(x, Taps(strides=(16, 4, 2)))
    assert [tuple(m.shape) for m in maps] == [(2, 8, 4, 6), (2, 4, 16, 24), (2, 64, 32, 48)]
    out = net.act1(net.bn1(net.conv1(((x.float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 3, 1, 2))))
    assert torch.allclose(maps[2], out, atol=1e-4)
    assert torch.allclose(maps[1], net.layer1(net.maxpool(out)), atol=1e-4)
    with pytest.raises(BadInput, match="this network has"):
        wrapped(net).maps(x, Taps(strides=(64,)))


def test_networks_that_cannot_be_read_are_refused():
    with pytest.raises(BadInput, match="cannot"):
        wrapped(nn.Linear(3, 3))
    with pytest.raises(BadInput, match="square patches"):
        wrapped(vit(patch_size=(8, 4)))
    from timm.models.swin_transformer import SwinTransformer

    swin = SwinTransformer(img_size=32, patch_size=4, window_size=4, embed_dim=12, depths=(1, 1), num_heads=(2, 2), num_classes=0)
    with pytest.raises(BadInput, match="plain vision transformer"):
        wrapped(swin)


# through the encoder, from a folder


def test_an_encoder_reads_a_folder(tmp_path):
    net = vit()
    path = folder(tmp_path / "own", net, more={"head.weight": torch.zeros(5, 24), "head.bias": torch.zeros(5)})
    encoder = PatchEncoder(side=64, backbone=path, blocks=(0, 2), final_norm=False)
    assert encoder.stride == 8
    assert encoder.resized(400, 600) == (56, 80)
    features = encoder.encode([COFFEE])
    assert tuple(features.shape) == (1, *encoder.grid(400, 600), 48) == (1, 7, 10, 48)
    first, last = encoder.taps([COFFEE])
    assert torch.equal(features, torch.cat([first, last], 1).permute(0, 2, 3, 1))
    assert encoder.to_pixels(np.ones((7, 10), np.float32), 400, 600).shape == (400, 600)


def test_without_blocks_a_folders_transformer_gives_its_last_with_the_final_norm(tmp_path):
    path = folder(tmp_path / "own", vit())
    usual = PatchEncoder(side=64, backbone=path).encode([COFFEE])
    asked = PatchEncoder(side=64, backbone=path, blocks=(2,), final_norm=True).encode([COFFEE])
    assert torch.equal(usual, asked)
    assert not torch.allclose(usual, PatchEncoder(side=64, backbone=path, final_norm=False).encode([COFFEE]))


def test_any_shape_of_picture_is_encoded(tmp_path):
    encoder = PatchEncoder(side=64, backbone=folder(tmp_path / "own", vit()))
    for shape in ((1, 1, 3), (5, 400, 3), (700, 7, 3), (33, 31, 3)):
        features = encoder.encode([np.full(shape, 90, np.uint8)])
        assert tuple(features.shape[1:3]) == encoder.grid(*shape[:2])
        assert torch.isfinite(features).all()


def test_a_convolutional_folder_is_tapped_by_strides(tmp_path):
    args = {"layers": [1, 1, 1, 1], "channels": [4, 6, 8, 10], "stem_width": 4}
    path = folder(tmp_path / "cnn", resnet(), "resnet18", args)
    encoder = PatchEncoder(side=96, backbone=path, strides=(4, 16))
    assert tuple(encoder.encode([COFFEE]).shape) == (1, *encoder.grid(400, 600), 12)
    assert layout(path) == Layout((2, 4, 8, 16, 32), 32, 0, {2: 0.5, 4: 1.5, 8: 3.5, 16: 7.5, 32: 15.5})
    with pytest.raises(BadInput, match="tapped by strides"):
        PatchEncoder(side=96, backbone=path, blocks=(1,)).encode([COFFEE])


def test_a_blob_in_a_transformers_map_lands_in_the_middle_of_its_patch(tmp_path):
    encoder = PatchEncoder(side=64, backbone=folder(tmp_path / "own", vit()))
    maps = np.zeros((8, 8), np.float32)
    maps[2, 5] = 1
    heat = encoder.to_pixels(maps, 640, 640)
    rows, columns = (heat == heat.max()).nonzero()
    assert abs(rows.mean() - 199.5) <= 5
    assert abs(columns.mean() - 439.5) <= 5


def test_detectors_pass_the_backbone_on(tmp_path):
    from core.samples import ImageSample
    from tools.image.musc import MuSc
    from tools.image.patch_search import PatchSearch

    path = folder(tmp_path / "own", vit())
    photos = [ImageSample(name=str(n), pixels=np.roll(COFFEE, 7 * n, axis=1)) for n in range(3)]
    search = PatchSearch(side=64, backbone=path, augment=False).fit(photos[:2])
    assert search._memory.shape[1] == 24
    search.save(tmp_path / "search.npz")
    assert PatchSearch.load(tmp_path / "search.npz").score(photos)[2].score == search.score(photos)[2].score
    grouped = MuSc(side=64, backbone=path).fit(photos[:2])
    grouped.save(tmp_path / "grouped.npz")
    found, again = (musc.score(photos) for musc in (grouped, MuSc.load(tmp_path / "grouped.npz")))
    assert [s.heatmap.shape for s in found] == [COFFEE.shape[:2]] * 3
    assert [s.score for s in found] == [s.score for s in again]


# tiles


class Blur:
    """A network that sees exactly one cell of 4 pixels around each of its own."""

    layout = Layout((4, 8), 8, 0, {4: 1.5, 8: 3.5})

    def __init__(self):
        torch.manual_seed(0)
        self.fine, self.coarse = nn.Conv2d(3, 5, 12, 4, 4), nn.Conv2d(3, 6, 16, 8, 4)

    def maps(self, x, taps):
        x = x.permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            return [{4: self.fine, 8: self.coarse}[s](x) for s in taps.strides]


@pytest.mark.parametrize(("size", "side"), [((96, 160), 32), ((64, 64), 48), ((200, 40), 64), ((16, 16), 64)])
def test_where_the_overlap_covers_what_a_cell_sees_tiles_are_the_whole(size, side):
    net, x = Blur(), pixels(*size, count=2)
    taps = Taps(strides=(8, 4))
    for ours, theirs in zip(tiled_maps(net, x, taps, strides=(8, 4), side=side), net.maps(x, taps), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "side", "multiple"), [(1280, 320, 32), (448, 100, 14), (32, 4096, 32), (96, 32, 32), (56, 32, 14)]
)
def test_cores_cover_an_edge_once_and_tiles_reach_beyond(size, side, multiple):
    found = spans(size, side, multiple)
    assert found[0].core == found[0].first == 0
    assert found[-1].end == found[-1].last == size
    for before, after in itertools.pairwise(found):
        assert before.end == after.core
        assert before.last - before.end >= min(side / 8, size - before.end)
    for span in found:
        assert span.core < span.end
        assert all(edge % multiple == 0 for edge in span)


def test_tiles_of_the_embedded_network_are_close_to_the_whole_and_nearly_equal_in_the_middle():
    """Its cells see hundreds of pixels, most of them faintly."""
    cat = np.ascontiguousarray(pictures.cat()[:288, :448])
    whole = PatchEncoder(side=384, strides=(8,)).encode([cat])[0]
    tiled = PatchEncoder(side=192, strides=(8,), tiles=2).encode([cat])[0]
    assert tiled.shape == whole.shape
    cosine = nn.functional.cosine_similarity(whole, tiled, dim=-1)
    assert cosine.median() > 0.999
    assert cosine.min() > 0.9


def test_tiles_multiply_the_grid_and_leave_whole_pictures_alone(tmp_path):
    path = folder(tmp_path / "own", vit())
    one, three = (PatchEncoder(side=64, backbone=path, tiles=n) for n in (1, 3))
    assert three.grid(400, 600) == (20, 29)
    features = three.encode([COFFEE, COFFEE[::-1]])
    assert tuple(features.shape) == (2, 20, 29, 24)
    assert torch.equal(features[1:], three.encode([COFFEE[::-1]]))
    assert one.grid(400, 600) == (7, 10)


# names and weights


def test_the_catalogue_is_what_timm_builds(monkeypatch):
    assert [row.name for row in known_backbones()] == [
        "dinov2_vits14", "dinov2_vits14_reg", "dinov2_vitb14", "dinov2_vitb14_reg", "dinov2_vitl14", "dinov2_vitl14_reg",
        "dino_vitb8", "clip_vitl14_336", "clip_vitb16", "wide_resnet50",
    ]  # fmt: skip
    import timm

    for row in known_backbones():
        with torch.device("meta"):
            net = backbones._build(recipe(row.name), row.name)
        assert backbones._layout_of(net) == layout(row.name)
        assert sum(parameter.numel() for parameter in net.parameters()) == row.parameters
        tag = row.repo.removeprefix("timm/").split(".")[1]
        settings = timm.get_pretrained_cfg(f"{row.architecture}.{tag}")
        assert settings.hf_hub_id == row.repo
        assert (settings.mean, settings.std) == NORMALISATIONS[row.normalisation]
        for block in row.blocks:
            backbones._block(block, layout(row.name).depth)


@pytest.mark.parametrize("name", ["dinov2_vitb14_reg", "wide_resnet50", "someone/some-net"])
def test_weights_that_are_not_here_are_one_sentence_with_the_command(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TELLTALE_HOME", str(tmp_path))
    encoder = PatchEncoder(side=64, backbone=name)
    repo = known(name).repo if known(name) else name
    with pytest.raises(BadInput, match=f"Fetch (it|them) with: telltale models pull {repo}"):
        encoder.encode([COFFEE])


def test_a_known_name_needs_no_weights_to_tell_its_grid():
    assert PatchEncoder(side=448, backbone="dinov2_vitl14").grid(1000, 1000) == (32, 32)
    assert PatchEncoder(side=320, backbone="wide_resnet50").grid(320, 320) == (40, 40)
    assert PatchEncoder(side=224, backbone="dino_vitb8", blocks=(3, 7)).stride == 8


@pytest.mark.parametrize("name", ["dinov2_vits14_reg", "clip_vitb16"])
def test_pulled_weights_of_a_known_name_are_verified_and_used(name, tmp_path, monkeypatch):
    """The real architecture cut to two blocks, so that no large network is written."""
    from core.weights import file_sha256
    from models.chat.hub import MANIFEST, folder_of

    monkeypatch.setenv("TELLTALE_HOME", str(tmp_path))
    monkeypatch.setattr(backbones, "recipe", lambda asked: _cut(recipe(asked)))
    net = backbones._build(_cut(recipe(name)), name)
    row, home = known(name), folder_of(known(name).repo)
    home.mkdir(parents=True)
    save_file(net.state_dict(), home / "model.safetensors")
    path = home / "model.safetensors"
    files = [{"name": path.name, "size": path.stat().st_size, "sha256": file_sha256(path)}]
    (home / MANIFEST).write_text(json.dumps({"repo": row.repo, "revision": "a" * 40, "licence": "x", "files": files}))
    backbones._load_timm.cache_clear()
    features = PatchEncoder(side=64, backbone=name, blocks=(0, 1), final_norm=True).encode([COFFEE])
    x = torch.from_numpy(np.ascontiguousarray(COFFEE))
    assert features.shape[-1] == 2 * net.embed_dim
    assert torch.isfinite(features).all()
    ours = backbones.load(name, CPU32).maps(x[None, :112, :112], Taps(blocks=(1,)))
    theirs = TimmBackbone(net.eval(), mean=recipe(name).mean, std=recipe(name).std).maps(x[None, :112, :112], Taps(blocks=(1,)))
    assert torch.allclose(ours[0], theirs[0], atol=1e-5)
    backbones._load_timm.cache_clear()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadInput, match="damaged or altered"):
        PatchEncoder(side=64, backbone=name).encode([COFFEE])
    path.unlink()
    with pytest.raises(BadInput, match=f"incomplete.*telltale models pull {row.repo}"):
        PatchEncoder(side=64, backbone=name).encode([COFFEE])


def _cut(how):
    from dataclasses import replace

    return replace(how, model_args=(("depth", 2), ("embed_dim", 48), ("num_heads", 3), ("img_size", 224)))


def test_weights_of_openclip_give_openclips_own_features(tmp_path, monkeypatch):
    """CLIP's weights may come in its own layout, and only with QuickGELU are the features its own."""
    from open_clip.model import QuickGELU
    from open_clip.transformer import LayerNorm, VisionTransformer

    torch.manual_seed(0)
    tower = VisionTransformer(
        image_size=32, patch_size=8, width=128, layers=2, heads=2, mlp_ratio=4.0, output_dim=16,
        act_layer=QuickGELU, norm_layer=LayerNorm,
    ).eval()  # fmt: skip
    path = tmp_path / "clip_vitb16"
    path.mkdir()
    state = {f"visual.{name}": tensor.contiguous() for name, tensor in tower.state_dict().items()}
    save_file({**state, "logit_scale": torch.zeros(1)}, path / "open_clip_model.safetensors")
    args = {"img_size": 32, "patch_size": 8, "embed_dim": 128, "depth": 2, "num_heads": 2}
    (path / "config.json").write_text(json.dumps({
        "architecture": known("clip_vitb16").architecture, "model_args": args,
        "pretrained_cfg": {"mean": NORMALISATIONS["clip"][0], "std": NORMALISATIONS["clip"][1]},
    }))  # fmt: skip
    picture = pixels(32, 32)
    mean, std = (torch.tensor(values) for values in NORMALISATIONS["clip"])
    for final_norm in (False, True):
        ours = backbones.load(str(path), CPU32).maps(picture, Taps(blocks=(0, 1), final_norm=final_norm))
        with torch.no_grad():
            theirs = tower.forward_intermediates(
                ((picture.float() / 255 - mean) / std).permute(0, 3, 1, 2), normalize_intermediates=final_norm
            )["image_intermediates"]
        assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(ours, theirs, strict=True))


def test_a_folder_called_like_a_known_backbone_needs_no_settings(tmp_path):
    (tmp_path / "dino_vitb8").mkdir()
    assert recipe(str(tmp_path / "dino_vitb8")) == recipe("dino_vitb8")


def _without(net, name):
    return {k: v for k, v in net.state_dict().items() if k != name}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "config.json").unlink(), "naming an architecture"),
        (lambda f: (f / "config.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "config.json").write_text('{"architecture": "vit_of_nobody"}'), "expected an architecture of timm"),
        (lambda f: (f / "config.json").write_text('{"architecture": "hf-hub:timm/x"}'), "expected an architecture of timm"),
        (lambda f: _args(f, checkpoint_path="x.pth"), "plain model_args"),
        (lambda f: _args(f, wings=2), "cannot be built"),
        (lambda f: _args(f, **{**TINY, "embed_dim": 32}), "do not fit"),
        (lambda f: _args(f, **{**TINY, "depth": 4}), "tensors missing"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x" * 40), "cannot be read"),
        (lambda f: (f / "model.safetensors").rename(f / "model.pth"), "got none; pickles are not read"),
        (lambda f: save_file({**_without(vit(), "norm.weight")}, f / "model.safetensors"), "1 tensors missing, 0 too many"),
        (lambda f: save_file({**vit().state_dict(), "odd": torch.zeros(1)}, f / "model.safetensors"), "e.g. 'odd'"),
    ],
)
def test_a_folder_that_does_not_fit_says_why(spoil, said, tmp_path):
    path = folder(tmp_path / "own", vit())
    spoil(tmp_path / "own")
    with pytest.raises(BadInput, match=said):
        PatchEncoder(side=64, backbone=path).encode([COFFEE])


def _args(path, **args):
    (path / "config.json").write_text(json.dumps({"architecture": "vit_tiny_patch16_224", "model_args": args}))


def test_several_files_of_weights_are_not_guessed_among(tmp_path):
    path = folder(tmp_path / "own", vit())
    (tmp_path / "own" / "model.safetensors").rename(tmp_path / "own" / "a.safetensors")
    assert weight_file(path).name == "a.safetensors"
    (tmp_path / "own" / "b.safetensors").write_bytes(b"")
    with pytest.raises(BadInput, match=r"a\.safetensors, b\.safetensors"):
        weight_file(path)
    assert all(head.endswith(".") for head in HEADS)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"backbone": "dinov3"}, "expected one of efficientnet_lite0, dinov2_vits14"),
        ({"backbone": "/no/such/folder"}, "there is no such folder"),
        ({"blocks": (1,)}, "tapped by strides"),
        ({"backbone": "wide_resnet50", "blocks": (1,)}, "tapped by strides"),
        ({"strides": (2,)}, "expected some of"),
        ({"tiles": 0}, "expected 1 to"),
        ({"side": 4096, "tiles": 9}, "expected 1 to 4 at side 4096"),
        ({"runtime": "onnx"}, "expected 'torch' or 'openvino'"),
        ({"runtime": "openvino", "backbone": "dino_vitb8"}, "use 'torch'"),
        ({"runtime": "openvino", "device": "cuda"}, "use 'torch'"),
    ],
)
def test_values_that_cannot_be_are_refused(values, said):
    with pytest.raises(BadInput, match=said):
        PatchEncoder(**values).encode([COFFEE])


def test_naming_a_backbone_loads_no_torch():
    code = "import sys; from models.patches import PatchEncoder as P; P(backbone='clip_vitb16'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
