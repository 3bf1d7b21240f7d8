"""From the errors of overlapping windows to errors of time steps, block by block, so that a long series never lies there as windows.

Three rules. "average": a step's error is the mean over all windows that hold it. "window": so is it, but each of them counts with
the mean error of all its steps, which makes long faults stand out and blurs their ends. "last": the error of a whole window, mean over
its steps, is given to its last step (Yu, Ouyang & Lin, TriP-LLM, 2025); of windows `hop` apart, to its last `hop` steps.
Axes: z (T, M) float32 in standard deviations; windows (N, L, M).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from core.progress import step

Array = NDArray[np.float32]
Rule: TypeAlias = Literal["average", "window", "last"]
RULES: tuple[Rule, ...] = ("average", "window", "last")
BLOCK_NUMBERS = 8_000_000
"""Numbers of a block of rows that are prepared at a time."""
AT_ONCE = 128
"""Windows rebuilt at a time."""


@dataclass(frozen=True, kw_only=True)
class Windowing:
    """How a series is cut: `length` L, one window every `hop` steps, and the rule that gives windows' errors to steps."""

    length: int
    hop: int
    rule: Rule


def step_errors(
    prepared: Iterator[tuple[int, Array]], shape: tuple[int, int], rebuild: Callable[[Array], Array], windowing: Windowing
) -> Array:
    """Squared errors (T, M) of each reading.

    With the rule "last" the first L − 1 steps have no window that ends at them, and 0.

    Args:
        prepared: consecutive blocks of rows as (first row's number, z (n, M)); together T ≥ L rows.
        shape: (T, M).
        rebuild: windows (N, L, M) → their reconstruction (N, L, M).
        windowing: length, hop and rule.

    >>> z = np.arange(6, dtype=np.float32)[:, None]
    >>> errors = step_errors(iter([(0, z)]), (6, 1), np.zeros_like, Windowing(length=3, hop=1, rule="last"))
    >>> [round(float(e), 3) for e in errors[:, 0]]
    [0.0, 0.0, 1.667, 4.667, 9.667, 16.667]
    """
    steps, channels = shape
    length, hop = windowing.length, windowing.hop
    errors, covered = np.zeros(shape, np.float32), np.zeros(steps, np.float32)
    held, origin = np.empty((0, channels), np.float32), 0
    due = 0
    for first, z in prepared:
        held = np.concatenate([held, z])
        end = first + len(z)
        starts = list(range(due, end - length + 1, hop))
        due = starts[-1] + hop if starts else due
        if end == steps and (not starts or starts[-1] != steps - length):
            starts.append(steps - length)  # the last steps lie in a window too
        views = sliding_window_view(held, length, axis=0) if starts else held
        for at in range(0, len(starts), AT_ONCE):
            some = starts[at : at + AT_ONCE]
            step("steps", some[0], steps)
            windows = np.ascontiguousarray(views[np.array(some) - origin].transpose(0, 2, 1))
            squares = np.square(rebuild(windows) - windows)
            _give(squares, some, windowing, errors, covered)
        keep = min(due, max(0, steps - length))
        held, origin = held[max(0, keep - origin) :], max(keep, origin)
    np.divide(errors, covered[:, None], out=errors, where=covered[:, None] > 0)
    return errors


def _give(squares: Array, starts: list[int], windowing: Windowing, errors: Array, covered: NDArray[np.float32]) -> None:
    """Add windows' squared errors (N, L, M) to the steps they belong to."""
    length, hop = windowing.length, windowing.hop
    if windowing.rule != "last":
        if windowing.rule == "window":
            squares = np.broadcast_to(squares.mean(axis=1, keepdims=True), squares.shape)
        for square, start in zip(squares, starts, strict=True):
            errors[start : start + length] += square
            covered[start : start + length] += 1
        return
    for square, start in zip(squares.mean(axis=1), starts, strict=True):
        last = start + length
        first = last - 1 if start == 0 else last - hop
        # The window that was added at the very end may reach back over steps that have theirs.
        first += int((covered[first:last] > 0).sum())
        errors[first:last], covered[first:last] = square, 1
