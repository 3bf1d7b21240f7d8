"""Makes the accounts of a chat's findings: measures what lies around each once, keeps it as evidence, and builds the account.

What is measured is kept by the content of the files and the finding, so that asking again, or in another chat, costs nothing. What other
files show is looked up anew, for their number may have grown. Nothing here raises: what cannot be measured is left out.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agent.accounts import around_log, around_photo, around_series, around_video
from agent.accounts.account import Account
from agent.accounts.around_files import around as around_files
from agent.accounts.build import account_of, account_of_rule
from agent.accounts.context import role_of
from agent.evidence_store import EvidenceStore
from agent.investigation import Finding, Investigation
from agent.narration.relation_log import relation_evidence
from core.errors import TelltaleError
from core.evidence import Anomaly, Evidence
from core.progress import watching
from core.samples import EventLog, ImageSample, Series, VideoClip
from readers.open import Source

if TYPE_CHECKING:
    from agent.steps import Steps
    from agent.workbench import Workbench

log = logging.getLogger(__name__)
VERSION = "3"
"""Raised when what is measured around a finding changes, so that old results are not taken for new ones."""
MOST_ACCOUNTS = 10
"""Accounts of one reply: of more findings, the worst."""


class Accountant:
    """Accounts of findings in one chat."""

    def __init__(self, store: EvidenceStore, bench: Workbench, thread: str, steps: Steps) -> None:
        self._store, self._bench, self._thread, self._steps = store, bench, thread, steps
        self._compared: tuple[tuple[str, ...], list[around_photo.Compared]] = ((), [])

    def told(
        self, anomalies: Sequence[Anomaly], investigations: Sequence[Investigation], grounds: Collection[str]
    ) -> list[Account]:
        """The accounts of the anomalies that rest on `grounds`, in their order; of many, the worst."""
        chosen = [a for a in anomalies if set(a.evidence) & set(grounds)]
        worst = sorted(chosen, key=lambda a: -a.severity_score)[:MOST_ACCOUNTS]
        known = {e.id: e for e in self._store.evidence(self._thread)} if any(a.rule_id for a in worst) else {}
        found = {f.evidence.id: (inv, f) for inv in investigations for f in inv.findings}
        if any(a.evidence[0] not in found and a.rule_id is None for a in worst):  # came up when a rule took others out
            found |= {e.id: (inv, replace(f, evidence=e)) for inv in investigations for f, e in self._spare(inv)}
        made = []
        for anomaly in (a for a in chosen if a in worst):
            first = anomaly.evidence[0]
            if first in found:
                made.append(self.of(*found[first], investigations))
            elif anomaly.rule_id is not None and first in known:
                made.append(account_of_rule(anomaly, known[first]))
        return made

    def _spare(self, inv: Investigation) -> list[tuple[Finding, Evidence]]:
        """The further findings of a log with their numbered evidence."""
        numbered = self._store.add_evidence(self._thread, [f.evidence for f in inv.reserve])
        return list(zip(inv.reserve, numbered, strict=True))

    def of(
        self, inv: Investigation, finding: Finding, investigations: Sequence[Investigation], *, follow: bool = False
    ) -> Account:
        """The account of one finding; `follow` has a video looked at for who does what, where that was not done yet."""
        source = next((s for s in self._bench.sources() if s.name == inv.source), None)
        context: list[Evidence] = []
        if source is not None:
            normals = [n for n in self._bench.sources("normal") if n.kind == source.kind]
            context = [
                *self._measured(inv, finding, source, normals),
                *around_files(finding, investigations, self._bench.sources()),
            ]
            context = self._store.add_evidence(self._thread, context)
        relations = self.relations(inv, follow=follow)
        before, after = around_video.related(finding, relations or ())
        by_role: Mapping[str, list[Evidence]] = {
            role: [c for c in context if role_of(c) == role] for role in ("before", "after", "excuse")
        }
        return account_of(
            finding, inv, [*before, *by_role["before"]], [*after, *by_role["after"]], by_role["excuse"],
            known={e.id: e for e in (*(e for one in investigations for e in one.evidence), *context, *(relations or ()))},
            followed=relations is not None,
        )  # fmt: skip

    def relations(self, inv: Investigation, *, follow: bool = True) -> list[Evidence] | None:
        """Who does what around the findings of a video, looked at once; None for other data and where it has not or cannot be looked at."""
        source = next((s for s in self._bench.sources() if s.name == inv.source), None)
        clip = None if source is None else source.samples[0]
        abnormal = [finding for finding in inv.findings if finding.abnormal]
        if source is None or not isinstance(clip, VideoClip) or not abnormal:
            return None
        key = _key("relations", source.key, json.dumps([f.evidence.to_json()["locus"] for f in abnormal], sort_keys=True))
        if self._store.cached(key) is None and follow:
            with self._steps.step(f"relations:{inv.source}", f"Following who does what in {inv.source}") as step:
                try:
                    with watching(self._steps.heed):
                        step["detail"] = (
                            f"{len(self._kept(key, lambda: relation_evidence(clip, inv.source, abnormal)))} relations"
                        )
                except TelltaleError as error:
                    step.update(detail=str(error), ok=False)
        kept = self._store.cached(key)
        return None if kept is None else self._store.add_evidence(self._thread, _drafts(kept))

    def _kept(self, key: str, measure: Callable[[], list[Evidence]]) -> list[Evidence]:
        """Unnumbered evidence from the cache, or measured and kept there."""
        kept = self._store.cached(key)
        if kept is not None:
            return _drafts(kept)
        found = measure()
        self._store.cache(key, {"context": [one.to_json() for one in found]})
        return found

    def _measured(self, inv: Investigation, finding: Finding, source: Source, normals: Sequence[Source]) -> list[Evidence]:
        """What lies around a finding in its own file; nothing where it cannot be read."""
        body = {**finding.evidence.to_json(), "id": "", "seconds": 0.0}
        key = _key("account", source.key, *sorted(n.key for n in normals), json.dumps(body, sort_keys=True))
        try:
            return self._kept(key, lambda: self._around(inv, finding, source, normals))
        except TelltaleError as error:
            log.warning("nothing was measured around a finding in %s: %s", source.name, error)
            return []

    def _around(self, inv: Investigation, finding: Finding, source: Source, normals: Sequence[Source]) -> list[Evidence]:
        sample = source.samples[0]
        if isinstance(sample, Series):
            others = [f for f in inv.findings if f.abnormal and f is not finding]
            return around_series.around(sample, finding, others, [s for n in normals for s in n.samples if isinstance(s, Series)])
        if isinstance(sample, EventLog):
            logs = [s for n in normals for s in n.samples if isinstance(s, EventLog)]
            return around_log.around(sample, finding, self._scores(inv, sample), logs)
        if isinstance(sample, VideoClip):
            return around_video.around(sample, finding)
        number = finding.evidence.facts.get("photo")
        photo = source.samples[int(number) - 1] if isinstance(number, int) else None
        if not isinstance(photo, ImageSample):
            return []
        return around_photo.around(photo, finding, self._references(inv, source, normals), normal=bool(normals))

    def _scores(self, inv: Investigation, sample: EventLog) -> NDArray[Any] | None:
        """The rarity of every row of a log, if it was kept."""
        path = None if inv.arrays is None else self._store.file(inv.arrays)
        if path is None or not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as kept:
            scores: NDArray[Any] = kept["scores"]
        return scores if len(scores) == sample.table.height else None

    def _references(self, inv: Investigation, source: Source, normals: Sequence[Source]) -> list[around_photo.Compared]:
        """The photos to compare with: normal ones, or those of the batch without a finding."""
        keys = tuple(n.key for n in normals) or (source.key,)
        if self._compared[0] != keys:
            most = around_photo.MOST_COMPARED
            photos = [s for n in normals for s in list(n.samples[:most])][:most]
            if not normals:
                plain = [f.evidence.facts for f in inv.findings if not f.abnormal and not f.evidence.facts.get("borderline")]
                photos = [source.samples[n - 1] for facts in plain[:most] if isinstance(n := facts.get("photo"), int)]
            self._compared = keys, [around_photo.Compared.of(photo) for photo in photos if isinstance(photo, ImageSample)]
        return self._compared[1]


def _key(*parts: str) -> str:
    return hashlib.sha256(json.dumps([VERSION, *parts]).encode()).hexdigest()


def _drafts(kept: Mapping[str, Any]) -> list[Evidence]:
    """Unnumbered evidence as it lies in the cache."""
    return [Evidence.from_json(one) for one in kept["context"]]
