"""The store must survive kills, keep chats apart and number evidence once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.evidence_store import EvidenceStore
from core.errors import BadInput
from core.evidence import Evidence, Whole


def draft(source: str, score: float = 1.0) -> Evidence:
    return Evidence(id="", tool="t", version="1", parameters={"a": 1}, source=source, locus=Whole(sample=source), score=score)


def test_evidence_is_numbered_per_chat_and_kept_once(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path)
    first = store.add_evidence("chat", [draft("a"), draft("b")])
    again = store.add_evidence("chat", [draft("b"), draft("c")])
    other = store.add_evidence("other", [draft("c")])
    assert [e.id for e in first + again + other] == ["E1", "E2", "E2", "E3", "E1"]
    assert [e.source for e in store.evidence("chat")] == ["a", "b", "c"]


def test_files_are_content_addressed(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path)
    name = store.put_file(b"picture", ".png")
    assert store.put_file(b"picture", ".png") == name
    assert store.file(name).read_bytes() == b"picture"


def test_turns_and_threads_come_back(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path)
    store.open_thread("one", "First")
    store.open_thread("empty", "Never asked")
    store.add_turn("one", "what?", ["a.png"], {"answer": "x"})
    store.close()
    again = EvidenceStore(tmp_path)
    assert [(t.thread, t.title, t.turns) for t in again.threads()] == [("one", "First", 1), ("empty", "Never asked", 0)]
    assert again.turns("one") == [("what?", ["a.png"], {"answer": "x"})]


def test_uploads_keep_their_batches(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path)
    store.add_uploads("chat", [tmp_path / "a", tmp_path / "b"], "input")
    store.add_uploads("chat", [tmp_path / "n"], "normal")
    assert [(u.role, u.batch, u.path.name) for u in store.uploads("chat")] == [
        ("input", 1, "a"),
        ("input", 1, "b"),
        ("normal", 2, "n"),
    ]
    assert store.uploads("other") == []


def test_an_unusable_home_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(BadInput, match="TELLTALE_HOME"):
        EvidenceStore(tmp_path / "file")


def test_a_killed_writer_leaves_whole_records(tmp_path: Path) -> None:
    """A process that is killed while it writes leaves a database that opens and holds only complete rows."""
    program = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[2])\n"
        "from agent.evidence_store import EvidenceStore\n"
        "store = EvidenceStore(pathlib.Path(sys.argv[1]))\n"
        "print('ready', flush=True)\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1\n"
        "    store.cache(str(n), {'n': n, 'pad': 'x' * 5000})\n"
    )
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path), root], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    store = EvidenceStore(tmp_path)
    while store.cached("20") is None:
        pass
    process.kill()
    process.wait()
    rows = store._rows("SELECT key, body FROM results")
    assert len(rows) >= 20
    assert all(json.loads(body)["n"] == int(key) for key, body in rows)
