"""Whether a channel stands still where it usually moves: the flat line that a stuck sensor leaves, even where its level is ordinary.

Equal readings in a row are compared with the rest of the channel. A run counts as a standstill when the rest moves at most steps, when so
long a run would come by chance less than once in a thousand such series (steps taken as independent), and when the channel does not rest
like that time and again (a pump that stops every night is not stuck, nor is a reading in coarse steps).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.samples import Series

LEAST_ROWS = 5
USUALLY_MOVES = 0.2
"""Least share of steps that change elsewhere; the same as for a flatline in `tools.series.describe`."""
CHANCE = 1e-3
LONGER = 3
"""How many times longer than the second longest run elsewhere: the longest may be a standstill of its own, two make a habit."""


@dataclass(frozen=True, kw_only=True)
class Standstill:
    """A channel's equal readings in the rows [first, last], and the share (0–1) of steps that change outside them."""

    channel: int
    first: int
    last: int
    value: float
    moves_elsewhere: float

    @property
    def rows(self) -> int:
        """How many readings stand still."""
        return self.last - self.first + 1


def standstills(series: Series, channel: int) -> list[Standstill]:
    """The stretches in which a channel stands still though it usually moves, in order.

    >>> values = np.random.default_rng(1).normal(size=(500, 1)).astype(np.float32)
    >>> values[200:260] = 0.5
    >>> found = standstills(Series(name="s", values=values, time_s=np.arange(500.0), channels=("a",)), 0)
    >>> [(run.first, run.last) for run in found]
    [(200, 259)]
    """
    values = series.values[:, channel]
    starts, lengths = _runs(values)
    if not len(starts):
        return []
    steps = int((lengths - 1).sum()) + len(lengths) - 1
    found = []
    for at in np.flatnonzero(lengths >= LEAST_ROWS):
        length = int(lengths[at])
        others = steps - (length - 1)
        still = int((lengths - 1).sum()) - (length - 1)
        moves = 1.0 - still / others if others > 0 else 0.0
        rests = np.sort(np.delete(lengths, at))[-2:]
        if moves < USUALLY_MOVES or (len(rests) == 2 and length < LONGER * rests[0]):
            continue
        by_chance = len(values) * max(1.0 - moves, 1.0 / len(values)) ** (length - 1)
        if by_chance < CHANCE:
            first = int(starts[at])
            found.append(Standstill(channel=channel, first=first, last=first + length - 1, value=float(values[first]),
                                    moves_elsewhere=moves))  # fmt: skip
    return found


def _runs(values: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First rows and lengths of the runs of equal readings; missing readings belong to none and end one."""
    known = ~np.isnan(values)
    tolerance = 1e-6 * max(float(np.abs(values[known]).max(initial=0.0)), 1e-12)
    with np.errstate(invalid="ignore"):
        new = np.r_[True, ~(np.abs(np.diff(values)) <= tolerance)]
    starts = np.flatnonzero(new & known)
    ends = np.flatnonzero(known & np.r_[new[1:] | ~known[1:], True])
    return starts, ends - starts + 1
