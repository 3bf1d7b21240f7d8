"""The members of the series ensemble: each learns from standardised pieces and gives every reading an energy.

A member is two functions over plain arrays, `learn(pieces, keep, plan)` and `energy(z, state, plan)`. Pieces and z are (T, M) float32
in standard deviations, energies (T, M) squared deviations, states named arrays (that is what is saved). `reach` is how many steps
around a reading its energy looks at, so that a part of a series can be scored with that much context and no more; `ahead` how many
of them come after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tools.series.forecast import LAGS, Forecast, forecast_energy, learn_forecast
from tools.series.polynomial import polynomial_energy
from tools.series.profile import joined, profile_energy
from tools.series.shapes import Shapes, learn_shapes, shape_energy
from tools.series.spectral import AROUND, spectral_energy
from tools.series.windows import Basis, learn_basis, residual_energy

Array = NDArray[np.float32]
State: TypeAlias = dict[str, NDArray[np.generic]]
Keep: TypeAlias = Sequence[NDArray[np.bool_]] | None

SHAPES, SHAPE_STEPS = 10, 40
"""Usual windows and their steps: the published defaults of KMeansAD."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What members need to know before they learn: steps per window, most patterns and their share of the variance, how far a
    pattern may reach, the seed, and the numbers of the channels that are taken to stand still.
    """

    window: int
    components: int
    explained: float
    bound: float
    seed: int
    muted: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Member:
    """One way of looking at a series."""

    name: str
    learn: Callable[[Sequence[Array], Keep, Plan], State]
    energy: Callable[[Array, Mapping[str, NDArray[np.generic]], Plan], Array]
    reach: Callable[[Plan], int]
    ahead: Callable[[Plan], int]


def _learn_patterns(pieces: Sequence[Array], keep: Keep, plan: Plan) -> State:
    basis = learn_basis(
        pieces, window=plan.window, components=plan.components, explained=plan.explained, seed=plan.seed, keep=keep
    )
    return {"centre": basis.centre, "patterns": basis.patterns, "reach": basis.reach}


def basis_of(state: Mapping[str, NDArray[np.generic]], plan: Plan) -> Basis:
    """The patterns in a state."""
    return Basis(window=plan.window, centre=_f32(state["centre"]), patterns=_f32(state["patterns"]), reach=_f32(state["reach"]))


def _pattern_energy(z: Array, state: Mapping[str, NDArray[np.generic]], plan: Plan) -> Array:
    return residual_energy(z, basis_of(state, plan), bound=plan.bound)


def _learn_next(pieces: Sequence[Array], keep: Keep, plan: Plan) -> State:
    return {"weights": learn_forecast(pieces, keep=keep).weights}


def _next_energy(z: Array, state: Mapping[str, NDArray[np.generic]], plan: Plan) -> Array:
    return forecast_energy(z, Forecast(weights=_f32(state["weights"])))


def _learn_shapes(pieces: Sequence[Array], keep: Keep, plan: Plan) -> State:
    length = min(SHAPE_STEPS, max(2, max(map(len, pieces)) // 2))
    return {"centres": learn_shapes(pieces, length=length, count=SHAPES, seed=plan.seed, keep=keep).centres}


def _shape_energy(z: Array, state: Mapping[str, NDArray[np.generic]], plan: Plan) -> Array:
    return shape_energy(z, Shapes(centres=_f32(state["centres"])))


def _nothing(pieces: Sequence[Array], keep: Keep, plan: Plan) -> State:
    return {}


def _spectral_energy(z: Array, state: Mapping[str, NDArray[np.generic]], plan: Plan) -> Array:
    return spectral_energy(z)


def _polynomial_energy(z: Array, state: Mapping[str, NDArray[np.generic]], plan: Plan) -> Array:
    return polynomial_energy(z, window=plan.window)


def _learn_known(pieces: Sequence[Array], keep: Keep, plan: Plan) -> State:
    return {"known": joined(pieces, keep)}


def _profile_energy(z: Array, state: Mapping[str, NDArray[np.generic]], plan: Plan) -> Array:
    return profile_energy(z, _f32(state["known"]), window=plan.window)


def _f32(array: NDArray[np.generic]) -> Array:
    return np.asarray(array, dtype=np.float32)


def _window(plan: Plan) -> int:
    return plan.window - 1


def _lags(plan: Plan) -> int:
    return LAGS


def _shape_steps(plan: Plan) -> int:
    return SHAPE_STEPS - 1


def _around(plan: Plan) -> int:
    return AROUND


def _full_window(plan: Plan) -> int:
    return plan.window


def _none(plan: Plan) -> int:
    return 0


PATTERNS = Member(name="patterns", learn=_learn_patterns, energy=_pattern_energy, reach=_window, ahead=_window)
FORECAST = Member(name="forecast", learn=_learn_next, energy=_next_energy, reach=_lags, ahead=_none)

NEAREST = Member(name="shapes", learn=_learn_shapes, energy=_shape_energy, reach=_shape_steps, ahead=_shape_steps)
SPECTRAL = Member(name="spectral", learn=_nothing, energy=_spectral_energy, reach=_around, ahead=_around)
PROFILE = Member(name="profile", learn=_learn_known, energy=_profile_energy, reach=_window, ahead=_window)
POLYNOMIAL = Member(name="polynomial", learn=_nothing, energy=_polynomial_energy, reach=_full_window, ahead=_none)

MEMBERS: dict[str, Member] = {member.name: member for member in (PATTERNS, FORECAST, NEAREST, SPECTRAL, POLYNOMIAL, PROFILE)}
STREAMED = ("patterns", "forecast", "polynomial")
"""Members whose energy needs no more than a window around a step."""
