"""What holding a rule against data gives: where it fires, or why that cannot be told and what would help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from core.evidence import Fact, Locus


@dataclass(frozen=True, kw_only=True)
class RuleFinding:
    """One place where a condition is met: its locus, the `measured` value with its `unit`, the `condition` and a sentence, in words.

    `facts` are the numbers that the sentence says, so that a checker finds them; `events` counts the rows of a log.
    """

    locus: Locus
    measured: float | None
    unit: str
    condition: str
    sentence: str
    facts: Mapping[str, Fact] = field(default_factory=dict)
    events: int = 1

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class CannotTell:
    """A condition that could not be measured: the reason, and what would help, each a sentence."""

    reason: str
    what_would_help: str

    @property
    def words(self) -> str:
        """Both sentences."""
        return f"{self.reason} {self.what_would_help}".strip()


@dataclass(frozen=True, kw_only=True)
class Unseen(CannotTell):
    """What a model that sees could tell: from the stretches `spans` of a video (half-open seconds), or from all of it when empty."""

    spans: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one rule gave on one source: findings, what could not be told, and notes on how it was measured.

    `tried` is the number of conditions that were held against it; 0 means that the rule is about another kind of data or another source.
    """

    source: str
    tried: int = 0
    findings: tuple[RuleFinding, ...] = ()
    cannot: tuple[CannotTell, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def events(self) -> int:
        """How many single events the findings stand for."""
        return sum(f.events for f in self.findings)

    @property
    def words(self) -> str:
        """One sentence for a preview.

        >>> Outcome(source="pump.csv", tried=1).words
        'pump.csv: would not have fired.'
        >>> Outcome(source="pump.csv").words
        'pump.csv: the rule says nothing about this kind of data.'
        """
        if not self.tried:
            return f"{self.source}: the rule says nothing about this kind of data."
        if not self.findings and self.cannot:
            part = "cannot tell." if len(self.cannot) >= self.tried else "did not fire as far as can be told."
            return f"{self.source}: {part} " + " ".join(dict.fromkeys(c.words for c in self.cannot))
        n = len(self.findings)
        often = "would not have fired" if not n else "would have fired once" if n == 1 else f"would have fired {n:,} times"
        rows = f" (on {self.events:,} events)" if self.events > n else ""
        rest = " " + " ".join(dict.fromkeys(c.words for c in self.cannot)) if self.cannot else ""
        return f"{self.source}: {often}{rows}.{rest}"

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        return {
            "source": self.source, "tried": self.tried, "fires": len(self.findings), "events": self.events,
            "findings": [f.to_json() for f in self.findings], "cannot_tell": [asdict(c) for c in self.cannot], "notes": list(self.notes),
        }  # fmt: skip
