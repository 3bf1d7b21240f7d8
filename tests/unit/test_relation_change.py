"""The relation encoder: shapes, what it must not depend on, what it learns, and its way before a language model."""

import numpy as np
import pytest
import rendered_scenes as scenes
import tiny_vlm
import torch

from core.errors import BadInput
from models.chat.vlm_loading import load_vlm
from models.relation_adapter import (
    Interval,
    RelationAdapter,
    answer_loss,
    load,
    question_inputs,
    save,
    train_change,
    train_prompt,
)
from models.relation_change import RelationChange, contrast, prompt_for, stacked
from models.soft_prompts import Asked, answer_tokens, frozen
from tools.video.relation_features import WIDTH, Relations, geometry
from tools.video.relation_training import KEYFRAMES, NOTHING, Effort, drawn, stretches, train_encoder

pytestmark = pytest.mark.usefixtures("one_thread")
CHANNELS, WAYS = 24, 4


def interval(kind, rng):
    """Keyframes whose first relation moves along the way `kind`, among others that do not matter, differently in each view."""
    views = []
    for _ in range(2):
        start = rng.normal(0, 1, CHANNELS)
        rows = []
        for k in range(4):
            told = start.copy()
            told[kind] += 3.0 * k
            rows.append(torch.tensor(np.stack([told, *rng.normal(0, 1, (2, CHANNELS))]), dtype=torch.float32))
        views.append(tuple(rows))
    return Interval(first=views[0], second=views[1], seconds=torch.arange(4.0))


def batch(rng):
    return [interval(kind, rng) for kind in range(WAYS)]


def found(change, rng, rounds=20):
    """How often the other view is found among those of the other ways."""
    right = []
    for _ in range(rounds):
        given = batch(rng)
        seconds = torch.stack([one.seconds for one in given])
        with torch.no_grad():
            first, second = (
                change.summary(*stacked([getattr(one, side) for one in given]), seconds) for side in ("first", "second")
            )
        right.append((first @ second.T).argmax(dim=1) == torch.arange(WAYS))
    return float(torch.stack(right).float().mean())


@pytest.fixture(scope="module")
def trained():
    rng = np.random.default_rng(0)
    change = RelationChange(CHANNELS, width=64)
    losses = train_change(change, [batch(rng) for _ in range(300)], rate=1e-3)
    return change, losses


def test_contrast_teaches_which_changes_belong_together(trained):
    change, losses = trained
    assert losses[-1] < losses[0] / 2
    untrained = found(RelationChange(CHANNELS, width=64).eval(), np.random.default_rng(9))
    assert found(change, np.random.default_rng(9)) > max(0.8, untrained + 0.2)


def test_the_order_of_relations_and_what_fills_up_do_not_matter(trained):
    change, _ = trained
    given = batch(np.random.default_rng(4))
    seconds = torch.stack([one.seconds for one in given])
    relations, present = stacked([one.first for one in given])
    filled = torch.cat([relations, torch.full_like(relations[:, :, :2], 7.0)], dim=2)
    marked = torch.cat([present, torch.zeros_like(present[:, :, :2])], dim=2)
    with torch.no_grad():
        codes = change(relations, present, seconds)
        assert torch.allclose(codes, change(relations.flip(2), present.flip(2), seconds), atol=1e-5)
        assert torch.allclose(codes, change(filled, marked, seconds), atol=1e-5)
        assert not torch.allclose(codes, change(relations.flip(1), present, seconds), atol=1e-2)


def test_real_seconds_are_part_of_the_code():
    change = RelationChange(CHANNELS, width=32).eval()
    given = batch(np.random.default_rng(4))
    relations, present = stacked([one.first for one in given])
    with torch.no_grad():
        near = change(relations, present, torch.arange(4.0).expand(WAYS, 4))
        far = change(relations, present, 3 * torch.arange(4.0).expand(WAYS, 4))
        later = change(relations, present, 60 + torch.arange(4.0).expand(WAYS, 4))
    assert not torch.allclose(near, far, atol=1e-3)
    assert torch.allclose(near, later, atol=1e-3)


def test_keyframes_without_relations_are_no_failure():
    change = RelationChange(CHANNELS, width=32).eval()
    relations, present = stacked([[torch.zeros(0, CHANNELS)] * 3])
    assert torch.isfinite(change(relations, present, torch.arange(3.0)[None])).all()


@pytest.mark.parametrize(
    ("relations", "seconds"),
    [((1, 3, 2, CHANNELS + 1), 3), ((1, 1, 2, CHANNELS), 1), ((1, 3, 2, CHANNELS), 2), ((3, 2, CHANNELS), 3)],
)
def test_shapes_that_do_not_fit_are_refused(relations, seconds):
    with pytest.raises(BadInput, match="expected"):
        RelationChange(CHANNELS, width=32)(
            torch.zeros(relations), torch.ones(relations[:3], dtype=torch.bool), torch.arange(float(seconds))[None]
        )


def test_intervals_of_one_event_are_right_answers_too():
    views = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), dim=1)
    together = contrast(views, views, torch.tensor([0, 0, 1]))
    wanted = 0.0
    logits = (views @ views.T / 0.07).numpy().astype(np.float64)
    for side in (logits, logits.T):
        log = side - np.log(np.exp(side).sum(axis=1, keepdims=True))
        wanted -= ((log[0, 0] + log[0, 1]) / 2 + (log[1, 0] + log[1, 1]) / 2 + log[2, 2]) / 3 / 2
    assert together.item() == pytest.approx(wanted, rel=1e-4)


def test_one_interval_alone_cannot_be_learned_from():
    with pytest.raises(BadInput, match="at least two intervals"):
        train_change(RelationChange(CHANNELS, width=32), [batch(np.random.default_rng(0))[:1]])


SAID = ("It rises.", "It falls.")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qwen")
    tiny_vlm.build_qwen(folder, words=SAID)
    return load_vlm(folder, "cpu")


def test_the_frozen_model_is_taught_to_say_what_changes(loaded, trained, tmp_path):
    """Words that it could not know from the question alone, on intervals that were not learned from."""
    change = RelationChange(CHANNELS, width=64)
    change.load_state_dict(trained[0].state_dict())
    adapter = RelationAdapter(loaded=loaded, change=change.eval(), prompt=prompt_for(loaded.model, change.width))
    before = {name: weight.clone() for name, weight in loaded.model.state_dict().items()}
    # A random model says nothing at all: it first learns both answers from words, as a real one has.
    lessons = [(question_inputs(loaded, f"{word} What happens?"), word) for word in SAID]
    tiny_vlm.teach(loaded.model, loaded.processor, lessons, steps=60)
    before = {name: weight.clone() for name, weight in loaded.model.state_dict().items()}
    rng = np.random.default_rng(2)
    given = [interval(kind % 2, rng) for kind in range(64)]
    losses = train_prompt(adapter, given, [SAID[kind % 2] for kind in range(64)], "What happens?", epochs=20, rate=5e-3)
    assert losses[-1] < losses[0] / 2
    assert all(torch.equal(weight, before[name]) for name, weight in loaded.model.state_dict().items())
    right = 0
    for kind in range(20):
        new = interval(kind % 2, rng)
        with torch.no_grad(), frozen(loaded):
            prefix = adapter.prefix([new.first], new.seconds[None])
            costs = [
                float(
                    answer_loss(
                        loaded.model, prefix, [Asked(question_inputs(loaded, "What happens?"), answer_tokens(loaded, word))]
                    )[0]
                )
                for word in SAID
            ]
        right += int(np.argmin(costs) == kind % 2)
    assert right >= 18
    save(adapter, tmp_path)
    again = load(tmp_path, loaded)
    with torch.no_grad():
        seconds = given[0].seconds[None]
        assert torch.equal(again.prefix([given[0].first], seconds), adapter.prefix([given[0].first], seconds))
    (tmp_path / "relations.json").write_text("{}")
    with pytest.raises(BadInput, match="cannot be read"):
        load(tmp_path, loaded)


@pytest.fixture(scope="module")
def street():
    return scenes.render(14.0, scenes.walker(-10, 12, feet=60, height=36), scenes.faller(90, at=6.0), name="street")


def test_relations_of_a_clip_become_vectors(street):
    relations = Relations.of(street)
    rows = relations.vectors([3.0, 5.0])
    assert [row.shape[1] for row in rows] == [WIDTH, WIDTH]
    assert all(len(row) >= 2 for row in rows)  # each is there by itself, and in pairs where near
    assert all(np.isfinite(row).all() for row in rows)
    again = relations.vectors([3.0, 5.0])
    assert all(np.array_equal(a, b) for a, b in zip(rows, again, strict=True))
    moved = relations.vectors([3.0], jitter=0.05, seed=1)[0]
    assert moved.shape == rows[0].shape
    assert not np.allclose(moved, rows[0])
    fewer = sum(len(relations.vectors([3.0], dropped=0.5, seed=seed)[0]) for seed in range(20))
    assert fewer < 0.8 * 20 * len(rows[0])
    assert np.isfinite(relations.vectors([street.duration_s + 5])[0]).all()


def test_a_fall_is_in_the_vectors_of_its_moment(street):
    from tools.video.relation_words import PREDICATES

    column = WIDTH - len(PREDICATES) + list(PREDICATES).index("falls")
    relations = Relations.of(street)
    falls = [one for one in relations.log if one.predicate == "falls"]
    assert falls
    during, before = relations.vectors([falls[0].t0_s, 1.5])
    assert during[:, column].any()
    assert not before[:, column].any()


def test_geometry_of_a_box_beside_itself():
    box = np.array([10.0, 10.0, 30.0, 50.0])
    assert geometry(box, box, (100, 100)).round(3).tolist() == [0, 0, 0, 0, 1, 0, 0.08, 0.08]


def test_an_encoder_learns_from_clips(street):
    given = stretches([street])
    assert all(len(one.times) == KEYFRAMES for one in given)
    assert any("falls" in one.said for one in given)
    assert all(one.said == NOTHING or one.said.endswith(".") for one in given)
    batches = list(drawn(given, Effort(steps=3, views=2), 0))
    assert batches
    change, losses = train_encoder(given, effort=Effort(steps=3, views=2))
    other, same = train_encoder(given, effort=Effort(steps=3, views=2))
    assert losses == same
    assert all(torch.equal(a, b) for a, b in zip(change.state_dict().values(), other.state_dict().values(), strict=True))


def test_clips_in_which_nothing_moves_are_refused():
    still = scenes.render(6.0, name="still")
    with pytest.raises(BadInput, match="something moves"):
        stretches([still])
