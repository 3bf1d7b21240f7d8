"""Sequences of events that take an unusual course: what comes next is counted, or learned by a small network, or both.

Sources: Forrest et al. (S&P 1996) for the question, Kneser & Ney (ICASSP 1995) for the answer (`tools.events.ngrams`), Du et al.,
DeepLog (CCS 2017) for the network (`models.next_event`). Every event gets the surprise of coming where it comes, −log P(event | those
before it in its sequence); a sequence is judged by the mean over its events, pulled towards the usual mean as if `order` usual events
came with it, and shown by the stretch that surprises most. The order of 12 was chosen by the likelihood of held-out normal traces of
ADFA-LD, of which longer ones gain less than one percent.
With normal logs fitted, references come from logs (or sequences) left out in turn. Without, every sequence is judged by the others
of its log, so that none vouches for itself.
Axes: scores (N,) in nats per event, in the table's row order.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from core.archive import load_arrays, save_arrays
from core.calibrate import robust_bulk
from core.detector import DetectorSpec, parameters, require_batch
from core.errors import BadInput
from core.progress import step
from core.samples import EventLog, Sample
from core.scores import EntityScore, EventScores, PathScore
from tools.catalog import ROWS
from tools.events.courses import Courses, counted_labels, cut, find_courses
from tools.events.ngrams import NGrams
from tools.events.prepare import Vocabulary
from tools.events.wording import FULL, clean  # fmt: skip
from tools.events.wording import step as say_step

if TYPE_CHECKING:
    from models.next_event import NextEvent

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FOLDS, NETWORK_FOLDS = 5, 2
FEW = 4
"""With fewer sequences per part than this, sequences are cut into pieces."""
STRETCH = 8
"""Events of the stretch that is shown of a sequence."""
FEWEST_EVENTS = 10
MAX_EVENTS = 5_000_000
MAX_REFERENCES = 200_000
SHOWN_BEFORE = 4
MODELS = ("counts", "network", "both")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Model:
    counts: NGrams | None
    network: NextEvent | None


class Sequences:
    """Score events by how unexpectedly they follow those before them; rank sequences and show their most surprising stretch.

    Args:
        order: how many events in a row are counted at most.
        model: "counts", "network" (a GRU) or "both" (the mean of their probabilities).
        group: the column that tells sequences apart; "": process or session ids, else the subject.
        token: the column that says what an event is; "": the operation, with the kind of object where there is one.
        width, steps, seed: of the network.
        top: how many sequences are returned.

    Scores (N,) float32 in nats. Raises BadInput on an empty batch, on anything that is no EventLog, on logs of fewer than ten events to
    learn from, and where nothing says what the events are.

    >>> import polars as pl
    >>> calls = ["open", "read", "close"] * 20 + ["open", "close", "read", "read"] + ["open", "read", "close"] * 20
    >>> log = EventLog(name="toy", roles={}, table=pl.DataFrame({
    ...     "row": range(1, 125), "time_s": [float(i) for i in range(124)], "operation": calls, "object": [""] * 124,
    ...     "subject": ["a"] * 30 + ["b"] * 34 + ["c"] * 60}))
    >>> found = Sequences(order=3).score([log])[0]
    >>> found.paths[0].entities, found.reasons[62]
    (('b',), '"close" right after "open", which was never seen')
    """

    spec: DetectorSpec = next(row for row in ROWS if row.name == "sequences")

    def __init__(
        self, *, order: int = 12, model: str = "counts", group: str = "", token: str = "", width: int = 64, steps: int = 600,
        seed: int = 0, top: int = 20,
    ) -> None:  # fmt: skip
        if min(order, width, steps, top) < 1:
            raise BadInput(f"order={order!r}, width={width!r}, steps={steps!r}, top={top!r}: expected at least 1 each.")
        if model not in MODELS:
            raise BadInput(f"model={model!r}: expected {', '.join(map(repr, MODELS))}.")
        self.order = order
        self.model = model
        self.group = group
        self.token = token
        self.width = width
        self.steps = steps
        self.seed = seed
        self.top = top
        self._vocabulary: Vocabulary | None = None
        self._learned: _Model | None = None
        self._reference: NDArray[np.float32] = np.zeros(0, np.float32)
        self._usual: tuple[float, float, float] | None = None

    def fit(self, normal: Sequence[Sample]) -> Self:
        """Learn from normal logs; held-out scores come from leaving out logs (or sequences of a single log) in turn."""
        require_batch(normal, EventLog, "sequences")
        courses = [self._courses(log) for log in normal if isinstance(log, EventLog)]
        vocabulary = Vocabulary()
        tokens, starts = self._joined(courses, vocabulary)
        group = np.repeat(np.arange(len(courses)), [len(c.index) for c in courses]) if len(courses) > 1 else None
        nats, _, pieces = self._held_out(tokens, starts, group, size=len(vocabulary.tables["token"]))
        self._learned = self._learn(tokens, starts, len(vocabulary.tables["token"]))
        self._vocabulary = vocabulary
        self._reference = _thinned(np.sort(nats.astype(np.float32)))
        self._usual = self._typical(nats, pieces, robust=False)
        return self

    def score(self, batch: Sequence[Sample]) -> Sequence[EventScores]:
        """Score logs one by one, each by what was fitted, or each sequence by the others of its log."""
        require_batch(batch, EventLog, "sequences")
        results = []
        for done, log in enumerate(batch):
            step("event logs", done, len(batch))
            assert isinstance(log, EventLog)
            if self._vocabulary is not None and self._learned is not None and self._usual is not None:
                courses = find_courses(log, group=self.group, token=self.token)
                tokens = self._vocabulary.encode("token", courses.labels, grow=False)
                nats, seen = _judge(self._learned, tokens, courses.starts)
                usual = self._usual
            else:
                courses = self._courses(log)
                vocabulary = Vocabulary()
                tokens, starts = self._joined([courses], vocabulary)
                nats, seen, pieces = self._held_out(tokens, starts, None, size=len(vocabulary.tables["token"]))
                usual = self._typical(nats, pieces, robust=True)
            results.append(self._told(log, courses, nats, seen, usual))
        return results

    def reference_scores(self) -> NDArray[np.float32]:
        """Held-out scores of the fitted logs' events, ascending; empty before `fit`."""
        return self._reference

    def _courses(self, log: EventLog) -> Courses:
        """Sequences to learn from."""
        courses = find_courses(log, group=self.group, token=self.token)
        if len(courses.index) < FEWEST_EVENTS:
            raise BadInput(
                f"'sequences' {log.name!r}: expected at least {FEWEST_EVENTS} events to learn from, got {len(courses.index)}; give more."
            )
        if courses.labels.n_unique() < 2:
            raise BadInput(
                f"'sequences' {log.name!r}: expected events of two kinds or more, got only {clean(str(courses.labels[0]), 60)!r}."
            )
        return courses

    def _joined(self, courses: Sequence[Courses], vocabulary: Vocabulary) -> tuple[Ints, NDArray[np.bool_]]:
        """Codes and starts of all sequences end to end; the vocabulary learns their tokens."""
        vocabulary.encode("token", counted_labels([c.labels for c in courses]), grow=True)
        tokens = np.concatenate([vocabulary.encode("token", c.labels, grow=False) for c in courses])
        return tokens, np.concatenate([c.starts for c in courses])

    def _learn(self, tokens: Ints, starts: NDArray[np.bool_], size: int) -> _Model:
        if len(tokens) > MAX_EVENTS:  # whole sequences, evenly over the history
            every = -(-len(tokens) // MAX_EVENTS)
            kept = (np.cumsum(starts) - 1) % every == 0
            tokens, starts = tokens[kept], starts[kept]
        counts = NGrams(order=self.order, vocabulary=size).fit(tokens, starts) if self.model != "network" else None
        network = None
        if self.model != "counts":
            from models.next_event import NextTraining, train_next

            whole = np.split(tokens, np.flatnonzero(starts)[1:])
            checked = [s for i, s in enumerate(whole) if i % 10 == 9]
            rest = [s for i, s in enumerate(whole) if i % 10 != 9]
            network = train_next(rest, checked, size, NextTraining(width=self.width, steps=self.steps, seed=self.seed))
        return _Model(counts=counts, network=network)

    def _held_out(
        self, tokens: Ints, starts: NDArray[np.bool_], group: Ints | None, *, size: int
    ) -> tuple[Floats, Ints, NDArray[np.bool_]]:
        """(nats, seen, where judged pieces start): each piece judged by what the others teach; few sequences are cut into pieces."""
        folds = FOLDS if self.model == "counts" else NETWORK_FOLDS
        pieces, fold = starts, (np.cumsum(starts) - 1) % folds
        if group is not None:
            fold = group % folds
        elif starts.sum() < FEW * folds:  # each has its own habits: every one is cut, and judged by its other pieces too
            pieces, fold = cut(np.diff(np.append(np.flatnonzero(starts), len(starts))), folds)
        nats, seen = np.zeros(len(tokens)), np.zeros(len(tokens), np.int64)
        for f in range(folds):
            step("held-out parts", f, folds)
            asked, rest = fold == f, fold != f
            if not asked.any() or not rest.any():
                continue
            learned = self._learn(tokens[rest], pieces[rest] | _jumps(rest), size)
            nats[asked], seen[asked] = _judge(learned, tokens[asked], pieces[asked] | _jumps(asked))
        return nats, seen, pieces

    def _typical(self, nats: Floats, starts: NDArray[np.bool_], *, robust: bool) -> tuple[float, float, float]:
        """(usual nats per event, centre and spread of sequences' means); with normals the spread is that of the upper half."""
        middle = float(nats.mean()) if not robust else float(np.median(_means(nats, starts, 0.0, 0)))
        means = _means(nats, starts, middle, self.order)
        centre, spread = robust_bulk(means)
        if not robust and len(means) >= 40:
            spread = max(spread, (float(np.quantile(means, 0.975)) - centre) / 1.96)
        return middle, centre, max(spread, 1e-3)

    def _told(self, log: EventLog, courses: Courses, nats: Floats, seen: Ints, usual: tuple[float, float, float]) -> EventScores:
        middle, centre, spread = usual
        z = (_means(nats, courses.starts, middle, self.order) - centre) / spread
        scores = np.empty(len(nats), np.float32)
        scores[courses.index] = nats
        rows = log.table["row"].cast(int).to_numpy().astype(np.int64)
        firsts, lengths = np.flatnonzero(courses.starts), courses.lengths
        entities, paths, reasons = [], [], dict[int, str]()
        for s in np.argsort(-z, kind="stable")[: self.top].tolist():
            begin, end = _stretch(nats[firsts[s] : firsts[s] + lengths[s]])
            where = np.arange(firsts[s] + begin, firsts[s] + end)
            told = tuple(int(rows[courses.index[i]]) for i in where)
            worst = int(where[np.argmax(nats[where])])
            reasons[int(rows[courses.index[worst]])] = self._reason(courses, worst, int(seen[worst]), int(worst - firsts[s]))
            entities.append(EntityScore(entity=courses.names[s], score=float(z[s]), rows=told, n_events=int(lengths[s])))
            said = tuple(_words(log, int(courses.index[i])) for i in where)
            paths.append(PathScore(score=float(z[s]), entities=(courses.names[s],), rows=told, steps=said))
        return EventScores(
            sample=log.name, scores=scores, rows=rows, entities=tuple(entities), paths=tuple(paths), reasons=reasons,
            attribution={"what came before it": scores}, compared=len(courses.names),
        )  # fmt: skip

    def _reason(self, courses: Courses, at: int, seen: int, place: int) -> str:
        """What is odd about an event, by the shortest stretch that was never seen, or by its rarity."""
        what = f'"{clean(str(courses.labels[at]), 80)}"'
        if seen == 0 and self.model != "network":
            return f"{what}, which was never seen at all"
        back = min(seen, place, SHOWN_BEFORE)
        before = ", ".join(f'"{clean(str(courses.labels[i]), 60)}"' for i in range(at - back, at))
        behind = f" right after {before}" if back else " at the start of a sequence"
        return f"{what}{behind}, which {'was never seen' if seen <= min(place, SHOWN_BEFORE) and self.model != 'network' else 'is rare'}"

    def save(self, path: Path) -> None:
        """Write parameters, vocabulary, counts and network to one .npz."""
        arrays: dict[str, NDArray[Any]] = {"reference": self._reference}
        if self._vocabulary is not None and self._learned is not None:
            arrays["vocabulary"] = np.frombuffer(json.dumps(self._vocabulary.as_lists()).encode(), dtype=np.uint8)
            if self._learned.counts is not None:
                arrays |= {f"count:{name}": value for name, value in self._learned.counts.as_arrays().items()}
            if self._learned.network is not None:
                arrays |= {f"network:{name}": value.numpy() for name, value in self._learned.network.state_dict().items()}
        save_arrays(path, name="sequences", parameters=parameters(self), arrays=arrays, state={"usual": self._usual})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        values, arrays, state = load_arrays(path, name="sequences")
        loaded = cls(**values)
        loaded._reference = arrays["reference"]
        if "vocabulary" not in arrays:
            return loaded
        loaded._vocabulary = Vocabulary.of_lists(json.loads(arrays["vocabulary"].tobytes().decode()))
        loaded._usual = (float(state["usual"][0]), float(state["usual"][1]), float(state["usual"][2]))
        size = len(loaded._vocabulary.tables["token"])
        counted = {name[6:]: value for name, value in arrays.items() if name.startswith("count:")}
        counts = NGrams.of_arrays(counted, order=loaded.order, vocabulary=size) if counted else None
        network = None
        weights = {name[8:]: value for name, value in arrays.items() if name.startswith("network:")}
        if weights:
            import torch

            from models.next_event import NextEvent

            network = NextEvent(size, width=loaded.width)
            network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
            network.eval()
        loaded._learned = _Model(counts=counts, network=network)
        return loaded


def _judge(model: _Model, tokens: Ints, starts: NDArray[np.bool_]) -> tuple[Floats, Ints]:
    """Surprise of each event and how many in a row were seen before; with both models, of the mean of their probabilities."""
    nats, seen = np.zeros(len(tokens)), np.zeros(len(tokens), np.int64)
    if model.counts is not None:
        nats, seen = model.counts.judge(tokens, starts)
    if model.network is not None:
        from models.next_event import next_surprises

        learned = np.concatenate(next_surprises(model.network, np.split(tokens, np.flatnonzero(starts)[1:])))
        nats = learned if model.counts is None else np.log(2.0) - np.logaddexp(-nats, -learned)
    return nats, seen


def _jumps(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Among the chosen events: those before which something was left out, so that nothing is learned across the gap."""
    where = np.flatnonzero(mask)
    return np.concatenate([[True], np.diff(where) > 1])


def _means(nats: Floats, starts: NDArray[np.bool_], usual: float, weight: int) -> Floats:
    """Mean surprise of each sequence (S,), as if `weight` usual events came with it."""
    of = np.cumsum(starts) - 1
    return np.asarray((np.bincount(of, weights=nats) + weight * usual) / (np.bincount(of) + weight))


def _stretch(nats: Floats) -> tuple[int, int]:
    """Begin and end of the STRETCH events that surprise most together.

    >>> _stretch(np.array([0.0] * 20 + [5.0] * 4 + [0.0] * 20))
    (16, 24)
    """
    size = min(STRETCH, len(nats))
    total = np.concatenate([[0.0], np.cumsum(nats)])
    sums = np.round(total[size:] - total[:-size], 9)
    begin = int(sums.argmax())
    return begin, begin + size


def _words(log: EventLog, index: int) -> str:
    table = log.table
    value = {
        c: str(table[c][index] or "") if c in table.columns else ""
        for c in ("operation", "subject", "object", "detail", "object_type")
    }
    return say_step(value["operation"], value["subject"], value["object"], value["detail"], value["object_type"], limit=FULL)


def _thinned(ordered: NDArray[np.float32]) -> NDArray[np.float32]:
    """At most MAX_REFERENCES of ascending scores, by evenly spaced ranks, both ends included."""
    if len(ordered) <= MAX_REFERENCES:
        return ordered
    return ordered[np.linspace(0, len(ordered) - 1, MAX_REFERENCES).round().astype(np.int64)]
