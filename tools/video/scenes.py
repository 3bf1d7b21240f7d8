"""Where a video jumps to another scene or its camera is turned: there the whole picture changes and stays changed.

Such a jump is no event in the scene, so moments are compared within a scene only, and the jump itself is told. It is found in small grey
pictures of the frames (`tools.video.repeats.Thumbnails`), whose brightness and contrast are taken off, so that a lamp or the
camera's exposure is no jump: what the frames of the half second before agree on correlates with what those after agree on, far less
than usual, the change falls between two frames, and it is everywhere: a large thing that passes covers much of the picture, but not
suddenly, and one that is suddenly there leaves the rest of the picture as it was.

Axes and units: small pictures (T, P), P = SIDE², with their times in seconds (T,), grey 0 to 255; correlations −1 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

AROUND_S = 0.5
"""Seconds on either side whose pictures are averaged."""
LEAST = 0.15
"""Least loss of correlation across a jump."""
BEYOND = 6.0
"""Times the loss that is usual in the video."""
SUDDEN = 0.5
"""Least share of the loss that falls between two successive frames."""
SIDE = 24
"""Cells along an edge of the small pictures: a walking person still moves several, noise averages out. They are looked at in BLOCKS²
blocks."""
BLOCKS, FLAT, LOST, EVERYWHERE = 4, 2.0, 0.7, 0.7
"""Grey levels below which a block holds nothing to compare, the correlation below which it shows something else, and the least share of
blocks that do."""
SAME = 0.85
"""Least correlation of two stretches that show one scene."""
LEAST_S = 2.0
"""A scene that is seen for less holds too little to be compared with itself."""
ROWS = 4096
"""Pictures that are compared at once: memory for hours of video."""
BLURRED_S = 0.3
"""Moments nearer to a jump are left out: their motion is the jump's."""


@dataclass(frozen=True, eq=False)
class Scenes:
    """`jumps_s` in order, and which scene is shown from each on (the first scene is 0; one that comes again keeps its number)."""

    jumps_s: tuple[float, ...]
    numbers: tuple[int, ...]
    seconds: tuple[float, ...]
    """How long each scene is seen in all."""

    def of(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        """Scene of moments (n,); −1 where a jump is too near, or the scene is seen too briefly."""
        stretch = np.searchsorted(self.jumps_s, times, side="right")
        found = np.asarray(self.numbers, np.int64)[stretch]
        if self.jumps_s:
            found[np.asarray(self.seconds)[found] < LEAST_S] = -1
        found[self.near(times)] = -1
        return found

    def near(self, times: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether moments (n,) are so near to a jump that their motion is the jump's."""
        near = np.zeros(len(times), np.bool_)
        for jump in self.jumps_s:
            near |= np.abs(times - jump) < BLURRED_S
        return near


def scenes_of(seconds: NDArray[np.float64], pictures: NDArray[np.floating]) -> Scenes:
    """The scenes of a video; one where it never jumps.

    >>> rng = np.random.default_rng(0)
    >>> one, other = 50 * rng.normal(size=(2, 1, SIDE * SIDE))
    >>> shown = np.concatenate([np.repeat(one, 40, 0), np.repeat(other, 30, 0), np.repeat(one, 40, 0)])
    >>> found = scenes_of(np.arange(110) / 10, (shown + rng.normal(0, 5, shown.shape)).astype(np.float32))
    >>> found.jumps_s, found.numbers
    ((4.0, 7.0), (0, 1, 0))
    """
    length = float(seconds[-1] - seconds[0]) if len(seconds) else 0.0
    if len(seconds) < 4 or length < 2 * AROUND_S:
        return Scenes((), (0,), (length,))
    jumps = jumps_in(seconds, pictures)
    edges = [0, *jumps, len(seconds)]
    means: list[NDArray[np.float64]] = []
    numbers: list[int] = []
    spent: list[float] = []
    for first, last in pairwise(edges):
        mean = unit(_mean(pictures[first:last]))
        known = [number for number, other in enumerate(means) if float(mean @ other) >= SAME]
        if not known:
            means.append(mean)
            spent.append(0.0)
        numbers.append(known[0] if known else len(means) - 1)
        end = seconds[last] if last < len(seconds) else seconds[-1]
        spent[numbers[-1]] += float(end - seconds[first])
    kept = [index for index in range(len(jumps)) if numbers[index] != numbers[index + 1]]  # a jump within a scene is none
    times = tuple(round(float(seconds[jumps[index]]), 3) for index in kept)
    return Scenes(times, (numbers[0], *(numbers[index + 1] for index in kept)), tuple(spent))


def thumbnail(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The small grey picture (P,) of a frame (H, W, 3)."""
    import cv2

    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).ravel(), dtype=np.float32)


def jumps_in(seconds: NDArray[np.float64], pictures: NDArray[np.floating]) -> list[int]:
    """Numbers of the pictures that are the first after a jump."""
    return [jump for jump in _jumps(seconds, pictures) if _everywhere(pictures, jump, _width(seconds))]


def _jumps(seconds: NDArray[np.float64], pictures: NDArray[np.floating]) -> list[int]:
    """Numbers of the frames that are the first after a jump."""
    width = _width(seconds)
    if len(pictures) < 2 * width + 1:
        return []
    at = np.arange(width, len(pictures) - width + 1)
    parts = [_changes(pictures, at[row : row + ROWS], width) for row in range(0, len(at), ROWS)]
    loss, between = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    usual_loss, usual_between = float(np.median(loss)), float(np.median(between))
    found: list[int] = []
    for number in np.argsort(-between, kind="stable"):
        high = loss[number] > max(LEAST, BEYOND * usual_loss)
        if between[number] < max(SUDDEN * LEAST, usual_between):
            break
        sudden = between[number] - usual_between > SUDDEN * (loss[number] - usual_loss)
        if high and sudden and all(abs(int(at[number]) - other) >= width for other in found):
            found.append(int(at[number]))
    return sorted(found)


def _changes(
    pictures: NDArray[np.floating], at: NDArray[np.int64], width: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Loss of correlation across each of some successive frames, and from the frame before to it."""
    start = int(at[0]) - width
    even = standard(pictures[start : int(at[-1]) + width])
    summed = np.concatenate([np.zeros((1, even.shape[1])), np.cumsum(even, axis=0)])
    here = at - start
    before, after = summed[here] - summed[here - width], summed[here + width] - summed[here]
    return 1 - (unit(before) * unit(after)).sum(axis=1), 1 - (even[here - 1] * even[here]).sum(axis=1)


def _mean(pictures: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean of the standardised pictures."""
    if len(pictures) <= ROWS:
        return np.asarray(standard(pictures).mean(axis=0))
    sums = [standard(pictures[row : row + ROWS]).sum(axis=0) for row in range(0, len(pictures), ROWS)]
    return np.asarray(np.sum(sums, axis=0) / len(pictures))


def _width(seconds: NDArray[np.float64]) -> int:
    """Frames on either side of a jump whose pictures are averaged."""
    return max(1, round(AROUND_S / max(float(np.median(np.diff(seconds))), 1e-6)))


def _everywhere(pictures: NDArray[np.floating], jump: int, width: int) -> bool:
    """Whether most blocks of the picture show something else after frame `jump` than before it."""
    before, after = (
        _blocks(pictures[max(0, first) : last].mean(axis=0, dtype=np.float64))
        for first, last in ((jump - width, jump), (jump, jump + width))
    )
    told = np.maximum(before.std(axis=1), after.std(axis=1)) > FLAT
    alike = [unit(side - side.mean(axis=1, keepdims=True)) for side in (before, after)]
    lost = (alike[0] * alike[1]).sum(axis=1) < LOST
    return bool(told.any()) and float(lost[told].mean()) >= EVERYWHERE


def _blocks(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cells of each block: (BLOCKS², cells)."""
    edge = SIDE // BLOCKS
    return picture.reshape(BLOCKS, edge, BLOCKS, edge).transpose(0, 2, 1, 3).reshape(BLOCKS * BLOCKS, edge * edge)


def standard(pictures: NDArray[np.floating]) -> NDArray[np.float64]:
    """Pictures less their mean, of length 1."""
    pictures = pictures.astype(np.float32)
    return unit(pictures.astype(np.float64) - pictures.mean(axis=1, keepdims=True))


def unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of length 1."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12))
