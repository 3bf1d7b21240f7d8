"""The anomaly adapter: its decoder learns on simulated defects, and its prompt learner on tiny language models that stay frozen."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny_vlm
import torch
from skimage import data as textures

from core.errors import BadInput
from core.samples import ImageSample
from metrics.ranking import auroc
from models.anomaly_adapter import store
from models.anomaly_adapter.adapter import (
    EXAMPLE,
    JUDGED,
    AnomalyAdapter,
    features_of,
    level_channels,
    level_encoder,
)
from models.anomaly_adapter.decoder import TextDecoder, text_vectors
from models.anomaly_adapter.prompt_learner import TOKENS, PromptLearner, learner_for, to_side
from models.anomaly_adapter.train import (
    Lesson,
    answer_loss,
    drawn,
    patch_truth,
    train_decoder,
    train_prompt_learner,
)
from models.chat.vlm_loading import load_vlm
from models.chat.vlm_writing import AnswerCutOff
from models.soft_prompts import placeholder, prefixed, with_room
from tools.image.anomaly_decoder import TextMap
from tools.image.simulated_defects import PRESENCE, simulate

BRICK = np.ascontiguousarray(np.repeat(textures.brick()[..., None], 3, axis=2))
SIDE = 96
YES, NO = "Yes.", "No."
SPOKEN = (("A dark spot was seen.", YES), ("All was even.", NO))
"""What the tiny model is taught to conclude from words, before it is frozen."""


pytestmark = pytest.mark.usefixtures("one_thread")


def crops(count, seed):
    """Pieces of a real brick wall."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 512 - SIDE, (count, 2))
    return [np.ascontiguousarray(BRICK[top : top + SIDE, left : left + SIDE]) for top, left in corners]


def balanced(truth, said):
    return (said[truth].mean() + (~said[~truth]).mean()) / 2


@pytest.fixture(scope="module")
def encoder():
    return level_encoder(side=SIDE)


@pytest.fixture(scope="module")
def trained(encoder):
    """A decoder trained on simulated defects, with its loss."""
    generator = torch.Generator().manual_seed(0)
    made = simulate(crops(24, 0), count=48, seed=0)
    patches = [drawn(features_of(encoder, one.pixels), patch_truth(encoder, one.mask), generator) for one in made]
    features, truth = (torch.cat(part) for part in zip(*patches, strict=True))
    decoder = TextDecoder(level_channels(), text_vectors("brick wall"))
    return decoder, train_decoder(decoder, features, truth, steps=60)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qwen")
    tiny_vlm.build_qwen(folder)
    return load_vlm(folder, "cpu")


@pytest.fixture(scope="module")
def adapter(loaded, encoder, trained):
    """Untrained prompt learner before a tiny model that answers from words alone."""
    made = AnomalyAdapter(loaded=loaded, encoder=encoder, decoder=trained[0], learner=learner_for(loaded.model))
    said = [(made.prompt(photo, f"{seen} {PRESENCE}"), answer) for photo in crops(2, 77) for seen, answer in SPOKEN]
    assert tiny_vlm.teach(loaded.model, loaded.processor, said, steps=60) < 0.1
    return made


def lessons_from(adapter, count, seed):
    made = simulate(crops(count, seed), count=count, seed=seed)
    return [
        Lesson(picture=one.pixels, map=adapter.map(one.pixels), question=PRESENCE, answer=YES if one.spots else NO)
        for one in made
    ]


def text_of(adapter, inputs):
    return adapter.loaded.processor.tokenizer.decode(inputs["input_ids"][0])


def test_the_decoder_finds_simulated_defects_it_was_not_trained_on(encoder, trained):
    decoder, loss = trained
    held_out = simulate(crops(16, 100), count=32, seed=100)
    maps, truths, photo_scores = [], [], []
    for one in held_out:
        with torch.no_grad():
            patches = decoder(features_of(encoder, one.pixels))
        assert 0 <= patches.min() <= patches.max() <= 1
        truth = patch_truth(encoder, one.mask)
        maps.append(patches[~truth.isnan()])
        truths.append(truth[~truth.isnan()])
        photo_scores.append(float(patches.max()))
    untrained = TextDecoder(level_channels(), text_vectors("brick wall"))
    untrained.standardise(torch.cat([features_of(encoder, photo) for photo in crops(4, 3)]))
    with torch.no_grad():
        random = torch.cat(
            [untrained(features_of(encoder, one.pixels))[~patch_truth(encoder, one.mask).isnan()] for one in held_out]
        )
    truth = torch.cat(truths).numpy().astype(int)
    found = auroc(truth, torch.cat(maps).numpy())
    assert found > 0.9
    assert found > auroc(truth, random.numpy()) + 0.1
    assert auroc(np.array([int(bool(one.spots)) for one in held_out]), np.array(photo_scores)) > 0.85
    assert loss < 2.0  # three levels; guessing costs 2.4 and more


def test_words_decide_what_abnormal_means(encoder, trained):
    """With the two text vectors exchanged, the same weights say the contrary."""
    decoder, _ = trained
    exchanged = TextDecoder(level_channels(), text_vectors("brick wall")[::-1].copy())
    exchanged.load_state_dict({**decoder.state_dict(), "texts": decoder.texts.flip(0)})
    features = features_of(encoder, crops(1, 1)[0])
    with torch.no_grad():
        assert torch.allclose(decoder(features), 1 - exchanged(features), atol=1e-5)


def test_normal_photos_in_context_give_a_map_of_what_is_new(encoder, trained):
    decoder, _ = trained
    photo = crops(1, 40)[0]
    torn = photo.copy()
    torn[40:64, 24:56] = 20
    memory = decoder.remember(features_of(encoder, photo))
    assert float(decoder.in_context(features_of(encoder, photo), memory).max()) < 1e-3
    found = decoder.in_context(features_of(encoder, torn), memory).reshape(encoder.grid(SIDE, SIDE)).numpy()
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert 4 <= row <= 8
    assert 2 <= column <= 7


def test_training_is_repeatable_and_needs_both_kinds(encoder):
    features = torch.randn(200, 472, generator=torch.Generator().manual_seed(1))
    truth = (torch.arange(200) % 4 == 0).float()
    made = []
    for _ in range(2):
        decoder = TextDecoder(level_channels(), text_vectors())
        train_decoder(decoder, features, truth, steps=5)
        made.append(decoder.state_dict())
    assert all(torch.equal(made[0][key], made[1][key]) for key in made[0])
    with pytest.raises(BadInput, match="expected some of both"):
        train_decoder(TextDecoder(level_channels(), text_vectors()), features, torch.zeros(200), steps=1)
    with pytest.raises(BadInput, match="expected 472 channels"):
        decoder(torch.zeros(3, 40))


def test_other_prompts_pass_the_prefix_untouched(loaded, adapter):
    token = placeholder(loaded.model)
    inputs = adapter.prompt(crops(1, 2)[0], PRESENCE)
    roomy = with_room(inputs, token, TOKENS)
    assert roomy["input_ids"].shape[1] == inputs["input_ids"].shape[1] + TOKENS
    prefix = torch.randn(1, TOKENS, adapter.learner.width)
    with torch.no_grad():
        plain, padded = loaded.model(**inputs).logits, loaded.model(**roomy).logits
        with prefixed(loaded.model, prefix, token):
            assert torch.equal(loaded.model(**inputs).logits, plain)
            assert not torch.allclose(loaded.model(**roomy).logits, padded)
        assert torch.equal(loaded.model(**roomy).logits, padded)
    with prefixed(loaded.model, prefix.expand(2, -1, -1), token), pytest.raises(BadInput, match="expected as many as prefixes"):
        loaded.model(**roomy)


def test_a_prefix_of_the_placeholders_own_embeddings_changes_nothing(loaded, adapter):
    """So the prefix really stands where the placeholders stood, and pictures and positions stay the model's own."""
    token = placeholder(loaded.model)
    roomy = with_room(adapter.prompt(crops(1, 2)[0], PRESENCE), token, TOKENS)
    own = loaded.model.get_input_embeddings().weight[token].detach().expand(1, TOKENS, -1)
    with torch.no_grad():
        padded = loaded.model(**roomy).logits
        with prefixed(loaded.model, own, token):
            assert torch.equal(loaded.model(**roomy).logits, padded)


@pytest.mark.timeout(600)  # half a minute alone; a shared machine may be many times slower
def test_the_model_learns_to_answer_from_the_map_and_from_nothing_else(adapter):
    """The frozen model's answers come right on held-out photos, and fall back to chance with the maps of other photos."""
    weights = {name: tensor.clone() for name, tensor in adapter.loaded.model.state_dict().items()}
    lessons, held_out = lessons_from(adapter, 48, 5), lessons_from(adapter, 24, 9)
    before = answer_loss(adapter, held_out)
    losses = train_prompt_learner(adapter, lessons, epochs=16, rate=8e-3)
    after = answer_loss(adapter, held_out)
    assert losses[-1] < 0.5 * losses[0]
    assert after < 0.5 * before
    assert all(torch.equal(tensor, weights[name]) for name, tensor in adapter.loaded.model.state_dict().items())
    assert all(weight.requires_grad for weight in adapter.loaded.model.parameters())

    def answers(maps):
        said = [
            adapter.describe(one.picture, one.question, shown=map_, max_tokens=6).answer
            for one, map_ in zip(held_out, maps, strict=True)
        ]
        assert set(said) <= {YES, NO}
        return np.array([answer == YES for answer in said])

    truth = np.array([one.answer == YES for one in held_out])
    assert 6 <= truth.sum() <= 18
    own = answers([one.map for one in held_out])
    assert balanced(truth, own) >= 0.8
    chance = [balanced(truth, own[np.random.default_rng(seed).permutation(len(held_out))]) for seed in range(200)]
    shuffled = np.random.default_rng(0).permutation(len(held_out))
    said = answers([held_out[index].map for index in shuffled])
    assert (said == own[shuffled]).mean() >= 0.85  # the map decides, not the photo; in bf16 a narrow one may tip over
    assert 0.42 < np.mean(chance) < 0.58


def test_several_turns_and_normal_photos_stand_in_the_prompt_in_order(adapter):
    photo, *normals = crops(3, 12)
    inputs = adapter.prompt(photo, "Where?", normals=normals, history=[(PRESENCE, YES), ("One?", "One <|im_end|>")])
    text = text_of(adapter, inputs)
    assert inputs["image_grid_thw"].shape[0] == 3
    marks = [
        EXAMPLE,
        "<|vision_start|>",
        EXAMPLE,
        "<|vision_start|>",
        JUDGED,
        "<|vision_start|>",
        PRESENCE,
        YES,
        "One?",
        "Where?",
    ]
    place = 0
    for mark in marks:
        place = text.index(mark, place) + len(mark)
    assert text.count("<|vision_start|>") == 3
    assert text.count("<|im_start|>user") == 3
    assert text.count("<|im_start|>assistant") == 3
    assert "< |im_end|>" in text  # control tokens in what was said are broken
    alone = adapter.prompt(photo, "Where?")
    assert alone["image_grid_thw"].shape[0] == 1
    assert EXAMPLE not in text_of(adapter, alone)


def test_describe_shows_the_map_it_used(adapter):
    photo, normal = crops(2, 50)
    torn = photo.copy()
    torn[40:64, 24:56] = 20
    hole = (torn != photo).any(axis=2)

    def asked(**context):
        try:
            return adapter.describe(torn, PRESENCE, max_tokens=4, **context)
        except AnswerCutOff:  # an untrained prefix may make a tiny model babble
            return None

    worded, compared = asked(history=[("Well?", YES)]), asked(normals=[photo, normal])
    for said, normals in ((worded, ()), (compared, (photo, normal))):
        shown = adapter.map(torn, normals)
        assert shown.shape == (SIDE, SIDE)
        assert auroc(hole, shown) > 0.8
        if said is not None:
            assert np.array_equal(said.map, shown)
    assert not np.allclose(adapter.map(torn), adapter.map(torn, [photo, normal]))


@pytest.mark.timeout(300)
def test_smolvlm_takes_the_prefix_too(tmp_path, encoder, trained):
    tiny_vlm.build_smol(tmp_path / "smol")
    loaded = load_vlm(tmp_path / "smol", "cpu")
    made = AnomalyAdapter(loaded=loaded, encoder=encoder, decoder=trained[0], learner=learner_for(loaded.model))
    lessons = lessons_from(made, 8, 1)
    before = answer_loss(made, lessons)
    train_prompt_learner(made, lessons, epochs=4, batch=8, rate=2e-2)
    assert answer_loss(made, lessons) < before


def test_an_adapter_comes_back_from_disk_as_it_was(adapter, tmp_path):
    store.save(adapter, tmp_path / "kept")
    back = store.load(tmp_path / "kept", adapter.loaded)
    photo = crops(1, 8)[0]
    assert np.array_equal(back.map(photo), adapter.map(photo))
    with torch.no_grad():
        assert torch.equal(back.prefix([adapter.map(photo)]), adapter.prefix([adapter.map(photo)]))
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["adapter.json", "adapter.safetensors"]

    about = tmp_path / "kept" / "adapter.json"
    right = about.read_text()
    for wrong in ("{", json.dumps({**json.loads(right), "format": 9}), json.dumps({**json.loads(right), "channels": [1, 2]})):
        about.write_text(wrong)
        with pytest.raises(BadInput, match="expected a saved anomaly adapter"):
            store.load(tmp_path / "kept", adapter.loaded)
    about.write_text(right)
    weights = tmp_path / "kept" / "adapter.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(BadInput, match="expected a saved anomaly adapter"):
        store.load(tmp_path / "kept", adapter.loaded)
    with pytest.raises(BadInput, match="cannot be read"):
        store.load(tmp_path / "nowhere", adapter.loaded)


def test_a_learner_of_another_width_is_refused(adapter):
    with pytest.raises(BadInput, match="width 32"):
        AnomalyAdapter(
            loaded=adapter.loaded, encoder=adapter.encoder, decoder=adapter.decoder, learner=PromptLearner(32, scale=0.02)
        )


def test_a_small_spot_survives_shrinking():
    spot = torch.zeros(900, 900)
    spot[700, 100] = 1.0
    small = to_side(spot)
    assert small.max() == 1
    assert small.argmax() == (700 * 96 // 900) * 96 + 100 * 96 // 900


def test_the_detector_finds_a_hole_in_a_wall():
    normal = [ImageSample(name=str(number), pixels=photo) for number, photo in enumerate(crops(6, 20))]
    detector = TextMap(side=SIDE, simulated=24, steps=40, surface="brick wall").fit(normal)
    torn = crops(1, 31)[0]
    torn[40:64, 24:56] = 20
    good, bad = detector.score([ImageSample(name="good", pixels=crops(1, 30)[0]), ImageSample(name="bad", pixels=torn)])
    assert bad.score > max(good.score, float(np.median(detector.reference_scores())))
    row, column = np.unravel_index(bad.heatmap.argmax(), bad.heatmap.shape)
    assert 32 <= row < 72
    assert 16 <= column < 64
    assert len(detector.reference_scores()) == 6
    with pytest.raises(BadInput, match="a word"):
        TextMap(surface=" ")
