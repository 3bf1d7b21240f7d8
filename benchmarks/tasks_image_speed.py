"""How fast the photo systems are, each beside a reference on the same features or heatmaps in the same run: ratios, not seconds, count.

MuSc's scoring stands beside the paper's formula as its authors compute it (each layer and neighbourhood size by itself, every pair of
photos twice, the lowest 30 % of the other photos), written down once more here in its plainest form; AUPIMO beside anomalib's, where that
is installed (`benchmarks.peers`). Order alternates and the better of two runs counts, as other work on the machine disturbs both alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks import peers
from benchmarks.datasets import picture_set
from benchmarks.rows import Row, measured
from core.errors import BadInput
from core.samples import ImageSample
from metrics.pimo import aupimo
from models.patches import PatchEncoder
from tools.image.musc import MuSc
from tools.image.mutual_stream import MutualStream
from tools.image.neighbourhoods import NeighbourhoodEncoder

if TYPE_CHECKING:
    import torch

SIDE = 320
SIZES, STRIDES, SHARE = (1, 3, 5), (8, 16), 0.3
"""The paper's neighbourhoods and share, on two layers of the embedded network."""
BANK, STREAMED = 100, 20
GROWTH = (25, 50, 100, 200)
REFERENCE = 40
"""Photos that the plain formula compares: at 83 it takes minutes."""
REPEATS = 2


def rows(data: Path, *, quick: bool) -> Iterator[Row]:
    """The rows of this suite; `quick` takes a few photos."""
    try:
        listing = picture_set(data, "mvtec_bottle", every=8 if quick else 1)
    except BadInput as error:
        print(f"image_speed: {error}")
        return
    photos = [*listing.tests(), *listing.normals()]
    yield _features(photos[: 8 if quick else 40])
    yield from _formula(photos[: 6 if quick else REFERENCE])
    yield from _growth(photos, (4, 8) if quick else GROWTH)
    yield _stream(photos, *((6, 3) if quick else (BANK, STREAMED)))
    yield from _pimo(listing.tests(), [listing.truth(i, *photo.pixels.shape[:2]) for i, photo in enumerate(listing.tests())])


def _row(method: str, metrics: dict[str, float], seconds: float, *, note: str, trivial: bool = False) -> Row:
    with measured() as cost:
        pass
    return Row(
        data="mvtec_bottle", method=method, metrics=metrics, seconds=seconds, peak_mb=cost.peak_mb, seeds=(0,), note=note, trivial=trivial
    )  # fmt: skip


def _features(photos: Sequence[ImageSample]) -> Row:
    encoder = PatchEncoder(side=SIDE)
    encoder.encode([photos[0].pixels])
    with measured() as cost:
        for photo in photos:
            encoder.encode([photo.pixels])
    each = 1000 * cost.seconds / len(photos)
    return _row(
        "embedded features, photo by photo", {"ms_per_photo_lower": each}, cost.seconds, note=f"{SIDE} pixels, torch, CPU"
    )


def _formula(photos: Sequence[ImageSample]) -> Iterator[Row]:
    """The plain formula and MuSc's own search, with the paper's settings, on the same features."""
    encoder = NeighbourhoodEncoder(side=SIDE, strides=STRIDES, sizes=SIZES, merged=False)
    maps = [encoder.maps(photo.pixels)[0] for photo in photos]
    streams = [[encoder.vectors(own, stream) for own in maps] for stream in range(len(encoder.streams))]
    ours = MuSc(side=SIDE, strides=STRIDES, neighbourhoods=SIZES, share=SHARE)
    with measured() as encoding:
        for photo in photos:
            encoder.maps(photo.pixels)

    def plainly() -> None:
        for vectors in streams:
            plain_scores(vectors, SHARE)

    times = _alternately(plainly, lambda: ours.score(photos))
    spent = max(times[1] - encoding.seconds, 1e-9)
    note = f"{len(photos)} photos, neighbourhoods {SIZES}, strides {STRIDES}, lowest {SHARE:.0%}"
    yield _row("the formula, plainly", {"scoring_s_lower": times[0]}, times[0], note=note, trivial=True)
    yield _row("musc, the paper's settings", {"scoring_s_lower": spent, "times_faster": times[0] / spent}, spent, note=note)


def plain_scores(photos: Sequence[torch.Tensor], share: float) -> torch.Tensor:
    """Mutual scores (N, P) of photos' patches (P, C): to each other photo the nearest patch, then the mean of the lowest share.

    >>> import torch
    >>> same = torch.eye(2)
    >>> plain_scores([same, same, torch.tensor([[1.0, 0.0], [1.0, 0.0]])], 0.5).tolist()
    [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    import torch

    found = []
    for number, own in enumerate(photos):
        others = [theirs for other, theirs in enumerate(photos) if other != number]
        nearest = torch.stack([torch.cdist(own[None], theirs[None])[0].amin(dim=1) for theirs in others])
        found.append(nearest.topk(max(1, int(share * len(others))), dim=0, largest=False).values.mean(dim=0))
    return torch.stack(found)


def _alternately(*calls: Callable[[], object]) -> list[float]:
    """Seconds of each call, the better of `REPEATS` runs in turn."""
    best = [float("inf")] * len(calls)
    for turn in range(REPEATS):
        for index in range(len(calls)) if turn % 2 == 0 else reversed(range(len(calls))):
            start = time.perf_counter()
            calls[index]()
            best[index] = min(best[index], time.perf_counter() - start)
    return best


def _growth(photos: Sequence[ImageSample], sizes: Sequence[int]) -> Iterator[Row]:
    """The default settings on more and more photos compared at once."""
    for count in sizes:
        batch = [photos[i % len(photos)] for i in range(count)]
        detector = MuSc(side=SIDE, partners=max(sizes))
        with measured() as cost:
            detector.score(batch)
        yield _row(
            f"musc, {count} photos at once", {"ms_per_photo_lower": 1000 * cost.seconds / count}, cost.seconds,
            note="features included; memory is the run's highest so far",
        )  # fmt: skip


def _stream(photos: Sequence[ImageSample], bank: int, streamed: int) -> Row:
    """A running line: photo after photo against the last ones."""
    stream = MutualStream(side=SIDE, bank=bank)
    for number in range(bank):
        stream.score_next(photos[number % len(photos)])
    encoder = PatchEncoder(side=SIDE, strides=STRIDES)
    whole, encoding = [], []
    for number in range(bank, bank + streamed):
        photo = photos[number % len(photos)]
        with measured() as cost:
            stream.score_next(photo)
        whole.append(cost.seconds)
        with measured() as cost:
            encoder.taps([photo.pixels])
        encoding.append(cost.seconds)
    total, features = 1000 * float(np.median(whole)), 1000 * float(np.median(encoding))
    return _row(
        f"musc, a stream against the last {bank}", {"scoring_ms_lower": total - features, "with_features_ms_lower": total},
        sum(whole), note=f"median of {streamed} photos",
    )  # fmt: skip


def _pimo(photos: Sequence[ImageSample], truths: Sequence[NDArray[np.bool_]]) -> Iterator[Row]:
    """AUPIMO of made-up heatmaps of the test photos' sizes: what is in them does not change the work."""
    rng = np.random.default_rng(0)
    heatmaps = [rng.standard_normal(truth.shape, dtype=np.float32) + 3 * truth.astype(np.float32) for truth in truths]
    note = f"{len(photos)} heatmaps of {heatmaps[0].shape[1]} × {heatmaps[0].shape[0]} pixels"
    if not peers.installed():
        (spent,) = _alternately(lambda: aupimo(truths, heatmaps))
        yield _row("AUPIMO, exact", {"seconds_lower": spent}, spent, note=f"{note}; anomalib is not installed")
        return
    import torch
    from anomalib.metrics.pimo.functional import aupimo_scores

    maps, masks = torch.from_numpy(np.stack(heatmaps)), torch.from_numpy(np.stack(truths))
    theirs, ours = _alternately(lambda: aupimo_scores(maps, masks), lambda: aupimo(truths, heatmaps))
    apart = np.nanmax(np.abs(aupimo_scores(maps, masks)[4].numpy() - aupimo(truths, heatmaps)))
    yield _row("peer: anomalib AUPIMO, 300,000 thresholds", {"seconds_lower": theirs}, theirs, note=note)
    yield _row(
        "AUPIMO, exact", {"seconds_lower": ours, "times_faster": theirs / ours}, ours, note=f"{note}; at most {apart:.1e} apart"
    )
