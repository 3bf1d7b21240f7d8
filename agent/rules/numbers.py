"""Numbers, durations and parts of the day in a definition, each with the span it was read from."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.rules.conditions import Hours

_WORDS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11,
    "twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "ninety": 90, "hundred": 100,
}  # fmt: skip
_SIZES = (
    (r"ms|milliseconds?|msecs?", 0.001), (r"seconds?|secs?|s", 1.0), (r"minutes?|mins?", 60.0), (r"hours?|hrs?|h", 3_600.0),
    (r"days?", 86_400.0), (r"weeks?", 604_800.0),
)  # fmt: skip
_UNIT = "|".join(words for words, _ in _SIZES)
_DURATION = rf"(?P<n>\d+(?:\.\d+)?|(?:half an?|an?|the|one)(?=\s))\s*(?P<u>{_UNIT})(?![\w/°])"
_LONGER = r"(?P<more>more than|longer than|over|at least|no less than|upwards of|beyond)?"
_FOR = re.compile(
    rf"\b(?:for|lasting|lasts?|that lasts?|during|since|of)\s+{_LONGER}\s*(?:about |a total of )?{_DURATION}(?: or (?:more"
    rf"|longer))?(?: at a time| in a row| straight| without a break)?"
)
_LONGER_THAN = re.compile(rf"\b(?P<more>longer than|more than|over|at least)\s+{_DURATION}")
_WITHIN = re.compile(
    rf"\b(?:within|in(?:side)?(?: of)?(?: less than| under)?|in the space of|over the course of|over)\s+(?:the space of "
    rf"|any |less than )?{_DURATION}"
)
_PER = re.compile(
    rf"\b(?:per|every|each|/)\s*(?P<n>\d+(?:\.\d+)?)?\s*(?P<u>{_UNIT})(?![\w/°])|(?<=\d)\s*/\s*(?P<u2>min|s|h)(?!\w)"
    rf"|\ba (?P<u3>minute|second|hour|day)\b"
)
_ROWS = re.compile(
    r"\bfor (?:(?P<more>more than |over )|at least )?(?P<n>\d+) (?:consecutive |successive )?(?:readings?|rows?|samples?"
    r"|measurements?|values?|points?|steps?)(?: in a row)?\b|\b(?P<m>\d+) (?:times |readings |rows |samples )in a row\b"
)
_CLOCK = r"(?P<{0}>\d{{1,2}})(?::(?P<{0}m>\d{{2}}))?\s*(?P<{0}p>am|pm|a\.m\.|p\.m\.|o'clock|h|hours|uhr)?"
_FROM_TO = re.compile(
    r"\b(?:between|from)\s+"
    + _CLOCK.format("a")
    + r"\s*(?:and|to|until|till|-)\s*"
    + _CLOCK.format("b")
    + r"(?!\s*(?:°|%|[a-z]))"
)
_AFTER = re.compile(r"\b(?P<side>after|before|later than|earlier than|until)\s+" + _CLOCK.format("a") + r"(?!\s*(?:°|%|[a-z]))")
_NAMED: tuple[tuple[str, float, float, tuple[int, ...]], ...] = (
    (r"(?:at night|during the night|overnight|by night|in the night|at nighttime)", 22, 6, ()),
    (r"(?:outside|out of|after|beyond) (?:the |our |normal |usual )*(?:working|business|office|opening) hours|after hours"
        r"|out of hours", 18, 8, ()),
    (r"during (?:the |our |normal )*(?:working|business|office|opening) hours", 8, 18, ()),
    (r"during the day|in the daytime|by day|at daytime", 6, 22, ()),
    (r"in the morning|in the mornings", 6, 12, ()),
    (r"at (?:the )?weekends?|on (?:the )?weekends?|during the weekend", 0, 24, (5, 6)),
    (r"on (?:working days|workdays|weekdays)", 0, 24, (0, 1, 2, 3, 4)),
)  # fmt: skip
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, kw_only=True)
class Span:
    """Seconds (or a number of rows) read from text[a:b]; `at_least` where exactly that much already counts."""

    value: float
    a: int
    b: int
    at_least: bool = False


def plain_numbers(text: str) -> str:
    """Number words as digits, thousands joined, a decimal comma as a point; other words stay.

    >>> plain_numbers("more than ten seconds above 1,200 rpm or 7,5 bar"), plain_numbers("twenty file deletes")
    ('more than 10 seconds above 1200 rpm or 7.5 bar', '20 file deletes')
    """
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    text = re.sub(r"(?<=\d),(?=\d{1,2}(?!\d))", ".", text)
    words = "|".join(_WORDS)
    text = re.sub(
        rf"\b(?:a )?({words})\b(?! (?:of|is|are|who|that|may|must|can|should)\b)(?<!no one)(?<!any one)",
        lambda m: str(_WORDS[m[1]]),
        text,
    )
    return re.sub(r"\bdozen\b", "12", re.sub(r"\ba dozen\b", "12", text))


def _seconds(number: str | None, unit: str) -> float:
    size = next(s for words, s in _SIZES if re.fullmatch(words, unit))
    if number is None or number in ("a", "an", "the", "one"):
        return size
    return 0.5 * size if number.startswith("half") else float(number) * size


def find_lasting(text: str) -> Span | None:
    """How long something lasts: "for more than 10 seconds", "for 2 minutes", "longer than an hour".

    >>> find_lasting("above 7 bar for more than 10 seconds"), find_lasting("stays for 2 minutes").at_least
    (Span(value=10.0, a=12, b=36, at_least=False), True)
    """
    match = _FOR.search(text) or _LONGER_THAN.search(text)
    if match is None:
        return None
    said = match["more"] or ""
    strict = bool(re.search(r"more than|longer than|over|beyond", said))
    return Span(value=_seconds(match["n"], match["u"]), a=match.start(), b=match.end(), at_least=not strict)


def find_rows(text: str) -> Span | None:
    """For how many readings in a row, at least.

    >>> find_rows("above 7 for 5 readings").value, find_rows("above 7 for more than 5 readings").value
    (5.0, 6.0)
    """
    match = _ROWS.search(text)
    if match is None:
        return None
    least = float(match["n"] or match["m"]) + (match["more"] is not None)
    return Span(value=least, a=match.start(), b=match.end(), at_least=True)


def find_within(text: str) -> Span | None:
    """Inside which time something happens: "within a minute", "in 5 minutes".

    >>> find_within("20 deletes within a minute").value, find_within("within 90 s").value
    (60.0, 90.0)
    """
    match = _WITHIN.search(text)
    return None if match is None else Span(value=_seconds(match["n"], match["u"]), a=match.start(), b=match.end())


def find_per(text: str) -> Span | None:
    """The time a rate is given for: "per minute", "3 °C/min".

    >>> find_per("3 °c per minute").value
    60.0
    """
    match = _PER.search(text)
    if match is None:
        return None
    return Span(value=_seconds(match["n"], match["u"] or match["u2"] or match["u3"]), a=match.start(), b=match.end())


def find_hours(text: str) -> tuple[Hours, tuple[int, int], str] | None:
    """A part of the day or week, its span, and a sentence on how loose words were read ("" for exact ones).

    >>> found, span, note = find_hours("logins between 22:00 and 6:00")
    >>> found.from_s / 3600, found.to_s / 3600, note
    (22.0, 6.0, '')
    """
    match = _FROM_TO.search(text)
    if match is not None and (match["am"] or match["bm"] or match["ap"] or match["bp"]):
        later = match["bp"] or ""
        low, high = _clock(match, "a", later), _clock(match, "b", later)
        if low is not None and high is not None and low != high:
            return Hours(said=match[0], from_s=low, to_s=high), match.span(), ""
    match = _AFTER.search(text)
    if match is not None and (match["am"] or match["ap"]):
        at = _clock(match, "a", "")
        if at is not None:
            low, high = (at, 86_400.0) if match["side"] in ("after", "later than") else (0.0, at)
            return Hours(said=match[0], from_s=low, to_s=high), match.span(), ""
    for words, low_h, high_h, days in _NAMED:
        match = re.search(rf"\b(?:{words})\b", text)
        if match is not None:
            note = "" if days else f"“{match[0]}” was read as from {low_h}:00 to {high_h}:00."
            return Hours(said=match[0], from_s=low_h * 3600.0, to_s=high_h * 3600.0, days=days), match.span(), note
    match = re.search(rf"\bon ({'|'.join(_DAYS)})s?\b", text)
    if match is not None:
        return Hours(said=match[0], from_s=0.0, to_s=86_400.0, days=(_DAYS.index(match[1]),)), match.span(), ""
    return None


def _clock(match: re.Match[str], name: str, later: str) -> float | None:
    hour, minute, half = int(match[name]), int(match[name + "m"] or 0), (match[name + "p"] or "").replace(".", "")
    if hour > 24 or minute > 59:
        return None
    if half == "pm" and hour < 12:
        hour += 12
    elif half == "am" and hour == 12:
        hour = 0
    elif not half and later.startswith("p") and hour < 12 and name == "a":
        hour += 12
    return min(hour * 3600.0 + minute * 60.0, 86_400.0)
