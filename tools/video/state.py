"""Things that move, judged one by one: how badly a network that learned from normal clips rebuilds their looks and their motion.

Source: Wang et al., Making Reconstruction-based Method Great Again for Video Anomaly Detection (ICDM 2022): STATE, a spatio-temporal
auto-trans-encoder. Network, training and perturbation are in `models.state_network`, boxes and cubes in `tools.video.object_cubes`. Each
thing has two summed squared errors, of colour and of flow; each is counted in standard deviations from its mean over normal cubes, and
the two are added. A frame's score is that of its strangest thing.
Ours: means and deviations are those of normal cubes that were held out (`tools.video.cube_sample`), as a network rebuilds what it learned
from better; one layer of a quarter of the published channels, so that a processor can learn it in minutes; a unit of time is judged
by the frame in its middle, with the six around it. A unit without any thing is not valid and has the score of a cube that was
rebuilt without error, the lowest there is.

Defaults were chosen on avenue's two normal clips: learned from one, asked to tell the other from itself at twice the speed, with a
textured square, and with a person that rushes through it. 25 frames per second were better than 12.5 (AUC .94, .69, .97 against .87,
.66, .92), 16 channels no better than 8, flow in sizes of the thing worse than in pixels (.71, .75, .88), and the perturbation gained .002
at most, so it is off. Ten seconds of normal video taught the motion branch hardly more than how large usual flow is.

Axes and units: clips' frames (H, W, 3) uint8; scores (T,) float32, one per `unit_s` seconds; boxes in pixels of the clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from core.archive import load_arrays, save_arrays
from core.detector import DetectorSpec, parameters, require_batch
from core.errors import BadInput, NotFitted
from core.progress import step
from core.samples import Sample, VideoClip
from core.scores import Box, FrameScores
from tools.catalog import ROWS
from tools.video.cube_sample import FairSample, use_of
from tools.video.object_cubes import AROUND, CubeReader, Cubes

if TYPE_CHECKING:
    from models.state_network import StateNetwork

NAME = "state"
PARTS: tuple[str, str] = ("appearance", "motion")

AT_ONCE = 64
"""Cubes that go through the network together."""

LEAST_SPREAD = 0.05
"""Smallest standard deviation of an error as a share of its mean: few cubes that are nearly one would make everything else strange."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Learned:
    """The network, and means and deviations (2,) of colour and flow errors of held-out normal cubes."""

    network: StateNetwork
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]


class _Unit(NamedTuple):
    """A unit of time: the frame that stands for it, its parts (2,), and where its strangest thing is."""

    frame: int
    parts: NDArray[np.float64]
    box: Box | None


class STATE:
    """When a thing looks or moves unlike the things of normal clips, and which one: scores (T,) float32, one per unit of time.

    Args:
        unit_s: seconds per score.
        rate: frames per second that are looked at; a cube spans seven.
        side: longest side of the frames that things are sought in and cut from, in pixels.
        flow_side: longest side for optical flow in pixels.
        layers: attention layers (published: 3 for one scene, 5 for many).
        width: channels after the network's first block (published: 32).
        steps: training steps at most; training ends earlier when the loss no longer falls.
        batch: cubes of a training step (published: 128).
        cubes: most normal cubes that are kept to learn from, and a quarter of that to hold out.
        perturbation: step against the gradient of its own error by which an input is moved before it is judged (published: 0.002 or
            0.005); takes four times as long.
        appearance: weight of the colour error (published: 0.3 or 1).
        motion: weight of the flow error.
        seed: of first weights, batches and which cubes are kept.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises NotFitted before `fit`, BadInput for a value out of range and for anything but clips.

    >>> STATE(appearance=0.0, motion=0.0)
    Traceback (most recent call last):
    core.errors.BadInput: state: expected weights from 0, one of them above 0, got appearance=0.0, motion=0.0.
    """

    spec: DetectorSpec = next(row for row in ROWS if row.name == NAME)

    def __init__(
        self, *, unit_s: float = 0.2, rate: float = 25.0, side: int = 640, flow_side: int = 320, layers: int = 1, width: int = 8,
        steps: int = 300, batch: int = 32, cubes: int = 4000, perturbation: float = 0.0, appearance: float = 1.0,
        motion: float = 1.0, seed: int = 0, device: str = "auto",
    ) -> None:  # fmt: skip
        for name, value, good, expected in (
            ("unit_s", unit_s, unit_s > 0, "> 0"),
            ("rate", rate, rate > 0, "> 0"),
            ("side", side, side >= 128, "≥ 128"),
            ("layers", layers, layers >= 0, "≥ 0"),
            ("width", width, width >= 1, "≥ 1"),
            ("steps", steps, steps >= 1, "≥ 1"),
            ("batch", batch, batch >= 2, "≥ 2"),
            ("cubes", cubes, cubes >= 8, "≥ 8"),
            ("perturbation", perturbation, 0 <= perturbation < 1, "in [0, 1)"),
        ):
            if not good:
                raise BadInput(f"{NAME}: expected {name} {expected}, got {value!r}.")
        if min(appearance, motion) < 0 or max(appearance, motion) == 0:
            raise BadInput(
                f"{NAME}: expected weights from 0, one of them above 0, got appearance={appearance!r}, motion={motion!r}."
            )
        self.unit_s, self.rate, self.side, self.flow_side = unit_s, rate, side, flow_side
        self.layers, self.width, self.steps, self.batch, self.cubes = layers, width, steps, batch, cubes
        self.perturbation, self.appearance, self.motion = perturbation, appearance, motion
        self.seed, self.device = seed, device
        self._learned: _Learned | None = None
        self._reference = np.zeros(0, np.float32)

    def fit(self, normal: Sequence[Sample]) -> Self:
        """Learn from normal clips; about a fifth of them is held out and gives the usual errors and the reference scores.

        Raises:
            BadInput: not clips, or clips in which nothing moves.
        """
        import torch

        from models.state_network import StateNetwork, Training, train

        clips = self._clips(normal)
        learn, held_out = self._sample(clips)
        if not learn:
            raise BadInput(
                f"{NAME}: expected moving things or people in the normal clips, found none in {len(clips)}; "
                f"frame_novelty looks at the whole picture instead."
            )
        network = StateNetwork(layers=self.layers, width=self.width, seed=self.seed)
        rgb, flow = (torch.from_numpy(np.concatenate(part)) for part in zip(*learn, strict=True))
        train(network, rgb, flow, Training(steps=self.steps, batch=self.batch, seed=self.seed), device=self.device)
        plain = [self._errors(network, some, perturbation=0.0) for some in held_out]
        known = np.concatenate(plain, axis=1).astype(np.float64)
        centre = known.mean(axis=1)
        spread = np.maximum(known.std(axis=1), LEAST_SPREAD * centre + 1e-6)
        self._learned = _Learned(network=network, centre=centre, spread=spread)
        self._reference = np.array([self._judge(self._learned, some)[0].sum() for some in held_out], np.float32)
        return self

    def score(self, batch: Sequence[Sample]) -> list[FrameScores]:
        """One FrameScores per clip: score, the strangest thing's box, and the parts "appearance" and "motion" that add up.

        `valid` is False where there is no thing to judge.

        Raises:
            NotFitted: `fit` was not called.
            BadInput: an empty batch, or samples that are not clips.
        """
        clips = self._clips(batch)
        if self._learned is None:
            raise NotFitted.of(NAME)
        return [self._score_clip(self._learned, clip) for clip in clips]

    def reference_scores(self) -> NDArray[np.float32]:
        """Scores of normal units that were not learned from.

        Of up to four normal clips these are stretches of the same clips, whose people and light were learned: another clip's scores lie
        somewhat higher. Without anything to hold out (clips of a second) they are units that were learned from.
        """
        return self._reference.copy()

    def save(self, path: Path) -> None:
        """Write constructor values, weights, usual errors and held-out scores to one npz file."""
        if self._learned is None:
            raise NotFitted.of(NAME)
        arrays: dict[str, NDArray[Any]] = {
            f"net.{name}": one.cpu().numpy() for name, one in self._learned.network.state_dict().items()
        }
        arrays |= {"reference": self._reference, "centre": self._learned.centre, "spread": self._learned.spread}
        save_arrays(path, name=NAME, parameters=parameters(self), arrays=arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged or another detector's.
        """
        import torch

        from models.device import place
        from models.state_network import StateNetwork

        values, arrays, _ = load_arrays(path, name=NAME)
        made = cls(**values)
        made._reference = arrays["reference"]
        network = StateNetwork(layers=made.layers, width=made.width)
        state = {name.removeprefix("net."): torch.from_numpy(one) for name, one in arrays.items() if name.startswith("net.")}
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise BadInput(f"{path.name!r}: its weights do not fit this version's network; fit it anew ({error}).") from error
        network.to(place(made.device).device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        made._learned = _Learned(network=network, centre=arrays["centre"], spread=arrays["spread"])
        return made

    @property
    def _reader(self) -> CubeReader:
        return CubeReader(rate=self.rate, side=self.side, flow_side=self.flow_side)

    def _clips(self, batch: Sequence[Sample]) -> list[VideoClip]:
        require_batch(batch, VideoClip, NAME)
        return [clip for clip in batch if isinstance(clip, VideoClip)]

    def _unit_of(self, clip: VideoClip) -> float:
        return max(self.unit_s, self._reader.every(clip) / clip.fps)

    def _sample(self, clips: Sequence[VideoClip]) -> tuple[list[Cubes], list[Cubes]]:
        """Cubes of frames to learn from, and of held-out units; where one has none, those of the other stand in."""
        learn = FairSample[Cubes](capacity=self.cubes, seed=self.seed)
        held_out = FairSample[Cubes](capacity=max(1, self.cubes // 4), seed=self.seed)
        for number, clip in enumerate(clips):
            middle = self._reader.middles(clip, self._unit_of(clip))
            margin_s = AROUND * self._reader.every(clip) / clip.fps
            for one in self._reader.read(clip):
                use = use_of(one.frame.time_s, clip=number, clips=len(clips), duration_s=clip.duration_s, margin_s=margin_s)
                stands = middle(one.frame)
                if one.boxes and use == "learn":
                    learn.add(one.cubes(), size=len(one.boxes))
                elif one.boxes and use == "hold out" and stands:
                    held_out.add(one.cubes(), size=len(one.boxes))
            step("normal clips looked through", number + 1, len(clips))
        return learn.items() or held_out.items(), held_out.items() or learn.items()

    def _score_clip(self, learned: _Learned, clip: VideoClip) -> FrameScores:
        unit_s = self._unit_of(clip)
        expected = max(1, int(np.ceil(clip.duration_s / unit_s - 1e-6)))
        found: dict[int, _Unit] = {}
        for one in self._reader.read(clip, wanted=self._reader.middles(clip, unit_s)):
            number = int(one.frame.time_s / unit_s + 1e-6)
            if number not in found or one.sought:
                values, strangest = self._judge(learned, one.cubes())
                box = None if strangest is None else one.boxes_in(clip)[strangest]
                found[number] = _Unit(one.frame.number, values, box)
                step("video units scored", len(found), max(expected, len(found)))
        if not found:
            raise BadInput(f"video {clip.name!r}: no frame could be decoded; try another file.")
        units = list(found.values())
        parts = np.stack([unit.parts for unit in units]).astype(np.float32)
        return FrameScores(
            sample=clip.name, seconds=(np.array(list(found)) + 0.5) * unit_s, scores=parts.sum(axis=1), unit_s=unit_s,
            frame_index=np.array([unit.frame for unit in units], np.int64),
            valid=np.array([unit.box is not None for unit in units]), boxes=tuple(unit.box for unit in units),
            parts={part: parts[:, index] for index, part in enumerate(PARTS)},
        )  # fmt: skip

    def _judge(self, learned: _Learned, cubes: Cubes) -> tuple[NDArray[np.float64], int | None]:
        """The parts (2,) of the strangest of some cubes and which it is; without cubes what no error would give."""
        weights = np.array([self.appearance, self.motion])
        if len(cubes.rgb) == 0:
            return -weights * learned.centre / learned.spread, None
        found = self._errors(learned.network, cubes, perturbation=self.perturbation)
        parts = weights[:, None] * (found - learned.centre[:, None]) / learned.spread[:, None]
        strangest = int(parts.sum(axis=0).argmax())
        return parts[:, strangest], strangest

    def _errors(self, network: StateNetwork, cubes: Cubes, *, perturbation: float) -> NDArray[np.float64]:
        """Errors (2, n) of colour and flow."""
        import torch

        from models.device import place
        from models.state_network import errors, tensors

        where = place(self.device)
        # bf16 would round away most of a perturbation: next to 1 its numbers are 0.004 apart.
        short = where.dtype == torch.bfloat16 and perturbation == 0
        found = []
        for first in range(0, len(cubes.rgb), AT_ONCE):
            x, flow = tensors(*(torch.from_numpy(part[first : first + AT_ONCE]).to(where.device) for part in cubes))
            with torch.autocast(where.device.type, dtype=torch.bfloat16, enabled=short):
                found.append(torch.stack(errors(network, x, flow, perturbation=perturbation)).double().cpu())
        return np.asarray(torch.cat(found, dim=1).numpy())
