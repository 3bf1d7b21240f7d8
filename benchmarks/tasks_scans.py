"""3D scans: shape, colour and both, without and with normal scans, beside the same scans judged by their pictures alone.

MVTec 3D-AD's cable gland (13 normal, 16 test scans here): a part that lies differently in each scan, so few that one scan is .08 image
AUROC. Twelve of the sixteen are defective, which asks much of scans that judge each other, and mean colour alone ranks its photos (see the
image systems): read the pixel metrics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.datasets import cable_gland
from benchmarks.rows import Row, measured
from benchmarks.tasks_image import Outcome, Photos, loaded, scored
from core.errors import BadInput
from core.samples import PointSample
from core.scores import ImageScore
from readers.image import inspect
from readers.points import Scan, read_scan
from tools.image.musc import MuSc
from tools.image.musc_v2 import MODES, MuScV2


def rows(data: Path, *, quick: bool) -> Iterator[Row]:
    """The rows of this suite; `quick` judges shapes alone."""
    try:
        photos = loaded(cable_gland(data))
    except BadInput as error:
        print(f"scans: {error}")
        return
    normal, test = (_scans(part) for part in (photos.listing.train, photos.listing.test))
    for mode in ("points",) if quick else MODES:
        yield _row(photos, MuScV2(mode=mode), [], test, f"musc_v2, {mode}, no normals")
        yield _row(photos, MuScV2(mode=mode).fit(normal), normal, test, f"musc_v2, {mode}")
    if not quick:
        yield _row(photos, MuScV2(enhance=True), [], test, "musc_v2, both, enhanced, no normals")
        yield photos.row("musc on the pictures, no normals", scored(MuSc(), photos.test))


def _row(photos: Photos, detector: MuScV2, normal: Sequence[PointSample], test: Sequence[PointSample], method: str) -> Row:
    with measured() as cost:
        scores = [score for score in detector.score(test) if isinstance(score, ImageScore)]
    outcome = Outcome(scores=scores, fit_s=0.0, score_s=cost.seconds, peak_mb=cost.peak_mb)
    return photos.row(method, outcome, seeds=(0,), note=f"{len(normal)} normals" if normal else "")


def _scans(pictures: Sequence[Path]) -> list[PointSample]:
    """The scans that belong to pictures …/rgb/NUMBER.png, with their colours."""
    found = []
    for picture in pictures:
        path = picture.parents[1] / "xyz" / f"{picture.stem}.tiff"
        colours = inspect(picture, picture.name, "png")
        found.append(read_scan(Scan(path=path, name=f"{picture.parents[1].name}/{picture.stem}", form="tiff", picture=colours)))
    return found
