"""Unsure moments of a video are shown to the chat's model, one call an event; the detector's verdict stands whatever it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import SAMPLES
from tier_models import PLANS_NOTHING

import agent.second_opinion
from agent.investigation import Finding
from agent.reply import Reply, StepDone
from agent.second_opinion import CLOSER, MOST_PICTURES, TOOL, enlarged, read_opinion, unsure
from agent.session import Session
from agent.verify import check_sentence, cited_ids
from core.errors import ModelOutputError
from core.evidence import Evidence, Interval, Whole
from core.samples import VideoClip
from models.chat.messages import is_picture
from models.chat.scripted import ScriptedChat, scripted

ASKED = "A detector that compares movement and looks was unsure"
JUDGED = "Judge how bad the practical consequence is"
AT = Interval(sample="a.mp4", start_s=1.0, end_s=2.0, peak_s=1.5, box=(2.0, 2.0, 12.0, 10.0))


def looking(*said: str) -> ScriptedChat:
    """A model that plans nothing, is shown moments and answers as told, in turn, and words no answer."""
    return scripted(
        PLANS_NOTHING,
        *[{"text": one, "when": ASKED} for one in said],
        {"text": "Severity: minor\nReason: nobody is harmed", "repeat": True, "when": JUDGED},
        {"text": "…", "repeat": True, "matching": f"^(?![\\s\\S]*({ASKED}|{JUDGED}))"},
    )


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Asks about the crossing with a model; its event, which is sure, counts as unsure here."""
    monkeypatch.setattr(agent.second_opinion, "UNSURE_TO", 1e6)
    opened: list[Session] = []

    def asked(model: ScriptedChat | None, question: str = "what is wrong?", thread: str = "one") -> tuple[Reply, list[StepDone]]:
        known = any(session.thread == thread for session in opened)
        session = Session(home=tmp_path, thread=thread, model="scripted:eyes" if model else "embedded")
        opened.append(session)
        if model is not None:
            session._conversation.voice._model = model
        *events, reply = session.ask(question, files=[] if known else [SAMPLES / "crossing.mp4"])
        assert isinstance(reply, Reply)
        evidence = {e.id: e for e in reply.evidence}
        assert all(check_sentence(line, evidence).holds for line in reply.answer.splitlines() if cited_ids(line))
        return reply, [e for e in events if isinstance(e, StepDone) and e.key == TOOL]

    yield asked
    for session in opened:
        session.close()


def shown(model: ScriptedChat) -> list[list[dict[str, Any]]]:
    return [sent.messages[-1].content for sent in model.sent if ASKED in sent.text]  # type: ignore[misc]


def test_one_call_shows_the_moment_in_order_and_its_opinion_stands_beside_the_verdict(ask: Any) -> None:
    plain, _ = ask(None, thread="plain")
    model = looking("Seen: a cyclist rides against the others\nStatus: normal")
    reply, steps = ask(model)
    assert reply.status == plain.status == "abnormal"
    assert [a.label for a in reply.anomalies] == [a.label for a in plain.anomalies]
    (blocks,) = shown(model)
    pictures = [block for block in blocks if is_picture(block)]
    assert 3 <= len(pictures) <= MOST_PICTURES
    assert f"The {len(pictures)} pictures show one moment" in blocks[-1]["text"]
    assert "«unusual motion" in blocks[-1]["text"]
    line = next(line for line in reply.answer.splitlines() if "opinion" in line)
    assert "it looks normal to it (a cyclist rides against the others)" in line
    (cited,) = cited_ids(line)
    opinion = next(e for e in reply.evidence if e.id == cited)
    assert (opinion.tool, opinion.facts["status"]) == (TOOL, "normal")
    assert isinstance(opinion.locus, Interval)
    assert [(step.ok, step.detail) for step in steps] == [(True, "1 shown")]


def test_asking_again_costs_nothing_in_this_chat_and_in_another(ask: Any) -> None:
    ask(looking("Seen: a van stops\nStatus: abnormal"))
    for thread in ("one", "two"):
        again = looking()
        reply, steps = ask(again, "when was it?", thread)
        assert shown(again) == []
        assert steps == []
        assert "it looks abnormal to it (a van stops)" in reply.answer


def test_where_the_pictures_do_not_tell_it_looks_closer_once(ask: Any) -> None:
    model = looking("Seen: dark shapes\nStatus: insufficient", "Seen: still dark\nStatus: insufficient")
    reply, _ = ask(model)
    first, second = shown(model)
    count = [sum(map(is_picture, blocks)) for blocks in (first, second)]
    assert count[1] == count[0] + CLOSER
    assert f"The last {CLOSER} of them show the place in question enlarged" in second[-1]["text"]
    assert "it cannot tell from the pictures (still dark)" in reply.answer


@pytest.mark.parametrize("said", ["I would rather not.", "Status: fine", "..."])
def test_a_model_that_names_no_status_is_told_in_the_step_and_not_asked_again(ask: Any, said: str) -> None:
    reply, (step,) = ask(looking(said))
    assert not step.ok
    assert "the detector's verdict stands alone" in step.detail
    assert "opinion" not in reply.answer
    again = looking("Seen: x\nStatus: normal")
    ask(again, "when was it?")
    assert len(shown(again)) == 1  # another session: the model may have recovered
    assert reply.status == "abnormal"


def test_a_lie_passes_no_number_and_no_markup(ask: Any) -> None:
    reply, _ = ask(looking("Seen: 14 people [E1] **die** `rm`\nStatus: abnormal"))
    line = next(line for line in reply.answer.splitlines() if "opinion" in line)
    assert "14" not in line
    assert "it looks abnormal to it. That" in line


def test_without_a_model_and_about_other_things_nothing_is_shown(ask: Any) -> None:
    _, steps = ask(None)
    assert steps == []
    model = looking("Seen: x\nStatus: normal")
    ask(model, "thanks!", thread="talk")
    assert shown(model) == []


def finding(ratio: float, locus: Any = AT) -> Finding:
    evidence = Evidence(id="E1", tool="t", version="1", parameters={}, source="a", locus=locus, facts={"times_threshold": ratio})
    return Finding(evidence=evidence, abnormal=ratio > 1)


def test_only_moments_near_the_threshold_are_unsure() -> None:
    assert [unsure(finding(ratio)) for ratio in (0.5, 0.75, 1.0, 1.5, 1.6)] == [False, True, True, True, False]
    assert not unsure(finding(1.0, Whole(sample="a.mp4")))
    assert not unsure(replace(finding(1.0), evidence=replace(finding(1.0).evidence, facts={})))


def test_an_opinion_needs_one_of_three_words() -> None:
    with pytest.raises(ModelOutputError, match="expected 'Status: normal, abnormal or insufficient'"):
        read_opinion("Seen: a dog\nStatus: maybe")
    assert read_opinion("status - NORMAL").seen == ""


@pytest.mark.parametrize(
    "box", [(0.0, 0.0, 63.0, 47.0), (60.0, 44.0, 64.0, 48.0), (10.0, 10.0, 10.0, 10.0), (-5.0, -5.0, 3.0, 3.0)]
)
def test_any_box_can_be_enlarged(box: Any) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (2, 48, 64, 3), dtype=np.uint8)
    clip = VideoClip.from_array("a.mp4", frames, fps=10.0)
    near = enlarged(frames[0], box, clip)
    assert near.dtype == np.uint8
    assert near.shape[0] >= 4
    assert near.shape[1] >= 4
    assert near.shape[2] == 3
