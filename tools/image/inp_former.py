"""Photos rebuilt from a few prototypes of themselves by a network that learned to do so on photos of good parts.

Source: Luo et al., Exploring Intrinsic Normal Prototypes within a Single Image for Universal Anomaly Detection (INP-Former, CVPR 2025) and
its sequel INP-Former++ (2025); network and training are in `models.prototypes` and `models.prototype_training`. Ours: the embedded
network's features instead of DINOv2's, photos of any shape. Photos of several products may be mixed: a photo is compared with nothing
but itself, so one network serves them all. Steps: 400 were better than 200 on synthetic defects in held-out normal
photos of magnetic_tile (image AUROC .884 against .839, the latter with a larger network); more were not tried.

Axes and units: photos (H, W, 3) uint8 of any size; patches of 8 pixels of the photo resized to about side² pixels; a patch's
strangeness is 1 − cosine of its features and the rebuilt ones, 0 to 2, mean over the taps; heatmap (H, W) float32 in the same unit;
score = mean of the strangest 1 % of patches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from tools.image.patch_maps import picture_score, pixels_of, score_each
from tools.image.simulated_defects import Pixels, simulate

if TYPE_CHECKING:
    import torch

    from models.prototypes import PrototypeNet, Rebuilt
    from models.residual_head import ResidualHead

TAPS = (8, 16)
"""Strides of the taps; each is a group of its own in the loss."""
FEW = 8
"""Up to this many normal photos are also turned, moved and mirrored, and learned in halves for held-out scores."""
HELD_OUT = 5
"""Of more photos, each fifth is not learned from."""
POOL = 400_000
"""Most patches kept while fitting; with more, each photo gives a random share."""
SHIFTS = tuple((down * part, across * part) for part in (0.1, 0.05) for down in (-1, 1) for across in (-1, 1))
"""Parts of the photo's edges, along the diagonals."""
TURNS = (-4, -3, -2, -1, 1, 2, 3, 4)
"""Sixteenths of half a turn."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Learned:
    net: PrototypeNet
    head: ResidualHead | None


class INPFormer:
    """Finds patches that the photo's own prototypes cannot rebuild.

    Args:
        side: photos are resized to about side² pixels; raise it for small defects in large photos.
        prototypes: prototypes of a photo.
        steps: training steps.
        patches: patches of each of 16 photos that a training step looks at.
        residual: INP-Former++: prototypes are mixed softly, lengths are learned too, and a head learns from simulated defects
            which leftovers are defects; the map is then the mean of the head's and the plain one.
        simulated: photos with simulated defects for the head.
        seed: of first weights, batches, simulated defects and held-out photos.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Scores are `ImageScore`s with heatmaps (H, W). Raises NotFitted before `fit`, BadInput on anything but pictures.

    >>> from core.samples import ImageSample
    >>> rng = np.random.default_rng(0)
    >>> def photo(hole: bool) -> ImageSample:
    ...     pixels = (np.indices((96, 128)).sum(0)[..., None] % 12 * 14 + rng.integers(0, 20, (96, 128, 3))).astype(np.uint8)
    ...     pixels[30:50, 80:100] = 0 if hole else pixels[30:50, 80:100]
    ...     return ImageSample(name="cloth", pixels=pixels)
    >>> learned = INPFormer(side=96, steps=30, patches=16).fit([photo(False), photo(False)])
    >>> good, torn = learned.score([photo(False), photo(True)])
    >>> good.score < torn.score, torn.heatmap.shape
    (True, (96, 128))
    """

    spec: DetectorSpec = next(row for row in ROWS if row.name == "inp_former")

    def __init__(
        self,
        *,
        side: int = 320,
        prototypes: int = 6,
        steps: int = 400,
        patches: int = 64,
        residual: bool = False,
        simulated: int = 100,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        if min(prototypes, steps, patches, simulated) < 1:
            raise BadInput(
                f"prototypes={prototypes!r}, steps={steps!r}, patches={patches!r}, simulated={simulated!r}: expected 1 or more of each."
            )
        self.side, self.prototypes, self.steps, self.patches = side, prototypes, steps, patches
        self.residual, self.simulated, self.seed, self.device = residual, simulated, seed, device
        self._encoder = PatchEncoder(side=side, strides=TAPS, device=device)
        self._learned: _Learned | None = None
        self._reference: NDArray[np.float32] = np.empty(0, dtype=np.float32)

    def fit(self, normal: Sequence[Sample]) -> Self:
        """Learn to rebuild normal photos.

        Of more than eight photos each fifth, at random, is held out and only gives reference scores. Of fewer, two halves are learned
        apart first, so that each scores the other; then all are learned, which takes three times as long.

        Raises:
            BadInput: no photo, or something that is not one.
        """
        require_batch(normal, ImageSample, self.spec.name)
        count = len(normal)
        if count > FEW:
            order = np.random.default_rng(self.seed).permutation(count)
            held_out, taught = (
                _Chosen(normal, np.sort(part), self.spec.name)
                for part in (order[: count // HELD_OUT], order[count // HELD_OUT :])
            )
            self._learned = self._trained(self._patches(taught, most=POOL), taught)
            reference = self._scores(self._learned, held_out)
        else:
            groups = [list(copies(pixels_of(sample, self.spec.name))) for sample in normal]
            if count == 1:  # there is no other photo: its copies stand for some
                groups = [[copy] for copy in groups[0]]
            photos = [group[0] for group in groups]
            features = [self._patches(group, most=POOL // len(groups)) for group in groups]
            reference = []
            for half, other in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
                learned = self._trained([part for group in features[half] for part in group], photos[half])
                reference += self._scores(learned, photos[other])
            self._learned = self._trained([part for group in features for part in group], photos)
        self._reference = np.array(reference, dtype=np.float32)
        return self

    def score(self, batch: Sequence[Sample]) -> list[ImageScore]:
        """Score photos.

        Raises:
            NotFitted: `fit` was not called.
            BadInput: an empty batch, or something that is not a photo.
        """
        require_batch(batch, ImageSample, self.spec.name)
        if self._learned is None:
            raise NotFitted.of(self.spec.name)
        learned = self._learned
        return score_each(batch, self.spec.name, self._encoder, lambda pixels: self._map(learned, pixels))

    def reference_scores(self) -> NDArray[np.float32]:
        """Scores of normal photos by a network that did not learn from them.

        Of up to eight photos each is scored by the network of the half it is not in, which knows fewer photos than the final one, so
        a threshold from them is a careful one. With a single normal photo its turned, moved and mirrored copies are halved instead:
        a threshold from them is a rough one.
        """
        return self._reference.copy()

    def save(self, path: Path) -> None:
        """Write constructor values, weights and held-out scores to one npz file."""
        if self._learned is None:
            raise NotFitted.of(self.spec.name)
        arrays = {"reference": self._reference}
        for part, module in (("net", self._learned.net), ("head", self._learned.head)):
            for name, tensor in module.state_dict().items() if module is not None else ():
                arrays[f"{part}.{name}"] = tensor.cpu().numpy()
        save_arrays(path, name=self.spec.name, parameters=parameters(self), arrays=arrays)

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
        learned = made._new()
        try:
            for part, module in (("net", learned.net), ("head", learned.head)):
                if module is not None:
                    module.load_state_dict({
                        name.removeprefix(f"{part}."): torch.from_numpy(array)
                        for name, array in arrays.items() if name.startswith(f"{part}.")
                    })  # fmt: skip
        except RuntimeError as error:
            raise BadInput(f"{path.name!r}: its weights do not fit this version's network; fit it anew ({error}).") from error
        made._learned = learned
        return made

    def _new(self) -> _Learned:
        from models.device import place
        from models.efficientnet_lite import TAPS as CHANNELS
        from models.prototypes import PrototypeNet
        from models.residual_head import ResidualHead

        channels = [CHANNELS[stride][1] for stride in TAPS]
        device = place(self.device).device
        net = PrototypeNet(channels, prototypes=self.prototypes, seed=self.seed).to(device).eval()
        head = ResidualHead(sum(channels), seed=self.seed).to(device).eval() if self.residual else None
        return _Learned(net=net, head=head)

    def _patches(self, photos: Sequence[Pixels], *, most: int) -> list[torch.Tensor]:
        """Features (L, C) float16 of photos, at most about `most` patches in all."""
        import torch

        generator = torch.Generator().manual_seed(self.seed)
        share = max(1, most // len(photos))
        features = []
        for number in range(len(photos)):
            patches = self._encoder.encode([photos[number]])[0].flatten(0, 1)
            if len(patches) > share:
                patches = patches[torch.randperm(len(patches), generator=generator)[:share].to(patches.device)]
            features.append(patches.half())
            step("normal photos", number + 1, len(photos))
        return features

    def _trained(self, features: Sequence[torch.Tensor], photos: Sequence[Pixels]) -> _Learned:
        """A network that has learned from features (L, C), and its head from the photos with simulated defects."""
        import torch

        from models.prototype_training import train_net
        from models.residual_head import residual, train_head

        learned = self._new()
        train_net(learned.net, features, steps=self.steps, patches=self.patches, plus=self.residual, seed=self.seed)
        if learned.head is not None:
            some = np.linspace(0, len(photos) - 1, min(len(photos), self.simulated)).round().astype(int)
            residuals, truths = [], []
            made = simulate([photos[int(index)] for index in some], count=self.simulated, seed=self.seed, clean=0.25)
            for number, one in enumerate(made, start=1):
                found, grid = self._rebuilt(learned.net, one.pixels)
                residuals.append(residual(found)[0].reshape(*grid, -1).half())
                truths.append(torch.from_numpy(_covered(one.mask, grid)).to(residuals[-1].device))
                step("photos with simulated defects", number, len(made))
            train_head(learned.head, residuals, truths, seed=self.seed)
        return learned

    def _rebuilt(self, net: PrototypeNet, pixels: Pixels) -> tuple[Rebuilt, tuple[int, int]]:
        import torch

        from models.prototype_training import fast

        features = self._encoder.encode([pixels])
        rows, columns = features.shape[1:3]
        with torch.no_grad(), fast(features.device):
            return net(features.flatten(1, 2)), (int(rows), int(columns))

    def _map(self, learned: _Learned, pixels: Pixels) -> NDArray[np.float32]:
        """How strange each patch (h, w) of a photo is."""
        import torch

        from models.prototypes import misfit
        from models.residual_head import residual

        found, grid = self._rebuilt(learned.net, pixels)
        patches = misfit(found)[0].reshape(grid)
        if learned.head is not None:
            with torch.no_grad():
                patches = (patches + learned.head(residual(found)[0].reshape(*grid, -1))) / 2
        return np.asarray(patches.cpu().numpy(), dtype=np.float32)

    def _scores(self, learned: _Learned, photos: Sequence[Pixels]) -> list[float]:
        found = []
        for number in range(len(photos)):
            found.append(picture_score(self._map(learned, photos[number])))
            step("held-out photos", number + 1, len(photos))
        return found


class _Chosen(Sequence[Pixels]):
    """The pixels of some samples, each opened when it is asked for."""

    def __init__(self, samples: Sequence[Sample], chosen: NDArray[np.int64], name: str) -> None:
        self._samples, self._indices, self._name = samples, chosen, name

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Pixels:  # type: ignore[override]
        return pixels_of(self._samples[int(self._indices[index])], self._name)


def copies(pixels: Pixels) -> Iterator[Pixels]:
    """A photo (H, W, 3) and 21 copies: a little turned, moved by a tenth or two, mirrored, grey, turned by quarters.

    >>> made = list(copies(np.zeros((20, 30, 3), np.uint8)))
    >>> len(made), made[0].shape, made[-1].shape
    (22, (20, 30, 3), (30, 20, 3))
    """
    import cv2

    height, width = pixels.shape[:2]
    middle = ((width - 1) / 2, (height - 1) / 2)
    moves = [cv2.getRotationMatrix2D(middle, 180 * sixteenths / 16, 1.0) for sixteenths in TURNS]
    moves += [np.array([[1, 0, across * width], [0, 1, down * height]]) for down, across in SHIFTS]
    yield pixels
    source = np.ascontiguousarray(pixels)
    for move in moves:
        moved = cv2.warpAffine(source, move, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        yield np.asarray(moved, dtype=np.uint8)
    yield pixels[:, ::-1]
    grey = np.asarray(cv2.cvtColor(source, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    yield np.repeat(grey[..., None], 3, axis=2)
    for quarters in (2, 1, 3):
        yield np.rot90(pixels, quarters)


def _covered(mask: NDArray[np.bool_], grid: tuple[int, int]) -> NDArray[np.float32]:
    """Share of each patch (h, w) that a mask (H, W) covers."""
    import cv2

    return np.asarray(cv2.resize(mask.astype(np.float32), grid[::-1], interpolation=cv2.INTER_AREA), dtype=np.float32)
