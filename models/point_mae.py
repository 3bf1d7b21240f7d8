"""Point-MAE: a transformer over groups of points, as features of a scan's shape for those who have its weights.

Source: Pang et al., Masked Autoencoders for Point Cloud Self-supervised Learning (ECCV 2022): each group, relative to its centre, goes
through a small PointNet to one token; the centre's position is added before every block. As in M3DM and MuSc-V2, tokens are read after
several blocks, each through the final norm. The published checkpoint (384 channels, 12 blocks) is not shipped; its layout is read here.

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
_PARTS = ("encoder.", "pos_embed.", "blocks.", "norm.")
_NEEDED = (
    "encoder.first_conv.0.weight",
    "encoder.second_conv.3.weight",
    "pos_embed.0.weight",
    "blocks.0.attn.qkv.weight",
    "norm.weight",
)


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
        self.depth = len({name.split(".")[1] for name in weights if name.startswith("blocks.")})
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
            x = self._group_tokens(torch.from_numpy(np.asarray(groups, dtype=np.float32)))
            position = self._linear("pos_embed.0", torch.from_numpy(np.asarray(centres, dtype=np.float32)))
            position = self._linear("pos_embed.2", torch.nn.functional.gelu(position))
            found = []
            for number in range(self.depth):
                x = self._block(f"blocks.{number}", x + position)
                if number in read:
                    found.append(self._norm("norm", x))
        return found

    def _group_tokens(self, groups: torch.Tensor) -> torch.Tensor:
        """(G, M, 3) → (G, C), a PointNet with two rounds of looking at the whole group."""
        import torch

        inside = self._pointwise("encoder.first_conv", groups)
        whole = inside.amax(dim=1, keepdim=True).expand_as(inside)
        return self._pointwise("encoder.second_conv", torch.cat([whole, inside], dim=2)).amax(dim=1)

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
    found = found.get("base_model", found) if isinstance(found, dict) else {}
    weights = _named({str(name): value for name, value in found.items() if isinstance(value, torch.Tensor)})
    missing = [name for name in _NEEDED if name not in weights]
    if missing:
        raise BadInput(
            f"Point-MAE weights {path!r}: expected the encoder's weights, among them {missing[0]!r}; got {len(found)} others."
        )
    try:
        made = PointMae(weights)
        made.tokens(np.zeros((2, 4, 3)), np.zeros((2, 3)), layers=1)
    except (KeyError, RuntimeError) as error:
        raise BadInput(f"Point-MAE weights {path!r}: they do not fit together ({error}).") from error
    return made


def _named(found: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The encoder's weights by their names in it: without "module.", "MAE_encoder." and the second "blocks."; the decoder's left out."""
    weights = {}
    for name, value in found.items():
        short = name.removeprefix("module.")
        if short.startswith(("MAE_decoder.", "decoder_", "mask_token", "increase_dim.")):
            continue
        short = short.removeprefix("MAE_encoder.").replace("blocks.blocks.", "blocks.", 1)
        if short.startswith(_PARTS):
            weights[short] = value
    return weights


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
