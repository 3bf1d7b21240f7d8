"""Looking up times and channels: what the kept scores, and a series' values, say about them. Pictures of a video at a time too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from agent.evidence_store import EvidenceStore
from agent.examine.video import frame_at
from agent.investigation import Investigation
from agent.lookups.found import made
from agent.question import Request, TimeRange
from core import draw
from core.evidence import Evidence, Interval, Whole
from core.samples import Series, VideoClip
from readers.open import Source

FRAME_SIDE = 960


def look_up(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    """What a question about times or channels of a series or a video needs to know."""
    times = [when for when in request.times if when.source == source.name]
    for when in times:
        if inv is not None and inv.arrays is not None:
            yield stretch(inv, source, when, request.channels, store)
        elif source.kind == "video" and (shown := frame(source, when, store)) is not None:
            yield shown
    if source.kind == "series" and inv is not None and not request.times:
        series = source.samples[0]
        assert isinstance(series, Series)
        for name in [c for c in request.channels if c in series.channels][:4]:
            yield channel(inv, source, name)


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
    return made("time", source.name, locus, facts, picture, float(scores[peak]), threshold, inv.survey.threshold_origin)


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
    return made("channel", source.name, Whole(sample=series.name), facts)


def frame(source: Source, when: TimeRange, store: EvidenceStore) -> Evidence | None:
    """The picture shown at a time of a video, or None behind its end."""
    clip = source.samples[0]
    assert isinstance(clip, VideoClip)
    time_s = (when.start_s + when.end_s) / 2 if when.point else when.start_s
    picture = _frame(clip, min(max(time_s, 0.0), clip.duration_s), store)
    if picture is None:
        return None
    locus = Interval(sample=clip.name, start_s=time_s, end_s=time_s + 1 / clip.fps, peak_s=time_s)
    return made("frame", source.name, locus, {"time_s": time_s, "asked": when.text}, picture)


def _frame(clip: VideoClip, time_s: float, store: EvidenceStore) -> str | None:
    found = frame_at(clip, time_s, max_side=FRAME_SIDE)
    return None if found is None else store.put_file(draw.png_bytes(found.rgb), ".png")
