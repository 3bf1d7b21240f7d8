"""Tool calls in the text a local model wrote, read strictly.

Two forms. Marked: `<tool_call>{"name": …, "arguments": {…}}</tool_call>` inside ordinary text, as the chat templates of Qwen and Hermes
models ask for. Plain, for templates that know no tools: the whole output is one JSON object `{"calls": […]}`, anything that does not
begin like JSON is an answer in words. Nothing is guessed: a call counts only when its JSON is whole, its tool is offered and its
arguments satisfy the tool's JSON schema. Everything else is a problem, worded so that the model can mend it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from core.errors import ToolRetry
from models.chat.failures import one_line
from models.chat.tool_calls import RawCall, read_calls, strict_json
from models.chat.tool_text import may_be_call

if TYPE_CHECKING:
    from langchain_core.messages import ToolCall

Tools: TypeAlias = Sequence[Mapping[str, Any]]
"""Tools in OpenAI's form, as `convert_to_openai_tool` makes them."""
OPEN, CLOSE = "<tool_call>", "</tool_call>"
MAX_PROBLEMS = 5
"""So many are told to the model; more would not help it."""
_MARKS = re.compile(f"{re.escape(OPEN)}|{re.escape(CLOSE)}")
_FENCE = re.compile(r"\A```(?:json)?\s*(.*?)\s*```\Z", re.DOTALL)


@dataclass(frozen=True)
class Reading:
    """An output taken apart: the words, the calls that can be used, and what is wrong with it."""

    text: str
    calls: tuple[ToolCall, ...] = ()
    problems: tuple[str, ...] = ()


def read_marked(output: str, tools: Tools, *, required: str | None = None) -> Reading:
    """Read tool calls between `<tool_call>` tags; text outside the tags is the answer.

    `required` is the name of a tool that must be called, or "any". If anything is wrong no call is returned at all: half of what the
    model wanted is not what it wanted.

    >>> look = {"name": "look", "parameters": {"type": "object", "properties": {"at_s": {"type": "number"}}}}
    >>> tools = [{"type": "function", "function": look}]
    >>> reading = read_marked('One moment. <tool_call>{"name": "look", "arguments": {"at_s": 3.5}}</tool_call>', tools)
    >>> reading.text, reading.calls[0]["name"], reading.calls[0]["args"]
    ('One moment.', 'look', {'at_s': 3.5})
    >>> read_marked('<tool_call>{"name": "look", "arguments": {"at_s": 3.5}', tools).problems
    ('a <tool_call> is not closed by </tool_call>',)
    """
    outside: list[str] = []
    inside: list[str] = []
    problems: list[str] = []
    start, opened = 0, False
    for mark in _MARKS.finditer(output):
        piece = output[start : mark.start()]
        opens = mark.group() == OPEN
        if opens == opened:
            problems.append(f"a {OPEN} stands inside another" if opens else f"a {CLOSE} has no {OPEN} before it")
        elif opened:
            inside.append(piece)
        if not opened:
            outside.append(piece)
        start, opened = mark.end(), opens
    if opened:
        problems.append(f"a {OPEN} is not closed by {CLOSE}")
    else:
        outside.append(output[start:])
    calls: list[ToolCall] = []
    for piece in inside:
        try:
            value = strict_json(piece)
        except ValueError as error:
            problems.append(f"the text between the tool call tags is not JSON: {error}")
        else:
            _take(value, tools, calls, problems)
    return _reading("".join(outside).strip(), calls, problems, required)


def read_plain(output: str, tools: Tools, *, required: str | None = None) -> Reading:
    """Read an output that is either one JSON object `{"calls": […]}`, alone or in one code fence, or an answer in words.

    >>> read_plain("Nothing unusual.", []).text
    'Nothing unusual.'
    >>> read_plain('{"calls": [{"name": "look", "arguments": {}}', []).problems
    ("the output is not one JSON object: Expecting ',' delimiter at character 44",)
    """
    bare = output.strip()
    if not bare or not may_be_call(bare):
        return _reading(bare, [], [], required)
    fenced = _FENCE.match(bare)
    try:
        value = strict_json(fenced.group(1) if fenced else bare)
    except ValueError as error:
        return Reading("", (), (f"the output is not one JSON object: {error}",))
    if not isinstance(value, dict) or set(value) != {"calls"} or not isinstance(value["calls"], list) or not value["calls"]:
        return Reading("", (), ('the output must be an object with the single key "calls", a list with at least one call',))
    calls: list[ToolCall] = []
    problems: list[str] = []
    for item in value["calls"]:
        _take(item, tools, calls, problems)
    return _reading("", calls, problems, required)


def _reading(text: str, calls: list[ToolCall], problems: list[str], required: str | None) -> Reading:
    if required is not None and not problems:
        if not calls:
            problems.append("a tool must be called" if required == "any" else f"the tool {required!r} must be called")
        elif required != "any" and any(call["name"] != required for call in calls):
            problems.append(f"only the tool {required!r} may be called")
    return Reading(text, () if problems else tuple(calls), tuple(problems[:MAX_PROBLEMS]))


def _take(value: Any, tools: Tools, calls: list[ToolCall], problems: list[str]) -> None:
    """Check one call and add it to `calls`, or say in `problems` why not."""
    if not isinstance(value, dict) or set(value) != {"name", "arguments"} or not isinstance(value["name"], str):
        problems.append('a call must be an object with the keys "name", a text, and "arguments", and no others')
        return
    try:
        arguments = json.dumps(value["arguments"], ensure_ascii=False)
        calls.extend(read_calls([RawCall(name=value["name"], arguments=arguments)], tools))
    except ToolRetry as error:
        problems.append(one_line(str(error)))
