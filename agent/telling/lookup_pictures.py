"""What is said about things looked for in pictures."""

from __future__ import annotations

from typing import Any

from agent.telling.words import cite, count, listed, moment, name, number
from core.evidence import Evidence


def _at(facts: Any) -> str:
    return f"at {moment(facts['best_s'])}" if "best_s" in facts else f"in {name(facts['best'])}"


def concept(evidence: Evidence) -> list[str]:
    """How near pictures come to a phrase: a hint."""
    facts: Any = evidence.facts
    seen = listed([f"{name(n)} ({number(p)} %)" for n, p in facts["seen"]])
    return [
        f"I can only compare {name(facts['phrase'])} with pictures by {facts['method']}, which is a hint and not a decision: of "
        f"{count(facts['looked_at'], 'picture')} the nearest is {_at(facts)}, similarity {number(facts['similarity'])} "
        f"(median {number(facts['median_similarity'])}); the network sees {seen} there {cite(evidence)}."
    ]


def people(evidence: Evidence) -> list[str]:
    """In how many pictures people are seen."""
    facts: Any = evidence.facts
    if not facts["with"]:
        return [
            f"The {facts['method']} found no {name(facts['phrase'])} in {count(facts['looked_at'], 'picture')}; it only sees upright "
            f"people who are large enough {cite(evidence)}."
        ]
    return [
        f"The {facts['method']} sees {name(facts['phrase'])} in {number(facts['with'])} of {count(facts['looked_at'], 'picture')}, at most "
        f"{number(facts['most'])} at once, {_at(facts)} {cite(evidence)}."
    ]
