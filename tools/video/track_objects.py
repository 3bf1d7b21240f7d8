"""What is in each frame, before anything is followed: people and moving things merged into one list without double entries.

The people finder misses who runs, bends or lies; the moving things miss who stands still and come in pieces or in clumps. So a
moving thing that is one upright person takes the person's name and keeps its own tighter box, a clump of several people is told
apart by the people's boxes, and pieces one above the other are joined. Boxes are xyxy absolute pixels of the clip.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from core.scores import Box
from core.settings import object_detector
from models.objects import FoundObject, MovingObjects, People, suppress

if TYPE_CHECKING:
    from core.samples import Frame, VideoClip
    from models.learned_objects import ObjectDetector

LEARN_FRAMES, LEARN_S = 48, 120.0
"""Frames that teach the background before the first one is judged, and the stretch at the start they are taken from."""

UNSTEADY = 0.5
"""When more of the picture than this moves, the camera or the light does: moving things are not told apart then."""

JOIN_GAP, JOIN_SHARED, JOIN_WIDER, JOIN_HIGHER = 0.15, 0.5, 1.3, 4.2
"""Pieces are joined when the gap between them is below this share of their joint height, this share of the narrower is shared,
and together they are at most this much wider than the taller one: a shadow on the floor is wider than who throws it.
Nothing higher than 4.2 times its width is made, and nothing of two upright parts: that is one person behind another."""

LEAST_HEIGHT = 0.03
"""Moving things lower than this share of the picture's height are dropped: leaves, reflections, noise of compression."""


LEAST_ASPECT = 0.18
"""Narrower moving things are dropped."""


class ObjectFinder(Protocol):
    """Anything that names the objects of a clip's frames in order; a learned detector may take the place of `SceneObjects`."""

    def prepare(self, clip: VideoClip, *, side: int) -> None:
        """Look at the clip before its first frame is judged; `side` is the longest side of the frames that will follow."""

    def detect(self, frame: Frame) -> tuple[FoundObject, ...]:
        """Objects of one frame, boxes in pixels of that frame."""


class SceneObjects:
    """People and moving things of a still camera, on the CPU, nothing to download.

    Args:
        people_side: longest side searched for people in pixels; the smallest person found is about 100 pixels tall there.
        people_threshold: lowest SVM score of a person.
        moving_side: longest side for the background model in pixels.

    >>> import numpy as np
    >>> from core.samples import Frame, VideoClip
    >>> pictures = np.full((20, 120, 160, 3), 90, np.uint8)
    >>> for index in range(20):
    ...     pictures[index, 40:80, 5 * index : 5 * index + 20] = 230
    >>> scene = SceneObjects()
    >>> scene.prepare(VideoClip.from_array("toy", pictures, fps=5.0), side=160)
    >>> [tuple(round(v) for v in found.box) for found in scene.detect(Frame(4, 0.8, pictures[4]))]
    [(19, 39, 41, 81)]
    """

    def __init__(self, *, people_side: int = 640, people_threshold: float = 0.5, moving_side: int = 480) -> None:
        self.people_side, self.people_threshold, self.moving_side = people_side, people_threshold, moving_side
        self._people = People(threshold=people_threshold, side=people_side)
        self._moving = MovingObjects(side=moving_side)
        self.frames = self.unsteady = 0

    def prepare(self, clip: VideoClip, *, side: int) -> None:
        """Teach the background from frames spread over the clip's first two minutes."""
        self._moving = MovingObjects(side=self.moving_side)
        self.frames = self.unsteady = 0
        end_s = min(clip.duration_s, LEARN_S)
        every = max(1, int(end_s * clip.fps) // LEARN_FRAMES)
        taken = [frame.rgb for frame in clip.frames(end_s=end_s, step=every, max_side=side)]
        if taken:
            self._moving.learn([rgb for rgb in taken if rgb.shape == taken[0].shape])

    def detect(self, frame: Frame) -> tuple[FoundObject, ...]:
        """People and moving things of the next frame; give frames in order."""
        moving = self.watch(frame)
        least = LEAST_HEIGHT * frame.rgb.shape[0]
        return merge(self._people.detect(frame.rgb), [one for one in join_pieces(moving) if _substantial(one.box, least)])

    def watch(self, frame: Frame) -> tuple[FoundObject, ...]:
        """What moves in the next frame, in pieces: in place of `detect`, much faster, where nobody asks for people."""
        moving = self._moving.update(frame.rgb)
        self.frames += 1
        if self._moving.moving_share > UNSTEADY:
            self.unsteady += 1
            return ()
        return moving


class LearnedObjects:
    """What a learned detector sees in each frame, of any class it knows.

    Args:
        name: an .onnx file, a folder, or owner/name (`models.learned_objects.open_detector`).
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def labels(self) -> frozenset[str]:
        """The classes that are told apart."""
        return frozenset(_detector(self.name).labels)

    def prepare(self, clip: VideoClip, *, side: int) -> None:
        """Nothing: each frame is judged by itself."""

    def detect(self, frame: Frame) -> tuple[FoundObject, ...]:
        """Objects of one frame, boxes in its pixels."""
        return _detector(self.name).detect(frame.rgb)


@cache
def _detector(name: str) -> ObjectDetector:
    from models.learned_objects import open_detector

    return open_detector(name)


def finder_in_use() -> ObjectFinder:
    """The learned detector that TELLTALE_OBJECTS names, else the embedded one."""
    name = object_detector()
    return LearnedObjects(name) if name else SceneObjects()


def labels_in_use() -> frozenset[str]:
    """The classes that the finder in use tells apart: "person" and "moving" for the embedded one.

    >>> sorted(labels_in_use())
    ['moving', 'person']
    """
    finder = finder_in_use()
    return finder.labels if isinstance(finder, LearnedObjects) else frozenset(("person", "moving"))


class _Shared(NamedTuple):
    """How two boxes lie: shared area over the first's, over the second's, over their union."""

    of_first: float
    of_second: float
    of_union: float


def shared(a: Box, b: Box) -> _Shared:
    """Shared area of two boxes as shares of each and of their union.

    >>> shared((0, 0, 2, 2), (1, 0, 5, 2))
    _Shared(of_first=0.5, of_second=0.25, of_union=0.2)
    """
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0.0) * max(height, 0.0)
    first, second = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    union = first + second - both
    return _Shared(*(both / area if area > 0 else 0.0 for area in (first, second, union)))


def merge(people: Sequence[FoundObject], moving: Sequence[FoundObject]) -> tuple[FoundObject, ...]:
    """One list of `people` and `moving` things, people first, each thing once.

    >>> person = FoundObject((10, 10, 30, 60), 1.2, "person")
    >>> blob, bag = FoundObject((12, 8, 28, 62), 0.7, "moving"), FoundObject((60, 40, 70, 50), 0.9, "moving")
    >>> [(one.label, one.box) for one in merge([person], [blob, bag])]
    [('person', (12, 8, 28, 62)), ('moving', (60, 40, 70, 50))]
    """
    inside: dict[int, list[int]] = {}
    for index, person in enumerate(people):
        for number, blob in enumerate(moving):
            if shared(person.box, blob.box).of_first > 0.4:
                inside.setdefault(number, []).append(index)
    boxes = {index: person.box for index, person in enumerate(people)}
    used: set[int] = set()
    for number, blob in enumerate(moving):
        within = inside.get(number, [])
        if len(within) == 1 and shared(people[within[0]].box, blob.box).of_union > 0.45:
            boxes[within[0]] = blob.box
            used.add(number)
        elif within:
            covered = sum(shared(blob.box, people[index].box).of_first for index in within)
            if covered > 0.4:  # a clump that its people explain
                used.add(number)
        elif any(shared(blob.box, person.box).of_first > 0.6 for person in people):
            used.add(number)  # a moving arm or leg of a person
    found = [FoundObject(boxes[index], person.score, "person") for index, person in enumerate(people)]
    return (*suppress(found, overlap=0.7), *(blob for number, blob in enumerate(moving) if number not in used))


def join_pieces(moving: Iterable[FoundObject]) -> tuple[FoundObject, ...]:
    """Join moving pieces that lie one above the other, as a person's do whose shirt looks like the wall; largest first.

    >>> head, legs = FoundObject((10, 0, 22, 18), 0.5, "moving"), FoundObject((8, 22, 24, 56), 0.5, "moving")
    >>> [one.box for one in join_pieces([head, legs])]
    [(8, 0, 24, 56)]
    """
    parts = list(moving)
    changed = True
    while changed:
        changed = False
        for first in range(len(parts)):
            second = next((k for k in range(first + 1, len(parts)) if _one_thing(parts[first].box, parts[k].box)), None)
            if second is not None:
                parts[first] = _joined(parts[first], parts.pop(second))
                changed = True
                break
    return tuple(sorted(parts, key=lambda one: -_area(one.box)))


def _substantial(box: Box, least: float) -> bool:
    """High enough, and no sliver as curtains and door frames leave when the camera trembles."""
    width, height = box[2] - box[0], box[3] - box[1]
    return height >= least and LEAST_ASPECT < width / height < 1 / LEAST_ASPECT


def _one_thing(a: Box, b: Box) -> bool:
    taller, other = (a, b) if a[3] - a[1] >= b[3] - b[1] else (b, a)
    both = min(a[2], b[2]) - max(a[0], b[0])
    narrower = min(a[2] - a[0], b[2] - b[0])
    gap = max(a[1], b[1]) - min(a[3], b[3])
    high, wide = max(a[3], b[3]) - min(a[1], b[1]), max(a[2], b[2]) - min(a[0], b[0])
    if both < JOIN_SHARED * narrower or gap > JOIN_GAP * high:
        return False
    if high > JOIN_HIGHER * wide or (_upright(a) and _upright(b)):
        return False
    inside = shared(other, taller).of_first > 0.8
    return inside or wide <= JOIN_WIDER * (taller[2] - taller[0])


def _upright(box: Box) -> bool:
    return box[3] - box[1] > 1.8 * (box[2] - box[0])


def _joined(a: FoundObject, b: FoundObject) -> FoundObject:
    box = (min(a.box[0], b.box[0]), min(a.box[1], b.box[1]), max(a.box[2], b.box[2]), max(a.box[3], b.box[3]))
    moving = a.score * _area(a.box) + b.score * _area(b.box)
    return FoundObject(box, min(1.0, moving / _area(box)), "moving")


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def in_clip(found: Iterable[FoundObject], scale_x: float, scale_y: float, width: int, height: int) -> Iterator[FoundObject]:
    """Bring boxes from the shrunk frame to the clip's pixels, cut off at its borders; boxes without area are dropped."""
    for one in found:
        x0, x1 = (float(np.clip(v * scale_x, 0, width)) for v in (one.box[0], one.box[2]))
        y0, y1 = (float(np.clip(v * scale_y, 0, height)) for v in (one.box[1], one.box[3]))
        if x1 > x0 and y1 > y0:
            yield FoundObject((x0, y0, x1, y1), one.score, one.label)
