"""How strange a unit's appearance and motion are, as numbers: the mean over the strangest share of the picture, counted in spreads.

Source: the published few-shot baselines average the strangest 1 % of patches; share, counting and spreads are ours
(`tools.video.frame_novelty` says why). Axes and units: per unit (n,), in feature distance (appearance) or root picture diagonals per
second (motion); places (n, 4) are x0, y0, x1, y1 as shares of the picture's width and height, NaN where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from core.scores import Box
from tools.video.frame_bank import PARTS, Bank
from tools.video.frame_features import Units

TAIL, TAIL_DEVIATIONS = 0.95, 1.645
"""The quantile of normal numbers that sets their spread, and the standard deviations at which a bell curve has it."""

LEAST_SPREAD = {"appearance": 2.0, "motion": 0.03}
"""The smallest spread, so that an almost still video does not call every movement strange. Unrelated textures are 35 to 40 apart
in feature distance, and a near person walking at 0.1 picture diagonals per second through a still picture makes a motion
distance of 0.27: either is still far more than four spreads."""

Usual = tuple[float, float]
"""Centre and spread of a part's numbers."""


def part_numbers(
    bank: Bank, units: Units, part: str, allowed: NDArray[np.bool_], share: float, *, thorough: bool = True
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A part's number per unit (n,), and where it is (n, 4).

    Infinite: nothing to compare with; NaN: not measured. Not `thorough`: cells that do not count are only bounded
    (`Bank.distances`), which leaves the numbers as they are and may widen a place by a cell.
    """
    count = len(units)
    measured = units.looked if part == "appearance" else np.ones(count, np.bool_)
    grids = units.appearance if part == "appearance" else units.motion
    values, places = np.full(count, np.nan, np.float32), np.full((count, 4), np.nan)
    if not measured.any():
        return values, places
    most = max(1, int(np.ceil(share * grids.shape[1] * grids.shape[2])))
    maps = bank.distances(part, grids, allowed[measured], most=None if thorough else most)
    flat = maps.reshape(len(maps), -1)
    values[measured] = np.partition(flat, -most, axis=1)[:, -most:].mean(axis=1)
    places[measured] = [region(one) for one in maps]
    if part == "motion":
        values[~units.moved] = np.nan
    return values, places


def counted(measured: Mapping[str, NDArray[np.float32]], usual: Mapping[str, Usual]) -> dict[str, NDArray[np.float32]]:
    """r((value − centre) / spread) of each part; 0 where a part was not measured."""
    out = {}
    for part, values in measured.items():
        centre, spread = usual[part]
        known = np.isfinite(values)
        z = (np.where(known, values, centre) - centre) / spread
        out[part] = np.where(known, np.logaddexp(0.0, 1.7 * z) / 1.7, 0.0).astype(np.float32)
    return out


def median_and_tail(values: NDArray[np.float32], part: str) -> Usual:
    """Centre and spread of held-out normal numbers; without any (one normal frame) distances count from zero."""
    known = values[np.isfinite(values)].astype(np.float64)
    if len(known) == 0:
        return 0.0, LEAST_SPREAD[part]
    centre, tail = (float(q) for q in np.quantile(known, [0.5, TAIL]))
    return centre, max((tail - centre) / TAIL_DEVIATIONS, LEAST_SPREAD[part])


def median_and_upper_spread(values: NDArray[np.float32], part: str) -> Usual:
    """Median, and the wider of MAD and upper quartile in standard deviations, of one video's own numbers."""
    known = values[np.isfinite(values)].astype(np.float64)
    if len(known) == 0:
        return 0.0, LEAST_SPREAD[part]
    centre = float(np.median(known))
    bulk = 1.4826 * float(np.median(np.abs(known - centre)))
    upper = 1.4826 * (float(np.quantile(known, 0.75)) - centre)
    return centre, max(bulk, upper, LEAST_SPREAD[part])


def region(one: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """The connected cells around the strangest one that are more than half as far above the picture's median as it is.

    >>> picture = np.zeros((4, 8), np.float32)
    >>> picture[1, 2:4] = 5.0
    >>> region(picture)
    (0.25, 0.25, 0.5, 0.5)
    """
    import cv2

    nowhere = (np.nan, np.nan, np.nan, np.nan)
    if not np.isfinite(one).all():
        return nowhere
    middle, top = float(np.median(one)), float(one.max())
    if top <= middle:
        return nowhere
    _, labels, stats, _ = cv2.connectedComponentsWithStats((one >= (middle + top) / 2).astype(np.uint8), connectivity=8)
    left, upper, width, height, _ = stats[labels[np.unravel_index(int(one.argmax()), one.shape)]]
    rows, columns = one.shape
    return float(left / columns), float(upper / rows), float((left + width) / columns), float((upper + height) / rows)


def box(
    places: Mapping[str, NDArray[np.float64]], parts: Mapping[str, NDArray[np.float32]], index: int, height: int, width: int
) -> Box | None:
    """The region of the part that weighs more in this unit, in pixels of the original frame."""
    for part in sorted(PARTS, key=lambda name: -float(parts[name][index])):
        x0, y0, x1, y1 = (float(edge) for edge in places[part][index])
        if not np.isnan(x0):
            return x0 * width, y0 * height, x1 * width, y1 * height
    return None
