"""Plain facts about a source, ready for JSON: what the person is told first, and what the planner works with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from core.samples import EventLog, Kind, PointSample, Sample, Series, VideoClip
from readers.image import Photo


def summarise(kind: Kind, samples: Sequence[Sample], photos: Sequence[Photo] = ()) -> dict[str, Any]:
    """Return the facts of a source; `n` is always the number of samples, `samples` one entry each for video, series and events."""
    if kind == "image":
        sizes = Counter((p.height, p.width) for p in photos)
        return {"n": len(samples), "sizes": [{"height": h, "width": w, "n": n} for (h, w), n in sizes.most_common()]}
    if kind == "points":
        first = samples[0]
        assert isinstance(first, PointSample)
        return {
            "n": len(samples), "height": int(first.xyz.shape[0]), "width": int(first.xyz.shape[1]), "organised": first.organised,
            "with_rgb": first.rgb is not None, "measured_share": round(float(first.valid.mean()), 4),
        }  # fmt: skip
    facts = [_facts(s) for s in samples]
    result: dict[str, Any] = {"n": len(samples), **facts[0]}
    if len(facts) > 1:
        result["samples"] = facts
        for total in ("duration_s", "n_frames", "rows"):
            if total in result:
                result[total] = round(sum(f[total] for f in facts), 3)
    return result


def _facts(sample: Sample) -> dict[str, Any]:
    """Facts of one clip, series or log."""
    if isinstance(sample, VideoClip):
        return {
            "name": sample.name, "duration_s": round(sample.duration_s, 3), "fps": round(sample.fps, 3), "width": sample.width,
            "height": sample.height, "n_frames": sample.n_frames, "start": _utc(sample.epoch_s),
        }  # fmt: skip
    if isinstance(sample, Series):
        return {
            "name": sample.name, "rows": len(sample.values), "channels": list(sample.channels), "units": list(sample.units),
            "time_base": sample.time_base, "start": _when(sample.epoch_s, float(sample.time_s[0])),
            "end": _when(sample.epoch_s, float(sample.time_s[-1])), "duration_s": round(float(sample.time_s[-1]), 6),
            "period_s": round(sample.period_s, 9), "missing_share": round(float(np.isnan(sample.values).mean()), 6),
        }  # fmt: skip
    if isinstance(sample, EventLog):
        times = sample.table["time_s"]
        known = times.filter(times.is_not_nan())
        last = float(known.max()) if len(known) else float("nan")  # type: ignore[arg-type]
        return {
            "name": sample.name, "rows": sample.table.height, "roles": dict(sample.roles), "attributes": list(sample.attributes),
            "start": _when(sample.epoch_s, 0.0 if len(known) else float("nan")), "end": _when(sample.epoch_s, last),
            "duration_s": None if math.isnan(last) else round(last, 6), "subjects": int(sample.table["subject"].n_unique()),
            "operations": int(sample.table["operation"].n_unique()),
        }  # fmt: skip
    raise AssertionError(f"no facts for {type(sample).__name__}")


def _when(epoch_s: float | None, time_s: float) -> str | float | None:
    """ISO 8601 UTC when the clock is known, else seconds, None when unknown."""
    if math.isnan(time_s):
        return None
    return _utc(epoch_s + time_s) if epoch_s is not None else round(time_s, 6)


def _utc(epoch_s: float | None) -> str | None:
    """ISO 8601 in UTC."""
    if epoch_s is None:
        return None
    return (
        datetime.fromtimestamp(epoch_s, UTC)
        .isoformat(timespec="milliseconds" if epoch_s % 1 else "seconds")
        .replace("+00:00", "Z")
    )
