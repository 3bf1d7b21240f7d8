"""A compiled definition in plain words, for the person to see before it takes effect.

Everything a condition holds is said, and so is what was assumed and what was not understood: the words are written from the compiled
form alone, never from the person's own sentence, so that a misreading shows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.rules.conditions import (
    ConceptCondition,
    Condition,
    Definition,
    EventCondition,
    FindingCondition,
    Hours,
    MotionCondition,
    RegionCondition,
    SeriesCondition,
    Who,
)
from core.evidence import SEVERITY_NAMES
from core.rules import Polarity, Scope

_ACTS = {
    "start": "starts", "inject": "injects code into", "tamper": "tampers with", "access": "opens the process", "exit": "ends",
    "write": "writes", "delete": "deletes", "load": "loads", "rename": "renames", "stream": "attaches a data stream to",
    "touch": "changes the time stamps of", "block": "is blocked from using", "read": "reads", "connect": "connects to",
    "accept": "accepts a connection from", "resolve": "looks up the name", "registry_set": "changes the registry value",
    "registry_key": "changes the registry key", "registry_delete": "deletes from the registry", "pipe_create": "creates the named pipe",
    "pipe_connect": "connects to the named pipe", "login": "logs in to", "login_failed": "fails to log in to", "logout": "logs out of",
    "service": "installs the service", "task": "schedules the task", "driver": "loads the driver", "other": "does something else to",
}  # fmt: skip
_THINGS = {"delete": "a file", "write": "a file", "read": "something", "start": "a process", "connect": "an address"}
_UNITS = (("day", 86_400.0), ("hour", 3_600.0), ("minute", 60.0), ("second", 1.0))


def duration_words(seconds: float) -> str:
    """A length of time in the largest unit that keeps it short.

    >>> duration_words(90.0), duration_words(60.0), duration_words(7200.0), duration_words(0.5)
    ('90 seconds', '1 minute', '2 hours', '0.5 seconds')
    """
    for name, size in _UNITS:
        value = seconds / size
        if name == "second" or (value >= 1 and abs(value - round(value)) < 1e-9):
            said = f"{value:.4g}"
            return f"{said} {name}{'' if said == '1' else 's'}"
    raise AssertionError("seconds end the table")


def condition_words(condition: Condition, polarity: Polarity = "anomaly") -> str:
    """One condition as a clause; texts about pictures are those that make a definition of this `polarity` hold.

    >>> condition_words(SeriesCondition(channel="pressure", how="above", low=7, unit="bar", for_s=10))
    'pressure above 7 bar for more than 10 seconds'
    >>> condition_words(ConceptCondition(abnormal=("a person without a helmet",), normal=("a person with a helmet",)))
    'the picture looks like “a person without a helmet” rather than “a person with a helmet”'
    """
    if isinstance(condition, SeriesCondition):
        return _series(condition)
    if isinstance(condition, EventCondition):
        return _events(condition)
    if isinstance(condition, MotionCondition):
        return _motion(condition)
    if isinstance(condition, RegionCondition):
        return _region(condition)
    if isinstance(condition, FindingCondition):
        return _finding(condition)
    return _concept(condition, polarity)


def _number(value: float) -> str:
    return f"{value:.10g}"


def _compared(how: str, low: float, high: float, unit: str) -> str:
    tail = f" {unit}" if unit else ""
    if how in ("between", "outside"):
        return f"{how} {_number(low)} and {_number(high)}{tail}"
    return f"{how} {_number(low)}{tail}"


def _series(c: SeriesCondition) -> str:
    channel = (f"any channel in {c.unit}" if c.unit else "any channel") if c.channel == "*" else c.channel
    if c.measure == "gap":
        said = f"{channel} without readings"
    elif c.measure == "flat":
        said = f"{channel} not changing at all"
    elif c.how in ("on", "off"):
        said = f"{channel} {c.how}"
    elif c.measure == "value":
        if c.minus is not None:
            channel = f"{channel} minus {c.minus}"
        said = f"{channel} {_compared(c.how, c.low, c.high, c.unit)}"
    else:
        if c.minus is not None:
            channel = f"{channel} minus {c.minus}"
        verb = {"rise": "rising", "fall": "falling", "change": "changing"}[c.measure]
        any_step = c.how == "above" and c.low == 0
        by = (
            "at all"
            if any_step
            else _compared(c.how, c.low, c.high, c.unit).replace("above ", "by more than ").replace("at least ", "by at least ")
        )
        by = by.replace("below ", "by less than ").replace("at most ", "by at most ")
        if c.within_rows is not None:
            during = "from one reading to the next" if c.within_rows == 2 else f"within {c.within_rows:,} readings"
        else:
            during = f"{'per' if c.rate else 'within'} {duration_words(c.within_s or 0.0)}".replace("per 1 ", "per ")
        said = f"{channel} {verb} {by} {during}"
    if c.for_s is not None:
        said += f" for {'at least' if c.for_at_least else 'more than'} {duration_words(c.for_s)}"
    if c.for_rows is not None:
        said += f" for at least {c.for_rows:,} readings in a row"
    return said + (f" while {_series(c.when)}" if c.when is not None else "")


def who_words(who: Who) -> str:
    """A name, or a word for a group of programs with the names it stands for, and the names that are not meant.

    >>> who_words(Who(said="anyone but svchost.exe", besides=("svchost.exe",)))
    'anything except svchost.exe'
    """
    if who.besides:
        meant = who_words(who.model_copy(update={"besides": ()})) if who.names else "anything"
        return f"{meant} except {_several(who.besides)}"
    if len(who.names) == 1 and "*" in who.names[0] and re.fullmatch(r"[\w ]+", who.said):
        return f"{who.said} ({who.names[0]})"
    if len(who.names) == 1:
        return who.names[0] if who.names[0].lower().removesuffix(".exe") != who.said.lower() else who.said
    return f"{who.said} ({_several(who.names)})"


def _several(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _events(c: EventCondition) -> str:
    from agent.lookups.log_concepts import CONCEPTS

    subject = who_words(c.subject) if c.subject else "any process" if c.user or c.user_besides else "anything"
    if c.parent is not None:
        subject += f" started by {who_words(c.parent)}" + (" or by what it started" if c.lineage else "")
    if c.user:
        subject += f" of the account {c.user}"
    if c.user_besides:
        subject += f" of any account except {c.user_besides}"
    if c.host:
        subject += f" on {c.host}"
    if c.concept is not None:
        said = f"rows that tell of {CONCEPTS[c.concept].said}"
        if c.subject or c.user or c.user_besides or c.host or c.parent:
            said += f" by {subject}"
    elif c.deeds:
        acts = " or ".join(dict.fromkeys(_ACTS[d] for d in c.deeds))
        thing = who_words(c.object) if c.object else "an outside address" if c.outside else _THINGS.get(c.deeds[0], "something")
        said = f"{subject} {acts} {thing}"
    elif c.object is not None:
        said = f"{subject} does anything to {who_words(c.object)}"
    else:
        said = f"{subject} does anything"
    if c.text:
        said += f" with “{c.text}” in its command line or message"
    if c.outside and (c.object or c.concept or not c.deeds):
        said += ", to an address outside the private networks"
    if c.count > 1 or c.within_s is not None:
        by = {"subject": " by the same process", "user": " by the same account", "host": " on the same computer",
              "address": " with the same address", "object": " on the same thing", None: ""}[c.by]  # fmt: skip
        within = f" within {duration_words(c.within_s)}" if c.within_s is not None else " in the whole log"
        different = {"subject": "processes", "user": "accounts", "host": "computers", "address": "addresses", "object": "targets"}
        times = f"{c.count:,} different {different[c.distinct]}" if c.distinct is not None else f"{c.count:,} times"
        said = f"at least {times}{by}{within}: {said}"
    return said


def _motion(c: MotionCondition) -> str:
    said = _article(c.subject) if c.subject not in ("anything", "something") else "anything"
    if c.with_attributes:
        said += f" with {_listed([_article(word) for word in c.with_attributes])}"
    if c.without_attributes:
        said += f" without {_listed([_article(word) for word in c.without_attributes])}"
    if c.predicate == "crowds":
        said = f"at least {c.count or 2} of “{c.subject}” at the same time"
    else:
        said += f" {c.predicate}"
    if c.object:
        whom = (
            f"a {c.object}"
            if c.object in ("person", "car", "bicycle", "truck", "vehicle", "dog", "bag", "animal")
            else f"the {c.object}"
        )
        said += f" {whom}" if c.predicate in ("is near", "is too close to", "touches", "carries") else f" with {whom}"
    if c.distance is not None:
        said += f", closer than {_number(c.distance)} {c.unit}".rstrip()
    if c.zone:
        said += f" in the zone “{c.zone}”" if c.predicate not in ("enters", "leaves") else f" the zone “{c.zone}”"
    if c.seconds is not None:
        said += f" for more than {duration_words(c.seconds)}"
    return said


def _region(c: RegionCondition) -> str:
    what = f"an odd region that is {_article(c.defect)}" if c.defect else "an odd region"
    if c.measure == "count":
        kind = f" ({c.defect})" if c.defect else ""
        return f"the number of odd regions{kind} {_compared(c.how, c.low, c.high, '')}" if c.how else f"any odd region{kind}"
    size = {"length": "its longer side", "width": "its shorter side", "area": "its area"}[c.measure]
    said = f"{what} with {size} {_compared(c.how, c.low, c.high, c.unit)}" if c.how else what
    return said + (f" at the {c.place}" if c.place == "edge" else f" in the {c.place} part" if c.place else "")


def _concept(c: ConceptCondition, polarity: Polarity) -> str:
    these, others = (c.normal, c.abnormal) if polarity == "normal" else (c.abnormal, c.normal)
    wanted, rather = (" or ".join(f"“{t}”" for t in texts) for texts in (these or others, others if these else ()))
    return f"the picture looks like {wanted}" + (f" rather than {rather}" if rather else "")


def _finding(c: FindingCondition) -> str:
    if c.begins:
        return f"a finding that begins with {_listed(c.entities)}: what it does itself, and what it starts does"
    said = f"a finding like “{c.label}”" if c.label else "a finding like that one"
    if c.channels:
        said += f" in {_listed(c.channels)}"
    if c.entities:
        said += f" about {_listed(c.entities)}"
    return said + (" that looks the same, wherever it lies" if c.looks else " at the same place" if c.box else "")


def _article(word: str) -> str:
    return word if word.endswith("s") and not word.endswith("ss") else f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


_DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def hours_words(hours: Hours) -> str:
    """A part of the day or week as it was read.

    >>> hours_words(Hours(said="at night", from_s=79_200, to_s=21_600))
    'from 22:00 to 6:00'
    >>> hours_words(Hours(said="outside working hours", from_s=28_800, to_s=64_800, days=(0, 1, 2, 3, 4), outside=True))
    'except from 8:00 to 18:00 on Monday to Friday'
    """
    days = list(hours.days)
    run = len(days) > 2 and days == list(range(days[0], days[-1] + 1))
    names = f"{_DAY_NAMES[days[0]]} to {_DAY_NAMES[days[-1]]}" if run else _listed([_DAY_NAMES[d] for d in days])
    low, high = (f"{int(s // 3600)}:{int(s % 3600 // 60):02d}" for s in (hours.from_s, hours.to_s))
    clock = "" if hours.from_s == 0 and hours.to_s == 86_400 else f"from {low} to {high}"
    return " ".join(part for part in ("except" if hours.outside else "", clock, f"on {names}" if days else "") if part)


def effect_words(polarity: Polarity, severity: int | None) -> str:
    """What happens when a definition holds.

    >>> effect_words("anomaly", 3), effect_words("normal", None)
    ('an anomaly (critical)', 'normal')
    """
    if polarity == "normal":
        return "normal"
    return f"an anomaly ({SEVERITY_NAMES[severity]})" if severity is not None else "an anomaly"


def definition_words(definition: Definition, scope: Scope | None = None) -> str:
    """The compiled form in words: what counts as what, where, when, and what was left out.

    >>> print(definition_words(Definition(polarity="normal", subject="bicycles", conditions=(
    ...     MotionCondition(subject="bicycle"),)), Scope(source="yard.mp4")))
    I read this as: a bicycle is there → normal (in yard.mp4).
    """
    conditions = "; or ".join(condition_words(c, definition.polarity) for c in definition.conditions)
    when = f", {hours_words(definition.hours)}" if definition.hours is not None else ""
    where = scope.words if scope is not None else "everywhere"
    said = [f"I read this as: {conditions}{when} → {effect_words(definition.polarity, definition.severity)} ({where})."]
    said += definition.assumptions
    if definition.not_understood:
        words = ", ".join(f"“{w}”" for w in definition.not_understood)
        said.append(f"Not taken into account: {words}.")
    return " ".join(said)
