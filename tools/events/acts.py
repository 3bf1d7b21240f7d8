"""The distinct acts of a log of any size: who did what to what, with all its times, read piece by piece.

Logs repeat themselves, so equal rows are put together before anything else is done: a piece of the file is read, grouped, and let go.
Names are kept as numbers of one table of distinct strings. What an act does to the flow of information is told from the words of
its operation (`tools.events.wording`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import BadInput
from core.samples import EVENT_ROLES
from tools.events.wording import LINKING, Deed, deed, reads_memory

if TYPE_CHECKING:
    import polars as pl

PROCESS = "process"
TYPES: tuple[str, ...] = (PROCESS, "file", "socket", "domain", "registry", "pipe", "thing")
"""What an entity can be; other object types of a log are things."""
_INWARD: frozenset[Deed] = frozenset({"read", "load", "accept", "pipe_connect", "access"})
"""Deeds by which something flows to who does them."""
_STILL: frozenset[Deed] = frozenset({"exit", "block", "touch", "logout", "delete", "registry_delete"})
"""Deeds by which nothing flows."""
_ON_PROCESS: frozenset[Deed] = LINKING | {"tamper", "access", "exit"}
_TYPE_OF: dict[Deed, str] = {
    "connect": "socket", "accept": "socket", "resolve": "domain", "registry_set": "registry", "registry_key": "registry",
    "registry_delete": "registry", "pipe_create": "pipe", "pipe_connect": "pipe", "write": "file", "read": "file", "load": "file",
    "delete": "file", "rename": "file", "stream": "file", "touch": "file", "block": "file", "driver": "file",
}  # fmt: skip
KEYS = ("host", "subject_id", "subject", "operation", "object_type", "object_id", "object", "rights")
PIECE = 500_000
"""Rows read at once."""


def read_acts(frame: pl.LazyFrame) -> pl.DataFrame:
    """One row per distinct act and piece, in order of appearance.

    `frame` has the columns of `core.samples.EventLog.table`; only those that matter are read. Columns: those of `KEYS` (categorical;
    `rights` is the access mask of opened processes), `type` (an Enum of TYPES), `flow` (1 outward, −1 inward, 0 none), `makes` (a
    process), and lists of its `time` (seconds) and `index` (event numbers from 0). A missing time is that of the row before; a log
    without times is ordered by its rows.

    Raises:
        BadInput: no rows, or no column for who, did what, to what or when.
    """
    import polars as pl

    present = set(frame.collect_schema().names())
    missing = [name for name in ("time_s", *EVENT_ROLES) if name not in present]
    if missing:
        raise BadInput(f"events: expected the columns {missing}, got {sorted(present)[:20]}; rename the file's own to these.")
    names = pl.Categorical(pl.Categories.random())
    count = frame.select(pl.len()).collect().item()
    if count == 0:
        raise BadInput("events: expected at least one event, got none.")
    seconds = pl.col("time_s").cast(pl.Float64)
    seconds = pl.when(seconds.is_finite()).then(seconds)
    timed = frame.select(seconds.first(ignore_nulls=True)).collect().item()
    known = _deeds(frame.select(pl.col("operation").cast(pl.String).fill_null("").unique().sort()).collect()["operation"], names)
    opening = pl.col("operation").is_in(known.filter("opens")["operation"].cast(pl.String).to_list())
    columns = {name: pl.col(name).cast(pl.String) if name in present else pl.lit("") for name in (*KEYS, "detail")}
    columns["rights"] = pl.when(opening).then(columns.pop("detail")).otherwise(pl.lit(""))
    text = [column.fill_null("").cast(names).alias(name) for name, column in columns.items()]
    pieces = []
    for first in range(0, count, PIECE):
        index = pl.int_range(first, first + pl.len(), dtype=pl.UInt32)
        time = index.cast(pl.Float64) if timed is None else pl.coalesce(seconds.forward_fill(), pl.lit(timed))
        piece = frame.slice(first, PIECE).select(*text, time.alias("time"), index.alias("index")).collect()
        timed = None if timed is None else piece["time"][-1]
        pieces.append(piece.group_by(*KEYS, maintain_order=True).agg("time", "index"))
    return _explained(pl.concat(pieces), known)


def _explained(acts: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """`acts` with what they do: `type`, `flow` and `makes`."""
    import polars as pl

    harmless = [r for r in acts["rights"].unique().cast(pl.String).to_list() if reads_memory(r) is False]
    types = pl.Enum(TYPES)
    said = {name: name.lower() for name in acts["object_type"].unique().cast(pl.String).to_list()}
    objects = pl.DataFrame({
        "object_type": pl.Series(list(said), dtype=pl.String).cast(acts["object_type"].dtype),
        "said": pl.Series([(t if t in TYPES else "thing") if t else None for t in said.values()], dtype=types),
    })  # fmt: skip
    return (
        acts.join(known, on="operation", how="left", maintain_order="left")
        .join(objects, on="object_type", how="left", maintain_order="left")
        .with_columns(
            pl.when(pl.col("opens") & pl.col("rights").is_in(harmless)).then(pl.lit(0, pl.Int8)).otherwise("flow").alias("flow"),
            pl.coalesce("said", pl.col("usual").cast(types)).alias("type"),
        )
        .drop("usual", "said", "opens")
    )


def _deeds(operations: pl.Series, names: pl.Categorical) -> pl.DataFrame:
    """Per distinct operation: `flow`, what it is `usual`ly done to, and whether it `makes` or `opens` a process."""
    import polars as pl

    kinds = [deed(name) for name in operations.to_list()]
    return pl.DataFrame(
        {
            "operation": operations.cast(names),
            "flow": pl.Series([0 if k in _STILL else -1 if k in _INWARD else 1 for k in kinds], dtype=pl.Int8),
            "usual": pl.Series([PROCESS if k in _ON_PROCESS else _TYPE_OF.get(k, "thing") for k in kinds], dtype=pl.String),
            "makes": pl.Series([k in LINKING for k in kinds], dtype=pl.Boolean),
            "opens": pl.Series([k == "access" for k in kinds], dtype=pl.Boolean),
        }
    )
