"""Patch features of pictures from the embedded EfficientNet-Lite0: what every picture and video detector searches in.

Feature maps of several depths are averaged over 3×3 neighbours, brought to the finest chosen grid and concatenated, as in
Roth et al., Towards Total Recall in Industrial Anomaly Detection (CVPR 2022).

Pictures are (H, W, 3) uint8 RGB of any size and shape. A picture is resized, keeping its shape, to about as many pixels as a
square of `side`, so that cost does not depend on the format. Features are (N, h, w, C) float32. Coarser maps and
heatmaps (`to_pixels`) are placed by the measured centres of the network's cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.progress import step

if TYPE_CHECKING:
    import torch

MEAN, SCALE = 127.0, 128.0
STRIDES = (4, 8, 16, 32)
LARGEST_STRIDE = 32
CLASSIFIER_SIDE = 224


class PatchEncoder:
    """Turns pictures into patch features.

    Args:
        side: resolution: a picture is resized to about side² pixels, both edges rounded to multiples of 32.
        strides: taps (4, 8, 16, 32 pixels per cell, with 24, 40, 112, 320 channels) that are concatenated.
        backbone: "efficientnet_lite0", the embedded network.
        device: "auto", "cpu", "cuda" or "cuda:N".

    >>> PatchEncoder(side=320).grid(450, 450), PatchEncoder(side=320).grid(720, 1280)
    ((40, 40), (32, 52))
    """

    def __init__(
        self, *, side: int = 320, strides: tuple[int, ...] = (8, 16), backbone: str = "efficientnet_lite0", device: str = "auto"
    ) -> None:
        if backbone != "efficientnet_lite0":
            raise BadInput(f"backbone {backbone!r}: expected 'efficientnet_lite0', the embedded network.")
        if not strides or len(set(strides)) != len(strides) or not set(strides) <= set(STRIDES):
            raise BadInput(f"strides {strides!r}: expected some of {STRIDES}, each once.")
        if not 32 <= side <= 4096:
            raise BadInput(f"side {side!r}: expected 32 to 4096 pixels.")
        self.side, self.strides, self.backbone, self.device = side, tuple(strides), backbone, device

    @property
    def stride(self) -> int:
        """Pixels of the resized picture per grid cell."""
        return min(self.strides)

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) in pixels to which a picture of this size is resized."""
        return _resized(height, width, self.side)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches of a picture of this size."""
        high, wide = self.resized(height, width)
        return high // self.stride, wide // self.stride

    def encode(self, pictures: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Patch features (N, h, w, C) float32 on the encoder's device, for pictures of one grid.

        Raises:
            BadInput: no picture, pictures of different grids (resize or group them first), not (H, W, 3) uint8.
        """
        import torch

        from models.device import place
        from models.efficientnet_lite import load

        sizes = sorted({self.resized(*_checked(picture).shape[:2]) for picture in pictures})
        if len(sizes) != 1:
            raise BadInput(f"expected pictures that share one grid, got resized sizes {sizes}; encode each size on its own.")
        placement = place(self.device)
        net = load(placement)
        out: torch.Tensor | None = None
        # One picture at a time on the CPU: as fast as batches, and a picture's features cannot depend on its neighbours.
        batch = 1 if placement.device.type == "cpu" else 32
        with torch.inference_mode():
            for start in range(0, len(pictures), batch):
                chosen = pictures[start : start + batch]
                pixels = torch.from_numpy(np.stack([_resize(p, *sizes[0]) for p in chosen])).to(placement.device)
                features = self._features(net.taps(_to_input(pixels, placement.dtype), self.strides), *sizes[0])
                if out is None:
                    out = features.new_empty((len(pictures), *features.shape[1:]))
                out[start : start + batch] = features
                step("pictures encoded", start + len(chosen), len(pictures))
        assert out is not None  # there was at least one picture
        return out

    def _features(self, taps: list[torch.Tensor], high: int, wide: int) -> torch.Tensor:
        import torch
        import torch.nn.functional as F

        rows, columns = high // self.stride, wide // self.stride
        parts = []
        for tap, stride in zip(taps, self.strides, strict=True):
            pooled = F.avg_pool2d(tap.float(), 3, stride=1, padding=1, count_include_pad=False)
            if stride != self.stride:
                down = torch.from_numpy(_placement_matrix(rows, pooled.shape[2], self.stride, stride)).to(pooled.device)
                across = torch.from_numpy(_placement_matrix(columns, pooled.shape[3], self.stride, stride)).to(pooled.device)
                pooled = down @ pooled @ across.T
            parts.append(pooled.permute(0, 2, 3, 1))
        return torch.cat(parts, dim=-1).contiguous()

    def to_pixels(self, maps: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
        """Bring patch maps (N, h, w) or (h, w) to the picture's size (…, height, width), linearly and rightly placed."""
        high, wide = self.resized(height, width)
        down = _pixel_matrix(height, maps.shape[-2], high, self.stride)
        across = _pixel_matrix(width, maps.shape[-1], wide, self.stride)
        return np.asarray(down @ np.asarray(maps, dtype=np.float32) @ across.T, dtype=np.float32)

    def probabilities(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """ImageNet class probabilities (N, 1000) of the whole pictures (aspect kept, about 224² pixels).

        Raises:
            BadInput: no picture, or not (H, W, 3) uint8.
        """
        import torch

        from models.device import place
        from models.efficientnet_lite import load

        if len(pictures) == 0:
            raise BadInput("expected at least one picture, got none.")
        placement = place(self.device)
        net = load(placement)
        rows = []
        with torch.inference_mode():
            for done, picture in enumerate(pictures, start=1):
                height, width = _checked(picture).shape[:2]
                high, wide = _resized(height, width, CLASSIFIER_SIDE)
                pixels = torch.from_numpy(_resize(picture, high, wide)[None]).to(placement.device)
                rows.append(net(_to_input(pixels, placement.dtype)).float().softmax(dim=1))
                step("pictures classified", done, len(pictures))
        return np.asarray(torch.cat(rows).cpu().numpy(), dtype=np.float32)


def _checked(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or 0 in picture.shape:
        raise BadInput(f"picture: expected shape (H, W, 3) of uint8, got {picture.shape} of {picture.dtype.name}.")
    return picture


def _resized(height: int, width: int, side: int) -> tuple[int, int]:
    scale = side / (height * width) ** 0.5
    high, wide = (max(LARGEST_STRIDE, round(edge * scale / LARGEST_STRIDE) * LARGEST_STRIDE) for edge in (height, width))
    return high, wide


def _resize(picture: NDArray[np.uint8], high: int, wide: int) -> NDArray[np.uint8]:
    """Resize to (high, wide): averaging where it shrinks, bilinear where it grows."""
    import cv2

    if picture.shape[:2] == (high, wide):
        return picture
    shrinks = high * wide < picture.shape[0] * picture.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(picture), (wide, high), interpolation=how), dtype=np.uint8)


def _to_input(pixels: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) normalised; the permuted view already is channels_last."""
    return pixels.permute(0, 3, 1, 2).float().sub_(MEAN).div_(SCALE).to(dtype)


def _linear(positions: NDArray[np.float64], size: int) -> NDArray[np.float32]:
    """Matrix (len(positions), size) that interpolates linearly at fractional cell `positions`, held constant outside."""
    inside = positions.clip(0, size - 1)
    left = np.floor(inside).astype(int).clip(0, max(size - 2, 0))
    share = (inside - left).astype(np.float32)
    matrix = np.zeros((len(positions), size), dtype=np.float32)
    index = np.arange(len(positions))
    matrix[index, left] += 1 - share
    matrix[index, np.minimum(left + 1, size - 1)] += share
    return matrix


def _placement_matrix(cells: int, coarse: int, stride: int, coarse_stride: int) -> NDArray[np.float32]:
    """Reads a coarse map at the true centres of a finer one."""
    from models.efficientnet_lite import CENTRES

    pixels = stride * np.arange(cells) + CENTRES[stride]
    return _linear((pixels - CENTRES[coarse_stride]) / coarse_stride, coarse)


def _pixel_matrix(size: int, cells: int, resized: int, stride: int) -> NDArray[np.float32]:
    """Reads a map at each of `size` original pixels of a picture that was resized to `resized` pixels."""
    from models.efficientnet_lite import CENTRES

    pixels = (np.arange(size) + 0.5) * resized / size - 0.5
    return _linear((pixels - CENTRES[stride]) / stride, cells)
