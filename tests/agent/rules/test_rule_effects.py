"""What rules change: findings added and set aside, decisions that invert with the rule, "normal here" and its replay."""

import json

import numpy as np
import pytest

from agent.rules.compile import compile_rule
from agent.rules.effects import anomaly_of, covers, decide, evidence_of
from agent.rules.evaluate import Material, evaluate_rule
from agent.rules.like_finding import condition_like, normal_like, replay, replay_words
from agent.rules.outcome import Outcome, RuleFinding
from core.errors import BadInput
from core.evidence import Anomaly, EventRows, Evidence, Interval, Path, Region, Whole
from core.rules import Scope
from core.samples import Series

PUMP = Series(
    name="pump.csv",
    values=np.array([[5], [8], [8], [8], [5]], np.float32),
    time_s=np.arange(5.0),
    channels=("pressure",),
    units=("bar",),
    time_base="elapsed",
)
MATERIAL = Material(source="pump.csv", kind="series", samples=[PUMP])
SPAN = Interval(sample="pump.csv", start_s=1.0, end_s=4.0, peak_s=2.0, channels=("pressure",))


def anomaly(locus=SPAN, label="rise in pressure", source="pump.csv", evidence=("E1", "E0")):
    return Anomaly(label=label, source=source, loci=(locus,), severity=2, severity_score=50, confidence=0.9, evidence=evidence)


def evidence(locus=SPAN, **facts):
    return Evidence(id="E1", tool="t", version="1", parameters={}, source="pump.csv", locus=locus, facts=facts)


def decided(text, anomalies=(), *, scope=None, identity="R1", created=""):
    from dataclasses import replace

    rule = replace(compile_rule(text).rule(identity, scope=scope), created=created)
    return rule, evaluate_rule(rule, MATERIAL)


def test_an_anomaly_rule_adds_and_the_same_rule_inverted_sets_aside():
    bad = decided("pressure above 7 bar is critical")
    good = decided("pressure above 7 bar is normal")
    with_bad = decide([], [bad])
    assert len(with_bad.added) == 1
    assert not with_bad.set_aside
    with_good = decide([anomaly()], [good])
    assert not with_good.added
    assert not with_good.kept
    assert [s.rule_id for s in with_good.set_aside] == ["R1"]
    assert decide([anomaly()], [bad]).kept == (anomaly(),)


@pytest.mark.parametrize(
    "subject", ["pressure above 7 bar", "pressure between 7 and 9 bar", "pressure at least 8 bar for 2 seconds"]
)
def test_every_decision_inverts_with_its_rule(subject):
    from agent.rules.compile import inverted

    for form in ("{} is an anomaly", "{} is normal"):
        rule, outcome = decided(form.format(subject))
        from dataclasses import replace

        other = inverted(compile_rule(form.format(subject)).definition)
        turned = replace(rule, polarity=other.polarity, compiled=other.model_dump(mode="json"))
        first, second = decide([anomaly()], [(rule, outcome)]), decide([anomaly()], [(turned, evaluate_rule(turned, MATERIAL))])
        assert bool(first.added) != bool(second.added)
        assert bool(first.set_aside) != bool(second.set_aside)


def test_a_rule_elsewhere_or_switched_off_changes_nothing():
    from dataclasses import replace

    for rule in (
        compile_rule("pressure above 7 bar is normal").rule("R1", scope=Scope(source="other.csv")),
        replace(compile_rule("pressure above 7 bar is normal").rule("R1"), enabled=False),
    ):
        outcome = evaluate_rule(rule, MATERIAL)
        assert outcome.tried == 0
        assert decide([anomaly()], [(rule, outcome)]).kept == (anomaly(),)


def test_a_normal_rule_must_cover_half_of_a_finding_and_lead_with_its_channel():
    good = decided("pressure above 7 bar is normal")
    long = Interval(sample="pump.csv", start_s=0.0, end_s=10.0, peak_s=2.0, channels=("pressure",))
    other = Interval(sample="pump.csv", start_s=1.0, end_s=4.0, peak_s=2.0, channels=("flow", "pressure"))
    assert decide([anomaly(long), anomaly(other)], [good]).kept == (anomaly(long), anomaly(other))


def test_of_two_contradicting_rules_the_narrower_then_the_newer_decides_and_says_so():
    bad, good = (
        decided("pressure above 7 bar is critical", created="2026-01-01"),
        decided("pressure above 6 bar is normal", identity="R2", created="2026-01-02"),
    )
    decision = decide([], [bad, good])
    assert not decision.added
    assert "R2 is newer" in decision.notes[0]
    narrow = decided("pressure above 7 bar is critical", scope=Scope(source="pump.csv"), created="2026-01-01")
    decision = decide([], [narrow, good])
    assert len(decision.added) == 1
    assert "holds more narrowly" in decision.notes[0]


def test_a_photo_is_set_aside_only_when_all_its_odd_regions_are():
    small, large = (
        Region(sample="a.png", box=b, area_share=s) for b, s in (((0.0, 0.0, 5.0, 5.0), 0.001), ((20.0, 20.0, 90.0, 90.0), 0.2))
    )
    rule = compile_rule("regions smaller than 1 % do not matter").rule("R1")
    outcome = Outcome(
        source="a.png", tried=1, findings=(RuleFinding(locus=small, measured=0.1, unit="%", condition="small", sentence="small"),)
    )
    both = anomaly(small, source="a.png")
    held = {"E1": evidence(small, regions=[list(small.box), list(large.box)])}
    assert decide([both], [(rule, outcome)], evidence=held).kept == (both,)
    alone = {"E1": evidence(small, regions=[list(small.box)])}
    assert decide([both], [(rule, outcome)], evidence=alone).kept == ()


@pytest.mark.parametrize(
    ("places", "locus", "covered"),
    [
        ([Whole(sample="a")], Region(sample="a", box=(0, 0, 1, 1), area_share=0.1), True),
        ([EventRows(sample="a", rows=(1, 2))], Path(sample="a", entities=("x",), rows=(1, 2, 3)), True),
        ([EventRows(sample="a", rows=(1,))], Path(sample="a", entities=("x",), rows=(1, 2, 3)), False),
        ([Region(sample="a", box=(0, 0, 4, 4), area_share=0.1)], Region(sample="a", box=(0, 0, 4, 5), area_share=0.1), True),
        ([Region(sample="a", box=(0, 0, 4, 4), area_share=0.1)], Region(sample="a", box=(5, 5, 9, 9), area_share=0.1), False),
        ([Interval(sample="b", start_s=0, end_s=9, peak_s=1)], SPAN, False),
    ],
)
def test_what_covers_what(places, locus, covered):
    assert covers(places, locus) == covered


def test_the_evidence_of_a_rule_stands_on_its_own_and_is_small():
    rule, outcome = decided("pressure above 7 bar for more than 2 seconds is critical")
    [finding] = outcome.findings
    draft = evidence_of(rule, finding, "pump.csv")
    assert len(json.dumps(draft.to_json())) < 4000
    assert draft.facts["measured"] == 8.0
    assert draft.threshold_origin == "your rule R1 (version 1)"
    from dataclasses import replace

    made = anomaly_of(rule, finding, replace(draft, id="E7"))
    assert (made.rule_id, made.severity, made.evidence) == ("R1", 3, ("E7",))
    assert "8 bar" in made.why


def test_normal_here_takes_what_a_finding_is_about_and_is_replayed_on_past_ones():
    own = evidence(kind="rise")
    reading = normal_like(anomaly(), own, "series")
    assert reading.definition.polarity == "normal"
    assert reading.scope == Scope(source="pump.csv")
    assert "every “rise” in pressure" in reading.definition.assumptions[0]
    [condition] = reading.definition.conditions
    past = [
        (anomaly(), own, "series"),
        (anomaly(label="drop in pressure"), evidence(kind="drop"), "series"),
        (anomaly(Interval(sample="p", start_s=0, end_s=1, peak_s=0, channels=("flow",))), evidence(kind="rise"), "series"),
    ]
    found = replay(condition, past)  # type: ignore[arg-type]
    assert found == [anomaly()]
    assert replay_words(found, 3) == "1 of the 3 past findings would have been normal: “rise in pressure”."
    rule = reading.rule("R1")
    decision = decide([anomaly()], [(rule, evaluate_rule(rule, MATERIAL))], evidence={"E1": own}, kind="series")
    assert [s.rule_id for s in decision.set_aside] == ["R1"]


def test_normal_here_for_logs_and_pictures():
    path = Path(sample="log", entities=(r"C:\a\winword.exe", r"C:\b\cmd.exe"), rows=(1, 2))
    like = condition_like(anomaly(path), evidence(path), "events")
    assert like.entities == ("winword.exe", "cmd.exe")
    spot = Region(sample="a.png", box=(10.0, 20.0, 30.0, 40.0), area_share=0.02)
    like = condition_like(anomaly(spot), evidence(spot, width=100, height=200), "image")
    assert like.box == (0.1, 0.1, 0.3, 0.2)
    moved = Region(sample="b.png", box=(12.0, 22.0, 32.0, 42.0), area_share=0.02)
    away = Region(sample="c.png", box=(70.0, 150.0, 90.0, 170.0), area_share=0.02)
    past = [(anomaly(r, label=r.sample), evidence(r, width=100, height=200), "image") for r in (moved, away)]
    assert [a.label for a in replay(like, past)] == ["b.png"]  # type: ignore[arg-type]


def test_a_finding_about_nothing_in_particular_cannot_be_called_normal():
    whole = Whole(sample="a.mp4")
    with pytest.raises(BadInput, match="Say in words what is normal"):
        normal_like(anomaly(whole), evidence(whole), "video")
