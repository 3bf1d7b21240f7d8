"""What the model sees: the question, the chat so far, rules in force, evidence, relation log, and pictures in the order of time.

Keyframes say their role (before, start, peak, end, after) and time, heatmaps have numbered boxes, series are plotted with their
events shaded. Everything is evidence first: a picture is only shown when the evidence it belongs to is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agent.checking.sentences import sentences_of
from agent.investigation import Investigation
from agent.narration.rows import evidence_rows, fenced
from agent.reply import Panel
from agent.verify import cited_ids
from core.evidence import Evidence
from core.samples import VideoClip
from prompts.loader import render

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

MOST_PICTURES = 12
MOST_SENTENCES = 12
MOST_TURNS = 3
LONGEST_ANSWER = 600
PLOTTED_CHANNELS = 4


@dataclass(frozen=True, kw_only=True)
class Scene:
    """All that one answer may rest on. `draft` are the lines fixed rules would answer; `accounts` are sentences about what came before
    and after each finding and what may excuse it; `folder` holds the pictures' files, `photo` reads the worst photo told of, and `clip`
    finds the clip of the worst event told of with the seconds of its keyframes.
    """

    question: str
    evidence: Sequence[Evidence]
    draft: Sequence[str]
    panels: Sequence[Panel] = ()
    history: Sequence[tuple[str, str]] = ()
    rules: Sequence[str] = ()
    relations: Sequence[Evidence] = ()
    accounts: Sequence[str] = ()
    folder: Path = field(default_factory=Path)
    photo: Callable[[], NDArray[np.uint8] | None] | None = None
    clip: Callable[[], tuple[VideoClip, tuple[float, ...]] | None] | None = None

    @property
    def pictures(self) -> list[Panel]:
        """The panels that can be shown, at most `MOST_PICTURES`: files first come, then score curves."""
        files = [p for p in self.panels if p.path and (self.folder / p.path).is_file()]
        curves = [p for p in self.panels if p.kind == "curve" and p.data]
        return [*files[: MOST_PICTURES - min(len(curves), 2)], *curves[:2]]

    @property
    def proven(self) -> dict[str, tuple[str, ...]]:
        """The sentences of the fixed rules with what they cite; each was held against that."""
        return {part: cited_ids(part) or cited_ids(line) for line in (*self.draft, *self.accounts) for part in sentences_of(line)}

    def system(self) -> str:
        """The system message."""
        return render("narrate", most_sentences=MOST_SENTENCES)

    def text(self) -> str:
        """The text before the pictures."""
        return render(
            "narrate_question", question=fenced(self.question), rules=[fenced(rule) for rule in self.rules],
            history=[{"question": fenced(q), "answer": _short(a)} for q, a in self.history[-MOST_TURNS:]],
            evidence=evidence_rows(self.evidence), draft=list(self.draft), accounts=list(self.accounts),
            relations=[f"[{r.id}] {fenced(r.facts['relation'])}" for r in self.relations], pictures=len(self.pictures),
        )  # fmt: skip

    def messages(self) -> list[BaseMessage]:
        """The messages a chat model is sent: system, then the person's with text and pictures in turn."""
        from langchain_core.messages import HumanMessage, SystemMessage

        blocks: list[str | dict[str, Any]] = [{"type": "text", "text": self.text()}]
        for panel in self.pictures:
            blocks.append({"type": "text", "text": _caption(panel)})
            blocks.append(_block(panel, self.folder))
        return [SystemMessage(self.system()), HumanMessage(blocks)]


def shown(investigations: Sequence[Investigation], evidence: Mapping[str, Evidence], ids: Sequence[str]) -> list[Panel]:
    """The panels that belong to the evidence `ids`, and pictures of lookups among it."""
    wanted = set(ids)
    panels = [p for inv in investigations for p in inv.panels if p.evidence in wanted and p.kind != "table"]
    had = {p.path for p in panels if p.path}
    for i in ids:
        item = evidence[i]
        if item.path and item.path.endswith(".png") and item.path not in had:
            panels.append(
                Panel(kind="picture", caption=item.tool.replace("_", " "), source=item.source, evidence=i, path=item.path)
            )
    return panels


def _caption(panel: Panel) -> str:
    kinds = {
        "heatmap": "Heatmap, brighter is stranger",
        "keyframe": "Keyframe",
        "curve": "Plot",
        "picture": "Picture",
        "graph": "Graph",
        "table": "",
    }
    return f"{kinds[panel.kind]} of {fenced(panel.source)} [{panel.evidence}]: {fenced(panel.caption)}"


def _block(panel: Panel, folder: Path) -> dict[str, Any]:
    from PIL import Image

    from models.chat.messages import picture_block

    data = (folder / panel.path).read_bytes() if panel.path else _plot(panel)
    with Image.open(BytesIO(data)) as picture:
        return picture_block(np.asarray(picture.convert("RGB")))


def _plot(panel: Panel) -> bytes:
    """The score curve and the first channels of a curve panel as a PNG, with its events shaded."""
    from core.draw import series_plot

    data = panel.data or {}
    seconds = np.asarray(data["seconds"], np.float64)
    channels = [c for c in data.get("series", []) if len(c["values"]) == len(seconds)][:PLOTTED_CHANNELS]
    rows = [np.asarray(values, np.float32) for values in (data["scores"], *(c["values"] for c in channels))]
    events = [(float(e["start_s"]), float(e["end_s"])) for e in data.get("events", [])]
    names = ["how unusual", *(str(c["name"]) for c in channels)]
    return series_plot(seconds, np.stack(rows, axis=1), names, events=events, epoch_s=data.get("epoch_s"))


def _short(answer: str) -> str:
    flat = " ".join(answer.split())
    return flat if len(flat) <= LONGEST_ANSWER else flat[:LONGEST_ANSWER].rstrip() + "…"
