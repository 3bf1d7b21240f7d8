"""Objects without learned weights to download: what moves against the background, and upright people (OpenCV, on the CPU).

Moving things: mixture-of-Gaussians background subtraction with shadows removed (Zivkovic, ICPR 2004: MOG2). People:
histograms of oriented gradients with OpenCV's linear SVM (Dalal & Triggs, CVPR 2005). Frames are (H, W, 3) uint8 RGB; boxes are
xyxy absolute pixels of the frame that was given, however small the working size inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.samples import shrink
from core.scores import Box
from models.ghosts import Ghosts

if TYPE_CHECKING:
    from core.samples import Frame


SHADOW = 127
"""MOG2 marks a darkened but otherwise unchanged background with this grey."""

LEAST_VARIANCE = 12.0
"""Of a pixel's grey value after `learn`: noise of cheap cameras and of compression."""

KEPT_WEIGHT = 0.7
"""After `learn`, a still thing becomes background once it was there for 1 − this share of the history."""

SPREAD, THIN, ISLAND = 0.8, 0.25, 0.1
"""Width / height above which a moving area is no upright body: its box is then drawn around what is solid. That is what is at least this
share of its thickest part (a forearm or a shin is about a third as thick as the trunk; edges of a carpet that slid, of a curtain or of
a shadow are thinner), in pieces of at least this share of the largest one."""

PERSON_WINDOW = (64, 128)
"""Width and height in pixels of the smallest upright person the HOG model can see."""


class FoundObject(NamedTuple):
    """One object: its `box`, its class, and a score whose unit depends on the class.

    "moving": the share of the box that moves, 0 to 1. "person" by HOG: the distance from the SVM's border, above 0, mostly below 3. Of a
    learned detector (`models.learned_objects`): any class, 0 to 1.
    """

    box: Box
    score: float
    label: str


class MovingObjects:
    """Boxes of what moves in front of a still camera; keeps a background model, so give frames in order.

    Args:
        side: longest side of the working size in pixels.
        history: frames the background remembers; a thing that stops becomes background after about that many.
        warm_up: frames at the start that only teach the background and give no boxes.
        smallest_share: boxes whose moving area is a smaller share of the picture are dropped as noise.

    Raises:
        BadInput: a value out of range (at construction) or a frame of another size than the first.

    >>> import numpy as np
    >>> street = np.full((60, 80, 3), 90, np.uint8)
    >>> moving = MovingObjects(warm_up=5)
    >>> seen = [moving.update(street) for _ in range(6)]
    >>> street[20:40, 30:50] = 230
    >>> [tuple(round(v) for v in found.box) for found in moving.update(street)]
    [(30, 20, 50, 40)]
    """

    def __init__(self, *, side: int = 480, history: int = 500, warm_up: int = 10, smallest_share: float = 5e-4) -> None:
        if side < 16 or history < 1 or warm_up < 0 or not 0 <= smallest_share < 1:
            raise BadInput(
                f"moving objects: expected side ≥ 16, history ≥ 1, warm_up ≥ 0 and smallest_share in [0, 1), "
                f"got {side!r}, {history!r}, {warm_up!r}, {smallest_share!r}."
            )
        self.side, self.history, self.warm_up, self.smallest_share = side, history, warm_up, smallest_share
        self._model: Any = None
        self._seen = 0
        self._shape: tuple[int, ...] | None = None
        self._rate = -1.0
        self._ghosts: Ghosts | None = None
        self.moving_share = 0.0
        """Share of the last picture that moved, 0 to 1; near 1 when the camera moves or the light changes."""

    def learn(self, frames: Iterable[NDArray[np.uint8]]) -> None:
        """Take the background from `frames` (H, W, 3), some of the clip's own: their median, and how much each pixel wavers.

        Boxes then come from the first `update` on, also of a person who stands there at the start and leaves later. What the
        background holds but the scene does not (a "ghost", `models.ghosts`) is recognised and mended.

        Raises:
            BadInput: no frame, or frames of different sizes.

        >>> scene = [np.full((60, 80, 3), 90, np.uint8) for _ in range(5)]
        >>> scene[0][20:40, 30:50] = 230
        >>> moving = MovingObjects()
        >>> moving.learn(scene)
        >>> [tuple(round(v) for v in found.box) for found in moving.update(scene[0])]
        [(29, 19, 51, 41)]
        """
        given = list(frames)
        if not given or len({frame.shape for frame in given}) != 1:
            raise BadInput(f"moving objects: expected frames of one size to learn, got {sorted({f.shape for f in given})}.")
        self._start(given[0].shape)
        self._rate = 1.0 / self.history
        small = [self._prepared(frame) for frame in given]
        self._model.setBackgroundRatio(KEPT_WEIGHT)
        self._model.setVarMin(LEAST_VARIANCE)
        self._model.setVarThreshold(25.0)
        self._model.apply(np.median(small, axis=0).astype(np.uint8), None, 1.0)
        for one in small:
            self._model.apply(one, None, 0.2 / len(small))
        # The second of the given frames stands in for "just before" the first: what moves soon is no part of the scene.
        self._ghosts = Ghosts(before=_grey(small[1]) if len(small) > 1 else None)
        self._seen = self.warm_up

    def update(self, rgb: NDArray[np.uint8]) -> tuple[FoundObject, ...]:
        """Learn from the next frame (H, W, 3) uint8 and return what moves in it, largest first."""
        import cv2

        if self._shape is None:
            self._start(rgb.shape)
        elif rgb.shape != self._shape:
            raise BadInput(f"moving objects: expected frames of one size {self._shape}, got {rgb.shape}; start a new one.")
        small = self._prepared(rgb)
        mask = np.asarray(self._model.apply(small, None, self._rate))
        self._seen += 1
        self.moving_share = float((mask > SHADOW).mean())
        if self._seen <= self.warm_up:
            return ()
        moving: NDArray[Any] = (mask > SHADOW).astype(np.uint8)
        # Opening removes single noisy pixels; closing joins a person's parts that look like the background behind them.
        moving = cv2.morphologyEx(moving, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        moving = cv2.morphologyEx(moving, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
        if self._rate > 0:
            moving = self._mend(moving, small)
        smallest = max(4.0, self.smallest_share * moving.size)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(moving, connectivity=8)
        scale_x, scale_y = rgb.shape[1] / small.shape[1], rgb.shape[0] / small.shape[0]
        found = []
        for index in range(1, count):
            left, top, width, height, area = (int(v) for v in stats[index])
            if area < smallest:
                continue
            x0, y0, x1, y1 = 0, 0, width, height
            if width > SPREAD * height:
                x0, y0, x1, y1, area = solid_box(labels[top : top + height, left : left + width] == index)
            box = _box((left + x0) * scale_x, (top + y0) * scale_y, (left + x1) * scale_x, (top + y1) * scale_y)
            found.append((area, FoundObject(box, area / ((x1 - x0) * (y1 - y0)), "moving")))
        return tuple(one for _, one in sorted(found, key=lambda pair: -pair[0]))

    def _start(self, shape: tuple[int, ...]) -> None:
        import cv2

        self._shape = shape
        self._model = cv2.createBackgroundSubtractorMOG2(history=self.history, varThreshold=16, detectShadows=True)

    def _prepared(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        import cv2

        small = shrink(rgb, self.side)
        return small if self._rate < 0 else np.asarray(cv2.GaussianBlur(small, (3, 3), 0), np.uint8)

    def _mend(self, moving: NDArray[Any], small: NDArray[np.uint8]) -> NDArray[Any]:
        """Drop ghosts, and teach the background what is there instead."""
        if self._ghosts is None or self.moving_share > 0.5:
            return moving
        background = np.asarray(self._model.getBackgroundImage(), np.uint8)
        ghosts = self._ghosts.find(moving, _grey(small), _grey(background), least=self.smallest_share * moving.size)
        if ghosts.any():
            self._model.apply(np.where(ghosts[..., None], small, background), None, 1.0)
            moving = np.where(ghosts, 0, moving).astype(np.uint8)
        return moving

    def stream(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, tuple[FoundObject, ...]]]:
        """`update` for each frame in order; memory does not grow with the number of frames."""
        for frame in frames:
            yield frame, self.update(frame.rgb)


class People:
    """Upright people in single frames, at least about 100 pixels tall; smaller pictures are enlarged up to twofold.

    Args:
        threshold: lowest SVM score that counts; 0.5 drops most lamp posts and door frames.
        side: longest side that is searched; larger frames are shrunk, which limits the time.

    Raises:
        BadInput: `side` smaller than the person window.
        MissingExtra: the installed OpenCV has no HOG (version 5 without the contrib modules).

    >>> import numpy as np
    >>> People().detect(np.zeros((200, 120, 3), np.uint8))
    ()
    """

    def __init__(self, *, threshold: float = 0.5, side: int = 960) -> None:
        if side < PERSON_WINDOW[1]:
            raise BadInput(f"people side {side!r}: expected at least {PERSON_WINDOW[1]} pixels.")
        self.threshold, self.side = threshold, side
        self._model: Any = None

    def detect(self, rgb: NDArray[np.uint8]) -> tuple[FoundObject, ...]:
        """People in one frame (H, W, 3) uint8, surest first, overlapping finds merged to the surest."""
        import cv2

        model = self._load()
        picture: NDArray[Any] = shrink(rgb, self.side)
        grow = min(2.0, self.side / max(picture.shape[:2]))
        if grow > 1.0:
            picture = cv2.resize(picture, None, fx=grow, fy=grow, interpolation=cv2.INTER_LINEAR)
        height, width = picture.shape[:2]
        if width < PERSON_WINDOW[0] or height < PERSON_WINDOW[1]:
            return ()
        rects, weights = model.detectMultiScale(
            cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), hitThreshold=0.0, winStride=(8, 8), padding=(8, 8), scale=1.08
        )
        scale_x, scale_y = rgb.shape[1] / width, rgb.shape[0] / height
        found = []
        for (left, top, wide, tall), weight in zip(rects, np.ravel(weights), strict=True):
            if weight < self.threshold:
                continue
            # The model was trained with a margin around people: 16 of 64 pixels in width, 16 of 128 in height.
            x0, x1 = left + 0.15 * wide, left + 0.85 * wide
            y0, y1 = top + 0.07 * tall, top + 0.93 * tall
            box = _box(max(x0, 0) * scale_x, max(y0, 0) * scale_y, min(x1, width) * scale_x, min(y1, height) * scale_y)
            found.append(FoundObject(box, float(weight), "person"))
        return suppress(found)

    def _load(self) -> Any:
        if self._model is None:
            from core.errors import MissingExtra

            cv2 = _opencv()
            if not hasattr(cv2, "HOGDescriptor"):
                raise MissingExtra("OpenCV 5 has no people detector without its contrib modules. Install it with: "
                                   "pip install opencv-contrib-python-headless")  # fmt: skip
            self._model = cv2.HOGDescriptor()
            self._model.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())
        return self._model


def solid_box(area: NDArray[np.bool_]) -> tuple[int, int, int, int, int]:
    """The box x0, y0, x1, y1 of what is not thin in one connected area (H, W), and how many pixels that is.

    >>> trunk_with_line = np.zeros((40, 60), bool)
    >>> trunk_with_line[10:30, 5:25] = trunk_with_line[20:22, 25:60] = True
    >>> solid_box(trunk_with_line)[:4]
    (5, 10, 25, 30)
    """
    import cv2

    padded = np.pad(area.astype(np.uint8), 1)
    thick = round(2 * THIN * float(np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 3)).max()))
    solid = padded
    thick -= 1 - thick % 2  # a window of even width would shift the box by a pixel
    if thick > 1:
        solid = np.asarray(cv2.morphologyEx(padded, cv2.MORPH_OPEN, np.ones((thick, thick), np.uint8)))
    count, _, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
    pieces = np.asarray(stats[1:count], np.int64)
    pieces = pieces[pieces[:, 4] >= ISLAND * pieces[:, 4].max()]
    (x0, y0), (x1, y1) = pieces[:, :2].min(axis=0) - 1, (pieces[:, :2] + pieces[:, 2:4]).max(axis=0) - 1
    return int(x0), int(y0), int(x1), int(y1), int(pieces[:, 4].sum())


def _grey(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def _opencv() -> Any:
    """OpenCV without its stubs, which miss what the contrib modules add."""
    import cv2

    return cv2


def _box(x0: float, y0: float, x1: float, y1: float) -> Box:
    return float(x0), float(y0), float(x1), float(y1)


def suppress(found: Iterable[FoundObject], *, overlap: float = 0.5) -> tuple[FoundObject, ...]:
    """Keep the surest of every group of boxes that cover more than `overlap` of the smaller one.

    >>> a, b = FoundObject((0, 0, 10, 20), 2.0, "person"), FoundObject((1, 1, 9, 18), 1.0, "person")
    >>> suppress([b, a]) == (a,)
    True
    """
    kept: list[FoundObject] = []
    for one in sorted(found, key=lambda item: -item.score):
        if all(_covered(one.box, other.box) <= overlap for other in kept):
            kept.append(one)
    return tuple(kept)


def _covered(a: Box, b: Box) -> float:
    """Intersection over the area of the smaller box."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return max(width, 0.0) * max(height, 0.0) / smaller if smaller > 0 else 0.0
