"""What came first: two findings or two deeds told in an order must have happened in it."""

from __future__ import annotations

import re

from agent.checking.facts import Facts
from agent.checking.utterance import Utterance
from agent.verify import CITATION, cited_ids

_ORDER = re.compile(
    r"\b(before|prior to|preced\w+|earlier than|after|follow(?:s|ed by|ed|ing)|later than|then|c[oa]mes? first|subsequently)\b",
    re.I,
)


_FROM_TO = re.compile(
    r"\b(?:began|begins?|started|starts?)\b(?P<first>[^;.]*?)"
    r"\b(?:reached|reaches|ended|ends|finished|got to)\b(?P<last>[^;.]*)",
    re.I,
)


def order_problems(sentence: str, whole: Utterance) -> list[str]:
    """What is wrong with the order in which a sentence tells two things."""
    if turned := _turned(whole):
        return turned
    match = _ORDER.search(whole.bare)
    if match is None:
        return []
    said = CITATION.split(sentence)
    word = match.group().lower()
    left, right = _when(whole, 0, match.start()), _when(whole, match.end(), len(whole.bare))
    if len(said) > 2 and len(cited_ids(sentence)) > 1:
        here = _ORDER.search(sentence)
        if here is not None:
            starts = {e.id: first(whole.facts, e.id) for e in whole.facts.evidence}
            left = left or [t for i in cited_ids(sentence[: here.start()]) if (t := starts.get(i)) is not None]
            right = right or [t for i in cited_ids(sentence[here.end() :]) if (t := starts.get(i)) is not None]
    if not left and match.start() < 3 and word in ("after", "before"):  # "After A, B": the comma parts them
        comma = whole.bare.find(",", match.end())
        if comma > 0:
            left, right = _when(whole, comma, len(whole.bare)), _when(whole, match.end(), comma)
    if not left or not right:
        several = len(whole.facts.findings) > 1 or sum(m.type == "entity" for m in whole.mentions) > 2
        known = word in ("after", "before", "then") or word.startswith("follow") or "first" in word
        return ["it tells an order that the evidence does not show"] if several and not known else []
    later = word.startswith(("after", "later")) or word in ("follows", "following") or (word == "followed" and "by" not in word)
    wrong = min(left) < max(right) if later else max(left) > min(right)
    return ["the evidence has them in another order"] if wrong or min(left) == max(right) else []


def _turned(whole: Utterance) -> list[str]:
    """What begins at one time and reaches something at another must do so in that order."""
    began = _FROM_TO.search(whole.bare)
    times = (
        [re.search(r"(?:\d{4}-\d\d-\d\d )?\d{1,2}:\d\d(?::\d\d)?", part) for part in (began["first"], began["last"])]
        if began
        else []
    )
    if len(times) == 2 and times[0] and times[1] and len(times[0][0]) == len(times[1][0]) and times[0][0] > times[1][0]:
        return ["the evidence has them in another order"]
    return []


def _when(whole: Utterance, start: int, end: int) -> list[float]:
    """When what is named between two positions happened: the deed of its names, or the finding of its kind and channel."""
    facts = whole.facts
    names = [m.name.casefold() for m in whole.mentions if start <= m.start < end and m.type == "entity"]
    if names:
        times = [v for leaf, v in facts.numbers if leaf.key == "did_s" and all(n in leaf.owner.casefold() for n in names)]
        made = [
            v
            for leaf, v in facts.numbers
            if leaf.key == "did_s" and leaf.owner.casefold().split(" with ")[0].endswith(f"started {names[0]}")
        ]
        return made[:1] if len(names) == 1 and made else times[:1]
    channels = {m.name for m in whole.mentions if start <= m.start < end and m.type == "channel"}
    found = [v for leaf, v in facts.numbers if leaf.key == "at_s" and leaf.owner in channels]
    leads = {text for _, text in facts.text("lead")}
    found += [v for leaf, v in facts.numbers if leaf.key == "lead_s" and leads & {c.casefold() for c in channels}]
    if found:
        return found[:1]
    for item in facts.findings:
        kinds = {str(e.facts.get("kind") or "") for e in facts.evidence if e.id == item}
        if any(k and re.search(rf"\b{re.escape(k)}", whole.text[start:end], re.I) for k in kinds):
            found += [t for t in [first(facts, item)] if t is not None]
    return found


def first(facts: Facts, item: str) -> float | None:
    """When a piece of evidence begins, in seconds since the start of its source."""
    return min((v for leaf, v in facts.numbers if leaf.evidence == item and leaf.key in ("start_s", "first_s")), default=None)
