"""JSON: one record per line, or one array (also below a single key such as CloudTrail's "Records") → events or series.

Nested records are flattened ("userIdentity.arn"); lists become JSON text. Sysmon and Windows event records go through
`readers.sysmon`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import BadInput
from core.samples import EventLog, Kind, Series
from core.settings import limits
from readers.encodings import text_lines, zero_bytes
from readers.event_roles import looks_like_events
from readers.events import event_log
from readers.series import read_table_series, sort_columns
from readers.spool import spooled, too_large
from readers.sysmon import is_windows_event, windows_event
from readers.table import HEAD_ROWS, ROW, Table

if TYPE_CHECKING:
    import polars as pl

_CHUNK = 20_000
_DEPTH = 8
_COLUMNS = 2_000
_WHOLE_BYTES = 2**30


def looks_like_json(text: str) -> bool:
    """Does the text begin like JSON records?

    >>> looks_like_json('{"a": 1}'), looks_like_json("[1, 2]"), looks_like_json("[2024-05-01] INFO x")
    (True, True, False)
    """
    start = text.lstrip()[:4096]
    if start.startswith("{"):
        return start[1:].lstrip()[:1] in ('"', "}")
    return (start.startswith("[") and start[1:].lstrip()[:1] in ("{", "[", "]", '"')) or bool(
        start[:1] == "[" and _is_number_list(start)
    )


def read_json(
    path: Path, name: str, encoding: str, *, wanted: Kind | None, roles: Mapping[str, str] | None
) -> tuple[Series, ...] | tuple[EventLog, ...]:
    """Read JSON lines or a JSON array.

    Raises:
        BadInput: not JSON after all, no records, or too many.
        UnknownName: `roles` names a role or column that does not exist.
    """
    notes: list[str] = []
    if zeros := zero_bytes(path, encoding):
        notes.append(f"{zeros:,} zero byte{'s' * (zeros > 1)} in the text were passed over.")
    frames: list[pl.DataFrame] = []
    large = too_large(path.stat().st_size)
    windows = 0
    total = 0
    chunk: list[dict[str, Any]] = []
    for row, record in _records(path, name, encoding, notes):
        flat = {ROW: row}
        if is_windows_event(record):
            windows += 1
            flat.update(windows_event(record))
        else:
            _flatten(record, "", flat, 0)
        chunk.append(flat)
        total += 1
        if total > limits().max_event_rows:
            raise BadInput(f"{name}: more than the {limits().max_event_rows:,} records allowed.")
        if len(chunk) >= _CHUNK:
            frame = _frame(chunk, name)
            frames.append(spooled(frame.lazy(), name) if large else frame)
            chunk = []
    if chunk:
        frames.append(_frame(chunk, name))
    if not frames:
        raise BadInput(f"{name}: expected JSON records, got none.")
    frame = _stack(frames, name)
    known: dict[str, str] = {}
    if windows > 0.5 * total:
        notes.append("Read as Windows event records: who did what to what follows from each event's id.")
        known = {r: r for r in ("subject", "operation", "object", *_WINDOWS_ROLES) if r in frame.columns}
    table = Table(
        lazy=frame.lazy(), head=frame.head(HEAD_ROWS).drop(ROW), columns=tuple(c for c in frame.columns if c != ROW), text=False,
        notes=tuple(notes),
    )  # fmt: skip
    columns = sort_columns(table)
    events = wanted == "events" or bool(known)
    if wanted is None and not events:
        named = bool(roles) and all(column in table.columns for column in (roles or {}).values() if column)
        events = named or looks_like_events(table.head, columns.text, columns.values, timed=bool(columns.time))
    if events:
        return (event_log(frame, name, roles=roles, notes=notes, known=known),)
    return read_table_series(table, columns, name)


_WINDOWS_ROLES = ("subject_id", "object_id", "object_type", "parent", "host", "user", "detail")


def _records(path: Path, name: str, encoding: str, notes: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line or record number from 1, record)."""
    with text_lines(path, encoding) as file:
        filled = (line for line in iter(lambda: file.readline(_WHOLE_BYTES), "") if line.strip("\ufeff \t\r\n"))
        first, second = next(filled, ""), next(filled, "")
    if any(_parse(line.strip("\ufeff \t\r\n")) is not None for line in (first, second)) and second.lstrip().startswith("{"):
        yield from _lines(path, name, encoding, notes)
        return
    if path.stat().st_size > _WHOLE_BYTES:
        raise BadInput(f"{name}: a JSON array of more than 1 GiB cannot be read; write one record per line.")
    try:
        whole = json.loads(path.read_text(encoding=encoding, errors="replace").lstrip("\ufeff").replace("\0", ""))
    except (ValueError, RecursionError) as error:
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise BadInput(f"{name}: the JSON is cut off or broken{where}.") from error
    if isinstance(whole, dict):
        lists = [v for v in whole.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
        whole = max(lists, key=len) if lists else _columns_to_records(whole)
    if not isinstance(whole, list):
        raise BadInput(f"{name}: expected a list of JSON records, got {type(whole).__name__}.")
    bad = 0
    for number, record in enumerate(whole, 1):
        if isinstance(record, dict):
            yield number, record
        elif isinstance(record, list):
            yield number, {f"column_{k + 1}": v for k, v in enumerate(record)}
        elif isinstance(record, (int, float)) and not isinstance(record, bool):
            yield number, {"value": record}
        else:
            bad += 1
    if bad:
        notes.append(f"{bad:,} entries that are no records were left out.")


def _lines(path: Path, name: str, encoding: str, notes: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """One record per line; broken lines are counted."""
    bad = good = 0
    with text_lines(path, encoding) as file:
        for number, line in enumerate(file, 1):
            text = line.strip("\ufeff \t\r\n")
            if not text:
                continue
            record = _parse(text)
            if record is None:
                bad += 1
                continue
            good += 1
            yield number, record
    if bad > good:
        raise BadInput(f"{name}: expected one JSON record per line, but {bad:,} of {bad + good:,} lines are broken.")
    if bad:
        notes.append(f"{bad:,} broken line{'s' * (bad > 1)} left out.")


def _parse(text: str) -> dict[str, Any] | None:
    """One record, None when the text is no JSON object."""
    try:
        record = json.loads(text.replace("\0", ""))
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _columns_to_records(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """{"t": [..], "x": [..]} with lists of one length → records; a single record stays one."""
    lists = {k: v for k, v in whole.items() if isinstance(v, list)}
    lengths = {len(v) for v in lists.values()}
    if lists and len(lengths) == 1 and len(lists) >= 0.5 * len(whole):
        return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
    return [whole]


def _flatten(record: Mapping[str, Any], prefix: str, into: dict[str, Any], depth: int) -> None:
    """Nested mappings become dotted names."""
    for key, value in record.items():
        label = f"{prefix}{key}"
        if type(value) is dict and value and depth < _DEPTH:
            _flatten(value, f"{label}.", into, depth + 1)
        elif type(value) in (list, dict):
            into[label] = json.dumps(value, ensure_ascii=False, default=str) if value else None
        else:
            into[label] = value


def _frame(records: list[dict[str, Any]], name: str) -> pl.DataFrame:
    """A table of text, whole numbers, floats and truth values; mixed columns become text."""
    import polars as pl

    keys: dict[str, None] = {}
    for record in records:
        keys.update(dict.fromkeys(record))
    if len(keys) > _COLUMNS:
        raise BadInput(f"{name}: the records have more than {_COLUMNS:,} different fields.")
    columns = {}
    for key in keys:
        values = [r.get(key) for r in records]
        columns[key] = _column(key, values)
    return pl.DataFrame(columns)


def _column(key: str, values: list[Any]) -> pl.Series:
    """One column in the narrowest of the four types."""
    import polars as pl

    kinds = {type(v) for v in values if v is not None}
    if kinds <= {bool}:
        return pl.Series(key, values, dtype=pl.Boolean)
    if kinds <= {int} and all(v is None or -(2**63) <= v < 2**63 for v in values):
        return pl.Series(key, values, dtype=pl.Int64)
    if kinds <= {int, float}:
        return pl.Series(
            key, [None if v is None or (isinstance(v, float) and math.isnan(v)) else float(v) for v in values], dtype=pl.Float64
        )
    return pl.Series(key, [v if v is None or isinstance(v, str) else str(v) for v in values], dtype=pl.String)


def _stack(frames: list[pl.DataFrame], name: str) -> pl.DataFrame:
    """Put chunks together; a column whose type changes between chunks becomes text."""
    import polars as pl

    types: dict[str, set[pl.DataType]] = {}
    for frame in frames:
        for column, dtype in frame.schema.items():
            if frame[column].null_count() < frame.height:
                types.setdefault(column, set()).add(dtype)
            else:
                types.setdefault(column, set())
    if len(types) > _COLUMNS:
        raise BadInput(f"{name}: the records have more than {_COLUMNS:,} different fields.")

    def common(column: str) -> pl.DataType:
        kinds = types[column]
        if len(kinds) == 1:
            return next(iter(kinds))
        if kinds and all(k.is_numeric() for k in kinds):
            return pl.Float64()
        return pl.String()

    target = {c: common(c) for c in types}
    aligned = [
        f.select(
            *(pl.col(c).cast(t) if c in f.columns else pl.lit(None, dtype=t).alias(c) for c, t in target.items())  # type: ignore[arg-type]
        )
        for f in frames
    ]
    return pl.concat(aligned)


def _is_number_list(start: str) -> bool:
    """Does it begin like [1, 2, 3…?"""
    import re

    return bool(re.match(r"^\[\s*-?\d+(\.\d+)?([eE][+-]?\d+)?\s*(,\s*-?\d|\])", start))
