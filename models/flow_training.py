"""Trains a normalising flow on the feature maps of normal pictures: maximum likelihood, stopped by pictures held out.

Source: loss and optimiser of Yu et al., FastFlow (2021): Adam on the negative log-likelihood. Ours, because that training is
unstable: gradients are clipped, the rate falls along a cosine, weights are averaged over steps (EMA), and the averaged weights
with the best likelihood of held-out normal pictures are kept. No defect is looked at.

Axes: maps (N, C, H, W), float16 or float32, encoded once; likelihoods in nats per channel and cell.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from core.progress import step
from models.coupling_flow import CouplingFlow, surprise

WEIGHT_DECAY = 1e-5
CLIP = 1.0
AVERAGED = 0.98
"""Share of the old average that stays in each step (less in the first ones)."""
WHITENED_BY = 256
"""Most pictures that the whitening is estimated from, spread evenly."""
CHECKS = 16
"""Times the held-out likelihood is asked for."""
PATIENCE = 4
"""Checks without a better one after which training ends."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """What training did: held-out negative log-likelihood at each check, and the step whose weights were kept."""

    held_out: tuple[float, ...]
    kept_step: int


def train_flow(
    flow: CouplingFlow, maps: Tensor, held_out: Tensor, *, steps: int, batch: int = 8, rate: float = 2e-3, seed: int = 0,
    what: str = "training steps",
) -> Course:  # fmt: skip
    """Train `flow` in place; equal arguments give equal weights on one device.

    Args:
        flow: on the device where it shall be trained.
        maps: (N, C, H, W) of normal pictures to learn from.
        held_out: (M, C, H, W) of other normal pictures, at least one.
        steps: most steps.
        batch: pictures of a step.
        rate: of the first steps, falling to zero.
        seed: of the order of the pictures.
        what: name of the steps for progress.
    """
    device = flow.norm.offset.device
    generator = torch.Generator().manual_seed(seed)
    flow.start(maps[:: -(-len(maps) // WHITENED_BY)].to(device).float())
    average = copy.deepcopy(flow).eval()
    best, kept_step = copy.deepcopy(average.state_dict()), 0
    found = [negative_log_likelihood(average, held_out, batch=batch)]
    optimiser = torch.optim.Adam(flow.parameters(), lr=rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=steps)
    order = torch.empty(0, dtype=torch.long)
    every = max(1, -(-steps // CHECKS))
    for number in range(1, steps + 1):
        while len(order) < min(batch, len(maps)):
            order = torch.cat([order, torch.randperm(len(maps), generator=generator)])
        chosen, order = order[:batch], order[batch:]
        loss = surprise(*flow(maps[chosen].to(device).float())).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(flow.parameters(), CLIP)
        optimiser.step()
        schedule.step()
        _follow(average, flow, min(AVERAGED, number / (number + 10)))
        if number % every == 0 or number == steps:
            found.append(negative_log_likelihood(average, held_out, batch=batch))
            if found[-1] < min(found[:-1]):
                best, kept_step = copy.deepcopy(average.state_dict()), number
            elif number - kept_step >= PATIENCE * every:
                step(what, steps, steps)
                break
        step(what, number, steps)
    flow.load_state_dict(best)
    flow.eval()
    return Course(held_out=tuple(found), kept_step=kept_step)


@torch.no_grad()
def negative_log_likelihood(flow: CouplingFlow, maps: Tensor, *, batch: int = 8) -> float:
    """Mean over pictures, channels and cells, in nats but for ½ log 2π."""
    device = flow.norm.offset.device
    total = sum(
        float(surprise(*flow(maps[first : first + batch].to(device).float())).mean(dim=(1, 2)).sum())
        for first in range(0, len(maps), batch)
    )
    return total / len(maps)


@torch.no_grad()
def _follow(average: CouplingFlow, flow: CouplingFlow, share: float) -> None:
    for mean, value in zip(average.parameters(), flow.parameters(), strict=True):
        mean.lerp_(value, 1 - share)
