"""Which tiers a page offers, and that a chat keeps its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scripted import Store
from test_chats import ask

from core.errors import BadInput, UnknownName, UserError
from ui.chats import Chats
from ui.offer import Offer, label

NEAR, FAR = "endpoint:eyes@http://127.0.0.1:9/v1", "endpoint:eyes@http://gpu.example.org/v1"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TELLTALE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TELLTALE_ENDPOINT", raising=False)
    return tmp_path / "home"


def install(home: Path, name: str, content: bytes = b"weights") -> None:
    folder = home / "models" / f"someone--{name}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(content)
    manifest = {"repo": f"someone/{name}", "revision": "0" * 40, "licence": "MIT",
                "files": [{"name": "model.safetensors", "size": 7, "sha256": "0" * 64}]}  # fmt: skip
    (folder / "telltale.json").write_text(json.dumps(manifest))


def test_installed_models_are_offered_when_they_are_whole(home: Path):
    install(home, "whole")
    install(home, "cut", b"wei")
    assert Offer(given=NEAR).choices(FAR) == ["embedded", NEAR, "local:someone/whole", FAR]
    assert Offer().accept(" local:someone/whole ") == "local:someone/whole"
    with pytest.raises(BadInput, match="incomplete"):
        Offer().accept("local:someone/cut")


@pytest.mark.parametrize(
    "text", [FAR, "local:someone/whole", "scripted:/etc/passwd", "endpoint:eyes@http://169.254.169.254/", ""]
)
def test_visitors_only_get_what_was_given(home: Path, text: str):
    install(home, "whole")
    offer = Offer(given=NEAR, strict=True)
    assert offer.choices() == ["embedded", NEAR]
    assert [offer.accept(choice) for choice in offer.choices()] == ["embedded", NEAR]
    with pytest.raises(BadInput, match="only"):
        offer.accept(text)
    assert offer.kept(text) == NEAR


@pytest.mark.parametrize(
    "text", ["gpt-4", "endpoint:eyes", "endpoint:@http://x", "local:nothing-like-it", "scripted:x", "embedded:x"]
)
def test_a_wrong_text_is_one_sentence(text: str):
    with pytest.raises(UserError) as told:
        Offer().accept(text)
    assert "\n" not in str(told.value)


def test_a_page_does_not_start_with_a_tier_that_is_none():
    with pytest.raises(UnknownName, match="Did you mean 'embedded'"):
        Offer(given="embeded")


def test_labels_say_where_a_chat_goes():
    assert "another machine" in label(FAR)
    assert "another machine" not in label(NEAR)


def test_a_chat_keeps_its_tier_and_the_next_turn_is_the_new_ones(tmp_path: Path):
    store = Store(tmp_path, pace_s=0.0)
    chats = Chats(store.backend(), tmp_path / "home", Offer(given=NEAR))
    chat = chats.create("browser:ann")
    other = chats.create("browser:ann", "embedded")
    assert ask(chat, tmp_path).model == NEAR
    chats.choose(chat, FAR)
    assert ask(chat, tmp_path).model == FAR
    with pytest.raises(UserError):
        chats.choose(chat, "gpt-4")
    assert ask(chat, tmp_path).model == FAR
    chats.close()
    again = Chats(store.backend(), tmp_path / "home", Offer(given="embedded"))
    assert again.get(chat.thread, "browser:ann", strict=False).model == FAR
    assert ask(again.get(chat.thread, "browser:ann", strict=False), tmp_path).model == FAR
    assert again.get(other.thread, "browser:ann", strict=False).model == "embedded"
    again.close()
    for_visitors = Chats(store.backend(), tmp_path / "home", Offer(given=NEAR, strict=True))
    assert for_visitors.get(chat.thread, "browser:ann", strict=True).model == NEAR
    with pytest.raises(BadInput, match="only"):
        for_visitors.create("browser:ann", FAR)
    for_visitors.close()


def test_a_turn_in_progress_ends_with_the_tier_it_began_with(tmp_path: Path):
    store = Store(tmp_path, pace_s=0.01)
    chats = Chats(store.backend(), tmp_path / "home", Offer(given=NEAR))
    chat = chats.create("browser:ann")
    photo = tmp_path / "a.png"
    photo.write_bytes(b"x")
    chat.start("broken?", files=[photo])
    chats.choose(chat, "embedded")
    *_, turns = chat.follow(interval_s=0.0)
    assert turns[-1].reply is not None
    assert turns[-1].reply.model == NEAR
    assert ask(chat, tmp_path).model == "embedded"
    chats.close()
