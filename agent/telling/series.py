"""What is said about sensor series."""

from __future__ import annotations

from typing import Any

from agent.investigation import Finding, Investigation
from agent.telling.words import cite, count, fact_number, how_bad, listed, moment, name, number, span

MUCH_MISSING = 1.0
"""Per cent of missing readings from which "nothing stands out" must say so."""


def time_said(facts: Any, seconds: float) -> str:
    """A time of the series, on its own base."""
    epoch = facts.get("epoch_s")
    return moment(seconds, base=str(facts["time_base"]), epoch_s=None if epoch is None else float(epoch))


def headline(inv: Investigation) -> str:
    """How many events, the strongest first."""
    facts = inv.survey.facts
    events = int(fact_number(facts, "events"))
    strongest = inv.findings[0]
    start, _, _ = span(strongest)
    what = strongest.evidence.facts["label"]
    label = f"{facts_kind(strongest)} in {name(_channels(strongest)[0])}" if _channels(strongest) else str(what)
    article = "an" if label[:1] in "aeiou" else "a"
    if events == 1:
        return (
            f"**One abnormal stretch** in {name(inv.survey.locus.sample)}: {label}, since {time_said(facts, start)} "
            f"{cite(inv.survey, strongest.evidence)}."
        )
    return (
        f"**{count(events, 'abnormal stretch', 'abnormal stretches')}** in {name(inv.survey.locus.sample)}; the strongest is "
        f"{article} {label}, since {time_said(facts, start)} {cite(inv.survey, strongest.evidence)}."
    )


def throughout(inv: Investigation) -> list[str]:
    """Channels that are off all the time, which no stretch of time can show."""
    off: Any = inv.survey.facts.get("off_throughout") or []
    if not off:
        return []
    said = listed([f"{name(channel)} ({number(ratio)} times its usual level)" for channel, ratio in off])
    return [f"Different from the normal data all the time: {said} {cite(inv.survey)}."]


def unjudged(inv: Investigation) -> list[str]:
    """That switches were looked at and not judged, where they outnumber what is measured."""
    names: Any = inv.survey.facts.get("unjudged") or []
    if not names:
        return []
    several = int(fact_number(inv.survey.facts, "unjudged_count"))
    them = (
        f"{name(names[0])} only knows" if several == 1 else f"{count(several, 'channel')} ({listed([name(n) for n in names[:3]])}"
    )
    them += "" if several == 1 else f"{', …' if several > 3 else ''}) only know"
    it = "it was" if several == 1 else "they were"
    return [
        f"{them[0].upper()}{them[1:]} two states, like a flag or a command, and outnumber what is measured: {it} looked at and not judged "
        f"{cite(inv.survey)}."
    ]


def facts_kind(finding: Finding) -> str:
    """The kind of change in words ("level shift", "spike", "dip", …)."""
    return str(finding.evidence.facts["kind"])


def _channels(finding: Finding) -> tuple[str, ...]:
    return getattr(finding.evidence.locus, "channels", ())


def nothing(inv: Investigation) -> str:
    """No stretch passed the threshold."""
    missing = fact_number(inv.survey.facts, "missing_percent")
    gaps = f"; {number(missing)} % of the readings are missing and were not judged" if missing >= MUCH_MISSING else ""
    return (
        f"**Nothing in {name(inv.survey.locus.sample)} stands out**: over {count(int(fact_number(inv.survey.facts, 'rows')), 'row')} the "
        f"highest score is {number(inv.survey.score or 0.0)}, the threshold {number(inv.survey.threshold or 0.0)}{gaps} {cite(inv.survey)}."
    )


def describe(finding: Finding) -> str:
    """When, which channel, how it changed, and how bad."""
    facts: Any = finding.evidence.facts
    start, end, peak = span(finding)
    if not finding.abnormal:
        most = f"{time_said(facts, peak)} ({name(_channels(finding)[0])} most)"
        return f"The strangest moment is {most}, yet it stays below the threshold {cite(finding.evidence)}."
    return (
        f"{time_said(facts, start)} to {time_said(facts, end)}: {_changed(facts)}; {how_bad(finding)} {cite(finding.evidence)}."
    )


def what(finding: Finding) -> str:
    """How the leading channel changed."""
    changed = _changed(finding.evidence.facts)
    return f"{changed[:1].upper()}{changed[1:]} {cite(finding.evidence)}."


def _changed(facts: Any) -> str:
    change = facts["changes"][0]
    unit = f" {change['unit']}" if change["unit"] else ""
    said = f"{change['kind']} in {name(change['channel'])}"
    if change["kind"] == "missing":
        return said
    if change["kind"] == "flatline" and change["during"] is not None:
        still = ""
        if "still_from_s" in facts:
            still = f" from {time_said(facts, facts['still_from_s'])} to {time_said(facts, facts['still_to_s'])}"
        return f"{said}, stuck at {number(change['during'])}{unit}{still}"
    if change["kind"] in ("spike", "dip") and change["peak"] is not None and change["before"] is not None:
        to = "down to" if change["kind"] == "dip" else "to a peak of"
        return f"{said}, from {number(change['before'])}{unit} {to} {number(change['peak'])}{unit}"
    if change["before"] is not None and change["during"] is not None:
        return f"{said}, from {number(change['before'])}{unit} before to {number(change['during'])}{unit} during it"
    return said


def when(finding: Finding) -> str:
    """What, and its start, end and peak, with the rows of the file."""
    facts: Any = finding.evidence.facts
    start, end, peak = span(finding)
    kind = str(facts["changes"][0]["kind"])
    return (
        f"{kind[:1].upper()}{kind[1:]} in {name(facts['changes'][0]['channel'])} from {time_said(facts, start)} to "
        f"{time_said(facts, end)} (rows {facts['first_row']} to {facts['last_row']}), strongest at {time_said(facts, peak)} "
        f"{cite(finding.evidence)}."
    )


def where(finding: Finding) -> str:
    """Which channels carry it."""
    facts = finding.evidence.facts
    shares: dict[str, float] = dict(facts["shares_percent"])  # type: ignore[arg-type]
    parts = [f"{name(channel)} ({number(share)} % of the score)" for channel, share in list(shares.items())[:3]]
    start, _, _ = span(finding)
    return f"At {time_said(facts, start)}: {listed(parts)} {cite(finding.evidence)}."


def why(finding: Finding) -> str:
    """How each blamed channel changed, against what."""
    evidence = finding.evidence
    facts: Any = evidence.facts
    against = "its history" if evidence.calibrated else "the rest of the series"
    others = [f"{name(c['channel'])} ({c['kind']})" for c in facts["changes"][1:3]]
    together = f"; with it {listed(others)}" if others else ""
    start, _, _ = span(finding)
    return (
        f"At {time_said(facts, start)}: {_changed(facts)}{together}. The usual patterns of {against} cannot rebuild this: "
        f"score {number(evidence.score or 0.0)} against a threshold of {number(evidence.threshold or 0.0)}, "
        f"set by {evidence.threshold_origin} {cite(evidence)}."
    )
