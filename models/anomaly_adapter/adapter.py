"""An anomaly map put before a local vision-language model: ask about a photo, with normal photos in context and over several turns.

Source: after Gu et al., AnomalyGPT (AAAI 2024): the decoder's map becomes soft prompt embeddings in front of the prompt, the photo goes
into the first turn, and normal photos in context replace the worded map by the distance to their patches. The model keeps its own
eyes: photo and normal photos are shown to it as well. Nothing of the model is changed.

Axes: photos (H, W, 3) uint8 RGB; maps (H, W) float32 from 0 to 1.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import BadInput
from models.anomaly_adapter.decoder import TextDecoder
from models.anomaly_adapter.prompt_learner import TOKENS, PromptLearner, to_side
from models.patches import PatchEncoder
from models.soft_prompts import placeholder, prefixed, with_room

if TYPE_CHECKING:
    from models.chat.vlm_loading import LoadedVlm

Pixels: TypeAlias = NDArray[np.uint8]
Turn: TypeAlias = tuple[str, str]
"""An earlier question and its answer."""
LEVELS = (8, 16, 32)
"""Pixels of the resized photo per patch of each level."""
MAX_TOKENS = 200
MAX_CONTEXT = 16_384
EXAMPLE, JUDGED = "A normal example:", "The photo to judge:"


@dataclass(frozen=True, kw_only=True, eq=False)
class Description:
    """What the model answered, and the map (H, W) that was put before it."""

    answer: str
    map: NDArray[np.float32]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class AnomalyAdapter:
    """A local model with the two trainable parts; `models.anomaly_adapter.train` trains them, `store` keeps them.

    Args:
        loaded: the model, from `models.chat.vlm_loading.load_vlm` or `LocalVlm.load()`.
        encoder: patch features of the decoder's levels, see `level_encoder`.
        decoder: features to map.
        learner: map to prefix; its width is the model's.

    Raises:
        BadInput: the learner was made for a model of another width.
    """

    loaded: LoadedVlm
    encoder: PatchEncoder
    decoder: TextDecoder
    learner: PromptLearner
    placeholder: int = field(init=False)

    def __post_init__(self) -> None:
        width = int(self.loaded.model.get_input_embeddings().weight.shape[1])
        if self.learner.width != width:
            raise BadInput(
                f"the prompt learner was trained for a model of width {self.learner.width}: {self.loaded.folder.name!r} has {width}; "
                "train it for this model."
            )
        object.__setattr__(self, "placeholder", placeholder(self.loaded.model))

    def describe(
        self, picture: Pixels, question: str, normals: Sequence[Pixels] = (), history: Sequence[Turn] = (), *,
        max_tokens: int = MAX_TOKENS, budget_s: float = float("inf"), shown: NDArray[np.float32] | None = None,
    ) -> Description:  # fmt: skip
        """Answer a question about a photo.

        Args:
            picture: the photo.
            question: of this turn.
            normals: normal photos in context.
            history: earlier questions about this photo with their answers, oldest first.
            max_tokens: the answer may have so many.
            budget_s: seconds for the answer.
            shown: a map (H, W), 0 to 1, to put before the model instead of the decoder's own, any detector's for instance.

        Raises:
            BadInput: not a photo, or text longer than the model's context.
            AnswerCutOff: time or tokens ran out; the text so far is in `partial`.
        """
        from models.chat.timing import Stopwatch
        from models.chat.vlm_writing import Writing

        seen = self.map(picture, normals) if shown is None else shown
        inputs = self.prompt(picture, question, normals=normals, history=history, max_tokens=max_tokens)
        with torch.no_grad():
            prefix = self.prefix([seen])
        writing = Writing(
            self.loaded, with_room(inputs, self.placeholder, TOKENS), max_tokens=max_tokens, deadline=time.monotonic() + budget_s,
            watch=Stopwatch(),
        )  # fmt: skip
        with prefixed(self.loaded.model, prefix, self.placeholder):
            for _ in writing:
                pass
        return Description(answer=writing.text.strip(), map=seen)

    def map(self, picture: Pixels, normals: Sequence[Pixels] = ()) -> NDArray[np.float32]:
        """How abnormal each pixel is (H, W), 0 to 1: by the words alone, or with `normals` by the distance to their patches."""
        height, width = picture.shape[:2]
        features = features_of(self.encoder, picture)
        with torch.no_grad():
            if normals:
                memory = self.decoder.remember(torch.cat([features_of(self.encoder, normal) for normal in normals]))
                patches = self.decoder.in_context(features, memory)
            else:
                patches = self.decoder(features)
        grid = patches.float().cpu().numpy().reshape(self.encoder.grid(height, width))
        return self.encoder.to_pixels(grid, height, width)

    def prefix(self, maps: Sequence[NDArray[np.float32]]) -> Tensor:
        """Soft prompts (N, 18, W) of maps, each (H, W) of any size."""
        device = self.learner.base.device
        sized = [to_side(torch.from_numpy(np.array(one, np.float32))) for one in maps]
        prefix: Tensor = self.learner(torch.stack(sized).to(device))
        return prefix

    def prompt(
        self, picture: Pixels, question: str, *, normals: Sequence[Pixels] = (), history: Sequence[Turn] = (),
        max_tokens: int = MAX_TOKENS,
    ) -> dict[str, Any]:  # fmt: skip
        """The conversation as the model's tensors, with room for the answer but without the prefix."""
        from PIL import Image

        from models.chat.vlm_messages import Turns, defuse
        from models.chat.vlm_prompt import fit

        def words(text: str) -> dict[str, Any]:
            return {"type": "text", "text": defuse(text, self.loaded.marks)}

        made = Turns(media=[Image.fromarray(np.ascontiguousarray(pixels)) for pixels in (*normals, picture)])
        opening: list[dict[str, Any]] = []
        for number in range(len(normals)):
            opening += [words(EXAMPLE), {"type": "image", "medium": number}]
        opening += [words(JUDGED)] if normals else []
        opening.append({"type": "image", "medium": len(normals)})
        for asked, answered in history:
            made.turns += [
                {"role": "user", "content": [*opening, words(asked)]},
                {"role": "assistant", "content": [words(answered)]},
            ]
            opening = []
        made.turns.append({"role": "user", "content": [*opening, words(question)]})
        room = min(MAX_CONTEXT, self.loaded.context) - max_tokens - TOKENS
        return fit(self.loaded, made, room=room, tiles=False).inputs


def level_encoder(*, side: int = 320, device: str = "auto") -> PatchEncoder:
    """The patch encoder of the decoder's three levels: 8, 16 and 32 pixels per patch, 472 channels."""
    return PatchEncoder(side=side, strides=LEVELS, device=device)


def level_channels() -> tuple[int, ...]:
    """Channels of each level.

    >>> level_channels()
    (40, 112, 320)
    """
    from models.efficientnet_lite import TAPS

    return tuple(TAPS[stride][1] for stride in LEVELS)


def features_of(encoder: PatchEncoder, picture: Pixels) -> Tensor:
    """Patch features (P, C) of one photo, in reading order.

    Raises:
        BadInput: not (H, W, 3) uint8.
    """
    return encoder.encode([picture])[0].flatten(0, 1)
