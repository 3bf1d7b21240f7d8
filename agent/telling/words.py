"""How numbers, times, names and citations are written: so that a person reads them easily and the check finds them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from agent.investigation import Finding
from core.evidence import Evidence, Interval

LONGEST_NAME = 90


def cite(*evidence: Evidence) -> str:
    """The citation of some evidence, e.g. "[E1, E3]"."""
    return "[" + ", ".join(dict.fromkeys(item.id for item in evidence)) + "]"


def name(text: object, most: int = LONGEST_NAME) -> str:
    """Text from a file, in backticks: one line, no markup of its own, cut when longer than `most` characters.

    >>> name("tile_04.jpg")
    '`tile_04.jpg`'
    >>> name("a`b" + chr(10) + "# c")
    "`a'b # c`"
    """
    plain = " ".join(str(text).replace("`", "'").split())
    return f"`{plain}`" if len(plain) <= most else f"`{plain[:most].rstrip()}`…"


def number(value: float) -> str:
    """A number as short as it is useful: 3 significant digits, thousands with commas, no exponent between 1e-4 and 1e15.

    >>> [number(v) for v in (0.12345, 12.0, 48210.4, 3.0e-7)]
    ['0.123', '12', '48,210', '3e-07']
    """
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def count(n: int, one: str, many: str | None = None) -> str:
    """A number with its noun: "1 photo", "3 photos"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def moment(seconds: float, *, base: str = "elapsed", epoch_s: float | None = None, whole: bool = False) -> str:
    """A time on the source's own base: UTC stamp, m:ss, seconds, or a step.

    >>> moment(75.0), moment(14.26), moment(3725.0), moment(7.0, base="index"), moment(60.0, base="clock", epoch_s=0.0)
    ('1:15', '0:14.3', '1:02:05', 'step 7', '1970-01-01 00:01:00')
    """
    if base == "index":
        return f"step {number(seconds)}"
    if base == "clock" and epoch_s is not None:
        return datetime.fromtimestamp(epoch_s + seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    tenth = round(max(seconds, 0.0), 0 if whole or seconds >= 3600 else 1)
    minutes, rest = divmod(tenth, 60)
    hours, minutes = divmod(int(minutes), 60)
    tail = f"{rest:04.1f}" if rest != int(rest) else f"{int(rest):02d}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"


def duration(seconds: float, *, base: str = "elapsed") -> str:
    """A length of time in one unit: "3.2 s", "4.5 min", "2.1 h", "1.5 days"; steps when time is an index.

    The unit's number is printed with the seconds it stands for only below two minutes, so it is a fact elsewhere.
    """
    return f"{number(seconds)} steps" if base == "index" else f"{number(round(seconds, 1))} s"


def against_threshold(evidence: Evidence) -> str:
    """A score beside its threshold: "0.42, the threshold 0.5"."""
    return f"{number(evidence.score or 0.0)}, the threshold {number(evidence.threshold or 0.0)}"


def span(finding: Finding) -> tuple[float, float, float]:
    """(start, end, peak) seconds of a finding in time."""
    locus = finding.evidence.locus
    assert isinstance(locus, Interval)
    return locus.start_s, locus.end_s, locus.peak_s


def how_bad(finding: Finding) -> str:
    """A finding's severity in words."""
    facts = finding.evidence.facts
    return f"{facts['severity']} ({number(fact_number(facts, 'severity_score'))} of 100)"


def fact_number(facts: Mapping[str, Any], key: str) -> float:
    """A numeric fact."""
    return float(facts[key])


def listed(parts: Sequence[str]) -> str:
    """Parts joined as a person would: "a", "a and b", "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""
