"""Parquet and Arrow tables, read by Apache Arrow, whose readers are fuzzed: a hostile file ends in an exception, never in a panic."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import BadInput
from core.settings import limits
from readers.spool import spooled_batches, too_large
from readers.table import HEAD_ROWS, ROW, Table

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 200_000
_CELL_BYTES = 16
"""What a cell of text takes in memory at least."""


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
            frame = _parquet(file, name) if form == "parquet" else pl.from_arrow(_arrow(file, name))
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{name}: the {form} file could not be read; it is cut off or damaged.") from error
    if not isinstance(frame, pl.DataFrame) or frame.is_empty():
        raise BadInput(f"{name}: expected rows of data, got an empty table.")
    return Table(
        lazy=frame.lazy().with_row_index(ROW, offset=1), head=frame.head(HEAD_ROWS), columns=tuple(frame.columns), text=False
    )


def _parquet(file: Any, name: str) -> Any:
    """Read everything after a look at the footer; a large table is mapped."""
    import polars as pl
    import pyarrow.parquet as pq

    opened = pq.ParquetFile(file)
    _check(opened.metadata.num_rows, len(opened.schema_arrow.names), name)
    size = sum(opened.metadata.row_group(k).total_byte_size for k in range(opened.metadata.num_row_groups))
    # a column of few different values may unpack to much more than its pages hold
    if too_large(max(size, _CELL_BYTES * opened.metadata.num_rows * len(opened.schema_arrow.names))):
        batches = (_plain(batch) for batch in opened.iter_batches(_BATCH_ROWS))
        first = next(batches, None)
        return pl.DataFrame() if first is None else spooled_batches(chain([first], batches), first.schema, name)
    whole = opened.read()
    whole.validate(full=True)  # offsets and indices of a damaged file may point outside
    return pl.from_arrow(whole)


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A checked batch without dictionaries, of which an Arrow file could hold only one per column."""
    import pyarrow as pa

    batch.validate(full=True)
    columns = [c.dictionary_decode() if pa.types.is_dictionary(c.type) else c for c in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


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
    whole = pa.Table.from_batches(batches, schema=opened.schema)
    whole.validate(full=True)
    return whole


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
