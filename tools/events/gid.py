"""GID: events at the end of unusual chains of information flow, judged as whole paths through a graph of who flows to whom.

Events become a compact graph of flows between processes, files, addresses and so on (tools.events.flows). A flow is as likely
as how usual its sender is, times how usual the transition, times how usual the receiver (tools.events.factors); a path as the
product of its flows. −log of that product is put on one scale for all lengths (tools.events.lengths), and each event is
judged by the strangest time-ordered path that ends with it (tools.events.paths): what led to whoever did it, and the deed itself.
With normal logs fitted, history is what those say; without, each log is its own history, no process vouches for itself, and the
scale is taken from the log's middle.
Sources: Dong et al., CIKM 2017 "Efficient discovery of abnormal event sequences" (GID); Box & Cox 1964; Katz 1987 (back-off).
Scores are in nats, (N,) in the table's row order: those of a single flow that would be as strange as the path.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from core.archive import load_arrays, save_arrays
from core.detector import DetectorSpec, parameters, require_batch
from core.errors import BadInput, NotFitted
from core.progress import step
from core.samples import EventLog, Sample
from core.scores import EventScores, PathScore
from tools.catalog import ROWS
from tools.events import lineage, story
from tools.events.counts import Units
from tools.events.factors import History, Nats, as_probabilities, learn_tails, nats_among_itself
from tools.events.flows import LABELS, Flows, compact
from tools.events.history import MAX_FOLDS, stretches, thinned
from tools.events.lengths import Length, fit_lengths
from tools.events.path_scores import (
    Weighed,
    alike,
    by_length,
    from_the_start,
    judge,
    strangest,
    tell,
    to_the_end,
    weigh,
    with_actors,
)
from tools.events.paths import MOST_LENGTH
from tools.events.patterns import read_patterns
from tools.events.prepare import Vocabulary, plain_columns
from tools.events.tails import Tail

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ACTS = 8
"""Distinct acts a process is ranked by."""


class Gid:
    """Score events by the strangest path of information flow that ends with each; rank processes and paths.

    `length` is the most flows a path has; `patterns` lists type sequences such as "socket>process>file" that paths must follow,
    by default the types decide; `slack_s` is by how many seconds clocks of different hosts may disagree; `top` how many entities and
    paths are returned. Scores (N,) float32 in nats; path scores in standard deviations above normal paths.

    Raises:
        BadInput: an empty batch, something that is not an EventLog, or a table without who, did what and to what.

    >>> import polars as pl
    >>> log = EventLog(name="toy", roles={}, table=pl.DataFrame({
    ...     "row": range(1, 43), "time_s": [float(i) for i in range(42)], "subject": [f"w{i % 8}" for i in range(40)] + ["w1", "imp"],
    ...     "operation": ["read"] * 40 + ["start", "write"], "object": ["book"] * 40 + ["imp", "master key"]}))
    >>> found = Gid().score([log])[0]
    >>> int(found.scores.argmax()), found.paths[0].steps
    (41, ('w1 started imp', 'imp wrote "master key"'))
    """

    spec: DetectorSpec = next(row for row in ROWS if row.name == "gid")

    def __init__(self, *, length: int = 5, patterns: tuple[str, ...] = (), slack_s: float = 0.0, top: int = 20) -> None:
        if not 1 <= length <= MOST_LENGTH:
            raise BadInput(f"length={length!r}: expected 1 to {MOST_LENGTH} flows.")
        if top < 1:
            raise BadInput(f"top={top!r}: expected at least 1.")
        if not 0.0 <= slack_s < float("inf"):
            raise BadInput(f"slack_s={slack_s!r}: expected a number of seconds, 0 or more.")
        self.length = length
        self.patterns = tuple(patterns)
        self.slack_s = slack_s
        self.top = top
        self._patterns = read_patterns(self.patterns)
        longest = max((len(pattern) - 1 for pattern in self._patterns), default=1)
        if longest > length:
            raise BadInput(f"patterns={self.patterns!r}, length={length!r}: expected a length of at least {longest} flows.")
        self._vocabulary = Vocabulary()
        self._history: History | None = None
        self._tails: dict[str, Tail] = {}
        self._lengths: tuple[Length, ...] = ()
        self._reference: NDArray[np.float32] = np.zeros(0, np.float32)

    def fit(self, normal: Sequence[Sample]) -> Self:
        """Learn from normal logs; probabilities and the scale of lengths come from logs (or stretches of a single one) left out in turn."""
        require_batch(normal, EventLog, "gid")
        logs = [log for log in normal if isinstance(log, EventLog)]
        for log in logs:
            _refuse_plain(log)
        vocabulary = Vocabulary()
        parts = [compact(table.lazy(), vocabulary, grow=True) for table in stretches([log.table for log in logs])]
        self._vocabulary, self._history = vocabulary, History.learn(parts)
        self._tails, self._lengths, self._reference = {}, (), np.zeros(0, np.float32)
        folds = min(MAX_FOLDS, len(parts))
        held_out: dict[int, Nats] = {0: nats_among_itself(parts[0])} if folds < 2 else {}
        for fold in range(folds if folds > 1 else 0):
            rest = History.learn([part for i, part in enumerate(parts) if i % folds != fold])
            for index in range(fold, len(parts), folds):
                step("held-out logs", len(held_out), len(parts))
                held_out[index] = rest.nats(parts[index])
        self._tails = learn_tails([(parts[index], nats) for index, nats in held_out.items()])
        weighed = {index: self._weigh(parts[index], nats, self._tails) for index, nats in held_out.items()}
        self._lengths = fit_lengths(by_length([(parts[index], found) for index, found in weighed.items()]))
        scores = [
            judge(parts[index], found, self._lengths).scores[parts[index].moment_of_event] for index, found in weighed.items()
        ]
        self._reference = thinned(np.concatenate(scores).astype(np.float32))
        return self

    def score(self, batch: Sequence[Sample]) -> Sequence[EventScores]:
        """Score logs one by one, each against the fitted history, or against itself when nothing was fitted."""
        require_batch(batch, EventLog, "gid")
        results = []
        for done, log in enumerate(batch):
            step("event logs", done, len(batch))
            assert isinstance(log, EventLog)
            _refuse_plain(log)
            results.append(self._score(log))
        return results

    def reference_scores(self) -> NDArray[np.float32]:
        """Held-out scores of the fitted logs' events, ascending; empty when nothing was fitted."""
        return self._reference

    def rank_paths(self, frame: pl.LazyFrame) -> tuple[PathScore, ...]:
        """The strangest paths of a log that need not fit in memory: a lazy table with the columns of `EventLog.table`.

        Only columns that matter are read, in one pass; then the rows of the paths that are told. Rows are numbered from 1 in table order.
        """
        flows, weighed, lengths, _ = self._look(frame, events=False)
        chains = strangest(flows, weighed.search, lengths, alike(flows), most=self.top)
        events = sorted({event for chain in chains for event in chain.events})
        import polars as pl

        index = pl.int_range(pl.len(), dtype=pl.UInt32).alias("index")
        table = frame.with_columns(index).filter(pl.col("index").is_in(events)).collect().sort("index")
        return tell(chains, events, table.with_columns((pl.col("index").cast(pl.Int64) + 1).alias("row")).drop("index"))

    def _look(self, frame: pl.LazyFrame, *, events: bool) -> tuple[Flows, Weighed, tuple[Length, ...], tuple[str, ...]]:
        """A log's graph with the weight of its flows, the scale of lengths, and what has to be said about both."""
        if self._history is not None:
            flows = compact(frame, self._vocabulary, grow=False, events=events)
            weighed, lengths, notes = self._weigh(flows, self._history.nats(flows), self._tails), self._lengths, []
            if not self._history.roles.converged:
                notes.append("Sender and receiver scores had not settled when they were taken; paths may be ranked less well.")
        else:
            flows = compact(frame, Vocabulary(), grow=True, events=events)
            nats = nats_among_itself(flows)
            tails = learn_tails([(flows, nats)], by_event=False)
            weighed = self._weigh(flows, nats, tails)
            lengths = fit_lengths(by_length([(flows, weighed)]), robust=True)
            notes = ["No history was given: the log itself says what is common, and no process vouches for itself."]
        return flows, weighed, lengths, tuple(notes)

    def weigh_new(self, flows: Flows, new: NDArray[np.bool_]) -> tuple[Weighed, tuple[Length, ...]]:
        """Weigh by the fitted history, looking only for paths that end at the `new` moments (M,), and the scale of lengths.

        Raises:
            NotFitted: there is no history.
        """
        if self._history is None:
            raise NotFitted("'gid': a stream is judged by a history; call fit(normal) with normal logs first.")
        return self._weigh(flows, self._history.nats(flows), self._tails, ends=new), self._lengths

    def known_words(self) -> Vocabulary:
        """A copy of the fitted vocabulary, to be grown with words that history never saw."""
        return Vocabulary(dict(self._vocabulary.tables))

    def _weigh(self, flows: Flows, nats: Nats, tails: dict[str, Tail], *, ends: NDArray[np.bool_] | None = None) -> Weighed:
        shares = as_probabilities(flows, nats, tails)
        return weigh(flows, shares, self.length, self._patterns, slack_s=self.slack_s, ends=ends)

    def _score(self, log: EventLog) -> EventScores:
        flows, weighed, lengths, notes = self._look(log.table.lazy(), events=True)
        judged = judge(flows, weighed, lengths)
        at = flows.moment_of_event
        scores = judged.scores[at]
        actors = lineage.find_actors(log.table)
        same = alike(flows, at)
        total = lineage.gather_own(actors, same, scores, top=ACTS)
        teller = story.Teller(log.table, actors, flows.edge[at], scores, total)
        chains = strangest(flows, weighed.search, lengths, same, most=self.top)
        if weighed.search.paths.gave_up:
            notes = (*notes, "There are too many paths to look at all of them; some of the strangest may not be shown.")
        endings = teller.endings(lineage.CANDIDATES * self.top)
        times, links = flows.times[at], lineage.find_links(log.table, actors)
        told = [from_the_start(to_the_end(with_actors(chain, actors), endings, times), actors, links, times) for chain in chains]
        return EventScores(
            sample=log.name,
            scores=scores.astype(np.float32),
            rows=log.table["row"].cast(int).to_numpy().astype(np.int64),
            entities=teller.entities(self.top),
            paths=teller.paths(told),
            attribution={name: share[at].astype(np.float32) for name, share in judged.shares.items()},
            notes=notes,
        )

    def save(self, path: Path) -> None:
        """Write parameters, vocabulary and counted flows to one .npz."""
        arrays: dict[str, NDArray[Any]] = {"reference": self._reference}
        arrays["vocabulary"] = np.frombuffer(json.dumps(self._vocabulary.as_lists()).encode(), dtype=np.uint8)
        if self._history is not None:
            units = self._history.units
            arrays |= {f"unit:{c}": codes.astype(np.int32) for c, codes in units.columns.items()}
            arrays |= {"actor": units.actor, "mass": units.mass, "starts": units.starts, "kind": self._history.kind}
        for number, tail in enumerate(self._tails.values()):
            arrays |= {f"tail:{number}:surprise": tail.surprise, f"tail:{number}:nats": tail.nats}
        lengths = [[one.exponent, one.centre, one.spread] for one in self._lengths]
        state = {"lengths": lengths, "tails": list(self._tails)}
        save_arrays(path, name="gid", parameters=parameters(self), arrays=arrays, state=state)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        values, arrays, state = load_arrays(path, name="gid")
        loaded = cls(**values)
        loaded._reference = arrays["reference"]
        loaded._vocabulary = Vocabulary.of_lists(json.loads(arrays["vocabulary"].tobytes().decode()))
        loaded._lengths = tuple(Length(exponent=e, centre=c, spread=s) for e, c, s in state["lengths"])
        if "actor" in arrays:
            units = Units(
                columns={c: arrays[f"unit:{c}"].astype(np.int64) for c in LABELS},
                actor=arrays["actor"], mass=arrays["mass"], starts=arrays["starts"],
            )  # fmt: skip
            loaded._history = History.of(units, arrays["kind"])
        loaded._tails = {
            name: Tail(surprise=arrays[f"tail:{number}:surprise"], nats=arrays[f"tail:{number}:nats"])
            for number, name in enumerate(state["tails"])
        }
        return loaded


def _refuse_plain(log: EventLog) -> None:
    """Nothing flows in a table that only has attributes."""
    columns = plain_columns(log, ())
    if columns:
        raise BadInput(
            f"gid: events {log.name!r} do not say who did what to what (expected a subject, an operation and an object that vary; "
            f"got {', '.join(columns)}). Use the detector 'rarity', which judges such tables by pairs of attributes."
        )
