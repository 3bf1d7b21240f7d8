"""What is said about sums over the findings of a series."""

from __future__ import annotations

from typing import Any

from agent.telling.words import cite, count, listed, name, number
from core.evidence import Evidence


def fine(evidence: Evidence) -> list[str]:
    """Which channels carry no abnormal stretch."""
    facts: Any = evidence.facts
    if not facts["fine"]:
        return [f"None of the {count(facts['channels'], 'channel')} is without an abnormal stretch {cite(evidence)}."]
    lines = [
        f"**{facts['fine_count']} of {count(facts['channels'], 'channel')}** carr{'ies' if facts['fine_count'] == 1 else 'y'} no abnormal "
        f"stretch, as far as I can measure: {listed([name(channel) for channel in facts['fine']])} {cite(evidence)}."
    ]
    if facts["off"]:
        lines.append(f"Not so {listed([name(channel) for channel in facts['off']])} {cite(evidence)}.")
    return lines


def total(evidence: Evidence) -> list[str]:
    """How much of the time is abnormal."""
    facts: Any = evidence.facts
    if not facts["stretches"]:
        return [f"No row of the {count(facts['rows'], 'row')} passes the threshold {cite(evidence)}."]
    return [
        f"**{facts['length']}** in all: {number(facts['abnormal_rows'])} of {count(facts['rows'], 'row')} "
        f"({number(facts['abnormal_percent'])} %), in "
        f"{count(facts['stretches'], 'abnormal stretch', 'abnormal stretches')} {cite(evidence)}."
    ]
