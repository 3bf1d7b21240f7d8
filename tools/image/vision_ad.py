"""Photos looked up, patch by patch, in a few photos of good parts, seen in three views: as they are, flipped, and without their dark half.

Source: Search is All You Need for Few-shot Anomaly Detection (VisionAD, arXiv 2504.11895, 2025), from its description: no training;
the normal photos are turned and flipped (six copies); the photo and the copies are seen in several views, each view is
searched in a memory of its own and the views' distances are added; where normals of several products are given, each product has its own
memories and a photo is looked up in those of the product it resembles.
Ours: a convolutional network, so its depths, which have different numbers of channels, are fused by scaling each to length 1 and
joining them (the cosine of joined features is the mean of the depths' cosines) where the paper averages layers of one width; the mean
of the views instead of their sum; above eight photos no turned copies, and a memory that covers the patches (`models.nearest.cover`);
products are told apart by the photos themselves, and each photo finds its product by itself. Chosen on synthetic defects in held-out
normal photos of three data sets, two photos remembered: the view without the dark half is left out by default, since with it pixel AP fell
on dark products (magnetic tile .45 to .36) and rose on none by more than .03; the flipped view changed nothing by more than .03.

Axes and units: photos (H, W, 3) uint8 of any size; patches of 8 pixels of the photo resized to about side² pixels; a patch's strangeness is
1 − cosine to the most similar remembered patch (position is free), the mean over the views, 0 to 2; heatmap (H, W) float32 in the
same unit; score = mean of the strangest 1 % of patches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from models.patches import CLASSIFIER_SIDE, MEAN, PatchEncoder
from tools.catalog import ROWS
from tools.image.patch_maps import picture_score, pixels_of, score_each

if TYPE_CHECKING:
    import torch

DEPTHS = (8, 16)
"""Strides of the depths that are fused."""
FEW = 8
"""Up to this many normal photos are also turned and flipped."""
POOL = 200_000
"""Most normal patches of a view looked at while fitting; with more, each photo gives a random share."""
SAME_PRODUCT = 0.65
"""Cosine from which two photos show the same product. Among the normal photos of three data sets and three textures the weakest link
within a product was .84, the strongest between products .52."""
VIEWS: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "plain": lambda pixels: pixels,
    "flipped": lambda pixels: pixels[::-1],
    "limited": lambda pixels: np.maximum(pixels, np.uint8(MEAN)),  # the network's zero: dark pixels all look alike
}


class VisionAD:
    """Finds patches unlike any patch of one or a few normal photos, of one product or of several.

    Args:
        side: photos are resized to about side² pixels; raise it for small defects in large photos.
        views: what is looked at: some of "plain", "flipped" (upside down) and "limited" (nothing darker than middle grey).
        bank: patches kept per view and product.
        augment: also remember the normal photos turned by 90° steps and flipped; None: when there are at most eight.
        seed: of the memory's first, random picks.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Scores are `ImageScore`s with heatmaps (H, W). Raises NotFitted before `fit`, BadInput on anything but pictures.

    >>> from core.samples import ImageSample
    >>> rng = np.random.default_rng(0)
    >>> def photo(hole: bool) -> ImageSample:
    ...     pixels = (np.indices((96, 128)).sum(0)[..., None] % 12 * 14 + rng.integers(0, 20, (96, 128, 3))).astype(np.uint8)
    ...     pixels[30:50, 80:100] = 0 if hole else pixels[30:50, 80:100]
    ...     return ImageSample(name="cloth", pixels=pixels)
    >>> search = VisionAD(side=96).fit([photo(False), photo(False)])
    >>> good, torn = search.score([photo(False), photo(True)])
    >>> good.score < torn.score, torn.heatmap.shape, search.products
    (True, (96, 128), 1)
    """

    spec: DetectorSpec = next(row for row in ROWS if row.name == "vision_ad")

    def __init__(
        self,
        *,
        side: int = 384,
        views: tuple[str, ...] = ("plain", "flipped"),
        bank: int = 10_000,
        augment: bool | None = None,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        if not views or len(set(views)) != len(views) or not set(views) <= set(VIEWS):
            raise BadInput(f"views {views!r}: expected some of {tuple(VIEWS)}, each once.")
        if bank < 1:
            raise BadInput(f"bank {bank!r}: expected at least one patch to remember.")
        self.side, self.views, self.bank, self.augment, self.seed, self.device = side, tuple(views), bank, augment, seed, device
        self._encoder = PatchEncoder(side=side, strides=DEPTHS, device=device)
        self._whole = PatchEncoder(side=CLASSIFIER_SIDE, strides=(32,), device=device)
        self._banks: list[list[torch.Tensor]] = []
        self._kinds: torch.Tensor | None = None
        self._product: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._reference: NDArray[np.float32] = np.empty(0, dtype=np.float32)

    @property
    def products(self) -> int:
        """How many products the normal photos show."""
        return len(self._banks)

    def fit(self, normal: Sequence[Sample]) -> Self:
        """Tell the products of the normal photos apart and remember the patches of each, view by view.

        Raises:
            BadInput: no photo, or something that is not one.
        """
        import torch

        require_batch(normal, ImageSample, self.spec.name)
        kinds = []
        for number, sample in enumerate(normal, start=1):
            kinds.append(self._kind(pixels_of(sample, self.spec.name)))
            step("normal photos told apart", number, len(normal))
        self._kinds = torch.stack(kinds)
        self._product = same_product(np.asarray((self._kinds @ self._kinds.T).cpu().numpy()))
        self._banks = []
        reference: dict[int, list[float]] = {}
        for product in range(int(self._product.max()) + 1):
            members = np.flatnonzero(self._product == product)
            banks, scores = self._remembered([normal[int(index)] for index in members])
            self._banks.append(banks)
            reference |= dict(zip(members.tolist(), scores, strict=True))
        self._reference = np.array([score for index in sorted(reference) for score in reference[index]], dtype=np.float32)
        return self

    def score(self, batch: Sequence[Sample]) -> list[ImageScore]:
        """Score photos, each against the memories of the product it resembles most.

        Raises:
            NotFitted: `fit` was not called.
            BadInput: an empty batch, or something that is not a photo.
        """
        require_batch(batch, ImageSample, self.spec.name)
        if self._kinds is None:
            raise NotFitted.of(self.spec.name)
        return score_each(batch, self.spec.name, self._encoder, self._distances)

    def product_of(self, pixels: NDArray[np.uint8]) -> int:
        """Which product, from 0 in the order of the normals, a photo (H, W, 3) is looked up in: that of the most similar normal.

        Raises:
            NotFitted: `fit` was not called.
        """
        if self._kinds is None:
            raise NotFitted.of(self.spec.name)
        return int(self._product[int((self._kinds @ self._kind(pixels)).argmax())]) if self.products > 1 else 0

    def reference_scores(self) -> NDArray[np.float32]:
        """Score of each normal photo against the memories of its product without its own patches.

        Where a product has a single photo, each of its turned and flipped copies is scored against the copies of other orientation
        instead (with augment=False: against the photo itself): a rough stand-in, and a threshold from it a rough one.
        """
        return self._reference.copy()

    def save(self, path: Path) -> None:
        """Write constructor values, memories and held-out scores to one npz file."""
        if self._kinds is None:
            raise NotFitted.of(self.spec.name)
        arrays = {f"bank{p}_{v}": bank.cpu().numpy() for p, banks in enumerate(self._banks) for v, bank in enumerate(banks)}
        arrays |= {"kinds": self._kinds.cpu().numpy(), "product": self._product, "reference": self._reference}
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
        made = cls(**{**values, "views": tuple(values["views"])})
        device = place(made.device).device
        made._kinds = torch.from_numpy(arrays["kinds"]).to(device)
        made._product, made._reference = arrays["product"], arrays["reference"]
        count = int(made._product.max()) + 1
        made._banks = [
            [torch.from_numpy(arrays[f"bank{p}_{v}"]).to(device) for v in range(len(made.views))] for p in range(count)
        ]
        return made

    def _kind(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """One unit vector (C,) for a whole photo: the mean of its coarsest features."""
        from models.nearest import unit

        return unit(self._whole.encode([pixels])[0].flatten(0, 1).mean(dim=0))

    def _seen(self, pixels: NDArray[np.uint8], view: str) -> torch.Tensor:
        """Fused unit features (h, w, C) of one view of a photo, laid out as in the photo itself."""
        patches = fused(self._encoder.encode([VIEWS[view](pixels)])[0])
        return patches.flip(0) if view == "flipped" else patches

    def _remembered(self, normal: Sequence[Sample]) -> tuple[list[torch.Tensor], list[list[float]]]:
        """The memory of each view of one product's normals, and each photo's held-out scores."""
        import torch

        from models.nearest import cover, largest_cosine

        turned = len(normal) <= FEW if self.augment is None else self.augment
        lonely = len(normal) == 1
        share = max(1, POOL // (len(normal) * (6 if turned else 1)))
        banks: list[torch.Tensor] = []
        apart: list[list[torch.Tensor]] = [[] for _ in normal]  # per photo: distances (P,) of its held-out copies
        for number, view in enumerate(self.views):
            generator = torch.Generator().manual_seed(self.seed)  # every view looks at the same places
            parts: list[torch.Tensor] = []
            owners: list[int] = []
            held_out: list[int] = []
            for index, sample in enumerate(normal):
                upright = pixels_of(sample, self.spec.name)
                for copy, pixels in enumerate(turned_and_flipped(upright) if turned or lonely else [upright]):
                    vectors = self._seen(pixels, view).flatten(0, 1)
                    if len(vectors) > share:
                        vectors = vectors[torch.randperm(len(vectors), generator=generator)[:share].to(vectors.device)]
                    held_out += [len(parts)] if copy == 0 or lonely else []
                    parts.append(vectors)
                    owners.append(copy if lonely else index)
                step(f"normal photos, view {number + 1}", index + 1, len(normal))
            bounds = np.cumsum([0, *map(len, parts)])
            if lonely and not turned:  # its copies only serve as held-out ones
                banks.append(parts[0])
                found = [1 - largest_cosine(vectors, parts[0]) for vectors in parts[1:]]
            else:
                points = torch.cat(parts)
                whose = torch.repeat_interleave(torch.tensor(owners), torch.tensor([*map(len, parts)])).to(points.device)
                chosen, closest = cover(points, whose, self.bank, seed=self.seed)
                banks.append(points[chosen].contiguous())
                found = [1 - closest.to_others[bounds[part] : bounds[part + 1]] for part in held_out]
            copies = len(found) // len(normal)
            for index in range(len(normal)):
                own = found[index * copies : (index + 1) * copies]
                apart[index] = own if number == 0 else [a + b for a, b in zip(apart[index], own, strict=True)]
        views = len(self.views)
        return banks, [[picture_score((d / views).clamp(0, 1).cpu().numpy()) for d in photo] for photo in apart]

    def _distances(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Distances (h, w) of a photo's patches to the memories of its product, the mean over the views."""
        import torch

        from models.nearest import largest_cosine

        found = []
        for view, bank in zip(self.views, self._banks[self.product_of(pixels)], strict=True):
            vectors = self._seen(pixels, view)
            found.append(1 - largest_cosine(vectors.flatten(0, 1), bank).reshape(vectors.shape[:2]))
        return np.asarray(torch.stack(found).mean(dim=0).clamp_min(0).cpu().numpy(), dtype=np.float32)


def fused(patches: torch.Tensor) -> torch.Tensor:
    """Unit features (…, C) in which every depth of DEPTHS weighs the same, from joined features (…, C) of raw lengths."""
    import torch

    from models.efficientnet_lite import TAPS
    from models.nearest import unit

    depths = torch.split(patches, [TAPS[stride][1] for stride in DEPTHS], dim=-1)
    return torch.cat([unit(depth) for depth in depths], dim=-1).div_(len(DEPTHS) ** 0.5)


def turned_and_flipped(pixels: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """The six copies of a normal photo (H, W, 3): as it is, turned by quarters, upside down, mirrored.

    >>> [copy.shape[:2] for copy in turned_and_flipped(np.zeros((2, 5, 3), np.uint8))]
    [(2, 5), (5, 2), (2, 5), (5, 2), (2, 5), (2, 5)]
    """
    for quarter in range(4):
        yield np.rot90(pixels, quarter)
    yield pixels[::-1]
    yield pixels[:, ::-1]


def same_product(cosines: NDArray[np.float32]) -> NDArray[np.int64]:
    """Product (N,) of each photo, numbered by first appearance, from the cosines (N, N) of whole photos.

    Photos linked by a chain of similar ones show one product, so that a product may vary widely as long as it does so gradually.

    >>> same_product(np.array([[1, 0.1, 0.9], [0.1, 1, 0.2], [0.9, 0.2, 1]], np.float32)).tolist()
    [0, 1, 0]
    """
    from scipy.sparse.csgraph import connected_components

    _, labels = connected_components(cosines >= SAME_PRODUCT, directed=False)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[inverse], dtype=np.int64)
