"""What is said about event logs. Text from the log is quoted, never followed."""

from __future__ import annotations

from typing import Any

from agent.investigation import Finding, Investigation
from agent.telling.log_words import quote, short, time_of
from agent.telling.words import against_threshold, cite, count, fact_number, how_bad, listed, name, number

SAID = 6
"""Things done that are told per finding."""


def subject_of(finding: Finding) -> str:
    """The entity or chain a finding is about, quoted."""
    facts: Any = finding.evidence.facts
    if facts["what"] == "entity":
        return name(facts["entity"])
    if facts["what"] == "row":
        return f"row {facts['row']}"
    if facts["what"] == "sequence":
        return name(facts["entities"][0])
    return " → ".join(name(short(entity)) for entity in facts["entities"])


def headline(inv: Investigation) -> str:
    """What is suspicious first."""
    strongest = inv.findings[0]
    found = int(fact_number(inv.survey.facts, "findings"))
    events = int(fact_number(inv.survey.facts, "events"))
    kind = {"chain": "chain", "sequence": "sequence", "entity": "actor", "row": "row"}[str(strongest.evidence.facts["what"])]
    return (
        f"**The most suspicious {kind} in {name(inv.survey.locus.sample)} is {subject_of(strongest)}**; among {number(events)} events "
        f"{count(found, 'finding passes', 'findings pass')} the threshold {cite(inv.survey, strongest.evidence)}."
    )


def passed_over(inv: Investigation) -> list[str]:
    """Acts that are harmful by their nature and in no finding, with the reason why that may be wrong."""
    acts: Any = inv.survey.facts.get("passed_over") or []
    if not acts:
        return []
    said = listed([f"{quote(text)} (row {row})" for row, text in acts[:SAID]])
    more = f" and {len(acts) - SAID} more" if len(acts) > SAID else ""
    why = (
        "Not rare beside the normal log (leave that out where it is not surely clean)"
        if inv.survey.facts.get("normal_logs")
        else "Not rare in this log"
    )
    return [f"{why}, yet harmful by nature and in no finding: {said}{more} {cite(inv.survey)}."]


def nothing(inv: Investigation) -> str:
    """No event is rare enough."""
    facts = inv.survey.facts
    strongest = (
        f" The strongest {what if (what := inv.findings[0].evidence.facts['what']) in ('chain', 'sequence') else 'finding'} scores "
        if inv.findings
        else ""
    )
    score = f"{strongest}{against_threshold(inv.findings[0].evidence)}." if inv.findings else ""
    return (
        f"**Nothing in {name(inv.survey.locus.sample)} is rare enough to report** among "
        f"{count(int(fact_number(facts, 'events')), 'event')}.{score} {cite(inv.survey, *(f.evidence for f in inv.findings[:1]))}"
    )


def describe(finding: Finding) -> str:
    """Who, when, did what, and how bad."""
    facts: Any = finding.evidence.facts
    if not finding.abnormal:
        subject = subject_of(finding)
        return (
            f"The rarest activity is that of {subject}, yet it stays below the threshold: {_did(facts)} {cite(finding.evidence)}."
        )
    if facts["what"] == "row":
        at = f", {time_of(facts, float(facts['first_s']))}" if facts.get("first_s") is not None else ""
        said = "; ".join(quote(text) for _, _, text in facts["did"])
        return f"Row {facts['row']}{at}: {said}; {how_bad(finding)} {cite(finding.evidence)}."
    start = f" from {time_of(facts, float(facts['first_s']))}" if facts.get("first_s") is not None else ""
    return f"{subject_of(finding)}{start}: {_did(facts)}; {how_bad(finding)}{_hangs(facts)} {cite(finding.evidence)}."


def what(finding: Finding) -> str:
    """Who did what."""
    return f"{subject_of(finding)}: {_did(finding.evidence.facts)} {cite(finding.evidence)}."


def _did(facts: Any, most: int = SAID) -> str:
    told = facts["did"][int(facts.get("hangs_on") or 0) :] or facts["did"]
    parts = [f"{quote(text)} (row {row})" for row, _, text in told[:most]]
    return listed(parts) if parts else f"{facts['n_rows']} events"


def _hangs(facts: Any) -> str:
    """The ordinary links before a chain began, which say where it comes from and no more."""
    before = facts["did"][: int(facts.get("hangs_on") or 0)]
    return f"; earlier, and ordinary: {listed([f'{quote(text)} (row {row})' for row, _, text in before])}" if before else ""


def when(finding: Finding) -> str:
    """First and last of its events, and how long what it started went on."""
    facts: Any = finding.evidence.facts
    if facts.get("first_s") is None:
        return f"{subject_of(finding)}: the log gives no times; it begins in row {facts['first_row']} {cite(finding.evidence)}."
    first, last = float(facts["first_s"]), float(facts["last_s"])
    until = facts.get("until_s")
    on = f"; the processes it started act until {time_of(facts, float(until))}" if until is not None and until > last else ""
    return (
        f"{subject_of(finding)}: from {time_of(facts, first)} to {time_of(facts, last)}, first in row {facts['first_row']}{on}"
        f"{_hangs(facts)} {cite(finding.evidence)}."
    )


def where(finding: Finding) -> str:
    """The entities and rows."""
    rows = getattr(finding.evidence.locus, "rows", ())
    said = listed([str(row) for row in rows[:8]])
    return f"{subject_of(finding)}: rows {said}{' and more' if len(rows) > 8 else ''} {cite(finding.evidence)}."


def why(finding: Finding) -> str:
    """What made it rare, against what."""
    evidence = finding.evidence
    facts: Any = evidence.facts
    odd = f"; the odd part is {facts['odd_attribute']}" if facts.get("odd_attribute") else ""
    odd = f"; the odd part is {quote(facts['because'])}" if facts.get("because") else odd
    against = "the logs given as normal" if evidence.calibrated else "the rest of this log"
    what = {"chain": "As a chain it", "sequence": "As a sequence it", "entity": "Its rarest event"}.get(str(facts["what"]), "It")
    unusual = "such a course of events hardly occurs" if facts["what"] == "sequence" else "such combinations hardly occur"
    return (
        f"{subject_of(finding)}: {unusual} in {against}{odd}. It did: {_did(facts)}. {what} scores "
        f"{number(evidence.score or 0.0)} against a threshold of {number(evidence.threshold or 0.0)} "
        f"({evidence.threshold_origin}) {cite(evidence)}."
    )


def belongs(finding: Finding) -> str:
    """In short, which finding a row that was looked up belongs to."""
    return f"This belongs to the finding {subject_of(finding)}, {how_bad(finding)} {cite(finding.evidence)}."
