"""How an unusual region of a photo looks beside its surroundings, in simple words: darker, brownish, bright.

Colours are compared in CIE L*a*b*, where equal steps look about equally large. A detector's region is wider than the thing in it (a
crack is a few pixels across), so only those of its pixels are described that the surroundings hardly contain. Where there are too few
of them nothing is said: then the region differs in texture or shape, not in colour.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.evidence import Region
from core.samples import shrink

SIDE = 512
USUAL = 0.95
"""Share of the surroundings whose colours count as usual there."""
LEAST_SHARE = 0.15
"""Less of the region than this outside the usual colours (5 % would be chance) gives no word."""
STEP = 8.0
"""Smallest difference in L*, or in (a*, b*), that a person would call darker or coloured."""


def looks_of(pixels: NDArray[np.uint8], heatmap: NDArray[np.float32], region: Region) -> str:
    """Words for the hot part of `region` in `pixels` (H, W, 3) against the ring around it; empty when its colours are usual there.

    >>> tile = np.random.default_rng(0).integers(180, 190, (80, 80, 3)).astype(np.uint8)
    >>> heat = np.zeros((80, 80), np.float32)
    >>> tile[30:40, 30:40], heat[30:40, 30:40] = (90, 60, 30), 1.0
    >>> looks_of(tile, heat, Region(sample="a", box=(30, 30, 40, 40), area_share=0.01))
    'brownish and darker than its surroundings'
    >>> looks_of(tile, heat, Region(sample="a", box=(50, 50, 60, 60), area_share=0.01))
    ''
    """
    import cv2

    small = shrink(pixels, SIDE)
    height, width = small.shape[:2]
    heat = cv2.resize(heatmap, (width, height), interpolation=cv2.INTER_LINEAR)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    across, down = width / pixels.shape[1], height / pixels.shape[0]
    x0, x1 = int(region.box[0] * across), int(np.ceil(region.box[2] * across))
    y0, y1 = int(region.box[1] * down), int(np.ceil(region.box[3] * down))
    base, peak = float(np.median(heat)), float(heat[y0:y1, x0:x1].max(initial=0.0))
    hot = np.zeros((height, width), bool)
    hot[y0:y1, x0:x1] = heat[y0:y1, x0:x1] >= base + 0.5 * (peak - base)
    margin = max(4, round(0.08 * min(height, width)))
    ring = np.zeros_like(hot)
    ring[max(0, y0 - margin) : y1 + margin, max(0, x0 - margin) : x1 + margin] = True
    ring &= heat < base + 0.5 * (float(heat.max()) - base)
    ring &= ~hot
    if hot.sum() < 9 or ring.sum() < 50 or peak <= base:
        return ""
    around, inside = lab[ring], lab[hot]
    usual = np.median(around, axis=0)
    limit = max(float(np.quantile(np.linalg.norm(around - usual, axis=1), USUAL)), STEP)
    odd = inside[np.linalg.norm(inside - usual, axis=1) > limit]
    return "" if len(odd) < LEAST_SHARE * len(inside) else in_words(odd.mean(axis=0), usual)


def in_words(colour: NDArray[np.float32], around: NDArray[np.float32]) -> str:
    """A colour (L*, a*, b*) beside another in words, or nothing when they look alike.

    >>> in_words(np.array([30, 0, 0], np.float32), np.array([70, 0, 0], np.float32))
    'darker than its surroundings'
    >>> in_words(np.array([70, 40, 10], np.float32), np.array([70, 0, 0], np.float32))
    'reddish unlike its surroundings'
    """
    lighter = float(colour[0] - around[0])
    shade = "brighter" if lighter > STEP else "darker" if lighter < -STEP else ""
    hue = ""
    if float(np.hypot(*(colour[1:] - around[1:]))) > STEP and float(np.hypot(*colour[1:])) > 1.5 * STEP:
        hue = hue_in_words(colour)
    if hue and shade:
        return f"{hue} and {shade} than its surroundings"
    return f"{shade} than its surroundings" if shade else f"{hue} unlike its surroundings" if hue else ""


def hue_in_words(colour: NDArray[np.float32]) -> str:
    """The simple name of a colour (L*, a*, b*) that is not grey; brown is dark or dull orange.

    >>> [hue_in_words(np.array(c, np.float32)) for c in ((45, 65, 45), (35, 15, 25), (75, 20, 70), (50, -40, 30), (40, 10, -50))]
    ['reddish', 'brownish', 'orange', 'greenish', 'bluish']
    """
    angle, vivid = float(np.degrees(np.arctan2(colour[2], colour[1]))) % 360, float(np.hypot(*colour[1:]))
    if angle < 50 or angle >= 335:
        return "brownish" if 20 <= angle < 335 and vivid < 45 and colour[0] < 65 else "reddish"
    if angle < 80:
        return "brownish" if colour[0] < 60 else "orange"
    if angle < 110:
        return "brownish" if colour[0] < 50 else "yellowish"
    return "greenish" if angle < 190 else "bluish" if angle < 295 else "purplish"
