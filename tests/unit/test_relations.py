"""Predicates on exact tracks, with boxes that waver as real ones do."""

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import BadInput
from tools.video.relations import (
    PREDICATES,
    Entity,
    Limits,
    Relation,
    as_rows,
    as_text,
    relation_log,
    strongest,
)  # fmt: skip
from tools.video.tracks import Track, TrackSet, Zone

WIDTH, HEIGHT, FPS, SECONDS = 640, 360, 6.0, 12.0
TIMES = np.arange(int(SECONDS * FPS)) / FPS


def person(number, x, feet=300.0, *, height=100.0, width=40.0, start=0.0, end=SECONDS, noise=1.0, label="person"):
    """A track whose centre x, feet, height and width are numbers or functions of time."""
    times = TIMES[(start <= TIMES) & (end >= TIMES)]
    rng = np.random.default_rng(number)
    at = [np.array([v(t) if callable(v) else v for t in times], float) for v in (x, feet, width, height)]
    boxes = np.stack([at[0] - at[2] / 2, at[1] - at[3], at[0] + at[2] / 2, at[1]], axis=1)
    boxes = boxes + rng.normal(0, noise, boxes.shape) if noise else boxes
    return Track(id=number, label=label, times=times, boxes=boxes, scores=np.ones(len(times), np.float32))


def scene(*tracks):
    return TrackSet(clip="exact", width=WIDTH, height=HEIGHT, fps=FPS, start_s=0.0, end_s=SECONDS, tracks=tracks)


def said(log, predicate):
    return [row for row in log if row.predicate == predicate]


def test_two_approach_touch_and_separate():
    def left(t):
        return 100 + 60 * np.interp(t, [0, 3, 6, 9], [0, 3, 3, 0])

    log = relation_log(scene(person(1, left), person(2, lambda t: 500 - left(t) + 75)))
    [nearer], [touch], [apart] = said(log, "approaches"), said(log, "contacts"), said(log, "separates")
    assert 0 <= nearer.t0_s < 0.7
    assert nearer.t1_s == pytest.approx(3.0, abs=0.5)
    assert nearer.strength > 0.8
    assert touch.t0_s == pytest.approx(3.0, abs=0.5)
    assert touch.t1_s == pytest.approx(6.1, abs=0.5)
    assert apart.t0_s == pytest.approx(6.1, abs=0.5)
    assert len(said(log, "recedes")) == 1
    assert nearer.object is not None
    assert {nearer.subject.id, nearer.object.id} == {1, 2}


def test_who_passes_in_front_does_not_touch():
    log = relation_log(scene(person(1, lambda t: 60 + 50 * t, 320), person(2, 300, 260, height=80)))
    assert said(log, "contacts") == []
    [over] = said(log, "overlaps")
    assert over.t0_s == pytest.approx((300 - 30 - 60) / 50, abs=1.0)


def test_a_fall_and_what_is_none():
    falls = person(
        1, lambda t: 200 + 20 * min(t, 4.0), height=lambda t: np.interp(t, [4, 4.6], [100, 35]),
        width=lambda t: np.interp(t, [4, 4.6], [40, 100]),
    )  # fmt: skip
    [fall] = said(relation_log(scene(falls)), "falls")
    assert fall.t0_s == pytest.approx(4.0, abs=0.4)
    assert fall.t1_s < 5.6
    assert fall.strength == pytest.approx(0.33, abs=0.06)
    bends = person(1, 200, height=lambda t: np.interp(t, [4, 4.4, 4.9, 5.4], [100, 60, 60, 100]), width=60)
    sits_slowly = person(1, 200, height=lambda t: np.interp(t, [3, 7], [100, 55]))
    leaves_below = person(1, 200, lambda t: min(300 + 40 * t, 360), height=lambda t: 100 - max(0, 300 + 40 * t - 360), end=3.2)
    comes_nearer = person(1, 200, lambda t: 200 + 10 * t, height=lambda t: 60 + 8 * t, width=lambda t: 24 + 3 * t)
    for no_fall in (bends, sits_slowly, leaves_below, comes_nearer):
        assert said(relation_log(scene(no_fall)), "falls") == []


def test_pieces_of_a_clump_neither_fall_nor_run():
    rng = np.random.default_rng(0)
    tall = rng.choice([40.0, 110.0, 140.0, 45.0], size=len(TIMES))
    flicker = person(1, lambda t: 300 + rng.normal(0, 20), height=lambda t: tall[int(t * FPS)], start=1, end=3)
    log = relation_log(scene(flicker))
    assert said(log, "falls") == []
    assert said(log, "runs") == []


def test_runners_are_measured_by_the_walkers_of_the_clip():
    walkers = [person(k, lambda t, k=k: 40 + 20 * k + 40 * t, 200 + 30 * k, height=60, width=24) for k in range(1, 5)]
    far_runner = person(9, lambda t: 600 - 75 * t, 150, height=40, width=16, end=7)
    log = relation_log(scene(*walkers, far_runner))
    [run] = said(log, "runs")
    assert run.subject.id == 9
    assert run.strength == pytest.approx(75 / 40, rel=0.1)
    near_walker = person(9, lambda t: 600 - 75 * t, 355, height=120, width=48, end=7)
    assert said(relation_log(scene(*walkers, near_walker)), "runs") == []


def test_stops_accelerates_and_stays():
    def where(t):
        return 50 + 50 * min(t, 4.0) + 130 * max(0.0, t - 9.0)

    log = relation_log(scene(person(1, where, end=11.5)), limits=Limits(stay_s=4.0))
    [stop], [faster], [stay] = said(log, "stops"), said(log, "accelerates"), said(log, "stays")
    assert stop.t0_s == pytest.approx(4.0, abs=0.5)
    assert stop.t1_s == pytest.approx(9.0, abs=0.6)
    assert faster.t0_s == pytest.approx(9.0, abs=0.6)
    assert stay.t0_s < 5
    assert 8.5 < stay.t1_s < 10.5


def test_a_bag_is_carried_then_left_behind_by_its_owner():
    def owner(t):
        return 60 + 60 * min(t, 4.0) + 70 * max(0.0, t - 6.0)

    bag = person(3, lambda t: 90 + 60 * min(t, 4.0), height=30, width=24, start=1, label="moving", noise=0.3)
    other = person(2, lambda t: 600 - 20 * t, 330)
    log = relation_log(scene(person(1, owner), bag, other))
    [left] = said(log, "leaves behind")
    assert (left.subject.id, left.object) == (1, Entity(3, "moving"))
    assert 3.5 < left.t0_s < 4.8
    assert 7.0 < left.t1_s < 8.6
    [carried] = said(log, "carries")
    assert (carried.subject.id, carried.t0_s < 2) == (1, True)
    stays = relation_log(scene(person(1, lambda t: 60 + 60 * min(t, 4.0)), bag))
    assert said(stays, "leaves behind") == []


def test_zones_are_entered_left_and_stayed_in():
    door = Zone(name="door", polygon=((0.5, 0), (0.75, 0), (0.75, 1), (0.5, 1)))
    log = relation_log(scene(person(1, lambda t: 80 + 50 * t)), zones=[door], limits=Limits(stay_s=3.0))
    [enters], [leaves], [stays] = said(log, "enters zone"), said(log, "leaves zone"), said(log, "stays")
    assert enters.t0_s == pytest.approx((320 - 80) / 50, abs=0.3)
    assert leaves.t0_s == pytest.approx((480 - 80) / 50, abs=0.3)
    assert stays.object == Entity(None, "door")
    assert stays.strength == pytest.approx(3.2, abs=0.4)


def test_one_against_the_flow_and_none_where_no_way_is_the_usual_one():
    right = [person(k, lambda t, k=k: 20 * k + 40 * t, 150 + 25 * k) for k in range(1, 9)]
    against = person(9, lambda t: 600 - 40 * t, 120)
    assert {row.subject.id for row in said(relation_log(scene(*right, against)), "goes against the flow")} == {9}
    assert said(relation_log(scene(*right[:6], against)), "goes against the flow") == []  # six may agree by chance
    across = person(9, 300, lambda t: 340 - 20 * t)
    assert said(relation_log(scene(*right, across)), "goes against the flow") == []
    both = [person(k, lambda t, k=k: 300 + 40 * (-1) ** k * (t - 6), 150 + 15 * k) for k in range(1, 13)]
    assert said(relation_log(scene(*both)), "goes against the flow") == []


def test_one_walker_in_pieces_is_one_vote_for_the_way():
    pieces = [person(k, lambda t: 20 + 50 * t, height=40, width=16, start=1.5 * k, end=1.5 * k + 1.2) for k in range(8)]
    assert len(scene(*pieces).ways()) == 1
    walkers = [person(10 + k, lambda t, k=k: 20 * k + 40 * t, 150 + 25 * k) for k in range(3)]
    assert len(scene(*pieces, *walkers).ways()) == 4


def test_a_crowd_and_who_is_too_close():
    group = [person(k, 200 + 45 * k, 300 + 3 * (k % 2)) for k in range(6)]
    [crowd] = said(relation_log(scene(*group)), "in a crowd")
    assert crowd.strength >= 5
    spread = [person(k, 40 + 190 * (k % 4), 120 + 160 * (k // 4), height=60) for k in range(6)]
    assert said(relation_log(scene(*spread)), "in a crowd") == []
    assert said(relation_log(scene(*group)), "too close") == []
    close = said(relation_log(scene(*group[:2]), limits=Limits(near=0.6)), "too close")
    assert len(close) == 1
    assert close[0].strength == pytest.approx(0.45, abs=0.1)


def test_what_appears_and_disappears_and_what_was_always_there():
    log = relation_log(scene(person(1, 100, end=9.9), person(2, 400, start=3, end=8)), limits=Limits(stay_s=20))
    assert [(row.predicate, row.subject.id, round(row.t0_s)) for row in log] == [
        ("appears", 2, 3),
        ("disappears", 2, 8),
        ("disappears", 1, 10),
    ]


def test_near_and_far_count_alike():
    def log(scale):
        falls = person(
            1, lambda t: scale * (200 + 20 * min(t, 4.0)), 100 + 200 * scale, noise=0.5 * scale,
            height=lambda t: scale * np.interp(t, [4, 4.6], [100, 35]), width=lambda t: scale * np.interp(t, [4, 4.6], [40, 100]),
        )  # fmt: skip
        return [(row.predicate, round(row.t0_s, 1), round(row.strength, 1)) for row in relation_log(scene(falls))]

    assert log(1.0) == log(0.5)


def test_the_text_and_the_rows_say_the_same():
    log = relation_log(scene(person(1, lambda t: 80 + 50 * t), person(2, 400, start=3, end=8)))
    lines, rows = as_text(log).splitlines(), as_rows(log)
    assert len(lines) == len(rows) == len(log)
    assert lines[0].startswith("00:")
    assert json.loads(json.dumps(rows)) == rows
    assert set(rows[0]) == {"t0", "t1", "subject", "predicate", "object", "strength", "boxes"}
    assert as_text(strongest(log, most=1)) in lines


def test_bad_values_are_refused():
    with pytest.raises(BadInput, match="stay_s"):
        Limits(stay_s=0)
    with pytest.raises(BadInput, match="predicate among"):
        Relation(t0_s=0, t1_s=1, subject=Entity(1, "person"), predicate="flies", strength=1)
    with pytest.raises(BadInput, match="t0 ≤ t1"):
        Relation(t0_s=2, t1_s=1, subject=Entity(1, "person"), predicate="falls", strength=1)


ways = st.lists(
    st.tuples(st.floats(50, 590), st.floats(-60, 60), st.floats(120, 350), st.floats(0, 4), st.floats(1, 7)),
    min_size=0,
    max_size=5,
)


@settings(max_examples=30, deadline=None)
@given(ways)
@example([(50.0, 0.0, 120.0, 0.0, 1.0)] * 5)  # five in one place: the first of equals is the subject
def test_the_log_is_in_order_true_to_its_tracks_and_mirrors(drawn):
    tracks = [
        person(k, lambda t, x=x, v=v: x + v * t, feet, height=80, width=30, start=start, end=start + length)
        for k, (x, v, feet, start, length) in enumerate(drawn, start=1)
    ]
    log = relation_log(scene(*tracks))
    times = [(row.t0_s, row.t1_s) for row in log]
    assert times == sorted(times)
    by_id = {track.id: track for track in tracks}
    for row in log:
        assert row.predicate in PREDICATES
        assert np.isfinite(row.strength)
        assert 0 <= row.t0_s <= row.t1_s <= SECONDS + 0.5
        for box in row.boxes:
            assert box.box == by_id[box.id].box_at(box.time_s)
    mirrored = [
        Track(
            id=track.id, label=track.label, times=track.times, scores=track.scores,
            boxes=np.stack([WIDTH - track.boxes[:, 2], track.boxes[:, 1], WIDTH - track.boxes[:, 0], track.boxes[:, 3]], 1),
        )
        for track in tracks
    ]  # fmt: skip
    assert as_text(relation_log(scene(*mirrored))) == as_text(log)
    assert as_text(relation_log(scene(*reversed(tracks)))) == as_text(log)


def test_who_falls_with_a_leg_in_the_air_falls_and_what_fades_does_not():
    flat = person(
        1, 200, height=lambda t: np.interp(t, [4, 4.6], [100, 70]), width=lambda t: np.interp(t, [4, 4.6], [40, 78]),
        feet=lambda t: np.interp(t, [4, 4.6], [300, 330]),
    )  # fmt: skip
    [fall] = said(relation_log(scene(flat)), "falls")
    assert fall.strength == pytest.approx(0.45, abs=0.08)
    fades = person(
        1, 200, height=lambda t: np.interp(t, [4, 5], [100, 25]), width=lambda t: np.interp(t, [4, 5], [40, 14]), end=8
    )
    assert said(relation_log(scene(fades)), "falls") == []


def test_a_car_that_drives_towards_the_camera_does_not_fall():
    car = person(
        1, lambda t: 100 + 10 * t, lambda t: 120 + 60 * np.clip(t - 4, 0, 3), label="moving",
        height=lambda t: np.interp(t, [4, 5.5], [50, 60]), width=lambda t: np.interp(t, [4, 5.5], [38, 90]),
    )  # fmt: skip
    assert said(relation_log(scene(car)), "falls") == []
