"""How the relations between people and things change around an event, put before a local model as soft prompts, where that was learned.

The event is the worst of a video that an answer tells of; its keyframes are those that the model is shown. As with a photo's map
(`agent.narration.sight`), nothing here ever stands between a question and its answer.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.investigation import Investigation
from agent.narration.sight import Kept
from core.samples import VideoClip
from core.settings import choice
from readers.open import Source

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

    from agent.narration.scene import Scene
    from models.chat.local_vlm import LocalVlm
    from models.relation_adapter import RelationAdapter

log = logging.getLogger(__name__)
RELATIONS = ("all", "symbolic", "none")
"""Values of TELLTALE_RELATIONS: the relation log as text and, where learned, as soft prompts; as text only; not at all."""


def told_clip(
    investigations: Sequence[Investigation], sources: Sequence[Source], told: Collection[str]
) -> tuple[VideoClip, tuple[float, ...]] | None:
    """The clip of the worst event among the evidence `told` and its keyframes in seconds; None when no video was found abnormal."""
    found = [
        (f, inv) for inv in investigations if inv.kind == "video" for f in inv.findings if f.abnormal and f.evidence.id in told
    ]
    if not found:
        return None
    finding, inv = max(found, key=lambda pair: pair[0].severity_score)
    clip = next((sample for s in sources if s.name == inv.source for sample in s.samples), None)
    looks = finding.evidence.facts.get("keyframes_s")
    times = tuple(sorted({float(t) for t in looks})) if isinstance(looks, list | tuple) else ()
    return (clip, times) if isinstance(clip, VideoClip) and len(times) > 1 else None


class ChangeReader:
    """Puts what a relation encoder makes of an event before a local model."""

    def __init__(self) -> None:
        self.kept: Kept[RelationAdapter] = Kept("relations.safetensors", _read_encoder)

    def before(self, model: BaseChatModel, scene: Scene) -> BaseChatModel:
        """The model with the changes of the scene's event before its prompts, or the model as it is."""
        from models.chat.local_vlm import LocalVlm

        if not isinstance(model, LocalVlm) or scene.clip is None or choice("relations", RELATIONS) != "all":
            return model
        try:
            adapter = self.kept.of(model, scene.folder)
            told = scene.clip() if adapter is not None else None
            if adapter is None or told is None:
                return model
            import torch

            from tools.video.relation_features import Relations

            clip, times = told
            rows = [torch.from_numpy(one) for one in Relations.of(clip).vectors(times)]
            with torch.no_grad():
                prefix: Any = adapter.prefix([rows], torch.tensor([times]))
        except Exception as error:  # a damaged file, a driver, no memory: whatever it is, the model can answer without it
            log.warning("the relation encoder of %s is not used: %s", model.model, error)
            return model
        return model.bind(prefix=prefix)  # type: ignore[return-value]


def _read_encoder(folder: Path, model: LocalVlm) -> RelationAdapter:
    from models.relation_adapter import load

    return load(folder, model.load())
