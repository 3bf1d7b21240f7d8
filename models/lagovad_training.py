"""LaGoVAD's losses, its made-up videos, and its training.

Source: Liu et al., LaGoVAD (ICLR 2026, arXiv 2503.13160), as described there: four losses of weight 1, computed once with names of
classes and once with the batch's own descriptions as definitions, on videos that are put together anew from clips each time (dynamic
video synthesis). Ours: without nearest neighbours of clips on file, fillers are drawn at random; fewer steps at a higher rate, as there
are tens of clips; and a third pass, in which the right definition is missing and the video counts as normal: without it the score hardly
heeds the definitions after so few steps.

Axes: clips (n, C); batches (B, T, C) with `given` (B, T); labels (B, T) 1 on the abnormal clip; kinds (B,) numbers of classes, 0 normal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from core.errors import BadInput
from core.progress import step
from models.lagovad import Judged, LaGoVadNetwork, top_mean

MOST_UNITS = 512
"""Longer videos are cut off in training."""
ALONE, MOST_CLIPS = 0.3, 5
"""How often a clip stays by itself; else it is put among up to four others."""
SHARP, SMOOTHED, CLEAR = 0.02, 0.1, 0.2
"""Temperature of pooling moments by their logits, label smoothing, and the least spread of probabilities at which the mildest moments
of an abnormal video count as hard negatives."""
WARM_UP = 20
ABSENT, QUICKER = 0.3, 20.0
"""Weight of the pass in which the right definition is missing, and how much faster the mix of both scores is learned."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """Features (n, C) of a clip, its class (0 normal), and a description (D,) of an abnormal one, None without."""

    units: NDArray[np.float32]
    kind: int
    description: NDArray[np.float32] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Made-up videos: units (B, T, C), given (B, T), labels (B, T), kinds (B,), and the clips that each is about."""

    units: Tensor
    given: Tensor
    labels: Tensor
    kinds: Tensor
    about: tuple[Clip, ...]


@dataclass(frozen=True, kw_only=True)
class Training:
    """How the network is trained; rate and steps are ours for tens of clips (published: 5e-5, 40 epochs of 64 videos)."""

    steps: int = 100
    batch: int = 16
    rate: float = 3e-4
    seed: int = 0
    short: bool = True
    """In bf16 on a CUDA device; on a processor always in fp32."""


def synthesised(abnormal: Sequence[Clip], normal: Sequence[Clip], size: int, rng: np.random.Generator) -> Batch:
    """A batch of `size` videos, half of them about an abnormal clip, each put together from clips.

    >>> rng = np.random.default_rng(0)
    >>> batch = synthesised([Clip(units=np.ones((4, 2), np.float32), kind=1)], [Clip(units=np.zeros((6, 2), np.float32), kind=0)], 4, rng)
    >>> batch.kinds.tolist(), bool((batch.units[..., 0] == batch.labels).all())
    ([1, 1, 0, 0], True)
    """
    about = [abnormal[int(k)] for k in _drawn(rng, len(abnormal), (size + 1) // 2)]
    about += [normal[int(k)] for k in _drawn(rng, len(normal), size // 2)]
    made = []
    for clip in about:
        count = 1 if rng.random() < ALONE else int(rng.integers(1, MOST_CLIPS + 1))
        parts = [(_cropped(normal[int(rng.integers(len(normal)))].units, rng), 0.0) for _ in range(count - 1)]
        parts.insert(int(rng.integers(count)), (clip.units, float(clip.kind > 0)))
        units = np.concatenate([part for part, _ in parts])[:MOST_UNITS]
        labels = np.concatenate([np.full(len(part), label, np.float32) for part, label in parts])[:MOST_UNITS]
        made.append((torch.from_numpy(np.ascontiguousarray(units, np.float32)), torch.from_numpy(labels)))
    longest = max(len(units) for units, _ in made)
    return Batch(
        units=torch.stack([F.pad(units, (0, 0, 0, longest - len(units))) for units, _ in made]),
        given=torch.stack([torch.arange(longest) < len(units) for units, _ in made]),
        labels=torch.stack([F.pad(labels, (0, longest - len(labels))) for _, labels in made]),
        kinds=torch.tensor([clip.kind for clip in about]), about=tuple(about),
    )  # fmt: skip


def _drawn(rng: np.random.Generator, count: int, wanted: int) -> NDArray[np.int64]:
    """Numbers below `count`, each about equally often."""
    turns = [rng.permutation(count) for _ in range(-(-wanted // count))]
    return np.concatenate(turns)[:wanted]


def _cropped(units: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """A piece that begins in the first half and ends in the second half of what is left."""
    start = rng.uniform(0, len(units) / 2)
    end = rng.uniform((start + len(units)) / 2, len(units))
    return units[int(start) : max(int(np.ceil(end)), int(start) + 1)]


def multiple_instance(logits: Tensor, given: Tensor, abnormal: Tensor) -> Tensor:
    """Cross-entropy of each video's highest sixteenth against whether it holds something abnormal (B,)."""
    return F.binary_cross_entropy_with_logits(top_mean(logits, given), abnormal)


def classes(similar: Tensor, given: Tensor, kinds: Tensor) -> Tensor:
    """Cross-entropy over definitions of the highest sixteenth of each definition's similarities."""
    return F.cross_entropy(top_mean(similar, given), kinds)


def synthesis(logits: Tensor, given: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of every unit against the made-up labels, and of the highest quarter (of abnormal videos: inside the labelled part)."""
    units = F.binary_cross_entropy_with_logits(logits[given], labels[given])
    abnormal = (labels * given).amax(dim=1)
    counted = torch.where(abnormal[:, None] > 0, given & (labels > 0), given)
    return units + F.binary_cross_entropy_with_logits(top_mean(logits, counted, 4), abnormal)


def negatives(judged: Judged, given: Tensor, labels: Tensor, words: Tensor) -> Tensor:
    """Descriptions against videos and videos against descriptions, raw products, with the mildest moments of abnormal videos added.

    Args:
        judged: of B videos, of which the first S are abnormal.
        given: (B, T).
        labels: (B, T).
        words: descriptions (S, W) of those, before they looked at the video.
    """
    count = len(words)
    pooled = _pooled(judged.logits, judged.moments, given)
    inside = given & (labels > 0)
    chances = torch.sigmoid(judged.logits[:count])
    spread = chances.masked_fill(~given[:count], -1).amax(dim=1) - chances.masked_fill(~given[:count], 2).amin(dim=1)
    hard = (spread >= CLEAR) & inside[:count].any(dim=1)
    mild = _pooled(-judged.logits[:count][hard], judged.moments[:count][hard], inside[:count][hard])
    videos = torch.cat([pooled, mild])
    products = words @ videos.T
    right = torch.arange(count, device=words.device)
    by_text = F.cross_entropy(products, right, label_smoothing=SMOOTHED)
    by_video = F.cross_entropy(products[:, :count].T, right, label_smoothing=SMOOTHED)
    return (by_text + by_video) / 2


def _pooled(logits: Tensor, moments: Tensor, given: Tensor) -> Tensor:
    weights = (logits / SHARP).masked_fill(~given, -torch.inf).softmax(dim=1)
    return (weights[..., None] * moments).sum(dim=1)


def train(network: LaGoVadNetwork, clips: Sequence[Clip], definitions: NDArray[np.float32], how: Training) -> list[float]:
    """Train on clips that are labelled as a whole; returns the loss of every step. Equal arguments give equal weights on one device.

    Args:
        network: on its device.
        clips: normal and abnormal ones.
        definitions: (N, D), the normal one first, then one per class.
        how: steps, batch, rate, seed, number format.

    Raises:
        BadInput: clips of one sort only, or of classes that are not defined.
    """
    normal, abnormal = [clip for clip in clips if clip.kind == 0], [clip for clip in clips if clip.kind > 0]
    if not normal or not abnormal:
        raise BadInput(f"{len(normal)} normal and {len(abnormal)} abnormal clips: expected some of both.")
    if max(clip.kind for clip in clips) >= len(definitions):
        raise BadInput(f"class {max(clip.kind for clip in clips)}: expected below {len(definitions)}, one definition per class.")
    rng, device = np.random.default_rng(how.seed), network.mix.device
    named = torch.from_numpy(np.array(definitions, np.float32)).to(device)
    others = [weight for weight in network.parameters() if weight is not network.mix]
    groups: list[dict[str, Any]] = [{"params": others}, {"params": [network.mix], "lr": QUICKER * how.rate}]
    optimizer = torch.optim.AdamW(groups, lr=how.rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 1 / WARM_UP, total_iters=WARM_UP),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, how.steps - WARM_UP)),
        ],
        milestones=[WARM_UP],
    )
    losses = []
    network.train()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(how.seed)
        for number in range(how.steps):
            batch = synthesised(abnormal, normal, how.batch, rng)
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=how.short and device.type == "cuda"):
                loss = loss_of(network, batch, named)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
            step("steps of LaGoVAD", number + 1, how.steps)
    network.eval()
    return losses


def loss_of(network: LaGoVadNetwork, batch: Batch, definitions: Tensor) -> Tensor:
    """All losses of a batch: with names of classes, and where its clips are described, with their descriptions."""
    device = definitions.device
    units, given, labels, kinds = (part.to(device) for part in (batch.units, batch.given, batch.labels, batch.kinds))
    abnormal = (labels * given).amax(dim=1)
    judged = network(units, given, definitions, names=True)
    total = _common(judged, given, labels, abnormal) + classes(judged.similar.float(), given, kinds)
    told = [clip.description for clip in batch.about if clip.kind > 0]
    if all(one is not None for one in told):
        own = torch.from_numpy(np.stack([np.asarray(one, np.float32) for one in told])).to(device)
        sentences = torch.cat([definitions[:1], own])
        judged = network(units, given, sentences)
        # The caption of a video is its class; the same sentence twice is no other class.
        right = torch.tensor([0] * len(batch.about), device=device)
        right[: len(own)] = 1 + (own @ own.T).argmax(dim=1)
        total = total + _common(judged, given, labels, abnormal) + classes(judged.similar.float(), given, right)
        total = total + negatives(_float(judged), given, labels, network.words(own, names=False).float())
    return total + ABSENT * _without(network, batch, definitions)


def _without(network: LaGoVadNetwork, batch: Batch, definitions: Tensor) -> Tensor:
    """Losses when each abnormal video's class is not among the definitions: it counts as normal, as nobody asked for it."""
    device = definitions.device
    numbers = batch.kinds.tolist()
    # The next class that is another one stands alone beside the normal definition; of a single class, only the normal one is left.
    others = [1 + kind % (len(definitions) - 1) if kind and len(definitions) > 2 else 0 for kind in numbers]
    given, units = batch.given.to(device), batch.units.to(device)
    sets = torch.stack([torch.stack([definitions[0], definitions[other]]) for other in others])
    judged = network(units, given, sets)
    none = torch.zeros_like(batch.labels, device=device)
    return _common(judged, given, none, none[:, 0])


def _common(judged: Judged, given: Tensor, labels: Tensor, abnormal: Tensor) -> Tensor:
    logits = judged.logits.float()
    return multiple_instance(logits, given, abnormal) + synthesis(logits, given, labels)


def _float(judged: Judged) -> Judged:
    return Judged(judged.logits.float(), judged.similar.float(), judged.moments.float())
