"""Clips judged by a ranker that was learned from whole clips: some known to be normal, some to hold something abnormal somewhere.

Source: Sultani, Chen & Shah, Real-World Anomaly Detection in Surveillance Videos (CVPR 2018): network, loss and 32 segments per video are
theirs (`models.mil_ranking`, `tools.video.bags`). Ours: features of the embedded network and of dense flow instead of C3D; clips are
scored unit by unit, which tells times more finely than 32 segments; a few hundred steps, as there are tens of clips, not thousands.

Axes and units: a clip's scores (T,) float32, 0 to 1, one per `unit_s` seconds. Features are those of `tools.video.frame_features`.
"""

from __future__ import annotations

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
from tools.video.bags import Bag, clip_pieces, require_alike, scored, segments
from tools.video.frame_features import FrameFeatures
from tools.video.held_out import held_out

if TYPE_CHECKING:
    from models.mil_ranking import SegmentRanker

NAME = "mil_ranking"


class MILRanking:
    """Ranks the moments of clips by what sets abnormal clips apart from normal ones.

    Args:
        unit_s: seconds per score.
        side: resolution of the appearance features (a picture is resized to about side² pixels).
        flow_side: longest side for optical flow in pixels.
        steps: training steps.
        seed: of first weights, dropout and what is drawn.
        device: "auto", "cpu", "cuda" or "cuda:N".

    `fit` needs clips of both kinds; where in an abnormal clip the abnormal thing is need not be known.
    Raises BadInput for a value out of range and for anything but clips, NotFitted before `fit`.

    >>> MILRanking(steps=0)
    Traceback (most recent call last):
    core.errors.BadInput: mil_ranking: expected unit_s > 0 and steps from 1, got unit_s=0.2, steps=0.
    """

    spec: DetectorSpec = next(row for row in ROWS if row.name == NAME)

    def __init__(
        self, *, unit_s: float = 0.2, side: int = 224, flow_side: int = 320, steps: int = 400, seed: int = 0, device: str = "auto",
    ) -> None:  # fmt: skip
        if unit_s <= 0 or steps < 1:
            raise BadInput(f"{NAME}: expected unit_s > 0 and steps from 1, got unit_s={unit_s!r}, steps={steps!r}.")
        self.unit_s, self.side, self.flow_side, self.steps = unit_s, side, flow_side, steps
        self.seed, self.device = seed, device
        self._ranker: SegmentRanker | None = None
        self._reference = np.zeros(0, np.float32)

    def fit(self, normal: Sequence[Sample], abnormal: Sequence[Sample] = ()) -> Self:
        """Learn from normal clips and from clips that hold something abnormal somewhere.

        Raises:
            BadInput: no clip of a kind, not clips, or a clip without a frame.
        """
        require_batch(normal, VideoClip, NAME)
        if len(abnormal) == 0:
            raise BadInput(f"{NAME}: expected abnormal clips beside the normal ones, got none; give some with --abnormal.")
        require_batch(abnormal, VideoClip, NAME)
        pieces = []
        clips = [*normal, *abnormal]
        for number, clip in enumerate(clips, start=1):
            assert isinstance(clip, VideoClip)
            pieces.append(self.pieces(clip)[0])
            step("clips learned from", number, len(clips))
        labels = [False] * len(normal) + [True] * len(abnormal)
        bags = [
            Bag(name=clip.name, segments=segments(own), abnormal=label)
            for clip, own, label in zip(clips, pieces, labels, strict=True)
        ]
        self._ranker = self._learned(bags)
        self._reference = self._held_out(bags, pieces)
        return self

    def fit_bags(self, bags: Sequence[Bag]) -> Self:
        """Learn from features that were made elsewhere; clips cannot be scored then, only such features (`score_pieces`).

        Raises:
            BadInput: bags of one kind only, or of different widths.
        """
        require_alike(bags)
        self._ranker, self._reference = self._learned(bags), np.zeros(0, np.float32)
        return self

    def score(self, batch: Sequence[Sample]) -> list[FrameScores]:
        """Score the units of clips.

        Raises:
            NotFitted: `fit` was not called.
            BadInput: an empty batch, not clips, or a ranker that was learned from other features.
        """
        require_batch(batch, VideoClip, NAME)
        if self._ranker is None:
            raise NotFitted.of(NAME)
        return scored(batch, self.pieces, self.score_pieces, self._features.unit_of)

    def score_pieces(self, pieces: NDArray[np.floating]) -> NDArray[np.float32]:
        """Scores (n,) of pieces of a video (n, C) float32 with rows of length 1.

        Raises:
            NotFitted: `fit` was not called.
            BadInput: the ranker was learned from features of another length.
        """
        if self._ranker is None:
            raise NotFitted.of(NAME)
        width = self._ranker.first.in_features
        if pieces.ndim != 2 or pieces.shape[1] != width:
            raise BadInput(f"{NAME}: expected features of length {width}, as it was learned from, got {pieces.shape}.")
        return _scores(self._ranker, pieces)

    def reference_scores(self) -> NDArray[np.float32]:
        """Scores of the normal clips' units by rankers that did not learn from the clip; of a single clip, by the ranker itself."""
        return self._reference.copy()

    def save(self, path: Path) -> None:
        """Write constructor values, weights and held-out scores to one npz file."""
        if self._ranker is None:
            raise NotFitted.of(NAME)
        arrays: dict[str, NDArray[Any]] = {f"ranker.{name}": one.cpu().numpy() for name, one in self._ranker.state_dict().items()}
        save_arrays(path, name=NAME, parameters=parameters(self), arrays={**arrays, "reference": self._reference})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            BadInput: the file is missing, damaged or another detector's.
        """
        import torch

        from models.mil_ranking import SegmentRanker

        values, arrays, _ = load_arrays(path, name=NAME)
        made = cls(**values)
        made._reference = arrays["reference"]
        state = {
            name.removeprefix("ranker."): torch.from_numpy(one) for name, one in arrays.items() if name.startswith("ranker.")
        }
        made._ranker = SegmentRanker(state["first.weight"].shape[1]).eval()
        made._ranker.load_state_dict(state)
        return made

    @cached_property
    def _features(self) -> FrameFeatures:
        from models.patches import PatchEncoder

        encoder = PatchEncoder(side=self.side, strides=(8, 16), device=self.device)
        return FrameFeatures(encoder=encoder, unit_s=self.unit_s, flow_side=self.flow_side)

    def pieces(self, clip: VideoClip) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int64]]:
        """Features (n, C), centres in seconds and frame numbers of a clip's units."""
        return clip_pieces(self._features, clip)

    def _learned(self, bags: Sequence[Bag]) -> SegmentRanker:
        import torch

        from models.mil_ranking import Training, train

        abnormal, normal = (
            torch.from_numpy(np.stack([bag.segments for bag in bags if bag.abnormal == kind])) for kind in (True, False)
        )
        return train(abnormal, normal, Training(steps=self.steps, seed=self.seed))

    def _held_out(self, bags: Sequence[Bag], pieces: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        def says(ranker: SegmentRanker) -> Callable[[int], NDArray[np.float32]]:
            return lambda number: _scores(ranker, pieces[number])

        assert self._ranker is not None
        normal = [number for number, bag in enumerate(bags) if not bag.abnormal]
        return held_out(len(bags), normal, says(self._ranker), lambda kept: says(self._learned([bags[one] for one in kept])))


def _scores(ranker: SegmentRanker, pieces: NDArray[np.floating]) -> NDArray[np.float32]:
    import torch

    with torch.inference_mode():
        return np.asarray(ranker(torch.from_numpy(np.asarray(pieces, np.float32))).numpy(), np.float32)
