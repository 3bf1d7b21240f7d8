"""Rules that contradict or repeat each other: told when a rule is made, before any data shows it.

Two rules contradict when one says anomaly and the other normal of things that can happen together in a place where both hold. Ranges
of readings and sizes are compared as intervals, names as sets; where that cannot be decided, nothing is claimed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
from core.rules import Rule

Range = tuple[float, float, bool, bool]
"""Low, high, and whether each end belongs to it."""


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


def range_of(how: str | None, low: float, high: float) -> list[Range]:
    """The values that a comparison lets through, as intervals.

    >>> range_of("above", 7, 7)
    [(7, inf, False, False)]
    """
    inf = math.inf
    table: dict[str, list[Range]] = {
        "above": [(low, inf, False, False)], "at least": [(low, inf, True, False)], "below": [(-inf, low, False, False)],
        "at most": [(-inf, low, False, True)], "between": [(low, high, True, True)], "equal to": [(low, low, True, True)],
        "outside": [(-inf, low, False, False), (high, inf, False, False)],
    }  # fmt: skip
    return table.get(how or "", [(-inf, inf, False, False)])


def ranges_meet(a: Sequence[Range], b: Sequence[Range]) -> bool:
    """True when two sets of intervals have a value in common.

    >>> ranges_meet(range_of("above", 7, 7), range_of("at most", 7, 7)), ranges_meet(range_of("at least", 7, 7), range_of("at most", 7, 7))
    (False, True)
    """
    return any(_meet(x, y) for x in a for y in b)


def _meet(x: Range, y: Range) -> bool:
    low, high = max(x[0], y[0]), min(x[1], y[1])
    if low != high:
        return low < high
    closed_low = all(r[2] for r in (x, y) if r[0] == low)
    closed_high = all(r[3] for r in (x, y) if r[1] == high)
    return closed_low and closed_high


def _plain(text: str) -> str:
    words = [w for w in text.lower().split() if w not in ("a", "an", "the", "any", "some")]
    return " ".join(w[:-1] if w.endswith("s") and len(w) > 3 else w for w in words)


def _series(a: SeriesCondition, b: SeriesCondition) -> bool:
    if a.measure != b.measure or (_plain(a.channel) != _plain(b.channel) and "*" not in (a.channel, b.channel)):
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
    plain_a, plain_b = ({n.lower().removesuffix(".exe") for n in who.names} for who in (a, b))
    return bool(plain_a & plain_b)


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
    if a.days and b.days and not set(a.days) & set(b.days):
        return False

    def parts(h: Hours) -> list[Range]:
        if h.from_s < h.to_s:
            return [(h.from_s, h.to_s, True, False)]
        return [(h.from_s, 86_400.0, True, False), (0.0, h.to_s, True, False)]

    return ranges_meet(parts(a), parts(b))
