"""Numbers of a sentence other than times, held against the facts by what they count or measure, by role and by owner.

A number is first read for what it is: a per cent, a multiple, a grade out of a hundred, a row, an edge of a box, a measured value with
its unit, or a count of the things that the next noun names. Only facts of that sort can bear it out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.checking.claims import Claim
from agent.checking.facts import Leaf
from agent.checking.measures import ABNORMAL, Keys, keys
from agent.checking.numbers import numbers_of
from agent.checking.parts import PART_OF, is_part, part_of_whole, whole_first
from agent.checking.roles import Number, follows_freely, role_of, unit_of
from agent.checking.sorts import operations_of, row_before, sort_of
from agent.checking.times import row_told
from agent.checking.utterance import Utterance

_HEDGES = frozenset(("about", "around", "roughly", "approximately", "nearly", "almost", "some", "~", "over", "circa"))
_MORE = re.compile(
    r"\b(more than|(?<!extends )(?<!extend )(?<!stretches )over|above|at least|no fewer than|exceed\w*|beyond|higher than|"
    r"greater than|stronger than)\s+$",
    re.I,
)
_LESS = re.compile(r"\b(less than|fewer than|under|below|up to|no more than|within|lower than|smaller than)\s+$", re.I)


def quantity_claims(said: Utterance, rest: str) -> list[Claim]:
    """The claims of the numbers in `rest`, the sentence without what is checked elsewhere."""
    numbers = list(numbers_of(said, rest))
    claims: list[Claim] = []
    previous: Keys | None = None
    before: Keys | None = None
    whole: frozenset[str] | None = None
    for i, number in enumerate(numbers):
        later = numbers[i + 1] if i + 1 < len(numbers) else None
        of_hundred = later is not None and later.digits == "100" and PART_OF.fullmatch(rest[number.end : later.start]) is not None
        if whole is not None:
            support, whole = whole, None
        elif later is not None and whole_first(number, later, rest):
            support = whole = part_of_whole(said, later, number)
        elif later is not None and is_part(number, later, rest):
            support = whole = part_of_whole(said, number, later)
        else:
            listed = i > 0 and re.fullmatch(r"[\s,&]*(?:and|or|to|–|-)?\s*", rest[numbers[i - 1].end : number.start]) is not None
            test = previous if listed and previous is not None else sort_of(said, number, rest, of_hundred, i > 0)
            if listed and number.value in [n.value for n in numbers[:i]] and row_before(said, numbers[0], rest):
                test = before = keys()  # a row told twice in one list
            operations = operations_of(said, number)
            support = frozenset(
                leaf.evidence for leaf, v in said.facts.numbers if leaf.owner in operations and _prints(said, number, leaf, v)
            )
            support = support or _support(said, number, rest, test)
            bounded = _MORE.search(rest[: number.start]) or _LESS.search(rest[: number.start])
            if not (support or bounded or listed) and before is not None and _ends(number, rest):
                support = _support(said, number, rest, before)  # "54 rows, the spike only 17": what the number before counted
            if number.noun in ("finding", "region") and number.value == len(said.facts.findings) > 1:
                support = said.facts.findings  # all that the sentence cites
            support = support or _free(said, number, rest) or _word_for_word(said, number) or _port(said, number)
            strict = row_before(said, number, rest)
            before = test if number.noun or number.unit in ("", "%", "percent") or before is None else before
            previous = test if strict or (listed and previous is not None) else None
        claims.append(Claim(start=number.start, end=number.end, type=_type(number), text=_text(number), support=support))
    return claims


_TIMED = {"peak": "peak_s", "highest": "highest_s", "lowest": "lowest_s", "first": "first_s", "last": "last_s"}
"""Values that were read at one moment, and the fact that says when."""
_AT = re.compile(r"\b(?:at|around)\s+(?:about\s+)?((?:\d{4}-\d\d-\d\d\s+)?\d{1,2}:\d\d(?::\d\d)?)\b", re.I)


def _read_then(said: Utterance, number: Number, leaf: Leaf) -> bool:
    """Whether a value may be told of the one moment that its clause names: it must have been read then."""
    a, b = said.clause(number.start)
    times = list(_AT.finditer(said.bare, a, b))
    if len(times) != 1 or not leaf.owner or leaf.key not in (*_TIMED, "before", "during", "after"):
        return True
    if number.end <= times[0].start() and re.search(r"\d", said.bare[number.end : times[0].start()]):
        return True  # another number stands nearer to the time
    told = times[0][1].split()[-1]
    key = _TIMED.get(leaf.key, "")
    mine = {(other.evidence, other.key, other.owner) for other, _ in said.facts.numbers}
    for other, since, clock in said.facts.moments:
        own = other.owner == leaf.owner or ((leaf.evidence, key, leaf.owner) not in mine and not other.owner)
        if other.evidence == leaf.evidence and other.key == key and own:
            seconds = clock % 86_400 if clock is not None else since
            parts = [int(part) for part in told.split(":")]
            unit = 60 if clock is not None and len(parts) == 2 else 1
            wanted = (parts[0] * 60 + parts[1]) * unit if len(parts) == 2 else parts[0] * 3600 + parts[1] * 60 + parts[2]
            if 0 <= seconds - wanted < unit:
                return True
    return False


def _support(said: Utterance, number: Number, rest: str, test: Keys) -> frozenset[str]:
    """The evidence that has the number among the facts it may be, or of which all such facts lie beyond the bound it is."""
    per_cent = number.unit in ("%", "percent")
    may_be = [
        (leaf, v) for leaf, v in said.facts.numbers
        if test(leaf) and (per_cent or "percent" not in leaf.key) and _owned(said, leaf, number) and _read_then(said, number, leaf)
    ]  # fmt: skip
    more, less = _MORE.search(rest[: number.start]), _LESS.search(rest[: number.start])
    if (more or less) and not any(leaf.key == "threshold" for leaf, _ in may_be):
        return _bounds(number, may_be, more, less)
    return frozenset(leaf.evidence for leaf, v in may_be if _prints(said, number, leaf, v))


def _ends(number: Number, rest: str) -> bool:
    """Whether nothing follows a number that would say what it counts."""
    return not number.noun and re.match(r"\s*(?:%|percent)?\s*(?:[.,;)\]]|$)", rest[number.end :]) is not None


_TOLD_PLAINLY = frozenset(("during", "peak", "mean", "score", "max_score", "entity_score", "threshold", "median_score"))


def _free(said: Utterance, number: Number, rest: str) -> frozenset[str]:
    """The evidence that has a number of which the words around say too little: in its unit, of its owner, and in no role but the told one.

    A count needs the noun of what it counts, a plain number its decimals; what is usual, lowest or before is never told without a word.
    """
    if (
        _MORE.search(rest[: number.start])
        or _LESS.search(rest[: number.start])
        or (number.noun and number.unit not in ("%", "percent"))
    ):
        return frozenset()
    role = role_of(said, number)
    a, b = said.labelled(number.start)
    flagged = ABNORMAL.search(said.bare[a:b]) is not None

    named = (
        re.match(r"\s*(?:%|percent)\s*(?:(?:is|are|was) the\b|(?:sure|certain|confiden))", rest[number.end :], re.I) is not None
    )

    def fits(leaf: Leaf) -> bool:
        if number.unit in ("%", "percent"):
            kept = ("percent" in leaf.key or leaf.key == "area_share") and not named
            return kept and (role is None or role(leaf) or (flagged and leaf.key in ("abnormal_percent", "flagged_percent")))
        if leaf.key == "severity_score":
            return number.unit == "" and role is not None and role(leaf)
        if leaf.key.endswith("_each"):
            return number.unit in ("", "times") and role is None
        if leaf.key in _TOLD_PLAINLY or (role is not None and role(leaf)):
            return number.unit == unit_of(leaf) and "." in number.digits and (role is None or role(leaf))
        return False

    return _support(said, number, rest, fits)


def _word_for_word(said: Utterance, number: Number) -> frozenset[str]:
    """The evidence in whose tools' texts a number stands with the same word after it: "5 robust deviations"."""
    following = re.match(r"\s+([a-z]{4,})", said.text[number.end :])
    if following is None:
        return frozenset()
    phrase = re.compile(rf"(?<![\w.]){re.escape(number.digits)} {following[1]}\b")
    return frozenset(leaf.evidence for leaf, text in said.facts.told if leaf.key != "did" and phrase.search(text))


def _port(said: Utterance, number: Number) -> frozenset[str]:
    """The evidence in which an address that is named has the port that a number gives."""
    if not re.search(r"\bport\s*$", said.bare[: number.start]):
        return frozenset()
    hosts = [m.name.casefold() for m in said.mentions if re.fullmatch(r"\d{1,3}(?:\.\d{1,3}){3}", m.name)]
    return frozenset(
        leaf.evidence for leaf, text in said.facts.texts for host in hosts if f"{host}:{number.digits}" in text.split()
    )


def _bounds(
    number: Number, may_be: Sequence[tuple[Leaf, float]], more: re.Match[str] | None, less: re.Match[str] | None
) -> frozenset[str]:
    """The evidence of which every value that is meant lies beyond the bound."""
    word = (more or less or [""])[0].lower()
    even = word.startswith(("at least", "no ", "up to", "within"))

    def beyond(value: float) -> bool:
        if word.startswith("up to"):  # the most there is
            return value == number.value
        return (value > number.value if more else value < number.value) or (even and value == number.value)

    return frozenset(
        leaf.evidence for leaf, _ in may_be if all(beyond(v) for other, v in may_be if other.evidence == leaf.evidence)
    )


def _text(number: Number) -> str:
    return f"{number.digits} {number.unit or number.noun}".strip()


def _type(number: Number) -> str:
    if number.noun or follows_freely(number.unit):
        return number.noun or "number"
    return "%" if number.unit == "percent" else number.unit or "number"


def _owned(said: Utterance, leaf: Leaf, number: Number) -> bool:
    """A value of one channel or process does not speak for another."""
    if leaf.key in ("lowest", "highest") and _of_a_time(said, leaf):
        return False
    if leaf.key in ("row", "first_row", "last_row"):
        return row_told(said, leaf, number.start)
    if not leaf.owner:
        return True
    kind = "entity" if leaf.key.endswith("_each") else "channel"
    named = said.owner(number.start, number.end, ("entity", "channel", "source") if kind == "entity" else ("channel",))
    if not named:
        main = said.facts.main(leaf.evidence)
        return kind == "channel" and leaf.owner == (main or leaf.owner)
    names = {n.casefold() for n in named} | {n.casefold().rpartition(":")[0] for n in named if re.search(r":\d+$", n)}
    return any(leaf.owner == n or leaf.owner.casefold().endswith(n) for n in names)


def _of_a_time(said: Utterance, leaf: Leaf) -> bool:
    """Whether the extremes of the whole recording stand in the evidence of one time of it, and the sentence speaks of that time."""
    return any(e.id == leaf.evidence and e.tool == "lookup_time" for e in said.facts.evidence) and not re.search(
        r"\b(?:recording|overall|whole|file|series|altogether)\b", said.bare, re.I
    )


def _prints(said: Utterance, number: Number, leaf: Leaf, value: float) -> bool:
    """Whether `value`, printed with the digits of the number, is the number."""
    if number.unit in ("%", "percent") and "percent" not in leaf.key:
        value *= 100
    signed = number.value < 0
    if signed != (value < 0) and (signed or leaf.key in ("deviations", "score", "times_threshold")):
        return False
    size, target = abs(value), abs(number.value)
    mantissa = number.digits.lower().split("e")[0]
    decimals = len(mantissa.split(".")[1]) if "." in mantissa else 0
    whole = decimals > 0 or size == round(size) or size >= 20 or number.unit in ("%", "percent")
    if "e" not in number.digits.lower() and abs(size - target) <= 0.5 * 10.0**-decimals + 1e-9 and whole:
        return True
    digits = len(mantissa.replace(".", "").strip("0")) or 1
    hedged = any(w in _HEDGES for w in said.before(number.start, 2))
    printed = float(f"{size:.{max(digits, 1)}g}") == target
    return printed and ("e" in number.digits.lower() or (hedged and size >= 1) or (decimals > 0 and size < 1))
