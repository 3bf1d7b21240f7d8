"""Score curves as faces draw them: long curves thinned without losing a peak, times in words, and a still SVG for reports.

Axes: `seconds` (T,) from the start of the source, `scores` (T,) raw, higher = stranger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

MAX_POINTS = 2_000
"""More points than this cannot be told apart on a screen."""


def thin(seconds: Sequence[float] | NDArray[np.float64], values: Sequence[float] | NDArray[np.float64],
         points: int = MAX_POINTS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Keep at most about `points` of (seconds, values), the lowest and the highest of every bin: peaks survive.

    NaN (nothing measured) is kept as a gap where a whole bin is NaN.

    >>> t, v = thin(np.arange(10_000.0), np.where(np.arange(10_000) == 7_777, 9.0, 0.0), points=100)
    >>> len(t) <= 102, float(v.max()), float(t[v.argmax()])
    (True, 9.0, 7777.0)
    """
    times, numbers = np.asarray(seconds, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if len(times) <= points:
        return times, numbers
    kept: list[int] = [0]
    edges = np.linspace(0, len(times), max(1, points // 2) + 1).astype(int)
    for first, end in pairwise(edges):
        part = numbers[first:end]
        known = np.flatnonzero(~np.isnan(part))
        if len(known) == 0:
            kept.append(int(first))
            continue
        low, high = known[np.argmin(part[known])], known[np.argmax(part[known])]
        kept.extend(sorted({int(first + low), int(first + high)}))
    kept.append(len(times) - 1)
    chosen = np.unique(kept)
    return times[chosen], numbers[chosen]


def time_text(seconds: float, unit: str = "s", epoch_s: float | None = None) -> str:
    """Say a time the way people read it: 0:12.5, 1:02:03, row 40, or the clock in UTC.

    >>> time_text(12.5), time_text(3723), time_text(40, "step"), time_text(60, "clock", 0.0)
    ('0:12.5', '1:02:03', 'row 40', '1970-01-01 00:01:00')
    """
    if unit == "step":
        return f"row {seconds:.0f}"
    if unit == "clock" and epoch_s is not None:
        return datetime.fromtimestamp(epoch_s + seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    tenths = round(seconds * 10)
    whole, tenth = divmod(abs(tenths), 10)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    text = f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
    return ("-" if tenths < 0 else "") + text + (f".{tenth}" if tenth else "")


def axis_ticks(first: float, last: float, unit: str = "s", count: int = 6) -> list[float]:
    """Round positions between `first` and `last` for a time axis: whole seconds, minutes, hours, or round row numbers.

    >>> axis_ticks(0, 61)
    [0.0, 15.0, 30.0, 45.0, 60.0]
    """
    span = max(last - first, 1e-9)
    clock = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400]
    steps = clock if unit != "step" else [m * 10**e for e in range(9) for m in (1, 2, 5)]
    fitting = [step for step in steps if span / step <= count]
    step = fitting[0] if fitting else 86400 * float(np.ceil(span / 86400 / count))
    start = float(np.ceil(first / step) * step)
    return [round(start + i * step, 6) for i in range(int((last - start) / step + 1e-9) + 1)]


def curve_svg(data: Mapping[str, Any], caption: str, *, width: int = 860, height: int = 220) -> str:
    """Draw a curve panel's `data` as a self-contained SVG: line, threshold, shaded events, time axis; "" without points."""
    times, scores = thin(data.get("seconds", ()), data.get("scores", ()), 900)
    usable = np.isfinite(scores)
    if not usable.any():
        return ""
    unit, epoch = str(data.get("unit", "s")), data.get("epoch_s")
    threshold = data.get("threshold")
    left, right, top, bottom = 8.0, width - 8.0, 14.0, height - 26.0
    low, high = float(scores[usable].min()), float(scores[usable].max())
    if threshold is not None:
        low, high = min(low, float(threshold)), max(high, float(threshold))
    first, last = float(times[0]), float(times[-1])

    def x(value: float) -> float:
        return left + (min(max(value, first), last) - first) / max(last - first, 1e-9) * (right - left)

    def y(value: float) -> float:
        return bottom - (value - low) / max(high - low, 1e-9) * (bottom - top)

    parts = [f'<svg class="tt-svg" viewBox="0 0 {width} {height}" role="img" aria-label={quoteattr(caption)}>']
    for event in data.get("events", ()):
        start, end = x(float(event["start_s"])), x(float(event["end_s"]))
        words = f"{event.get('evidence', '')} {event.get('label', '')}".strip()
        parts.append(
            f'<rect class="tt-event" x="{start:.1f}" y="{top}" width="{max(2.0, end - start):.1f}" height="{bottom - top:.1f}">'
            f"<title>{escape(words)}</title></rect>"
        )
    pieces: list[list[str]] = [[]]
    for time, score in zip(times, scores, strict=True):
        if np.isfinite(score):
            pieces[-1].append(f"{x(float(time)):.1f},{y(float(score)):.1f}")
        elif pieces[-1]:
            pieces.append([])
    parts += [f'<polyline class="tt-line" points="{" ".join(piece)}"/>' for piece in pieces if piece]
    if threshold is not None:
        level = y(float(threshold))
        parts.append(f'<line class="tt-threshold" x1="{left}" x2="{right}" y1="{level:.1f}" y2="{level:.1f}"/>')
    for tick in axis_ticks(first, last, unit, 5 if unit == "clock" else 8):
        words = time_text(tick, unit, epoch)
        anchor = "start" if x(tick) < 40 else "end" if x(tick) > width - 60 else "middle"
        parts.append(f'<text class="tt-tick" x="{x(tick):.1f}" y="{height - 8}" text-anchor="{anchor}">{escape(words)}</text>')
    parts.append("</svg>")
    return "".join(parts)
