"""docs/results.md and docs/results/*.md from benchmarks/results/*.json: a page a suite, trivial rows marked, circumstances stated."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.archive import write_atomic

HEAD = """# Results

Made by `python -m benchmarks.run` from `benchmarks/results`; do not edit. Higher is better unless a name says otherwise. Rows marked
*trivial* need no detector: what does not beat them has learned nothing. Times are of one shared machine: compare rows of one run
with each other, not with other machines. Nothing (checkpoint, threshold, smoothing, weights) was chosen on test data unless a note
says so.
"""


TITLES = {
    "video_bags": "Videos labelled as a whole",
    "video_events": "Events, falls and keyframes of videos",
    "event_tables": "Categorical events and sequences",
    "boards": "Photos of boards against a template",
    "conversation": "Time until an answer",
    "events": "Event logs",
    "image": "Photos: one detector, all shares of defects",
    "image_speed": "Speed of image systems",
    "image_systems": "Image systems beside their peers",
    "rules": "Rules in words",
    "scans": "3D scans",
    "series": "Sensor series",
    "image_gpu": "Image systems on a GPU",
    "video_gpu": "Trained video systems on a GPU",
    "mad_bench": "Severity (MAD-Bench)",
    "trip": "TriP-LLM on sensor series",
    "series_ensemble": "The ensemble on sensor series",
    "nab": "NAB by its own rules",
    "gid": "Paths of information flow (GID)",
}
"""Headings of suites whose name alone does not say what they measure."""
SEVERAL = re.compile(r"(\w+)\b.* \(\d+\)")
"""Data of a row that is the mean of several: "smd (4)"."""
Row = Mapping[str, Any]


def write_report(results: Path, docs: Path) -> None:
    """Write results.md, which says which suites there are, and results/<suite>.md for each; pages of other suites are removed."""
    pages = report(results)
    for stale in (docs / "results").glob("*.md"):
        if f"results/{stale.name}" not in pages:
            stale.unlink()
    (docs / "results").mkdir(exist_ok=True)
    for name, text in pages.items():
        write_atomic(docs / name, text.encode())


def report(results: Path) -> dict[str, str]:
    """The pages as Markdown, by where they stand under docs.

    >>> list(report(Path("nowhere")))
    ['results.md']
    """
    suites = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))]
    listed = [f"- [{_title(s)}](results/{s['suite']}.md): {len(s['rows'])} rows, {s['date'][:10]}{_early(s)}" for s in suites]
    return {"results.md": "\n".join([HEAD, *listed, ""])} | {f"results/{s['suite']}.md": _page(s) for s in suites}


def _title(suite: Mapping[str, Any]) -> str:
    return str(TITLES.get(suite["suite"], suite["suite"].capitalize()))


def _early(suite: Mapping[str, Any]) -> str:
    return "" if suite.get("complete", True) else ". **Stopped early: rows are missing.**"


def _page(suite: Mapping[str, Any]) -> str:
    lines = [
        f"# {_title(suite)}", "",
        f"Commit `{suite['commit']}`, {suite['date'][:10]}, {suite['processor']}, {suite['cores']} cores, {suite['memory_gb']} GB, "
        f"{suite.get('gpu', '') and suite['gpu'] + ', '}"
        f"Python {suite['python']}; load at start {suite['load_at_start']}{_early(suite) or '.'} How to read it: [results](../results.md).",
        "",
    ]  # fmt: skip
    tables: dict[tuple[str, ...], list[Row]] = {}
    for row in suite["rows"]:
        tables.setdefault(tuple(row["metrics"]), []).append(row)
    for metrics, rows in tables.items():
        means, parts = _apart(rows)
        lines += [*_table(means, metrics), ""]
        for name, each in parts.items():
            lines += [
                f"<details><summary>Each of {name}: {len(each)} rows</summary>",
                "",
                *_table(each, metrics),
                "",
                "</details>",
                "",
            ]
    return "\n".join(lines)


def _apart(rows: Sequence[Row]) -> tuple[list[Row], dict[str, list[Row]]]:
    """The rows to be shown, and by set those of its parts, where a row of their mean is shown too."""
    sets: dict[str, str] = {}
    for row in rows:
        if found := SEVERAL.fullmatch(row["data"]):
            sets.setdefault(found[1], row["data"])
    means: list[Row] = []
    parts: dict[str, list[Row]] = {}
    for row in rows:
        family, _, rest = row["data"].partition(" ")
        if family in sets and rest and not re.search(r"[(,]", rest):
            parts.setdefault(sets[family], []).append(row)
        else:
            means.append(row)
    return means, parts


def _table(rows: Sequence[Row], metrics: Sequence[str]) -> Iterator[str]:
    yield "| " + " | ".join(("data", "method", *metrics, "seconds", "note")) + " |"
    yield "|" + "---|" * (len(metrics) + 4)
    for row in rows:
        method = f"*{row['method']}* (trivial)" if row["trivial"] else row["method"]
        seeds = f"{len(row['seeds'])} seeds" if len(row["seeds"]) > 1 else ""
        note = "; ".join(part for part in (row["note"], seeds) if part)
        values = [f"{row['metrics'][name]:.4g}" for name in metrics]
        yield "| " + " | ".join((row["data"], method, *values, f"{row['seconds']:.1f}", note)) + " |"
