"""After a first look at a long video the page reads on by itself; a question makes it stop, and it goes on after the answer."""

import threading
import time
from collections.abc import Iterator

import pytest

from agent.reply import Progress, Reply, StepStarted, TurnEvent
from core.errors import BadInput
from ui.chats import Chat


class LongVideo:
    """A session whose video is read in `steps`; it stays skimmed until all of them were made."""

    def __init__(self, steps: int = 5) -> None:
        self.thread, self.steps, self.done = "long", steps, 0
        self.asked: list[str] = []
        self.go, self.stopped = threading.Event(), threading.Event()

    def ask(self, question: str, *, files=(), normal=()) -> Iterator[TurnEvent]:
        self.asked.append(question)
        yield StepStarted(key="look", title="Looking")
        yield Reply(answer="first" if self.done < self.steps else "all", status="normal", skimmed=self._skimmed())

    def refine(self) -> Iterator[TurnEvent]:
        self.stopped.clear()
        yield StepStarted(key="closer", title="Looking closer")
        while self.done < self.steps and not self.stopped.is_set():
            if not self.go.wait(0.02):
                continue
            self.done += 1
            yield Progress(key="closer", what="video units scored", done=self.done, total=self.steps)
        yield Reply(answer="refined", status="abnormal", skimmed=self._skimmed())

    def _skimmed(self) -> tuple[str, ...]:
        return ("hour.mp4",) if self.done < self.steps else ()

    def stop(self) -> None:
        self.stopped.set()

    def history(self):
        return []

    def pending(self) -> bool:
        return False

    def resume(self):
        yield from ()

    def close(self) -> None: ...


def until(what, seconds=5.0):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def reading() -> Iterator[tuple[Chat, LongVideo]]:
    session = LongVideo()
    chat = Chat(lambda thread, model: session, None)
    chat.start("anything?")
    until(lambda: chat.running is not None and chat.running.automatic)
    yield chat, session
    session.go.set()
    chat.close()


def test_it_reads_on_by_itself_and_answers_again(reading):
    chat, session = reading
    assert [turn.reply.answer for turn in chat.turns] == ["first"]
    assert chat.running.question == "(reading the rest of hour.mp4)"
    session.go.set()
    until(lambda: not chat.busy)
    assert [turn.reply.answer for turn in chat.turns] == ["first", "refined"]
    assert chat.turns[-1].steps[0].title == "Looking closer"
    time.sleep(0.1)
    assert not chat.busy  # once all is read, nothing follows


def test_a_question_makes_way_for_itself_and_the_reading_goes_on(reading):
    chat, session = reading
    chat.start("and at 0:10?")
    until(lambda: len(chat.turns) == 3)
    assert session.asked == ["anything?", "and at 0:10?"]
    assert chat.turns[-1].reply.answer == "first"
    until(lambda: chat.running is not None and chat.running.automatic)
    session.go.set()
    until(lambda: not chat.busy)
    assert chat.turns[-1].reply.answer == "refined"
    assert session.done == 5


def test_a_person_who_stops_it_is_heeded(reading):
    chat, session = reading
    chat.stop()
    until(lambda: not chat.busy)
    time.sleep(0.1)
    assert not chat.busy
    assert session.done < 5


def test_two_questions_at_once_are_still_refused(reading):
    chat, _ = reading
    chat.start("one")
    with pytest.raises(BadInput, match="still working"):
        chat.start("two")
