"""A language model plans: it is shown the question, the sources, the rules and the evidence, with detectors and look-ups as its tools.

What it calls comes on top of what fixed rules run (`agent.planner`), so no source is left unjudged whatever it says. Every tool only
reads files of the chat. A call that cannot be run goes back to the model with the reason, at most `REPAIRS` times. Text out of files
stands fenced in the prompt, never in a tool's description, and nothing but a call in the model's own answer is ever run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from agent.narration.rows import evidence_rows, fenced
from agent.planner import ToolCall, choose, hindrance
from agent.telling.words import number
from core.detector import DetectorSpec
from core.errors import BadInput, ToolRetry, UserError
from core.evidence import Evidence
from core.progress import Sink, step, watching
from models.chat.failures import one_line, reason
from models.chat.timing import speed
from prompts.loader import render
from readers.open import Source
from tools.catalog import catalogue

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.messages import AIMessageChunk, BaseMessage

LOOK_UP = "look_up"
MOST_CALLS = 6
"""Calls run for one question."""
MOST_REQUESTS = 5
"""Times the model is asked for one question, repairs included."""
REPAIRS = 2
BUDGET_S = 120.0
"""Seconds for all requests of one question together; the tools have their own budget."""
MOST_SOURCES, MOST_CHANNELS = 30, 20
_JUDGED = "Fixed rules ran this before; its evidence is in the list."
LONGEST_QUESTION, LONGEST_REASON, LONGEST_REPLY = 200, 200, 8_000
"""Characters of a look-up's question, of a reason, of one reply."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One call as the model wrote it, the call it stands for (None: not run) and what the model is told; empty until it has run."""

    id: str
    name: str
    args: Mapping[str, Any]
    call: ToolCall | None = None
    answer: str = ""


@dataclass(frozen=True, kw_only=True)
class Dialogue:
    """What a model asked for in one turn: calls by request, evidence ids they `found`, and how the last request went (`note`).

    `failure` says why fixed rules plan alone from here; `lost` that the model cannot be had at all.
    """

    rounds: tuple[tuple[Asked, ...], ...] = ()
    found: tuple[str, ...] = ()
    requests: int = 0
    repairs: int = 0
    spent_s: float = 0.0
    closed: bool = False
    note: str = ""
    failure: str = ""
    lost: bool = False

    @property
    def asked(self) -> list[Asked]:
        """Every call, in order."""
        return [one for calls in self.rounds for one in calls]

    @property
    def calls(self) -> list[ToolCall]:
        """What can be run of it."""
        return [one.call for one in self.asked if one.call is not None]

    @property
    def pending(self) -> list[ToolCall]:
        """What has not been run yet, look-ups last: they read what detectors keep."""
        open_calls = [one.call for one in self.asked if one.call is not None and not one.answer]
        return sorted(open_calls, key=lambda call: bool(call.question))

    def heard(self, call: ToolCall, answer: str, found: Sequence[str] = ()) -> Dialogue:
        """The dialogue after a call was run: every open call for the same is answered."""
        rounds = tuple(
            tuple(
                replace(one, answer=answer) if one.call is not None and not one.answer and _same(one.call, call) else one
                for one in calls
            )
            for calls in self.rounds
        )
        return replace(self, rounds=rounds, found=tuple(dict.fromkeys((*self.found, *found))))

    def to_json(self) -> dict[str, Any]:
        """Plain values for the chat's state."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Dialogue:
        """Rebuild what `to_json` gave.

        >>> dialogue = Dialogue(rounds=((Asked(id="c1", name="rarity", args={}, call=ToolCall(detector="rarity", source=0, reason="")),),))
        >>> Dialogue.from_json(json.loads(json.dumps(dialogue.to_json()))) == dialogue
        True
        """
        values = dict(data or {})
        values["rounds"] = tuple(
            tuple(Asked(**{**one, "call": ToolCall(**one["call"]) if one["call"] else None}) for one in calls)
            for calls in values.get("rounds", ())
        )
        values["found"] = tuple(values.get("found", ()))
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class Desk:
    """All that a plan may rest on. `fixed` are the calls fixed rules are about to run, `judged` those they ran before."""

    question: str
    sources: Sequence[Source]
    normals: Sequence[Source] = ()
    fixed: Sequence[ToolCall] = ()
    judged: Sequence[ToolCall] = ()
    evidence: Sequence[Evidence] = ()
    rules: Sequence[str] = ()
    earlier: Sequence[str] = ()

    def tools(self) -> list[dict[str, Any]]:
        """The detectors that can judge some source, and the look-up, in OpenAI's form; nothing in them comes out of a file."""
        judgeable = [i for i, s in enumerate(self.sources[:MOST_SOURCES]) if choose(s, i, self.normals) is not None]
        found = []
        for row in catalogue().values():
            fits = [i for i in judgeable if not hindrance(row, self.sources[i], self.normals)]
            if fits:
                found.append(_tool(row.name, described(row), fits, {}))
        question = {"type": "string", "description": "one plain English question"}
        if judgeable:
            about = "Looks one thing up in a source, without running a detector. Takes seconds."
            found.append(_tool(LOOK_UP, about, judgeable, {"question": question}))
        return found

    def messages(self, dialogue: Dialogue) -> list[BaseMessage]:
        """What the model is sent: the task, the desk as it is now, then its own calls with what came of them."""
        from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

        found: list[BaseMessage] = [SystemMessage(render("plan", most_calls=MOST_CALLS)), HumanMessage(self.text())]
        for calls in dialogue.rounds:
            found.append(AIMessage("", tool_calls=[{"id": one.id, "name": one.name, "args": dict(one.args)} for one in calls]))
            found += [ToolMessage(one.answer, tool_call_id=one.id, name=one.name) for one in calls]
        return found

    def text(self) -> str:
        """The desk in words."""
        return render(
            "plan_question", question=_line(self.question), earlier=[_line(q) for q in self.earlier],
            sources=list(self._rows(self.sources)), normals=[fenced(n.name) + f", {n.kind}" for n in self.normals[:MOST_SOURCES]],
            rules=[fenced(rule) for rule in self.rules], evidence=evidence_rows(self.evidence),
            fixed=[f"{call.detector} on {ref(call.source)}, because {call.reason}" for call in self.fixed[:MOST_SOURCES]],
        )  # fmt: skip

    def _rows(self, sources: Sequence[Source]) -> Iterator[str]:
        yield from (f"{ref(i)}: {describe(source)}" for i, source in enumerate(sources[:MOST_SOURCES]))
        if len(sources) > MOST_SOURCES:
            yield f"({len(sources) - MOST_SOURCES} more are not shown)"


def ref(index: int) -> str:
    """How the model names a source, by its place in the chat."""
    return f"S{index + 1}"


def described(row: DetectorSpec) -> str:
    """A catalogue row as the description of a tool."""
    normals = " Needs normal references." if row.needs_fit else ""
    return f"{row.use} Avoid it when {row.avoid_when}. Takes {row.cost}.{normals}"


def describe(source: Source) -> str:
    """Kind, size and columns of a source; every text out of the file is fenced.

    >>> facts = {"rows": 300, "channels": ["flow", "t»1"], "units": ["m3/h", ""], "duration_s": 299.0}
    >>> describe(Source(name="a.csv", kind="series", samples=(), sha256="", summary=facts))
    '«a.csv», series, 300 rows, 299 s, channels «flow», «t›1»'
    """
    facts: Any = source.summary
    parts = [fenced(source.name), source.kind]
    if source.kind in ("image", "points"):
        parts.append(f"{len(source.samples)} pictures" if source.kind == "image" else f"{len(source.samples)} scans")
        parts += [f"{size['width']} × {size['height']} pixels" for size in facts.get("sizes", ())[:1]]
        return ", ".join(parts)
    parts += [f"{facts['rows']:,} rows"] if "rows" in facts else []
    parts += [f"{number(facts['duration_s'])} s"] if facts.get("duration_s") is not None else []
    parts += [f"{facts['width']} × {facts['height']} pixels, {number(facts['fps'])} frames/s"] if "fps" in facts else []
    for word, names in (("channels", facts.get("channels", ())), ("attributes", facts.get("attributes", ()))):
        if names:
            more = f" and {len(names) - MOST_CHANNELS} more" if len(names) > MOST_CHANNELS else ""
            parts.append(f"{word} " + ", ".join(map(fenced, names[:MOST_CHANNELS])) + more)
    parts += (
        [f"columns: {', '.join(f'{role} {fenced(column)}' for role, column in facts['roles'].items())}"]
        if facts.get("roles")
        else []
    )
    return ", ".join(parts)


def ask(model: Callable[[], BaseChatModel], desk: Desk, dialogue: Dialogue, heed: Sink) -> Dialogue:
    """One request to the model that `model` opens; what goes wrong with it is in the dialogue's `failure`, never raised."""
    started = time.monotonic()
    tools = desk.tools()
    try:
        with watching(heed, budget_s=max(0.0, BUDGET_S - dialogue.spent_s)):
            said = _reply(model().bind_tools(tools), desk.messages(dialogue))
    except Exception as error:  # a server, a driver or a library: whatever it is, the chat goes on without the model
        why = reason(error)
        lost = isinstance(error, UserError) and not isinstance(error, BadInput)  # too long to plan may be short enough to answer
        return replace(dialogue, requests=dialogue.requests + 1, closed=True, failure=why, note=why, lost=lost)
    made = replace(dialogue, requests=dialogue.requests + 1, spent_s=dialogue.spent_s + time.monotonic() - started)
    wrote = [(call["name"] or "", call["args"]) for call in (*said.tool_calls, *said.invalid_tool_calls)]
    made = _taken(wrote, tools, desk, made) if wrote else _ended(said.text, made)
    pace = speed(said.response_metadata.get("timing") or {})
    return replace(made, note=f"{made.note}; {pace}" if pace else made.note)


def _taken(wrote: Sequence[tuple[str, Any]], tools: Sequence[Mapping[str, Any]], desk: Desk, dialogue: Dialogue) -> Dialogue:
    """The dialogue with the calls of one reply; those that cannot be run are answered with the reason."""
    asked: list[Asked] = []
    problems: list[str] = []
    for place, (tool, args) in enumerate(wrote[: 2 * MOST_CALLS], start=1):  # of a flood of calls the rest is not even refused
        one = Asked(id=f"c{dialogue.requests}_{place}", name=tool or "unnamed", args=args if isinstance(args, dict) else {})
        try:
            call = checked(tool, args, tools, desk, replace(dialogue, rounds=(*dialogue.rounds, tuple(asked))))
        except ToolRetry as problem:
            problems.append(str(problem))
            one = replace(one, answer=f"Not run: {problem}")
        else:
            one = replace(one, call=call, answer=_JUDGED if call in desk.judged else "")
        asked.append(one)
    made = replace(dialogue, rounds=(*dialogue.rounds, tuple(asked)), repairs=dialogue.repairs + bool(problems))
    failure = problems[0].rstrip(".") if made.repairs > REPAIRS else ""
    closed = bool(failure) or made.requests >= MOST_REQUESTS or len(made.calls) >= MOST_CALLS
    note = "; ".join([*(_told(one, desk) for one in asked if one.call), *(f"not run: {problem}" for problem in problems)])
    return replace(made, closed=closed, failure=failure, note=note)


def _ended(text: str, dialogue: Dialogue) -> Dialogue:
    """The dialogue after a reply without a call: the model is content, or did not understand what was asked of it."""
    content = bool(dialogue.calls) or text.lower().lstrip(" \n`'\"*").startswith("done")
    failure = "" if content else "it called no tool that can be run"
    return replace(dialogue, closed=True, failure=failure, note=failure or "nothing more is needed")


def checked(name: str, args: Any, tools: Sequence[Mapping[str, Any]], desk: Desk, dialogue: Dialogue) -> ToolCall:
    """The call that a model's tool call stands for.

    Raises:
        ToolRetry: no such tool, arguments that do not fit, a source that the detector cannot judge, a call made before, or too many.
    """
    from models.chat.tool_calls import RawCall, read_calls

    places = {ref(i): i for i in range(min(len(desk.sources), MOST_SOURCES))}
    place = places.get(str(args.get("source"))) if isinstance(args, dict) else None
    if name in catalogue() and place is not None:
        why = hindrance(catalogue()[name], desk.sources[place], desk.normals)
        if why:
            raise ToolRetry(f"{name} cannot judge {ref(place)}: {why}.")
    raw = RawCall(name=name, arguments=args if isinstance(args, str) else json.dumps(args))
    given = read_calls([raw], tools)[0]["args"]
    question = one_line(given.get("question", ""), longest=LONGEST_QUESTION)
    if name == LOOK_UP and not question:
        raise ToolRetry("tool 'look_up': the question is empty.")
    why = one_line(given.get("reason", ""), longest=LONGEST_REASON)
    call = ToolCall(detector=name, source=places[given["source"]], reason=why, question=question)
    if any(_same(call, before) for before in dialogue.calls):
        raise ToolRetry(f"{name} on {ref(call.source)} was called before; its evidence is in the list.")
    if len(dialogue.calls) >= MOST_CALLS:
        raise ToolRetry(f"{MOST_CALLS} calls have been made, and no more are run for one question.")
    same = next((fixed for fixed in (*desk.fixed, *desk.judged) if _same(call, fixed)), None)
    return same or call  # fixed rules' own reason stays with what they run


def _tool(name: str, about: str, places: Sequence[int], more: Mapping[str, Any]) -> dict[str, Any]:
    """A tool in OpenAI's form whose `source` is one of `places`."""
    properties = {
        "source": {"type": "string", "enum": [ref(i) for i in places]}, **more,
        "reason": {"type": "string", "description": "why, in a few words"},
    }  # fmt: skip
    parameters = {"type": "object", "properties": properties, "required": ["source", *more], "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": about, "parameters": parameters}}


def _reply(model: Any, messages: Sequence[BaseMessage]) -> AIMessageChunk:
    """Stream one reply to its end, or to where it is too long to be a plan."""
    whole: AIMessageChunk | None = None
    for chunk in model.stream(messages):
        whole = chunk if whole is None else whole + chunk
        assert whole is not None
        step("characters written", len(whole.text))
        if len(whole.text) > LONGEST_REPLY:
            break
    assert whole is not None, "a chat model that ends without an answer raises"
    return whole


def _same(one: ToolCall, other: ToolCall) -> bool:
    return (one.detector, one.source, one.question.lower()) == (other.detector, other.source, other.question.lower())


def _told(one: Asked, desk: Desk) -> str:
    """A call for the step display, with the model's own reason."""
    assert one.call is not None
    why = one_line(str(one.args.get("reason", "")), longest=LONGEST_REASON)
    asked = f" “{one.call.question}”" if one.call.question else ""
    return f"{one.name} on {desk.sources[one.call.source].name}{asked}{f' ({why})' if why else ''}"


def _line(text: str) -> str:
    """What the person wrote, on one line, unable to open or close a fence."""
    return " ".join(text.replace("«", "‹").replace("»", "›").replace("`", "'").split())
