"""Learns how relations change in clips: intervals of keyframes, two views of each, and what the relation log says of them.

Source: after VADER (arXiv 2511.07299), reconstructed (`models.relation_change`): a view leaves out a fifth of the relations, moves boxes by
up to 5 % of their sides and keyframes by up to 0.3 s; the other intervals of the batch, those of the same clip among them, are what an
interval has to be told from. Nothing is labelled.

Units: seconds of the clip; an interval is five keyframes a second apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.errors import BadInput
from core.progress import step
from core.samples import VideoClip
from tools.video.relation_features import WIDTH, Relations
from tools.video.relation_words import Relation, strongest

if TYPE_CHECKING:
    from models.chat.vlm_loading import LoadedVlm
    from models.relation_adapter import Interval, RelationAdapter
    from models.relation_change import RelationChange

KEYFRAMES, SPACING_S = 5, 1.0
DROPPED, JITTER, SHIFT_S = 0.2, 0.05, 0.3
MOST_OF_A_CLIP = 40
"""Intervals of a clip that are learned from, evenly over it."""
BATCH = 24
MOST_SAID = 4
QUESTION = "What happens between the things in the video?"
NOTHING = "Nothing happens between them."


@dataclass(frozen=True, kw_only=True)
class Effort:
    """Steps of contrast, views that are drawn of every interval, and epochs through the language model."""

    steps: int = 200
    views: int = 4
    epochs: int = 10


@dataclass(frozen=True, eq=False)
class Stretch:
    """An interval of a clip."""

    relations: Relations
    times: tuple[float, ...]

    def seen(self, seed: int, *, plain: bool = False) -> Interval:
        """Two views of it, or twice it as it is."""
        import torch

        from models.relation_adapter import Interval

        views = []
        for side in range(2):
            rng = np.random.default_rng([seed, side])
            # Shifts of whole steps: a frame is decoded and encoded once for all views that need it.
            shift = rng.integers(-1, 2, len(self.times)) * SHIFT_S
            last = max(0.0, self.relations.clip.duration_s - 1e-3)
            times = list(self.times) if plain else np.clip(np.add(self.times, shift), 0.0, last).tolist()
            rows = self.relations.vectors(
                times, jitter=0.0 if plain else JITTER, dropped=0.0 if plain else DROPPED, seed=seed * 2 + side
            )
            views.append(tuple(torch.from_numpy(one) for one in rows))
        return Interval(first=views[0], second=views[1], seconds=torch.tensor(self.times))

    @property
    def said(self) -> str:
        """What the relation log says of it, without times, in its order."""
        start, end = self.times[0], self.times[-1]
        rows = [
            one
            for one in self.relations.log
            if one.t0_s <= end and one.t1_s >= start and one.predicate not in ("appears", "disappears")
        ]
        return " ".join(f"{_sentence(one)}." for one in strongest(rows, most=MOST_SAID)) or NOTHING


def _sentence(relation: Relation) -> str:
    words = relation.text.split(" ", 1)[1].split(" (")[0]
    return words[:1].upper() + words[1:]


def stretches(clips: Sequence[VideoClip], *, device: str = "auto") -> list[Stretch]:
    """The intervals of clips in which somebody or something moves, half an interval apart.

    Raises:
        BadInput: nothing moves in any clip for as long as an interval.
    """
    found = []
    for number, clip in enumerate(clips, start=1):
        relations = Relations.of(clip, device=device)
        length = (KEYFRAMES - 1) * SPACING_S
        starts = np.arange(0.0, max(clip.duration_s - length, 0.0) + 1e-9, length / 2)
        kept = [
            tuple(float(start + k * SPACING_S) for k in range(KEYFRAMES)) for start in starts
            if sum(bool(relations.tracks.at(float(start + k * SPACING_S))) for k in range(KEYFRAMES)) > KEYFRAMES // 2
        ]  # fmt: skip
        chosen = kept[:: max(1, -(-len(kept) // MOST_OF_A_CLIP))]
        found += [Stretch(relations, times) for times in chosen]
        step("clips looked at for relations", number, len(clips))
    if len(found) < 2:
        raise BadInput(
            f"{len(clips)} clips: expected at least two stretches of {length:g} s in which something moves, found {len(found)}."
        )
    return found


def drawn(given: Sequence[Stretch], effort: Effort, seed: int) -> Iterator[list[Interval]]:
    """Batches of different intervals that do not overlap within their clip, in random order."""
    rng = np.random.default_rng(seed)
    views = {(k, view): one.seen(seed * 1000 + view) for k, one in enumerate(given) for view in range(effort.views)}
    for _ in range(effort.steps):
        batch: list[int] = []
        for k in rng.permutation(len(given)).tolist():
            if len(batch) < BATCH and not any(_overlap(given[k], given[other]) for other in batch):
                batch.append(k)
        if len(batch) > 1:
            yield [views[k, int(rng.integers(effort.views))] for k in batch]


def _overlap(one: Stretch, other: Stretch) -> bool:
    return one.relations is other.relations and one.times[0] < other.times[-1] and other.times[0] < one.times[-1]


def train_encoder(given: Sequence[Stretch], *, effort: Effort | None = None, seed: int = 0) -> tuple[RelationChange, list[float]]:
    """An encoder trained by contrast on intervals, and the loss of every step.

    Raises:
        BadInput: intervals that all overlap, so that there is nothing to tell them from.
    """
    from models.relation_adapter import train_change
    from models.relation_change import RelationChange

    change = RelationChange(WIDTH, seed=seed)
    losses = train_change(change, list(drawn(given, effort or Effort(), seed)))
    return change, losses


def train_adapter(
    loaded: LoadedVlm, clips: Sequence[VideoClip], *, effort: Effort | None = None, seed: int = 0, device: str = "auto"
) -> tuple[RelationAdapter, list[float]]:
    """Encoder and projection for `loaded`, and the loss per answer token of each epoch; the model itself is not changed.

    Raises:
        BadInput: too little moves in the clips.
    """
    from models.relation_adapter import RelationAdapter, train_prompt
    from models.relation_change import prompt_for

    effort = effort or Effort()
    given = stretches(clips, device=device)
    change, _ = train_encoder(given, effort=effort, seed=seed)
    adapter = RelationAdapter(
        loaded=loaded, change=change.to(loaded.device), prompt=prompt_for(loaded.model, change.width, seed=seed)
    )
    losses = train_prompt(
        adapter, [one.seen(seed) for one in given], [one.said for one in given], QUESTION, epochs=effort.epochs, seed=seed
    )
    return adapter, losses
