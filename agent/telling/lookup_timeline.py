"""What is said about findings of several files on one clock: in which order, how far apart, and what the clocks rest on.

An order in time is told as that and never as a cause; a step that comes later cites what came before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from agent.telling.log_words import quote
from agent.telling.words import cite, count, listed, moment, name, number
from core.evidence import Evidence

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six")


def together(evidence: Evidence) -> list[str]:
    """The answer in a sentence, the incidents and lone findings in the order of time, then what that rests on."""
    facts: Any = evidence.facts
    lines = list(_verdict(evidence))
    if facts["what"] != "one":  # there the file itself tells what it shows
        for steps in facts["groups"]:
            alone = len(steps) == 1
            lines += [f"- {_at(facts, steps[0]['start_s'])}{_what(steps[0], evidence)}"] if alone else _incident(steps, evidence)
        if facts["left_out"]:
            lines.append(f"Left out here: {count(facts['left_out'], 'milder finding')} {cite(evidence)}.")
        if facts["incidents"]:
            lines.append(_caution(evidence))
        lines += _narrowed(evidence)
    return [*lines, *_clocks(evidence)]


def _verdict(evidence: Evidence) -> Iterator[str]:
    """The first sentence: an answer to what was asked; none where the incidents speak for themselves."""
    facts: Any = evidence.facts
    what, cited = facts["what"], cite(evidence)
    incidents = [steps for steps in facts["groups"] if len(steps) > 1]
    everything = [step for steps in facts["groups"] for step in steps]
    if what == "apart":
        if facts["days"]:
            days = listed([f"{_at(facts, day['start_s'])[:10]} in {name(day['source'])}" for day in facts["days"]])
            yield f"The files do not share that time: it is on {days}, so nothing in them comes together then {cited}."
    elif what == "one":
        yield _only(evidence)
    elif len(facts["clocks"]) < 2:
        only = f"Only {name(facts['clocks'][0]['source'])} tells" if facts["clocks"] else "None of the files tells"
        yield f"**{only} the time of day and the date**, so there is nothing to put on one timeline {cited}."
    elif what == "time":
        if facts["expects"] != "either":
            yield f"{'No, it does not look so' if facts['expects'] == 'normal' else 'Yes, it looks so'} {cited}."
    elif what == "first" and len({step["source"] for step in everything}) > 1:
        yield _first(max(incidents, key=len) if incidents else everything, evidence)
    elif not incidents:
        yield f"**Nothing comes together in time**: {_apart(facts)} {cited}."
    elif what == "connection":
        yield (
            f"**In time, yes**: {_few(facts['sources'])} files show something within {facts['within']} of each other. Whether one made "
            f"the other happen, times cannot show {cited}."
        )


def _apart(facts: Any) -> str:
    """Why nothing comes together: two files that never run at the same time, or findings too far from each other."""
    if facts["common"] or len(facts["clocks"]) != 2:
        return f"no finding of one file lies within {facts['within']} of a finding of another"
    runs = [f"{name(c['source'])} runs from {_at(facts, c['start_s'])} to {_at(facts, c['end_s'])}" for c in facts["clocks"]]
    return f"the two files have no time in common: {listed(runs)}"


def _only(evidence: Evidence) -> str:
    """That one file shows something at a time and the others do not."""
    facts: Any = evidence.facts
    step, quiet = facts["groups"][0][0], [name(source) for source in facts["quiet"]]
    verbs = ("cover", "show") if len(quiet) > 1 else ("covers", "shows")
    others = f"; {listed(quiet)} {verbs[0]} that time and {verbs[1]} nothing unusual" if quiet else ""
    return f"**Only {name(step['source'])} shows something unusual then**{others} [{evidence.id}, {step['finding']}]."


def _first(steps: Sequence[Any], evidence: Evidence) -> str:
    """Which source came first, where the clocks settle that."""
    one, other = steps[0], next(step for step in steps if step["source"] != steps[0]["source"])
    cited = _cited(evidence, one, other)
    at, then = (_at(evidence.facts, step["start_s"]) for step in (one, other))
    if other["start_s"] - one["start_s"] <= one["slack_s"] + other["slack_s"]:
        names = f"{name(one['source'])} and {name(other['source'])}"
        return f"**The clocks do not tell which came first**: {names} begin as good as at once, at {at} and {then} {cited}."
    return f"**{name(one['source'])} came first**, at {at}, before {name(other['source'])} at {then} {cited}."


def _incident(steps: Sequence[Any], evidence: Evidence) -> list[str]:
    """An incident: which sources saw it, from when to when, and its moments in order."""
    facts: Any = evidence.facts
    sources = listed([name(s) for s in dict.fromkeys(step["source"] for step in steps)])
    start, end = steps[0]["start_s"], max(step["end_s"] for step in steps)
    lines = [
        f"**{sources} show something unusual together in time**, from {_at(facts, start)} to {_at(facts, end)} (UTC) {cite(evidence)}:"
    ]
    for i, step in enumerate(steps):
        before = steps[i - 1] if i else None
        lines.append(f"- {_on_day(facts, step['start_s'], start)}{_later(step)}{_what(step, evidence, before)}")
    return lines


def _later(step: Any) -> str:
    """How much later a step begins than the one before."""
    if "lag" not in step:
        return "" if step["ordered"] else ", at once with it"
    return f", {step['lag']} later" + ("" if step["ordered"] else " (too close to call)")


def _what(step: Any, evidence: Evidence, before: Any = None) -> str:
    """What a file shows at a moment; a later one cites the earlier too."""
    what = label_said(str(step["label"])) + (f": {quote(step['did'])} (row {step['row']})" if "did" in step else "")
    shown = f" at {moment(step['own_s'])} of the video" if "own_s" in step else ""
    lasts = step["end_s"] - step["start_s"] >= 1
    until = f", until {_on_day(evidence.facts, step['end_s'], step['start_s'])}" if lasts else ""
    return f", {name(step['source'])}{shown}: {what}{until} {_cited(evidence, *([before] if before else []), step)}."


def label_said(label: str) -> str:
    """A finding's label with what came out of a file quoted.

    >>> label_said("spike in flow"), label_said("suspicious chain ending in a.exe"), label_said("unusual motion")
    ('spike in `flow`', 'suspicious chain ending in `a.exe`', 'unusual motion')
    """
    for word in (" ending in ", " in ", " of "):
        kind, found, subject = label.partition(word)
        if found:
            return f"{kind}{word}{name(subject)}"
    return label


def _caution(evidence: Evidence) -> str:
    """That an order is no cause, and how often such nearness comes by chance."""
    facts: Any = evidence.facts
    shares = listed([f"{number(item['percent'])} % in {name(item['source'])}" for item in facts["chance"]])
    by_chance = f" A moment picked at random lies as near to a finding of the others with a chance of {shares}" if shares else ""
    return f"This is an order in time, not a cause.{by_chance} {cite(evidence)}."


def _narrowed(evidence: Evidence) -> Iterator[str]:
    """Why a finding of a series is placed later than its stretch begins."""
    facts: Any = evidence.facts
    sources = dict.fromkeys(step["source"] for steps in facts["groups"] for step in steps if step.get("by_readings"))
    if sources:
        verb = "are" if len(sources) > 1 else "is"
        yield (
            f"{listed([name(s) for s in sources])} {verb} scored in windows, which begin before a change; here a finding runs as long "
            f"as its readings are beyond half of their way to the peak {cite(evidence)}."
        )


def _clocks(evidence: Evidence) -> Iterator[str]:
    """What the clocks rest on where that is an assumption, and what could not be placed."""
    facts: Any = evidence.facts
    clocks = facts["clocks"] if len(facts["clocks"]) > 1 else []
    assumed = [name(clock["source"]) for clock in clocks if clock["rests_on"] == "assumed zone"]
    if assumed:
        write, times, places = (
            ("write", "their times", "their places") if len(assumed) > 1 else ("writes", "its times", "its place")
        )
        yield (
            f"{listed(assumed)} {write} no time zone, so I took {times} as UTC; if that is local time, {places} on this timeline "
            f"{'are' if len(assumed) > 1 else 'is'} off by the difference {cite(evidence)}."
        )
    for clock in clocks:
        if clock["rests_on"] == "creation time":
            yield (
                f"{name(clock['source'])} is placed by the file's creation time, taken as its first frame; a camera that writes it at "
                f"the end would put it {clock['length']} too late {cite(evidence)}."
            )
    for item in facts["unplaced"]:
        yield f"{name(item['source'])} {item['reason']}, so it cannot be placed {cite(evidence)}."


def _cited(evidence: Evidence, *steps: Any) -> str:
    """The citation of a timeline and of the findings of some of its steps."""
    return "[" + ", ".join(dict.fromkeys((evidence.id, *(step["finding"] for step in steps)))) + "]"


def _few(sources: Any) -> str:
    return _NUMBERS[len(sources)] if len(sources) < len(_NUMBERS) else str(len(sources))


def _at(facts: Any, seconds: float) -> str:
    """A moment of the timeline in UTC."""
    return moment(seconds, base="clock", epoch_s=float(facts["epoch_s"]))


def _on_day(facts: Any, seconds: float, near: float) -> str:
    """A moment of the timeline, without the date where it is that of `near`."""
    stamp = _at(facts, seconds)
    return stamp[11:] if stamp[:10] == _at(facts, near)[:10] else stamp
