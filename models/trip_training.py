"""Trains a TriP network on windows of normal series: mean squared error, ended by windows that were held out.

Source: Yu, Ouyang & Lin, TriP-LLM (IEEE Access 2025): AdamW with a weight decay of 1e-5, the rate halved every five epochs, mixed
precision. Ours, for a CPU's sake: the paper sees every window (stride 1, in order) five to ten times; here an epoch is a tenth of
`updates` random batches, so that training takes the same time for an hour's readings and a year's, and the weights with the least error
on held-out normal windows are kept.

Axes: rows (T, M) float32 in standard deviations; a window is L rows from one of `starts`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from core.progress import step
from models.trip_llm import TripNetwork

WEIGHT_DECAY = 1e-5
EPOCHS, HALVED_EVERY = 10, 5
CLIP = 1.0
"""Limit of the gradient's norm. The rate also rises over the first epoch: without both, training through six frozen layers stands
still for hundreds of steps.
"""
PATIENCE = 3
"""Epochs without a lower held-out error after which training ends."""
CHECKED = 128
"""Held-out windows that are looked at, evenly spaced."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Rows (T, M) and where windows of them start (N,)."""

    rows: Tensor
    starts: Tensor

    def batch(self, chosen: Tensor, length: int) -> Tensor:
        """Windows (B, L, M) at the chosen places of `starts`."""
        return self.rows[self.starts[chosen][:, None] + torch.arange(length)]


@dataclass(frozen=True, kw_only=True)
class Course:
    """Mean squared error of held-out windows at the start and after each epoch, and the epoch whose weights were kept (0: none)."""

    held_out: tuple[float, ...]
    kept_epoch: int


def train_trip(
    network: TripNetwork, normal: Windows, held_out: Windows, *, updates: int, batch: int, rate: float, seed: int,
    low: Callable[[], AbstractContextManager[object]], judged: Tensor | None = None,
) -> Course:  # fmt: skip
    """Train `network` in place, on the device where it is; equal arguments give equal weights on one device.

    Args:
        network: with its body.
        normal: windows to learn from.
        held_out: other normal windows, at least one.
        updates: most steps.
        batch: windows of a step.
        rate: of the first steps.
        seed: of the windows' order and what is dropped.
        low: opens the number format that the network computes in.
        judged: which channels (M,) are to be rebuilt, the others being only seen; None: all.
    """
    generator = torch.Generator().manual_seed(seed)
    device = network.seen_offset.device
    length, places = network.shape.window, _places(judged)
    parameters = list(network.parameters())  # the frozen body has none
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=WEIGHT_DECAY)
    checked = held_out.starts[:: math.ceil(len(held_out.starts) / CHECKED)]
    held_out = Windows(rows=held_out.rows, starts=checked)
    found = [window_error(network, held_out, judged=judged, low=low)]
    best, kept = copy.deepcopy(network.state_dict()), 0
    order = torch.empty(0, dtype=torch.long)
    every = max(1, math.ceil(updates / EPOCHS))
    halving = torch.optim.lr_scheduler.StepLR(optimiser, step_size=HALVED_EVERY * every, gamma=0.5)
    warming = torch.optim.lr_scheduler.LinearLR(optimiser, start_factor=1 / every, total_iters=every)
    schedule = torch.optim.lr_scheduler.ChainedScheduler([halving, warming])
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        network.train()
        for number in range(1, updates + 1):
            while len(order) < min(batch, len(normal.starts)):
                order = torch.cat([order, torch.randperm(len(normal.starts), generator=generator)])
            chosen, order = order[:batch], order[batch:]
            windows = normal.batch(chosen, length).to(device)
            with low():
                rebuilt = network(windows)
            loss = F.mse_loss(rebuilt[..., places], windows[..., places])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(parameters, CLIP)
            optimiser.step()
            schedule.step()
            step("training steps", number, updates)
            if number % every and number != updates:
                continue
            found.append(window_error(network, held_out, judged=judged, low=low))
            epoch = len(found) - 1
            if found[-1] < min(found[:-1]):
                best, kept = copy.deepcopy(network.state_dict()), epoch
            elif epoch - kept >= PATIENCE:
                step("training steps", updates, updates)
                break
    network.load_state_dict(best)
    network.eval()
    return Course(held_out=tuple(found), kept_epoch=kept)


@torch.no_grad()
def window_error(
    network: TripNetwork,
    windows: Windows,
    *,
    low: Callable[[], AbstractContextManager[object]],
    judged: Tensor | None = None,
    batch: int = 128,
) -> float:
    """Mean squared error of rebuilt windows in the judged channels, nothing dropped; the network's mode is left as it was."""
    training = network.training
    network.eval()
    device, total = network.seen_offset.device, 0.0
    places = _places(judged)
    for first in range(0, len(windows.starts), batch):
        chosen = torch.arange(first, min(first + batch, len(windows.starts)))
        given = windows.batch(chosen, network.shape.window).to(device)
        with low():
            rebuilt = network(given)
        total += float((rebuilt - given)[..., places].square().mean(dim=(1, 2)).sum())
    network.train(training)
    return total / len(windows.starts)


def _places(judged: Tensor | None) -> Tensor | slice:
    return slice(None) if judged is None else judged.nonzero().squeeze(1)
