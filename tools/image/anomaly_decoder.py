"""Photos judged by words: patch features set against "a flawless surface" and "a damaged surface", learned on simulated defects.

Source: the image decoder of Gu et al., AnomalyGPT (AAAI 2024), trained as there on cut-and-pasted, Poisson-blended defects; here on the
normal photos given and on the embedded encoder and text model (`models.anomaly_adapter.decoder`). No defect need exist, and there is
no threshold to set on the map: 0.5 means that both wordings fit alike.

Axes and units: photos (H, W, 3) uint8 of any size; patches of 8 pixels of the photo resized to side² pixels; heatmap (H, W) float32,
0 to 1, how much more the patch resembles the words for defective; score = mean of the strangest 1 % of patches.
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
from models.patches import PatchEncoder
from tools.catalog import ROWS
from tools.image.patch_maps import orientations, picture_score, pixels_of, score_each
from tools.image.simulated_defects import Pixels, simulate

if TYPE_CHECKING:
    import torch

    from models.anomaly_adapter.decoder import TextDecoder

LEVELS = (8, 16, 32)
"""Strides whose features are decoded, as in `models.anomaly_adapter.adapter`."""


class TextMap:
    """Finds patches that the words for defective fit better than those for good.

    Args:
        side: photos are resized to about side² pixels; raise it for small defects in large photos.
        simulated: photos with simulated defects to learn from, and most normal photos that are used.
        steps: training steps.
        surface: what the photos show, as a word: "bottle".
        seed: of defects, first weights and batches.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Scores are `ImageScore`s with heatmaps (H, W). Raises NotFitted before `fit`, BadInput on anything but pictures.

    >>> from core.samples import ImageSample
    >>> rng = np.random.default_rng(0)
    >>> def photo(hole: bool) -> ImageSample:
    ...     pixels = (np.indices((96, 128)).sum(0)[..., None] % 12 * 14 + rng.integers(0, 20, (96, 128, 3))).astype(np.uint8)
    ...     pixels[30:50, 80:100] = 0 if hole else pixels[30:50, 80:100]
    ...     return ImageSample(name="cloth", pixels=pixels)
    >>> learned = TextMap(side=96, simulated=12, steps=40).fit([photo(False), photo(False)])
    >>> good, torn = learned.score([photo(False), photo(True)])
    >>> good.score < torn.score, torn.heatmap.shape
    (True, (96, 128))
    """

    spec: DetectorSpec = next(row for row in ROWS if row.name == "text_decoder")

    def __init__(
        self,
        *,
        side: int = 320,
        simulated: int = 200,
        steps: int = 200,
        surface: str = "surface",
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        if simulated < 2 or steps < 1 or not surface.strip():
            raise BadInput(
                f"simulated={simulated!r}, steps={steps!r}, surface={surface!r}: expected 2 or more, 1 or more, and a word."
            )
        self.side, self.simulated, self.steps, self.surface = side, simulated, steps, surface
        self.seed, self.device = seed, device
        self._encoder = PatchEncoder(side=side, strides=LEVELS, device=device)
        self._decoder: TextDecoder | None = None
        self._reference: NDArray[np.float32] = np.empty(0, dtype=np.float32)

    def fit(self, normal: Sequence[Sample]) -> Self:
        """Simulate defects on normal photos and learn to tell their patches from normal ones.

        Two halves of the photos are learned apart first, so that each gives the other held-out scores.

        Raises:
            BadInput: no photo, or something that is not one.
        """
        import torch

        require_batch(normal, ImageSample, self.spec.name)
        rng = np.random.default_rng(self.seed)
        chosen = sorted(rng.permutation(len(normal))[: self.simulated])
        photos = [pixels_of(normal[int(index)], self.spec.name) for index in chosen]
        halves = [photos[0::2], photos[1::2]] if len(photos) > 1 else [photos]
        lessons = [
            self._lessons(half, -(-self.simulated // len(halves)), self.seed + number) for number, half in enumerate(halves)
        ]
        features, truth = (torch.cat(parts) for parts in zip(*lessons, strict=True))
        self._decoder = self._trained(features, truth)
        if len(halves) == 1:  # its turned and mirrored copies stand for other normal photos
            held_out = [(self._decoder, copy) for copy in list(orientations(photos[0]))[1:]]
        else:
            decoders = [self._trained(*lesson) for lesson in lessons]
            held_out = [(decoders[1 - number], photo) for number, half in enumerate(halves) for photo in half]
        reference = []
        for number, (decoder, photo) in enumerate(held_out, start=1):
            reference.append(picture_score(self._map(decoder, np.ascontiguousarray(photo))))
            step("normal photos", number, len(held_out))
        self._reference = np.array(reference, dtype=np.float32)
        return self

    def score(self, batch: Sequence[Sample]) -> list[ImageScore]:
        """Score photos.

        Raises:
            NotFitted: `fit` was not called.
            BadInput: an empty batch, or something that is not a photo.
        """
        require_batch(batch, ImageSample, self.spec.name)
        if self._decoder is None:
            raise NotFitted.of(self.spec.name)
        decoder = self._decoder
        return score_each(batch, self.spec.name, self._encoder, lambda pixels: self._map(decoder, pixels))

    def reference_scores(self) -> NDArray[np.float32]:
        """Scores of the normal photos by a decoder that was trained on the other half of them.

        With a single normal photo its turned and mirrored copies are scored by the decoder trained on it upright; a threshold
        from them is a rough one.
        """
        return self._reference.copy()

    def save(self, path: Path) -> None:
        """Write constructor values, weights and held-out scores to one npz file."""
        if self._decoder is None:
            raise NotFitted.of(self.spec.name)
        arrays = {name: tensor.cpu().numpy() for name, tensor in self._decoder.state_dict().items()}
        save_arrays(path, name=self.spec.name, parameters=parameters(self), arrays={**arrays, "reference": self._reference})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged or another detector's.
        """
        import torch

        values, arrays, _ = load_arrays(path, name=cls.spec.name)
        made = cls(**values)
        made._reference = arrays.pop("reference")
        decoder = made._new(arrays["texts"])
        try:
            decoder.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
        except RuntimeError as error:
            raise BadInput(f"{path.name!r}: its weights do not fit this version's decoder; fit it anew ({error}).") from error
        made._decoder = decoder
        return made

    def _new(self, texts: NDArray[np.float32]) -> TextDecoder:
        from models.anomaly_adapter.adapter import level_channels
        from models.anomaly_adapter.decoder import TextDecoder
        from models.device import place

        return TextDecoder(level_channels(), texts, seed=self.seed).to(place(self.device).device).eval()

    def _lessons(self, photos: Sequence[Pixels], count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Patches (P, C) and truths (P,) of the photos as they are and of `count` photos with simulated defects."""
        import torch

        from models.anomaly_adapter.adapter import features_of
        from models.anomaly_adapter.train import drawn, patch_truth

        generator = torch.Generator().manual_seed(seed)
        good = [(photo, np.zeros(photo.shape[:2], np.bool_)) for photo in photos]
        bad = [(made.pixels, made.mask) for made in simulate(photos, count=count, seed=seed, clean=0.0)]
        parts = []
        for number, (pixels, mask) in enumerate([*good, *bad], start=1):
            parts.append(drawn(features_of(self._encoder, pixels), patch_truth(self._encoder, mask), generator))
            step("photos to learn from", number, len(good) + len(bad))
        features, truth = (torch.cat(part) for part in zip(*parts, strict=True))
        return features, truth

    def _trained(self, features: torch.Tensor, truth: torch.Tensor) -> TextDecoder:
        from models.anomaly_adapter.decoder import text_vectors
        from models.anomaly_adapter.train import train_decoder

        decoder = self._new(text_vectors(self.surface))
        train_decoder(decoder, features, truth, steps=self.steps, seed=self.seed)
        return decoder

    def _map(self, decoder: TextDecoder, pixels: Pixels) -> NDArray[np.float32]:
        """The decoder's map (h, w) of a photo."""
        import torch

        from models.anomaly_adapter.adapter import features_of

        with torch.no_grad():
            patches = decoder(features_of(self._encoder, pixels))
        return np.asarray(patches.float().cpu().numpy().reshape(self._encoder.grid(*pixels.shape[:2])), dtype=np.float32)
