"""What stands to what in a moment of a clip, as vectors: looks of both things and of what lies between, geometry, and what they do.

Source: relation features after VADER (arXiv 2511.07299; its program is not public): pairwise subject, predicate and object features of
keyframes. A reconstruction of ours on tracks and the embedded network: for a pair, mean features of the network's cells under the
subject's, the object's and the joint box, eight numbers of geometry, and which predicates of the relation log hold at that moment. A
thing is also paired with the whole picture, so that somebody alone is seen to fall.

Axes and units: vectors (M, C), C = 3 · 112 + 8 + one per predicate; boxes xyxy absolute pixels; seconds of the clip.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.samples import VideoClip
from tools.video.relation_words import PREDICATES, Relation
from tools.video.tracks import Track, TrackSet, is_person

if TYPE_CHECKING:
    from models.patches import PatchEncoder

Boxes = NDArray[np.float64]
STRIDE, SIDE = 16, 256
"""Tap of the embedded network (112 channels) and the resolution at which frames are looked at."""
MOST = 20
"""Pairs of a moment that are kept, the surest and nearest."""
NEAR, NEAR_PEOPLE = 2.0, 3.0
"""Largest distance of a pair's centres in mean box diagonals, and of two people's."""
GEOMETRY = 8
CHANNELS = 112
WIDTH = 3 * CHANNELS + GEOMETRY + len(PREDICATES)


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """A frame of a clip: its time, the network's cells (h, w, C), and the tracks that are there with their boxes (n, 4)."""

    time_s: float
    cells: NDArray[np.float16]
    tracks: tuple[Track, ...]
    boxes: Boxes
    size: tuple[int, int]
    """Height and width of the clip in pixels."""


@dataclass(eq=False)
class Relations:
    """Relation vectors of the moments of a clip, from frames that were looked at once.

    Args:
        clip: a video of a camera that stands still.
        tracks: who is where in it (`tools.video.track_finder`).
        log: its relation log, whose predicates become part of the vectors.
        encoder: the embedded network.
    """

    clip: VideoClip
    tracks: TrackSet
    log: Sequence[Relation]
    encoder: PatchEncoder
    _frames: dict[float, Seen] = field(default_factory=dict)

    @classmethod
    def of(cls, clip: VideoClip, *, device: str = "auto") -> Relations:
        """The relations of a clip's own tracks (found once per clip)."""
        from models.patches import PatchEncoder
        from tools.video.relations import relation_log
        from tools.video.track_finder import find_tracks

        tracks = find_tracks(clip)
        encoder = PatchEncoder(side=SIDE, strides=(STRIDE,), device=device)
        return cls(clip=clip, tracks=tracks, log=relation_log(tracks), encoder=encoder)

    def look(self, times: Sequence[float]) -> list[Seen]:
        """The frames nearest to some moments, in the order given; each is decoded and encoded once.

        Raises:
            BadInput: a moment at which no frame can be decoded.
        """
        wanted = [round(float(t), 2) for t in times]
        new = sorted({t for t in wanted if t not in self._frames})
        for time_s, frame in _frames(self.clip, new):
            cells = self.encoder.encode([frame])[0].float().cpu().numpy().astype(np.float16)
            there = tuple(self.tracks.at(time_s))
            boxes = np.array([track.box_at(time_s) for track in there], np.float64).reshape(-1, 4)
            self._frames[time_s] = Seen(
                time_s=time_s, cells=cells, tracks=there, boxes=boxes, size=(self.clip.height, self.clip.width)
            )
        return [self._frames[t] for t in wanted]

    def vectors(
        self, times: Sequence[float], *, jitter: float = 0.0, dropped: float = 0.0, seed: int = 0
    ) -> list[NDArray[np.float32]]:
        """Relation vectors (M, C) of each moment, M from 0 to 20.

        Args:
            times: moments in seconds.
            jitter: boxes are moved and scaled by up to this part of their sides.
            dropped: this share of the relations is left out at random.
            seed: of both.
        """
        rng = np.random.default_rng(seed)
        found = []
        for seen in self.look(times):
            boxes = seen.boxes
            if jitter and len(boxes):
                sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
                boxes = boxes + rng.uniform(-jitter, jitter, boxes.shape) * sides
            rows = related(seen, boxes, self.log)
            found.append(rows[rng.random(len(rows)) >= dropped] if dropped else rows)
        return found


def related(seen: Seen, boxes: Boxes, log: Sequence[Relation] = ()) -> NDArray[np.float32]:
    """Vectors (M, C) of the pairs in a frame, things before their surroundings; `boxes` (n, 4) stand for the frame's own."""
    if not len(boxes):
        return np.zeros((0, WIDTH), np.float32)
    height, width = seen.size
    whole = np.array([0.0, 0.0, width, height])
    couples = [(a, b) for a in range(len(boxes)) for b in range(len(boxes)) if a != b and _near(seen, boxes, a, b)]
    weights = [_sure(seen.tracks[a]) * _sure(seen.tracks[b]) * np.exp(-_apart(boxes[a], boxes[b])) for a, b in couples]
    best = sorted(np.argsort(np.negative(weights), kind="stable")[: max(0, MOST - len(boxes))].tolist())
    pairs = [(seen.tracks[a], boxes[a], seen.tracks[b], boxes[b]) for a, b in (couples[i] for i in best)]
    alone = [(track, box, None, whole) for track, box in zip(seen.tracks, boxes, strict=True)]
    rows = []
    for subject, box, other, around in [*pairs, *alone][:MOST]:
        joint = np.concatenate([np.minimum(box[:2], around[:2]), np.maximum(box[2:], around[2:])])
        looks = pooled(seen.cells, np.stack([box, joint, around]), seen.size)
        rows.append(np.concatenate([looks.ravel(), geometry(box, around, seen.size), _does(log, seen.time_s, subject, other)]))
    return np.asarray(np.stack(rows), np.float32)


def geometry(subject: Boxes, thing: Boxes, size: tuple[int, int]) -> NDArray[np.float64]:
    """Eight numbers of two boxes in a picture of `size` (height, width).

    Shift right and down in the subject's sides, logarithms of the ratios of widths and heights, overlap (IoU), distance of the centres
    in mean diagonals, and both areas as shares of the picture.

    >>> geometry(np.array([0.0, 0.0, 10.0, 20.0]), np.array([5.0, 0.0, 15.0, 20.0]), (100, 100)).round(2).tolist()
    [0.5, 0.0, 0.0, 0.0, 0.33, 0.22, 0.02, 0.02]
    """
    (w, h), (v, u) = subject[2:] - subject[:2], thing[2:] - thing[:2]
    shift = (thing[:2] + thing[2:] - subject[:2] - subject[2:]) / 2
    both = np.clip(np.minimum(subject[2:], thing[2:]) - np.maximum(subject[:2], thing[:2]), 0, None).prod()
    area = float(size[0] * size[1])
    overlap = both / (w * h + v * u - both)
    ratios = [
        shift[0] / w,
        shift[1] / h,
        np.log(v / w),
        np.log(u / h),
        overlap,
        _apart(subject, thing),
        w * h / area,
        v * u / area,
    ]
    return np.asarray(ratios, np.float64)


def pooled(cells: NDArray[np.float16], boxes: Boxes, size: tuple[int, int]) -> NDArray[np.float32]:
    """Mean cells (n, C) under boxes (n, 4) of a picture of `size`, each cell counted by the part of it that is covered.

    >>> cells = np.arange(4.0).reshape(1, 4, 1).astype(np.float16)
    >>> pooled(cells, np.array([[0.0, 0.0, 50.0, 10.0], [60.0, 2.0, 70.0, 3.0]]), (10, 100)).ravel().tolist()
    [0.5, 2.0]
    """
    high, wide = cells.shape[:2]
    scale = np.array([wide / size[1], high / size[0]] * 2)
    low, far = (boxes * scale)[:, :2], (boxes * scale)[:, 2:]
    along = [np.clip(np.minimum(far[:, k, None], n + 1) - np.maximum(low[:, k, None], n), 0, None)
             for k, n in ((0, np.arange(wide)), (1, np.arange(high)))]  # fmt: skip
    summed = np.einsum("nh,nw,hwc->nc", along[1], along[0], cells.astype(np.float64))
    covered = along[0].sum(axis=1) * along[1].sum(axis=1)
    return np.asarray(summed / np.maximum(covered, 1e-9)[:, None], np.float32)


def _near(seen: Seen, boxes: Boxes, a: int, b: int) -> bool:
    """Boxes that touch, things near each other, and people not far from each other."""
    both = np.minimum(boxes[a, 2:], boxes[b, 2:]) - np.maximum(boxes[a, :2], boxes[b, :2])
    people = is_person(seen.tracks[a]) and is_person(seen.tracks[b])
    return bool((both > 0).all()) or _apart(boxes[a], boxes[b]) < (NEAR_PEOPLE if people else NEAR)


def _apart(a: Boxes, b: Boxes) -> float:
    """Distance of two boxes' centres in mean diagonals."""
    diagonal = (np.hypot(*(a[2:] - a[:2])) + np.hypot(*(b[2:] - b[:2]))) / 2
    return float(np.hypot(*((a[:2] + a[2:] - b[:2] - b[2:]) / 2)) / max(float(diagonal), 1e-9))


def _sure(track: Track) -> float:
    return float(np.clip(track.scores.mean(), 0, 1))


def _does(log: Sequence[Relation], time_s: float, subject: Track, other: Track | None) -> NDArray[np.float64]:
    """Which predicates hold now between the two, or of the subject alone."""
    held = {
        relation.predicate for relation in log
        if relation.t0_s - 0.25 <= time_s <= relation.t1_s + 0.25
        and relation.subject.id == subject.id
        and (None if relation.object is None else relation.object.id) == (None if other is None else other.id)
    }  # fmt: skip
    return np.array([predicate in held for predicate in PREDICATES], np.float64)


def _frames(clip: VideoClip, times: Sequence[float]) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """The frames nearest to ascending moments, longest side 640 pixels."""
    if not times:
        return
    half = 0.5 / clip.fps
    for time_s in times:
        frame = next(iter(clip.frames(start_s=max(0.0, time_s - half), max_side=640)), None)
        if frame is None:  # past the last frame
            frame = next(iter(clip.frames(start_s=max(0.0, clip.duration_s - 1.0), max_side=640)), None)
        if frame is None:
            raise BadInput(f"video {clip.name!r}: no frame could be decoded near {time_s:.2f} s; try another file.")
        yield time_s, frame.rgb
