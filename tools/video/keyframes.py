"""Which moments of a clip to look at: before, during and after what is unusual, where the scores and the pictures change.

Source: context-aware keyframe extraction after VADER (arXiv 2511.07299; its program is not public, the numbers are ours); moments inside an
event after the anomaly-focused sampler of Holmes-VAU (arXiv 2412.06171): equal steps of the summed scores instead of equal
steps of time, so that strange stretches are seen often and quiet ones seldom, but are seen.

Axes and units: unit scores (T,) with their centres in seconds (T,); moments in seconds, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.samples import VideoClip
from core.segments import Segment

Role: TypeAlias = Literal["before", "start", "during", "peak", "end", "after"]
Changes: TypeAlias = Callable[[float, float], tuple[NDArray[np.float64], NDArray[np.float64]]]
"""(from, to in seconds) → moments (n,) and how much the picture changes there (n,)."""

BUDGET, LEAST = 8, 5
"""Moments of all events of a clip together, and of each one at least: five show before, start, peak, end and after."""
SHARE, SHORTEST_S, LONGEST_S = 0.5, 2.0, 10.0
"""Context on either side: this part of the event's length, between these bounds."""
QUIET = 0.1
"""Added to every score, so that moments without one are looked at too."""
APART_S = 0.25
"""Moments nearer than this show the same."""
WAYS = ("context", "uniform", "top")
"""Values of TELLTALE_KEYFRAMES: context-aware; evenly over the clip, whatever its scores; the highest scores, without any context."""
THUMBNAIL, RATE = 32, 5.0
"""Longest side in pixels and pictures per second that changes are measured on."""


@dataclass(frozen=True)
class Moment:
    """A moment to look at and what it shows of its event."""

    time_s: float
    role: Role


def by_scores(scores: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """Numbers (count,) of units at equal steps of the summed scores; evenly in time where there are few units or hardly a score.

    >>> scores = np.zeros(40)
    >>> scores[20:25] = 0.9
    >>> by_scores(scores, 8).tolist()
    [10, 19, 21, 22, 23, 24, 25, 35]
    """
    units = len(scores)
    if units <= count or scores.sum() < 1:
        return np.asarray(np.rint(np.linspace(0, units - 1, count)).astype(np.int64))
    summed = np.concatenate([[0.0], np.cumsum(scores + QUIET)])
    steps = np.linspace(1, np.rint(summed[-1]), count)
    return np.asarray(np.interp(steps, summed, np.arange(units + 1)).astype(np.int64).clip(0, units - 1))


def budgets(events: Sequence[Segment], unit_s: float, total: int = BUDGET) -> list[int]:
    """Moments per event: in proportion to its summed scores, and at least LEAST."""
    weights = np.array([max(event.mean, 0.0) * max(event.end_s - event.start_s, unit_s) for event in events])
    shares = weights / weights.sum() if weights.sum() > 0 else np.full(len(events), 1 / max(1, len(events)))
    return [max(LEAST, round(total * float(share))) for share in shares]


def moments(
    event: Segment, seconds: NDArray[np.floating], scores: NDArray[np.floating], *,
    count: int, duration_s: float, others: Sequence[Segment] = (), changes: Changes | None = None, way: str = WAYS[0],
) -> list[Moment]:  # fmt: skip
    """Moments of one event, a quarter of them before it, a quarter after, in order.

    Args:
        event: start, peak and end are always among the moments.
        seconds: centres (T,) of the clip's units.
        scores: their scores (T,).
        count: about how many moments; fewer where they would show the same.
        duration_s: of the clip.
        others: the clip's other events, which end the context.
        changes: how much the picture changes; half of the context's moments are then those of the largest change.
        way: one of `WAYS`; the other two are there to be compared with.
    """
    if way != "context":
        times = (
            _evenly(duration_s, count) if way == "uniform" else seconds[np.argsort(-scores, kind="stable")[: 4 * count]].tolist()
        )
        return _apart([Moment(float(t), _role(float(t), event)) for t in times], most=count)
    start, end = max(event.start_s, 0.0), min(event.end_s, duration_s)
    reach = min(max(SHARE * (end - start), SHORTEST_S), LONGEST_S)
    low = max([0.0, start - reach, *(min(other.end_s, start) for other in others if other.peak_s < event.peak_s)])
    high = min([duration_s, end + reach, *(max(other.start_s, end) for other in others if other.peak_s > event.peak_s)])
    quarter = max(1, count // 4)
    before = _context(low, start, quarter, changes) if start - low >= APART_S else []
    after = _context(end, high, quarter, changes) if high - end >= APART_S else []
    found = [Moment(start, "start"), Moment(min(max(event.peak_s, start), end), "peak"), Moment(end, "end")]
    found += [Moment(t, "before") for t in before] + [Moment(t, "after") for t in after]
    inside = np.flatnonzero((seconds > start) & (seconds < end))
    if len(inside) and len(found) < count:
        above = np.clip(scores[inside], 0, None)
        chosen = by_scores(above / max(float(above.max()), 1e-12), count - len(found))
        found += [Moment(float(seconds[inside[int(i)]]), "during") for i in chosen]
    return _apart(found)


def _context(low: float, high: float, count: int, changes: Changes | None) -> list[float]:
    """Half of the moments evenly in a stretch, half where the picture changes most."""
    even = count if changes is None else -(-count // 2)
    found = [low + (high - low) * (k + 0.5) / even for k in range(even)]
    if changes is not None and even < count:
        times, amounts = changes(low, high)
        for index in np.argsort(-amounts, kind="stable"):
            if len(found) == count:
                break
            if all(abs(float(times[index]) - other) >= APART_S for other in found):
                found.append(float(times[index]))
    return found


def _evenly(duration_s: float, count: int) -> list[float]:
    return [duration_s * (k + 0.5) / count for k in range(count)]


def _role(time_s: float, event: Segment) -> Role:
    return "before" if time_s < event.start_s else "after" if time_s > event.end_s else "during"


def _apart(found: Sequence[Moment], most: int | None = None) -> list[Moment]:
    """In order, at most `most`, without those that show the same as one that matters more: peak, start, end, then as they come."""
    rank = {"peak": 0, "start": 1, "end": 2}
    kept: list[Moment] = []
    for moment in sorted(found, key=lambda m: rank.get(m.role, 3)):
        if len(kept) == most:
            break
        if all(abs(moment.time_s - other.time_s) >= APART_S for other in kept):
            kept.append(moment)
    return sorted(kept, key=lambda m: m.time_s)


def picture_changes(clip: VideoClip) -> Changes:
    """Mean difference of grey between successive small pictures of a clip, decoded where it is asked for."""

    def changes(low: float, high: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        times, amounts = [], []
        before = None
        for frame in clip.frames(start_s=low, end_s=high, step=max(1, round(clip.fps / RATE)), max_side=THUMBNAIL):
            small = frame.rgb.astype(np.float64).mean(axis=2)
            if before is not None and before.shape == small.shape:
                times.append(frame.time_s)
                amounts.append(float(np.abs(small - before).mean()))
            before = small
        return np.array(times), np.array(amounts)

    return changes
