"""The chats behind the page: who owns which, one worker thread per open chat, turns that outlive a closed browser tab.

A session is only ever touched from its own worker thread. A turn runs to its end whether anybody watches or not; any page that
shows the chat reads the turn's latest view. Owners are signed-in names or, without sign-in, a random id kept in the browser.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from agent.reply import Reply, TurnEvent
from core.archive import write_atomic
from core.errors import BadInput, UserError
from ui.messages import TurnView, fold
from ui.offer import Offer

log = logging.getLogger(__name__)

MAX_OPEN = 16
"""Sessions kept open at once; the longest unused idle one is closed first."""
_THREAD = re.compile(r"[A-Za-z0-9_-]{1,80}")


class SessionLike(Protocol):
    """What the page needs of `agent.session.Session`."""

    thread: str

    def ask(self, question: str, *, files: Sequence[Path] = (), normal: Sequence[Path] = ()) -> Iterator[TurnEvent]:
        """Run one turn."""
        ...

    def history(self) -> Sequence[Any]:
        """Earlier turns: question, files, reply."""
        ...

    def pending(self) -> bool:
        """True when a killed process left a turn unfinished."""
        ...

    def resume(self) -> Iterator[TurnEvent]:
        """Finish that turn."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


@dataclass(frozen=True, kw_only=True)
class Backend:
    """Where sessions come from; the real one is `agent.session`, tests bring a scripted one.

    `open` takes a chat (None for a new one) and the text of a model tier.
    """

    open: Callable[[str | None, str], SessionLike]
    threads: Callable[[], Sequence[Any]]


class Chat:
    """One open chat: its finished turns and, while it works, the turn in progress.

    `model` is the tier that answers the next question; a turn in progress ends with the one it began with.
    """

    def __init__(self, opener: Callable[[str | None, str], SessionLike], thread: str | None, model: str = "embedded") -> None:
        self._opener, self.model, self._answering = opener, model, model
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="telltale-chat")
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self.running: TurnView | None = None
        self._version = 0
        self._stop = False
        self._queued: TurnView | None = None
        try:
            self._session = self._worker.submit(opener, thread, model).result()
            self.turns: list[TurnView] = self._worker.submit(self._read_history).result()
            unfinished = self._worker.submit(self._session.pending).result()
        except BaseException:
            self._worker.shutdown(wait=False)
            raise
        self.thread: str = self._session.thread
        if unfinished:
            self.running = TurnView(question="(the question that was interrupted)")
            self._worker.submit(self._run, self._session.resume, self.running)

    def _read_history(self) -> list[TurnView]:
        return [
            TurnView(question=turn.question, files=tuple(turn.files), text=turn.reply.answer, reply=turn.reply)
            for turn in self._session.history()
        ]

    def start(self, question: str, *, files: Sequence[Path] = (), normal: Sequence[Path] = ()) -> None:
        """Begin a turn in the background; one that nobody asked for makes way.

        Raises:
            BadInput: the previous turn is still running.
        """
        with self._lock:
            reading = self.running is not None and self.running.automatic and self._queued is None
            if self.running is not None and not reading:
                raise BadInput("Telltale is still working on the previous question; wait for it or stop it.")
            names, normals = tuple(path.name for path in files), tuple(path.name for path in normal)
            view = TurnView(question=question, files=names, normal=normals)
            if reading:  # under the lock: the next turn, which must not be stopped, cannot have begun
                self._queued = view
                self._halt()
            else:
                self.running, self._stop = view, False
            self._version += 1
            turn = partial(self._ask, self.model, question, files=list(files), normal=list(normal))
        self._worker.submit(self._run, turn, view)

    def _ask(self, model: str, question: str, *, files: Sequence[Path], normal: Sequence[Path]) -> Iterator[TurnEvent]:
        """One turn; the session is opened anew when another model is to answer, so that nothing reaches the one before."""
        if model != self._answering:
            before, self._session = self._session, self._opener(self.thread, model)
            self._answering = model
            before.close()
        yield from self._session.ask(question, files=files, normal=normal)

    def _run(self, turn: Callable[[], Iterator[TurnEvent]], view: TurnView) -> None:
        try:
            events = turn()
            for event in events:
                view = fold(view, event)
                self._publish(view)
                if self._stop and view.reply is None:
                    close = getattr(events, "close", None)
                    if close is not None:
                        close()
                    view = fold(view, Reply(answer="Stopped, as you asked. Nothing was lost.", status="insufficient"))
                    break
        except UserError as error:
            view = fold(view, Reply(answer=str(error), status="insufficient"))
        except Exception as error:  # a bug must not kill the chat; the person gets a sentence, the log the traceback
            log.exception("a turn failed")
            sentence = (
                f"Something went wrong inside Telltale ({type(error).__name__}). This chat goes on; the log has the details."
            )
            view = fold(view, Reply(answer=sentence, status="insufficient"))
        if view.reply is None:
            view = fold(view, Reply(answer=view.text or "No answer came back.", status="insufficient"))
        with self._changed:
            self.turns.append(view)
            self.running, self._queued = self._queued or self._reading_on(view), None
            if self.running is not None:
                self._stop = False
            following = self.running if self.running is not None and self.running.automatic else None
            self._version += 1
            self._changed.notify_all()
        if following is not None:
            self._worker.submit(self._run, self._session.refine, following)  # type: ignore[attr-defined]

    def _reading_on(self, view: TurnView) -> TurnView | None:
        """The turn that follows by itself when an answer rests on a first look at a long video, unless the person stopped it."""
        skimmed = view.reply.skimmed if view.reply is not None else ()
        if not skimmed or view.automatic or self._stop or not hasattr(self._session, "refine"):
            return None
        names = skimmed[0] if len(skimmed) == 1 else f"{len(skimmed)} videos"
        return TurnView(question=f"(reading the rest of {names})", automatic=True)

    def _publish(self, view: TurnView) -> None:
        with self._changed:
            self.running = replace(view, stopping=self._stop)
            self._version += 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Ask the turn in progress to end at its next step; whoever watches sees at once that it was heard."""
        with self._changed:
            if self.running is not None:
                self._halt()

    def _halt(self) -> None:
        """Stop what runs; the lock is held."""
        assert self.running is not None
        self._stop = True
        self.running = replace(self.running, stopping=True)
        self._version += 1
        self._changed.notify_all()
        # sessions without one end at their next event instead
        stop = getattr(self._session, "stop", None)
        if stop is not None:
            stop()

    def snapshot(self) -> tuple[list[TurnView], int]:
        """All turns, the one in progress last, and a version that grows with every change."""
        with self._lock:
            return self._all(), self._version

    def _all(self) -> list[TurnView]:
        return self.turns + ([self.running] if self.running is not None else [])

    def follow(self, *, interval_s: float = 0.12, left: threading.Event | None = None) -> Iterator[list[TurnView]]:
        """Yield all turns now and after every change until the turn in progress is over, at most once per `interval_s`.

        Ends early, within a fraction of a second, once `left` is set: nobody looks any more. The turn itself goes on.
        """
        seen = -1
        left = left or threading.Event()
        while not left.is_set():
            with self._changed:
                while self._version == seen and self.running is not None and not left.is_set():
                    self._changed.wait(timeout=0.1)
                working = self.running is not None
                turns, version = self._all(), self._version
            if version != seen:
                seen = version
                yield turns
            if not working:
                return
            left.wait(interval_s)

    @property
    def busy(self) -> bool:
        """True while a turn runs."""
        return self.running is not None

    def close(self) -> None:
        """Close the session once its work is done."""
        self._stop = True
        with suppress(RuntimeError):  # the worker is already gone
            self._worker.submit(self._session.close)
        self._worker.shutdown(wait=False)


class Chats:
    """All open chats of a server, and who may see which."""

    def __init__(self, backend: Backend, home: Path, offer: Offer | None = None) -> None:
        self.backend = backend
        self.offer = offer or Offer()
        self._home = home
        self._models = home / "page" / "models"
        self._owners = home / "page" / "owners"
        self._open: OrderedDict[str, Chat] = OrderedDict()
        self._lock = threading.Lock()

    def create(self, owner: str, model: str = "") -> Chat:
        """Open a new chat that belongs to `owner`, with a model tier it may choose.

        Raises:
            UserError: the tier is not offered.
        """
        model = self.offer.accept(model) if model else self.offer.given
        chat = Chat(self.backend.open, None, model)
        write_atomic(self._owners / chat.thread, _stamp(owner))
        write_atomic(self._models / chat.thread, model.encode())
        self._keep(chat)
        return chat

    def get(self, thread: str, owner: str, *, strict: bool) -> Chat:
        """Open an earlier chat.

        `strict` (people sign in): only its owner. Otherwise knowing the thread's id is enough, so that a link or a chat begun
        on the command line can be opened on the same machine.

        Raises:
            BadInput: no such chat, or it is somebody else's.
        """
        missing = BadInput("This chat does not exist here; start a new one.")
        if not _THREAD.fullmatch(thread):
            raise missing
        if strict and self._owner(thread) != _stamp(owner):
            raise missing
        with self._lock:
            chat = self._open.get(thread)
            if chat is not None:
                self._open.move_to_end(thread)
                return chat
        if thread not in {info.thread for info in self.backend.threads()}:
            raise missing
        chat = Chat(self.backend.open, thread, self.offer.kept(self._model(thread)))
        self._keep(chat)
        return chat

    def choose(self, chat: Chat, model: str) -> None:
        """Let another model answer from the next question on; the chat remembers it.

        Raises:
            UserError: the tier is not offered; nothing has changed.
        """
        model = self.offer.accept(model)
        write_atomic(self._models / chat.thread, model.encode())
        chat.model = model

    def keep(self, thread: str, uploads: Sequence[Path]) -> list[Path]:
        """Move uploads from the server's passing storage to the chat's own folder, so that they are there after a restart."""
        kept: list[Path] = []
        folder = self._home / "page" / "uploads" / thread / secrets.token_hex(4)
        for path in uploads:
            target = folder / path.name
            if target.exists():
                target = folder / str(len(kept)) / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, target)
            except OSError:  # another disk
                shutil.copyfile(path, target)
            kept.append(target)
        return kept

    def listed(self, owner: str, *, strict: bool) -> list[tuple[str, str]]:
        """The chats of `owner` that have a turn or work on their first, latest first, as (title, thread)."""
        with self._lock:
            running = {thread: view.question for thread, chat in self._open.items() if (view := chat.running) is not None}
        found = []
        for info in sorted(self.backend.threads(), key=lambda info: info.updated, reverse=True):
            mine = self._owner(info.thread)
            if mine != _stamp(owner) and (mine is not None or strict):
                continue
            if info.turns:
                found.append((info.title, info.thread))
            elif info.thread in running:  # its title is given when the first turn ends
                found.append((running.pop(info.thread), info.thread))
            running.pop(info.thread, None)
        # a chat that the store lists only once its first turn has ended
        first = [(question, thread) for thread, question in running.items() if self._owner(thread) == _stamp(owner)]
        return first[::-1] + found

    def close(self) -> None:
        """Close every open chat."""
        with self._lock:
            chats = list(self._open.values())
            self._open.clear()
        for chat in chats:
            chat.close()

    def _owner(self, thread: str) -> bytes | None:
        try:
            return (self._owners / thread).read_bytes()
        except OSError:
            return None

    def _model(self, thread: str) -> str:
        try:
            return (self._models / thread).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    def _keep(self, chat: Chat) -> None:
        with self._lock:
            self._open[chat.thread] = chat
            idle = [thread for thread, other in self._open.items() if not other.busy and other is not chat]
            closing = [self._open.pop(thread) for thread in idle[: max(0, len(self._open) - MAX_OPEN)]]
        for old in closing:
            old.close()


def _stamp(owner: str) -> bytes:
    """What is written beside a chat: a digest, so that browser ids cannot be read back from the disk."""
    return sha256(f"telltale owner {owner}".encode()).hexdigest().encode()


def agent_backend() -> Backend:
    """Sessions of the real agent, imported when the first one is opened."""

    def opened(thread: str | None, model: str) -> SessionLike:
        from agent.session import Session

        return Session(thread=thread, model=model)

    def threads() -> Sequence[Any]:
        from agent.session import list_threads

        return list_threads()

    return Backend(open=opened, threads=threads)
