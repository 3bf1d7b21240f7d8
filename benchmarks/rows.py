"""One benchmark row: data set × method × metrics, with what it cost. Task modules yield rows; `benchmarks.run` stores them.

A task module `benchmarks/tasks_<suite>.py` has `def rows(data: Path, *, quick: bool) -> Iterator[Row]`; `quick` means a
subset small enough for a smoke test. A data set that is absent is skipped with a printed reason, never silently.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Row:
    """`metrics` are higher = better unless their name says otherwise; `seeds` are those the method used."""

    data: str
    method: str
    metrics: dict[str, float]
    seconds: float
    peak_mb: float
    seeds: tuple[int, ...] = ()
    trivial: bool = False
    """A row that needs no detector (random, time ramp): what any detector must beat."""
    note: str = ""


@dataclass
class Cost:
    """Filled by `measured` when its block ends: wall seconds and the process's peak memory so far in MB."""

    seconds: float = 0.0
    peak_mb: float = 0.0
    laps: dict[str, float] = field(default_factory=dict)


@contextmanager
def measured() -> Iterator[Cost]:
    """Time a block.

    >>> with measured() as cost:
    ...     _ = sum(range(10))
    >>> cost.seconds >= 0
    True
    """
    cost = Cost()
    start = time.perf_counter()
    yield cost
    cost.seconds = time.perf_counter() - start
    cost.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
