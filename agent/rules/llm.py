"""Compiling a definition by a language model into the same validated schema that fixed rules fill.

The model answers with JSON; what does not fit the schema, or holds a number that the sentence does not, goes back to it once with the
reasons. Its answer is only ever data for the evaluators: it can call no tool, and the definition is fenced as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from agent.question import SourceInfo
from agent.rules.admission import check_text
from agent.rules.compile import Reading
from agent.rules.conditions import ConceptCondition, Condition, Definition, FindingCondition
from agent.rules.numbers import find_hours, find_lasting, find_per, find_within, plain_numbers
from agent.rules.read_concept import is_thing
from core.errors import BadInput, ModelOutputError
from core.rules import Scope
from prompts.loader import render

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage

MOST_CHANNELS = 80
_NOT_FROM_TEXT = frozenset({"severity", "count", "for_s", "within_s", "seconds", "from_s", "to_s", "days"})
"""Numbers that are worked out from words ("a minute", "critical", "more than 20") and checked apart."""


def compile_by_model(text: str, model: BaseChatModel, *, sources: Sequence[SourceInfo] = ()) -> Reading:
    """Compile a definition with a chat model, with one round of repair.

    Raises:
        BadInput: the text is no definition, or the model says why nothing in it can be measured.
        ModelOutputError: the model's second answer cannot be used either.
    """
    line = check_text(text)
    messages = messages_for(line, sources)
    problems: list[str] = []
    for _ in range(2):
        answer = _said(model.invoke(messages))
        try:
            return Reading(definition=read_answer(answer, line), scope=_scope(line, sources), text=line)
        except ModelOutputError as error:
            problems = [p for p in str(error).split("\n") if p]
            messages = [*messages, _assistant(answer), _human(render("repair_rule", problems=problems))]
    raise ModelOutputError(
        f"The model could not put this definition into a form that can be evaluated: {'; '.join(problems)[:400]}"
    )


def messages_for(line: str, sources: Sequence[SourceInfo] = ()) -> list[BaseMessage]:
    """The messages of the first round: the task, and the definition between its fences."""
    from langchain_core.messages import SystemMessage

    series = [s for s in sources if s.kind == "series"]
    channels = [c for s in series for c in s.channels][:MOST_CHANNELS]
    system = render(
        "compile_rule", schema=json.dumps(schema(), ensure_ascii=False), channels=[_plain(c) for c in channels],
        names=[_plain(s.name) for s in sources][:20],
    )  # fmt: skip
    return [SystemMessage(system), _human(f"<definition>\n{_plain(line)}\n</definition>")]


def schema() -> dict[str, Any]:
    """The JSON schema of a definition, without what models need not see (titles)."""

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: bare(v) for k, v in value.items() if not (k == "title" and isinstance(v, str))}
        return [bare(v) for v in value] if isinstance(value, list) else value

    found: dict[str, Any] = bare(Definition.model_json_schema())
    conditions = found["properties"]["conditions"]["items"]
    conditions["oneOf"] = [one for one in conditions["oneOf"] if "FindingCondition" not in one["$ref"]]
    del conditions["discriminator"], found["$defs"]["FindingCondition"]  # made from findings only, never from words
    return found


def read_answer(answer: str, line: str) -> Definition:
    """The definition in a model's answer, validated and held against the sentence.

    Raises:
        BadInput: the model says that nothing can be measured.
        ModelOutputError: no JSON, not the schema, or numbers that the sentence does not hold; one problem per line.

    >>> said = '{"polarity": "normal", "subject": "dogs", "conditions": [{"kind": "video", "subject": "dog"}]}'
    >>> read_answer(said, "dogs are fine").subject
    'dogs'
    """
    data = _json(answer)
    if set(data) == {"error"}:
        raise BadInput(f"Nothing in this definition can be measured: {str(data['error'])[:300]}")
    try:
        definition = Definition.model_validate(data)
    except ValidationError as error:
        problems = [f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()[:8]]
        raise ModelOutputError("\n".join(problems)) from error
    if any(isinstance(c, FindingCondition) for c in definition.conditions):
        raise ModelOutputError("conditions: the kind 'finding' cannot be made from words")
    definition = definition.model_copy(update={"conditions": tuple(_seen(c) for c in definition.conditions)})
    if definition.polarity == "normal" and definition.not_understood:
        named = ", ".join(f"“{w}”" for w in definition.not_understood)
        raise BadInput(
            f"{named} could not be read. A definition of what is normal silences findings, so none is kept that was read "
            f"only in part."
        )
    made_up = invented_numbers(definition, line)
    if made_up:
        raise ModelOutputError("\n".join(f"the number {n:g} does not stand in the definition" for n in made_up))
    return definition


def _seen(condition: Condition) -> Condition:
    """A model may call a state visible; whether a text names only a thing is decided here."""
    if not isinstance(condition, ConceptCondition):
        return condition
    return condition.model_copy(update={"visible": all(is_thing(t) for t in (*condition.abnormal, *condition.normal))})


def invented_numbers(definition: Definition, line: str) -> list[float]:
    """Numbers of a compiled form that neither stand in the sentence nor follow from its words.

    >>> d = Definition.model_validate({"polarity": "anomaly", "subject": "p", "conditions": [{"kind": "series", "channel": "p", "low": 7}]})
    >>> invented_numbers(d, "p above 7 bar"), invented_numbers(d, "p above 8 bar")
    ([], [7.0])
    """
    plain = plain_numbers(line.lower())
    said = {abs(float(n)) for n in re.findall(r"\d+(?:\.\d+)?", plain)}
    times = {v.value for v in (find_lasting(plain), find_within(plain), find_per(plain)) if v is not None}
    hours = find_hours(plain)
    clock = {hours[0].from_s, hours[0].to_s} if hours is not None else set()
    found: list[float] = []
    for name, value in _numbers(definition.model_dump(exclude_defaults=True)):
        if value == 0:
            continue
        if name in ("for_s", "within_s", "seconds"):
            fits = value in times or any(
                abs(n * unit - value) < 1e-6 for n in said for unit in (1, 0.001, 60, 3600, 86_400, 604_800)
            )
        elif name in ("from_s", "to_s"):
            fits = hours is None or value in clock
        elif name in ("count", "for_rows", "within_rows"):
            fits = value in said or value - 1 in said or (name == "within_rows" and value == 2)
        else:
            fits = name in _NOT_FROM_TEXT or abs(value) in said
        if not fits:
            found.append(value)
    return list(dict.fromkeys(found))


def _numbers(value: Any, name: str = "") -> list[tuple[str, float]]:
    if isinstance(value, dict):
        return [pair for key, inner in value.items() for pair in _numbers(inner, key)]
    if isinstance(value, list | tuple):
        return [pair for inner in value for pair in _numbers(inner, name)]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [(name, float(value))]
    return []


def _json(answer: str) -> dict[str, Any]:
    """The first JSON object of an answer, with or without a code fence around it."""
    start = answer.find("{")
    if start < 0:
        raise ModelOutputError("the answer holds no JSON object")
    try:
        value, _ = json.JSONDecoder().raw_decode(answer[start:])
    except json.JSONDecodeError as error:
        raise ModelOutputError(f"the answer is no valid JSON: {error.msg} at character {error.pos}") from error
    if not isinstance(value, dict):
        raise ModelOutputError("the answer is no JSON object")
    return value


def _scope(line: str, sources: Sequence[SourceInfo]) -> Scope:
    """The scope that a sentence names, read as the fixed rules do."""
    from agent.rules.scopes import scope_of

    return scope_of(line.lower(), sources)


def _plain(text: str) -> str:
    """Text that cannot close the fence it stands in."""
    return re.sub(r"</?\s*definition\s*>", " ", text.replace("\n", " "))[:2000]


def _human(text: str) -> BaseMessage:
    from langchain_core.messages import HumanMessage

    return HumanMessage(text)


def _assistant(text: str) -> BaseMessage:
    from langchain_core.messages import AIMessage

    return AIMessage(text)


def _said(message: BaseMessage) -> str:
    """The text of an answer, whose content may come in parts."""
    content = message.content
    if isinstance(content, str):
        return content
    return "".join(part if isinstance(part, str) else str(part.get("text", "")) for part in content)
