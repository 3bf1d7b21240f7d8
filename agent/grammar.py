"""From a message to a `Request`: the embedded tier's understanding of a question, by rules.

`understand` tidies the text, reads targets, times and intents (`agent.reading`, `agent.times`, `agent.intents`), and fills what a
follow-up leaves out from the question before it. Rules find what is named; which wish the words express, and what answers it, is for
the packaged reader (`agent.reader`), which outdoes the rules where it is sure. `understand` never raises on any text, and what it
guessed or did not understand is said in `Request.notes`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from agent.intents import read_intents, said_polarity
from agent.question import Context, Intent, Request, RuleDraft, SampleRef, SourceInfo, TimeRange
from agent.reader import COMMAND, RULES, Reading, known_intents, read
from agent.reading.channels import find_channels
from agent.reading.clips import asks_for_clip
from agent.reading.concepts import (
    read_concept,
    read_format,
    read_limit,
    read_min_severity,
    read_negation,
    read_sensitivity,
    read_view,
)
from agent.reading.entities import find_entities
from agent.reading.expansion import read_expansion
from agent.reading.expectation import read_expectation
from agent.reading.findings import find_references, places_of_findings, relative_times
from agent.reading.fragments import concept_of_fragment, read_fragment
from agent.reading.loose_times import spelled_out
from agent.reading.names import Named, blank
from agent.reading.photos import find_samples, find_sources
from agent.reading.phrases import either, headed, word, wordlist
from agent.reading.tidy import MAX_CHARS, Tidy, tidy
from agent.reading.values import find_comparison
from agent.times import find_times

NO_FILES = "There are no files in this chat yet. Drop in photos, a video, sensor data or an event log, and ask again."
NOT_UNDERSTOOD = (
    "I did not understand the question, so I tell what stands out. You can ask what, when, where, which, why or how bad, or name an "
    "image, a channel or a time."
)
OUTSIDE = "That is outside what I do: I look for anomalies in the files of this chat."
ADVICE = "What to do is your decision; I can only say how far something deviates from normal."
ELLIPSIS_WORDS = 4
"""A question of at most this many words that says nothing of its own continues the question before it."""
_BROAD: frozenset[Intent] = frozenset(("list", "overview", "how_many"))
"""A request for everything is not narrowed by what the question before it pointed at."""
_REFERRING: frozenset[Intent] = frozenset(
    (
        "why",
        "when",
        "where",
        "how_bad",
        "show",
        "explain",
        "who",
        "which",
        "what",
        "is_normal",
        "how_many",
        "compare",
        "exists",
        "list",
    )
)
_NEEDS_NO_FILES: frozenset[Intent] = frozenset(("help", "greeting", "unsupported", "define_rule", "undo", "reset"))
_VAGUE: frozenset[Intent] = frozenset(("exists", "what", "list", "explain"))
_NEVER_HEARD = "undo"
"""What changes something at once is taken at its word alone; a definition changes nothing before the person has confirmed it."""
NEAR, NEAR_BEFORE = 0.2, 0.5
"""Least probability of an intent that is heard against the rules; against the wish of the question before, taken over, more."""
UNLIKELY = 0.2
"""A sentence that reads like a definition is another thing only where a definition is less likely than this."""
SURE_OF_COMMAND = 0.6
"""Least probability of a command to the rule book that no pattern reads: it is asked back, and nothing else is answered."""
_OF_RULES = re.compile(r"\b(?:changes?|changed|rules?|definitions?|alerts?|alarms?|exceptions?|limits?|thresholds?)\b")
SURE_OF_WAY, SURE_PAST_A_TIME = 0.3, 0.5
"""Least probability of a way that is taken against the words; the findings as a whole, though a time is named, need more."""
Reader: TypeAlias = "Callable[[str, Sequence[str], str], Reading | None]"
_KEEPS_NAMES = 500
"""Names per source whose words are protected from mending."""


def understand(question: str, context: Context, *, reader: Reader = read) -> Request:
    """Read what `question` asks for, given what the chat knows; never raises on any text.

    `reader` hears a message with the kinds of files and the message before it; None from it leaves everything to the rules.

    >>> pump = SourceInfo(name="pump.csv", kind="series", channels=("temp", "flow"), duration_s=600.0)
    >>> request = understand("when did the temp go wrong after 2:00?", Context(sources=(pump,)))
    >>> request.intents, request.channels, [(t.start_s, t.end_s) for t in request.times]
    (('when',), ('temp',), [(120.0, 600.0)])
    """
    text = tidy(question, keep=_known_words(question, context), widely=True)
    named = _targets(text, question, context)
    found = read_intents(text.plain)
    request = Request(
        question=question, intents=found.intents, sources=named.sources, samples=named.samples, channels=named.channels,
        entities=named.entities, times=named.times, references=named.references, rule=found.rule, reason=found.reason,
        limit=read_limit(text.plain), sensitivity=read_sensitivity(text.plain), min_severity=read_min_severity(text.plain),
        view=read_view(text.plain), export_format=read_format(text.plain), unknown=named.unknown, language=text.language,
        concept=None if found.rule else read_concept(text.open, named.spans, found.intents),
        negation=read_negation(text.plain, found.intents), notes=named.notes,
    )  # fmt: skip
    request = _hear(_decide(request, text, named, context), text, context, reader)
    if request.decided_by == "reader" or (request.decided_by == "follow-up" and request.concept is None):  # "and a cat?"
        concept = None if request.rule else read_concept(text.open, named.spans, request.intents)
        request = replace(request, concept=concept)
    if request.decided_by == "reader":
        request = replace(request, negation=read_negation(text.plain, request.intents))
    request = _loosely_timed(request, text, context)
    new = context.fresh and not request.targeted
    request = replace(request, sources=context.fresh) if new else _inherit(request, text, context)
    request = read_expansion(request, text.plain, context)
    if request.rings is not None:
        request = replace(request, notes=tuple(note for note in request.notes if note != NOT_UNDERSTOOD))
    request = replace(request, expects=read_expectation(text.plain, request.intents))
    if asks_for_clip(text.plain) and any(source.kind == "video" for source in context.sources):
        request = replace(request, intents=("show",), rule=None, concept=None, way="", cut=True)
    return _with_notes(request, text, context)


def _known_words(question: str, context: Context) -> frozenset[str]:
    """Words of the question that are names in the chat and must not be mended."""
    words = set(re.findall(r"[^\W\d_]+", question.lower()[:4000]))
    called = [n for s in context.sources for n in (s.name, *s.channels[:_KEEPS_NAMES], *s.samples[:_KEEPS_NAMES])]
    names = {w for name in called for w in re.findall(r"[^\W\d_]+", name.lower())}
    logs = [s.entities for s in context.sources if len(s.entities)]
    return frozenset(w for w in words if w in names or any(index.find(w) for index in logs))


@dataclass(frozen=True, kw_only=True)
class _Targets(Named):
    """Everything named, with the times."""

    times: tuple[TimeRange, ...] = ()


def _targets(text: Tidy, question: str, context: Context) -> _Targets:
    """Names first, then times of the sources they leave, then earlier findings."""
    words = text.open
    parts: list[Named] = [find_sources(words, context)]
    timed = _timed_sources(parts[0].sources, context)
    read = find_times(words, timed, now=context.now)
    when = read.spans if timed else ()  # photos alone have no times: "between 1 and 9" counts them
    parts.append(find_samples(words, context, blocked=(*when, *places_of_findings(words, context))))
    rest = blank(words, [*read.spans, *parts[-1].spans])
    for source in context.sources:
        if parts[0].sources and source.name not in parts[0].sources:
            continue
        if source.kind == "series":
            parts.append(find_channels(rest, source))
        elif source.kind == "events":
            parts.append(find_entities(words, source, original=question))
    parts.append(find_references(blank(words, [*read.spans, *parts[1].spans]), context))
    relative = list(relative_times(words, parts[-1].references, context))
    owners = [s.name for s in context.sources if s.kind == "series" and set(s.channels) & {c for p in parts for c in p.channels}]
    times = tuple(t for t in read.times if not owners or parts[0].sources or t.source in owners or not _series(t.source, context))
    return _Targets(
        samples=_joined(parts, "samples"), sources=_joined(parts, "sources"), channels=_joined(parts, "channels"),
        entities=_joined(parts, "entities"), references=_joined(parts, "references"), unknown=_joined(parts, "unknown"),
        spans=(*_joined(parts, "spans"), *read.spans), notes=(*read.notes, *_joined(parts, "notes")), times=(*times, *relative),
    )  # fmt: skip


def _series(name: str, context: Context) -> bool:
    source = context.source(name)
    return source is not None and source.kind == "series"


def _joined(parts: Sequence[Named], name: str) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(item for part in parts for item in getattr(part, name)))


def _timed_sources(named: Sequence[str], context: Context) -> list[SourceInfo]:
    """Sources in which a time may lie: the named ones, else those of the question before, else all."""
    timed = [s for s in context.sources if s.timed]
    for names in (named, context.previous[-1].sources if context.previous else ()):
        chosen = [s for s in timed if s.name in names]
        if chosen:
            return chosen
    return timed


def _decide(request: Request, text: Tidy, named: Named, context: Context) -> Request:
    """Give a message without a clear intent one: from the question before or from what it names."""
    previous = next((r for r in reversed(context.previous) if not set(r.intents) <= _NEEDS_NO_FILES), None)
    asked = tuple(intent for intent in request.intents if intent != "greeting")
    adjusting = bool(request.sensitivity or request.min_severity)
    names = bool(named.spans or named.unknown) or request.targeted
    if asked and not (adjusting and set(asked) <= _VAGUE):
        return request
    if request.intents == ("greeting",) and not names and not adjusting:
        return request
    follows = previous is not None and bool(either("follow").search(text.plain))
    noted = () if adjusting or follows or text.language == "other" else read_fragment(text.open, named.spans)
    if noted:
        concept = concept_of_fragment(text.open, named.spans) if noted == ("exists",) else None
        return replace(request, intents=noted, concept=request.concept or concept)
    if previous is not None and (adjusting or names or follows):
        kept = tuple(intent for intent in previous.intents if intent not in _NEEDS_NO_FILES)
        if kept == ("overview",) and names and not adjusting:
            kept = ("what",)
        return replace(request, intents=kept, decided_by="follow-up", inherited=("intents",))
    if adjusting:
        return replace(request, intents=("overview",))
    if re.search(rf"\b{word('finding')}\b", text.plain):
        return replace(request, intents=("exists",))
    if names:
        return replace(request, intents=("what",), decided_by="default")
    if not re.search(r"\w", text.plain):
        return replace(request, intents=("overview",) if context.sources else ("help",), decided_by="default")
    intents: tuple[Intent, ...] = ("overview",) if context.sources else ("help",)
    return replace(request, intents=intents, decided_by="default", notes=(*request.notes, NOT_UNDERSTOOD))


def _hear(request: Request, text: Tidy, context: Context, reader: Reader) -> Request:
    """What the reader hears in a message, where it is surer than the rules; messages in other languages are left to the rules."""
    if text.language != "en" or not re.search(r"[a-z]{2}", text.plain) or either("go on").search(text.plain):
        return request
    if request.intents == ("greeting",) and not request.targeted:
        return request
    named = [s.kind for s in context.sources if s.name in request.sources] or [s.kind for s in context.sources]
    heard = reader(request.question, named, context.previous[-1].question if context.previous else "")
    if heard is None:
        return request
    if heard.intent in (COMMAND, _NEVER_HEARD) and heard.intent not in request.intents:
        if heard.intents[heard.intent] < SURE_OF_COMMAND or not _OF_RULES.search(text.plain):
            return request
        return replace(request, intents=("overview",), rule=None, reason=None, decided_by="reader", way="rule")
    past_a_time = heard.way == "finding" and request.times and "times" not in request.inherited
    sure = heard.ways[heard.way] >= (SURE_PAST_A_TIME if past_a_time else SURE_OF_WAY)
    defines = "define_rule" in request.intents
    if defines and sum(heard.intents.get(one, 0.0) for one in RULES) >= UNLIKELY:
        return replace(request, way="rule")
    request = replace(request, way=heard.way if sure and heard.way != "rule" else "")
    intents = known_intents(heard, request.intents)
    if heard.intent == "define_rule" and text.asks:  # nobody defines by asking
        return request
    if (
        heard.intent == "unsupported"
        and {"video", "image"} & set(named)
        and any(p.search(text.plain) for _, p in headed("picture untold"))
    ):
        return request  # what a picture cannot tell is said with what it does tell
    if set(intents) == set(request.intents):
        return replace(request, notes=tuple(note for note in request.notes if note != NOT_UNDERSTOOD))
    if heard.intents[heard.intent] < (NEAR_BEFORE if request.decided_by == "follow-up" else NEAR):
        return request
    draft = request.rule if "define_rule" in intents else None
    if heard.intent == "define_rule" and draft is None:
        said = text.plain.strip(" .!?")
        draft = RuleDraft(text=said, subject=said, polarity=said_polarity(said))
    reason = (request.reason or OUTSIDE) if "unsupported" in intents else None
    return replace(
        request, intents=intents, decided_by="reader", rule=draft, reason=reason,
        notes=tuple(note for note in request.notes if note != NOT_UNDERSTOOD),
    )  # fmt: skip


def _loosely_timed(request: Request, text: Tidy, context: Context) -> Request:
    """With the times that are said loosely, where the message was heard to ask about times and too few were read."""
    wanted = {"time": 1, "events": 1, "comparison": 2}.get(request.way, 0)
    read = len({when.mention for when in request.times})
    if read >= wanted:
        return request
    found = [
        find_times(spelled_out(text.open, source), [source], now=context.now, every_day=wanted == 2)
        for source in _timed_sources(request.sources, context)
    ]
    times = tuple(when for one in found for when in one.times)
    if len({when.mention for when in times}) <= read:
        return request
    stale = find_times(text.open, _timed_sources(request.sources, context), now=context.now).notes
    notes = [note for note in request.notes if note not in stale]
    return replace(request, times=times, notes=(*notes, *(note for one in found for note in one.notes)))


def _inherit(request: Request, text: Tidy, context: Context) -> Request:
    """Fill what a follow-up leaves out (photo, channel, time, concept …) from the question before."""
    previous = context.previous[-1] if context.previous else None
    if previous is None or not (set(request.intents) & _REFERRING or request.decided_by == "follow-up"):
        return request
    said = re.findall(r"\w+", text.plain)
    elliptic = not request.targeted and request.concept is None and len(said) <= ELLIPSIS_WORDS and not _says_something(said)
    beside = _photo_beside(text, previous, context) if not request.samples else ()
    if not (
        beside
        or request.decided_by == "follow-up"
        or elliptic
        or either("follow").search(text.plain)
        or either("anaphor").search(text.plain)
    ):
        return request
    measured = any(find_comparison(text.plain, s) for s in context.sources if s.kind == "series" and previous.channels)
    broad = bool(_BROAD & set(request.intents)) and "intents" not in request.inherited and not measured
    taken = {name: kept for name, kept in _targets_before(request, previous).items() if name == "sources" or not broad}
    if beside:
        request, taken = replace(request, samples=beside, references=()), {n: v for n, v in taken.items() if n != "samples"}
    named = request.samples or request.channels or request.times or request.entities or request.sources
    if previous.references and not request.references and not named and not broad:
        taken["references"] = previous.references
    if request.decided_by == "follow-up":
        taken |= {
            name: getattr(previous, name)
            for name in ("concept", "limit", "view", "negation")
            if not getattr(request, name) and getattr(previous, name)
        }
    changed: Request = replace(request, **taken, inherited=(*request.inherited, *taken))
    return changed


def _photo_beside(text: Tidy, previous: Request, context: Context) -> tuple[SampleRef, ...]:
    """The photo after or before the only one of the question before: "and the one after that?"."""
    step = 1 if either("photo after").search(text.plain) else -1 if either("photo before").search(text.plain) else 0
    if not step or len(previous.samples) != 1:
        return ()
    source = context.source(previous.samples[0].source)
    names = source.samples if source is not None else ()
    at = names.index(previous.samples[0].sample) + step if previous.samples[0].sample in names else -1
    return (SampleRef(source=previous.samples[0].source, sample=names[at]),) if 0 <= at < len(names) else ()


def _says_something(words: Sequence[str]) -> bool:
    """True when some word names a thing or an action of its own, so that the question is about that and not about "it"."""
    return any(not w.isdigit() and w not in wordlist("says nothing alone") for w in words)


_OTHERS = re.compile(
    r"\b(?:the )?(?:other (?:channels?|sensors?|signals?|readings?|measurements?|values?|curves?)|others\b|rest of)"
)


def _targets_before(request: Request, previous: Request) -> dict[str, Any]:
    """Targets of the question before that this one leaves open and that still fit what it does name."""
    others = bool(_OTHERS.search(request.question.lower()))
    points_elsewhere = any(reference.kind not in ("it", "all") for reference in request.references)
    same_source = not request.sources or bool(set(request.sources) & set(previous.sources))
    fits = {
        "sources": True,
        "samples": same_source and not points_elsewhere and not request.entities and not request.channels,
        "channels": same_source and not points_elsewhere and not others,
        "entities": same_source and not points_elsewhere,
        "times": not points_elsewhere and not request.samples and same_source,
    }
    return {
        name: getattr(previous, name)
        for name, fit in fits.items()
        if fit and getattr(previous, name) and not getattr(request, name)
    }


_LANGUAGE_NAMES = {"de": "German", "fr": "French", "es": "Spanish"}


def _with_notes(request: Request, text: Tidy, context: Context) -> Request:
    """Add what the person should be told about how the question was read."""
    notes = list(request.notes)
    if context.sources and either("advice").search(text.plain):
        notes.append(ADVICE)
    if len(request.question) > MAX_CHARS:
        notes.append(f"Your message is long; I read its first and last {MAX_CHARS // 2} characters.")
    if request.language == "other":
        notes.append("Without a language model I do not understand this language; please ask in English.")
    elif request.language != "en":
        name = _LANGUAGE_NAMES[request.language]
        notes.append(
            f"I read simple questions in {name}, but without a language model English works best, and I answer in English."
        )
    if not context.sources and not set(request.intents) <= _NEEDS_NO_FILES:
        notes.append(NO_FILES)
    photos_only = bool(context.sources) and all(source.kind in ("image", "points") for source in context.sources)
    if photos_only and "when" in request.intents:
        kinds = {source.kind for source in context.sources}
        things = "Scans" if kinds == {"points"} else "Photos"
        notes.append(f"{things} carry no time here, so I can say which and where but not when.")
    return replace(request, notes=tuple(dict.fromkeys(notes)))
