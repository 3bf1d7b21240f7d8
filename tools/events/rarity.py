"""Rarity: events whose who–did–what–to-whom hardly occurs, judged with those who made the actor.

Each event gets the sum of the surprises of its attributes in context (tools.events.counts) plus the suspicion of the
process behind it (tools.events.lineage): an event is judged by itself and by who does it. With normal logs fitted, history is
what those say; without, each log is its own history and no actor vouches for itself.
Tables without process structure fall back to surprising pairs of attributes.
Sources: Katz 1987 (back-off); Chen et al., IJCAI 2016 (pairs of entities); Dong et al., CIKM 2017 (paths).
Scores are in nats, (N,) in the table's row order.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.archive import load_arrays, save_arrays
from core.detector import DetectorSpec, parameters, require_batch
from core.errors import BadInput
from core.progress import step
from core.samples import EventLog, Sample
from core.scores import EventScores
from tools.catalog import ROWS
from tools.events import counts, lineage, story
from tools.events.counts import Codes
from tools.events.history import MAX_FOLDS, MAX_UNITS, bounded, stretches, thinned
from tools.events.pairs import pair_surprise
from tools.events.prepare import COLUMNS, Prepared, Vocabulary, merge, plain_columns, prepare
from tools.events.tails import Tail

if TYPE_CHECKING:
    pass

FACTORS: tuple[counts.Factor, ...] = (
    counts.Factor(name="subject", values=("s0", "s1", "s2"), contexts=((),)),
    counts.Factor(name="operation given subject", values=("op",), contexts=(("s0",), ("s1",), ())),
    counts.Factor(
        name="object given subject, operation",
        values=("o0", "o1", "o2"),
        contexts=(("s0", "op"), ("s1", "op"), ("op",)),
    ),
    counts.Factor(
        name="parent given child", values=("s0", "s1", "s2"), contexts=(("o0",), ("o1",), ()), only_starts=True
    ),
)  # fmt: skip
LINEAGE = "who did it, and what made them"
LINEAGE_WEIGHT = 2.0
"""A process is judged by several acts, an event by one: the steadier judgement counts twice."""


class Rarity:
    """Score events by how rare they are and by the lineage of who does them; rank processes and chains.

    `inherit` is the share of suspicion a process keeps from its maker; `acts` how many distinct acts a process is judged by;
    `top` how many entities and paths are returned. Scores (N,) float32 in nats.

    Raises:
        BadInput: an empty batch, or something that is not an EventLog.

    >>> import polars as pl
    >>> log = EventLog(name="toy", roles={}, table=pl.DataFrame({
    ...     "row": range(1, 42), "time_s": [float(i) for i in range(41)], "subject": [f"w{i % 8}" for i in range(40)] + ["w1"],
    ...     "operation": ["read"] * 40 + ["erase"], "object": ["book"] * 40 + ["master key"]}))
    >>> int(Rarity().score([log])[0].scores.argmax())
    40
    """

    spec: DetectorSpec = next(row for row in ROWS if row.name == "rarity")

    def __init__(self, *, inherit: float = 0.9, acts: int = 8, top: int = 20, attributes: tuple[str, ...] = ()) -> None:
        if not 0.0 <= inherit < 1.0:
            raise BadInput(f"inherit={inherit!r}: expected a share of at least 0 and below 1.")
        if acts < 1 or top < 1:
            raise BadInput(f"acts={acts!r}, top={top!r}: expected at least 1 each.")
        self.inherit = inherit
        self.acts = acts
        self.top = top
        self.attributes = tuple(attributes)
        self._vocabulary = Vocabulary()
        self._history: counts.Units | None = None
        self._rows: dict[str, Codes] | None = None
        self._reference: NDArray[np.float32] = np.zeros(0, np.float32)
        self._tails: dict[str, Tail] = {}
        self._bulk: tuple[float, float] | None = None

    def fit(self, normal: Sequence[Sample]) -> Self:
        """Learn from normal logs; held-out scores come from leaving out logs (or stretches of a single log) in turn."""
        require_batch(normal, EventLog, "rarity")
        logs = [log for log in normal if isinstance(log, EventLog)]
        self._vocabulary, self._history, self._rows = Vocabulary(), None, None
        self._tails, self._bulk, self._reference = {}, None, np.zeros(0, np.float32)
        columns = plain_columns(logs[0], self.attributes)
        if columns:
            self._fit_table(logs, columns)
        else:
            self._fit_acts(logs)
        return self

    def _fit_acts(self, logs: Sequence[EventLog]) -> None:
        parts = [prepare(table, self._vocabulary, grow=True) for table in stretches([log.table for log in logs])]
        self._history = _history_of([part.units for part in parts])
        if len(parts) < 2:
            return
        folds = min(MAX_FOLDS, len(parts))
        held_out: dict[int, Surprises] = {}
        for fold in range(folds):
            rest = _history_of([p.units for i, p in enumerate(parts) if i % folds != fold])
            for index in range(fold, len(parts), folds):
                step("held-out logs", len(held_out), len(parts))
                held_out[index] = _surprises(parts[index], rest)
        self._tails = _learn_tails([(parts[index], found) for index, found in held_out.items()])
        judged = [(parts[index], self._judge(parts[index], found, self._tails)) for index, found in held_out.items()]
        self._reference = thinned(np.concatenate([j.scores for _, j in judged]).astype(np.float32))
        self._bulk = _mean_spread(np.concatenate([j.scores[part.first_events] for part, j in judged]))

    def _fit_table(self, logs: Sequence[EventLog], columns: Sequence[str]) -> None:
        import polars as pl

        whole = pl.concat([log.table.select(pl.col(list(columns)).cast(pl.String).fill_null("")) for log in logs])
        whole = whole.gather_every(max(1, -(-whole.height // MAX_UNITS)))
        self._rows = {c: self._vocabulary.encode(c, whole[c], grow=True) for c in columns}
        codes = list(self._rows.values())
        self._reference = thinned(pair_surprise(codes, codes, leave_own_out=True).sum(axis=0).astype(np.float32))

    def score(self, batch: Sequence[Sample]) -> Sequence[EventScores]:
        """Score logs one by one, each against the fitted history, or against itself when nothing was fitted."""
        require_batch(batch, EventLog, "rarity")
        results = []
        for done, log in enumerate(batch):
            step("event logs", done, len(batch))
            assert isinstance(log, EventLog)
            columns = tuple(self._rows) if self._rows is not None else plain_columns(log, self.attributes)
            if columns and self._history is None:
                results.append(self._score_table(log, columns))
            else:
                results.append(self._score_acts(log))
        return results

    def reference_scores(self) -> NDArray[np.float32]:
        """Held-out scores of the fitted logs' events, ascending; empty when nothing (or a single event) was fitted."""
        return self._reference

    def _judge(self, log: Prepared, surprises: Surprises, tails: dict[str, Tail]) -> _Judged:
        of_event = log.unit_of_event
        shares = {name: tails[name].convert(values) for name, values in surprises.items()}
        for factor in FACTORS:
            if factor.only_starts:
                shares[factor.name] = np.where(log.units.starts, shares[factor.name], 0.0)
        shares = {name: values[of_event] for name, values in shares.items()}
        own = np.sum(list(shares.values()), axis=0)
        of_actor = lineage.gather_own(log.actors, log.alike, own, top=self.acts)
        suspicion = lineage.hand_down(of_actor, log.links, keep=self.inherit)
        shares[LINEAGE] = LINEAGE_WEIGHT * lineage.context(suspicion, log.actors, log.time_s)
        return _Judged(shares=shares, own=own, scores=own + shares[LINEAGE], suspicion=suspicion)

    def _score_acts(self, log: EventLog) -> EventScores:
        fitted = self._history is not None
        vocabulary = self._vocabulary if fitted else Vocabulary()
        prepared = prepare(log.table, vocabulary, grow=not fitted)
        surprises = _surprises(prepared, self._history)
        judged = self._judge(prepared, surprises, self._tails or _learn_tails([(prepared, surprises)]))
        centre, spread = self._bulk or _mean_spread(judged.scores[prepared.first_events])
        total = judged.suspicion.total
        teller = story.Teller(prepared.table, prepared.actors, prepared.unit_of_event, judged.own, total)
        chains = lineage.find_chains(
            prepared.actors, prepared.links, judged.suspicion, (judged.scores - centre) / spread,
            teller.endings(lineage.CANDIDATES * self.top), prepared.alike, most=self.top,
        )  # fmt: skip
        return EventScores(
            sample=log.name,
            scores=judged.scores.astype(np.float32),
            rows=log.table["row"].cast(int).to_numpy().astype(np.int64),
            entities=teller.entities(self.top),
            paths=teller.paths(chains),
            attribution={name: share.astype(np.float32) for name, share in judged.shares.items()},
        )

    def _score_table(self, log: EventLog, columns: Sequence[str]) -> EventScores:
        import polars as pl

        missing = [c for c in columns if c not in log.table.columns]
        if missing:
            raise BadInput(f"events {log.name!r}: expected the columns {missing} of the normal log, got {log.table.columns}.")
        fitted = self._rows is not None
        vocabulary = self._vocabulary if fitted else Vocabulary()
        codes = [vocabulary.encode(c, log.table[c].cast(pl.String).fill_null(""), grow=not fitted) for c in columns]
        history = list(self._rows.values()) if self._rows is not None else codes
        shares = pair_surprise(history, codes, leave_own_out=not fitted)
        scores = shares.sum(axis=0).astype(np.float32)
        return EventScores(
            sample=log.name,
            scores=scores,
            rows=log.table["row"].cast(int).to_numpy().astype(np.int64),
            attribution={c.removeprefix("attr:"): s.astype(np.float32) for c, s in zip(columns, shares, strict=True)},
        )

    def save(self, path: Path) -> None:
        """Write parameters, vocabulary and counted units to one .npz."""
        arrays: dict[str, NDArray[Any]] = {"reference": self._reference}
        arrays["vocabulary"] = np.frombuffer(json.dumps(self._vocabulary.as_lists()).encode(), dtype=np.uint8)
        if self._history is not None:
            arrays |= {f"unit:{c}": codes.astype(np.int32) for c, codes in self._history.columns.items()}
            arrays |= {"actor": self._history.actor, "mass": self._history.mass, "starts": self._history.starts}
        if self._rows is not None:
            arrays |= {f"row:{c}": codes.astype(np.int32) for c, codes in self._rows.items()}
        for number, factor in enumerate(FACTORS if self._tails else ()):
            tail = self._tails[factor.name]
            arrays |= {f"tail:{number}:surprise": tail.surprise, f"tail:{number}:nats": tail.nats}
        save_arrays(path, name="rarity", parameters=parameters(self), arrays=arrays, state={"bulk": self._bulk})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        values, arrays, state = load_arrays(path, name="rarity")
        loaded = cls(**values)
        loaded._reference = arrays["reference"]
        loaded._vocabulary = Vocabulary.of_lists(json.loads(arrays["vocabulary"].tobytes().decode()))
        loaded._bulk = (float(state["bulk"][0]), float(state["bulk"][1])) if state["bulk"] else None
        if "actor" in arrays:
            loaded._history = counts.Units(
                columns={c: arrays[f"unit:{c}"].astype(np.int64) for c in COLUMNS},
                actor=arrays["actor"], mass=arrays["mass"], starts=arrays["starts"],
            )  # fmt: skip
        if "tail:0:nats" in arrays:
            loaded._tails = {
                factor.name: Tail(surprise=arrays[f"tail:{number}:surprise"], nats=arrays[f"tail:{number}:nats"])
                for number, factor in enumerate(FACTORS)
            }
        rows = {name[4:]: codes.astype(np.int64) for name, codes in arrays.items() if name.startswith("row:")}
        loaded._rows = rows or None
        return loaded


@dataclass(frozen=True, kw_only=True, eq=False)
class _Judged:
    shares: dict[str, NDArray[np.float64]]
    own: NDArray[np.float64]
    scores: NDArray[np.float64]
    suspicion: lineage.Suspicion


Surprises: TypeAlias = dict[str, NDArray[np.float64]]
"""Factor name → surprise of each unit."""


def _surprises(log: Prepared, history: counts.Units | None) -> Surprises:
    """What each factor counts for `log`'s units, in `history` or, without one, among the log's other actors."""
    found: Surprises = {}
    for factor in FACTORS:
        step("attributes", len(found), len(FACTORS))
        found[factor.name] = counts.surprise(
            log.units if history is None else history, log.units, factor, leave_own_out=history is None
        )
    return found


def _learn_tails(held_out: Sequence[tuple[Prepared, Surprises]]) -> dict[str, Tail]:
    """Per factor, how surprising held-out events are; each event counts, so that a rate is a rate of events."""
    tails = {}
    for factor in FACTORS:
        values = []
        for log, surprises in held_out:
            judged = log.units.starts[log.unit_of_event] if factor.only_starts else slice(None)
            values.append(surprises[factor.name][log.unit_of_event][judged])
        tails[factor.name] = Tail.of(np.concatenate(values))
    return tails


def _history_of(parts: Sequence[counts.Units]) -> counts.Units:
    units = merge(parts)
    return units.take(bounded(units))


def _mean_spread(scores: NDArray[np.float64]) -> tuple[float, float]:
    return float(scores.mean()), max(float(scores.std()), 1e-6)
