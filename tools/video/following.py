"""How well the things of a clip were followed: without that, "nobody fell" only means that nothing was seen.

Two shares, each 0 to 1, of box area times time, so that a person counts for more than a fluttering sliver. `kept`: of all that was
found, what belongs to the tracks in question. `apart`: of those tracks, the part when nothing of their size is beside them or was lost
in them; where people meet, who is who and where a body ends is a guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tools.video.track_finder import SIDE
from tools.video.tracks import Interval, Track, TrackSet, dominant_way, is_person

HIGH, BESIDE = 0.5, 0.25
"""Share of a track's height from which another counts beside it (an arm or a shadow on the floor does not), and the gap up to which it is
beside it in sizes of the other one: a stride away, two bodies may be found as one."""

SMALL = 0.1

BORDER = 0.02
"""Share of the picture's side within which a box touches its border."""


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Both shares of some tracks: see above; all 0 when there are none. `smallest` is the size of a
    body in pixels of the frames that were looked at, so that only `SMALL` of the area is of smaller ones.
    """

    tracks: int
    kept: float
    apart: float
    smallest: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Following:
    """What was measured on one clip: the shares of `people` and of all `things`, and what else a doubt can stand on.

    `moved` says whether anything was found at all, `steady` whether camera and light stood still, `movers` how many went somewhere and
    `one_way` whether they agree on the way.
    """

    people: Shares
    things: Shares
    moved: bool
    steady: bool
    movers: int
    one_way: bool
    free: Mapping[int, tuple[NDArray[np.float64], NDArray[np.bool_]]]
    """Per track its times, and when it was apart from all others."""

    def apart_during(self, number: int | None, span: Interval) -> bool:
        """Whether track `number` was apart from all others for more than half of its time in a stretch."""
        if number is None or number not in self.free:
            return True
        times, free = self.free[number]
        inside = (times >= span[0] - 1e-6) & (times <= span[1] + 1e-6)
        return bool(not inside.any() or free[inside].mean() > 0.5)


def following(seen: TrackSet) -> Following:
    """How well the people and things of `seen` were followed.

    >>> t = np.arange(30) / 6.0
    >>> def walker(number, x):
    ...     boxes = np.stack([x, 0 * t + 20, x + 16, 0 * t + 60], axis=1)
    ...     return Track(id=number, label="person", times=t, boxes=boxes, scores=np.ones(30))
    >>> def scene(*tracks):
    ...     return TrackSet(clip="toy", width=160, height=120, fps=6.0, start_s=0.0, end_s=5.0, tracks=tracks)
    >>> seen = following(scene(walker(1, 20 + 16 * t), walker(2, 0 * t + 60)))
    >>> seen.people.kept, round(seen.people.apart, 1), seen.apart_during(1, (0.0, 1.0)), seen.apart_during(1, (2.0, 3.0))
    (1.0, 0.4, True, False)
    """
    free = {track.id: (track.times, _apart(seen, track)) for track in seen.tracks}
    found = seen.found_area or sum(float(_areas(track).sum()) for track in seen.tracks)
    ways = seen.ways()
    return Following(
        people=_shares(seen, [track for track in seen.tracks if is_person(track)], free, found),
        things=_shares(seen, seen.tracks, free, found), moved=found > 0, steady=not seen.notes, movers=len(ways),
        one_way=dominant_way(list(ways.values())) is not None, free=free,
    )  # fmt: skip


def _shares(
    seen: TrackSet, tracks: Sequence[Track], free: Mapping[int, tuple[NDArray[np.float64], NDArray[np.bool_]]], found: float
) -> Shares:  # fmt: skip
    areas = [_areas(track) for track in tracks]
    total = sum(float(area.sum()) for area in areas)
    if not total:
        return Shares(tracks=0, kept=0.0, apart=0.0)
    alone = sum(float(area[free[track.id][1]].sum()) for area, track in zip(areas, tracks, strict=True))
    bodies = np.repeat([float(np.median(track.motion.body)) for track in tracks], [len(area) for area in areas])
    order = np.argsort(bodies)
    at = int(np.searchsorted(np.cumsum(np.concatenate(areas)[order]), SMALL * total))
    smallest = float(bodies[order][at]) * min(1.0, SIDE / max(seen.width, seen.height))
    return Shares(tracks=len(tracks), kept=total / found, apart=alone / total, smallest=smallest)


def _apart(seen: TrackSet, track: Track) -> NDArray[np.bool_]:
    """At which of its times (n,) nothing of its size is beside it, nor is hidden in it.

    What ends beside a track, inside the picture, is in it from then on, and what begins beside it was in it before.
    """
    free = np.ones(len(track.times), bool)
    for other in seen.tracks:
        if other is track or other.start_s > track.end_s or other.end_s < track.start_s:
            continue
        times = np.clip(track.times, other.start_s, other.end_s)
        theirs = np.stack([np.interp(times, other.times, other.boxes[:, k]) for k in range(4)], axis=1)
        apart = np.maximum(track.boxes[:, :2], theirs[:, :2]) - np.minimum(track.boxes[:, 2:], theirs[:, 2:])
        size = (theirs[:, 2:] - theirs[:, :2]).max(axis=1)
        high = theirs[:, 3] - theirs[:, 1] > HIGH * (track.boxes[:, 3] - track.boxes[:, 1])
        beside = (np.hypot(*np.clip(apart, 0, None).T) < BESIDE * size) & high
        free &= ~(beside & (times == track.times))
        first, last = np.searchsorted(track.times, other.start_s - 1e-6), np.searchsorted(track.times, other.end_s - 1e-6)
        if beside[last : last + 2].any() and _lost(seen, other):
            free &= track.times < other.end_s
        if beside[max(0, first - 1) : first + 1].any() and first > 0 and not _at_border(seen, other.boxes[0]):
            free &= track.times > other.start_s
    return free


def _lost(seen: TrackSet, track: Track) -> bool:
    """True when it ends inside the picture before the clip does."""
    return track.end_s < seen.end_s - 2 / seen.fps and not _at_border(seen, track.boxes[-1])


def _at_border(seen: TrackSet, box: NDArray[np.float64]) -> bool:
    return bool(box[0] < BORDER * seen.width or box[2] > (1 - BORDER) * seen.width or box[3] > (1 - BORDER) * seen.height)


def _areas(track: Track) -> NDArray[np.float64]:
    return np.asarray((track.boxes[:, 2:] - track.boxes[:, :2]).prod(axis=1), np.float64)
