"""Networks behind one interface: maps of patch features at chosen depths, for pictures of any size.

The embedded EfficientNet-Lite0, timm's vision transformers (DINO, DINOv2 with and without registers, CLIP) and timm's convolutional
networks. Tokens of a transformer become a map without its prefix tokens (class, registers); position embeddings are learnt for
one grid and brought to another one bicubically (Dosovitskiy et al., ICLR 2021), so that the trained grid is met exactly. A tap is a
stride (convolutional) or a 0-based block, with or without the network's final norm (transformers). Nothing runs deeper than the
deepest tap.

Axes: pictures (N, H, W, 3) uint8 RGB on the network's device, H and W multiples of `Layout.multiple`; maps (N, C, H/s, W/s) float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from core.errors import BadInput
from models.backbone_weights import EMBEDDED, Recipe, known, recipe, weight_file

if TYPE_CHECKING:
    import torch

    from models.device import Placement

HEADS = ("head.", "fc.", "classifier.", "fc_norm.", "attn_pool.")
"""Beginnings of tensor names that a network without its classifier has no use for."""
KEPT = 2
"""Networks kept in memory per process, beside the embedded one."""


@dataclass(frozen=True)
class Layout:
    """Where a network's cells lie: `strides` (pixels per cell) that can be tapped, the `multiple` both edges of a picture must have,
    `depth` blocks (0: convolutional), and per stride the pixel that cell 0 looks at.
    """

    strides: tuple[int, ...]
    multiple: int
    depth: int
    centres: Mapping[int, float]

    @property
    def transformer(self) -> bool:
        """True: tapped by blocks; False: tapped by strides."""
        return self.depth > 0


@dataclass(frozen=True)
class Taps:
    """What is read from a network: `strides` of a convolutional one, or `blocks` of a transformer, after its final norm or before."""

    strides: tuple[int, ...] = ()
    blocks: tuple[int, ...] = ()
    final_norm: bool = False


class Backbone(Protocol):
    """A network whose depths can be read."""

    layout: Layout

    def maps(self, pictures: torch.Tensor, taps: Taps) -> list[torch.Tensor]:
        """Maps (N, C, h, w) float32 of pictures (N, H, W, 3) uint8, in the order of the taps."""
        ...


class EmbeddedBackbone:
    """EfficientNet-Lite0, tapped by strides 4, 8, 16, 32; its cells' centres were measured (`models.efficientnet_lite.CENTRES`)."""

    def __init__(self, placement: Placement) -> None:
        from models.efficientnet_lite import load

        self.layout = layout(EMBEDDED)
        self._net, self._dtype = load(placement), placement.near_one

    def maps(self, pictures: torch.Tensor, taps: Taps) -> list[torch.Tensor]:
        """Maps (N, C, h, w) float32, in the order of `taps.strides`."""
        from models.patches import _to_input

        return [tap.float() for tap in self._net.taps(_to_input(pictures, self._dtype), taps.strides)]


class TimmBackbone:
    """A network built by timm, a vision transformer or a convolutional one.

    Args:
        net: the network, in evaluation mode; a transformer must have been made with `dynamic_img_size=True`.
        mean: of (R, G, B) in 0–1, by which pictures are normalised.
        std: of the same.

    Raises:
        BadInput: the network is neither, as far as its attributes tell.
    """

    def __init__(self, net: Any, *, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        import torch

        self.net = net
        self.layout = _layout_of(net)
        first = next(net.parameters())
        self._dtype: torch.dtype = first.dtype
        # (x / 255 − mean) / std in one product and one sum
        self._scale = 1 / (255 * torch.tensor(std, device=first.device))
        self._shift = -torch.tensor(mean, device=first.device) / torch.tensor(std, device=first.device)

    def maps(self, pictures: torch.Tensor, taps: Taps) -> list[torch.Tensor]:
        """Maps (N, C, h, w) float32, in the order of the taps.

        Raises:
            BadInput: a stride or block that this network does not have.
        """
        x = (pictures.float() * self._scale + self._shift).permute(0, 3, 1, 2).to(self._dtype)
        indices = self._indices(taps)
        more = {"norm": taps.final_norm} if self.layout.transformer else {}
        # timm gives them in the order of depth, each once
        found = self.net.forward_intermediates(x, indices=sorted(set(indices)), stop_early=True, intermediates_only=True, **more)
        by_index = dict(zip(sorted(set(indices)), found, strict=True))
        return [by_index[index].float() for index in indices]

    def _indices(self, taps: Taps) -> list[int]:
        if self.layout.transformer:
            return [_block(block, self.layout.depth) for block in taps.blocks]
        last = {int(info["reduction"]): index for index, info in enumerate(self.net.feature_info)}
        if strange := set(taps.strides) - set(last):
            raise BadInput(f"strides {sorted(strange)}: this network has {tuple(last)}.")
        return [last[stride] for stride in taps.strides]


def _block(block: int, depth: int) -> int:
    if not -depth <= block < depth:
        raise BadInput(f"block {block}: expected 0 to {depth - 1} (or −{depth} to −1, counted from the end).")
    return block % depth


@cache
def layout(name: str) -> Layout:
    """The layout of the backbone `name`; a known one needs no weights and no torch for this.

    Raises:
        BadInput: the backbone is given by a path or "owner/name" and is not on this machine, or is no network that can be tapped.

    >>> layout("dinov2_vits14").multiple, layout("dinov2_vits14").centres[14]
    (14, 6.5)
    """
    row = known(name)
    if name == EMBEDDED:
        from models.efficientnet_lite import CENTRES

        return Layout(tuple(CENTRES), max(CENTRES), 0, CENTRES)
    if row is not None and row.patch:
        depth = 24 if "_large_" in row.architecture else 12
        return Layout((row.patch,), row.patch, depth, {row.patch: (row.patch - 1) / 2})
    if row is not None:
        return _convolutional((2, 4, 8, 16, 32))
    import torch

    with torch.device("meta"):
        return _layout_of(_build(recipe(name), name))


def _convolutional(strides: tuple[int, ...]) -> Layout:
    """Cells look at the middle of their block of pixels: with symmetric padding the geometry says block's first pixel, and training
    moves the weight towards the middle (measured on the embedded network, where it undoes most of such a shift).
    """
    return Layout(strides, max(strides), 0, {stride: (stride - 1) / 2 for stride in strides})


def _layout_of(net: Any) -> Layout:
    patches = getattr(net, "patch_embed", None)
    size = getattr(patches, "patch_size", None)
    if not hasattr(net, "forward_intermediates"):
        raise BadInput(f"backbone {type(net).__name__}: expected a network of timm whose depths can be read, this one's cannot.")
    if hasattr(net, "num_prefix_tokens") and hasattr(net, "blocks") and size is not None:
        if size[0] != size[1]:
            raise BadInput(f"backbone {type(net).__name__}: expected square patches, got {size[0]} × {size[1]} pixels.")
        edge = int(size[0])
        return Layout((edge,), edge, len(net.blocks), {edge: (edge - 1) / 2})
    info = getattr(net, "feature_info", None)
    if patches is not None or not info:
        raise BadInput(f"backbone {type(net).__name__}: expected a plain vision transformer or a convolutional network of timm.")
    return _convolutional(tuple(dict.fromkeys(int(row["reduction"]) for row in info)))


@lru_cache(maxsize=KEPT)
def _load_timm(name: str, placement: Placement) -> TimmBackbone:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    how, path = recipe(name), weight_file(name)
    net = _build(how, name)
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BadInput(f"backbone {name!r}: the weights in {str(path)!r} cannot be read ({error}); fetch them again.") from error
    try:
        state = _translated(state, net)
        found = net.load_state_dict(state, strict=False)
    except (RuntimeError, KeyError, ValueError, AttributeError) as error:
        reason = str(error).split("\n")[-1].strip()
        raise BadInput(f"backbone {name!r}: the weights in {path.name!r} do not fit {how.architecture} ({reason}).") from error
    strange = [key for key in found.unexpected_keys if not key.startswith(HEADS)]
    if found.missing_keys or strange:
        missing = f"{len(found.missing_keys)} tensors missing, {len(strange)} too many"
        raise BadInput(
            f"backbone {name!r}: the weights in {path.name!r} do not fit {how.architecture}: {missing}, "
            f"e.g. {(*found.missing_keys, *strange)[0]!r}."
        )
    net = net.requires_grad_(False).eval()
    net = net.to(device=placement.device, dtype=placement.dtype, memory_format=torch.channels_last)
    return TimmBackbone(net, mean=how.mean, std=how.std)


def _translated(state: dict[str, torch.Tensor], net: Any) -> dict[str, torch.Tensor]:
    """Tensor names as timm's: weights may come in the layout of OpenAI's and OpenCLIP's models or of the official DINOv2."""
    from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn

    return checkpoint_filter_fn(state, net) if isinstance(net, VisionTransformer) else state


def _build(how: Recipe, name: str) -> Any:
    """The network without classifier, with random weights."""
    import timm

    values = dict(how.model_args)
    # names like "hf-hub:…" would be downloaded, and a checkpoint_path unpickled
    if not timm.is_model(how.architecture) or values.keys() & {"pretrained", "checkpoint_path", "cache_dir", "num_classes"}:
        raise BadInput(
            f"backbone {name!r}: expected an architecture of timm {timm.__version__} with plain model_args, got "
            f"{how.architecture!r} with {sorted(values)}."
        )
    flexible = {"dynamic_img_size": True} if _is_transformer(how.architecture) else {}
    try:
        return timm.create_model(how.architecture, pretrained=False, num_classes=0, **{**values, **flexible})
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise BadInput(f"backbone {name!r}: {how.architecture} cannot be built with {values} ({error}).") from error


def _is_transformer(architecture: str) -> bool:
    """Whether timm's architecture is a plain vision transformer, the one that takes `dynamic_img_size`."""
    from timm.models import model_entrypoint
    from timm.models import vision_transformer as plain

    return bool(model_entrypoint(architecture).__module__ == plain.__name__)


def load(name: str, placement: Placement) -> Backbone:
    """The backbone `name` on this device in this number format, built once per process while few are in use.

    Raises:
        BadInput: its weights are not on this machine, damaged, or do not fit.
    """
    return _load_embedded(placement) if name == EMBEDDED else _load_timm(name, placement)


@cache
def _load_embedded(placement: Placement) -> EmbeddedBackbone:
    return EmbeddedBackbone(placement)
