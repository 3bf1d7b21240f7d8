"""The look-up that a question was heard to want (`Request.way`), where the words alone would have chosen another or none.

The rules of the other modules look for words ("highest", "how long is the clip"); the reader hears the wish in other words too, and of
1,347 questions that neither had seen, where the two differ it was right four times as often. So what it hears is done wherever the question
names what the look-up needs: a time, a channel, two photos, a thing. Else what the words led to stands, and so does what measures
exactly what was asked for, or admits that it cannot be told (EXACT).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

from agent.evidence_store import EvidenceStore
from agent.investigation import Investigation
from agent.lookups import comparing, judged, logs, pictures, readings, recordings, shares, stretches
from agent.lookups.motions import motion
from agent.lookups.scope import Scope, scope_of
from agent.question import Request, SampleRef
from agent.reader import LOOKUPS
from agent.reading.phrases import either
from agent.reading.sights import Asked, Sight
from agent.reading.things import counted, thing_named, things_named
from agent.reading.tidy import words_of
from core.evidence import Evidence, Interval
from core.samples import EventLog, Series
from readers.open import Source

Look: TypeAlias = "Callable[[Request, Source, Investigation | None, EvidenceStore], Iterator[Evidence]]"
EXACT = frozenset(("amount", "crossing", "extreme", "search", "still", "type", "untold", "outside", "motion", "sequel"))
MOST_CHANNELS = 4
_LONGEST = 60
_AROUND = re.compile(r"\bbefore\b.{0,30}\bafter\b|\bafter\b.{0,30}\bbefore\b")
_EDGE = re.compile(r"\b(?:first|last|latest|final|most recent)\b")
_SIGHTS = frozenset(("people", "concept", "type", "colour", "untold", "facts"))


def as_heard(
    request: Request, source: Source, inv: Investigation | None, store: EvidenceStore, by_words: list[Evidence]
) -> list[Evidence]:
    """What the rules looked up, or what the question was heard to want instead.

    Nothing where the findings themselves were wanted: what the detector found is the answer then.
    """
    kinds = {_kind(evidence) for evidence in by_words}
    if not request.way or kinds == {request.way} or any(e.facts.get("beyond") for e in by_words):
        return by_words
    if kinds & EXACT:
        return _only(by_words, request.way)
    if request.way == "finding":
        return [] if _about_findings(request) else by_words
    if request.way in kinds:
        return [evidence for evidence in by_words if _kind(evidence) == request.way]
    if source.kind in ("video", "image") and request.way not in LOOKUPS[source.kind] and kinds <= _SIGHTS:
        return []  # asked of another file: "who ran PowerShell?" is not about people in pictures
    look = LOOKS.get((source.kind, request.way))
    return (list(look(request, source, inv, store)) if look is not None else []) or by_words


def _kind(evidence: Evidence) -> str:
    return evidence.tool.removeprefix("lookup_")


def _only(by_words: list[Evidence], way: str) -> list[Evidence]:
    """Of what the words led to, what was heard to be wanted, or else what measures exactly what was asked for."""
    heard = [e for e in by_words if _kind(e) in EXACT and way == ("people" if _kind(e) == "motion" else _kind(e))]
    return heard or [e for e in by_words if _kind(e) in EXACT or _kind(e) == way]


def _about_findings(request: Request) -> bool:
    """True where what limits a question is only what it took over from the one before, or its reasons are wanted."""
    named = (request.times and "times" not in request.inherited) or (request.channels and "channels" not in request.inherited)
    return not (named and "show" in request.intents)


def _sight(sight: Sight, phrase: str = "") -> Look:
    """Judged by the findings, with what was asked for in the person's words."""

    def look(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
        scope = scope_of(request, source, inv)
        named = phrase or (request.concept or thing_named(request.question) if source.kind == "series" else _phrase(request))
        if scope is not None and named and (found := judged.judged(_asked(request, sight, named), scope)) is not None:
            yield found

    return look


def _people(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    scope = scope_of(request, source, inv)
    person = either("picture people").search(words_of(request.question))
    if scope is None:
        return
    said = request.concept or thing_named(request.question) or "people"
    if person is not None and not request.concept:
        said = words_of(request.question)[person.start() :].split("?")[0].strip(" .!")
    rest = said.replace(person[0] if person is not None else "people", "").strip()
    asked = _asked(request, "people", said[:_LONGEST], beyond=not either("picture only people").fullmatch(rest))
    found = motion(asked, scope) if asked.beyond and source.kind == "video" else None
    yield from _some(found or pictures.people(asked, scope, store))


def _thing(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    scope: Scope | None = scope_of(request, source, inv)
    named = request.concept if request.concept and request.concept != "anomalies" else thing_named(request.question)
    if scope is not None and named:
        yield from _some(pictures.thing(_asked(request, "thing", named), scope, store))


def _some(found: Evidence | None) -> Iterator[Evidence]:
    if found is not None:
        yield found


def _asked(request: Request, sight: Sight, phrase: str, *, beyond: bool = False) -> Asked:
    intents = set(request.intents)
    return Asked(
        sight=sight, phrase=phrase, beyond=beyond, whether=bool(intents & {"exists", "is_normal"}), count="how_many" in intents
    )


def _phrase(request: Request) -> str:
    """The kind of damage or event that a question names."""
    found = either("picture type").search(words_of(request.question))
    return found[0].removeprefix("a ") if found is not None else request.concept or thing_named(request.question)


def _pair(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    names = source.sample_names
    if len(request.samples) != 2 and len(chosen := counted(request.question, len(names))) == 2:
        request = replace(request, samples=tuple(SampleRef(source=source.name, sample=names[n - 1]) for n in chosen))
    scope = scope_of(request, source, inv)
    if scope is not None:
        yield from _some(judged.two(request, scope))


def _channel(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    if inv is None or request.times:
        return
    for name in _named(request, source, inv)[:MOST_CHANNELS]:
        yield stretches.channel(inv, source, name, request)


def _named(request: Request, source: Source, inv: Investigation | None) -> list[str]:
    """Channels that a question names, or those of the findings that it points at."""
    known = _series(source).channels
    pointed = {r.evidence for r in request.references if r.evidence}
    loci = [f.evidence.locus for f in (inv.findings if inv is not None else ()) if f.evidence.id in pointed]
    carried = [locus.channels[0] for locus in loci if isinstance(locus, Interval) and locus.channels]
    return [name for name in dict.fromkeys((*request.channels, *(carried if not request.channels else ()))) if name in known]


def _channels(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    chosen = [_series(source).channels.index(name) for name in _named(request, source, inv)][:MOST_CHANNELS]
    if len(chosen) >= 2:
        yield comparing.channels(source, _series(source), chosen, inv, stretches.times_inside(request, source))


def _times(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    times = stretches.times_inside(request, source)
    for when in times if inv is not None and inv.arrays is not None else ():
        assert inv is not None
        yield stretches.stretch(inv, source, when, request, store, alone=len(times) == 1)


def _comparison(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    times = stretches.times_inside(request, source)
    mentions = sorted({when.mention for when in times})
    if len(mentions) >= 2 and inv is not None and inv.arrays is not None:
        first, second = ([when for when in times if when.mention == m] for m in mentions[:2])
        yield comparing.two_times(request, source, inv, store, first, second)
    elif len(times) == 1 and inv is not None and inv.arrays is not None:
        before, after = comparing.around(source, times[0])
        if _AROUND.search(words_of(request.question)):
            yield comparing.two_times(request, source, inv, store, [before], [after])
        elif rest := [replace(part, text=comparing.REST) for part in (before, after) if part.end_s > part.start_s]:
            yield comparing.two_times(request, source, inv, store, times, rest)


def _crossing(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    yield from readings.crossings(request, source, inv, stretches.times_inside(request, source), loosely=True)


def _extreme(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    series = _series(source)
    named = [series.channels.index(name) for name in _named(request, source, inv)]
    few = range(len(series.channels)) if len(series.channels) <= MOST_CHANNELS else ()
    yield from readings.extremes(request, source, inv, stretches.times_inside(request, source), named or list(few))


def _facts(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    yield from recordings.every_fact(request, source)


def _fine(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    if inv is not None:
        yield shares.fine(source, inv)


def _total(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    if inv is not None:
        yield shares.total(source, inv)


def _still(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    if request.times:
        yield from _times(request, source, inv, store)
    elif named := list(_channel(request, source, inv, store)):
        yield from named
    elif inv is not None:
        yield stretches.still(inv, source, whether=not {"which", "what", "when"} & set(request.intents))


def _search(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    if logs.asks_for_findings(request):
        return
    named = (*request.entities[:3], *request.unknown[:2]) or _parts_of_names(request, source)
    concept = (request.concept,) if request.concept and request.concept != "anomalies" else ()
    for typed in named or concept or things_named(request.question)[:2]:
        yield logs.search(source, typed, inv, store)


def _parts_of_names(request: Request, source: Source) -> tuple[str, ...]:
    """Words of a question that are a part of the name of somebody in the log: "is teams ok?" asks of ms-teams.exe."""
    log = source.samples[0]
    assert isinstance(log, EventLog)
    names = {str(name).replace("\\", "/").rsplit("/", 1)[-1].lower() for name in log.table["subject"].unique().to_list()}
    parts = {part for name in names for part in re.findall(r"[a-z]{4,}", name.rsplit(".", 1)[0])}
    return tuple(word for word in dict.fromkeys(re.findall(r"[a-z]{4,}", request.question.lower())) if word in parts)[:2]


def _events(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    for when in request.times if inv is not None else ():
        if inv is not None and when.source == source.name:
            yield logs.events_between(inv, source, when, store)
    edge = _EDGE.search(words_of(request.question))
    if inv is not None and not request.times and edge is not None:
        yield logs.events_between(inv, source, logs.edge(source, last=edge[0] != "first"), store)


def _count(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    if not request.times:
        yield logs.count_of(source, inv)


def _series(source: Source) -> Series:
    series = source.samples[0]
    assert isinstance(series, Series)
    return series


LOOKS: Mapping[tuple[str, str], Look] = {
    ("video", "time"): _times, ("video", "comparison"): _comparison, ("video", "people"): _people, ("video", "concept"): _thing,
    ("video", "type"): _sight("type"), ("video", "colour"): _sight("colour", "colour"), ("video", "untold"): _sight("untold", "that"),
    ("video", "facts"): _facts, ("image", "type"): _sight("type"), ("image", "concept"): _thing, ("image", "pair"): _pair,
    ("image", "colour"): _sight("colour", "colour"), ("image", "untold"): _sight("untold", "that"), ("series", "channel"): _channel,
    ("series", "channels"): _channels, ("series", "time"): _times, ("series", "comparison"): _comparison, ("series", "extreme"): _extreme,
    ("series", "crossing"): _crossing, ("series", "type"): _sight("type"), ("series", "concept"): _sight("type"),
    ("series", "facts"): _facts, ("series", "fine"): _fine, ("series", "total"): _total, ("series", "still"): _still,
    ("events", "search"): _search, ("events", "events"): _events, ("events", "count"): _count,
}  # fmt: skip
