"""An event log as sequences of tokens: which events belong together (a process, session, trace, …), and what each of them is called.

Sequences are told apart by the column that names process instances or sessions, else by subject and host; their events keep the order of
the table. A token is the operation and, where objects come in kinds (folders, networks), the kind of object.
Axes: arrays are (N,) over the events laid out sequence by sequence; `index` leads back to rows of the table.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput, UnknownName
from core.samples import EventLog
from tools.events.counts import Codes
from tools.events.prepare import few_of, numbered_tokens
from tools.events.wording import clean

if TYPE_CHECKING:
    import polars as pl

_TELLS_APART = re.compile(
    r"(session|trace|sequence|seq|process|thread|block|request|transaction|conversation|flow|container|job|task|app\w*)"
    r"[ _.-]?(id|key|no|nr)?|[pt]id|uuid|guid",
    re.IGNORECASE,
)
MOST_TOKENS = 50_000
"""Tokens that are told apart; the rarer ones count as unknown."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Courses:
    """Sequences laid end to end: `index` (N,) rows of the table, `starts` (N,) mask, `names` of the sequences, `labels` (N,) of tokens."""

    index: Codes
    starts: NDArray[np.bool_]
    names: tuple[str, ...]
    labels: pl.Series

    @property
    def of_event(self) -> Codes:
        """Which sequence each event belongs to (N,)."""
        return np.cumsum(self.starts) - 1

    @property
    def lengths(self) -> Codes:
        """Events per sequence (S,)."""
        return np.diff(np.append(np.flatnonzero(self.starts), len(self.starts)))


def find_courses(log: EventLog, *, group: str = "", token: str = "") -> Courses:
    """Lay out a log's sequences.

    Args:
        log: the events.
        group: the column that tells sequences apart (an attribute without `attr:`, or a role); "": chosen.
        token: the column that says what an event is; "": the operation, with the kind of object where there is one.

    Raises:
        UnknownName: a named column does not exist.
        BadInput: nothing says what the events are.

    >>> import polars as pl
    >>> log = EventLog(name="toy", roles={}, table=pl.DataFrame({"row": [1, 2, 3], "time_s": [0.0, 1.0, 2.0],
    ...     "subject": ["a", "b", "a"], "operation": ["open", "open", "close"], "object": ["", "", ""]}))
    >>> courses = find_courses(log)
    >>> courses.index.tolist(), courses.starts.tolist(), courses.names, courses.labels.to_list()
    ([0, 2, 1], [True, False, True], ('a', 'b'), ['open', 'close', 'open'])
    """
    import polars as pl

    table = log.table
    column = _column(table, group) if group else _apart(table)
    keys = table.with_columns(
        (pl.col(column) if column else pl.lit("")).cast(pl.String).fill_null("").alias("key"),
        (pl.col("host").cast(pl.String).fill_null("") if "host" in table.columns and column == "subject" else pl.lit("")).alias(
            "host"
        ),
    ).select("key", "host")
    number = keys.select(pl.struct("key", "host").rank("dense"))["key"].to_numpy().astype(np.int64)
    index = np.argsort(number, kind="stable")
    ordered = number[index]
    starts = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    first = index[starts]
    return Courses(
        index=index, starts=starts, names=_names(table, keys, first, column), labels=_labels(log, token).gather(index),
    )  # fmt: skip


def _column(table: pl.DataFrame, name: str) -> str:
    known = {c.removeprefix("attr:"): c for c in table.columns}
    if name not in known:
        raise UnknownName.among("column", name, list(known))
    return known[name]


def _apart(table: pl.DataFrame) -> str:
    """The column that tells sequences apart: instances, sessions and the like, else subjects; "" when all is one."""
    if "subject_id" in table.columns and table["subject_id"].n_unique() > 1:
        return "subject_id"
    for column in table.columns:
        if (
            column.startswith("attr:")
            and _TELLS_APART.fullmatch(column[5:].strip())
            and 1 < table[column].n_unique() < table.height
        ):
            return column
    return "subject" if table["subject"].n_unique() > 1 else ""


def _names(table: pl.DataFrame, keys: pl.DataFrame, first: Codes, column: str) -> tuple[str, ...]:
    """What to call each sequence: its key, with the subject where that says more; equal names are numbered."""
    found: list[str] = []
    taken: dict[str, int] = {}
    for key, host, subject in zip(
        keys["key"].gather(first), keys["host"].gather(first), table["subject"].gather(first).cast(str), strict=True
    ):
        said = clean(key or "", 100) or "(no name)" if column else "the whole log"
        if column not in ("", "subject") and subject and subject != key:
            said = f"{clean(subject, 80)} ({said})"
        said = f"{said} on {clean(host, 40)}" if host else said
        taken[said] = taken.get(said, 0) + 1
        found.append(said if taken[said] == 1 else f"{said} #{taken[said]}")
    return tuple(found)


def _labels(log: EventLog, token: str) -> pl.Series:
    """What each event is called (N,)."""
    import polars as pl

    table = log.table
    if token:
        return table[_column(table, token)].cast(pl.String).fill_null("")
    operation = table["operation"].cast(pl.String).fill_null("")
    things = table["object"].cast(pl.String).fill_null("")
    if things.n_unique() > 1:
        number, tokens = numbered_tokens(things)
        kinds = tokens["class"].gather(number)
        if 1 < kinds.n_unique() <= few_of(table.height):
            return (operation + " " + kinds).str.strip_chars()
    if not (operation.str.strip_chars() != "").any():
        raise BadInput(
            f"'sequences' {log.name!r}: expected a column that says what each event is (an operation, a call, a template), got none; "
            "name one by token=COLUMN."
        )
    return operation


def cut(lengths: Codes, parts: int) -> tuple[NDArray[np.bool_], Codes]:
    """(where pieces begin, which piece of its sequence each event is in) when sequences are cut into up to `parts` equal pieces each.

    >>> [found.tolist() for found in cut(np.array([4, 1]), 2)]
    [[True, False, True, False, True], [0, 0, 1, 1, 0]]
    """
    place = np.concatenate([np.arange(n) * parts // n for n in lengths.tolist()])
    first = np.concatenate([np.arange(n) == 0 for n in lengths.tolist()])
    return first | (np.diff(place, prepend=-1) != 0), place


def counted_labels(parts: Sequence[pl.Series]) -> pl.Series:
    """The labels worth a number, most frequent first."""
    import polars as pl

    counted = pl.concat([part.alias("label") for part in parts]).value_counts(sort=False)
    return counted.sort("count", "label", descending=[True, False])["label"].head(MOST_TOKENS)
