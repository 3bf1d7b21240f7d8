"""One photo and no reference: patches that the photo's own recurring patches cannot explain.

Source: after Luo et al., Exploring Intrinsic Normal Prototypes within a Single Image (INP-Former, CVPR 2025), whose zero-shot score is
the distance of a patch to prototypes that recur in the same picture. Ours has no training and no prototypes to choose: a
patch is as strange as the mean distance to its most similar 2 % of patches elsewhere in the photo and in its turned and
mirrored copies, so what recurs anywhere, in any orientation, is explained, and what occurs once is not. On synthetic defects
in normal photos and textures this localised better than k-means prototypes, a PCA residual or a Mahalanobis distance.

Axes and units: photos (H, W, 3) uint8 of any size; patches of about 8 pixels of the photo resized to side² pixels; distances of
unit features, 0 to 2; heatmap (H, W) float32 in the same unit; score = mean of the strangest 1 % of patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from core.archive import load_arrays, save_arrays
from core.detector import DetectorSpec, parameters, require_batch
from core.errors import BadInput
from core.samples import ImageSample, Sample
from core.scores import ImageScore
from models.patches import PatchEncoder
from tools.catalog import ROWS
from tools.image.patch_maps import orientations, patch_vectors, score_each

if TYPE_CHECKING:
    import torch

NEAR = 3
"""Patches within this many cells share pixels with a patch (3×3 pooling, overlapping fields) and may not explain it."""
TILE = 256
LEVELS = 2
"""A photo whose pixels differ by no more levels than this, in every colour, shows nothing: only the encoder's padding at the edges
and the rounding of its compression would be found strange in it."""


class Intrinsic:
    """Finds what occurs only once in a photo.

    Args:
        side: the photo is resized to about side² pixels; raise it for small defects in large photos.
        share: share of the photo's patches, the most similar ones, that must resemble a patch; a defect larger than this
            share of the photo begins to explain itself.
        device: "auto", "cpu", "cuda" or "cuda:N".

    `fit(normal)` changes no score; it only keeps the normal photos' scores as references for a threshold. Scores are
    `ImageScore`s with heatmaps (H, W). Raises BadInput on anything but pictures.

    >>> from core.samples import ImageSample
    >>> rng = np.random.default_rng(0)
    >>> pixels = (np.indices((96, 128)).sum(0)[..., None] % 12 * 14 + rng.integers(0, 20, (96, 128, 3))).astype(np.uint8)
    >>> pixels[40:52, 80:96] = 0
    >>> heatmap = Intrinsic(side=96).score([ImageSample(name="cloth", pixels=pixels)])[0].heatmap
    >>> y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    >>> bool(32 <= y < 60 and 72 <= x < 104)
    True
    """

    spec: DetectorSpec = next(row for row in ROWS if row.name == "intrinsic")

    def __init__(self, *, side: int = 320, share: float = 0.02, device: str = "auto") -> None:
        if not 0 < share <= 1:
            raise BadInput(f"share {share!r}: expected above 0 and at most 1.")
        self.side, self.share, self.device = side, share, device
        self._encoder = PatchEncoder(side=side, device=device)
        self._reference: NDArray[np.float32] = np.empty(0, dtype=np.float32)

    def fit(self, normal: Sequence[Sample]) -> Self:
        """Keep the scores of normal photos as references.

        Raises:
            BadInput: no photo, or something that is not one.
        """
        self._reference = np.array([score.score for score in self.score(normal)], dtype=np.float32)
        return self

    def score(self, batch: Sequence[Sample]) -> list[ImageScore]:
        """Score each photo by itself.

        Raises:
            BadInput: an empty batch, or something that is not a photo.
        """
        require_batch(batch, ImageSample, self.spec.name)
        return score_each(batch, self.spec.name, self._encoder, self._unexplained)

    def reference_scores(self) -> NDArray[np.float32]:
        """Scores of the normal photos given to `fit`; each was scored by itself, so they are held out by nature."""
        return self._reference.copy()

    def save(self, path: Path) -> None:
        """Write constructor values and reference scores to one npz file."""
        save_arrays(path, name=self.spec.name, parameters=parameters(self), arrays={"reference": self._reference})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged or another detector's.
        """
        values, arrays, _ = load_arrays(path, name=cls.spec.name)
        made = cls(**values)
        made._reference = arrays["reference"]
        return made

    def _unexplained(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Mean distance (h, w) of each patch to its most similar ones elsewhere."""
        import torch

        from models.nearest import distance

        rows, columns = self._encoder.grid(*pixels.shape[:2])
        if not _varies(pixels):
            return np.zeros((rows, columns), dtype=np.float32)
        cells = np.moveaxis(np.indices((rows, columns)), 0, -1).astype(np.int16)
        vectors, places = [], []
        for turned, turned_cells in zip(orientations(pixels), orientations(cells), strict=True):
            vectors.append(patch_vectors(self._encoder, turned).flatten(0, 1))
            places.append(turned_cells.reshape(-1, 2))  # where in the upright photo each patch of the copy comes from
        patches, others = vectors[0], torch.cat(vectors)
        here = torch.from_numpy(places[0]).to(patches.device)
        there = torch.from_numpy(np.concatenate(places)).to(patches.device)
        near = min(NEAR, max(rows, columns) // 4)
        kept = max(1, round(self.share * len(patches)))
        found: list[torch.Tensor] = []
        for start in range(0, len(patches), TILE):
            cosine = patches[start : start + TILE] @ others.T
            away = (here[start : start + TILE, None] - there[None]).abs().amax(dim=-1)
            cosine[away <= near] = -1.0
            found.append(distance(cosine.topk(kept, dim=1, sorted=False).values).mean(dim=1))
        return np.asarray(torch.cat(found).reshape(rows, columns).cpu().numpy(), dtype=np.float32)


def _varies(pixels: NDArray[np.uint8]) -> bool:
    """Is there anything in a photo (H, W, 3) that could be strange?

    >>> _varies(np.full((4, 4, 3), 90, np.uint8)), _varies(np.eye(4, dtype=np.uint8)[..., None] * np.full(3, 90, np.uint8))
    (False, True)
    """
    return bool((np.ptp(pixels, axis=(0, 1)) > LEVELS).any())
