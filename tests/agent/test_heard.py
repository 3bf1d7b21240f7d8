"""Look-ups that a question is heard to want though no set phrase asks for them: the answer is about what was asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import SAMPLES, ask

from agent.question import Request
from agent.reading.things import thing_named, things_named
from agent.reading.values import loose_comparison
from agent.session import Session


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Session]]:
    files = {"pump": SAMPLES / "pump.csv", "tiles": SAMPLES / "tiles", "log": SAMPLES / "workstation.jsonl"}
    opened = {name: Session(home=tmp_path_factory.mktemp(name)) for name in files}
    for name, session in opened.items():
        ask(session, "what is wrong here?", files=[files[name]])
    yield opened
    for session in opened.values():
        session.close()


@pytest.mark.parametrize(
    ("chat", "question", "tool", "said"),
    [
        ("pump", "Dry running, yes or no?", "lookup_type", "whether that is `dry running` I cannot tell, as I only measure"),
        ("pump", "Are we looking at an air lock?", "lookup_type", "`air lock`"),
        ("pump", "the inlet, did it ever go under one bar and for how long", "lookup_crossing", "inlet_pressure"),
        ("tiles", "paint splashes, any tile", "lookup_type", "whether that is `paint splashes`"),
        ("tiles", "Six and nine: same pattern?", "lookup_pair", "tile_06.jpg"),
        ("log", "Were USB sticks plugged in?", "lookup_search", "usb"),
        ("log", "things started from AppData or Temp", "lookup_search", "appdata"),
    ],
)  # fmt: skip
def test_what_is_heard_is_looked_up(chat: str, question: str, tool: str, said: str, chats: dict[str, Session]) -> None:
    reply = ask(chats[chat], question)
    assert tool in {evidence.tool for evidence in reply.evidence}
    assert said in reply.answer


@pytest.mark.parametrize(
    ("chat", "question", "tool"),
    [
        ("tiles", "list the stains", "lookup_type"),
        ("tiles", "what is written on it?", "lookup_untold"),
        ("pump", "which sensor is stuck?", "lookup_still"),
        ("log", "was anything arranged to survive a reboot?", "lookup_search"),
    ],
)
def test_what_measures_exactly_or_admits_its_limits_stands(
    chat: str, question: str, tool: str, chats: dict[str, Session]
) -> None:
    assert tool in {evidence.tool for evidence in ask(chats[chat], question).evidence}


def test_a_limit_in_words_is_found_behind_its_direction() -> None:
    for text, how, low in (
        ("the inlet, did it ever go under one bar and for how long", "below", 1.0),
        ("were we below the contractual 3 bar at the outlet at any time", "below", 3.0),
        ("did flow ever top 120 cubic metres an hour", "above", 120.0),
        ("two sensors: did either break 7.5?", "above", 7.5),
    ):
        found = loose_comparison(text)
        assert found is not None
        assert (found.how, found.low) == (how, low)
    assert loose_comparison("was it ever low?") is None


@pytest.mark.parametrize("text", ["", "???", "is it?", "what about that one then", "3 4 5"])
def test_words_that_frame_a_question_are_no_thing(text: str) -> None:
    assert things_named(text) == ()
    assert thing_named(text) == ""


def test_a_request_keeps_what_was_heard() -> None:
    request = Request(question="Dry running?", intents=("exists",), way="type")
    assert Request.from_json(request.to_json()) == request


def test_two_times_around_one_are_compared(tmp_path: Path) -> None:
    from agent.lookups.comparing import around
    from agent.question import TimeRange
    from readers.open import open_path

    pump = open_path(SAMPLES / "pump.csv")
    when = TimeRange(source=pump.name, start_s=100.0, end_s=200.0, text="the 9th")
    before, after = around(pump, when)
    assert (before.start_s, before.end_s, after.start_s) == (0.0, 100.0, 200.0)
    assert after.end_s > pump.samples[0].time_s[-1]  # type: ignore[union-attr]
    assert (before.mention, after.mention) == (0, 1)
