"""What a question asks about readings: "above 5 mm/s", "between 20 and 30", "the highest", "on average", "the first reading".

Comparisons need a number; a number with a unit of time ("over 5 minutes") is a duration and no reading. `times` of a question are
read elsewhere, and `blank_values` hides values from that reader: "was flow between 20 and 30?" names no time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from agent.question import SourceInfo
from agent.reading.names import NUMBERS
from agent.reading.phrases import either, headed

How: TypeAlias = Literal["above", "at least", "below", "at most", "between", "outside"]
Wanted: TypeAlias = Literal["highest", "lowest", "average", "first", "last"]
_NUMBER = r"[-−+]?\d{1,12}(?:\.\d{1,9})?"
_UNIT = r"(?:°\s?[cfk]?\b|%|[a-zµ°][a-z0-9µ²³^/%·]{0,7}(?:\s(?:celsius|fahrenheit|[cf])\b)?)"
_TIME_UNIT = re.compile(r"(?:milli)?sec\w*|s|ms|min\w*|hours?|hrs?|h|days?|weeks?|months?|years?|am|pm|o")
_SAME_UNIT = {
    "°": "°", "degree": "°", "degrees": "°", "deg": "°", "c": "°c", "celsius": "°c", "fahrenheit": "°f", "amp": "a", "amps": "a",
    "ampere": "a", "amperes": "a", "volt": "v", "volts": "v", "watt": "w", "watts": "w", "percent": "%", "bars": "bar",
}  # fmt: skip
_KNOWN = frozenset(
    ("°", "°c", "°f", "°k", "k", "bar", "mbar", "psi", "pa", "kpa", "mpa", "hpa", "atm", "a", "ma", "v", "mv", "kv", "w", "kw", "mw", "%",
     "rpm", "hz", "khz", "g", "mm/s", "m/s", "m/s2", "km/h", "mm", "cm", "l/min", "l/s", "m3/h", "lpm", "gpm", "nm", "kg", "kwh")
)  # fmt: skip
_AFTER_COUNT = re.compile(
    r"\s*(?:$|[?!.,;:)]|(?:on|in|at|between|during|after|before|for|and|or|but|today|yesterday|ever|when|from|since|until|while|then|once"
    r"|anywhere|there|again|the|this|last|how|if)\b)"
)
_DOWN = re.compile(
    r"\b(?:below|under|beneath|less|lower|fewer|short of|down|dropp?(?:ed|s|ing)?|f[ae]ll(?:s|en|ing)?|sank|sinks?|dip\w*|minimum)\b"
)
_UP = re.compile(
    r"\b(?:above|over|exceed\w*|more|higher|greater|beyond|past|top(?:s|ped)?|reach\w*|hits?|up|ros?en?|rises?|climb\w*|maximum|break|broke)\b"
)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A condition on readings: `low` (and `high` for "between" and "outside"), and the unit as typed, "" without one."""

    how: How
    low: float
    high: float
    unit: str
    span: tuple[int, int]


def same_unit(unit: str) -> str:
    """A unit comparable with others: lower case, "degrees C" and "°C" alike.

    >>> same_unit("degrees C"), same_unit("m³/h"), same_unit("[bar]")
    ('°c', 'm3/h', 'bar')
    """
    plain = unit.lower().strip("[]() ").replace("²", "2").replace("³", "3").replace("^", "")
    joined = re.sub(r"(?:degrees?|deg|°)\s*(celsius|fahrenheit|[cfk])$", lambda m: "°" + m[1][0], plain).replace(" ", "")
    return _SAME_UNIT.get(joined, joined)


def find_comparison(text: str, source: SourceInfo) -> Comparison | None:
    """The first comparison of readings with a number in `text` (lower case).

    A range without a unit is one of values only where a channel is said to lie there: "was flow between 20 and 30"; else of time.

    >>> pump = SourceInfo(name="pump.csv", kind="series", channels=("flow",), units=("m3/h",))
    >>> found = find_comparison("did flow drop below 20?", pump)
    >>> found.how, found.low
    ('below', 20.0)
    >>> find_comparison("was flow high for more than 5 minutes?", pump) is None
    True
    """
    if source.kind != "series":
        return None
    known = _KNOWN | {same_unit(unit) for unit in source.units if unit}
    for how, pattern in _patterns():
        for match in pattern.finditer(text):
            unit, end = _unit_after(text, match.end(), known)
            if unit is None:
                continue
            if how == "between" and not unit and not _said_of_a_channel(text[: match.start()], source):
                continue
            low, high = _value(match["a"]), _value(match.groupdict().get("b") or match["a"])
            low, high = min(low, high), max(low, high)
            return Comparison(how=how, low=low, high=high, unit=unit, span=(match.start("a"), end))
    return None


def loose_comparison(text: str) -> Comparison | None:
    """A comparison in words that no pattern reads, where a question is known to make one; None without a number.

    The number nearest behind a word of direction counts, in digits or in words, but none that counts time.

    >>> found = loose_comparison("the inlet, did it ever go under one bar and for how long")
    >>> found.how, found.low
    ('below', 1.0)
    >>> loose_comparison("was it ever low for 10 minutes?") is None
    True
    """
    numbers = []
    for match in re.finditer(rf"(?<![\w.:])({_NUMBER}|{'|'.join(NUMBERS)})(?![\w:]*:\d)(?!\w)", text):
        unit, end = _unit_after(text, match.end(), _KNOWN)
        behind = re.compile(r"\s*([a-z]+)").match(text, match.end())
        if behind is None or unit or not _TIME_UNIT.fullmatch(behind[1]):
            value = float(NUMBERS[match[1]]) if match[1] in NUMBERS else _value(match[1])
            numbers.append((match.start(), value, unit or "", end))
    if not numbers:
        return None
    down, up = ([m.start() for m in pattern.finditer(text)] for pattern in (_DOWN, _UP))
    at, value, unit, end = min(numbers, key=lambda one: min((one[0] - d for d in (*down, *up) if d < one[0]), default=len(text)))
    nearest = {
        how: min((at - d for d in places if d < at), default=len(text)) for how, places in (("below", down), ("above", up))
    }
    how: How = "below" if nearest["below"] < nearest["above"] or (down and not up) else "above"
    return Comparison(how=how, low=value, high=value, unit=unit, span=(at, end))


def _patterns() -> list[tuple[How, re.Pattern[str]]]:
    """(condition, pattern with groups a and b), the ranges first: "outside 20 to 30" also holds a "to 30"."""
    found: list[tuple[How, re.Pattern[str]]] = []
    for title, words in headed("reading"):
        how = title.replace("_", " ")
        if how not in ("above", "at least", "below", "at most", "between", "outside"):
            continue
        tail = rf"(?:{words.pattern})\s*(?P<a>{_NUMBER})(?![\w.:]*:\d)(?:\.(?!\d))?"
        if how in ("between", "outside"):
            tail = rf"(?:{words.pattern})\s*(?P<a>{_NUMBER})(?!:)\s*(?:{_UNIT}\s*)?(?:and|to|-|or)\s*(?P<b>{_NUMBER})(?!:)"
        found.append((how, re.compile(tail)))  # type: ignore[arg-type]
    return found


def _value(text: str) -> float:
    return float(text.replace("−", "-"))


def _unit_after(text: str, at: int, known: frozenset[str]) -> tuple[str | None, int]:
    """(unit, end) of the number that ends at `at`: "" without a unit, None when it counts time or things."""
    match = re.compile(rf"\s*({_UNIT})(?!\w)").match(text, at)
    if match is not None and same_unit(match[1]) in known:
        return match[1], match.end(1)
    short = re.compile(r"\s*([a-z°%µ][a-z0-9/²³^]*)").match(text, at)
    if short is not None and _TIME_UNIT.fullmatch(short[1]):
        return None, at
    return ("", at) if _AFTER_COUNT.match(text, at) else (None, at)


def find_wanted(text: str) -> tuple[Wanted, ...]:
    """Which readings a question asks for, in the order of the table.

    >>> find_wanted("what is the highest bearing temp and when?"), find_wanted("average pressure")
    (('highest',), ('average',))
    """
    names: tuple[Wanted, ...] = ("highest", "lowest", "average", "first", "last")
    if either("reading of findings").search(text):
        return ()
    patterns = dict(headed("reading"))
    return tuple(name for name in names if patterns[f"wanted_{name}"].search(text))


def blank_values(text: str, source: SourceInfo) -> str:
    """`text` with the value that readings are compared with blanked, for a reader of times; same length.

    >>> blank_values("was flow above 60 m3/h at 3 pm", SourceInfo(name="p", kind="series", channels=("flow",), units=("m3/h",)))
    'was flow above         at 3 pm'
    """
    found = find_comparison(text, source)
    if found is None:
        return text
    a, b = found.span
    return text[:a] + " " * (b - a) + text[b:]


_LIES = re.compile(
    r"\b(?:is|are|was|were|be|been|stay\w*|remain\w*|lies?|lay|kept|keeps?|ranged?|values?|readings?|ever|always|not)\s+$"
)


def _said_of_a_channel(before: str, source: SourceInfo) -> bool:
    """True when what stands before a range is a verb of lying somewhere, or "was" and a channel."""
    from agent.reading.channels import find_channels

    if _LIES.search(before):
        return True
    inner = re.search(r"\b(?:is|are|was|were)\s+((?:[\w-]+\s+){1,4})$", before)
    if inner is None or either("reading state").search(inner[1]):
        return False
    named = find_channels(inner[1], source)
    rest = set(re.findall(r"[a-z]+", inner[1])) - {"the", "ever", "always", "its"}
    return bool(named.channels) and len(rest) <= len(named.spans) + 1
