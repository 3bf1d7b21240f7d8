"""The graph around an incident or a process of an event log: who is tied to it by which act, ring by ring, and its picture.

Entities are process instances where the log names them, addresses without their port, and other things by name. A ring is what one act
ties to what is there already, whoever acted. What very many reach (a log-on process, a system library) is shown and not gone on
through. Of a ring the gravest acts are drawn, each kind in turn, the rarest of a kind first; the others are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.investigation import Finding
from agent.lookups.log_concepts import addresses_in, texts
from core import draw_graph
from core.samples import EventLog
from tools.events.wording import LINKING, Deed, short_name, sure_deed

TELLING: tuple[Deed, ...] = (
    "inject", "tamper", "start", "access", "driver", "service", "task", "connect", "accept", "write", "registry_set", "delete", "rename",
    "stream", "login", "pipe_create", "pipe_connect", "resolve", "registry_delete",
)  # fmt: skip
"""Acts that tie entities in a way worth drawing, the gravest first; loading libraries, reading and ending are counted only."""
DRAWN = 10
"""Acts drawn of one ring."""
SHARED = 10
"""An entity that so many others act on ties nothing together."""
MOST_RINGS = 4
_WORDS: dict[Deed, str] = {
    "inject": "injected", "tamper": "tampered", "start": "started", "access": "opened", "driver": "driver", "service": "service",
    "task": "task", "connect": "connected", "accept": "accepted", "write": "wrote", "registry_set": "set", "delete": "deleted",
    "rename": "renamed", "stream": "stream", "login": "logged in", "pipe_create": "pipe", "pipe_connect": "pipe", "resolve": "looked up",
    "registry_delete": "removed",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Act:
    """One entity acting on another in a way: its rows (indices, in the log's order) and the ring it was reached in (0: the incident)."""

    source: str
    target: str
    deed: Deed
    rows: tuple[int, ...]
    ring: int


@dataclass(frozen=True, kw_only=True)
class Hood:
    """What lies around: the acts to draw, how many entities were reached for the first time, and how many acts were left out."""

    acts: tuple[Act, ...] = ()
    core: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    """Of the core those that were made in the incident: what they did is told before what ordinary parents did."""
    reached: int = 0
    tied: int = 0
    """Rows that tie the entities reached to those there before."""
    left_out: int = 0
    """Entities of the last ring that are not drawn."""
    shared: tuple[tuple[str, int], ...] = ()
    """Names of entities that were not gone on through, with how many act on them."""

    @property
    def rings(self) -> int:
        """The outermost ring."""
        return max((act.ring for act in self.acts), default=0)

    def rows(self, ring: int) -> NDArray[np.int64]:
        """First rows (indices) of the acts of one ring, the most telling acts first."""
        return np.array([act.rows[0] for act in self.acts if act.ring == ring], np.int64)


class LogGraph:
    """The entities of a log; `hidden` (N,) masks rows that a person's rules took out."""

    def __init__(self, log: EventLog, *, scores: NDArray[Any] | None = None, hidden: NDArray[np.bool_] | None = None) -> None:
        self.log = log
        self.scores = scores if scores is not None and len(scores) == log.table.height else None
        self.hidden = np.zeros(log.table.height, np.bool_) if hidden is None else hidden

    @cached_property
    def names(self) -> tuple[list[str], list[str], list[str]]:
        """Subject, object and operation of every row."""
        subject, thing, operation = (texts(self.log.table, c).to_list() for c in ("subject", "object", "operation"))
        return subject, thing, operation

    @cached_property
    def ends(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Keys (N,) of who acted and of what was acted on."""
        subject, thing, _ = self.names
        who_id, whom_id = (texts(self.log.table, c).to_list() for c in ("subject_id", "object_id"))
        made = self.makes
        processes = {key for key in who_id if key} | {whom_id[i] for i in np.flatnonzero(made) if whom_id[i]}
        who = [key or name.lower() for key, name in zip(who_id, subject, strict=True)]
        cache: dict[str, str] = {}
        whom = []
        for i, (key, name) in enumerate(zip(whom_id, thing, strict=True)):
            if key and key in processes:
                whom.append(key)
                continue
            if name not in cache:
                cache[name] = (_address(name) or name).lower()
            whom.append(cache[name] if not made[i] or name else "")
        return np.array(who, object), np.array(whom, object)

    @cached_property
    def makes(self) -> NDArray[np.bool_]:
        """Rows in which a process is started or taken over."""
        _, thing, operation = self.names
        kinds: dict[str, bool] = {}
        found = np.zeros(len(operation), np.bool_)
        for i, (op, name) in enumerate(zip(operation, thing, strict=True)):
            if op not in kinds:
                kinds[op] = sure_deed(op, name) in LINKING
            found[i] = kinds[op]
        return found

    def label(self, key: str, row: int, *, source: bool) -> str:
        """What to call an entity, by a row in which it occurs."""
        subject, thing, _ = self.names
        return short_name(subject[row] if source else _address(thing[row]) or thing[row])

    def of_findings(self, findings: Sequence[Finding]) -> Hood:
        """The acts that findings tell, and the entities in them."""
        at = dict(zip(self.log.table["row"].to_list(), range(self.log.table.height), strict=True))
        rows: list[int] = []
        begun: list[int] = []
        for finding in findings:
            there = [at[r] for r in getattr(finding.evidence.locus, "rows", ()) if r in at and not self.hidden[at[r]]]
            hangs = finding.evidence.facts.get("hangs_on")
            rows, begun = rows + there, begun + there[hangs if isinstance(hangs, int) else 0 :]
        acts = self._acts(rows, ring=0)
        made = {a.target for a in acts if a.deed in LINKING and set(a.rows) & set(begun)}
        doers = {a.source for a in acts if set(a.rows) & set(begun)}
        return Hood(acts=tuple(acts), core=frozenset(k for a in acts for k in (a.source, a.target)), own=frozenset(made or doers))

    def of_keys(self, keys: Collection[str]) -> Hood:
        """No act, only entities to begin with."""
        return Hood(core=frozenset(keys), own=frozenset(keys))

    def expand(self, hood: Hood, *, own: Collection[str] | None = None) -> Hood:
        """One ring more; with `own` only what those entities did themselves."""
        who, whom = self.ends
        known = set(hood.core) | {k for a in hood.acts for k in (a.source, a.target)}
        shared = self._shared(known) if own is None else []
        unshared = known - {key for key, _ in shared}
        # what the incident's own processes did is followed however many look into them
        doers = {a.source for a in hood.acts if a.ring == 0} | {a.target for a in hood.acts if a.ring == 0 and a.deed in LINKING}
        touching = _among(who, unshared | doers if own is None else own)
        if own is None:
            touching |= _among(whom, unshared)
        done = {row for act in hood.acts for row in act.rows}
        rows = [i for i in np.flatnonzero(touching & ~self.hidden).tolist() if i not in done]
        acts = [a for a in self._acts(rows, ring=hood.rings + 1) if a.source != a.target]
        new = [a for a in acts if own is None or a.target not in known]
        chosen = self._choose([a for a in new if a.source in hood.own])
        chosen += self._choose([a for a in new if a.source not in hood.own], DRAWN - len(chosen))
        drawn = {k for a in (*hood.acts, *chosen) for k in (a.source, a.target)}
        reached = {k for a in new for k in (a.source, a.target)} - known
        return Hood(
            acts=(*hood.acts, *chosen), core=hood.core, own=hood.own, reached=len(reached), tied=sum(len(a.rows) for a in new),
            left_out=len(reached - drawn), shared=tuple((self._called(key), n) for key, n in shared),
        )  # fmt: skip

    def _shared(self, keys: Collection[str]) -> list[tuple[str, int]]:
        """Those of some entities that very many act on, and how many do."""
        who, whom = self.ends
        touching = np.flatnonzero(_among(whom, keys) & ~self.hidden)
        others: dict[str, set[str]] = {}
        for i in touching.tolist():
            if who[i] != whom[i]:
                others.setdefault(str(whom[i]), set()).add(str(who[i]))
        return sorted((key, len(found)) for key, found in others.items() if len(found) >= SHARED)

    def _called(self, key: str) -> str:
        """The name of an entity, by a row that reaches it."""
        row = int(np.flatnonzero(self.ends[1] == key)[0])
        return self.label(key, row, source=False)

    def _acts(self, rows: Sequence[int], ring: int) -> list[Act]:
        """Telling rows, put together by who, whom and act."""
        who, whom = self.ends
        _, thing, operation = self.names
        kinds: dict[tuple[str, bool], Deed] = {}
        together: dict[tuple[str, str, Deed], list[int]] = {}
        for i in sorted(set(rows)):
            known = (operation[i], bool(thing[i]))
            kind = kinds.setdefault(known, sure_deed(operation[i], thing[i]))
            if who[i] and whom[i] and (kind in TELLING or ring == 0):
                together.setdefault((str(who[i]), str(whom[i]), kind), []).append(i)
        return [Act(source=a, target=b, deed=kind, rows=tuple(rows), ring=ring) for (a, b, kind), rows in together.items()]

    def _choose(self, acts: Sequence[Act], most: int = DRAWN) -> list[Act]:
        """The acts to draw: the gravest kinds in turn, of each the rarest."""
        by_kind: dict[Deed, list[Act]] = {}
        for act in sorted(acts, key=lambda a: (-self._odd(a), a.rows[0])):
            by_kind.setdefault(act.deed, []).append(act)
        chosen: list[Act] = []
        while len(chosen) < most and any(by_kind.values()):
            for kind in TELLING:
                if by_kind.get(kind) and len(chosen) < most:
                    chosen.append(by_kind[kind].pop(0))
        return chosen

    def _odd(self, act: Act) -> float:
        return 0.0 if self.scores is None else float(self.scores[list(act.rows)].max())

    def picture(self, hood: Hood) -> bytes | None:
        """PNG of the acts: those of the incident red, those reached last blue; None where there is nothing to draw."""
        labels: dict[str, tuple[str, draw_graph.Shape]] = {}
        _, thing, operation = self.names
        for act in hood.acts:
            row = act.rows[0]
            labels.setdefault(act.source, (self.label(act.source, row, source=True), "process"))
            labels.setdefault(act.target, (self.label(act.target, row, source=False), _shape(act.deed, thing[row])))
        if not labels:
            return None
        told = Counter(name for name, _ in labels.values())
        count: Counter[str] = Counter()
        first = {k: min(a.ring for a in hood.acts if k in (a.source, a.target)) for k in labels}
        nodes = []
        for key, (name, shape) in labels.items():
            count[name] += 1
            nodes.append(draw_graph.Node(
                key=key, label=f"{name} #{count[name]}" if told[name] > 1 else name, shape=shape,
                mark=_mark(0 if key in hood.core else first[key], hood.rings),
            ))  # fmt: skip
        edges = [
            draw_graph.Edge(source=a.source, target=a.target, mark=_mark(a.ring, hood.rings),
                            label=_WORDS.get(a.deed, a.deed if a.deed != "other" else operation[a.rows[0]])
                            + (f" ×{len(a.rows)}" if len(a.rows) > 1 else ""))
            for a in hood.acts
        ]  # fmt: skip
        return draw_graph.graph_png(nodes, edges)


def _among(values: NDArray[Any], wanted: Collection[str]) -> NDArray[np.bool_]:
    """Mask (N,) of the values that are wanted."""
    chosen = set(wanted)
    return np.fromiter((value in chosen for value in values), np.bool_, len(values))


def _mark(ring: int, last: int) -> draw_graph.Mark:
    return "found" if ring == 0 else "added" if ring == last else "plain"


def _shape(deed: Deed, thing: str) -> draw_graph.Shape:
    if deed in LINKING or deed in ("access", "tamper"):
        return "process"
    if deed in ("connect", "accept", "resolve"):
        return "address"
    return "file" if deed in ("write", "delete", "rename", "stream", "read", "load", "touch", "driver") else "other"


def _address(thing: str) -> str:
    """The address in a name that is one, without its port; else nothing."""
    found = addresses_in(thing) if len(thing) <= 60 else []
    return found[0] if len(found) == 1 and thing.strip("[]").startswith(found[0]) else ""
