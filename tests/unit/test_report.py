"""The pages of results: every row of every file stands on one, and rows of the parts of a set are folded away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.report import report, write_report

AROUND = {"commit": "abc", "date": "2026-01-02T03:04:05", "processor": "a CPU", "cores": 2, "memory_gb": 24, "python": "3.11",
          "load_at_start": 0.1}  # fmt: skip


def _row(data: str, method: str, **metrics: float) -> dict[str, Any]:
    return {
        "data": data,
        "method": method,
        "metrics": metrics,
        "seconds": 1.25,
        "note": "",
        "seeds": [0],
        "trivial": method == "random",
    }


def _kept(folder: Path, suite: str, *rows: dict[str, Any], complete: bool = True) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{suite}.json").write_text(json.dumps({"suite": suite, "complete": complete, **AROUND, "rows": rows}), "utf-8")


def test_a_suite_has_a_page_and_a_line_in_the_list(tmp_path: Path) -> None:
    _kept(tmp_path, "series", _row("smd (2)", "random", auroc=0.5), _row("smd a", "random", auroc=0.25), complete=False)
    pages = report(tmp_path)
    assert set(pages) == {"results.md", "results/series.md"}
    assert "[Sensor series](results/series.md): 2 rows, 2026-01-02. **Stopped early: rows are missing.**" in pages["results.md"]
    assert "| smd (2) | *random* (trivial) | 0.5 | 1.2 |" in pages["results/series.md"]


def test_the_parts_of_a_set_are_folded_where_their_mean_is_shown(tmp_path: Path) -> None:
    rows = [_row("smd (2)", "ours", auroc=0.8), _row("smd a", "ours", auroc=0.7), _row("smd b", "ours", auroc=0.9)]
    rows += [_row("nab c", "ours", auroc=0.6), _row("smd merged, one model (1)", "ours", auroc=0.75)]
    _kept(tmp_path, "series", *rows)
    shown, folded = report(tmp_path)["results/series.md"].split("<details>")
    assert [row["data"] in shown for row in rows] == [True, False, False, True, True]
    assert folded.startswith("<summary>Each of smd (2): 2 rows</summary>")
    assert "| smd a |" in folded
    assert "| smd b |" in folded


def test_pages_of_suites_that_are_no_more_are_removed(tmp_path: Path) -> None:
    _kept(tmp_path / "kept", "series", _row("smd a", "ours", auroc=0.7))
    (tmp_path / "docs" / "results").mkdir(parents=True)
    (tmp_path / "docs" / "results" / "gone.md").write_text("old", "utf-8")
    write_report(tmp_path / "kept", tmp_path / "docs")
    assert [path.name for path in (tmp_path / "docs" / "results").iterdir()] == ["series.md"]
    assert (tmp_path / "docs" / "results.md").is_file()
