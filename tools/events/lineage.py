"""Who made whom: processes, the links between them, suspicion handed down along links, and the chains worth reading.

A link leads from one actor to another: it started it, put code into it, or wrote the program it later ran or loaded. An
actor inherits its maker's suspicion, a little less per link, and only from the moment of the link (an injected system
process was innocent before). Chains are scored by Stouffer's sum of their steps' standardised surprises, Σz/√length, so that
long and short ones compare; the path view is after Dong et al. (GID, CIKM 2017).
Axes: events are (N,), actors (A,), links (L,). Times are seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tools.events.wording import LINKING, Deed, deed

if TYPE_CHECKING:
    import polars as pl

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MAX_DEPTH = 24
"""Links followed at most; real process trees are shallower, and cycles end here."""
CANDIDATES = 40
"""Actors looked at for each chain that is wanted."""
MOST_OPENED = 3
"""Chains that one ancestor may open."""

_PROGRAM = r"(?i)\.(exe|dll|sys|ps1|psm1|vbs|js|jse|hta|bat|cmd|scr|com|cpl|ocx|py|sh|so|elf|jar|msi)$"


@dataclass(frozen=True, kw_only=True, eq=False)
class Actors:
    """Subjects as numbers: `of_event` (N,) the actor of each event, `count`, and `target` (N,) the actor an event makes or -1."""

    of_event: Ints
    target: Ints
    count: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Links:
    """`maker` → `made` (actors) at event `event` (its index) and `time_s`; `handover` marks those that bind only from then on.

    `prior` is the earlier event that prepared it (the program file being written), or -1.
    """

    maker: Ints
    made: Ints
    event: Ints
    time_s: Floats
    handover: NDArray[np.bool_]
    prior: Ints

    def __len__(self) -> int:
        return len(self.maker)


def find_actors(table: pl.DataFrame) -> Actors:
    """Number the actors: by `subject_id` where present, else by host and subject.

    >>> import polars as pl
    >>> log = pl.DataFrame({"subject": ["a", "b"], "operation": ["start", "read"], "object": ["b", "f"]})
    >>> actors = find_actors(log)
    >>> actors.of_event.tolist(), actors.target.tolist()
    ([0, 1], [1, -1])
    """
    import polars as pl

    host = pl.col("host").cast(pl.String).fill_null("") if "host" in table.columns else pl.lit("")

    def key(identity: str, name: str) -> pl.Expr:
        by_name = pl.concat_str(host, pl.lit("|"), pl.col(name).cast(pl.String).fill_null("").str.to_lowercase())
        if identity not in table.columns:
            return by_name
        value = pl.col(identity).cast(pl.String).fill_null("")
        return pl.when(value != "").then(pl.concat_str(pl.lit("#"), value)).otherwise(by_name)

    makes = table.select(_is_deed(table, LINKING)).to_series()
    has_ids = "subject_id" in table.columns and "object_id" in table.columns
    keys = table.select(key("subject_id", "subject").alias("s"), key("object_id" if has_ids else "", "object").alias("o"))
    targets = keys["o"].filter(makes)
    known = pl.concat([keys["s"], targets]).unique(maintain_order=True)
    number = pl.DataFrame({"key": known, "actor": np.arange(len(known), dtype=np.int64)})
    of_event = keys.join(number, left_on="s", right_on="key", how="left", maintain_order="left")["actor"].to_numpy()
    target = keys.join(number, left_on="o", right_on="key", how="left", maintain_order="left")["actor"].fill_null(-1).to_numpy()
    target = np.where(makes.to_numpy() & (target != of_event), target, -1)
    return Actors(of_event=of_event.astype(np.int64), target=target.astype(np.int64), count=len(known))


def find_links(table: pl.DataFrame, actors: Actors) -> Links:
    """Find who started, took over, or supplied the program of whom, in time order."""
    time_s = table["time_s"].fill_null(float("nan")).to_numpy().astype(np.float64)
    time_s = np.where(np.isfinite(time_s), time_s, np.arange(len(time_s), dtype=np.float64))
    direct = np.flatnonzero(actors.target >= 0)
    injects = table.select(_is_deed(table, frozenset({"inject"}))).to_series().to_numpy()
    supplier, user, used, written = _supplied(table, actors, time_s)
    # a maker who also started its product needs no second link
    size = actors.count + 1
    known = actors.of_event[direct] * size + actors.target[direct]
    fresh = ~np.isin(supplier * size + user, known)
    events = np.concatenate([direct, used[fresh]])
    order = np.argsort(time_s[events], kind="stable")
    return Links(
        maker=np.concatenate([actors.of_event[direct], supplier[fresh]])[order],
        made=np.concatenate([actors.target[direct], user[fresh]])[order],
        event=events[order],
        time_s=time_s[events][order],
        handover=np.concatenate([injects[direct], np.ones(int(fresh.sum()), bool)])[order],
        prior=np.concatenate([np.full(len(direct), -1, np.int64), written[fresh]])[order],
    )


def _is_deed(table: pl.DataFrame, kinds: frozenset[Deed]) -> pl.Expr:
    import polars as pl

    names = [o for o in table["operation"].cast(pl.String).unique().to_list() if o is not None and deed(o) in kinds]
    return pl.col("operation").cast(pl.String).is_in(names).fill_null(False)


def _supplied(table: pl.DataFrame, actors: Actors, time_s: Floats) -> tuple[Ints, Ints, Ints, Ints]:
    """(writer, user, use, writing) where a program file written in this log is later started or loaded by another actor.

    `use` and `writing` are event indices.
    """
    import polars as pl

    host = pl.col("host").cast(pl.String).fill_null("") if "host" in table.columns else pl.lit("")
    files = table.select(
        pl.concat_str(host, pl.lit("|"), pl.col("object").cast(pl.String).fill_null("").str.to_lowercase()).alias("file"),
        _is_deed(table, frozenset({"write"})).alias("writes"),
        _is_deed(table, frozenset({"load"})).alias("loads"),
        pl.Series("event", np.arange(table.height)),
        pl.Series("time", time_s),
        pl.Series("actor", actors.of_event),
        pl.Series("target", actors.target),
    ).filter(pl.col("file").str.contains(_PROGRAM))
    written = files.filter("writes").sort("time", maintain_order=True).group_by("file", maintain_order=True).first()
    starts = files.filter(pl.col("target") >= 0).select("file", "event", "time", pl.col("target").alias("user"))
    loads = files.filter("loads").select("file", "event", "time", pl.col("actor").alias("user"))
    used = (
        pl.concat([starts, loads])
        .join(
            written.select(
                "file", pl.col("actor").alias("writer"), pl.col("time").alias("since"), pl.col("event").alias("written")
            ),
            on="file",
        )
        .filter((pl.col("time") >= pl.col("since")) & (pl.col("user") != pl.col("writer")))
        .sort("event")
        .unique(["writer", "user"], keep="first", maintain_order=True)
    )
    return tuple(used[name].to_numpy().astype(np.int64) for name in ("writer", "user", "event", "written"))  # type: ignore[return-value]


@dataclass(frozen=True, kw_only=True, eq=False)
class Suspicion:
    """Per actor: `total` (A,) = max(own, inherited), the `link` it was inherited by or -1, and `since` (A,) seconds."""

    own: Floats
    total: Floats
    inherited: Floats
    link: Ints
    since: Floats


def hand_down(own: Floats, links: Links, *, keep: float = 0.9) -> Suspicion:
    """Let suspicion flow from makers to made: inherited = keep × maker's total, the most suspicious maker counts.

    >>> links = Links(maker=np.array([0, 1]), made=np.array([1, 2]), event=np.array([0, 1]), time_s=np.array([0.0, 1.0]),
    ...               handover=np.array([False, False]), prior=np.array([-1, -1]))
    >>> hand_down(np.array([10.0, 1.0, 1.0]), links, keep=0.5).total.tolist()
    [10.0, 5.0, 2.5]
    """
    inherited = np.zeros(len(own))
    link = np.full(len(own), -1, np.int64)
    since = np.full(len(own), -np.inf)
    if len(links):
        # a loop can only hand back less than it got, so the sweep settles
        for _ in range(MAX_DEPTH):
            offered = keep * np.maximum(own, inherited)[links.maker]
            better = inherited.copy()
            np.maximum.at(better, links.made, offered)
            if np.allclose(better, inherited):
                break
            inherited = better
        offered = keep * np.maximum(own, inherited)[links.maker]
        best = np.flatnonzero(offered >= inherited[links.made] - 1e-9)[::-1]  # reversed: the earliest of equals is kept
        link[links.made[best]] = best
        bound = links.handover[best]
        since[links.made[best]] = np.where(bound, links.time_s[best], -np.inf)
    return Suspicion(own=own, total=np.maximum(own, inherited), inherited=inherited, link=link, since=since)


def context(suspicion: Suspicion, actors: Actors, time_s: Floats) -> Floats:
    """Per event (N,): the suspicion of who did it, inherited part only since the link, or of the actor it made, if larger."""
    who = actors.of_event
    born = np.where(np.isfinite(time_s), time_s, np.inf) >= suspicion.since[who]
    value = np.maximum(suspicion.own[who], np.where(born, suspicion.inherited[who], 0.0))
    made = actors.target >= 0
    return np.where(made, np.maximum(value, suspicion.total[actors.target]), value)


def gather_own(actors: Actors, alike: Ints, surprise: Floats, *, top: int = 8) -> Floats:
    """Per actor (A,): mean of its most surprising distinct acts (`alike` (N,): equal numbers, same act), its own making included.

    Repeating an act changes nothing, and fewer than `top` acts are filled up with the log's mean surprise, so that one odd
    act makes no villain.
    """
    made = np.flatnonzero(actors.target >= 0)
    who = np.concatenate([actors.of_event, actors.target[made]])
    what = np.concatenate([alike, alike[made]])
    value = np.concatenate([surprise, surprise[made]])
    # best first within each actor, repeated acts dropped
    order = np.lexsort((what, -value, who))
    who, what, value = who[order], what[order], value[order]
    first = np.sort(np.unique(who * (int(what.max()) + 1) + what, return_index=True)[1])
    who, value = who[first], value[first]
    rank = np.arange(len(who)) - np.searchsorted(who, np.arange(actors.count))[who]
    kept = rank < top
    total = np.bincount(who[kept], weights=value[kept], minlength=actors.count)
    number = np.bincount(who[kept], minlength=actors.count)
    return np.asarray((total + float(value.mean()) * (top - number)) / top)


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A path: its actors in order, and the indices of the events that carry it."""

    score: float
    actors: tuple[int, ...]
    events: tuple[int, ...]


def find_chains(
    actors: Actors,
    links: Links,
    suspicion: Suspicion,
    z: Floats,
    telling: Ints,
    alike: Ints,
    *,
    most: int = 20,
    max_steps: int = 6,
) -> list[Chain]:
    """Rank chains of links that end in a telling act, best first.

    `z` (N,) is each event's standardised surprise; `telling` (A,) the event index of each actor's most telling act that is
    not a link, or -1. For each actor the best-scoring stretch of its ancestry is kept; a stretch contained in a better one is dropped,
    and so is one that only repeats the same acts (`alike` (N,): equal numbers are the same act by whichever process); one
    ancestor opens at most three.
    """
    candidates = np.argsort(-suspicion.total, kind="stable")[: CANDIDATES * most]
    found: list[Chain] = []
    for leaf in candidates.tolist():
        steps: list[int] = []
        doers: list[int] = []
        seen, actor = {leaf}, leaf
        while suspicion.link[actor] >= 0 and len(steps) < max_steps - 1:
            link = int(suspicion.link[actor])
            actor = int(links.maker[link])
            if actor in seen:
                break
            seen.add(actor)
            own = [int(links.prior[link]), int(links.event[link])]
            own = own[1:] if own[0] < 0 or len(steps) + 2 > max_steps - 1 else own
            steps, doers = [*own, *steps], [actor] * len(own) + doers
        last = int(telling[leaf])
        if last >= 0:
            steps, doers = [*steps, last], [*doers, leaf]
        if not steps:
            continue
        values = z[np.array(steps)]
        # √length: under independence every length has the same spread (Stouffer)
        scores = [float(values[i:].sum() / np.sqrt(len(values) - i)) for i in range(len(values))]
        first = max(range(len(scores)), key=lambda i: (scores[i], -i))
        people = tuple(dict.fromkeys([*doers[first:], leaf]))
        found.append(Chain(score=scores[first], actors=people, events=tuple(steps[first:])))
    found.sort(key=lambda c: (-c.score, c.events))
    return tell_apart(found, alike, most=most)


def tell_apart(
    ranked: Iterable[Chain], alike: Ints, *, most: int, opened: dict[int, int] | None = None, shared: float = 1.0
) -> list[Chain]:
    """The first `most` of `ranked` chains that say something new.

    `opened` counts, as it goes, how many each ancestor has opened. A chain of which a share of at least `shared` of its events was
    already told by a better one is dropped.
    """
    kept: list[Chain] = []
    opened = {} if opened is None else opened
    shown: set[tuple[int, ...]] = set()
    for chain in ranked:
        told = set(chain.events)
        acts = tuple(alike[list(chain.events)].tolist())
        if (
            acts in shown
            or opened.get(chain.actors[0], 0) >= MOST_OPENED
            or any(len(told & set(k.events)) >= shared * len(told) for k in kept)
        ):
            continue
        opened[chain.actors[0]] = opened.get(chain.actors[0], 0) + 1
        shown.add(acts)
        kept.append(chain)
        if len(kept) == most:
            break
    return kept
