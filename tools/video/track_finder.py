"""From a clip to tracks: frames at a few per second, objects in each, followed by norfair (Kalman filter, BSD-3-Clause).

norfair predicts both corners of every box at constant velocity and gives each object the nearest detection; the distance here
is (1 − GIoU) / 2 (Rezatofighi et al., CVPR 2019), 0 for equal boxes, ½ for boxes that touch, towards 1 far apart. Unlike
plain IoU it still tells near from far when a running person has left their last box. Memory is flat in the length of the
video: only boxes stay. Same clip, same parameters: same tracks, and they are computed once per clip.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.progress import step
from core.samples import VideoClip
from core.settings import object_detector
from tools.video.track_objects import ObjectFinder, SceneObjects, finder_in_use, in_clip
from tools.video.tracks import Track, TrackSet

if TYPE_CHECKING:
    from models.objects import FoundObject

FPS = 6.0
"""Frames per second that are looked at."""

SIDE = 640
"""Longest side of the frames that are looked at, in pixels."""

FAR = 0.62
"""Detections farther than this from every expected box start a new track; boxes a third of a box apart still belong together."""

LOST_S, CONFIRM = 1.2, 2
"""Seconds a track survives unseen, and detections after the first that confirm it."""

LEAST_SEEN, LEAST_S = 4, 0.5
"""A track seen less often or for a shorter time says nothing about motion and is dropped."""

_found: WeakKeyDictionary[VideoClip, dict[tuple[float, int, str], TrackSet]] = WeakKeyDictionary()
_lock = threading.Lock()


def find_tracks(clip: VideoClip, *, fps: float = FPS, side: int = SIDE, finder: ObjectFinder | None = None) -> TrackSet:
    """Follow the people and moving things of `clip`.

    Args:
        clip: a video of a camera that stands still; a moving one is noted in `TrackSet.notes` and only people are followed.
        fps: frames per second that are looked at (the nearest whole step of the clip's own rate).
        side: longest side of the frames that are looked at, in pixels.
        finder: what names the objects of a frame, by default what TELLTALE_OBJECTS names or the embedded one; one of one's own is not
            cached.

    Returns:
        Tracks in order of their first appearance, numbered from 1, boxes in the clip's pixels.

    Raises:
        BadInput: fps or side out of range, or no frame could be decoded.

    >>> pictures = np.full((20, 120, 160, 3), 90, np.uint8)
    >>> for index in range(20):
    ...     pictures[index, 40:80, 5 * index : 5 * index + 20] = 230
    >>> [track] = find_tracks(VideoClip.from_array("toy", pictures, fps=5.0)).tracks
    >>> track.id, track.label, len(track.times), track.direction()
    (1, 'moving', 20, 'right')
    """
    if not fps > 0 or side < 64:
        raise BadInput(f"tracks: expected fps > 0 and side ≥ 64, got {fps!r} and {side!r}.")
    if finder is not None:
        return _follow(clip, fps, side, finder)
    with _lock:
        known = _found.setdefault(clip, {}).get((fps, side, object_detector()))
    if known is None:
        known = _follow(clip, fps, side, finder_in_use())
        with _lock:
            known = _found.setdefault(clip, {}).setdefault((fps, side, object_detector()), known)
    return known


@dataclass(eq=False)
class _Path:
    """One object while it is followed."""

    times: list[float] = field(default_factory=list)
    found: list[FoundObject] = field(default_factory=list)


def _follow(clip: VideoClip, fps: float, side: int, finder: ObjectFinder) -> TrackSet:
    every = max(1, round(clip.fps / fps))
    rate = clip.fps / every
    follower = Follower(rate=rate)
    finder.prepare(clip, side=side)
    seen = 0
    last_s = 0.0
    expected = -(-clip.n_frames // every)
    for frame in clip.frames(step=every, max_side=side):
        scale_x, scale_y = clip.width / frame.rgb.shape[1], clip.height / frame.rgb.shape[0]
        follower.add(frame.time_s, tuple(in_clip(finder.detect(frame), scale_x, scale_y, clip.width, clip.height)))
        seen, last_s = seen + 1, frame.time_s
        step("frames followed", seen, max(expected, seen))
    if not seen:
        raise BadInput(f"video {clip.name!r}: no frame could be decoded; try another file.")
    notes = []
    if isinstance(finder, SceneObjects) and finder.unsteady > 0.3 * seen:
        notes.append(
            f"{clip.name}: the camera or the light moves in {finder.unsteady} of {seen} frames; only people were followed there."
        )
    return TrackSet(
        clip=clip.name, width=clip.width, height=clip.height, fps=rate, start_s=0.0, end_s=last_s + 1.0 / rate,
        tracks=follower.tracks(), notes=tuple(notes), found_area=follower.found_area,
    )  # fmt: skip


class Follower:
    """Objects of frames in order, followed by norfair; keeps only times and boxes.

    Args:
        rate: frames per second that will be given.
    """

    def __init__(self, *, rate: float) -> None:
        from norfair import Tracker
        from norfair.distances import VectorizedDistance

        lost = max(CONFIRM + 1, round(LOST_S * rate))
        self._tracker = Tracker(
            distance_function="iou", distance_threshold=FAR, hit_counter_max=lost, initialization_delay=CONFIRM,
            past_detections_length=0,
        )  # fmt: skip
        self._tracker.distance_function = VectorizedDistance(box_distance)
        self._paths: dict[int, _Path] = {}
        self._confirmed: dict[int, _Path] = {}
        self.found_area = 0.0
        """Area of all boxes so far, followed or not."""

    def add(self, time_s: float, found: Sequence[FoundObject]) -> None:
        """Give the objects of the next frame."""
        from norfair import Detection

        detections = [Detection(np.asarray(one.box).reshape(2, 2), scores=1.0, data=(time_s, one)) for one in found]
        self.found_area += sum((one.box[2] - one.box[0]) * (one.box[3] - one.box[1]) for one in found)
        self._tracker.update(detections)
        alive = set()
        for thing in self._tracker.tracked_objects:
            key = thing.initializing_id or 0
            alive.add(key)
            path = self._paths.setdefault(key, _Path())
            at, one = thing.last_detection.data
            if at == time_s:
                path.times.append(time_s)
                path.found.append(one)
            if not thing.is_initializing:
                self._confirmed[key] = path
        for key in [key for key in self._paths if key not in alive]:
            del self._paths[key]  # confirmed ones stay in the other table

    def tracks(self) -> tuple[Track, ...]:
        """All tracks so far, in order of their first appearance."""
        kept = [
            path
            for path in self._confirmed.values()
            if len(path.times) >= LEAST_SEEN and path.times[-1] - path.times[0] >= LEAST_S
        ]
        kept.sort(key=lambda path: (path.times[0], path.found[0].box))
        return tuple(_track(number, path) for number, path in enumerate(kept, start=1))


def _track(number: int, path: _Path) -> Track:
    people = sum(one.label == "person" for one in path.found)
    # The people finder sees upright bodies only, and one that runs or bends now and then: time spent lying does not count against it.
    upright = sum(one.box[3] - one.box[1] > one.box[2] - one.box[0] for one in path.found)
    label = "person" if people >= max(2, 0.15 * upright) else path.found[0].label if people == 0 else "moving"
    return Track(
        id=number,
        label=label,
        times=np.array(path.times, np.float64),
        boxes=np.array([one.box for one in path.found], np.float64),
        scores=np.array([one.score for one in path.found], np.float32),
    )


def box_distance(candidates: NDArray[Any], objects: NDArray[Any]) -> NDArray[np.float64]:
    """(1 − GIoU) / 2 of every pair of boxes: candidates (n, 4) and objects (m, 4) xyxy to (n, m) in [0, 1].

    >>> some = np.array([[0.0, 0.0, 2.0, 2.0], [2.0, 0.0, 4.0, 2.0], [18.0, 0.0, 20.0, 2.0]])
    >>> box_distance(some[:1], some).tolist()
    [[0.0, 0.5, 0.9]]
    """
    a, b = np.asarray(candidates, np.float64)[:, None], np.asarray(objects, np.float64)[None]
    # A predicted box may have turned inside out; its size is then a pixel.
    b = np.concatenate([b[..., :2], np.maximum(b[..., 2:], b[..., :2] + 1.0)], axis=-1)
    size = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    hull = np.maximum(a[..., 2:], b[..., 2:]) - np.minimum(a[..., :2], b[..., :2])
    both, around = size.prod(axis=-1), hull.prod(axis=-1)
    union = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1) - both
    giou = both / union - (around - union) / around
    return np.asarray((1.0 - giou) / 2.0, np.float64)
