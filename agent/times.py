"""The time grammar: from words like "between 3 and 5 pm", "at 0:15" or "row 120 to 140" to seconds of a source.

`find_times` reads the expressions (`agent.reading.time_words`) and places each on every source's own time base: clock times need a
source whose start is known (`agent.reading.calendar`), "0:15" is minutes:seconds in a video and a clock time in dated data, frames
need a frame rate. What had to be guessed (the day, day or month first) is said in a note.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent.question import SourceInfo, TimeRange
from agent.reading.calendar import Placed, clip, place_on_clock, spell
from agent.reading.time_marks import DAY, Mark
from agent.reading.time_words import Phrase, phrases, share_day
from agent.reading.values import blank_values

__all__ = ["TimesFound", "find_times", "spell"]
ABOUT_SHARE = 0.1
"""The words "around 90 s" reach this share of 90 s to both sides, at least 2 s and at most 30 s."""
_SPAN_WORDS = re.compile(r"\b(?:seconds?|secs?|s|minutes?|mins?|hours?|hrs?|h|days?|weeks?)\b")


@dataclass(frozen=True, kw_only=True)
class TimesFound:
    """The time ranges of a question, the (start, end) character spans they were read from, and what had to be guessed."""

    times: tuple[TimeRange, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = ()


def find_times(
    text: str, sources: Sequence[SourceInfo], *, now: float | None = None, every_day: bool = False
) -> TimesFound:  # fmt: skip
    """Read every time expression of `text` (any case) against the timed ones among `sources`.

    A clock time without a date is read on each of a few days, of many on the last; on all of them with `every_day`.

    >>> clip = SourceInfo(name="yard.mp4", kind="video", duration_s=60.0, fps=25.0)
    >>> [(t.start_s, t.end_s) for t in find_times("what happens from 0:12 to 0:15?", [clip]).times]
    [(12.0, 16.0)]
    >>> [(t.start_s, t.end_s) for t in find_times("and in the last 10 seconds", [clip]).times]
    [(50.0, 60.0)]
    """
    lowered = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    lowered = re.sub("[\ue000-\uf8ff]", " ", lowered)  # the marks' own letters
    for source in sources:  # "was flow above 60 m3/h" names no sixty minutes
        lowered = blank_values(lowered, source)
    timed = [source for source in sources if source.timed]
    times: list[TimeRange] = []
    spans: list[tuple[int, int]] = []
    notes: list[str] = []
    for mention, phrase in enumerate(share_day(phrases(lowered), lowered)):
        words = lowered[phrase.a : phrase.b].strip()
        spans.append((phrase.a, phrase.b))
        placed = [p for p in (_place(phrase, words, source, now, every_day) for source in timed) if p is not None]
        best = [p for p in placed if p.inside] or placed
        times += [replace(r, mention=mention) for p in best for r in p.ranges]
        notes += [note for p in best for note in p.notes]
        if timed and not best:
            notes.append(f"I could not place {words!r} in {_named(timed)}: {_why_not(phrase, timed)}.")
    return TimesFound(times=tuple(times), spans=tuple(spans), notes=tuple(dict.fromkeys(notes)))


def _named(sources: Sequence[SourceInfo]) -> str:
    return ", ".join(source.name for source in sources[:3]) + (" …" if len(sources) > 3 else "")


def _why_not(phrase: Phrase, sources: Sequence[SourceInfo]) -> str:
    if phrase.low.kind == "count":
        return "such frames or rows are not counted there"
    if all(source.time_base == "index" and source.kind == "series" for source in sources):
        return "it has no time column, only rows"
    return "no date or clock time is known for it" if phrase.low.kind in ("clock", "date", "day_part") else "it does not fit"


def _place(phrase: Phrase, words: str, source: SourceInfo, now: float | None, every_day: bool) -> Placed | None:
    """The expression in one source, or None when the words mean nothing there."""
    duration = source.duration_s if source.duration_s is not None and not math.isnan(source.duration_s) else math.inf
    low, high = phrase.low, phrase.high
    if low.kind == "part" or (high is not None and high.kind == "part"):
        return _place_part(phrase, words, source, duration)
    if _on_clock(phrase, source, duration):
        return place_on_clock(phrase, words, source, now, every_day=every_day)
    start = _seconds(low, source)
    end = _seconds(high, source) if high is not None else start
    if start is None or end is None:
        return None
    turned = end[0] < start[0]
    if turned:
        start, end = end, start
    begin, stop = _spread(phrase, start, end, duration)
    counted = low.kind == "count"
    first, last = sorted((int(low.value), int((high or low).value))) if counted else (None, None)
    made = TimeRange(
        source=source.name, start_s=begin, end_s=stop, text=words, point=phrase.style in ("at", "about"), unit=low.unit if counted else "s",
        first=first, last=last,
    )  # fmt: skip
    placed = clip(made, source, duration)
    return replace(placed, notes=(*placed.notes, f"I took {words!r} the other way round.")) if turned else placed


def _spread(phrase: Phrase, start: tuple[float, float], end: tuple[float, float], duration: float) -> tuple[float, float]:
    """(start_s, end_s) of an expression from second/width `start` to second/width `end`."""
    if phrase.style == "after":
        return start[0], duration
    if phrase.style == "before":
        return 0.0, start[0]
    if phrase.style == "about":
        reach = max(start[1], min(30.0, max(2.0 if start[1] >= 0.5 else 0.0, ABOUT_SHARE * start[0])))
        return max(0.0, start[0] - reach), start[0] + start[1] + reach
    return start[0], end[0] + end[1]


def _seconds(mark: Mark, source: SourceInfo) -> tuple[float, float] | None:
    """(second, width) of a mark on the source's own axis, without any clock."""
    indexed = source.kind == "series" and source.time_base == "index"
    if mark.kind == "count":
        return _counted(mark, source, indexed)
    if mark.kind == "bare":
        return (mark.value, 1.0) if indexed or source.epoch_s is None or source.kind == "video" else None
    if indexed or mark.kind not in ("offset", "colon"):
        return None
    if mark.kind == "colon" and mark.unit == "s" and source.duration_s is not None and mark.value >= source.duration_s:
        longer = mark.value * 60  # 1:05 may be hours:minutes in a long recording
        return (longer, 60.0) if longer < source.duration_s else (mark.value, mark.width)
    return mark.value, mark.width


def _counted(mark: Mark, source: SourceInfo, indexed: bool) -> tuple[float, float] | None:
    """(second, width) of a frame of a video (from 0), a step of an index (its value) or a row of a table (from 1)."""
    if mark.unit == "frame" or source.kind == "video":
        return (
            (mark.value / source.fps, 1.0 / source.fps)
            if mark.unit == "frame" and source.kind == "video" and source.fps
            else None
        )
    if indexed:
        return mark.value, 1.0
    period = source.period_s or 1.0
    if source.row_s is not None:
        at = source.row_s(int(mark.value))
        return at, max(source.row_s(int(mark.value) + 1) - at, period)
    return ((mark.value - 1) * period, period) if source.kind == "series" else None


def _on_clock(phrase: Phrase, source: SourceInfo, duration: float) -> bool:
    """True when the words name clock times or dates and the source knows when it began."""
    if source.epoch_s is None:
        return False
    marks = [mark for mark in (phrase.low, phrase.high) if mark is not None]
    if any(mark.kind in ("clock", "date", "day_part") or mark.day is not None for mark in marks):
        return True
    if any(mark.kind not in ("colon", "bare") for mark in marks):
        return False
    if source.kind == "video":
        return all(mark.kind == "colon" for mark in marks) and max(mark.value for mark in marks) > duration
    return all(mark.value <= (24 if mark.kind == "bare" else 24 * 60 if mark.unit == "s" else DAY) for mark in marks)


def _place_part(phrase: Phrase, words: str, source: SourceInfo, duration: float) -> Placed | None:
    """Place parts ("the first minute", "from the start to 0:15") in a source of known length."""
    if math.isinf(duration):
        return None
    period = 1.0 / source.fps if source.kind == "video" and source.fps else source.period_s or 1.0
    ends: list[tuple[float, float]] = []
    for mark in (phrase.low, phrase.high):
        if mark is None:
            continue
        if mark.extent is None:
            at = _seconds(mark, source)
            if at is None:
                return None
            ends.append((at[0], at[0] + at[1]))
            continue
        if mark.unit != "s" and (mark.unit == "frame") != (source.kind == "video"):
            return None
        if mark.unit == "s" and source.kind == "series" and source.time_base == "index" and _SPAN_WORDS.search(words):
            return None
        ends.append(mark.extent(duration, period))
    start, end = ends[0][0], ends[-1][1]
    if phrase.style == "after":
        start, end = ends[0][1], duration
    elif phrase.style == "before":
        start, end = 0.0, ends[0][0]
    return clip(TimeRange(source=source.name, start_s=start, end_s=max(end, start), text=words), source, duration)
