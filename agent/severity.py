"""How bad: a 0–100 score and four levels from strength, extent and kind, with the reason in words.

Strength says how far a score lies beyond its threshold; extent says how much of the thing it touches (area, time, channels,
events). Deviation is not harm: a detector cannot know the cost of a defect, so every answer that states a severity says what it
was computed from. Levels: 0 none, 1 minor (< 40), 2 serious (< 75), 3 critical.
"""

from __future__ import annotations

from dataclasses import dataclass

MINOR_BELOW, SERIOUS_BELOW = 40.0, 75.0


@dataclass(frozen=True, kw_only=True)
class Severity:
    """Level 0–3, score 0–100 and why."""

    level: int
    score: float
    why: str


def grade(*, ratio: float, extent: float, extent_words: str, floor: float = 0.0) -> Severity:
    """Grade a finding.

    `ratio` is its distance from the normal centre in units of the threshold's distance (1 = at the threshold), `extent` the
    share (0–1) of the whole it touches, `floor` a lowest score for kinds that are never harmless.

    >>> grade(ratio=1.0, extent=0.0, extent_words="0 % of the picture").level
    1
    >>> grade(ratio=9.0, extent=0.5, extent_words="50 % of the time").level
    3
    """
    strength = 1.0 - float(2.0 ** -max(ratio - 1.0, 0.0)) if ratio > 0 else 0.0
    score = round(max(floor, 100.0 * (0.15 + 0.55 * strength + 0.30 * min(max(extent, 0.0), 1.0) ** 0.5)), 1)
    level = 1 if score < MINOR_BELOW else 2 if score < SERIOUS_BELOW else 3
    return Severity(level=level, score=min(score, 100.0), why=f"{ratio:.1f}× the threshold's distance, {extent_words}")


def confidence(*, p_value: float | None, ratio: float, calibrated: bool) -> float:
    """How sure a finding is (0–1): from its p-value when calibrated, else from its distance beyond the threshold, at most 0.9.

    >>> confidence(p_value=0.01, ratio=3.0, calibrated=True)
    0.99
    >>> confidence(p_value=None, ratio=1.0, calibrated=False)
    0.5
    """
    if calibrated and p_value is not None:
        return round(min(0.99, max(0.5, 1.0 - p_value)), 2)
    return round(min(0.9, 1.0 - 0.5 * float(2.0 ** -max(ratio - 1.0, 0.0))), 2)
