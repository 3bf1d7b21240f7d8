"""Nominal tables and sequences of tokens for the event suite, anomalies made from normal rows, and plain methods for both.

Tables are polars frames of text columns, sequences lists of codes. Anomalies are made as by Chen et al. (APE, IJCAI 2016): in held-out
normal rows one to three values are replaced, by draws from the history's own columns, or evenly from their distinct values. Scores (N,) are
higher for stranger ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.samples import EventLog

if TYPE_CHECKING:
    import polars as pl

Scores: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.int64]
REPLACED = (1, 2, 3)


def replaced(rows: pl.DataFrame, history: pl.DataFrame, count: int, *, seed: int, even: bool = False) -> pl.DataFrame:
    """Rows with `count` random values replaced; those that stay the same by chance are left out.

    >>> import polars as pl
    >>> made = replaced(pl.DataFrame({"a": ["x"] * 4, "b": ["y"] * 4}), pl.DataFrame({"a": ["u"], "b": ["v"]}), 1, seed=0)
    >>> sorted({"".join(row) for row in made.iter_rows()})
    ['uy', 'xv']
    """
    import polars as pl

    rng = np.random.default_rng((seed, count, even))
    picked = np.argsort(rng.random((rows.height, rows.width)), axis=1)[:, :count]
    made: dict[str, NDArray[np.object_]] = {}
    changed = np.zeros(rows.height, bool)
    for m, column in enumerate(rows.columns):
        values = rows[column].to_numpy().astype(object)
        source = (history[column].unique(maintain_order=True) if even else history[column]).to_numpy().astype(object)
        hit = (picked == m).any(axis=1)
        new = values.copy()
        new[hit] = source[rng.integers(0, len(source), int(hit.sum()))]
        changed |= new != values
        made[column] = new
    return pl.DataFrame(made, schema=dict.fromkeys(rows.columns, pl.String)).filter(pl.Series(changed))


def in_nats(reference: Scores, scores: Scores) -> Scores:
    """−log of the conformal p-value of scores among held-out normal ones; beyond the highest, one nat more per standard deviation.

    >>> in_nats(np.array([0.0, 1.0, 2.0]), np.array([0.0, 2.0])).round(2).tolist()
    [0.0, 0.69]
    """
    ordered = np.sort(reference)
    above = len(ordered) - np.searchsorted(ordered, scores, side="left")
    beyond = np.maximum(scores - ordered[-1], 0.0) / max(float(ordered.std()), 1e-9)
    return np.asarray(-np.log((1.0 + above) / (len(ordered) + 1.0)) + beyond)


@dataclass(frozen=True, kw_only=True, eq=False)
class Traces:
    """Sequences of codes to learn from, and to judge with their labels."""

    train: Sequence[Codes]
    test: Sequence[Codes]
    labels: NDArray[np.int64]


def adfa(table: pl.DataFrame) -> Traces:
    """System-call traces of ADFA-LD: training normals, and validation normals beside attacks."""
    return _traces(table, "syscalls", "train_normal")


def hadoop(table: pl.DataFrame) -> Traces:
    """Log templates of Hadoop applications: a few normal runs to learn from, and runs with and without an injected fault."""
    return _traces(table, "events", "train")


def _traces(table: pl.DataFrame, column: str, split: str) -> Traces:
    codes = [np.array(text.split(), dtype=np.int64) for text in table[column].to_list()]
    learn = (table["split"].cast(str) == split).to_numpy()
    labels = table["label"].to_numpy()
    return Traces(
        train=[c for c, known in zip(codes, learn, strict=True) if known],
        test=[c for c, known in zip(codes, learn, strict=True) if not known], labels=labels[~learn].astype(np.int64),
    )  # fmt: skip


def trace_log(sequences: Sequence[Codes], name: str) -> EventLog:
    """One event log with many sequences, told apart by `subject_id`."""
    import polars as pl

    lengths = [len(s) for s in sequences]
    total = sum(lengths)
    table = pl.DataFrame({
        "row": np.arange(1, total + 1), "time_s": np.full(total, np.nan), "subject": np.repeat(["trace"], total),
        "operation": np.concatenate(sequences).astype(str), "object": np.repeat([""], total),
        "subject_id": np.repeat(np.arange(len(sequences)), lengths).astype(str),
    })  # fmt: skip
    return EventLog(name=name, roles={}, table=table)


def stide(train: Sequence[Codes], test: Sequence[Codes], length: int) -> Scores:
    """Share of a sequence's windows of `length` that training never showed (Warrender et al. 1999); short sequences are one window.

    >>> stide([np.array([1, 2, 3, 4])], [np.array([1, 2, 3]), np.array([2, 1, 3])], 2).tolist()
    [0.0, 1.0]
    """
    known = {window.tobytes() for sequence in train for window in _windows(sequence, length)}
    return np.array([np.mean([window.tobytes() not in known for window in _windows(sequence, length)]) for sequence in test])


def _windows(sequence: Codes, length: int) -> Codes:
    return np.lib.stride_tricks.sliding_window_view(sequence, min(length, len(sequence)))


def per_sequence(scores: Scores, lengths: Sequence[int], how: Callable[[Scores], float]) -> Scores:
    """A statistic of each sequence's event scores."""
    return np.array([how(part) for part in np.split(scores, np.cumsum(lengths)[:-1])])
