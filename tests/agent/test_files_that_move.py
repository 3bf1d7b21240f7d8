"""Files that vanish or change on disk between turns: old findings are never passed off as being about what lies there now."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from asking import SAMPLES, ask

from agent.session import Session


def series(path: Path, spike_at: int, rows: int = 600) -> Path:
    """A noisy reading per minute from 2026-03-14 00:00 on, with one spike."""
    values = np.random.default_rng(3).normal(50.0, 1.0, rows)
    values[spike_at : spike_at + 4] += 40
    stamps = np.datetime64("2026-03-14T00:00") + np.arange(rows) * np.timedelta64(1, "m")
    path.write_text("time,flow\n" + "\n".join(f"{t},{v:.2f}" for t, v in zip(stamps, values, strict=True)) + "\n")
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_a_changed_file_is_read_and_judged_again_and_that_is_said(tmp_path: Path, home: Path) -> None:
    file = series(tmp_path / "flow.csv", 100)
    session = Session(home=home)
    assert "since 2026-03-14 01:" in ask(session, "what is wrong?", files=[file]).answer
    series(file, 400, rows=605)
    reply = ask(session, "when?")
    assert "`flow.csv` has changed on disk since I read it" in reply.answer
    assert "strongest at 2026-03-14 06:4" in reply.answer
    assert "2026-03-14 01:" not in reply.answer
    assert [run.cached for run in reply.tools] == [False]
    assert "changed on disk" not in ask(session, "how bad is it?").answer


def test_a_file_that_was_only_touched_is_not_mentioned(tmp_path: Path, home: Path) -> None:
    file = series(tmp_path / "flow.csv", 100)
    session = Session(home=home)
    ask(session, "what is wrong?", files=[file])
    os.utime(file, (1, 1))
    reply = ask(session, "when?")
    assert "on disk" not in reply.answer
    assert reply.tools == ()


def test_a_vanished_series_is_answered_from_what_was_read(tmp_path: Path, home: Path) -> None:
    file = series(tmp_path / "flow.csv", 100)
    session = Session(home=home)
    before = ask(session, "what is wrong?", files=[file])
    file.unlink()
    reply = ask(session, "was flow ok between 5 and 6 am?")
    assert "`flow.csv` is no longer where it was: what I say of it rests on what I read" in reply.answer
    assert "Yes, as far as I can measure. From 2026-03-14 05:00:00" in reply.answer
    assert ask(session, "why?").anomalies or before.anomalies
    assert "no longer" not in ask(session, "thanks").answer


def test_a_vanished_file_keeps_its_findings_after_a_restart_but_nothing_is_looked_up(tmp_path: Path, home: Path) -> None:
    file = series(tmp_path / "flow.csv", 100)
    session = Session(home=home)
    before = ask(session, "what is wrong?", files=[file])
    session.close()
    file.unlink()
    again = Session(thread=session.thread, home=home)
    reply = ask(again, "how bad is it?")
    assert "is no longer where it was" in reply.answer
    assert [a.evidence for a in reply.anomalies] == [a.evidence for a in before.anomalies]
    quiet = ask(again, "was flow ok between 5 and 6 am?")
    assert "so I cannot look up" in quiet.answer
    assert quiet.status == "insufficient"
    loud = ask(again, "was flow ok between 1 and 2 am?")
    assert "1 finding lies there" in loud.answer
    assert loud.status == "abnormal"
    series(file, 100)
    assert "Yes, as far as I can measure" in ask(again, "was flow ok between 5 and 6 am?").answer


def test_a_vanished_photo_is_left_out_and_named(tmp_path: Path, home: Path) -> None:
    photos = [Path(shutil.copy(path, tmp_path / path.name)) for path in sorted((SAMPLES / "tiles").iterdir())[2:7]]
    session = Session(home=home)
    assert "`tile_04.jpg`" in ask(session, "what is wrong?", files=photos).answer
    photos[1].unlink()
    reply = ask(session, "how many photos are abnormal?")
    assert "`tile_04.jpg` is no longer where it was: I go on without it" in reply.answer
    assert "of 4 photos" in reply.answer
    for path in photos:
        path.unlink(missing_ok=True)
    kept = ask(session, "where exactly?")
    assert "rests on what I read and found before" in kept.answer
    assert {locus.sample for a in kept.anomalies for locus in a.loci} == {"tile_07.jpg"}
