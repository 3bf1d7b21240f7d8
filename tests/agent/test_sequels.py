"""Questions about what came before or after an act in a video, why somebody did it, and what touched what."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from asking import DATA, ask

from agent.lookups import sequels as lookups
from agent.question import Request
from agent.reading.sequels import sequel_of
from agent.session import Session
from agent.telling.lookup import tell
from core.samples import VideoClip
from readers.open import Source
from tools.video import relations as logs
from tools.video.relation_words import Entity, Relation
from tools.video.tracks import Track, TrackSet

CLIP = VideoClip(name="hall.mp4", height=240, width=320, fps=10.0, duration_s=20.0, n_frames=200, opener=lambda *_: iter(()))
ONE, TWO, BAG = Entity(1, "person"), Entity(2, "person"), Entity(3, "moving")


def row(predicate: str, start: float, end: float, subject: Entity = ONE, object: Entity | None = None) -> Relation:  # noqa: A002
    return Relation(t0_s=start, t1_s=end, subject=subject, predicate=predicate, object=object, strength=0.5)


LOG = (
    row("appears", 0.0, 0.0), row("approaches", 3.0, 4.5, TWO, ONE), row("contacts", 4.6, 4.9, TWO, ONE), row("falls", 5.2, 6.0),
    row("runs", 6.4, 9.0, TWO), row("recedes", 6.5, 9.0, TWO, ONE), row("contacts", 12.0, 13.0, TWO, BAG),
)  # fmt: skip


@pytest.fixture
def hall(monkeypatch: pytest.MonkeyPatch) -> Source:
    """A clip whose log is `LOG`: person 1 stands, is touched, falls at 5.2 s and lies; person 2 runs off."""
    import tools.video.track_finder as finder

    times = np.arange(0, 20, 1 / 6)
    lies = (times > 5.6)[:, None]
    boxes = np.where(lies, np.array([90.0, 180.0, 170.0, 215.0]), np.array([100.0, 95.0, 140.0, 215.0]))
    track = Track(id=1, label="person", times=times, boxes=boxes, scores=np.ones(len(times), np.float32))
    seen = TrackSet(clip="hall.mp4", width=320, height=240, fps=6.0, start_s=0.0, end_s=20.0, tracks=(track,))
    monkeypatch.setattr(logs, "clip_relations", lambda clip: list(LOG))
    monkeypatch.setattr(finder, "find_tracks", lambda clip: seen)
    return Source(name="hall.mp4", kind="video", samples=(CLIP,), sha256="", summary={})


def told(question: str, source: Source) -> list[str]:
    return [
        line for found in lookups.look_up(Request(question=question, intents=("what",)), source, None) for line in tell(found)
    ]


@pytest.mark.parametrize(
    ("question", "side", "act"),
    [
        ("what happened before he fell?", "before", "falls"), ("What happens right before the man falls down?", "before", "falls"),
        ("what did the woman do before she ran?", "before", "runs"), ("tell me what led to the fall", "before", "falls"),
        ("and what happened after that?", "after", None), ("what came before the collision?", "before", None),
        ("what preceded the accident?", "before", None), ("what happened after the person collapsed", "after", "falls"),
        ("why did she fall?", "cause", "falls"), ("what made the man stop?", "cause", "stops"), ("how come he ran?", "cause", "runs"),
        ("what hit what?", "contact", None), ("who touched whom?", "contact", None), ("what did the car crash into?", "contact", None),
        ("what is wrong?", None, None), ("why is it unusual?", None, None), ("what happened after 10 s?", None, None),
        ("what happened before 0:07?", None, None), ("when did he fall?", None, None), ("did he fall before the alarm?", None, None),
        ("what was the pressure before the maintenance?", None, None), ("did somebody fall?", None, None),
    ],
)  # fmt: skip
def test_what_is_asked_around_an_act(question: str, side: str | None, act: str | None) -> None:
    found = sequel_of(question)
    assert (found and found.side, found and found.act) == (side, act)


def test_before_an_act_come_its_rows_and_how_one_was(hall: Source) -> None:
    act, state, *rows = told("what happened before he fell?", hall)
    assert "`person 1 falls at 5.2–6.0 s`" in act
    assert "`person 1 stays in place and is upright at 0.0–5.2 s`" in state
    assert [re.findall("`(.*)`", line)[0] for line in rows] == [
        "person 2 approaches person 1 at 3.0–4.5 s", "person 2 touches person 1 at 4.6–4.9 s",
    ]  # fmt: skip


def test_after_an_act_only_rows_about_who_did_it_count(hall: Source) -> None:
    text = "\n".join(told("what did he do after the fall?", hall))
    assert "is low" in text
    assert "moves away from person 1 at 6.5–9.0 s" in text
    assert "runs" not in text
    assert "thing 3" not in text


def test_why_is_never_claimed(hall: Source) -> None:
    lines = told("why did he fall?", hall)
    assert "`person 2 touches person 1 at 4.6–4.9 s`" in "\n".join(lines)
    assert lines[-1].startswith("Whether that led to it I cannot tell")


def test_what_touched_what(hall: Source) -> None:
    first, second, caution = told("what hit what?", hall)
    assert "`person 2 touches person 1 at 4.6–4.9 s`" in first
    assert "`person 2 touches thing 3 at 12.0–13.0 s`" in second
    assert "may be apart in the scene" in caution


def test_without_an_event_there_is_nothing_before_it(hall: Source) -> None:
    assert told("what happened before the crash?", hall) == []


FALLS = DATA / "gmdcsa24_falls"


@pytest.mark.data
@pytest.mark.skipif(not FALLS.is_dir(), reason="gmdcsa24_falls is not below TELLTALE_DATA")
@pytest.mark.parametrize(("clip", "fell_s"), [("Subject_3_Fall_19", 2.0), ("Subject_2_Fall_13", 2.5), ("Subject_4_Fall_01", 1.8)])
def test_before_a_real_fall_somebody_stood_until_then(clip: str, fell_s: float, tmp_path: Path) -> None:
    """Labels: standing until the fall begins. Right within a second, or said to be unknown."""
    session = Session(home=tmp_path)
    reply = ask(session, "what happened before he fell?", files=[FALLS / f"{clip}.mp4"])
    answer, store = reply.answer, session._conversation._store
    told = next(one for one in store.evidence(session.thread) if one.tool == "lookup_sequel")
    session.close()
    assert told.path is not None
    assert (store.home / told.path).is_file()
    [(fell, stood)] = re.findall(r"falls at ([\d.]+)–.*?upright at [\d.]+–([\d.]+) s", answer, re.DOTALL)
    assert abs(float(fell) - fell_s) <= 1.0
    assert abs(float(stood) - fell_s) <= 1.0


@pytest.mark.data
@pytest.mark.skipif(not FALLS.is_dir(), reason="gmdcsa24_falls is not below TELLTALE_DATA")
@pytest.mark.parametrize("clip", ["Subject_3_ADL_19", "Subject_2_ADL_23", "Subject_3_Fall_20"])
def test_no_fall_is_made_up(clip: str, tmp_path: Path) -> None:
    session = Session(home=tmp_path)
    answer = ask(session, "what happened before he fell?", files=[FALLS / f"{clip}.mp4"]).answer
    session.close()
    assert "falls at" not in answer
    assert "cannot tell whether" in answer or "No, not" in answer or "Not as far as" in answer


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "ucf_crime_clips").is_dir(), reason="ucf_crime_clips is not below TELLTALE_DATA")
def test_around_a_real_accident(tmp_path: Path) -> None:
    """Labelled from 8 to 10 s."""
    session = Session(home=tmp_path)
    clip = DATA / "ucf_crime_clips" / "RoadAccidents002_x264.mp4"
    hit = ask(session, "what hit what?", files=[clip]).answer
    spans = [(float(a), float(b)) for a, b in re.findall(r"touches .*? at ([\d.]+)–([\d.]+) s", hit)]
    assert spans
    assert all(start <= 10.0 + 1 and end >= 8.0 - 1 for start, end in spans)
    before = ask(session, "what happened before the crash?").answer
    session.close()
    begun = re.search(r"What stands out begins at 0:([\d.]+) and ends at 0:([\d.]+)", before)
    assert begun is not None
    assert abs(float(begun[1]) - 8.0) <= 1.0
    assert abs(float(begun[2]) - 10.0) <= 1.0
    ends = [float(end) for end in re.findall(r"Before it: .*? at ([\d.]+)", before)]
    assert ends
    assert max(ends) < 8.0
