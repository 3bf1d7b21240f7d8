"""Image suite: are odd photos ranked above good ones, are their defects found, and what does it cost.

Metrics: image AUROC over photos; pixel AP, PRO (up to 30 % false positives) and mean AUPIMO (from one false alarm in 100,000 pixels of
good photos to one in 10,000) over heatmaps at photo size, masks at grey > one half.
Every detector runs with its defaults, and peers search the same unit patch features of the same encoder as `patch_search`, in the same
run. Its resolution (384) was chosen on synthetic defects in held-out normal photos (magnetic_tile .755 against .744 at 320 pixels,
hazelnut_toy .955 against .965).
Trivial rows: chance, distance of the mean colour and of a 16×16 thumbnail to the nearest normal photo. Where one of them ranks
photos as well as a detector does, only the pixel metrics are evidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import PICTURE_SETS, PictureSet, picture_set
from benchmarks.rows import Row, measured
from core.detector import Detector
from core.errors import BadInput
from core.samples import ImageSample
from core.scores import ImageScore, Score
from metrics.pimo import aupimo, resolved, summary
from metrics.pro import pro
from metrics.ranking import auroc, average_precision
from models.patches import PatchEncoder
from tools.image.intrinsic import Intrinsic
from tools.image.musc import MuSc
from tools.image.patch_maps import patch_vectors, score_of
from tools.image.patch_search import PatchSearch

if TYPE_CHECKING:
    import torch

SEEDS = (0, 1, 2)
SHOTS = (1, 2, 4)
CROWDED = (0.1, 0.25, 0.5, 0.75)
BATCH = 20
"""Photos of a batch that judge each other, and shares of them that are defective."""
PIXEL_STEP = 2
"""Pixel AP uses each second pixel of each second row: the same maps, a quarter of the sorting."""
PEER_NORMALS = 24
"""Normal photos of the peers, which keep every patch or pick one by one; ours runs on the same photos beside them."""
PEER_SHARE = 0.1
"""Share of patches that the greedy coreset picks, as in the PatchCore paper."""
PROJECTED = 128
"""Dimensions of its random projection, likewise."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a method said about the test photos, and its cost."""

    scores: list[ImageScore]
    fit_s: float
    score_s: float
    peak_mb: float


@dataclass(frozen=True, kw_only=True)
class Photos:
    """A data set, loaded: so that reading files is nobody's cost."""

    listing: PictureSet
    normal: list[ImageSample]
    test: list[ImageSample]
    truths: list[NDArray[np.bool_]]

    def row(self, method: str, outcome: Outcome, *, seeds: tuple[int, ...] = (), note: str = "") -> Row:
        """Metrics and cost of one method."""
        heatmaps = [score.heatmap for score in outcome.scores]
        pixels = np.concatenate([h[::PIXEL_STEP, ::PIXEL_STEP].ravel() for h in heatmaps])
        strange = np.concatenate([t[::PIXEL_STEP, ::PIXEL_STEP].ravel() for t in self.truths])
        metrics = {
            "image_auroc": auroc(self.listing.labels, np.array([score.score for score in outcome.scores])),
            "pixel_ap": average_precision(strange, pixels),
            "pro": pro(self.truths, heatmaps),
            "aupimo": summary(aupimo(self.truths, heatmaps)).mean,
            "fit_s_lower": outcome.fit_s,
            "ms_per_photo_lower": 1000 * outcome.score_s / len(self.test),
        }
        seconds = outcome.fit_s + outcome.score_s
        coarse = "" if resolved(self.truths) else "few good photos: AUPIMO is coarse"
        return Row(
            data=self.listing.name,
            method=method,
            metrics=metrics,
            seconds=seconds,
            peak_mb=outcome.peak_mb,
            seeds=seeds,
            note="; ".join(part for part in (note, coarse) if part),
        )

    def trivial(self, method: str, scores: NDArray[np.float64], *, seeds: tuple[int, ...] = ()) -> Row:
        """A row that needs no detector."""
        metrics = {"image_auroc": auroc(self.listing.labels, scores)}
        return Row(data=self.listing.name, method=method, metrics=metrics, seconds=0, peak_mb=0, seeds=seeds, trivial=True)


def rows(data: Path, *, quick: bool) -> Iterator[Row]:
    """The rows of this suite; `quick` takes each fourth photo of the smallest set, and one few-shot draw."""
    later: list[tuple[Photos, Iterator[Row]]] = []
    for name in PICTURE_SETS[2:] if quick else PICTURE_SETS:  # the main rows of every set first, then what takes longer
        try:
            listing = picture_set(data, name, every=4 if quick else 1)
        except BadInput as error:
            print(f"image: {error}")
            continue
        photos = loaded(listing)
        yield from trivial(photos)
        searches = _searches(photos, quick=quick)
        yield next(searches)
        later.append((photos, searches))
    for _, searches in later:
        yield from searches
    for photos, _ in later:
        yield photos.row("musc, no normals", scored(MuSc(), photos.test))
        yield from _crowded(photos)
        yield photos.row("intrinsic, each photo alone", scored(Intrinsic(), photos.test))
        yield from _peers(photos)
        if photos.listing.name == "mvtec_bottle":
            yield from _growth(photos)


def loaded(listing: PictureSet) -> Photos:
    """The photos of a data set and their masks."""
    test = listing.tests()
    truths = [listing.truth(index, *sample.size) for index, sample in enumerate(test)]
    return Photos(listing=listing, normal=listing.normals(), test=test, truths=truths)


def trivial(photos: Photos) -> Iterator[Row]:
    """Rows that need no detector."""
    for seed in SEEDS:
        yield photos.trivial("random", np.random.default_rng(seed).random(len(photos.test)), seeds=(seed,))
    for method, size in (("mean colour, nearest normal", 1), ("16×16 thumbnail, nearest normal", 16)):
        normal, test = (np.stack([thumbnail(sample.pixels, size) for sample in part]) for part in (photos.normal, photos.test))
        distances = np.linalg.norm(test[:, None] - normal[None], axis=2).min(axis=1)
        yield photos.trivial(method, distances)


def thumbnail(pixels: NDArray[np.uint8], size: int) -> NDArray[np.float64]:
    """A photo averaged to size×size pixels, flat.

    >>> thumbnail(np.full((5, 9, 3), 7, np.uint8), 1).tolist()
    [7.0, 7.0, 7.0]
    """
    import cv2

    return np.asarray(cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA), dtype=np.float64).ravel()


def scored(detector: Detector, test: Sequence[ImageSample]) -> Outcome:
    """What a detector says without normals."""
    with measured() as cost:
        scores = _of_photos(detector.score(test))
    return Outcome(scores=scores, fit_s=0.0, score_s=cost.seconds, peak_mb=cost.peak_mb)


def fitted(detector: Detector, normal: Sequence[ImageSample], test: Sequence[ImageSample]) -> Outcome:
    """What a detector says after looking at normals."""
    with measured() as fit:
        detector.fit(normal)
    with measured() as score:
        scores = _of_photos(detector.score(test))
    return Outcome(scores=scores, fit_s=fit.seconds, score_s=score.seconds, peak_mb=score.peak_mb)


def _of_photos(scores: Sequence[Score]) -> list[ImageScore]:
    return [score for score in scores if isinstance(score, ImageScore)]


def _searches(photos: Photos, *, quick: bool) -> Iterator[Row]:
    normal, test = photos.normal, photos.test
    yield photos.row("patch_search, all normals", fitted(PatchSearch(), normal, test), seeds=(0,), note=f"{len(normal)} normals")
    for shots in SHOTS[:1] if quick else SHOTS:
        for seed in SEEDS[:1] if quick else SEEDS:
            drawn = np.random.default_rng(seed).choice(len(normal), shots, replace=False)
            outcome = fitted(PatchSearch(), [normal[int(index)] for index in drawn], test)
            yield photos.row(f"patch_search, {shots}-shot", outcome, seeds=(seed,))


def _crowded(photos: Photos) -> Iterator[Row]:
    """What becomes of photos that judge each other when ever more of them are defective."""
    odd, good = (np.flatnonzero(photos.listing.labels == label) for label in (1, 0))
    for share in CROWDED:
        parts = []
        for seed in SEEDS:
            rng = np.random.default_rng(seed)
            count = round(share * BATCH)
            if count > len(odd) or BATCH - count > len(good) + len(photos.normal):
                return
            chosen = rng.choice(odd, count, replace=False)
            fine = [photos.test[int(i)] for i in good] + photos.normal
            batch = [photos.test[int(i)] for i in chosen]
            batch += [fine[int(i)] for i in rng.choice(len(fine), BATCH - count, replace=False)]
            outcome = scored(MuSc(), batch)
            parts.append((auroc(np.arange(BATCH) < count, np.array([score.score for score in outcome.scores])), outcome))
        metrics = {"image_auroc": float(np.mean([ranked for ranked, _ in parts]))}
        yield Row(
            data=f"{photos.listing.name}, {100 * share:.0f} % defective", method=f"musc, {BATCH} photos, no normals", metrics=metrics,
            seconds=sum(outcome.score_s for _, outcome in parts), peak_mb=parts[-1][1].peak_mb, seeds=SEEDS,
        )  # fmt: skip


def _peers(photos: Photos) -> Iterator[Row]:
    """The same search done plainly, on the same features: every patch by scikit-learn, and PatchCore's greedy coreset."""
    normal, encoder = photos.normal[:PEER_NORMALS], PatchEncoder(side=PatchSearch().side)
    bank = round(PEER_SHARE * sum(int(np.prod(encoder.grid(*sample.size))) for sample in normal))
    few = f"{len(normal)} normals"
    outcome = fitted(PatchSearch(bank=bank, augment=False), normal, photos.test)
    yield photos.row("patch_search, 10 % of the patches", outcome, seeds=(0,), note=few)
    yield photos.row(
        "peer: greedy k-centre coreset (PatchCore), 10 %", _peer(normal, photos.test, greedy=True), seeds=(0,), note=few
    )
    yield photos.row("peer: scikit-learn brute force, every patch", _peer(normal, photos.test, greedy=False), note=few)


def _peer(normal: Sequence[ImageSample], test: Sequence[ImageSample], *, greedy: bool) -> Outcome:
    import torch
    from sklearn.neighbors import NearestNeighbors

    encoder = PatchEncoder(side=PatchSearch().side)
    with measured() as fit:
        points = torch.cat([patch_vectors(encoder, sample.pixels).flatten(0, 1) for sample in normal])
        chosen = greedy_coreset(points, round(PEER_SHARE * len(points))) if greedy else points
        search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(chosen.cpu().numpy())
    scores = []
    with measured() as cost:
        for sample in test:
            vectors = patch_vectors(encoder, sample.pixels)
            found = search.kneighbors(vectors.flatten(0, 1).cpu().numpy())[0]
            scores.append(score_of(sample.name, encoder, found.reshape(vectors.shape[:2]), sample.pixels))
    return Outcome(scores=scores, fit_s=fit.seconds, score_s=cost.seconds, peak_mb=cost.peak_mb)


def greedy_coreset(points: torch.Tensor, size: int, *, seed: int = 0) -> torch.Tensor:
    """Roth et al. (CVPR 2022), algorithm 1: the point farthest from all picked ones, again and again, in a random projection."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    projection = torch.randn(points.shape[1], PROJECTED, generator=generator) / PROJECTED**0.5
    low = points.cpu() @ projection
    pick = int(torch.randint(len(low), (1,), generator=generator))
    nearest = torch.full((len(low),), float("inf"))
    picked = []
    for _ in range(size):
        picked.append(pick)
        nearest = nearest.minimum((low - low[pick]).square().sum(dim=1))
        pick = int(nearest.argmax())
    return points[picked]


def _growth(photos: Photos) -> Iterator[Row]:
    """Does cost grow linearly: one, two and four times the normal and the test photos."""
    for times in (1, 2, 4):
        normal, test = photos.normal[: 50 * times], photos.test[: 20 * times]
        outcome = fitted(PatchSearch(), normal, test)
        metrics = {
            "fit_ms_per_normal_lower": 1000 * outcome.fit_s / len(normal),
            "ms_per_photo_lower": 1000 * outcome.score_s / len(test),
        }
        yield Row(
            data="mvtec_bottle, cost", method=f"patch_search, {times}×", metrics=metrics, seconds=outcome.fit_s + outcome.score_s,
            peak_mb=outcome.peak_mb, seeds=(0,), note=f"{len(normal)} normals, {len(test)} photos; memory is the run's highest so far",
        )  # fmt: skip
