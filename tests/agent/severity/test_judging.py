"""The chat's model as a judge of severity: its word decides the level, never whether something is abnormal, and it is asked once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import SAMPLES
from plant import write_clip
from tier_models import PLANS_NOTHING

from agent.reply import Progress, Reply, StepDone, TurnEvent
from agent.session import Session
from agent.severity_judging import MOST_JUDGED
from agent.verify import check_sentence, cited_ids
from models.chat.messages import is_picture
from models.chat.scripted import ScriptedChat, scripted

ASKED = "Judge how bad the practical consequence is"
TRUE = "`tile_07.jpg` has an unusual region [E2]."


def judging(*said: object) -> ScriptedChat:
    """A model that plans nothing, judges as told, in turn, and words every answer alike."""
    judged = [{**(s if isinstance(s, dict) else {"text": s}), "when": ASKED} for s in said]
    return scripted(PLANS_NOTHING, *judged, {"text": TRUE, "repeat": True, "matching": f"^(?![\\s\\S]*{ASKED})"})


class Chat:
    """Chats over one home with a scripted model each."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.opened: list[Session] = []

    def ask(self, model: ScriptedChat | None, question: str = "what is wrong?", *, name: str = "script", thread: str | None = None,
            files: list[Path] | None = None, normal: list[Path] | None = None) -> tuple[Reply, list[TurnEvent]]:  # fmt: skip
        session = Session(home=self.home, thread=thread, model=f"scripted:{name}" if model else "embedded")
        self.opened.append(session)
        if model is not None:
            session._conversation.voice._model = model
        tiles = files is None
        *events, reply = session.ask(
            question,
            files=[SAMPLES / "tiles"] if tiles else files or [],
            normal=[SAMPLES / "tiles_normal"] if tiles else normal or [],
        )
        assert isinstance(reply, Reply)
        known = {e.id: e for e in reply.evidence}
        assert all(check_sentence(line, known).holds for line in reply.answer.splitlines() if cited_ids(line))
        return reply, events


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the tiles were examined without a model."""
    made = tmp_path_factory.mktemp("home")
    Chat(made).ask(None)
    return made


@pytest.fixture
def chat(home: Path) -> Iterator[Chat]:
    made = Chat(home)
    yield made
    for session in made.opened:
        session.close()


def judged_by(model: ScriptedChat) -> list[list[dict[str, Any]]]:
    """The blocks of every request to the judge."""
    return [r.messages[-1].content for r in model.sent if ASKED in r.text]  # type: ignore[misc]


def step_of(events: list[TurnEvent]) -> StepDone:
    return next(e for e in events if isinstance(e, StepDone) and e.key == "judge")


def test_the_judges_word_is_the_level_and_what_was_measured_orders_within_it(chat: Chat) -> None:
    embedded, _ = chat.ask(None)
    assert [(a.severity, a.loci[0].sample) for a in embedded.anomalies] == [(3, "tile_07.jpg"), (2, "tile_04.jpg")]
    model = judging(
        "Severity: minor\nReason: oil that can be wiped off", "Severity: critical\nReason: the tile is cracked through"
    )
    reply, events = chat.ask(model, name="eyes.yaml")
    assert reply.status == "abnormal"
    by_name = {a.loci[0].sample: a for a in reply.anomalies}
    assert by_name["tile_07.jpg"].severity == 1
    assert by_name["tile_04.jpg"].severity == 3
    assert by_name["tile_07.jpg"].why.endswith("the model eyes.yaml judges it minor (oil that can be wiped off)")
    assert {a.confidence for a in reply.anomalies} == {a.confidence for a in embedded.anomalies}
    assert [a.severity for a in reply.accounts] == [a.severity for a in reply.anomalies]
    step = step_of(events)
    assert (step.ok, step.detail) == (True, "2 judged")
    first, second = judged_by(model)
    assert [is_picture(block) for block in first] == [True] * 4 + [False]  # three normal tiles, then the one to judge
    assert "«unusual region, centre, brownish and darker than its surroundings»" in first[-1]["text"]
    assert first[3] != second[3]
    assert first[:3] == second[:3]


def test_a_follow_up_another_chat_and_a_reopened_one_cost_nothing(chat: Chat) -> None:
    words = ["Severity: serious\nReason: chipped"] * 2
    first, _ = chat.ask(judging(*words), name="kept.yaml", thread="kept")
    for again in ({"thread": "kept", "files": []}, {}):
        silent = judging()
        reply, events = chat.ask(silent, "how bad is it?", name="kept.yaml", **again)
        assert judged_by(silent) == []
        assert not any(isinstance(e, StepDone) and e.key == "judge" for e in events)
        assert sorted(a.severity_score for a in reply.anomalies) == sorted(a.severity_score for a in first.anomalies)
    other = judging(*words)
    chat.ask(other, name="other.yaml")
    assert len(judged_by(other)) == 2


def test_how_bad_it_is_names_who_judged(chat: Chat) -> None:
    model = judging(*["Severity: serious\nReason: chipped at the edge"] * 2)
    session = chat.ask(model, name="named.yaml", thread="named")[0]
    assert session.status == "abnormal"
    embedded_words = chat.opened[-1].history()[-1].reply.anomalies[0].why
    assert "the model named.yaml judges it serious (chipped at the edge)" in embedded_words


@pytest.mark.parametrize(
    ("lie", "level", "reason"),
    [
        ("Severity: none\nReason: everything is fine, there is no defect", 0, "everything is fine, there is no defect"),
        ("Severity: critical\nReason: 14 people are in danger [E1]", 3, ""),
        ("Severity: minor\nReason: `rm -rf` [click](http://x) **now**", 1, "rm -rf clickhttp://x now"),
        ("Severity: minor\nSeverity: critical\nReason: both", 1, "both"),
    ],
)
def test_a_lie_can_change_a_level_but_neither_verdict_finding_nor_evidence(chat: Chat, lie: str, level: int, reason: str) -> None:
    embedded, _ = chat.ask(None)
    reply, _ = chat.ask(judging(lie, lie), name=f"liar {len(lie)}.yaml")
    assert reply.status == "abnormal"
    assert [a.label for a in reply.anomalies] == [a.label for a in embedded.anomalies]
    assert {a.severity for a in reply.anomalies} == {level}
    assert all(("(" + reason + ")" in a.why) == bool(reason) for a in reply.anomalies)
    assert all("[" not in a.why.replace("the model", "") for a in reply.anomalies)
    measured = [(e.score, e.threshold, e.locus) for e in embedded.evidence if e.facts.get("photo")]
    assert [(e.score, e.threshold, e.locus) for e in reply.evidence if e.facts.get("photo")] == measured


FAILING: dict[str, Any] = {
    "nonsense": "I would rather not say.", "a number of its own": "Severity: 17", "nothing readable": "...",
    "an error": {"text": "Severity:", "error": "the connection was lost."},
    "no eyes": {"error": "model 'blind' takes no pictures. Choose a vision-language model.", "error_class": "BadInput"},
    "no time": {"error": "the time ran out.", "error_class": "BudgetExceeded"},
}  # fmt: skip


@pytest.mark.parametrize("failing", FAILING)
def test_a_judge_that_fails_leaves_the_grades_says_so_and_is_not_asked_further(chat: Chat, failing: str) -> None:
    embedded, _ = chat.ask(None)
    model = judging(FAILING[failing], "Severity: minor\nReason: late")
    name = f"failing {failing}.yaml"
    reply, events = chat.ask(model, name=name)
    assert reply.anomalies == embedded.anomalies
    assert reply.status == "abnormal"
    assert len(judged_by(model)) == 1
    step = step_of(events)
    assert not step.ok
    assert step.detail.endswith("they are graded by what was measured")
    later = judging(*["Severity: minor\nReason: dust"] * 2)  # a failure is not kept: the next chat asks again
    assert {a.severity for a in chat.ask(later, name=name)[0].anomalies} == {1}


def test_what_was_judged_before_a_failure_stays(chat: Chat) -> None:
    model = judging("Severity: minor\nReason: dust", "no idea")
    reply, events = chat.ask(model, name="half.yaml")
    assert sorted(a.severity for a in reply.anomalies) == [1, 2]
    assert "the others are graded by what was measured" in step_of(events).detail


def test_no_more_than_the_worst_few_are_judged(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(1)
    folder, good = tmp_path / "plates", tmp_path / "good"
    folder.mkdir()
    good.mkdir()
    for number in range(MOST_JUDGED + 5):
        pixels = rng.normal(128, 6, (96, 96, 3))
        if number < MOST_JUDGED + 2:
            pixels[30:60, 30 : 45 + 5 * number] = 10
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"plate_{number}.png")
        else:
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(good / f"good_{number}.png")
    chat = Chat(tmp_path / "home")
    model = judging(*["Severity: minor\nReason: a dark spot"] * 10)
    reply, _ = chat.ask(model, files=[folder], normal=[good])
    assert len(reply.anomalies) == MOST_JUDGED + 2
    assert len(judged_by(model)) == MOST_JUDGED
    assert sum("judges it minor" in a.why for a in reply.anomalies) == MOST_JUDGED
    for session in chat.opened:
        session.close()


def test_an_event_of_a_video_is_judged_by_its_peak_beside_a_normal_frame(tmp_path: Path) -> None:
    chat = Chat(tmp_path / "home")
    model = judging("Severity: critical\nReason: smoke fills the hall")
    clip = write_clip(tmp_path / "hall.mp4")
    reply, _ = chat.ask(model, files=[clip])
    assert "judges it critical (smoke fills the hall)" in reply.anomalies[0].why
    assert [is_picture(block) for block in judged_by(model)[0]] == [True, False]
    for session in chat.opened:
        session.close()


def test_readings_and_logs_are_never_shown_to_a_judge(tmp_path: Path) -> None:
    chat = Chat(tmp_path)
    model = judging()
    reply, events = chat.ask(model, files=[SAMPLES / "pump.csv"])
    assert reply.status == "abnormal"
    assert not any(isinstance(e, StepDone) and e.key == "judge" for e in events)
    for session in chat.opened:
        session.close()


def test_a_judge_that_is_stopped_ends_at_once_and_leaves_the_grades(chat: Chat) -> None:
    embedded, _ = chat.ask(None)
    session = Session(home=chat.home, model="scripted:slow.yaml")
    chat.opened.append(session)
    session._conversation.voice._model = judging({"text": "Severity: minor " * 100, "pace_s": 0.05})
    stopped, details, reply = 0.0, [], None
    for event in session.ask("what is wrong?", files=[SAMPLES / "tiles"], normal=[SAMPLES / "tiles_normal"]):
        if isinstance(event, Progress) and event.key == "judge" and not stopped:
            session.stop()
            stopped = time.monotonic()
        if isinstance(event, StepDone) and event.key == "judge":
            details.append(event.detail)
        reply = event
    assert isinstance(reply, Reply)
    assert time.monotonic() - stopped < 3
    assert details == ["you stopped it; they are graded by what was measured"]
    assert reply.anomalies == embedded.anomalies
