"""What the ensemble's members hold normal, learned from history or from the scored series itself, and their surprises.

Both references are cross-fitted: a quarter of the data is always judged by members that learned from the other three, so a fault
never rebuilds or forecasts itself. (Learned in one go from the series itself, a forecast takes a lasting fault for granted: on faults
injected into normal data its PATE rose from .36 to .62 by cross-fitting alone.) From the series itself the strangest share of steps,
by all members together, is also set aside. Arrays are (T, M) float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.progress import step
from tools.series.excess import Normality, channel_excess, combine, learn_normality, usual_scales
from tools.series.members import Member, Plan, State
from tools.series.model import MISSING_ENERGY, bulk, prepare, stretches
from tools.series.surprise import Surprise, learn_surprise
from tools.series.windows import Scale, fill, measure_scale, standardise

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

FOLDS = 4
ROUNDS = 2
FIRST_TRIM = 0.02
LEAST_FOLD = 50
"""Steps of a fold below which a series is too short to be cross-fitted: it is then learned in one go."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Learned:
    """One member's state, what its held-out energies look like, and the surprise of its raw scores: `curve` of averages centred on
    the step, `trailing` of averages that end there, as streams need.
    """

    state: State
    normality: Normality
    curve: Surprise
    trailing: Surprise


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """A reference: the scale of the channels and what each member learned, by its name."""

    scale: Scale
    learned: dict[str, Learned]


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What one reference says of one series: the surprise (T,) of each member and the channels' parts (T, M) of it, adding up."""

    surprises: list[Array]
    shares: list[Array]


def learn_view(series: Sequence[Array], members: Sequence[Member], plan: Plan, *, clip: float) -> tuple[View, list[Seen]]:
    """The reference that normal series (T_i, M) make, and what it says, held out, of each of these series."""
    pieces, folds, owners = _cut(series)
    numbers = sorted(set(folds))
    held_out: dict[str, list[Array]] = {member.name: [np.empty((0, 0), np.float32)] * len(pieces) for member in members}
    idle: list[Mask] = [np.empty(0, bool)] * len(pieces)
    for done, fold in enumerate(numbers):
        step("learning what is normal", done, len(numbers) + 1)
        rest = [p for p, f in zip(pieces, folds, strict=True) if f != fold] or pieces
        scale, states = _fitted(rest, members, plan, clip)
        for i in (i for i, f in enumerate(folds) if f == fold):
            prepared = prepare(pieces[i], scale, window=plan.window, clip=clip)
            idle[i] = prepared.idle
            for member in members:
                held_out[member.name][i] = _silenced(member.energy(prepared.z, states[member.name], plan), prepared.silent)
    scale, states = _fitted(pieces, members, plan, clip)
    keep = [~i for i in idle]
    scales = usual_scales(plan.window, sum(map(len, pieces)))
    learned = {
        member.name: _learned(states[member.name], held_out[member.name], scales, keep, idle, settle=False) for member in members
    }
    view = View(scale=scale, learned=learned)
    said = [
        _said(view, {name: energies[i] for name, energies in held_out.items()}, idle[i], trailing=False)
        for i in range(len(pieces))
    ]
    return view, [
        Seen(
            surprises=[np.concatenate([said[i].surprises[m] for i in range(len(pieces)) if owners[i] == s]) for m in range(len(members))],
            shares=[np.concatenate([said[i].shares[m] for i in range(len(pieces)) if owners[i] == s]) for m in range(len(members))],
        )
        for s in range(len(series))
    ]  # fmt: skip


def seen_against(view: View, values: Array, members: Sequence[Member], plan: Plan, *, clip: float, trailing: bool) -> Seen:
    """What a reference says of a new series (T, M)."""
    prepared = prepare(values, view.scale, window=plan.window, clip=clip)
    energies = {
        member.name: _silenced(member.energy(prepared.z, view.learned[member.name].state, plan), prepared.silent)
        for member in members
    }
    return _said(view, energies, prepared.idle, trailing=trailing)


def seen_against_itself(values: Array, members: Sequence[Member], plan: Plan, *, clip: float, trim: float) -> Seen:
    """What the rest of a series says of each quarter of it (T, M), the strangest `trim` of its steps not learned from."""
    sample = stretches(values)
    whole = len(sample) == 1
    pieces = np.array_split(values, FOLDS) if whole and len(values) >= FOLDS * LEAST_FOLD else sample
    folds = [i % FOLDS for i in range(len(pieces))]
    scale = _scale(pieces, plan, trim=FIRST_TRIM)
    prepared = [prepare(p, scale, window=plan.window, clip=clip) for p in pieces]
    usable = [~p.idle for p in prepared]
    # The first guess knows no patterns, only how far readings lie from the middle: a long fault would be a pattern of its own.
    together = [p.z**2 for p in prepared]
    keep: list[Mask] = usable
    energies: dict[str, list[Array]] = {}
    for turn in range(ROUNDS):
        step("learning from the series itself", turn, ROUNDS)
        keep = bulk(together, keep, usable, plan.window, trim)
        if turn > 0:
            scale = _scale(pieces, plan, keep=np.concatenate(keep))
            prepared = [prepare(p, scale, window=plan.window, clip=clip) for p in pieces]
        energies = _cross_fitted([p.z for p in prepared], keep, folds, members, plan, adjoining=whole)
        for found in energies.values():
            for energy, one in zip(found, prepared, strict=True):
                _silenced(energy, one.silent)
        together = _joined(energies, keep)
    keep = bulk(together, keep, usable, plan.window, trim)
    scales = usual_scales(plan.window, sum(map(len, pieces)))
    idle = [p.idle for p in prepared]
    states: dict[str, State] = {member.name: {} for member in members}
    if not whole:  # the stretches between those learned from have no part in what was learned, so all of it may judge them
        z = [p.z for p in prepared]
        states = {member.name: member.learn(z, keep, plan) for member in members}
    elif len(pieces) > 1:
        energies = {name: [np.concatenate(found)] for name, found in energies.items()}
        keep, idle = [np.concatenate(keep)], [np.concatenate(idle)]
    view = View(
        scale=scale,
        learned={
            name: _learned(states[name], found, scales, keep, idle, settle=True) for name, found in energies.items()
        },
    )  # fmt: skip
    if not whole:
        return seen_against(view, values, members, plan, clip=clip, trailing=False)
    return _said(view, {name: found[0] for name, found in energies.items()}, idle[0], trailing=False)


def _scale(pieces: Sequence[Array], plan: Plan, *, keep: Mask | None = None, trim: float = 0.0) -> Scale:
    """The scale of the pieces; a muted channel's is infinite, so that nothing it shows is a move."""
    scale = measure_scale(pieces, keep=keep, trim=trim)
    muted = np.isin(np.arange(len(scale.spread)), plan.muted)
    return replace(scale, spread=np.where(muted, np.inf, scale.spread), quiet=scale.quiet & ~muted)


def _fitted(pieces: Sequence[Array], members: Sequence[Member], plan: Plan, clip: float) -> tuple[Scale, dict[str, State]]:
    scale = _scale(pieces, plan)
    z = [standardise(fill(p, scale.mean)[0], scale, clip) for p in pieces]
    return scale, {member.name: member.learn(z, None, plan) for member in members}


def _cross_fitted(
    z: Sequence[Array], keep: Sequence[Mask], folds: Sequence[int], members: Sequence[Member], plan: Plan, *, adjoining: bool
) -> dict[str, list[Array]]:
    """Energies (T_i, M) of each piece by members that learned from the pieces of other folds."""
    found: dict[str, list[Array]] = {member.name: [np.empty((0, 0), np.float32)] * len(z) for member in members}
    for fold in sorted(set(folds)):
        rest = [i for i, f in enumerate(folds) if f != fold and keep[i].any()] or list(range(len(z)))
        for member in members:
            state = member.learn([z[i] for i in rest], [keep[i] for i in rest], plan)
            for i in (i for i, f in enumerate(folds) if f == fold):
                # Neighbours lend their edge, so that a cut through the series is no edge of it.
                margin = member.reach(plan) if adjoining else 0
                before = z[i - 1][-margin:] if margin and i else z[i][:0]
                after = z[i + 1][:margin] if margin and i + 1 < len(z) else z[i][:0]
                energy = member.energy(np.concatenate([before, z[i], after]), state, plan)
                found[member.name][i] = energy[len(before) : len(before) + len(z[i])]
    return found


def _learned(
    state: State, energies: Sequence[Array], scales: tuple[int, ...], keep: Sequence[Mask], idle: Sequence[Mask], *, settle: bool
) -> Learned:
    normality = learn_normality(energies, scales=scales, keep=keep)

    def raw(*, trailing: bool) -> Array:
        return np.concatenate(
            [
                combine(channel_excess(e, normality, trailing=trailing, idle=i, settle=settle))[0][k]
                for e, i, k in zip(energies, idle, keep, strict=True)
            ]
        )

    return Learned(
        state=state, normality=normality, curve=learn_surprise(raw(trailing=False)), trailing=learn_surprise(raw(trailing=True))
    )


def _said(view: View, energies: dict[str, Array], idle: Mask, *, trailing: bool) -> Seen:
    surprises, shares = [], []
    for name, energy in energies.items():
        learned = view.learned[name]
        excess = channel_excess(energy, learned.normality, trailing=trailing, idle=idle, settle=not trailing)
        scores, parts = combine(excess)
        surprise = (learned.trailing if trailing else learned.curve)(scores)
        surprise[idle] = 0.0
        parts *= (surprise / np.maximum(scores, 1e-12))[:, None]
        surprises.append(surprise)
        shares.append(parts)
    return Seen(surprises=surprises, shares=shares)


def _joined(energies: dict[str, list[Array]], keep: Sequence[Mask]) -> list[Array]:
    """The members' energies on one scale, added: what is strange to all is set aside first."""
    total: list[Array] = []
    for found in energies.values():
        level = learn_normality(found, scales=(1,), keep=keep).level.astype(np.float32)
        total = [e / level + (total[i] if total else 0.0) for i, e in enumerate(found)]
    return total


def _silenced(energy: Array, silent: Mask) -> Array:
    energy[silent] = np.maximum(energy[silent], MISSING_ENERGY)
    return energy


def _cut(series: Sequence[Array]) -> tuple[list[Array], list[int], list[int]]:
    """Contiguous pieces, the fold of each, and the series it is of: a long series is cut in FOLDS, a short one goes whole to one fold."""
    pieces, folds, owners = [], [], []
    for i, values in enumerate(series):
        parts = [
            part
            for stretch in stretches(values)
            for part in (np.array_split(stretch, FOLDS) if len(stretch) >= FOLDS * LEAST_FOLD else [stretch])
        ]
        pieces += parts
        folds += [j % FOLDS for j in range(len(parts))] if len(parts) > 1 else [i % FOLDS]
        owners += [i] * len(parts)
    return pieces, folds, owners
