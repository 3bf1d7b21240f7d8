"""A chat: give it files and questions, get a stream of steps and one checked reply; it survives restarts.

>>> import tempfile
>>> session = Session(home=Path(tempfile.mkdtemp()))
>>> *_, reply = session.ask("hello")
>>> reply.status, reply.answer
('insufficient', 'Hello. Drop in files and ask what is wrong with them.')
>>> session.close()
"""

from __future__ import annotations

import errno
import logging
import queue
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.accounts.account import Account
from agent.answer import suggestions
from agent.evidence_store import EvidenceStore, ThreadInfo
from agent.graph import Conversation, quiet
from agent.lookups import stuck
from agent.lookups.found import LEAST_COVERED
from agent.narration.narrator import VIEW_MARK
from agent.narration.voice import Voice
from agent.reply import Panel, Reply, TextDelta, ToolRun, TurnEvent
from agent.rulings.proposal import CONFIRM, Proposal
from agent.verify import cited_ids
from agent.workbench import Workbench
from core.errors import BadInput, UserError
from core.evidence import Anomaly, Evidence, Status
from core.settings import home as default_home
from core.settings import limits
from models.chat.tiers import Tier

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One question with the names of its files, and its reply."""

    question: str
    files: tuple[str, ...]
    reply: Reply


def list_threads(home: Path | None = None) -> list[ThreadInfo]:
    """The chats kept under `home`, newest first."""
    store = EvidenceStore(home or default_home())
    try:
        return store.threads()
    finally:
        store.close()


class Session:
    """One chat: what was uploaded, asked and found is kept under `home` and is there again when the chat is reopened.

    Raises:
        UserError: the home folder cannot be used or the tier is unknown.
    """

    def __init__(self, *, thread: str | None = None, home: Path | None = None, model: str = "embedded") -> None:
        tier = Tier.parse(model)
        self.thread = thread or uuid.uuid4().hex[:12]
        self.model = str(tier)
        self._store = EvidenceStore(home or default_home())
        self._store.open_thread(self.thread, "New chat")
        self._bench = Workbench(self._store, self.thread)
        self._conversation = Conversation(self._store, self._bench, self.thread, Voice(tier))
        self._checkpoints = _checkpoints(self._store.home)
        self._graph: CompiledStateGraph[Any, Any, Any, Any] | None = None
        self._busy = threading.Lock()

    def close(self) -> None:
        """Close the databases; everything is kept."""
        self._conversation.rulebook.close()
        self._checkpoints.close()
        self._store.close()

    def _compiled(self) -> CompiledStateGraph[Any, Any, Any, Any]:
        if self._graph is None:
            from langgraph.checkpoint.sqlite import SqliteSaver

            self._graph = self._conversation.compile(SqliteSaver(self._checkpoints))
        return self._graph

    def ask(
        self,
        question: str,
        *,
        files: Sequence[Path] = (),
        normal: Sequence[Path] = (),
        rules: Sequence[str] = (),
        roles: Mapping[str, str] | None = None,
    ) -> Iterator[TurnEvent]:
        """Ask a question, with new files and normal references if any; the last event is the Reply.

        Raises:
            BadInput: the question is too long or too many files were given; nothing is kept then.
        """
        question = question.encode("utf-8", "replace").decode()  # a terminal may hand over half a character
        if len(question) > limits().max_question_chars:
            raise BadInput(f"The question has {len(question):,} characters; at most {limits().max_question_chars:,} are read.")
        if len(files) + len(normal) > limits().max_files:
            raise BadInput(f"{len(files) + len(normal):,} files were given; at most {limits().max_files:,} are read at once.")
        yield from self._left_behind()
        files, normal = [Path(f).absolute() for f in files], [Path(n).absolute() for n in normal]
        if files:
            self._store.add_uploads(self.thread, files, "input")
        if normal:
            self._store.add_uploads(self.thread, normal, "normal")
        question = question.strip()
        names = [path.name for path in (*files, *normal)]
        state = {"thread": self.thread, "question": question, "files": names, "roles": dict(roles or {}),
                 "rules": list(rules), "unconfirmed": "", "started": time.time()}  # fmt: skip
        if self._waiting():
            from langgraph.types import Command

            yield from self._turn(Command(resume=question, update=state))
        else:
            yield from self._turn(state)

    def refine(self) -> Iterator[TurnEvent]:
        """Read the rest of the long videos that were skimmed, and answer the latest question again: a turn like any other."""
        from agent.reading.closer import REFINE, closer_look

        turns = self._store.turns(self.thread)
        latest = turns[-1][0] if turns else ""
        closer = closer_look(latest)
        rest = latest if closer is None else closer.rest
        yield from self.ask(f"{REFINE}: {rest}"[: limits().max_question_chars])

    def stop(self) -> None:
        """End the tool at work at its next step."""
        self._conversation.steps.cancelled.set()

    def pending(self) -> bool:
        """True when a killed process left a turn unfinished; `resume` finishes it."""
        state = self._compiled().get_state(self._config())
        return bool(state.next) and not state.interrupts

    def _waiting(self) -> bool:
        """True when a rule waits to be confirmed."""
        return bool(self._compiled().get_state(self._config()).interrupts)

    def resume(self) -> Iterator[TurnEvent]:
        """Finish the turn that a killed process left behind; nothing that was done is done again."""
        if self.pending():
            yield from self._turn(None)

    def _left_behind(self) -> Iterator[TurnEvent]:
        """Finish a turn that a killed process left, so that it is in the history before the next one; only its steps are shown."""
        if not self.pending():
            return
        try:
            yield from (event for event in self.resume() if not isinstance(event, Reply | TextDelta))
        except UserError:
            raise
        except Exception:  # it failed before for a reason of its own; the chat must go on
            log.exception("a turn that was left behind could not be finished")

    def _config(self) -> Any:
        return {"configurable": {"thread_id": self.thread}, "recursion_limit": 10_000}

    def _turn(self, state: Any) -> Iterator[TurnEvent]:
        """Run the graph in a worker thread, so that steps and progress stream while it works."""
        events: queue.Queue[TurnEvent | BaseException | None] = queue.Queue()

        def work() -> None:
            try:
                with self._busy:
                    self._conversation.steps.emit = events.put
                    self._bench.wanted = self._compiled().get_state(self._config()).values.get("wanted", "")
                    final = self._compiled().invoke(state, self._config())
                    events.put(self._finish(final))
            except BaseException as error:
                events.put(error)
            events.put(None)

        worker = threading.Thread(target=work, name=f"turn-{self.thread}", daemon=True)
        self._conversation.steps.cancelled.clear()
        worker.start()
        try:
            while (event := events.get()) is not None:
                if isinstance(event, BaseException):
                    raise _as_user_error(event, self._store.home)
                if isinstance(event, Reply):
                    yield from (TextDelta(text=line + "\n") for line in event.answer.split("\n"))
                yield event
        finally:  # also when nobody listens any more: the tool stops at its next step
            self._conversation.steps.cancelled.set()
            worker.join()

    def _finish(self, state: dict[str, Any]) -> Reply:
        """Make the reply of a finished turn, or of one that waits for a rule to be confirmed, and keep it."""
        if state.get("__interrupt__"):
            return self._asked_back(state)
        investigations = self._bench.investigations()
        everything = {e.id: e for e in self._store.evidence(self.thread)}
        lines = [*state["remarks"], *state["draft"]]
        if state["views"]:
            lines.append(f"_{VIEW_MARK} {' '.join(state['views'])}_")
        lines = lines or ["I found nothing I can say with evidence. Ask another way, or ask what I can do."]
        answer = _markdown(lines)
        cited = [i for i in cited_ids(answer) if i in everything]
        told = [i for i in state["grounds"] if i in everything]
        everything_abnormal = [Anomaly.from_json(a) for a in state["anomalies"]]
        anomalies = tuple(a for a in everything_abnormal if set(a.evidence) & set(told))  # told, or its source told as a whole
        anomalies += tuple(a for i in told for a in stuck.anomalies(everything[i]))
        judged = any(_judges(everything[i]) for i in told)
        accounts = tuple(Account.from_json(a) for a in state.get("accounts", []))
        rests_on = dict.fromkeys(
            [*cited, *(i for a in anomalies for i in a.evidence), *(i for a in accounts for i in a.evidence)]
        )
        reply = Reply(
            answer=answer, status=_status(anomalies, judged), anomalies=anomalies, accounts=accounts,
            evidence=tuple(everything[i] for i in rests_on),
            panels=self._panels(state, cited, everything), tools=tuple(ToolRun(**run) for run in state["tools"]), model=state["writer"],
            seconds=round(time.time() - state["started"], 3), thread=self.thread, removed=tuple(state["removed"]),
            refused=tuple((name, message) for name, message in state["refused"]), suggestions=suggestions(investigations),
            skimmed=tuple(inv.source for inv in investigations if inv.skimmed),
        )  # fmt: skip
        return self._keep(state, reply)

    def _asked_back(self, state: dict[str, Any]) -> Reply:
        """The reply that shows how a rule was read and asks whether it shall be in force."""
        proposal = Proposal(**state["proposal"])
        lines = [quiet(line) for line in proposal.lines]
        answer = _markdown([f"**{lines[0]}**", *lines[1:], CONFIRM])
        reply = Reply(
            answer=answer, status="insufficient", seconds=round(time.time() - state["started"], 3), thread=self.thread,
            suggestions=("yes", "no"),
        )  # fmt: skip
        return self._keep(state, reply)

    def _keep(self, state: dict[str, Any], reply: Reply) -> Reply:
        """Put a reply into the chat's history."""
        if not self._store.turns(self.thread):
            self._store.rename_thread(self.thread, _title(state))
        self._store.add_turn(self.thread, state["question"], state["files"], _to_plain(reply))
        return self._resolved(reply)

    def _panels(self, state: dict[str, Any], cited: list[str], everything: Mapping[str, Evidence]) -> tuple[Panel, ...]:
        """What to show: panels of the shown evidence and of fresh surveys, then pictures of lookups."""
        wanted = set(state["shown"]) | set(cited)
        renewed = {source: [Panel(**panel) for panel in panels] for source, panels in state.get("renewed", {}).items()}
        everyone = [p for inv in self._bench.investigations() for p in renewed.get(inv.source, inv.panels)]
        panels = [p for p in everyone if p.evidence is None or p.evidence in wanted]
        had = {p.path for p in panels if p.path}
        for i in state["shown"]:
            evidence = everything.get(i)
            if evidence is not None and evidence.path and evidence.path not in had:
                kind = _SHOWN_AS.get(evidence.tool, "picture")
                caption = str(evidence.facts.get("caption") or f"{evidence.source}: {evidence.tool.replace('_', ' ')}")
                caption = str(evidence.facts["file"]) if kind == "clip" else caption
                panels.append(Panel(kind=kind, caption=caption, source=evidence.source, evidence=i, path=evidence.path))  # type: ignore[arg-type]
        return tuple(panels)

    def _resolved(self, reply: Reply) -> Reply:
        """The reply with the paths of its pictures made absolute, for faces."""
        panels = tuple(replace(p, path=str(self._store.file(p.path))) if p.path else p for p in reply.panels)
        return replace(reply, panels=panels)

    def history(self) -> list[Turn]:
        """Every turn of this chat, oldest first."""
        turns = self._store.turns(self.thread)
        return [
            Turn(question=question, files=tuple(files), reply=self._resolved(_from_plain(reply)))
            for question, files, reply in turns
        ]

    def source_facts(self) -> list[dict[str, Any]]:
        """Name, kind and plain facts of every source in the chat, e.g. the roles found in an event log."""
        return [{"name": s.name, "kind": s.kind, **s.summary, "notes": list(s.notes)} for s in self._bench.sources()]


def _checkpoints(home: Path) -> sqlite3.Connection:
    """The database in which turns in progress are kept.

    Raises:
        BadInput: it cannot be opened.
    """
    path = home / "checkpoints.db"
    try:
        database = sqlite3.connect(path, check_same_thread=False, timeout=30)
        database.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error as error:
        raise BadInput(
            f"{str(path)!r} cannot be used ({error}). Move it away, or set TELLTALE_HOME to another folder."
        ) from error
    return database


_SHOWN_AS = {"lookup_time": "keyframe", "lookup_frame": "keyframe", "lookup_clip": "clip", "lookup_around": "graph"}
_NO_ROOM = frozenset((errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS, errno.EIO))


def _as_user_error(error: BaseException, home: Path) -> BaseException:
    """A full or broken disk is nobody's bug; anything else stays what it is."""
    if isinstance(error, sqlite3.OperationalError) or (isinstance(error, OSError) and error.errno in _NO_ROOM):
        full = BadInput(f"{str(home)!r} could not be written ({error}). Free some space, or set TELLTALE_HOME to another folder.")
        full.__cause__ = error
        return full
    return error


def _markdown(lines: Sequence[str]) -> str:
    """Lines as Markdown: list items stay together, everything else is a paragraph."""
    parts: list[str] = []
    for line in lines:
        tight = parts and line.lstrip().startswith("- ") and parts[-1].lstrip().startswith("- ")
        parts += [line] if tight or not parts else ["", line]
    return "\n".join(parts)


def _judges(evidence: Evidence) -> bool:
    """True when a piece of evidence says of something that it is not abnormal: a detector's, or a time in which nothing passes.

    Where most readings are missing, or nothing is recorded at all, nothing has been judged.
    """
    facts: Any = evidence.facts
    if evidence.tool == "lookup_events":
        return not facts["flagged"] and facts["events_there"] > 0
    if evidence.tool == "lookup_still":
        return not facts["stuck"]
    if evidence.tool == "lookup_time":
        return not facts["flagged"] and facts.get("covered_percent", 100) >= 100 * LEAST_COVERED
    return (
        evidence.threshold is not None
        and not facts.get("undecided")
        and facts.get("missing_percent", 0) <= 100 * (1 - LEAST_COVERED)
    )


def _status(anomalies: Sequence[Anomaly], judged: bool) -> Status:
    """Abnormal when the answer tells anomalies, normal when it judges and finds none, else insufficient for a verdict."""
    return "abnormal" if anomalies else "normal" if judged else "insufficient"


def _title(state: Mapping[str, Any]) -> str:
    """A chat's title: its first question, or its first file."""
    text = " ".join(str(state["question"]).split()) or ", ".join(state["files"][:2]) or "New chat"
    return text if len(text) <= 60 else text[:59].rstrip() + "…"


def _to_plain(reply: Reply) -> dict[str, Any]:
    return asdict(reply)


def _from_plain(data: Mapping[str, Any]) -> Reply:
    values = dict(data)
    values["anomalies"] = tuple(Anomaly.from_json(a) for a in values["anomalies"])
    values["accounts"] = tuple(Account.from_json(a) for a in values.get("accounts", ()))  # kept before there were any: none
    values["evidence"] = tuple(Evidence.from_json(e) for e in values["evidence"])
    values["panels"] = tuple(Panel(**p) for p in values["panels"])
    values["tools"] = tuple(ToolRun(**t) for t in values["tools"])
    for key in ("removed", "suggestions", "skimmed"):
        values[key] = tuple(values.get(key, ()))
    values["refused"] = tuple((name, message) for name, message in values["refused"])
    return Reply(**values)


__all__ = ["Session", "Turn", "UserError", "list_threads"]
