"""Ghosts of background subtraction: areas that differ from the background because the background is wrong, not the scene.

A background that was learned while somebody stood there holds that person; when they leave, the bare floor looks like a thing.
Two signs tell such a ghost: nothing in it moves, and its outline is an edge in the background but not in the frame (the idea of
telling a removed object from an abandoned one by its contour). What has not moved at all in the first frames is taken for the
scene, too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EDGES = 1.5
"""A ghost's outline is this many times sharper in the background than in the frame."""

CHANGE, STILL_FRAMES = 12, 3
"""Grey values that make a change, and frames without one after which a pixel is still."""

FIRST_FRAMES, CLEAR = 6, 1.3
"""What has not moved in the first frames belongs to the scene, unless its outline is this many times sharper than behind it."""

OUTLINE = 0.4
"""A still part of a moving blob is judged only when this share of its outline borders the background, not the moving rest."""


class Ghosts:
    """Finds ghosts frame by frame; give frames in order.

    Args:
        before: a grey frame (H, W) uint8 that stands in for the one before the first; None: the first frame is not judged.

    >>> floor, wrong = np.full((40, 60), 90, np.uint8), np.full((40, 60), 90, np.uint8)
    >>> wrong[10:30, 20:40] = 200
    >>> ghosts = Ghosts(before=floor)
    >>> int(ghosts.find((floor != wrong).astype(np.uint8), floor, wrong, least=16).sum())
    400
    """

    def __init__(self, *, before: NDArray[np.uint8] | None) -> None:
        self._before = before
        self._still: NDArray[np.int32] | None = None
        self._seen = 0

    def find(
        self, moving: NDArray[np.uint8], grey: NDArray[np.uint8], background: NDArray[np.uint8], *, least: float
    ) -> NDArray[np.bool_]:
        """Which pixels (H, W) of `moving` (H, W) 0/1 are ghosts; parts smaller than `least` pixels are not judged."""
        import cv2

        before, self._before = self._before, grey
        self._seen += 1
        ghosts = np.zeros(grey.shape, bool)
        if before is None:
            return ghosts
        changed = np.asarray(cv2.absdiff(grey, before)) > CHANGE
        still = np.zeros(grey.shape, np.int32) if self._still is None else self._still
        self._still = np.where(changed, 0, still + 1).astype(np.int32)
        now, then = edges(grey), edges(background)
        outside = np.asarray(cv2.dilate((moving == 0).astype(np.uint8), np.ones((5, 5), np.uint8))) > 0
        if self._seen <= FIRST_FRAMES:
            for inside in _parts(moving, least):
                sharper = _sharper(inside, outside, then, now)
                if changed[inside].mean() < 0.02 and sharper is not None and sharper > 1 / CLEAR:
                    ghosts |= inside
        resting = (moving > 0) & (self._still >= STILL_FRAMES) & ~ghosts
        for inside in _parts(resting.astype(np.uint8), least):
            sharper = _sharper(inside, outside, then, now)
            if sharper is not None and sharper > EDGES:
                ghosts |= (np.asarray(cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8))) > 0) & (moving > 0)
        return ghosts


def _sharper(
    inside: NDArray[np.bool_], outside: NDArray[np.bool_], then: NDArray[np.float32], now: NDArray[np.float32]
) -> float | None:
    """How many times sharper the part's outline is in the background than in the frame; None when it has too little outline."""
    import cv2

    area, window = inside.astype(np.uint8), np.ones((5, 5), np.uint8)
    ring = np.asarray(cv2.dilate(area, window)) > np.asarray(cv2.erode(area, window))
    outline = ring & outside
    if outline.sum() <= OUTLINE * ring.sum():
        return None
    return float(then[outline].mean() / max(float(now[outline].mean()), 1e-6))


def _parts(mask: NDArray[np.uint8], least: float) -> list[NDArray[np.bool_]]:
    """Connected parts of at least `least` pixels, each as a mask."""
    import cv2

    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    return [labels == index for index in range(1, count) if stats[index, 4] >= least]


def edges(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Brightness steps per pixel (H, W) float32 (Sobel)."""
    import cv2

    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    return np.asarray(cv2.magnitude(across, down), np.float32)
