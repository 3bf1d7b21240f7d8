"""A ranker of video segments, learned from videos that are only known to be normal or to hold something abnormal somewhere.

Source: Sultani, Chen & Shah, Real-World Anomaly Detection in Surveillance Videos (CVPR 2018): a video is a bag of 32 segments; in every
pair of bags the highest score of the abnormal one shall lie above the highest of the normal one by 1. Abnormal scores shall be few
(their sum) and change slowly (squared steps); both are summed over the abnormal bags, and the hinge is summed over abnormal and
averaged over normal bags, as in the authors' program. Network: C → 512 (ReLU) → 32 (linear) → 1 (sigmoid), 60 % dropped in
between, Adagrad at 0.01, squared weights × 0.001.
Ours: training ends after a few hundred steps, since bags here are tens, not thousands; dropout, draws and first weights follow the seed.

Axes: bags (B, 32, C) float32, rows of length 1; scores (B, 32), 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

HIDDEN, NARROW, DROPPED = 512, 32, 0.6
SPARSE, SMOOTH, DECAY = 8e-5, 8e-5, 1e-3
RATE, BAGS = 0.01, 30
"""Adagrad's rate, and bags of either kind per step (fewer where there are fewer)."""


class SegmentRanker(nn.Module):
    """Scores segments (…, C) from 0 to 1 (…).

    >>> SegmentRanker(16).eval()(torch.zeros(2, 32, 16)).shape
    torch.Size([2, 32])
    """

    def __init__(self, channels: int, *, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first, self.second, self.last = nn.Linear(channels, HIDDEN), nn.Linear(HIDDEN, NARROW), nn.Linear(NARROW, 1)
            for layer in self.layers:
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)
        self.drop = nn.Dropout(DROPPED)

    @property
    def layers(self) -> tuple[nn.Linear, nn.Linear, nn.Linear]:
        """The three layers with weights."""
        return self.first, self.second, self.last

    def forward(self, x: Tensor) -> Tensor:
        """Scores (…) of segments (…, C)."""
        hidden = self.drop(torch.relu(self.first(x)))
        return torch.sigmoid(self.last(self.drop(self.second(hidden)))).squeeze(-1)


def ranking_loss(abnormal: Tensor, normal: Tensor) -> Tensor:
    """Hinge over all pairs of bags, sparsity and smoothness of the abnormal ones (without the weights' decay).

    Args:
        abnormal: scores (A, S).
        normal: scores (N, S).

    >>> abnormal = torch.tensor([[0.9, 0.2, 0.1], [0.4, 0.6, 0.3]])
    >>> float(ranking_loss(abnormal, torch.tensor([[0.1, 0.3, 0.2], [0.5, 0.1, 0.1]])))
    1.30025...
    """
    apart = torch.relu(1 - abnormal.amax(dim=1)[:, None] + normal.amax(dim=1)[None])
    hinge = apart.sum(dim=0).mean()
    return hinge + SPARSE * abnormal.sum() + SMOOTH * (abnormal[:, 1:] - abnormal[:, :-1]).square().sum()


@dataclass(frozen=True, kw_only=True)
class Training:
    """How long and from which seed a ranker is trained."""

    steps: int = 400
    seed: int = 0


def train(abnormal: Tensor, normal: Tensor, training: Training) -> SegmentRanker:
    """Learn from abnormal bags (A, 32, C) and normal ones (N, 32, C); the ranker is returned in eval mode."""
    from core.progress import step

    ranker = SegmentRanker(abnormal.shape[2], seed=training.seed)
    generator = torch.Generator().manual_seed(training.seed)
    optimiser = torch.optim.Adagrad(ranker.parameters(), lr=RATE, eps=1e-8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        for number in range(training.steps):
            drawn = [bags[torch.randperm(len(bags), generator=generator)[:BAGS]] for bags in (abnormal, normal)]
            scores = ranker(torch.cat(drawn))
            loss = ranking_loss(scores[: len(drawn[0])], scores[len(drawn[0]) :])
            loss = loss + DECAY * torch.stack([layer.weight.square().sum() for layer in ranker.layers]).sum()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            step("steps of learning to rank", number + 1, training.steps)
    return ranker.eval()
