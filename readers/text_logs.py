"""Logs of text lines: syslog (RFC 3164, RFC 5424), auth.log, auditd, web access logs, and any log that begins with a time stamp.

Formats: RFC 3164; RFC 5424; Linux Audit documentation; Apache HTTP Server common and combined log format. Message text becomes an
operation by masking what varies (numbers, addresses, paths, quoted text), the first step of Drain (He et al., ICWS 2017).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.errors import BadInput
from core.samples import EventLog
from core.settings import limits
from readers.auditd import AUDIT_LINE, audit_events
from readers.encodings import text_lines, without_controls
from readers.events import event_log
from readers.table import ROW
from readers.timestamps import without_year

Row = dict[str, Any]

_YEARLESS = re.compile(r"^[A-Z][a-z]{2} [ \d]\d \d\d:")
_RFC5424 = re.compile(
    r"^<(?P<pri>\d{1,3})>\d{1,2} (?P<time>\S+) (?P<host>\S+) (?P<app>\S+) (?P<pid>\S+) (?P<msgid>\S+) "
    r"(?P<data>-|(?:\[(?:[^\]\\\"]|\\.|\"(?:[^\"\\]|\\.)*\")*\])+) ?(?P<message>.*)$"
)
_RFC3164 = re.compile(
    r"^(?:<(?P<pri>\d{1,3})>)?(?P<time>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)?|"
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)) "
    r"(?P<host>\S+) (?P<app>[^\s\[:]+)(?:\[(?P<pid>\d+)\])?: ?(?P<message>.*)$"
)
_ACCESS = re.compile(
    r"^(?P<client>\S+) (?P<ident>\S+) (?P<user>\S+) \[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "
    r'"(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?P<size>\d+|-)(?: "(?P<referer>[^"]*)" "(?P<agent>[^"]*)")?'
)
_STAMP = (
    r"\d{4}[-/.]\d\d[-/.]\d\d[T _-]\d\d[:.]\d\d[:.]\d\d(?:[.,]\d+)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?|"
    r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)? \d{4}|"
    r"\d\d[./-]\d\d[./-]\d{4} \d\d:\d\d:\d\d(?:[.,]\d+)?|\d\d/\d\d/\d\d \d\d:\d\d:\d\d|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)?"
)
_STAMPED = re.compile(
    rf"^\[?(?P<time>{_STAMP})\]?\s*[-:|]?\s*(?:\[?(?P<level>TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|SEVERE|CRIT(?:ICAL)?|FATAL|ALERT|EMERG|"
    r"trace|debug|info|notice|warn(?:ing)?|error|crit|fatal|alert|emerg)\]?:?\s+)?(?P<rest>.*)$"
)
_COMPONENT = re.compile(
    r"^(?:\[(?P<thread>[^\]]{1,80})\]\s*)?(?P<component>[\w.$/()-]{2,80})(?:\[(?P<pid>\d+)\])?\s*[:\-|]\s+(?P<message>.+)$"
)
_SEVERITY = ("emergency", "alert", "critical", "error", "warning", "notice", "info", "debug")
_VARIES = re.compile(
    r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b|"  # GUID
    r"\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b|\b(?:[0-9a-fA-F]{1,4}:{1,2}){2,7}[0-9a-fA-F]{1,4}\b|"  # addresses
    r"(?<![\w<])(?:/[\w.@%+~-]+)+/?|\b(?:[a-zA-Z][\w-]*\.){2,}[a-zA-Z]{2,}\b|"  # paths and host names
    r"0x[0-9a-fA-F]+|\b[0-9a-fA-F]{12,}\b|(?<![A-Za-z])[-+]?\d+(?:\.\d+)?"  # numbers
)
_PEOPLE = re.compile(r"(?<=user )\S+|(?<=user=)\S+|(?<=for )(?!invalid|user|illegal)[\w.@-]+(?= from)")
_OBJECT = re.compile(
    r"\brhost=(?P<rhost>\S+)|\bfrom (?P<from>(?:\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F:]{6,})|\b(?P<ip>(?:\d{1,3}\.){3}\d{1,3})\b|"
    r"COMMAND=(?P<command>.+)$|(?:^|\s)\(?(?P<path>/[\w.@%+~/-]{2,})|\bfor user (?P<user>[\w.-]+)"
)
_USER = re.compile(r"(?:for (?:invalid user |user )?|user[= ]|USER=)(?P<user>[A-Za-z_][\w.@$-]*)")


@dataclass(frozen=True, kw_only=True)
class LogFormat:
    """One way of writing lines: its name, and the function that reads a line (None: not such a line)."""

    name: str
    read: Callable[[str], Row | None]


def text_log_format(lines: Sequence[str], *, forced: bool) -> LogFormat | None:
    """Return the format that most of these lines follow, None when they are no log.

    Args:
        lines: the first lines that are not blank.
        forced: the person says these are events; then any lines will do.

    >>> text_log_format(["Dec 10 06:55:46 host sshd[24200]: Connection closed"], forced=False).name
    'syslog'
    """
    if not lines:
        return None
    if sum(bool(AUDIT_LINE.match(line)) for line in lines) >= 0.6 * len(lines):
        return LogFormat(name="auditd", read=lambda line: None)
    for known in (LogFormat(name="syslog", read=_syslog), LogFormat(name="web access", read=_access)):
        if sum(known.read(line) is not None for line in lines) >= 0.6 * len(lines):
            return known
    stamped = [_STAMPED.match(line) for line in lines]
    if stamped[0] is not None and sum(m is not None for m in stamped) >= 0.3 * len(lines) and not _is_table(lines):
        return LogFormat(name="time-stamped", read=_stamped)
    return LogFormat(name="plain", read=_plain) if forced else None


def read_text_log(path: Path, name: str, encoding: str, log: LogFormat, *, roles: Mapping[str, str] | None = None) -> EventLog:
    """Read a text log.

    Raises:
        BadInput: no events, or more than allowed.
        UnknownName: `roles` names a role or column that does not exist.
    """
    import polars as pl

    article = "an" if log.name[0] in "aeiou" else "a"
    notes = [f"Read as {article} {log.name} log."]
    rows = audit_events(_numbered(path, encoding, notes)) if log.name == "auditd" else _rows(path, encoding, log, notes)
    columns: dict[str, list[Any]] = {}
    count = 0
    for count, row in enumerate(rows, 1):
        if count > limits().max_event_rows:
            raise BadInput(f"{name}: more than the {limits().max_event_rows:,} events allowed.")
        for key, value in row.items():
            column = columns.setdefault(key, [])
            if len(column) < count - 1:
                column.extend([None] * (count - 1 - len(column)))
            column.append(value)
    if not count:
        raise BadInput(f"{name}: expected log lines, got none.")
    for column in columns.values():
        column.extend([None] * (count - len(column)))
    if any(t is not None for t in columns.get("time", [])):
        first = next(t for t in columns["time"] if t)
        if isinstance(first, str) and _YEARLESS.match(first):
            times = without_year(columns["time"])
            columns["time"] = times.seconds.tolist()
            notes.append(times.note)
    else:
        columns.pop("time", None)
    frame = pl.DataFrame({k: pl.Series(k, v, strict=False) for k, v in columns.items()})
    known = {r: r for r in _ROLES if r in frame.columns}
    return event_log(frame, name, roles=roles, notes=notes, known=known)


_ROLES = ("subject", "operation", "object", "subject_id", "object_type", "parent", "host", "user", "detail")


def template(message: str) -> str:
    """Mask what varies in a message, so that equal kinds of message are equal texts.

    >>> template("Failed password for root from 10.0.0.7 port 4711 ssh2")
    'Failed password for <*> from <*> port <*> ssh2'
    """
    text = message[:400]
    if "user" in text or "for " in text:
        text = _PEOPLE.sub("<*>", text)
    return " ".join([word if word.isalpha() else _masked(word) for word in text.split(" ")])[:200].strip()


@lru_cache(maxsize=100_000)
def _masked(word: str) -> str:
    """One word of a message; logs repeat their words, so most are known."""
    return _VARIES.sub("<*>", word)


def _numbered(path: Path, encoding: str, notes: list[str]) -> Iterator[tuple[int, str]]:
    """(line number from 1, line without control characters)."""
    cleaned = 0
    with text_lines(path, encoding) as file:
        for number, line in enumerate(file, 1):
            bare = line.rstrip("\r\n")
            text = bare if bare.isprintable() else without_controls(bare)
            cleaned += len(text) < len(bare)
            if text:
                yield number, text
    if cleaned:
        notes.append(f"Control characters were taken out of {cleaned:,} line{'s' * (cleaned > 1)}.")


def _rows(path: Path, encoding: str, log: LogFormat, notes: list[str]) -> Iterator[Row]:
    """One row per event; lines that begin no event (stack traces) are counted to the one before."""
    open_row: Row | None = None
    joined = lost = 0
    for number, line in _numbered(path, encoding, notes):
        row = log.read(line[:20_000])
        if row is None:
            if open_row is None:
                lost += 1
            else:
                joined += 1
            continue
        if open_row is not None:
            yield open_row
        open_row = {ROW: number, **row}
    if open_row is not None:
        yield open_row
    if joined:
        notes.append(f"{joined:,} lines without a time stamp belong to the event before them.")
    if lost:
        notes.append(f"{lost:,} lines before the first event were left out.")


def _syslog(line: str) -> Row | None:
    """RFC 5424, RFC 3164 and what journald and rsyslog write to files."""
    match = _RFC5424.match(line)
    if match is None:
        match = _RFC3164.match(line)
        if match is None:
            return None
    parts = match.groupdict()
    message = parts["message"]
    row = {"time": parts["time"], "subject": parts["app"], "host": parts["host"], **_message(message)}
    if parts.get("pid") not in (None, "-"):
        row["subject_id"] = parts["pid"]
    if parts.get("pri"):
        row["severity"] = _SEVERITY[int(parts["pri"]) % 8]
    return row


def _access(line: str) -> Row | None:
    """Common and combined web access logs."""
    match = _ACCESS.match(line)
    if match is None:
        return None
    parts = match.groupdict()
    method, _, rest = parts["request"].partition(" ")
    target = rest.rsplit(" HTTP/", 1)[0]
    return {
        "time": parts["time"], "subject": parts["client"], "operation": f"{method or '-'} {parts['status']}",
        "object": target.split("?", 1)[0], "user": None if parts["user"] == "-" else parts["user"], "detail": parts["request"],
        "status": parts["status"], "bytes": None if parts["size"] == "-" else int(parts["size"]), "agent": parts["agent"],
    }  # fmt: skip


def _stamped(line: str) -> Row | None:
    """Any line that begins with a time stamp."""
    match = _STAMPED.match(line)
    if match is None:
        return None
    rest = match["rest"]
    inner = _COMPONENT.match(rest)
    row: Row = {"time": match["time"]}
    if match["level"]:
        row["level"] = match["level"].upper()
    if inner is not None:
        row["subject"] = inner["component"]
        if inner["pid"]:
            row["subject_id"] = inner["pid"]
        if inner["thread"]:
            row["thread"] = inner["thread"]
        rest = inner["message"]
    else:
        row["subject"] = match["level"] or ""
    return {**row, **_message(rest)}


def _plain(line: str) -> Row | None:
    """A line without structure."""
    return {"subject": "", **_message(line)}


def _message(message: str) -> Row:
    """Operation, object, user and detail of a message."""
    found = _OBJECT.search(message)
    user = _USER.search(message)
    return {
        "operation": template(message),
        "object": next((g for g in found.groups() if g), "") if found else "",
        "user": user["user"] if user else None,
        "detail": message,
    }


def _is_table(lines: Sequence[str]) -> bool:
    """Do all lines split into the same number of three or more cells at commas, semicolons or tabs?"""
    for delimiter in (",", ";", "\t"):
        counts = {line.count(delimiter) for line in lines[:100]}
        if len(counts) == 1 and next(iter(counts)) >= (1 if delimiter == "\t" else 2):
            return True
    return False
