"""Questions about what is in pictures: what a detector decides is said first, and what nobody looked at is never confirmed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from asking import ask
from PIL import Image

from agent.examine.looks import looks_of
from agent.investigation import Finding, Investigation
from agent.question import Request
from agent.reading.concepts import read_concept
from agent.reading.sights import asked_of
from agent.reply import Reply
from agent.reply_html import evidence_html
from agent.session import Session
from agent.telling.image import named, normal, nothing
from agent.verify import check_sentence
from core.evidence import Evidence, Region, Whole


def told(reply: Reply) -> set[str]:
    """Photos that the answer's anomalies name."""
    return {locus.sample for a in reply.anomalies for locus in a.loci}


@pytest.mark.parametrize(
    "question",
    ["are there any cracks?", "is there a stain?", "how many cracks are there?", "any dents?", "are the tiles scratched?"],
)
def test_a_kind_of_defect_in_tiles_is_left_open_but_the_detector_speaks(question: str, tiles: Session) -> None:
    reply = ask(tiles, question)
    assert reply.status == "abnormal"
    assert told(reply) == {"tile_04.jpg", "tile_07.jpg"}
    assert "**2 of 9 photos look abnormal**" in reply.answer
    assert "cannot name the type of a defect" in reply.answer
    assert "ConSE" not in reply.answer
    assert "doormat" not in reply.answer


def test_only_the_tile_that_is_named_is_answered_for(tiles: Session) -> None:
    seven = ask(tiles, "does tile 7 have a stain?")
    assert told(seven) == {"tile_07.jpg"}
    assert "tile_04" not in seven.answer
    eight = ask(tiles, "does tile 8 have a stain?")
    assert eight.status == "normal"
    assert told(eight) == set()
    assert eight.answer.startswith("No, not as far as I can measure. `tile_08.jpg`")


def test_the_colour_of_a_stain_on_tiles_is_seen_and_a_crack_has_none(tiles: Session) -> None:
    reply = ask(tiles, "what colour is the stain?")
    stain, crack = sorted(line for line in reply.answer.splitlines() if line)[::-1]
    assert "`tile_07.jpg`: what stands out is brownish and darker" in stain
    assert "`tile_04.jpg`: what stands out has no colour" in crack
    assert "brownish" in ask(tiles, "why is tile 7 odd?").answer


@pytest.mark.parametrize(
    ("question", "what"),
    [
        ("what kind of defect is it?", "what kind of thing it is"),
        ("what is written on it?", "what is written"),
        ("are the tiles made of wood?", "what something is made of"),
    ],
)
def test_what_no_detector_can_tell_of_tiles_is_said(question: str, what: str, tiles: Session) -> None:
    answer = ask(tiles, question).answer
    assert f"I cannot tell {what} without a vision-language model." in answer
    assert not answer.startswith("Yes")


@pytest.mark.parametrize("question", ["is tile 4 worse than tile 7?", "compare tile 4 and tile 7", "which of the two is worse?"])
def test_two_tiles_are_compared(question: str, tiles: Session) -> None:
    reply = ask(tiles, question)
    assert reply.answer.startswith("**`tile_07.jpg` deviates more than `tile_04.jpg`**")
    assert "against" in reply.answer.splitlines()[0]


def test_of_two_ordinary_tiles_neither_is_called_worse(tiles: Session) -> None:
    reply = ask(tiles, "is tile 2 worse than tile 3?")
    assert reply.status == "normal"
    assert reply.answer.startswith("Neither `tile_02.jpg` nor `tile_03.jpg` stands out")


def test_one_ordinary_tile_is_not_called_worse_than_a_broken_one(tiles: Session) -> None:
    answer = ask(tiles, "is tile 2 worse than tile 7?").answer
    assert answer.startswith("`tile_07.jpg` deviates more: it looks abnormal and `tile_02.jpg` does not")


def test_a_thing_that_is_not_in_the_tiles_is_not_clearly_there(tiles: Session) -> None:
    reply = ask(tiles, "is there a dog?")
    assert "`dog` is not clearly there" in reply.answer
    assert reply.status == "insufficient"


def test_what_happens_to_people_in_the_video_is_not_confirmed_by_counting_them(crossing: Session) -> None:
    reply = ask(crossing, "is anyone hurt?")
    assert "cannot tell from pictures what they do or what happens to them" in reply.answer
    assert "People are seen in 9 of 12 frames looked at, at most 4 at once" in reply.answer
    assert "sees `" not in reply.answer
    assert len(reply.anomalies) == 1
    assert "0:12" in reply.answer


@pytest.mark.parametrize(
    ("question", "act", "why"),
    [
        ("did anyone get hit?", "a person fights", "No relation in a video's log says that a person fights."),
        ("did somebody fall?", "a person falls", "The people in crossing.mp4 are too close"),
        ("does the man fall?", "a person falls", "too small to tell lying from standing"),
    ],
)
def test_what_people_do_is_followed_and_not_denied_where_they_hide_each_other(
    question: str, act: str, why: str, crossing: Session
) -> None:
    reply = ask(crossing, question)
    assert reply.answer.startswith(f"I cannot tell whether `{act}`")
    assert why in reply.answer
    assert "telltale models pull" in reply.answer
    assert len(reply.anomalies) == 1  # what the detector found is told all the same


@pytest.mark.parametrize("question", ["are there any people?", "how many people cross?"])
def test_people_in_the_video_are_counted_per_frame(question: str, crossing: Session) -> None:
    answer = ask(crossing, question).answer
    assert "at most 4 at once" in answer.lower()
    if question.startswith("how many"):
        assert "how many different people that is I cannot tell" in answer


def test_people_in_the_video_are_counted_where_a_time_is_named(crossing: Session) -> None:
    reply = ask(crossing, "are there people at 0:05?")
    counted = next(e for e in reply.evidence if e.tool == "lookup_people")
    assert 5.0 - 0.1 <= float(str(counted.facts["best_s"])) <= 6.0
    assert counted.facts["looked_at"] == 4


@pytest.mark.parametrize("question", ["was there an accident? when?", "is there a fight?", "did the van crash?"])
def test_a_kind_of_event_in_the_video_is_left_open_with_its_time(question: str, crossing: Session) -> None:
    reply = ask(crossing, question)
    assert reply.status == "abnormal"
    assert "The detector finds 1 unusual event; whether that is" in reply.answer
    assert "0:12" in reply.answer
    assert "ConSE" not in reply.answer


def test_a_van_in_the_video_is_likely_and_a_dog_is_not(crossing: Session) -> None:
    van = ask(crossing, "is there a van?")
    assert van.answer.startswith("Perhaps, at 0:13")
    assert len(van.anomalies) == 1
    assert "`dog` is not clearly there" in ask(crossing, "is there a dog?").answer


def test_nobody_in_the_video_is_identified(crossing: Session) -> None:
    assert "I cannot tell who somebody is" in ask(crossing, "who was driving?").answer


def test_one_picture_without_a_reference_is_not_called_normal(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(120, 136, (160, 160, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "part.png")
    session = Session(home=tmp_path / "home")
    reply = ask(session, "is this part ok?", files=[tmp_path / "part.png"])
    survey = next(e for e in reply.evidence if e.tool == "intrinsic")
    assert survey.facts["undecided"] is True
    assert "one photo alone only shows breaks of its own pattern" in reply.answer
    assert "give a photo of a good part" in reply.answer
    asked = ask(session, "does it have a scratch?")
    assert asked.status == "insufficient"
    assert "does not rule out `scratch`" in asked.answer
    session.close()


def test_photos_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    files: list[Path] = []
    for line in ("line a", "line b"):
        (tmp_path / line).mkdir()
        for number in range(3):
            pixels = np.random.default_rng(number + 10 * len(files)).integers(120, 136, (96, 96, 3), dtype=np.uint8)
            if (line, number) == ("line b", 1):
                pixels[40:60, 40:60] = 10
            Image.fromarray(pixels).save(tmp_path / line / f"{number}.png")
            files.append(tmp_path / line / f"{number}.png")
    session = Session(home=tmp_path / "home")
    reply = ask(session, "which of these are broken?", files=files)
    assert told(reply) == {"line b/1.png"}
    assert "`line b/1.png`" in reply.answer
    page = evidence_html(reply, key="0")
    assert "6 photos · line b/1.png" in page
    session.close()


def test_a_borderline_photo_is_no_finding_but_named() -> None:
    survey = Evidence(
        id="E1", tool="musc", version="1", parameters={}, source="9 photos", locus=Whole(sample="9 photos"), score=0.5,
        threshold=0.55, facts={"photos": 9, "flagged": 0, "borderline": 1, "borderline_names": ["a.png"], "borderline_others": 0},
    )  # fmt: skip
    region = Region(sample="a.png", box=(0, 0, 9, 9), area_share=0.1)
    one = Evidence(
        id="E2", tool="musc", version="1", parameters={}, source="9 photos", locus=region, score=0.5, threshold=0.55,
        facts={"borderline": True, "place": "upper left"},
    )  # fmt: skip
    inv = Investigation(tool="musc", source="9 photos", kind="image", reason="", status="normal", survey=survey)
    said = nothing(inv)
    assert said.startswith("**None of the 9 photos clearly stands out**")
    assert "`a.png` is borderline, have a look" in said
    assert check_sentence(said, {"E1": survey}).holds
    assert "`a.png` is borderline: its score 0.5" in normal(Finding(evidence=one))


def test_many_picture_names_end_with_how_many_others_there_are() -> None:
    names = [f"b{i:03d}.png" for i in range(10)]
    assert named(names, {"others": 2}).endswith("`b007.png` and 2 others")
    assert named(names[:2], {"others": 0}) == "`b000.png` and `b001.png`"


def test_a_concept_ends_before_what_is_left_of_the_picture_it_is_on() -> None:
    text = "how many scratches does tile 4 have"
    assert read_concept(text, [(24, 30)], ["how_many"]) == "scratches"


@pytest.mark.parametrize(
    ("question", "concept", "sight"),
    [
        ("is there a bicycle?", "bicycle", "thing"),
        ("are there deep scratches?", "deep scratches", "type"),
        ("is anybody lying on the floor?", "anybody lying on the floor", "people"),
        ("what colour is it?", None, "colour"),
        ("is anything unusual?", None, None),
        ("can you spot anything odd?", None, None),
        ("are there any defects?", None, None),
    ],
)
def test_what_a_picture_question_asks(question: str, concept: str | None, sight: str | None) -> None:
    asked = asked_of(Request(question=question, intents=("exists",), concept=concept))
    assert (asked.sight if asked else None) == sight


@pytest.mark.parametrize(
    ("colour", "said"), [((200, 30, 30), "reddish"), ((30, 30, 30), "darker"), ((250, 250, 250), "brighter")]
)
def test_concepts_of_colour_in_a_picture(colour: tuple[int, int, int], said: str) -> None:
    picture = np.random.default_rng(0).integers(140, 150, (100, 140, 3)).astype(np.uint8)
    heat = np.zeros((100, 140), np.float32)
    picture[40:60, 50:80], heat[38:62, 48:82] = colour, 1.0
    assert said in looks_of(picture, heat, Region(sample="a", box=(48, 38, 82, 62), area_share=0.06))


def test_an_unusual_texture_in_a_picture_gets_no_colour() -> None:
    rng = np.random.default_rng(1)
    picture = rng.integers(120, 160, (100, 140, 3)).astype(np.uint8)
    heat = np.zeros((100, 140), np.float32)
    heat[40:60, 50:80] = 1.0
    assert looks_of(picture, heat, Region(sample="a", box=(50, 40, 80, 60), area_share=0.04)) == ""


@pytest.mark.parametrize(
    "question", ["which tile has a crack?", "where is the scratch?", "list the stains", "show me the cracks"]
)
def test_a_defect_that_is_pointed_at_by_name_keeps_its_caution(question: str, tiles: Session) -> None:
    reply = ask(tiles, question)
    assert told(reply) == {"tile_04.jpg", "tile_07.jpg"}
    assert "cannot name the type of a defect" in reply.answer
    assert ("in the box from x" in reply.answer) == question.startswith("where")
    assert "cannot name" not in ask(tiles, "which tiles are damaged?").answer


def test_a_photo_odd_as_a_whole_is_told_apart_from_one_odd_at_a_place(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)

    def photo(name: str, *, hole: bool = False, tint: float = 1.0) -> Path:
        pixels = np.indices((192, 256)).sum(0)[..., None] % 24 * 7 + rng.integers(0, 20, (192, 256, 3))
        if hole:
            pixels[60:100, 160:200] = 0
        path = tmp_path / f"{name}.png"
        Image.fromarray((pixels * np.array([tint, 1.0, 1.0])).clip(0, 255).astype(np.uint8)).save(path)
        return path

    good = [photo(f"good {n}") for n in range(9)]
    session = Session(home=tmp_path / "home")
    try:
        reply = ask(session, "what is wrong and why?", files=[photo("torn", hole=True), photo("tinted", tint=0.6)], normal=good)
    finally:
        session.close()
    assert "`consensus`" in reply.answer
    torn, tinted = (next(a for a in reply.anomalies if a.loci[0].sample == name) for name in ("torn.png", "tinted.png"))
    assert torn.label.startswith("unusual region")
    assert tinted.label.startswith("unusual as a whole")
    assert "as a whole it lies farther from the normal photos" in reply.answer
    assert "no patch of the normal photos looks like it" in reply.answer
