"""The series ensemble beside its members and the usual baselines: per entity, merged into one series, causes, alarms, streams.

Every method sees the normal part and scores the test part; "no history" sees the test part only. With history the ensemble also learns
from the scored series itself, cross-fitted and without labels (said because a purist would call that transductive; the row "against
history only" does not). Which members there are, that both references are used and that members are averaged without weights was chosen
on faults injected into the later 40 % of *normal* parts of SMD and MSL: eight kinds, lengths log-uniform from 8 steps to a tenth of the
part, in one to many channels, half of them fading in and out; once more with a fifth of the channels drifted. Test labels chose nothing.

The matrix profile, which takes the square of the length in time, is added everywhere but on smd's long machines. On faults injected
into the measured channel of msl's normal parts it was worth .05 PATE beside the default members (.796 against .748).

Merged: all entities one after the other as one series and one model, as in the merged protocol for MSL. "Joined scores" are the scores
of one model per entity in one list, which is fair only if scores of different machines mean the same (computed above, so these rows take
no time of their own). Random, isolation forest: mean of three seeds.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import series_sets
from benchmarks.rows import Row, measured
from benchmarks.series_sets import Entity, as_series
from benchmarks.tasks_series import METHODS, Method, Scores, causes, ranked, ranking
from core.calibrate import from_reference
from core.errors import BadInput
from metrics.pate import pate
from tools.series.ensemble import SeriesEnsemble
from tools.series.threshold import AdaptiveThreshold

TAKEN = ("random", "z-score", "isolation forest", "k-means windows", "windows, plain", "window_pca", "window_pca, no history")
RATES = (0.01, 0.001)


def rows(data: Path, *, quick: bool) -> Iterator[Row]:
    """The rows of this suite; `quick` takes one entity of each set and merges two."""
    loaders = {"smd": series_sets.smd, "msl": series_sets.msl, "skab": series_sets.skab, "nab": series_sets.nab}
    for name, load in loaders.items():
        try:
            entities = load(data)
        except BadInput as error:
            print(f"series_ensemble: {error}")
            continue
        some = entities[:1] if quick else entities
        yield from ranking(name, some, COMPARED | ({} if name == "smd" else _profiled()), quick=quick)
        if name in ("smd", "msl"):
            several = entities[:2] if quick else entities
            yield from ranking(f"{name} merged, one model", [merged(name, several)], COMPARED, quick=quick)
            yield from _joined(name, several)
            yield from _false_alarms(name, some)
        if name == "smd":
            yield from causes(some, COMPARED)
            yield from _streamed(some[0])
    yield from _metric_speed()


def merged(name: str, entities: Sequence[Entity]) -> Entity:
    """All entities one after the other, as one."""
    return Entity(
        name=name, normal=as_series(f"{name} train", np.concatenate([e.normal.values for e in entities])),
        test=as_series(f"{name} test", np.concatenate([e.test.values for e in entities])),
        labels=np.concatenate([e.labels for e in entities]),
    )  # fmt: skip


def _joined(name: str, entities: Sequence[Entity]) -> Iterator[Row]:
    """Scores of one model per entity, in one list."""
    labels = np.concatenate([e.labels for e in entities])
    for title, (method, seeds) in COMPARED.items():
        with measured() as cost:
            tried = [np.concatenate([method(e, seed)[0] for e in entities]) for seed in seeds or (0,)]
        yield Row(
            data=f"{name} joined scores", method=title, metrics=ranked(name, labels, tried), seconds=cost.seconds,
            peak_mb=cost.peak_mb, seeds=seeds, trivial=title == "random",
        )  # fmt: skip


def _false_alarms(name: str, entities: Sequence[Entity]) -> Iterator[Row]:
    """Share of normal steps that alarm: learn from the first 60 % of the normal part, ask about the rest of it.

    As a whole, above the quantile of the reference; as a stream, above the adaptive threshold.
    """
    whole: list[list[float]] = []
    streamed: list[list[float]] = []
    with measured() as cost:
        for entity in entities:
            values = entity.normal.values
            cut = int(0.6 * len(values))
            detector = SeriesEnsemble().fit([as_series("first", values[:cut])])
            later = as_series("later", values[cut:])
            scores, reference = detector.score([later])[0].scores, detector.reference_scores()
            whole.append([float((scores > from_reference(reference, false_positive_rate=r).threshold).mean()) for r in RATES])
            stream = detector.stream()
            found = stream.update(later.values)
            surprises = np.concatenate([found.scores, stream.finish().scores])
            streamed.append([float(AdaptiveThreshold(rate=r).update(surprises).mean()) for r in RATES])
    for title, found_rates in (("ensemble", whole), ("ensemble, streamed, adaptive threshold", streamed)):
        metrics = {f"median alarms at {rate:g}": float(np.median([r[i] for r in found_rates])) for i, rate in enumerate(RATES)}
        metrics |= {f"mean alarms at {rate:g}": float(np.mean([r[i] for r in found_rates])) for i, rate in enumerate(RATES)}
        yield Row(data=f"{name} normal, later 40 %", method=title, metrics=metrics, seconds=cost.seconds, peak_mb=cost.peak_mb,
                  note="share of normal steps that alarm; lower is better")  # fmt: skip


def _streamed(entity: Entity) -> Iterator[Row]:
    """Rows of one machine, 256 at a time: speed by the clock and by the processor, and how well it ranks."""
    detector = SeriesEnsemble().fit([entity.normal])
    stream, values = detector.stream(), entity.test.values
    with measured() as cost:
        began = time.process_time()
        parts = [stream.update(values[a : a + 256]).scores for a in range(0, len(values), 256)]
        parts.append(stream.finish().scores)
        busy = time.process_time() - began
    scores: NDArray[np.float32] = np.concatenate(parts)
    yield Row(
        data=f"smd {entity.name}, streamed ({len(values)} × {values.shape[1]})", method="ensemble", seconds=cost.seconds,
        peak_mb=cost.peak_mb,
        metrics={
            "steps_per_second": len(values) / cost.seconds, "steps_per_processor_second": len(values) / busy,
            **ranked("smd", entity.labels, [scores]),
        },
    )  # fmt: skip


def _metric_speed() -> Iterator[Row]:
    """Our PATE beside the PyPI package, on the same labels and scores, in turn."""
    rng = np.random.default_rng(0)
    labels = np.zeros(5_000, np.int64)
    for first in (500, 1_700, 3_900):
        labels[first : first + 150] = 1
    scores = (rng.random(5_000) + 0.5 * labels).astype(np.float32)
    with measured() as cost:
        ours = pate(labels, scores)
    metrics, note = {"pate": ours, "milliseconds": 1000 * cost.seconds}, ""
    try:
        from pate.PATE_metric import PATE
    except ImportError as error:
        note = f"the package PATE cannot be used here ({error}), so the ratio of times is not measured"
        print(f"series_ensemble: {note}")
    else:
        with measured() as theirs:
            value = float(PATE(labels, scores, binary_scores=False))
        metrics |= {"times as fast as PyPI PATE": theirs.seconds / cost.seconds, "difference": abs(value - ours)}
    yield Row(
        data="PATE itself (5000 steps)",
        method="metrics.pate",
        metrics=metrics,
        seconds=cost.seconds,
        peak_mb=cost.peak_mb,
        note=note,
    )


def _ensemble(entity: Entity, seed: int) -> tuple[Scores, Scores | None]:
    found = SeriesEnsemble(seed=seed).fit([entity.normal]).score([entity.test])[0]
    return found.scores, found.channels


def _against_history(entity: Entity, seed: int) -> tuple[Scores, Scores | None]:
    found = SeriesEnsemble(seed=seed, itself=False).fit([entity.normal]).score([entity.test])[0]
    return found.scores, found.channels


def _alone(entity: Entity, seed: int) -> tuple[Scores, Scores | None]:
    found = SeriesEnsemble(seed=seed).score([entity.test])[0]
    return found.scores, found.channels


def _with_profile(entity: Entity, seed: int) -> tuple[Scores, Scores | None]:
    members = ("patterns", "forecast", "profile")
    found = SeriesEnsemble(seed=seed, members=members).fit([entity.normal]).score([entity.test])[0]
    return found.scores, found.channels


def _profile_alone(entity: Entity, seed: int) -> tuple[Scores, Scores | None]:
    found = SeriesEnsemble(seed=seed, members=("profile",)).fit([entity.normal]).score([entity.test])[0]
    return found.scores, found.channels


def _profiled() -> dict[str, tuple[Method, tuple[int, ...]]]:
    """The rows with the matrix profile, where its library is installed."""
    if importlib.util.find_spec("stumpy") is None:
        print("series_ensemble: stumpy is not installed, no rows with the matrix profile")
        return {}
    return {"ensemble with matrix profile": (_with_profile, (0,)), "matrix profile alone": (_profile_alone, (0,))}


def _remembering(method: Method) -> Method:
    """The method, asked once about each entity and seed: several rows read the same scores."""
    known: dict[tuple[str, int], tuple[Scores, Scores | None]] = {}

    def ask(entity: Entity, seed: int) -> tuple[Scores, Scores | None]:
        key = (entity.test.name, seed)
        if key not in known:
            known[key] = method(entity, seed)
        return known[key]

    return ask


COMPARED: dict[str, tuple[Method, tuple[int, ...]]] = {
    title: (_remembering(method), seeds)
    for title, (method, seeds) in (
        *((title, METHODS[title]) for title in TAKEN),
        ("ensemble", (_ensemble, (0,))),
        ("ensemble, against history only", (_against_history, (0,))),
        ("ensemble, no history", (_alone, (0,))),
    )
}
