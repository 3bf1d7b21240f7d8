"""The matrix profile: how far each window of a series is from the most similar window that is known to be normal.

Yeh et al., Matrix Profile I (ICDM 2016), by the library stumpy (Law, JOSS 2019), which the extra "profile" brings. A join:
windows of the series that is judged against windows of the reference, each channel by itself, plain Euclidean distances of standardised
readings (AAMP), for distances of shapes alone make a sensation of every ripple in a flat stretch. Where `tools.series.shapes` keeps a few
usual shapes, here nothing is averaged, so that what occurred once is known too; it takes the square of the length in time, and the
reference is kept whole. Arrays are (T, M) float32 in standard deviations, energies squared deviations per step.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import MissingExtra

Array = NDArray[np.float32]

MOST_STEPS = 20_000
"""Steps of the reference that are kept: the first ones of each piece, in equal parts, when there are more."""
FAR = 25.0
"""Energy where nothing can be compared: as of a channel that is silent."""


def joined(pieces: Sequence[Array], keep: Sequence[NDArray[np.bool_]] | None = None) -> Array:
    """The pieces (T_i, M) after one another, parted by a row of NaN; steps that are not kept are NaN, so that no window holds them.

    >>> joined([np.ones((2, 1), np.float32), np.zeros((1, 1), np.float32)]).ravel().tolist()
    [1.0, 1.0, nan, 0.0]
    """
    most = MOST_STEPS // len(pieces)
    parts = []
    for number, piece in enumerate(pieces):
        part = piece[:most].astype(np.float32)
        if keep is not None:
            part[~keep[number][:most]] = np.nan
        parts += [part, np.full((1, piece.shape[1]), np.nan, np.float32)]
    return np.concatenate(parts[:-1])


def profile_energy(z: Array, known: Array, *, window: int) -> Array:
    """Squared distance per step and channel (T, M) to the nearest window of `known` (K, M), averaged over the windows around a step.

    Raises:
        MissingExtra: stumpy is not installed.
    """
    stumpy = _library()
    length = max(3, min(window, len(z), len(known)))
    out = np.full(z.shape, FAR, np.float32)
    if min(len(z), len(known)) < length:
        return out
    for channel in range(z.shape[1]):
        ours, theirs = (part[:, channel].astype(np.float64) for part in (z, known))
        if np.ptp(ours) == 0 and (theirs == ours[0]).any():  # a channel that stands still, as it may
            out[:, channel] = 0.0
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it takes a join in which much is alike for a self-join
            nearest = stumpy.aamp(ours, length, theirs, ignore_trivial=False)[:, 0].astype(np.float64)
        out[:, channel] = _per_step(np.minimum(np.where(np.isfinite(nearest), nearest**2 / length, FAR), FAR), length)
    return out


def _per_step(energy: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """The mean energy of the windows (T − length + 1,) that each step (T,) lies in."""
    totals = np.concatenate([[0.0], np.cumsum(energy)])
    steps = np.arange(len(energy) + length - 1)
    first, last = np.maximum(steps - length + 1, 0), np.minimum(steps + 1, len(energy))
    return np.asarray((totals[last] - totals[first]) / (last - first))


def _library() -> Any:
    try:
        import stumpy
    except ImportError as error:
        raise MissingExtra.named("stumpy", "profile", "the matrix profile") from error
    return stumpy
