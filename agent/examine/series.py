"""Sensor series: since when, which sensor, and what kind of change, against history when given, else against the bulk."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agent.evidence_store import EvidenceStore
from agent.examine.curves import curve, peaks
from agent.examine.setting import Run
from agent.examine.standstill import standstills
from agent.investigation import Finding, Investigation
from agent.severity import confidence, grade
from agent.severity_table import table_in_force
from core import draw
from core.calibrate import Calibration, from_reference, from_self
from core.evidence import Interval, Whole
from core.samples import Series
from core.scores import PointScores
from core.segments import Segment, extract_events, smooth
from tools.series.describe import ChannelChange, describe_interval

FALSE_POSITIVE_RATE = 0.01
SELF_DEVIATIONS = 5.0
LOW_SHARE, SIGMA_STEPS, MERGE_STEPS = 0.4, 1.0, 16
MOST_EVENTS = 50
"""Events kept as findings; a later question may be about any of them."""
PICTURED = 10
"""Of these, the strongest have a plot of their own: drawing takes most of the time."""
NAMED = 40
"""Channels named in a survey."""
BLAMED = 5
"""Channels named per event."""
PLOTTED = 4


def examine(run: Run, store: EvidenceStore) -> Investigation:
    """Score the series, extract events, and say for each which channels carry it and how they changed."""
    series = run.source.samples[0]
    assert isinstance(series, Series)
    scores = run.detector.score([series])[0]
    assert isinstance(scores, PointScores)
    calibration = _calibration(run, scores)
    scores = replace(scores, scores=smooth(scores.scores, SIGMA_STEPS))
    step = series.period_s
    events = extract_events(
        np.arange(len(scores.scores), dtype=np.float64), scores.scores, unit_s=1.0, high=calibration.threshold,
        low=calibration.centre + LOW_SHARE * (calibration.threshold - calibration.centre),
        merge_gap_s=MERGE_STEPS, valid=scores.valid,
    )  # fmt: skip
    events.sort(key=lambda event: -event.peak)
    findings = [
        _finding(run, series, scores, event, calibration, store, rank=i + 1, count=len(events))
        for i, event in enumerate(events[:MOST_EVENTS])
    ]
    if not events:  # nothing passes: the strangest stretch is still worth a look
        peak = int(scores.scores.argmax())
        score = float(scores.scores[peak])
        segment = Segment(start_s=peak, end_s=peak + 1, peak_s=peak, peak=score, mean=score, first=peak, last=peak)
        ordinary = _finding(run, series, scores, segment, calibration, store, rank=1, count=0)
        findings = [Finding(evidence=ordinary.evidence)]
    steps = sum(event.last - event.first + 1 for event in events)
    survey = run.evidence(
        Whole(sample=series.name), threshold=calibration, score=float(scores.scores.max()),
        facts={
            "rows": len(series.time_s), "channels": len(series.channels), "channel_names": list(series.channels[:NAMED]),
            "start_s": float(series.time_s[0]), "end_s": float(series.time_s[-1]), "epoch_s": series.epoch_s,
            "time_base": series.time_base, "period_s": step, "events": len(events), "abnormal_rows": int(steps),
            "abnormal_percent": round(100 * steps / len(series.time_s), 2), "normal_series": run.n_normal,
            "off_throughout": _off_throughout(run, series),
            "unjudged": list(scores.unjudged[:NAMED]), "unjudged_count": len(scores.unjudged),
            "missing_percent": round(100 * float(np.isnan(series.values).mean()), 2), "calibrated": calibration.calibrated,
        },
    )  # fmt: skip
    panel = curve(
        run.source.name, series.time_s, scores.scores, calibration.threshold, unit=time_unit(series), epoch_s=series.epoch_s,
        findings=findings, channels=_plotted(series, findings, peaks(scores.scores, 4000)),
    )  # fmt: skip
    return Investigation(
        tool=run.name, source=run.source.name, kind="series", reason=run.reason, status="abnormal" if events else "normal",
        survey=survey, findings=tuple(findings), panels=(panel,), arrays=_keep(store, series, scores),
    )  # fmt: skip


def _off_throughout(run: Run, series: Series) -> list[list[str | float]]:
    """Channels that differ from the normal data all the time (name, times their normal level): no stretch can show them."""
    shifted = getattr(run.detector, "shifted_channels", None)
    if shifted is None or not run.n_normal:
        return []
    return [[name, round(float(ratio), 2)] for name, ratio in shifted(series)[:BLAMED]]


def time_unit(series: Series) -> Literal["s", "step", "clock"]:
    """How a face should print the time axis."""
    return "clock" if series.time_base == "clock" else "step" if series.time_base == "index" else "s"


def _calibration(run: Run, scores: PointScores) -> Calibration:
    reference = run.detector.reference_scores() if run.n_normal else np.empty(0, np.float32)
    if len(reference):
        return from_reference(reference, false_positive_rate=FALSE_POSITIVE_RATE)
    return from_self(scores.scores[scores.valid], deviations=SELF_DEVIATIONS)


def blame(scores: PointScores, first: int, last: int) -> list[tuple[int, float]]:
    """Channels of units [first, last] by their share (0–1) of the score, highest first."""
    if scores.channels is None:
        return []
    carried = scores.channels[first : last + 1].astype(np.float64).sum(axis=0)
    total = carried.sum()
    if total <= 0:
        return []
    order = np.argsort(-carried, kind="stable")
    return [(int(i), float(carried[i] / total)) for i in order[:BLAMED]]


def _finding(
    run: Run, series: Series, scores: PointScores, event: Segment, calibration: Calibration, store: EvidenceStore,
    *, rank: int, count: int,
) -> Finding:  # fmt: skip
    ratio = calibration.ratio(event.peak)
    p_value = float(calibration.p_value(np.array([event.peak], np.float32))[0])
    blamed = blame(scores, event.first, event.last) or [(0, 1.0)]
    peak = event.first + int(np.argmax(scores.scores[event.first : event.last + 1]))
    changes = [describe_interval(series, channel, event.first, event.last) for channel, _ in blamed[:3]]
    names = [series.channels[i] for i, _ in blamed]
    kind = kind_said(changes[0])
    start, end = float(series.time_s[event.first]), float(series.time_s[event.last]) + series.period_s
    evidence = run.evidence(
        Interval(sample=series.name, start_s=start, end_s=end, peak_s=float(series.time_s[peak]), channels=tuple(names)),
        score=event.peak, threshold=calibration, p_value=p_value,
        picture=_picture(series, scores, event, names, store) if rank <= PICTURED else None,
        facts={
            "rank": rank, "events": count, "times_threshold": round(ratio, 3), "epoch_s": series.epoch_s,
            "time_base": series.time_base, "length_s": end - start, "first_row": _row(series, event.first),
            "last_row": _row(series, event.last), "rows": event.last - event.first + 1, "kind": kind,
            "shares_percent": {series.channels[i]: round(100 * share, 1) for i, share in blamed},
            "changes": [_change(series, channel, change) for (channel, _), change in zip(blamed, changes, strict=False)],
            **(_still(series, blamed[0][0], event) if kind == "flatline" else {}),
        },
    )  # fmt: skip
    extent = (event.last - event.first + 1) / len(series.time_s)
    sure = confidence(p_value=p_value, ratio=ratio, calibrated=calibration.calibrated)
    severity = grade(
        ratio=ratio, extent=extent, extent_words=f"{event.last - event.first + 1} rows long", sure=sure, named=kind, kind="series",
        duration_s=None if series.time_base == "index" else end - start, table=table_in_force(store.home),
    )  # fmt: skip
    return Finding.stated(
        evidence,
        f"{kind} in {names[0]}",
        severity,
        sure,
    )


def _still(series: Series, channel: int, event: Segment) -> dict[str, float]:
    """From when to when a flatline's readings stand still: often longer than the scores stay high."""
    runs = [run for run in standstills(series, channel) if run.first <= event.last and run.last >= event.first]
    if not runs:
        return {}
    return {"still_from_s": float(series.time_s[runs[0].first]), "still_to_s": float(series.time_s[runs[-1].last])}


def kind_said(change: ChannelChange) -> str:
    """The kind of a change by the word people use: a spike that points down is a dip."""
    return "dip" if change.kind == "spike" and (change.deviations or 0.0) < 0 else change.kind


def _row(series: Series, index: int) -> int:
    """The 1-based row of the file."""
    return int(series.rows[index]) if series.rows is not None else index + 1


def _change(series: Series, channel: int, change: ChannelChange) -> dict[str, str | float | None]:
    """A channel's change as plain facts, rounded to 6 significant digits."""
    return {
        "channel": series.channels[channel], "unit": series.units[channel], "kind": kind_said(change),
        "before": _six(change.before), "during": _six(change.during), "after": _six(change.after),
        "peak": _six(change.peak_value), "peak_s": change.peak_time_s, "deviations": _six(change.deviations),
    }  # fmt: skip


def _six(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(f"{value:.6g}")


def _picture(series: Series, scores: PointScores, event: Segment, names: list[str], store: EvidenceStore) -> str:
    """A plot of the blamed channels around the event."""
    margin = max(50, 2 * (event.last - event.first + 1))
    window = slice(max(0, event.first - margin), min(len(series.time_s), event.last + margin + 1))
    chosen = [series.channels.index(name) for name in names[:3]]
    data = draw.series_plot(
        series.time_s[window], series.values[window][:, chosen], [series.channels[i] for i in chosen],
        events=[(float(series.time_s[event.first]), float(series.time_s[event.last]))],
        epoch_s=series.epoch_s if series.time_base == "clock" else None,
    )  # fmt: skip
    return store.put_file(data, ".png")


def _plotted(series: Series, findings: list[Finding], keep: NDArray[np.int64]) -> list[dict[str, object]]:
    """The raw values of the most blamed channels, thinned like the score curve."""
    names: list[str] = []
    for finding in findings:
        locus = finding.evidence.locus
        names += [n for n in (locus.channels[:1] if isinstance(locus, Interval) else ()) if n not in names]
    chosen = [series.channels.index(name) for name in (names or list(series.channels))[:PLOTTED]]
    return [
        {
            "name": series.channels[i], "unit": series.units[i],
            "values": [None if np.isnan(v) else float(f"{v:.6g}") for v in series.values[keep, i]],
        }
        for i in chosen
    ]  # fmt: skip


def _keep(store: EvidenceStore, series: Series, scores: PointScores) -> str:
    """Keep raw scores and channel shares, for later questions about a time or a channel."""
    buffer = io.BytesIO()
    channels = scores.channels if scores.channels is not None else np.zeros((len(scores.scores), 0), np.float32)
    np.savez_compressed(buffer, seconds=scores.seconds, scores=scores.scores, valid=scores.valid, channels=channels,
                        allow_pickle=False)  # fmt: skip
    return store.put_file(buffer.getvalue(), ".npz")
