"""What kind of change an interval of one channel shows, in words, with the numbers that justify it.

The interval is compared with the readings around it: level and spread are the median and 1.4826·MAD of the stretch before
(of the stretch after, when the series starts with the interval). One deviation is that spread. Values keep the channel's unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.samples import Series

ChangeKind: TypeAlias = Literal[
    "missing", "flatline", "spike", "level shift", "drift", "frequency change", "correlation break", "variation change",
    "unusual pattern",
]  # fmt: skip

LEAST_CONTEXT, MOST_CONTEXT = 100, 2_000
LEAST_BASE = 5
LARGE = 3.0
"""Deviations from which a level counts as shifted."""
SPIKE, SPIKE_STEPS, SPIKE_SHARE = 5.0, 5, 0.2
"""A spike is this many deviations high and a quarter higher than anything around it; beyond half its height it stays for at
most this many steps, or this share of the interval."""
STILL = 0.02
"""Largest share of steps that move in a flatline, and a tenth of the least share before: what hardly ever moves has not stopped."""
UNREST = 2.0
"""Times the usual standard deviation from which readings are wild; its inverse, calm."""
MOSTLY = 0.8
"""Share of an interval that one still stretch fills in a flatline: intervals begin late and end late."""
TIED, LOOSE = 0.8, 0.5
"""A partner's correlation before, and the drop that counts as a break."""


@dataclass(frozen=True, kw_only=True)
class ChannelChange:
    """How a channel behaved in an interval, in its own unit; None where there are no readings.

    `before`, `during`, `after` are medians; the peak is the reading farthest from `before`. `deviations` is how far the
    telling value (the peak of a spike, the end of a drift, else the level during) lies from `before`, in robust standard
    deviations, signed. The rest justifies the kind: `spread_before` and `spread_during`; `period_before_s` and
    `period_during_s` for a frequency change; `partner` with `correlation_before` and `correlation_during` for a
    correlation break; `missing_share` of the interval.
    """

    kind: ChangeKind
    before: float | None
    during: float | None
    after: float | None
    peak_value: float | None
    peak_time_s: float | None
    deviations: float | None
    spread_before: float | None = None
    spread_during: float | None = None
    period_before_s: float | None = None
    period_during_s: float | None = None
    partner: str | None = None
    correlation_before: float | None = None
    correlation_during: float | None = None
    missing_share: float = 0.0


def describe_interval(series: Series, channel_index: int, first: int, last: int) -> ChannelChange:
    """Name the change of a channel in the steps [first, last] (inclusive) and give the numbers for it.

    Raises:
        BadInput: the channel or the interval lies outside the series.

    >>> values = np.zeros((200, 1), np.float32) + np.tile([0.0, 0.1], 100)[:, None].astype(np.float32)
    >>> values[120:160] += 5
    >>> change = describe_interval(Series(name="s", values=values, time_s=np.arange(200.0), channels=("a",)), 0, 120, 159)
    >>> change.kind, round(change.before, 2), round(change.during, 2), round(change.after, 2)
    ('level shift', 0.05, 5.05, 0.05)
    """
    steps, width = series.values.shape
    if not 0 <= channel_index < width:
        raise BadInput(f"series {series.name!r}: expected a channel number below {width}, got {channel_index!r}.")
    if not 0 <= first <= last < steps:
        raise BadInput(f"series {series.name!r}: expected steps 0 ≤ first ≤ last < {steps}, got {first!r} to {last!r}.")
    length = last - first + 1
    context = min(max(LEAST_CONTEXT, 2 * length), MOST_CONTEXT)
    column = series.values[:, channel_index].astype(np.float64)
    before, during, after = (
        column[max(0, first - context) : first],
        column[first : last + 1],
        column[last + 1 : last + 1 + context],
    )
    seen_before, seen, seen_after = _seen(before), _seen(during), _seen(after)
    base = seen_before if len(seen_before) >= LEAST_BASE else seen_after
    missing = 1.0 - len(seen) / length
    if len(seen) == 0 or len(base) == 0:
        # Nothing to compare: either silence, or the whole series is the interval.
        kind: ChangeKind = "missing" if missing > 0.5 else "unusual pattern"
        return ChannelChange(
            kind=kind, before=_median(seen_before), during=_median(seen), after=_median(seen_after), peak_value=None,
            peak_time_s=None, deviations=None, missing_share=missing,
        )  # fmt: skip
    level = float(np.median(base))
    spread = _spread(base, column)
    peak = int(np.nanargmax(np.abs(during - level)))
    facts: dict[str, float | str | None] = {
        "before": _median(seen_before), "during": float(np.median(seen)), "after": _median(seen_after),
        "peak_value": float(during[peak]), "peak_time_s": float(series.time_s[first + peak]), "spread_before": spread,
        "spread_during": _mad(seen), "missing_share": missing,
    }  # fmt: skip
    kind, telling, more = _kind(series, channel_index, first, last, base=base, seen=seen, level=level, spread=spread,
                                missing=missing, missing_before=float(np.isnan(before).mean()) if len(before) else 0.0,
                                peak=float(during[peak]))  # fmt: skip
    return ChannelChange(kind=kind, deviations=(telling - level) / spread, **{**facts, **more})  # type: ignore[arg-type]


def _kind(
    series: Series, channel: int, first: int, last: int, *, base: NDArray[np.float64], seen: NDArray[np.float64], level: float,
    spread: float, missing: float, missing_before: float, peak: float,
) -> tuple[ChangeKind, float, dict[str, float | str | None]]:  # fmt: skip
    """The kind, the telling value, and the numbers that only this kind has. Cheap and certain kinds are asked first."""
    middle = float(np.median(seen))
    if missing > 0.5 and missing_before < 0.2:
        return "missing", middle, {}
    still = len(seen) >= 5 and (_moves(seen) <= STILL or _longest_still(seen) >= MOSTLY * len(seen))
    if still and _moves(base) > 10 * STILL:
        return "flatline", middle, {}
    far = np.abs(seen - level) >= 0.5 * abs(peak - level)
    same_side = (seen - level) * np.sign(peak - level) > 0
    width = int((far & same_side).sum())
    usual = float(np.abs(base - level).max())
    stands_out = abs(peak - level) >= max(SPIKE * spread, 1.25 * usual)
    # Where all readings are wild, the wildest is no spike.
    rest = seen[~(far & same_side)]
    calm = len(rest) < 8 or _mad(rest) < UNREST * max(float(base.std()), 1e-12)
    if stands_out and calm and width <= max(SPIKE_STEPS, SPIKE_SHARE * len(seen)):
        return "spike", peak, {}
    slope = _line_beats_step(seen)
    if len(seen) >= 10 and slope is not None and abs(slope) * len(seen) >= LARGE * spread:
        return "drift", float(np.median(seen[-max(1, len(seen) // 10) :])), {}
    side = np.sign(middle - level)
    if abs(middle - level) >= LARGE * spread or (
        len(seen) >= 8 and abs(middle - level) >= 0.9 * usual and float(((seen - level) * side > spread).mean()) >= 0.8
    ):
        return "level shift", middle, {}
    periods = _periods(base, seen)
    if periods is not None:
        a, b = (p * series.period_s for p in periods)
        return "frequency change", middle, {"period_before_s": a, "period_during_s": b}
    unrest = float(seen.std()) / max(float(base.std()), 1e-12)
    if len(seen) >= 8 and unrest > UNREST:
        return "variation change", middle, {}
    broken = _broken_partner(series, channel, first, last)
    if broken is not None:
        name, r_before, r_during = broken
        return "correlation break", middle, {"partner": name, "correlation_before": r_before, "correlation_during": r_during}
    if len(seen) >= 8 and unrest < 1 / UNREST:
        return "variation change", middle, {}
    if stands_out and len(seen) < 8:
        return "level shift", middle, {}
    return "unusual pattern", peak, {}


def _seen(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[~np.isnan(values)]


def _median(values: NDArray[np.float64]) -> float | None:
    return float(np.median(values)) if len(values) else None


def _mad(values: NDArray[np.float64]) -> float:
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _spread(base: NDArray[np.float64], column: NDArray[np.float64]) -> float:
    """One deviation: of the surroundings; where more than half of them are equal, their standard deviation; then the channel's."""
    found = _mad(base)
    scale = 1e-6 * float(np.abs(base).max())
    for value in (found, float(base.std()), float(np.nanstd(column))):
        if value > scale:
            return value
    return max(scale, 1e-12)


def _moves(values: NDArray[np.float64]) -> float:
    """Share of steps that differ from the one before."""
    if len(values) < 2:
        return 1.0
    tolerance = 1e-6 * max(float(np.abs(values).max()), 1e-12)
    return float((np.abs(np.diff(values)) > tolerance).mean())


def _longest_still(values: NDArray[np.float64]) -> int:
    """Readings in the longest run that does not move.

    >>> _longest_still(np.array([1.0, 2.0, 2.0, 2.0, 3.0]))
    3
    """
    tolerance = 1e-6 * max(float(np.abs(values).max()), 1e-12)
    moving = np.concatenate([[True], np.abs(np.diff(values)) > tolerance, [True]])
    return int(np.diff(np.flatnonzero(moving)).max())


def _line_beats_step(values: NDArray[np.float64]) -> float | None:
    """The slope per step when a line explains the values well and better than the best single step does; else None."""
    n = len(values)
    total = float(((values - values.mean()) ** 2).sum())
    if n < 10 or total <= 0:
        return None
    x = np.arange(n) - (n - 1) / 2
    slope = float(x @ values) / float(x @ x)
    line = slope**2 * float(x @ x)
    sums = np.cumsum(values - values.mean())[:-1]
    cut = np.arange(1, n)
    stepped = float((sums**2 * (1 / cut + 1 / (n - cut))).max())
    return slope if line / total >= 0.6 and line > stepped else None


def _periods(base: NDArray[np.float64], seen: NDArray[np.float64]) -> tuple[float, float] | None:
    """(period before, period during) in steps when both repeat clearly and differ by at least a third."""
    if len(seen) < 16 or len(base) < 16:
        return None
    found = []
    for values in (base[-max(len(seen), 32) :], seen):
        x = np.arange(len(values))
        flat = values - np.polyval(np.polyfit(x, values, 1), x)
        power = np.abs(np.fft.rfft(flat * np.hanning(len(flat)))) ** 2
        power[:1] = 0.0
        top = int(np.argmax(power))
        share = power[max(0, top - 2) : top + 3].sum() / max(float(power.sum()), 1e-300)
        if share < 0.5 or top < 2:
            return None
        near = np.arange(max(1, top - 1), min(len(power), top + 2))
        found.append(len(values) / float((near * power[near]).sum() / power[near].sum()))
    low, high = sorted(found)
    return (found[0], found[1]) if high >= 4 / 3 * low else None


def _broken_partner(series: Series, channel: int, first: int, last: int) -> tuple[str, float, float] | None:
    """The channel that moved with this one before, and no longer does during the interval."""
    length = last - first + 1
    start = max(0, first - min(max(LEAST_CONTEXT, 4 * length), MOST_CONTEXT))
    if series.values.shape[1] < 2 or length < 8 or first - start < 20:
        return None
    r_before = _correlations(series.values[start:first], channel)
    r_during = _correlations(series.values[first : last + 1], channel)
    drop = np.where(np.abs(r_before) >= TIED, np.abs(r_before - r_during), 0.0)
    partner = int(np.argmax(np.abs(r_before) * (drop >= LOOSE)))
    if drop[partner] < LOOSE:
        return None
    return series.channels[partner], float(r_before[partner]), float(r_during[partner])


def _correlations(values: NDArray[np.float32], channel: int) -> NDArray[np.float64]:
    """Pearson correlation of `channel` with every channel, 0 where one does not move or readings are missing; itself 0."""
    x = values.astype(np.float64)
    x = x - x.mean(axis=0)
    size = np.sqrt((x**2).sum(axis=0))
    usable = np.isfinite(size) & (size > 1e-12)
    found = np.zeros(x.shape[1])
    if usable[channel]:
        found[usable] = (x[:, usable].T @ x[:, channel]) / (size[usable] * size[channel])
    found[channel] = 0.0
    return found
