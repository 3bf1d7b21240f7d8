"""The words of a sentence: which are the evidence's or plain reporting, which are the writer's own, and whether they are English.

Some plain words claim something all the same: which is more, which is first, what is usual, how sure. They pass only inside a claim that
the evidence bears out, so a claim that no reader understood is never taken for mere reporting.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from agent.checking.claims import Claim
from agent.checking.deeds import deed_words
from agent.checking.numerals import MONTHS, VALUES
from agent.checking.phrases import phrases
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
_BEARING = phrases("bearing")
"""Words that always claim something."""
_HARMLESS = phrases("harmless")
_REACH = 48
_BY_NUMBER = re.compile(
    r"highest|lowest|strongest|strangest|most|last|first|sure|surer|certain|confident|usual|higher|lower|more|less|fewer|single|top",
    re.I,
)
"""Bearing words that say which number or time is meant: one that holds in their clause bears them out."""
_IDIOM = phrases("idiom")
_PATH = re.compile(r"\b(?:folder|directory|path|key)\b", re.I)
"""Words beside which a folder may be named."""
LEAST_ENGLISH = 0.2
NOT_ENGLISH = "it is not in English"
"""Why nothing of a text in another language passes: its words cannot be held against the evidence."""


def own_words(said: Utterance, claims: Sequence[Claim] = ()) -> list[str]:
    """The words of a sentence that neither the evidence nor plain reporting has, nor a comparison among `claims` that holds.

    >>> from agent.checking.facts import Facts
    >>> own_words(Utterance("The peak shows a man with a hat.", Facts.of(())))
    ['man', 'hat']
    """
    known = {stem(w) for w in said.facts.vocabulary}
    if any(leaf.key == "before" for leaf in said.facts.leaves):  # which way a value went is checked where it is known
        known |= {stem(w) for w in _DIRECTIONS.split()}
    if "motion" in said.facts.vocabulary:
        known |= {stem(w) for w in ("move", "moves", "moved", "moving", "movement")}
    operations = {leaf.owner for leaf in said.facts.leaves if leaf.key == "operations_each"}
    known |= {stem(part) for name in operations for part in name.split("_")}
    known |= _reporting() | {stem(w) for w in deed_words(said)}
    if any(leaf.key in ("still_from_s", "fate") for leaf in said.facts.leaves):
        known |= {stem(w) for w in ("back", "stops", "changing", "moves", "again", "freezes", "froze")}
    text = _IDIOM.sub(lambda m: " " * len(m.group()), said.bare)
    for claim in claims:
        if claim.support and claim.type in ("comparison", "rank", "amount", "kind"):
            text = text[: claim.start] + " " * (claim.end - claim.start) + text[claim.end :]
    words = _WORD.findall(text.casefold())
    folders = said.facts.folders if beside_path(said) else frozenset()
    return [w for w in words if len(w) >= 3 and stem(w) not in known and w not in folders and not _BEARING.fullmatch(w)]


def unborne(said: Utterance, claims: Sequence[Claim]) -> list[str]:
    """The words of a sentence that claim something which none of its claims bears out."""
    held = [c for c in claims if c.support]
    harmless = [m.span() for m in _HARMLESS.finditer(said.bare)]
    found = []
    for match in _BEARING.finditer(said.bare):
        at, word = match.start(), match.group()
        if word.lower() == "whole" and any(leaf.key == "still_from_s" for leaf in said.facts.leaves):
            continue  # what stands still does so all the time
        if word.lower() == "both" and len(said.facts.items) > 1:
            continue  # what is said of both is held against each
        if any(c.start <= at < c.end and c.type != "name" for c in held) or any(a <= at < b for a, b in harmless):
            continue
        if _BY_NUMBER.fullmatch(word):
            a, b = said.clause(at)
            b += 24 if said.bare[b : b + 1] == ":" else 0
            b = max(b, at + _REACH)
            if any(a <= c.start < b and re.search(r"\d", c.text) and c.type not in ("name", "deed") for c in held):
                continue
        found.append(word)
    return found


def beside_path(said: Utterance) -> bool:
    """Whether a sentence speaks of a folder or a path: only there the name of a folder is one of its words."""
    return _PATH.search(said.bare) is not None


def is_visible(word: str) -> bool:
    """Whether a word is one for what a picture can show.

    >>> is_visible("jackets"), is_visible("steals")
    (True, False)
    """
    return stem(word.casefold()) in _listed("visible_words.txt")


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
        return NOT_ENGLISH
    plain = [w for w in words if stem(w) in _reporting() or w in _ALSO]
    return NOT_ENGLISH if len(words) >= 3 and len(plain) < LEAST_ENGLISH * len(words) else ""


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
    return _listed("report_words.txt") | {stem(word) for word in (*MONTHS, *VALUES, *_ALSO)}


@cache
def _listed(name: str) -> frozenset[str]:
    lines = (Path(__file__).parent / name).read_text(encoding="utf-8").splitlines()
    return frozenset(stem(word) for line in lines if not line.startswith("#") for word in line.split())
