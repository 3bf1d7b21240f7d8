"""`python -m benchmarks.run SUITE [--quick] [--data DIR]`: measure a suite, print its table, write benchmarks/results/SUITE.json.

A suite is a module `benchmarks/tasks_<suite>.py` with `rows(data, *, quick)`; `all` runs every one. Quick runs are smoke tests: they
print and write nothing. Results carry commit, date, hardware, versions, seeds, seconds and peak memory, and are never edited by hand.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.report import write_report
from benchmarks.rows import Row
from core.archive import write_atomic
from core.errors import UnknownName

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
DATA = Path(os.environ.get("TELLTALE_DATA", FOLDER.parents[1] / "shared" / "data"))
PACKAGES = (
    "torch",
    "timm",
    "numpy",
    "scipy",
    "scikit-learn",
    "polars",
    "av",
    "opencv-contrib-python-headless",
    "opencv-python-headless",
)


def suites() -> list[str]:
    """The names of all suites, from the files that define them."""
    return sorted(path.stem.removeprefix("tasks_") for path in FOLDER.glob("tasks_*.py"))


def circumstances() -> dict[str, Any]:
    """Where and with what a suite was measured."""
    import psutil

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "commit": _commit(), "date": datetime.now(UTC).isoformat(timespec="seconds"), "python": platform.python_version(),
        "machine": platform.machine(), "processor": _processor(), "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30), "gpu": _gpu(),
        "load_at_start": round(os.getloadavg()[0], 2), "versions": versions,
    }  # fmt: skip


def _commit() -> str:
    """The commit that is measured, with "+" when the code differs from it; TELLTALE_COMMIT names it for a copy without history."""
    if named := os.environ.get("TELLTALE_COMMIT"):
        return named
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"], cwd=FOLDER, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def _gpu() -> str:
    """The CUDA device that models run on, or nothing."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else ""


def measure(suite: str, data: Path, around: dict[str, Any], *, quick: bool) -> None:
    """Run a suite, showing and (unless quick) storing each row as it is finished, so that a killed run keeps its rows."""
    from rich.console import Console

    console = Console()
    console.rule(suite)
    rows: list[Row] = []
    for row in import_module(f"benchmarks.tasks_{suite}").rows(data, quick=quick):
        rows.append(row)
        found = "  ".join(f"{name} {value:.4g}" for name, value in row.metrics.items())
        console.print(f"{row.data:32} {row.method:40} {found}  {row.seconds:.1f} s  {row.note}", soft_wrap=True, highlight=False)
        if not quick:
            store(suite, rows, around, complete=False)
    if rows and not quick:
        store(suite, rows, around, complete=True)


def store(suite: str, rows: Sequence[Row], around: dict[str, Any], *, complete: bool) -> None:
    """Write a suite's rows with their circumstances, atomically."""
    body = {"suite": suite, "complete": complete, **around, "rows": [asdict(row) for row in rows]}
    write_atomic(RESULTS / f"{suite}.json", (json.dumps(body, indent=1, ensure_ascii=False) + "\n").encode())


def main(
    suite: Annotated[str, typer.Argument(help="a suite, or 'all'")] = "all",
    quick: Annotated[bool, typer.Option("--quick", help="a smoke test: small subsets, nothing is written")] = False,
    data: Annotated[Path, typer.Option(help="folder of the real data sets")] = DATA,
) -> None:
    """Measure on real data and write benchmarks/results and docs/results."""
    logging.basicConfig(level=logging.ERROR)
    known = suites()
    if suite != "all" and suite not in known:
        raise typer.BadParameter(str(UnknownName.among("suite", suite, [*known, "all"])))
    for name in known if suite == "all" else [suite]:
        measure(name, data, circumstances(), quick=quick)
    if not quick:
        write_report(RESULTS, FOLDER.parent / "docs")


if __name__ == "__main__":
    typer.run(main)
