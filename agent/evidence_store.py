"""What a chat must not lose: turns, sources, evidence and cached results in SQLite, pictures as content-addressed files.

Each write is one transaction or one atomic rename, so a killed process leaves a consistent store. Evidence ids (`E1`, `E2`, …)
are counted per chat; a chat sees only its own evidence and sources, while the result cache is shared by content hash.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.transactions import Transactional
from core.archive import write_atomic
from core.errors import BadInput
from core.evidence import Evidence

_SCHEMA = """
CREATE TABLE IF NOT EXISTS threads (id TEXT PRIMARY KEY, title TEXT NOT NULL, updated TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS turns (
    thread TEXT NOT NULL, number INTEGER NOT NULL, question TEXT NOT NULL, files TEXT NOT NULL, reply TEXT NOT NULL,
    created TEXT NOT NULL, PRIMARY KEY (thread, number));
CREATE TABLE IF NOT EXISTS uploads (
    thread TEXT NOT NULL, number INTEGER NOT NULL, role TEXT NOT NULL, batch INTEGER NOT NULL, path TEXT NOT NULL,
    PRIMARY KEY (thread, number));
CREATE TABLE IF NOT EXISTS evidence (
    thread TEXT NOT NULL, number INTEGER NOT NULL, fingerprint TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (thread, number), UNIQUE (thread, fingerprint));
CREATE TABLE IF NOT EXISTS seen (
    thread TEXT NOT NULL, path TEXT NOT NULL, state TEXT NOT NULL, content TEXT NOT NULL, PRIMARY KEY (thread, path));
CREATE TABLE IF NOT EXISTS examined (
    thread TEXT NOT NULL, source TEXT NOT NULL, key TEXT NOT NULL, paths TEXT NOT NULL, PRIMARY KEY (thread, source, key));
CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, body TEXT NOT NULL, created TEXT NOT NULL);
"""


@dataclass(frozen=True, kw_only=True)
class ThreadInfo:
    """One chat in the list of chats."""

    thread: str
    title: str
    updated: datetime
    turns: int


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file or folder given to a chat: `role` is "input" or "normal", `batch` counts the messages it came with."""

    role: str
    batch: int
    path: Path


class EvidenceStore(Transactional):
    """The store below one TELLTALE_HOME; safe to use from several threads of one process."""

    def __init__(self, home: Path) -> None:
        self.home = home
        try:
            (home / "files").mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(home / "telltale.db", check_same_thread=False, isolation_level=None, timeout=30)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise BadInput(
                f"TELLTALE_HOME {str(home)!r} cannot be used ({error}). Set TELLTALE_HOME to a writable folder."
            ) from error
        self._lock = threading.RLock()

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    # files

    def put_file(self, data: bytes, suffix: str) -> str:
        """Keep bytes under their sha256 and return the name to find them by (`files/ab/….png`)."""
        digest = hashlib.sha256(data).hexdigest()
        name = f"files/{digest[:2]}/{digest}{suffix}"
        path = self.home / name
        if not path.exists():
            write_atomic(path, data)
        return name

    def file(self, name: str) -> Path:
        """The path of a kept file."""
        return self.home / name

    # cache

    def cached(self, key: str) -> dict[str, Any] | None:
        """A cached tool result, or None."""
        rows = self._rows("SELECT body FROM results WHERE key = ?", key)
        return json.loads(rows[0][0]) if rows else None

    def cache(self, key: str, body: Mapping[str, Any]) -> None:
        """Keep a tool result under its content key."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO results VALUES (?, ?, ?)", (key, json.dumps(body), _now()))

    # chats

    def open_thread(self, thread: str, title: str) -> None:
        """Create the chat unless it exists; an existing chat keeps its title."""
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO threads VALUES (?, ?, ?)", (thread, title, _now()))

    def rename_thread(self, thread: str, title: str) -> None:
        """Give a chat another title."""
        with self._transaction() as db:
            db.execute("UPDATE threads SET title = ? WHERE id = ?", (title, thread))

    def threads(self) -> list[ThreadInfo]:
        """The chats, newest first; one whose first turn was never finished has none."""
        rows = self._rows(
            "SELECT t.id, t.title, t.updated, COUNT(n.number) FROM threads t LEFT JOIN turns n ON n.thread = t.id "
            "GROUP BY t.id ORDER BY t.updated DESC, t.rowid DESC"
        )
        return [ThreadInfo(thread=i, title=title, updated=datetime.fromisoformat(when), turns=n) for i, title, when, n in rows]

    def add_turn(self, thread: str, question: str, files: Sequence[str], reply: Mapping[str, Any]) -> int:
        """Append a turn and return its number (from 1)."""
        with self._transaction() as db:
            (number,) = db.execute("SELECT COALESCE(MAX(number), 0) + 1 FROM turns WHERE thread = ?", (thread,)).fetchone()
            db.execute(
                "INSERT INTO turns VALUES (?, ?, ?, ?, ?, ?)",
                (thread, number, question, json.dumps(list(files)), json.dumps(reply), _now()),
            )
            db.execute("UPDATE threads SET updated = ? WHERE id = ?", (_now(), thread))
        return int(number)

    def turns(self, thread: str) -> list[tuple[str, list[str], dict[str, Any]]]:
        """(question, file names, reply as plain values) of a chat, oldest first."""
        rows = self._rows("SELECT question, files, reply FROM turns WHERE thread = ? ORDER BY number", thread)
        return [(question, json.loads(files), json.loads(reply)) for question, files, reply in rows]

    def add_uploads(self, thread: str, paths: Sequence[Path], role: str) -> None:
        """Remember files given to a chat, as one batch."""
        with self._transaction() as db:
            (batch,) = db.execute("SELECT COALESCE(MAX(batch), 0) + 1 FROM uploads WHERE thread = ?", (thread,)).fetchone()
            (number,) = db.execute("SELECT COALESCE(MAX(number), 0) FROM uploads WHERE thread = ?", (thread,)).fetchone()
            db.executemany(
                "INSERT INTO uploads VALUES (?, ?, ?, ?, ?)",
                [(thread, number + 1 + i, role, batch, str(path)) for i, path in enumerate(paths)],
            )

    def uploads(self, thread: str) -> list[Upload]:
        """The files given to a chat, in order."""
        rows = self._rows("SELECT role, batch, path FROM uploads WHERE thread = ? ORDER BY number", thread)
        return [Upload(role=role, batch=batch, path=Path(path)) for role, batch, path in rows]

    def see(self, thread: str, seen: Mapping[str, tuple[str, str]]) -> None:
        """Remember how paths were when they were read: path → (state, hash of the content)."""
        with self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)", [(thread, path, *was) for path, was in seen.items()]
            )

    def seen(self, thread: str) -> dict[str, tuple[str, str]]:
        """Path → (state, hash of the content) of what a chat has read."""
        rows = self._rows("SELECT path, state, content FROM seen WHERE thread = ?", thread)
        return {path: (state, content) for path, state, content in rows}

    def add_examined(self, thread: str, source: str, key: str, paths: Sequence[str]) -> None:
        """Remember under which key the result about a source is cached, and which paths it was made from; the last one counts."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO examined VALUES (?, ?, ?, ?)", (thread, source, key, json.dumps(list(paths))))

    def examined(self, thread: str) -> dict[str, tuple[str, list[str]]]:
        """Source → (latest key, paths) of what a chat has examined."""
        rows = self._rows("SELECT source, key, paths FROM examined WHERE thread = ? ORDER BY rowid", thread)
        return {source: (key, json.loads(paths)) for source, key, paths in rows}

    # evidence

    def add_evidence(self, thread: str, drafts: Sequence[Evidence]) -> list[Evidence]:
        """Number the drafts (id "") and keep them; a draft that the chat already has gets its old id."""
        kept = []
        with self._transaction() as db:
            for draft in drafts:
                body = {**draft.to_json(), "id": "", "seconds": 0.0}
                fingerprint = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
                row = db.execute(
                    "SELECT number, body FROM evidence WHERE thread = ? AND fingerprint = ?", (thread, fingerprint)
                ).fetchone()
                if row is None:
                    (number,) = db.execute(
                        "SELECT COALESCE(MAX(number), 0) + 1 FROM evidence WHERE thread = ?", (thread,)
                    ).fetchone()
                    numbered = replace(draft, id=f"E{number}")
                    db.execute(
                        "INSERT INTO evidence VALUES (?, ?, ?, ?)",
                        (thread, number, fingerprint, json.dumps(numbered.to_json())),
                    )
                    kept.append(numbered)
                else:
                    kept.append(Evidence.from_json(json.loads(row[1])))
        return kept

    def evidence(self, thread: str) -> list[Evidence]:
        """All evidence of a chat, in order of its ids."""
        rows = self._rows("SELECT body FROM evidence WHERE thread = ? ORDER BY number", thread)
        return [Evidence.from_json(json.loads(body)) for (body,) in rows]


def _now() -> str:
    return datetime.now(UTC).isoformat()
