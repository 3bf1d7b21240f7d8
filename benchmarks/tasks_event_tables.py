"""Categorical events and sequences: APE and sequences beside plain methods, on nominal tables, captures, traces, and made anomalies.

Tables: nsl_kdd (learned from normal rows of its training part), categorical_adrepo (fitted and scored on all rows, no labels used), and
otrf_sysmon event by event, each capture against the benign rows of the others as in the suite `events`. "made" rows replace one to
three values of held-out normal rows (nsl_kdd; otrf: benign rows of the development capture): the metrics end in how many. Sequences:
adfa_ld and hadoop, scored by whole sequences. Combinations add −log p of conformal ranks among held-out normal rows; which methods go into
one was decided by made anomalies in held-out rows of what was learned from, never by labels of a test part.
The settings of APE (kind of contrast, noise, share drawn evenly, steps) were chosen on made anomalies in nsl_kdd's normal rows and
benign rows of otrf, and on the capture lsass02_procdump; the order of `sequences` by held-out likelihood of adfa_ld's training traces.
Bars from the project's notes: nsl_kdd .953/.945, kdd99_probe .979/.756, adfa_ld .828/.377 (AUROC/AP).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks import event_sets
from benchmarks.datasets import folder
from benchmarks.event_sets import REPLACED, Scores, Traces, in_nats, per_sequence, replaced, stide, trace_log
from benchmarks.rows import Row, measured
from benchmarks.tasks_events import (
    _NSL_NOMINAL,
    DEVELOPMENT,
    SEEDS,
    Baseline,
    _capture,
    _forest,
    _log,
    _marginal,
    _pairwise,
    _plain_log,
    _random,
    _two,
    made_up,
)  # fmt: skip
from core.errors import BadInput
from core.samples import EventLog
from tools.events.ape import APE
from tools.events.rarity import Rarity
from tools.events.sequences import Sequences

if TYPE_CHECKING:
    import polars as pl

Method: TypeAlias = "Callable[[pl.DataFrame, pl.DataFrame, int], Scores]"
HELD_OUT = 0.2
MADE_FROM = 3_000
"""Held-out normal rows that anomalies are made from."""
CAPTURE_COLUMNS = ("subj_image", "op", "obj_name", "subj_user")


def rows(data: Path, *, quick: bool) -> Iterator[Row]:
    """The rows of this suite; `quick` takes one seed, few steps and a part of each set."""
    sections = (
        ("nsl_kdd", _connections), ("categorical_adrepo", _tables), ("adfa_ld", _syscalls), ("log_sequences", _templates),
        ("otrf_sysmon", _captures),
    )  # fmt: skip
    for name, section in sections:
        try:
            found = folder(data, name)
        except BadInput as error:
            print(f"event_tables: {error}")
            continue
        yield from section(found, quick)
    yield from _speed(quick)


def _steps(quick: bool) -> dict[str, Any]:
    return {"steps": 100} if quick else {}


def _ape(columns: Sequence[str], *, fitted: bool, **setting: Any) -> Method:
    """APE on a plain table; unfitted, the rows to be judged are their own history."""

    def method(history: pl.DataFrame, target: pl.DataFrame, seed: int) -> Scores:
        detector = APE(seed=seed, attributes=tuple(columns), **setting)
        if fitted:
            detector.fit([_plain_log(history, "history")])
        return detector.score([_plain_log(target, "target")])[0].scores.astype(np.float64)

    return method


def _rarity(columns: Sequence[str], *, fitted: bool) -> Method:
    def method(history: pl.DataFrame, target: pl.DataFrame, seed: int) -> Scores:
        detector = Rarity(attributes=tuple(columns))
        if fitted:
            detector.fit([_plain_log(history, "history")])
        return detector.score([_plain_log(target, "target")])[0].scores.astype(np.float64)

    return method


def _methods(columns: Sequence[str], *, fitted: bool, quick: bool) -> dict[str, tuple[Method | Baseline, tuple[int, ...]]]:
    seeds = SEEDS[:1] if quick else SEEDS
    few = _steps(quick)
    return {
        "random": (_random, seeds), "marginal rarity": (_marginal, ()), "pairwise counts": (_pairwise, ()),
        "one-hot isolation forest": (_forest, seeds), "rarity": (_rarity(columns, fitted=fitted), ()),
        "ape": (_ape(columns, fitted=fitted, **few), seeds),
        "ape, unweighted": (_ape(columns, fitted=fitted, weighted=False, **few), seeds),
        "ape, ranking contrast": (_ape(columns, fitted=fitted, contrast="ranking", **few), seeds),
        "ape, all values replaced": (_ape(columns, fitted=fitted, replaced="all", **few), seeds[:1]),
    }  # fmt: skip


def _judged(
    data: str, methods: dict[str, tuple[Method | Baseline, tuple[int, ...]]], history: pl.DataFrame, target: pl.DataFrame,
    labels: NDArray[Any], note: str,
) -> Iterator[Row]:  # fmt: skip
    for title, (method, seeds) in methods.items():
        with measured() as cost:
            tried = [_two(labels, method(history, target, seed)) for seed in seeds or (0,)]
        yield Row(data=data, method=title, metrics=_mean(tried), seconds=cost.seconds, peak_mb=cost.peak_mb, seeds=seeds,
                  trivial=title == "random", note=note)  # fmt: skip


def _mean(tried: Sequence[dict[str, float]]) -> dict[str, float]:
    mean = {key: float(np.mean([t[key] for t in tried])) for key in tried[0]}
    if len(tried) > 1:
        mean["auroc_sd_lower_is_better"] = float(np.std([t["auroc"] for t in tried]))
    return mean


def _made(held: pl.DataFrame, history: pl.DataFrame, *, even: bool) -> list[pl.DataFrame]:
    return [replaced(held, history, count, seed=7, even=even) for count in REPLACED if count <= held.width]


def _made_rows(
    data: str, methods: dict[str, tuple[Method | Baseline, tuple[int, ...]]], history: pl.DataFrame, held: pl.DataFrame, *, even: bool,
) -> Iterator[Row]:  # fmt: skip
    import polars as pl

    made = _made(held, history, even=even)
    whole = pl.concat([held, *made])
    ends = np.cumsum([held.height, *(part.height for part in made)])
    for title, (method, seeds) in methods.items():
        tried: list[dict[str, float]] = []
        with measured() as cost:
            for seed in seeds or (0,):
                scores = method(history, whole, seed)
                found: dict[str, float] = {}
                for count, (begin, end) in zip(REPLACED, pairwise(ends), strict=False):
                    both = np.concatenate([scores[: held.height], scores[begin:end]])
                    two = _two(np.arange(len(both)) >= held.height, both)  # type: ignore[arg-type]
                    found |= {f"auroc_{count}": two["auroc"], f"ap_{count}": two["ap"]}
                tried.append(found)
        mean = {key: float(np.mean([t[key] for t in tried])) for key in tried[0]}
        yield Row(data=data, method=title, metrics=mean, seconds=cost.seconds, peak_mb=cost.peak_mb, seeds=seeds,
                  trivial=title == "random", note="values drawn " + ("evenly" if even else "as often as they occur"))  # fmt: skip


def _combined(
    data: str, history: pl.DataFrame, target: pl.DataFrame, labels: NDArray[Any], parts: dict[str, Method | Baseline], *, quick: bool,
    whole: bool = False,
) -> Iterator[Row]:  # fmt: skip
    """A sum of −log p of the methods that found anomalies made from held-out rows best; `whole`: history and target are one."""
    import polars as pl

    seeds = SEEDS[:1] if quick else SEEDS
    tried: list[dict[str, float]] = []
    names: list[str] = []
    with measured() as cost:
        for seed in seeds:
            held = np.random.default_rng(seed).random(history.height) < HELD_OUT
            usual, unseen = history.filter(pl.Series(~held)), history.filter(pl.Series(held)).head(MADE_FROM)
            made = [*_made(unseen, usual, even=False), *_made(unseen, usual, even=True)]
            asked = pl.concat([unseen, *made, target])
            ends = np.cumsum([unseen.height, *(part.height for part in made)])
            nats = {}
            for title, method in parts.items():
                scores = method(usual, asked, seed)
                nats[title] = in_nats(scores[: unseen.height], scores)
            best, chosen = -1.0, tuple[str, ...]()
            for size in range(1, len(parts) + 1):
                for these in combinations(parts, size):
                    total = np.sum([nats[t] for t in these], axis=0)
                    found = [_apart(total[: unseen.height], total[a:b]) for a, b in pairwise(ends)]
                    if float(np.mean(found)) > best:
                        best, chosen = float(np.mean(found)), these
            tried.append(_two(labels, np.sum([nats[t] for t in chosen], axis=0)[ends[-1] :]))
            names.append(" + ".join(chosen))
    yield Row(data=data, method="combination", metrics=_mean(tried), seconds=cost.seconds, peak_mb=cost.peak_mb, seeds=seeds,
              note=f"chosen by made anomalies: {'; '.join(dict.fromkeys(names))}" + (" (no labels used)" if whole else ""))  # fmt: skip


def _apart(normal: Scores, odd: Scores) -> float:
    both = np.concatenate([normal, odd])
    return _two(np.arange(len(both)) >= len(normal), both)["auroc"]  # type: ignore[arg-type]


def _connections(path: Path, quick: bool) -> Iterator[Row]:
    import polars as pl

    normal = pl.read_parquet(path / "train20.parquet").filter(pl.col("label") == 0)
    test = pl.read_parquet(path / "test.parquet")
    labels = test["label"].to_numpy()
    columns = [c for c in _NSL_NOMINAL if c in test.columns]
    history, target = (t.select(pl.col(columns).cast(pl.String)) for t in (normal, test))
    methods = _methods(columns, fitted=True, quick=quick)
    yield from _judged("nsl_kdd nominal", methods, history, target, labels, "learned from normal rows")
    parts: dict[str, Method | Baseline] = {
        "ape": methods["ape"][0], "ape, ranking contrast": methods["ape, ranking contrast"][0], "marginal rarity": _marginal,
        "pairwise counts": _pairwise,
    }  # fmt: skip
    yield from _combined("nsl_kdd nominal", history, target, labels, parts, quick=quick)
    features = [c for c in test.columns if c not in ("attack", "difficulty", "category", "label")]
    setting = _steps(quick)
    with measured() as cost:
        tried = []
        for seed in SEEDS[:1] if quick else SEEDS:
            detector = APE(seed=seed, **setting).fit([_plain_log(normal.select(features), "normal")])
            tried.append(_two(labels, detector.score([_plain_log(test.select(features), "test")])[0].scores.astype(np.float64)))
    yield Row(data="nsl_kdd, 41 columns", method="ape, numbers in bins", metrics=_mean(tried), seconds=cost.seconds,
              peak_mb=cost.peak_mb, seeds=SEEDS[: len(tried)], note="learned from normal rows")  # fmt: skip
    held = np.random.default_rng(0).random(history.height) < HELD_OUT
    usual, unseen = history.filter(pl.Series(~held)), history.filter(pl.Series(held)).head(MADE_FROM)
    for even in (False, True):
        yield from _made_rows("nsl_kdd normal, made", methods, usual, unseen, even=even)


def _tables(path: Path, quick: bool) -> Iterator[Row]:
    import polars as pl

    for file in sorted(path.glob("*.parquet"))[: 1 if quick else None]:
        table = pl.read_parquet(file)
        labels = table["label"].to_numpy()
        rows_ = table.drop("label").select(pl.all().cast(pl.String))
        methods = _methods(rows_.columns, fitted=False, quick=quick)
        yield from _judged(file.stem, methods, rows_, rows_, labels, "fitted and scored on all rows")
        parts: dict[str, Method | Baseline] = {
            "ape": _ape(rows_.columns, fitted=True, **_steps(quick)), "marginal rarity": _marginal, "pairwise counts": _pairwise,
        }  # fmt: skip
        yield from _combined(file.stem, rows_, rows_, labels, parts, quick=quick, whole=True)


def _captures(path: Path, quick: bool) -> Iterator[Row]:
    import polars as pl

    captures = {p.stem: _capture(p) for p in sorted(path.glob("*.parquet"))}
    benign = {n: t.filter(pl.col("label") == 0) for n, t in captures.items()}
    text = [pl.col(c).cast(pl.String).fill_null("").str.to_lowercase() for c in CAPTURE_COLUMNS]
    history = pl.concat([t.select(text) for n, t in benign.items() if n != DEVELOPMENT])
    held = benign[DEVELOPMENT].filter(pl.col("harness") == 0).select(text).sample(MADE_FROM, seed=0)
    methods = _methods(CAPTURE_COLUMNS, fitted=True, quick=quick)
    for even in (False, True):
        yield from _made_rows("otrf benign, made", methods, history, held, even=even)
    collected: dict[str, list[dict[str, float]]] = {}
    for name in [DEVELOPMENT] if quick else list(captures):
        target = captures[name].filter(pl.col("harness") == 0)
        labels, keys = target["label"].to_numpy(), target["key"].to_numpy()
        normal = [_log(t, n) for n, t in benign.items() if n != name]
        for title, scores, seconds, peak, seeds in _detected(normal, _log(target, name), quick):
            tried = [{**_two(labels, s), "key_ap": _two(keys, s)["ap"]} for s in scores]
            mean = {key: float(np.mean([t[key] for t in tried])) for key in tried[0]}
            collected.setdefault(title, []).append(mean)
            yield Row(data=f"otrf {name}", method=title, metrics=mean, seconds=seconds, peak_mb=peak, seeds=seeds,
                      trivial=title == "random", note="development capture" if name == DEVELOPMENT else "")  # fmt: skip
    for title, found in collected.items():
        mean = {key: float(np.mean([f[key] for f in found])) for key in found[0]}
        yield Row(data=f"otrf, mean of {len(found)}", method=title, metrics=mean, seconds=0.0, peak_mb=0.0, trivial=title == "random",
                  note="mean over captures, the development one included")  # fmt: skip


def _detected(
    normal: Sequence[EventLog], log: EventLog, quick: bool
) -> Iterator[tuple[str, list[Scores], float, float, tuple[int, ...]]]:
    """(title, event scores per seed, seconds, MB, seeds) of whole detectors on one capture."""
    few, seeds = _steps(quick), SEEDS[:1] if quick else SEEDS
    yield "random", [np.random.default_rng(s).random(log.table.height) for s in seeds], 0.0, 0.0, seeds
    nats: dict[str, Scores] = {}
    made: dict[str, Callable[[int], Any]] = {
        "rarity": lambda seed: Rarity(), "ape": lambda seed: APE(seed=seed, **few),
        "ape, unweighted": lambda seed: APE(seed=seed, weighted=False, **few), "sequences": lambda seed: Sequences(),
    }  # fmt: skip
    for title, make in made.items():
        own = seeds if title == "ape" else seeds[:1] if title.startswith("ape") else ()
        with measured() as cost:
            scores = []
            for seed in own or (0,):
                detector = make(seed).fit(normal)
                scores.append(detector.score([log])[0].scores.astype(np.float64))
                nats.setdefault(title, in_nats(detector.reference_scores().astype(np.float64), scores[-1]))
        yield title, scores, cost.seconds, cost.peak_mb, own
    yield "combination (rarity + ape)", [nats["rarity"] + nats["ape"]], 0.0, 0.0, seeds[:1]
    yield "combination (rarity + ape + sequences)", [nats["rarity"] + nats["ape"] + nats["sequences"]], 0.0, 0.0, seeds[:1]


def _syscalls(path: Path, quick: bool) -> Iterator[Row]:
    import polars as pl

    yield from _sequences("adfa_ld", event_sets.adfa(pl.read_parquet(path / "adfa_ld.parquet")), quick)


def _templates(path: Path, quick: bool) -> Iterator[Row]:
    import polars as pl

    yield from _sequences("hadoop", event_sets.hadoop(pl.read_parquet(path / "hadoop_loghub.parquet")), quick)


def _sequences(data: str, traces: Traces, quick: bool) -> Iterator[Row]:
    train, test, labels = traces.train, traces.test, traces.labels
    if quick:
        train, test, labels = train[:100], test[::10], labels[::10]
    note = f"learned from {len(train)} normal sequences"
    plain: dict[str, Callable[[], Scores]] = {
        "random": lambda: np.random.default_rng(0).random(len(test)),
        "length": lambda: np.array([len(s) for s in test], np.float64),
        "stide, 6": lambda: stide(train, test, 6), "stide, 10": lambda: stide(train, test, 10),
        "stide, 3 + 6 + 10 by ranks": lambda: _together(train, test, (3, 6, 10)),
    }  # fmt: skip
    for title, method in plain.items():
        with measured() as cost:
            scores = method()
        yield Row(data=data, method=title, metrics=_two(labels, scores), seconds=cost.seconds, peak_mb=cost.peak_mb,  # type: ignore[arg-type]
                  seeds=(0,) if title == "random" else (), trivial=title in ("random", "length"), note=note)  # fmt: skip
    lengths = [len(s) for s in test]
    ways: dict[str, Callable[[Scores], float]] = {
        "mean": lambda s: float(s.mean()), "strangest half": lambda s: float(np.sort(s)[-(-len(s) // -2) :].mean()),
        "strangest 50 in a row": lambda s: float(np.convolve(s, np.full(min(50, len(s)), 1 / min(50, len(s))), "valid").max()),
    }  # fmt: skip
    learned, log = trace_log(train, "train"), trace_log(test, "test")
    few = _steps(quick)
    for title, seeds in (("counts", ()), ("network", SEEDS[:1] if quick else SEEDS), ("both", SEEDS[:1])):
        with measured() as cost:
            found = [
                Sequences(model=title, seed=s, **few).fit([learned]).score([log])[0].scores.astype(np.float64)
                for s in seeds or (0,)
            ]
        for way, statistic in ways.items() if title == "counts" else [("mean", ways["mean"])]:
            tried = [_two(labels, per_sequence(scores, lengths, statistic)) for scores in found]  # type: ignore[arg-type]
            yield Row(data=data, method=f"sequences, {title}, {way}", metrics=_mean(tried), seconds=cost.seconds, peak_mb=cost.peak_mb,
                      seeds=seeds, note=note)  # fmt: skip


def _together(train: Sequence[NDArray[np.int64]], test: Sequence[NDArray[np.int64]], lengths: Sequence[int]) -> Scores:
    """STIDE at several lengths, as −log p of their ranks among training sequences that were left out in turn."""
    total = np.zeros(len(test))
    for length in lengths:
        held = np.empty(len(train))
        for fold in range(5):
            rest = [s for i, s in enumerate(train) if i % 5 != fold]
            held[fold::5] = stide(rest, train[fold::5], length)
        total += in_nats(held, stide(train, test, length))
    return total


def _speed(quick: bool) -> Iterator[Row]:
    """Made-up process events: learning from 200,000, scoring a million."""
    count, many = (20_000, 40_000) if quick else (200_000, 1_000_000)
    history, log = made_up(count, seed=0), made_up(many, seed=1)
    for title, detector in (("ape", APE()), ("sequences", Sequences())):
        before = time.process_time()
        with measured() as cost:
            detector.fit([history])
        metrics = {"cpu_s_lower_is_better": time.process_time() - before, "events_per_s": count / cost.seconds}
        yield Row(data=f"made-up, learn {count:,}", method=title, metrics=metrics, seconds=cost.seconds, peak_mb=cost.peak_mb)
        before = time.process_time()
        with measured() as cost:
            detector.score([log])
        spent = time.process_time() - before
        metrics = {"events_per_cpu_s": many / spent, "events_per_s": many / cost.seconds}
        yield Row(data=f"made-up, score {many:,}", method=title, metrics=metrics, seconds=cost.seconds, peak_mb=cost.peak_mb)
