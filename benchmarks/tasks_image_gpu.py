"""The photo systems on a CUDA device: the same table in fp16 (the default there) and in fp32, and how fast two published ones are.

Nothing is measured, and earlier results stay, where there is no such device. Metrics are those of the image suite; `image_systems` has the
same systems on a CPU beside their peers. The difference rows say how far fp16, and for some quick systems bf16, is from fp32, the largest
over the systems.

MuSc's scoring is timed on made-up features of the size of a ViT-L/14 at 518 pixels (37 × 37 cells, 1,024 numbers, four layers) with
the paper's settings (neighbourhoods 1, 3, 5, each layer and size by itself); CPR's on the photos' real features, its fast variant, from
features on the device to maps and scores on the device. What is in made-up features does not change the work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.datasets import PICTURE_SETS, cable_gland, picture_set
from benchmarks.rows import Row, measured
from benchmarks.tasks_image import Photos, fitted, loaded, scored
from benchmarks.tasks_image_systems import ALONE, FITTED
from core.errors import BadInput
from tools.catalog import catalogue
from tools.image.cascade import Cascade, picture_scores
from tools.image.cpr import CPR, STRANGEST
from tools.image.mutual_scores import lowest_mean, minima
from tools.image.neighbourhoods import averaged

if TYPE_CHECKING:
    import torch

FORMATS = ("fp16", "fp32")
COARSE = "bf16"
QUICK = ("patch_search", "gaussian")
"""Systems that are measured in bf16 too."""
EASY = ("mvtec_bottle",)
"""Sets whose photos every system ranks rightly: fp16 alone, and last."""
PHOTOS, CELLS, CHANNELS, LAYERS = 200, 37, 1024, 4
SIZES, SHARE = (1, 3, 5), 0.3
COMPARED = ("image_auroc", "pixel_ap", "pro", "aupimo")
AT_ONCE = (1, 8, 32)
REPEATS = 20


def rows(data: Path, *, quick: bool) -> Iterator[Row]:
    """The rows of this suite; `quick` takes every fourth photo of the smallest set and few made-up photos."""
    import torch

    if not torch.cuda.is_available():
        print("image_gpu: no CUDA device here, nothing is measured")
        return
    yield _mutual_scores(8 if quick else PHOTOS)
    sets = sorted(_sets(data, quick=quick), key=lambda photos: photos.listing.name in EASY)
    for photos in sets[:1]:
        yield from _cascade(photos)
    for photos in sets:
        easy = photos.listing.name in EASY
        apart: dict[str, dict[str, float]] = {}
        for method in (*ALONE, *FITTED):
            found = {number: _row(photos, method, number) for number in FORMATS[: 1 if easy else None]}
            if method in QUICK and not easy:
                found[COARSE] = _row(photos, method, COARSE)
            yield from found.values()
            for number in (number for number in found if number != FORMATS[1] and not easy):
                for name in COMPARED:
                    difference = abs(found[number].metrics[name] - found[FORMATS[1]].metrics[name])
                    most = apart.setdefault(number, {})
                    most[f"{name}_apart_lower"] = max(most.get(f"{name}_apart_lower", 0.0), difference)
        for number, most in apart.items():
            yield Row(
                data=photos.listing.name, method=f"{number} against {FORMATS[1]}", metrics=most, seconds=0, peak_mb=0,
                note=f"the most over {'the systems' if number == FORMATS[0] else ' and '.join(QUICK)}",
            )  # fmt: skip


def _sets(data: Path, *, quick: bool) -> Iterator[Photos]:
    for name in (*PICTURE_SETS[2:],) if quick else (*PICTURE_SETS, "mvtec3d_cable_gland"):
        try:
            known = name in PICTURE_SETS
            yield loaded(picture_set(data, name, every=4 if quick else 1) if known else cable_gland(data))
        except BadInput as error:
            print(f"image_gpu: {error}")


def _row(photos: Photos, method: str, number: str) -> Row:
    """A system with its defaults on the device, its network in one number format."""
    detector = catalogue().create(method, device=f"cuda/{number}")
    if method in ALONE:
        return photos.row(f"{method}, {number}", scored(detector, photos.test), note="no normals")
    return photos.row(
        f"{method}, {number}", fitted(detector, photos.normal, photos.test), seeds=(0,), note=f"{len(photos.normal)} normals"
    )


def _mutual_scores(count: int) -> Row:
    """MuSc's scoring of photos with the features of a large transformer."""
    import torch

    generator = torch.Generator("cuda").manual_seed(0)

    def once() -> None:
        for _ in range(LAYERS):
            shape = (count, CHANNELS, CELLS, CELLS)
            layer = torch.randn(shape, generator=generator, device="cuda", dtype=torch.float16)
            torch.cuda.synchronize()
            start = time.perf_counter()
            for size in SIZES:
                for table in minima([averaged(one.float(), size) for one in layer], exact=False):
                    lowest_mean(table, SHARE)
            torch.cuda.synchronize()
            spent.append(time.perf_counter() - start)

    spent: list[float] = []
    once()  # the first run also loads kernels
    spent.clear()
    once()
    total = sum(spent)
    return Row(
        data=f"{count} made-up photos", method="musc, scoring of ViT-L-sized features",
        metrics={"ms_per_photo_lower": 1000 * total / count},
        seconds=total, peak_mb=torch.cuda.max_memory_allocated() / 2**20, seeds=(0,),
        note=f"{LAYERS} layers, neighbourhoods {SIZES}, {CELLS}² cells of {CHANNELS}; peak is the device's",
    )  # fmt: skip


def _cascade(photos: Photos) -> Iterator[Row]:
    """CPR's fast variants, after the features."""
    import torch

    for width in (64, 16):
        detector = CPR(width=width, device="cuda").fit(photos.normal)
        cascade = detector._cascade
        assert cascade is not None
        found = [detector._features(detector._resized(sample.pixels)) for sample in photos.test]
        for count in AT_ONCE:
            batch = [torch.stack([one[level] for one in found[:count]]) for level in range(len(found[0]))]
            spent = _median(partial(_judge, cascade, batch))
            yield Row(
                data=photos.listing.name, method=f"cpr, width {width}, {count} at once, after features",
                metrics={"ms_per_photo_lower": 1000 * spent / count}, seconds=spent * REPEATS, peak_mb=0.0, seeds=(0,),
                note=f"{len(photos.normal)} normals, {detector.side} pixels; maps stay on the device",
            )  # fmt: skip


def _judge(cascade: Cascade, features: Sequence[torch.Tensor]) -> None:
    picture_scores(cascade.strangeness(features), STRANGEST)


def _median(call: Callable[[], object]) -> float:
    """Seconds of a call on the device, the median of REPEATS after three that are not counted."""
    import torch

    times = []
    for turn in range(REPEATS + 3):
        torch.cuda.synchronize()
        with measured() as cost:
            call()
            torch.cuda.synchronize()
        if turn >= 3:
            times.append(cost.seconds)
    return float(np.median(times))
