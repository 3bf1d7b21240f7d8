"""Where and in which number format models run: chosen once, with its reason.

CUDA in bf16 where it exists; else the CPU, in bf16 where the processor multiplies bf16 natively (2–4× faster than fp32 with
channels_last), else fp32. Every model takes `device="auto"`; nothing else in the project asks about CUDA. A number format may be asked
for behind a slash: "cuda/fp32", "cpu/fp32", "auto/bf16".
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from core.errors import BadInput

if TYPE_CHECKING:
    import torch

FORMATS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
log = logging.getLogger(__name__)
_leaving = threading.Lock()
_left, _threads = 0, 1


@dataclass(frozen=True)
class Placement:
    """A device, a number format, why, and whether the format was asked for."""

    device: torch.device
    dtype: torch.dtype
    reason: str
    asked: bool = False

    @property
    def near_one(self) -> torch.dtype:
        """The format for networks whose numbers are known to stay far below 65,504: fp16 instead of bf16 on CUDA.

        Both take the same time there, and fp16 keeps three more bits: features of the embedded network are then 0.9 % from those in
        fp32 instead of 8 %. A format that was asked for stays.
        """
        import torch

        return torch.float16 if self.device.type == "cuda" and self.dtype is torch.bfloat16 and not self.asked else self.dtype


@cache
def place(device: str = "auto") -> Placement:
    """Choose where to run.

    Raises:
        BadInput: `device` is not "auto", "cpu" or an available CUDA device, or what follows its slash is no number format.

    >>> str(place("cpu/fp32").dtype)
    'torch.float32'
    """
    import torch

    device, slash, wanted = device.partition("/")
    if slash and wanted not in FORMATS:
        raise BadInput(f"device {device}/{wanted}: expected {', '.join(map(repr, FORMATS))} behind the slash, got {wanted!r}.")
    if device not in ("auto", "cpu") and not device.startswith("cuda"):
        raise BadInput(f"device {device!r}: expected 'auto', 'cpu', 'cuda' or 'cuda:N'.")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BadInput(f"device {device!r}: no CUDA device is available here; use 'auto' or 'cpu'.")
    if device != "cpu" and torch.cuda.is_available():
        chosen = torch.device("cuda" if device == "auto" else device)
        placement = Placement(chosen, torch.bfloat16, f"{torch.cuda.get_device_name(chosen)}, bf16")
    elif _cpu_multiplies_bf16():
        placement = Placement(torch.device("cpu"), torch.bfloat16, "CPU with native bf16 (AVX512-BF16 or AMX)")
    else:
        placement = Placement(torch.device("cpu"), torch.float32, "CPU without native bf16: fp32")
    if slash:
        placement = Placement(
            placement.device, getattr(torch, FORMATS[wanted]), f"{placement.reason}; {wanted} was asked for", True
        )
    log.info("models run on %s", placement.reason)
    return placement


@contextmanager
def leaving_a_core() -> Iterator[None]:
    """While this lasts, torch leaves one core to whoever reads ahead in a thread (`core.read_ahead`).

    With as many threads as cores the two wait for each other, and torch's wait by spinning: 30 to 60 % more CPU time on two cores.
    """
    import torch

    global _left, _threads
    with _leaving:
        if _left == 0:
            _threads = torch.get_num_threads()
            torch.set_num_threads(max(1, _threads - 1))
        _left += 1
    try:
        yield
    finally:
        with _leaving:
            _left -= 1
            if _left == 0:
                torch.set_num_threads(_threads)


def _cpu_multiplies_bf16() -> bool:
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
