"""Vision-language models of transformers from a folder: checked first, then loaded once, on the device and in the format that suit it.

Only safetensors weights are read and no code of the model's repository is ever run. On CUDA accelerate spreads the layers over what
is there (`device_map="auto"`); on a CPU the model lies in memory as a whole. bitsandbytes quantises at load: "int8" (Dettmers et al.,
LLM.int8(), 2022) or "nf4" (Dettmers et al., QLoRA, 2023); on a CPU that saves memory, not time.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import re
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from core.errors import BadInput, MissingExtra
from models.chat.hub import ROOM_BYTES, SHARE, UNQUANTISED, verify
from models.chat.vlm_messages import control_marks
from models.chat.written_calls import OPEN

if TYPE_CHECKING:
    import torch

    from models.device import Placement

log = logging.getLogger(__name__)
_loading = threading.Lock()
Quantize: TypeAlias = Literal["nf4", "int8"] | None
VIDEO_MODELS = frozenset(("qwen3_vl", "qwen3_vl_moe"))
"""Their processors print the time of every pair of frames from the video's metadata; others drop frames or round the time."""


@dataclass(frozen=True, eq=False)
class LoadedVlm:
    """A model with its processor, ready to write."""

    model: Any
    processor: Any
    folder: Path
    device: torch.device
    context: int
    """Tokens the model was built for, prompt and answer together."""
    native_tools: bool
    """Whether the chat template takes tools and answers in `<tool_call>` tags."""
    video: bool
    tiles: bool
    """Whether pictures are cut into tiles, at many tokens each."""
    marks: re.Pattern[str] | None
    note: str
    """Device, number format and quantisation, for people."""
    lock: threading.Lock = field(default_factory=threading.Lock)


def check_folder(folder: Path) -> dict[str, Any]:
    """Read `config.json` of a model folder and make sure that it is one that can be loaded.

    Raises:
        BadInput: no model, no safetensors weights, no chat template, or code of its own.
    """
    try:
        config = dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
        if not isinstance(config.get("model_type"), str):
            raise ValueError("it names no model_type")
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(f"model {str(folder)!r}: expected a folder with a config.json of transformers ({error}).") from error
    if "auto_map" in config:
        raise BadInput(
            f"model {str(folder)!r} brings its own program code, which is never run; choose a model that transformers knows."
        )
    if not any(folder.glob("*.safetensors")):
        raise BadInput(f"model {str(folder)!r} has no .safetensors weights; pickled weights are not read.")
    templates = ("chat_template.jinja", "chat_template.json", "processor_config.json", "tokenizer_config.json")
    if not any(
        "chat_template" in name or '"chat_template"' in _text(folder / name) for name in templates if (folder / name).is_file()
    ):
        raise BadInput(f"model {str(folder)!r} has no chat template; choose an instruction-tuned model.")
    return config


def check_quantize(quantize: str | None) -> None:
    """Make sure that `quantize` is a known kind and bitsandbytes is there for it.

    Raises:
        BadInput: another word.
        MissingExtra: bitsandbytes is not installed.
    """
    if quantize not in (None, *SHARE):
        raise BadInput(f"quantize={quantize!r}: expected 'nf4', 'int8' or None.")
    if quantize is not None and importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtra.named("bitsandbytes", "gpu", f"quantize={quantize!r}")


def load_vlm(folder: Path, device: str = "auto", quantize: Quantize = None) -> LoadedVlm:
    """Load the model in `folder`; the last one is kept, since two rarely fit.

    Raises:
        BadInput: as `check_folder`; not a vision-language model; not enough memory; files damaged or other than pulled; a device
            that is not there.
        MissingExtra: a package the model or the quantisation needs is not installed.
    """
    with _loading:
        return _load(folder, device, quantize)


@lru_cache(maxsize=1)
def _load(folder: Path, device: str, quantize: Quantize) -> LoadedVlm:
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as KNOWN
    from transformers.utils import logging as transformers_logging

    from models.device import place

    config = check_folder(folder)
    kind = config["model_type"]
    if kind not in KNOWN:
        raise BadInput(
            f"model {str(folder)!r} is of type {kind!r}, which is no vision-language model of the installed transformers."
        )
    verify(folder)
    check_quantize(quantize)
    placement = place(device)
    dtype, options = _options(placement, device, quantize)
    _check_memory(folder, config, placement, dtype, quantize)
    # its bars would write over the steps of the terminal
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)  # type: ignore[no-untyped-call]
        model = AutoModelForImageTextToText.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=dtype, **options
        )
    except ImportError as error:
        raise MissingExtra(f"model {folder.name!r} needs another package: {' '.join(str(error).split())}") from error
    except Exception as error:  # safetensors, tokenizers and config readers each have their own; all mean files that do not fit
        raise BadInput(
            f"model {str(folder)!r} cannot be loaded ({type(error).__name__}: {' '.join(str(error).split())[:300]})."
        ) from error
    if getattr(getattr(processor, "video_processor", None), "cap_pixels_per_frame", True) is None:
        processor.video_processor.cap_pixels_per_frame = True  # as in Qwen's own code, and transformers' coming default
    template = processor.chat_template or processor.tokenizer.chat_template
    if not isinstance(template, str):
        raise BadInput(f"model {str(folder)!r}: expected one chat template, got {type(template).__name__}.")
    note = f"{placement.reason}, {str(dtype).removeprefix('torch.')}" + (f", {quantize} weights" if quantize else "")
    log.info("%s loaded: %s", folder.name, note)
    return LoadedVlm(
        model=model, processor=processor, folder=folder, device=model.device,
        context=int(model.config.get_text_config().max_position_embeddings),
        native_tools=OPEN in template and re.search(r"\btools\b", template) is not None,
        video=kind in VIDEO_MODELS,
        tiles=bool(getattr(processor.image_processor, "do_image_splitting", False)),
        marks=control_marks(processor.tokenizer), note=note,
    )  # fmt: skip


def _options(placement: Placement, device: str, quantize: Quantize) -> tuple[torch.dtype, dict[str, Any]]:
    """The number format, and what from_pretrained needs for the device and the quantisation."""
    import torch

    cuda = placement.device.type == "cuda"
    options: dict[str, Any] = {}
    if cuda:
        options["device_map"] = "auto" if device == "auto" else {"": device}
    if quantize is None:
        return placement.dtype, options
    from transformers import BitsAndBytesConfig

    options.setdefault("device_map", {"": "cpu"})
    if quantize == "int8":
        options["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)  # type: ignore[no-untyped-call]
        return torch.float16, options  # what LLM.int8() multiplies in; another format is converted at every layer
    options["quantization_config"] = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=placement.dtype
    )
    return placement.dtype, options


def weight_bytes(folder: Path) -> int:
    """Bytes of the weight files in `folder`."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _check_memory(
    folder: Path, config: dict[str, Any], placement: Placement, dtype: torch.dtype, quantize: Quantize
) -> None:  # fmt: skip
    """Refuse before loading what cannot fit into the computer's memory; on CUDA accelerate decides."""
    if placement.device.type == "cuda":
        return
    import psutil

    stored = config.get("dtype") or config.get("torch_dtype") or config.get("text_config", {}).get("dtype") or "bfloat16"
    halves = weight_bytes(folder) / (2 if "32" in str(stored) else 1)
    wide = dtype.itemsize / 2
    need = halves * (SHARE[quantize] + UNQUANTISED * (wide - 1) if quantize else wide) + ROOM_BYTES
    free = psutil.virtual_memory().available
    if need > free:
        hint = "choose a smaller model" if quantize == "nf4" else "choose quantize='nf4' or a smaller model"
        raise BadInput(f"model {folder.name!r} needs about {need / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free; {hint}.")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
