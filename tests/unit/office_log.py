"""A made-up log of office work, and the same with an attack in it, for the tests of event detectors."""

import numpy as np
import polars as pl

from core.samples import EventLog

rng = np.random.default_rng


def make(rows, name="log", times=True, **roles):
    names = ("subject", "operation", "object", "subject_id", "object_id")[: len(rows[0])]
    columns = {c: [r[i] for r in rows] for i, c in enumerate(names)}
    n = len(rows)
    times = np.arange(n, dtype=float) if times else np.full(n, np.nan)
    return EventLog(name=name, roles={}, table=pl.DataFrame({"row": np.arange(1, n + 1), "time_s": times, **columns, **roles}))


def office(seed, processes=60):
    """Ordinary work of short-lived processes started by one shell."""
    random = rng(seed)
    kinds = {
        "word.exe": ("create_file", [f"C:\\Users\\ann\\doc{i}.docx" for i in range(8)]),
        "web.exe": ("connect", [f"10.1.0.{i}:443" for i in range(8)]),
        "mail.exe": ("load_image", [f"C:\\Windows\\System32\\lib{i}.dll" for i in range(8)]),
    }
    rows = []
    for p in range(processes):
        program = list(kinds)[int(random.integers(3))]
        path, ident = f"C:\\Program Files\\{program}", f"{seed}-{p}"
        rows.append(("C:\\Windows\\explorer.exe", "create_process", path, f"{seed}-shell", ident))
        operation, things = kinds[program]
        rows += [(path, operation, things[int(i)], ident, "") for i in random.integers(0, 8, 12)]
    return rows


ATTACK = [
    ("C:\\Windows\\explorer.exe", "create_process", "C:\\Users\\ann\\Downloads\\pay.exe", "a-shell", "P"),
    ("C:\\Users\\ann\\Downloads\\pay.exe", "connect", "203.0.113.9:8443", "P", ""),
    ("C:\\Users\\ann\\Downloads\\pay.exe", "create_process", "C:\\Windows\\System32\\cmd.exe", "P", "C"),
    ("C:\\Windows\\System32\\cmd.exe", "create_process", "C:\\Windows\\System32\\whoami.exe", "C", "W"),
    ("C:\\Windows\\System32\\whoami.exe", "load_image", "C:\\Windows\\System32\\lib1.dll", "W", ""),
    ("C:\\Users\\ann\\Downloads\\pay.exe", "access_process", "C:\\Windows\\System32\\lsass.exe", "P", "L"),
]


def attacked(flood=1):
    rows = office(9)
    return make(rows[:300] + ATTACK * flood + rows[300:], "attacked"), range(300, 300 + len(ATTACK) * flood)
