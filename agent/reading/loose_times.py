"""Times of a message that was heard to ask about times (`agent.reader`), though the strict grammar read none, or only one of two.

"Is the bit from 20 to 25 alright?" counts seconds in a video and nothing in photos, so numbers alone are no times to
`agent.reading.time_words`. Where a time is wanted they are: `spelled_out` writes what people say loosely (number words, ordinals, days
of the month, hours without a clock) as the strict grammar reads it. The text may change its length: spans of it mean nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from agent.question import SourceInfo
from agent.reading.time_marks import DAY

_ONES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_TENS = ("twenty", "thirty", "forty", "fifty")
_IRREGULAR = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def _spelled() -> dict[str, int]:
    """Words for 1 to 59 ("twenty-five", "twenty five")."""
    made = {word: n for n, word in enumerate((*_ONES, *_TEENS), start=1)}
    for tens, word in enumerate(_TENS, start=2):
        made[word] = 10 * tens
        made |= {f"{word}{joint}{one}": 10 * tens + n for n, one in enumerate(_ONES, start=1) for joint in "- "}
    return made


def _nth(cardinal: str) -> str:
    """The ordinal of a number word."""
    head, last = re.fullmatch(r"(.*[- ])?(\w+)", cardinal).groups("")  # type: ignore[union-attr]
    return head + (_IRREGULAR.get(last) or (last.removesuffix("y") + "ieth" if last.endswith("y") else last + "th"))


_CARDINALS = _spelled()
_ORDINALS = {_nth(word): n for word, n in _CARDINALS.items()}


def _either(words: dict[str, int]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_NUMBER = rf"(?:\d{{1,5}}(?:\.\d{{1,2}})?|{_either(_CARDINALS)})"
_ORDINAL = rf"(?:\d{{1,4}}(?:st|nd|rd|th)|{_either(_ORDINALS)})"
_TO = r"(?:-|–|to|until|till|through|thru|and)"
_WORDLESS = r"(?![\w:.%/-]*\d)(?![\w:%/])(?!\.\d)"
_PLACED = (
    r"(?:at|around|about|from|after|before|until|till|since|near|by|in|like|with|than|against|versus|vs\.?|and|or|next to|past)"
)
_NO_TIME = (
    r"(?! ?(?:people|persons?|men|women|of|times?|percent|%|degrees?|bar|mm|cm|m\b|km|frames?|photos?|images?|things?|more|vans?|cars?"
    r"|events?|anomal\w+|findings?|processes|channels?|sensors?|days?|hours?|minutes?|weeks?|o'?clock|am\b|pm\b|a\.m|p\.m))"
)
"""What follows a number that counts or measures something."""


def spelled_out(text: str, source: SourceInfo) -> str:
    """`text` with what may be a time of `source` written as the strict grammar reads it.

    >>> clip = SourceInfo(name="yard.mp4", kind="video", duration_s=60.0)
    >>> spelled_out("what happens at second nine, and from 20 to twenty-five?", clip)
    'what happens at second 9, and from second 20 to second 25?'
    >>> spelled_out("compare the tenth second with the fifth", clip)
    'compare at second 10 with second 5'
    """
    said = re.sub(r"\bhalf[- ]?way(?: point)?\b", "halfway", text.lower())
    if source.kind == "video" or (source.kind == "series" and source.epoch_s is None and source.time_base == "elapsed"):
        return _seconds(said)
    if source.epoch_s is not None and source.duration_s is not None and math.isfinite(source.duration_s):
        return _clock(said, source.epoch_s, source.duration_s)
    return said


def _number(word: str) -> str:
    return str(_CARDINALS.get(word.strip(), word.strip()))


def _place(word: str) -> int:
    word = word.strip()
    return _ORDINALS.get(word) or int(re.sub(r"\D", "", word))


def _replaced(pattern: str, made: Callable[[re.Match[str]], str], text: str) -> str:
    return re.sub(pattern, made, text)


def _seconds(said: str) -> str:
    """Numbers and ordinals as seconds from the start."""
    said = _replaced(
        rf"\b(?:seconds?|secs?) ({_NUMBER}) ?{_TO} ?(?:second )?({_NUMBER})\b{_WORDLESS}",
        lambda m: f"second {_number(m[1])} to second {_number(m[2])}", said,
    )  # fmt: skip
    said = _replaced(rf"\b(?:seconds?|secs?) ({_NUMBER})\b{_WORDLESS}", lambda m: f"second {_number(m[1])}", said)
    said = _replaced(
        rf"\b(?:the )?({_ORDINAL}) (?:{_TO} (?:the )?({_ORDINAL}) )?(?:second|sec)\b(?! (?:half|part|time))",
        lambda m: f"second {_place(m[1])}" + (f" to second {_place(m[2])}" if m[2] else ""), said,
    )  # fmt: skip
    said = _replaced(rf"\b({_NUMBER}) ?(?:seconds?|secs?|s)\b", lambda m: f"second {_number(m[1])}", said)
    said = _replaced(
        rf"(?<!second )(?<![\d:.])\b({_NUMBER}) ?(?:-|–|to|until|till|through) ?(?:second )?({_NUMBER})\b{_WORDLESS}{_NO_TIME}",
        lambda m: f"second {_number(m[1])} to second {_number(m[2])}", said,
    )  # fmt: skip
    said = _replaced(
        rf"\b({_PLACED}) ({_NUMBER})\b{_WORDLESS}{_NO_TIME}", lambda m: f"{m[1]} second {_number(m[2])}", said
    )  # fmt: skip
    said = _replaced(
        rf"(?<!second )(?<![\d:.])\b({_NUMBER}) (against|versus|vs\.?|or) (?=second \d)", lambda m: f"second {_number(m[1])} {m[2]} ", said
    )  # fmt: skip
    if re.search(r"\bsecond\b", said):  # "the tenth second with the fifth"
        said = _replaced(rf"\b(?:the )({_ORDINAL})(?=\s*(?:$|[?.!,;]))", lambda m: f"second {_place(m[1])}", said)
    said = re.sub(r"\bsecond (\d[\d.]*) of (?:the|this) \w+", r"second \1", said)
    led = rf"\b((?!(?:{_PLACED}|to|through)\b)[a-z]+) (?=second \d)"
    return _ends(re.sub(led, r"\1 at ", said))


def _ends(said: str) -> str:
    """The beginning and the end where two times are compared."""
    return _replaced(
        r"\b(?:(?:with|to|and|than|against|versus|vs\.?) )?(?:(?:the|its|his|their) )?(beginning|start|middle|end)\b"
        r"(?: of (?:the|this) \w+)?"
        r"(?=.*\b(?:beginning|start|middle|end)\b|\s*(?:$|[?.!,;]))",
        lambda m: f"with the {m[1]}", said,
    )  # fmt: skip


def _clock(said: str, epoch_s: float, duration_s: float) -> str:
    """Days of the month as dates, hours as clock times, where the recording holds one such day or hour."""
    if duration_s > 2 * DAY:
        said = re.sub(r"\b(?:(?:by|during the|over the|in the) day(?:time)?|days(?= (?:and|versus|vs\.?|or|with) (?:the )?nights)"
                      r"|(?<=nights )(?:and|versus|vs\.?|or|with) (?:the )?days)\b", "with daytime", said)  # fmt: skip
        said = re.sub(r"\b(?:nights|by night|at night)\b", "with night", said)
    days = _days(epoch_s, duration_s)

    def day(m: re.Match[str]) -> str:
        those = days.get(_place(m[1]), [])
        return f"on {those[0]}" if len(those) == 1 else m[0]

    if len(days) > 1 or duration_s > DAY:
        said = _replaced(
            rf"\b(?:on )?(?:the )({_ORDINAL})\b(?! (?:week|day|half|quarter|hour|time|one|sensor|channel|of\b))", day, said
        )
    said = re.sub(r"\blunch ?(?:time|break|hour)\b", "lunchtime", said)
    said = re.sub(r"\b(before|until|till|by|after) lunch\b", r"\1 noon", said)
    if duration_s > DAY:
        return said
    said = re.sub(
        r"\b(?:the )?(?:start|beginning) of the day\b|\b(?:did|does) (?:the|its|his) (?:day|morning) (?:begin|start)\b", "the first hour",
        said,
    )  # fmt: skip
    said = re.sub(r"\b(?:the )?end of the day\b|\b(?:did|does) (?:the|its|his) day end\b", "the last hour", said)
    first_h = epoch_s % DAY / 3600.0
    return _replaced(
        rf"\b(between|from|to|and|until|till|at|around|by|before|after|with|than) ({_NUMBER})\b{_WORDLESS}{_NO_TIME}",
        lambda m: f"{m[1]} {hour}" if (hour := _hour(_number(m[2]), first_h, duration_s / 3600.0)) else m[0], said,
    )  # fmt: skip


def _hour(number: str, first_h: float, hours: float) -> str:
    """The clock time that an hour without its half of the day means in a recording of at most a day."""
    if not number.isdigit() or not 1 <= int(number) <= 24:
        return ""
    for hour in (int(number), int(number) + 12):
        if first_h - 1 <= hour <= first_h + hours + 1 and hour <= 24:
            return f"{hour}:00"
    return ""


def _days(epoch_s: float, duration_s: float) -> dict[int, list[str]]:
    """Dates of a recording by their day of the month."""
    try:
        first = datetime.fromtimestamp(0, UTC) + timedelta(seconds=epoch_s)
        count = min(math.ceil((epoch_s % DAY + duration_s) / DAY), 400)
        dates = [(first + timedelta(days=n)).date() for n in range(count)]
    except OverflowError:
        return {}
    found: dict[int, list[str]] = {}
    for date in dates:
        found.setdefault(date.day, []).append(date.isoformat())
    return found
