"""The TriP suite's rows: entities joined as the paper joins them, and both ways of scoring from one training."""

import numpy as np
import pytest

from benchmarks import tasks_trip
from benchmarks.series_sets import Entity, as_series

pytestmark = pytest.mark.usefixtures("one_thread")


def entity(name, *, seed, odd):
    rng = np.random.default_rng(seed)
    t = np.arange(260)[:, None]
    normal, test = (
        (np.sin(t / 5 + np.arange(2) + phase) + 0.1 * rng.normal(size=(260, 2))).astype(np.float32) for phase in (0, 1)
    )
    labels = np.zeros(260, np.int64)
    if odd:
        test[100:140] += 3
        labels[100:140] = 1
    return Entity(name=name, normal=as_series("n", normal), test=as_series("t", test), labels=labels)


def test_entities_are_joined_in_order():
    one, other = entity("a", seed=0, odd=True), entity("b", seed=1, odd=False)
    joined = tasks_trip.merged([one, other])
    np.testing.assert_array_equal(joined.normal.values, np.concatenate([one.normal.values, other.normal.values]))
    np.testing.assert_array_equal(joined.test.values, np.concatenate([one.test.values, other.test.values]))
    assert joined.labels.tolist() == [*one.labels, *other.labels]


def test_one_training_gives_a_row_for_each_rule_and_both_find_the_odd_part():
    entities = [entity("a", seed=0, odd=True), entity("b", seed=1, odd=False)]
    less = {"updates": 30, "hop": 4, "body": "none", "rate": 3e-3}
    rows = list(
        tasks_trip._trip(
            "waves", [e.normal for e in entities], tasks_trip.merged(entities), (0, 1), {"here": {}}, less, note="said"
        )
    )
    assert [row.method for row in rows] == ["here", "here, last step"]
    assert all(row.metrics["auroc"] > 0.9 and row.seeds == (0, 1) and row.note.endswith("said") for row in rows)
    assert rows[0].metrics["pate"] != rows[1].metrics["pate"]
    assert "held-out error" in rows[0].note


def test_the_measured_part_leaves_flags_and_what_never_moved_out():
    one = entity("a", seed=0, odd=True)
    flags = (np.random.default_rng(0).random((260, 2)) < 0.3).astype(np.float32)
    flags[:, 1] = 1
    normal, test = (as_series("s", np.column_stack([flags, s.values])) for s in (one.normal, one.test))
    part = tasks_trip.measured_part(Entity(name="a", normal=normal, test=test, labels=one.labels))
    np.testing.assert_array_equal(part.normal.values, one.normal.values)
    np.testing.assert_array_equal(part.test.values, one.test.values)
