"""The detector contract: a protocol, no base class.

A detector is built from keyword-only plain values, loads nothing until it is used, takes samples, and returns raw scores
(higher = stranger). It never thresholds and never calibrates. `core.checks` states the whole contract as runnable checks.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.samples import Kind, Sample
from core.scores import Score

Cost: TypeAlias = Literal["instant", "seconds", "minutes"]
Needs: TypeAlias = Literal["embedded", "hub", "gpu"]


@dataclass(frozen=True, kw_only=True)
class DetectorSpec:
    """One catalogue row: everything the registry, planner, README, docs and UI say about a detector."""

    name: str
    class_path: str
    """`package.module:Class`, imported only when used."""
    kind: Kind
    needs_fit: bool
    """True: refuses to score before `fit(normal)`. False: scores alone; `fit`, if normals are given, sharpens it."""
    transductive: bool
    """True: a sample's score depends on the other samples of the batch."""
    cost: Cost
    needs: Needs
    use: str
    """One line: what it is for."""
    avoid_when: str
    paper: str
    licence: str
    version: str = "1"
    labelled: bool = False
    """True: `fit(normal, abnormal)` also takes samples that are known to hold something abnormal, and needs some."""

    def as_row(self) -> dict[str, Any]:
        """The row as plain values."""
        return asdict(self)


@runtime_checkable
class Detector(Protocol):
    """What every detector offers. `score` before `fit` raises NotFitted when the spec says `needs_fit`."""

    spec: DetectorSpec

    def fit(self, normal: Sequence[Sample]) -> Self:
        """Learn what is normal; a second call replaces the first."""
        ...

    def score(self, batch: Sequence[Sample]) -> Sequence[Score]:
        """Score samples, one result each, in order. An empty batch raises BadInput."""
        ...

    def reference_scores(self) -> NDArray[np.float32]:
        """Held-out scores of the fitted normal data, in the unit that is thresholded (per picture, frame unit, time step, event).

        Leave-one-out or cross-fitted, so that calibration is honest; empty when nothing was fitted.
        """
        ...

    def save(self, path: Path) -> None:
        """Write constructor values and fitted state to one file (npz/safetensors/json, never pickle)."""
        ...

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        ...


@runtime_checkable
class LabelledDetector(Detector, Protocol):
    """A detector whose spec says `labelled`."""

    def fit(self, normal: Sequence[Sample], abnormal: Sequence[Sample] = ()) -> Self:
        """Learn what sets abnormal samples apart from normal ones; BadInput without samples of both kinds."""
        ...


def teach(detector: Detector, normal: Sequence[Sample], abnormal: Sequence[Sample] = ()) -> Detector:
    """Fit a detector of either kind; `abnormal` samples reach those that learn from them.

    Raises:
        BadInput: what `fit` raises, and abnormal samples for a detector that learns from normal ones only.
    """
    if isinstance(detector, LabelledDetector) and detector.spec.labelled:
        return detector.fit(normal, abnormal)
    if len(abnormal):
        raise BadInput(f"{detector.spec.name!r} learns from normal samples only, got {len(abnormal)} abnormal ones as well.")
    return detector.fit(normal)


def parameters(detector: Detector) -> dict[str, Any]:
    """The constructor's keyword values, read back from the attributes of the same names."""
    names = [n for n in inspect.signature(type(detector).__init__).parameters if n != "self"]
    return {name: getattr(detector, name) for name in names}


def require_batch(batch: Sequence[Any], expected: type, name: str) -> None:
    """Raise BadInput unless `batch` is a non-empty sequence of `expected`; every detector's first line.

    Lazy sequences (a folder of photos) are not opened for this: only lists and tuples are looked into.

    >>> require_batch([], Sample, "rarity")
    Traceback (most recent call last):
    core.errors.BadInput: 'rarity': expected at least one sample, got an empty batch.
    """
    if len(batch) == 0:
        raise BadInput(f"{name!r}: expected at least one sample, got an empty batch.")
    for sample in batch if isinstance(batch, list | tuple) else ():
        if not isinstance(sample, expected):
            raise BadInput(f"{name!r}: expected {expected.__name__}, got {type(sample).__name__}.")
