"""Scenes of a stream: that the camera jumped, told soon after, and whether the new scene was seen before.

The test is that of `tools.video.scenes`, on the small pictures of the last seconds instead of a whole video: what is usual is what was
usual lately. A jump is known when half a second of what follows it was seen. Each of the last scenes keeps the mean of its pictures, so
that a camera that tours several places is recognised when it comes back; the scene seen longest ago is forgotten.

Cost: a correlation per frame; the full test, on WINDOW pictures, only while two successive frames differ enough. Memory is fixed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.samples import Frame
from tools.video.scenes import AROUND_S, BLURRED_S, LEAST, SAME, SUDDEN, jumps_in, standard, thumbnail, unit

WINDOW = 256
"""Pictures looked at: about 20 s at the rate at which frames are looked at."""
MOST_SCENES = 4
"""Scenes that are remembered."""
STEADY = 1000
"""A scene's mean follows slow changes of the light: a picture counts at least 1 / STEADY."""


@dataclass(frozen=True, kw_only=True)
class Jump:
    """The picture jumped at `time_s`; from then on scene `scene` is shown, which was `known` or not."""

    time_s: float
    scene: int
    known: bool


@dataclass(eq=False)
class _Mean:
    value: NDArray[np.float64]
    count: int = 1

    def add(self, picture: NDArray[np.float64]) -> None:
        self.count += 1
        self.value = self.value + (picture - self.value) / min(self.count, STEADY)


class LiveScenes:
    """Follows the scenes of a stream.

    >>> rng = np.random.default_rng(0)
    >>> one, other = (np.kron(rng.integers(0, 255, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in range(2))
    >>> scenes = LiveScenes()
    >>> for number in range(90):
    ...     jump = scenes.add(Frame(number, number / 10, one if number < 40 or number >= 70 else other))
    ...     if jump is not None:
    ...         print(number / 10, jump)
    4.4 Jump(time_s=4.0, scene=1, known=False)
    7.4 Jump(time_s=7.0, scene=0, known=True)
    """

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=WINDOW)
        self._pictures: deque[NDArray[np.float32]] = deque(maxlen=WINDOW)
        self._fresh: deque[tuple[float, NDArray[np.float64]]] = deque()
        self._last: NDArray[np.float64] | None = None
        self._sudden_s = -float("inf")
        self._means: dict[int, _Mean] = {}
        self._count = 0
        self._jumps: deque[Jump] = deque(maxlen=16)
        self._before_first = 0
        self.scene = 0
        """The scene that is shown."""

    @property
    def known(self) -> frozenset[int]:
        """The scenes that are remembered."""
        return frozenset(self._means) | {self.scene}

    def add(self, frame: Frame) -> Jump | None:
        """Look at a frame; the jump that became known by it, if any."""
        picture = thumbnail(frame.rgb)
        even = standard(picture[None])[0]
        if self._last is not None and 1 - float(self._last @ even) >= SUDDEN * LEAST:
            self._sudden_s = frame.time_s
        self._last = even
        self._seconds.append(frame.time_s)
        self._pictures.append(picture)
        self._fresh.append((frame.time_s, even))
        jump = self._look(frame.time_s)
        self._absorb(frame.time_s)
        return jump

    def scene_at(self, time_s: float) -> int:
        """The scene shown at a time not long ago."""
        scene = self._before_first
        for jump in self._jumps:
            if jump.time_s <= time_s:
                scene = jump.scene
        return scene

    def near(self, time_s: float) -> bool:
        """Whether a time is so near to a jump that its motion is the jump's."""
        return any(abs(time_s - jump.time_s) < BLURRED_S for jump in self._jumps)

    def _look(self, now_s: float) -> Jump | None:
        seconds = np.asarray(self._seconds)
        pace_s = float(np.median(np.diff(seconds))) if len(seconds) > 1 else AROUND_S
        if now_s - self._sudden_s > AROUND_S + 3 * pace_s or len(seconds) < 4:
            return None
        pictures = np.stack(self._pictures)
        even = standard(pictures)
        done_s = self._jumps[-1].time_s if self._jumps else -float("inf")
        for index in jumps_in(seconds, pictures):
            if seconds[index] <= done_s + max(AROUND_S, pace_s) / 2:
                continue
            return self._jumped(float(seconds[index]), unit(even[index:].mean(axis=0)))
        return None

    def _jumped(self, time_s: float, after: NDArray[np.float64]) -> Jump | None:
        """Name the scene that is shown after a jump; None when it is the same one (something passed)."""
        self._absorb(time_s, all_before=True)
        alike = {number: float(unit(mean.value) @ after) for number, mean in self._means.items()}
        best = max(alike, key=lambda number: alike[number], default=None)
        known = best is not None and alike[best] >= SAME
        if known and best == self.scene:
            self._sudden_s = -float("inf")
            return None
        if len(self._jumps) == self._jumps.maxlen:
            self._before_first = self._jumps[0].scene
        if known and best is not None:
            self.scene = best
        else:
            self._count += 1
            self.scene = self._count
        jump = Jump(time_s=time_s, scene=self.scene, known=known)
        self._jumps.append(jump)
        while len(self._seconds) and self._seconds[0] < time_s:  # the next jump is one from this scene
            self._seconds.popleft()
            self._pictures.popleft()
        return jump

    def _absorb(self, now_s: float, *, all_before: bool = False) -> None:
        """Let pictures that cannot be those after a jump any more count for the scene's mean."""
        while self._fresh and (self._fresh[0][0] < now_s if all_before else self._fresh[0][0] < now_s - 2 * AROUND_S):
            _, even = self._fresh.popleft()
            mean = self._means.pop(self.scene, None)
            if mean is None:
                mean = _Mean(even)
            else:
                mean.add(even)
            self._means[self.scene] = mean  # the scene seen last is the last to be forgotten
            while len(self._means) > MOST_SCENES:
                del self._means[next(iter(self._means))]
