"""From events to a compact graph: directions, moments, odd tables; pieces joined are the whole."""

import numpy as np
import polars as pl
import pytest

from core.errors import BadInput
from tools.events.acts import TYPES
from tools.events.flows import compact, join, keep, leading_to
from tools.events.prepare import Vocabulary

NAMES = ("subject", "operation", "object", "subject_id", "object_id")


def table(rows, times=None, **more):
    columns = {name: [row[i] for row in rows] for i, name in enumerate(NAMES[: len(rows[0])])}
    times = [float(i) for i in range(len(rows))] if times is None else times
    return pl.DataFrame({"row": range(1, len(rows) + 1), "time_s": times, **columns, **more})


def graph(frame, **more):
    return compact(frame.lazy(), Vocabulary(), grow=True, **more)


def test_flows_go_the_way_information_goes():
    flows = graph(table([
        ("a.exe", "read", "f"), ("a.exe", "write", "g"), ("a.exe", "start", "b.exe"), ("b.exe", "connect", "1.2.3.4:5"),
        ("b.exe", "accept", "1.2.3.4:6"), ("b.exe", "exit", "b.exe"), ("a.exe", "delete", "g"),
    ]))  # fmt: skip
    kinds = [(TYPES[flows.kind[s]], TYPES[flows.kind[t]]) for s, t in zip(flows.source, flows.target, strict=True)]
    by_event = {int(flows.event[flows.start[e]]): e for e in range(len(flows))}
    assert kinds[by_event[0]] == ("file", "process")
    assert kinds[by_event[1]] == ("process", "file")
    assert kinds[by_event[2]] == ("process", "process")
    assert flows.makes[by_event[2]]
    assert kinds[by_event[3]] == ("process", "socket")
    assert kinds[by_event[4]] == ("socket", "process")
    assert not flows.walked[by_event[5]]
    assert not flows.walked[by_event[6]]


@pytest.mark.parametrize(("mask", "flows_in"), [("0x1010", True), ("0x1400", False), ("", True)])
def test_opening_a_process_lets_its_memory_flow_only_when_it_may_be_read(mask, flows_in):
    flows = graph(table([("tool.exe", "access_process", "lsass.exe", "T", "L")], detail=[mask]))
    assert bool(flows.walked[0]) is flows_in
    assert flows.actor[0] == (flows.target[0] if flows_in else flows.source[0])


def test_equal_times_are_one_moment_and_every_event_finds_its_own():
    flows = graph(table([("a", "read", "f")] * 4 + [("b", "read", "f")], times=[3.0, 1.0, 3.0, 2.0, 1.0]))
    assert len(flows) == 2
    assert sorted(flows.counts.tolist()) == [1, 3]
    assert flows.times[flows.moment_of_event].tolist() == [3.0, 1.0, 3.0, 2.0, 1.0]
    assert sorted(flows.events_of.tolist()) == [1.0, 4.0]
    assert flows.event[flows.moment_of_event[2]] == 0


def test_an_instance_is_one_entity_whether_it_acts_or_is_made():
    flows = graph(table([("a", "start", "b", "A", "B"), ("b", "write", "f", "B", "f"), ("b", "write", "f", "B2", "f")]))
    assert flows.target[0] == flows.source[1]
    assert len(flows.kind) == 4
    assert flows.named


def test_things_belong_to_hosts_and_addresses_to_all():
    rows = [("a", "write", "F"), ("a", "write", "f"), ("a", "connect", "9.9.9.9:1"), ("a", "connect", "9.9.9.9:1")]
    flows = graph(table(rows, host=["h1", "h2", "h1", "h2"]))
    assert sorted(TYPES[k] for k in flows.kind) == ["file", "file", "process", "process", "socket"]


def test_without_times_the_order_of_rows_counts():
    flows = graph(table([("a", "start", "b"), ("b", "write", "f")], times=[float("nan")] * 2))
    assert flows.times.tolist() == [0.0, 1.0]


def test_a_missing_time_is_that_of_the_row_before():
    flows = graph(table([("a", "read", "f"), ("b", "read", "f"), ("c", "read", "f")], times=[float("nan"), 7.0, float("nan")]))
    assert sorted(flows.times.tolist()) == [7.0, 7.0, 7.0]


@pytest.mark.parametrize("kind", ["gizmo", None, "PROCESS"])
def test_unknown_object_types_are_things(kind):
    flows = graph(table([("a", "frob", "x")], object_type=[kind]))
    assert TYPES[flows.kind[flows.target[0]]] == ("process" if kind == "PROCESS" else "thing")


def random_log(count, seed):
    rng = np.random.default_rng(seed)
    operations = ["read", "write", "start", "connect", "exit"]
    rows = [(f"p{rng.integers(5)}", operations[rng.integers(5)], f"x{rng.integers(6)}") for _ in range(count)]
    return table(rows, times=np.sort(rng.integers(0, 40, count)).astype(float).tolist())


@pytest.mark.parametrize("cuts", [(20,), (7, 31), (1, 2, 3)])
def test_pieces_joined_are_the_whole(cuts):
    log = random_log(60, 4)
    words, entities = Vocabulary(), Vocabulary()
    pieces = [log.slice(a, b - a) for a, b in zip((0, *cuts), (*cuts, 60), strict=True)]
    whole = compact(log.lazy(), Vocabulary(), grow=True)
    joined, before = None, 0
    for piece in pieces:
        flows = compact(piece.lazy(), words, grow=True, entities=entities)
        joined = flows if joined is None else join(joined, flows, events_before=before)
        before += piece.height

    def content(flows):
        return sorted(
            zip(
                flows.event.tolist(), flows.times.tolist(), flows.repeats.tolist(), flows.counts[flows.edge].tolist(), strict=True
            )
        )

    assert content(joined) == content(whole)
    late, place = keep(joined, joined.times >= 20.0)
    assert (place >= 0).sum() == len(late.times)
    assert late.times.min() >= 20.0
    assert late.repeats.sum() == log.filter(pl.col("time_s") >= 20.0).height
    assert (late.counts > 0).all()


def test_what_leads_to_an_edge_is_found_over_so_many_hops():
    flows = graph(table([("a", "start", "b", "A", "B"), ("b", "start", "c", "B", "C"), ("c", "write", "f", "C", ""),
                         ("d", "start", "e", "D", "E")]))  # fmt: skip
    last = flows.event[flows.start[:-1]] == 2
    found = [sorted(flows.event[flows.start[:-1]][leading_to(flows, last, hops)].tolist()) for hops in range(3)]
    assert found == [[2], [1, 2], [0, 1, 2]]


@pytest.mark.parametrize("frame", [pl.DataFrame({"subject": ["a"], "time_s": [0.0]}), table([("a", "read", "f")])[:0]])
def test_a_table_that_says_too_little_is_refused(frame):
    with pytest.raises(BadInput, match="expected"):
        graph(frame)


def test_pieces_of_a_long_log_are_one_graph(monkeypatch):
    log = random_log(200, 8)
    whole = graph(log)
    monkeypatch.setattr("tools.events.acts.PIECE", 17)
    pieces = graph(log)
    np.testing.assert_array_equal(pieces.times[pieces.moment_of_event], whole.times[whole.moment_of_event])
    assert sorted(pieces.counts.tolist()) == sorted(whole.counts.tolist())
    assert (np.unique(pieces.edge[pieces.moment_of_event], return_inverse=True)[1].max() + 1) == len(whole)
