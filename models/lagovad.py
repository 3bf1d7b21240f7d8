"""LaGoVAD's network: how abnormal each moment of a video is under definitions in words.

Source: Liu et al., LaGoVAD (ICLR 2026, arXiv 2503.13160), sizes and order as there: a rotary transformer that looks 12 units back and
ahead, two layers in which words and moments attend to each other (both to what came into the layer), one score from the moments alone and
one from the fused ones mixed by a learned weight, and cosines of moments and definitions. Theirs takes CLIP ViT-B/16 (512 numbers per
frame and per text); ours takes any widths, brought to the network's by a linear layer each where they differ, and may be smaller.
In class-name mode a learned vector is added to the definitions: their 32 learned words need CLIP's text tower.

Axes: units (B, T, C), `given` (B, T) bool, definitions (N, D) or (B, N, D), the normal one first; logits (B, T), similarities (B, T, N).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import BadInput

REACH = 12
"""Units that a moment looks back and ahead in each temporal layer."""
LAYERS, HEADS, FUSION_HEADS, KERNEL = 2, 4, 8, 9
MIX, SHARPNESS, TEMPERATURE = 0.25, 10.0, 0.2
"""First values: the moments' own score weighs sigmoid(10 · 0.25) = 0.92, similarities are divided by 0.2."""


class Judged(NamedTuple):
    """Logits (B, T), similarities (B, T, N), and the moments (B, T, W) before words came in."""

    logits: Tensor
    similar: Tensor
    moments: Tensor


class Rotary(nn.Module):
    """Self-attention with rotary positions (Su et al., RoFormer, 2021) within a window."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.enter, self.leave = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.first, self.second = nn.LayerNorm(width, 1e-12), nn.LayerNorm(width, 1e-12)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor, given: Tensor) -> Tensor:
        """(B, T, W) of (B, T, W), padding left out."""
        batch, length, width = x.shape
        q, k, v = (part.reshape(batch, length, self.heads, -1).transpose(1, 2) for part in self.enter(x).chunk(3, dim=-1))
        place = torch.arange(length, device=x.device)
        near = (place[:, None] - place[None]).abs() <= REACH
        seen = near[None, None] & given[:, None, None] | torch.eye(length, dtype=torch.bool, device=x.device)
        mixed = F.scaled_dot_product_attention(turned(q), turned(k), v, attn_mask=seen)
        x = self.first(x + self.drop(self.leave(mixed.transpose(1, 2).reshape(batch, length, width))))
        return cast(Tensor, self.second(x + self.drop(self.narrow(F.gelu(self.wide(x))))))


def turned(x: Tensor) -> Tensor:
    """Neighbouring numbers of (…, T, H) turned in pairs by an angle that grows with the place: products then depend on distances alone.

    >>> a, b = torch.ones(1, 8, 4), torch.ones(1, 8, 4)
    >>> products = turned(a) @ turned(b).transpose(-1, -2)
    >>> bool(torch.allclose(products[0, 0, 2], products[0, 5, 7], atol=1e-5))
    True
    """
    half = x.shape[-1] // 2
    rates = 10_000.0 ** -(torch.arange(half, device=x.device) / half)
    angles = torch.arange(x.shape[-2], device=x.device)[:, None] * rates
    even, odd = x[..., 0::2], x[..., 1::2]
    both = even * angles.cos() - odd * angles.sin(), odd * angles.cos() + even * angles.sin()
    return torch.stack(both, dim=-1).flatten(-2)


class Fusion(nn.Module):
    """Definitions attend to moments and moments to definitions, each to what came into the layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.to_moments = nn.MultiheadAttention(width, heads, dropout=0.1, batch_first=True)
        self.to_words = nn.MultiheadAttention(width, heads, dropout=0.1, batch_first=True)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.feeds = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(0.1), nn.Linear(4 * width, width)) for _ in range(2)
        )

    def forward(self, words: Tensor, moments: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """Definitions (B, N, W) and moments (B, T, W) that have looked at each other."""
        looked, _ = self.to_moments(words, moments, moments, key_padding_mask=~given, need_weights=False)
        read, _ = self.to_words(moments, words, words, need_weights=False)
        words, moments = self.norms[0](words + looked), self.norms[1](moments + read)
        return self.norms[2](words + self.feeds[0](words)), self.norms[3](moments + self.feeds[1](moments))


class LaGoVadNetwork(nn.Module):
    """Moments and definitions to scores.

    Args:
        channels: numbers C per unit of video.
        text_channels: numbers D per definition.
        width: W; 512 as published.
        seed: of the first weights.

    Raises:
        BadInput: a width that the heads do not divide.

    >>> net = LaGoVadNetwork(20, 12, width=32).eval()
    >>> judged = net(torch.rand(2, 30, 20), torch.ones(2, 30, dtype=torch.bool), torch.rand(3, 12))
    >>> judged.logits.shape, judged.similar.shape
    (torch.Size([2, 30]), torch.Size([2, 30, 3]))
    """

    def __init__(self, channels: int, text_channels: int, *, width: int = 512, seed: int = 0) -> None:
        super().__init__()
        if min(channels, text_channels) < 1 or width < FUSION_HEADS or width % (2 * FUSION_HEADS):
            raise BadInput(
                f"channels={channels!r}, text_channels={text_channels!r}, width={width!r}: expected numbers from 1 and a width that "
                f"{2 * FUSION_HEADS} divides."
            )
        self.channels, self.text_channels, self.width = channels, text_channels, width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.enter = nn.Identity() if channels == width else nn.Linear(channels, width)
            self.read = nn.Identity() if text_channels == width else nn.Linear(text_channels, width)
            self.name = nn.Parameter(torch.zeros(text_channels))
            self.temporal = nn.ModuleList(Rotary(width, HEADS) for _ in range(LAYERS))
            self.fusion = nn.ModuleList(Fusion(width, FUSION_HEADS) for _ in range(LAYERS))
            self.own, self.fused = nn.Conv1d(width, 1, KERNEL), nn.Conv1d(width, 1, KERNEL)
        self.mix = nn.Parameter(torch.tensor(MIX))
        self.temperature = nn.Parameter(torch.tensor(TEMPERATURE))

    def words(self, definitions: Tensor, *, names: bool) -> Tensor:
        """Definitions (…, N, D) as the network's vectors (…, N, W); `names` for names of classes instead of sentences."""
        return cast(Tensor, self.read(definitions + self.name if names else definitions))

    def forward(self, units: Tensor, given: Tensor, definitions: Tensor, *, names: bool = False) -> Judged:
        """Score units under definitions.

        Raises:
            BadInput: shapes that do not fit each other or the network.
        """
        if units.ndim != 3 or units.shape[-1] != self.channels or given.shape != units.shape[:2]:
            raise BadInput(
                f"units {tuple(units.shape)}, given {tuple(given.shape)}: expected (B, T, {self.channels}) and (B, T)."
            )
        if definitions.ndim not in (2, 3) or definitions.shape[-1] != self.text_channels or definitions.shape[-2] < 1:
            raise BadInput(f"definitions {tuple(definitions.shape)}: expected (N, {self.text_channels}), the normal one first.")
        start = self.enter(units)
        moments = start
        for layer in self.temporal:
            moments = layer(moments, given)
        moments = start + moments
        read = self.words(definitions, names=names)
        words = read if read.ndim == 3 else read.expand(len(units), -1, -1)
        fused = moments
        for layer in self.fusion:
            words, fused = layer(words, fused, given)
        weight = torch.sigmoid(SHARPNESS * self.mix)
        logits = weight * _along(self.own, moments, given) + (1 - weight) * _along(self.fused, fused, given)
        similar = F.normalize(fused, dim=-1) @ F.normalize(words, dim=-1).transpose(1, 2) / self.temperature
        return Judged(logits, similar, moments)


def _along(convolution: nn.Conv1d, moments: Tensor, given: Tensor) -> Tensor:
    """A convolution along time (B, T); ends are repeated, and padding is filled with the last real moment, as if it were the end."""
    last = given.sum(dim=1).clamp_min(1) - 1
    place = torch.minimum(torch.arange(moments.shape[1], device=moments.device)[None], last[:, None])
    real = moments.gather(1, place[..., None].expand_as(moments))
    half = convolution.kernel_size[0] // 2
    padded = F.pad(real.transpose(1, 2), (half, half), mode="replicate")
    return cast(Tensor, convolution(padded)).squeeze(1)


def top_mean(values: Tensor, given: Tensor, part: int = 16) -> Tensor:
    """Mean (B, …) of the highest max(1, length // part) of values (B, T, …) along time, padding left out.

    >>> top_mean(torch.tensor([[1.0, 3.0, 9.0]]), torch.tensor([[True, True, False]])).tolist()
    [3.0]
    """
    shown = given.reshape(*given.shape, *[1] * (values.ndim - 2))
    ranked = values.masked_fill(~shown, -math.inf).sort(dim=1, descending=True).values
    counts = (given.sum(dim=1) // part).clamp_min(1)
    kept = (torch.arange(values.shape[1], device=values.device)[None] < counts[:, None]).reshape(shown.shape)
    total = ranked.masked_fill(~kept, 0.0).sum(dim=1)
    return total / counts.reshape(-1, *[1] * (values.ndim - 2))


_TEMPORAL = (
    ("attention.output.dense", "leave"), ("attention.output.LayerNorm", "first"), ("intermediate.dense", "wide"),
    ("output.dense", "narrow"), ("output.LayerNorm", "second"),
)  # fmt: skip
_FUSION = (
    ("text_attn", "to_moments"), ("vis_attn", "to_words"), ("text_norm1", "norms.0"), ("vis_norm1", "norms.1"), ("text_norm2", "norms.2"),
    ("vis_norm2", "norms.3"), ("text_ffn", "feeds.0"), ("vis_ffn", "feeds.1"),
)  # fmt: skip


def released(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the authors' checkpoint under this network's names; those of CLIP and of its learned words are left out.

    Raises:
        BadInput: weights are missing.
    """
    try:
        found = {
            "mix": state["bin_head.adp_alpha"].reshape(()), "temperature": state["sim_head.sim_head.temperature"].reshape(()),
        }  # fmt: skip
        for layer in range(LAYERS):
            theirs, ours = f"temporal_encoder.layer.{layer}.", f"temporal.{layer}."
            for kind in ("weight", "bias"):
                parts = [state[f"{theirs}attention.self.{name}.{kind}"] for name in ("query", "key", "value")]
                found[f"{ours}enter.{kind}"] = torch.cat(parts)
                found |= {f"{ours}{own}.{kind}": state[f"{theirs}{name}.{kind}"] for name, own in _TEMPORAL}
            for name, own in _FUSION:
                prefix = f"fusion.layers.{layer}.{name}."
                found |= {
                    f"fusion.{layer}.{own}.{key.removeprefix(prefix)}": one
                    for key, one in state.items()
                    if key.startswith(prefix)
                }
        for name, own in (("bin_head", "own"), ("bin_fused_head", "fused")):
            found |= {f"{own}.{kind}": state[f"bin_head.{name}.convs.0.{kind}"] for kind in ("weight", "bias")}
    except KeyError as error:
        raise BadInput(f"expected a checkpoint of LaGoVAD's released configuration, {error.args[0]!r} is missing.") from error
    return found
