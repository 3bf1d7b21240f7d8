"""Reconstructs windows of a series through a frozen language model whose tokens are patches of all channels together.

Source: Yu, Ouyang & Lin, TriP-LLM: A Tri-Branch Patch-Wise Large Language Model Framework for Time-Series Anomaly Detection (IEEE
Access 2025, arXiv 2508.00047): a patching branch (what each patch looks like), a selection branch (which patches matter) and a global
branch (the whole window) are fused by gates into one sequence of tokens; a patch-wise decoder writes the window back, overlaps averaged.
The number of tokens does not depend on the number of channels M.

Ours: the paper joins the d features of all M channels and projects them, M·d → 256. Joining, and all that stands between it and the
projection (patch weights, interpolation along the tokens, scale weights), is linear and the same for every channel, so each group of
channels is projected by its own rows and the results are added: the same map, without B×l×(M·d) numbers ever lying in memory.
While training, the groups' inner activations are computed anew on the way back (Chen et al., Sublinear Memory Cost, 2016), one group
at a time. The paper leaves open how the global branch's blocks are made; they are those of Bai et al. (2018): two causal convolutions,
dilation doubling from block to block, and a shortcut.

Axes: windows (B, L, M) float32 in standard deviations; tokens l = ⌊(L − p₁)/s⌋ + 1 of the smallest patch p₁; branch width d; D of the body.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.language_body import LanguageBody
from models.trip_shape import Shape

WIDTH = 128
"""d, features of a patch."""
INNER = 64
"""Channels of the patching branch's convolutions."""
FUSED = 256
KERNEL = 5
DROPPED = 0.1
GLOBAL_WIDTHS = (16, 32, 64, 128)
GROUP_NUMBERS = 6_000_000
"""Inner numbers of a patch's width d that a group of channels may have at a time: bounds the memory of training."""


class CausalConv(nn.Conv1d):
    """A convolution that looks back only: (B, C, T) to (B, C', T)."""

    def __init__(self, inner: int, outer: int, dilation: int) -> None:
        super().__init__(inner, outer, KERNEL, dilation=dilation)
        self.back = (KERNEL - 1) * dilation

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, with zeros before the first step."""
        found: Tensor = super().forward(F.pad(x, (self.back, 0)))
        return found


class PatchingBranch(nn.Module):
    """What each patch of each channel looks like: patches (N, l, p) to features (N, l, d)."""

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.first, self.second = CausalConv(patch, INNER, 1), CausalConv(INNER, INNER, 2)
        self.drop = nn.Dropout(DROPPED)
        self.scale = nn.Conv1d(INNER, INNER, 1, groups=INNER)
        self.widen = nn.Linear(INNER, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, patches: Tensor) -> Tensor:
        """Features, with each patch's mean added to all of them."""
        x = patches.transpose(1, 2)
        x = self.drop(F.silu(self.first(x)))
        x = self.drop(F.silu(self.second(x)))
        found: Tensor = self.norm(self.widen(self.scale(x).transpose(1, 2)))
        return found + patches.mean(dim=-1, keepdim=True)


class SelectionBranch(nn.Module):
    """Which patches matter: a score (N, l) and features (N, l, d) of patches (N, l, p), told what the patching branch saw."""

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.back = nn.Linear(WIDTH, patch)  # a 1×1 convolution over the patches
        self.judge = nn.Sequential(nn.Linear(patch, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1))
        self.see = nn.Sequential(nn.Linear(patch, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
        self.mixture = nn.Parameter(torch.zeros(()))
        """τ: as its sigmoid, how much the highest of the channels' scores counts against their mean."""

    def forward(self, patches: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and features, not yet weighted."""
        patches = patches + F.relu(self.back(seen))
        return self.judge(patches).squeeze(-1), self.see(patches)


class GlobalBranch(nn.Module):
    """The course of the whole window: (B, L, M) to (B, l, d)."""

    def __init__(self, channels: int, tokens: int) -> None:
        super().__init__()
        widths = (channels, *GLOBAL_WIDTHS)
        self.first = nn.ModuleList(CausalConv(a, b, 2**i) for i, (a, b) in enumerate(itertools.pairwise(widths)))
        self.second = nn.ModuleList(CausalConv(b, b, 2**i) for i, b in enumerate(GLOBAL_WIDTHS))
        self.short = nn.ModuleList(nn.Conv1d(a, b, 1) for a, b in itertools.pairwise(widths))
        self.drop, self.last, self.tokens = nn.Dropout(DROPPED), nn.Linear(GLOBAL_WIDTHS[-1], WIDTH), tokens

    def forward(self, windows: Tensor) -> Tensor:
        """Features of each token's part of the window: the highest of its steps."""
        x = windows.transpose(1, 2)
        for first, second, short in zip(self.first, self.second, self.short, strict=True):
            deep = self.drop(F.relu(first(x)))
            deep = self.drop(F.relu(second(deep)))
            x = F.relu(deep + short(x))
        x = self.last(F.relu(x).transpose(1, 2)).float()
        return F.adaptive_max_pool1d(x.transpose(1, 2), self.tokens).transpose(1, 2)


class GatedFusion(nn.Module):
    """Three projected branches (B, l, 256) to the body's input (B, l, D), each token weighing them anew."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.drop = nn.LayerNorm(FUSED), nn.Dropout(DROPPED)
        self.gate, self.out = nn.Linear(3 * FUSED, 3), nn.Linear(FUSED, width)

    def forward(self, *branches: Tensor) -> Tensor:
        """The convex sum of the branches, projected."""
        normed = [self.norm(branch) for branch in branches]
        shares = self.gate(self.drop(torch.cat(normed, dim=-1))).softmax(dim=-1)
        mixed = (shares[..., None] * torch.stack(normed, dim=-2)).sum(dim=-2)
        tokens: Tensor = self.out(mixed)
        return tokens


class PatchDecoder(nn.Module):
    """Hidden states (B, l, D) back to windows (B, L, M): each token writes its patch of all channels, overlaps are averaged."""

    cover: Tensor

    def __init__(self, width: int, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.write = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, shape.patches[0] * shape.channels)
        )
        self.register_buffer("cover", self._laid(torch.ones(1, shape.tokens, shape.patches[0], 1)), persistent=False)

    def _laid(self, patches: Tensor) -> Tensor:
        """Sum of patches (B, l, p, M) at their places in a window (B, L, M)."""
        window, stride = self.shape.window, self.shape.stride
        laid = patches.new_zeros(len(patches), window, patches.shape[-1])
        for offset in range(self.shape.patches[0]):
            laid[:, offset : offset + (self.shape.tokens - 1) * stride + 1 : stride] += patches[:, :, offset]
        return laid

    def forward(self, hidden: Tensor) -> Tensor:
        """The windows."""
        patches = self.write(hidden).float().unflatten(-1, (self.shape.patches[0], self.shape.channels))
        return self._laid(patches) / self.cover


class TripNetwork(nn.Module):
    """Windows (B, L, M) in, their reconstruction (B, L, M) out; equal seeds give equal first weights.

    >>> from models.language_body import open_body
    >>> network = TripNetwork(Shape(channels=3, window=12, patches=(4, 8), stride=2), open_body("none"))
    >>> network(torch.zeros(5, 12, 3)).shape
    torch.Size([5, 12, 3])
    """

    def __init__(self, shape: Shape, body: LanguageBody, *, seed: int = 0) -> None:
        super().__init__()
        self.shape = shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.patching = nn.ModuleList(PatchingBranch(patch) for patch in shape.patches)
            self.selection = nn.ModuleList(SelectionBranch(patch) for patch in shape.patches)
            self.overall = GlobalBranch(shape.channels, shape.tokens)
            # The rows of Linear(M·d → 256), channel by channel, drawn as that layer's.
            bound = (shape.channels * WIDTH) ** -0.5
            self.project_seen = nn.Parameter(torch.empty(shape.channels * WIDTH, FUSED).uniform_(-bound, bound))
            self.project_chosen = nn.Parameter(torch.empty(shape.channels * WIDTH, FUSED).uniform_(-bound, bound))
            self.seen_offset, self.chosen_offset = nn.Parameter(torch.zeros(FUSED)), nn.Parameter(torch.zeros(FUSED))
            self.project_overall = nn.Linear(WIDTH, FUSED)
            self.fusion = GatedFusion(body.width)
            self.decoder = PatchDecoder(body.width, shape)
        self.body = body

    def forward(self, windows: Tensor) -> Tensor:
        """The reconstruction."""
        seen, chosen = self.merged(windows)
        tokens = self.fusion(seen, chosen, self.project_overall(self.overall(windows)))
        rebuilt: Tensor = self.decoder(self.body(tokens))
        return rebuilt

    def merged(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """F_c and F_s projected (B, l, 256): all patch sizes on the tokens of the smallest, weighed by what their selection says."""
        chosen, seen, says = [], [], []
        for number, patch in enumerate(self.shape.patches):
            seen_here, chosen_here, total = self._scale(number, windows.unfold(1, patch, self.shape.stride))
            seen.append(self._stretched(seen_here))
            chosen.append(self._stretched(chosen_here))
            says.append(self._stretched(total[..., None]).mean(dim=(1, 2)) / (self.shape.channels * WIDTH))
        weights = torch.stack(says).softmax(dim=0)[..., None, None]
        return (weights * torch.stack(seen)).sum(0) + self.seen_offset, (weights * torch.stack(chosen)).sum(
            0
        ) + self.chosen_offset

    def _scale(self, number: int, patches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One patch size, patches (B, l_p, M, p): both branches projected (B, l_p, 256), and the selection's sum over its features."""
        batch, count, channels, _ = patches.shape
        size = max(1, min(channels, GROUP_NUMBERS // (batch * count * WIDTH)))
        highest: Tensor | None = None
        sums: list[Tensor] = []
        for first in range(0, channels, size):
            part = patches[:, :, first : first + size]
            rows = slice(first * WIDTH, (first + part.shape[2]) * WIDTH)
            given = (number, part, self.project_seen[rows], self.project_chosen[rows])
            again = size < channels and self.training and torch.is_grad_enabled()
            top, *added = checkpoint(self._group, *given, use_reentrant=False) if again else self._group(*given)
            highest = top if highest is None else torch.maximum(highest, top)
            sums = [a + b for a, b in zip(sums, added, strict=True)] if sums else added
        assert highest is not None
        scores, seen, chosen, total = sums
        selection = self.selection[number]
        assert isinstance(selection, SelectionBranch)
        share = torch.sigmoid(selection.mixture)
        weights = (share * highest + (1 - share) * scores / channels).softmax(dim=1)
        return seen, weights[..., None] * chosen, weights * total

    def _group(self, number: int, patches: Tensor, seen_rows: Tensor, chosen_rows: Tensor) -> tuple[Tensor, ...]:
        """Channels (B, l_p, m, p) of one patch size: their highest score and sums over them of scores, projections and features."""
        batch, count, channels, size = patches.shape
        each = patches.permute(0, 2, 1, 3).reshape(batch * channels, count, size)
        seen = self.patching[number](each)
        scores, features = self.selection[number](each, seen)
        scores = scores.float().view(batch, channels, count)
        joined, total = (_joined(x, batch) for x in (seen, features)), features.float().sum(-1).view(batch, channels, count)
        projected = [x @ rows for x, rows in zip(joined, (seen_rows, chosen_rows), strict=True)]
        return scores.amax(1), scores.sum(1), projected[0].float(), projected[1].float(), total.sum(1)

    def _stretched(self, x: Tensor) -> Tensor:
        """(B, l_p, C) on the tokens of the smallest patch, linearly along them."""
        if x.shape[1] == self.shape.tokens:
            return x
        return F.interpolate(x.transpose(1, 2), size=self.shape.tokens, mode="linear").transpose(1, 2)


def _joined(x: Tensor, batch: int) -> Tensor:
    """Channels' features (B·m, l, d) side by side, (B, l, m·d)."""
    return x.view(batch, -1, *x.shape[1:]).transpose(1, 2).flatten(2)
