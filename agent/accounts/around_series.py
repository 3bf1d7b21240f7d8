"""Around a stretch of a sensor series: which channel changed first, which followed, where the leading one went, what may excuse it.

When a channel changes is when it is beyond half of its way from its usual value to its extreme (full width at half maximum), which only
sudden changes have. Another channel counts as going before or following when it sets in inside the stretch, more than one step of the
series apart, and goes where it does not go otherwise: many channels move all day without any meaning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.accounts.context import observed
from agent.examine.standstill import Standstill, standstills
from agent.incidents.timeline import beyond_half
from agent.investigation import Finding
from agent.lookups.readings import length_said
from agent.telling.words import count
from core.evidence import Evidence, Interval
from core.samples import Series
from tools.series.describe import ChannelChange, describe_interval

SUDDEN = frozenset(("spike", "level shift", "drift"))
"""Kinds of change with a moment at which they set in; a spike may point down."""
BACK = 0.25
"""Part of its way that a channel may still be away from a level to count as being there."""
REACHED = 0.9
"""Part of the way from the usual value to the extreme from which another reading is called as far out."""
SETTLED_ROWS = 5
"""Readings after a stretch from which it is told where the channel went."""
FOLLOWERS = 2
GAP_STEPS = 3
"""A pause of more steps than this between two readings is a gap; one within so many rows of a stretch is told with it."""


@dataclass(frozen=True, kw_only=True)
class _Change:
    """A blamed channel: how it changed, and in which row it set in."""

    channel: str
    change: ChannelChange
    onset: int


def around(series: Series, finding: Finding, others: Sequence[Finding], normals: Sequence[Series]) -> list[Evidence]:
    """Unnumbered evidence of what was measured around a finding; `others` are the abnormal findings of the series."""
    locus = finding.evidence.locus
    if not isinstance(locus, Interval) or not locus.channels:
        return []
    first, last = _rows(series, locus)
    changes = {
        c: describe_interval(series, series.channels.index(c), first, last) for c in locus.channels if c in series.channels
    }
    lead = locus.channels[0]
    if lead not in changes:
        return []
    view = _View(series, finding, first, last, others, normals)
    found = [*view.order(lead, changes), *view.afterwards(lead, changes[lead])]
    return [
        *found,
        *view.gap(lead),
        *view.lone_reading(lead, changes[lead]),
        *view.still(lead),
        *view.reached(lead, changes[lead]),
    ]


def _rows(series: Series, locus: Interval) -> tuple[int, int]:
    """(first, last) row of a stretch."""
    inside = np.flatnonzero((series.time_s >= locus.start_s) & (series.time_s < locus.end_s - series.period_s / 2))
    return (int(inside[0]), int(inside[-1])) if len(inside) else (int(np.searchsorted(series.time_s, locus.start_s)),) * 2


class _View:
    """One stretch [first, last] of a series, beside its other findings and the normal series."""

    def __init__(
        self, series: Series, finding: Finding, first: int, last: int, others: Sequence[Finding], normals: Sequence[Series]
    ) -> None:
        self.series, self.finding, self.first, self.last = series, finding, first, min(last, len(series.time_s) - 1)
        self.normals = normals
        self.quiet = np.ones(len(series.time_s), np.bool_)
        for other in (finding, *others):
            if isinstance(other.evidence.locus, Interval):
                start, end = other.evidence.locus.start_s, other.evidence.locus.end_s
                self.quiet &= ~((series.time_s >= start) & (series.time_s < end))
        self.base: dict[str, Any] = {"time_base": series.time_base, "epoch_s": series.epoch_s}
        self.unit = "steps" if series.time_base == "index" else "s"

    def order(self, lead: str, changes: dict[str, ChannelChange]) -> Iterator[Evidence]:
        """The blamed channel that set in before the leading one, and those that followed it."""
        own = self._onset(lead, changes[lead])
        if own is None:
            return
        candidates = [
            c for name, change in changes.items() if (c := self._onset(name, change)) is not None and c.onset > self.first
        ]
        set_in = [c for c in candidates if c.channel != lead and not self._usual(c)]
        earlier = sorted((c for c in set_in if c.onset < own.onset - 1), key=lambda c: c.onset)[:1]
        later = sorted((c for c in set_in if c.onset > own.onset + 1), key=lambda c: c.onset)[:FOLLOWERS]
        for role, chosen in (("before", earlier), ("after", later)):
            if chosen:
                yield self._observed(
                    role, "channel first" if role == "before" else "channels followed", [c.channel for c in chosen] + [lead],
                    {"lead": lead, "lead_s": self._at(own.onset), "others": [self._told(c, own) for c in chosen]},
                    offset=self._at(chosen[0].onset) - self._at(own.onset),
                )  # fmt: skip

    def afterwards(self, lead: str, change: ChannelChange) -> Iterator[Evidence]:
        """Whether the leading channel went back to its usual value after the stretch, or stays away; when a stuck one moves again."""
        column = self.series.channels.index(lead)
        run = self._standstill(lead)
        end = self.last if run is None else run.last
        rest = self.series.values[end + 1 :, column]
        if (~np.isnan(rest)).sum() < SETTLED_ROWS:
            return
        facts: dict[str, Any] = {"channel": lead, "from_s": self._at(end + 1)}
        if run is not None:
            facts["fate"] = "moves"
        elif (far := _farthest(change)) is not None and change.before is not None and change.after is not None:
            left = (change.after - change.before) / (far - change.before)
            facts |= {"fate": "back" if abs(left) <= BACK else "stays" if left >= 1 - BACK else "part", "before": _six(change.before),
                      "after": _six(change.after), "channel_unit": self.series.units[column]}  # fmt: skip
        else:
            return
        yield self._observed("after", "afterwards", [lead], facts, offset=self._at(end + 1) - self._at(self.first))

    def gap(self, lead: str) -> Iterator[Evidence]:
        """Readings that are missing inside the stretch or right before it."""
        near = np.arange(max(0, self.first - GAP_STEPS), self.last + 1)
        values = self.series.values[near, self.series.channels.index(lead)]
        missing = near[np.isnan(values)]
        pauses = near[1:][np.diff(self.series.time_s[near]) > GAP_STEPS * self.series.period_s]
        if self.series.time_base != "index" and len(pauses):
            start, end = self._at(int(pauses[0]) - 1), self._at(int(pauses[0]))
            facts = {"channel": "", "from_s": start, "to_s": end, "length": length_said(end - start, 0, "clock")}
            yield self._observed("excuse", "gap", [lead], facts)
        elif len(missing) and self.finding.evidence.facts.get("kind") != "missing":
            facts = {
                "channel": lead,
                "from_s": self._at(int(missing[0])),
                "to_s": self._at(int(missing[-1])),
                "rows": len(missing),
            }
            yield self._observed("excuse", "gap", [lead], facts)

    def lone_reading(self, lead: str, change: ChannelChange) -> Iterator[Evidence]:
        """A single reading that is out, as a fault of the transmission makes it."""
        if change.kind != "spike" or change.before is None or change.peak_value is None:
            return
        rows = np.arange(self.first, self.last + 1)
        beyond = beyond_half(self.series, lead, rows, before=change.before, peak=change.peak_value)
        if len(beyond) == 1:
            yield self._observed(
                "excuse", "lone reading", [lead], {"channel": lead, "readings": 1, "at_s": self._at(int(beyond[0]))}
            )

    def still(self, lead: str) -> Iterator[Evidence]:
        """A channel that repeats one value while others go on moving: the sensor may hang."""
        run, column = self._standstill(lead), self.series.channels.index(lead)
        if run is None:
            return
        part = self.series.values[run.first : run.last + 1]
        with np.errstate(invalid="ignore"):
            moving = [i for i in range(part.shape[1]) if i != column and (np.abs(np.diff(part[:, i])) > 0).mean() > 1 / 2]
        if moving:
            facts = {"channel": lead, "readings": run.rows, "moving": len(moving), "of": part.shape[1] - 1}
            yield self._observed("excuse", "stuck", [lead], facts)

    def reached(self, lead: str, change: ChannelChange) -> Iterator[Evidence]:
        """How often the leading channel is as far out where nothing was found, in this series and in the normal ones."""
        here, normal = self._elsewhere(lead, change)
        far, unit = _farthest(change), self.series.units[self.series.channels.index(lead)]
        if far is None or change.before is None or not (len(here) or normal):
            return
        facts: dict[str, Any] = {"channel": lead, "level": _six(_level(change.before, far)), "channel_unit": unit,
                                 "up": far > change.before, "here": len(here), "normal": normal}  # fmt: skip
        if len(here):
            facts["at_s"] = self._at(int(here[0]))
        yield self._observed("excuse", "reached before", [lead], facts)

    def _elsewhere(self, channel: str, change: ChannelChange) -> tuple[NDArray[np.int64], int]:
        """First rows of the times at which a channel is as far out where nothing was found, and how many there are in the normal series."""
        far = _farthest(change)
        if far is None or change.before is None:
            return np.zeros(0, np.int64), 0
        level, up = _level(change.before, far), far > change.before
        here = _starts(_beyond(self.series, channel, level, up=up) & self.quiet)
        return here, sum(len(_starts(_beyond(n, channel, level, up=up))) for n in self.normals if channel in n.channels)

    def _usual(self, one: _Change) -> bool:
        """True when a channel goes as far also where nothing was found."""
        here, normal = self._elsewhere(one.channel, one.change)
        return bool(len(here) or normal)

    def _standstill(self, lead: str) -> Standstill | None:
        """The longest standstill of a flatline's channel."""
        if self.finding.evidence.facts.get("kind") != "flatline":
            return None
        runs = [
            r for r in standstills(self.series, self.series.channels.index(lead)) if r.first <= self.last and r.last >= self.first
        ]
        return max(runs, key=lambda run: run.rows, default=None)

    def _onset(self, channel: str, change: ChannelChange) -> _Change | None:
        """Where a channel is first beyond half of its way to its extreme."""
        if change.kind not in SUDDEN or change.before is None or change.peak_value is None:
            return None
        rows = np.arange(self.first, self.last + 1)
        beyond = beyond_half(self.series, channel, rows, before=change.before, peak=change.peak_value)
        return _Change(channel=channel, change=change, onset=int(beyond[0])) if len(beyond) else None

    def _told(self, one: _Change, lead: _Change) -> dict[str, Any]:
        """Another channel's change as facts, with how long lies between it and the leading channel's."""
        down = (one.change.deviations or 0.0) < 0
        kind = "dip" if one.change.kind == "spike" and down else one.change.kind
        apart = abs(self._at(one.onset) - self._at(lead.onset))
        return {
            "channel": one.channel, "kind": kind, "unit": self.series.units[self.series.channels.index(one.channel)],
            "before": _six(one.change.before), "peak": _six(one.change.peak_value), "at_s": self._at(one.onset),
            "lag": count(abs(one.onset - lead.onset), "step") if self.series.time_base == "index" else length_said(apart, 0, "clock"),
        }  # fmt: skip

    def _observed(
        self, role: Any, what: str, channels: list[str], facts: dict[str, Any], *, offset: float | None = None
    ) -> Evidence:
        locus = self.finding.evidence.locus
        assert isinstance(locus, Interval)
        where = Interval(
            sample=locus.sample, start_s=locus.start_s, end_s=locus.end_s, peak_s=locus.peak_s, channels=tuple(channels)
        )
        return observed(role, what, self.finding.evidence.source, where, {**self.base, **facts}, offset=offset, unit=self.unit)

    def _at(self, row: int) -> float:
        return float(self.series.time_s[row])


def _farthest(change: ChannelChange) -> float | None:
    """Where a sudden change leads: a spike to its peak, another to its level; None for any other kind, and where it leads nowhere."""
    far = change.peak_value if change.kind == "spike" else change.during
    return far if change.kind in SUDDEN and far != change.before else None


def _level(before: float, far: float) -> float:
    return before + REACHED * (far - before)


def _beyond(series: Series, channel: str, level: float, *, up: bool) -> NDArray[np.bool_]:
    """Mask of the readings at least as far out as a level; missing ones never are."""
    values = series.values[:, series.channels.index(channel)].astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(values >= level if up else values <= level, np.bool_)


def _starts(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """First rows of the runs of a mask.

    >>> _starts(np.array([True, True, False, True])).tolist()
    [0, 3]
    """
    return np.flatnonzero(mask & ~np.r_[False, mask[:-1]])


def _six(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(f"{value:.6g}")
