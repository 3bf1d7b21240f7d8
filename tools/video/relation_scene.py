"""Predicates that need the scene: enters zone, leaves zone, stays in a zone, goes against the flow, in a crowd."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tools.video.relation_alone import Limits, entity, moments
from tools.video.relation_words import Entity, Relation
from tools.video.tracks import MOVING, Track, TrackSet, Zone, dominant_way, intervals, is_person

SETTLED_S = 0.4
"""Seconds inside or outside before a zone counts as entered or left: feet at the border waver."""

AGAINST = 120.0
"""Degrees off the way that most others go, from which one goes against them."""


def scene(seen: TrackSet, zones: Sequence[Zone], limits: Limits) -> Iterator[Relation]:
    """All relations of tracks to zones, to the flow and to the crowd."""
    for track in seen.tracks:
        for zone in zones:
            yield from _zone(seen, track, zone, limits)
    yield from _flow(seen)
    yield from _crowd(seen, limits)


def _zone(seen: TrackSet, track: Track, zone: Zone, limits: Limits) -> Iterator[Relation]:
    motion = track.motion
    inside = zone.contains(motion.feet / (seen.width, seen.height)) & motion.known
    what = Entity(None, zone.name)
    for t0, t1 in intervals(motion.times, inside, least_s=SETTLED_S, bridge_s=SETTLED_S):
        seconds = t1 - t0
        if t0 - track.start_s >= SETTLED_S:
            yield Relation(
                t0_s=t0, t1_s=t0, subject=entity(track), predicate="enters zone", object=what, strength=seconds,
                boxes=moments(t0, t0, track),
            )  # fmt: skip
        if track.end_s - t1 >= SETTLED_S:
            yield Relation(
                t0_s=t1, t1_s=t1, subject=entity(track), predicate="leaves zone", object=what, strength=seconds,
                boxes=moments(t1, t1, track),
            )  # fmt: skip
        if seconds >= limits.stay_s:
            yield Relation(
                t0_s=t0, t1_s=t1, subject=entity(track), predicate="stays", object=what, strength=seconds,
                boxes=moments(t0, t1, track),
            )  # fmt: skip


def _flow(seen: TrackSet) -> Iterator[Relation]:
    """Moves for a second, and by a body size, 120° or more off the way that most others go (`dominant_way`)."""
    ways = seen.ways()
    for track in seen.tracks:
        flow = dominant_way([way for number, way in ways.items() if number != track.id])
        if flow is None:
            continue
        motion = track.motion
        cosine = motion.velocity @ flow / np.maximum(np.hypot(*motion.velocity.T), 1e-9)
        against = (cosine < np.cos(np.radians(AGAINST))) & (motion.speed > MOVING) & motion.known
        for t0, t1 in intervals(motion.times, against, least_s=1.0, bridge_s=0.4):
            way = track.displacement(t0, t1)
            if np.hypot(*way) > float(np.median(motion.body)):
                angle = np.degrees(np.arccos(np.clip(way @ flow / np.hypot(*way), -1, 1)))
                yield Relation(
                    t0_s=t0, t1_s=t1, subject=entity(track), predicate="goes against the flow", strength=float(angle),
                    boxes=moments(t0, t1, track),
                )  # fmt: skip


def _crowd(seen: TrackSet, limits: Limits) -> Iterator[Relation]:
    """At least `crowd` people within `crowd_radius` body sizes of one of them; the one with most around is the subject."""
    people = sorted((track for track in seen.tracks if is_person(track)), key=lambda track: track.id)
    if len(people) < limits.crowd:
        return
    times = seen.start_s + np.arange(int((seen.end_s - seen.start_s) * seen.fps) + 1) / seen.fps
    most, centre = np.zeros(len(times), np.int64), np.zeros(len(times), np.int64)
    feet = np.full((len(people), len(times), 3), np.nan)
    for row, track in enumerate(people):
        motion = track.motion
        alive = (times >= track.start_s - 1e-6) & (times <= track.end_s + 1e-6)
        for k, values in enumerate((motion.feet[:, 0], motion.feet[:, 1], motion.body)):
            feet[row, alive, k] = np.interp(times[alive], motion.times, values)
    for row in range(len(people)):
        body = feet[row, :, 2]
        # One step into the picture counts as two across, as in "too close".
        apart = np.hypot(feet[:, :, 0] - feet[row, :, 0], 2.0 * (feet[:, :, 1] - feet[row, :, 1])) / body
        count = (apart < limits.crowd_radius).sum(axis=0)
        better = count > most
        most[better], centre[better] = count[better], row
    for t0, t1 in intervals(times, most >= limits.crowd, least_s=1.0, bridge_s=0.5):
        inside = np.flatnonzero((times >= t0 - 1e-9) & (times < t1))
        peak = int(inside[np.argmax(most[inside])])
        track = people[int(centre[peak])]
        yield Relation(
            t0_s=t0, t1_s=t1, subject=entity(track), predicate="in a crowd", strength=float(most[peak]),
            boxes=moments(float(times[peak]), float(times[peak]), track),
        )  # fmt: skip
