"""A relation encoder trained for the chat's local model: what changes around an event reaches the model, and can be switched off."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from asking import SAMPLES

from agent.narration.changes import ChangeReader, told_clip
from agent.narration.scene import Scene
from agent.reply import Reply
from agent.session import Session
from core.samples import VideoClip
from models.anomaly_adapter.store import adapter_folder
from models.chat.failures import AnswerCutOff
from models.chat.local_vlm import LocalVlm, open_local
from readers.open import open_path

sys.path.append(str(Path(__file__).parents[2] / "unit"))

from tiny_vlm import build_qwen

TIMES = (1.0, 2.0, 3.0, 4.0)
LOUDER = 1_000.0

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    build_qwen(folder, context=4096)
    return folder


@pytest.fixture(scope="module")
def clip() -> VideoClip:
    sample = open_path(SAMPLES / "crossing.mp4").samples[0]
    assert isinstance(sample, VideoClip)
    return sample


@pytest.fixture
def home(tiny: Path, tmp_path: Path) -> Path:
    """A home with an untrained encoder for the tiny model, loud enough for a random model to hear."""
    from models.chat.vlm_loading import load_vlm
    from models.relation_adapter import RelationAdapter, save
    from models.relation_change import RelationChange, prompt_for
    from tools.video.relation_features import WIDTH

    loaded = load_vlm(tiny, "cpu")
    prompt = prompt_for(loaded.model, 64)
    prompt.scale *= LOUDER
    save(RelationAdapter(loaded=loaded, change=RelationChange(WIDTH, width=64), prompt=prompt), adapter_folder(tmp_path, tiny))
    return tmp_path


def opened(tiny: Path) -> LocalVlm:
    model = open_local(str(tiny), device="cpu", max_tokens=12, max_context=4096)
    assert isinstance(model, LocalVlm)
    return model


def scene(home: Path, told: Any) -> Scene:
    return Scene(question="what is wrong?", evidence=[], draft=[], folder=home, clip=lambda: told)


def said(model: Any) -> str:
    text = ""
    try:
        for chunk in model.stream("What is wrong here?"):
            text += str(chunk.text)
    except AnswerCutOff as cut:
        return cut.partial
    return text


def test_what_changes_reaches_the_model_and_other_moments_make_another_answer(home: Path, tiny: Path, clip: VideoClip) -> None:
    reader, model = ChangeReader(), opened(tiny)
    early, late = (reader.before(model, scene(home, (clip, times))) for times in (TIMES, tuple(t + 4 for t in TIMES)))
    plain = said(model)
    assert len({said(early), said(late), plain}) == 3
    assert said(model) == plain  # nothing of it stays behind


def test_it_can_be_switched_off(home: Path, tiny: Path, clip: VideoClip, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, model = ChangeReader(), opened(tiny)
    for value in ("symbolic", "none"):
        monkeypatch.setenv("TELLTALE_RELATIONS", value)
        assert reader.before(model, scene(home, (clip, TIMES))) is model
    monkeypatch.setenv("TELLTALE_RELATIONS", "all")
    assert reader.before(model, scene(home, (clip, TIMES))) is not model


def test_without_an_encoder_or_an_event_the_model_is_asked_as_it_is(home: Path, tiny: Path, clip: VideoClip) -> None:
    reader, model = ChangeReader(), opened(tiny)
    assert reader.before(model, scene(home / "empty", (clip, TIMES))) is model
    assert reader.before(model, scene(home, None)) is model
    assert reader.before(model, Scene(question="", evidence=[], draft=[], folder=home)) is model


def test_an_encoder_that_cannot_be_used_is_left_out(home: Path, tiny: Path, clip: VideoClip) -> None:
    (home / "adapters" / "tiny" / "relations.safetensors").write_bytes(b"not weights")
    reader, model = ChangeReader(), opened(tiny)
    assert reader.before(model, scene(home, (clip, TIMES))) is model


def test_in_a_chat_the_worst_event_told_is_the_one_that_is_shown(home: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tools.video.relation_features import Relations

    looked: list[tuple[str, tuple[float, ...]]] = []
    true_vectors = Relations.vectors
    monkeypatch.setattr(
        Relations, "vectors", lambda self, times: looked.append((self.clip.name, tuple(times))) or true_vectors(self, times)
    )
    session = Session(home=home, model=f"local:{tiny}")
    session._conversation.voice._model = opened(tiny)
    *_, reply = session.ask("what is wrong?", files=[SAMPLES / "crossing.mp4"])
    assert isinstance(reply, Reply)
    assert reply.status == "abnormal"
    [(name, times)] = looked
    assert name == "crossing.mp4"
    bench = session._conversation._bench
    finding = next(f for inv in bench.investigations() for f in inv.findings if f.abnormal)
    assert sorted(finding.evidence.facts["keyframes_s"]) == list(times)  # type: ignore[arg-type]
    assert told_clip(bench.investigations(), bench.sources(), []) is None
    session.close()


@pytest.mark.parametrize("value", ["uniform", "top"])
def test_other_keyframes_and_no_relation_log_can_be_asked_for(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The switches of the comparison; the verdict does not depend on them."""
    monkeypatch.setenv("TELLTALE_KEYFRAMES", value)
    monkeypatch.setenv("TELLTALE_RELATIONS", "none")
    session = Session(home=tmp_path)
    *_, reply = session.ask("what is wrong, and why did it happen?", files=[SAMPLES / "crossing.mp4"])
    assert isinstance(reply, Reply)
    assert reply.status == "abnormal"
    store = session._conversation._store
    evidence = store.evidence(session.thread)
    assert not [one for one in evidence if one.tool == "relations"]
    strip = next(one for one in evidence if "keyframes_s" in one.facts)
    assert len(strip.facts["keyframes_s"]) >= 5  # type: ignore[arg-type]
    session.close()
