"""What an odd region of a photo looks like, as patch features, so that it is known again wherever it lies.

“That is normal here” on a photo means what is to be seen, not where: a water drop may lie elsewhere on the next part, and a crack at
the same place is still a crack. So the patches of the region's hot part are kept, and a later region is like it when nearly all of its
own hot patches lie near one of them. The photo is also turned and mirrored when an example is learned, since the drop will be.

Both limits were chosen on 48 marks drawn into good photos of three products, so that few other marks are excused: by one example every
second mark is known again elsewhere, turned and on another photo, and one of fifteen others is taken for it. What is flagged again can
be pointed at again.

Axes: pixels (H, W, 3) uint8, hot (H, W) bool; appearances (n, C) int8, unit features times 127.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.scores import ImageScore

if TYPE_CHECKING:
    from pathlib import Path

    from models.patches import PatchEncoder

SIDE = 384
MOST = 64
"""Patches kept of one orientation of a region: spread evenly over it."""
NEAR = 0.65
"""Distance (0 to 2) up to which two patches show the same."""
NEARLY_ALL = 0.8
"""Share of a region's hot patches that must lie near the example's."""
Appearance = NDArray[np.int8]


@lru_cache(maxsize=1)
def _encoder() -> PatchEncoder:
    from models.patches import PatchEncoder

    return PatchEncoder(side=SIDE)


def hot_part(score: ImageScore) -> NDArray[np.bool_]:
    """Where a photo deviates (H, W): above half its peak's height over the median, as its regions are cut out."""
    base, peak = float(np.median(score.heatmap)), float(score.heatmap.max())
    return score.heatmap >= base + 0.5 * (peak - base) if peak > base else np.zeros(score.heatmap.shape, np.bool_)


def appearance_of(pixels: NDArray[np.uint8], hot: NDArray[np.bool_], *, turned: bool = False) -> Appearance:
    """The patches (n, C) of the hot part of a photo; with `turned` those of its eight orientations."""
    from tools.image.patch_maps import orientations, patch_vectors

    kept = []
    for photo, where in zip(orientations(pixels), orientations(hot), strict=True):
        vectors = patch_vectors(_encoder(), np.ascontiguousarray(photo))
        found = vectors.cpu().numpy()[_cells(where, tuple(vectors.shape[:2]))]
        kept.append(found[np.linspace(0, len(found) - 1, min(MOST, len(found))).round().astype(int)])
        if not turned:
            break
    return np.asarray(np.rint(127 * np.concatenate(kept)), np.int8)


def _cells(hot: NDArray[np.bool_], grid: tuple[int, ...]) -> NDArray[np.bool_]:
    """Patches (h, w) at least half of which are hot, or else those that are at all."""
    import cv2

    share = cv2.resize(hot.astype(np.float32), (grid[1], grid[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(share >= 0.5 if (share >= 0.5).any() else share > 0, np.bool_)


def looks_like(seen: Appearance, example: Appearance) -> bool:
    """True when nearly all patches seen lie near one of an example's.

    >>> drop = np.array([[127, 0, 0], [0, 127, 0]], np.int8)
    >>> looks_like(drop[:1], drop), looks_like(np.array([[0, 0, 127]], np.int8), drop)
    (True, False)
    """
    return bool(len(seen) and len(example)) and share_alike(seen, example) >= NEARLY_ALL


def share_alike(seen: Appearance, example: Appearance, near: float = NEAR) -> float:
    """Share (0–1) of the patches seen that lie near one of an example's."""
    a, b = (_unit(vectors) for vectors in (seen, example))
    return float((np.sqrt(np.maximum(0.0, 2 - 2 * (a @ b.T).max(axis=1))) <= near).mean())


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
    except (ValueError, KeyError, OSError, EOFError) as error:
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
