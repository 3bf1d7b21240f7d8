"""One tool run on one source, as findings that can be cached, numbered and told: the step between scores and evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from agent.reply import Panel
from agent.severity import Severity
from core.evidence import SEVERITY_NAMES, Anomaly, Evidence, Status


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A piece of evidence and, when it is abnormal, how it is called, how bad it is and why."""

    evidence: Evidence
    abnormal: bool = False
    label: str = ""
    severity: int = 0
    severity_score: float = 0.0
    confidence: float = 0.0
    why: str = ""

    @classmethod
    def stated(cls, evidence: Evidence, label: str, severity: Severity, sure: float) -> Finding:
        """An abnormal finding; its severity and confidence also become facts of its evidence, so that an answer may quote them."""
        facts = {
            **evidence.facts, "label": label, "severity": SEVERITY_NAMES[severity.level], "severity_score": severity.score,
            "severity_of": 100,
            "severity_why": severity.why, "confidence_percent": round(100 * sure),
            **({"severity_known": True} if severity.known else {}),
        }  # fmt: skip
        return cls(
            evidence=replace(evidence, facts=facts), abnormal=True, label=label, severity=severity.level,
            severity_score=severity.score, confidence=sure, why=severity.why,
        )  # fmt: skip

    def anomaly(self, numbered: Evidence, survey: Evidence) -> Anomaly:
        """The anomaly this finding states, resting on its own evidence and on the run's survey."""
        return Anomaly(
            label=self.label, source=numbered.source, loci=(numbered.locus,), severity=self.severity,
            severity_score=self.severity_score, confidence=self.confidence, evidence=(numbered.id, survey.id), why=self.why,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Investigation:
    """What one detector found in one source: a survey of the whole, findings (worst first), and things to show.

    `arrays` names an .npz in the evidence store with the raw scores, for later questions about a time or a channel.
    """

    tool: str
    source: str
    kind: str
    reason: str
    status: Status
    survey: Evidence
    findings: tuple[Finding, ...] = ()
    panels: tuple[Panel, ...] = ()
    arrays: str | None = None
    seconds: float = 0.0
    reserve: tuple[Finding, ...] = ()
    """Further findings, unnumbered, that are told where a person's rules took others out."""
    hidden: tuple[int, ...] = ()
    """Rows of a log that a person's rules took out."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for the result cache."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Investigation:
        """Rebuild what `to_json` gave."""
        values = dict(data)
        values["survey"] = Evidence.from_json(values["survey"])
        for name in ("findings", "reserve"):
            values[name] = tuple(Finding(**{**f, "evidence": Evidence.from_json(f["evidence"])}) for f in values.get(name, ()))
        values["hidden"] = tuple(values.get("hidden", ()))
        values["panels"] = tuple(Panel(**p) for p in values["panels"])
        return cls(**values)

    def numbered(self, ids: Sequence[Evidence]) -> Investigation:
        """The same investigation with numbered evidence (survey first, then the findings), panels pointing at it."""
        survey, *others = ids
        findings = tuple(replace(f, evidence=e) for f, e in zip(self.findings, others, strict=True))
        known = {"survey": survey.id, **{f"finding:{i}": e.id for i, e in enumerate(others)}}
        return replace(self, survey=survey, findings=findings, panels=tuple(_renamed(p, known) for p in self.panels))

    @property
    def anomalies(self) -> tuple[Anomaly, ...]:
        """The abnormal findings as anomalies, worst first."""
        return tuple(f.anomaly(f.evidence, self.survey) for f in self.findings if f.abnormal)

    @property
    def skimmed(self) -> bool:
        """True when only some moments of a long video were read."""
        return "every_s" in self.survey.facts

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """Survey and findings."""
        return (self.survey, *(f.evidence for f in self.findings))


def _renamed(panel: Panel, known: Mapping[str, str]) -> Panel:
    """Replace the placeholders `survey` and `finding:<i>` by evidence ids."""
    data = panel.data
    if data is not None and "events" in data:
        events = [{**event, "evidence": known.get(event["evidence"], event["evidence"])} for event in data["events"]]
        data = {**data, "events": events}
    evidence = panel.evidence if panel.evidence is None else known.get(panel.evidence, panel.evidence)
    return replace(panel, evidence=evidence, data=data)
