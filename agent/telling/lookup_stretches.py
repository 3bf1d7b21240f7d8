"""What is said about times and channels looked up in a series or a video."""

from __future__ import annotations

from typing import Any

from agent.telling.words import cite, moment, name, number
from core.evidence import Evidence


def _time(facts: Any, seconds: float) -> str:
    return moment(seconds, base=str(facts.get("time_base", "elapsed")), epoch_s=facts.get("epoch_s"))


def stretch(evidence: Evidence) -> list[str]:
    """What scores and values do in a stretch of time."""
    facts: Any = evidence.facts
    said = f"From {_time(facts, facts['start_s'])} to {_time(facts, facts['end_s'])}"
    peak = f"{number(facts['max_score'])} ({_time(facts, facts['peak_s'])})"
    score = f"the score peaks at {peak}, the threshold is {number(evidence.threshold or 0.0)}"
    verdict = "something unusual happens" if facts["flagged"] else "nothing passes the threshold"
    sentences = [f"{said} {verdict}: {score} {cite(evidence)}."]
    sentences += [_values(values, evidence) for values in facts.get("values", [])]
    return sentences


def _values(values: Any, evidence: Evidence) -> str:
    unit = f" {values['unit']}" if values["unit"] else ""
    if "mean" not in values:
        return f"{name(values['channel'])} has no values there ({values['missing']} missing) {cite(evidence)}."
    usual = f"; usually it is {number(values['usual'])}{unit}" if "usual" in values else ""
    return (
        f"{name(values['channel'])} lies between {number(values['min'])} and {number(values['max'])}{unit} there, "
        f"{number(values['mean'])}{unit} on average{usual} {cite(evidence)}."
    )


def channel(evidence: Evidence) -> list[str]:
    """A channel's range and whether it is blamed."""
    facts: Any = evidence.facts
    unit = f" {facts['unit']}" if facts["unit"] else ""
    if "mean" not in facts:
        return [f"{name(facts['channel'])} has no values at all {cite(evidence)}."]
    lowest, highest, usual = (number(facts[key]) for key in ("lowest", "highest", "usual"))
    range_said = f"{name(facts['channel'])} runs from {lowest} to {highest}{unit}, usually {usual}{unit}"
    n = len(facts["findings"])
    blamed = "it is not among the channels blamed for any abnormal stretch" if n == 0 else "it is blamed, see below"
    return [f"{range_said}; {blamed} {cite(evidence)}."]


def frame(evidence: Evidence) -> list[str]:
    """Which frame is shown."""
    facts: Any = evidence.facts
    return [f"This is {name(evidence.locus.sample)} at {moment(facts['time_s'])} {cite(evidence)}."]
