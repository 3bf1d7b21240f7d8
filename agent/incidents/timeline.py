"""One timeline in UTC for everything found in files that know the time of day.

A series has a clock when its time column holds dates, a log when its events carry dates, a video when its container keeps the time at
which it was made. Findings of other files cannot be placed. What a clock rests on is kept (`Clock.rests_on`): stamps without a zone
are taken as UTC, and the creation time of a video as the moment of its first frame.

Detectors of series judge windows, so a stretch begins before the readings change. Where a spike or a level shift leads, the moment is
the part of the stretch in which its channel is beyond half of the way from its usual value to the peak (full width at half maximum).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.investigation import Finding, Investigation
from core.evidence import Interval
from core.samples import EventLog, Kind, Series, VideoClip
from readers.open import Source

Base: TypeAlias = Literal["stated", "assumed zone", "creation time"]
CLOCK_SLACK_S = 1.0
"""Stamps of logs and cameras are often whole seconds, and scores of a video are smoothed over half a second."""
_SUDDEN = frozenset(("spike", "dip", "level shift"))
"""Kinds of change that have one moment at which they set in."""


@dataclass(frozen=True, kw_only=True)
class Clock:
    """From when to when a source runs, in seconds since 1970 UTC, and what that rests on. Its own second 0 is at `epoch_s`.

    `judged` is True when a detector could tell what is normal in it, so that no finding means that nothing stands out.
    """

    source: str
    kind: Kind
    epoch_s: float
    start_s: float
    end_s: float
    rests_on: Base = "stated"
    judged: bool = False


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A finding on the timeline: [start_s, end_s) in seconds since 1970 UTC; the start is known to `slack_s`.

    `own_s` is the start in the source's own time; `by_readings` says that a stretch was narrowed to where its readings change;
    `deed` is the first thing done of a finding in a log: (row, sentence).
    """

    source: str
    kind: Kind
    evidence: str
    label: str
    start_s: float
    end_s: float
    own_s: float
    slack_s: float = CLOCK_SLACK_S
    severity_score: float = 0.0
    by_readings: bool = False
    deed: tuple[int, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Clocks in the order of the sources, moments by their start, and the sources without a clock, each with the reason.

    `videos` are the sources that are videos, whether they have a clock or not.
    """

    clocks: tuple[Clock, ...]
    moments: tuple[Moment, ...]
    unplaced: tuple[tuple[str, str], ...]
    videos: frozenset[str] = frozenset()

    def clock(self, source: str) -> Clock:
        """The clock of a source that has one."""
        return next(clock for clock in self.clocks if clock.source == source)


def timeline(sources: Sequence[Source], investigations: Mapping[str, Investigation]) -> Timeline:
    """Put the abnormal findings of every source that has a clock on one timeline.

    Args:
        sources: the open sources of a chat.
        investigations: what was found in them, by the source's name; a source that was not judged still has its clock.
    """
    clocks: list[Clock] = []
    moments: list[Moment] = []
    unplaced: list[tuple[str, str]] = []
    for source in sources:
        clock = clock_of(source)
        if isinstance(clock, str):
            unplaced.append((source.name, clock))
            continue
        inv = investigations.get(source.name)
        clocks.append(replace(clock, judged=inv is not None and inv.status != "insufficient"))
        found = [_moment(f, source, clock) for f in inv.findings if f.abnormal] if inv is not None else []
        moments += [moment for moment in found if moment is not None]
    moments.sort(key=lambda moment: (moment.start_s, moment.source))
    return Timeline(clocks=tuple(clocks), moments=tuple(moments), unplaced=tuple(unplaced),
                    videos=frozenset(source.name for source in sources if source.kind == "video"))  # fmt: skip


def clock_of(source: Source) -> Clock | str:
    """The clock of a source, or why it has none, as the end of a sentence that begins with its name."""
    if source.kind in ("image", "points"):
        return "holds pictures without a time"
    sample = source.samples[0]
    assert isinstance(sample, Series | EventLog | VideoClip)
    if sample.epoch_s is None or (isinstance(sample, Series) and sample.time_base != "clock"):
        undated = any("without a date" in note for note in sample.notes)
        return "gives times of day but no date" if undated else "has no clock"
    first, last = _extent(sample)
    rests_on: Base = "creation time" if isinstance(sample, VideoClip) else "stated"
    if any("carry no zone" in note for note in sample.notes):
        rests_on = "assumed zone"
    return Clock(source=source.name, kind=source.kind, epoch_s=sample.epoch_s, start_s=sample.epoch_s + first,
                 end_s=sample.epoch_s + last, rests_on=rests_on)  # fmt: skip


def _extent(sample: Series | EventLog | VideoClip) -> tuple[float, float]:
    """(first, last) second of a sample in its own time."""
    if isinstance(sample, VideoClip):
        return 0.0, sample.duration_s
    if isinstance(sample, Series):
        return float(sample.time_s[0]), float(sample.time_s[-1]) + sample.period_s
    seconds = sample.table["time_s"].drop_nans().drop_nulls().to_numpy()
    return (float(seconds.min()), float(seconds.max())) if len(seconds) else (0.0, 0.0)


def _moment(finding: Finding, source: Source, clock: Clock) -> Moment | None:
    """Where a finding lies on the timeline; None for one that has no time."""
    evidence, sample, slack = finding.evidence, source.samples[0], CLOCK_SLACK_S
    facts: Any = evidence.facts
    deed, narrowed = None, False
    if isinstance(evidence.locus, Interval):
        start, end = evidence.locus.start_s, evidence.locus.end_s
        if isinstance(sample, Series):
            start, end = _set_in(finding, sample)
            narrowed = (start, end) != (evidence.locus.start_s, evidence.locus.end_s) and facts["kind"] in _SUDDEN
            slack += sample.period_s
    elif facts.get("first_s") is not None:
        start, end = float(facts["first_s"]), float(facts["last_s"])
        told = (facts.get("did") or [])[int(facts.get("hangs_on") or 0) :]
        deed = (int(told[0][0]), str(told[0][2])) if told else None
    else:
        return None
    return Moment(
        source=source.name, kind=source.kind, evidence=evidence.id, label=finding.label, start_s=clock.epoch_s + start,
        end_s=clock.epoch_s + max(start, end), own_s=start, slack_s=slack, severity_score=finding.severity_score, deed=deed,
        by_readings=narrowed,
    )  # fmt: skip


def _set_in(finding: Finding, series: Series) -> tuple[float, float]:
    """(start, end) seconds in which the leading channel of a stretch is beyond half of its way to the peak; else the stretch."""
    locus = finding.evidence.locus
    facts: Any = finding.evidence.facts
    assert isinstance(locus, Interval)
    change = next(iter(facts.get("changes") or ()), None)
    if change is None or change["channel"] not in series.channels:
        return locus.start_s, locus.end_s
    if facts.get("kind") == "flatline" and "still_from_s" in facts:
        return float(facts["still_from_s"]), float(facts["still_to_s"])
    if facts.get("kind") not in _SUDDEN or change["before"] is None or change["peak"] is None:
        return locus.start_s, locus.end_s
    rows = np.flatnonzero((series.time_s >= locus.start_s) & (series.time_s < locus.end_s))
    beyond = beyond_half(series, change["channel"], rows, before=float(change["before"]), peak=float(change["peak"]))
    if not len(beyond):
        return locus.start_s, locus.end_s
    return float(series.time_s[beyond[0]]), float(series.time_s[beyond[-1]]) + series.period_s


def beyond_half(series: Series, channel: str, rows: NDArray[np.int64], *, before: float, peak: float) -> NDArray[np.int64]:
    """Those of some rows in which a channel is beyond half of the way from `before` to `peak`.

    >>> values = np.array([[1.0], [2.0], [9.0], [6.0], [1.0]], np.float32)
    >>> beyond_half(Series(name="s", values=values, time_s=np.arange(5.0), channels=("a",)), "a", np.arange(5), before=1, peak=9).tolist()
    [2, 3]
    """
    way = peak - before
    if way == 0:
        return rows[:0]
    values = series.values[rows, series.channels.index(channel)].astype(np.float64)
    beyond: NDArray[np.int64] = rows[(values - before) * np.sign(way) >= abs(way) / 2]
    return beyond
