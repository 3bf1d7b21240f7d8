"""How many labelled events of videos are found before the first false alarms ring: what a person at a screen notices.

An event is found by a reported one whose intersection with it is at least a tenth of their union, so that one alarm over a whole clip finds
nothing; a reported one that finds nothing is a false alarm. Both are counted as one threshold for all clips falls, with the events that
`core.segments.extract_events` makes of the scores at each threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.segments import extract_events

OVERLAP = 0.1
"""Least intersection over union in time."""
THRESHOLDS = 200
"""Quantiles of all scores that are tried as thresholds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Watched:
    """A clip's scores (T,) at `seconds` (T,), and its labelled events as half-open seconds."""

    seconds: NDArray[np.floating]
    scores: NDArray[np.floating]
    events: Sequence[tuple[float, float]] = ()
    valid: NDArray[np.bool_] | None = field(default=None)


def recall_at(
    clips: Sequence[Watched], allowed: Sequence[int], *, low_share: float = 0.5, **extraction: float
) -> Mapping[int, float]:
    """Largest share of labelled events found with at most so many false alarms in all clips together, for each of `allowed`.

    Args:
        clips: at least one with a labelled event.
        allowed: numbers of false alarms.
        low_share: low threshold as a share of the high one; scores are counted from their smallest value in all clips.
        extraction: further numbers of `core.segments.extract_events` (sigma_s, merge_gap_s, min_length_s).

    Raises:
        BadInput: no labelled event.

    >>> t = np.arange(10.0)
    >>> clip = Watched(seconds=t, scores=np.where(t == 7, 3.0, np.where(t == 2, 5.0, 0.0)), events=[(6.5, 7.5)])
    >>> dict(recall_at([clip], [0, 1]))
    {0: 0.0, 1: 1.0}
    """
    total = sum(len(clip.events) for clip in clips)
    if total == 0:
        raise BadInput("event recall: expected at least one labelled event, got none.")
    pooled = np.concatenate([clip.scores for clip in clips]).astype(np.float64)
    least = float(pooled.min())
    steps = np.unique(np.quantile(pooled - least, np.linspace(0, 1, THRESHOLDS + 1)))
    best = dict.fromkeys(allowed, 0.0)
    for high in steps[steps > 0]:
        found, false = 0, 0
        for clip in clips:
            unit_s = float(np.median(np.diff(clip.seconds))) if len(clip.seconds) > 1 else 1.0
            told = extract_events(
                np.asarray(clip.seconds, np.float64), np.asarray(clip.scores - least, np.float32), unit_s=unit_s,
                high=float(high), low=low_share * float(high), valid=clip.valid, **extraction,
            )  # fmt: skip
            hits = np.array([[temporal_iou((e.start_s, e.end_s), [one]) >= OVERLAP for one in clip.events] for e in told], bool)
            hits = hits.reshape(len(told), len(clip.events))
            found += int(hits.any(axis=0).sum())
            false += int((~hits.any(axis=1)).sum())
        for count in allowed:
            if false <= count:
                best[count] = max(best[count], found / total)
    return best


def temporal_iou(event: tuple[float, float], truth: Sequence[tuple[float, float]]) -> float:
    """Intersection over union in time with the best matching of `truth`; 0 where there is none.

    >>> temporal_iou((0.0, 4.0), [(2.0, 4.0), (9.0, 10.0)])
    0.5
    """
    best = 0.0
    for start, end in truth:
        shared = max(0.0, min(event[1], end) - max(event[0], start))
        best = max(best, shared / (max(event[1], end) - min(event[0], start)))
    return best
