"""Which findings belong to one incident, in which order they are told, and how near findings lie by chance."""

from __future__ import annotations

import pytest

from agent.incidents.incident import FOLLOWS_S, chance, group, steps_of
from agent.incidents.timeline import Clock, Moment, Timeline


def moment(source: str, start_s: float, end_s: float | None = None, *, slack_s: float = 1.0) -> Moment:
    return Moment(source=source, kind="events", evidence=f"E{source}{start_s:g}", label="", start_s=start_s, own_s=start_s,
                  end_s=start_s if end_s is None else end_s, slack_s=slack_s)  # fmt: skip


def told(moments: list[Moment]) -> tuple[list[list[str]], list[str]]:
    incidents, alone = group(moments)
    return [[m.evidence for m in incident.moments] for incident in incidents], [m.evidence for m in alone]


@pytest.mark.parametrize(("gap", "joined"), [(0.0, True), (FOLLOWS_S, True), (FOLLOWS_S + 0.1, False), (86_400.0, False)])
def test_findings_of_two_sources_join_up_to_the_window(gap: float, joined: bool) -> None:
    incidents, alone = told([moment("a", 0.0, 60.0), moment("b", 60.0 + gap)])
    assert (len(incidents), len(alone)) == ((1, 0) if joined else (0, 2))


def test_findings_of_one_source_make_no_incident() -> None:
    assert told([moment("a", 0.0), moment("a", 10.0), moment("a", 20.0)]) == ([], ["Ea0", "Ea10", "Ea20"])


def test_an_incident_is_ordered_by_onset_whatever_the_order_of_the_files() -> None:
    moments = [moment("c", 130.0, 140.0), moment("a", 100.0, 400.0), moment("b", 90.0)]
    incidents, alone = told(moments)
    assert (incidents, alone) == ([["Eb90", "Ea100", "Ec130"]], [])
    assert told(moments[::-1]) == (incidents, alone)


def test_two_incidents_a_day_apart_stay_two() -> None:
    moments = [moment("a", 0.0), moment("b", 5.0), moment("a", 86_400.0), moment("b", 86_405.0), moment("a", 40_000.0)]
    assert told(moments) == ([["Ea0", "Eb5"], ["Ea86400", "Eb86405"]], ["Ea40000"])


def test_a_long_stretch_holds_what_happens_inside_it() -> None:
    assert told([moment("a", 0.0, 7200.0), moment("b", 3600.0)]) == ([["Ea0", "Eb3600"]], [])


def test_an_order_is_settled_only_beyond_what_the_clocks_leave_open() -> None:
    steps = steps_of([moment("pump", 0.0, slack_s=6.0), moment("log", 7.0), moment("video", 9.5)])
    assert [(step.after_s, step.ordered) for step in steps] == [(0.0, True), (7.0, False), (2.5, True)]
    again = steps_of([moment("pump", 0.0, slack_s=6.0), moment("log", 7.5)])
    assert again[1].ordered


def test_chance_is_the_share_of_the_common_time_near_a_finding() -> None:
    clocks = (Clock(source="a", kind="series", epoch_s=0.0, start_s=0.0, end_s=10_000.0),
              Clock(source="b", kind="events", epoch_s=0.0, start_s=5_000.0, end_s=15_000.0),
              Clock(source="c", kind="video", epoch_s=0.0, start_s=90_000.0, end_s=90_060.0))  # fmt: skip
    line = Timeline(
        clocks=clocks, moments=(moment("b", 6_000.0, 6_100.0), moment("b", 6_200.0), moment("b", 14_000.0)), unplaced=()
    )
    # of the 5,000 s that both run, 5,700 to 6,500 lie within 300 s of one of the two findings there
    assert chance(line, "a", others=["b"]) == pytest.approx(800 / 5_000)
    assert chance(line, "b", others=["a"]) == 0.0
    assert chance(line, "a", others=["c"]) is None
