"""What detectors of sensor series are given: series that hold readings, channels in one order, rows that go on.

Axes: series (T steps, M channels); a stream's rows (n, M) float32, NaN where a reading is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.detector import require_batch
from core.errors import BadInput
from core.samples import Series

if TYPE_CHECKING:
    from core.samples import Sample


def require_series(batch: Sequence[Sample], name: str) -> list[Series]:
    """The series of a batch, each with at least one reading.

    Raises:
        BadInput: an empty batch, anything but series, or a series without a reading.
    """
    require_batch(batch, Series, name)
    series = [s for s in batch if isinstance(s, Series)]
    for s in series:
        if np.isnan(s.values).all():
            raise BadInput(f"series {s.name!r}: expected readings, got none: every value is missing.")
    return series


def arranged(series: Series, channels: tuple[str, ...], whose: str) -> NDArray[np.float32]:
    """The values with columns in the order of `channels`.

    Raises:
        BadInput: a channel is missing, extra, or ambiguous.
    """
    if series.channels == channels:
        return series.values
    missing = [c for c in channels if c not in series.channels]
    extra = [c for c in series.channels if c not in channels]
    if missing or extra or len(set(channels)) != len(series.channels):
        said = "; ".join(
            f"{what} {', '.join(map(repr, names[:5]))}{' …' if len(names) > 5 else ''}"
            for what, names in (("lacks", missing), ("also has", extra))
            if names
        )
        raise BadInput(
            f"series {series.name!r}: expected the {len(channels)} channels of {whose}, got {len(series.channels)}"
            f"{': it ' + said if said else ' with repeated names'}. Choose the same channels, or score it without normal data."
        )
    return series.values[:, [series.channels.index(c) for c in channels]]


def require_rows(rows: NDArray[np.float32], width: int) -> None:
    """Refuse rows that cannot go on a stream of `width` channels.

    Raises:
        BadInput: wrong shape or dtype, or infinite values.

    >>> require_rows(np.zeros((3, 2), np.float32), 3)
    Traceback (most recent call last):
    core.errors.BadInput: stream: expected rows of shape ·×3 of float32, got float32 of shape (3, 2).
    """
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != width or rows.dtype != np.float32:
        got = f"{rows.dtype.name} of shape {rows.shape}" if isinstance(rows, np.ndarray) else type(rows).__name__
        raise BadInput(f"stream: expected rows of shape ·×{width} of float32, got {got}.")
    if np.isinf(rows).any():
        raise BadInput("stream: expected finite values or NaN for missing ones, got infinity.")
