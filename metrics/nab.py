"""NAB: what alarms on a stream are worth, by how early in a labelled window they come and how far behind one a false alarm is.

Source: Lavin and Ahmad, Evaluating Real-time Anomaly Detection Algorithms – the Numenta Anomaly Benchmark (ICMLA 2015), with the weights
of its version 1.1 and the rules of its scorer: the first 15 % of a recording, at most 750 steps, are not scored; of each window the
earliest alarm counts, as σ(y) = 2/(1 + e^{5y}) − 1 at y = −(steps left, itself included)/(steps of the window), relative to σ(−1), so
that the first step of a window earns 1; a window without an alarm costs the weight of a miss; every step called outside costs the
weight of a false alarm times −σ at (steps behind the last window)/(its steps − 1), which is whole from 3 on and before any window.

One threshold for all recordings is chosen *on the labels*, for each profile anew: that is part of the benchmark, so `best_nab` says how
well some threshold could do, and `nab` what a given one does. 100 is an alarm at the first step of every window and none elsewhere, 0 no
alarm at all. Every step above the threshold is an alarm of its own: scores that stay high are punished.

Axes: scores (T,) of one recording; windows as pairs of first and last step, both inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput

Array = NDArray[np.float64]

PROBATION, MOST_PROBATION = 0.15, 750
STEEPNESS = 5.0
FAR = 3.0
"""Windows' lengths behind a window from which a false alarm costs its whole weight."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What a false alarm and a missed window cost where a window found at its first step earns 1."""

    name: str
    false_alarm: float
    miss: float


STANDARD = Profile(name="standard", false_alarm=0.11, miss=1.0)
LOW_FALSE_ALARMS = Profile(name="low FP", false_alarm=0.22, miss=1.0)
LOW_MISSES = Profile(name="low FN", false_alarm=0.11, miss=2.0)
PROFILES = (STANDARD, LOW_FALSE_ALARMS, LOW_MISSES)


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """Scores (T,) of a whole recording, higher = stranger, and its labelled windows in the order of time, apart from each other."""

    scores: NDArray[np.floating]
    windows: Sequence[tuple[int, int]]

    def __post_init__(self) -> None:
        if self.scores.ndim != 1 or not np.isfinite(self.scores).all():
            raise BadInput(f"scores: expected finite scores of shape (T,), got shape {self.scores.shape}.")
        free = 0
        for first, last in self.windows:
            if not free <= first <= last < len(self.scores):
                raise BadInput(
                    f"windows {list(self.windows)!r}: expected pairs (first, last) in the order of time, apart from each other, inside the "
                    f"{len(self.scores)} steps."
                )
            free = last + 1


@dataclass(frozen=True, kw_only=True)
class Best:
    """The highest normalised score and the threshold, on all recordings, that gives it (infinite: no alarm is best)."""

    score: float
    threshold: float


def probation(steps: int) -> int:
    """Steps at the beginning of a recording that are not scored.

    >>> probation(4_032), probation(22_695)
    (604, 750)
    """
    return min(int(PROBATION * steps), MOST_PROBATION)


def credit(position: Array) -> Array:
    """σ of positions (N,) in windows' lengths, 0 at a window's end: falls from 1 to −1.

    >>> credit(np.array([-1.0, 0.0, 1.0, 3.0])).round(4).tolist()
    [0.9866, 0.0, -0.9866, -1.0]
    """
    value = 2.0 / (1.0 + np.exp(STEEPNESS * np.minimum(position, FAR))) - 1.0
    return np.where(position >= FAR, -1.0, value)


def nab(recordings: Sequence[Recording], thresholds: float | Sequence[float], profile: Profile = STANDARD) -> float:
    """The normalised score when every step with a score ≥ the threshold is an alarm: at most 100, without lower limit.

    Args:
        recordings: all of the benchmark's; those without windows can only cost.
        thresholds: one for all of them, as the benchmark has it, or one each.
        profile: what errors cost.

    Raises:
        BadInput: no recording, no window to be found, or another number of thresholds than recordings.

    >>> scores = np.zeros(100)
    >>> scores[40] = 1
    >>> nab([Recording(scores=scores, windows=[(40, 49)])], 0.5)
    100.0
    """
    steps = _steps(recordings)
    each = np.full(len(recordings), thresholds, np.float64) if isinstance(thresholds, int | float) else np.asarray(thresholds)
    if len(each) != len(recordings):
        raise BadInput(f"thresholds: expected one, or one for each of the {len(recordings)} recordings, got {len(each)}.")
    called = steps.scores >= each[steps.recording]
    hits = np.full(steps.windows, -profile.miss)
    inside = called & (steps.window >= 0)
    np.maximum.at(hits, steps.window[inside], steps.worth[inside])
    false = steps.worth[called & (steps.window < 0)].sum()
    return _normalised(float(hits.sum() + profile.false_alarm * false), steps.windows, profile)


def best_nab(recordings: Sequence[Recording], profile: Profile = STANDARD) -> Best:
    """The benchmark's own number: the score at the threshold, one for all recordings, that is best by the labels.

    Raises:
        BadInput: no recording, or no window to be found.

    >>> scores = np.array([0, 0, 0, 0, 0, 9, 0, 0, 3, 2, 0.0])
    >>> best_nab([Recording(scores=scores, windows=[(8, 10)])])
    Best(score=94.5, threshold=3.0)
    """
    steps = _steps(recordings)
    order = np.argsort(-steps.scores, kind="stable")
    window, worth = steps.window[order], steps.worth[order]
    gains = np.where(window < 0, profile.false_alarm * worth, 0.0)
    inside = np.flatnonzero(window >= 0)
    # By window, and in each by falling score: a step adds what it is worth beyond the best of its window so far.
    by_window = inside[np.argsort(window[inside], kind="stable")]
    for places in np.split(by_window, np.flatnonzero(np.diff(window[by_window])) + 1):
        reached = np.maximum.accumulate(worth[places])
        gains[places] = np.diff(reached, prepend=-profile.miss)
    totals = np.cumsum(gains) - profile.miss * steps.windows
    falling = steps.scores[order]
    last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))  # steps of one score become alarms together
    totals = np.append(-profile.miss * steps.windows, totals[last])
    chosen = int(np.argmax(totals))
    return Best(
        score=_normalised(float(totals[chosen]), steps.windows, profile),
        threshold=float(np.append(np.inf, falling[last])[chosen]),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Steps:
    """All scored steps (N,): score, recording, window (−1 outside), and what calling it is worth before weights."""

    scores: Array
    recording: NDArray[np.int64]
    window: NDArray[np.int64]
    worth: Array
    windows: int


def _steps(recordings: Sequence[Recording]) -> _Steps:
    if not recordings:
        raise BadInput("recordings: expected at least one, got none.")
    scores, owners, windows, worths = [], [], [], []
    count = 0
    for number, recording in enumerate(recordings):
        skipped, length = probation(len(recording.scores)), len(recording.scores)
        window, worth = np.full(length, -1), np.full(length, -1.0)
        step = np.arange(length)
        for place, (first, last) in enumerate(recording.windows):
            end = recording.windows[place + 1][0] if place + 1 < len(recording.windows) else length
            size = last - first + 1
            inside, behind = slice(first, last + 1), slice(last + 1, end)
            worth[inside] = credit((step[inside] - last - 1.0) / size) / credit(np.array(-1.0))
            worth[behind] = credit((step[behind] - last) / (size - 1)) if size > 1 else -1.0
            if last >= skipped:
                window[inside] = count
                count += 1
        scores.append(recording.scores[skipped:].astype(np.float64))
        owners.append(np.full(length - skipped, number))
        windows.append(window[skipped:])
        worths.append(worth[skipped:])
    if not count:
        raise BadInput("recordings: expected at least one labelled window behind the unscored beginning, got none.")
    return _Steps(
        scores=np.concatenate(scores), recording=np.concatenate(owners), window=np.concatenate(windows), worth=np.concatenate(worths),
        windows=count,
    )  # fmt: skip


def _normalised(total: float, windows: int, profile: Profile) -> float:
    silent = -profile.miss * windows
    return 100.0 * (total - silent) / (windows - silent)
