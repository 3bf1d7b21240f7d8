"""Facts of a recording as a whole: how long it is, how often it was sampled, which channels it has, what is missing, its format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from agent.lookups.found import made
from agent.lookups.readings import length_said, plain_words
from agent.question import Request
from agent.reading.phrases import either, headed
from core.evidence import Evidence, Whole
from core.samples import Series, VideoClip
from readers.open import Source

MOST_CHANNELS = 30
GAP = 1.5
"""Time stamps farther apart than this many usual steps leave a gap."""
_OF_VIDEO = re.compile(r"\b(?:videos?|clips?|footage|movie|frames?|fps|camera)\b")
_OF_SERIES = re.compile(r"\b(?:sensors?|channels?|columns?|signals?|series|csv|rows?|readings?|measurements?)\b")


def look_up(request: Request, source: Source) -> Iterator[Evidence]:
    """The facts a question asks of a series or a video; nothing when it asks for findings too, or for something else."""
    sample = source.samples[0]
    series = sample if isinstance(sample, Series) else None
    words = plain_words(request, series)
    asked = [name for name, pattern in headed("recording fact") if pattern.search(words)]
    if not asked or request.times or request.concept == "anomalies" or _asks_more(words, asked):
        return
    other = _OF_VIDEO if series is not None else _OF_SERIES
    own = _OF_SERIES if series is not None else _OF_VIDEO
    if other.search(words) and not own.search(words):
        return
    facts = _of_series(series, asked, request) if series is not None else _of_video(sample, asked)
    if facts:
        facts["asked"] = [name for name in asked if name in _TOLD_OF[source.kind]]
        yield made("facts", source.name, Whole(sample=sample.name), facts)


def every_fact(request: Request, source: Source) -> Iterator[Evidence]:
    """The facts of a series or a video, where a question wants some and no word says which."""
    sample, asked = source.samples[0], list(_USUAL[source.kind])
    facts = _of_series(sample, asked, request) if isinstance(sample, Series) else _of_video(sample, asked)
    if facts:
        yield made("facts", source.name, Whole(sample=sample.name), {**facts, "asked": asked})


_USUAL = {"series": ("length", "interval", "channels", "missing"), "video": ("length", "interval", "format")}
_TOLD_OF: dict[str, tuple[str, ...]] = {
    "series": ("interval", "missing", "channels", "units", "length", "rows"), "video": ("interval", "length", "rows", "format"),
}  # fmt: skip


def _asks_more(words: str, asked: list[str]) -> bool:
    """True when what is left of the question, without the words that ask for facts, asks for anomalies."""
    for name, pattern in headed("recording fact"):
        if name in asked:
            words = pattern.sub(" ", words)
    return bool(either("beside recording facts").search(words))


def _of_series(series: Series, asked: list[str], request: Request) -> dict[str, Any]:
    if not set(asked) & set(_TOLD_OF["series"]):
        return {}
    steps = np.diff(series.time_s)
    total = float(series.time_s[-1] - series.time_s[0]) + series.period_s
    facts: dict[str, Any] = {
        "rows": len(series.time_s), "channels": len(series.channels), "start_s": float(series.time_s[0]),
        "end_s": float(series.time_s[-1]), "total_s": total, "length": length_said(total, len(series.time_s), series.time_base),
        "period_s": series.period_s, "interval": length_said(series.period_s, 1, series.time_base), "epoch_s": series.epoch_s,
        "time_base": series.time_base,
    }  # fmt: skip
    if {"channels", "units"} & set(asked):
        chosen = [c for c in series.channels if c in request.channels] if "units" in asked else []
        facts |= {"named": bool(chosen), "listed": [
            {"channel": c, "unit": u} for c, u in zip(series.channels, series.units, strict=True) if not chosen or c in chosen
        ][:MOST_CHANNELS]}  # fmt: skip
        facts["listed_count"] = len(facts["listed"])
    if "missing" in asked:
        facts |= _missing(series, request, steps)
    if "interval" in asked and len(steps):
        facts["uneven_steps"] = int((np.abs(steps - series.period_s) > 0.05 * series.period_s).sum())
    return facts


def _missing(series: Series, request: Request, steps: Any) -> dict[str, Any]:
    """Missing values per channel (those named, else those with most) and gaps between time stamps."""
    named = [i for i, c in enumerate(series.channels) if c in request.channels] or list(range(len(series.channels)))
    empty = {i: int(np.isnan(series.values[:, i]).sum()) for i in named}
    worst = sorted((i for i in named if empty[i]), key=lambda i: -empty[i])
    gaps = np.flatnonzero(steps > GAP * series.period_s) if len(steps) and series.time_base != "index" else np.zeros(0, np.int64)
    facts: dict[str, Any] = {
        "looked_at": [series.channels[i] for i in named] if len(named) < len(series.channels) else [],
        "values": len(series.time_s) * len(named), "missing_values": sum(empty.values()), "channels_with_missing": len(worst),
        "most_missing": [
            {"channel": series.channels[i], "missing": empty[i],
             "first_s": float(series.time_s[int(np.isnan(series.values[:, i]).argmax())])}
            for i in worst[:5]
        ],
        "time_gaps": len(gaps),
    }  # fmt: skip
    if len(gaps):
        widest = int(gaps[int(steps[gaps].argmax())])
        facts |= {
            "gap_s": float(series.time_s[widest]), "gap_end_s": float(series.time_s[widest + 1]),
            "gap": length_said(float(steps[widest]), 1, series.time_base),
        }  # fmt: skip
    return facts


def _of_video(clip: Any, asked: list[str]) -> dict[str, Any]:
    if not isinstance(clip, VideoClip) or not set(asked) & set(_TOLD_OF["video"]):
        return {}
    return {
        "duration_s": round(clip.duration_s, 2), "frames": clip.n_frames, "fps": round(clip.fps, 2), "width": clip.width,
        "height": clip.height, "interval_s": round(1 / clip.fps, 4),
    }  # fmt: skip
