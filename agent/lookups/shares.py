"""Sums over the findings of a series: which channels carry none, and how much of the time is abnormal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.investigation import Investigation
from agent.lookups import stuck
from agent.lookups.found import made
from agent.lookups.readings import leads, length_said
from agent.question import Request
from agent.reading.phrases import either
from agent.reading.tidy import words_of
from core.evidence import Evidence, Whole
from core.samples import Series
from readers.open import Source

MOST_CHANNELS = 30


def look_up(request: Request, source: Source, inv: Investigation) -> Iterator[Evidence]:
    """What "which sensors are fine?" and "how many hours were abnormal?" need to know of a whole series."""
    words = words_of(request.question)
    if {"which", "list", "how_many"} & set(request.intents) and request.negation and either("series channels").search(words):
        yield fine(source, inv)
    elif {"how_many", "when"} & set(request.intents) and either("series how much time").search(words):
        yield total(source, inv)


def fine(source: Source, inv: Investigation) -> Evidence:
    """Channels that carry no finding and stand still nowhere, and the others."""
    series = source.samples[0]
    assert isinstance(series, Series)
    off = [
        name for index, name in enumerate(series.channels)
        if leads(inv, name) or stuck.stuck(series, [index], None, inv)
    ]  # fmt: skip
    well = [name for name in series.channels if name not in off]
    facts: dict[str, Any] = {
        "channels": len(series.channels), "fine_count": len(well), "off_count": len(off), "fine": well[:MOST_CHANNELS],
        "off": off[:MOST_CHANNELS], "findings": [],
    }  # fmt: skip
    return made("fine", source.name, Whole(sample=series.name), facts)


def total(source: Source, inv: Investigation) -> Evidence:
    """How many rows are abnormal, as a length of time and a share."""
    series = source.samples[0]
    assert isinstance(series, Series)
    facts: Any = inv.survey.facts
    rows = int(facts["abnormal_rows"])
    told = {
        "rows": len(series.time_s), "abnormal_rows": rows, "abnormal_percent": facts["abnormal_percent"],
        "stretches": int(facts["events"]), "length": length_said(rows * series.period_s, rows, series.time_base),
        "findings": [f.evidence.id for f in inv.findings if f.abnormal],
    }  # fmt: skip
    return made("total", source.name, Whole(sample=series.name), told)
