"""A network that rebuilds what a thing looked like in seven frames, and how it moved, from what it looked like.

Source: Wang et al., Making Reconstruction-based Method Great Again for Video Anomaly Detection (ICDM 2022): a frame encoder, a transformer
over the seven frames whose queries, keys and values are made by convolutions, and a decoder; two branches that both read colour, one for
colour and one for motion; Adam at 1e-3 with eps 1e-7, sum of both mean squared errors; before judging, the input is moved a small step
against the gradient of its own error.
Ours: `width` channels after the first block (published: 32); a pair map's convolution over [query; key] is done as the sum of one over
queries and one over keys, which is the same numbers for a seventh of the work; positions are learned for each head; training ends early
when the loss no longer falls.

Axes: colour x (N, 7, 3, 32, 32) float32, 0 to 1; flow f (N, 7, 2, 32, 32) float32; attention (N, heads, 7 i, 7 j, 8, 8); errors (N,)
are sums of squares over a cube.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import BadInput
from core.progress import step

HEADS, POSITIONS, SLOPE, GROUPS = 4, 10, 0.2, 4
RATE, EPS, BATCH = 1e-3, 1e-7, 128
PATIENCE, LEAST_GAIN = 100, 0.01
"""Training ends when the mean loss of this many steps is less than this share below that of as many before."""


def double(into: int, out: int) -> nn.Sequential:
    """Twice a 3×3 convolution, batch normalisation and ReLU."""
    layers: list[nn.Module] = []
    for channels in (into, out):
        layers += [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class ConvAttention(nn.Module):
    """One layer of attention between the frames (N, T, C, h, w) of a cube, at each pixel by itself.

    >>> ConvAttention(16)(torch.zeros(2, 7, 16, 8, 8)).shape
    torch.Size([2, 7, 16, 8, 8])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels, 3, padding=1, groups=HEADS)
        self.value = nn.Conv2d(channels, channels, 3, padding=1, groups=HEADS)
        """Of keys and values: they differ in the position only."""
        self.position = nn.Parameter(torch.randn(POSITIONS, channels))
        self.pair_query = nn.Conv2d(channels, HEADS, 3, padding=1, groups=HEADS)
        self.pair_key = nn.Conv2d(channels, HEADS, 3, padding=1, groups=HEADS, bias=False)
        self.forward_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.GroupNorm(GROUPS, channels)

    def attention(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (N, heads, T i, T j, h, w), which add up to 1 over j, and values (N, T, C, h, w) without positions."""
        count, length, channels, height, width = x.shape
        flat = x.flatten(0, 1)
        place = self.position[:length].reshape(1, length, channels, 1, 1)
        value = F.leaky_relu(self.value(flat), SLOPE).reshape(x.shape)
        query = F.leaky_relu(self.query(flat), SLOPE).reshape(x.shape) + place
        ours = self.pair_query(query.flatten(0, 1)).reshape(count, length, HEADS, height, width).transpose(1, 2)
        theirs = self.pair_key((value + place).flatten(0, 1)).reshape(count, length, HEADS, height, width).transpose(1, 2)
        pairs = F.leaky_relu(ours[:, :, :, None] + theirs[:, :, None], SLOPE)
        return pairs.softmax(dim=3), value

    def forward(self, x: Tensor) -> Tensor:
        """The frames with what they took from one another."""
        weights, value = self.attention(x)
        count, length, channels, height, width = x.shape
        split = value.reshape(count, length, HEADS, channels // HEADS, height, width)
        taken = torch.einsum("nhijyx,njhcyx->nihcyx", weights.to(split.dtype), split).reshape(x.shape)
        u = (taken + x).flatten(0, 1)
        y: Tensor = self.norm(F.leaky_relu(self.forward_conv(u), SLOPE) + u)
        return y.reshape(x.shape)


class Branch(nn.Module):
    """Colour (N, 7, 3, 32, 32) in, `out` channels (N, 7, out, 32, 32) rebuilt."""

    def __init__(self, out: int, *, layers: int, width: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            double(3, width), nn.MaxPool2d(2), double(width, 2 * width), nn.MaxPool2d(2), double(2 * width, 4 * width)
        )
        self.layers = nn.Sequential(*(ConvAttention(4 * width) for _ in range(layers)))
        self.decoder = nn.Sequential(
            _twice(4 * width), double(4 * width, 2 * width), _twice(2 * width), double(2 * width, width), nn.Conv2d(width, out, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """What is rebuilt."""
        count, length = x.shape[:2]
        maps = self.encoder(x.flatten(0, 1))
        maps = self.layers(maps.reshape(count, length, *maps.shape[1:])).flatten(0, 1)
        made: Tensor = self.decoder(maps)
        return made.reshape(count, length, *made.shape[1:])


def _twice(channels: int) -> nn.Module:
    return nn.ConvTranspose2d(channels, channels, 3, stride=2, padding=1, output_padding=1)


class StateNetwork(nn.Module):
    """Rebuilds colour and motion of cubes from their colour.

    >>> colour, flow = StateNetwork(layers=1, width=4)(torch.zeros(2, 7, 3, 32, 32))
    >>> tuple(colour.shape), tuple(flow.shape)
    ((2, 7, 3, 32, 32), (2, 7, 2, 32, 32))
    """

    def __init__(self, *, layers: int = 3, width: int = 32, seed: int = 0) -> None:
        super().__init__()
        if layers < 0 or width < 1:
            raise BadInput(f"expected layers from 0 and width from 1, got layers={layers!r}, width={width!r}.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.colour = Branch(3, layers=layers, width=width)
            self.motion = Branch(2, layers=layers, width=width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Colour and flow, rebuilt."""
        return self.colour(x), self.motion(x)


def loss_of(network: StateNetwork, x: Tensor, flow: Tensor) -> Tensor:
    """Mean squared error of colour plus that of flow."""
    colour, motion = network(x)
    return F.mse_loss(colour.float(), x) + F.mse_loss(motion.float(), flow)


@dataclass(frozen=True, kw_only=True)
class Training:
    """How long, with how many cubes a step, and from which seed a network is trained."""

    steps: int = 300
    batch: int = BATCH
    seed: int = 0


def train(network: StateNetwork, rgb: Tensor, flow: Tensor, training: Training, *, device: str = "auto") -> list[float]:
    """Learn from colour (N, 7, 32, 32, 3) uint8 and flow (N, 7, 32, 32, 2); returns the loss of each step.

    The network is left in eval mode on the device. Training ends early when the loss has stopped falling.

    Raises:
        BadInput: no cube.
    """
    if len(rgb) == 0:
        raise BadInput("expected at least one cube to learn from, got none.")
    from models.device import place

    where = place(device)
    network.to(where.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE, eps=EPS)
    generator = torch.Generator().manual_seed(training.seed)
    order: list[int] = []
    losses: list[Tensor] = []
    for number in range(training.steps):
        while len(order) < training.batch:  # epochs run into one another: a few cubes are simply seen more than once in a step
            order += torch.randperm(len(rgb), generator=generator).tolist()
        chosen = order[: training.batch]
        del order[: training.batch]
        x, f = tensors(rgb[chosen].to(where.device), flow[chosen].to(where.device))
        with torch.autocast(where.device.type, dtype=torch.bfloat16, enabled=where.dtype == torch.bfloat16):
            loss = loss_of(network, x, f)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.detach())
        step("steps of learning to rebuild", number + 1, training.steps)
        if (number + 1) % PATIENCE == 0 and number + 1 >= 2 * PATIENCE and _settled(losses):
            break
    network.eval()
    return [float(one) for one in losses]


def _settled(losses: list[Tensor]) -> bool:
    before, now = (float(torch.stack(part).mean()) for part in (losses[-2 * PATIENCE : -PATIENCE], losses[-PATIENCE:]))
    return now > (1 - LEAST_GAIN) * before


def tensors(rgb: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Colour (N, 7, 3, 32, 32) from 0 to 1 and flow (N, 7, 2, 32, 32), float32, of cubes with their channels last."""
    return rgb.permute(0, 1, 4, 2, 3).float() / 255, flow.permute(0, 1, 4, 2, 3).float()


def errors(network: StateNetwork, x: Tensor, flow: Tensor, *, perturbation: float = 0.0) -> tuple[Tensor, Tensor]:
    """Summed squared errors (N,) of colour and flow.

    Args:
        network: in eval mode.
        x: colour (N, 7, 3, 32, 32), 0 to 1.
        flow: (N, 7, 2, 32, 32).
        perturbation: how far each input value is moved first, so that the error falls; what is normal gains more by it. The target of
            colour moves along.
    """
    if perturbation > 0:
        with torch.enable_grad():
            given = x.detach().requires_grad_()
            colour, motion = network(given)
            loss = (colour - given).square().sum() / given[0].numel() + (motion - flow).square().sum() / flow[0].numel()
            (slope,) = torch.autograd.grad(loss, given)
        x = x - perturbation * slope.sign()
    with torch.no_grad():
        colour, motion = network(x)
        apart = [(made.float() - truth).square().flatten(1).sum(dim=1) for made, truth in ((colour, x), (motion, flow))]
        return apart[0], apart[1]
