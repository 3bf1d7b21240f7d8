"""From scores per unit to scores per frame: the one shared function, so that `detect`, the page and the benchmarks agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.scores import FrameScores


def per_frame(scores: FrameScores, times_s: ArrayLike) -> NDArray[np.float32]:
    """Give every frame at `times_s` (N,) seconds a score (N,) float32: linear between the valid unit centres, level at the ends.

    Units marked invalid are bridged; when none is valid, all units are used as they are.

    >>> scores = FrameScores(sample="v", seconds=np.array([0.5, 1.5]), scores=np.array([0, 1], np.float32), unit_s=1.0,
    ...                      frame_index=np.array([5, 15]), valid=np.array([True, True]))
    >>> per_frame(scores, [0.0, 1.0, 9.0]).tolist()
    [0.0, 0.5, 1.0]
    """
    usable = scores.valid if scores.valid.any() else np.ones(len(scores.scores), bool)
    times = np.asarray(times_s, dtype=np.float64)
    return np.interp(times, scores.seconds[usable], scores.scores[usable].astype(np.float64)).astype(np.float32)
