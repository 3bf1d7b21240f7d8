"""Puts dates and clock times on the axis of a source that knows when it began. All times are UTC.

A clock time without a date means the same window on every day of the data; date words are read so that they fall into the data if
they can, and "yesterday" counts from the last day of the data (from the real one only when the data reach up to it).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from agent.question import SourceInfo, TimeRange
from agent.reading.time_marks import DAY, MONTH, WEEKDAYS, Mark
from agent.reading.time_words import Phrase

MOST_DAYS = 7
"""A daily window is read on each day up to this many, else on the last day only."""
SHORT = 1.5 * DAY
"""Up to this length "after 23:00" runs on to the end of the data instead of stopping at midnight."""
_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Ranges that an expression stands for in one source, whether they lie inside it, and what was guessed."""

    inside: bool
    ranges: tuple[TimeRange, ...] = ()
    notes: tuple[str, ...] = ()


def clock_text(epoch_s: float) -> str:
    """Date and time of a moment; without seconds where they are zero.

    >>> clock_text(90.0)
    '1970-01-01 00:01:30'
    """
    try:
        moment = _EPOCH + timedelta(seconds=epoch_s)
    except (OverflowError, ValueError):
        return f"{epoch_s:g} s"
    return moment.strftime("%Y-%m-%d %H:%M:%S" if moment.second else "%Y-%m-%d %H:%M")


def spell(source: SourceInfo, seconds: float) -> str:
    """Say a time of `source` as a person would: a date and clock time, minutes:seconds, or a row.

    >>> spell(SourceInfo(name="a", kind="series", time_base="clock", epoch_s=0.0), 60.0)
    '1970-01-01 00:01'
    >>> spell(SourceInfo(name="a", kind="video"), 75.0)
    '1:15'
    """
    if not math.isfinite(seconds):
        return "its end"
    if source.time_base == "index" and source.kind == "series":
        return f"row {seconds:g}"
    if source.epoch_s is not None and source.kind != "video":
        return clock_text(source.epoch_s + seconds)
    whole = round(seconds)
    hours = f"{whole // 3600}:{whole // 60 % 60:02d}" if whole >= 3600 else f"{whole // 60}"
    return f"{hours}:{whole % 60:02d}"


def clip(made: TimeRange, source: SourceInfo, duration: float) -> Placed:
    """Clip a range to [0, duration); say so when it lies outside."""
    if made.start_s >= duration or made.end_s <= 0:
        where = f"it runs from {spell(source, 0.0)} to {spell(source, duration)}"
        made = replace(made, end_s=max(made.start_s, made.end_s))  # "after" something behind the end
        return Placed(inside=False, ranges=(made,), notes=(f"{made.text!r} lies outside {source.name}: {where}.",))
    return Placed(inside=True, ranges=(replace(made, start_s=max(0.0, made.start_s), end_s=min(made.end_s, duration)),))


def of_day(mark: Mark) -> tuple[float, float]:
    """(seconds since midnight, width) of a mark read as a clock time."""
    if mark.kind == "bare":
        return mark.value * 3600.0, 60.0
    if mark.kind == "colon":
        return (mark.value * 60, 60.0) if mark.unit == "s" else (mark.value, 1.0)
    return mark.value, mark.width


def place_on_clock(phrase: Phrase, words: str, source: SourceInfo, now: float | None, *, every_day: bool = False) -> Placed:
    """Place dates and clock times in a source with known `epoch_s`; times without a date on `every_day` where that is wanted."""
    epoch = source.epoch_s or 0.0
    span = source.duration_s if source.duration_s is not None and math.isfinite(source.duration_s) else DAY
    days, notes = [], []
    for mark in (phrase.low, phrase.high):
        day = read_day(mark.day, epoch, span, now) if mark is not None and mark.day is not None else None
        if mark is not None and mark.day is not None and day is None:
            return Placed(inside=False, notes=(f"I could not read {mark.day!r} as a date.",))
        days.append(day)
        notes += [day[2].replace("{source}", source.name)] if day is not None and day[2] else []
    low, high = phrase.low, phrase.high
    ends_at = phrase.style == "range" and high is not None and high.kind in ("clock", "bare", "colon") and of_day(high)[1] == 60.0
    trim = 60.0 if ends_at else 0.0  # "between 3 and 5 pm" ends at 5 pm
    if days[0] is None:
        c0, width = of_day(low)
        c1 = c0 + width if high is None else sum(of_day(high)) - trim
        placed = _daily(phrase, c0, c1 if c1 > c0 else c1 + DAY, words, source, span, every_day)
        if (
            not placed.inside and low.kind in ("clock", "bare") and not low.meridiem and c1 <= DAY / 2
        ):  # "at half past two" by day
            later = _daily(phrase, c0 + DAY / 2, c1 + DAY / 2, words, source, span, every_day)
            placed = later if later.inside else placed
        return replace(placed, notes=(*notes, *placed.notes))
    start, start_end = _on_day(low, days[0])
    end_end = start_end if high is None else _on_day(high, days[1] or days[0])[1] - trim
    if end_end <= start:
        end_end += DAY
    windows = {"after": (start, epoch + span), "before": (epoch, start), "about": (start - _slack(low), start_end + _slack(low))}
    begin, stop = windows.get(phrase.style, (start, end_end))
    if phrase.style == "after" and low.kind == "date" and re.match(r"(?:after|past|later)", words):
        begin = start_end  # "after Monday" begins on Tuesday, "since Monday" on Monday
    placed = clip(_range(phrase, words, source, begin, stop), source, span)
    return replace(placed, notes=(*notes, *placed.notes))


def _slack(mark: Mark) -> float:
    return 900.0 if mark.kind != "date" else 0.0


def _range(phrase: Phrase, words: str, source: SourceInfo, start: float, end: float) -> TimeRange:
    epoch = source.epoch_s or 0.0
    point = phrase.style in ("at", "about") and phrase.low.kind in ("clock", "colon", "bare")
    return TimeRange(source=source.name, start_s=start - epoch, end_s=end - epoch, text=words, point=point)


def _on_day(mark: Mark, day: tuple[float, float, str]) -> tuple[float, float]:
    """(start, end) in epoch seconds of a dated mark."""
    if mark.kind == "date":
        return day[0], day[1]
    at, width = of_day(mark)
    return day[0] + at, day[0] + at + width


def _daily(phrase: Phrase, c0: float, c1: float, words: str, source: SourceInfo, span: float, every_day: bool) -> Placed:
    """The window [c0, c1) of the day on each day of the data (else at most MOST_DAYS, else the last)."""
    epoch = source.epoch_s or 0.0
    first, last = math.floor(epoch / DAY), math.floor((epoch + max(span - 1e-6, 0.0)) / DAY)
    if phrase.style == "about":
        c0, c1 = c0 - 900, c1 + 900
    short = span <= SHORT
    windows = []
    for day in range(max(first - 1, last - 400), last + 1):
        start, end = day * DAY + c0, day * DAY + c1
        if phrase.style == "after":
            end = epoch + span if short else (day + 1) * DAY
        elif phrase.style == "before":
            start, end = (epoch if short else day * DAY), start
        if start < epoch + span and end > epoch and end > start:
            windows.append((start, end))
    if short and phrase.style in ("after", "before"):
        edge = 0 if phrase.style == "after" else 1
        inside = [w for w in windows if epoch <= w[edge] <= epoch + span] or windows
        windows = inside[:1] if phrase.style == "after" else inside[-1:]
    if not windows:
        return clip(_range(phrase, words, source, last * DAY + c0, last * DAY + c1), source, span)
    notes = []
    days = last - first + 1
    if len(windows) > MOST_DAYS and not every_day:
        notes.append(f"{source.name} covers {days} days; I read {words!r} on the last of them. Name a date for another day.")
        windows = windows[-1:]
    elif len(windows) > 1:
        notes.append(f"I read {words!r} on each of {len(windows)} days in {source.name}.")
    elif phrase.style in ("range", "at", "about"):
        (day_name, start_text), (_, end_text) = (clock_text(t).split(" ", 1) for t in windows[0])
        said = start_text if phrase.style == "at" and phrase.low.kind != "day_part" else f"{start_text}–{end_text}"
        notes.append(f"I read {words!r} as {said} on {day_name}, {'the only day in' if days == 1 else 'a day of'} {source.name}.")
    ranges = tuple(r for w in windows for r in clip(_range(phrase, words, source, *w), source, span).ranges)
    return Placed(inside=True, ranges=ranges, notes=tuple(notes))


def read_day(words: str, epoch: float, span: float, now: float | None = None) -> tuple[float, float, str] | None:
    """(start, end) in seconds since 1970 and a note for date words, read so that they fall into the data if they can.

    `words`: "0", "-1" … (days back from the last day of the data), a weekday, or a written date. None when it is no date.

    >>> read_day("3 march", 1709251200.0, 5 * 86400.0)  # the data begin on 2024-03-01
    (1709424000.0, 1709510400.0, '')
    """
    last_day = math.floor((epoch + max(span - 1e-6, 0.0)) / DAY) * DAY
    if re.fullmatch(r"-?\d{1,4}", words):
        recent = now is not None and epoch <= now <= epoch + span + DAY
        day = (math.floor((now or 0.0) / DAY) * DAY if recent else last_day) + int(words) * DAY
        note = (
            "" if recent else f"I count days from the last one in {{source}}, so I read this as {clock_text(day).split(' ')[0]}."
        )
        return day, day + DAY, note
    if words == "weekend":
        saturday = read_day("saturday", epoch, span)
        return None if saturday is None else (saturday[0], saturday[1] + DAY, "")
    if words in WEEKDAYS:
        back = (math.floor(last_day / DAY) + 3 - WEEKDAYS.index(words)) % 7  # 1970-01-01 was a Thursday
        return last_day - back * DAY, last_day - (back - 1) * DAY, ""
    return _written(words, epoch, span)


def _written(words: str, epoch: float, span: float) -> tuple[float, float, str] | None:
    """A written date; of the readings (day or month first, year of the begin or end) the one that lies in the data."""
    from dateutil import parser

    try:
        begin, end = _EPOCH + timedelta(seconds=epoch), _EPOCH + timedelta(seconds=epoch + span)
    except OverflowError:
        return None
    text = re.sub(r"(?<=\d)(?:st|nd|rd|th)\b|\b(?:the|of)\b", " ", words).strip()
    year_first = bool(re.match(r"\d{4}", text))
    whole_month = bool(re.fullmatch(rf"{MONTH}(?: \d{{4}})?", text))
    if re.fullmatch(r"\d{4}", text):  # a whole year
        first, following = (datetime(int(text) + more, 1, 1, tzinfo=UTC).timestamp() for more in (0, 1))
        return first, following, ""
    readings: list[datetime] = []
    for day_first in (True, False):
        for year in dict.fromkeys((end.year, begin.year)):
            default = datetime(year, end.month, 1, tzinfo=UTC)
            try:
                readings.append(parser.parse(text, default=default, dayfirst=day_first and not year_first, yearfirst=year_first))
            except (ValueError, OverflowError):
                continue
    if not readings:
        return None
    low = begin.replace(day=1 if whole_month else begin.day, hour=0, minute=0, second=0, microsecond=0)
    chosen = next((r for r in readings if low <= r <= end), readings[0])
    note = f"I read {words!r} as {chosen:%Y-%m-%d}." if len({(r.month, r.day) for r in readings}) > 1 else ""
    start = (chosen - _EPOCH).total_seconds()
    length = DAY
    if whole_month:
        length = ((chosen.replace(day=1) + timedelta(days=32)).replace(day=1) - chosen.replace(day=1)).total_seconds()
    return start, start + length, note
