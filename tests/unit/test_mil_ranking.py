import numpy as np
import pytest
import torch

from core.detector import teach
from core.errors import BadInput, NotFitted
from core.synthetic import case, examples
from metrics.ranking import auroc
from models.mil_ranking import SegmentRanker, Training, ranking_loss, train
from tools.catalog import catalogue
from tools.video.bags import SEGMENTS, Bag, borders, read_bag, read_bags, segments, unit_rows
from tools.video.mil_ranking import MILRanking

ABNORMAL = torch.tensor([[0.9, 0.2, 0.1], [0.4, 0.6, 0.3]])
NORMAL = torch.tensor([[0.1, 0.3, 0.2], [0.5, 0.1, 0.1]])


pytestmark = pytest.mark.usefixtures("one_thread")


def made_up(seed, *, bags=12, width=16, shifted=3):
    """Gaussian bags; in abnormal ones a run of segments is shifted. Returns bags and where."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(2 * bags, SEGMENTS, width))
    where = np.zeros((2 * bags, SEGMENTS), np.bool_)
    for number in range(bags):
        first = rng.integers(SEGMENTS - shifted)
        rows[number, first : first + shifted, :3] += 4
        where[number, first : first + shifted] = True
    return torch.from_numpy(unit_rows(rows)), where


def test_the_loss_has_its_worked_value():
    assert float(ranking_loss(ABNORMAL, NORMAL)) == pytest.approx(1.3002504, abs=1e-6)


def test_the_hinge_is_over_all_pairs_of_unequal_numbers():
    expected = sum(max(0.0, 1 - a + n) for a in (0.9, 0.6) for n in (0.3,))
    assert float(ranking_loss(ABNORMAL, NORMAL[:1])) == pytest.approx(expected + 2.0e-4 + 5.04e-5, abs=1e-6)


def test_the_gradient_reaches_the_two_maxima_and_else_only_what_keeps_scores_few_and_smooth():
    abnormal, normal = ABNORMAL.clone().requires_grad_(), NORMAL.clone().requires_grad_()
    ranking_loss(abnormal, normal).backward()
    assert (normal.grad != 0).tolist() == [[False, True, False], [True, False, False]]
    large = (abnormal.grad.abs() > 0.1).tolist()
    assert large == [[True, False, False], [False, True, False]]


def test_segments_of_made_up_bags_are_found_without_being_told_where():
    bags, where = made_up(0)
    ranker = train(bags[:12], bags[12:], Training(steps=300))
    unseen, truth = made_up(1)
    with torch.inference_mode():
        scores = ranker(unseen).numpy()
    assert auroc(truth.ravel(), scores.ravel()) > 0.95
    assert not where[12:].any()


def test_the_same_seed_learns_the_same():
    bags, _ = made_up(0)
    first, second, other = (train(bags[:12], bags[12:], Training(steps=5, seed=seed)).first.weight for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_weights_begin_as_published_and_the_middle_is_linear():
    ranker = SegmentRanker(4096).eval()
    assert [tuple(layer.weight.shape) for layer in ranker.layers] == [(512, 4096), (32, 512), (1, 32)]
    assert sum(layer.weight.numel() + layer.bias.numel() for layer in ranker.layers) == pytest.approx(2.1e6, rel=0.02)
    assert float(ranker.first.weight.detach().std()) == pytest.approx((2 / (4096 + 512)) ** 0.5, rel=0.02)


# --- bags -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [1, 7, 31, 32, 33, 50, 1000])
def test_every_segment_is_the_mean_of_its_run(pieces):
    rows = np.random.default_rng(pieces).normal(size=(pieces, 5))
    found = segments(rows)
    b = [int(np.floor(1 + k * (pieces - 1) / 32 + 0.5)) for k in range(33)]  # 1-based, as published
    for k in range(32):
        run = rows[b[k] - 1 : b[k + 1] - 1] if b[k + 1] > b[k] else rows[b[k] - 1 : b[k]]
        mean = run.mean(axis=0)
        assert np.allclose(found[k], mean / np.linalg.norm(mean), atol=1e-6)
    assert borders(pieces, 32)[0] == 0


def test_files_of_features_are_read_as_bags(tmp_path):
    rows = np.random.default_rng(0).random((32, 6)).astype(np.float32)
    np.savetxt(tmp_path / "a_C.txt", rows)
    np.save(tmp_path / "b.npy", rows)
    np.savez(tmp_path / "c.npz", features=np.repeat(rows, 2, axis=0))
    a, b, c = (read_bag(tmp_path / name, abnormal=True) for name in ("a_C.txt", "b.npy", "c.npz"))
    assert (a.name, a.abnormal, a.segments.shape) == ("a_C", True, (32, 6))
    assert np.allclose(a.segments, unit_rows(rows), atol=1e-6)
    assert np.allclose(b.segments, a.segments, atol=1e-6)
    assert c.segments.shape == (32, 6)


def test_a_folder_and_a_list_say_which_videos_are_abnormal(tmp_path):
    for label, count in (("normal", 2), ("abnormal", 1)):
        (tmp_path / label).mkdir()
        for number in range(count):
            np.save(tmp_path / label / f"{number}.npy", np.ones((32, 4), np.float32))
    assert [bag.abnormal for bag in read_bags(tmp_path)] == [False, False, True]
    listed = tmp_path / "list.csv"
    listed.write_text("path,abnormal\nnormal/0.npy,0\nabnormal/0.npy,1\n")
    assert [bag.abnormal for bag in read_bags(listed)] == [False, True]
    detector = MILRanking(steps=2).fit_bags(read_bags(listed))
    assert detector.score_pieces(np.ones((5, 4), np.float32)).shape == (5,)
    with pytest.raises(BadInput, match=r"expected features of length 4, as it was learned from, got \(5, 3\)"):
        detector.score_pieces(np.ones((5, 3), np.float32))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,label\na.npy,1\n", "expected columns path and abnormal"),
        ("path,abnormal\na.npy,perhaps\n", r"abnormal \(0 or 1\)"),
        ("path,abnormal\nmissing.npy,1\n", "'missing.npy': expected features of a video"),
    ],
)
def test_a_list_that_says_too_little_is_refused(tmp_path, content, message):
    (tmp_path / "list.csv").write_text(content)
    with pytest.raises(BadInput, match=message):
        read_bags(tmp_path / "list.csv")


@pytest.mark.parametrize("rows", [np.full((4, 3), np.nan), np.zeros(7), np.zeros((0, 3)), np.array([["a", "b"]])])
def test_features_that_are_no_numbers_in_rows_are_refused(tmp_path, rows):
    np.save(tmp_path / "a.npy", rows)
    with pytest.raises(BadInput, match=r"'a\.npy': expected"):
        read_bag(tmp_path / "a.npy", abnormal=False)


def test_bags_of_one_kind_or_of_two_widths_are_refused():
    one = Bag(name="a", segments=np.ones((32, 4), np.float32), abnormal=False)
    wide = Bag(name="b", segments=np.ones((32, 5), np.float32), abnormal=True)
    with pytest.raises(BadInput, match="videos of both kinds"):
        MILRanking().fit_bags([one, one])
    with pytest.raises(BadInput, match=r"features of one length, got \[4, 5\]"):
        MILRanking().fit_bags([one, wide])


# --- detector -------------------------------------------------------------------------------------------------------------


def test_clips_are_needed_of_both_kinds_and_others_learn_from_normal_ones_only():
    clips = case("video")
    with pytest.raises(BadInput, match="expected abnormal clips beside the normal ones, got none"):
        MILRanking().fit(clips.normal)
    with pytest.raises(NotFitted):
        MILRanking().score(clips.normal)
    with pytest.raises(BadInput, match="'frame_novelty' learns from normal samples only, got 2 abnormal ones"):
        teach(catalogue().create("frame_novelty"), clips.normal, examples("video"))


def test_the_moment_is_found_in_a_clip_that_was_not_learned_from():
    clips = case("video", seed=5)
    detector = MILRanking(side=64, flow_side=64, steps=60).fit(clips.normal, examples("video", 3))
    found = detector.score([clips.odd, clips.unseen[0]])
    frames = np.round(found[0].seconds * clips.odd.fps).astype(int).clip(0, len(clips.mask) - 1)
    assert auroc(clips.mask[frames], found[0].scores) > 0.9
    assert found[0].scores.max() > found[1].scores.max()
    assert len(detector.reference_scores()) == sum(len(s.scores) for s in detector.score(clips.normal))
