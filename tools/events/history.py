"""How much of normal logs is kept, and which part of it is held out while the rest is learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tools.events.counts import Units

if TYPE_CHECKING:
    import polars as pl

MAX_UNITS = 2_000_000
MAX_REFERENCES = 200_000
MAX_FOLDS = 5


def stretches(tables: list[pl.DataFrame]) -> list[pl.DataFrame]:
    """The logs themselves, or a single log cut into contiguous stretches, so that something can be held out."""
    if len(tables) > 1 or tables[0].height < 2 * MAX_FOLDS:
        return tables
    size = -(-tables[0].height // MAX_FOLDS)
    return [tables[0].slice(start, size) for start in range(0, tables[0].height, size)]


def bounded(units: Units) -> NDArray[np.int64]:
    """Indices of at most MAX_UNITS units, whole voters at a time, evenly over the history."""
    every = -(-len(units) // MAX_UNITS)
    return np.flatnonzero(units.actor % max(every, 1) == 0)


def thinned(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Ascending; more than MAX_REFERENCES are represented by evenly spaced ranks, both ends included."""
    ordered = np.sort(scores)
    if len(ordered) <= MAX_REFERENCES:
        return ordered
    return ordered[np.linspace(0, len(ordered) - 1, MAX_REFERENCES).round().astype(np.int64)]
