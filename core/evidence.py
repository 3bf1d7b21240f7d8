"""Evidence, anomalies and verdicts: what an answer may stand on.

Evidence is frozen and carries every number an answer may say about it, in `score`, `p_value`, `threshold`, `locus` and `facts`.
An anomaly without evidence cannot be constructed. Times are seconds from the start of the source; boxes are xyxy pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from core.errors import BadInput

Box: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Whole:
    """The whole of a sample or source: for counts and "nothing found"."""

    sample: str
    kind: Literal["whole"] = "whole"


@dataclass(frozen=True, kw_only=True)
class Region:
    """A place in a picture: `box` in pixels, `area_share` the part of the picture it covers (0–1)."""

    sample: str
    box: Box
    area_share: float
    kind: Literal["region"] = "region"


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A stretch of time, half-open seconds [start_s, end_s), with the peak and, if known, channels or a box."""

    sample: str
    start_s: float
    end_s: float
    peak_s: float
    channels: tuple[str, ...] = ()
    box: Box | None = None
    kind: Literal["interval"] = "interval"


@dataclass(frozen=True, kw_only=True)
class EventRows:
    """Rows of an event log (1-based rows of the file)."""

    sample: str
    rows: tuple[int, ...]
    kind: Literal["events"] = "events"


@dataclass(frozen=True, kw_only=True)
class Path:
    """A chain of entities and the rows that carry it."""

    sample: str
    entities: tuple[str, ...]
    rows: tuple[int, ...]
    kind: Literal["path"] = "path"


Locus: TypeAlias = Whole | Region | Interval | EventRows | Path
_LOCI: dict[str, type[Any]] = {"whole": Whole, "region": Region, "interval": Interval, "events": EventRows, "path": Path}

Fact: TypeAlias = str | int | float | bool | list[Any] | dict[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One finding of one tool run: where, how strong, against which threshold, and the facts an answer may quote.

    `path` names a picture or plot in the evidence store; `seconds` is the tool's run time.
    """

    id: str
    tool: str
    version: str
    parameters: Mapping[str, Any]
    source: str
    locus: Locus
    score: float | None = None
    p_value: float | None = None
    threshold: float | None = None
    threshold_origin: str = ""
    calibrated: bool = False
    facts: Mapping[str, Fact] = field(default_factory=dict)
    path: str | None = None
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evidence:
        """Rebuild what `to_json` gave."""
        values = dict(data)
        values["locus"] = locus_from_json(values["locus"])
        return cls(**values)


def locus_from_json(data: Mapping[str, Any]) -> Locus:
    """Rebuild a locus from its plain values.

    >>> locus_from_json({"kind": "events", "sample": "log", "rows": [3, 4]})
    EventRows(sample='log', rows=(3, 4), kind='events')
    """
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    kind = values.get("kind")
    if kind not in _LOCI:
        raise BadInput(f"evidence locus {kind!r}: expected one of {', '.join(_LOCI)}.")
    locus: Locus = _LOCI[str(kind)](**values)
    return locus


SEVERITY_NAMES: tuple[str, str, str, str] = ("none", "minor", "serious", "critical")


@dataclass(frozen=True, kw_only=True)
class Anomaly:
    """Something abnormal: what, where, how bad, how sure, and the evidence that says so (at least one id).

    `severity` is 0–3 (none, minor, serious, critical), `severity_score` 0–100, `confidence` 0–1.

    >>> Anomaly(label="scratch", source="a.png", loci=(), severity=1, severity_score=30.0, confidence=0.9, evidence=())
    Traceback (most recent call last):
    core.errors.BadInput: anomaly 'scratch': expected at least one evidence id, got none.
    """

    label: str
    source: str
    loci: tuple[Locus, ...]
    severity: int
    severity_score: float
    confidence: float
    evidence: tuple[str, ...]
    why: str = ""
    rule_id: str | None = None

    def __post_init__(self) -> None:
        if not self.evidence:
            raise BadInput(f"anomaly {self.label!r}: expected at least one evidence id, got none.")
        if self.severity not in range(4) or not 0 <= self.severity_score <= 100 or not 0 <= self.confidence <= 1:
            raise BadInput(
                f"anomaly {self.label!r}: expected severity 0–3, severity_score 0–100 and confidence 0–1, got "
                f"{self.severity!r}, {self.severity_score!r}, {self.confidence!r}."
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Anomaly:
        """Rebuild what `to_json` gave."""
        values = dict(data)
        values["loci"] = tuple(locus_from_json(locus) for locus in values["loci"])
        values["evidence"] = tuple(values["evidence"])
        return cls(**values)


Status: TypeAlias = Literal["abnormal", "normal", "insufficient"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome for a question: `abnormal` needs anomalies; `insufficient` means the evidence does not allow an answer."""

    status: Status
    anomalies: tuple[Anomaly, ...]
    answer: str

    def __post_init__(self) -> None:
        if (self.status == "abnormal") != bool(self.anomalies):
            raise BadInput(f"verdict {self.status!r} with {len(self.anomalies)} anomalies: 'abnormal' needs at least one.")
