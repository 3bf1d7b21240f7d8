"""APE: the loss by hand, replaced entities are found, odd tables do not break it, and what it says names the pair."""

import math

import numpy as np
import polars as pl
import pytest
import torch

from core.errors import BadInput
from core.samples import EventLog, ImageSample
from metrics.ranking import auroc
from models.entity_pairs import EntityPairs, EntityTypes, Training, binary_contrast, energies, pair_energies, train
from tools.events import entities
from tools.events.ape import APE
from tools.events.entities import EntityCoder

pytestmark = pytest.mark.usefixtures("one_thread")


def make(columns, name="log", **roles):
    n = len(next(iter(columns.values())))
    base = {
        "row": np.arange(1, n + 1),
        "time_s": np.full(n, np.nan),
        "subject": [""] * n,
        "operation": [""] * n,
        "object": [""] * n,
    }
    epoch = roles.pop("epoch_s", None)
    table = pl.DataFrame({**base, **roles, **{f"attr:{c}": v for c, v in columns.items()}})
    return EventLog(name=name, roles={}, table=table, epoch_s=epoch)


def usual(seed, n=3_000):
    """Five columns of six values: the first decides the second and third, the others are free."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 6, n)
    return {
        "user": [f"u{g}" for g in group], "machine": [f"m{(g * 2 + int(f)) % 6}" for g, f in zip(group, rng.random(n) < 0.1, strict=True)],
        "folder": [f"f{g // 2}" for g in group], "colour": [f"c{v}" for v in rng.integers(0, 6, n)],
        "size": [f"s{v}" for v in rng.integers(0, 6, n)],
    }  # fmt: skip


def replaced(columns, count, seed):
    """The same events with `count` of the three bound values drawn anew from their column, where that changed something."""
    rng = np.random.default_rng(seed)
    n = len(columns["user"])
    bound = ("user", "machine", "folder")
    picked = np.argsort(rng.random((n, 3)), axis=1)[:, :count]
    made = {c: np.array(v, dtype=object) for c, v in columns.items()}
    for m, column in enumerate(bound):
        hit = (picked == m).any(axis=1)
        made[column][hit] = np.array(columns[column], dtype=object)[rng.integers(0, n, int(hit.sum()))]
    changed = np.any([made[c] != np.array(columns[c], dtype=object) for c in bound], axis=0)
    return {c: v[changed].tolist() for c, v in made.items()}


def test_the_loss_and_its_gradient_by_hand():
    # two types of two entities, one dimension: v = (1, 2 | 3, -1), w = 0.5, c = 0.1, one noise event
    network = EntityPairs(4, 2, size=1)
    with torch.no_grad():
        network.place.weight.copy_(torch.tensor([[1.0], [2.0], [3.0], [-1.0]]))
        network.pair.fill_(0.5)
        network.constant.fill_(0.1)
    event, at, other = torch.tensor([[1, 2]]), torch.tensor([0]), torch.tensor([[0]])
    energy, noise = network.replaced(event, at, other)
    assert energy.tolist() == [3.0]  # 0.5 · 2 · 3
    assert noise.tolist() == [[1.5]]  # 0.5 · 1 · 3
    shares = torch.log(torch.tensor([0.25])), torch.log(torch.tensor([[0.75]]))
    loss = binary_contrast(energy + network.constant, noise + network.constant, *shares)
    data, made_up = 3.1 - math.log(0.25), 1.6 - math.log(0.75)
    assert float(loss.detach()) == pytest.approx(math.log1p(math.exp(-data)) + math.log1p(math.exp(made_up)), rel=1e-5)
    loss.backward()
    up, down = -1 / (1 + math.exp(data)), 1 / (1 + math.exp(-made_up))  # dloss/denergy of the event and of the noise
    assert network.pair.grad.item() == pytest.approx(up * 6 + down * 3, rel=1e-5)
    assert network.constant.grad.item() == pytest.approx(up + down, rel=1e-5)
    places = network.place.weight.grad.to_dense()[:, 0].tolist()
    assert places == pytest.approx([down * 0.5 * 3, up * 0.5 * 3, up * 0.5 * 2 + down * 0.5 * 1, 0.0], rel=1e-5)


def test_replacing_one_entity_changes_the_energy_as_computed_anew():
    network = EntityPairs(12, 4, size=3, seed=2)
    with torch.no_grad():
        network.pair.copy_(torch.rand(6))
    events = torch.tensor([[0, 4, 7, 9], [2, 3, 8, 11]])
    _, noise = network.replaced(events, torch.tensor([1, 3]), torch.tensor([[5, 3], [9, 10]]))
    anew = network(torch.tensor([[[0, 5, 7, 9], [0, 3, 7, 9]], [[2, 3, 8, 9], [2, 3, 8, 10]]]))
    torch.testing.assert_close(noise, anew)
    places, weights = network.place.weight.detach().numpy(), network.weights().detach().numpy()
    np.testing.assert_allclose(energies(events.numpy(), places, weights), network(events).detach(), rtol=1e-5)
    np.testing.assert_allclose(pair_energies(events.numpy(), places, weights).sum(axis=1), network(events).detach(), rtol=1e-5)


def test_training_keeps_weights_positive_lowers_the_loss_and_follows_its_seed():
    rng = np.random.default_rng(0)
    first = rng.integers(1, 7, 2_000)
    codes = np.stack([first, first, rng.integers(1, 7, 2_000)], axis=1)
    types = EntityTypes.counted(codes, np.array([7, 7, 7]))
    one, two, other = (
        train(codes[:1_800] + types.offset[:-1], codes[1_800:] + types.offset[:-1], types, Training(steps=200, seed=seed))
        for seed in (0, 0, 1)
    )
    assert one[1][-1] < 0.9 * one[1][0]
    assert (one[0].pair >= 0).all()
    assert one[0].pair[0].item() > one[0].pair[1:].max().item()  # only the first two types belong together
    assert torch.equal(one[0].place.weight, two[0].place.weight)
    assert not torch.equal(one[0].place.weight, other[0].place.weight)


@pytest.mark.parametrize("setting", [{}, {"weighted": False}, {"contrast": "ranking"}, {"replaced": "all"}])
def test_replaced_entities_are_found(setting):
    detector = APE(steps=400, **setting).fit([make(usual(0))])
    held = usual(1, 800)
    for count in (1, 2, 3):
        odd = replaced(held, count, count)
        scores = np.concatenate([detector.score([make(c)])[0].scores for c in (held, odd)])
        labels = np.arange(len(scores)) >= len(held["user"])
        assert auroc(labels, scores) > 0.93, count


def test_the_odd_pair_is_named_with_and_without_history():
    columns = usual(3, 1_200)
    columns = {
        c: [*v, {"user": "u0", "machine": "m0", "folder": "f2", "colour": "c1", "size": "s1"}[c]] for c, v in columns.items()
    }
    log = make(columns)
    for detector in (APE(steps=500).fit([make(usual(0))]), APE(steps=500)):
        found = detector.score([log])[0]
        assert int(found.scores.argmax()) == 1_200
        assert 'folder "f2"' in found.reasons[1_201]
        assert max(found.attribution, key=lambda pair: found.attribution[pair][-1]) in ("user with folder", "machine with folder")


def test_a_value_never_seen_is_odd_and_references_are_not():
    detector = APE(steps=500).fit([make(usual(0))])
    new = {c: v[:50] for c, v in usual(5).items()} | {"machine": ["intruder"] * 50}
    reference = detector.reference_scores()
    assert (np.diff(reference) >= 0).all()
    assert np.median(detector.score([make(new)])[0].scores) > np.quantile(reference, 0.99)
    assert (detector.score([make(usual(6))])[0].scores > np.quantile(reference, 0.99)).mean() < 0.05


def test_hours_and_weekdays_are_entities_where_the_clock_covers_days():
    n = 2_000
    rng = np.random.default_rng(0)
    day, hour = np.arange(n) * 14 // n, rng.integers(8, 18, n)
    user = [f"u{v}" for v in rng.integers(0, 4, n)]
    log = make({"user": user, "kind": [u[-1] for u in user]}, epoch_s=1_772_409_600.0)  # a Monday, midnight
    table = log.table.with_columns(pl.Series("time_s", day * 86_400.0 + hour * 3_600.0))
    log = EventLog(name="days", roles={}, table=table, epoch_s=log.epoch_s)
    coder = EntityCoder.of([log])
    assert [t.name for t in coder.types] == ["user", "kind", "weekday", "hour"]
    assert coder.codes(log)[0, 2:].tolist() == [1, 1 + hour[0]]
    assert coder.said(log, 0, 2) == "weekday Monday"
    assert coder.said(log, 0, 3) == f"hour {hour[0]:02d} (UTC)"
    assert coder.codes(EventLog(name="no clock", roles={}, table=table))[:, 2:].max() == 0


def test_numbers_are_binned_and_missing_ones_are_a_bin_of_their_own():
    rng = np.random.default_rng(0)
    size = rng.exponential(1.0, 500)
    size[::50] = np.nan
    coder = EntityCoder.of([make({"bytes": size, "kind": ["a", "b"] * 250})])
    log = make({"bytes": [0.0, 1e9, float("inf"), float("nan"), None], "kind": ["a"] * 5})
    codes = coder.codes(log)[:, 0]
    assert len(coder.types[0].edges) == 9
    assert codes.tolist() == [1, 10, 11, 11, 11]


def test_columns_of_ever_new_values_and_answers_are_left_out_with_a_note():
    n = 600
    log = make(
        {
            "kind": ["a", "b", "c"] * 200,
            "level": ["x", "y", "z"] * 200,
            "token": [f"t{i}" for i in range(n)],
            "label": [0, 1] * 300,
        }
    )
    coder = EntityCoder.of([log])
    assert [t.name for t in coder.types] == ["kind", "level"]
    assert coder.notes == ("left out of pairs: token",)
    assert "token" in [t.name for t in EntityCoder.of([log], ("token",)).types]


def test_millions_of_entities_stay_bounded(monkeypatch):
    monkeypatch.setattr(entities, "MOST_ENTITIES", 100)
    n = 5_000
    log = make({"kind": ["a", "b"] * (n // 2), "token": [f"t{i % 2_500}" for i in range(n)]})
    coder = EntityCoder.of([log], ("token",))
    assert coder.sizes.tolist() == [3, 101]
    assert coder.codes(log)[:, 1].max() == 100
    assert np.isfinite(APE(steps=30, attributes=("token",)).score([log])[0].scores).all()


@pytest.mark.parametrize(
    "columns",
    [{"a": ["x"], "b": ["y"]}, {"a": ["x"] * 50, "b": ["y"] * 50}, {"a": [None] * 50, "b": [None] * 50},
     {"a": [float("nan")] * 50, "b": [None] * 50}, {"a": ["x", "y"] * 25, "b": ["same"] * 50}],
)  # fmt: skip
def test_what_has_no_pairs_is_refused_with_the_way_out(columns):
    for ask in (APE(steps=5).score, APE(steps=5).fit):
        with pytest.raises(BadInput, match="expected"):
            ask([make(columns)])


def test_fitted_it_takes_single_constant_and_repeated_rows():
    detector = APE(steps=100).fit([make(usual(0))])
    one = {c: v[:1] for c, v in usual(1).items()}
    single = detector.score([make(one)])[0].scores
    many = detector.score([make({c: v * 500 for c, v in one.items()})])[0].scores
    np.testing.assert_array_equal(many, np.repeat(single, 500))
    assert np.isfinite(detector.score([make({c: [None] * 3 for c in one})])[0].scores).all()
    missing = detector.score([make({"user": one["user"]})])[0]
    assert len(missing.scores) == 1


def test_save_and_load_keep_everything(tmp_path):
    detector = APE(steps=60, weighted=False).fit([make(usual(0)), make(usual(1))])
    detector.save(tmp_path / "a.npz")
    loaded = APE.load(tmp_path / "a.npz")
    log = make(usual(2, 200))
    ours, theirs = detector.score([log])[0], loaded.score([log])[0]
    np.testing.assert_array_equal(ours.scores, theirs.scores)
    assert ours.reasons == theirs.reasons


def test_wrong_settings_and_samples_are_refused():
    with pytest.raises(BadInput, match="replaced='two'"):
        APE(replaced="two")
    with pytest.raises(BadInput, match="expected at least 1"):
        APE(size=0)
    with pytest.raises(BadInput, match="expected EventLog"):
        APE().fit([ImageSample(name="a", pixels=np.zeros((4, 4, 3), np.uint8))])
