"""NAB by its own rules: all 58 recordings, its windows, its three profiles, beside the numbers that its scoreboard publishes.

A detector learns from the beginning of a recording that is not scored (15 %, at most 750 rows) and then reads row by row. `standard`, `low
FP` and `low FN` are the normalised scores at the threshold that is best by the labels, one for all recordings and another for each profile:
that is the benchmark's protocol, and what its scoreboard shows. `own threshold` is the standard score at ours, which sees no label: the
false-alarm rate of one step in a thousand, calibrated on each recording's beginning (streams: kept up by tools.series.threshold).

"Onsets" are the same scores where they are higher than on any of the last so many scored rows, else 0: an alarm that goes on is one alarm,
as in an answer of ours; every row above the threshold is one for the benchmark. How many, a tenth of the usual recording, was fixed
beforehand. Rows that say "sees the whole recording" are no entries of the scoreboard: it asks for streams. Rows "published" are copied from
the scoreboard (repository numenta/NAB, results/final_results.json); its other entries could not be run here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import series_sets
from benchmarks.rows import Row, measured
from benchmarks.series_sets import Labelled, as_series
from core.calibrate import from_reference
from core.errors import BadInput
from metrics.nab import PROFILES, STANDARD, Recording, best_nab, nab, probation
from tools.series.ensemble import SeriesEnsemble
from tools.series.threshold import AdaptiveThreshold
from tools.series.window_pca import WindowPCA

Scores = NDArray[np.float32]
RATE = 0.001
REMEMBERED = 400
"""Rows that an alarm's onset is higher than: a tenth of the usual recording (4,032 rows)."""
ROWS_AT_ONCE = 256
SEES_ALL = "sees the whole recording: not comparable with the scoreboard"
STREAMED = "streamed: comparable with the scoreboard"

PUBLISHED: Mapping[str, tuple[float, float, float]] = {
    "ARTime": (74.85, 65.15, 80.36), "Numenta HTM": (70.10, 63.12, 74.32), "CAD OSE": (69.90, 66.98, 73.18),
    "KNN CAD": (57.99, 43.41, 64.81), "relative entropy": (54.64, 47.60, 58.84), "random cut forest": (51.72, 38.36, 59.75),
    "windowed Gaussian": (39.65, 20.87, 47.41), "random": (16.83, 5.76, 25.88),
}  # fmt: skip
"""standard, low FP, low FN."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """Scores (T,) of a recording, 0 in its unscored beginning, and the steps (T,) that alarm at our own threshold."""

    scores: Scores
    alarms: NDArray[np.bool_]


Method = Callable[[Labelled, int], Judged]
"""(recording, seed) → what is said of it."""


def rows(data: Path, *, quick: bool) -> Iterator[Row]:
    """The rows of this suite; `quick` takes six recordings."""
    try:
        recordings = series_sets.nab_recordings(data)
    except BadInput as error:
        print(f"nab: {error}")
        return
    some = recordings[5:11] if quick else recordings
    name = f"nab ({len(some)})"
    for title, (method, note, seeds) in METHODS.items():
        with measured() as cost:
            tried = [[method(recording, seed) for recording in some] for seed in seeds or (0,)]
        for called, change in ((title, _as_they_are), (f"{title}, onsets", onsets)):
            metrics = [_metrics(some, [change(j.scores) for j in judged], [_starts(j.alarms) if change is onsets else j.alarms
                       for j in judged]) for judged in tried]  # fmt: skip
            yield Row(
                data=name, method=called, seconds=cost.seconds, peak_mb=cost.peak_mb, seeds=seeds, trivial=title == "random",
                metrics={key: float(np.mean([one[key] for one in metrics])) for key in metrics[0]}, note=note,
            )  # fmt: skip
    if not quick:
        for title, values in PUBLISHED.items():
            yield Row(
                data=name, method=f"{title} (published)", seconds=0.0, peak_mb=0.0, trivial=title == "random",
                metrics=dict(zip((p.name for p in PROFILES), values, strict=True)), note="copied from the scoreboard",
            )  # fmt: skip


def onsets(scores: Scores) -> Scores:
    """Scores (T,) where they are higher than on any of the last `REMEMBERED` steps, else 0.

    >>> onsets(np.array([0, 1, 3, 3, 2, 4, 0], np.float32)).tolist()
    [0.0, 1.0, 3.0, 0.0, 0.0, 4.0, 0.0]
    """
    from scipy.ndimage import maximum_filter1d

    padded = np.concatenate([np.full(REMEMBERED, -np.inf, np.float32), scores])
    # The window of size n around a step covers n // 2 before it: moved back, it ends just before the step.
    before = maximum_filter1d(padded, REMEMBERED, mode="nearest", origin=(REMEMBERED - 1) // 2)[REMEMBERED - 1 : -1]
    return np.where(scores > before, scores, np.float32(0))


def _as_they_are(scores: Scores) -> Scores:
    return scores


def _starts(alarms: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The first alarm (T,) of each row of alarms that are at most `REMEMBERED` steps apart."""
    places = np.flatnonzero(alarms)
    started = np.zeros_like(alarms)
    started[places[np.diff(places, prepend=-REMEMBERED - 1) > REMEMBERED]] = True
    return started


def _metrics(recordings: list[Labelled], scores: list[Scores], alarms: list[NDArray[np.bool_]]) -> dict[str, float]:
    scored = [Recording(scores=s, windows=r.windows) for s, r in zip(scores, recordings, strict=True)]
    called = [Recording(scores=a.astype(np.float32), windows=r.windows) for a, r in zip(alarms, recordings, strict=True)]
    return {p.name: best_nab(scored, p).score for p in PROFILES} | {"own threshold": nab(called, 0.5, STANDARD)}


def _parted(recording: Labelled) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    skipped = probation(len(recording.values))
    return recording.values[:skipped, None], recording.values[skipped:, None]


def _laid(recording: Labelled, scores: Scores, alarms: NDArray[np.bool_]) -> Judged:
    """Scores and alarms of the scored part, with the beginning in front."""
    skipped = len(recording.values) - len(scores)
    return Judged(
        scores=np.concatenate([np.zeros(skipped, np.float32), scores]), alarms=np.concatenate([np.zeros(skipped, bool), alarms])
    )


def _random(recording: Labelled, seed: int) -> Judged:
    rng = np.random.default_rng([seed, len(recording.values)])
    scores = rng.random(len(_parted(recording)[1])).astype(np.float32)
    return _laid(recording, scores, scores > 1 - RATE)


def _z_score(recording: Labelled, seed: int) -> Judged:
    first, rest = _parted(recording)
    scores = (np.abs(rest - first.mean()) / max(float(first.std()), 1e-9))[:, 0]
    usual = (np.abs(first - first.mean()) / max(float(first.std()), 1e-9))[:, 0]
    return _laid(recording, scores, scores > from_reference(usual, false_positive_rate=RATE).threshold)


def _window_pca(recording: Labelled, seed: int) -> Judged:
    first, rest = _parted(recording)
    detector = WindowPCA(seed=seed, causal=True).fit([as_series("beginning", first)])
    stream = detector.stream()
    parts = [stream.update(rest[a : a + ROWS_AT_ONCE]).scores for a in range(0, len(rest), ROWS_AT_ONCE)]
    scores = _when_final(np.concatenate([*parts, stream.finish().scores]), stream.delay)
    threshold = from_reference(detector.reference_scores(), false_positive_rate=RATE).threshold
    return _laid(recording, scores, scores > threshold)


def _ensemble(recording: Labelled, seed: int) -> Judged:
    first, rest = _parted(recording)
    stream = SeriesEnsemble(seed=seed).fit([as_series("beginning", first)]).stream()
    parts = [stream.update(rest[a : a + ROWS_AT_ONCE]).scores for a in range(0, len(rest), ROWS_AT_ONCE)]
    scores = _when_final(np.concatenate([*parts, stream.finish().scores]), stream.delay)
    return _laid(recording, scores, AdaptiveThreshold(rate=RATE).update(scores))


def _when_final(scores: Scores, delay: int) -> Scores:
    """Each score at the step at which a stream knows it, `delay` after its own."""
    return np.concatenate([np.zeros(delay, np.float32), scores])[: len(scores)]


def _ensemble_alone(recording: Labelled, seed: int) -> Judged:
    rest = _parted(recording)[1]
    scores = SeriesEnsemble(seed=seed).score([as_series("recording", rest)])[0].scores
    return _laid(recording, scores, scores > -np.log10(RATE))


METHODS: dict[str, tuple[Method, str, tuple[int, ...]]] = {
    "random": (_random, STREAMED, (0, 1, 2)),
    "z-score": (_z_score, STREAMED, ()),
    "window_pca, streamed": (_window_pca, STREAMED, (0,)),
    "ensemble, streamed": (_ensemble, STREAMED, (0,)),
    "ensemble, no history": (_ensemble_alone, SEES_ALL, (0,)),
}
