"""How the relations in a scene change from one keyframe to the next, as a few vectors that a language model can be shown.

Source: the contrastive relation encoder (CORE) of VADER (arXiv 2511.07299), of which only the idea is published: relations between the
things of keyframes, a compact code of how they change, trained by contrast, a projection into the language model. Every number here is
a reconstruction of ours: four learned queries attend to a keyframe's relations (two layers), a perceptron compares two keyframes'
queries, two temporal layers with sinusoids of the real seconds look along the clip. Trained with InfoNCE (van den Oord et al. 2018) at
temperature 0.07: two views of one interval belong together, all other intervals of the batch do not.

Axes: relations (B, K, M, C) of K keyframes with up to M relations each, `present` (B, K, M) bool, `seconds` (B, K) ascending; codes
(B, K − 1, 4, W), one per pair of successive keyframes; prefixes (B, 4 · (K − 1), V) of the language model's width V.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import BadInput

QUERIES = 4
TEMPERATURE = 0.07
SLOWEST_S = 100.0
"""Longest wavelength of the sinusoids of time is 2π of this."""


class RelationChange(nn.Module):
    """Codes of how relations change.

    Args:
        channels: length C of a relation vector.
        width: W, a multiple of `heads`; 512 as reconstructed, 128 by default, as here a few clips are learned from.
        heads: of every attention.
        seed: of the first weights.

    Raises:
        BadInput: a width that the heads do not divide.

    >>> codes = RelationChange(24, width=32)(torch.rand(2, 5, 6, 24), torch.ones(2, 5, 6, dtype=torch.bool), torch.arange(5.0).expand(2, 5))
    >>> codes.shape
    torch.Size([2, 4, 4, 32])
    """

    def __init__(self, channels: int, *, width: int = 128, heads: int = 8, seed: int = 0) -> None:
        super().__init__()
        if channels < 1 or width < heads or width % (2 * heads):
            raise BadInput(
                f"channels={channels!r}, width={width!r}: expected channels from 1 and a width that {2 * heads} divides."
            )
        self.channels, self.width, self.heads = channels, width, heads
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.enter = nn.Sequential(nn.Linear(channels, width), nn.LayerNorm(width))
            self.queries = nn.Parameter(torch.randn(QUERIES, width) / width**0.5)
            # A relation that is always there gives the queries something to look at in a keyframe without any.
            self.nothing = nn.Parameter(torch.randn(1, width) / width**0.5)
            self.look = nn.ModuleList(
                nn.TransformerDecoderLayer(width, heads, 2 * width, 0.0, batch_first=True, norm_first=True) for _ in range(2)
            )
            self.compare = nn.Sequential(nn.Linear(3 * width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
            self.along = nn.TransformerEncoder(
                nn.TransformerEncoderLayer(width, heads, 2 * width, 0.0, batch_first=True, norm_first=True),
                2, enable_nested_tensor=False,
            )  # fmt: skip

    def forward(self, relations: Tensor, present: Tensor, seconds: Tensor) -> Tensor:
        """Codes (B, K − 1, 4, W).

        Raises:
            BadInput: shapes that do not fit, or fewer than two keyframes.
        """
        if relations.ndim != 4 or relations.shape[-1] != self.channels or present.shape != relations.shape[:3]:
            raise BadInput(
                f"relations {tuple(relations.shape)}, present {tuple(present.shape)}: expected (B, K, M, {self.channels}) and (B, K, M)."
            )
        batch, frames = relations.shape[:2]
        if frames < 2 or seconds.shape != (batch, frames):
            raise BadInput(f"seconds {tuple(seconds.shape)}: expected (B, K) with at least two keyframes, got K = {frames}.")
        seen = self.enter(relations.flatten(0, 1))
        seen = torch.cat([seen, self.nothing.expand(len(seen), 1, -1)], dim=1)
        missing = torch.cat([~present.flatten(0, 1), present.new_zeros(len(seen), 1)], dim=1)
        states = self.queries.expand(len(seen), -1, -1)
        for layer in self.look:
            states = layer(states, seen, memory_key_padding_mask=missing)
        states = states.reshape(batch, frames, QUERIES, self.width)
        before, after = states[:, :-1], states[:, 1:]
        change = self.compare(torch.cat([before, after, after - before], dim=-1))
        change = change + time_code((seconds[:, 1:] + seconds[:, :-1]) / 2 - seconds[:, :1], self.width)[:, :, None]
        along = cast(Tensor, self.along(change.flatten(1, 2)))
        return along.reshape(batch, frames - 1, QUERIES, self.width)

    def summary(self, relations: Tensor, present: Tensor, seconds: Tensor) -> Tensor:
        """One vector (B, W) of length 1 per interval: the mean of its codes."""
        return F.normalize(self(relations, present, seconds).mean(dim=(1, 2)), dim=-1)


class RelationPrompt(nn.Module):
    """Codes as soft prompts of a language model: a perceptron of two layers (GELU) into its width.

    Args:
        width: of the codes.
        model_width: of the language model's embeddings.
        scale: typical size of an element of its embeddings, so that a prefix starts among words and not far from them.
        seed: of the first weights.

    >>> RelationPrompt(32, 64, scale=0.02)(torch.rand(2, 3, 4, 32)).shape
    torch.Size([2, 12, 64])
    """

    def __init__(self, width: int, model_width: int, *, scale: float, seed: int = 0) -> None:
        super().__init__()
        if width < 1 or model_width < 1 or not scale > 0:
            raise BadInput(f"{width=!r}, {model_width=!r}, {scale=!r}: expected widths from 1 and a scale above 0.")
        self.width, self.model_width, self.scale = width, model_width, float(scale)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.project = nn.Sequential(nn.Linear(width, model_width), nn.GELU(), nn.Linear(model_width, model_width))

    def forward(self, codes: Tensor) -> Tensor:
        """Prefixes (B, 4 · P, V) of codes (B, P, 4, W), pair after pair."""
        return self.scale * F.layer_norm(self.project(codes.flatten(1, 2)), (self.model_width,))


def prompt_for(model: Any, width: int, *, seed: int = 0) -> RelationPrompt:
    """A projection into the width and scale of a transformers model, on its device."""
    table = model.get_input_embeddings().weight
    scale = float(table.detach().float().std())
    return RelationPrompt(width, int(table.shape[1]), scale=scale, seed=seed).to(table.device)


def time_code(seconds: Tensor, width: int) -> Tensor:
    """Sines and cosines (…, width) of real seconds, wavelengths from 2π to 200π seconds.

    >>> time_code(torch.tensor([0.0]), 4).tolist()
    [[0.0, 0.0, 1.0, 1.0]]
    """
    rates = SLOWEST_S ** -(torch.arange(width // 2, device=seconds.device) / max(1, width // 2 - 1))
    angles = seconds[..., None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def contrast(first: Tensor, second: Tensor, same: Tensor | None = None) -> Tensor:
    """InfoNCE of two views (N, W) of N intervals, rows of length 1, both ways: view k of an interval is found by the other view.

    Args:
        first: one view of every interval.
        second: the other.
        same: (N,) ids of events; intervals of one event are all right answers. None: each interval is an event of its own.

    >>> round(contrast(torch.eye(3), torch.eye(3)).item(), 4), round(contrast(torch.eye(3), torch.eye(3).roll(1, 0)).item(), 2)
    (0.0, 14.29)
    """
    if first.shape != second.shape or first.ndim != 2:
        raise BadInput(f"views {tuple(first.shape)} and {tuple(second.shape)}: expected two of shape (N, W).")
    events = torch.arange(len(first), device=first.device) if same is None else same
    right = events[:, None] == events[None]
    logits = first @ second.T / TEMPERATURE
    found = [(side - side.logsumexp(dim=1, keepdim=True)).masked_fill(~right, 0.0) for side in (logits, logits.T)]
    shares = right.sum(dim=1)
    return -sum(((side.sum(dim=1) / shares).mean() for side in found), first.new_zeros(())) / 2


def stacked(intervals: Sequence[Sequence[Tensor]]) -> tuple[Tensor, Tensor]:
    """Relations (B, K, M, C) and `present` (B, K, M) of intervals that are lists of K tensors (m, C), filled up with zeros.

    >>> relations, present = stacked([[torch.ones(2, 3), torch.ones(0, 3)]])
    >>> relations.shape, present.sum(dim=2).tolist()
    (torch.Size([1, 2, 2, 3]), [[2, 0]])
    """
    most = max(1, max(len(frame) for interval in intervals for frame in interval))
    relations = torch.stack([
        torch.stack([F.pad(frame, (0, 0, 0, most - len(frame))) for frame in interval]) for interval in intervals
    ])  # fmt: skip
    counts = torch.tensor([[len(frame) for frame in interval] for interval in intervals], device=relations.device)
    return relations, torch.arange(most, device=relations.device) < counts[..., None]
