"""Questions that need the file itself, about a source whose file is gone: what cannot be looked up any more, and what was found there."""

from __future__ import annotations

from collections.abc import Iterator

from agent.investigation import Investigation
from agent.lookups.found import made
from agent.question import Request
from core.evidence import Evidence, Interval, Whole


def look_up(request: Request, inv: Investigation) -> Iterator[Evidence]:
    """That a time, a name or a thing cannot be looked up, with the findings that touch the time."""
    if request.sources and inv.source not in request.sources:
        return
    times = [when for when in request.times if when.source == inv.source]
    if not times and not (request.entities or request.unknown or request.concept):
        return
    asked = [when.text for when in times] or [*request.entities, *request.unknown, *filter(None, [request.concept])]
    touching = [
        f.evidence.id for f in inv.findings
        if f.abnormal and isinstance(f.evidence.locus, Interval)
        and any(f.evidence.locus.start_s < t.end_s and f.evidence.locus.end_s > t.start_s for t in times)
    ]  # fmt: skip
    facts = {"asked": asked[0], "timed": bool(times), "found": len(touching), "findings": touching}
    yield made("lost", inv.source, Whole(sample=inv.survey.locus.sample), facts)
