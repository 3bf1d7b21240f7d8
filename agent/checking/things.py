"""The things that a sentence compares, and what a comparing word compares them by."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.checking.claims import Claim, claimed
from agent.checking.facts import Facts
from agent.checking.order import first
from agent.checking.utterance import Utterance

_ADJECTIVES: dict[str, tuple[str, int]] = {
    "long": ("length", 1), "short": ("length", -1), "high": ("", 1), "low": ("", -1), "great": ("", 1), "large": ("size", 1),
    "big": ("size", 1), "small": ("size", -1), "strong": ("score", 1), "weak": ("score", -1), "bad": ("severity", 1),
    "mild": ("severity", -1), "severe": ("severity", 1), "serious": ("severity", 1), "critical": ("severity", 1),
    "suspicious": ("score", 1), "unusual": ("score", 1), "abnormal": ("score", 1), "anomalous": ("score", 1), "striking": ("score", 1),
    "odd": ("score", 1), "confident": ("confidence", 1), "certain": ("confidence", 1), "sure": ("confidence", 1),
    "early": ("time", -1), "late": ("time", 1), "much": ("share", 1), "many": ("share", 1), "little": ("share", -1), "few": ("share", -1),
    "important": ("score", 1), "strange": ("score", 1), "frequent": ("share", 1), "common": ("share", 1),
}  # fmt: skip
"""What an adjective compares by ("": what the nouns beside it say), and which way."""
_IRREGULAR = {
    "worse": "bad", "worst": "bad", "more": "much", "most": "much", "less": "little", "least": "little", "fewer": "few", "fewest": "few",
    "surer": "sure", "surest": "sure", "earlier": "early", "earliest": "early", "latest": "late", "later": "late",
    "main": "important", "primary": "important",
}  # fmt: skip
_GRADED = "|".join(adjective for adjective in _ADJECTIVES if adjective not in ("much", "many", "little", "few", "bad"))
COMPARED = re.compile(
    rf"\b(?:(?P<by>more|less|most|least)\s+(?P<plain>{_GRADED})(?:ly)?|(?P<formed>(?:long|short|high|low|great|larg|bigg|small|strong|weak|"
    r"mild|odd|sever|strang)e(?:r|st)|worse|worst|surer|surest|earlier|earliest|latest|later|fewer|fewest|more|most|less|least|main|primary))\b",
    re.IGNORECASE,
)
_NOUNS = (
    (re.compile(r"\bscor\w+\b", re.I), "score"), (re.compile(r"\bseverity\b|\b(?:rated|graded|grade)\b", re.I), "severity"),
    (re.compile(r"\bconfiden\w+\b|\b(?:sure|surer|certain)\b", re.I), "confidence"),
    (re.compile(r"\b(?:share|part|portion|contribut\w+|account\w*|role|blame)s?\b", re.I), "share"),
    (re.compile(r"\b(?:length|duration|lasts?|lasted|rows|goes on)\b", re.I), "length"),
    (re.compile(r"\b(?:region|area)s?\b", re.I), "size"),
)  # fmt: skip
_KEYS = {
    "length": ("length_s",), "score": ("score",), "severity": ("severity_score",), "confidence": ("confidence_percent",),
    "rows": ("rows",), "time": ("start_s", "first_s"), "size": ("area_percent", "area_share"),
}  # fmt: skip
_PHASES = {"before": "before", "during": "during", "after": "after", "afterwards": "after", "peak": "peak", "usual": "usual"}
_PHASE = re.compile(r"\b(before(?:hand)?|during|after(?:wards)?|peak|usual)\b", re.I)
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_THING = re.compile(
    rf"\b(?:the\s+)?({'|'.join(ORDINALS[:5])}|earlier|later|former|latter)"
    r"(?:\s+(?:one|finding|stretch|anomaly|event)\b|(?=\s*(?:[,.;]|$)))",
    re.I,
)


@dataclass(frozen=True)
class Thing:
    """Something that can be compared: a `finding` by its id, a `channel`, an `entity`, a `part` of a score, or a `phase` of a channel."""

    start: int
    end: int
    type: str
    name: str


def things_of(said: Utterance) -> list[Thing]:
    """The things a part of a sentence names, in order; a channel that only says which finding is meant is left out."""
    facts, text = said.facts, said.text
    found: list[Thing] = []
    for item in facts.evidence:
        kind = str(item.facts.get("kind") or ("chain" if item.facts.get("what") == "chain" else ""))
        if item.id in facts.findings and kind:
            found += [Thing(m.start(), m.end(), "finding", item.id) for m in re.finditer(rf"\b{re.escape(kind)}s?\b", text, re.I)]
    for match in _THING.finditer(text):
        word = match[1].lower()
        at = ORDINALS.index(word) if word in ORDINALS else 0 if word in ("earlier", "former") else -1
        starts = sorted((t, i) for i in facts.findings if (t := first(facts, i)) is not None)
        if len(starts) > 1 and at < len(starts):
            found.append(Thing(match.start(), match.end(), "finding", starts[at][1]))
    for match in re.finditer(r"\bthe (?:one|finding) (?:in|of|from) the (log|video|clip|series|recording)\b", text, re.I):
        key = {"log": "did", "video": "keyframes_s", "clip": "keyframes_s"}.get(match[1].lower(), "changes")
        of_kind = [e.id for e in facts.evidence if e.id in facts.findings and key in e.facts]
        found += [Thing(match.start(), match.end(), "finding", of_kind[0])] if len(of_kind) == 1 else []
    for mention in said.mentions:
        items = mention.support & facts.items
        if mention.type == "source" and len(items) == 1:
            found.append(Thing(mention.start, mention.end, "finding", next(iter(items))))
        elif mention.type == "entity" or any(leaf.key.endswith("_each") and leaf.owner == mention.name for leaf in facts.leaves):
            found.append(Thing(mention.start, mention.end, "entity", mention.name))
        elif mention.type == "channel":
            head = text[: mention.start]
            tells = any(t.type == "finding" and re.fullmatch(r"\s+(?:in|of)\s+(?:the\s+)?", head[t.end :]) for t in found)
            tells = tells or any(t.type == "finding" and t.start - mention.end in (1, 2) for t in found)
            if not tells:
                found.append(Thing(mention.start, mention.end, "channel", mention.name))
    for match in re.finditer(r"\b(motion|appearance)\b", text, re.I):
        if any(leaf.key == f"{match[1].lower()}_percent" for leaf in facts.leaves):
            found.append(Thing(match.start(), match.end(), "part", match[1].lower()))
    found += [Thing(m.start(), m.end(), "phase", _PHASES[m[1].lower().removesuffix("hand")]) for m in _PHASE.finditer(said.bare)]
    return sorted(found, key=lambda t: t.start)


def measure_of(said: Utterance, match: re.Match[str]) -> tuple[str, int, bool]:
    """What a word compares by, which way, and whether it is a superlative."""
    word = (match["formed"] or match["by"]).lower()
    superlative = word.endswith("st") or word in ("main", "primary")
    adjective = (match["plain"] or "").lower() or _IRREGULAR.get(word) or re.sub(r"e(?:r|st)$", "", word)
    adjective = {"larg": "large", "bigg": "big", "sever": "severe", "strang": "strange"}.get(adjective, adjective)
    by, way = _ADJECTIVES[adjective]
    if match["by"] and match["by"].lower() in ("less", "least"):
        way = -way
    if by in ("", "size", "share", "score"):
        a, b = said.clause(match.start())
        near = [(abs(m.start() - match.start()), name) for p, name in _NOUNS for m in p.finditer(said.bare, a, b)]
        if any(name == "share" for _, name in near):  # the share of the score
            near = [(distance, name) for distance, name in near if name != "score"]
        by = min(near)[1] if near and not (by == "score" and min(near)[1] in ("size", "length")) else by
    return by, way, superlative


def value_of(facts: Facts, thing: Thing, by: str, within: str = "") -> float | None:
    """What a thing measures."""
    if thing.type == "finding":
        keys = _KEYS.get(by, ())
        return next((v for key in keys for leaf, v in facts.numbers if leaf.evidence == thing.name and leaf.key == key), None)
    if thing.type == "part":
        return next((v for leaf, v in facts.numbers if leaf.key == f"{thing.name}_percent"), None)
    if thing.type == "channel":
        shares = [v for leaf, v in facts.numbers if leaf.key == "shares_percent" and leaf.owner == thing.name
                  and (not within or leaf.evidence == within)]  # fmt: skip
        return shares[0] if len(shares) == 1 else None
    if thing.type == "entity":
        each = [
            v for leaf, v in facts.numbers if leaf.key.endswith("_each") and leaf.owner.casefold().endswith(thing.name.casefold())
        ]
        return each[0] if len(each) == 1 else None
    return None


def compared(
    said: Utterance, match: re.Match[str], type_: str, holds: bool, problem: str, support: frozenset[str] = frozenset()
) -> Claim:
    """The claim of a word that compares: borne out by all that is cited, or by `support`."""
    return claimed(match, type_, (support or said.facts.ids) if holds else frozenset(), problem)
