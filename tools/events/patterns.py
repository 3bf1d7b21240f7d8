"""Which chains of flows count as paths: by the types of entities they pass, and by what ends them.

A path leads along flows and ends with an act: what the last process reached did, or the flow that reached it. Listed patterns are
type sequences such as "socket>process>file". Without a list the types themselves say what carries on: a process made by another,
and whatever passes through a file or socket. Pipes, registry keys, looked-up names and memory that is opened only end a path, since
nearly every process shares them with nearly every other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from tools.events.acts import PROCESS, TYPES
from tools.events.flows import Flows
from tools.events.paths import MOST_LENGTH, TimedPaths

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_CARRIERS = [TYPES.index(name) for name in ("file", "socket")]


@dataclass(frozen=True, kw_only=True, eq=False)
class Search:
    """`paths` over copies of a log's edges; `edge` says of which edge each is a copy, `moment` of which moment each of theirs is."""

    paths: TimedPaths
    edge: Ints
    moment: Ints


def read_patterns(patterns: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Type sequences as numbers.

    Raises:
        BadInput: an unknown type, a sequence that is too short or long, or two neighbours of which neither is a process.

    >>> read_patterns(["socket > process > file"])
    ((2, 0, 1),)
    """
    found = []
    for pattern in patterns:
        names = [name.strip().lower() for name in pattern.split(">")]
        unknown = [name for name in names if name not in TYPES]
        if unknown or not 2 <= len(names) <= MOST_LENGTH + 1:
            raise BadInput(
                f"pattern {pattern!r}: expected 2 to {MOST_LENGTH + 1} of {', '.join(TYPES)} joined by '>', got {names}; "
                "for example 'socket>process>file'."
            )
        if any(PROCESS not in pair for pair in pairwise(names)):
            raise BadInput(f"pattern {pattern!r}: expected a process in every pair of neighbours; nothing flows without one.")
        found.append(tuple(TYPES.index(name) for name in names))
    return tuple(dict.fromkeys(found))


def search(
    flows: Flows,
    nats: Floats,
    patterns: Sequence[tuple[int, ...]] = (),
    *,
    slack_s: float = 0.0,
    ends: NDArray[np.bool_] | None = None,
) -> Search:
    """The paths of a log whose edges weigh `nats` (E,), in a graph in which following edges is following a pattern.

    `ends` (M,) marks the moments at which a path may end; all by default.
    """
    inward = flows.walked & (flows.actor == flows.target)
    other = np.where(flows.actor == flows.source, flows.target, flows.source)
    kind = flows.kind
    parts: list[tuple[Ints, Ints, Ints, int, int]] = []  # edges, their ends, and the states before and after
    if not patterns:
        carrying = flows.walked & (flows.makes | np.isin(kind[flows.source], _CARRIERS) | np.isin(kind[flows.target], _CARRIERS))
        _add(parts, np.flatnonzero(carrying), flows.source, flows.target, 0, 0)
        _add(parts, np.arange(len(flows)), flows.actor, other, 0, 1)
        _add(parts, np.flatnonzero(carrying & inward), flows.source, flows.target, 0, 1)
        last, states = [1], 2
    else:
        state_of: dict[tuple[int, ...], int] = {}
        last = []
        for pattern in patterns:
            for length in range(1, len(pattern)):
                before = state_of.setdefault((*pattern[:length], -1) if length > 1 else (), len(state_of))
                final = length == len(pattern) - 1
                after = state_of.setdefault(pattern if final else (*pattern[: length + 1], -1), len(state_of))
                here, there = pattern[length - 1], pattern[length]
                if final:
                    last.append(after)
                    fits = (kind[flows.actor] == here) & (kind[other] == there)
                    _add(parts, np.flatnonzero(fits), flows.actor, other, before, after)
                    fits = inward & (kind[flows.source] == here) & (kind[flows.target] == there)
                    _add(parts, np.flatnonzero(fits), flows.source, flows.target, before, after)
                elif (before, after) not in {(b, a) for *_, b, a in parts}:
                    fits = flows.walked & (kind[flows.source] == here) & (kind[flows.target] == there)
                    _add(parts, np.flatnonzero(fits), flows.source, flows.target, before, after)
        states = len(state_of)
    edge = np.concatenate([part[0] for part in parts])
    source, target = np.concatenate([part[1] for part in parts]), np.concatenate([part[2] for part in parts])
    sizes = [len(part[0]) for part in parts]
    state, next_state = np.repeat([part[3] for part in parts], sizes), np.repeat([part[4] for part in parts], sizes)
    counts = flows.counts[edge]
    start = np.r_[0, np.cumsum(counts)]
    moment = np.arange(start[-1]) + np.repeat(flows.start[edge] - start[:-1], counts)
    closing = np.isin(next_state, last)
    if ends is not None:
        copy = np.repeat(np.arange(len(edge)), counts)
        kept = ~closing[copy] | ends[moment]
        moment, start = moment[kept], np.r_[0, np.cumsum(np.bincount(copy[kept], minlength=len(edge)))]
    paths = TimedPaths(
        source * states + state, target * states + next_state, nats[edge], start, flows.times[moment],
        opens=state == 0, closes=closing, entities=states, slack_s=slack_s,
    )  # fmt: skip
    return Search(paths=paths, edge=edge, moment=moment)


def _add(
    parts: list[tuple[Ints, Ints, Ints, int, int]], edges: Ints, source: Ints, target: Ints, before: int, after: int
) -> None:
    parts.append((edges, source[edges], target[edges], before, after))
