"""Event logs: attack captures left out one at a time, plain nominal tables, and speed.

`otrf_sysmon`: each capture is scored against the benign rows of the others. The recording harness's own rows are not scored (they
stay in the history); labels are used here only. Metrics: event AUROC and AP, AP of the analyst's key events, process AUROC and AP (a
process is an attack's if any of its events is), and whether at least half of the rows of one of the five best paths belong to the attack.
The capture lsass02_procdump was used while developing (constants, factors); the other captures chose nothing. "No history" rows
score a capture against itself. Bars from the project's notes for the lsass captures: .969 / .367 event, .871 / .467 process.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import folder
from benchmarks.event_sets import (
    BASELINES,
    DEVELOPMENT,
    Baseline,
    Scores,
    Tokens,
    as_log,
    forest_scores,
    marginal,
    random_scores,
    ranked,
    read_capture,
    shown,
    token_columns,
    without,
)  # fmt: skip
from benchmarks.rows import Row, measured
from core.calibrate import from_reference, from_self
from core.errors import BadInput
from core.samples import EventLog
from metrics.ranking import auroc, average_precision
from tools.events.gid import Gid
from tools.events.rarity import Rarity

if TYPE_CHECKING:
    import polars as pl

NSL_NOMINAL = (
    "protocol_type", "service", "flag", "land", "logged_in", "root_shell", "su_attempted", "is_host_login", "is_guest_login",
    "num_outbound_cmds",
)  # fmt: skip


def rows(data: Path, *, quick: bool) -> Iterator[Row]:
    """The rows of this suite; `quick` takes two captures and one table."""
    for name, section in (("otrf_sysmon", _captures), ("categorical_adrepo", _tables), ("nsl_kdd", _connections)):
        try:
            found = folder(data, name)
        except BadInput as error:
            print(f"events: {error}")
            continue
        yield from section(found, quick)
    yield from _speed(quick)


def _captures(path: Path, quick: bool) -> Iterator[Row]:

    captures = {p.stem: read_capture(p) for p in sorted(path.glob("*.parquet"))}
    names = [DEVELOPMENT, "lsass03_comsvcs"] if quick else list(captures)
    collected: dict[str, list[tuple[str, dict[str, float], float]]] = {}
    for name in names:
        target, normal = without(captures, name)
        note = "development capture" if name == DEVELOPMENT else ""
        for title, metrics, seconds, peak, seeds in _methods(name, target, normal, quick=quick):
            collected.setdefault(title, []).append((name, metrics, seconds))
            yield Row(data=name, method=title, metrics=metrics, seconds=seconds, peak_mb=peak, seeds=seeds, note=note,
                      trivial=title == "random")  # fmt: skip
    for group, members in (("lsass", [n for n in names if n.startswith("lsass")]),
                           ("lsass without the development capture", [n for n in names if n.startswith("lsass") and n != DEVELOPMENT]),
                           ("lateral", [n for n in names if n.startswith("lat")])):  # fmt: skip
        for title, results in collected.items():
            chosen = [(m, s) for n, m, s in results if n in members]
            if not chosen:
                continue
            mean = {key: float(np.mean([m[key] for m, _ in chosen])) for key in chosen[0][0]}
            yield Row(data=f"otrf {group} ({len(chosen)})", method=title, metrics=mean, seconds=sum(s for _, s in chosen), peak_mb=0.0,
                      trivial=title == "random", note="mean over captures")  # fmt: skip


def _methods(
    name: str, target: pl.DataFrame, normal: dict[str, pl.DataFrame], *, quick: bool
) -> Iterator[tuple[str, dict[str, float], float, float, tuple[int, ...]]]:

    history, tokens = token_columns(target, normal)
    for title, (method, seeds) in BASELINES.items():
        seeds = seeds[:1] if quick else seeds
        with measured() as cost:
            tried = [ranked(target, method(history, tokens, seed)) for seed in seeds or (0,)]
        mean = {key: float(np.mean([t[key] for t in tried])) for key in tried[0]}
        yield title, mean, cost.seconds, cost.peak_mb, seeds
    log = as_log(target, name)
    for title, kind, fitted in (("rarity", Rarity, True), ("rarity without history", Rarity, False),
                                ("gid", Gid, True), ("gid without history", Gid, False)):  # fmt: skip
        with measured() as cost:
            detector: Rarity | Gid = kind()
            if fitted:
                detector.fit([as_log(t, n) for n, t in normal.items()])
            found = detector.score([log])[0]
        metrics = ranked(target, found.scores.astype(np.float64)) | shown(target, found)
        calibration = from_reference(detector.reference_scores(), false_positive_rate=0.05) if fitted else from_self(found.scores)
        flagged = found.scores > calibration.threshold
        labels = target["label"].to_numpy() > 0
        metrics["false_alarm_rate"] = float(flagged[~labels].mean())
        metrics["caught_at_threshold"] = float(flagged[labels].mean())
        yield title, metrics, cost.seconds, cost.peak_mb, ()
        if isinstance(detector, Gid):
            continue
        own = found.scores.astype(np.float64) - list(found.attribution.values())[-1]
        yield f"{title}, events alone", ranked(target, own), cost.seconds, cost.peak_mb, ()


def _tables(path: Path, quick: bool) -> Iterator[Row]:
    import polars as pl

    for file in sorted(path.glob("*.parquet"))[: 1 if quick else None]:
        table = pl.read_parquet(file).with_columns(pl.col(pl.Categorical).cast(pl.String))
        features = table.drop("label")
        yield from _nominal(file.stem, features, features, table["label"].to_numpy(), fitted=False)


def _connections(path: Path, quick: bool) -> Iterator[Row]:
    import polars as pl

    normal = pl.read_parquet(path / "train20.parquet").filter(pl.col("label") == 0)
    test = pl.read_parquet(path / "test.parquet")
    columns = [c for c in NSL_NOMINAL if c in test.columns]
    yield from _nominal("nsl_kdd nominal", normal.select(columns), test.select(columns), test["label"].to_numpy(), fitted=True)


def _nominal(name: str, history: Tokens, target: Tokens, labels: NDArray[np.int8], *, fitted: bool) -> Iterator[Row]:
    import polars as pl

    history, target = history.select(pl.all().cast(pl.String)), target.select(pl.all().cast(pl.String))
    protocol = "trained on normal rows" if fitted else "fitted and scored on all rows"
    methods: dict[str, Baseline] = {
        "random": random_scores,
        "marginal rarity": marginal,
        "one-hot isolation forest": forest_scores,
    }
    for title, method in methods.items():
        with measured() as cost:
            scores = method(history, target, 0)
        yield Row(data=name, method=title, metrics=two(labels, scores), seconds=cost.seconds, peak_mb=cost.peak_mb,
                  seeds=(0,) if "marg" not in title else (), trivial=title == "random", note=protocol)  # fmt: skip
    with measured() as cost:
        detector = Rarity()
        if fitted:
            detector.fit([plain_log(history, name)])
        scores = detector.score([plain_log(target, name)])[0].scores.astype(np.float64)
    yield Row(data=name, method="rarity", metrics=two(labels, scores), seconds=cost.seconds, peak_mb=cost.peak_mb, note=protocol)


def two(labels: NDArray[np.int8], scores: Scores) -> dict[str, float]:
    """Area under the ROC curve and average precision."""
    return {"auroc": auroc(labels, scores), "ap": average_precision(labels, scores)}


def plain_log(table: Tokens, name: str) -> EventLog:
    """Rows of text columns as a log without who, what and when."""
    import polars as pl

    columns = [pl.col(c).alias(f"attr:{c}") for c in table.columns]
    empty = [pl.lit("").alias(role) for role in ("subject", "operation", "object")]
    nothing = pl.lit(float("nan")).alias("time_s")
    return EventLog(name=name, roles={}, table=table.with_row_index("row", 1).select("row", nothing, *empty, *columns))


def _speed(quick: bool) -> Iterator[Row]:
    """Made-up process events: one log of growing length against a history of a fifth of it."""
    for count in (20_000, 40_000) if quick else (100_000, 200_000, 400_000):
        log, history = made_up(count, seed=0), made_up(count // 5, seed=1)
        scorers: dict[str, Rarity | Gid] = {
            "rarity": Rarity().fit([history]), "rarity without history": Rarity(),
            "gid": Gid().fit([history]), "gid without history": Gid(),
        }  # fmt: skip
        for title, scorer in scorers.items():
            before = time.process_time()
            with measured() as cost:
                scorer.score([log])
            metrics = {"events_per_s": count / cost.seconds, "events_per_cpu_s": count / (time.process_time() - before)}
            yield Row(data=f"made-up {count:,} events", method=title, metrics=metrics,
                      seconds=cost.seconds, peak_mb=cost.peak_mb, seeds=(0, 1))  # fmt: skip


def made_up(count: int, *, seed: int) -> EventLog:
    """A log of `count` process events by `count`/100 processes, with long-tailed programs and objects."""
    import polars as pl

    rng = np.random.default_rng(seed)
    process = rng.integers(0, max(1, count // 100), count)
    program = (process * 7919) % 97
    thing = np.minimum(rng.zipf(1.3, count), 10**6)
    operations = np.array(["create_file", "load_image", "connect", "reg_set", "access_process"])
    frame = pl.DataFrame({"process": process, "program": program, "thing": thing, "op": operations[rng.integers(0, 5, count)]})
    table = frame.select(
        pl.int_range(1, count + 1).alias("row"),
        (pl.int_range(0, count) * 0.01).alias("time_s"),
        pl.format("C:\\Windows\\System32\\program{}.exe", "program").alias("subject"),
        pl.col("op").alias("operation"),
        pl.format("C:\\Data\\part{}\\item{}.dat", pl.col("thing") % 50, "thing").alias("object"),
        pl.format("<{}>", "process").alias("subject_id"),
    )
    return EventLog(name=f"made-up {count}", roles={}, table=table)
