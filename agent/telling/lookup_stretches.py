"""What is said about times and channels looked up in a series or a video."""

from __future__ import annotations

from typing import Any

from agent.lookups.found import LEAST_COVERED
from agent.telling.lookup_readings import time_of, with_unit
from agent.telling.words import cite, count, listed, moment, name, number
from core.evidence import Evidence


def stretch(evidence: Evidence) -> list[str]:
    """What scores and values do in a stretch of time, and which abnormal stretches lie there; values first where a channel is named."""
    facts: Any = evidence.facts
    values = [_values(row, facts, evidence) for row in facts.get("values", [])]
    gaps = "" if _covered(facts) else f"; {_coverage(facts)}"
    verdict = [standstill(run, facts, evidence) for run in facts.get("stuck", ())]
    verdict.append(f"{_happens(evidence)}{gaps} {cite(evidence)}.")
    verdict[0] = _yes_or_no(facts) + verdict[0]
    return [*values, *verdict] if facts["named"] and not _yes_or_no(facts) else [*verdict, *values]


def _yes_or_no(facts: Any) -> str:
    """The first words of the answer to "was it ok then?", about the channels asked for where there are any."""
    if facts.get("asked_still"):
        return _still_or_not(facts["stuck"]) if facts["whether"] else ""
    if facts["expects"] == "either":
        return ""
    normal = facts["expects"] == "normal"
    if facts["named"] and (facts["flagged"] or facts["touching"]) and not facts["carried"]:
        asked = listed([name(row["channel"]) for row in facts["values"]])
        return f"{'Yes' if normal else 'No'} as to {asked}, yet something else is abnormal then. "
    if facts["flagged"] or facts["touching"] or facts.get("stuck"):
        return "No, it does not look so. " if normal else "Yes, it looks so. "
    if not _covered(facts):
        return "I cannot say. "
    return "Yes, as far as I can measure. " if normal else "No, not as far as I can measure. "


def _still_or_not(standstills: Any) -> str:
    """The first words of the answer to "is it stuck?"."""
    return "Yes, it looks so. " if standstills else "No, nothing stands still that usually moves. "


def _covered(facts: Any) -> bool:
    """True when there is enough of a time, or of a channel, to judge it."""
    return int(facts.get("covered_percent", 100)) >= 100 * LEAST_COVERED


def _coverage(facts: Any) -> str:
    if facts.get("skimmed"):
        return f"only {number(facts['covered_percent'])} % of it was read so far, too little to call it normal (say “refine”)"
    return f"only {number(facts['covered_percent'])} % of what belongs there was recorded, too little to call it normal"


def standstill(run: Any, facts: Any, evidence: Evidence) -> str:
    """That a channel stands still where it usually moves."""
    channel, value = name(run["channel"]), with_unit(run["value"], run["unit"])
    return (
        f"{channel} stands still at {value} from {time_of(facts, run['start_s'])} to {time_of(facts, run['end_s'])} "
        f"({count(run['readings'], 'reading')} in a row, {run['length']}), though it usually moves ({number(run['moves_percent'])} % of "
        f"its other steps): as if the sensor were stuck {cite(evidence)}."
    )


def _happens(evidence: Evidence) -> str:
    facts: Any = evidence.facts
    if "at_s" in facts:
        where = f"At {time_of(facts, facts['at_s'])}"
    elif facts["point"]:
        where = f"At {time_of(facts, facts['start_s'])}"
    else:
        where = f"From {time_of(facts, facts['start_s'])} to {time_of(facts, facts['end_s'])}"
    single = "at_s" in facts
    peak = number(facts["max_score"]) if single else f"{number(facts['max_score'])} ({time_of(facts, facts['peak_s'])})"
    score = f"the score {'is' if single else 'peaks at'} {peak}, the threshold is {number(evidence.threshold or 0.0)}"
    n, of = facts["touching"], facts["of"]
    if not facts["flagged"]:
        reaches = "lies in" if facts["point"] else "reaches into"
        inside = f", though it {reaches} an abnormal stretch ({_finding(facts)})" if n == 1 else ""
        return f"{where} nothing passes the threshold{inside}: {score}"
    if n == 0:
        return f"{where} something unusual happens: {score}"
    if n == 1:
        counted = "the only abnormal stretch" if of == 1 else f"one of the {of:,} abnormal stretches"
        return f"{where} lies {counted}, {_finding(facts)}: {score}"
    return f"{where} lie {n:,} of the {of:,} abnormal stretches: {score}"


def _finding(facts: Any) -> str:
    """An abnormal stretch by its label: "a spike in `vibration`"."""
    kind, _, channel = str(facts["labels"][0]).partition(" in ")
    article = "an" if kind[:1] in "aeiou" else "a"
    kind = kind.removesuffix(" scene") + " stretch" if kind == "missing" else kind
    return f"{article} {kind} in {name(channel)}" if channel else f"{kind}" if kind.startswith("unusual") else f"{article} {kind}"


def outside(evidence: Evidence) -> list[str]:
    """That a time holds nothing, unless the note on the question has said so."""
    facts: Any = evidence.facts
    source, asked = name(evidence.locus.sample), name(facts["asked"])
    if facts["said"]:
        return []
    if facts["gap"]:
        return [
            f"There are no readings in {source} from {time_of(facts, facts['start_s'])} to {time_of(facts, facts['end_s'])} ({asked}) "
            f"{cite(evidence)}."
        ]
    return [
        f"{asked} lies outside {source}, which runs from {time_of(facts, facts['first_s'])} to {time_of(facts, facts['last_s'])} "
        f"{cite(evidence)}."
    ]


def _values(values: Any, facts: Any, evidence: Evidence) -> str:
    """A channel's values in a stretch; one value where they are all alike."""
    unit, channel = values["unit"], name(values["channel"])
    at = f"at {time_of(facts, facts['at_s'])}" if "at_s" in facts else "there"
    if "mean" not in values:
        return f"{channel} has no values {at} ({values['missing']} missing) {cite(evidence)}."
    usual = f"; usually it is {with_unit(values['usual'], unit)}" if "usual" in values else ""
    low, high = number(values["min"]), number(values["max"])
    if low == high:
        where = f"in all {facts['units']:,} readings there" if facts["units"] > 1 else at  # what stands still must be seen to
        return f"{channel} is {with_unit(values['mean'], unit)} {where}{usual} {cite(evidence)}."
    mean = with_unit(values["mean"], unit)
    return f"{channel} lies between {low} and {with_unit(values['max'], unit)} there, {mean} on average{usual} {cite(evidence)}."


def channel(evidence: Evidence) -> list[str]:
    """A channel's range, and which abnormal stretches it carries."""
    facts: Any = evidence.facts
    if "mean" not in facts:
        return [f"{name(facts['channel'])} has no values at all {cite(evidence)}."]
    unit = facts["unit"]
    said = (
        f"{name(facts['channel'])} runs from {number(facts['lowest'])} to {with_unit(facts['highest'], unit)}, usually "
        f"{with_unit(facts['usual'], unit)}"
    )
    carried, still = facts["carried"], [run for run in facts.get("stuck", []) if facts.get("asked_still") or not run["findings"]]
    if carried:
        first = carried[0]
        more = f" and {count(facts['carried_count'] - 1, 'other')}" if facts["carried_count"] > 1 else ""
        share = f"{number(first['share_percent'])} % of the score"
        kind = first["label"].partition(" in ")[0]
        blamed = f"it carries the {kind} since {time_of(facts, first['start_s'])} ({share}){more}"
    elif facts["beside"]:
        blamed = "it carries no abnormal stretch itself, though it moves along in some"
    else:
        blamed = "it is not among the channels blamed for any abnormal stretch"
    verdict = ""
    if facts.get("asked_still"):
        verdict = _still_or_not(still) if facts["whether"] else ""
    elif facts["judged"] and facts["expects"] != "either":
        yes = bool(carried or still) == (facts["expects"] == "abnormal")
        off = carried or still
        sure = "it looks so" if off else "as far as I can measure"
        verdict = f"Yes, {sure}. " if yes else "No, it does not look so. " if off else "No, not as far as I can measure. "
    elif not _covered(facts) and facts["expects"] != "either":
        verdict = "I cannot say. "
    gaps = "" if _covered(facts) else f"; {_coverage(facts)}"
    return [f"{verdict}{said}; {blamed}{gaps} {cite(evidence)}.", *(standstill(run, facts, evidence) for run in still)]


def still(evidence: Evidence) -> list[str]:
    """Which channels of a series stand still."""
    facts: Any = evidence.facts
    if not facts["stuck"]:
        searched = "the channel" if facts["channels"] == 1 else f"none of the {count(facts['channels'], 'channel')}"
        verb = "does not stand" if facts["channels"] == 1 else "stands"
        said = f"{searched} {verb} still for longer than is usual for it"
        return [f"{'No, ' + said if facts['whether'] else said[:1].upper() + said[1:]} {cite(evidence)}."]
    lines = [standstill(run, facts, evidence) for run in facts["stuck"]]
    return [f"{_still_or_not(facts['stuck']) if facts['whether'] else ''}{lines[0]}", *lines[1:]]


def frame(evidence: Evidence) -> list[str]:
    """Which frame is shown."""
    facts: Any = evidence.facts
    return [f"This is {name(evidence.locus.sample)} at {moment(facts['time_s'])} {cite(evidence)}."]
