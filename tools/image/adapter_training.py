"""Trains an anomaly adapter for a local language model on photos of good parts: its defects are simulated, its model stays as it is.

First the decoder learns to find simulated defects, then the prompt learner learns to say where they are, from the decoder's maps of
other simulated photos (`models.anomaly_adapter`, after Gu et al., AnomalyGPT, AAAI 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from tools.image.simulated_defects import Simulated, simulate

if TYPE_CHECKING:
    from models.anomaly_adapter.adapter import AnomalyAdapter
    from models.chat.vlm_loading import LoadedVlm

Pixels: TypeAlias = NDArray[np.uint8]
QUESTION = "What do you see in the picture?"
LEAST_PHOTOS = 4
"""Pieces of other good photos are what most defects are made of."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is learned from: simulated photos for each of the two parts, steps of the decoder, epochs of the prompt learner."""

    photos: int = 96
    steps: int = 200
    epochs: int = 10
    side: int = 320


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """The adapter, the decoder's loss at the end, and the loss per answer token of the first and of the last epoch."""

    adapter: AnomalyAdapter
    decoder_loss: float
    first_loss: float
    last_loss: float


def train_adapter(
    loaded: LoadedVlm, good: Sequence[Pixels], *, name: str = "surface", effort: Effort | None = None, seed: int = 0,
    device: str = "auto",
) -> Trained:  # fmt: skip
    """Train decoder and prompt learner for `loaded`; equal arguments give equal weights on one device.

    Args:
        loaded: the language model, which is neither changed nor saved.
        good: photos (H, W, 3) uint8 RGB of good parts, at least four.
        name: what they show, "bottle": the words the decoder compares with.
        effort: how long to train; default is `Effort()`.
        seed: of the simulated defects and the first weights.
        device: where the decoder runs.

    Raises:
        BadInput: too few photos, or not photos.
    """
    import torch

    from models.anomaly_adapter.adapter import AnomalyAdapter, features_of, level_channels, level_encoder
    from models.anomaly_adapter.decoder import TextDecoder, text_vectors
    from models.anomaly_adapter.prompt_learner import learner_for
    from models.anomaly_adapter.train import Lesson, drawn, patch_truth, train_decoder, train_prompt_learner
    from models.device import place

    if len(good) < LEAST_PHOTOS:
        raise BadInput(f"{len(good)} photos of good parts: expected at least {LEAST_PHOTOS}; give more of them.")
    effort = effort or Effort()
    encoder = level_encoder(side=effort.side, device=device)
    generator = torch.Generator().manual_seed(seed)
    patches = [
        drawn(features_of(encoder, one.pixels), patch_truth(encoder, one.mask), generator)
        for one in simulate(good, count=effort.photos, seed=seed)
    ]
    features, truth = (torch.cat(part) for part in zip(*patches, strict=True))
    decoder = TextDecoder(level_channels(), text_vectors(name), seed=seed).to(place(device).device)
    decoder_loss = train_decoder(decoder, features, truth, steps=effort.steps, seed=seed)
    adapter = AnomalyAdapter(loaded=loaded, encoder=encoder, decoder=decoder, learner=learner_for(loaded.model, seed=seed))
    lessons = [
        Lesson(picture=one.pixels, map=adapter.map(one.pixels), question=QUESTION, answer=answer_of(one))
        for one in simulate(good, count=effort.photos, seed=seed + 1)
    ]
    losses = train_prompt_learner(adapter, lessons, epochs=effort.epochs, seed=seed)
    return Trained(adapter=adapter, decoder_loss=decoder_loss, first_loss=losses[0], last_loss=losses[-1])


def answer_of(one: Simulated) -> str:
    """What is to be said of a simulated photo, in the words that mark what a model sees and nothing measured.

    >>> answer_of(Simulated(pixels=np.zeros((4, 4, 3), np.uint8), mask=np.zeros((4, 4), np.bool_), spots=(), source=0))
    'In the picture nothing is damaged.'
    """
    places = " and ".join(dict.fromkeys(spot.place for spot in one.spots))
    return f"In the picture something is damaged, {places}." if places else "In the picture nothing is damaged."
