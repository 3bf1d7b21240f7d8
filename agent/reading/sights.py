"""What a question asks of pictures: people, a kind of damage or event, a thing, a colour, or something no detector can tell.

Detectors of what is unusual name no kinds: whether an odd place is a crack or a stain, and whether an odd moment is a fall or a fight,
lies outside what they measure. Telling these questions apart keeps an answer from confirming what nobody looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from agent.question import Request
from agent.reading.phrases import either, headed
from agent.reading.tidy import words_of

Sight: TypeAlias = Literal["people", "type", "thing", "colour", "untold"]
_ASKS = frozenset(("exists", "how_many", "when", "who"))
"""Intents that a look at the pictures answers; the others are answered by what a detector found."""
_YES_OR_NO = frozenset(("exists", "is_normal"))
_POINTING = frozenset(("which", "where", "list", "show"))
"""Intents that want the findings themselves; a kind of damage named with them ("which tile has a crack?") needs its caution."""
_LONGEST = 60


@dataclass(frozen=True, kw_only=True)
class Asked:
    """`phrase` is what was asked for, in the person's words; `beyond` says more than that people are there (what they do)."""

    sight: Sight
    phrase: str
    beyond: bool = False
    whether: bool = False
    """True for a yes-or-no question."""
    count: bool = False
    damage: bool = False
    """True where a kind of damage only stands for "not as it should be" ("is it cracked?"): that something is wrong is a yes."""


def asked_of(request: Request) -> Asked | None:
    """What a question asks of pictures, or None when what a detector found answers it.

    >>> asked_of(Request(question="did somebody fall?", intents=("exists",), concept="somebody fall"))
    Asked(sight='people', phrase='somebody fall', beyond=True, whether=True, count=False, damage=False)
    >>> asked_of(Request(question="is tile 4 cracked?", intents=("is_normal",))).sight
    'type'
    >>> asked_of(Request(question="which tiles are damaged?", intents=("which",))) is None
    True
    >>> asked_of(Request(question="which tile has a crack?", intents=("which",))).phrase
    'crack'
    """
    text = words_of(request.question)
    intents = set(request.intents)
    if intents & {"compare", "how_bad", "explain", "why"}:
        return None
    if (colour := either("picture colour").search(text)) is not None:
        return Asked(sight="colour", phrase=colour[0])
    for title, pattern in headed("picture untold"):
        if pattern.search(text):
            return Asked(sight="untold", phrase=title)
    whether, count = bool(intents & _YES_OR_NO), "how_many" in intents
    people, kinds = either("picture people"), either("picture type")
    if request.concept and intents & _ASKS:
        phrase = request.concept
        if (person := people.search(phrase)) is not None:
            rest = phrase[: person.start()] + " " + phrase[person.end() :]
            beyond = not either("picture only people").fullmatch(rest.strip())
            return Asked(sight="people", phrase=phrase, beyond=beyond, whether=whether, count=count)
        if kinds.search(phrase):
            had = re.split(r"\b(?:have|has|had|shows?|contains?|with)\b", phrase)[-1].strip()  # "how many bottles have a crack"
            return Asked(sight="type", phrase=had if kinds.search(had) else phrase, whether=whether, count=count)
        return Asked(sight="thing", phrase=phrase, whether=whether, count=count) if intents & {"exists", "how_many"} else None
    if intents and intents <= _POINTING | _YES_OR_NO | {"when"} and intents & _POINTING and people.search(text) is None:
        found = kinds.search(text)
        return Asked(sight="type", phrase=found[0].removeprefix("a ")) if found else None
    if not intents or not intents <= _YES_OR_NO | {"when", "who"} or not intents & _YES_OR_NO:
        return None
    if (person := people.search(text)) is not None and "exists" in intents:
        said = re.split(r"[?!.;]", text[person.start() :])[0].strip()[:_LONGEST]
        return Asked(sight="people", phrase=said, beyond=True, whether=True)
    found = kinds.search(text)
    return Asked(sight="type", phrase=found[0], whether=True, damage="is_normal" in intents) if found else None


def asks_for_the_worse(request: Request) -> bool:
    """True for a question which of two is worse, also where it names neither.

    >>> asks_for_the_worse(Request(question="Which of the two is worse?", intents=("which",)))
    True
    """
    return "compare" in request.intents or bool(either("picture worse").search(words_of(request.question)))
