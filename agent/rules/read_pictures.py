"""Reading a definition about pictures and video: a defect, a motion, or what a picture shows."""

from __future__ import annotations

from agent.rules.conditions import Condition
from agent.rules.read_concept import read_concept
from agent.rules.read_motion import about_motion, read_motion
from agent.rules.read_region import about_defects, read_region


def read_pictures(body: str) -> tuple[list[Condition], tuple[str, ...]]:
    """The conditions of a definition about pictures or video, and the words not understood."""
    if about_defects(body):
        region, missed = read_region(body)
        return [region], missed
    if about_motion(body):
        motion, missed = read_motion(body)
        conditions: list[Condition] = [motion]
        if motion.predicate in ("is there", "is near", "stays") and motion.seconds is None:
            conditions.append(read_concept(body, motion=motion))
        return conditions, missed
    return [read_concept(body)], ()
