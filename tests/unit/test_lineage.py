"""Who made whom: links, inherited suspicion, and chains."""

import numpy as np
import polars as pl

from tools.events import lineage
from tools.events.lineage import Links


def table(rows, **more):
    names = ("subject", "operation", "object", "subject_id", "object_id")
    frame = pl.DataFrame({name: [r[i] for r in rows] for i, name in enumerate(names)})
    return frame.with_columns(
        pl.int_range(1, len(rows) + 1).alias("row"), pl.int_range(len(rows)).cast(pl.Float64).alias("time_s"), **more
    )


def links_of(frame):
    actors = lineage.find_actors(frame)
    return actors, lineage.find_links(frame, actors)


def simple(maker, made, handover=None):
    n = len(maker)
    return Links(
        maker=np.array(maker, np.int64), made=np.array(made, np.int64), event=np.arange(n), time_s=np.arange(n, dtype=float),
        handover=np.array(handover if handover is not None else [False] * n), prior=np.full(n, -1, np.int64),
    )  # fmt: skip


def test_start_and_injection_are_links_and_access_is_not():
    frame = table([
        ("a.exe", "create_process", "b.exe", "A", "B"), ("b.exe", "inject_thread", "c.exe", "B", "C"),
        ("c.exe", "access_process", "a.exe", "C", "A"), ("a.exe", "create_process", "a.exe", "A", "A"),
    ])  # fmt: skip
    actors, links = links_of(frame)
    assert actors.count == 3
    assert list(zip(links.maker.tolist(), links.made.tolist(), strict=True)) == [(0, 1), (1, 2)]
    assert links.handover.tolist() == [False, True]


def test_a_dropped_program_links_its_writer_to_who_runs_it():
    frame = table([
        ("a.exe", "create_file", r"C:\T\x.dll", "A", "f"), ("h.exe", "load_image", r"c:\t\x.DLL", "H", "f"),
        ("h.exe", "load_image", r"C:\T\other.dll", "H", "g"), ("a.exe", "create_file", r"C:\T\notes.txt", "A", "t"),
        ("h.exe", "load_image", r"C:\T\notes.txt", "H", "t"),
    ])  # fmt: skip
    _actors, links = links_of(frame)
    assert len(links) == 1
    assert (links.prior[0], links.event[0]) == (0, 1)
    assert links.handover[0]


def test_a_program_used_before_it_was_written_is_no_link():
    frame = table([("h.exe", "load_image", "x.dll", "H", "f"), ("a.exe", "create_file", "x.dll", "A", "f")])
    assert len(links_of(frame)[1]) == 0


def test_suspicion_fades_along_a_chain_and_settles_in_a_cycle():
    own = np.array([10.0, 0.0, 0.0, 1.0])
    found = lineage.hand_down(own, simple([0, 1, 2], [1, 2, 0]), keep=0.9)
    np.testing.assert_allclose(found.total, [10.0, 9.0, 8.1, 1.0])
    assert found.link.tolist()[1:3] == [0, 1]


def test_an_injected_process_is_innocent_before():
    frame = table([("v", "read", "x", "V", ""), ("a", "inject_thread", "v", "A", "V"), ("v", "read", "x", "V", "")])
    actors, links = links_of(frame)
    own = np.array([1.0, 8.0]) if actors.of_event[1] == 1 else np.array([8.0, 1.0])
    context = lineage.context(lineage.hand_down(own, links, keep=0.9), actors, frame["time_s"].to_numpy())
    assert context[0] == 1.0
    assert context[2] > 7.0


def test_repeating_an_act_does_not_make_it_worse():
    once = table([("a", "read", "x", "A", ""), ("b", "read", "y", "B", "")])
    often = table([("a", "read", "x", "A", "")] * 50 + [("b", "read", "y", "B", "")])
    values = [
        lineage.gather_own(lineage.find_actors(t), u, s, top=2)[0]
        for t, u, s in ((once, np.array([0, 1]), np.array([5.0, 1.0])), (often, np.array([0] * 50 + [1]), np.array([5.0] * 50 + [1.0])))
    ]  # fmt: skip
    np.testing.assert_allclose(values[0], values[1])


def test_chains_end_in_a_telling_act_and_do_not_repeat():
    frame = table([
        ("e", "create_process", "p", "E", "P"), ("p", "create_process", "s", "P", "S"), ("s", "connect", "1.2.3.4:5", "S", ""),
    ])  # fmt: skip
    actors, links = links_of(frame)
    suspicion = lineage.hand_down(np.array([0.0, 9.0, 1.0]), links, keep=0.9)
    chains = lineage.find_chains(actors, links, suspicion, np.array([3.0, 3.0, 3.0]), np.array([-1, -1, 2]), np.array([0, 1, 2]))
    assert chains[0].events == (0, 1, 2)
    assert chains[0].actors == (0, 1, 2)
    assert len(chains) == 1
    assert chains[0].score == np.float64(9.0 / np.sqrt(3))


def test_without_ids_names_on_a_host_are_the_actors():
    frame = pl.DataFrame({
        "row": [1, 2, 3], "time_s": [0.0, 1.0, 2.0], "subject": ["Sh", "sh", "sh"], "operation": ["start", "read", "read"],
        "object": ["tool", "x", "x"], "host": ["h1", "h1", "h2"],
    })  # fmt: skip
    actors = lineage.find_actors(frame)
    assert actors.of_event[0] == actors.of_event[1] != actors.of_event[2]
    assert actors.target[0] >= 0


def test_a_long_ancestry_and_a_missing_parent():
    n = 200
    rows = [(f"p{i}", "create_process", f"p{i + 1}", f"I{i}", f"I{i + 1}") for i in range(n)]
    actors, links = links_of(table(rows))
    found = lineage.hand_down(np.r_[9.0, np.zeros(n)], links, keep=0.9)
    chains = lineage.find_chains(actors, links, found, np.ones(n), np.full(n + 1, -1, np.int64), np.arange(n), max_steps=6)
    assert all(len(c.events) <= 6 for c in chains)
