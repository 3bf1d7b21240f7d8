import subprocess
import sys

import numpy as np
import pytest
import torch
from skimage import data as pictures

from core.errors import BadInput
from core.weights import EFFICIENTNET_LITE0, locate
from models import efficientnet_lite
from models.device import leaving_a_core, place
from models.efficientnet_lite import CENTRES, EfficientNetLite0, load
from models.patches import PatchEncoder

CAT, COFFEE = pictures.cat(), pictures.coffee()


def _folded() -> EfficientNetLite0:
    net = EfficientNetLite0().requires_grad_(False).eval()
    net.fold(torch.load(locate(EFFICIENTNET_LITE0), weights_only=True))
    return net


@pytest.mark.parametrize("size", [(64, 64), (96, 65), (33, 130)])
def test_the_folded_network_is_timms(size):
    timm = pytest.importorskip("timm")
    state = torch.load(locate(EFFICIENTNET_LITE0), weights_only=True)
    other = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    other.load_state_dict(dict(zip(other.state_dict(), state.values(), strict=True)))
    other.eval()
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    net = _folded()
    with torch.inference_mode():
        assert torch.allclose(net(x), other(x), atol=1e-4)
        _, taps = other.forward_intermediates(x, indices=[1, 2, 3, 4])
        for ours, theirs in zip(net.taps(x, (4, 8, 16, 32)), taps, strict=True):
            assert torch.allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize(("dtype", "off"), [(torch.bfloat16, 0.0), (torch.float32, 1e-4)])
def test_one_step_for_a_convolution_and_its_bounds_gives_the_numbers_of_two(dtype, off, monkeypatch):
    net = _folded().to(dtype=dtype, memory_format=torch.channels_last)
    x = torch.randn(1, 3, 96, 160, generator=torch.Generator().manual_seed(0)).to(dtype).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        joined = net.taps(x, (8, 16))
        monkeypatch.setattr(efficientnet_lite, "_one_step", lambda: False)
        for one, two in zip(joined, net.taps(x, (8, 16)), strict=True):
            assert float((one - two).abs().max()) <= off


def test_while_one_reads_ahead_torch_leaves_a_core_however_many_look():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        with leaving_a_core():
            assert torch.get_num_threads() == 3
            with leaving_a_core():
                assert torch.get_num_threads() == 3
            assert torch.get_num_threads() == 3
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


def test_known_pictures_get_their_names():
    infos = pytest.importorskip("timm.data").ImageNetInfo()
    probabilities = PatchEncoder().probabilities([CAT, COFFEE])
    assert probabilities.shape == (2, 1000)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-3)
    cat, coffee = (infos.index_to_description(int(p.argmax())).lower() for p in probabilities)
    assert "cat" in cat
    assert "espresso" in coffee or "coffee" in coffee


def test_the_network_is_built_once_per_process():
    assert load(place("cpu")) is load(place("cpu"))


@pytest.mark.parametrize(("strides", "channels"), [((8,), 40), ((8, 16), 152), ((4, 32), 344), ((16, 8), 152)])
def test_shapes_follow_the_picture(strides, channels):
    encoder = PatchEncoder(side=96, strides=strides)
    features = encoder.encode([COFFEE])
    assert features.dtype == torch.float32
    assert tuple(features.shape) == (1, *encoder.grid(*COFFEE.shape[:2]), channels)
    assert torch.isfinite(features).all()


def test_extreme_shapes_are_handled():
    encoder = PatchEncoder(side=64)
    for shape in ((1, 1, 3), (5, 400, 3), (2000, 7, 3)):
        features = encoder.encode([np.full(shape, 90, np.uint8)])
        assert torch.isfinite(features).all()
        assert encoder.to_pixels(np.ones(features.shape[1:3], np.float32), *shape[:2]).shape == shape[:2]


def test_a_picture_alone_and_in_a_batch_is_the_same():
    encoder = PatchEncoder(side=96, device="cpu")
    together = encoder.encode([COFFEE, COFFEE[::-1], COFFEE[:, ::-1]])
    assert torch.equal(together[1], encoder.encode([COFFEE[::-1]])[0])


def test_features_do_not_change_the_picture_and_take_views():
    before = COFFEE.copy()
    PatchEncoder(side=64).encode([COFFEE[:, ::-1]])
    assert np.array_equal(before, COFFEE)


def test_a_cell_looks_where_centres_says():
    """The change that a blob makes in the features is centred where CENTRES places it."""
    net, strides, rng = _folded(), (4, 8, 16, 32), np.random.default_rng(0)
    crops = [COFFEE, pictures.astronaut(), pictures.rocket(), np.repeat(pictures.brick()[..., None], 3, axis=2)]
    x = torch.stack([torch.from_numpy(c[:256, :256].copy()).permute(2, 0, 1) for c in crops]).float().sub(127).div(128)
    offsets: dict[int, list[float]] = {stride: [] for stride in strides}
    with torch.inference_mode():
        plain = net.taps(x, strides)
        for row, column in rng.integers(96, 160, (12, 2)):
            blob = x.clone()
            blob[:, :, row - 4 : row + 4, column - 4 : column + 4] = torch.from_numpy(
                rng.uniform(-1, 1, (4, 3, 1, 1)).astype(np.float32)
            )
            for stride, before, after in zip(strides, plain, net.taps(blob, strides), strict=True):
                change = (after - before).square().sum(1)
                for middle, profile in ((row, change.sum(2)), (column, change.sum(1))):
                    found = (profile * torch.arange(profile.shape[1])).sum(1) / profile.sum(1)
                    offsets[stride] += [middle - 0.5 - stride * float(cell) for cell in found]
    for stride in strides:
        assert abs(np.mean(offsets[stride]) - CENTRES[stride]) < 0.15 * stride


def test_a_blob_in_the_map_lands_on_its_pixels():
    encoder = PatchEncoder(side=320)
    maps = np.zeros((40, 40), np.float32)
    maps[10, 20] = 1
    heat = encoder.to_pixels(maps, 320, 320)
    assert np.unravel_index(heat.argmax(), heat.shape) == (83, 163)  # 8 · cell + 3.4
    assert encoder.to_pixels(np.ones((3, 40, 40), np.float32), 450, 451).shape == (3, 450, 451)
    assert np.allclose(encoder.to_pixels(np.ones((40, 40), np.float32), 450, 451), 1)


@pytest.mark.parametrize(
    ("pictures_", "message"),
    [
        ([], "share one grid"),
        ([np.zeros((64, 64, 3), np.uint8), np.zeros((64, 256, 3), np.uint8)], "share one grid"),
        ([np.zeros((64, 64), np.uint8)], "expected shape"),
        ([np.zeros((64, 64, 3), np.float32)], "float32"),
    ],
)
def test_bad_pictures_are_refused(pictures_, message):
    with pytest.raises(BadInput, match=message):
        PatchEncoder(side=64).encode(pictures_)


@pytest.mark.parametrize("values", [{"strides": ()}, {"strides": (8, 8)}, {"strides": (3,)}, {"side": 8}, {"backbone": "vit"}])
def test_bad_settings_are_refused(values):
    with pytest.raises(BadInput):
        PatchEncoder(**values)


def test_wrong_weights_are_refused():
    state = torch.load(locate(EFFICIENTNET_LITE0), weights_only=True)
    net = EfficientNetLite0().requires_grad_(False)
    with pytest.raises(BadInput, match="do not fit"):
        net.fold(dict(list(state.items())[:-1]))
    with pytest.raises(BadInput, match="too many"):
        net.fold({**state, "extra": torch.zeros(1)})


def test_importing_the_encoder_loads_no_torch():
    code = "import sys, models.patches as p; p.PatchEncoder(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_embedded_networks_numbers_stay_where_fp16_holds_them():
    """On CUDA its features are made in fp16, which ends at 65,504."""
    import torch

    from models.device import Placement, place
    from models.patches import _to_input

    net, largest = load(place("cpu/fp32")), [0.0]

    def watch(module, given, out):
        if torch.is_tensor(out):
            largest[0] = max(largest[0], float(out.abs().max()))

    handles = [module.register_forward_hook(watch) for module in net.modules()]
    rng = np.random.default_rng(0)
    checked = 255 * ((np.indices((128, 128)) // 8).sum(0) % 2)[..., None].repeat(3, 2)
    try:
        for picture in (rng.integers(0, 256, (128, 128, 3)), 255 * rng.integers(0, 2, (128, 128, 3)), checked, np.zeros((128, 128, 3)),
                        np.full((128, 128, 3), 255)):  # fmt: skip
            with torch.inference_mode():
                net.taps(_to_input(torch.from_numpy(picture.astype(np.uint8)[None]), torch.float32), (4, 8, 16, 32))
    finally:
        for handle in handles:
            handle.remove()
    assert 1 < largest[0] < 1000
    cuda = torch.device("cuda")
    assert Placement(cuda, torch.bfloat16, "").near_one is torch.float16
    assert Placement(cuda, torch.bfloat16, "", True).near_one is torch.bfloat16
    assert Placement(cuda, torch.float32, "", True).near_one is torch.float32
    assert Placement(torch.device("cpu"), torch.bfloat16, "").near_one is torch.bfloat16
