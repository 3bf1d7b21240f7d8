"""Looking something up for a follow-up question: a stretch of time, a frame, a photo, a channel, a word in a log, a concept.

A lookup never runs a detector: it reads scores that an investigation kept, or the file itself, and returns evidence like any tool.
Its kind is the evidence's tool, `lookup_<kind>`; `agent.telling.lookup` says it in words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agent.evidence_store import EvidenceStore
from agent.examine.rows import say_row
from agent.examine.video import frame_at
from agent.investigation import Investigation
from agent.question import TimeRange
from core import draw
from core.evidence import EventRows, Evidence, Interval, Locus, Whole
from core.samples import EventLog, ImageSample, Series, VideoClip
from readers.open import Source

FRAME_SIDE = 960
ROWS_SHOWN = 6
CONCEPT_FRAMES = 12


def _evidence(kind: str, source: str, locus: Locus, facts: Mapping[str, Any], picture: str | None = None,
              score: float | None = None, threshold: float | None = None, origin: str = "") -> Evidence:  # fmt: skip
    return Evidence(id="", tool=f"lookup_{kind}", version="1", parameters={}, source=source, locus=locus, facts=facts,
                    path=picture, score=score, threshold=threshold, threshold_origin=origin)  # fmt: skip


def stretch(inv: Investigation, source: Source, when: TimeRange, channels: Sequence[str], store: EvidenceStore) -> Evidence:
    """What the scores (and, in a series, the values) are inside a time range."""
    assert inv.arrays is not None
    with np.load(store.file(inv.arrays), allow_pickle=False) as kept:
        seconds, scores = kept["seconds"], kept["scores"]
        shares = kept["channels"] if "channels" in kept.files else np.zeros((len(scores), 0), np.float32)
    inside = (seconds >= when.start_s) & (seconds < when.end_s)
    if not inside.any():  # a moment between two units: the nearest one
        inside[int(np.abs(seconds - (when.start_s + when.end_s) / 2).argmin())] = True
    where = np.flatnonzero(inside)
    peak = int(where[int(scores[where].argmax())])
    threshold = float(inv.survey.threshold or 0.0)
    touching = [
        f.evidence.id for f in inv.findings
        if isinstance(f.evidence.locus, Interval) and f.evidence.locus.start_s < when.end_s and f.evidence.locus.end_s > when.start_s
    ]  # fmt: skip
    sample = source.samples[0]
    facts: dict[str, Any] = {
        "asked": when.text, "start_s": when.start_s, "end_s": when.end_s, "max_score": float(scores[peak]),
        "peak_s": float(seconds[peak]), "flagged": bool(scores[peak] >= threshold), "findings": touching, "units": len(where),
        "epoch_s": getattr(sample, "epoch_s", None), "time_base": getattr(sample, "time_base", "elapsed"),
    }  # fmt: skip
    names: tuple[str, ...] = ()
    if isinstance(sample, Series):
        chosen = [sample.channels.index(c) for c in channels if c in sample.channels]
        if not chosen and shares.shape[1]:
            chosen = [int(i) for i in np.argsort(-shares[where].sum(axis=0), kind="stable")[:3]]
        names = tuple(sample.channels[i] for i in chosen)
        facts["values"] = [_statistics(sample, i, where) for i in chosen]
    picture = _frame(sample, float(seconds[peak]), store) if isinstance(sample, VideoClip) else None
    locus = Interval(sample=sample.name, start_s=when.start_s, end_s=when.end_s, peak_s=float(seconds[peak]), channels=names)
    return _evidence("time", source.name, locus, facts, picture, float(scores[peak]), threshold, inv.survey.threshold_origin)


def _statistics(series: Series, channel: int, where: np.ndarray[Any, Any] | slice) -> dict[str, Any]:
    """Minimum, mean and maximum of a channel over some rows, and over the whole series."""
    values, all_values = series.values[where, channel], series.values[:, channel]
    known, everything = values[~np.isnan(values)], all_values[~np.isnan(all_values)]

    def six(value: Any) -> float:
        return float(f"{float(value):.6g}")

    facts: dict[str, Any] = {
        "channel": series.channels[channel],
        "unit": series.units[channel],
        "missing": int(np.isnan(values).sum()),
    }
    if len(known):
        facts |= {"min": six(known.min()), "mean": six(known.mean()), "max": six(known.max())}
    if len(everything):
        facts |= {"usual": six(np.median(everything)), "lowest": six(everything.min()), "highest": six(everything.max())}
    return facts


def channel(inv: Investigation, source: Source, name: str) -> Evidence:
    """One channel over the whole series: its range and the findings that name it."""
    series = source.samples[0]
    assert isinstance(series, Series)
    index = series.channels.index(name)
    named = [
        f.evidence.id for f in inv.findings
        if isinstance(f.evidence.locus, Interval) and name in f.evidence.locus.channels[:3]
    ]  # fmt: skip
    facts = {**_statistics(series, index, slice(None)), "findings": named, "rows": len(series.time_s)}
    return _evidence("channel", source.name, Whole(sample=series.name), facts)


def frame(source: Source, when: TimeRange, store: EvidenceStore) -> Evidence | None:
    """The picture shown at a time of a video, or None behind its end."""
    clip = source.samples[0]
    assert isinstance(clip, VideoClip)
    time_s = (when.start_s + when.end_s) / 2 if when.point else when.start_s
    picture = _frame(clip, min(max(time_s, 0.0), clip.duration_s), store)
    if picture is None:
        return None
    locus = Interval(sample=clip.name, start_s=time_s, end_s=time_s + 1 / clip.fps, peak_s=time_s)
    return _evidence("frame", source.name, locus, {"time_s": time_s, "asked": when.text}, picture)


def _frame(clip: VideoClip, time_s: float, store: EvidenceStore) -> str | None:
    found = frame_at(clip, time_s, max_side=FRAME_SIDE)
    return None if found is None else store.put_file(draw.png_bytes(found.rgb), ".png")


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
    return _evidence("events", source.name, locus, facts, threshold=threshold, origin=inv.survey.threshold_origin)


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
    return _evidence("search", source.name, locus, facts)


PEOPLE_WORDS = frozenset(
    ("person", "people", "human", "humans", "man", "men", "woman", "women", "pedestrian", "pedestrians", "someone", "somebody",
     "anyone", "worker", "workers")
)  # fmt: skip
"""Phrases that the people detector answers better than concept matching."""


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
    return _evidence(
        "concept", source.name, Whole(sample=source.name), facts, store.put_file(draw.png_bytes(pictures[best]), ".png")
    )


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
    return _evidence("people", source.name, Whole(sample=source.name), facts, store.put_file(draw.png_bytes(picture), ".png"))


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
