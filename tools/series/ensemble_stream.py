"""Surprises of a series while it arrives: bounded memory, causal, and following channels that have moved for good.

A step's surprise is final when the last window over it is complete, `delay` steps later. A channel whose residual has been off for the
last `SETTLED` steps on the median counts, from then on, by what it does beyond that, and is named as drifted: a new normal is said
once and does not sound the alarm for ever. Kept are a few windows of standardised readings, the log energies that the longest average
needs, and `BLOCKS` medians of each channel, whatever has passed. Axes (n steps, M channels).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tools.series.excess import Normality, combine, lift, trailing_excess
from tools.series.forecast import LAGS
from tools.series.given import require_rows
from tools.series.members import Member, Plan
from tools.series.model import MISSING_ENERGY
from tools.series.views import View
from tools.series.waiting import Waiting

Array = NDArray[np.float32]

MOST_ROWS = 4_096
"""Rows taken in at once; a longer update is cut."""
BLOCK, BLOCKS = 64, 16
SETTLED = BLOCK * BLOCKS
"""Steps that make a new normal: about as many as batch scoring asks for (tools.series.excess)."""
DRIFTED = float(np.log(2.0))
"""Median log energy above normal from which a channel is said to have drifted: twice its usual residual energy, and more."""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """A channel that has settled elsewhere: known at `step`, off for about `SETTLED` steps by then; `times` its usual energy."""

    channel: str
    step: int
    times: float


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamSurprises:
    """Final surprises of steps first, first + 1, …: `scores` (n,), `channels` (n, M) that add up to them, `valid` (n,), and the
    channels found to have drifted meanwhile.
    """

    first: int
    scores: Array
    channels: Array
    valid: NDArray[np.bool_]
    drifts: tuple[Drift, ...] = ()


class EnsembleStream:
    """Score rows as they come; made by `SeriesEnsemble.stream()`.

    `update(rows)` takes (n, M) float32, NaN = missing, and returns the surprises that have become final, the same however the rows are
    cut into updates; `finish()` returns the last `delay` ones.

    >>> from tools.series.ensemble import SeriesEnsemble
    >>> from core.samples import Series
    >>> t = np.arange(300)
    >>> values = np.sin(t / 5)[:, None].astype(np.float32)
    >>> fitted = SeriesEnsemble(window=8).fit([Series(name="normal", values=values, time_s=t * 1.0, channels=("a",))])
    >>> stream = fitted.stream()
    >>> [len(stream.update(values[i : i + 50]).scores) for i in range(0, 150, 50)][1:], len(stream.finish().scores) == stream.delay
    ([50, 50], True)
    """

    def __init__(self, view: View, members: Sequence[Member], plan: Plan, channels: tuple[str, ...], *, clip: float) -> None:
        self._view, self._members, self._plan, self._names, self._clip = view, list(members), plan, channels, clip
        width = len(channels)
        self.delay = max(member.ahead(plan) for member in members)
        """Steps between a row and its final surprise."""
        self._margin = max(self.delay, LAGS)
        self._done = 0
        self._waiting = Waiting(view.scale, window=plan.window, clip=clip, width=width)
        self._following = {m.name: _Following(view.learned[m.name].normality, width) for m in members}
        self._told: set[int] = set()

    def update(self, rows: Array) -> StreamSurprises:
        """Take in the next rows (n, M) float32 and return the surprises that are now final.

        Raises:
            BadInput: wrong shape or dtype, or infinite values.
        """
        require_rows(rows, len(self._names))
        return self._joined([part for a in range(0, len(rows), MOST_ROWS) for part in self._take(rows[a : a + MOST_ROWS])])

    def finish(self) -> StreamSurprises:
        """Return the surprises of the last steps, whose windows end with the data."""
        return self._joined(self._emit(len(self._waiting)))

    def _take(self, rows: Array) -> list[StreamSurprises]:
        self._waiting.take(rows)
        return self._emit(len(self._waiting) - self.delay)

    def _emit(self, stop: int) -> list[StreamSurprises]:
        """Score the buffered steps [behind, stop) and forget what no later step needs."""
        start = self._waiting.behind
        if stop <= start:
            return []
        silent, idle = self._waiting.silent[start:stop], self._waiting.idle[start:stop]
        scores = np.zeros(stop - start, np.float64)
        shares = np.zeros(silent.shape, np.float32)
        for member in self._members:
            learned = self._view.learned[member.name]
            energy = member.energy(self._waiting.z, learned.state, self._plan)[start:stop]
            energy[silent] = np.maximum(energy[silent], MISSING_ENERGY)
            raw, parts = combine(self._following[member.name].excess(energy, idle, self._done))
            surprise = learned.trailing(raw)
            scores += surprise / len(self._members)
            shares += parts * (surprise / np.maximum(raw, 1e-12) / len(self._members))[:, None]
        scores[idle], shares[idle] = 0.0, 0.0
        self._waiting.forget(stop, self._margin)
        first = self._done
        self._done += stop - start
        return [
            StreamSurprises(
                first=first, scores=scores.astype(np.float32), channels=shares, valid=~idle, drifts=self._drifts()
            )
        ]  # fmt: skip

    def _drifts(self) -> tuple[Drift, ...]:
        """Channels that have drifted since the last time this was asked, farthest first; one that came back may be told again."""
        found: dict[int, Drift] = {}
        for following in self._following.values():
            for channel in np.flatnonzero(following.baseline >= DRIFTED):
                times = float(np.exp(following.baseline[channel]))
                if int(channel) not in found or found[int(channel)].times < times:
                    found[int(channel)] = Drift(channel=self._names[channel], step=following.moved_at, times=times)
        ordered = sorted(found.items(), key=lambda item: -item[1].times)
        new = tuple(drift for channel, drift in ordered if channel not in self._told)
        self._told = set(found)
        return new

    def _joined(self, parts: list[StreamSurprises]) -> StreamSurprises:
        width = len(self._names)
        return StreamSurprises(
            first=parts[0].first if parts else self._done,
            scores=np.concatenate([np.empty(0, np.float32), *(p.scores for p in parts)]),
            channels=np.concatenate([np.empty((0, width), np.float32), *(p.channels for p in parts)]),
            valid=np.concatenate([np.empty(0, bool), *(p.valid for p in parts)]),
            drifts=tuple(drift for p in parts for drift in p.drifts),
        )


class _Following:
    """The excess of one member's energies, less what each channel has done on the median of the last `SETTLED` steps."""

    def __init__(self, normality: Normality, width: int) -> None:
        self._normality = normality
        self._history = np.empty((0, width), np.float64)
        self._medians = np.empty((0, width), np.float64)
        self._block = np.empty((0, width), np.float64)
        self.baseline = np.zeros(width)
        self.moved_at = 0

    def excess(self, energy: Array, idle: NDArray[np.bool_], first: int) -> Array:
        """Excess (n, M) of the next energies (n, M), the first of which is step `first` of the stream."""
        lifted = lift(energy, self._normality)
        lifted[idle] = 0.0
        out = np.empty_like(lifted)
        a = 0
        while a < len(lifted):  # block by block of the stream, wherever the updates are cut
            b = min(len(lifted), a + BLOCK - len(self._block))
            out[a:b] = lifted[a:b] - self.baseline
            self._block = np.concatenate([self._block, lifted[a:b]])
            if len(self._block) == BLOCK:
                self._settle(first + b)
            a = b
        longest = max(self._normality.scales) - 1
        joined = np.concatenate([self._history, out])
        found = trailing_excess(joined, self._normality, skip=len(self._history))
        self._history = joined[-longest:] if longest else joined[:0]
        return found

    def _settle(self, step: int) -> None:
        self._medians = np.concatenate([self._medians, np.median(self._block, axis=0)[None]])[-BLOCKS:]
        self._block = self._block[:0]
        if len(self._medians) == BLOCKS:
            self.baseline = np.maximum(np.median(self._medians, axis=0), 0.0)
            self.moved_at = step
