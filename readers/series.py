"""Sensor series from CSV, TSV, parquet, Arrow, npz and npy → `Series` (T, M) float32 with times in seconds.

`Series.rows` counts the data rows of the file from 1, the header not counted. A table that stacks several series under a name
column becomes one `Series` per name; a long table (time, sensor, value) is spread so that each sensor is a channel. Columns that
hold labels, text or a plain row number are left out, each with a note.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.samples import Series, TimeBase
from core.settings import limits
from readers.counters import count_on
from readers.labels import label_columns
from readers.names import listed, shown_text
from readers.summer_time import keep_order_in_double_hours
from readers.table import ROW, Table, is_missing, is_number
from readers.table_values import in_batches, note_beyond, numbers_of, to_single
from readers.time_columns import read_times, time_columns, unreadable_times
from readers.timestamps import NAIVE, ParsedTimes

if TYPE_CHECKING:
    import polars as pl

_TEXT_SHARE = 0.5  # a column with more unreadable than readable cells is text
_MIN_GROUP = 10
NO_TIME = "No time column was found; time counts rows."
_PROBE = 400
_GROUP_COLUMNS = 3  # so many text columns may name the series
MAX_GROUPS = 2_000
INDEX = re.compile(
    r"^(index|idx|id|row|row_?(id|nr|no|num(ber)?)|no|nr|#|unnamed(: ?\d+| \d+)?|column_1|sample|line_?id|record|seq|level_0|)$"
)
_UNIT = re.compile(r"^(.*\S)\s*[\[(]\s*([^\])]{1,16}?)\s*[\])]\s*$")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns of a table are for: `odd` ones hold lists, records or bytes, `unread` ones dates that cannot be read."""

    time: tuple[str, ...]
    values: tuple[str, ...]
    labels: tuple[str, ...]
    index: tuple[str, ...]
    text: tuple[str, ...]
    odd: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def sort_columns(table: Table) -> Columns:
    """Tell time, numbers, labels, row numbers and text apart by the first rows of a table."""
    import polars as pl

    odd = tuple(c for c, dtype in table.head.schema.items() if dtype.is_nested() or dtype in (pl.Binary, pl.Object))
    head = table.head.drop(odd)
    labels = label_columns(head)
    time = time_columns(head.drop(labels))
    values, index, text = [], [], []
    for column in head.columns:
        if column in labels or column in time:
            continue
        if not _is_numeric(head[column]):
            text.append(column)
        elif _is_index(head[column], first=column == table.columns[0], alone=len(table.columns) == 1):
            index.append(column)
        else:
            values.append(column)
    if not values and len(index) == 1 and not text:
        values, index = index, []
    unread = unreadable_times(head, text) if values and not time else ()
    return Columns(
        time=time, values=tuple(values), labels=labels, index=tuple(index), odd=odd, unread=unread,
        text=tuple(c for c in text if c not in unread),
    )  # fmt: skip


def read_table_series(table: Table, columns: Columns, name: str) -> tuple[Series, ...]:
    """Read a table as one or several series.

    Raises:
        BadInput: no numeric column, fewer than two rows, or beyond the limits.
    """
    allowed = limits()
    if not columns.values:
        there = columns.text or columns.time or columns.labels or columns.index
        got, then = f"only {listed(there)}", "if these are events, open it as events"
        if not there:
            got, then = "no column at all", "export it again or choose another"
            if columns.odd:
                got, then = f"only lists, records or bytes in {listed(columns.odd)}", "unpack them into columns of numbers"
        raise BadInput(f"{name}: expected at least one column of numbers, got {got}; {then}.")
    if len(columns.values) > allowed.max_series_channels:
        raise BadInput(f"{name}: {len(columns.values):,} channels, allowed are {allowed.max_series_channels:,}.")
    most = min(allowed.max_series_rows, allowed.max_series_cells // len(columns.values))
    notes = list(table.notes)
    frame = _load(table, columns, name, most + 1, notes)
    if frame.height > most:
        raise BadInput(f"{name}: more than the {most:,} rows allowed for {len(columns.values):,} channels.")
    if columns.labels:
        notes.append(f"Left out because they hold labels, not measurements: {listed(columns.labels)}.")
    if columns.index:
        notes.append(f"Left out because it only counts rows: {listed(columns.index)}.")
    if columns.odd:
        notes.append(f"Left out because they hold lists, records or bytes: {listed(columns.odd)}.")
    for column in columns.unread:
        cell = shown_text(str(table.head[column].drop_nulls()[0])[:40])
        notes.append(
            f"The times in {column!r} could not be read (expected 1970 to 2100, got for example {cell!r}); time counts rows."
        )
    grouped = _grouping(frame, columns)
    if grouped and grouped[1] == "stacked":
        return _stacked(frame, columns, grouped[0], table, name, notes)
    if grouped and grouped[1] == "long":
        frame, channels = _spread(frame, columns, grouped[0])
        notes.append(f"Each value of {grouped[0]!r} became a channel.")
        columns = Columns(time=columns.time, values=channels, labels=(), index=(), text=())
    elif columns.text:
        notes.append(f"Left out because they hold text: {listed(columns.text)}.")
    return (_series(frame, columns, table, name, notes),)


def _durations(table: Table, columns: Sequence[str]) -> list[str]:
    """Those of the columns that hold durations."""
    import polars as pl

    schema = table.head.schema  # made anew on every access
    return [c for c in columns if schema.get(c) == pl.Duration]


def _is_numeric(column: pl.Series) -> bool:
    """Do most cells hold numbers (a duration is one of seconds)? An empty column counts as numeric: it may fill later."""
    import polars as pl

    if column.dtype != pl.String:
        return column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null, pl.Duration)
    if column.cast(pl.Float64, strict=False).null_count() == column.null_count():
        return True
    present = column.drop_nulls()
    cells = [c for c in present.gather_every(max(1, len(present) // _PROBE)) if not is_missing(c)]
    return sum(is_number(c) for c in cells) >= (1 - _TEXT_SHARE) * len(cells)


def _is_index(column: pl.Series, *, first: bool, alone: bool) -> bool:
    """A column that only counts rows: by its name, running in steps of one."""
    import polars as pl

    if not INDEX.match(column.name.strip().lower()) or (column.name == "column_1" and not first) or alone:
        return False
    values = column.cast(pl.Float64, strict=False).drop_nulls()
    return len(values) > 1 and bool((values.diff().drop_nulls() == 1).all())


def _load(table: Table, columns: Columns, name: str, most: int, notes: list[str]) -> pl.DataFrame:
    """Read what is needed, batch by batch: row number, time and text columns as they are, values as float32."""
    import polars as pl

    others = [*columns.time, *columns.text[:_GROUP_COLUMNS]]
    needed = [ROW, *others, *columns.values]
    batches = []
    beyond = 0
    durations = _durations(table, columns.values)
    if durations:
        notes.append(f"Durations were turned into seconds: {listed(durations)}.")
    for batch in in_batches(table.lazy.head(most).select(needed), name, width=len(needed)):
        if table.text:
            batch = numbers_of(batch, columns.values, decimal_comma=table.decimal_comma)
        if durations:
            batch = batch.with_columns(pl.col(durations).dt.total_microseconds() / 1e6)
        kept, too_large = to_single(batch.with_columns(pl.col(ROW).cast(pl.Int64)), columns.values)
        beyond += too_large
        batches.append(kept)
    if not batches:
        raise BadInput(f"{name}: expected rows of data, got none.")
    frame = pl.concat(batches)
    if table.text:  # blank lines
        blank = frame.select(pl.all_horizontal(pl.exclude(ROW).is_null())).to_series()
        frame = frame.filter(~blank) if blank.any() else frame
    if beyond:
        note_beyond(beyond, any(frame[c].is_finite().any() for c in columns.values), name, notes)
    return frame


def _grouping(frame: pl.DataFrame, columns: Columns) -> tuple[str, str] | None:
    """(column, "stacked" | "long") when a text column names the series each row belongs to."""
    import polars as pl

    for column in columns.text[:_GROUP_COLUMNS]:
        keys = frame[column].cast(pl.String)
        count = keys.n_unique()
        if keys.null_count() or not 2 <= count <= MAX_GROUPS or frame.height < _MIN_GROUP * count:
            continue
        runs = int((keys != keys.shift(1)).sum()) + 1
        if not columns.time:
            continue
        times = read_times(frame, columns.time)
        if times is None:
            continue
        if runs == count:
            restarts = np.diff(times.seconds) < 0
            change = (keys != keys.shift(1)).to_numpy()[1:].astype(bool)
            if restarts[change].any() or len(np.unique(times.seconds)) < 0.9 * frame.height:
                return column, "stacked"
        elif len(columns.values) == 1 and len(np.unique(times.seconds)) <= 0.7 * frame.height:
            pairs = pl.DataFrame({"t": times.seconds, "k": keys}).n_unique()
            if pairs >= 0.95 * frame.height:
                return column, "long"
    return None


def _stacked(frame: pl.DataFrame, columns: Columns, key: str, table: Table, name: str, notes: list[str]) -> tuple[Series, ...]:
    """One series per value of the name column, in file order."""
    import polars as pl

    text = [c for c in columns.text if c != key]
    if text:
        notes = [*notes, f"Left out because they hold text: {listed(text)}."]
    keys = frame[key].cast(pl.String)
    result = []
    for label in keys.unique(maintain_order=True):
        part = frame.filter(keys == label)
        if part.height >= 2:
            result.append(_series(part, columns, table, f"{name}:{shown_text(label)}", notes))
    if not result:
        raise BadInput(f"{name}: expected series of at least two rows per {key!r}.")
    return tuple(result)


def _spread(frame: pl.DataFrame, columns: Columns, key: str) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Long to wide: one channel per value of `key`, one row per time; the row is that of the first reading."""
    import polars as pl

    time = list(columns.time)
    value = columns.values[0]
    frame = frame.with_columns(pl.col(key).cast(pl.String))
    rows = frame.group_by(time, maintain_order=True).agg(pl.col(ROW).min())
    wide = frame.pivot(on=key, index=time, values=value, aggregate_function="mean")
    joined = rows.join(wide, on=time, how="left", maintain_order="left")
    return joined, tuple(c for c in joined.columns if c not in (*time, ROW))


def _series(frame: pl.DataFrame, columns: Columns, table: Table, name: str, notes: Sequence[str]) -> Series:
    """Put one series together: times, order, gaps, units."""
    notes = list(notes)
    if frame.height < 2:
        raise BadInput(f"{name}: expected at least two rows of readings, got {frame.height}.")
    values = frame.select(columns.values).to_numpy().astype(np.float32, copy=False)
    rows = frame[ROW].to_numpy().astype(np.int64)
    times = read_times(frame, columns.time) if columns.time else None
    time_s, base, epoch, order = _clock(times, columns.time, rows, notes)
    if columns.unread:  # why time counts rows has been said
        notes = [n for n in notes if n != NO_TIME]
    values, rows = values[order], rows[order]
    named = dict(zip(table.columns, table.units, strict=False))
    named |= dict.fromkeys(_durations(table, columns.values), "s")
    values, channels, units = tidy(values, columns.values, named, name, notes)
    counted: list[str] = []
    values = count_on(values, channels, rows, counted)
    notes[:0] = counted  # first, for a chat says the first few: values differ from the file's
    return Series(
        name=name, values=values, time_s=time_s, channels=channels, units=units, time_base=base, epoch_s=epoch, rows=rows,
        notes=tuple(notes),
    )  # fmt: skip


def _clock(
    times: ParsedTimes | None, columns: Sequence[str], rows: NDArray[np.int64], notes: list[str]
) -> tuple[NDArray[np.float64], TimeBase, float | None, NDArray[np.int64]]:
    """(time_s, base, epoch_s, order of the kept rows)."""
    count = len(rows)
    if times is None or np.isfinite(times.seconds).sum() < 2:
        notes.append(NO_TIME)
        return np.arange(count, dtype=np.float64), "index", None, np.arange(count)
    good = np.isfinite(times.seconds)
    if not good.all():
        notes.append(f"{int((~good).sum()):,} rows without a readable time in {listed(columns)} were left out.")
    kept = np.flatnonzero(good)
    seconds = times.seconds[kept]
    if NAIVE in times.note:  # a clock with a zone repeats nothing
        seconds, hours = keep_order_in_double_hours(seconds)
        notes.extend(
            f"The hour from {hour:%Y-%m-%d %H:%M} occurs twice, as at the end of summer time: its rows were spread over it in the order "
            "of the file; other times are as written." for hour in hours
        )  # fmt: skip
    if times.note:
        notes.append(times.note)
    backwards = int((np.diff(seconds) < 0).sum())
    if backwards:
        notes.append(f"Rows were not in time order ({backwards:,} steps back); they were sorted.")
        by_time = np.argsort(seconds, kind="stable")
        kept, seconds = kept[by_time], seconds[by_time]
    steps = np.diff(seconds)
    twice = int((steps == 0).sum())
    if twice:
        notes.append(f"{twice:,} rows share their time with the row before; all were kept.")
    if len(steps) and steps.max() > 0:
        usual = float(np.median(steps[steps > 0]))
        gaps = int((steps > 3 * usual).sum())
        if gaps:
            notes.append(f"{gaps:,} gap{'s' * (gaps > 1)} in time, the longest {steps.max():,.6g} s (usual step {usual:,.6g} s).")
    start = float(seconds[0])
    if times.base == "clock":  # double precision resolves a date to a quarter microsecond; more digits would be noise
        return np.round(seconds - start, 6), "clock", start, kept
    if start:
        notes.append(f"Time starts at {start:,.6g} s in the file and is counted from there.")
    return seconds - start, "elapsed", None, kept


def tidy(
    values: NDArray[np.float32], names: Sequence[str], units: Mapping[str, str], name: str, notes: list[str]
) -> tuple[NDArray[np.float32], tuple[str, ...], tuple[str, ...]]:
    """Make infinity NaN, drop columns without any value, and part names from units; what was done goes to `notes`.

    Args:
        values: (T, M).
        names: M column names.
        units: units that are known otherwise than from the names.
        name: of the file.
        notes: gets a sentence for everything done.

    Returns:
        (values (T, M'), channel names, units)

    Raises:
        BadInput: every value is missing.
    """
    infinite = int(np.isinf(values).sum())
    if infinite:
        notes.append(f"{infinite:,} infinite values count as missing.")
        values = np.where(np.isinf(values), np.float32(np.nan), values)
    filled = [bool(f) for f in np.atleast_1d(~np.isnan(values).all(axis=0))]
    if not any(filled):
        raise BadInput(f"{name}: expected numbers, but every value is missing.")
    kept = [n for n, f in zip(names, filled, strict=True) if f]
    if len(kept) < len(names):
        empty = [n for n, f in zip(names, filled, strict=True) if not f]
        notes.append(f"Left out because they hold no value at all: {listed(empty)}.")
        values = values[:, filled]
    split = [_split_unit(n) for n in kept]
    count = Counter(bare for bare, _ in split)
    channels = tuple(bare if count[bare] == 1 else n for (bare, _), n in zip(split, kept, strict=True))
    measured = tuple(units.get(n, "") or unit for n, (_, unit) in zip(kept, split, strict=True))
    return np.ascontiguousarray(values, dtype=np.float32), channels, measured


def _split_unit(header: str) -> tuple[str, str]:
    """("temp", "°C") of "temp (°C)"."""
    match = _UNIT.match(header)
    if not match or re.fullmatch(r"\d+", match.group(2)):
        return header, ""
    return match.group(1), match.group(2)
