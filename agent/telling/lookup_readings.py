"""What is said about readings looked up: when a channel was above or below a number, and its highest, lowest or usual value."""

from __future__ import annotations

from typing import Any

from agent.telling.words import cite, count, moment, name, number
from core.evidence import Evidence

_SAID = {
    "above": "above", "at least": "at or above", "below": "below", "at most": "at or below", "between": "between",
    "outside": "outside",
}  # fmt: skip


def time_of(facts: Any, seconds: float) -> str:
    """A time of the source, on its own base."""
    return moment(seconds, base=str(facts.get("time_base", "elapsed")), epoch_s=facts.get("epoch_s"))


def with_unit(value: float, unit: str) -> str:
    """A value with its unit."""
    return f"{number(value)} {unit}" if unit else number(value)


def within(facts: Any) -> str:
    """The time a question was limited to, as " from … to …"."""
    if "start_s" in facts:
        return f" from {time_of(facts, facts['start_s'])} to {time_of(facts, facts['end_s'])}"
    return " in the time asked for" if "within" in facts else ""


def crossing(evidence: Evidence) -> list[str]:
    """Whether, how often, how long and when a channel meets a condition."""
    facts: Any = evidence.facts
    channel, unit = name(facts["channel"]), facts["unit"]
    if not facts["rows"]:
        return [f"{channel} has no readings{within(facts)} {cite(evidence)}."]
    shown = "" if facts["anywhere"] and not facts["typed"] else unit
    low, high = number(facts["low"]), with_unit(facts["high"], shown)
    limits = f"{low} and {high}" if facts["condition"] in ("between", "outside") else high
    condition = f"{_SAID[facts['condition']]} {limits}"
    ranged = f"it runs from {number(facts['lowest'])} to {with_unit(facts['highest'], unit)}"
    end = "highest" if facts["condition"] in ("above", "at least") else "lowest"
    nearest = f"its {end} reading is {with_unit(facts[end], unit)}, at {time_of(facts, facts[end + '_s'])}"
    nearest = ranged if facts["condition"] in ("between", "outside") else nearest
    met, everything = facts["rows_met"], facts["rows_met"] == facts["rows"]
    asks = bool({"exists", "is_normal"} & set(facts["intents"]))
    yes = (everything if facts["always"] else not met if facts["never"] else met > 0) if asks else None
    if "denied" in facts:
        yes = False
    verdict = "" if yes is None else "Yes, " if yes else "No, "
    if facts["other_unit"]:
        condition += f" (the channel's unit is {unit}, so I compared in that)"
    if not met:
        if facts["anywhere"]:
            nobody = f"{verdict}no channel" if verdict else "No channel"
            return [f"{nobody} is ever {condition}{within(facts)}; nearest is {channel}: {nearest} {cite(evidence)}."]
        return [f"{verdict}{channel} is never {condition}{within(facts)}: {nearest} {cite(evidence)}."]
    if everything:
        return [f"{verdict}{channel} is always {condition}{within(facts)}: {ranged} {cite(evidence)}."]
    if facts["edge"]:
        edge = f"for the {facts['edge']} time{within(facts)} at {time_of(facts, facts[facts['edge'] + '_s'])}"
        return [f"{verdict}{channel} is {condition} {edge} {cite(evidence)}."]
    if facts["times_met"] == 1:
        only = facts["stretches"][0]
        return [
            f"{verdict}{channel} is {condition} once{within(facts)}: {_when(facts, only)}{_most(facts, only)} {cite(evidence)}."
        ]
    said = (
        f"{verdict}{channel} is {count(facts['times_met'], 'separate time')} {condition}{within(facts)}, {facts['total']} in all "
        f"({number(facts['share_percent'])} % of its readings): first at {time_of(facts, facts['first_s'])}, last at "
        f"{time_of(facts, facts['last_s'])} {cite(evidence)}."
    )
    lines = [said]
    if facts["anywhere"]:
        return lines
    if set(facts["intents"]) & {"when", "list", "what", "which"} or facts["times_met"] <= len(facts["stretches"]):
        if facts["times_met"] > len(facts["stretches"]):
            lines.append(f"The {len(facts['stretches'])} longest, in order of time {cite(evidence)}:")
        lines += [f"- {_when(facts, s)}{_most(facts, s)} {cite(evidence)}." for s in facts["stretches"]]
    return lines


def _when(facts: Any, stretch: Any) -> str:
    if stretch["readings"] == 1:
        return f"at {time_of(facts, stretch['start_s'])}, for one reading"
    length = f"{count(stretch['readings'], 'reading')}, {stretch['length']}"
    return f"from {time_of(facts, stretch['start_s'])} to {time_of(facts, stretch['end_s'])} ({length})"


def _most(facts: Any, stretch: Any) -> str:
    """The reading of a stretch farthest beyond the limit; finer where it would be printed like the limit itself."""
    shown = number(stretch["most"])
    if shown == number(facts["low"]) and stretch["most"] != facts["low"]:
        shown = f"{stretch['most']:.5g}"
    value = f"{shown} {facts['unit']}".rstrip()
    if stretch["readings"] == 1:
        return f" of {value}"
    if facts["condition"] in ("between", "outside"):
        return ""
    direction = "down to" if facts["condition"] in ("below", "at most") else "up to"
    return f", {direction} {value} at {time_of(facts, stretch['most_s'])}"


def extreme(evidence: Evidence) -> list[str]:
    """The readings asked for, with their times."""
    facts: Any = evidence.facts
    channel, unit = name(facts["channel"]), facts["unit"]
    if not facts["rows"]:
        return [f"{channel} has no readings{within(facts)} {cite(evidence)}."]
    lines = []
    for wanted in facts["wanted"]:
        if wanted == "average":
            lines.append(
                f"{channel} is {with_unit(facts['mean'], unit)} on average{within(facts)}, between {number(facts['lowest'])} and "
                f"{with_unit(facts['highest'], unit)} {cite(evidence)}."
            )
        else:
            usual = f"; usually it is {with_unit(facts['usual'], unit)}" if wanted in ("highest", "lowest") else ""
            lines.append(
                f"The {wanted} reading of {channel}{within(facts)} is {with_unit(facts[wanted], unit)}, at "
                f"{time_of(facts, facts[wanted + '_s'])}{usual} {cite(evidence)}."
            )
    return lines


def amount(evidence: Evidence) -> list[str]:
    """What a channel that is measured per time sums up to."""
    facts: Any = evidence.facts
    channel = name(facts["channel"])
    span = f"from {time_of(facts, facts['start_s'])} to {time_of(facts, facts['end_s'])}"
    if not facts["rows"]:
        return [f"{channel} has no readings {span} {cite(evidence)}."]
    missing = f"; {facts['missing']} without readings are left out" if facts["missing"] else ""
    negative = f"; {count(facts['negative'], 'reading')} below zero count as flowing back" if facts["negative"] else ""
    return [
        f"{channel} sums up to **{with_unit(facts['amount'], facts['amount_unit'])}** {span}: "
        f"{with_unit(facts['mean'], facts['unit'])} on average over {facts['covered']}{missing}{negative} {cite(evidence)}."
    ]
