"""What is asked of the findings of a log as a whole: which suspicious event came first, and what about a finding is ordinary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.evidence_store import EvidenceStore
from agent.investigation import Finding, Investigation
from agent.lookups.found import made
from agent.lookups.log_actors import of_finding, pointed_at
from agent.lookups.log_relations import deeds
from agent.question import Request
from core.evidence import EventRows, Evidence
from core.samples import EventLog
from readers.open import Source
from tools.events.wording import short_name

FIRST_TOLD = 5


def earliest(source: Source, inv: Investigation) -> Evidence | None:
    """The first event of every finding, in order of time, and with which of them the worst finding begins."""
    log = source.samples[0]
    assert isinstance(log, EventLog)
    starts = [(index, finding) for finding in inv.findings if finding.abnormal for index in _own(finding, log)[:1]]
    if not starts:
        return None
    times = log.table["time_s"].cast(float).fill_null(float("nan")).to_numpy()
    starts.sort(key=lambda pair: (np.nan_to_num(times[pair[0]], nan=0.0), pair[0]))
    by_row: dict[int, list[Finding]] = {}
    for index, finding in starts:
        by_row.setdefault(index, []).append(finding)
    worst = max((finding for _, finding in starts), key=lambda finding: finding.severity_score)
    told = list(by_row)[:FIRST_TOLD]
    begins = next(index for index, finding in starts if finding is worst)
    facts: dict[str, Any] = {
        "kind": "earliest", "did": deeds(log, np.array(told)), "epoch_s": log.epoch_s,
        "begins": [[short_name(_end(f)) for f in by_row[index]][:3] for index in told],
        "worst_row": int(log.table["row"][begins]), "worst": short_name(_end(worst)), "more": len(by_row) - len(told),
        "findings": list(dict.fromkeys([by_row[told[0]][0].evidence.id, worst.evidence.id])),
    }  # fmt: skip
    return made("search", source.name, EventRows(sample=log.name, rows=tuple(int(row) for row, _, _ in facts["did"])), facts)


def ordinary(request: Request, source: Source, inv: Investigation, store: EvidenceStore) -> Evidence | None:
    """Which events of a finding, and of what its processes did besides, are not rare on their own."""
    log, finding = source.samples[0], pointed_at(request, inv)
    assert isinstance(log, EventLog)
    if finding is None or inv.arrays is None or not store.file(inv.arrays).is_file():
        return None
    with np.load(store.file(inv.arrays), allow_pickle=False) as kept:
        scores: NDArray[Any] = kept["scores"]
    own = _own(finding, log)
    done = np.flatnonzero(of_finding(finding, log).doing(log)) if finding.evidence.facts.get("what") == "chain" else np.array(own)
    limit = float(inv.survey.threshold or 0.0)
    usual = [index for index in own if float(scores[index]) <= limit]
    facts: dict[str, Any] = {
        "kind": "ordinary", "events": len(own), "usual": len(usual), "acts": len(done), "usual_acts": int((scores[done] <= limit).sum()),
        "did": deeds(log, np.array(usual[:FIRST_TOLD], np.int64)), "epoch_s": log.epoch_s, "limit": round(limit, 3),
        "calibrated": inv.survey.calibrated, "findings": [finding.evidence.id], "name": short_name(_end(finding)),
        "said_score": round(float(finding.evidence.score or 0.0), 3), "said_limit": round(float(finding.evidence.threshold or 0.0), 3),
    }  # fmt: skip
    rows = tuple(int(row) for row, _, _ in facts["did"]) or tuple(int(log.table["row"][i]) for i in own[:1])
    return made("search", source.name, EventRows(sample=log.name, rows=rows), facts)


def _own(finding: Finding, log: EventLog) -> list[int]:
    """Indices of a finding's rows from where it began, in the order of the log."""
    at = dict(zip(log.table["row"].to_list(), range(log.table.height), strict=True))
    rows: Sequence[int] = getattr(finding.evidence.locus, "rows", ())
    hangs = finding.evidence.facts.get("hangs_on")
    begun = hangs if isinstance(hangs, int) and finding.evidence.facts.get("what") == "chain" else 0
    return sorted(at[row] for row in rows[begun:] if row in at)


def _end(finding: Finding) -> str:
    """The last entity of a chain, else what a finding is about."""
    entities = getattr(finding.evidence.locus, "entities", ())
    facts = finding.evidence.facts
    return str(entities[-1] if entities else facts.get("entity") or f"row {facts.get('row', facts.get('first_row'))}")
