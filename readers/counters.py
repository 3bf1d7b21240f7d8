"""Counters that ran over: a meter that shows 65,535 and then 3 has counted on, and nothing fell.

A channel is such a counter when it holds whole numbers that only rise, but for falls from the top of a register (2¹⁵, 2¹⁶, 2³¹, 2³²
or a power of ten from 100,000) to its bottom, each of which, counted on, is a rise of usual size. It is then counted on. A counter that
falls to about nothing from anywhere else was set back, by a restart for example: nobody knows what it missed, so that is only said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from readers.names import shown_text

REGISTERS = (2**15, 2**16, 10**5, 10**6, 10**7, 10**8, 10**9, 2**31, 2**32)
LEAST_RISES = 20
PROBE = 1_000
MOST_FALLS = 0.25
"""Share of steps; a sensor falls about as often as it rises."""
MOST_RESETS = 0.01
"""Share of steps at which a counter may be set back: what starts anew more often is a cycle."""
USUAL = 3.0
"""Times the largest rise elsewhere that a rise over the top may have."""
BOTTOM = 0.05
"""Share of the height it fell from below which a counter begins anew."""


@dataclass(frozen=True, kw_only=True)
class Falls:
    """Where a counter fell: numbers of the first readings after; `register` is what it counts up to, None where it was set back."""

    steps: tuple[int, ...]
    register: int | None


def find_falls(readings: NDArray[np.float32]) -> Falls | None:
    """The falls of a channel (T,) if it is a counter, NaN where a reading is missing; None if it is none or never fell.

    >>> find_falls(np.arange(60_000, 70_000, 100, dtype=np.float32) % 65_536)
    Falls(steps=(56,), register=65536)
    >>> find_falls(np.concatenate([np.arange(40), np.arange(30)]).astype(np.float32))
    Falls(steps=(40,), register=None)
    >>> find_falls(np.sin(np.arange(100, dtype=np.float32)))
    """
    probe = readings[:PROBE]
    probe = probe[~np.isnan(probe)]
    if (probe != np.round(probe)).any() or (np.diff(probe) < 0).sum() > max(1, MOST_FALLS * len(probe)):
        return None  # at little cost: no counter
    seen = np.flatnonzero(~np.isnan(readings))
    x = readings[seen].astype(np.float64)
    steps = np.diff(x)
    falls, rises = np.flatnonzero(steps < 0), steps[steps > 0]
    if not len(falls) or len(rises) < LEAST_RISES or len(falls) > MOST_FALLS * len(steps):
        return None
    if x.min() < 0 or (x != np.round(x)).any():
        return None
    places = tuple(int(step) for step in seen[falls + 1])
    for register in REGISTERS:
        # Single precision knows 2³² to 256.
        rounding = float(np.spacing(np.float32(register)))
        over = steps[falls] + register
        if x.max() <= register + rounding and (over >= -rounding).all() and (over <= USUAL * rises.max() + rounding).all():
            return Falls(steps=places, register=register)
    if len(falls) <= max(1, MOST_RESETS * len(steps)) and (x[falls + 1] <= BOTTOM * x[falls]).all():
        return Falls(steps=places, register=None)
    return None


def counted_on(readings: NDArray[np.float32], falls: Falls) -> NDArray[np.float32]:
    """The readings (T,) with the register added at each fall.

    >>> counted_on(np.array([65_000, 65_500, 464], np.float32), Falls(steps=(2,), register=65_536)).tolist()
    [65000.0, 65500.0, 66000.0]
    """
    turns = np.zeros(len(readings))
    turns[list(falls.steps)] = falls.register or 0
    return np.asarray(readings + np.cumsum(turns), dtype=np.float32)


def count_on(
    values: NDArray[np.float32], channels: Sequence[str], rows: NDArray[np.int64], notes: list[str]
) -> NDArray[np.float32]:
    """Values (T, M) with every counter that ran over counted on; `notes` gets a sentence for it, and for those that were set back.

    Args:
        values: in the order of time.
        channels: M names.
        rows: (T,) row of the file.
        notes: to be added to.
    """
    done = values
    for number, name in enumerate(channels):
        falls = find_falls(values[:, number])
        if falls is None:
            continue
        times = f"{len(falls.steps):,} time{'s' * (len(falls.steps) > 1)}, first in row {rows[falls.steps[0]]:,}"
        if falls.register is None:
            notes.append(
                f"{shown_text(name)!r} counts up and was set back to about 0 {times}: a reset or restart, kept as it is."
            )
            continue
        done = values.copy() if done is values else done
        done[:, number] = counted_on(values[:, number], falls)
        notes.append(
            f"{shown_text(name)!r} is a counter that begins anew after {falls.register - 1:,}, {times}; it was counted on, so later "
            "readings are higher than in the file."
        )
    return done
