"""Event logs from tables, JSON and text logs → `EventLog`: who did what to what, when.

One row per event, in time order; `row` is the 1-based data row (tables, header not counted), line (text logs) or record (JSON).
Label columns never become attributes. See `readers.event_roles` for how roles are found, `readers.text_logs`, `readers.json_logs` and
`readers.sysmon` for the formats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.errors import BadInput
from core.samples import EVENT_ROLES, EventLog
from core.settings import limits
from readers.event_roles import ROLES, choose_roles
from readers.labels import label_columns
from readers.names import listed
from readers.series import INDEX
from readers.spool import spooled, too_large
from readers.table import ROW, Table
from readers.table_values import collect
from readers.time_columns import read_times, time_columns
from readers.timestamps import ParsedTimes

if TYPE_CHECKING:
    import polars as pl

_PIECE_ROWS = 500_000


def read_table_events(table: Table, name: str, *, roles: Mapping[str, str] | None = None) -> EventLog:
    """Read a table as an event log.

    Raises:
        BadInput: no rows, or more than allowed.
        UnknownName: `roles` names a role or column that does not exist.
    """
    lazy = table.lazy
    if table.text:
        import polars as pl

        lazy = lazy.filter(~pl.all_horizontal(pl.col(c).is_null() for c in table.columns))
    lazy = lazy.head(limits().max_event_rows + 1)
    frame = spooled(lazy, name) if too_large(table.size) else collect(lazy, name)
    if table.text:
        frame = _with_numbers(frame)
    return event_log(frame, name, roles=roles, notes=table.notes)


def event_log(
    frame: pl.DataFrame,
    name: str,
    *,
    roles: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    known: Mapping[str, str] | None = None,
) -> EventLog:
    """Make an `EventLog` from a table with the column `ROW`.

    Args:
        frame: `ROW` and the file's columns.
        name: what people call the log.
        roles: the person's choices.
        notes: remarks to carry along.
        known: choices the format itself prescribes; `roles` overrules them.

    Raises:
        BadInput: no rows, or more than allowed.
        UnknownName: `roles` names a role or column that does not exist.
    """
    import polars as pl

    if frame.height == 0:
        raise BadInput(f"{name}: expected events, got none.")
    if frame.height > limits().max_event_rows:
        raise BadInput(f"{name}: {frame.height:,} events, allowed are {limits().max_event_rows:,}.")
    remarks = list(notes)
    body = frame.drop(ROW)
    head = body.head(5_000)
    labels = label_columns(head)
    if labels:
        remarks.append(f"Left out because they hold labels, not events: {listed(labels)}.")
    body = body.drop(labels)
    timing = time_columns(body.head(5_000))
    times = read_times(body, timing) if timing else None
    counters = [c for c in body.columns if INDEX.match(c.strip().lower()) and _counts(body[c])]
    columns = [c for c in body.columns if c not in timing and c not in counters]
    chosen = choose_roles(body.head(5_000), columns, {**(known or {}), **(roles or {})})
    if not any(role in chosen for role in EVENT_ROLES):
        remarks.append("No column says who did what; every column is an attribute of the event.")
    empty = pl.lit("", dtype=pl.String)
    picked = [_text(pl.col(chosen[r]), body.schema[chosen[r]]).alias(r) if r in chosen else empty.alias(r) for r in EVENT_ROLES]
    picked += [_text(pl.col(chosen[r]), body.schema[chosen[r]]).alias(r) for r in ROLES if r in chosen and r not in EVENT_ROLES]
    attributes = [_attribute(c, body.schema[c]).alias(f"attr:{c}") for c in columns if c not in chosen.values()]
    time_s, epoch, order = _clock(times, frame.height, remarks)
    table = pl.concat(
        [
            pl.DataFrame({"row": frame[ROW].cast(pl.Int64), "time_s": time_s}),
            body.select(*picked, *attributes),
        ],
        how="horizontal",
    )
    if order is not None:
        table = _in_order(table, order, name) if too_large(int(frame.estimated_size())) else table[order]
    return EventLog(name=name, table=table, roles=dict(chosen), epoch_s=epoch, notes=tuple(remarks))


def _in_order(table: pl.DataFrame, order: np.ndarray, name: str) -> pl.DataFrame:
    """A large table's rows in another order, written piece by piece."""
    import polars as pl

    pieces = [order[start : start + _PIECE_ROWS] for start in range(0, len(order), _PIECE_ROWS)]
    return pl.concat([spooled(table[piece].lazy(), name) for piece in pieces], rechunk=False)


def _clock(times: ParsedTimes | None, count: int, notes: list[str]) -> tuple[np.ndarray, float | None, np.ndarray | None]:
    """(time_s with NaN for unknown, epoch_s, order or None when the file's order stands)."""
    if times is None or not np.isfinite(times.seconds).any():
        notes.append("No time column was found; events stay in the order of the file.")
        return np.full(count, np.nan), None, None
    if times.note:
        notes.append(times.note)
    seconds = times.seconds
    start = float(np.nanmin(seconds))
    unknown = ~np.isfinite(seconds)
    if unknown.any():
        notes.append(f"{int(unknown.sum()):,} events have no readable time and stay beside their neighbours in the file.")
    # an event without a time sorts with the last known time before it
    last = np.maximum.accumulate(np.where(unknown, -1, np.arange(count)))
    key = np.where(last >= 0, seconds[np.maximum(last, 0)], -np.inf)
    order = None
    if (key[1:] < key[:-1]).any():
        order = np.argsort(key, kind="stable")
        notes.append(f"Events were not in time order ({int((np.diff(key) < 0).sum()):,} steps back); they were sorted.")
    clock = times.base == "clock"
    return np.round(seconds - start, 6) if clock else seconds - start, start if clock else None, order


def _text(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A role column as text, "" for missing; whole floats lose their ".0"."""
    import polars as pl

    if dtype.is_float():
        column = (
            pl.when(column == column.floor())
            .then(column.cast(pl.Int64, strict=False).cast(pl.String))
            .otherwise(column.cast(pl.String))
        )
    elif dtype in (pl.List, pl.Array, pl.Struct, pl.Object, pl.Binary):
        column = pl.lit("", dtype=pl.String) if dtype in (pl.Object, pl.Binary) else _json(column, dtype)
    return column.cast(pl.String).fill_null("")


def _attribute(name: str, dtype: pl.DataType) -> pl.Expr:
    """Attributes keep numbers and times; categories become text."""
    import polars as pl

    column = pl.col(name)
    if dtype.is_numeric() or dtype in (pl.Boolean, pl.Datetime, pl.Date, pl.Time, pl.Duration, pl.String):
        return column
    return _text(column, dtype)


def _json(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Nested values as text."""
    import polars as pl

    if dtype == pl.Struct:
        return column.struct.json_encode()
    return column.cast(pl.List(pl.String), strict=False).list.join(", ", ignore_nulls=True)


def _counts(column: pl.Series) -> bool:
    """Does the column only count rows?"""
    import polars as pl

    values = column.head(5_000).cast(pl.Float64, strict=False).drop_nulls()
    return len(values) > 1 and bool((values.diff().drop_nulls() == 1).all())


def _with_numbers(frame: pl.DataFrame) -> pl.DataFrame:
    """Text columns whose every cell is a plain number become numbers; codes with leading zeros stay text."""
    import polars as pl

    casts = []
    for column in frame.columns:
        if column == ROW:
            continue
        cells = frame[column].drop_nulls()
        if cells.is_empty() or cells.head(200).str.contains(r"^(-?0\d|\s*$)").any():
            continue
        for dtype in (pl.Int64, pl.Float64):
            if cells.head(200).cast(dtype, strict=False).null_count() == 0 and cells.cast(dtype, strict=False).null_count() == 0:
                casts.append(pl.col(column).cast(dtype))
                break
    return frame.with_columns(casts)
