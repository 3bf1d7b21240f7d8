"""What is said about the graph around an incident or an entity of a log, beside its picture."""

from __future__ import annotations

from typing import Any

from agent.telling.log_words import called, rows_said
from agent.telling.words import cite, count, listed, name, number
from core.evidence import Evidence


def around(evidence: Evidence) -> list[str]:
    """How much the last step reached, the acts that tie it, and what was not gone on through."""
    facts: Any = evidence.facts
    cited = cite(evidence)
    middle = listed(called(facts["named"] or facts["incident"][:6])) or f"the {count(facts['many'], 'finding')}"
    if not facts["steps"]:
        return [f"The graph shows {middle} and what ties them together {cited}.", *rows_said(facts, cited)]
    steps = count(facts["steps"], "step")
    if not facts["drawn_acts"]:
        return [f"Nothing more hangs together with {middle}, {steps} out {cited}."]
    lines = [
        f"**Around {middle}, {steps} out**: {count(facts['reached'], 'entity', 'entities')} more, tied by {count(facts['tied'], 'row')}"
        f" {cited}.{_drawn(facts)}"
    ]
    lines += rows_said(facts, cited)
    if facts["shared"]:
        each = listed([f"{name(called)} (by {number(n)})" for called, n in facts["shared"]])
        lines.append(f"I did not go on through what very many act on: {each} {cited}.")
    if facts["furthest"]:
        lines.append(f"I draw at most {count(facts['most_steps'], 'step')}; name an entity to go on from there {cited}.")
    return lines


def _drawn(facts: Any) -> str:
    """What the picture shows of it."""
    blue = "; in the graph they are blue" if facts["named"] else "; in the graph the incident is red and they are blue"
    some = "the most telling acts" if facts["left_out"] else "all of it"
    return f" Drawn {'are' if facts['left_out'] else 'is'} {some}{blue}:"
