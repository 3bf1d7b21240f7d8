"""How characteristic it is for an entity to send and to receive: a random walk with restart over who flows to whom.

Sender scores X and receiver scores Y explain each other, X ← Ā·Y and Y ← Āᵀ·X, where Ā = (1 − c)·A + c·R mixes the transitions
A(u, v), the share of u's flows that go to v, with a restart R that is uniform over the targets u's type may reach
(Dong et al., CIKM 2017; the recursion is that of HITS, Kleinberg 1999). The restart makes the limit unique wherever types are
connected. Axes: entities by role (R,). Scores sum to 1 over all roles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

RESTART = 0.1
TOLERANCE = 1e-9
MOST_ROUNDS = 2_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Roles:
    """Sender and receiver scores (R,), how many rounds they took, and whether they settled within `MOST_ROUNDS`."""

    sender: Floats
    receiver: Floats
    rounds: int
    converged: bool


def walk(
    source: Ints,
    target: Ints,
    mass: Floats,
    kind: Ints,
    *,
    restart: float = RESTART,
    tolerance: float = TOLERANCE,
    most_rounds: int = MOST_ROUNDS,
) -> Roles:
    """Walk a graph of roles: `source`, `target`, `mass` (n,) its weighted edges, repeats allowed, `kind` (R,) the type of each role.

    >>> found = walk(np.array([0, 0, 2]), np.array([1, 1, 1]), np.ones(3), np.zeros(3, int))
    >>> found.converged, int(found.receiver.argmax()), found.sender.round(2).tolist()
    (True, 1, [0.41, 0.18, 0.41])
    """  # fmt: skip
    from scipy.sparse import csr_array

    size, kinds = len(kind), int(kind.max(initial=0)) + 1
    counted = csr_array((mass, (source, target)), shape=(size, size))
    out = np.asarray(counted.sum(axis=1)).ravel()
    share = csr_array((mass / out[source], (source, target)), shape=(size, size))
    back = share.T.tocsr()
    allowed = np.zeros((kinds, kinds))
    allowed[kind[source], kind[target]] = 1.0
    members = np.bincount(kind, minlength=kinds).astype(np.float64)
    reachable = allowed @ members
    spread = np.divide(allowed, reachable[:, None], out=np.zeros_like(allowed), where=reachable[:, None] > 0)
    # a role that never sends has no transitions of its own: its type's restart stands in for all of them
    kept = np.where(out > 0, 1.0 - restart, 0.0)
    leap = np.where(out > 0, restart, 1.0)

    def forward(values: Floats) -> Floats:
        return np.asarray(kept * (share @ values) + leap * (spread @ np.bincount(kind, weights=values, minlength=kinds))[kind])

    def backward(values: Floats) -> Floats:
        leapt = np.bincount(kind, weights=leap * values, minlength=kinds)
        return np.asarray(back @ (kept * values) + (spread.T @ leapt)[kind])

    sender = receiver = np.full(size, 1.0 / max(size, 1))
    for rounds in range(1, most_rounds + 1):
        new_sender = _whole(forward(receiver))
        new_receiver = _whole(backward(new_sender))
        moved = float(np.abs(new_sender - sender).sum() + np.abs(new_receiver - receiver).sum())
        sender, receiver = new_sender, new_receiver
        if moved < tolerance:
            return Roles(sender=sender, receiver=receiver, rounds=rounds, converged=True)
    return Roles(sender=sender, receiver=receiver, rounds=most_rounds, converged=False)


def _whole(values: Floats) -> Floats:
    total = float(values.sum())
    return np.asarray(values / total) if total > 0 else values
