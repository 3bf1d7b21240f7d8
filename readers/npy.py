"""NumPy files (npy) and archives (npz): their headers are read and held against the limits before a single number is.

Format: NumPy Enhancement Proposal 1, "A Simple File Format for NumPy Arrays". Pickled objects are never loaded. An archive is
refused when a member unpacks to far more than it takes in the file (a bomb), or announces more numbers than it holds.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.settings import limits
from readers.names import listed, shown_text


@dataclass(frozen=True, kw_only=True)
class Header:
    """An array that has not been read yet: what it is called, how large it is, of what type; `member` is its file in an archive."""

    key: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    member: str = ""

    @property
    def size(self) -> int:
        """How many values it has, in whole numbers that cannot overflow."""
        return math.prod(self.shape)

    @property
    def numeric(self) -> bool:
        """Does it hold real numbers, and at least one?"""
        return self.dtype.kind in "fiub" and self.size > 0


def read_headers(path: Path, name: str, form: str) -> list[Header]:
    """Return the headers of all arrays of a file, in its order.

    Args:
        path: an existing file.
        name: what messages call it.
        form: "npy" or "npz".

    Raises:
        BadInput: damaged, cut off, or a bomb.

    >>> import tempfile; file = Path(tempfile.mkdtemp()) / "m.npz"
    >>> np.savez(file, x=np.zeros((9, 2)))
    >>> header, = read_headers(file, "m.npz", "npz"); header.key, header.shape, header.numeric
    ('x', (9, 2), True)
    """
    try:
        if form == "npy":
            with path.open("rb") as file:
                return [_header(file, path.stat().st_size, "array", "")]
        with zipfile.ZipFile(path) as archive:
            result = []
            for info in archive.infolist():
                _check_ratio(info, name)
                with archive.open(info) as member:
                    result.append(_header(member, info.file_size, info.filename.removesuffix(".npy"), info.filename))
            return result
    except BadInput:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise many kinds on damaged files
        raise _damaged(name, form) from error


def load(path: Path, name: str, headers: Sequence[Header]) -> dict[str, NDArray[Any]]:
    """Read the arrays of these headers, which all come from the file at `path`; those of an npy file are mapped, not copied.

    Raises:
        BadInput: together more values than allowed, or damaged.
    """
    cells = limits().max_series_cells
    total = sum(h.size for h in headers)
    if total > cells:
        raise BadInput(f"{name}: the arrays have {total:,} values, allowed are {cells:,}; save a part of them.")
    form = "npz" if headers and headers[0].member else "npy"
    try:
        if form == "npy":
            return {h.key: np.load(path, mmap_mode="r", allow_pickle=False) for h in headers}
        result: dict[str, NDArray[Any]] = {}
        with zipfile.ZipFile(path) as archive:
            for header in headers:
                with archive.open(header.member) as member:
                    result[header.key] = np.lib.format.read_array(member, allow_pickle=False)
        return result
    except Exception as error:  # see above
        raise _damaged(name, form) from error


def nothing_to_read(name: str, headers: Sequence[Header]) -> BadInput:
    """The sentence for a file without a usable array: what is in it instead, and how to save it."""
    rest = [h for h in headers if not h.numeric]
    for fits, what, then in (
        ([h for h in rest if h.dtype.kind == "c"], "complex ones", "save np.abs, or .real and .imag as arrays of their own"),
        ([h for h in rest if h.dtype.names], "records of several fields", "save each field as an array of its own"),
        ([h for h in rest if h.dtype.hasobject], "Python objects, which are never loaded", "save arrays of numbers"),
        ([h for h in rest if h.dtype.kind in "US"], "text", "save the table as CSV or parquet"),
        ([h for h in rest if h.dtype.kind in "fiub"], "arrays without any value", "save the readings again"),
        (rest, "other types", "save arrays of numbers"),
    ):
        if fits:
            return BadInput(f"{name}: expected real numbers, got {what} ({listed([shown_text(h.key) for h in fits])}); {then}.")
    shapes = ", ".join(f"{shown_text(h.key)!r} of shape {'×'.join(map(str, h.shape)) or '()'}" for h in headers[:8])
    return BadInput(
        f"{name}: expected a 2-D array (rows are time, columns are channels) or 1-D arrays, got {shapes or 'nothing'}; reshape it."
    )


def _header(file: IO[bytes], size: int, key: str, member: str) -> Header:
    """Read one header; `size` is that of the whole member."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)  # version 3 only differs in the letters a field's name may have
    header = Header(key=key, shape=tuple(int(n) for n in shape), dtype=dtype, member=member)
    if min(header.shape, default=0) < 0:
        raise ValueError("a negative shape")
    if not dtype.hasobject and header.size * dtype.itemsize > size - file.tell():
        raise ValueError("more numbers are announced than there are bytes")
    return header


def _check_ratio(info: zipfile.ZipInfo, name: str) -> None:
    """Refuse a large member that is squeezed as no measurement can be."""
    allowed = limits()
    if info.file_size > max(allowed.max_unpack_bytes, allowed.max_unpack_ratio * info.compress_size):
        raise BadInput(
            f"{name}: {shown_text(info.filename)!r} unpacks from {info.compress_size:,} to {info.file_size:,} bytes, allowed are "
            f"{allowed.max_unpack_ratio:g} times its size; save it without compression (np.savez) or as parquet."
        )


def _damaged(name: str, form: str) -> BadInput:
    """One sentence, whatever went wrong."""
    return BadInput(f"{name}: the {form} file could not be read; it is cut off or damaged. Save or copy it again.")
