"""What a chat says of a table with a counter that runs over, a clock set back and a column of marks."""

from pathlib import Path

import numpy as np
from asking import ask

from agent.session import Session

ROWS = 1500


def table(path: Path) -> Path:
    """Minutes of local time around the end of summer time; heat is odd from row 1101 to 1120, and marked so."""
    rng = np.random.default_rng(3)
    true = np.datetime64("2023-10-28T18:00") + np.arange(ROWS) * np.timedelta64(1, "m")
    local = true + np.where(true < np.datetime64("2023-10-29T01:00"), 2, 1) * np.timedelta64(1, "h")
    total = (60_000 + np.cumsum(rng.integers(5, 15, ROWS))) % 65_536
    heat = 40 + np.sin(np.arange(ROWS) / 9) + rng.normal(0, 0.1, ROWS)
    marks = np.zeros(ROWS, int)
    heat[1100:1120] += 3
    marks[1100:1120] = 1
    rows = [f"{t},{n},{h:.3f},{m}" for t, n, h, m in zip(local, total, heat, marks, strict=True)]
    path.write_text("time,packets,heat [°C],is_anomaly\n" + "\n".join(rows) + "\n")
    return path


def test_what_was_done_to_the_readings_is_said_and_the_counter_is_no_finding(tmp_path: Path) -> None:
    session = Session(home=tmp_path / "home", thread="a")
    reply = ask(session, "what is wrong?", files=[table(tmp_path / "m.csv")])
    session.close()
    assert reply.status == "abnormal"
    assert all("heat" in anomaly.label and "packets" not in anomaly.label for anomaly in reply.anomalies)
    assert "labels, not measurements: 'is_anomaly'" in reply.answer
    assert "'packets' is a counter that begins anew after 65,535, 1 time" in reply.answer
    assert "The hour from 2023-10-29 02:00 occurs twice" in reply.answer
