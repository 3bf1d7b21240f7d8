"""A photo rebuilt from a few prototypes of itself: what they cannot rebuild is strange.

Source: Luo et al., Exploring Intrinsic Normal Prototypes within a Single Image (INP-Former, CVPR 2025), and its sequel INP-Former++
(2025). A few learned queries look at all patches F of a photo (cross-attention, one layer norm for both sides) and become its
prototypes P; a decoder whose blocks may look at P only, by rectified attention and with no way around it, rebuilds the patches:

    T' = T + MHA(LN₁T, LN₁F);  P = T' + MLP(LN₂T');  x₀ = MLP(F);  x ← Proj(ReLU(γ q kᵀ) v);  x ← x + MLP(LN₂x)

with q from LN₁x, k and v from LN₁P, q and k of length 1 in each head, γ learned per head. Losses: how far patches are from
prototypes (`coherence`, or `soft_coherence`) and how far they are from being rebuilt (`mined`), hard places weighing more.

Ours: F is the taps of a convolutional network side by side on one grid, each channel standardised on normal photos, where the
paper averages layers of a transformer, which have one width. A group of layers is a tap; the last blocks rebuild the shallowest.
There is no position embedding, so a photo may have any number of patches, and a training step may look at a few of them.

Axes: features (B, L, C) of B photos with L patches each, prototypes (B, M, C), distances 1 − cosine, 0 to 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import BadInput

WIDER = 2
"""Hidden width of every MLP, in widths. The paper's is 4, with four decoder blocks per group; half as wide with one block learns faster on
a convolutional network's features (magnetic_tile, synthetic defects in held-out photos: image AUROC .884, pixel AP .363 after 400 steps,
against .862 and .283 after 300 longer ones with 4 and two blocks)."""
EPSILON = 1e-8
"""Of the layer norms, as in the paper's code."""
HARDNESS = 3
"""Exponent by which hard places weigh more."""
TEMPERATURE = 0.1
"""Of the soft assignment of patches to prototypes."""
SPREAD, FARTHEST = 0.01, 0.03
"""Standard deviation and bound of the first weights."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Rebuilt:
    """Standardised patches (B, L, C), their prototypes (B, M, C), and per group the targets and what was rebuilt (B, L, C of the tap)."""

    patches: Tensor
    prototypes: Tensor
    targets: tuple[Tensor, ...]
    rebuilt: tuple[Tensor, ...]


class Extractor(nn.Module):
    """Prototypes of a photo: learned queries (M, C) that have looked at its patches."""

    def __init__(self, width: int, prototypes: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries = nn.Parameter(torch.zeros(prototypes, width))
        self.norm1, self.norm2 = nn.LayerNorm(width, EPSILON), nn.LayerNorm(width, EPSILON)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out, self.mlp = nn.Linear(width, width), _mlp(width)

    def forward(self, patches: Tensor) -> Tensor:
        """Prototypes (B, M, C) of patches (B, L, C)."""
        seen = self.norm1(patches)
        asked = self.norm1(self.queries).expand(len(patches), -1, -1)
        query, key, value = (_split(part, self.heads) for part in (self.query(asked), self.key(seen), self.value(seen)))
        found = _joined(F.scaled_dot_product_attention(query, key, value))
        tokens: Tensor = self.queries + self.out(found)
        return tokens + self.mlp(self.norm2(tokens))  # type: ignore[no-any-return]


class GuidedBlock(nn.Module):
    """One block of the decoder: every token is made anew from the prototypes, and from nothing else."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, EPSILON), nn.LayerNorm(width, EPSILON)
        self.query, self.key_value, self.out = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.gain = nn.Parameter(torch.ones(heads, 1, 1))
        self.mlp = _mlp(width)

    def forward(self, tokens: Tensor, prototypes: Tensor) -> Tensor:
        """Tokens (B, L, C) made from prototypes (B, M, C)."""
        query = _split(self.query(self.norm1(tokens)), self.heads)
        key, value = (_split(part, self.heads) for part in self.key_value(self.norm1(prototypes)).chunk(2, dim=-1))
        weights = F.relu(self.gain * (F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-2, -1)))
        tokens = self.out(_joined(weights.to(value.dtype) @ value))
        return tokens + self.mlp(self.norm2(tokens))  # type: ignore[no-any-return]


class PrototypeNet(nn.Module):
    """Extractor, bottleneck and decoder.

    Args:
        channels: channels of each tap, shallowest first, in the order in which features hold them; their sum is the width.
        prototypes: prototypes of a photo.
        heads: of all attention; must divide the width.
        blocks: decoder blocks per tap.
        seed: of the first weights.

    Raises:
        BadInput: a count below one, or heads that do not divide the width.

    >>> net = PrototypeNet((3, 5), prototypes=2, heads=4)
    >>> found = net(torch.zeros(1, 7, 8))
    >>> found.prototypes.shape, [part.shape for part in found.rebuilt]
    (torch.Size([1, 2, 8]), [torch.Size([1, 7, 3]), torch.Size([1, 7, 5])])
    >>> net.distances(torch.ones(1, 7, 8)).shape
    torch.Size([1, 7])
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: Sequence[int], *, prototypes: int = 6, heads: int = 8, blocks: int = 1, seed: int = 0) -> None:
        super().__init__()
        width = sum(channels)
        if min((*channels, prototypes, heads, blocks), default=0) < 1 or width % heads:
            raise BadInput(
                f"channels={tuple(channels)!r}, prototypes={prototypes!r}, heads={heads!r}, blocks={blocks!r}: expected counts from "
                f"1, and heads that divide the width, {width}."
            )
        self.channels, self.blocks = tuple(int(count) for count in channels), blocks
        self.extractor = Extractor(width, prototypes, heads)
        self.bottleneck = _mlp(width)
        self.decoder = nn.ModuleList([GuidedBlock(width, heads) for _ in range(blocks * len(self.channels))])
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.extractor.queries.copy_(torch.randn(self.extractor.queries.shape, generator=generator))
        for linear in (module for module in self.modules() if isinstance(module, nn.Linear)):
            nn.init.trunc_normal_(linear.weight, std=SPREAD, a=-FARTHEST, b=FARTHEST, generator=generator)
            nn.init.zeros_(linear.bias)

    def standardise(self, photos: Sequence[Tensor]) -> None:
        """Take mean and deviation of all patches of normal photos, (L, C) each, as those to be taken out."""
        count = sum(len(patches) for patches in photos)
        mean = torch.stack([patches.double().sum(dim=0) for patches in photos]).sum(dim=0) / count
        squares = torch.stack([(patches.double() - mean).square().sum(dim=0) for patches in photos]).sum(dim=0) / count
        self.mean.copy_(mean)
        self.deviation.copy_(squares.sqrt().clamp_min(1e-3))

    def forward(self, features: Tensor) -> Rebuilt:
        """Rebuild the patches of photos from their prototypes.

        Raises:
            BadInput: not (B, L, C) with the channels of all taps.
        """
        if features.ndim != 3 or features.shape[-1] != len(self.mean):
            raise BadInput(f"features {tuple(features.shape)}: expected (B, L, {len(self.mean)}), the channels of all taps.")
        patches = (features - self.mean) / self.deviation
        prototypes = self.extractor(patches)
        tokens, made = self.bottleneck(patches), []
        for block in self.decoder:
            tokens = block(tokens, prototypes)
            made.append(tokens.float())
        made.reverse()
        groups = [torch.stack(made[start : start + self.blocks]).mean(dim=0) for start in range(0, len(made), self.blocks)]
        rebuilt = tuple(torch.split(group, list(self.channels), dim=-1)[number] for number, group in enumerate(groups))
        targets = tuple(torch.split(patches, list(self.channels), dim=-1))
        return Rebuilt(patches=patches, prototypes=prototypes.float(), targets=targets, rebuilt=rebuilt)

    def distances(self, features: Tensor) -> Tensor:
        """How badly each patch (B, L) was rebuilt: 1 − cosine, mean of the taps."""
        return misfit(self(features))


def misfit(found: Rebuilt) -> Tensor:
    """1 − cosine of target and rebuilt (B, L), mean of the taps."""
    parts = [1 - F.cosine_similarity(a, b, dim=-1) for a, b in zip(found.targets, found.rebuilt, strict=True)]
    return torch.stack(parts).mean(dim=0)


def coherence(patches: Tensor, prototypes: Tensor) -> Tensor:
    """Mean distance of patches (B, L, C) to the nearest prototype (B, M, C) of their photo; no gradient goes to the patches.

    >>> patches = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    >>> coherence(patches, torch.tensor([[[3.0, 0.0], [1.0, 0.0]]])).item()
    0.5
    """
    cosine = F.normalize(patches.detach(), dim=-1) @ F.normalize(prototypes, dim=-1).transpose(-2, -1)
    return (1 - cosine.amax(dim=-1)).mean()


def soft_coherence(patches: Tensor, prototypes: Tensor) -> Tensor:
    """Mean distance of patches to their mixture of all prototypes, so that they do not all fall to one (INP-Former++).

    >>> patches = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    >>> round(soft_coherence(patches, torch.eye(2)[None]).item(), 4)
    0.0
    """
    patches = patches.detach()
    cosine = F.normalize(patches, dim=-1) @ F.normalize(prototypes, dim=-1).transpose(-2, -1)
    return (1 - F.cosine_similarity(patches, (cosine / TEMPERATURE).softmax(dim=-1) @ prototypes, dim=-1)).mean()


def hard_places(target: Tensor, rebuilt: Tensor) -> Tensor:
    """Weight (B, L, 1) of each place: its distance over the batch's mean distance, cubed; no gradient."""
    far = 1 - F.cosine_similarity(target, rebuilt.detach(), dim=-1)
    return (far / far.mean().clamp_min(1e-12)).pow(HARDNESS).unsqueeze(-1)


def mined(target: Tensor, rebuilt: Tensor, *, amplitude: bool = False) -> Tensor:
    """1 − cosine of all of a photo's patches (B, L, C) as one vector, the gradient of each place multiplied by `hard_places`.

    The weighted sum of `rebuilt` with and without gradient has the value of `rebuilt` and the wanted gradient. With `amplitude` the
    mean squared error is added, so that lengths are learned as well (INP-Former++).

    >>> mined(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]])).item()
    1.0
    """
    weight = hard_places(target, rebuilt)
    mixed = weight * rebuilt + (1 - weight) * rebuilt.detach()
    loss = (1 - F.cosine_similarity(target.flatten(1), mixed.flatten(1), dim=-1)).mean()
    return loss + (mixed - target).square().mean() if amplitude else loss


def _mlp(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, WIDER * width), nn.GELU(), nn.Linear(WIDER * width, width))


def _split(tokens: Tensor, heads: int) -> Tensor:
    """(B, L, C) -> (B, heads, L, C / heads)."""
    return tokens.reshape(*tokens.shape[:-1], heads, -1).transpose(1, 2)


def _joined(tokens: Tensor) -> Tensor:
    """(B, heads, L, C / heads) -> (B, L, C)."""
    return tokens.transpose(1, 2).flatten(2)
