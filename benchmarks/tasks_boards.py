"""Printed boards with their golden template: one normal photo of exactly the same thing, and many small defects in the other.

DeepPCB (40 pairs of 640 × 640 black and white pixels, aligned; boxes of defects, most of them drawn by the data's authors). Truth is all
pixels of the boxes, which no method fills: pixel AP ranks methods and is no share of defects found. A pixel-wise difference is the
trivial row, since the pairs are aligned and binary; what it cannot do is a template that lies otherwise. So each method also gets the
template moved by some pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import folder, read_picture
from benchmarks.rows import Row, measured
from core.errors import BadInput
from core.samples import ImageSample
from metrics.pro import pro
from metrics.ranking import average_precision
from tools.catalog import catalogue

SIDE = 640
MOVED = (0, 6)
"""Pixels that the template is moved by, to the right and down."""
STEP = 2
METHODS: tuple[tuple[str, dict[str, object]], ...] = (
    ("patch_search", {"side": SIDE, "augment": False}),
    ("vision_ad", {"side": SIDE}),
    ("cpr", {"side": SIDE, "steps": 0}),
)


@dataclass(frozen=True)
class Pair:
    """A template, the board beside it, and which of its pixels lie in a defect's box."""

    template: ImageSample
    board: ImageSample
    truth: NDArray[np.bool_]


def rows(data: Path, *, quick: bool) -> Iterator[Row]:
    """The rows of this suite; `quick` takes four pairs and the search alone."""
    try:
        found = list(pairs(data))[:: 10 if quick else 1]
    except BadInput as error:
        print(f"boards: {error}")
        return
    for moved in MOVED:
        name = "deeppcb" if not moved else f"deeppcb, template moved by {moved} px"
        yield _row(name, "difference of pixels", found, moved, _difference, trivial=True)
        for method, parameters in METHODS[:1] if quick else METHODS:

            def searched(template: ImageSample, board: ImageSample) -> NDArray[np.float32]:
                score = catalogue().create(method, **parameters).fit([template]).score([board])[0]  # noqa: B023
                return np.asarray(score.heatmap, dtype=np.float32)  # type: ignore[union-attr]

            yield _row(name, method, found, moved, searched)


def pairs(data: Path) -> Iterator[Pair]:
    """All pairs.

    Raises:
        BadInput: the set is not there.
    """
    for template in sorted((folder(data, "deeppcb") / "PCBData").glob("*/*/*_temp.jpg")):
        number = template.name.removesuffix("_temp.jpg")
        board = read_picture(template.with_name(f"{number}_test.jpg"))
        truth = np.zeros(board.size, dtype=np.bool_)
        boxes = template.parents[1] / f"{template.parent.name}_not" / f"{number}.txt"
        for line in boxes.read_text(encoding="utf-8").splitlines():
            left, top, right, bottom = (int(value) for value in line.split()[:4])
            truth[top:bottom, left:right] = True
        yield Pair(read_picture(template), board, truth)


def _difference(template: ImageSample, board: ImageSample) -> NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    apart = np.abs(template.pixels.astype(np.float32) - board.pixels.astype(np.float32)).mean(axis=2)
    return np.asarray(gaussian_filter(apart, 4), dtype=np.float32)


def _row(
    data: str, method: str, found: Sequence[Pair], moved: int, judge: Callable[[ImageSample, ImageSample], NDArray[np.float32]],
    *, trivial: bool = False,
) -> Row:  # fmt: skip
    with measured() as cost:
        maps = []
        for pair in found:
            pixels = np.roll(pair.template.pixels, (moved, moved), axis=(0, 1))
            maps.append(judge(ImageSample(name="template", pixels=pixels), pair.board))
    strange = np.concatenate([pair.truth[::STEP, ::STEP].ravel() for pair in found])
    values = np.concatenate([heat[::STEP, ::STEP].ravel() for heat in maps])
    metrics = {
        "pixel_ap": average_precision(strange, values),
        "pro": pro([pair.truth for pair in found], maps),
        "ms_per_board_lower": 1000 * cost.seconds / len(found),
    }
    return Row(
        data=data, method=method, metrics=metrics, seconds=cost.seconds, peak_mb=cost.peak_mb, seeds=() if trivial else (0,),
        trivial=trivial, note=f"{len(found)} pairs, each its own template",
    )  # fmt: skip
