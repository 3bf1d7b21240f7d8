"""The look-ups of CPR, from a photo's feature maps to its strangeness, for several photos at once and all on one device.

Source: Li et al., Target before Shooting: Accurate Anomaly Detection and Localization under One Millisecond via Cascade Patch
Retrieval (CPR, IEEE Transactions on Image Processing 2024, arXiv 2308.06748): retrieval of whole photos (`tools.image.retrieval`), look-up
of cells near their own place (`models.local_metric`), weight of the object, blur. What it learns is learned in `tools.image.cpr`.

Axes and units: features (N, h, w, C) half per stride, finest first; strangeness (N, h, w) float32 on the finest grid, 1 − cosine, 0 to 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tools.image.foreground import Foreground
from tools.image.retrieval import Floats, histograms, retrieved

if TYPE_CHECKING:
    import torch

    from models.feature_levels import FixedMaps
    from models.local_metric import LocalMetric

WINDOWS = {4: 3, 8: 1}
"""Edge, in cells, of the square around a place that is searched, by pixels per cell."""
BLUR_CELLS = 1.0
"""Standard deviation of the Gaussian over the finest map: 4 pixels of the resized photo."""
BLUR_REACH = 4
"""Cells on either side that the Gaussian looks at."""


class Cascade:
    """Compares photos with kept normal ones.

    Args:
        maps: per stride features (M, h, w, C) of the kept photos.
        encoder: says how maps of the strides lie to each other.
        codes: (K, C) of the finest maps.
        shown: what belongs to the object; None: everything.
        metrics: learned metric per stride; none: raw features.
        count: kept photos that each photo is compared with.
    """

    def __init__(
        self, maps: Sequence[torch.Tensor], encoder: FixedMaps, codes: Floats, shown: Foreground | None,
        metrics: Sequence[LocalMetric], count: int,
    ) -> None:  # fmt: skip
        import torch

        self.metrics, self.count, self.strides = metrics, count, encoder.strides
        device = maps[0].device
        self._bringing = [[torch.from_numpy(m).to(device) for m in pair] for pair in encoder.bringing()]
        self._codes = torch.from_numpy(codes).to(device)
        self._object = shown
        self._weight = None if shown is None else torch.from_numpy(shown.weight).to(device)
        self.vectors = [torch.cat([self.embedded(one[None], level).half() for one in some]) for level, some in enumerate(maps)]
        self.histograms = torch.cat([self._histograms(one[None]) for one in maps[0]])
        self._shown = None if shown is None else torch.cat([self._foreground(one[None]) for one in maps[0]])
        at = torch.arange(-BLUR_REACH, BLUR_REACH + 1, device=device)
        self._blur = torch.exp(-0.5 * (at / BLUR_CELLS) ** 2)
        self._blur /= self._blur.sum()

    def embedded(self, features: torch.Tensor, level: int) -> torch.Tensor:
        """Unit vectors (N, h, w, D) float32 of one stride's features: learned, or their 3×3 means."""
        import torch
        import torch.nn.functional as F

        x = features.permute(0, 3, 1, 2).float()
        with torch.inference_mode():
            if self.metrics:
                vectors = self.metrics[level](x)
            else:
                vectors = F.normalize(F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False), dim=1)
        return torch.as_tensor(vectors.permute(0, 2, 3, 1).contiguous())

    def strangeness(self, features: Sequence[torch.Tensor], *, but: int = -1) -> torch.Tensor:
        """Strangeness (N, h, w) of photos; `but` is the number of the photo itself among the kept ones."""
        import torch

        from models.local_metric import local_distance

        found = retrieved(self._histograms(features[0]), self.histograms, self.count, but=but)
        total = None
        for level, stride in enumerate(self.strides):
            query, references = self.embedded(features[level], level), self.vectors[level][found]
            down, across = self._bringing[level]
            part = down @ local_distance(query, references, window=WINDOWS[stride]) @ across.T
            total = part if total is None else total + part
        strange = torch.as_tensor(total) / len(self.strides)
        if self._shown is not None:
            strange = strange * self._foreground(features[0]).maximum(self._shown[found].amax(dim=1))
        return self._blurred(strange)

    def _histograms(self, finest: torch.Tensor) -> torch.Tensor:
        return histograms(finest.permute(0, 3, 1, 2).float(), self._codes)

    def _foreground(self, finest: torch.Tensor) -> torch.Tensor:
        """How much each cell (N, h, w) shows the object, 0 to 1."""
        import torch

        assert self._object is not None
        return self._object.scaled(finest.float() @ torch.as_tensor(self._weight))

    def _blurred(self, maps: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import conv2d, pad

        wide = pad(maps[:, None], (BLUR_REACH,) * 4, mode="replicate")
        down = conv2d(wide, self._blur[None, None, :, None])
        return conv2d(down, self._blur[None, None, None, :])[:, 0]


def picture_scores(strange: torch.Tensor, share: float) -> Floats:
    """Mean (N,) of the strangest share of the cells of maps (N, h, w).

    >>> import torch
    >>> picture_scores(torch.tensor([[[1.0, 3.0], [5.0, 7.0]]]), 0.5).tolist()
    [6.0]
    """
    flat = strange.flatten(1)
    count = max(1, round(share * flat.shape[1]))
    return np.asarray(flat.topk(count, dim=1).values.mean(dim=1).cpu().numpy(), dtype=np.float32)
