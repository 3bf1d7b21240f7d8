"""Evidence as rows of text for a language model: what, where, when, how strong, with every time and number as it may be quoted.

Text that comes out of files is fenced in « and », and cannot close the fence itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.telling.words import moment, number
from core.evidence import Box, EventRows, Evidence, Interval, Path, Region

LONGEST_TEXT = 160
MOST_ITEMS = 8
MOST_ROWS = 40
_INNER = frozenset(("epoch_s", "time_base", "said", "severity_of", "calibrated", "offset", "unit"))


def fenced(text: object) -> str:
    """Text from a file between « and », on one line, cut when long, unable to end the fence.

    >>> fenced("a»b" + chr(10) + "c")
    '«a›b c»'
    """
    plain = " ".join(str(text).replace("«", "‹").replace("»", "›").replace("`", "'").split())
    return f"«{plain if len(plain) <= LONGEST_TEXT else plain[:LONGEST_TEXT].rstrip() + '…'}»"


def evidence_rows(evidence: Sequence[Evidence]) -> list[str]:
    """One row for each piece of evidence, at most `MOST_ROWS`."""
    rows = [evidence_row(item) for item in evidence[:MOST_ROWS]]
    return rows + [f"({len(evidence) - MOST_ROWS} more are not shown)"] * (len(evidence) > MOST_ROWS)


def evidence_row(item: Evidence) -> str:
    """A row: id, tool, source, locus, score against threshold, facts.

    >>> from core.evidence import Whole
    >>> e = Evidence(id="E1", tool="t", version="1", parameters={}, source="a.csv", locus=Whole(sample="a.csv"), score=0.5,
    ...              threshold=0.25, facts={"events": 1, "peak_s": 75.0})
    >>> evidence_row(e)
    '[E1] t on «a.csv», the whole of it; score 0.5 against the threshold 0.25; events 1; peak 1:15'
    """
    if "said" in item.facts:
        return f"[{item.id}] {fenced(item.facts['said'])}"
    when = _Clock.of(item)
    parts = [f"[{item.id}] {item.tool} on {fenced(item.source)}, {_where(item, when)}"]
    if item.score is not None:
        limit = "" if item.threshold is None else f" against the threshold {number(item.threshold)}"
        parts.append(f"score {number(item.score)}{limit}")
    parts += [
        _fact(key, value, when) for key, value in item.facts.items() if key not in _INNER and value not in (None, "", [], {})
    ]
    return "; ".join(parts)


class _Clock:
    """Prints the times of one piece of evidence on its own base."""

    def __init__(self, base: str, epoch_s: float | None) -> None:
        self.base, self.epoch_s = base, epoch_s

    @classmethod
    def of(cls, item: Evidence) -> _Clock:
        epoch = item.facts.get("epoch_s")
        clock = isinstance(epoch, int | float)
        base = str(item.facts.get("time_base") or ("clock" if clock else "elapsed"))
        return cls(base, float(epoch) if isinstance(epoch, int | float) else None)

    def __call__(self, seconds: float) -> str:
        return moment(seconds, base=self.base, epoch_s=self.epoch_s)


def _where(item: Evidence, when: _Clock) -> str:
    locus = item.locus
    if isinstance(locus, Interval):
        box = "" if locus.box is None else f", {_box(locus.box)}"
        return f"from {when(locus.start_s)} to {when(locus.end_s)}, peak {when(locus.peak_s)}{box}"
    if isinstance(locus, Region):
        return f"{fenced(locus.sample)}, {_box(locus.box)}"
    if isinstance(locus, Path):
        return "the chain " + " → ".join(map(fenced, locus.entities[:MOST_ITEMS]))
    if isinstance(locus, EventRows):
        return "rows " + ", ".join(map(str, locus.rows[:MOST_ITEMS]))
    return "the whole of it"


def _box(box: Box) -> str:
    left, top, right, bottom = map(number, box)
    return f"box x {left}–{right}, y {top}–{bottom} pixels"


def _fact(key: str, value: Any, when: _Clock) -> str:
    said = key.removesuffix("_s").removesuffix("_percent").replace("_", " ")
    if isinstance(value, bool):
        return f"{said} {'yes' if value else 'no'}"
    if isinstance(value, int | float):
        if key in ("length_s", "duration_s", "unit_s", "period_s", "abnormal_s"):
            return f"{said} {number(value)} s"
        if key.endswith("_s"):
            return f"{said} {when(float(value))}"
        return f"{said} {number(value)}{' %' if key.endswith('_percent') else ''}"
    if isinstance(value, str):
        return f"{said} {value if key in _OWN else fenced(value)}"
    if isinstance(value, Mapping):
        unit = " %" if key.endswith("_percent") else ""
        return f"{said}: " + ", ".join(f"{fenced(k)} {_plain(v)}{unit}" for k, v in list(value.items())[:MOST_ITEMS])
    if key == "did":
        return "did: " + " | ".join(
            f"row {row}{'' if second is None else ', ' + when(float(second))}: {fenced(text)}"
            for row, second, text in value[:MOST_ITEMS]
        )
    items = [_item(v, when) if isinstance(v, Mapping) else when(float(v)) if key.endswith("_s") else _plain(v) for v in value]
    return f"{said}: " + ", ".join(items[:MOST_ITEMS])


_OWN = frozenset(("severity", "severity_why", "what", "place", "kind", "shape", "where", "fate", "lag"))
"""Facts whose text is Telltale's own."""


def _item(value: Mapping[str, Any], when: _Clock) -> str:
    return "(" + ", ".join(_fact(str(k), v, when) for k, v in value.items() if v not in (None, "", [], {})) + ")"


def _plain(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(float(value))
    return fenced(value) if isinstance(value, str) else str(value)
