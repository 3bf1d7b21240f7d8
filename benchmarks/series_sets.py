"""Loads the labelled series sets: server machines (SMD), spacecraft telemetry (MSL), a water loop (SKAB), univariate (NAB).

Each entity is a normal part, a test part and its labels (T,) 0/1; SMD also says which metrics caused each incident.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import folder
from core.samples import Series


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One labelled incident: steps [first, last] of the test part and the 0-based channels that caused it."""

    first: int
    last: int
    channels: frozenset[int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Entity:
    """One machine, instrument or recording."""

    name: str
    normal: Series
    test: Series
    labels: NDArray[np.int64]
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Labelled:
    """One whole recording of a single channel: values (T,), and labelled windows as (first, last) steps, both inside."""

    name: str
    values: NDArray[np.float32]
    windows: tuple[tuple[int, int], ...]


def as_series(name: str, values: NDArray[np.float32], names: tuple[str, ...] = ()) -> Series:
    """Wrap values (T, M) with one time unit per row."""
    names = names or tuple(f"metric {i + 1}" for i in range(values.shape[1]))
    return Series(name=name, values=values, time_s=np.arange(len(values), dtype=np.float64), channels=names)


def smd(root: Path) -> list[Entity]:
    """Server machines: 38 metrics each minute.

    Raises:
        BadInput: the set is not there.
    """
    found = []
    for path in sorted(folder(root, "smd").glob("machine-*.npz")):
        with np.load(path, allow_pickle=False) as packed:
            causes = tuple(
                _cause(line, len(packed["test"])) for line in str(packed["interpretation"]).splitlines() if line.strip()
            )
            found.append(
                Entity(
                    name=path.stem, normal=as_series(f"{path.stem} train", packed["train"].astype(np.float32)),
                    test=as_series(f"{path.stem} test", packed["test"].astype(np.float32)),
                    labels=packed["test_label"].astype(np.int64), causes=causes,
                )
            )  # fmt: skip
    return found


def _cause(line: str, steps: int) -> Cause:
    """`first-last:metric,metric,…` with metrics counted from 1."""
    span, _, metrics = line.partition(":")
    first, last = (int(v) for v in span.split("-"))
    return Cause(first=first, last=min(last, steps - 1), channels=frozenset(int(m) - 1 for m in metrics.split(",")))


def msl(root: Path) -> list[Entity]:
    """Spacecraft telemetry: one value and 54 command flags per instrument.

    Raises:
        BadInput: the set is not there.
    """
    with np.load(folder(root, "msl") / "msl.npz", allow_pickle=False) as packed:
        return [
            Entity(
                name=name, normal=as_series(f"{name} train", packed[f"{name}__train"].astype(np.float32)),
                test=as_series(f"{name} test", packed[f"{name}__test"].astype(np.float32)),
                labels=packed[f"{name}__label"].astype(np.int64),
            )
            for name in sorted({key.split("__")[0] for key in packed.files})
        ]  # fmt: skip


def skab(root: Path, *, learned: int = 400) -> list[Entity]:
    """Water loop: 8 sensors per second; the first `learned` rows of each recording are normal (its leaderboard's rule).

    Raises:
        BadInput: the set is not there.
    """
    import polars as pl

    table = pl.read_parquet(folder(root, "skab") / "skab.parquet").with_columns(pl.col("file").cast(pl.String))
    found = []
    for part in table.partition_by("file", maintain_order=True):
        name = str(part["file"][0])
        labels = part["anomaly"].to_numpy().astype(np.int64)
        if not labels.any():
            continue
        sensors = part.drop(["file", "datetime", "anomaly", "changepoint"])
        values = sensors.to_numpy().astype(np.float32)
        found.append(
            Entity(
                name=name, normal=as_series(f"{name} start", values[:learned], tuple(sensors.columns)),
                test=as_series(name, values[learned:], tuple(sensors.columns)), labels=labels[learned:],
            )
        )  # fmt: skip
    return found


def nab(root: Path, *, probation: float = 0.15) -> list[Entity]:
    """Univariate series with labelled windows; the first `probation` of each is its unscored, normal start.

    Raises:
        BadInput: the set is not there.
    """
    import polars as pl

    table = pl.read_parquet(folder(root, "nab") / "nab.parquet").with_columns(pl.col("series").cast(pl.String))
    found = []
    for part in table.partition_by("series", maintain_order=True):
        name = str(part["series"][0])
        start = int(probation * len(part))
        values = part["value"].to_numpy().astype(np.float32)[:, None]
        labels = part["label"].to_numpy().astype(np.int64)
        if not labels[start:].any():
            continue
        found.append(
            Entity(
                name=name, normal=as_series(f"{name} start", values[:start], ("value",)),
                test=as_series(name, values[start:], ("value",)), labels=labels[start:],
            )
        )  # fmt: skip
    return found


def nab_recordings(root: Path) -> list[Labelled]:
    """All of the univariate recordings whole, those without a window too, with the windows of its own file of labels.

    Raises:
        BadInput: the set is not there.
    """
    import polars as pl

    place = folder(root, "nab")
    table = pl.read_parquet(place / "nab.parquet").with_columns(pl.col("series").cast(pl.String))
    windows = json.loads((place / "combined_windows.json").read_text(encoding="utf-8"))
    found = []
    for part in table.partition_by("series", maintain_order=True):
        name = str(part["series"][0])
        stamps = part["timestamp"].dt.strftime("%Y-%m-%d %H:%M:%S").to_list()
        steps = {stamp: len(stamps) - 1 - back for back, stamp in enumerate(reversed(stamps))}  # the first of equal stamps
        pairs = tuple((steps[first[:19]], steps[last[:19]]) for first, last in windows[name])
        found.append(Labelled(name=name, values=part["value"].to_numpy().astype(np.float32), windows=pairs))
    return found
