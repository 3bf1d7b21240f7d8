"""A patch averaged with those of its neighbours that resemble it, over several reaches at once.

Source: Li et al., MuSc-V2 (2025, arXiv 2511.10047), similarity neighbourhood aggregation with multiple degrees (SNAMD): a neighbour f
of a patch c weighs exp(−‖f − c‖); the weighted means over several reaches (squares of cells in a picture, the nearest centres
on a surface) are averaged into one feature. A centre of a curved group stays as it is, because neighbours across an edge would blur it.
Ours: features are scaled to length 1 before they are compared (raw ones of the embedded network are so far apart that only the patch
itself would count), cells beyond the rim have no weight, and both kinds are scaled to length 1 afterwards.

Axes and units: maps (C, h, w); centres (G, C); results (P, C) with P = h · w, row by row, or (G, C), vectors of length 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

REACHES = (1, 3, 5)
"""Odd edges of squares of cells; numbers of centres, the own one among them."""
CURVED = 0.01
"""Curvature from which a centre keeps its own feature."""


def of_cells(layer: torch.Tensor, reaches: Sequence[int] = REACHES) -> torch.Tensor:
    """Unit vectors (h · w, C) of a map (C, h, w).

    >>> import torch
    >>> of_cells(torch.ones(4, 2, 3)).shape
    torch.Size([6, 4])
    """
    import torch
    from torch.nn.functional import unfold

    from models.nearest import unit

    channels, high, wide = layer.shape
    edge = max(reaches)
    vectors = unit(layer.flatten(1).T)
    picture = vectors.T.reshape(1, channels, high, wide)
    around = unfold(picture, edge, padding=edge // 2).reshape(channels, edge * edge, -1).permute(2, 1, 0)
    there = unfold(torch.ones_like(picture[:, :1]), edge, padding=edge // 2)[0].T
    weights = (-(around - vectors[:, None]).norm(dim=2)).exp() * there
    ring = (torch.arange(edge, device=layer.device) - edge // 2).abs()
    ring = torch.maximum(ring[:, None], ring[None]).flatten()
    return _averaged(around, weights, [ring <= reach // 2 for reach in reaches])


def of_centres(
    vectors: torch.Tensor, neighbours: torch.Tensor, curvature: torch.Tensor, reaches: Sequence[int] = REACHES
) -> torch.Tensor:
    """Unit vectors (G, C) of centres (G, C); `neighbours` (G, K) are the nearest centres, the own one first, `curvature` is (G,).

    >>> import torch
    >>> of_centres(torch.eye(3), torch.tensor([[0, 1], [1, 0], [2, 1]]), torch.tensor([0.0, 0.0, 0.2]), (1, 2))[2].tolist()
    [0.0, 0.0, 1.0]
    """
    import torch

    from models.nearest import unit

    vectors = unit(vectors)
    around = vectors[neighbours]
    weights = (-(around - vectors[:, None]).norm(dim=2)).exp()
    place = torch.arange(neighbours.shape[1], device=vectors.device)
    mixed = _averaged(around, weights, [place < reach for reach in reaches])
    return torch.where((curvature >= CURVED)[:, None], vectors, mixed)


def _averaged(around: torch.Tensor, weights: torch.Tensor, inner: Sequence[torch.Tensor]) -> torch.Tensor:
    """Mean over the reaches of the weighted means of neighbours (P, K, C), scaled to length 1; `inner` says which K a reach holds."""
    from models.nearest import unit

    # One set of weights does for all reaches: the mean of weighted means is a weighted mean.
    total = sum((weights * kept / (weights * kept).sum(dim=1, keepdim=True) for kept in inner), start=weights.new_zeros(1))
    return unit((around * total[:, :, None]).sum(dim=1)).contiguous()
