"""Language to picture without CLIP: concept matching between ImageNet classes and words (ConSE).

A picture is the convex combination of the sentence vectors of its most probable ImageNet class names, weighted by their
probabilities; its similarity to a phrase is the cosine in that space. Always reported as concept matching: it knows a thousand
things, no colours, counts, actions or relations. Source: Norouzi et al., Zero-Shot Learning by Convex Combination of Semantic
Embeddings (ICLR 2014; arXiv 2013). Class names: WordNet lemmas in ImageNet-1k order, as listed by timm (Apache-2.0).
Pictures are (H, W, 3) uint8 RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput

CLASSES = 1000
RIVALS = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light", "fire hydrant", "stop sign",
    "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack",
    "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "ball", "kite", "baseball bat", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet", "tv", "laptop",
    "computer mouse", "remote control", "keyboard", "phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock",
    "vase", "scissors", "teddy bear", "hair dryer", "toothbrush",
)  # fmt: skip
"""Common things that a phrase has to beat before it is believed to be in a picture: the class names of COCO (CC BY 4.0)."""
SAME_THING = 0.7
"""A rival whose name is at least this similar to the phrase is another word for it and no rival."""
SURE_RANK, LIKELY_RANK, LIKELY_MARGIN = 3, 5, 0.12


@dataclass(frozen=True, kw_only=True)
class Concept:
    """An ImageNet class seen in a picture, with its probability (0–1)."""

    name: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Sought:
    """How a phrase fares in some pictures: its similarity to each, and in the best one its place among common things.

    `rank` counts from 1; `sooner` names the rivals that fit the best picture better, best first.
    """

    similarity: tuple[float, ...]
    best: int
    rank: int
    sooner: tuple[str, ...]

    @property
    def median(self) -> float:
        """Similarity of the middle picture: what the phrase gets where nothing speaks for it."""
        return float(np.median(self.similarity))

    @property
    def clear(self) -> bool:
        """True when few common things fit the best picture better, or some do but it stands out from the other pictures."""
        margin = self.similarity[self.best] - self.median
        return self.rank <= SURE_RANK or (self.rank <= LIKELY_RANK and margin >= LIKELY_MARGIN)


@cache
def class_names() -> tuple[str, ...]:
    """The 1000 class names in the network's order, each with its synonyms.

    >>> class_names()[1], len(class_names())
    ('goldfish, Carassius auratus', 1000)
    """
    text = (Path(__file__).parent / "imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def describe(pictures: Sequence[NDArray[np.uint8]], *, top: int = 3, device: str = "auto") -> list[list[Concept]]:
    """The `top` most probable class names of each picture, likeliest first.

    Raises:
        BadInput: no picture, a picture that is not (H, W, 3) uint8, or `top` outside 1–1000.
    """
    probabilities = _probabilities(pictures, top, device)
    return [
        [Concept(name=class_names()[i].split(",")[0], probability=float(row[i])) for i in np.argsort(-row, kind="stable")[:top]]
        for row in probabilities
    ]


def match(
    pictures: Sequence[NDArray[np.uint8]], phrases: Sequence[str], *, top: int = 10, device: str = "auto"
) -> NDArray[np.float32]:
    """Concept similarity (N, P) float32 in −1…1 of `pictures` with `phrases`; compare it across pictures, not with a fixed bar.

    Raises:
        BadInput: as `describe`.
    """
    from models.text import embed

    return project(_probabilities(pictures, top, device), top=top, device=device) @ embed(phrases, device=device).T


def seek(
    pictures: Sequence[NDArray[np.uint8]], phrase: str, *, among: Sequence[int] = (), top: int = 10, device: str = "auto"
) -> Sought:
    """Look for `phrase` in `pictures`; the best one is taken from the indices `among` (all when empty).

    Cosines differ from phrase to phrase, so a phrase counts by what it beats: other things in the same picture, and itself elsewhere.

    Raises:
        BadInput: as `describe`.
    """
    from models.text import embed

    vectors = project(_probabilities(pictures, top, device), top=top, device=device)
    wanted, rivals = embed([phrase], device=device)[0], embed(RIVALS, device=device)
    similarity = vectors @ wanted
    best = max(among or range(len(pictures)), key=lambda i: float(similarity[i]))
    against = np.where(rivals @ wanted < SAME_THING, rivals @ vectors[best], -1.0)
    sooner = [RIVALS[i] for i in np.argsort(-against, kind="stable") if against[i] > similarity[best]]
    return Sought(similarity=tuple(float(v) for v in similarity), best=best, rank=1 + len(sooner), sooner=tuple(sooner))


def project(probabilities: NDArray[np.float32], *, top: int = 10, device: str = "auto") -> NDArray[np.float32]:
    """Unit vectors (N, 384) float32 in sentence space of class probabilities (N, 1000): the convex combination of the `top` names."""
    from models.text import embed

    chosen = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    used = np.unique(chosen)  # a handful of the thousand: embedding all of them would cost a second
    vectors = embed([class_names()[i] for i in used], device=device)
    out = np.zeros((len(probabilities), vectors.shape[1]), np.float32)
    for row, classes in enumerate(chosen):
        weights = probabilities[row, classes] / max(float(probabilities[row, classes].sum()), 1e-12)
        mixed = weights @ vectors[np.searchsorted(used, classes)]
        out[row] = mixed / max(float(np.linalg.norm(mixed)), 1e-12)
    return out


def _probabilities(pictures: Sequence[NDArray[np.uint8]], top: int, device: str) -> NDArray[np.float32]:
    from models.patches import PatchEncoder

    if not 1 <= top <= CLASSES:
        raise BadInput(f"top={top!r}: expected 1 to {CLASSES}.")
    return PatchEncoder(device=device).probabilities(pictures)
