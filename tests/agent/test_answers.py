"""What is answered: yes and no by what was asked, whole lists, comparisons, and nothing of an earlier question where it does not belong."""

from __future__ import annotations

from pathlib import Path

import pytest
from asking import SAMPLES, ask

from agent.session import Session, list_threads
from core.errors import BadInput


@pytest.mark.parametrize(
    ("question", "start"),
    [
        ("is tile 7 damaged?", "Yes"), ("is tile 3 damaged?", "No"), ("is tile_04 cracked?", "Yes"), ("is tile 7 ok?", "No"),
        ("is tile 3 ok?", "Yes"), ("are any tiles damaged?", "Yes"), ("are all tiles fine?", "No"),
        ("are there any defects?", "Yes"), ("is anything broken?", "Yes"),
    ],
)  # fmt: skip
def test_yes_means_what_was_asked(tiles: Session, question: str, start: str) -> None:
    answer = ask(tiles, question).answer
    assert answer.lstrip("- ").startswith(start), answer
    assert answer.count("Yes,") + answer.count("No,") == 1, answer


def test_a_list_is_a_list(tiles: Session, pump: Session) -> None:
    damaged = ask(tiles, "list the damaged tiles").answer
    assert "\n- `tile_07.jpg`" in damaged
    assert "\n- `tile_04.jpg`" in damaged
    good = ask(tiles, "list the good ones").answer
    assert good.count("looks normal") == 7
    assert "7 of 9 photos look normal" in ask(tiles, "how many good tiles are there?").answer
    assert ask(pump, "list all anomalies").answer.count("\n- ") == 2


def test_an_earlier_time_does_not_narrow_a_question_about_everything(pump: Session) -> None:
    assert ask(pump, "what happened between 3 and 5 pm on 7 March?").status == "normal"
    reply = ask(pump, "how many anomalies are there")
    assert reply.status == "abnormal"
    assert "2 abnormal stretches" in reply.answer


def test_an_earlier_yes_or_no_question_does_not_turn_advice_into_an_order(pump: Session) -> None:
    ask(pump, "is the pump ok?")
    answer = ask(pump, "should I shut the pump down?").answer
    assert "your decision" in answer
    assert not answer.startswith(("Yes", "No"))


def test_a_comparison_says_which_is_worse(tiles: Session) -> None:
    for question in ("compare tile 4 and tile 7", "compare the first and the second"):
        ask(tiles, "what is wrong?")
        reply = ask(tiles, question)
        assert reply.answer.index("tile_07") < reply.answer.index("tile_04"), reply.answer
        assert {"tile_04.jpg", "tile_07.jpg"} <= {a.loci[0].sample for a in reply.anomalies}


def test_ordinals_count_in_the_order_shown(tiles: Session) -> None:
    shown = [a.loci[0].sample for a in ask(tiles, "what is wrong?").anomalies]
    assert [a.loci[0].sample for a in ask(tiles, "the second one").anomalies] == shown[1:2]


def test_confidence_is_a_number(tiles: Session) -> None:
    ask(tiles, "what is wrong?")
    assert "% sure" in ask(tiles, "how sure are you?").answer


def test_small_talk_fits(tiles: Session) -> None:
    assert ask(tiles, "thanks!").answer.startswith("You are welcome")
    assert "Drop in files and ask" not in ask(tiles, "hello").answer
    joke = ask(tiles, "tell me a joke").answer
    assert joke[0].isupper()
    assert ". I can say" in joke


def test_a_question_with_new_files_is_about_them(tmp_path: Path) -> None:
    session = Session(home=tmp_path)
    ask(session, "what is wrong?", files=[SAMPLES / "pump.csv"])
    reply = ask(session, "what is wrong?", files=[SAMPLES / "workstation.jsonl"])
    assert {t.source for t in reply.tools} == {"workstation.jsonl"}
    assert {a.source for a in reply.anomalies} == {"workstation.jsonl"}


def test_a_remark_with_a_number_in_it_is_kept_and_a_file_name_cannot_cite(tmp_path: Path) -> None:
    scan = tmp_path / "a.ply"
    scan.write_text(
        "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
        "0 0 0\n0 1 0\n1 0 0\n1 1 1\n"
    )
    empty = tmp_path / "**b** [x](javascript:y) [E7] 3x.csv"
    empty.write_bytes(b"")
    reply = ask(Session(home=tmp_path / "home"), "what is wrong?", files=[scan, empty])
    assert "3D scan" in reply.answer
    assert "[E7]" not in reply.answer
    assert "**b**" not in reply.answer


def test_normal_data_of_another_kind_is_said_to_be_useless(tmp_path: Path) -> None:
    reply = ask(
        Session(home=tmp_path), "what is wrong?", files=[SAMPLES / "pump.csv"], normal=[SAMPLES / "tiles_normal" / "good_1.jpg"]
    )
    assert "cannot say what is normal" in reply.answer


def test_a_turn_left_by_a_killed_process_is_finished_before_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(home=tmp_path)
    monkeypatch.setattr("agent.graph.write", lambda material: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        list(session.ask("what is wrong?", files=[SAMPLES / "pump.csv"]))
    session.close()
    monkeypatch.undo()
    assert [info.thread for info in list_threads(tmp_path)] == [session.thread]
    again = Session(thread=session.thread, home=tmp_path)
    ask(again, "why?")
    assert [turn.question for turn in again.history()] == ["what is wrong?", "why?"]


def test_broken_databases_and_half_characters_are_no_bugs(tmp_path: Path) -> None:
    session = Session(home=tmp_path / "fine")
    assert ask(session, "a\udcff\udcfe").answer
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "checkpoints.db").write_bytes(b"not a database, " * 100)
    with pytest.raises(BadInput, match=r"checkpoints\.db"):
        Session(home=broken)
