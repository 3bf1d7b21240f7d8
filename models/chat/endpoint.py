"""The `endpoint` tier: any server that speaks the OpenAI chat protocol (vLLM, llama.cpp, Ollama, a hosted service).

Requests go through the `openai` client, trouble is retried with `tenacity`: exponential back-off with jitter, the server's Retry-After
honoured, and only while nothing of the answer has been passed on. Each silence has its limit. Tool calls are held against their
schema and asked for once more if they are wrong; for a server without tool calling, tools are described in text. What fails is told in
one sentence; a failure after the first words is a `BrokenAnswer`, so that another tier can take over.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from anyio.from_thread import start_blocking_portal
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel, agenerate_from_stream, generate_from_stream
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, convert_to_openai_messages
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCall, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from openai import APIError, AsyncOpenAI, NotFoundError
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from core.errors import ModelOutputError, TelltaleError, ToolRetry, UnknownName, UserError
from core.progress import step
from models.chat.connection import Address, client, key_for, without_key
from models.chat.endpoint_errors import Asked, explained, is_passing, is_too_long, is_wire_error, is_without_tools, retry_after
from models.chat.endpoint_stream import Answer, Clock, Patience
from models.chat.failures import BrokenAnswer, one_line
from models.chat.giving_way import lighter
from models.chat.messages import MAX_PICTURES, MAX_SIDE, pictures_after_tools, prepared
from models.chat.timing import Stopwatch
from models.chat.tool_calls import ask_again, given_up, read_calls, schemas
from models.chat.tool_text import in_text

log = logging.getLogger(__name__)

LONGEST_WAIT_S = 60.0
"""A Retry-After beyond this is told instead of waited for."""
_LOOK_S = 5.0
_POLL_S = 0.1
"""How often a stopped chat is noticed while the server says nothing."""
_PASSED_ON = ("tools", "tool_choice", "parallel_tool_calls", "response_format", "seed", "temperature", "top_p", "max_tokens")


@dataclass
class _Course:
    """One question on its way: the server, the limits, how often it was sent, and what of it gave way."""

    server: AsyncOpenAI
    clock: Clock
    watch: Stopwatch
    attempts: int = 0
    notes: tuple[str, ...] = ()


class EndpointChat(BaseChatModel):
    """A chat model behind an OpenAI-compatible server; open it with `open_endpoint`.

    `response_metadata` of an answer holds `finish_reason` ("length": cut by `max_tokens`), `model_name`, `timing` and `notes` (what of a
    question that was too long gave way).

    Raises:
        UserError: no server, no access, too many requests; `UnknownName`: no such model (the message lists those served).
        BadInput: too long a question, a picture for a model without eyes, a block that is neither text nor picture.
        BudgetExceeded: silence longer than `patience` before the first word.
        ModelOutputError: refusal, empty or unreadable answer, wrong tool call twice; `BrokenAnswer`: broken off after some words.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    model: str
    address: Address
    api_key: SecretStr | None = Field(default=None, repr=False, exclude=True)
    patience: Patience = Patience()
    attempts: int = Field(default=4, ge=1)
    first_wait_s: float = Field(default=1.0, ge=0)
    temperature: float | None = None
    max_tokens: int | None = None
    max_side: int = Field(default=MAX_SIDE, ge=16)
    max_pictures: int = Field(default=MAX_PICTURES, ge=0)
    _without_tools: bool = PrivateAttr(default=False)

    @property
    def _llm_type(self) -> str:
        return "telltale-endpoint"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "address": self.address.url, "temperature": self.temperature, "max_tokens": self.max_tokens}

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[Any, AIMessage]:
        """The model with `tools` on offer; `tool_choice` is "auto", "none", "any" or a tool's name."""
        offered = [convert_to_openai_tool(tool) for tool in tools]
        if tool_choice in schemas(offered):
            kwargs["tool_choice"] = {"type": "function", "function": {"name": tool_choice}}
        elif tool_choice:
            kwargs["tool_choice"] = "required" if tool_choice == "any" else tool_choice
        return self.bind(tools=offered, **kwargs)

    async def served(self) -> list[str]:
        """Names of the models the server offers, for a look before the first question.

        Raises:
            UserError: no server, no access, or no such list.
        """
        failure: TelltaleError | None = None
        try:
            async with client(self.address, self.api_key, connect_s=min(_LOOK_S, self.patience.connect_s)) as server:
                return await asyncio.wait_for(_names(server), _LOOK_S)
        except Exception as error:
            if not is_wire_error(error):
                raise
            failure = explained(error, self._asked(1))
        raise UserError(str(failure))

    def check(self) -> None:
        """Raise now what the first question would raise: no server, no access, no such model."""
        with start_blocking_portal() as portal:
            names = portal.call(self.served)
        if names and self.model not in names:
            raise UnknownName.among(f"model at {self.address.url}", self.model, names)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, run_manager, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop, run_manager, **kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        """`_astream` in an event loop of its own: only there can a wait be cut off at any moment, also by a chat that is stopped."""
        chunks = self._astream(messages, stop, None, **kwargs)

        async def following() -> ChatGenerationChunk | None:
            return await anext(chunks, None)

        pieces = 0
        with start_blocking_portal() as portal:
            try:
                while True:
                    future = portal.start_task_soon(following)
                    try:
                        while not wait([future], timeout=_POLL_S).done:
                            step("pieces", pieces)
                        chunk = future.result()
                    except BaseException:
                        future.cancel()
                        raise
                    if chunk is None:
                        return
                    pieces += 1
                    yield chunk
            except GeneratorExit:  # whoever listened stopped: hang up, so that the server stops too
                portal.call(_closed, chunks)
                raise

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[ChatGenerationChunk]:
        watch, clock = Stopwatch(), Clock(self.patience)
        course: _Course | None = None
        options = {**self._options(), **{name: kwargs[name] for name in _PASSED_ON if kwargs.get(name) is not None}}
        if stop:
            options["stop"] = stop
        ready = prepared(messages, max_side=self.max_side, max_pictures=self.max_pictures)
        tools = options.get("tools") or []
        shown: list[str] = []
        failure: TelltaleError | None = None
        try:
            async with client(self.address, self.api_key, connect_s=self.patience.connect_s) as server:
                course = _Course(server, clock, watch)
                for last in (False, True):
                    course.attempts = 0
                    answer = await self._fitting(course, ready, options)
                    silent = bool(last and shown)  # words already passed on are not said twice
                    async with aclosing(answer), aclosing(answer.pieces()) as pieces:
                        async for piece in pieces:
                            if not silent:
                                shown.append(piece)
                                yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
                    self._usable(answer)
                    try:
                        calls = read_calls(answer.calls, tools)
                        break
                    except ToolRetry as problem:
                        log.info("endpoint %s: %s", self.model, without_key(str(problem), self.api_key))
                        if last:
                            raise given_up(self.model, problem) from None
                        ready = [*ready, *ask_again(answer.calls, answer.text, problem)]
            yield ChatGenerationChunk(message=self._last(answer, calls, course))
        except Exception as error:
            if not isinstance(error, TelltaleError) and not is_wire_error(error):
                raise
            failure = explained(error, self._asked(course.attempts if course and not shown else 1))
        if failure is not None:  # raised out here, so that nothing with headers and bodies hangs on it
            raise BrokenAnswer(str(failure), partial="".join(shown)) if shown else failure

    async def _fitting(self, course: _Course, messages: Sequence[BaseMessage], options: dict[str, Any]) -> Answer:
        """An answer that has begun; pictures give way where the server says that the question is too long."""
        try:
            return await self._opened(course, messages, options)
        except APIError as error:
            if not is_too_long(error):
                raise
            refused = error
        for less, note in lighter(messages):
            log.info("endpoint %s: the question is too long. %s", self.model, note)
            course.attempts, course.notes = 0, (note,)
            try:
                return await self._opened(course, less, options)
            except APIError as error:
                if not is_too_long(error):
                    raise
        raise refused

    async def _opened(self, course: _Course, messages: Sequence[BaseMessage], options: dict[str, Any]) -> Answer:
        """An answer that has begun; trouble before that is retried."""
        retrying = AsyncRetrying(
            stop=stop_after_attempt(self.attempts),
            wait=lambda state: min(self._pause(state), max(0.0, course.clock.left)),
            retry=retry_if_exception(lambda error: is_passing(error) and self._worth_waiting(error, course.clock)),
            before_sleep=self._note,
            reraise=True,
        )
        try:
            return await retrying(self._begun, course, messages, options)
        except NotFoundError as error:
            raise await self._not_found(course.server, error) from None
        except APIError as error:
            if self._without_tools or not (options.get("tools") and is_without_tools(error)):
                raise
            log.info("endpoint %s: no tool calling there; tools are described in text.", self.model)
            self._without_tools = True
            course.attempts = 0
            return await retrying(self._begun, course, messages, options)

    async def _begun(self, course: _Course, messages: Sequence[BaseMessage], options: dict[str, Any]) -> Answer:
        course.attempts += 1
        tools, sent = options.get("tools") or [], dict(options)
        if tools and self._without_tools:
            messages = in_text(messages, tools)
            sent = {name: value for name, value in sent.items() if name not in ("tools", "tool_choice", "parallel_tool_calls")}
        else:
            messages = pictures_after_tools(messages)
        sent |= {"model": self.model, "messages": convert_to_openai_messages(messages)}
        sent |= {"stream": True, "stream_options": {"include_usage": True}}
        answer = Answer(patience=self.patience, clock=course.clock, watch=course.watch, tool_names=list(schemas(tools)))
        stream: Any = await answer.wait(course.server.chat.completions.create(**sent))
        try:
            await answer.open(stream)
        except BaseException:
            await answer.aclose()
            raise
        return answer

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {} if self.temperature is None else {"temperature": self.temperature}
        if self.max_tokens is not None:
            hosted = self.address.host == "api.openai.com"  # renamed there, still the old name everywhere else
            options["max_completion_tokens" if hosted else "max_tokens"] = self.max_tokens
        return options

    def _usable(self, answer: Answer) -> None:
        """Refusals and empty answers are failures."""
        if answer.refusal or answer.finish == "content_filter":
            why = f": {one_line(answer.refusal).rstrip('.')}" if answer.refusal else " (its content filter)"
            raise ModelOutputError(f"model {self.model!r} refused to answer{without_key(why, self.api_key)}.")
        if not answer.text.strip() and not answer.calls:
            cut = answer.finish == "length"
            why = "used up its tokens before the first word; allow more (max_tokens)" if cut else "gave an empty answer"
            raise ModelOutputError(f"model {self.model!r} {why}.")

    def _last(self, answer: Answer, calls: Sequence[ToolCall], course: _Course) -> AIMessageChunk:
        """The closing chunk: tool calls whole, why it ended, how fast it was."""
        usage = None
        if answer.tokens is not None:
            asked = answer.prompt_tokens or 0
            usage = UsageMetadata(input_tokens=asked, output_tokens=answer.tokens, total_tokens=asked + answer.tokens)
        return AIMessageChunk(
            content="",
            tool_call_chunks=[
                tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=number)
                for number, call in enumerate(calls)
            ],
            response_metadata={
                "finish_reason": answer.finish,
                "model_name": one_line(answer.model or self.model, longest=100),
                "timing": course.watch.read(tokens=answer.tokens).to_json(),
                "notes": list(course.notes),
            },
            usage_metadata=usage,
            chunk_position="last",
        )

    def _asked(self, attempts: int) -> Asked:
        return Asked(
            model=self.model, address=self.address, key=self.api_key, attempts=attempts, connect_s=self.patience.connect_s
        )

    def _pause(self, state: RetryCallState) -> float:
        """Back-off doubled at each attempt with jitter, or longer if the server asks for it."""
        wait = wait_exponential(multiplier=self.first_wait_s, max=LONGEST_WAIT_S) + wait_random(0.0, self.first_wait_s)
        backoff = wait(state)
        error = state.outcome.exception() if state.outcome else None
        return max(backoff, (retry_after(error) or 0.0) if error else 0.0)

    def _worth_waiting(self, error: BaseException, clock: Clock) -> bool:
        return max(retry_after(error) or 0.0, self.first_wait_s) <= min(LONGEST_WAIT_S, clock.left)

    def _note(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0.0
        why = explained(error, self._asked(1)) if error else ""
        log.warning("endpoint %s: %s Trying again in %.1f s (attempt %d).", self.model, why, pause, state.attempt_number + 1)

    async def _not_found(self, server: AsyncOpenAI, error: NotFoundError) -> TelltaleError:
        """HTTP 404 means a model that is not served or an address that is not one: the server's list of models tells which."""
        try:
            names = await asyncio.wait_for(_names(server), _LOOK_S)
        except Exception:
            names = []
        if names and self.model not in names:
            return UnknownName.among(f"model at {self.address.url}", self.model, names)
        said = explained(error, self._asked(1))
        return UserError(
            f"{str(said).rstrip('.')}: no chat under this address, or no model {self.model!r}. It often ends in /v1."
        )


async def _closed(chunks: AsyncGenerator[ChatGenerationChunk]) -> None:
    await chunks.aclose()


async def _names(server: AsyncOpenAI) -> list[str]:
    page = await server.models.list()
    return sorted(str(model.id) for model in page.data)


def open_endpoint(name: str, url: str, **options: Any) -> EndpointChat:
    """The model `name` at the server `url`, with the key from the environment; nothing is sent yet.

    Raises:
        BadInput: not an address, or a key that no header can carry.

    >>> chat = open_endpoint("qwen3-vl", "http://127.0.0.1:8000/v1")
    >>> chat.model, chat.address.url
    ('qwen3-vl', 'http://127.0.0.1:8000/v1')
    """
    address = Address.parse(url)
    return EndpointChat(model=name, address=address, api_key=key_for(address), **options)
