"""How well people were followed: shares on exact tracks, and the rendered scenes on which the limits were set."""

import sys
from pathlib import Path

import numpy as np
import pytest

from agent.rules.conditions import MotionCondition
from agent.rules.doubts import doubts
from tools.video.following import following
from tools.video.relations import relation_log
from tools.video.track_finder import find_tracks
from tools.video.tracks import Track, TrackSet, dominant_way, is_person

sys.path.insert(0, str(Path(__file__).parent))
from rendered_scenes import BLUE, RED, crowded, render, walker

FPS, SECONDS = 6.0, 6.0
TIMES = np.arange(int(SECONDS * FPS)) / FPS
FALLS, RUNS, WRONG = (MotionCondition(predicate=p, subject="person") for p in ("falls", "runs", "goes the wrong way"))


def person(number, x, *, feet=300.0, height=100.0, width=40.0, start=0.0, end=SECONDS, label="person"):
    times = TIMES[(start <= TIMES) & (end >= TIMES)]
    at = [np.array([v(t) if callable(v) else v for t in times], float) for v in (x, feet, width, height)]
    boxes = np.stack([at[0] - at[2] / 2, at[1] - at[3], at[0] + at[2] / 2, at[1]], axis=1)
    return Track(id=number, label=label, times=times, boxes=boxes, scores=np.ones(len(times), np.float32))


def scene(*tracks, found_area=0.0, notes=()):
    return TrackSet(
        clip="exact.mp4",
        width=640,
        height=360,
        fps=FPS,
        start_s=0.0,
        end_s=SECONDS,
        tracks=tracks,
        notes=notes,
        found_area=found_area,
    )


def reasons(condition, seen):
    return [doubt.reason for doubt in doubts(condition, following(seen), sample=seen.clip)]


def test_one_who_walks_alone_was_followed_and_an_empty_picture_proves_something_too():
    seen = following(scene(person(1, lambda t: 100 + 40 * t)))
    assert (seen.people.kept, seen.people.apart, seen.people.smallest) == (1, 1, 100)
    assert doubts(FALLS, seen, sample="a") == doubts(RUNS, seen, sample="a") == []
    assert reasons(FALLS, scene()) == []


def test_every_doubt_names_a_command():
    lost, unsteady = scene(person(1, 100), found_area=1e7), scene(person(1, 100), notes=("the camera moves",))
    lying = scene(person(1, 100, height=30.0, width=100.0, label="moving"))
    small, pair = scene(person(1, 100, height=20.0, width=8.0)), scene(person(1, 100), person(2, 150))
    for condition, seen, why in (
        (FALLS, lost, "Only"), (RUNS, unsteady, "camera or the light"), (FALLS, lying, "upright"), (FALLS, small, "20 pixels high"),
        (RUNS, pair, "too close"), (WRONG, scene(person(1, 100)), "Which way is the wrong one"),
    ):  # fmt: skip
        found = doubts(condition, following(seen), sample=seen.clip)
        assert [doubt for doubt in found if why in doubt.reason]
        assert all("telltale models pull" in doubt.what_would_help for doubt in found)


def test_a_doubt_on_who_is_who_is_none_on_who_is_there():
    pair = following(scene(person(1, 100), person(2, 150)))
    assert doubts(MotionCondition(predicate="enters", subject="person", zone="door"), pair, sample="a") == []
    assert doubts(RUNS, pair, sample="a")


def test_a_person_lost_beside_another_is_in_it_from_then_on_and_one_who_comes_out_was_in_it_before():
    lost = following(scene(person(1, 300), person(2, lambda t: 100 + 60 * t, end=2.5)))
    assert lost.apart_during(1, (0.0, 1.5))
    assert not lost.apart_during(1, (3.0, 6.0))
    comes = following(scene(person(1, 300), person(2, lambda t: 270 - 60 * (t - 3.0), start=3.5)))
    assert not comes.apart_during(1, (0.0, 3.0))
    assert comes.apart_during(1, (5.0, 6.0))
    leaves = following(scene(person(1, 300), person(2, lambda t: max(21.0, 100 - 60 * t), end=2.0)))
    assert leaves.people.apart == 1  # at the border of the picture nobody is lost


def test_an_arm_found_by_itself_is_nobody_beside():
    seen = following(scene(person(1, 300), person(2, 325, feet=250, height=30, width=12, label="moving")))
    assert seen.apart_during(1, (0.0, 6.0))
    assert (seen.people.apart > 0.9, seen.people.smallest) == (True, 100)


def test_the_shape_of_a_second_makes_a_person_and_what_never_stood_is_none():
    falls = person(
        1, 200, height=lambda t: 100.0 if t < 1.5 else 30.0, width=lambda t: 40.0 if t < 1.5 else 100.0, label="moving"
    )
    sliver = person(2, 200, width=18.0, label="moving")
    lies = person(3, 200, height=30.0, width=100.0, label="moving")
    assert [is_person(track) for track in (falls, sliver, lies)] == [True, False, False]


@pytest.mark.parametrize(
    ("agree", "against", "told"), [(7, 0, True), (6, 0, False), (13, 2, True), (12, 3, False), (0, 0, False)]
)
def test_a_way_is_told_only_when_chance_would_hardly_make_it(agree, against, told):
    ways = [np.array([1.0, 0.0])] * agree + [np.array([-1.0, 0.0])] * against
    assert (dominant_way(ways) is not None) is told
    mirrored = dominant_way([-way for way in ways])
    assert (mirrored is not None) is told


@pytest.mark.parametrize("seed", range(8))
def test_a_run_or_a_fall_among_others_is_told_or_said_to_be_possible_but_never_denied(seed):
    seen = find_tracks(render(6, *crowded(seed), name=f"crowded {seed}"))
    predicate, condition = ("runs", RUNS) if seed % 2 else ("falls", FALLS)
    assert [row for row in relation_log(seen) if row.predicate == predicate] or reasons(condition, seen)


def test_a_box_that_drops_is_never_called_nothing_that_falls():
    """Only what stood upright is seen falling, so a clip of other things proves nothing about falls."""
    dropped = find_tracks(render(6, lambda t: (80, 50 + min(60.0, max(0.0, 160 * (t - 3))), 30, 22, BLUE) if t > 0.5 else None))
    assert [row for row in relation_log(dropped) if row.predicate == "falls"] == []
    assert reasons(MotionCondition(predicate="falls", subject="anything"), dropped)


def test_walkers_far_apart_prove_that_nobody_ran():
    seen = find_tracks(
        render(6, walker(10, 16, feet=50, height=40, colour=RED), walker(150, -16, feet=112, height=40, colour=BLUE))
    )
    assert [row for row in relation_log(seen) if row.predicate == "runs"] == []
    assert reasons(RUNS, seen) == []
