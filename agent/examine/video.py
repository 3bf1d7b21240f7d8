"""Video: when and where something unusual happens, with keyframes before, during and after."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agent.evidence_store import EvidenceStore
from agent.examine.curves import curve
from agent.examine.image import place_in_words
from agent.examine.setting import Run
from agent.investigation import Finding, Investigation
from agent.long_looks import look
from agent.reply import Panel
from agent.severity import confidence, grade_moment
from core import draw
from core.calibrate import Calibration, from_reference, robust_bulk
from core.evidence import Box, Interval, Region, Whole
from core.samples import Frame, VideoClip
from core.scores import FrameScores
from core.segments import Segment, extract_events, gaps, smooth
from core.settings import choice
from tools.video.boundaries import boundaries, split
from tools.video.frame_novelty import LOW_SHARE, MERGE_GAP_S, MIN_LENGTH_S, SELF_THRESHOLD, SIGMA_S, FrameNovelty
from tools.video.keyframes import WAYS, Moment, budgets, moments, picture_changes

FALSE_POSITIVE_RATE = 0.01
MOST_EVENTS = 8
MOST_JUMPS = 5
KEYFRAME_SIDE = 480
HEDGE = "only the rest of the same clip was compared, so a whole clip that is abnormal would not show"
"""What "nothing stands out" means without normal clips."""
ALONE = "all of its frames fall into one moment, so nothing in it could be compared with anything"
"""What it means where the clip has a single unit of time."""
ENOUGH_S = 30.0
"""One normal clip shorter than this is little to compare with: other normal footage of the same place often differs from it."""
THROUGHOUT = 0.5
"""A clip with more than this share above the threshold differs from one short normal clip as a whole, which says nothing of it."""
LITTLE = "only one short normal clip was compared, so other normal things may look unusual here; give more of them to be surer"
OPEN = "the whole of it differs from the only normal clip, which is too short to tell whether that is unusual"
"""What "nothing unusual" means for a clip that was left open."""


def examine(run: Run, store: EvidenceStore) -> Investigation:
    """Score the clip, extract events, and picture each one's surroundings."""
    clip = run.source.samples[0]
    assert isinstance(clip, VideoClip)
    scores = run.detector.score([clip])[0] if run.kept is None else look(run.detector, clip, run.depth, run.kept)
    assert isinstance(scores, FrameScores)
    calibration = _calibration(run, scores)
    gap_s = float("inf") if scores.every_s is None else 1.5 * scores.unit_s  # a skim leaves out what it did not read
    unsmoothed = scores.scores
    scores = replace(scores, scores=smooth(unsmoothed, SIGMA_S / scores.unit_s, gaps(scores.seconds, gap_s)))
    events = extract_events(
        scores.seconds, scores.scores, unit_s=scores.unit_s, high=calibration.threshold,
        low=LOW_SHARE * calibration.threshold,
        merge_gap_s=MERGE_GAP_S, min_length_s=MIN_LENGTH_S, valid=scores.valid, gap_s=gap_s,
    )  # fmt: skip
    if events and scores.traits is not None:
        events = split(
            events, boundaries(scores.traits, scores.seconds, scores.unit_s, gap_s), scores.seconds, unsmoothed,
            unit_s=scores.unit_s, high=calibration.threshold, sigma_s=SIGMA_S, min_length_s=MIN_LENGTH_S,
        )  # fmt: skip
    little_s = _little(run)
    compared = bool(scores.valid.any())
    throughout = compared and bool((scores.scores > calibration.threshold)[scores.valid].mean() > THROUGHOUT)
    undecided = little_s is not None and throughout
    events = [] if undecided else sorted(events, key=lambda event: -event.peak)
    times = min(clip.duration_s, float(scores.seconds[-1]) + scores.unit_s) if len(scores.seconds) else clip.duration_s
    findings, panels = [], []
    told = events[:MOST_EVENTS]
    for i, (event, looks) in enumerate(zip(told, budgets(told, scores.unit_s), strict=True)):
        chosen = moments(
            event, scores.seconds, scores.scores, count=looks, duration_s=clip.duration_s,
            others=[other for other in events if other is not event], changes=picture_changes(clip), way=choice("keyframes", WAYS),
        )  # fmt: skip
        finding, strip = _finding(run, clip, scores, event, calibration, store, chosen, rank=i + 1, count=len(events))
        findings.append(finding)
        panels += [_keyframe(run, path, caption, i) for path, caption in strip]
    if not events:  # nothing passes: the strangest second is still worth a look
        findings, strip = _strangest(run, clip, scores, calibration, store, undecided=undecided)
        panels += [_keyframe(run, path, caption, 0) for path, caption in strip]
    abnormal_s = sum(event.end_s - event.start_s for event in events)
    survey = run.evidence(
        Whole(sample=clip.name), threshold=calibration, score=float(scores.scores.max()),
        facts={
            "duration_s": round(times, 2), "events": len(events), "abnormal_s": round(abnormal_s, 2),
            "abnormal_percent": round(100 * abnormal_s / max(times, 1e-9), 1), "unit_s": round(scores.unit_s, 3),
            "units": len(scores.scores), "peak_s": round(float(scores.seconds[int(scores.scores.argmax())]), 2),
            "fps": round(clip.fps, 2), "width": clip.width, "height": clip.height, "normal_clips": run.n_normal,
            "calibrated": calibration.calibrated, **({} if events or run.n_normal else {"hedge": HEDGE if compared else ALONE}),
            **({} if little_s is None else {"normal_s": round(little_s, 1), "hedge": OPEN if undecided else LITTLE}),
            **({"undecided": True} if undecided else {}),
            **({} if scores.every_s is None else {"every_s": round(scores.every_s, 1), "read_percent": round(100 * scores.read, 1)}),
            **({} if scores.round_s is None else {"round_s": round(scores.round_s, 1)}),
            **({"jumps": len(scores.jumps_s), "jumps_s": list(scores.jumps_s[:MOST_JUMPS])} if scores.jumps_s else {}),
        },
    )  # fmt: skip
    panels.insert(0, curve(run.source.name, scores.seconds, scores.scores, calibration.threshold, unit="s", epoch_s=clip.epoch_s,
                           findings=findings))  # fmt: skip
    return Investigation(
        tool=run.name, source=run.source.name, kind="video", reason=run.reason,
        status="abnormal" if events else "insufficient" if undecided or not compared else "normal",
        survey=survey, findings=tuple(findings), panels=tuple(panels),
        arrays=_keep(store, scores),
    )  # fmt: skip


def _calibration(run: Run, scores: FrameScores) -> Calibration:
    """From held-out normal units when normal clips were given, else from the clip's own bulk."""
    reference = run.detector.reference_scores() if run.n_normal else np.empty(0, np.float32)
    return calibrated(reference, scores.scores[scores.valid], little_s=_little(run))


def calibrated(reference: NDArray[np.float32], bulk: NDArray[np.float32], *, little_s: float | None) -> Calibration:
    """From `reference`, held-out scores of normal units, when there are any, else from the `bulk` of what is judged.

    `little_s` are the seconds of the only normal clip when it is short: its moments are too much alike to set a threshold alone.
    """
    if len(reference):
        found = from_reference(reference, false_positive_rate=FALSE_POSITIVE_RATE)
        if little_s is None:
            return found
        return replace(
            found, threshold=max(found.threshold, SELF_THRESHOLD), calibrated=False,
            origin=f"{found.origin} of one clip of {little_s:.1f} s, but at least {SELF_THRESHOLD:g}: moments of one clip are alike",
        )  # fmt: skip
    centre = robust_bulk(bulk)[0] if len(bulk) else 0.0
    return Calibration(
        threshold=SELF_THRESHOLD, centre=centre, spread=1.0, calibrated=False, reference=np.empty(0),
        origin=f"{SELF_THRESHOLD:g} spreads above the usual of the same video (no normal clip given)",
    )  # fmt: skip


def _little(run: Run) -> float | None:
    """Seconds of the only normal clip when it is short, else None."""
    if not run.n_normal or not isinstance(run.detector, FrameNovelty):
        return None
    normal_s = run.detector.normal_s()
    return normal_s if normal_s < ENOUGH_S else None


def _finding(
    run: Run, clip: VideoClip, scores: FrameScores, event: Segment, calibration: Calibration, store: EvidenceStore,
    chosen: Sequence[Moment], *, rank: int, count: int,
) -> tuple[Finding, list[tuple[str, str]]]:  # fmt: skip
    ratio = calibration.ratio(event.peak)
    p_value = float(calibration.p_value(np.array([event.peak], np.float32))[0])
    box = _box(scores, event)
    shares = _shares(scores, event)
    what = describe_parts(shares)
    place = "" if box is None else place_in_words(Region(sample=clip.name, box=box, area_share=0.0), clip.height, clip.width)
    strip = _keyframes(clip, chosen, box, store)
    length = event.end_s - event.start_s
    evidence = run.evidence(
        Interval(sample=clip.name, start_s=round(max(event.start_s, 0.0), 3), end_s=round(min(event.end_s, clip.duration_s), 3),
                 peak_s=round(event.peak_s, 3), box=box),
        score=event.peak, threshold=calibration, p_value=p_value, picture=_at_peak(strip),
        facts={
            "rank": rank, "events": count, "length_s": round(length, 3), "times_threshold": round(ratio, 3), "what": what,
            "place": place, "normal_clips": run.n_normal, "keyframes_s": [float(caption.split()[-2]) for _, caption in strip],
            **{f"{name}_percent": round(100 * share) for name, share in shares.items()},
        },
    )  # fmt: skip
    sure = confidence(p_value=p_value, ratio=ratio, calibrated=calibration.calibrated)
    severity = grade_moment(ratio=ratio, length_s=length, whole_s=clip.duration_s, sure=sure)
    return Finding.stated(evidence, what, severity, sure), strip


def _strangest(
    run: Run, clip: VideoClip, scores: FrameScores, calibration: Calibration, store: EvidenceStore, *, undecided: bool
) -> tuple[list[Finding], list[tuple[str, str]]]:
    """The peak of a clip in which nothing is abnormal, or nothing could be decided, as an ordinary finding."""
    peak = int(scores.scores.argmax())
    time_s, score = float(scores.seconds[peak]), float(scores.scores[peak])
    half = max(0.5, scores.unit_s / 2)
    segment = Segment(
        start_s=max(0.0, time_s - half), end_s=time_s + half, peak_s=time_s, peak=score, mean=score, first=peak, last=peak
    )
    chosen = [Moment(time_s, "peak")]
    finding, strip = _finding(run, clip, scores, segment, calibration, store, chosen, rank=1, count=0)
    evidence = finding.evidence
    if undecided:
        evidence = replace(evidence, facts={**evidence.facts, "undecided": True})
    return [Finding(evidence=evidence)], strip


def _at_peak(strip: Sequence[tuple[str, str]]) -> str | None:
    """The picture of the peak, else any."""
    peaks = [path for path, caption in strip if caption.startswith("peak")]
    return peaks[0] if peaks else strip[0][0] if strip else None


def _box(scores: FrameScores, event: Segment) -> Box | None:
    """The box of the strangest unit of the event that has one."""
    if scores.boxes is None:
        return None
    units = sorted(range(event.first, event.last + 1), key=lambda unit: -float(scores.scores[unit]))
    for unit in units:
        found = scores.boxes[unit]
        if found is not None:
            return tuple(round(float(v), 1) for v in found)  # type: ignore[return-value]
    return None


def _shares(scores: FrameScores, event: Segment) -> dict[str, float]:
    """Each component's share (0–1) of the event's score above zero."""
    inside = slice(event.first, event.last + 1)
    sums = {name: float(np.clip(part[inside], 0, None).sum()) for name, part in scores.parts.items()}
    total = sum(sums.values())
    return {name: value / total for name, value in sums.items()} if total > 0 else {}


def describe_parts(shares: dict[str, float]) -> str:
    """What was unusual, from the components that made the score.

    >>> describe_parts({"appearance": 0.2, "motion": 0.8})
    'unusual motion'
    >>> describe_parts({"appearance": 0.5, "motion": 0.5})
    'unusual motion and appearance'
    """
    if not shares:
        return "unusual scene"
    strong = [name for name, share in sorted(shares.items(), key=lambda p: (-round(p[1], 2), p[0] != "motion")) if share >= 0.35]
    return "unusual " + " and ".join(strong or [max(shares, key=lambda name: shares[name])])


def _keyframes(clip: VideoClip, chosen: Sequence[Moment], box: Box | None, store: EvidenceStore) -> list[tuple[str, str]]:
    """PNGs of moments, in order, each with its caption (`peak at 12.30 s`); the box is drawn where it was found, at the peak."""
    strip = []
    for moment in chosen:
        frame = frame_at(clip, min(max(moment.time_s, 0.0), clip.duration_s))
        if frame is None:
            continue
        scale = frame.rgb.shape[1] / clip.width
        boxes = [] if box is None or moment.role != "peak" else [(box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale)]
        picture = draw.boxes(frame.rgb, boxes)
        strip.append((store.put_file(draw.png_bytes(picture), ".png"), f"{moment.role} at {frame.time_s:.2f} s"))
    return strip


def frame_at(clip: VideoClip, time_s: float, max_side: int = KEYFRAME_SIDE) -> Frame | None:
    """The frame shown at `time_s`, or the last one before the end of the clip."""
    found = None
    for frame in clip.frames(start_s=max(0.0, time_s - 2.0 / clip.fps), end_s=time_s + 1.0, max_side=max_side):
        found = frame
        if frame.time_s >= time_s - 0.5 / clip.fps:
            break
    return found


def _keyframe(run: Run, path: str, caption: str, i: int) -> Panel:
    return Panel(kind="keyframe", caption=caption, source=run.source.name, evidence=f"finding:{i}", path=path)


def _keep(store: EvidenceStore, scores: FrameScores) -> str:
    """Keep the raw scores, for later questions about a time."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, seconds=scores.seconds, scores=scores.scores, unit_s=np.float64(scores.unit_s), allow_pickle=False
    )
    return store.put_file(buffer.getvalue(), ".npz")
