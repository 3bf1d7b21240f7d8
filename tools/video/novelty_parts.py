"""From distances to a score: what `FrameNovelty` and its live counterpart have in common.

A part's raw number is the mean over the strangest share of the picture; counted in spreads above its usual value, one-sidedly,
r(z) = log(1 + e^(1.7 z)) / 1.7, a smooth max(z, 0), it is what the part adds to the score. The reasons are told in
`tools.video.frame_novelty`.

Axes and units: raw numbers (n,) float32 (infinite: nothing to compare with; NaN: not measured); places as shares of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

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

Usual: TypeAlias = Mapping[str, tuple[float, float]]
"""Per part the centre and the spread of its usual numbers."""
Place: TypeAlias = tuple[float, float, float, float] | None
"""(x0, y0, x1, y1) as shares of the picture's width and height."""


def raw_numbers(
    bank: Bank, units: Units, part: str, allowed: NDArray[np.bool_], *, share: float
) -> tuple[NDArray[np.float32], list[Place]]:
    """The part's number per unit (n,), over the strangest `share` of the picture, and where it is.

    `allowed` (n, U) is what to compare with.
    """
    grids = units.appearance if part == "appearance" else units.motion
    maps = bank.distances(part, grids, allowed)
    flat = maps.reshape(len(maps), -1)
    most = max(1, int(np.ceil(share * flat.shape[1])))
    values = np.partition(flat, -most, axis=1)[:, -most:].mean(axis=1)
    if part == "motion":
        values = np.where(units.moved, values, np.nan)
    return np.asarray(values, np.float32), [_region(one) for one in maps]


def parts_of(measured: Mapping[str, NDArray[np.float32]], usual: Usual) -> dict[str, NDArray[np.float32]]:
    """r((value − centre) / spread) of each part; 0 where a part was not measured.

    >>> parts_of({"motion": np.array([0.0, 4.0, np.nan])}, {"motion": (0.0, 1.0)})["motion"].astype(float).round(2).tolist()
    [0.41, 4.0, 0.0]
    """
    out = {}
    for part, values in measured.items():
        centre, spread = usual[part]
        known = np.isfinite(values)
        z = (np.where(known, values, centre) - centre) / spread
        out[part] = np.where(known, np.logaddexp(0.0, 1.7 * z) / 1.7, 0.0).astype(np.float32)
    return out


def median_and_tail(values: NDArray[np.float32], part: str) -> tuple[float, float]:
    """Centre and spread of held-out normal numbers; without any (one normal frame) distances count from zero."""
    known = values[np.isfinite(values)].astype(np.float64)
    if len(known) == 0:
        return 0.0, LEAST_SPREAD[part]
    centre, tail = (float(q) for q in np.quantile(known, [0.5, TAIL]))
    return centre, max((tail - centre) / TAIL_DEVIATIONS, LEAST_SPREAD[part])


def median_and_upper_spread(values: NDArray[np.float32], part: str) -> tuple[float, float]:
    """Median, and the wider of MAD and upper quartile in standard deviations, of one video's own numbers."""
    known = values[np.isfinite(values)].astype(np.float64)
    if len(known) == 0:
        return 0.0, LEAST_SPREAD[part]
    centre = float(np.median(known))
    bulk = 1.4826 * float(np.median(np.abs(known - centre)))
    upper = 1.4826 * (float(np.quantile(known, 0.75)) - centre)
    return centre, max(bulk, upper, LEAST_SPREAD[part])


def box_of(
    places: Mapping[str, Sequence[Place]], parts: Mapping[str, NDArray[np.float32]], index: int, height: int, width: int
) -> Box | None:
    """The region of the part that weighs more in unit `index`, in pixels of a frame of (height, width)."""
    for part in sorted(PARTS, key=lambda name: -float(parts[name][index])):
        place = places[part][index]
        if place is not None:
            return place[0] * width, place[1] * height, place[2] * width, place[3] * height
    return None


def _region(one: NDArray[np.float32]) -> Place:
    """The connected cells around the strangest one that are more than half as far above the picture's median as it is."""
    import cv2

    if not np.isfinite(one).all():
        return None
    middle, top = float(np.median(one)), float(one.max())
    if top <= middle:
        return None
    _, labels, stats, _ = cv2.connectedComponentsWithStats((one >= (middle + top) / 2).astype(np.uint8), connectivity=8)
    left, upper, width, height, _ = stats[labels[np.unravel_index(int(one.argmax()), one.shape)]]
    rows, columns = one.shape
    return float(left / columns), float(upper / rows), float((left + width) / columns), float((upper + height) / rows)
