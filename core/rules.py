"""A rule: what a person said counts as abnormal, or as normal, here.

Rules are frozen and versioned: an edit makes a new version beside the old one. What the words were compiled to is kept as plain
values, so that this word needs none of the code that reads or evaluates it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from core.errors import BadInput
from core.samples import KINDS, Kind

Polarity: TypeAlias = Literal["anomaly", "normal"]
POLARITIES: tuple[Polarity, ...] = ("anomaly", "normal")


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Where a rule holds: in one source (by its name, case does not matter), for one kind of data, or everywhere.

    >>> Scope(source="Line 2.csv").covers("line 2.csv", "series"), Scope(kind="video").covers("a.csv", "series")
    (True, False)
    """

    source: str | None = None
    kind: Kind | None = None

    def __post_init__(self) -> None:
        if self.kind is not None and self.kind not in KINDS:
            raise BadInput(f"rule scope kind {self.kind!r}: expected one of {', '.join(KINDS)}.")
        if self.source is not None and not self.source.strip():
            raise BadInput("rule scope: expected the name of a source, got an empty one.")

    def covers(self, source: str, kind: str) -> bool:
        """True when a rule of this scope holds in the source of that name and kind."""
        named = self.source is None or _plain(self.source) in (_plain(source), _plain(source).rsplit(".", 1)[0])
        return named and self.kind in (None, kind)

    def overlaps(self, other: Scope) -> bool:
        """True when some source lies in both scopes."""
        same_source = None in (self.source, other.source) or _plain(str(self.source)) == _plain(str(other.source))
        return same_source and (None in (self.kind, other.kind) or self.kind == other.kind)

    @property
    def narrowness(self) -> int:
        """0 everywhere, 1 for a kind, 2 for a source: the narrower of two contradicting rules decides."""
        return 2 if self.source is not None else 1 if self.kind is not None else 0

    @property
    def words(self) -> str:
        """The scope as a person would say it.

        >>> Scope().words, Scope(kind="series").words, Scope(source="pump.csv").words
        ('everywhere', 'in every sensor series', 'in pump.csv')
        """
        if self.source is not None:
            return f"in {self.source}"
        return f"in every {_KIND_WORDS[self.kind]}" if self.kind is not None else "everywhere"


_KIND_WORDS: dict[Kind, str] = {
    "image": "picture", "points": "3D scan", "video": "video", "series": "sensor series", "events": "event log",
}  # fmt: skip


def _plain(name: str) -> str:
    return " ".join(name.lower().split())


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An anomaly definition in words: `compiled` holds what the words were understood as (plain values, see `agent.rules`).

    `severity` is the level the person gave it (0–3) or None; `version` counts from 1; `created` is when this version was made (ISO
    8601); `compiled_by` names the tier that read the words.

    Raises:
        BadInput: an empty text or id, an unknown polarity, a severity outside 0–3 or a version below 1.

    >>> rule = Rule(id="R1", text="bicycles are fine here", polarity="normal", compiled={"subject": "bicycles"})
    >>> Rule.from_json(rule.to_json()) == rule
    True
    """

    id: str
    text: str
    polarity: Polarity
    compiled: Mapping[str, Any]
    scope: Scope = field(default_factory=Scope)
    severity: int | None = None
    version: int = 1
    created: str = ""
    enabled: bool = True
    compiled_by: str = "embedded"

    def __post_init__(self) -> None:
        if not self.id or not self.text.strip():
            raise BadInput(f"rule {self.id!r}: expected an id and a text, got {self.text!r:.60}.")
        if self.polarity not in POLARITIES:
            raise BadInput(f"rule {self.id!r}: expected polarity 'anomaly' or 'normal', got {self.polarity!r}.")
        if self.severity is not None and self.severity not in range(4):
            raise BadInput(f"rule {self.id!r}: expected severity 0–3 or none, got {self.severity!r}.")
        if self.version < 1:
            raise BadInput(f"rule {self.id!r}: expected a version from 1, got {self.version!r}.")

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rule:
        """Rebuild what `to_json` gave."""
        return cls(**{**data, "scope": Scope(**data["scope"])})
