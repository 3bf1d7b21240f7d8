"""Times said loosely, where a message was heard to ask about times: what was meant comes back, and nothing where no time is wanted."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.grammar import understand
from agent.question import Context, Request, SourceInfo
from agent.reader import Reading
from agent.reading.loose_times import spelled_out
from agent.times import find_times

DAY = 86400.0
CLIP = SourceInfo(name="yard.mp4", kind="video", duration_s=40.0, fps=25.0)
FORTNIGHT = SourceInfo(
    name="pump.csv", kind="series", channels=("flow",), duration_s=14 * DAY, period_s=300.0, time_base="clock",
    epoch_s=datetime(2026, 3, 2, tzinfo=UTC).timestamp(),
)  # fmt: skip
OFFICE_DAY = SourceInfo(
    name="host.jsonl", kind="events", duration_s=9 * 3600.0, epoch_s=datetime(2026, 3, 11, 8, tzinfo=UTC).timestamp(), time_base="clock"
)  # fmt: skip


def asked(question: str, source: SourceInfo, way: str) -> Request:
    heard = Reading(intent="what", way=way, intents={"what": 0.9}, ways={way: 0.9})
    return understand(question, Context(sources=(source,)), reader=lambda text, kinds, before: heard)


@pytest.mark.parametrize(
    ("question", "spans"),
    [
        ("what is happening at second nine", [(9.0, 10.0)]),
        ("Sum up seconds five through nine.", [(5.0, 10.0)]),
        ("Describe the tenth second of the footage.", [(10.0, 11.0)]),
        ("What does it show up to the twenty-first second?", [(0.0, 21.0)]),
        ("Between the 4th and the 9th second nothing happens, right?", [(4.0, 10.0)]),
        ("Is the bit from 20 to 25 alright?", [(20.0, 26.0)]),
        ("what happens at the half-way point?", [(16.0, 24.0)]),
    ],
)
def test_seconds_of_a_clip(question: str, spans: list[tuple[float, float]]) -> None:
    assert [(round(t.start_s, 6), round(t.end_s, 6)) for t in asked(question, CLIP, "time").times] == spans
    assert not asked(question, CLIP, "finding").times


@pytest.mark.parametrize(
    ("question", "spans"),
    [
        ("same thing, but 15 against 16", [(15.0, 16.0), (16.0, 17.0)]),
        ("more going on at five or at twenty-five seconds?", [(5.0, 6.0), (25.0, 26.0)]),
        ("compare the tenth second with the fifth", [(10.0, 11.0), (5.0, 6.0)]),
        ("Compare the beginning of the video with its end.", [(0.0, 4.0), (36.0, 40.0)]),
    ],
)
def test_two_times_of_a_clip(question: str, spans: list[tuple[float, float]]) -> None:
    assert [(t.start_s, t.end_s) for t in asked(question, CLIP, "comparison").times] == spans


def test_days_of_the_month_are_those_of_the_recording() -> None:
    assert [t.start_s / DAY for t in asked("everything fine on the twelfth?", FORTNIGHT, "time").times] == [10.0]
    assert not asked("everything fine on the twentieth?", FORTNIGHT, "time").times
    compared = asked("how does flow on the 7th stack up against the 6th?", FORTNIGHT, "comparison").times
    assert [t.start_s / DAY for t in compared] == [5.0, 4.0]


def test_nights_and_days_are_those_of_every_day() -> None:
    times = asked("how do days and nights compare?", FORTNIGHT, "comparison").times
    by_mention = [[t for t in times if t.mention == mention] for mention in sorted({t.mention for t in times})]
    assert [len(one) for one in by_mention] == [14, 15]  # the night before the first day and that after the last are cut
    assert sum(t.end_s - t.start_s for t in times) == pytest.approx(14 * DAY)


def test_hours_of_a_day_in_the_office() -> None:
    spans = [
        (t.start_s / 3600, t.end_s / 3600)
        for t in asked("busier from nine to ten or from two to three?", OFFICE_DAY, "events").times
    ]
    assert spans == [(1.0, 2.0), (6.0, 7.0)]
    assert asked("everything before lunch ok?", OFFICE_DAY, "events").times[0].end_s == 4 * 3600.0


@given(st.text(alphabet="0123456789 .:-,?ntheoscdfirbwvlmayg", max_size=60))
def test_any_text_can_be_spelled_out_and_read(text: str) -> None:
    for source in (CLIP, FORTNIGHT, OFFICE_DAY):
        find_times(spelled_out(text, source), [source])
