"""Object cubes: each thing that moves, cut out of the seven frames around it, with its motion.

Source: Wang et al., Making Reconstruction-based Method Great Again for Video Anomaly Detection (ICDM 2022), boxes and cubes after VEC
(Yu et al., ACM MM 2020). A frame's boxes are those of a detector and, where none lies, of what changes over three frames; a box that a
larger one mostly covers is dropped. A cube is the frame's box cut out of seven frames (no tracking), each piece resized to 32×32. At the
ends of a clip the seven frames are shifted inwards, never padded.
Ours: the detector is `tools.video.track_objects.SceneObjects` (people, and what differs from the background) instead of Cascade R-CNN,
as no weights need to be fetched for it; flow is DIS instead of FlowNet 2; smallest area and flow are relative to the picture, so that
they hold at any resolution.

Axes and units: RGB cubes (n, 7, 32, 32, 3) uint8, flow cubes (n, 7, 32, 32, 2) float16 in eighths of a pixel of a picture 512 pixels
wide per working interval (1 / `rate` seconds). Memory is flat: seven frames are kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.samples import Frame, VideoClip
from core.scores import Box
from models.flow import DenseFlow
from tools.video.track_objects import SceneObjects, shared

T = TypeVar("T")

AROUND = 3
WINDOW = 2 * AROUND + 1
"""Frames of a cube: the one that is judged, three before and three after."""

CUBE = 32
"""Edge of a cube in pixels."""

FLOW_WIDTH, FLOW_UNIT = 512, 8.0
"""Flow counts pixels of a picture this wide, divided by this: colour and motion errors are then of one size."""

COVERED = 0.6
"""A box of which a larger one covers more than this share is dropped."""

CHANGED, BLUR, GROWN, LONGEST = 18, (5, 5), 2, 10.0
"""Motion boxes: grey values of change over three frames, blur before, pixels that boxes are grown by, and the largest ratio of their
edges, all as published for Avenue."""


class Cubes(NamedTuple):
    """Colour (n, 7, 32, 32, 3) uint8 and flow (n, 7, 32, 32, 2) float16 of n objects."""

    rgb: NDArray[np.uint8]
    flow: NDArray[np.float16]


class _Taken(NamedTuple):
    """A frame, the flow that led to it (h, w, 2), what was found in it (None: it was not asked for), and whether the camera stood still."""

    frame: Frame
    flow: NDArray[np.float32]
    boxes: tuple[Box, ...] | None
    steady: bool


@dataclass(frozen=True, eq=False)
class Sighting:
    """One frame and its objects, if they were `sought`; `boxes` are in its pixels, times `scale` (across, down) in the clip's."""

    frame: Frame
    window: tuple[_Taken, ...]
    boxes: tuple[Box, ...]
    scale: tuple[float, float]
    sought: bool

    def cubes(self) -> Cubes:
        """The objects' cubes, in the order of `boxes`."""
        count = len(self.boxes)
        rgb = np.empty((count, WINDOW, CUBE, CUBE, 3), np.uint8)
        flow = np.empty((count, WINDOW, CUBE, CUBE, 2), np.float16)
        for index, box in enumerate(self.boxes):
            for place, taken in enumerate(self.window):
                picture = taken.frame.rgb
                rgb[index, place] = _cut(picture, box, 1.0)
                flow[index, place] = _cut(taken.flow, box, taken.flow.shape[1] / picture.shape[1])
        return Cubes(rgb, flow)

    def boxes_in(self, clip: VideoClip) -> tuple[Box, ...]:
        """The boxes in the clip's pixels."""
        across, down = self.scale
        return tuple(
            (max(0.0, x0 * across), max(0.0, y0 * down), min(clip.width, x1 * across), min(clip.height, y1 * down))
            for x0, y0, x1, y1 in self.boxes
        )


@dataclass(frozen=True, kw_only=True)
class CubeReader:
    """Reads the sightings of clips: `rate` frames per second, longest side `side`, flow at `flow_side` pixels.

    Objects below `least_share` of the picture's area are left out.
    """

    rate: float = 25.0
    side: int = 640
    flow_side: int = 320
    least_share: float = 0.002

    def every(self, clip: VideoClip) -> int:
        """Each how many frames of the clip one is looked at."""
        return max(1, round(clip.fps / self.rate))

    def read(self, clip: VideoClip, *, wanted: Callable[[Frame], bool] = lambda frame: True) -> Iterator[Sighting]:
        """Every working frame of the clip in order.

        Boxes are sought in `wanted` frames only, as that takes the longest. A clip of fewer than seven working frames has no cubes: its
        sightings hold no boxes.
        """
        for taken, window in elastic_windows(self._take(clip, wanted)):
            height, width = taken.frame.rgb.shape[:2]
            boxes = () if taken.boxes is None or len(window) < WINDOW else self._boxes(taken, taken.boxes, window)
            scale = clip.width / width, clip.height / height
            yield Sighting(taken.frame, window, boxes, scale, taken.boxes is not None)

    def middles(self, clip: VideoClip, unit_s: float) -> Middles:
        """What picks one working frame of the clip for each `unit_s` seconds."""
        return Middles(unit_s=unit_s, duration_s=clip.duration_s, interval_s=self.every(clip) / clip.fps)

    def _take(self, clip: VideoClip, wanted: Callable[[Frame], bool]) -> Iterator[_Taken]:
        scene, flow = SceneObjects(people_side=self.side), DenseFlow(side=self.flow_side)
        scene.prepare(clip, side=self.side)
        first: _Taken | None = None
        before: Frame | None = None
        for frame in clip.frames(step=self.every(clip), max_side=self.side):
            unsteady = scene.unsteady
            boxes = None
            if wanted(frame):
                boxes = tuple(one.box for one in scene.detect(frame))
            else:
                scene.watch(frame)
            vectors = np.zeros((1, 1, 2), np.float32) if before is None else self._flow(flow, before, frame)
            taken = _Taken(frame, vectors, boxes, steady=scene.unsteady == unsteady)
            if before is None:
                first = taken
            else:
                if first is not None:  # nothing leads to the first frame: it takes the flow of the second
                    yield first._replace(flow=vectors)
                    first = None
                yield taken
            before = frame
        if first is not None:
            yield first

    def _flow(self, flow: DenseFlow, before: Frame, frame: Frame) -> NDArray[np.float32]:
        vectors, _ = flow.between(before.rgb, frame.rgb)
        dt_s = max(frame.time_s - before.time_s, 0.1 / self.rate)
        return np.asarray(vectors * (FLOW_WIDTH / max(vectors.shape[:2]) / FLOW_UNIT / (dt_s * self.rate)), np.float32)

    def _boxes(self, taken: _Taken, boxes: Sequence[Box], window: Sequence[_Taken]) -> tuple[Box, ...]:
        picture = taken.frame.rgb
        least = self.least_share * picture.shape[0] * picture.shape[1]
        found = tuple(box for box in boxes if _area(box) >= least)
        if not taken.steady:
            return uncovered(found)
        place = next(index for index, one in enumerate(window) if one is taken)
        around = [one.frame.rgb for one in window[max(0, place - 1) : place + 2]]
        return uncovered((*found, *motion_boxes(around, found, least=least)))


class Middles:
    """True for one frame of each unit of time, the first that is not before the unit's middle; ask for every frame in order.

    >>> middle = Middles(unit_s=0.2, duration_s=0.5, interval_s=0.04)
    >>> frames = [Frame(number, number / 25, np.zeros((1, 1, 3), np.uint8)) for number in range(12)]
    >>> [frame.number for frame in frames if middle(frame)]
    [2, 7, 11]
    """

    def __init__(self, *, unit_s: float, duration_s: float, interval_s: float) -> None:
        self.unit_s, self.duration_s, self.interval_s = unit_s, duration_s, interval_s
        self._last = -1

    def __call__(self, frame: Frame) -> bool:
        """Whether this frame stands for its unit."""
        unit = int(frame.time_s / self.unit_s + 1e-6)
        start_s = unit * self.unit_s
        # The last unit may be cut off: its middle is then the middle of what there is.
        middle_s = (start_s + min(start_s + self.unit_s, max(self.duration_s, start_s))) / 2
        if unit == self._last or frame.time_s < middle_s - self.interval_s / 2 - 1e-6:
            return False
        self._last = unit
        return True


def elastic_windows(items: Iterable[T]) -> Iterator[tuple[T, tuple[T, ...]]]:
    """Each item with the seven around it: itself in the middle, or nearer to an end where the items begin or end.

    Fewer than seven items come with all there are. Only seven are kept.

    >>> for item, around in elastic_windows(range(8)):
    ...     print(item, around[0], around[-1])
    0 0 6
    1 0 6
    2 0 6
    3 0 6
    4 1 7
    5 1 7
    6 1 7
    7 1 7
    """
    kept: deque[T] = deque(maxlen=WINDOW)
    for count, item in enumerate(items, start=1):
        kept.append(item)
        if count == WINDOW:
            window = tuple(kept)
            yield from ((one, window) for one in window[: AROUND + 1])
        elif count > WINDOW:
            yield kept[AROUND], tuple(kept)
    window = tuple(kept)
    yield from ((one, window) for one in (window[AROUND + 1 :] if len(window) == WINDOW else window))


def uncovered(boxes: Sequence[Box]) -> tuple[Box, ...]:
    """The boxes without those that a larger one covers for the most part, smallest first.

    >>> uncovered([(0, 0, 10, 10), (1, 1, 5, 5), (8, 8, 12, 12)])
    ((8, 8, 12, 12), (0, 0, 10, 10))
    """
    ordered = sorted(boxes, key=_area)
    return tuple(
        box for index, box in enumerate(ordered) if all(shared(box, other).of_first <= COVERED for other in ordered[index + 1 :])
    )


def motion_boxes(frames: Sequence[NDArray[np.uint8]], known: Sequence[Box], *, least: float) -> tuple[Box, ...]:
    """What changes over two or three consecutive frames (H, W, 3) outside the `known` boxes and is larger than `least` pixels.

    >>> street = np.full((40, 60, 3), 90, np.uint8)
    >>> passed = street.copy()
    >>> passed[10:30, 20:30] = 200
    >>> motion_boxes([street, passed, street], [], least=50)
    ((17, 7, 33, 33),)
    >>> motion_boxes([street, passed, street], [(20, 10, 30, 30)], least=50)
    ()
    """
    import cv2

    grey = [cv2.cvtColor(cv2.GaussianBlur(frame, BLUR, 0), cv2.COLOR_RGB2GRAY).astype(np.int16) for frame in frames]
    total = sum((np.abs(after - before) for before, after in pairwise(grey)), np.zeros_like(grey[0]))
    changed: NDArray[np.uint8] = (total > CHANGED).astype(np.uint8)
    height, width = changed.shape
    for x0, y0, x1, y1 in known:
        changed[max(0, int(y0) - GROWN) : int(np.ceil(y1)) + GROWN, max(0, int(x0) - GROWN) : int(np.ceil(x1)) + GROWN] = 0
    outlines, _ = cv2.findContours(changed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    found = []
    for outline in outlines:
        left, top, wide, high = cv2.boundingRect(outline)
        if wide * high > least and max(wide, high) < LONGEST * min(wide, high):
            x0, y0, x1, y1 = left - GROWN, top - GROWN, left + wide + GROWN, top + high + GROWN
            found.append((max(0, x0), max(0, y0), min(width, x1), min(height, y1)))
    return tuple(found)


def _cut(picture: NDArray[Any], box: Box, scale: float) -> NDArray[Any]:
    """The part of a picture (h, w, C) in a box, at least a pixel, resized to 32×32."""
    import cv2

    height, width = picture.shape[:2]
    x0, y0 = (min(int(v * scale), most - 1) for v, most in ((box[0], width), (box[1], height)))
    x1, y1 = max(x0 + 1, min(round(box[2] * scale), width)), max(y0 + 1, min(round(box[3] * scale), height))
    piece = np.ascontiguousarray(picture[max(0, y0) : y1, max(0, x0) : x1])
    smaller = min(piece.shape[:2]) >= CUBE
    return np.asarray(cv2.resize(piece, (CUBE, CUBE), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR))


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
