"""Chats about the bundled files, each examined once for the whole run; `asking` is a plain module beside the tests."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from asking import SAMPLES, ask
from tier_models import TIER, model_of

from agent.session import Session


@pytest.fixture(scope="session", autouse=True)
def _tier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every session that names no model uses the tier of `TELLTALE_TEST_TIER`."""
    with pytest.MonkeyPatch.context() as patch, model_of(TIER, tmp_path_factory.mktemp("tier")) as model:
        patch.setitem(Session.__init__.__kwdefaults__, "model", model)
        yield


Reopen = Callable[[str], Session]
NORMAL = {"tiles": [SAMPLES / "tiles_normal"]}


@pytest.fixture(scope="session")
def reopen(tmp_path_factory: pytest.TempPathFactory) -> Reopen:
    """Open a copy of the chat in which "what is wrong?" was asked about one bundled file: what is asked of it stays its own."""
    homes: dict[str, Path] = {}

    def opened(name: str) -> Session:
        if name not in homes:
            home = tmp_path_factory.mktemp("asked")
            session = Session(home=home, thread="asked")
            ask(session, "what is wrong?", files=[SAMPLES / name], normal=NORMAL.get(name, []))
            session.close()
            homes[name] = home
        copy = tmp_path_factory.mktemp("chat")
        shutil.copytree(homes[name], copy, dirs_exist_ok=True)
        return Session(home=copy, thread="asked")

    return opened


def _chat(reopen: Reopen, name: str) -> Iterator[Session]:
    session = reopen(name)
    yield session
    session.close()


@pytest.fixture(scope="module")
def tiles(reopen: Reopen) -> Iterator[Session]:
    """Nine tiles, two of them damaged (4 and 7), beside four good ones."""
    yield from _chat(reopen, "tiles")


@pytest.fixture(scope="module")
def pump(reopen: Reopen) -> Iterator[Session]:
    """Two weeks of a pump: two findings."""
    yield from _chat(reopen, "pump.csv")


@pytest.fixture(scope="module")
def crossing(reopen: Reopen) -> Iterator[Session]:
    """A clip of people who cross a square."""
    yield from _chat(reopen, "crossing.mp4")


@pytest.fixture(scope="module")
def workstation(reopen: Reopen) -> Iterator[Session]:
    """The log of a break-in."""
    yield from _chat(reopen, "workstation.jsonl")
