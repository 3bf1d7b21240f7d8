"""Patch features of a photo per depth of the network and per size of neighbourhood, and one embedding of the whole photo.

Source: Li et al., MuSc (ICLR 2024), local neighbourhood aggregation with multiple degrees (LNAMD): each layer's map of a photo is
standardised over channels and places together, averaged over r × r neighbours for several r, and each patch is scaled to length 1.
Padding with zeros only shortens the vectors at the rim, so after scaling it does not matter whether it is counted.
Ours: the embedded network unless another is named, every layer on its own grid (a coarse layer has few patches), and the pooled deepest
layer as embedding.

Axes and units: photos (H, W, 3) uint8; maps (C, h, w) float32, h · w cells of `stride` pixels of the resized photo; patches (P, C),
P = h · w, row by row; places are read at the measured centres of the network's cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.backbone_weights import EMBEDDED
from models.patches import PatchEncoder

if TYPE_CHECKING:
    import torch

DEEPEST = 32
EPSILON = 1e-5
"""Added to the variance by which a map is standardised, as layer normalisation does."""


def averaged(layer: torch.Tensor, size: int) -> torch.Tensor:
    """Unit vectors (h · w, C) of a map (C, h, w): standardised, averaged over `size` × `size` neighbours, scaled to length 1.

    >>> import torch
    >>> averaged(torch.arange(24.0).reshape(2, 3, 4), 3).shape
    torch.Size([12, 2])
    """
    from torch.nn.functional import avg_pool2d

    from models.nearest import unit

    standard = (layer - layer.mean()) / (layer.var(correction=0) + EPSILON).sqrt()
    pooled = avg_pool2d(standard[None], size, stride=1, padding=size // 2, count_include_pad=True)[0] if size > 1 else standard
    return unit(pooled.flatten(1).T).contiguous()


class NeighbourhoodEncoder:
    """Turns a photo into maps and an embedding, and maps into streams of patches, one per layer and neighbourhood.

    Args:
        side: photos are resized to about side² pixels.
        strides: layers, by their pixels per cell (4, 8, 16, 32).
        sizes: odd edges of the neighbourhoods, in cells.
        merged: join the neighbourhoods of a layer into one stream, the mean of their unit vectors.
        backbone: the network, as `models.patches.PatchEncoder` takes it; a transformer is tapped where its row of the catalogue says.
        device: "auto", "cpu", "cuda" or "cuda:N".

    >>> encoder = NeighbourhoodEncoder(side=64, strides=(8, 16), sizes=(1, 3))
    >>> maps, embedding = encoder.maps(np.zeros((40, 40, 3), np.uint8))
    >>> [tuple(encoder.vectors(maps, stream).shape) for stream in range(len(encoder.streams))], tuple(embedding.shape)
    ([(64, 40), (64, 40), (16, 112), (16, 112)], (320,))
    """

    def __init__(
        self, *, side: int, strides: tuple[int, ...], sizes: tuple[int, ...], merged: bool = False, backbone: str = EMBEDDED,
        device: str = "auto",
    ) -> None:  # fmt: skip
        self.sizes, self.merged, self.device = sizes, merged, device
        self.patches = PatchEncoder(side=side, strides=strides, backbone=backbone, device=device)

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels per cell of every layer."""
        return self.patches.tap_strides

    @property
    def streams(self) -> list[tuple[int, tuple[int, ...]]]:
        """(layer, neighbourhoods averaged) of each stream."""
        per_layer = [self.sizes] if self.merged else [(size,) for size in self.sizes]
        return [(layer, chosen) for layer in range(len(self.strides)) for chosen in per_layer]

    def maps(self, pixels: NDArray[np.uint8]) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The layers' maps (C, h, w) float32 and the pooled deepest layer of length 1.

        Raises:
            BadInput: not (H, W, 3) uint8, or weights that are not on this machine.
        """
        import torch

        from models.device import place
        from models.efficientnet_lite import load
        from models.nearest import unit
        from models.patches import _checked, _resize, _to_input

        if self.patches.backbone != EMBEDDED:
            found = [tap[0].contiguous() for tap in self.patches.taps([pixels])]
            return found, unit(found[-1].mean(dim=(1, 2)))
        placement = place(self.device)
        high, wide = self.patches.resized(*_checked(pixels).shape[:2])
        with torch.inference_mode():
            resized = torch.from_numpy(_resize(pixels, high, wide)[None]).to(placement.device)
            taps = load(placement).taps(_to_input(resized, placement.near_one), (*self.strides, DEEPEST))
            return [tap[0].float().contiguous() for tap in taps[:-1]], unit(taps[-1][0].float().mean(dim=(1, 2)))

    def vectors(self, maps: Sequence[torch.Tensor], stream: int) -> torch.Tensor:
        """Unit vectors (h · w, C) of a photo's maps in one of `streams`."""
        import torch

        from models.nearest import unit

        layer, sizes = self.streams[stream]
        found = [averaged(maps[layer], size) for size in sizes]
        return found[0] if len(found) == 1 else unit(torch.stack(found).mean(dim=0))


def placed(
    values: NDArray[np.float32], stride: int, rows: int, columns: int, finer: int, centres: Mapping[int, float] | None = None
) -> NDArray[np.float32]:
    """A layer's patch map (h, w) read, linearly, at the centres of the `rows` × `columns` cells of a finer layer.

    `centres` are those of the network's cells (None: of the embedded one).

    >>> placed(np.ones((2, 2), np.float32), 16, 4, 4, 8).shape
    (4, 4)
    """
    if stride == finer:
        return values
    down, across = (
        _between(cells, coarse, stride, finer, centres) for cells, coarse in zip((rows, columns), values.shape, strict=True)
    )
    return np.asarray(down @ values @ across.T, dtype=np.float32)


def _between(cells: int, coarse: int, stride: int, finer: int, centres: Mapping[int, float] | None) -> NDArray[np.float32]:
    """Matrix (cells, coarse) of linear weights."""
    from models.efficientnet_lite import CENTRES

    known = CENTRES if centres is None else centres
    at = ((finer * np.arange(cells) + known[finer] - known[stride]) / stride).clip(0, coarse - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(at[:, None] - np.arange(coarse))), dtype=np.float32)


def fused(
    maps: Sequence[NDArray[np.float32]], strides: Sequence[int], centres: Mapping[int, float] | None = None
) -> NDArray[np.float32]:
    """Mean of patch maps (h, w) of several layers, on the finest one's grid; `strides` says which layer each map is of.

    >>> fused([np.zeros((4, 4), np.float32), np.ones((2, 2), np.float32)], (8, 16)).tolist()[0]
    [0.5, 0.5, 0.5, 0.5]
    """
    finest = strides.index(min(strides))
    rows, columns = maps[finest].shape
    brought = [
        placed(values, stride, rows, columns, strides[finest], centres) for values, stride in zip(maps, strides, strict=True)
    ]
    return np.asarray(np.mean(brought, axis=0), dtype=np.float32)
