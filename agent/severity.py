"""How bad: a 0–100 score and four levels, from what was measured and what is known, with every reason in words.

Measured: strength (how far a score lies beyond its threshold), extent (the share of the thing it touches: area, time, channels,
events), how long it lasts, how sure it is. Known: the level a person's rule gives, what a judge (a vision-language model) says of the
picture, the type's row in the severity table (`agent.severity_table`). Deviation is not harm: a detector cannot know the cost of a
defect, so what is known decides the level, in this order: rule, judge, table. What was measured orders findings within the level, as
MAD-Bench proposes (Cao et al. 2024, arXiv 2411.14515). Where nothing is known, what was measured decides the level too.
Levels: 0 none (< 10: below the threshold, or known to be harmless), 1 minor (< 40), 2 serious (< 75), 3 critical.

The shares of strength and extent, and the bands, were set by reasoning and looked at on defects drawn into normal photos, where
three sizes of them are ordered about as well as by the detector's own score. None was chosen on severity labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.severity_table import Known, SeverityTable, table_in_force
from core.errors import BadInput
from core.evidence import SEVERITY_NAMES

NONE_BELOW, MINOR_BELOW, SERIOUS_BELOW = 10.0, 40.0, 75.0
BANDS = ((0.0, NONE_BELOW), (NONE_BELOW, MINOR_BELOW), (MINOR_BELOW, SERIOUS_BELOW), (SERIOUS_BELOW, 100.0))
"""Lowest score of each level and of the next."""
AT_THRESHOLD, STRENGTH, EXTENT = 15.0, 55.0, 30.0
"""Points for passing the threshold at all, at most for strength, at most for extent."""
DAY_S = 86_400.0
DAY_SHARE = 0.25
"""A finding that lasts a day or longer counts like one that fills this share of the whole, a shorter one in proportion."""
UNSURE, SURE = 0.5, 0.8
"""Confidence at which the measured points count least and from which they count in full."""
LEAST_SHARE = 0.8
"""Share of its points that a finding keeps when it is as likely false as true."""
OUTSIDE = 0.1
"""Share of a level's band kept, at either end, for findings that something known moved into it from below or above."""
FINEST = 0.01
"""Scores are rounded to this, fine enough to keep the detector's order."""


@dataclass(frozen=True, kw_only=True)
class Severity:
    """Level 0–3, score 0–100 and why; `known` when more than deviation decided the level: a rule, a judge or the table."""

    level: int
    score: float
    why: str
    known: bool = False


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What somebody who looked at it says: level 0–3, the reason in a few words, and who judged.

    Raises:
        BadInput: the level is not 0–3.
    """

    level: int
    reason: str
    judge: str

    def __post_init__(self) -> None:
        if self.level not in range(4):
            raise BadInput(f"judgement of {self.judge!r}: expected a level 0–3, got {self.level!r}.")


def grade(
    *,
    ratio: float,
    extent: float,
    extent_words: str,
    floor: float = 0.0,
    duration_s: float | None = None,
    sure: float | None = None,
    named: str = "",
    kind: str | None = None,
    did: Sequence[str] = (),
    rule_level: int | None = None,
    rule_weight: float = 1.0,
    judged: Judgement | None = None,
    relative: bool = False,
    table: SeverityTable | None = None,
) -> Severity:
    """Grade a finding.

    `ratio` is its distance from the normal centre in units of the threshold's distance (1 = at the threshold; below it the level is
    0 unless something known says otherwise), `extent` the share (0–1) of the whole it touches, `floor` a lowest score for deeds that
    are never harmless. `duration_s` is how long it lasts, `sure` its confidence 0–1.

    `named` is what it is called, looked up in `table` (default: the one in force) for data of `kind`: the level there becomes the
    finding's. `did` are the deeds of a chain or an actor, one text each: the worst known one only raises the level, because the
    others may be worse. `rule_level` (0–3) and `rule_weight` (how many times what was measured counts) are what a person's rule says,
    `judged` what a judge says. `relative`: it was compared with nothing but the rest of its own file, in which something is always the
    strangest, so that what was measured makes it minor at most; what is known still counts. Within a level the score never falls when
    ratio, extent, duration or confidence grows.

    Raises:
        BadInput: a rule's level is not 0–3, its weight is not a positive number, or the person's severity table is damaged.

    >>> grade(ratio=1.0, extent=0.0, extent_words="0 % of the picture").level
    1
    >>> grade(ratio=9.0, extent=0.5, extent_words="50 % of the time").level
    3
    >>> found = grade(ratio=1.5, extent=0.01, extent_words="1 % of the picture", named="crack at the rim", kind="image")
    >>> found.level, found.why
    (2, "1.5× the threshold's distance, 1 % of the picture, crack is serious (it weakens the part and may grow)")
    """
    if rule_level is not None and rule_level not in range(4):
        raise BadInput(f"rule level: expected 0–3, got {rule_level!r}.")
    if not (math.isfinite(rule_weight) and rule_weight > 0):
        raise BadInput(f"rule weight: expected a positive number, got {rule_weight!r}.")
    why = [f"{ratio:.1f}× the threshold's distance", extent_words]
    extent, lasting = min(max(extent, 0.0), 1.0), DAY_SHARE * min(max(duration_s or 0.0, 0.0) / DAY_S, 1.0)
    if duration_s is not None and lasting > extent:
        why.append(f"it lasts {_length(duration_s)}")
    measured = _measured(ratio, max(extent, lasting))
    if sure is not None and sure < SURE:
        measured *= LEAST_SHARE + (1 - LEAST_SHARE) * min(max((sure - UNSURE) / (SURE - UNSURE), 0.0), 1.0)
        why.append("unsure, so it counts less")
    if relative and measured >= NONE_BELOW:
        measured = _placed(1, measured)
        why.append(f"the strangest of its own log and compared with no normal one, so by itself {SEVERITY_NAMES[1]} at most")
    alone = _level_of(measured)
    if named or did:
        table = table or table_in_force()
    known = table.known(named, kind) if table and named else None
    weights = [(rule_weight, "the rule counts", "")]
    if known is not None:
        weights.append((known.type.weight, f"{known.said} counts", known.type.reason))
    for weight, words, reason in weights:
        if weight != 1.0:
            measured *= weight
            why.append(f"{words} {weight:g} times{_reason(reason)}")
    if alone:  # what passed the threshold is weighed down to minor, not away
        measured = max(measured, NONE_BELOW)
    measured = min(measured, 100.0)
    level, words = _decided(rule_level, judged) or _from_table(known, alone=alone) or (_level_of(measured), "")
    score = _placed(level, measured)
    if not _decided(rule_level, judged):
        deed = table.worst(did, kind) if table and did else None
        if deed is not None and deed.type.level is not None and deed.type.level >= level:
            score = _placed(deed.type.level, measured)
            words = f"{deed.said} is {SEVERITY_NAMES[deed.type.level]}{_reason(deed.type.reason)}"
        score = max(score, min(floor, 100.0))
    score = round(score, 2)
    return Severity(level=_level_of(score), score=score, why=", ".join([*why, words] if words else why), known=bool(words))


def grade_region(*, ratio: float, area: float, sure: float, judged: Judgement | None = None) -> Severity:
    """Grade a finding in a photo that covers `area` (0–1) of it.

    >>> grade_region(ratio=2.0, area=0.05, sure=0.99).why
    "2.0× the threshold's distance, 5.0 % of the picture"
    """
    return grade(ratio=ratio, extent=area, extent_words=f"{100 * area:.1f} % of the picture", sure=sure, judged=judged)


def grade_moment(*, ratio: float, length_s: float, whole_s: float, sure: float, judged: Judgement | None = None) -> Severity:
    """Grade an event of `length_s` seconds in a video of `whole_s`.

    >>> grade_moment(ratio=2.0, length_s=3.0, whole_s=60.0, sure=0.99).why
    "2.0× the threshold's distance, 3.0 s long"
    """
    return grade(
        ratio=ratio, extent=length_s / max(whole_s, 1e-9), extent_words=f"{length_s:.1f} s long", duration_s=length_s, sure=sure,
        judged=judged,
    )  # fmt: skip


def _decided(rule_level: int | None, judged: Judgement | None) -> tuple[int, str] | None:
    """The level that a person's rule, else a judge, gives, in numbers and words."""
    if rule_level is not None:
        return rule_level, f"the rule calls it {SEVERITY_NAMES[rule_level]}"
    if judged is not None:
        return judged.level, f"{judged.judge} judges it {SEVERITY_NAMES[judged.level]}{_reason(judged.reason)}"
    return None


def _from_table(known: Known | None, *, alone: int) -> tuple[int, str] | None:
    """The level of a known type, one more for what deviates as far as critical ones do (`alone`: the level of what was measured)."""
    if known is None or known.type.level is None:
        return None
    level, words = known.type.level, f"{known.said} is {SEVERITY_NAMES[known.type.level]}{_reason(known.type.reason)}"
    if alone == 3 and 0 < level < 3:
        return level + 1, f"{words}, one level more because it deviates as far as critical ones do"
    return level, words


def _measured(ratio: float, extent: float) -> float:
    """0–100 from strength and extent; below NONE_BELOW, and still in order, when the threshold is not reached."""
    if ratio < 1.0 - 1e-6:  # a score kept in single precision may lie a little below the threshold that it passed
        return 0.9 * NONE_BELOW * float(2.0 ** max(ratio - 1.0, -50.0))
    # The square root: the first per cent of a part counts more than the fiftieth.
    return AT_THRESHOLD + STRENGTH * (1.0 - float(2.0 ** (1.0 - ratio))) + EXTENT * math.sqrt(extent)


def _placed(level: int, measured: float) -> float:
    """The measured points (0–100) placed into a level's band, in the same order: what belongs there in the middle, the rest outside.

    >>> [round(_placed(2, m), 2) for m in (0.0, 20.0, 60.0, 74.0, 90.0, 100.0)]
    [40.0, 41.75, 59.5, 70.7, 73.6, 74.99]
    """
    low, high = BANDS[level]
    inner_low = low + OUTSIDE * (high - low) if low > 0 else low
    inner_high = high - OUTSIDE * (high - low) if high < 100 else high
    found = float(np.interp(measured, (0.0, low, high, 100.0), (low, inner_low, inner_high, high)))
    return min(found, high - FINEST) if level < 3 else found


def _level_of(score: float) -> int:
    return sum(score >= low for low, _ in BANDS[1:])


def _reason(words: str) -> str:
    return f" ({words})" if words else ""


def _length(seconds: float) -> str:
    """A length of time in its own unit.

    >>> [_length(s) for s in (4.26, 300.0, 7200.0, 200_000.0)]
    ['4.3 s', '5 min', '2 h', '2.3 days']
    """
    for unit, size in (("days", DAY_S), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{round(seconds / size, 1):g} {unit}"
    return f"{round(seconds, 1):g} s"


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
