"""When a video is no proof that nothing happened: the people were not followed well enough, and why.

A finding stands on what was seen; "nobody fell" stands on having followed everybody. The limits were set on rendered scenes
(docs/tracks.md).
"""

from __future__ import annotations

from agent.rules.conditions import MotionCondition, Predicate
from agent.rules.measurable import A_LOOK, ANYTHING, PULL
from agent.rules.outcome import Unseen
from tools.video.following import Following

KEPT, APART = 0.5, 0.9
"""Least share of what was found that is followed, and of that the part apart from others."""

SMALLEST_FALL = 32.0
"""Least size in pixels (of a picture 640 wide) at which a standing body is told from a lying one."""

BY_ONE_TRACK: frozenset[Predicate] = frozenset(
    {"runs", "falls", "goes the wrong way", "stays", "stops", "carries", "is left behind"}
)
"""What is only seen along the track of one and the same person or thing."""


def doubts(condition: MotionCondition, followed: Following, *, sample: str) -> list[Unseen]:
    """Why a clip in which the condition was not met is no proof that it was not; empty when it is one.

    >>> from tools.video.following import Shares
    >>> lost = Shares(tracks=1, kept=0.2, apart=1.0)
    >>> seen = Following(people=lost, things=lost, moved=True, steady=True, movers=0, one_way=False, free={})
    >>> [doubt] = doubts(MotionCondition(predicate="falls", subject="person"), seen, sample="a.mp4")
    >>> doubt.reason
    'Only 20 % of what moves in a.mp4 could be followed as people.'
    """
    anything = condition.subject in ANYTHING or condition.subject == "moving"
    # What never stood upright is not seen falling, a box from a shelf no more than a sleeper from a bed.
    whom = "things" if anything and condition.predicate != "falls" else "people"
    shares = followed.things if whom == "things" else followed.people
    if not followed.steady:
        return [_doubt(f"The camera or the light moves in {sample}, so what happens there could not be followed.",
                       f"Use a camera that stands still. {A_LOOK}")]  # fmt: skip
    if not followed.moved:
        return []
    if whom == "people" and not shares.tracks:
        return [_doubt(f"Things move in {sample}, but nothing was seen long enough upright to be followed as a person.", A_LOOK)]
    if shares.kept < KEPT:
        as_people = " as people" if whom == "people" else ""
        return [_doubt(f"Only {_percent(shares.kept)} of what moves in {sample} could be followed{as_people}.", A_LOOK)]
    if condition.predicate not in BY_ONE_TRACK:
        return []
    found = []
    if shares.apart < APART:
        found.append(_doubt(f"The {whom} in {sample} are too close {_percent(1 - shares.apart)} of the time to tell them apart.",
                            f"Place the camera higher up. {A_LOOK}"))  # fmt: skip
    if condition.predicate == "falls" and shares.smallest < SMALLEST_FALL:
        found.append(
            _doubt(
                f"Some {whom} in {sample} are only {shares.smallest:.0f} pixels high, too small to tell lying from standing.",
                f"Place the camera nearer. {A_LOOK}",
            )
        )
    if condition.predicate == "goes the wrong way" and not followed.one_way:
        found.append(
            _doubt(
                f"Which way is the wrong one in {sample} I cannot tell: {followed.movers} go somewhere, and at least seven must agree.",
                f"Give a longer video, or have a vision-language model look: {PULL}.",
            )
        )
    return found


def _doubt(reason: str, help_: str) -> Unseen:
    return Unseen(reason=reason, what_would_help=help_)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
