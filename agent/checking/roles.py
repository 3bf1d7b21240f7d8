"""What the words around a number make of it: a confidence, a share, a peak, the threshold it is held against."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.checking.facts import Leaf
from agent.checking.measures import ROLES, Keys, keys
from agent.checking.utterance import Utterance

_AREA = re.compile(r"\b(?:covers?|covering|area|(?:of|in) (?:the )?(?:picture|image|photo|frame)|large)\b", re.I)
_SCORE = re.compile(r"\bscor\w+\b", re.I)
_LEADING = frozenset(
    [
        "above",
        "below",
        "against",
        "under",
        "from",
        "before",
        "between",
        "exceed",
        "exceeds",
        "exceeded",
        "exceeding",
        "passes",
        "makes",
        "make",
    ]
)
"""Words that make something of the number after them, never of the one before."""
REACH = 6
"""Words before a number that may say what it is."""


@dataclass(frozen=True)
class Number:
    """A number of a sentence: its digits, what follows as its unit or noun, and where it stands."""

    start: int
    end: int
    digits: str
    value: float
    unit: str
    noun: str


def follows_freely(word: str) -> bool:
    """Words that may stand after a number without being what it counts."""
    return word in _FREE


_FREE = frozenset((
    "and", "or", "but", "of", "in", "on", "at", "to", "for", "from", "with", "by", "as", "is", "are", "was", "were",
    "than", "that", "which", "while", "against", "above", "below", "over", "under", "it", "its", "the", "a", "only",
    "just", "so", "then", "before", "after", "during", "there", "here", "respectively", "when", "where", "not", "stands",
    "stand", "lies", "lie", "belongs", "belong", "exceeds", "passes"
))  # fmt: skip


def percent_facts(said: Utterance, number: Number, rest: str) -> Keys:
    """Which percentages a number with a per cent sign may be."""
    tail = rest[number.end : number.end + 40]
    near = re.match(r"\s*(?:%|percent)?\s*(?:(?:is|are|was) (?:the|its) |of (?:the )?|from |by |due to |to )?"
        r"(sure|certain|confiden\w+|score|share|motion|appearance|"
                    r"picture|image|photo|frame|video|recording|clip|rows|time|photos|events|all|it|them)\b", tail, re.I)  # fmt: skip
    word = near[1].lower() if near else ""
    if word.startswith(("sure", "certain", "confiden")):
        return lambda leaf: leaf.key.startswith("confidence")
    parts = list(re.finditer(r"\b(?:motion|appearance)\b", said.bare, re.I))
    if word in ("motion", "appearance") or parts:
        before = [m.group().lower() for m in parts if m.end() <= number.start]
        if _pair_colon_of(rest, number.start) and len(before) == 2:  # "motion is more than appearance: 53 % against 47 %"
            before = before[:1] if re.search(r":\s*$", rest[: number.start]) else before
        part = word if word in ("motion", "appearance") else before[-1] if before else parts[0].group().lower()
        if word or plays(said, lambda leaf: leaf.key == f"{part}_percent"):
            return lambda leaf: leaf.key == f"{part}_percent"
    if word in ("score", "share"):
        return lambda leaf: leaf.key == "shares_percent"
    if word in ("picture", "image", "photo", "frame") or _AREA.search(said.bare[max(0, number.start - 30) : number.start]):
        return lambda leaf: leaf.key in ("area_percent", "area_share")
    if word in ("video", "recording", "clip", "rows", "time", "photos", "events", "all", "it", "them"):
        return lambda leaf: leaf.key in ("abnormal_percent", "flagged_percent", "missing_percent", "covered_percent")
    role = role_of(said, number)
    if role is None:
        return lambda leaf: leaf.key in ("shares_percent",)
    return lambda leaf: (
        ("percent" in leaf.key or "share" in leaf.key)
        and (role(leaf) or (leaf.key == "shares_percent" and not plays(said, role, percent=True)))
    )


def role_of(said: Utterance, number: Number) -> Keys | None:
    """What the nearest telling word before a number, or directly after it, makes of it."""
    unit = re.match(r"\s?(?:%|°\s?[CF]|[^\s\w]?[A-Za-z]+[²³23]?/[A-Za-z]+[²³23]?)", said.text[number.end :])
    after = said.after(number.end + (unit.end() if unit else 0), 4)
    if after and after[0] == number.unit and not follows_freely(number.unit):
        after = after[1:]
    following = [w for w in after if w not in ("of", "the", "a", "its", "%", "percent", "on", "in")]
    phase = following[0] if len(following) > 1 and following[0] in ("before", "after", "during") else ""
    if phase and re.match(r"[a-z▪]", following[1]):  # "15.7 A before the spike"
        return keys(phase, *{"before": ("first",), "after": ("last",)}.get(phase, ("peak",)))
    if (
        following
        and following[0] in ("before", "beforehand", "previously", "earlier")
        and (len(following) == 1 or following[1] in ",;)")
    ):
        return keys("before", "first")
    for pattern, test in ROLES:
        if following and pattern.fullmatch(following[0]) and following[0] not in _LEADING:
            return test
    label = max(said.bare.rfind("; ", 0, number.start), _pair_colon(said, number.start))
    words = (
        said.before(number.start, REACH)
        if label < 0
        else said.before(number.start, min(REACH, len(said.bare[label : number.start].split())))
    )
    for word in reversed(words):
        for pattern, test in ROLES:
            if pattern.fullmatch(word):
                if word in ("threshold", "limit") and _compared_after(said, number):
                    return None  # "the threshold: 0.284 against 0.351"
                scored = word.startswith(("peak", "maxim", "high", "reach", "hit")) and _SCORE.search(" ".join(words))
                if word in ("first", "last") and not plays(said, test):
                    continue
                if "." in number.digits and word.startswith("rank"):
                    continue  # a rank has no decimals
                return keys("score", "max_score") if scored else test
    opened = re.search(r"(?:^|[.;]\s)\W*(before|after|during)\b[^,;.\d]*,[^;.\d]*$", said.bare[: number.start], re.I)
    return (
        keys(opened[1].lower(), *{"before": ("first",), "after": ("last",)}.get(opened[1].lower(), ("peak",))) if opened else None
    )


def _compared_after(said: Utterance, number: Number) -> bool:
    """Whether a number stands behind a colon and before another that it is held against."""
    return (
        re.search(r":\s*$", said.bare[: number.start]) is not None
        and re.match(r"\s*(?:%\s*)?against\b", said.bare[number.end :]) is not None
    )


def _pair_colon(said: Utterance, at: int) -> int:
    """Where a colon ends a clause that has a number of its own; what it calls that number does not reach beyond it."""
    colon = said.bare.rfind(": ", 0, at)
    return colon if colon > 0 and re.search(r"\d[^:]*$", said.bare[:colon]) else -1


def _pair_colon_of(rest: str, at: int) -> bool:
    """Whether a number is one of two after a colon that are held against each other."""
    colon = rest.rfind(":", 0, at)
    return colon > 0 and re.search(r"\bagainst\b", rest[colon:]) is not None


def plays(said: Utterance, role: Keys, percent: bool = False) -> bool:
    """Whether any number of the evidence has the role at all."""
    return any(role(leaf) and (not percent or "percent" in leaf.key) for leaf, _ in said.facts.numbers)


def plays_in(said: Utterance, role: Keys, unit: str) -> bool:
    """Whether any value in a unit has the role; what is usual, lowest or average is never any other value."""
    fixed = any(role(Leaf(evidence="", key=key, value=0.0)) for key in ("mean", "usual", "lowest", "before", "last"))
    return fixed or any(role(leaf) and unit_of(leaf) == unit for leaf, _ in said.facts.numbers)


def unit_of(leaf: Leaf) -> str:
    """The unit of a value as numbers carry it: lower case, plain digits."""
    return leaf.unit.lower().replace("³", "3").replace("²", "2")
