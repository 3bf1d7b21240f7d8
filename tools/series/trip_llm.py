"""Sensor series rebuilt through a frozen language model, from patches of all channels together; what it cannot rebuild is strange.

Source: Yu, Ouyang & Lin, TriP-LLM: A Tri-Branch Patch-Wise Large Language Model Framework for Time-Series Anomaly Detection (IEEE
Access 2025, arXiv 2508.00047): the network (`models.trip_llm`) and the rule "last" are the paper's; the embedded body is MiniLM where
the paper has GPT-2, and training draws its windows instead of visiting all (`models.trip_training`).

Chosen on faults injected into held-out *normal* parts, their last 40 %: other levels, drifts, noise, standstills, other rhythms, swings,
exchanged stretches, log-uniform from 10 or 20 to 500 steps, of MSL (27 instruments in one series and one model, faults in the telemetry
and now and then in the commands) and of machines of SMD. Mean PATE on MSL, where random scores give .103 and the best simple method .141:

* All channels judged, a step's own error: .118 after 200 updates, .128 after 800; without a body .127 and .132. The errors of 54 flags and
  commands, whose switching nothing foretells, drown the one channel that is measured.
* Only that channel judged: .138 and .146 (no body .149 and .156); by its windows' mean errors .159 and .189 (.219 and .245).
* Only it rebuilt as well: .229 after 400 updates (no body .282).
* On two machines of SMD, without flags, windows' mean errors give .328 and .226, the paper's rule .302 and .213, a step's own .228 and
  .142; without balancing less, by each rule.

The body costs training: through two layers of MiniLM the held-out error is after 800 updates where it is after 300 without a body, and the
faults are found as well after 2,400 (.244) as without after 800 (.245). A higher rate or freed norms change nothing. On injected faults
what was learned on language does not help; on the labelled incidents of MSL it does a little (docs/results.md). `body="none"` is the
quicker choice, and windowed PCA on the measured channel alone does as well.

Axes and units: series (T steps, M channels); errors are squared standard deviations of the normal data.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from core.archive import load_arrays, save_arrays
from core.detector import DetectorSpec, parameters
from core.errors import BadInput, NotFitted
from core.samples import Sample, Series
from core.scores import PointScores
from core.settings import limits
from models.trip_shape import Shape
from tools.catalog import ROWS
from tools.series.given import arranged, require_series
from tools.series.model import MISSING_ENERGY, prepare, stretches
from tools.series.overlaps import BLOCK_NUMBERS, RULES, Rule, Windowing, step_errors
from tools.series.windows import SWITCHES, Scale, measure_scale, unjudged_channels

if TYPE_CHECKING:
    from models.trip_llm import TripNetwork
    from models.trip_training import Windows

Array = NDArray[np.float32]
HELD_OUT = 0.2
"""Share of the normal data, its end, that is not learned from: it ends the training and gives the reference scores."""
MOST_CHANNELS = 1_000
"""Two projections of 128 × 256 weights belong to each channel: here training takes a gigabyte for them alone."""


class TripLLM:
    """How badly a network around a frozen language model rebuilds each time step, and which channels are to blame.

    Scores are float32 (T,), higher = stranger; `channels` (T, M) add up to the score. Gaps are forward-filled (before the first
    reading: the normal mean). A step with no reading at all is `valid=False` and scores 0, and so do, with the rule "last", the first
    L − 1 steps, at which no window ends; a channel that usually reports and is silent for longer than a window is odd by itself, and one
    that never moved in the normal data counts a fixed amount when it does. A series shorter than a window is continued backwards by its
    first row.

    Args:
        window: steps L of a window; (window − smallest patch) must be a multiple of `stride`.
        patches: ascending sizes of patches, in steps.
        stride: steps from patch to patch.
        body: "minilm" (embedded); "gpt2", "smollm2-135m", "qwen2.5-0.5b", owner/name or a folder, where the weights are on this machine;
            "random" and "none" to see what pretraining is worth.
        layers: of the body that are used, the first ones; None: all, as in the paper.
        free_norms: also train the body's layer norms.
        rule: "average": a step's error is the mean over all windows that hold it; "window": the mean of these windows' own mean errors;
            "last": as in the paper, a window's error is given to its last step.
        hop: steps from window to window when scoring; the paper's is 1.
        balanced: measure the error of each channel that is usually rebuilt worse than the mean channel by its usual error, so that it
            does not drown the others.
        switches: whether channels that know two states in the normal data, such as flags and commands, are "judged", "unjudged" (looked
            at, neither rebuilt nor with a share in the score; a series of nothing else is judged by them), or "auto": judged unless they
            outnumber the others (`unjudged_channels`).
        clip: limit of standardised readings, in standard deviations.
        updates: most training steps.
        batch: windows of a training step.
        rate: learning rate of the first steps.
        seed: of weights, windows and what is dropped.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        NotFitted: `score` before `fit`.
        BadInput: no series, other channels than fitted, more channels than can be held, too few normal rows, or no reading at all.

    Source: Yu, Ouyang & Lin, IEEE Access 2025.

    >>> rng = np.random.default_rng(0)
    >>> def waves(fault: bool) -> Series:
    ...     t = np.arange(240.0)
    ...     values = np.stack([np.sin(t / 4), np.cos(t / 4)], axis=1) + rng.normal(0, 0.1, (240, 2))
    ...     values[120:130, 1] += 3 if fault else 0
    ...     return Series(name="s", values=values.astype(np.float32), time_s=t, channels=("a", "b"))
    >>> learned = TripLLM(window=16, patches=(4, 8), stride=4, body="none", updates=40).fit([waves(False), waves(False)])
    >>> found = learned.score([waves(True)])[0]
    >>> bool(110 <= found.scores.argmax() < 140), int(found.channels[120:130].sum(axis=0).argmax())
    (True, 1)
    """

    spec: DetectorSpec = next(row for row in ROWS if row.name == "trip_llm")

    def __init__(
        self, *, window: int = 48, patches: tuple[int, ...] = (8, 16), stride: int = 8, body: str = "minilm",
        layers: int | None = 2, free_norms: bool = False, rule: Rule = "window", hop: int = 8, balanced: bool = True,
        switches: str = "unjudged", clip: float = 5.0, updates: int = 400, batch: int = 16, rate: float = 1e-3, seed: int = 0,
        device: str = "auto",
    ) -> None:  # fmt: skip
        longest = limits().max_window
        good = 2 <= window <= longest and len(tuple(patches)) and 1 <= hop <= window and min(updates, batch) >= 1
        if not good or clip <= 0 or rate <= 0 or rule not in RULES or switches not in SWITCHES:
            raise BadInput(
                f"window={window!r}, patches={patches!r}, hop={hop!r}, rule={rule!r}, clip={clip!r}, updates={updates!r}, batch={batch!r}, "
                f"rate={rate!r}, switches={switches!r}: expected a window of 2 to {longest:,} steps, one patch size or more, a hop of 1 to "
                f"the window, one of the rules {', '.join(RULES)}, clip and rate above 0, at least one update and window, and switches "
                f"among {', '.join(SWITCHES)}."
            )
        self.window, self.patches, self.stride, self.body = window, tuple(patches), stride, body
        self.layers, self.free_norms = layers, free_norms
        self.rule, self.hop, self.balanced, self.switches, self.clip = rule, hop, balanced, switches, clip
        self.updates, self.batch, self.rate, self.seed, self.device = updates, batch, rate, seed, device
        Shape(channels=1, window=window, patches=self.patches, stride=stride)  # refuses what leaves steps in no patch
        self._network: TripNetwork | None = None
        self._scale: Scale | None = None
        self._usual = np.empty(0, np.float32)
        self._judged = np.empty(0, np.bool_)
        self._channels: tuple[str, ...] = ()
        self._reference = np.empty(0, np.float32)
        self._held_out: tuple[float, ...] = ()

    def fit(self, normal: Sequence[Sample]) -> Self:
        """Train on the first four fifths of normal series with the same channels; a second call replaces the first.

        Raises:
            BadInput: nothing given, channels differ among the series, too many of them, or no series of two windows' length.
            UnknownName: the body's weights are not on this machine.
        """
        import torch

        from models.trip_training import train_trip

        series = require_series(normal, self.spec.name)
        channels = series[0].channels
        if len(channels) > MOST_CHANNELS:
            raise BadInput(
                f"series {series[0].name!r}: expected at most {MOST_CHANNELS:,} channels, got {len(channels):,}: each has weights of its "
                "own here. Use window_pca, whose patterns take a fraction of that, or choose channels."
            )
        pieces = [part for s in series for part in stretches(arranged(s, channels, f"series {series[0].name!r}"))]
        cuts = _cuts([len(piece) for piece in pieces], self.window)
        if all(cut == len(piece) for cut, piece in zip(cuts, pieces, strict=True)):
            raise BadInput(
                f"expected a normal series of at least {2 * self.window} rows, two windows, got {max(map(len, pieces))}. Give a longer "
                "series or a smaller window, or use window_pca."
            )
        scale = measure_scale(pieces)
        rows = [prepare(piece, scale, window=self.window, clip=self.clip).z for piece in pieces]
        network = self._new(len(channels))
        learned, held = _windows(rows, cuts, self.window)
        self._judged = ~unjudged_channels(pieces, scale, self.switches)
        moving = bool((self._judged & ~scale.quiet).any())
        course = train_trip(
            network, learned, held, updates=self.updates, batch=self.batch, rate=self.rate, seed=self.seed, low=self._low,
            judged=torch.from_numpy(self._judged & ~scale.quiet if moving else self._judged),
        )  # fmt: skip
        self._held_out = course.held_out
        self._network, self._scale, self._channels = network, scale, channels
        tails = [piece[cut:] for piece, cut in zip(pieces, cuts, strict=True) if cut < len(piece)]
        found = [self._errors(tail) for tail in tails]
        errors = np.concatenate([errors[valid] for errors, valid in found])
        self._usual = errors.mean(axis=0)
        self._reference = errors @ self._weights
        return self

    def score(self, batch: Sequence[Sample]) -> list[PointScores]:
        """Score series, one PointScores each, in order.

        Raises:
            NotFitted: `fit` was not called.
            BadInput: nothing given, or the channels are not the fitted ones.
        """
        series = require_series(batch, self.spec.name)
        if self._network is None:
            raise NotFitted.of(self.spec.name)
        return [self._score(one) for one in series]

    def reference_scores(self) -> NDArray[np.float32]:
        """Scores (N,) of the steps that were not learned from; empty before `fit`.

        The same steps said when to stop and what each channel's usual error is, which flatters them a little.
        """
        return self._reference

    def held_out_errors(self) -> tuple[float, ...]:
        """Mean squared error of held-out windows at the start of training and after each of its epochs; empty before `fit`."""
        return self._held_out

    def scored_by(self, *, rule: Rule, hop: int, balanced: bool) -> Self:
        """A detector with the same network that gives errors to steps in another way; it has no reference scores."""
        other = copy.copy(self)
        other.rule, other.hop, other.balanced = rule, hop, balanced
        other._reference = np.empty(0, np.float32)
        return other

    def save(self, path: Path) -> None:
        """Write constructor values, weights (but for the frozen body's) and held-out scores to one .npz."""
        if self._network is None or self._scale is None:
            raise NotFitted.of(self.spec.name)
        scale = self._scale
        arrays: dict[str, NDArray[np.generic]] = {
            f"network.{name}": tensor.cpu().numpy() for name, tensor in self._network.state_dict().items()
        }
        arrays |= {"mean": scale.mean, "spread": scale.spread, "quiet": scale.quiet, "missing": scale.missing}
        arrays |= {"usual": self._usual, "reference": self._reference, "judged": self._judged}
        save_arrays(
            path,
            name=self.spec.name,
            parameters=parameters(self),
            arrays=arrays,
            state={"channels": list(self._channels), "held_out": list(self._held_out)},
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or another detector's.
            UnknownName: the body's weights are not on this machine.
        """
        import torch

        values, arrays, state = load_arrays(path, name=cls.spec.name)
        made = cls(**values)
        made._channels, made._held_out = tuple(state["channels"]), tuple(state["held_out"])
        made._usual, made._reference, made._judged = arrays["usual"], arrays["reference"], arrays["judged"]
        made._scale = Scale(mean=arrays["mean"], spread=arrays["spread"], quiet=arrays["quiet"], missing=arrays["missing"])
        network = made._new(len(made._channels))
        weights = {key.removeprefix("network."): torch.from_numpy(a) for key, a in arrays.items() if key.startswith("network.")}
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise BadInput(f"{path.name!r}: its weights do not fit this version's network; fit it anew ({error}).") from error
        made._network = network.eval()
        return made

    @property
    def _weights(self) -> Array:
        """What each channel's error (M,) counts."""
        level = np.ones_like(self._usual)
        if self.balanced:
            level = np.maximum(self._usual, np.float32(self._usual[self._judged].mean() + 1e-12))
        return np.asarray(1.0 / (level * self._judged.sum()), np.float32)

    def _score(self, series: Series) -> PointScores:
        errors, valid = self._errors(arranged(series, self._channels, "the normal data"))
        shares = errors * self._weights
        scores = shares.sum(axis=1)
        if series.channels != self._channels:
            shares = shares[:, [self._channels.index(name) for name in series.channels]]
        return PointScores(
            sample=series.name,
            seconds=series.time_s,
            scores=scores,
            valid=valid,
            channels=shares,
            channel_names=series.channels,
            unjudged=tuple(compress(self._channels, ~self._judged)),
        )

    def _errors(self, values: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Squared errors (T, M), silence counted in, and which steps (T,) could be judged."""
        steps, channels = values.shape
        ahead = max(0, self.window - steps)
        silent: list[NDArray[np.bool_]] = []
        idle: list[NDArray[np.bool_]] = []
        errors = step_errors(
            self._prepared(values, ahead, silent, idle), (ahead + steps, channels), self._rebuilt,
            Windowing(length=self.window, hop=self.hop, rule=self.rule),
        )[ahead:]  # fmt: skip
        errors[:, ~self._judged] = 0.0
        missing = np.concatenate(silent)
        errors[missing] = np.maximum(errors[missing], MISSING_ENERGY)
        valid = ~np.concatenate(idle)
        if self.rule == "last":
            valid[: self.window - 1 - ahead] = False
        errors[~valid] = 0.0
        return errors, valid

    def _prepared(
        self, values: Array, ahead: int, silent: list[NDArray[np.bool_]], idle: list[NDArray[np.bool_]]
    ) -> Iterator[tuple[int, Array]]:
        """Blocks of standardised rows, `ahead` copies of the first in front; what else is known of the rows is put into the lists."""
        assert self._scale is not None
        channels = values.shape[1]
        last, since = np.full(channels, np.nan, np.float32), np.zeros(channels, np.int64)
        size = max(self.window, BLOCK_NUMBERS // channels)
        for first in range(0, len(values), size):
            rows = values[first : first + size]
            prepared = prepare(rows, self._scale, window=self.window, clip=self.clip, last=last, since=since)
            since, seen = prepared.since, ~np.isnan(rows)
            newest = len(rows) - 1 - np.argmax(seen[::-1], axis=0)
            last = np.where(seen.any(axis=0), rows[newest, np.arange(channels)], last)
            silent.append(prepared.silent)
            idle.append(prepared.idle)
            z = np.concatenate([np.repeat(prepared.z[:1], ahead, axis=0), prepared.z]) if ahead else prepared.z
            yield first, z

    def _rebuilt(self, windows: Array) -> Array:
        import torch

        assert self._network is not None
        assert self._scale is not None
        with torch.inference_mode(), self._low():
            rebuilt: Array = self._network(torch.from_numpy(windows).to(self._network.seen_offset.device)).cpu().numpy()
        rebuilt[..., self._scale.quiet] = 0.0  # what never moved needs no network to be rebuilt
        return rebuilt

    def _low(self) -> AbstractContextManager[object]:
        """The number format of the place where the network is."""
        import torch

        from models.device import place

        placement = place(self.device)
        plain = placement.dtype is torch.float32
        return nullcontext() if plain else torch.autocast(placement.device.type, dtype=placement.dtype)

    def _new(self, channels: int) -> TripNetwork:
        from models.device import place
        from models.language_body import open_body
        from models.trip_llm import TripNetwork

        shape = Shape(channels=channels, window=self.window, patches=self.patches, stride=self.stride)
        body = open_body(self.body, layers=self.layers, free_norms=self.free_norms, device=self.device, seed=self.seed)
        return TripNetwork(shape, body, seed=self.seed).to(place(self.device).device)


def _cuts(lengths: Sequence[int], window: int) -> list[int]:
    """Where the held-out end of each piece begins; a piece of less than two windows has none."""
    return [n - max(round(HELD_OUT * n), window) if n >= 2 * window else n for n in lengths]


def _windows(pieces: Sequence[Array], cuts: Sequence[int], window: int) -> tuple[Windows, Windows]:
    """Windows to learn from and held-out ones; none lies across a cut or the border of two pieces (T_i, M)."""
    import torch

    from models.trip_training import Windows

    rows = torch.from_numpy(np.concatenate(pieces))
    learned, held, origin = [], [], 0
    for piece, cut in zip(pieces, cuts, strict=True):
        learned.append(np.arange(origin, origin + max(0, cut - window + 1)))
        held.append(np.arange(origin + cut, origin + max(cut, len(piece) - window + 1)))
        origin += len(piece)
    return tuple(Windows(rows=rows, starts=torch.from_numpy(np.concatenate(starts))) for starts in (learned, held))  # type: ignore[return-value]
