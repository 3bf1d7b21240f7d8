"""Several photos of one product, none known to be good: every patch is looked up in every other photo.

Source: Li et al., MuSc: Zero-Shot Industrial Anomaly Classification and Segmentation with Mutual Scoring of the Unlabeled Images
(ICLR 2024): a normal patch finds a similar one in most other photos, a defect in few, so a patch's strangeness is the mean of
the lowest 30 % of its distances to the other photos (lowest, because good parts also differ and some photos are odd themselves).
Ours: the embedded network, one 3×3 neighbourhood, at least one partner (the paper's formula gives none below five
photos), each pair of photos multiplied once for both directions, no re-ranking by class token.

Axes and units: photos (H, W, 3) uint8 of any size; a distance is that of unit patch features, 0 to 2; heatmap (H, W) float32 in the
same unit; score = mean of the strangest 1 % of patches.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from core.archive import load_arrays, save_arrays
from core.detector import DetectorSpec, parameters, require_batch
from core.errors import BadInput
from core.progress import step
from core.samples import ImageSample, Sample
from core.scores import ImageScore
from models.backbone_weights import EMBEDDED
from models.patches import PatchEncoder
from tools.catalog import ROWS
from tools.image.patch_maps import patch_vectors, picture_score, pixels_of, score_of

if TYPE_CHECKING:
    import torch

ROW_TILE = 512


class MutualSearch:
    """Finds patches that few other photos of the batch show.

    Args:
        side: photos are resized to about side² pixels.
        share: share of a patch's partners, the most similar ones, whose distances are averaged.
        partners: photos that are compared with each other at once; a larger batch is dealt into groups of about this size, so
            that cost grows linearly. Dealing depends on what the photos show and the seed, not on their order.
        seed: of the dealing.
        backbone: the network whose features are compared, as `models.patches.PatchEncoder` takes it.
        device: "auto", "cpu", "cuda" or "cuda:N".

    After `fit(normal)` the normal photos are partners of every photo too. Scores are `ImageScore`s with heatmaps (H, W).
    Raises BadInput for a single photo without normals, and for anything but photos.

    >>> from core.samples import ImageSample
    >>> rng = np.random.default_rng(0)
    >>> def photo(hole: bool) -> ImageSample:
    ...     pixels = (np.indices((96, 128)).sum(0)[..., None] % 12 * 14 + rng.integers(0, 20, (96, 128, 3))).astype(np.uint8)
    ...     pixels[30:50, 80:100] = 0 if hole else pixels[30:50, 80:100]
    ...     return ImageSample(name="cloth", pixels=pixels)
    >>> scores = MutualSearch(side=96).score([photo(False), photo(True), photo(False)])
    >>> int(np.argmax([s.score for s in scores])), scores[1].heatmap.shape
    (1, (96, 128))
    """

    spec: DetectorSpec = next(row for row in ROWS if row.name == "mutual_search")

    def __init__(
        self,
        *,
        side: int = 320,
        share: float = 0.3,
        partners: int = 40,
        seed: int = 0,
        backbone: str = EMBEDDED,
        device: str = "auto",
    ) -> None:
        if not 0 < share <= 1:
            raise BadInput(f"share {share!r}: expected above 0 and at most 1.")
        if partners < 2:
            raise BadInput(f"partners {partners!r}: expected at least 2.")
        self.side, self.share, self.partners, self.seed, self.device = side, share, partners, seed, device
        self.backbone = backbone
        self._encoder = PatchEncoder(side=side, backbone=backbone, device=device)
        self._normals: list[torch.Tensor] = []
        self._reference: NDArray[np.float32] = np.empty(0, dtype=np.float32)

    def fit(self, normal: Sequence[Sample]) -> Self:
        """Take normal photos as additional partners (at most `partners` of them are kept, spread evenly).

        Raises:
            BadInput: no photo, or something that is not one.
        """
        require_batch(normal, ImageSample, self.spec.name)
        kept = np.unique(np.linspace(0, len(normal) - 1, min(len(normal), self.partners)).round().astype(int))
        vectors, _ = self._vectors([normal[int(index)] for index in kept])
        self._normals = vectors
        patches = self._mutual(vectors, []) if len(vectors) > 1 else []
        self._reference = np.array([picture_score(p) for p in patches], dtype=np.float32)
        return self

    def score(self, batch: Sequence[Sample]) -> list[ImageScore]:
        """Score the photos against each other (and the normals, if fitted).

        Raises:
            BadInput: an empty batch, a single photo without normals, or something that is not a photo.
        """
        require_batch(batch, ImageSample, self.spec.name)
        if len(batch) == 1 and not self._normals:
            raise BadInput(
                f"{self.spec.name!r}: expected at least two photos to compare, got one. Add photos, give normal ones, or use 'intrinsic'."
            )
        found: list[ImageScore | None] = [None] * len(batch)
        groups = self._dealt(batch)
        for group in groups:
            samples = [batch[index] for index in group]
            vectors, grids = self._vectors(samples)
            for index, sample, grid, patches in zip(group, samples, grids, self._mutual(vectors, self._normals), strict=True):
                pixels = pixels_of(sample, self.spec.name)
                found[index] = score_of(sample.name, self._encoder, patches.reshape(grid), pixels)
        return [score for score in found if score is not None]

    def reference_scores(self) -> NDArray[np.float32]:
        """Score of each fitted normal photo among the other normals; empty with fewer than two."""
        return self._reference.copy()

    def save(self, path: Path) -> None:
        """Write constructor values, the normals' patches and their scores to one npz file."""
        arrays = {f"normal{number}": vectors.cpu().numpy() for number, vectors in enumerate(self._normals)}
        save_arrays(path, name=self.spec.name, parameters=parameters(self), arrays={**arrays, "reference": self._reference})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged or another detector's.
        """
        import torch

        from models.device import place

        values, arrays, _ = load_arrays(path, name=cls.spec.name)
        made = cls(**values)
        made._reference = arrays.pop("reference")
        device = place(made.device).device
        made._normals = [torch.from_numpy(arrays[f"normal{number}"]).to(device) for number in range(len(arrays))]
        return made

    def _vectors(self, samples: Sequence[Sample]) -> tuple[list[torch.Tensor], list[tuple[int, int]]]:
        vectors, grids = [], []
        for number, sample in enumerate(samples, start=1):
            patches = patch_vectors(self._encoder, pixels_of(sample, self.spec.name))
            vectors.append(patches.flatten(0, 1))
            grids.append((int(patches.shape[0]), int(patches.shape[1])))
            step("photos encoded", number, len(samples))
        return vectors, grids

    def _mutual(self, vectors: Sequence[torch.Tensor], normals: Sequence[torch.Tensor]) -> list[NDArray[np.float32]]:
        """Patch distances (P,) of every photo to its partners: the other `vectors` and all `normals`."""
        from models.nearest import distance, largest_cosine

        count = len(vectors)
        columns = count - 1 + len(normals)
        closest = [v.new_empty((columns, len(v))) for v in vectors]
        for i, ours in enumerate(vectors):
            for j in range(i + 1, count):
                forward, backward = _both_ways(ours, vectors[j])
                closest[i][j - 1], closest[j][i] = forward, backward
            for j, normal in enumerate(normals):
                closest[i][count - 1 + j] = largest_cosine(ours, normal)
            step("photos compared", i + 1, count)
        kept = max(1, math.ceil(self.share * columns))
        return [distance(table).topk(kept, dim=0, largest=False).values.mean(dim=0).cpu().numpy() for table in closest]

    def _dealt(self, batch: Sequence[Sample]) -> list[list[int]]:
        """Indices of the batch in groups of about `partners`, random but the same for every order of the batch."""
        groups = max(1, round(len(batch) / self.partners))
        if groups == 1:
            return [list(range(len(batch)))]
        keys = []
        for sample in batch:
            content = sample.pixels.tobytes() if isinstance(sample, ImageSample) else b""
            keys.append(hashlib.sha256(f"{self.seed}\0{sample.name}\0".encode() + content).digest())
        order = sorted(range(len(batch)), key=keys.__getitem__)
        return [[int(index) for index in part] for part in np.array_split(np.array(order), groups)]


def _both_ways(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Largest cosine of each row of `a` with `b` and of each row of `b` with `a`, from one product in cache-sized tiles."""
    forward = a.new_empty(len(a))
    backward = b.new_full((len(b),), -1.0)
    for start in range(0, len(a), ROW_TILE):
        cosine = a[start : start + ROW_TILE] @ b.T
        forward[start : start + ROW_TILE] = cosine.amax(dim=1)
        backward = backward.maximum(cosine.amax(dim=0))
    return forward, backward
