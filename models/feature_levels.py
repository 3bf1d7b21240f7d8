"""Feature maps of single depths of the embedded EfficientNet-Lite0, for detectors that model each depth by itself.

`pooled_levels` gives one vector per depth of a whole picture, as in Rippel et al., Modeling the Distribution of Normal Data in
Pre-Trained Deep Features for Anomaly Detection (ICPR 2020); `FixedMaps` gives maps of one size whatever the picture's, as a
network trained on maps needs them (`models.patches` keeps the picture's shape instead).

Axes: pictures (H, W, 3) uint8 RGB; maps (C, h, w) float32; sizes (height, width) in pixels, multiples of 32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from models.patches import MEAN, SCALE, STRIDES, PatchEncoder

if TYPE_CHECKING:
    import torch

    from models.device import Placement


def pooled_levels(picture: NDArray[np.uint8], *, side: int = 320, device: str = "auto") -> list[NDArray[np.float32]]:
    """Mean over all places of each of the nine depths: stem, seven stages, head (32 to 1,280 channels), for one picture.

    Args:
        picture: (H, W, 3); it is resized to about side² pixels, keeping its shape.
        side: pixels.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        BadInput: not (H, W, 3) uint8.

    >>> [len(level) for level in pooled_levels(np.zeros((40, 60, 3), np.uint8), side=64)]
    [32, 16, 24, 40, 80, 112, 192, 320, 1280]
    """
    import torch

    from models.device import place
    from models.efficientnet_lite import load

    placement = place(device)
    net = load(placement)
    size = PatchEncoder(side=side).resized(*_checked(picture).shape[:2])
    with torch.inference_mode():
        levels = net.levels(_network_input(picture, size, placement))
        return [level[0].float().mean(dim=(1, 2)).cpu().numpy() for level in levels]


class FixedMaps:
    """Maps of chosen depths at one size for all pictures, and back from such maps to a picture's pixels.

    Args:
        size: (height, width) every picture is resized to, multiples of 32.
        strides: taps (4, 8, 16, 32 pixels per cell, with 24, 40, 112, 320 channels).
        device: "auto", "cpu", "cuda" or "cuda:N".

    >>> maps = FixedMaps(size=(64, 96), strides=(8, 16)).encode(np.zeros((50, 50, 3), np.uint8))
    >>> [tuple(m.shape) for m in maps]
    [(40, 8, 12), (112, 4, 6)]
    """

    def __init__(self, *, size: tuple[int, int], strides: Sequence[int] = (8, 16), device: str = "auto") -> None:
        if any(edge < STRIDES[-1] or edge % STRIDES[-1] for edge in size):
            raise BadInput(f"size {size!r}: expected two multiples of {STRIDES[-1]} pixels.")
        if not strides or len(set(strides)) != len(strides) or not set(strides) <= set(STRIDES):
            raise BadInput(f"strides {strides!r}: expected some of {STRIDES}, each once.")
        self.size, self.strides, self.device = size, tuple(sorted(strides)), device

    def shapes(self) -> list[tuple[int, int, int]]:
        """(C, h, w) of the map of each stride, finest first."""
        from models.efficientnet_lite import TAPS

        return [(TAPS[stride][1], self.size[0] // stride, self.size[1] // stride) for stride in self.strides]

    def encode(self, picture: NDArray[np.uint8]) -> list[torch.Tensor]:
        """Maps (C, h, w) float32 of one picture, finest first, on the encoder's device: 3×3 means, each cell of length 1.

        Both as in the patch features that nearest-neighbour detectors search in (`models.patches`, `models.nearest.unit`).

        Raises:
            BadInput: not (H, W, 3) uint8.
        """
        import torch
        import torch.nn.functional as functional

        from models.device import place
        from models.efficientnet_lite import load

        placement = place(self.device)
        net = load(placement)
        with torch.inference_mode():
            taps = net.taps(_network_input(_checked(picture), self.size, placement), self.strides)
        means = [functional.avg_pool2d(tap.float(), 3, stride=1, padding=1, count_include_pad=False) for tap in taps]
        return [functional.normalize(mean[0], dim=0).contiguous().clone() for mean in means]

    def on_finest(self, maps: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Maps (h, w), one per stride, each read at the cells' true centres of the finest one: (strides, h, w) of that."""
        bringing = zip(maps, self.bringing(), strict=True)
        return np.stack([down @ one @ across.T for one, (down, across) in bringing]).astype(np.float32)

    def bringing(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Per stride, matrices that read a map at the centres of the finest one's rows and columns: down @ map @ across.T."""
        from models.efficientnet_lite import CENTRES

        finest = self.strides[0]
        found = []
        for stride in self.strides:
            down, across = (
                _linear((finest * np.arange(edge // finest) + CENTRES[finest] - CENTRES[stride]) / stride, edge // stride)
                for edge in self.size
            )
            found.append((down, across))
        return found

    def to_pixels(self, finest: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
        """A map (h, w) of the finest grid at the picture's size (height, width), linearly and rightly placed."""
        from models.efficientnet_lite import CENTRES

        stride = self.strides[0]
        pixels = (
            (np.arange(edge) + 0.5) * resized / edge - 0.5 for edge, resized in zip((height, width), self.size, strict=True)
        )
        down, across = (_linear((p - CENTRES[stride]) / stride, cells) for p, cells in zip(pixels, finest.shape, strict=True))
        return np.asarray(down @ finest @ across.T, dtype=np.float32)


def common_size(pictures: Sequence[tuple[int, int]], side: int) -> tuple[int, int]:
    """The size of about side² pixels whose shape is the middle one of the pictures' (height, width).

    >>> common_size([(450, 450), (100, 200), (400, 500)], 320), common_size([(90, 120)], 96)
    ((288, 352), (96, 96))
    """
    ratio = float(np.exp(np.median([np.log(height / width) for height, width in pictures])))
    return PatchEncoder(side=side).resized(max(1, round(10_000 * ratio)), 10_000)


def _checked(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or 0 in picture.shape:
        raise BadInput(f"picture: expected shape (H, W, 3) of uint8, got {picture.shape} of {picture.dtype.name}.")
    return picture


def _network_input(picture: NDArray[np.uint8], size: tuple[int, int], placement: Placement) -> torch.Tensor:
    """(1, 3, h, w) normalised, from a picture resized to `size`: averaging where it shrinks, bilinear where it grows."""
    import cv2
    import torch

    if picture.shape[:2] != size:
        shrinks = size[0] * size[1] < picture.shape[0] * picture.shape[1]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        picture = np.asarray(cv2.resize(np.ascontiguousarray(picture), size[::-1], interpolation=how), dtype=np.uint8)
    pixels = torch.from_numpy(np.ascontiguousarray(picture)[None]).to(placement.device)
    return pixels.permute(0, 3, 1, 2).float().sub_(MEAN).div_(SCALE).to(placement.near_one)


def _linear(positions: NDArray[np.float64], size: int) -> NDArray[np.float32]:
    """Matrix (len(positions), size) that interpolates linearly at fractional cells, held constant outside."""
    weights = 1 - np.abs(positions.clip(0, size - 1)[:, None] - np.arange(size)[None])
    return np.asarray(weights.clip(0, 1), dtype=np.float32)
