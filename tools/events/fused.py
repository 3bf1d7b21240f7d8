"""Rarity and GID as one: an event, or a path, is as strange as Fisher's combination of what both say of it.

Each detector's score becomes a tail probability among the scores it gives to held-out normal events, beyond the strangest of these by an
exponential tail (Davison & Smith 1990); an event scores the sum of both −log p (Fisher 1932). Paths of both are put together and
ranked by that sum over their events; a path that shares half of its events with a better one is a variant of it. Both see the
same events, so the two p-values depend on each other: a path's score counts that by Brown (1975), with the correlation of held-out
normal events, as if every path had MOST_EVENTS of them, which asks too much of the short ones rather than too little.
Equal shares, the sum over a path and the share of a variant were chosen on chains injected into benign captures
(benchmarks.injected_chains), and hold when each capture is left out of the choice in turn. Without normal logs a log is its own history.
Scores (N,) are in nats, in the table's row order.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from core.archive import load_arrays, save_arrays
from core.detector import DetectorSpec, parameters, require_batch
from core.errors import BadInput
from core.progress import step
from core.samples import EventLog, Sample
from core.scores import EventScores, PathScore
from tools.catalog import ROWS
from tools.events import lineage, story
from tools.events.gid import Gid
from tools.events.history import MAX_FOLDS, stretches, thinned
from tools.events.prepare import Vocabulary, prepare
from tools.events.rarity import Rarity

Floats = NDArray[np.float64]

TAIL = 0.01
"""Share of held-out scores to which the exponential tail is fitted."""
LEAST_TAIL = 20
MOST_EVENTS = 7
"""Events of the longest paths."""
SHARED = 0.5
ACTS = 8
"""Distinct acts a process is ranked by."""


class FusedPaths:
    """Score events by what is rare and by what strange paths end with them, in equal shares; rank processes and paths.

    `top` is how many entities and paths are returned. Scores (N,) float32 in nats; path scores in standard deviations above normal.

    Raises:
        BadInput: an empty batch, something that is not an EventLog, or a table without who, did what and to what.

    >>> import polars as pl
    >>> log = EventLog(name="toy", roles={}, table=pl.DataFrame({
    ...     "row": range(1, 43), "time_s": [float(i) for i in range(42)], "subject": [f"w{i % 8}" for i in range(40)] + ["w1", "imp"],
    ...     "operation": ["read"] * 40 + ["start", "write"], "object": ["book"] * 40 + ["imp", "master key"]}))
    >>> int(FusedPaths().score([log])[0].scores.argmax())
    41
    """

    spec: DetectorSpec = next(row for row in ROWS if row.name == "rarity_gid")

    def __init__(self, *, top: int = 20) -> None:
        if top < 1:
            raise BadInput(f"top={top!r}: expected at least 1.")
        self.top = top
        self._rarity, self._gid = Rarity(top=top), Gid(top=top)
        self._correlation = 0.0
        self._reference: NDArray[np.float32] = np.zeros(0, np.float32)

    def fit(self, normal: Sequence[Sample]) -> Self:
        """Learn from normal logs; how both judge events together comes from logs (or stretches of a single one) left out in turn."""
        require_batch(normal, EventLog, self.spec.name)
        self._gid = Gid(top=self.top).fit(normal)
        self._rarity = Rarity(top=self.top).fit(normal)
        self._correlation, self._reference = 0.0, np.zeros(0, np.float32)
        logs = [log for log in normal if isinstance(log, EventLog)]
        parts = [replace(logs[0], table=table) for table in stretches([log.table for log in logs])]
        folds = min(MAX_FOLDS, len(parts))
        pairs: list[tuple[Floats, Floats]] = []
        for fold in range(folds if folds > 1 else 0):
            step("held-out logs", fold, folds)
            rest = [part for i, part in enumerate(parts) if i % folds != fold]
            rarity, gid = Rarity(top=1).fit(rest), Gid(top=1).fit(rest)
            left_out = parts[fold::folds]
            judged = zip(rarity.score(left_out), gid.score(left_out), strict=True)
            pairs += [self._surprises(rare.scores, far.scores) for rare, far in judged]
        if pairs:
            both = [np.concatenate(values) for values in zip(*pairs, strict=True)]
            self._correlation = _correlation(both[0], both[1])
            self._reference = thinned((both[0] + both[1]).astype(np.float32))
        return self

    def score(self, batch: Sequence[Sample]) -> Sequence[EventScores]:
        """Score logs one by one, each against the fitted history, or against itself when nothing was fitted."""
        require_batch(batch, EventLog, self.spec.name)
        results = []
        for done, log in enumerate(batch):
            step("event logs", done, len(batch))
            assert isinstance(log, EventLog)
            results.append(self._score(log))
        return results

    def reference_scores(self) -> NDArray[np.float32]:
        """Held-out scores of the fitted logs' events, ascending; empty when nothing (or a single event) was fitted."""
        return self._reference

    def _surprises(self, rarity: NDArray[np.float32], gid: NDArray[np.float32]) -> tuple[Floats, Floats]:
        """−log p of both detectors' scores (N,), each among its held-out ones, or among its own where nothing is held out."""
        return tuple(  # type: ignore[return-value]
            nats_beyond(known if len(known) else scores, scores)
            for known, scores in ((self._rarity.reference_scores(), rarity), (self._gid.reference_scores(), gid))
        )

    def _score(self, log: EventLog) -> EventScores:
        far, rare = self._gid.score([log])[0], self._rarity.score([log])[0]
        shares = self._surprises(rare.scores, far.scores)
        scores = shares[0] + shares[1]
        correlation = self._correlation if len(self._reference) else _correlation(*shares)
        prepared = prepare(log.table, Vocabulary(), grow=True)
        total = lineage.gather_own(prepared.actors, prepared.alike, scores, top=ACTS)
        teller = story.Teller(prepared.table, prepared.actors, prepared.unit_of_event, scores, total)
        return EventScores(
            sample=log.name, scores=scores.astype(np.float32), rows=far.rows, entities=teller.entities(self.top),
            paths=self._together([*rare.paths, *far.paths], dict(zip(far.rows.tolist(), scores.tolist(), strict=True)), correlation),
            attribution={"rarity": shares[0].astype(np.float32), "paths": shares[1].astype(np.float32)}, notes=far.notes,
        )  # fmt: skip

    def _together(self, paths: Sequence[PathScore], nats: dict[int, float], correlation: float) -> tuple[PathScore, ...]:
        """The paths by the nats of their events, without variants of better ones."""
        summed = sorted(((sum(nats[row] for row in path.rows), path) for path in paths), key=lambda pair: -pair[0])
        told: list[set[int]] = []
        kept: list[PathScore] = []
        for total, path in summed:
            rows = set(path.rows)
            if len(kept) < self.top and not any(len(rows & other) >= SHARED * len(rows) for other in told):
                told.append(rows)
                kept.append(replace(path, score=deviations(total, correlation)))
        return tuple(kept)

    def save(self, path: Path) -> None:
        """Write both detectors and what was learned of them together to one .npz."""
        arrays: dict[str, NDArray[Any]] = {"reference": self._reference}
        with tempfile.TemporaryDirectory() as folder:
            for name, part in (("rarity", self._rarity), ("gid", self._gid)):
                part.save(Path(folder) / name)
                arrays[name] = np.frombuffer((Path(folder) / name).read_bytes(), dtype=np.uint8)
        save_arrays(
            path, name=self.spec.name, parameters=parameters(self), arrays=arrays, state={"correlation": self._correlation}
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        values, arrays, state = load_arrays(path, name=cls.spec.name)
        loaded = cls(**values)
        with tempfile.TemporaryDirectory() as folder:
            for name in ("rarity", "gid"):
                (Path(folder) / name).write_bytes(io.BytesIO(arrays[name].tobytes()).getbuffer())
            loaded._rarity, loaded._gid = Rarity.load(Path(folder) / "rarity"), Gid.load(Path(folder) / "gid")
        loaded._reference, loaded._correlation = arrays["reference"], float(state["correlation"])
        return loaded


def nats_beyond(held_out: NDArray[np.float32], scores: NDArray[np.float32]) -> Floats:
    """−log P(held-out score ≥ s) of scores (N,), in the last hundredth by an exponential tail, so that it goes on beyond the last.

    >>> held = np.arange(1000, dtype=np.float32)
    >>> nats_beyond(held, np.array([0, 500, 999, 1999], np.float32)).round(2).tolist()
    [0.0, 0.69, 5.86, 111.13]
    """
    ordered, values = np.sort(held_out.astype(np.float64)), scores.astype(np.float64)
    count = len(ordered)
    nats = np.log(count + 1.0) - np.log(count - np.searchsorted(ordered, values, side="left") + 1.0)
    tail = min(max(LEAST_TAIL, int(TAIL * count)), count)
    start = ordered[-tail]
    spread = float((ordered[-tail:] - start).mean())
    if spread <= 1e-9:  # nothing to fit a tail to: what is held out ends here
        return np.asarray(nats)
    beyond = values > start
    nats[beyond] = np.log(count + 1.0) - np.log(tail + 1.0) + (values[beyond] - start) / spread
    return np.asarray(nats)


def deviations(nats: float, correlation: float) -> float:
    """Standard deviations of a path whose events sum up to `nats`, as if it had MOST_EVENTS events (Brown 1975).

    >>> round(deviations(14.0, 0.0), 2), deviations(60.0, 0.0) > deviations(60.0, 0.7) > 3
    (0.09, True)
    """
    from scipy.special import gammaincc, gammaln
    from scipy.stats import norm

    scale = 1.0 + correlation
    shape, value = 2.0 * MOST_EVENTS / scale, nats / scale
    if value < 600.0:
        return float(norm.isf(gammaincc(shape, value)))
    log_tail = -value + (shape - 1.0) * np.log(value) - float(gammaln(shape))
    return float(np.sqrt(-2.0 * log_tail))  # what a normal tail comes to, far out


def _correlation(rare: Floats, far: Floats) -> float:
    """Correlation (0–1) of both surprises over events."""
    if len(rare) < 3 or rare.std() < 1e-9 or far.std() < 1e-9:
        return 0.0
    return float(np.clip(np.corrcoef(rare, far)[0, 1], 0.0, 1.0))
