"""Frames and sentences as CLIP sees them, for whoever has its weights: a pulled model or a folder of transformers.

Source: Radford et al., CLIP (2021). Frames are squashed to the network's square, so that nothing of the view is cut off, and given as
projected embeddings that are not scaled to length 1; sentences as the text tower's pooled output before its projection. LaGoVAD (ICLR
2026) takes both so.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput


class ClipFeatures:
    """CLIP by name.

    Args:
        name: owner/name of a pulled model, or the path of a folder with config.json and safetensors.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        UnknownName: it is not on this machine; the message says how to get it (first use).
        BadInput: it is no CLIP (first use).
    """

    def __init__(self, name: str, *, device: str = "auto") -> None:
        self.name, self.device = name, device

    @cached_property
    def _loaded(self) -> tuple[Any, Any, Any]:
        from transformers import AutoTokenizer, CLIPModel

        from models.chat.hub import find_model
        from models.device import place

        title, folder = find_model(self.name)
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model: Any = CLIPModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise BadInput(
                f"encoder {title!r}: expected CLIP in the format of transformers, but it cannot be read ({error})."
            ) from error
        placement = place(self.device)
        return tokenizer, model.to(placement.device).eval(), placement.device

    def frames(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Embeddings (N, D) of frames (H, W, 3) uint8 RGB."""
        import cv2
        import torch

        _, model, device = self._loaded
        side = int(model.config.vision_config.image_size)
        squashed = np.stack([cv2.resize(one, (side, side), interpolation=cv2.INTER_AREA) for one in pictures])
        pixels = torch.from_numpy(squashed).to(device).permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(v, device=device)[:, None, None] for v in (MEAN, STD))
        with torch.inference_mode():
            seen = model.vision_model(pixel_values=(pixels - mean) / std).pooler_output
            return np.asarray(model.visual_projection(seen).float().cpu().numpy(), np.float32)

    def texts(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Pooled outputs (N, D) of sentences; what is longer than the text tower takes is cut off."""
        import torch

        tokenizer, model, device = self._loaded
        longest = int(model.config.text_config.max_position_embeddings)
        given = tokenizer(list(sentences), padding=True, truncation=True, max_length=longest, return_tensors="pt").to(device)
        with torch.inference_mode():
            out = model.text_model(input_ids=given["input_ids"], attention_mask=given["attention_mask"])
        return np.asarray(out.pooler_output.float().cpu().numpy(), np.float32)


MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of red, green and blue, by which CLIP's pictures are normalised."""
