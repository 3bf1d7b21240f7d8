"""Tracks and relations on real clips. Development clips only: avenue's normal clips, one fall and one everyday clip of gmdcsa24."""

import os
import pathlib

import numpy as np
import pytest

DATA = pathlib.Path(os.environ.get("TELLTALE_DATA", pathlib.Path(__file__).parents[3] / "shared" / "data"))
avenue_only = pytest.mark.skipif(not (DATA / "avenue").is_dir(), reason="real data set avenue not found under TELLTALE_DATA")
falls_only = pytest.mark.skipif(
    not (DATA / "gmdcsa24_falls").is_dir(), reason="real data set gmdcsa24_falls not found under TELLTALE_DATA"
)
pytestmark = pytest.mark.data


def _clip(*parts):
    from benchmarks.video_sets import read_clip

    return read_clip(DATA.joinpath(*parts))


@pytest.fixture(scope="module")
def street():
    from tools.video.track_finder import find_tracks

    return find_tracks(_clip("avenue", "training_videos", "16.avi"))


@avenue_only
def test_a_busy_street_has_as_many_tracks_as_people_in_front(street):
    moments = np.arange(0.5, 9.5, 0.25)
    counts = [len(street.at(t)) for t in moments]
    assert 7 <= np.median(counts) <= 14  # 7 to 9 people stand or walk before the dark hall, others are half seen behind them
    long = [track for track in street.tracks if track.duration_s > 7]
    assert len(long) >= 6
    for track in street.tracks:
        assert track.boxes.min() >= 0
        assert track.boxes[:, 2].max() <= street.width
        assert track.boxes[:, 3].max() <= street.height


@avenue_only
def test_the_man_with_the_suitcase_is_one_person_who_walks_to_the_left(street):
    man = 186, 103, 260, 258  # seen by eye at 6.4 s
    best = max(street.at(6.4), key=lambda track: _iou(track.box_at(6.4), man))
    assert _iou(best.box_at(6.4), man) > 0.6
    assert best.label == "person"
    assert best.direction(6.4, 8.8) == "left"
    assert 0.4 < best.usual_speed() < 1.2  # body sizes per second: a walk


@avenue_only
@pytest.mark.parametrize("name", ["12.avi", "16.avi"])
def test_nobody_falls_or_runs_in_normal_clips(name):
    from tools.video.relations import clip_relations

    said = {row.predicate for row in clip_relations(_clip("avenue", "training_videos", name))}
    assert not said & {"falls", "runs", "leaves behind", "goes against the flow"}
    assert "in a crowd" in said


@falls_only
def test_the_acted_fall_is_told_when_it_happens_and_picking_up_a_pen_is_none():
    from tools.video.relations import clip_relations

    fall = [row for row in clip_relations(_clip("gmdcsa24_falls", "Subject_3_Fall_19.mp4")) if row.predicate == "falls"]
    assert len(fall) == 1
    assert 1.5 < fall[0].t0_s < 3.0  # labelled 2 to 5 s, lying included
    assert fall[0].t1_s < 4.5
    everyday = clip_relations(_clip("gmdcsa24_falls", "Subject_3_ADL_19.mp4"))
    assert "falls" not in {row.predicate for row in everyday}


@falls_only
@avenue_only
def test_a_room_with_one_person_proves_that_nobody_falls_and_a_crowd_proves_nothing():
    from agent.rules.conditions import MotionCondition
    from agent.rules.doubts import doubts
    from tools.video.following import following
    from tools.video.track_finder import find_tracks

    rule = MotionCondition(predicate="falls", subject="person")
    room, crowd = _clip("gmdcsa24_falls", "Subject_3_ADL_19.mp4"), _clip("avenue", "training_videos", "12.avi")
    assert doubts(rule, following(find_tracks(room)), sample=room.name) == []
    found = doubts(rule, following(find_tracks(crowd)), sample=crowd.name)
    assert any("too close" in doubt.reason for doubt in found)
    assert all("telltale models pull" in doubt.what_would_help for doubt in found)


@falls_only
def test_the_same_clip_opened_twice_gives_the_same_log():
    from tools.video.relations import as_text, clip_relations

    first, second = (as_text(clip_relations(_clip("gmdcsa24_falls", "Subject_3_Fall_19.mp4"))) for _ in range(2))
    assert first == second
    assert first


def _iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
