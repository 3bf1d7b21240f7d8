"""Events of a log as sentences, and how harmful what they did is by its nature."""

from __future__ import annotations

from collections.abc import Sequence

from core.samples import EventLog
from tools.events.wording import Deed, deed, step

_HARM: dict[Deed, tuple[float, str]] = {
    "inject": (75.0, "; code was injected into another process"),
    "tamper": (75.0, "; a process was tampered with"),
    "driver": (60.0, "; a driver was loaded"),
    "service": (50.0, "; a service was installed"),
    "task": (50.0, "; a task was scheduled"),
    "connect": (45.0, "; it opened a network connection"),
    "write": (40.0, "; it wrote files"),
}
SECRETS = (80.0, "; the memory that holds log-on secrets was opened")
"""Lowest severity scores of suspicious deeds, however slightly they pass the threshold, and the reason in words."""


def say_row(log: EventLog, index: int) -> str:
    """What the event at `index` (from 0) of the log says, in plain words."""
    row = log.table.row(index, named=True)

    def text(column: str) -> str:
        value = row.get(column)
        return "" if value is None else str(value)

    return step(text("operation"), text("subject"), text("object"), text("detail"), text("object_type"))


def harm_of(log: EventLog, indices: Sequence[int]) -> tuple[float, str]:
    """The most harmful deed among some events: its lowest severity score (0 when harmless by nature) and its words."""
    worst = (0.0, "")
    for index in indices:
        kind = deed(str(log.table["operation"][index] or ""))
        found = SECRETS if kind == "access" and "log-on secrets" in say_row(log, index) else _HARM.get(kind, worst)
        worst = max(worst, found)
    return worst
