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

from tools.events.acts import PROCESS, read_acts
from tools.events.counts import pair
from tools.events.prepare import Vocabulary
from tools.events.tokens import LEVELS, token_table

if TYPE_CHECKING:
    import polars as pl

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_SHARED = ("socket", "domain")
"""Types that are the same entity on every host."""
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
    import polars as pl

    present = set(frame.collect_schema().names())
    acts = read_acts(frame)
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
    named = 2 * int(lengths[acts.select(pl.col("subject_id") != "").to_series().to_numpy()].sum()) > len(edge)
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


def keep(flows: Flows, moments: NDArray[np.bool_]) -> tuple[Flows, Ints]:
    """The graph of some of its moments (M,) only, and the new number of each old moment, −1 for those left out."""
    counts = np.bincount(flows.edge[moments], minlength=len(flows))
    alive = counts > 0
    place = np.where(moments, np.cumsum(moments) - 1, -1)
    kept = Flows(
        source=flows.source[alive], target=flows.target[alive], actor=flows.actor[alive], walked=flows.walked[alive],
        makes=flows.makes[alive], codes={name: column[alive] for name, column in flows.codes.items()}, kind=flows.kind,
        start=np.r_[0, np.cumsum(counts[alive])], times=flows.times[moments], event=flows.event[moments],
        repeats=flows.repeats[moments], moment_of_event=place[flows.moment_of_event], named=flows.named,
    )  # fmt: skip
    return kept, place


def leading_to(flows: Flows, edges: NDArray[np.bool_], hops: int) -> NDArray[np.bool_]:
    """Mask (E,) of `edges` and all flows from which one of them is reached over at most `hops` further ones, whatever the times."""
    needed = edges.copy()
    wanted = np.zeros(len(flows.kind), bool)
    wanted[flows.source[edges]] = wanted[flows.actor[edges]] = True
    for _ in range(hops):
        more = flows.walked & wanted[flows.target] & ~needed
        if not more.any():
            break
        needed |= more
        wanted[flows.source[more]] = True
    return needed


def _same(source: Ints, target: Ints, label: Ints) -> tuple[Ints, Ints]:
    """Equal (source, target, label) are one edge: the first place of each edge, and the edge of each place."""
    first, edge = np.unique(pair(pair(source, target), label), return_index=True, return_inverse=True)[1:]
    return first.astype(np.int64), edge.astype(np.int64)


def _entities(acts: pl.DataFrame, entities: Vocabulary, *, ids: bool) -> tuple[Ints, Ints, Ints]:
    """Numbers of each act's subject and object, and the kind of each entity."""
    import polars as pl

    # an instance is known by its id alone, a nameless one by host and name; things never by id, since those repeat the name
    nothing = pl.lit("").cast(acts["subject_id"].dtype)
    nameless = pl.col("subject_id") == ""
    who = acts.select(
        pl.lit(PROCESS).cast(acts["type"].dtype).alias("type"), pl.col("subject_id").alias("id"),
        pl.when(nameless).then("host").otherwise(nothing).alias("host"),
        pl.when(nameless).then("subject").otherwise(nothing).alias("name"),
    )  # fmt: skip
    process = pl.col("type") == PROCESS
    instance = pl.when(process).then("object_id").otherwise(nothing) if ids else nothing
    what = acts.select(
        "type", instance.alias("id"),
        pl.when(pl.col("type").is_in(_SHARED) | (instance != "")).then(nothing).otherwise("host").alias("host"),
        pl.when(instance == "").then("object").otherwise(nothing).alias("name"),
    )  # fmt: skip
    both = pl.concat([who, what])
    distinct = both.unique(maintain_order=True)
    text = distinct.with_columns(pl.col("id", "host", "name").cast(pl.String)).select(
        pl.concat_str(
            pl.col("type").to_physical().cast(pl.String), pl.lit("#"), "id", pl.lit("|"), "host", pl.lit("|"),
            pl.col("name").str.to_lowercase(),
        )
    )  # fmt: skip
    distinct = distinct.with_columns(pl.Series("number", entities.encode("entity", text.to_series(), grow=True)))
    number = both.join(distinct, on=["type", "id", "host", "name"], how="left", maintain_order="left")["number"].to_numpy()
    kind = entities.tables["entity"]["token"].str.slice(0, 1).cast(pl.Int64).to_numpy()
    return number[: acts.height], number[acts.height :], kind


def _codes(acts: pl.DataFrame, outward: NDArray[np.bool_], vocabulary: Vocabulary, *, grow: bool) -> dict[str, Ints]:
    """The `LABELS` columns of each act. Processes are called alike whether they act or are acted on."""
    import polars as pl

    ends = [
        acts.select(pl.lit(PROCESS).cast(acts["type"].dtype).alias("type"), pl.col("subject").alias("name")),
        acts.select("type", pl.col("object").alias("name")),
    ]
    distinct = pl.concat(ends).unique(maintain_order=True)
    said = distinct.with_columns(pl.all().cast(pl.String))
    tokens = said.join(token_table(said["name"]), left_on="name", right_on="value", how="left", maintain_order="left")
    columns = {}
    for level, column in enumerate(("e0", "e1", "e2")):
        text = tokens.select(pl.concat_str("type", pl.lit("|"), LEVELS[level]))["type"]
        columns[column] = vocabulary.encode(column, text, grow=grow)
    numbered = distinct.with_row_index("n")
    who, what = (end.join(numbered, on=["type", "name"], how="left", maintain_order="left")["n"].to_numpy() for end in ends)
    operations = acts.select(pl.col("operation").unique(maintain_order=True))
    operations = operations.with_columns(
        pl.Series("code", vocabulary.encode("flow", operations["operation"].cast(pl.String), grow=grow))
    )
    codes = {"op": acts.join(operations, on="operation", how="left", maintain_order="left")["code"].to_numpy()}
    for level in range(3):
        of_subject, of_object = columns[f"e{level}"][who], columns[f"e{level}"][what]
        codes[f"u{level}"] = np.where(outward, of_subject, of_object)
        codes[f"v{level}"] = np.where(outward, of_object, of_subject)
    return codes
