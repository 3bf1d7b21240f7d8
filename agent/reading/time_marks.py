"""The single time expressions of a question: dates, clock times, offsets, frames, rows and parts, each as a pattern and a `Mark`.

`agent.reading.time_words` finds them in a text and joins them by the words between.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

DAY = 86400.0
Kind: TypeAlias = Literal["offset", "colon", "clock", "date", "count", "bare", "part", "day_part"]
Extent: TypeAlias = Callable[[float, float], tuple[float, float]]
"""(duration, period) of a source -> (start, end) of a part of it."""


@dataclass(frozen=True)
class Mark:
    """One marked expression at text[a:b]; `value`/`width` in seconds (offset, clock: since midnight), or a frame/row number."""

    kind: Kind
    a: int
    b: int
    value: float = 0.0
    width: float = 1.0
    unit: Literal["s", "frame", "row"] = "s"
    day: str | None = None  # date words, resolved against a source
    extent: Extent | None = None
    meridiem: bool = False


_WORDS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "ninety": 90,
    "couple of": 2, "a": 1, "an": 1,
}  # fmt: skip
_ORDINALS = {"first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4, "fifth": 5, "5th": 5}
_NUMBER = r"(?:\d{1,9}(?:\.\d{1,6})?|" + "|".join(w for w in _WORDS if w not in ("a", "an")) + r")"
_SECONDS = {
    "ms": 0.001, "mil": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "hr": 3600.0, "hou": 3600.0, "day": DAY,
    "wee": 7 * DAY,
}  # fmt: skip
_UNIT = r"(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|weeks?)"
_LONG_UNIT = r"(?:seconds?|secs?|s|minutes?|mins?|hours?|hrs?|h|days?|weeks?)"
MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?"
    r"|dec(?:ember)?)"
)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_ROWS = r"(?:rows?|lines?|(?:time ?)?steps?|index(?:es)?|indices|records?|ticks?|readings?|data ?points?)"
_DAY_PARTS = {"morning": (6, 12), "afternoon": (12, 18), "evening": (18, 24), "night": (22, 30), "lunchtime": (11.5, 13.5),
              "daytime": (6, 22)}  # fmt: skip


def read_number(text: str) -> float:
    """The value of digits or of a number word."""
    text = text.strip().replace(",", ".")
    return float(_WORDS[text]) if text in _WORDS else float(text)


def _unit_s(unit: str) -> float:
    return next((_SECONDS[unit[:n]] for n in (3, 2, 1) if unit[:n] in _SECONDS), 1.0)


def _offset(m: re.Match[str]) -> Mark:
    pieces = re.findall(rf"({_NUMBER})\s*({_UNIT})(?![a-z])", m[0])
    total = sum(read_number(number) * _unit_s(unit) for number, unit in pieces)
    number, unit = pieces[-1]
    return Mark("offset", *m.span(), total, _unit_s(unit) * (1.0 if "." not in number else 0.1))


def _colon(m: re.Match[str]) -> Mark:
    fraction = float(f"0.{m[4]}") if m[4] else 0.0
    if m[3] is None:  # minutes:seconds or hours:minutes: the source decides, so both fields are kept
        return Mark("colon", *m.span(), int(m[1]) * 60 + int(m[2]) + fraction, 0.1 if m[4] else 1.0)
    return Mark("colon", *m.span(), int(m[1]) * 3600 + int(m[2]) * 60 + int(m[3]) + fraction, 0.1 if m[4] else 1.0, unit="row")


def _clock(hour: int, minute: int = 0, second: int = 0, *, half: str | None = None) -> tuple[float, float]:
    if half:
        hour = hour % 12 + (12 if half[0] == "p" else 0)
    return hour * 3600.0 + minute * 60 + second, 1.0 if second else 60.0


def _half_past(m: re.Match[str]) -> Mark:
    value, width = _clock(int(read_number(m[2])), {"half past": 30, "quarter past": 15, "quarter to": -15}[m[1]], half=m[3])
    return Mark("clock", *m.span(), value, width, meridiem=bool(m[3]))


def _named_part(m: re.Match[str]) -> Mark:
    place = m[1] or "halfway"
    where = {"start": 0.0, "beginning": 0.0, "end": 0.9, "middle": 0.4, "halfway": 0.4}[place]
    width = 0.2 if where == 0.4 else 0.1
    return Mark("part", *m.span(), extent=lambda d, _p: (where * d, (where + width) * d))


def _fraction(m: re.Match[str]) -> Mark:
    size = {"half": 2, "third": 3, "quarter": 4}[m[2]]
    at = size if m[1] in ("last", "final", "latter") else _ORDINALS.get(m[1], 1)
    return Mark("part", *m.span(), extent=lambda d, _p: ((at - 1) * d / size, min(at, size) * d / size))


def _edge(m: re.Match[str]) -> Mark:
    """As in "the first 10 seconds", "last minute", "final 50 rows"."""
    count = read_number(m[2]) if m[2] else 1.0
    first = m[1] in ("first", "initial", "opening")
    length: Extent
    if re.fullmatch(_ROWS + "|frames?", m[3]):
        length = lambda d, p: (0.0, min(d, count * p)) if first else (max(0.0, d - count * p), d)  # noqa: E731
        return Mark("part", *m.span(), unit="frame" if m[3].startswith("frame") else "row", extent=length)
    seconds = count * _unit_s(m[3])
    length = lambda d, _p: (0.0, min(d, seconds)) if first else (max(0.0, d - seconds), d)  # noqa: E731
    return Mark("part", *m.span(), extent=length)


NEARLY = 0.9
"""A stretch this much of a recording, or more, is all of it."""


def _all_of(m: re.Match[str]) -> Mark:
    """As in "over the 14 days": the last so many, which of a recording of two weeks are all."""
    seconds = read_number(m[1]) * _unit_s(m[2])
    return Mark("part", *m.span(), extent=lambda d, _p: (0.0 if seconds >= NEARLY * d else d - seconds, d))


def _nth_unit(m: re.Match[str]) -> Mark:
    at, seconds = _ORDINALS[m[1]], _unit_s(m[2])
    return Mark("part", *m.span(), extent=lambda d, _p: ((at - 1) * seconds, min(d, at * seconds)))


def _ago(m: re.Match[str]) -> Mark:
    back, unit = read_number(m[1]) * _unit_s(m[2]), _unit_s(m[2])
    if unit >= DAY:
        return Mark("date", *m.span(), day=f"-{round(back / DAY)}")
    return Mark("part", *m.span(), extent=lambda d, _p: (max(0.0, d - back - unit / 2), max(0.0, d - back + unit / 2)))


def _counts(m: re.Match[str]) -> Mark:
    unit: Literal["frame", "row"] = "frame" if m[1].startswith("frame") else "row"
    return Mark("count", *m.span(), float(m[2]), unit=unit)


def _day_part(m: re.Match[str]) -> Mark:
    low, high = _DAY_PARTS[m[2]]
    day = {"this": "0", "yesterday": "-1", "last": "-1"}.get((m[1] or "").strip())
    return Mark("day_part", *m.span(), low * 3600.0, (high - low) * 3600.0, day=day)


def _date(group: int = 0) -> Callable[[re.Match[str]], Mark]:
    return lambda m: Mark("date", *m.span(), day=m[group].strip())


def _clock_mark(m: re.Match[str]) -> Mark:
    """Groups: hour, minute, second, a|p."""
    hour, minute, second, half = (*m.groups(default=""), "", "", "")[:4]
    value, width = _clock(int(read_number(hour)), int(minute or 0), int(second or 0), half=half or None)
    return Mark("clock", *m.span(), value, width, meridiem=True)


def _in_day_part(m: re.Match[str]) -> Mark:
    """As in "eleven in the morning"; groups: hour, minute, part of the day."""
    value, width = _clock(int(read_number(m[1])), int(m[2] or 0), half="am" if m[3] == "morning" else "pm")
    return Mark("clock", *m.span(), value, width, meridiem=True)


def _o_clock(m: re.Match[str]) -> Mark:
    value, width = _clock(int(read_number(m[1])), int(m[2] or 0), half=m[3])
    return Mark("clock", *m.span(), value, width, meridiem=bool(m[3]))


def _hours(start_h: float, length_h: float, day: str | None = None) -> Callable[[re.Match[str]], Mark]:
    return lambda m: Mark("day_part", *m.span(), start_h * 3600.0, length_h * 3600.0, day=day)


def _at_clock(value: float) -> Callable[[re.Match[str]], Mark]:
    return lambda m: Mark("clock", *m.span(), value, 60.0, meridiem=True)


def _fixed_day(day: str) -> Callable[[re.Match[str]], Mark]:
    return lambda m: Mark("date", *m.span(), day=day)


def _said_second(m: re.Match[str]) -> Mark:
    """As in "second 15", "minute 3", "t=90"."""
    minutes = m[0].startswith("min")
    return Mark("offset", *m.span(), float(m[1]) * (60 if minutes else 1), 60.0 if minutes else 1.0, meridiem=True)


def _at_mark(m: re.Match[str]) -> Mark:
    return Mark("offset", *m.span(), read_number(m[1]) * _unit_s(m[2]), _unit_s(m[2]), meridiem=True)


HOURS = r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
_AMPM = r"([ap])\.?m\b\.?"
_OFFICE = r"(?:work|office|business|working) ?hours\b"
_BESIDE = r"versus|vs|compared|was|were|is|did"
_NEAR = (
    r"(?:(?<=at )|(?<=in )|(?<=with )|(?<=and )|(?<=than )|(?<=as )|(?<=near )|(?<=from )|(?<=to )|"
    r"(?<=until )|(?<=towards )|(?<=toward )|(?<=around )|(?<=by ))"
)
_ALONE = r"(?! (?:mark|ago|before|after|around|prior|leading|following|until|since|from|into|in\b))"
_THINGS = r"(?! (?:images?|photos?|pictures?|samples?|files?))"
_MARKS: tuple[tuple[str, Callable[[re.Match[str]], Mark]], ...] = (
    # dates
    (r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?=t\d\d:|(?!\w))", _date()),
    (r"(?<![\d.,])\d{1,2}\.\d{1,2}\.(?:\d{4}|\d{2})(?![\d.]*\d)", _date()),
    (r"(?<![\d/])\d{1,2}/\d{1,2}/(?:\d{4}|\d{2})(?![\d/])", _date()),
    (r"(?<=\bon )\d{1,2}/\d{1,2}(?![\d/])", _date()),
    (rf"\b(?:the )?\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {MONTH}\b(?:,? \d{{4}}\b)?", _date()),
    (rf"\b{MONTH} (?:the )?\d{{1,2}}(?:st|nd|rd|th)?\b(?!:| ?[ap]m)(?:,? \d{{4}}\b)?", _date()),
    (rf"(?<=\bin ){MONTH}\b(?: \d{{4}})?", _date()),
    (r"(?<=\bin )(?:19|20)\d{2}(?![\w:.-])", _date()),
    (rf"(?<=\bon )the \d{{1,2}}(?:st|nd|rd|th)\b(?= (?:at|between|from|than|and|or|with|to|{_BESIDE})\b|\s*[?.!,]|$)", _date()),
    (r"\bthe day before yesterday\b", _fixed_day("-2")),
    # clock times with their part of the day; parts of the day, days by name
    (rf"(?<![\d:.])(\d{{1,2}}|\b{HOURS})(?:[:.](\d{{2}}))?(?: o'? ?clock)? in the (morning|afternoon|evening)\b", _in_day_part),
    (r"\blast night\b", _hours(22, 8, "-1")),
    (r"\bovernight\b", _hours(22, 8)),
    (
        r"\b(?:(this|yesterday|last|in the|during the|at|that|the) )?(?<!good )(morning|afternoon|evening|night|lunchtime|daytime)\b",
        _day_part,
    ),
    (rf"\bafter[- ]hours\b|\boutside (?:of )?(?:the )?{_OFFICE}", _hours(18, 14)),
    (rf"\b(?:during )?(?:the )?(?:regular |normal )?{_OFFICE}", _hours(8, 10)),
    (r"\byesterday\b", _fixed_day("-1")),
    (r"\b(?:today|tonight)\b", _fixed_day("0")),
    (rf"\b(?:on |last |this )?({'|'.join(WEEKDAYS)})s?\b", _date(1)),
    (r"\b(?:(?:on|over|at|during) )?(?:the |last |this )?weekend\b", _fixed_day("weekend")),
    (rf"\b({_NUMBER}|an?) ({_UNIT}) ago\b", _ago),
    # clock times
    (rf"\b(half past|quarter past|quarter to) ({_NUMBER}) ?(?:{_AMPM})?", _half_past),
    (rf"(?<![\d:.])(\d{{1,2}})(?:[:.](\d{{2}}))?(?::(\d{{2}}))?\s?{_AMPM}", _clock_mark),
    (rf"\b({HOURS})()()\s?{_AMPM}", _clock_mark),
    (rf"(?<![\d:.])(\d{{1,2}}|\b{HOURS}) ?o'? ?clock(?: (\d\d)\b)?(?: ?{_AMPM})?", _o_clock),
    (r"(?<![\d:.])([01]?\d|2[0-3])h([0-5]\d)\b", _clock_mark),
    (r"\b(?:noon|midday)\b", _at_clock(DAY / 2)),
    (r"\bmidnight\b", _at_clock(0.0)),
    (r"(?<![\d:.])(\d{1,4}):([0-5]\d)(?::([0-5]\d))?(?:[.,](\d{1,6}))?(?:z| ?utc)?(?![\d:])", _colon),
    # parts of the whole
    (
        rf"(?<![\w-])(?:the )?(?:very )?(first|initial|opening|last|final|closing|past) ({_NUMBER})?[ -]?({_LONG_UNIT}|{_ROWS}|frames?)\b",
        _edge,
    ),
    (
        r"\b(?:(?:in|over|during|across|for|throughout) )?(?:the|these|those|all|all the|all of the) (?:whole |full |entire )?"
        rf"({_NUMBER})[ -]?(days?|hours?|weeks?|minutes?)\b{_ALONE}",
        _all_of,
    ),
    (r"\b(?:the )?(first|second|third|fourth|2nd|3rd|last|final|latter) (half|third|quarter)\b", _fraction),
    (
        r"\b(?:the )?(first|second|third|fourth|fifth)(?= (?:and|or|with|to|versus|vs\.?) (?:the )?(?:second|third|fourth|fifth|last) "
        r"(minute|hour|day|week)\b)",
        _nth_unit,
    ),
    (r"\b(?:the )?(second|third|fourth|fifth|2nd|3rd|4th|5th) (minute|hour|day|week)\b", _nth_unit),
    (r"\bthe (start|beginning|end|middle)\b(?= (?:differ\w*|and|with|compare\w*|versus|vs|or|look\w*|as)\b)", _named_part),
    (rf"\b{_NEAR}(?:the )?(?:very )?(start|beginning|end|middle)\b(?! (?:up|time|date)\b)|\bhalfway\b", _named_part),
    # counts and offsets
    (rf"\b(frames?|{_ROWS}) ?(?:numbers? |no\.? ?|nr\.? ?|#)?(\d{{1,9}})\b", _counts),
    (rf"\b(?:the )?({_NUMBER})[ -]?({_LONG_UNIT}) mark\b", _at_mark),
    (rf"\b(?:seconds?|secs?|t ?=|minutes?) ?#?(\d{{1,7}}(?:\.\d{{1,6}})?)(?: ?s\b)?(?![\d:%]){_THINGS}", _said_second),
    (rf"(?<![\w.])(?!eighth\b)(?:{_NUMBER}\s?{_UNIT}(?![a-z])(?:,? ?(?:and )?(?={_NUMBER}\s?{_UNIT}(?![a-z])))?)+", _offset),
)


@lru_cache(maxsize=1)
def mark_patterns() -> tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Mark]], ...]:
    """Every pattern, compiled, with what makes a mark of its match; the order decides."""
    return tuple((re.compile(pattern), build) for pattern, build in _MARKS)
