"""Which cells of a photo show the object, learned from normal photos alone: a line through feature space between middle and rim.

Source: Li et al., CPR (IEEE Transactions on Image Processing 2024), its foreground estimate: two-means splits the local features; the
cluster that prevails along the rim is background; a linear discriminant (Fisher 1936) is learned between the rim's background and the
middle's rest, and its values, clipped at their first and last percent, are scaled to 0–1.
Ours: whether there is a background at all is asked first, since the method fails where the object touches the rim or the
picture is all surface; and the percents are taken over the cells that the line was learned from (on a clean object .01 off).

Axes: feature maps (C, h, w); foreground (h, w), 0 = background, 1 = object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from tools.image.retrieval import Floats, kmeans, nearest_code, sampled

if TYPE_CHECKING:
    import torch

Values = TypeVar("Values", NDArray[np.floating], "torch.Tensor")
RIM = 3 / 80
"""Width of the rim as a part of the map's edge."""
MIDDLE = 1 / 5
"""Half the edge of the middle box as a part of the map's edge."""
SAMPLES = 20_000
PLAIN_RIM, FULL_MIDDLE = 0.9, 0.5
"""Least share of the rim that is background, and of the middle that is not, in pictures of an object before a background."""


@dataclass(frozen=True, eq=False)
class Foreground:
    """A discriminant: `weight` (C,), and the values that become 0 and 1."""

    weight: Floats
    low: float
    high: float

    def of(self, features: Floats) -> Floats:
        """Foreground (h, w) of a feature map (C, h, w).

        >>> Foreground(np.array([1.0], np.float32), 0.0, 2.0).of(np.array([[[-1.0, 1.0, 5.0]]], np.float32)).tolist()
        [[0.0, 0.5, 1.0]]
        """
        return np.asarray(self.scaled(np.tensordot(self.weight, features, axes=1)), dtype=np.float32)

    def scaled(self, values: Values) -> Values:
        """Values along the line, as an array or a tensor, as foreground."""
        return ((values - self.low) / (self.high - self.low)).clip(0, 1)


def rim_and_middle(height: int, width: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The rim and the middle box of a map, each (height, width).

    >>> [int(part.sum()) for part in rim_and_middle(80, 80)]
    [924, 1024]
    """
    rim = np.ones((height, width), np.bool_)
    down, across = (max(1, round(RIM * edge)) for edge in (height, width))
    rim[down : height - down, across : width - across] = False
    middle = np.zeros((height, width), np.bool_)
    top, left = (int(edge / 2 - MIDDLE * edge) for edge in (height, width))
    middle[top : height - top, left : width - left] = True
    return rim, middle


def learn_foreground(maps: Sequence[Floats], *, seed: int = 0) -> Foreground | None:
    """Learn the discriminant from maps (C, h, w) of one size; None where the pictures have no plain rim around something else."""
    rng = np.random.default_rng(seed)
    centres = kmeans(sampled(maps, SAMPLES, rng), 2, seed=seed)
    if len(centres) < 2:
        return None
    rim, middle = rim_and_middle(*maps[0].shape[1:])
    codes = np.stack([nearest_code(one, centres) for one in maps])
    background = int(np.bincount(codes[:, rim].ravel(), minlength=2).argmax())
    outside, inside = (codes == background) & rim, (codes != background) & middle
    if outside.sum() < PLAIN_RIM * rim.sum() * len(maps) or inside.sum() < FULL_MIDDLE * middle.sum() * len(maps):
        return None
    groups = []
    for chosen in (outside, inside):
        cells = np.concatenate([one[:, where].T for one, where in zip(maps, chosen, strict=True)])
        groups.append(cells[rng.permutation(len(cells))[:SAMPLES]].astype(np.float64))
    weight = discriminant(*groups)
    values = np.concatenate([group @ weight for group in groups])
    low, high = np.quantile(values, [0.01, 0.99])
    return Foreground(weight.astype(np.float32), float(low), float(high)) if high > low else None


def discriminant(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fisher's direction (C,) from group `a` (N, C) to group `b` (M, C): the pooled covariance's inverse times the means' difference.

    >>> discriminant(np.array([[0.0, 0.0], [0.0, 2.0]]), np.array([[1.0, 0.0], [1.0, 2.0]])).round(3).argmax()
    np.int64(0)
    """
    centred = np.concatenate([a - a.mean(axis=0), b - b.mean(axis=0)])
    pooled = centred.T @ centred / len(centred)
    ridge = 1e-3 * np.trace(pooled) / len(pooled) + 1e-12
    return np.asarray(np.linalg.solve(pooled + ridge * np.eye(len(pooled)), b.mean(axis=0) - a.mean(axis=0)))
