"""A relation encoder put before a local language model: trained, kept and read.

Source: after VADER (arXiv 2511.07299), as reconstructed in `models.relation_change`: codes of how relations change are projected into the
model's embeddings. Trained are encoder and projection, with L = L_LM + 0.1 · L_NCE: the frozen model has to say what the relation log says
of an interval, and two views of an interval have to be alike. The model itself is not changed (the paper also trains LoRA in it).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.archive import write_atomic
from core.errors import BadInput
from core.progress import step
from models.relation_change import QUERIES, RelationChange, RelationPrompt, contrast, stacked
from models.soft_prompts import Asked, answer_loss, answer_tokens, batches, frozen

if TYPE_CHECKING:
    from models.chat.vlm_loading import LoadedVlm

WEIGHTS, ABOUT = "relations.safetensors", "relations.json"
FORMAT = 1
CONTRAST_SHARE = 0.1
ENOUGH = 0.3
"""Contrast at which the views of a batch are told apart well enough."""
MAX_CONTEXT = 4_096


@dataclass(frozen=True, kw_only=True, eq=False)
class Interval:
    """Keyframes of an interval seen twice: two views, each K tensors (m, C) of relations, and `seconds` (K,) of the keyframes."""

    first: tuple[Tensor, ...]
    second: tuple[Tensor, ...]
    seconds: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class RelationAdapter:
    """Encoder and projection for one local model.

    Raises:
        BadInput: the projection was made for a model of another width.
    """

    loaded: LoadedVlm
    change: RelationChange
    prompt: RelationPrompt

    def __post_init__(self) -> None:
        width = int(self.loaded.model.get_input_embeddings().weight.shape[1])
        if self.prompt.model_width != width:
            raise BadInput(
                f"the relation encoder was trained for a model of width {self.prompt.model_width}: {self.loaded.folder.name!r} has "
                f"{width}; train it for this model."
            )

    def prefix(self, relations: Sequence[Sequence[Tensor]], seconds: Tensor) -> Tensor:
        """Soft prompts (B, 4 · (K − 1), V) of B intervals of K keyframes, each a tensor (m, C); `seconds` (B, K)."""
        device = self.change.queries.device
        vectors, present = stacked(relations)
        codes = self.change(vectors.to(device), present.to(device), seconds.to(device))
        found: Tensor = self.prompt(codes)
        return found


def contrast_of(change: RelationChange, intervals: Sequence[Interval]) -> Tensor:
    """InfoNCE of the intervals' two views (all with the same number of keyframes)."""
    device = change.queries.device
    seconds = torch.stack([one.seconds for one in intervals]).float().to(device)
    views = []
    for side in ("first", "second"):
        relations, present = stacked([getattr(one, side) for one in intervals])
        views.append(change.summary(relations.to(device), present.to(device), seconds))
    return contrast(views[0], views[1])


def train_change(change: RelationChange, draw: Sequence[Sequence[Interval]], *, rate: float = 3e-4) -> list[float]:
    """Train the encoder by contrast alone on batches of intervals that were drawn; returns the losses of the batches it learned from.

    It ends where the views are told apart: from then on a few clips are only learned by heart (of 15 intervals of clips that were not
    learned from, the other view of 14 was found after 20 steps on 12 intervals at a third of this rate, and of 10 after 200 steps).

    Raises:
        BadInput: no batch, or one of a single interval, which has nothing to be told from.
    """
    if not draw or min(len(batch) for batch in draw) < 2:
        raise BadInput("relations: expected batches of at least two intervals to tell apart; give clips in which more moves.")
    optimizer = torch.optim.AdamW(change.parameters(), lr=rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(draw))
    losses = []
    change.train()
    for number, batch in enumerate(draw):
        loss = contrast_of(change, batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(change.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        step("relation encoder trained", number + 1, len(draw))
        if losses[-1] < ENOUGH:
            break
    change.eval()
    return losses


def train_prompt(
    adapter: RelationAdapter, intervals: Sequence[Interval], said: Sequence[str], question: str, *,
    epochs: int = 10, batch: int = 16, rate: float = 3e-3, seed: int = 0,
) -> list[float]:  # fmt: skip
    """Train encoder and projection so that the frozen model says `said` of each interval; mean loss per answer token of each epoch.

    Raises:
        BadInput: no interval, or not one answer for each.
    """
    if not intervals or len(intervals) != len(said):
        raise BadInput(
            f"{len(intervals)} intervals and {len(said)} answers: expected one answer for each interval, and at least one."
        )
    asked = [Asked(question_inputs(adapter.loaded, question), answer_tokens(adapter.loaded, answer)) for answer in said]
    generator = torch.Generator().manual_seed(seed)
    parts = [*adapter.change.parameters(), *adapter.prompt.parameters()]
    optimizer = torch.optim.AdamW(parts, lr=rate, weight_decay=1e-3)
    steps = epochs * sum(1 for _ in batches(asked, batch, torch.Generator().manual_seed(seed)))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    history = []
    adapter.change.train()
    adapter.prompt.train()
    with frozen(adapter.loaded):
        for epoch in range(epochs):
            total, tokens = 0.0, 0
            for chosen in batches(asked, batch, generator):
                shown = [intervals[i] for i in chosen]
                prefix = adapter.prefix([one.first for one in shown], torch.stack([one.seconds for one in shown]).float())
                loss, count = answer_loss(adapter.loaded.model, prefix, [asked[i] for i in chosen])
                total, tokens = total + float(loss.detach()) * count, tokens + count
                if len(shown) > 1:
                    loss = loss + CONTRAST_SHARE * contrast_of(adapter.change, shown).to(loss.device)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(parts, 1.0)
                optimizer.step()
                schedule.step()
            history.append(total / tokens)
            step("epochs of the relation encoder", epoch + 1, epochs)
    adapter.change.eval()
    adapter.prompt.eval()
    return history


def question_inputs(loaded: LoadedVlm, question: str) -> dict[str, Tensor]:
    """A question of words alone as the model's tensors."""
    from models.chat.vlm_messages import Turns, defuse
    from models.chat.vlm_prompt import fit

    made = Turns(media=[])
    made.turns.append({"role": "user", "content": [{"type": "text", "text": defuse(question, loaded.marks)}]})
    inputs: dict[str, Tensor] = fit(loaded, made, room=min(MAX_CONTEXT, loaded.context), tiles=False).inputs
    return inputs


def save(adapter: RelationAdapter, folder: Path) -> None:
    """Write encoder, projection and their settings into `folder`; the language model is not part of it."""
    from safetensors.torch import save as packed

    parts = {"change": adapter.change, "prompt": adapter.prompt}
    tensors = {
        f"{name}.{key}": one.detach().cpu().contiguous() for name, part in parts.items() for key, one in part.state_dict().items()
    }
    about = {
        "format": FORMAT, "model": adapter.loaded.folder.name, "channels": adapter.change.channels, "width": adapter.change.width,
        "heads": adapter.change.heads, "queries": QUERIES, "model_width": adapter.prompt.model_width, "scale": adapter.prompt.scale,
    }  # fmt: skip
    write_atomic(folder / WEIGHTS, packed(tensors))
    write_atomic(folder / ABOUT, json.dumps(about, indent=1).encode())


def load(folder: Path, loaded: LoadedVlm) -> RelationAdapter:
    """Read what `save` wrote, for use with a model of the same width.

    Raises:
        BadInput: files are missing, damaged or do not fit each other or the model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as unpacked

    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if about["format"] != FORMAT or about["queries"] != QUERIES:
            raise ValueError(f"format {about['format']!r} with {about['queries']!r} queries, expected {FORMAT} with {QUERIES}")
        tensors = unpacked((folder / WEIGHTS).read_bytes())
        change = RelationChange(about["channels"], width=about["width"], heads=about["heads"])
        prompt = RelationPrompt(about["width"], about["model_width"], scale=about["scale"])
        for name, part in (("change.", change), ("prompt.", prompt)):
            part.load_state_dict({key.removeprefix(name): one for key, one in tensors.items() if key.startswith(name)})
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise BadInput(f"relation encoder {folder.name!r}: expected a saved one, but it cannot be read ({error}).") from error
    return RelationAdapter(loaded=loaded, change=change.to(loaded.device).eval(), prompt=prompt.to(loaded.device).eval())
