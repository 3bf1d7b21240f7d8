"""The names in a sentence: those that the cited evidence has, and those that it has not."""

from __future__ import annotations

import difflib
import re
from itertools import pairwise
from typing import Any

from agent.checking.claims import Claim
from agent.checking.facts import Facts, plain
from agent.checking.utterance import Utterance
from agent.checking.words import beside_path, is_plain

_IDENTIFIER = re.compile(
    r"(?<![\w`])(?:https?://\S+|www\.\S+|[\w.+-]+@[\w.-]+|[A-Za-z]:\\[^\s,;]+|/[\w./-]{3,}|\w+(?:[_.]\w+)+\w*|[A-Za-z]+[-]?\d+\w*|"
    r"\d+(?:\.\d+)?[A-Za-z]+\w*|[A-Z]{2,}\w*(?:-\d+)?|[a-z]+[A-Z]\w+|\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?|#\d+)"
)
_NO_NAME = re.compile(
    r"[xy]\d?|\d+\.\d+|\d+(?:\.\d+)?(?:s|m|h|min|ms|st|nd|rd|th|px|fps|x|A|V|W|K|am|pm|bar|kg|Hz|kHz)|\d+(?:\.\d+)?e[-+]?\d+",
    re.I,
)
_COMMON = frozenset((
    "AI", "UTC", "CSV", "OK", "ID", "TV", "CCTV", "CPU", "VLM", "PNG", "JPEG", "JSON", "API", "AM", "PM", "I", "MPEG",
    "RGB", "PDF", "HOG", "e.g", "i.e", "a.m", "p.m", "vs", "IP", "DNS", "PID"
))  # fmt: skip
_PROPER = re.compile(r"(?<=[a-zà-ÿ0-9,;)▪] )([A-Z][a-zà-ÿ]+)\b")
_FIRST = re.compile(r"\W*(?!\w+ly\b)([A-Z][a-zà-ÿ]*[a-rt-zà-ÿ])\s+(?!yes\b)(?:then\s+|also\s+)?(?:[a-z]+(?:s|ed)|is|was|has)\b")
"""A name may open a sentence: a capital, no article, then a verb of one person."""
_ANYBODY = frozenset(("someone", "somebody", "something", "everyone", "everybody", "traffic", "nobody", "part"))


def name_problems(said: Utterance) -> list[str]:
    """The names of a part of a sentence that the evidence it cites does not have."""
    stated = [text for _, text in said.facts.texts] + [plain(leaf.owner) for leaf in said.facts.leaves if leaf.owner]
    stated += [name.casefold() for name in (*said.facts.channels, *said.facts.entities)]
    wrong = []
    for name in said.quoted:
        wanted = plain(name).rstrip("…").strip()
        known = any(wanted == alias for alias, *_ in said.facts.aliases)
        if wanted and not known and not any(
            re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", text) or (len(wanted) > 20 and wanted in text) for text in stated
        ):  # fmt: skip
            wrong.append(name)
    units = {leaf.unit for leaf in said.facts.leaves if leaf.unit}
    for match in _IDENTIFIER.finditer(said.bare):
        name = match.group().strip(".,:")
        if _NO_NAME.fullmatch(name) or name in _COMMON or name in units or re.fullmatch(r"E\d+", name):
            continue
        if not any(re.search(rf"(?<!\w){re.escape(plain(name))}(?!\w)", text) for text in stated):
            wrong.append(name)
    told = " ".join(text for _, text in said.facts.told)
    folders = said.facts.folders if beside_path(said) else frozenset()
    wrong += [
        m[1] for m in _PROPER.finditer(said.bare)
        if not re.search(rf"\b{m[1].casefold()}\b", told) and not is_plain(m[1]) and m[1].casefold() not in folders
    ]  # fmt: skip
    first = _FIRST.match(said.bare)
    if first and not is_plain(first[1]) and first[1].casefold() not in told and first[1].casefold() not in _ANYBODY:
        wrong.append(first[1])
    return [f"the name {name!r} is not in the evidence it cites" for name in dict.fromkeys(wrong)] + [
        *_told_twice(said), *_other_units(said)
    ]  # fmt: skip


def _told_twice(said: Utterance) -> list[str]:
    """The channels that one list names more than once: one of them stands for another."""
    run: list[str] = []
    for left, right in pairwise([m for m in said.mentions if m.type == "channel"]):
        joined = re.fullmatch(r"`?\s*(?:\([^()]*\))?\s*,?\s*(?:and\s+)?`?", said.bare[left.end : right.start]) is not None
        run = [*(run or [left.name]), right.name] if joined else []
        if len(set(run)) < len(run):
            return [f"{right.name!r} is named twice"]
    return []


def _other_units(said: Utterance) -> list[str]:
    """The channels of a recording's list that stand beside the unit of another: "`flow` (bar)"."""
    units: dict[str, set[str]] = {}
    for item in said.facts.evidence:
        listed: Any = item.facts.get("listed") or ()
        for row in listed:
            if isinstance(row, dict) and {"channel", "unit"} <= row.keys():
                units.setdefault(row["channel"], set()).add(plain(row["unit"] or ""))
    beside = [
        (m.name, found[1])
        for m in said.mentions
        if m.name in units and (found := re.match(r"\W{0,2}\(([^()]*)\)", said.text[m.end :]))
    ]
    return [f"{name!r} is not measured in {shown!r}" for name, shown in beside if plain(shown) not in units[name]]


def misspelt(word: str, facts: Facts) -> str:
    """The name that a word nearly is, or ""."""
    names = {part for n in (*facts.channels, *facts.entities) for part in re.findall(r"[a-z]{5,}", n.casefold())}
    close = difflib.get_close_matches(word, names - {word}, n=1, cutoff=0.82) if word not in names else []
    return close[0] if close and not close[0].startswith(word[:-1]) and not word.startswith(close[0]) else ""


def elsewhere(said: Utterance, everything: Facts) -> list[str]:
    """Channels and processes that the sentence names, of evidence that it does not cite."""
    low = said.bare.casefold()
    others = {n.casefold() for n in (*everything.channels, *everything.entities)}
    named = [
        n
        for n in sorted(others)
        for a in {n, n.replace("_", " ")}
        if a in low and re.search(rf"(?<![\w.]){re.escape(a)}(?![\w]|\.\w)", low)
    ]
    told = " ".join(text for _, text in said.facts.told)
    return [f"{n!r} is not in the evidence it cites" for n in named if n not in ("motion", "appearance") and n not in told]


def name_claims(said: Utterance) -> list[Claim]:
    """The names of the evidence in a part of a sentence, with the evidence that has them."""
    found = []
    for m in (*said.mentions, *said.phrases):
        support = m.support
        mains = frozenset(i for i in said.facts.findings if said.facts.main(i) == m.name)
        if m.type == "channel" and mains and re.search(r"\b(?:spike|flatline|drift|dip|shift)s?\b", said.bare, re.I):
            support = mains
        found.append(Claim(start=m.start, end=m.end, type="name", text=m.name, support=support))
    return found
