"""The attack captures of `otrf_sysmon` as logs, what a ranking of their events is worth, and simple rankings to compare with.

A capture is scored against the benign rows of the others. The recording harness's own rows are not scored (they stay in the history);
labels are used here only. A process is an attack's if any of its events is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.samples import EventLog
from core.scores import EventScores
from metrics.ranking import auroc, average_precision

if TYPE_CHECKING:
    import polars as pl

DEVELOPMENT = "lsass02_procdump"
SEEDS = (0, 1, 2)
TOP_PATHS = 5
ROLES = {
    "subj_image": "subject", "op": "operation", "obj_name": "object", "subj_guid": "subject_id", "obj_id": "object_id",
    "obj_type": "object_type", "host": "host", "subj_user": "user", "detail": "detail", "subj_pid": "attr:subj_pid",
}  # fmt: skip
Scores: TypeAlias = NDArray[np.float64]
Tokens: TypeAlias = "pl.DataFrame"
Baseline: TypeAlias = Callable[[Tokens, Tokens, int], Scores]


def read_capture(path: Path) -> pl.DataFrame:
    """A capture with file row numbers and seconds from its first event."""
    import polars as pl

    table = pl.read_parquet(path).with_row_index("row", 1)
    elapsed = (pl.col("time") - pl.col("time").min()).dt.total_microseconds() / 1e6
    return table.with_columns(pl.col(pl.Categorical).cast(pl.String), elapsed.alias("time_s"))


def as_log(table: pl.DataFrame, name: str) -> EventLog:
    """The observations of a capture; labels stay behind."""
    return EventLog(name=name, roles={}, table=table.rename(ROLES).select("row", "time_s", *ROLES.values()))


def ranked(target: pl.DataFrame, scores: Scores) -> dict[str, float]:
    """Event, key-event and process areas of the scores (N,) of a capture's rows."""
    labels, keys = target["label"].to_numpy(), target["key"].to_numpy()
    top = processes(target, scores)
    return {
        "auroc": auroc(labels, scores), "ap": average_precision(labels, scores), "key_ap": average_precision(keys, scores),
        "process_auroc": auroc(top["label"].to_numpy(), top["score"].to_numpy()),
        "process_ap": average_precision(top["label"].to_numpy(), top["score"].to_numpy()),
    }  # fmt: skip


def processes(target: pl.DataFrame, scores: Scores) -> pl.DataFrame:
    """Processes, ranked in the same plain way for every method: `score` is the mean of the ten highest events, `label` 1 the attack's."""
    import polars as pl

    return (
        target.select("subj_guid", "label").with_columns(pl.Series("score", scores)).group_by("subj_guid", maintain_order=True)
        .agg(pl.col("label").max(), pl.col("score").top_k(10).mean())
    )  # fmt: skip


def shown(target: pl.DataFrame, found: EventScores) -> dict[str, float]:
    """Whether the paths and processes that a detector shows are the attack's: those of which at least half of the rows are."""
    label = dict(zip(target["row"].to_list(), target["label"].to_list(), strict=True))
    paths = [np.mean([label[row] for row in path.rows]) >= 0.5 for path in found.paths]
    entities = [np.mean([label[row] for row in entity.rows]) >= 0.5 for entity in found.entities]
    first = [next((i + 1 for i, hit in enumerate(hits) if hit), 0) for hits in (paths, entities)]
    return {
        "path_hit": float(any(paths[:TOP_PATHS])), "first_attack_path": float(first[0]), "first_attack_process": float(first[1]),
        "attack_among_top5_processes": float(np.mean(entities[:5])),
    }  # fmt: skip


def random_scores(history: Tokens, target: Tokens, seed: int) -> Scores:
    """Numbers that know nothing."""
    return np.random.default_rng(seed).random(target.height)


def marginal(history: Tokens, target: Tokens, seed: int) -> Scores:
    """How rare each column's value is in the history, added up."""
    return np.asarray(np.sum([_bits(history, target, [column]) for column in target.columns], axis=0))


def pairwise(history: Tokens, target: Tokens, seed: int) -> Scores:
    """How rare each pair of columns' values is in the history, added up."""
    names = target.columns
    pairs = [[a, b] for i, a in enumerate(names) for b in names[i + 1 :]]
    return np.asarray(np.sum([_bits(history, target, chosen) for chosen in pairs], axis=0))


def _bits(history: Tokens, target: Tokens, columns: Sequence[str]) -> Scores:
    """−log of the half-count-smoothed frequency of the values of `columns`."""
    import polars as pl

    counted = history.group_by(list(columns)).len()
    seen = (
        target.join(counted, on=list(columns), how="left", maintain_order="left", nulls_equal=True)["len"].fill_null(0).to_numpy()
    )
    return np.asarray(-np.log((seen + 0.5) / (history.height + 0.5 * (counted.select(pl.len()).item() + 1))))


def forest_scores(history: Tokens, target: Tokens, seed: int) -> Scores:
    """Isolation forest on one-hot columns: the 40 most frequent values of each attribute, the rest as one; 20,000 rows learnt from."""
    import polars as pl
    from sklearn.ensemble import IsolationForest
    from sklearn.preprocessing import OneHotEncoder

    encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=40)
    sample = history.sample(min(20_000, history.height), seed=seed).select(pl.all().cast(pl.String)).to_numpy()
    forest = IsolationForest(n_estimators=100, random_state=seed, n_jobs=1).fit(encoder.fit_transform(sample))
    everything = encoder.transform(target.select(pl.all().cast(pl.String)).to_numpy())
    return np.asarray(-forest.score_samples(everything), dtype=np.float64)


BASELINES: Mapping[str, tuple[Baseline, tuple[int, ...]]] = {
    "random": (random_scores, SEEDS),
    "marginal rarity": (marginal, ()),
    "pairwise counts": (pairwise, ()),
    "one-hot isolation forest": (forest_scores, SEEDS),
}
"""Simple rankings of rows of text columns, with the seeds they take."""


def without(captures: Mapping[str, pl.DataFrame], name: str) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    """What is scored of one capture, and the benign rows of the others."""
    import polars as pl

    return captures[name].filter(pl.col("harness") == 0), {
        other: table.filter(pl.col("label") == 0) for other, table in captures.items() if other != name
    }


def token_columns(target: pl.DataFrame, normal: Mapping[str, pl.DataFrame]) -> tuple[Tokens, Tokens]:
    """The columns that `BASELINES` look at: of the history, and of what is scored."""
    import polars as pl

    columns = pl.col("subj_image", "op", "obj_name").str.to_lowercase()
    return pl.concat([table.select(columns) for table in normal.values()]), target.select(columns)
