"""What is said about two stretches of time, or channels of a series, beside each other."""

from __future__ import annotations

import re
from typing import Any

from agent.lookups.comparing import REST
from agent.telling.lookup_readings import time_of, with_unit, within
from agent.telling.words import cite, listed, name, number
from core.evidence import Evidence


def comparison(evidence: Evidence) -> list[str]:
    """Two stretches of time: which is the stranger one, and how the channels differ."""
    facts: Any = evidence.facts
    one, two = facts["sides"]
    first, second = _side_named(one, "first"), _side_named(two, "second")
    peaks = [f"{number(side['max_score'])} {_side_said(facts, side)}" for side in (one, two)]
    verb = "is" if one["point"] and two["point"] else "peaks at"
    scores = f"the score {verb} {peaks[0]} and {peaks[1]}, the threshold is {number(facts['threshold'])} {cite(evidence)}."
    stranger = first if one["max_score"] >= two["max_score"] else second
    if one["flagged"] != two["flagged"]:
        lines = [f"Only {first if one['flagged'] else second} is abnormal: {scores}"]
    elif one["flagged"]:
        lines = [f"Both are abnormal, {stranger} more so: {scores}"]
    else:
        lines = [f"Neither is abnormal, {stranger} is a little stranger: {scores}"]
    for row in facts.get("values", []):
        (a, b), places = row["sides"], (_place(one, first), _place(two, second))
        if number(a["mean"]) == number(b["mean"]):
            lines.append(f"- {name(row['channel'])} is the same in both: {_mean(a, row)} {cite(evidence)}.")
            continue
        (high, there), (low, here) = sorted(zip((a, b), places, strict=True), key=lambda pair: -pair[0]["mean"])
        lines.append(
            f"- {name(row['channel'])} is higher {there}: {_mean(high, row)} against {_mean(low, row)} {here} {cite(evidence)}."
        )
    return lines


_LEADS = ("in ", "at ", "on ", "during ")
_WITHOUT_ARTICLE = re.compile(
    r"(?:night|daytime|morning|afternoon|evening|weekend|first|second|third|fourth|last|final)\b(?! \d)"
)


def _side_named(side: Any, fallback: str) -> str:
    """What the person called a stretch ("the morning", "3 pm"), else "the first"."""
    said = str(side["asked"])
    for lead in _LEADS:
        said = said.removeprefix(lead)
    if _WITHOUT_ARTICLE.match(said):
        return f"the {said.removesuffix('time') if said == 'daytime' else said}"
    return f"the {fallback}" if said.split(" ")[0] in ("between", "from", "after", "before", "since", "until", "around") else said


def _place(side: Any, called: str) -> str:
    """A stretch with the word that leads to it: "in the morning", "at 3 pm", "on 7 march"."""
    lead = next((lead for lead in _LEADS if str(side["asked"]).startswith(lead)), "")
    dated = called[:1].isdigit() and side["end_s"] - side["start_s"] == 86400.0
    return f"{lead or ('at ' if side['point'] else 'on ' if dated else 'in ')}{called}"


def _side_said(facts: Any, side: Any) -> str:
    if side["point"]:
        return f"at {time_of(facts, side['start_s'])}"
    if side["asked"] == REST:
        return f"in {REST}, at {time_of(facts, side['peak_s'])}"
    if side["days"] > 1:
        return f"on {side['days']} days, at {time_of(facts, side['peak_s'])}"
    return f"from {time_of(facts, side['start_s'])} to {time_of(facts, side['end_s'])}"


def _mean(side: Any, row: Any) -> str:
    value = with_unit(side["mean"], row["unit"])
    if side["readings"] == 1 or side["min"] == side["max"]:
        return value
    return f"{value} on average ({number(side['min'])} to {number(side['max'])})"


def channels(evidence: Evidence) -> list[str]:
    """How channels move with each other, over everything and inside the abnormal stretches they carry, and their ranges."""
    facts: Any = evidence.facts
    lines = [_in_order(facts, evidence)] if "onsets" in facts else []
    over = " over the whole series" if facts["whole"] else within(facts) or " in the time asked for"
    for pair in facts["pairs"]:
        both, r = f"{name(pair['a'])} and {name(pair['b'])}", pair["correlation"]
        if r is None:
            lines.append(f"Too few readings of {both} change{over} to say how they move together {cite(evidence)}.")
            continue
        lines.append(f"{both} {_together(r)}: their correlation{over} is {number(r)} {cite(evidence)}.")
        lines += [_during(facts, pair, event, evidence) for event in pair["during"]]
    ranges = [_range(r) for r in facts["ranges"] if "usual" in r]
    return [*lines, f"{'; '.join(ranges)} {cite(evidence)}."] if ranges else lines


def _in_order(facts: Any, evidence: Evidence) -> str:
    """Which of the channels goes wrong first, and how much later the others do."""
    wrong = [onset for onset in facts["onsets"] if "start_s" in onset]
    fine = [name(onset["channel"]) for onset in facts["onsets"] if "start_s" not in onset]
    if not wrong:
        return f"None of {listed(fine)} carries an abnormal stretch {cite(evidence)}."
    first, *others = wrong
    said = f"{name(first['channel'])} goes wrong {'first, ' if others else ''}since {time_of(facts, first['start_s'])}"
    for onset in others:
        later = f"{onset['later']} later" if onset["later"] else "at the same time"
        said += f"; {name(onset['channel'])} {later}, since {time_of(facts, onset['start_s'])}"
    said += f"; {listed(fine)} {'carries' if len(fine) == 1 else 'carry'} no abnormal stretch" if fine else ""
    return f"{said} {cite(evidence)}."


def _range(row: Any) -> str:
    usual = with_unit(row["usual"], row["unit"])
    return (
        f"{name(row['channel'])} runs from {number(row['lowest'])} to {with_unit(row['highest'], row['unit'])}, usually {usual}"
    )


def _during(facts: Any, pair: Any, event: Any, evidence: Evidence) -> str:
    """How a pair moves inside one abnormal stretch."""
    times = f"from {time_of(facts, event['start_s'])} to {time_of(facts, event['end_s'])}"
    said = f"- During the {event['label'].partition(' in ')[0]} {times}"
    if event["still"]:
        return f"{said} {listed([name(c) for c in event['still']])} does not move while the other does {cite(evidence)}."
    parted = ", so there they part" if _parted(pair["correlation"], event["correlation"]) else ""
    return f"{said} it is {number(event['correlation'])}{parted} {cite(evidence)}."


def _together(r: float) -> str:
    """How two channels move, in words."""
    if abs(r) < 0.3:
        return "hardly move together"
    strength = "closely" if abs(r) >= 0.8 else "loosely"
    return f"move {strength} together" if r > 0 else f"move {strength} against each other"


def _parted(whole: float, event: float) -> bool:
    return abs(whole) >= 0.6 and abs(whole - event) >= 0.4
