"""Soft prompts: embeddings that stand before a language model's prompt, and learning them while the model stays as it is.

Source: prompt tuning (Lester et al., EMNLP 2021). A prefix enters through the model's own token embedding: placeholder tokens are put in
front of the prompt, and their embeddings are replaced on the way out of the embedding layer. So picture tokens, rotary positions, cache
and generation stay the model's own, whichever model it is. The loss is the cross-entropy of the right answer's tokens.

Axes: prefixes (N, T, W) of T embeddings of the model's width W.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from core.errors import BadInput

NOT_ASKED = -100
"""Label of tokens that the loss passes over, transformers' convention."""


def placeholder(model: Any) -> int:
    """A token that never begins a prompt: the one for padding, else the one that ends an answer."""
    settings = model.generation_config
    token = settings.pad_token_id if settings.pad_token_id is not None else settings.eos_token_id
    return int(token[0] if isinstance(token, list) else token)


def with_room(inputs: dict[str, Any], token: int, count: int) -> dict[str, Any]:
    """Prompt tensors with `count` placeholders in front of the tokens; `token` is from `placeholder`.

    >>> with_room({"input_ids": torch.tensor([[5, 6]]), "attention_mask": torch.ones(1, 2)}, 0, 3)["input_ids"].tolist()
    [[0, 0, 0, 5, 6]]
    """
    front = {"input_ids": token, "attention_mask": 1, "mm_token_type_ids": 0}
    return {key: F.pad(value, (count, 0), value=front[key]) if key in front else value for key, value in inputs.items()}


@contextmanager
def prefixed(model: Any, prefix: Tensor, token: int, *, ids: Tensor | None = None) -> Iterator[None]:
    """While this lasts, prompts of `model` that begin with T placeholders are read with `prefix` (N, T, W) in their stead.

    Other prompts, and the single tokens of generation, pass as they are; so do all but the prompt `ids` (1, L) when it is given, for a
    model that several chats share.

    Raises:
        BadInput: a prompt of another batch size than the prefix.
    """
    count = prefix.shape[1]

    def replace(module: Any, given: tuple[Tensor, ...], embedded: Tensor) -> Tensor:
        asked = given[0]
        if asked.ndim != 2 or asked.shape[1] <= count or not bool((asked[:, :count] == token).all()):
            return embedded
        if ids is not None and not torch.equal(asked, ids):
            return embedded
        if len(asked) != len(prefix):
            raise BadInput(f"{len(asked)} prompts: expected as many as prefixes, {len(prefix)}.")
        return torch.cat([prefix.to(embedded.dtype), embedded[:, count:]], dim=1)

    handle = model.get_input_embeddings().register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()


@dataclass(frozen=True, eq=False)
class Asked:
    """A prompt as tensors, and the tokens (A,) of its right answer."""

    inputs: dict[str, Any]
    answer: Tensor

    @property
    def shape(self) -> tuple[Any, ...]:
        """Prompts of equal shape can be read together."""
        return tuple(sorted((key, tuple(value.shape)) for key, value in self.inputs.items()))


def answer_tokens(loaded: Any, answer: str) -> Tensor:
    """The tokens of an answer, with the one that ends it, on the device of a loaded model."""
    end = loaded.model.generation_config.eos_token_id
    ids = [*loaded.processor.tokenizer(answer, add_special_tokens=False)["input_ids"], end[0] if isinstance(end, list) else end]
    return torch.tensor(ids, device=loaded.device)


def batches(asked: Sequence[Asked], size: int, generator: torch.Generator) -> Iterator[list[int]]:
    """Numbers of prompts of equal shapes, at most `size` together, in random order."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for number in torch.randperm(len(asked), generator=generator).tolist():
        groups.setdefault(asked[number].shape, []).append(number)
    for group in groups.values():
        yield from (group[start : start + size] for start in range(0, len(group), size))


def answer_loss(model: Any, prefix: Tensor, asked: Sequence[Asked]) -> tuple[Tensor, int]:
    """Mean cross-entropy over the tokens of the answers to prompts of one shape, with gradients to `prefix`; and their number."""
    token, count = placeholder(model), prefix.shape[1]
    longest = max(len(one.answer) for one in asked)
    answers = torch.stack([F.pad(one.answer, (0, longest - len(one.answer)), value=token) for one in asked])
    given = torch.stack([torch.arange(longest, device=answers.device) < len(one.answer) for one in asked])
    inputs = {key: torch.cat([one.inputs[key] for one in asked]) for key in asked[0].inputs}
    length = inputs["input_ids"].shape[1]
    inputs["input_ids"] = torch.cat([inputs["input_ids"], answers], dim=1)
    inputs["attention_mask"] = torch.cat([inputs["attention_mask"], given.to(inputs["attention_mask"].dtype)], dim=1)
    if "mm_token_type_ids" in inputs:
        inputs["mm_token_type_ids"] = F.pad(inputs["mm_token_type_ids"], (0, longest))
    with prefixed(model, prefix, token):
        logits = model(**with_room(inputs, token, count), use_cache=False).logits
    said = logits[:, count + length - 1 : count + length + longest - 1].float()
    labels = answers.masked_fill(~given, NOT_ASKED)
    return F.cross_entropy(said.flatten(0, 1), labels.flatten(), ignore_index=NOT_ASKED), int(given.sum())


@contextmanager
def frozen(loaded: Any) -> Iterator[None]:
    """While this lasts nobody else uses the loaded model, it is in its state for answering, and its weights take no gradients."""
    model = loaded.model
    with loaded.lock:
        wanted = [(weight, weight.requires_grad) for weight in model.parameters()]
        training = model.training
        model.eval()
        for weight, _ in wanted:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            model.train(training)
            for weight, had in wanted:
                weight.requires_grad_(had)
