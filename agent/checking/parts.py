"""A part of a whole that a sentence counts, as in "4 of 9 photos": both numbers from one piece of evidence, and a part of that whole."""

from __future__ import annotations

import re

from agent.checking.facts import Leaf
from agent.checking.measures import ABNORMAL, NORMAL
from agent.checking.roles import Number
from agent.checking.utterance import Utterance

PART_OF = re.compile(r"\s*(?:[a-z]+\s+)?(?:of|out of|/)\s*(?:(?:the|all|your|my|our|these|those|its|a total of)\s+)*", re.I)
_WHOLES = {
    "rows": ("rows", "row_count", "rows_searched", "log_events"), "photos": ("photos",), "frames": ("looked_at",),
    "found": ("rows_found", "in_all"), "events": ("log_events", "rows_searched", "findings_total"),
}  # fmt: skip
_PEOPLE = re.compile(r"\b(?:persons?|people|someone|somebody|anyone|seen|detected|visible|shows?)\b", re.I)


def is_part(part: Number, whole: Number, rest: str) -> bool:
    """Whether two numbers stand as a part and its whole: of the same things, and not a picture's two sides."""
    if PART_OF.fullmatch(rest[part.end : whole.start]) is None or re.match(r"\s*(?:by|x|×)\s*\d", rest[whole.end :]):
        return False
    return whole.digits != "100" and "." not in part.digits and (not part.noun or whole.noun in ("", part.noun))


def whole_first(whole: Number, part: Number, rest: str) -> bool:
    """Whether a sentence begins with the whole: "Of 9 photos, 2 are flagged"."""
    ahead = re.search(r"\b(?:of|out of|among)\s+(?:the\s+|all\s+)?$", rest[: whole.start], re.I)
    return (
        ahead is not None
        and re.fullmatch(r"\s*(?:[a-z]+\s*){0,2},\s*(?:only\s+)?", rest[whole.end : part.start], re.I) is not None
    )


def part_of_whole(said: Utterance, part: Number, whole: Number) -> frozenset[str]:
    """The evidence in which one number is a part of the other, of the sort that the words around them say."""
    a, _ = said.labelled(min(part.start, whole.start))
    _, b = said.clause(max(part.end, whole.end))
    here = said.text[a:b]
    named = {m.name.casefold() for m in said.mentions if m.type in ("entity", "source")}
    hit = set()
    for item in said.facts.ids:
        mine = [(leaf, v) for leaf, v in said.facts.numbers if leaf.evidence == item]
        wholes = {leaf.key for leaf, v in mine if v == whole.value and not leaf.owner}
        if any(v == part.value and _is_part(leaf, wholes, here, named) for leaf, v in mine):
            hit.add(item)
    return frozenset(hit)


def _is_part(leaf: Leaf, wholes: set[str], here: str, named: set[str]) -> bool:
    of = {name for name, keys in _WHOLES.items() if wholes & set(keys)}
    if leaf.key.endswith("_each") and leaf.key != "operations_each":
        return "found" in of and any(leaf.owner.casefold().endswith(n) for n in named)
    if leaf.key == "with":
        return "frames" in of and _PEOPLE.search(here) is not None
    if leaf.key == "operations_each":
        return "events" in of and all(part.rstrip("e") in here.casefold() for part in leaf.owner.split("_"))
    if NORMAL.search(here) and not ABNORMAL.search(here):
        return leaf.key == "ordinary" and "photos" in of
    if leaf.key == "flagged_total":
        return bool(of & {"photos", "events", "rows"})
    return leaf.key in ("abnormal_rows", "in_findings") and bool(of & {"rows", "events"})
