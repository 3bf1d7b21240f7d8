"""Around a finding in a photo: whether the photo as a whole, or the place of the finding, offers a harmless reason to stand out.

A photo is compared with the normal ones, or with those of its batch in which nothing was found: darker or brighter everywhere, less
sharp, or of another size than any of them. In all of them the place of the finding is left out, so that it cannot excuse itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.accounts.context import observed
from agent.investigation import Finding
from core.evidence import Box, Evidence, Region
from core.samples import ImageSample, shrink

MOST_COMPARED = 12
LEAST_COMPARED = 3
SIDE = 512
"""Pixels of the longer side at which light and sharpness are measured."""
DARKER = 10.0
"""Grey levels (of 255) beyond every compared photo from which a photo is called darker or brighter."""
BLURRED = 0.5
"""Sharpness, as a share of the least sharp compared photo, below which a photo is called blurred."""
WHITE, GLARE, TIMES = 250, 1 / 3, 3.0
"""A pixel is blown out when all its colours reach this; a region is when this share of it is, and so many times that of the rest."""
EDGE_PX = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Compared:
    """A photo to compare with: its pixels, shrunk, and its size (height, width)."""

    pixels: NDArray[np.uint8]
    size: tuple[int, int]

    @classmethod
    def of(cls, photo: ImageSample) -> Compared:
        """Keep what is needed of a photo."""
        return cls(pixels=shrink(photo.pixels, SIDE), size=photo.size)


@dataclass(frozen=True, kw_only=True)
class Look:
    """Median brightness (0–255) and sharpness (variance of the Laplacian) of a photo outside a place."""

    light: float
    sharp: float


def look(pixels: NDArray[np.uint8], without: Box = (0.0, 0.0, 0.0, 0.0)) -> Look:
    """Measure a photo (H, W, 3) uint8 RGB without a place, a box in shares (0–1) of its width and height.

    >>> look(np.full((20, 30, 3), 80, np.uint8)).light
    80.0
    """
    import cv2

    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    x0, y0, x1, y1 = (round(share * side) for share, side in zip(without, (width, height, width, height), strict=True))
    keep = np.ones(grey.shape, np.bool_)
    keep[y0:y1, x0:x1] = False
    keep = keep if keep.any() else ~keep
    edges = cv2.Laplacian(grey.astype(np.float32), cv2.CV_32F)
    return Look(light=float(np.median(grey[keep])), sharp=float(edges[keep].var()))


def around(photo: ImageSample, finding: Finding, compared: Sequence[Compared], *, normal: bool) -> list[Evidence]:
    """Unnumbered evidence of what may excuse a finding; `compared` are normal photos (`normal`) or unremarkable ones of the batch."""
    region = finding.evidence.locus
    if not isinstance(region, Region):
        return []
    found = [*_unlike(photo, region.box, compared, normal=normal), *_glare(photo.pixels, region.box), *_edge(photo, region.box)]
    return [observed("excuse", what, finding.evidence.source, region, facts) for what, facts in found]


def _unlike(
    photo: ImageSample, box: Box, compared: Sequence[Compared], *, normal: bool
) -> Iterator[tuple[str, dict[str, object]]]:
    """How the whole photo differs from all the others, in light, sharpness and size."""
    if len(compared) < LEAST_COMPARED:
        return
    height, width = photo.size
    place = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
    own, others = look(shrink(photo.pixels, SIDE), place), [look(other.pixels, place) for other in compared]
    against = {"compared": len(others), "normal": normal}
    lights = [other.light for other in others]
    if own.light < min(lights) - DARKER or own.light > max(lights) + DARKER:
        yield "light", {**against, "light": round(own.light), "lowest": round(min(lights)), "highest": round(max(lights)),
                        "brighter": own.light > max(lights)}  # fmt: skip
    least = min(other.sharp for other in others)
    if own.sharp < BLURRED * least:
        yield "blur", {**against, "sharp_percent": round(100 * own.sharp / least)}
    sizes = {other.size for other in compared}
    if photo.size not in sizes and len(sizes) == 1:
        (usual_height, usual_width), *_ = sizes
        yield "size", {**against, "width": width, "height": height, "usual_width": usual_width, "usual_height": usual_height}


def _glare(pixels: NDArray[np.uint8], box: Box) -> Iterator[tuple[str, dict[str, object]]]:
    """A region that is blown out far more than the rest of the photo: a reflection looks so."""
    x0, y0, x1, y1 = (int(v) for v in box)
    white = pixels.min(axis=2) >= WHITE
    inside = white[y0:y1, x0:x1]
    if not inside.size or inside.size == white.size:
        return
    share = float(inside.mean())
    rest = float(white.sum() - inside.sum()) / (white.size - inside.size)
    if share >= GLARE and share >= TIMES * rest:
        yield "glare", {"white_percent": round(100 * share), "rest_percent": round(100 * rest)}


def _edge(photo: ImageSample, box: Box) -> Iterator[tuple[str, dict[str, object]]]:
    """A region at the edge of the photo, where a part that is shifted in the picture stands out too."""
    height, width = photo.size
    x0, y0, x1, y1 = box
    touched = [side for side, at in (("left", x0 <= EDGE_PX), ("upper", y0 <= EDGE_PX), ("right", x1 >= width - EDGE_PX),
                                     ("lower", y1 >= height - EDGE_PX)) if at]  # fmt: skip
    if touched:
        yield "edge", {"edges": touched}
