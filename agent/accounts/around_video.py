"""Around an event of a video: who did what before and after it, and whether camera or light changed in it.

The relation log tells of many things at once, so only rows about somebody who also takes part in the event count as before or after it.
The camera moved where the whole picture shifts between two frames, the light changed where all of it gets brighter or darker, far more
than anywhere else near by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.accounts.context import observed
from agent.investigation import Finding
from agent.narration.relation_log import CONTEXT_S
from core.evidence import Evidence, Interval
from core.samples import VideoClip

_Values: TypeAlias = NDArray[np.float64]
MOST_TOLD = 2
TELLING = ("falls", "contacts", "leaves behind", "goes against the flow", "enters zone", "leaves zone", "runs", "accelerates", "stops",
           "too close", "carries", "approaches", "separates")  # fmt: skip
"""Predicates that may tell what led to an event or what it led to, the most telling first. That something appears, overlaps or is in a
crowd mostly says how the tracker sees it."""
SIDE = 160
"""Pixels of the longer side at which camera and light are measured."""
MOST_FRAMES = 400
LEAST_FRAMES = 10
"""Pairs of frames outside the event that are needed to know what is usual there."""
SHIFT_PX, BRIGHTER = 2.0, 8.0
"""Least shift at that size (a seventieth of the picture) and least change of the median brightness (of 255) that an eye notices."""
BEYOND = 3.0
"""Times the largest change outside the event."""
BLOCKS = 8
MATCHED = 0.2
"""Least response of the phase correlation: below it the two frames do not match when shifted."""


def related(finding: Finding, relations: Sequence[Evidence]) -> tuple[list[Evidence], list[Evidence]]:
    """The rows of a relation log before and after an event, about somebody who takes part in it; at most two of each."""
    locus = finding.evidence.locus
    if not isinstance(locus, Interval):
        return [], []
    rows = [r for r in relations if r.source == finding.evidence.source and isinstance(r.locus, Interval)]
    during = [r for r in rows if _start(r) < locus.end_s and _end(r) >= locus.start_s]
    involved = {name for r in during for name in _who(r)}
    tells = [r for r in rows if involved & set(_who(r)) and r.facts.get("predicate") in TELLING]
    before = [r for r in tells if locus.start_s - CONTEXT_S <= _start(r) < locus.start_s]
    after = [r for r in tells if locus.end_s < _start(r) <= locus.end_s + CONTEXT_S]
    return _most_telling(before), _most_telling(after)


def _most_telling(rows: Sequence[Evidence]) -> list[Evidence]:
    """At most two rows, in the order of time."""
    ranked = sorted(rows, key=lambda row: TELLING.index(str(row.facts["predicate"])))[:MOST_TOLD]
    return sorted(ranked, key=_start)


def _start(row: Evidence) -> float:
    return row.locus.start_s if isinstance(row.locus, Interval) else 0.0


def _end(row: Evidence) -> float:
    return row.locus.end_s if isinstance(row.locus, Interval) else 0.0


def _who(row: Evidence) -> list[str]:
    return [str(name) for name in (row.facts.get("subject"), row.facts.get("object")) if name]


def around(clip: VideoClip, finding: Finding) -> list[Evidence]:
    """Unnumbered evidence of a camera that moved or a light that changed in an event.

    Raises:
        BadInput: the clip cannot be decoded.
    """
    locus = finding.evidence.locus
    if not isinstance(locus, Interval):
        return []
    return list(_excuses(clip, finding, locus))


def _excuses(clip: VideoClip, finding: Finding, locus: Interval) -> Iterator[Evidence]:
    start, end = locus.start_s - CONTEXT_S, locus.end_s + CONTEXT_S
    step = max(1, int((end - start) * clip.fps / MOST_FRAMES))
    times, shifts, lights = _steps(clip, max(0.0, start), end, step)
    inside = (times >= locus.start_s) & (times < locus.end_s)
    if inside.sum() == 0 or (~inside).sum() < LEAST_FRAMES:
        return
    scale = max(clip.width, clip.height) / min(SIDE, max(clip.width, clip.height))
    for what, values, least, factor in (("camera", shifts, SHIFT_PX, scale), ("light", lights, BRIGHTER, 1.0)):
        sizes = np.abs(values)
        peak = int(np.flatnonzero(inside)[sizes[inside].argmax()])
        if sizes[peak] >= max(least, BEYOND * float(sizes[~inside].max())):
            facts: dict[str, Any] = {"at_s": round(float(times[peak]), 2), "size": round(float(sizes[peak]) * factor),
                                     "brighter": bool(values[peak] > 0)}  # fmt: skip
            where = Interval(sample=locus.sample, start_s=locus.start_s, end_s=locus.end_s, peak_s=facts["at_s"])
            yield observed("excuse", what, finding.evidence.source, where, facts)


def _steps(clip: VideoClip, start_s: float, end_s: float, step: int) -> tuple[_Values, _Values, _Values]:
    """(time, shift in pixels of the small picture, change of brightness of all of it) from each frame to the next."""
    import cv2

    times: list[float] = []
    shifts: list[float] = []
    lights: list[float] = []
    before: NDArray[np.float32] | None = None
    for frame in clip.frames(start_s=start_s, end_s=end_s, step=step, max_side=SIDE):
        grey = np.asarray(cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY), np.float32)
        if before is not None and before.shape == grey.shape:
            window = cv2.createHanningWindow(grey.shape[::-1], cv2.CV_32F)
            (dx, dy), response = cv2.phaseCorrelate(before * window, grey * window)
            shifts.append(float(np.hypot(dx, dy)) if response >= MATCHED else 0.0)
            lights.append(_brightened(before, grey))
            times.append(frame.time_s)
        before = grey
    return np.array(times), np.array(shifts), np.array(lights)


def _brightened(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """How much brighter the whole picture is: the median over blocks, which a thing that moves through some of them leaves alone."""
    import cv2

    size = (BLOCKS, BLOCKS)
    change = cv2.resize(after, size, interpolation=cv2.INTER_AREA) - cv2.resize(before, size, interpolation=cv2.INTER_AREA)
    return float(np.median(change)) if (np.sign(change) == np.sign(np.median(change))).mean() > 3 / 4 else 0.0
