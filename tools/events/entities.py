"""What an event consists of when pairs are judged: its entities, one of each type, as numbers.

Types are the roles that vary (subject and object also by class: folder, network), the user, the host (where subjects are no process
instances, whose host is only where they were recorded), and attributes of few values.
In tables without who-did-what structure numbers become quantile bins; elsewhere numbers are mostly identifiers and stay out. With a
clock, the weekday and the hour (UTC) are types once the logs to learn from cover enough days. Columns that never vary, hold answers, or
hold a new value in nearly every event say nothing and are left out; what is left out is noted.
Axes: codes are (N, M), number 0 of a type stands for what was not there to learn from. Memory is bounded by MOST_ENTITIES per type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.samples import EVENT_ROLES, EventLog
from tools.events.counts import Codes
from tools.events.prepare import ANSWERS, MAX_COLUMNS, Vocabulary, few_of, numbered_tokens
from tools.events.wording import clean

if TYPE_CHECKING:
    import polars as pl

Form: TypeAlias = Literal["value", "exact", "class", "bin", "weekday", "hour"]
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
DAY_S = 86_400.0
DAYS_FOR_HOURS, DAYS_FOR_WEEKDAYS = 3.0, 7.0
BINS = 10
MOST_ENTITIES = 100_000
"""Entities of one type that are told apart; the rarer ones count as unknown."""
MOSTLY_NEW = 0.5
"""An object or subject type is left out when more than this share of its events brings a value of its own."""


@dataclass(frozen=True, kw_only=True)
class EntityType:
    """One type: what it is called, the column it comes from ("" for time), how, and the inner `edges` of bins."""

    name: str
    source: str
    form: Form
    edges: tuple[float, ...] = ()


@dataclass
class EntityCoder:
    """Turns logs into codes (N, M): `types`, what was learned of them, and `notes` on what was left out."""

    types: tuple[EntityType, ...] = ()
    notes: tuple[str, ...] = ()
    vocabulary: Vocabulary = field(default_factory=Vocabulary)

    @classmethod
    def of(cls, logs: Sequence[EventLog], attributes: Sequence[str] = ()) -> EntityCoder:
        """Choose the types of some logs and learn their entities; `attributes` (without `attr:`) are looked at in any case.

        >>> import polars as pl
        >>> log = EventLog(name="toy", roles={}, table=pl.DataFrame({"row": [1, 2], "time_s": [0.0, 1.0],
        ...     "subject": ["ann", "bob"], "operation": ["read", "read"], "object": ["a.txt", "b.txt"]}))
        >>> coder = EntityCoder.of([log])
        >>> [t.name for t in coder.types], coder.codes(log).tolist()
        (['subject', 'object'], [[1, 1], [2, 2]])
        """
        types, notes = _choose(logs, attributes)
        coder = cls(types=types, notes=notes)
        for kind in types:
            if kind.form in ("value", "exact", "class"):
                _learn(coder.vocabulary, kind, [log.table for log in logs])
        return coder

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Numbers per type (M,), the unknown one included."""
        learnt = {name: table.height for name, table in self.vocabulary.tables.items()}
        fixed = {"weekday": 7, "hour": 24}
        return np.array(
            [1 + fixed.get(t.form, len(t.edges) + 2 if t.form == "bin" else learnt.get(t.name, 0)) for t in self.types], np.int64
        )

    def codes(self, log: EventLog) -> NDArray[np.int64]:
        """Codes (N, M) of a log's events; columns it does not have are unknown throughout."""
        found = np.zeros((log.table.height, len(self.types)), np.int64)
        numbered: dict[str, tuple[Codes, pl.DataFrame]] = {}
        for m, kind in enumerate(self.types):
            if kind.source and kind.source not in log.table.columns:
                continue
            if kind.form in ("weekday", "hour"):
                found[:, m] = _time_codes(log, kind.form)
            elif kind.form == "bin":
                found[:, m] = _bin_codes(log.table[kind.source], kind.edges)
            elif kind.form == "value":
                found[:, m] = self._known(kind.name, _text(log.table, kind.source))
            else:
                number, tokens = numbered.setdefault(kind.source, numbered_tokens(_text(log.table, kind.source)))
                found[:, m] = self._known(kind.name, tokens[kind.form])[number]
        return found

    def _known(self, name: str, tokens: pl.Series) -> Codes:
        codes = self.vocabulary.encode(name, tokens, grow=False) + 1
        return np.where(codes <= self.vocabulary.tables[name].height, codes, 0)

    def said(self, log: EventLog, index: int, m: int) -> str:
        """An event's entity of type `m` in words, cleaned: `service "dns"`, `hour 03 (UTC)`."""
        kind = self.types[m]
        if kind.form in ("weekday", "hour"):
            code = int(_time_codes(log, kind.form, index)[0])
            what = "unknown" if code == 0 else WEEKDAYS[code - 1] if kind.form == "weekday" else f"{code - 1:02d} (UTC)"
            return f"{kind.name} {what}"
        value = log.table[kind.source][index] if kind.source in log.table.columns else None
        if kind.form == "class" and value is not None:
            import polars as pl

            value = numbered_tokens(pl.Series([str(value)]))[1]["class"][0]
        return f'{clean(kind.name, 60)} "{clean(str(value), 120)}"' if value not in (None, "") else f"no {clean(kind.name, 60)}"

    def as_state(self) -> dict[str, Any]:
        """Plain values for a file."""
        return {
            "types": [[t.name, t.source, t.form, list(t.edges)] for t in self.types], "notes": list(self.notes),
            "vocabulary": self.vocabulary.as_lists(),
        }  # fmt: skip

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> EntityCoder:
        """Rebuild what `as_state` gave."""
        types = [EntityType(name=n, source=s, form=f, edges=tuple(e)) for n, s, f, e in state["types"]]
        return cls(types=tuple(types), notes=tuple(state["notes"]), vocabulary=Vocabulary.of_lists(state["vocabulary"]))


def _choose(logs: Sequence[EventLog], attributes: Sequence[str]) -> tuple[tuple[EntityType, ...], tuple[str, ...]]:
    """Types worth pairing, and notes on columns that were left out."""
    import polars as pl

    shared = [c for c in logs[0].table.columns if all(c in log.table.columns for log in logs)]
    whole = pl.concat([log.table.select(shared) for log in logs], how="vertical_relaxed")
    roles = [role for role in EVENT_ROLES if whole[role].cast(pl.String).n_unique() > 1]
    types: list[EntityType] = []
    for role in roles:
        types += _role_types(whole[role].cast(pl.String).fill_null(""), role)
    types += [
        EntityType(name=role, source=role, form="value")
        for role in (("user",) if "subject_id" in shared else ("user", "host"))
        if role in shared and 1 < whole[role].n_unique() <= few_of(whole.height)
    ]
    notes: list[str] = []
    left: list[str] = []
    for column in [c for c in shared if c.startswith("attr:")]:
        name = column[5:]
        named = name in attributes
        if name.strip().lower() in ANSWERS and not named:
            continue
        made = _attribute_type(whole[column], name, column, structured=len(roles) >= 2, named=named)
        if made is None:
            left += [clean(name, 40)] if whole[column].n_unique() > 1 else []
        else:
            types.append(made)
    if left:
        notes.append(f"left out of pairs: {', '.join(left[:8])}{' and more' if len(left) > 8 else ''}")
    days = sum(_days(log) for log in logs)
    types += [EntityType(name="weekday", source="", form="weekday")] if days >= DAYS_FOR_WEEKDAYS else []
    types += [EntityType(name="hour", source="", form="hour")] if days >= DAYS_FOR_HOURS else []
    return tuple(types[:MAX_COLUMNS]), tuple(notes)


def _role_types(values: pl.Series, role: str) -> list[EntityType]:
    """A role as it is and, for subjects and objects, by class where that is coarser and still varies."""
    if role == "operation":
        return [EntityType(name=role, source=role, form="value")]
    number, tokens = numbered_tokens(values)
    counted = {level: np.bincount(_dense(tokens[level])[number]) for level in ("exact", "class")}
    new = float((counted["exact"] == 1).sum()) / len(values)
    found = [EntityType(name=role, source=role, form="exact")] if new <= MOSTLY_NEW or len(values) < few_of(0) else []
    if 1 < len(counted["class"]) < len(counted["exact"]):
        found.append(EntityType(name=f"kind of {role}", source=role, form="class"))
    return found


def _dense(tokens: pl.Series) -> Codes:
    """Dense codes of a column of tokens."""
    return tokens.rank("dense").to_numpy().astype(np.int64) - 1


def _attribute_type(values: pl.Series, name: str, column: str, *, structured: bool, named: bool) -> EntityType | None:
    distinct = values.n_unique()
    if distinct < 2:
        return None
    number = values.dtype.is_numeric()
    if number and (values.dtype.is_float() or distinct > 2 * BINS):
        if structured and not named:
            return None
        edges = _edges(values)
        return EntityType(name=name, source=column, form="bin", edges=edges) if edges else None
    if distinct <= few_of(len(values)) or named:
        return EntityType(name=name, source=column, form="value")
    return None


def _edges(values: pl.Series) -> tuple[float, ...]:
    """Inner edges of quantile bins, fewer where values repeat."""
    import polars as pl

    numbers = values.cast(pl.Float64).to_numpy()
    numbers = numbers[np.isfinite(numbers)]
    if len(numbers) == 0:
        return ()
    edges = np.unique(np.quantile(numbers, np.arange(1, BINS) / BINS, method="inverted_cdf"))
    return tuple(float(e) for e in edges[edges < numbers.max()])


def _bin_codes(values: pl.Series, edges: tuple[float, ...]) -> Codes:
    """1 to len(edges) + 1 for bins (each includes its upper edge), one more for what is no number."""
    import polars as pl

    numbers = values.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
    codes = np.searchsorted(np.array(edges), numbers, side="left") + 1
    return np.where(np.isfinite(numbers), codes, len(edges) + 2).astype(np.int64)


def _time_codes(log: EventLog, form: Form, index: int | None = None) -> Codes:
    """Weekdays 1 to 7 from Monday or hours 1 to 24, in UTC; 0 where no clock is known."""
    import polars as pl

    seconds = log.table["time_s"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    seconds = seconds if index is None else seconds[index : index + 1]
    if log.epoch_s is None:
        return np.zeros(len(seconds), np.int64)
    known = np.isfinite(seconds)
    moment = np.where(known, seconds, 0.0) + log.epoch_s
    # 1970-01-01 was a Thursday
    code = (moment // DAY_S + 3) % 7 if form == "weekday" else moment % DAY_S // 3600
    return np.where(known, code + 1, 0).astype(np.int64)


def _days(log: EventLog) -> float:
    """Days that a log covers by the clock."""
    if log.epoch_s is None:
        return 0.0
    seconds = log.table["time_s"].cast(float).fill_null(float("nan")).to_numpy()
    seconds = seconds[np.isfinite(seconds)]
    return float(np.ptp(seconds)) / DAY_S if len(seconds) else 0.0


def _text(table: pl.DataFrame, column: str) -> pl.Series:
    import polars as pl

    return table[column].cast(pl.String).fill_null("")


def _learn(vocabulary: Vocabulary, kind: EntityType, tables: Sequence[pl.DataFrame]) -> None:
    """Number the entities of a type, most frequent first, at most MOST_ENTITIES."""
    import polars as pl

    parts = []
    for table in tables:
        values = _text(table, kind.source)
        if kind.form == "value":
            parts.append(values.alias("token"))
        else:
            number, tokens = numbered_tokens(values)
            parts.append(tokens[kind.form].gather(number).alias("token"))
    counted = pl.concat(parts).value_counts(sort=False).sort("count", "token", descending=[True, False])
    vocabulary.encode(kind.name, counted["token"].head(MOST_ENTITIES), grow=True)


def distinct_rows(codes: NDArray[np.int64], sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(first, of_row): the index of the first of each distinct row of codes (N, M), and which distinct row each row is (N,).

    >>> first, of_row = distinct_rows(np.array([[1, 2], [0, 2], [1, 2]]), np.array([2, 3]))
    >>> first.tolist(), of_row.tolist()
    ([1, 0], [1, 0, 1])
    """
    joint = np.zeros(len(codes), np.int64)
    room = 1
    for m, size in enumerate(sizes.tolist()):
        if room * size >= 2**62:
            joint = np.unique(joint, return_inverse=True)[1].astype(np.int64)
            room = len(codes)
        joint = joint * size + codes[:, m]
        room *= size
    first, of_row = np.unique(joint, return_index=True, return_inverse=True)[1:]
    return first.astype(np.int64), of_row.astype(np.int64)
