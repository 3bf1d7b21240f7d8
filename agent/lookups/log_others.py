"""Who else reached what somebody reached: anybody but the processes of a finding, by the addresses or the files they share."""

from __future__ import annotations

import re
from pathlib import PureWindowsPath

import numpy as np

from agent.investigation import Investigation
from agent.lookups import log_concepts as concepts
from agent.lookups.log_actors import Answer, about, of_finding, pointed_at
from agent.question import Request
from core.samples import EventLog

_FILE = re.compile(r"\b(?:files?|documents?|dumps?|wrote|written)\b")


def others(request: Request, log: EventLog, inv: Investigation) -> Answer | None:
    """Who else reached what somebody named, or the processes of a finding, reached: addresses, or files where files are asked for."""
    findings = sorted((f for f in inv.findings if f.abnormal), key=lambda f: -f.severity_score)
    finding = pointed_at(request, inv)
    if finding is not None and request.findings:
        findings = [finding]
    thing = concepts.texts(log.table, "object").str.to_lowercase()
    files = bool(_FILE.search(request.question.lower()))
    wanted: set[str] = set()
    if request.entities and not (files and "entities" in request.inherited):
        wanted = {name.lower() for name in request.entities}
    elif finding is None:
        return None
    else:
        network = concepts.rows_of("network", log)
        reached = concepts.rows_of("write", log) | concepts.rows_of("delete", log) if files else network
        for finding in findings:  # the worst that reached anything is meant
            wanted = {str(thing[int(i)]) for i in np.flatnonzero(of_finding(finding, log).doing(log) & reached)} - {""}
            if wanted:
                break
    who = of_finding(finding, log) if finding is not None else None
    done = who.doing(log) if who is not None else np.zeros(log.table.height, np.bool_)
    # the port of an address is no part of "that address"
    addresses = {a for name in wanted for a in concepts.addresses_in(name)[:1]}
    hit = {t for t in thing.unique().to_list() if t in wanted or (t and addresses & set(concepts.addresses_in(t)))}
    mask = np.asarray(thing.is_in(list(hit)).to_numpy(), np.bool_)
    named = sorted(addresses) or sorted(PureWindowsPath(name).name for name in wanted)
    facts = {
        "kind": "relation", "relation": "others", "said": "reach it", **about(who), "things": named[:6],
        "more_things": max(0, len(named) - 6), "own_rows": int((mask & done).sum()),
    }  # fmt: skip
    return Answer(where=np.flatnonzero(mask & ~done), facts=facts)
