"""How far residual energies exceed what is normal for their channel, at several time scales.

A fault lasts a step or hours. Each channel's log energy is averaged over 1, w, 4w and 16w steps; an average over L steps
wavers less, so a slight but lasting excess stands out at the long scales while a spike stands out at the short one (a scan
over scales, as in multi-scale control charts). Logs keep one wild reading from filling the long averages. Arrays are (T, M).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

ENERGY_FLOOR = 0.01
"""Least normal energy (squared deviations): a channel that is rebuilt perfectly must not make every ripple a sensation."""
SPREAD_FLOOR = 0.15
"""Least spread of an averaged log energy. Both floors were chosen on faults injected into held-out normal data."""
SETTLED_STEPS, SETTLED_SCALES = 1_000, 4
"""From this many steps, and this many stretches of the longest scale, a channel's median says what it does throughout."""
WAVER_STEPS = 2_000
"""From this many steps a channel's upper quartile says how far it wavers anyway (chosen on injected faults, as the floors)."""
MOST_WAVER = 3.0
"""A channel's spread counts up to this much: a fault that fills much of the series must not call itself usual."""
BLOCK_CELLS = 4_000_000
BLOCKS_PER_SCALE = 16
"""A scale is used when normal data hold this many stretches of it: fewer cannot tell its spread."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Normality:
    """What held-out normal energies look like: `level` (M,), mean log ratio `centre` (M,), `spread` (S, M) at `scales` (S)."""

    level: NDArray[np.float64]
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    scales: tuple[int, ...]


def usual_scales(window: int, steps: int) -> tuple[int, ...]:
    """1, window, 4·window and 16·window, as far as `steps` normal steps can tell.

    >>> usual_scales(16, 20_000), usual_scales(16, 500)
    ((1, 16, 64, 256), (1, 16))
    """
    wanted = (1, window, 4 * window, 16 * window)
    return tuple(sorted({s for s in wanted if s == 1 or s * BLOCKS_PER_SCALE <= steps}))


def learn_normality(
    energies: Sequence[Array], *, scales: tuple[int, ...], keep: Sequence[NDArray[np.bool_]] | None = None
) -> Normality:
    """Statistics of held-out `energies` (T_i, M); with `keep`, of these steps only."""
    chosen = [np.ones(len(e), bool) for e in energies] if keep is None else list(keep)
    rows = max(1, sum(int(k.sum()) for k in chosen))
    level = sum(e[k].sum(axis=0, dtype=np.float64) for e, k in zip(energies, chosen, strict=True)) / rows
    level = np.maximum(level, ENERGY_FLOOR)
    centre = sum(np.log1p(e[k] / level).sum(axis=0) for e, k in zip(energies, chosen, strict=True)) / rows
    power = np.zeros((len(scales), len(level)))
    for energy, good in zip(energies, chosen, strict=True):
        for block in _blocks(energy):
            lifted = np.where(good[:, None], np.log1p(energy[:, block] / level[block]) - centre[block], 0.0)
            for s, scale in enumerate(scales):
                power[s, block] += (_average(lifted, scale, trailing=False)[good] ** 2).sum(axis=0)
    spread = np.maximum(np.sqrt(power / rows), SPREAD_FLOOR)
    return Normality(level=level, centre=np.asarray(centre), spread=spread, scales=scales)


def channel_excess(
    energy: Array, normality: Normality, *, trailing: bool, before: NDArray[np.float64] | None = None,
    idle: NDArray[np.bool_] | None = None, settle: bool = False,
) -> Array:  # fmt: skip
    """Each channel's excess (T, M) over normal, in standard deviations, summed over the scales; about 0.7 per scale is normal.

    Averages are centred on the step, or `trailing` (they end at it, for streams). Steps beyond the ends and `idle` ones
    (nothing measured) count as exactly normal, so ends raise no alarm. `before` are the lifted log energies of earlier steps.

    `settle`: a channel that is off throughout a long series (its median is), or wavers widely all the time, counts only by what
    it does beyond that, or it would drown every incident and take the blame for it; `persistent` tells which are off.
    """
    out = np.zeros(energy.shape, np.float32)
    for block in _blocks(energy):
        lifted = lift(energy[:, block], normality, block)
        if idle is not None:
            lifted[idle] = 0.0
        if settle:
            lifted -= persistent(lifted, normality.scales)
        skip = 0
        if before is not None:
            skip = len(before)
            lifted = np.concatenate([before[:, block], lifted])
        for s, scale in enumerate(normality.scales):
            z = _average(lifted, scale, trailing=trailing)[skip:] / normality.spread[s, block]
            # Softplus: the positive part, without ties below zero.
            out[:, block] += np.logaddexp(0.0, z).astype(np.float32)
        if settle:
            out[:, block] = beyond_waver(out[:, block], len(normality.scales))
    return out


def trailing_excess(lifted: NDArray[np.float64], normality: Normality, *, skip: int) -> Array:
    """Excess (T − skip, M) over averages that end at the step, of lifted log energies (T, M) whose first `skip` are earlier steps."""
    out = np.zeros((len(lifted) - skip, lifted.shape[1]), np.float32)
    for s, scale in enumerate(normality.scales):
        out += np.logaddexp(0.0, _average(lifted, scale, trailing=True)[skip:] / normality.spread[s]).astype(np.float32)
    return out


def beyond_waver(excess: Array, scales: int) -> Array:
    """Excess (T, M) of a long series with each channel's own median and upper spread taken as usual, where these are larger
    than normal data's; the unit stays: about 0.7 per scale is what a normal channel does.
    """
    if len(excess) < WAVER_STEPS:
        return excess
    usual = scales * np.log(2.0)
    median, upper = np.quantile(excess, [0.5, 0.75], axis=0)
    spread = np.clip(1.4826 * (upper - median), 1.0, MOST_WAVER)
    return np.asarray(np.maximum(usual + (excess - np.maximum(median, usual)) / spread, 0.0), dtype=np.float32)


def lift(energy: Array, normality: Normality, block: slice = slice(None)) -> NDArray[np.float64]:
    """Log energy ratio minus its normal mean, float64."""
    return np.asarray(np.log1p(energy / normality.level[block]) - normality.centre[block], dtype=np.float64)


def persistent(lifted: NDArray[np.float64], scales: tuple[int, ...]) -> NDArray[np.float64]:
    """Median lifted log energy (M,) of channels that are off throughout; 0 for others and in series too short to tell."""
    if len(lifted) < max(SETTLED_STEPS, SETTLED_SCALES * max(scales)):
        return np.zeros(lifted.shape[1])
    return np.maximum(np.median(lifted, axis=0), 0.0)


def combine(excess: Array) -> tuple[Array, Array]:
    """Scores (T,), the length of the excess vector, and shares (T, M) that add up to it.

    >>> scores, shares = combine(np.array([[6.0, 8.0]], np.float32))
    >>> scores.tolist(), [round(float(s), 1) for s in shares[0]]
    ([10.0], [3.6, 6.4])
    """
    squares = excess**2
    scores = np.sqrt(squares.sum(axis=1))
    shares = squares / np.maximum(scores, 1e-12)[:, None]
    return scores.astype(np.float32), shares.astype(np.float32)


def _blocks(energy: Array) -> list[slice]:
    width = max(1, BLOCK_CELLS // len(energy))
    return [slice(c, min(c + width, energy.shape[1])) for c in range(0, energy.shape[1], width)]


def _average(lifted: NDArray[np.float64], scale: int, *, trailing: bool) -> NDArray[np.float64]:
    """Sum over `scale` steps divided by `scale`; steps beyond the ends count as 0 (normal)."""
    if scale <= 1:
        return lifted
    length = len(lifted)
    total = np.concatenate([np.zeros((1, lifted.shape[1])), np.cumsum(lifted, axis=0)])
    ahead = 0 if trailing else scale // 2
    stop = np.minimum(np.arange(length) + 1 + ahead, length)
    start = np.maximum(np.arange(length) + 1 + ahead - scale, 0)
    return np.asarray((total[stop] - total[start]) / scale)
