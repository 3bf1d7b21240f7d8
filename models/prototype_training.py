"""Training of a prototype network on the patches of normal photos, and of the head that reads what it left over.

Source: Luo et al., INP-Former (CVPR 2025): L = mean over the taps of the mined distance + 0.2 · coherence, StableAdamW at 1e-3 with
a linear warm-up of 100 steps and a cosine down to 1e-4, gradients clipped to length 0.1, 16 photos a step, no augmentation. INP-Former++
(2025) adds soft coherence, learned amplitudes and a head on |target − rebuilt|, trained by Dice on simulated defects.
Ours: the features are computed once, and a step looks at a random few patches of each photo, since the decoder treats each by itself.

Axes: a photo's features (L, C); maps of a photo (h, w) row by row, L = h·w.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.errors import BadInput
from core.progress import step
from models.prototypes import PrototypeNet, Rebuilt, coherence, mined, soft_coherence
from models.stable_adamw import StableAdamW

PHOTOS = 16
"""Photos of a step."""
RATE, LAST_RATE, WARM_UP = 1e-3, 1e-4, 100
CLIP = 0.1
COHERENT = 0.2
"""Weight of the coherence loss."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Step size at each step: up in a line from 0, then down a half cosine to the last."""

    steps: int
    rate: float = RATE
    last: float = LAST_RATE
    warm_up: int = WARM_UP

    def __call__(self, number: int) -> float:
        """Step size of step `number`, counted from 0; a training shorter than twice the warm-up rises for half of it.

        >>> pace = Pace(steps=1000)
        >>> [round(pace(number), 6) for number in (0, 50, 100, 550, 1000)]
        [0.0, 0.0005, 0.001, 0.00055, 0.0001]
        """
        rise = min(self.warm_up, self.steps // 2)
        if number < rise:
            return self.rate * number / rise
        share = (number - rise) / max(1, self.steps - rise)
        return self.last + (self.rate - self.last) * (1 + math.cos(math.pi * share)) / 2


def fast(device: torch.device) -> AbstractContextManager[object]:
    """Large products in the number format that `models.device` chose for this device."""
    from models.device import place

    dtype = place(str(device)).dtype
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype=dtype)


def train_net(
    net: PrototypeNet, photos: Sequence[Tensor], *, steps: int, patches: int = 64, plus: bool = False, seed: int = 0
) -> list[float]:
    """Train on the features (L, C) of normal photos; returns the loss of each step.

    Args:
        net: changed in place; mean and deviation of the channels are taken from these photos.
        photos: features of each photo, of any length, in any number format.
        steps: training steps.
        patches: patches of each photo that a step looks at, drawn with replacement.
        plus: soft coherence and learned amplitudes.
        seed: of which photos and patches a step looks at.

    Raises:
        BadInput: no photo.
    """
    if not photos:
        raise BadInput("expected the features of at least one photo, got none.")
    generator = torch.Generator().manual_seed(seed)
    device = photos[0].device
    net.standardise(photos)
    pace = Pace(steps=steps)
    optimizer = StableAdamW(net.parameters(), lr=RATE)
    order: list[int] = []
    losses = []
    net.train()
    for number in range(steps):
        while len(order) < PHOTOS:  # epochs run into one another: a few photos are then simply seen more than once in a step
            order += torch.randperm(len(photos), generator=generator).tolist()
        batch = []
        for index in order[:PHOTOS]:
            chosen = torch.randint(len(photos[index]), (patches,), generator=generator).to(device)
            batch.append(photos[index][chosen])
        del order[:PHOTOS]
        features = torch.stack(batch).float()
        with fast(device):
            found = net(features)
        loss = loss_of(found, plus=plus)
        for group in optimizer.param_groups:
            group["lr"] = pace(number)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), CLIP)
        optimizer.step()
        losses.append(float(loss.detach()))
        step("steps of training", number + 1, steps)
    net.eval()
    return losses


def loss_of(found: Rebuilt, *, plus: bool = False) -> Tensor:
    """What is trained on: mean over the taps of `mined`, and 0.2 of the coherence."""
    parts = [mined(a, b, amplitude=plus) for a, b in zip(found.targets, found.rebuilt, strict=True)]
    coherent = soft_coherence if plus else coherence
    return torch.stack(parts).mean() + COHERENT * coherent(found.patches, found.prototypes)
