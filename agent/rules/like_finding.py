"""“That is normal here” on a finding: a normal rule made from what the finding is about, and its replay on past findings.

A finding is like another when it is of the same kind and about the same: the channel that carries it and what that did, the names in
it, what is to be seen in a photo, or its place in a video. The rule says which of these it took, so that a person sees how far it reaches.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.examine.appearance import Appearance, looks_like, packed, unpacked
from agent.rules.compile import Reading
from agent.rules.conditions import Definition, FindingCondition
from core.errors import BadInput
from core.evidence import Anomaly, Box, EventRows, Evidence, Interval, Path, Region
from core.rules import Scope
from core.samples import Kind
from tools.events.wording import short_name

_INSTANCE = re.compile(r"(?: \(pid \d+\))?(?: #\d+)?$")
"""What tells instances of a program apart in the entities of a finding."""
_PLACE = re.compile(rf"(?: on \S+)?{_INSTANCE.pattern}")
SAME_PLACE = 0.3
"""Overlap (intersection over union) from which two boxes are the same place."""


Size = tuple[int, int]
"""Height and width of a picture or frame in pixels, where the finding's own facts do not say."""


def normal_like(
    anomaly: Anomaly, evidence: Evidence, kind: Kind, *, size: Size | None = None, everywhere: bool = False,
    example: Appearance | None = None,
) -> Reading:  # fmt: skip
    """The normal rule that a person means by calling this finding normal here; it holds in its own source unless `everywhere`.

    With an `example` of what is to be seen it holds in all photos: the next ones are why it is said.

    Raises:
        BadInput: the finding names nothing by which another one could be known to be like it.
    """
    condition = condition_like(anomaly, evidence, kind, size=size, example=example)
    everywhere = everywhere or bool(condition.looks)
    definition = Definition(
        polarity="normal", subject=anomaly.label[:200], conditions=(condition,),
        assumptions=(_reach(condition),),
    )  # fmt: skip
    text = f"“{anomaly.label}” is normal here"
    return Reading(definition=definition, scope=Scope(kind=kind) if everywhere else Scope(source=anomaly.source), text=text)


def normal_program(program: str, source: str, said: str) -> Reading:
    """The normal rule that a person means by naming a program as a tool of theirs: what it begins counts as normal.

    `said` is what it is to them ("our backup tool"), kept in the rule's text; it holds in `source`.
    """
    program = short_name(program)
    condition = FindingCondition(data="events", label=f"what {program} begins"[:200], entities=(program.lower(),), begins=True)
    definition = Definition(
        polarity="normal",
        subject=f"findings that begin with {program}"[:200],
        conditions=(condition,),
        assumptions=(_reach(condition),),
    )
    return Reading(definition=definition, scope=Scope(source=source), text=f"{program} is {said or 'normal here'}"[:200])


def condition_like(
    anomaly: Anomaly, evidence: Evidence, kind: Kind, *, size: Size | None = None, example: Appearance | None = None
) -> FindingCondition:
    """What a finding is about, as a condition on findings.

    >>> locus = Interval(sample="p", start_s=0, end_s=5, peak_s=1, channels=("flow", "temp"))
    >>> a = Anomaly(label="drop in flow", source="p", loci=(locus,), severity=1, severity_score=30, confidence=0.8, evidence=("E1",))
    >>> e = Evidence(id="E1", tool="window_pca", version="1", parameters={}, source="p", locus=locus, facts={"kind": "drop"})
    >>> found = condition_like(a, e, "series")
    >>> found.channels, found.change
    (('flow',), 'drop')
    """
    locus = anomaly.loci[0] if anomaly.loci else evidence.locus
    label = anomaly.label[:200]
    if kind == "series" and isinstance(locus, Interval) and locus.channels:
        return FindingCondition(
            data=kind, label=label, channels=locus.channels[:1], change=str(evidence.facts.get("kind", ""))[:60]
        )
    if kind == "events":
        names = _entities(locus, evidence.facts)
        if names:
            return FindingCondition(data=kind, label=label, entities=names)
    if example is not None and len(example):
        return FindingCondition(data=kind, label=label, looks=packed(example))
    box = _relative_box(locus, evidence.facts, size)
    if box is not None:
        return FindingCondition(data=kind, label=label, box=box)
    raise BadInput(
        f"{anomaly.label!r} names no channel, program or place by which I could know another finding like it. Say in words "
        f"what is normal."
    )


def matches(
    condition: FindingCondition, anomaly: Anomaly, evidence: Evidence, kind: Kind, *, size: Size | None = None,
    seen: Appearance | None = None,
) -> bool:  # fmt: skip
    """True when a finding is like the one that a condition was made from; `seen` is what is to be seen of it in a photo."""
    if kind != condition.data:
        return False
    if condition.looks:
        return seen is not None and looks_like(seen, unpacked(condition.looks))
    locus = anomaly.loci[0] if anomaly.loci else evidence.locus
    if condition.channels and not (isinstance(locus, Interval) and locus.channels[:1] == condition.channels):
        return False
    if condition.change and str(evidence.facts.get("kind", "")) != condition.change:
        return False
    if condition.begins:
        return bool(set(condition.entities) & set(_beginning(locus, evidence.facts)))
    if condition.entities and _entities(locus, evidence.facts) != condition.entities:
        return False
    if condition.box is not None:
        box = _relative_box(locus, evidence.facts, size)
        return box is not None and overlap(box, condition.box) >= SAME_PLACE
    return bool(condition.channels or condition.entities)


def replay(
    condition: FindingCondition, past: Iterable[tuple[Anomaly, Evidence, Kind]], *, size: Size | None = None,
    looks: Mapping[str, Appearance] | None = None,
) -> list[Anomaly]:  # fmt: skip
    """The past findings that the rule would have made normal; `looks` by the id of their evidence."""
    seen = looks or {}
    return [
        anomaly for anomaly, evidence, kind in past
        if matches(condition, anomaly, evidence, kind, size=size, seen=seen.get(evidence.id))
    ]  # fmt: skip


def replay_words(found: Sequence[Anomaly], total: int) -> str:
    """A sentence on what a rule changes in past findings.

    >>> replay_words([], 4), replay_words([], 0)
    ('None of the 4 past findings is like it.', 'There are no past findings to replay it on.')
    """
    if not total:
        return "There are no past findings to replay it on."
    if not found:
        return f"None of the {total} past findings is like it."
    shown = ", ".join(f"“{a.label}”" for a in found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
    return f"{len(found)} of the {total} past findings would have been normal: {shown}."


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes.

    >>> overlap((0, 0, 2, 2), (1, 0, 3, 2))
    0.3333333333333333
    """
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inner = width * height
    return inner / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner)


def _entities(locus: Any, facts: Mapping[str, Any]) -> tuple[str, ...]:
    """The names a finding of a log is about, without folders, in their order."""
    if isinstance(locus, Path):
        names: Iterable[str] = locus.entities
    elif isinstance(locus, EventRows):
        one, several = facts.get("entity"), facts.get("subjects")
        names = [str(one)] if one else [str(s) for s in several] if isinstance(several, list | tuple) else []
    else:
        return ()
    # another day the same program has another number
    return tuple(dict.fromkeys(_INSTANCE.sub("", short_name(n)).lower() for n in names))[:20]


def _beginning(locus: Any, facts: Mapping[str, Any]) -> tuple[str, ...]:
    """The program a finding of a log begins with and the first one that it started; of one without links, all it is about.

    A program that an attack uses further on is not what the attack begins with.
    """
    if not isinstance(locus, Path):
        return _entities(locus, facts)
    hangs = facts.get("hangs_on")
    begun = hangs if isinstance(hangs, int) else 0
    return tuple(_PLACE.sub("", short_name(n)).lower() for n in locus.entities[begun : begun + 2])


def _relative_box(locus: Any, facts: Mapping[str, Any], size: Size | None) -> Box | None:
    """The box of a finding in parts of its picture (0–1); None without a box or the picture's size."""
    box = locus.box if isinstance(locus, Region | Interval) else None
    width, height = facts.get("width"), facts.get("height")
    if size is not None:
        height, width = size
    if box is None or not isinstance(width, int | float) or not isinstance(height, int | float) or width <= 0 or height <= 0:
        return None
    return round(box[0] / width, 4), round(box[1] / height, 4), round(box[2] / width, 4), round(box[3] / height, 4)


def _reach(condition: FindingCondition) -> str:
    if condition.channels:
        what = (
            f"every “{condition.change}” in {condition.channels[0]}"
            if condition.change
            else f"every finding led by {condition.channels[0]}"
        )
    elif condition.begins:
        what = f"every finding that begins with {', '.join(condition.entities)}: what it does itself, and what it starts does"
    elif condition.entities:
        what = f"every finding about the same names ({', '.join(condition.entities[:5])})"
    elif condition.looks:
        what = "every finding in photos that looks like this one, wherever it lies and however it is turned"
    else:
        what = "every finding at about the same place of a picture"
    return f"It reaches as far as {what}."
