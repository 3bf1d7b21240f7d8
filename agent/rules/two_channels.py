"""Reading one channel held against another: "motor_temp more than 10 °C above bearing_temp", "inlet and outlet differ by 2 bar"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from agent.question import SourceInfo
from agent.reading.channels import find_channels
from agent.rules.conditions import How, SeriesCondition
from agent.rules.numbers import find_lasting, find_rows
from agent.rules.series_words import APART, BESIDE, BESIDE_BY, QUANTITY_WORD, channel_of, comparison_in, shown_unit


def all_channels(sources: Sequence[SourceInfo]) -> SourceInfo:
    """All channels of the series in the chat as one, so that their units are known."""
    series = [s for s in sources if s.kind == "series"]
    channels = tuple(c for s in series for c in s.channels)[:500]
    units = tuple(u for s in series for u in s.units)[:500]
    return SourceInfo(name="series", kind="series", channels=channels, units=units)


def channel_names(sources: Sequence[SourceInfo]) -> frozenset[str]:
    """The names of all channels, lower case."""
    return frozenset(c.lower() for s in sources for c in s.channels)


def names_channel(text: str, sources: Sequence[SourceInfo]) -> bool:
    """True when a text names a channel of one of the series."""
    return any(find_channels(text, s).channels for s in sources if s.kind == "series")


def read_two_channels(text: str, sources: Sequence[SourceInfo]) -> tuple[SeriesCondition, str, list[str]] | None:
    """Two channels held against each other: "motor_temp more than 10 °C above bearing_temp", "in and out differ by more than 2"."""
    values: dict[str, Any] = {}
    left = text
    if (rows := find_rows(left)) is not None:
        values["for_rows"] = int(rows.value)
        left = left[: rows.a] + " " + left[rows.b :]
    if (lasting := find_lasting(left)) is not None:
        values |= {"for_s": lasting.value, "for_at_least": lasting.at_least}
        left = left[: lasting.a] + " " + left[lasting.b :]
    left = " ".join(left.split())
    apart, beside = APART.match(left), BESIDE_BY.match(left) or BESIDE.match(left)
    for match in (apart, beside):
        if match is None or comparison_in(match["b"], all_channels(sources)) is not None:
            continue
        (a, rest_a), (b, rest_b) = (channel_of(match[x], sources, "") for x in ("a", "b"))
        shared = QUANTITY_WORD.search(b.rpartition(" ")[2]) if match is apart and a and not _is_channel(a, sources) else None
        a = f"{a} {shared[0]}" if shared is not None else a  # "inlet and outlet temperature"
        if not (a and b and _is_channel(a, sources) and _is_channel(b, sources)) or "*" in (a, b):
            continue
        if match is apart and not re.search(r"\b(?:differ|deviat|difference|delta|gap|deviation|distance|apart)", left):
            continue
        n, unit = float(match["n"] or 0.0), shown_unit(match["u"] or "")
        if unit == "%":
            return None
        if match is apart:
            less = match["h"] in ("less than", "below", "under")
            values |= {"channel": a, "minus": b, "how": "between" if less else "outside", "low": -n, "high": n}
            return SeriesCondition(unit=unit, **values), f"{rest_a} {rest_b}".strip(), []
        first, second = (a, b) if match["up"] else (b, a)
        how: How = "at least" if match["or"] or (match["n"] and not match["m"]) else _HOW_FAR.get(match["m"] or "", "above")
        values |= {"channel": first, "minus": second, "how": how, "low": n, "high": n}
        return SeriesCondition(unit=unit, **values), f"{rest_a} {rest_b}".strip(), []
    return None


_HOW_FAR: dict[str, How] = {
    "at least": "at least",
    "less than": "below",
    "below": "below",
    "under": "below",
    "at most": "at most",
}


def _is_channel(words: str, sources: Sequence[SourceInfo]) -> bool:
    return _CHANNEL_LIKE.search(words) is not None or QUANTITY_WORD.search(words) is not None or names_channel(words, sources)


_CHANNEL_LIKE = re.compile(r"\w_\w|\b(?:set ?points?|set value|target(?: value)?|demand|reference)\b")
