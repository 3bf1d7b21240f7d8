"""The score curve of a source with its events, as data that a face can draw."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agent.investigation import Finding
from agent.reply import Panel
from core.evidence import Interval

MOST_POINTS = 4000


def curve(
    source: str,
    seconds: NDArray[np.float64],
    scores: NDArray[np.float32],
    threshold: float,
    *,
    unit: Literal["s", "step", "clock"],
    epoch_s: float | None,
    findings: Sequence[Finding],
    channels: Sequence[dict[str, Any]] = (),
) -> Panel:
    """A curve panel: at most MOST_POINTS points, each the maximum of its stretch so that no peak is lost."""
    keep = peaks(scores, MOST_POINTS)
    events = [
        {"start_s": f.evidence.locus.start_s, "end_s": f.evidence.locus.end_s, "evidence": f"finding:{i}", "label": f.label}
        for i, f in enumerate(findings)
        if f.abnormal and isinstance(f.evidence.locus, Interval)
    ]
    return Panel(
        kind="curve", caption=f"How unusual {source} is over time", source=source, evidence="survey",
        data={
            "seconds": [round(float(v), 3) for v in seconds[keep]], "scores": [round(float(v), 5) for v in scores[keep]],
            "threshold": float(threshold), "unit": unit, "epoch_s": epoch_s, "events": events, "series": list(channels),
        },
    )  # fmt: skip


def peaks(values: NDArray[np.float32], most: int) -> NDArray[np.int64]:
    """Indices of at most `most` points, in order: the maximum of each equal stretch.

    >>> peaks(np.array([0, 5, 1, 2], np.float32), 2).tolist()
    [1, 3]
    """
    if len(values) <= most:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), most + 1).astype(int)
    return np.array([a + int(np.argmax(values[a:b])) for a, b in pairwise(edges)], dtype=np.int64)
