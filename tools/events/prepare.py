"""From an event log to what is counted: token codes, distinct (actor, act) units, actors and links.

A unit is one distinct combination of actor and tokens; an actor's vote counts once per unit. Where the log names process
instances (`subject_id`) the voter is the instance; else it is a subject in one minute, and without times each row.
Vocabularies turn tokens into codes; tokens a vocabulary has never met get codes past its end, so they stay distinct.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.samples import EVENT_ROLES, EventLog
from tools.events import lineage
from tools.events.counts import Codes, Units, pair
from tools.events.tokens import LEVELS, token_table

if TYPE_CHECKING:
    import polars as pl

COLUMNS = ("s0", "s1", "s2", "op", "o0", "o1", "o2")
_SOURCES = {"subject": ("s0", "s1", "s2"), "operation": ("op",), "object": ("o0", "o1", "o2")}
_MINUTE_S = 60.0

ANSWERS = frozenset(
    {"label", "labels", "is_anomaly", "anomaly", "attack", "attack_cat", "attack_category", "malicious", "is_attack", "category",
     "class", "target", "ground_truth", "key", "harness", "rule", "difficulty", "scenario"}
)  # fmt: skip
"""Columns that are answers rather than observations; never looked at unless the person names them."""

MAX_COLUMNS = 40


@dataclass
class Vocabulary:
    """Token → code, per column; grows only while fitting."""

    tables: dict[str, pl.DataFrame] = field(default_factory=dict)

    def encode(self, column: str, tokens: pl.Series, *, grow: bool) -> Codes:
        """Codes of `tokens` (repeats allowed); unknown ones are numbered past the end, and remembered when `grow`."""
        import polars as pl

        table = self.tables.get(column)
        if table is None:
            table = pl.DataFrame({"token": [], "code": []}, schema={"token": pl.String, "code": pl.Int64})
        distinct = pl.DataFrame({"token": tokens.unique(maintain_order=True)})
        new = distinct.join(table, on="token", how="anti", maintain_order="left")
        more = new.with_columns(pl.Series("code", np.arange(table.height, table.height + new.height, dtype=np.int64)))
        whole = pl.concat([table, more.select("token", "code")])
        if grow:
            self.tables[column] = whole
        joined = pl.DataFrame({"token": tokens}).join(whole, on="token", how="left", maintain_order="left")
        return joined["code"].to_numpy().astype(np.int64)

    def as_lists(self) -> dict[str, list[str]]:
        """Tokens per column in code order."""
        return {column: table["token"].to_list() for column, table in self.tables.items()}

    @classmethod
    def of_lists(cls, lists: dict[str, list[str]]) -> Vocabulary:
        """Rebuild what `as_lists` gave."""
        import polars as pl

        return cls(
            {
                column: pl.DataFrame(
                    {"token": tokens, "code": list(range(len(tokens)))}, schema={"token": pl.String, "code": pl.Int64}
                )
                for column, tokens in lists.items()
            }
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A log ready for counting: `units`, `unit_of_event` (N,), and its actors and links."""

    table: pl.DataFrame
    units: Units
    unit_of_event: NDArray[np.int64]
    actors: lineage.Actors
    links: lineage.Links
    time_s: NDArray[np.float64]

    @property
    def alike(self) -> NDArray[np.int64]:
        """Per event (N,): a number that equal acts share, whichever process did them."""
        columns = self.units.columns
        return pair(pair(columns["s0"], columns["op"]), columns["o0"])[self.unit_of_event]

    @property
    def first_events(self) -> NDArray[np.int64]:
        """Index of each unit's first event: one event per distinct act."""
        return np.unique(self.unit_of_event, return_index=True)[1]


def prepare(table: pl.DataFrame, vocabulary: Vocabulary, *, grow: bool) -> Prepared:
    """Tokenise, number and deduplicate the events of `table`."""
    import polars as pl

    actors = lineage.find_actors(table)
    time_s = table["time_s"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    raw: list[Codes] = []
    per_value: dict[str, tuple[Codes, Codes]] = {}
    for source, columns in _SOURCES.items():
        values = table[source].cast(pl.String).fill_null("") if source in table.columns else pl.Series([""] * table.height)
        number, tokens = numbered_tokens(values)
        raw.append(number)
        for level, column in enumerate(columns):
            per_value[column] = (number, vocabulary.encode(column, tokens[LEVELS[level]], grow=grow))
    voter = _voters(table, actors, time_s)
    starts = actors.target >= 0
    # what was literally the same act of the same voter is one unit before tokens are even looked at
    act = voter
    for number in raw:
        act = pair(act, number)
    first, unit_of_event = np.unique(act, return_index=True, return_inverse=True)[1:]
    codes_of = {column: codes[number[first]] for column, (number, codes) in per_value.items()}
    joint = voter[first]
    for column in ("s0", "op", "o0"):
        joint = pair(joint, codes_of[column])
    keep, merged = np.unique(joint, return_index=True, return_inverse=True)[1:]
    unit_of_event = merged[unit_of_event]
    units = Units(
        columns={column: codes[keep] for column, codes in codes_of.items()},
        actor=voter[first][keep],
        mass=np.bincount(unit_of_event, minlength=len(keep)).astype(np.float64),
        starts=np.bincount(unit_of_event, weights=starts, minlength=len(keep)) > 0,
    )
    return Prepared(
        table=table, units=units, unit_of_event=unit_of_event.astype(np.int64), actors=actors,
        links=lineage.find_links(table, actors), time_s=time_s,
    )  # fmt: skip


def numbered_tokens(values: pl.Series) -> tuple[Codes, pl.DataFrame]:
    """Number (N,) of each value's row in the table of tokens of the distinct values (`tools.events.tokens.token_table`)."""
    import polars as pl

    tokens = token_table(values)
    numbered = tokens.with_row_index("number").select("value", "number")
    found = pl.DataFrame({"value": values}).join(numbered, on="value", how="left", maintain_order="left")["number"]
    return found.to_numpy().astype(np.int64), tokens


def _voters(table: pl.DataFrame, actors: lineage.Actors, time_s: NDArray[np.float64]) -> Codes:
    import polars as pl

    named = (table["subject_id"].cast(pl.String).fill_null("") != "").sum() if "subject_id" in table.columns else 0
    if named > table.height // 2:
        return actors.of_event
    if np.isfinite(time_s).all() and float(np.ptp(time_s)) > _MINUTE_S:
        return pair(actors.of_event, ((time_s - time_s.min()) // _MINUTE_S).astype(np.int64))
    return np.arange(table.height, dtype=np.int64)


def merge(parts: Sequence[Units]) -> Units:
    """Join units of several logs; voters of different logs stay different."""
    offsets = np.cumsum([0, *(int(p.actor.max()) + 1 for p in parts)])
    return Units(
        columns={column: np.concatenate([p.columns[column] for p in parts]) for column in parts[0].columns},
        actor=np.concatenate([p.actor + offset for p, offset in zip(parts, offsets, strict=False)]),
        mass=np.concatenate([p.mass for p in parts]),
        starts=np.concatenate([p.starts for p in parts]),
    )


def few_of(events: int) -> int:
    """How many different values a column of that many events may have and still say what is usual."""
    return max(50, events // 20)


def plain_columns(log: EventLog, attributes: Sequence[str]) -> tuple[str, ...]:
    """Columns to judge in pairs where the log has no who–did–what structure; () where it has.

    The person's choice of `attributes` (names without `attr:`) always counts; label-like columns never do otherwise.
    """
    table = log.table
    informative = [role for role in EVENT_ROLES if table[role].n_unique() > 1]
    named = [f"attr:{name}" for name in attributes if f"attr:{name}" in table.columns]
    if len(informative) >= 2 and not named:
        return ()
    if named:
        return (*informative, *named)
    others = [
        c for c in log.attributes if c[5:].strip().lower() not in ANSWERS and 1 < table[c].n_unique() <= few_of(table.height)
    ]
    return tuple([*informative, *others][:MAX_COLUMNS]) if others else ()
