"""A normalising flow over feature maps: invertible steps that turn normal features into Gaussian noise, with an exact
log-determinant.

Source: Yu et al., FastFlow: Unsupervised Anomaly Detection and Localization via 2D Normalizing Flows (2021); affine coupling
after Dinh et al., Density Estimation Using Real NVP (ICLR 2017). A step changes half of the channels by a scale and a shift that
a small convolutional net reads off the other half, scales and shifts each channel, and permutes the channels. Kernels of 3×3 and
1×1 alternate: the former see a cell's surroundings. Ours: the gain of the layer norm in front counts in the determinant (left
out, the likelihood grows without end while the gain shrinks), and a fixed whitening of the channels stands between norm and
steps.

Axes: features (N, C, H, W); noise likewise; log-determinants (N, H, W), whose sum over places is a picture's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLAMP = 2.0
"""A coupling multiplies by e^-2 to e^2 at most: the soft clamp that keeps training from running away."""
DAMPING = 0.1
"""Factor of what the small net says: the first steps are near the identity."""
EPSILON = 1e-5
SHRUNK = 1e-3
"""Share of the mean variance in each direction's, when channels are whitened."""
UNIT_SOFTPLUS = 0.5413248546129181
"""softplus of this is 1."""


class MapNorm(nn.Module):
    """Layer norm over all of a picture's map (C, H, W), with a gain and an offset for each of its elements.

    Taking out a picture's mean and deviation is preparation of the data; the gain is part of the flow.
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.log_gain = nn.Parameter(torch.zeros(channels, height, width))
        self.offset = nn.Parameter(torch.zeros(channels, height, width))

    def prepared(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) of mean 0 and deviation 1 each."""
        return F.layer_norm(x, x.shape[1:], eps=EPSILON)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised maps and log-determinants (H, W), the same for every picture."""
        return self.prepared(x) * self.log_gain.exp() + self.offset, self.log_gain.sum(dim=0)

    def inverse(self, y: Tensor) -> Tensor:
        """The prepared maps that give `y`."""
        return (y - self.offset) * (-self.log_gain).exp()


class Whitening(nn.Module):
    """A fixed linear map of the channels that makes them uncorrelated and of deviation 1; the identity until `start`.

    It spares the steps behind it what a Gaussian can say: training starts from the Gaussian of the channels.
    """

    matrix: Tensor
    mean: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.eye(channels))
        self.register_buffer("mean", torch.zeros(channels))

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """Estimate the map from maps `x` (N, C, H, W), all places alike."""
        columns = x.transpose(0, 1).flatten(1).double()
        self.mean.copy_(columns.mean(dim=1))
        values, vectors = torch.linalg.eigh(torch.cov(columns, correction=0))
        values = (1 - SHRUNK) * values.clamp_min(0) + SHRUNK * values.mean().clamp_min(1e-6)
        # The symmetric root: of all whitening maps the one that keeps each channel nearest to what it was.
        self.matrix.copy_((vectors / values.sqrt()) @ vectors.T)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Whitened maps and the log-determinant () of one place."""
        return F.conv2d(x - self.mean[:, None, None], self.matrix[:, :, None, None]), torch.linalg.slogdet(self.matrix).logabsdet

    def inverse(self, y: Tensor) -> Tensor:
        """The maps that give `y`."""
        x: Tensor = torch.linalg.solve(self.matrix, y.flatten(2)).reshape(y.shape) + self.mean[:, None, None]
        return x


class CouplingStep(nn.Module):
    """One affine coupling, one affine map per channel, one fixed permutation of the channels.

    Args:
        channels: at least two.
        kernel: 1 or 3, edge of both convolutions.
        ratio: width of the small net, as a share of the channels it reads.
        permutation: order of the channels behind this step.
    """

    permutation: Tensor

    def __init__(self, channels: int, kernel: int, ratio: float, permutation: Tensor) -> None:
        super().__init__()
        self.kept = channels // 2
        changed = channels - self.kept
        hidden = max(1, round(ratio * self.kept))
        self.net = nn.Sequential(
            nn.Conv2d(self.kept, hidden, kernel, padding=kernel // 2),
            nn.ReLU(),
            nn.Conv2d(hidden, 2 * changed, kernel, padding=kernel // 2),
        )
        self.scale = nn.Parameter(torch.zeros(channels, 1, 1))
        self.offset = nn.Parameter(torch.zeros(channels, 1, 1))
        self.register_buffer("permutation", permutation)

    def _said(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Log-scale within ±CLAMP and shift of the other half."""
        s, t = (DAMPING * self.net(kept)).tensor_split(2, dim=1)
        return CLAMP * torch.tanh(s), t

    def _factor(self) -> Tensor:
        return F.softplus(self.scale + UNIT_SOFTPLUS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps one step on, and log-determinants (N, H, W)."""
        kept, other = x[:, : self.kept], x[:, self.kept :]
        s, t = self._said(kept)
        factor = self._factor()
        y = torch.cat([kept, other * s.exp() + t], dim=1) * factor + self.offset
        return y[:, self.permutation], s.sum(dim=1) + factor.log().sum()

    def inverse(self, y: Tensor) -> Tensor:
        """The maps that give `y`."""
        ordered = (y[:, self.permutation.argsort()] - self.offset) / self._factor()
        kept, other = ordered[:, : self.kept], ordered[:, self.kept :]
        s, t = self._said(kept)
        return torch.cat([kept, (other - t) * (-s).exp()], dim=1)


class CouplingFlow(nn.Module):
    """Layer norm and coupling steps for feature maps of one shape; equal seeds give equal weights.

    >>> flow = CouplingFlow(channels=4, height=2, width=3, steps=2)
    >>> x = torch.randn(5, 4, 2, 3, generator=torch.Generator().manual_seed(0))
    >>> noise, log_determinant = flow(x)
    >>> noise.shape, log_determinant.shape, torch.allclose(flow.inverse(noise), flow.norm.prepared(x), atol=1e-5)
    (torch.Size([5, 4, 2, 3]), torch.Size([5, 2, 3]), True)
    """

    def __init__(self, *, channels: int, height: int, width: int, steps: int = 8, ratio: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        self.norm = MapNorm(channels, height, width)
        self.whitening = Whitening(channels)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.steps = nn.ModuleList(
                CouplingStep(channels, 1 if index % 2 else 3, ratio, torch.randperm(channels)) for index in range(steps)
            )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Noise (N, C, H, W) of features of that shape, and log-determinants (N, H, W)."""
        y, total = self.norm(x)
        y, constant = self.whitening(y)
        log_determinant = (total + constant).expand(len(x), *total.shape)
        for step in self.steps:
            y, change = step(y)
            log_determinant = log_determinant + change
        return y, log_determinant

    def inverse(self, noise: Tensor) -> Tensor:
        """The features, prepared by the layer norm's mean and deviation, that give `noise`."""
        for step in reversed(list(self.steps)):
            assert isinstance(step, CouplingStep)
            noise = step.inverse(noise)
        return self.norm.inverse(self.whitening.inverse(noise))

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """Whiten the channels of the maps `x` (N, C, H, W): where training begins."""
        self.whitening.start(self.norm(x)[0])


def surprise(noise: Tensor, log_determinant: Tensor) -> Tensor:
    """Negative log-likelihood per channel and place (N, H, W), in nats but for the constant ½ log 2π.

    >>> surprise(torch.ones(1, 4, 1, 1), torch.zeros(1, 1, 1)).item()
    0.5
    """
    return (0.5 * noise.square().sum(dim=1) - log_determinant) / noise.shape[1]
