"""Usual shapes of a series and how far it is from the nearest: k-means on windows, several window lengths side by side.

Linear patterns (tools.series.windows) see what breaks a relation between neighbouring readings; a stretch that is odd only as a
whole, such as ten minutes of slightly busier readings, is rebuilt by them. Its distance to the nearest of a few usual windows is not
small. KMeansAD in TSB-AD (Liu & Paparrizos, NeurIPS 2024), after Yairi et al. (2001); several lengths, for nobody knows how long a
fault lasts: the published default and its doubles. A step's energy is that of the whole windows it lies in, which is what makes long
stretches stand out; its own share of them alone was no better than the patterns (SKAB, NAB). The price are blurred beginnings and ends.
Arrays are (T, M) float32 in standard deviations, energies squared deviations per step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

LENGTHS = (40, 80, 160)
"""Steps of the windows, where the data are long enough."""
MOST_WINDOWS, MOST_CELLS = 4_000, 20_000_000
"""Windows, and numbers in them, that shapes are learned from: evenly spaced ones when there are more."""
BLOCK_CELLS = 4_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Shapes:
    """Centres (k, L, M) of windows of L steps and M channels."""

    centres: Array


def usual_lengths(most: int) -> tuple[int, ...]:
    """Window lengths of at most so many steps.

    >>> usual_lengths(2_500), usual_lengths(50), usual_lengths(3)
    ((40, 80, 160), (40, 50), (3,))
    """
    return tuple(sorted({max(2, min(length, most)) for length in LENGTHS}))


def learn_shapes(
    pieces: Sequence[Array], *, length: int, count: int, seed: int, keep: Sequence[NDArray[np.bool_]] | None = None
) -> Shapes:
    """At most `count` centres of the windows of `pieces` (T_i, M), by mini-batch k-means.

    `keep[i]` (T_i,) False leaves a step out: windows more than half made of such steps are not learned from.
    """
    from sklearn.cluster import MiniBatchKMeans

    length = min(length, max(map(len, pieces)))
    starts = [np.arange(max(0, len(piece) - length + 1)) for piece in pieces]
    if keep is not None:
        starts = [
            first[_over_windows(kept[:, None].astype(np.float64), length)[:, 0] > length / 2] if len(first) else first
            for first, kept in zip(starts, keep, strict=True)
        ]
    owners = np.repeat(np.arange(len(pieces)), [len(first) for first in starts])
    if not len(owners):  # what is kept is too scattered for whole windows
        return learn_shapes(pieces, length=length, count=count, seed=seed)
    side = length * pieces[0].shape[1]
    every = -(-len(owners) // int(np.clip(MOST_CELLS // side, 2 * count, MOST_WINDOWS)))
    spaced = zip(owners[::every], np.concatenate(starts)[::every], strict=True)
    windows = np.stack([pieces[i][first : first + length].ravel() for i, first in spaced])
    model = MiniBatchKMeans(n_clusters=min(count, len(windows)), random_state=seed, n_init=1, batch_size=1024).fit(windows)
    return Shapes(centres=model.cluster_centers_.reshape(-1, length, pieces[0].shape[1]).astype(np.float32))


def shape_energy(z: Array, shapes: Shapes) -> Array:
    """Squared distance per step and channel (T, M) to the nearest shape, averaged over the windows that a step lies in.

    A series shorter than the windows is compared with the beginning of each shape.

    >>> flat, step = np.zeros((8, 1), np.float32), np.array([[0], [0], [0], [0], [3], [3], [0], [0]], np.float32)
    >>> shapes = Shapes(centres=flat[None, :2])
    >>> shape_energy(step, shapes).ravel().tolist()
    [0.0, 0.0, 0.0, 2.25, 6.75, 6.75, 2.25, 0.0]
    """
    centres = shapes.centres[:, : len(z)]
    length = centres.shape[1]
    out = np.empty_like(z)
    block = max(4 * length, BLOCK_CELLS // z.shape[1])
    for a in range(0, len(z), block):
        first, last = max(0, a - length + 1), min(len(z), a + block + length - 1)
        out[a : a + block] = _energy(z[first:last], centres)[a - first : a - first + block]
    return out


def _energy(z: Array, centres: Array) -> Array:
    """`shape_energy` of one block; the distance is taken apart into norms and products, so no window is ever copied."""
    length = centres.shape[1]
    count = len(z) - length + 1
    norms = _over_windows(z.astype(np.float64) ** 2, length)
    products = np.zeros((count, len(centres)), np.float32)
    for offset in range(length):
        products += z[offset : offset + count] @ centres[:, offset].T
    squares = centres.astype(np.float64) ** 2
    nearest = np.argmin(squares.sum(axis=(1, 2)) - 2.0 * products, axis=1)
    cross = np.zeros((count, z.shape[1]), np.float32)
    for offset in range(length):
        cross += z[offset : offset + count] * centres[nearest, offset]
    energy = np.maximum(norms - 2.0 * cross + squares.sum(axis=1)[nearest], 0.0) / length
    padded = np.concatenate([np.zeros((length - 1, z.shape[1])), energy, np.zeros((length - 1, z.shape[1]))])
    steps = np.arange(len(z))
    inside = np.minimum(steps + 1, count) - np.maximum(steps - length + 1, 0)
    return np.asarray(np.maximum(_over_windows(padded, length), 0.0) / inside[:, None], dtype=np.float32)


def _over_windows(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Sums (T − length + 1, M) over each run of `length` steps."""
    totals = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    return np.asarray(totals[length:] - totals[:-length])
