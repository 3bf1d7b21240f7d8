import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadInput
from core.samples import Frame, VideoClip
from tools.video.relations import clip_relations, relation_log
from tools.video.track_finder import Follower, box_distance, find_tracks
from tools.video.track_objects import SceneObjects, join_pieces, merge
from tools.video.tracks import Track, TrackSet, Zone

sys.path.insert(0, str(Path(__file__).parent))
from rendered_scenes import (
    FPS,
    HEIGHT,
    RED,
    WHITE,
    WIDTH,
    bag,
    croucher,
    faller,
    render,
    truth,
    walker,
)  # fmt: skip


def _iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def _said(relations, predicate):
    return [relation for relation in relations if relation.predicate == predicate]


def test_two_walkers_are_two_tracks_on_their_true_boxes():
    movers = walker(10, 15, feet=60, height=36), walker(150, -18, feet=110, height=44, colour=WHITE)
    seen = find_tracks(render(7, *movers))
    assert len(seen.tracks) == 2
    for track in seen.tracks:
        mover = min(movers, key=lambda one: abs(truth(3.0, one)[3] - track.box_at(3.0)[3]))
        overlaps = [_iou(box, truth(t, mover)) for t, box in zip(track.times, track.boxes, strict=True)]
        assert len(track.times) > 0.9 * 7 * FPS
        assert np.median(overlaps) > 0.75
    assert {track.direction() for track in seen.tracks} == {"right", "left"}
    speeds = sorted(track.speed_pixels() for track in seen.tracks)
    assert speeds == pytest.approx([15, 18], rel=0.1)


def test_a_mirrored_video_mirrors_directions_and_boxes():
    movers = walker(10, 15, feet=50, height=36), walker(20, 12, feet=112, height=44, colour=WHITE)
    plain, mirror = find_tracks(render(6, *movers)), find_tracks(render(6, *movers, mirrored=True))
    assert {track.direction() for track in plain.tracks} == {"right"}
    assert {track.direction() for track in mirror.tracks} == {"left"}
    for track in plain.tracks:
        box = track.box_at(3.0)
        expected = WIDTH - box[2], box[1], WIDTH - box[0], box[3]
        assert max(_iou(expected, other.box_at(3.0)) for other in mirror.tracks) > 0.8


def test_the_same_clip_gives_the_same_tracks_and_is_followed_once():
    scene = render(4, walker(10, 25))
    again = render(4, walker(10, 25))
    first, second = find_tracks(scene), find_tracks(again)
    assert find_tracks(scene) is first
    assert len(first.tracks) == len(second.tracks) > 0
    for a, b in zip(first.tracks, second.tracks, strict=True):
        assert a.id == b.id
        np.testing.assert_array_equal(a.boxes, b.boxes)
        np.testing.assert_array_equal(a.times, b.times)


def test_ids_are_unique_boxes_lie_inside_and_times_ascend():
    seen = find_tracks(render(7, walker(-20, 30), walker(170, -25, feet=118, colour=WHITE), faller(80, feet=70)))
    assert [track.id for track in seen.tracks] == list(range(1, len(seen.tracks) + 1))
    starts = [track.start_s for track in seen.tracks]
    assert starts == sorted(starts)
    for track in seen.tracks:
        assert track.boxes[:, [0, 1]].min() >= 0
        assert track.boxes[:, 2].max() <= WIDTH
        assert track.boxes[:, 3].max() <= HEIGHT
        assert seen.start_s <= track.start_s <= track.end_s < seen.end_s


def test_a_person_who_stands_at_the_start_and_leaves_is_no_ghost_afterwards():
    def leaves(t):
        return 40 + 30 * max(0.0, t - 5), 90, 16, 40, RED

    seen = find_tracks(render(9, leaves))
    late = [track for track in seen.tracks if track.end_s > 7.5]
    assert len(late) == 1
    assert late[0].box_at(8.0)[0] > 100


@pytest.mark.parametrize("at", [3.0, 4.0])
def test_a_fall_is_told_also_when_the_clip_shows_the_lying_person_most_of_the_time(at):
    fallen = _said(clip_relations(render(7, faller(80, at=at))), "falls")
    assert len(fallen) == 1
    assert at - 0.6 < fallen[0].t0_s < at + 0.5
    assert fallen[0].t1_s < at + 1.7
    assert 0.25 < fallen[0].strength < 0.6


def test_who_falls_is_a_person_and_who_bends_down_does_not_fall():
    assert _said(clip_relations(render(7, faller(80, at=4.0))), "falls")[0].subject.label == "person"
    assert _said(clip_relations(render(7, croucher(80))), "falls") == []


def test_a_bag_left_behind_is_told_and_a_bag_beside_its_owner_is_not():
    def owner(t):
        return 20 + 20 * min(t, 3.0) + 30 * max(0.0, t - 4.0), 90, 16, 40, RED

    told = _said(clip_relations(render(8, owner, bag(94, laid=3.3))), "leaves behind")
    assert len(told) == 1
    assert (told[0].subject.label, told[0].object.label) == ("person", "moving")
    assert 2.8 < told[0].t0_s < 5.8  # told from when the two are apart
    stays = clip_relations(render(8, lambda t: (20 + 20 * min(t, 3.0), 90, 16, 40, RED), bag(94, laid=3.3)))
    assert _said(stays, "leaves behind") == []


def test_one_who_stops_and_one_who_enters_a_zone():
    scene = render(8, lambda t: (20 + 24 * min(t, 3.5), 90, 16, 40, RED))
    door = Zone(name="door", polygon=((0.5, 0.5), (1.0, 0.5), (1.0, 1.0), (0.5, 1.0)))
    log = clip_relations(scene, zones=[door])
    [stop] = _said(log, "stops")
    assert 3.0 < stop.t0_s < 4.3
    [enters] = _said(log, "enters zone")
    assert enters.t0_s == pytest.approx((80 - 20) / 24, abs=0.35)
    [track] = find_tracks(scene).tracks
    assert track.dwell_s(door, width=WIDTH, height=HEIGHT) == pytest.approx(8 - 2.5, abs=0.6)
    [still] = track.stationary()
    assert still[0] == pytest.approx(3.6, abs=0.6)


def test_the_runner_among_walkers():
    walkers = [walker(5 + 12 * k, 16, feet=40 + 24 * k, height=22, colour=WHITE) for k in range(3)]
    log = clip_relations(render(6, *walkers, walker(-60, 70, feet=116, height=22)))
    runs = _said(log, "runs")
    assert len(runs) == 1
    assert runs[0].boxes[0].box[3] == pytest.approx(116, abs=4)
    assert runs[0].strength == pytest.approx(70 / 24, rel=0.15)  # boxes are a pixel wider all around


def test_a_clip_of_noise_and_a_clip_of_nothing_have_no_tracks():
    assert find_tracks(render(4)).tracks == ()
    assert find_tracks(VideoClip.from_array("one", np.zeros((1, 40, 50, 3), np.uint8), fps=5.0)).tracks == ()


def test_light_that_changes_is_noted_and_moves_nothing():
    frames = np.stack([np.full((HEIGHT, WIDTH, 3), 60 + 12 * (k % 12), np.uint8) for k in range(36)])
    seen = find_tracks(VideoClip.from_array("flicker", frames, fps=FPS))
    assert seen.tracks == ()
    assert "light moves" in seen.notes[0]


def test_frames_are_decimated_and_let_go():
    import weakref

    asked, alive, most = [], weakref.WeakSet(), 0

    class Picture(np.ndarray):
        """An array that can be counted."""

        __hash__ = object.__hash__

    def opener(start_s, end_s, step, max_side):
        nonlocal most
        for index in range(0, 1500, step):
            if start_s <= index / 30 < end_s:
                picture = np.full((48, 64, 3), 90, np.uint8).view(Picture)
                alive.add(picture)
                most = max(most, len(alive))
                yield Frame(index, index / 30, picture)
                del picture

    class Counting(SceneObjects):
        def detect(self, frame):
            asked.append(frame.number)
            return super().detect(frame)

    clip = VideoClip(name="long", height=48, width=64, fps=30.0, duration_s=50.0, n_frames=1500, opener=opener)
    seen = find_tracks(clip, finder=Counting())
    assert asked == list(range(0, 1500, 5))
    assert seen.fps == 6.0
    assert 40 < most < 60  # the frames that teach the background; 300 were looked at


def test_bad_values_are_refused():
    scene = render(1)
    with pytest.raises(BadInput, match="fps"):
        find_tracks(scene, fps=0)
    with pytest.raises(BadInput, match="side"):
        find_tracks(scene, side=10)
    with pytest.raises(BadInput, match="ascending"):
        Track(
            id=1, label="person", times=np.array([1.0, 1.0]), boxes=np.array([[0, 0, 1, 1.0]] * 2), scores=np.ones(2, np.float32)
        )
    with pytest.raises(BadInput, match="x0 < x1"):
        Track(id=1, label="person", times=np.array([1.0]), boxes=np.array([[5, 0, 1, 1.0]]), scores=np.ones(1, np.float32))
    with pytest.raises(BadInput, match="three corners"):
        Zone(name="line", polygon=((0, 0), (1, 1)))
    with pytest.raises(BadInput, match="corners"):
        Zone(name="off", polygon=((0, 0), (1, 1), (2, 0)))


def test_a_gap_is_bridged_and_a_long_one_is_unknown():
    times = np.array([0.0, 0.2, 0.4, 1.4, 1.6, 6.0, 6.2])
    x = 20 * times
    track = Track(
        id=1, label="person", times=times, boxes=np.stack([x, 0 * x, x + 10, 0 * x + 30], 1), scores=np.ones(7, np.float32)
    )
    known = track.motion.known
    assert known[track.motion.times < 1.6].all()
    assert not known[(track.motion.times > 1.8) & (track.motion.times < 5.8)].any()
    assert track.speed_pixels() == pytest.approx(20, rel=0.05)
    assert track.path_length() < 60


boxes = st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(1, 40), st.floats(1, 40)).map(
    lambda v: (v[0], v[1], v[0] + v[2], v[1] + v[3])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(boxes, min_size=1, max_size=4), st.lists(boxes, min_size=1, max_size=4))
def test_box_distance_is_a_bounded_symmetric_distance(some, others):
    a, b = np.array(some), np.array(others)
    there, back = box_distance(a, b), box_distance(b, a)
    np.testing.assert_allclose(there, back.T, atol=1e-9)
    assert there.min() >= -1e-9
    assert there.max() <= 1
    np.testing.assert_allclose(np.diag(box_distance(a, a)), 0, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.floats(-30, 30), st.integers(0, 10_000))
def test_clean_objects_on_their_own_lines_are_followed_one_to_one(count, speed, seed):
    from models.objects import FoundObject

    rng = np.random.default_rng(seed)
    follower = Follower(rate=6.0)
    for index in range(24):
        t = index / 6.0
        found = []
        for k in range(count):
            x, y = 300 + speed * t + rng.normal(0, 0.5), 100.0 * k + rng.normal(0, 0.5)
            if rng.random() > 0.1:
                found.append(FoundObject((x, y, x + 20, y + 50), 1.0, "moving"))
        rng.shuffle(found)
        follower.add(t, [FoundObject(tuple(map(float, one[0])), 1.0, "moving") for one in found])
    tracks = follower.tracks()
    assert len(tracks) == count
    for track in tracks:
        assert np.ptp(track.boxes[:, 1]) < 10


def test_pieces_are_joined_and_a_shadow_is_not():
    from models.objects import FoundObject

    head, legs = FoundObject((40, 10, 60, 40), 0.8, "moving"), FoundObject((42, 48, 58, 90), 0.8, "moving")
    shadow = FoundObject((20, 92, 95, 104), 0.8, "moving")
    assert [one.box for one in join_pieces([head, legs, shadow])] == [(40, 10, 60, 90), (20, 92, 95, 104)]
    pair = [FoundObject((40, 10, 60, 60), 1.0, "person"), FoundObject((60, 12, 80, 62), 1.2, "person")]
    clump = FoundObject((38, 8, 82, 64), 0.7, "moving")
    assert [one.label for one in merge(pair, [clump])] == ["person", "person"]


def test_relation_log_of_no_tracks_is_empty():
    empty = TrackSet(clip="x", width=10, height=10, fps=5.0, start_s=0.0, end_s=1.0, tracks=())
    assert relation_log(empty) == []
