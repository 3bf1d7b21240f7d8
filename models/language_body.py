"""Transformers that were pretrained on language and are fed by ready-made embeddings, frozen but, on request, for their norms.

The embedded one is MiniLM (an encoder: every token sees all others, D = 384). By name, where its weights are on this machine, any
text model of transformers that takes `inputs_embeds`: GPT-2, SmolLM2, Qwen2.5 (decoders: a token sees those before it). Two bodies tell
what the pretraining is worth: "random" is MiniLM's network with drawn weights, "none" hands its input on.

Sources: Zhou et al., One Fits All (NeurIPS 2023), and Yu et al., TriP-LLM (IEEE Access 2025), which feed such bodies with series; only
norms are freed, as they propose, and the first half of GPT-2's layers is taken in the former. Axes: embeddings and hidden states
(N, L, D).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import BadInput
from models.text import DIMENSIONS, LAYERS, BertBody

EMBEDDED, RANDOM, NONE = "minilm", "random", "none"
HUB: Mapping[str, str] = {
    "gpt2": "openai-community/gpt2",
    "smollm2-135m": "HuggingFaceTB/SmolLM2-135M",
    "qwen2.5-0.5b": "Qwen/Qwen2.5-0.5B",
}
"""Short names of the bodies that the paper names and that are free to fetch."""
INITIAL_DEVIATION = 0.02
"""Standard deviation of BERT's first weights."""


class LanguageBody(nn.Module):
    """A frozen body: (N, L, D) in, hidden states (N, L, D) float32 out.

    Only freed norms are parameters, float32 whatever the body's own format; everything else is left out of `state_dict`.

    >>> body = open_body("none")
    >>> body(torch.ones(1, 2, 384)).shape, list(body.parameters())
    (torch.Size([1, 2, 384]), [])
    """

    def __init__(self, *, title: str, width: int, longest: int) -> None:
        super().__init__()
        self.title, self.width, self.longest = title, width, longest
        self.freed = nn.ParameterDict()

    def _hidden(self, embedded: Tensor) -> Tensor:
        return embedded

    def forward(self, embedded: Tensor) -> Tensor:
        """Hidden states of the last layer.

        Raises:
            BadInput: more tokens than the body has positions for.
        """
        if embedded.shape[1] > self.longest:
            raise BadInput(
                f"body {self.title!r}: expected at most {self.longest} tokens, got {embedded.shape[1]}; use a larger stride or "
                "smaller windows."
            )
        with torch.autocast(embedded.device.type, enabled=False):
            return self._hidden(embedded).float()

    def _free(self, norms: Mapping[str, Tensor]) -> None:
        """Make these weights parameters; a parameter's name may hold no dot."""
        self.freed.update(
            {name.replace(".", "/"): nn.Parameter(weight.detach().float().clone()) for name, weight in norms.items()}
        )

    def _released(self, dtype: torch.dtype) -> dict[str, Tensor]:
        return {name.replace("/", "."): weight.to(dtype) for name, weight in self.freed.items()}


class EncoderBody(LanguageBody):
    """MiniLM's network on given weights."""

    def __init__(self, weights: Mapping[str, Tensor], *, title: str, layers: int, free_norms: bool) -> None:
        positions = weights["embeddings.position_embeddings.weight"]
        super().__init__(title=title, width=positions.shape[1], longest=len(positions))
        unused = tuple(f"encoder.layer.{number}." for number in range(layers, LAYERS))
        self._weights, self._layers = {name: w for name, w in weights.items() if not name.startswith(unused)}, layers
        if free_norms:
            self._free({name: weight for name, weight in self._weights.items() if "LayerNorm" in name})

    def _hidden(self, embedded: Tensor) -> Tensor:
        like = self._weights["embeddings.position_embeddings.weight"]
        body = BertBody({**self._weights, **self._released(like.dtype)}, self._layers)
        everything = torch.ones(embedded.shape[:2], dtype=torch.bool, device=embedded.device)
        return body.hidden(embedded.to(like.dtype), everything)


class TransformersBody(LanguageBody):
    """A text model of transformers, its dropout off."""

    def __init__(self, model: nn.Module, *, title: str, free_norms: bool) -> None:
        settings: Any = model.config
        longest = getattr(settings, "max_position_embeddings", None) or 1 << 20
        super().__init__(title=title, width=int(settings.hidden_size), longest=int(longest))
        # A list hides the model from `parameters`, `state_dict` and `train`: it stays as it was read.
        self._kept = [model.eval().requires_grad_(False)]
        if free_norms:
            self._free({
                f"{name}.{part}": weight
                for name, module in model.named_modules() if "Norm" in type(module).__name__
                for part, weight in module.named_parameters(recurse=False)
            })  # fmt: skip

    def _hidden(self, embedded: Tensor) -> Tensor:
        model = self._kept[0]
        dtype = next(model.parameters()).dtype
        given = {"inputs_embeds": embedded.to(dtype), "use_cache": False, "return_dict": True}
        hidden: Tensor = torch.func.functional_call(model, self._released(dtype), (), given).last_hidden_state
        return hidden


def open_body(
    name: str, *, layers: int | None = None, free_norms: bool = False, device: str = "auto", seed: int = 0
) -> LanguageBody:
    """The body of this name on its device: "minilm", "random", "none", a name of `HUB`, "owner/name" of a pulled model, or a folder.

    Args:
        name: of the body.
        layers: only the first so many; None: all.
        free_norms: make its layer norms parameters.
        device: "auto", "cpu", "cuda" or "cuda:N".
        seed: of the random body's weights.

    Raises:
        BadInput: the files are damaged, not safetensors, or no text model that takes embeddings; it has fewer layers.
        UnknownName: it is not on this machine; the message says how to get it.
    """
    from models.device import place

    if name == NONE:
        return LanguageBody(title=name, width=DIMENSIONS, longest=1 << 20)
    placement = place(device)
    if name in (EMBEDDED, RANDOM):
        from models.text import weights

        kept = _counted(name, layers, LAYERS)
        found = weights() if name == EMBEDDED else drawn_like(weights(), seed=seed)
        placed = {key: value.to(placement.device, placement.dtype) for key, value in found.items() if "word_emb" not in key}
        # BertBody keeps the table of words at hand; embeddings come ready-made here, so one row of it will do.
        placed["embeddings.word_embeddings.weight"] = placed["embeddings.position_embeddings.weight"][:1]
        return EncoderBody(placed, title=name, layers=kept, free_norms=free_norms)
    model = _from_folder(name, layers).to(placement.device, placement.dtype)
    return TransformersBody(model, title=name, free_norms=free_norms)


def _counted(title: str, layers: int | None, there: int) -> int:
    if layers is not None and not 1 <= layers <= there:
        raise BadInput(f"body {title!r}: expected 1 to {there} layers, or None for all of them, got {layers!r}.")
    return there if layers is None else layers


def drawn_like(weights: Mapping[str, Tensor], *, seed: int) -> dict[str, Tensor]:
    """The same names and shapes with BERT's first weights: what the network is before it has read anything."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, weight in weights.items():
        if name.endswith("bias"):
            made[name] = torch.zeros_like(weight)
        elif "LayerNorm" in name:
            made[name] = torch.ones_like(weight)
        else:
            made[name] = torch.empty_like(weight).normal_(0, INITIAL_DEVIATION, generator=generator)
    return made


def _from_folder(name: str, layers: int | None) -> nn.Module:
    from transformers import AutoConfig, AutoModel

    from models.chat.hub import find_model, verify

    title, folder = find_model(HUB.get(name.lower(), name))
    verify(folder)
    try:
        settings = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if getattr(settings, "is_encoder_decoder", False) or not hasattr(settings, "hidden_size"):
            raise BadInput(f"body {title!r}: expected a text model with one stack of layers, got {settings.model_type!r}.")
        settings.num_hidden_layers = _counted(title, layers, settings.num_hidden_layers)
        model: nn.Module = AutoModel.from_pretrained(
            folder, config=settings, local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise BadInput(f"body {title!r}: expected a text model of transformers, but it cannot be read ({error}).") from error
    return model
