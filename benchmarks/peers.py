"""Published implementations beside ours, on the same features: anomalib's PatchCore, PaDiM and FastFlow.

Their own torch modules with their own defaults, but for what goes in: instead of a network of timm's, which would have to be downloaded,
each is handed the raw maps of the embedded EfficientNet-Lite0 for photos of 320 × 320 pixels, computed once. Maps and scores are taken as
the modules return them; the post-processor of anomalib, which rescales and cuts them off, is left out. Layers are those of their
defaults: PatchCore takes the maps of 8 and 16 pixels per cell and keeps a tenth of the patches, PaDiM and FastFlow those of 4 as well;
PaDiM keeps 100 random channels, as for their smallest network (over three draws AUPIMO moved by up to .05 and pixel AP by .07: a smaller
lead says nothing). PatchCore picks its coreset one by one, which takes time with the square of the photos, so of more normals than MANY
it sees a part, spread evenly, and our search is measured once more on the same part. FastFlow has no stopping rule that does without test
photos: it is trained by their loss and optimiser in batches of 32 for 40 passes (the paper: 500) and at least 300 steps, more than twice
those of ours; the row says how many steps it had. anomalib's INP-Former builds its parts from the name of a DINOv2 network, whose weights
it downloads, and cannot be handed other features; it is left out.

Only for measuring (the extra `peers`). What anomalib asks for includes OpenCV's main wheel, which overwrites the contrib one that Telltale
needs, so it goes into an environment of its own or, by the command that the suite prints, in without what it asks for. Without anomalib the
suite says so and goes on.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.rows import Row, measured
from benchmarks.tasks_image import Outcome, Photos, fitted
from core.samples import ImageSample
from core.scores import ImageScore
from models.patches import PatchEncoder
from tools.image.patch_search import PatchSearch

if TYPE_CHECKING:
    import torch

SIDE = 320
STRIDES = (4, 8, 16)
CHANNELS = {4: 24, 8: 40, 16: 112}
KEPT = 0.1
"""Share of patches that PatchCore's coreset keeps: the default of theirs and of the paper."""
PADIM_CHANNELS = 100
MANY, PART = 120, 40
"""Of more normal photos than the first PatchCore picks its coreset from as many as the second: of 209 it would take an hour."""
PASSES, LEAST_STEPS, BATCH, RATE, DECAY = 40, 300, 32, 1e-3, 1e-5
MISSING = (
    "image_systems: anomalib is not installed, so there are no peers; `pip install --no-deps anomalib einops freia jsonargparse kornia "
    "kornia-rs lightning lightning-utilities omegaconf torchmetrics` adds them."
)


def installed() -> bool:
    """True where anomalib can be imported."""
    return importlib.util.find_spec("anomalib") is not None


def rows(sets: Sequence[Photos]) -> Iterator[Row]:
    """A row of every peer for each data set, or one line that says what is missing."""
    if not installed():
        print(MISSING)
        return
    for photos in sets:
        yield from _of_one_set(photos)


def _of_one_set(photos: Photos) -> Iterator[Row]:
    chosen = np.linspace(0, len(photos.normal) - 1, PART).round().astype(int)
    part = [photos.normal[int(index)] for index in chosen] if len(photos.normal) > MANY else list(photos.normal)
    few, every = f"{len(part)} of {len(photos.normal)} normals", f"{len(photos.normal)} normals"
    if len(part) < len(photos.normal):
        yield photos.row("patch_search, the peer's normals", fitted(PatchSearch(), part, photos.test), seeds=(0,), note=few)
    a_pass = -(-len(photos.normal) // BATCH)
    trained = f"{every}, {_passes(len(photos.normal)) * a_pass} steps"
    for name, peer, normal, note in (
        ("PatchCore", _PatchCore, part, few),
        ("PaDiM", _Padim, photos.normal, every),
        ("FastFlow", _FastFlow, photos.normal, trained),
    ):
        yield photos.row(f"peer: anomalib {name}", _measured(peer, normal, photos.test), seeds=(0,), note=note)


def _measured(make: Callable[[], Any], normal: Sequence[ImageSample], test: Sequence[ImageSample]) -> Outcome:
    """Make, fit and score, features included. The seed comes first: PaDiM draws its channels and FastFlow its weights when made."""
    import cv2
    import torch

    torch.manual_seed(0)
    peer = make()
    with measured() as fit:
        peer.fit([features(sample) for sample in normal])
    scores = []
    with measured() as cost:
        for sample in test:
            with torch.inference_mode():
                found = peer.model.eval()(_given(peer, features(sample)))
            heat = np.asarray(found.anomaly_map.squeeze().numpy(), dtype=np.float32)
            high, wide = sample.pixels.shape[:2]
            heatmap = np.asarray(cv2.resize(heat, (wide, high), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
            scores.append(ImageScore(sample=sample.name, score=float(found.pred_score.squeeze()), heatmap=heatmap))
    return Outcome(scores=scores, fit_s=fit.seconds, score_s=cost.seconds, peak_mb=cost.peak_mb)


def features(sample: ImageSample) -> dict[str, torch.Tensor]:
    """The raw maps (1, C, h, w) of a photo squeezed to a square, by the name of their stride."""
    import cv2

    how = cv2.INTER_AREA if sample.pixels[..., 0].size > SIDE**2 else cv2.INTER_LINEAR  # as for our own systems
    square = np.asarray(cv2.resize(sample.pixels, (SIDE, SIDE), interpolation=how), dtype=np.uint8)
    maps = PatchEncoder(side=SIDE, strides=STRIDES).taps([square])
    return {str(stride): found.float().cpu().clone() for stride, found in zip(STRIDES, maps, strict=True)}


def _given(peer: Any, maps: dict[str, torch.Tensor]) -> torch.Tensor:
    """Put maps where a module looks for its network's, and return the picture it is called with, which nobody looks at."""
    import torch

    peer.hand_in(maps)
    return torch.zeros(len(next(iter(maps.values()))), 3, SIDE, SIDE)


def _passes(photos: int) -> int:
    """How often FastFlow sees each of so many photos."""
    return max(PASSES, -(-LEAST_STEPS // -(-photos // BATCH)))


def _extractor(as_list: bool = False) -> Any:
    """A module that returns the maps it was handed."""
    import torch

    class Given(torch.nn.Module):
        maps: Any = None

        def forward(self, _: torch.Tensor) -> Any:
            return list(self.maps.values()) if as_list else self.maps

    return Given()


class _PatchCore:
    def __init__(self) -> None:
        from anomalib.models.image.patchcore.torch_model import PatchcoreModel

        self.model: Any = PatchcoreModel(layers=["layer2", "layer3"], backbone="resnet18", pre_trained=False)
        self.model.layers = ["8", "16"]
        self.model.feature_extractor = _extractor()

    def hand_in(self, maps: dict[str, torch.Tensor]) -> None:
        self.model.feature_extractor.maps = {name: maps[name] for name in self.model.layers}

    def fit(self, normal: Sequence[dict[str, torch.Tensor]]) -> None:
        self.model.train()
        for maps in normal:
            self.model(_given(self, maps))
        with contextlib.redirect_stderr(io.StringIO()):  # thousands of progress lines
            self.model.subsample_embedding(KEPT)


class _Padim:
    def __init__(self) -> None:
        import torch
        from anomalib.models.image.padim.torch_model import PadimModel

        self.model: Any = PadimModel(backbone="resnet18", pre_trained=False, n_features=PADIM_CHANNELS)
        self.model.layers = [str(stride) for stride in STRIDES]
        self.model.feature_extractor = _extractor()
        self.model.idx = torch.randperm(sum(CHANNELS.values()))[:PADIM_CHANNELS]

    def hand_in(self, maps: dict[str, torch.Tensor]) -> None:
        self.model.feature_extractor.maps = maps

    def fit(self, normal: Sequence[dict[str, torch.Tensor]]) -> None:
        self.model.train()
        for maps in normal:
            self.model(_given(self, maps))
        self.model.fit()


class _FastFlow:
    def __init__(self) -> None:
        import torch
        from anomalib.models.image.fastflow.torch_model import FastflowModel, create_fast_flow_block

        self.model: Any = FastflowModel(input_size=(SIDE, SIDE), backbone="resnet18", pre_trained=False)
        shapes = [[CHANNELS[stride], SIDE // stride, SIDE // stride] for stride in STRIDES]
        self.model.feature_extractor = _extractor(as_list=True)
        self.model.norms = torch.nn.ModuleList(torch.nn.LayerNorm(shape) for shape in shapes)
        self.model.fast_flow_blocks = torch.nn.ModuleList(
            create_fast_flow_block(input_dimensions=shape, conv3x3_only=False, hidden_ratio=1.0, flow_steps=8) for shape in shapes
        )

    def hand_in(self, maps: dict[str, torch.Tensor]) -> None:
        self.model.feature_extractor.maps = maps

    def fit(self, normal: Sequence[dict[str, torch.Tensor]]) -> None:
        import torch
        from anomalib.models.image.fastflow.loss import FastflowLoss

        weights = [p for part in (self.model.norms, self.model.fast_flow_blocks) for p in part.parameters()]
        optimiser, loss = torch.optim.Adam(weights, lr=RATE, weight_decay=DECAY), FastflowLoss()
        generator = torch.Generator().manual_seed(0)
        self.model.train()
        for _ in range(_passes(len(normal))):
            for batch in torch.split(torch.randperm(len(normal), generator=generator), BATCH):
                maps = {name: torch.cat([normal[int(i)][name] for i in batch]) for name in normal[0]}
                optimiser.zero_grad()
                loss(*self.model(_given(self, maps))).backward()
                optimiser.step()
