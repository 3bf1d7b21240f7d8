"""Events are split where something else begins and both sides are events by themselves; joins of real clips are found."""

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from walkers import FPS, walkers

from core.samples import VideoClip
from core.segments import extract_events, smooth
from tools.video.boundaries import SIZE, boundaries, split
from tools.video.frame_novelty import FrameNovelty

pytestmark = pytest.mark.usefixtures("one_thread")

DATA = Path(os.environ.get("TELLTALE_DATA", Path(__file__).parents[3] / "shared" / "data"))
UNIT_S, HIGH = 0.2, 5.0
RULES = {"unit_s": UNIT_S, "high": HIGH, "sigma_s": 0.5, "min_length_s": 0.5}


def centres(count):
    return UNIT_S * (np.arange(count) + 0.5)


def events_of(scores, **more):
    return extract_events(
        centres(len(scores)), smooth(scores, 2.5), unit_s=UNIT_S, high=HIGH, low=HIGH / 2, min_length_s=0.5, **more
    )


def hills(*peaks, count=60):
    """Scores with a hill of each (unit, height)."""
    units = np.arange(count)
    return np.max([height * np.exp(-((units - unit) ** 2) / 40) for unit, height in peaks], axis=0).astype(np.float32)


def test_an_event_with_two_hills_is_split_between_them_and_nowhere_else():
    scores = hills((20, 12), (34, 9))
    (whole,) = events_of(scores)
    one, other = split([whole], [(27, 8.0)], centres(60), scores, **RULES)
    assert (one.first, one.last, other.first, other.last) == (whole.first, 26, 27, whole.last)
    assert one.end_s == pytest.approx(other.start_s)
    assert (one.peak_s, other.peak_s) == (pytest.approx(4.1), pytest.approx(6.9))
    assert split([whole], [(3, 8.0), (58, 8.0)], centres(60), scores, **RULES) == [whole]  # outside of it


def test_a_side_that_reaches_the_threshold_only_through_its_neighbour_stays_with_it():
    scores = hills((20, 30))
    (whole,) = events_of(scores)
    unit = whole.last - 1
    assert smooth(scores, 2.5)[unit:].max() < HIGH
    assert split([whole], [(unit, 99.0)], centres(60), scores, **RULES) == [whole]
    lifted = np.where(np.arange(60) < 30, np.float32(40), np.float32(4))  # smoothed as one, units from 30 on are lifted above 5
    (whole,) = events_of(lifted)
    assert smooth(lifted, 2.5)[30] > HIGH
    assert split([whole], [(30, 99.0)], centres(60), lifted, **RULES) == [whole]


def test_the_highest_boundaries_come_first_and_a_part_is_never_too_short():
    scores = np.full(60, 9, np.float32)
    scores[[*range(10), *range(50, 60)]] = 0
    (whole,) = events_of(scores)
    parts = split([whole], [(30, 1.0), (31, 2.0), (32, 3.0)], centres(60), scores, **RULES)
    assert [part.first for part in parts] == [whole.first, 32]  # two units left of it are shorter than half a second


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 15, width=32), min_size=5, max_size=80),
    st.lists(st.tuples(st.integers(0, 79), st.floats(0, 9)), max_size=8),
)
def test_no_event_is_lost_and_none_is_made(scores, at):
    scores = np.array(scores, np.float32)
    whole = events_of(scores)
    parts = split(whole, at, centres(len(scores)), scores, **RULES)
    covered = [unit for part in parts for unit in range(part.first, part.last + 1)]
    assert covered == [unit for event in whole for unit in range(event.first, event.last + 1)]
    assert all(part.peak >= HIGH and part.end_s - part.start_s >= 0.5 - 1e-9 for part in parts)
    assert all(earlier.end_s <= later.start_s + 1e-9 for earlier, later in pairwise(parts))


def test_nothing_begins_across_what_was_not_read_and_short_runs_have_no_boundary():
    told = np.random.default_rng(0).normal(0, 0.02, (60, 2 * SIZE))
    told[:30, 0] += 1
    told[30:, 1] += 1
    seconds = centres(60)
    assert [unit for unit, _ in boundaries(told, seconds, UNIT_S, 0.3)] == [30]
    seconds[30:] += 4.0
    assert boundaries(told, seconds, UNIT_S, 0.3) == []
    assert boundaries(told[:4], seconds[:4], UNIT_S) == []
    assert boundaries(told[:0], seconds[:0], UNIT_S) == []


def test_a_time_lapse_has_no_boundaries():
    told = np.random.default_rng(0).normal(0, 0.02, (60, 2 * SIZE))
    told[:30, 0] += 1
    told[30:, 1] += 1
    assert [unit for unit, _ in boundaries(told, 0.4 * np.arange(60), 0.4)] == [30]
    assert boundaries(told, 0.6 * np.arange(60), 0.6) == []


def test_appearances_that_were_not_looked_at_lie_between_and_still_ones_have_no_boundary():
    told = np.random.default_rng(1).normal(0, 0.02, (60, 2 * SIZE))
    told[:, 0] += 1
    told[30:, 1] += 1
    told[np.arange(60) % 3 > 0, :SIZE] = np.nan
    (unit,) = (unit for unit, _ in boundaries(told, centres(60), UNIT_S))
    assert abs(unit - 30) <= 2
    still = np.tile(told[:1], (60, 1))
    assert boundaries(still, centres(60), UNIT_S) == []


def test_two_strange_things_after_each_other_are_told_as_two_events(tmp_path):
    """One stays strange while it becomes another: hysteresis sees one event, which is two."""
    from agent.evidence_store import EvidenceStore
    from agent.examine.setting import Run
    from agent.examine.video import examine
    from readers.source import Source

    pictures = walkers(14, seed=7, strange=(6, 9))
    for index in range(90, 120):  # red and blue squares elsewhere, from the moment the stripes are gone
        for column in range(0, 160, 20):
            pictures[index][4:88, column : column + 10] = (255, 0, 0)
            pictures[index][4:88, column + 10 : column + 20] = (0, 0, 255)
    clip = VideoClip.from_array("two.mp4", pictures, fps=FPS)
    detector = FrameNovelty(side=96, flow_side=96).fit(
        [VideoClip.from_array(f"n{s}", walkers(8, seed=s), fps=FPS) for s in (1, 2)]
    )
    score = detector.score([clip])[0]
    high = float(np.quantile(detector.reference_scores(), 0.99))
    merged = extract_events(
        score.seconds, smooth(score.scores, 2.5), unit_s=UNIT_S, high=high, low=high / 2, merge_gap_s=1.0, min_length_s=0.5
    )
    source = Source(name=clip.name, kind="video", samples=(clip,), sha256="0")
    store = EvidenceStore(tmp_path)
    found = examine(Run(detector=detector, spec=detector.spec, source=source, n_normal=2, reason=""), store)
    store.close()
    spans = sorted((f.evidence.locus.start_s, f.evidence.locus.end_s) for f in found.findings)
    assert [event for event in merged if event.start_s < 8 and event.end_s > 10], "one event without the boundary"
    assert any(abs(end - 9.0) <= 0.5 for _, end in spans)
    assert any(abs(start - 9.0) <= 0.5 for start, _ in spans)


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "avenue").exists(), reason="real data set avenue not found under TELLTALE_DATA")
def test_the_join_of_two_clips_of_one_camera_is_found_and_a_clip_as_it_is_has_none():
    from readers.open import open_path

    clips = [open_path(path).samples[0] for path in sorted((DATA / "avenue" / "training_videos").glob("*.avi"))]
    frames = [np.stack([frame.rgb for frame in clip.frames(max_side=448)]) for clip in clips]
    detector = FrameNovelty(look_s=0.2)
    joined = detector.score([VideoClip.from_array("joined", np.concatenate(frames), fps=25.0)])[0]
    found = [
        float(joined.seconds[unit]) - joined.unit_s / 2 for unit, _ in boundaries(joined.traits, joined.seconds, joined.unit_s)
    ]
    assert any(abs(time_s - len(frames[0]) / 25.0) <= 0.4 for time_s in found)
    for clip in clips:
        alone = detector.score([clip])[0]
        assert boundaries(alone.traits, alone.seconds, alone.unit_s) == []
