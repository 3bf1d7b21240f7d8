"""Paths of information flow: attack captures left out one at a time, injected chains, hostile logs, and speed from file to paths.

`otrf_sysmon` as in the suite `events` (protocol in benchmarks.event_sets), with two more columns: `path_recovery`, whether one of the
five best paths passes at least three processes of the attack (payload, shell, tool), and, over all captures of a group together, ADP
(metrics.adp; an attack is a capture). Everything about gid was chosen on the development capture lsass02_procdump, the combination with
rarity on injected chains in all captures' benign rows; left out of that choice in turn, each capture gets the same.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.datasets import folder
from benchmarks.event_sets import (
    BASELINES,
    DEVELOPMENT,
    ROLES,
    SEEDS,
    TOP_PATHS,
    Scores,
    as_log,
    processes,
    ranked,
    read_capture,
    shown,
    token_columns,
    without,
)
from benchmarks.injected_chains import benign, found_among, inject
from benchmarks.rows import Row, measured
from core.errors import BadInput
from core.samples import EventLog
from core.scores import EventScores
from metrics.adp import attacks_detected_over_precision
from tools.events.fused import FusedPaths
from tools.events.gid import Gid
from tools.events.rarity import Rarity

if TYPE_CHECKING:
    import polars as pl

CHAINS = 5
_LAZY = {
    name: role
    for name, role in ROLES.items()
    if role in ("subject", "operation", "object", "subject_id", "object_id", "object_type")
}


def rows(data: Path, *, quick: bool) -> Iterator[Row]:
    """The rows of this suite; `quick` takes two captures, one seed and small files."""
    try:
        path = folder(data, "otrf_sysmon")
    except BadInput as error:
        print(f"gid: {error}")
        return
    captures = {p.stem: read_capture(p) for p in sorted(path.glob("*.parquet"))}
    yield from _captures(captures, quick)
    yield from _injected(captures, quick)
    yield from _speed(captures, quick)
    if not quick:
        yield from _many_entities()


def _captures(captures: Mapping[str, pl.DataFrame], quick: bool) -> Iterator[Row]:
    names = [DEVELOPMENT, "lsass03_comsvcs"] if quick else list(captures)
    collected: dict[str, dict[str, tuple[dict[str, float], pl.DataFrame]]] = {}
    for name in names:
        target, normal = without(captures, name)
        for title, scores, metrics, seconds, peak, seeds in _methods(name, target, normal, quick):
            metrics = ranked(target, scores) | metrics
            collected.setdefault(title, {})[name] = (metrics, processes(target, scores))
            yield Row(data=name, method=title, metrics=metrics, seconds=seconds, peak_mb=peak, seeds=seeds,
                      trivial=title == "random", note="development capture" if name == DEVELOPMENT else "")  # fmt: skip
    groups = {
        "lsass": [n for n in names if n.startswith("lsass")],
        "lsass without the development capture": [n for n in names if n.startswith("lsass") and n != DEVELOPMENT],
        "lateral": [n for n in names if n.startswith("lat")],
    }
    for group, members in groups.items():
        for title, results in collected.items():
            if members:
                yield _together(f"otrf {group} ({len(members)})", title, [results[n] for n in members])


def _together(data: str, title: str, results: list[tuple[dict[str, float], pl.DataFrame]]) -> Row:
    """Mean over captures, and attacks detected over precision among the processes of all of them."""
    mean = {key: float(np.mean([metrics[key] for metrics, _ in results])) for key in results[0][0]}
    attack = np.concatenate([np.where(table["label"].to_numpy() > 0, i, -1) for i, (_, table) in enumerate(results)])
    scores = np.concatenate([table["score"].to_numpy() for _, table in results])
    mean["adp"] = attacks_detected_over_precision(attack, scores)
    return Row(
        data=data, method=title, metrics=mean, seconds=0.0, peak_mb=0.0, trivial=title == "random", note="mean over captures"
    )


def _methods(
    name: str, target: pl.DataFrame, normal: Mapping[str, pl.DataFrame], quick: bool
) -> Iterator[tuple[str, Scores, dict[str, float], float, float, tuple[int, ...]]]:
    history, tokens = token_columns(target, normal)
    for title, (method, seeds) in BASELINES.items():
        for seed in (seeds[:1] if quick else seeds) or (0,):
            with measured() as cost:
                scores = method(history, tokens, seed)
            yield (
                f"{title}, seed {seed}" if len(seeds) > 1 and not quick else title,
                scores,
                {},
                cost.seconds,
                cost.peak_mb,
                ((seed,) if seeds else ()),
            )
    log, logs = as_log(target, name), [as_log(table, other) for other, table in normal.items()]
    for kind in (Rarity, Gid, FusedPaths):
        for fitted in (True, False):
            with measured() as cost:
                detector: Rarity | Gid | FusedPaths = kind()
                found = (detector.fit(logs) if fitted else detector).score([log])[0]
            title = kind.spec.name if fitted else f"{kind.spec.name} without history"
            scores = found.scores.astype(np.float64)
            yield title, scores, shown(target, found) | _recovered(target, found), cost.seconds, cost.peak_mb, ()


def _recovered(target: pl.DataFrame, found: EventScores) -> dict[str, float]:
    """Whether one of the first paths passes three processes of the attack."""
    import polars as pl

    made = target.filter((pl.col("label") == 1) & (pl.col("op") == "create_process"))
    lineage = set(made["obj_id"].to_list())
    ends = {row: {a, b} & lineage for row, a, b in target.select("row", "subj_guid", "obj_id").iter_rows()}
    passed = [len(set().union(*(ends[row] for row in path.rows))) for path in found.paths]
    return {
        "path_recovery": float(any(n >= 3 for n in passed[:TOP_PATHS])),
        "attack_processes_on_best_path": float(max(passed[:1], default=0)),
    }


def _injected(captures: Mapping[str, pl.DataFrame], quick: bool) -> Iterator[Row]:
    """Known truth: chains put into the benign rows of the development capture."""
    _, normal = without(captures, DEVELOPMENT)
    target = benign(captures[DEVELOPMENT])
    logs = [as_log(table, name) for name, table in normal.items()]
    for known in (False, True):
        data = f"{CHAINS} chains injected, {'known programs' if known else 'new programs'}"
        detectors: dict[str, Rarity | Gid | FusedPaths] = {
            "rarity": Rarity().fit(logs), "gid": Gid().fit(logs), "rarity_gid": FusedPaths().fit(logs), "gid without history": Gid(),
        }  # fmt: skip
        results: dict[str, list[dict[str, float]]] = {}
        seeds = SEEDS[:1] if quick else SEEDS
        for seed in seeds:
            table, chains = inject(target, list(normal.values()), chains=CHAINS, known=known, seed=seed)
            for title, detector in detectors.items():
                found = detector.score([as_log(table, "injected")])[0]
                results.setdefault(title, []).append({
                    "found_in_top5": found_among(found.paths[:5], chains), "found_in_top10": found_among(found.paths[:10], chains),
                    "found_in_top20": found_among(found.paths[:20], chains), **ranked(table, found.scores.astype(np.float64)),
                })  # fmt: skip
        for title, metrics in results.items():
            mean = {key: float(np.mean([m[key] for m in metrics])) for key in metrics[0]}
            yield Row(data=data, method=title, metrics=mean, seconds=0.0, peak_mb=0.0, seeds=seeds, note="mean over seeds")


def _speed(captures: Mapping[str, pl.DataFrame], quick: bool) -> Iterator[Row]:
    """From a parquet file to ranked paths: the captures again and again, each time on other hosts with other process ids."""
    import polars as pl

    with measured() as cost:
        detector = Gid().fit([as_log(table.filter(pl.col("label") == 0), name) for name, table in captures.items()])
    yield Row(data="history of all captures", method="gid, fit", metrics={}, seconds=cost.seconds, peak_mb=cost.peak_mb)
    before = cost.peak_mb
    with tempfile.TemporaryDirectory() as place:
        for count in (100_000, 200_000) if quick else (1_000_000, 3_000_000, 10_000_000):
            file = Path(place) / f"{count}.parquet"
            repeat(captures, count, file)
            started = time.process_time()
            with measured() as cost:
                found = detector.rank_paths(pl.scan_parquet(file).rename(_LAZY))
            cpu_s = time.process_time() - started
            metrics = {
                "records_per_minute": 60 * count / cost.seconds, "records_per_cpu_minute": 60 * count / cpu_s, "cpu_s": cpu_s,
                "bytes_per_record": max(cost.peak_mb - before, 0.0) * 2**20 / count, "paths": float(len(found)),
            }  # fmt: skip
            yield Row(data=f"captures repeated, {count:,} records", method="gid, file to paths", metrics=metrics,
                      seconds=cost.seconds, peak_mb=cost.peak_mb, note=f"{before:.0f} MB before; CPU time is of all threads")  # fmt: skip
            file.unlink()


def repeat(captures: Mapping[str, pl.DataFrame], count: int, file: Path) -> None:
    """Write `count` rows: the captures in turn, each time with hosts and processes of their own and ten minutes later."""
    import polars as pl
    import pyarrow.parquet as pq

    written, turn, tables = 0, 0, list(captures.values())
    writer: pq.ParquetWriter | None = None
    while written < count:
        mark = pl.lit(f"~{turn}")
        part = tables[turn % len(tables)].head(count - written).select(
            (pl.col("time_s") + 600.0 * turn).alias("time_s"), pl.col("host") + mark, pl.col("subj_guid") + mark, "subj_image", "op",
            "obj_type", pl.when(pl.col("obj_type") == "process").then(pl.col("obj_id") + mark).otherwise("obj_id").alias("obj_id"),
            "obj_name", "detail",
        )  # fmt: skip
        rows = part.to_arrow(compat_level=pl.CompatLevel.oldest())
        writer = writer or pq.ParquetWriter(file, rows.schema)
        writer.write_table(rows)
        written, turn = written + part.height, turn + 1
    if writer is not None:
        writer.close()


def _many_entities() -> Iterator[Row]:
    """Hostile: every record has a process and a file of its own."""
    import polars as pl

    count = 2_500_000
    table = pl.DataFrame({"n": pl.int_range(count, eager=True)}).lazy().select(
        (pl.col("n") * 0.001).alias("time_s"), pl.format("C:\\bin\\tool{}.exe", pl.col("n") % 1000).alias("subject"),
        pl.lit("create_file").alias("operation"), pl.format("C:\\data\\{}.bin", "n").alias("object"),
        pl.format("<{}>", "n").alias("subject_id"), pl.lit("").alias("object_id"), pl.lit("file").alias("object_type"),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "many.parquet"
        table.sink_parquet(file)
        head = pl.read_parquet(file, n_rows=20_000).with_row_index("row", 1)
        detector = Gid().fit([EventLog(name="head", roles={}, table=head)])
        started = time.process_time()
        with measured() as cost:
            found = detector.rank_paths(pl.scan_parquet(file))
        metrics = {
            "entities": 2.0 * count,
            "records_per_cpu_minute": 60 * count / (time.process_time() - started),
            "paths": float(len(found)),
        }
    yield Row(data=f"{2 * count:,} distinct entities", method="gid, file to paths", metrics=metrics,
              seconds=cost.seconds, peak_mb=cost.peak_mb, note="peak of the process so far")  # fmt: skip
