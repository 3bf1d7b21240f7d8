"""Image systems side by side: every published system of the catalogue on the same photos, with the same metrics, in one run.

Metrics and trivial rows are those of the image suite. Every system runs with its defaults on the embedded network; what they were
chosen on stands in each module's header and was never a test photo. Systems that learn have seed 0 alone here, because a row takes
minutes. Published implementations on the same features stand below ours (`benchmarks.peers`). `mvtec3d_cable_gland` is judged by its
colour pictures (13 normal, 16 test): a difference of one photo is .08 AUROC.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks import peers
from benchmarks.datasets import PICTURE_SETS, cable_gland, picture_set
from benchmarks.rows import Row
from benchmarks.tasks_image import Photos, fitted, loaded, scored, trivial
from core.errors import BadInput
from tools.catalog import catalogue

FITTED = ("consensus", "patch_search", "vision_ad", "gaussian", "fastflow", "inp_former", "cpr")
"""Systems that look at normal photos, the quick ones first."""
ALONE = ("musc",)
"""Systems that compare the test photos with each other."""
QUICK = ("consensus", "patch_search", "vision_ad", "gaussian")


def rows(data: Path, *, quick: bool) -> Iterator[Row]:
    """The rows of this suite; `quick` takes each fourth photo of one set and the systems that take seconds."""
    sets: list[Photos] = []
    for name in PICTURE_SETS[2:] if quick else PICTURE_SETS:
        try:
            sets.append(loaded(picture_set(data, name, every=4 if quick else 1)))
        except BadInput as error:
            print(f"image_systems: {error}")
    if not quick:
        try:
            sets.append(loaded(cable_gland(data)))
        except BadInput as error:
            print(f"image_systems: {error}")
    for photos in sets:
        yield from trivial(photos)
    for method in (*ALONE, *(QUICK if quick else FITTED)):
        for photos in sets:
            detector = catalogue().create(method)
            if method in ALONE:
                yield photos.row(f"{method}, no normals", scored(detector, photos.test))
            else:
                yield photos.row(
                    method, fitted(detector, photos.normal, photos.test), seeds=(0,), note=f"{len(photos.normal)} normals"
                )
    if not quick:
        yield from peers.rows(sets)
