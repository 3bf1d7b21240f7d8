"""Categorical events and sequences: APE and sequences beside plain methods, on nominal tables, captures, traces, and made anomalies.

Tables: nsl_kdd (learned from four fifths of the normal rows of its training part; the rest makes anomalies and references),
categorical_adrepo (fitted and scored on all rows, no labels used), and otrf_sysmon event by event, each capture against the benign rows
of the others as in the suite `events`. "made" rows replace one to three values of held-out normal rows (nsl_kdd; otrf: benign rows of the
development capture): the metrics end in how many. Sequences: adfa_ld and hadoop, by whole sequences. Combinations add −log p of
conformal ranks among held-out normal rows; which methods go into one was decided by made anomalies, never by labels of a test part.
The settings of APE (noise, share drawn evenly, steps) were chosen on made anomalies in nsl_kdd's normal rows and benign
rows of otrf, and on the capture lsass02_procdump; its contrast on those too, and, where a log is its own history, on odd kinds of row put
into normal ones by the hundred; the order of `sequences` by held-out likelihood of adfa_ld's training traces. The mean
over a sequence is the statistic of the bar; the other two are shown for comparison (stretches replaced in training traces favour short
windows, so such made anomalies chose nothing).
Bars from the project's notes: nsl_kdd .953/.945, kdd99_probe .979/.756, adfa_ld .828/.377 (AUROC/AP).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from itertools import pairwise as in_pairs
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks import nominal_sets
from benchmarks.datasets import folder
from benchmarks.event_sets import (
    DEVELOPMENT,
    SEEDS,
    Baseline,
    as_log,
    forest_scores,
    marginal,
    pairwise,
    random_scores,
    read_capture,
)  # fmt: skip
from benchmarks.nominal_sets import REPLACED, Scores, Traces, in_nats, per_sequence, replaced, stide, trace_log
from benchmarks.rows import Row, measured
from benchmarks.tasks_events import NSL_NOMINAL, made_up, plain_log, two
from core.errors import BadInput
from core.samples import EventLog
from tools.events.ape import APE
from tools.events.rarity import Rarity
from tools.events.sequences import Sequences

if TYPE_CHECKING:
    import polars as pl

Method: TypeAlias = "Callable[[pl.DataFrame, pl.DataFrame, int], Scores]"
Methods: TypeAlias = "dict[str, tuple[Method | Baseline, tuple[int, ...]]]"
HELD_OUT = 0.2
MADE_FROM = 3_000
"""Held-out normal rows that anomalies are made from."""
OTHER = {True: "ape, ranking contrast", False: "ape, binary contrast"}
"""The contrast that `ape` does not choose, with and without normal rows."""
CAPTURE_COLUMNS = ("subj_image", "op", "obj_name", "subj_user")


def rows(data: Path, *, quick: bool) -> Iterator[Row]:
    """The rows of this suite; `quick` takes one seed, few steps and a part of each set."""
    sections = (
        ("nsl_kdd", _connections), ("adfa_ld", _syscalls), ("log_sequences", _templates), ("categorical_adrepo", _tables),
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
            detector.fit([plain_log(history, "history")])
        return detector.score([plain_log(target, "target")])[0].scores.astype(np.float64)

    return method


def _rarity(columns: Sequence[str], *, fitted: bool) -> Method:
    def method(history: pl.DataFrame, target: pl.DataFrame, seed: int) -> Scores:
        detector = Rarity(attributes=tuple(columns))
        if fitted:
            detector.fit([plain_log(history, "history")])
        return detector.score([plain_log(target, "target")])[0].scores.astype(np.float64)

    return method


def _methods(columns: Sequence[str], *, fitted: bool, quick: bool) -> Methods:
    seeds = SEEDS[:1] if quick else SEEDS
    few = _steps(quick)
    return {
        "random": (random_scores, seeds), "marginal rarity": (marginal, ()), "pairwise counts": (pairwise, ()),
        "one-hot isolation forest": (forest_scores, seeds), "rarity": (_rarity(columns, fitted=fitted), ()),
        "ape": (_ape(columns, fitted=fitted, **few), seeds),
        "ape, unweighted": (_ape(columns, fitted=fitted, weighted=False, **few), seeds),
        OTHER[fitted]: (_ape(columns, fitted=fitted, contrast=OTHER[fitted].split()[1], **few), seeds),
    }  # fmt: skip


def _judged(
    data: str, methods: Methods, history: pl.DataFrame, target: pl.DataFrame, labels: NDArray[Any], note: str
) -> Iterator[Row]:
    for title, (method, seeds) in methods.items():
        with measured() as cost:
            tried = [two(labels, method(history, target, seed)) for seed in seeds or (0,)]
        yield Row(data=data, method=title, metrics=_mean(tried), seconds=cost.seconds, peak_mb=cost.peak_mb, seeds=seeds,
                  trivial=title == "random", note=note)  # fmt: skip


def _mean(tried: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([t[key] for t in tried])) for key in tried[0]}


def _spread(tried: Sequence[dict[str, float]]) -> str:
    return f"AUROC {min(t['auroc'] for t in tried):.3f} to {max(t['auroc'] for t in tried):.3f}" if len(tried) > 1 else ""


def _made(held: pl.DataFrame, history: pl.DataFrame) -> dict[str, list[pl.DataFrame]]:
    """Anomalies of one to three replaced values, by how the new values are drawn."""
    counts = [count for count in REPLACED if count <= held.width]
    return {
        title: [replaced(held, history, count, seed=7, even=even) for count in counts]
        for title, even in (("values drawn as often as they occur", False), ("values drawn evenly", True))
    }  # fmt: skip


def _made_rows(
    data: str, methods: Methods, history: pl.DataFrame, held: pl.DataFrame, keep: dict[str, list[Scores]],
    target: pl.DataFrame | None = None,
) -> Iterator[Row]:  # fmt: skip
    """Rows on made anomalies; the scores of held-out rows, made ones and `target`, end to end, are left in `keep` per seed."""
    import polars as pl

    made = _made(held, history)
    parts = [held, *(part for these in made.values() for part in these), *([target] if target is not None else [])]
    whole = pl.concat(parts)
    for title, (method, seeds) in methods.items():
        with measured() as cost:
            keep[title] = [method(history, whole, seed) for seed in seeds or (0,)]
        begin = held.height
        for drawn, these in made.items():
            tried: list[dict[str, float]] = [{} for _ in keep[title]]
            for count, part in zip(REPLACED, these, strict=False):
                for scores, found in zip(keep[title], tried, strict=True):
                    two = _apart(scores[: held.height], scores[begin : begin + part.height])
                    found |= {f"auroc_{count}": two["auroc"], f"ap_{count}": two["ap"]}
                begin += part.height
            yield Row(data=data, method=title, metrics=_mean(tried), seconds=cost.seconds, peak_mb=cost.peak_mb, seeds=seeds,
                      trivial=title == "random", note=drawn)  # fmt: skip


def _apart(normal: Scores, odd: Scores) -> dict[str, float]:
    labels = np.concatenate([np.zeros(len(normal), np.int8), np.ones(len(odd), np.int8)])
    return two(labels, np.concatenate([normal, odd]))


def _combined(
    data: str, keep: dict[str, list[Scores]], lengths: Sequence[int], labels: NDArray[Any], names: Sequence[str], note: str
) -> Row:
    """A sum of −log p of the methods of `names` that tell made anomalies (the parts between the first and the last) apart best."""
    ends = np.cumsum(lengths)
    tried, said = [], []
    for seed in range(max(len(keep[name]) for name in names)):
        nats = {}
        for name in names:
            scores = keep[name][min(seed, len(keep[name]) - 1)]
            nats[name] = in_nats(scores[: ends[0]], scores)
        best, chosen = -1.0, tuple[str, ...]()
        for size in range(1, len(names) + 1):
            for these in combinations(names, size):
                total = np.sum([nats[t] for t in these], axis=0)
                found = float(np.mean([_apart(total[: ends[0]], total[a:b])["auroc"] for a, b in in_pairs(ends[:-1])]))
                if found > best:
                    best, chosen = found, these
        tried.append(two(labels, np.sum([nats[t] for t in chosen], axis=0)[ends[-2] :]))
        said.append(" + ".join(chosen))
    return Row(data=data, method="combination", metrics=_mean(tried), seconds=0.0, peak_mb=0.0, seeds=SEEDS[: len(tried)],
               note=f"chosen by made anomalies: {'; '.join(dict.fromkeys(said))}; {_spread(tried)}{note}")  # fmt: skip


def _connections(path: Path, quick: bool) -> Iterator[Row]:
    import polars as pl

    normal = pl.read_parquet(path / "train20.parquet").filter(pl.col("label") == 0)
    test = pl.read_parquet(path / "test.parquet")
    labels = test["label"].to_numpy()
    columns = [c for c in NSL_NOMINAL if c in test.columns]
    history, target = (t.select(pl.col(columns).cast(pl.String)) for t in (normal, test))
    methods = _methods(columns, fitted=True, quick=quick)
    held = np.random.default_rng(0).random(history.height) < HELD_OUT
    usual, unseen = history.filter(pl.Series(~held)), history.filter(pl.Series(held)).head(MADE_FROM)
    keep: dict[str, list[Scores]] = {}
    yield from _made_rows("nsl_kdd normal, made", methods, usual, unseen, keep, target)
    note = "learned from four fifths of the normal rows"
    for title, scores in keep.items():
        tried = [two(labels, s[-target.height :]) for s in scores]
        yield Row(data="nsl_kdd nominal", method=title, metrics=_mean(tried), seconds=0.0, peak_mb=0.0, seeds=methods[title][1],
                  trivial=title == "random", note="; ".join(part for part in (note, _spread(tried)) if part))  # fmt: skip
    lengths = [unseen.height, *(part.height for these in _made(unseen, usual).values() for part in these), target.height]
    names = ("ape", "ape, ranking contrast", "marginal rarity", "pairwise counts")
    yield _combined("nsl_kdd nominal", keep, lengths, labels, names, "")
    features = [c for c in test.columns if c not in ("attack", "difficulty", "category", "label")]
    with measured() as cost:
        detector = APE(**_steps(quick)).fit([plain_log(normal.select(features), "normal")])
        found = two(labels, detector.score([plain_log(test.select(features), "test")])[0].scores.astype(np.float64))
    yield Row(data="nsl_kdd, 41 columns", method="ape, numbers in bins", metrics=found, seconds=cost.seconds,
              peak_mb=cost.peak_mb, seeds=(0,), note="learned from normal rows")  # fmt: skip


def _tables(path: Path, quick: bool) -> Iterator[Row]:
    import polars as pl

    for file in sorted(path.glob("*.parquet"))[: 1 if quick else None]:
        table = pl.read_parquet(file)
        labels = table["label"].to_numpy()
        whole = table.drop("label").select(pl.all().cast(pl.String))
        methods = _methods(whole.columns, fitted=False, quick=quick)
        yield from _judged(file.stem, methods, whole, whole, labels, "fitted and scored on all rows")
        held = np.random.default_rng(0).random(whole.height) < HELD_OUT
        usual, unseen = whole.filter(pl.Series(~held)), whole.filter(pl.Series(held)).head(MADE_FROM)
        parts: Methods = {
            "ape": (_ape(whole.columns, fitted=True, **_steps(quick)), SEEDS[:1] if quick else SEEDS), "marginal rarity": (marginal, ()),
            "pairwise counts": (pairwise, ()),
        }  # fmt: skip
        keep: dict[str, list[Scores]] = {}
        list(_made_rows(file.stem, parts, usual, unseen, keep, whole))
        lengths = [unseen.height, *(part.height for these in _made(unseen, usual).values() for part in these), whole.height]
        yield _combined(file.stem, keep, lengths, labels, tuple(parts), "; no labels used")


def _captures(path: Path, quick: bool) -> Iterator[Row]:
    import polars as pl

    captures = {p.stem: read_capture(p) for p in sorted(path.glob("*.parquet"))}
    benign = {n: t.filter(pl.col("label") == 0) for n, t in captures.items()}
    text = [pl.col(c).cast(pl.String).fill_null("").str.to_lowercase() for c in CAPTURE_COLUMNS]
    history = pl.concat([t.select(text) for n, t in benign.items() if n != DEVELOPMENT])
    held = benign[DEVELOPMENT].filter(pl.col("harness") == 0).select(text).sample(MADE_FROM, seed=0)
    methods = _methods(CAPTURE_COLUMNS, fitted=True, quick=quick)
    yield from _made_rows("otrf benign, made", methods, history, held, {})
    collected: dict[str, list[dict[str, float]]] = {}
    for name in [DEVELOPMENT] if quick else list(captures):
        target = captures[name].filter(pl.col("harness") == 0)
        labels, keys = target["label"].to_numpy(), target["key"].to_numpy()
        normal = [as_log(t, n) for n, t in benign.items() if n != name]
        for title, scores, seconds, peak, seeds in _detected(normal, as_log(target, name), quick):
            tried = [{**two(labels, s), "key_ap": two(keys, s)["ap"]} for s in scores]
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
        "rarity": lambda seed: Rarity(), "ape": lambda seed: APE(seed=seed, **few), "sequences": lambda seed: Sequences(),
    }  # fmt: skip
    for title, make in made.items():
        own = seeds if title == "ape" else ()
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

    yield from _sequences("adfa_ld", nominal_sets.adfa(pl.read_parquet(path / "adfa_ld.parquet")), quick)


def _templates(path: Path, quick: bool) -> Iterator[Row]:
    import polars as pl

    yield from _sequences("hadoop", nominal_sets.hadoop(pl.read_parquet(path / "hadoop_loghub.parquet")), quick)


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
        yield Row(data=data, method=title, metrics=two(labels, scores), seconds=cost.seconds, peak_mb=cost.peak_mb,  # type: ignore[arg-type]
                  seeds=(0,) if title == "random" else (), trivial=title in ("random", "length"), note=note)  # fmt: skip
    lengths = [len(s) for s in test]
    ways: dict[str, Callable[[Scores], float]] = {
        "mean": lambda s: float(s.mean()), "strangest half": lambda s: float(np.sort(s)[-(-len(s) // -2) :].mean()),
        "strangest 50 in a row": lambda s: float(np.convolve(s, np.full(min(50, len(s)), 1 / min(50, len(s))), "valid").max()),
    }  # fmt: skip
    learned, log = trace_log(train, "train"), trace_log(test, "test")
    few = _steps(quick)
    kept: dict[str, list[Scores]] = {}
    spent: dict[str, float] = {}
    own = {"counts": (0,), "network": SEEDS[:1] if quick else SEEDS}
    for title, seeds in own.items():
        with measured() as cost:
            kept[title] = [
                Sequences(model=title, seed=s, **few).fit([learned]).score([log])[0].scores.astype(np.float64) for s in seeds
            ]
        spent[title] = cost.seconds
    # what model="both" does with the same parts: the mean of both probabilities
    kept["both"] = [np.log(2.0) - np.logaddexp(-kept["counts"][0], -nats) for nats in kept["network"]]
    for title, found in kept.items():
        for way, statistic in ways.items() if title == "counts" else [("mean", ways["mean"])]:
            tried = [two(labels, per_sequence(scores, lengths, statistic)) for scores in found]  # type: ignore[arg-type]
            yield Row(data=data, method=f"sequences, {title}, {way}", metrics=_mean(tried), seconds=spent.get(title, 0.0), peak_mb=0.0,
                      seeds=own.get(title, own["network"]) if title != "counts" else (),
                      note="; ".join(part for part in (note, _spread(tried)) if part))  # fmt: skip


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
