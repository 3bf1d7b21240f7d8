"""Does a video play the same footage again? Then its moments must not be compared with their own copies.

A recording that is played in a loop shows every event once a round, so a comparison of the video with itself explains each event by
its copy. Copies are found in small grey pictures of the frames, less their running mean over two seconds: what is left is what moves.
Two moments of one scene have unlike movements, so the correlation of a video with itself, shifted by some seconds, is near zero; at
the length of a round it is near one, for what people do is never equal to the pixel, and only copies are. Machines that repeat a
movement exactly under a fixed light may pass for copies; then nothing is lost but the comparison of one cycle with the next.

Cost: one small picture per decoded frame, then Fourier transforms, T log T in the frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.samples import Frame
from tools.video.scenes import Scenes, scenes_of, thumbnail

RUNNING_S = 2.0
"""Length of the running mean that is taken off."""
LEAST_S = 2.0
"""The shortest round, and the shortest stretch of two rounds that must agree."""
COPY = 0.8
"""Least correlation of copies. Loops of real clips, encoded again, reach 0.93 and more; footage that is no loop stayed below 0.2."""
BLOCK, ROWS = 48, 4096
"""Columns that are transformed, and pictures that are worked on in double precision, at once: memory for hours of video."""


@dataclass(eq=False)
class Thumbnails:
    """Small grey pictures of the frames that pass by, with their times; none nearer than `least_s` to the one kept before."""

    least_s: float = 0.0
    seconds: list[float] = field(default_factory=list)
    pictures: list[NDArray[np.float16]] = field(default_factory=list)

    def watch(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The same frames; each leaves its small picture here."""
        latest = -np.inf
        for frame in frames:
            if self.least_s and abs(frame.time_s - latest) < self.least_s - 1e-9:
                yield frame
                continue
            latest = frame.time_s
            self.pictures.append(thumbnail(frame.rgb).astype(np.float16))  # an hour of 25 pictures a second is 100 MB
            self.seconds.append(frame.time_s)
            yield frame

    def scenes(self) -> Scenes:
        """The scenes between which the video jumps."""
        return scenes_of(*self._in_order())

    def _in_order(self) -> tuple[NDArray[np.float64], NDArray[np.float16]]:
        """Times and pictures in order, each time once: a long video is not read from its beginning to its end."""
        if not self.pictures:
            return np.zeros(0), np.zeros((0, 1), np.float16)
        seconds = np.asarray(self.seconds)
        if (np.diff(seconds) >= 0).all():
            return seconds, np.stack(self.pictures)
        seconds, first = np.unique(seconds, return_index=True)
        return seconds, np.stack([self.pictures[index] for index in first])

    def round_s(self) -> float | None:
        """Length of the round in seconds when the frames repeat themselves, else None."""
        if len(self.seconds) < 4:
            return None
        seconds, pictures = self._in_order()
        step_s = float(np.median(np.diff(seconds)))
        if step_s <= 0 or seconds[-1] - seconds[0] < 2 * LEAST_S:
            return None
        clock = np.arange(seconds[0], seconds[-1] + step_s / 2, step_s)  # frames of a variable rate come at odd times
        nearest = np.searchsorted(seconds, clock - step_s / 2).clip(0, len(seconds) - 1)
        lag = round_of(pictures[nearest].astype(np.float32), step_s=step_s)
        return None if lag is None else lag * step_s


def round_of(pictures: NDArray[np.float32], *, step_s: float) -> int | None:
    """After how many pictures (T, P), `step_s` seconds apart, the same ones come again; None when they do not.

    >>> once = np.random.default_rng(0).normal(size=(50, 30)).astype(np.float32)
    >>> round_of(np.concatenate([once, once, once[:20]]), step_s=0.1), round_of(once, step_s=0.1)
    (50, None)
    """
    least = max(1, round(LEAST_S / step_s))
    if len(pictures) < 2 * least:
        return None
    agreement = self_correlation(_moving(pictures, max(3, round(RUNNING_S / step_s))))[: len(pictures) - least + 1]
    agreement[:least] = 0.0
    if agreement.max() < COPY:
        return None
    # Every multiple of a round agrees as well: the first that does nearly as well as the best is the round.
    first = int(np.flatnonzero(agreement > max(COPY, 0.9 * agreement.max()))[0])
    return first + int(np.argmax(agreement[first : first + least]))


def self_correlation(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Correlation (T,) of vectors (T, P) with themselves, 0 to T − 1 steps later, over the steps that overlap.

    >>> self_correlation(np.array([[1.0], [-1.0], [1.0], [-1.0]], np.float32)).round(2).tolist()
    [1.0, -1.0, 1.0, -1.0]
    """
    from scipy.fft import irfft, next_fast_len, rfft

    count = len(vectors)
    size = next_fast_len(2 * count, real=True)
    power = np.zeros(size // 2 + 1)
    for start in range(0, vectors.shape[1], BLOCK):
        spectrum = rfft(vectors[:, start : start + BLOCK], n=size, axis=0)
        power += (spectrum.real**2 + spectrum.imag**2).sum(axis=1)
    products = irfft(power, n=size)[:count]
    squares = [(vectors[row : row + ROWS].astype(np.float64) ** 2).sum(axis=1) for row in range(0, count, ROWS)]
    energy = np.concatenate([[0.0], np.cumsum(np.concatenate(squares))])
    head, tail = energy[count - np.arange(count)], energy[count] - energy[np.arange(count)]
    return np.asarray(products / np.maximum(np.sqrt(head * tail), 1e-6 * max(energy[count], 1e-12)))


def _moving(pictures: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """What differs from the running mean over `width` pictures; lively frames count alike, still ones (T, P) by what moves in them."""
    from scipy.ndimage import uniform_filter1d

    rest = uniform_filter1d(pictures, width, axis=0, mode="nearest")
    np.subtract(pictures, rest, out=rest)
    length = np.concatenate([np.linalg.norm(rest[row : row + ROWS], axis=1) for row in range(0, len(rest), ROWS)])
    usual = float(np.median(length))
    rest /= np.maximum(length, max(usual, 1e-6))[:, None]
    return np.asarray(rest, dtype=np.float32)
