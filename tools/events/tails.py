"""From surprises to honest tail probabilities: how often held-out normal events are at least this surprising.

Counted surprises of different attributes are not comparable as they stand: in any new log many objects are new, few
programs are. Each attribute's surprise is therefore replaced by −log P(held-out surprise ≥ it), so that a nat means the
same everywhere and the attributes may be added (Fisher 1932). Arrays are (n,) in nats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

AMPLIFY = 3.0
"""A surprise is worth at most this many times itself: ranking must not blow differences of next to nothing up into nats."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tail:
    """A step function: held-out `surprise` levels, ascending, and the `nats` each is worth; one nat per nat beyond the last."""

    surprise: Floats
    nats: Floats

    @classmethod
    def of(cls, held_out: Floats) -> Tail:
        """Learn from held-out surprises (n,) ≥ 0; without any, surprises stay as they are.

        >>> tail = Tail.of(np.array([0.0, 0.0, 0.0, 5.0]))
        >>> tail.convert(np.array([0.0, 0.1, 5.0, 6.0])).round(2).tolist()
        [0.0, 0.3, 0.92, 1.92]
        """
        # thousandths of a nat are plenty, and keep the function small
        level, count = np.unique(np.round(held_out, 3), return_counts=True)
        at_least = len(held_out) - np.cumsum(count) + count
        return cls(surprise=level, nats=np.log(len(held_out) + 1.0) - np.log(at_least + 1.0))

    def convert(self, surprise: Floats) -> Floats:
        """Nats of each surprise (n,)."""
        if len(self.surprise) == 0:
            return surprise
        last = len(self.surprise) - 1
        step = np.minimum(np.searchsorted(self.surprise, np.round(surprise, 3), side="left"), last)
        beyond = np.maximum(surprise - self.surprise[last], 0.0)
        return np.asarray(np.minimum(self.nats[step] + beyond, AMPLIFY * surprise))
