"""Several photos of one product, none known to be good: every patch is looked up in every other photo, layer by layer.

Source: Li et al., MuSc: Zero-Shot Industrial Anomaly Classification and Segmentation with Mutual Scoring of the Unlabeled Images
(ICLR 2024): neighbourhoods of several sizes (`neighbourhoods`), mutual scoring (`mutual_scores`), re-scoring by similar photos
(`rescoring`); photos that repeat a defect are kept apart after CoDeGraph (arXiv 2510.10456, `repeated_defects`).
Ours: the embedded network, at least one partner (the paper's formula gives none below five photos), each layer on its own grid.
For a running line, where photos come one by one, there is `mutual_stream`.

Chosen on synthetic defects in normal photos of three sets, two to four draws of 28 or 40 photos with a quarter to a third defective (image
AUROC on magnetic_tile, hazelnut_toy, mvtec_bottle): neighbourhoods of 1 and 3 cells (.80, .97, .98; with 5 as well .78, .96, .97);
their features merged (no difference, half the searches); the lowest 20 % (.82, .97,
.98; the paper's 30 % .81, .97, .98; 10 % was no worse, but such defects never repeat, and few votes are easily outvoted by real ones
that do); no re-scoring (with (1, 2, 3) .79, .95, .97).

Axes and units: photos (H, W, 3) uint8 of any size; a distance is that of unit patch features, 0 to 2; heatmap (H, W) float32 in the
same unit; score = mean of the strangest 1 % of patches, averaged with the scores of similar photos where `rescoring` asks for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
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
from tools.catalog import ROWS
from tools.image.neighbourhoods import NeighbourhoodEncoder, fused
from tools.image.patch_maps import picture_score, pixels_of, score_of

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Photo:
    """What is kept of a photo: the maps (C, h, w) of its layers and its embedding (E,)."""

    maps: list[torch.Tensor]
    embedding: torch.Tensor


class MuSc:
    """Finds patches that few other photos of the batch show.

    Args:
        side: photos are resized to about side² pixels.
        strides: layers that are searched, by their pixels per cell (4, 8, 16, 32); scores are averaged over them.
        neighbourhoods: odd edges, in cells, of the neighbourhoods that patches are averaged over; scores are averaged over them.
        merged: average the neighbourhoods' features instead of their scores: as many times fewer searches.
        share: share of a patch's partners, the most similar ones, whose distances are averaged.
        partners: photos that are compared with each other at once; a larger batch is dealt into groups of about this size, so
            that cost grows linearly. Dealing depends on what the photos show and the seed, not on their order.
        rescoring: numbers k of similar photos (itself counted) over which a photo's score is averaged, the mean over the k; (1,) is none.
        window: compare a patch only with patches at most this many cells (of the finest layer) away; None: anywhere. For parts that
            always lie alike; it also finds parts at the wrong place.
        repeats: look for groups of photos that share a defect and do not let them vouch for each other.
        exact: float32 products throughout, instead of the fastest ones that this machine has (`models.cosines`; distances are then off
            by up to 0.007 where patches are nearly the same, by up to 0.3 % where they differ).
        seed: of the dealing.
        backbone: the network whose features are compared, as `models.patches.PatchEncoder` takes it (the paper's: a CLIP or DINOv2
            transformer, which needs neighbourhoods (1, 3, 5) and more photos in memory).
        device: "auto", "cpu", "cuda" or "cuda:N".

    After `fit(normal)` the normal photos are partners of every photo too. Scores are `ImageScore`s with heatmaps (H, W).
    Raises BadInput for a single photo without normals, and for anything but photos.

    >>> from core.samples import ImageSample
    >>> rng = np.random.default_rng(0)
    >>> def photo(hole: bool) -> ImageSample:
    ...     pixels = (np.indices((96, 128)).sum(0)[..., None] % 12 * 14 + rng.integers(0, 20, (96, 128, 3))).astype(np.uint8)
    ...     pixels[30:50, 80:100] = 0 if hole else pixels[30:50, 80:100]
    ...     return ImageSample(name="cloth", pixels=pixels)
    >>> scores = MuSc(side=96).score([photo(False), photo(True), photo(False)])
    >>> int(np.argmax([s.score for s in scores])), scores[1].heatmap.shape
    (1, (96, 128))
    """

    spec: DetectorSpec = next(row for row in ROWS if row.name == "musc")

    def __init__(
        self, *, side: int = 320, strides: tuple[int, ...] = (8, 16), neighbourhoods: tuple[int, ...] = (1, 3), merged: bool = True,
        share: float = 0.2, partners: int = 40, rescoring: tuple[int, ...] = (1,), window: int | None = None, repeats: bool = False,
        exact: bool = False, seed: int = 0, backbone: str = EMBEDDED, device: str = "auto",
    ) -> None:  # fmt: skip
        if not neighbourhoods or any(size < 1 or size % 2 == 0 for size in neighbourhoods):
            raise BadInput(f"neighbourhoods {neighbourhoods!r}: expected odd edges from 1, for instance (1, 3, 5).")
        if not 0 < share <= 1:
            raise BadInput(f"share {share!r}: expected above 0 and at most 1.")
        if partners < 2:
            raise BadInput(f"partners {partners!r}: expected at least 2.")
        if not rescoring or any(count < 1 for count in rescoring):
            raise BadInput(f"rescoring {rescoring!r}: expected numbers of photos from 1; (1,) leaves scores as they are.")
        if window is not None and window < 1:
            raise BadInput(f"window {window!r}: expected at least 1 cell, or None to compare with every place.")
        self.side, self.strides, self.neighbourhoods, self.merged = side, tuple(strides), tuple(neighbourhoods), merged
        self.share, self.partners, self.rescoring, self.window, self.repeats = share, partners, tuple(rescoring), window, repeats
        self.exact, self.seed, self.backbone, self.device = exact, seed, backbone, device
        self._encoder = NeighbourhoodEncoder(
            side=side, strides=self.strides, sizes=self.neighbourhoods, merged=merged, backbone=backbone, device=device
        )
        self._normals: list[Photo] = []
        self._plain: NDArray[np.float32] = np.empty(0, dtype=np.float32)

    def fit(self, normal: Sequence[Sample]) -> Self:
        """Take normal photos as additional partners (at most `partners` of them are kept, spread evenly).

        Raises:
            BadInput: no photo, or something that is not one.
        """
        require_batch(normal, ImageSample, self.spec.name)
        kept = np.unique(np.linspace(0, len(normal) - 1, min(len(normal), self.partners)).round().astype(int))
        photos = self._photos([normal[int(index)] for index in kept])
        self._normals = photos
        maps = self._mutual(photos, []) if len(photos) > 1 else []
        self._plain = np.array([picture_score(patches) for patches in maps], dtype=np.float32)
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
        found: dict[int, ImageScore] = {}
        embeddings: dict[int, torch.Tensor] = {}
        for group in self._dealt(batch):
            samples = [batch[index] for index in group]
            photos = self._photos(samples)
            for index, sample, photo, patches in zip(
                group, samples, photos, self._mutual(photos, self._normals, repeats=self.repeats), strict=True
            ):
                found[index] = score_of(sample.name, self._encoder.patches, patches, pixels_of(sample, self.spec.name))
                embeddings[index] = photo.embedding
        plain = np.array([found[index].score for index in range(len(batch))], dtype=np.float32)
        final = self._rescored(plain, [embeddings[index] for index in range(len(batch))], self._plain)
        return [
            ImageScore(sample=found[index].sample, score=float(value), heatmap=found[index].heatmap)
            for index, value in enumerate(final)
        ]

    def reference_scores(self) -> NDArray[np.float32]:
        """Score of each fitted normal photo among the other normals; empty with fewer than two."""
        return self._rescored(self._plain, [photo.embedding for photo in self._normals], self._plain[:0])

    def save(self, path: Path) -> None:
        """Write constructor values, the normals' maps and embeddings and their scores to one npz file."""
        arrays = {"reference": self._plain}
        for number, photo in enumerate(self._normals):
            arrays[f"embedding{number}"] = photo.embedding.cpu().numpy()
            arrays.update({f"map{number}_{layer}": values.cpu().numpy() for layer, values in enumerate(photo.maps)})
        state = {"normals": len(self._normals)}
        save_arrays(path, name=self.spec.name, parameters=parameters(self), arrays=arrays, state=state)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged or another detector's.
        """
        import torch

        from models.device import place

        values, arrays, state = load_arrays(path, name=cls.spec.name)
        made = cls(**values)
        made._plain = arrays["reference"]
        device = place(made.device).device
        for number in range(int(state["normals"])):
            maps = [torch.from_numpy(arrays[f"map{number}_{layer}"]).to(device) for layer in range(len(made._encoder.strides))]
            made._normals.append(Photo(maps, torch.from_numpy(arrays[f"embedding{number}"]).to(device)))
        return made

    def _photos(self, samples: Sequence[Sample]) -> list[Photo]:
        photos = []
        for number, sample in enumerate(samples, start=1):
            photos.append(Photo(*self._encoder.maps(pixels_of(sample, self.spec.name))))
            step("photos encoded", number, len(samples))
        return photos

    def _mutual(self, photos: Sequence[Photo], normals: Sequence[Photo], *, repeats: bool = False) -> list[NDArray[np.float32]]:
        """Patch distances (h, w) of every photo to its partners: the other `photos` (with `repeats` the trusted ones), all `normals`."""
        from tools.image.mutual_scores import lowest_mean, minima
        from tools.image.repeated_defects import links, trusted

        encoder, finest = self._encoder, min(self._encoder.strides)
        counts = np.zeros((len(photos), len(photos)), dtype=np.float32)
        strides, tables = [], []
        for stream, (layer, _) in enumerate(encoder.streams):
            stride = encoder.strides[layer]
            ours, theirs = ([encoder.vectors(photo.maps, stream) for photo in some] for some in (photos, normals))
            found = minima(
                ours,
                theirs,
                grids=[_grid(photo, layer) for photo in photos],
                normal_grids=[_grid(photo, layer) for photo in normals],
                window=None if self.window is None else math.ceil(self.window * finest / stride),
                exact=self.exact,
                done=partial(self._compared, stream=stream, count=len(photos)),
            )
            if repeats:
                counts += links(ours, found)
            else:  # no need to hold every stream's table
                found = [lowest_mean(table, self.share)[None] for table in found]
            strides.append(stride)
            tables.append(found)
        trust = trusted(counts) if repeats else None
        maps = []
        for number, photo in enumerate(photos):
            kept = None if trust is None else np.append(trust[number], np.ones(len(normals), dtype=np.bool_))
            strange = []
            for (layer, _), found in zip(encoder.streams, tables, strict=True):
                low = found[number][0] if kept is None else lowest_mean(found[number], self.share, kept)
                strange.append(low.cpu().numpy().reshape(_grid(photo, layer)))
            maps.append(fused(strange, strides, encoder.patches.centres))
        return maps

    def _compared(self, done: int, *, stream: int, count: int) -> None:
        step("photos compared", stream * count + done, len(self._encoder.streams) * count)

    def _rescored(
        self, plain: NDArray[np.float32], embeddings: Sequence[torch.Tensor], normal: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Scores (N,) averaged with those of similar photos: the others, and the normals whose scores are given."""
        import torch

        from tools.image.rescoring import rescored

        if len(plain) == 0:
            return plain
        known = [photo.embedding for photo in self._normals[: len(normal)]]
        both = rescored(np.concatenate([plain, normal]), torch.stack([*embeddings, *known]), self.rescoring)
        return both[: len(plain)]

    def _dealt(self, batch: Sequence[Sample]) -> list[list[int]]:
        """Indices of the batch in groups of about `partners`, random but the same for every order of the batch."""
        from tools.image.mutual_scores import dealt

        contents = [(sample.name, sample.pixels.tobytes() if isinstance(sample, ImageSample) else b"") for sample in batch]
        return dealt(contents, size=self.partners, seed=self.seed)


def _grid(photo: Photo, layer: int) -> tuple[int, int]:
    return int(photo.maps[layer].shape[1]), int(photo.maps[layer].shape[2])
