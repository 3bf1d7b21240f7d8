"""Looking something up for a question: a stretch of time, a frame, a channel, rows of a log, a thing in pictures.

A lookup never runs a detector: it reads scores that an investigation kept, or the file itself, and returns evidence like any tool.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.evidence_store import EvidenceStore
from agent.investigation import Investigation
from agent.lookups import logs, pictures, stretches
from agent.question import Request
from core.evidence import Evidence
from readers.open import Source


def look_up(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    """Everything that has to be looked up in one source for a question."""
    if source.kind == "events":
        yield from logs.look_up(request, source, inv, store)
    elif source.kind in ("series", "video"):
        yield from stretches.look_up(request, source, inv, store)
    if source.kind in ("image", "video"):
        yield from pictures.look_up(request, source, inv, store)
