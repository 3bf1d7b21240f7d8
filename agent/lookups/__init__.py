"""Looking something up for a question: a stretch of time, a frame, a channel, rows of a log, a thing in pictures.

A lookup never runs a detector: it reads scores that an investigation kept, or the file itself, and returns evidence like any tool.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from agent.evidence_store import EvidenceStore
from agent.investigation import Investigation
from agent.lookups import clips, logs, lost, pictures, sequels, stretches, timeline
from agent.lookups.heard import as_heard
from agent.lookups.timeline import Together
from agent.question import Request
from core.evidence import Evidence
from readers.open import Source


def look_up(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    """Everything that has to be looked up in one source for a question."""
    found = list(_by_words(request, source, inv, store))
    yield from found if request.cut else as_heard(request, source, inv, store, found)


def _by_words(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    if request.cut:
        yield from clips.look_up(request, source, inv, store)
    elif source.kind == "events":
        yield from logs.look_up(request, source, inv, store)
    elif source.kind == "video" and (sequel := list(sequels.look_up(request, source, inv, store))):
        yield from sequel
        return
    elif source.kind in ("series", "video"):
        yield from stretches.look_up(request, source, inv, store)
    if source.kind in ("image", "video"):
        yield from pictures.look_up(request, source, inv, store)


def look_up_together(
    request: Request, sources: Sequence[Source], investigations: Mapping[str, Investigation]
) -> Together:  # fmt: skip
    """What several sources say together, and for which of them that answers the question."""
    return timeline.look_up(request, sources, investigations)


def look_up_lost(request: Request, inv: Investigation) -> Iterator[Evidence]:
    """What can be said to a question about a source whose file is gone."""
    yield from lost.look_up(request, inv)
