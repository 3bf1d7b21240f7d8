"""Event logs asked as an analyst asks: what kinds of events there are, and how they hang together; the bundled break-in, then real logs."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asking import DATA, SAMPLES, ask

from agent.reply import Reply
from agent.session import Session


def rows(reply: Reply) -> list[int]:
    """The rows that an answer shows, in order."""
    return [int(n) for n in re.findall(r"^- Row (\d+)[,:]", reply.answer, re.MULTILINE)]


@pytest.mark.parametrize(
    ("question", "row"),
    [
        ("are there any registry changes?", 1108),
        ("did it change the registry?", 1108),
        ("was data sent out?", 1114),
        ("was data exfiltrated?", 1105),
        ("did it talk to the internet?", 1135),
        ("were credentials stolen?", 1109),
        ("which files did it touch?", 1106),
        ("was anything arranged to survive a reboot?", 1108),
        ("any dns lookups?", 1113),
        ("did anyone read lsass memory?", 1110),
    ],
)
def test_kinds_of_events_are_found_by_what_they_are(workstation: Session, question: str, row: int) -> None:
    reply = ask(workstation, question)
    assert row in rows(reply)
    assert reply.status == "abnormal"  # the rows belong to the finding, which is told


@pytest.mark.parametrize(
    "question",
    ["was there a scheduled task created?", "any failed logins?", "is there a brute force attack?", "did anyone get in?",
     "were any files deleted?", "was there privilege escalation?", "did it spread to other computers?"],
)  # fmt: skip
def test_what_is_not_recorded_is_not_denied(workstation: Session, question: str) -> None:
    reply = ask(workstation, question)
    assert reply.status != "normal"
    assert "one of the 1,534 rows" in reply.answer
    assert "what it does not record, it cannot show" in reply.answer


def test_a_missing_task_names_what_comes_near(workstation: Session) -> None:
    assert rows(ask(workstation, "was there a scheduled task created?")) == [1108]


@pytest.mark.parametrize("question", ["are there any unicorns?", "what did alice do?"])
def test_words_that_stand_for_nothing_known_are_only_searched_literally(workstation: Session, question: str) -> None:
    reply = ask(workstation, question)
    assert "which proves nothing" in reply.answer
    assert reply.status == "insufficient"


@pytest.mark.parametrize(
    ("question", "shown"),
    [
        ("who started svcupd.exe?", [1107]),
        ("what is the parent of svcupd.exe?", [1107]),
        ("when did svcupd.exe start?", [1107]),
        ("did svcupd.exe write any files?", [1111]),
        ("did svcupd.exe connect to the internet?", [1114, 1118, 1135]),
        ("what did svcupd.exe do next?", [1108, 1109, 1110, 1111, 1113, 1114, 1118, 1135]),
        ("who talked to 203.0.113.66?", [1105, 1114, 1118, 1135]),
        ("to which address?", [1105, 1114, 1118, 1135]),
    ],
)
def test_relations_show_their_rows_in_order(workstation: Session, question: str, shown: list[int]) -> None:
    assert rows(ask(workstation, question)) == shown


def test_it_is_the_process_of_the_finding_when_nobody_was_named(tmp_path: Path) -> None:
    session = Session(home=tmp_path)
    ask(session, "what is wrong?", files=[SAMPLES / "workstation.jsonl"])
    assert rows(ask(session, "who started it?")) == [1107]
    assert rows(ask(session, "what did that process do next?"))[:2] == [1108, 1109]
    ask(session, "what did OUTLOOK.EXE do?")
    assert 13 in rows(ask(session, "who started it?"))  # now "it" is the one just named
    session.close()


@pytest.mark.parametrize(
    ("question", "said"),
    [("which user account was used?", "EXAMPLE\\jmiller"), ("which computer is it?", "WS-014"),
     ("which IP addresses were contacted?", "203.0.113.66"), ("which IP addresses were contacted?", "10.20.0.8")],
)  # fmt: skip
def test_accounts_computers_and_addresses_are_named(workstation: Session, question: str, said: str) -> None:
    assert f"`{said}`" in ask(workstation, question).answer


def test_the_attack_begins_where_it_begins(workstation: Session) -> None:
    """Not with the mail program's start in the morning, and it lasts as long as what it started."""
    truth = next(e for e in json.loads((SAMPLES / "truth.json").read_text()) if e["kind"] == "events")["anomalies"][0]
    start, end = (datetime.fromisoformat(truth[key]).replace(tzinfo=UTC).timestamp() for key in ("start", "end"))
    reply = ask(workstation, "when did the attack begin?")
    facts = next(e for a in reply.anomalies for e in reply.evidence if e.id == a.evidence[0]).facts
    epoch = float(facts["epoch_s"])  # type: ignore[arg-type]
    assert abs(epoch + float(facts["first_s"]) - start) < 10  # type: ignore[arg-type]
    assert abs(epoch + float(facts["until_s"]) - end) < 1  # type: ignore[arg-type]
    assert "14:37:18" in reply.answer
    assert "14:48:54" in reply.answer


def test_a_stretch_of_the_attack_belongs_to_the_finding(workstation: Session) -> None:
    reply = ask(workstation, "what happened between 14:37:33 and 14:37:35?")
    assert rows(reply) == [1104, 1105]
    assert reply.status == "abnormal"
    assert "none of them rare on its own, yet they touch the finding below" in reply.answer
    assert "0 of them rare" not in reply.answer


def test_a_time_narrows_a_kind_of_event(workstation: Session) -> None:
    reply = ask(workstation, "were any files written between 14:37:30 and 14:37:45?")
    assert rows(reply) == [1106]


def test_a_harmless_handle_is_not_called_memory(workstation: Session) -> None:
    reply = ask(workstation, "who talked to lsass?")
    lines = [line for line in reply.answer.splitlines() if "MsMpEng.exe opened" in line]
    assert lines
    assert all("not enough to read its memory" in line for line in lines)


def test_each_threshold_says_what_it_is_for(workstation: Session) -> None:
    said = ask(workstation, "how do you know?").answer
    assert "(for chains," in said
    assert "for single events," in said


def test_a_question_for_what_is_malicious_still_gets_the_findings(workstation: Session) -> None:
    ask(workstation, "what did powershell.exe do?")
    reply = ask(workstation, "which process looks malicious and what did it do?")
    assert "svcupd.exe" in reply.answer
    assert not rows(reply)


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "loghub_2k").is_dir(), reason="real data set loghub_2k not found under TELLTALE_DATA")
def test_real_ssh_lines_tell_of_guessing_and_of_the_one_who_got_in(tmp_path: Path) -> None:
    session = Session(home=tmp_path)
    first = ask(session, "what is wrong?", files=[DATA / "loghub_2k" / "OpenSSH_2k.parquet"])
    assert "logged in to" not in first.answer
    assert "accepted a connection" not in first.answer
    reply = ask(session, "is there a brute force attack?")
    assert "520 rows tell of failed logins" in reply.answer
    assert "286 failures from `183.62.140.253`" in reply.answer
    assert "row 956" in reply.answer
    assert rows(ask(session, "did anyone get in?"))[0] == 956
    assert "`183.62.140.253` (in 286 rows)" in ask(session, "which IP tried to log in most often?").answer
    assert ask(session, "are there any registry changes?").status == "insufficient"
    session.close()


@pytest.mark.data
@pytest.mark.timeout(240)
@pytest.mark.skipif(not (DATA / "otrf_sysmon").is_dir(), reason="real data set otrf_sysmon not found under TELLTALE_DATA")
def test_a_real_capture_is_told_worst_first_and_its_relations_hold(tmp_path: Path) -> None:
    session = Session(home=tmp_path)
    first = ask(session, "what is wrong?", files=[DATA / "otrf_sysmon" / "lsass01_mimikatz.parquet"])
    scores = [a.severity_score for a in first.anomalies]
    assert scores == sorted(scores, reverse=True)
    assert rows(ask(session, "who started winx64_payload.exe?")) == [6677]
    assert rows(ask(session, "was anything injected?")) == [29108]
    assert (
        "6,476 rows tell of registry changes" in ask(session, "are there any registry changes?").answer
    )  # a process is called Registry
    stolen = ask(session, "were credentials stolen?")
    assert {28668, 32402} <= set(rows(stolen))
    session.close()


@pytest.mark.parametrize(("question", "row"), [("who wrote svcupd.exe?", 1106), ("who wrote the file dbg7f2.bin", 1111)])
def test_who_wrote_a_file(workstation: Session, question: str, row: int) -> None:
    assert rows(ask(workstation, question)) == [row]


def test_a_file_that_the_log_does_not_name_was_written_by_nobody_there(workstation: Session) -> None:
    reply = ask(workstation, "who created lsass.dmp?")
    assert "`lsass.dmp` stands in none of the 1,534 rows" in reply.answer
    assert reply.anomalies == ()


@pytest.mark.parametrize("question", ["how many events are there?", "how many log entries?"])
def test_events_are_counted(workstation: Session, question: str) -> None:
    lines = (SAMPLES / "workstation.jsonl").read_text().splitlines()
    answer = ask(workstation, question).answer
    assert answer.startswith(f"**{sum(bool(line.strip()) for line in lines):,} events**")
    assert "belong to the finding below" in answer


def test_suspicious_events_are_counted_among_all(workstation: Session) -> None:
    answer = ask(workstation, "how many suspicious events are there?").answer
    assert "among 1,534 events 1 finding passes the threshold" in answer


def test_a_file_is_called_by_a_word_of_its_name(workstation: Session) -> None:
    short, full = (rows(ask(workstation, q)) for q in ("who opened the invoice?", "who opened Invoice_4471.docm?"))
    assert short == full != []


def test_the_busiest_process_is_counted(workstation: Session) -> None:
    answer = ask(workstation, "which process has the most events?").answer
    assert re.search(r"Most of them by `[^`]*chrome\.exe` \(428\)", answer)
