"""The rules of a chat at work: which are in force, where they fire, and what they make of the detectors' findings.

A normal rule takes findings out of an answer and says so; an anomaly rule adds its own. What was taken out stays in the evidence.
Outcomes are kept in memory per content of a source and version of a rule, for following people through a video takes time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from agent.evidence_store import EvidenceStore
from agent.investigation import Finding, Investigation
from agent.rules.effects import Decision, SetAside, anomaly_of, decide, evidence_of
from agent.rules.outcome import Outcome, RuleFinding
from agent.rules.store import RuleStore
from agent.telling.words import cite, count, listed, name
from core.evidence import Anomaly, Evidence, Fact, Whole
from core.rules import Rule
from core.samples import EventLog, Kind, VideoClip

if TYPE_CHECKING:
    from agent.examine.appearance import Appearance
    from agent.rules.compile import Reading
    from agent.rules.measurable import Looker
    from readers.open import Source

MOST_TOLD = 5
_COUNTS = {"series": "events", "video": "events", "events": "findings", "image": "flagged"}
"""The fact of a survey that counts its findings."""


@dataclass(frozen=True, kw_only=True)
class Ruled:
    """What is left after rules: investigations to be told, the rules' own anomalies, and lines that say what rules did."""

    investigations: tuple[Investigation, ...] = ()
    added: tuple[Anomaly, ...] = ()
    lines: tuple[str, ...] = ()
    quiet: tuple[str, ...] = ()
    """Lines on rules that do not fire: told when rules are asked about."""

    @property
    def anomalies(self) -> tuple[Anomaly, ...]:
        """Everything abnormal, the detectors' findings first."""
        return (*(a for inv in self.investigations for a in inv.anomalies), *self.added)


def still_abnormal(ruled: Ruled) -> list[str]:
    """What a rule that has just come into force leaves abnormal, in the sources in which it set something aside."""
    lines = []
    for inv in ruled.investigations:
        kept = [f for f in inv.findings if f.abnormal]
        if not kept or not any(name(inv.source) in line for line in ruled.lines):
            continue
        each = [
            name(f.label) if f.evidence.locus.sample == inv.source else f"{name(f.evidence.locus.sample)} ({name(f.label)})"
            for f in kept
        ]
        more = f" and {len(kept) - MOST_TOLD} more" if len(kept) > MOST_TOLD else ""
        cited = cite(*(f.evidence for f in kept[:MOST_TOLD]))
        lines.append(f"Still abnormal in {name(inv.source)}: {listed(each[:MOST_TOLD])}{more} {cited}.")
    return lines


class Rulebook:
    """Rules for one chat: those kept under the home folder and those given for this chat alone.

    `looker` gives the model that is shown what cannot be measured, if the chat has one that sees.
    """

    def __init__(self, store: EvidenceStore, thread: str, *, looker: Callable[[], Looker | None] = lambda: None) -> None:
        self._store, self._thread, self._looker = store, thread, looker
        self.kept = RuleStore(store.home)
        self.given: tuple[Rule, ...] = ()
        """Rules that came with a question on the command line: in force in this chat, not kept."""
        self._outcomes: dict[tuple[str, str, int, str], Outcome] = {}

    def close(self) -> None:
        """Close the rules' database."""
        self.kept.close()

    def rules_for(self, of: Source | Investigation) -> list[Rule]:
        """The rules in force for a source, or for what was found in one whose file is gone."""
        name, kind = (of.source, cast("Kind", of.kind)) if isinstance(of, Investigation) else (of.name, of.kind)
        return [*self.kept.rules_for(name, kind), *(r for r in self.given if r.scope.covers(name, kind))]

    def texts(self, sources: Sequence[Source]) -> list[str]:
        """Every rule in force for some source, in the person's words."""
        return list(dict.fromkeys(f"{r.id} ({r.polarity}): {r.text}" for s in sources for r in self.rules_for(s)))

    def preview(self, reading: Reading, sources: Sequence[Source], normals: Sequence[Source]) -> list[str]:
        """Where a definition would fire in what is already there, a sentence for each source inside its scope."""
        rule = reading.rule("R0")
        told = [self._outcome(rule, s, normals) for s in sources if reading.scope.covers(s.name, s.kind)]
        return [outcome.words for outcome in told if outcome.tried or len(told) == 1]

    def replay(self, reading: Reading, investigations: Sequence[Investigation]) -> list[str]:
        """What a rule made from a finding would change in what was found before."""
        from agent.rules.conditions import FindingCondition
        from agent.rules.like_finding import replay, replay_words

        past = [
            (f.anomaly(f.evidence, inv.survey), f.evidence, inv.kind)
            for inv in investigations for f in (*inv.findings, *inv.reserve)
            if f.abnormal and reading.scope.covers(inv.source, inv.kind)
        ]  # fmt: skip
        like = [c for c in reading.definition.conditions if isinstance(c, FindingCondition)]
        looks = {i: seen for inv in investigations for i, seen in self._looks(inv).items()} if like and like[0].looks else {}
        return [replay_words(replay(like[0], past, looks=looks), len(past))] if like else []  # type: ignore[arg-type]

    def _looks(self, inv: Investigation | None) -> dict[str, Appearance]:
        """What is to be seen of each finding in photos, by the id of its evidence."""
        from agent.examine.appearance import read_looks

        if inv is None or inv.arrays is None or inv.kind not in ("image", "points"):
            return {}
        kept = read_looks(self._store.file(inv.arrays), range(len(inv.findings)))
        return {inv.findings[n].evidence.id: seen for n, (seen, _) in kept.items()}

    def apply(self, investigations: Sequence[Investigation], sources: Sequence[Source], normals: Sequence[Source]) -> Ruled:
        """Hold the rules in force against every source and its findings."""
        by_name = {inv.source: inv for inv in investigations}
        left: list[Investigation] = []
        added: list[Anomaly] = []
        lines: list[str] = []
        quiet: list[str] = []
        seen: set[str] = set()
        for source in sources:
            inv = by_name.get(source.name)
            seen.add(source.name)
            rules = self.rules_for(source)
            spare = self._spare(inv, rules)
            outcomes = [(rule, self._outcome(rule, source, normals)) for rule in rules]
            own = {f.evidence.id: f.evidence for f in (*inv.findings, *spare)} if inv else {}
            further = [f.anomaly(f.evidence, inv.survey) for f in spare] if inv else []
            clip = source.samples[0] if source.kind == "video" else None
            size = (clip.height, clip.width) if isinstance(clip, VideoClip) else None
            decision = decide(
                (*inv.anomalies, *further) if inv else (), outcomes, evidence=own, kind=source.kind, size=size,
                looks=self._looks(inv) if any(_by_looks(rule) for rule in rules) else {},
            )  # fmt: skip
            if inv is not None:
                inv, said = self._without(inv, decision, spare=spare, source=source)
                lines += said
                left += [inv] if inv else []
            for rule, outcome in outcomes:
                fired = [finding for r, finding in decision.added if r.id == rule.id]
                found, said = self._fired(rule, outcome, fired, source.name)
                added += found
                lines += said
                if rule.polarity == "anomaly" and outcome.tried and not fired and not outcome.cannot:
                    survey = self._survey(rule, outcome, 0, source.name)
                    quiet.append(f"Rule {rule.id} ({name(rule.text)}) does not fire in {name(source.name)} {cite(survey)}.")
            lines += [f"_{note}_ {cite(self._said(note, source.name))}" for note in decision.notes]
        for inv in investigations:
            if inv.source not in seen:  # its file is gone: rules made from findings still hold
                inv, said = self._without(inv, self._decided(inv))
                lines += said
                left += [inv] if inv else []
        return Ruled(investigations=tuple(left), added=tuple(added), lines=tuple(lines), quiet=tuple(quiet))

    def _spare(self, inv: Investigation | None, rules: Sequence[Rule]) -> list[Finding]:
        """The further findings of a log, numbered, where a normal rule may make room for them."""
        if inv is None or not inv.reserve or not any(rule.enabled and rule.polarity == "normal" for rule in rules):
            return []
        numbered = self._store.add_evidence(self._thread, [f.evidence for f in inv.reserve])
        return [replace(f, evidence=e) for f, e in zip(inv.reserve, numbered, strict=True)]

    def _decided(self, inv: Investigation) -> Decision:
        """What rules made from findings make of what was found in a source that cannot be looked at any more."""
        outcomes = [(rule, Outcome(source=inv.source, tried=0)) for rule in self.rules_for(inv)]
        own = {f.evidence.id: f.evidence for f in inv.findings}
        return decide(inv.anomalies, outcomes, evidence=own, kind=cast("Kind", inv.kind), looks=self._looks(inv))

    def _outcome(self, rule: Rule, source: Source, normals: Sequence[Source]) -> Outcome:
        from agent.rules.evaluate import evaluate_rule
        from agent.rules.gather import gather

        key = (source.key, rule.id, rule.version, repr(sorted(rule.compiled.items(), key=lambda kv: kv[0])) + rule.polarity)
        if key not in self._outcomes:
            material = gather(source, store=self._store, normals=normals, looker=self._looker())
            self._outcomes[key] = evaluate_rule(rule, material)
        return self._outcomes[key]

    def _without(
        self, inv: Investigation, decision: Decision, *, spare: Sequence[Finding] = (), source: Source | None = None
    ) -> tuple[Investigation | None, list[str]]:
        """An investigation without what rules made normal (None when nothing abnormal is left), and what is said of it.

        Of a log as many further findings (`spare`) come up as were set aside.
        """
        from agent.examine.events import ranked
        from agent.rulings.log_effects import shown_without, with_reserve

        aside = {a.anomaly.evidence[0]: a for a in decision.set_aside}
        if not any(f.evidence.id in aside for f in inv.findings):
            return inv, []
        everything = (*inv.findings, *spare)
        kept = with_reserve(inv, spare, aside)
        if spare:
            kept = tuple(ranked(kept))
        abnormal = sum(f.abnormal for f in kept)
        survey = self._add(replace(inv.survey, id="", facts=_recounted(inv, aside, abnormal)))
        n = len(aside)
        each = [f"{name(a.anomaly.label)} ({a.rule_id})" for a in aside.values()]
        named = listed(each[:MOST_TOLD]) + (f" and {n - MOST_TOLD} more" if n > MOST_TOLD else "")
        cited = cite(survey, *(f.evidence for f in everything if f.evidence.id in list(aside)[:MOST_TOLD]))
        if not abnormal:
            counted = count(n, "finding counts", "findings count")
            return None, [
                f"**Nothing abnormal is left in {name(inv.source)}**: {counted} as normal by your rules, {named} {cited}."
            ]
        left = replace(inv, survey=survey, findings=kept)
        log = source.samples[0] if source is not None and source.kind == "events" else None
        if isinstance(log, EventLog):
            left = shown_without(left, [f for f in everything if f.evidence.id in aside], log, self._store)
        return left, [f"Normal by your rules in {name(inv.source)}: {named} {cited}."]

    def _fired(self, rule: Rule, outcome: Outcome, fired: Sequence[RuleFinding], source: str) -> tuple[list[Anomaly], list[str]]:
        """The anomalies of one rule in one source, and what is said of them."""
        lines: list[str] = []
        found: list[Anomaly] = []
        if fired:
            survey = self._survey(rule, outcome, len(fired), source)
            numbered = self._store.add_evidence(self._thread, [evidence_of(rule, finding, source) for finding in fired])
            found = [
                replace(anomaly_of(rule, finding, e), evidence=(e.id, survey.id))
                for finding, e in zip(fired, numbered, strict=True)
            ]
            times = "once" if len(fired) == 1 else f"{len(fired):,} times"
            lines.append(f"**Your rule {rule.id} fires {times} in {name(source)}**: {name(rule.text)} {cite(survey)}.")
            lines += [
                f"- {finding.sentence.rstrip('.')} {cite(e)}."
                for finding, e in list(zip(fired, numbered, strict=True))[:MOST_TOLD]
            ]
        for cannot in dict.fromkeys(c.words for c in outcome.cannot):
            sentence = f"Rule {rule.id} cannot be judged in {source}: {cannot}"
            lines.append(f"_{_tame(sentence)}_ {cite(self._said(_tame(sentence), source))}")
        return found, lines

    def _survey(self, rule: Rule, outcome: Outcome, fires: int, source: str) -> Evidence:
        facts: dict[str, Fact] = {
            "rule": rule.id, "rule_text": rule.text, "polarity": rule.polarity, "fires": fires, "events": outcome.events,
            "conditions": outcome.tried, "notes": list(outcome.notes[:3]),
        }  # fmt: skip
        return self._add(
            Evidence(
                id="",
                tool="rule",
                version=str(rule.version),
                parameters={"rule": rule.id},
                source=source,
                locus=Whole(sample=source),
                threshold=0.0,
                threshold_origin=f"your rule {rule.id} (version {rule.version})",
                facts=facts,
            )
        )

    def _said(self, sentence: str, source: str) -> Evidence:
        return self._add(
            Evidence(
                id="",
                tool="rule",
                version="1",
                parameters={},
                source=source,
                locus=Whole(sample=source),
                facts={"said": sentence},
            )
        )

    def _add(self, draft: Evidence) -> Evidence:
        return self._store.add_evidence(self._thread, [draft])[0]


def _by_looks(rule: Rule) -> bool:
    """True for a normal rule made from what was to be seen in a photo."""
    return any(condition.get("looks") for condition in rule.compiled.get("conditions", ()))


def _recounted(inv: Investigation, aside: dict[str, SetAside], abnormal: int) -> dict[str, Fact]:
    """The survey's facts with what rules took out taken out of its counts."""
    facts: dict[str, Any] = dict(inv.survey.facts)
    facts[_COUNTS.get(inv.kind, "events")] = abnormal
    facts["set_aside"] = len(aside)
    facts["rules"] = sorted({a.rule_id for a in aside.values()})
    if inv.kind == "image":
        gone = {locus.sample for a in aside.values() for locus in a.anomaly.loci}
        facts["flagged_names"] = [n for n in facts.get("flagged_names") or [] if n not in gone]
        facts["ordinary"] = int(facts.get("ordinary") or 0) + len(aside)
    facts["why"] = [_tame(a.why) for a in aside.values()][:MOST_TOLD]
    facts["more"] = max(0, len(aside) - MOST_TOLD)
    return facts


def _tame(text: str) -> str:
    """Text of a person's rule, unable to become markup or a citation."""
    return " ".join(text.split()).translate(_TAME)


_TAME: dict[str | int, str | int | None] = {ord(a): b for a, b in zip("[]<>*`", "()‹›∗'", strict=True)}
