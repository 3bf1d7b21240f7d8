"""The time grammar: what is written comes back as the seconds that were meant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.question import SourceInfo
from agent.times import find_times, spell

DAY = 86400.0
START = 1709251200.0  # 2024-03-01 00:00 UTC, a Friday
CLIP = SourceInfo(name="yard.mp4", kind="video", duration_s=7200.0, fps=25.0)
SHORT = SourceInfo(name="yard.mp4", kind="video", duration_s=120.0, fps=25.0)
WEEK = SourceInfo(name="week.csv", kind="series", duration_s=5 * DAY, period_s=60.0, epoch_s=START, time_base="clock")
ONE_DAY = SourceInfo(name="day.csv", kind="series", duration_s=DAY, period_s=60.0, epoch_s=START, time_base="clock")
ROWS = SourceInfo(name="rows.csv", kind="series", duration_s=5000.0, period_s=1.0, time_base="index")
NIGHT = SourceInfo(name="night.jsonl", kind="events", duration_s=8 * 3600.0, epoch_s=START + 22 * 3600, time_base="clock")


def only(text: str, source: SourceInfo) -> tuple[float, float]:
    times = find_times(text, [source]).times
    assert len(times) == 1, (text, times)
    return times[0].start_s, times[0].end_s


@pytest.mark.parametrize(
    ("text", "source", "expected"),
    [
        ("at 0:15", SHORT, (15.0, 16.0)),
        ("0:12-0:15", SHORT, (12.0, 16.0)),
        ("12-15 s", SHORT, (12.0, 16.0)),
        ("from 12 to 15 seconds", SHORT, (12.0, 16.0)),
        ("between 10 and 20", SHORT, (10.0, 21.0)),
        ("after 1 minute and 5 seconds", SHORT, (65.0, 120.0)),
        ("at 1m30s", SHORT, (90.0, 91.0)),
        ("around 90 s", SHORT, (81.0, 100.0)),
        ("what about 15s?", SHORT, (15.0, 16.0)),
        ("30 seconds in", SHORT, (30.0, 31.0)),
        ("the 90 second mark", SHORT, (90.0, 91.0)),
        ("second 15", SHORT, (15.0, 16.0)),
        ("frame 250", SHORT, (10.0, 10.04)),
        ("frames 100 to 200", SHORT, (4.0, 8.04)),
        ("in the first minute", SHORT, (0.0, 60.0)),
        ("the second minute", SHORT, (60.0, 120.0)),
        ("last ten seconds", SHORT, (110.0, 120.0)),
        ("at the end of the clip", SHORT, (108.0, 120.0)),
        ("from the beginning to 0:20", SHORT, (0.0, 21.0)),
        ("between 3 and 5 pm", ONE_DAY, (15 * 3600.0, 17 * 3600.0)),
        ("between 11 and 1 pm", ONE_DAY, (11 * 3600.0, 13 * 3600.0)),
        ("3-5pm", ONE_DAY, (15 * 3600.0, 17 * 3600.0)),
        ("from 9am to 5", ONE_DAY, (9 * 3600.0, 17 * 3600.0)),
        ("between 2:30 and 3 pm", ONE_DAY, (14.5 * 3600, 15 * 3600.0)),
        ("2:30-3pm", ONE_DAY, (14.5 * 3600, 15 * 3600.0)),
        ("from 9 to 11:30 am", ONE_DAY, (9 * 3600.0, 11.5 * 3600)),
        ("from 11:30 to 1 pm", ONE_DAY, (11.5 * 3600, 13 * 3600.0)),
        ("march 3rd at eleven", WEEK, (2 * DAY + 39600, 2 * DAY + 39660)),
        ("on 3 march at 3 in the afternoon", WEEK, (2 * DAY + 54000, 2 * DAY + 54060)),
        ("at eleven pm", ONE_DAY, (82800.0, 82860.0)),
        ("after 10:30", ONE_DAY, (37800.0, DAY)),
        ("before noon", ONE_DAY, (0.0, 43200.0)),
        ("this morning", ONE_DAY, (21600.0, 43200.0)),
        ("half past 3 pm", ONE_DAY, (55800.0, 55860.0)),
        ("at 3 o'clock", ONE_DAY, (10800.0, 10860.0)),
        ("the last hour", ONE_DAY, (82800.0, DAY)),
        ("row 121", ONE_DAY, (7200.0, 7260.0)),
        ("on 3 March", WEEK, (2 * DAY, 3 * DAY)),
        ("on march 3rd", WEEK, (2 * DAY, 3 * DAY)),
        ("on the 3rd at 14:00", WEEK, (2 * DAY + 50400, 2 * DAY + 50460)),
        ("2024-03-03 14:00", WEEK, (2 * DAY + 50400, 2 * DAY + 50460)),
        ("2024-03-03T14:00:05Z", WEEK, (2 * DAY + 50405, 2 * DAY + 50406)),
        ("03.03.2024", WEEK, (2 * DAY, 3 * DAY)),
        ("03/04/2024", WEEK, (3 * DAY, 4 * DAY)),  # only the American reading lies in the data
        ("yesterday", WEEK, (3 * DAY, 4 * DAY)),
        ("yesterday between 3 and 5 pm", WEEK, (3 * DAY + 54000, 3 * DAY + 61200)),
        ("since yesterday", WEEK, (3 * DAY, 5 * DAY)),
        ("2 days ago", WEEK, (2 * DAY, 3 * DAY)),
        ("on sunday at 3 pm", WEEK, (2 * DAY + 54000, 2 * DAY + 54060)),
        ("between 2024-03-02 and 2024-03-04", WEEK, (DAY, 4 * DAY)),
        ("from 2024-03-02 10:00 to 2024-03-02 12:00", WEEK, (DAY + 36000, DAY + 43200)),
        ("step 500", ROWS, (500.0, 501.0)),
        ("between 100 and 200", ROWS, (100.0, 201.0)),
        ("first 100 rows", ROWS, (0.0, 100.0)),
        ("from 23:00 to 01:00", NIGHT, (3600.0, 3 * 3600.0)),
        ("after midnight", NIGHT, (2 * 3600.0, 8 * 3600.0)),
    ],
)  # fmt: skip
def test_expression(text: str, source: SourceInfo, expected: tuple[float, float]) -> None:
    assert only(text, source) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text",
    [
        "lasts for 10 seconds", "longer than 5 minutes", "every 5 seconds", "5 seconds before the crash", "10.0.0.5:8080", "tile_04.jpg",
        "image 3", "above 80 degrees", "between 80 and 90 degrees", "good morning", "version 1.2.3", "a 16:9 picture", "3 people", "",
        "second image",
    ],
)  # fmt: skip
def test_not_a_time(text: str) -> None:
    for source in (SHORT, ONE_DAY, ROWS):
        assert find_times(text, [source]).times == (), text


def test_clock_time_without_date_means_every_day() -> None:
    found = find_times("between 3 and 5 pm", [WEEK])
    assert [t.start_s for t in found.times] == [d * DAY + 54000 for d in range(5)]
    assert "each of 5 days" in found.notes[0]


def test_two_expressions_are_two_mentions() -> None:
    times = find_times("compare 0:10-0:20 with 1:00-1:10", [SHORT]).times
    assert [(t.start_s, t.end_s, t.mention) for t in times] == [(10.0, 21.0, 0), (60.0, 71.0, 1)]


def test_yesterday_is_the_real_one_when_the_data_reach_it() -> None:
    assert find_times("yesterday", [WEEK], now=START + 3.5 * DAY).times[0].start_s == 2 * DAY
    assert find_times("yesterday", [WEEK], now=START + 300 * DAY).times[0].start_s == 3 * DAY


def test_outside_is_said() -> None:
    found = find_times("at 5:00", [SHORT])
    assert found.times[0].start_s == 300.0
    assert "outside yard.mp4" in found.notes[0]
    behind = find_times("after 5:00", [SHORT]).times[0]
    assert behind.start_s <= behind.end_s
    assert "no time column" in find_times("at 3 pm", [ROWS]).notes[0]
    assert "no date or clock time" in find_times("yesterday", [SHORT]).notes[0]


def test_the_source_that_fits_is_taken() -> None:
    assert {t.source for t in find_times("at 0:15", [SHORT, ROWS]).times} == {"yard.mp4"}
    assert {t.source for t in find_times("on 3 march", [SHORT, WEEK]).times} == {"week.csv"}


@given(st.integers(0, 7199))
def test_offsets_round_trip(second: int) -> None:
    assert only(f"what happens at {spell(CLIP, second)}?", CLIP)[0] == second
    assert only(f"show me {second} s", CLIP) == (second, second + 1)
    assert only(f"at {second // 60} min {second % 60} sec", CLIP)[0] == second


@given(st.integers(0, 7000), st.integers(1, 199))
def test_ranges_round_trip(start: int, length: int) -> None:
    for text in (
        f"between {spell(CLIP, start)} and {spell(CLIP, start + length)}",
        f"from {start} s to {start + length} s",
        f"{start}-{start + length} s",
    ):
        assert only(text, CLIP) == (start, start + length + 1), text


@given(st.integers(0, 5 * 1440 - 1))
def test_clock_times_round_trip(minute: int) -> None:
    moment = datetime.fromtimestamp(START, UTC) + timedelta(minutes=minute)
    spoken = f"{moment.day} {moment:%B} at {moment.hour % 12 or 12}:{moment:%M} {'pm' if moment.hour >= 12 else 'am'}"
    for text in (
        f"{moment:%Y-%m-%d %H:%M}",
        f"{moment:%Y-%m-%dT%H:%M}",
        f"on {spoken}",
        f"at {moment:%H:%M} on {moment.day} march",
        f"on {moment:%A} at {moment:%H:%M}",
    ):
        assert only(text, WEEK) == (minute * 60.0, minute * 60.0 + 60), text


@given(st.integers(0, 4000), st.integers(1, 900))
def test_rows_round_trip(first: int, length: int) -> None:
    found = find_times(f"rows {first} to {first + length}", [ROWS]).times[0]
    assert (found.first, found.last, found.unit) == (first, first + length, "row")
    assert (found.start_s, found.end_s) == (first, first + length + 1)


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    for source in (SHORT, WEEK, ROWS):
        for found in find_times(text, [source]).times:
            assert found.start_s <= found.end_s


def test_two_compared_times_share_the_day() -> None:
    for text in ("compare 3 pm with 4 pm on 3 March", "on 3 March, compare 3 pm with 4 pm"):
        times = find_times(text, [WEEK]).times
        assert [(t.start_s, t.mention) for t in times] == [(2 * DAY + 54000, 0), (2 * DAY + 57600, 1)], text


def test_a_value_of_a_channel_is_no_time() -> None:
    flow = SourceInfo(
        name="p.csv", kind="series", channels=("flow",), units=("m3/h",), duration_s=5 * DAY, epoch_s=START, time_base="clock"
    )
    assert find_times("was flow between 2 and 3?", [flow]).times == ()
    assert find_times("between 60 and 70 m3/h", [flow]).times == ()
    assert len(find_times("was flow above 60 m3/h on 3 March?", [flow]).times) == 1
