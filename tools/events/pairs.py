"""Plain tables of nominal attributes: a row is strange when pairs of its values hardly occur together.

The counting form of APE (Chen, Tang, Sun, Chen, Zhang: Entity Embedding-based Anomaly Detection for Heterogeneous Categorical
Events, IJCAI 2016). Axes: columns are (C,), rows (N,); scores in nats.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.progress import step
from tools.events.counts import Codes, pair


def pair_surprise(history: Sequence[Codes], query: Sequence[Codes], *, leave_own_out: bool = False) -> NDArray[np.float64]:
    """Return each column's share (C, N) of every row's mean −log smoothed pair frequency.

    With `leave_own_out`, `query` must be `history` itself and each row is judged by the others. A single column falls back to
    its own −log frequency.

    >>> codes = [np.array([0, 0, 0, 1, 1, 1, 0]), np.array([0, 0, 0, 1, 1, 1, 1])]
    >>> int(pair_surprise(codes, codes, leave_own_out=True).sum(axis=0).argmax())
    6
    """
    columns, known = len(query), len(history[0])
    shares = np.zeros((columns, len(query[0])))
    pairs = [(i, j) for i in range(columns) for j in range(i + 1, columns)] or [(0, 0)]
    for done, (i, j) in enumerate(pairs):
        step("attribute pairs", done, len(pairs))
        cell = pair(np.concatenate([history[i], query[i]]), np.concatenate([history[j], query[j]]))
        counted = np.bincount(cell[:known], minlength=int(cell.max()) + 1)
        seen = counted[cell[known:]] - (1 if leave_own_out else 0)
        kinds = np.count_nonzero(counted) + 1
        surprise = -np.log((seen + 0.5) / (known + 0.5 * kinds)) / len(pairs)
        shares[i] += surprise / 2
        shares[j] += surprise / 2
    return shares
