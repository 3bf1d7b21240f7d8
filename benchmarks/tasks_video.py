"""Video suite: when something unusual happens (frame AUC, temporal IoU of the top event), where, and what it costs.

Frame AUC is unsmoothed; micro pools the frames of all clips, macro averages clips that have both classes. Every detector's
unit scores are copied to frames by the same nearest-unit rule. Events: `core.segments.extract_events` with the numbers stated in
`tools.video.frame_novelty`, high threshold from the normal clips' held-out scores or, without normals, SELF_THRESHOLD. The live row scores
each moment from what came before it (a jump of the camera: 0.8 s later); self-referenced, these clips are shorter than its warm-up.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from benchmarks import video_sets
from benchmarks.datasets import folder
from benchmarks.rows import Row, measured
from benchmarks.video_sets import LabelledClip
from core.archive import restate
from core.calibrate import from_reference
from core.errors import BadInput
from core.samples import Frame, VideoClip
from core.scores import FrameScores
from core.segments import Segment, extract_events
from metrics.events import temporal_iou
from metrics.ranking import auroc
from tools.video.frame_bank import Bank
from tools.video.frame_features import FrameFeatures
from tools.video.frame_novelty import LOW_SHARE, MERGE_GAP_S, MIN_LENGTH_S, SELF_THRESHOLD, SIGMA_S, FrameNovelty
from tools.video.live import LiveNovelty
from tools.video.object_cubes import CubeReader
from tools.video.state import STATE

SEEDS = (0, 1, 2)
PERTURBATION = 0.002
"""As published for avenue."""
PEER_SHARE = 0.01
"""The plain patch k-NN peer averages the strangest 1 % of patches, as in the published few-shot baselines."""


def rows(data: Path, *, quick: bool) -> Iterator[Row]:
    """The rows of this suite; `quick` takes one avenue test clip and no long video."""
    for suite in (_avenue, _things, _ucf, _cost, _long):
        try:
            yield from suite(data, quick)
        except BadInput as error:
            print(f"video: {error}")


def _avenue(data: Path, quick: bool) -> Iterator[Row]:
    normal, test = video_sets.avenue(data)
    test = [one for one in test if one.clip.name.startswith("21")] if quick else test
    for seed in SEEDS:
        draw = np.random.default_rng(seed)
        yield _frame_row("avenue", "random", test, [draw.random(len(one.labels)) for one in test], seeds=(seed,), trivial=True)
    ramp = [np.arange(len(one.labels), dtype=float) for one in test]
    yield _frame_row("avenue", "time ramp (score = frame number)", test, ramp, trivial=True)

    with measured() as cost:
        peer = _plain_patches(normal, [one.clip for one in test])
    yield _frame_row("avenue", "plain patch k-NN, same features", test, per_frame(test, peer), cost.seconds, cost.peak_mb)

    with measured() as cost:
        detector = FrameNovelty().fit(normal)
        scored = detector.score([one.clip for one in test])
    reference = detector.reference_scores()
    high = from_reference(reference).threshold
    yield _novelty_row("avenue", "frame_novelty with normals", test, scored, high, cost.seconds, cost.peak_mb)
    with measured() as cost:
        curves = [_live(detector, one.clip) for one in test]
    yield _frame_row("avenue", "frame_novelty live, causal", test, per_frame(test, curves), cost.seconds, cost.peak_mb)
    for part in ("appearance", "motion"):
        values = per_frame(test, [(score.seconds, score.parts[part]) for score in scored])
        yield _frame_row("avenue", f"frame_novelty with normals, {part} alone", test, values)
    average = [(score.seconds, _z(score.parts["appearance"]) + _z(score.parts["motion"])) for score in scored]
    yield _frame_row("avenue", "z-average of the same two parts", test, per_frame(test, average))

    with measured() as cost:
        scored = FrameNovelty().score([one.clip for one in test])
    yield _novelty_row("avenue", "frame_novelty self-referenced", test, scored, SELF_THRESHOLD, cost.seconds, cost.peak_mb)
    quiet = FrameNovelty().score(normal)
    false = sum(len(events_of(score, SELF_THRESHOLD)) for score in quiet)
    yield Row(
        data="avenue training clips", method="frame_novelty self-referenced", seconds=0.0, peak_mb=0.0,
        metrics={"false_events_lower_is_better": float(false)},
    )  # fmt: skip


def _things(data: Path, quick: bool) -> Iterator[Row]:
    """The detector that judges thing by thing, its two halves, its perturbation, and the same boxes without a network."""
    normal, test = video_sets.avenue(data)
    test = [one for one in test if one.clip.name.startswith("21")] if quick else test
    clips = [one.clip for one in test]
    with measured() as cost:
        detector = STATE().fit(normal)
        scored = detector.score(clips)
    yield _things_row("state", test, scored, cost.seconds, cost.peak_mb)
    for part in ("appearance", "motion"):
        curves = [(score.seconds, score.parts[part]) for score in scored]
        yield _frame_row("avenue", f"state, {part} alone", test, per_frame(test, curves))
    with TemporaryDirectory() as folder, measured() as cost:
        plain, moved = Path(folder, "plain.npz"), Path(folder, "moved.npz")
        detector.save(plain)
        restate(plain, moved, name="state", perturbation=PERTURBATION)
        scored = STATE.load(moved).score(clips)
    yield _things_row(f"state, perturbed by {PERTURBATION} (scoring only)", test, scored, cost.seconds, cost.peak_mb)
    with measured() as cost:
        energy = [_flow_energy(clip) for clip in clips]
    yield _frame_row("avenue", "flow energy in the same boxes", test, per_frame(test, energy), cost.seconds, cost.peak_mb)


def _things_row(method: str, test: Sequence[LabelledClip], scored: Sequence[FrameScores], seconds: float, peak_mb: float) -> Row:
    more = {
        f"box_centre_in_mask {one.clip.name}": pointing(score, one)
        for one, score in zip(test, scored, strict=True)
        if one.masks is not None
    }
    curves = [(score.seconds, score.scores) for score in scored]
    return _frame_row("avenue", method, test, per_frame(test, curves), seconds, peak_mb, more=more)


def _flow_energy(clip: VideoClip) -> Curve:
    """The peer: the largest sum of squared flow in any of the cubes that `state` judges, without any learning."""
    reader = CubeReader()
    seconds, values = [], []
    for one in reader.read(clip, wanted=reader.middles(clip, STATE().unit_s)):
        if one.sought:
            flow = one.cubes().flow.astype(np.float64)
            seconds.append(one.frame.time_s)
            values.append(float((flow**2).sum(axis=(1, 2, 3, 4)).max(initial=0.0)))
    return np.array(seconds), np.array(values)


def _ucf(data: Path, quick: bool) -> Iterator[Row]:
    for one in video_sets.ucf_clips(data):
        with measured() as cost:
            score = FrameNovelty().score([one.clip])[0]
        if one.labels.any():
            name = f"ucf_crime_clips {one.clip.name}"
            ramp = np.arange(len(one.labels), dtype=float)
            yield _frame_row(name, "time ramp (score = frame number)", [one], [ramp], trivial=True)
            yield _novelty_row(name, "frame_novelty self-referenced", [one], [score], SELF_THRESHOLD, cost.seconds, cost.peak_mb)
        else:
            yield Row(
                data=f"ucf_crime_clips {one.clip.name}", method="frame_novelty self-referenced", seconds=cost.seconds,
                peak_mb=cost.peak_mb,
                metrics={"false_events_lower_is_better": float(len(events_of(score, SELF_THRESHOLD)))},
            )  # fmt: skip


def _cost(data: Path, quick: bool) -> Iterator[Row]:
    """The abnormal clip 1, 2, 4 … times in a row, each in a process of its own so that peak memory is its own."""
    path = next(one for one in sorted(folder(data, "ucf_crime_clips").glob("*.mp4")) if "Normal" not in one.name)
    for times in (1,) if quick else (1, 2, 4):
        with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as alone:
            seconds, peak_mb, metrics = alone.submit(_timed, path, times).result()
        yield Row(
            data=f"{path.stem} × {times}", method="frame_novelty self-referenced, from cold", seconds=seconds, peak_mb=peak_mb,
            metrics=metrics,
        )  # fmt: skip


def _long(data: Path, quick: bool) -> Iterator[Row]:
    """The avenue clips after each other, encoded once and looped without another encoding to 1, 20 and 60 minutes of 640×360 at 25
    frames/s, each in a process of its own: to the first answer (a skim, with the start of the process) and until all is read.
    """
    import tempfile

    paths = sorted((folder(data, "avenue") / "training_videos").glob("*.avi"))
    paths += sorted((folder(data, "avenue") / "testing_videos").glob("*.avi"))
    with tempfile.TemporaryDirectory() as place:
        piece = Path(place) / "piece.mp4"
        video_sets.joined(paths, piece)
        for minutes in (1,) if quick else (1, 20, 60):
            path = Path(place) / f"{minutes}.mp4"
            video_sets.looped(piece, path, 60.0 * minutes)
            context = multiprocessing.get_context("spawn")
            for method, timed in (("frame_novelty, first look", _first_look), ("frame_novelty, all read", _all_read)):
                with ProcessPoolExecutor(max_workers=1, mp_context=context) as alone:
                    seconds, peak_mb, metrics = alone.submit(timed, path).result()
                yield Row(
                    data=f"avenue looped to {minutes} min", method=method, seconds=seconds, peak_mb=peak_mb, metrics=metrics
                )


def _first_look(path: Path) -> tuple[float, float, dict[str, float]]:
    before = time.process_time()
    with measured() as cost:
        found = FrameNovelty().skim(video_sets.read_clip(path))
    metrics = {
        "first_look_seconds_lower_is_better": cost.seconds,
        "cpu_seconds_lower_is_better": time.process_time() - before,
        "share_read": found.read,
    }
    return cost.seconds, _own_peak_mb(cost.peak_mb), metrics


def _all_read(path: Path) -> tuple[float, float, dict[str, float]]:
    """Times of decoding alone are taken in the same process just before, so that their ratio is one of equal circumstances."""
    clip = video_sets.read_clip(path)
    with measured() as decoding:
        decoded = sum(1 for _ in clip.frames(end_s=600.0))
    before = time.process_time()
    with measured() as cost:
        FrameNovelty().score([clip])
    speed = clip.n_frames / cost.seconds
    metrics = {
        "frames": float(clip.n_frames),
        "frames_per_second": speed,
        "times_real_time": clip.duration_s / cost.seconds,
        "speed_over_decoding": speed / (decoded / decoding.seconds),
        "cpu_seconds_lower_is_better": time.process_time() - before,
    }
    return cost.seconds, _own_peak_mb(cost.peak_mb), metrics


def _timed(path: Path, times: int) -> tuple[float, float, dict[str, float]]:
    before = time.process_time()
    with measured() as cost:
        clip = repeated(video_sets.read_clip(path), times)
        FrameNovelty().score([clip])
    # CPU seconds show the growth with frames also on a busy machine, where wall time does not.
    metrics = {
        "frames": float(clip.n_frames),
        "frames_per_second": clip.n_frames / cost.seconds,
        "cpu_seconds_lower_is_better": time.process_time() - before,
    }
    return cost.seconds, _own_peak_mb(cost.peak_mb), metrics


def _own_peak_mb(otherwise: float) -> float:
    """This process's own peak; what getrusage reports is inherited from the parent on Linux."""
    status = Path("/proc/self/status")
    if not status.exists():
        return otherwise
    line = next(one for one in status.read_text().splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def repeated(clip: VideoClip, times: int) -> VideoClip:
    """The clip `times` times in a row, still decoded frame by frame."""
    length = clip.n_frames / clip.fps

    def opener(start_s: float, end_s: float, step: int, max_side: int | None) -> Iterator[Frame]:
        for turn in range(times):
            for frame in clip.frames(step=step, max_side=max_side):
                time_s = frame.time_s + turn * length
                if start_s <= time_s < end_s:
                    yield frame._replace(number=frame.number + turn * clip.n_frames, time_s=time_s)

    return VideoClip(
        name=clip.name, height=clip.height, width=clip.width, fps=clip.fps, duration_s=times * length,
        n_frames=times * clip.n_frames, opener=opener,
    )  # fmt: skip


Curve = tuple[NDArray[np.float64], NDArray[np.floating]]


def per_frame(test: Sequence[LabelledClip], curves: Sequence[Curve]) -> list[NDArray[np.floating]]:
    """Each frame takes the score of the unit whose centre is nearest."""
    out = []
    for one, (seconds, values) in zip(test, curves, strict=True):
        borders = (seconds[1:] + seconds[:-1]) / 2
        out.append(values[np.searchsorted(borders, one.frame_seconds, side="right")])
    return out


def _frame_row(
    data: str, method: str, test: Sequence[LabelledClip], scores: Sequence[NDArray[np.floating]], seconds: float = 0.0,
    peak_mb: float = 0.0, *, seeds: tuple[int, ...] = (), trivial: bool = False, more: dict[str, float] | None = None,
) -> Row:  # fmt: skip
    pooled = auroc(np.concatenate([one.labels for one in test]), np.concatenate(list(scores)))
    single = {one.clip.name: auroc(one.labels, values) for one, values in zip(test, scores, strict=True)}
    both = {name: value for name, value in single.items() if np.isfinite(value)}
    metrics = {"frame_auc_micro": pooled, "frame_auc_macro": float(np.mean(list(both.values())))}
    metrics |= {f"frame_auc {name}": value for name, value in both.items()} if len(test) > 1 else {}
    return Row(data=data, method=method, metrics=metrics | (more or {}), seconds=seconds, peak_mb=peak_mb, seeds=seeds,
               trivial=trivial)  # fmt: skip


def _novelty_row(
    data: str, method: str, test: Sequence[LabelledClip], scored: Sequence[FrameScores], high: float, seconds: float,
    peak_mb: float,
) -> Row:  # fmt: skip
    more: dict[str, float] = {}
    for one, score in zip(test, scored, strict=True):
        events = events_of(score, high)
        top = max(events, key=lambda event: event.peak, default=None)
        more[f"tiou_top_event {one.clip.name}"] = 0.0 if top is None else temporal_iou((top.start_s, top.end_s), one.segments)
        more[f"events {one.clip.name}"] = float(len(events))
        if one.masks is not None:
            more[f"box_centre_in_mask {one.clip.name}"] = pointing(score, one)
    curves = [(score.seconds, score.scores) for score in scored]
    return _frame_row(data, method, test, per_frame(test, curves), seconds, peak_mb, more=more)


def events_of(score: FrameScores, high: float) -> list[Segment]:
    """The events of one clip at this high threshold, in time order."""
    return extract_events(
        score.seconds, score.scores, unit_s=score.unit_s, high=high, low=LOW_SHARE * high, sigma_s=SIGMA_S,
        merge_gap_s=MERGE_GAP_S, min_length_s=MIN_LENGTH_S, valid=score.valid,
    )  # fmt: skip


def pointing(score: FrameScores, one: LabelledClip) -> float:
    """Share of abnormal units whose box centre lies in the mask, grown by 20 pixels on each side."""
    assert one.masks is not None
    hits = []
    for frame, box in zip(score.frame_index, score.boxes or (), strict=True):
        if box is None or frame >= len(one.labels) or not one.labels[frame]:
            continue
        x, y = int((box[0] + box[2]) / 2), int((box[1] + box[3]) / 2)
        hits.append(bool(one.masks[frame][max(0, y - 20) : y + 21, max(0, x - 20) : x + 21].any()))
    return float(np.mean(hits)) if hits else float("nan")


def _live(detector: FrameNovelty, clip: VideoClip) -> Curve:
    """The clip's scores from the past only, unsmoothed; a moment at a jump of the camera, which is not judged, keeps the score before."""
    units = list(LiveNovelty(detector, fps=clip.fps).follow(clip.frames()))
    scores: list[float] = []
    for unit in units:
        scores.append(unit.score if unit.valid else scores[-1] if scores else 0.0)
    return np.array([unit.second for unit in units]), np.array(scores)


def _z(part: NDArray[np.float32]) -> NDArray[np.float64]:
    """Undo the one-sided counting: the spreads above usual that a part's number came from."""
    return np.log(np.expm1(np.maximum(1.7 * part.astype(np.float64), 1e-9))) / 1.7


def _plain_patches(normal: Sequence[VideoClip], clips: Sequence[VideoClip]) -> list[Curve]:
    """The peer: distance of patches to the nearest normal patch at any place, mean of the strangest 1 %, nothing else."""
    from models.patches import PatchEncoder

    features = FrameFeatures(encoder=PatchEncoder(side=FrameNovelty().side), unit_s=0.2, flow_side=320)
    bank = Bank.of([(number, units) for number, clip in enumerate(normal) for units in features.read(clip)])
    curves = []
    for clip in clips:
        seconds, values = [], []
        for units in features.read(clip):
            everything = np.ones((len(units), len(bank)), bool)
            flat = bank.distances("appearance", units.appearance, everything).reshape(len(units), -1)
            most = max(1, int(np.ceil(PEER_SHARE * flat.shape[1])))
            values.append(np.partition(flat, -most, axis=1)[:, -most:].mean(axis=1))
            seconds.append(units.seconds)
        curves.append((np.concatenate(seconds), np.concatenate(values)))
    return curves
