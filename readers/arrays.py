"""NumPy archives (npz) and arrays (npy) → `Series`: rows are time, columns are channels. Pickled objects are never loaded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.samples import Series
from core.settings import limits
from readers.names import listed, shown_text
from readers.npy import Header, load, nothing_to_read, read_headers
from readers.series import MAX_GROUPS, NO_TIME, read_table_series, sort_columns, tidy
from readers.table import HEAD_ROWS, ROW, Table
from readers.table_values import single


def read_arrays(path: Path, name: str, form: str) -> tuple[Series, ...]:
    """Read 2-D arrays (rows = time), or 1-D arrays of one length as the channels of one series.

    When an archive holds a training and a test part, the test part is taken; a note says so. Several 2-D arrays become several series.

    Raises:
        BadInput: damaged, only labels or objects, or beyond the limits.

    >>> import tempfile; file = Path(tempfile.mkdtemp()) / "m.npz"
    >>> np.savez(file, train=np.zeros((9, 2)), test=np.ones((5, 2)), test_label=np.zeros(5))
    >>> series, = read_arrays(file, "m.npz", "npz"); series.values.shape, series.notes[1]
    ((5, 2), "Taken: 'test'. Also in the file, not taken: 'train'.")
    """
    headers, notes = _sorted(read_headers(path, name, form))
    wide = {h.key: h for h in headers if h.numeric and len(h.shape) == 2}
    flat = {h.key: h for h in headers if h.numeric and len(h.shape) == 1 and h.size > 1}
    if wide:
        chosen = _preferred(wide)
        left = [h.key for h in headers if h.numeric and h.key not in chosen]
        if left:
            notes.append(f"Taken: {listed(list(chosen))}. Also in the file, not taken: {listed(left)}.")
        if len(chosen) > MAX_GROUPS:
            raise BadInput(f"{name}: {len(chosen):,} arrays, allowed are {MAX_GROUPS:,}.")
        _check(list(chosen.values()), name)
        alone = len(chosen) == 1
        arrays = load(path, name, list(chosen.values()))
        return tuple(_from_matrix(a, name if alone else f"{name}:{shown_text(_stem(k))}", notes) for k, a in arrays.items())
    if not flat:
        raise nothing_to_read(name, headers)
    import polars as pl

    longest = max(h.size for h in flat.values())
    odd = [k for k, h in flat.items() if h.size != longest]
    if odd:
        notes.append(f"Left out because their length differs: {listed(odd)}.")
    columns = [h for h in flat.values() if h.size == longest]
    _check(columns, name)
    frame = pl.DataFrame({k: _native(a) for k, a in load(path, name, columns).items()})
    table = Table(
        lazy=frame.lazy().with_row_index(ROW, offset=1), head=frame.head(HEAD_ROWS), columns=tuple(frame.columns), text=False,
        notes=tuple(notes),
    )  # fmt: skip
    return read_table_series(table, sort_columns(table), name)


def _sorted(headers: Sequence[Header]) -> tuple[list[Header], list[str]]:
    """(all arrays but those of labels, notes on what is left out)."""
    labels = [h for h in headers if re.search(r"(^|_)(labels?|anomal\w*|ground_?truth|y_true)$", h.key.lower())]
    marked = {h.key for h in labels}
    kept = [h for h in headers if h.key not in marked]
    complex_ = [h.key for h in kept if h.dtype.kind == "c"]
    others = [h.key for h in kept if not h.numeric and h.dtype.kind != "c"]
    notes = []
    if labels:
        notes.append(f"Left out because they hold labels, not measurements: {listed([h.key for h in labels])}.")
    if complex_:
        notes.append(f"Left out because they hold complex numbers: {listed(complex_)}.")
    if others:
        notes.append(f"Left out because they hold no numbers: {listed(others)}.")
    return kept, notes


def _check(headers: Sequence[Header], name: str) -> None:
    """Hold the arrays that are going to be read against the limits."""
    allowed = limits()
    rows = max(h.shape[0] for h in headers)
    if rows > allowed.max_series_rows:
        raise BadInput(f"{name}: an array has {rows:,} rows, allowed are {allowed.max_series_rows:,}; save a part of them.")
    channels = max(h.shape[1] if len(h.shape) == 2 else len(headers) for h in headers)
    if channels > allowed.max_series_channels:
        raise BadInput(f"{name}: {channels:,} channels, allowed are {allowed.max_series_channels:,}.")


def _native(array: NDArray[Any]) -> NDArray[Any]:
    """An array in a type that polars knows: this machine's byte order, floats of four or eight bytes."""
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        return np.asarray(array, dtype=np.float64)
    return np.asarray(array, dtype=array.dtype.newbyteorder("="))


def _preferred(wide: dict[str, Header]) -> dict[str, Header]:
    """Of train and test parts the test parts; else everything."""
    test = {k: a for k, a in wide.items() if re.search(r"(^|_)test$", k.lower())}
    if test:
        return test
    rest = {k: a for k, a in wide.items() if not re.search(r"(^|_)train$", k.lower())}
    return rest or wide


def _stem(key: str) -> str:
    """The key without its part: C-1 of C-1__test."""
    return re.sub(r"_+(test|train)$", "", key, flags=re.IGNORECASE) or key


def _from_matrix(array: NDArray[Any], name: str, notes: Sequence[str]) -> Series:
    """A plain matrix: rows are time, columns are channels."""
    if len(array) < 2:
        raise BadInput(f"{name}: expected at least two rows of readings, got {len(array)}.")
    remarks = [*notes, NO_TIME]
    names = [f"channel_{k}" for k in range(array.shape[1])]
    values, channels, units = tidy(single(array, name, remarks), names, {}, name, remarks)
    return Series(
        name=name, values=values, time_s=np.arange(len(values), dtype=np.float64), channels=channels, units=units,
        rows=np.arange(1, len(values) + 1), notes=tuple(remarks),
    )  # fmt: skip
