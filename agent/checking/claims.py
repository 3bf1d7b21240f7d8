"""A claim that a sentence makes, and whether the claims of one clause can be about the same piece of evidence.

Each claim knows which cited evidence bears it out. When a sentence cites two findings, "the spike in vibration starts on 14 March"
may join the name of one with the time of the other: each is true alone, together they are not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agent.checking.facts import Facts

_SEPARATOR = re.compile(r";|,|\b(?:and|while|whereas|but|then|than|as|followed by|before|after|with|versus|vs|or|against)\b|[–|]")
_SUBJECT = frozenset(("kind", "name", "ordinal"))


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim at `start` … `end` of the sentence: its type, its text, and the evidence that bears it out; none: it is false."""

    start: int
    end: int
    type: str
    text: str
    support: frozenset[str]
    problem: str = ""


def claimed(match: re.Match[str], type_: str, support: frozenset[str], problem: str) -> Claim:
    """The claim that a match makes."""
    return Claim(start=match.start(), end=match.end(), type=type_, text=match.group().strip(), support=support, problem=problem)


def disagreement(claims: Sequence[Claim], sentence: str, facts: Facts) -> list[str]:
    """What is wrong with the claims taken together, each as a phrase.

    >>> a = Claim(start=0, end=5, type="kind", text="spike", support=frozenset({"E2"}))
    >>> b = Claim(start=9, end=14, type="time", text="10:20", support=frozenset({"E3"}))
    >>> from core.evidence import Evidence, Whole
    >>> made = [Evidence(id=i, tool="t", version="1", parameters={}, source="a", locus=Whole(sample="a"), facts={"label": "x"})
    ...         for i in ("E2", "E3")]
    >>> disagreement([a, b], "spike at 10:20", Facts.of(made))
    ["'spike' and '10:20' belong to different evidence"]
    """
    problems: list[str] = []
    if len(facts.items) < 2:
        return problems
    told = sorted((c for c in claims if c.support and c.support <= facts.items), key=lambda c: c.start)
    group: frozenset[str] | None = None
    members: list[Claim] = []
    pair: list[frozenset[str]] = []
    for claim in told:
        colon = (
            members
            and ":" in sentence[members[-1].end : claim.start]
            and any(c.type == "comparison" and c.support for c in claims)
        )
        if colon or pair:  # "A is more than B: 3 against 2": the numbers in the order of the things
            pair = pair or list(dict.fromkeys(c.support for c in told if c.type in _SUBJECT and c.start < claim.start))
            pair = pair[::-1] if len(pair) == 2 and re.match(r"\W*compared (?:with|to)\b", sentence, re.I) else pair
            if pair and not pair[0] & claim.support:
                problems.append(f"{claim.text!r} belongs to other evidence than the first of the two")
            pair = pair[1:] or pair
            members, group = [claim], claim.support
            continue
        if group is None or group & claim.support:
            group = claim.support if group is None else group & claim.support
            members.append(claim)
            continue
        between = sentence[members[-1].end : claim.start]
        listed = claim.type in _SUBJECT or claim.type in {m.type for m in members}
        if not (_SEPARATOR.search(between) and listed):
            problems.append(f"{members[-1].text!r} and {claim.text!r} belong to different evidence")
        group, members = claim.support, [claim]
    if re.search(r"\b(?:both|each|all of them)\b", sentence, re.IGNORECASE):
        for kind in {c.type for c in told}:
            covered = frozenset[str]().union(*(c.support for c in told if c.type == kind))
            if kind not in _SUBJECT and covered != facts.items:
                missing = ", ".join(sorted(facts.items - covered))
                problems.append(f"what is said of both is not true of {missing}")
    return problems
