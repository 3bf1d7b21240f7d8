"""EfficientNet-Lite0 for inference: the embedded ImageNet network, with batch norm folded into the convolutions.

Why not timm's `tf_efficientnet_lite0`, which is the same network (a test holds the two equal): importing timm costs 2 s of every
cold start, and the folded network is 1.5× as fast in bf16 and twice as fast in fp32 on a CPU (measured, 320 px).

Source: Tan & Le, EfficientNet (ICML 2019), the "lite" variant of 2020: no squeeze-and-excitation, ReLU6, fixed stem and head.
Axes: pictures (N, 3, H, W), values (RGB − 127) / 128. Padding is TensorFlow's "same", which shifts cells
to the right and down; training has undone most of it, and `CENTRES` says what is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import BadInput
from core.weights import EFFICIENTNET_LITE0, locate
from models.device import Placement

STAGES: tuple[tuple[int, int, int, int, int], ...] = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
)  # fmt: skip
"""(blocks, kernel, stride of the first block, expansion, channels) of each stage."""
TAPS: dict[int, tuple[int, int]] = {4: (1, 24), 8: (2, 40), 16: (4, 112), 32: (6, 320)}
"""Stride of a tap -> (stage whose output it is, channels): the last stage of each resolution."""
CENTRES: dict[int, float] = {4: 2.5, 8: 3.4, 16: 9.2, 32: 16.5}
"""Stride of a tap -> input pixel that cell 0 looks at; cell i looks at `CENTRES[stride] + stride · i`.

Measured: the centroid of the change that a small blob makes in the features of real pictures (a test repeats it). Padding alone
would give s − 1 and the middle of a block (s − 1) / 2; the trained filters lean back towards the middle.
"""
LEVEL_CHANNELS: tuple[int, ...] = (32, *(stage[-1] for stage in STAGES), 1280)
"""Channels of stem, stages and head, as `EfficientNetLite0.levels` gives them."""
BATCH_NORM_EPSILON = 1e-3


def _joins_steps(x: Tensor) -> bool:
    """Whether a convolution and its ReLU6 are one step: on a CPU that spares a pass over memory, a sixth of the time.

    It is what torch's own compiler makes of the two, and the numbers are the same to the bit. Not while gradients are recorded or
    the network is traced for another runtime, which must see plain steps.
    """
    return _one_step() and x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]


@cache
def _one_step() -> bool:
    return bool(torch.backends.mkldnn.is_available()) and hasattr(torch.ops.mkldnn, "_convolution_pointwise")  # type: ignore[no-untyped-call]


class _Conv(nn.Module):
    """Convolution with "same" padding, folded batch norm and, where asked, ReLU6."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1, act: bool = True) -> None:
        super().__init__()
        self.kernel, self.stride, self.act = kernel, stride, act
        padding = kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride > 1:
            (top, bottom), (left, right) = (self._padding(size) for size in x.shape[-2:])
            x = F.pad(x, (left, right, top, bottom))
        conv = self.conv
        if _joins_steps(x):
            act, bounds = ("hardtanh", [0.0, 6.0]) if self.act else ("none", [])
            y: Tensor = torch.ops.mkldnn._convolution_pointwise(
                x, conv.weight, conv.bias, conv.padding, conv.stride, conv.dilation, conv.groups, act, bounds, ""
            )
            return y
        x = conv(x)
        return x.clamp_(0.0, 6.0) if self.act else x

    def _padding(self, size: int) -> tuple[int, int]:
        total = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
        return total // 2, total - total // 2


class _Block(nn.Module):
    """Inverted residual: widen, filter each channel, narrow; added to the input where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = inputs * expansion
        widen = [_Conv(inputs, middle, 1)] if expansion > 1 else []
        self.body = nn.Sequential(
            *widen, _Conv(middle, middle, kernel, stride, groups=middle), _Conv(middle, outputs, 1, act=False)
        )
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return y.add_(x) if self.skip else y


@contextmanager
def sizes_as_they_come(x: Tensor) -> Iterator[None]:
    """While this lasts, convolutions of a CUDA tensor are done without cuDNN.

    cuDNN plans every convolution anew for every size of picture, which took 1.4 s a size for this network on an H200; PyTorch's own
    convolutions took 8 ms the first time and 4.9 ms from then on (cuDNN, once planned: 4.2 ms; of 32 pictures of one size together 0.09
    instead of 0.41 ms each). Photos of one line differ in size.
    """
    if not x.is_cuda:
        yield
        return
    with torch.backends.cudnn.flags(enabled=False):
        yield


class EfficientNetLite0(nn.Module):
    """The network; `taps` gives feature maps by stride, `forward` the 1,000 ImageNet logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Conv(3, LEVEL_CHANNELS[0], 3, 2)
        stages, channels = [], LEVEL_CHANNELS[0]
        for blocks, kernel, stride, expansion, outputs in STAGES:
            stage = []
            for index in range(blocks):
                stage.append(_Block(channels, outputs, kernel, stride if index == 0 else 1, expansion))
                channels = outputs
            stages.append(nn.Sequential(*stage))
        self.stages = nn.ModuleList(stages)
        self.head = _Conv(320, LEVEL_CHANNELS[-1], 1)
        self.classifier = nn.Linear(LEVEL_CHANNELS[-1], 1000)

    def taps(self, x: Tensor, strides: tuple[int, ...]) -> list[Tensor]:
        """Feature maps (N, C, ⌈H/s⌉, ⌈W/s⌉) of the asked strides, in that order; stops after the deepest one needed."""
        wanted = {TAPS[stride][0]: stride for stride in strides}
        found: dict[int, Tensor] = {}
        with sizes_as_they_come(x):
            x = self.stem(x)
            for index in range(max(wanted) + 1):
                x = self.stages[index](x)
                if index in wanted:
                    found[wanted[index]] = x
        return [found[stride] for stride in strides]

    def levels(self, x: Tensor) -> list[Tensor]:
        """The nine levels (N, C, h, w): stem, each of the seven stages, head; `LEVEL_CHANNELS` says how many channels each has."""
        with sizes_as_they_come(x):
            found = [self.stem(x)]
            for stage in self.stages:
                found.append(stage(found[-1]))
            return [*found, self.head(found[-1])]

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, 1000)."""
        with sizes_as_they_come(x):
            x = self.stem(x)
            for stage in self.stages:
                x = stage(x)
            logits: Tensor = self.classifier(self.head(x).mean((2, 3)))
        return logits

    def fold(self, state: dict[str, Tensor]) -> None:
        """Take over the original weights, which come in the order of the layers, folding each batch norm.

        Raises:
            BadInput: there are too many or too few tensors, or one has another shape.
        """
        values: Iterator[Tensor] = iter(state.values())
        try:
            for conv in (m for m in self.modules() if isinstance(m, nn.Conv2d)):
                weight, gain, offset, mean, variance, _count = (next(values) for _ in range(6))
                scale = gain / torch.sqrt(variance + BATCH_NORM_EPSILON)
                conv.weight.copy_(weight * scale[:, None, None, None])
                if conv.bias is not None:
                    conv.bias.copy_(offset - mean * scale)
            self.classifier.weight.copy_(next(values))
            self.classifier.bias.copy_(next(values))
            left_over = sum(1 for _ in values)
        except (StopIteration, RuntimeError) as error:
            raise BadInput(f"weights do not fit EfficientNet-Lite0 ({error or 'too few tensors'}).") from error
        if left_over:
            raise BadInput(f"weights do not fit EfficientNet-Lite0: {left_over} tensors too many.")


@cache
def load(placement: Placement) -> EfficientNetLite0:
    """The embedded network on this device in this number format, built once per process.

    Raises:
        MissingExtra: the weight package is not installed.
        BadInput: the weight file is damaged.
    """
    with torch.no_grad(), torch.device("meta"):
        net = EfficientNetLite0()  # no random initialisation: every tensor is overwritten
    net = net.to_empty(device="cpu").requires_grad_(False).eval()
    with torch.no_grad():
        net.fold(torch.load(locate(EFFICIENTNET_LITE0), weights_only=True, map_location="cpu"))
    return net.to(device=placement.device, dtype=placement.near_one, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
