"""How far a long video is looked at before it is answered, and what was read of it so far, kept between the looks.

The smallest design that is sound: a video longer than LONG_S is skimmed for the first answer, which says so; reading the rest is a
second step with a question of its own ("Refine"), which the page begins by itself right after the answer and the command line before it
answers. It shows its progress, can be stopped, and is an ordinary turn of the chat otherwise: no second thread ever touches a session,
and a killed process takes it up like any other turn. What was read is kept on disk under the key of the result, every SAVE_S seconds and
whenever it is stopped, so that no look is lost. When all is read the new investigation replaces the skim's under the same key;
evidence that was told keeps its id, and what has changed gets a new one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.detector import Detector
from core.errors import BadInput
from core.samples import VideoClip
from core.scores import FrameScores
from tools.video.frame_novelty import FrameNovelty

LONG_S = 300.0
"""Videos up to this length are read in full before they are answered."""
SAVE_S = 60.0
MOST_WINDOW_S = 300.0
"""A time named in a question is read before it is answered when it is no longer than this."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Depth:
    """How far to look: `whole`, or besides the skim the `windows` [start_s, end_s) in full."""

    whole: bool = False
    windows: tuple[tuple[float, float], ...] = ()


SKIM = Depth()


def is_long(clip: VideoClip) -> bool:
    """Whether the first answer about a clip comes from a skim.

    >>> import numpy as np
    >>> is_long(VideoClip.from_array("short", np.zeros((4, 8, 8, 3), np.uint8), fps=25.0))
    False
    """
    return clip.duration_s > LONG_S


def look(detector: Detector, clip: VideoClip, depth: Depth, kept: Path) -> FrameScores:
    """Scores of a clip, read as far as `depth` says, going on from what is `kept`.

    Raises:
        TelltaleError: what the detector raises. BudgetExceeded: it was stopped; what was read is kept.
    """
    if not is_long(clip) or not isinstance(detector, FrameNovelty):
        found = detector.score([clip])[0]
        assert isinstance(found, FrameScores)
        return found
    inspection = detector.inspect(clip)
    if kept.exists():
        try:
            inspection.resume(kept)
        except BadInput as error:
            log.warning("read from the beginning: %s", error)
    try:
        inspection.skim()
        for start_s, end_s in depth.windows:
            inspection.closer(start_s, end_s)
        while depth.whole and not inspection.refine(budget_s=SAVE_S):
            inspection.save(kept)
    finally:
        if not inspection.complete:
            inspection.save(kept)
    scores = inspection.scores()
    if inspection.complete:
        kept.unlink(missing_ok=True)
    return scores


def windows_of(times: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Times named in a question that are short enough to be read before it is answered.

    >>> windows_of([(600.0, 720.0), (0.0, 3000.0)])
    ((600.0, 720.0),)
    """
    return tuple((start_s, end_s) for start_s, end_s in times if 0 < end_s - start_s <= MOST_WINDOW_S)
