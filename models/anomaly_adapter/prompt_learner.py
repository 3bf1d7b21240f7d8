"""From an anomaly map to soft prompt embeddings of a language model (`models.soft_prompts` puts them before it).

Source: after the prompt learner of Gu et al., AnomalyGPT (AAAI 2024): convolutions turn the map into one embedding per cell of a 3×3
grid, and as many learned base embeddings stand beside them (prompt tuning, Lester et al., EMNLP 2021).

Axes: maps (N, H, W) float32 from 0 to 1; prefixes (N, T, W) with T = 18 tokens of the model's width W.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import BadInput

GRID = 3
TOKENS = 2 * GRID * GRID
SIDE = 96
"""Maps are brought to SIDE×SIDE."""
WIDTHS = (1, 8, 16, 32, 64)


class PromptLearner(nn.Module):
    """Maps to prefixes.

    Args:
        width: width of the language model's embeddings.
        scale: typical size of an element of its embeddings, so that a prefix starts among words and not far from them.
        seed: of the first weights.

    >>> PromptLearner(64, scale=0.02)(torch.rand(2, 50, 70)).shape
    torch.Size([2, 18, 64])
    """

    def __init__(self, width: int, *, scale: float, seed: int = 0) -> None:
        super().__init__()
        if width < 1 or not scale > 0:
            raise BadInput(f"width={width!r}, scale={scale!r}: expected a width from 1 and a scale above 0.")
        self.width, self.scale = width, float(scale)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.convolutions = nn.ModuleList(
                nn.Conv2d(before, after, 3, padding=1) for before, after in itertools.pairwise(WIDTHS)
            )
            self.cells = nn.Linear(WIDTHS[-1], width)
            self.base = nn.Parameter(torch.randn(GRID * GRID, width))

    def forward(self, maps: Tensor) -> Tensor:
        """Prefixes (N, 18, W) of maps (N, H, W): nine cells, row by row, then the nine base embeddings."""
        if maps.ndim != 3:
            raise BadInput(f"maps {tuple(maps.shape)}: expected shape (N, H, W).")
        x = to_side(maps)[:, None].float()
        for convolution in self.convolutions:
            x = F.max_pool2d(F.relu(convolution(x)), 2)
        x = F.adaptive_max_pool2d(x, GRID)
        cells = self.cells(x.flatten(2).transpose(1, 2))
        return self.scale * torch.cat([cells, self.base.expand(len(maps), -1, -1)], dim=1)


def to_side(maps: Tensor) -> Tensor:
    """Maps (…, H, W) of any size as (…, 96, 96), shrunk by their maxima: a spot of few pixels stays as bright as it is.

    >>> to_side(torch.eye(200)).shape, to_side(torch.eye(2)).mean().item()
    (torch.Size([96, 96]), 0.5)
    """
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    return F.adaptive_max_pool2d(flat, SIDE).reshape(*maps.shape[:-2], SIDE, SIDE)


def learner_for(model: Any, *, seed: int = 0) -> PromptLearner:
    """A prompt learner of the width and scale of a transformers model, on its device."""
    table = model.get_input_embeddings().weight
    return PromptLearner(int(table.shape[1]), scale=float(table.detach().float().std()), seed=seed).to(table.device)
