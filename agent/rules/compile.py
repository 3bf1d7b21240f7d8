"""From a definition in words to what can be evaluated, by fixed rules: the embedded tier's reading.

The sentence is checked and taken apart (`sentences`), its scope and part of the day are read, and the rest goes to the reader of the
kind of data it speaks about. Every word that no condition takes into account is named in `Definition.not_understood`; a definition
of which nothing can be kept is refused with the reason. The text is only ever matched, never executed or obeyed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from agent.question import SourceInfo
from agent.rules.admission import MOST_CHARS
from agent.rules.conditions import (
    ConceptCondition,
    Condition,
    Definition,
    MotionCondition,
    RegionCondition,
    kinds_of,
)
from agent.rules.measurable import PULL
from agent.rules.picture_words import narrower
from agent.rules.programs import Embed
from agent.rules.read_conditions import EXAMPLES, read_conditions
from agent.rules.scopes import Work, read_hours, read_scope
from agent.rules.sentences import SAYS_NOTHING, read_statement
from agent.rules.visible import could_be_shown
from core.errors import BadInput
from core.rules import Polarity, Rule, Scope
from core.samples import Kind

MOST_CONDITIONS = 8


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
    sentences = split_sentences(text) if len(text) <= 2 * MOST_CHARS else [text]
    readings = [_compile_one(sentence, sources, embed, keep) for sentence in sentences]
    if len(readings) == 1:
        return readings[0]
    if len({r.definition.polarity for r in readings}) > 1:
        raise BadInput("This says that one thing is an anomaly and another normal. Give each definition on its own.")
    first = readings[0].definition
    conditions = tuple(dict.fromkeys(c for r in readings for c in r.definition.conditions))
    if len(conditions) > MOST_CONDITIONS or len({(r.definition.hours, r.scope) for r in readings}) > 1:
        raise BadInput(
            f"Give each definition on its own: this holds {len(conditions)} conditions, or different times and places."
        )
    merged = first.model_copy(
        update={
            "conditions": conditions,
            "assumptions": tuple(dict.fromkeys(a for r in readings for a in r.definition.assumptions)),
            "not_understood": tuple(dict.fromkeys(n for r in readings for n in r.definition.not_understood)),
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
    work = Work(statement.body)
    assumptions = list(statement.assumptions)
    scope = read_scope(work, sources, assumptions)
    hours = read_hours(work, assumptions)
    body = " ".join(work.text.split()).strip(" ,.")
    if not re.search(r"[^\W\d_]{2}", body):
        raise BadInput(f"The definition {text[:60]!r} does not say what it is about. {EXAMPLES}")
    try:
        conditions, missed, notes = read_conditions(body, sources, embed)
    except ValidationError as error:
        wrong = "; ".join(
            f"{e['loc'][-1] if e['loc'] else 'value'} {e['input']!r:.40}: {e['msg'].lower()}" for e in error.errors()[:3]
        )
        raise BadInput(
            f"I read something in this definition that cannot be ({wrong}). Say it in other words. {EXAMPLES}"
        ) from error
    if embed is not None and conditions and all(isinstance(c, ConceptCondition) and not c.visible for c in conditions):
        _check_shown(conditions, body, embed)
    missed = [*missed, *statement.dropped]
    assumptions += notes
    if statement.polarity == "normal" and conditions and missed:
        named = ", ".join(f"“{m}”" for m in dict.fromkeys(missed))
        raise BadInput(
            f"I could not read {named}. A definition of what is normal silences findings, so I keep none that I read only "
            f"in part; say it "
            "without these words or in other ones."
        )
    if conditions and (altering := [m for m in missed if _ALTERS.search(m)]):
        named = ", ".join(f"“{m}”" for m in dict.fromkeys(altering))
        raise BadInput(
            f"I cannot read {named}, and it changes what is meant, so I keep nothing of this definition. {_looks(conditions)}".strip()
        )
    part_of = len(conditions) == 1 and isinstance(conditions[0], RegionCondition) and len(" ".join(missed).split()) <= 2
    if conditions and missed and not part_of and mostly_missed(body, missed):
        named = ", ".join(f"“{m}”" for m in dict.fromkeys(missed))
        raise BadInput(f"I understood too little of this definition to keep it; not read: {named}. {EXAMPLES}")
    if len(conditions) > MOST_CONDITIONS:
        raise BadInput(
            f"This holds {len(conditions)} conditions, allowed are {MOST_CONDITIONS}. Give each definition on its own."
        )
    if statement.polarity == "normal" and any(isinstance(c, MotionCondition) for c in conditions) and (finer := narrower(body)):
        said, label = finer[0]
        raise BadInput(
            f"I cannot tell “{said}” from any other {label}, and a definition of what is normal silences findings: it would "
            f"silence every "
            f"{label}. Say “{label}” if that is meant, or let a vision-language model look: {PULL}."
        )
    if statement.polarity == "normal":
        conditions = [_turned(c) for c in conditions]
    if not conditions:
        named = f" I could not read: {', '.join(repr(m) for m in missed)}." if missed else ""
        told = " ".join(notes) or EXAMPLES
        raise BadInput(f"I found nothing in this definition that I can measure.{named} {told}")
    definition = Definition(
        polarity=statement.polarity, severity=statement.severity, subject=body[:200], conditions=tuple(conditions), hours=hours,
        scope_said=scope.words[:120], assumptions=tuple(dict.fromkeys(assumptions)), not_understood=tuple(dict.fromkeys(missed)),
    )  # fmt: skip
    return Reading(definition=definition, scope=scope, text=" ".join(text.split()))


def _turned(condition: Condition) -> Condition:
    """Abnormal and normal texts change places; other conditions are the same for either polarity."""
    if not isinstance(condition, ConceptCondition):
        return condition
    return condition.model_copy(update={"abnormal": condition.normal, "normal": condition.abnormal})


_ALTERS = re.compile(
    r"^(?:when|while|if|whenever|unless|although|during|as long as)\b|(?<![\w.-])(?:not|never|no|nobody|none|without|but"
    r"|except|other|otherwise|unless|only|than|above|below|over|under|between|outside"
    r"|normal|fine|okay|ok|allowed|permitted|acceptable|abnormal|different|distinct|followed|then|before|after|until|instead|quarter"
    r"|more|less|fewer|half|twice|alone|\d+)(?![\w.])"
)
"""Words that turn a definition round or narrow it: one that is read without them is another definition."""


def _check_shown(conditions: Sequence[Condition], body: str, embed: Embed) -> None:
    texts = [t for c in conditions if isinstance(c, ConceptCondition) for t in (*c.abnormal, *c.normal)]
    if not any(could_be_shown(text, embed) for text in texts):
        raise BadInput(
            f"“{body[:80]}” does not seem to be anything that a picture, a reading or a log row shows. Say what would be "
            f"seen, measured or "
            "logged when it happens."
        )


def _looks(conditions: Sequence[Condition]) -> str:
    """What would help to read more of a definition about pictures or video."""
    if not {"image", "video"} & {kind for condition in conditions for kind in kinds_of(condition)}:
        return "Say it without these words or in other ones."
    return f"Say it without these words, or let a vision-language model look: {PULL}."


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


def speaks_about(definition: Definition) -> tuple[Kind, ...]:
    """The kinds of data that a definition can be held against, in order."""
    return tuple(dict.fromkeys(kind for condition in definition.conditions for kind in kinds_of(condition)))
