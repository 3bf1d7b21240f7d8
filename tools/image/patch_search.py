"""Photos compared, patch by patch, with photos of good parts: nearest-neighbour search in a memory of normal patches.

Source: Roth et al., Towards Total Recall in Industrial Anomaly Detection (PatchCore, CVPR 2022); few photos are turned and mirrored as
in Damm et al., AnomalyDINO (WACV 2025). Ours: cosine instead of Euclidean features (exposure changes length more than direction),
a distance weighed per patch instead of per photo (both better on synthetic defects in normal photos of all three sets), a memory
chosen in a few large rounds, held-out scores of the normals as a by-product of choosing it, and false alarms that are pointed out
are remembered (`learn`).

Axes and units: photos (H, W, 3) uint8 of any size; patches of about 8 pixels of the photo resized to side² pixels; a patch's
strangeness is d·d/(d + r), 0 to 2: d is its distance to the most similar remembered patch (position is free), r that patch's own
distance to the other normal photos, so that being far from a patch which is itself unusual counts less; heatmap (H, W)
float32 in the same unit; score = mean of the strangest 1 % of patches (of a photo in tiles: of as many as are 1 % of one tile).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from core.archive import load_arrays, save_arrays
from core.detector import DetectorSpec, parameters, require_batch
from core.errors import BadInput, NotFitted
from core.evidence import Box
from core.progress import step
from core.samples import ImageSample, Sample
from core.scores import ImageScore
from models.backbone_weights import EMBEDDED
from models.patches import PatchEncoder
from tools.catalog import ROWS
from tools.image.patch_maps import each_photo, orientations, patch_vectors, picture_score, pixels_of, score_of

if TYPE_CHECKING:
    import torch

FEW = 8
"""Up to this many normal photos are also turned and mirrored."""
SHIFTS = 4
"""Views of a learnt region per orientation: as it is, and shifted by half a patch."""
RING = 3
"""Patches around a learnt region that are learnt too: the coarser features average 3 × 3 cells of two patches' width."""
ALREADY = 1 - 1e-6
"""Cosine from which a patch is one of the memory's own."""
POOL = 400_000
"""Most normal patches looked at while fitting; with more, each photo gives a random share."""


class PatchSearch:
    """Finds patches unlike any patch of the normal photos.

    Args:
        side: photos are resized to about side² pixels; raise it, or `tiles`, for small defects in large photos.
        bank: patches kept in the memory.
        augment: also remember the normal photos turned by 90° steps and mirrored; None: when there are at most eight, which is
            wrong only where orientation itself may be the defect.
        seed: of the memory's first, random picks.
        backbone: the network whose features are compared, as `models.patches.PatchEncoder` takes it.
        tiles: photos are cut into about tiles² overlapping tiles of side² pixels each, for small defects in large photos; time grows
            with them, memory by `bank` does not.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Scores are `ImageScore`s with heatmaps (H, W). Raises NotFitted before `fit`, BadInput on anything but pictures.

    >>> from core.samples import ImageSample
    >>> rng = np.random.default_rng(0)
    >>> def photo(hole: bool) -> ImageSample:
    ...     pixels = (np.indices((96, 128)).sum(0)[..., None] % 12 * 14 + rng.integers(0, 20, (96, 128, 3))).astype(np.uint8)
    ...     pixels[30:50, 80:100] = 0 if hole else pixels[30:50, 80:100]
    ...     return ImageSample(name="cloth", pixels=pixels)
    >>> search = PatchSearch(side=96).fit([photo(False), photo(False)])
    >>> good, torn = search.score([photo(False), photo(True)])
    >>> good.score < torn.score, torn.heatmap.shape
    (True, (96, 128))
    """

    spec: DetectorSpec = next(row for row in ROWS if row.name == "patch_search")

    def __init__(
        self,
        *,
        side: int = 384,
        bank: int = 10_000,
        augment: bool | None = None,
        seed: int = 0,
        backbone: str = EMBEDDED,
        tiles: int = 1,
        device: str = "auto",
    ) -> None:
        if bank < 1:
            raise BadInput(f"bank {bank!r}: expected at least one patch to remember.")
        self.side, self.bank, self.augment, self.seed, self.device = side, bank, augment, seed, device
        self.backbone, self.tiles = backbone, tiles
        self._encoder = PatchEncoder(side=side, backbone=backbone, tiles=tiles, device=device)
        self._memory: torch.Tensor | None = None
        self._rarity: torch.Tensor | None = None
        self._reference: NDArray[np.float32] = np.empty(0, dtype=np.float32)
        self._turned = False
        self._learnt = 0

    def fit(self, normal: Sequence[Sample]) -> Self:
        """Remember the patches of normal photos.

        Raises:
            BadInput: no photo, or something that is not one.
        """
        import torch

        from models.nearest import cover, distance

        require_batch(normal, ImageSample, self.spec.name)
        turned = len(normal) <= FEW if self.augment is None else self.augment
        lonely = len(normal) == 1
        share = max(1, POOL // (len(normal) * (8 if turned else 1)))
        generator = torch.Generator().manual_seed(self.seed)
        features: list[torch.Tensor] = []
        owners: list[int] = []
        first_copies: list[int] = []
        for number, sample in enumerate(normal):
            upright = pixels_of(sample, self.spec.name)
            for copy, pixels in enumerate(orientations(upright) if turned or lonely else [upright]):
                vectors = patch_vectors(self._encoder, pixels).flatten(0, 1)
                if len(vectors) > share:
                    vectors = vectors[torch.randperm(len(vectors), generator=generator)[:share].to(vectors.device)]
                first_copies += [len(features)] if copy == 0 or lonely else []
                features.append(vectors)
                owners.append(copy if lonely else number)
            step("normal photos", number + 1, len(normal))
        bounds = np.cumsum([0, *map(len, features)])
        # One photo whose orientation must count is remembered as it is; its turned copies only serve as held-out ones.
        remembered = features[:1] if lonely and not turned else features
        points = torch.cat(remembered)
        whose = torch.repeat_interleave(torch.tensor(owners[: len(remembered)]), torch.tensor([*map(len, remembered)]))
        whose = whose.to(points.device)
        chosen, closest = cover(points, whose, self.bank, seed=self.seed)
        self._memory = points[chosen].contiguous()
        alone = closest.to_others[chosen] < -1 + 1e-6  # no other photo to compare with: plain distance
        self._rarity = distance(closest.to_others[chosen]).masked_fill(alone, 0.0)
        if remembered is features:
            rows = [slice(bounds[index], bounds[index + 1]) for index in first_copies]
            scores = [self._held_out(points[r], closest.to_others[r], whose[chosen] == whose[r.start]) for r in rows]
        else:
            scores = [self._photo_score(self._strangeness(vectors)) for vectors in features[1:]]
        self._reference = np.array(scores, dtype=np.float32)
        self._turned, self._learnt = turned, 0
        return self

    def learn(
        self,
        sample: Sample,
        *,
        box: Box | None = None,
        mask: NDArray[np.bool_] | None = None,
    ) -> int:
        """Remember a region of a photo as normal, so that what it shows is not flagged again: a false alarm, pointed out.

        Every patch that touches the region is remembered, beside whatever `bank` says, with those up to three patches away, whose
        features still hold something of it; from the photo as it is and shifted by half a patch each way, since the pattern will
        come back elsewhere on the grid, and turned and mirrored where the normal photos were. Each counts as no rarer than the
        memory's median patch: by its own distance to the normal photos, which is large, the search would also turn lenient about
        defects that resemble it only from afar. Where good parts hardly differ, one example may not be enough: point out what is
        flagged again. Held-out scores stay those of the normal photos; a new `fit` forgets what was learnt.

        Args:
            sample: the photo.
            box: (left, top, right, bottom) in pixels; it may reach beyond the photo.
            mask: the region as (H, W) bool, instead of a box; neither: the whole photo.

        Returns:
            How many patches were added; those that the memory already has are not.

        Raises:
            NotFitted: `fit` was not called.
            BadInput: not a photo, both a box and a mask, a mask of another shape, or a region without a pixel of the photo.
        """
        import torch

        from models.nearest import distance, nearest

        if self._memory is None or self._rarity is None:
            raise NotFitted.of(self.spec.name)
        pixels = pixels_of(sample, self.spec.name)
        region = _region(pixels.shape[:2], box, mask)
        found = []
        for photo, where in zip(
            orientations(pixels) if self._turned else [pixels], orientations(region) if self._turned else [region], strict=True
        ):
            for shifted, place in self._shifts(photo, where):
                found.append(patch_vectors(self._encoder, shifted)[torch.from_numpy(self._cells(place))])
            step("views of the region", len(found), SHIFTS * (8 if self._turned else 1))
        vectors = torch.cat(found)
        cosine, _ = nearest(vectors, self._memory)
        new = cosine < ALREADY
        usual = self._rarity[: len(self._rarity) - self._learnt].median()
        self._memory = torch.cat([self._memory, vectors[new]]).contiguous()
        self._rarity = torch.cat([self._rarity, distance(cosine[new]).minimum(usual)])
        added = int(new.sum())
        self._learnt += added
        return added

    @property
    def learnt(self) -> int:
        """Patches remembered by `learn` since `fit`."""
        return self._learnt

    def score(self, batch: Sequence[Sample]) -> list[ImageScore]:
        """Score photos against the memory.

        Raises:
            NotFitted: `fit` was not called.
            BadInput: an empty batch, or something that is not a photo.
        """
        require_batch(batch, ImageSample, self.spec.name)
        if self._memory is None:
            raise NotFitted.of(self.spec.name)
        scores = []
        for called, pixels in each_photo(batch, self.spec.name):
            patches = self._distances(pixels)
            scores.append(replace(score_of(called, self._encoder, patches, pixels), score=self._photo_score(patches)))
        return scores

    def reference_scores(self) -> NDArray[np.float32]:
        """Score of each normal photo against the memory without its own patches.

        With a single normal photo there is no other photo: each of its turned and mirrored copies is scored against the copies
        of other orientation instead (with augment=False: against the photo itself). That says how far features move under a
        turn, not how much good parts differ, so a threshold from it is a rough one.
        """
        return self._reference.copy()

    def save(self, path: Path) -> None:
        """Write constructor values, memory and held-out scores to one npz file."""
        if self._memory is None:
            raise NotFitted.of(self.spec.name)
        assert self._rarity is not None
        arrays = {"memory": self._memory.cpu().numpy(), "rarity": self._rarity.cpu().numpy(), "reference": self._reference}
        state = {"turned": self._turned, "learnt": self._learnt}
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
        device = place(made.device).device
        made._memory = torch.from_numpy(arrays["memory"]).to(device)
        made._rarity = torch.from_numpy(arrays["rarity"]).to(device)
        made._reference = arrays["reference"]
        made._turned, made._learnt = bool(state.get("turned", False)), int(state.get("learnt", 0))
        return made

    def _shifts(
        self, pixels: NDArray[np.uint8], region: NDArray[np.bool_]
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
        """The photo and its region as they are, and shifted by half a patch down, right and both; the border is repeated."""
        height, width = region.shape
        high, wide = self._encoder.resized(height, width)
        half = self._encoder.stride / 2
        down, across = round(half * height / high), round(half * width / wide)
        for rows, columns in ((0, 0), (down, 0), (0, across), (down, across)):
            if (rows, columns) == (0, 0):
                yield pixels, region
                continue
            room = ((rows, 0), (columns, 0))
            yield (
                np.pad(pixels, (*room, (0, 0)), mode="edge")[:height, :width],
                np.pad(region, room)[:height, :width],
            )

    def _cells(self, region: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Patches (h, w) that touch a region (H, W), and those around them that see it."""
        from scipy.ndimage import binary_dilation

        grid = self._encoder.grid(*region.shape)
        touched = np.zeros(grid, dtype=bool)
        rows, columns = region.nonzero()
        touched[rows * grid[0] // region.shape[0], columns * grid[1] // region.shape[1]] = True
        return np.asarray(binary_dilation(touched, np.ones((2 * RING + 1,) * 2, dtype=bool)))

    def _photo_score(self, patches: NDArray[np.float32]) -> float:
        """Mean of the strangest patches, as many as are 1 % of one tile: a small defect must not drown in a large photo."""
        flat = patches.ravel()
        kept = -(-len(flat) // self.tiles**2)
        return picture_score(np.partition(flat, len(flat) - kept)[-kept:] if kept < len(flat) else flat)

    def _distances(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Weighed distances (h, w) of a photo's patches to the memory."""
        vectors = patch_vectors(self._encoder, pixels)
        return self._strangeness(vectors.flatten(0, 1)).reshape(vectors.shape[:2])

    def _strangeness(self, vectors: torch.Tensor) -> NDArray[np.float32]:
        """d·d/(d + r) of unit vectors (P, C)."""
        from models.nearest import nearest

        assert self._memory is not None
        return self._weighed(*nearest(vectors, self._memory))

    def _held_out(self, vectors: torch.Tensor, to_others: torch.Tensor, own: torch.Tensor) -> float:
        """Score of a normal photo against the memory but for its `own` patches.

        The largest cosines `to_others` are known; which patch is nearest is asked only for the tenth that lies farthest, where
        the strangest 1 % are.
        """
        from models.nearest import nearest

        assert self._memory is not None
        others = (~own).nonzero().flatten()
        if len(others) == 0:  # no other photo is in the memory: as far as directions can be in practice
            return 1.0
        far = to_others.topk(max(1, len(vectors) // 10), largest=False).indices
        cosine, index = nearest(vectors[far], self._memory[others])
        patches = np.zeros(len(vectors), dtype=np.float32)
        patches[: len(far)] = self._weighed(cosine, others[index])
        return self._photo_score(patches)

    def _weighed(self, cosine: torch.Tensor, index: torch.Tensor) -> NDArray[np.float32]:
        from models.nearest import distance

        assert self._rarity is not None
        d = distance(cosine)
        return np.asarray((d * d / (d + self._rarity[index]).clamp_min(1e-6)).cpu().numpy(), dtype=np.float32)


def _region(shape: tuple[int, ...], box: Box | None, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """The pixels (H, W) of a box or a mask, all of them where neither is given."""
    if box is not None and mask is not None:
        raise BadInput("expected a box or a mask, got both.")
    if mask is not None:
        region = np.asarray(mask)
        if region.shape != shape or region.dtype != np.bool_:
            raise BadInput(f"mask: expected shape {shape} of bool, got {region.shape} of {region.dtype.name}.")
    else:
        left, top, right, bottom = (0.0, 0.0, float(shape[1]), float(shape[0])) if box is None else box
        if not np.isfinite((left, top, right, bottom)).all():
            raise BadInput(f"box {box!r}: expected (left, top, right, bottom) in pixels.")
        region = np.zeros(shape, dtype=bool)
        region[max(0, math.floor(top)) : max(0, math.ceil(bottom)), max(0, math.floor(left)) : max(0, math.ceil(right))] = True
    if not region.any():
        raise BadInput(
            f"{'mask' if mask is not None else f'box {box!r}'}: expected at least one pixel of the photo of {shape[1]} × {shape[0]} pixels."
        )
    return region
