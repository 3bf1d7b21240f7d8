"""Motion conditions on hand-made relation logs: who, what, where, how long; and what a camera cannot tell."""

import pytest

from agent.rules.compile import compile_rule
from agent.rules.conditions import MotionCondition
from agent.rules.evaluate_video import evaluate as on_video
from tools.video.relation_words import PREDICATES, Entity, Relation, TimedBox

PERSON, OTHER, THING, GATE, YARD = (
    Entity(1, "person"),
    Entity(2, "person"),
    Entity(3, "moving"),
    Entity(None, "gate"),
    Entity(None, "yard"),
)


def relation(t0, t1, subject, predicate, whom=None, strength=1.0):
    boxes = () if subject.id is None else (TimedBox((t0 + t1) / 2, subject.id, (10.0, 20.0, 30.0, 80.0)),)
    return Relation(t0_s=t0, t1_s=t1, subject=subject, predicate=predicate, object=whom, strength=strength, boxes=boxes)


LOG = [
    relation(1, 1, PERSON, "appears"),
    relation(2, 2, OTHER, "appears"),
    relation(3, 9, PERSON, "enters zone", GATE, 6.0),
    relation(4, 8, PERSON, "stays", GATE, 4.0),
    relation(5, 6, OTHER, "runs", None, 2.1),
    relation(6, 7, THING, "falls", None, 0.6),
    relation(7, 8, OTHER, "too close", PERSON, 0.3),
    relation(8, 9, OTHER, "leaves behind", THING, 2.0),
    relation(9, 12, PERSON, "in a crowd", None, 5.0),
    relation(10, 11, OTHER, "goes against the flow", None, 170.0),
    relation(11, 40, OTHER, "stays", None, 29.0),
    relation(12, 12, PERSON, "disappears"),
    relation(13, 15, OTHER, "enters zone", YARD, 2.0),
    relation(14, 14.5, OTHER, "falls", None, 0.7),
]


def spans(text, log=LOG, **given):
    given = {"zones": ("gate", "yard"), "end_s": 60.0, **given}
    definition = compile_rule(text).definition
    found, cannot, _ = on_video(definition.conditions[0], log, sample="yard.mp4", hours=definition.hours, **given)  # type: ignore[arg-type]
    return [(f.locus.start_s, f.locus.end_s) for f in found], [c.reason for c in cannot]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a person falling is critical", [(14, 14.5)]),
        ("people running are suspicious", [(5, 6)]),
        ("people may run here", [(5, 6)]),
        ("nobody may enter the yard", [(13, 15)]),
        ("nobody may enter the gate", [(3, 9)]),
        ("a person in the gate area is an anomaly", [(3, 9)]),
        ("a person in the yard is an anomaly", [(13, 15)]),
        ("a person loitering longer than 5 seconds at the gate is suspicious", [(3, 9)]),
        ("a person loitering longer than 6 seconds at the gate is suspicious", []),
        ("a person staying longer than 20 seconds is suspicious", [(11, 40)]),
        ("a bag left behind is critical", [(8, 9)]),
        ("people too close to a person is an anomaly", [(7, 8)]),
        ("a person going the wrong way is critical", [(10, 11)]),
        ("a crowd of more than 4 people is an anomaly", [(9, 12)]),
        ("a crowd of more than 5 people is an anomaly", []),
        ("a person is an anomaly", [(1, 12), (2, 60.0)]),
        ("people near the gate are fine", [(3, 9)]),
        ("a person entering the zone is an anomaly", [(3, 9), (13, 15)]),
    ],
)
def test_when_it_fires(text, wanted):
    assert spans(text)[0] == wanted


def test_a_thing_that_falls_is_told_but_does_not_count_as_a_person():
    found, cannot = spans("a person falling is critical", [relation(6, 7, THING, "falls", None, 0.6)])
    assert found == []
    assert "6.0–7.0 s a moving thing falls" in cannot[0]
    assert spans("anything falling is critical", [relation(6, 7, THING, "falls", None, 0.6)]) == ([(6, 7)], [])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a person without a helmet near the gate is an anomaly", "helmet"),
        ("a person with a knife is critical", "knife"),
        ("a bicycle is an anomaly", "no bicycle"),
        ("a person closer than 2 m to a person is critical", "no m"),
        ("two people fighting is critical", "fights"),
        ("a person in the cellar is an anomaly", "No zone called “cellar”"),
        ("a person near the press is an anomaly", "No zone called “press”"),
        ("a car going the wrong way is critical", "no car"),
    ],
)
def test_what_cannot_be_told_is_said_and_nothing_fires(text, why):
    found, cannot = spans(text)
    assert found == []
    assert any(why in reason for reason in cannot)


def test_with_a_detector_that_knows_more_the_same_rule_is_measured():
    log = [relation(1, 1, Entity(7, "bicycle"), "appears"), relation(3, 3, Entity(7, "bicycle"), "disappears")]
    labels = frozenset({"person", "bicycle", "car"})
    assert spans("bicycles are an anomaly", log, labels=labels) == ([(1, 3)], [])
    assert spans("vehicles running are an anomaly", [relation(1, 2, Entity(8, "car"), "runs")], labels=labels)[0] == [(1, 2)]


def test_a_part_of_the_day_needs_to_know_when_the_clip_was_recorded():
    noon = 12 * 3600.0
    assert spans("a person running at night is an anomaly", epoch_s=noon) == ([], [])
    assert spans("a person running at night is an anomaly", epoch_s=noon + 11 * 3600)[0] == [(5, 6)]
    assert "time of day" in spans("a person running at night is an anomaly")[1][0]


def test_a_finding_has_a_box_a_time_and_a_sentence():
    [found], _, _ = on_video(MotionCondition(predicate="falls", subject="person"), LOG, sample="yard.mp4")
    assert found.locus.box == (10.0, 20.0, 30.0, 80.0)
    assert found.locus.peak_s == 14.25
    assert found.sentence == "person 2 falls at 14.0–14.5 s (“a person falls”)."
    assert found.measured == 0.7
    assert found.unit == PREDICATES["falls"]


def test_every_predicate_that_is_asked_for_is_one_that_the_log_can_hold():
    from agent.rules.evaluate_video import _LOGGED

    assert {name for names in _LOGGED.values() for name in names} <= set(PREDICATES)
