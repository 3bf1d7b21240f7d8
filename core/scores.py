"""What a detector returns: raw scores, higher = stranger, in the shape of what was scored.

Scores are never thresholded, smoothed or turned into probabilities here; that is `core.calibrate` and `core.segments`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput

Box: TypeAlias = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in absolute pixels of the original picture."""


def _finite32(array: NDArray[Any], what: str, ndim: int) -> None:
    if array.ndim != ndim or array.dtype != np.float32 or not np.isfinite(array).all():
        raise BadInput(f"{what}: expected finite float32 of rank {ndim}, got {array.dtype.name} of shape {array.shape}.")


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageScore:
    """One picture's `score` and `heatmap` (H, W) float32 at image size. Also used for organised 3D scans.

    `parts` names components of the score by how far each lies beyond that of a usual normal picture, e.g. {"place": 0.4, "whole": 0.1},
    so that an answer can say what was odd.
    """

    sample: str
    score: float
    heatmap: NDArray[np.float32]
    parts: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _finite32(self.heatmap, f"heatmap of {self.sample!r}", 2)
        if not np.isfinite(self.score):
            raise BadInput(f"score of {self.sample!r}: expected a finite number, got {self.score!r}.")


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameScores:
    """A video's scores per unit of `unit_s` seconds: `seconds` (T,) unit centres, `scores` (T,) float32.

    `frame_index` (T,) is the frame each unit is centred on; `boxes` has one box (or None) per unit: where it is strange;
    `valid` (T,) is False where there was nothing to judge. `parts` names components that add up to the score, e.g.
    {"appearance": (T,), "motion": (T,)}, so that an answer can say what was odd. `round_s` is the length of a round when the video
    plays the same footage again and again, and was judged without comparing a moment with its copies. `jumps_s` are the times at which
    the whole picture jumps (a cut, or a camera that was turned), which is no event: `valid` is False next to them.

    Of a video that was only skimmed, units that were not read are not there: `every_s` is then the usual distance of the moments that
    were read, None when the whole was, and `read` (0 to 1) the share of it that was read. `traits` (T, D) is what each unit looks and moves
    like, where the detector keeps it: something else may begin where it changes (`tools.video.boundaries`).
    """

    sample: str
    seconds: NDArray[np.float64]
    scores: NDArray[np.float32]
    unit_s: float
    frame_index: NDArray[np.int64]
    valid: NDArray[np.bool_]
    boxes: tuple[Box | None, ...] | None = None
    parts: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    round_s: float | None = None
    jumps_s: tuple[float, ...] = ()
    every_s: float | None = None
    read: float = 1.0
    traits: NDArray[np.float16] | None = None

    def __post_init__(self) -> None:
        _finite32(self.scores, f"scores of {self.sample!r}", 1)
        lengths = {len(self.scores), len(self.seconds), len(self.frame_index), len(self.valid)}
        lengths |= {len(column) for column in (self.boxes, self.traits) if column is not None}
        if len(lengths) != 1:
            raise BadInput(f"scores of {self.sample!r}: expected arrays of one length, got {sorted(lengths)}.")


@dataclass(frozen=True, kw_only=True, eq=False)
class PointScores:
    """A series' scores per time step: `scores` (T,), `channels` (T, M) each channel's share of it, `valid` (T,).

    `unjudged` names channels that were looked at and have no share by intent, such as flags that outnumber what is measured.
    """

    sample: str
    seconds: NDArray[np.float64]
    scores: NDArray[np.float32]
    valid: NDArray[np.bool_]
    channels: NDArray[np.float32] | None = None
    channel_names: tuple[str, ...] = ()
    unjudged: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _finite32(self.scores, f"scores of {self.sample!r}", 1)
        if self.channels is not None:
            _finite32(self.channels, f"channel scores of {self.sample!r}", 2)


@dataclass(frozen=True, kw_only=True)
class PathScore:
    """A chain of entities and the events (1-based file rows) that carry it; `steps[i]` says what happened in between."""

    score: float
    entities: tuple[str, ...]
    rows: tuple[int, ...]
    steps: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EntityScore:
    """One entity (process, user, address), how strange its events are together, and the rows that say so."""

    entity: str
    score: float
    rows: tuple[int, ...]
    n_events: int


@dataclass(frozen=True, kw_only=True, eq=False)
class EventScores:
    """An event log's scores: `scores` (N,) per event, ranked `entities` and `paths`, and what made each event odd.

    `attribution` maps an attribute (e.g. "object given subject, operation") to its (N,) share of the score; `reasons` says of some
    rows in words what made them odd (e.g. `service "dns" together with flag "S0"`), with cleaned text of the file; `notes` are remarks
    for the person, such as what was left out; `compared` is among how many sequences the `paths` are the strangest (0: among all actors).
    """

    sample: str
    scores: NDArray[np.float32]
    rows: NDArray[np.int64]
    paths: tuple[PathScore, ...] = ()
    entities: tuple[EntityScore, ...] = ()
    attribution: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    compared: int = 0

    def __post_init__(self) -> None:
        _finite32(self.scores, f"scores of {self.sample!r}", 1)
        if len(self.rows) != len(self.scores):
            raise BadInput(f"scores of {self.sample!r}: {len(self.scores)} scores but {len(self.rows)} rows.")


Score: TypeAlias = ImageScore | FrameScores | PointScores | EventScores
