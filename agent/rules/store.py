"""Rules that survive restarts: every change is a new row, so that each version can be read again and the last change undone.

A row holds the rule as it was after a change (`rules.db` in TELLTALE_HOME, SQLite). Deleting keeps the rule's rows, and an undo is a
change of its own that restores what was before; undoing again goes one step further back. Ids (R1, R2, …) are never used twice.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from agent.rules.compile import Reading, definition_of, inverted
from agent.transactions import Transactional
from core.errors import BadInput, UnknownName
from core.rules import Polarity, Rule, Scope

Change: TypeAlias = Literal["add", "edit", "enable", "disable", "scope", "severity", "polarity", "delete", "undo"]
_SCHEMA = """
CREATE TABLE IF NOT EXISTS changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, rule TEXT NOT NULL, version INTEGER NOT NULL, change TEXT NOT NULL, gone INTEGER NOT NULL,
    undoes INTEGER, body TEXT NOT NULL, created TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS changes_of_rule ON changes (rule, seq);
"""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One change in a rule's history: the rule after it, and whether it was gone then."""

    change: Change
    rule: Rule
    gone: bool
    created: str


class RuleStore(Transactional):
    """The rules below one TELLTALE_HOME; safe to use from several threads and processes.

    >>> import tempfile
    >>> from agent.rules.compile import compile_rule
    >>> store = RuleStore(Path(tempfile.mkdtemp()))
    >>> rule = store.add(compile_rule("bicycles are fine here"))
    >>> rule.id, [r.id for r in store.rules()], store.undo().change, store.rules()
    ('R1', ['R1'], 'add', [])
    >>> store.close()
    """

    def __init__(self, home: Path) -> None:
        try:
            home.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(home / "rules.db", check_same_thread=False, isolation_level=None, timeout=30)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise BadInput(
                f"TELLTALE_HOME {str(home)!r} cannot keep rules ({error}). Set TELLTALE_HOME to a writable folder."
            ) from error
        self._lock = threading.RLock()

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    # reading

    def rules(self, *, enabled_only: bool = False) -> list[Rule]:
        """The rules that are there, by id; a rule that was deleted is not."""
        rows = self._rows("SELECT body, gone FROM changes WHERE seq IN (SELECT MAX(seq) FROM changes GROUP BY rule)")
        found = [Rule.from_json(json.loads(body)) for body, gone in rows if not gone]
        return sorted((r for r in found if r.enabled or not enabled_only), key=lambda r: int(r.id[1:]))

    def rules_for(self, source: str, kind: str) -> list[Rule]:
        """The rules that are switched on and hold in a source of that name and kind."""
        return [rule for rule in self.rules(enabled_only=True) if rule.scope.covers(source, kind)]

    def get(self, identity: str) -> Rule:
        """The rule of that id ("R1", "r1" or "1").

        Raises:
            UnknownName: no such rule is there.
        """
        wanted = identity.strip().upper()
        wanted = wanted if wanted.startswith("R") else f"R{wanted}"
        rules = self.rules()
        found = next((rule for rule in rules if rule.id == wanted), None)
        if found is None:
            raise UnknownName.among("rule", identity, [rule.id for rule in rules])
        return found

    def history(self, identity: str) -> list[Recorded]:
        """Every change of a rule, oldest first, deleted or not.

        Raises:
            UnknownName: there never was such a rule.
        """
        rows = self._rows("SELECT change, body, gone, created FROM changes WHERE rule = ? ORDER BY seq", identity)
        if not rows:
            raise UnknownName.among("rule", identity, [rule.id for rule in self.rules()])
        return [Recorded(change=c, rule=Rule.from_json(json.loads(b)), gone=bool(g), created=when) for c, b, g, when in rows]

    # changing

    def add(self, reading: Reading, *, scope: Scope | None = None, compiled_by: str = "embedded") -> Rule:
        """Keep a new rule, switched on."""
        with self._transaction() as db:
            (number,) = db.execute("SELECT COALESCE(MAX(CAST(SUBSTR(rule, 2) AS INTEGER)), 0) + 1 FROM changes").fetchone()
            return self._write(db, "add", reading.rule(f"R{number}", compiled_by=compiled_by, scope=scope))

    def edit(self, identity: str, reading: Reading, *, compiled_by: str = "embedded") -> Rule:
        """Give a rule other words; its id, scope (unless the new words name one) and whether it is on stay."""
        with self._transaction() as db:
            old = self.get(identity)
            new = reading.rule(old.id, compiled_by=compiled_by, scope=reading.scope if reading.scope != Scope() else old.scope)
            return self._write(db, "edit", replace(new, enabled=old.enabled), old)

    def enable(self, identity: str, on: bool = True) -> Rule:
        """Switch a rule on or off."""
        with self._transaction() as db:
            old = self.get(identity)
            return old if old.enabled == on else self._write(db, "enable" if on else "disable", replace(old, enabled=on), old)

    def set_scope(self, identity: str, scope: Scope) -> Rule:
        """Let a rule hold somewhere else."""
        with self._transaction() as db:
            old = self.get(identity)
            return old if old.scope == scope else self._write(db, "scope", replace(old, scope=scope), old)

    def set_severity(self, identity: str, severity: int | None) -> Rule:
        """Say how serious it is when a rule fires (0–3, or None)."""
        with self._transaction() as db:
            old = self.get(identity)
            return old if old.severity == severity else self._write(db, "severity", replace(old, severity=severity), old)

    def set_polarity(self, identity: str, polarity: Polarity) -> Rule:
        """Turn a rule round: the same conditions, the opposite verdict."""
        with self._transaction() as db:
            old = self.get(identity)
            if old.polarity == polarity:
                return old
            other = inverted(definition_of(old))
            new = replace(old, polarity=polarity, severity=other.severity, compiled=other.model_dump(mode="json"))
            return self._write(db, "polarity", new, old)

    def delete(self, identity: str) -> Rule:
        """Take a rule away; its history stays and `undo` brings it back."""
        with self._transaction() as db:
            old = self.get(identity)
            return self._write(db, "delete", old, old, gone=True)

    def undo(self) -> Recorded | None:
        """Take the last change back that was not taken back yet, and return it; None when there is none."""
        with self._transaction() as db:
            row = db.execute(
                "SELECT seq, rule, change, body, gone, created FROM changes WHERE change != 'undo' "
                "AND seq NOT IN (SELECT undoes FROM changes WHERE undoes IS NOT NULL) ORDER BY seq DESC LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            seq, identity, change, body, gone, created = row
            latest = Rule.from_json(
                json.loads(
                    db.execute("SELECT body FROM changes WHERE rule = ? ORDER BY seq DESC LIMIT 1", (identity,)).fetchone()[0]
                )
            )
            before = db.execute(
                "SELECT body, gone FROM changes WHERE rule = ? AND seq < ? AND change != 'undo' AND seq NOT IN "
                "(SELECT undoes FROM changes WHERE undoes IS NOT NULL) ORDER BY seq DESC LIMIT 1",
                (identity, seq),
            ).fetchone()
            restored = Rule.from_json(json.loads(before[0])) if before is not None else latest
            self._write(db, "undo", restored, latest, gone=before is None or bool(before[1]), undoes=seq)
            return Recorded(change=change, rule=Rule.from_json(json.loads(body)), gone=bool(gone), created=created)

    def _write(
        self, db: sqlite3.Connection, change: Change, rule: Rule, old: Rule | None = None, *, gone: bool = False, undoes: int | None = None
    ) -> Rule:  # fmt: skip
        now = datetime.now(UTC).isoformat()
        new = replace(rule, version=1 if old is None else old.version + 1, created=now)
        db.execute(
            "INSERT INTO changes (rule, version, change, gone, undoes, body, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (new.id, new.version, change, int(gone), undoes, json.dumps(new.to_json()), now),
        )
        return new
