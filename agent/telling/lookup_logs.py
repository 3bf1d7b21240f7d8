"""What is said about rows looked up in an event log."""

from __future__ import annotations

from typing import Any

from agent.telling.words import cite, count, listed, moment, name, number
from core.evidence import Evidence


def search(evidence: Evidence) -> list[str]:
    """Where a word occurs, and the rows that tell most."""
    facts: Any = evidence.facts
    if not facts["rows_found"]:
        return [f"{name(facts['word'])} occurs in none of the {count(facts['rows_searched'], 'row')} {cite(evidence)}."]
    when = ""
    if facts["first_s"] is not None:
        base = "elapsed" if facts["epoch_s"] is None else "clock"
        first, last = (moment(facts[k], base=base, epoch_s=facts["epoch_s"]) for k in ("first_s", "last_s"))
        when = f", from {first} to {last}"
    mostly = listed([f"{name(op)} ({number(n)})" for op, n in facts["operations"][:3]])
    sentences = [
        f"{name(facts['word'])} occurs in {number(facts['rows_found'])} of {count(facts['rows_searched'], 'row')}{when}: {mostly} "
        f"{cite(evidence)}."
    ]
    by = listed([f"{name(subject)} ({number(n)})" for subject, n in facts["subjects"][:4]])
    sentences.append(f"By {by} {cite(evidence)}.{' The rarest:' if facts['rarest'] else ''}")
    return sentences + [f"- Row {row}: {name(text)} {cite(evidence)}." for row, _, text in facts["did"][:6]]


def events(evidence: Evidence) -> list[str]:
    """What happened in a stretch of time."""
    facts: Any = evidence.facts
    base = "elapsed" if facts["epoch_s"] is None else "clock"
    start, end = (moment(facts[key], base=base, epoch_s=facts["epoch_s"]) for key in ("start_s", "end_s"))
    if not facts["events_there"]:
        return [f"From {start} to {end} the log holds no event {cite(evidence)}."]
    by = listed([f"{name(subject)} ({number(n)})" for subject, n in facts["subjects"][:3]])
    sentences = [
        f"From {start} to {end} there are {count(facts['events_there'], 'event')}, {number(facts['flagged'])} of them rare, mostly by {by} "
        f"{cite(evidence)}. The rarest:"
    ]
    return sentences + [f"- Row {row}: {name(text)} {cite(evidence)}." for row, _, text in facts["did"][:6]]
