"""What is said about photos and 3D scans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.examine.image import NAMED
from agent.investigation import Finding, Investigation
from agent.telling.words import against_threshold, cite, count, fact_number, how_bad, listed, name, number
from core.evidence import Region


def noun(facts: Mapping[str, Any]) -> str:
    """What a piece of evidence is about: "photo" or "scan"."""
    return str(facts.get("noun", "photo"))


def headline(inv: Investigation) -> str:
    """How many photos are abnormal, and which."""
    facts = inv.survey.facts
    photos, flagged = int(fact_number(facts, "photos")), int(fact_number(facts, "flagged"))
    verb = "looks" if flagged == 1 else "look"
    names = named(list(facts["flagged_names"] or []), facts)  # type: ignore[arg-type]
    if photos == 1:
        return f"**{names} looks abnormal** {cite(inv.survey)}."
    return f"**{flagged} of {count(photos, noun(facts))} {verb} abnormal**: {names}{doubt(facts)} {cite(inv.survey)}."


def doubt(facts: Mapping[str, Any]) -> str:
    """Photos that are neither abnormal nor clearly like the others, to be looked at; empty when there are none.

    >>> doubt({"borderline": 1, "borderline_names": ["a.png"]}), doubt({"borderline": 0})
    ('; `a.png` is borderline, have a look', '')
    """
    borderline = int(facts.get("borderline", 0) or 0)
    if not borderline:
        return ""
    names = named(list(facts["borderline_names"]), {"others": facts.get("borderline_others", 0)})
    return f"; {names} {'is' if borderline == 1 else 'are'} borderline, have a look"


def named(names: Sequence[str], facts: Mapping[str, Any]) -> str:
    """Abnormal photos by name; of many the worst, and how many others there are.

    >>> named(["a.png", "b.png"], {"flagged": 2, "others": 0})
    '`a.png` and `b.png`'
    >>> named([f"{i}.png" for i in range(10)], {"flagged": 10, "others": 2})[-29:]
    '`6.png`, `7.png` and 2 others'
    """
    shown = [name(n) for n in names[:NAMED]]
    others = int(facts.get("others", 0))
    return f"{', '.join(shown)} and {count(others, 'other')}" if others else listed(shown)


def nothing(inv: Investigation) -> str:
    """No photo passed the threshold."""
    facts = inv.survey.facts
    photos = int(fact_number(facts, "photos"))
    if facts.get("undecided"):
        return f"**I cannot tell whether {'this is' if photos == 1 else 'these are'} normal**: {_nothing_seen(photos)} {cite(inv.survey)}."
    clearly = "clearly " if facts.get("borderline") else ""
    kind = noun(facts)
    what = f"The {kind} does not stand out" if photos == 1 else f"None of the {count(photos, kind)} {clearly}stands out"
    return f"**{what}**: the highest score is {against_threshold(inv.survey)}{doubt(facts)} {cite(inv.survey)}."


def _nothing_seen(photos: int) -> str:
    """What it means that nothing stands out where there is nothing to compare with."""
    alone = (
        "one photo alone only shows breaks of its own pattern"
        if photos == 1
        else "so few photos only show breaks of their own pattern"
    )
    return f"{alone}, and there is none; give a photo of a good part as the normal reference"


def describe(finding: Finding) -> str:
    """Which photo, where, and how bad."""
    facts, locus = finding.evidence.facts, finding.evidence.locus
    sample = name(locus.sample)
    if not finding.abnormal:
        return normal(finding)
    looks = f", {facts['looks']}" if facts.get("looks") else ""
    return f"{sample}: {facts['label']}{looks}{_area(facts)}; {how_bad(finding)} {cite(finding.evidence)}."


def what(finding: Finding) -> str:
    """Which photo, how the region looks, and how large it is."""
    facts = finding.evidence.facts
    looks = f", {facts['looks']}" if facts.get("looks") else ""
    return f"{name(finding.evidence.locus.sample)}: {facts['label']}{looks}{_area(facts)} {cite(finding.evidence)}."


def _area(facts: Mapping[str, Any]) -> str:
    """How much of the picture is odd; nothing where it is odd as a whole."""
    return "" if facts.get("whole") else f", {number(fact_number(facts, 'area_percent'))} % of the picture"


def normal(finding: Finding) -> str:
    """A photo below the threshold."""
    evidence = finding.evidence
    if evidence.facts.get("undecided"):
        return (
            f"{name(evidence.locus.sample)} shows no break of its own pattern: its score {number(evidence.score or 0.0)} is below the "
            f"threshold {number(evidence.threshold or 0.0)} {cite(evidence)}."
        )
    if evidence.facts.get("borderline"):
        return (
            f"{name(evidence.locus.sample)} is borderline: its score {number(evidence.score or 0.0)} is below the threshold "
            f"{number(evidence.threshold or 0.0)}, yet higher than good photos usually have; have a look, "
            f"{evidence.facts['place']} {cite(evidence)}."
        )
    return (
        f"{name(evidence.locus.sample)} looks normal: its score {number(evidence.score or 0.0)} is below the threshold "
        f"{number(evidence.threshold or 0.0)} {cite(evidence)}."
    )


def when(finding: Finding) -> str:
    """Photos have no time; their order is all there is."""
    facts = finding.evidence.facts
    return (
        f"{noun(facts).capitalize()}s carry no time here; {name(finding.evidence.locus.sample)} is {noun(facts)} {facts['photo']} of "
        f"{facts['photos']} "
        f"{cite(finding.evidence)}."
    )


def where(finding: Finding) -> str:
    """The region in words and pixels."""
    evidence = finding.evidence
    locus = evidence.locus
    assert isinstance(locus, Region)
    x0, y0, x1, y1 = (round(v) for v in locus.box)
    looks = f", {evidence.facts['looks']}" if evidence.facts.get("looks") else ""
    return (
        f"{name(locus.sample)}: {evidence.facts['place']}{looks}, in the box from x {x0}, y {y0} to x {x1}, y {y1} pixels, "
        f"{number(fact_number(evidence.facts, 'area_percent'))} % of the picture; {how_bad(finding)} {cite(evidence)}."
    )


def why(finding: Finding) -> str:
    """Against what it is unusual."""
    evidence = finding.evidence
    times = number(fact_number(evidence.facts, "times_threshold"))
    against = {
        "patch_search": "no patch of the normal photos looks like it",
        "consensus": "no patch of the normal photos looks like it",
        "musc": "the other photos show nothing like it at any place",
        "musc_v2": "the other scans show nothing like it at any place",
        "intrinsic": "the recurring pattern of the picture does not explain it",
    }.get(evidence.tool, "it differs from what is normal")
    if evidence.facts.get("whole"):
        against = "as a whole it lies farther from the normal photos than they lie from each other"
    against += f"; it is {evidence.facts['looks']}" if evidence.facts.get("looks") else ""
    return (
        f"{name(evidence.locus.sample)}: {against}; its score {number(evidence.score or 0.0)} is {times} times as far from the usual as "
        f"the threshold of {number(evidence.threshold or 0.0)}, set by {evidence.threshold_origin} {cite(evidence)}."
    )
