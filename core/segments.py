"""Event extraction: from scores over time to intervals, by hysteresis. The only such function in the project.

Smooth, start where the score reaches the high threshold, grow both ways while it stays above the low one, merge short gaps,
drop short segments. All five numbers are arguments, so a person can see and change them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One event: half-open seconds [start_s, end_s), its peak, and the units [first, last] it covers."""

    start_s: float
    end_s: float
    peak_s: float
    peak: float
    mean: float
    first: int
    last: int


def smooth(scores: NDArray[np.float32], sigma_units: float, breaks: Sequence[int] = ()) -> NDArray[np.float32]:
    """Gaussian smoothing over units with reflected ends; `sigma_units` ≤ 0 returns the scores unchanged.

    `breaks` are the indices of units before which something was left out: nothing is smoothed across.
    """
    if sigma_units <= 0 or len(scores) < 2:
        return scores
    if len(breaks):
        return np.concatenate([smooth(run, sigma_units) for run in np.split(scores, breaks)])
    from scipy.ndimage import gaussian_filter1d

    return np.asarray(gaussian_filter1d(scores.astype(np.float64), sigma_units, mode="reflect"), dtype=np.float32)


def extract_events(
    seconds: NDArray[np.float64],
    scores: NDArray[np.float32],
    *,
    unit_s: float,
    high: float,
    low: float,
    sigma_s: float = 0.0,
    merge_gap_s: float = 0.0,
    min_length_s: float = 0.0,
    valid: NDArray[np.bool_] | None = None,
    gap_s: float = float("inf"),
) -> list[Segment]:
    """Find the intervals in which `scores` (T,) at unit centres `seconds` (T,) rise above `high`.

    Units marked invalid never belong to an event. Between unit centres more than `gap_s` apart something was left out that was not
    judged: nothing is smoothed across, and no event goes on there.

    Segments come in time order; their ends lie half a unit outside the first
    and last unit centre. `peak` and `mean` are of the smoothed scores.

    >>> t = np.arange(8.0)
    >>> s = np.array([0, 0, 5, 9, 5, 0, 0, 0], np.float32)
    >>> [(e.start_s, e.end_s, e.peak_s) for e in extract_events(t, s, unit_s=1.0, high=8, low=4)]
    [(1.5, 4.5, 3.0)]
    """
    if len(scores) == 0:
        return []
    breaks = gaps(seconds, gap_s)
    values = smooth(scores, sigma_s / unit_s, breaks)
    usable = np.ones(len(values), bool) if valid is None else valid
    grown = (values >= min(low, high)) & usable
    runs = [run for run in _runs(grown, breaks) if values[run[0] : run[1] + 1].max() >= high]
    merged: list[list[int]] = []
    for first, last in runs:
        if merged and seconds[first] - seconds[merged[-1][1]] - unit_s < merge_gap_s and first not in breaks:
            merged[-1][1] = last
        else:
            merged.append([first, last])
    segments = []
    for first, last in merged:
        found = segment(seconds, values, first, last, unit_s)
        if found.end_s - found.start_s >= min_length_s:
            segments.append(found)
    return segments


def segment(
    seconds: NDArray[np.float64], values: NDArray[np.float32], first: int, last: int, unit_s: float
) -> Segment:  # fmt: skip
    """The event of units first to last of smoothed `values` (T,); its ends lie half a unit outside their centres."""
    inside = values[first : last + 1]
    peak = first + int(np.argmax(inside))
    return Segment(
        start_s=float(seconds[first] - unit_s / 2), end_s=float(seconds[last] + unit_s / 2), peak_s=float(seconds[peak]),
        peak=float(values[peak]), mean=float(inside.mean()), first=first, last=last,
    )  # fmt: skip


def gaps(seconds: NDArray[np.float64], gap_s: float) -> list[int]:
    """Indices of the units whose centre lies more than `gap_s` behind that of the unit before.

    >>> gaps(np.array([0.1, 0.3, 4.1, 4.3]), 0.3)
    [2]
    """
    return [] if np.isinf(gap_s) else (np.flatnonzero(np.diff(seconds) > gap_s) + 1).tolist()


def _runs(mask: NDArray[np.bool_], breaks: Sequence[int] = ()) -> list[tuple[int, int]]:
    """Inclusive (first, last) of each run of True, none of them across a break."""
    found: list[tuple[int, int]] = []
    for low, high in pairwise([0, *breaks, len(mask)]):
        edges = low + np.flatnonzero(np.diff(np.concatenate(([0], mask[low:high].astype(np.int8), [0]))))
        found += [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return found
