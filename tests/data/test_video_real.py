"""What the video detector says about real clips: when, where, and when to stay silent."""

import os
import pathlib

import numpy as np
import pytest

from core.calibrate import from_reference

DATA = pathlib.Path(os.environ.get("TELLTALE_DATA", pathlib.Path(__file__).parents[3] / "shared" / "data"))
avenue_only = pytest.mark.skipif(not (DATA / "avenue").is_dir(), reason="real data set avenue not found under TELLTALE_DATA")
ucf_only = pytest.mark.skipif(
    not (DATA / "ucf_crime_clips").is_dir(), reason="real data set ucf_crime_clips not found under TELLTALE_DATA"
)
pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def avenue():
    from benchmarks.video_sets import avenue as load
    from tools.video.frame_novelty import FrameNovelty

    normal, test = load(DATA)
    detector = FrameNovelty().fit(normal)
    return detector, {one.clip.name: (one, detector.score([one.clip])[0]) for one in test if one.clip.name != "17.avi"}


@avenue_only
def test_the_top_event_of_avenue_videos_overlaps_the_label(avenue):
    from benchmarks.tasks_video import events_of
    from metrics.events import temporal_iou

    detector, found = avenue
    high = from_reference(detector.reference_scores()).threshold
    overlaps = {}
    for name, (one, score) in found.items():
        top = max(events_of(score, high), key=lambda event: event.peak, default=None)
        overlaps[name] = 0.0 if top is None else temporal_iou((top.start_s, top.end_s), one.segments)
    assert min(overlaps.values()) > 0.3, overlaps


@avenue_only
def test_boxes_of_avenue_videos_lie_on_what_is_labelled(avenue):
    from benchmarks.tasks_video import pointing

    assert min(pointing(score, one) for one, score in avenue[1].values()) > 0.6


@avenue_only
def test_frames_of_avenue_videos_rank_above_chance(avenue):
    from benchmarks.tasks_video import per_frame
    from metrics.ranking import auroc

    for one, score in avenue[1].values():
        if not one.labels.all():
            assert auroc(one.labels, per_frame([one], [(score.seconds, score.scores)])[0]) > 0.7


@ucf_only
def test_the_bus_is_found_without_normal_clips_and_the_crossing_is_quiet():
    from benchmarks.tasks_video import events_of
    from benchmarks.video_sets import ucf_clips
    from metrics.events import temporal_iou
    from tools.video.frame_novelty import SELF_THRESHOLD, FrameNovelty

    for one in ucf_clips(DATA):
        events = events_of(FrameNovelty().score([one.clip])[0], SELF_THRESHOLD)
        if one.labels.any():
            assert len(events) == 1
            assert temporal_iou((events[0].start_s, events[0].end_s), one.segments) > 0.5
        else:
            assert events == []


@avenue_only
def test_walking_people_are_seen_by_both_object_tools():
    from benchmarks.video_sets import read_clip
    from models.objects import MovingObjects, People

    moving, people, last = MovingObjects(), People(), ()
    frames = list(read_clip(DATA / "avenue" / "training_videos" / "16.avi").frames(end_s=6.2))
    for frame in frames:
        last = moving.update(frame.rgb)
    suitcase, walker = (276, 215, 328, 258), (222, 100, 270, 262)  # seen by eye in frame 154
    assert any(_share(suitcase, found.box) > 0.7 for found in last)
    assert any(_share(walker, found.box) > 0.7 for found in people.detect(frames[-1].rgb))


def _share(inner, outer):
    width, height = min(inner[2], outer[2]) - max(inner[0], outer[0]), min(inner[3], outer[3]) - max(inner[1], outer[1])
    return float(np.clip(width, 0, None) * np.clip(height, 0, None)) / ((inner[2] - inner[0]) * (inner[3] - inner[1]))
