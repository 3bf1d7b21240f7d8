"""Accounts of findings, from files to reply: cause only from earlier evidence, effect only from later, every sentence borne out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import SAMPLES, ask
from plant import write_clip, write_log, write_pump

from agent.accounts import accountant
from agent.accounts.account import Account, Statement, stories
from agent.answer import MOST_EXPLAINED
from agent.narration.narrator import narrate
from agent.narration.scene import Scene
from agent.reply import Reply
from agent.reply_html import evidence_html
from agent.report import report_html
from agent.session import Session, _from_plain, _to_plain
from agent.verify import CITATION, check_sentence
from core.errors import BadInput
from core.evidence import Interval
from models.chat.scripted import scripted

PARTS = ("cause", "effect", "innocent", "insufficient")


def statements(account: Account) -> list[Statement]:
    single = [s for s in (account.what, account.where, account.when, account.why) if s is not None]
    return [*single, *(s for part in PARTS for s in getattr(account, part))]


def holds(reply: Reply) -> None:
    """Every anomaly has its account, and every sentence of it is borne out by evidence that the reply carries."""
    known = {e.id: e for e in reply.evidence}
    assert [a.finding for a in reply.accounts] == [a.evidence[0] for a in reply.anomalies]
    for account, anomaly in zip(reply.accounts, reply.anomalies, strict=True):
        assert (account.severity, account.confidence) == (anomaly.severity, anomaly.confidence)
        assert account.cause or account.insufficient
        assert all((s.offset or 0) < 0 for s in account.cause)
        assert all((s.offset or 0) > 0 for s in account.effect)
        for statement in statements(account):
            check = check_sentence(statement.text, known)
            assert check.holds, (statement.text, check.problems)


BARE = Statement.of("It is odd [E1].")


def account(**given: Any) -> Account:
    plain: dict[str, Any] = {
        "finding": "E1", "source": "a.csv", "what": BARE, "where": BARE, "when": None, "why": BARE, "severity": 1,
        "severity_score": 20.0, "severity_why": "", "confidence": 0.5,
    }  # fmt: skip
    return Account(**{**plain, **given})


def test_a_cause_that_is_not_earlier_and_an_effect_that_is_not_later_cannot_be_told() -> None:
    for offset in (None, 0.0, 5.0):
        with pytest.raises(BadInput, match="a cause that begins before"):
            account(cause=(Statement.of("The belt slipped [E2].", offset=offset),))
    for offset in (None, 0.0, -5.0):
        with pytest.raises(BadInput, match="effect that begins after"):
            account(effect=(Statement.of("The belt slipped [E2].", offset=offset),))
    with pytest.raises(BadInput, match="at least one evidence id"):
        Statement.of("The belt slipped.")


def test_an_account_survives_as_json() -> None:
    made = account(cause=(Statement.of("It slipped [E2].", offset=-3.0, unit="rows"),), innocent=(BARE,))
    assert Account.from_json(json.loads(json.dumps(made.to_json()))) == made
    assert made.evidence == ("E1", "E2")


def test_the_first_answer_carries_accounts_and_why_tells_them(workstation: Session) -> None:
    first = ask(workstation, "what is wrong?")
    holds(first)
    (told,) = first.accounts
    assert "OUTLOOK.EXE wrote" in told.cause[0].text
    assert "connected to 203.0.113.66:8443" in told.effect[0].text
    assert "grew out of" not in first.answer
    assert json.loads(json.dumps(first.to_json()))["accounts"][0]["cause"][0]["offset"] < 0
    for question in ("why did it happen?", "what caused it?", "how do you know?"):
        why = ask(workstation, question)
        holds(why)
        assert f"\n  - {told.cause[0].text}" in why.answer, question
        assert f"\n  - {told.effect[0].text}" in why.answer, question


@pytest.fixture(scope="module")
def glitch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """Readings of which a single one is out."""
    folder = tmp_path_factory.mktemp("glitch")
    values = np.random.default_rng(4).normal(10, 0.1, (1500, 2))
    values[900, 0] = 60
    rows = "\n".join(f"{i},{a:.4f},{b:.4f}" for i, (a, b) in enumerate(values))
    (folder / "line.csv").write_text(f"seconds,pressure [bar],flow\n{rows}\n")
    session = Session(home=folder / "home")
    ask(session, "what is wrong?", files=[folder / "line.csv"])
    yield session
    session.close()


def test_what_was_measured_may_excuse_a_finding_and_nothing_else(glitch: Session) -> None:
    reply = ask(glitch, "why?")
    holds(reply)
    (told,) = reply.accounts
    assert told.innocent[0].text.startswith("Only 1 reading of `pressure` is out")
    assert "  - Possibly harmless: only 1 reading of `pressure` is out" in reply.answer
    assert "does not show what came before" in reply.answer
    assert "is back at" in told.effect[0].text


def test_doubt_is_answered_with_what_may_excuse_a_finding(glitch: Session) -> None:
    answer = ask(glitch, "how sure are you?").answer
    assert "Possibly harmless" in answer
    assert "does not show what came before" not in answer


def test_photos_show_one_moment_and_that_is_said_once(tiles: Session) -> None:
    reply = ask(tiles, "why are they damaged?")
    holds(reply)
    assert all(a.when is None and not a.cause and not a.effect for a in reply.accounts)
    assert reply.answer.count("show one moment") == 1


def test_files_that_share_a_clock_come_before_and_after_each_other(tmp_path: Path) -> None:
    files = [write_pump(tmp_path / "pump.csv"), write_log(tmp_path / "controller.jsonl"), write_clip(tmp_path / "hall.mp4")]
    session = Session(home=tmp_path / "home")
    reply = ask(session, "what is wrong?", files=files)
    session.close()
    holds(reply)
    by_source = {a.source: a for a in reversed(reply.accounts)}
    assert any("`controller.jsonl` shows" in s.text for s in by_source["pump.csv"].cause)
    assert any("`pump.csv` shows" in s.text for s in by_source["controller.jsonl"].effect)
    assert all("order in time" in s.text for a in reply.accounts for s in (*a.cause, *a.effect) if " shows " in s.text)


def test_who_does_what_is_followed_when_why_is_asked_and_never_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    followed = []
    relations = accountant.relation_evidence
    monkeypatch.setattr(accountant, "relation_evidence", lambda *given: followed.append(1) or relations(*given))
    session = Session(home=tmp_path / "home", model="embedded")
    clip = write_clip(tmp_path / "hall.mp4")
    first = ask(session, "what is wrong?", files=[clip])
    holds(first)
    assert not followed
    assert "ask why it happened" in first.accounts[0].insufficient[0].text
    why = ask(session, "why did it happen?")
    holds(why)
    assert "ask why it happened" not in why.answer
    ask(session, "why did it happen?")
    session.close()
    other = Session(home=tmp_path / "home")
    ask(other, "why did it happen?", files=[clip])
    other.close()
    assert len(followed) == 1


def test_what_was_measured_is_measured_once_for_all_chats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(home=tmp_path)
    first = ask(session, "why?", files=[SAMPLES / "pump.csv"])
    session.close()
    monkeypatch.setattr(accountant.around_series, "around", _forbidden)
    again = Session(home=tmp_path)
    second = ask(again, "why?", files=[SAMPLES / "pump.csv"])
    again.close()
    assert [plain(a) for a in second.accounts] == [plain(a) for a in first.accounts]


def plain(told: Account) -> list[str]:
    """The sentences of an account without the numbers that this chat gave its evidence."""
    return [CITATION.sub("", s.text) for s in statements(told)]


def _forbidden(*given: object) -> None:
    raise AssertionError("measured again")


def test_what_cannot_be_measured_leaves_an_account_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: object) -> None:
        raise BadInput("the file is gone.")

    monkeypatch.setattr(accountant.around_series, "around", broken)
    session = Session(home=tmp_path)
    reply = ask(session, "why?", files=[SAMPLES / "pump.csv"])
    session.close()
    holds(reply)
    assert all(not a.cause and not a.innocent for a in reply.accounts)


def test_of_many_findings_the_worst_are_explained(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(10, 0.1, 3000)
    for number, row in enumerate(range(300, 2900, 400)):
        values[row : row + 4] += 6 + number
    (tmp_path / "many.csv").write_text("seconds,a\n" + "\n".join(f"{i},{v:.4f}" for i, v in enumerate(values)) + "\n")
    session = Session(home=tmp_path / "home")
    reply = ask(session, "why is it abnormal?", files=[tmp_path / "many.csv"])
    session.close()
    holds(reply)
    assert len(reply.anomalies) > MOST_EXPLAINED
    assert reply.answer.count("cannot rebuild this") == MOST_EXPLAINED
    assert "name one to hear why" in reply.answer


def test_a_rule_tells_that_it_measures_nothing_before(tmp_path: Path) -> None:
    session = Session(home=tmp_path)
    reply = ask(session, "what is wrong?", files=[SAMPLES / "pump.csv"], rules=["vibration above 6 mm/s is an anomaly"])
    session.close()
    holds(reply)
    ruled = [a for a in reply.accounts if "Your rule holds" in a.why.text]
    assert len(ruled) == 1
    assert ruled[0].cause == ()
    assert "not what came before" in ruled[0].insufficient[0].text


def test_the_page_and_the_report_show_accounts_beside_the_findings(workstation: Session) -> None:
    reply = ask(workstation, "what is wrong?")
    page = evidence_html(reply, key="t1")
    assert '<dl class="tt-account"><dt>Before</dt>' in page
    assert "<dt>After</dt>" in page
    assert 'href="#ev-t1-' in page.split("tt-account")[1]
    report = report_html(workstation.history(), thread="t")
    assert "<dt>Before</dt>" in report
    assert evidence_html(replace(reply, accounts=()), key="t1").count("tt-account") == 0


def test_replies_that_were_kept_before_there_were_accounts_still_open(pump: Session) -> None:
    plain = json.loads(json.dumps(_to_plain(ask(pump, "what is wrong?"))))
    assert _from_plain(plain).accounts
    del plain["accounts"]
    assert _from_plain(plain).accounts == ()


def test_a_model_is_given_the_worst_accounts_and_may_say_them_word_for_word(workstation: Session) -> None:
    reply = ask(workstation, "what is wrong?")
    around = stories(reply.accounts, ["something else"])
    assert stories(reply.accounts, [s.text for s in around]) == []
    texts = [s.text for s in around]
    scene = Scene(question="why?", evidence=reply.evidence, draft=[reply.accounts[0].why.text], accounts=texts)
    asked = scene.text()
    assert "What is known of before, after and excuses" in asked
    assert all(text in asked for text in texts)
    said = narrate(scripted(" ".join([reply.accounts[0].why.text, *texts])), scene)
    assert said.removed == ()
    assert all(text in said.lines for text in texts)
    lie = texts[0].replace("explorer.exe started", "svcupd.exe started")
    assert narrate(scripted(f"{lie} {texts[1]}", lie, lie), scene).removed


def test_evidence_of_a_context_has_times_that_fit_its_side(workstation: Session, pump: Session) -> None:
    for session in (workstation, pump):
        reply = ask(session, "what is wrong?")
        known = {e.id: e for e in reply.evidence}
        for told in reply.accounts:
            for side, statement in [("before", s) for s in told.cause] + [("after", s) for s in told.effect]:
                context = known[statement.evidence[0]]
                assert context.tool == f"context_{side}"
                finding = known[told.finding]
                if isinstance(finding.locus, Interval):
                    assert float(context.facts["from_s"]) > finding.locus.start_s  # type: ignore[arg-type]
                else:
                    rows = [row for row, _, _ in context.facts["did"]]  # type: ignore[union-attr]
                    last = max(finding.locus.rows)  # type: ignore[union-attr]
                    assert all(row > last if side == "after" else row < last for row in rows)
