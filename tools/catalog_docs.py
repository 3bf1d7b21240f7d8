"""The catalogue as documentation: `python -m tools.catalog_docs` rewrites README's table and docs/detectors.md.

Both are made from the rows of tools.catalog and the classes' own docstrings, so that they can not drift; a test compares them.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from core.archive import write_atomic
from core.detector import DetectorSpec
from core.registry import Catalogue
from core.samples import KINDS, Kind
from tools.catalog import ROWS

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- detectors: made by python -m tools.catalog_docs -->", "<!-- end of detectors -->"
KIND_TITLES: dict[Kind, str] = {"image": "photos", "points": "3D scans", "video": "video", "series": "series", "events": "events"}


def table() -> str:
    """README's table, one line per detector, by kind.

    >>> table().splitlines()[0]
    '| detector | for | what it is for | normal data | speed |'
    """
    lines = ["| detector | for | what it is for | normal data | speed |", "|---|---|---|---|---|"]
    rows = [row for kind in KINDS for row in ROWS if row.kind == kind]
    for row in rows:
        link = f"[`{row.name}`](docs/detectors.md#{row.name})"
        lines.append(f"| {link} | {KIND_TITLES[row.kind]} | {row.use} | {_normals(row)} | {row.cost} |")
    return "\n".join(lines)


def page() -> str:
    """docs/detectors.md: every detector with when to use it, its source, its arguments and its own words."""
    known = Catalogue(ROWS)
    parts = ["# Detectors", "Made from the catalogue by `python -m tools.catalog_docs`; do not edit by hand."]
    for row in ROWS:
        cls = known.detector_class(row.name)
        parameters = [p for name, p in inspect.signature(cls.__init__).parameters.items() if name != "self"]
        arguments = ", ".join(f"`{p.name}={p.default!r}`" for p in parameters) or "none"
        module = inspect.getdoc(sys.modules[cls.__module__]) or ""
        parts += [
            f"## {row.name}",
            f"{row.use} Avoid when {row.avoid_when}.",
            "\n".join([
                f"- kind: {KIND_TITLES[row.kind]}; normal data: {_normals(row)}; speed: {row.cost}; weights: {row.needs}",
                f"- source: {row.paper}",
                f"- licence: {row.licence}; version {row.version}; class `{row.class_path}`",
                f"- arguments (`telltale detect {row.name} INPUT --set name=value --out DIR`): {arguments}",
            ]),
            "```text\n" + module.strip() + "\n\n" + (inspect.getdoc(cls) or "").strip() + "\n```",
        ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def readme(text: str) -> str:
    """README's `text` with the table between its markers renewed."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _normals(row: DetectorSpec) -> str:
    if row.labelled:
        return "needed, and abnormal data too"
    return "needed" if row.needs_fit else "sharpens it"


def main() -> None:
    """Rewrite both files."""
    path = ROOT / "README.md"
    write_atomic(path, readme(path.read_text(encoding="utf-8")).encode())
    write_atomic(ROOT / "docs" / "detectors.md", page().encode())


if __name__ == "__main__":
    main()
