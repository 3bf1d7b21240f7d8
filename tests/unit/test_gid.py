"""GID: chains of flow with a strange end come first; walk and scale have closed forms; odd logs do not break it."""

import os
import pathlib

import numpy as np
import polars as pl
import pytest
from office_log import ATTACK, attacked, make, office
from scipy.stats import boxcox

from benchmarks.event_sets import DEVELOPMENT, as_log, read_capture
from benchmarks.injected_chains import benign, found_among, inject
from core.errors import BadInput, NotFitted
from core.samples import EventLog
from tools.events.acts import TYPES
from tools.events.factors import FACTORS
from tools.events.flows import compact
from tools.events.gid import Gid
from tools.events.gid_stream import GidStream
from tools.events.lengths import LEAST, fit_lengths
from tools.events.path_scores import BEFORE
from tools.events.patterns import read_patterns, search
from tools.events.prepare import Vocabulary
from tools.events.walk import walk

DATA = pathlib.Path(os.environ.get("TELLTALE_DATA", pathlib.Path(__file__).parents[3] / "shared" / "data"))
FOLDER = DATA / "otrf_sysmon"


@pytest.fixture(scope="module")
def fitted():
    return Gid().fit([make(office(s), f"day {s}") for s in range(4)])


@pytest.mark.parametrize("history", [True, False])
@pytest.mark.parametrize("flood", [1, 60])
def test_the_attack_comes_first_even_when_it_floods_its_own_log(fitted, history, flood):
    log, where = attacked(flood)
    found = (fitted if history else Gid()).score([log])[0]
    odd = np.zeros(len(found.scores), bool)
    odd[list(where)] = True
    assert np.median(found.scores[odd]) > np.quantile(found.scores[~odd], 0.98)
    assert any(name in found.entities[0].entity for name in ("pay.exe", "cmd.exe", "whoami.exe"))
    assert any("pay.exe started cmd.exe" in path.steps for path in found.paths[:3])
    assert bool(found.notes) is not history
    for path in found.paths:
        assert len(path.rows) == len(path.steps)
        when = [float(log.table["time_s"][row - 1]) for row in path.rows]
        assert when == sorted(when)


def test_shares_add_up_to_the_score(fitted):
    found = fitted.score([attacked()[0]])[0]
    np.testing.assert_allclose(np.sum(list(found.attribution.values()), axis=0), found.scores, rtol=1e-4, atol=1e-4)
    assert set(found.attribution) == {*FACTORS, BEFORE}


def test_an_ordinary_deed_of_a_suspect_is_blamed_on_what_led_there(fitted):
    log, where = attacked()
    shares = fitted.score([log])[0].attribution
    ordinary = where[
        ATTACK.index(("C:\\Windows\\System32\\whoami.exe", "load_image", "C:\\Windows\\System32\\lib1.dll", "W", ""))
    ]
    assert shares[BEFORE][ordinary] == max(share[ordinary] for share in shares.values())


def test_a_deed_before_the_chain_reached_its_doer_is_innocent(fitted):
    rows = office(9)
    shell = ("C:\\Windows\\System32\\svc.exe", "create_file", "C:\\Users\\ann\\doc1.docx", "S", "")
    log = make([*rows, shell, ("C:\\Users\\ann\\pay.exe", "inject_thread", "C:\\Windows\\System32\\svc.exe", "P", "S"), shell])
    scores = fitted.score([log])[0].scores
    assert scores[-1] > scores[-3] + 1.0


def test_a_path_is_told_from_who_let_it_in_to_what_it_came_for(fitted):
    told = fitted.score([attacked()[0]])[0].paths[0]
    assert "explorer.exe started pay.exe" in told.steps
    assert any("explorer.exe" in entity for entity in told.entities[:1])


def test_reference_scores_are_held_out(fitted):
    unseen = fitted.score([make(office(77))])[0].scores
    reference = fitted.reference_scores()
    assert len(reference) == 4 * 60 * 13
    assert (np.diff(reference) >= 0).all()
    assert (unseen > np.quantile(reference, 0.99)).mean() < 0.05


def test_fit_replaces_and_save_load_keeps(fitted, tmp_path):
    log = attacked()[0]
    again = Gid().fit([make(office(50))]).fit([make(office(s), f"day {s}") for s in range(4)])
    np.testing.assert_array_equal(again.score([log])[0].scores, fitted.score([log])[0].scores)
    fitted.save(tmp_path / "g.npz")
    loaded = Gid.load(tmp_path / "g.npz")
    one, two = fitted.score([log])[0], loaded.score([log])[0]
    np.testing.assert_array_equal(one.scores, two.scores)
    assert one.paths == two.paths
    np.testing.assert_array_equal(loaded.reference_scores(), fitted.reference_scores())


def test_a_file_is_ranked_like_the_log_in_memory(fitted, tmp_path):
    log = attacked()[0]
    log.table.write_parquet(tmp_path / "log.parquet")
    streamed = fitted.rank_paths(pl.scan_parquet(tmp_path / "log.parquet").drop("row"))
    whole = fitted.score([log])[0].paths
    assert [p.score for p in streamed] == [p.score for p in whole]
    for bare, told in zip(streamed, whole, strict=True):
        at = told.rows.index(bare.rows[0])
        assert told.rows[at : at + len(bare.rows)] == bare.rows
        assert told.steps[at : at + len(bare.rows)] == bare.steps
    assert any("opened the memory of lsass.exe" in path.steps[-1] for path in whole[:3])


@pytest.mark.parametrize(
    "rows",
    [
        [("a", "b", "c")],
        [("", "", "")] * 5,
        [("a", "start", "a")] * 4,
        [("a", "start", "b"), ("b", "start", "a")] * 3,
        [("ż🙂\u202e", "读", "\x00\n" * 50)] * 2,
        [("p", "create_process", "q", "1", "2"), ("q", "create_process", "p", "2", "1"), ("x", "connect", "y", "", "")],
        [("orphan", "read", "f", "O", ""), ("orphan", "write", "g", "O", "")],
        [("x" * 100_000, "op", "y" * 100_000)],
    ],
)
@pytest.mark.parametrize("times", [True, False])
def test_odd_logs_are_scored(fitted, rows, times):
    log = make(rows, times=times)
    for detector in (Gid(), fitted, Gid().fit([log])):
        found = detector.score([log])[0]
        assert len(found.scores) == len(rows)
        assert np.isfinite(found.scores).all()
        assert found.entities


def test_repeated_rows_do_not_change_the_others(fitted):
    log = attacked()[0]
    twice = EventLog(name="twice", roles={}, table=pl.concat([log.table, log.table[:50]]).sort("time_s", maintain_order=True))
    once = dict(zip(log.table["row"].to_list(), fitted.score([log])[0].scores.tolist(), strict=True))
    for row, score in zip(twice.table["row"].to_list(), fitted.score([twice])[0].scores.tolist(), strict=True):
        assert score == pytest.approx(once[row], abs=1e-4)


def test_clocks_that_disagree_break_a_chain_unless_allowed_for():
    days = [make(office(s), f"day {s}") for s in range(2)]
    rows = [*office(9)[:100], ATTACK[2], ATTACK[3]]
    table = make(rows).table
    skewed = pl.concat([table[:-1], table[-1:].with_columns(pl.lit(table["time_s"][-2] - 2.0).alias("time_s"))])
    log = EventLog(name="skewed", roles={}, table=skewed)
    chain = ("pay.exe started cmd.exe", "cmd.exe started whoami.exe")
    assert not any(path.steps[-2:] == chain for path in Gid().fit(days).score([log])[0].paths)
    assert any(path.steps[-2:] == chain for path in Gid(slack_s=3.0).fit(days).score([log])[0].paths)


def test_tables_without_process_structure_are_sent_to_rarity():
    frame = pl.DataFrame({"row": range(1, 41), "time_s": float("nan"), "subject": "", "operation": "", "object": "",
                          "attr:a": [i % 3 for i in range(40)], "attr:b": [i % 4 for i in range(40)]})  # fmt: skip
    log = EventLog(name="plain", roles={}, table=frame)
    for ask in (Gid().score, Gid().fit):
        with pytest.raises(BadInput, match="rarity"):
            ask([log])


@pytest.mark.parametrize("wrong", [{"length": 0}, {"length": 99}, {"top": 0}, {"slack_s": -1.0}, {"slack_s": float("nan")},
                                   {"patterns": ("process>gizmo",)}, {"patterns": ("file>file",)}, {"patterns": ("process",)},
        {"patterns": ("file>process>file",), "length": 1}])  # fmt: skip
def test_wrong_values_are_refused(wrong):
    with pytest.raises(BadInput):
        Gid(**wrong)


def test_listed_patterns_are_followed_to_the_letter():
    rows = [
        ("a", "start", "b", "A", "B"),
        ("b", "write", "f", "B", ""),
        ("c", "read", "f", "C", ""),
        ("c", "connect", "1.1.1.1:1", "C", ""),
    ]
    flows = compact(make(rows).table.lazy(), Vocabulary(), grow=True)
    patterns = read_patterns(["process>process>file", "file>process>socket", "process>file>process"])
    found = search(flows, np.ones(len(flows)), patterns)
    told = {tuple(int(flows.event[found.moment[m]]) for m in path.moments) for path in found.paths.best(2)}
    assert told == {(0, 1), (2, 3), (1, 2)}
    assert list(found.paths.best(1)) == []
    free = search(flows, np.ones(len(flows)))
    assert [p.weight for p in free.paths.best(4)] == [4.0]
    assert TYPES[0] == "process"


def test_the_walk_settles_on_the_singular_vectors_of_the_mixed_matrix():
    rng = np.random.default_rng(0)
    source, target = rng.integers(0, 12, 60), rng.integers(0, 12, 60)
    kind = np.arange(12) % 2
    found = walk(source, target, np.ones(60), kind)
    share = np.zeros((12, 12))
    np.add.at(share, (source, target), 1.0)
    out = share.sum(axis=1, keepdims=True)
    allowed = np.zeros((2, 2))
    allowed[kind[source], kind[target]] = 1.0
    restart = allowed[kind][:, kind]
    restart /= restart.sum(axis=1, keepdims=True)
    mixed = np.where(out > 0, 0.9 * share / np.maximum(out, 1) + 0.1 * restart, restart)
    left, _, right = np.linalg.svd(mixed)
    np.testing.assert_allclose(found.sender, np.abs(left[:, 0]) / np.abs(left[:, 0]).sum(), atol=1e-6)
    np.testing.assert_allclose(found.receiver, np.abs(right[0]) / np.abs(right[0]).sum(), atol=1e-6)
    assert found.converged


def test_a_walk_that_does_not_settle_says_so():
    rng = np.random.default_rng(1)
    assert not walk(rng.integers(0, 9, 30), rng.integers(0, 9, 30), np.ones(30), np.zeros(9, int), most_rounds=2).converged


def test_lengths_are_those_of_box_and_cox():
    values = np.random.default_rng(2).gamma(3.0, 2.0, 4000)
    (length,) = fit_lengths([values])
    moved, exponent = boxcox(values + LEAST)
    assert length.exponent == pytest.approx(exponent, abs=1e-3)
    assert np.abs(length.standardise(values) - (moved - moved.mean()) / moved.std()).max() < 1e-2
    np.testing.assert_allclose(length.restore(length.standardise(values)), values, rtol=1e-6)


def test_a_length_without_history_is_judged_by_the_one_before():
    known = np.random.default_rng(3).gamma(3.0, 2.0, 400)
    one, two, three = fit_lengths([known, np.zeros(0), np.zeros(0)])
    assert two.standardise(np.array([12.0]))[0] == pytest.approx(one.standardise(np.array([6.0]))[0], abs=0.02)
    assert three.standardise(np.array([18.0]))[0] == pytest.approx(one.standardise(np.array([6.0]))[0], abs=0.02)
    assert np.isfinite(fit_lengths([np.zeros(0)])[0].standardise(np.array([1.0]))).all()


@pytest.mark.parametrize("cuts", [(50,), (1, 200, 303, 304, 305), (299, 301, 303)])
def test_a_stream_in_pieces_equals_one_batch(fitted, cuts):
    log = attacked()[0]
    whole = fitted.score([log])[0]
    stream = GidStream(fitted)
    ends = [*cuts, log.table.height]
    found = [
        stream.add(EventLog(name=f"piece {a}", roles={}, table=log.table[a:b])) for a, b in zip([0, *cuts], ends, strict=True)
    ]
    np.testing.assert_allclose(np.concatenate([piece.scores for piece in found]), whole.scores, rtol=1e-5)
    best = max((path for piece in found for path in piece.paths), key=lambda path: path.score)
    assert best.score == pytest.approx(whole.paths[0].score)
    assert set(best.steps) <= set(whole.paths[0].steps)


def test_a_window_forgets_what_led_there(fitted):
    log = attacked()[0]
    pieces = [log.table[:302], log.table[302:310].with_columns(pl.col("time_s") + 5_000.0)]
    last = []
    for window in (float("inf"), 1_000.0):
        stream = GidStream(fitted, window_s=window)
        last.append([stream.add(EventLog(name="piece", roles={}, table=piece)) for piece in pieces][-1])
        remembered = stream.remembered
    assert last[0].attribution[BEFORE][0] > last[1].attribution[BEFORE][0]
    assert last[0].scores[0] > last[1].scores[0]
    assert remembered == len(pieces[1])
    assert all(row > 302 for path in last[1].paths for row in path.rows)


def test_a_stream_needs_a_history_and_a_window():
    with pytest.raises(NotFitted, match="gid"):
        GidStream(Gid()).add(make(office(1)))
    with pytest.raises(BadInput, match="window_s"):
        GidStream(Gid(), window_s=0.0)


@pytest.mark.data
@pytest.mark.skipif(not FOLDER.is_dir(), reason="real data set otrf_sysmon not found under TELLTALE_DATA")
def test_injected_chains_are_among_the_first_paths():
    names = (DEVELOPMENT, "lsass03_comsvcs", "lsass04_outminidump")
    (name, target), *others = ((name, benign(read_capture(FOLDER / f"{name}.parquet"))) for name in names)
    log, chains = inject(target, [table for _, table in others], chains=4, known=False, seed=5)
    detector = Gid().fit([as_log(table, other) for other, table in others])
    found = detector.score([as_log(log, name)])[0]
    assert found_among(found.paths[:10], chains) >= 0.75
