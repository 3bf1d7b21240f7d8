"""A model's tool calls, read as data: strict JSON, known name, arguments that satisfy the tool's JSON schema.

LangChain reads streamed arguments leniently (a cut `{"a": 1` becomes `{"a": 1}`); here a call is either right as it stands or it is
named wrong with the reason, so that the model can be asked once more.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.messages.tool import ToolCall, tool_call

from core.errors import ModelOutputError, ToolRetry
from models.chat.failures import one_line

LONGEST_ARGUMENTS = 100_000
_QUOTED = 2_000


@dataclass(frozen=True, kw_only=True)
class RawCall:
    """A call as the model wrote it: the arguments are unread text."""

    name: str
    arguments: str
    id: str = field(default_factory=lambda: f"call_{uuid.uuid4().hex[:12]}")


def schemas(tools: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Tool name → JSON schema of its arguments, from tools in OpenAI's form.

    >>> schemas([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}])
    {'look': {'type': 'object'}}
    """
    functions = [tool["function"] for tool in tools if tool.get("type") == "function"]
    return {function["name"]: function.get("parameters") or {"type": "object"} for function in functions}


def read_calls(calls: Sequence[RawCall], tools: Sequence[Mapping[str, Any]]) -> list[ToolCall]:
    """The calls with their arguments read and held against the schemas of `tools`.

    Raises:
        ToolRetry: a name that is not offered, arguments that are no JSON object or do not satisfy the schema.

    >>> look = {"name": "look", "parameters": {"type": "object", "properties": {"at_s": {"type": "number"}}}}
    >>> tools = [{"type": "function", "function": look}]
    >>> read_calls([RawCall(name="look", arguments='{"at_s": 3}', id="1")], tools)[0]["args"]
    {'at_s': 3}
    >>> read_calls([RawCall(name="look", arguments='{"at_s": "three"}', id="1")], tools)
    Traceback (most recent call last):
    core.errors.ToolRetry: tool 'look': at at_s: 'three' is not of type 'number'
    """
    known = schemas(tools)
    return [_read(call, known) for call in calls]


def ask_again(calls: Sequence[RawCall], said: str, problem: ToolRetry) -> list[BaseMessage]:
    """The messages that show the model its wrong calls and say what is wrong; plain text, which every server takes."""
    shown = "\n".join(f"{call.name}({one_line(call.arguments, longest=_QUOTED)})" for call in calls)
    return [
        AIMessage("\n".join(part for part in (said, shown) if part)),
        HumanMessage(
            f"That tool call cannot be used: {problem} Call the tool again with arguments that are right, as strict JSON."
        ),
    ]


def given_up(model: str, problem: ToolRetry) -> ModelOutputError:
    """The error for a model whose second try was wrong too."""
    return ModelOutputError(f"model {model!r} called a tool wrongly twice: {problem}")


def _read(call: RawCall, known: Mapping[str, Mapping[str, Any]]) -> ToolCall:
    if call.name not in known:
        raise ToolRetry(
            f"tool {one_line(call.name, longest=60)!r} is not offered. Offered: {', '.join(sorted(known)) or 'none'}."
        )
    if len(call.arguments) > LONGEST_ARGUMENTS:
        raise ToolRetry(
            f"tool {call.name!r}: {len(call.arguments):,} characters of arguments, allowed are {LONGEST_ARGUMENTS:,}."
        )
    try:
        arguments = strict_json(call.arguments or "{}")
    except ValueError as error:
        raise ToolRetry(f"tool {call.name!r}: the arguments are not valid JSON ({one_line(str(error))}).") from error
    if not isinstance(arguments, dict):
        raise ToolRetry(f"tool {call.name!r}: expected a JSON object of arguments, got {type(arguments).__name__}.")
    problem = _violation(arguments, known[call.name])
    if problem:
        raise ToolRetry(f"tool {call.name!r}: {problem}")
    return tool_call(name=call.name, args=arguments, id=call.id)


def strict_json(text: str) -> Any:
    """The value of a JSON text without NaN, repeated keys, endless nesting or characters that cannot be stored.

    Raises:
        ValueError: what is wrong and where.

    >>> strict_json('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ValueError: the key 'a' is given twice
    """
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos}") from error
    except UnicodeEncodeError as error:
        raise ValueError("it holds half a character (a lone surrogate)") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        twice = min(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:80]!r} is given twice")
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _violation(arguments: dict[str, Any], schema: Mapping[str, Any]) -> str:
    """What in `arguments` breaks `schema` most plainly, or the empty text."""
    from jsonschema.exceptions import best_match
    from jsonschema.validators import validator_for
    from referencing import Registry

    # an empty registry: a reference to an address must never make this process fetch it
    validator = validator_for(dict(schema))(dict(schema), registry=Registry())
    error = best_match(validator.iter_errors(arguments))
    if error is None:
        return _unknown(arguments, schema)
    path = ".".join(str(part) for part in error.absolute_path)
    return one_line(f"at {path}: {error.message}" if path else error.message)


def _unknown(arguments: dict[str, Any], schema: Mapping[str, Any]) -> str:
    """Arguments the tool would silently ignore: a misspelt name must not become a default."""
    if "properties" not in schema or schema.keys() & {
        "additionalProperties",
        "patternProperties",
        "allOf",
        "anyOf",
        "oneOf",
        "$ref",
    }:
        return ""
    strange = [name for name in arguments if name not in schema["properties"]]
    return (
        one_line(f"it has no argument {', '.join(map(repr, strange))}; it has {', '.join(schema['properties'])}")
        if strange
        else ""
    )
