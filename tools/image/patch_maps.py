"""What all patch detectors of photos share: unit features of a photo, and from patch distances to its score and heatmap.

Axes: features (h, w, C) of length 1; patch distances (h, w); heatmap (H, W) float32 at photo size. Score = mean of the strangest
1 % of patches: a single largest one is noise's favourite (chosen on synthetic defects in normal photos, where it was equal or better).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.progress import step
from core.samples import ImageSample, Sample
from core.scores import ImageScore
from models.patches import PatchEncoder

if TYPE_CHECKING:
    import torch

STRANGEST = 0.01
BLUR_CELLS = 0.5
"""Standard deviation of the heatmap's Gaussian: half a patch, 4 pixels of the resized photo."""


def pixels_of(sample: Sample, name: str) -> NDArray[np.uint8]:
    """Pixels of one sample of a (perhaps lazy) batch.

    Raises:
        BadInput: it is not a photo; `name` is the detector that says so.
    """
    if not isinstance(sample, ImageSample):
        raise BadInput(f"{name!r}: expected ImageSample, got {type(sample).__name__}.")
    return sample.pixels


def patch_vectors(encoder: PatchEncoder, pixels: NDArray[np.uint8]) -> torch.Tensor:
    """Unit features (h, w, C) of one photo (H, W, 3), on the encoder's device."""
    from models.nearest import unit

    return unit(encoder.encode([pixels])[0])


def orientations(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The eight orientations of a picture (H, W, …): as it is, turned by quarters, then mirrored and turned.

    >>> [turned.shape for turned in orientations(np.zeros((2, 3)))][:3]
    [(2, 3), (3, 2), (2, 3)]
    """
    for mirrored in (array, array[:, ::-1]):
        for quarter in range(4):
            yield np.rot90(mirrored, quarter)


def picture_score(patches: NDArray[np.float32]) -> float:
    """Mean of the strangest 1 % of patch distances (any shape), at least one.

    >>> picture_score(np.array([0.0, 0.5, 0.25], np.float32))
    0.5
    """
    flat = patches.ravel()
    count = max(1, round(STRANGEST * len(flat)))
    return float(np.partition(flat, len(flat) - count)[-count:].mean())


def score_of(name: str, encoder: PatchEncoder, patches: NDArray[np.float32], pixels: NDArray[np.uint8]) -> ImageScore:
    """The score of a photo from its patch distances (h, w)."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(np.asarray(patches, dtype=np.float32), BLUR_CELLS, mode="nearest")
    heatmap = encoder.to_pixels(smooth, pixels.shape[0], pixels.shape[1])
    return ImageScore(sample=name, score=picture_score(patches), heatmap=heatmap)


def each_photo(batch: Sequence[Sample], name: str) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Name and pixels of each photo, telling how many are done.

    Raises:
        BadInput: something is not a photo; `name` is the detector that says so.
    """
    for number, sample in enumerate(batch, start=1):
        yield sample.name, pixels_of(sample, name)
        step("photos", number, len(batch))


def score_each(
    batch: Sequence[Sample], name: str, encoder: PatchEncoder, measure: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
) -> list[ImageScore]:
    """The score of each photo by itself; `measure` gives the patch distances (h, w) of its pixels (H, W, 3).

    Raises:
        BadInput: something is not a photo; `name` is the detector that says so.
    """
    return [score_of(called, encoder, measure(pixels), pixels) for called, pixels in each_photo(batch, name)]
