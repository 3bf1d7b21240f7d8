"""Events of a log as sentences, and how harmful what they did is by its nature."""

from __future__ import annotations

import re
from collections.abc import Sequence

from core.samples import EVENT_ROLES, EventLog
from tools.events.wording import FULL, SECRETS, Deed, clean, reads_memory, step, sure_deed

_HARM: dict[Deed, tuple[float, str]] = {
    "inject": (75.0, "; code was injected into another process"),
    "tamper": (75.0, "; a process was tampered with"),
    "driver": (60.0, "; a driver was loaded"),
    "service": (50.0, "; a service was installed"),
    "task": (50.0, "; a task was scheduled"),
    "connect": (45.0, "; it opened a network connection"),
    "write": (40.0, "; it wrote files"),
}
VALUES_SAID = 12
"""Columns of a plain table that are told of a row."""
READ = (80.0, "; the memory that holds log-on secrets was opened")
OPENED = (50.0, "; the process that holds log-on secrets was opened, with which right the log does not say")
"""Lowest severity scores of suspicious deeds, however slightly they pass the threshold, and the reason in words."""
GRAVE = 75.0
"""Lowest harm of acts that are told even where they are not rare."""


def _text(log: EventLog, index: int, column: str) -> str:
    """A value of a row as text, empty when missing."""
    value = log.table[column][index] if column in log.table.columns else None
    return "" if value is None else str(value)


def say_row(log: EventLog, index: int) -> str:
    """What the event at `index` (from 0) of the log says, in plain words and at length: who shows it shortens it."""
    operation, subject, thing, detail, kind = (
        _text(log, index, c) for c in ("operation", "subject", "object", "detail", "object_type")
    )
    if log.attributes and sum(text.strip() != "" for text in (operation, subject, thing)) < 2:
        return _values(log, index)
    return step(operation, subject, thing, detail, kind, limit=FULL)


def _values(log: EventLog, index: int) -> str:
    """A row of a table that does not say who did what: its columns and what they hold.

    >>> import polars as pl
    >>> log = EventLog(name="t", roles={"operation": "proto"}, table=pl.DataFrame({"row": [1], "time_s": [0.0], "subject": [""],
    ...     "operation": ["tcp"], "object": [""], "attr:flag": ["S0"], "attr:bytes": [None]}))
    >>> say_row(log, 0)
    'proto "tcp", flag "S0"'
    """
    columns = [(log.roles.get(role, role), _text(log, index, role)) for role in EVENT_ROLES]
    columns += [(column[5:], _text(log, index, column)) for column in log.attributes]
    said = [f'{clean(called, 40)} "{clean(text, 80)}"' for called, text in columns if text.strip()]
    return ", ".join(said[:VALUES_SAID]) + (f" and {len(said) - VALUES_SAID} more" if len(said) > VALUES_SAID else "")


def deeds_of(log: EventLog, indices: Sequence[int]) -> tuple[str, ...]:
    """What each of some events did, with its whole command line, for a look into the severity table."""
    columns = ("operation", "object", "detail")
    return tuple(" ".join(_text(log, index, column) for column in columns) for index in indices)


def grave(log: EventLog) -> list[int]:
    """The events of a log, as indices, that are harmful by their nature whoever does them: secrets read, code injected, tampering."""
    import polars as pl

    acts = [op for op in log.table["operation"].unique().to_list() if sure_deed(str(op or "")) in ("inject", "tamper", "access")]
    likely = log.table.with_row_index("_at").filter(pl.col("operation").is_in(acts))["_at"].to_list()
    return [index for index in likely if harm_of(log, [index])[0] >= GRAVE]


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
