"""MAD-Bench suite: do scores order photos by how bad their defects are (Cao et al. 2024, arXiv 2411.14515).

Metrics: AUROC of level 0 against each level and against all, C-index over all pairs, C-index among defective photos alone (severity
without detection), Kendall's τ-b; ties in score count half. Every detector runs with its defaults, on features of the same encoder,
in the same run. "graded 0–100" is the severity an answer states: strength, extent and confidence, from the detector's own threshold.
"area above the threshold" is the extent in it; where nothing reaches the threshold it is the area above half the peak's height, so good
photos have one too, and only its C-index among defective photos says something.

Nothing was chosen on the severity levels of test photos. The grade's shares were set by reasoning and looked at on defects of three
sizes drawn into normal photos. The severity table holds general knowledge; whoever wrote it knew MAD-Bench's lists, so rows that use
it show agreement with them, not a blind prediction. Rows marked "told" are bounds: they are told what no detector knows, the kind of
defect or its true outline. Levels of a data set belong to kinds of defect, so within a kind all is tied by definition.

Data sets whose photos are absent have only rows of the table alone: their levels against its levels, by the name of the kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.examine.image import FALSE_POSITIVE_RATE, GOOD_SPREAD, deviating_area
from agent.severity import confidence, grade
from agent.severity_table import built_in
from benchmarks.mad_bench_sets import SeverityMap, SeveritySet, map_names, severity_map, severity_set
from benchmarks.rows import Row, measured
from benchmarks.tasks_image import PEER_NORMALS, SEEDS, Outcome, _peer, fitted, scored, thumbnail
from core.calibrate import Calibration, from_majority, from_reference
from core.errors import BadInput
from core.samples import ImageSample
from core.scores import ImageScore
from metrics.severity import c_index_anomalies, severity_order
from tools.image.intrinsic import Intrinsic
from tools.image.musc import MuSc
from tools.image.patch_search import PatchSearch

MOST_TOGETHER = 300
"""Larger test sets are not given to methods that compare every photo with every other, or take a second per photo."""
KINDS_GROUPS = ("mvtec", "visa")
"""Data sets whose folders name kinds of defect; the others name diseases by number, or animals."""


@dataclass(frozen=True, kw_only=True)
class Rated:
    """A data set, loaded."""

    listing: SeveritySet
    normal: list[ImageSample]
    test: list[ImageSample]

    def row(
        self, method: str, scores: Sequence[float] | NDArray[np.float64], *, outcome: Outcome | None = None,
        seeds: tuple[int, ...] = (), trivial: bool = False, note: str = "",
    ) -> Row:  # fmt: skip
        """The protocol's metrics of one method's scores."""
        found = severity_order(self.listing.map.levels, np.asarray(scores, dtype=np.float64))
        return Row(
            data=self.listing.map.name, method=method,
            metrics={
                **{f"auroc_{level:g}": value for level, value in found.auroc_per_level.items()}, "auroc_all": found.auroc_all,
                "c_index": found.c_index, "c_index_anomalies": found.c_index_anomalies, "kendall_tau_b": found.kendall_tau,
            },
            seconds=outcome.fit_s + outcome.score_s if outcome else 0.0, peak_mb=outcome.peak_mb if outcome else 0.0,
            seeds=seeds, trivial=trivial, note=note,
        )  # fmt: skip

    def graded(self, outcome: Outcome, calibration: Calibration, *, told: bool = False) -> list[float]:
        """The severity an answer would state for each photo; `told`: the kind of defect is known too."""
        kinds = self.listing.map.kinds if told else ("",) * len(self.test)
        return [severity_of(score, calibration, kind) for score, kind in zip(outcome.scores, kinds, strict=True)]


def rows(data: Path, *, quick: bool) -> Iterator[Row]:
    """The rows of this suite; `quick` takes each fourth photo and no slow method."""
    try:
        names = map_names(data)
    except BadInput as error:
        print(f"mad_bench: {error}")
        return
    absent = []
    for name in names:
        try:
            listing = severity_set(data, name, every=4 if quick else 1)
        except BadInput as error:
            absent.append((name, error))
            continue
        yield from _photos(Rated(listing=listing, normal=listing.normals(), test=listing.tests()), quick=quick)
    if absent:
        print(f"mad_bench: {len(absent)} data sets left out ({', '.join(name for name, _ in absent)}). The first: {absent[0][1]}")
    alone = [_table_alone(severity_map(data, name)) for name in names if name.split("_")[0] in KINDS_GROUPS]
    yield from alone
    if alone:
        value = float(np.mean([row.metrics["c_index_anomalies"] for row in alone]))
        yield replace(alone[0], data=f"all {len(alone)}, names of kinds", metrics={"c_index_anomalies": value},
                      note="mean over the data sets; chance is .5")  # fmt: skip


def severity_of(score: ImageScore, calibration: Calibration, kind: str = "") -> float:
    """The severity score (0–100) of a photo as `agent.examine.image` states it; `kind` names its defect where that is known."""
    ratio = calibration.ratio(score.score)
    p_value = float(calibration.p_value(np.array([score.score], np.float32))[0])
    return grade(
        ratio=ratio, extent=deviating_area(score, calibration.threshold), extent_words="", named=kind, kind="image", table=built_in(),
        sure=confidence(p_value=p_value, ratio=ratio, calibrated=calibration.calibrated),
    ).score  # fmt: skip


def _photos(rated: Rated, *, quick: bool) -> Iterator[Row]:
    yield from _trivial(rated)
    yield from _with_normals(rated, rated.normal, "patch_search", bounds=True)
    if quick or len(rated.test) > MOST_TOGETHER:
        return
    yield from _without_normals(rated, "musc, no normals", scored(MuSc(), rated.test))
    yield from _without_normals(rated, "intrinsic, each photo alone", scored(Intrinsic(), rated.test))
    few = rated.normal[:PEER_NORMALS]
    yield from _with_normals(rated, few, f"patch_search, {len(few)} normals")
    peer = _peer(few, rated.test, greedy=True)
    yield rated.row(
        f"peer: greedy k-centre coreset (PatchCore), {len(few)} normals: score", _values(peer), outcome=peer, seeds=(0,)
    )


def _trivial(rated: Rated) -> Iterator[Row]:
    for seed in SEEDS:
        yield rated.row("random", np.random.default_rng(seed).random(len(rated.test)), seeds=(seed,), trivial=True)
    normal, test = (np.stack([thumbnail(sample.pixels, 16) for sample in part]) for part in (rated.normal, rated.test))
    distances = np.array([np.linalg.norm(normal - photo, axis=1).min() for photo in test])
    yield rated.row("16×16 thumbnail, nearest normal", distances, trivial=True)


def _with_normals(rated: Rated, normal: Sequence[ImageSample], name: str, *, bounds: bool = False) -> Iterator[Row]:
    detector = PatchSearch()
    outcome = fitted(detector, normal, rated.test)
    calibration = from_reference(detector.reference_scores(), false_positive_rate=FALSE_POSITIVE_RATE)
    note = f"{len(normal)} normals"
    yield rated.row(f"{name}: score", _values(outcome), outcome=outcome, seeds=(0,), note=note)
    areas = [deviating_area(score, calibration.threshold) for score in outcome.scores]
    yield rated.row(f"{name}: area above the threshold", areas, outcome=outcome, seeds=(0,), note=note)
    yield rated.row(f"{name}: graded 0–100", rated.graded(outcome, calibration), outcome=outcome, seeds=(0,), note=note)
    if bounds and any(rated.listing.map.kinds):
        told = rated.graded(outcome, calibration, told=True)
        note = "the kind of defect is told and looked up in the severity table"
        yield rated.row(f"told: {name}, graded, kind known", told, outcome=outcome, seeds=(0,), note=note)
    if bounds and any(rated.listing.masks):
        yield rated.row("told: area of the true outline", _true_areas(rated), note="no detector: the labelled pixels themselves")


def _without_normals(rated: Rated, name: str, outcome: Outcome) -> Iterator[Row]:
    calibration = from_majority(np.array(_values(outcome), dtype=np.float32), usual_spread=GOOD_SPREAD)
    yield rated.row(f"{name}: score", _values(outcome), outcome=outcome)
    yield rated.row(f"{name}: graded 0–100", rated.graded(outcome, calibration), outcome=outcome)


def _values(outcome: Outcome) -> list[float]:
    return [score.score for score in outcome.scores]


def _true_areas(rated: Rated) -> list[float]:
    from PIL import Image

    areas = []
    for path in rated.listing.masks:
        if path is None:
            areas.append(0.0)
            continue
        with Image.open(path) as picture:
            areas.append(float((np.asarray(picture.convert("L")) > 127).mean()))
    return areas


def _table_alone(levels: SeverityMap) -> Row:
    """Does the severity table order a data set's kinds of defect as its authors do, by their names alone."""
    with measured() as cost:
        strange = levels.levels > 0
        kinds = [kind for kind, bad in zip(levels.kinds, strange, strict=True) if bad]
        known = {kind: built_in().known(kind, "image") for kind in sorted(set(kinds))}
        scores = np.array(
            [grade(ratio=1.0, extent=0.0, extent_words="", named=kind, kind="image", table=built_in()).score for kind in kinds]
        )
        value = c_index_anomalies(levels.levels[strange], scores)
    unknown = [kind for kind, found in known.items() if found is None]
    note = f"{len(known) - len(unknown)} of {len(known)} kinds in the table" + (f"; not {', '.join(unknown)}" if unknown else "")
    return Row(
        data=f"{levels.name}, names of kinds", method="told: severity table alone", metrics={"c_index_anomalies": value},
        seconds=cost.seconds, peak_mb=cost.peak_mb, note=note,
    )  # fmt: skip
