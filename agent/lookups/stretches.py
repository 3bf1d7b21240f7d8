"""Looking up times and channels: what the kept scores, and a series' values, say about them. Pictures of a video at a time too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from agent.evidence_store import EvidenceStore
from agent.examine.video import frame_at
from agent.investigation import Investigation
from agent.lookups import amounts, comparing, readings, recordings, shares, stuck
from agent.lookups.found import LEAST_COVERED, made
from agent.question import Request, TimeRange
from agent.reading.phrases import either
from agent.reading.tidy import words_of
from core import draw
from core.evidence import Evidence, Interval, Whole
from core.samples import Series, VideoClip
from readers.open import Source

FRAME_SIDE = 960


def look_up(request: Request, source: Source, inv: Investigation | None, store: EvidenceStore) -> Iterator[Evidence]:
    """What a question about times, channels, readings or the recording itself needs to know of a series or a video."""
    told = list(recordings.look_up(request, source))
    if told:
        yield from told
        return
    times = [as_said(when) for when in request.times if when.source == source.name]
    inside = times_inside(request, source)
    for when in times:
        if when not in inside:
            yield outside(source, when, said=any(f"{when.text!r} lies outside" in note for note in request.notes))
    if times and not inside:
        return
    found = list(amounts.look_up(request, source, inside)) or list(comparing.look_up(request, source, inv, store, inside))
    if not found and source.kind == "series" and (not request.times or inside):
        found = list(readings.look_up(request, source, inv, inside))
    if found:
        yield from found
        return
    for when in inside:
        if inv is not None and inv.arrays is not None:
            yield stretch(inv, source, when, request, store, alone=len(inside) == 1)
        elif source.kind == "video" and (shown := frame(source, when, store)) is not None:
            yield shown
    if source.kind == "series" and inv is not None and not request.times:
        series = source.samples[0]
        assert isinstance(series, Series)
        sure = set(request.intents) == {"explain"} and bool(either("confidence").search(words_of(request.question)))
        chosen = [] if sure else [c for c in request.channels if c in series.channels][:4]
        for name in chosen:
            yield channel(inv, source, name, request)
        if not chosen and not asks_for_standstill(request):
            yield from shares.look_up(request, source, inv)
        elif not chosen:
            yield still(inv, source, whether=_whether(request))


def times_inside(request: Request, source: Source) -> list[TimeRange]:
    """The times named of a source in which it holds something."""
    times = [as_said(when) for when in request.times if when.source == source.name]
    return [when for when in times if _has_units(source.samples[0], when)]


def _has_units(sample: Any, when: TimeRange) -> bool:
    """True when a source has frames or readings in a time range, or so near to it that its moment is meant."""
    if isinstance(sample, Series):
        return bool(readings.rows_of(sample, [when]).any())
    return when.end_s > 0 and when.start_s < float(sample.duration_s)


def outside(source: Source, when: TimeRange, *, said: bool) -> Evidence:
    """That a time holds nothing: it lies before or behind the recording, or in a gap of it. It judges nothing.

    `said` is True when a note of the question tells it already.
    """
    sample = source.samples[0]
    first, last = (
        (float(sample.time_s[0]), float(sample.time_s[-1])) if isinstance(sample, Series) else (0.0, float(sample.duration_s))  # type: ignore[union-attr]
    )
    facts = {
        "asked": when.text, "start_s": when.start_s, "end_s": when.end_s, "first_s": first, "last_s": last, "said": said,
        "gap": first < when.start_s <= last, "epoch_s": getattr(sample, "epoch_s", None),
        "time_base": getattr(sample, "time_base", "elapsed") if isinstance(sample, Series) else "elapsed",
    }  # fmt: skip
    return made("outside", source.name, Whole(sample=sample.name), facts)


def stretch(
    inv: Investigation, source: Source, when: TimeRange, request: Request, store: EvidenceStore, *, alone: bool = True
) -> Evidence:
    """What the scores (and, in a series, the values) are inside a time range, and which abnormal stretches reach into it.

    Of several ranges (`alone` False), values are kept only where a channel is named or the threshold is passed.
    """
    assert inv.arrays is not None
    with np.load(store.file(inv.arrays), allow_pickle=False) as kept:
        seconds, scores = kept["seconds"], kept["scores"]
        shares = kept["channels"] if "channels" in kept.files else np.zeros((len(scores), 0), np.float32)
        valid = kept["valid"] if "valid" in kept.files else np.ones(len(scores), np.bool_)
        unit_s = float(kept["unit_s"]) if "unit_s" in kept.files else None
    inside = (seconds >= when.start_s) & (seconds < when.end_s)
    if not inside.any():  # a moment between two units: the nearest one
        inside[int(np.abs(seconds - (when.start_s + when.end_s) / 2).argmin())] = True
    where = np.flatnonzero(inside)
    peak = int(where[int(scores[where].argmax())])
    threshold = float(inv.survey.threshold or 0.0)
    sample = source.samples[0]
    clip = isinstance(sample, VideoClip)
    touching = [
        f for f in inv.findings
        if f.abnormal and isinstance(f.evidence.locus, Interval) and f.evidence.locus.start_s < when.end_s
        and f.evidence.locus.end_s > when.start_s
    ]  # fmt: skip
    named = [] if clip else [c for c in request.channels if c in sample.channels]  # type: ignore[union-attr]
    carried = {lead["id"] for name in named for lead in readings.leads(inv, name)}
    flagged = bool(scores[peak] >= threshold)
    facts: dict[str, Any] = {
        "asked": when.text, "start_s": when.start_s, "end_s": when.end_s, "point": when.point,
        "max_score": float(scores[peak]), "peak_s": float(seconds[peak]), "flagged": flagged,
        "findings": [f.evidence.id for f in touching], "touching": len(touching), "of": int(str(inv.survey.facts.get("events") or 0)),
        "labels": [f.label for f in touching[:1]], "units": len(where), "expects": request.expects, "named": bool(named),
        "carried": bool(carried & {f.evidence.id for f in touching}),
        "epoch_s": None if clip else getattr(sample, "epoch_s", None),
        "time_base": "elapsed" if clip else getattr(sample, "time_base", "elapsed"),
    }  # fmt: skip
    names: tuple[str, ...] = ()
    considered = list(range(len(sample.channels))) if isinstance(sample, Series) else []
    if isinstance(sample, Series):
        considered = [sample.channels.index(c) for c in named] or considered
        facts["stuck"] = stuck.stuck(sample, considered, inside, inv)
        facts |= {"asked_still": asks_for_standstill(request), "whether": _whether(request)}
        facts["findings"] = list(dict.fromkeys([*facts["findings"], *(i for run in facts["stuck"] for i in run["findings"])]))
        chosen = [sample.channels.index(c) for c in named]
        if not chosen and shares.shape[1] and (alone or flagged):
            chosen = [int(i) for i in np.argsort(-shares[where].sum(axis=0), kind="stable")[:3]]
        names = tuple(sample.channels[i] for i in chosen)
        facts["values"] = [_statistics(sample, i, where) for i in chosen]
        if when.point and len(where) == 1:
            facts["at_s"] = float(seconds[where[0]])
    facts["covered_percent"] = round(100 * _covered(sample, seconds, valid, where, when, considered, unit_s))
    if inv.skimmed:
        facts["skimmed"] = True
    picture = _frame(sample, float(seconds[peak]), store) if isinstance(sample, VideoClip) else None
    locus = Interval(sample=sample.name, start_s=when.start_s, end_s=when.end_s, peak_s=float(seconds[peak]), channels=names)
    return made("time", source.name, locus, facts, picture, float(scores[peak]), threshold, inv.survey.threshold_origin)


def asks_for_standstill(request: Request) -> bool:
    """True for "is the sensor stuck?", "which one is?" and "for how long?", which only readings that stand still answer."""
    asked = {"exists", "is_normal", "what", "which", "when"} & set(request.intents)
    return bool(asked) and bool(either("reading stuck").search(words_of(request.question)))


def _whether(request: Request) -> bool:
    """True for a question that yes or no answers."""
    return not {"which", "what", "when"} & set(request.intents)


def _covered(
    sample: Any, seconds: np.ndarray[Any, Any], valid: np.ndarray[Any, Any], where: np.ndarray[Any, Any], when: TimeRange,
    channels: list[int], unit_s: float | None = None,
) -> float:  # fmt: skip
    """Share (0–1) of a time range for which there are scores and readings to judge it by."""
    present = valid[where].astype(np.float64)
    if isinstance(sample, Series) and channels:
        present *= 1.0 - np.isnan(sample.values[where][:, channels]).mean(axis=1)
    step = unit_s or (float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1.0)
    expected = len(where) if when.point else max(len(where), (when.end_s - when.start_s) / max(step, 1e-9) - 1)
    return float(present.sum()) / max(expected, 1.0)


_LAST_TIME = re.compile(r"(?:(\d+):)?(\d+):(\d{2})$|(?<![\d:.])(\d+)\s?s(?:ec\w*)?$")


def as_said(when: TimeRange) -> TimeRange:
    """The range as the person gave it: "0:12 to 0:15" is read to the end of second 15, and looked up to 0:15."""
    last = _LAST_TIME.search(when.text)
    if last is None or when.point:
        return when
    value = float(last[4]) if last[4] else 3600.0 * int(last[1] or 0) + 60.0 * int(last[2]) + int(last[3])
    return replace(when, end_s=value) if value > when.start_s and abs(when.end_s - value - 1.0) < 0.01 else when


def _statistics(series: Series, channel: int, where: np.ndarray[Any, Any] | slice) -> dict[str, Any]:
    """Minimum, mean and maximum of a channel over some rows, and over the whole series."""
    values, all_values = series.values[where, channel], series.values[:, channel]
    known, everything = values[~np.isnan(values)], all_values[~np.isnan(all_values)]

    facts: dict[str, Any] = {
        "channel": series.channels[channel],
        "unit": series.units[channel],
        "missing": int(np.isnan(values).sum()),
    }
    if len(known):
        facts |= {"min": readings.six(known.min()), "mean": readings.six(known.mean()), "max": readings.six(known.max())}
    if len(everything):
        facts |= {
            "usual": readings.six(np.median(everything)),
            "lowest": readings.six(everything.min()),
            "highest": readings.six(everything.max()),
        }
    return facts


def channel(inv: Investigation, source: Source, name: str, request: Request) -> Evidence:
    """One channel over the whole series: its range, and the abnormal stretches it carries."""
    series = source.samples[0]
    assert isinstance(series, Series)
    index = series.channels.index(name)
    carried = readings.leads(inv, name)
    beside = [
        f for f in inv.findings
        if f.abnormal and isinstance(f.evidence.locus, Interval) and name in f.evidence.locus.channels[:3]
        and f.evidence.id not in {lead["id"] for lead in carried}
    ]  # fmt: skip
    standing = stuck.stuck(series, [index], None, inv)
    asked_still = asks_for_standstill(request)
    covered = 1.0 - float(np.isnan(series.values[:, index]).mean())
    judged = bool({"is_normal", "exists", "overview"} & set(request.intents)) and covered >= LEAST_COVERED
    facts = {
        **_statistics(series, index, slice(None)), "carried": carried[:3], "stuck": standing, "asked_still": asked_still,
        "whether": _whether(request),
        "findings": [i for run in standing for i in run["findings"]] if asked_still else [lead["id"] for lead in carried],
        "covered_percent": round(100 * covered),
        "carried_count": len(carried), "beside": len(beside), "rows": len(series.time_s), "expects": request.expects,
        "judged": judged, "epoch_s": series.epoch_s, "time_base": series.time_base,
    }  # fmt: skip
    # only a question whether the channel is all right makes this a verdict
    return made("channel", source.name, Whole(sample=series.name), facts, threshold=inv.survey.threshold if judged else None,
                origin=inv.survey.threshold_origin if judged else "")  # fmt: skip


def still(inv: Investigation, source: Source, *, whether: bool) -> Evidence:
    """Every channel of a series that stands still somewhere though it usually moves."""
    series = source.samples[0]
    assert isinstance(series, Series)
    standing = stuck.stuck(series, range(len(series.channels)), None, inv)
    facts = {
        "stuck": standing, "findings": list(dict.fromkeys(i for run in standing for i in run["findings"])),
        "channels": len(series.channels), "asked_still": True, "whether": whether, "epoch_s": series.epoch_s, "time_base": series.time_base,
    }  # fmt: skip
    return made("still", source.name, Whole(sample=series.name), facts)


def frame(source: Source, when: TimeRange, store: EvidenceStore) -> Evidence | None:
    """The picture shown at a time of a video, or None behind its end."""
    clip = source.samples[0]
    assert isinstance(clip, VideoClip)
    time_s = (when.start_s + when.end_s) / 2 if when.point else when.start_s
    picture = _frame(clip, min(max(time_s, 0.0), clip.duration_s), store)
    if picture is None:
        return None
    locus = Interval(sample=clip.name, start_s=time_s, end_s=time_s + 1 / clip.fps, peak_s=time_s)
    return made("frame", source.name, locus, {"time_s": time_s, "asked": when.text}, picture)


def _frame(clip: VideoClip, time_s: float, store: EvidenceStore) -> str | None:
    found = frame_at(clip, time_s, max_side=FRAME_SIDE)
    return None if found is None else store.put_file(draw.png_bytes(found.rgb), ".png")
