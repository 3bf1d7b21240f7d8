"""Columns for the terminal."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns; the last one wraps on a tty and stays whole elsewhere.

    >>> print_table(("model", "size"), [("MiniLM", "84 MB")])
    model   size
    MiniLM  84 MB
    """
    widths = [max(len(str(row[i])) for row in [header, *rows]) for i in range(len(header) - 1)]
    room = max(30, shutil.get_terminal_size().columns - sum(widths) - 2 * len(widths)) if sys.stdout.isatty() else 10_000
    for row in [header, *rows]:
        lines = textwrap.wrap(str(row[-1]), room) or [""]
        start = "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=False))
        print(f"{start}  {lines[0]}")
        for line in lines[1:]:
            print(" " * (sum(widths) + 2 * len(widths)) + line)
