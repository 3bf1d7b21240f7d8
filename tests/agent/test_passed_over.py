"""What is harmful by its nature and yet no finding, because the normal log shows the same, is told."""

import pytest
from asking import SAMPLES, ask

from agent.session import Session

LOG = SAMPLES / "workstation.jsonl"


@pytest.fixture
def session(tmp_path):
    opened = Session(home=tmp_path)
    yield opened
    opened.close()


def test_a_normal_log_that_holds_the_attack_does_not_hide_what_is_harmful_by_nature(session):
    reply = ask(session, "What is wrong here?", files=[LOG], normal=[LOG])
    assert reply.status == "normal"
    line = next(line for line in reply.answer.splitlines() if "harmful by nature" in line)
    assert line.startswith("Not rare beside the normal log (leave that out where it is not surely clean)")
    assert "svcupd.exe opened the memory of lsass.exe" in line


def test_what_is_in_a_finding_is_not_told_twice(session):
    assert "harmful by nature" not in ask(session, "What is wrong here?", files=[LOG]).answer
