"""The conversation as a LangGraph: ingest → plan ⇄ act → answer → check, checkpointed to SQLite after every node.

Nodes keep plain values in the state and everything heavy on the workbench, which is rebuilt from the store when a killed process
resumes. `plan` decides what is still missing, `act` runs one missing thing and returns to `plan`; `check` removes what the evidence
does not support.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from agent.answer import Material, write
from agent.evidence_store import EvidenceStore
from agent.lookups import look_up
from agent.planner import ToolCall
from agent.question import Request
from agent.reply import Progress, StepDone, StepStarted, ToolRun, TurnEvent
from agent.state import KEPT_REQUESTS, ChatState
from agent.verify import keep_supported
from agent.workbench import Workbench
from core.errors import BudgetExceeded, TelltaleError
from core.evidence import Evidence, Whole

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph

log = logging.getLogger(__name__)
Emit = Callable[[TurnEvent], None]
TALK = frozenset(("help", "greeting", "unsupported", "define_rule", "undo", "reset", "export"))
"""Intents answered without looking at any file."""


class Conversation:
    """The nodes of the graph over one chat's workbench."""

    def __init__(self, store: EvidenceStore, bench: Workbench, thread: str) -> None:
        self._store, self._bench, self._thread = store, bench, thread
        self.emit: Emit = lambda event: None
        self.cancelled = threading.Event()

    def compile(self, checkpointer: BaseCheckpointSaver[Any]) -> CompiledStateGraph[Any, Any, Any, Any]:
        """Wire the nodes."""
        from langgraph.graph import END, START, StateGraph

        graph = StateGraph(ChatState)
        for node in (self.ingest, self.plan, self.act, self.answer, self.check):
            graph.add_node(node.__name__, node)
        graph.add_edge(START, "ingest")
        graph.add_edge("ingest", "plan")
        graph.add_conditional_edges("plan", lambda state: "act" if state["calls"] else "answer", ["act", "answer"])
        graph.add_edge("act", "plan")
        graph.add_edge("answer", "check")
        graph.add_edge("check", END)
        return graph.compile(checkpointer=checkpointer)

    @contextmanager
    def _step(self, key: str, title: str) -> Iterator[dict[str, Any]]:
        """A visible step; the block may set `detail` and `ok`."""
        outcome: dict[str, Any] = {"detail": "", "ok": True}
        self.emit(StepStarted(key=key, title=title))
        start = time.perf_counter()
        yield outcome
        seconds = time.perf_counter() - start
        self.emit(StepDone(key=key, title=title, seconds=round(seconds, 3), detail=outcome["detail"], ok=outcome["ok"]))

    def _progress(self, key: str, what: str, done: int, total: int) -> None:
        """Pass progress on, or stop the tool when nobody waits for it any more."""
        if self.cancelled.is_set():
            raise BudgetExceeded(f"stopped at {done} of {total or 'unknown'} {what}.")
        self.emit(Progress(key=key, what=what, done=done, total=total))

    def ingest(self, state: ChatState) -> ChatState:
        """Open what is new and understand the question."""
        from agent.grammar import understand

        self._bench.roles = state.get("roles") or None
        refused: list[list[str]] = []
        if state.get("files"):
            with self._step("read", f"Reading {len(state['files'])} file{'s' * (len(state['files']) != 1)}") as step:
                sources = self._bench.sources()
                step["detail"] = "; ".join(f"{s.name} ({s.kind})" for s in sources) or "nothing readable"
                refused = [list(pair) for pair in self._bench_refusals(len(state["files"]))]
        previous = [Request.from_json(r) for r in state.get("previous", [])]
        context = self._bench.context(previous)
        if state.get("files") and previous:
            known = {inv.source for inv in self._bench.investigations()}
            context = replace(context, fresh=tuple(s.name for s in self._bench.sources() if s.name not in known) if known else ())
        request = understand(state["question"], context)
        return {
            "request": request.to_json(), "previous": [*state.get("previous", []), request.to_json()][-KEPT_REQUESTS:],
            "calls": [], "fresh": [], "tools": [], "failures": [], "refused": refused, "removed": [],
        }  # fmt: skip

    def _bench_refusals(self, newest: int) -> list[tuple[str, str]]:
        """What could not be read of the `newest` uploads (names are as shown, which need not be the names on disk)."""
        uploads = self._store.uploads(self._thread)[-newest:]
        batches: dict[int, list[Any]] = {}
        for upload in uploads:
            batches.setdefault(upload.batch, []).append(upload.path)
        return [pair for paths in batches.values() for pair in self._bench.refused(paths)]

    def plan(self, state: ChatState) -> ChatState:
        """What still has to be run: every source the question is about that has no investigation yet."""
        request = Request.from_json(state["request"])
        if set(request.intents) <= TALK:
            return {"calls": []}
        calls, _ = self._bench.plan()
        named = set(request.sources) | {s.source for s in request.samples} | {t.source for t in request.times}
        sources = self._bench.sources()
        failed = {failure.split("`")[1] for failure in state["failures"] if "`" in failure}
        wanted = [c for c in calls if (not named or sources[c.source].name in named) and sources[c.source].name not in failed]
        return {"calls": [asdict(call) for call in wanted]}

    def act(self, state: ChatState) -> ChatState:
        """Run the next planned call; a failure becomes a sentence."""
        call = ToolCall(**state["calls"][0])
        source = self._bench.sources()[call.source]
        key = f"{call.detector}:{call.source}"
        failures, tools, fresh = list(state["failures"]), list(state["tools"]), list(state["fresh"])
        with self._step(key, f"Looking at {source.name} with {call.detector}") as step:
            try:
                found, cached = self._bench.run(call, lambda *progress: self._progress(key, *progress))
            except TelltaleError as error:
                failures.append(f"I could not judge `{source.name}`: {error}")
                step.update(detail=str(error), ok=False)
            except MemoryError:
                failures.append(f"I could not judge `{source.name}`: it needs more memory than this machine has.")
                step.update(detail="out of memory", ok=False)
            else:
                seconds = 0.0 if cached else found.seconds
                tools.append(
                    asdict(ToolRun(name=call.detector, source=source.name, seconds=seconds, reason=call.reason, cached=cached))
                )
                fresh.append(found.source)
                step["detail"] = f"{sum(f.abnormal for f in found.findings)} found" + (" (from the cache)" if cached else "")
        return {"failures": failures, "tools": tools, "fresh": fresh}

    def answer(self, state: ChatState) -> ChatState:
        """Look up what the question names, then write the draft."""
        request = Request.from_json(state["request"])
        looked_up = self._look_up(request)
        investigations = self._bench.investigations()
        material = Material(
            request=request, investigations=investigations, fresh=frozenset(state["fresh"]), lookups=looked_up,
            remarks=self._remarks(state, request),
        )  # fmt: skip
        draft = write(material)
        return {"remarks": list(draft.remarks), "draft": list(draft.lines), "shown": list(draft.shown)}

    def _remarks(self, state: ChatState, request: Request) -> list[Evidence]:
        """How the question was read and what could not be read or judged, kept as evidence so that answers can cite it."""
        from agent.grammar import NO_FILES

        said = [("question", state["question"], note) for note in request.notes if note != NO_FILES]
        if set(request.intents) - TALK:
            said += [("reader", name, message if name in message else f"{name}: {message}") for name, message in state["refused"]]
            fresh = [source for source in self._bench.sources() if source.name in state["fresh"]]
            said += [("reading", source.name, f"{source.name}: {note}") for source in fresh[:5] for note in source.notes[:3]]
            said += [("toolbox", self._thread, failure) for failure in state["failures"]]
            said += [("planner", self._thread, sentence) for sentence in self._bench.plan()[1]]
            kinds = {source.kind for source in self._bench.sources()}
            strange = [n for n in self._bench.sources("normal") if n.kind not in kinds] if fresh else []
            said += [
                ("planner", n.name, f"{n.name} was read as {n.kind} and cannot say what is normal for these files.")
                for n in strange
            ]
        drafts = [
            Evidence(
                id="", tool=tool, version="1", parameters={}, source=source, locus=Whole(sample=source),
                facts={"said": quiet(sentence)},
            )
            for tool, source, sentence in said
        ]  # fmt: skip
        return self._store.add_evidence(self._thread, drafts)

    def _look_up(self, request: Request) -> list[Evidence]:
        """Evidence for the times, channels, words and concepts a question names."""
        if set(request.intents) <= TALK:
            return []
        investigations = {inv.source: inv for inv in self._bench.investigations()}
        found = [
            evidence
            for source in self._bench.sources()
            if not request.sources or source.name in request.sources
            for evidence in look_up(request, source, investigations.get(source.name), self._store)
        ]
        return self._store.add_evidence(self._thread, found)

    def check(self, state: ChatState) -> ChatState:
        """Keep the lines whose claims the evidence supports; fixed rules cannot write better ones, so the others are removed."""
        evidence = {e.id: e for e in self._store.evidence(self._thread)}
        kept, failed = keep_supported(state["draft"], evidence)
        for problem in failed:
            log.warning("removed from the answer: %r (%s)", problem.text, "; ".join(problem.problems))
        return {"draft": kept, "removed": [f.text for f in failed]}


_QUIET = str.maketrans({"[": "(", "]": ")", "<": "‹", ">": "›", "*": "∗", "\n": " "})


def quiet(sentence: str) -> str:
    """A sentence with file names in it, unable to become markup or a citation.

    >>> quiet("**b** [x](javascript:y) [E1].csv cannot be read")
    '∗∗b∗∗ (x)(javascript:y) (E1).csv cannot be read'
    """
    return sentence.translate(_QUIET)
