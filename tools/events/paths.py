"""Time-ordered paths through a graph of flows: the best one arriving at every event, and the best ones of a length, found exactly.

A path is a sequence of edges, each from where the last one ended, over no entity twice, with times t₁ ≤ t₂ ≤ … to be found in
the edges' sets of times; going on at the earliest possible moment loses nothing. Its weight is the sum of its edges' weights
(−log of their factors, so the product of the factors falls as a path grows). Dynamic programming over the distinct times gives
bounds that respect time: of walks that may return, hence never below the weight of a path. The search for the best paths is
best-first with these bounds (A*, Hart et al. 1968): what cannot reach the k-th best is never opened.
Weights are whole numbers of `UNIT` nats, so that sums are exact. Axes: edges (E,), distinct times (M,).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

UNIT = 2.0**-20
"""One unit of weight in nats."""
_NONE = np.int64(-1)
"""Weight of what does not exist."""
MOST_NATS, MOST_LENGTH = 512.0, 8
_LIFT = np.int64(2**33)
"""More than any path can weigh."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Path:
    """The edges of a path, the index of the time at which each is passed, and its weight in nats."""

    weight: float
    edges: tuple[int, ...]
    moments: tuple[int, ...]


class TimedPaths:
    """Paths of a graph: `source`, `target`, `nats` (E,) its edges, `start` (E + 1,) bounds of each edge's ascending `times` (M,).

    `opens` and `closes` (E,) say with which edges a path may begin and end; all by default. `slack_s` is by how much clocks may
    disagree: an edge may be followed by one whose time is up to that much earlier. `entities` nodes in a row are one entity, in
    different states of a pattern.

    >>> paths = TimedPaths(np.array([0, 1]), np.array([1, 2]), np.array([1.0, 2.0]), np.array([0, 1, 3]), np.array([5.0, 3.0, 9.0]))
    >>> [(p.weight, p.edges, p.moments) for p in paths.best(2)]
    [(3.0, (0, 1), (0, 2))]
    """

    def __init__(
        self, source: Ints, target: Ints, nats: Floats, start: Ints, times: Floats, *, opens: NDArray[np.bool_] | None = None,
        closes: NDArray[np.bool_] | None = None, entities: int = 1, slack_s: float = 0.0,
    ) -> None:  # fmt: skip
        self.source, self.target = source, target
        self.weight = np.round(np.clip(nats, 0.0, MOST_NATS) / UNIT).astype(np.int64)
        self._entities = entities
        self.opens = (source // entities != target // entities) & (True if opens is None else opens)
        self.closes = np.ones(len(source), bool) if closes is None else closes
        self.start, self.times = start, times
        self._edge = np.repeat(np.arange(len(source)), np.diff(start))
        self._clock = np.unique(times)
        rank = np.searchsorted(self._clock, times)
        self._out = _Groups(source[self._edge], rank, len(self._clock))
        self._in = _Groups(target[self._edge], rank, len(self._clock))
        self._slack_s = slack_s
        self._next = self._out.first_from(target[self._edge], np.searchsorted(self._clock, times - slack_s))
        self._onward: list[Ints] = []
        self.gave_up = False

    def arriving(self, most: int) -> list[Floats]:
        """For lengths 1 to `most`: nats of the best walk whose last edge is passed at each time (M,); −inf where there is none."""
        own = self.weight[self._edge]
        last = self._in.last_until(self.source[self._edge], self._until(self.times))
        found = [np.where(self.opens[self._edge], own, _NONE)]
        while len(found) < most:
            found.append(_add(own, self._in.best_before(found[-1], last)))
        closes = self.closes[self._edge]
        return [np.where(closes & (values >= 0), values * UNIT, -np.inf) for values in found]

    def _until(self, times: Floats) -> Ints:
        """Rank of the last distinct time at which something may have happened that `times` followed."""
        return np.searchsorted(self._clock, times + self._slack_s, side="right") - 1

    def best(
        self, length: int, *, spent: Callable[[int], bool] = lambda edge: False, most_opened: int = 200_000
    ) -> Iterator[Path]:
        """Paths of `length` edges, heaviest first. `spent(edge)` tells with which first edges none is wanted any more.

        Ends early, with `TimedPaths.gave_up` set, after opening `most_opened` partial paths.
        """
        onward = self._completions(length)
        first = np.flatnonzero(self.opens & (np.diff(self.start) > 0))
        bound = _add(self.weight[first], onward[length - 1][self.start[first]])
        alive = bound >= 0
        first, bound = first[alive], bound[alive]
        order = np.lexsort((first, -bound))
        opened = 0
        # an entry: (−bound, −edges so far, number, weight so far, edges, moments, moments that may come next in order, their bounds, place)
        heap: list[tuple[int, int, int, int, tuple[int, ...], tuple[int, ...], Ints, Ints, int]] = []
        if len(order):
            heap.append((-int(bound[order[0]]), 0, 0, 0, (), (), self.start[first[order]], bound[order], 0))
        number = 1
        while heap:
            _, _, _, weight, edges, moments, following, bounds, place = heapq.heappop(heap)
            if edges and spent(edges[0]):
                continue
            if place + 1 < len(following):
                entry = (-int(bounds[place + 1]), -len(edges), number, weight, edges, moments, following, bounds, place + 1)
                heapq.heappush(heap, entry)
                number += 1
            moment = int(following[place])
            edge = int(self._edge[moment])
            if not edges and spent(edge):
                continue
            weight += int(self.weight[edge])
            edges, moments = (*edges, edge), (*moments, moment)
            if len(edges) == length:
                yield Path(weight=weight * UNIT, edges=edges, moments=moments)
                continue
            opened += 1
            if opened > most_opened:
                self.gave_up = True
                return
            following = self._following(moment, edges)
            left = _add(self.weight[self._edge[following]], onward[length - len(edges) - 1][following])
            alive = left >= 0
            following, left = following[alive], left[alive]
            if len(following):
                order = np.lexsort((following, -left))
                following, bounds = following[order], left[order] + weight
                heapq.heappush(heap, (-int(bounds[0]), -len(edges), number, weight, edges, moments, following, bounds, 0))
                number += 1

    def _following(self, moment: int, edges: tuple[int, ...]) -> Ints:
        """The earliest moments of the edges that may come after `moment` without returning to an entity of `edges`."""
        ahead = self._out.from_place(int(self.target[edges[-1]]), int(self._next[moment]))
        _, first = np.unique(self._edge[ahead], return_index=True)
        ahead = ahead[first]
        passed = [int(self.source[edge]) // self._entities for edge in edges] + [int(self.target[edges[-1]]) // self._entities]
        return np.asarray(ahead[~np.isin(self.target[self._edge[ahead]] // self._entities, passed)])

    def _completions(self, length: int) -> list[Ints]:
        """For 0 to `length` − 1 further edges: units of the best walk after each time (M,)."""
        own = self.weight[self._edge]
        if not self._onward:
            self._onward.append(np.where(self.closes[self._edge], np.int64(0), _NONE))
        while len(self._onward) < length:
            self._onward.append(self._out.best_after(_add(own, self._onward[-1]), self._next))
        return self._onward


def _add(weight: Ints, more: Ints) -> Ints:
    return np.where(more >= 0, weight + more, _NONE)


class _Groups:
    """Moments in order of entity and time, and running maxima within entities. Places are positions in that order, −1 for none."""

    def __init__(self, entity: Ints, rank: Ints, ranks: int) -> None:
        self._width = ranks + 1
        key = entity * self._width + rank
        self.order = np.argsort(key, kind="stable")
        self._key = key[self.order]
        self._entity = entity[self.order]
        self._last = int(self._entity[-1]) if len(entity) else -1

    def first_from(self, entity: Ints, rank: Ints) -> Ints:
        """The first place of each `entity` (n,) whose rank is at least `rank` (n,)."""
        place = np.searchsorted(self._key, entity * self._width + rank)
        return self._own(place, entity)

    def last_until(self, entity: Ints, rank: Ints) -> Ints:
        """The last place of each `entity` (n,) whose rank is at most `rank` (n,)."""
        place = np.searchsorted(self._key, entity * self._width + rank, side="right") - 1
        return self._own(place, entity)

    def _own(self, place: Ints, entity: Ints) -> Ints:
        inside = (place >= 0) & (place < len(self._entity))
        inside[inside] = self._entity[place[inside]] == entity[inside]
        return np.where(inside, place, -1)

    def from_place(self, entity: int, place: int) -> Ints:
        """The moments of `entity` from `place` on."""
        if place < 0:
            return np.zeros(0, np.int64)
        return self.order[place : int(np.searchsorted(self._entity, entity, side="right"))]

    def best_before(self, values: Ints, place: Ints) -> Ints:
        """The largest of `values` (M,) in the group of each place (n,), up to it."""
        return self._pick(self._running(values[self.order], self._entity), place)

    def best_after(self, values: Ints, place: Ints) -> Ints:
        """The largest of `values` (M,) in the group of each place (n,), from it on."""
        backwards = self._running(values[self.order][::-1], self._last - self._entity[::-1])
        return self._pick(backwards[::-1], place)

    @staticmethod
    def _running(values: Ints, group: Ints) -> Ints:
        # each group lifted above everything in the one before it, so that one running maximum serves them all
        lift = group * _LIFT
        return np.asarray(np.maximum.accumulate(np.maximum(values, -1) + lift) - lift)

    @staticmethod
    def _pick(running: Ints, place: Ints) -> Ints:
        if len(running) == 0:
            return np.full(len(place), _NONE)
        found = running[np.maximum(place, 0)]
        return np.where((place >= 0) & (found >= 0), found, _NONE)
