"""Which questions the readers of messages learn from, and which they never see."""

from __future__ import annotations

import json

from benchmarks.reading import BLIND, LEFT_OUT, TESTS, WRITTEN, questions


def test_the_questions_written_for_learning_are_their_own_group() -> None:
    asked = questions()
    written = [one for one in asked if one.group == "written"]
    assert len(written) == len(
        WRITTEN.read_text("utf-8").splitlines()
    )  # else nothing would be left out, and weights be overwritten
    assert 0 < len(written[::LEFT_OUT]) < len(asked)


def test_the_blind_sets_are_never_learned() -> None:
    rows = [json.loads(line) for line in (TESTS / "questions_heldout.jsonl").read_text("utf-8").splitlines()]
    assert {row[0] for row in rows} >= set(BLIND)
    assert not {one.group for one in questions()} & set(BLIND)
    others = [row for row in rows if row[0] not in BLIND] + [*map(json.loads, WRITTEN.read_text("utf-8").splitlines())]
    assert not {_plain(row) for row in rows if row[0] in BLIND} & {_plain(row) for row in others}


def _plain(row: list[str]) -> tuple[str, str]:
    """The chat and the question without case and marks: "fps?" asks what "FPS" does."""
    return row[1], row[2].lower().strip(" ?.!")
