"""Linux audit logs: the records of one system call (SYSCALL, CWD, PATH, EXECVE, PROCTITLE, …) become one event.

Format: Linux Audit documentation, "Audit record types and fields"; hex-encoded fields are decoded. Numbers of system calls are those
of x86_64; others are shown as numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from readers.table import ROW

AUDIT_LINE = re.compile(r"^(?:node=\S+ )?type=(?P<type>\S+) msg=audit\((?P<time>\d+\.\d+):(?P<serial>\d+)\): ?(?P<body>.*)$")
_FIELD = re.compile(r"(\w[\w-]*)=(\"[^\"]*\"|'[^']*'|\S+)")
_X86_64 = {
    0: "read", 1: "write", 2: "open", 3: "close", 4: "stat", 9: "mmap", 10: "mprotect", 21: "access", 41: "socket", 42: "connect",
    43: "accept", 44: "sendto", 49: "bind", 50: "listen", 56: "clone", 57: "fork", 58: "vfork", 59: "execve", 62: "kill", 76: "truncate",
    80: "chdir", 82: "rename", 83: "mkdir", 84: "rmdir", 85: "creat", 86: "link", 87: "unlink", 88: "symlink", 90: "chmod", 91: "fchmod",
    92: "chown", 101: "ptrace", 105: "setuid", 106: "setgid", 155: "pivot_root", 161: "chroot", 165: "mount", 166: "umount2",
    175: "init_module", 176: "delete_module", 188: "setxattr", 257: "openat", 258: "mkdirat", 260: "fchownat", 263: "unlinkat",
    264: "renameat", 268: "fchmodat", 288: "accept4", 313: "finit_module", 316: "renameat2", 319: "memfd_create", 322: "execveat",
    437: "openat2",
}  # fmt: skip
_HEXED = frozenset({"proctitle", "comm", "exe", "name", "cwd", "cmd", "acct", "data"})
_OPEN_RECORDS = 512  # records of one event lie close together


def audit_events(lines: Iterable[tuple[int, str]]) -> Iterator[dict[str, Any]]:
    """Merge the records of each serial number into one event, in the order of the first record.

    >>> line = 'type=SYSCALL msg=audit(1364481363.243:24287): arch=c000003e syscall=2 success=no pid=3538 comm="cat" exe="/bin/cat"'
    >>> event = next(audit_events([(1, line)])); event["subject"], event["operation"], event["time"]
    ('/bin/cat', 'open', 1364481363.243)
    """
    waiting: dict[str, tuple[int, float, list[tuple[str, dict[str, str]]]]] = {}
    for number, line in lines:
        match = AUDIT_LINE.match(line)
        if match is None:
            continue
        key = f"{match['time']}:{match['serial']}"
        record = (match["type"], _fields(match["body"]))
        if key in waiting:
            waiting[key][2].append(record)
        else:
            waiting[key] = (number, float(match["time"]), [record])
        if len(waiting) > _OPEN_RECORDS:
            oldest = next(iter(waiting))
            yield _event(*waiting.pop(oldest))
    for left in waiting.values():
        yield _event(*left)


def _fields(body: str) -> dict[str, str]:
    """key=value pairs; the nested msg='…' of user records is opened."""
    result: dict[str, str] = {}
    for key, raw in _FIELD.findall(body):
        if raw[:1] == "'":
            result.update(_fields(raw[1:-1]))
        elif raw[:1] == '"':
            result.setdefault(key, raw[1:-1])
        else:
            result.setdefault(key, _unhex(raw) if key in _HEXED or re.fullmatch(r"a\d+", key) else raw)
    return result


def _unhex(raw: str) -> str:
    """Fields with blanks or odd characters are written in hex, zero bytes between arguments."""
    if len(raw) >= 4 and len(raw) % 2 == 0 and re.fullmatch(r"[0-9A-F]+", raw):
        text = bytes.fromhex(raw).replace(b"\0", b" ").decode("utf-8", "replace")
        if text.isprintable():
            return text.strip()
    return raw


def _event(number: int, time_s: float, records: list[tuple[str, dict[str, str]]]) -> dict[str, Any]:
    """One row from all records of a serial number."""
    merged: dict[str, str] = {}
    for _, fields in records:
        for key, value in fields.items():
            merged.setdefault(key, value)
    kind = next((k for k, _ in records if k == "SYSCALL"), records[0][0])
    operation = kind.lower()
    if kind == "SYSCALL":
        call = merged.get("syscall", "")
        named = _X86_64.get(int(call)) if call.isdigit() and merged.get("arch", "c000003e") == "c000003e" else None
        operation = named or (call if call and not call.isdigit() else f"syscall {call}")
    paths = [f.get("name", "") for k, f in records if k == "PATH" and f.get("nametype") != "PARENT"]
    target = next((p for p in paths if p not in ("", "(null)")), "")
    arguments = " ".join(v for k, f in records if k == "EXECVE" for key, v in f.items() if re.fullmatch(r"a\d+", key))
    row: dict[str, Any] = {
        ROW: number, "time": time_s, "subject": merged.get("exe", merged.get("comm", "")), "operation": operation,
        "object": target or merged.get("acct", merged.get("saddr", merged.get("addr", merged.get("unit", "")))),
        "subject_id": merged.get("pid"), "parent": merged.get("ppid"),
        "user": merged.get("AUID", merged.get("UID", merged.get("auid", merged.get("uid")))),
        "detail": arguments or merged.get("proctitle", merged.get("op", "")),
    }  # fmt: skip
    for source, name in (
        ("success", "success"),
        ("res", "result"),
        ("exit", "exit"),
        ("key", "audit_rule"),
        ("tty", "tty"),
        ("comm", "comm"),
    ):
        if source in merged:
            row[name] = merged[source]
    return row
