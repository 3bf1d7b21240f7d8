"""What an odd region of a photo looks like, as patch features, so that it is known again wherever it lies.

“That is normal here” on a photo means what is to be seen, not where: a water drop may lie elsewhere on the next part, and a crack at
the same place is still a crack. So the patches of its odd regions are kept, and a later photo is like it when of every odd region nearly
all patches lie near one of them: a crack beside the drop is still told. The photo is also turned and mirrored when an example is learned,
since the drop will be.

Both limits were chosen on 48 marks drawn into good photos of three products, so that few other marks are excused: by one example every
second mark is known again elsewhere, turned and on another photo, and one of fifteen others is taken for it. What is flagged again can
be pointed at again.

Axes: pixels (H, W, 3) uint8, hot (H, W) bool; appearances (n, 1 + C) int8: the number of the region, then unit features times 127.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.scores import ImageScore

if TYPE_CHECKING:
    from pathlib import Path

    from models.patches import PatchEncoder

SIDE = 384
MOST = 64
"""Patches kept of a region in one orientation: spread evenly over it."""
REGIONS = 8
"""Most regions of a photo, the largest."""
NEAR = 0.65
"""Distance (0 to 2) up to which two patches show the same."""
NEARLY_ALL = 0.8
"""Share of a region's hot patches that must lie near the example's."""
Appearance = NDArray[np.int8]


@lru_cache(maxsize=1)
def _encoder() -> PatchEncoder:
    from models.patches import PatchEncoder

    return PatchEncoder(side=SIDE)


def hot_part(score: ImageScore, threshold: float = np.inf) -> NDArray[np.bool_]:
    """Where a photo deviates (H, W): above half its peak's height over the median, or above the threshold where that is lower.

    >>> heat = np.array([[0.0, 0.0, 0.0, 0.4, 1.0]], np.float32)
    >>> [int(hot_part(ImageScore(sample="a", score=1.0, heatmap=heat), limit).sum()) for limit in (np.inf, 0.3)]
    [1, 2]
    """
    base, peak = float(np.median(score.heatmap)), float(score.heatmap.max())
    half = base + 0.5 * (peak - base)
    return score.heatmap >= min(half, max(threshold, base)) if peak > base else np.zeros(score.heatmap.shape, np.bool_)


def appearance_of(pixels: NDArray[np.uint8], hot: NDArray[np.bool_], *, turned: bool = False) -> Appearance:
    """The patches (n, 1 + C) of the hot regions of a photo; with `turned` those of its eight orientations."""
    from scipy.ndimage import label

    from tools.image.patch_maps import orientations, patch_vectors

    regions, count = label(hot)
    sizes = np.bincount(regions.ravel(), minlength=count + 1)[1:]
    kept = []
    for photo, where in zip(orientations(pixels), orientations(regions), strict=True):
        vectors = patch_vectors(_encoder(), np.ascontiguousarray(photo)).cpu().numpy()
        for number, region in enumerate(np.argsort(-sizes, kind="stable")[:REGIONS] + 1):
            found = np.rint(127 * vectors[_cells(where == region, vectors.shape[:2])])
            found = found[np.linspace(0, len(found) - 1, min(MOST, len(found))).round().astype(int)]
            kept.append(np.insert(found, 0, number, axis=1))
        if not turned:
            break
    return np.asarray(np.concatenate(kept) if kept else np.zeros((0, 1)), np.int8)


def _cells(hot: NDArray[np.bool_], grid: tuple[int, ...]) -> NDArray[np.bool_]:
    """Patches (h, w) at least half of which are hot, or else those that are at all."""
    import cv2

    share = cv2.resize(hot.astype(np.float32), (grid[1], grid[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(share >= 0.5 if (share >= 0.5).any() else share > 0, np.bool_)


def looks_like(seen: Appearance, example: Appearance) -> bool:
    """True when of every region seen nearly all patches lie near one of an example's.

    >>> drop = np.array([[0, 127, 0, 0], [0, 0, 127, 0]], np.int8)
    >>> crack = np.array([[1, 0, 0, 127]], np.int8)
    >>> [looks_like(seen, drop) for seen in (drop[:1], crack, np.concatenate([drop, crack]))]
    [True, False, False]
    """
    if not len(seen) or not len(example):
        return False
    near = _distances(seen[:, 1:], example[:, 1:]) <= NEAR
    return all(near[seen[:, 0] == region].mean() >= NEARLY_ALL for region in np.unique(seen[:, 0]))


def _distances(seen: Appearance, example: Appearance) -> NDArray[np.float32]:
    """Distance (n,) of each patch to the nearest one of the example, 0 to 2."""
    a, b = (_unit(vectors) for vectors in (seen, example))
    return np.asarray(np.sqrt(np.maximum(0.0, 2 - 2 * (a @ b.T).max(axis=1))), np.float32)


def _unit(vectors: Appearance) -> NDArray[np.float32]:
    long = vectors.astype(np.float32)
    return np.asarray(long / np.maximum(np.linalg.norm(long, axis=1, keepdims=True), 1e-6), np.float32)


def packed(appearance: Appearance) -> str:
    """An appearance as text, to be kept in a rule.

    >>> unpacked(packed(np.array([[1, 2], [3, -4]], np.int8))).tolist()
    [[1, 2], [3, -4]]
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, seen=appearance, allow_pickle=False)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


@lru_cache(maxsize=32)
def unpacked(text: str) -> Appearance:
    """What `packed` was given.

    Raises:
        BadInput: the text is damaged.
    """
    try:
        with np.load(io.BytesIO(base64.b64decode(text, validate=True)), allow_pickle=False) as kept:
            return np.asarray(kept["seen"], np.int8)
    except (ValueError, KeyError, OSError, EOFError, BadZipFile) as error:
        raise BadInput(f"the example of a rule is damaged ({error}); say again what is normal.") from error


def kept_looks(found: Mapping[int, tuple[Appearance, NDArray[np.bool_]]]) -> bytes:
    """The appearance and hot part of each finding, by its number in the investigation, as an npz file."""
    buffer = io.BytesIO()
    arrays: dict[str, NDArray[np.generic]] = {}
    for number, (seen, hot) in found.items():
        arrays |= {f"seen_{number}": seen, f"hot_{number}": np.packbits(hot, axis=1), f"shape_{number}": np.array(hot.shape)}
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def read_looks(path: Path, numbers: Sequence[int]) -> dict[int, tuple[Appearance, NDArray[np.bool_]]]:
    """What `kept_looks` kept of some findings; those without any are left out."""
    with np.load(path, allow_pickle=False) as kept:
        return {
            n: (kept[f"seen_{n}"], np.unpackbits(kept[f"hot_{n}"], axis=1, count=int(kept[f"shape_{n}"][1])).astype(np.bool_))
            for n in numbers
            if f"seen_{n}" in kept.files
        }
