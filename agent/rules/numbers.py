"""Numbers, durations and parts of the day in a definition, each with the span it was read from."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.rules.conditions import Hours

_WORDS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11,
    "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "eighteen": 18, "twenty": 20,
    "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100,
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
_READINGS = r"(?:consecutive |successive )?(?:readings?|rows?|samples?|measurements?|values?|points?|steps?|scans?|cycles?)"
_ROWS = re.compile(
    rf"\b(?:for|over) (?:(?P<more>more than |over )|at least )?(?P<n>\d+) {_READINGS}(?: or more)?(?: in a row)?\b"
    rf"|\b(?:(?P<more2>more than |over )|at least )?(?P<m>\d+) (?:(?:times |{_READINGS} )in a row\b|(?:consecutive|successive) "
    r"(?:readings?|rows?|samples?|measurements?|values?|points?|scans?|cycles?)\b(?: of\b)?)"
)
_WITHIN_ROWS = re.compile(
    rf"\b(?:within|in(?:side)?|over|during)\s+(?:the space of |any "
    rf"|less than )?(?P<n>\d+) {_READINGS}(?! in a row)\b"
)
_CLOCK = r"(?P<{0}>\d{{1,2}})(?::(?P<{0}m>\d{{2}}))?\s*(?P<{0}p>am|pm|a\.m\.|p\.m\.|o'clock|h|hours|uhr)?"
_UNLESS = r"(?P<not>(?:not|never|except(?: for| at)?|but not|other than|unless) |outside (?:of )?(?=\d|from))?(?:the time )?"
_FROM_TO = re.compile(
    rf"\b{_UNLESS}(?:between |from )?"
    + _CLOCK.format("a")
    + r"\s*(?:and|to|until|till|-|–)\s*"
    + _CLOCK.format("b")
    + r"(?![:\w°%])"
)
_AFTER = re.compile(r"\b(?P<side>after|before|later than|earlier than|until)\s+" + _CLOCK.format("a") + r"(?![:\w°%])")
_OUR = r"(?:the |our |my |normal |usual |regular )*"
_WORKING = rf"(?:{_OUR}(?:working|business|office|opening) hours|{_OUR}(?:working|office) (?:times?|day))"
_NAMED: tuple[tuple[str, float, float, tuple[int, ...], bool], ...] = (
    # (pattern, from hour, to hour, days, all other times)
    (r"(?:at night|after dark|after nightfall|in the dark|during the night|overnight|by night"
        r"|in the night|at night ?time|nightly)", 22, 6, (), False),
    (rf"(?:(?:outside|out of|after|beyond|not (?:during|in|within)|except (?:during|in)) {_WORKING}|after hours|out of hours|off hours)",
        8, 18, (0, 1, 2, 3, 4), True),
    (rf"(?:during|within|in) {_WORKING}", 8, 18, (0, 1, 2, 3, 4), False),
    (r"(?:during the day|in the daytime|by day|at daytime|during daytime)", 6, 22, (), False),
    (r"in the mornings?", 6, 12, (), False), (r"in the afternoons?", 12, 18, (), False), (r"in the evenings?", 18, 22, (), False),
)  # fmt: skip
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY = rf"(?:{'|'.join(_DAYS)})"
_NOT_ON = r"(?P<not>(?:not|except|never|but not|other than) )?"
_DAY_SETS: tuple[tuple[str, tuple[int, ...]], ...] = (
    (rf"{_NOT_ON}(?:at|on|over|during)? ?(?:the |a )?weekends?\b(?! \w+ (?:is|are))", (5, 6)),
    (rf"{_NOT_ON}(?:on|during) (?:working days|workdays|work days|weekdays|week days|business days)", (0, 1, 2, 3, 4)),
)
_DAY_RANGE = re.compile(rf"\b{_NOT_ON}(?:from |on )?(?P<a>{_DAY})s?\s*(?:to|until|till|through|-|–)\s*(?P<b>{_DAY})s?\b")
_DAY_LIST = re.compile(rf"\b{_NOT_ON}on (?:an? |any )?(?P<x>{_DAY}s?(?:(?:\s*,\s*|\s+(?:and|or)\s+)(?:on )?{_DAY}s?)*)\b")


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
    text = re.sub(r"\b(?:a )?quarter (?:of )?an hour\b", "15 minutes", text)
    text = re.sub(r"\bthree quarters of an hour\b", "45 minutes", text)
    text = re.sub(r"\b(between|from) midnight\b", r"\1 0:00", text)
    text = re.sub(r"\b(and|to|until|till) midnight\b", r"\1 24:00", text)
    text = re.sub(r"\b(?:noon|midday)\b", "12:00", text)
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    text = re.sub(r"(?<=\d),(?=\d{1,2}(?!\d))", ".", text)
    words = "|".join(_WORDS)
    text = re.sub(
        rf"\b(?:a )?({words})\b(?! (?:of|is|are|who|that|may|must|can|should)\b)(?<!no one)(?<!any one)",
        lambda m: str(_WORDS[m[1]]),
        text,
    )
    text = re.sub(r"(?<!or )(?<!plus )(?<!plus/)\bminus (?=\d)", "-", text)
    text = re.sub(r"(?<=\d) point (?=\d)", ".", text)
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
    least = float(match["n"] or match["m"]) + bool(match["more"] or match["more2"])
    return Span(value=least, a=match.start(), b=match.end(), at_least=True)


def find_within_rows(text: str) -> Span | None:
    """In how many readings something happens: "within 5 rows".

    >>> find_within_rows("rises by 0.3 within 5 rows").value
    5.0
    """
    match = _WITHIN_ROWS.search(text)
    return None if match is None else Span(value=float(match["n"]), a=match.start(), b=match.end())


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


def find_hours(text: str) -> tuple[Hours, str, str] | None:
    """A part of the day or week, the text without it, and a sentence on how loose words were read ("" for exact ones).

    >>> found, rest, note = find_hours("logins between 22:00 and 6:00")
    >>> found.from_s / 3600, found.to_s / 3600, rest, note
    (22.0, 6.0, 'logins  ', '')
    >>> found, _, _ = find_hours("logins on sundays after 20:00")
    >>> found.from_s / 3600, found.days
    (20.0, (6,))
    """
    clock = _part_of_day(text)
    if clock is not None:
        text = _without(text, clock[1])
    week = _part_of_week(text)
    if week is None:
        return None if clock is None else (clock[0], text, clock[2])
    text = _without(text, week[1])
    if clock is None:
        return week[0], text, ""
    hours, days = clock[0], week[0]
    if hours.outside or days.outside or hours.days:
        return None  # two conditions on time that no single part of the week says
    return hours.model_copy(update={"said": f"{hours.said} {days.said}", "days": days.days}), text, clock[2]


def _without(text: str, span: tuple[int, int]) -> str:
    return f"{text[: span[0]]} {text[span[1] :]}"


def _part_of_day(text: str) -> tuple[Hours, tuple[int, int], str] | None:
    match = _FROM_TO.search(text)
    if match is not None and (match["am"] or match["bm"] or match["ap"] or match["bp"]):
        later = match["bp"] or ""
        low, high = _clock(match, "a", later), _clock(match, "b", later)
        if low is not None and high is not None and low != high:
            return Hours(said=match[0], from_s=low, to_s=high, outside=bool(match["not"])), match.span(), ""
    match = _AFTER.search(text)
    if match is not None and (match["am"] or match["ap"]):
        at = _clock(match, "a", "")
        if at is not None:
            low, high = (at, 86_400.0) if match["side"] in ("after", "later than") else (0.0, at)
            return Hours(said=match[0], from_s=low, to_s=high), match.span(), ""
    for words, low_h, high_h, days, outside in _NAMED:
        match = re.search(rf"\b(?P<not>(?:except|not|but not|other than) )?{words}\b", text)
        if match is not None:
            other = outside != bool(match["not"])
            at_work = " on Monday to Friday" if days else ""
            note = f"“{match[0]}” was read as {'all times but ' if other else ''}from {low_h}:00 to {high_h}:00{at_work}."
            hours = Hours(said=match[0], from_s=low_h * 3600.0, to_s=high_h * 3600.0, days=days, outside=other)
            return hours, match.span(), note
    return None


def _part_of_week(text: str) -> tuple[Hours, tuple[int, int]] | None:
    found: re.Match[str] | None = None
    days: tuple[int, ...] = ()
    for words, named in _DAY_SETS:
        if found is None and (found := re.search(rf"(?:\b|^){words}", text)) is not None:
            days = named
    if found is None and (found := _DAY_RANGE.search(text)) is not None:
        a, b = (_DAYS.index(found[x]) for x in ("a", "b"))
        days = tuple(sorted((a + i) % 7 for i in range((b - a) % 7 + 1)))
    if found is None and (found := _DAY_LIST.search(text)) is not None:
        days = tuple(sorted({_DAYS.index(d) for d in re.findall(_DAY, found["x"])}))
    if found is None:
        return None
    said = " ".join(found[0].split())
    return Hours(said=said, from_s=0.0, to_s=86_400.0, days=days, outside=bool(found["not"])), found.span()


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
