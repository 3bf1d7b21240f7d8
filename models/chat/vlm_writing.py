"""One answer of a local model, token by token: streamed from a thread, timed, stopped when its budget ends or nobody waits.

Generation runs in a thread of its own while the text is passed on. It can be stopped between tokens, and inside a long prompt between
two layers of the network, so that a stopped chat frees the processor at once.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from core.errors import BadInput
from core.progress import step
from models.chat.failures import AnswerCutOff
from models.chat.timing import Stopwatch

if TYPE_CHECKING:
    import torch

    from models.chat.vlm_loading import LoadedVlm

POLL_S = 0.1


class _Stopped(Exception):
    """Raised inside the network to leave it; never seen outside this module."""


class Writing:
    """Iterate for pieces of text; afterwards `text`, `tokens` and the stopwatch tell what was written and how fast.

    Args:
        loaded: the model.
        inputs: tensors of the prompt on its device.
        max_tokens: the answer may have so many; more is AnswerCutOff.
        deadline: `time.monotonic()` at which to stop.
        watch: started when the request came.
        temperature: 0 takes the likeliest token each time, so that an answer can be repeated.
        stop: texts that end the answer.

    Raises (while iterating):
        AnswerCutOff: time or tokens ran out before the model ended its answer.
        BudgetExceeded: the surrounding `core.progress.watching` block was stopped.
        BadInput: not enough memory for this prompt.
    """

    def __init__(
        self, loaded: LoadedVlm, inputs: dict[str, Any], *, max_tokens: int, deadline: float, watch: Stopwatch,
        temperature: float = 0.0, stop: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self._loaded, self._inputs, self._max, self._deadline, self._watch = loaded, inputs, max_tokens, deadline, watch
        self._temperature, self._stop = temperature, list(stop)
        self._leave = threading.Event()
        self._failure: BaseException | None = None
        self._ended = False
        self.text = ""
        self.tokens = 0

    def __iter__(self) -> Iterator[str]:
        from transformers import TextIteratorStreamer

        while not self._loaded.lock.acquire(timeout=POLL_S):
            self._check()
        streamer = TextIteratorStreamer(self._loaded.processor.tokenizer, skip_prompt=True, skip_special_tokens=True)
        thread = threading.Thread(target=self._generate, args=(streamer,), name="local-vlm", daemon=True)
        thread.start()
        try:
            while (piece := self._next(streamer.text_queue)) is not None:
                if piece:
                    self.text += piece
                    yield piece
        finally:
            self._leave.set()
            thread.join()
            self._loaded.lock.release()
        self._finish()

    def _next(self, pieces: queue.Queue[str | None]) -> str | None:
        while True:
            self._check()
            try:
                return pieces.get(timeout=POLL_S)
            except queue.Empty:
                continue

    def _check(self) -> None:
        """Report progress and stop when the time is over or the chat was stopped."""
        step("tokens", self.tokens)
        if time.monotonic() > self._deadline:
            raise AnswerCutOff(
                f"the local model's time ran out after {self.tokens} tokens; give it more time, a smaller model or less to look at.",
                partial=self.text,
            )

    def _finish(self) -> None:
        if self._failure is not None:
            if _no_memory(self._failure):
                raise BadInput(
                    "there is not enough memory for this prompt; choose a smaller model, quantize='nf4' or fewer pictures."
                ) from self._failure
            raise self._failure
        if not self._ended:
            raise AnswerCutOff(
                f"the local model was not done after {self._max} tokens; raise max_tokens or ask for less.", partial=self.text
            )

    def _generate(self, streamer: Any) -> None:
        """The thread: run the network, leave the result on `self`."""
        import torch
        from transformers import StoppingCriteriaList

        handles = [layer.register_forward_pre_hook(self._leave_if_stopped) for layer in _layers(self._loaded.model)]
        sampling: dict[str, Any] = {"do_sample": self._temperature > 0}
        if self._temperature > 0:
            sampling["temperature"] = self._temperature
        else:  # what a model's own generation_config says about sampling would only raise warnings now
            sampling |= {"temperature": None, "top_p": None, "top_k": None}
        if self._stop:
            sampling |= {"stop_strings": self._stop, "tokenizer": self._loaded.processor.tokenizer}
        ends = _end_tokens(self._loaded.model)
        try:
            with torch.inference_mode():
                ids = self._loaded.model.generate(
                    **self._inputs, streamer=streamer, max_new_tokens=self._max, use_cache=True,
                    stopping_criteria=StoppingCriteriaList([self._count]), **sampling,
                )  # fmt: skip
            self._ended = self.tokens < self._max or int(ids[0, -1]) in ends
        except _Stopped:
            pass
        except BaseException as error:  # handed over to the thread that waits for the text
            self._failure = error
        finally:
            for handle in handles:
                handle.remove()
            streamer.text_queue.put(streamer.stop_signal)

    def _count(self, ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Called after each token."""
        import torch

        self.tokens += 1
        self._watch.token()
        return torch.full((ids.shape[0],), self._leave.is_set(), device=ids.device, dtype=torch.bool)

    def _leave_if_stopped(self, *_: Any) -> None:
        if self._leave.is_set():
            raise _Stopped


def _layers(model: Any) -> Iterator[Any]:
    """Every repeated block of the network, of its eyes and of its language part."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList):
            yield from module


def _end_tokens(model: Any) -> set[int]:
    ends = model.generation_config.eos_token_id
    return set(ends) if isinstance(ends, list) else {ends}


def _no_memory(error: BaseException) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
