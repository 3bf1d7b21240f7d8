"""Which facts a number may be, by its unit, its noun and the words around it."""

from __future__ import annotations

import re

from agent.checking.measures import ABNORMAL, COUNTED, NORMAL, Keys, keys
from agent.checking.roles import Number, follows_freely, percent_facts, plays_in, role_of, unit_of
from agent.checking.utterance import Utterance
from agent.checking.words import is_plain


def _rate(number: Number, rest: str) -> float:
    """Seconds of "per second", "a minute" after the noun of a number; 0 when it is no rate."""
    found = re.match(
        r"\s*(?:readings?\s+|rows?\s+|values?\s+|samples?\s+)?(?:per|a|each|every)\s+(second|minute|hour|day)\b",
        rest[number.end :],
        re.I,
    )
    return {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86_400.0}[found[1].lower()] if found else 0.0


_TO = re.compile(
    r"\bfrom\s+(?:about\s+|around\s+)?-?[\d.,]+\s*\S{0,6}\s*(?:before\s+)?(?:up\s+|down\s+)?to\s+(?:about\s+|around\s+)?$", re.I
)
"""The second of "from 8.35 to 7.88 bar"."""


def sort_of(said: Utterance, number: Number, rest: str, of_hundred: bool, left: bool) -> Keys:
    """Which facts a number may be."""
    a, b = said.clause(number.start)
    here = said.bare[a:b]
    known = {unit_of(leaf) for leaf in said.facts.leaves if leaf.unit}
    if row_before(said, number, rest):
        return lambda leaf: leaf.key in ("row", "first_row", "last_row")
    if re.search(r"\bby\s+(?:about\s+|around\s+|roughly\s+)?$", rest[: number.start], re.I) and re.search(
        r"\bthreshold\b", here, re.I
    ):
        return keys("margin")
    if re.search(r"\bmost (?:people|persons)\b", here, re.I) and not number.noun:
        return keys("most")
    edge = _edge(number, rest)
    if edge and number.unit not in ("", "px", "pixel", "pixels") and not follows_freely(number.unit):
        return lambda leaf: False
    if edge:
        return keys(*edge)
    sides = ("box_width", "box_height") if re.search(r"\b(?:region|box|area|spot)\b", said.bare, re.I) else ("width", "height")
    if re.match(r"\s*(?:by|x|×)\s*\d+", rest[number.end :]):
        return keys(sides[0])
    if re.search(r"\d\s*(?:by|x|×)\s*$", rest[: number.start]) and number.unit in ("", "px", "pixel", "pixels"):
        return keys(sides[1])
    if _rate(number, rest):
        return lambda leaf: leaf.key in ("period_s", "interval_s") and abs(leaf.value * number.value - _rate(number, rest)) < 1e-6  # type: ignore[operator]
    if number.unit in ("%", "percent"):
        return percent_facts(said, number, rest)
    if number.unit == "times" and any(leaf.key.endswith("_each") for leaf in said.facts.leaves):
        return lambda leaf: leaf.key.endswith("_each")
    if number.unit in ("×", "x", "times", "fold"):
        return keys("times_threshold", "ratio")
    if number.unit in ("px", "pixel", "pixels"):
        return keys("width", "height")
    if re.match(r"\s*(?:fps|hz|frames? (?:per|a) second)", rest[number.end :], re.I):
        return keys("fps")
    if re.search(r"\bat most\s+$", rest[: number.start], re.I) and number.noun in ("", "person"):
        return keys("most")
    ranged = re.search(r"\bbetween\s+[\d.,]+\s*\S*\s*and\s*$", rest[: number.start], re.I)
    if ranged:
        return lambda leaf: (
            leaf.key in ("max", "highest", "peak") and unit_of(leaf) == (number.unit if number.unit in known else "")
        )
    if re.match(r"\s*\S*\s+and\s+\d", rest[number.end :]) and re.search(r"\bbetween\s*$", rest[: number.start], re.I):
        return lambda leaf: leaf.key in ("min", "lowest", "before") and leaf.unit != ""
    if not number.noun and _TO.search(rest[: number.start]):
        later = keys("during", "peak", "after", "max", "highest", "last")
        return lambda leaf: bool(leaf.owner) and unit_of(leaf) == number.unit and later(leaf)
    if number.unit in known and not number.noun:
        role = role_of(said, number)
        return lambda leaf: (
            unit_of(leaf) == number.unit
            and leaf.key != "deviations"
            and (role is None or role(leaf) or not plays_in(said, role, number.unit))
        )
    if re.match(r"\s*(?:of|out of|/)\s*100\b", rest[number.end :]) and number.value <= 100:
        return keys("severity_score")
    if number.digits == "100" and re.search(r"(?:of|/)\s*$", rest[: number.start]):
        return keys("severity_of")
    before = said.before(number.start, 1)[-1:]
    if of_hundred and number.value <= 100:
        return keys("severity_score")
    if number.noun == "photo":
        total = before in (["of"], ["the"], ["all"], ["among"]) and (left or before == ["of"])
        if total:
            return keys("photos")
        if ABNORMAL.search(here):
            return keys("flagged_total")
        return keys("ordinary", "normal_photos") if NORMAL.search(here) else keys("photos")
    if number.noun == "row" and ABNORMAL.search(here):
        return keys("abnormal_rows", "flagged_total")
    if number.noun == "event" and re.search(r"\b(?:belong\w*|part of)\b", here, re.I):
        return keys("in_findings")
    if number.noun == "event" and ABNORMAL.search(here):
        return keys("findings_total", "flagged_total")
    if number.noun:
        return COUNTED[number.noun]
    return _bare(said, number, rest, left)


_OPERATION_WORDS = {"dns": "look", "query": "name", "access": "open", "reg": "registry", "create": "creat", "connect": "connect"}
"""How people call what operations of a log are named after."""


def operations_of(said: Utterance, number: Number) -> frozenset[str]:
    """The operations of a log that the words after a number name: each part of the operation's name is said, in one form or another."""
    start, end = said.clause(number.start)
    inside = re.search(r"\(\s*$", said.text[: number.start]) is not None
    here = (said.text[start : number.start] if inside else said.text[number.end : end]).casefold()
    names = {leaf.owner for leaf in said.facts.leaves if leaf.key == "operations_each"}

    def said_so(part: str) -> bool:
        return part[: max(4, len(part) - 1)] in here or _OPERATION_WORDS.get(part, part) in here

    return frozenset(name for name in names if all(said_so(part) for part in name.split("_")))


def _bare(said: Utterance, number: Number, rest: str, left: bool) -> Keys:
    """A number with neither a unit nor a noun: by the word before it, by what it continues, or a count of a name in brackets."""
    after = said.after(number.end, 2)
    word = number.unit or (
        "" if not after or not re.match(r"[a-z]+$", after[0]) or follows_freely(after[0]) or is_plain(after[0]) else after[0]
    )
    if re.search(r"\(\s*$", rest[: number.start]) and re.match(r"\s*\)", rest[number.end :]):
        return lambda leaf: leaf.key.endswith("_each")
    counts = "." not in number.digits and (left or not said.before(number.start, 1))
    if after[:2] == ["of", "them"] or (counts and after[:1] in (["are"], ["is"], ["were"], ["look"], ["stand"], ["belong"])):
        if re.search(r"\bby\b", " ".join(said.after(number.end, 4))):
            return lambda leaf: leaf.key.endswith("_each")
        return lambda leaf: (
            leaf.key in ("flagged_total", "in_findings", "ordinary") if leaf.key != "ordinary" else bool(NORMAL.search(said.bare))
        )
    if re.search(
        r"\b(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth) of\s+(?:the\s+)?$", rest[: number.start], re.I
    ):
        return keys("photos", "findings_total")
    if re.search(r"\bof (?:the|all)\s+$", rest[: number.start], re.I) and not word.strip("."):
        return keys("findings_total")
    role = role_of(said, number)
    if role is None and "." in number.digits and (not word or follows_freely(word)):
        return keys("score", "max_score", "entity_score", "threshold", "median_score")
    if word and not follows_freely(word):
        measured = role if role is not None and "." in number.digits else None
        return lambda leaf: (
            (word.rstrip("s") in leaf.key.lower().split("_") and not leaf.key.endswith("_s"))
            or (measured is not None and not leaf.unit and measured(leaf))
        )
    if role is not None:
        return role
    if any(m.end <= number.start and m.type == "entity" for m in said.mentions):
        return lambda leaf: leaf.key.endswith("_each")
    return lambda leaf: bool(leaf.owner) and bool(leaf.unit) and any(m.name == leaf.owner for m in said.mentions) and leaf.key in (
        "before", "peak", "during", "after", "mean", "usual", "highest", "lowest", "min", "max"
    )  # fmt: skip


def _edge(number: Number, rest: str) -> tuple[str, ...]:
    """The edge of a box that a number is: by the letter before it, or by its place in a tuple of four."""
    head = rest[: number.start]
    letter = re.search(
        r"(?<!\d )(?<!\d)\b([xy])\s*=?\s*([01])?\s*(?:=|:)?\s*(?:(\d+(?:\.\d+)?)\s*(?:to|–|-|and)\s*)?$", head, re.I
    )
    if letter:
        axis = letter[1].lower()
        far = letter[3] is not None or letter[2] == "1" or re.search(r"\bto\s+[xy]\s*\d*(?:\.\d+)?,?\s*(?:[xy]\s*)?$", head, re.I)
        near = not far and re.search(r"\bto\b", head[max(0, letter.start() - 4) :]) is None
        return (f"box_{axis}0",) if near else (f"box_{axis}1",)
    corner = re.search(r"(\(\s*\d+\s*,\s*\d+\s*\)\s*(?:to|–|-|and|→)\s*)?\(\s*(?:(\d+)\s*,\s*)?$", head)
    closed = re.match(r"\s*(?:,\s*\d+\s*)?\)", rest[number.end :])
    if corner and closed and (corner[1] or re.match(r"[^)]*\)\s*(?:to|–|-|and|→)\s*\(", rest[number.end :])):
        return (f"box_{'y' if corner[2] else 'x'}{'1' if corner[1] else '0'}",)
    inside = re.search(r"[(\[]\s*((?:\d+(?:\.\d+)?\s*,\s*){0,3})$", head)
    whole = inside and re.match(r"\s*\d*(?:\.\d+)?(?:\s*,\s*\d+(?:\.\d+)?){0,3}\s*[)\]]", rest[number.end :])
    if inside and whole:
        values = re.findall(r"\d+(?:\.\d+)?", inside[1])
        later = re.findall(r"\d+(?:\.\d+)?", re.split(r"[)\]]", rest[number.end :])[0])
        if len(values) + len(later) == 3:
            return (("box_x0", "box_y0", "box_x1", "box_y1")[len(values)],)
    return ()


def row_before(said: Utterance, number: Number, rest: str) -> bool:
    """Whether a number is that of a row."""
    return re.search(r"\brows?\s*(?:number\s*|no\.?\s*|#)?$", rest[: number.start], re.I) is not None
