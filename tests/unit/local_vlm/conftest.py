"""The tiny models of these tests, built once; `taught` is a plain module beside them."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest
import tiny_vlm

sys.path.insert(0, str(Path(__file__).parent))

from taught import (
    ANSWER,
    BAD,
    CUT,
    GOOD,
    LARGE,
    LOOK,
    NOT_A_NUMBER,
    NOT_CLOSED,
    NOT_JSON,
    PLAIN,
    PLAIN_CUT,
    SEEN,
    ask,
    repair,
    taught,
)  # fmt: skip

from models.chat.local_vlm import LocalVlm, open_local


@pytest.fixture(scope="session")
def qwen(tmp_path_factory) -> LocalVlm:
    def lessons(vlm):
        return [
            (SEEN, (), ANSWER),
            (LARGE, (), ANSWER, 200),
            (ask("Go."), [LOOK], f"One moment. {GOOD}"),
            (ask("Mend."), [LOOK], BAD),
            (repair(vlm, "Mend.", BAD, NOT_A_NUMBER, True), [LOOK], GOOD),
            (ask("Break."), [LOOK], CUT),
            (repair(vlm, "Break.", CUT, NOT_CLOSED, True), [LOOK], CUT),
        ]

    return taught(tmp_path_factory.mktemp("models") / "qwen", partial(tiny_vlm.build_qwen, eyes=64), lessons)


@pytest.fixture(scope="session")
def smol(tmp_path_factory) -> LocalVlm:
    pytest.importorskip("num2words", reason="SmolVLM's processor needs num2words")

    def lessons(vlm):
        return [
            (SEEN, (), ANSWER),
            (ask("Go."), [LOOK], PLAIN),
            (ask("Say."), [LOOK], ANSWER),
            (ask("Mend."), [LOOK], PLAIN_CUT),
            (repair(vlm, "Mend.", PLAIN_CUT, NOT_JSON, False), [LOOK], PLAIN),
        ]

    return taught(tmp_path_factory.mktemp("models") / "smol", tiny_vlm.build_smol, lessons)


@pytest.fixture(scope="session", params=["qwen", "smol"])
def vlm(request) -> LocalVlm:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def untaught(tmp_path_factory) -> LocalVlm:
    folder = tmp_path_factory.mktemp("models") / "untaught"
    tiny_vlm.build_qwen(folder)
    return open_local(str(folder), max_tokens=40)
