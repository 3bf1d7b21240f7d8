"""A long video gets its first answer from a skim that says so, and a second one when the rest has been read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import SAMPLES, ask
from tier_models import TIER

import agent.long_looks
from agent.reply import Progress, Reply
from agent.session import Session
from tools.video import inspection
from tools.video.frame_novelty import FrameNovelty

pytestmark = pytest.mark.skipif(TIER != "embedded", reason="what is read of a video does not depend on who words the answer")


@pytest.fixture(scope="module", autouse=True)
def _scaled_down() -> Iterator[None]:
    """The bundled clip counts as long: a moment of every 2 s is skimmed, and 4 s are read closely."""
    before = FrameNovelty.__init__.__kwdefaults__["bank_units"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agent.long_looks, "LONG_S", 5.0)
        for name, value in (("STEP_S", 2.0), ("CLOSE_S", 4.0), ("STRETCH_S", 4.0)):
            patch.setattr(inspection, name, value)
        patch.setitem(FrameNovelty.__init__.__kwdefaults__, "bank_units", 12)
        assert before == 128
        yield


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Session, Reply, Reply]]:
    """A chat with the first answer and the refined one."""
    session = Session(home=tmp_path_factory.mktemp("long"))
    first = ask(session, "When does something unusual happen?", files=[SAMPLES / "crossing.mp4"])
    *_, refined = session.refine()
    assert isinstance(refined, Reply)
    yield session, first, refined
    session.close()


def test_the_first_answer_says_that_it_is_a_first_look(chat: tuple[Session, Reply, Reply]) -> None:
    _, first, _ = chat
    assert first.skimmed == ("crossing.mp4",)
    assert "This is a first look at `crossing.mp4`: a moment of every" in first.answer
    survey = next(e for e in first.evidence if "every_s" in e.facts)
    assert 0 < survey.facts["read_percent"] < 100
    assert first.to_json()["skimmed"] == ["crossing.mp4"]


def test_refining_replaces_what_is_known_and_answers_the_question_again(chat: tuple[Session, Reply, Reply]) -> None:
    session, first, refined = chat
    assert refined.skimmed == ()
    assert refined.status == "abnormal"
    assert "first look" not in refined.answer
    ids = {e.id: e for e in first.evidence}
    assert all(e == ids[e.id] for e in refined.evidence if e.id in ids)  # an id never changes what it says
    survey = next(e for e in refined.evidence if "duration_s" in e.facts)
    assert survey.id not in ids
    assert "every_s" not in survey.facts
    turns = session.history()
    assert [turn.question for turn in turns] == [
        "When does something unusual happen?", "Refine: When does something unusual happen?"
    ]  # fmt: skip
    assert not list((session._store.home / "inspections").glob("*.npz"))  # nothing is left to go on from


def test_the_next_answer_uses_what_was_refined(chat: tuple[Session, Reply, Reply]) -> None:
    session, _, refined = chat
    later = ask(session, "Is anything wrong?")
    assert later.skimmed == ()
    assert {e.id for e in later.evidence} & {e.id for e in refined.evidence}
    again = ask(session, "refine")
    assert [run.cached for run in again.tools] == []


def test_a_window_is_read_before_it_is_spoken_of(tmp_path: Path) -> None:
    session = Session(home=tmp_path)
    first = ask(session, "Is anything wrong?", files=[SAMPLES / "crossing.mp4"])
    before = next(e.facts["read_percent"] for e in first.evidence if "every_s" in e.facts)
    reply = ask(session, "Look closer between 0:00 and 0:03")
    assert reply.skimmed == ("crossing.mp4",)
    looked_up = next(e for e in reply.evidence if e.tool == "lookup_time")
    assert looked_up.facts["covered_percent"] >= 90
    survey = session._bench.investigations()[0].survey
    assert survey.facts["read_percent"] > before
    session.close()


def test_a_stopped_refinement_is_told_and_goes_on_where_it_was(tmp_path: Path) -> None:
    session = Session(home=tmp_path)
    ask(session, "Is anything wrong?", files=[SAMPLES / "crossing.mp4"])
    events = []
    for event in session.refine():
        events.append(event)
        if isinstance(event, Progress) and event.what == "video units scored":
            threading.Thread(target=session.stop).start()
    reply = events[-1]
    assert isinstance(reply, Reply)
    if reply.skimmed:  # else it was done before it heard of the stop
        assert "You stopped the closer look at" in reply.answer
        assert list((tmp_path / "inspections").glob("*.npz"))
    *_, done = session.refine()
    assert isinstance(done, Reply)
    assert done.skimmed == ()
    session.close()
