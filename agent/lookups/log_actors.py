"""Who a question about an event log means: named entities, or the processes of the finding that "it" points at.

`Actors` are process instances where the log names them (`subject_id`), else subjects, users or hosts by name. Masks are (N,) over the
rows of the log in table order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.investigation import Finding, Investigation
from agent.lookups.log_concepts import Mask, acts_of, texts
from agent.question import Request
from agent.reading.phrases import either
from agent.reading.tidy import words_of
from core.samples import EventLog
from tools.events.wording import LINKING, sure_deed


@dataclass(frozen=True, kw_only=True)
class Actors:
    """`ids` are process instances, `names` whole names of subjects, objects, users or hosts; `since` binds an instance from a row on.

    `shown` is what to call them; `finding` is the evidence id of the finding they were taken from, if any.
    """

    ids: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    shown: tuple[str, ...] = ()
    finding: str = ""
    since: tuple[tuple[str, int], ...] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.ids or self.names)

    def doing(self, log: EventLog) -> Mask:
        """Rows of what they did themselves."""
        return self._match(log, "subject_id", ("subject", "user", "host"), bind=True)

    def target(self, log: EventLog) -> Mask:
        """Rows of what was done to them."""
        found = self._match(log, "object_id", ("object",), bind=False)
        return found & ~self._match(log, "subject_id", ("subject",), bind=False)

    def _match(self, log: EventLog, identity: str, columns: Sequence[str], *, bind: bool) -> Mask:
        table = log.table
        found = np.zeros(table.height, np.bool_)
        if self.ids and identity in table.columns:
            key = texts(table, identity)
            found |= key.is_in(list(self.ids)).to_numpy()
            for who, first in self.since if bind else ():
                found &= ~((key == who).to_numpy() & (np.arange(table.height) < first))
        for column in columns if self.names else ():
            found |= texts(table, column).str.to_lowercase().is_in(list(self.names)).to_numpy()
        return found


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Rows (indices) that answer a question, and facts that sum them up; `ordered` rows are shown first to last, others by rarity."""

    where: NDArray[np.int64]
    facts: dict[str, Any]
    ordered: bool = False


def named(entities: Sequence[str]) -> Actors:
    """Entities as they stand in the log."""
    return Actors(names=frozenset(e.lower() for e in entities), shown=tuple(entities))


def of_finding(finding: Finding, log: EventLog, *, last: bool = False) -> Actors:
    """The processes that a finding is about: those its links made from where it began, or the doers; only the `last` when asked.

    A process that was taken over counts from then on.
    """
    table = log.table
    row_at = dict(zip(table["row"].to_list(), range(table.height), strict=True))
    rows = getattr(finding.evidence.locus, "rows", ())
    facts = finding.evidence.facts
    begun = facts.get("hangs_on")
    where = [row_at[r] for r in rows[begun if isinstance(begun, int) else 0 :] if r in row_at]
    subject, thing = texts(table, "subject"), texts(table, "object")
    who, whom = texts(table, "subject_id"), texts(table, "object_id")
    made: dict[str, tuple[str, int, bool]] = {}
    doers: dict[str, str] = {}
    for i in where:
        kind = sure_deed(str(table["operation"][i] or ""), thing[i])
        if kind in LINKING and facts.get("what") == "chain":
            key = whom[i] or thing[i].lower()
            made.setdefault(key, (thing[i], i, kind == "inject"))
        doers.setdefault(who[i] or subject[i].lower(), subject[i])
    chosen = {key: name for key, (name, _, _) in made.items()} or doers
    if last and chosen:
        final = where[-1]
        key = who[final] or subject[final].lower()
        if made and sure_deed(str(table["operation"][final] or ""), thing[final]) in LINKING:
            key = whom[final] or thing[final].lower()
        chosen = {key: chosen.get(key, subject[final])}
    known = set(who.unique().to_list()) | set(whom.unique().to_list())
    return Actors(
        ids=frozenset(k for k in chosen if k in known), names=frozenset(k for k in chosen if k not in known),
        shown=tuple(dict.fromkeys(chosen.values())), finding=finding.evidence.id,
        since=tuple((key, i) for key, (_, i, injected) in made.items() if injected and key in chosen),
    )  # fmt: skip


def pointed_at(request: Request, inv: Investigation | None) -> Finding | None:
    """The finding that "it" means: the one a reference names, else the worst."""
    if inv is None:
        return None
    abnormal = [f for f in inv.findings if f.abnormal]
    if request.findings and abnormal:
        return abnormal[request.findings[0]] if request.findings[0] < len(abnormal) else abnormal[0]
    return max(abnormal, key=lambda f: f.severity_score, default=None)


def says_it(question: str) -> bool:
    """True when a question points at somebody without a name.

    >>> says_it("who started it?"), says_it("who started cmd.exe?")
    (True, False)
    """
    return bool(either("log subject").search(words_of(question)))


def meant(request: Request, log: EventLog, inv: Investigation | None, *, last: bool) -> Actors | None:
    """Who a question is about: what it names, what "it" points at, or None when it names nobody.

    Entities taken over from the question before count only where the question points back with a word.
    """
    points = says_it(request.question)
    if request.entities and ("entities" not in request.inherited or points):
        return named(request.entities)
    finding = pointed_at(request, inv) if points or request.references else None
    return of_finding(finding, log, last=last) if finding is not None else None


def rows_of_finding(finding: Finding, log: EventLog) -> Mask:
    """Mask (N,) of the rows of a finding, and of all that the processes of a chain did."""
    rows = getattr(finding.evidence.locus, "rows", ())
    mask = np.isin(log.table["row"].to_numpy(), np.asarray(rows, np.int64))
    if finding.evidence.facts.get("what") == "chain":
        mask = mask | of_finding(finding, log).doing(log)
    return np.asarray(mask, np.bool_)


def touched(log: EventLog, inv: Investigation | None, where: Sequence[int]) -> list[str]:
    """Evidence ids of the abnormal findings whose rows or processes are among the rows at the indices `where`.

    Several chains may share a process; the worst of them stands for it, the others only where they add rows.
    """
    if inv is None or not len(where):
        return []
    left = np.zeros(log.table.height, np.bool_)
    left[np.asarray(where, np.int64)] = True
    found = []
    for finding in sorted((f for f in inv.findings if f.abnormal), key=lambda f: -f.severity_score):
        own = rows_of_finding(finding, log) & left
        if own.any():
            found.append(finding.evidence.id)
            left &= ~own
    return found


def suspicious(log: EventLog, inv: Investigation | None) -> Mask:
    """Mask (N,) of the rows that belong to any abnormal finding."""
    found = np.zeros(log.table.height, np.bool_)
    for finding in inv.findings if inv is not None else ():
        if finding.abnormal:
            found |= rows_of_finding(finding, log)
    return found


def makes(log: EventLog) -> Mask:
    """Rows in which a process is started or taken over by another."""
    table = log.table
    same = (texts(table, "subject_id") == texts(table, "object_id")).to_numpy() & (texts(table, "subject_id") != "").to_numpy()
    return np.asarray(acts_of(table, LINKING) & ~same, np.bool_)


def about(who: Actors | None) -> dict[str, Any]:
    """The facts that say who a question is about."""
    return {"about": list(who.shown) if who else [], "by_finding": who.finding if who else ""}
