"""The account of one finding: a frozen record of sentences, each with the evidence it cites.

A cause begins before the finding and an effect after it, or the account cannot be constructed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from agent.verify import cited_ids
from core.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A sentence in Markdown with the ids of the evidence it cites, at least one.

    `offset` says how long after the finding's onset that begins which a cause or an effect tells of, in `unit` ("s", "steps" of a series
    without times, "rows" of a log): negative for what came before, None for what has no place in that order.

    Raises:
        BadInput: it cites no evidence.

    >>> Statement.of("The pump stopped [E4].").evidence
    ('E4',)
    """

    text: str
    evidence: tuple[str, ...]
    offset: float | None = None
    unit: str = "s"

    def __post_init__(self) -> None:
        if not self.evidence:
            raise BadInput(f"statement {self.text!r:.80}: expected at least one evidence id, got none.")

    @classmethod
    def of(cls, text: str, *, offset: float | None = None, unit: str = "s") -> Statement:
        """The statement of a sentence that cites its evidence."""
        return cls(text=text, evidence=cited_ids(text), offset=offset, unit=unit)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Statement:
        """Rebuild it from plain values."""
        return cls(**{**data, "evidence": tuple(data["evidence"])})


_SINGLE = ("what", "where", "when", "why")
_SEVERAL = ("cause", "effect", "innocent", "insufficient")


@dataclass(frozen=True, kw_only=True)
class Account:
    """What is known of one finding, from evidence alone.

    `finding` is its evidence id; `where` names place, channels or actors, `when` the time: None where it has none. `why` says against
    what it is abnormal. `cause` tells what came before it and `effect` what came after: an order in time, or one process that started
    another. `innocent` is what was measured that may excuse it, `insufficient` what the evidence does not show. `severity` is 0–3,
    `severity_score` 0–100, `confidence` 0–1.

    Raises:
        BadInput: a cause that does not begin before the finding, or an effect that does not begin after it.
    """

    finding: str
    source: str
    what: Statement
    where: Statement | None
    when: Statement | None
    why: Statement
    severity: int
    severity_score: float
    severity_why: str
    confidence: float
    cause: tuple[Statement, ...] = ()
    effect: tuple[Statement, ...] = ()
    innocent: tuple[Statement, ...] = ()
    insufficient: tuple[Statement, ...] = ()

    def __post_init__(self) -> None:
        for side, expected, holds in (("cause", "before", self._earlier), ("effect", "after", self._later)):
            for statement in getattr(self, side):
                if not holds(statement):
                    raise BadInput(
                        f"account of {self.finding}: expected a {side} that begins {expected} the finding, got one at "
                        f"{statement.offset!r} {statement.unit} from its onset: {statement.text!r:.80}."
                    )

    @staticmethod
    def _earlier(statement: Statement) -> bool:
        return statement.offset is not None and statement.offset < 0

    @staticmethod
    def _later(statement: Statement) -> bool:
        return statement.offset is not None and statement.offset > 0

    @property
    def story(self) -> tuple[Statement, ...]:
        """What came before, what came after, what may excuse it and what stays open, in the order in which it is told."""
        return (*self.cause, *self.effect, *self.innocent, *self.insufficient)

    @property
    def evidence(self) -> tuple[str, ...]:
        """Every evidence id that it cites, each once."""
        told = (self.what, self.where, self.when, self.why, *self.story)
        return tuple(dict.fromkeys(i for statement in told if statement is not None for i in statement.evidence))

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Account:
        """Rebuild what `to_json` gave."""
        values = dict(data)
        for key in _SINGLE:
            values[key] = None if values[key] is None else Statement.from_json(values[key])
        for key in _SEVERAL:
            values[key] = tuple(Statement.from_json(one) for one in values[key])
        return cls(**values)


MOST_STORIES = 3
"""Accounts whose stories a language model is given: those of the worst findings."""


def stories(accounts: Sequence[Account], said: Sequence[str]) -> list[Statement]:
    """What came before and after the worst findings and what may excuse them, without what is `said` already."""
    worst = sorted(accounts, key=lambda account: -account.severity_score)[:MOST_STORIES]
    told = "\n".join(said).casefold()
    found = [
        s for account in worst for s in (*account.cause, *account.effect, *account.innocent) if s.text.casefold() not in told
    ]
    return list(dict.fromkeys(found))
