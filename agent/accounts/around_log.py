"""Around a finding of an event log: what it grew out of, what the processes it made did later, and how common its links are.

Before a chain lie the ordinary processes it hangs on, its own first link, and whoever wrote the file that this link started or opened.
After it lies what its processes did once its last link stood. The order is that of the log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.accounts.context import observed
from agent.investigation import Finding
from agent.lookups.log_actors import makes, of_finding
from agent.lookups.log_concepts import acts_of, texts
from agent.lookups.log_relations import deeds
from core.evidence import EventRows, Evidence
from core.samples import EventLog
from tools.events.wording import LINKING, Deed, short_name, sure_deed

MOST_BEFORE, MOST_AFTER = 4, 4
TELLING: tuple[Deed, ...] = (
    "inject", "tamper", "access", "driver", "service", "task", "connect", "write", "registry_set", "delete", "start", "resolve",
)  # fmt: skip
"""Acts that tell what something led to, the gravest first; what else is done (loading libraries, reading) says little."""
_WRITES: frozenset[Deed] = frozenset({"write", "rename", "stream"})
_FILE_NAME = re.compile(r"[^\\/\"'\s:*?<>|]+\.\w{1,5}\b")
LONG_ENOUGH = 5
"""Characters of a file name from which it says which file is meant."""
MAINTENANCE = frozenset((
    "msiexec.exe", "trustedinstaller.exe", "tiworker.exe", "wuauclt.exe", "usoclient.exe", "mousocoreworker.exe", "compattelrunner.exe",
    "ccmexec.exe", "dpkg", "apt", "apt-get", "unattended-upgrade", "yum", "dnf", "rpm", "zypper", "packagekitd", "snapd",
    "softwareupdated", "installd",
))  # fmt: skip
"""Programs by which operating systems install, update and take stock, by their documented names."""


def around(log: EventLog, finding: Finding, scores: NDArray[Any] | None, normals: Sequence[EventLog]) -> list[Evidence]:
    """Unnumbered evidence of what lies around a finding; `scores` (N,) are the rarities of the log's rows, if they were kept."""
    rows = getattr(finding.evidence.locus, "rows", ())
    at = dict(zip(log.table["row"].to_list(), range(log.table.height), strict=True))
    where = [at[row] for row in rows if row in at]
    if not where:
        return []
    view = _View(log, finding, where)
    found = [*view.before(), *view.common(normals), *view.maintenance()]
    return [*found, *(view.after(scores) if finding.evidence.facts.get("what") == "chain" else ())]


class _View:
    """A finding at the indices `where` of a log."""

    def __init__(self, log: EventLog, finding: Finding, where: Sequence[int]) -> None:
        self.log, self.finding, self.where = log, finding, list(where)
        self.subjects, self.objects = (texts(log.table, column).to_list() for column in ("subject", "object"))
        self.operations = [str(operation or "") for operation in log.table["operation"].to_list()]
        self.chain = finding.evidence.facts.get("what") == "chain"
        hangs = finding.evidence.facts.get("hangs_on")
        self.begun = hangs if isinstance(hangs, int) and self.chain else 0

    def before(self) -> Iterator[Evidence]:
        """Who made the file, who started whom: all of it earlier than what follows from it."""
        links = self.where[self.begun :]
        first = links[0]
        onset = links[1] if self.chain and len(links) > 1 else first
        chosen = {*self._writers(first), *self.where[: self.begun], *([first] if onset != first else self._parents(first))}
        earlier = sorted(i for i in chosen if i < onset)[-MOST_BEFORE:]
        if earlier:
            facts = {"did": deeds(self.log, np.array(earlier)), "started": bool(makes(self.log)[earlier].any())}
            yield self._observed("before", "grew out of", earlier, facts, offset=earlier[0] - onset)

    def after(self, scores: NDArray[Any] | None) -> Iterator[Evidence]:
        """What the processes of a chain did after its last link, the gravest kinds of acts first, the rarest of each kind."""
        done = np.flatnonzero(of_finding(self.finding, self.log).doing(self.log))
        later = done[done > max(self.where)]
        kinds = [sure_deed(self.operations[i], self.objects[i]) for i in later]
        chosen: list[int] = []
        for kind in TELLING:
            alike = [int(i) for i, k in zip(later, kinds, strict=True) if k == kind]
            if alike and len(chosen) < MOST_AFTER:
                chosen.append(max(alike, key=lambda i: (0.0 if scores is None else float(scores[i]), -i)))
        if chosen:
            facts = {"did": deeds(self.log, np.array(sorted(chosen))), "acts": len(later), "more": len(later) - len(chosen)}
            yield self._observed("after", "went on", sorted(chosen), facts, offset=min(chosen) - max(self.where))

    def common(self, normals: Sequence[EventLog]) -> Iterator[Evidence]:
        """The rarest link of a chain, where every link of it is known from the logs given as normal."""
        links = [pair for i in self.where[self.begun :] if (pair := self._link(i)) is not None]
        if not self.chain or not links or not normals:
            return
        known = {pair: sum(_times(normal, pair) for normal in normals) for pair in dict.fromkeys(links)}
        (who, whom), least = min(known.items(), key=lambda item: item[1])
        if least:
            facts = {"links": len(known), "who": who, "whom": whom, "times": least, "logs": len(normals)}
            yield self._observed("excuse", "common links", self.where, facts)

    def maintenance(self) -> Iterator[Evidence]:
        """A program of the operating system's own upkeep that started the first link."""
        first = self.where[self.begun]
        starters = [i for i in (*self.where[: self.begun], first) if (pair := self._link(i)) and pair[0] in MAINTENANCE]
        if starters:
            facts = {"program": short_name(self.subjects[starters[-1]]), "did": deeds(self.log, np.array(starters[-1:]))}
            yield self._observed("excuse", "upkeep", starters[-1:], facts)

    def _parents(self, first: int) -> list[int]:
        """The row in which whoever acts in row `first` was started, if the log has it."""
        who = texts(self.log.table, "subject_id")[first] if "subject_id" in self.log.table.columns else ""
        if not who:
            return []
        made = makes(self.log) & (texts(self.log.table, "object_id") == who).to_numpy()
        return [int(i) for i in np.flatnonzero(made) if i < first][-1:]

    def _writers(self, first: int) -> list[int]:
        """The last row before `first` that wrote the program it starts, or a file that its command line names."""
        detail = texts(self.log.table, "detail")[first]
        named = {short_name(self.objects[first]).lower(), *(m.lower() for m in _FILE_NAME.findall(detail))}
        started = self._link(first)
        named = {n for n in named if len(n) >= LONG_ENOUGH} - ({started[0]} if started else set())
        wrote = np.flatnonzero(acts_of(self.log.table, _WRITES))
        hits = [int(i) for i in wrote[wrote < first] if short_name(self.objects[i]).lower() in named]
        return hits[-1:]

    def _link(self, index: int) -> tuple[str, str] | None:
        """(who, whom) by program name, lower case, when a row starts or takes over a process."""
        if sure_deed(self.operations[index], self.objects[index]) not in LINKING:
            return None
        return short_name(self.subjects[index]).lower(), short_name(self.objects[index]).lower()

    def _observed(
        self, role: Any, what: str, where: Sequence[int], facts: dict[str, Any], *, offset: int | None = None
    ) -> Evidence:
        rows = tuple(int(self.log.table["row"][int(i)]) for i in where)
        locus = EventRows(sample=self.log.name, rows=rows)
        return observed(role, what, self.finding.evidence.source, locus, {"epoch_s": self.log.epoch_s, **facts},
                        offset=None if offset is None else float(offset), unit="rows")  # fmt: skip


def _times(log: EventLog, pair: tuple[str, str]) -> int:
    """How often a log has a link between two programs."""
    rows = np.flatnonzero(makes(log))
    who, whom = (texts(log.table, column)[rows].to_list() for column in ("subject", "object"))
    return sum((short_name(a).lower(), short_name(b).lower()) == pair for a, b in zip(who, whom, strict=True))
