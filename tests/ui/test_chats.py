import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted import ScriptedSession, Store

from agent.reply import Progress, Reply, StepStarted, TurnEvent
from core.errors import BadInput
from ui.chats import MAX_OPEN, Backend, Chat, Chats
from ui.looking import Looking


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, pace_s=0.0)


@pytest.fixture
def chats(store: Store, tmp_path: Path) -> Iterator[Chats]:
    made = Chats(store.backend(), tmp_path / "home")
    yield made
    made.close()


def finished(chat: Chat) -> Reply:
    *_, last = chat.follow(interval_s=0.0)
    reply = last[-1].reply
    assert reply is not None
    return reply


def ask(chat: Chat, tmp_path: Path, question: str = "broken?") -> Reply:
    photo = tmp_path / "a.png"
    photo.write_bytes(b"x")
    chat.start(question, files=[photo])
    return finished(chat)


def test_a_chat_is_there_again_after_a_restart(chats: Chats, store: Store, tmp_path: Path):
    first = chats.create("browser:ann")
    assert ask(first, tmp_path).status == "abnormal"
    again = Chats(store.backend(), tmp_path / "home")
    chat = again.get(first.thread, "browser:ann", strict=True)
    assert [turn.question for turn in chat.turns] == ["broken?"]
    assert again.listed("browser:ann", strict=True) == [("broken?", first.thread)]
    again.close()


def test_each_owner_sees_only_their_own_chats(chats: Chats, tmp_path: Path):
    ann, bob = chats.create("user:ann"), chats.create("user:bob")
    ask(ann, tmp_path)
    ask(bob, tmp_path, "his?")
    assert chats.listed("user:ann", strict=True) == [("broken?", ann.thread)]
    with pytest.raises(BadInput, match="does not exist here"):
        chats.get(bob.thread, "user:ann", strict=True)


@pytest.mark.parametrize("thread", ["../../etc/passwd", "a/b", "", "x" * 200, "nothere"])
def test_a_made_up_thread_opens_nothing(chats: Chats, store: Store, thread: str):
    with pytest.raises(BadInput, match="does not exist here"):
        chats.get(thread, "browser:ann", strict=False)
    assert not store.opened


def test_a_crash_in_a_turn_is_a_sentence_and_the_chat_goes_on(chats: Chats, tmp_path: Path):
    chat = chats.create("browser:ann")
    reply = ask(chat, tmp_path, "crash now")
    assert "ZeroDivisionError" in reply.answer
    assert ask(chat, tmp_path).status == "abnormal"


class Endless(ScriptedSession):
    closed = False

    def ask(self, question: str, **_: object) -> Iterator[TurnEvent]:  # type: ignore[override]
        try:
            yield StepStarted(key="a", title="Counting")
            for done in range(10**9):
                time.sleep(0.005)
                yield Progress(key="a", what="sheep", done=done, total=0)
        finally:
            Endless.closed = True


def test_a_running_turn_can_be_stopped_and_refuses_a_second_question(store: Store, tmp_path: Path):
    backend = Backend(open=lambda thread, model: Endless(store, thread, model), threads=store.threads)
    chats = Chats(backend, tmp_path / "home")
    chat = chats.create("browser:ann")
    chat.start("how many?")
    with pytest.raises(BadInput, match="still working"):
        chat.start("and now?")
    chat.stop()
    assert chat.snapshot()[0][-1].stopping
    assert finished(chat).answer.startswith("Stopped")
    assert Endless.closed
    chats.close()


def test_a_chat_is_listed_while_its_first_turn_runs(store: Store, tmp_path: Path):
    backend = Backend(open=lambda thread, model: Endless(store, thread, model), threads=store.threads)
    chats = Chats(backend, tmp_path / "home")
    chat = chats.create("browser:ann")
    assert chats.listed("browser:ann", strict=False) == []
    chat.start("how many?")
    assert chats.listed("browser:ann", strict=False) == [("how many?", chat.thread)]
    assert chats.listed("browser:bob", strict=False) == []
    chats.close()


def test_a_page_that_goes_elsewhere_gets_no_late_update(store: Store, tmp_path: Path):
    backend = Backend(open=lambda thread, model: Endless(store, thread, model), threads=store.threads)
    chats = Chats(backend, tmp_path / "home")
    chat = chats.create("browser:ann")
    chat.start("how many?")
    looking, seen = Looking(), []
    look = looking.enter("tab")
    watching = threading.Thread(target=lambda: seen.extend(look.follow(chat)))
    watching.start()
    while len(seen) < 2:
        time.sleep(0.01)
    looking.enter("tab").end()
    count = len(seen)
    watching.join(timeout=5)
    assert seen[-1] is None
    assert len(seen) == count  # the last word came before `enter` returned
    assert chat.busy
    chats.close()


def test_a_turn_ends_although_nobody_watches(chats: Chats, tmp_path: Path):
    chat = chats.create("browser:ann")
    photo = tmp_path / "a.png"
    photo.write_bytes(b"x")
    chat.start("broken?", files=[photo])
    deadline = time.monotonic() + 10
    while chat.busy and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [turn.reply is not None for turn in chat.snapshot()[0]] == [True]


def test_old_idle_chats_are_closed_but_can_be_reopened(chats: Chats, tmp_path: Path):
    threads = [chats.create("browser:ann").thread for _ in range(MAX_OPEN + 3)]
    assert len(chats._open) <= MAX_OPEN
    assert chats.get(threads[0], "browser:ann", strict=True).thread == threads[0]


def test_uploads_are_kept_with_the_chat_under_their_own_names(chats: Chats, tmp_path: Path):
    paths = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "写真 <b>.png"
        path.write_bytes(folder.encode())
        paths.append(path)
    kept = chats.keep("chat0001", paths)
    for path in paths:
        path.unlink()
    assert [path.read_bytes() for path in kept] == [b"one", b"two"]
    assert {path.name for path in kept} == {"写真 <b>.png"}
