"""The graph of a log as a person asks for it: the incident, or a named entity, and so many steps out; with the picture of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.evidence_store import EvidenceStore
from agent.investigation import Finding, Investigation
from agent.lookups.found import made
from agent.lookups.log_actors import touched
from agent.lookups.log_graph import DRAWN, MOST_RINGS, Hood, LogGraph
from agent.lookups.log_relations import deeds
from agent.question import Request
from core.evidence import EventRows, Evidence, Whole
from core.samples import EventLog
from readers.open import Source
from tools.events.wording import short_name

ROWS_SHOWN = 8
MOST_INSTANCES = 5
"""Instances of a named program that are gone out from."""


def around(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Evidence | None:
    """What lies around what a question names, else around the incident; None where there is neither."""
    log = source.samples[0]
    assert isinstance(log, EventLog)
    findings = [f for f in inv.findings if f.abnormal] if inv is not None else []
    chosen = [findings[i] for i in request.findings if i < len(findings)] or findings
    graph = LogGraph(log, scores=_scores(inv, store), hidden=hidden_rows(log, inv))
    start, named = _start(request, graph, chosen)
    if not start.acts and not start.core:
        return None
    rings = min(request.rings or 0, MOST_RINGS)
    hood = start
    for _ in range(rings):
        hood = graph.expand(hood)
    if named and not rings:
        hood = graph.expand(start)
    picture = graph.picture(hood)
    chosen_rows = hood.rows(hood.rings)[:ROWS_SHOWN]
    shown = deeds(log, np.sort(chosen_rows))
    facts: dict[str, Any] = {
        "named": list(named), "steps": rings, "reached": hood.reached, "tied": hood.tied, "left_out": hood.left_out,
        "drawn_acts": sum(a.ring == hood.rings for a in hood.acts), "most_drawn": DRAWN, "did": shown, "epoch_s": log.epoch_s,
        "furthest": (request.rings or 0) > MOST_RINGS, "most_steps": MOST_RINGS,
        "shared": [[called, n] for called, n in sorted(hood.shared, key=lambda pair: -pair[1])[:3]],
        "incident": [short_name(name) for name in _names(chosen)] if not named and len(chosen) == 1 else [], "many": len(chosen),
        "findings": touched(log, inv, chosen_rows.tolist()) if named else [f.evidence.id for f in chosen],
        "caption": f"{source.name}: the graph around {', '.join(named) if named else 'the incident'}"
        + (f", {rings} step{'s' * (rings != 1)} out" if rings else ""),
    }  # fmt: skip
    rows = tuple(int(row) for row, _, _ in shown)
    return made("around", source.name, EventRows(sample=log.name, rows=rows) if rows else Whole(sample=log.name), facts,
                store.put_file(picture, ".png") if picture else None)  # fmt: skip


def incident_png(
    log: EventLog, findings: Sequence[Finding], scores: NDArray[Any] | None, hidden: NDArray[np.bool_] | None = None
) -> bytes | None:
    """PNG of the abnormal chains of a log and of what their processes did; None where there is no chain."""
    chains = [f for f in findings if f.abnormal and f.evidence.facts.get("what") == "chain"]
    if not chains:
        return None
    graph = LogGraph(log, scores=scores, hidden=hidden)
    hood = graph.of_findings(chains)
    return graph.picture(graph.expand(hood, own=hood.own))


def hidden_rows(log: EventLog, inv: Investigation | None) -> NDArray[np.bool_] | None:
    """Mask (N,) of the rows that a person's rules took out of an investigation."""
    if inv is None or not inv.hidden:
        return None
    return np.asarray(np.isin(log.table["row"].to_numpy(), np.asarray(inv.hidden, np.int64)), np.bool_)


def _start(request: Request, graph: LogGraph, findings: Sequence[Finding]) -> tuple[Hood, tuple[str, ...]]:
    """Where to begin, and the names that were asked for: of a program the instances in findings, else the strangest."""
    incident = graph.of_findings(findings)
    if not request.entities:
        return incident, ()
    who, whom = graph.ends
    wanted = {name.lower() for name in request.entities}
    subject, thing, _ = graph.names
    odd: dict[str, float] = {}
    for i in np.flatnonzero(~graph.hidden).tolist():
        score = 0.0 if graph.scores is None else float(graph.scores[i])
        if subject[i].lower() in wanted:
            odd[str(who[i])] = max(score, odd.get(str(who[i]), 0.0))
        if thing[i].lower() in wanted:
            odd[str(whom[i])] = max(score, odd.get(str(whom[i]), 0.0))
    inside = [key for key in odd if key in incident.core]
    keys = inside or sorted(odd, key=lambda key: -odd[key])[:MOST_INSTANCES]
    return graph.of_keys(keys), tuple(dict.fromkeys(short_name(name) for name in request.entities))


def _names(findings: Sequence[Finding]) -> list[str]:
    """The entities of the worst finding."""
    worst = max(findings, key=lambda f: f.severity_score, default=None)
    return list(getattr(worst.evidence.locus, "entities", ())) if worst is not None else []


def _scores(inv: Investigation | None, store: EvidenceStore) -> NDArray[Any] | None:
    """The kept scores of an investigated log's rows."""
    if inv is None or inv.arrays is None or not store.file(inv.arrays).is_file():
        return None
    with np.load(store.file(inv.arrays), allow_pickle=False) as kept:
        scores: NDArray[Any] = kept["scores"]
    return scores
