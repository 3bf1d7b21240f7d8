"""What a normal rule changes in a log's picture: the rows it takes out, the findings that come up, the graph and the table without them.

A finding that a rule makes normal takes its processes along, and what these started: a person who knows the backup tool knows its
helpers. Rows are those of the file.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from agent.evidence_store import EvidenceStore
from agent.examine.events import panels
from agent.investigation import Finding, Investigation
from agent.lookups.log_actors import makes, of_finding
from agent.lookups.log_concepts import texts
from core.samples import EventLog


def rows_of(findings: Sequence[Finding], log: EventLog, others: Sequence[Finding]) -> tuple[int, ...]:
    """Rows of findings that were set aside, of the processes they made and of all that these started.

    A process that one of the `others`, which stay, hangs on is not taken out with them.
    """
    table = log.table
    who, whom = (texts(table, column).to_list() for column in ("subject_id", "object_id"))
    made = np.flatnonzero(makes(log))
    kept = {key for finding in others for key in of_finding(finding, log).ids}
    gone = {key for finding in findings for key in of_finding(finding, log).ids} - kept
    while True:
        more = {whom[i] for i in made if who[i] in gone and whom[i]} - gone - kept
        if not more:
            break
        gone |= more
    numbers = table["row"].to_numpy()
    mask = np.fromiter((key in gone for key in who), np.bool_, len(who))
    mask[[int(i) for i in made if whom[int(i)] in gone]] = True
    staying = {row for finding in others for row in getattr(finding.evidence.locus, "rows", ())}
    own = {row for finding in findings for row in getattr(finding.evidence.locus, "rows", ())} - staying
    mask |= np.isin(numbers, np.array(sorted(own), np.int64))
    return tuple(int(row) for row in numbers[mask])


def shown_without(inv: Investigation, gone: Sequence[Finding], log: EventLog, store: EvidenceStore) -> Investigation:
    """The investigation with its graph and table without the rows of what was set aside."""
    abnormal = [f for f in inv.findings if f.abnormal]
    rows = rows_of(gone, log, abnormal)
    if inv.arrays is None or not store.file(inv.arrays).is_file():
        return replace(inv, hidden=rows)
    with np.load(store.file(inv.arrays), allow_pickle=False) as kept:
        scores = kept["scores"]
    hidden = np.isin(log.table["row"].to_numpy(), np.array(rows, np.int64))
    renewed = panels(inv.source, log, scores, inv.findings, store, survey=inv.survey.id, hidden=hidden)
    return replace(inv, hidden=rows, panels=renewed)


def with_reserve(inv: Investigation, numbered: Sequence[Finding], aside: Collection[str]) -> tuple[Finding, ...]:
    """The findings that stay, and as many of the further ones as were set aside; ids in `aside` are of the evidence set aside."""
    stay = [f for f in inv.findings if f.evidence.id not in aside]
    free = len(inv.findings) - len(stay)
    return (*stay, *[f for f in numbered if f.evidence.id not in aside][:free])
