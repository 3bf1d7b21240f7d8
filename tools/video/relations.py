"""The relation log of a clip: who did what to whom, from when to when, in words a language model can be shown.

Predicates follow the scene-graph idea of relation-aware video understanding (subject, predicate, object over keyframes),
decided by rules on tracks, without training: `relation_alone` for one track, `relation_pairs` for two, `relation_scene` for
zones, flow and crowds. The log is sorted by time and the same for the same tracks.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from core.samples import VideoClip
from tools.video.relation_alone import Limits, alone
from tools.video.relation_pairs import pairs
from tools.video.relation_scene import scene
from tools.video.relation_words import PREDICATES, Entity, Relation, TimedBox, as_rows, as_text, in_order, strongest
from tools.video.tracks import TrackSet, Zone

__all__ = [
    "PREDICATES", "Entity", "Limits", "Relation", "TimedBox", "as_rows", "as_text", "clip_relations", "relation_log", "strongest",
]  # fmt: skip


def relation_log(seen: TrackSet, *, zones: Sequence[Zone] = (), limits: Limits | None = None) -> list[Relation]:
    """All relations of `seen`, sorted by time.

    Args:
        seen: the tracks of one clip.
        zones: named areas whose entering, leaving and staying in is to be told.
        limits: what counts as staying, too close, running, a crowd; by default `Limits()`.

    >>> import numpy as np
    >>> from tools.video.tracks import Track
    >>> t = np.arange(25) / 5.0
    >>> boxes = np.stack([20 + 16 * t, 0 * t + 20, 36 + 16 * t, 0 * t + 60], axis=1)
    >>> walker = Track(id=1, label="person", times=t, boxes=boxes, scores=np.ones(25))
    >>> seen = TrackSet(clip="toy", width=160, height=120, fps=5.0, start_s=0.0, end_s=5.0, tracks=(walker,))
    >>> door = Zone(name="door", polygon=((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)))
    >>> print(as_text(relation_log(seen, zones=[door])))
    00:03.4 person 1 enters zone "door"
    """
    limits = limits or Limits()
    one = chain.from_iterable(alone(seen, track, limits) for track in seen.tracks)
    return in_order(chain(one, pairs(seen, limits), scene(seen, zones, limits)))


def clip_relations(clip: VideoClip, *, zones: Sequence[Zone] = (), limits: Limits | None = None) -> list[Relation]:
    """`relation_log` of the tracks of `clip`; tracks are found once per clip."""
    from tools.video.track_finder import find_tracks

    return relation_log(find_tracks(clip), zones=zones, limits=limits)
