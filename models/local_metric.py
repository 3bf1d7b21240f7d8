"""A learned metric for patches at the same place of two photos: near for the same part, far for a defect, whatever the light.

Source: Li et al., CPR (IEEE Transactions on Image Processing 2024), its local retrieval branch and contrastive loss. A 1×1 convolution,
four parallel branches (1×1; 1×1 then 3×3; 1×1; 3×3 mean then 1×1) and a 1×1 convolution turn backbone features into vectors that are
compared by cosine. Ours: a vector depends on 3×3 cells only, so that it can be learned from 3×3 pieces around drawn
cells (`forward(..., rim=False)`) instead of whole maps, at a tenth of the cost and with the same values.

Axes: feature maps (N, C, h, w); vectors (N, D, h, w) of length 1; distances 1 − cosine, 0 to 2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HIDDEN, BRANCH, NARROW = 192, 64, 48
NEAR, FAR = 0.8, 0.2
"""Cosines above NEAR cost nothing in a matching pair; cosines below −FAR cost nothing in a pair that does not match."""


class _Conv(nn.Module):
    """Convolution without padding, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class LocalMetric(nn.Module):
    """Backbone features (N, C, h, w) to unit vectors.

    Args:
        channels: C.
        width: D; the paper has 384, and 64 or 16 in its fast variants.
        seed: of the first weights.

    >>> metric = LocalMetric(24, width=16).eval()
    >>> metric(torch.zeros(2, 24, 5, 7)).shape, metric(torch.zeros(9, 24, 3, 3), rim=False).shape
    (torch.Size([2, 16, 5, 7]), torch.Size([9, 16, 1, 1]))
    """

    def __init__(self, channels: int, *, width: int = 384, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.stem = _Conv(channels, HIDDEN)
            self.point = _Conv(HIDDEN, BRANCH)
            self.narrow, self.area = _Conv(HIDDEN, NARROW), _Conv(NARROW, BRANCH, 3)
            self.other = _Conv(HIDDEN, BRANCH)
            self.mean = _Conv(HIDDEN, BRANCH)
            self.join = nn.Conv2d(4 * BRANCH, width, 1)

    def forward(self, x: Tensor, *, rim: bool = True) -> Tensor:
        """Unit vectors of every cell, or, with rim=False, of every cell but the outermost ones, which then count as known context."""
        x = self.stem(x)
        narrow = self.narrow(x)
        if rim:
            inner, mean = x, F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
            narrow = F.pad(narrow, (1, 1, 1, 1))
        else:
            inner, mean = x[..., 1:-1, 1:-1], F.avg_pool2d(x, 3, stride=1)
        branches = [self.point(inner), self.area(narrow), self.other(inner), self.mean(mean)]
        return F.normalize(self.join(torch.cat(branches, dim=1)), dim=1)


def contrastive_loss(matching: Tensor, different: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of (0.8 − cos)³ over matching pairs (P,) plus mean of ((cos + 0.2)·weight)³ over different ones (Q,), where positive.

    >>> float(contrastive_loss(torch.tensor([0.9, 0.3]), torch.tensor([-0.5, 0.3])))
    0.125
    """
    loss = F.relu(NEAR - matching).pow(3).mean()
    if len(different):
        excess = F.relu(different + FAR)
        loss = loss + (excess if weight is None else excess * weight).pow(3).mean()
    return loss


def local_distance(query: Tensor, references: Tensor, *, window: int) -> Tensor:
    """Smallest 1 − cosine (…, h, w) of each cell of a query to the cells around the same place in any reference.

    Args:
        query: unit vectors (…, h, w, D), of one photo or several.
        references: unit vectors (…, R, h, w, D).
        window: edge of the square of cells that is looked at, odd; cells beyond the map's edge are left out.

    >>> one = F.normalize(torch.randn(4, 5, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    >>> local_distance(one, one[None].roll(1, 1), window=1).max() > 0.1
    tensor(True)
    """
    height, width = query.shape[-3:-1]
    best = query.new_full(query.shape[:-1], -1.0)
    reach = window // 2
    # On a CPU one reference at a time stays in the cache; on a GPU all at once are fewer, larger steps.
    several = references.shape[-4] if query.device.type == "cuda" else 1
    for first in range(0, references.shape[-4], several):
        some = references[..., first : first + several, :, :, :].to(query.dtype)
        for down in range(-reach, reach + 1):
            for right in range(-reach, reach + 1):
                rows, columns = slice(max(0, -down), height - max(0, down)), slice(max(0, -right), width - max(0, right))
                lower, further = slice(max(0, down), height - max(0, -down)), slice(max(0, right), width - max(0, -right))
                ours, theirs = query[..., None, rows, columns, :], some[..., lower, further, :]
                cosine = (ours * theirs).sum(dim=-1).amax(dim=-3)
                best[..., rows, columns] = best[..., rows, columns].maximum(cosine)
    return (1 - best).clamp_min(0)
