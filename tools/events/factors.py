"""The three factors of a flow: how usual its sender, its receiver, and the transition between them are in a history.

History is what flows were seen between which roles (names, not instances), so that it speaks about other machines too. A transition
is judged by counts with back-off to coarser names (`tools.events.counts`), both ways: an ordinary shell started by a program that
nobody knows is unusual for the shell, not for the program. Sender and receiver are judged by the random walk over the
history's roles (`tools.events.walk`). Whatever a factor measures, −log of it is replaced by −log of the share of held-out
events that look at least as strange by it (`tools.events.tails`): each factor is then a probability, and their product may be taken.
Axes: edges (E,), roles (R,). Values are in nats, ≥ 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tools.events import counts
from tools.events.flows import Flows
from tools.events.history import bounded
from tools.events.prepare import merge
from tools.events.tails import Tail
from tools.events.walk import Roles, walk

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SENDER, TRANSITION, RECEIVER = "the sender", "what flows from the sender to the receiver", "the receiver"
FACTORS = (SENDER, TRANSITION, RECEIVER)
_TRANSITION = counts.Factor(
    name=TRANSITION, values=("v0", "v1", "v2"), contexts=(("u0", "op"), ("u1", "op"), ("op",), ())
)  # fmt: skip
_BACKWARD = counts.Factor(
    name="sender given receiver, operation", values=("u0", "u1", "u2"), contexts=(("v0", "op"), ("v1", "op"), ("op",), ())
)  # fmt: skip
_ALONE = {
    SENDER: counts.Factor(name=SENDER, values=("u0", "u1", "u2"), contexts=((),)),
    RECEIVER: counts.Factor(name=RECEIVER, values=("v0", "v1", "v2"), contexts=((),)),
}
_MINUTE_S = 60.0
_ENOUGH = 100
"""Held-out events of a kind of flow that are needed to judge it by its own kind."""
_UNSEEN = float(np.log(2.0))
"""An unseen role is half as usual as the least usual seen one of its class, a quarter of that of its type, and so on."""

Nats: TypeAlias = dict[str, Floats]


def as_units(flows: Flows) -> tuple[counts.Units, Ints]:
    """A log's edges as what is counted, each with one vote of its actor, and the edge of each unit.

    Where the log does not name process instances an actor votes anew every minute, and without a time span at every moment.
    """
    edge, mass, voter = np.arange(len(flows)), flows.counts.astype(np.float64), flows.actor
    if not flows.named:
        seconds = flows.times - flows.times.min(initial=0.0)
        turn = (seconds // _MINUTE_S).astype(np.int64) if np.ptp(seconds) > _MINUTE_S else np.arange(len(seconds))
        first, unit = np.unique(counts.pair(flows.edge, turn), return_index=True, return_inverse=True)[1:]
        edge, mass = flows.edge[first], np.bincount(unit).astype(np.float64)
        voter = counts.pair(flows.actor[edge], turn[first])
    units = counts.Units(
        columns={name: codes[edge] for name, codes in flows.codes.items()}, actor=voter, mass=mass, starts=flows.makes[edge]
    )
    return units, edge


@dataclass(frozen=True, kw_only=True, eq=False)
class History:
    """Counted edges, `kind` (units, 2) of their senders and receivers, and the walk over their roles."""

    units: counts.Units
    kind: NDArray[np.int64]
    roles: Roles

    @classmethod
    def learn(cls, logs: Sequence[Flows]) -> History:
        """Count and walk the flows of `logs`; of very long histories an even part."""
        counted = [as_units(log) for log in logs]
        units = merge([units for units, _ in counted])
        kept = bounded(units)
        kinds = np.concatenate([kinds_of(log)[edge] for log, (_, edge) in zip(logs, counted, strict=True)])
        return cls.of(units.take(kept), kinds[kept])

    @classmethod
    def of(cls, units: counts.Units, kind: NDArray[np.int64]) -> History:
        """Walk over the roles of `units`."""
        source, target = units.columns["u0"], units.columns["v0"]
        known = np.zeros(int(max(source.max(initial=0), target.max(initial=0))) + 1, np.int64)
        known[source], known[target] = kind[:, 0], kind[:, 1]
        return cls(units=units, kind=kind, roles=walk(source, target, units.mass, known))

    def nats(self, flows: Flows) -> Nats:
        """−log of each factor for each edge of another log, before it is made a probability."""
        # edges of equal roles are equally likely: each combination is looked up once
        same = counts.pair(counts.pair(flows.codes["u0"], flows.codes["v0"]), flows.codes["op"])
        first, label = np.unique(same, return_index=True, return_inverse=True)[1:]
        codes = {name: column[first] for name, column in flows.codes.items()}
        asked = counts.Units(columns=codes, actor=flows.actor[first], mass=np.ones(len(first)), starts=flows.makes[first])
        return {
            SENDER: self._unusual(self.roles.sender, codes, "u")[label],
            TRANSITION: (counts.surprise(self.units, asked, _TRANSITION) + counts.surprise(self.units, asked, _BACKWARD))[label],
            RECEIVER: self._unusual(self.roles.receiver, codes, "v")[label],
        }

    def _unusual(self, score: Floats, asked: Mapping[str, Ints], side: str) -> Floats:
        """−log of a role's score; unseen roles by the least usual of their class, their type, or all."""
        columns = self.units.columns
        own = -np.log(np.maximum(score, score[score > 0].min(initial=1.0)))
        seen = [np.concatenate([columns[f"u{level}"], columns[f"v{level}"]]) for level in range(3)]
        worst = own[seen[0]]
        result = np.full(len(asked[f"{side}0"]), float(worst.max()) + 3 * _UNSEEN)
        for level in (2, 1, 0):
            codes = asked[f"{side}{level}"]
            most = np.full(int(max(seen[level].max(), codes.max(initial=0))) + 1, -np.inf)
            np.maximum.at(most, seen[level], worst)
            found = most[codes] + level * _UNSEEN
            result = np.where(np.isfinite(found), found, result)
        return result


def nats_among_itself(flows: Flows) -> Nats:
    """−log of each factor for each edge with the log as its own history, in which no actor vouches for itself.

    A walk cannot leave everyone out in turn, so that sender and receiver are counted like transitions, and these one way only: what
    a loud attack does to a thing is all that the thing knows.
    """
    units, edge = as_units(flows)
    often = np.bincount(edge, weights=units.mass)
    found = {}
    for factor in (_ALONE[SENDER], _TRANSITION, _ALONE[RECEIVER]):
        surprise = counts.surprise(units, units, factor, leave_own_out=True)
        found[factor.name] = np.asarray(np.bincount(edge, weights=units.mass * surprise) / often)
    return found


def kinds_of(flows: Flows) -> NDArray[np.int64]:
    """Kinds (E, 2) of each edge's sender and receiver."""
    return np.stack([flows.kind[flows.source], flows.kind[flows.target]], axis=1)


def learn_tails(held_out: Sequence[tuple[Flows, Nats]], *, by_event: bool = True) -> dict[str, Tail]:
    """Per factor, how strange held-out events look by it; every event counts, or every edge, lest a flood set the rate.

    A new transition means little for a file and much for a started process, so transitions are also learned for each kind of flow.
    """
    often = [flows.events_of.astype(np.int64) if by_event else np.ones(len(flows), np.int64) for flows, _ in held_out]
    found = {}
    for name in FACTORS:
        found[name] = Tail.of(np.concatenate([np.repeat(n[name], count) for count, (_, n) in zip(often, held_out, strict=True)]))
    transitions = np.concatenate([np.repeat(n[TRANSITION], count) for count, (_, n) in zip(often, held_out, strict=True)])
    kinds = np.concatenate([np.repeat(_kind_of_flow(flows), count) for count, (flows, _) in zip(often, held_out, strict=True)])
    for kind, count in enumerate(np.bincount(kinds).tolist()):
        if count >= _ENOUGH:
            found[f"{TRANSITION} {kind}"] = Tail.of(transitions[kinds == kind])
    return found


def as_probabilities(flows: Flows, nats: Nats, tails: Mapping[str, Tail]) -> Nats:
    """−log of the share of held-out events at least as strange, per factor (E,)."""
    shares = {name: tails[name].convert(values) for name, values in nats.items()}
    kinds = _kind_of_flow(flows)
    for kind in np.unique(kinds).tolist():
        if f"{TRANSITION} {kind}" in tails:
            same = kinds == kind
            shares[TRANSITION][same] = tails[f"{TRANSITION} {kind}"].convert(nats[TRANSITION][same])
    return shares


def _kind_of_flow(flows: Flows) -> Ints:
    """0 where a process is made; else 1 + the type of what a process deals with."""
    return np.where(flows.makes, 0, 1 + np.maximum(flows.kind[flows.source], flows.kind[flows.target]))
