"""Sizes and places of odd regions, and concept matching that abstains where it is at chance."""

import numpy as np
import pytest

from agent.rules.compile import compile_rule
from agent.rules.conditions import ConceptCondition, RegionCondition
from agent.rules.evaluate import Material, OddRegions, evaluate
from agent.rules.evaluate_image import evaluate_concept, evaluate_regions
from core.evidence import Region
from core.samples import ImageSample

SMALL = Region(sample="a.png", box=(10.0, 20.0, 30.0, 25.0), area_share=0.004)
LARGE = Region(sample="a.png", box=(100.0, 30.0, 175.0, 80.0), area_share=0.15)
EDGE = Region(sample="b.png", box=(0.0, 40.0, 12.0, 50.0), area_share=0.005)
REGIONS, SIZES = {"a.png": [SMALL, LARGE], "b.png": [EDGE], "c.png": []}, dict.fromkeys(("a.png", "b.png", "c.png"), (100, 200))


def boxes(text, **given):
    [condition] = compile_rule(text).definition.conditions
    assert isinstance(condition, RegionCondition)
    found, cannot, _ = evaluate_regions(condition, REGIONS, SIZES, **given)
    return [f.locus for f in found], [c.reason for c in cannot]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("regions smaller than 1 % do not matter", [SMALL, EDGE]),
        ("regions larger than 1 % are critical", [LARGE]),
        ("regions longer than 20 px are an anomaly", [LARGE]),
        ("regions of at least 20 px are an anomaly", [SMALL, LARGE]),
        ("regions wider than 5 px are an anomaly", [LARGE, EDGE]),
        ("defects between 15 and 30 pixels are fine", [SMALL]),
        ("regions at the edge are fine", [EDGE, SMALL]),
        ("regions in the upper left are fine", [SMALL]),
        ("regions in the centre are critical", []),
        ("regions on the right are critical", [LARGE]),
        ("any defect is critical", [SMALL, LARGE, EDGE]),
    ],
)
def test_which_regions_fire(text, wanted):
    found, cannot = boxes(text)
    assert cannot == []
    assert sorted(found, key=lambda r: r.box) == sorted(wanted, key=lambda r: r.box)


def test_a_kind_of_defect_is_never_guessed():
    found, cannot = boxes("scratches under 40 px do not matter")
    assert found == []
    assert "scratch" in cannot[0]
    found, cannot = boxes("scratches under 40 px do not matter", kind_of=lambda region: "Scratch" if region is SMALL else "dent")
    assert (found, cannot) == ([SMALL], [])


def test_millimetres_need_a_scale():
    found, cannot = boxes("regions longer than 2 mm are an anomaly")
    assert found == []
    assert "scale" in cannot[0]
    assert boxes("regions longer than 2 mm are an anomaly", mm_per_px=0.05) == ([LARGE], [])
    assert boxes("regions longer than 0.2 cm are an anomaly", mm_per_px=0.05) == ([LARGE], [])
    assert boxes("regions larger than 5 mm² are an anomaly", mm_per_px=0.05) == ([LARGE], [])  # 3,000 px² at 0.05 mm are 7.5 mm²


def test_how_many_regions():
    [condition] = compile_rule("more than 1 defects is an anomaly").definition.conditions
    found, _, _ = evaluate_regions(condition, REGIONS, SIZES)  # type: ignore[arg-type]
    assert [(f.locus.sample, f.measured) for f in found] == [("a.png", 2.0)]


def test_what_concept_matching_cannot_see_is_not_looked_for():
    pictures = [("a.png", np.zeros((32, 32, 3), np.uint8))]
    found, cannot, _ = evaluate_concept(
        ConceptCondition(abnormal=("an open lid",), normal=("a closed lid",)), pictures, polarity="anomaly"
    )
    assert found == []
    assert "what state it is in" in cannot[0].reason
    assert "telltale models pull" in cannot[0].what_would_help


def test_a_model_that_sees_decides_and_an_inverted_rule_inverts():
    pictures = [("open.png", np.full((8, 8, 3), 200, np.uint8)), ("closed.png", np.zeros((8, 8, 3), np.uint8))]

    def looker(given, texts):
        bright = np.array([p.mean() / 255 for p in given])
        return np.stack([bright if "open" in t else 1 - bright for t in texts], axis=1).astype(np.float32)

    for text, wanted in (
        ("an open lid is an anomaly", "open.png"),
        ("an open lid is fine", "open.png"),
        ("a closed lid is an anomaly", "closed.png"),
    ):
        definition = compile_rule(text).definition
        found, cannot, _ = evaluate_concept(definition.conditions[0], pictures, polarity=definition.polarity, looker=looker)  # type: ignore[arg-type]
        assert [f.locus.sample for f in found] == [wanted]
        assert cannot == []


def test_things_are_seen_by_rank_and_probability_and_doubt_is_said(monkeypatch):
    import agent.rules.evaluate_image as module
    from models.vision_concepts import class_names

    laptop, wall = (next(i for i, n in enumerate(class_names()) if word in n) for word in ("laptop", "stone wall"))
    rows = np.zeros((3, 1000), np.float32)
    rows[0, laptop], rows[1, wall] = 0.9, 0.9
    rows[2, [laptop, wall]] = 0.06, 0.06
    monkeypatch.setattr(module, "class_probabilities", lambda pictures, device: rows[: len(pictures)])
    photos = [ImageSample(name=n, pixels=np.zeros((8, 8, 3), np.uint8)) for n in ("laptop.png", "wall.png", "both.png")]
    definition = compile_rule("a laptop is an anomaly").definition
    outcome = evaluate(definition, Material(source="photos", kind="image", samples=photos))
    assert [f.locus.sample for f in outcome.findings] == ["laptop.png"]
    assert "concept matching" in outcome.findings[0].sentence
    assert outcome.findings[0].measured == 90.0
    [doubt] = outcome.cannot
    assert "both.png" in doubt.reason
    assert "wall.png" not in doubt.reason


def test_a_thing_without_a_class_is_not_looked_for():
    photos = [ImageSample(name="a.png", pixels=np.zeros((8, 8, 3), np.uint8))]
    outcome = evaluate(compile_rule("people are an anomaly").definition, Material(source="photos", kind="image", samples=photos))
    assert not outcome.findings
    assert "none of them is called “person”" in outcome.cannot[0].reason


def test_photos_are_searched_only_when_a_condition_asks_for_it():
    asked = []

    def regions():
        asked.append(1)
        return OddRegions(regions=REGIONS, sizes=SIZES)

    photos = [ImageSample(name="a.png", pixels=np.zeros((100, 200, 3), np.uint8))]
    material = Material(source="photos", kind="image", samples=photos, regions=regions)
    assert len(evaluate(compile_rule("regions smaller than 1 % do not matter").definition, material).findings) == 2
    evaluate(compile_rule("regions larger than 1 % are critical").definition, material)
    assert asked == [1]
    evaluate(
        compile_rule("scratches under 2 mm do not matter").definition,
        Material(source="p", kind="image", samples=photos, regions=lambda: 1 / 0),
    )
