"""One channel at a time: how far a reading is from where a line through the last window points.

POLY of TSB-AD (Liu & Paparrizos, NeurIPS 2024), after Li et al. (2007): a polynomial fitted to the readings before, extended by one
step. The fit is a fixed set of weights (Savitzky & Golay 1964), so nothing is learned. Arrays are (T, M) float32 in standard deviations.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

DEGREE = 1
LARGEST = 20.0


def extension_weights(window: int, degree: int = DEGREE) -> NDArray[np.float64]:
    """Weights (window,) that extend a polynomial, fitted to so many readings by least squares, by one step.

    >>> bool(np.isclose(extension_weights(5) @ np.array([1.0, 2.0, 3.0, 4.0, 5.0]), 6.0))
    True
    """
    places = np.arange(-window, 0) / window
    return np.asarray(np.linalg.pinv(np.vander(places, min(degree, window - 1) + 1, increasing=True))[0])


def polynomial_energy(z: Array, *, window: int) -> Array:
    """Squared distance (T, M) of each reading from the extended polynomial; 0 for the first `window` steps.

    >>> polynomial_energy(np.array([[0], [1], [2], [3], [9]], np.float32), window=4).round(2).ravel().tolist()
    [0.0, 0.0, 0.0, 0.0, 25.0]
    """
    energy = np.zeros(z.shape, np.float32)
    count = len(z) - window
    if count <= 0:
        return energy
    expected = np.zeros((count, z.shape[1]), np.float32)
    for offset, weight in enumerate(extension_weights(window)):
        expected += np.float32(weight) * z[offset : offset + count]
    energy[window:] = np.clip(z[window:] - expected, -LARGEST, LARGEST) ** 2
    return energy
