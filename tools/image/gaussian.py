"""Photos whose features, averaged over the whole photo, lie far from a Gaussian of the normal photos' averages, depth by depth.

Source: Rippel et al., Modeling the Distribution of Normal Data in Pre-Trained Deep Features for Anomaly Detection (ICPR 2020):
one Gaussian with Ledoit-Wolf shrinkage for each of the nine depths of an ImageNet network, the score is the mean of their
Mahalanobis distances; negated principal components (directions in which normal photos vary least) as there. Ours: the embedded
network; with fewer photos than channels every direction that normal photos leave empty counts, not one of them; and a heatmap, which the
paper has none of.

Chosen on synthetic defects in held-out normal photos, by image AUROC: negated components from 99 % of the variance (bottle .980,
tile .768, hazelnut .897) against all directions (.978, .740, .886) and the leading ones (.972, .589, .705); all nine depths.

The heatmap is a second opinion: one more Gaussian, of single patches, as in Defard et al., PaDiM (2020), but with one mean and
covariance for all places, of features of length 1 (tile's pixel AP .358; of features as they are .279). What it shows need not be
what raised the score: a photo may be odd as a whole and have no odd patch.

Axes and units: photos (H, W, 3) uint8 of any size; distances count standard deviations, so √k is usual for k channels; heatmap
(H, W) float32, the distance of patches of about 8 pixels of the photo resized to side² pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from core.archive import load_arrays, save_arrays
from core.detector import DetectorSpec, parameters, require_batch
from core.errors import BadInput, NotFitted
from core.progress import step
from core.samples import ImageSample, Sample
from core.scores import ImageScore
from models.feature_levels import pooled_levels
from models.gaussians import Reduction, ShrunkGaussian, checked_reduction, satterthwaite
from models.patches import PatchEncoder
from tools.catalog import ROWS
from tools.image.patch_maps import each_photo, orientations, patch_vectors, pixels_of, score_of

LEVELS = 9
FEW = 8
"""Up to this many normal photos are also turned and mirrored."""
FOLDS = 5
PATCHES = 30_000
"""Patches that the map's Gaussian is estimated from, drawn evenly from all photos."""


class Gaussian:
    """Finds photos whose averaged features are far from those of normal photos.

    Args:
        side: photos are resized to about side² pixels.
        levels: depths that are averaged, some of 0 (stem), 1 to 7 (stages) and 8 (head).
        reduce: "none", "pca" (directions of most variance) or "npca" (those of least variance).
        variance: share of the variance at which "pca" ends and "npca" begins.
        augment: also learn from the normal photos turned by 90° steps and mirrored; None: when there are at most eight.
        seed: of the patches that are drawn.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Scores are `ImageScore`s with heatmaps (H, W). Raises NotFitted before `fit`, BadInput on anything but pictures.

    >>> from core.samples import ImageSample
    >>> rng = np.random.default_rng(0)
    >>> def photo(hole: bool) -> ImageSample:
    ...     pixels = (np.indices((96, 128)).sum(0)[..., None] % 12 * 14 + rng.integers(0, 20, (96, 128, 3))).astype(np.uint8)
    ...     pixels[30:50, 80:100] = 0 if hole else pixels[30:50, 80:100]
    ...     return ImageSample(name="cloth", pixels=pixels)
    >>> learned = Gaussian(side=96).fit([photo(False) for _ in range(3)])
    >>> good, torn = learned.score([photo(False), photo(True)])
    >>> good.score < torn.score, torn.heatmap.shape, learned.working_point() < torn.score
    (True, (96, 128), True)
    """

    spec: DetectorSpec = next(row for row in ROWS if row.name == "gaussian")

    def __init__(
        self, *, side: int = 320, levels: tuple[int, ...] = tuple(range(LEVELS)), reduce: Reduction = "npca", variance: float = 0.99,
        augment: bool | None = None, seed: int = 0, device: str = "auto",
    ) -> None:  # fmt: skip
        if not levels or len(set(levels)) != len(levels) or not set(levels) <= set(range(LEVELS)):
            raise BadInput(f"levels {levels!r}: expected some of 0 to {LEVELS - 1}, each once.")
        checked_reduction(reduce, variance)
        self.side, self.levels, self.reduce, self.variance = side, tuple(levels), reduce, variance
        self.augment, self.seed, self.device = augment, seed, device
        self._encoder = PatchEncoder(side=side, device=device)
        self._models: list[ShrunkGaussian] = []
        self._patches: ShrunkGaussian | None = None
        self._reference: NDArray[np.float32] = np.empty(0, dtype=np.float32)

    def fit(self, normal: Sequence[Sample]) -> Self:
        """Estimate the Gaussians of normal photos.

        Raises:
            BadInput: no photo, or something that is not one.
        """
        require_batch(normal, ImageSample, self.spec.name)
        rng = np.random.default_rng(self.seed)
        lonely = len(normal) == 1
        turned = lonely or (len(normal) <= FEW if self.augment is None else self.augment)
        share = max(1, PATCHES // (len(normal) * (8 if turned else 1)))
        vectors: list[list[NDArray[np.float32]]] = []
        owners: list[int] = []
        patches: list[NDArray[np.float32]] = []
        for number, sample in enumerate(normal):
            upright = pixels_of(sample, self.spec.name)
            for copy, pixels in enumerate(orientations(upright) if turned else [upright]):
                vectors.append(self._vectors(pixels))
                owners.append(copy if lonely else number)
                found = patch_vectors(self._encoder, pixels).flatten(0, 1).cpu().numpy()
                patches.append(found[rng.permutation(len(found))[:share]])
            step("normal photos", number + 1, len(normal))
        levels = [np.stack(level) for level in zip(*vectors, strict=True)]
        self._models = self._estimated(levels)
        self._patches = ShrunkGaussian.fit(np.concatenate(patches), reduce=self.reduce, variance=self.variance)
        self._reference = self._held_out(levels, np.array(owners), copies=8 if turned and not lonely else 1)
        return self

    def score(self, batch: Sequence[Sample]) -> list[ImageScore]:
        """Score photos: the mean of the depths' distances, and a map of single patches' distances.

        Raises:
            NotFitted: `fit` was not called.
            BadInput: an empty batch, or something that is not a photo.
        """
        require_batch(batch, ImageSample, self.spec.name)
        if self._patches is None:
            raise NotFitted.of(self.spec.name)
        scores = []
        for called, pixels in each_photo(batch, self.spec.name):
            patches = self._patches.distance(patch_vectors(self._encoder, pixels).cpu().numpy()).astype(np.float32)
            mapped = score_of(called, self._encoder, patches, pixels)
            scores.append(replace(mapped, score=float(self.level_distances(pixels).mean())))
        return scores

    def level_distances(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Mahalanobis distance of a photo (H, W, 3) at each of `levels`: which depth finds it odd. The score is their mean.

        Raises:
            NotFitted: `fit` was not called.
        """
        if not self._models:
            raise NotFitted.of(self.spec.name)
        vectors = self._vectors(pixels)
        return np.array([float(model.distance(vector)) for model, vector in zip(self._models, vectors, strict=True)])

    def working_point(self, share: float = 0.9973) -> float:
        """The score below which this share of normal photos lies, if the squared score is a scaled χ²; default: three sigma.

        The paper's threshold √χ²_k⁻¹(share) for each depth presupposes the true covariance. With fewer photos than channels new
        normal photos lie much farther out, and the depths are correlated; so mean and variance of the held-out squared scores
        are matched instead (Satterthwaite 1946). `reference_scores` with an empirical quantile needs no such form.

        Raises:
            NotFitted: `fit` was not called.
            BadInput: `share` is not between 0 and 1.
        """
        if not 0 < share < 1:
            raise BadInput(f"share {share!r}: expected above 0 and below 1.")
        if not self._models:
            raise NotFitted.of(self.spec.name)
        return float(np.sqrt(satterthwaite(np.square(self._reference.astype(np.float64)), share)))

    def reference_scores(self) -> NDArray[np.float32]:
        """Score of each normal photo by Gaussians of four fifths of the photos that it is not among.

        With a single normal photo, of each of its turned and mirrored copies by Gaussians of the others: a threshold from
        them is a rough one.
        """
        return self._reference.copy()

    def save(self, path: Path) -> None:
        """Write constructor values, Gaussians and held-out scores to one npz file."""
        if self._patches is None:
            raise NotFitted.of(self.spec.name)
        arrays = {**self._patches.arrays("patches_"), "reference": self._reference}
        for level, model in zip(self.levels, self._models, strict=True):
            arrays.update(model.arrays(f"level{level}_"))
        save_arrays(path, name=self.spec.name, parameters=parameters(self), arrays=arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged or another detector's.
        """
        values, arrays, _ = load_arrays(path, name=cls.spec.name)
        made = cls(**values)
        made._patches = ShrunkGaussian.from_arrays(arrays, "patches_")
        made._models = [ShrunkGaussian.from_arrays(arrays, f"level{level}_") for level in made.levels]
        made._reference = arrays["reference"]
        return made

    def _vectors(self, pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Averaged features (C,) of a photo at each of `levels`."""
        found = pooled_levels(pixels, side=self.side, device=self.device)
        return [found[level] for level in self.levels]

    def _estimated(self, levels: Sequence[NDArray[np.float32]]) -> list[ShrunkGaussian]:
        return [ShrunkGaussian.fit(vectors, reduce=self.reduce, variance=self.variance) for vectors in levels]

    def _held_out(self, levels: Sequence[NDArray[np.float32]], owners: NDArray[np.int64], copies: int) -> NDArray[np.float32]:
        """Cross-fitted score of each photo (of its upright copy, the first of `copies`)."""
        photos = int(owners.max()) + 1
        folds = min(FOLDS, photos)
        scores = np.empty(photos, dtype=np.float32)
        for fold in range(folds):
            own = owners % folds == fold
            models = self._estimated([vectors[~own] for vectors in levels])
            upright = np.flatnonzero(own)[::copies]
            distances = [model.distance(vectors[upright]) for model, vectors in zip(models, levels, strict=True)]
            scores[owners[upright]] = np.mean(distances, axis=0)
            step("parts of the normal photos", fold + 1, folds)
        return scores
