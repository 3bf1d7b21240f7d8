"""Holding a definition against pictures: the size and place of odd regions, and what a picture is likest to.

Regions come from a detector's heatmap; lengths are those of the region's box in pixels. Things are looked for by concept matching
(`models.vision_concepts`), which knows things by name only; a `Looker` takes over where there is one. Pictures are (H, W, 3) uint8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from agent.rules.conditions import ConceptCondition, Place, RegionCondition
from agent.rules.evaluate_series import compares
from agent.rules.measurable import Looker, limits_of
from agent.rules.outcome import CannotTell, RuleFinding
from agent.rules.wording import condition_words
from core.evidence import Region, Whole
from core.rules import Polarity

_MM = {"mm": 1.0, "cm": 10.0, "µm": 0.001, "inch": 25.4, "m": 1000.0}
EDGE = 0.1
"""Part of the picture's width or height from its border that counts as the edge."""
SEEN_RANK, MAYBE_RANK = 3, 8
"""A thing counts as seen when at most this many common things fit the picture as well; beyond the second it is not."""
NAMES_IT = 0.5
"""Sentence similarity from which a class name is another word for a text, or a kind of it."""
SEEN_MASS, MAYBE_MASS = 0.1, 0.02
"""Probability that such classes must hold together for a thing to be seen; below the second it is not."""


def evaluate_regions(
    condition: RegionCondition, regions: Mapping[str, Sequence[Region]], sizes: Mapping[str, tuple[int, int]], *,
    mm_per_px: float | None = None, kind_of: Callable[[Region], str] | None = None,
) -> tuple[list[RuleFinding], list[CannotTell], list[str]]:  # fmt: skip
    """Findings, what could not be told, and notes, of one condition on the odd regions of some pictures.

    `sizes` are (height, width) in pixels by picture, `mm_per_px` the size of a pixel if known, `kind_of` names a region's kind of defect.

    >>> spot = Region(sample="a.png", box=(10, 10, 40, 20), area_share=0.003)
    >>> found, _, _ = evaluate_regions(RegionCondition(how="above", low=25, unit="px"), {"a.png": [spot]}, {"a.png": (100, 200)})
    >>> found[0].measured, found[0].sentence
    (30.0, 'a.png has an odd region whose longer side is 30 px.')
    """
    cannot = limits_of(condition, scale=mm_per_px is not None, kinds_told=kind_of is not None)
    if cannot:
        return [], cannot, []
    rule = condition_words(condition)
    found = []
    for sample, every in regions.items():
        fitting = [r for r in every if _kind_fits(condition, r, kind_of) and _placed(condition.place, r, sizes[sample])]
        if condition.measure == "count":
            n = float(len(fitting))
            if fitting and (condition.how is None or _holds(condition, n)):
                found.append(
                    RuleFinding(locus=Whole(sample=sample), measured=n, unit="regions", condition=rule,
                                sentence=f"{sample} has {n:.0f} such regions.", facts={"regions": int(n)})
                )  # fmt: skip
            continue
        for region in fitting:
            value, unit = _measured(condition, region, sizes[sample], mm_per_px)
            if condition.how is None or _holds(condition, value):
                found.append(_region_finding(condition, region, sample, value, unit, rule))
    notes = []
    if mm_per_px is not None and condition.unit not in ("", "px", "px²", "%"):
        notes.append(f"One pixel was taken as {mm_per_px:g} mm.")
    return found, [], notes


def _holds(condition: RegionCondition, value: float) -> bool:
    return bool(compares(str(condition.how), np.array([value]), condition.low, condition.high)[0])


def _region_finding(condition: RegionCondition, region: Region, sample: str, value: float, unit: str, rule: str) -> RuleFinding:
    size = {"length": "longer side", "width": "shorter side", "area": "area"}[condition.measure]
    shown = float(f"{value:.4g}")
    return RuleFinding(
        locus=region, measured=shown, unit=unit, condition=rule, sentence=f"{sample} has an odd region whose {size} is "
            f"{shown:g} {unit}.",
        facts={"measured": shown, "unit": unit, "box": list(region.box), "area_percent": round(100 * region.area_share, 3)},
    )  # fmt: skip


def _kind_fits(condition: RegionCondition, region: Region, kind_of: Callable[[Region], str] | None) -> bool:
    return not condition.defect or (kind_of is not None and condition.defect.split()[-1] in kind_of(region).lower())


def _measured(condition: RegionCondition, region: Region, size: tuple[int, int], mm_per_px: float | None) -> tuple[float, str]:
    """A region's length, width or area in the condition's unit; pixels without one."""
    x0, y0, x1, y1 = region.box
    sides = sorted((x1 - x0, y1 - y0))
    per_px = 1.0 if mm_per_px is None or condition.unit in ("", "px", "px²", "%") else mm_per_px / _MM[condition.unit.rstrip("²")]
    if condition.measure == "area":
        if condition.unit == "%" or not condition.unit:
            return 100.0 * region.area_share, "%"
        return region.area_share * size[0] * size[1] * per_px**2, condition.unit
    return (sides[1] if condition.measure == "length" else sides[0]) * per_px, condition.unit or "px"


def _placed(place: Place | None, region: Region, size: tuple[int, int]) -> bool:
    """Whether the centre of a region lies in a part of the picture (a third of it; the edge: its outer tenth)."""
    if place is None:
        return True
    height, width = size
    x, y = (region.box[0] + region.box[2]) / 2 / width, (region.box[1] + region.box[3]) / 2 / height
    if place == "edge":
        return min(region.box[0] / width, region.box[1] / height, 1 - region.box[2] / width, 1 - region.box[3] / height) < EDGE
    across, down = ("left", "", "right")[min(2, int(3 * x))], ("upper", "", "lower")[min(2, int(3 * y))]
    return (not across and not down) if place == "centre" else all(word in (across, down) for word in place.split())


def evaluate_concept(
    condition: ConceptCondition, pictures: Sequence[tuple[str, NDArray[np.uint8]]], *, polarity: Polarity, looker: Looker | None = None,
    device: str = "auto",
) -> tuple[list[RuleFinding], list[CannotTell], list[str]]:  # fmt: skip
    """Findings, what could not be told, and notes, of texts about pictures; with polarity "normal" the normal texts are looked for.

    Concept matching counts a thing as seen when few common things fit the picture better and the classes that it names are probable;
    where the two disagree, it cannot tell.
    """
    if (limits := limits_of(condition, looker=looker)) or not pictures:
        return [], limits, []
    wanted = (condition.normal or condition.abnormal) if polarity == "normal" else (condition.abnormal or condition.normal)
    against = tuple(t for t in (*condition.abnormal, *condition.normal) if t not in wanted)
    if looker is not None:
        return _looked(condition, pictures, wanted, against, polarity, looker)
    return _matched(condition, pictures, [_thing(t) for t in wanted], condition_words(condition, polarity), device)


def _matched(
    condition: ConceptCondition, pictures: Sequence[tuple[str, NDArray[np.uint8]]], texts: list[str], rule: str, device: str
) -> tuple[list[RuleFinding], list[CannotTell], list[str]]:  # fmt: skip
    """Concept matching, with two gates: the place of the text among common things, and how probable the classes are that it names."""
    from models.text import embed
    from models.vision_concepts import RIVALS, SAME_THING, class_names, project

    vectors = embed(texts, device=device)
    named = (embed(class_names(), device=device) @ vectors.T).max(axis=1) >= NAMES_IT
    help_ = limits_of(condition.model_copy(update={"visible": False}))[0].what_would_help
    if not named.any():
        why = f"Concept matching knows a thousand things, and none of them is called “{texts[0]}”."
        return [], [CannotTell(reason=why, what_would_help=help_)], []
    probabilities = class_probabilities([p for _, p in pictures], device)
    seen = project(probabilities, device=device)
    rivals = embed(RIVALS, device=device)
    same = (rivals @ vectors.T).max(axis=1) >= SAME_THING
    found, unsure = [], []
    for (name, _), vector, row in zip(pictures, seen, probabilities, strict=True):
        best = float((vectors @ vector).max())
        sooner = [RIVALS[i] for i in np.argsort(-(rivals @ vector), kind="stable") if rivals[i] @ vector > best and not same[i]]
        rank, mass = 1 + len(sooner), float(row[named].sum())
        if rank <= SEEN_RANK and mass >= SEEN_MASS:
            among = f"{100 * mass:.0f} % of the class probability, place {rank} among {len(RIVALS)} common things"
            found.append(
                RuleFinding(locus=Whole(sample=name), measured=round(100 * mass, 1), unit="% of the class probability", condition=rule,
                            sentence=f"{name} looks like “{texts[0]}” ({among}, by concept matching).",
                            facts={"rank": rank, "rivals": len(RIVALS), "sooner": sooner[:3], "mass_percent": round(100 * mass)})
            )  # fmt: skip
        elif rank <= MAYBE_RANK and mass >= MAYBE_MASS:
            unsure.append(name)
    cannot = []
    if unsure:
        shown = ", ".join(unsure[:4]) + (f" and {len(unsure) - 4} more" if len(unsure) > 4 else "")
        why = f"In {shown} concept matching can neither see nor exclude “{texts[0]}”."
        cannot.append(CannotTell(reason=why, what_would_help=help_))
    how = f"“{texts[0]}” was looked for by concept matching with ImageNet's class names, not by a model that reads pictures."
    return found, cannot, [how]


def class_probabilities(pictures: Sequence[NDArray[np.uint8]], device: str) -> NDArray[np.float32]:
    """ImageNet class probabilities (N, 1000) float32 of pictures (H, W, 3) uint8."""
    from models.patches import PatchEncoder

    return PatchEncoder(device=device).probabilities(pictures)


def _thing(text: str) -> str:
    from agent.rules.read_concept import thing_name

    return thing_name(text)


def _looked(
    condition: ConceptCondition, pictures: Sequence[tuple[str, NDArray[np.uint8]]], wanted: Sequence[str], against: Sequence[str],
    polarity: Polarity, looker: Looker,
) -> tuple[list[RuleFinding], list[CannotTell], list[str]]:  # fmt: skip
    """With a model that sees: a picture fires when it fits a wanted text better than every text against it."""
    if not against:
        against = ("a photo of something else", "an ordinary photo")
    scores = looker([p for _, p in pictures], [*wanted, *against])
    rule = condition_words(condition, polarity)
    found = []
    for (name, _), row in zip(pictures, scores, strict=True):
        margin = float(row[: len(wanted)].max() - row[len(wanted) :].max())
        if margin > 0:
            text = wanted[int(np.argmax(row[: len(wanted)]))]
            found.append(
                RuleFinding(locus=Whole(sample=name), measured=round(margin, 4), unit="margin of the text scores", condition=rule,
                            sentence=f"{name} fits “{text}” better than “{against[0]}”.", facts={"margin": round(margin, 4)})
            )  # fmt: skip
    return found, [], []
