"""Event conditions on a small log whose rows are known: lineage, names, counts in windows, accounts, times of day."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.rules.compile import compile_rule
from agent.rules.conditions import EventCondition, Who
from agent.rules.evaluate import Material, evaluate
from agent.rules.evaluate_events import bursts_of
from agent.rules.evaluate_events import evaluate as on_events
from agent.rules.programs import pattern_of
from core.samples import EventLog

WORD, SHELL, OTHER = r"C:\Office\WINWORD.EXE", r"C:\Windows\System32\powershell.exe", r"C:\Windows\explorer.exe"
LSASS = r"C:\Windows\System32\lsass.exe"
# seconds, subject, id, operation, object, its id, user, detail
ROWS = [
    (0.0, OTHER, "e", "create_process", WORD, "w", "alice", "WINWORD.EXE /n report.docm"),
    (5.0, OTHER, "e", "create_process", SHELL, "p1", "alice", "powershell.exe -File ok.ps1"),
    (9.0, WORD, "w", "create_process", SHELL, "p2", "alice", "powershell.exe -enc SQBFAFgA"),
    (10.0, SHELL, "p2", "connect", "203.0.113.66:443", "", "alice", "tcp"),
    (11.0, SHELL, "p1", "connect", "10.0.0.5:443", "", "alice", "tcp"),
    (12.0, SHELL, "p2", "create_process", r"C:\Users\a\svc.exe", "s", "alice", "svc.exe"),
    (13.0, r"C:\Users\a\svc.exe", "s", "access_process", LSASS, "l", "SYSTEM", "0x1010"),
    (14.0, OTHER, "e", "access_process", LSASS, "l", "alice", "0x1400"),
    (15.0, r"C:\Users\a\svc.exe", "s", "create_file", r"C:\Users\a\Temp\x.dmp", "", r"NT AUTHORITY\SYSTEM", ""),
    (16.0, SHELL, "p1", "connect", "ff02:0:0:0:0:0:0:fb:5353", "", "alice", "udp"),
]


def log(rows=ROWS, **changes):
    columns = ("time_s", "subject", "subject_id", "operation", "object", "object_id", "user", "detail")
    table = pl.DataFrame(list(rows), schema=list(columns), orient="row").with_row_index("row", 1)
    return EventLog(
        name="edr.jsonl", table=table.with_columns(**changes), roles={}, epoch_s=1709416800.0
    )  # 2 March 2024, 22:00 UTC


def fired(text, data=None):
    return evaluate(compile_rule(text).definition, Material(source="edr.jsonl", kind="events", samples=[data or log()]))


def rows(outcome):
    return sorted(r for f in outcome.findings for r in f.locus.rows)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("powershell started by winword.exe is critical", [3]),
        ("powershell started by a document viewer is critical", [3]),
        ("powershell started by explorer is fine", [2]),
        ("a shell started by a browser is critical", []),
        ("winword starting anything is suspicious", [3]),
        ("powershell being started is an anomaly", [2, 3]),
        ("powershell.exe is suspicious", [2, 3]),
        ("any process reading lsass is critical", [7]),
        ("any process opening lsass is critical", [7, 8]),
        ("explorer opening lsass is fine", [8]),
        ("a process with -enc in its command line is critical", [3]),
        ("powershell connecting to the internet is critical", [4]),
        ("powershell connecting to 10.0.0.5 is fine", [5]),
        ("powershell connecting to anything is suspicious", [4, 5, 10]),
        ("powershell started by winword.exe that connects to the internet is critical", [4]),
        ("powershell started by explorer that connects to the internet is critical", []),
        ("any process descending from winword.exe is suspicious", [4, 6, 7, 9]),
        ("anything started by winword.exe that connects is suspicious", [4]),
        ("writing a dump file is critical", [9]),
        ("a process of the account SYSTEM writing files is suspicious", [9]),
        ("any program writing files to the temp folder is suspicious", [9]),
        ("svc.exe reading lsass is critical", [7]),
        ("notepad reading lsass is critical", []),
    ],
)
def test_which_rows_fire(text, wanted):
    outcome = fired(text)
    assert rows(outcome) == wanted
    assert outcome.words == {0: "edr.jsonl: would not have fired.", 1: "edr.jsonl: would have fired once."}.get(
        len(outcome.findings), outcome.words
    )


def test_a_finding_says_who_did_what_in_which_row():
    [finding] = fired("powershell started by winword.exe is critical").findings
    assert finding.sentence == (
        'WINWORD.EXE started powershell.exe with the command line "powershell.exe -enc SQBFAFgA" (row 3).'
    )
    assert finding.facts["first_s"] == 9.0
    assert finding.condition.startswith("winword.exe starts powershell")


def test_the_same_act_again_is_one_finding_that_counts():
    data = log([*ROWS[:1], *[(20.0 + i, SHELL, "p1", "delete_file", r"C:\a.txt", "", "alice", "") for i in range(5)]])
    [finding] = fired("powershell deleting files is suspicious", data).findings
    assert finding.events == 5
    assert finding.locus.rows == (2, 3, 4, 5, 6)
    assert "5 times" in finding.sentence


def deletions(times, who="p1"):
    return [(t, SHELL, who, "delete_file", rf"C:\{i}.txt", "", "alice", "") for i, t in enumerate(times)]


@pytest.mark.parametrize(
    ("times", "bursts"),
    [
        ([0, 10, 20, 30], 1),  # more than 3 within a minute
        ([0, 10, 20], 0),
        ([0, 20, 40, 60], 0),  # the fourth lies outside the half-open minute
        ([0, 20, 40, 59.9], 1),
        ([0, 1, 2, 3, 300, 301, 302, 303], 2),
        ([0, 30, 40, 50, 70, 80, 90], 1),  # overlapping windows are one burst
    ],
)
def test_counting_in_a_sliding_window(times, bursts):
    outcome = fired("more than 3 file deletes within a minute is an anomaly", log(deletions(times)))
    assert len(outcome.findings) == bursts
    assert all(len(f.locus.rows) >= 4 for f in outcome.findings)


def test_counting_by_process_keeps_processes_apart():
    data = log(sorted(deletions([0, 10, 20], "a") + deletions([5, 15, 25], "b")))
    assert len(fired("more than 3 file deletes within a minute is an anomaly", data).findings) == 1
    assert not fired("more than 3 file deletes within a minute by the same process is an anomaly", data).findings


def test_counting_without_a_time_counts_the_whole_log():
    outcome = fired("more than 3 deleted files is an anomaly", log(deletions([0, 1000, 2000, 3000])))
    assert [f.events for f in outcome.findings] == [4]


def test_failed_logins_by_address():
    lines = [
        (
            float(i),
            "sshd",
            "",
            "Failed password for <*> from <*> port <*> ssh2",
            "",
            "",
            "",
            f"Failed password for root from {a} port {i} ssh2",
        )
        for i, a in enumerate(["203.0.113.66"] * 4 + ["10.0.0.9"] * 2)
    ]
    outcome = fired("more than 3 failed logins within 10 minutes from the same address is critical", log(lines))
    assert [(f.events, f.facts["common"]) for f in outcome.findings] == [(4, "203.0.113.66")]


def test_time_of_day_and_of_the_week():
    assert rows(fired("powershell started by winword.exe between 21:00 and 23:00 is critical")) == [3]
    assert rows(fired("powershell started by winword.exe between 9:00 and 17:00 is critical")) == []
    assert rows(fired("powershell started by winword.exe on weekends is critical")) == [3]  # 2 March 2024 was a Saturday
    timeless = EventLog(name="x", table=log().table, roles={}, epoch_s=None)
    outcome = evaluate(
        compile_rule("logins at night are bad").definition, Material(source="x", kind="events", samples=[timeless])
    )
    assert "time of day" in outcome.cannot[0].reason


def test_rates_need_times():
    data = log(time_s=pl.lit(float("nan")))
    outcome = fired("more than 3 file deletes within a minute is an anomaly", data)
    assert not outcome.findings
    assert "no times" in outcome.cannot[0].reason


def test_a_column_that_is_missing_is_said():
    data = EventLog(name="x", table=log().table.drop("user"), roles={})
    outcome = evaluate(
        compile_rule("the user svc_backup logging in is an anomaly").definition,
        Material(source="x", kind="events", samples=[data]),
    )
    assert "names no user" in outcome.cannot[0].reason


def test_a_parent_column_serves_logs_without_start_rows():
    table = pl.DataFrame(
        {
            "row": [1, 2],
            "time_s": [0.0, 1.0],
            "subject": ["powershell.exe", "powershell.exe"],
            "operation": ["start", "start"],
            "object": ["", ""],
            "parent": ["winword.exe", "explorer.exe"],
        }
    )
    outcome = fired("powershell started by winword.exe is critical", EventLog(name="edr.jsonl", table=table, roles={}))
    assert rows(outcome) == [1]


def test_text_in_a_rule_is_matched_literally():
    condition = EventCondition(text=".*")
    assert not on_events(condition, log())[0]
    hostile = EventCondition(subject=Who(said="x", names=("(((", "[a", ".*+?")))
    assert not on_events(hostile, log())[0]


@settings(max_examples=80, deadline=None)
@given(st.text(alphabet="abc.()[]*?+|^$\\/ 0", min_size=1, max_size=12))
def test_a_name_always_finds_itself_and_is_never_a_broken_pattern(name):
    values = pl.Series([name.lower(), "something else entirely"])
    found = values.str.contains(pattern_of([name]))
    if not name.endswith(("\\", "/")):
        assert found[0]
    assert "*" in name or not found[1]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=30), st.integers(1, 6), st.floats(0.5, 30))
def test_every_full_window_lies_inside_a_burst_and_no_other_row_does(times, count, within):
    time_s = np.array(sorted(times))
    bursts = bursts_of(np.arange(len(time_s)), time_s, within, count)
    inside = {int(i) for burst in bursts for i in burst}
    wanted = set()
    for i, start in enumerate(time_s):
        window = [j for j in range(i, len(time_s)) if time_s[j] < start + within]
        if len(window) >= count:
            wanted |= set(window)
    assert inside == wanted
    assert len(inside) == sum(len(b) for b in bursts)
