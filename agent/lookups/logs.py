"""Looking something up in an event log: a relation, a kind of event, a stretch of time, or the rows in which a word occurs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.evidence_store import EvidenceStore
from agent.investigation import Investigation
from agent.lookups.found import made
from agent.lookups.log_actors import Answer, says_it, suspicious, touched
from agent.lookups.log_expanding import around
from agent.lookups.log_incident import earliest, ordinary
from agent.lookups.log_relations import answer, asked_relation, deeds, telling
from agent.question import Request, TimeRange
from agent.reading.phrases import either, word
from agent.reading.tidy import words_of
from core.evidence import EventRows, Evidence, Locus, Whole
from core.samples import EventLog
from readers.open import Source

if TYPE_CHECKING:
    import polars as pl

ROWS_SHOWN = 6


def look_up(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    """What a question that names times, entities, relations or kinds of events of a log needs to know."""
    log = source.samples[0]
    assert isinstance(log, EventLog)
    if request.rings is not None:
        graph = around(request, source, inv, store)
        if graph is not None:
            yield graph
        return
    relation = asked_relation(request.question)
    if inv is not None and relation in ("earliest", "ordinary"):
        told = earliest(source, inv) if relation == "earliest" else ordinary(request, source, inv, store)
        if told is not None:
            yield told
            return
    times = [when for when in request.times if when.source == source.name]
    inside = _within(log, times) if times else None
    found = answer(request, log, inv, inside)
    stranger = _stranger(request)
    if stranger:
        yield search(source, stranger, inv, store)
    elif found is not None:
        yield _answered(source, found, inv, store)
    if inv is not None and found is None:
        if inside is not None and _asks_for_reasons(request) and touched(log, inv, np.flatnonzero(inside).tolist()):
            return  # what was told of the stretch was the finding, and its reasons are asked for
        for when in times:
            yield events_between(inv, source, when, store)
    if found is not None or stranger or asks_for_findings(request):
        return
    if _asks_for_the_count(request):
        yield count_of(source, inv)
        return
    if request.entities or request.unknown:
        for typed in (*request.entities[:3], *request.unknown[:2]):
            yield search(source, typed, inv, store)
    elif request.concept and "exists" in request.intents:
        yield search(source, request.concept, inv, store)


def asks_for_findings(request: Request) -> bool:
    """A question for what is malicious, with nobody named but by the question before, asks for the findings."""
    return "entities" in request.inherited and bool(re.search(rf"\b{word('odd')}\b", words_of(request.question)))


def _asks_for_the_count(request: Request) -> bool:
    """True for "how many events are there?", where nobody, no time and nothing else is named."""
    named = request.entities or request.unknown or request.times or request.concept
    asks = bool({"how_many", "which", "who", "what"} & set(request.intents))
    return asks and not named and bool(either("log count").search(words_of(request.question)))


def count_of(source: Source, inv: Investigation | None) -> Evidence:
    """How many events a log holds, from when to when, and how many of them are rare on their own or belong to findings."""
    log = source.samples[0]
    assert isinstance(log, EventLog)
    facts: dict[str, Any] = {
        "events": log.table.height, "subjects": log.table["subject"].n_unique(), "epoch_s": log.epoch_s,
        **_first_last(log, np.arange(log.table.height)), "operations": _counts(log.table, "operation"),
        "busiest": _counts(log.table, "subject"),
    }  # fmt: skip
    if inv is not None:
        facts |= {
            "flagged": inv.survey.facts["flagged"], "in_findings": int(suspicious(log, inv).sum()),
            "findings": [f.evidence.id for f in inv.findings if f.abnormal],
        }  # fmt: skip
    return made("count", source.name, Whole(sample=log.name), facts)


def _asks_for_reasons(request: Request) -> bool:
    """A "why?" about the stretch of time of the question before."""
    return "times" in request.inherited and bool({"why", "how_bad", "explain"} & set(request.intents))


def _stranger(request: Request) -> str | None:
    """A name that a question says something was done by, and that no entity of the log bears: "what did alice do?"."""
    if request.entities or says_it(request.question):
        return None
    match = either("log doer").search(request.question.lower())
    return match["x"] if match is not None and not either("log nobody").fullmatch(match["x"]) else None


def _within(log: EventLog, times: Sequence[TimeRange]) -> np.ndarray[Any, Any]:
    """Mask (N,) of the events inside any of the ranges."""
    seconds = log.table["time_s"].cast(float).fill_null(float("nan")).to_numpy()
    return np.asarray(np.any([(seconds >= t.start_s) & (seconds < t.end_s) for t in times], axis=0), np.bool_)


def _answered(source: Source, found: Answer, inv: Investigation | None, store: EvidenceStore) -> Evidence:
    """The rows that answer a question about a relation or a kind of event, with the findings that they belong to."""
    log = source.samples[0]
    assert isinstance(log, EventLog)
    scores = _kept_events(inv, store)[1] if inv is not None and inv.arrays is not None else None
    shown, table = telling(log, found, scores, suspicious(log, inv)), log.table[found.where]
    facts: dict[str, Any] = {
        **found.facts, "rows_found": 0 if found.facts.get("missing") else len(found.where), "rows_searched": log.table.height,
        "epoch_s": log.epoch_s, "did": shown, "subjects": _counts(table, "subject"), **_first_last(log, found.where),
        "findings": [found.facts["by_finding"]] if found.facts["by_finding"] else touched(log, inv, found.where.tolist()),
    }  # fmt: skip
    rows = tuple(int(row) for row, _, _ in shown)
    told = log.table["row"].is_in(list(rows)).to_numpy() & suspicious(log, inv)
    if told.any() and told.sum() < len(rows) and not found.facts["by_finding"]:
        facts["of_findings"] = log.table["row"].to_numpy()[told].tolist()
    return made("search", source.name, EventRows(sample=log.name, rows=rows) if rows else Whole(sample=log.name), facts)


def _first_last(log: EventLog, where: np.ndarray[Any, Any]) -> dict[str, float | None]:
    """Seconds of the first and the last of some events, None where the log gives no times."""
    times = log.table["time_s"].cast(float).fill_null(float("nan")).to_numpy()[where]
    times = times[np.isfinite(times)]
    return {"first_s": float(times.min()) if len(times) else None, "last_s": float(times.max()) if len(times) else None}


def _counts(table: pl.DataFrame, column: str) -> list[list[Any]]:
    """[value, rows] of the five most frequent values."""
    return [[str(value), int(n)] for value, n in table[column].value_counts(sort=True).head(5).rows()]


def events_between(inv: Investigation, source: Source, when: TimeRange, store: EvidenceStore) -> Evidence:
    """What an event log holds inside a time range, the rarest events first."""
    log = source.samples[0]
    assert isinstance(log, EventLog)
    seconds, scores = _kept_events(inv, store)
    where = np.flatnonzero((seconds >= when.start_s) & (seconds < when.end_s))
    threshold = float(inv.survey.threshold or 0.0)
    facts: dict[str, Any] = {
        "asked": when.text, "start_s": when.start_s, "end_s": when.end_s, "epoch_s": log.epoch_s, "events_there": len(where),
        "flagged": int((scores[where] > threshold).sum()), "findings": touched(log, inv, where.tolist()),
        **_shown(log, where, scores),
    }  # fmt: skip
    rows = tuple(int(row) for row, _, _ in facts["did"])
    locus: Locus = EventRows(sample=log.name, rows=rows) if rows else Whole(sample=log.name)
    return made("events", source.name, locus, facts, threshold=threshold, origin=inv.survey.threshold_origin)


def edge(source: Source, *, last: bool) -> TimeRange:
    """The time that the first or the last few events of a log take up."""
    log = source.samples[0]
    assert isinstance(log, EventLog)
    seconds = np.sort(log.table["time_s"].cast(float).drop_nulls().to_numpy())
    seconds = seconds[np.isfinite(seconds)] if len(seconds) else np.zeros(1)
    start, end = (seconds[-ROWS_SHOWN:][0], seconds[-1]) if last else (seconds[0], seconds[:ROWS_SHOWN][-1])
    return TimeRange(
        source=source.name, start_s=float(start), end_s=float(end) + 1e-3, text=f"the {'last' if last else 'first'} events"
    )


def _kept_events(inv: Investigation, store: EvidenceStore) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Seconds and scores of every event of an investigated log."""
    assert inv.arrays is not None
    with np.load(store.file(inv.arrays), allow_pickle=False) as kept:
        return kept["seconds"], kept["scores"]


def _shown(log: EventLog, where: np.ndarray[Any, Any], scores: np.ndarray[Any, Any] | None) -> dict[str, Any]:
    """The most telling of some events (the rarest ones, or the first), in the order of the log, with who did them."""
    chosen = where[:ROWS_SHOWN] if scores is None else np.sort(where[np.argsort(-scores[where], kind="stable")[:ROWS_SHOWN]])
    table = log.table[where] if len(where) else log.table.clear()
    return {"subjects": _counts(table, "subject"), "operations": _counts(table, "operation"), "did": deeds(log, chosen)}


def search(source: Source, typed: str, inv: Investigation | None, store: EvidenceStore) -> Evidence:
    """Rows of a log in which a word occurs (subject, object, user, host or detail), case ignored; the rarest are shown."""
    import polars as pl

    log = source.samples[0]
    assert isinstance(log, EventLog)
    table = log.table
    texts = [c for c in ("subject", "operation", "object", "user", "host", "detail", *log.attributes) if c in table.columns]
    pattern = re.escape(typed.lower())
    hit = pl.any_horizontal(*(pl.col(c).cast(pl.String).fill_null("").str.to_lowercase().str.contains(pattern) for c in texts))
    where = table.with_row_index("__i").filter(hit)["__i"].to_numpy().astype(np.int64)
    scores = _kept_events(inv, store)[1] if inv is not None and inv.arrays is not None else None
    facts: dict[str, Any] = {
        "kind": "word", "word": typed, "rows_found": len(where), "rows_searched": table.height, "epoch_s": log.epoch_s,
        **_first_last(log, where), "rarest": scores is not None, "findings": touched(log, inv, where.tolist()),
        **_shown(log, where, scores),
    }  # fmt: skip
    rows = tuple(int(row) for row, _, _ in facts["did"])
    locus: Locus = EventRows(sample=log.name, rows=rows) if rows else Whole(sample=log.name)
    return made("search", source.name, locus, facts)
