"""The `scripted` tier: replays replies from a file or a list, for tests of everything that talks to a model.

A script holds replies in order: text, tool calls (arguments may be text, also wrong JSON), delays, failures before or in the middle
of an answer. A reply may wait for a word or a pattern in the prompt. What was sent is kept in `sent`. Tool calls are held against their
schema and asked for once more exactly as in the other tiers, so that the agent is tested with what it would really get. What a reply
says is never checked: a script can lie, and what the agent makes of a lying model can be seen.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel, generate_from_stream
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator

from core import errors
from core.errors import BadInput, TelltaleError, ToolRetry
from models.chat.failures import AnswerCutOff, BrokenAnswer, one_line
from models.chat.timing import Stopwatch
from models.chat.tool_calls import RawCall, ask_again, given_up, read_calls

MAX_SCRIPT_BYTES = 4 * 2**20
_WORDS = re.compile(r"\S+\s*|\s+")
_FAILURES: dict[str, type[TelltaleError]] = {
    kind.__name__: kind
    for kind in (
        errors.ModelOutputError,
        errors.UserError,
        errors.BadInput,
        errors.UnknownName,
        errors.BudgetExceeded,
        AnswerCutOff,
    )
}
_HALF: dict[str, type[AnswerCutOff] | type[BrokenAnswer]] = {"AnswerCutOff": AnswerCutOff}
"""What an answer that breaks off after some words is; by default a `BrokenAnswer`."""


class ScriptedCall(BaseModel):
    """A tool call of a reply. `arguments` given as text stand for what a model wrote, valid JSON or not."""

    model_config = ConfigDict(extra="forbid")

    name: str
    arguments: dict[str, Any] | str = Field(default_factory=dict)
    id: str | None = None


class Reply(BaseModel):
    """One reply: what is said, when, and how it fails.

    `when` is a text, `matching` a regular expression that must occur in the last message (`in_last`) or anywhere in the prompt. With
    `error`, the text is said first and then the answer breaks off; without a text the error comes at once, as `error_class`.
    """

    model_config = ConfigDict(extra="forbid")

    text: str = ""
    tool_calls: list[ScriptedCall] = Field(default_factory=list)
    when: str | None = None
    matching: str | None = None
    in_last: bool = False
    repeat: bool = False
    delay_s: float = Field(default=0.0, ge=0, le=600)
    pace_s: float = Field(default=0.0, ge=0, le=60)
    error: str | None = None
    error_class: Literal["ModelOutputError", "UserError", "BadInput", "UnknownName", "BudgetExceeded", "AnswerCutOff"] = (
        "ModelOutputError"
    )
    finish_reason: str | None = None

    @field_validator("matching")
    @classmethod
    def _is_pattern(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"no regular expression: {error}") from error
        return pattern

    @model_validator(mode="after")
    def _says_something(self) -> Reply:
        if not (self.text or self.tool_calls or self.error):
            raise ValueError("expected a text, tool_calls or an error")
        return self

    def fits(self, prompt: str, last: str) -> bool:
        """Whether the conditions hold for this prompt."""
        where = last if self.in_last else prompt
        return (self.when is None or self.when in where) and (
            self.matching is None or re.search(self.matching, where) is not None
        )


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One request as the model got it."""

    messages: tuple[BaseMessage, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All text of the request, one message per paragraph."""
        return "\n\n".join(str(message.text) for message in self.messages)

    @property
    def tool_names(self) -> list[str]:
        """Names of the tools on offer."""
        return [tool["function"]["name"] for tool in self.tools]


class ScriptedChat(BaseChatModel):
    """A chat model that says what a script says.

    The first reply not used up whose conditions hold is given; `repeat` keeps a reply from being used up.

    Raises:
        BadInput: the script is exhausted, or no reply fits; the message tells which request it was.
        BrokenAnswer: a reply with text and `error`, after the text.
        ModelOutputError: two replies in a row with wrong tool calls.

    >>> chat = scripted("The belt stops at 12 s [E1].")
    >>> chat.invoke("what is wrong?").text
    'The belt stops at 12 s [E1].'
    >>> chat.sent[0].text
    'what is wrong?'
    """

    replies: list[Reply]
    source: str = "script"
    checked: bool = True
    """Whether wrong tool calls are asked for again, as in the other tiers; without, they are passed on as LangChain reads them."""
    _used: set[int] = PrivateAttr(default_factory=set)
    _sent: list[Sent] = PrivateAttr(default_factory=list)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    @property
    def _llm_type(self) -> str:
        return "telltale-scripted"

    @property
    def sent(self) -> list[Sent]:
        """What this model was sent, request by request."""
        return list(self._sent)

    @property
    def unused(self) -> list[Reply]:
        """Replies that were never given; a test may want none."""
        return [reply for number, reply in enumerate(self.replies) if number not in self._used]

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[Any, AIMessage]:
        """The model with `tools` on offer; they are recorded, the script decides."""
        if tool_choice:
            kwargs["tool_choice"] = tool_choice
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, run_manager, **kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        watch = Stopwatch()
        options = {name: value for name, value in {**kwargs, "stop": stop}.items() if name != "tools" and value is not None}
        tools, prompt, shown = tuple(kwargs.get("tools") or ()), list(messages), False
        for last in (False, True):
            reply = self._next(Sent(messages=tuple(prompt), tools=tools, options=options))
            time.sleep(reply.delay_s)
            for number, word in enumerate(_WORDS.findall("" if shown else reply.text)):
                if number:
                    time.sleep(reply.pace_s)
                watch.token()
                yield ChatGenerationChunk(message=AIMessageChunk(content=word))
            shown = shown or bool(reply.text)
            if reply.error is not None:
                if not shown:
                    raise _FAILURES[reply.error_class](reply.error)
                raise _HALF.get(reply.error_class, BrokenAnswer)(reply.error, partial=reply.text)
            raw = [RawCall(name=call.name, arguments=_text(call)) for call in reply.tool_calls]
            try:
                if self.checked and tools:
                    read_calls(raw, tools)
                break
            except ToolRetry as problem:
                if last:
                    raise given_up(self.source, problem) from None
                prompt += ask_again(raw, reply.text, problem)
        for _ in reply.tool_calls:
            watch.token()
        finish = reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                tool_call_chunks=[_chunk(number, call) for number, call in enumerate(reply.tool_calls)],
                response_metadata={"finish_reason": finish, "model_name": self.source, "timing": watch.read().to_json()},
                chunk_position="last",
            )
        )

    def _next(self, request: Sent) -> Reply:
        """Record the request and choose its reply."""
        last = str(request.messages[-1].text) if request.messages else ""
        with self._lock:
            self._sent.append(request)
            for number, reply in enumerate(self.replies):
                if (reply.repeat or number not in self._used) and reply.fits(request.text, last):
                    self._used.add(number)
                    return reply
            left = len([n for n, reply in enumerate(self.replies) if reply.repeat or n not in self._used])
        why = f"none of the {left} replies left fits" if left else f"all {len(self.replies)} replies are used up"
        raise BadInput(f"{self.source}: request {len(self._sent)} has no reply, {why}. It ended with: {one_line(last[-200:])!r}.")


def scripted(*replies: str | Mapping[str, Any] | Reply, source: str = "script", checked: bool = True) -> ScriptedChat:
    """A scripted model from texts, mappings or replies.

    Raises:
        BadInput: no reply, or one with an unknown field or a wrong value.

    >>> chat = scripted({"tool_calls": [{"name": "look", "arguments": {"at_s": 3}}]}, "Nothing there.")
    >>> chat.invoke("look at 3 s").tool_calls[0]["args"]
    {'at_s': 3}
    """
    if not replies:
        raise BadInput(f"{source}: expected at least one reply.")
    read = [_reply(reply, source, number) for number, reply in enumerate(replies, start=1)]
    return ScriptedChat(replies=read, source=source, checked=checked)


def open_scripted(path: str | Path) -> ScriptedChat:
    """A scripted model from a JSON or YAML file: a list of replies, or an object with the list under "replies".

    Raises:
        BadInput: no such file, too large, no JSON or YAML, or a wrong reply (the message says which and why).
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise BadInput(f"script {str(path)!r}: no such file.")
    if file.stat().st_size > MAX_SCRIPT_BYTES:
        raise BadInput(f"script {file.name}: {file.stat().st_size:,} bytes, allowed are {MAX_SCRIPT_BYTES:,}.")
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text) if file.suffix.lower() == ".json" else _yaml(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"script {file.name}: it is not valid {file.suffix.lstrip('.') or 'YAML'} ({one_line(str(error))})."
        ) from error
    replies = content.get("replies") if isinstance(content, dict) else content
    if not isinstance(replies, list):
        raise BadInput(f"script {file.name}: expected a list of replies, got {type(replies).__name__}.")
    return scripted(*replies, source=f"script {file.name}")


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _reply(given: Any, source: str, number: int) -> Reply:
    if isinstance(given, Reply):
        return given
    try:
        return Reply(text=given) if isinstance(given, str) else Reply.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"{source}: reply {number}{f', {place}' if place else ''}: {one_line(first['msg'])}.") from error


def _chunk(number: int, call: ScriptedCall) -> ToolCallChunk:
    return tool_call_chunk(name=call.name, args=_text(call), id=call.id or f"call_{number + 1}", index=number)


def _text(call: ScriptedCall) -> str:
    return call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)
