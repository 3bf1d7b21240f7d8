"""Time-ordered paths: equal to enumeration on small random graphs; loops, ties and clocks that disagree."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.events.paths import UNIT, TimedPaths


def brute(source, target, nats, times, length, slack=0.0, opens=None, closes=None):
    """Weights of all time-ordered simple paths of a length, heaviest first."""
    weight = np.round(np.array(nats) / UNIT) * UNIT
    found = []
    for edges in itertools.permutations(range(len(source)), length):
        nodes = [source[edges[0]], *(target[e] for e in edges)]
        joined = all(target[a] == source[b] for a, b in itertools.pairwise(edges))
        if not joined or len(set(nodes)) < len(nodes):
            continue
        if (opens is not None and not opens[edges[0]]) or (closes is not None and not closes[edges[-1]]):
            continue
        if any(
            all(b >= a - slack for a, b in itertools.pairwise(moment)) for moment in itertools.product(*(times[e] for e in edges))
        ):
            found.append(float(sum(weight[list(edges)])))
    return sorted(found, reverse=True)


def build(source, target, nats, times, **more):
    start = np.cumsum([0, *(len(t) for t in times)])
    flat = np.array([t for ts in times for t in sorted(ts)], float)
    return TimedPaths(np.array(source, np.int64), np.array(target, np.int64), np.array(nats, float), start, flat, **more)


edges = st.integers(2, 6).flatmap(
    lambda nodes: st.lists(
        st.tuples(
            st.integers(0, nodes - 1), st.integers(0, nodes - 1), st.integers(0, 12), st.sets(st.integers(0, 6), min_size=1, max_size=4),
            st.booleans(), st.booleans(),
        ),
        min_size=1, max_size=7,
    )
)  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True)
@given(edges=edges, length=st.integers(1, 5), slack=st.sampled_from([0.0, 1.0]))
def test_the_best_paths_are_those_of_enumeration(edges, length, slack):
    source, target, nats, times, opens, closes = (list(column) for column in zip(*edges, strict=True))
    times = [sorted(t) for t in times]
    nats = [n / 4 for n in nats]
    paths = build(source, target, nats, times, slack_s=slack, opens=np.array(opens), closes=np.array(closes))
    found = list(paths.best(length))
    assert [p.weight for p in found] == brute(source, target, nats, times, length, slack, opens, closes)
    assert len({p.edges for p in found}) == len(found)
    for path in found:
        when = [paths.times[m] for m in path.moments]
        assert all(paths.start[e] <= m < paths.start[e + 1] for e, m in zip(path.edges, path.moments, strict=True))
        assert all(b >= a - slack for a, b in itertools.pairwise(when))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(edges=edges, most=st.integers(1, 4))
def test_arrivals_are_the_best_walks_of_enumeration(edges, most):
    source, target, nats, times, opens, closes = (list(column) for column in zip(*edges, strict=True))
    times = [sorted(t) for t in times]
    paths = build(source, target, nats, times, opens=np.array(opens), closes=np.array(closes))
    opens = [o and a != b for o, a, b in zip(opens, source, target, strict=True)]
    arrived = paths.arriving(most)
    moments = [(e, t) for e, ts in enumerate(times) for t in ts]
    best = [{m: (float(nats[m[0]]) if opens[m[0]] else -np.inf) for m in moments}]
    for _ in range(1, most):
        before = best[-1]
        best.append({
            (e, t): nats[e] + max((v for (f, s), v in before.items() if target[f] == source[e] and s <= t), default=-np.inf)
            for e, t in moments
        })  # fmt: skip
    for values, expected in zip(arrived, best, strict=True):
        assert values.tolist() == [expected[m] if closes[m[0]] else -np.inf for m in moments]


def test_a_path_goes_on_at_the_earliest_moment_that_is_still_to_come():
    paths = build([0, 1, 2], [1, 2, 3], [1, 1, 1], [[5], [1, 4, 6, 8], [2, 7]])
    (found,) = paths.best(3)
    assert [paths.times[m] for m in found.moments] == [5, 6, 7]


def test_a_spent_opener_opens_nothing_more():
    paths = build([0, 0, 0, 4], [1, 2, 3, 5], [9, 8, 7, 1], [[0]] * 4)
    told = []
    for path in paths.best(1, spent=lambda edge: edge < 3 and len(told) >= 2):
        told.append(path.edges)  # noqa: PERF401 - `spent` looks at it meanwhile
    assert told == [(0,), (1,), (3,)]


def test_giving_up_is_said():
    n = 6
    pairs = [(a, b) for a in range(n) for b in range(n) if a != b]
    paths = build([a for a, _ in pairs], [b for _, b in pairs], [1] * len(pairs), [[0]] * len(pairs))
    assert len(list(paths.best(5))) == 720
    assert not paths.gave_up
    assert len(list(paths.best(5, most_opened=3))) < 3
    assert paths.gave_up


@pytest.mark.parametrize("edges", [[(0, 0)], [(0, 1), (1, 0)], []])
def test_loops_and_nothing(edges):
    paths = build([a for a, _ in edges], [b for _, b in edges], [1] * len(edges), [[0]] * len(edges))
    assert list(paths.best(2)) == []
    assert all(len(v) == len(edges) for v in paths.arriving(3))
