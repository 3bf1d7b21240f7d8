"""Photos judged by likelihood: a normalising flow turns normal feature maps into noise; what it cannot turn is strange.

Source: Yu et al., FastFlow: Unsupervised Anomaly Detection and Localization via 2D Normalizing Flows (2021): one flow for each of
several depths of a frozen network, coupling steps whose 3×3 convolutions see the surroundings. Ours: the embedded network's
features as the other patch detectors use them (3×3 means of length 1), encoded once; a start at the whitening of their channels;
an end given by the likelihood of held-out normal photos (`models.flow_training`); and the negative log-likelihood as score, mean
over depths.

The usual −exp(−½z²) is flat wherever a photo is very strange. On synthetic defects in held-out normal photos (image AUROC, pixel
AP; after at most 40 updates) the likelihood gave tile .879, .221 and hazelnut .999, .457; ½z² without the determinant .853, .172
and .999, .432; −exp .853, .175 and .999, .558. Steps and width are the paper's; rate, batch and number of updates were not
varied.

Axes and units: photos (H, W, 3) uint8 of any size, resized to one size of about side² pixels and the middle shape of the normal
photos; heatmap (H, W) float32, mean over depths of the strangeness per channel of a cell, in nats; score = mean of the strangest
1 % of the finest cells, 8 pixels of the resized photo.
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
from models.feature_levels import FixedMaps, common_size
from tools.catalog import ROWS
from tools.image.patch_maps import BLUR_CELLS, each_photo, orientations, picture_score, pixels_of

if TYPE_CHECKING:
    import torch

    from models.coupling_flow import CouplingFlow

FEW = 8
"""Up to this many normal photos are also turned and mirrored: a flow needs more to learn from."""
MOST = 1000
"""Most normal photos that are used, drawn by the seed: their maps are kept in memory, about a quarter of a megabyte each."""
HELD_OUT = 0.2
"""Share of the normal photos that is not learned from: it ends the training and gives the reference scores."""


class FastFlow:
    """Finds places whose features are unlikely under a normalising flow of normal photos.

    Args:
        side: photos are resized to about side² pixels.
        strides: depths, as pixels per cell: some of 4, 8, 16, 32.
        steps: coupling steps of each flow.
        ratio: width of the steps' small nets, as a share of the channels they read.
        updates: most training steps of each flow.
        batch: photos of a training step.
        rate: learning rate of the first steps.
        seed: of weights, permutations, the held-out photos and the order of the others.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Scores are `ImageScore`s with heatmaps (H, W). Raises NotFitted before `fit`, BadInput on anything but pictures.

    >>> from core.samples import ImageSample
    >>> rng = np.random.default_rng(0)
    >>> def photo(hole: bool) -> ImageSample:
    ...     pixels = (np.indices((96, 128)).sum(0)[..., None] % 12 * 14 + rng.integers(0, 20, (96, 128, 3))).astype(np.uint8)
    ...     pixels[30:50, 80:100] = 0 if hole else pixels[30:50, 80:100]
    ...     return ImageSample(name="cloth", pixels=pixels)
    >>> learned = FastFlow(side=96, steps=2, updates=8).fit([photo(False) for _ in range(3)])
    >>> good, torn = learned.score([photo(False), photo(True)])
    >>> good.score < torn.score, torn.heatmap.shape
    (True, (96, 128))
    """

    spec: DetectorSpec = next(row for row in ROWS if row.name == "fastflow")

    def __init__(
        self, *, side: int = 320, strides: tuple[int, ...] = (8, 16), steps: int = 8, ratio: float = 1.0, updates: int = 120,
        batch: int = 8, rate: float = 2e-3, seed: int = 0, device: str = "auto",
    ) -> None:  # fmt: skip
        if not 32 <= side <= 4096:
            raise BadInput(f"side {side!r}: expected 32 to 4096 pixels.")
        if min(steps, updates, batch) < 1 or ratio <= 0 or rate <= 0:
            raise BadInput(
                f"steps={steps!r}, updates={updates!r}, batch={batch!r}, ratio={ratio!r}, rate={rate!r}: expected at least 1, 1 and 1, "
                "and more than 0."
            )
        self.side, self.strides, self.steps, self.ratio = side, tuple(strides), steps, ratio
        self.updates, self.batch, self.rate, self.seed, self.device = updates, batch, rate, seed, device
        FixedMaps(size=(32, 32), strides=self.strides)  # refuses strides the network has no map of
        self._encoder: FixedMaps | None = None
        self._flows: list[CouplingFlow] = []
        self._reference: NDArray[np.float32] = np.empty(0, dtype=np.float32)

    def fit(self, normal: Sequence[Sample]) -> Self:
        """Train a flow for each depth on four fifths of the normal photos.

        Raises:
            BadInput: no photo, or something that is not one.
        """
        import torch

        from models.flow_training import train_flow

        require_batch(normal, ImageSample, self.spec.name)
        rng = np.random.default_rng(self.seed)
        turned = len(normal) <= FEW
        used = [normal[int(index)] for index in sorted(np.random.default_rng(self.seed).permutation(len(normal))[:MOST])]
        size = common_size([pixels_of(sample, self.spec.name).shape[:2] for sample in used], self.side)
        encoder = FixedMaps(size=size, strides=self.strides, device=self.device)
        maps: list[list[torch.Tensor]] = []
        owners: list[int] = []
        for number, sample in enumerate(used):
            pixels = pixels_of(sample, self.spec.name)
            for copy, photo in enumerate(orientations(pixels) if turned else [pixels]):
                maps.append([one.half().cpu() for one in encoder.encode(photo)])
                owners.append(copy if len(used) == 1 else number)
            step("normal photos", number + 1, len(used))
        count = max(owners) + 1
        apart = np.isin(owners, rng.permutation(count)[: max(min(2, count - 1), round(HELD_OUT * count))])
        learned, held_out = np.flatnonzero(~apart), np.flatnonzero(apart)
        flows = []
        for number, stride in enumerate(encoder.strides):
            level = torch.stack([one[number] for one in maps])
            flow = self._new(encoder, number)
            train_flow(
                flow, level[learned], level[held_out], steps=self.updates, batch=self.batch, rate=self.rate,
                seed=self.seed, what=f"training steps at {stride} pixels per cell",
            )  # fmt: skip
            flows.append(flow)
        self._encoder, self._flows = encoder, flows
        self._reference = np.array([picture_score(self._cells(maps[int(index)])) for index in held_out], dtype=np.float32)
        return self

    def score(self, batch: Sequence[Sample]) -> list[ImageScore]:
        """Score photos by their likelihood.

        Raises:
            NotFitted: `fit` was not called.
            BadInput: an empty batch, or something that is not a photo.
        """
        from scipy.ndimage import gaussian_filter

        require_batch(batch, ImageSample, self.spec.name)
        if self._encoder is None:
            raise NotFitted.of(self.spec.name)
        scores = []
        for called, pixels in each_photo(batch, self.spec.name):
            cells = self._cells(self._encoder.encode(pixels))
            smooth = gaussian_filter(cells, BLUR_CELLS, mode="nearest")
            heatmap = self._encoder.to_pixels(smooth, pixels.shape[0], pixels.shape[1])
            scores.append(ImageScore(sample=called, score=picture_score(cells), heatmap=heatmap))
        return scores

    def reference_scores(self) -> NDArray[np.float32]:
        """Scores of the fifth of the normal photos that was not learned from (with up to eight photos, of its turned copies too).

        The same photos said when to stop, which flatters them a little. With a single normal photo two of its turned copies are
        held out, and a threshold from them is a rough one.
        """
        return self._reference.copy()

    def save(self, path: Path) -> None:
        """Write constructor values, weights and held-out scores to one npz file."""
        if self._encoder is None:
            raise NotFitted.of(self.spec.name)
        arrays = {
            f"flow{number}.{name}": tensor.cpu().numpy()
            for number, flow in enumerate(self._flows)
            for name, tensor in flow.state_dict().items()
        }
        state = {"size": list(self._encoder.size)}
        save_arrays(
            path, name=self.spec.name, parameters=parameters(self), arrays={**arrays, "reference": self._reference}, state=state
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged or another detector's.
        """
        import torch

        values, arrays, state = load_arrays(path, name=cls.spec.name)
        made = cls(**values)
        made._reference = arrays.pop("reference")
        made._encoder = FixedMaps(size=(state["size"][0], state["size"][1]), strides=made.strides, device=made.device)
        for number in range(len(made._encoder.strides)):
            flow, prefix = made._new(made._encoder, number), f"flow{number}."
            weights = {name.removeprefix(prefix): torch.from_numpy(a) for name, a in arrays.items() if name.startswith(prefix)}
            try:
                flow.load_state_dict(weights)
            except RuntimeError as error:
                raise BadInput(f"{path.name!r}: its weights do not fit this version's flow; fit it anew ({error}).") from error
            made._flows.append(flow.eval())
        return made

    def _new(self, encoder: FixedMaps, number: int) -> CouplingFlow:
        from models.coupling_flow import CouplingFlow
        from models.device import place

        channels, height, width = encoder.shapes()[number]
        flow = CouplingFlow(
            channels=channels, height=height, width=width, steps=self.steps, ratio=self.ratio, seed=self.seed + number
        )
        return flow.to(place(self.device).device)

    def _cells(self, maps: Sequence[torch.Tensor]) -> NDArray[np.float32]:
        """Strangeness (h, w) of the finest cells of one photo from its maps (C, h, w)."""
        import torch

        from models.coupling_flow import surprise

        assert self._encoder is not None
        found = []
        with torch.no_grad():
            for flow, one in zip(self._flows, maps, strict=True):
                # Rounded as the maps that were learned from, so that held-out and new photos are treated alike.
                prepared = one.half().float()[None].to(flow.norm.offset.device)
                found.append(surprise(*flow(prepared))[0].float().cpu().numpy())
        return np.asarray(self._encoder.on_finest(found).mean(axis=0), dtype=np.float32)
