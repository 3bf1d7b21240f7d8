"""A model that sees is shown stretches of a video where following could not tell, and says whether the condition is met there.

A stretch is shown as one picture: frames side by side, in order. Times are half-open seconds of the clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from agent.rules.conditions import MotionCondition
from agent.rules.measurable import Looker
from agent.rules.outcome import RuleFinding
from agent.rules.wording import condition_words
from core.errors import BadInput
from core.evidence import Interval
from core.samples import VideoClip

MOST_LOOKS, LEAST_S = 12, 2.0
"""Stretches of one clip that are shown, and how long each is at least: what falls or runs must be seen before and after."""

FRAMES, SIDE = 4, 320
"""Frames of a stretch, and pixels of their longer side."""


def look(condition: MotionCondition, clip: VideoClip, looker: Looker, spans: Sequence[tuple[float, float]]) -> list[RuleFinding]:
    """The stretches of `spans` (all of the clip when empty) of which `looker` says that the condition is met.

    >>> clip = VideoClip.from_array("a.mp4", np.full((40, 48, 64, 3), 90, np.uint8), fps=10.0)
    >>> def sees(pictures, texts):
    ...     return np.array([[1.0, 0.0] for _ in pictures], np.float32)
    >>> [found] = look(MotionCondition(predicate="fights", subject="person"), clip, sees, [(1.0, 1.5)])
    >>> found.locus.start_s, found.locus.end_s, found.sentence
    (0.25, 2.25, 'A model that looked at 0.2–2.2 s of a.mp4 says that a person fights.')
    """
    said = condition_words(condition)
    texts = [f"Seen from left to right: {said}.", f"Seen from left to right: nowhere {said}."]
    stretches = _stretches(spans, clip.duration_s)
    scores = looker([strip(clip, *stretch) for stretch in stretches], texts)
    found = []
    for (start_s, end_s), row in zip(stretches, scores, strict=True):
        margin = float(row[0] - row[1])
        if margin > 0:
            found.append(
                RuleFinding(
                    locus=Interval(sample=clip.name, start_s=start_s, end_s=end_s, peak_s=(start_s + end_s) / 2),
                    measured=round(margin, 4), unit="margin of the text scores", condition=said,
                    sentence=f"A model that looked at {start_s:.1f}–{end_s:.1f} s of {clip.name} says that {said}.",
                    facts={"start_s": round(start_s, 1), "end_s": round(end_s, 1), "margin": round(margin, 4)},
                )
            )  # fmt: skip
    return found


def strip(clip: VideoClip, start_s: float, end_s: float) -> NDArray[np.uint8]:
    """Frames of a stretch side by side (H, FRAMES · W, 3) uint8, the last ones repeated when it has fewer.

    Raises:
        BadInput: no frame could be decoded there.
    """
    step = max(1, round((end_s - start_s) * clip.fps / FRAMES))
    frames = [frame.rgb for frame in clip.frames(start_s=start_s, end_s=end_s, step=step, max_side=SIDE)][:FRAMES]
    if not frames:
        raise BadInput(f"video {clip.name!r}: no frame between {start_s:.1f} and {end_s:.1f} s; give another stretch.")
    return np.concatenate([*frames, *frames[-1:] * (FRAMES - len(frames))], axis=1)


def _stretches(spans: Sequence[tuple[float, float]], duration_s: float) -> list[tuple[float, float]]:
    """`spans` widened to at least LEAST_S around their middle, or even parts of the whole clip; at most MOST_LOOKS."""
    if not spans:
        count = max(1, min(MOST_LOOKS, int(duration_s / LEAST_S)))
        edges = np.linspace(0.0, duration_s, count + 1)
        return [(float(a), float(b)) for a, b in pairwise(edges)]
    wide = []
    for start_s, end_s in spans[:MOST_LOOKS]:
        more = max(0.0, LEAST_S - (end_s - start_s)) / 2
        wide.append((max(0.0, start_s - more), min(duration_s, end_s + more)))
    return wide
