"""MiniLM written out on torch: the same vectors as the reference implementation, order and batching do not matter."""

import subprocess
import sys

import numpy as np
import pytest

from core.errors import BadInput
from models import text
from models.text import DIMENSIONS, embed, similarity

SENTENCES = ["a person is running", "the tile is cracked", "", "svc_backup read lsass.exe at 3:15 pm; " * 30, "ünïcode – 温度 °C"]


def test_vectors_are_units_in_order():
    vectors = embed(SENTENCES, device="cpu")
    assert vectors.shape == (5, DIMENSIONS)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-4)
    text._remembered.clear()
    assert embed(SENTENCES[::-1], device="cpu")[::-1] == pytest.approx(vectors, abs=5e-3)


def test_same_vectors_as_the_reference_implementation():
    import torch
    from transformers import BertModel

    from core.weights import MINILM, locate

    reference = BertModel.from_pretrained(str(locate(MINILM).parent), local_files_only=True).eval()
    body = text.BertBody({k: v.float() for k, v in reference.state_dict().items() if v.is_floating_point()})
    ids = torch.tensor([text.tokenizer().encode(SENTENCES[3]).ids, text.tokenizer().encode(SENTENCES[3]).ids[::-1]])
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[1, 40:] = False
    with torch.inference_mode():
        ours = body.hidden(body.like[ids], mask)
        theirs = reference(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    assert ours[mask].numpy() == pytest.approx(theirs[mask].numpy(), abs=1e-4)
    assert embed([SENTENCES[3]], device="cpu").shape == (1, DIMENSIONS)


def test_meaning_counts_not_wording():
    near = similarity(["which bottles are broken?", "how severe is it?"], ["damaged glass containers", "how bad is this?"])
    assert near[0, 0] > near[0, 1] + 0.2
    assert near[1, 1] > near[1, 0] + 0.2


def test_remembered_texts_are_not_computed_again(monkeypatch):
    embed(["once seen"], device="cpu")
    monkeypatch.setattr(text, "_embed_new", lambda new, device: pytest.fail("computed again") if new else [])
    embed(["once seen", "once seen"], device="cpu")


def test_memory_of_texts_is_bounded(monkeypatch):
    monkeypatch.setattr(text, "REMEMBERED", 3)
    embed([f"text {i}" for i in range(6)], device="cpu")
    assert len(text._remembered) == 3


@pytest.mark.parametrize("wrong", ["one string", [3], [None, "a"]])
def test_what_is_no_list_of_texts_is_refused(wrong):
    with pytest.raises(BadInput, match="expected a list of strings"):
        embed(wrong)


def test_the_cold_path_imports_neither_transformers_nor_torchvision():
    asked = "print([m for m in ('transformers', 'torchvision', 'sklearn') if m in sys.modules])"
    code = f"import sys; from models.text import embed; embed(['a']); {asked}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
