"""Videos judged by definitions in words: what counts as normal, what as abnormal; learned from clips that are labelled as a whole.

Source: Liu et al., LaGoVAD (ICLR 2026, arXiv 2503.13160): network and losses in `models.lagovad` and `models.lagovad_training`. Ours:
without CLIP's weights the embedded network's and dense flow's features stand for frames, and MiniLM's sentence vectors for definitions;
the network is a quarter as wide, as tens of clips are learned from instead of 35,279 (their data and weights are not part of Telltale).

Axes and units: a clip's scores (T,) float32, 0 to 1, one per `unit_s` seconds; with CLIP a unit shows one frame.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from core.archive import load_arrays, save_arrays
from core.detector import DetectorSpec, parameters, require_batch
from core.errors import BadInput, NotFitted
from core.progress import step
from core.samples import Sample, VideoClip
from core.scores import FrameScores
from tools.catalog import ROWS
from tools.video.bags import clip_pieces, scored
from tools.video.feature_lists import ListedVideo, pieces, read_list
from tools.video.frame_features import FrameFeatures
from tools.video.held_out import held_out

if TYPE_CHECKING:
    from models.clip_features import ClipFeatures
    from models.lagovad import Judged, LaGoVadNetwork
    from models.lagovad_training import Clip

NAME = "lagovad"
EMBEDDED = "embedded"
NORMAL = "ordinary activity, nothing unexpected happens"
ABNORMAL = "something dangerous, violent or broken is going on"
MOST_UNITS, MARGIN = 512, 28
"""Longer videos are scored in pieces; beyond two temporal layers of 12 units and half a kernel a moment looks only through the words."""
CLIP_FRAME_S = 8 / 30
"""One frame of eight at 30 frames/s, as LaGoVAD takes them."""

Vectors = NDArray[np.float32]


class LaGoVAD:
    """Scores moments by definitions in words.

    Args:
        definitions: what counts as abnormal, in words, several with semicolons between them. An abnormal clip to learn from belongs to the
            definition whose words are in its name ("fighting_03.mp4"), else to the first.
        normal: what is normal, in words.
        encoder: "embedded", or a CLIP by owner/name or path.
        width: of the network; 512 as published.
        unit_s: seconds per score; 0: 0.2, or with CLIP a frame of eight.
        side: resolution of the embedded appearance features.
        flow_side: longest side for optical flow in pixels.
        steps: training steps; 100 go about forty times through twenty abnormal clips, as often as published.
        seed: of first weights, dropout and what is drawn.
        device: "auto", "cpu", "cuda" or "cuda:N".

    `fit` needs clips of both kinds. Raises BadInput for a value out of range and for anything but clips, NotFitted before `fit`.

    >>> LaGoVAD(definitions=" ; ")
    Traceback (most recent call last):
    core.errors.BadInput: lagovad: expected definitions in words, got ' ; '.
    """

    spec: DetectorSpec = next(row for row in ROWS if row.name == NAME)

    def __init__(
        self, *, definitions: str = ABNORMAL, normal: str = NORMAL, encoder: str = EMBEDDED, width: int = 128, unit_s: float = 0.0,
        side: int = 224, flow_side: int = 320, steps: int = 100, seed: int = 0, device: str = "auto",
    ) -> None:  # fmt: skip
        if not [one for one in definitions.split(";") if one.strip()] or not normal.strip():
            raise BadInput(f"{NAME}: expected definitions in words, got {(definitions if normal.strip() else normal)!r}.")
        if unit_s < 0 or steps < 1:
            raise BadInput(f"{NAME}: expected unit_s ≥ 0 and steps from 1, got unit_s={unit_s!r}, steps={steps!r}.")
        self.definitions, self.normal, self.encoder, self.width = definitions, normal, encoder, width
        self.unit_s, self.side, self.flow_side, self.steps = unit_s, side, flow_side, steps
        self.seed, self.device = seed, device
        self._network: LaGoVadNetwork | None = None
        self._reference = np.zeros(0, np.float32)

    @property
    def classes(self) -> list[str]:
        """The definitions, one by one, without the normal one."""
        return [one.strip() for one in self.definitions.split(";") if one.strip()]

    def fit(self, normal: Sequence[Sample], abnormal: Sequence[Sample] = ()) -> Self:
        """Learn from normal clips and from clips that hold something abnormal somewhere.

        Raises:
            BadInput: no clip of a kind, not clips, or a clip without a frame.
        """
        require_batch(normal, VideoClip, NAME)
        if len(abnormal) == 0:
            raise BadInput(f"{NAME}: expected abnormal clips beside the normal ones, got none; give some with --abnormal.")
        require_batch(abnormal, VideoClip, NAME)
        told = self._vectors()
        given = [*normal, *abnormal]
        clips = []
        for number, sample in enumerate(given, start=1):
            assert isinstance(sample, VideoClip)
            kind = 0 if number <= len(normal) else self.class_of(sample.name)
            clips.append(_clip(self.units(sample)[0], kind, told))
            step("clips learned from", number, len(given))
        self._learn(clips, told)
        self._reference = self._held_out(clips, told)
        return self

    def class_of(self, name: str) -> int:
        """The number (from 1) of the definition whose words are in a clip's name; 1 where none is."""
        said = name.lower()
        shares = [float(np.mean([float(word in said) for word in _words(one)] or [0.0])) for one in self.classes]
        return 1 + int(np.argmax(shares)) if max(shares) > 0 else 1

    def fit_list(self, path: Path) -> Self:
        """Learn from files of features in PreVAD's list format; its classes become the definitions, in the order of the list.

        Clips cannot be scored then unless the features are this encoder's; `score_units` takes such features.

        Raises:
            BadInput: what `read_list` raises, or videos of one sort only.
        """
        return self.fit_videos(read_list(path))

    def fit_videos(self, videos: Sequence[ListedVideo]) -> Self:
        """As `fit_list`, of videos that were read already."""
        names = list(dict.fromkeys(video.class_name for video in videos if not video.normal))
        if not names:
            raise BadInput(f"{NAME}: expected abnormal videos beside the normal ones, got none.")
        self.definitions = "; ".join(names)
        told = self._vectors()
        sentences = self.texts([(video.descriptions or (video.class_name,))[0] for video in videos])
        clips = [
            _clip(video.units, 0 if video.normal else 1 + names.index(video.class_name), told, sentence)
            for video, sentence in zip(videos, sentences, strict=True)
        ]
        self._learn(clips, told)
        self._reference = np.zeros(0, np.float32)
        return self

    def redefined(self, definitions: str, normal: str | None = None) -> LaGoVAD:
        """The same learned network under other definitions; what normal clips score under these is not known."""
        other = copy.copy(self)
        LaGoVAD.__init__(other, **{**parameters(self), "definitions": definitions, "normal": normal or self.normal})
        other._network, other._reference = self._network, np.zeros(0, np.float32)
        return other

    def score(self, batch: Sequence[Sample]) -> list[FrameScores]:
        """Score the units of clips.

        Raises:
            NotFitted: `fit` was not called.
            BadInput: an empty batch, not clips, or a network that was learned from other features.
        """
        require_batch(batch, VideoClip, NAME)
        if self._network is None:
            raise NotFitted.of(NAME)
        return scored(batch, self.units, lambda units: self.score_units(units)[0], self._seconds)

    def score_units(self, units: Vectors) -> tuple[Vectors, Vectors]:
        """Scores (T,) of features (T, C), and the chance (T, N) of each definition, the normal one first.

        Raises:
            NotFitted: `fit` was not called.
            BadInput: the network was learned from features of another length.
        """
        import torch

        if self._network is None:
            raise NotFitted.of(NAME)
        if units.ndim != 2 or units.shape[1] != self._network.channels:
            raise BadInput(
                f"{NAME}: expected features of length {self._network.channels}, as it was learned from, got {units.shape}."
            )
        words = torch.from_numpy(self._vectors()).to(self._network.mix.device)
        scores, chances = [], []
        for seen, kept in pieces(len(units), MOST_UNITS, MARGIN):
            judged = self._judged(units[seen], words)
            scores.append(torch.sigmoid(judged.logits[0, kept]).float().cpu().numpy())
            chances.append(judged.similar[0, kept].softmax(dim=-1).float().cpu().numpy())
        return np.concatenate(scores), np.concatenate(chances)

    def _judged(self, units: Vectors, words: Any) -> Judged:
        import torch

        assert self._network is not None
        given = torch.from_numpy(np.ascontiguousarray(units)).to(words.device)[None]
        with torch.inference_mode():
            judged: Judged = self._network(given, torch.ones(given.shape[:2], dtype=torch.bool, device=words.device), words)
        return judged

    def reference_scores(self) -> Vectors:
        """Scores of the normal clips' units by networks that did not learn from the clip; of a single clip, by the network itself."""
        return self._reference.copy()

    def save(self, path: Path) -> None:
        """Write constructor values, weights and held-out scores to one npz file."""
        if self._network is None:
            raise NotFitted.of(NAME)
        arrays: dict[str, NDArray[Any]] = {
            f"network.{name}": one.cpu().numpy() for name, one in self._network.state_dict().items()
        }
        state = {"channels": self._network.channels, "text_channels": self._network.text_channels}
        save_arrays(path, name=NAME, parameters=parameters(self), arrays={**arrays, "reference": self._reference}, state=state)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged or another detector's.
        """
        import torch

        from models.device import place
        from models.lagovad import LaGoVadNetwork

        values, arrays, state = load_arrays(path, name=NAME)
        made = cls(**values)
        made._reference = arrays["reference"]
        network = LaGoVadNetwork(int(state["channels"]), int(state["text_channels"]), width=made.width)
        network.load_state_dict(
            {name.removeprefix("network."): torch.from_numpy(one) for name, one in arrays.items() if name.startswith("network.")}
        )
        made._network = network.to(place(made.device).device).eval()
        return made

    def load_released(self, path: Path) -> Self:
        """Take the weights of the authors' checkpoint, as safetensors; they go with encoder="openai/clip-vit-base-patch16", width=512.

        Its learned words for names of classes are not taken: definitions are read as sentences.

        Raises:
            BadInput: the file is missing, damaged, no such checkpoint, or the width is another.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from models.device import place
        from models.lagovad import LaGoVadNetwork, released

        try:
            state = load_file(path)
        except (OSError, SafetensorError) as error:
            raise BadInput(
                f"{path.name!r}: expected a checkpoint as safetensors, but it cannot be read ({error}); pickles are not read."
            ) from error
        weights = released({key.removeprefix("model."): one for key, one in state.items()})
        found = weights["own.weight"].shape[1]
        if found != self.width:
            raise BadInput(
                f"{path.name!r}: the checkpoint is of width {found}, the detector of {self.width}; make it with width={found}."
            )
        network = LaGoVadNetwork(self.width, self.width, width=self.width)
        network.load_state_dict({"name": network.name.data, **weights})
        self._network = network.to(place(self.device).device).eval()
        self._reference = np.zeros(0, np.float32)
        return self

    @cached_property
    def _features(self) -> FrameFeatures:
        from models.patches import PatchEncoder

        encoder = PatchEncoder(side=self.side, strides=(8, 16), device=self.device)
        return FrameFeatures(encoder=encoder, unit_s=self.unit_s or 0.2, flow_side=self.flow_side)

    @cached_property
    def _clip(self) -> ClipFeatures:
        from models.clip_features import ClipFeatures

        return ClipFeatures(self.encoder, device=self.device)

    def _seconds(self, clip: VideoClip) -> float:
        return self._features.unit_of(clip) if self.encoder == EMBEDDED else (self.unit_s or CLIP_FRAME_S)

    def texts(self, sentences: Sequence[str]) -> Vectors:
        """Vectors (N, D) of sentences."""
        if self.encoder != EMBEDDED:
            return self._clip.texts(sentences)
        from models.text import embed

        return embed(list(sentences))

    def _vectors(self) -> Vectors:
        return self.texts([self.normal, *self.classes])

    def units(self, clip: VideoClip) -> tuple[Vectors, NDArray[np.float64], NDArray[np.int64]]:
        """Features (n, C), centres in seconds and frame numbers of a clip's units."""
        return clip_pieces(self._features, clip) if self.encoder == EMBEDDED else self._frames(clip)

    def _frames(self, clip: VideoClip) -> tuple[Vectors, NDArray[np.float64], NDArray[np.int64]]:
        seconds, numbers, vectors = [], [], []
        waiting: list[NDArray[np.uint8]] = []
        every = max(1, round(self._seconds(clip) * clip.fps))
        for frame in clip.frames(step=every, max_side=640):
            seconds.append(frame.time_s)
            numbers.append(frame.number)
            waiting.append(frame.rgb)
            if len(waiting) == 16:
                vectors.append(self._clip.frames(waiting))
                waiting = []
        if waiting:
            vectors.append(self._clip.frames(waiting))
        if not vectors:
            raise BadInput(f"video {clip.name!r}: no frame could be decoded; try another file.")
        return np.concatenate(vectors), np.array(seconds, np.float64), np.array(numbers, np.int64)

    def _learn(self, clips: Sequence[Clip], told: Vectors) -> None:
        import torch

        from models.device import place
        from models.lagovad import LaGoVadNetwork
        from models.lagovad_training import Training, train

        where = place(self.device)
        network = LaGoVadNetwork(clips[0].units.shape[1], told.shape[1], width=self.width, seed=self.seed).to(where.device)
        train(network, clips, told, Training(steps=self.steps, seed=self.seed, short=where.dtype == torch.bfloat16))
        self._network = network

    def _held_out(self, clips: Sequence[Clip], told: Vectors) -> Vectors:
        whole = self._network

        def learned(numbers: Sequence[int]) -> Callable[[int], Vectors]:
            self._learn([clips[number] for number in numbers], told)
            return lambda number: self.score_units(clips[number].units)[0]

        try:
            normal = [number for number, clip in enumerate(clips) if clip.kind == 0]
            return held_out(len(clips), normal, lambda number: self.score_units(clips[number].units)[0], learned)
        finally:
            self._network = whole


def _clip(units: Vectors, kind: int, told: Vectors, sentence: Vectors | None = None) -> Clip:
    from models.lagovad_training import Clip

    return Clip(units=units, kind=kind, description=None if kind == 0 else told[kind] if sentence is None else sentence)


def _words(text: str) -> list[str]:
    """The telling words of a definition, cut to their stems: "people fight" → peopl, fight."""
    return [word[:5] for word in "".join(c if c.isalnum() else " " for c in text.lower()).split() if len(word) > 3]
