"""From weighed flows to what is told: each moment's strangest path, and the strangest paths of all, in words.

Axes: edges (E,), moments (M,), events (N,).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.scores import PathScore
from tools.events import lineage, story
from tools.events.counts import pair
from tools.events.factors import FACTORS, Nats
from tools.events.flows import Flows
from tools.events.lengths import Length
from tools.events.patterns import Search, search

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BEFORE = "what led there"
"""The part of a score that comes from the path before the event."""
MAKERS = 2
"""Links before a path that are told with it."""
SHARED = 0.5
"""A path of which at least so many events were told by a better one is a variant of that."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Weighed:
    """`shares` and their sum `own` (E,) in nats, the paths, and per length the nats of the best path ending at each moment (M,)."""

    shares: Nats
    own: Floats
    search: Search
    totals: list[Floats]


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """Per moment (M,): the score, and its shares, which add up to it."""

    scores: Floats
    shares: dict[str, Floats]


def weigh(
    flows: Flows,
    shares: Nats,
    length: int,
    patterns: Sequence[tuple[int, ...]],
    *,
    slack_s: float,
    ends: NDArray[np.bool_] | None = None,
) -> Weighed:
    """Look for the best path to each moment, of each length up to `length`; `ends` (M,) limits where paths may end."""
    whole = np.sum([shares[name] for name in FACTORS], axis=0)
    found = search(flows, whole, patterns, slack_s=slack_s, ends=ends)
    totals = []
    for values in found.paths.arriving(length):
        best = np.full(len(flows.times), -np.inf)
        np.maximum.at(best, found.moment, values)
        totals.append(best)
    return Weighed(shares=shares, own=whole, search=found, totals=totals)


def judge(flows: Flows, weighed: Weighed, lengths: Sequence[Length]) -> Judged:
    """The strangest path that ends at each moment, in nats of a single flow as strange."""
    edge = flows.edge
    own = weighed.own[edge]
    # an act that ends no path by the listed patterns is judged alone
    deviations, total = lengths[0].standardise(own), own
    for length, values in zip(lengths, weighed.totals, strict=True):
        exists = np.isfinite(values)
        found = np.where(exists, length.standardise(np.where(exists, values, 0.0)), -np.inf)
        total = np.where(found > deviations, values, total)
        deviations = np.maximum(deviations, found)
    scores = lengths[0].restore(deviations)
    part = np.divide(scores, total, out=np.zeros_like(scores), where=total > 0)
    shares = {name: weighed.shares[name][edge] * part for name in FACTORS}
    shares[BEFORE] = scores - np.sum(list(shares.values()), axis=0)
    return Judged(scores=scores, shares=shares)


def by_length(logs: Sequence[tuple[Flows, Weighed]]) -> list[Floats]:
    """Per length, the nats of the best path ending with each edge's first act, over all logs: repeating an act adds nothing."""
    found = []
    for number in range(len(logs[0][1].totals)):
        values = np.concatenate([weighed.totals[number][flows.start[:-1]] for flows, weighed in logs])
        found.append(values[np.isfinite(values)])
    return found


def alike(flows: Flows, at: Ints | None = None) -> Ints:
    """Per event (N,): a number that equal acts share, whichever process did them."""
    same = pair(pair(flows.codes["u0"], flows.codes["op"]), flows.codes["v0"])
    if at is not None:
        return same[flows.edge[at]]
    by_event = np.full(int(flows.event.max()) + 1, -1, np.int64)
    by_event[flows.event] = same[flows.edge]
    return by_event


def with_actors(chain: lineage.Chain, actors: lineage.Actors) -> lineage.Chain:
    """The chain with the actors of its events, and whom the last of them made."""
    people = actors.of_event[list(chain.events)].tolist()
    made = int(actors.target[chain.events[-1]])
    return lineage.Chain(
        score=chain.score, actors=tuple(dict.fromkeys([*people, *([made] if made >= 0 else [])])), events=chain.events
    )


def to_the_end(chain: lineage.Chain, endings: Ints, times: Floats) -> lineage.Chain:
    """The chain and, if it comes later, what tells most of all that its last actor did (`endings` (A,): events, −1 for none)."""
    ending = int(endings[chain.actors[-1]])
    if ending < 0 or ending in chain.events or times[ending] < times[chain.events[-1]]:
        return chain
    return lineage.Chain(score=chain.score, actors=chain.actors, events=(*chain.events, ending))


def from_the_start(chain: lineage.Chain, actors: lineage.Actors, links: lineage.Links, times: Floats) -> lineage.Chain:
    """The chain with the links that made its first actor and that one's maker put before it: who let it in, however ordinary that was."""
    events, people = chain.events, chain.actors
    for _ in range(MAKERS):
        begun = times[events[0]]
        makers = np.flatnonzero((links.made == people[0]) & (times[links.event] <= begun))
        if len(makers) == 0:
            break
        event = int(links.event[makers[-1]])
        maker = int(actors.of_event[event])
        if event in events or maker in people:
            break
        events, people = (event, *events), (maker, *people)
    return lineage.Chain(score=chain.score, actors=people, events=events)


def strangest(flows: Flows, found: Search, lengths: Sequence[Length], same: Ints, *, most: int) -> list[lineage.Chain]:
    """The strangest paths that say something new, as entities and events; `same` (N,) numbers equal acts alike."""
    opened: dict[int, int] = {}

    def spent(edge: int) -> bool:
        return opened.get(int(flows.actor[found.edge[edge]]), 0) >= lineage.MOST_OPENED

    def told(steps: int, length: Length) -> Iterator[lineage.Chain]:
        for path in found.paths.best(steps, spent=spent):
            actors = flows.actor[found.edge[list(path.edges)]]
            events = flows.event[found.moment[list(path.moments)]]
            deviations = float(length.standardise(np.array([path.weight]))[0])
            yield lineage.Chain(score=deviations, actors=tuple(actors.tolist()), events=tuple(events.tolist()))

    ranked = heapq.merge(*(told(steps, length) for steps, length in enumerate(lengths, start=1)), key=lambda chain: -chain.score)
    return lineage.tell_apart(ranked, same, most=most, opened=opened, shared=SHARED)


def tell(chains: Sequence[lineage.Chain], events: Sequence[int], table: pl.DataFrame) -> tuple[PathScore, ...]:
    """Put chains into words when only the rows of their `events` (ascending) are at hand, as `table`."""
    if not chains:
        return ()
    place = {event: i for i, event in enumerate(events)}
    actors = lineage.find_actors(table)
    teller = story.Teller(table, actors, np.arange(table.height), np.zeros(table.height), np.zeros(actors.count))
    moved = [
        lineage.Chain(score=chain.score, actors=chain.actors, events=tuple(place[event] for event in chain.events))
        for chain in chains
    ]
    return teller.paths([with_actors(chain, actors) for chain in moved])
