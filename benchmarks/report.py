"""docs/results.md from benchmarks/results/*.json: one table per suite, trivial rows marked, circumstances stated."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
    "image_gpu": "Image systems on a GPU",
    "mad_bench": "Severity (MAD-Bench)",
    "trip": "TriP-LLM on sensor series",
    "series_ensemble": "The ensemble on sensor series",
    "gid": "Paths of information flow (GID)",
}
"""Headings of suites whose name alone does not say what they measure."""


def write_report(results: Path, target: Path) -> None:
    """Write the report of every result file."""
    write_atomic(target, report(results).encode())


def report(results: Path) -> str:
    """The report as Markdown.

    >>> report(Path("nowhere")).splitlines()[0]
    '# Results'
    """
    suites = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))]
    return "\n".join([HEAD, *(_suite(suite) for suite in suites)])


def _suite(suite: Mapping[str, Any]) -> str:
    early = "" if suite.get("complete", True) else " **Stopped early: rows are missing.**"
    lines = [
        f"## {TITLES.get(suite['suite'], suite['suite'].capitalize())}", "",
        f"Commit `{suite['commit']}`, {suite['date'][:10]}, {suite['processor']}, {suite['cores']} cores, {suite['memory_gb']} GB, "
        f"{suite.get('gpu', '') and suite['gpu'] + ', '}"
        f"Python {suite['python']}; load at start {suite['load_at_start']}.{early}", "",
    ]  # fmt: skip
    tables: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in suite["rows"]:
        tables.setdefault(tuple(row["metrics"]), []).append(row)
    for metrics, rows in tables.items():
        lines += ["| " + " | ".join(("data", "method", *metrics, "seconds", "note")) + " |", "|" + "---|" * (len(metrics) + 4)]
        lines += [_line(row, metrics) for row in rows]
        lines.append("")
    return "\n".join(lines)


def _line(row: Mapping[str, Any], metrics: tuple[str, ...]) -> str:
    method = f"*{row['method']}* (trivial)" if row["trivial"] else row["method"]
    seeds = f"{len(row['seeds'])} seeds" if len(row["seeds"]) > 1 else ""
    note = "; ".join(part for part in (row["note"], seeds) if part)
    values = [f"{row['metrics'][name]:.4g}" for name in metrics]
    return "| " + " | ".join((row["data"], method, *values, f"{row['seconds']:.1f}", note)) + " |"
