"""The rows of a stream that are not final yet, prepared as they come: what both streams of sensor series keep between updates.

Axes: rows (n, M) float32, NaN where a reading is missing; times are steps since the stream began.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tools.series.model import prepare
from tools.series.windows import Scale

Array = NDArray[np.float32]


class Waiting:
    """Standardised rows `z` (B, M), which readings are `silent` (B, M) and which steps `idle` (B,); the first `behind` are final already.

    Args:
        scale: of the normal data.
        window: steps after which a silent channel is odd.
        clip: limit of standardised readings.
        width: number of channels M.
    """

    def __init__(self, scale: Scale, *, window: int, clip: float, width: int) -> None:
        self._scale, self._window, self._clip = scale, window, clip
        self._last = np.full(width, np.nan, np.float32)
        self._since = np.zeros(width, np.int64)
        self.z = np.empty((0, width), np.float32)
        self.silent = np.empty((0, width), bool)
        self.idle = np.empty(0, bool)
        self.behind = 0

    def __len__(self) -> int:
        return len(self.z)

    def take(self, rows: Array) -> None:
        """Add the next rows."""
        prepared = prepare(rows, self._scale, window=self._window, clip=self._clip, last=self._last, since=self._since)
        self._since = prepared.since
        seen = ~np.isnan(rows)
        newest = len(rows) - 1 - np.argmax(seen[::-1], axis=0)
        self._last = np.where(seen.any(axis=0), rows[newest, np.arange(rows.shape[1])], self._last)
        self.z = np.concatenate([self.z, prepared.z])
        self.silent = np.concatenate([self.silent, prepared.silent])
        self.idle = np.concatenate([self.idle, prepared.idle])

    def forget(self, stop: int, margin: int) -> None:
        """Rows before `stop` are final; keep `margin` of them for windows that reach back."""
        kept = max(0, stop - margin)
        self.z, self.silent, self.idle = self.z[kept:], self.silent[kept:], self.idle[kept:]
        self.behind = stop - kept
