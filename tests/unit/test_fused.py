"""Fisher's combination of rarity and gid: its scale, its paths, and that it sees what either of both sees."""

import numpy as np
import pytest
from office_log import attacked, make, office

from core.errors import BadInput
from core.samples import EventLog
from tools.events.fused import SHARED, FusedPaths, deviations, nats_beyond
from tools.events.gid import Gid
from tools.events.rarity import Rarity


@pytest.fixture(scope="module")
def fitted() -> FusedPaths:
    return FusedPaths().fit([make(office(seed), name=f"day {seed}") for seed in range(4)])


def test_the_attack_is_on_top_and_its_chain_is_the_first_path(fitted: FusedPaths) -> None:
    log, where = attacked()
    found = fitted.score([log])[0]
    assert set(np.argsort(-found.scores)[:4].tolist()) <= set(where)
    rows = {i + 1 for i in where}
    assert set(found.paths[0].rows) <= rows | {1}
    assert len(set(found.paths[0].rows) & rows) >= 3
    assert any(program in found.entities[0].entity for program in ("pay.exe", "cmd.exe", "whoami.exe"))


def test_every_event_scores_the_sum_of_what_both_say(fitted: FusedPaths) -> None:
    log, _ = attacked()
    found = fitted.score([log])[0]
    np.testing.assert_allclose(found.scores, found.attribution["rarity"] + found.attribution["paths"], rtol=1e-5)
    normal = [make(office(seed), name=f"day {seed}") for seed in range(4)]
    for name, detector in (("rarity", Rarity()), ("paths", Gid())):
        alone = detector.fit(normal).score([log])[0].scores
        order = np.argsort(alone, kind="stable")
        assert (np.diff(found.attribution[name][order]) >= -1e-6).all()  # only the scale is another


def test_held_out_normal_events_pass_as_often_as_the_scale_says(fitted: FusedPaths) -> None:
    fresh = fitted.score([make(office(50), name="another day")])[0]
    limit = np.quantile(fitted.reference_scores(), 0.99)
    assert (fresh.scores > limit).mean() < 0.03
    assert 0.0 <= fitted._correlation <= 1.0


def test_no_path_is_a_variant_of_a_better_one_and_better_means_more_nats(fitted: FusedPaths) -> None:
    log, _ = attacked()
    found = fitted.score([log])[0]
    nats = dict(zip(found.rows.tolist(), found.scores.tolist(), strict=True))
    sums = [sum(nats[row] for row in path.rows) for path in found.paths]
    assert sums == sorted(sums, reverse=True)
    assert [p.score for p in found.paths] == sorted((p.score for p in found.paths), reverse=True)
    for i, path in enumerate(found.paths):
        assert all(len(set(path.rows) & set(better.rows)) < SHARED * len(path.rows) for better in found.paths[:i])


def test_without_history_the_log_is_its_own_measure() -> None:
    log, where = attacked()
    found = FusedPaths().score([log])[0]
    assert len(FusedPaths().reference_scores()) == 0
    assert set(np.argsort(-found.scores)[:3].tolist()) <= set(where)


def test_tails_go_on_beyond_the_strangest_and_plain_tables_are_refused() -> None:
    held = np.full(50, 2.0, np.float32)
    assert nats_beyond(held, np.array([1.0, 2.0, 9.0], np.float32)).round(3).tolist() == [0.0, 0.0, 3.932]
    assert deviations(500.0, 0.5) > deviations(100.0, 0.5) > deviations(30.0, 0.5)
    assert np.isfinite(deviations(1e5, 0.0))
    import polars as pl

    table = pl.DataFrame({"row": range(1, 41), "time_s": np.arange(40.0), "subject": [""] * 40, "operation": ["a", "b"] * 20,
                          "object": [""] * 40, "attr:flag": ["S0", "SF", "SF", "SF"] * 10})  # fmt: skip
    with pytest.raises(BadInput, match="who did what"):
        FusedPaths().score([EventLog(name="plain", roles={}, table=table)])
    with pytest.raises(BadInput, match="top=0"):
        FusedPaths(top=0)
