"""Spectral residual: what the smoothed log spectrum of a channel does not expect, turned back into time.

Hou & Zhang (CVPR 2007), for series Ren et al. (KDD 2019): the log amplitude less its local mean, with the original phase, is high
where a channel does something once. Nothing is learned, each channel stands alone, and a block of `BLOCK` steps at a time is looked at, so
that memory is bounded. Arrays are (T, M) float32.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

BLOCK = 4_096
SMOOTHED = 3
"""Frequencies of the local mean, as published."""
AROUND = 21
"""Steps whose mean saliency a step's is compared with, as published."""
LARGEST = 50.0
LEAST_STEPS = 8


def spectral_energy(z: Array) -> Array:
    """How many times the channel's usual saliency that of each reading exceeds its surroundings' (T, M), 0 to `LARGEST`.

    >>> wave = np.sin(np.arange(200) / 5)[:, None].astype(np.float32)
    >>> wave[120] += 3
    >>> int(spectral_energy(wave)[:, 0].argmax())
    120
    """
    out = np.zeros(z.shape, np.float32)
    blocks = max(1, len(z) // BLOCK)
    for rows in np.array_split(np.arange(len(z)), blocks):
        if len(rows) >= LEAST_STEPS:
            out[rows] = _block(z[rows])
    return out


def _block(z: Array) -> Array:
    from scipy.ndimage import uniform_filter1d

    spectrum = np.fft.rfft(z, axis=0)
    amplitude = np.abs(spectrum) + 1e-6
    lifted = np.log(amplitude)
    residual = lifted - uniform_filter1d(lifted, SMOOTHED, axis=0, mode="nearest")
    saliency = np.abs(np.fft.irfft(np.exp(residual) * spectrum / amplitude, n=len(z), axis=0))
    saliency[:, z.std(axis=0) < 1e-6] = 0.0
    around = uniform_filter1d(saliency, AROUND, axis=0, mode="nearest")
    usual = np.median(saliency, axis=0)
    return np.asarray(np.clip((saliency - around) / np.maximum(usual, 1e-6), 0.0, LARGEST), dtype=np.float32)
