"""NumPy archives (npz) and arrays (npy) → `Series`: rows are time, columns are channels. Pickled objects are never loaded."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.samples import Series
from core.settings import limits
from readers.names import listed, shown_text
from readers.series import MAX_GROUPS, NO_TIME, read_table_series, sort_columns, tidy
from readers.table import HEAD_ROWS, ROW, Table


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
    arrays, notes = _arrays(path, name, form)
    wide = {k: a for k, a in arrays.items() if a.ndim == 2}
    flat = {k: a for k, a in arrays.items() if a.ndim == 1 and len(a) > 1}
    if wide:
        chosen = _preferred(wide)
        left = [k for k in arrays if k not in chosen]
        if left:
            notes.append(f"Taken: {listed(list(chosen))}. Also in the file, not taken: {listed(left)}.")
        if len(chosen) > MAX_GROUPS:
            raise BadInput(f"{name}: {len(chosen):,} arrays, allowed are {MAX_GROUPS:,}.")
        single = len(chosen) == 1
        return tuple(_from_matrix(a, name if single else f"{name}:{shown_text(_stem(k))}", notes) for k, a in chosen.items())
    if not flat:
        raise BadInput(
            f"{name}: expected a 2-D array or 1-D arrays of numbers, got {listed(list(arrays)) or 'nothing readable'}."
        )
    import polars as pl

    longest = max(len(a) for a in flat.values())
    odd = [k for k, a in flat.items() if len(a) != longest]
    if odd:
        notes.append(f"Left out because their length differs: {listed(odd)}.")
    frame = pl.DataFrame({k: a for k, a in flat.items() if len(a) == longest})
    table = Table(
        lazy=frame.lazy().with_row_index(ROW, offset=1), head=frame.head(HEAD_ROWS), columns=tuple(frame.columns), text=False,
        notes=tuple(notes),
    )  # fmt: skip
    return read_table_series(table, sort_columns(table), name)


def _arrays(path: Path, name: str, form: str) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Numeric arrays of the file that are not labels."""
    notes: list[str] = []
    cells = limits().max_series_cells
    result: dict[str, NDArray[Any]] = {}
    labels, others = [], []
    try:
        if form == "npy":
            result = {"array": np.load(path, mmap_mode="r", allow_pickle=False)}
        else:
            with zipfile.ZipFile(path) as archive:
                announced = sum(m.file_size for m in archive.infolist())
            if announced > 8 * cells:
                raise BadInput(f"{name}: the archive unpacks to {announced:,} bytes, allowed are {8 * cells:,}.")
            with np.load(path, allow_pickle=False) as archive_of_arrays:
                for key in archive_of_arrays.files:
                    try:
                        array = archive_of_arrays[key]
                    except ValueError:
                        others.append(key)  # objects would need pickle
                        continue
                    if re.search(r"(^|_)(labels?|anomal\w*|ground_?truth|y_true)$", key.lower()):
                        labels.append(key)
                    elif array.dtype.kind in "fiub" and array.size:
                        result[key] = array
                    else:
                        others.append(key)
    except BadInput:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise many kinds on damaged archives
        raise BadInput(f"{name}: the {form} file could not be read; it is cut off, damaged or holds Python objects.") from error
    if any(a.size > cells for a in result.values()):
        raise BadInput(f"{name}: an array has more than the {cells:,} values allowed.")
    if labels:
        notes.append(f"Left out because they hold labels, not measurements: {listed(labels)}.")
    if others:
        notes.append(f"Left out because they hold no numbers: {listed(others)}.")
    return result, notes


def _preferred(wide: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
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
    if array.shape[1] > limits().max_series_channels:
        raise BadInput(f"{name}: {array.shape[1]:,} channels, allowed are {limits().max_series_channels:,}.")
    remarks = [*notes, NO_TIME]
    names = [f"channel_{k}" for k in range(array.shape[1])]
    values, channels, units = tidy(np.asarray(array, dtype=np.float32), names, {}, name, remarks)
    return Series(
        name=name, values=values, time_s=np.arange(len(values), dtype=np.float64), channels=channels, units=units,
        rows=np.arange(1, len(values) + 1), notes=tuple(remarks),
    )  # fmt: skip
