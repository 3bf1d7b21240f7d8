"""Looking at photos or frames of a video for a question: people by the HOG detector, things by concept matching.

What people do in a video is for `agent.lookups.motions`; what only a detector's findings can answer (kinds of damage and events, colours,
comparisons) for `agent.lookups.judged`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.evidence_store import EvidenceStore
from agent.examine.video import frame_at
from agent.investigation import Investigation
from agent.lookups import judged
from agent.lookups.found import made
from agent.lookups.motions import motion
from agent.lookups.scope import Scope, scope_of
from agent.question import Request
from agent.reading.sights import Asked, asked_of
from core import draw
from core.evidence import Evidence, Interval, Whole
from core.samples import ImageSample, VideoClip
from readers.open import Source

CONCEPT_FRAMES = 12
FRAMES_A_SECOND = 4
"""How densely a short stretch of time is looked at."""
MOST_PHOTOS = 64


def look_up(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    """What a question about what is in the pictures needs to know."""
    scope = scope_of(request, source, inv)
    if scope is None:
        return
    if (compared := judged.comparison(request, scope)) is not None:
        yield compared
        return
    asked = asked_of(request)
    if asked is None:
        return
    if asked.sight in ("type", "colour", "untold"):
        found = judged.judged(asked, scope)
    else:
        found = motion(asked, scope) if asked.beyond and source.kind == "video" else None
        if found is None:
            found = people(asked, scope, store) if asked.sight == "people" else thing(asked, scope, store)
    if found is not None:
        yield found


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures (H, W, 3) with their places (a photo's name or seconds into the clip); `asked` are the indices a question is about."""

    pixels: Sequence[NDArray[np.uint8]]
    places: Sequence[Any]
    asked: Sequence[int]


def people(asked: Asked, scope: Scope, store: EvidenceStore) -> Evidence | None:
    """In how many pictures upright people are seen, and how many at once; what they do is left to the detector's findings."""
    from models.objects import People

    pictures = _pictures(scope)
    if not pictures.asked:
        return None
    detector = People()
    found = {i: detector.detect(pictures.pixels[i]) for i in pictures.asked}
    most = max(found, key=lambda i: len(found[i]))
    facts = {
        "phrase": asked.phrase, "method": "HOG people detector", "looked_at": len(found), "with": sum(1 for f in found.values() if f),
        "most": len(found[most]), **_best(pictures.places[most]), "of": scope.source.kind, "count": asked.count, "whether": asked.whether,
        "beyond": asked.beyond,
    }  # fmt: skip
    if asked.beyond:
        facts |= judged.known(scope)
    picture = draw.boxes(pictures.pixels[most], [b.box for b in found[most]])
    return made(
        "people", scope.source.name, _locus(scope, pictures, most), facts, store.put_file(draw.png_bytes(picture), ".png")
    )


def thing(asked: Asked, scope: Scope, store: EvidenceStore) -> Evidence | None:
    """How well the pictures match the name of a thing, against other things and other pictures; None without pictures."""
    pictures = _pictures(scope)
    if not pictures.asked:
        return None
    from models.vision_concepts import describe, seek

    sought = seek(pictures.pixels, asked.phrase, among=pictures.asked)
    best = pictures.pixels[sought.best]
    facts = {
        "phrase": asked.phrase, "method": "concept matching (ConSE)", "looked_at": len(pictures.asked), "compared": len(pictures.pixels),
        **_best(pictures.places[sought.best]), "similarity": round(sought.similarity[sought.best], 3),
        "median_similarity": round(sought.median, 3), "clear": sought.clear, "rank": sought.rank, "sooner": list(sought.sooner[:2]),
        "of": scope.source.kind, "count": asked.count,
        "seen": [[seen.name, round(100 * seen.probability)] for seen in describe([best])[0]],
    }  # fmt: skip
    if sought.clear and (place := pictures.places[sought.best]) is not None:
        facts["findings"] = [
            f.evidence.id for f in scope.findings
            if isinstance(place, float) and isinstance(f.evidence.locus, Interval)
            and f.evidence.locus.start_s <= place <= f.evidence.locus.end_s
        ]  # fmt: skip
    return made(
        "concept", scope.source.name, _locus(scope, pictures, sought.best), facts, store.put_file(draw.png_bytes(best), ".png")
    )


def _locus(scope: Scope, pictures: Pictures, best: int) -> Whole:
    place = pictures.places[best]
    return Whole(sample=place if isinstance(place, str) else scope.source.samples[0].name)


def _best(place: Any) -> dict[str, Any]:
    """Where the best picture is: a photo's name, or seconds into the clip."""
    return {"best_s": place} if isinstance(place, float) else {"best": place}


def _pictures(scope: Scope) -> Pictures:
    """Up to 64 photos with those named first, or frames at the events' peaks and evenly over the clip or the times asked about."""
    samples = scope.source.samples
    if scope.source.kind == "image":
        every = scope.source.sample_names
        order = sorted(range(len(every)), key=lambda i: bool(scope.samples) and every[i] not in scope.samples)[:MOST_PHOTOS]
        photos = [photo for i in order if isinstance(photo := samples[i], ImageSample)]
        asked = [i for i, photo in enumerate(photos) if not scope.samples or photo.name in scope.samples]
        return Pictures(pixels=[p.pixels for p in photos], places=[p.name for p in photos], asked=asked)
    clip = samples[0]
    assert isinstance(clip, VideoClip)
    peaks = [f.evidence.locus.peak_s for f in scope.findings if isinstance(f.evidence.locus, Interval)][:4]
    evenly = np.linspace(0, clip.duration_s, CONCEPT_FRAMES - len(peaks) + 2)[1:-1].tolist()
    inside = [
        time_s for when in scope.times for time_s in _within(when.start_s, min(when.end_s, clip.duration_s), len(scope.times))
    ]
    frames = {}
    for time_s in sorted({*(peaks if not scope.times else ()), *evenly, *inside}):
        if (frame := frame_at(clip, time_s, max_side=640)) is not None:
            frames[round(frame.time_s, 2)] = frame.rgb
    places = list(frames)
    asked = [
        i for i, time_s in enumerate(places)
        if not scope.times or any(when.start_s - 1 / clip.fps <= time_s <= when.end_s for when in scope.times)
    ]  # fmt: skip
    return Pictures(pixels=list(frames.values()), places=places, asked=asked)


def _within(start_s: float, end_s: float, parts: int) -> list[float]:
    """Seconds at which to look between two times: the middle of equal steps."""
    steps = int(np.clip(round((end_s - start_s) * FRAMES_A_SECOND), 1, max(1, CONCEPT_FRAMES // parts)))
    return [start_s + (step + 0.5) * (end_s - start_s) / steps for step in range(steps)] if end_s > start_s else []
