"""What is known about kinds of anomaly: a table of types in words, each with a level or a weight and a reason, that a person may edit.

The table beside this module holds general knowledge (a scratch is minor, a missing part critical). A copy named `severity.toml` in
TELLTALE_HOME is used in its place; its head says how to write it. Nothing in it was fitted to a data set.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from core.archive import write_atomic
from core.errors import BadInput
from core.samples import KINDS
from core.settings import home as default_home

BUILT_IN = Path(__file__).with_suffix(".toml")
COPY = "severity.toml"
"""Name of the editable copy in TELLTALE_HOME."""
MOST_WEIGHT = 10.0
LONGEST_FILE = 1_000_000
"""Bytes of a table: far more than a person writes."""
_KEYS = ("words", "level", "weight", "kinds", "reason")
_HEADER = re.compile(r"\s*\[\[\s*type\s*\]\]\s*(#.*)?")
_ENDING = r"(?:s|es|ed|d|ing)?"
_BETWEEN = r" (?:(?:the|a|an|its|of) )*"
_ANY = r"(?: [^ ]+){0,40}? "


@dataclass(frozen=True, kw_only=True)
class KnownType:
    """A type of anomaly: how it is named, in which kinds of data (all when empty), its level 0–3 or None, its weight and why."""

    words: tuple[str, ...]
    level: int | None
    weight: float
    kinds: tuple[str, ...]
    reason: str

    @cached_property
    def patterns(self) -> tuple[tuple[str, re.Pattern[str]], ...]:
        """Each phrase with what finds it in text prepared by `plain`."""
        return tuple((phrase, re.compile(_pattern(phrase))) for phrase in self.words)


@dataclass(frozen=True, kw_only=True)
class Known:
    """A type that some text names, and the phrase by which it did."""

    phrase: str
    type: KnownType

    @property
    def said(self) -> str:
        """The phrase as it is told."""
        return self.phrase.replace("*", "…")


@dataclass(frozen=True, kw_only=True)
class SeverityTable:
    """The types of a table; `version` changes with its text, `origin` says where it was read."""

    types: tuple[KnownType, ...]
    origin: str
    version: str

    def known(self, text: str, kind: str | None = None) -> Known | None:
        """The worst type that `text` names in data of `kind` ("image", "series", …; None: any kind), or None.

        >>> found = built_in().known("two cracks near the rim", "image")
        >>> found.phrase, found.type.level
        ('crack', 2)
        >>> built_in().known("person standing on the track", "video").type.level
        3
        >>> built_in().known("firefox.exe was started", "events") is None
        True
        """
        return self.worst([text], kind)

    def worst(self, texts: Sequence[str], kind: str | None = None) -> Known | None:
        """The worst type that any of some texts names; a phrase must lie within one text."""
        prepared = {plain(text) for text in texts}
        found = [
            Known(phrase=phrase, type=known)
            for known in self.types
            if kind is None or not known.kinds or kind in known.kinds
            for phrase, pattern in known.patterns
            if any(pattern.search(text) for text in prepared)
        ]
        return max(found, key=lambda f: (-1 if f.type.level is None else f.type.level, f.type.weight), default=None)


def plain(text: str) -> str:
    """Lower case, words apart by single spaces with one at either end; all but letters and digits is space, ".exe" too.

    >>> plain("broken_large (Neck)"), plain("REG.EXE save")
    (' broken large neck ', ' reg save ')
    """
    words = re.findall(r"[^\W_]+", re.sub(r"\.exe\b", " ", text.casefold()))
    return f" {' '.join(words)} "


def _pattern(phrase: str) -> str:
    """What finds `phrase` in prepared text."""
    parts = [plain(part).split() for part in phrase.split("*")]
    found = [_BETWEEN.join(f"{re.escape(word)}{_ENDING}" for word in words) for words in parts if words]
    return f" {_ANY.join(found)} "


@cache
def built_in() -> SeverityTable:
    """The table that comes with Telltale."""
    return read_table(BUILT_IN)


def table_in_force(home: Path | None = None) -> SeverityTable:
    """The copy in TELLTALE_HOME when there is one, else the built-in table. It is read again when the file has changed.

    Raises:
        BadInput: the copy is damaged; the message names the line.
    """
    path = (home or default_home()) / COPY
    try:
        state = path.stat()
    except OSError:
        return built_in()
    return _read_again(path, state.st_mtime_ns, state.st_size)


@cache
def _read_again(path: Path, changed_ns: int, size: int) -> SeverityTable:
    return read_table(path)


def editable_copy(home: Path | None = None) -> Path:
    """Path of the copy in TELLTALE_HOME, made from the built-in table when there is none yet; an existing one stays as it is."""
    path = (home or default_home()) / COPY
    if not path.exists():
        write_atomic(path, BUILT_IN.read_bytes())
    return path


def read_table(path: Path) -> SeverityTable:
    """Read and check a table.

    Raises:
        BadInput: it cannot be read, is no TOML, or an entry is wrong; the message names the file, the line and what was expected.
    """
    try:
        data = path.read_bytes()
        if len(data) > LONGEST_FILE:
            raise BadInput(f"severity table {path.name!r}: expected at most {LONGEST_FILE:,} bytes, got {len(data):,}.")
        text = data.decode("utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        raise BadInput(f"severity table {path.name!r} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadInput(f"severity table {path.name!r}, line {line}: expected UTF-8 text, got another encoding.") from error
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"severity table {path.name!r}: {str(error)[:1].lower()}{str(error)[1:]}. {_CURE}") from error
    lines = _Lines(path.name, text)
    for key in values:
        if key != "type":
            lines.refuse(0, key, f"expected [[type]] entries only, got {key!r}")
    entries = values.get("type", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        lines.refuse(0, "type", "expected [[type]] with double brackets")
    types = tuple(_checked(entry, number, lines) for number, entry in enumerate(entries, start=1))
    return SeverityTable(types=types, origin=path.name, version=hashlib.sha256(data).hexdigest()[:12])


_CURE = "Mend it, or remove the file to use the built-in table."


class _Lines:
    """Where in a table's text an entry and its keys stand, so that an error can say so."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text.splitlines()
        self.headers = [i for i, line in enumerate(self.text, start=1) if _HEADER.fullmatch(line)]

    def line_of(self, number: int, key: str | None) -> int | None:
        """The line (from 1) of `key` in entry `number` (from 1; 0: before the entries), or of the entry itself; None if unknown."""
        if number > len(self.headers):
            return None
        first = self.headers[number - 1] if number else 1
        last = self.headers[number] - 1 if 0 < number < len(self.headers) else len(self.text)
        found = (
            i
            for i in range(first, last + 1)
            if key is not None and re.match(rf"\s*\[*\s*['\"]?{re.escape(key)}\b", self.text[i - 1])
        )
        return next(found, first if number else None)

    def refuse(self, number: int, key: str | None, problem: str) -> None:
        """Raise the error about an entry."""
        line = self.line_of(number, key)
        place = f", line {line}" if line else f", [[type]] number {number}" if number else ""
        raise BadInput(f"severity table {self.name!r}{place}: {problem}. {_CURE}")


def _checked(entry: Mapping[str, Any], number: int, lines: _Lines) -> KnownType:
    for key in entry:
        if key not in _KEYS:
            lines.refuse(number, key, f"unknown key {key!r}; expected {', '.join(_KEYS)}")
    words, kinds = (_texts(entry, number, lines, key) for key in ("words", "kinds"))
    if not words:
        lines.refuse(number, "words", "expected words, at least one phrase")
    for phrase in words:
        if not plain(phrase.replace("*", " ")).strip():
            lines.refuse(number, "words", f"expected letters or digits in a phrase, got {phrase!r}")
    for kind in kinds:
        if kind not in KINDS:
            lines.refuse(number, "kinds", f"unknown kind {kind!r}; expected {', '.join(KINDS)}")
    level, weight, reason = entry.get("level"), entry.get("weight", 1.0), entry.get("reason", "")
    if level is not None and (isinstance(level, bool) or level not in (0, 1, 2, 3)):
        lines.refuse(number, "level", f"level: expected 0 (none), 1 (minor), 2 (serious) or 3 (critical), got {level!r}")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= MOST_WEIGHT:
        lines.refuse(number, "weight", f"weight: expected a number above 0, at most {MOST_WEIGHT:g}, got {weight!r}")
    if level is None and "weight" not in entry:
        lines.refuse(number, None, "expected a level or a weight, got neither")
    if not isinstance(reason, str):
        lines.refuse(number, "reason", f"reason: expected text in quotes, got {reason!r}")
    return KnownType(
        words=words,
        level=None if level is None else int(level),
        weight=float(weight),
        kinds=kinds,
        reason=" ".join(reason.split()),
    )


def _texts(entry: Mapping[str, Any], number: int, lines: _Lines, key: str) -> tuple[str, ...]:
    values = entry.get(key, [])
    if not isinstance(values, Sequence) or isinstance(values, str) or not all(isinstance(value, str) for value in values):
        lines.refuse(number, key, f'{key}: expected a list of texts such as ["scratch"], got {values!r}')
    return tuple(values)
