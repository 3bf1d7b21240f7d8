"""Rules that contradict or repeat each other: told when a rule is made, before any data shows it.

Two rules contradict when one says anomaly and the other normal of things that can happen together in a place where both hold. Ranges
of readings and sizes are compared as intervals, names as sets; where that cannot be decided, nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.rules.compile import definition_of
from agent.rules.conditions import (
    ConceptCondition,
    Condition,
    EventCondition,
    FindingCondition,
    Hours,
    MotionCondition,
    RegionCondition,
    SeriesCondition,
    Who,
)
from agent.rules.effects import stronger
from agent.rules.evaluate_series import in_hours
from agent.rules.ranges import range_of, ranges_meet
from core.rules import Rule

_MONDAY_S = 4 * 86_400.0
"""A Monday, in seconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """Two rules that disagree, or say the same; `winner` is the id of the rule that decides ("" for repeats)."""

    first: str
    second: str
    winner: str
    sentence: str


def find_conflicts(rule: Rule, others: Sequence[Rule]) -> list[Conflict]:
    """What a rule contradicts or repeats among others.

    >>> from agent.rules.compile import compile_rule
    >>> a = compile_rule("pressure above 7 bar is an anomaly").rule("R1")
    >>> b = compile_rule("pressure between 6 and 8 bar is normal").rule("R2")
    >>> print(find_conflicts(b, [a])[0].sentence)
    R2 (normal: pressure between 6 and 8 bar) contradicts R1 (anomaly: pressure above 7 bar);
    where both hold, R2 decides because it is newer.
    """
    from agent.rules.wording import condition_words

    found = []
    mine = definition_of(rule)
    for other in others:
        if other.id == rule.id or not other.enabled or not rule.enabled or not rule.scope.overlaps(other.scope):
            continue
        theirs = definition_of(other)
        if not _hours_meet(mine.hours, theirs.hours):
            continue
        pairs = [(a, b) for a in mine.conditions for b in theirs.conditions]
        if rule.polarity == other.polarity:
            if mine.conditions == theirs.conditions and mine.hours == theirs.hours and rule.scope == other.scope:
                but = "" if rule.severity == other.severity else ", with another severity"
                found.append(
                    Conflict(first=rule.id, second=other.id, winner="", sentence=f"{rule.id} says the same as {other.id}{but}.")
                )
            continue
        met = next(((a, b) for a, b in pairs if can_meet(a, b)), None)
        if met is None:
            continue
        wins = stronger(rule, other)
        winner, loser = (rule, other) if wins else (other, rule)
        why = "it holds more narrowly" if winner.scope.narrowness != loser.scope.narrowness else "it is newer"
        said = [f"{r.id} ({r.polarity}: {condition_words(c, r.polarity)})" for r, c in ((rule, met[0]), (other, met[1]))]
        found.append(
            Conflict(
                first=rule.id, second=other.id, winner=winner.id,
                sentence=f"{said[0]} contradicts {said[1]}; where both hold, {winner.id} decides because {why}.",
            )
        )  # fmt: skip
    return found


def can_meet(a: Condition, b: Condition) -> bool:
    """True when one thing could meet both conditions (and they speak of the same)."""
    if isinstance(a, SeriesCondition) and isinstance(b, SeriesCondition):
        return _series(a, b)
    if isinstance(a, RegionCondition) and isinstance(b, RegionCondition):
        return _regions(a, b)
    if isinstance(a, EventCondition) and isinstance(b, EventCondition):
        return _events(a, b)
    if isinstance(a, MotionCondition) and isinstance(b, MotionCondition):
        return _motions(a, b)
    if isinstance(a, ConceptCondition) and isinstance(b, ConceptCondition):
        return bool(
            {_plain(t) for t in a.abnormal} & {_plain(t) for t in b.normal}
            or {_plain(t) for t in a.normal} & {_plain(t) for t in b.abnormal}
        )
    return isinstance(a, FindingCondition) and isinstance(b, FindingCondition) and a == b


def _plain(text: str) -> str:
    words = [w for w in text.lower().split() if w not in ("a", "an", "the", "any", "some")]
    return " ".join(w[:-1] if w.endswith("s") and len(w) > 3 else w for w in words)


def _series(a: SeriesCondition, b: SeriesCondition) -> bool:
    if (
        a.measure != b.measure
        or a.minus != b.minus
        or (_plain(a.channel) != _plain(b.channel) and "*" not in (a.channel, b.channel))
    ):
        return False
    if {a.how, b.how} & {"on", "off"}:
        return a.how == b.how
    if a.unit and b.unit and a.unit.lower() != b.unit.lower():
        return False
    if (
        a.when is not None
        and b.when is not None
        and _plain(a.when.channel) == _plain(b.when.channel)
        and not _series(a.when, b.when)
    ):
        return False
    return ranges_meet(range_of(a.how, a.low, a.high), range_of(b.how, b.low, b.high))


def _regions(a: RegionCondition, b: RegionCondition) -> bool:
    if a.defect and b.defect and _plain(a.defect) != _plain(b.defect):
        return False
    if a.how and b.how and (a.measure != b.measure or a.unit != b.unit):
        return False
    if a.place and b.place and not set(a.place.split()) & set(b.place.split()):
        return False
    return ranges_meet(range_of(a.how, a.low, a.high), range_of(b.how, b.low, b.high))


def _names_meet(a: Who | None, b: Who | None) -> bool:
    if a is None or b is None:
        return True
    (named_a, not_a), (named_b, not_b) = (
        tuple({n.lower().removesuffix(".exe") for n in names} for names in (who.names, who.besides)) for who in (a, b)
    )
    either = named_a & named_b if named_a and named_b else named_a | named_b
    return not (named_a or named_b) or bool(either - not_a - not_b)


def _events(a: EventCondition, b: EventCondition) -> bool:
    if bool(a.deeds) != bool(b.deeds) and not (a.subject or b.subject):
        return False
    if a.deeds and b.deeds and not set(a.deeds) & set(b.deeds):
        return False
    if a.concept != b.concept:
        return False
    same_account = not (a.user and b.user) or a.user.lower() == b.user.lower()
    said = (a.subject or a.object or a.deeds or a.concept, b.subject or b.object or b.deeds or b.concept)
    return bool(all(said)) and same_account and _names_meet(a.subject, b.subject) and _names_meet(a.object, b.object)


def _motions(a: MotionCondition, b: MotionCondition) -> bool:
    if a.subject != b.subject or (a.zone and b.zone and _plain(a.zone) != _plain(b.zone)):
        return False
    if a.with_attributes != b.with_attributes or a.without_attributes != b.without_attributes:
        return False
    if (a.object or "") != (b.object or "") and a.object and b.object:
        return False
    return a.predicate == b.predicate or "is there" in (a.predicate, b.predicate)


def _hours_meet(a: Hours | None, b: Hours | None) -> bool:
    """True when two parts of the day share a moment (and a day)."""
    if a is None or b is None:
        return True
    minutes = np.arange(_MONDAY_S, _MONDAY_S + 7 * 86_400.0, 60.0, dtype=np.float64)
    return bool((in_hours(minutes, a) & in_hours(minutes, b)).any())
