"""What a person at a screen notices of videos: events found before false alarms ring, when falls are, what keyframes show.

`avenue`: two normal clips, four labelled ones. Most of the labelled clips is abnormal, so that one alarm per clip would find everything:
events are counted with a normal clip among those judged, learned from the other one, both ways. That is under a minute of video: one
false alarm is a hundred per hour, and none is allowed. Event recall needs one threshold for all clips, unlike the frame AUC of single
clips. Pixels: a unit's score inside its box, nothing outside, against the masks, on every eighth pixel.
`gmdcsa24_falls`: five clips with a fall and two of daily life, none to learn from; the intervals are the set's own.
`keyframes`: eight moments per event that the detector tells, of avenue's clips with normal footage before and after, chosen in three ways
from the same scores.
Everything is read with the program's defaults; nothing was chosen on these clips, except that two of the falls' clips are among those
the tracker was made on (`benchmarks.rules_sets.DEVELOPMENT`).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from benchmarks import video_sets
from benchmarks.datasets import folder
from benchmarks.rows import Row, measured
from benchmarks.tasks_video import events_of, per_frame
from benchmarks.video_sets import LabelledClip, read_clip
from core.calibrate import from_reference
from core.detector import Detector
from core.errors import BadInput
from core.samples import Frame, VideoClip
from core.scores import FrameScores
from metrics.events import Watched, recall_at, temporal_iou
from metrics.ranking import auroc
from tools.video.boundaries import boundaries, split
from tools.video.frame_novelty import LOW_SHARE, MERGE_GAP_S, MIN_LENGTH_S, SELF_THRESHOLD, SIGMA_S, FrameNovelty
from tools.video.keyframes import WAYS, moments, picture_changes
from tools.video.relations import clip_relations
from tools.video.track_finder import find_tracks

SEEDS = (0, 1, 2)
UNIT_S = 0.2
KEYFRAMES = 8
CONTEXT_S = 5.0
SAMPLED = 8
"""Every so manyth pixel of a mask is counted."""
Curve: TypeAlias = tuple[NDArray[np.float64], NDArray[np.floating]]
"""Seconds (T,) and scores (T,) of a clip."""
CurvesOf: TypeAlias = Callable[[Sequence[VideoClip], Sequence[VideoClip]], Sequence[Curve]]
"""(normal clips to learn from, clips to judge) → a curve of each."""


def rows(data: Path, *, quick: bool) -> Iterator[Row]:
    """The rows of this suite; `quick` takes one avenue test clip and two falls."""
    for suite in (_avenue, _falls, _keyframes):
        try:
            yield from suite(data, quick)
        except BadInput as error:
            print(f"video_events: {error}")


def _avenue(data: Path, quick: bool) -> Iterator[Row]:
    normal, test = video_sets.avenue(data)
    test = [one for one in test if one.clip.name.startswith("21")] if quick else test

    def ramp(learned: Sequence[VideoClip], clips: Sequence[VideoClip]) -> list[Curve]:
        return [(grid, grid) for grid in map(_grid, clips)]

    def chance(seed: int) -> CurvesOf:
        draw = np.random.default_rng(seed)
        return lambda learned, clips: [(grid, draw.random(len(grid))) for grid in map(_grid, clips)]

    for seed in SEEDS:
        yield _row("random", normal, test, chance(seed), seeds=(seed,), trivial=True)
    yield _row("time ramp (score = time)", normal, test, ramp, trivial=True)
    yield _row("frame k-NN, mean features", normal, test, _pooled)
    yield _row("flow histograms k-NN", normal, test, _flows)
    yield _row("size, speed and way of objects, k-NN", normal, test, _objects)
    yield detector_row("frame_novelty with normals", normal, test, lambda learned: FrameNovelty().fit(learned))
    yield detector_row("frame_novelty self-referenced", normal, test, lambda learned: FrameNovelty())


def detector_row(
    method: str, normal: Sequence[VideoClip], test: Sequence[LabelledClip], learned: Callable[[Sequence[VideoClip]], Detector],
    *, seeds: tuple[int, ...] = (),
) -> Row:  # fmt: skip
    """A detector's row on avenue, with what its own threshold and boxes add."""
    told: list[FrameScores] = []

    def curves(taught: Sequence[VideoClip], clips: Sequence[VideoClip]) -> list[Curve]:
        detector = learned(taught)
        scored = cast(Sequence[FrameScores], detector.score(clips))
        if not told:
            told.extend(scored)
            reference = detector.reference_scores()
            more["high"] = from_reference(reference).threshold if len(reference) else SELF_THRESHOLD
        return [(score.seconds, score.scores) for score in scored]

    more: dict[str, float] = {}
    row = _row(method, normal, test, curves, seeds=seeds)
    tops = [max(events_of(score, more["high"]), key=lambda event: event.peak, default=None) for score in told]
    ious = [
        0.0 if top is None else temporal_iou((top.start_s, top.end_s), one.segments)
        for top, one in zip(tops, test, strict=True)
    ]  # fmt: skip
    own = {"tiou_top_event": float(np.mean(ious)), "pixel_auroc": pixels(test, told)}
    return replace(row, metrics=row.metrics | own)


def _row(
    method: str, normal: Sequence[VideoClip], test: Sequence[LabelledClip],
    curves_of: CurvesOf, *, seeds: tuple[int, ...] = (),
    trivial: bool = False,
) -> Row:  # fmt: skip
    with measured() as cost:
        curves = curves_of(normal, [one.clip for one in test])
    values = per_frame(test, curves)
    single = [auroc(one.labels, value) for one, value in zip(test, values, strict=True)]
    labels, pooled = np.concatenate([one.labels for one in test]), np.concatenate(values)
    found = []
    for held in normal:
        clips = [*(one.clip for one in test), held]
        truth = [*(one.segments for one in test), ()]
        judged = curves_of([one for one in normal if one is not held], clips)
        watched = [Watched(seconds=s, scores=v, events=spans) for (s, v), spans in zip(judged, truth, strict=True)]
        recall = recall_at(
            watched, (0, 1), low_share=LOW_SHARE, sigma_s=SIGMA_S, merge_gap_s=MERGE_GAP_S, min_length_s=MIN_LENGTH_S
        )
        found.append(recall[0])
    metrics = {
        "frame_auc_micro": auroc(labels, pooled), "frame_auc_macro": float(np.nanmean(single)),
        "frame_ap": _average_precision(labels, pooled),
        "event_recall_at_no_false_alarm": float(np.mean(found)),
    }  # fmt: skip
    return Row(
        data="avenue", method=method, metrics=metrics, seconds=cost.seconds, peak_mb=cost.peak_mb, seeds=seeds, trivial=trivial
    )


def _grid(clip: VideoClip) -> NDArray[np.float64]:
    return np.arange(UNIT_S / 2, clip.duration_s, UNIT_S)


def _average_precision(labels: NDArray[np.bool_], values: NDArray[np.floating]) -> float:
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(labels, values))


def pixels(test: Sequence[LabelledClip], scored: Sequence[FrameScores]) -> float:
    """AUROC over pixels of all frames with masks: a unit's score inside its box, the least score of all clips outside."""
    least = min(float(score.scores.min()) for score in scored)
    truth, values = [], []
    for one, score in zip(test, scored, strict=True):
        assert one.masks is not None
        nearest = np.abs(score.seconds[None] - one.frame_seconds[:, None]).argmin(axis=1)
        high, wide = one.masks.shape[1:]
        scale_x, scale_y = wide / one.clip.width, high / one.clip.height
        for frame, unit in enumerate(nearest[: len(one.masks)]):
            drawn = np.full((high, wide), least, np.float32)
            box = None if score.boxes is None else score.boxes[unit]
            if box is not None:
                x0, y0, x1, y1 = box[0] * scale_x, box[1] * scale_y, box[2] * scale_x, box[3] * scale_y
                drawn[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = score.scores[unit]
            truth.append(one.masks[frame][::SAMPLED, ::SAMPLED].ravel())
            values.append(drawn[::SAMPLED, ::SAMPLED].ravel())
    return auroc(np.concatenate(truth), np.concatenate(values))


def _nearest(learned: NDArray[np.floating], asked: NDArray[np.floating]) -> NDArray[np.float64]:
    """Distance (n,) to the nearest row learned, columns standardised by what was learned."""
    from scipy.spatial import cKDTree

    centre, spread = learned.mean(axis=0), learned.std(axis=0) + 1e-6
    return np.asarray(cKDTree((learned - centre) / spread).query((asked - centre) / spread)[0], np.float64)


def _by_units(
    normal: Sequence[VideoClip], clips: Sequence[VideoClip], view: Callable[[VideoClip], tuple[NDArray[np.float64], NDArray[np.floating]]]
) -> list[Curve]:  # fmt: skip
    learned = np.concatenate([view(clip)[1] for clip in normal])
    curves: list[Curve] = []
    for clip in clips:
        seconds, asked = view(clip)
        curves.append((seconds, _nearest(learned, asked)))
    return curves


def _pooled(normal: Sequence[VideoClip], clips: Sequence[VideoClip]) -> list[Curve]:
    features = FrameNovelty().features

    def view(clip: VideoClip) -> tuple[NDArray[np.float64], NDArray[np.floating]]:
        units = list(features.read(clip))
        looks = np.concatenate([some.appearance.float().mean(dim=(1, 2)).numpy() for some in units])
        return np.concatenate([some.seconds for some in units]), looks

    return _by_units(normal, clips, view)


def _flows(normal: Sequence[VideoClip], clips: Sequence[VideoClip]) -> list[Curve]:
    features = FrameNovelty().features

    def view(clip: VideoClip) -> tuple[NDArray[np.float64], NDArray[np.floating]]:
        units = list(features.read(clip))
        moves = np.concatenate([some.motion.float().amax(dim=(1, 2)).numpy() for some in units])
        return np.concatenate([some.seconds for some in units]), moves

    return _by_units(normal, clips, view)


def _objects(normal: Sequence[VideoClip], clips: Sequence[VideoClip]) -> list[Curve]:
    """The strangest object of a unit by size, shape, speed and place; a unit without one is not strange."""

    def rows_of(clip: VideoClip) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
        seen = find_tracks(clip)
        grid = np.arange(UNIT_S / 2, clip.duration_s, UNIT_S)
        found = []
        for t in grid:
            rows = []
            for track in seen.at(float(t)):
                k = int(np.abs(track.motion.times - t).argmin())
                box, way = track.motion.boxes[k], track.motion.velocity[k] / track.motion.body[k]
                wide, high = (box[2:] - box[:2]) / (clip.width, clip.height)
                rows.append([wide, high, wide / high, box[3] / clip.height, np.hypot(*way), *way])
            found.append(np.array(rows, np.float64).reshape(-1, 7))
        return grid, found

    learned = np.concatenate([rows for clip in normal for rows in rows_of(clip)[1]])
    curves: list[Curve] = []
    for clip in clips:
        grid, found = rows_of(clip)
        curves.append((grid, np.array([_nearest(learned, rows).max() if len(rows) else 0.0 for rows in found])))
    return curves


def falls(data: Path) -> list[tuple[VideoClip, tuple[tuple[float, float], ...]]]:
    """The clips and the stretches in which somebody falls or lies fallen; none for daily life.

    Raises:
        BadInput: the set is not below `data`.
    """
    base = folder(data, "gmdcsa24_falls")
    with (base / "labels.csv").open(encoding="utf-8") as file:
        notes = sorted(csv.DictReader(file), key=lambda row: row["file"])
    spans = [re.findall(r"Falling[^\[]*\[([\d.]+) to ([\d.]+)\]", row["classes_with_seconds"]) for row in notes]
    return [
        (read_clip(base / row["file"]), tuple((float(a), float(b)) for a, b in found))
        for row, found in zip(notes, spans, strict=True)
    ]  # fmt: skip


def _falls(data: Path, quick: bool) -> Iterator[Row]:
    given = falls(data)[: 2 if quick else None]

    def ramp(clip: VideoClip) -> list[tuple[float, float]]:
        return [(clip.duration_s / 2, clip.duration_s)]

    def log(clip: VideoClip) -> list[tuple[float, float]]:
        return [(one.t0_s, one.t1_s) for one in clip_relations(clip) if one.predicate == "falls"]

    def novelty(clip: VideoClip) -> list[tuple[float, float]]:
        told = events_of(FrameNovelty().score([clip])[0], SELF_THRESHOLD)
        return [(event.start_s, event.end_s) for event in sorted(told, key=lambda event: -event.peak)]

    for method, tell, trivial in (
        ("the second half of every clip", ramp, True), ("frame_novelty self-referenced", novelty, False),
        ("relation log: falls", log, False),
    ):  # fmt: skip
        with measured() as cost:
            told = [tell(clip) for clip, _ in given]
        hits = [
            max((temporal_iou(one, truth) for one in events), default=0.0)
            for events, (_, truth) in zip(told, given, strict=True) if truth
        ]  # fmt: skip
        false = sum(len(events) for events, (_, truth) in zip(told, given, strict=True) if not truth)
        yield Row(
            data="gmdcsa24_falls", method=method, seconds=cost.seconds, peak_mb=cost.peak_mb, trivial=trivial,
            metrics={
                "interval_recall": float(np.mean([hit > 0 for hit in hits])), "tiou": float(np.mean(hits)),
                "false_alarms_lower_is_better": float(false),
            },
            note="told in daily life too" if trivial else "",
        )  # fmt: skip


def _keyframes(data: Path, quick: bool) -> Iterator[Row]:
    """How close the chosen moments come to the true start, and whether they show what was before, in and after the stretch."""
    normal, test = video_sets.avenue(data, masks=False)
    before, learned = normal[-1], normal[:-1]
    detector = FrameNovelty().fit(learned)
    high = from_reference(detector.reference_scores()).threshold
    given = []
    for one in test[: 1 if quick else None]:
        clip, shift = chained([before, one.clip, before])[0], before.n_frames / before.fps
        score = detector.score([clip])[0]
        assert score.traits is not None
        events = split(
            events_of(score, high), boundaries(score.traits, score.seconds, score.unit_s), score.seconds, score.scores,
            unit_s=score.unit_s, high=high, sigma_s=SIGMA_S, min_length_s=MIN_LENGTH_S,
        )  # fmt: skip
        for start, end in one.segments:
            span = (start + shift, end + shift)
            told = [event for event in events if event.start_s < span[1] and span[0] < event.end_s]
            if told:
                event = max(told, key=lambda event: event.peak)
                given.append((clip, score, event, [other for other in events if other is not event], span))
    for way in WAYS:
        starts, shares, all_three = [], [], []
        for clip, score, event, others, (start, end) in given:
            looks = moments(
                event, score.seconds, score.scores, count=KEYFRAMES, duration_s=clip.duration_s, others=others,
                changes=picture_changes(clip), way=way,
            )  # fmt: skip
            times = np.array([look.time_s for look in looks])
            inside = (times >= start) & (times <= end)
            starts.append(float(np.abs(times - start).min()))
            shares.append(float(inside.mean()))
            earlier, later = (times >= start - CONTEXT_S) & (times < start), (times > end) & (times <= end + CONTEXT_S)
            all_three.append(bool(earlier.any() and inside.any() and later.any()))
        yield Row(
            data="keyframes, 8 per event of a longer video", method=way, seconds=0.0, peak_mb=0.0,
            metrics={
                "seconds_from_the_start_lower_is_better": float(np.mean(starts)), "share_inside": float(np.mean(shares)),
                "before_inside_and_after": float(np.mean(all_three)),
            },
            note=f"{len(given)} events",
        )  # fmt: skip


def chained(clips: Sequence[VideoClip]) -> tuple[VideoClip, list[float]]:
    """Clips of one size one after the other, still decoded frame by frame, and when each begins."""
    lengths = [clip.n_frames / clip.fps for clip in clips]
    begins = [0.0, *np.cumsum(lengths)[:-1].tolist()]
    numbers = [0, *np.cumsum([clip.n_frames for clip in clips])[:-1].tolist()]

    def opener(start_s: float, end_s: float, step: int, max_side: int | None) -> Iterator[Frame]:
        for clip, begin, number, length in zip(clips, begins, numbers, lengths, strict=True):
            if begin >= end_s or begin + length <= start_s:
                continue
            for frame in clip.frames(start_s=max(0.0, start_s - begin), end_s=end_s - begin, step=step, max_side=max_side):
                yield frame._replace(number=frame.number + number, time_s=frame.time_s + begin)

    first = clips[0]
    joined = VideoClip(
        name=" + ".join(clip.name for clip in clips), height=first.height, width=first.width, fps=first.fps,
        duration_s=sum(lengths), n_frames=sum(clip.n_frames for clip in clips), opener=opener,
    )  # fmt: skip
    return joined, begins
