"""Holding a rule against what was uploaded: each condition against the data it speaks about, and the outcome in one object.

`Material` is one source as the evaluators need it. What costs a detector or a tracker (odd regions, relations) is a function that is
called only when a condition asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agent.rules.compile import definition_of
from agent.rules.conditions import (
    ConceptCondition,
    Condition,
    Definition,
    EventCondition,
    FindingCondition,
    MotionCondition,
    RegionCondition,
    SeriesCondition,
    kinds_of,
)
from agent.rules.measurable import FOUND, Looker
from agent.rules.outcome import CannotTell, Outcome, RuleFinding, Unseen
from core.errors import TelltaleError
from core.evidence import Locus, Region
from core.rules import Rule
from core.samples import EventLog, ImageSample, Kind, Sample, Series, VideoClip

if TYPE_CHECKING:
    from readers.open import Source
    from tools.video.following import Following
    from tools.video.relation_words import Relation

MOST_PICTURES = 400
"""Pictures that concept matching looks at, at a tenth of a second each."""
MOST_LOOKED_AT = 40
"""Pictures that a vision-language model is shown, at some seconds each."""
FRAMES = 12
"""Frames of a video that concept matching looks at, evenly spread."""
Measured = tuple[list[RuleFinding], list[CannotTell], list[str]]


@dataclass(frozen=True, kw_only=True)
class OddRegions:
    """Odd regions by picture, as a detector flagged them, and the (height, width) of every picture in pixels."""

    regions: Mapping[str, Sequence[Region]]
    sizes: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class Material:
    """One source to hold rules against.

    `relations` gives a clip's relation log, `regions` the odd regions of the pictures; without them such conditions cannot be told.
    `followed` says how well a clip's people were followed; without it, what is not in the log counts as not having happened.
    `labels` are what the object finder tells apart, `zones` the names of drawn zones, `mm_per_px` the size of a pixel if known.
    """

    source: str
    kind: Kind
    samples: Sequence[Sample]
    relations: Callable[[VideoClip], Sequence[Relation]] | None = None
    followed: Callable[[VideoClip], Following] | None = None
    zones: Sequence[str] = ()
    labels: frozenset[str] = FOUND
    regions: Callable[[], OddRegions] | None = None
    mm_per_px: float | None = None
    kind_of: Callable[[Region], str] | None = None
    looker: Looker | None = None
    _cache: dict[str, object] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, source: Source, **given: object) -> Material:
        """The material of an opened source; keyword arguments are those of the class."""
        return cls(source=source.name, kind=source.kind, samples=source.samples, **given)  # type: ignore[arg-type]


def evaluate_rule(rule: Rule, material: Material) -> Outcome:
    """The outcome of one rule on one source; a rule whose scope lies elsewhere, or that is switched off, says nothing about it.

    Raises:
        BadInput: the rule's compiled form cannot be read.
    """
    if not rule.enabled or not rule.scope.covers(material.source, material.kind):
        return Outcome(source=material.source)
    return evaluate(definition_of(rule), material)


def evaluate(definition: Definition, material: Material) -> Outcome:
    """The outcome of a definition on one source: any of its conditions makes it fire.

    >>> log = Series(name="p.csv", values=np.array([[5.0], [9.0]], np.float32), time_s=np.arange(2.0), channels=("pressure",),
    ...              time_base="elapsed")
    >>> wanted = Definition(polarity="anomaly", subject="pressure", conditions=(SeriesCondition(channel="pressure", low=7),))
    >>> evaluate(wanted, Material(source="p.csv", kind="series", samples=[log])).words
    'p.csv: would have fired once.'
    """
    speaking = _for_kind(
        [c for c in definition.conditions if material.kind in kinds_of(c) and not isinstance(c, FindingCondition)], material.kind
    )
    findings: list[RuleFinding] = []
    cannot: list[CannotTell] = []
    notes: list[str] = []
    known: set[tuple[Locus, str]] = set()
    for condition in speaking:
        found, missing, said = _measure(condition, definition, material)
        fresh = [f for f in found if (f.locus, f.condition) not in known]
        known.update((f.locus, f.condition) for f in fresh)
        findings += fresh
        cannot += [m for m in missing if m not in cannot]
        notes += said
    return Outcome(
        source=material.source, tried=len(speaking), findings=tuple(findings), cannot=tuple(cannot), notes=tuple(dict.fromkeys(notes))
    )  # fmt: skip


def _for_kind(conditions: Sequence[Condition], kind: Kind) -> list[Condition]:
    """In a video what moves is followed; only where nothing can be, single frames are compared with texts."""
    motions = [c for c in conditions if isinstance(c, MotionCondition)]
    if kind == "video" and motions:
        return [c for c in conditions if not isinstance(c, ConceptCondition)]
    return list(conditions)


def _measure(condition: Condition, definition: Definition, material: Material) -> Measured:
    results: list[Measured] = []
    if isinstance(condition, RegionCondition):
        return _regions(condition, material)
    if isinstance(condition, ConceptCondition):
        return _concept(condition, definition, material)
    for sample in material.samples:
        if isinstance(condition, SeriesCondition) and isinstance(sample, Series):
            from agent.rules.evaluate_series import evaluate as on_series

            results.append(on_series(condition, sample, hours=definition.hours))
        elif isinstance(condition, EventCondition) and isinstance(sample, EventLog):
            from agent.rules.evaluate_events import evaluate as on_events

            results.append(on_events(condition, sample, hours=definition.hours))
        elif isinstance(condition, MotionCondition) and isinstance(sample, VideoClip):
            results.append(_motion(condition, definition, material, sample))
    return (
        [f for found, _, _ in results for f in found], [c for _, missing, _ in results for c in missing],
        [n for _, _, notes in results for n in notes],
    )  # fmt: skip


def _motion(condition: MotionCondition, definition: Definition, material: Material, clip: VideoClip) -> Measured:
    """What following tells; where only a model that sees could tell and there is one, what that says."""
    found, cannot, notes = _from_relations(condition, definition, material, clip)
    unseen = [limit for limit in cannot if isinstance(limit, Unseen)]
    if material.looker is None or not unseen or len(unseen) < len(cannot) or definition.hours is not None:
        return found, cannot, notes
    from agent.rules.look_video import look

    everything = any(not limit.spans for limit in unseen)
    spans = [] if everything else [span for limit in unseen for span in limit.spans]
    try:
        seen = look(condition, clip, material.looker, spans)
    except TelltaleError as error:
        return found, [*cannot, _speechless(error)], notes
    return [*found, *seen], [], [*notes, f"A model that sees looked at {clip.name}, where following it could not tell."]


def _from_relations(condition: MotionCondition, definition: Definition, material: Material, clip: VideoClip) -> Measured:
    from agent.rules.evaluate_video import evaluate as on_relations
    from agent.rules.measurable import limits_of

    if limits := limits_of(condition, labels=material.labels):
        return [], limits, []  # no need to follow anything
    if material.relations is None:
        return (
            [],
            [CannotTell(reason=f"Nothing was followed in {clip.name}.", what_would_help="Let the video be looked at first.")],
            [],
        )
    key = f"relations {clip.name}"
    if key not in material._cache:
        material._cache[key] = material.relations(clip), None if material.followed is None else material.followed(clip)
    known: tuple[Sequence[Relation], Following | None] = material._cache[key]  # type: ignore[assignment]
    relations, followed = known
    return on_relations(
        condition, relations, sample=clip.name, zones=material.zones, labels=material.labels, epoch_s=clip.epoch_s, hours=definition.hours,
        end_s=clip.duration_s, followed=followed,
    )  # fmt: skip


def _regions(condition: RegionCondition, material: Material) -> Measured:
    from agent.rules.evaluate_image import evaluate_regions
    from agent.rules.measurable import limits_of

    limits = limits_of(condition, scale=material.mm_per_px is not None, kinds_told=material.kind_of is not None)
    if limits or material.regions is None:
        return (
            [],
            limits
            or [
                CannotTell(
                    reason=f"{material.source} was not searched for odd regions.",
                    what_would_help="Let the pictures be looked at first.",
                )
            ],
            [],
        )
    if "regions" not in material._cache:
        try:
            material._cache["regions"] = material.regions()
        except TelltaleError as error:
            return (
                [],
                [CannotTell(reason=f"{material.source} could not be searched for odd regions: {error}", what_would_help="")],
                [],
            )
    odd: OddRegions = material._cache["regions"]  # type: ignore[assignment]
    return evaluate_regions(condition, odd.regions, odd.sizes, mm_per_px=material.mm_per_px, kind_of=material.kind_of)


def _concept(condition: ConceptCondition, definition: Definition, material: Material) -> Measured:
    from agent.rules.evaluate_image import evaluate_concept
    from agent.rules.measurable import limits_of

    if limits := limits_of(condition, looker=material.looker):
        return [], limits, []
    if definition.hours is not None:
        return (
            [],
            [
                CannotTell(
                    reason="Pictures do not say at what time of day they were taken.",
                    what_would_help="Say it without a time of day.",
                )
            ],
            [],
        )
    pictures, notes = _pictures(material, MOST_PICTURES if material.looker is None else MOST_LOOKED_AT)
    try:
        found, cannot, said = evaluate_concept(condition, pictures, polarity=definition.polarity, looker=material.looker)
    except TelltaleError as error:
        return [], [_speechless(error)], notes
    return found, cannot, [*notes, *said]


def _speechless(error: TelltaleError) -> CannotTell:
    return CannotTell(
        reason=f"The model that sees gave no answer: {error}", what_would_help="Ask again, or choose another model."
    )


def _pictures(material: Material, most: int) -> tuple[list[tuple[str, NDArray[np.uint8]]], list[str]]:
    """The first `most` pictures of a source (frames of a video, named by their time)."""
    found: list[tuple[str, NDArray[np.uint8]]] = []
    for sample in list(material.samples)[:most]:
        if isinstance(sample, ImageSample):
            found.append((sample.name, sample.pixels))
        elif isinstance(sample, VideoClip):
            step = max(1, sample.n_frames // FRAMES)
            found += [(f"{sample.name} at {f.time_s:.1f} s", f.rgb) for f in sample.frames(step=step, max_side=480)]
    many = len(material.samples) > most
    return found, [f"Only the first {most} of {len(material.samples):,} pictures were looked at."] if many else []
