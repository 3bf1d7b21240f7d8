"""What normal looks like for one set of channels: scale, window patterns, usual shapes, and how energies usually waver.

Learned in two ways. From normal series: patterns are fitted on three quarters and measured on the fourth, in turn, so the
statistics are held out and include slow drift between the quarters. From the scored series itself: fit, set the strangest
share of steps aside, refit, so that a minority of odd steps does not become normal. Arrays are (T, M) float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.progress import step
from tools.series.excess import Normality, channel_excess, combine, learn_normality, lift, persistent, usual_scales
from tools.series.shapes import Shapes, learn_shapes, shape_energy, usual_lengths
from tools.series.windows import (
    Basis,
    Scale,
    dominant_period,
    fill,
    learn_basis,
    measure_scale,
    residual_energy,
    standardise,
    unjudged_channels,
)

Array = NDArray[np.float32]

FOLDS = 4
ROUNDS = 3
MIN_STEPS = 8
LONGEST_PERIOD = 512
FIRST_TRIM = 0.02
LEARNED_CELLS, LEARNED_STEPS, STRETCHES = 20_000_000, (20_000, 200_000), 40
"""Numbers and steps of a very long series that are learned from, in this many stretches."""
MISSING_ENERGY = 25.0
"""A channel that normally reports and has been silent for longer than a window counts as five deviations off."""
USUALLY_THERE = 0.05


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The constructor values that shape a model."""

    window: int
    components: int
    explained: float
    clip: float
    bound: float
    trim: float
    seed: int
    shapes: int
    switches: str = "auto"
    """One of `tools.series.windows.SWITCHES`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """Usual shapes of one length, and what held-out normal distances to them look like."""

    shapes: Shapes
    normality: Normality


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """Everything scoring needs; `normality` is that of the residuals of `basis`, `unjudged` (M,) the channels that cannot alarm."""

    scale: Scale
    basis: Basis
    normality: Normality
    unjudged: NDArray[np.bool_]
    views: tuple[View, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """Standardised readings `z` (T, M), `silent` (T, M) where a channel has long been missing, `idle` (T,) where all are."""

    z: Array
    silent: NDArray[np.bool_]
    idle: NDArray[np.bool_]
    since: NDArray[np.int64]
    """(M,) steps since each channel's last reading, at the end."""


def prepare(
    values: Array, scale: Scale, *, window: int, clip: float, last: Array | None = None, since: NDArray[np.int64] | None = None
) -> Prepared:
    """Fill gaps, standardise, and mark silence; `last` and `since` (M,) continue an earlier part of the same series."""
    filled, gaps = fill(values, scale.mean, last)
    z = standardise(filled, scale, clip)
    silent = np.zeros(values.shape, bool)
    ages = np.zeros(values.shape[1], np.int64) if since is None else since.copy()
    rows = np.arange(len(values))
    for c in np.flatnonzero(gaps.any(axis=0)):
        seen = np.maximum.accumulate(np.where(gaps[:, c], -1 - ages[c], rows))
        age = rows - seen
        silent[:, c] = (age > window) & (scale.missing[c] < USUALLY_THERE)
        ages[c] = age[-1]
    ages[~gaps[-1]] = 0
    return Prepared(z=z, silent=silent, idle=np.asarray(gaps.all(axis=1)), since=ages)


def energies(prepared: Prepared, basis: Basis, *, bound: float) -> Array:
    """Residual energy (T, M) with silence counted in."""
    energy = residual_energy(prepared.z, basis, bound=bound)
    energy[prepared.silent] = np.maximum(energy[prepared.silent], MISSING_ENERGY)
    return energy


def score_values(values: Array, model: Model, settings: Settings, *, causal: bool) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Scores (T,), channel shares (T, M) and the validity mask (T,) of one series."""
    prepared = prepare(values, model.scale, window=model.basis.window, clip=settings.clip)
    energy = energies(prepared, model.basis, bound=settings.bound)
    return _finish(energy, _distances(prepared, model), prepared.idle, model, causal=causal)


def _distances(prepared: Prepared, model: Model) -> list[Array]:
    """Energies (T, M) of the distance to each view's shapes."""
    return [shape_energy(prepared.z, view.shapes) for view in model.views]


def _finish(
    energy: Array, distances: Sequence[Array], idle: NDArray[np.bool_], model: Model, *, causal: bool
) -> tuple[Array, Array, NDArray[np.bool_]]:
    excess = channel_excess(energy, model.normality, trailing=causal, idle=idle, settle=not causal)
    for distance, view in zip(distances, model.views, strict=True):
        excess += channel_excess(distance, view.normality, trailing=causal, idle=idle, settle=not causal)
    excess[:, model.unjudged] = 0.0
    scores, shares = combine(excess)
    scores[idle] = 0.0
    shares[idle] = 0.0
    return scores, shares, ~idle


def shifted(values: Array, model: Model, settings: Settings) -> NDArray[np.float64]:
    """(M,) typical energy over its normal level, of channels that are off throughout; 1 for the others."""
    return shifted_energy(
        values, model.scale, model.normality, lambda z: residual_energy(z, model.basis, bound=settings.bound),
        window=model.basis.window, clip=settings.clip,
    )  # fmt: skip


def shifted_energy(
    values: Array, scale: Scale, normality: Normality, energy_of: Callable[[Array], Array], *, window: int, clip: float
) -> NDArray[np.float64]:
    """The same for any energies (T, M) of standardised readings (T, M)."""
    prepared = prepare(values, scale, window=window, clip=clip)
    energy = energy_of(prepared.z)
    energy[prepared.silent] = np.maximum(energy[prepared.silent], MISSING_ENERGY)
    energy = energy[~prepared.idle]
    lasting = persistent(lift(energy, normality), normality.scales) if len(energy) else np.zeros(values.shape[1])
    return np.where(lasting > 0, np.median(energy, axis=0) / normality.level, 1.0)


def choose_window(series: Sequence[Array], wanted: int) -> int:
    """The window for these series: `wanted`; for a single channel its period, when longer; at most a quarter of the data."""
    longest = max(series, key=len)
    if len(longest) < MIN_STEPS:
        raise BadInput(f"expected at least {MIN_STEPS} rows to learn what is normal, got {len(longest)}. Give a longer series.")
    window = wanted
    if longest.shape[1] == 1:
        period = dominant_period(longest[:, 0])
        window = max(window, min(period, LONGEST_PERIOD)) if period is not None else window
    return max(2, min(window, len(longest) // 4))


def learn_from_normal(series: Sequence[Array], settings: Settings, *, causal: bool) -> tuple[Model, Array]:
    """A model of normal series (T_i, M), and the held-out score of each of their steps with readings.

    A `causal` model has no shapes: a window that a step lies in ends after it.
    """
    window = choose_window(series, settings.window)
    pieces, folds = _cut([part for values in series for part in stretches(values)], window)
    lengths = () if causal or not settings.shapes else usual_lengths(max(map(len, pieces)) // 2)
    held_out: list[Array] = [np.empty(0, np.float32)] * len(pieces)
    apart: list[list[Array]] = [[] for _ in pieces]
    idle: list[NDArray[np.bool_]] = [np.empty(0, bool)] * len(pieces)
    numbers = sorted(set(folds))
    for done, fold in enumerate(numbers):
        step("learning what is normal", done, len(numbers) + 1)
        rest = [p for p, f in zip(pieces, folds, strict=True) if f != fold] or pieces
        scale, basis, shapes = _learned(rest, window, lengths, settings)
        for i in (i for i, f in enumerate(folds) if f == fold):
            prepared = prepare(pieces[i], scale, window=window, clip=settings.clip)
            held_out[i], idle[i] = energies(prepared, basis, bound=settings.bound), prepared.idle
            apart[i] = [shape_energy(prepared.z, one) for one in shapes]
    scale, basis, shapes = _learned(pieces, window, lengths, settings)
    keep = [~i for i in idle]
    normality = learn_normality(held_out, scales=usual_scales(window, sum(len(p) for p in pieces)), keep=keep)
    views = tuple(
        View(shapes=one, normality=learn_normality([a[n] for a in apart], scales=(1,), keep=keep)) for n, one in enumerate(shapes)
    )
    model = Model(
        scale=scale, basis=basis, normality=normality, unjudged=unjudged_channels(pieces, scale, settings.switches), views=views
    )
    # Each quarter is rebuilt by the others' patterns but judged by the statistics of all four, as new data will be: leaving it
    # out of these too made anything that only one quarter does set the threshold, above every real incident.
    finished = [_finish(e, a, i, model, causal=causal) for e, a, i in zip(held_out, apart, idle, strict=True)]
    return model, np.concatenate([scores[valid] for scores, _, valid in finished])


def _learned(
    pieces: Sequence[Array], window: int, lengths: Sequence[int], settings: Settings
) -> tuple[Scale, Basis, list[Shapes]]:
    """Scale, patterns and shapes of these pieces (T_i, M)."""
    scale = measure_scale(pieces)
    z = [standardise(fill(p, scale.mean)[0], scale, settings.clip) for p in pieces]
    basis = learn_basis(z, window=window, components=settings.components, explained=settings.explained, seed=settings.seed)
    shapes = [learn_shapes(z, length=length, count=settings.shapes, seed=settings.seed) for length in lengths]
    return scale, basis, shapes


def learn_from_itself(values: Array, settings: Settings, *, causal: bool) -> Model:
    """A model of the bulk of one series (T, M): fit, set the strangest `trim` share of its steps aside, fit again."""
    window = choose_window([values], settings.window)
    pieces = stretches(values)
    scale = measure_scale(pieces, trim=FIRST_TRIM)
    prepared = [prepare(p, scale, window=window, clip=settings.clip) for p in pieces]
    usable = [~p.idle for p in prepared]
    # The first guess knows no patterns, only how far readings lie from the middle: a long fault would be a pattern of its own.
    energy = [p.z**2 for p in prepared]
    keep = usable
    for turn in range(ROUNDS):
        step("learning from the series itself", turn, ROUNDS)
        keep = bulk(energy, keep, usable, window, settings.trim)
        if turn > 0:
            scale = measure_scale(pieces, keep=np.concatenate(keep))
            prepared = [prepare(p, scale, window=window, clip=settings.clip) for p in pieces]
        basis = learn_basis(
            [p.z for p in prepared], window=window, components=settings.components, explained=settings.explained,
            seed=settings.seed, keep=keep,
        )  # fmt: skip
        energy = [energies(p, basis, bound=settings.bound) for p in prepared]
    keep = bulk(energy, keep, usable, window, settings.trim)
    scales = usual_scales(window, sum(len(p) for p in pieces))
    normality = learn_normality(energy, scales=scales, keep=keep)
    views = []
    for length in () if causal or not settings.shapes else usual_lengths(max(map(len, pieces)) // 4):
        z = [p.z for p in prepared]
        shapes = learn_shapes(z, length=length, count=settings.shapes, seed=settings.seed, keep=keep)
        views.append(View(shapes=shapes, normality=learn_normality([shape_energy(p, shapes) for p in z], scales=(1,), keep=keep)))
    return Model(
        scale=scale,
        basis=basis,
        normality=normality,
        unjudged=unjudged_channels(pieces, scale, settings.switches),
        views=tuple(views),
    )


def stretches(values: Array) -> list[Array]:
    """All of a series, or of a very long one evenly spaced stretches that together tell what is usual."""
    most = int(np.clip(LEARNED_CELLS // values.shape[1], *LEARNED_STEPS))
    if len(values) <= most:
        return [values]
    starts = np.linspace(0, len(values) - most // STRETCHES, STRETCHES).astype(int)
    return [values[a : a + most // STRETCHES] for a in starts]


def bulk(
    energy: Sequence[Array], keep: Sequence[NDArray[np.bool_]], usable: Sequence[NDArray[np.bool_]], window: int, trim: float
) -> list[NDArray[np.bool_]]:
    """The usable steps (T_i,) without the `trim` share whose log energy, averaged over a window, is strangest."""
    from scipy.ndimage import uniform_filter1d

    level = learn_normality(energy, scales=(1,), keep=keep).level
    oddness = [uniform_filter1d(np.log1p(e / level).mean(axis=1), window, mode="nearest") for e in energy]
    limit = np.quantile(np.concatenate([o[u] for o, u in zip(oddness, usable, strict=True)]), 1.0 - trim)
    return [np.asarray(u & (o <= limit)) for o, u in zip(oddness, usable, strict=True)]


def _cut(series: Sequence[Array], window: int) -> tuple[list[Array], list[int]]:
    """Contiguous pieces and the fold of each: a long series is cut in FOLDS, a short one goes whole to one fold."""
    pieces, folds = [], []
    for i, values in enumerate(series):
        if len(values) >= 2 * FOLDS * window:
            pieces += np.array_split(values, FOLDS)
            folds += list(range(FOLDS))
        else:
            pieces.append(values)
            folds.append(i % FOLDS)
    return pieces, folds
