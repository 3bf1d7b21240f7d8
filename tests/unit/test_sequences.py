"""Sequences: Kneser–Ney by hand, probabilities that sum to one, contexts that end where a sequence begins, and odd courses of events."""

import math

import numpy as np
import polars as pl
import pytest

from core.errors import BadInput, UnknownName
from core.samples import EventLog
from tools.events.courses import find_courses
from tools.events.ngrams import NGrams
from tools.events.sequences import Sequences, _stretch

pytestmark = pytest.mark.usefixtures("one_thread")

CYCLES = (["list", "open", "read", "close"], ["list", "search", "open", "close"], ["open", "write", "save", "close"])


def sessions(seed, count=40, odd=None, name="log"):
    """Sessions of made-up work; the odd one does usual things in an order that is not."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        acts = ["login"]
        for _ in range(int(rng.integers(4, 9))):
            acts += CYCLES[int(rng.integers(3))]
        if i == odd:
            acts[5:5] = ["save", "search", "save", "login", "read", "list", "write", "read", "read"]
        rows += [(f"s{i}", act) for act in [*acts, "logout"]]
    return make([r[0] for r in rows], [r[1] for r in rows], name)


def make(keys, acts, name="log", **more):
    n = len(acts)
    columns = {"subject": keys, "operation": acts, "object": [""] * n, **more}
    table = pl.DataFrame({"row": np.arange(1, n + 1), "time_s": np.full(n, np.nan), **columns})
    return EventLog(name=name, roles={}, table=table)


def starts_of(*lengths):
    return np.concatenate([np.arange(n) == 0 for n in lengths])


def test_kneser_ney_by_hand():
    # "a b a c" and "a b": order 2, start symbol $; bigrams $a ×2, ab ×2, ba, ac
    model = NGrams(order=2, vocabulary=3).fit(np.array([0, 1, 0, 2, 0, 1]), starts_of(4, 2))
    one, two = model.orders
    # unigrams count their left contexts: a after $ and b, b after a, c after a
    assert one.count.tolist() == [2, 1, 1]
    assert one.discount == pytest.approx(2 / (2 + 2 * 1))
    assert two.discount == pytest.approx(2 / (2 + 2 * 2))
    nats, seen = model.judge(np.array([0, 2]), starts_of(2))
    low = (1 - 0.5) / 4 + 0.5 * 3 / 4 / 4  # P(c) = discounted count + what the discounts left, spread over four tokens
    after_a = (1 - 1 / 3) / 3 + (1 / 3) * 2 / 3 * low  # a was followed by b, b and c
    assert nats[1] == pytest.approx(-math.log(after_a))
    assert seen.tolist() == [2, 2]
    first = (2 - 0.5) / 4 + 0.5 * 3 / 4 / 4
    assert nats[0] == pytest.approx(-math.log((2 - 1 / 3) / 2 + (1 / 3) * 1 / 2 * first))


@pytest.mark.parametrize("order", [1, 2, 5])
def test_probabilities_sum_to_one_after_any_past(order):
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 6, 400) // rng.integers(1, 3, 400)
    model = NGrams(order=order, vocabulary=6).fit(tokens, starts_of(*[40] * 10))
    for past in ([], [0], [5, 5, 5, 5], [1, 0, 2, 9, 1]):
        total = sum(
            math.exp(-model.judge(np.array([*past, token]), starts_of(len(past) + 1))[0][-1]) for token in range(7)
        )  # 6 stands for every unknown token
        assert total == pytest.approx(1.0)


def test_a_context_never_reaches_over_a_start():
    tokens, starts = np.array([0, 1, 2, 0, 1, 2, 2, 1, 0]), starts_of(3, 3, 3)
    model = NGrams(order=3, vocabulary=3).fit(tokens, starts)
    together = model.judge(tokens, starts)[0]
    alone = np.concatenate([model.judge(part, starts_of(3))[0] for part in np.split(tokens, 3)])
    np.testing.assert_allclose(together, alone)


@pytest.mark.parametrize("model", ["counts", "network", "both"])
@pytest.mark.parametrize("history", [True, False])
def test_the_odd_session_comes_first_with_its_stretch(model, history):
    detector = Sequences(model=model, order=6, steps=150, width=24)
    if history:
        detector.fit([sessions(0, 60)])
    log = sessions(1, odd=17)
    found = detector.score([log])[0]
    assert found.paths[0].entities == ("s17",)
    assert found.compared == 40
    begun = log.table.with_row_index().filter(pl.col("subject") == "s17")["index"][0]
    assert set(found.paths[0].rows) & set(range(begun + 6, begun + 15))
    assert len(found.paths[0].steps) == len(found.paths[0].rows)


def test_normal_sessions_stay_below_the_bound_that_the_odd_one_passes():
    detector = Sequences().fit([sessions(0, 100)])
    bound = 3.3  # 5 % over 100 sequences
    assert detector.score([sessions(2, 100)])[0].paths[0].score < bound
    assert detector.score([sessions(3, 100, odd=50)])[0].paths[0].score > bound


def test_references_are_held_out_and_the_network_follows_its_seed():
    counts = Sequences().fit([sessions(s, 30) for s in range(3)])
    reference, unseen = counts.reference_scores(), counts.score([sessions(9, 30)])[0].scores
    assert (np.diff(reference) >= 0).all()
    assert abs(unseen.mean() - reference.mean()) < 0.1
    one, two = (
        Sequences(model="network", steps=40, width=16).fit([sessions(0, 20)]).score([sessions(1, 5)])[0].scores for _ in "ab"
    )
    np.testing.assert_array_equal(one, two)


def test_what_was_never_seen_is_said_so():
    detector = Sequences(order=4).fit([sessions(0, 60)])
    log = make(["x"] * 5, ["login", "list", "open", "erase", "logout"])
    found = detector.score([log])[0]
    assert found.reasons[4] == '"erase", which was never seen at all'
    log = make(["x"] * 5, ["login", "list", "open", "search", "logout"])
    assert detector.score([log])[0].reasons[4].startswith('"search" right after "open", which was never seen')


def test_long_logs_of_one_sequence_are_judged_piece_by_piece():
    acts = CYCLES[0] * 100
    acts[200:206] = ["close", "read", "close", "list", "read", "list"]
    found = Sequences().score([make(["only"] * 400, acts)])[0]
    assert set(range(201, 207)) & set(found.paths[0].rows)


def test_sequences_are_told_apart_by_sessions_then_subjects_and_by_choice():
    acts = ["a", "b"] * 4
    by_session = make(["x"] * 8, acts, **{"attr:session_id": ["s", "t"] * 4})
    assert find_courses(by_session).names == ("x (s)", "x (t)")
    assert find_courses(by_session, group="subject").names == ("x",)
    assert find_courses(make(["x", "y"] * 4, acts)).names == ("x", "y")
    assert find_courses(make([""] * 8, acts)).names == ("the whole log",)
    assert find_courses(make(["x", "x", "y", "y"] * 2, acts, host=["h", "i"] * 4)).names == (
        "x on h",
        "x on i",
        "y on h",
        "y on i",
    )
    with pytest.raises(UnknownName, match="session"):
        find_courses(by_session, group="sesion_id")


def test_save_and_load_keep_everything(tmp_path):
    for model in ("counts", "both"):
        detector = Sequences(model=model, order=4, steps=30, width=16).fit([sessions(0, 30)])
        detector.save(tmp_path / "s.npz")
        loaded = Sequences.load(tmp_path / "s.npz")
        ours, theirs = (d.score([sessions(1, 5)])[0] for d in (detector, loaded))
        np.testing.assert_array_equal(ours.scores, theirs.scores)
        assert ours.paths == theirs.paths


@pytest.mark.parametrize("n", [1, 9])
def test_too_few_events_and_nameless_ones_are_refused(n):
    with pytest.raises(BadInput, match="expected"):
        Sequences().score([make(["x"] * n, ["a"] * n)])
    with pytest.raises(BadInput, match="token=COLUMN"):
        Sequences().score([make(["x"] * 20, [""] * 20)])
    with pytest.raises(BadInput, match="model='gru'"):
        Sequences(model="gru")


def test_one_event_missing_values_and_repeats_are_scored_after_fit():
    detector = Sequences(order=5).fit([sessions(0, 30)])
    assert len(detector.score([make(["x", "x"], ["login", None])])[0].scores) == 2
    assert np.isfinite(detector.score([make([None] * 3, ["login", "list", "list"])])[0].scores).all()
    many = detector.score([make(["x"] * 5_000, ["open", "read"] * 2_500)])[0].scores
    assert np.isfinite(many).all()
    single = make(["x"], ["login"])
    assert len(detector.score([single])[0].scores) == 1


def test_the_stretch_is_the_most_surprising_one():
    assert _stretch(np.ones(3)) == (0, 3)
    assert _stretch(np.r_[np.zeros(50), np.ones(8), np.zeros(5)]) == (50, 58)
