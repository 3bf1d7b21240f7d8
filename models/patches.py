"""Patch features of pictures: what every picture and video detector searches in.

Feature maps of several depths are brought to the finest chosen grid and concatenated; those of a convolutional network are first
averaged over 3×3 neighbours, as in Roth et al., Towards Total Recall in Industrial Anomaly Detection (CVPR 2022); a transformer's
tokens have looked around already and stay as they are, as in Damm et al., AnomalyDINO (WACV 2025).

Pictures are (H, W, 3) uint8 RGB of any size and shape. A picture is resized, keeping its shape, to about as many pixels as a
square of `side`, so that cost does not depend on the format. A large picture with small things in it is cut into overlapping
`tiles`, each of which gets that many pixels. Features are (N, h, w, C) float32. Coarser maps and heatmaps (`to_pixels`) are placed by the
centres of the network's cells, which were measured for the embedded network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.progress import step
from models.backbone_weights import EMBEDDED, check_name, known

if TYPE_CHECKING:
    import torch

    from models.backbones import Backbone, Layout, Taps

Runtime: TypeAlias = Literal["torch", "openvino"]

MEAN, SCALE = 127.0, 128.0
STRIDES = (4, 8, 16, 32)
LARGEST_STRIDE = 32
CLASSIFIER_SIDE = 224
LARGEST_EDGE = 16_384
"""Pixels of `side` · `tiles`: half as much again as the edge of the largest square photo that is read."""


class PatchEncoder:
    """Turns pictures into patch features.

    Args:
        side: resolution: a picture, or each of its tiles, is resized to about side² pixels, edges rounded to the network's multiple.
        strides: taps of a convolutional network (the embedded one: 4, 8, 16, 32 pixels per cell, with 24, 40, 112, 320 channels)
            that are concatenated; a transformer has one stride, the edge of its patches, and no use for this.
        backbone: "efficientnet_lite0", the embedded network; a name of `models.backbone_weights.known_backbones`, as
            "dinov2_vits14"; "owner/name" of a pulled model; or the path of a folder. Others than the embedded one need weights on
            this machine, which are looked for when first used.
        blocks: taps of a transformer, 0-based, negative from the end; empty: those its row of the catalogue names.
        final_norm: put a transformer's taps through its final norm; None: as its row says.
        tiles: cut a picture into about tiles² overlapping tiles, encode each by itself and join the maps; 1: whole pictures.
        runtime: "torch", or "openvino": the embedded network by OpenVINO on a CPU.
        device: "auto", "cpu", "cuda" or "cuda:N".

    >>> PatchEncoder(side=320).grid(450, 450), PatchEncoder(side=320).grid(720, 1280)
    ((40, 40), (32, 52))
    >>> PatchEncoder(side=448, backbone="dinov2_vits14").grid(450, 450), PatchEncoder(side=320, tiles=4).grid(3000, 3000)
    ((32, 32), (160, 160))
    """

    def __init__(
        self,
        *,
        side: int = 320,
        strides: tuple[int, ...] = (8, 16),
        backbone: str = EMBEDDED,
        blocks: tuple[int, ...] = (),
        final_norm: bool | None = None,
        tiles: int = 1,
        runtime: Runtime = "torch",
        device: str = "auto",
    ) -> None:
        check_name(backbone)
        possible = STRIDES if backbone == EMBEDDED else (2, *STRIDES)
        if not strides or len(set(strides)) != len(strides) or not set(strides) <= set(possible):
            raise BadInput(f"strides {strides!r}: expected some of {possible}, each once.")
        row = known(backbone)
        if blocks and (backbone == EMBEDDED or (row is not None and not row.patch)):
            raise BadInput(f"blocks {blocks!r}: {backbone!r} is a convolutional network, which is tapped by strides.")
        if not 32 <= side <= 4096:
            raise BadInput(f"side {side!r}: expected 32 to 4096 pixels.")
        if not 1 <= tiles <= LARGEST_EDGE // side:
            raise BadInput(f"tiles {tiles!r}: expected 1 to {LARGEST_EDGE // side} at side {side}.")
        if runtime not in ("torch", "openvino"):
            raise BadInput(f"runtime {runtime!r}: expected 'torch' or 'openvino'.")
        if runtime == "openvino" and (backbone != EMBEDDED or device.startswith("cuda")):
            raise BadInput(
                f"runtime 'openvino': expected backbone {EMBEDDED!r} on the CPU, got {backbone!r} on {device!r}; use 'torch'."
            )
        self.side, self.strides, self.backbone, self.blocks = side, tuple(strides), backbone, tuple(blocks)
        self.final_norm, self.tiles, self.runtime, self.device = final_norm, tiles, runtime, device

    @property
    def stride(self) -> int:
        """Pixels of the resized picture per grid cell."""
        return min(self.tap_strides)

    @property
    def centres(self) -> Mapping[int, float]:
        """Per stride the pixel of the resized picture that cell 0 looks at."""
        return self._layout.centres

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) in pixels to which a picture of this size is resized, all tiles together."""
        return _resized(height, width, self.side * self.tiles, self._multiple)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches of a picture of this size."""
        high, wide = self.resized(height, width)
        return high // self.stride, wide // self.stride

    def encode(self, pictures: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Patch features (N, h, w, C) float32 on the encoder's device, for pictures of one grid.

        Raises:
            BadInput: no picture, pictures of different grids (resize or group them first), not (H, W, 3) uint8; or weights that are
                not on this machine or do not fit.
            MissingExtra: runtime "openvino" without OpenVINO.
        """
        high, wide = self._common_size(pictures)
        out: torch.Tensor | None = None
        for start, maps in self._batches(pictures, high, wide):
            features = self._features(maps, high, wide)
            if out is None:
                out = features.new_empty((len(pictures), *features.shape[1:]))
            out[start : start + len(features)] = features
            step("pictures encoded", start + len(features), len(pictures))
        assert out is not None  # there was at least one picture
        return out

    def taps(self, pictures: Sequence[NDArray[np.uint8]]) -> list[torch.Tensor]:
        """Every tap's own map (N, C, h, w) float32, neither averaged nor brought to one grid.

        Raises:
            BadInput, MissingExtra: as `encode`.
        """
        import torch

        parts = [maps for _, maps in self._batches(pictures, *self._common_size(pictures))]
        return [torch.cat(tap) for tap in zip(*parts, strict=True)]

    def _common_size(self, pictures: Sequence[NDArray[np.uint8]]) -> tuple[int, int]:
        sizes = sorted({self.resized(*_checked(picture).shape[:2]) for picture in pictures})
        if len(sizes) != 1:
            raise BadInput(f"expected pictures that share one grid, got resized sizes {sizes}; encode each size on its own.")
        return sizes[0]

    def _batches(self, pictures: Sequence[NDArray[np.uint8]], high: int, wide: int) -> Iterator[tuple[int, list[torch.Tensor]]]:
        """Index of the first picture and maps (B, C, h, w) of each tap, batch by batch."""
        import torch

        net, device, taps = self._network()
        # One picture at a time on the CPU: as fast as batches, and a picture's features cannot depend on its neighbours.
        batch = 1 if device.type == "cpu" else 32
        for start in range(0, len(pictures), batch):
            chosen = pictures[start : start + batch]
            with torch.inference_mode():
                pixels = torch.from_numpy(np.stack([_resize(p, high, wide) for p in chosen])).to(device)
                maps = net.maps(pixels, taps) if self.tiles == 1 else self._tiled(net, pixels, taps)
            yield start, maps

    def _network(self) -> tuple[Backbone, torch.device, Taps]:
        from models.backbone_weights import recipe
        from models.backbones import Taps, load
        from models.device import place

        if self.runtime == "openvino":
            from models.backbones_openvino import load_openvino

            placement = place("cpu")
            return load_openvino(placement), placement.device, Taps(strides=self.strides)
        placement = place(self.device)
        net = load(self.backbone, placement)
        if not net.layout.transformer:
            if self.blocks:
                raise BadInput(
                    f"blocks {self.blocks!r}: {self.backbone!r} is a convolutional network, which is tapped by strides."
                )
            return net, placement.device, Taps(strides=self.strides)
        how = recipe(self.backbone)
        final_norm = how.final_norm if self.final_norm is None else self.final_norm
        return net, placement.device, Taps(blocks=self.blocks or how.blocks, final_norm=final_norm)

    def _tiled(self, net: Backbone, pixels: torch.Tensor, taps: Taps) -> list[torch.Tensor]:
        from models.backbones_tiles import tiled_maps

        return tiled_maps(net, pixels, taps, strides=self.tap_strides, side=self.side)

    @property
    def _layout(self) -> Layout:
        from models.backbones import layout

        return layout(self.backbone)

    @property
    def _multiple(self) -> int:
        return LARGEST_STRIDE if self.backbone == EMBEDDED else self._layout.multiple

    @property
    def tap_strides(self) -> tuple[int, ...]:
        """The stride of every tap, in their order."""
        if self.backbone == EMBEDDED or not self._layout.transformer:
            return self.strides
        from models.backbone_weights import recipe

        return self._layout.strides * len(self.blocks or recipe(self.backbone).blocks)

    def _features(self, taps: list[torch.Tensor], high: int, wide: int) -> torch.Tensor:
        import torch
        import torch.nn.functional as F

        layout = self._layout
        rows, columns = high // self.stride, wide // self.stride
        parts = []
        for tap, stride in zip(taps, self.tap_strides, strict=True):
            pooled = tap if layout.transformer else F.avg_pool2d(tap, 3, stride=1, padding=1, count_include_pad=False)
            if stride != self.stride:
                where = (self.stride, stride, layout.centres)
                down = torch.from_numpy(_placement_matrix(rows, pooled.shape[2], *where)).to(pooled.device)
                across = torch.from_numpy(_placement_matrix(columns, pooled.shape[3], *where)).to(pooled.device)
                pooled = down @ pooled @ across.T
            parts.append(pooled.permute(0, 2, 3, 1))
        return torch.cat(parts, dim=-1).contiguous()

    def to_pixels(self, maps: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
        """Bring patch maps (N, h, w) or (h, w) to the picture's size (…, height, width), linearly and rightly placed."""
        high, wide = self.resized(height, width)
        where = (self.stride, self.centres)
        down = _pixel_matrix(height, maps.shape[-2], high, *where)
        across = _pixel_matrix(width, maps.shape[-1], wide, *where)
        return np.asarray(down @ np.asarray(maps, dtype=np.float32) @ across.T, dtype=np.float32)

    def probabilities(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """ImageNet class probabilities (N, 1000) of whole pictures by the embedded network (aspect kept, about 224² pixels).

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
                rows.append(net(_to_input(pixels, placement.near_one)).float().softmax(dim=1))
                step("pictures classified", done, len(pictures))
        return np.asarray(torch.cat(rows).cpu().numpy(), dtype=np.float32)


def _checked(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or 0 in picture.shape:
        raise BadInput(f"picture: expected shape (H, W, 3) of uint8, got {picture.shape} of {picture.dtype.name}.")
    return picture


def _resized(height: int, width: int, side: int, multiple: int = LARGEST_STRIDE) -> tuple[int, int]:
    scale = side / (height * width) ** 0.5
    high, wide = (max(multiple, round(edge * scale / multiple) * multiple) for edge in (height, width))
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


def _placement_matrix(
    cells: int, coarse: int, stride: int, coarse_stride: int, centres: Mapping[int, float] | None = None
) -> NDArray[np.float32]:
    """Reads a coarse map at the true centres of a finer one; None: those of the embedded network's cells."""
    centres = _embedded_centres() if centres is None else centres
    pixels = stride * np.arange(cells) + centres[stride]
    return _linear((pixels - centres[coarse_stride]) / coarse_stride, coarse)


def _pixel_matrix(
    size: int, cells: int, resized: int, stride: int, centres: Mapping[int, float] | None = None
) -> NDArray[np.float32]:
    """Reads a map at each of `size` original pixels of a picture that was resized to `resized` pixels."""
    centres = _embedded_centres() if centres is None else centres
    pixels = (np.arange(size) + 0.5) * resized / size - 0.5
    return _linear((pixels - centres[stride]) / stride, cells)


def _embedded_centres() -> Mapping[int, float]:
    from models.backbones import layout

    return layout(EMBEDDED).centres
