"""Where one event ends and another begins: boundaries in what a video looks and moves like, from the features that were scored anyway.

After EventVAD (ACM MM 2025): a graph of moments, edges (0.8 cosine + 0.2 e^(−distance of motion)) / (1 + 0.05 |Δt|), the strongest few
kept; a parameter-free attention over them in a random orthogonal subspace of 64; the step ‖f_i − f_(i−1)‖² + 1 − cosine, smoothed
(Savitzky & Golay 1964), against its median and median absolute deviation. Ours: EfficientNet means of 4 × 4 regions in place of CLIP,
attention added to what a moment is itself, neighbours within NEAR_S only, no ratio to a moving mean, and all numbers. They were chosen on
joins of normal clips of one camera (avenue's training clips, daily life of gmdcsa24, a normal UCF-Crime clip): of 13 cuts 10 are found and
of 13 cross-fades of 0.8 s 3, with 1.1 and 0.6 boundaries a minute elsewhere, and none in the clips as they are. Before features were
projected, a ratio to a mean over 2 or 4 s found 6 to 9 cuts where this found 11, and the step without attention 5 to 7.

A boundary alone makes no event: `split` divides an event only where both sides reach the threshold by themselves.

Axes: traits (T, 2 · SIZE) float16, appearance (NaN where it was not looked at) and motion; scores (T,); centres of units (T,) in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.segments import Segment, gaps, segment, smooth
from tools.video.frame_features import Units

if TYPE_CHECKING:
    import torch

SIZE, REGIONS = 128, 4
"""Numbers that a moment's appearance and its motion are projected to; regions along each edge of the picture."""
WEIGHT = 0.8
"""Of appearance, beside motion."""
DISTANT = 0.05
"""An edge over one second counts so much less."""
NEIGHBOURS, NEAR_S, SUBSPACE = 4, 10.0, 64
SMOOTHED = 5
"""Units under the Savitzky–Golay parabola."""
DEVIATIONS = 5.0
"""Median absolute deviations above the median from which a step is a boundary."""
APART_S = 2.0
"""Of boundaries nearer than this, the highest stays; units so long that smoothing reaches further tell none."""


def traits(units: Units) -> NDArray[np.float16]:
    """What units look and move like (n, 2 · SIZE): region means of unit length, and motion, each in a random orthogonal subspace."""
    import torch.nn.functional as F

    found = np.full((len(units), 2 * SIZE), np.nan, np.float32)
    if units.looked.any():
        means = F.adaptive_avg_pool2d(units.appearance.permute(0, 3, 1, 2).float(), REGIONS).flatten(1)
        found[units.looked, :SIZE] = _projected(F.normalize(means))
    found[:, SIZE:] = _projected(units.motion.flatten(1).float())
    return found.astype(np.float16)


def boundaries(
    told: NDArray[np.floating], seconds: NDArray[np.float64], unit_s: float, gap_s: float = float("inf")
) -> list[tuple[int, float]]:
    """(unit, height) of each boundary, in order: something else begins with that unit. Heights are in deviations above the median.

    Args:
        told: traits (T, 2 · SIZE).
        seconds: centres (T,) of the units.
        unit_s: seconds per unit.
        gap_s: units further apart have something unread between them, where no boundary can be told.

    >>> noise = np.random.default_rng(0).normal(0, 0.02, (60, 2 * SIZE))
    >>> noise[:30, 0] += 1
    >>> noise[30:, 1] += 1
    >>> [unit for unit, _ in boundaries(noise, np.arange(60) / 5, 0.2)]
    [30]
    """
    if SMOOTHED * unit_s > APART_S + 1e-9:  # a time lapse: somebody who walks by is elsewhere in each picture
        return []
    runs = np.split(np.arange(len(seconds)), gaps(seconds, gap_s))
    speeds = np.linalg.norm(told[:, SIZE:].astype(np.float32), axis=1)
    usual = max(float(np.median(speeds)) if len(speeds) else 0.0, 1e-6)
    steps = np.full(len(seconds), np.nan)
    for run in runs:
        if len(run) > SMOOTHED:
            steps[run] = _steps(_filled(told[run]), seconds[run], usual)
    known = np.isfinite(steps)
    if not known.any():
        return []
    middle = float(np.median(steps[known]))
    spread = max(float(np.median(np.abs(steps[known] - middle))), 1e-9)
    heights = np.where(known, (steps - middle) / spread, -np.inf)
    found: list[int] = []
    for unit in np.argsort(-heights, kind="stable"):
        if heights[unit] <= DEVIATIONS:
            break
        highest = heights[unit] >= heights[max(0, unit - 1) : unit + 2].max()
        inside = unit > 0 and seconds[unit] - seconds[unit - 1] <= min(gap_s, APART_S)
        if highest and inside and all(abs(seconds[unit] - seconds[other]) >= APART_S - unit_s / 2 for other in found):
            found.append(int(unit))
    return [(unit, float(heights[unit])) for unit in sorted(found)]


def split(
    events: Sequence[Segment], at: Sequence[tuple[int, float]], seconds: NDArray[np.float64], scores: NDArray[np.float32], *,
    unit_s: float, high: float, sigma_s: float, min_length_s: float,
) -> list[Segment]:  # fmt: skip
    """The events, divided where both sides of a boundary reach the threshold by themselves.

    So every event of before is there, whole or in parts that touch, and there is none where there was none.

    Args:
        events: of these scores, in any order.
        at: boundaries, as `boundaries` gives them; the highest are tried first.
        seconds: centres (T,) of units.
        scores: unsmoothed (T,): each side is smoothed for itself, so that a peak lifts nothing beyond a boundary.
        unit_s: seconds per unit.
        high: the threshold that either side must reach.
        sigma_s: of the smoothing.
        min_length_s: of either side.
    """
    found: list[Segment] = []
    for event in events:
        parts = [(event.first, event.last)]
        for unit, _ in sorted(at, key=lambda one: -one[1]):
            for index, (first, last) in enumerate(parts):
                sides = ((first, unit - 1), (unit, last))
                if first < unit <= last and all(
                    (end - begin + 1) * unit_s >= min_length_s - 1e-9
                    and float(smooth(scores[begin : end + 1], sigma_s / unit_s).max()) >= high
                    for begin, end in sides
                ):
                    parts[index : index + 1] = sides
                    break
        if len(parts) == 1:
            found.append(event)
            continue
        for first, last in parts:
            values = scores.copy()
            values[first : last + 1] = smooth(scores[first : last + 1], sigma_s / unit_s)
            found.append(segment(seconds, values, first, last, unit_s))
    return found


def _steps(told: NDArray[np.float32], seconds: NDArray[np.float64], usual: float) -> NDArray[np.float64]:
    """The smoothed step to each of some successive moments from the one before (n,)."""
    from scipy.signal import savgol_filter

    look, motion = told[:, :SIZE], told[:, SIZE:] / usual
    whole = np.concatenate([WEIGHT * look, (1 - WEIGHT) * _unit(motion)], axis=1)
    seen = whole + _attended(whole, motion, seconds)
    even = _unit(seen)
    step = np.square(np.diff(seen, axis=0)).sum(axis=1) + 1 - (even[1:] * even[:-1]).sum(axis=1)
    return np.asarray(savgol_filter(np.concatenate([step[:1], step]).astype(np.float64), SMOOTHED, 2))


def _attended(whole: NDArray[np.float32], motion: NDArray[np.float32], seconds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The mean of each moment's nearest neighbours in the graph, weighed by attention."""
    even = _unit(whole)
    inner = whole @ _orthogonal(whole.shape[1], SUBSPACE)
    out = np.empty_like(whole)
    for row in range(len(whole)):
        low, high = np.searchsorted(seconds, [seconds[row] - NEAR_S, seconds[row] + NEAR_S + 1e-9])
        near = np.arange(low, high)[np.arange(low, high) != row]
        apart = np.linalg.norm(motion[near] - motion[row], axis=1)
        edges = (0.8 * (even[near] @ even[row]) + 0.2 * np.exp(-apart)) / (1 + DISTANT * np.abs(seconds[near] - seconds[row]))
        near = near[np.argsort(-edges, kind="stable")[:NEIGHBOURS]]
        weights = np.exp(inner[near] @ inner[row] / SUBSPACE**0.5)
        out[row] = weights @ whole[near] / weights.sum()
    return out


def _filled(told: NDArray[np.floating]) -> NDArray[np.float32]:
    """Traits in which an appearance that was not looked at lies evenly between those before and after."""
    full = told.astype(np.float32)
    seen = np.flatnonzero(np.isfinite(full[:, 0]))
    if not len(seen):
        full[:, :SIZE] = 0.0
    elif len(seen) < len(full):
        rows = np.arange(len(full))
        after = np.searchsorted(seen, rows).clip(0, len(seen) - 1)
        right, left = seen[after], seen[np.where(seen[after] == rows, after, (after - 1).clip(0))]
        share = np.where(right > left, (rows - left) / np.maximum(right - left, 1), 0.0).clip(0, 1)[:, None].astype(np.float32)
        full[:, :SIZE] = (1 - share) * full[left, :SIZE] + share * full[right, :SIZE]
    return full


def _projected(rows: torch.Tensor) -> NDArray[np.float32]:
    """Rows (n, D) in a random orthogonal subspace (n, SIZE), at their length on average."""
    import torch

    count = rows.shape[1]
    if count <= SIZE:
        return np.pad(rows.cpu().numpy(), ((0, 0), (0, SIZE - count)))
    chosen = torch.from_numpy(_orthogonal(count, SIZE)).to(
        rows.device
    )  # numpy's own threads would wait for torch's and the reader's
    return np.asarray((rows @ chosen * (count / SIZE) ** 0.5).cpu().numpy())


@lru_cache(maxsize=8)
def _orthogonal(count: int, size: int) -> NDArray[np.float32]:
    """`size` random orthogonal directions among `count`, always the same."""
    import torch

    drawn = np.random.default_rng(0).standard_normal((count, size), dtype=np.float32)
    return np.asarray(torch.linalg.qr(torch.from_numpy(drawn))[0].numpy())


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-9), dtype=np.float32)
