"""Cells into numbers, and lazy tables into memory, in batches so that text never lies there as a whole."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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


def to_single(frame: pl.DataFrame, columns: Sequence[str]) -> tuple[pl.DataFrame, int]:
    """Turn columns into float32; numbers too large for it become null and are counted.

    >>> import polars as pl
    >>> frame, beyond = to_single(pl.DataFrame({"x": [1.0, 1e300, float("inf")]}), ["x"]); frame["x"].to_list(), beyond
    ([1.0, None, inf], 1)
    """
    import polars as pl

    cast = frame.with_columns(pl.col(columns).cast(pl.Float32, strict=False))
    infinite = cast.select(pl.col(columns).is_infinite().any()).row(0)
    beyond = 0
    for column in [c for c, some in zip(columns, infinite, strict=True) if some]:
        too_large = cast[column].is_infinite() & frame[column].cast(pl.Float64, strict=False).is_finite()
        beyond += int(too_large.sum())
        cast = cast.with_columns(pl.select(pl.when(~too_large).then(cast[column]).alias(column)).to_series())
    return cast, beyond


def single(values: NDArray[Any], name: str, notes: list[str]) -> NDArray[np.float32]:
    """An array as float32; numbers too large for it become NaN, and a note counts them.

    Raises:
        BadInput: all of them are too large.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        small = np.asarray(values, dtype=np.float32)
    if values.dtype.kind == "f" and values.dtype.itemsize > 4 and np.isinf(small).any():
        too_large = np.isinf(small) & np.isfinite(values)
        small[too_large] = np.nan
        note_beyond(int(too_large.sum()), bool(np.isfinite(small).any()), name, notes)
    return small


def note_beyond(beyond: int, others: bool, name: str, notes: list[str]) -> None:
    """Say how many numbers were too large; `others` tells whether any was not.

    Raises:
        BadInput: there are no others.
    """
    if beyond and not others:
        raise BadInput(f"{name}: expected numbers within ±3.4e38, but every one is larger; save them in a larger unit.")
    if beyond:
        notes.append(f"{beyond:,} number{'s' * (beyond > 1)} beyond ±3.4e38 count as missing.")


def _written_number(column: str, decimal_comma: bool) -> pl.Expr:
    """Any usual way of writing: thousands in groups, blanks around, a percent sign behind."""
    import polars as pl

    text = pl.col(column).str.strip_chars().str.strip_suffix("%").str.strip_chars_end()
    if decimal_comma:
        text = text.str.replace_all(r"[.\s'](\d{3})", "$1").str.replace(",", ".", literal=True)
    else:
        text = text.str.replace_all(r"[,'](\d{3})", "$1")
    return text.cast(pl.Float64, strict=False)
