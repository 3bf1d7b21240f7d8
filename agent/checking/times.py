"""Moments and lengths of a sentence, held against the times of the evidence in the role the sentence gives them.

A time that starts a stretch must be the start of one, the two ends of a stretch must come from one piece of evidence, and a time told
of a row must be that row's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial

from agent.checking.claims import Claim
from agent.checking.facts import Leaf, plain
from agent.checking.utterance import BLANK, Utterance
from agent.verify import CLOCK, STAMP, clock_claim, stamp_claim

SECONDS = {
    "s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1, "ms": 0.001, "milliseconds": 0.001, "min": 60, "mins": 60,
    "minute": 60, "minutes": 60, "h": 3600, "hr": 3600, "hrs": 3600, "hour": 3600, "hours": 3600, "d": 86400, "day": 86400,
    "days": 86400, "week": 604800, "weeks": 604800,
}  # fmt: skip
_LENGTH = re.compile(rf"(?<![\w.:])(\d+(?:[.,]\d+)*)[\s-]?({'|'.join(sorted(SECONDS, key=len, reverse=True))})\b(?!/)", re.I)
_START = re.compile(r"\b(?:start\w*|beg[aiu]n\w*|onset|since|sets? in|opens)\b", re.I)
_END = re.compile(r"\b(?:end(?:s|ed|ing)?|stop(?:s|ped)?|last|until|till|over|finish\w*|ceas\w+)\b", re.I)
_PEAK = re.compile(r"\b(?:peak\w*|strongest|highest|maximum|worst|most)\b", re.I)
_LOW = re.compile(r"\b(?:lowest|minimum|low)\b", re.I)
_STILL = re.compile(r"\b(?:stuck|still|flat|stands|frozen|constant|flatline)\b", re.I)
_RECORDING = re.compile(r"\b(?:recording|clip|video|file|log|series|data|footage|covers|spans)\b", re.I)
_AT = frozenset(
    ("at", "from", "to", "until", "till", "since", "and", "between", "around", "after", "near", "by", "starts", "begins", "ends", "–", "-")
)  # fmt: skip
"""Words before a time that make a moment of it, not a length."""
_STARTS = ("start_s", "first_s", "still_from_s")
_ENDS = ("end_s", "last_s", "still_to_s", "until_s")
_JOINED = re.compile(r"\s*(?:UTC)?\s*(?:to|until|till|through|and|–|-|—)\s*(?:about\s+)?", re.I)
_GAP = re.compile(r"^\s*(?:later|earlier|before|after|ago|apart|afterwards|previously|from now)\b", re.I)
_TIME_WORD = re.compile(
    r"\b(?:yesterday|today|tomorrow|tonight|(?:last|next|this) (?:week|month|year|night|evening|morning|summer|winter)|o'clock|"
    r"morning|afternoon|evening|night|dawn|dusk|sunrise|sunset|weekend|lunch(?:time)?|overnight|quarter to|half past|"
    r"mon(?:day)|tues(?:day)|wednes(?:day)|thurs(?:day)|fri(?:day)|satur(?:day)|sun(?:day)|january|february|april|june|july|"
    r"august|"
    r"september|october|november|december)s?\b|\b(?:in|of|last|next|since|until|during|early|late) (?:March|May)\b|"
    r"\b(?:days?|weeks?|months?|years?|hours?|minutes?|seconds?|moments?) (?:later|earlier|ago|before|after)\b",
    re.IGNORECASE,
)
_YEAR = re.compile(r"\b(?:in|of|year|since|until|from)\s+((?:19|20)\d\d)\b", re.I)
_DAYTIMES = {"morning": (4, 12), "afternoon": (12, 18), "evening": (17, 23), "night": (21, 29), "overnight": (21, 29)}


def time_claims(said: Utterance) -> tuple[list[Claim], str]:
    """The claims about time, and the rest of the sentence with them blanked out (as long as before)."""
    rest, spots = said.bare, []
    for pattern, read in ((STAMP, stamp_claim), (CLOCK, clock_claim)):
        for match in pattern.finditer(rest):
            made = read(match)
            spots.append((match.start(), match.end(), made.kind, made.value, made.text))
        rest = pattern.sub(lambda m: BLANK * len(m.group()), rest)
    claims = list(_moments(said, sorted(spots)))
    claims += [_length_or_moment(said, match, rest) for match in _LENGTH.finditer(rest)]
    rest = _LENGTH.sub(lambda m: BLANK * len(m.group()), rest)
    for match in _YEAR.finditer(rest):
        hit = _where(said, partial(_agrees, word=match[1]))
        claims.append(Claim(start=match.start(), end=match.end(), type="time", text=match[1], support=hit))
    rest = _YEAR.sub(lambda m: BLANK * len(m.group()), rest)
    for match in _TIME_WORD.finditer(rest):
        word = match.group().lower()
        last = word.split()[-1].rstrip("s")
        hit = _where(said, partial(_agrees, word=last)) if len(word.split()) == 1 or last in ("march", "may") else frozenset()
        claims.append(Claim(start=match.start(), end=match.end(), type="time", text=match.group(), support=hit))
    return claims, rest


def _agrees(moment: datetime, word: str) -> bool:
    if word in _DAYTIMES:
        first, last = _DAYTIMES[word]
        return first <= moment.hour < last or first <= moment.hour + 24 < last
    return word in (moment.strftime("%A").lower(), moment.strftime("%B").lower(), str(moment.year))


def _where(said: Utterance, fits: Callable[[datetime], bool]) -> frozenset[str]:
    return frozenset(
        leaf.evidence for leaf, _, clock in said.facts.moments
        if clock is not None and _told_of(said, leaf, 0) and leaf.key in _STARTS and fits(datetime.fromtimestamp(clock, UTC))
    )  # fmt: skip


def _moments(said: Utterance, spots: list[tuple[int, int, str, float, str]]) -> Iterator[Claim]:
    skip = False
    for i, (start, end, kind, value, text) in enumerate(spots):
        if skip:
            skip = False
            continue
        after = spots[i + 1] if i + 1 < len(spots) else None
        between = said.text[end : after[0]] if after else ""
        opened = re.search(r"\b(?:from|between)\s+(?:about\s+)?$", said.bare[:start], re.I)
        if after and _JOINED.fullmatch(between) and (opened or "and" not in between):
            yield _stretch(said, (start, end, kind, value, text), after)
            skip = True
        else:
            if kind == "clock" and said.before(start, 1)[-1:] in (
                ["lasts"],
                ["lasted"],
                ["long"],
                ["for"],
                ["duration"],
                ["length"],
            ):
                lasting = frozenset(leaf.evidence for leaf, v in said.facts.numbers
                                    if leaf.is_length and _length_fits(said, leaf, start) and _same(value, v, 0))  # fmt: skip
                yield Claim(start=start, end=end, type="length", text=text, support=lasting)
                continue
            hit = frozenset(leaf.evidence for leaf in _agreeing(said, start, kind, value, text) if _role(said, start, end)(leaf))
            yield Claim(start=start, end=end, type="time", text=text, support=hit)


def _stretch(said: Utterance, left: tuple[int, int, str, float, str], right: tuple[int, int, str, float, str]) -> Claim:
    """Two joined times: the first and the last of one stretch of one piece of evidence."""
    text = said.text[left[0] : right[1]]
    first = {(leaf.evidence, leaf.key) for leaf in _agreeing(said, left[0], *left[2:])}
    last = {(leaf.evidence, leaf.key) for leaf in _agreeing(said, right[0], *right[2:])}
    pairs = zip(_STARTS, _ENDS, strict=False)
    hit = frozenset(e for a, b in pairs for e, key in first if key == a and (e, b) in last)
    return Claim(start=left[0], end=right[1], type="time", text=text, support=hit)


def _agreeing(said: Utterance, at: int, kind: str, value: float, text: str) -> Iterator[Leaf]:
    """The times that are the one printed, at the precision it is printed with."""
    for leaf, since, clock in said.facts.moments:
        if not _told_of(said, leaf, at):
            continue
        if kind == "stamp" and clock is not None:
            width = 86_400.0 if ":" not in text else 60.0 if text.count(":") == 1 else 1.0
            hit = 0 <= clock - value < width or (width == 1.0 and abs(clock - value) <= 0.5)
        elif kind == "clock" and clock is not None:
            minutes = text.count(":") == 1
            gap = clock % 86_400 - value * (60 if minutes else 1)
            hit = 0 <= gap < (60 if minutes else 1) or (not minutes and abs(gap) <= 0.5)
        elif kind == "clock":
            digits = len(text.split(".")[1]) if "." in text else 0
            gap = since - value
            hit = abs(gap) <= 0.5 * 10**-digits + 1e-6 or (digits == 0 and 0 <= gap < 1)
        else:
            hit = False
        if hit:
            yield leaf


def row_told(said: Utterance, leaf: Leaf, at: int) -> bool:
    """Whether a row, or its time, may be what stands at a position: the line or the names there must be the row's."""
    lines = [m for m in said.mentions if m.type == "line" and len(m.name) > 20]
    if lines:
        near = [m for m in lines if m.end <= at][-1:] or lines[:1]
        return near[0].name in plain(leaf.owner)
    if "→" in said.text or (leaf.key != "row" and leaf.key != "did_s"):
        return True
    a, b = said.clause(at)
    named = {m.name.casefold() for m in said.mentions if m.type == "entity"}
    here = {m.name.casefold() for m in said.mentions if m.type == "entity" and a <= m.start < b} or named
    return all(n in leaf.owner.casefold() for n in here) if leaf.owner else not named


def _told_of(said: Utterance, leaf: Leaf, at: int) -> bool:
    """Whether a time may be what the sentence speaks of: a finding's where findings are cited, and the row's that it names."""
    if leaf.key == "did_s":
        return row_told(said, leaf, at)
    if leaf.owner and leaf.owner in said.facts.channels:
        named = {m.name for m in said.mentions if m.type == "channel"}
        if named and leaf.owner not in named:
            return False
    others = said.facts.findings and leaf.evidence not in said.facts.findings
    return not others or bool(_RECORDING.search(said.bare)) or any(i.tool.startswith("lookup_") for i in said.facts.evidence)


def _role(said: Utterance, start: int, end: int) -> Callable[[Leaf], bool]:
    """Which times a time at this place of the sentence may be."""
    last = (said.before(start, 1) or [""])[0]
    if last in ("to", "until", "till", "by"):
        return lambda leaf: leaf.key in _ENDS
    if last in ("from", "since"):
        return lambda leaf: leaf.key in _STARTS or leaf.key == "did_s"
    a, b = said.clause(start)
    roles: list[tuple[int, Callable[[Leaf], bool]]] = []
    for pattern, test in (
        (_START, lambda leaf: leaf.key in _STARTS or leaf.key == "did_s"), (_END, lambda leaf: leaf.key in _ENDS or leaf.key == "did_s"),
        (_PEAK, lambda leaf: leaf.key in ("peak_s", "highest_s", "best_s")), (_LOW, lambda leaf: leaf.key == "lowest_s"),
    ):  # fmt: skip
        roles += [
            (min(abs(match.end() - start), abs(match.start() - end)), test) for match in pattern.finditer(said.bare, a, b)
        ]  # fmt: skip
    if roles:
        return min(roles, key=lambda r: r[0])[1]
    return lambda leaf: leaf.key not in _ENDS


def _length_or_moment(said: Utterance, match: re.Match[str], rest: str) -> Claim:
    value, unit = float(match[1].replace(",", "")), match[2].lower()
    text, start, end = match.group(), match.start(), match.end()
    decimals = len(match[1].split(".")[1]) if "." in match[1] else 0
    before, after = said.before(start, 2), said.after(end, 1)
    if _GAP.match(rest[end:]) or (after and after[0] in ("later", "earlier", "after", "before")):
        return Claim(start=start, end=end, type="length", text=text, support=_gap(said, value, unit, decimals, "about" in before))
    near = before[-1:] + [w for w in before[:1] if before[-1:] and before[-1] in ("about", "around", "roughly", "the", "second")]
    moment = any(word in _AT for word in near)
    moment = moment or re.match(r"[\s-]*(?:into\b|mark\b|in(?=\s*[.,;]|\s+the\b|\s*$))", rest[end:]) is not None
    support: set[str] = set()
    if moment and SECONDS[unit] <= 60:
        role = _role(said, start, end)
        support |= {
            leaf.evidence for leaf, since, clock in said.facts.moments
            if clock is None and _told_of(said, leaf, start) and role(leaf) and _same(value, since / SECONDS[unit], decimals)
        }  # fmt: skip
    if not moment or before[-1:] in (["about"], ["around"], ["by"], ["–"], ["-"]):
        support |= {
            leaf.evidence for leaf, length in said.facts.numbers
            if leaf.is_length and _length_fits(said, leaf, start) and _same(value, length / SECONDS[unit], decimals)
        }  # fmt: skip
    return Claim(start=start, end=end, type="length", text=text, support=frozenset(support))


def _length_fits(said: Utterance, leaf: Leaf, at: int) -> bool:
    a, b = said.clause(at)
    here = said.bare[a:b]
    if re.search(r"\b(?:every|each|interval|apart|frame|sampled|rate)\b", here, re.I):
        return leaf.key in ("unit_s", "period_s", "interval_s")
    if leaf.key in ("unit_s", "period_s", "interval_s"):
        return False
    if leaf.key == "abnormal_s":
        return bool(re.search(r"\b(?:abnormal|unusual|flagged)\b", here, re.I))
    if leaf.key == "still_s":
        return bool(_STILL.search(said.bare))
    of_whole = leaf.evidence not in said.facts.findings
    return not (of_whole and said.facts.findings) or bool(_RECORDING.search(here))


def _gap(said: Utterance, value: float, unit: str, decimals: int, hedged: bool) -> frozenset[str]:
    """The findings whose starts, or end and start, lie that far apart."""
    times = [(leaf.evidence, since, leaf.key) for leaf, since, _ in said.facts.moments
             if leaf.key in ("start_s", "end_s") and leaf.evidence in said.facts.findings]  # fmt: skip
    for left, a, _ in times:
        for right, b, key in times:
            if (
                left != right
                and b > a
                and key == "start_s"
                and (_same(value, gap := (b - a) / SECONDS[unit], decimals) or (hedged and abs(gap - value) <= 0.05 * value))
            ):
                return frozenset({left, right})
    return frozenset()


def _same(claimed: float, value: float, decimals: int) -> bool:
    return abs(claimed - value) <= 0.5 * 10.0**-decimals * (1 if decimals or value >= 10 else 0.02) + 1e-9
