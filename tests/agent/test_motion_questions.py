"""Questions about what people do in a video: followed, told with their time, denied only where everybody was followed."""

from __future__ import annotations

from pathlib import Path

import pytest
from asking import DATA, ask

from agent.lookups.motions import motion
from agent.lookups.scope import Scope
from agent.question import TimeRange
from agent.reading.sights import Asked
from agent.rules.read_motion import read_motion
from agent.session import Session
from agent.telling.lookup import tell
from core.samples import VideoClip
from readers.open import Source
from tools.video import following as followings
from tools.video import relations as logs
from tools.video.following import Following, Shares
from tools.video.relation_words import Entity, Relation

CLIP = VideoClip(name="hall.mp4", height=240, width=320, fps=10.0, duration_s=20.0, n_frames=200, opener=lambda *_: iter(()))
ALL = Shares(tracks=2, kept=1.0, apart=1.0, smallest=120.0)
WELL = Following(people=ALL, things=ALL, moved=True, steady=True, movers=2, one_way=True, free={})
FALLS = (
    Relation(t0_s=4.0, t1_s=4.6, subject=Entity(1, "person"), predicate="falls", strength=0.8),
    Relation(t0_s=15.0, t1_s=15.5, subject=Entity(2, "person"), predicate="falls", strength=0.7),
)


def asked_about(
    log: tuple[Relation, ...], phrase: str, monkeypatch: pytest.MonkeyPatch, *times: tuple[float, float], whether: bool = True
) -> list[str]:
    """What is told of a clip in which everybody was followed and `log` happened."""
    import tools.video.track_finder as finder

    monkeypatch.setattr(logs, "clip_relations", lambda clip, zones=(): log)
    monkeypatch.setattr(finder, "find_tracks", lambda clip: None)
    monkeypatch.setattr(followings, "following", lambda tracks: WELL)
    scope = Scope(
        source=Source(name="hall.mp4", kind="video", samples=(CLIP,), sha256="", summary={}), inv=None, samples=(), findings=(), named=(),
        times=tuple(TimeRange(text="then", start_s=a, end_s=b, source="hall.mp4") for a, b in times),
    )  # fmt: skip
    found = motion(Asked(sight="people", phrase=phrase, beyond=True, whether=whether), scope)
    return [] if found is None else tell(found)


def test_every_time_it_happens_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = asked_about(FALLS, "somebody fall", monkeypatch)
    assert first.startswith("Yes, as far as simple tracking can tell: `person 1 falls at 4.0–4.6 s`")
    assert second.startswith("Also `person 2 falls at 15.0–15.5 s`")


def test_only_the_times_asked_about_count(monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = asked_about(FALLS, "somebody fall", monkeypatch, (14.0, 18.0))
    assert "in the time asked about: `person 2 falls" in one
    (none,) = asked_about(FALLS, "somebody fall", monkeypatch, (7.0, 9.0))
    assert none.startswith("No, not as far as simple tracking can tell")


def test_another_act_is_denied_when_everybody_was_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    (none,) = asked_about(FALLS, "somebody running", monkeypatch)
    assert "nowhere is it so that `a person runs`" in none


@pytest.mark.parametrize("phrase", ["people cross", "people", "a dog", "", "person's shoe size"])
def test_what_is_no_act_is_left_to_other_lookups(phrase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked_about(FALLS, phrase, monkeypatch) == []


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "gmdcsa24_falls").is_dir(), reason="gmdcsa24_falls is not below TELLTALE_DATA")
@pytest.mark.parametrize(("clip", "start"), [("Subject_3_Fall_19", "Yes, as far as"), ("Subject_3_ADL_19", "No, not as far as")])
def test_a_fall_in_a_real_clip(clip: str, start: str, tmp_path: Path) -> None:
    session = Session(home=tmp_path)
    reply = ask(session, "did somebody fall?", files=[DATA / "gmdcsa24_falls" / f"{clip}.mp4"])
    session.close()
    assert reply.answer.startswith(start)
    assert ("`person 1 falls at 2.3" in reply.answer) == (start[:3] == "Yes")


@pytest.mark.parametrize(
    ("said", "predicate"),
    [
        ("anyone fallen", "falls"), ("a person collapsed", "falls"), ("someone slipped", "falls"),
        ("a worker dropped to the floor", "falls"),
        ("a man ran", "runs"), ("a person walked too fast", "runs"), ("somebody has exited the zone", "leaves"),
        ("people gathered", "crowds"), ("two people fought", "fights"), ("a car stopped", "stops"), ("a person sat", "stays"),
        ("someone picked up a bag", "carries"), ("somebody left a bag behind", "is left behind"), ("a dog came into the yard", "enters"),
        ("a cyclist rode the wrong way", "goes the wrong way"), ("a person jumped over the fence", "climbs"),
    ],
)  # fmt: skip
def test_an_act_is_understood_in_any_tense(said: str, predicate: str) -> None:
    assert read_motion(said)[0].predicate == predicate
