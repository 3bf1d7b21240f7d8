"""What is said about videos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.investigation import Finding, Investigation
from agent.telling.words import cite, count, duration, fact_number, how_bad, listed, moment, name, number, span


def headline(inv: Investigation) -> str:
    """How many events, and when the strongest is."""
    facts = inv.survey.facts
    events = int(fact_number(facts, "events"))
    start, end, _ = span(inv.findings[0])
    clip = name(inv.survey.locus.sample)
    first = f"from {moment(start)} to {moment(end)}"
    also, cited = f"{again(facts)}{_hedge(facts)}", cite(inv.survey, inv.findings[0].evidence)
    if events == 1:
        return f"**Something unusual happens {first}** in {clip}{also} {cited}."
    return f"**{count(events, 'unusual event')}** in {clip}; the strongest lasts {first}{also} {cited}."


def first_look(inv: Investigation) -> str:
    """That a long video was only skimmed, and how much of it was read."""
    facts = inv.survey.facts
    return (
        f"_This is a first look at {name(inv.source)}: a moment of every {number(fact_number(facts, 'every_s'))} s was read, and what lies "
        f"around the strangest of them, {number(fact_number(facts, 'read_percent'))} % in all. Short events may be missing until the rest "
        f"is read (say “refine”, or name a time) {cite(inv.survey)}._"
    )


def again(facts: Mapping[str, Any]) -> str:
    """That a video plays the same footage again, so that its events come again too; empty when it does not.

    >>> again({"round_s": 11.6})
    '; the video repeats itself every 11.6 s, and no moment was compared with its copies'
    """
    return f"{_jumps(facts)}{_repeats(facts)}"


def _jumps(facts: Mapping[str, Any]) -> str:
    """That the whole picture jumps, which is told and not counted as an event.

    >>> _jumps({"jumps": 2, "jumps_s": [3.2, 6.0], "normal_clips": 0})
    '; the whole picture jumps at 0:03.2 and 0:06 (a cut, or a camera that was turned), which is no event: each scene was compared...'
    """
    if "jumps" not in facts:
        return ""
    shown = [moment(float(at)) for at in facts["jumps_s"]]
    times = f"{count(facts['jumps'], 'time')}, first at {listed(shown)}" if facts["jumps"] > len(shown) else f"at {listed(shown)}"
    then = "the moments next to it were left out" if facts["normal_clips"] else "each scene was compared with itself"
    return f"; the whole picture jumps {times} (a cut, or a camera that was turned), which is no event: {then}"


def _repeats(facts: Mapping[str, Any]) -> str:
    if "round_s" not in facts:
        return ""
    return f"; the video repeats itself every {number(facts['round_s'])} s, and no moment was compared with its copies"


def _hedge(facts: Mapping[str, Any]) -> str:
    return f"; {facts['hedge']}" if "hedge" in facts else ""


def nothing(inv: Investigation) -> str:
    """No event passed the threshold."""
    facts = inv.survey.facts
    if facts.get("undecided"):
        return (
            f"**I cannot tell whether {name(inv.survey.locus.sample)} is normal**: it differs throughout from the only normal clip, most "
            f"at {moment(fact_number(facts, 'peak_s'))}, and a clip of {duration(fact_number(facts, 'normal_s'))} shows too little of what "
            f"is normal; give more normal clips {cite(inv.survey)}."
        )
    hedge = f"{again(facts)}{_hedge(facts)}"
    return (
        f"**Nothing in {name(inv.survey.locus.sample)} stands out** in its {duration(fact_number(facts, 'duration_s'))}: the highest "
        f"score is {number(inv.survey.score or 0.0)} at {moment(fact_number(facts, 'peak_s'))}, the threshold is "
        f"{number(inv.survey.threshold or 0.0)}{hedge} {cite(inv.survey)}."
    )


def describe(finding: Finding) -> str:
    """When, what, where in the picture, and how bad."""
    facts = finding.evidence.facts
    start, end, peak = span(finding)
    if facts.get("undecided"):
        return f"It differs most at {moment(peak)} ({facts['what']}) {cite(finding.evidence)}."
    if not finding.abnormal:
        return f"The strangest moment is at {moment(peak)} ({facts['what']}), yet it stays below the threshold {cite(finding.evidence)}."
    place = f", {facts['place']} in the picture" if facts.get("place") else ""
    return f"{moment(start)}–{moment(end)} (peak {moment(peak)}): {facts['what']}{place}; {how_bad(finding)} {cite(finding.evidence)}."


def what(finding: Finding) -> str:
    """What was unusual."""
    return f"{_said(finding)} {cite(finding.evidence)}."


def _said(finding: Finding) -> str:
    said = str(finding.evidence.facts["what"])
    return said[:1].upper() + said[1:]


def when(finding: Finding) -> str:
    """What, and its start, end and peak."""
    start, end, peak = span(finding)
    length = duration(fact_number(finding.evidence.facts, "length_s"))
    return f"{_said(finding)} from {moment(start)} to {moment(end)} ({length}), strongest at {moment(peak)} {cite(finding.evidence)}."


def where(finding: Finding) -> str:
    """The box at the peak."""
    locus = finding.evidence.locus
    box = getattr(locus, "box", None)
    _, _, peak = span(finding)
    if box is None:
        return f"At {moment(peak)} the whole picture is unusual, no single place {cite(finding.evidence)}."
    x0, y0, x1, y1 = (round(v) for v in box)
    return (
        f"At {moment(peak)}: {finding.evidence.facts['place']} in the picture, in the box from x {x0}, y {y0} to x {x1}, y {y1} pixels "
        f"(see its keyframe) {cite(finding.evidence)}."
    )


def why(finding: Finding) -> str:
    """Which component carried it, against what."""
    evidence = finding.evidence
    shares = [
        f"{part} {evidence.facts[f'{part}_percent']} %"
        for part in ("motion", "appearance")
        if f"{part}_percent" in evidence.facts
    ]
    carried = f" (carried by {' and '.join(shares)})" if shares else ""
    start, _, _ = span(finding)
    clips = evidence.facts.get("normal_clips")
    against = "the rest of the same video" if not clips else "the normal clip" if clips == 1 else "the normal clips"
    return (
        f"At {moment(start)} the video moves or looks unlike {against}{carried}: score {number(evidence.score or 0.0)} against a "
        f"threshold of {number(evidence.threshold or 0.0)}, set by {evidence.threshold_origin} {cite(evidence)}."
    )
