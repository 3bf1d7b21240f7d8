"""What of a definition can be measured at all on this machine, before any data is looked at.

Each limit is a `CannotTell` with what would lift it. A `Looker` (CLIP, a vision-language model) lifts those on how things look; those of
a video it lifts are `Unseen`, and it is asked by `look_video`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.rules.conditions import ConceptCondition, Condition, Definition, MotionCondition, RegionCondition
from agent.rules.outcome import CannotTell, Unseen

PULL = "telltale models pull qwen3-vl-4b"
"""The command that brings a model which sees states and relations."""
A_LOOK = f"A vision-language model can look: {PULL}."
FOUND: frozenset[str] = frozenset({"person", "moving"})
"""Labels of the object finder that comes with Telltale."""
ANYTHING: frozenset[str] = frozenset({"anything", "something", "object", "thing"})
VEHICLES: frozenset[str] = frozenset({"vehicle", "car", "truck", "bus", "motorcycle", "train"})
NOT_TRACKED: frozenset[str] = frozenset({"fights", "climbs", "is absent"})
"""Acts for which the relation log has no predicate."""


class Looker(Protocol):
    """Something that compares pictures (H, W, 3) uint8 with texts: (N, P) float32, a higher value fits better, in columns that compare."""

    def __call__(self, pictures: Sequence[NDArray[np.uint8]], texts: Sequence[str]) -> NDArray[np.float32]:
        """Scores (N, P) of N pictures and P texts."""
        ...


def limits_of(
    condition: Condition,
    *,
    looker: Looker | None = None,
    labels: frozenset[str] = FOUND,
    scale: bool = False,
    kinds_told: bool = False,
) -> list[CannotTell]:
    """Why a condition cannot be measured, whatever the data; empty when it can.

    `labels` are what the object finder tells apart, `scale` says whether the size of a pixel is known, `kinds_told` whether kinds of
    defects are.

    >>> print(limits_of(ConceptCondition(abnormal=("an open lid",)))[0].reason)
    “an open lid” is about how something looks or what state it is in; without a model that sees, I match pictures only with
    names of things.
    >>> limits_of(ConceptCondition(abnormal=("a bicycle",), visible=True))
    []
    """
    if isinstance(condition, ConceptCondition):
        return [] if condition.visible or looker is not None else [_unseen((condition.abnormal or condition.normal)[0])]
    if isinstance(condition, RegionCondition):
        return _of_region(condition, scale=scale, kinds_told=kinds_told)
    if isinstance(condition, MotionCondition):
        return _of_motion(condition, labels)
    return []


def limits_of_definition(definition: Definition) -> list[CannotTell]:
    """The limits of all conditions, each once; some or all conditions may still be measurable."""
    return list({limit.reason: limit for condition in definition.conditions for limit in limits_of(condition)}.values())


def _unseen(text: str) -> CannotTell:
    return CannotTell(
        reason=f"“{text}” is about how something looks or what state it is in; without a model that sees, I match pictures "
        f"only with names of things.",
        what_would_help=f"A vision-language model can look for it: {PULL}.",
    )


def _of_region(condition: RegionCondition, *, scale: bool, kinds_told: bool) -> list[CannotTell]:
    found = []
    if condition.defect and not kinds_told:
        found.append(
            CannotTell(
                reason=f"Whether an odd region is a {condition.defect} or something else, no detector here can tell.",
                what_would_help=f"Say it for regions of any kind (“regions under …”), or let a vision-language model name "
                f"them: {PULL}.",
            )
        )
    if condition.how and condition.unit not in ("", "px", "px²", "%") and condition.measure != "count" and not scale:
        found.append(
            CannotTell(
                reason=f"A picture has pixels and no {condition.unit.rstrip('²')}: its scale is not known.",
                what_would_help="Say how large a pixel is (“one pixel is 0.05 mm”), or give the size in px or in % of the "
                "picture.",
            )
        )
    return found


def _of_motion(condition: MotionCondition, labels: frozenset[str]) -> list[CannotTell]:
    found: list[CannotTell] = []
    worn = (*condition.with_attributes, *condition.without_attributes)
    if worn:
        said = " and ".join(worn)
        found.append(
            Unseen(
                reason=f"Whether somebody has {_article(said)} or not, the object finder cannot see.",
                what_would_help=A_LOOK,
            )
        )
    if condition.predicate in NOT_TRACKED:
        found.append(
            Unseen(
                reason=f"No relation in a video's log says that a {condition.subject} {condition.predicate.removeprefix('is ')}.",
                what_would_help=A_LOOK,
            )
        )
    if condition.distance is not None and condition.unit not in ("", "body sizes", "px"):
        found.append(
            CannotTell(
                reason=f"A camera that is not calibrated measures no {condition.unit or 'distance'}.",
                what_would_help="Say “too close” without a number: then body sizes count.",
            )
        )
    named = (condition.subject, condition.object if condition.predicate in ("is too close to", "touches") else None)
    any_bag = condition.predicate == "is left behind"  # the log knows that a thing was left, whatever it is
    unknown = [n for n in named if n and not known_label(n, labels) and not (n == "bag" and any_bag)]
    found += [
        Unseen(
            reason=f"The object finder in use tells {_listed(labels)} apart and no {label}.",
            what_would_help=f"A vision-language model can look for it: {PULL}.",
        )
        for label in unknown
    ]
    return found


def known_label(label: str, labels: frozenset[str]) -> bool:
    """True when a label, or a kind of thing that it sums up, is told apart."""
    return label in labels or label in ANYTHING or (label == "vehicle" and bool(VEHICLES & labels)) or label == "moving"


def _listed(labels: frozenset[str]) -> str:
    names = sorted({"moving": "moving things", "person": "people"}.get(label, label) for label in labels)
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _article(word: str) -> str:
    return word if word.endswith("s") else f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
