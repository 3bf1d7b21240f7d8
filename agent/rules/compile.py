"""From a definition in words to what can be evaluated, by fixed rules: the embedded tier's reading.

The sentence is checked and taken apart (`sentences`), its scope and part of the day are read, and the rest goes to the reader of the
kind of data it speaks about. Every word that no condition takes into account is named in `Definition.not_understood`; a definition
of which nothing can be kept is refused with the reason. The text is only ever matched, never executed or obeyed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from agent.question import SourceInfo
from agent.rules.conditions import ConceptCondition, Condition, Definition, Hours, SeriesCondition, kinds_of
from agent.rules.numbers import find_hours
from agent.rules.programs import Embed
from agent.rules.read_concept import cannot_be_seen, is_thing
from agent.rules.read_events import about_events, read_events
from agent.rules.read_motion import about_motion
from agent.rules.read_pictures import read_pictures
from agent.rules.read_region import about_defects
from agent.rules.read_series import about_series, read_series
from agent.rules.sentences import SAYS_NOTHING, Statement, read_statement
from core.errors import BadInput
from core.rules import Polarity, Rule, Scope
from core.samples import Kind

EXAMPLES = (
    "Examples: “pressure above 7 bar for more than 10 seconds when the pump is off is an anomaly”, “powershell.exe started "
    "by winword.exe is "
    "critical”, “more than 20 file deletes within a minute”, “a person in the yard at night”, “regions smaller than 1 % do "
    "not matter”."
)
_SCOPE = re.compile(
    r"\b(?:only )?(?:on|in|at|for|from) (?:the )?(?P<x>(?:this|the current) (?:camera|line|machine|file|video|clip|series"
    r"|recording|log|picture|photo|source|station|site)|(?:camera|line|machine|station|cell|site"
    r"|channel group) (?:no\.? ?|number ?)?[\w-]{1,20}"
    r"|[\w-]{1,60}\.(?:csv|tsv|txt|log|mp4|avi|mkv|mov|png|jpe?g|tiff?|json\w*|parquet|npz|npy|xlsx?))\b"
)
_KIND_SCOPE: tuple[tuple[Kind, str], ...] = (
    ("image", r"(?:in|on|for) (?:all |every |any )?(?:pictures?|photos?|images?)"), ("video",
        r"(?:in|on|for) (?:all |every |any )?(?:videos?|clips?|cameras?)"),
    ("series", r"(?:in|on|for) (?:all |every |any )?(?:sensor (?:series|data)|time series)"), ("events",
        r"(?:in|on|for) (?:all |every |any )?(?:event )?logs"),
)  # fmt: skip
_EVERYWHERE = re.compile(r"\b(?:everywhere|in all (?:files|sources)|on all (?:lines|cameras|machines))\b")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A definition and the scope that its sentence named."""

    definition: Definition
    scope: Scope
    text: str

    def rule(self, identity: str, *, compiled_by: str = "embedded", scope: Scope | None = None) -> Rule:
        """The rule of this reading; `scope` overrules the sentence's own."""
        return Rule(
            id=identity, text=self.text, polarity=self.definition.polarity, severity=self.definition.severity,
            scope=self.scope if scope is None else scope, compiled=self.definition.model_dump(mode="json"), compiled_by=compiled_by,
        )  # fmt: skip


def definition_of(rule: Rule) -> Definition:
    """The compiled form of a kept rule, validated again; its polarity and severity are the rule's own.

    Raises:
        BadInput: what is kept was made by another version and fits no longer.
    """
    try:
        kept = {**rule.compiled, "polarity": rule.polarity, "severity": rule.severity}
        return Definition.model_validate(kept)
    except ValidationError as error:
        raise BadInput(
            f"rule {rule.id}: its compiled form cannot be read ({error.error_count()} problems). Give the definition again: "
            f"{rule.text!r:.80}."
        ) from error


def compile_rule(text: str, *, sources: Sequence[SourceInfo] = (), embed: Embed | None = None) -> Reading:
    """Compile a definition; `sources` are what the chat holds (their channels, units and names), `embed` finds words by meaning.

    Raises:
        BadInput: no definition, several contradicting ones, or nothing in it that can be measured; the message says what to write.

    >>> reading = compile_rule("flag pressure above 7 bar for more than 10 seconds when the pump is off")
    >>> from agent.rules.wording import definition_words
    >>> print(definition_words(reading.definition))
    I read this as: pressure above 7 bar for more than 10 seconds while pump off → an anomaly (everywhere).
    """
    keep = frozenset(w for s in sources for name in (s.name, *s.channels[:500]) for w in re.findall(r"[^\W\d_]+", name.lower()))
    sentences = split_sentences(text)
    readings = [_compile_one(sentence, sources, embed, keep) for sentence in sentences]
    if len(readings) == 1:
        return readings[0]
    if len({r.definition.polarity for r in readings}) > 1:
        raise BadInput("This says that one thing is an anomaly and another normal. Give each definition on its own.")
    first = readings[0].definition
    merged = first.model_copy(
        update={
            "conditions": tuple(c for r in readings for c in r.definition.conditions)[:8],
            "assumptions": tuple(a for r in readings for a in r.definition.assumptions),
            "not_understood": tuple(n for r in readings for n in r.definition.not_understood),
        }
    )
    return Reading(definition=merged, scope=readings[0].scope, text=" ".join(text.split()))


def split_sentences(text: str) -> list[str]:
    """The sentences of a definition; a point inside a number or a file name ends none.

    >>> split_sentences("Flag pressure above 7.5 bar. Flag svc.exe too!")
    ['Flag pressure above 7.5 bar', 'Flag svc.exe too']
    """
    pieces = [p.strip(" .!;\n\t") for p in re.split(r"(?<=[^\s.])[.!;]+\s+(?=[A-Z\"“])|\n+", text)]
    return [p for p in pieces if p] or [text]


def _compile_one(text: str, sources: Sequence[SourceInfo], embed: Embed | None, keep: frozenset[str]) -> Reading:
    statement = read_statement(text, keep=keep)
    work = _Work(statement.body)
    assumptions = list(statement.assumptions)
    scope = _scope(work, sources, assumptions)
    hours = _hours(work, assumptions)
    body = " ".join(work.text.split()).strip(" ,.")
    if not re.search(r"[^\W\d_]{2}", body):
        raise BadInput(f"The definition {text[:60]!r} does not say what it is about. {EXAMPLES}")
    try:
        conditions, missed, notes = _conditions(body, statement, sources, embed)
    except ValidationError as error:
        wrong = "; ".join(
            f"{e['loc'][-1] if e['loc'] else 'value'} {e['input']!r:.40}: {e['msg'].lower()}" for e in error.errors()[:3]
        )
        raise BadInput(
            f"I read something in this definition that cannot be ({wrong}). Say it in other words. {EXAMPLES}"
        ) from error
    missed = [*missed, *statement.dropped]
    assumptions += notes
    if statement.polarity == "normal" and conditions and missed:
        named = ", ".join(f"“{m}”" for m in dict.fromkeys(missed))
        raise BadInput(
            f"I could not read {named}. A definition of what is normal silences findings, so I keep none that I read only "
            f"in part; say it "
            "without these words or in other ones."
        )
    if conditions and missed and mostly_missed(body, missed):
        named = ", ".join(f"“{m}”" for m in dict.fromkeys(missed))
        raise BadInput(f"I understood too little of this definition to keep it; not read: {named}. {EXAMPLES}")
    if statement.polarity == "normal":
        conditions = [_turned(c) for c in conditions]
    if not conditions:
        named = f" I could not read: {', '.join(repr(m) for m in missed)}." if missed else ""
        told = " ".join(notes) or EXAMPLES
        raise BadInput(f"I found nothing in this definition that I can measure.{named} {told}")
    definition = Definition(
        polarity=statement.polarity, severity=statement.severity, subject=body[:200], conditions=tuple(conditions[:8]), hours=hours,
        scope_said=scope.words[:120], assumptions=tuple(dict.fromkeys(assumptions)), not_understood=tuple(dict.fromkeys(missed)),
    )  # fmt: skip
    return Reading(definition=definition, scope=scope, text=" ".join(text.split()))


@dataclass
class _Work:
    """The body, from which pieces are cut as they are read."""

    text: str
    cut: list[str] = field(default_factory=list)

    def take(self, a: int, b: int) -> str:
        said = self.text[a:b]
        self.text = self.text[:a] + " " + self.text[b:]
        self.cut.append(said)
        return said


def _turned(condition: Condition) -> Condition:
    """Abnormal and normal texts change places; other conditions are the same for either polarity."""
    if not isinstance(condition, ConceptCondition):
        return condition
    return condition.model_copy(update={"abnormal": condition.normal, "normal": condition.abnormal})


def mostly_missed(body: str, missed: Sequence[str]) -> bool:
    """True when at least as many telling words of a body were not read as were.

    >>> mostly_missed("net.exe used by a non-admin user", ["net.exe used", "non-admin user"])
    True
    >>> mostly_missed("pressure above 7 bar whenever the moon is purple", ["whenever the moon is purple"])
    False
    """
    said, lost = (set(re.findall(r"[\w.%°/\\-]+", text)) - SAYS_NOTHING for text in (body, " ".join(missed)))
    return len(lost & said) >= len(said - lost)


def inverted(definition: Definition) -> Definition:
    """The same conditions with the opposite verdict: what was an anomaly is normal, and the other way round.

    >>> d = compile_rule("bicycles are fine here").definition
    >>> inverted(d).polarity, inverted(inverted(d)) == d
    ('anomaly', True)
    """
    other: Polarity = "normal" if definition.polarity == "anomaly" else "anomaly"
    severity = None if other == "normal" else definition.severity
    return definition.model_copy(
        update={"polarity": other, "severity": severity, "conditions": tuple(_turned(c) for c in definition.conditions)}
    )


def scope_of(text: str, sources: Sequence[SourceInfo] = ()) -> Scope:
    """The scope that a sentence (lower case) names; everywhere without one.

    >>> scope_of("bicycles are fine in yard.mp4").words
    'in yard.mp4'
    """
    return _scope(_Work(text), sources, [])


def _scope(work: _Work, sources: Sequence[SourceInfo], notes: list[str]) -> Scope:
    match = _EVERYWHERE.search(work.text)
    if match is not None:
        work.take(*match.span())
        return Scope()
    for source in sources:
        name = source.name.lower()
        found = re.search(rf"\b(?:only )?(?:on|in|at|for|from) (?:the )?{re.escape(name)}(?!\w)", work.text)
        if found is not None:
            work.take(*found.span())
            return Scope(source=source.name)
    match = _SCOPE.search(work.text)
    if match is not None:
        said = match["x"]
        work.take(*match.span())
        if said.startswith(("this ", "the current ")):
            if len(sources) == 1:
                return Scope(source=sources[0].name)
            notes.append(
                f"“{said}” names none of {len(sources)} sources, so the rule holds everywhere; say in which one it should hold."
            )
            return Scope()
        stems = {s.name.lower().rsplit(".", 1)[0]: s.name for s in sources}
        known = stems.get(said.replace(" ", "_")) or stems.get(said.replace(" ", "")) or stems.get(said)
        if known is None and sources:
            notes.append(f"No source here is called {said!r}; the rule will hold in one of that name.")
        return Scope(source=known or said)
    for kind, words in _KIND_SCOPE:
        match = re.search(rf"\b(?:{words})\b", work.text)
        if match is not None and len(work.text.split()) > len(match[0].split()):
            work.take(*match.span())
            return Scope(kind=kind)
    return Scope()


def _hours(work: _Work, notes: list[str]) -> Hours | None:
    found = find_hours(work.text)
    if found is None:
        return None
    hours, span, note = found
    work.take(*span)
    if note:
        notes.append(note)
    return hours


def _conditions(
    body: str, statement: Statement, sources: Sequence[SourceInfo], embed: Embed | None
) -> tuple[list[Condition], list[str], list[str]]:  # fmt: skip
    """(conditions, words not understood, notes) by the reader of the kind of data that a body speaks about."""
    if (unseen := cannot_be_seen(body)) and not about_series(body, sources):
        raise BadInput(
            f"“{unseen}” cannot be measured: I look at pictures, video, readings and logs, and none of them shows it. Say "
            f"what would be seen, "
            "measured or logged when it happens."
        )
    known = _known_names(sources)
    kinds = {s.kind for s in sources}
    defects, motion = about_defects(body), about_motion(body)
    series, events = about_series(body, sources), about_events(body, known)
    if defects and not (series and kinds == {"series"}):
        found, missed = read_pictures(body)
        return found, list(missed), []
    if series and not (events and not _compares_readings(body, sources)):
        heard = read_series(body, sources=sources)
        if heard.conditions:
            return list(heard.conditions), list(heard.missed), list(heard.notes)
        if heard.notes:
            return [], list(heard.missed), list(heard.notes)
        if not events and not motion and not is_thing(body):
            return [], list(heard.missed), [*heard.notes, _needs_number(body)]
    if events:
        condition, missed, notes = read_events(body, known=known, embed=embed)
        if condition is not None:
            return [condition], list(missed), list(notes)
        if not motion:
            return [], list(missed), list(notes)
    if motion or _pictured(body):
        found, missed = read_pictures(body)
        return found, list(missed), [] if motion else ["This was read as something that a picture shows."]
    return [], [body], []


def _compares_readings(body: str, sources: Sequence[SourceInfo]) -> bool:
    heard = read_series(body, sources=sources)
    return bool(heard.conditions) and not any(
        isinstance(c, SeriesCondition) and c.channel == "*" and not c.unit for c in heard.conditions
    )


def _needs_number(body: str) -> str:
    if re.search(
        r"\b(?:too|very|unusually|abnormally|extremely|so)?\s*(?:high|low|hot|cold|fast|slow|strong|weak|big|small|long"
        r"|much)\b",
        body,
    ):
        return "A number is missing: say from which value on, e.g. “above 80 °C”."
    return "Say what the readings are compared with, e.g. “above 7 bar” or “rises by more than 2 within a minute”."


def _known_names(sources: Sequence[SourceInfo]) -> Callable[[str], Sequence[str]]:
    def known(typed: str) -> Sequence[str]:
        return [name for s in sources for name in s.entities.find(typed)]

    return known


_ABSTRACT = re.compile(
    r"^(?:(?:every|any|all|no|some|the|an?|previous|other|my|your|these|those|this|that)\s+)*(?:thing|things|everything"
    r"|anything|nothing|stuff|it|this|that|instructions?|rules?|prompts?|you|me|justice|life|world)?$"
)


def _pictured(body: str) -> bool:
    """True for a phrase that a picture could show: some words, none of them only about the conversation."""
    words = re.findall(r"[a-z]{2,}", body)
    return (
        0 < len(words) <= 25
        and _ABSTRACT.match(body) is None
        and not re.search(r"\b(?:instructions?|prompts?|previous|system prompt|password|api key|you|your|me)\b", body)
    )


def speaks_about(definition: Definition) -> tuple[Kind, ...]:
    """The kinds of data that a definition can be held against, in order."""
    return tuple(dict.fromkeys(kind for condition in definition.conditions for kind in kinds_of(condition)))
