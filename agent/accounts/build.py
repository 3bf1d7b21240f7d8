"""From a finding and its context to its account; a sentence that the evidence it cites does not bear out is left out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.accounts.account import Account, Statement
from agent.accounts.around_series import SUDDEN
from agent.accounts.context import role_of
from agent.accounts.said import sentence
from agent.investigation import Finding, Investigation
from agent.telling.voices import VOICES
from agent.telling.words import cite, name
from agent.verify import check_sentence
from core.evidence import Anomaly, Evidence, Interval

log = logging.getLogger(__name__)
AT_ONCE_S = 1.0
"""An event of a video that begins so soon after the first frame has nothing before it."""


def account_of(
    finding: Finding, inv: Investigation, before: Sequence[Evidence], after: Sequence[Evidence], excuses: Sequence[Evidence], *,
    known: Mapping[str, Evidence], followed: bool = True,
) -> Account:  # fmt: skip
    """The account of one abnormal finding.

    Args:
        finding: what was found, with numbered evidence.
        inv: the investigation that it belongs to.
        before: context that begins before it, numbered.
        after: context that begins after it, numbered.
        excuses: context that may excuse it, numbered.
        known: the chat's evidence by id.
        followed: whether who does what was looked at around the events of a video.
    """
    voice: Any = VOICES[inv.kind]
    onset = _onset(finding)

    def told(items: Iterable[Evidence]) -> tuple[Statement, ...]:
        made = (_placed(item, finding, onset) for item in items)
        return tuple(statement for statement in made if _holds(statement, known))

    cause, effect = told(before), told(after)
    open_ = _open(finding, inv, cause=bool(cause), effect=bool(effect), followed=followed)
    return Account(
        finding=finding.evidence.id, source=inv.source, what=Statement.of(voice.what(finding)), where=Statement.of(voice.where(finding)),
        when=None if inv.kind == "image" else Statement.of(voice.when(finding)), why=Statement.of(voice.why(finding)),
        severity=finding.severity, severity_score=finding.severity_score, severity_why=finding.why, confidence=finding.confidence,
        cause=cause, effect=effect, innocent=told(excuses),
        insufficient=(Statement.of(f"{open_} {cite(finding.evidence)}."),) if open_ else (),
    )  # fmt: skip


def account_of_rule(anomaly: Anomaly, evidence: Evidence) -> Account:
    """The account of what a person's rule found: the rule says what it is and why; it measures nothing around it."""
    cited = cite(evidence)
    said = str(evidence.facts.get("sentence") or anomaly.label).rstrip(".")
    rule = evidence.facts.get("rule_text") or anomaly.label
    return Account(
        finding=evidence.id, source=anomaly.source, what=Statement.of(f"{said} {cited}."), where=None, when=None,
        why=Statement.of(f"Your rule holds here: {name(rule)} {cited}."), severity=anomaly.severity, severity_score=anomaly.severity_score,
        severity_why=anomaly.why, confidence=anomaly.confidence,
        insufficient=(Statement.of(f"A rule says that something is so, not what came before it {cited}."),),
    )  # fmt: skip


def _onset(finding: Finding) -> float:
    locus = finding.evidence.locus
    return locus.start_s if isinstance(locus, Interval) else 0.0


def _placed(item: Evidence, finding: Finding, onset: float) -> Statement:
    """The statement of a piece of context, with how long after the onset it begins."""
    facts: Any = item.facts
    offset = facts.get("offset") if role_of(item) else round(float(getattr(item.locus, "start_s", 0.0)) - onset, 3)
    return Statement.of(sentence(item, finding), offset=offset, unit=str(facts.get("unit", "s")) if role_of(item) else "s")


def _holds(statement: Statement, known: Mapping[str, Evidence]) -> bool:
    check = check_sentence(statement.text, known)
    if not check.holds:
        log.warning("left out of an account: %r (%s)", statement.text, "; ".join(check.problems))
    return check.holds


def _open(finding: Finding, inv: Investigation, *, cause: bool, effect: bool, followed: bool) -> str:
    """What the evidence does not show of how a finding came about and what came of it, and why; empty when it shows both."""
    if inv.kind == "image":
        return f"A {inv.survey.facts.get('noun', 'photo')} shows one moment, so the evidence does not show how it came about"
    if inv.kind == "video" and not followed and not (cause and effect):
        return "Who does what before and after it has not been followed yet; ask why it happened"
    if cause:
        return "" if effect else "The evidence does not show what came of it"
    locus = finding.evidence.locus
    said = "The evidence does not show what came before"
    if inv.kind == "video" and _onset(finding) < AT_ONCE_S:
        said = "The recording begins with it, so the evidence does not show what came before"
    elif isinstance(locus, Interval) and len(locus.channels) > 1 and str(finding.evidence.facts.get("kind")) in (*SUDDEN, "dip"):
        said = f"{said}: none of the channels that carry it goes anywhere unusual before {name(locus.channels[0])} does"
    return said if effect else f"{said}, nor what came of it"
