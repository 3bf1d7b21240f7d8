"""Parquet and Arrow tables, read by Apache Arrow, whose readers are fuzzed: a hostile file ends in an exception, never in a panic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import BadInput
from core.settings import limits
from readers.table import HEAD_ROWS, ROW, Table

if TYPE_CHECKING:
    import pyarrow as pa


def open_columnar(path: Path, name: str, form: str) -> Table:
    """Read a parquet or Arrow file after its header was held against the limits.

    Args:
        path: an existing file.
        name: what messages call it.
        form: "parquet" or "arrow".

    Raises:
        BadInput: damaged, empty, or beyond the limits.

    >>> import tempfile, polars as pl; file = Path(tempfile.mkdtemp()) / "a.parquet"
    >>> pl.DataFrame({"x": [1.5, 2.5]}).write_parquet(file)
    >>> table = open_columnar(file, "a.parquet", "parquet"); table.columns, table.head.height
    (('x',), 2)
    """
    import polars as pl
    import pyarrow as pa

    try:
        with path.open("rb") as file:
            arrow = _parquet(file, name) if form == "parquet" else _arrow(file, name)
        arrow.validate(full=True)  # offsets and indices of a damaged file may point outside
        frame = pl.from_arrow(arrow)
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{name}: the {form} file could not be read; it is cut off or damaged.") from error
    if not isinstance(frame, pl.DataFrame) or frame.is_empty():
        raise BadInput(f"{name}: expected rows of data, got an empty table.")
    return Table(
        lazy=frame.lazy().with_row_index(ROW, offset=1), head=frame.head(HEAD_ROWS), columns=tuple(frame.columns), text=False
    )


def _parquet(file: Any, name: str) -> pa.Table:
    """Read everything after a look at the footer."""
    import pyarrow.parquet as pq

    opened = pq.ParquetFile(file)
    _check(opened.metadata.num_rows, len(opened.schema_arrow.names), name)
    return opened.read()


def _arrow(file: Any, name: str) -> pa.Table:
    """Read the batches of an Arrow file one by one."""
    import pyarrow as pa

    opened = pa.ipc.open_file(file)
    batches = []
    rows = 0
    for k in range(opened.num_record_batches):
        batch = opened.get_batch(k)
        rows += batch.num_rows
        _check(rows, len(opened.schema.names), name)
        batches.append(batch)
    return pa.Table.from_batches(batches, schema=opened.schema)


def _check(rows: int, columns: int, name: str) -> None:
    """Hold the size of the table against the limits."""
    allowed = limits()
    if rows > allowed.max_event_rows:
        raise BadInput(f"{name}: the table has {rows:,} rows, allowed are {allowed.max_event_rows:,}.")
    if columns > allowed.max_series_channels:
        raise BadInput(f"{name}: the table has {columns:,} columns, allowed are {allowed.max_series_channels:,}.")
    cells = max(allowed.max_series_cells, allowed.max_event_rows)
    if rows * columns > cells:
        raise BadInput(f"{name}: the table has {rows:,} rows of {columns:,} columns, allowed are {cells:,} cells.")
