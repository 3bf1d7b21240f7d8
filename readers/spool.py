"""Tables that need not fit into memory: written to an Arrow file on disk batch by batch, then mapped instead of loaded.

The pages of a mapped file are the disk's: the system drops them when memory is short and reads them again when they are asked for. Only
tables of more than `limits().max_loaded_bytes` go this way. The file has no name any more once it is mapped (where the system allows
that), so that nothing is left behind by a process that is killed.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import BadInput
from core.settings import limits

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


def too_large(size: int) -> bool:
    """True for a table of so many bytes that it is mapped rather than loaded."""
    return size > limits().max_loaded_bytes


def spooled(lazy: pl.LazyFrame, name: str) -> pl.DataFrame:
    """Run a lazy query into a file and map that, rows in their order.

    Raises:
        BadInput: the query cannot be run, or the disk is full.

    >>> import polars as pl
    >>> spooled(pl.LazyFrame({"a": ["x", None], "n": [1, 2]}), "t").rows()
    [('x', 1), (None, 2)]
    """
    import polars as pl

    from readers.table_values import unreadable

    with tempfile.TemporaryDirectory(prefix="telltale-", ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "table.arrow"
        try:
            lazy.sink_ipc(file, compression="uncompressed", maintain_order=True)
        except pl.exceptions.PolarsError as error:
            raise unreadable(name, error) from error
        except OSError as error:
            raise _no_room(name, error) from error
        return _mapped(file)


def spooled_batches(batches: Iterable[pa.RecordBatch], schema: pa.Schema, name: str) -> pl.DataFrame:
    """Write Arrow batches to a file one by one and map that.

    Raises:
        BadInput: the disk is full.
    """
    import pyarrow as pa

    with tempfile.TemporaryDirectory(prefix="telltale-", ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "table.arrow"
        try:
            with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)
        except OSError as error:
            raise _no_room(name, error) from error
        return _mapped(file)


def _mapped(file: Path) -> pl.DataFrame:
    import polars as pl
    import pyarrow as pa

    frame = pl.from_arrow(pa.ipc.open_file(pa.memory_map(str(file))).read_all())
    assert isinstance(frame, pl.DataFrame)
    with contextlib.suppress(OSError):  # a system that keeps mapped files removes it when the process ends
        file.unlink()
    return frame


def _no_room(name: str, error: OSError) -> BadInput:
    return BadInput(f"{name}: the table is too large for memory and could not be written to {tempfile.gettempdir()} ({error}). "
                    "Free some space there, or set TELLTALE_MAX_LOADED_BYTES higher.")  # fmt: skip
