"""Predicates of two tracks: approaches, recedes, contacts, separates, overlaps, too close, carries, leaves behind.

Both tracks are read on one even grid over the time they share. Distances are between centres in mean body sizes, except where
a rule says gap: from box to box, 0 when they touch. One camera does not tell depth; two people count as on the same ground
when their feet are about equally low in the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tools.video.relation_alone import Limits, entity, moments
from tools.video.relation_words import Relation
from tools.video.tracks import MOVING, STILL, Interval, Track, TrackSet, grid_step, intervals, is_person

REACH = 3.0
"""Tracks that never come closer than this many mean body sizes have nothing to do with each other."""

NEAR, CLOSED, CLOSING = 1.5, 0.2, 0.15
"""Approaching ends, receding starts, within `NEAR` body sizes; the distance changes by `CLOSED` of itself, `CLOSING` per second."""

TOUCH, SAME_GROUND, COVERED = 0.02, 0.2, 0.3
"""IoU from which boxes touch; largest difference of two people's feet in body sizes; covered share that is an overlap."""

CARRIED_AREA, CARRIED_GAP, LEFT_GAP = 0.35, 0.25, 1.0
"""A carried thing is at most this share of the carrier's area and this near; left behind it is this many body sizes away."""


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two tracks on one grid: `times` (m,), boxes (m, 4), speeds and body sizes (m,)."""

    a: Track
    b: Track
    times: NDArray[np.float64]
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    body: NDArray[np.float64]
    known: NDArray[np.bool_]

    @property
    def distance(self) -> NDArray[np.float64]:
        """Between centres, in mean body sizes (m,)."""
        way = (self.first[:, :2] + self.first[:, 2:] - self.second[:, :2] - self.second[:, 2:]) / 2
        return np.asarray(np.hypot(*way.T) / self.body, np.float64)

    @property
    def gap(self) -> NDArray[np.float64]:
        """From box to box, in mean body sizes (m,)."""
        low = np.maximum(self.first[:, :2], self.second[:, :2])
        high = np.minimum(self.first[:, 2:], self.second[:, 2:])
        return np.asarray(np.hypot(*np.clip(low - high, 0, None).T) / self.body, np.float64)

    @property
    def shared(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """IoU, and the covered share of the smaller box (m,)."""
        low = np.maximum(self.first[:, :2], self.second[:, :2])
        high = np.minimum(self.first[:, 2:], self.second[:, 2:])
        both = np.clip(high - low, 0, None).prod(axis=1)
        one = (self.first[:, 2:] - self.first[:, :2]).prod(axis=1)
        other = (self.second[:, 2:] - self.second[:, :2]).prod(axis=1)
        return both / (one + other - both), both / np.minimum(one, other)

    @property
    def level(self) -> NDArray[np.float64]:
        """Difference of the boxes' lower sides in mean body sizes (m,)."""
        return np.asarray(np.abs(self.first[:, 3] - self.second[:, 3]) / self.body, np.float64)

    def index(self, time_s: float) -> int:
        return int(np.abs(self.times - time_s).argmin())


def pairs(seen: TrackSet, limits: Limits) -> Iterator[Relation]:
    """All relations of two tracks of `seen`."""
    ordered = sorted(seen.tracks, key=lambda track: (track.start_s, track.id))
    for number, a in enumerate(ordered):
        for b in ordered[number + 1 :]:
            if b.start_s >= a.end_s:
                break
            if not (is_person(a) or is_person(b)) and "moving" in (a.label, b.label):
                continue  # two pieces of something
            pair = _pair(a, b, 1.0 / seen.fps)
            if pair is None or float(pair.distance.min()) > REACH:
                continue
            yield from _of(pair, limits)
    yield from _left_behind(seen)


def _pair(a: Track, b: Track, step: float) -> _Pair | None:
    start, end = max(a.start_s, b.start_s), min(a.end_s, b.end_s)
    if end - start < 3 * step:
        return None
    times = np.asarray(start + step * np.arange(int((end - start) / step + 1e-6) + 1), np.float64)

    def on_grid(track: Track) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        motion = track.motion
        boxes = np.stack([np.interp(times, motion.times, motion.boxes[:, k]) for k in range(4)], axis=1)
        known = motion.known[np.clip(np.searchsorted(motion.times, times - 1e-6), 0, len(motion.times) - 1)]
        return boxes, np.interp(times, motion.times, motion.body), known

    (first, size_a, known_a), (second, size_b, known_b) = on_grid(a), on_grid(b)
    # A bag is measured by its carrier, not the other way round.
    body = np.asarray((size_a + size_b) / 2 if is_person(a) == is_person(b) else size_a if is_person(a) else size_b)
    return _Pair(a, b, times, first, second, body.astype(np.float64), known_a & known_b)


def _of(pair: _Pair, limits: Limits) -> Iterator[Relation]:
    people = is_person(pair.a) and is_person(pair.b)
    touched = _touching(pair, people)
    if people:
        yield from _nearing(pair)
        if limits.near is not None:
            yield from _too_close(pair, limits.near, limits.near_s)
        iou, covered = pair.shared
        behind = (covered > COVERED) & (pair.level > SAME_GROUND) & pair.known
        for t0, t1 in intervals(pair.times, behind, least_s=0.5, bridge_s=0.3):
            yield _two(pair, "overlaps", t0, t1, _inside(pair, covered, t0, t1).max())
    else:
        yield from _carries(pair)
        touched = [] if _part_of(pair) else touched
    iou = pair.shared[0]
    for t0, t1 in touched:
        apart_before = _inside(pair, iou, t0 - 0.6, t0 - 1e-6)
        if len(apart_before) and (apart_before <= TOUCH).all():
            yield _two(pair, "contacts", t0, t1, _inside(pair, iou, t0, t1).max())
        apart_after = _inside(pair, iou, t1, t1 + 0.6)
        if len(apart_after) >= 2 and (apart_after <= TOUCH).all() and t1 - t0 >= 0.3:
            end = min(float(pair.times[-1]), t1 + 1.0)
            yield _two(pair, "separates", t1, end, pair.distance[pair.index(end)])


def _two(pair: _Pair, predicate: str, t0: float, t1: float, strength: float, *, swap: bool = False) -> Relation:
    a, b = (pair.b, pair.a) if swap else (pair.a, pair.b)
    t1 = max(t0, t1)
    return Relation(
        t0_s=t0, t1_s=t1, subject=entity(a), predicate=predicate, object=entity(b), strength=float(strength),
        boxes=moments(t0, t1, a, b),
    )  # fmt: skip


def _touching(pair: _Pair, people: bool) -> list[Interval]:
    touch = (pair.shared[0] > TOUCH) & pair.known
    if people:
        touch &= pair.level < SAME_GROUND
    return intervals(pair.times, touch, bridge_s=0.4)


def _nearing(pair: _Pair) -> Iterator[Relation]:
    """The one who moves more is the subject."""
    distance, step = pair.distance, grid_step(pair.times)
    if len(distance) < 4:
        return
    slope = np.gradient(distance, step)
    for predicate, sign in (("approaches", -1.0), ("recedes", 1.0)):
        for t0, t1 in intervals(pair.times, (sign * slope > CLOSING) & pair.known, least_s=0.6, bridge_s=0.3):
            i, j = pair.index(t0), pair.index(min(t1, float(pair.times[-1])))
            far, near = (distance[i], distance[j]) if sign < 0 else (distance[j], distance[i])
            if near < NEAR and far - near > max(CLOSED * far, 0.5):
                way_a = np.hypot(*pair.a.displacement(t0, t1)) / pair.body[i]
                way_b = np.hypot(*pair.b.displacement(t0, t1)) / pair.body[i]
                yield _two(pair, predicate, t0, float(pair.times[j]), (far - near) / far, swap=bool(way_b > way_a))


def _too_close(pair: _Pair, near: float, near_s: float) -> Iterator[Relation]:
    """Feet within `near` body sizes for `near_s` seconds; one step into the picture counts as two across."""
    across = (pair.first[:, 0] + pair.first[:, 2] - pair.second[:, 0] - pair.second[:, 2]) / 2
    into = 2.0 * (pair.first[:, 3] - pair.second[:, 3])
    apart = np.hypot(across, into) / pair.body
    for t0, t1 in intervals(pair.times, (apart < near) & pair.known, least_s=near_s, bridge_s=0.4):
        yield _two(pair, "too close", t0, t1, _inside(pair, apart, t0, t1).min())


def _part_of(pair: _Pair) -> bool:
    """True when one of the two lies inside the other most of the time: an arm, a shadow, a wheel."""
    return bool(np.median(pair.shared[1]) > 0.8)


def _carries(pair: _Pair) -> Iterator[Relation]:
    """A small thing beside a person who moves, at the same velocity, for a second."""
    swap = is_person(pair.b)
    person, thing = (pair.b, pair.a) if swap else (pair.a, pair.b)
    if _area(thing) > CARRIED_AREA * _area(person) or _part_of(pair):
        return
    step = grid_step(pair.times)
    one, other = (np.gradient((box[:, :2] + box[:, 2:]) / 2, step, axis=0) for box in (pair.first, pair.second))
    together = np.hypot(*(one - other).T) < 0.3 * pair.body
    moving = np.minimum(np.hypot(*one.T), np.hypot(*other.T)) > MOVING * pair.body
    for t0, t1 in intervals(pair.times, together & moving & (pair.gap < CARRIED_GAP) & pair.known, least_s=1.0, bridge_s=0.3):
        yield _two(pair, "carries", t0, t1, t1 - t0, swap=swap)


def _left_behind(seen: TrackSet) -> Iterator[Relation]:
    """A small thing that starts to stand still beside a person, and goes on standing there when the person is away.

    The nearest person at that moment is the one who left it; a thing that was there before the person came was not left by
    them.
    """
    step = 1.0 / seen.fps
    people = [track for track in seen.tracks if is_person(track)]
    for thing in seen.tracks:
        if thing.label != "moving" or is_person(thing):
            continue
        rests = [rest for rest in thing.stationary(least_s=2.0, speed=2 * STILL) if rest[1] > thing.end_s - 1.0]
        if not rests or len(thing.times) < 0.6 * thing.duration_s / step:
            continue
        laid = rests[-1][0]
        near: list[tuple[float, Track, float, float]] = []
        for person in people:
            if not (person.start_s <= laid - 0.3 and person.start_s < thing.start_s and _area(thing) < 0.5 * _area(person)):
                continue
            gap_then = _gap(thing, person, laid)
            later = [t for t in person.motion.times if t > laid and t <= thing.end_s]
            away = next((float(t) for t in later if _gap(thing, person, float(t)) > LEFT_GAP), None)
            if gap_then < 2 * CARRIED_GAP and away is not None and thing.end_s - away > 0.5:
                near.append((gap_then, person, away, max(_gap(thing, person, float(t)) for t in later)))
        if near:
            _, person, away, far = min(near, key=lambda one: (one[0], one[1].id))
            yield Relation(
                t0_s=laid, t1_s=away, subject=entity(person), predicate="leaves behind", object=entity(thing), strength=far,
                boxes=moments(laid, away, person, thing),
            )  # fmt: skip


def _gap(thing: Track, person: Track, time_s: float) -> float:
    """Box to box in the person's body sizes."""
    a, b = thing.box_at(time_s), person.box_at(time_s)
    body = float(np.interp(time_s, person.motion.times, person.motion.body))
    across, along = max(a[0], b[0]) - min(a[2], b[2]), max(a[1], b[1]) - min(a[3], b[3])
    return float(np.hypot(max(across, 0.0), max(along, 0.0))) / body


def _area(track: Track) -> float:
    return float(np.median((track.boxes[:, 2:] - track.boxes[:, :2]).prod(axis=1)))


def _inside(pair: _Pair, values: NDArray[np.float64], t0: float, t1: float) -> NDArray[np.float64]:
    return values[(pair.times >= t0 - 1e-9) & (pair.times < max(t1, t0 + 1e-6))]
