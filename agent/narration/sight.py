"""The anomaly map of a photo put before a local model as soft prompts, where an adapter was trained for that model.

The map is that of the worst photo an answer tells of. Without an adapter, without such a photo, or where anything about it fails, the
model is asked as it is: an adapter never stands between a question and its answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from agent.investigation import Investigation
from core.samples import ImageSample
from readers.open import Source

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

    from agent.narration.scene import Scene
    from models.anomaly_adapter.adapter import AnomalyAdapter
    from models.chat.local_vlm import LocalVlm

log = logging.getLogger(__name__)
Pixels: TypeAlias = NDArray[np.uint8]
_Adapter = TypeVar("_Adapter")


def told_photo(investigations: Sequence[Investigation], sources: Sequence[Source], told: Collection[str]) -> Pixels | None:
    """The photo (H, W, 3) of the worst finding among the evidence `told`; None when no photo was found abnormal.

    Raises:
        BadInput: it cannot be decoded.
    """
    found = [
        (f, inv) for inv in investigations if inv.kind == "image" for f in inv.findings if f.abnormal and f.evidence.id in told
    ]
    if not found:
        return None
    finding, inv = max(found, key=lambda pair: pair[0].severity_score)
    source = next((s for s in sources if s.name == inv.source), None)
    number = finding.evidence.facts.get("photo")
    photo = source.samples[number - 1] if source is not None and isinstance(number, int) else None
    return photo.pixels if isinstance(photo, ImageSample) else None


class Kept(Generic[_Adapter]):
    """What was trained for local models and is kept under TELLTALE_HOME, each read once and again when it was trained anew.

    Args:
        weights: name of the file that says that there is one.
        load: reads it from its folder, for a model.
    """

    def __init__(self, weights: str, load: Callable[[Path, LocalVlm], _Adapter]) -> None:
        self._weights, self._load = weights, load
        self._read: dict[tuple[Path, int], _Adapter | None] = {}

    def of(self, model: LocalVlm, home: Path) -> _Adapter | None:
        """What is kept for a model; None where there is nothing.

        Raises:
            BadInput: it is damaged, or was made for a model of another width.
        """
        from models.anomaly_adapter.store import adapter_folder

        folder = adapter_folder(home, model.folder)
        if not (folder / self._weights).is_file():
            return None
        key = folder, (folder / self._weights).stat().st_mtime_ns
        if key not in self._read:
            self._read[key] = None  # one that cannot be read is not tried again
            self._read[key] = self._load(folder, model)
        return self._read[key]


class MapReader:
    """Puts the map of an anomaly adapter before a local model."""

    def __init__(self) -> None:
        self.kept: Kept[AnomalyAdapter] = Kept("adapter.safetensors", _read_adapter)

    def before(self, model: BaseChatModel, scene: Scene) -> BaseChatModel:
        """The model with the map of the scene's photo before its prompts, or the model as it is."""
        from models.chat.local_vlm import LocalVlm

        if not isinstance(model, LocalVlm) or scene.photo is None:
            return model
        try:
            adapter = self.kept.of(model, scene.folder)
            pixels = scene.photo() if adapter is not None else None
            if adapter is None or pixels is None:
                return model
            import torch

            with torch.no_grad():
                prefix: Any = adapter.prefix([adapter.map(pixels)])
        except Exception as error:  # a damaged file, a driver, no memory: whatever it is, the model can answer without it
            log.warning("the adapter of %s is not used: %s", model.model, error)
            return model
        return model.bind(prefix=prefix)  # type: ignore[return-value]


def _read_adapter(folder: Path, model: LocalVlm) -> AnomalyAdapter:
    from models.anomaly_adapter.store import load

    return load(folder, model.load(), device=model.device)
