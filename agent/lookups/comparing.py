"""Comparing two stretches of time, or channels of a series with each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from agent.evidence_store import EvidenceStore
from agent.investigation import Investigation
from agent.lookups.found import made
from agent.lookups.readings import leads, length_said, rows_of, six
from agent.question import Request, TimeRange
from agent.reading.phrases import either
from agent.reading.sights import asks_for_the_worse
from agent.reading.tidy import words_of
from core.evidence import Evidence, Interval, Whole
from core.samples import Series, VideoClip
from readers.open import Source

REST = "the rest"
"""What is called so that a stretch is compared with when no other is named."""
MOST_CHANNELS = 4
COMPARED = 3
"""Channels told of two stretches of time when none is named: those that differ most."""
LEAST_ROWS = 8
"""Rows from which a correlation says something."""
MOST_EVENTS = 3
"""Abnormal stretches told for a pair of channels; one for each of more pairs."""


def look_up(
    request: Request, source: Source, inv: Investigation | None, store: EvidenceStore, times: Sequence[TimeRange]
) -> Iterator[Evidence]:
    """What a question that compares two times, or two channels, needs to know; nothing when it compares something else."""
    mentions = sorted({when.mention for when in times})
    if source.kind == "series" and either("together first").search(words_of(request.question)):
        named = _named(request, source)
        if len(named) >= 2:  # "did the vibration go wrong before the flow?": the time said by a finding is no limit
            yield channels(source, _series(source), named, inv, (), in_order=True)
            return
    if source.kind == "series" and inv is not None and inv.arrays is not None and not times and _asks_for_drift(request, source):
        begins, ends = _ends(source)
        yield two_times(request, source, inv, store, [begins], [ends])
        return
    if "compare" not in request.intents and not (len(mentions) >= 2 and asks_for_the_worse(request)):
        return
    if len(mentions) >= 2 and inv is not None and inv.arrays is not None:
        first, second = ([when for when in times if when.mention == m] for m in mentions[:2])
        yield two_times(request, source, inv, store, first, second)
    elif source.kind == "series":
        chosen = _named(request, source)
        if len(chosen) >= 2:
            yield channels(source, _series(source), chosen, inv, times)


def _asks_for_drift(request: Request, source: Source) -> bool:
    """True for "does the vibration drift?": what a channel does slowly shows between the beginning and the end."""
    asks = set(request.intents) <= {"exists", "is_normal", "what", "compare"} and request.view is None
    return asks and bool(_named(request, source)) and bool(either("reading drift").search(words_of(request.question)))


def _ends(source: Source) -> tuple[TimeRange, TimeRange]:
    """The first and the last quarter of a series."""
    time_s = _series(source).time_s
    begin, end = float(time_s[0]), float(time_s[-1]) + _series(source).period_s
    quarter = (end - begin) / 4
    first = TimeRange(source=source.name, start_s=begin, end_s=begin + quarter, text="the first quarter")
    return first, TimeRange(source=source.name, start_s=end - quarter, end_s=end, text="the last quarter", mention=1)


def around(source: Source, when: TimeRange) -> tuple[TimeRange, TimeRange]:
    """All that lies before a time, and all that follows it."""
    sample = source.samples[0]
    assert isinstance(sample, Series | VideoClip)
    first = float(sample.time_s[0]) if isinstance(sample, Series) else 0.0
    last = float(sample.time_s[-1]) + sample.period_s if isinstance(sample, Series) else float(sample.duration_s)
    return (
        TimeRange(source=source.name, start_s=first, end_s=when.start_s, text=f"before {when.text}"),
        TimeRange(source=source.name, start_s=when.end_s, end_s=last, text=f"after {when.text}", mention=1),
    )  # fmt: skip


def _series(source: Source) -> Series:
    series = source.samples[0]
    assert isinstance(series, Series)
    return series


def _named(request: Request, source: Source) -> list[int]:
    """Indices of the channels that a question names."""
    known = _series(source).channels
    return [known.index(c) for c in request.channels if c in known][:MOST_CHANNELS]


def two_times(
    request: Request, source: Source, inv: Investigation, store: EvidenceStore, first: Sequence[TimeRange], second: Sequence[TimeRange]
) -> Evidence:  # fmt: skip
    """Scores and values of two stretches of time side by side."""
    assert inv.arrays is not None
    with np.load(store.file(inv.arrays), allow_pickle=False) as kept:
        seconds, scores = kept["seconds"], kept["scores"]
    threshold = float(inv.survey.threshold or 0.0)
    sample = source.samples[0]
    sides = [_side(times, seconds, scores, threshold, inv) for times in (first, second)]
    flagged = any(side["flagged"] for side in sides)
    facts: dict[str, Any] = {
        "sides": sides, "threshold": threshold, "findings": list(dict.fromkeys(i for side in sides for i in side.pop("ids"))),
        "epoch_s": getattr(sample, "epoch_s", None), "time_base": getattr(sample, "time_base", "elapsed"),
    }  # fmt: skip
    if isinstance(sample, Series):
        facts["values"] = _values(sample, request.channels, rows_of(sample, first), rows_of(sample, second))
    # "normal" may be said of the two only when neither passes the threshold
    return made("comparison", source.name, Whole(sample=sample.name), facts, threshold=None if flagged else threshold,
                origin=inv.survey.threshold_origin)  # fmt: skip


def _side(
    times: Sequence[TimeRange], seconds: np.ndarray[Any, Any], scores: np.ndarray[Any, Any], threshold: float, inv: Investigation
) -> dict[str, Any]:
    """One of two stretches: when, the highest score in it, and the findings that reach into it."""
    inside = np.zeros(len(seconds), np.bool_)
    for when in times:
        inside |= (seconds >= when.start_s) & (seconds < when.end_s)
    if not inside.any():
        inside[int(np.abs(seconds - (times[0].start_s + times[0].end_s) / 2).argmin())] = True
    where = np.flatnonzero(inside)
    peak = int(where[int(scores[where].argmax())])
    ids = [
        f.evidence.id for f in inv.findings
        if f.abnormal and isinstance(f.evidence.locus, Interval)
        and any(f.evidence.locus.start_s < w.end_s and f.evidence.locus.end_s > w.start_s for w in times)
    ]  # fmt: skip
    return {
        "asked": times[0].text, "days": len(times), "start_s": times[0].start_s, "end_s": times[-1].end_s, "point": times[0].point,
        "max_score": float(scores[peak]), "peak_s": float(seconds[peak]), "flagged": bool(scores[peak] >= threshold), "ids": ids,
        "stretches": len(ids),
    }  # fmt: skip


def _values(series: Series, named: Sequence[str], first: Any, second: Any) -> list[dict[str, Any]]:
    """Mean, lowest and highest of channels in both stretches: of those named, else of those whose means differ most."""
    rows: list[tuple[float, dict[str, Any]]] = []
    for index, channel in enumerate(series.channels):
        values = series.values[:, index].astype(np.float64)
        parts = [part[~np.isnan(part)] for part in (values[first], values[second])]
        if (named and channel not in named) or not all(len(part) for part in parts):
            continue
        spread = float(np.nanstd(values)) or 1.0
        sides = [{"mean": six(p.mean()), "min": six(p.min()), "max": six(p.max()), "readings": len(p)} for p in parts]
        rows.append(
            (
                abs(float(parts[0].mean() - parts[1].mean())) / spread,
                {"channel": channel, "unit": series.units[index], "sides": sides},
            )
        )
    rows = rows if named else sorted(rows, key=lambda row: -row[0])
    return [row for _, row in rows[: MOST_CHANNELS if named else COMPARED]]


def channels(
    source: Source, series: Series, chosen: Sequence[int], inv: Investigation | None, times: Sequence[TimeRange], *, in_order: bool = False
) -> Evidence:  # fmt: skip
    """How channels move with each other: over all rows (or those asked for) and inside the abnormal stretches they carry.

    `in_order` adds which of them goes wrong first.
    """
    mask = rows_of(series, times)
    names = [series.channels[i] for i in chosen]
    carried = {lead["id"]: lead for name in names for lead in leads(inv, name)}
    events = [lead for lead in carried.values() if not times or mask[_inside(series, lead)].any()]
    pairs = []
    for a, b in combinations(chosen, 2):
        during = [
            found for e in events[: MOST_EVENTS if len(chosen) == 2 else 1] if (found := _during(series, a, b, e)) is not None
        ]
        pairs.append({"a": series.channels[a], "b": series.channels[b], "correlation": _correlation(series, a, b, mask),
                      "during": during})  # fmt: skip
    facts: dict[str, Any] = {
        "pairs": pairs, "rows": int(mask.sum()), "whole": not times, "findings": [e["id"] for e in events][:MOST_EVENTS],
        "ranges": [_range(series, i, mask) for i in chosen], "epoch_s": series.epoch_s, "time_base": series.time_base,
    }  # fmt: skip
    if len(times) == 1:
        facts |= {"start_s": times[0].start_s, "end_s": times[0].end_s}
    if in_order:
        facts["onsets"] = _onsets(series, names, inv)
    return made("channels", source.name, Whole(sample=series.name), facts)


def _onsets(series: Series, names: Sequence[str], inv: Investigation | None) -> list[dict[str, Any]]:
    """The first abnormal stretch that each channel carries, by its start; a channel without one has no start."""
    found: list[dict[str, Any]] = []
    for name in names:
        first = min(leads(inv, name), key=lambda lead: lead["start_s"], default=None)
        found.append(
            {"channel": name} if first is None else {"channel": name, "label": first["label"], "start_s": first["start_s"]}
        )
    found.sort(key=lambda onset: onset.get("start_s", float("inf")))
    for one, other in pairwise(found):
        if "start_s" in other:
            later_s = other["start_s"] - one["start_s"]
            other["later"] = length_said(later_s, round(later_s / series.period_s), series.time_base) if later_s else ""
    return found


def _during(series: Series, a: int, b: int, event: dict[str, Any]) -> dict[str, Any] | None:
    """How two channels move in an abnormal stretch: their correlation, or the one that stands still; None when it is too short."""
    inside = _inside(series, event)
    r = _correlation(series, a, b, inside)
    moves = [float(np.nanstd(series.values[inside, i])) > 1e-6 * max(1.0, float(np.nanstd(series.values[:, i]))) for i in (a, b)]
    if int(inside.sum()) < LEAST_ROWS or (r is None and not any(moves)):
        return None
    still = [series.channels[i] for i, moving in zip((a, b), moves, strict=True) if not moving]
    if r is None and not still:
        return None
    return {"label": event["label"], "start_s": event["start_s"], "end_s": event["end_s"], "correlation": r, "still": still}


def _inside(series: Series, event: dict[str, Any]) -> Any:
    return (series.time_s >= event["start_s"]) & (series.time_s < event["end_s"])


def _correlation(series: Series, a: int, b: int, mask: Any) -> float | None:
    """Pearson correlation of two channels over some rows; None when too few rows, or a channel that does not move."""
    x, y = series.values[mask, a].astype(np.float64), series.values[mask, b].astype(np.float64)
    known = ~np.isnan(x) & ~np.isnan(y)
    x, y = x[known], y[known]
    if len(x) < LEAST_ROWS or x.std() < 1e-9 * max(1.0, abs(x.mean())) or y.std() < 1e-9 * max(1.0, abs(y.mean())):
        return None
    return round(float(np.corrcoef(x, y)[0, 1]), 2)


def _range(series: Series, channel: int, mask: Any) -> dict[str, Any]:
    values = series.values[mask, channel]
    values = values[~np.isnan(values)]
    facts: dict[str, Any] = {"channel": series.channels[channel], "unit": series.units[channel]}
    if len(values):
        facts |= {"lowest": six(values.min()), "highest": six(values.max()), "usual": six(np.median(values))}
    return facts
