"""Looking something up in an event log: the rows of a stretch of time, or those in which a word occurs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from agent.evidence_store import EvidenceStore
from agent.examine.rows import say_row
from agent.investigation import Investigation
from agent.lookups.found import made
from agent.question import Request, TimeRange
from core.evidence import EventRows, Evidence, Locus, Whole
from core.samples import EventLog
from readers.open import Source

ROWS_SHOWN = 6


def look_up(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    """What a question that names times, entities or things of an event log needs to know."""
    if inv is not None:
        for when in request.times:
            if when.source == source.name:
                yield events_between(inv, source, when, store)
    if request.entities or request.unknown:
        for word in (*request.entities[:3], *request.unknown[:2]):
            yield search(source, word, inv, store)
    elif request.concept and "exists" in request.intents:
        yield search(source, request.concept, inv, store)


def events_between(inv: Investigation, source: Source, when: TimeRange, store: EvidenceStore) -> Evidence:
    """What an event log holds inside a time range, the rarest events first."""
    log = source.samples[0]
    assert isinstance(log, EventLog)
    seconds, scores = _kept_events(inv, store)
    where = np.flatnonzero((seconds >= when.start_s) & (seconds < when.end_s))
    threshold = float(inv.survey.threshold or 0.0)
    facts: dict[str, Any] = {
        "asked": when.text, "start_s": when.start_s, "end_s": when.end_s, "epoch_s": log.epoch_s, "events_there": len(where),
        "flagged": int((scores[where] > threshold).sum()), **_shown(log, where, scores),
    }  # fmt: skip
    rows = tuple(int(row) for row, _, _ in facts["did"])
    locus: Locus = EventRows(sample=log.name, rows=rows) if rows else Whole(sample=log.name)
    return made("events", source.name, locus, facts, threshold=threshold, origin=inv.survey.threshold_origin)


def _kept_events(inv: Investigation, store: EvidenceStore) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Seconds and scores of every event of an investigated log."""
    assert inv.arrays is not None
    with np.load(store.file(inv.arrays), allow_pickle=False) as kept:
        return kept["seconds"], kept["scores"]


def _shown(log: EventLog, where: np.ndarray[Any, Any], scores: np.ndarray[Any, Any] | None) -> dict[str, Any]:
    """The most telling of some events (the rarest ones, or the first), in the order of the log, with who did them."""
    chosen = where[:ROWS_SHOWN] if scores is None else np.sort(where[np.argsort(-scores[where], kind="stable")[:ROWS_SHOWN]])
    table = log.table[where] if len(where) else log.table.clear()
    return {
        "subjects": [[str(subject), int(n)] for subject, n in table["subject"].value_counts(sort=True).head(5).rows()],
        "operations": [[str(operation), int(n)] for operation, n in table["operation"].value_counts(sort=True).head(5).rows()],
        "did": [[int(log.table["row"][int(i)]), None, say_row(log, int(i))] for i in chosen],
    }  # fmt: skip


def search(source: Source, word: str, inv: Investigation | None, store: EvidenceStore) -> Evidence:
    """Rows of a log in which a word occurs (subject, object, user, host or detail), case ignored; the rarest are shown."""
    import polars as pl

    log = source.samples[0]
    assert isinstance(log, EventLog)
    table = log.table
    texts = [c for c in ("subject", "operation", "object", "user", "host", "detail", *log.attributes) if c in table.columns]
    pattern = re.escape(word.lower())
    hit = pl.any_horizontal(*(pl.col(c).cast(pl.String).fill_null("").str.to_lowercase().str.contains(pattern) for c in texts))
    where = table.with_row_index("__i").filter(hit)["__i"].to_numpy().astype(np.int64)
    scores = _kept_events(inv, store)[1] if inv is not None and inv.arrays is not None else None
    times = table["time_s"].cast(float).fill_null(float("nan")).to_numpy()[where]
    times = times[np.isfinite(times)]
    facts: dict[str, Any] = {
        "word": word, "rows_found": len(where), "rows_searched": table.height, "epoch_s": log.epoch_s,
        "first_s": float(times.min()) if len(times) else None, "last_s": float(times.max()) if len(times) else None,
        "rarest": scores is not None, **_shown(log, where, scores),
    }  # fmt: skip
    rows = tuple(int(row) for row, _, _ in facts["did"])
    locus: Locus = EventRows(sample=log.name, rows=rows) if rows else Whole(sample=log.name)
    return made("search", source.name, locus, facts)
