"""What is said about things looked up for a follow-up question."""

from __future__ import annotations

from typing import Any

from agent.telling.words import cite, count, listed, moment, name, number
from core.evidence import Evidence


def tell(evidence: Evidence) -> list[str]:
    """The sentences of one lookup, by its kind."""
    return {
        "lookup_time": _stretch,
        "lookup_channel": _channel,
        "lookup_frame": _frame,
        "lookup_search": _search,
        "lookup_events": _events,
        "lookup_concept": _concept,
        "lookup_people": _people,
    }[evidence.tool](evidence)


def _time(facts: Any, seconds: float) -> str:
    return moment(seconds, base=str(facts.get("time_base", "elapsed")), epoch_s=facts.get("epoch_s"))


def _stretch(evidence: Evidence) -> list[str]:
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


def _channel(evidence: Evidence) -> list[str]:
    facts: Any = evidence.facts
    unit = f" {facts['unit']}" if facts["unit"] else ""
    if "mean" not in facts:
        return [f"{name(facts['channel'])} has no values at all {cite(evidence)}."]
    lowest, highest, usual = (number(facts[key]) for key in ("lowest", "highest", "usual"))
    range_said = f"{name(facts['channel'])} runs from {lowest} to {highest}{unit}, usually {usual}{unit}"
    n = len(facts["findings"])
    blamed = "it is not among the channels blamed for any abnormal stretch" if n == 0 else "it is blamed, see below"
    return [f"{range_said}; {blamed} {cite(evidence)}."]


def _frame(evidence: Evidence) -> list[str]:
    facts: Any = evidence.facts
    return [f"This is {name(evidence.locus.sample)} at {moment(facts['time_s'])} {cite(evidence)}."]


def _search(evidence: Evidence) -> list[str]:
    facts: Any = evidence.facts
    if not facts["rows_found"]:
        return [f"{name(facts['word'])} occurs in none of the {count(facts['rows_searched'], 'row')} {cite(evidence)}."]
    when = ""
    if facts["first_s"] is not None:
        base = "elapsed" if facts["epoch_s"] is None else "clock"
        first, last = (moment(facts[k], base=base, epoch_s=facts["epoch_s"]) for k in ("first_s", "last_s"))
        when = f", from {first} to {last}"
    mostly = listed([f"{name(op)} ({number(n)})" for op, n in facts["operations"][:3]])
    sentences = [
        f"{name(facts['word'])} occurs in {number(facts['rows_found'])} of {count(facts['rows_searched'], 'row')}{when}: {mostly} "
        f"{cite(evidence)}."
    ]
    by = listed([f"{name(subject)} ({number(n)})" for subject, n in facts["subjects"][:4]])
    sentences.append(f"By {by} {cite(evidence)}.{' The rarest:' if facts['rarest'] else ''}")
    return sentences + [f"- Row {row}: {name(text)} {cite(evidence)}." for row, _, text in facts["did"][:6]]


def _events(evidence: Evidence) -> list[str]:
    facts: Any = evidence.facts
    base = "elapsed" if facts["epoch_s"] is None else "clock"
    start, end = (moment(facts[key], base=base, epoch_s=facts["epoch_s"]) for key in ("start_s", "end_s"))
    if not facts["events_there"]:
        return [f"From {start} to {end} the log holds no event {cite(evidence)}."]
    by = listed([f"{name(subject)} ({number(n)})" for subject, n in facts["subjects"][:3]])
    sentences = [
        f"From {start} to {end} there are {count(facts['events_there'], 'event')}, {number(facts['flagged'])} of them rare, mostly by {by} "
        f"{cite(evidence)}. The rarest:"
    ]
    return sentences + [f"- Row {row}: {name(text)} {cite(evidence)}." for row, _, text in facts["did"][:6]]


def _at(facts: Any) -> str:
    return f"at {moment(facts['best_s'])}" if "best_s" in facts else f"in {name(facts['best'])}"


def _concept(evidence: Evidence) -> list[str]:
    facts: Any = evidence.facts
    seen = listed([f"{name(n)} ({number(p)} %)" for n, p in facts["seen"]])
    return [
        f"I can only compare {name(facts['phrase'])} with pictures by {facts['method']}, which is a hint and not a decision: of "
        f"{count(facts['looked_at'], 'picture')} the nearest is {_at(facts)}, similarity {number(facts['similarity'])} "
        f"(median {number(facts['median_similarity'])}); the network sees {seen} there {cite(evidence)}."
    ]


def _people(evidence: Evidence) -> list[str]:
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
