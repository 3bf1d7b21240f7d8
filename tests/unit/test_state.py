import numpy as np
import pytest
import torch
from torch.nn import functional as F

from core.errors import BadInput, NotFitted
from core.progress import watching
from core.samples import VideoClip
from metrics.ranking import auroc
from models.state_network import HEADS, SLOPE, Branch, ConvAttention, StateNetwork, Training, errors, loss_of, tensors, train
from tools.video.cube_sample import FairSample, use_of
from tools.video.object_cubes import WINDOW, CubeReader, Middles, elastic_windows, motion_boxes, uncovered
from tools.video.state import STATE

pytestmark = pytest.mark.usefixtures("one_thread")

FPS = 25.0


def yard(seed, *, frames=50, odd=None, flat=False):
    """Two squares that go right at 1 pixel per frame; from frame 20 to 35 the upper one is `odd`: "fast" (4 pixels) or "striped"."""
    rng = np.random.default_rng(seed)
    fixed = np.random.default_rng(9)
    ground = fixed.integers(70, 130, (18, 32, 1)).repeat(4, 0).repeat(4, 1) * (not flat) + 90 * flat
    square = np.array([220, 200, 60]) + fixed.integers(-30, 30, (4, 4, 1)).repeat(4, 0).repeat(4, 1)
    made = np.empty((frames, 72, 128, 3), np.uint8)
    starts = rng.uniform(0, 15, 2) + np.array([0, 45])
    for t in range(frames):
        picture = ground + rng.normal(0, 2, (72, 128, 3))
        for lane, start in zip((6, 48), starts, strict=True):
            hurry = 3 * np.clip(t - 20, 0, 15) if odd == "fast" and lane == 6 else 0
            left = int(start + t + hurry)
            picture[lane : lane + 16, left : left + 16] = square[:, : 128 - left]
            if odd == "striped" and lane == 6 and 20 <= t < 35:
                picture[lane : lane + 16, left : left + 16][np.arange(16) % 8 < 4] = (20, 20, 160)
        made[t] = picture.clip(0, 255)
    return VideoClip.from_array(odd or "normal", made, fps=FPS)


def made_up_cubes(count, seed, *, speed=1.0):
    """Discs that move across cubes, and their flow."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:32, 0:32]
    rgb = np.full((count, WINDOW, 32, 32, 3), 40, np.uint8)
    flow = np.zeros((count, WINDOW, 32, 32, 2), np.float16)
    for n in range(count):
        start = rng.uniform(8, 16)
        for t in range(WINDOW):
            inside = (x - start - speed * t) ** 2 + (y - 16) ** 2 < 36
            rgb[n, t][inside] = (220, 180, 60)
            flow[n, t][inside] = (speed / 8, 0)
    return torch.from_numpy(rgb), torch.from_numpy(flow)


@pytest.fixture(scope="module")
def learned():
    """A small network that learned slow discs."""
    network = StateNetwork(layers=1, width=4)
    losses = train(network, *made_up_cubes(16, 0), Training(steps=60, batch=4), device="cpu/fp32")
    return network, losses


# --- windows, boxes, cubes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [7, 8, 13, 20])
def test_windows_shift_inwards_at_the_ends_and_hold_seven_different_frames(count):
    found = list(elastic_windows(range(count)))
    assert [item for item, _ in found] == list(range(count))
    for item, window in found:
        first = min(max(item - 3, 0), count - 7)
        assert window == tuple(range(first, first + 7))
    assert found[0][1] == (0, 1, 2, 3, 4, 5, 6)
    assert found[-1][1] == tuple(range(count - 7, count))


@pytest.mark.parametrize("count", [0, 1, 6])
def test_fewer_than_seven_frames_come_with_all_there_are(count):
    assert list(elastic_windows(range(count))) == [(item, tuple(range(count))) for item in range(count)]


def test_a_window_is_given_out_as_soon_as_it_is_full():
    taken = []

    def source():
        for number in range(100):
            taken.append(number)
            yield number

    for item, _ in elastic_windows(source()):
        if item == 50:
            assert len(taken) == 54
            break


def test_a_box_inside_a_larger_one_is_dropped_and_equal_boxes_stay_once():
    assert uncovered([(0, 0, 10, 10), (0, 0, 10, 10), (20, 0, 24, 4)]) == ((20, 0, 24, 4), (0, 0, 10, 10))
    assert uncovered([(0, 0, 10, 10), (5, 0, 16, 10)]) == ((0, 0, 10, 10), (5, 0, 16, 10))
    assert uncovered([]) == ()


def test_long_thin_and_small_changes_are_no_objects():
    still = np.full((60, 90, 3), 90, np.uint8)
    passed = still.copy()
    passed[10:12, 5:80] = 255
    passed[40:43, 40:43] = 255
    assert motion_boxes([still, passed, still], [], least=100) == ()


def test_cubes_are_cut_from_one_place_in_all_seven_frames():
    clip = yard(0, flat=True)
    sightings = list(CubeReader(rate=FPS, side=128).read(clip))
    one = sightings[25]
    assert len(sightings) == clip.n_frames
    assert one.boxes
    cubes = one.cubes()
    assert cubes.rgb.shape == (len(one.boxes), 7, 32, 32, 3)
    assert cubes.flow.shape == (len(one.boxes), 7, 32, 32, 2)
    # The square fills the box in the middle frame and has left part of it three frames before: the box does not follow it.
    yellow = (cubes.rgb[..., 0].astype(int) - cubes.rgb[..., 2] > 60).mean(axis=(2, 3))
    assert (yellow[:, 3] >= yellow[:, 0]).all()
    # One pixel per frame to the right is four pixels of a picture 512 wide, half a unit.
    assert float(np.quantile(cubes.flow[:, 3, ..., 0], 0.5)) == pytest.approx(0.5, abs=0.1)


def test_flow_is_per_working_interval():
    clip = yard(0, flat=True)
    whole, half = (
        np.concatenate([one.cubes().flow for one in CubeReader(rate=rate, side=128).read(clip) if one.boxes])
        for rate in (FPS, FPS / 2)
    )
    assert float(np.median(half[..., 0])) == pytest.approx(2 * float(np.median(whole[..., 0])), rel=0.3)


def test_each_unit_has_one_frame_and_the_last_one_too():
    middle = Middles(unit_s=0.2, duration_s=5.1, interval_s=0.1)
    chosen = [
        one.number for one in VideoClip.from_array("a", np.zeros((51, 2, 2, 3), np.uint8), fps=10.0).frames() if middle(one)
    ]
    assert chosen == [*range(1, 50, 2), 50]


def test_no_frame_next_to_a_held_out_one_is_learned_from():
    times = np.arange(0, 20, 0.04)
    uses = np.array([use_of(t, clip=0, clips=1, duration_s=20.0, margin_s=0.12) for t in times])
    assert {"learn", "hold out", "neither"} == set(uses)
    gaps = np.abs(times[uses == "learn"][:, None] - times[uses == "hold out"][None]).min()
    assert gaps > 0.12
    assert 0.15 < (uses == "hold out").mean() < 0.25
    assert (np.array([use_of(1.0, clip=k, clips=10, duration_s=20.0, margin_s=1.0) for k in range(10)]) == "hold out").sum() == 2


def test_a_fair_sample_keeps_early_and_late_alike():
    kept = FairSample[int](capacity=200, seed=1)
    for number in range(10_000):
        kept.add(number, size=1)
    items = kept.items()
    assert len(items) == 200
    assert items == sorted(items)
    assert 4000 < np.mean(items) < 6000


# --- network --------------------------------------------------------------------------------------------------------------


def test_attention_adds_up_to_one_over_the_frames_that_are_looked_at():
    weights, value = ConvAttention(16).attention(torch.randn(2, 7, 16, 8, 8))
    assert weights.shape == (2, HEADS, 7, 7, 8, 8)
    assert torch.allclose(weights.sum(dim=3), torch.ones(2, HEADS, 7, 8, 8), atol=1e-5)
    assert value.shape == (2, 7, 16, 8, 8)


def test_positions_move_attention_but_not_values():
    layer = ConvAttention(16)
    x = torch.randn(1, 7, 16, 8, 8)
    weights, value = layer.attention(x)
    with torch.no_grad():
        layer.position.mul_(3.0)
    moved, same = layer.attention(x)
    assert torch.equal(value, same)
    assert not torch.allclose(weights, moved)


def test_the_pair_map_is_the_convolution_over_query_and_key_together():
    layer, x = ConvAttention(8), torch.randn(1, 7, 8, 8, 8)
    weights, _ = layer.attention(x)
    place = layer.position[:7].reshape(7, 8, 1, 1)
    query = F.leaky_relu(layer.query(x[0]), SLOPE) + place
    key = F.leaky_relu(layer.value(x[0]), SLOPE) + place
    for head in range(HEADS):
        own = slice(2 * head, 2 * head + 2)
        kernel = torch.cat([layer.pair_query.weight[head], layer.pair_key.weight[head]])[None]
        for i in (0, 5):
            pairs = torch.stack([torch.cat([query[i, own], key[j, own]]) for j in range(7)])
            told = F.leaky_relu(F.conv2d(pairs, kernel, layer.pair_query.bias[head : head + 1], padding=1), SLOPE)[:, 0]
            assert torch.allclose(weights[0, head, i], told.softmax(dim=0), atol=1e-5)


def test_shapes_and_sizes_are_the_published_ones():
    network = StateNetwork(layers=3, width=32)
    assert network.colour.encoder(torch.zeros(7, 3, 32, 32)).shape == (7, 128, 8, 8)
    assert network.colour.layers[0].position.shape == (10, 128)
    colour, flow = network(torch.zeros(1, 7, 3, 32, 32))
    assert (colour.shape, flow.shape) == ((1, 7, 3, 32, 32), (1, 7, 2, 32, 32))
    assert isinstance(network.motion, Branch)
    with pytest.raises(BadInput, match="expected layers from 0 and width from 1, got layers=-1"):
        StateNetwork(layers=-1)


def test_training_lowers_the_error_and_the_seed_decides(learned):
    _, losses = learned
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])
    first, second, other = (
        train(
            StateNetwork(layers=1, width=4, seed=seed), *made_up_cubes(8, 0), Training(steps=3, batch=4, seed=seed), device="cpu"
        )
        for seed in (0, 0, 1)
    )
    assert first == second
    assert first != other


def test_training_ends_when_nothing_is_gained(monkeypatch):
    monkeypatch.setattr("models.state_network.PATIENCE", 5)
    monkeypatch.setattr("models.state_network.RATE", 0.0)
    steps = []
    with watching(lambda what, done, total: steps.append((what, done, total))):
        losses = train(StateNetwork(layers=0, width=2), *made_up_cubes(4, 0), Training(steps=100, batch=4), device="cpu")
    assert len(losses) == 10
    assert steps[-1] == ("steps of learning to rebuild", 10, 100)


def test_the_error_of_what_is_unlike_is_larger(learned):
    slow, fast = (torch.stack(errors(learned[0], *tensors(*made_up_cubes(8, 5, speed=speed)))) for speed in (1.0, 3.0))
    assert slow.shape == (2, 8)
    assert float(slow[1].max()) < float(fast[1].min())


def test_a_step_against_the_gradient_lowers_the_error_of_what_was_learned(learned):
    network = learned[0]
    x, flow = tensors(*made_up_cubes(16, 0))
    plain, moved = (sum(errors(network, x, flow, perturbation=eps)) for eps in (0.0, 0.002))
    assert float(moved.mean()) < float(plain.mean())
    assert (moved < plain).float().mean() > 0.9
    assert x.min() >= 0  # what was given stays as it was
    assert all(parameter.grad is None or torch.isfinite(parameter.grad).all() for parameter in network.parameters())


def test_the_step_is_the_sign_of_the_gradient_whose_target_moves_along(learned):
    network = learned[0]
    x, flow = tensors(*made_up_cubes(2, 3))
    given = x.clone().requires_grad_()
    loss_of(network, given, flow).backward()
    moved = x - 0.01 * given.grad.sign()
    with torch.no_grad():
        colour, motion = network(moved)
    told = errors(network, x, flow, perturbation=0.01)
    assert torch.allclose(told[0], (colour - moved).square().sum(dim=(1, 2, 3, 4)), rtol=1e-3)
    assert torch.allclose(told[1], (motion - flow).square().sum(dim=(1, 2, 3, 4)), rtol=1e-3)


# --- detector -------------------------------------------------------------------------------------------------------------

SMALL = {"unit_s": 0.08, "side": 128, "flow_side": 128, "width": 8, "steps": 140, "batch": 4, "device": "cpu/fp32"}


@pytest.fixture(scope="module")
def detector():
    return STATE(**SMALL).fit([yard(0, frames=40), yard(1, frames=40)])


@pytest.mark.parametrize(("odd", "part"), [("fast", "motion"), ("striped", "appearance")])
def test_another_speed_and_another_texture_are_found_where_they_are(detector, odd, part):
    clip = yard(7, odd=odd)
    [found] = detector.score([clip])
    labels = (found.frame_index >= 20) & (found.frame_index < 35)
    scores = np.where(found.valid, found.scores, found.scores.min())
    assert auroc(labels, scores) > 0.9
    assert auroc(labels, np.where(found.valid, found.parts[part], -9)) > 0.9
    assert np.allclose(found.scores, found.parts["appearance"] + found.parts["motion"], atol=1e-5)
    box = found.boxes[int(found.scores.argmax())]
    assert box[1] < 14 < box[3] < 40  # the upper lane


def test_usual_clips_lie_near_their_reference(detector):
    [usual] = detector.score([yard(11)])
    reference = detector.reference_scores()
    assert len(reference) >= 3
    assert np.median(usual.scores[usual.valid]) < np.median(reference) + 3 * max(reference.std(), 1)


def test_a_clip_in_which_nothing_moves_is_not_judged(detector):
    still = VideoClip.from_array("still", np.full((30, 72, 128, 3), 90, np.uint8), fps=FPS)
    [found] = detector.score([still])
    assert not found.valid.any()
    assert set(found.boxes) == {None}
    assert np.ptp(found.scores) == 0
    assert found.scores[0] < detector.reference_scores().min()
    with pytest.raises(BadInput, match="expected moving things or people in the normal clips, found none in 1"):
        STATE(**SMALL).fit([still])


@pytest.mark.parametrize("shape", [(1, 72, 128), (6, 72, 128), (9, 1, 1), (9, 5, 300), (9, 17, 16)])
def test_short_and_tiny_clips_are_judged_or_left_alone(detector, shape):
    rng = np.random.default_rng(0)
    [found] = detector.score([VideoClip.from_array("a", rng.integers(0, 255, (*shape, 3), dtype=np.uint8), fps=FPS)])
    assert len(found.scores) >= 1
    assert np.isfinite(found.scores).all()
    assert found.valid.any() <= (shape[0] >= 7)


def test_wide_grey_frames_are_worked_on_small(detector):
    clip = yard(3, frames=9)
    wide = np.stack([frame.rgb[..., :1].repeat(3, axis=2) for frame in clip.frames()]).repeat(30, axis=1).repeat(30, axis=2)
    [found] = detector.score([VideoClip.from_array("wide", wide, fps=FPS)])
    assert wide.shape[2] == 3840
    for box in filter(None, found.boxes):
        assert 0 <= box[0] < box[2] <= 3840
        assert 0 <= box[1] < box[3] <= 2160


def test_what_was_saved_scores_the_same(detector, tmp_path):
    clip = yard(7, odd="fast")
    detector.save(tmp_path / "state.npz")
    loaded = STATE.load(tmp_path / "state.npz")
    before, after = (one.score([clip])[0] for one in (detector, loaded))
    assert np.array_equal(before.scores, after.scores)
    assert before.boxes == after.boxes
    assert np.array_equal(loaded.reference_scores(), detector.reference_scores())


def test_the_perturbation_changes_scores_a_little(detector, tmp_path):
    from core.archive import restate

    clip = yard(7, odd="fast")
    detector.save(tmp_path / "plain.npz")
    restate(tmp_path / "plain.npz", tmp_path / "moved.npz", name="state", perturbation=0.002)
    plain, moved = (one.score([clip])[0].scores for one in (detector, STATE.load(tmp_path / "moved.npz")))
    assert moved.mean() < plain.mean()
    assert np.corrcoef(plain, moved)[0, 1] > 0.9


def test_weights_choose_what_counts(detector, tmp_path):
    from core.archive import restate

    clip = yard(7, odd="fast")
    detector.save(tmp_path / "both.npz")
    restate(tmp_path / "both.npz", tmp_path / "motion.npz", name="state", appearance=0.0)
    [found] = STATE.load(tmp_path / "motion.npz").score([clip])
    assert not found.parts["appearance"].any()
    assert np.array_equal(found.scores, found.parts["motion"])


def test_values_out_of_range_and_missing_weights_are_refused(detector, tmp_path):
    with pytest.raises(BadInput, match=r"state: expected rate > 0, got 0\.0"):
        STATE(rate=0.0)
    with pytest.raises(BadInput, match="expected weights from 0"):
        STATE(appearance=-1.0)
    with pytest.raises(NotFitted):
        STATE().score([yard(0, frames=8)])
    with pytest.raises(NotFitted):
        STATE().save(tmp_path / "none.npz")
    detector.save(tmp_path / "narrow.npz")
    from core.archive import restate

    restate(tmp_path / "narrow.npz", tmp_path / "wide.npz", name="state", width=6)
    with pytest.raises(BadInput, match="its weights do not fit"):
        STATE.load(tmp_path / "wide.npz")
