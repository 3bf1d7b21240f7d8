"""From patch features to a map of "abnormal" through the words for normal and abnormal: there is no threshold to set.

Source: after the image decoder of Gu et al., AnomalyGPT (AAAI 2024), whose backbone and text tower are ImageBind; ours are the embedded
EfficientNet-Lite0 (`models.patches`) and MiniLM (`models.text`), and any other pair of text vectors may be given, CLIP's for instance.
A linear map per level takes each patch into the space of the texts; the map of a level is the abnormal half of

    softmax over {normal, abnormal} of  s · cos(W_l · z_l, t),

averaged over the levels (z_l: features with the normal photos' mean and deviation taken out, s = 10: at CLIP's 100 the softmax
saturates before MiniLM's two vectors, 0.9 alike, are told apart). Losses: focal (Lin et al., ICCV 2017) and Dice (Milletari et
al., 3DV 2016). With normal photos in context there is a second map that needs no training: 1 − the largest cosine to their patches.

Axes: features (P, C) of P patches, C the levels' channels side by side; text vectors (2, D), normal first, unit length; maps
(P,) float32 from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from core.errors import BadInput

TextEncoder: TypeAlias = Callable[[Sequence[str]], NDArray[np.float32]]

NORMAL_STATES = ("a flawless {}", "a perfect {}", "an intact {}", "a {} without any defect", "a {} in good condition")
ABNORMAL_STATES = ("a damaged {}", "a broken {}", "a {} with a defect", "a {} with a scratch or a crack", "a stained {}")
FRAMES = ("a photo of {}", "a close-up photo of {}")
SCALE = 10.0
FOCUS = 2.0
"""Exponent of the focal loss."""


def text_vectors(name: str = "surface", *, encode: TextEncoder | None = None) -> NDArray[np.float32]:
    """Unit vectors (2, D) of the normal and the abnormal wording of `name`, each the mean of ten sentences.

    Args:
        name: what the photos show, "bottle".
        encode: sentences to vectors (N, D); default is the embedded MiniLM.

    >>> vectors = text_vectors("bottle", encode=lambda texts: np.array([[len(t), 1.0] for t in texts], np.float32))
    >>> vectors.shape, np.linalg.norm(vectors, axis=1).round(3).tolist()
    ((2, 2), [1.0, 1.0])
    """
    if encode is None:
        from models.text import embed

        encode = embed
    means = [
        encode([frame.format(state.format(name)) for state in states for frame in FRAMES]).mean(axis=0)
        for states in (NORMAL_STATES, ABNORMAL_STATES)
    ]
    vectors = np.stack(means)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


class TextDecoder(nn.Module):
    """Linear maps per level and the two text vectors.

    Args:
        channels: channels of each level, in the order in which features hold them.
        texts: unit vectors (2, D), normal first.
        seed: of the first weights.

    >>> texts = np.eye(2, 8, dtype=np.float32)
    >>> decoder = TextDecoder((3, 5), texts)
    >>> decoder(torch.zeros(4, 8)).shape, len(decoder.levels(torch.zeros(4, 8)))
    (torch.Size([4]), 2)
    """

    mean: Tensor
    deviation: Tensor
    texts: Tensor

    def __init__(self, channels: Sequence[int], texts: NDArray[np.float32], *, seed: int = 0) -> None:
        super().__init__()
        if not channels or min(channels) < 1 or texts.ndim != 2 or len(texts) != 2:
            raise BadInput(
                f"channels {tuple(channels)!r}, texts {texts.shape}: expected channel counts and text vectors of shape (2, D)."
            )
        self.channels = tuple(int(count) for count in channels)
        generator = torch.Generator().manual_seed(seed)
        linears = [nn.Linear(count, texts.shape[1]) for count in self.channels]
        self.maps = nn.ModuleList(linears)
        for linear in linears:
            with torch.no_grad():
                linear.weight.copy_(torch.randn(linear.weight.shape, generator=generator) / linear.in_features**0.5)
                linear.bias.zero_()
        self.register_buffer("texts", torch.from_numpy(np.array(texts, dtype=np.float32)))
        self.register_buffer("mean", torch.zeros(sum(self.channels)))
        self.register_buffer("deviation", torch.ones(sum(self.channels)))

    def standardise(self, features: Tensor) -> None:
        """Take mean and deviation of normal patches (P, C) as those to be taken out."""
        self.mean.copy_(features.mean(dim=0))
        self.deviation.copy_(features.std(dim=0, correction=0).clamp_min(1e-3))

    def projected(self, features: Tensor) -> list[Tensor]:
        """Unit vectors (P, D) of patches (P, C) in the texts' space, one per level.

        Raises:
            BadInput: another number of channels.
        """
        if features.shape[-1] != len(self.mean):
            raise BadInput(
                f"features {tuple(features.shape)}: expected {len(self.mean)} channels, those of levels {self.channels}."
            )
        parts = torch.split((features - self.mean) / self.deviation, list(self.channels), dim=-1)
        return [F.normalize(linear(part), dim=-1) for linear, part in zip(self.maps, parts, strict=True)]

    def levels(self, features: Tensor) -> list[Tensor]:
        """Logits (P, 2) of normal and abnormal, one per level."""
        return [SCALE * vectors @ self.texts.T for vectors in self.projected(features)]

    def forward(self, features: Tensor) -> Tensor:
        """The map (P,) of patches (P, C): how abnormal, 0 to 1, mean of the levels."""
        return torch.stack([logits.softmax(dim=-1)[:, 1] for logits in self.levels(features)]).mean(dim=0)

    def remember(self, features: Tensor) -> list[Tensor]:
        """The projected patches of normal photos (P, C), one memory (P, D) per level, for `in_context`."""
        with torch.no_grad():
            return self.projected(features)

    def in_context(self, features: Tensor, memory: Sequence[Tensor]) -> Tensor:
        """The few-shot map (P,): 1 − the mean over levels of the largest cosine to a remembered patch; 0 = seen before."""
        from models.nearest import largest_cosine

        with torch.no_grad():
            nearest = [largest_cosine(ours, theirs) for ours, theirs in zip(self.projected(features), memory, strict=True)]
        return (1 - torch.stack(nearest).mean(dim=0)).clamp(0, 1)


def map_loss(levels: Sequence[Tensor], truth: Tensor) -> Tensor:
    """Focal loss on both classes plus Dice loss on the abnormal one, summed over levels.

    Args:
        levels: logits (P, 2) per level.
        truth: (P,) float, 1 where a patch is abnormal.

    >>> sure = torch.tensor([[9.0, -9.0], [-9.0, 9.0]])
    >>> round(map_loss([sure], torch.tensor([0.0, 1.0])).item(), 3), map_loss([sure], torch.tensor([1.0, 0.0])).item() > 10
    (0.0, True)
    """
    total = truth.new_zeros(())
    for logits in levels:
        log_share = logits.log_softmax(dim=-1)
        right = torch.where(truth > 0.5, log_share[:, 1], log_share[:, 0])
        focal = (-((1 - right.exp()) ** FOCUS) * right).mean()
        abnormal = log_share[:, 1].exp()
        dice = 1 - (2 * (abnormal * truth).sum() + 1e-3) / (abnormal.sum() + truth.sum() + 1e-3)
        total = total + focal + dice
    return total
