"""The numbers of a sentence: digits, sign, unit, and the noun of what they count."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.checking.measures import NOUNS
from agent.checking.roles import Number, follows_freely
from agent.checking.utterance import Utterance
from agent.checking.words import is_plain

_NUMBER = re.compile(
    r"(?<![\w.])(?P<sign>[-−+](?=\d))?(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:e[-+]?\d+)?)(?!\d|\.\d)", re.I
)
_UNIT = re.compile(r"\s?(%|×|percent\b|[A-Za-zµ°]{1,3}[²³23]?/[A-Za-z]{1,3}[²³23]?|°\s?[CF]?|[A-Za-zµ]+[²³]?)")
_UNIT_WORDS = {
    "millimetres per second": "mm/s", "millimeters per second": "mm/s", "cubic metres per hour": "m3/h", "cubic meters per hour": "m3/h",
    "degrees celsius": "°c", "degrees": "°c", "amps": "a", "amperes": "a", "ampere": "a", "volts": "v", "watts": "w", "bars": "bar",
}  # fmt: skip
_COMPARED = re.compile(
    r"\s*(?:halves|thirds?|quarters?|fourths?|fifths?|sixths?|tenths?)\b|\s*(?:times|×|x|-?fold)\s+(?:as|the|what|its)\b", re.I
)
"""Fractions and multiples of something: `comparisons` reads them."""
_UNITS = frozenset(("%", "percent", "×", "x", "times", "fold", "px", "pixel", "pixels", *_UNIT_WORDS.values()))
_SHORT = frozenset(("mm", "bar", "fps", "hundred", "thousand", "dozen", "celsius", "degrees"))
_NO_NOUN = frozenset(
    [
        "and",
        "with",
        "by",
        "in",
        "to",
        "at",
        "is",
        "are",
        "was",
        "were",
        "for",
        "from",
        "on",
        "but",
        "while",
        "which",
        "that",
        "during",
        "before",
        "after",
        "over",
        "under",
        "above",
        "below",
        "than",
        "against",
        "until",
        "since",
        "when",
        "as",
        "because",
        "so",
    ]
)


def numbers_of(said: Utterance, rest: str) -> Iterator[Number]:
    """The numbers in `rest`, the sentence without what is checked elsewhere; fractions and multiples are `amounts`.

    >>> from agent.checking.facts import Facts
    >>> [(n.digits, n.noun) for n in numbers_of(Utterance("Of 9 photos 2 are flagged.", Facts.of(())), "Of 9 photos 2 are flagged.")]
    [('9', 'photo'), ('2', '')]
    """
    for match in _NUMBER.finditer(rest):
        tail = rest[match.end() :]
        if _COMPARED.match(tail):
            continue
        low = tail.lower().lstrip()
        unit = next((u for words, u in _UNIT_WORDS.items() if low.startswith(words)), "")
        found = _UNIT.match(tail)
        if not unit and found:
            unit = found[1].lower().replace("³", "3").replace("²", "2").replace(" ", "")
        words = [w.lower() for w in re.findall(r"[A-Za-z]+|[^\w\s]", tail)[:4]]
        ends = next((k for k, w in enumerate(words) if w in "of,;.:()[]→" or w in _NO_NOUN), 4)
        noun = next((NOUNS[w] for w in words[: max(ends, 0)] if w in NOUNS), "")
        if (not ends or not words) and not unit.strip("%"):
            label = re.search(r"(\w+)\s*(?::|=)\s*$|(\w+s)\s+$", rest[: match.start()])  # "Frames: 86"
            noun = NOUNS.get((label[1] or label[2]).lower(), "") if label else noun
        if (
            unit not in said.facts.units
            and unit not in _UNITS
            and unit not in _SHORT
            and (follows_freely(unit) or is_plain(unit))
        ):
            unit = ""
        value = float(match["digits"].replace(",", "")) * (-1 if match["sign"] in ("-", "−") else 1)
        yield Number(match.start(), match.end(), match["digits"].replace(",", ""), value, unit, noun)
