"""Holding a motion condition against the relation log of a video: who did what where, for how long.

The log is that of `tools.video.relation_words`; what a condition asks and what a predicate's strength measures is matched here. Times
are half-open seconds of the clip, boxes xyxy absolute pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from agent.rules.conditions import Hours, MotionCondition, Predicate
from agent.rules.doubts import BY_ONE_TRACK, doubts
from agent.rules.evaluate_series import in_hours
from agent.rules.measurable import ANYTHING, FOUND, PULL, VEHICLES, limits_of
from agent.rules.outcome import CannotTell, RuleFinding, Unseen
from agent.rules.wording import condition_words, duration_words
from core.evidence import Box, Interval

if TYPE_CHECKING:
    from tools.video.following import Following
    from tools.video.relation_words import Relation

_LOGGED: dict[Predicate, tuple[str, ...]] = {
    "enters": ("enters zone",), "leaves": ("leaves zone",), "runs": ("runs",), "falls": ("falls",), "stays": ("stays", "enters zone"),
    "is left behind": ("leaves behind",), "is too close to": ("too close", "contacts"), "goes the wrong way": ("goes against the flow",),
    "crowds": ("in a crowd",), "stops": ("stops",), "touches": ("contacts",), "carries": ("carries",),
    "is near": ("too close", "contacts", "overlaps"),
}  # fmt: skip
_IN_ZONE = ("enters zone", "stays")
_ANY_ZONE = frozenset(
    {"zone", "area", "region", "restricted area", "restricted zone", "danger zone", "forbidden area", "forbidden zone"}
)


def evaluate(
    condition: MotionCondition, relations: Sequence[Relation], *, sample: str, zones: Sequence[str] = (), labels: frozenset[str] = FOUND,
    epoch_s: float | None = None, hours: Hours | None = None, end_s: float | None = None, followed: Following | None = None,
) -> tuple[list[RuleFinding], list[CannotTell], list[str]]:  # fmt: skip
    """Findings, what could not be told, and notes, of one condition on one clip's relations; `end_s` is when the clip ends.

    A moving thing that the finder could not name does not count as a person, but that it did the same is told; so is what happened where
    people hid each other. When nothing was found, `followed` says whether that proves anything (`doubts`).

    >>> from tools.video.relation_words import Entity, Relation
    >>> log = [Relation(t0_s=2.0, t1_s=2.5, subject=Entity(1, "person"), predicate="falls", strength=0.6)]
    >>> evaluate(MotionCondition(predicate="falls", subject="person"), log, sample="a.mp4")[0][0].sentence
    'person 1 falls at 2.0–2.5 s (“a person falls”).'
    """
    cannot = limits_of(condition, labels=labels)
    zone, missing = _zone(condition, zones)
    if missing is not None:
        cannot.append(missing)
    if hours is not None and epoch_s is None:
        cannot.append(
            CannotTell(
                reason=f"{sample} does not say at what time of day it was recorded.",
                what_would_help="Give a video with its date and time.",
            )
        )
    if cannot:
        return [], cannot, []
    chosen = _inside(_matching(condition, relations, zone, end_s), epoch_s, hours)
    nameless = []
    if condition.predicate not in ("is there", "is left behind") and condition.subject != "moving":
        unnamed = condition.model_copy(update={"subject": "moving"})
        nameless = [r for r in _inside(_matching(unnamed, relations, zone, end_s), epoch_s, hours) if r not in chosen]
    notes = []
    if (
        condition.predicate == "is left behind"
        and condition.subject not in ("moving", *ANYTHING)
        and condition.subject not in labels
    ):
        notes.append(f"What was left behind is not told apart: any thing counts, not only a {condition.subject}.")
    unsure = [_nameless(condition, nameless)] if nameless and condition.subject not in ANYTHING else []
    if followed is not None and condition.predicate in BY_ONE_TRACK:
        hidden = [r for r in chosen if not followed.apart_during(r.subject.id, (r.t0_s, r.t1_s))]
        chosen = [r for r in chosen if r not in hidden]
        unsure += [_hidden(condition, hidden)] if hidden else []
    if followed is not None and not chosen and not unsure:
        unsure = doubts(condition, followed, sample=sample)
    return [_finding(condition, r, sample) for r in chosen], list(unsure), notes


def _inside(found: Sequence[Relation], epoch_s: float | None, hours: Hours | None) -> list[Relation]:
    if hours is None:
        return list(found)
    starts = np.array([r.t0_s + (epoch_s or 0.0) for r in found])
    return [r for r, inside in zip(found, in_hours(starts, hours), strict=True) if inside]


def _nameless(condition: MotionCondition, found: Sequence[Relation]) -> Unseen:
    return Unseen(
        reason=f"At {_times(found)} a moving thing {condition.predicate}, but whether it is a {condition.subject} the object finder "
        f"could not tell.",
        what_would_help=f"Look at those moments, say the rule for anything that moves, or let a vision-language model look: {PULL}.",
        spans=tuple((r.t0_s, r.t1_s) for r in found),
    )


def _hidden(condition: MotionCondition, found: Sequence[Relation]) -> Unseen:
    who = "something" if condition.subject in ANYTHING or condition.subject == "moving" else f"a {condition.subject}"
    return Unseen(
        reason=f"At {_times(found)} it looks as if {who} {condition.predicate}, but others are so close that they may have "
        f"been taken for one.",
        what_would_help=f"Look at those moments, or let a vision-language model look: {PULL}.",
        spans=tuple((r.t0_s, r.t1_s) for r in found),
    )


def _times(found: Sequence[Relation]) -> str:
    more = f" and {len(found) - 4} more" if len(found) > 4 else ""
    return ", ".join(f"{r.t0_s:.1f}–{r.t1_s:.1f} s" for r in found[:4]) + more


def _zone(condition: MotionCondition, zones: Sequence[str]) -> tuple[str | None, CannotTell | None]:
    """The name of the drawn zone that a condition means ("" any), and what is missing when there is none."""
    said = condition.zone
    if condition.predicate == "is near" and said is None and condition.object and not _is_label(condition.object):
        said = condition.object
    if said is None:
        return (
            (("", None) if zones else (None, _undrawn("that place", zones)))
            if condition.predicate in ("enters", "leaves")
            else (None, None)
        )
    plain = _plain(said)
    fits = [z for z in zones if _plain(z) == plain or _plain(z) in plain.split() or plain in _plain(z).split()]
    if fits:
        return fits[0], None
    if plain in _ANY_ZONE and zones:
        return "", None
    return None, _undrawn(said, zones)


def _undrawn(said: str, zones: Sequence[str]) -> CannotTell:
    drawn = f" Drawn are: {', '.join(zones)}." if zones else ""
    return CannotTell(
        reason=f"No zone called “{said}” is drawn in this video, so I do not know where that is.{drawn}",
        what_would_help="Draw it as a zone of that name.",
    )


def _plain(name: str) -> str:
    return " ".join(name.lower().removesuffix(" zone").removesuffix(" area").removeprefix("the ").split())


def _is_label(name: str) -> bool:
    return name in ANYTHING | VEHICLES | FOUND or name in ("bag", "bicycle", "dog", "cat", "animal", "horse", "bird")


def _fits(wanted: str, label: str) -> bool:
    """Whether a label of the log is what was asked for."""
    return wanted == label or wanted in ANYTHING or (wanted == "vehicle" and label in VEHICLES)


def _matching(condition: MotionCondition, relations: Sequence[Relation], zone: str | None, end_s: float | None) -> list[Relation]:
    if condition.predicate == "is there" or (condition.predicate == "is near" and zone is not None):
        return _present(condition, relations, zone, end_s)
    wanted = _LOGGED[condition.predicate]
    found = []
    for relation in relations:
        if relation.predicate not in wanted or not _subject_fits(condition, relation):
            continue
        in_zone = relation.object is not None and relation.object.id is None and (zone == "" or relation.object.label == zone)
        if zone is not None and not in_zone:
            continue
        if zone is None and relation.predicate == "enters zone" and condition.predicate == "stays":
            continue
        if _enough(condition, relation):
            found.append(relation)
    return _joined(found)


def _subject_fits(condition: MotionCondition, relation: Relation) -> bool:
    if condition.predicate == "is left behind":
        return True  # the log names who left it; the thing itself is only known to be one
    ends = [
        relation.subject.label,
        *([relation.object.label] if relation.object is not None and relation.object.id is not None else []),
    ]
    symmetric = condition.predicate in ("is too close to", "is near", "touches")
    if condition.object is not None and symmetric and _is_label(condition.object) and len(ends) == 2:
        pairs = (ends, ends[::-1])
        return any(_fits(condition.subject, a) and _fits(condition.object, b) for a, b in pairs)
    return any(_fits(condition.subject, label) for label in (ends if symmetric else ends[:1]))


def _enough(condition: MotionCondition, relation: Relation) -> bool:
    """Whether a relation lasts long enough, and has enough people or little enough distance, for the condition."""
    if condition.seconds is not None:
        known = relation.predicate in ("stays", "enters zone", "leaves zone", "carries")
        lasted = max(relation.strength if known else 0.0, relation.t1_s - relation.t0_s)
        if not lasted > condition.seconds:
            return False
    if condition.predicate == "crowds":
        return relation.strength >= (condition.count or 2)
    if condition.predicate == "is too close to" and condition.distance is not None and relation.predicate == "too close":
        return relation.strength < condition.distance
    return True


def _present(condition: MotionCondition, relations: Sequence[Relation], zone: str | None, end_s: float | None) -> list[Relation]:
    """From when to when each such thing is seen (in the zone): one relation per thing or stay, spanning it."""
    if zone is not None:
        inside = [
            r for r in relations if r.predicate in _IN_ZONE and r.object is not None and r.object.id is None
            and (zone == "" or r.object.label == zone) and _fits(condition.subject, r.subject.label)
        ]  # fmt: skip
        return _joined([r for r in inside if condition.seconds is None or _enough(condition, r)])
    seen: dict[int | None, list[Relation]] = {}
    for relation in relations:
        if _fits(condition.subject, relation.subject.label) and relation.subject.id is not None:
            seen.setdefault(relation.subject.id, []).append(relation)
    found = []
    for rows in seen.values():
        first, last = min(rows, key=lambda r: r.t0_s), max(rows, key=lambda r: r.t1_s)
        gone = any(r.predicate == "disappears" for r in rows)
        found.append(_spanning(first, last.t1_s if gone or end_s is None else max(end_s, last.t1_s)))
    return sorted(found, key=lambda r: r.t0_s)


def _spanning(relation: Relation, end_s: float) -> Relation:
    from dataclasses import replace

    return replace(relation, t1_s=max(end_s, relation.t0_s))


def _joined(found: Sequence[Relation]) -> list[Relation]:
    """Relations of the same thing that overlap in time as one: two predicates may tell of one stay."""
    kept: list[Relation] = []
    for relation in sorted(found, key=lambda r: (r.t0_s, -r.t1_s)):
        same = next((i for i, k in enumerate(kept) if k.subject == relation.subject and relation.t0_s < k.t1_s), None)
        if same is None:
            kept.append(relation)
        elif relation.t1_s > kept[same].t1_s:
            kept[same] = _spanning(kept[same], relation.t1_s)
    return kept


def _finding(condition: MotionCondition, relation: Relation, sample: str) -> RuleFinding:
    rule = condition_words(condition)
    boxes = [b for b in relation.boxes if relation.subject.id is None or b.id == relation.subject.id] or list(relation.boxes)
    middle = boxes[len(boxes) // 2] if boxes else None
    box: Box | None = tuple(float(v) for v in middle.box) if middle is not None else None  # type: ignore[assignment]
    verb = {"is there": "is seen", "is near": f"is near the {condition.object or 'zone'}"}.get(
        condition.predicate, relation.predicate
    )
    whom = (
        f" {relation.object.words}" if relation.object is not None and condition.predicate not in ("is there", "is near") else ""
    )
    end = max(relation.t1_s, relation.t0_s + 0.04)  # a moment still needs a width
    lasted = f" for {duration_words(round(relation.t1_s - relation.t0_s, 1))}" if condition.seconds is not None else ""
    strength = round(float(relation.strength), 3)
    return RuleFinding(
        locus=Interval(sample=sample, start_s=relation.t0_s, end_s=end, peak_s=middle.time_s if middle else relation.t0_s, box=box),
        measured=strength, unit=_unit(relation.predicate), condition=rule,
        sentence=f"{relation.subject.words} {verb}{whom}{lasted} at {relation.t0_s:.1f}–{relation.t1_s:.1f} s (“{rule}”).",
        facts={
            "who": relation.subject.words, "predicate": relation.predicate, "start_s": relation.t0_s, "end_s": end, "strength": strength,
            "length_s": round(relation.t1_s - relation.t0_s, 3), "whom": relation.object.words if relation.object is not None else "",
        },
    )  # fmt: skip


def _unit(predicate: str) -> str:
    from tools.video.relation_words import PREDICATES

    return PREDICATES.get(predicate, "")
