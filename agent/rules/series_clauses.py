"""Taking a definition about readings apart at its "or" and "and", where each side compares something."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.question import SourceInfo
from agent.rules.numbers import find_lasting, find_rows
from agent.rules.series_words import CHANGE, STATE, comparison_in
from agent.rules.two_channels import all_channels


def clauses_of(text: str, sources: Sequence[SourceInfo]) -> list[str]:
    """Parts joined by "or" and "and" that each hold a comparison; "between 5 and 7" stays whole."""
    info = all_channels(sources)
    parts = [text]
    for joint in (r"\s*,?\s+or\s+", r"\s*,?\s+and\s+"):
        split = [p for part in parts for p in _cut(part, joint, info)]
        parts = split
    return parts


def _cut(text: str, joint: str, info: SourceInfo) -> list[str]:
    for match in re.finditer(joint, text):
        left, right = text[: match.start()], text[match.end() :]
        if _compares(left, info) and _compares(right, info):
            return [left, *_cut(right, joint, info)]
    return [text]


def _compares(text: str, info: SourceInfo) -> bool:
    for find in (find_lasting, find_rows):
        if (lasting := find(text)) is not None:
            text = f"{text[: lasting.a]} {text[lasting.b :]}"
    bare = re.sub(r"\b(?:between|from|outside)\b.*$", "", text) if not re.search(r"\d.*\b(?:and|to)\b.*\d", text) else text
    return comparison_in(bare, info) is not None or STATE.match(text.strip()) is not None or CHANGE.search(bare) is not None
