"""What is said about photos."""

from __future__ import annotations

from agent.investigation import Finding, Investigation
from agent.telling.words import against_threshold, cite, count, fact_number, how_bad, listed, name, number
from core.evidence import Region


def headline(inv: Investigation) -> str:
    """How many photos are abnormal, and which."""
    facts = inv.survey.facts
    photos, flagged = int(fact_number(facts, "photos")), int(fact_number(facts, "flagged"))
    names = [name(n) for n in list(facts["flagged_names"] or [])[:8]]  # type: ignore[arg-type]
    if photos == 1:
        return f"**{names[0]} looks abnormal** {cite(inv.survey)}."
    more = f" and {count(flagged - len(names), 'other')}" if flagged > len(names) else ""
    verb = "looks" if flagged == 1 else "look"
    return f"**{flagged} of {count(photos, 'photo')} {verb} abnormal**: {listed(names)}{more if len(names) < 8 else ''} {cite(inv.survey)}."


def nothing(inv: Investigation) -> str:
    """No photo passed the threshold."""
    facts = inv.survey.facts
    photos = int(fact_number(facts, "photos"))
    what = "The photo does not stand out" if photos == 1 else f"None of the {count(photos, 'photo')} stands out"
    return f"**{what}**: the highest score is {against_threshold(inv.survey)} {cite(inv.survey)}."


def describe(finding: Finding) -> str:
    """Which photo, where, and how bad."""
    facts, locus = finding.evidence.facts, finding.evidence.locus
    sample = name(locus.sample)
    if not finding.abnormal:
        return normal(finding)
    return (
        f"{sample}: {facts['label']}, {number(fact_number(facts, 'area_percent'))} % of the picture; "
        f"{how_bad(finding)} {cite(finding.evidence)}."
    )


def normal(finding: Finding) -> str:
    """A photo below the threshold."""
    evidence = finding.evidence
    return (
        f"{name(evidence.locus.sample)} looks normal: its score {number(evidence.score or 0.0)} is below the threshold "
        f"{number(evidence.threshold or 0.0)} {cite(evidence)}."
    )


def when(finding: Finding) -> str:
    """Photos have no time; their order is all there is."""
    facts = finding.evidence.facts
    return (
        f"Photos carry no time here; {name(finding.evidence.locus.sample)} is photo {facts['photo']} of {facts['photos']} "
        f"{cite(finding.evidence)}."
    )


def where(finding: Finding) -> str:
    """The region in words and pixels."""
    evidence = finding.evidence
    locus = evidence.locus
    assert isinstance(locus, Region)
    x0, y0, x1, y1 = (int(v) for v in locus.box)
    return (
        f"{name(locus.sample)}: {evidence.facts['place']}, in the box from x {x0}, y {y0} to x {x1}, y {y1} pixels, "
        f"{number(fact_number(evidence.facts, 'area_percent'))} % of the picture; {how_bad(finding)} {cite(evidence)}."
    )


def why(finding: Finding) -> str:
    """Against what it is unusual."""
    evidence = finding.evidence
    times = number(fact_number(evidence.facts, "times_threshold"))
    against = {
        "patch_search": "no patch of the normal photos looks like it",
        "mutual_search": "the other photos show nothing like it at any place",
        "intrinsic": "the recurring pattern of the picture does not explain it",
    }.get(evidence.tool, "it differs from what is normal")
    return (
        f"{name(evidence.locus.sample)}: {against}; its score {number(evidence.score or 0.0)} stands against a threshold of "
        f"{number(evidence.threshold or 0.0)} ({evidence.threshold_origin}), {times} times the distance {cite(evidence)}."
    )
