"""Rows of an event log in words: quoted at a length a person reads, with times and row numbers.

A long quotation is cut at word and path borders into an exact head and an exact tail with "…" outside the backticks, so that the check
finds both in the evidence, which keeps the whole text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from agent.telling.words import moment, name

LONGEST = 120
_HEAD, _TAIL = 72, 44


def quote(text: object) -> str:
    r"""Text from a log in backticks, the middle left out when it is long.

    >>> quote("a.exe started b.exe")
    '`a.exe started b.exe`'
    >>> print(quote('p.exe changed the registry value "HKU\\S-1-5-21-1001\\Software\\Microsoft\\Windows\\CurrentVersion\\Run\\'
    ...             'A Rather Long Name That Goes On\\SvcUpd"'))
    `p.exe changed the registry value "HKU\S-1-5-21-1001\Software\Microsoft\`…`Run\A Rather Long Name That Goes On\SvcUpd"`
    """
    plain = " ".join(str(text).replace("`", "'").split())
    if len(plain) <= LONGEST:
        return f"`{plain}`"
    # a long word at the end (an encoded command) is no tail worth showing; the head may be longer then
    borders = [m.end() for m in re.finditer(r"[\\/ ]", plain)]
    tail = min((b for b in borders if len(plain) - _TAIL <= b < len(plain)), default=None)
    longest = LONGEST if tail is None else _HEAD
    head = max((b for b in borders if longest // 2 <= b <= longest), default=longest)
    return f"`{plain[:head].strip()}`…" + (f"`{plain[tail:].strip()}`" if tail is not None and tail > head else "")


def short(entity: str) -> str:
    """The last part of a path, which is what people call a process.

    >>> short("C:/Windows/System32/cmd.exe")
    'cmd.exe'
    """
    return entity.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] or entity


def called(entities: Sequence[str]) -> list[str]:
    """Short names of entities in backticks, each once."""
    return list(dict.fromkeys(name(short(entity)) for entity in entities))


def time_of(facts: Any, seconds: float) -> str:
    """A time of a log: a UTC stamp where the log has a clock, else what has passed since its first event."""
    epoch = facts.get("epoch_s")
    return moment(seconds, base="elapsed" if epoch is None else "clock", epoch_s=epoch)


def rows_said(facts: Any, cited: str, most: int = 8) -> list[str]:
    """One line per row that is shown, with its time and its citation."""
    return [
        f"- Row {row}{f', {time_of(facts, seconds)}' if seconds is not None else ''}: {quote(text)} {cited}."
        for row, seconds, text in facts["did"][:most]
    ]
