"""Event logs: which chains of processes and which actors are rare, what they did, and which rows show it.

A chain is reported when its score (standard deviations above normal events) passes a family-wise bound over all actors of the log.
Logs without chains are judged by actor, plain tables by row, each against the threshold for single events.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.evidence_store import EvidenceStore
from agent.examine.rows import deeds_of, grave, harm_of, say_row
from agent.examine.setting import Run
from agent.investigation import Finding, Investigation
from agent.reply import Panel
from agent.severity import confidence, grade
from agent.severity_table import SeverityTable, table_in_force
from core.calibrate import Calibration, among_many, from_reference, from_self
from core.evidence import EventRows, Path, Whole
from core.samples import EventLog
from core.scores import EntityScore, EventScores, PathScore
from tools.events.wording import sure_deed

FALSE_POSITIVE_RATE = 0.05
"""Where chains decide, single events are only counted with it; else it is the share of reported events that may be normal."""
SELF_DEVIATIONS = 4.0
FAMILY_RATE = 0.05
"""Chance of any chain passing in a log whose chains are all normal."""
MOST_PATHS, MOST_ENTITIES, MOST_ROWS = 5, 5, 10
ROWS_KEPT = 40
DEEDS_KEPT = 8
DEEDS_GRADED = 1_000
"""Events of a finding whose deeds are looked up in the severity table."""
ORDINARY_GAP_S = 3600.0
"""A link of a chain that comes this long before the next, and is not rare itself, does not belong to what happened."""
TABLE_ROWS = 25
EVERYDAY = 45.0
"""Harm of deeds that most programs do (writing files, reaching out): without a normal log they say nothing of a finding."""


def examine(run: Run, store: EvidenceStore) -> Investigation:
    """Score the events; report the strangest chains, actors or rows."""
    log = run.source.samples[0]
    assert isinstance(log, EventLog)
    scores = run.detector.score([log])[0]
    assert isinstance(scores, EventScores)
    calibration = _calibration(run, scores)
    flagged = scores.scores > calibration.threshold
    findings, reserve = _Teller(run, log, scores, calibration, table_in_force(store.home)).findings()
    actors = log.table["subject_id" if "subject_id" in log.table.columns else "subject"].n_unique()
    survey = run.evidence(
        Whole(sample=log.name), threshold=calibration, score=float(scores.scores.max()),
        facts={
            "events": len(scores.scores), "flagged": int(flagged.sum()), "flagged_percent": round(100 * float(flagged.mean()), 3),
            "actors": actors, "findings": sum(f.abnormal for f in findings), "subjects": log.table["subject"].n_unique(),
            "operations": log.table["operation"].n_unique(), "roles": dict(log.roles), "epoch_s": log.epoch_s,
            "passed_over": _passed_over(log, findings), "normal_logs": run.n_normal, "end_s": _last(log),
            "calibrated": calibration.calibrated, "remarks": list(scores.notes),
        },
    )  # fmt: skip
    return Investigation(
        tool=run.name, source=run.source.name, kind="events", reason=run.reason,
        status="abnormal" if any(f.abnormal for f in findings) else "normal", survey=survey, findings=tuple(findings),
        reserve=tuple(reserve), arrays=_keep(store, log, scores),
        panels=panels(run.source.name, log, scores.scores, findings, store),
    )  # fmt: skip


def _passed_over(log: EventLog, findings: Sequence[Finding]) -> list[list[Any]]:
    """Acts that are harmful by their nature, row and what, of actors that no finding is about: a dirty normal log hides them."""
    loci = [f.evidence.locus for f in findings if f.abnormal]
    rows = {row for locus in loci for row in getattr(locus, "rows", ())}
    told = {entity for locus in loci for entity in getattr(locus, "entities", ())}
    told |= {str(f.evidence.facts.get("entity")) for f in findings if f.abnormal}
    left = []
    for index in grave(log):
        row, actor = int(log.table["row"][index]), str(log.table["subject"][index])
        if row not in rows and not any(entity == actor or entity.startswith(f"{actor} (") for entity in told):
            left.append([row, say_row(log, index)])
    return left


def _calibration(run: Run, scores: EventScores) -> Calibration:
    reference = run.detector.reference_scores() if run.n_normal else np.empty(0, np.float32)
    if len(reference) and not scores.paths:  # rows or actors are reported, and there are many of them
        found = among_many(reference, scores.scores, false_share=FALSE_POSITIVE_RATE)
    elif len(reference):
        found = from_reference(reference, false_positive_rate=FALSE_POSITIVE_RATE)
    else:
        found = from_self(scores.scores, deviations=SELF_DEVIATIONS)
    return replace(found, origin=f"for single events, {found.origin}")


def chain_bound(run: Run, log: EventLog, compared: int = 0) -> Calibration:
    """The score a chain must pass: the family-wise bound over all actors of the log, in standard deviations of normal events.

    With `compared`, the same over so many sequences.
    """
    from scipy.stats import norm

    if compared:
        against = "held-out normal sequences" if run.n_normal else "this log's own sequences"
        return Calibration(
            threshold=round(float(norm.isf(FAMILY_RATE / compared)), 2), calibrated=bool(run.n_normal), centre=0.0, spread=1.0,
            origin=f"for sequences, standard deviations above {against}; {100 * FAMILY_RATE:g} % chance over all {compared} sequences",
            reference=np.empty(0),
        )  # fmt: skip
    actors = log.table["subject_id" if "subject_id" in log.table.columns else "subject"].n_unique()
    against = "held-out normal events" if run.n_normal else "this log's own events"
    return Calibration(
        threshold=round(float(norm.isf(FAMILY_RATE / actors)), 2), calibrated=bool(run.n_normal), centre=0.0, spread=1.0,
        origin=f"for chains, standard deviations above {against}; {100 * FAMILY_RATE:g} % chance over all {actors} actors",
        reference=np.empty(0),
    )  # fmt: skip


class _Teller:
    """Findings of one scored log."""

    def __init__(self, run: Run, log: EventLog, scores: EventScores, calibration: Calibration, table: SeverityTable) -> None:
        self.run, self.log, self.scores, self.calibration, self.table = run, log, scores, calibration, table
        self.bound = chain_bound(run, log, scores.compared)
        self.index = {int(row): i for i, row in enumerate(scores.rows)}

    def findings(self) -> tuple[list[Finding], list[Finding]]:
        """Chains, then the actors they do not mention; rows when the log has neither. The worst abnormal one comes first.

        With them the further abnormal chains, for a person who takes some of the first out.
        """
        distinct = _distinct(self.scores.paths)
        chains = distinct[:MOST_PATHS]
        found = [self.chain(path, rank) for rank, path in enumerate(chains, start=1)]
        reserve = [self.chain(path, rank) for rank, path in enumerate(distinct[MOST_PATHS:], start=MOST_PATHS + 1)]
        told = {entity for path in chains for entity in path.entities}
        others = [entity for entity in self.scores.entities if entity.entity not in told and not self.scores.compared][
            :MOST_ENTITIES
        ]
        if chains and not any(f.abnormal for f in found):  # single events of an actor say nothing beside the bound that decides
            others = []
        found += [self.actor(entity, rank, decides=not chains) for rank, entity in enumerate(others, start=1)]
        if not found:
            top = np.argsort(-self.scores.scores, kind="stable")[:MOST_ROWS]
            found = [self.row(int(i), rank) for rank, i in enumerate(top, start=1)]
        return ranked(found), [f for f in reserve if f.abnormal]

    def chain(self, path: PathScore, rank: int) -> Finding:
        """A chain of actors with its steps in order."""
        steps = [[row, _seconds(self.log, self.index[row]), said] for row, said in zip(path.rows, path.steps, strict=False)]
        begun = self._begun(path.rows)
        alone = len(path.entities) == 1
        facts = {
            "what": "sequence" if alone else "chain", "rank": rank, "entities": list(path.entities), **self._times(path.rows[begun:]),
            "did": steps, "hangs_on": begun, **self._after(path.rows[begun:]),
        }  # fmt: skip
        locus = Path(sample=self.log.name, entities=path.entities, rows=tuple(path.rows[:ROWS_KEPT]))
        label = f"unusual course of events in {path.entities[0]}" if alone else f"suspicious chain ending in {path.entities[-1]}"
        return self._finding(locus, facts, path.rows, path.score, self.bound, label)

    def actor(self, entity: EntityScore, rank: int, *, decides: bool) -> Finding:
        """An actor with its most telling deeds; it decides only in logs that have no chains."""
        facts = {"what": "entity", "rank": rank, "entity": entity.entity, "entity_events": entity.n_events,
                 "entity_score": round(entity.score, 3), **self._times(entity.rows), "did": self._deeds(entity.rows)}  # fmt: skip
        locus = EventRows(sample=self.log.name, rows=tuple(entity.rows[:ROWS_KEPT]))
        worst = max((float(self.scores.scores[self.index[r]]) for r in entity.rows if r in self.index), default=0.0)
        finding = self._finding(locus, facts, entity.rows, worst, self.calibration, f"suspicious activity of {entity.entity}")
        return finding if decides else Finding(evidence=finding.evidence)

    def row(self, i: int, rank: int) -> Finding:
        """A single rare row of a plain table."""
        row = int(self.scores.rows[i])
        facts = {"what": "row", "rank": rank, "row": row, **self._times((row,)), "did": self._deeds((row,))}
        locus = EventRows(sample=self.log.name, rows=(row,))
        return self._finding(locus, facts, (row,), float(self.scores.scores[i]), self.calibration, f"rare row {row}")

    def _times(self, rows: Sequence[int]) -> dict[str, Any]:
        where = [self.index[row] for row in rows if row in self.index]
        times = [t for t in (_seconds(self.log, i) for i in where) if t is not None]
        odd = {name: float(part[where].max()) for name, part in self.scores.attribution.items()} if where else {}
        return {
            "first_s": min(times, default=None), "last_s": max(times, default=None), "epoch_s": self.log.epoch_s,
            "first_row": min(rows, default=None), "n_rows": len(rows),
            "odd_attribute": max(odd, key=lambda name: odd[name]) if odd else "", "because": self._because(rows),
        }  # fmt: skip

    def _because(self, rows: Sequence[int]) -> str:
        """What the detector says made the strangest of some rows odd."""
        told = [row for row in rows if row in self.scores.reasons and row in self.index]
        worst = max(told, key=lambda row: float(self.scores.scores[self.index[row]]), default=None)
        return "" if worst is None else self.scores.reasons[worst]

    def _begun(self, rows: Sequence[int]) -> int:
        """How many leading links of a chain are ordinary parentage: not rare themselves, and long before the link that follows.

        A desktop that started the mail program in the morning made it, but took no part in what that did in the afternoon.
        """
        begun = 0
        for step, (earlier, later) in enumerate(pairwise(rows), start=1):
            times = [_seconds(self.log, self.index[row]) for row in (earlier, later) if row in self.index]
            if len(times) < 2 or times[0] is None or times[1] is None:
                break
            rare = float(self.scores.scores[self.index[earlier]]) > self.calibration.threshold
            if not rare and times[1] - times[0] > ORDINARY_GAP_S:
                begun = step
        return begun

    def _after(self, rows: Sequence[int]) -> dict[str, Any]:
        """Last act of the processes that the links in `rows` started: what was started for the attack ends with it."""
        import polars as pl

        table = self.log.table
        if not {"subject_id", "object_id"} <= set(table.columns):
            return {}
        where = [self.index[row] for row in rows if row in self.index]
        made = {table["object_id"][i] for i in where if sure_deed(str(table["operation"][i] or "")) == "start"} - {None, ""}
        last = table.filter(pl.col("subject_id").is_in(list(made)))["time_s"].drop_nans().max() if made else None
        return {"until_s": round(float(last), 3)} if isinstance(last, int | float) else {}

    def _deeds(self, rows: Sequence[int]) -> list[list[Any]]:
        known = [row for row in rows if row in self.index][:DEEDS_KEPT]
        return [[row, _seconds(self.log, self.index[row]), say_row(self.log, self.index[row])] for row in known]

    def _finding(self, locus: Path | EventRows, facts: dict[str, Any], rows: Sequence[int], score: float, against: Calibration,
                 label: str) -> Finding:  # fmt: skip
        where = [self.index[row] for row in rows if row in self.index]
        n_flagged = int((self.scores.scores[where] > self.calibration.threshold).sum())
        ratio = against.ratio(score)
        p_value = float(against.p_value(np.array([score], np.float32))[0]) if against is self.calibration else None
        evidence = self.run.evidence(
            locus, score=round(score, 4), threshold=against, p_value=p_value,
            facts={**facts, "flagged": n_flagged, "times_threshold": round(ratio, 3)},
        )  # fmt: skip
        if score <= against.threshold:
            return Finding(evidence=evidence)
        harm, harm_words = harm_of(self.log, where)
        if not self.run.n_normal and harm <= EVERYDAY:
            harm, harm_words = 0.0, ""
        sure = confidence(p_value=p_value, ratio=ratio, calibrated=against.calibrated)
        severity = grade(
            ratio=ratio, extent=n_flagged / max(len(where), 1), extent_words=_extent(n_flagged, len(where)), floor=harm,
            kind="events", did=deeds_of(self.log, where[:DEEDS_GRADED]), sure=sure, relative=not self.run.n_normal, table=self.table,
        )  # fmt: skip
        severity = replace(severity, why=f"{severity.why}{harm_words}")
        return Finding.stated(evidence, label, severity, sure)


def _extent(flagged: int, events: int) -> str:
    """How many events of a finding are rare on their own."""
    if not flagged:
        return f"none of its {events} events rare on its own" if events > 1 else "the event not rare on its own"
    return f"{flagged} of its {events} events rare on their own"


def _distinct(paths: Sequence[PathScore]) -> list[PathScore]:
    """Chains that add an actor to those told before them."""
    told: list[set[str]] = []
    kept = []
    for path in paths:
        actors = set(path.entities)
        if not any(actors <= other for other in told):
            kept.append(path)
            told.append(actors)
    return kept


def ranked(findings: Sequence[Finding]) -> list[Finding]:
    """Findings in the order they are told: abnormal before others, the worst first."""
    return sorted(findings, key=lambda f: (not f.abnormal, -f.severity_score, -(f.evidence.score or 0.0)))


def panels(
    source: str, log: EventLog, scores: NDArray[Any], findings: Sequence[Finding], store: EvidenceStore, *, survey: str = "survey",
    hidden: NDArray[np.bool_] | None = None,
) -> tuple[Panel, ...]:  # fmt: skip
    """What is shown of a log: how the findings hang together, and its rarest events (`hidden` rows left out)."""
    from agent.lookups.log_expanding import incident_png

    shown = np.flatnonzero(~hidden) if hidden is not None else np.arange(len(scores))
    top = shown[np.argsort(-scores[shown], kind="stable")[:TABLE_ROWS]]
    numbers = log.table["row"]
    rows = [[int(numbers[int(i)]), _seconds(log, int(i)), say_row(log, int(i)), round(float(scores[i]), 2)] for i in top]
    columns = ["row", "seconds", "what happened", "score"]
    table = Panel(kind="table", caption=f"The rarest events of {log.name}", source=source, evidence=survey,
                  data={"columns": columns, "rows": rows})  # fmt: skip
    png = incident_png(log, findings, scores, hidden)
    if png is None:
        return (table,)
    picture = Panel(kind="graph", caption=f"{log.name}: how the findings hang together", source=source, evidence=survey,
                    path=store.put_file(png, ".png"))  # fmt: skip
    return (picture, table)


def _keep(store: EvidenceStore, log: EventLog, scores: EventScores) -> str:
    """Keep time and score of every event, for later questions about a time or a word."""
    buffer = io.BytesIO()
    seconds = log.table["time_s"].cast(float).fill_null(float("nan")).to_numpy()
    np.savez_compressed(buffer, seconds=seconds, scores=scores.scores, rows=scores.rows, allow_pickle=False)
    return store.put_file(buffer.getvalue(), ".npz")


def _seconds(log: EventLog, i: int) -> float | None:
    value = log.table["time_s"][i]
    return None if value is None or not np.isfinite(value) else round(float(value), 3)


def _last(log: EventLog) -> float | None:
    value = log.table["time_s"].drop_nans().max()
    return float(value) if isinstance(value, float) else None
