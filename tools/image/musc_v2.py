"""Several scans of one product, none known to be good: their colour and their shape are looked up in every other scan.

Source: Li et al., MuSc-V2: Zero-Shot Multimodal Industrial Anomaly Classification and Segmentation with Mutual Scoring of Unlabeled Samples
(2025, arXiv 2511.10047): point groups that follow the surface (`models.point_groups`), neighbourhoods of similar patches
(`similar_neighbours`), mutual scoring (`mutual_scores`), the two modalities speaking for each other (`cross_modal`), re-scoring by
scans whose strangest spots are alike (`rescoring`).
Ours: the embedded network for colour and angle histograms for shape (`models.point_descriptors`) instead of two pretrained transformers, so
that nothing is downloaded (Point-MAE is used where its weights are given: `shape`); two layers of each; the table taken away before
(`scan_surface`); modalities fused by the mean instead of the sum, so that a scan that lacks one has scores of about the same size;
enhancement and re-scoring only where asked for.

Chosen on dents and bumps of 0.4 to 2.5 mm, every second one darker too, in the 13 normal scans of MVTec 3D-AD's cable gland (four of
13 defective, four to six draws): enhancement off (both modalities: image AUROC .53, pixel AP .038; with it .47 and .026, though defects
rank higher among the part's own pixels, AUROC .82 against .76). Groups of 128 and 256 points and layers of (32, 128) and (64, 128)
points made no difference, groups of 64 were no better. So few scans of a part that lies differently in each are hard: scans are ranked
hardly above chance, and it is the heatmap that tells something.

Axes and units: scans xyz (H, W, 3) in the file's unit and rgb (H, W, 3) uint8; a distance is that of unit features, 0 to 2; heatmap
(H, W) float32 in the same unit; score = mean of its highest 1 % of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.archive import load_arrays, save_arrays
from core.detector import DetectorSpec, parameters, require_batch
from core.errors import BadInput
from core.progress import step
from core.samples import PointSample, Sample
from core.scores import ImageScore
from tools.catalog import ROWS
from tools.image.neighbourhoods import NeighbourhoodEncoder, fused
from tools.image.patch_maps import BLUR_CELLS, picture_score
from tools.image.surfaces import ANGLES, Surface, SurfaceEncoder

if TYPE_CHECKING:
    import torch

Mode: TypeAlias = Literal["rgb", "points", "both"]
MODES: tuple[Mode, ...] = ("rgb", "points", "both")
MODALITIES = ("rgb", "points")


@dataclass(frozen=True, eq=False)
class Scan:
    """Features of a scan per modality and layer; of one that is scored, its cells' grids (rows, columns) and its surface too."""

    vectors: dict[str, list[torch.Tensor]]
    grids: tuple[tuple[int, int], ...] = ()
    surface: Surface | None = None


@dataclass(frozen=True, eq=False)
class Judged:
    """A scan's heatmap (H, W), its score, and the features of its strangest spots (C,)."""

    heatmap: NDArray[np.float32]
    score: float
    salient: torch.Tensor


class MuScV2:
    """Finds spots of a scan whose colour or shape few other scans of the batch show.

    Args:
        mode: "rgb" compares pictures, "points" shapes, "both" the two together, or the one that a scan has.
        side: pictures are resized to about side² pixels.
        strides: layers of the network that are searched, by their pixels per cell (4, 8, 16, 32).
        grid: scans are thinned to about grid² places.
        groups: centres of point groups per scan.
        size: points per group.
        inner: layers of the shape: how many of a group's first points are described; as many as `strides`.
        table: take the plane away that the rim of the scan lies on, where something stands out from it.
        shape: "angles", or the path of Point-MAE weights (the paper's features; `inner` then says how many of its blocks are read).
        enhance: let the two modalities speak for each other, in mode "both".
        share: share of a patch's partners, the most similar ones, whose distances are averaged; at least one, rounded up.
        partners: scans that are compared with each other at once; a larger batch is dealt into groups of about this size.
        rescoring: numbers k of similar scans (itself counted) over which a score is averaged, the mean over the k; (1,) is none.
        seed: of the dealing.
        device: "auto", "cpu", "cuda" or "cuda:N".

    After `fit(normal)` the normal scans are partners of every scan too. Scores are `ImageScore`s with heatmaps (H, W).
    Raises BadInput for a single scan without normals, a scan without what `mode` asks for, and anything but scans.

    >>> from core.synthetic import case
    >>> made = case("points")
    >>> detector = MuScV2(mode="points", groups=256, size=64, inner=(16, 64))
    >>> scores = detector.score([*made.unseen, made.odd])
    >>> int(np.argmax([s.score for s in scores])), scores[3].heatmap.shape
    (3, (90, 120))
    """

    spec: DetectorSpec = next(row for row in ROWS if row.name == "musc_v2")

    def __init__(
        self, *, mode: Mode = "both", side: int = 320, strides: tuple[int, ...] = (8, 16), grid: int = 224, groups: int = 1024,
        size: int = 128, inner: tuple[int, ...] = (32, 128), table: bool = True, shape: str = ANGLES, enhance: bool = False,
        share: float = 0.3, partners: int = 40, rescoring: tuple[int, ...] = (1,), seed: int = 0, device: str = "auto",
    ) -> None:  # fmt: skip
        if mode not in MODES:
            raise BadInput(f"mode {mode!r}: expected one of {MODES}.")
        if not 0 < share <= 1:
            raise BadInput(f"share {share!r}: expected above 0 and at most 1.")
        if partners < 2 or groups < 8 or grid < 16:
            raise BadInput(f"partners {partners!r}, groups {groups!r}, grid {grid!r}: expected at least 2, 8 and 16.")
        if not inner or any(not 2 <= count <= size for count in inner):
            raise BadInput(f"inner {inner!r}: expected numbers of points from 2 to size, {size!r}.")
        if mode == "both" and len(inner) != len(strides):
            raise BadInput(f"inner {inner!r}: expected as many layers as strides {strides!r}, since they are compared in pairs.")
        if not rescoring or any(count < 1 for count in rescoring):
            raise BadInput(f"rescoring {rescoring!r}: expected numbers of scans from 1; (1,) leaves scores as they are.")
        self.mode, self.side, self.strides, self.grid, self.groups, self.size = mode, side, tuple(strides), grid, groups, size
        self.inner, self.table, self.enhance, self.share, self.partners = tuple(inner), table, enhance, share, partners
        self.rescoring, self.shape, self.seed, self.device = tuple(rescoring), shape, seed, device
        self._colours = NeighbourhoodEncoder(side=side, strides=self.strides, sizes=(1,), device=device)
        self._shapes = SurfaceEncoder(
            grid=grid, groups=groups, size=size, inner=self.inner, table=table, shape=shape, device=device
        )
        self._normals: list[Scan] = []
        self._salient: list[torch.Tensor] = []
        self._plain: NDArray[np.float32] = np.empty(0, dtype=np.float32)

    def fit(self, normal: Sequence[Sample]) -> Self:
        """Take normal scans as additional partners (at most `partners` of them are kept, spread evenly).

        Raises:
            BadInput: no scan, something that is not one, or a scan without what `mode` asks for.
        """
        require_batch(normal, PointSample, self.spec.name)
        chosen = np.unique(np.linspace(0, len(normal) - 1, min(len(normal), self.partners)).round().astype(int))
        samples = [normal[int(index)] for index in chosen]
        scans = self._scans(samples)
        judged = self._judged(samples, scans, []) if len(scans) > 1 else []
        self._normals = [Scan(scan.vectors) for scan in scans]
        self._salient = [one.salient for one in judged]
        self._plain = np.array([one.score for one in judged], dtype=np.float32)
        return self

    def score(self, batch: Sequence[Sample]) -> list[ImageScore]:
        """Score the scans against each other (and the normals, if fitted).

        Raises:
            BadInput: an empty batch, a single scan without normals, something that is not a scan, or a scan without what `mode` asks for.
        """
        require_batch(batch, PointSample, self.spec.name)
        if len(batch) == 1 and not self._normals:
            raise BadInput(f"{self.spec.name!r}: expected at least two scans to compare, got one. Add scans or give normal ones.")
        found: dict[int, Judged] = {}
        for group in self._dealt(batch):
            samples = [batch[index] for index in group]
            found.update(zip(group, self._judged(samples, self._scans(samples), self._normals), strict=True))
        judged = [found[index] for index in range(len(batch))]
        final = self._rescored(
            np.array([one.score for one in judged], dtype=np.float32), [one.salient for one in judged], self._plain
        )
        return [
            ImageScore(sample=sample.name, score=float(value), heatmap=one.heatmap)
            for sample, value, one in zip(batch, final, judged, strict=True)
        ]

    def reference_scores(self) -> NDArray[np.float32]:
        """Score of each fitted normal scan among the other normals; empty with fewer than two."""
        return self._rescored(self._plain, self._salient, self._plain[:0])

    def save(self, path: Path) -> None:
        """Write constructor values, the normals' features and their scores to one npz file."""
        arrays = {"reference": self._plain}
        arrays.update({f"salient{number}": values.cpu().numpy() for number, values in enumerate(self._salient)})
        for number, scan in enumerate(self._normals):
            for modality, layers in scan.vectors.items():
                arrays.update({f"{modality}{number}_{layer}": v.cpu().numpy() for layer, v in enumerate(layers)})
        state = {"normals": [{m: len(layers) for m, layers in scan.vectors.items()} for scan in self._normals]}
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
        made._plain = arrays["reference"]
        made._salient = [torch.from_numpy(arrays[f"salient{number}"]).to(device) for number in range(len(made._plain))]
        for number, layers in enumerate(state["normals"]):
            made._normals.append(
                Scan({
                    modality: [torch.from_numpy(arrays[f"{modality}{number}_{layer}"]).to(device) for layer in range(count)]
                    for modality, count in layers.items()
                })
            )  # fmt: skip
        return made

    def _scans(self, samples: Sequence[Sample]) -> list[Scan]:
        scans = []
        for number, sample in enumerate(samples, start=1):
            scans.append(self._scan(sample))
            step("scans encoded", number, len(samples))
        return scans

    def _scan(self, sample: Sample) -> Scan:
        from tools.image.similar_neighbours import of_cells

        scan = _checked(sample, self.spec.name)
        vectors: dict[str, list[torch.Tensor]] = {}
        grids: tuple[tuple[int, int], ...] = ()
        surface = None
        if self.mode != "points" and scan.rgb is not None and scan.organised:
            maps, _ = self._colours.maps(scan.rgb)
            grids = tuple((int(layer.shape[1]), int(layer.shape[2])) for layer in maps)
            vectors["rgb"] = [of_cells(layer) for layer in maps]
        if self.mode != "rgb":
            surface = self._shapes.surface(scan)
            if surface is not None:
                vectors["points"] = surface.vectors
        if not vectors:
            wanted = {"rgb": "a picture", "points": "measured points", "both": "a picture or measured points"}[self.mode]
            other = {"rgb": " Use mode 'points' or 'both'.", "points": " Use mode 'rgb' or 'both'.", "both": ""}[self.mode]
            raise BadInput(
                f"{self.spec.name!r}: expected {wanted} in every scan, got none in {scan.name!r}; leave it out.{other}"
            )
        return Scan(vectors, grids, surface)

    def _judged(self, samples: Sequence[Sample], scans: Sequence[Scan], normals: Sequence[Scan]) -> list[Judged]:
        """Heatmap, score and salient features of every scan, from its partners: the other `scans` and all `normals`."""
        tables = {modality: self._tables(modality, scans, normals) for modality in MODALITIES}
        judged = []
        for number, (sample, scan) in enumerate(zip(samples, scans, strict=True)):
            mine = {modality: tables[modality][number] for modality in MODALITIES if number in tables[modality]}
            if not mine:
                raise BadInput(
                    f"{self.spec.name!r}: expected another scan to compare {sample.name!r} with, got none that has what it has, "
                    f"{' and '.join(scan.vectors)}; leave it out."
                )
            judged.append(self._fused(_checked(sample, self.spec.name), scan, self._lowest(scan, mine)))
        return judged

    def _tables(
        self, modality: str, scans: Sequence[Scan], normals: Sequence[Scan]
    ) -> dict[int, tuple[list[int], list[NDArray[np.float32]]]]:
        """Of each scan that can be compared: its partners, normals counted on from the scans, and distances (partners, P) per layer."""
        from tools.image.mutual_scores import minima

        have = [number for number, scan in enumerate(scans) if modality in scan.vectors]
        known = [number for number, scan in enumerate(normals) if modality in scan.vectors]
        if not have or len(have) + len(known) < 2:
            return {}
        partners = {number: [n for n in have if n != number] + [len(scans) + n for n in known] for number in have}
        layers = []
        count = len(self.strides if modality == "rgb" else self.inner)
        for layer in range(count):
            ours, theirs = (
                [some[n].vectors[modality][layer] for n in which] for some, which in ((scans, have), (normals, known))
            )
            layers.append([table.cpu().numpy() for table in minima(ours, theirs)])
            step(f"scans compared ({modality})", layer + 1, count)
        return {number: (partners[number], [layer[at] for layer in layers]) for at, number in enumerate(have)}

    def _lowest(
        self, scan: Scan, mine: dict[str, tuple[list[int], list[NDArray[np.float32]]]]
    ) -> dict[str, list[NDArray[np.float32]]]:
        """Mean (P,) of the lowest distances of each modality and layer, the modalities having heard each other."""
        import torch

        from tools.image.cross_modal import collaborated
        from tools.image.mutual_scores import lowest_mean

        tables = {modality: layers for modality, (_, layers) in mine.items()}
        common = sorted(set.intersection(*(set(who) for who, _ in mine.values()))) if len(mine) == 2 else []
        if self.enhance and common and scan.surface is not None:
            kept = {modality: [who.index(n) for n in common] for modality, (who, _) in mine.items()}
            pairs = [
                collaborated(colour[kept["rgb"]], shape[kept["points"]], scan.surface.cells(grid))
                for colour, shape, grid in zip(tables["rgb"], tables["points"], scan.grids, strict=True)
            ]
            tables = {"rgb": [colour for colour, _ in pairs], "points": [shape for _, shape in pairs]}
        return {
            modality: [lowest_mean(torch.from_numpy(table), self.share).numpy() for table in layers]
            for modality, layers in tables.items()
        }

    def _fused(self, sample: PointSample, scan: Scan, low: dict[str, list[NDArray[np.float32]]]) -> Judged:
        import torch
        from scipy.ndimage import gaussian_filter

        maps = []
        height, width = sample.valid.shape
        if "rgb" in low:
            cells = fused([values.reshape(grid) for values, grid in zip(low["rgb"], scan.grids, strict=True)], self.strides)
            smooth = gaussian_filter(cells, BLUR_CELLS, mode="nearest")
            maps.append(self._colours.patches.to_pixels(smooth, height, width))
        if "points" in low and scan.surface is not None:
            maps.append(scan.surface.to_pixels(np.asarray(np.mean(low["points"], axis=0), dtype=np.float32)))
        heatmap = np.asarray(np.mean(maps, axis=0), dtype=np.float32)
        strangest = []
        for modality in MODALITIES if self.mode == "both" else (self.mode,):
            layers = scan.vectors.get(modality)
            if modality in low and layers is not None:
                at = max(0, len(layers) - 2)
                strangest.append(layers[at][int(low[modality][at].argmax())])
            else:
                strangest.append(torch.zeros(self._channels(modality), device=next(iter(scan.vectors.values()))[0].device))
        return Judged(heatmap, picture_score(heatmap), torch.cat(strangest))

    def _channels(self, modality: str) -> int:
        """Channels of the second-to-last layer, whose features stand for a scan's strangest spot."""
        from models.efficientnet_lite import TAPS

        return self._shapes.channels if modality == "points" else TAPS[self.strides[max(0, len(self.strides) - 2)]][1]

    def _rescored(
        self, plain: NDArray[np.float32], salient: Sequence[torch.Tensor], normal: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Scores (N,) averaged with those of scans with like strangest spots: the others, and the normals whose scores are given."""
        import torch

        from models.nearest import unit
        from tools.image.rescoring import rescored

        if len(plain) == 0:
            return plain
        known = self._salient[: len(normal)]
        return rescored(np.concatenate([plain, normal]), unit(torch.stack([*salient, *known])), self.rescoring)[: len(plain)]

    def _dealt(self, batch: Sequence[Sample]) -> list[list[int]]:
        """Indices of the batch in groups of about `partners`, random but the same for every order of the batch."""
        from tools.image.mutual_scores import dealt

        scans = [_checked(sample, self.spec.name) for sample in batch]
        contents = [(scan.name, scan.xyz.tobytes() + (b"" if scan.rgb is None else scan.rgb.tobytes())) for scan in scans]
        return dealt(contents, size=self.partners, seed=self.seed)


def _checked(sample: Sample, name: str) -> PointSample:
    """The scan; raises BadInput, in the name of the detector `name`, where it is none."""
    if not isinstance(sample, PointSample):
        raise BadInput(f"{name!r}: expected PointSample, got {type(sample).__name__}.")
    return sample
