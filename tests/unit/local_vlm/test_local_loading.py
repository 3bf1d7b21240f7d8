"""Loading a local model: quantised, refused with a sentence, or said to be too large before anything is loaded."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path

import pytest
from taught import SEEN

from core.errors import BadInput, MissingExtra, UnknownName
from models.chat.local_vlm import open_local


@pytest.mark.parametrize(("quantize", "kind"), [("nf4", "Params4bit"), ("int8", "Int8Params")])
def test_quantised_weights_load_and_write(qwen, quantize, kind):
    pytest.importorskip("bitsandbytes", reason="quantisation needs bitsandbytes")
    small = open_local(str(qwen.folder), quantize=quantize, max_tokens=30)
    kinds = {type(parameter).__name__ for parameter in small.load().model.parameters()}
    assert kind in kinds
    assert quantize in small.load().note
    assert small.invoke(SEEN).content.startswith("The belt")


def test_quantising_without_bitsandbytes_names_the_extra(qwen, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"telltale\[gpu\]"):
        open_local(str(qwen.folder), quantize="nf4")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"quantize": "int3"}, "expected 'nf4', 'int8' or None"),
        ({"max_tokens": 0}, "1 ≤ max_tokens"),
        ({"max_context": 10, "max_tokens": 10}, "max_tokens < max_context"),
        ({"temperature": -1.0}, "temperature=-1.0"),
    ],
)
def test_options_out_of_range_are_refused(qwen, options, said):
    with pytest.raises(BadInput, match=re.escape(said)):
        open_local(str(qwen.folder), **options)


def spoiled(folder: Path, copy: Path, change) -> Path:
    shutil.copytree(folder, copy)
    change(copy)
    return copy


def edit_config(**more):
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **more}))

    return change


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def no_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


def cut_off(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "config.json").unlink(), "expected a folder with a config.json"),
        (edit_config(auto_map={"AutoModel": "evil.Model"}), "never run"),
        (edit_config(model_type="bert"), "no vision-language model"),
        (pickled, "no .safetensors weights"),
        (no_template, "no chat template"),
        (cut_off, "cannot be loaded"),
    ],
)
def test_a_folder_that_cannot_be_loaded_is_named(untaught, tmp_path, change, said):
    folder = spoiled(untaught.folder, tmp_path / "spoiled", change)
    with pytest.raises(BadInput, match=said):
        open_local(str(folder)).load()


def test_too_little_memory_is_said_before_loading(untaught, tmp_path, monkeypatch):
    import psutil

    folder = spoiled(untaught.folder, tmp_path / "other", lambda folder: None)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 10**8})())
    with pytest.raises(BadInput, match=r"needs about 1.1 GB of memory, 0.1 GB are free; choose quantize='nf4'"):
        open_local(str(folder)).load()


def test_a_name_that_is_not_installed_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TELLTALE_HOME", str(tmp_path))
    with pytest.raises(UnknownName, match="telltale models pull qwen3-vl-2b"):
        open_local("qwen3-vl-2b")
    with pytest.raises(UnknownName, match="Did you mean 'qwen3-vl-2b'"):
        open_local("qwen3-vl2b")


@pytest.mark.gpu
def test_cuda_spreads_the_layers_in_bf16(qwen):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    loaded = qwen.load()
    assert loaded.model.dtype == torch.bfloat16
    assert {parameter.device.type for parameter in loaded.model.parameters()} == {"cuda"}
    assert qwen.invoke(SEEN).content.startswith("The belt")
