"""Aligned photos compared, place by place, with the most similar photos of good parts, by a metric learned for this product.

Source: Li et al., Target before Shooting: Accurate Anomaly Detection and Localization under One Millisecond via Cascade Patch
Retrieval (CPR, IEEE Transactions on Image Processing 2024, arXiv 2308.06748). A cascade: whole photos are retrieved
(`tools.image.retrieval`), then each cell is looked up near its own place in the ten retrieved photos only, by learned metrics of two
depths (`models.local_metric`, `tools.image.cpr_training`), weighed by how much it belongs to the object (`tools.image.foreground`). What
is learned is learned here; the look-ups are `tools.image.cascade`.
Ours: the embedded network; defects simulated by cut and paste; minutes instead of hours of training, without any look at test photos; the
metric may be left out.

Axes and units: photos (H, W, 3) uint8 of any size, resized to side×side pixels; cells of 4 and 8 pixels of that; a cell's strangeness is
1 − cosine to the most similar cell, the mean of both depths, 0 to 2; heatmap (H, W) float32 in the same unit, smoothed by 4 pixels;
score = mean of the strangest half percent of cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from core.archive import load_arrays, save_arrays
from core.detector import DetectorSpec, parameters, require_batch
from core.errors import BadInput, NotFitted
from core.progress import step
from core.samples import ImageSample, Sample
from core.scores import ImageScore
from models.feature_levels import FixedMaps
from tools.catalog import ROWS
from tools.image.cascade import Cascade, picture_scores
from tools.image.foreground import Foreground, learn_foreground
from tools.image.patch_maps import each_photo, pixels_of
from tools.image.retrieval import Floats, block_histograms, learn_codes

if TYPE_CHECKING:
    import torch

    from models.local_metric import LocalMetric

STRIDES = (4, 8)
STRANGEST = 0.005
"""512 of 320² pixels in the paper."""
HOLD_OUT = 5
"""Each fifth normal photo is not learned from, where there are at least `ENOUGH`; these give the held-out scores."""
ENOUGH = 20
SHIFT = 0.02
"""A lonely photo's stand-ins are shifted by this part of its edge."""


class CPR:
    """Finds places that look unlike the same places of the most similar normal photos.

    Args:
        side: photos are resized to side×side pixels, a multiple of 32.
        retrieved: normal photos each photo is compared with.
        width: length of the learned vectors; 384 is the paper's standard variant, 64 and 16 its fast ones.
        simulated: pictures with simulated defects to learn from.
        steps: training steps of each metric; 0: raw backbone features, nothing is trained.
        pairs: pairs of photos per step.
        references: most normal photos kept for comparison.
        foreground: weigh places by how much they show the object; None: where there is a plain rim around something else.
        seed: of codes, defects, first weights and what is drawn.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Scores are `ImageScore`s with heatmaps (H, W). Raises NotFitted before `fit`, BadInput on anything but pictures.

    >>> from core.samples import ImageSample
    >>> rng = np.random.default_rng(0)
    >>> def photo(hole: bool) -> ImageSample:
    ...     pixels = (np.indices((96, 128)).sum(0)[..., None] % 12 * 14 + rng.integers(0, 20, (96, 128, 3))).astype(np.uint8)
    ...     pixels[30:50, 80:100] = 0 if hole else pixels[30:50, 80:100]
    ...     return ImageSample(name="cloth", pixels=pixels)
    >>> cascade = CPR(side=96, steps=0).fit([photo(False), photo(False)])
    >>> good, torn = cascade.score([photo(False), photo(True)])
    >>> good.score < torn.score, torn.heatmap.shape
    (True, (96, 128))
    """

    spec: DetectorSpec = next(row for row in ROWS if row.name == "cpr")

    def __init__(
        self,
        *,
        side: int = 320,
        retrieved: int = 10,
        width: int = 64,
        simulated: int = 200,
        steps: int = 150,
        pairs: int = 16,
        references: int = 100,
        foreground: bool | None = None,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        if retrieved < 1 or width < 1 or simulated < 1 or steps < 0 or pairs < 1 or references < 1:
            raise BadInput(
                f"retrieved={retrieved!r}, width={width!r}, simulated={simulated!r}, steps={steps!r}, pairs={pairs!r}, "
                f"references={references!r}: expected counts from 1, steps from 0."
            )
        self.side, self.retrieved, self.width, self.simulated, self.steps = side, retrieved, width, simulated, steps
        self.pairs, self.references, self.foreground, self.seed, self.device = pairs, references, foreground, seed, device
        self._encoder = FixedMaps(size=(side, side), strides=STRIDES, device=device)
        self._maps: list[torch.Tensor] = []  # per stride (N, h, w, C) half, the kept normals
        self._metrics: list[LocalMetric] = []
        self._cascade: Cascade | None = None
        self._codes: Floats = np.empty((0, 0), np.float32)
        self._object: Foreground | None = None
        self._reference: NDArray[np.float32] = np.empty(0, dtype=np.float32)

    def fit(self, normal: Sequence[Sample]) -> Self:
        """Keep normal photos, learn codes and foreground from them, and the metrics from defects simulated in them.

        Raises:
            BadInput: no photo, or something that is not one.
        """
        import torch

        require_batch(normal, ImageSample, self.spec.name)
        kept = sorted(np.random.default_rng(self.seed).permutation(len(normal))[: self.references])
        photos, maps = [], []
        for number, index in enumerate(kept, start=1):
            photos.append(self._resized(pixels_of(normal[int(index)], self.spec.name)))
            maps.append(self._features(photos[-1]))
            step("normal photos", number, len(kept))
        self._maps = [torch.stack(level) for level in zip(*maps, strict=True)]
        first = [_channels_first(one) for one in self._maps[0]]
        self._codes = learn_codes(first, seed=self.seed)
        self._object = None if self.foreground is False else learn_foreground(first, seed=self.seed)
        if self.foreground and self._object is None:
            raise BadInput("foreground=True: expected photos with a plain rim around an object, got none; use foreground=None.")
        histograms = np.stack([block_histograms(one, self._codes) for one in first])
        held_out = list(range(HOLD_OUT - 1, len(photos), HOLD_OUT)) if len(photos) >= ENOUGH else []
        learned = [number for number in range(len(photos)) if number not in held_out]
        self._metrics = self._trained([photos[number] for number in learned], learned, histograms) if self.steps else []
        self._arrange()
        if len(photos) == 1:
            scores = [self._judged(self._features(copy))[1] for copy in _shifted(photos[0])]
        else:
            scores = []
            for done, number in enumerate(held_out or learned, start=1):
                scores.append(self._judged([level[number] for level in self._maps], but=number)[1])
                step("held-out photos", done, len(held_out or learned))
        self._reference = np.array(scores, dtype=np.float32)
        return self

    def score(self, batch: Sequence[Sample]) -> list[ImageScore]:
        """Score photos.

        Raises:
            NotFitted: `fit` was not called.
            BadInput: an empty batch, or something that is not a photo.
        """
        require_batch(batch, ImageSample, self.spec.name)
        if self._cascade is None:
            raise NotFitted.of(self.spec.name)
        scores = []
        for called, pixels in each_photo(batch, self.spec.name):
            found, score = self._judged(self._features(self._resized(pixels)))
            heatmap = self._encoder.to_pixels(found, pixels.shape[0], pixels.shape[1])
            scores.append(ImageScore(sample=called, score=score, heatmap=heatmap))
        return scores

    def reference_scores(self) -> NDArray[np.float32]:
        """Scores of normal photos among the others.

        From 20 photos on they are those of each fifth photo, from which no metric was learned; below, of every photo, compared with the
        others but known to the metric; a single photo is compared with itself shifted by 2 %: a rough stand-in.
        """
        return self._reference.copy()

    def save(self, path: Path) -> None:
        """Write constructor values, the kept photos' features, codes, metrics and held-out scores to one npz file."""
        if self._cascade is None:
            raise NotFitted.of(self.spec.name)
        arrays: dict[str, NDArray[np.generic]] = {f"maps{level}": maps.cpu().numpy() for level, maps in enumerate(self._maps)}
        for level, metric in enumerate(self._metrics):
            arrays |= {f"metric{level}.{name}": tensor.cpu().numpy() for name, tensor in metric.state_dict().items()}
        if self._object is not None:
            arrays |= {"object": self._object.weight, "range": np.array([self._object.low, self._object.high])}
        arrays |= {"codes": self._codes, "reference": self._reference}
        save_arrays(path, name=self.spec.name, parameters=parameters(self), arrays=arrays)

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
        device = place(made.device).device
        made._maps = [torch.from_numpy(arrays[f"maps{level}"]).to(device) for level in range(len(STRIDES))]
        made._codes, made._reference = arrays["codes"], arrays["reference"]
        if "object" in arrays:
            low, high = map(float, arrays["range"])
            made._object = Foreground(arrays["object"], low, high)
        for level in range(len(STRIDES) if made.steps else 0):
            metric = made._new_metric(level)
            prefix = f"metric{level}."
            state = {name[len(prefix) :]: torch.from_numpy(array) for name, array in arrays.items() if name.startswith(prefix)}
            try:
                metric.load_state_dict(state)
            except RuntimeError as error:
                raise BadInput(f"{path.name!r}: its weights do not fit this version's metric; fit it anew ({error}).") from error
            made._metrics.append(metric)
        made._arrange()
        return made

    def _resized(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        import cv2

        shrinks = pixels.shape[0] * pixels.shape[1] > self.side * self.side
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(np.ascontiguousarray(pixels), (self.side, self.side), interpolation=how), dtype=np.uint8)

    def _features(self, square: NDArray[np.uint8]) -> list[torch.Tensor]:
        """Backbone maps (h, w, C) half of a resized photo, finest first."""
        return [one.permute(1, 2, 0).half().contiguous() for one in self._encoder.encode(square)]

    def _new_metric(self, level: int) -> LocalMetric:
        from models.device import place
        from models.local_metric import LocalMetric

        channels = self._encoder.shapes()[level][0]
        return LocalMetric(channels, width=self.width, seed=self.seed + level).to(place(self.device).device).eval()

    def _trained(self, photos: Sequence[NDArray[np.uint8]], numbers: list[int], histograms: Floats) -> list[LocalMetric]:
        import torch

        from tools.image.cpr_training import make_pool, train_metric

        pool = make_pool(
            photos,
            self._encoder,
            self._codes,
            histograms[numbers],
            count=self.simulated,
            partners=self.retrieved,
            seed=self.seed,
        )
        metrics = []
        for level, stride in enumerate(STRIDES):
            normals = self._maps[level][numbers]
            weights = None
            if self._object is not None:
                weights = torch.from_numpy(np.stack([self._weight_at(number, level) for number in numbers]))
            metric = self._new_metric(level)
            train_metric(
                metric,
                pool,
                normals,
                level,
                stride=stride,
                steps=self.steps,
                pairs=self.pairs,
                seed=self.seed + level,
                foreground=weights,
            )
            metrics.append(metric)
        return metrics

    def _weight_at(self, number: int, level: int) -> Floats:
        """How often a place (h, w) of a kept photo is drawn in training: its foreground, smoothed and sharpened."""
        import cv2
        from scipy.ndimage import gaussian_filter

        shown = gaussian_filter(self._shown(self._maps[0][number]), self.side / 25 / STRIDES[0], mode="nearest")
        sharp = 1 / (1 + np.exp(5 - 10 * shown))
        rows, columns = self._maps[level].shape[1:3]
        return np.asarray(cv2.resize(sharp.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA), dtype=np.float32)

    def _shown(self, finest: torch.Tensor) -> Floats:
        """Foreground (h, w) of the finest map (h, w, C)."""
        assert self._object is not None
        return self._object.of(_channels_first(finest))

    def _arrange(self) -> None:
        """Put everything the look-ups need onto the device."""
        self._cascade = Cascade(self._maps, self._encoder, self._codes, self._object, self._metrics, self.retrieved)

    def _judged(self, features: list[torch.Tensor], *, but: int = -1) -> tuple[Floats, float]:
        """Strangeness (h, w) on the finest grid, and score, of a photo's maps; `but` is the photo's number among the kept ones."""
        assert self._cascade is not None
        strange = self._cascade.strangeness([one[None] for one in features], but=but)
        return np.asarray(strange[0].cpu().numpy()), float(picture_scores(strange, STRANGEST)[0])


def _channels_first(features: torch.Tensor) -> Floats:
    """(h, w, C) half on any device to (C, h, w) float32."""
    return np.asarray(features.float().permute(2, 0, 1).cpu().numpy(), dtype=np.float32)


def _shifted(pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Eight copies of a photo (H, W, 3), moved a little in each direction, its edge continued."""
    reach = max(1, round(SHIFT * min(pixels.shape[:2])))
    padded = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    high, wide = pixels.shape[:2]
    starts = [
        (down, right) for down in (0, reach, 2 * reach) for right in (0, reach, 2 * reach) if (down, right) != (reach, reach)
    ]
    return [np.ascontiguousarray(padded[down : down + high, right : right + wide]) for down, right in starts]
