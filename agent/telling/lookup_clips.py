"""What is said about clips that were cut out of a video."""

from __future__ import annotations

from typing import Any

from agent.telling.words import cite, count, moment, name, number
from core.evidence import Evidence


def clip(evidence: Evidence) -> list[str]:
    """Which clip is there to be saved, or why there is none."""
    facts: Any = evidence.facts
    if facts.get("none"):
        said = f"No event was found in {name(evidence.source)}, so there is nothing to cut out"
        return [f"{said}; name a time, and I cut that {cite(evidence)}."]
    if "failed" in facts:
        return [f"The clip could not be cut: {name(facts['failed'])} {cite(evidence)}."]
    shows = " with the event" if facts["findings"] else ""
    told = (
        f"Here is {name(evidence.source)} from {moment(facts['from_s'])} to {moment(facts['to_s'])}{shows} as a file, "
        f"{count(facts['frames'], 'frame')} long: {name(facts['file'])} {cite(evidence)}."
    )
    lines = [told]
    if facts["shortened"]:
        lines.append(f"A clip is at most {number(facts['longest_s'])} s long, so what comes later is not in it {cite(evidence)}.")
    if facts["left"]:
        lines.append(f"{count(facts['left'], 'more event')} can be had by name or time {cite(evidence)}.")
    return lines
