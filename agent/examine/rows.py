"""Events of a log as sentences, and how harmful what they did is by its nature."""

from __future__ import annotations

import re
from collections.abc import Sequence

from core.samples import EventLog
from tools.events.wording import FULL, SECRETS, Deed, reads_memory, step, sure_deed

_HARM: dict[Deed, tuple[float, str]] = {
    "inject": (75.0, "; code was injected into another process"),
    "tamper": (75.0, "; a process was tampered with"),
    "driver": (60.0, "; a driver was loaded"),
    "service": (50.0, "; a service was installed"),
    "task": (50.0, "; a task was scheduled"),
    "connect": (45.0, "; it opened a network connection"),
    "write": (40.0, "; it wrote files"),
}
READ = (80.0, "; the memory that holds log-on secrets was opened")
OPENED = (50.0, "; the process that holds log-on secrets was opened, with which right the log does not say")
"""Lowest severity scores of suspicious deeds, however slightly they pass the threshold, and the reason in words."""


def _text(log: EventLog, index: int, column: str) -> str:
    """A value of a row as text, empty when missing."""
    value = log.table[column][index] if column in log.table.columns else None
    return "" if value is None else str(value)


def say_row(log: EventLog, index: int) -> str:
    """What the event at `index` (from 0) of the log says, in plain words and at length: who shows it shortens it."""
    operation, subject, thing, detail, kind = (
        _text(log, index, c) for c in ("operation", "subject", "object", "detail", "object_type")
    )
    return step(operation, subject, thing, detail, kind, limit=FULL)


def deeds_of(log: EventLog, indices: Sequence[int]) -> tuple[str, ...]:
    """What each of some events did, with its whole command line, for a look into the severity table."""
    columns = ("operation", "object", "detail")
    return tuple(" ".join(_text(log, index, column) for column in columns) for index in indices)


def harm_of(log: EventLog, indices: Sequence[int]) -> tuple[float, str]:
    """The most harmful deed among some events: its lowest severity score (0 when harmless by nature) and its words."""
    worst = (0.0, "")
    for index in indices:
        detail = _text(log, index, "detail")
        kind = sure_deed(_text(log, index, "operation"), _text(log, index, "object"), detail)
        found = _HARM.get(kind, worst)
        if kind == "access" and re.search(SECRETS, _text(log, index, "object").strip()):
            able = reads_memory(detail)
            found = READ if able else OPENED if able is None else worst
        worst = max(worst, found)
    return worst
