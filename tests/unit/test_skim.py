"""A long video is looked at from coarse to fine: the skim finds what lasts, refining ends where reading everything does."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from core.errors import BudgetExceeded
from core.progress import watching
from core.samples import Frame, VideoClip
from core.segments import extract_events, gaps, smooth
from tools.video import inspection
from tools.video.frame_novelty import LOW_SHARE, MERGE_GAP_S, MIN_LENGTH_S, SELF_THRESHOLD, SIGMA_S, FrameNovelty
from tools.video.reading_order import halving, spread_evenly, stretches

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"side": 64, "flow_side": 64, "bank_units": 24}
FPS, LONG = 10.0, 80.0
EVENTS = ((31.0, 33.6), (64.0, 66.6))


def still_life(seconds=LONG, *, events=EVENTS, keys_s=None, round_s=None):
    """A figure that walks to and fro, with stripes on the ground during the events; frames are drawn when they are read."""
    fixed = np.random.default_rng(5)
    ground = fixed.integers(60, 140, (64, 96, 3)).astype(np.int64)
    figure = fixed.integers(30, 220, (20, 12, 3))
    total = int(seconds * FPS)

    def drawn(index):
        noise = np.random.default_rng(index)
        now = index / FPS
        shown_s = now if round_s is None else now % round_s
        frame = ground.copy()
        x = int(40 + 36 * np.sin(shown_s * 0.9 + 2 * np.sin(shown_s * 0.37) + np.sin(shown_s * 0.111)))
        frame[8:28, x : x + 12] = figure
        for which, (start, end) in enumerate(events):  # no event explains another one
            if start <= shown_s < end and which == 0:
                frame[36:60:4, 50:90] = 250
                frame[38:62:4, 50:90] = 0
            elif start <= shown_s < end:
                frame[34:60, 8:40:8] = (250, 0, 0)
                frame[34:60, 12:44:8] = (0, 0, 250)
        return (frame + noise.integers(-3, 4, frame.shape)).clip(0, 255).astype(np.uint8)

    def opener(start_s, end_s, step, max_side):
        for index in range(0, total, step):
            if index / FPS >= end_s - 1e-9:
                return
            if index / FPS >= start_s - 1e-9:
                yield Frame(index, index / FPS, drawn(index))

    return VideoClip(
        name="long", height=64, width=96, fps=FPS, duration_s=seconds, n_frames=total, opener=opener,
        key_s=None if keys_s is None else np.arange(0, seconds, keys_s),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def scaled_down(monkeypatch):
    """An hour is skimmed in steps of 5 s; a minute in proportion."""
    monkeypatch.setattr(inspection, "STEP_S", 2.0)
    monkeypatch.setattr(inspection, "CLOSE_S", 24.0)
    monkeypatch.setattr(inspection, "STRETCH_S", 10.0)


def events_of(score):
    gap_s = float("inf") if score.every_s is None else 1.5 * score.unit_s
    return extract_events(
        score.seconds, score.scores, unit_s=score.unit_s, high=SELF_THRESHOLD, low=LOW_SHARE * SELF_THRESHOLD, sigma_s=SIGMA_S,
        merge_gap_s=MERGE_GAP_S, min_length_s=MIN_LENGTH_S, valid=score.valid, gap_s=gap_s,
    )  # fmt: skip


def near(events, wanted, by):
    return len(events) == len(wanted) and all(
        abs(event.start_s - start) < by and abs(event.end_s - end) < by and start - 0.3 < event.peak_s < end + 0.3
        for event, (start, end) in zip(events, wanted, strict=True)
    )


@pytest.fixture(scope="module")
def looked():
    """The scores of a skim, of the same inspection refined, and of another one that never skimmed."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("STEP_S", 2.0), ("CLOSE_S", 24.0), ("STRETCH_S", 10.0)):
            patch.setattr(inspection, name, value)
        clip, detector = still_life(), FrameNovelty(**SMALL)
        one = detector.inspect(clip)
        one.skim()
        skimmed = one.scores()
        one.refine()
        return skimmed, one.scores(), detector.score([clip])[0]


def test_the_skim_finds_the_events_after_reading_a_part(looked):
    skimmed = looked[0]
    assert near(events_of(skimmed), EVENTS, 2.0)
    assert skimmed.read < 40 / 400 + 24 / 80 + 31 / 400  # the moments, CLOSE_S, and what the last window has beyond it
    assert skimmed.every_s == pytest.approx(2.0, abs=0.1)


def test_refining_ends_where_reading_everything_does(looked):
    _, refined, full = looked
    assert (refined.every_s, refined.read) == (None, 1.0)
    assert len(refined.scores) == len(full.scores) == 400
    assert near(events_of(refined), EVENTS, 2.0)
    assert np.array_equal(refined.seconds, full.seconds)
    assert np.allclose(refined.scores, full.scores, atol=0.35)
    assert np.mean(refined.scores == full.scores) > 0.5


def test_what_the_skim_read_keeps_its_numbers(looked):
    skimmed, refined, _ = looked
    places = np.searchsorted(refined.seconds, skimmed.seconds)
    assert np.array_equal(refined.frame_index[places], skimmed.frame_index)


def test_an_event_that_is_shorter_than_the_step_is_found_when_all_is_read(monkeypatch):
    monkeypatch.setattr(inspection, "CLOSE_S", 0.0)
    clip = still_life(60.0, events=((44.1, 45.3),))
    one = FrameNovelty(**SMALL | {"bank_units": 8}).inspect(clip)
    monkeypatch.setattr(inspection, "STEP_S", 7.5)
    one.skim()
    assert all(not 44.1 <= t < 45.3 for t in one.scores().seconds)
    one.refine()
    assert near(events_of(one.scores()), ((44.1, 45.3),), 1.1)


def test_progress_is_told_and_a_stop_loses_nothing(tmp_path):
    clip, detector = still_life(60.0, events=((31.0, 38.0),)), FrameNovelty(**SMALL)
    heard = []

    def sink(what, done, total):
        heard.append((what, done, total))
        if what == "video units scored" and done > 180:
            raise BudgetExceeded("stopped by the test.")

    one = detector.inspect(clip)
    with watching(sink):
        one.skim()
        with pytest.raises(BudgetExceeded):
            one.refine()
    assert {"moments skimmed", "moments around the strangest read", "video units scored"} <= {what for what, _, _ in heard}
    counts = [done for what, done, _ in heard if what == "video units scored"]
    assert counts == sorted(counts)
    assert all(done <= total for what, done, total in heard if total)
    part = one.scores()
    assert 0.5 < part.read < 1
    one.save(tmp_path / "kept.npz")

    other = FrameNovelty(**SMALL).inspect(clip)
    other.resume(tmp_path / "kept.npz")
    assert other.scores().read == part.read
    compared = []
    plain = other._table.add
    other._table.add = lambda units, measured: compared.append(len(units)) or plain(units, measured)
    other.refine()
    assert sum(compared) == 300 - len(part.scores)  # nothing is measured twice
    assert np.allclose(other.scores().scores, detector.score([clip])[0].scores, atol=0.35)


def test_a_time_budget_ends_the_reading_between_two_batches():
    one = FrameNovelty(**SMALL).inspect(still_life(60.0))
    assert not one.refine(budget_s=0.0)
    assert 0 < one.read < 1
    assert one.refine()
    assert one.complete


def test_a_window_is_read_in_full(monkeypatch):
    monkeypatch.setattr(inspection, "CLOSE_S", 0.0)
    one = FrameNovelty(**SMALL).inspect(still_life())
    one.skim()
    before = one.scores().read
    one.closer(50.0, 56.0)
    seconds = one.scores().seconds
    assert ((seconds >= 50) & (seconds < 56)).sum() == 30
    assert one.scores().read == pytest.approx(before + 30 / 400, abs=0.015)


def test_moments_lie_behind_key_frames_where_there_are_any():
    one = FrameNovelty(**SMALL).inspect(still_life(keys_s=4.0))
    # every second slot of two seconds holds a key frame: the first whole unit behind it is taken
    seconds = one._chosen * 0.2
    behind = [float(t - 4.0 * np.floor(t / 4.0)) for t in seconds]
    assert np.mean([b <= 0.5 for b in behind]) >= 0.45
    assert all(first % 20 < 3 for first, _ in one._stretches)


def test_normal_clips_are_compared_with_when_they_are_given():
    detector = FrameNovelty(**SMALL).fit([still_life(20.0, events=())])
    long = detector.score([still_life(60.0, events=((31.0, 38.0),))])[0]
    inside = (long.seconds >= 31.2) & (long.seconds < 37.8)
    assert long.scores[inside].min() > np.quantile(long.scores[~inside], 0.95)


@pytest.mark.parametrize("times", [2, 4, 6])
def test_an_event_that_is_played_again_and_again_stays_one(times):
    score = FrameNovelty(**SMALL | {"bank_units": 40}).score([still_life(12.0 * times, events=((6.0, 8.0),), round_s=12.0)])[0]
    assert score.round_s == pytest.approx(12.0, abs=0.2)
    assert near(events_of(score), [(6 + 12 * k, 8 + 12 * k) for k in range(times)], 1.0)


def test_memory_does_not_grow_with_the_length(tmp_path):
    program = textwrap.dedent(
        """
        import sys
        sys.path[:0] = [%r, %r]
        import torch; torch.set_num_threads(1)
        import test_skim
        from tools.video import inspection
        from tools.video.frame_novelty import FrameNovelty
        inspection.CLOSE_S = 4.0
        FrameNovelty(**test_skim.SMALL).score([test_skim.still_life(float(sys.argv[1]), events=((10.0, 12.0),))])
        line = next(one for one in open("/proc/self/status") if one.startswith("VmHWM"))
        print(int(line.split()[1]) / 1024)
        """
    )  # fmt: skip
    from pathlib import Path

    if not Path("/proc/self/status").exists():
        pytest.skip("peak memory of a process is read from /proc")
    here = Path(__file__).parent
    peaks = [
        float(subprocess.run(
            [sys.executable, "-c", program % (str(here.parents[1]), str(here)), seconds], check=True, capture_output=True, text=True
        ).stdout.split()[-1])
        for seconds in ("20", "120")
    ]  # fmt: skip
    assert peaks[1] - peaks[0] < 40


def test_orders_cover_everything_once():
    for total, length in ((600, 50), (7, 50), (100, 3)):
        assert [n for first, last in stretches(total, length) for n in range(first, last)] == list(range(total))
        assert sorted(halving(total)) == list(range(total))
    assert [n for first, last in stretches(9000, 150, cheap=[0]) for n in range(first, last)] == list(range(9000))
    assert max(np.diff(spread_evenly(18_000, 720))) <= 26
    first_eighth = list(halving(64))[:8]
    assert max(np.diff(sorted([*first_eighth, 64]))) == 8


def test_nothing_is_smoothed_or_joined_across_what_was_left_out():
    seconds = np.array([0.1, 0.3, 0.5, 9.1, 20.1, 20.3, 20.5])
    scores = np.array([6, 6, 6, 9, 6, 6, 6], np.float32)
    assert gaps(seconds, 0.3) == [3, 4]
    assert smooth(scores, 2.5, gaps(seconds, 0.3)) == pytest.approx(scores)
    found = extract_events(
        seconds, scores, unit_s=0.2, high=5, low=2.5, sigma_s=0.5, merge_gap_s=60.0, min_length_s=0.5, gap_s=0.3
    )
    assert [(round(e.start_s, 1), round(e.end_s, 1)) for e in found] == [(0.0, 0.6), (20.0, 20.6)]
