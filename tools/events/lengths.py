"""One scale for paths of different lengths: a Box–Cox transformation per length, then standard deviations from the mean.

The product of the factors falls with every step, so that longer paths would always look worse. For each length the exponent λ is
the one that makes historic paths of that length look most normal (maximum likelihood, Box & Cox 1964; per length after Dong et al.,
CIKM 2017). It is applied to −log of the product and not to 1 − product, which is within a hair of 1 for every real path. λ is kept
in [0, 2]: a negative one would put a ceiling of −1/λ on the scale, above which no path, however strange, could come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EXPONENTS = (0.0, 2.0)
LEAST = 1e-3
"""Nats added to every path: log and powers need positive numbers."""
_ENOUGH = 20
_MOST = 50_000


@dataclass(frozen=True, kw_only=True)
class Length:
    """λ, and the mean and spread of transformed historic paths of one length."""

    exponent: float
    centre: float
    spread: float

    def standardise(self, nats: Floats) -> Floats:
        """Standard deviations of paths of `nats` (n,) ≥ 0."""
        return np.asarray((_power(nats + LEAST, self.exponent) - self.centre) / self.spread)

    def restore(self, deviations: Floats) -> Floats:
        """Nats of `deviations` (n,): the inverse; 0 below the smallest possible.

        >>> length = Length(exponent=0.5, centre=2.0, spread=1.5)
        >>> length.restore(length.standardise(np.array([0.0, 3.0, 40.0]))).round(6).tolist()
        [0.0, 3.0, 40.0]
        """
        value = deviations * self.spread + self.centre
        if self.exponent < 1e-9:
            return np.asarray(np.maximum(np.exp(np.minimum(value, 700.0)) - LEAST, 0.0))
        return np.asarray(np.maximum(np.maximum(self.exponent * value + 1.0, 0.0) ** (1.0 / self.exponent) - LEAST, 0.0))


def fit_lengths(paths: Sequence[Floats], *, robust: bool = False) -> tuple[Length, ...]:
    """One `Length` per array of historic paths' nats, for lengths from 1 on.

    A length with hardly any historic path is judged by the one before it, whose nats are scaled by their number of steps. `robust`
    takes median and median absolute deviation instead of mean and spread, for a log that may hold what is sought.
    """
    found: list[Length] = []
    for steps, values in enumerate(paths, start=1):
        if len(values) >= _ENOUGH or not found:
            found.append(_fit(values, robust=robust))
            known = values
        else:
            known = known * steps / (steps - 1)
            found.append(_fit(known, robust=robust))
    return tuple(found)


def _fit(values: Floats, *, robust: bool) -> Length:
    from scipy.optimize import minimize_scalar
    from scipy.stats import boxcox_llf

    if len(values) == 0:
        return Length(exponent=0.0, centre=0.0, spread=1.0)
    ordered = np.sort(values)
    if len(ordered) > _MOST:
        ordered = ordered[np.linspace(0, len(ordered) - 1, _MOST).round().astype(np.int64)]
    data = ordered + LEAST
    exponent = 0.0
    if len(data) >= _ENOUGH and data[-1] > data[0] * (1.0 + 1e-9):
        exponent = float(minimize_scalar(lambda power: -boxcox_llf(power, data), bounds=EXPONENTS, method="bounded").x)
    moved = _power(data, exponent)
    centre, spread = float(moved.mean()), float(moved.std())
    if robust:
        centre = float(np.median(moved))
        spread = 1.4826 * float(np.median(np.abs(moved - centre))) or spread
    # without any spread, a nat is a standard deviation
    return Length(exponent=exponent, centre=centre, spread=spread if spread > 1e-6 else 1.0)


def _power(values: Floats, exponent: float) -> Floats:
    return np.asarray(np.log(values) if exponent < 1e-9 else np.expm1(exponent * np.log(values)) / exponent)
