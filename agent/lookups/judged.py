"""Questions about pictures that only a detector's findings answer: is it a crack, what colour is it, which of two is worse.

Nothing is looked at anew. The evidence repeats what the findings in scope say, names them (`findings`, `rests_on`) so that an answer
tells and cites them, and says what was asked, so that the answer can admit what cannot be told.
"""

from __future__ import annotations

from typing import Any

from agent.investigation import Finding
from agent.lookups.found import made
from agent.lookups.scope import Scope
from agent.question import Request
from agent.reading.phrases import either
from agent.reading.sights import Asked, asks_for_the_worse
from agent.reading.tidy import words_of
from core.evidence import Evidence, Interval, Whole


def judged(asked: Asked, scope: Scope) -> Evidence | None:
    """What the detector says where a kind of damage or event, a colour, or something it cannot tell was asked for."""
    if scope.inv is None or len(scope.named) < len(scope.samples):  # of many photos only the worst have evidence of their own
        return None
    facts: dict[str, Any] = {
        "phrase": asked.phrase,
        "of": scope.source.kind,
        "whether": asked.whether,
        "count": asked.count,
        "damage": asked.damage,
    }
    facts |= known(scope)
    if asked.sight == "colour" and scope.source.kind == "image" and scope.findings:
        facts["looks"] = [[f.evidence.locus.sample, f.evidence.facts.get("looks", ""), f.evidence.id] for f in scope.findings]
        del facts["findings"]  # said with the colours
    return made(asked.sight, scope.source.name, Whole(sample=scope.source.name), facts)


def known(scope: Scope) -> dict[str, Any]:
    """What the detector found in scope, as facts every answer about it may use."""
    if scope.inv is None:
        return {}
    survey = scope.inv.survey.facts
    facts: dict[str, Any] = {
        "found": len(scope.findings), "findings": [f.evidence.id for f in scope.findings], "rests_on": scope.rests_on,
        "in_times": bool(scope.times), "calibrated": scope.inv.survey.calibrated,
    }  # fmt: skip
    if scope.source.kind == "image":
        names = [f.evidence.locus.sample for f in scope.findings]
        facts |= {
            "photos": int(survey["photos"]), "flagged": int(survey["flagged"]), "others": int(survey.get("others", 0) or 0),  # type: ignore[arg-type]
            "abnormal_names": names if scope.samples else list(survey["flagged_names"] or []),  # type: ignore[arg-type]
            "normal_names": [f.evidence.locus.sample for f in scope.named if not f.abnormal],
            "undecided": bool(survey.get("undecided")),
        }  # fmt: skip
    elif not scope.findings and "hedge" in survey:
        facts["hedge"] = survey["hedge"]
    return facts


def comparison(request: Request, scope: Scope) -> Evidence | None:
    """Two photos (or the only two findings) side by side, or None when a question does not compare two things of this source."""
    return two(request, scope) if asks_for_the_worse(request) else None


def two(request: Request, scope: Scope) -> Evidence | None:
    """The two photos that a question names, or the only two findings, side by side; None where there are not two."""
    if scope.inv is None:
        return None
    pair = list(scope.named) if scope.samples else list(scope.findings) if _between_findings(request) else []
    if len(pair) != 2:
        return None
    worse, milder = sorted(pair, key=lambda f: (-int(f.abnormal), -f.severity_score, -(f.evidence.score or 0.0)))
    facts = {
        "of": scope.source.kind, "worse": _side(worse), "milder": _side(milder), "threshold": worse.evidence.threshold,
        "findings": [f.evidence.id for f in (worse, milder) if f.abnormal], "rests_on": [worse.evidence.id, milder.evidence.id],
        "asked_worse": [s.sample for s in request.samples][:2],
    }  # fmt: skip
    return made("pair", scope.source.name, Whole(sample=scope.source.name), facts)


def _between_findings(request: Request) -> bool:
    """True where the findings themselves are compared: "which of the two is worse?", and not "compare it with the others"."""
    return "compare" not in request.intents or bool(either("picture worse").search(words_of(request.question)))


def _side(finding: Finding) -> dict[str, Any]:
    """One side of a comparison."""
    evidence = finding.evidence
    side: dict[str, Any] = {"sample": evidence.locus.sample, "score": evidence.score, "abnormal": finding.abnormal}
    if isinstance(evidence.locus, Interval):
        side["start_s"] = evidence.locus.start_s
    if finding.abnormal:
        side |= {
            "severity_score": finding.severity_score,
            "severity": evidence.facts["severity"],
            "place": evidence.facts["place"],
        }
    return side
