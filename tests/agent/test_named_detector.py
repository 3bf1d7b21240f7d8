"""A detector that a person names judges instead of the planner's choice, until another is named or the choice is given back."""

from __future__ import annotations

from pathlib import Path

import pytest
from asking import SAMPLES, ask

from agent.reading.detectors import JUDGE_ANEW, OWN_CHOICE, named_detector
from agent.session import Session
from tools.catalog import catalogue


@pytest.mark.parametrize(
    ("message", "name", "rest"),
    [
        ("use musc instead", "musc", JUDGE_ANEW),
        ("Use INP-Former, please: which ones are broken?", "inp_former", "which ones are broken?"),
        ("please try FastFlow on these", "fastflow", JUDGE_ANEW),
        ("can you judge them with the vision-ad detector?", "vision_ad", "judge them?"),
        ("what does MuSc-V2 say about them?", "musc_v2", JUDGE_ANEW),
        ("how bad is it by patch search?", "patch_search", "how bad is it?"),
        ("what does GID say about this log?", "gid", JUDGE_ANEW),
        ("switch to window PCA and tell me when it starts", "window_pca", "tell me when it starts"),
        ("use TriP-LLM: which sensor is it?", "trip_llm", "which sensor is it?"),
        ("choose yourself again", OWN_CHOICE, JUDGE_ANEW),
        ("go back to your own choice", OWN_CHOICE, JUDGE_ANEW),
    ],
)
def test_a_detector_is_named_in_many_ways(message: str, name: str, rest: str) -> None:
    found = named_detector(message, catalogue())
    assert found is not None
    assert (found.name, found.rest) == (name, rest)


@pytest.mark.parametrize(
    "message",
    ["is the noise gaussian?", "what is the rarity of this?", "use less", "with the rarity you would expect", "use the first one",
     "compare musc.png with the others", "what does the pump say?", "try gaussian_blur.png"],
)  # fmt: skip
def test_names_alone_ask_for_nothing(message: str) -> None:
    assert named_detector(message, catalogue()) is None


def test_the_named_detector_judges_and_says_why(tiles: Session) -> None:
    before = ask(tiles, "what is wrong?")
    named = ask(tiles, "use musc instead")
    assert [run.name for run in named.tools] == ["musc"]
    assert "I used `musc` because you asked for it" in named.answer
    assert {e.tool for e in named.evidence if e.score is not None} == {"musc"}
    follow_up = ask(tiles, "how bad is it?")
    assert {e.tool for e in follow_up.evidence if e.score is not None} == {"musc"}
    back = ask(tiles, "use your own choice again")
    assert "`patch_search`" in back.answer
    assert [a.evidence for a in back.anomalies] == [a.evidence for a in before.anomalies]


def test_paths_of_flow_answer_about_a_log_when_they_are_asked_for(tmp_path: Path) -> None:
    session = Session(home=tmp_path)
    reply = ask(session, "use gid: what is wrong here?", files=[SAMPLES / "workstation.jsonl"])
    assert "I used `gid` because you asked for it" in reply.answer
    assert "svcupd.exe opened the memory of lsass.exe" in reply.answer
    assert reply.status == "abnormal"
    why = ask(session, "why is it suspicious?")
    assert "As a chain it scores" in why.answer
    session.close()


def test_what_cannot_be_used_is_said_and_changes_nothing(tmp_path: Path) -> None:
    session = Session(home=tmp_path)
    reply = ask(session, "what does INP-Former say?", files=[SAMPLES / "tiles"])
    assert "I could not use `inp_former`: it needs normal references" in reply.answer
    assert (reply.status, [run.name for run in reply.tools]) == ("abnormal", ["musc"])
    wrong = ask(session, "use window_pca")
    assert "I could not use `window_pca`: it judges series, not image" in wrong.answer
    assert wrong.tools == ()
    session.close()


def test_the_named_detector_is_kept_when_a_chat_is_reopened(tmp_path: Path) -> None:
    session = Session(home=tmp_path, thread="t")
    ask(session, "what is wrong, with musc?", files=[SAMPLES / "tiles"], normal=[SAMPLES / "tiles_normal"])
    session.close()
    again = Session(home=tmp_path, thread="t")
    reply = ask(again, "how bad is it?")
    assert reply.tools == ()
    assert {e.tool for e in reply.evidence if e.score is not None} == {"musc"}
    again.close()
