"""The conversation as a LangGraph: ingest → rule → plan ⇄ act → answer → check → narrate, checkpointed to SQLite after every node.

Nodes keep plain values in the state and everything heavy on the workbench, which is rebuilt from the store when a killed process
resumes. `plan` and `act` (`agent.acting`) run what is missing, one thing at a time; `check` removes what the evidence
does not support. `rule` reads a definition and `confirm` waits (an interrupt) until the person has said yes to how it was read.
`narrate` lets the chat's language model, when it has one, put the checked answer into its own words, which are checked again; what the
evidence decides (verdict, anomalies) is decided before it speaks.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from agent.accounts.account import Account, stories
from agent.accounts.accountant import Accountant
from agent.acting import Acting
from agent.answer import Draft, Material, write
from agent.evidence_store import EvidenceStore
from agent.investigation import Investigation
from agent.lookups import look_up, look_up_lost, look_up_together
from agent.model_planner import Dialogue
from agent.narration.changes import told_clip
from agent.narration.narrator import Narration
from agent.narration.scene import Scene, shown
from agent.narration.sight import told_photo
from agent.planner import hindrance
from agent.question import Request
from agent.reading.closer import closer_look
from agent.reading.detectors import OWN_CHOICE, named_detector
from agent.rulings.commands import NORMAL_HERE, POINTS, Command, carry_out, read_command, read_hide, unclear
from agent.rulings.proposal import Proposal, pointed_at, propose, understood
from agent.rulings.rulebook import Rulebook, Ruled, still_abnormal
from agent.second_opinion import SecondOpinion
from agent.severity_judging import SeverityJudge
from agent.state import KEPT_REQUESTS, TALK, ChatState
from agent.steps import Steps
from agent.verify import cited_ids, keep_supported
from agent.workbench import Workbench, describe_source
from core.errors import BudgetExceeded, TelltaleError, UserError
from core.evidence import Anomaly, Evidence, Whole
from core.progress import watching
from core.samples import VideoClip
from tools.catalog import catalogue
from tools.events.wording import short_name

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph

    from agent.narration.voice import Voice
    from agent.rules.compile import Reading
    from readers.open import Source

log = logging.getLogger(__name__)


class Conversation:
    """The nodes of the graph over one chat's workbench."""

    def __init__(self, store: EvidenceStore, bench: Workbench, thread: str, voice: Voice) -> None:
        self._store, self._bench, self._thread, self.voice = store, bench, thread, voice
        self.rulebook, self.steps = Rulebook(store, thread, looker=voice.looker), Steps()
        self._acting = Acting(store, bench, thread, voice=voice, rulebook=self.rulebook, steps=self.steps)
        self._accountant = Accountant(store, bench, thread, self.steps)
        bench.judge = SeverityJudge(store, voice, self.steps)
        self._second = SecondOpinion(store, voice, self.steps, thread)

    def compile(self, checkpointer: BaseCheckpointSaver[Any]) -> CompiledStateGraph[Any, Any, Any, Any]:
        """Wire the nodes."""
        from langgraph.graph import END, START, StateGraph

        graph = StateGraph(ChatState)
        acting = self._acting
        for node in (self.ingest, self.rule, self.confirm, acting.plan, acting.act, self.answer, self.check, self.narrate):
            graph.add_node(node.__name__, node)
        graph.add_edge(START, "ingest")
        graph.add_edge("ingest", "rule")
        graph.add_conditional_edges("rule", lambda state: "confirm" if state["proposal"] else "plan", ["confirm", "plan"])
        graph.add_conditional_edges(
            "confirm",
            lambda s: "ingest" if s["unconfirmed"] else "confirm" if s["proposal"] else "plan",
            ["ingest", "confirm", "plan"],
        )
        graph.add_conditional_edges("plan", lambda state: "act" if state["calls"] else "answer", ["act", "answer"])
        graph.add_edge("act", "plan")
        graph.add_edge("answer", "check")
        graph.add_edge("check", "narrate")
        graph.add_edge("narrate", END)
        return graph.compile(checkpointer=checkpointer)

    def ingest(self, state: ChatState) -> ChatState:
        """Open what is new and understand the question."""
        from agent.grammar import understand

        self._bench.roles = state.get("roles") or None
        refused: list[list[str]] = []
        if not state.get("files"):
            notices = self._bench.refresh()
        else:
            with self.steps.step("read", f"Reading {len(state['files'])} file{'s' * (len(state['files']) != 1)}") as step:
                notices = self._bench.refresh()
                sources = self._bench.sources()
                step["detail"] = "; ".join(f"{s.name} ({s.kind})" for s in sources) or "nothing readable"
                refused = [list(pair) for pair in self._bench_refusals(len(state["files"]))]
        previous = [Request.from_json(r) for r in state.get("previous", [])]
        context = self._bench.context(previous)
        if state.get("files") and previous:
            known = {inv.source for inv in self._bench.investigations()}
            context = replace(context, fresh=tuple(s.name for s in self._bench.sources() if s.name not in known) if known else ())
        had = self._bench.chosen()
        closer = closer_look(state["question"])
        question, hindered = self._detector(state["question"] if closer is None else closer.rest)
        changed = [call.source for call in self._bench.chosen() if call not in had]
        request = understand(question, context)
        return {
            "request": request.to_json(), "previous": [*state.get("previous", []), request.to_json()][-KEPT_REQUESTS:],
            "wanted": self._bench.wanted,
            "fresh": [self._bench.sources()[index].name for index in changed],
            "closer": closer is not None, "looked": [],
            "calls": [], "planning": {}, "looks": [], "tools": [], "failures": hindered, "refused": refused, "removed": [],
            "notices": [asdict(notice) for notice in notices],
        }  # fmt: skip

    def _detector(self, message: str) -> tuple[str, list[str]]:
        """Heed a detector that a message names: what else it asks, and a sentence where that detector can judge nothing here."""
        named = named_detector(message, catalogue())
        if named is None:
            return message, []
        if named.name == OWN_CHOICE:
            self._bench.wanted = ""
            return named.rest, []
        spec, normals = catalogue()[named.name], self._bench.sources("normal")
        hindrances = {source.kind: hindrance(spec, source, normals) for source in self._bench.sources()}
        if hindrances and all(hindrances.values()):
            why = hindrances.get(spec.kind) or next(iter(hindrances.values()))
            return named.rest, [f"I could not use `{named.name}`: {why}."]
        self._bench.wanted = named.name
        return named.rest, []

    def _bench_refusals(self, newest: int) -> list[tuple[str, str]]:
        """What could not be read of the `newest` uploads (names are as shown, which need not be the names on disk)."""
        uploads = self._store.uploads(self._thread)[-newest:]
        batches: dict[int, list[Any]] = {}
        for upload in uploads:
            batches.setdefault(upload.batch, []).append(upload.path)
        return [pair for paths in batches.values() for pair in self._bench.refused(paths)]

    def rule(self, state: ChatState) -> ChatState:
        """Do what a message asks of the rules; a definition becomes a proposal."""
        said = [state["unconfirmed"]] if state.get("unconfirmed") else []
        plain: ChatState = {"proposal": None, "unconfirmed": "", "ruling": said, "ruled": False, "settled": False}
        for text in state.get("rules") or []:
            self._give(text)
        names = [source.name for source in self._bench.sources()]
        if (command := read_command(state["question"])) is not None:
            return {**plain, "settled": True, "ruling": [*said, *carry_out(command, self.rulebook.kept, names)]}
        request = Request.from_json(state["request"])
        if request.intents == ("undo",):
            return {**plain, "settled": True, "ruling": [*said, *carry_out(Command(key="undo"), self.rulebook.kept, names)]}
        like = self._called_normal(state["question"], request)
        if like is None and "define_rule" not in request.intents and not _defines(request):
            if request.way == "rule":
                return {**plain, "settled": True, "ruling": [*said, *unclear(self.rulebook.kept)]}
            return plain
        alone = request.rule is None or set(request.intents) <= TALK
        text = state["question"] if alone or request.rule is None else request.rule.text
        with self.steps.step("rule", "Reading the rule") as step:
            try:
                proposal = self._propose(like or text)
            except UserError as error:
                step.update(detail=str(error), ok=False)
                return {**plain, "settled": set(request.intents) <= TALK, "ruling": [*said, quiet(str(error))]}
            step["detail"] = proposal.lines[0] if proposal.lines else ""
        return {**plain, "proposal": asdict(proposal)}

    def confirm(self, state: ChatState) -> ChatState:
        """Wait for a yes; then the rule is in force."""
        from langgraph.types import interrupt

        proposal = Proposal(**state["proposal"] or {})
        reply = str(interrupt(state["proposal"]))
        outcome, text = understood(reply)
        settled = set(Request.from_json(state["request"]).intents) <= TALK
        done: ChatState = {"proposal": None, "unconfirmed": "", "ruled": False, "settled": settled}
        if outcome == "yes":
            rule = self.rulebook.kept.add(proposal.reading(), compiled_by=proposal.by)
            return {
                **done,
                "ruled": True,
                "ruling": [f"Rule {rule.id} is in force {rule.scope.words}: {quiet(rule.text)}. Say “undo” to take it back."],
            }
        if outcome == "no":
            return {**done, "ruling": ["Dropped; nothing has changed."]}
        if outcome == "change":
            try:
                return {**done, "proposal": asdict(self._propose(text))}
            except UserError as error:
                return {**done, "ruling": [quiet(str(error)), "Nothing has changed."]}
        return {
            **done,
            "unconfirmed": f"The rule “{quiet(proposal.text)}” is not in force, for it was not confirmed.",
            "question": reply,
        }

    def _propose(self, what: str | Reading) -> Proposal:
        """The proposal of a definition in words, or of one made from a finding.

        Raises:
            BadInput: nothing in it can be measured.
        """
        sources, normals = self._bench.sources(), self._bench.sources("normal")
        infos = [describe_source(source) for source in sources]
        model = self.voice.reader()

        def preview(reading: Reading) -> list[str]:
            if isinstance(what, str):
                return self.rulebook.preview(reading, sources, normals)
            return self.rulebook.replay(reading, self._bench.investigations())

        return propose(what, infos, preview, self.rulebook.kept.rules(), model=model)

    def _give(self, text: str) -> None:
        """Put a definition in force in this chat alone.

        Raises:
            BadInput: nothing in it can be measured.
        """
        from agent.rules.compile import compile_rule

        had = self.rulebook.given
        if text not in {rule.text for rule in had}:
            reading = compile_rule(text, sources=[describe_source(source) for source in self._bench.sources()])
            self.rulebook.given = (*had, reading.rule(f"R0{len(had) + 1}"))

    def _called_normal(self, question: str, request: Request) -> Reading | None:
        """The normal rule meant by "that is normal here" or "hide this, it is our backup tool".

        It is made from the finding of the answer before or the piece of evidence that the message points at, or from the one program of a
        log that it names.
        """
        from agent.rules.like_finding import normal_like, normal_program
        from agent.rulings.examples import example_of

        match, hide = NORMAL_HERE.match(" ".join(question.split())), read_hide(question)
        pointer, said = (match["x"], "") if match is not None else hide or ("", "")
        turns = self._store.turns(self._thread)
        if not pointer or not turns:
            return None
        if hide is not None and not POINTS.fullmatch(pointer):
            source = next((s for s in self._bench.sources() if s.kind == "events"), None)
            whole = source is not None and len({short_name(e).lower() for e in request.entities}) == 1
            program = short_name(request.entities[0]) if request.entities else ""
            named = whole and program.lower().startswith(short_name(pointer).lower().removesuffix(".exe"))
            return normal_program(program, source.name, said) if named and source is not None else None
        told = [Anomaly.from_json(a) for turn in reversed(turns) for a in turn[2]["anomalies"] if not a.get("rule_id")]
        latest = [Anomaly.from_json(a) for a in turns[-1][2]["anomalies"] if not a.get("rule_id")]
        # a graph or some rows may have been looked at since the finding was told
        found = pointed_at(pointer.lower(), latest or told[:1] if hide is not None else latest)
        kinds = {inv.source: inv.kind for inv in self._bench.investigations()}
        if found is None or found.source not in kinds:
            return None
        evidence = {e.id: e for e in self._store.evidence(self._thread)}
        clip = next((s.samples[0] for s in self._bench.sources() if s.name == found.source and s.kind == "video"), None)
        size = (clip.height, clip.width) if isinstance(clip, VideoClip) else None
        example = example_of(found, self._bench.investigations(), self._bench.sources(), self._store)
        reading = normal_like(found, evidence[found.evidence[0]], kinds[found.source], size=size, example=example)  # type: ignore[arg-type]
        return replace(reading, text=f"{reading.text}: {said}"[:200]) if said else reading

    def answer(self, state: ChatState) -> ChatState:
        """Hold the rules against what was found, look up what the question names, then write the draft."""
        request = Request.from_json(state["request"])
        sources = self._bench.sources()
        talk = set(request.intents) <= TALK or state["settled"]
        if not talk:
            self._bench.have_judged()
        ruled = self._ruled()
        material = Material(
            request=request, investigations=ruled.investigations, fresh=frozenset(state["fresh"]),
            lookups=[] if talk else self._look_up(request, ruled.investigations), remarks=self._remarks(state, request),
            ruled=[] if talk else ruled.lines, emptied=bool(ruled.lines) and not ruled.investigations,
            account=lambda inv, finding: self._accountant.of(inv, finding, ruled.investigations, follow=True),
        )  # fmt: skip
        draft = Draft(remarks=(), lines=()) if state["settled"] else write(material)
        told = [*ruled.lines, *ruled.quiet, *still_abnormal(ruled)] if state["ruled"] and sources else []
        cited = cited_ids("\n".join(draft.lines))
        opinions = [f"_{one.facts['said']}_ [{one.id}]" for one in self._second.on(ruled.investigations, sources, cited)]
        return {
            "remarks": [*state["ruling"], *draft.remarks], "draft": [*told, *draft.lines, *opinions, *state.get("looks", [])],
            "shown": list(draft.shown),
            "anomalies": [a.to_json() for a in ruled.anomalies],
            "renewed": {inv.source: [asdict(panel) for panel in inv.panels] for inv in ruled.investigations if inv.hidden},
        }  # fmt: skip

    def _ruled(self) -> Ruled:
        """What the rules leave of the findings, and add to them."""
        investigations, sources = self._bench.investigations(), self._bench.sources()
        rules_for = self.rulebook.rules_for
        if not any(map(rules_for, sources)) and not any(map(rules_for, investigations)):
            return Ruled(investigations=tuple(investigations))
        with self.steps.step("rules", "Holding your rules against the files") as step:
            ruled = self.rulebook.apply(investigations, sources, self._bench.sources("normal"))
            step["detail"] = f"{len(ruled.added)} found by rules"
        return ruled

    def _remarks(self, state: ChatState, request: Request) -> list[Evidence]:
        """How the question was read and what could not be read or judged, kept as evidence so that answers can cite it."""
        from agent.grammar import NO_FILES

        said = [("question", state["question"], note) for note in request.notes if note != NO_FILES]
        talk = set(request.intents) <= TALK  # small talk needs no files, but that a file has changed is said once and must be
        asked = set(request.sources) | {s.source for s in request.samples} | {t.source for t in request.times}
        said += [
            ("reader", ", ".join(notice["names"][:5]), notice["sentence"])
            for notice in state.get("notices", [])
            if notice["fate"] == "changed" or not (talk or (asked and not asked & set(notice["names"])))
        ]
        if set(request.intents) - TALK:
            said += [("reader", name, message if name in message else f"{name}: {message}") for name, message in state["refused"]]
            fresh = [source for source in self._bench.sources() if source.name in state["fresh"]]
            said += [("reading", source.name, f"{source.name}: {note}") for source in fresh[:5] for note in source.notes[:3]]
            said += [("toolbox", self._thread, failure) for failure in state["failures"]]
            said += [("planner", self._thread, sentence) for sentence in self._bench.unjudged()]
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

    def _look_up(self, request: Request, left: Sequence[Investigation]) -> list[Evidence]:
        """Evidence for the times, channels, words and concepts a question names; `left` is what the rules left of the findings."""
        investigations = {inv.source: inv for inv in left}
        together = look_up_together(request, self._bench.sources(), investigations)
        found = [*together.evidence]
        found += [
            evidence
            for source in self._bench.sources()
            if source.name not in together.told and (not request.sources or source.name in request.sources)
            for evidence in self._looked_up(request, source, investigations.get(source.name))
        ]
        found += [evidence for inv in self._bench.kept() for evidence in look_up_lost(request, inv)]
        return self._store.add_evidence(self._thread, found)

    def _looked_up(self, request: Request, source: Source, inv: Investigation | None) -> list[Evidence]:
        """What one source says to a question; following people in a video or cutting it takes a while: it is shown and can be stopped."""
        from agent.reading.sights import asked_of

        asked = asked_of(request) if source.kind == "video" else None
        if not request.cut and (asked is None or not asked.beyond):
            return list(look_up(request, source, inv, self._store))
        key, title = ("cut", f"Cutting {source.name}") if request.cut else ("follow", f"Following who does what in {source.name}")
        with self.steps.step(f"{key}:{source.name}", title) as step:
            try:
                with watching(self.steps.heed):
                    return list(look_up(request, source, inv, self._store))
            except TelltaleError as error:
                step.update(detail=str(error), ok=False)
        return []

    def check(self, state: ChatState) -> ChatState:
        """Keep the lines whose claims the evidence supports; fixed rules cannot write better ones, so the others are removed."""
        evidence = {e.id: e for e in self._store.evidence(self._thread)}
        kept, failed = keep_supported(state["draft"], evidence)
        for problem in failed:
            log.warning("removed from the answer: %r (%s)", problem.text, "; ".join(problem.problems))
        # How it was done and read (in italics) cites the survey too, which tells nothing of what was asked.
        grounds = [i for i in cited_ids("\n".join(line for line in kept if not line.startswith("_"))) if i in evidence]
        accounts = self._accountant.told(
            [Anomaly.from_json(a) for a in state["anomalies"]], self._bench.investigations(), grounds
        )
        return {
            "draft": kept, "removed": [f.text for f in failed], "grounds": grounds, "views": [], "writer": "embedded",
            "accounts": [account.to_json() for account in accounts],
        }  # fmt: skip

    def narrate(self, state: ChatState) -> ChatState:
        """Let the language model say it, when there is one and there is something to say; what it says is checked."""
        planned = Dialogue.from_json(state.get("planning"))
        seen = list(dict.fromkeys([*state["grounds"], *planned.found]))
        if not self.voice.speaks or not seen:
            return {}
        evidence = {e.id: e for e in self._store.evidence(self._thread)}
        said = [line for line in state["draft"] if line.startswith("_")]
        relations = self._relations(state["grounds"])
        around = stories([Account.from_json(account) for account in state["accounts"]], state["draft"])
        facts = dict.fromkeys([*seen, *(i for statement in around for i in statement.evidence)])
        scene = Scene(
            question=state["question"], relations=[r for r in relations if r.id not in facts], evidence=[evidence[i] for i in facts],
            accounts=[statement.text for statement in around],
            draft=[line for line in state["draft"] if not line.startswith("_")],
            panels=shown(self._bench.investigations(), evidence, list(dict.fromkeys([*state["shown"], *seen]))),
            rules=self.rulebook.texts(self._bench.sources()),
            history=[(question, str(reply["answer"])) for question, _, reply in self._store.turns(self._thread)],
            folder=self._store.home, photo=lambda: told_photo(self._bench.investigations(), self._bench.sources(), facts),
            clip=lambda: told_clip(self._bench.investigations(), self._bench.sources(), facts),
        )  # fmt: skip
        with self.steps.step("narrate", f"Writing the answer with {self.voice.name}") as step, watching(self.steps.heed):
            try:
                self.steps.heed("characters written", 0, 0)
                narration = Narration(failure=planned.failure) if planned.lost else self.voice.narrate(
                    scene, lambda n: self.steps.progress("narrate", "characters written", n, 0)
                )  # fmt: skip
            except BudgetExceeded as error:  # stopped by a person, or the model took longer or wrote more than it may
                narration = Narration(failure="you stopped it" if self.steps.cancelled.is_set() else str(error).rstrip("."))
            step.update(detail=narration.failure or narration.speed, ok=not narration.failure)
        removed = [*state["removed"], *(j.text for j in narration.removed)]
        if narration.failure:
            note = quiet(f"{self.voice.name} did not answer ({narration.failure}), so fixed rules wrote this.")
            return {"draft": [*state["draft"], f"_{note}_"], "removed": removed}
        cited = cited_ids("\n".join(narration.lines))
        return {
            "draft": [*narration.lines, *said], "views": list(narration.views), "removed": removed, "writer": self.voice.name,
            "shown": [*state["shown"], *(i for i in planned.found if i in cited)],
        }  # fmt: skip

    def _relations(self, grounds: Sequence[str]) -> list[Evidence]:
        """The relation log around the findings of every video that the answer tells of."""
        told = [inv for inv in self._bench.investigations() if set(grounds) & {e.id for e in inv.evidence}]
        return [relation for inv in told for relation in self._accountant.relations(inv) or ()]


def _defines(request: Request) -> bool:
    """True when no question was recognised in a message that says in so many words what is abnormal or normal."""
    from agent.rules.sentences import states_verdict

    return request.decided_by in ("follow-up", "default") and states_verdict(request.question)


_QUIET = str.maketrans({"[": "(", "]": ")", "<": "‹", ">": "›", "*": "∗", "\n": " "})


def quiet(sentence: str) -> str:
    """A sentence with file names in it, unable to become markup or a citation.

    >>> quiet("**b** [x](javascript:y) [E1].csv cannot be read")
    '∗∗b∗∗ (x)(javascript:y) (E1).csv cannot be read'
    """
    return sentence.translate(_QUIET)
