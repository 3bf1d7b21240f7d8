"""Looking for a thing in photos or in frames of a video: concept matching, and for people the HOG detector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from agent.evidence_store import EvidenceStore
from agent.examine.video import frame_at
from agent.investigation import Investigation
from agent.lookups.found import made
from agent.question import Request
from core import draw
from core.evidence import Evidence, Interval, Whole
from core.samples import ImageSample, VideoClip
from readers.open import Source

CONCEPT_FRAMES = 12

PEOPLE_WORDS = frozenset(
    ("person", "people", "human", "humans", "man", "men", "woman", "women", "pedestrian", "pedestrians", "someone", "somebody",
     "anyone", "worker", "workers")
)  # fmt: skip
"""Phrases that the people detector answers better than concept matching."""


def look_up(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    """What a question whether something is in the pictures needs to know."""
    if request.concept and "exists" in request.intents:
        found = concept(inv, source, request.concept, store)
        if found is not None:
            yield found


def concept(inv: Investigation | None, source: Source, phrase: str, store: EvidenceStore) -> Evidence | None:
    """How well photos (or frames of a video) match a phrase, by concept matching; people in videos by HOG. None if it cannot be asked."""
    pictures, places = _pictures(inv, source)
    if not pictures:
        return None
    if PEOPLE_WORDS & set(phrase.lower().split()):
        return _people(source, pictures, places, phrase, store)
    from models.vision_concepts import describe, match

    similarity = np.asarray(match(pictures, [phrase]))[:, 0]
    best = int(similarity.argmax())
    names = describe(pictures[best : best + 1])[0]
    facts = {
        "phrase": phrase, "method": "concept matching (ConSE)", "looked_at": len(pictures), **_best(places[best]),
        "similarity": round(float(similarity[best]), 3), "median_similarity": round(float(np.median(similarity)), 3),
        "seen": [[seen.name, round(100 * seen.probability)] for seen in names],
    }  # fmt: skip
    return made("concept", source.name, Whole(sample=source.name), facts, store.put_file(draw.png_bytes(pictures[best]), ".png"))


def _people(source: Source, pictures: Sequence[Any], places: Sequence[Any], phrase: str, store: EvidenceStore) -> Evidence:
    from models.objects import People

    detector = People()
    found = [detector.detect(picture) for picture in pictures]
    most = max(range(len(found)), key=lambda i: len(found[i]))
    facts = {
        "phrase": phrase, "method": "HOG people detector", "looked_at": len(pictures), "with": sum(1 for f in found if f),
        "most": len(found[most]), **_best(places[most]),
    }  # fmt: skip
    picture = draw.boxes(pictures[most], [b.box for b in found[most]])
    return made("people", source.name, Whole(sample=source.name), facts, store.put_file(draw.png_bytes(picture), ".png"))


def _best(place: Any) -> dict[str, Any]:
    """Where the best picture is: a photo's name, or seconds into the clip."""
    return {"best_s": place} if isinstance(place, float) else {"best": place}


def _pictures(inv: Investigation | None, source: Source) -> tuple[list[Any], list[Any]]:
    """Up to 12 pictures: the photos, or frames at the events' peaks and evenly over the clip, with their names or seconds."""
    if source.kind == "image":
        photos = [source.samples[i] for i in range(min(len(source.samples), 64))]
        return [p.pixels for p in photos if isinstance(p, ImageSample)], [p.name for p in photos]
    if source.kind != "video":
        return [], []
    clip = source.samples[0]
    assert isinstance(clip, VideoClip)
    peaks = [f.evidence.locus.peak_s for f in (inv.findings if inv else ()) if isinstance(f.evidence.locus, Interval)][:4]
    times = sorted({*peaks, *np.linspace(0, clip.duration_s, CONCEPT_FRAMES - len(peaks) + 2)[1:-1].tolist()})
    frames = [frame_at(clip, t, max_side=640) for t in times]
    return [f.rgb for f in frames if f], [round(f.time_s, 2) for f in frames if f]
