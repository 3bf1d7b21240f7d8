"""The reader of messages: merged adapters equal the ones that were learned, and reading is stable."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import linear

from core.errors import BadInput
from models.question_reader import (
    ADAPTED,
    MOST_TOKENS,
    SCALE,
    QuestionReader,
    from_arrays,
    names_adapted,
    pool,
    to_arrays,
    tokens,
)
from models.text import LAYERS, BertBody, weights

RANK = 2
LABELS = {"colour": ("red", "green", "blue"), "size": ("small", "large")}
MESSAGES = [
    ("video : when?", ""),
    ("series : which sensor was the first to leave its range, and for how long?", "what is wrong?"),
]


@pytest.fixture(scope="module")
def learned() -> tuple[dict[str, tuple[torch.Tensor, torch.Tensor]], dict[str, tuple[torch.Tensor, torch.Tensor]]]:
    """Random adapters and heads, in half precision as they are kept."""
    torch.manual_seed(0)
    base = weights()
    adapters = {
        name: ((torch.randn(RANK, base[f"{name}.weight"].shape[1]) / 20).half().float(),
               (torch.randn(base[f"{name}.weight"].shape[0], RANK) / 20).half().float())
        for name in names_adapted()
    }  # fmt: skip
    heads = {
        name: (torch.randn(len(labels), 768).half().float(), torch.randn(len(labels)).half().float())
        for name, labels in LABELS.items()
    }
    return adapters, heads


@pytest.fixture(scope="module")
def reader(learned) -> QuestionReader:  # type: ignore[no-untyped-def]
    return from_arrays(to_arrays(*learned, LABELS))


def test_every_linear_map_of_every_layer_is_adapted() -> None:
    assert len(names_adapted()) == LAYERS * len(ADAPTED)
    assert {f"{name}.weight" for name in names_adapted()} == {
        name for name, t in weights().items() if name.startswith("encoder.layer") and name.endswith("weight") and t.ndim == 2
    }


def test_merged_weights_read_as_the_adapters_beside_them(learned, reader: QuestionReader) -> None:  # type: ignore[no-untyped-def]
    adapters, heads = learned

    class Beside(BertBody):
        def _linear(self, x: torch.Tensor, at: str) -> torch.Tensor:
            a, b = adapters[at]
            return super()._linear(x, at) + SCALE * linear(linear(x, a), b)

    for message, before in MESSAGES:
        with torch.inference_mode():
            pooled = pool(Beside(weights()), *tokens([(message, before)]))
            wanted = {n: (pooled @ w.T + b)[0].softmax(0).numpy() for n, (w, b) in heads.items()}
        found = reader.read(message, before)
        for name, labels in LABELS.items():
            assert tuple(found[name]) == labels
            np.testing.assert_allclose(list(found[name].values()), wanted[name], atol=1e-4)


def test_the_adapters_matter(reader: QuestionReader) -> None:
    plain = pool(BertBody(weights()), *tokens(MESSAGES[:1]))
    assert float((plain - pool(reader.body, *tokens(MESSAGES[:1]))).abs().max()) > 0.01


def test_what_was_said_before_is_read(reader: QuestionReader) -> None:
    assert reader.read("and then?") != reader.read("and then?", "what happened at 0:12?")


def test_a_batch_reads_as_its_messages_do(reader: QuestionReader) -> None:
    together = pool(reader.body, *tokens(MESSAGES))
    for row, one in enumerate(MESSAGES):
        np.testing.assert_allclose(together[row].numpy(), pool(reader.body, *tokens([one]))[0].numpy(), atol=1e-4)


@pytest.mark.parametrize("text", ["", " ", "☃ \ud83d", "word " * 5000])
def test_any_text_is_read(reader: QuestionReader, text: str) -> None:
    found = reader.read(text.encode("utf-8", "replace").decode(), text.encode("utf-8", "replace").decode())
    assert sum(found["size"].values()) == pytest.approx(1.0, abs=1e-5)
    assert tokens([(text.encode("utf-8", "replace").decode(), "")])[0].shape[1] <= MOST_TOKENS


def test_a_missing_array_is_named(learned) -> None:  # type: ignore[no-untyped-def]
    kept = to_arrays(*learned, LABELS)
    del kept["encoder.layer.3.output.dense.a"]
    with pytest.raises(BadInput, match=r"layer\.3\.output\.dense\.a"):
        from_arrays(kept)


def test_a_committee_says_the_mean_of_its_readers(learned, reader) -> None:  # type: ignore[no-untyped-def]
    from models.question_reader import Committee

    adapters, heads = learned
    other = from_arrays(to_arrays(adapters, {name: (weight.flip(0), bias) for name, (weight, bias) in heads.items()}, LABELS))
    said = [one.read(*MESSAGES[1]) for one in (reader, other, Committee((reader, other)))]
    for head, labels in LABELS.items():
        assert sum(said[2][head].values()) == pytest.approx(1.0)
        for label in labels:
            assert said[2][head][label] == pytest.approx((said[0][head][label] + said[1][head][label]) / 2)
