"""Series or events? Decides what a table or a text file is, and reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from core.errors import BadInput
from core.samples import EventLog, Kind, Series
from readers.columnar import open_columnar
from readers.encodings import read_head, without_controls
from readers.event_roles import looks_like_events
from readers.events import read_table_events
from readers.series import read_table_series, sort_columns
from readers.table import open_text_table


def read_tabular(
    path: Path, name: str, form: str, *, wanted: Kind | None, roles: Mapping[str, str] | None
) -> tuple[Series, ...] | tuple[EventLog, ...]:
    """Read a parquet, Arrow or text file as series or as one event log.

    Raises:
        BadInput: neither a table nor a log, empty, damaged or too large.
        UnknownName: `roles` names a role or column that does not exist.
    """
    if form == "text":
        from readers.json_logs import looks_like_json, read_json
        from readers.text_logs import read_text_log, text_log_format

        text, encoding, _ = read_head(path, name)
        if looks_like_json(text):
            return read_json(path, name, encoding, wanted=wanted, roles=roles)
        lines = [without_controls(line) for line in text.splitlines()[:400] if line.strip()]
        if wanted != "series" and (log := text_log_format(lines, forced=False)) is not None:
            return (read_text_log(path, name, encoding, log, roles=roles),)
        try:
            table = open_text_table(path, name)
        except BadInput:
            if wanted == "events" and (log := text_log_format(lines, forced=True)) is not None:
                return (read_text_log(path, name, encoding, log, roles=roles),)
            raise
    else:
        table = open_columnar(path, name, form)
    columns = sort_columns(table)
    events = wanted == "events"
    if wanted is None:
        named = bool(roles) and all(column in table.columns for column in (roles or {}).values() if column)
        events = named or looks_like_events(table.head, columns.text, columns.values, timed=bool(columns.time))
    if events:
        return (read_table_events(table, name, roles=roles),)
    return read_table_series(table, columns, name)
