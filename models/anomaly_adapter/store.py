"""A trained adapter on disk: weights as safetensors, everything else as JSON, nothing pickled, each file written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.archive import write_atomic
from core.errors import BadInput
from models.anomaly_adapter.adapter import AnomalyAdapter, level_encoder
from models.anomaly_adapter.decoder import TextDecoder
from models.anomaly_adapter.prompt_learner import PromptLearner

if TYPE_CHECKING:
    from models.chat.vlm_loading import LoadedVlm

WEIGHTS, ABOUT = "adapter.safetensors", "adapter.json"
FORMAT = 1


def adapter_folder(home: Path, model: Path) -> Path:
    """Where the adapter of the local model in folder `model` is kept under TELLTALE_HOME.

    >>> adapter_folder(Path("home"), Path("models/Qwen--Qwen3-VL-4B-Instruct")).as_posix()
    'home/adapters/Qwen--Qwen3-VL-4B-Instruct'
    """
    return home / "adapters" / model.resolve().name


def save(adapter: AnomalyAdapter, folder: Path) -> None:
    """Write decoder, prompt learner and their settings into `folder`; the language model is not part of it."""
    from safetensors.torch import save as packed

    parts = {"decoder": adapter.decoder, "learner": adapter.learner}
    tensors = {
        f"{name}.{key}": tensor.detach().cpu().contiguous()
        for name, part in parts.items()
        for key, tensor in part.state_dict().items()
    }
    about = {
        "format": FORMAT, "model": adapter.loaded.folder.name, "side": adapter.encoder.side,
        "channels": list(adapter.decoder.channels), "text_width": int(adapter.decoder.texts.shape[1]),
        "width": adapter.learner.width, "scale": adapter.learner.scale,
    }  # fmt: skip
    write_atomic(folder / WEIGHTS, packed(tensors))
    write_atomic(folder / ABOUT, json.dumps(about, indent=1).encode())


def load(folder: Path, loaded: LoadedVlm, *, device: str = "auto") -> AnomalyAdapter:
    """Read what `save` wrote, for use with a model of the same width.

    Args:
        folder: of the adapter.
        loaded: the language model.
        device: where patch features and decoder run: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        BadInput: files are missing, damaged or do not fit each other or the model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as unpacked

    from models.device import place

    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise ValueError(f"format {about['format']!r}, expected {FORMAT}")
        tensors = unpacked((folder / WEIGHTS).read_bytes())
        decoder = TextDecoder(about["channels"], np.zeros((2, about["text_width"]), np.float32))
        learner = PromptLearner(about["width"], scale=about["scale"])
        for name, part in (("decoder.", decoder), ("learner.", learner)):
            part.load_state_dict({key.removeprefix(name): value for key, value in tensors.items() if key.startswith(name)})
        encoder = level_encoder(side=about["side"], device=device)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise BadInput(f"adapter {folder.name!r}: expected a saved anomaly adapter, but it cannot be read ({error}).") from error
    decoder.to(place(device).device).eval()
    learner.to(loaded.device).eval()
    return AnomalyAdapter(loaded=loaded, encoder=encoder, decoder=decoder, learner=learner)
