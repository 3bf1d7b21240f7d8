"""What following cannot tell is shown to a model that sees, when there is one: which moments, which pictures, and what comes of it."""

import numpy as np
import pytest
from PIL import Image

from agent.rules.compile import compile_rule
from agent.rules.evaluate import Material, evaluate
from agent.rules.look_video import FRAMES, SIDE
from core.errors import ModelOutputError
from core.samples import ImageSample, VideoClip
from tools.video.following import Following, Shares
from tools.video.relation_words import Entity, Relation

THING, PERSON = Entity(3, "moving"), Entity(1, "person")
SURE = Shares(tracks=1, kept=1.0, apart=1.0, smallest=100.0)
LOST = Shares(tracks=1, kept=0.1, apart=1.0, smallest=100.0)


class Sees:
    """Says yes to strips whose first frame is brighter than 100, and remembers what it was shown."""

    def __init__(self):
        self.shown, self.texts = [], []

    def __call__(self, pictures, texts):
        self.shown += list(pictures)
        self.texts.append(list(texts))
        return np.array([[1.0, 0.0] if picture[:, :20].mean() > 100 else [0.0, 1.0] for picture in pictures], np.float32)


def clip(seconds=12.0, bright=(6.0, 9.0)):
    times = np.arange(int(seconds * 10)) / 10
    frames = np.zeros((len(times), 30, 40, 3), np.uint8)
    frames[(times >= bright[0]) & (times < bright[1])] = 200
    return VideoClip.from_array("yard.mp4", frames, fps=10.0)


def material(log, looker, people=SURE, free=None):
    followed = Following(people=people, things=people, moved=True, steady=True, movers=0, one_way=False, free=free or {})
    return Material(
        source="yard.mp4", kind="video", samples=[clip()], relations=lambda _: log, followed=lambda _: followed, looker=looker
    )


def outcome(text, log, looker, **given):
    return evaluate(compile_rule(text).definition, material(log, looker, **given))


def falls(t0, t1, who=THING):
    return Relation(t0_s=t0, t1_s=t1, subject=who, predicate="falls", strength=0.6)


def test_only_the_moments_when_something_nameless_falls_are_shown():
    sees = Sees()
    told = outcome("a person falling is critical", [falls(7.0, 7.6), falls(2.0, 3.0)], sees)
    assert [(f.locus.start_s, f.locus.end_s) for f in told.findings] == [(6.3, 8.3)]
    assert told.findings[0].sentence == "A model that looked at 6.3–8.3 s of yard.mp4 says that a person falls."
    assert (told.cannot, len(sees.shown)) == ((), 2)
    assert sees.shown[0].shape == (30, 40 * FRAMES, 3)
    assert sees.texts == [["Seen from left to right: a person falls.", "Seen from left to right: nowhere a person falls."]]


def test_what_is_sure_without_a_look_is_not_shown():
    sees = Sees()
    assert [f.locus.start_s for f in outcome("a person falling is critical", [falls(7.0, 7.6, PERSON)], sees).findings] == [7.0]
    assert outcome("a person running is critical", [], sees).cannot == ()
    assert sees.shown == []


def test_people_lost_from_sight_and_what_no_log_says_are_looked_for_in_the_whole_clip():
    for text, people in (("a person falling is critical", LOST), ("two people fighting is critical", SURE)):
        sees = Sees()
        told = outcome(text, [], sees, people=people)
        assert [(f.locus.start_s, f.locus.end_s) for f in told.findings] == [(6.0, 8.0), (8.0, 10.0)]
        assert len(sees.shown) == 6
        assert max(sees.shown[0].shape) <= SIDE * FRAMES
        silent = outcome(text, [], None, people=people)
        assert (silent.findings, len(silent.cannot)) == ((), 1)
        assert "telltale models pull" in silent.cannot[0].what_would_help


def test_a_fall_beside_others_is_asked_about_and_told_when_the_model_agrees():
    free = {1: (np.array([6.0, 7.0, 8.0]), np.array([False, False, True]))}
    log = [falls(6.5, 7.2, PERSON)]
    unsure = outcome("a person falling is critical", log, None, free=free)
    assert (unsure.findings, "others are so close" in unsure.cannot[0].reason) == ((), True)
    assert len(outcome("a person falling is critical", log, Sees(), free=free).findings) == 1


@pytest.mark.parametrize("text", ["a person in the cellar is an anomaly", "a person closer than 2 m to a person is critical"])
def test_what_no_model_can_see_is_not_shown(text):
    sees = Sees()
    told = outcome(text, [], sees)
    assert told.cannot
    assert sees.shown == []


def test_a_model_that_gives_no_answer_leaves_the_limit_as_it_is():
    def silent(pictures, texts):
        raise ModelOutputError("expected a number, got nothing.")

    told = outcome("two people fighting is critical", [], silent)
    assert told.findings == ()
    assert [c.reason.split(":")[0] for c in told.cannot][-1] == "The model that sees gave no answer"


def test_a_look_is_asked_of_a_model_that_sees_and_not_of_a_script(tmp_path):
    from agent.narration.voice import Voice
    from agent.rules.gather import gather
    from models.chat.tiers import Tier
    from readers.open import open_path

    assert Voice(Tier.parse("embedded")).looker() is None
    assert Voice(Tier.parse("scripted:replies.yaml")).looker() is None
    Image.fromarray(np.full((20, 24, 3), 200, np.uint8)).save(tmp_path / "bright.png")
    sees = Sees()
    given = gather(open_path(tmp_path / "bright.png"), looker=sees)
    assert [f.locus.sample for f in evaluate(compile_rule("it is an anomaly that the lid is open").definition, given).findings]
    assert len(sees.shown) == 1


def test_a_model_that_gives_no_answer_on_a_photo_is_said_so(tmp_path):
    def silent(pictures, texts):
        raise ModelOutputError("expected a number, got nothing.")

    photo = ImageSample(name="a.png", pixels=np.zeros((20, 24, 3), np.uint8))
    told = evaluate(
        compile_rule("it is an anomaly that the lid is open").definition,
        Material(source="a.png", kind="image", samples=[photo], looker=silent),
    )
    assert [c.reason for c in told.cannot] == ["The model that sees gave no answer: expected a number, got nothing."]
