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
from agent.checking.deeds import verbs_of
from agent.checking.facts import Leaf, plain
from agent.checking.gaps import GAP, SECONDS, gap_claimed, same
from agent.checking.phrases import phrases
from agent.checking.utterance import BLANK, Utterance
from agent.verify import CLOCK, STAMP, clock_claim, stamp_claim

_LENGTH = re.compile(rf"(?<![\w.:])(\d+(?:[.,]\d+)*)[\s-]?({'|'.join(sorted(SECONDS, key=len, reverse=True))})\b(?!/)", re.I)
_START = re.compile(r"\b(?:start\w*|beg[aiu]n\w*|onset|since|sets? in|opens)\b", re.I)
_END = re.compile(r"\b(?:end(?:s|ed|ing)?|stop(?:s|ped)?|last|until|till|over|finish\w*|ceas\w+)\b", re.I)
_PEAK = re.compile(r"\b(?:peak\w*|extremes?|strongest|strangest|highest|maximum|worst|most)\b", re.I)
_LOW = re.compile(r"\b(?:lowest|minimum|low)\b", re.I)
_STILL = re.compile(r"\b(?:stuck|still|flat|stands|frozen|constant|flatline)\b", re.I)
_FREEZES = re.compile(
    r"\b(?:(stops? (?:changing|moving|responding)|stopped (?:changing|moving)|freezes|froze|gets stuck|got stuck)|"
    r"(?:moves?|moved|changes?|changed|recovers?|recovered)(?: \w+)? again)\b", re.I,
)  # fmt: skip
_RECORDING = re.compile(r"\b(?:recording|clip|video|file|log|series|data|footage|covers|spans)\b", re.I)
_AT = frozenset(
    ("at", "from", "to", "until", "till", "since", "and", "between", "around", "after", "near", "by", "starts", "begins", "ends", "–", "-")
)  # fmt: skip
"""Words before a time that make a moment of it, not a length."""
_STARTS = ("start_s", "first_s", "still_from_s", "from_s", "at_s")
_ENDS = ("end_s", "last_s", "still_to_s", "until_s")
_JOINED = re.compile(r"\s*(?:UTC)?\s*(?:to|until|till|through|and|–|-|—)\s*(?:about\s+)?", re.I)
_TIME_WORD = phrases("time")
_BOUNDARY = re.compile(
    r"\b(?:until|till|to|at|from|since) the (?:very )?(end|beginning|start)\b(?: of the (?:clip|video|recording|file|series|log)|(?=\W*$))",
    re.I,
)
"""The begin or the end of the whole recording."""
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
    for match in _BOUNDARY.finditer(rest):
        ends = {leaf.evidence for leaf, v in said.facts.numbers if leaf.key in _ENDS and any(
            abs(v - total) < 1.0 for other, total in said.facts.numbers if other.key in ("duration_s", "total_s"))}  # fmt: skip
        begins = {leaf.evidence for leaf, v in said.facts.numbers if leaf.key in ("start_s", "first_s") and v < 1.0}
        hit = frozenset(ends if match[1].lower() == "end" else begins)
        claims.append(Claim(start=match.start(), end=match.end(), type="time", text=match.group(), support=hit))
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
                                    if leaf.is_length and _length_fits(said, leaf, start) and same(value, v, 0))  # fmt: skip
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
    rows = _rows_told(said, at) if leaf.key == "did_s" else set()
    if rows and not any(other.key == "row" and v in rows and other.owner == leaf.owner for other, v in said.facts.numbers):
        return False
    a, b = said.clause(at)
    deeds = [verb.words for verb in verbs_of(said) if a <= verb.start < b]
    if leaf.key == "did_s" and deeds and not any(f" {word} " in f"{leaf.owner} " for words in deeds for word in words):
        return False  # the time of a deed is that of its line
    named = {m.name.casefold() for m in said.mentions if m.type == "entity"}
    here = {m.name.casefold() for m in said.mentions if m.type == "entity" and a <= m.start < b} or named
    return all(n in leaf.owner.casefold() for n in here) if leaf.owner else not named


def _rows_told(said: Utterance, at: int) -> set[float]:
    """The row that is named in the clause of a time, where it is one."""
    a, b = said.clause(at)
    found = {float(m[1]) for m in re.finditer(r"\brow\s+(\d+)\b", said.bare[a:b], re.I)}
    return found if len(found) == 1 else set()


def _told_of(said: Utterance, leaf: Leaf, at: int) -> bool:
    """Whether a time may be what the sentence speaks of: a finding's where findings are cited, and the row's that it names."""
    if leaf.key == "did_s":
        return row_told(said, leaf, at)
    if leaf.owner and leaf.key in (
        "start_s",
        "end_s",
        "own_s",
    ):  # a step of a timeline: what is named beside its time must be its own
        a, b = said.clause(at)
        beside = [m.name.casefold() for m in said.mentions if a <= m.start < b and m.type in ("entity", "source")]
        if not all(name in leaf.owner.casefold() for name in beside):
            return False
    listed = any(other.key == "did_s" and other.evidence == leaf.evidence for other in said.facts.leaves)
    if listed and _rows_told(said, at):
        return False  # the time beside a row is the row's
    named = {m.name for m in said.mentions if m.type == "channel"}
    if leaf.owner and leaf.owner in said.facts.channels and named and leaf.owner not in named:
        return False
    main = said.facts.main(leaf.evidence)
    if leaf.owner in said.facts.channels and not named and main and leaf.owner != main:
        return False  # where no channel is named, the main one is meant
    if not leaf.owner and leaf.key in ("peak_s", "still_from_s", "still_to_s") and main and named and main not in named:
        return False  # the peak of a finding is that of its main channel, and so is what stands still
    others = said.facts.findings and leaf.evidence not in said.facts.findings
    return not others or bool(_RECORDING.search(said.bare)) or any(i.tool.startswith("lookup_") for i in said.facts.evidence)


def _is_outer(said: Utterance, leaf: Leaf, at: int, *, first: bool) -> bool:
    """Whether a row's time may be a start or an end: that of the row whose names are told, else that of the first or last row."""
    if leaf.key != "did_s":
        return False
    a, b = said.clause(at)
    if any(m.type in ("entity", "line") and a <= m.start < b for m in said.mentions) or _rows_told(said, at):
        return True
    times = [v for other, v in said.facts.numbers if other.key == "did_s" and other.evidence == leaf.evidence]
    return leaf.value == (min(times) if first else max(times))


def _role(said: Utterance, start: int, end: int) -> Callable[[Leaf], bool]:
    """Which times a time at this place of the sentence may be."""
    last = (said.before(start, 1) or [""])[0]
    if last in ("to", "until", "till", "by"):
        return lambda leaf: leaf.key in _ENDS
    if last in ("from", "since") and not re.search(r"\b(?:is|was|dates?|comes?|came) from\s*$", said.bare[:start], re.I):
        return lambda leaf: leaf.key in _STARTS or leaf.key == "did_s"
    a, b = said.clause(start)
    roles: list[tuple[int, Callable[[Leaf], bool]]] = []
    leaning: list[tuple[int, Callable[[Leaf], bool]]] = []
    still = [leaf for leaf in said.facts.leaves if leaf.key == "still_from_s"]
    if still and (found := _FREEZES.search(said.bare, a, b)):
        key = "still_from_s" if found[1] else "still_to_s"
        return lambda leaf: leaf.key == key
    for pattern, test in (
        (_START, lambda leaf: leaf.key in _STARTS or _is_outer(said, leaf, start, first=True)),
        (_END, lambda leaf: leaf.key in _ENDS or _is_outer(said, leaf, start, first=False)),
        (_PEAK, lambda leaf: leaf.key in ("peak_s", "highest_s", "best_s")), (_LOW, lambda leaf: leaf.key == "lowest_s"),
    ):  # fmt: skip
        roles += [
            (min(abs(match.end() - start), abs(match.start() - end)), test) for match in pattern.finditer(said.bare, a, b)
        ]  # fmt: skip
        if not roles:  # "At its strongest, at 0:13.1": the words before a comma, when they have no time of their own
            head = said.bare[:a]
            if head.rstrip().endswith(",") and not re.search(r"\d:\d", head):
                leaning += [(start - match.end(), test) for match in pattern.finditer(said.bare, 0, a)]
    if roles or leaning:
        return min(roles or leaning, key=lambda r: r[0])[1]
    return lambda leaf: leaf.key not in _ENDS


def _length_or_moment(said: Utterance, match: re.Match[str], rest: str) -> Claim:
    value, unit = float(match[1].replace(",", "")), match[2].lower()
    text, start, end = match.group(), match.start(), match.end()
    decimals = len(match[1].split(".")[1]) if "." in match[1] else 0
    before, after = said.before(start, 2), said.after(end, 1)
    between = re.search(
        r"\bbetween\b[^.;]*\band\b[^.;]*\b(?:lies?|lay|are|is|passed|pass)\s+(?:about\s+|only\s+|just\s+)?$",
        said.bare[:start],
        re.I,
    )
    behind = GAP.match(rest[end:])
    begun = re.match(
        r"\s*(?:after|from|into) the (?:beginning|start) of the (?:recording|clip|video|file|log|series)\b", rest[end:], re.I
    )
    if begun:
        role = _role(said, start, end)
        since = frozenset(
            leaf.evidence for leaf, v, _ in said.facts.moments
            if role(leaf) and _told_of(said, leaf, start) and same(value, v / SECONDS[unit], decimals)
        )  # fmt: skip
        return Claim(start=start, end=end + begun.end(), type="time", text=text, support=since)
    opening = re.fullmatch(r"\W*after\s+(?:about\s+|only\s+|just\s+)?", said.bare[:start], re.I) and re.match(r"\s*,", rest[end:])
    if opening or between or behind or (after and after[0] in ("later", "earlier", "after", "before")):
        return Claim(
            start=start,
            end=end + (behind.end() if behind else 0),
            type="length",
            text=text,
            support=gap_claimed(said, start, end, value, unit, decimals, "about" in before),
        )
    near = before[-1:] + [w for w in before[:1] if before[-1:] and before[-1] in ("about", "around", "roughly", "the", "second")]
    moment = any(word in _AT for word in near)
    moment = moment or re.match(r"[\s-]*(?:into\b|mark\b|in(?=\s*[.,;]|\s+the\b|\s*$))", rest[end:]) is not None
    support: set[str] = set()
    if moment and SECONDS[unit] <= 60:
        role = _role(said, start, end)
        support |= {
            leaf.evidence for leaf, since, clock in said.facts.moments
            if clock is None and _told_of(said, leaf, start) and role(leaf) and same(value, since / SECONDS[unit], decimals)
        }  # fmt: skip
    if not moment or before[-1:] in (["about"], ["around"], ["by"], ["–"], ["-"]):
        support |= {
            leaf.evidence for leaf, length in said.facts.numbers
            if leaf.is_length and _length_fits(said, leaf, start)
            and (same(value, length / SECONDS[unit], decimals) or _bounded(said, start, value, length / SECONDS[unit]))
        }  # fmt: skip
    return Claim(start=start, end=end, type="length", text=text, support=frozenset(support))


def _bounded(said: Utterance, at: int, bound: float, length: float) -> bool:
    """Whether a length lies on the side of a bound that the words before it name, and near it."""
    head = said.bare[:at]
    if re.search(r"\b(?:nearly|almost|not quite|just (?:short of|under)|a (?:bit|little) under)\s+$", head, re.I):
        return 0.85 * bound <= length < bound
    if re.search(r"\b(?:under|less than|below|within)\s+$", head, re.I):
        return bound / 2 <= length < bound
    return bool(re.search(r"\b(?:over|more than|above|a good|at least)\s+$", head, re.I)) and bound < length <= 2 * bound


def _length_fits(said: Utterance, leaf: Leaf, at: int) -> bool:
    a, b = said.clause(at)
    here = said.bare[a:b]
    near = re.split(r"\d", said.bare[a:at])[-1] + said.bare[at:b]
    if re.search(r"\b(?:every|each(?! other)|intervals?|apart|frame|sampled|rate)\b", near, re.I):
        return leaf.key in ("unit_s", "period_s", "interval_s")
    if leaf.key in ("unit_s", "period_s", "interval_s"):
        return False
    if leaf.key == "abnormal_s":
        return bool(re.search(r"\b(?:abnormal|unusual|flagged|stretch)\b", here, re.I))
    if leaf.key == "still_s":
        return bool(_STILL.search(said.bare))
    if leaf.key in ("within_s", "lag_s", "slack_s"):
        return leaf.key == "within_s" and bool(re.search(r"\bwithin\b", here, re.I))
    of_whole = leaf.evidence not in said.facts.findings
    return not (of_whole and said.facts.findings) or bool(_RECORDING.search(here))
