"""A writer that lies must never get a false number, time, place, name or id through, and what is true must stay."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from asking import SAMPLES, ask
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.checking.sentences import judge_sentence, judge_text, sentences_of
from agent.checking.words import NOT_ENGLISH
from agent.narration.narrator import narrate
from agent.narration.scene import Scene
from agent.session import Session
from benchmarks.faithfulness_sets import ROUNDS, SETS, Sentence, all_mutations, evidence, mutations, passed, removed, sentences
from core.evidence import Evidence, Interval
from models.chat.scripted import scripted

MOST_REMOVED = 0.05
QUESTIONS = ("what is wrong here, when and how bad?", "where exactly?", "why?", "how sure are you?", "how many are there?")
SPECIAL = {
    "pump": ("what is the maximum of vibration?", "when does the recording start?", "what was the mean temperature?"),
    "crossing": ("how long is the video?", "what happens at 0:13?"),
    "workstation": ("what else did it do?", "which processes connected to the network?", "how many rows are there?"),
    "tiles": ("is tile_03 ok?", "which photo is the worst?"),
}
FILES = {"pump": "pump.csv", "crossing": "crossing.mp4", "workstation": "workstation.jsonl", "tiles": "tiles"}
Told = tuple[list[Sentence], Mapping[str, Mapping[str, Evidence]]]


@pytest.fixture(scope="module", params=list(FILES))
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What the embedded tier says about a sample, line by line, and the evidence of the chat."""
    sample = str(request.param)
    lines: dict[str, Sentence] = {}
    known: dict[str, Evidence] = {}
    session = Session(home=tmp_path_factory.mktemp(sample))
    for i, question in enumerate((*QUESTIONS, *SPECIAL[sample])):
        normal = [SAMPLES / "tiles_normal"] if (sample, i) == ("tiles", 0) else []
        reply = ask(session, question, files=[SAMPLES / FILES[sample]] if i == 0 else [], normal=normal)
        known |= {e.id: e for e in reply.evidence}
        for line in reply.answer.splitlines():
            if line.strip() and "[E" in line:
                lines[line] = Sentence(sample=sample, category="embedded tier", text=line)
    session.close()
    return list(lines.values()), {sample: known}


def hand_written(kind: str) -> list[Sentence]:
    return [sentence for name in SETS for sentence in sentences(f"{kind}_{name}")]


def test_there_is_enough_to_measure() -> None:
    assert len({(s.sample, s.text) for s in hand_written("true")}) >= 600
    assert len({(s.sample, s.text) for s in hand_written("lies")}) >= 890
    assert len({s.category for s in hand_written("lies")}) >= 40
    assert {s.sample for s in hand_written("lies")} == set(evidence())
    assert all((len(sentences(f"lies_{n}")), len(sentences(f"true_{n}"))) == (r.lies, r.true) for n, r in ROUNDS.items())


@pytest.mark.parametrize("name", SETS)
def test_no_hand_written_lie_passes(name: str) -> None:
    found = passed(sentences(f"lies_{name}"))
    assert not found.failed, found.by_category()


def test_few_true_sentences_are_removed() -> None:
    found = removed(hand_written("true"))
    assert found.share <= MOST_REMOVED, found.by_category()


def test_no_change_to_a_true_sentence_passes() -> None:
    made = all_mutations(hand_written("true"))
    assert len(made) >= 300
    found = passed(made)
    assert not found.failed, found.by_category()


def test_what_the_embedded_tier_says_may_be_repeated(told: Told) -> None:
    lines, known = told
    assert len(lines) >= 5
    (evidence_of,) = known.values()
    draft = [line.text for line in lines]
    found = narrate(
        scripted("\n\n".join(draft)), Scene(question="what is wrong?", evidence=list(evidence_of.values()), draft=draft)
    )
    assert found.removed == ()
    assert len(found.lines) >= len({line.text for line in lines})


def test_no_change_to_what_the_embedded_tier_says_passes(told: Told) -> None:
    lines, known = told
    made = all_mutations(lines, known)
    assert len(made) >= 40
    found = passed(made, known)
    assert not found.failed, found.by_category()


def test_a_true_fact_is_a_fact_and_not_a_view() -> None:
    kinds = [j.kind for s in hand_written("true") for j in judge_text(s.text, evidence()[s.sample])]
    assert kinds.count("fact") / len(kinds) >= 0.85


def test_what_a_vision_model_sees_is_a_view() -> None:
    known = evidence()["crossing"]
    assert judge_sentence("A man in a dark coat walks past a tree [E2].", known).kind == "view"
    assert (
        judge_sentence("The cat sleeps on the pump [E2].", evidence()["pump"]).kind == "wrong"
    )  # there is no picture to see it in


def test_headings_and_bold_words_are_judged() -> None:
    known = evidence()["pump"]
    judged = judge_text("# Pump broken at 09:00\n\n**All is normal**\n\n**Summary**\n\n- The spike is minor [E2].", known)
    assert [j.kind for j in judged] == ["wrong", "wrong", "fact"]
    assert "wrong" in [j.kind for j in judge_text("**At 09:20** vibration spikes [E2].", known)]


def test_one_citation_serves_its_paragraph_and_is_added_where_it_is_missing() -> None:
    judged = judge_text("The spike is minor. It lasts 85 minutes [E2].", evidence()["pump"])
    assert [(j.kind, j.text) for j in judged] == [("fact", "The spike is minor [E2]."), ("fact", "It lasts 85 minutes [E2].")]


def test_a_claim_after_the_last_citation_has_no_evidence() -> None:
    judged = judge_text("The spike is minor [E2]. It lasts 85 minutes.", evidence()["pump"])
    assert [j.kind for j in judged] == ["fact", "wrong"]


def test_the_question_may_be_repeated_and_proves_nothing() -> None:
    known, question = evidence()["pump"], "was there a robbery at 03:15?"
    assert judge_sentence("You asked about 03:15.", known, question=question).kind == "view"
    assert judge_sentence("You asked about 03:16.", known, question=question).kind == "wrong"
    assert judge_sentence("There was a robbery at 03:15 [E2].", known, question=question).kind == "wrong"


def test_what_is_not_known_may_be_said() -> None:
    known = evidence()["pump"]
    assert judge_sentence("The cause is not known [E2].", known).kind == "fact"
    assert judge_sentence("I cannot tell why.", known).kind == "view"
    assert judge_sentence("The cause, a loose bolt, is not known [E2].", known).kind == "wrong"
    assert judge_sentence("The evidence does not show a spike [E2].", known).kind == "wrong"


def test_a_relation_may_be_told_only_the_way_round_it_was() -> None:
    facts = {
        "relation": "00:10.0–00:11.5 person 1 approaches car 2",
        "subject": "person 1",
        "predicate": "approaches",
        "object": "car 2",
    }
    where = Interval(sample="gate.mp4", start_s=10.0, end_s=11.5, peak_s=10.0)
    known = {"E7": Evidence(id="E7", tool="relations", version="1", parameters={}, source="gate.mp4", locus=where, facts=facts)}
    assert judge_sentence("At 0:10 person 1 approaches car 2 [E7].", known).kind == "fact"
    for lie in ("Car 2 approaches person 1 [E7].", "Person 1 hits car 2 [E7].", "Person 3 approaches car 2 [E7]."):
        assert judge_sentence(lie, known).kind == "wrong", lie


def test_a_problem_says_what_to_mend() -> None:
    made = judge_sentence("The spike peaks at 7.2 mm/s [E2].", evidence()["pump"])
    assert made.problems == ("'7.2 mm/s' is not what the evidence says there",)
    assert judge_sentence("It is odd [E99].", evidence()["pump"]).problems == ("E99 does not exist",)


def test_a_text_in_another_language_does_not_pass_and_says_why() -> None:
    known = evidence()["pump"]
    for text in (
        "Der Ausschlag in `vibration` dauert 85 Minuten und ist gering [E2].", "La vibration dure 85 minutes et elle est mineure [E2].",
        "El pico de `vibration` dura 85 minutos [E2].", "振動のスパイクは85分続きます [E2].",
    ):  # fmt: skip
        assert {j.kind for j in judge_text(text, known)} == {"wrong"}, text
    problems = [j.problems for j in judge_text("Der Ausschlag in `vibration` dauert 85 Minuten und ist gering [E2].", known)]
    assert problems == [(NOT_ENGLISH,)]
    mixed = judge_text("The spike is minor [E2]. Alles andere ist in Ordnung [E2].", known)
    assert [j.kind for j in mixed] == ["fact", "wrong"]


def test_an_answer_in_another_language_is_left_to_the_fixed_rules_and_says_why() -> None:
    known, german = evidence()["pump"], "Der Ausschlag in `vibration` dauert 85 Minuten und ist gering [E2]."
    found = narrate(scripted(german, german, german), Scene(question="what is wrong?", evidence=list(known.values()), draft=[]))
    assert found.lines == found.views == ()
    assert "did not answer in English" in found.failure


def test_a_wait_between_two_files_is_told_the_way_round_it_was() -> None:
    known = evidence()["plant"]
    for true in (
        "75 s later, the motor current spikes in pump.csv [E17].", "pump.csv follows 75 s later [E17].",
        "pump.csv 75 s after controller.jsonl [E17].", "The log is 75 s before the pump [E17].",
    ):  # fmt: skip
        assert judge_sentence(true, known).kind == "fact", true
    for lie in (
        "75 s later, the video shows unusual motion [E17].", "76 s later, the motor current spikes in pump.csv [E17].",
        "controller.jsonl 75 s after pump.csv [E17].", "The pump is 75 s before the log [E17].",
    ):  # fmt: skip
        assert judge_sentence(lie, known).kind == "wrong", lie


def test_a_word_that_claims_something_needs_a_claim_that_holds() -> None:
    known = evidence()["pump"]
    assert judge_sentence("Motor current was higher during the spike than before it [E2].", known).kind == "fact"
    for lie in (
        "Motor current was lower during the spike than before it [E2].", "Motor current was higher [E2].", "The same spike [E2].",
        "The detector is certain of it [E2].", "The spike is the longest finding [E2, E3].", "Both channels spike [E2].",
    ):  # fmt: skip
        assert judge_sentence(lie, known).kind == "wrong", lie


def test_a_question_says_nothing_and_lends_nothing_to_its_answer() -> None:
    known = evidence()["pump"]
    assert [j.text for j in judge_text("How long did it last? 85 minutes [E2].", known)] == ["85 minutes [E2]."]
    assert [j.kind for j in judge_text("Is it serious? Yes, the flatline is [E3].", known)] == ["wrong"]
    assert [j.kind for j in judge_text("Is it serious? No, it is rated minor [E2].", known)] == ["fact"]
    asked = "Who started svcupd.exe? {} did, at 14:37:43 [E18]."
    assert [j.text for j in judge_text(asked.format("PowerShell"), evidence()["log"])] == [
        "PowerShell started svcupd.exe, at 14:37:43 [E18]."
    ]
    assert [j.kind for j in judge_text(asked.format("Outlook"), evidence()["log"])] == ["wrong"]


def test_what_a_model_sees_is_plain_to_see_or_said_to_be_seen() -> None:
    known = evidence()["crossing"]
    assert judge_sentence("A man with a red hat sits on a bench [E2].", known).kind == "view"
    assert judge_sentence("A man is about to snatch a bag [E2].", known).kind == "wrong"
    assert judge_sentence("In the picture a man reaches for a bag [E2].", known).kind == "view"
    assert judge_sentence("In the picture a man waits at 0:45 [E2].", known).kind == "wrong"


def test_rows_times_and_names_of_a_log_belong_together() -> None:
    known = evidence()["log"]
    assert judge_sentence("Row 1107 is at 14:37:43 [E2].", known).kind == "fact"
    assert judge_sentence("Row 1107 is at 14:38:10 [E2].", known).kind == "wrong"
    assert judge_sentence("Both powershell.exe and svcupd.exe connected to 203.0.113.66 [E15].", known).kind == "fact"
    assert judge_sentence("Both powershell.exe and svcupd.exe opened the memory of lsass.exe [E14].", known).kind == "wrong"


def test_a_table_is_read_with_the_names_of_its_columns() -> None:
    known = evidence()["tiles"]
    table = "| Photo | Score | Severity |\n|---|---|---|\n| tile_07.jpg | {} | critical [E2] |"
    assert [j.kind for j in judge_text(table.format("0.701"), known)] == ["fact"]
    assert [j.kind for j in judge_text(table.format("0.527"), known)] == ["wrong"]


def test_a_change_makes_lies_of_many_sorts() -> None:
    found = {m.category for s in hand_written("true") for m in mutations(s)}
    assert len(found) >= 18


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_can_be_judged(text: str) -> None:
    sentences_of(text)
    judge_text(text, evidence()["pump"])


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "the",
                "spike",
                "[E2]",
                "[E3]",
                "10:20",
                "to",
                "11:45",
                "|",
                "`",
                "**",
                "#",
                "-",
                ".",
                ",",
                "85",
                "minutes",
                "6.49",
                "mm/s",
                "x",
                "(",
                ")",
                "→",
                "than",
                "[E2",
                "E2",
            ]
        ),
        max_size=25,
    )
)
def test_any_mixture_of_its_own_marks_can_be_judged(words: list[str]) -> None:
    judge_text(" ".join(words), evidence()["pump"])


def test_a_sentence_is_judged_in_a_few_milliseconds() -> None:
    work = [*hand_written("true"), *hand_written("lies")]
    removed(work)  # patterns are compiled once
    start = time.process_time()
    removed(work)
    assert (time.process_time() - start) / len(work) <= 0.005
