"""The small things a question says: what is looked for, how many, how serious, how sensitive, in which form."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.question import Intent, View
from agent.reading.names import NUMBERS, Span
from agent.reading.phrases import each, either, headed, word

MAX_WORDS = 8
_LOOKING: frozenset[Intent] = frozenset(("exists", "how_many", "when", "where", "show", "list", "who", "overview", "which"))
_MARK = "\x01"
_AUXILIARY = re.compile(r" (?:do|does|did|is|are|was|were|has|have|had)$")
"""What is left of "how many scratches does tile 4 have" once the tile is taken out."""


def read_limit(text: str) -> int | None:
    """How many the person wants to see ("top 3", "the five worst"), or None.

    >>> read_limit("show me the three worst ones")
    3
    """
    for pattern in each("limit"):
        match = pattern.search(text)
        if match is not None:
            return NUMBERS.get(match[1], 0) or (int(match[1]) if match[1].isdigit() else 0) or None
    return None


def read_sensitivity(text: str) -> int:
    """+1 for "stricter", -1 for "too many alarms", else 0."""
    return -1 if either("less").search(text) else 1 if either("more").search(text) else 0


def read_min_severity(text: str) -> int:
    """Least severity (0–3) for "only serious ones"."""
    match = either("serious").search(text)
    if match is None:
        return 0
    return 3 if re.search("critical|urgent", match[0]) else 2


def read_view(text: str) -> View | None:
    """In which form something is to be shown, if the person says."""
    views: dict[str, View] = {"heatmap": "heatmap", "frame": "frame", "curve": "curve", "table": "table"}
    return next((views[name] for name, pattern in headed("view") if pattern.search(text)), None)


def read_format(text: str) -> str | None:
    """File format of an export, if the person names one."""
    match = either("export format").search(text)
    return {"excel": "xlsx", "spreadsheet": "csv"}.get(match[1], match[1]) if match else None


def read_negation(text: str, intents: Sequence[Intent]) -> bool:
    """True when the question asks for what is not abnormal: "which ones are fine", "how many are not broken".

    >>> read_negation("which ones are fine", ["which"]), read_negation("which ones are not fine", ["which"])
    (True, False)
    """
    if not set(intents) & {"which", "how_many", "list", "show", "who", "when"}:
        return False
    normal, odd = word("good"), f"(?:{word('bad')}|{word('finding')}|{word('found')})"
    good = bool(re.search(rf"\b{normal}\b", text))
    bad = bool(re.search(rf"\b{odd}\b", text))
    negated = bool(re.search(rf"\b(?:not|no|without|free of|neither)\b(?: \w+){{0,3}} (?:{normal}|{odd})\b", text))
    return (good and not negated) or (bad and negated and not good)


def read_concept(text: str, spans: Sequence[Span], intents: Sequence[Intent]) -> str | None:
    """The X in "are there any X", or None when only "anything abnormal" is meant; `spans` are times and names, no part of X.

    >>> read_concept("are there any deep scratches on the second image?", [(32, 48)], ["exists"])
    'deep scratches'
    >>> read_concept("are there any anomalies here?", [], ["exists"]) is None
    True
    """
    if not set(intents) & _LOOKING:
        return None
    for a, b in spans:
        text = text[:a] + _MARK * (b - a) + text[b:]
    for pattern in each("concept"):
        match = pattern.search(text)
        if match is not None and not match["x"].startswith(_MARK):  # "how many people can you see at 0:13?"
            return noun_phrase(match["x"])
    return None


def noun_phrase(words: str) -> str | None:
    """Cut a phrase at the first word that no longer belongs to the thing; None when nothing particular is left.

    >>> noun_phrase("deep scratches in the photos"), noun_phrase("problems")
    ('deep scratches', None)
    """
    joints = r"(?:\b(?:in|on|at|during|between|from|after|before|around|of|for|to|by|into|via|with|the|any|all|each|these|those|my)\s*)*"
    phrase = re.split(rf"\s*{joints}{_MARK}", words)[0]
    phrase = either("concept ends").sub("", " " + phrase).strip(" ,'\"")
    phrase = re.sub(rf"^{word('determiners')}", "", phrase + " ").strip()
    phrase = re.sub(
        rf"^(?:(?:{word('odd')}|abnormal|serious|severe|critical|minor|big|small) )+(?={word('found')}\b|\w+$)", "", phrase
    )
    phrase = _AUXILIARY.sub("", phrase)
    first = phrase.split(" ")[0]
    generic, specific = either("concept is generic"), either("concept is specific")
    first = phrase if first == "failed" else first  # failed logins are a thing of their own
    if not phrase or any(generic.fullmatch(p) and not specific.fullmatch(p) for p in (first, phrase)):
        return None
    return " ".join(phrase.split()[:MAX_WORDS])
