"""Small readers of short messages: the embedded MiniLM with low-rank adapters and one linear head per question asked of a message.

Sources: Hu et al., LoRA (ICLR 2022): W + s·B·A with thin A (R, in) and B (out, R) learned and W kept; MiniLM as in `models.text`. What
is kept is A, B and the heads (about 1 MB); at loading B·A is added to the packaged weights once, so reading costs what a sentence
vector costs. Several fitted from other seeds err in other places, so what they say is averaged (`Committee`). Always float32 on the
CPU: a message must be read alike on every machine, and one takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput

if TYPE_CHECKING:
    import torch

    from models.text import BertBody

SCALE = 2.0
"""What a low-rank product is multiplied with."""
MOST_TOKENS = 96
ADAPTED = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "intermediate.dense",
           "output.dense")  # fmt: skip
Message = tuple[str, str]
"""A message and what was said before it (empty when nothing was)."""


@dataclass(frozen=True)
class QuestionReader:
    """The adapted network: `labels` of each head in the order of its outputs."""

    body: BertBody
    heads: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    labels: Mapping[str, tuple[str, ...]]

    def read(self, message: str, before: str = "") -> dict[str, dict[str, float]]:
        """Probability of each label, by head."""
        import torch

        with torch.inference_mode():
            pooled = pool(self.body, *tokens([(message, before)]))
            return {
                name: dict(zip(self.labels[name], (pooled @ weight.T + bias)[0].softmax(0).tolist(), strict=True))
                for name, (weight, bias) in self.heads.items()
            }


def names_adapted() -> list[str]:
    """The linear maps of the body that carry an adapter.

    >>> len(names_adapted()), names_adapted()[0]
    (36, 'encoder.layer.0.attention.self.query')
    """
    from models.text import LAYERS

    return [f"encoder.layer.{layer}.{name}" for layer in range(LAYERS) for name in ADAPTED]


def tokens(messages: Sequence[Message]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids (N, L), mask (N, L; True where there is a token) and segments (N, L) of messages with what was said before."""
    import torch

    from models.text import tokenizer

    found = [tokenizer().encode(message, before or None) for message, before in messages]
    longest = min(MOST_TOKENS, max(len(f.ids) for f in found))
    ids, segments = (torch.zeros((len(found), longest), dtype=torch.long) for _ in range(2))
    mask = torch.zeros((len(found), longest), dtype=torch.bool)
    for row, one in enumerate(found):
        kept = min(len(one.ids), longest)
        ids[row, :kept] = torch.tensor(one.ids[:kept])
        segments[row, :kept] = torch.tensor(one.type_ids[:kept])
        mask[row, :kept] = True
    return ids, mask, segments


def pool(body: BertBody, ids: torch.Tensor, mask: torch.Tensor, segments: torch.Tensor, *, dropped: float = 0.0) -> torch.Tensor:
    """What the heads see (N, 768): the mean of the hidden states beside the first one; `dropped` is a share of inputs set to zero."""
    import torch
    import torch.nn.functional as F

    embedded = body.like[ids]
    if dropped:
        embedded = F.dropout(embedded, dropped)
    hidden = body.hidden(embedded, mask, segments)
    share = mask[..., None].float()
    return torch.cat([(hidden * share).sum(1) / share.sum(1).clamp(min=1), hidden[:, 0]], dim=1)


def to_arrays(
    adapters: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
    heads: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
    labels: Mapping[str, Sequence[str]],
) -> dict[str, NDArray[np.generic]]:
    """What has to be kept of a fitted reader, in half precision."""
    made: dict[str, NDArray[np.generic]] = {}
    for name, (a, b) in adapters.items():
        made |= {f"{name}.a": a.detach().numpy().astype(np.float16), f"{name}.b": b.detach().numpy().astype(np.float16)}
    for name, (weight, bias) in heads.items():
        made |= {
            f"head.{name}.weight": weight.detach().numpy().astype(np.float16),
            f"head.{name}.bias": bias.detach().numpy().astype(np.float16), f"head.{name}.labels": np.array(list(labels[name])),
        }  # fmt: skip
    return made


def from_arrays(kept: Mapping[str, NDArray[np.generic]]) -> QuestionReader:
    """The reader of which `to_arrays` kept the arrays.

    Raises:
        BadInput: an array is missing.
    """
    import torch

    from models.text import BertBody, weights

    def tensor(name: str) -> torch.Tensor:
        if name not in kept:
            raise BadInput(
                f"question reader: expected an array {name!r} among the kept weights, found none. Reinstall the package."
            )
        return torch.from_numpy(np.asarray(kept[name], dtype=np.float32))

    merged = dict(weights())
    for name in names_adapted():
        merged[f"{name}.weight"] = merged[f"{name}.weight"] + SCALE * tensor(f"{name}.b") @ tensor(f"{name}.a")
    names = [key.split(".")[1] for key in kept if key.startswith("head.") and key.endswith(".labels")]
    return QuestionReader(
        body=BertBody(merged),
        heads={name: (tensor(f"head.{name}.weight"), tensor(f"head.{name}.bias")) for name in names},
        labels={name: tuple(map(str, kept[f"head.{name}.labels"])) for name in names},
    )


@dataclass(frozen=True)
class Committee:
    """Readers with the same labels, who are asked the same and whose probabilities are averaged."""

    readers: tuple[QuestionReader, ...]

    def read(self, message: str, before: str = "") -> dict[str, dict[str, float]]:
        """Probability of each label, by head."""
        said = [reader.read(message, before) for reader in self.readers]
        return {
            head: {label: sum(one[head][label] for one in said) / len(said) for label in labels}
            for head, labels in said[0].items()
        }


@lru_cache(maxsize=1)
def packaged(package: str, names: tuple[str, ...]) -> Committee:
    """The readers whose arrays lie in npz files of an installed package."""
    from importlib.resources import files
    from io import BytesIO

    readers = []
    for name in names:
        with np.load(BytesIO(files(package).joinpath(name).read_bytes()), allow_pickle=False) as kept:
            readers.append(from_arrays({key: kept[key] for key in kept.files}))
    return Committee(tuple(readers))
