"""So many times as much, a half, a third, most of something: held against what follows from the facts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.checking.claims import Claim
from agent.checking.things import compared, things_of, value_of
from agent.checking.utterance import IN_PICTURE, Utterance

_TIMES = re.compile(
    r"\b(?:(\d+(?:\.\d+)?)\s*(?:times|×|x|-?fold)|(twice|double|doubled|thrice|triple|tripled))(?![\w%])(?!\s+(?:by|in|\d)\b)(?!\s*\d)",
    re.I,
)
_NAMED_TIMES = {"twice": 2.0, "double": 2.0, "doubled": 2.0, "thrice": 3.0, "triple": 3.0, "tripled": 3.0}
_PARTS = {
    "half": 1 / 2,
    "halves": 1 / 2,
    "third": 1 / 3,
    "quarter": 1 / 4,
    "fourth": 1 / 4,
    "fifth": 1 / 5,
    "sixth": 1 / 6,
    "tenth": 1 / 10,
}
_PART = re.compile(
    r"\b(?:(?:an?|one|the|(\d+))\s+)?(half|halves|thirds?|quarters?|fourths?|fifths?|sixths?|tenths?)\b(?=\s+(?:of|the|its|as|a)\b)|"
    r"\b(majority|most)\s+of\b", re.I,
)  # fmt: skip
_HAZY = re.compile(r"\b(?:doubl|tripl|quadrupl|halv)\w+|\b\w+fold\b|\b(?:minority|several|many|few|dozens|hundreds|thousands|countless|"
                   r"numerous|lots?|multiple|crowds?)\b(?=\s+(?:of|as|the|\w+s\b|gathers?|people))", re.I)  # fmt: skip
_NEARLY = re.compile(r"\b(?:nearly|almost|close to|just under|not quite|a little under|just short of)\s+(?:\w+\s+)?$", re.I)
_ABOUT = re.compile(r"\b(?:about|around|roughly|approximately|some)\s+(?:\w+\s+)?$", re.I)
_OVER = re.compile(r"\b(?:over|more than|just over|a little over|well over|above)\s+(?:\w+\s+)?$", re.I)


def _near(claimed: float, value: float, said: Utterance, at: int, exact: float, hedged: float) -> bool:
    """Whether a value is what was claimed, as far as the words before it ask."""
    head = said.bare[:at]
    if _NEARLY.search(head):
        return claimed - hedged <= value < claimed + exact / 5
    if _OVER.search(head):
        return claimed < value <= claimed + 5 * hedged
    return abs(value - claimed) <= (hedged if _ABOUT.search(head) else exact) + 1e-9


def multiples(said: Utterance) -> Iterator[Claim]:
    """So many times the threshold, as long as another, as high as before."""
    facts = said.facts
    of = {e.id: {leaf.key: v for leaf, v in facts.numbers if leaf.evidence == e.id and not leaf.owner} for e in facts.evidence}
    for match in _TIMES.finditer(said.bare):
        tail = said.bare[match.end() :]
        counted = (
            any(leaf.key.endswith("_each") for leaf in facts.leaves) and match[1] and not re.match(r"\s+(?:as|the|what)\b", tail)
        )
        deed = match.group().lower() in ("twice", "thrice") and not re.match(r"\s+(?:as|the|what|its)\b", tail)
        if counted or deed:
            if deed:
                yield compared(
                    said,
                    match,
                    "amount",
                    _done(said, 2 if match.group().lower() == "twice" else 3),
                    "the evidence does not count that",
                )
            continue
        claimed = float(match[1]) if match[1] else _NAMED_TIMES[match.group().lower()]
        decimals = len(match[1].split(".")[1]) if match[1] and "." in match[1] else 0
        exact = 0.5 * 10.0**-decimals if decimals else 0.05 * claimed
        ratios: dict[str, list[float]] = {}
        for item, values in of.items():
            if re.search(r"threshold['’]s distance|^\s+as far from|^\s+the distance", tail, re.I) or (
                match[1] and re.match(r"\s*$|\s*[.,)]", tail)
            ):
                ratios.setdefault(item, []).extend(v for k, v in values.items() if k in ("times_threshold", "ratio"))
            elif "threshold" in tail and values.get("threshold") and "score" in values:
                ratios.setdefault(item, []).append(values["score"] / values["threshold"])
        things = [t for t in things_of(said) if t.type == "finding"]
        if re.search(r"\bas (?:long|short|many)\b", tail) and len(things) > 1:
            by = "rows" if re.search(r"\bas many\b", tail) else "length"
            lengths = [value_of(facts, t, by) for t in (things[0], things[-1])]
            if lengths[0] and lengths[1]:
                for thing in (things[0], things[-1]):
                    ratios.setdefault(thing.name, []).append(lengths[0] / lengths[1])
        if re.search(r"\bas (?:high|strong|large|much)\b|\bbefore\b|\busual\b", tail):
            owners = [m.name for m in said.mentions if m.type == "channel"] or [facts.main(i) for i in facts.findings]
            table = {(leaf.evidence, leaf.owner, leaf.key): v for leaf, v in facts.numbers}
            phase = "during" if re.search(r"\bduring\b", said.bare[: match.start()]) else "peak"
            for item in facts.ids:
                top, base = (
                    table.get((item, owners[-1] if owners else "", phase)),
                    table.get((item, owners[-1] if owners else "", "before")),
                )
                if top and base and re.search(r"\bbefore\b", tail):
                    ratios.setdefault(item, []).append(top / base)
        hit = frozenset(
            i for i, all_ in ratios.items() if any(_near(claimed, r, said, match.start(), exact, 0.08 * claimed) for r in all_)
        )
        yield compared(said, match, "amount", bool(hit), f"{match.group()!r} is not what the evidence says there", hit)


def _done(said: Utterance, times: int) -> bool:
    """Whether so many lines of the evidence tell of everything that is named before."""
    named = {m.name.casefold() for m in said.mentions if m.type == "entity" and not m.name.casefold().startswith("0x")}
    lines = {text for _, text in said.facts.lines if named and all(n in text for n in named)}
    return len(lines) == times


def parts(said: Utterance) -> Iterator[Claim]:
    """A half, a third, most of something: of the score, of the recording, of the picture, of all connections."""
    facts = said.facts
    taken: list[tuple[int, int]] = []
    for match in _PART.finditer(said.bare):
        if re.search(
            r"\b(?:top|bottom|left|right|upper|lower|first|second)[\s-]$", said.bare[: match.start(2) if match[2] else 0], re.I
        ):
            continue
        if match[2] and re.match(r"\s+(?:a|an|the|its)\b", said.bare[match.end() :]) and match[2].lower() not in ("half",):
            continue
        taken.append(match.span())
        tail = said.bare[match.end() : match.end() + 40]
        holds = False
        for leaf, v in facts.numbers:
            if not _part_of(said, leaf.key, leaf.owner, tail, match):
                continue
            value = v / 100 if "percent" in leaf.key else v
            if leaf.key.endswith("_each"):
                value = v / max(
                    (w for other, w in facts.numbers if other.key in ("rows_found", "in_all", "log_events")), default=v
                )
            if match[3]:
                holds = holds or value > 0.5
            else:
                claimed = _PARTS[match[2].lower().removesuffix("s") if match[2].lower() != "halves" else "half"] * float(
                    match[1] or 1
                )
                holds = holds or _near(claimed, value, said, match.start(), 0.02, 0.05)
        yield compared(said, match, "amount", holds, f"{match.group()!r} is not an amount the evidence gives; use its number")
    for match in () if IN_PICTURE.search(said.text) else _HAZY.finditer(said.bare):
        if re.search(r"\bas\s+$", said.bare[: match.start()]):
            continue  # "three times as many": the multiple is held against the facts
        if all(match.end() <= a or match.start() >= b for a, b in taken):
            yield compared(said, match, "amount", False, f"{match.group()!r} is not an amount the evidence gives; use its number")


def _part_of(said: Utterance, key: str, owner: str, tail: str, match: re.Match[str]) -> bool:
    """Whether a fact says which part of what stands behind "of" it is."""
    if re.search(r"\b(?:score|deviation|finding|spike|flatline)\b", tail):
        if key in ("motion_percent", "appearance_percent"):
            return re.search(rf"\b{key.split('_')[0]}\b", said.bare[match.start() :], re.I) is not None
        near = said.owner(match.start(), match.end()) or frozenset(said.facts.main(i) for i in said.facts.findings)
        return key == "shares_percent" and owner in near
    if key == "operations_each":
        return all(part.rstrip("e") in tail.casefold() for part in owner.split("_"))
    if re.search(r"\b(?:picture|image|photo|frame)\b", tail):
        return key == "area_percent"
    if re.search(r"\b(?:recording|clip|video|file|rows|time|photos|tiles)\b", tail):
        return key in ("abnormal_percent", "flagged_percent") and bool(
            re.search(r"abnormal|unusual|flagged|odd", said.bare, re.I)
        )
    if re.search(r"\b(?:connections|rows)\b", tail):
        named = {m.name.casefold() for m in said.mentions if m.type == "entity"}
        return key.endswith("_each") and any(owner.casefold().endswith(n) for n in named)
    return False
