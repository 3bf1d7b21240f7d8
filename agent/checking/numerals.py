"""Numbers, dates and times that a sentence spells out, put into the one form that is checked: digits, `2026-03-07 10:20`, `14:30`.

>>> spelled_out("Sixty-one percent on March 7th, 2026 at half past two, for an hour and 25 minutes")
'61 percent on 2026-03-07 2:30, for 85 minutes'
"""

from __future__ import annotations

import re
import unicodedata

_UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
VALUES = {word: i for i, word in enumerate(_UNITS.split())} | {word: 20 + 10 * i for i, word in enumerate(_TENS.split())}
_LARGE = {"hundred": 100, "thousand": 1_000, "million": 1_000_000}
_TENS_NAMES, _DIGIT_NAMES = "|".join(_TENS.split()), "|".join(_UNITS.split()[1:10])
_SMALL = rf"(?:(?:{_TENS_NAMES})(?:[\s-](?:{_DIGIT_NAMES}))?|(?:{'|'.join(sorted(_UNITS.split(), key=len, reverse=True))}))"
_HUNDRED = rf"(?:(?:an?|{_SMALL})\s+hundred(?:\s+(?:and\s+)?{_SMALL})?)"
_PHRASE = re.compile(
    rf"\b(?:half a dozen|(?:a|{_SMALL})\s+dozen|(?:an?|{_HUNDRED}|{_SMALL})\s+(?:thousand|"
    rf"million)(?:\s+(?:and\s+)?(?:{_HUNDRED}|{_SMALL}))?|"
    rf"{_HUNDRED}|{_SMALL})\b",
    re.IGNORECASE,
)
_ONE = re.compile(
    r"one(?=\s+(?:of\b|in\b|with\b|reason\b|thing\b|way\b|case\b|\d|that|who|which|is\b|was\b|looks?\b|has\b|another\b|point\b|hand\b|by\b|sees?\b|can\b|could\b|may\b|"
    r"should\b|[^\w\s]|$)|[^\w\s]|$)",
    re.I,
)
"""`one` as a pronoun."""
MONTHS = {
    name: i + 1 for i, name in enumerate(
        ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"])
}  # fmt: skip
_SHORT = {name[:3]: number for name, number in MONTHS.items()} | {"sept": 9}
_MONTH = "|".join([*MONTHS, *(f"{s}\\b\\.?" for s in _SHORT)])
_DAY_FIRST = re.compile(rf"\b(?:the\s+)?(\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?({_MONTH})(?:,?\s+(\d{{4}}))?\b", re.I)
_MONTH_FIRST = re.compile(rf"\b({_MONTH})\s+(?:the\s+)?(\d{{1,2}})(?:st|nd|rd|th)?\b(?!:)(?:,?\s+(\d{{4}}))?\b", re.I)
_DOTTED = re.compile(r"(?<![\w./-])(\d{1,2})([./-])(\d{1,2})\2(\d{4})\b(?![-/]\w)")
_HALF_DAY = re.compile(r"\b(\d{1,2})(?::(\d{2})(:\d{2})?)?\s?([ap])\.?m\b\.?", re.I)
_OCLOCK = re.compile(r"\b(\d{1,2})\s?o[’']clock", re.I)
_PAST = re.compile(r"\b(half|(?:a\s+)?quarter|\d{1,2}(?:\s+minutes?)?)\s+(past|to|after|before)\s+(\d{1,2})\b(?![:.\d])", re.I)
_DAY_THEN = re.compile(r"(\d{4}-\d{2}-\d{2})(?:,|\s+at|,\s+at)?\s+(\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)")
_THEN_DAY = re.compile(r"\b(\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)\s+(?:on|of)\s+(?:the\s+)?(\d{4}-\d{2}-\d{2})")
_COMPOSITE = re.compile(r"\b(\d+)\s*(?:h|hrs?|hours?)\b,?\s*(?:and\s+)?(\d{1,2})\s*(?:m|mins?|minutes?)\b", re.I)
_COMPOSITE_SECONDS = re.compile(r"\b(\d+)\s*(?:m|mins?|minutes?)\b,?\s*(?:and\s+)?(\d{1,2})\s*(?:s|secs?|seconds?)\b", re.I)
_NOBODY = re.compile(r"\b(?:nobody|no[ -]one|no (?=people|persons?|humans?))\b", re.I)


def clean(text: str) -> str:
    """Text without invisible characters, with every digit, letter variant and dash in its plain form; case and names are kept.

    >>> clean("６.４\u200b９ mm/s")
    '6.49 mm/s'
    """
    kept = []
    for char in text:
        category = unicodedata.category(char)
        if category in ("Cf", "Cn", "Co", "Cs") or (category == "Cc" and char not in "\n\t"):
            continue
        if char in "²³µ…":
            kept.append(char)
        elif char.isdecimal():
            kept.append(str(unicodedata.decimal(char)))
        elif category in ("No", "Nl") or ord(char) >= 0xFB00 or category == "Zs":
            kept.append(unicodedata.normalize("NFKC", char))
        else:
            kept.append(char)
    return unicodedata.normalize("NFC", "".join(kept))


def spelled_out(text: str, year: int | None = None) -> str:
    """A sentence with its numbers in digits and its dates and times in one form; a date without a year is given `year`."""
    text = re.sub(r"\bper[ -]cents?\b", "percent", text, flags=re.I)
    text = re.sub(r"\b(?:an?|one) hour and a half\b|\bone and a half hours\b", "1.5 hours", text, flags=re.I)
    text = re.sub(r"\b(?:half an hour|an? half[ -]hour)\b", "30 minutes", text, flags=re.I)
    text = re.sub(r"\b(in|per|within|for|at) one (?=[a-z])(?!(?:second|minute|hour|day|week)\b)", r"\1 a ", text, flags=re.I)
    text = re.sub(
        r"\ban? (?=(?:second(?!\s+[a-z])|second(?=\s+(?:later|earlier|long|after|before|into|or|and|to|mark)\b)|"
        r"minute|hour|day|week|month|year)\b)",
        "1 ",
        text,
        flags=re.I,
    )
    text = re.sub(r"\b(?:a pair|a couple)\b", "2", text, flags=re.I)
    text = _NOBODY.sub("0 people ", text)
    text = re.sub(r"\bnone of\b", "0 of", text, flags=re.I)
    text = re.sub(r"(\b(?:of|among) (?:the |all |your )?\w+ \w+, (?:only |just )?)one\b", r"\g<1>1", text, flags=re.I)
    text = re.sub(r"\bseverity score\b", "severity", text, flags=re.I)
    text = re.sub(r"\bbetween (\d[\d.]*) and (\d[\d.]*) (seconds|s|minutes|min)\b", r"from \1 \3 to \2 \3", text, flags=re.I)
    text = re.sub(r"\bonce (?:per|a|every|each) (?=second|minute|hour|day)", "1 per ", text, flags=re.I)
    text = _PHRASE.sub(_digits, text)
    text = re.sub(r"(?<![\d.])(\d+) and a half\b", r"\1.5", text, flags=re.I)
    text = re.sub(r"(?<=\d) point (?=\d)", ".", text)
    text = re.sub(r"(?<![\d./-])(\d{1,4})\s?/\s?(\d{1,4})(?![\d./-])(?!\s*100\b)", _of, text)
    text = re.sub(r"(\d[\d.,]*)\s*(\S{0,6})\s*(?:→|->)\s*(?=\d)", r"from \1 \2 to ", text)
    text = re.sub(r"(\d[\d.]*)( \S{1,5})? instead of (\d[\d.]*)", r"from \3 to \1\2", text)
    text = re.sub(r"\b(?:vs\.?|versus)(?=\s)", "against", text, flags=re.I)
    text = re.sub(r"(?<=\d)\s*>\s*(?=(?:the )?(?:threshold\s*)?\d)", " above ", text)
    text = re.sub(r"(?<=\d)\s*<\s*(?=(?:the )?(?:threshold\s*)?\d)", " below ", text)
    text = _DAY_FIRST.sub(lambda m: _iso(m[3], m[2], m[1], year, m[0]), text)
    text = _MONTH_FIRST.sub(lambda m: _iso(m[3], m[1], m[2], year, m[0]), text)
    text = _HALF_DAY.sub(_half_day, text)
    text = _OCLOCK.sub(r"\1:00", text)
    text = re.sub(r"\b(?:at )?(?:high )?noon\b|\bmidday\b", "12:00", text, flags=re.I)
    text = re.sub(r"\bmidnight\b", "0:00", text, flags=re.I)
    text = _PAST.sub(_past, text)
    text = _DAY_THEN.sub(r"\1 \2", text)
    text = _THEN_DAY.sub(r"\2 \1", text)
    text = re.sub(
        r"(?<![\d.])(\d[\d.]*) (?:out )?of (?:the )?(\d[\d.]*) (s|seconds|min|minutes|h|hours)\b", r"\1 \3 of \2 \3", text
    )
    text = _COMPOSITE.sub(lambda m: f"{60 * int(m[1]) + int(m[2])} minutes", text)
    return _COMPOSITE_SECONDS.sub(lambda m: f"{60 * int(m[1]) + int(m[2])} seconds", text)


def _of(match: re.Match[str]) -> str:
    """4/9 as a part of a whole; out of a hundred as a grade."""
    return match[0] if match[2] == "100" or int(match[1]) > int(match[2]) else f"{match[1]} of {match[2]}"


def date_readings(text: str) -> list[str]:
    """A sentence whose dates are written as 07/03/2026, in each reading that is a date: the day first, and the month first.

    >>> date_readings("on 07/03/2026"), date_readings("on 14.03.2026")
    (['on 2026-03-07', 'on 2026-07-03'], ['on 2026-03-14'])
    """
    if not _DOTTED.search(text):
        return [text]
    first = _DOTTED.sub(lambda m: _numeric(m[4], m[3], m[1], m[0]), text)
    second = _DOTTED.sub(lambda m: _numeric(m[4], m[1], m[3], m[0]), text)
    found = [t for t in dict.fromkeys((first, second)) if not _DOTTED.search(t)]
    return found or [text]


def _numeric(year: str, month: str, day: str, text: str) -> str:
    return f"{year}-{int(month):02d}-{int(day):02d}" if 1 <= int(month) <= 12 and 1 <= int(day) <= 31 else text


def _iso(year: str | None, month: str, day: str, default: int | None, text: str) -> str:
    number = (
        MONTHS.get(month.lower())
        or _SHORT[month.lower().rstrip(".")[:4] if month.lower().startswith("sept") else month.lower()[:3]]
    )
    if year is None and default is None:
        return text
    return f"{year or default}-{number:02d}-{int(day):02d}"


def _half_day(match: re.Match[str]) -> str:
    hour = int(match[1]) % 12 + (12 if match[4].lower() == "p" else 0)
    return f"{hour}:{match[2] or '00'}{match[3] or ''}"


def _past(match: re.Match[str]) -> str:
    minutes = 30 if match[1].lower() == "half" else 15 if "quarter" in match[1].lower() else int(match[1].split()[0])
    hour = int(match[3])
    if match[2].lower() in ("to", "before"):
        hour, minutes = hour - 1, 60 - minutes
    return f"{hour % 24}:{minutes:02d}" if 0 <= minutes < 60 else match[0]


def _digits(match: re.Match[str]) -> str:
    """The value of a number in words; a lone pronoun `one` stays a word."""
    text = match[0]
    words = re.findall(r"[a-z]+", text.lower())
    if words == ["one"] and _ONE.match(match.string, match.start()):
        return text
    if words[0] == "half":
        return "6"
    total, part = 0, 0
    for word in words:
        if word in VALUES:
            part += VALUES[word]
        elif word == "hundred":
            part = max(part, 1) * 100
        elif word == "dozen":
            part = max(part, 1) * 12
        elif word in _LARGE:
            total, part = total + max(part, 1) * _LARGE[word], 0
    return str(total + part)
