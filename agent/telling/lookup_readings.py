"""What is said about readings looked up: when a channel was above or below a number, and its highest, lowest or usual value."""

from __future__ import annotations

from typing import Any

from agent.telling.words import cite, count, listed, moment, name, number
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


def _within(facts: Any) -> str:
    """The time a question was limited to, as " from … to …"."""
    if "start_s" in facts:
        return f" from {time_of(facts, facts['start_s'])} to {time_of(facts, facts['end_s'])}"
    return " in the time asked for" if "within" in facts else ""


def crossing(evidence: Evidence) -> list[str]:
    """Whether, how often, how long and when a channel meets a condition."""
    facts: Any = evidence.facts
    channel, unit = name(facts["channel"]), facts["unit"]
    if not facts["rows"]:
        return [f"{channel} has no readings{_within(facts)} {cite(evidence)}."]
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
            return [f"{nobody} is ever {condition}{_within(facts)}; nearest is {channel}: {nearest} {cite(evidence)}."]
        return [f"{verdict}{channel} is never {condition}{_within(facts)}: {nearest} {cite(evidence)}."]
    if everything:
        return [f"{verdict}{channel} is always {condition}{_within(facts)}: {ranged} {cite(evidence)}."]
    if facts["edge"]:
        edge = f"for the {facts['edge']} time{_within(facts)} at {time_of(facts, facts[facts['edge'] + '_s'])}"
        return [f"{verdict}{channel} is {condition} {edge} {cite(evidence)}."]
    if facts["times_met"] == 1:
        only = facts["stretches"][0]
        return [
            f"{verdict}{channel} is {condition} once{_within(facts)}: {_when(facts, only)}{_most(facts, only)} {cite(evidence)}."
        ]
    said = (
        f"{verdict}{channel} is {count(facts['times_met'], 'separate time')} {condition}{_within(facts)}, {facts['total']} in all "
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
        return [f"{channel} has no readings{_within(facts)} {cite(evidence)}."]
    lines = []
    for wanted in facts["wanted"]:
        if wanted == "average":
            lines.append(
                f"{channel} is {with_unit(facts['mean'], unit)} on average{_within(facts)}, between {number(facts['lowest'])} and "
                f"{with_unit(facts['highest'], unit)} {cite(evidence)}."
            )
        else:
            usual = f"; usually it is {with_unit(facts['usual'], unit)}" if wanted in ("highest", "lowest") else ""
            lines.append(
                f"The {wanted} reading of {channel}{_within(facts)} is {with_unit(facts[wanted], unit)}, at "
                f"{time_of(facts, facts[wanted + '_s'])}{usual} {cite(evidence)}."
            )
    return lines


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


def _side_named(side: Any, fallback: str) -> str:
    """What the person called a stretch ("the morning", "3 pm"), else "the first"."""
    said = str(side["asked"])
    for lead in _LEADS:
        said = said.removeprefix(lead)
    return f"the {fallback}" if said.split(" ")[0] in ("between", "from", "after", "before", "since", "until", "around") else said


def _place(side: Any, called: str) -> str:
    """A stretch with the word that leads to it: "in the morning", "at 3 pm", "on 7 march"."""
    lead = next((lead for lead in _LEADS if str(side["asked"]).startswith(lead)), "")
    dated = called[:1].isdigit() and side["end_s"] - side["start_s"] == 86400.0
    return f"{lead or ('at ' if side['point'] else 'on ' if dated else 'in ')}{called}"


def _side_said(facts: Any, side: Any) -> str:
    if side["point"]:
        return f"at {time_of(facts, side['start_s'])}"
    return f"from {time_of(facts, side['start_s'])} to {time_of(facts, side['end_s'])}"


def _mean(side: Any, row: Any) -> str:
    value = with_unit(side["mean"], row["unit"])
    if side["readings"] == 1 or side["min"] == side["max"]:
        return value
    return f"{value} on average ({number(side['min'])} to {number(side['max'])})"


def channels(evidence: Evidence) -> list[str]:
    """How channels move with each other, over everything and inside the abnormal stretches they carry, and their ranges."""
    facts: Any = evidence.facts
    lines = []
    over = " over the whole series" if facts["whole"] else _within(facts) or " in the time asked for"
    for pair in facts["pairs"]:
        both, r = f"{name(pair['a'])} and {name(pair['b'])}", pair["correlation"]
        if r is None:
            lines.append(f"Too few readings of {both} change{over} to say how they move together {cite(evidence)}.")
            continue
        lines.append(f"{both} {_together(r)}: their correlation{over} is {number(r)} {cite(evidence)}.")
        lines += [_during(facts, pair, event, evidence) for event in pair["during"]]
    ranges = [_range(r) for r in facts["ranges"] if "usual" in r]
    return [*lines, f"{'; '.join(ranges)} {cite(evidence)}."] if ranges else lines


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


def facts(evidence: Evidence) -> list[str]:
    """Facts of a whole recording, one sentence per thing asked."""
    found: Any = evidence.facts
    tell = _of_video if "fps" in found else _of_series
    return [sentence for kind in found["asked"] for sentence in tell(kind, found, evidence)]


def _of_video(kind: str, found: Any, evidence: Evidence) -> list[str]:
    clip, end = name(evidence.locus.sample), cite(evidence)
    said = {
        "interval": f"{clip} has {number(found['fps'])} frames per second, one every {number(found['interval_s'])} s",
        "length": f"{clip} lasts {moment(found['duration_s'])} ({number(found['duration_s'])} s)",
        "rows": f"{clip} has {count(found['frames'], 'frame')}",
        "format": f"{clip} has {number(found['fps'])} frames per second of {found['width']} × {found['height']} pixels",
    }  # fmt: skip
    return [f"{said[kind]} {end}."]


def _of_series(kind: str, found: Any, evidence: Evidence) -> list[str]:
    series, end = name(evidence.locus.sample), cite(evidence)
    if kind == "missing":
        return _missing(found, evidence)
    if kind in ("channels", "units"):
        names = [f"{name(c['channel'])}{' (' + c['unit'] + ')' if c['unit'] else ''}" for c in found["listed"]]
        if found["named"]:
            return [f"{series} gives {listed(names)} {end}."]
        more = "" if len(names) == found["channels"] else f"; the first {found['listed_count']} are"
        return [f"{series} has {count(found['channels'], 'channel')}{more or ':'} {listed(names)} {end}."]
    if kind == "interval":
        if found["time_base"] == "index":
            return [f"{series} has no time column, only {count(found['rows'], 'row')} {end}."]
        uneven = found.get("uneven_steps", 0)
        steady = f"; {count(uneven, 'step')} differ{'s' * (uneven == 1)} from that" if uneven else ", without exception"
        return [f"{series} has one row every {found['interval']}{steady} {end}."]
    if kind == "rows":
        return [f"{series} has {count(found['rows'], 'row')} of {count(found['channels'], 'channel')} {end}."]
    if found["time_base"] == "index":
        return [f"{series} has {count(found['rows'], 'row')} and no time column, so I cannot say how long that is {end}."]
    return [
        f"{series} covers {found['length']}, from {time_of(found, found['start_s'])} to {time_of(found, found['end_s'])} "
        f"({count(found['rows'], 'row')}) {end}."
    ]


def _missing(found: Any, evidence: Evidence) -> list[str]:
    where = listed([name(c) for c in found["looked_at"][:5]]) if found["looked_at"] else name(evidence.locus.sample)
    gaps = found["time_gaps"]
    if gaps:
        tail = (
            f"{count(gaps, 'gap')} between time stamps, the widest from {time_of(found, found['gap_s'])} to "
            f"{time_of(found, found['gap_end_s'])}"
        )
    else:
        tail = "" if found["time_base"] == "index" else "no time stamp is left out"
    if found["missing_values"]:
        rows = [
            f"{name(c['channel'])} ({c['missing']:,}, first at {time_of(found, c['first_s'])})" for c in found["most_missing"]
        ]
        said = f"Yes, {found['missing_values']:,} of {found['values']:,} values of {where} are missing: {listed(rows)}"
        return [f"{said}{'; ' + tail if tail else ''} {cite(evidence)}."]
    if gaps:
        return [f"No value of {where} is missing, yet there {'is' if gaps == 1 else 'are'} {tail} {cite(evidence)}."]
    return [f"No, no value of {where} is missing{', and ' + tail if tail else ''} {cite(evidence)}."]
