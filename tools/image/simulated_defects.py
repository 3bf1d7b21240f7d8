"""Defects made by cutting and pasting between normal photos, with mask, description and questions with their answers.

A piece of a normal photo (a blob or a scratch, gamma-distributed in size) is turned, mirrored, changed in contrast and set into another
normal photo, by Poisson blending (its gradients, the surroundings' colours), mixed blending (the stronger gradient wins) or a soft
plain paste. Sources: Li et al., CutPaste (CVPR 2021); Schlüter et al., Natural Synthetic Anomalies (NSA, ECCV 2022); Pérez et al.,
Poisson Image Editing (SIGGRAPH 2003), as `cv2.seamlessClone`; generated texts after Gu et al., AnomalyGPT (AAAI 2024). The texts are ours.

Axes and units: photos (H, W, 3) uint8; masks (H, W) bool, True only where pixels really changed, so that a paste nobody can see is no
defect; `share` is a part of the photo's pixels, 0 to 1. Everything follows from the seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput

Blending: TypeAlias = Literal["poisson", "mixed", "paste"]
Pixels: TypeAlias = NDArray[np.uint8]
Mask: TypeAlias = NDArray[np.bool_]

CELLS = (
    "upper left", "top middle", "upper right", "middle left", "centre", "middle right",
    "lower left", "bottom middle", "lower right",
)  # fmt: skip
"""Places of a 3×3 grid, row by row."""
PRESENCE = "Is there a defect?"
PLACE = "Where is the defect?"
NUMBER = "How many defects are there?"
VISIBLE = 14
"""Grey levels by which a pixel, in its most changed colour, must differ to be part of a defect."""
CHANGED = 0.35
"""Least part of a pasted shape that must visibly change."""
ON_OBJECT = 0.6
"""Least part of a shape that must lie on the object, where the photo has a plain background."""
TRIES = 8
SMALLEST = 8
"""Photos of fewer pixels along an edge get a stained rectangle: there is nothing to cut from them."""
MARGIN = 6
BLENDINGS: tuple[Blending, ...] = ("poisson", "poisson", "mixed", "paste")
"""What is drawn from: half of all pastes are Poisson-blended."""


@dataclass(frozen=True, kw_only=True)
class Spot:
    """One simulated defect: its place in words, the part of the photo it covers (0–1), and how it was blended in."""

    place: str
    share: float
    blending: Blending


@dataclass(frozen=True, kw_only=True, eq=False)
class Simulated:
    """A photo with zero or more simulated defects; `source` is the number of the normal photo it was made from."""

    pixels: Pixels
    mask: Mask
    spots: tuple[Spot, ...]
    source: int

    @property
    def description(self) -> str:
        """One sentence on what is to be seen.

        >>> mask = np.zeros((4, 4), np.bool_)
        >>> Simulated(pixels=np.zeros((4, 4, 3), np.uint8), mask=mask, spots=(), source=0).description
        'No defect: the whole surface looks as it should.'
        """
        if not self.spots:
            return "No defect: the whole surface looks as it should."
        said = [f"{spot.place}, covering {max(0.1, 100 * spot.share):.1f} % of the picture" for spot in self.spots]
        return f"{_number(len(said))} defect{'s' * (len(said) > 1)}: {'; '.join(said)}."

    @property
    def dialogue(self) -> tuple[tuple[str, str], ...]:
        """Questions with their answers: presence, number, and the place where there is one."""
        if not self.spots:
            return ((PRESENCE, "No."), (NUMBER, "None."))
        places = " and ".join(dict.fromkeys(spot.place for spot in self.spots))
        return (
            (PRESENCE, "Yes."),
            (NUMBER, f"{_number(len(self.spots))}."),
            (PLACE, f"{places[0].upper()}{places[1:]}."),
        )


def simulate(
    normal: Sequence[Pixels], *, count: int, seed: int = 0, clean: float = 0.5, most: int = 2,
    blendings: Sequence[Blending] = BLENDINGS,
) -> list[Simulated]:  # fmt: skip
    """Make `count` photos from normal ones; about `clean` of them stay as they are, the others get one to `most` defects.

    Photo i is made from normal photo i modulo their number, so every normal photo is used alike.

    Args:
        normal: photos (H, W, 3) uint8, of any sizes.
        count: photos to make.
        seed: everything follows from it; a photo does not depend on `count`.
        clean: share of photos without a defect, 0 to 1.
        most: most defects in one photo.
        blendings: what each paste draws from.

    Raises:
        BadInput: no photo, not (H, W, 3) uint8, or a number out of range.

    >>> cloth = (np.indices((64, 64)).sum(0)[..., None] % 12 * 14 + np.zeros(3)).astype(np.uint8)
    >>> made = simulate([cloth], count=4, seed=1, clean=0.5)
    >>> [bool(photo.mask.any()) == bool(photo.spots) for photo in made]
    [True, True, True, True]
    """
    if not normal or count < 1 or most < 1 or not 0 <= clean <= 1 or not blendings:
        raise BadInput(
            f"{len(normal)} photos, count={count!r}, most={most!r}, clean={clean!r}, blendings={blendings!r}: expected at least one "
            "photo, counts from 1, clean from 0 to 1 and one way to blend."
        )
    for number, pixels in enumerate(normal):
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
            raise BadInput(f"photo {number}: expected shape (H, W, 3) of uint8, got {pixels.shape} of {pixels.dtype.name}.")
    objects: dict[int, Mask] = {}
    made = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        source = index % len(normal)
        before = normal[source]
        if source not in objects:
            objects[source] = foreground(before)
        pixels, mask, spots = before.copy(), np.zeros(before.shape[:2], np.bool_), []
        wanted = 0 if rng.random() < clean else int(rng.integers(1, most + 1))
        for _ in range(wanted):
            giver = normal[int(rng.integers(len(normal)))]
            defect = _defect(pixels, giver, objects[source], _widened(mask), rng, blendings)
            if defect is None:  # no room left beside the first
                break
            pixels, changed, blending = defect
            spots.append(Spot(place=place_of(changed), share=float(changed.mean()), blending=blending))
            mask |= changed
        made.append(Simulated(pixels=pixels, mask=mask, spots=tuple(spots), source=source))
    return made


def _number(count: int) -> str:
    return {1: "One", 2: "Two", 3: "Three"}.get(count, str(count))


def place_of(mask: Mask) -> str:
    """The cell of a 3×3 grid that holds the middle of a mask (H, W).

    >>> mask = np.zeros((9, 9), np.bool_)
    >>> mask[0, 8] = True
    >>> place_of(mask)
    'upper right'
    """
    rows, columns = np.nonzero(mask)
    row, column = (min(2, int(3 * (part.mean() + 0.5) / size)) for part, size in zip((rows, columns), mask.shape, strict=True))
    return CELLS[3 * row + column]


def foreground(pixels: Pixels) -> Mask:
    """Where the object is (H, W), if the photo's rim is one plain colour; else everywhere.

    >>> pixels = np.full((40, 40, 3), 250, np.uint8)
    >>> pixels[10:30, 10:30] = 40
    >>> int(foreground(pixels).sum()), bool(foreground(np.indices((40, 40, 3)).sum(0).astype(np.uint8) * 3).all())
    (400, True)
    """
    import cv2
    from scipy.ndimage import binary_fill_holes

    rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]).astype(np.int16)
    background = np.median(rim, axis=0)
    everywhere = np.ones(pixels.shape[:2], np.bool_)
    if (np.abs(rim - background).max(axis=1) > 2 * VISIBLE).mean() > 0.1:
        return everywhere
    away = (np.abs(pixels.astype(np.int16) - background).max(axis=2) > 2 * VISIBLE).astype(np.uint8)
    clean = cv2.morphologyEx(away, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    found = np.asarray(binary_fill_holes(clean), dtype=np.bool_)
    return found if 0.05 < found.mean() < 0.97 else everywhere


def _defect(
    before: Pixels, giver: Pixels, on: Mask, taken: Mask, rng: np.random.Generator, blendings: Sequence[Blending]
) -> tuple[Pixels, Mask, Blending] | None:
    """One more defect off the `taken` places: the photo with it, where it changed, how it was blended; a stain if no paste is seen."""
    height, width = before.shape[:2]
    first = blendings[int(rng.integers(len(blendings)))]
    large_enough = min(height, width, *giver.shape[:2]) >= SMALLEST
    for number in range(TRIES if large_enough else 0):
        # On plain surfaces blended pieces often vanish; a few tries keep them from being crowded out by plain pastes.
        blending = first if number < TRIES // 2 else blendings[int(rng.integers(len(blendings)))]
        shape = _shape(height, width, rng)
        top, left = (int(rng.integers(0, whole - part + 1)) for whole, part in zip(before.shape, shape.shape, strict=False))
        window = (slice(top, top + shape.shape[0]), slice(left, left + shape.shape[1]))
        if on[window][shape].mean() < ON_OBJECT or taken[window][shape].any():
            continue
        piece = _piece(giver, shape.shape[0], shape.shape[1], rng, strength=1.0 if blending == "paste" else 2.0)
        blended = _blend(before[window], piece, shape, blending)
        changed = _changed(before[window], blended)
        if changed[shape].mean() >= CHANGED:
            after, mask = before.copy(), np.zeros((height, width), np.bool_)
            after[window], mask[window] = blended, changed
            return after, mask, blending
    return _stain(before, on & ~taken, rng)


def _stain(before: Pixels, on: Mask, rng: np.random.Generator) -> tuple[Pixels, Mask, Blending] | None:
    """A blob on the object made much darker, or lighter where it is dark: always to be seen. None where nothing is left."""
    rows, columns = np.nonzero(on)
    if not len(rows):
        return None
    middle = int(rng.integers(len(rows)))
    radius = max(0.5, 0.08 * min(before.shape[:2]))
    down, across = np.indices(before.shape[:2])
    shape = ((down - rows[middle]) ** 2 + (across - columns[middle]) ** 2 <= radius**2) & on
    after = before.copy()
    after[shape] = (before[shape] * 0.35 if before[shape].mean() > 100 else before[shape] * 0.5 + 110).astype(np.uint8)
    changed = _changed(before, after)
    return (after, changed, "paste") if changed.any() else None


def _widened(mask: Mask) -> Mask:
    """A mask and the pixels near it: two defects that touch would be counted as one."""
    import cv2

    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)), dtype=np.bool_)


def _changed(before: Pixels, after: Pixels) -> Mask:
    """Where the change is seen (h, w), pinholes filled where anything changed at all."""
    import cv2
    from scipy.ndimage import binary_fill_holes

    step = np.abs(after.astype(np.int16) - before.astype(np.int16)).max(axis=2)
    closed = cv2.morphologyEx((step > VISIBLE).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    return np.asarray(binary_fill_holes(closed) & (step > 0), dtype=np.bool_)


def _shape(height: int, width: int, rng: np.random.Generator) -> Mask:
    """A blob or a scratch in its bounding box, with a free rim of one pixel."""
    import cv2

    edge = min(height, width)
    size = float(np.clip(rng.gamma(2.0, 0.055) + 0.03, 0.04, 0.35)) * edge
    high = int(np.clip(size * rng.uniform(0.6, 1.6), 5, edge - 2))
    wide = int(np.clip(size * rng.uniform(0.6, 1.6), 5, edge - 2))
    canvas = np.zeros((high + 2, wide + 2), np.uint8)
    if rng.random() < 0.3:
        at = np.linspace(0, 1, 12)
        bend = rng.uniform(-0.3, 0.3) * np.sin(np.pi * at)
        line = np.stack([1 + (wide - 1) * at, 1 + (high - 1) * np.clip(at + bend, 0, 1)], axis=1)
        line = line if rng.random() < 0.5 else np.stack([wide + 1 - line[:, 0], line[:, 1]], axis=1)
        thick = max(1, round(size * rng.uniform(0.06, 0.16)))
        cv2.polylines(canvas, [line.round().astype(np.int32)], False, 1, thickness=thick)
    else:
        angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        waves = sum(rng.normal(0, 0.16 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(2, 6))
        radius = np.clip(0.85 + waves, 0.3, 1.0)
        outline = np.stack([wide / 2 * (1 + radius * np.cos(angle)), high / 2 * (1 + radius * np.sin(angle))], axis=1) + 0.5
        cv2.fillPoly(canvas, [outline.round().astype(np.int32)], 1)
    canvas[[0, -1]] = 0
    canvas[:, [0, -1]] = 0
    if not canvas.any():
        canvas[1:-1, 1:-1] = 1
    return canvas.astype(np.bool_)


def _piece(giver: Pixels, high: int, wide: int, rng: np.random.Generator, *, strength: float) -> Pixels:
    """A piece of another photo of this size: scaled, turned by quarters, mirrored, lit anew, its contrast up to doubled by `strength`."""
    import cv2

    scale = rng.uniform(0.6, 1.6)
    tall, broad = (int(np.clip(round(part * scale), 3, whole)) for part, whole in zip((high, wide), giver.shape, strict=False))
    top, left = int(rng.integers(0, giver.shape[0] - tall + 1)), int(rng.integers(0, giver.shape[1] - broad + 1))
    cut = np.rot90(giver[top : top + tall, left : left + broad], int(rng.integers(4)))
    cut = cut[:, ::-1] if rng.random() < 0.5 else cut
    fitted = cv2.resize(np.ascontiguousarray(cut), (wide, high), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    middle = fitted.mean(axis=(0, 1))
    lit = middle + (fitted - middle) * strength * rng.uniform(0.7, 2.0) + rng.uniform(-40, 40)
    return np.asarray(np.clip(lit, 0, 255), dtype=np.uint8)


def _blend(under: Pixels, piece: Pixels, shape: Mask, blending: Blending) -> Pixels:
    """The part of a photo under a shape with a piece set into the shape; all are (h, w, …) of one size."""
    import cv2

    if blending == "paste":
        soft = cv2.GaussianBlur(shape.astype(np.float32), (3, 3), 0.7)[..., None] * shape[..., None]
        return np.asarray((under * (1 - soft) + piece * soft).round(), dtype=np.uint8)
    how = cv2.NORMAL_CLONE if blending == "poisson" else cv2.MIXED_CLONE
    # Room around the shape: the solver reads the photo's colours on the shape's rim and places the piece by its box's middle.
    wide_under, wide_piece = (
        cv2.copyMakeBorder(part, MARGIN, MARGIN, MARGIN, MARGIN, cv2.BORDER_REPLICATE) for part in (under, piece)
    )
    wide_shape = np.pad(shape.astype(np.uint8) * 255, MARGIN)
    left, top, wide, high = cv2.boundingRect(wide_shape)
    blended = cv2.seamlessClone(wide_piece, wide_under, wide_shape, (left + wide // 2, top + high // 2), how)
    inner = blended[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return np.asarray(np.where(shape[..., None], inner, under), dtype=np.uint8)
