"""Holding a series condition against readings: where, for how long, and how far beyond.

A reading stands from its time stamp to the next one, at most for the usual period; so a stretch is [first stamp, last stamp + that),
a hole longer than GAP_PERIODS periods or a missing reading ends it, and durations are true seconds however uneven the stamps are.
Arrays: masks and values are (T,) over the rows of the series.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agent.question import SourceInfo
from agent.reading.channels import find_channels
from agent.reading.tidy import tidy
from agent.rules.changes import changes_of
from agent.rules.conditions import Hours, SeriesCondition
from agent.rules.outcome import CannotTell, RuleFinding
from agent.rules.units import in_unit
from agent.rules.wording import condition_words, duration_words
from core.evidence import Interval
from core.samples import Series

Mask = NDArray[np.bool_]
GAP_PERIODS = 3.0
"""A distance of time stamps beyond so many usual ones is a hole: nobody knows what happened inside."""
OFF_SHARE = 0.05
"""A channel of many values is off at or below this part of its highest reading."""
MOST_CHANNELS = 40


@dataclass(frozen=True, kw_only=True, eq=False)
class _Met:
    """Rows that meet a condition, the quantity it was measured on, and notes."""

    mask: Mask
    measured: NDArray[np.float64]
    notes: tuple[str, ...] = ()


def evaluate(
    condition: SeriesCondition, series: Series, *, hours: Hours | None = None
) -> tuple[list[RuleFinding], list[CannotTell], list[str]]:
    """Findings, what could not be told, and notes, of one condition on one series.

    >>> pump = Series(name="p", values=np.array([[5], [8], [8], [5]], np.float32), time_s=np.arange(4.0), channels=("pressure",),
    ...               units=("bar",), time_base="elapsed")
    >>> found, _, _ = evaluate(SeriesCondition(channel="pressure", how="above", low=7, unit="bar"), pump)
    >>> found[0].locus.start_s, found[0].locus.end_s, found[0].measured
    (1.0, 3.0, 8.0)
    """
    channels = _in_unit_said(condition, channels_of(condition.channel, series), series)
    if not channels:
        return [], [_no_channel(condition, series)], []
    if (refused := _untimed(condition, series, hours)) is not None:
        return [], [refused], []
    findings: list[RuleFinding] = []
    notes: list[str] = []
    extra = _while(condition.when, series)
    if isinstance(extra, CannotTell):
        return [], [extra], []
    inside = in_hours(series.time_s + (series.epoch_s or 0.0), hours)
    cannot: list[CannotTell] = []
    for channel in channels[:MOST_CHANNELS]:
        met = _meets(condition, series, channel)
        if isinstance(met, CannotTell):
            cannot.append(met)
            continue
        notes += [*_read_as(condition.channel, channels, series), *met.notes, *extra.notes]
        findings += _stretches(condition, series, channel, met, met.mask & extra.mask & inside)
    if len(channels) > MOST_CHANNELS:
        notes.append(f"{series.name} has {len(channels)} such channels; the first {MOST_CHANNELS} were looked at.")
    return _shared(findings), cannot, list(dict.fromkeys(notes))


def _read_as(said: str, channels: Sequence[int], series: Series) -> list[str]:
    """A note on which channels words were read as, where they are not the name itself."""
    names = [series.channels[i] for i in channels]
    plain = {re.sub(r"[\W_]+", " ", n).strip().lower() for n in names}
    if said == "*" or re.sub(r"[\W_]+", " ", said).strip().lower() in plain:
        return []
    return [f"“{said}” was read as {', '.join(names[:4])}{' …' if len(names) > 4 else ''}."]


def _shared(findings: list[RuleFinding]) -> list[RuleFinding]:
    """Holes that every channel has in common as one finding each: a logger that was off is one event."""
    kept: dict[tuple[object, ...], RuleFinding] = {}
    for finding in findings:
        locus = finding.locus
        assert isinstance(locus, Interval)
        key: tuple[object, ...] = (locus.start_s, locus.end_s) if finding.facts.get("measure") == "gap" else (len(kept), "other")
        first = kept.get(key)
        if first is None:
            kept[key] = finding
            continue
        assert isinstance(first.locus, Interval)
        names = (*first.locus.channels, *locus.channels)
        kept[key] = replace(
            first, locus=replace(first.locus, channels=names), facts={**first.facts, "channel": f"{len(names)} channels"},
            sentence=f"{len(names)} channels have no reading for {duration_words(first.measured or 0.0)} "
                f"(“{first.condition}”).",
        )  # fmt: skip
    return list(kept.values())


def channels_of(said: str, series: Series) -> list[int]:
    """Indices of the channels that words mean; "*" means all.

    >>> s = Series(name="p", values=np.zeros((1, 2), np.float32), time_s=np.zeros(1), channels=("motor_temp", "Volume Flow RateRMS"))
    >>> channels_of("the motor temperature", s), channels_of("flow", s), channels_of("pressure", s)
    ([0], [1], [])
    """
    if said == "*":
        return list(range(len(series.channels)))
    exact = [i for i, name in enumerate(series.channels) if name.lower() == said.lower()]
    if exact:
        return exact
    info = SourceInfo(name=series.name, kind="series", channels=series.channels, units=series.units)
    named = find_channels(tidy(said).plain, info)
    return [series.channels.index(c) for c in named.channels]


def in_hours(epoch_s: NDArray[np.float64], hours: Hours | None) -> Mask:
    """Mask of the moments (seconds since 1970) inside a part of the day; all without one."""
    if hours is None:
        return np.ones(len(epoch_s), np.bool_)
    of_day = np.mod(epoch_s, 86_400.0)
    low, high = hours.from_s, hours.to_s
    inside = (of_day >= low) & (of_day < high) if low < high else (of_day >= low) | (of_day < high)
    if hours.days:
        inside &= np.isin(np.mod(np.floor(epoch_s / 86_400.0) + 3, 7), hours.days)  # 1 January 1970 was a Thursday
    return np.asarray((inside != hours.outside) & np.isfinite(epoch_s), np.bool_)


def _in_unit_said(condition: SeriesCondition, channels: list[int], series: Series) -> list[int]:
    """Of "any channel" with a unit those that are in it: 80 °C is no pressure."""
    if condition.channel != "*" or not condition.unit:
        return channels
    return [i for i in channels if in_unit(0.0, condition.unit, series.units[i]).how in ("same", "converted")]


def _no_channel(condition: SeriesCondition, series: Series) -> CannotTell:
    names = ", ".join(series.channels[:8]) + (" …" if len(series.channels) > 8 else "")
    what = f"in {condition.unit}" if condition.channel == "*" else f"that I can read as “{condition.channel}”"
    return CannotTell(reason=f"{series.name} has no channel {what}.", what_would_help=f"Name one of its channels: {names}.")


def _untimed(condition: SeriesCondition, series: Series, hours: Hours | None) -> CannotTell | None:
    """Why a condition on time cannot be held against a series without the time it needs."""
    timed = condition.for_s is not None or condition.within_s is not None
    if timed and series.time_base == "index":
        return CannotTell(
            reason=f"{series.name} has no time column, so it counts rows and no seconds.",
            what_would_help="Say the duration in readings (“for 10 readings”), or give a file with time stamps.",
        )
    if hours is not None and (series.time_base != "clock" or series.epoch_s is None):
        return CannotTell(
            reason=f"{series.name} does not say at what time of day it was recorded.",
            what_would_help="Give a file with dates and times.",
        )
    return None


def _while(when: SeriesCondition | None, series: Series) -> _Met | CannotTell:
    """The rows in which the second condition holds (any of the channels it fits)."""
    everywhere = np.ones(len(series.time_s), np.bool_)
    if when is None:
        return _Met(mask=everywhere, measured=np.zeros(len(everywhere)))
    channels = channels_of(when.channel, series)
    if not channels:
        return _no_channel(when, series)
    mask, notes = ~everywhere, list[str]()
    for channel in channels[:MOST_CHANNELS]:
        met = _meets(when, series, channel)
        if isinstance(met, CannotTell):
            return met
        mask, notes = mask | met.mask, [*notes, *met.notes]
    return _Met(mask=mask, measured=np.zeros(len(mask)), notes=tuple(notes))


def _meets(condition: SeriesCondition, series: Series, channel: int) -> _Met | CannotTell:
    values = series.values[:, channel].astype(np.float64)
    name, unit = series.channels[channel], series.units[channel]
    if condition.measure == "gap":
        return _Met(mask=np.isnan(values), measured=np.full(len(values), np.nan))
    if condition.measure == "flat":
        still = np.r_[np.diff(values) == 0, False]
        return _Met(mask=still | np.r_[False, still[:-1]], measured=values)
    if condition.how in ("on", "off"):
        return _switched(condition, values, name)
    if condition.minus is not None:
        other = _other(condition, series, channel)
        if isinstance(other, CannotTell):
            return other
        values = values - other
    differs = condition.measure != "value" or condition.minus is not None
    low, high = (in_unit(v, condition.unit, unit, difference=differs, of=name) for v in (condition.low, condition.high))
    if low.how == "different":
        return CannotTell(
            reason=low.note,
            what_would_help=f"Say the value in {unit}.",
        )
    changes = condition.measure != "value"
    measured = values if not changes else changes_of(condition, values, series.time_s, series.period_s)
    if changes and condition.within_s is not None and not np.isfinite(measured).any():
        return CannotTell(
            reason=f"The readings of {name} lie farther apart than {duration_words(condition.within_s or 0.0)}.",
            what_would_help="Say the change over a longer time.",
        )
    with np.errstate(invalid="ignore"):
        mask = compares(condition.how, measured, low.value, high.value)
    return _Met(mask=mask, measured=measured, notes=(low.note,) if low.note else ())


def _other(condition: SeriesCondition, series: Series, channel: int) -> NDArray[np.float64] | CannotTell:
    """The readings that are taken off those of a channel: one other channel, in the same unit."""
    found = [i for i in channels_of(condition.minus or "", series) if i != channel]
    name, unit = series.channels[channel], series.units[channel]
    if len(found) != 1:
        fits = ", ".join(series.channels[i] for i in found[:4]) or "none"
        return CannotTell(
            reason=f"{series.name}: “{condition.minus}” must be one channel beside {name}; {fits} can be read as that.",
            what_would_help=f"Name one of its channels: {', '.join(series.channels[:8])}.",
        )
    other = series.units[found[0]]
    if unit and other and in_unit(0.0, unit, other, difference=True).how != "same":
        return CannotTell(
            reason=f"{name} is in {unit}, {series.channels[found[0]]} is in {other}.",
            what_would_help="Only channels of one unit can be taken off each other.",
        )
    return series.values[:, found[0]].astype(np.float64)


def compares(how: str, values: NDArray[np.float64], low: float, high: float) -> Mask:
    """The comparison, at the precision that readings have (float32)."""
    values, low, high = values.astype(np.float32), float(np.float32(low)), float(np.float32(high))
    if how == "above":
        return np.asarray(values > low)
    if how == "at least":
        return np.asarray(values >= low)
    if how == "below":
        return np.asarray(values < low)
    if how == "at most":
        return np.asarray(values <= low)
    if how == "equal to":
        return np.asarray(values == low)
    if how == "not equal to":
        return np.asarray((values != low) & ~np.isnan(values))
    inside = (values >= low) & (values <= high)
    return np.asarray(inside if how == "between" else ~inside & ~np.isnan(values))


def _switched(condition: SeriesCondition, values: NDArray[np.float64], name: str) -> _Met:
    """On and off: of two values the higher and the lower one, of many what lies above or within OFF_SHARE of the highest."""
    known = values[~np.isnan(values)]
    levels = np.unique(known)
    top = float(np.abs(known).max()) if len(known) else 0.0
    if len(levels) == 2:
        border, note = float(levels.mean()), f"“{condition.how}” was read as {name} = {levels[int(condition.how == 'on')]:g}."
    else:
        border = OFF_SHARE * top
        side = "above" if condition.how == "on" else "at or below"
        note = f"“{condition.how}” was read as {name} {side} {border:.4g}, {OFF_SHARE:.0%} of its highest reading."
    off = np.abs(values) <= border if len(levels) != 2 else values <= border
    mask = off if condition.how == "off" else ~off & ~np.isnan(values)
    return _Met(mask=np.asarray(mask & ~np.isnan(values)), measured=values, notes=(note,))


def runs_of(mask: Mask, time_s: NDArray[np.float64], period_s: float, cuts: Mask | None = None) -> list[tuple[int, int]]:
    """Inclusive (first, last) rows of each stretch of True, cut where the time stamps leave a hole, and before each row of `cuts`."""
    hole = np.r_[False, np.diff(time_s) > GAP_PERIODS * period_s]
    if cuts is not None:
        hole = hole | cuts
    starts = mask & (~np.r_[False, mask[:-1]] | hole)
    ends = mask & (~np.r_[mask[1:], False] | np.r_[hole[1:], False])
    return [(int(a), int(b)) for a, b in zip(np.flatnonzero(starts), np.flatnonzero(ends), strict=True)]


def _holds_until(row: int, series: Series, period_s: float) -> float:
    """Until when a reading stands: the next time stamp, at most one period on."""
    now = float(series.time_s[row])
    after = float(series.time_s[row + 1]) if row + 1 < len(series.time_s) else np.inf
    return min(after, now + period_s) if after > now else now + period_s


def _long_enough(condition: SeriesCondition, length_s: float, rows: int) -> bool:
    if condition.for_rows is not None and rows < condition.for_rows:
        return False
    if condition.for_s is None:
        return True
    slack = 1e-6 * max(condition.for_s, 1.0)
    return length_s >= condition.for_s - slack if condition.for_at_least else length_s > condition.for_s + slack


def _stretches(condition: SeriesCondition, series: Series, channel: int, met: _Met, mask: Mask) -> list[RuleFinding]:
    found = []
    if condition.measure == "gap":
        return _gaps(condition, series, channel)
    period_s, rule = series.period_s, condition_words(condition)  # a median over all stamps: once
    moved = np.r_[False, np.diff(met.measured) != 0] if condition.measure == "flat" else None  # another value is another stretch
    for a, b in runs_of(mask, series.time_s, period_s, moved):
        start, end = float(series.time_s[a]), _holds_until(b, series, period_s)
        if not _long_enough(condition, end - start, b - a + 1):
            continue
        part = met.measured[a : b + 1]
        down = condition.how in ("below", "at most", "off")
        both = condition.how in ("outside", "not equal to")
        away = np.abs(part - (condition.low + condition.high) / 2) if both else -part if down else part
        at = a + int(np.nanargmax(away))
        found.append(_finding(condition, series, channel, start, end, b - a + 1, at, float(met.measured[at]), rule))
    return found


def _gaps(condition: SeriesCondition, series: Series, channel: int) -> list[RuleFinding]:
    """Stretches without readings of a channel: from the last known reading to the next one."""
    known = np.flatnonzero(~np.isnan(series.values[:, channel]))
    ends = series.time_s[known]
    found = []
    period_s, rule = series.period_s, condition_words(condition)
    for a in np.flatnonzero(np.diff(ends) > 1.5 * period_s).tolist():
        length = float(ends[a + 1] - ends[a])
        if _long_enough(condition, length, int(known[a + 1] - known[a] - 1) or 1):
            found.append(_finding(condition, series, channel, float(ends[a]), float(ends[a + 1]), 0, int(known[a]), length, rule))
    return found


def _finding(condition: SeriesCondition, series: Series, channel: int, start: float, end: float, rows: int, at: int,
             measured: float, rule: str
) -> RuleFinding:  # fmt: skip
    name, unit = series.channels[channel], series.units[channel]
    value = float(f"{measured:.6g}")
    lasted = f"{rows:,} row{'s' * (rows != 1)}" if series.time_base == "index" else duration_words(round(end - start, 6))
    reached = {
        "rise": f"rose by up to {value:g}", "fall": f"fell by up to {value:g}", "change": f"changed by up to {value:g}",
        "flat": f"stayed at {value:g}",
    }.get(condition.measure, f"reached {value:g}")  # fmt: skip
    reached = f"{reached} {unit}".rstrip() + (f" above {condition.minus}" if condition.minus is not None else "")
    sentence = f"{name} {reached} and met “{rule}” for {lasted}."
    if condition.measure == "gap":
        sentence, unit = f"{name} has no reading for {duration_words(value)} (“{rule}”).", "s"
    peak = float(series.time_s[at])
    return RuleFinding(
        locus=Interval(sample=series.name, start_s=start, end_s=end, peak_s=peak, channels=(name,)), measured=value, unit=unit,
        condition=rule, sentence=sentence,
        facts={
            "channel": name, "unit": unit, "start_s": start, "end_s": end, "length_s": round(end - start, 6), "rows": rows,
            "measured": value, "measured_s": peak, "low": condition.low, "high": condition.high, "epoch_s": series.epoch_s,
            "time_base": series.time_base, "measure": condition.measure,
        },
    )  # fmt: skip
