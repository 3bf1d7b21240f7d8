import numpy as np
import pytest
import torch
from walkers import FPS, walkers

from core.archive import restate
from core.errors import BadInput
from core.samples import Frame, VideoClip
from core.segments import extract_events
from tools.video.frame_bank import Bank
from tools.video.frame_features import FrameFeatures, speed_grid
from tools.video.frame_novelty import (
    LOW_SHARE,
    MERGE_GAP_S,
    MIN_LENGTH_S,
    SELF_THRESHOLD,
    SIGMA_S,
    FrameNovelty,
)
from tools.video.part_numbers import median_and_upper_spread

SMALL = {"side": 96, "flow_side": 96}


def _walkers(seconds, **scene):
    return VideoClip.from_array(f"walk{scene.get('seed', 0)}", walkers(seconds, **scene), fps=FPS)


def _events(score, high):
    return extract_events(
        score.seconds, score.scores, unit_s=score.unit_s, high=high, low=LOW_SHARE * high, sigma_s=SIGMA_S,
        merge_gap_s=MERGE_GAP_S, min_length_s=MIN_LENGTH_S, valid=score.valid,
    )  # fmt: skip


@pytest.fixture(scope="module")
def fitted():
    return FrameNovelty(**SMALL).fit([_walkers(8, seed=seed) for seed in (1, 2)])


def _inside(score, start, end):
    return (score.seconds >= start) & (score.seconds < end)


def test_a_strange_object_is_found_when_where_and_as_appearance(fitted):
    score = fitted.score([_walkers(8, seed=3, strange=(3, 5))])[0]
    inside = _inside(score, 3, 5)
    assert score.scores[inside].min() > score.scores[~inside].max()
    assert score.parts["appearance"][inside].mean() > 5 * score.parts["appearance"][~inside].mean()
    x0, y0, x1, y1 = score.boxes[int(score.scores.argmax())]
    assert 60 <= (x0 + x1) / 2 <= 120
    assert 50 <= (y0 + y1) / 2 <= 96


def test_running_is_found_as_motion(fitted):
    score = fitted.score([_walkers(8, seed=4, fast=(4, 6))])[0]
    inside = _inside(score, 4.2, 6)
    assert score.parts["motion"][inside].mean() > 4 * score.parts["motion"][~inside].mean()
    assert np.median(score.scores[inside]) > np.quantile(score.scores[~inside], 0.95)


def test_parts_add_up_and_units_are_on_the_clock(fitted):
    score = fitted.score([_walkers(4, seed=5)])[0]
    assert np.allclose(score.parts["appearance"] + score.parts["motion"], score.scores, atol=1e-5)
    assert np.allclose(score.seconds, 0.2 * np.arange(20) + 0.1)
    assert np.all(np.abs(score.frame_index / FPS - score.seconds) <= 0.1 + 1e-9)
    assert score.valid.all()


def test_appearance_is_looked_at_less_often_than_motion_and_says_nearly_the_same(fitted, tmp_path):
    clip = _walkers(8, seed=3, strange=(3, 5))
    fitted.save(tmp_path / "fitted.npz")
    restate(tmp_path / "fitted.npz", tmp_path / "every.npz", name="frame_novelty", look_s=0.2)
    every, some = FrameNovelty.load(tmp_path / "every.npz").score([clip])[0], fitted.score([clip])[0]
    assert np.array_equal(every.parts["motion"], some.parts["motion"])
    looked = np.arange(40) % 2 == 0
    assert np.allclose(every.parts["appearance"][looked], some.parts["appearance"][looked], atol=1e-3)
    assert np.corrcoef(every.scores, some.scores)[0, 1] > 0.9
    units = list(fitted.features.read(clip, looks=3))
    assert np.concatenate([one.looked for one in units]).sum() == 14 == sum(len(one.appearance) for one in units)


def test_a_stretch_without_any_look_and_slow_clips_are_scored():
    """Frames a second apart are each looked at; so is every unit of a clip of few units."""
    slow = VideoClip.from_array("slow", walkers(4, seed=3), fps=1.0)
    detector = FrameNovelty(**SMALL)
    assert detector._looks(slow) == 1
    assert detector._looks(_walkers(1, seed=3)) == 1
    assert detector._looks(_walkers(12, seed=3)) == 2
    assert detector.score([slow])[0].valid.all()
    seldom = FrameNovelty(look_s=0.6, **SMALL)
    clip = _walkers(13.4, seed=3)
    assert seldom._looks(clip) == 3
    assert seldom.features.expected(clip) % 32 != 0
    assert [bool(one.looked.any()) for one in seldom.features.read(_walkers(13, seed=3), looks=33)] == [True, True, False]
    assert seldom.score([clip])[0].valid.all()


def test_held_out_normals_score_like_new_normals(fitted):
    reference = fitted.reference_scores()
    fresh = fitted.score([_walkers(8, seed=6)])[0].scores
    assert len(reference) == 80
    assert np.median(fresh) < np.quantile(reference, 0.9)


def test_without_normals_the_event_is_found_and_normal_videos_are_quiet():
    odd = FrameNovelty(**SMALL).score([_walkers(12, seed=7, strange=(6, 8), fast=(6, 8))])[0]
    events = _events(odd, SELF_THRESHOLD)
    assert len(events) == 1
    assert events[0].start_s == pytest.approx(6, abs=0.6)
    assert events[0].end_s == pytest.approx(8, abs=0.6)
    # Twelve seconds may hold a moment that truly occurs once (two walkers in step), so one of the four may speak, faintly.
    usual = FrameNovelty(**SMALL).score([_walkers(12, seed=seed) for seed in (8, 9, 10, 11)])
    assert sum(not _events(score, SELF_THRESHOLD) for score in usual) >= 3
    assert odd.scores.max() > 1.5 * max(score.scores.max() for score in usual)


def test_calm_motion_does_not_excuse_strange_appearance(fitted):
    """The reason for one-sided counting: a still video with a strange object must not rank below a lively normal one."""
    still = np.repeat(next(_walkers(1, seed=9, strange=(0, 1)).frames()).rgb[None], 20, axis=0)
    strange = fitted.score([VideoClip.from_array("still", still, fps=FPS)])[0]
    assert np.median(strange.scores) > np.quantile(fitted.reference_scores(), 0.95)


def test_a_long_video_keeps_a_small_bank_and_the_order_of_time():
    clip = _walkers(12, seed=10, strange=(5, 7))
    small = FrameNovelty(bank_units=12, **SMALL)
    assert len(small.inspect(clip)._bank) == 12
    score = small.score([clip])[0]
    assert score.round_s is None
    assert (score.every_s, score.read) == (None, 1.0)
    assert np.allclose(score.seconds, 0.2 * np.arange(60) + 0.1)
    assert (np.diff(score.frame_index) > 0).all()
    assert _inside(score, 5, 7)[int(score.scores.argmax())]


def test_variable_frame_rate_gaps_and_repeated_times():
    rgb = next(_walkers(1, seed=1).frames()).rgb
    times = [0.0, 0.03, 0.03, 0.5, 0.55, 3.0, 3.01, 3.4]

    def opener(start_s, end_s, step, max_side):
        yield from (Frame(i, t, rgb) for i, t in list(enumerate(times))[::step])

    clip = VideoClip(name="vfr", height=96, width=160, fps=5.0, duration_s=3.5, n_frames=8, opener=opener)
    score = FrameNovelty(**SMALL).score([clip])[0]
    assert score.seconds.tolist() == pytest.approx([0.1, 0.5, 3.1, 3.5])
    assert np.isfinite(score.scores).all()


@pytest.mark.parametrize(("frames", "height", "width"), [(1, 40, 60), (2, 33, 97), (7, 17, 15), (3, 1, 200), (5, 300, 8)])
def test_short_and_odd_videos(frames, height, width):
    pixels = np.random.default_rng(0).integers(0, 255, (frames, height, width, 3), dtype=np.uint8)
    score = FrameNovelty(**SMALL).score([VideoClip.from_array("odd", pixels, fps=FPS)])[0]
    assert np.isfinite(score.scores).all()
    assert score.valid.any() == (frames > 2)  # two frames fall into one unit: nothing to compare with
    for box in filter(None, score.boxes):
        assert 0 <= box[0] < box[2] <= width
        assert 0 <= box[1] < box[3] <= height


def test_one_normal_picture_is_enough_to_compare_with():
    one = VideoClip.from_array("one", next(_walkers(1, seed=1).frames()).rgb[None], fps=FPS)
    detector = FrameNovelty(**SMALL).fit([one])
    assert len(detector.reference_scores()) == 0
    assert detector.score([_walkers(2, seed=2)])[0].valid.all()


def test_save_and_load_give_equal_scores(fitted, tmp_path):
    fitted.save(tmp_path / "novelty.npz")
    loaded = FrameNovelty.load(tmp_path / "novelty.npz")
    clip = _walkers(3, seed=11)
    assert np.array_equal(loaded.score([clip])[0].scores, fitted.score([clip])[0].scores)
    assert np.array_equal(loaded.reference_scores(), fitted.reference_scores())


def test_a_video_without_frames_is_refused():
    def opener(start_s, end_s, step, max_side):
        yield from ()

    empty = VideoClip(name="empty", height=9, width=9, fps=5.0, duration_s=1.0, n_frames=5, opener=opener)
    for call in (FrameNovelty(**SMALL).score, FrameNovelty(**SMALL).fit):
        with pytest.raises(BadInput, match="frame"):
            call([empty])


def test_the_bank_leaves_out_neighbours_in_time_and_own_clips():
    import torch

    bank = Bank(
        clip=np.array([0, 0, 1]), seconds=np.array([0.0, 1.0, 8.0]),
        vectors={"appearance": torch.tensor([[0.0], [10.0], [4.0]]).half()}, owner={"appearance": torch.arange(3)},
    )  # fmt: skip
    query = torch.tensor([1.0]).reshape(1, 1, 1, 1)
    assert bank.distances("appearance", query, np.array([[True, True, True]])).item() == pytest.approx(1.0)
    assert bank.distances("appearance", query, np.array([[False, True, True]])).item() == pytest.approx(3.0)
    assert np.isinf(bank.distances("appearance", query, np.zeros((1, 3), bool))).all()
    assert bank.without_neighbours(np.array([0.0]), 2.0).tolist() == [[False, False, True]]
    assert bank.without_clips()[2].tolist() == [True, True, False]


@pytest.mark.parametrize("channels", [8, 152])
def test_distances_equal_a_plain_search_among_what_is_allowed(channels):
    generator = torch.Generator().manual_seed(0)
    owner = torch.tensor([0] * 7 + [1] * 5 + [3] * 9)  # unit 2 left no vector
    vectors = 30 * torch.randn(len(owner), channels, generator=generator)
    one = {"appearance": vectors.half(), "motion": vectors.half()}
    bank = Bank(clip=np.zeros(4, int), seconds=np.arange(4.0), vectors=one, owner=dict.fromkeys(one, owner))
    grids = 30 * torch.randn(3, 2, 3, channels, generator=generator)
    allowed = np.array([[True, True, True, True], [False, True, True, False], [False, False, True, False]])
    found = bank.distances("appearance", grids, allowed)
    for index in range(3):
        kept = torch.from_numpy(allowed[index])[owner]
        if not kept.any():
            assert np.isinf(found[index]).all()
            continue
        plain = torch.cdist(grids[index].reshape(6, -1), vectors.half().float()[kept]).amin(dim=1).reshape(2, 3)
        assert np.allclose(found[index], plain.numpy(), rtol=2e-3)


def test_speed_is_in_diagonals_per_second_whatever_the_rate():
    flow = np.zeros((48, 64, 2), np.float32)
    flow[..., 1] = 4.0
    slow, fast = speed_grid(flow, 0.2), speed_grid(flow, 0.1)
    assert slow[..., 2] == pytest.approx(4.0 / 0.2 / 80.0)
    assert fast == pytest.approx(2 * slow)


def test_units_are_never_shorter_than_a_frame():
    from models.patches import PatchEncoder

    features = FrameFeatures(encoder=PatchEncoder(side=96), unit_s=0.2, flow_side=96)
    slow = VideoClip.from_array("slow", np.zeros((4, 32, 32, 3), np.uint8), fps=2.0)
    assert features.unit_of(slow) == 0.5
    assert features.expected(slow) == 4
    assert [len(units) for units in features.read(slow)] == [4]
    assert [units.number.tolist() for units in features.read(slow, every=3, rest=True)] == [[1, 2]]


def test_bursts_that_recur_widen_the_spread():
    calm, bursts = np.full(40, 1.0, np.float32), np.full(12, 3.0, np.float32)
    noise = np.linspace(0, 0.1, 52, dtype=np.float32)
    _, narrow = median_and_upper_spread(np.concatenate([calm, calm[:12]]) + noise, "motion")
    _, wide = median_and_upper_spread(
        np.concatenate([calm, bursts, bursts]) + np.linspace(0, 0.1, 64, dtype=np.float32), "motion"
    )
    assert wide > 10 * narrow


@pytest.mark.parametrize("bad", [{"unit_s": 0.0}, {"share": 0.0}, {"share": 1.5}, {"bank_units": 1}, {"exclusion_s": -1.0}])
def test_bad_values_are_refused(bad):
    with pytest.raises(BadInput, match=next(iter(bad))):
        FrameNovelty(**bad)


def test_an_event_that_is_played_again_is_still_found_and_the_round_is_known():
    once = np.stack([frame.rgb for frame in _walkers(12, seed=7, strange=(6, 8), fast=(6, 8)).frames()])
    score = FrameNovelty(**SMALL).score([VideoClip.from_array("again", np.concatenate([once, once]), fps=FPS)])[0]
    assert score.round_s == pytest.approx(12, abs=0.1)
    events = _events(score, SELF_THRESHOLD)
    assert [event.start_s for event in events] == pytest.approx([6, 18], abs=0.8)
    assert FrameNovelty(**SMALL).score([_walkers(12, seed=7)])[0].round_s is None


def test_copies_are_left_out_with_their_neighbours_in_time():
    import torch

    bank = Bank(
        clip=np.zeros(4, np.int64), seconds=np.array([1.0, 6.0, 11.0, 16.0]),
        vectors={"appearance": torch.zeros(4, 1).half()}, owner={"appearance": torch.arange(4)},
    )  # fmt: skip
    assert bank.without_neighbours(np.array([1.0]), 2.0, 10.0).tolist() == [[False, True, False, True]]
    assert bank.without_neighbours(np.array([7.0]), 2.0, 10.0).tolist() == [[True, False, True, False]]
    assert bank.without_neighbours(np.array([6.0]), 2.0, 15.9).tolist() == [[True, False, True, False]]  # 16 s: a seam


def test_how_much_normal_video_was_learned_is_known_for_one_clip(fitted, tmp_path):
    one = FrameNovelty(**SMALL).fit([_walkers(4, seed=1)])
    assert one.normal_s() == pytest.approx(4.0, abs=0.01)
    one.save(tmp_path / "one.npz")
    assert FrameNovelty.load(tmp_path / "one.npz").normal_s() == one.normal_s()
    assert fitted.normal_s() == float("inf")
    assert FrameNovelty(**SMALL).normal_s() == 0.0


def _examined(home, normal, clip):
    from agent.evidence_store import EvidenceStore
    from agent.examine.setting import Run
    from agent.examine.video import examine
    from readers.source import Source

    detector = FrameNovelty(**SMALL).fit(normal) if normal else FrameNovelty(**SMALL)
    source = Source(name=clip.name, kind="video", samples=(clip,), sha256="0")
    store = EvidenceStore(home)
    found = examine(Run(detector=detector, spec=detector.spec, source=source, n_normal=len(normal), reason=""), store)
    store.close()
    return found


def test_one_short_normal_clip_is_little_to_compare_with(tmp_path):
    found = _examined(tmp_path, [_walkers(5, seed=1)], _walkers(12, seed=3, strange=(6, 8)))
    facts = found.survey.facts
    assert (facts["normal_s"], facts["calibrated"]) == (5.0, False)
    assert found.survey.threshold >= SELF_THRESHOLD
    assert "one short normal clip" in facts["hedge"]
    assert [round(f.evidence.locus.peak_s) in (6, 7, 8) for f in found.findings[:1]] == [True]


def test_a_clip_that_differs_throughout_from_one_short_normal_clip_is_left_open(tmp_path):
    from agent.telling.video import describe, nothing

    other = _walkers(6, seed=3, strange=(0, 6))
    found = _examined(tmp_path / "a", [_walkers(5, seed=1)], other)
    assert found.status == "insufficient"
    assert found.anomalies == ()
    assert "I cannot tell whether" in nothing(found)
    assert "below the threshold" not in describe(found.findings[0])
    assert _examined(tmp_path / "b", [_walkers(6, seed=s) for s in (1, 2)], other).status == "abnormal"


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_clip_whose_frames_all_carry_one_time_is_left_open_without_a_warning(tmp_path):
    rgb = next(_walkers(1, seed=1).frames()).rgb

    def opener(start_s, end_s, step, max_side):
        yield from (Frame(i, 0.0, rgb) for i in range(0, 8, step))

    clip = VideoClip(name="still", height=96, width=160, fps=5.0, duration_s=1.6, n_frames=8, opener=opener)
    found = _examined(tmp_path, [], clip)
    assert (found.status, found.anomalies) == ("insufficient", ())
    assert "one moment" in found.survey.facts["hedge"]
