"""Several ways of looking at a sensor series, added up as surprises: patterns in windows and one-step forecasts, against history and
against the rest of the series itself.

No labels are used: every member's scores become conformal tail surprises (tools.series.surprise) against normal data it did not learn
from (tools.series.views), so they have one unit and are averaged; Liu & Paparrizos, TSB-AD (NeurIPS 2024), find simple detectors at
the top and different ones for different series, which an average of ranks follows. Axes (T steps, M channels).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from core.archive import load_arrays, save_arrays
from core.detector import parameters
from core.errors import BadInput, NotFitted
from core.samples import Sample, Series
from core.scores import PointScores
from core.settings import limits
from tools.catalog import ROWS
from tools.series.ensemble_stream import EnsembleStream
from tools.series.excess import Normality
from tools.series.given import arranged, require_series
from tools.series.members import MEMBERS, STREAMED, Member, Plan
from tools.series.model import choose_window, shifted_energy
from tools.series.surprise import Surprise
from tools.series.views import Learned, Seen, View, learn_view, seen_against, seen_against_itself
from tools.series.window_pca import SHIFTED
from tools.series.windows import SWITCHES, Scale, measure_scale, unjudged_channels

LEAST_ITSELF = 400
"""Steps from which a series with a history is also compared with the rest of itself; a shorter one says little about what is usual."""


class SeriesEnsemble:
    """How surprising each time step is to several detectors at once, and which channels are to blame.

    Each member judges the series against history (after `fit`) and against the rest of the series itself, whichever there is, and its
    judgement becomes a surprise: minus the log10 of the share of normal steps that score as high. Scores are float32 (T,), the mean
    surprise, about 0.4 on normal data whatever the series, so that scores of different machines compare; higher = stranger. `channels`
    (T, M) add up to the score.

    Gaps are forward-filled (before the first reading: the normal mean). A step with no reading at all is `valid=False` and scores 0; a
    channel that usually reports and is silent for longer than a window is odd by itself. A single channel's window is its dominant
    period, when it has one longer than `window`.

    Args:
        members: what looks at the series, of "patterns" (windowed PCA), "forecast" (ridge regression), "shapes" (k-means on windows),
            "spectral" (spectral residual), "polynomial" (extended line, each channel alone) and "profile" (matrix profile; needs the
            extra of that name, and the square of the length in time). The default two did best, together, on faults injected into
            held-out normal data of many channels, where the others, alone or added, did worse; on single channels "shapes" added a
            little (PATE .41 to .43), "profile" more (.75 to .80, on other faults).
        window: steps per window of patterns; shrinks to a quarter of a short series.
        components: most patterns kept, at most a quarter of the window's numbers.
        explained: patterns stop when they explain this share of the windows' variance.
        clip: limit of standardised readings, in standard deviations.
        bound: limit of a pattern's coefficient, in its usual reach.
        trim: share of steps set aside when a series is its own reference.
        itself: with history, also compare the series with itself. Odd steps must be a minority of it.
        switches: whether channels that know two states in the normal data, such as flags and commands, are "judged", "unjudged" (looked
            at, without a share in the score; their silence counts in any case), or "auto": judged unless they outnumber the others
            (`unjudged_channels`).
        seed: for the randomised decomposition of wide data.

    Raises:
        BadInput: no series, other channels than fitted, fewer than 8 rows to learn from, or no reading at all.

    Source: Liu & Paparrizos, The Elephant in the Room (TSB-AD), NeurIPS 2024; conformal ranks after Vovk et al. 2005.

    >>> t = np.arange(400)
    >>> waves = np.stack([np.sin(t / 7), np.cos(t / 7)], axis=1) + np.random.default_rng(0).normal(0, 0.1, (400, 2))
    >>> values = waves.astype(np.float32)
    >>> values[300:310, 1] += 2
    >>> scores = SeriesEnsemble(window=8).score([Series(name="s", values=values, time_s=t * 1.0, channels=("a", "b"))])[0]
    >>> bool(295 <= np.argmax(scores.scores) < 315), int(scores.channels[300:310].sum(axis=0).argmax())
    (True, 1)
    """

    spec = next(row for row in ROWS if row.name == "ensemble")

    def __init__(
        self, *, members: tuple[str, ...] = ("patterns", "forecast"), window: int = 16, components: int = 20, explained: float = 0.9,
        clip: float = 20.0, bound: float = 4.0, trim: float = 0.1, itself: bool = True, switches: str = "auto", seed: int = 0,
    ) -> None:  # fmt: skip
        longest, most = limits().max_window, limits().max_components
        for name, value, good in (
            ("window", window, 2 <= window <= longest), ("components", components, 1 <= components <= most),
            ("explained", explained, 0 < explained <= 1), ("clip", clip, clip > 0), ("bound", bound, bound > 0),
            ("trim", trim, 0 < trim < 0.5), ("members", members, bool(members) and set(members) <= set(MEMBERS)),
            ("switches", switches, switches in SWITCHES),
        ):  # fmt: skip
            if not good:
                raise BadInput(
                    f"{name}={value!r}: expected members among {', '.join(MEMBERS)}, window ≥ 2 (at most {longest:,}), components "
                    f"≥ 1 (at most {most:,}), 0 < explained ≤ 1, clip and bound > 0, 0 < trim < 0.5, switches among {', '.join(SWITCHES)}."
                )
        self.members, self.window, self.components, self.explained = members, window, components, explained
        self.clip, self.bound, self.trim, self.itself, self.switches, self.seed = clip, bound, trim, itself, switches, seed
        self._muted: tuple[int, ...] = ()
        self._view: View | None = None
        self._steps = 0
        self._channels: tuple[str, ...] = ()
        self._reference = np.empty(0, np.float32)

    def fit(self, normal: Sequence[Sample]) -> Self:
        """Learn from normal series with the same channels; a second call replaces the first.

        Raises:
            BadInput: nothing given, channels differ among the series, or too few rows.
        """
        series = require_series(normal, self.spec.name)
        channels = series[0].channels
        values = [arranged(s, channels, f"series {series[0].name!r}") for s in series]
        self._steps, self._muted = choose_window(values, self.window), self._unjudged(values)
        self._view, held_out = learn_view(values, self._looking, self._plan(self._steps), clip=self.clip)
        self._channels = channels
        scores = []
        for one, said in zip(values, held_out, strict=True):
            if len(said.surprises[0]) == len(one):  # as new data will be judged: by itself too
                said = _both(said, self._itself(one))
            scores.append(_mean(said)[0])
        self._reference = np.concatenate(scores)
        return self

    def score(self, batch: Sequence[Sample]) -> list[PointScores]:
        """Score series, one PointScores each, in order.

        Raises:
            BadInput: nothing given, or the channels are not the fitted ones.
        """
        return [self._score(series) for series in require_series(batch, self.spec.name)]

    def shifted_channels(self, series: Series) -> list[tuple[str, float]]:
        """Channels that differ from the normal data throughout a long series: name and typical residual ÷ its normal level.

        Most shifted first; empty before `fit`, without the member "patterns", and for series of less than 1,000 steps.

        Raises:
            BadInput: the channels are not the fitted ones.
        """
        if self._view is None or "patterns" not in self.members:
            return []
        values = arranged(require_series([series], self.spec.name)[0], self._channels, "the normal data")
        plan, learned = self._plan(self._steps), self._view.learned["patterns"]
        ratios = shifted_energy(
            values, self._view.scale, learned.normality, lambda z: MEMBERS["patterns"].energy(z, learned.state, plan),
            window=plan.window, clip=self.clip,
        )  # fmt: skip
        order = np.argsort(-ratios, kind="stable")
        return [(self._channels[i], float(ratios[i])) for i in order if ratios[i] >= SHIFTED]

    def reference_scores(self) -> NDArray[np.float32]:
        """Scores (N,) of the normal steps, each judged by what the other quarters taught; empty before `fit`."""
        return self._reference

    def stream(self) -> EnsembleStream:
        """A scorer for rows as they arrive, with bounded memory, against history alone.

        Raises:
            NotFitted: there is no normal reference; a stream cannot be its own.
            BadInput: a member needs more of the series than a window.
        """
        if self._view is None:
            raise NotFitted.of(self.spec.name)
        if not set(self.members) <= set(STREAMED):
            raise BadInput(f"members={self.members!r}: expected for a stream only members among {', '.join(STREAMED)}.")
        return EnsembleStream(self._view, self._looking, self._plan(self._steps), self._channels, clip=self.clip)

    def save(self, path: Path) -> None:
        """Write constructor values and what was learned to one .npz."""
        arrays: dict[str, NDArray[np.generic]] = {"reference": self._reference}
        state: dict[str, object] = {"channels": list(self._channels), "fitted": self._view is not None, "steps": self._steps}
        state["muted"] = list(self._muted)
        if self._view is not None:
            scale = self._view.scale
            arrays |= {"mean": scale.mean, "spread": scale.spread, "quiet": scale.quiet, "missing": scale.missing}
            for name, learned in self._view.learned.items():
                normality = learned.normality
                arrays |= {f"{name}/state/{key}": value for key, value in learned.state.items()}
                arrays |= {
                    f"{name}/level": normality.level,
                    f"{name}/centre": normality.centre,
                    f"{name}/spread": normality.spread,
                }
                for which, curve in (("curve", learned.curve), ("trailing", learned.trailing)):
                    arrays |= {f"{name}/{which}/scores": curve.scores, f"{name}/{which}/surprises": curve.surprises}
                    state[f"{name}/{which}"] = curve.slope
                state[f"{name}/scales"] = list(normality.scales)
        save_arrays(path, name=self.spec.name, parameters=parameters(self), arrays=arrays, state=state)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or another detector's.
        """
        values, arrays, state = load_arrays(path, name=cls.spec.name)
        detector = cls(**{**values, "members": tuple(values["members"])})
        detector._channels, detector._reference = tuple(state["channels"]), arrays["reference"]
        detector._steps, detector._muted = state["steps"], tuple(state["muted"])
        if state["fitted"]:
            detector._view = View(
                scale=Scale(mean=arrays["mean"], spread=arrays["spread"], quiet=arrays["quiet"], missing=arrays["missing"]),
                learned={name: _loaded(name, arrays, state) for name in detector.members},
            )
        return detector

    @property
    def _looking(self) -> list[Member]:
        return [MEMBERS[name] for name in self.members]

    def _plan(self, window: int) -> Plan:
        return Plan(
            window=window,
            components=self.components,
            explained=self.explained,
            bound=self.bound,
            seed=self.seed,
            muted=self._muted,
        )

    def _unjudged(self, values: Sequence[NDArray[np.float32]]) -> tuple[int, ...]:
        """The numbers of the switches among the channels of normal series (T_i, M), where they are not to be judged."""
        return tuple(int(n) for n in np.flatnonzero(unjudged_channels(values, measure_scale(values), self.switches)))

    def _score(self, series: Series) -> PointScores:
        seen: Seen | None = None
        order = np.arange(len(series.channels))
        names, muted, values = series.channels, self._muted, series.values
        if self._view is None:
            try:
                muted = self._unjudged([values])
                plan = replace(self._plan(choose_window([values], self.window)), muted=muted)
                seen = seen_against_itself(values, self._looking, plan, clip=self.clip, trim=self.trim)
            except BadInput as error:
                raise BadInput(f"series {series.name!r}: {error}") from error
        else:
            names, values = self._channels, arranged(series, self._channels, "the normal data")
            order = np.array([self._channels.index(name) for name in series.channels])
            seen = seen_against(self._view, values, self._looking, self._plan(self._steps), clip=self.clip, trailing=False)
            seen = _both(seen, self._itself(values))
        scores, shares = _mean(seen)
        return PointScores(
            sample=series.name, seconds=series.time_s, scores=scores, valid=np.asarray(~np.isnan(values).all(axis=1)),
            channels=shares[:, order], channel_names=series.channels, unjudged=tuple(names[number] for number in muted),
        )  # fmt: skip

    def _itself(self, values: NDArray[np.float32]) -> Seen | None:
        """What a series says of itself beside its history; None where it is too short, or not asked for."""
        if not self.itself or len(values) < LEAST_ITSELF:
            return None
        return seen_against_itself(
            values, self._looking, self._plan(choose_window([values], self.window)), clip=self.clip, trim=self.trim
        )


def _both(first: Seen, second: Seen | None) -> Seen:
    if second is None:
        return first
    return replace(first, surprises=[*first.surprises, *second.surprises], shares=[*first.shares, *second.shares])


def _mean(seen: Seen) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mean surprise (T,) and the channels' parts (T, M) of it."""
    count = len(seen.surprises)
    scores = np.sum(seen.surprises, axis=0, dtype=np.float64) / count
    shares = np.zeros_like(seen.shares[0])
    for one in seen.shares:
        shares += one / np.float32(count)
    return np.asarray(scores, dtype=np.float32), shares


def _loaded(name: str, arrays: dict[str, NDArray[Any]], state: dict[str, Any]) -> Learned:
    prefix = f"{name}/state/"
    curves = [
        Surprise(
            scores=arrays[f"{name}/{which}/scores"], surprises=arrays[f"{name}/{which}/surprises"], slope=state[f"{name}/{which}"]
        )
        for which in ("curve", "trailing")
    ]
    return Learned(
        state={key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)},
        normality=Normality(
            level=arrays[f"{name}/level"], centre=arrays[f"{name}/centre"], spread=arrays[f"{name}/spread"],
            scales=tuple(state[f"{name}/scales"]),
        ),
        curve=curves[0], trailing=curves[1],
    )  # fmt: skip
