"""How surprising a value is in its context: counted tail probabilities with back-off (after Katz 1987, Witten & Bell 1991).

For a value v in a context c (say: the object, given subject and operation) the history answers one of two things.
Seen before: the share of history that is at most as frequent as v in c. Never seen: how often c brings something new
(Good–Turing: values carried by one actor only), times the tail probability of v's class (its folder, its network). A
context with little history leans on a coarser one. Tail probabilities, unlike −log frequencies, stay calm where every
value is new by nature (temporary files), so surprises of different attributes may be added: each is about 1 nat on average.

An actor (process instance; subject and minute) counts once per value however often it repeats itself, and with
`leave_own_out` never vouches for itself: that is what keeps a loud attack from looking normal in its own log.
Axes: units are distinct (actor, tokens) combinations; every array is (units,).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One attribute judged in its context: `values` finest level first, `contexts` narrowest first."""

    name: str
    values: tuple[str, ...]
    contexts: tuple[tuple[str, ...], ...]
    only_starts: bool = False
    """Judged only where a process is started; counted from such units only."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Units:
    """Distinct (actor, tokens) combinations: `columns` of token codes, `actor` codes, `mass` events each, `starts` mask."""

    columns: Mapping[str, Codes]
    actor: Codes
    mass: NDArray[np.float64]
    starts: NDArray[np.bool_]

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Units:
        """The units at `index`."""
        return Units(
            columns={name: codes[index] for name, codes in self.columns.items()},
            actor=self.actor[index],
            mass=self.mass[index],
            starts=self.starts[index],
        )

    def __len__(self) -> int:
        return len(self.actor)


def pair(first: Codes, second: Codes) -> Codes:
    """Dense codes of the pairs (first[i], second[i]); both are non-negative.

    >>> pair(np.array([0, 0, 1]), np.array([5, 5, 5])).tolist()
    [0, 0, 1]
    """
    if len(first) == 0:
        return first
    joint = first * (int(second.max()) + 1) + second
    return np.asarray(np.unique(joint, return_inverse=True)[1], dtype=np.int64)


def surprise(history: Units, query: Units, factor: Factor, *, leave_own_out: bool = False) -> NDArray[np.float64]:
    """Return the surprise of `factor` for each unit of `query`, in nats, ≥ 0.

    With `leave_own_out`, `query` must be `history` itself: each actor is then judged by the other actors only.
    """
    result = np.zeros(len(query))
    asked = np.flatnonzero(query.starts) if factor.only_starts else np.arange(len(query))
    if len(asked) == 0:
        return result
    if factor.only_starts:
        history, query = history.take(np.flatnonzero(history.starts)), query.take(asked)
    known = len(history)
    columns = {
        name: np.concatenate([history.columns[name], query.columns[name]])
        for name in {*factor.values, *(c for context in factor.contexts for c in context)}
    }
    probability = np.ones(len(query))
    for context in reversed(factor.contexts):
        here = _joint([columns[name] for name in context], known + len(query))
        levels = [_level(here, columns[value], known, history, leave_own_out=leave_own_out) for value in factor.values]
        deepest = levels[-1].novelty.copy()
        for depth in reversed(range(len(levels))):
            chance = levels[depth].tail if depth == 0 else levels[depth - 1].novelty * levels[depth].tail
            deepest = np.where(levels[depth].seen, chance, deepest)
        trust = levels[0].trust
        probability = trust * deepest + (1.0 - trust) * probability
    result[asked] = -np.log(np.clip(probability, 1e-12, 1.0))
    return result


def _joint(columns: Sequence[Codes], length: int) -> Codes:
    """Dense codes of whole rows of `columns`; all zeros for no column (the empty context)."""
    joint = np.zeros(length, np.int64)
    for column in columns:
        joint = pair(joint, column)
    return joint


@dataclass(frozen=True, kw_only=True, eq=False)
class _Level:
    seen: NDArray[np.bool_]
    tail: NDArray[np.float64]
    novelty: NDArray[np.float64]
    trust: NDArray[np.float64]


def _level(context: Codes, value: Codes, known: int, history: Units, *, leave_own_out: bool) -> _Level:
    """Tail, novelty rate and trust of one value level in one context, for the query rows (those after `known`)."""
    cell = pair(context, value)
    n_cells, n_contexts = int(cell.max()) + 1, int(context.max()) + 1
    old_cell, new_cell, new_context = cell[:known], cell[known:], context[known:]
    context_of = np.zeros(n_cells, np.int64)
    context_of[cell] = context
    mass = np.asarray(np.bincount(old_cell, weights=history.mass, minlength=n_cells), dtype=np.float64)

    # one vote per actor and cell
    vote = pair(history.actor, old_cell) if known else np.zeros(0, np.int64)
    first = np.unique(vote, return_index=True)[1]
    voters = np.bincount(old_cell[first], minlength=n_cells)
    once = np.bincount(context_of, weights=mass * (voters == 1), minlength=n_contexts)
    events = np.bincount(context_of, weights=mass, minlength=n_contexts)
    total = np.bincount(context_of, weights=voters, minlength=n_contexts)
    kinds = np.bincount(context_of, weights=voters > 0, minlength=n_contexts)

    cell_voters, cell_mass = voters[new_cell].astype(np.float64), mass[new_cell]
    context_once, context_events = once[new_context], events[new_context]
    context_total, context_kinds = total[new_context], kinds[new_context]
    if leave_own_out:
        # query rows are the history rows: take away what this row's own actor contributed
        own = pair(history.actor, context[:known])
        size = int(own.max()) + 1
        mine = own[first]
        cell_of_vote = old_cell[first]
        context_total = context_total - np.bincount(mine, minlength=size)[own]
        mass_of_vote = np.bincount(vote, weights=history.mass)
        lone, shared = voters[cell_of_vote] == 1, voters[cell_of_vote] == 2
        context_once = context_once - np.bincount(mine, weights=mass_of_vote * lone, minlength=size)[own]
        # a value held by this actor and one other is that other's alone once this actor is left out
        context_once = context_once + np.bincount(mine, weights=(mass[cell_of_vote] - mass_of_vote) * shared, minlength=size)[own]
        context_events = context_events - np.bincount(mine, weights=mass_of_vote, minlength=size)[own]
        context_kinds = context_kinds - np.bincount(mine, weights=lone, minlength=size)[own]
        cell_voters = cell_voters - 1.0
        # a vote like that of the cell's other voters stands in for the own one: ties stay ties, floods do not count
        others = cell_mass - mass_of_vote[vote]
        cell_mass = others + np.minimum(mass_of_vote[vote], others / np.maximum(cell_voters, 1.0))
    novelty = np.clip((np.maximum(context_once, 0.0) + 0.5) / (np.maximum(context_events, 0.0) + 1.0), 0.0, 1.0)
    below = _mass_at_most(context_of, mass, new_context, cell_mass * (1.0 + 1e-9))
    if leave_own_out:
        below = below + np.where(mass[new_cell] > cell_mass, cell_mass, 0.0)
    whole = np.maximum(context_events + (cell_mass - others if leave_own_out else 0.0), below)
    share = np.divide(below, whole, out=np.ones_like(below), where=whole > 0)
    return _Level(
        seen=cell_voters > 0,
        tail=novelty + (1.0 - novelty) * share,
        novelty=novelty,
        trust=np.divide(context_total, context_total + np.maximum(context_kinds, 1.0)),
    )


def _mass_at_most(
    context: Codes, mass: NDArray[np.float64], asked_context: Codes, asked_mass: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Per asked (context, m): the summed mass of that context's cells whose mass is at most m."""
    contexts = np.concatenate([context, asked_context])
    level = np.concatenate([mass, asked_mass])
    is_asked = np.concatenate([np.zeros(len(mass), np.int8), np.ones(len(asked_mass), np.int8)])
    order = np.lexsort((is_asked, level, contexts))
    weight = np.concatenate([mass, np.zeros(len(asked_mass))])[order]
    running = np.cumsum(weight)
    ordered = contexts[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    before = np.repeat(running[starts] - weight[starts], np.diff(np.concatenate([starts, [len(ordered)]])))
    result = np.empty(len(level))
    result[order] = running - before
    return result[len(mass) :]
