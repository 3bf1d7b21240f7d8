"""Chains of attack put into benign captures, so that what should be found is known exactly.

Each chain starts at a process of the capture: it starts a payload, which writes a tool, starts a shell that starts the tool, and the
tool writes a file and reaches out. With `known` programs only names occur that the history has, in an order it has not: what
an attacker does with what is there; otherwise payload and tool are programs that nobody has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.scores import PathScore

if TYPE_CHECKING:
    import polars as pl


def inject(
    target: pl.DataFrame, normal: Sequence[pl.DataFrame], *, chains: int, known: bool, seed: int
) -> tuple[pl.DataFrame, list[set[int]]]:
    """Return `target` with `chains` more chains at random times, renumbered, and the rows of each chain."""
    import polars as pl

    rng = np.random.default_rng(seed)
    history = pl.concat([table.select("subj_image", "op", "obj_name", "obj_type") for table in normal])
    starts = (
        history.filter(pl.col("op") == "create_process").select("subj_image", "obj_name").unique().sort("subj_image", "obj_name")
    )
    ordinary = set(starts.iter_rows())
    programs = sorted({name for pair in ordinary for name in pair if "unknown process" not in name})
    shells = [name for name in programs if name.lower().endswith(("\\cmd.exe", "\\powershell.exe"))]
    files = history.filter(pl.col("op") == "create_file")["obj_name"].unique().sort().to_list()
    addresses = history.filter(pl.col("op") == "connect")["obj_name"].unique().sort().to_list()
    parents = (
        target.filter(pl.col("op") == "create_process")
        .select("subj_guid", "subj_image", "host")
        .unique()
        .sort("subj_guid")
        .rows()
    )
    seconds = target["time_s"].to_numpy()
    names = ("subj_guid", "subj_image", "op", "obj_type", "obj_id", "obj_name")
    parts = [target.with_columns(pl.lit(-1).alias("chain"))]
    for chain in range(chains):
        guid, image, host = parents[int(rng.integers(len(parents)))]
        shell = shells[int(rng.integers(len(shells)))]
        if known:
            fitting = [p for p in programs if p not in shells and (image, p) not in ordinary and (p, shell) not in ordinary]
            payload = fitting[int(rng.integers(len(fitting)))]
            fitting = [p for p in programs if p != payload and (shell, p) not in ordinary]
            tool = fitting[int(rng.integers(len(fitting)))]
        else:
            payload, tool = (f"C:\\Users\\Public\\{name}.exe" for name in _words(rng, 2))
        thing = files[int(rng.integers(len(files)))] if known else f"C:\\Users\\Public\\{_words(rng, 1)[0]}.bin"
        address = addresses[int(rng.integers(len(addresses)))] if known else f"203.0.113.{rng.integers(1, 255)}:8443"
        made = {name: f"{{injected-{seed}-{chain}-{name}}}" for name in ("payload", "shell", "tool")}
        steps = [
            (guid, image, "create_process", "process", made["payload"], payload),
            (made["payload"], payload, "load_image", "file", payload, payload),
            (made["payload"], payload, "create_file", "file", tool, tool),
            (made["payload"], payload, "create_process", "process", made["shell"], shell),
            (made["shell"], shell, "create_process", "process", made["tool"], tool),
            (made["tool"], tool, "create_file", "file", thing, thing),
            (made["tool"], tool, "connect", "socket", address, address),
        ]
        begin = float(rng.uniform(seconds.min(), 0.9 * seconds.max()))
        rows = pl.DataFrame({name: [step[i] for step in steps] for i, name in enumerate(names)}).with_columns(
            pl.lit(host).alias("host"), pl.lit(chain).alias("chain"), pl.lit(1).alias("label"), pl.lit(1).alias("key"),
            (begin + 0.7 * pl.int_range(len(steps))).alias("time_s"),
        )  # fmt: skip
        parts.append(rows)
    whole = pl.concat(parts, how="diagonal_relaxed").sort("time_s", maintain_order=True)
    whole = whole.with_columns(pl.int_range(1, whole.height + 1).alias("row"))
    marks = [set(whole.filter(pl.col("chain") == chain)["row"].to_list()) for chain in range(chains)]
    return whole.drop("chain"), marks


def benign(capture: pl.DataFrame) -> pl.DataFrame:
    """A capture without its attack, and without what others did to the attack's processes."""
    import polars as pl

    made = capture.filter((pl.col("label") == 1) & (pl.col("op") == "create_process"))["obj_id"].unique()
    return capture.filter((pl.col("label") == 0) & ~pl.col("obj_id").is_in(made.implode()))


def found_among(paths: Sequence[PathScore], chains: Sequence[set[int]], *, steps: int = 3) -> float:
    """Share of chains of which one of `paths` holds at least `steps` rows."""
    return float(np.mean([any(len(chain & set(path.rows)) >= steps for path in paths) for chain in chains]))


def _words(rng: np.random.Generator, count: int) -> list[str]:
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    return ["".join(letters[rng.integers(0, 26, 9)]) for _ in range(count)]
