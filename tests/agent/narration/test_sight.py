"""An adapter trained for the chat's local model: its map reaches the model, and whatever is wrong with it, the chat goes on without."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import SAMPLES

from agent.narration.scene import Scene
from agent.narration.sight import MapReader, told_photo
from agent.reply import Reply
from agent.session import Session
from core.errors import BadInput
from core.evidence import Evidence, Whole
from models.chat.failures import AnswerCutOff
from models.chat.local_vlm import LocalVlm, open_local

sys.path.append(str(Path(__file__).parents[2] / "unit"))

from tiny_vlm import build_qwen

EVIDENCE = Evidence(id="E1", tool="t", version="1", parameters={}, source="a", locus=Whole(sample="a"), facts={})
FEW_TOKENS = 12
LOUDER = 10_000.0


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    build_qwen(folder, context=4096)
    return folder


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    from PIL import Image

    found = []
    for path in sorted((SAMPLES / "tiles_normal").glob("*.jpg")):
        with Image.open(path) as photo:
            found.append(np.asarray(photo.convert("RGB").resize((96, 96))))
    return found


@pytest.fixture(scope="module")
def trained(tiny: Path, photos: list[np.ndarray]) -> Any:
    from models.chat.vlm_loading import load_vlm
    from tools.image.adapter_training import Effort, train_adapter

    return train_adapter(
        load_vlm(tiny, "cpu"), photos, name="tile", effort=Effort(photos=8, steps=20, epochs=3, side=96), device="cpu"
    )


@pytest.fixture
def home(trained: Any, tiny: Path, tmp_path: Path) -> Path:
    """A home with the adapter of the tiny model, its cells made loud: a random model hears nothing of what a few steps have taught."""
    import torch

    from models.anomaly_adapter.store import adapter_folder, save

    cells = trained.adapter.learner.cells.weight
    with torch.no_grad():
        cells.mul_(LOUDER)
        save(trained.adapter, adapter_folder(tmp_path, tiny))
        cells.div_(LOUDER)
    return tmp_path


def opened(tiny: Path) -> LocalVlm:
    model = open_local(str(tiny), device="cpu", max_tokens=FEW_TOKENS, max_context=4096)
    assert isinstance(model, LocalVlm)
    return model


def scene(home: Path, photo: np.ndarray | None) -> Scene:
    return Scene(question="what is wrong?", evidence=[EVIDENCE], draft=["It is odd [E1]."], folder=home, photo=lambda: photo)


def said(model: Any) -> str:
    """What a model writes; a random one never ends by itself."""
    text = ""
    try:
        for chunk in model.stream("What is wrong here?"):
            text += str(chunk.text)
    except AnswerCutOff as cut:
        return cut.partial
    return text


def spotted(photo: np.ndarray) -> np.ndarray:
    torn = photo.copy()
    torn[20:70, 30:80] = 5
    return torn


def test_training_makes_answers_likelier_and_is_repeatable(trained: Any, tiny: Path, photos: list[np.ndarray]) -> None:
    from models.chat.vlm_loading import load_vlm
    from tools.image.adapter_training import Effort, train_adapter

    assert trained.last_loss < trained.first_loss
    effort = Effort(photos=4, steps=3, epochs=1, side=96)
    twice = [train_adapter(load_vlm(tiny, "cpu"), photos, effort=effort, device="cpu").adapter for _ in range(2)]
    maps = [adapter.map(photos[0]) for adapter in twice]
    assert np.array_equal(*maps)
    assert (twice[0].prefix(maps[:1]) == twice[1].prefix(maps[:1])).all()
    train_adapter(load_vlm(tiny, "cpu"), photos, effort=Effort(photos=32, steps=2, epochs=5, side=32), device="cpu")  # ten steps
    with pytest.raises(BadInput, match="at least 4"):
        train_adapter(load_vlm(tiny, "cpu"), photos[:2])


def test_the_map_reaches_the_model_and_another_map_makes_another_answer(home: Path, tiny: Path, photos: list[np.ndarray]) -> None:
    reader, model = MapReader(), opened(tiny)
    clean, torn = (reader.before(model, scene(home, photo)) for photo in (photos[0], spotted(photos[0])))
    plain = said(model)
    answers = {said(clean), said(torn), plain}
    assert len(answers) == 3
    assert said(reader.before(model, scene(home, spotted(photos[0])))) == said(torn)
    assert said(model) == plain  # nothing of it stays behind


def test_two_chats_on_one_model_each_have_their_own_map(home: Path, tiny: Path, photos: list[np.ndarray]) -> None:
    reader, model = MapReader(), opened(tiny)
    asked = {
        question: reader.before(model, scene(home, photo))
        for question, photo in (("Is it odd?", photos[0]), ("Where is it?", spotted(photos[0])))
    }

    def answer(question: str) -> str:
        try:
            return str(asked[question].invoke(question).text)
        except AnswerCutOff as cut:
            return cut.partial

    alone = {question: answer(question) for question in asked}
    together: dict[str, str] = {}
    threads = [threading.Thread(target=lambda q=q: together.update({q: answer(q)})) for q in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_without_an_adapter_or_a_photo_the_model_is_asked_as_it_is(
    home: Path, tiny: Path, tmp_path: Path, photos: list[np.ndarray]
) -> None:
    reader, model = MapReader(), opened(tiny)
    assert reader.before(model, scene(home / "empty", photos[0])) is model
    assert reader.before(model, scene(home, None)) is model
    assert reader.before(model, Scene(question="", evidence=[], draft=[], folder=home)) is model


@pytest.mark.parametrize("harm", ["weights", "settings", "width", "photo"])
def test_an_adapter_that_cannot_be_used_is_left_out(home: Path, tiny: Path, photos: list[np.ndarray], harm: str) -> None:
    folder = home / "adapters" / "tiny"
    photo = photos[0]
    if harm == "weights":
        (folder / "adapter.safetensors").write_bytes(b"not weights")
    elif harm == "settings":
        (folder / "adapter.json").write_text("{")
    elif harm == "width":
        text = (folder / "adapter.json").read_text()
        (folder / "adapter.json").write_text(text.replace('"width": 64', '"width": 32'))
    else:
        photo = photos[0].astype(np.float32)
    reader, model = MapReader(), opened(tiny)
    assert reader.before(model, scene(home, photo)) is model
    assert reader.before(model, scene(home, photo)) is model


def test_in_a_chat_the_worst_photo_told_is_the_one_that_is_mapped(
    home: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped: list[np.ndarray] = []
    from models.anomaly_adapter.adapter import AnomalyAdapter

    true_map = AnomalyAdapter.map
    monkeypatch.setattr(AnomalyAdapter, "map", lambda self, picture, *a: mapped.append(picture) or true_map(self, picture, *a))
    session = Session(home=home, model=f"local:{tiny}")
    session._conversation.voice._model = opened(tiny)
    *_, reply = session.ask("what is wrong?", files=[SAMPLES / "tiles"], normal=[SAMPLES / "tiles_normal"])
    assert isinstance(reply, Reply)
    assert reply.status == "abnormal"
    assert reply.model == "embedded"  # a random model says nothing that holds
    bench = session._conversation._bench
    sample = max(reply.anomalies, key=lambda a: a.severity_score).loci[0].sample
    worst = next(photo for photo in bench.sources()[0].samples if photo.name == sample)
    assert len(mapped) == 1
    assert np.array_equal(mapped[0], worst.pixels)  # type: ignore[union-attr]
    assert told_photo(bench.investigations(), bench.sources(), []) is None
    session.close()
