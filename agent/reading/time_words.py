"""Time words of a question, found and joined by "from … to", "after", "around".

`phrases` marks every expression in the text (`agent.reading.time_marks`) and joins them by the words between; `agent.times` then
places them in a source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, TypeAlias

from agent.reading.time_marks import DAY, HOURS, MONTH, WEEKDAYS, Mark, mark_patterns, read_number

Style: TypeAlias = Literal["at", "about", "after", "before", "range"]


@dataclass(frozen=True)
class Phrase:
    """Marks joined by the words around them."""

    style: Style
    low: Mark
    high: Mark | None
    a: int
    b: int


MOST_MARKS = 200
_ATOM = "[\ue000-\ue0fe]\ue0ff*"
_MASK = re.compile(
    r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b|https?://\S+"
    r"|\b[\w-]+\.(?:png|jpe?g|tiff?|bmp|webp|csv|tsv|txt|log|mp4|avi|mkv|mov|json\w*|exe|dll|ps1|parquet)\b"
    r"|\bscale (?:of |from )?\d+ ?(?:to|-) ?\d+|\bout of \d+"
)
"""Addresses, file names and scales: their numbers are no times."""
_JOIN = r"\s*(?:-|–|—|to|until|till|through|up to)\s*"
_RANGE = re.compile(
    rf"(?:\b(between|from|in|during|of|at)\s+)?(?:(?:the|a)\s+)?({_ATOM})(?:\s*\b(and)\b\s*|{_JOIN})(?:the\s+)?({_ATOM})"
)
_SINGLE = re.compile(
    r"(?:(?P<after>\b(?:after|since|(?<!different )(?<!differs )(?<!differ )(?<!apart )from|starting (?:at|from|with)"
    r"|beginning (?:at|from)|later than|past|onwards? from)\s+)"
    r"|(?P<before>\b(?:before|until|till|by|prior to|earlier than|up to)\s+)"
    r"|(?P<about>(?:\b(?:around|about|near|nearby|approximately|approx\.?|roughly|circa|close to|somewhere around|or so)\s*|~\s*)))?"
    r"(?:at |about |around |the )?(?P<atom>" + _ATOM + r")(?P<on>\s*\bon(?:wards?)?\b(?!\s+the))?"
)  # fmt: skip
_OF_TWO = re.compile(r"\b(?:differ\w*|compar\w*|contrast\w*|distinguish|distinction) $")
"""The words "between A and B" name two times after these, and else a stretch."""
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
    for pattern, build in mark_patterns():
        for match in list(pattern.finditer(masked)):
            mark = build(match)
            if len(marks) < MOST_MARKS and match[0].strip():
                masked = masked[: mark.a] + _cell(len(marks)) + "\ue0ff" * (mark.b - mark.a - 1) + masked[mark.b :]
                marks.append(mark)
    masked, marks = _share_unit(masked, marks, text)
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
        if match[3] and (match[1] != "between" or _OF_TWO.search(masked[: match.start()])):
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
    if re.match(r"\s*(?:before|after|later|earlier|long|of|each|apart|ago)\b", after):
        return False
    if not mark.meridiem and _NOT_A_PLACE.search(before):
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
_BOTH = re.compile(rf"\b(?:between|from|say|lunch|roughly) {_BARE}(?={_TO}\d{{1,7}}(?:\.\d+)?{_NO_NOUN})")
_HOUR_SAID = re.compile(rf"(?<!look )(?<!not )\b(?:at|around) ({HOURS})(?=\s*(?:[?!,;]|\.?$|on\b|and\b|in the\b))")
_ALONE = re.compile(rf"\b(?:at|around|after|before|since|until|near|from) {_BARE}(?=\s*(?:[?!,;]|\.?$|on\b|and\b))")


def _promote(masked: str, marks: list[Mark]) -> tuple[str, list[Mark]]:
    """Mark bare numbers that stand where a time must stand: "between 3 and 5 pm", "12-15 s", "at 500?"."""
    for pattern, fits in (
        (_FIRST, _before_a_time),
        (_SECOND, _after_a_time),
        (_BOTH, None),
        (_SECOND, _after_a_time),
        (_ALONE, None),
        (_HOUR_SAID, None),
    ):
        for match in list(pattern.finditer(masked)):
            a, b = next(match.span(g) for g in range(1, len(match.groups()) + 1) if match[g])
            if len(marks) < MOST_MARKS and (fits is None or fits(masked, match, marks)):
                masked = masked[:a] + _cell(len(marks)) + "\ue0ff" * (b - a - 1) + masked[b:]
                marks.append(Mark("bare", a, b, read_number(masked_number(match))))
    return masked, marks


def masked_number(match: re.Match[str]) -> str:
    """The digits of the first group that matched."""
    return next(group for group in match.groups() if group)


_EDGE_ALONE = re.compile(
    rf"\b(?:the )?(?:first|second|third|fourth|fifth|last|final)(?: (?:\d{{1,4}}|{HOURS}))?(?=\s*(?:$|[?.!,;)]))"
)


def _share_unit(masked: str, marks: list[Mark], text: str) -> tuple[str, list[Mark]]:
    """Give "the last five" the unit of the part beside it: "the first five seconds with the last five"."""
    units = [m[1] for mark in marks if mark.kind == "part" and (m := re.search(r"([a-z]+)$", text[mark.a : mark.b]))]
    for match in list(_EDGE_ALONE.finditer(masked)) if units else ():
        made = next((build(m) for pattern, build in mark_patterns() if (m := pattern.match(f"{match[0]} {units[-1]}"))), None)
        if made is not None and made.kind == "part" and len(marks) < MOST_MARKS:
            a, b = match.span()
            masked = masked[:a] + _cell(len(marks)) + "\ue0ff" * (b - a - 1) + masked[b:]
            marks.append(replace(made, a=a, b=b))
    return masked, marks


def _before_a_time(masked: str, match: re.Match[str], marks: list[Mark]) -> bool:
    """As in "12-15 s" but not "2 to frame 15": the next mark must carry the unit."""
    right = next((m for m in sorted(marks, key=lambda m: m.a) if m.a >= match.end()), None)
    if right is not None and right.kind == "date":  # "10-11 March"
        return bool(match[1]) or (right.a - match.end() <= len(" until ") and _of_month(right) is not None)
    return bool(match[1]) or (right is not None and right.kind in ("offset", "clock", "colon"))


def _after_a_time(masked: str, match: re.Match[str], marks: list[Mark]) -> bool:
    """As in "row 120 to 140"; with "and" only after "between"."""
    left = next((m for m in marks if m.b == match.start()), None)
    if left is not None and left.kind == "date":  # "March 10 to 12"
        return left.day is not None and re.match(MONTH, left.day) is not None
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
        if low.kind == "colon" and high.kind == "clock" and high.meridiem and low.unit == "s" and low.value < 13 * 60:
            low = replace(low, kind="clock", value=low.value * 60, width=60.0)  # "2:30 to 3 pm" is hours and minutes
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
    if model.kind == "date" and (day := _of_month(model)) is not None and bare.value == int(bare.value) <= 31:
        return replace(bare, kind="date", day=re.sub(r"\d{1,2}", str(int(bare.value)), day, count=1))
    return bare


def _of_month(mark: Mark) -> str | None:
    """The words of a date with a month's name ("11 march 2026"), whose day another number may take the place of."""
    return mark.day if mark.day is not None and re.search(rf"\b{MONTH}\b", mark.day) and re.search(r"\d", mark.day) else None


_COMPARED = re.compile(r"[\s,]*(?:(?:with|and|to|than|versus|vs\.?|against|the|that|those|in|at|of|compared|during)[\s,]*)+")
_COMPARES = re.compile(r"\b(?:compar\w+|differ\w*|versus|vs|than)\b")


def share_day(found: list[Phrase], text: str) -> list[Phrase]:
    """Give the date of one of two compared times to the other: "the morning with the afternoon on 7 March"."""
    for part, days in pairwise(found):  # "the night from 10 to 11 March"
        both = days.high is not None and days.low.kind == days.high.kind == "date"
        if part.low.kind == "day_part" and part.low.day is None and both and not text[part.b : days.a].strip():
            part = replace(part, low=replace(part.low, day=days.low.day), b=days.b)
            return [part, *(p for p in found if p.a not in (part.a, days.a))]
    dated = [p for p in found if p.low.day is not None]
    free = [p for p in found if p.low.day is None and p.high is None and p.low.kind in ("clock", "colon", "day_part", "bare")]
    if len(dated) != 1 or not free or dated[0].high is not None:
        return found
    day = dated[0]
    if day.low.kind == "date":  # "on 7 March, compare the morning with the afternoon"
        if len(free) != 2 or not _COMPARES.search(text):
            return found
        return [replace(p, low=replace(p.low, day=day.low.day)) for p in found if p is not day]
    if len(found) != 2 or not _COMPARED.fullmatch(text[found[0].b : found[1].a]):
        return found
    return [p if p is day else replace(p, low=replace(p.low, day=day.low.day)) for p in found]
