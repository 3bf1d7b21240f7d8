"""Which reader a definition goes to: that of readings, of logs, of motions, of defects, or of what a picture shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from agent.lookups.log_concepts import asked_concepts
from agent.question import SourceInfo
from agent.rules.conditions import Condition, SeriesCondition
from agent.rules.event_words import COMMANDS, CUE
from agent.rules.numbers import find_lasting, find_within
from agent.rules.picture_words import SUBJECT, label_of
from agent.rules.programs import Embed
from agent.rules.read_concept import cannot_be_seen, is_thing
from agent.rules.read_events import about_events, read_events
from agent.rules.read_pictures import moves, read_pictures, somebody
from agent.rules.read_region import about_defects
from agent.rules.read_series import about_series, read_series
from agent.rules.sentences import SAYS_NOTHING
from agent.rules.series_words import DERIVED, QUANTITY_WORD, not_derived, quantity_of
from core.errors import BadInput

EXAMPLES = (
    "Examples: “pressure above 7 bar for more than 10 seconds when the pump is off is an anomaly”, “powershell.exe started "
    "by winword.exe is "
    "critical”, “more than 20 file deletes within a minute”, “a person in the yard at night”, “regions smaller than 1 % do "
    "not matter”."
)


def read_conditions(
    body: str, sources: Sequence[SourceInfo], embed: Embed | None
) -> tuple[list[Condition], list[str], list[str]]:  # fmt: skip
    """(conditions, words not understood, notes) by the reader of the kind of data that a body speaks about."""
    if (unseen := cannot_be_seen(body)) and not about_series(body, sources):
        raise BadInput(
            f"“{unseen}” cannot be measured: I look at pictures, video, readings and logs, and none of them shows it. Say "
            f"what would be seen, "
            "measured or logged when it happens."
        )
    known = _known_names(sources)
    if moves(body):
        body = somebody(body)
    if (
        _NOT_HAPPENING.search(body)
        and (find_lasting(body) or find_within(body))
        and not (about_series(body, sources) or moves(body))
    ):
        raise BadInput(
            "That something does not happen for a time I can tell of readings only (“no readings for more than 1 minute”), "
            "not of a log or "
            "a video: say what is seen or logged when it goes wrong."
        )
    kinds = {s.kind for s in sources}
    defects, motion = about_defects(body), moves(body)
    series, events = about_series(body, sources) and not _followed(body, sources), about_events(body, known)
    if events and motion and not CUE.search(body) and set(asked_concepts(body)) <= _AMBIGUOUS and not COMMANDS.match(body):
        events = about_events(_NO_CONCEPT.sub(" ", body), known)
    if defects and not (series and (kinds == {"series"} or any(quantity_of(m["u"]) for m in _VALUE_WITH_UNIT.finditer(body)))):
        found, missed, notes = read_pictures(body)
        return found, list(missed), list(notes)
    if series and not (events and not _compares_readings(body, sources)):
        heard = read_series(body, sources=sources)
        if heard.conditions:
            return list(heard.conditions), list(heard.missed), list(heard.notes)
        if heard.notes:
            return [], list(heard.missed), list(heard.notes)
        if not events and (not motion or _OF_READINGS.match(body)) and not is_thing(body):
            return [], list(heard.missed), [*heard.notes, _needs_number(body)]
    if events:
        condition, missed, notes = read_events(body, known=known, embed=embed)
        if condition is not None and missed:
            named = ", ".join(f"“{m}”" for m in missed)
            raise BadInput(f"I understood too little of this definition to keep it; not read: {named}. {EXAMPLES}")
        if condition is not None:
            return [condition], [], list(notes)
        if not motion or missed:
            return [], list(missed), list(notes)
    if motion or _pictured(body):
        found, missed, notes = read_pictures(body)
        return found, list(missed), [*notes, *([] if motion else ["This was read as something that a picture shows."])]
    return [], [body], []


_AMBIGUOUS = frozenset({"privilege", "persistence", "login"})
"""Log concepts whose words people use of places, too: an elevator, a back door, getting in."""
_NO_CONCEPT = re.compile(r"\belevat\w*|\bback ?doors?\b|\b(?:get|gets|got|break|breaks|broke|broken) in(?:to)?\b")
_OF_READINGS = re.compile(rf"^(?:(?:the|a|an|our|any) )?(?:\w+ )?{QUANTITY_WORD.pattern}")
_NOT_HAPPENING = re.compile(r"\b(?:did|does|do|has|have|was|were|is|are) (?:not|never)\b|\bnever\b|^(?:there (?:is|are) )?no \w")


def _compares_readings(body: str, sources: Sequence[SourceInfo]) -> bool:
    heard = read_series(body, sources=sources)
    return bool(heard.conditions) and not any(
        isinstance(c, SeriesCondition) and c.channel == "*" and not c.unit for c in heard.conditions
    )


def _needs_number(body: str) -> str:
    if (derived := DERIVED.search(body)) is not None:
        return not_derived(derived[0])
    if re.search(r"\b(?:\d+ times|how often|starts? (?:more|less) than)\b", body):
        return "How often something happens is counted in logs only; of readings say from which value on and for how long."
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


def _followed(body: str, sources: Sequence[SourceInfo]) -> bool:
    """True where the number compared is one of people or vehicles: "cars faster than 30 km/h" is about no channel."""
    head = re.match(rf"^(?:(?:an?|the|any|all|every)\s+)?{SUBJECT.pattern}", body)
    return (
        head is not None
        and label_of(head["label"]) != "anything"
        and QUANTITY_WORD.search(body) is None
        and not about_series(head[0], sources)
    )


_VALUE_WITH_UNIT = re.compile(r"\d\s*(?P<u>°\s?[cfk]?|[a-zµ]{1,5}(?:/[a-z]{1,3})?)(?!\w)")


def _pictured(body: str) -> bool:
    """True for a phrase that a picture could show: some words, none of them only about the conversation."""
    words = re.findall(r"[a-z]{2,}", body)
    telling = set(words) - SAYS_NOTHING - {"normal", "abnormal", "ok", "okay", "fine", "good", "bad", "wrong", "right"}
    units = [m["u"] for m in _VALUE_WITH_UNIT.finditer(body)]
    return (
        0 < len(words) <= 25
        and max(map(len, words)) <= 30
        and bool(telling)
        and re.match(r"(?:it|this|that|they) (?:is|was|are|were|looks?|does|has)\b", body) is None
        and not any(quantity_of(unit) for unit in units)
        and not re.search(r"(?:^|\s)[/-]{1,2}[a-z]", body)
        and _ABSTRACT.match(body) is None
        and not re.search(r"\b(?:instructions?|prompts?|previous|system prompt|password|api key|you|your|me)\b", body)
    )
