"""One step ahead: what each channel should read next, from the last few readings of all channels, by ridge regression.

The residual of a linear forecast sees what windowed patterns forgive: they rebuild a window that already holds the fault, a forecast
only knows what came before. The strongest simple rival of windowed PCA in TSB-AD (Liu & Paparrizos, NeurIPS 2024) is such a forecast,
there by a small network; ridge regression (Hoerl & Kennard 1970) is learned in one pass over sums of products. Series of many channels
are forecast channel by channel from their own past: products of all pairs would not fit in memory. Arrays are (T, M) float32 in
standard deviations, energies squared deviations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

LAGS = 4
"""Past readings of each channel."""
PENALTY = 0.01
"""Ridge penalty per row, in variances: all channels are standardised."""
TOGETHER = 256
"""Up to this many channels each is forecast from all."""
LARGEST = 20.0
"""Largest residual, in standard deviations."""
CHUNK_CELLS = 4_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Forecast:
    """`weights` (LAGS·M + 1, M) of all channels' past, newest first, and a constant; or (LAGS + 1, M) of each one's own past."""

    weights: Array


def learn_forecast(pieces: Sequence[Array], *, keep: Sequence[NDArray[np.bool_]] | None = None) -> Forecast:
    """Ridge regression of each row of `pieces` (T_i, M) on the `LAGS` rows before it.

    `keep[i]` (T_i,) False leaves a row out: it is then neither forecast nor forecast from.

    >>> wave = np.sin(np.arange(300) / 5)[:, None].astype(np.float32)
    >>> bool(forecast_energy(wave, learn_forecast([wave]))[LAGS:].max() < 0.01)
    True
    """
    channels = pieces[0].shape[1]
    together = channels <= TOGETHER
    side = LAGS * channels + 1 if together else LAGS + 1
    gram = np.zeros((side, side) if together else (channels, side, side))
    moment = np.zeros((side, channels) if together else (channels, side))
    count = 0
    chunk = max(1, CHUNK_CELLS // (LAGS * channels))
    for i, piece in enumerate(pieces):
        for a in range(LAGS, len(piece), chunk):
            rows = np.arange(a, min(a + chunk, len(piece)))
            if keep is not None:
                rows = rows[np.all([keep[i][rows - lag] for lag in range(LAGS + 1)], axis=0)]
            if not len(rows):
                continue
            past = _past(piece, rows, together=together)
            count += len(rows)
            if together:
                gram += past.T @ past
                moment += past.T @ piece[rows]
            else:
                gram += np.einsum("tic,tjc->cij", past, past, optimize=True)
                moment += np.einsum("tic,tc->ci", past, piece[rows])
    places = np.arange(side - 1)
    gram[..., places, places] += PENALTY * max(count, 1)
    gram[..., -1, -1] += 1e-9 * max(count, 1)
    weights = np.linalg.solve(gram, moment) if together else np.linalg.solve(gram, moment[..., None])[..., 0].T
    return Forecast(weights=np.ascontiguousarray(weights, dtype=np.float32))


def forecast_energy(z: Array, forecast: Forecast) -> Array:
    """Squared error (T, M) of the forecast of each row; the first `LAGS` rows have none and get 0."""
    energy = np.zeros(z.shape, np.float32)
    channels = z.shape[1]
    together = len(forecast.weights) == LAGS * channels + 1
    chunk = max(1, CHUNK_CELLS // (LAGS * channels))
    for a in range(LAGS, len(z), chunk):
        rows = np.arange(a, min(a + chunk, len(z)))
        past = _past(z, rows, together=together)
        expected = past @ forecast.weights if together else np.einsum("tic,ic->tc", past, forecast.weights)
        np.square(np.clip(z[rows] - expected, -LARGEST, LARGEST), out=energy[a : a + chunk])
    return energy


def _past(z: Array, rows: NDArray[np.int64], *, together: bool) -> Array:
    """Regressors of `rows`: (n, LAGS·M + 1) of all channels, or (n, LAGS + 1, M) of each."""
    lagged = [z[rows - lag] for lag in range(1, LAGS + 1)]
    if together:
        return np.concatenate([*lagged, np.ones((len(rows), 1), np.float32)], axis=1)
    return np.stack([*lagged, np.ones_like(lagged[0])], axis=1)
