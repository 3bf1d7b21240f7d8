"""What is said of what came before or after an act in a video, and of what touched what."""

from __future__ import annotations

from typing import Any

from agent.telling.words import count, moment, name
from core.evidence import Evidence, Interval

SURE = "as far as simple tracking can tell"


def sequel(evidence: Evidence) -> list[str]:
    """The act, how who did it was before or after, and the rows of the relation log; or that there is none."""
    facts: Any = evidence.facts
    cite = "[" + ", ".join([evidence.id, *facts.get("rests_on", [])]) + "]"
    if facts["side"] == "contact":
        return _contact(evidence, facts, cite)
    after = facts["side"] == "after"
    side = "after" if after else "before"
    locus = evidence.locus
    assert isinstance(locus, Interval)
    if facts["anchor"]:
        lines = [f"{SURE[:1].upper()}{SURE[1:]}, {name(facts['anchor'])} {cite}."]
        if facts["times"] > 1:
            lines[0] = (
                f"{SURE[:1].upper()}{SURE[1:]}, {name(facts['anchor'])}, the first of {count(facts['times'], 'time')} {cite}."
            )
    else:
        lines = [f"What stands out begins at {moment(locus.start_s)} and ends at {moment(locus.end_s)} {cite}."]
    told = [*([facts["state"]] if "state" in facts else []), *facts["seen"]]
    lines += [f"{'After' if after else 'Before'} it: {name(one['said'])} {cite}." for one in told]
    if not told:
        lines.append(f"Nothing else that simple tracking can tell came {side} it {cite}.")
    if facts["side"] == "cause":
        lines.append(
            f"Whether that led to it I cannot tell: it only came first {cite}." if told else f"I cannot tell why {cite}."
        )
    return lines


def _contact(evidence: Evidence, facts: Any, cite: str) -> list[str]:
    if not facts["seen"]:
        there = " near what stands out" if facts["near"] else ""
        return [f"I saw nothing touch anything{there}, {SURE}; that may be too near or too far for it {cite}."]
    lines = [f"{SURE[:1].upper()}{SURE[1:]}: {name(facts['seen'][0]['said'])} {cite}."]
    lines += [f"Also {name(one['said'])} {cite}." for one in facts["seen"][1:]]
    if facts["times"] > len(facts["seen"]):
        lines.append(f"In all that is {count(facts['times'], 'time')} {cite}.")
    lines.append(f"Boxes that touch in the picture may be apart in the scene {cite}.")
    return lines
