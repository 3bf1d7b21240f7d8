"""Questions about what came before or after an act in a video, why somebody did it, and what touched what.

An act is one that can be followed (somebody falls, runs, stops), read as a definition in words is; "the crash", "the incident" and the like
stand for what the detector found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from agent.reading.phrases import either
from agent.reading.tidy import words_of
from agent.rules.conditions import Predicate

Side: TypeAlias = Literal["before", "after", "cause", "contact"]

_SIDE = re.compile(
    r"\b(?:what|whats|anything|something|who|how|describe|tell)\b[^?]*?"
    r"\b(?P<side>before|prior to|leads? (?:up )?to|leading (?:up )?to|led (?:up )?to|preced\w+|after|following|followed|as a result of)\b"
    r"(?P<rest>[^?]*)"
)
_CAUSE = re.compile(
    r"^(?:so |and |but )?(?:why|how come|for what reason|what (?:made|makes|caused?|causes|let|brought))\b(?P<rest>[^?]*)"
)
_HITS = r"(?:hits?|struck|strikes|touch\w*|(?:ran|runs?|bump\w*|crash\w*) into|collid\w+ with|rams?|rammed|push\w*)"  # what meets what
_CONTACT = re.compile(
    rf"\b(?:what|who|which)(?: \w+)? {_HITS} (?:what|who|whom|which|the other)\b"
    rf"|\bwhat (?:did|does) (?:it|he|she|they|the \w+) {_HITS}"
)
_EVENT = re.compile(
    r"(?:crash|collision|accident|impact|incident|explosion|fight|attack|event|anomaly|that|it|this)(?: (?:happen|occur|start)\w*| began)?"
)
_NOUNS: tuple[tuple[str, Predicate], ...] = ((r"\b(?:the|his|her|their|that|this|a) (?:fall|tumble|collapse)\b", "falls"),)
FOLLOWED: frozenset[Predicate] = frozenset(("falls", "runs", "stops", "touches", "carries", "is left behind"))
"""Acts of the relation log that a question can start from."""


@dataclass(frozen=True, kw_only=True)
class Sequel:
    """What is asked around an act: `act` is None where the detector's event is meant; `said` are the person's words for it."""

    side: Side
    act: Predicate | None
    said: str


def sequel_of(question: str) -> Sequel | None:
    """What a question asks around an act, or None.

    >>> sequel_of("What happened right before he fell?")
    Sequel(side='before', act='falls', said='he fell')
    >>> sequel_of("why did the woman fall down?")
    Sequel(side='cause', act='falls', said='the woman fall down')
    >>> sequel_of("what hit what?").side, sequel_of("what happened after the crash?").act
    ('contact', None)
    >>> sequel_of("what happened after 14:30?"), sequel_of("why is that unusual?"), sequel_of("what is wrong?")
    (None, None, None)
    """
    text = words_of(question).strip(" .!?")
    if _CONTACT.search(text):
        return Sequel(side="contact", act=None, said=text)
    if (why := _CAUSE.match(text)) is not None:
        said = re.sub(r"^\s*(?:did|does|do|is|was|were|to)\b", "", why["rest"]).strip()
        act = _act(said)
        return Sequel(side="cause", act=act, said=said) if act is not None else None
    found = _SIDE.search(text)
    if found is None:
        return None
    side: Side = "after" if re.match(r"after|follow|as a result", found["side"]) else "before"
    said = found["rest"].strip()
    if (act := _act(said)) is not None:
        return Sequel(side=side, act=act, said=said)
    return Sequel(side=side, act=None, said=said) if _EVENT.fullmatch(re.sub(r"^(?:the|this|that) ", "", said)) else None


def names_other_things(said: str) -> bool:
    """True when words tell of a thing that is no person: only people and what a learned detector names are known by their kind.

    >>> names_other_things("the van braked"), names_other_things("he fell"), names_other_things("the old man fell")
    (True, False, False)
    """
    if re.search(r"\b(?:he|she|they|it|him|her|them|his|their|who)\b", said) or either("picture people").search(said):
        return False
    named = re.search(r"\b(?:the|an?|that|this|my|our) (?:\w+ )?(\w+)", said)
    return named is not None and not any(re.search(pattern, said) for pattern, _ in _NOUNS)


def _act(said: str) -> Predicate | None:
    """The act that words tell of, among those that are followed."""
    from agent.rules.read_motion import acts_in

    for pattern, act in _NOUNS:
        if re.search(pattern, said):
            return act
    return next((act for act in acts_in(said) if act in FOLLOWED), None)
