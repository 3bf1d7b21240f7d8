"""The phrases of `phrases.txt`, by what they claim: each section is one pattern."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path


@cache
def phrases(name: str) -> re.Pattern[str]:
    """The pattern of a section, in any case; a section of words matches whole words only.

    >>> phrases("fine").search("All is in order.")[0], phrases("fine").search("finely")
    ('in order', None)

    Raises:
        KeyError: there is no such section.
    """
    return _sections()[name]


@cache
def _sections() -> dict[str, re.Pattern[str]]:
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in (Path(__file__).parent / "phrases.txt").read_text(encoding="utf-8").splitlines():
        if re.fullmatch(r"\[[a-z ]+\]", line):
            lines = found.setdefault(line[1:-1], [])
        elif line and not line.startswith("#"):
            lines.append(line)
    whole = {name.removesuffix(" words"): (name.endswith(" words"), "|".join(lines)) for name, lines in found.items()}
    return {name: re.compile(rf"\b(?:{lines})\b" if words else lines, re.IGNORECASE) for name, (words, lines) in whole.items()}
