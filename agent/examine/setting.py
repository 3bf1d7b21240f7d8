"""What every examiner gets: the detector that was chosen, fitted if normals were given, on one source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.long_looks import SKIM, Depth
from core.calibrate import Calibration
from core.detector import Detector, DetectorSpec, parameters
from core.evidence import Evidence, Fact, Locus
from readers.open import Source


@dataclass(frozen=True, kw_only=True)
class Run:
    """One detector on one source; `n_normal` normal samples were used to fit it (0: none)."""

    detector: Detector
    spec: DetectorSpec
    source: Source
    n_normal: int
    reason: str
    depth: Depth = SKIM
    """How far a long video is looked at."""
    kept: Path | None = None
    """Where what was read of a long video is kept between two looks; None: all is read at once."""

    @property
    def name(self) -> str:
        """The detector's name."""
        return self.spec.name

    def evidence(
        self,
        locus: Locus,
        *,
        threshold: Calibration | None,
        facts: Mapping[str, Fact],
        score: float | None = None,
        p_value: float | None = None,
        picture: str | None = None,
    ) -> Evidence:
        """An unnumbered piece of evidence of this run."""
        return Evidence(
            id="", tool=self.spec.name, version=self.spec.version, parameters=parameters(self.detector),
            source=self.source.name, locus=locus, score=score, p_value=p_value,
            threshold=None if threshold is None else threshold.threshold,
            threshold_origin="" if threshold is None else threshold.origin,
            calibrated=False if threshold is None else threshold.calibrated, facts=facts, path=picture,
        )  # fmt: skip
