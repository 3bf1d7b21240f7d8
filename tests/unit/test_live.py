"""Live scoring: the scores of a file, from the past only, with bounded memory; jumps are told, lateness is counted."""

import threading
import time

import numpy as np
import psutil
import pytest
import torch
from walkers import FPS, walkers

from core.archive import restate
from core.causal import CausalEvents
from core.errors import BadInput
from core.samples import Frame, VideoClip
from tools.video.frame_features import Stretch, Units
from tools.video.frame_novelty import SELF_THRESHOLD, FrameNovelty
from tools.video.live import LiveNovelty, thinned
from tools.video.live_memory import LEAST_NUMBERS, Memory
from tools.video.live_scenes import MOST_SCENES, LiveScenes
from tools.video.unit_queue import UnitQueue

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {"side": 96, "flow_side": 96}


def clip(pictures):
    return VideoClip.from_array("walk", pictures, fps=FPS)


def frames(pictures, start_s=0.0):
    return [Frame(n, start_s + n / FPS, rgb) for n, rgb in enumerate(pictures)]


@pytest.fixture(scope="module")
def fitted():
    return FrameNovelty(**SMALL).fit([clip(walkers(6, seed=seed)) for seed in (1, 2)])


@pytest.fixture(scope="module")
def alone():
    """A stream with an event from 12 to 14 s, followed without normal clips."""
    pictures = walkers(18, seed=7, strange=(12, 14))
    return pictures, list(LiveNovelty(FrameNovelty(**SMALL), warm_up_s=6.0).follow(frames(pictures)))


def test_with_normal_clips_a_stream_gets_the_scores_of_a_file_that_is_looked_at_in_every_unit(fitted, tmp_path):
    pictures = walkers(6, seed=3, strange=(3, 5))
    fitted.save(tmp_path / "fitted.npz")
    restate(tmp_path / "fitted.npz", tmp_path / "every.npz", name="frame_novelty", look_s=0.2)
    offline = FrameNovelty.load(tmp_path / "every.npz").score([clip(pictures)])[0]
    live = list(LiveNovelty(fitted).follow(frames(pictures)))
    assert [unit.second for unit in live] == pytest.approx(offline.seconds.tolist())
    assert [unit.score for unit in live] == pytest.approx(offline.scores.tolist(), rel=0.05, abs=0.05)
    assert [unit.frame.number for unit in live] == offline.frame_index.tolist()
    peak = int(offline.scores.argmax())
    (x0, y0, x1, y1), wider = live[peak].box, offline.boxes[peak]  # in a file cells that do not count are bounded only
    cell = 160 / 6
    assert wider[0] - 1 <= x0 <= wider[0] + cell
    assert wider[1] - 1 <= y0 <= wider[1] + cell
    assert wider[2] - cell <= x1 <= wider[2] + 1
    assert wider[3] - cell <= y1 <= wider[3] + 1
    assert live[peak].score == pytest.approx(sum(live[peak].parts.values()))


def test_no_future_is_used(alone):
    """What is told of a prefix is what is told of the whole."""
    pictures, whole = alone
    novelty = LiveNovelty(FrameNovelty(**SMALL), warm_up_s=6.0)
    units = [unit for n in range(130 // 2) for unit in novelty.push(Stretch(n, tuple(frames(pictures)[2 * n : 2 * n + 2])))]
    assert len(units) >= 60
    for part, all_ in zip(units, whole, strict=False):
        assert (part.second, part.why) == (all_.second, all_.why)
        assert part.score == pytest.approx(all_.score, nan_ok=True)


def test_alone_a_stream_is_learned_from_before_it_is_judged(alone):
    _, units = alone
    judged = [unit.second for unit in units if unit.valid]
    learning = [unit.second for unit in units if unit.why == "learning"]
    assert max(learning) < min(judged)
    # numbers count from half of the warm-up on, and LEAST_NUMBERS of them are needed
    assert min(judged) == pytest.approx(max(6.0, 3.0 + 0.2 * LEAST_NUMBERS), abs=0.5)
    assert all(np.isnan(unit.score) for unit in units if not unit.valid)


def test_alone_an_event_is_found_when_and_where(alone):
    _, units = alone
    events = CausalEvents(unit_s=0.2, high=SELF_THRESHOLD, low=SELF_THRESHOLD / 2)
    changes = [change for unit in units for change in events.push(unit.second, unit.score, valid=unit.valid)]
    assert len(changes) == 2
    assert changes[0].start_s == pytest.approx(12.0, abs=0.5)
    assert changes[0].at_s < 13.5  # the smoothing takes its second
    at_peak = max((unit for unit in units if unit.valid), key=lambda unit: unit.score)
    x0, y0, x1, y1 = at_peak.box
    assert 60 <= (x0 + x1) / 2 <= 120
    assert 50 <= (y0 + y1) / 2 <= 96
    assert at_peak.parts["appearance"] > at_peak.parts["motion"]


def test_a_unit_is_told_less_than_a_second_late(fitted):
    novelty = LiveNovelty(fitted)
    assert novelty.lag_s == pytest.approx(0.8)
    late = []
    for stretch in (Stretch(n, tuple(frames(walkers(4, seed=5))[2 * n : 2 * n + 2])) for n in range(20)):
        late += [stretch.frames[-1].time_s - unit.second for unit in novelty.push(stretch)]
    assert len(late) >= 15
    assert max(late) <= 1.0


def test_a_jump_is_told_and_not_judged_with_normal_clips(fitted):
    pictures = np.concatenate([walkers(4, seed=3), walkers(4, seed=3, place=5)])
    units = list(LiveNovelty(fitted).follow(frames(pictures)))
    (jump,) = [unit.jump for unit in units if unit.jump is not None]
    assert jump.time_s == pytest.approx(4.0)
    blurred = [round(unit.second, 1) for unit in units if unit.why == "jump"]
    assert {3.9, 4.1} <= set(blurred) <= {3.7, 3.9, 4.1, 4.3}
    assert all(unit.valid for unit in units if abs(unit.second - 4.0) > 0.35)


def test_alone_each_scene_has_a_memory_and_a_known_one_is_judged_at_once():
    """A camera that turns away for a while and back."""
    parts = [walkers(9, seed=3), walkers(4, seed=4, place=5), walkers(3, seed=6)]
    novelty = LiveNovelty(FrameNovelty(**SMALL), warm_up_s=6.0)
    units = list(novelty.follow(frames(np.concatenate(parts))))
    jumps = [unit.jump for unit in units if unit.jump is not None]
    assert [(round(jump.time_s, 1), jump.known) for jump in jumps] == [(9.0, False), (13.0, True)]
    assert all(unit.why in ("learning", "jump") for unit in units if 9 < unit.second < 13)
    back = [unit for unit in units if unit.second > 13.4]
    assert back
    assert all(unit.valid for unit in back)
    assert np.median([unit.score for unit in back]) < SELF_THRESHOLD


def test_light_is_no_jump_and_forgotten_scenes_take_little_memory():
    scenes = LiveScenes()
    pictures = walkers(3, seed=1)
    assert [scenes.add(frame) for frame in frames((pictures * 0.6).astype(np.uint8)) + frames(pictures, 3.0)] == [None] * 60
    for number in range(1, 9):
        for frame in frames(walkers(1.5, seed=1, place=number), 6 + 1.5 * number):
            scenes.add(frame)
    assert len(scenes.known) <= MOST_SCENES + 1


def _unit(number, unit_s=0.2, *, moved=True):
    draw = torch.Generator().manual_seed(number)
    return Units(
        number=np.array([number]), seconds=np.array([(number + 0.5) * unit_s]), frame_index=np.array([number]),
        appearance=torch.randn(1, 2, 3, 4, generator=draw), motion=torch.rand(1, 2, 2, 8, generator=draw), moved=np.array([moved]),
        looked=np.array([True]),
    )  # fmt: skip


def test_the_memory_of_a_scene_is_bounded_and_reaches_back_evenly():
    memory = Memory(unit_s=0.2, memory_s=600.0, warm_up_s=30.0, bank_units=128, exclusion_s=2.0)
    kept = []
    for number in range(30 * 60 * 5):
        memory.add(_unit(number), {"appearance": np.float32([1.0]), "motion": np.float32([np.nan])})
        kept.append(len(memory))
    assert max(kept) <= 128
    assert min(kept[128:]) >= 60
    now = 1800.0
    bank, allowed = memory.bank(now)
    steps = np.diff(bank.seconds)
    assert np.ptp(steps) < 1e-6
    assert now - bank.seconds[0] == pytest.approx(600.0, abs=2 * steps[0])
    assert bank.seconds[allowed[0]].max() < now - 2.0
    assert len(memory._numbers["appearance"]) == 3000
    assert len(memory._numbers["motion"]) == 0


def test_a_moment_is_never_compared_with_what_is_near_or_later():
    memory = Memory(unit_s=0.2, memory_s=20.0, warm_up_s=4.0, bank_units=16, exclusion_s=2.0)
    assert memory.bank(0.1) is None
    for number in range(300):
        second = (number + 0.5) * 0.2
        found = memory.bank(second)
        if found is not None:
            bank, allowed = found
            assert allowed.any()
            assert bank.seconds[allowed[0]].max() < second - 2.0
        memory.add(_unit(number), {})


def test_half_an_hour_takes_no_more_memory_than_a_quarter(one_thread):
    draw = np.random.default_rng(0)
    ground = draw.integers(60, 140, (40, 56, 3))
    novelty = LiveNovelty(FrameNovelty(side=32, flow_side=32, bank_units=32), fps=1.0, memory_s=120.0, warm_up_s=30.0)
    used, judged = [], 0
    for second in range(30 * 60):
        picture = (ground + draw.integers(-5, 6, ground.shape)).astype(np.uint8)
        judged += sum(unit.valid for unit in novelty.push(Stretch(second, (Frame(second, float(second), picture),))))
        if second in (900, 1799):
            used.append(psutil.Process().memory_info().rss)
    assert judged > 1700
    assert used[1] - used[0] < 12 * 2**20
    assert len(novelty._memories[0]) <= 32
    assert len(novelty._waiting) < 5


def test_frames_are_thinned_and_time_never_goes_back():
    rgb = np.zeros((4, 4, 3), np.uint8)
    times = [0.0, 0.02, 0.06, 0.05, 0.13, 0.01, 5.0]
    assert [frame.time_s for frame in thinned(Frame(n, t, rgb) for n, t in enumerate(times))] == [0.0, 0.06, 0.13, 5.0]


@pytest.mark.parametrize("numbers", [{"fps": 0.0}, {"fps": float("nan")}, {"warm_up_s": 1.0}, {"memory_s": 10.0}])
def test_numbers_out_of_range_are_refused(numbers):
    with pytest.raises(BadInput, match="live novelty: expected"):
        LiveNovelty(**numbers)


# lateness


def test_a_slow_scorer_leaves_units_out_and_the_queue_never_grows():
    queue, got, longest = UnitQueue(most=3), [], 0
    seconds = 0.3

    def read():
        for number in range(60):
            queue.put(Stretch(number, ()))
            time.sleep(seconds / 60)
        queue.close()

    reader = threading.Thread(target=read)
    reader.start()
    while not queue.over:
        longest = max(longest, len(queue._waiting))
        stretch = queue.get(1.0)
        if stretch is not None:
            got.append(stretch.number)
            time.sleep(0.03)
    reader.join()
    assert longest <= 3
    assert got == sorted(got)
    assert got[-1] == 59  # what is told is of now
    assert queue.left_out == 60 - len(got) > 20
    assert queue.taken == len(got)


def test_a_patient_queue_leaves_nothing_out():
    queue = UnitQueue(most=2, patient=True)
    reader = threading.Thread(target=lambda: [queue.put(Stretch(number, ())) for number in range(20)])
    reader.start()
    got = []
    for _ in range(20):
        time.sleep(0.002)
        got.append(queue.get(1.0).number)
    reader.join(1.0)
    assert got == list(range(20))
    assert queue.left_out == 0


def test_a_closed_queue_hands_on_what_waits_then_the_trouble_then_nothing():
    queue = UnitQueue()
    queue.put(Stretch(0, ()))
    queue.close(BadInput("the camera is gone"))
    queue.put(Stretch(1, ()))
    assert queue.get().number == 0
    assert not queue.over
    with pytest.raises(BadInput, match="camera is gone"):
        queue.get()
    assert queue.get(0.01) is None
    assert queue.over


def test_closing_frees_a_patient_reader():
    queue = UnitQueue(most=1, patient=True)
    reader = threading.Thread(target=lambda: [queue.put(Stretch(number, ())) for number in range(3)])
    reader.start()
    queue.close()
    reader.join(1.0)
    assert not reader.is_alive()
