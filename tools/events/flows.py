"""From an event log to a graph of information flow: one edge per sender, receiver and operation, with its sorted set of times.

Every act is read as a flow between a process and something (Dong et al., CIKM 2017): reading goes from the thing to the process,
writing and reaching out from the process to the thing, starting and injecting from process to process, opening a process from the
opened one to the opener when the granted access lets its memory be read. Acts through which nothing
flows (an exit, a query) are edges that are scored but never walked. Equal times of one edge are one moment.

Where the log names process instances, these are the entities; files, pipes and registry keys belong to a host, addresses to all.
`roles` say what an entity is by name, at the three levels of `tools.events.tokens`, so that other logs can be compared.
Axes: events (N,), edges (E,), entities (V,), moments (M,) sorted by edge and time. Times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tools.events.counts import pair
from tools.events.prepare import Vocabulary
from tools.events.tokens import LEVELS, token_table
from tools.events.wording import LINKING, Deed, deed, reads_memory

if TYPE_CHECKING:
    import polars as pl

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

PROCESS = "process"
TYPES: tuple[str, ...] = (PROCESS, "file", "socket", "domain", "registry", "pipe", "thing")
"""What an entity can be; other object types of a log are things."""
_SHARED = ("socket", "domain")
"""Types that are the same entity on every host."""

_INWARD: frozenset[Deed] = frozenset({"read", "load", "accept", "pipe_connect", "access"})
"""Deeds by which something flows to who does them."""
_STILL: frozenset[Deed] = frozenset({"exit", "block", "touch", "logout", "delete", "registry_delete"})
"""Deeds by which nothing flows."""
_ON_PROCESS: frozenset[Deed] = LINKING | {"tamper", "access", "exit"}
_TYPE_OF: dict[Deed, str] = {
    "connect": "socket", "accept": "socket", "resolve": "domain", "registry_set": "registry", "registry_key": "registry",
    "registry_delete": "registry", "pipe_create": "pipe", "pipe_connect": "pipe", "write": "file", "read": "file", "load": "file",
    "delete": "file", "rename": "file", "stream": "file", "touch": "file", "block": "file", "driver": "file",
}  # fmt: skip
_KEYS = ("host", "subject_id", "subject", "operation", "object_type", "object_id", "object")
LABELS = ("op", "u0", "u1", "u2", "v0", "v1", "v2")
"""Columns of edge codes: operation, and the sender's and receiver's roles from exact to coarse."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Flows:
    """The compact graph of a log.

    `source`, `target` (E,) entities; `actor` (E,) which of them did it; `walked` (E,) whether something flows; `makes` (E,) whether
    the act makes or takes over a process; `codes` the `LABELS` columns (E,); `kind` (V,) index into TYPES; `start` (E + 1,) bounds of
    each edge's ascending `times` (M,), `event` (M,) the first event of each moment, `repeats` (M,) how many there are;
    `moment_of_event` (N,), empty when it was not asked for; `named` whether the log names process instances.
    """

    source: Ints
    target: Ints
    actor: Ints
    walked: NDArray[np.bool_]
    makes: NDArray[np.bool_]
    codes: dict[str, Ints]
    kind: Ints
    start: Ints
    times: Floats
    event: Ints
    repeats: Ints
    moment_of_event: Ints
    named: bool

    def __len__(self) -> int:
        return len(self.source)

    @property
    def counts(self) -> Ints:
        """Number of moments of each edge (E,)."""
        return np.diff(self.start)

    @property
    def edge(self) -> Ints:
        """The edge of each moment (M,)."""
        return np.repeat(np.arange(len(self)), self.counts)

    @property
    def events_of(self) -> Floats:
        """Number of events of each edge (E,)."""
        return np.bincount(self.edge, weights=self.repeats, minlength=len(self)).astype(np.float64)


def compact(
    frame: pl.LazyFrame, vocabulary: Vocabulary, *, grow: bool, entities: Vocabulary | None = None, events: bool = True
) -> Flows:
    """Read events into a graph.

    Args:
        frame: columns of `core.samples.EventLog.table`; only those that matter are read, in one pass that groups equal acts.
        vocabulary: codes of operations and roles.
        grow: whether unknown ones are remembered.
        entities: numbers of entities, which grow, so that graphs of successive pieces of a log can be joined; own ones without it.
        events: whether `moment_of_event` is wanted.

    >>> import polars as pl
    >>> log = pl.DataFrame({"time_s": [0.0, 2.0, 1.0], "subject": ["sh", "sh", "cat"], "operation": ["start", "start", "read"],
    ...                     "object": ["cat", "cat", "notes.txt"]})
    >>> flows = compact(log.lazy(), Vocabulary(), grow=True)
    >>> sorted(zip(flows.source.tolist(), flows.target.tolist(), flows.counts.tolist()))
    [(0, 1, 2), (2, 1, 1)]
    """
    present = set(frame.collect_schema().names())
    acts = _acts(frame, present)
    flow = acts["flow"].to_numpy()
    subject, thing, kind = _entities(acts, entities or Vocabulary(), ids={"subject_id", "object_id"} <= present)
    outward = flow >= 0
    walked = (flow != 0) & (subject != thing)
    codes = _codes(acts, outward, vocabulary, grow=grow)
    source, target = np.where(outward, subject, thing), np.where(outward, thing, subject)
    first, edge_of_act = _same(source, target, codes["op"] * 2 + walked)
    lengths = acts["time"].list.len().to_numpy().astype(np.int64)
    edge = np.repeat(edge_of_act, lengths)
    makes = acts["makes"].to_numpy() & walked
    named = 2 * int(lengths[(acts["subject_id"] != "").to_numpy()].sum()) > len(edge)
    time, event = acts["time"].explode().to_numpy(), acts["index"].explode().to_numpy().astype(np.int64)
    del acts
    order = np.lexsort((event, time, edge))
    edge, time, event = edge[order], time[order], event[order]
    fresh = np.r_[True, (edge[1:] != edge[:-1]) | (time[1:] != time[:-1])]
    at = np.flatnonzero(fresh)
    moment_of_event = np.zeros(0, np.int64)
    if events:
        moment_of_event = np.empty(len(event), np.int64)
        moment_of_event[event] = np.cumsum(fresh) - 1
    return Flows(
        source=source[first], target=target[first], actor=subject[first], walked=walked[first], makes=makes[first],
        codes={name: column[first] for name, column in codes.items()}, kind=kind,
        start=np.searchsorted(edge[at], np.arange(len(first) + 1)), times=time[at], event=event[at],
        repeats=np.diff(np.r_[at, len(event)]), moment_of_event=moment_of_event, named=named,
    )  # fmt: skip


def join(old: Flows, new: Flows, *, events_before: int) -> Flows:
    """One graph of two whose entities and roles are numbered alike; `new`'s events are numbered after `events_before` others.

    `moment_of_event` is that of `new`'s events in the joined graph.
    """
    both = {
        name: np.concatenate([getattr(old, name), getattr(new, name)])
        for name in ("source", "target", "actor", "walked", "makes")
    }
    codes = {name: np.concatenate([old.codes[name], new.codes[name]]) for name in LABELS}
    first, merged = _same(both["source"], both["target"], codes["op"] * 2 + both["walked"])
    edge = merged[np.concatenate([old.edge, new.edge + len(old)])]
    time, event = np.concatenate([old.times, new.times]), np.concatenate([old.event, new.event + events_before])
    repeats = np.concatenate([old.repeats, new.repeats])
    order = np.lexsort((event, time, edge))
    edge, time, event, repeats = edge[order], time[order], event[order], repeats[order]
    fresh = np.r_[True, (edge[1:] != edge[:-1]) | (time[1:] != time[:-1])]
    at = np.flatnonzero(fresh)
    place = np.empty(len(order), np.int64)
    place[order] = np.cumsum(fresh) - 1
    return Flows(
        **{name: column[first] for name, column in both.items()}, codes={name: column[first] for name, column in codes.items()},
        kind=new.kind, start=np.searchsorted(edge[at], np.arange(len(first) + 1)), times=time[at], event=event[at],
        repeats=np.add.reduceat(repeats, at), moment_of_event=place[len(old.times) :][new.moment_of_event], named=new.named,
    )  # fmt: skip


def since(flows: Flows, time_s: float) -> Flows:
    """The graph without what happened before `time_s`; `moment_of_event` is left empty."""
    kept = flows.times >= time_s
    counts = np.bincount(flows.edge[kept], minlength=len(flows))
    alive = counts > 0
    return Flows(
        source=flows.source[alive], target=flows.target[alive], actor=flows.actor[alive], walked=flows.walked[alive],
        makes=flows.makes[alive], codes={name: column[alive] for name, column in flows.codes.items()}, kind=flows.kind,
        start=np.r_[0, np.cumsum(counts[alive])], times=flows.times[kept], event=flows.event[kept], repeats=flows.repeats[kept],
        moment_of_event=np.zeros(0, np.int64), named=flows.named,
    )  # fmt: skip


def _same(source: Ints, target: Ints, label: Ints) -> tuple[Ints, Ints]:
    """Equal (source, target, label) are one edge: the first place of each edge, and the edge of each place."""
    first, edge = np.unique(pair(pair(source, target), label), return_index=True, return_inverse=True)[1:]
    return first.astype(np.int64), edge.astype(np.int64)


def _acts(frame: pl.LazyFrame, present: set[str]) -> pl.DataFrame:
    """One row per distinct act: its columns of `_KEYS`, the type of its object, its flow, and lists of its times and event numbers."""
    import polars as pl

    text = [(pl.col(c).cast(pl.String).fill_null("") if c in present else pl.lit("")).alias(c) for c in _KEYS]
    known = _deeds(
        frame.select(pl.col("operation").cast(pl.String).fill_null("").unique(maintain_order=True)).collect()["operation"]
    )
    mask = pl.col("detail").cast(pl.String).fill_null("") if "detail" in present else pl.lit("")
    opening = pl.col("operation").is_in(known.filter("opens")["operation"].to_list())
    time = pl.col("time_s").cast(pl.Float64).fill_nan(None)
    timed = pl.coalesce(time.forward_fill(), time.backward_fill(), pl.int_range(pl.len()).cast(pl.Float64)).alias("time")
    acts = (
        frame.with_columns(*text, timed, pl.int_range(pl.len(), dtype=pl.UInt32).alias("index"))
        .group_by(*_KEYS, pl.when(opening).then(mask).otherwise(pl.lit("")).alias("rights"), maintain_order=True)
        .agg("time", "index")
        .collect()
    )
    rights = acts["rights"].unique().to_list()
    harmless = pl.col("opens") & pl.col("rights").is_in([r for r in rights if reads_memory(r) is False])
    said = pl.col("object_type").str.to_lowercase()
    return acts.join(known, on="operation", how="left", maintain_order="left").with_columns(
        pl.when(harmless).then(0).otherwise("flow").alias("flow"),
        pl.when(said == "").then("usual").when(said.is_in(TYPES)).then(said).otherwise(pl.lit("thing")).alias("type"),
    )


def _deeds(operations: pl.Series) -> pl.DataFrame:
    """Per distinct operation: flow (1 outward, −1 inward, 0 none), what it is usually done to, and what it does to processes."""
    import polars as pl

    kinds = [deed(name) for name in operations.to_list()]
    return pl.DataFrame(
        {
            "operation": operations,
            "flow": pl.Series([0 if k in _STILL else -1 if k in _INWARD else 1 for k in kinds], dtype=pl.Int8),
            "usual": pl.Series([PROCESS if k in _ON_PROCESS else _TYPE_OF.get(k, "thing") for k in kinds], dtype=pl.String),
            "makes": pl.Series([k in LINKING for k in kinds], dtype=pl.Boolean),
            "opens": pl.Series([k == "access" for k in kinds], dtype=pl.Boolean),
        }
    )


def _entities(acts: pl.DataFrame, entities: Vocabulary, *, ids: bool) -> tuple[Ints, Ints, Ints]:
    """Numbers of each act's subject and object, and the kind of each entity."""
    import polars as pl

    # an instance is known by its id alone, a nameless one by host and name; things never by id, since those repeat the name
    subject_id, object_id = pl.col("subject_id"), pl.col("object_id") if ids else pl.lit("")
    letter = pl.col("type").replace_strict(list(TYPES), [str(n) for n in range(len(TYPES))], return_dtype=pl.String)
    by_name = pl.col("object").str.to_lowercase()
    host = pl.when(pl.col("type").is_in(_SHARED)).then(pl.lit("")).otherwise("host")
    keys = acts.select(
        pl.when(subject_id == "").then(pl.concat_str(pl.lit("0|"), "host", pl.lit("|"), pl.col("subject").str.to_lowercase()))
        .otherwise(pl.concat_str(pl.lit("0#"), subject_id)).alias("who"),
        pl.when((pl.col("type") == PROCESS) & (object_id != "")).then(pl.concat_str(pl.lit("0#"), object_id))
        .otherwise(pl.concat_str(letter, pl.lit("|"), host, pl.lit("|"), by_name)).alias("what"),
    )  # fmt: skip
    number = entities.encode("entity", pl.concat([keys["who"], keys["what"]]), grow=True)
    kind = entities.tables["entity"]["token"].str.slice(0, 1).cast(pl.Int64).to_numpy()
    return number[: acts.height], number[acts.height :], kind


def _codes(acts: pl.DataFrame, outward: NDArray[np.bool_], vocabulary: Vocabulary, *, grow: bool) -> dict[str, Ints]:
    """The `LABELS` columns of each act. Processes are called alike whether they act or are acted on."""
    import polars as pl

    ends = [
        acts.select(pl.lit(PROCESS).alias("type"), pl.col("subject").alias("name")),
        acts.select("type", pl.col("object").alias("name")),
    ]
    distinct = pl.concat(ends).unique(maintain_order=True)
    tokens = distinct.join(token_table(distinct["name"]), left_on="name", right_on="value", how="left", maintain_order="left")
    columns = {}
    for level, column in enumerate(("e0", "e1", "e2")):
        text = tokens.select(pl.concat_str("type", pl.lit("|"), LEVELS[level]))["type"]
        columns[column] = vocabulary.encode(column, text, grow=grow)
    numbered = distinct.with_row_index("n")
    who, what = (end.join(numbered, on=["type", "name"], how="left", maintain_order="left")["n"].to_numpy() for end in ends)
    codes = {"op": vocabulary.encode("flow", acts["operation"], grow=grow)}
    for level in range(3):
        of_subject, of_object = columns[f"e{level}"][who], columns[f"e{level}"][what]
        codes[f"u{level}"] = np.where(outward, of_subject, of_object)
        codes[f"v{level}"] = np.where(outward, of_object, of_subject)
    return codes
