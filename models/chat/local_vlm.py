"""A vision-language model on this machine as a LangChain chat model: pictures, video frames with true times, streaming, tools.

Qwen3-VL is the default, SmolVLM2 the small one; any model of transformers' image-text-to-text family works whose folder holds
safetensors weights and a chat template. Qwen3-VL: Bai et al., Qwen3-VL Technical Report (2025). SmolVLM: Marafioti et al., SmolVLM:
Redefining small and efficient multimodal models (2025).
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool

from core.errors import BadInput, ModelOutputError
from core.settings import limits
from models.chat.hub import find_model
from models.chat.tiers import DEFAULT_LOCAL
from models.chat.timing import Stopwatch
from models.chat.tool_text import may_be_call
from models.chat.vlm_loading import LoadedVlm, Quantize, check_folder, check_quantize, load_vlm
from models.chat.vlm_messages import to_turns
from models.chat.vlm_prompt import fit
from models.chat.vlm_writing import Writing
from models.chat.written_calls import OPEN, Reading, Tools, read_marked, read_plain
from prompts.loader import render

MAX_TOKENS = 1024
MAX_CONTEXT = 16_384
"""Tokens of prompt and answer together, if the model takes so many; memory grows with them."""


def open_local(
    name: str = DEFAULT_LOCAL, *, device: str = "auto", quantize: Quantize = None, max_tokens: int = MAX_TOKENS,
    max_context: int = MAX_CONTEXT, temperature: float = 0.0, tiles: bool | None = None, budget_s: float | None = None,
) -> BaseChatModel:  # fmt: skip
    """A local model by its name in `telltale models list`, its hub name or the path of its folder; loaded at the first question.

    Args:
        name: "qwen3-vl-4b", "Qwen/Qwen3-VL-4B-Instruct", or a folder.
        device: "auto", "cpu", "cuda" or "cuda:N".
        quantize: "nf4" or "int8" to need less memory (bitsandbytes), None for the device's own format.
        max_tokens: tokens an answer may have.
        max_context: tokens of prompt and answer together; older pictures give way beyond it.
        temperature: 0 is repeatable.
        tiles: whether SmolVLM looks at one or two pictures in tiles as well: sharper, and up to 17 times the work. None: on CUDA only.
        budget_s: seconds for one answer, repairs included; default is the tool budget of the settings.

    Raises:
        UnknownName: no such model is installed; the message says how to get it.
        BadInput: the folder holds no vision-language model that can be loaded, files are damaged, or an option is out of range.
        MissingExtra: `quantize` without bitsandbytes.
    """
    check_quantize(quantize)
    if max_tokens < 1 or max_context <= max_tokens:
        raise BadInput(f"max_context={max_context}, max_tokens={max_tokens}: expected 1 ≤ max_tokens < max_context.")
    if temperature < 0:
        raise BadInput(f"temperature={temperature!r}: expected 0 or more.")
    title, folder = find_model(name)
    check_folder(folder)
    return LocalVlm(
        model=title, folder=folder, device=device, quantize=quantize, max_tokens=max_tokens, max_context=max_context,
        temperature=temperature, tiles=tiles, budget_s=limits().tool_budget_s if budget_s is None else budget_s,
    )  # fmt: skip


class LocalVlm(BaseChatModel):
    """The chat model; `open_local` makes it.

    Messages may hold text, pictures (`models.chat.messages.picture_block`) and video frames (`models.chat.frames.frames_block`).
    `response_metadata` of an answer holds `timing` (as `models.chat.timing.Timing`), `notes` (what did not fit) and `repaired`.

    Raises (when asked):
        AnswerCutOff: time or tokens ran out; a BudgetExceeded with the text so far as `partial`.
        ModelOutputError: a tool call that is still wrong after the model was told once what is wrong.
        BadInput: a message it cannot take, text longer than the context, or not enough memory.
    """

    model: str
    folder: Path
    device: str = "auto"
    quantize: Quantize = None
    max_tokens: int = MAX_TOKENS
    max_context: int = MAX_CONTEXT
    temperature: float = 0.0
    tiles: bool | None = None
    budget_s: float = float("inf")

    @property
    def _llm_type(self) -> str:
        return "telltale-local-vlm"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "quantize": self.quantize, "temperature": self.temperature, "max_tokens": self.max_tokens}

    def load(self) -> LoadedVlm:
        """The network, loaded at the first call."""
        return load_vlm(self.folder, self.device, self.quantize)

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools: BaseTool, pydantic class, function or OpenAI-style dict.

        `tool_choice` is "auto", "none", "any" ("required"), or the name of the one tool to call.
        """
        offered = [convert_to_openai_tool(tool) for tool in tools]
        return self.bind(tools=offered, tool_choice=tool_choice, **kwargs)

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:  # fmt: skip
        turn = self._turn(messages, stop or [], **kwargs)
        while True:
            try:
                next(turn)
            except StopIteration as end:
                return ChatResult(generations=[ChatGeneration(message=end.value)])

    def _stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:  # fmt: skip
        turn = self._turn(messages, stop or [], **kwargs)
        try:
            while True:
                piece = next(turn)
                chunk = ChatGenerationChunk(message=AIMessageChunk(content=piece))
                if run_manager is not None:
                    run_manager.on_llm_new_token(piece, chunk=chunk)
                yield chunk
        except StopIteration as end:
            yield ChatGenerationChunk(message=_last_chunk(end.value))
        finally:
            turn.close()

    def _turn(
        self, messages: Sequence[BaseMessage], stop: Sequence[str], *, tools: Tools = (), tool_choice: str | None = None,
        prefix: Any = None, **_: Any,
    ) -> Generator[str, None, AIMessage]:  # fmt: skip
        """Write one answer, yielding the words of it as they come; a wrong tool call is asked for once more.

        `prefix` are soft prompts (1, T, W) of an adapter, put before every prompt of the answer.
        """
        watch, deadline = Stopwatch(), time.monotonic() + self.budget_s
        loaded = self.load()
        tools = () if tool_choice == "none" else tools
        names = [tool["function"]["name"] for tool in tools]
        required = _required(tool_choice, names)
        read = read_marked if loaded.native_tools else read_plain
        conversation, streamed = list(messages), ""
        notes: tuple[str, ...] = ()
        problems: tuple[str, ...] = ()
        asked = written = 0
        for attempt in range(2):
            prompt = self._prompt(loaded, conversation, tools, required, spare=0 if prefix is None else int(prefix.shape[1]))
            inputs, before = _with_prefix(loaded, prompt.inputs, prefix)
            writing = Writing(
                loaded, inputs, max_tokens=self.max_tokens, deadline=deadline, watch=watch, temperature=self.temperature,
                stop=stop,
            )  # fmt: skip
            with before:
                for piece in _words(writing, marked=loaded.native_tools) if tools else writing:
                    if attempt == 0:  # words beside the first call; those beside its repair would say it again
                        streamed += piece
                        yield piece
            asked += prompt.tokens
            written += writing.tokens
            notes = notes or prompt.notes
            reading = read(writing.text, tools, required=required) if tools else Reading(writing.text)
            if not reading.problems:
                if attempt and reading.text and not (reading.calls and streamed.strip()):
                    rest = f"\n{reading.text}" if streamed.strip() else reading.text
                    streamed += rest
                    yield rest
                return AIMessage(
                    content=streamed.strip(),
                    tool_calls=list(reading.calls),
                    response_metadata={
                        "model_name": self.model, "device": loaded.note,
                        "finish_reason": "tool_calls" if reading.calls else "stop",
                        "timing": watch.read(tokens=written).to_json(), "notes": list(notes), "repaired": attempt > 0,
                    },
                    usage_metadata=UsageMetadata(input_tokens=asked, output_tokens=written, total_tokens=asked + written),
                )  # fmt: skip
            problems = reading.problems
            ask = render("tool_repair", problems=problems, marked=loaded.native_tools, names=names)
            conversation += [AIMessage(writing.text), HumanMessage(ask)]
        raise ModelOutputError(
            f"{self.model} wrote a tool call that cannot be used, twice ({'; '.join(problems)}). Ask again in other words, or use a "
            "larger model."
        )

    def _prompt(
        self, loaded: LoadedVlm, conversation: Sequence[BaseMessage], tools: Tools, required: str | None, *, spare: int = 0
    ) -> Any:
        """The conversation as tensors that leave room for the answer and for `spare` tokens before it."""
        instruction = ""
        if tools and not loaded.native_tools:
            described = [{"description": "", "parameters": {}, **tool["function"]} for tool in tools]
            instruction = render("tool_json", tools=described, required=required)
        turns = to_turns(
            conversation, native_tools=loaded.native_tools, video=loaded.video, marks=loaded.marks, instruction=instruction
        )
        room = min(self.max_context, loaded.context) - self.max_tokens - spare
        if room < 1:
            raise BadInput(
                f"{self.model} takes {loaded.context:,} tokens in all; max_tokens={self.max_tokens:,} leaves no room to ask."
            )
        tiles = loaded.device.type == "cuda" if self.tiles is None else self.tiles
        return fit(loaded, turns, tools=tools, room=room, tiles=tiles)


def _with_prefix(loaded: LoadedVlm, inputs: dict[str, Any], prefix: Any) -> tuple[dict[str, Any], Any]:
    """The tensors of a prompt with room for soft prompts, and the block in which the model reads them there."""
    if prefix is None:
        return inputs, nullcontext()
    from models.soft_prompts import placeholder, prefixed, with_room

    token = placeholder(loaded.model)
    roomy = with_room(inputs, token, int(prefix.shape[1]))
    return roomy, prefixed(loaded.model, prefix, token, ids=roomy["input_ids"])


def _words(writing: Writing, *, marked: bool) -> Iterator[str]:
    """The pieces of an answer that are surely words: nothing from a tool call on, nothing that may still become one."""
    held, sure = "", False
    pieces = iter(writing)
    for piece in pieces:
        held += piece
        if marked:
            before, found, _ = held.partition(OPEN)
            if found:
                if before:
                    yield before
                for _ in pieces:  # the call is read when it is whole
                    pass
                return
            keep = next((n for n in range(min(len(OPEN) - 1, len(held)), 0, -1) if held.endswith(OPEN[:n])), 0)
            ready, held = held[: len(held) - keep], held[len(held) - keep :]
            if ready:
                yield ready
        elif sure or not may_be_call(held):
            sure = True
            yield held
            held = ""
    if held and (marked or not may_be_call(held)):
        yield held


def _required(choice: Any, names: Sequence[str]) -> str | None:
    """What `tool_choice` asks for: None, "any" or a name.

    Raises:
        BadInput: a name that is not offered.

    >>> _required("required", ["look"]), _required("look", ["look"]), _required(None, ["look"])
    ('any', 'look', None)
    """
    if isinstance(choice, dict):
        choice = choice.get("function", {}).get("name")
    if choice in (None, False, "auto", "none"):
        return None
    if choice in (True, "any", "required"):
        return "any"
    if choice not in names:
        raise BadInput(f"tool_choice={choice!r}: expected 'auto', 'none', 'any' or one of {', '.join(names) or 'no tools'}.")
    return str(choice)


def _last_chunk(message: AIMessage) -> AIMessageChunk:
    """Everything of an answer but its words, which were streamed."""
    calls = [
        tool_call_chunk(name=call["name"], args=json.dumps(call["args"], ensure_ascii=False), id=call["id"], index=index)
        for index, call in enumerate(message.tool_calls)
    ]
    return AIMessageChunk(
        content="", tool_call_chunks=calls, response_metadata=message.response_metadata, usage_metadata=message.usage_metadata,
        chunk_position="last",
    )  # fmt: skip
