"""Events whose entities do not fit each other in pairs: user with host, service with flag, program with folder.

Source: Chen, Tang, Sun, Chen & Zhang, Entity Embedding-based Anomaly Detection for Heterogeneous Categorical Events (APE, IJCAI 2016);
the network is `models.entity_pairs`, the entities are those of `tools.events.entities`.
An event's score is how far its energy lies below the mean of what was learned, S̄ − S(e), in nats; it is the sum of the same difference over
all pairs of types, so that the pair with the highest share is the odd combination. With normal logs fitted, references are scores of
logs (or of a stretch of a single log) that a second network never saw. Without, each log is its own history: a first network
finds its strangest events, and the one that judges learns from the others only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from core.archive import load_arrays, save_arrays
from core.detector import DetectorSpec, parameters, require_batch
from core.errors import BadInput
from core.progress import step
from core.samples import EventLog, Sample
from core.scores import EntityScore, EventScores
from tools.catalog import ROWS
from tools.events.entities import EntityCoder, distinct_rows
from tools.events.wording import clean

if TYPE_CHECKING:
    from models.entity_pairs import Training

FEWEST_EVENTS = 10
MAX_EVENTS = 2_000_000
MAX_REFERENCES = 200_000
FOLDS = 5
CHECKED = 0.1
"""Share of the events that are only looked at to see when learning may end."""
TRIMMED = 0.05
"""Share of a log's events, the strangest, that it does not learn from when it is its own history."""
WITH_NORMALS, ALONE = "binary", "ranking"
"""The contrast by what is learned from. Told apart one by one, every event that its own values make predictable comes to the same energy,
however seldom it is; an attack that repeats itself in the log that is learned from becomes usual then. Told from its made-up ones, an
event keeps its frequency. Chosen on values replaced in held-out normal rows (where "binary" is ahead), and on odd kinds of row put into
normal tables, 6 % of them, by the hundred (where "ranking" is)."""
ROWS_PER_ENTITY, ROWS_EXPLAINED = 8, 50
PAIRS_SHOWN, EVENTS_ASKED = 16, 1_000
"""Pairs whose shares are returned: those that are the oddest of the strangest events most often."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Learned:
    """What judges: coordinates (E, d), weights (M, M) and the mean energy of each pair (P,) in what was learned."""

    places: NDArray[np.float32]
    weights: NDArray[np.float32]
    usual: NDArray[np.float32]
    offset: NDArray[np.int64]


class APE:
    """Score events by how badly their entities fit each other; name the pairs that do not.

    Args:
        size: dimensions of the space of entities.
        noise: made-up events per event.
        replaced: which entities of a made-up event are replaced: "one" of them, or "all".
        contrast: "binary" (each event and each made-up one is told apart), "ranking" (an event is told from its made-up ones), or "auto":
            "binary" with normal logs, "ranking" where a log is its own history.
        weighted: pairs of types have weights ≥ 0 of their own; False: all count the same.
        steps: mini-batches of 512 events at most; fewer when held-out normal events show no gain.
        seed: of first coordinates, made-up events and batches.
        attributes: columns (names without `attr:`) that are looked at in any case.
        top: how many actors are returned.

    Scores (N,) float32 in nats, in the table's row order. Raises BadInput on an empty batch, on anything that is no EventLog, on logs of
    fewer than ten events to learn from, and where fewer than two columns vary.

    >>> import polars as pl
    >>> kinds = ["dns", "web", "mail"] * 80
    >>> log = EventLog(name="toy", roles={}, table=pl.DataFrame({
    ...     "row": range(1, 242), "time_s": [float("nan")] * 241, "subject": [""] * 241, "operation": [""] * 241, "object": [""] * 241,
    ...     "attr:service": kinds + ["dns"], "attr:port": [{"dns": "53", "web": "443", "mail": "25"}[k] for k in kinds] + ["25"]}))
    >>> found = APE(steps=200).score([log])[0]
    >>> int(found.scores.argmax()), found.reasons[241]
    (240, 'service "dns" together with port "25"')
    """

    spec: DetectorSpec = next(row for row in ROWS if row.name == "ape")

    def __init__(
        self, *, size: int = 10, noise: int = 10, replaced: str = "one", contrast: str = "auto", weighted: bool = True,
        steps: int = 1_000, seed: int = 0, attributes: tuple[str, ...] = (), top: int = 20,
    ) -> None:  # fmt: skip
        if min(size, noise, steps, top) < 1:
            raise BadInput(f"size={size!r}, noise={noise!r}, steps={steps!r}, top={top!r}: expected at least 1 each.")
        for name, value, known in (("replaced", replaced, ("one", "all")), ("contrast", contrast, ("auto", "binary", "ranking"))):
            if value not in known:
                raise BadInput(f"{name}={value!r}: expected {' or '.join(map(repr, known))}.")
        self.size = size
        self.noise = noise
        self.replaced = replaced
        self.contrast = contrast
        self.weighted = weighted
        self.steps = steps
        self.seed = seed
        self.attributes = tuple(attributes)
        self.top = top
        self._coder: EntityCoder | None = None
        self._learned: _Learned | None = None
        self._reference: NDArray[np.float32] = np.zeros(0, np.float32)

    def fit(self, normal: Sequence[Sample]) -> Self:
        """Learn from normal logs; held-out scores come from a fifth of them that another network does not see."""
        require_batch(normal, EventLog, "ape")
        logs = [log for log in normal if isinstance(log, EventLog)]
        coder = self._coded(logs)
        codes = [coder.codes(log) for log in logs]
        held = _held_out([len(part) for part in codes])
        whole = np.concatenate(codes)
        apart = self._train(whole[~held], coder, WITH_NORMALS)
        reference = np.sort(_scored(whole[held], apart))
        self._learned = self._train(whole, coder, WITH_NORMALS)
        self._coder = coder
        self._reference = _thinned(reference)
        return self

    def score(self, batch: Sequence[Sample]) -> Sequence[EventScores]:
        """Score logs one by one, each by what was fitted, or by itself when nothing was."""
        require_batch(batch, EventLog, "ape")
        results = []
        for done, log in enumerate(batch):
            step("event logs", done, len(batch))
            assert isinstance(log, EventLog)
            if self._coder is not None and self._learned is not None:
                coder, learned = self._coder, self._learned
                codes = coder.codes(log)
            else:
                coder = self._coded([log])
                codes = coder.codes(log)
                learned = self._by_itself(codes, coder)
            results.append(self._told(log, codes, coder, learned))
        return results

    def reference_scores(self) -> NDArray[np.float32]:
        """Scores of held-out normal events, ascending; empty before `fit`."""
        return self._reference

    def _coded(self, logs: Sequence[EventLog]) -> EntityCoder:
        """The entities of logs to learn from."""
        count = sum(log.table.height for log in logs)
        if count < FEWEST_EVENTS:
            raise BadInput(f"'ape': expected at least {FEWEST_EVENTS} events to learn from, got {count}; give more of them.")
        coder = EntityCoder.of(logs, self.attributes)
        if len(coder.types) < 2:
            names = ", ".join(repr(t.name) for t in coder.types) or "none"
            raise BadInput(
                f"'ape' {logs[0].name!r}: expected two or more columns of recurring values to pair, got {names}; "
                "name columns by attributes=…, or use 'rarity'."
            )
        return coder

    def _train(self, codes: NDArray[np.int64], coder: EntityCoder, usual: str) -> _Learned:
        """A network that has learned from events (N, M), by the `usual` contrast unless another was asked for."""
        from models.entity_pairs import EntityTypes, pair_energies, train

        codes = codes[:: max(1, -(-len(codes) // MAX_EVENTS))]
        checked = np.random.default_rng(self.seed).random(len(codes)) < CHECKED
        checked &= len(codes) > 10 * FEWEST_EVENTS
        types = EntityTypes.counted(codes[~checked], coder.sizes)
        offset = types.offset[:-1]
        network, _ = train(codes[~checked] + offset, codes[checked] + offset, types, self._training(usual))
        places = network.place.weight.detach().numpy()
        weights = network.weights().detach().numpy()
        shown = codes[:: max(1, len(codes) // 50_000)] + offset
        return _Learned(places=places, weights=weights, usual=pair_energies(shown, places, weights).mean(axis=0), offset=offset)

    def _by_itself(self, codes: NDArray[np.int64], coder: EntityCoder) -> _Learned:
        """A network that has learned from all but the strangest events of a log."""
        first = _scored(codes, self._train(codes, coder, ALONE))
        usual = first <= np.quantile(first, 1.0 - TRIMMED)
        return self._train(codes[usual], coder, ALONE)

    def _training(self, usual: str) -> Training:
        from models.entity_pairs import Training

        return Training(
            size=self.size, noise=self.noise, kind=self.replaced,  # type: ignore[arg-type]
            contrast=usual if self.contrast == "auto" else self.contrast,  # type: ignore[arg-type]
            weighted=self.weighted, steps=self.steps, seed=self.seed,
        )  # fmt: skip

    def _told(self, log: EventLog, codes: NDArray[np.int64], coder: EntityCoder, learned: _Learned) -> EventScores:
        first, of_row = distinct_rows(codes, coder.sizes)
        distinct = codes[first]
        scores = _scored(distinct, learned)[of_row]
        alone = (f"learned from this log itself, without its strangest {100 * TRIMMED:g} %",) if self._learned is None else ()
        rows = log.table["row"].cast(int).to_numpy().astype(np.int64)
        actors = _actors(log, scores, self.top)
        top = _highest(scores, EVENTS_ASKED)
        told = [*dict.fromkeys([*(i for _, acts in actors for i in acts), *top[:ROWS_EXPLAINED].tolist()])]
        shares = _shares(codes[told], learned)
        return EventScores(
            sample=log.name, scores=scores, rows=rows, notes=(*alone, *coder.notes),
            entities=tuple(replace(actor, rows=tuple(rows[acts].tolist())) for actor, acts in actors),
            attribution={name: share[of_row] for name, share in _attribution(distinct, of_row[top], coder, learned).items()},
            reasons={int(rows[i]): _reason(log, i, share, coder) for i, share in zip(told, shares, strict=True)},
        )  # fmt: skip

    def save(self, path: Path) -> None:
        """Write parameters, entities and network to one .npz."""
        arrays: dict[str, NDArray[Any]] = {"reference": self._reference}
        if self._coder is not None and self._learned is not None:
            arrays["entities"] = np.frombuffer(json.dumps(self._coder.as_state()).encode(), dtype=np.uint8)
            arrays |= {name: getattr(self._learned, name) for name in ("places", "weights", "usual", "offset")}
        save_arrays(path, name="ape", parameters=parameters(self), arrays=arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        values, arrays, _ = load_arrays(path, name="ape")
        loaded = cls(**values)
        loaded._reference = arrays["reference"]
        if "entities" in arrays:
            loaded._coder = EntityCoder.of_state(json.loads(arrays["entities"].tobytes().decode()))
            loaded._learned = _Learned(**{name: arrays[name] for name in ("places", "weights", "usual", "offset")})
        return loaded


def _scored(codes: NDArray[np.int64], learned: _Learned) -> NDArray[np.float32]:
    """S̄ − S(e) of events (N, M)."""
    from models.entity_pairs import energies

    found = energies(codes + learned.offset, learned.places, learned.weights)
    return np.asarray(float(learned.usual.sum()) - found, dtype=np.float32)


def _highest(scores: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Indices of the `count` highest scores, highest first, equal ones in order."""
    if len(scores) > count:
        # those equal to the last one that counts all come along, so that which are kept does not depend on the partition
        among = np.flatnonzero(scores >= np.partition(scores, len(scores) - count)[len(scores) - count])
    else:
        among = np.arange(len(scores))
    return among[np.argsort(-scores[among], kind="stable")][:count]


def _shares(codes: NDArray[np.int64], learned: _Learned) -> NDArray[np.float32]:
    """How far each pair's energy lies below its usual mean (N, P); sums to the score."""
    from models.entity_pairs import pair_energies

    return np.asarray(learned.usual - pair_energies(codes + learned.offset, learned.places, learned.weights))


def _attribution(
    codes: NDArray[np.int64], asked: NDArray[np.int64], coder: EntityCoder, learned: _Learned
) -> dict[str, NDArray[np.float32]]:
    """Shares (N,) of the pairs that are the oddest of the `asked` events most often."""
    i, j = np.triu_indices(len(coder.types), 1)
    oddest = np.bincount(_shares(codes[asked], learned).argmax(axis=1), minlength=len(i))
    found = {}
    for p in np.argsort(-oddest, kind="stable")[:PAIRS_SHOWN].tolist():
        if not oddest[p]:
            break
        a, b = (learned.places[codes[:, m] + learned.offset[m]] for m in (i[p], j[p]))
        share = learned.usual[p] - learned.weights[i[p], j[p]] * np.einsum("nd,nd->n", a, b)
        names = [clean(coder.types[m].name, 60) for m in (i[p], j[p])]
        found[" with ".join(names)] = share.astype(np.float32)
    return found


def _reason(log: EventLog, index: int, shares: NDArray[np.float32], coder: EntityCoder) -> str:
    """The oddest pair of an event in words."""
    i, j = np.triu_indices(len(coder.types), 1)
    p = int(shares.argmax())
    return f"{coder.said(log, index, int(i[p]))} together with {coder.said(log, index, int(j[p]))}"


def _actors(log: EventLog, scores: NDArray[np.float32], top: int) -> list[tuple[EntityScore, list[int]]]:
    """Who did the strangest things, by the mean of their strangest distinct scores, with the events (indices); [] where nobody is named."""
    import polars as pl

    table = log.table
    if table["subject"].n_unique() < 2 or (table["operation"].n_unique() < 2 and table["object"].n_unique() < 2):
        return []
    key = "subject_id" if "subject_id" in table.columns else "subject"
    frame = pl.DataFrame({
        "key": table[key].cast(pl.String).fill_null(""), "name": table["subject"].cast(pl.String).fill_null(""),
        "score": scores, "index": np.arange(len(scores)),
    })  # fmt: skip
    judged = (
        frame.group_by("key", "name", maintain_order=True)
        .agg(pl.col("score").unique().top_k(ROWS_PER_ENTITY).mean().alias("mean"), pl.len().alias("events"))
        .sort("mean", descending=True, maintain_order=True).head(top)
    )  # fmt: skip
    acts = frame.join(judged.select("key", "name"), on=["key", "name"], how="semi").unique(
        ["key", "name", "score"], keep="first", maintain_order=True
    )
    found, taken = [], dict[str, int]()
    for who, name, mean, events in judged.iter_rows():
        own = acts.filter((pl.col("key") == who) & (pl.col("name") == name))
        telling = own.sort("score", descending=True, maintain_order=True).head(ROWS_PER_ENTITY)["index"].sort().to_list()
        said = clean(name, 120) or "(no name)"
        taken[said] = taken.get(said, 0) + 1
        said = said if taken[said] == 1 else f"{said} #{taken[said]}"
        found.append((EntityScore(entity=said, score=float(mean), rows=(), n_events=events), telling))
    return found


def _held_out(lengths: Sequence[int]) -> NDArray[np.bool_]:
    """Mask over all events: of every five logs (or stretches, of few logs) the last; at least one log is left to learn from."""
    if len(lengths) > 1:
        group = np.repeat(np.arange(len(lengths)), lengths)
        every = min(FOLDS, len(lengths))
        return np.asarray(group % every == every - 1)
    place = np.arange(lengths[0]) * FOLDS // lengths[0]
    return np.asarray(place == FOLDS - 1)


def _thinned(ordered: NDArray[np.float32]) -> NDArray[np.float32]:
    """At most MAX_REFERENCES of ascending scores, by evenly spaced ranks, both ends included."""
    if len(ordered) <= MAX_REFERENCES:
        return ordered
    return ordered[np.linspace(0, len(ordered) - 1, MAX_REFERENCES).round().astype(np.int64)]
