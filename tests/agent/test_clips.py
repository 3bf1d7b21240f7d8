"""A stretch of a video is cut out when it is asked for, and comes with the answer as a file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from asking import SAMPLES, ask
from tier_models import TIER

from agent.grammar import understand
from agent.question import Context, SourceInfo
from agent.reading.clips import asks_for_clip
from agent.reply import Panel, Reply
from agent.reply_html import pictures_html
from agent.session import Session
from core.samples import VideoClip
from readers.open import open_path
from tools.video.clip_export import ClipWriter
from ui.terminal import answer_text

pytestmark = pytest.mark.skipif(TIER != "embedded", reason="what is cut does not depend on who words the answer")


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Session, Reply]]:
    """A chat in which the bundled clip was judged."""
    session = Session(home=tmp_path_factory.mktemp("clips"))
    yield session, ask(session, "When does something unusual happen?", files=[SAMPLES / "crossing.mp4"])
    session.close()


def cut_of(reply: Reply) -> list[tuple[Panel, VideoClip]]:
    """The clips that came with a reply."""
    panels = [panel for panel in reply.panels if panel.kind == "clip"]
    clips = []
    for panel in panels:
        sample = open_path(Path(str(panel.path)), kind="video").samples[0]
        assert isinstance(sample, VideoClip)
        clips.append((panel, sample))
    return clips


def test_the_clip_of_the_event_comes_with_the_answer(chat: tuple[Session, Reply]) -> None:
    session, first = chat
    event = first.anomalies[0].loci[0]
    reply = ask(session, "Send me the clip of that event.")
    ((panel, clip),) = cut_of(reply)
    evidence = next(e for e in reply.evidence if e.id == panel.evidence)
    assert evidence.tool == "lookup_clip"
    assert evidence.facts["from_s"] == pytest.approx(max(0.0, event.start_s - 1.0), abs=0.1)  # type: ignore[union-attr]
    assert clip.duration_s == pytest.approx(event.end_s - event.start_s + 2.0, abs=0.2)  # type: ignore[union-attr]
    assert clip.n_frames == evidence.facts["frames"]
    whole = open_path(SAMPLES / "crossing.mp4").samples[0]
    assert isinstance(whole, VideoClip)
    one = next(clip.frames()).rgb
    other = next(whole.frames(start_s=float(str(evidence.facts["from_s"])) - 1e-6)).rgb
    assert np.abs(one.astype(int) - other).mean() < 6
    assert f"[{panel.evidence}]" in reply.answer
    assert "telltale clip" not in reply.answer
    assert str(panel.path) in answer_text(reply)
    assert Path(str(panel.path)).is_relative_to(session._store.home)


def test_a_time_is_cut_as_it_was_said(chat: tuple[Session, Reply]) -> None:
    session, _ = chat
    ((panel, clip),) = cut_of(ask(session, "Export 0:02 to 0:04 as a clip"))
    assert panel.caption == "crossing_2.0-4.0s.mp4"
    assert clip.duration_s == pytest.approx(2.0, abs=0.1)
    outside = ask(session, "cut 9:00 to 9:10 out of the video")
    assert cut_of(outside) == []
    assert outside.answer


def test_the_report_is_still_the_report(chat: tuple[Session, Reply]) -> None:
    session, _ = chat
    reply = ask(session, "Export this as a report")
    assert cut_of(reply) == []
    assert "report" in reply.answer


@pytest.mark.parametrize("name", ['..\\..\\"><img src=x onerror=alert(1)>.mp4', "-rf \u202e4pm.\x1b[31m$(reboot).mp4", "....mp4"])
def test_a_hostile_name_names_no_other_file_and_no_markup(name: str, tmp_path: Path) -> None:
    shutil.copyfile(SAMPLES / "crossing.mp4", tmp_path / name)
    session = Session(home=tmp_path / "home")
    reply = ask(session, "Save the clip from 0:01 to 0:02", files=[tmp_path / name])
    session.close()
    ((panel, _),) = cut_of(reply)
    assert set(panel.caption) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
    assert not panel.caption.startswith((".", "-"))
    assert panel.caption.endswith("_1.0-2.0s.mp4")
    assert Path(str(panel.path)).resolve().is_relative_to((tmp_path / "home").resolve())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "home"])
    shown = pictures_html(reply, key="t1", link=lambda path: "u")
    assert f'download="{panel.caption}"' in shown
    assert "<img src=x" not in shown
    assert "\x1b" not in answer_text(reply)


def test_an_event_at_the_very_end_is_cut_to_the_last_frame(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ground = rng.integers(60, 140, (96, 160, 3))
    writer = ClipWriter(tmp_path / "end.mp4", fps=10.0)
    for number in range(120):
        frame = ground.copy()
        frame[10:38, 10 + number : 30 + number] = 220
        if number >= 105:
            frame[50:90:4, 40:140] = 255
            frame[52:92:4, 40:140] = 0
        writer.add(number / 10, (frame + rng.integers(-3, 4, frame.shape)).clip(0, 255).astype(np.uint8))
    writer.close()
    session = Session(home=tmp_path / "home")
    first = ask(session, "When does something unusual happen?", files=[tmp_path / "end.mp4"])
    reply = ask(session, "Export the clip of that event")
    session.close()
    assert first.anomalies[0].loci[0].end_s == pytest.approx(12.0, abs=0.11)  # type: ignore[union-attr]
    ((panel, clip),) = cut_of(reply)
    evidence = next(e for e in reply.evidence if e.id == panel.evidence)
    assert evidence.facts["to_s"] == pytest.approx(12.0, abs=0.11)
    assert clip.n_frames == evidence.facts["frames"]
    last = list(clip.frames())[-1].rgb
    assert last[52:90:4, 50:130].mean() < 60 < 200 < last[50:88:4, 50:130].mean()  # the stripes of the last frame


def test_without_an_event_nothing_is_cut_and_that_is_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ground = rng.integers(60, 140, (64, 96, 3))
    writer = ClipWriter(tmp_path / "calm.mp4", fps=10.0)
    for number in range(80):
        writer.add(number / 10, (ground + rng.integers(-3, 4, ground.shape)).clip(0, 255).astype(np.uint8))
    writer.close()
    session = Session(home=tmp_path / "home")
    reply = ask(session, "Send me the clip of the event", files=[tmp_path / "calm.mp4"])
    session.close()
    assert cut_of(reply) == []
    assert "No event" in reply.answer


@pytest.mark.parametrize(
    "said",
    [
        "Export the clip of that event", "save a clip of the second event please", "can you send me the video of the fall?",
        "cut that out", "give me the footage from 0:05 to 0:10",
        "I need an mp4 of this", "download the clip", "export 0:05-0:10 as a video",
        "export all events as clips", "could you cut 0:03 to 0:06 out for the police", "share the recording of the moment he falls",
    ],
)  # fmt: skip
def test_wishes_for_a_clip_are_understood(said: str) -> None:
    video = Context(sources=(SourceInfo(name="cam.mp4", kind="video", duration_s=30.0),))
    assert understand(said, video).cut, said
    assert not understand(said, Context(sources=(SourceInfo(name="a.csv", kind="series", duration_s=30.0),))).cut


@pytest.mark.parametrize(
    "said",
    [
        "export a report of the clip", "make a summary of the video", "what happens in the clip?", "is there a cut in the video?",
        "save the findings as csv", "do people run in the video?", "send me a picture of the event in the clip", "how long is the clip?",
        "from now on a person who runs in the video is an anomaly", "why was the power cut?", "show me the frame at 0:05",
        "give me a list of events in the video", "have people been in the video?", "do you need the clip again?",
        "please blur the faces and send the clip to my boss", "send the clip to my boss", "slow the clip down and save it",
    ],
)  # fmt: skip
def test_other_wishes_are_none_for_a_clip(said: str) -> None:
    assert not asks_for_clip(said.lower()), said
