"""The words of a sentence: which are the evidence's or plain reporting, which are the writer's own, and whether they are English."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from agent.checking.numerals import MONTHS, VALUES
from agent.checking.utterance import Utterance
from agent.reading.languages import detect_language

_WORD = re.compile(r"[^\W\d_]{2,}")
_ALSO = frozenset(
    (
        "utc",
        "sensor",
        "sensors",
        "hundred",
        "thousand",
        "dozen",
        "th",
        "st",
        "nd",
        "rd",
        "mm",
        "bar",
        "percent",
        "celsius",
        "degrees",
        "fps",
        "px",
    )
)
_DIRECTIONS = (
    "rise rises rose risen rising increase increases increased climb climbs climbed jump jumps jumped fall falls fell fallen "
    "falling drop "
    "drops dropped decrease decreases decreased decline declines declined change changes changed"
)
_COMPARATIVES = "than more less longer shorter stronger weaker worse severe serious higher lower"
_IDIOM = re.compile(r"\bmost often\b|\bsays what is common\b|\bin short\b")
LEAST_ENGLISH = 0.2


def own_words(said: Utterance) -> list[str]:
    """The words of a sentence that neither the evidence nor plain reporting has.

    >>> from agent.checking.facts import Facts
    >>> own_words(Utterance("The peak shows a man with a hat.", Facts.of(())))
    ['man', 'hat']
    """
    known = {stem(w) for w in said.facts.vocabulary}
    if any(leaf.key == "before" for leaf in said.facts.leaves):  # which way a value went is checked where it is known
        known |= {stem(w) for w in _DIRECTIONS.split()}
    if re.search(r"\bthan\b", said.bare, re.IGNORECASE):  # so is which of two is more
        known |= {stem(w) for w in _COMPARATIVES.split()}
    if "motion" in said.facts.vocabulary:
        known |= {stem(w) for w in ("move", "moves", "moved", "moving", "movement")}
    known |= _reporting()
    return [w for w in _WORD.findall(_IDIOM.sub(" ", said.bare.casefold())) if len(w) >= 3 and stem(w) not in known]


def is_plain(word: str) -> bool:
    """Whether a word is one of plain reporting.

    >>> is_plain("Severity"), is_plain("Siemens")
    (True, False)
    """
    return stem(word.casefold()) in _reporting()


def unreadable(text: str) -> str:
    """Why the words of a text cannot be checked: another script, or another language; "" when they can.

    >>> unreadable("Alles ist in Ordnung."), unreadable("The wall is painted.")
    ('it is not in English', '')
    """
    strange = [w for w in re.findall(r"[^\W\d_]+", text) if any(not _latin(c) for c in w) and not re.fullmatch(r"[Ωµμσ°]\w?", w)]
    if strange:
        return f"{strange[0]!r} has letters of another script"
    words = re.findall(r"[^\W\d_]+", text.casefold())
    if detect_language(text.casefold()) != "en":
        return "it is not in English"
    plain = [w for w in words if stem(w) in _reporting() or w in _ALSO]
    return "it is not in English" if len(words) >= 3 and len(plain) < LEAST_ENGLISH * len(words) else ""


def _latin(char: str) -> bool:
    return ord(char) < 0x250 or 0x1E00 <= ord(char) < 0x1F00


@cache
def stem(word: str) -> str:
    """A word without its ending, roughly.

    >>> stem("starts") == stem("starting") == stem("started")
    True
    """
    for end in ("ing", "ed", "ly", "es", "s"):
        if word.endswith(end) and len(word) - len(end) >= 3:
            return word[: -len(end)].rstrip("e")
    return word.rstrip("e")


@cache
def _reporting() -> frozenset[str]:
    lines = (Path(__file__).parent / "report_words.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(
        stem(word) for line in lines if not line.startswith("#") for word in (*line.split(), *MONTHS, *VALUES, *_ALSO)
    )
