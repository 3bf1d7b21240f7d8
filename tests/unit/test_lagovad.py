"""LaGoVAD: its network, losses, made-up videos, lists of features and what it learns from definitions in words."""

import json

import numpy as np
import pytest
import torch

from core.errors import BadInput, NotFitted
from core.samples import VideoClip
from metrics.ranking import auroc
from models.lagovad import REACH, LaGoVadNetwork, released, top_mean
from models.lagovad_training import (
    SHARP,
    Batch,
    Clip,
    Training,
    classes,
    loss_of,
    multiple_instance,
    negatives,
    synthesis,
    synthesised,
    train,
)
from tools.video.feature_lists import ListedVideo, pieces, read_list
from tools.video.lagovad import LaGoVAD

pytestmark = pytest.mark.usefixtures("one_thread")
C, D = 12, 16


@pytest.fixture
def network():
    return LaGoVadNetwork(C, D, width=32, seed=1).eval()


def video(length, seed=0):
    return torch.randn(1, length, C, generator=torch.Generator().manual_seed(seed)), torch.ones(1, length, dtype=torch.bool)


WORDS = torch.randn(4, D, generator=torch.Generator().manual_seed(5))


def test_the_published_size():
    parameters = sum(p.numel() for p in LaGoVadNetwork(512, 512).parameters())
    assert parameters == pytest.approx(18.9e6, rel=0.01)


def test_permuted_definitions_permute_their_columns_and_nothing_else(network):
    units, given = video(40)
    order = torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        one, other = network(units, given, WORDS), network(units, given, WORDS[order])
    assert torch.allclose(one.logits, other.logits, atol=1e-5)
    assert torch.allclose(one.similar[..., order], other.similar, atol=1e-5)


def test_padding_changes_nothing(network):
    units, given = video(30)
    longer = torch.cat([units, torch.full((1, 20, C), 9.0)], dim=1)
    marked = torch.cat([given, torch.zeros(1, 20, dtype=torch.bool)], dim=1)
    with torch.no_grad():
        short, long = network(units, given, WORDS), network(longer, marked, WORDS)
    assert torch.allclose(short.logits, long.logits[:, :30], atol=1e-5)
    assert torch.allclose(short.similar, long.similar[:, :30], atol=1e-5)


def test_moments_look_two_windows_far(network):
    units, given = video(120)
    changed = units.clone()
    changed[0, 60] += 5
    with torch.no_grad():
        apart = (network(units, given, WORDS).moments - network(changed, given, WORDS).moments).abs().amax(dim=(0, 2))
    reached = apart.nonzero().flatten()
    assert reached.min() >= 60 - 2 * REACH
    assert reached.max() <= 60 + 2 * REACH
    assert apart[60 - REACH] > 0
    assert apart[60 + REACH + 1] > 0  # through a neighbour


def test_definitions_move_the_score(network):
    units, given = video(40)
    with torch.no_grad():
        assert not torch.allclose(network(units, given, WORDS).logits, network(units, given, -WORDS).logits, atol=1e-4)
        assert torch.allclose(network(units, given, WORDS).moments, network(units, given, -WORDS).moments)


@pytest.mark.parametrize(
    ("length", "most", "margin"), [(20, 12, 2), (21, 12, 2), (5, 12, 2), (12, 12, 2), (1300, 512, 28), (513, 512, 28)]
)
def test_pieces_cover_every_unit_once(length, most, margin):
    counted = np.zeros(length, int)
    for seen, kept in pieces(length, most, margin):
        assert seen.stop - seen.start <= most
        inside = np.arange(seen.start, seen.stop)[kept]
        counted[inside] += 1
        assert inside[0] == 0 or inside[0] - seen.start >= margin
        assert inside[-1] == length - 1 or seen.stop - 1 - inside[-1] >= margin
    assert (counted == 1).all()


def test_long_videos_in_pieces_are_nearly_as_whole():
    detector = LaGoVAD(width=32, steps=1)
    detector._network = LaGoVadNetwork(C, 384, width=32, seed=2).eval()
    rng = np.random.default_rng(0)
    units = rng.normal(0, 1, (700, C)).astype(np.float32)
    in_pieces = detector.score_units(units)[0]
    words = torch.from_numpy(detector._vectors())
    whole = torch.sigmoid(detector._judged(units, words).logits[0]).numpy()
    assert np.abs(in_pieces - whole).max() < 0.02  # words have seen another part of the video, moments the same
    assert np.corrcoef(in_pieces, whole)[0, 1] > 0.99


# losses, each against numpy


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cross(p, y):
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))


LOGITS = torch.tensor([[0.2, -1.0, 2.0, 0.5], [0.1, 0.3, -0.4, 0.0]])
GIVEN = torch.tensor([[True] * 4, [True, True, True, False]])


def test_the_highest_part_of_a_video_carries_its_label():
    loss = multiple_instance(LOGITS, GIVEN, torch.tensor([1.0, 0.0]))
    assert float(loss) == pytest.approx((cross(sigmoid(2.0), 1) + cross(sigmoid(0.3), 0)) / 2, rel=1e-5)
    many = torch.arange(48.0)[None]
    assert float(top_mean(many, torch.ones(1, 48, dtype=torch.bool))) == pytest.approx(46.0)  # three of 48


def test_classes_compete_by_their_best_moments():
    similar = torch.tensor([[[1.0, 0.0], [0.5, 3.0]], [[2.0, 1.0], [9.0, 9.5]]])
    given = torch.tensor([[True, True], [True, False]])
    loss = classes(similar, given, torch.tensor([1, 0]))
    wanted = [-(3.0 - np.log(np.exp(1.0) + np.exp(3.0))), -(2.0 - np.log(np.exp(2.0) + np.exp(1.0)))]
    assert float(loss) == pytest.approx(np.mean(wanted), rel=1e-5)


def test_made_up_labels_count_at_every_unit_and_inside_the_labelled_part():
    labels = torch.tensor([[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    loss = synthesis(LOGITS, GIVEN, labels)
    flat, truth = LOGITS[GIVEN].numpy(), labels[GIVEN].numpy()
    units = np.mean([cross(sigmoid(x), y) for x, y in zip(flat, truth, strict=True)])
    inside = (cross(sigmoid(0.5), 1) + cross(sigmoid(0.3), 0)) / 2  # the highest of the labelled ones, not 2.0
    assert float(loss) == pytest.approx(units + inside, rel=1e-5)


def test_descriptions_and_videos_find_each_other_and_mild_moments_are_in_the_way():
    rng = torch.Generator().manual_seed(0)
    moments, words = torch.randn(2, 4, 3, generator=rng), torch.randn(1, 3, generator=rng)
    labels = torch.tensor([[0.0, 1.0, 1.0, 0.0], [0.0] * 4])
    from models.lagovad import Judged

    loss = negatives(Judged(LOGITS, torch.zeros(2, 4, 1), moments), GIVEN, labels, words)

    def pool(logits, rows):
        weights = np.exp((logits - logits.max()) / SHARP)
        return (weights / weights.sum()) @ rows

    m, logits = moments.numpy().astype(np.float64), LOGITS.numpy().astype(np.float64)
    videos = np.stack([pool(logits[0], m[0]), pool(logits[1, :3], m[1, :3]), pool(-logits[0, 1:3], m[0, 1:3])])
    products = words.numpy().astype(np.float64) @ videos.T
    log = products - np.log(np.exp(products).sum(axis=1, keepdims=True))
    by_text = -(0.9 * log[0, 0] + 0.1 * log[0].mean())
    assert float(loss) == pytest.approx(by_text / 2, rel=1e-4)  # of one description each video's own is the only one


def clips(kinds, seed, *, spread=0.3):
    """Clips of noise; an abnormal one has its class's direction in a part of it, as the words have (through a fixed matrix)."""
    rng = np.random.default_rng(seed)
    made = []
    for kind in kinds:
        units = rng.normal(0, spread, (int(rng.integers(12, 30)), C))
        where = np.zeros(len(units), bool)
        if kind:
            start = int(rng.integers(0, len(units) - 8))
            where[start : start + 8] = True
            units[where] += 2.0 * LOOKS[kind]
        made.append((Clip(units=units.astype(np.float32), kind=kind, description=TOLD[kind] if kind else None), where))
    return made


RNG = np.random.default_rng(11)
TOLD = RNG.normal(0, 1, (4, D)).astype(np.float32)
LOOKS = np.concatenate([np.zeros((1, C)), np.linalg.qr(RNG.normal(0, 1, (C, 3)))[0].T])


def test_made_up_videos_hold_whole_abnormal_clips_among_normal_ones():
    rng = np.random.default_rng(0)
    given = [clip for clip, _ in clips([0, 0, 0, 1, 2], 0)]
    abnormal, normal = [c for c in given if c.kind], [c for c in given if not c.kind]
    lengths = set()
    for _ in range(20):
        batch = synthesised(abnormal, normal, 8, rng)
        assert isinstance(batch, Batch)
        assert batch.kinds.tolist().count(0) == 4
        for row, clip in enumerate(batch.about):
            labels = batch.labels[row, batch.given[row]].numpy()
            assert labels.sum() == (len(clip.units) if clip.kind else 0)
            if clip.kind:
                assert np.array_equal(batch.units[row, batch.labels[row] > 0].numpy(), clip.units)
            assert not batch.labels[row, ~batch.given[row]].any()
            lengths.add(len(labels) / len(clip.units))
    assert min(lengths) == 1
    assert max(lengths) > 2


@pytest.fixture(scope="module")
def learned():
    given = [clip for clip, _ in clips([0] * 16 + [1, 2, 3] * 6, 1)]
    network = LaGoVadNetwork(C, D, width=32)
    losses = train(network, given, TOLD, Training(steps=200, batch=12, rate=1e-3))
    return network, losses


def judged(network, units, words):
    with torch.no_grad():
        out = network(torch.from_numpy(units)[None], torch.ones(1, len(units), dtype=torch.bool), torch.from_numpy(words))
    return torch.sigmoid(out.logits[0]).numpy(), out.similar[0].softmax(-1).numpy()


def test_it_learns_when_and_what_from_whole_videos_labels(learned):
    network, losses = learned
    assert np.mean(losses[-20:]) < 0.6 * np.mean(losses[:20])
    truth, scores, right = [], [], []
    for clip, where in clips([1, 2, 3] * 8, 2):
        chance, kinds = judged(network, clip.units, TOLD)
        truth.append(where)
        scores.append(chance)
        right.append(kinds[where].mean(axis=0).argmax() == clip.kind)
    assert auroc(np.concatenate(truth), np.concatenate(scores)) > 0.9
    assert np.mean(right) > 0.9


def test_another_definition_lowers_the_score_of_what_it_does_not_mean(learned):
    """Sanity: defined as something else, a true event counts less, in its score and in its chance."""
    network, _ = learned
    own, others = [], []
    for clip, where in clips([1, 2, 3] * 8, 3):
        for kind, into in ((clip.kind, own), (clip.kind % 3 + 1, others)):
            chance, kinds = judged(network, clip.units, TOLD[[0, kind]])
            into.append((chance[where].mean(), kinds[where, 1].mean()))
    (score, chance), (other_score, other_chance) = np.mean(own, axis=0), np.mean(others, axis=0)
    assert chance > other_chance + 0.2
    assert score > other_score + 0.2


def test_equal_seeds_train_equal_networks():
    given = [clip for clip, _ in clips([0, 0, 1, 2], 4)]
    twice = []
    for _ in range(2):
        network = LaGoVadNetwork(C, D, width=32)
        train(network, given, TOLD, Training(steps=4, batch=4))
        twice.append(network.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(twice[0].values(), twice[1].values(), strict=True))


@pytest.mark.parametrize(("kinds", "message"), [([0, 0], "some of both"), ([1, 1], "some of both"), ([0, 9], "class 9")])
def test_what_cannot_be_learned_from_is_refused(kinds, message):
    given = [Clip(units=np.zeros((5, C), np.float32), kind=kind) for kind in kinds]
    with pytest.raises(BadInput, match=message):
        train(LaGoVadNetwork(C, D, width=32), given, TOLD, Training(steps=1))


def test_losses_without_descriptions_are_those_of_the_names():
    given = [Clip(units=c.units, kind=c.kind) for c, _ in clips([0, 0, 1, 2], 4)]
    batch = synthesised(given[2:], given[:2], 4, np.random.default_rng(0))
    assert torch.isfinite(loss_of(LaGoVadNetwork(C, D, width=32), batch, torch.from_numpy(TOLD)))


# lists of features


def written(folder, rows, units=None):
    folder.mkdir(exist_ok=True)
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and isinstance(row.get("path"), str) and not (folder / row["path"]).exists():
            np.save(folder / row["path"], np.ones((6, C), np.float32) if units is None else units)
    path = folder / "list.json"
    path.write_text(rows if isinstance(rows, str) else json.dumps(rows))
    return path


def test_a_list_of_videos_is_read(tmp_path):
    rows = [
        {
            "path": "a.npy",
            "video_path": "a.mp4",
            "class_name": "Fighting",
            "descriptions": "two men fight",
            "anomaly_span": [[0.1, 0.5]],
        },
        {"path": "b.npy", "class_name": "normal", "descriptions": None, "anomaly_span": []},
        {"path": "c.npy", "class_name": "Fire", "descriptions": ["a bin burns", "smoke"]},
    ]
    fight, calm, fire = read_list(written(tmp_path, rows))
    assert (fight.class_name, fight.descriptions, fight.spans, fight.normal) == (
        "Fighting",
        ("two men fight",),
        ((0.1, 0.5),),
        False,
    )
    assert calm.normal
    assert fire.descriptions == ("a bin burns", "smoke")
    detector = LaGoVAD(width=32, steps=2).fit_list(tmp_path / "list.json")
    assert detector.classes == ["Fighting", "Fire"]
    scores, chances = detector.score_units(fight.units)
    assert scores.shape == (6,)
    assert chances.shape == (6, 3)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("not json", "cannot be read"), ([], "JSON list"), ({"a": 1}, "JSON list"), ([3], "with a path"), ([{"path": 3}], "with a path"),
        ([{"path": "a.npy", "descriptions": 3}], "descriptions"), ([{"path": "a.npy", "anomaly_span": [3]}], "pairs of shares"),
        ([{"path": "a.npy", "anomaly_span": [[0.5, 0.1]]}], "start before end"),
        ([{"path": "a.npy", "anomaly_span": [[0, 7]]}], "between 0 and 1"),
    ],
)  # fmt: skip
def test_a_wrong_list_is_refused(tmp_path, rows, message):
    with pytest.raises(BadInput, match=message):
        read_list(written(tmp_path / "wrong", rows))


@pytest.mark.parametrize("units", [np.ones(5), np.full((3, 4), np.nan), np.zeros((0, 4)), np.array([["a"]])])
def test_wrong_features_are_refused(tmp_path, units):
    with pytest.raises(BadInput, match="features"):
        read_list(written(tmp_path / "bad", [{"path": "a.npy"}], units))


def test_features_of_different_lengths_or_missing_are_refused(tmp_path):
    path = written(tmp_path / "odd", [{"path": "a.npy"}])
    np.save(tmp_path / "odd" / "b.npy", np.ones((3, C + 1)))
    path.write_text(json.dumps([{"path": "a.npy"}, {"path": "b.npy"}]))
    with pytest.raises(BadInput, match="one length"):
        read_list(path)
    path.write_text(json.dumps([{"path": "../../gone.npy"}]))
    with pytest.raises(BadInput, match="no features that can be read"):
        read_list(path)
    with pytest.raises(BadInput, match="cannot be read"):
        read_list(tmp_path / "nowhere.json")


# the detector


def flashes(name, *, odd, seed):
    """Two seconds of grey noise; an odd clip has a bright square for a second."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(80, 110, (20, 48, 64, 3), dtype=np.uint8)
    if odd:
        frames[8:18, 10:30, 20:44] = 250
    return VideoClip.from_array(name, frames, fps=10.0)


@pytest.fixture(scope="module")
def fitted():
    normal = [flashes(f"calm_{k}.mp4", odd=False, seed=k) for k in range(4)]
    odd = [flashes(f"flash_{k}.mp4", odd=True, seed=20 + k) for k in range(4)]
    return LaGoVAD(definitions="people fight; a light flashes", side=64, flow_side=64, width=32, steps=60).fit(normal, odd)


def test_clips_are_told_apart_and_moments_in_them(fitted):
    new, calm = fitted.score([flashes("x.mp4", odd=True, seed=77), flashes("y.mp4", odd=False, seed=78)])
    assert new.scores.max() > calm.scores.max()
    inside = (new.seconds > 0.9) & (new.seconds < 1.7)
    assert new.scores[inside].mean() > new.scores[new.seconds < 0.7].mean()
    assert len(fitted.reference_scores()) == 40


def test_names_of_clips_say_which_definition_they_belong_to(fitted):
    assert fitted.class_of("flash_3.mp4") == 2
    assert fitted.class_of("Fighting_007.mp4") == 1
    assert fitted.class_of("IMG_2041.mov") == 1


def test_other_words_are_other_definitions_of_the_same_network(fitted):
    clip = flashes("x.mp4", odd=True, seed=77)
    other = fitted.redefined("a dog barks", normal="an office")
    assert other.classes == ["a dog barks"]
    assert fitted.classes == ["people fight", "a light flashes"]
    assert not np.array_equal(other.score([clip])[0].scores, fitted.score([clip])[0].scores)
    assert other.score_units(other.units(clip)[0])[1].shape[1] == 2


def test_saved_and_read_again_it_scores_the_same(fitted, tmp_path):
    clip = flashes("x.mp4", odd=True, seed=77)
    fitted.save(tmp_path / "d.npz")
    again = LaGoVAD.load(tmp_path / "d.npz")
    assert np.array_equal(again.score([clip])[0].scores, fitted.score([clip])[0].scores)
    assert np.array_equal(again.reference_scores(), fitted.reference_scores())


def test_what_is_missing_is_said(fitted):
    with pytest.raises(NotFitted):
        LaGoVAD().score([flashes("x.mp4", odd=True, seed=1)])
    with pytest.raises(BadInput, match="--abnormal"):
        LaGoVAD().fit([flashes("x.mp4", odd=False, seed=1)])
    with pytest.raises(BadInput, match="features of length"):
        fitted.score_units(np.zeros((4, 3), np.float32))
    with pytest.raises(BadInput, match="expected definitions"):
        LaGoVAD(normal=" ")
    with pytest.raises(BadInput, match="normal ones"):
        LaGoVAD().fit_videos([ListedVideo(name="a", units=np.ones((3, 4), np.float32), class_name="normal")])


# CLIP and the authors' weights


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory):
    """A random CLIP of a few layers with a vocabulary of letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("clip") / "tiny"
    letters = {c: k + 3 for k, c in enumerate("abcdefghijklmnopqrstuvwxyz;, ")}
    tokenizer = Tokenizer(models.WordLevel({"<pad>": 0, "<s>": 1, "</s>": 2, **letters}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>").save_pretrained(folder)
    torch.manual_seed(0)
    tower = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "projection_dim": 32}
    config = CLIPConfig(
        text_config={**tower, "vocab_size": len(letters) + 3, "max_position_embeddings": 40, "eos_token_id": 2, "pad_token_id": 0},
        vision_config={**tower, "image_size": 32, "patch_size": 16}, projection_dim=32,
    )  # fmt: skip
    CLIPModel(config).save_pretrained(folder)
    return folder


def test_it_works_on_clip(tiny_clip):
    detector = LaGoVAD(definitions="a light flashes", encoder=str(tiny_clip), width=32, steps=3, device="cpu")
    normal, odd = [flashes("a.mp4", odd=False, seed=0), flashes("b.mp4", odd=False, seed=2)], [flashes("c.mp4", odd=True, seed=1)]
    score = detector.fit(normal, odd).score(odd)[0]
    assert detector._network.channels == detector._network.text_channels == 32
    assert len(score.scores) == len(score.seconds) == 7  # every third frame of ten a second
    assert np.isfinite(score.scores).all()


def test_a_folder_without_clip_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    detector = LaGoVAD(encoder=str(tmp_path), width=32, steps=1)
    with pytest.raises(BadInput, match="expected CLIP"):
        detector.fit([flashes("a.mp4", odd=False, seed=0)], [flashes("c.mp4", odd=True, seed=1)])


def as_released(network):
    """A state dict as the authors' program writes it."""
    state = {
        "bin_head.adp_alpha": network.mix.data.reshape(1),
        "sim_head.sim_head.temperature": network.temperature.data.reshape(1),
    }
    for layer, block in enumerate(network.temporal):
        base = f"temporal_encoder.layer.{layer}."
        for kind in ("weight", "bias"):
            for name, part in zip(("query", "key", "value"), getattr(block.enter, kind).data.chunk(3), strict=True):
                state[f"{base}attention.self.{name}.{kind}"] = part.clone()
            for theirs, ours in (
                ("attention.output.dense", block.leave), ("attention.output.LayerNorm", block.first), ("intermediate.dense", block.wide),
                ("output.dense", block.narrow), ("output.LayerNorm", block.second),
            ):  # fmt: skip
                state[f"{base}{theirs}.{kind}"] = getattr(ours, kind).data.clone()
    for layer, block in enumerate(network.fusion):
        names = ("text_attn", "vis_attn", "text_ffn", "vis_ffn", "text_norm1", "vis_norm1", "text_norm2", "vis_norm2")
        parts = dict(zip(names, (block.to_moments, block.to_words, *block.feeds, *block.norms), strict=True))
        for name, part in parts.items():
            state |= {f"fusion.layers.{layer}.{name}.{key}": one.clone() for key, one in part.state_dict().items()}
    for name, own in (("bin_head", network.own), ("bin_fused_head", network.fused)):
        state |= {f"bin_head.{name}.convs.0.{key}": one.clone() for key, one in own.state_dict().items()}
    return {**state, "clip_text_model.prompt_embedding.weight": torch.zeros(32, 8)}


def test_a_released_checkpoint_is_taken(tmp_path):
    from safetensors.torch import save_file

    theirs = LaGoVadNetwork(32, 32, width=32, seed=3).eval()
    save_file(as_released(theirs), tmp_path / "released.safetensors")
    detector = LaGoVAD(width=32).load_released(tmp_path / "released.safetensors")
    units, given = torch.randn(1, 20, 32), torch.ones(1, 20, dtype=torch.bool)
    words = torch.randn(3, 32)
    with torch.no_grad():
        assert torch.equal(detector._network(units, given, words).logits, theirs(units, given, words).logits)
    with pytest.raises(BadInput, match="width=32"):
        LaGoVAD(width=64).load_released(tmp_path / "released.safetensors")
    with pytest.raises(BadInput, match="is missing"):
        released({"bin_head.adp_alpha": torch.zeros(1)})
    (tmp_path / "bad.ckpt").write_bytes(b"pickle")
    with pytest.raises(BadInput, match="pickles are not read"):
        LaGoVAD(width=32).load_released(tmp_path / "bad.ckpt")
