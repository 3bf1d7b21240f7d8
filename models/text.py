"""Sentences as vectors: the embedded all-MiniLM-L6-v2, for matching questions, rules and class names by meaning.

The network (a 6-layer BERT body, mean-pooled over tokens and normalised) is written out here on plain torch operations, because
importing transformers or sentence-transformers for it costs seconds at every cold start; the weights are the packaged ones.
Sources: Devlin et al., BERT (NAACL 2019); Wang et al., MiniLM (NeurIPS 2020); Reimers & Gurevych, Sentence-BERT (EMNLP 2019).
Vectors are (N, 384) float32 of unit length, so a dot product is the cosine similarity.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput

if TYPE_CHECKING:
    import torch

DIMENSIONS = 384
LAYERS, HEADS, EPSILON = 6, 12, 1e-12
MAX_TOKENS = 256
"""What the model was trained with; longer texts are cut."""
BATCH = 64
REMEMBERED = 20_000

_remembered: OrderedDict[tuple[str, str], NDArray[np.float32]] = OrderedDict()


def embed(texts: Sequence[str], *, device: str = "auto") -> NDArray[np.float32]:
    """Unit vectors (N, 384) float32 of `texts`, in order; texts seen before are remembered.

    Similar meaning gives a dot product near 1, unrelated texts about 0. The empty text has a vector too. A text's vector depends
    on its batch companions only within the number format's rounding (below 1e-3 in bf16, 1e-6 in fp32).

    Raises:
        BadInput: `texts` is a single string, or holds something that is not text.

    >>> embed([]).shape
    (0, 384)
    """
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        wrong = next((t for t in texts if not isinstance(t, str)), texts)
        raise BadInput(f"texts: expected a list of strings, got {type(wrong).__name__} {wrong!r:.60}.")
    new = [text for text in dict.fromkeys(texts) if (device, text) not in _remembered]
    for text, vector in zip(new, _embed_new(new, device), strict=True):
        _remembered[(device, text)] = vector
    found = [_remembered[(device, text)] for text in texts]
    for text in texts:
        _remembered.move_to_end((device, text))
    while len(_remembered) > REMEMBERED:
        _remembered.popitem(last=False)
    return np.stack(found) if found else np.zeros((0, DIMENSIONS), np.float32)


def similarity(texts: Sequence[str], others: Sequence[str], *, device: str = "auto") -> NDArray[np.float32]:
    """Cosine similarities (N, M) float32 of `texts` with `others`.

    Raises:
        BadInput: as `embed`.

    >>> similarity(["a dog"], []).shape
    (1, 0)
    """
    return embed(texts, device=device) @ embed(others, device=device).T


def _embed_new(texts: list[str], device: str) -> NDArray[np.float32]:
    """Embed texts that are not remembered yet, similar lengths together so that little is padded."""
    out = np.zeros((len(texts), DIMENSIONS), np.float32)
    if not texts:
        return out
    import torch

    body, encodings = _body(device), tokenizer().encode_batch(texts)
    order = sorted(range(len(texts)), key=lambda i: len(encodings[i].ids))
    with torch.inference_mode():
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            longest = max(len(encodings[i].ids) for i in chosen)
            ids = torch.zeros((len(chosen), longest), dtype=torch.long)
            mask = torch.zeros((len(chosen), longest), dtype=torch.bool)
            for row, i in enumerate(chosen):
                ids[row, : len(encodings[i].ids)] = torch.tensor(encodings[i].ids)
                mask[row, : len(encodings[i].ids)] = True
            out[chosen] = body.sentences(ids, mask).cpu().numpy()
    return out


class BertBody:
    """MiniLM's transformer, or its first `layers`: tokens or ready-made embeddings in, hidden states (N, L, 384) out."""

    def __init__(self, weights: dict[str, torch.Tensor], layers: int = LAYERS) -> None:
        self.weights, self.layers = weights, layers
        self.like = weights["embeddings.word_embeddings.weight"]

    def sentences(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Unit vectors (N, 384) float32 for token ids (N, L) and their mask (N, L), True where there is a token."""
        import torch.nn.functional as F

        ids, mask = ids.to(self.like.device), mask.to(self.like.device)
        hidden = self.hidden(self.like[ids], mask).float()
        share = mask[..., None].float()
        return F.normalize((hidden * share).sum(1) / share.sum(1).clamp(min=1), dim=-1)

    def hidden(self, embedded: torch.Tensor, mask: torch.Tensor, segments: torch.Tensor | None = None) -> torch.Tensor:
        """Hidden states of word `embedded` (N, L, 384), L ≤ 512; positions and segments (N, L; without: all 0) are added here."""
        w = self.weights
        positions = w["embeddings.position_embeddings.weight"][: embedded.shape[1]]
        table = w["embeddings.token_type_embeddings.weight"]
        x = self._norm(embedded + positions + (table[0] if segments is None else table[segments]), "embeddings.LayerNorm")
        for layer in range(self.layers):
            x = self._layer(x, mask, f"encoder.layer.{layer}.")
        return x

    def _layer(self, x: torch.Tensor, mask: torch.Tensor, at: str) -> torch.Tensor:
        import torch.nn.functional as F

        n, length, width = x.shape
        query, key, value = (
            self._linear(x, f"{at}attention.self.{what}").view(n, length, HEADS, width // HEADS).transpose(1, 2)
            for what in ("query", "key", "value")
        )
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
        mixed = mixed.transpose(1, 2).reshape(n, length, width)
        x = self._norm(x + self._linear(mixed, f"{at}attention.output.dense"), f"{at}attention.output.LayerNorm")
        wide = F.gelu(self._linear(x, f"{at}intermediate.dense"))
        return self._norm(x + self._linear(wide, f"{at}output.dense"), f"{at}output.LayerNorm")

    def _linear(self, x: torch.Tensor, at: str) -> torch.Tensor:
        import torch.nn.functional as F

        return F.linear(x, self.weights[f"{at}.weight"], self.weights[f"{at}.bias"])

    def _norm(self, x: torch.Tensor, at: str) -> torch.Tensor:
        import torch.nn.functional as F

        return F.layer_norm(x, (DIMENSIONS,), self.weights[f"{at}.weight"], self.weights[f"{at}.bias"], EPSILON)


@cache
def _body(device: str) -> BertBody:
    """The network on its device, loaded once."""
    from models.device import place

    placement = place(device)
    return BertBody({name: t.to(placement.device, placement.dtype) for name, t in weights().items()})


def weights() -> dict[str, torch.Tensor]:
    """The packaged weights by name, float32 on the CPU."""
    from safetensors.torch import load_file

    from core.weights import MINILM, locate

    return {name: t.float() for name, t in load_file(locate(MINILM)).items() if t.is_floating_point()}


def pieces(text: str) -> NDArray[np.float32]:
    """Input vectors (L, 384) float32 of a text's L word pieces, straight from the weight file: what its words mean one by one.

    Neither the network nor torch is loaded, so this costs milliseconds where `embed` costs seconds at a cold start.

    >>> pieces("").shape
    (0, 384)
    """
    ids = tokenizer().encode(text, add_special_tokens=False).ids
    table = _table()
    rows = [table[i : i + 1] for i in ids]
    return np.concatenate(rows).astype(np.float32) if rows else np.zeros((0, DIMENSIONS), np.float32)


def is_word(word: str) -> bool:
    """True for a common English word (lower case): one that the model's vocabulary holds whole.

    >>> is_word("witch"), is_word("whcih")
    (True, False)
    """
    return tokenizer().token_to_id(word) is not None


@cache
def _table() -> Any:
    """The table of word-piece vectors, read row by row."""
    from safetensors import safe_open

    from core.weights import MINILM, locate

    opened: Any = safe_open(str(locate(MINILM)), framework="np")
    return opened.get_slice("embeddings.word_embeddings.weight")


@cache
def tokenizer() -> Any:
    """The packaged WordPiece tokenizer, cut at MAX_TOKENS."""
    from tokenizers import Tokenizer

    from core.weights import MINILM, locate

    tokenizer = Tokenizer.from_file(str(locate(MINILM).parent / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.no_padding()
    return tokenizer
