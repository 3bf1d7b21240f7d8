"""Comparisons with numbers as sets of intervals, to tell which of them can hold together."""

from __future__ import annotations

import math
from collections.abc import Sequence

Range = tuple[float, float, bool, bool]
"""Low, high, and whether each end belongs to it."""


def range_of(how: str | None, low: float, high: float) -> list[Range]:
    """The values that a comparison lets through, as intervals.

    >>> range_of("above", 7, 7)
    [(7, inf, False, False)]
    """
    inf = math.inf
    table: dict[str, list[Range]] = {
        "above": [(low, inf, False, False)], "at least": [(low, inf, True, False)], "below": [(-inf, low, False, False)],
        "at most": [(-inf, low, False, True)], "between": [(low, high, True, True)], "equal to": [(low, low, True, True)],
        "outside": [(-inf, low, False, False), (high, inf, False, False)],
        "not equal to": [(-inf, low, False, False), (low, inf, False, False)],
    }  # fmt: skip
    return table.get(how or "", [(-inf, inf, False, False)])


def ranges_meet(a: Sequence[Range], b: Sequence[Range]) -> bool:
    """True when two sets of intervals have a value in common.

    >>> ranges_meet(range_of("above", 7, 7), range_of("at most", 7, 7)), ranges_meet(range_of("at least", 7, 7), range_of("at most", 7, 7))
    (False, True)
    """
    return any(_meet(x, y) for x in a for y in b)


def _meet(x: Range, y: Range) -> bool:
    low, high = max(x[0], y[0]), min(x[1], y[1])
    if low != high:
        return low < high
    closed_low = all(r[2] for r in (x, y) if r[0] == low)
    closed_high = all(r[3] for r in (x, y) if r[1] == high)
    return closed_low and closed_high
