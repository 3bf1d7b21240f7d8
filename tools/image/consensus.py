"""Photos judged twice, at each place and as a whole: patch search and Gaussians of averaged features, in one score.

Sources: Roth et al., PatchCore (CVPR 2022), as `tools.image.patch_search`, and Rippel et al. (ICPR 2020), as `tools.image.gaussian`;
put together by us. A patch search finds what is small and is nearly blind to what is wrong as a whole (a blurred or tinted photo, a
part of the wrong size, a piece left out), for each patch of it may have been seen; Gaussians of averaged features are the other way
round. Each score is divided by its median over held-out good photos, so that 1 is a usual good photo to both, and the Gaussian's
counts half as much.

Chosen on faults drawn into held-out normal photos of four products, mean image AUROC for cut-and-pasted defects and for photos that are
wrong as a whole: together .953 and .979, patch search alone .966 and .930, Gaussians alone .887 and .971; weights from .25 to .5 differ by
.003 in the mean of both. The map's pixel AP is .630, of patch search alone .628.

Axes and units: photos (H, W, 3) uint8 of any size; score and heatmap (H, W) float32 in usual good photos.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from core.archive import load_arrays, save_arrays
from core.detector import DetectorSpec, parameters, require_batch
from core.errors import BadInput, NotFitted
from core.evidence import Box
from core.samples import ImageSample, Sample
from core.scores import ImageScore
from tools.catalog import ROWS
from tools.image.gaussian import Gaussian
from tools.image.patch_search import PatchSearch

LEAST = 1e-6


class Consensus:
    """Finds photos that differ from normal ones at some place or as a whole.

    Args:
        side: resolution of the patch search (`tools.image.patch_search.PatchSearch`).
        bank: patches kept in its memory.
        whole: weight of the Gaussians' score beside the patch search's, which is 1; 0: patch search alone.
        seed: of the memory's first, random picks and of the patches that are drawn.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Scores are `ImageScore`s with heatmaps (H, W). Raises NotFitted before `fit`, BadInput on anything but pictures.

    >>> from core.samples import ImageSample
    >>> rng = np.random.default_rng(0)
    >>> def photo(hole: bool) -> ImageSample:
    ...     pixels = (np.indices((96, 128)).sum(0)[..., None] % 12 * 14 + rng.integers(0, 20, (96, 128, 3))).astype(np.uint8)
    ...     pixels[30:50, 80:100] = 0 if hole else pixels[30:50, 80:100]
    ...     return ImageSample(name="cloth", pixels=pixels)
    >>> both = Consensus(side=96).fit([photo(False) for _ in range(3)])
    >>> good, torn = both.score([photo(False), photo(True)])
    >>> good.score < torn.score, torn.heatmap.shape
    (True, (96, 128))
    """

    spec: DetectorSpec = next(row for row in ROWS if row.name == "consensus")

    def __init__(self, *, side: int = 384, bank: int = 10_000, whole: float = 0.5, seed: int = 0, device: str = "auto") -> None:
        if not (np.isfinite(whole) and whole >= 0):
            raise BadInput(f"whole {whole!r}: expected a weight from 0.")
        self.side, self.bank, self.whole, self.seed, self.device = side, bank, whole, seed, device
        self._search = PatchSearch(side=side, bank=bank, seed=seed, device=device)
        self._gaussian = Gaussian(seed=seed, device=device)
        self._usual: NDArray[np.float64] = np.empty(0)

    def fit(self, normal: Sequence[Sample]) -> Self:
        """Learn from normal photos.

        Raises:
            BadInput: no photo, or something that is not one.
        """
        require_batch(normal, ImageSample, self.spec.name)
        self._search.fit(normal)
        self._gaussian.fit(normal)
        self._usual = np.maximum([np.median(scores) for scores in self._held_out()], LEAST)
        return self

    def learn(self, sample: Sample, *, box: Box | None = None, mask: NDArray[np.bool_] | None = None) -> int:
        """Remember a region of a photo as normal, as `PatchSearch.learn`: the photo as a whole may still be odd.

        Raises:
            NotFitted: `fit` was not called.
            BadInput: as there.
        """
        return self._search.learn(sample, box=box, mask=mask)

    def score(self, batch: Sequence[Sample]) -> list[ImageScore]:
        """Score photos by both.

        Raises:
            NotFitted: `fit` was not called.
            BadInput: an empty batch, or something that is not a photo.
        """
        if not len(self._usual):
            raise NotFitted.of(self.spec.name)
        require_batch(batch, ImageSample, self.spec.name)
        return [
            ImageScore(
                sample=near.sample, score=float(self._together(near.score, far.score)),
                heatmap=self._together(near.heatmap, far.heatmap).astype(np.float32),
                parts={
                    "place": (near.score / self._usual[0] - 1) / (1 + self.whole),
                    "whole": self.whole * (far.score / self._usual[1] - 1) / (1 + self.whole),
                },
            )
            for near, far in zip(self._search.score(batch), self._gaussian.score(batch), strict=True)
        ]  # fmt: skip

    def reference_scores(self) -> NDArray[np.float32]:
        """Score of each normal photo by memory and Gaussians without it, as its two parts have them."""
        return np.asarray(self._together(*self._held_out()), np.float32)

    def save(self, path: Path) -> None:
        """Write constructor values and both parts to one npz file."""
        if not len(self._usual):
            raise NotFitted.of(self.spec.name)
        arrays: dict[str, NDArray[np.generic]] = {"usual": self._usual}
        with tempfile.TemporaryDirectory() as folder:
            for name, part in (("search", self._search), ("gaussian", self._gaussian)):
                part.save(Path(folder) / f"{name}.npz")
                arrays[name] = np.frombuffer((Path(folder) / f"{name}.npz").read_bytes(), np.uint8)
        save_arrays(path, name=self.spec.name, parameters=parameters(self), arrays=arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged or another detector's.
        """
        values, arrays, _ = load_arrays(path, name=cls.spec.name)
        made = cls(**values)
        with tempfile.TemporaryDirectory() as folder:
            for name in ("search", "gaussian"):
                (Path(folder) / f"{name}.npz").write_bytes(arrays[name].tobytes())
            made._search = PatchSearch.load(Path(folder) / "search.npz")
            made._gaussian = Gaussian.load(Path(folder) / "gaussian.npz")
        made._usual = arrays["usual"]
        return made

    def _held_out(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Held-out scores of both parts, photo by photo (of one photo alone: of its turned copies)."""
        near, far = (part.reference_scores().astype(np.float64) for part in (self._search, self._gaussian))
        count = min(len(near), len(far))
        return near[:count], far[:count]

    def _together(self, near: float | NDArray[np.floating], far: float | NDArray[np.floating]) -> NDArray[np.float64]:
        """Weighted mean of both, each in usual good photos."""
        return np.asarray((near / self._usual[0] + self.whole * far / self._usual[1]) / (1 + self.whole), np.float64)
