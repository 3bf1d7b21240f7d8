"""Cells into numbers, and lazy tables into memory, in batches so that text never lies there as a whole."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

_BATCH_CELLS = 2_000_000
# polars says so on stderr when quotation marks do not balance; `open_text_table` has settled how they are read
warnings.filterwarnings("ignore", message="CSV malformed", category=UserWarning)


def collect(lazy: pl.LazyFrame, name: str) -> pl.DataFrame:
    """Run a lazy query; the engine's complaints about a stranger's file become one sentence.

    Raises:
        BadInput: the file cannot be read as a table.
    """
    import polars as pl

    try:
        return lazy.collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError, UnicodeError) as error:
        raise unreadable(name, error) from error


def engine_source(path: Path) -> Path | bytes:
    """What the engine opens: the path (call with `glob=False`: a name may hold * or []), or the bytes when its name is no text."""
    whole = path.resolve()
    try:
        str(whole).encode()
    except UnicodeEncodeError:
        return path.read_bytes()
    return whole


def in_batches(lazy: pl.LazyFrame, name: str, *, width: int) -> Iterator[pl.DataFrame]:
    """Run a lazy query batch by batch, in file order.

    Raises:
        BadInput: the file cannot be read as a table.
    """
    import polars as pl

    try:
        yield from lazy.collect_batches(chunk_size=max(100, _BATCH_CELLS // width), maintain_order=True)
    except (pl.exceptions.PolarsError, OSError, UnicodeError) as error:
        raise unreadable(name, error) from error


def unreadable(name: str, error: BaseException) -> BadInput:
    """The one sentence for everything the engine may complain about."""
    where = re.search(r"offset in the file is (\d+)", str(error))
    place = f" near byte {int(where.group(1)):,}" if where else ""
    return BadInput(f"{name}: the table could not be read{place}; it is damaged or its rows are cut off.")


def numbers_of(frame: pl.DataFrame, columns: Sequence[str], *, decimal_comma: bool) -> pl.DataFrame:
    """Turn text columns into float64, null where a cell is no number: 1.5, 1,5 (with `decimal_comma`), 1,234.5, 12 %, 3e-4.

    >>> import polars as pl
    >>> numbers_of(pl.DataFrame({"x": ["1,234.5", " 7 %", "off"]}), ["x"], decimal_comma=False)["x"].to_list()
    [1234.5, 7.0, None]
    >>> numbers_of(pl.DataFrame({"x": ["1.234,5", "2"]}), ["x"], decimal_comma=True)["x"].to_list()
    [1234.5, 2.0]
    """
    import polars as pl

    quick: list[pl.Series] = []
    careful: list[str] = []
    for column in columns:
        text = frame[column]
        if decimal_comma:
            if text.str.contains(".", literal=True).any():
                careful.append(column)
                continue
            text = text.str.replace(",", ".", literal=True)
        values = text.cast(pl.Float64, strict=False)
        if values.null_count() == text.null_count():
            quick.append(values)
        else:
            careful.append(column)
    return frame.with_columns(*quick, *(_written_number(c, decimal_comma) for c in careful))


def _written_number(column: str, decimal_comma: bool) -> pl.Expr:
    """Any usual way of writing: thousands in groups, blanks around, a percent sign behind."""
    import polars as pl

    text = pl.col(column).str.strip_chars().str.strip_suffix("%").str.strip_chars_end()
    if decimal_comma:
        text = text.str.replace_all(r"[.\s'](\d{3})", "$1").str.replace(",", ".", literal=True)
    else:
        text = text.str.replace_all(r"[,'](\d{3})", "$1")
    return text.cast(pl.Float64, strict=False)
