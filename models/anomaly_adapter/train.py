"""Training of the adapter's two parts: the decoder on patches of simulated defects, the prompt learner through a frozen language model.

Source: the two losses of Gu et al., AnomalyGPT (AAAI 2024): focal + Dice on the map, cross-entropy of the answer's tokens. Ours: patches
that a defect covers only in part are left out, and each photo gives a bounded number of patches, so that a decoder is trained in seconds.

Axes: features (P, C) of a photo's patches in reading order, truths (P,) float32: 1 abnormal, 0 normal, NaN in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import BadInput
from core.progress import step
from models import soft_prompts
from models.anomaly_adapter.adapter import AnomalyAdapter, Turn
from models.anomaly_adapter.decoder import TextDecoder, map_loss
from models.patches import PatchEncoder
from models.soft_prompts import Asked, answer_tokens, batches, frozen

COVERED = 0.3
"""A patch is abnormal when a defect covers more than this part of it."""
PATCHES = 1024
"""Patches of one training step."""
MOST_OF_A_KIND = 160
"""Most abnormal, and most normal, patches that one photo gives."""


def patch_truth(encoder: PatchEncoder, mask: NDArray[np.bool_]) -> Tensor:
    """Which patches a mask (H, W) covers, (P,) in reading order: 1 by more than 0.3, 0 not at all, NaN in between.

    A defect smaller than that everywhere marks the patch it covers most.

    >>> mask = np.zeros((32, 32), np.bool_)
    >>> mask[:8, 4:16] = True
    >>> patch_truth(PatchEncoder(side=32), mask).reshape(4, 4)[0].tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    import cv2

    rows, columns = encoder.grid(*mask.shape)
    share = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    share[share < 1e-6] = 0
    truth = np.where(share > COVERED, 1.0, np.where(share > 0, np.nan, 0.0)).astype(np.float32)
    if mask.any() and not (truth == 1).any():
        truth[np.unravel_index(int(share.argmax()), share.shape)] = 1.0
    return torch.from_numpy(truth.ravel())


def drawn(features: Tensor, truth: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """At most 160 abnormal and 160 normal patches of a photo: features (Q, C) float16 and truths (Q,), those in between left out."""
    kept = []
    for kind in (0.0, 1.0):
        places = (truth == kind).nonzero().flatten()
        kept.append(places[torch.randperm(len(places), generator=generator)[:MOST_OF_A_KIND]])
    chosen = torch.cat(kept)
    return features[chosen.to(features.device)].half(), truth[chosen].to(features.device)


def train_decoder(
    decoder: TextDecoder, features: Tensor, truth: Tensor, *, steps: int = 200, rate: float = 2e-3, seed: int = 0
) -> float:
    """Train the linear maps on patches (P, C) with truths (P,) 0 or 1; returns the mean loss of the last tenth of the steps.

    Mean and deviation to take out come from the normal patches. Equal arguments give equal weights on one device.

    Raises:
        BadInput: no normal or no abnormal patch.
    """
    normal, abnormal = (truth == 0).nonzero().flatten(), (truth == 1).nonzero().flatten()
    if not len(normal) or not len(abnormal):
        raise BadInput(f"{len(normal)} normal and {len(abnormal)} abnormal patches: expected some of both.")
    decoder.standardise(features[normal].float())
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    losses = []
    decoder.train()
    for number in range(steps):
        batch = torch.cat([
            part[torch.randint(len(part), (min(PATCHES // 2, 4 * len(part)),), generator=generator).to(part.device)]
            for part in (normal, abnormal)
        ])  # fmt: skip
        loss = map_loss(decoder.levels(features[batch].float()), truth[batch])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        step("decoder trained", number + 1, steps)
    decoder.eval()
    return float(np.mean(losses[-max(1, steps // 10) :]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Lesson:
    """What the prompt learner learns from: a photo (H, W, 3) with its map (H, W), a question and the right answer."""

    picture: NDArray[np.uint8]
    map: NDArray[np.float32]
    question: str
    answer: str
    normals: tuple[NDArray[np.uint8], ...] = ()
    history: tuple[Turn, ...] = ()


def train_prompt_learner(
    adapter: AnomalyAdapter, lessons: Sequence[Lesson], *, epochs: int = 20, batch: int = 16, rate: float = 5e-3, seed: int = 0
) -> list[float]:
    """Train the prompt learner so that the frozen model says the answers; returns the mean loss per answer token of each epoch.

    The model's weights are neither changed nor given gradients. Lessons are read in batches of equal prompts.

    Raises:
        BadInput: no lesson.
    """
    if not lessons:
        raise BadInput("expected at least one lesson, got none.")
    asked = [_asked(adapter, lesson) for lesson in lessons]
    learner, generator = adapter.learner, torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=rate, weight_decay=1e-3)
    steps = epochs * sum(1 for _ in batches(asked, batch, generator))
    rise = 0.11 if steps == 10 else 0.1  # a rise of exactly one step divides by zero
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=rise)
    history = []
    learner.train()
    with frozen(adapter.loaded):
        for epoch in range(epochs):
            total, tokens = 0.0, 0
            for chosen in batches(asked, batch, generator):
                loss, count = _loss(adapter, [lessons[i] for i in chosen], [asked[i] for i in chosen])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                total, tokens = total + float(loss.detach()) * count, tokens + count
            history.append(total / tokens)
            step("epochs of the prompt learner", epoch + 1, epochs)
    learner.eval()
    return history


def answer_loss(adapter: AnomalyAdapter, lessons: Sequence[Lesson]) -> float:
    """Mean cross-entropy (nats) per token of the right answers, the end of the answer included.

    Raises:
        BadInput: no lesson.
    """
    if not lessons:
        raise BadInput("expected at least one lesson, got none.")
    total, tokens = 0.0, 0
    with torch.no_grad(), frozen(adapter.loaded):
        for lesson in lessons:
            loss, count = _loss(adapter, [lesson], [_asked(adapter, lesson)])
            total, tokens = total + float(loss) * count, tokens + count
    return total / tokens


def _asked(adapter: AnomalyAdapter, lesson: Lesson) -> Asked:
    inputs = adapter.prompt(lesson.picture, lesson.question, normals=lesson.normals, history=lesson.history)
    return Asked(inputs, answer_tokens(adapter.loaded, lesson.answer))


def _loss(adapter: AnomalyAdapter, lessons: Sequence[Lesson], asked: Sequence[Asked]) -> tuple[Tensor, int]:
    return soft_prompts.answer_loss(adapter.loaded.model, adapter.prefix([lesson.map for lesson in lessons]), asked)
