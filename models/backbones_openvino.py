"""The embedded network by OpenVINO: the fastest way to patch features on a CPU.

The network with its input normalisation is traced once per size of picture (a second or so) and compiled for this processor; number
format and threads are those that torch would use (bf16 where the processor multiplies it, `torch.get_num_threads()`). Features agree
with torch's to rounding: in fp32 within 1e-4 of their largest value, in bf16 to 1 − 1e-3 in cosine, patch by patch (a test holds both).

Axes: pictures (N, H, W, 3) uint8 on the CPU; maps (N, C, H/s, W/s) float32.
"""

from __future__ import annotations

import warnings
from functools import cache, lru_cache
from typing import Any

import torch

from core.errors import MissingExtra
from models.backbone_weights import EMBEDDED
from models.backbones import Taps, layout
from models.device import Placement, place
from models.efficientnet_lite import EfficientNetLite0, load

SIZES = 8
"""Compiled sizes of picture that are kept; each holds some 20 MB."""


class OpenVinoBackbone:
    """EfficientNet-Lite0, tapped by strides 4, 8, 16, 32, in number format and threads as `models.device` chose.

    Raises:
        MissingExtra: OpenVINO is not installed.
    """

    def __init__(self, placement: Placement) -> None:
        _openvino()
        self.layout = layout(EMBEDDED)
        self._format = "bf16" if placement.dtype == torch.bfloat16 else "f32"

    def maps(self, pictures: torch.Tensor, taps: Taps) -> list[torch.Tensor]:
        """Maps (N, C, h, w) float32, in the order of `taps.strides`."""
        compiled = _compiled(tuple(pictures.shape), taps.strides, self._format, torch.get_num_threads())
        found = compiled(pictures.contiguous().numpy())
        # copies: the compiled network writes its next results into the same memory
        return [torch.from_numpy(found[index].copy()) for index in range(len(taps.strides))]


class _Traced(torch.nn.Module):
    """Pictures (N, H, W, 3) uint8 in, maps of the strides out."""

    def __init__(self, net: EfficientNetLite0, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.net, self.strides = net, strides

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        from models.patches import _to_input

        return tuple(self.net.taps(_to_input(pictures, torch.float32), self.strides))


@lru_cache(maxsize=SIZES)
def _compiled(shape: tuple[int, ...], strides: tuple[int, ...], number_format: str, threads: int) -> Any:
    openvino = _openvino()
    net = load(Placement(torch.device("cpu"), torch.float32, place("cpu").reason))
    model = _converted(_Traced(net, strides), torch.zeros(shape, dtype=torch.uint8))
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": number_format, "INFERENCE_NUM_THREADS": threads}
    return openvino.Core().compile_model(model, "CPU", settings)


def _converted(module: torch.nn.Module, example: torch.Tensor) -> Any:
    """OpenVINO's graph of a module for inputs of the example's shape.

    By its PyTorch front end, not by `openvino.convert_model`, which reports each use to Intel unless the person has opted out.
    """
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # tracing makes sizes constants, which is meant here; it is old, yet read best by OpenVINO
        traced: Any = torch.jit.trace(module.eval(), example, check_trace=False)  # type: ignore[no-untyped-call]
        front_end = FrontEndManager().load_by_framework(framework="pytorch")
        decoder = TorchScriptPythonDecoder(traced, example_input=example)  # must live until its graph is converted
        model = front_end.convert(front_end.load(decoder))
    (pictures,) = model.inputs
    pictures.get_node().set_element_type(openvino.Type.u8)
    pictures.get_node().set_partial_shape(openvino.PartialShape(list(example.shape)))
    model.validate_nodes_and_infer_types()
    return model


def _openvino() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise MissingExtra.named("openvino", "openvino", "runtime='openvino'") from error
    return openvino


@cache
def load_openvino(placement: Placement) -> OpenVinoBackbone:
    """The embedded network by OpenVINO in the number format of `placement`, built once per process.

    Raises:
        MissingExtra: OpenVINO is not installed.
    """
    return OpenVinoBackbone(placement)
