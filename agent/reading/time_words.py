"""Time words of a question: dates, clock times, offsets, frames, rows and parts, joined by "from … to", "after", "around".

`phrases` marks every expression in the text and joins them by the words between; `agent.times` then places them in a source.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Literal, TypeAlias

DAY = 86400.0
Kind: TypeAlias = Literal["offset", "colon", "clock", "date", "count", "bare", "part", "day_part"]
Style: TypeAlias = Literal["at", "about", "after", "before", "range"]
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


@dataclass(frozen=True)
class Phrase:
    """Marks joined by the words around them."""

    style: Style
    low: Mark
    high: Mark | None
    a: int
    b: int


MOST_MARKS = 200
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
_ATOM = "[\ue000-\ue0fe]\ue0ff*"
_DAY_PARTS = {"morning": (6, 12), "afternoon": (12, 18), "evening": (18, 24), "night": (22, 30), "lunchtime": (11.5, 13.5)}


def _number(text: str) -> float:
    text = text.strip().replace(",", ".")
    return float(_WORDS[text]) if text in _WORDS else float(text)


def _unit_s(unit: str) -> float:
    return next((_SECONDS[unit[:n]] for n in (3, 2, 1) if unit[:n] in _SECONDS), 1.0)


def _offset(m: re.Match[str]) -> Mark:
    pieces = re.findall(rf"({_NUMBER})\s*({_UNIT})(?![a-z])", m[0])
    total = sum(_number(number) * _unit_s(unit) for number, unit in pieces)
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
    value, width = _clock(int(_number(m[2])), {"half past": 30, "quarter past": 15, "quarter to": -15}[m[1]], half=m[3])
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
    count = _number(m[2]) if m[2] else 1.0
    first = m[1] in ("first", "initial", "opening")
    length: Extent
    if re.fullmatch(_ROWS + "|frames?", m[3]):
        length = lambda d, p: (0.0, min(d, count * p)) if first else (max(0.0, d - count * p), d)  # noqa: E731
        return Mark("part", *m.span(), unit="frame" if m[3].startswith("frame") else "row", extent=length)
    seconds = count * _unit_s(m[3])
    length = lambda d, _p: (0.0, min(d, seconds)) if first else (max(0.0, d - seconds), d)  # noqa: E731
    return Mark("part", *m.span(), extent=length)


def _nth_unit(m: re.Match[str]) -> Mark:
    at, seconds = _ORDINALS[m[1]], _unit_s(m[2])
    return Mark("part", *m.span(), extent=lambda d, _p: ((at - 1) * seconds, min(d, at * seconds)))


def _ago(m: re.Match[str]) -> Mark:
    back, unit = _number(m[1]) * _unit_s(m[2]), _unit_s(m[2])
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
    value, width = _clock(int(hour), int(minute or 0), int(second or 0), half=half or None)
    return Mark("clock", *m.span(), value, width, meridiem=True)


def _o_clock(m: re.Match[str]) -> Mark:
    value, width = _clock(int(m[1]), int(m[2] or 0), half=m[3])
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
    return Mark("offset", *m.span(), _number(m[1]) * _unit_s(m[2]), _unit_s(m[2]), meridiem=True)


_AMPM = r"([ap])\.?m\b\.?"
_OFFICE = r"(?:work|office|business|working) ?hours\b"
_NEAR = r"(?:(?<=at )|(?<=in )|(?<=near )|(?<=from )|(?<=to )|(?<=until )|(?<=towards )|(?<=toward )|(?<=around )|(?<=by ))"
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
    (r"(?<=\bon )the \d{1,2}(?:st|nd|rd|th)\b(?= at\b| between\b| from\b|\s*[?.!,]|$)", _date()),
    (r"\bthe day before yesterday\b", _fixed_day("-2")),
    # parts of the day, days by name
    (r"\blast night\b", _hours(22, 8, "-1")),
    (r"\bovernight\b", _hours(22, 8)),
    (
        r"\b(?:(this|yesterday|last|in the|during the|at|that|the) )?(?<!good )(morning|afternoon|evening|night|lunchtime)\b",
        _day_part,
    ),
    (rf"\bafter[- ]hours\b|\boutside (?:of )?(?:the )?{_OFFICE}", _hours(18, 14)),
    (rf"\b(?:during )?(?:the )?(?:regular |normal )?{_OFFICE}", _hours(8, 10)),
    (r"\byesterday\b", _fixed_day("-1")),
    (r"\b(?:today|tonight)\b", _fixed_day("0")),
    (rf"\b(?:on |last |this )?({'|'.join(WEEKDAYS)})s?\b", _date(1)),
    (rf"\b({_NUMBER}|an?) ({_UNIT}) ago\b", _ago),
    # clock times
    (rf"\b(half past|quarter past|quarter to) ({_NUMBER}) ?(?:{_AMPM})?", _half_past),
    (rf"(?<![\d:.])(\d{{1,2}})(?:[:.](\d{{2}}))?(?::(\d{{2}}))?\s?{_AMPM}", _clock_mark),
    (rf"(?<![\d:.])(\d{{1,2}}) ?o'? ?clock(?: (\d\d)\b)?(?: ?{_AMPM})?", _o_clock),
    (r"(?<![\d:.])([01]?\d|2[0-3])h([0-5]\d)\b", _clock_mark),
    (r"\b(?:noon|midday)\b", _at_clock(DAY / 2)),
    (r"\bmidnight\b", _at_clock(0.0)),
    (r"(?<![\d:.])(\d{1,4}):([0-5]\d)(?::([0-5]\d))?(?:[.,](\d{1,6}))?(?:z| ?utc)?(?![\d:])", _colon),
    # parts of the whole
    (
        rf"\b(?:the )?(?:very )?(first|initial|opening|last|final|closing|past) ({_NUMBER})?[ -]?({_LONG_UNIT}|{_ROWS}|frames?)\b",
        _edge,
    ),
    (r"\b(?:the )?(first|second|third|fourth|2nd|3rd|last|final|latter) (half|third|quarter)\b", _fraction),
    (r"\b(?:the )?(second|third|fourth|fifth|2nd|3rd|4th|5th) (minute|hour|day|week)\b", _nth_unit),
    (rf"\b{_NEAR}(?:the )?(?:very )?(start|beginning|end|middle)\b(?! up)|\bhalfway\b", _named_part),
    # counts and offsets
    (rf"\b(frames?|{_ROWS}) ?(?:numbers? |no\.? ?|nr\.? ?|#)?(\d{{1,9}})\b", _counts),
    (rf"\b(?:the )?({_NUMBER})[ -]?({_LONG_UNIT}) mark\b", _at_mark),
    (rf"\b(?:seconds?|secs?|t ?=|minutes?) ?#?(\d{{1,7}}(?:\.\d{{1,6}})?)(?: ?s\b)?(?![\d:%]){_THINGS}", _said_second),
    (rf"(?<![\w.])(?:{_NUMBER}\s?{_UNIT}(?![a-z])(?:,? ?(?:and )?(?={_NUMBER}\s?{_UNIT}(?![a-z])))?)+", _offset),
)


@lru_cache(maxsize=1)
def _marks() -> tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Mark]], ...]:
    return tuple((re.compile(pattern), build) for pattern, build in _MARKS)


_MASK = re.compile(
    r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b|https?://\S+"
    r"|\b[\w-]+\.(?:png|jpe?g|tiff?|bmp|webp|csv|tsv|txt|log|mp4|avi|mkv|mov|json\w*|exe|dll|ps1|parquet)\b"
)
"""Addresses and file names: their numbers are no times."""
_JOIN = r"\s*(?:-|–|—|to|until|till|through|up to)\s*"
_RANGE = re.compile(
    rf"(?:\b(between|from|in|during|of|at)\s+)?(?:the\s+)?({_ATOM})(?:\s*\b(and)\b\s*|{_JOIN})(?:the\s+)?({_ATOM})"
)
_SINGLE = re.compile(
    r"(?:(?P<after>\b(?:after|since|from|starting (?:at|from|with)|beginning (?:at|from)|later than|past|onwards? from)\s+)"
    r"|(?P<before>\b(?:before|until|till|by|prior to|earlier than|up to)\s+)"
    r"|(?P<about>(?:\b(?:around|about|near|nearby|approximately|approx\.?|roughly|circa|close to|somewhere around|or so)\s*|~\s*)))?"
    r"(?:at |about |around |the )?(?P<atom>" + _ATOM + r")(?P<on>\s*\bon(?:wards?)?\b(?!\s+the))?"
)  # fmt: skip
_TIMELIKE = ("offset", "colon", "clock", "date", "count", "part", "bare")
_NOT_A_PLACE = re.compile(
    r"(?:\b(?:for|than|lasts?|lasted|lasting|took|takes?|every|each|within|over|of|per|only|least|most)\s+(?:about |around |the |at )*)$"
)
_LOCATES = re.compile(
    r"(?:^|[,;(@=]|\b(?:at|and|or|to|then|second|time|on|what about|how about|vs\.?|versus|with|in|see|is|me|plus|compare)\s+)"
    r"\s*(?:the )?$"
)


def phrases(text: str) -> list[Phrase]:
    """Mark the expressions of `text` and join them."""
    masked = _MASK.sub(lambda m: "\ue0fd" * len(m[0]), text)
    marks: list[Mark] = []
    for pattern, build in _marks():
        for match in list(pattern.finditer(masked)):
            mark = build(match)
            if len(marks) < MOST_MARKS and match[0].strip():
                masked = masked[: mark.a] + _cell(len(marks)) + "\ue0ff" * (mark.b - mark.a - 1) + masked[mark.b :]
                marks.append(mark)
    masked, marks = _promote(masked, marks)
    masked, marks = _join_days(masked, marks)
    ranges, masked = _ranges(masked, marks)
    return sorted([*ranges, *_singles(masked, marks)], key=lambda phrase: phrase.a)


def _ranges(masked: str, marks: list[Mark]) -> tuple[list[Phrase], str]:
    """Pairs of marks joined by "to", "-" or "between … and"; they are blanked in the text that comes back."""
    found: list[Phrase] = []
    for match in list(_RANGE.finditer(masked)):
        low, high = _mark_of(match[2], marks), _mark_of(match[4], marks)
        if low is None or high is None or low.kind not in _TIMELIKE or high.kind not in _TIMELIKE:
            continue
        if match[3] and match[1] != "between":
            continue
        if not match[1] and "to" in match[0] and low.kind == "offset" and _NOT_A_PLACE.search(masked[: match.start()]):
            continue
        low, high = _agree(low, high)
        found.append(Phrase("range", low, high, *match.span()))
        masked = masked[: match.start()] + " " * len(match[0]) + masked[match.end() :]
    return found, masked


def _singles(masked: str, marks: list[Mark]) -> Iterator[Phrase]:
    """Marks that stand alone, with the word before them ("after", "before", "around")."""
    for match in _SINGLE.finditer(masked):
        mark = _mark_of(match["atom"], marks)
        if mark is None:
            continue
        about = match["about"] and not re.search(r"\b(?:what|how) $", masked[: match.start()])
        style: Style = "after" if match["after"] else "before" if match["before"] else "about" if about else "at"
        if (
            style == "after"
            and match["after"].strip() == "from"
            and mark.kind in ("date", "part", "day_part")
            and not match["on"]
        ):
            style = "at"
        if mark.kind == "offset" and not _is_place(masked, match, mark, style):
            continue
        if style == "at" and mark.kind != "part" and match["on"] and "onward" in match["on"]:
            style = "after"
        yield Phrase(style, mark, None, match.start(), match.end("on") if match["on"] else match.end("atom"))


def _cell(index: int) -> str:
    return chr(0xE000 + index)


def _mark_of(cell: str, marks: list[Mark]) -> Mark | None:
    index = ord(cell[0]) - 0xE000
    return marks[index] if index < len(marks) else None


def _is_place(masked: str, match: re.Match[str], mark: Mark, style: Style) -> bool:
    """True when a duration says where ("at 12 s", "after 90 seconds"), not how long ("for 12 s", "12 s before the crash")."""
    before, after = masked[: match.start()], masked[match.end("atom") :]
    if re.match(r"\s*(?:before|after|later|earlier|long|of|each|apart|ago)\b", after) or _NOT_A_PLACE.search(before):
        return False
    if mark.meridiem or style != "at" or re.match(r"\s*(?:in\b(?! the| a)|into|mark)", after):
        return True
    return bool(_LOCATES.search(masked[: match.start("atom")]))


_UNITS_AFTER = (
    r"(?!\s?(?:°|%|degrees?|bar|psi|k?pa\b|volts?|amps?|rpm|hz|watts?|kw|percent|mm|cm|px|pixels?"
    r"|images?|photos?|sensors?|channels?))"
)
_BARE = r"(\d{1,7}(?:\.\d{1,6})?)"
_TO = r" ?(?:and|to|-|until|till|through) ?"
_NO_NOUN = r"(?![\w:])\s*(?:$|[?.!,;]|on\b|in\b|of\b|is\b|what\b|for\b|was\b)"
_FIRST = re.compile(rf"\b(?:between|from) {_BARE}(?={_TO}{_ATOM})|(?<![\w.\ue0ff]){_BARE}(?= ?(?:-|to|until) ?{_ATOM})")
_SECOND = re.compile(rf"(?<=[\ue000-\ue0ff])(?:{_TO}|\.\.){_BARE}(?![\w:.]*\d)(?!\w){_UNITS_AFTER}")
_BOTH = re.compile(rf"\b(?:between|from) {_BARE}(?={_TO}\d{{1,7}}(?:\.\d+)?{_NO_NOUN})")
_ALONE = re.compile(rf"\b(?:at|around|after|before|since|until|near|from) {_BARE}(?=\s*(?:[?!,;]|\.?$|on\b|and\b))")


def _promote(masked: str, marks: list[Mark]) -> tuple[str, list[Mark]]:
    """Mark bare numbers that stand where a time must stand: "between 3 and 5 pm", "12-15 s", "at 500?"."""
    for pattern, fits in (
        (_FIRST, _before_a_time),
        (_SECOND, _after_a_time),
        (_BOTH, None),
        (_SECOND, _after_a_time),
        (_ALONE, None),
    ):
        for match in list(pattern.finditer(masked)):
            a, b = next(match.span(g) for g in range(1, len(match.groups()) + 1) if match[g])
            if len(marks) < MOST_MARKS and (fits is None or fits(masked, match, marks)):
                masked = masked[:a] + _cell(len(marks)) + "\ue0ff" * (b - a - 1) + masked[b:]
                marks.append(Mark("bare", a, b, float(masked_number(match))))
    return masked, marks


def masked_number(match: re.Match[str]) -> str:
    """The digits of the first group that matched."""
    return next(group for group in match.groups() if group)


def _before_a_time(masked: str, match: re.Match[str], marks: list[Mark]) -> bool:
    """As in "12-15 s" but not "2 to frame 15": the next mark must carry the unit."""
    right = next((m for m in sorted(marks, key=lambda m: m.a) if m.a >= match.end()), None)
    return bool(match[1]) or (right is not None and right.kind in ("offset", "clock", "colon"))


def _after_a_time(masked: str, match: re.Match[str], marks: list[Mark]) -> bool:
    """As in "row 120 to 140"; with "and" only after "between"."""
    left = next((m for m in marks if m.b == match.start()), None)
    if left is None or left.kind not in ("count", "clock", "offset", "bare"):
        return False
    return "and" not in match[0] or bool(re.search(r"\bbetween\s+(?:the )?$", masked[: left.a]))


_GAPS = frozenset(
    (
        "",
        "at",
        "on",
        "of",
        "in the",
        "@",
        "around",
        "about",
        "from",
        "between",
        "on the",
        "in",
        "after",
        "before",
        "until",
        "since",
        "t",
    )
)


def _join_days(masked: str, marks: list[Mark]) -> tuple[str, list[Mark]]:
    """Give a clock time the date beside it ("3 pm on Monday", "yesterday between 3 and 5 pm") and take the date out."""
    order = sorted(range(len(marks)), key=lambda index: marks[index].a)
    for i, j in pairwise(order):
        left, right = marks[i], marks[j]
        gap = masked[left.b : right.a].strip(" ,")
        if gap not in _GAPS:
            continue
        timely = ("clock", "colon", "day_part", "bare")
        if left.kind == "date" and right.kind == "date" and gap in ("", "of"):
            drop = i if left.day in WEEKDAYS else j
        elif left.kind == "date" and right.kind in timely and right.day is None:
            marks[j], drop = replace(right, day=left.day), i
        elif right.kind == "date" and left.kind in timely and left.day is None and gap in ("", "on", "of", "on the", "in"):
            marks[i], drop = replace(left, day=right.day), j
        else:
            continue
        gone = marks[drop]
        end = right.a if gap in ("t", "at", "on", "of") and drop == i else gone.b
        masked = masked[: gone.a] + " " * (end - gone.a) + masked[end:]
        if drop == j:
            masked = re.sub(r"\bon(?: the)?(?=\s*$)", lambda m: " " * len(m[0]), masked[: gone.a]) + masked[gone.a :]
    return masked, marks


def _agree(low: Mark, high: Mark) -> tuple[Mark, Mark]:
    """Let the two ends of a range share unit, am/pm and day."""
    for _ in range(2):
        if low.kind == "bare" and high.kind != "bare":
            low = _like(low, high)
        low, high = high, low
    if low.kind == high.kind == "clock" and high.meridiem and not low.meridiem and low.value <= DAY / 2:
        shifted = low.value % (DAY / 2) + (DAY / 2 if high.value >= DAY / 2 else 0)
        low = replace(low, value=shifted if shifted < high.value else low.value % (DAY / 2), meridiem=True)
    if low.kind == "clock" and high.kind == "clock" and low.meridiem and not high.meridiem and high.value <= DAY / 2:
        later = high.value % (DAY / 2) + (DAY / 2 if low.value >= DAY / 2 else 0)
        high = replace(high, value=later if later > low.value else later + DAY / 2, meridiem=True)
    if low.day is None and high.day is not None and high.kind != "date":
        low = replace(low, day=high.day)
    if high.day is None and low.day is not None and low.kind != "date":
        high = replace(high, day=low.day)
    return low, high


def _like(bare: Mark, model: Mark) -> Mark:
    """Read a bare number in the unit of the other end of its range."""
    if model.kind == "clock":
        return replace(bare, kind="clock", value=bare.value * 3600.0, width=60.0)
    if model.kind == "offset":
        return replace(bare, kind="offset", value=bare.value * model.width, width=model.width)
    if model.kind == "count":
        return replace(bare, kind="count", unit=model.unit)
    return bare
