"""How much a series rose, fell or changed within a time or within so many readings, per row; arrays are (T,)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.rules.conditions import SeriesCondition


def changes_of(
    condition: SeriesCondition, values: NDArray[np.float64], time_s: NDArray[np.float64], period_s: float
) -> NDArray[np.float64]:
    """How much the value rose (fell, changed either way) over the last `within_s` seconds, per row; NaN where unknown.

    A rise is counted from the lowest reading of that time, a fall from the highest. A rate is the change from the window's first
    reading to its last; where readings lie further apart than the window, that between neighbours, scaled to it.
    """
    if condition.within_rows is not None:  # a window of so many readings, whatever their time stamps
        within = condition.within_rows - 1.0
        lowest, highest = _extremes(values, np.arange(len(values), dtype=np.float64), within)
        return _moved(condition, values, lowest, highest)
    within = condition.within_s or period_s
    if condition.rate:
        step = _rate(values, time_s, within, period_s)
        return -step if condition.measure == "fall" else np.abs(step) if condition.measure == "change" else step
    lowest, highest = _extremes(values, time_s, within)
    return _moved(condition, values, lowest, highest)


def _moved(
    condition: SeriesCondition, values: NDArray[np.float64], lowest: NDArray[np.float64], highest: NDArray[np.float64]
) -> NDArray[np.float64]:
    rise, fall = values - lowest, highest - values
    if condition.measure == "change":
        return np.fmax(rise, fall)
    return rise if condition.measure == "rise" else fall


def _rate(values: NDArray[np.float64], time_s: NDArray[np.float64], within: float, period_s: float) -> NDArray[np.float64]:
    rows = np.arange(len(values))
    before = np.searchsorted(time_s, time_s - within - 1e-9 * max(within, 1.0), side="left")
    alone = before >= rows
    before = np.where(alone, np.maximum(rows - 1, 0), before)
    elapsed = time_s - time_s[before]
    whole = alone | (elapsed >= within - 1.5 * period_s)  # the first rows have no whole window behind them
    scale = np.divide(within, elapsed, out=np.full(len(values), np.nan), where=(elapsed > 0) & whole)
    return np.asarray((values - values[before]) * scale)


def _extremes(
    values: NDArray[np.float64], time_s: NDArray[np.float64], within: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The lowest and the highest reading of the last `within` seconds, per row; NaN where nothing else was read in that time."""
    import polars as pl

    ticks = np.round(time_s * 1e6).astype(np.int64)
    window = f"{max(1, round(within * 1e6))}i"
    table = pl.DataFrame({"t": ticks, "v": pl.Series(values).fill_nan(None)}).with_columns(
        low=pl.col("v").rolling_min_by("t", window, closed="both"),
        high=pl.col("v").rolling_max_by("t", window, closed="both"),
        seen=pl.col("v").is_not_null().cast(pl.Int64).rolling_sum_by("t", window, closed="both"),
    )
    enough = table["seen"].to_numpy() > 1
    low, high = (table[c].fill_null(float("nan")).to_numpy() for c in ("low", "high"))
    return np.where(enough, low, np.nan), np.where(enough, high, np.nan)
