"""Predicates of one track: appears, disappears, falls, accelerates, stops, runs, stays.

Each rule says in its docstring what it takes; numbers are in body sizes, so near and far count alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from tools.video.relation_words import Entity, Relation, TimedBox
from tools.video.tracks import MOVING, STILL, Track, TrackSet, grid_step, intervals, is_person


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a person may set; everything else is part of a predicate's meaning.

    Args:
        stay_s: seconds in one place or zone from which "stays" is said.
        near: distance in body sizes below which two people are "too close" after `near_s` seconds; None: it is not told, since
            people who know each other stand that close all the time.
        crowd, crowd_radius: people within so many body sizes that make a crowd.
        run: speed in body sizes per second that is running when the clip does not show how fast people walk here.
        run_factor: how many times the clip's usual walking speed is running (never below three quarters of `run`).

    Raises:
        BadInput: a number that is not positive.
    """

    stay_s: float = 10.0
    near: float | None = None
    near_s: float = 2.0
    crowd: int = 5
    crowd_radius: float = 2.0
    run: float = 1.6
    run_factor: float = 2.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not value > 0:
                raise BadInput(f"relations: expected {name} > 0, got {value!r}.")


UPRIGHT, WIDE, LYING = 0.8, 0.9, 1.2
"""Width / height below which a body is upright, from which it may be down, and above which it lies across the view."""

SHRUNK, DROP, LANDED, DEEPEST, FALL_S, LIE_S = 0.6, 0.25, 0.4, 0.9, 2.0, 0.8
"""A fall: height below this share of the upright one, centre lower by this share of it, within so many seconds, and then down for
so long (shorter only when the track or the clip ends). The centre of who stands is half a body above the ground, on a bed a little
more, and of who lies a tenth: whose centre sank by `LANDED` and who is as wide as high is down even with a leg in the air; what sinks
deeper than `DEEPEST` drives towards the camera."""

FADED = 0.8
"""A body that falls does not become narrower than this share of its width."""

EDGE_S, TELL_S = 0.6, 1.0
"""What is there in the first or last moments of the clip neither appears nor disappears; nor does what is seen more briefly."""

STEADY = 1.5
"""Within a person's walk or stand the box height changes by less than this factor; pieces of clumps flicker more."""


def entity(track: Track) -> Entity:
    """The track as the log names it."""
    return Entity(track.id, "person" if is_person(track) else track.label)


def moments(t0: float, t1: float, *tracks: Track) -> tuple[TimedBox, ...]:
    """Where the tracks were at the start, middle and end."""
    at = [t0] if t1 <= t0 else [t0, (t0 + t1) / 2, t1]
    return tuple(TimedBox(t, track.id, track.box_at(t)) for t in at for track in tracks)


def alone(seen: TrackSet, track: Track, limits: Limits) -> Iterator[Relation]:
    """All relations of one track of `seen`."""
    yield from _coming_and_going(seen, track)
    if len(track.motion.times) < 4:
        return
    yield from _falls(seen, track)
    yield from _speeds(track)
    if is_person(track):
        yield from _runs(seen, track, limits)
    yield from _stays(track, limits)


def _one(track: Track, predicate: str, t0: float, t1: float, strength: float) -> Relation:
    return Relation(
        t0_s=t0, t1_s=t1, subject=entity(track), predicate=predicate, strength=float(strength), boxes=moments(t0, t1, track)
    )


def _coming_and_going(seen: TrackSet, track: Track) -> Iterator[Relation]:
    if track.duration_s < TELL_S:
        return
    if track.start_s > seen.start_s + EDGE_S:
        yield _one(track, "appears", track.start_s, track.start_s, track.scores[0])
    if track.end_s < seen.end_s - EDGE_S - 1.0 / seen.fps:
        yield _one(track, "disappears", track.end_s, track.end_s, track.scores[-1])


def _falls(seen: TrackSet, track: Track) -> Iterator[Relation]:
    """Upright, then within two seconds low or lying, the centre down by a quarter of the upright height, and not up again soon.

    A body that leaves the picture downwards only shrinks; at the lower border it must also have become wider. What becomes much narrower
    and lower at once fades into the background.
    """
    motion, aspect = track.motion, track.aspect()
    step = grid_step(motion.times)
    height, width = motion.boxes[:, 3] - motion.boxes[:, 1], motion.boxes[:, 2] - motion.boxes[:, 0]
    middle = motion.centres[:, 1]
    upright = (aspect < UPRIGHT) & motion.known
    back, ahead = max(2, round(FALL_S / step)), max(1, round(LIE_S / step))
    free_from = 0
    for now in range(2, len(height)):
        before = np.arange(max(free_from, now - back), now)
        before = before[upright[before]]
        if len(before) < 2 or not motion.known[now]:
            continue
        # The latest upright moments tell the height: a person who comes nearer grows over time.
        tall = float(np.quantile(height[before], 0.75))
        standing = before[height[before] > 0.8 * tall]
        if not _stood(track, motion.times[standing], tall):
            continue
        drop = (middle[now] - float(np.median(middle[standing]))) / tall
        low = height[now] < SHRUNK * tall or aspect[now] > LYING or (drop > LANDED and aspect[now] > WIDE)
        if not low or drop < DROP or tall < 0.08 * seen.height:
            continue
        after = slice(now, now + ahead)
        wider = float(np.median(width[after]) / np.median(width[standing]))
        if wider < FADED or (motion.boxes[now, 3] > 0.985 * seen.height and wider < 1.3):
            continue
        down = (height[after] < 0.75 * tall) | (aspect[after] > WIDE)
        if not down.all() or len(down) < min(ahead, 3):
            continue
        settled = now + int(np.argmax(middle[after]))
        deepest = (middle[settled] - float(np.median(middle[standing]))) / tall
        if deepest > DEEPEST:
            continue
        yield _one(track, "falls", float(motion.times[standing[-1]]), float(motion.times[settled]) + step, deepest)
        free_from = now + ahead
        if not upright[free_from:].any():
            return


def _stood(track: Track, times: NDArray[np.float64], tall: float) -> bool:
    """True when the boxes as they were seen, not only the smoothed ones, were about `tall` most of the time."""
    if not len(times) or times[-1] - times[0] < 0.3:
        return False
    seen = (track.times >= times[0] - 1e-6) & (track.times <= times[-1] + 1e-6)
    raw = track.boxes[seen, 3] - track.boxes[seen, 1]
    alike = (raw > tall / STEADY) & (raw < tall * STEADY)
    return bool(alike.sum() >= max(3, 0.7 * len(raw)))


def _steady(track: Track, t0: float, t1: float) -> bool:
    seen = (track.times >= t0 - 1e-6) & (track.times <= t1 + 1e-6)
    raw = track.boxes[seen, 3] - track.boxes[seen, 1]
    return bool(len(raw) >= 3 and np.quantile(raw, 0.9) < STEADY * np.quantile(raw, 0.1))


def _speeds(track: Track) -> Iterator[Relation]:
    """Accelerates: twice its own usual speed for 0.4 s. Stops: below a fifth of it for a second, after moving for half a one."""
    motion, usual = track.motion, track.usual_speed()
    if usual == 0 or track.duration_s < 1.5:
        return
    speed = motion.speed
    fast = (speed > max(2.0 * usual, 2 * MOVING)) & motion.known
    for t0, t1 in intervals(motion.times, fast, least_s=0.4, bridge_s=0.2):
        yield _one(track, "accelerates", t0, t1, _during(motion.times, speed, t0, t1).max() / usual)
    still = (speed < max(0.2 * usual, STILL)) & motion.known
    moves = intervals(motion.times, (speed > MOVING) & motion.known, least_s=0.5)
    for t0, t1 in intervals(motion.times, still, least_s=1.0, bridge_s=0.4):
        coming = [way for way in moves if 0 <= t0 - way[1] < 1.0]
        if coming and np.hypot(*track.displacement(*coming[-1])) > 0.5 * float(np.median(motion.body)):
            yield _one(track, "stops", t0, t1, _during(motion.times, speed, *coming[-1]).mean())


def _runs(seen: TrackSet, track: Track, limits: Limits) -> Iterator[Relation]:
    """Faster than the clip's own people usually are, for half a second, most of the way straight on."""
    usual = seen.usual_speed()
    least = limits.run if usual is None else max(0.75 * limits.run, limits.run_factor * usual)
    motion = track.motion
    for t0, t1 in intervals(motion.times, (motion.speed > least) & motion.known, least_s=0.5, bridge_s=0.2):
        inside = (motion.times >= t0 - 1e-9) & (motion.times < t1)
        steps = np.diff(motion.centres[inside], axis=0)
        way, straight = float(np.hypot(*steps.T).sum()), float(np.hypot(*steps.sum(axis=0)))
        if straight > 0.7 * way and straight > 0.6 * float(np.median(motion.body[inside])) and _steady(track, t0, t1):
            yield _one(track, "runs", t0, t1, np.median(motion.speed[inside]))


def _stays(track: Track, limits: Limits) -> Iterator[Relation]:
    """Never farther than half a body size from the middle of where it has been since, for `stay_s` seconds."""
    motion = track.motion
    if track.duration_s < limits.stay_s:
        return
    start, total = 0, np.zeros(2)
    for now in range(len(motion.times) + 1):
        ended = now == len(motion.times)
        if not ended and now > start:
            away = np.hypot(*(motion.centres[now] - total / (now - start)))
            ended = bool(away > 0.5 * motion.body[now] or not motion.known[now])
        if ended:
            t0, t1 = float(motion.times[start]), float(motion.times[now - 1])
            if t1 - t0 >= limits.stay_s:
                yield _one(track, "stays", t0, t1, t1 - t0)
            start, total = now, np.zeros(2)
        if now < len(motion.times):
            total = total + motion.centres[now]


def _during(times: NDArray[np.float64], values: NDArray[np.float64], t0: float, t1: float) -> NDArray[np.float64]:
    inside = (times >= t0 - 1e-9) & (times < t1)
    return values[inside] if inside.any() else values[np.abs(times - t0).argmin()][None]
