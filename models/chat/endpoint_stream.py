"""One streamed answer of an OpenAI-compatible server, read piece by piece with a limit on every silence.

Servers differ: some leave out `index` or `id` of a tool call, send arguments as an object, or end without `[DONE]`. Everything is read
as untrusted data. Tool calls are collected and only handed out whole. Text that may turn out to be a call written as text is held back.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from models.chat.endpoint_errors import HalfStream, Silence
from models.chat.timing import Stopwatch
from models.chat.tool_calls import RawCall
from models.chat.tool_text import calls_in, may_be_call

T = TypeVar("T")
_REASONING = ("reasoning_content", "reasoning")
_LONGEST_ANSWER = 1_000_000
"""Characters; a server that never stops is cut here."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Seconds that are waited: for a connection, the first token, between tokens, and for everything together."""

    connect_s: float = 10.0
    first_token_s: float = 180.0
    between_tokens_s: float = 60.0
    total_s: float = 900.0


class Stream(Protocol):
    """What the OpenAI client returns for `stream=True`."""

    def __aiter__(self) -> AsyncIterator[Any]: ...


@dataclass
class _Call:
    """A tool call while it arrives."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class Clock:
    """The limits of one answer, counted from the moment it is asked for."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._end = time.monotonic() + patience.total_s

    @property
    def left(self) -> float:
        """Seconds until the total is used up."""
        return self._end - time.monotonic()

    async def wait(self, awaited: Awaitable[T], seconds: float, what: str) -> T:
        """`awaited`'s result, within `seconds` (`what` says what that means) and the total.

        Raises:
            Silence: a limit passed; `awaited` was cancelled.
        """
        left = self.left
        try:
            return await asyncio.wait_for(awaited, max(0.0, min(seconds, left)))
        except TimeoutError:
            if left <= seconds:
                raise Silence(f"the answer was not complete within {self._patience.total_s:g} s") from None
            raise Silence(what) from None


class Answer:
    """One answer as it arrives: `open` until there is something to show, `pieces` for the text, then the rest."""

    def __init__(self, *, patience: Patience, clock: Clock, watch: Stopwatch, tool_names: Sequence[str] = ()) -> None:
        self._chunks: AsyncIterator[Any] = _nothing()
        self._patience, self._clock, self._watch = patience, clock, watch
        self._names = tool_names
        self._first_by = time.monotonic() + patience.first_token_s
        self._alive = self._begun = self._ended = False
        self._held: list[str] = []
        self._passed: list[str] = []
        self._calls: dict[int | str, _Call] = {}
        self._text_calls: list[RawCall] = []
        self._holding = bool(tool_names)
        self._length = 0
        self.finish = self.model = self.refusal = ""
        self.tokens: int | None = None
        self.prompt_tokens: int | None = None

    async def open(self, stream: Stream) -> None:
        """Read until there is text to show or the answer has ended; up to here, a failure has shown nothing to anybody.

        Raises:
            Silence: no token in time.
            HalfStream: the stream ended without saying that it is complete.
        """
        self._chunks = stream.__aiter__()
        while not self._ended and not self._showable():
            await self._read()

    async def wait(self, awaited: Awaitable[T]) -> T:
        """`awaited`'s result while it comes in time: until the first token counted from the start, later from token to token.

        Raises:
            Silence: it did not come in time.
        """
        limits, started = self._patience, self._alive
        seconds = limits.between_tokens_s if started else max(0.0, self._first_by - time.monotonic())
        what = (
            f"it fell silent in the middle of the answer for {limits.between_tokens_s:g} s"
            if started
            else f"no first token within {limits.first_token_s:g} s"
        )
        return await self._clock.wait(awaited, seconds, what)

    async def pieces(self) -> AsyncGenerator[str]:
        """The answer's text as it comes; raises like `open`."""
        while True:
            if self._showable():
                piece = "".join(self._held)
                self._held.clear()
                self._passed.append(piece)
                yield piece
            if self._ended:
                return
            await self._read()

    async def aclose(self) -> None:
        """Hang up. The nested readers are ended from the inside, by a cancelled read, since the event loop would end them all at once."""
        while not self._ended:
            read = asyncio.ensure_future(_next(self._chunks))
            await asyncio.sleep(0)  # a read that never began would leave them waiting
            read.cancel()
            await asyncio.wait([read])
            self._ended = read.cancelled() or read.exception() is not None or read.result() is None

    @property
    def text(self) -> str:
        """All text so far, calls written as text included."""
        return "".join([*self._passed, *self._held])

    @property
    def calls(self) -> list[RawCall]:
        """The tool calls, as the model wrote them; complete once the answer has ended."""
        made = [
            RawCall(name=call.name, arguments="".join(call.arguments), **({"id": call.id} if call.id else {}))
            for call in self._calls.values()
        ]
        return made or self._text_calls

    def _showable(self) -> bool:
        return bool(self._held) and not self._holding

    async def _read(self) -> None:
        """Take in one chunk, or the end."""
        chunk = await self.wait(_next(self._chunks))
        if chunk is None:
            self._end()
            return
        data = chunk.model_dump(warnings=False) if hasattr(chunk, "model_dump") else chunk
        if not isinstance(data, dict):
            raise ValueError(f"expected an object, got {type(data).__name__}")
        self._take(data)

    def _take(self, data: dict[str, Any]) -> None:
        usage = data.get("usage")
        if isinstance(usage, dict):
            self.tokens = _count(usage.get("completion_tokens"))
            self.prompt_tokens = _count(usage.get("prompt_tokens"))
        if isinstance(data.get("model"), str):
            self.model = data["model"]
        choices = data.get("choices")
        if not choices:
            return
        if not (isinstance(choices, list) and isinstance(choices[0], dict)):
            raise ValueError("expected a list of choices")
        self._begun, choice = True, choices[0]
        self.finish = choice.get("finish_reason") or self.finish
        delta = choice.get("delta") or choice.get("message") or {}
        if not isinstance(delta, dict):
            raise ValueError("expected an object as delta")
        self._delta(delta)

    def _delta(self, delta: dict[str, Any]) -> None:
        text, calls = delta.get("content"), delta.get("tool_calls")
        if isinstance(text, str) and text:
            self._length += len(text)
            self._held.append(text)
            self._watch.token()
            self._alive = True
            if self._holding and not may_be_call("".join(self._held)):
                self._holding = False
        for call in calls if isinstance(calls, list) else []:
            self._call(call)
            self._watch.token()
            self._alive = True
        if isinstance(delta.get("refusal"), str):
            self.refusal += delta["refusal"]
        self._alive = self._alive or any(delta.get(name) for name in _REASONING)
        if self._length > _LONGEST_ANSWER:
            raise ValueError(f"the answer is longer than {_LONGEST_ANSWER:,} characters")

    def _call(self, piece: Any) -> None:
        function = piece.get("function") if isinstance(piece, dict) else None
        if not isinstance(function, dict):
            raise ValueError("expected a function in a tool call")
        place = piece.get("index")
        if place is None:  # a new id opens a call, a piece without one continues the last
            place = piece.get("id") or next(reversed(self._calls), 0)
        call = self._calls.setdefault(place, _Call())
        call.id = call.id or str(piece.get("id") or "")
        call.name = call.name or str(function.get("name") or "")
        arguments = function.get("arguments")
        if arguments is not None:
            call.arguments.append(arguments if isinstance(arguments, str) else json.dumps(arguments))
            self._length += len(call.arguments[-1])

    def _end(self) -> None:
        self._ended = True
        if not self.finish:
            raise HalfStream(empty=not self._begun)
        if self._holding and self._held:
            self._text_calls = [] if self._calls else calls_in("".join(self._held), self._names)
            self._holding = bool(self._text_calls)


async def _nothing() -> AsyncIterator[Any]:
    return
    yield


async def _next(chunks: AsyncIterator[Any]) -> Any | None:
    return await anext(chunks, None)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None
