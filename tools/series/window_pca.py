"""Windowed PCA residual for sensor series, with each channel's share and robust self-calibration.

After Jackson & Mudholkar (1979), control procedures for residuals of principal components, on sliding windows; the strongest
method of TSB-AD (Liu & Paparrizos, NeurIPS 2024) on multivariate series. Own additions: coefficients limited to their usual
reach, held-out statistics per channel, several time scales (tools.series.excess) and, as an option, the distance to the nearest of
a few usual windows (tools.series.shapes). Axes (T steps, M channels).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from core.archive import load_arrays, save_arrays
from core.detector import parameters
from core.errors import BadInput, NotFitted
from core.samples import Sample, Series
from core.scores import PointScores
from core.settings import limits
from tools.catalog import ROWS
from tools.series.excess import Normality
from tools.series.given import arranged, require_series
from tools.series.model import Model, Settings, View, learn_from_itself, learn_from_normal, score_values, shifted
from tools.series.shapes import Shapes
from tools.series.stream import SeriesStream
from tools.series.windows import SWITCHES, Basis, Scale

SHIFTED = 4.0
"""A channel's typical squared residual is this many times its normal level: twice as far off as usual, all the time."""


class WindowPCA:
    """How badly the usual window patterns rebuild each time step, and which channels are to blame.

    With `fit`, normal is what the given series do. Without, each scored series is its own reference: its patterns are
    learned twice more after the strangest `trim` of its steps is set aside, so odd steps must be a minority.

    Scores are float32 (T,), about 0.7·scales·√M on normal data (a length of shapes counts as a scale), higher = stranger;
    `channels` (T, M) add up to the score.
    Gaps are forward-filled (before the first reading: the normal mean). A step with no reading at all is `valid=False` and
    scores 0; a channel that usually reports and is silent for longer than a window is odd by itself. A channel that never
    moved in the normal data counts a fixed amount when it does, whatever the size of the move. A single channel's window is
    its dominant period, when it has one longer than `window`. A channel that is off throughout a long series, or wavers all the
    time, counts by what it does beyond that (`shifted_channels` names those that are off); not so with `causal`, which cannot know.

    Args:
        window: steps per window; shrinks to a quarter of a short series.
        components: most patterns kept, at most a quarter of the window's numbers.
        explained: patterns stop when they explain this share of the windows' variance.
        clip: limit of standardised readings, in standard deviations.
        bound: limit of a pattern's coefficient, in its usual reach.
        trim: share of steps set aside when a series is its own reference.
        causal: use only long averages that end at the step, and no shapes, as `stream` does.
        shapes: usual shapes kept for each of three window lengths, whose distances then count too; 0 for none. They find long
            stretches more surely (SMD without history: AUROC .87 to .90) and smear their beginnings and ends over the windows,
            which a person who asks "since when?" pays for: hence none by default.
        switches: whether channels that know two states in the normal data, such as flags and commands, are "judged", "unjudged" (looked
            at, without a share in the score), or "auto": judged unless they outnumber the others (`unjudged_channels`).
        seed: for the randomised decomposition of wide data.

    Raises:
        BadInput: no series, other channels than fitted, fewer than 8 rows to learn from, or no reading at all.

    Source: Jackson & Mudholkar, Technometrics 21(3), 1979.

    >>> t = np.arange(400)
    >>> values = np.stack([np.sin(t / 7), np.cos(t / 7)], axis=1).astype(np.float32)
    >>> values[300:310, 1] += 2
    >>> scores = WindowPCA(window=8).score([Series(name="s", values=values, time_s=t * 1.0, channels=("a", "b"))])[0]
    >>> bool(295 <= np.argmax(scores.scores) < 315), int(scores.channels[300:310].sum(axis=0).argmax())
    (True, 1)
    """

    spec = next(row for row in ROWS if row.name == "window_pca")

    def __init__(
        self, *, window: int = 16, components: int = 20, explained: float = 0.9, clip: float = 20.0, bound: float = 4.0,
        trim: float = 0.1, causal: bool = False, seed: int = 0, shapes: int = 0,
        switches: str = "auto",
    ) -> None:  # fmt: skip
        longest, most = limits().max_window, limits().max_components
        for name, value, good in (
            ("window", window, 2 <= window <= longest), ("components", components, 1 <= components <= most),
            ("explained", explained, 0 < explained <= 1), ("clip", clip, clip > 0), ("bound", bound, bound > 0),
            ("trim", trim, 0 < trim < 0.5), ("shapes", shapes, 0 <= shapes <= most), ("switches", switches, switches in SWITCHES),
        ):  # fmt: skip
            if not good:
                raise BadInput(
                    f"{name}={value!r}: expected window ≥ 2 (at most {longest:,}), components ≥ 1 (at most {most:,}), "
                    f"0 < explained ≤ 1, clip and bound > 0, 0 < trim < 0.5, 0 ≤ shapes ≤ {most:,}, switches one of "
                    f"{', '.join(map(repr, SWITCHES))}."
                )
        self.window, self.components, self.clip, self.bound = window, components, clip, bound
        self.explained, self.trim, self.causal, self.seed, self.shapes = explained, trim, causal, seed, shapes
        self.switches = switches
        self._model: Model | None = None
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
        self._model, self._reference = learn_from_normal(values, self._settings, causal=self.causal)
        self._channels = channels
        return self

    def score(self, batch: Sequence[Sample]) -> list[PointScores]:
        """Score series, one PointScores each, in order.

        Raises:
            BadInput: nothing given, or the channels are not the fitted ones.
        """
        return [self._score(series) for series in require_series(batch, self.spec.name)]

    def shifted_channels(self, series: Series) -> list[tuple[str, float]]:
        """Channels that differ from the normal data throughout a long series: name and typical residual ÷ its normal level.

        Scores and shares are about what comes on top of that, so an answer should say it once. Most shifted first; empty
        before `fit` and for series of less than 1,000 steps.

        Raises:
            BadInput: the channels are not the fitted ones.
        """
        if self._model is None:
            return []
        values = arranged(require_series([series], self.spec.name)[0], self._channels, "the normal data")
        ratios = shifted(values, self._model, self._settings)
        order = np.argsort(-ratios, kind="stable")
        return [(self._channels[i], float(ratios[i])) for i in order if ratios[i] >= SHIFTED]

    def reference_scores(self) -> NDArray[np.float32]:
        """Scores (N,) of the normal steps, each rebuilt by patterns of the other quarters; empty before `fit`."""
        return self._reference

    def stream(self) -> SeriesStream:
        """A scorer for rows as they arrive, with bounded memory; it equals `score` of a `causal=True` detector.

        Raises:
            NotFitted: there is no normal reference; a stream cannot be its own.
        """
        if self._model is None:
            raise NotFitted.of(self.spec.name)
        return SeriesStream(self._model, self._settings, self._channels)

    def save(self, path: Path) -> None:
        """Write constructor values and what was learned to one .npz."""
        arrays: dict[str, NDArray[np.generic]] = {"reference": self._reference}
        state: dict[str, object] = {"channels": list(self._channels), "fitted": self._model is not None}
        if self._model is not None:
            scale, basis, normality = self._model.scale, self._model.basis, self._model.normality
            arrays |= {
                "unjudged": self._model.unjudged,
                "mean": scale.mean,
                "spread": scale.spread,
                "quiet": scale.quiet,
                "missing": scale.missing,
            }
            arrays |= {"centre": basis.centre, "patterns": basis.patterns, "reach": basis.reach}
            arrays |= {"level": normality.level, "log_centre": normality.centre, "log_spread": normality.spread}
            for n, view in enumerate(self._model.views):
                arrays |= {f"shapes{n}": view.shapes.centres, f"shapes{n}_level": view.normality.level}
                arrays |= {f"shapes{n}_centre": view.normality.centre, f"shapes{n}_spread": view.normality.spread}
            state |= {"window": basis.window, "scales": list(normality.scales), "views": len(self._model.views)}
        save_arrays(path, name=self.spec.name, parameters=parameters(self), arrays=arrays, state=state)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or another detector's.
        """
        values, arrays, state = load_arrays(path, name=cls.spec.name)
        detector = cls(**values)
        detector._channels, detector._reference = tuple(state["channels"]), arrays["reference"]
        if state["fitted"]:
            detector._model = Model(
                scale=Scale(mean=arrays["mean"], spread=arrays["spread"], quiet=arrays["quiet"], missing=arrays["missing"]),
                basis=Basis(
                    window=state["window"], centre=arrays["centre"], patterns=arrays["patterns"], reach=arrays["reach"]
                ),
                normality=Normality(
                    level=arrays["level"], centre=arrays["log_centre"], spread=arrays["log_spread"],
                    scales=tuple(state["scales"]),
                ),
                unjudged=arrays["unjudged"],
                views=tuple(
                    View(
                        shapes=Shapes(centres=arrays[f"shapes{n}"]),
                        normality=Normality(
                            level=arrays[f"shapes{n}_level"], centre=arrays[f"shapes{n}_centre"], spread=arrays[f"shapes{n}_spread"],
                            scales=(1,),
                        ),
                    )
                    for n in range(state["views"])
                ),
            )  # fmt: skip
        return detector

    @property
    def _settings(self) -> Settings:
        return Settings(
            window=self.window,
            components=self.components,
            explained=self.explained,
            clip=self.clip,
            bound=self.bound,
            trim=self.trim,
            seed=self.seed,
            shapes=self.shapes,
            switches=self.switches,
        )

    def _score(self, series: Series) -> PointScores:
        if self._model is not None:
            values = arranged(series, self._channels, "the normal data")
            model = self._model
        else:
            values = series.values
            model = self._itself(series)
        scores, shares, valid = score_values(values, model, self._settings, causal=self.causal)
        if self._channels and self._model is not None and series.channels != self._channels:
            shares = shares[:, [self._channels.index(name) for name in series.channels]]
        return PointScores(
            sample=series.name, seconds=series.time_s, scores=scores, valid=valid, channels=shares, channel_names=series.channels,
            unjudged=tuple(compress(self._channels or series.channels, model.unjudged)),
        )  # fmt: skip

    def _itself(self, series: Series) -> Model:
        try:
            return learn_from_itself(series.values, self._settings, causal=self.causal)
        except BadInput as error:
            raise BadInput(f"series {series.name!r}: {error}") from error
