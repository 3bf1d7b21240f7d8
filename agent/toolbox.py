"""Runs the planned detectors: fit on normals (kept on disk), score, examine; results cached by content, failures become sentences."""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from agent.evidence_store import EvidenceStore
from agent.examine.setting import Run
from agent.investigation import Investigation
from agent.long_looks import Depth
from agent.planner import ToolCall
from agent.severity_table import table_in_force
from core.detector import Detector, DetectorSpec, parameters
from core.errors import BadInput
from core.progress import Sink, watching
from core.samples import Kind, Sample
from core.settings import limits
from readers.open import Source
from tools.catalog import catalogue

log = logging.getLogger(__name__)

EXAMINERS: dict[Kind, str] = {
    "image": "agent.examine.image",
    "points": "agent.examine.image",
    "video": "agent.examine.video",
    "series": "agent.examine.series",
    "events": "agent.examine.events",
}
"""Modules with `examine(run, store)`, imported when a source of that kind is looked at."""
CACHE_VERSION = "12"
"""Raised when examiners change what they store, so that old cached results are not shown as new ones."""


class Toolbox:
    """Runs tool calls against sources, with a cache keyed by content, detector, version and parameters."""

    def __init__(self, store: EvidenceStore) -> None:
        self._store = store

    def key(self, call: ToolCall, source: Source, normals: Sequence[Source]) -> str:
        """The content key of a call: what was looked at, by what, against what."""
        spec = catalogue()[call.detector]
        parts = [CACHE_VERSION, table_in_force(self._store.home).version, source.key, spec.name, spec.version]
        parts += sorted(n.key for n in normals)
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def run(
        self, call: ToolCall, source: Source, normals: Sequence[Source], sink: Sink | None = None, *, most_s: float = float("inf")
    ) -> tuple[Investigation, bool]:
        """Run one call, or take it from the cache; returns the investigation and whether it was cached. It may take `most_s` seconds.

        A closer look at a video that was skimmed replaces what the cache has. Its time has no limit: it can be stopped, nothing is lost.

        Raises:
            TelltaleError: the detector could not judge this source; the message is fit to be shown.
        """
        same_kind = [normal for normal in normals if normal.kind == source.kind]
        key = self.key(call, source, same_kind)
        body = self._store.cached(key)
        if body is not None and not (call.closer and Investigation.from_json(body).skimmed):
            return Investigation.from_json(body), True
        start = time.perf_counter()
        spec = catalogue()[call.detector]
        if source.kind not in EXAMINERS:
            raise BadInput(f"{source.name!r}: no detector in the catalogue judges {source.kind} yet.")
        with watching(sink, budget_s=float("inf") if call.closer else min(most_s, limits().tool_budget_s)):
            samples: list[Sample] = [sample for normal in same_kind for sample in normal.samples]
            detector = catalogue().create(call.detector)
            if samples:
                detector = self._fitted(detector, spec, same_kind, samples)
            run = Run(
                detector=detector, spec=spec, source=source, n_normal=len(samples), reason=call.reason,
                depth=Depth(whole=call.whole, windows=call.windows), kept=self._store.home / "inspections" / f"{key}.npz",
            )  # fmt: skip
            found = _examiner(source.kind)(run, self._store)
        found = replace(found, seconds=round(time.perf_counter() - start, 3))
        self._store.cache(key, found.to_json())
        return found, False

    def _fitted(self, detector: Detector, spec: DetectorSpec, normals: Sequence[Source], samples: Sequence[Sample]) -> Detector:
        """Fit on the normals, or load the same fit from an earlier run."""
        parts = [spec.name, spec.version, parameters(detector), [normal.key for normal in normals]]
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        path = self._store.home / "fitted" / f"{digest}.npz"
        if path.exists():
            try:
                return type(detector).load(path)
            except BadInput as error:
                log.warning("fitting again: %s", error)
        fitted = detector.fit(samples)
        fitted.save(path)
        return fitted


def _examiner(kind: Kind) -> Callable[[Run, EvidenceStore], Investigation]:
    examine: Callable[[Run, EvidenceStore], Investigation] = importlib.import_module(EXAMINERS[kind]).examine
    return examine
