"""Point-MAE: a transformer over groups of points, as features of a scan's shape for those who have its weights.

Source: Pang et al., Masked Autoencoders for Point Cloud Self-supervised Learning (ECCV 2022): each group, relative to its centre, goes
through a small PointNet to one token; the centre's position is added before every block. As in M3DM and MuSc-V2, tokens are read after
several blocks, each through the final norm. The published checkpoint (384 channels, 12 blocks) is not shipped; its layout is read here.
That one has no class token; where weights have one (fine-tuned ones do), it takes part and its own token is left out.
Ours: batch norms as at the end of training, so that a scan always has the same features (MuSc-V2's code has them follow each scan).

Axes and units: groups (G, M, 3) in the scan's unit, relative to their centres (G, 3); tokens (G, C) float32. The network was trained on
shapes scaled into a unit sphere, so `scaled` brings a scan there first.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput

if TYPE_CHECKING:
    import torch

HEAD_CHANNELS = 64
"""Channels of an attention head: 6 heads at 384 channels."""
GROUPS_AT_ONCE = 64
"""Keeps the largest table, groups × points × 512 channels, at 17 MB for groups of 128 points."""
_WRAPPERS = ("module.", "base_model.", "MAE_encoder.")
_PARTS = ("encoder.first_conv.", "encoder.second_conv.", "pos_embed.", "blocks.", "norm.", "cls_token", "cls_pos")


def scaled(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (N, 3) moved to their middle and scaled into a unit sphere.

    >>> scaled(np.array([[0.0, 0, 0], [4, 0, 0]])).tolist()
    [[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    """
    middle = points - points.mean(axis=0)
    reach = float(np.linalg.norm(middle, axis=1).max()) if len(points) else 0.0
    return np.asarray(middle / (reach or 1.0))


class PointMae:
    """The encoder, from its weights by name.

    >>> made = PointMae(_tiny(channels=64, depth=4))
    >>> tokens = made.tokens(np.zeros((5, 8, 3)), np.zeros((5, 3)), layers=2)
    >>> [tuple(t.shape) for t in tokens]
    [(5, 64), (5, 64)]
    """

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        self.weights = {name: tensor.float() for name, tensor in weights.items()}
        self.channels = int(weights["norm.weight"].shape[0])
        self.depth = _depth(weights)
        self.heads = max(1, self.channels // HEAD_CHANNELS)

    def tokens(self, groups: NDArray[np.float64], centres: NDArray[np.float64], *, layers: int) -> list[torch.Tensor]:
        """Tokens (G, C) after `layers` blocks, evenly spread and ending with the last (of 12 blocks and 3 layers: 4th, 8th, 12th).

        Raises:
            BadInput: more layers than blocks.
        """
        import torch

        if not 1 <= layers <= self.depth:
            raise BadInput(f"layers {layers!r}: expected 1 to {self.depth}, the blocks of these Point-MAE weights.")
        read = {(number + 1) * self.depth // layers - 1 for number in range(layers)}
        with torch.inference_mode():
            inside = torch.from_numpy(np.asarray(groups, dtype=np.float32))
            starts = range(0, max(1, len(inside)), GROUPS_AT_ONCE)
            x = torch.cat([self._group_tokens(inside[start : start + GROUPS_AT_ONCE]) for start in starts])
            position = self._linear("pos_embed.0", torch.from_numpy(np.asarray(centres, dtype=np.float32)))
            position = self._linear("pos_embed.2", torch.nn.functional.gelu(position))
            found = []
            first = 0
            if "cls_token" in self.weights:
                x, position, first = self._led("cls_token", x), self._led("cls_pos", position), 1
            for number in range(self.depth):
                x = self._block(f"blocks.{number}", x + position)
                if number in read:
                    found.append(self._norm("norm", x)[first:])
        return found

    def _group_tokens(self, groups: torch.Tensor) -> torch.Tensor:
        """(G, M, 3) → (G, C), a PointNet with two rounds of looking at the whole group."""
        import torch

        inside = self._pointwise("encoder.first_conv", groups)
        whole = inside.amax(dim=1, keepdim=True).expand_as(inside)
        return self._pointwise("encoder.second_conv", torch.cat([whole, inside], dim=2)).amax(dim=1)

    def _led(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """(G, C) → (1 + G, C), the class token's row first."""
        import torch

        return torch.cat([self.weights[name].view(1, self.channels), x])

    def _pointwise(self, at: str, x: torch.Tensor) -> torch.Tensor:
        """Two layers on each point, with a batch norm as it was at the end of training between them."""
        import torch
        from torch.nn.functional import batch_norm

        w = self.weights
        first = x @ w[f"{at}.0.weight"][:, :, 0].T + w[f"{at}.0.bias"]
        normal = batch_norm(
            first.flatten(0, 1), w[f"{at}.1.running_mean"], w[f"{at}.1.running_var"], w[f"{at}.1.weight"], w[f"{at}.1.bias"]
        ).view_as(first)
        return torch.relu(normal) @ w[f"{at}.3.weight"][:, :, 0].T + w[f"{at}.3.bias"]

    def _block(self, at: str, x: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import gelu, scaled_dot_product_attention

        count, channels = x.shape
        qkv = self._linear(f"{at}.attn.qkv", self._norm(f"{at}.norm1", x)).view(count, 3, self.heads, channels // self.heads)
        q, k, v = qkv.permute(1, 2, 0, 3)
        mixed = scaled_dot_product_attention(q[None], k[None], v[None])[0].transpose(0, 1).reshape(count, channels)
        x = x + self._linear(f"{at}.attn.proj", mixed)
        return x + self._linear(f"{at}.mlp.fc2", gelu(self._linear(f"{at}.mlp.fc1", self._norm(f"{at}.norm2", x))))

    def _linear(self, at: str, x: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import linear

        return linear(x, self.weights[f"{at}.weight"], self.weights.get(f"{at}.bias"))

    def _norm(self, at: str, x: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import layer_norm

        return layer_norm(x, (self.channels,), self.weights[f"{at}.weight"], self.weights[f"{at}.bias"])


@lru_cache(maxsize=1)
def load(path: str) -> PointMae:
    """The encoder of a checkpoint: the published one (.pth, its weights under "base_model"), a plain one, or .safetensors.

    Raises:
        BadInput: no such file, no such weights in it, or nothing that can be read without running what the file says.
    """
    import torch

    file = Path(path)
    if not file.is_file():
        raise BadInput(f"Point-MAE weights {path!r}: no such file; give the path of the published checkpoint, or use 'angles'.")
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            found: Any = load_file(file)
        else:
            found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle raise many kinds on files that are no checkpoint
        raise BadInput(
            f"Point-MAE weights {path!r}: expected a checkpoint (.pth or .safetensors), got a file that is none."
        ) from error
    found = found.get("base_model", found) if isinstance(found, dict) else found
    if not isinstance(found, dict):
        raise BadInput(f"Point-MAE weights {path!r}: expected tensors by name, got {type(found).__name__}.")
    weights = _named({str(name): value for name, value in found.items() if isinstance(value, torch.Tensor)})
    missing = [name for name in _needed(_depth(weights), classed="cls_token" in weights) if name not in weights]
    if missing:
        raise BadInput(
            f"Point-MAE weights {path!r}: expected the encoder's weights, got {len(found)} entries without {missing[0]!r} "
            f"({len(missing)} missing)."
        )
    try:
        made = PointMae(weights)
        tokens = made.tokens(np.zeros((2, 4, 3)), np.zeros((2, 3)), layers=1)[0]
    except (IndexError, RuntimeError) as error:
        said = str(error).partition("\n")[0]
        raise BadInput(f"Point-MAE weights {path!r}: expected tensors of matching sizes, got others ({said}).") from error
    if not bool(torch.isfinite(tokens).all()):
        raise BadInput(f"Point-MAE weights {path!r}: expected finite numbers, got some that are not.")
    return made


def _named(found: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The encoder's weights by their names in it, without what wraps it and the second "blocks."; all others are left out.

    >>> names = "module.MAE_encoder.blocks.blocks.0.norm1.bias", "MAE_decoder.blocks.0.norm1.bias", "base_model.norm.bias"
    >>> sorted(_named(dict.fromkeys(names)))
    ['blocks.0.norm1.bias', 'norm.bias']
    """
    weights = {}
    for name, value in found.items():
        short = name
        while wrapper := next((some for some in _WRAPPERS if short.startswith(some)), ""):
            short = short.removeprefix(wrapper)
        short = short.replace("blocks.blocks.", "blocks.", 1)
        if short.startswith(_PARTS):
            weights[short] = value
    return weights


def _depth(weights: Mapping[str, torch.Tensor]) -> int:
    """How many blocks the weights have."""
    return len({name.split(".")[1] for name in weights if name.startswith("blocks.")})


def _needed(depth: int, *, classed: bool) -> list[str]:
    """Names of all weights of an encoder with `depth` blocks, at least one, and with a class token where `classed`.

    >>> len(_needed(12, classed=False))
    154
    """
    layers = [f"encoder.{part}.{at}" for part in ("first_conv", "second_conv") for at in (0, 1, 3)]
    layers += ["pos_embed.0", "pos_embed.2", "norm"]
    for block in range(max(1, depth)):
        layers += [f"blocks.{block}.{part}" for part in ("norm1", "norm2", "attn.proj", "mlp.fc1", "mlp.fc2")]
    names = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    names += [f"blocks.{block}.attn.qkv.weight" for block in range(max(1, depth))]
    names += [f"encoder.{part}.1.running_{kind}" for part in ("first_conv", "second_conv") for kind in ("mean", "var")]
    return [*names, "cls_token", "cls_pos"] if classed else names


def _tiny(*, channels: int, depth: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights of a small network, by their short names."""
    import torch

    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {"pos_embed.0": (128, 3), "pos_embed.2": (channels, 128), "norm": (channels,)}
    for part, (a, b, c) in {"first_conv": (3, 128, 256), "second_conv": (512, 512, channels)}.items():
        shapes |= {f"encoder.{part}.0": (b, a, 1), f"encoder.{part}.1": (b,), f"encoder.{part}.3": (c, b, 1)}
    for block in range(depth):
        at = f"blocks.{block}"
        shapes |= {f"{at}.norm1": (channels,), f"{at}.norm2": (channels,), f"{at}.attn.qkv": (3 * channels, channels),
                   f"{at}.attn.proj": (channels, channels), f"{at}.mlp.fc1": (4 * channels, channels),
                   f"{at}.mlp.fc2": (channels, 4 * channels)}  # fmt: skip
    weights = {}
    for name, shape in sorted(shapes.items()):
        scale = 1.0 if len(shape) == 1 else 1 / shape[1] ** 0.5
        weights[f"{name}.weight"] = rng.standard_normal(shape) * scale * (0.1 if len(shape) == 1 else 1.0) + (len(shape) == 1)
        if not name.endswith("qkv"):
            weights[f"{name}.bias"] = 0.1 * rng.standard_normal(shape[0])
        if name.endswith("conv.1"):
            weights[f"{name}.running_mean"] = 0.1 * rng.standard_normal(shape[0])
            weights[f"{name}.running_var"] = 1 + 0.1 * rng.random(shape[0])
    return {name: torch.from_numpy(np.asarray(value, dtype=np.float32)) for name, value in weights.items()}
