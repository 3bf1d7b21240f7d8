"""Rarity on made-up logs: what is odd comes first, floods do not count, odd shapes do not break it."""

import numpy as np
import polars as pl
import pytest
from office_log import attacked, make, office

from core.errors import BadInput
from core.samples import EventLog, ImageSample
from tools.events import counts
from tools.events.pairs import pair_surprise
from tools.events.rarity import FACTORS, LINEAGE, Rarity
from tools.events.tails import Tail
from tools.events.tokens import token_table

rng = np.random.default_rng


@pytest.fixture(scope="module")
def fitted():
    return Rarity().fit([make(office(s), f"day {s}") for s in range(4)])


@pytest.mark.parametrize("history", [True, False])
@pytest.mark.parametrize("flood", [1, 60])
def test_the_attack_comes_first_even_when_it_floods_its_own_log(fitted, history, flood):
    log, where = attacked(flood)
    found = (fitted if history else Rarity()).score([log])[0]
    odd = np.zeros(len(found.scores), bool)
    odd[list(where)] = True
    assert np.median(found.scores[odd]) > np.quantile(found.scores[~odd], 0.98)
    assert "pay.exe" in found.entities[0].entity
    assert any("pay.exe started cmd.exe" in p.steps for p in found.paths[:3])
    assert all(set(p.rows) <= set(log.table["row"].to_list()) for p in found.paths)


def test_the_path_ends_with_reading_log_on_secrets(fitted):
    found = fitted.score([attacked()[0]])[0]
    assert any("opened the memory of lsass.exe" in p.steps[-1] for p in found.paths[:3])
    assert all(len(p.rows) == len(p.steps) for p in found.paths)


def test_shares_add_up_to_the_score(fitted):
    found = fitted.score([attacked()[0]])[0]
    np.testing.assert_allclose(np.sum(list(found.attribution.values()), axis=0), found.scores, rtol=1e-4)
    assert set(found.attribution) == {f.name for f in FACTORS} | {LINEAGE}


def test_the_odd_attribute_is_blamed(fitted):
    rows = office(3)
    path, ident = next((r[0], r[3]) for r in rows if r[0].endswith("word.exe"))
    log = make([*rows, (path, "create_file", "D:\\vault\\gold.bin", ident, ""), (path, "delete_file", rows[1][2], ident, "")])
    shares = fitted.score([log])[0].attribution
    names = [f.name for f in FACTORS]
    blamed = [max(names, key=lambda n: shares[n][row]) for row in (-2, -1)]
    assert blamed == ["object given subject, operation", "operation given subject"]


def test_reference_scores_are_held_out(fitted):
    unseen = fitted.score([make(office(77))])[0].scores
    reference = fitted.reference_scores()
    assert len(reference) == 4 * 60 * 13
    assert (np.diff(reference) >= 0).all()
    assert (unseen > np.quantile(reference, 0.99)).mean() < 0.05


def test_a_single_history_log_is_held_out_in_stretches():
    assert len(Rarity().fit([make(office(1))]).reference_scores()) == 60 * 13


def test_fit_replaces_and_save_load_keeps(fitted, tmp_path):
    log = attacked()[0]
    again = Rarity().fit([make(office(50))]).fit([make(office(s), f"day {s}") for s in range(4)])
    np.testing.assert_array_equal(again.score([log])[0].scores, fitted.score([log])[0].scores)
    fitted.save(tmp_path / "r.npz")
    loaded = Rarity.load(tmp_path / "r.npz")
    one, two = fitted.score([log])[0], loaded.score([log])[0]
    np.testing.assert_array_equal(one.scores, two.scores)
    assert one.paths == two.paths
    np.testing.assert_array_equal(loaded.reference_scores(), fitted.reference_scores())


@pytest.mark.parametrize(
    "rows",
    [
        [("a", "b", "c")],
        [("", "", "")] * 5,
        [("a", "start", "a")] * 4,
        [("a", "start", "b"), ("b", "start", "a")] * 3,
        [("ż🙂\u202e", "读", "\x00\n" * 50)] * 2,
        [("p", "create_process", "q", "1", "2"), ("q", "create_process", "p", "2", "1"), ("x", "connect", "y", "", "")],
        [("x" * 100_000, "op", "y" * 100_000)],
    ],
)
@pytest.mark.parametrize("times", [True, False])
def test_odd_logs_are_scored(fitted, rows, times):
    log = make(rows, times=times)
    for detector in (Rarity(), fitted, Rarity().fit([log])):
        found = detector.score([log])[0]
        assert len(found.scores) == len(rows)
        assert np.isfinite(found.scores).all()
        assert found.entities


def test_nulls_are_empty_text():
    log = make([("a", "b", "c")] * 3)
    table = log.table.with_columns(pl.Series("subject", [None, "a", None]), pl.Series("subject_id", [None, "", "x"]))
    assert len(Rarity().score([EventLog(name="n", roles={}, table=table)])[0].scores) == 3


def test_labels_are_never_looked_at():
    rows = office(2)
    label = [int(i % 7 == 0) for i in range(len(rows))]
    bare, labelled = make(rows), make(rows, **{"attr:label": label, "attr:attack": label, "attr:key": label})
    np.testing.assert_array_equal(Rarity().score([bare])[0].scores, Rarity().score([labelled])[0].scores)
    table = bare.table.select("row", "time_s", subject=pl.lit(""), operation=pl.lit(""), object=pl.lit(""))
    plain = table.with_columns(
        pl.Series("attr:a", [i % 3 for i in label]), pl.Series("attr:b", [i % 4 for i in range(len(label))])
    )
    answers = plain.with_columns(pl.Series("attr:label", label))
    one, two = (Rarity().score([EventLog(name="t", roles={}, table=t)])[0] for t in (plain, answers))
    np.testing.assert_array_equal(one.scores, two.scores)


def test_plain_tables_find_the_pair_that_does_not_go_together(tmp_path):
    n = 400
    a = np.arange(n) % 4
    b = a.copy()
    b[123] = (b[123] + 1) % 4
    frame = pl.DataFrame({"row": np.arange(1, n + 1), "time_s": np.nan, "subject": "", "operation": "", "object": "",
                          "attr:a": a, "attr:b": b.astype(str), "attr:c": (np.arange(n) // 4) % 3})  # fmt: skip
    log = EventLog(name="t", roles={}, table=frame)
    found = Rarity().score([log])[0]
    assert int(found.scores.argmax()) == 123
    assert set(found.attribution) == {"a", "b", "c"}
    detector = Rarity().fit([EventLog(name="n", roles={}, table=frame.filter(pl.col("row") != 124))])
    assert int(detector.score([log])[0].scores.argmax()) == 123
    detector.save(tmp_path / "t.npz")
    np.testing.assert_array_equal(Rarity.load(tmp_path / "t.npz").score([log])[0].scores, detector.score([log])[0].scores)
    with pytest.raises(BadInput, match="attr:c"):
        detector.score([EventLog(name="m", roles={}, table=frame.drop("attr:c"))])


def test_a_user_with_a_new_habit_stands_out_without_process_ids():
    random = rng(4)
    rows = [(f"user{i % 10}", "login", f"host{i % 10}") for i in random.integers(0, 100, 600)]
    rows[450] = ("user3", "login", "domain-controller")
    found = Rarity().score([make(rows, "auth")])[0]
    assert int(found.scores.argmax()) == 450


def test_wrong_input_is_refused():
    picture = ImageSample(name="p", pixels=np.zeros((4, 4, 3), np.uint8))
    for bad in ([], [picture]):
        for ask in (Rarity().score, Rarity().fit):
            with pytest.raises(BadInput):
                ask(bad)
    with pytest.raises(BadInput, match="inherit"):
        Rarity(inherit=1.0)


def test_many_distinct_entities_stay_fast():
    n = 200_000
    ids = np.arange(n)
    table = pl.DataFrame({"row": ids + 1, "time_s": ids * 0.001, "subject": [f"C:\\bin\\tool{i % 1000}.exe" for i in ids],
                          "operation": "connect", "object": [f"10.{i % 200}.{i % 250}.{i % 251}:{i % 60000}" for i in ids],
                          "subject_id": [f"<{i}>" for i in ids]})  # fmt: skip
    import time

    start = time.process_time()
    assert len(Rarity().score([EventLog(name="big", roles={}, table=table)])[0].scores) == n
    assert time.process_time() - start < 15.0


def test_each_actor_votes_once_and_ties_are_not_rare():
    """Ten actors each do x 5 times; one does x 500 times: nobody learns from the loud one, and nobody's x is rare."""
    factor = counts.Factor(name="o", values=("o0",), contexts=((),))
    units = counts.Units(
        columns={"o0": np.array([0] * 10 + [1, 2])}, actor=np.array([*range(10), 10, 11]),
        mass=np.array([5.0] * 10 + [500.0, 5.0]), starts=np.zeros(12, bool),
    )  # fmt: skip
    found = counts.surprise(units, units, factor, leave_own_out=True)
    assert found[10] > found[:10].max() + 0.3
    assert np.ptp(found[:10]) < 1e-9


def test_tail_and_tokens_and_pairs():
    tail = Tail.of(np.r_[np.zeros(99), 4.0])
    assert tail.convert(np.array([4.0]))[0] == pytest.approx(np.log(101 / 2))
    assert tail.convert(np.array([9.0]))[0] == pytest.approx(np.log(101 / 2) + 5.0)
    assert tail.convert(np.array([0.01]))[0] <= 0.03
    assert Tail.of(np.zeros(0)).convert(np.array([2.0]))[0] == 2.0
    token = token_table(pl.Series(["/home/bob/x/{01234567-89ab-cdef-0123-456789abcdef}.tmp", "8.8.8.8:53", None, ""]))
    by_value = {r["value"]: r for r in token.iter_rows(named=True)}
    assert by_value["8.8.8.8:53"]["class"] == "public address :53"
    assert by_value["/home/bob/x/{01234567-89ab-cdef-0123-456789abcdef}.tmp"]["exact"] == "/home/<user>/x/<guid>.tmp"
    one = pair_surprise([np.array([0, 0, 0, 1])], [np.array([0, 0, 0, 1])])
    assert int(one.sum(axis=0).argmax()) == 3
