"""What rules change: anomalies that a rule adds, findings that a normal rule sets aside, and which of two contradicting rules decides.

A narrower scope decides before a wider one, and of equals the newer rule; every decision is said. Nothing is lost: what was set aside
is kept with the rule's id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from agent.examine.appearance import Appearance
from agent.rules.compile import definition_of
from agent.rules.conditions import FindingCondition
from agent.rules.like_finding import matches, overlap
from agent.rules.outcome import Outcome, RuleFinding
from core.evidence import Anomaly, EventRows, Evidence, Fact, Interval, Locus, Path, Region, Whole
from core.rules import Rule
from core.samples import Kind

COVERED = 0.5
"""Part of a finding that a normal rule must cover to set it aside."""
DEFAULT_SEVERITY = 2
"""Level of an anomaly whose rule names none: a person asked for it, so it is no trifle."""
_SCORES = (0.0, 25.0, 60.0, 90.0)


@dataclass(frozen=True, kw_only=True)
class SetAside:
    """A finding that a normal rule made normal."""

    anomaly: Anomaly
    rule_id: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is left after rules: `kept` findings, those `set_aside`, what rules `added` (with the rule), and sentences on contradictions."""

    kept: tuple[Anomaly, ...]
    set_aside: tuple[SetAside, ...]
    added: tuple[tuple[Rule, RuleFinding], ...]
    notes: tuple[str, ...] = ()


def decide(
    anomalies: Sequence[Anomaly], outcomes: Sequence[tuple[Rule, Outcome]], *, evidence: dict[str, Evidence] | None = None,
    kind: Kind | None = None, size: tuple[int, int] | None = None, looks: Mapping[str, Appearance] | None = None,
) -> Decision:  # fmt: skip
    """Apply what rules gave on one source to the anomalies that detectors found there.

    `evidence` by id and the `kind` of the source are needed for rules made from findings ("that is normal here"), and for photos with
    several odd regions, which are set aside only when all are; `size` (height, width) where findings do not say it, and `looks`
    by the id of a finding's evidence what is to be seen of it.
    """
    normal = [(rule, outcome) for rule, outcome in outcomes if rule.enabled and rule.polarity == "normal"]
    kept: list[Anomaly] = []
    aside: list[SetAside] = []
    for anomaly in anomalies:
        found = next(
            (
                s
                for rule, outcome in _ranked(normal)
                if (s := _set_aside(anomaly, rule, outcome, evidence or {}, kind, size, looks or {}))
            ),
            None,
        )
        if found is None:
            kept.append(anomaly)
        else:
            aside.append(found)
    added: list[tuple[Rule, RuleFinding]] = []
    notes: list[str] = []
    for rule, outcome in outcomes:
        if not rule.enabled or rule.polarity != "anomaly":
            continue
        for finding in outcome.findings:
            against = next((r for r, o in _ranked(normal) if covers([f.locus for f in o.findings], finding.locus)), None)
            if against is None:
                added.append((rule, finding))
            elif stronger(against, rule):
                notes.append(
                    f"{rule.id} fires at the same place as the normal rule {against.id}; {_why(against, rule)}, so it "
                    f"counts as normal."
                )
            else:
                notes.append(
                    f"{rule.id} fires at the same place as the normal rule {against.id}; {_why(rule, against)}, so it "
                    f"counts as an anomaly."
                )
                added.append((rule, finding))
    return Decision(kept=tuple(kept), set_aside=tuple(aside), added=tuple(added), notes=tuple(dict.fromkeys(notes)))


def stronger(a: Rule, b: Rule) -> bool:
    """True when rule `a` decides against rule `b`: the narrower scope, then the newer version.

    >>> from core.rules import Scope
    >>> wide = Rule(id="R2", text="x", polarity="normal", compiled={}, created="2026-01-02")
    >>> stronger(Rule(id="R1", text="x", polarity="anomaly", compiled={}, scope=Scope(source="a.csv"), created="2026-01-01"), wide)
    True
    """
    return (a.scope.narrowness, a.created, _number(a)) > (b.scope.narrowness, b.created, _number(b))


def _number(rule: Rule) -> int:
    digits = "".join(c for c in rule.id if c.isdigit())
    return int(digits) if digits else 0


def _why(winner: Rule, loser: Rule) -> str:
    if winner.scope.narrowness != loser.scope.narrowness:
        return f"{winner.id} holds more narrowly ({winner.scope.words})"
    return f"{winner.id} is newer"


def _ranked(rules: Sequence[tuple[Rule, Outcome]]) -> list[tuple[Rule, Outcome]]:
    return sorted(rules, key=lambda pair: (-pair[0].scope.narrowness, [-ord(c) for c in pair[0].created], -_number(pair[0])))


def _set_aside(
    anomaly: Anomaly, rule: Rule, outcome: Outcome, evidence: dict[str, Evidence], kind: Kind | None, size: tuple[int, int] | None,
    looks: Mapping[str, Appearance],
) -> SetAside | None:  # fmt: skip
    likes = [c for c in definition_of(rule).conditions if isinstance(c, FindingCondition)]
    own = next((evidence[i] for i in anomaly.evidence if i in evidence), None)
    if own is not None and kind is not None and rule.scope.covers(anomaly.source, kind):
        like = any(matches(c, anomaly, own, kind, size=size, seen=looks.get(own.id)) for c in likes)
        if like:
            return SetAside(anomaly=anomaly, rule_id=rule.id, why=f"normal by {rule.id}: {rule.text}")
    places = [f.locus for f in outcome.findings]
    if anomaly.loci and places and all(covers(places, locus) for locus in _all_places(anomaly, own)):
        return SetAside(anomaly=anomaly, rule_id=rule.id, why=f"normal by {rule.id}: {outcome.findings[0].condition}")
    return None


def _all_places(anomaly: Anomaly, evidence: Evidence | None) -> list[Locus]:
    """The loci of a finding, and of a photo's finding the other odd regions that its evidence lists."""
    places: list[Locus] = list(anomaly.loci)
    listed = evidence.facts.get("regions") if evidence is not None else None
    first = places[0]
    if isinstance(first, Region) and isinstance(listed, list):
        boxes = [tuple(float(v) for v in box) for box in listed if isinstance(box, list | tuple) and len(box) == 4]
        places += [replace(first, box=box) for box in boxes if box != first.box]  # type: ignore[arg-type]
    return places


def covers(places: Sequence[Locus], locus: Locus) -> bool:
    """True when some places together cover at least COVERED of a locus of the same sample.

    >>> spot = Interval(sample="p", start_s=0, end_s=10, peak_s=1)
    >>> covers([Interval(sample="p", start_s=0, end_s=4, peak_s=1), Interval(sample="p", start_s=5, end_s=8, peak_s=1)], spot)
    True
    >>> covers([Interval(sample="other", start_s=0, end_s=10, peak_s=1)], spot)
    False
    """
    same = [p for p in places if p.sample == locus.sample]
    if not same:
        return False
    if any(isinstance(p, Whole) for p in same):
        return True
    if isinstance(locus, Interval):
        return _time_covered([p for p in same if isinstance(p, Interval)], locus) >= COVERED
    if isinstance(locus, Region):
        return any(isinstance(p, Region) and overlap(p.box, locus.box) >= COVERED for p in same)
    if isinstance(locus, EventRows | Path):
        told = {row for p in same if isinstance(p, EventRows | Path) for row in p.rows}
        return bool(locus.rows) and len(told & set(locus.rows)) >= COVERED * len(locus.rows)
    return False


def _time_covered(places: Sequence[Interval], locus: Interval) -> float:
    """Part (0–1) of a stretch that others cover together; a channel that is not the finding's covers none of it."""
    fitting = [p for p in places if not p.channels or not locus.channels or p.channels[0] == locus.channels[0]]
    spans = sorted((max(p.start_s, locus.start_s), min(p.end_s, locus.end_s)) for p in fitting)
    total, until = 0.0, locus.start_s
    for start, end in spans:
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total / max(locus.end_s - locus.start_s, 1e-12)


def evidence_of(rule: Rule, finding: RuleFinding, source: str) -> Evidence:
    """An unnumbered piece of evidence for a rule's finding; its tool is the rule."""
    facts: dict[str, Fact] = {
        **finding.facts, "rule": rule.id, "rule_text": rule.text, "condition": finding.condition, "sentence": finding.sentence,
        "measured": finding.measured, "measured_unit": finding.unit, "events": finding.events,
    }  # fmt: skip
    return Evidence(
        id="", tool="rule", version=str(rule.version), parameters={"rule": rule.id, "text": rule.text}, source=source, locus=finding.locus,
        score=finding.measured, threshold_origin=f"your rule {rule.id} (version {rule.version})", calibrated=False, facts=facts,
    )  # fmt: skip


def anomaly_of(rule: Rule, finding: RuleFinding, evidence: Evidence) -> Anomaly:
    """The anomaly that a rule's finding states; its severity is the rule's, and a measured condition is certain."""
    level = DEFAULT_SEVERITY if rule.severity is None else rule.severity
    return Anomaly(
        label=f"rule {rule.id}: {finding.condition}"[:200], source=evidence.source, loci=(finding.locus,), severity=level,
        severity_score=_SCORES[level], confidence=1.0, evidence=(evidence.id,), why=finding.sentence, rule_id=rule.id,
    )  # fmt: skip
