"""Tracks: where each person or thing was at which time, and what follows from it: speed, direction, dwell, shape.

Units: seconds of the clip, xyxy absolute pixels, and body sizes. A body size is the longer side of the box, its upper quartile
over the four seconds around a moment, so that bending down does not shrink it; in body sizes per second people far away and
near walk equally fast (about 0.8, running from about 1.5). Angles are degrees in image coordinates: 0 right, 90 down, 180
left, 270 up. Positions are smoothed (median of three, then a Gaussian of a quarter second) before they are differentiated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import BadInput
from core.scores import Box

Interval: TypeAlias = tuple[float, float]
"""Half-open seconds [start, end)."""

LONGEST_GAP_S = 1.5
"""Unseen for longer, a track says nothing about the time between."""

SMOOTH_S, BODY_WINDOW_S = 0.25, 4.0
MOVING, STILL = 0.3, 0.15
"""Body sizes per second from which a thing moves on purpose, and below which it stands still (boxes waver by about 0.1)."""

SLIMMEST, STOUTEST, SHAPED_S = 0.25, 0.55, 1.0
"""Width / height of an upright person's box: from the shoulders alone to a stride or an elbow out; seconds of it that make a person."""

ALONG, CHANCE = 0.5, 0.01
"""Cosine of the angle to the mean way up to which one goes along with it, and how likely a way that is told may be by chance."""

DIRECTIONS = ("right", "down right", "down", "down left", "left", "up left", "up", "up right")


class Motion(NamedTuple):
    """A track on an even time grid: `times` (m,), smoothed `boxes` (m, 4), `velocity` (m, 2) in pixels/s, `body` (m,) pixels.

    `known` (m,) is False inside gaps too long to bridge.
    """

    times: NDArray[np.float64]
    boxes: NDArray[np.float64]
    velocity: NDArray[np.float64]
    body: NDArray[np.float64]
    known: NDArray[np.bool_]

    @property
    def centres(self) -> NDArray[np.float64]:
        """Centres of the boxes (m, 2)."""
        return (self.boxes[:, :2] + self.boxes[:, 2:]) / 2

    @property
    def feet(self) -> NDArray[np.float64]:
        """Middle of the boxes' lower sides (m, 2): where a person stands."""
        return np.stack([(self.boxes[:, 0] + self.boxes[:, 2]) / 2, self.boxes[:, 3]], axis=1)

    @property
    def speed(self) -> NDArray[np.float64]:
        """Speed (m,) in body sizes per second."""
        return np.asarray(np.hypot(*self.velocity.T) / self.body, np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """One person or thing: `times` (n,) ascending seconds, `boxes` (n, 4) xyxy absolute pixels, `scores` (n,) of the finder.

    Raises:
        BadInput: no time, times that do not ascend, or boxes that do not fit them or have no area.

    >>> t = np.arange(8) / 4.0
    >>> boxes = np.stack([20 * t, 0 * t, 20 * t + 10, 0 * t + 40], axis=1)
    >>> walker = Track(id=1, label="person", times=t, boxes=boxes, scores=np.ones(8))
    >>> walker.direction(), round(walker.speed_pixels(), 1), round(walker.speed_bodies(), 2), walker.duration_s
    ('right', 20.0, 0.5, 1.75)
    """

    id: int
    label: str
    times: NDArray[np.float64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        n = len(self.times)
        if n == 0 or self.boxes.shape != (n, 4) or self.scores.shape != (n,):
            raise BadInput(
                f"track {self.id}: expected times (n,), boxes (n, 4) and scores (n,) with n ≥ 1, "
                f"got {self.times.shape}, {self.boxes.shape} and {self.scores.shape}."
            )
        if not (np.isfinite(self.boxes).all() and np.isfinite(self.times).all() and (np.diff(self.times) > 0).all()):
            raise BadInput(f"track {self.id}: expected finite boxes and finite, ascending times.")
        if (self.boxes[:, 2:] <= self.boxes[:, :2]).any():
            raise BadInput(f"track {self.id}: expected boxes (x0, y0, x1, y1) with x0 < x1 and y0 < y1.")

    @property
    def start_s(self) -> float:
        """When it was first seen."""
        return float(self.times[0])

    @property
    def end_s(self) -> float:
        """When it was last seen."""
        return float(self.times[-1])

    @property
    def duration_s(self) -> float:
        """From first to last seen."""
        return self.end_s - self.start_s

    @cached_property
    def motion(self) -> Motion:
        """The track on an even grid, smoothed."""
        return _motion(self.times, self.boxes)

    def aspect(self) -> NDArray[np.float64]:
        """Width / height of the smoothed boxes at `motion.times`: about 0.4 standing, above 1 lying across the view."""
        width, height = self.motion.boxes[:, 2] - self.motion.boxes[:, 0], self.motion.boxes[:, 3] - self.motion.boxes[:, 1]
        return np.asarray(width / height, np.float64)

    def box_at(self, time_s: float) -> Box:
        """The box at `time_s`, linear between the nearest times it was seen, held at both ends."""
        x0, y0, x1, y1 = (float(np.interp(time_s, self.times, self.boxes[:, k])) for k in range(4))
        return x0, y0, x1, y1

    def speed_pixels(self) -> float:
        """Median speed in pixels per second."""
        return float(np.median(np.hypot(*self.motion.velocity.T)[self.motion.known]))

    def speed_bodies(self) -> float:
        """Median speed in body sizes per second."""
        return float(np.median(self.motion.speed[self.motion.known]))

    def usual_speed(self) -> float:
        """Median speed in body sizes per second over the time it moves; 0 when it never does."""
        speed = self.motion.speed[self.motion.known]
        return float(np.median(speed[speed > MOVING])) if (speed > MOVING).any() else 0.0

    def displacement(self, start_s: float = -np.inf, end_s: float = np.inf) -> NDArray[np.float64]:
        """Net way (2,) of the centre in pixels between two times (right, down)."""
        inside = (self.motion.times >= start_s) & (self.motion.times <= end_s)
        centres = self.motion.centres[inside]
        return np.asarray(centres[-1] - centres[0] if len(centres) else np.zeros(2), np.float64)

    def direction_degrees(self, start_s: float = -np.inf, end_s: float = np.inf) -> float | None:
        """Direction of the net way, 0 right, 90 down; None when it went less than half a body size."""
        way = self.displacement(start_s, end_s)
        if float(np.hypot(*way)) < 0.5 * float(np.median(self.motion.body)):
            return None
        return float(np.degrees(np.arctan2(way[1], way[0])) % 360)

    def direction(self, start_s: float = -np.inf, end_s: float = np.inf) -> str:
        """The net way in words: one of eight directions, or "nowhere"."""
        degrees = self.direction_degrees(start_s, end_s)
        return "nowhere" if degrees is None else DIRECTIONS[round(degrees / 45) % 8]

    def path_length(self) -> float:
        """Length of the smoothed way of the centre in pixels; gaps too long to bridge are left out."""
        steps = np.hypot(*np.diff(self.motion.centres, axis=0).T)
        return float(steps[self.motion.known[1:] & self.motion.known[:-1]].sum())

    def stationary(self, *, least_s: float = 1.0, speed: float = STILL) -> list[Interval]:
        """Stretches of at least `least_s` seconds slower than `speed` body sizes per second.

        >>> t = np.arange(20) / 4.0
        >>> x = np.minimum(t, 2.0) * 40
        >>> stops = Track(id=1, label="person", times=t, boxes=np.stack([x, 0 * t, x + 10, 0 * t + 40], 1), scores=np.ones(20))
        >>> [(round(a, 2), round(b, 2)) for a, b in stops.stationary()]
        [(2.5, 5.0)]
        """
        return intervals(self.motion.times, (self.motion.speed < speed) & self.motion.known, least_s=least_s)

    def dwell_s(self, zone: Zone, *, width: int, height: int) -> float:
        """Seconds its feet were inside `zone` of a picture of `width` × `height` pixels."""
        inside = zone.contains(self.motion.feet / (width, height)) & self.motion.known
        return float(inside.sum() * grid_step(self.motion.times))


@dataclass(frozen=True, kw_only=True)
class Zone:
    """A named area: `polygon` of at least three corners (x, y) as shares of the picture's width and height.

    Raises:
        BadInput: fewer than three corners, or corners outside [0, 1].

    >>> door = Zone(name="door", polygon=((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
    >>> door.contains([[0.2, 0.5], [0.7, 0.5]]).tolist()
    [True, False]
    """

    name: str
    polygon: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if len(self.polygon) < 3 or not all(0 <= v <= 1 for corner in self.polygon for v in corner):
            raise BadInput(f"zone {self.name!r}: expected at least three corners (x, y) in [0, 1], got {self.polygon!r}.")

    def contains(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Which of the points (n, 2), as shares of the picture, lie inside (even-odd rule)."""
        x, y = np.asarray(points, np.float64).T
        corners = np.asarray(self.polygon, np.float64)
        inside = np.zeros(len(x), bool)
        for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            if y0 != y1:
                inside ^= ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
        return inside


@dataclass(frozen=True, kw_only=True, eq=False)
class TrackSet:
    """All tracks of one clip of `width` × `height` pixels, looked at `fps` times a second in [start_s, end_s).

    `found_area` is the area of all boxes that were found, followed or not, summed over the frames (pixels); 0 when it is not known.
    """

    clip: str
    width: int
    height: int
    fps: float
    start_s: float
    end_s: float
    tracks: tuple[Track, ...]
    notes: tuple[str, ...] = ()
    found_area: float = 0.0

    def at(self, time_s: float) -> list[Track]:
        """Tracks seen at `time_s`, give or take half a step."""
        half = 0.5 / self.fps
        return [track for track in self.tracks if track.start_s - half <= time_s <= track.end_s + half]

    def ways(self) -> dict[int, NDArray[np.float64]]:
        """The direction (2,), of length 1, of each who gets a body size far, by track; a track that goes on from another is no new one."""
        found: dict[int, NDArray[np.float64]] = {}
        counted: list[Track] = []
        for track in sorted(self.tracks, key=lambda one: one.start_s):
            way, body = track.displacement(), float(np.median(track.motion.body))
            if np.hypot(*way) <= body:
                continue
            goes_on = any(
                0 < track.start_s - other.end_s < LONGEST_GAP_S
                and np.hypot(*(track.motion.feet[0] - other.motion.feet[-1])) < body
                for other in counted
            )
            counted.append(track)
            if not goes_on:
                found[track.id] = way / np.hypot(*way)
        return found

    def usual_speed(self) -> float | None:
        """How fast people usually walk here: the median over those who get a body size far; None for fewer than three."""
        walkers = [t for t in self.tracks if is_person(t) and np.hypot(*t.displacement()) > float(np.median(t.motion.body))]
        speeds = [walker.usual_speed() for walker in walkers]
        return float(np.median(speeds)) if len(speeds) >= 3 else None


def dominant_way(ways: Sequence[NDArray[np.float64]]) -> NDArray[np.float64] | None:
    """The mean of unit vectors (2,) when more go within 60° of it than a fair coin would send there; None when they do not.

    On a walkway there are two ways. That all go one of them by chance has a probability below 1 % from seven on; of fifteen, thirteen
    must agree.

    >>> right, left = np.array([1.0, 0.0]), np.array([-1.0, 0.0])
    >>> dominant_way([right] * 7), dominant_way([right] * 6), dominant_way([right] * 12 + [left] * 3)
    (array([1., 0.]), None, None)
    """
    from scipy.special import bdtrc

    mean = np.mean(ways, axis=0) if len(ways) else np.zeros(2)
    length = float(np.hypot(*mean))
    if length < 1e-9:
        return None
    agree = int((np.asarray(ways) @ mean > ALONG * length).sum())
    by_chance = float(bdtrc(agree - 1, len(ways), 0.5)) if agree else 1.0
    return np.asarray(mean / length, np.float64) if by_chance < CHANCE else None


def is_person(track: Track) -> bool:
    """True for a track named a person, or a moving thing that had the shape of an upright one for a second: who was up stays a person.

    >>> t = np.arange(30) / 6.0
    >>> height = np.where(t < 2, 40.0, 16.0)
    >>> falls = Track(id=1, label="moving", times=t, boxes=np.stack([0 * t, 40 - height, 56 - height, 0 * t + 40], 1), scores=np.ones(30))
    >>> is_person(falls)
    True
    """
    if track.label == "person":
        return True
    aspect, motion = track.aspect(), track.motion
    shaped = (aspect > SLIMMEST) & (aspect < STOUTEST) & motion.known
    return track.label == "moving" and bool(intervals(motion.times, shaped, least_s=SHAPED_S))


def grid_step(times: NDArray[np.float64]) -> float:
    """Seconds between the points of an even grid; 0 for one point."""
    return float(times[1] - times[0]) if len(times) > 1 else 0.0


def intervals(
    times: NDArray[np.float64], mask: NDArray[np.bool_], *, least_s: float = 0.0, bridge_s: float = 0.0
) -> list[Interval]:
    """Stretches [start, end) in which `mask` (m,) holds on the even grid `times` (m,); gaps up to `bridge_s` are bridged.

    >>> intervals(np.arange(6.0), np.array([0, 1, 1, 0, 1, 0], bool), least_s=2.0)
    [(1.0, 3.0)]
    """
    step = grid_step(times)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    merged: list[list[float]] = []
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        start, end = float(times[first]), float(times[last - 1]) + step
        if merged and start - merged[-1][1] <= bridge_s + 1e-9:
            merged[-1][1] = end
        else:
            merged.append([start, end])
    return [(start, end) for start, end in merged if end - start >= least_s - 1e-9]


def _motion(times: NDArray[np.float64], boxes: NDArray[np.float64]) -> Motion:
    from scipy.ndimage import gaussian_filter1d, median_filter, percentile_filter

    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    count = max(1, round((times[-1] - times[0]) / step) + 1)
    grid = times[0] + step * np.arange(count)
    even = np.stack([np.interp(grid, times, boxes[:, k]) for k in range(4)], axis=1)
    after = np.clip(np.searchsorted(times, grid + 1e-9), 1, max(len(times) - 1, 1))
    gap = np.zeros(count) if len(times) == 1 else times[after] - times[after - 1]
    known = gap <= LONGEST_GAP_S
    if count >= 3:
        even = median_filter(even, size=(3, 1), mode="nearest")
    # The size of the whole body: a bend or a cut-off box lasts less than the window.
    longer = (even[:, 2:] - even[:, :2]).max(axis=1)
    body = percentile_filter(longer, 75, size=max(1, round(BODY_WINDOW_S / step) | 1), mode="nearest")
    boxes_smooth = gaussian_filter1d(even, SMOOTH_S / step, axis=0, mode="nearest")
    if count < 2:
        return Motion(grid, boxes_smooth, np.zeros((count, 2)), body, known)
    low, high = _velocity(even[:, :2], step), _velocity(even[:, 2:], step)
    # Opposite sides of a moving body move together; a box that only grows or shrinks does not move.
    velocity = np.where(low * high > 0, np.where(np.abs(low) < np.abs(high), low, high), 0.0)
    agree = np.abs(low - high) < 0.5 * (np.abs(low) + np.abs(high))
    velocity = np.where(agree, (low + high) / 2, velocity)
    return Motion(grid, boxes_smooth, velocity, body, known)


def _velocity(positions: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Slope (m, 2) of positions (m, 2) by local straight lines over about ±0.4 s (Savitzky–Golay), true at the ends too."""
    from scipy.signal import savgol_filter

    half = max(1, round(0.4 / step))
    window = min(2 * half + 1, len(positions) if len(positions) % 2 else len(positions) - 1)
    if window < 3:
        return np.asarray(np.gradient(positions, step, axis=0), np.float64)
    return np.asarray(savgol_filter(positions, window, 1, deriv=1, delta=step, axis=0, mode="interp"), np.float64)
