"""Videos that are labelled as a whole: which video, and which moment in it, is abnormal, for whoever saw only whole videos' labels.

`ucf_crime_c3d`: published C3D features of 39 videos, five folds with each kind of video in each, three seeds; videos are ranked by their
highest segment, segments by their scores against the published spans. The published AUC (.754) is of another, full test set and learned
from 1,610 videos: not comparable. `surv_fights`: 36 clips of two seconds in the order of their numbers, neighbours often from one scene;
learned on one half and judged on the other, both ways, so that no scene is in both. Rows beside: chance, the file's size alone, fast flow
without learning, and a logistic regression on a video's mean (and highest) features. Nothing was chosen on these videos.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import folder
from benchmarks.rows import Row, measured
from benchmarks.video_sets import read_clip
from core.errors import BadInput
from metrics.ranking import auroc
from tools.video.bags import SEGMENTS, Bag, segments
from tools.video.feature_lists import NORMAL, ListedVideo
from tools.video.lagovad import LaGoVAD
from tools.video.mil_ranking import MILRanking

SEEDS = (0, 1, 2)
FOLDS = 5
QUICK_STEPS = 20
Features: TypeAlias = NDArray[np.float32]
Judge: TypeAlias = "Callable[[Sequence[Bag], Sequence[Bag], int], list[NDArray[np.floating]]]"
"""(bags to learn from, bags to judge, seed) → scores of the segments of each."""


def rows(data: Path, *, quick: bool) -> Iterator[Row]:
    """The rows of this suite; `quick` takes one seed and few training steps."""
    for suite in (_ucf, _fights):
        try:
            yield from suite(data, quick)
        except BadInput as error:
            print(f"video_bags: {error}")


def _ucf(data: Path, quick: bool) -> Iterator[Row]:
    bags, truths = c3d(data)
    labels = np.array([bag.abnormal for bag in bags])
    inside = np.concatenate(truths)
    for method, judge, trivial in _judges(quick):
        found = []
        with measured() as cost:
            for seed in SEEDS[: 1 if quick else None]:
                scores = _crossed(bags, judge, seed)
                highest = np.array([one.max() for one in scores])
                found.append((auroc(labels, highest), auroc(inside, np.concatenate(scores))))
        video, segment = np.mean(found, axis=0)
        yield Row(
            data="ucf_crime_c3d, 5 folds", method=method, metrics={"video_auroc": float(video), "segment_auroc": float(segment)},
            seconds=cost.seconds, peak_mb=cost.peak_mb, seeds=SEEDS[: len(found)], trivial=trivial,
            note=f"video AUROC {min(v for v, _ in found):.3f} to {max(v for v, _ in found):.3f}" if len(found) > 1 else "",
        )  # fmt: skip


def c3d(data: Path) -> tuple[list[Bag], list[NDArray[np.bool_]]]:
    """The bags, and which of their segments lie in a published span.

    Raises:
        BadInput: one of the two sets is not below `data`.
    """
    base, notes = folder(data, "ucf_crime_c3d"), folder(data, "vad_temporal_annos")
    spans = {Path(one["path"]).stem: one["anomaly_span"] for one in json.loads((notes / "ucf_test_anno.json").read_text("utf-8"))}
    with (base / "labels.csv").open(encoding="utf-8") as file:
        labels = {row["video"]: row["video_label"] == "1" for row in csv.DictReader(file)}
    middles = (np.arange(SEGMENTS) + 0.5) / SEGMENTS
    bags, truths = [], []
    with np.load(base / "c3d_fc6_32seg.npz") as packed:
        for name in sorted(packed.files):
            bags.append(Bag(name=name, segments=packed[name].astype(np.float32), abnormal=labels[name]))
            truth = np.zeros(SEGMENTS, np.bool_)
            for first, last in spans.get(name, []) if labels[name] else []:
                truth |= (middles >= first) & (middles <= last)
            truths.append(truth)
    return bags, truths


def _crossed(bags: Sequence[Bag], judge: Judge, seed: int) -> list[NDArray[np.floating]]:
    """Scores of every bag by what did not learn from it, scaled by nothing: folds are pooled as they are."""
    rng = np.random.default_rng(seed)
    fold = np.empty(len(bags), int)
    for kind in (False, True):
        members = rng.permutation([number for number, bag in enumerate(bags) if bag.abnormal == kind])
        fold[members] = np.arange(len(members)) % FOLDS
    scores: list[NDArray[np.floating]] = [np.empty(0)] * len(bags)
    for part in range(FOLDS):
        held = np.flatnonzero(fold == part)
        learned = [bags[int(number)] for number in np.flatnonzero(fold != part)]
        for number, found in zip(held, judge(learned, [bags[int(n)] for n in held], seed), strict=True):
            scores[int(number)] = found
    return scores


def _judges(quick: bool) -> list[tuple[str, Judge, bool]]:
    def chance(learned: Sequence[Bag], judged: Sequence[Bag], seed: int) -> list[NDArray[np.floating]]:
        return [np.random.default_rng([seed, *bag.name.encode()]).random(len(bag.segments)) for bag in judged]

    def ranked(learned: Sequence[Bag], judged: Sequence[Bag], seed: int) -> list[NDArray[np.floating]]:
        detector = MILRanking(seed=seed, steps=QUICK_STEPS if quick else MILRanking().steps).fit_bags(learned)
        return [detector.score_pieces(bag.segments) for bag in judged]

    def defined(learned: Sequence[Bag], judged: Sequence[Bag], seed: int) -> list[NDArray[np.floating]]:
        detector = LaGoVAD(seed=seed, steps=QUICK_STEPS if quick else LaGoVAD().steps).fit_videos(
            [_listed(bag) for bag in learned]
        )
        return [detector.score_units(bag.segments)[0] for bag in judged]

    return [
        ("random", chance, True),
        ("logistic regression on a video's mean and highest features", _regressed(_mean_and_highest), False),
        ("logistic regression on a video's mean features", _regressed(lambda bag: bag.mean(axis=0)[None]), False),
        ("logistic regression on segments", _regressed(lambda bag: bag), False),
        ("mil_ranking", ranked, False),
        ("lagovad, names of classes and MiniLM", defined, False),
    ]


def _listed(bag: Bag) -> ListedVideo:
    """A bag with the class that its name begins with, as UCF-Crime's do; "fight" where it begins with none."""
    found = re.match(r"[A-Za-z]{3,}", bag.name)
    name = NORMAL if not bag.abnormal else (found[0] if found else "fight")
    return ListedVideo(name=bag.name, units=bag.segments, class_name=name)


def _mean_and_highest(bag: Features) -> Features:
    return np.concatenate([bag.mean(axis=0), bag.max(axis=0)])[None]


def _regressed(view: Callable[[Features], Features]) -> Judge:
    """A linear judge of views (k, D) of a bag's segments; a view of the whole bag counts for each of its segments."""

    def judge(learned: Sequence[Bag], judged: Sequence[Bag], seed: int) -> list[NDArray[np.floating]]:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        views = [view(bag.segments) for bag in learned]
        labels = np.concatenate([np.full(len(seen), bag.abnormal) for seen, bag in zip(views, learned, strict=True)])
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500)).fit(np.concatenate(views), labels)
        return [
            np.broadcast_to(model.decision_function(view(bag.segments)), len(bag.segments)).astype(np.float64)
            if len(view(bag.segments)) == 1
            else model.decision_function(view(bag.segments))
            for bag in judged
        ]

    return judge


def _fights(data: Path, quick: bool) -> Iterator[Row]:
    base = folder(data, "surv_fights")
    paths = [
        (path, label == "fight") for label in ("fight", "noFight") for path in sorted((base / label).glob("*.*"), key=_number)
    ]
    paths = paths[::4] if quick else paths
    labels = np.array([fights for _, fights in paths])
    order = np.concatenate([np.arange((labels == kind).sum()) / max(1, (labels == kind).sum()) for kind in (True, False)])
    late = order >= 0.5
    reader = MILRanking()
    with measured() as cost:
        pieces = [reader.pieces(read_clip(path))[0] for path, _ in paths]
    bags = [Bag(name=p.stem, segments=segments(own), abnormal=bool(f)) for (p, f), own in zip(paths, pieces, strict=True)]
    seconds = cost.seconds
    sizes = np.array([path.stat().st_size for path, _ in paths], float)
    motion = np.array([np.quantile(own[:, -16:].max(axis=1), 0.95) for own in pieces])
    yield _clips("file size", labels, late, lambda learned, judged, seed: sizes[judged], seed=0, trivial=True)
    yield _clips("fastest flow, not learned", labels, late, lambda learned, judged, seed: motion[judged], seed=0)
    for method, judge, trivial in _judges(quick):
        for seed in SEEDS[:1] if quick or "regression" in method else SEEDS:
            yield _clips(method, labels, late, _by(judge, bags), seed=seed, trivial=trivial, seconds=seconds)


def _number(path: Path) -> int:
    return int("".join(filter(str.isdigit, path.stem)) or 0)


def _by(judge: Judge, bags: Sequence[Bag]) -> Callable[[NDArray[np.intp], NDArray[np.intp], int], NDArray[np.floating]]:
    def highest(learned: NDArray[np.intp], judged: NDArray[np.intp], seed: int) -> NDArray[np.floating]:
        found = judge([bags[int(n)] for n in learned], [bags[int(n)] for n in judged], seed)
        return np.array([one.max() for one in found])

    return highest


def _clips(
    method: str, labels: NDArray[np.bool_], late: NDArray[np.bool_],
    judge: Callable[[NDArray[np.intp], NDArray[np.intp], int], NDArray[np.floating]], *,
    seed: int, trivial: bool = False, seconds: float = 0.0,
) -> Row:  # fmt: skip
    """Mean AUROC over both ways of learning on one half of the scenes and judging the other."""
    found = []
    with measured() as cost:
        for held in (late, ~late):
            judged = np.flatnonzero(held)
            found.append(auroc(labels[judged], judge(np.flatnonzero(~held), judged, seed)))
    return Row(
        data="surv_fights, other scenes", method=method, metrics={"clip_auroc": float(np.mean(found))}, seconds=seconds + cost.seconds,
        peak_mb=cost.peak_mb, seeds=(seed,), trivial=trivial, note=f"{found[0]:.3f} and {found[1]:.3f}",
    )  # fmt: skip
