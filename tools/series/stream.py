"""Scores of a series while it arrives: bounded memory, the same numbers as scoring it whole.

A step's score is final when the last window over it is complete, `delay` = window − 1 steps later. Kept are 2·window rows of
standardised readings and as many energies as the longest average needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tools.series.excess import channel_excess, combine, lift
from tools.series.given import require_rows
from tools.series.model import MISSING_ENERGY, Model, Settings
from tools.series.waiting import Waiting
from tools.series.windows import residual_energy

MOST_ROWS = 4_096
"""Rows taken in at once; a longer update is cut."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamScores:
    """Final scores of steps first, first + 1, …: `scores` (n,), `channels` (n, M) that add up to them, `valid` (n,)."""

    first: int
    scores: NDArray[np.float32]
    channels: NDArray[np.float32]
    valid: NDArray[np.bool_]


class SeriesStream:
    """Score rows as they come; made by `WindowPCA.stream()`.

    `update(rows)` takes (n, M) float32, NaN = missing, and returns the scores that have become final; `finish()` returns
    the last `delay` ones. Together they equal `score` of the whole series by a `causal=True` detector.

    >>> from tools.series.window_pca import WindowPCA
    >>> from core.samples import Series
    >>> t = np.arange(300)
    >>> values = np.sin(t / 5)[:, None].astype(np.float32)
    >>> fitted = WindowPCA(window=8).fit([Series(name="normal", values=values, time_s=t * 1.0, channels=("a",))])
    >>> stream = fitted.stream()
    >>> [len(stream.update(values[i : i + 50]).scores) for i in range(0, 150, 50)][1:], len(stream.finish().scores) == stream.delay
    ([50, 50], True)
    """

    def __init__(self, model: Model, settings: Settings, channels: tuple[str, ...]) -> None:
        self._model, self._settings, self._names = model, settings, channels
        self._done = 0
        width = len(channels)
        self._waiting = Waiting(model.scale, window=model.basis.window, clip=settings.clip, width=width)
        self._lifted = np.empty((0, width), np.float64)

    @property
    def delay(self) -> int:
        """Steps between a row and its final score."""
        return self._model.basis.window - 1

    def update(self, rows: NDArray[np.float32]) -> StreamScores:
        """Take in the next rows (n, M) float32 and return the scores that are now final.

        Raises:
            BadInput: wrong shape or dtype, or infinite values.
        """
        require_rows(rows, len(self._names))
        parts = [self._take(rows[a : a + MOST_ROWS]) for a in range(0, len(rows), MOST_ROWS)]
        return self._joined(parts)

    def finish(self) -> StreamScores:
        """Return the scores of the last steps, whose windows end with the data."""
        if len(self._waiting) == self._waiting.behind:
            return self._joined([])
        return self._emit(len(self._waiting))

    def _take(self, rows: NDArray[np.float32]) -> StreamScores:
        self._waiting.take(rows)
        return self._emit(len(self._waiting) - self.delay)

    def _emit(self, stop: int) -> StreamScores:
        """Score the buffered steps [behind, stop) and forget what no later step needs."""
        start = self._waiting.behind
        if stop <= start:
            return self._joined([])
        model = self._model
        energy = residual_energy(self._waiting.z, model.basis, bound=self._settings.bound)[start:stop]
        silent, idle = self._waiting.silent[start:stop], self._waiting.idle[start:stop]
        energy[silent] = np.maximum(energy[silent], MISSING_ENERGY)
        excess = channel_excess(energy, model.normality, trailing=True, before=self._lifted, idle=idle)
        excess[:, model.unjudged] = 0.0
        scores, shares = combine(excess)
        scores[idle], shares[idle] = 0.0, 0.0
        lifted = lift(energy, model.normality)
        lifted[idle] = 0.0
        history = max(model.normality.scales) - 1
        self._lifted = np.concatenate([self._lifted, lifted])[-history:] if history else self._lifted
        self._waiting.forget(stop, self.delay)
        first = self._done
        self._done += stop - start
        return StreamScores(first=first, scores=scores, channels=shares, valid=~idle)

    def _joined(self, parts: list[StreamScores]) -> StreamScores:
        width = len(self._names)
        return StreamScores(
            first=parts[0].first if parts else self._done,
            scores=np.concatenate([np.empty(0, np.float32), *(p.scores for p in parts)]),
            channels=np.concatenate([np.empty((0, width), np.float32), *(p.channels for p in parts)]),
            valid=np.concatenate([np.empty(0, bool), *(p.valid for p in parts)]),
        )
