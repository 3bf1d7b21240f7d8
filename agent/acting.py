"""The two nodes that gather evidence: `plan` decides what is missing, `act` runs one missing thing.

Fixed rules require that every source a question is about is judged by the detector they choose; what the chat's language model asks for
besides is run too. A second look by another detector and what was looked up are evidence that the answer may cite; the verdict rests on
what fixed rules ran.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from agent.investigation import Investigation
from agent.long_looks import windows_of
from agent.lookups import look_up
from agent.model_planner import Desk, Dialogue, ask
from agent.planner import ToolCall
from agent.question import Context, Request
from agent.reply import ToolRun
from agent.state import TALK, ChatState
from agent.telling.voices import VOICES
from agent.telling.words import count, listed, name
from core.errors import BudgetExceeded, TelltaleError
from core.evidence import Evidence
from core.progress import watching
from core.settings import limits

if TYPE_CHECKING:
    from agent.evidence_store import EvidenceStore
    from agent.narration.voice import Voice
    from agent.rulings.rulebook import Rulebook
    from agent.steps import Steps
    from agent.workbench import Workbench

MOST_TOLD = 5
"""Findings of one source that a planning model is shown and that a second look adds to the answer's evidence."""
MOST_EARLIER = 3
"""Earlier questions a planning model is shown."""
MOST_FOUND = 6
"""Pieces of evidence kept of one look-up that a model asked for."""


class Acting:
    """Plans and acts on one chat's workbench."""

    def __init__(
        self, store: EvidenceStore, bench: Workbench, thread: str, *, voice: Voice, rulebook: Rulebook, steps: Steps
    ) -> None:
        self._store, self._bench, self._thread = store, bench, thread
        self._voice, self._rulebook, self._steps = voice, rulebook, steps

    def plan(self, state: ChatState) -> ChatState:
        """What still has to be run: sources of the question that have not been judged, then what the chat's model asks for."""
        request = Request.from_json(state["request"])
        if set(request.intents) <= TALK or state["settled"]:
            return {"calls": []}
        named = set(request.sources) | {s.source for s in request.samples} | {t.source for t in request.times}
        sources = self._bench.sources()
        failed = {failure.split("`")[1] for failure in state["failures"] if "`" in failure}
        wanted = [
            c for c in self._bench.missing()
            if (not named or sources[c.source].name in named) and sources[c.source].name not in failed
        ]  # fmt: skip
        wanted += [call for call in self._closer(request, state) if sources[call.source].name not in failed]
        dialogue = Dialogue.from_json(state.get("planning"))
        if self._voice.speaks and self._bench.chosen() and not dialogue.pending and not (dialogue.requests and wanted):
            dialogue = self._asked(dialogue, state, wanted)
        if self._steps.cancelled.is_set():
            left = [sources[c.source].name for c in wanted if not c.closer]
            closer = [sources[c.source].name for c in wanted if c.closer]
            stopped = [*([_stopped(left)] if left else []), *([_stopped_reading(closer[0])] if closer else [])]
            return {"calls": [], "failures": [*state["failures"], *stopped]}
        calls = [*wanted, *(call for call in dialogue.pending if call not in wanted)]
        calls.sort(key=lambda call: bool(call.question))  # what is looked up rests on what detectors keep
        return {"calls": [asdict(call) for call in calls], "planning": dialogue.to_json()}

    def _closer(self, request: Request, state: ChatState) -> list[ToolCall]:
        """Closer looks at videos that were skimmed: at the rest where that is asked for, else at the times a question names."""
        sources = self._bench.sources()
        named = set(request.sources) | {t.source for t in request.times}
        found = []
        for call in self._bench.skimmed():
            source = sources[call.source].name
            windows = windows_of([(t.start_s, t.end_s) for t in request.times if t.source == source])
            whole = state.get("closer", False) and not windows and (not named or source in named)
            if (whole or windows) and source not in state.get("looked", []):
                found.append(replace(call, whole=whole, windows=windows))
        return found

    def _asked(self, dialogue: Dialogue, state: ChatState, wanted: Sequence[ToolCall]) -> Dialogue:
        """Ask the model what else to run, until it has named something, is content, or fails."""
        sources, missing = self._bench.sources(), self._bench.missing()
        known = {e.id: e for e in self._store.evidence(self._thread)}
        told = [evidence for inv in self._bench.investigations() for evidence in _worst(inv)]
        told += [known[i] for i in dialogue.found if i in known]
        desk = Desk(
            question=state["question"], sources=sources, normals=self._bench.sources("normal"), fixed=wanted,
            judged=[call for call in self._bench.chosen() if call not in missing],
            evidence=list({evidence.id: evidence for evidence in told}.values()), rules=self._rulebook.texts(sources),
            earlier=[request["question"] for request in state["previous"][:-1]][-MOST_EARLIER:],
        )  # fmt: skip
        while not (dialogue.closed or dialogue.pending or self._steps.cancelled.is_set()):
            key = f"plan:{dialogue.requests + 1}"
            with self._steps.step(key, f"Planning with {self._voice.name}") as step:
                dialogue = ask(self._voice.model, desk, dialogue, lambda *p, key=key: self._steps.progress(key, *p))
                alone = "; fixed rules plan this" if dialogue.failure else ""
                step.update(detail=dialogue.note + alone, ok=not dialogue.failure)
        return dialogue

    def act(self, state: ChatState) -> ChatState:
        """Run the next planned call; a failure becomes a sentence."""
        call = ToolCall(**state["calls"][0])
        dialogue = Dialogue.from_json(state.get("planning"))
        if call.question:
            return {"planning": self._looked_up(call, dialogue).to_json()}
        source = self._bench.sources()[call.source]
        required = call.plain in self._bench.chosen()
        key = f"{call.detector}:{call.source}{':closer' if call.closer else ''}"
        done: ChatState = {"looked": [*state.get("looked", []), source.name]} if call.closer else {}
        title = "Looking closer at" if call.closer else "Looking at"
        with self._steps.step(key, f"{title} {source.name} with {call.detector}") as step:
            try:
                found, cached = self._bench.run(call, lambda *progress: self._steps.progress(key, *progress))
            except (TelltaleError, MemoryError) as error:
                why = str(error) if isinstance(error, TelltaleError) else "it needs more memory than this machine has."
                stopped = isinstance(error, BudgetExceeded) and self._steps.cancelled.is_set()
                if stopped and call.closer:
                    done["failures"] = [*state["failures"], _stopped_reading(source.name)]
                elif required and not stopped:  # else what was stopped is told by `plan`
                    done["failures"] = [*state["failures"], f"I could not judge `{source.name}`: {why}"]
                step.update(detail=why, ok=False)
                dialogue = dialogue.heard(call, f"It failed: {name(why)}")
            else:
                reason = (
                    call.reason if required else f"{self._voice.name} asked for a second look: {call.reason or 'no reason given'}"
                )
                run = ToolRun(
                    name=call.detector, source=source.name, seconds=0.0 if cached else found.seconds, reason=reason, cached=cached
                )
                done["tools"] = [*state["tools"], asdict(run)]
                if required:
                    done["fresh"] = [*state["fresh"], found.source]
                else:
                    done["looks"] = [*state.get("looks", []), second_look(found)]
                odd = sum(f.abnormal for f in found.findings)
                step["detail"] = f"{odd} found" + (" (from the cache)" if cached else "")
                ids = [] if required else [evidence.id for evidence in _worst(found)]
                dialogue = dialogue.heard(call, f"Run: {odd} found; the evidence begins at [{found.survey.id}].", ids)
        return {**done, "planning": dialogue.to_json()}

    def _looked_up(self, call: ToolCall, dialogue: Dialogue) -> Dialogue:
        """Look one question of the model up in a source; the fixed grammar reads it, so nothing else can come of it."""
        from agent.grammar import understand

        source = self._bench.sources()[call.source]
        inv = next((i for i in self._bench.investigations() if i.source == source.name), None)
        key = f"{call.detector}:{call.source}:{len(dialogue.found)}"
        with self._steps.step(key, f"Looking up in {source.name}: {call.question}") as step:
            request = understand(call.question, Context(sources=(self._bench.info(source),)))
            drafts: list[Evidence] = []
            try:
                with watching(lambda *progress: self._steps.progress(key, *progress), budget_s=limits().tool_budget_s):
                    drafts += [] if set(request.intents) <= TALK else look_up(request, source, inv, self._store)
            except TelltaleError as error:
                step.update(detail=str(error), ok=False)
                return dialogue.heard(call, f"It failed: {name(error)}")
            found = self._store.add_evidence(self._thread, drafts[:MOST_FOUND])
            step["detail"] = f"{count(len(found), 'piece')} of evidence"
        told = f"Looked up: {listed([f'[{e.id}]' for e in found])}." if found else (
            "Nothing was found. Ask for a time, a channel, a name or a thing in pictures, in one plain question."
        )  # fmt: skip
        return dialogue.heard(call, told, [e.id for e in found])


def second_look(inv: Investigation) -> str:
    """What another detector makes of a source, as a line that says how the answer came about."""
    voice = VOICES[inv.kind]
    said = voice.headline(inv) if any(f.abnormal for f in inv.findings) else voice.nothing(inv)
    return f"_A second look with {name(inv.tool)}: {said.replace('**', '')}_"


def _worst(inv: Investigation) -> list[Evidence]:
    """The survey and the worst findings."""
    return [inv.survey, *[f.evidence for f in inv.findings if f.abnormal][:MOST_TOLD]]


def _stopped_reading(source: str) -> str:
    """What a closer look that a person stopped has left undone."""
    return f"You stopped the closer look at `{source}`; what was read of it is kept: say “refine” to go on."


def _stopped(unjudged: list[str]) -> str:
    """What a turn that a person stopped has left undone.

    >>> _stopped(["pump.csv", "tiles"])
    'You stopped this before `pump.csv` and 1 more were judged; ask again to go on.'
    """
    more = f" and {len(unjudged) - 1} more were" if len(unjudged) > 1 else " was"
    return f"You stopped this before `{unjudged[0]}`{more} judged; ask again to go on."
