"""Looking up readings: when a channel was above or below a number, how often and how long, and its highest, lowest or usual value.

Values are compared at the file's own precision (float32) and kept with 6 digits; a stretch runs from its first reading that meets the
condition to the last one in a row, and a missing reading ends it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.investigation import Investigation
from agent.lookups.found import made
from agent.question import Request, SourceInfo, TimeRange
from agent.reading.phrases import either
from agent.reading.tidy import tidy
from agent.reading.values import Comparison, How, Wanted, find_comparison, find_wanted, loose_comparison, same_unit
from core.evidence import Evidence, Interval, Whole
from core.samples import Series
from readers.open import Source

MOST_CHANNELS = 4
MOST_STRETCHES = 6
"""Stretches listed; of more, the longest."""
LEADING_SHARE = 20.0
"""Per cent of a finding's score from which a channel beside the first is said to carry it."""
Mask = NDArray[np.bool_]
_ALWAYS = re.compile(r"\b(?:stay\w*|remain\w*|always|constantly|all the time|at all times|throughout|kept|keeps?)\b")
_OPPOSITE: dict[How, How] = {
    "above": "at most", "at most": "above", "below": "at least", "at least": "below", "between": "outside", "outside": "between",
}  # fmt: skip


def plain_words(request: Request, series: Series | None = None) -> str:
    """The question's own words, tidied, names of channels kept as they are."""
    names = series.channels[:500] if series is not None else ()
    keep = frozenset(w for name in names for w in re.findall(r"[^\W\d_]+", name.lower()))
    return tidy(request.question, keep=keep, widely=True).plain


def look_up(request: Request, source: Source, inv: Investigation | None, times: Sequence[TimeRange]) -> Iterator[Evidence]:
    """What a question that compares readings with a number, or asks for the highest, lowest or average one, needs to know."""
    series = source.samples[0]
    assert isinstance(series, Series)
    crossed = list(crossings(request, source, inv, times))
    if crossed:
        yield from crossed
        return
    words, named = plain_words(request, series), _channels(request, series)
    elsewhere = "channels" in request.inherited and any(r.kind not in ("it", "worst", "mildest") for r in request.references)
    if named and not elsewhere and find_wanted(words):
        yield from extremes(request, source, inv, times, named)


def crossings(
    request: Request, source: Source, inv: Investigation | None, times: Sequence[TimeRange], *, loosely: bool = False
) -> Iterator[Evidence]:
    """When and how long channels meet a condition that the question names; `loosely`, it is known to name one."""
    series = source.samples[0]
    assert isinstance(series, Series)
    words, named = plain_words(request, series), _channels(request, series)
    info = SourceInfo(name=source.name, kind="series", channels=series.channels, units=series.units)
    comparison = find_comparison(words, info) or (loose_comparison(words) if loosely else None)
    if comparison is None or not (named or loosely or not either("reading of scores").search(words)):
        return
    mask = rows_of(series, times)
    for channel in named[:MOST_CHANNELS] or _fitting(series, comparison, mask):
        facts = _crossing(series, channel, comparison, mask)
        always = bool(_ALWAYS.search(words))
        if always and 0 < facts["rows_met"] < facts["rows"]:  # "did it stay below 60?" is answered by when it did not
            opposite = replace(comparison, how=_OPPOSITE[comparison.how])
            facts = _crossing(series, channel, opposite, mask) | {"denied": comparison.how}
        facts |= {"always": always, "never": bool(re.search(r"\bnever\b", words)), "edge": _edge(words)}
        facts |= {
            "anywhere": not named,
            **_asked(request, times),
            # what is true most of the time points at no finding
            "findings": _touching(inv, series, channel, facts["stretches"]) if 2 * facts["rows_met"] <= facts["rows"] else [],
        }
        yield made("crossing", source.name, _locus(series, channel, facts), facts)


def _channels(request: Request, series: Series) -> list[int]:
    """Indices of the channels that a question names; the only one where there is no other."""
    return [0] if len(series.channels) == 1 else [series.channels.index(c) for c in request.channels if c in series.channels]


def extremes(
    request: Request, source: Source, inv: Investigation | None, times: Sequence[TimeRange], channels: Sequence[int]
) -> Iterator[Evidence]:
    """The highest, lowest, average, first or last readings of some channels: those a question asks for, or the first three."""
    series = source.samples[0]
    assert isinstance(series, Series)
    wanted = find_wanted(plain_words(request, series)) or ("highest", "lowest", "average")
    mask = rows_of(series, times)
    for channel in channels[:MOST_CHANNELS]:
        facts = _extremes(series, channel, wanted, mask)
        moments = [{"start_s": facts[f"{w}_s"], "end_s": facts[f"{w}_s"]} for w in wanted if f"{w}_s" in facts]
        facts |= {**_asked(request, times), "findings": _touching(inv, series, channel, moments)}
        yield made("extreme", source.name, Whole(sample=series.name), facts)


def rows_of(series: Series, times: Sequence[TimeRange]) -> Mask:
    """Mask (T,) of the rows inside any of the time ranges; every row without one. A moment stands for the reading nearest to it."""
    if not times:
        return np.ones(len(series.time_s), np.bool_)
    mask = np.zeros(len(series.time_s), np.bool_)
    for when in times:
        inside = (series.time_s >= when.start_s) & (series.time_s < when.end_s)
        if not inside.any():
            away = np.abs(series.time_s - (when.start_s + when.end_s) / 2)
            nearest = int(away.argmin())
            inside[nearest] = away[nearest] <= (when.end_s - when.start_s) / 2 + series.period_s
        mask |= inside
    return mask


def leads(inv: Investigation | None, channel: str) -> list[dict[str, Any]]:
    """The abnormal stretches that a channel carries: as the first one, or with at least LEADING_SHARE of the score."""
    found = []
    for finding in inv.findings if inv is not None else ():
        locus, shares = finding.evidence.locus, finding.evidence.facts.get("shares_percent")
        if not (finding.abnormal and isinstance(locus, Interval) and isinstance(shares, dict) and channel in shares):
            continue
        if locus.channels[:1] == (channel,) or shares[channel] >= LEADING_SHARE:
            found.append({"id": finding.evidence.id, "label": finding.label, "start_s": locus.start_s, "end_s": locus.end_s,
                          "share_percent": shares[channel]})  # fmt: skip
    return found


def six(value: Any) -> float:
    """A value with 6 significant digits: what a float32 holds."""
    return float(f"{float(value):.6g}")


def length_said(seconds: float, rows: int, base: str) -> str:
    """A length of time in one fitting unit; rows where time is an index.

    >>> length_said(900.0, 3, "clock"), length_said(7200.0, 24, "clock"), length_said(5.0, 5, "index")
    ('15 min', '2 h', '5 rows')
    """
    if base == "index":
        return f"{rows:,} row{'s' * (rows != 1)}"
    for unit, size, least in (("days", 86400.0, 48 * 3600.0), ("h", 3600.0, 7200.0), ("min", 60.0, 120.0)):
        if seconds >= least:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def _asked(request: Request, times: Sequence[TimeRange]) -> dict[str, Any]:
    """What kind of answer is wanted, and the time that limits it."""
    facts: dict[str, Any] = {"intents": list(request.intents)}
    if len(times) == 1:
        facts |= {"within": times[0].text, "start_s": times[0].start_s, "end_s": times[0].end_s}
    elif times:
        facts["within"] = times[0].text
    return facts


def _meets(values: NDArray[np.float32], comparison: Comparison) -> Mask:
    """Mask of the readings that meet the condition; missing ones never do."""
    low, high = np.float32(comparison.low), np.float32(comparison.high)
    if comparison.how == "above":
        return values > low
    if comparison.how == "at least":
        return values >= low
    if comparison.how == "below":
        return values < low
    if comparison.how == "at most":
        return values <= low
    inside = (values >= low) & (values <= high)
    return inside if comparison.how == "between" else ~inside & ~np.isnan(values)


def _fitting(series: Series, comparison: Comparison, mask: Mask) -> list[int]:
    """Where no channel is named: those in the unit typed that meet the condition, most readings first; else the one nearest to it."""
    wanted = same_unit(comparison.unit)
    of_unit = [i for i, unit in enumerate(series.units) if wanted and same_unit(unit).startswith(wanted)]
    channels = of_unit or [i for i in range(len(series.channels)) if not np.isnan(series.values[:, i]).all()]
    met = {i: int(_meets(series.values[mask, i], comparison).sum()) for i in channels}
    fitting = sorted((i for i in channels if met[i]), key=lambda i: -met[i])
    if fitting or not channels:
        return fitting[:MOST_CHANNELS]
    top = comparison.how in ("above", "at least")
    ends = {i: float(np.nanmax(series.values[:, i]) if top else -np.nanmin(series.values[:, i])) for i in channels}
    return [max(channels, key=lambda i: ends[i])]


def _edge(words: str) -> str:
    """Whether only the first or the last time is asked for."""
    if re.search(r"\bfirst\b(?! (?:\d|\w+ (?:hours|minutes|days|rows)|hour|minute|day|week|row|half|quarter|third)\b)", words):
        return "first"
    return "last" if re.search(r"\b(?:last time|(?:when|time) (?:\w+ ){1,4}last|latest|most recent\w*)\b", words) else ""


def _crossing(series: Series, channel: int, comparison: Comparison, mask: Mask) -> dict[str, Any]:
    """The stretches in which a channel meets a condition, and the readings farthest beyond it."""
    values = series.values[:, channel]
    met = _meets(values, comparison) & mask
    edges = np.flatnonzero(np.diff(np.r_[False, met, False].astype(np.int8)))
    runs = [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    down = comparison.how in ("below", "at most")
    listed = sorted(sorted(runs, key=lambda run: run[0] - run[1])[:MOST_STRETCHES])
    known = mask & ~np.isnan(values)
    unit, typed = series.units[channel], comparison.unit
    facts: dict[str, Any] = {
        "channel": series.channels[channel], "unit": unit, "condition": comparison.how, "low": comparison.low, "high": comparison.high,
        "typed": typed, "other_unit": typed if typed and unit and not same_unit(unit).startswith(same_unit(typed)) else "",
        "times_met": len(runs), "rows_met": int(met.sum()), "rows": int(known.sum()), "missing": int((mask & np.isnan(values)).sum()),
        "share_percent": round(100 * float(met.sum()) / max(int(known.sum()), 1), 1), "total": length_said(
            int(met.sum()) * series.period_s, int(met.sum()), series.time_base),
        "stretches": [_stretch(series, values, a, b, down=down) for a, b in listed], **_ends(series, values, known),
        "epoch_s": series.epoch_s, "time_base": series.time_base,
    }  # fmt: skip
    if runs:
        facts |= {"first_s": float(series.time_s[runs[0][0]]), "last_s": float(series.time_s[runs[-1][1]])}
    return facts


def _stretch(series: Series, values: NDArray[np.float32], a: int, b: int, *, down: bool) -> dict[str, Any]:
    part = values[a : b + 1]
    most = a + int(part.argmin() if down else part.argmax())
    start, end = float(series.time_s[a]), float(series.time_s[b])
    return {
        "start_s": start, "end_s": end, "readings": b - a + 1, "length": length_said(end - start + series.period_s, b - a + 1,
                                                                                  series.time_base),
        "most": six(values[most]), "most_s": float(series.time_s[most]),
    }  # fmt: skip


def _ends(series: Series, values: NDArray[np.float32], known: Mask) -> dict[str, Any]:
    """The lowest and the highest reading of some rows with their times; empty without readings."""
    where = np.flatnonzero(known)
    if not len(where):
        return {}
    low, high = where[int(values[where].argmin())], where[int(values[where].argmax())]
    return {
        "lowest": six(values[low]), "lowest_s": float(series.time_s[low]), "highest": six(values[high]),
        "highest_s": float(series.time_s[high]),
    }  # fmt: skip


def _extremes(series: Series, channel: int, wanted: Sequence[Wanted], mask: Mask) -> dict[str, Any]:
    """The readings asked for, with their times, and what is usual in the whole series."""
    values = series.values[:, channel]
    known = mask & ~np.isnan(values)
    where = np.flatnonzero(known)
    facts: dict[str, Any] = {
        "channel": series.channels[channel], "unit": series.units[channel], "wanted": list(wanted), "rows": len(where),
        "epoch_s": series.epoch_s, "time_base": series.time_base, **_ends(series, values, known),
    }  # fmt: skip
    if len(where):
        facts |= {
            "mean": six(values[where].astype(np.float64).mean()), "usual": six(np.nanmedian(values)), "first": six(values[where[0]]),
            "first_s": float(series.time_s[where[0]]), "last": six(values[where[-1]]), "last_s": float(series.time_s[where[-1]]),
        }  # fmt: skip
    return facts


def _touching(inv: Investigation | None, series: Series, channel: int, stretches: Sequence[dict[str, Any]]) -> list[str]:
    """Ids of the abnormal stretches carried by the channel that overlap one of these stretches."""
    return [
        lead["id"] for lead in leads(inv, series.channels[channel])
        if any(lead["start_s"] <= s["end_s"] and lead["end_s"] > s["start_s"] for s in stretches)
    ]  # fmt: skip


def _locus(series: Series, channel: int, facts: dict[str, Any]) -> Whole | Interval:
    """Where the condition is met: from the first such reading to the last."""
    if "first_s" not in facts:
        return Whole(sample=series.name)
    peak = max(facts["stretches"], key=lambda s: s["readings"])["most_s"]
    return Interval(
        sample=series.name, start_s=facts["first_s"], end_s=facts["last_s"] + series.period_s, peak_s=peak,
        channels=(series.channels[channel],),
    )  # fmt: skip
