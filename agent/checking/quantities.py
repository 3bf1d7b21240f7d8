"""Numbers of a sentence other than times, held against the facts by what they count or measure, by role and by owner.

A number is first read for what it is: a per cent, a multiple, a grade out of a hundred, a row, an edge of a box, a measured value with
its unit, or a count of the things that the next noun names. Only facts of that sort can bear it out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agent.checking.claims import Claim
from agent.checking.facts import Leaf
from agent.checking.measures import ABNORMAL, COUNTED, NORMAL, NOUNS, Keys, keys
from agent.checking.roles import Number, follows_freely, percent_facts, plays_in, role_of, unit_of
from agent.checking.times import row_told
from agent.checking.utterance import Utterance

_NUMBER = re.compile(
    r"(?<![\w.])(?P<sign>[-−+](?=\d))?(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:e[-+]?\d+)?)(?!\d|\.\d)", re.I
)
_UNIT = re.compile(r"\s?(%|×|percent\b|[A-Za-zµ°]{1,3}[²³23]?/[A-Za-z]{1,3}[²³23]?|°\s?[CF]?|[A-Za-zµ]+[²³]?)")
_UNIT_WORDS = {
    "millimetres per second": "mm/s", "millimeters per second": "mm/s", "cubic metres per hour": "m3/h", "cubic meters per hour": "m3/h",
    "degrees celsius": "°c", "degrees": "°c", "amps": "a", "amperes": "a", "ampere": "a", "volts": "v", "watts": "w", "bars": "bar",
}  # fmt: skip
_MEASURED = re.compile(r"\d+\s*(?:by|x|×)\s*\d+\s*(?:px|pixels?)", re.I)
_HEDGES = frozenset(("about", "around", "roughly", "approximately", "nearly", "almost", "some", "~", "over", "circa"))
_MORE = re.compile(
    r"\b(more than|over|above|at least|no fewer than|exceed\w*|beyond|higher than|greater than|stronger than)\s+$", re.I
)
_LESS = re.compile(r"\b(less than|fewer than|under|below|up to|no more than|within|lower than|smaller than)\s+$", re.I)


def quantity_claims(said: Utterance, rest: str) -> list[Claim]:
    """The claims of the numbers in `rest`, the sentence without what is checked elsewhere."""
    numbers = list(_numbers(said, rest))
    claims: list[Claim] = []
    previous: Keys | None = None
    for i, number in enumerate(numbers):
        listed = i > 0 and re.fullmatch(r"[\s,&]*(?:and|or|to|–|-)?\s*", rest[numbers[i - 1].end : number.start])
        later = numbers[i + 1] if i + 1 < len(numbers) else None
        of_next = (
            later is not None
            and re.fullmatch(r"\s*(?:out\s+)?of\s+(?:the\s+|all\s+)?", rest[number.end : later.start]) is not None
        )
        test = previous if listed and previous is not None else None
        if test is None:
            test = _sort(said, number, rest, later if of_next else None, numbers[i - 1] if i else None)
        if listed and number.value in [n.value for n in numbers[:i]] and _row_before(said, numbers[0], rest):
            test = keys()  # a row told twice in one list
        per_cent = number.unit in ("%", "percent")
        may_be = [
            (leaf, v) for leaf, v in said.facts.numbers
            if test(leaf) and (per_cent or "percent" not in leaf.key) and _owned(said, leaf, number)
        ]  # fmt: skip
        support = frozenset(leaf.evidence for leaf, v in may_be if _prints(said, number, leaf, v))
        more, less = _MORE.search(rest[: number.start]), _LESS.search(rest[: number.start])
        if (more or less) and not any(leaf.key == "threshold" for leaf, _ in may_be):
            support = _bounds(number, may_be, more, less)
        claims.append(Claim(start=number.start, end=number.end, type=_type(number), text=_text(number), support=support))
        strict = _row_before(said, number, rest)
        previous = test if strict or (listed and previous is not None) else None
    return claims


def _bounds(
    number: Number, may_be: Sequence[tuple[Leaf, float]], more: re.Match[str] | None, less: re.Match[str] | None
) -> frozenset[str]:
    """The evidence of which every value that is meant lies beyond the bound."""
    word = (more or less or [""])[0].lower()
    even = word.startswith(("at least", "no ", "up to", "within"))

    def beyond(value: float) -> bool:
        return (value > number.value if more else value < number.value) or (even and value == number.value)

    return frozenset(
        leaf.evidence for leaf, _ in may_be if all(beyond(v) for other, v in may_be if other.evidence == leaf.evidence)
    )


def _numbers(said: Utterance, rest: str) -> Iterator[Number]:
    for match in _NUMBER.finditer(rest):
        tail = rest[match.end() :]
        low = tail.lower().lstrip()
        unit = next((u for words, u in _UNIT_WORDS.items() if low.startswith(words)), "")
        found = _UNIT.match(tail)
        if not unit and found:
            unit = found[1].lower().replace("³", "3").replace("²", "2").replace(" ", "")
        words = [w.lower() for w in re.findall(r"[A-Za-z]+|[^\w\s]", tail)[:4]]
        ends = next(
            (k for k, w in enumerate(words) if w in "of,;.:()[]" or w in ("and", "with", "by", "in", "to", "at", "is", "are")), 4
        )
        noun = next((NOUNS[w] for w in words[: max(ends, 0)] if w in NOUNS), "")
        value = float(match["digits"].replace(",", "")) * (-1 if match["sign"] in ("-", "−") else 1)
        yield Number(match.start(), match.end(), match["digits"].replace(",", ""), value, unit, noun)


def _text(number: Number) -> str:
    return f"{number.digits} {number.unit or number.noun}".strip()


def _type(number: Number) -> str:
    if number.noun or follows_freely(number.unit):
        return number.noun or "number"
    return "%" if number.unit == "percent" else number.unit or "number"


def _sort(said: Utterance, number: Number, rest: str, of_next: Number | None, left: Number | None) -> Keys:
    """Which facts a number may be."""
    a, b = said.clause(number.start)
    here = said.bare[a:b]
    known = {unit_of(leaf) for leaf in said.facts.leaves if leaf.unit}
    if _row_before(said, number, rest):
        return lambda leaf: leaf.key in ("row", "first_row", "last_row")
    edge = _edge(number, rest)
    if edge and number.unit not in ("", "px", "pixel", "pixels") and not follows_freely(number.unit):
        return lambda leaf: False
    if edge:
        return keys(*edge)
    if re.match(r"\s*(?:by|x|×)\s*\d+\s*(?:px|pixels?)?", rest[number.end :]) and _MEASURED.search(rest):
        return keys("width")
    if number.unit in ("%", "percent"):
        return percent_facts(said, number, rest)
    if number.unit in ("×", "x", "times", "fold"):
        return keys("times_threshold", "ratio")
    if number.unit in ("px", "pixel", "pixels"):
        return keys("height") if re.search(r"\d\s*(?:by|x|×)\s*$", rest[: number.start]) else keys("width", "height")
    if re.match(r"\s*(?:fps|hz|frames? (?:per|a) second)", rest[number.end :], re.I):
        return keys("fps")
    if re.search(r"\bat most\s+$", rest[: number.start], re.I) and number.noun in ("", "person"):
        return keys("most")
    ranged = re.search(r"\bbetween\s+[\d.,]+\s*\S*\s*and\s*$", rest[: number.start], re.I)
    if ranged:
        return lambda leaf: (
            leaf.key in ("max", "highest", "peak") and unit_of(leaf) == (number.unit if number.unit in known else "")
        )
    if number.unit == "and" and re.search(r"\bbetween\s*$", rest[: number.start], re.I):
        return lambda leaf: leaf.key in ("min", "lowest", "before") and leaf.unit != ""
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
    if of_next is not None and of_next.noun:
        part = {"frame": keys("with"), "photo": keys("flagged_total") if not NORMAL.search(here) else keys("ordinary")}
        return part.get(of_next.noun, keys("flagged_total", "findings_total", "in_findings"))
    if number.noun == "photo":
        total = before in (["of"], ["the"], ["all"], ["among"]) and (left is not None or before == ["of"])
        if total:
            return keys("photos")
        if ABNORMAL.search(here):
            return keys("flagged_total")
        return keys("ordinary", "normal_photos") if NORMAL.search(here) else keys("photos")
    if number.noun == "frame" and left is not None and re.search(r"\bof\s+(?:the\s+)?$", rest[: number.start]):
        return keys("looked_at")
    if number.noun == "row" and ABNORMAL.search(here):
        return keys("abnormal_rows", "flagged_total")
    if number.noun == "event" and ABNORMAL.search(here):
        return keys("findings_total", "flagged_total")
    if number.noun:
        return COUNTED[number.noun]
    return _bare(said, number, rest, left)


def _bare(said: Utterance, number: Number, rest: str, left: Number | None) -> Keys:
    """A number with neither a unit nor a noun: by the word before it, by what it continues, or a count of a name in brackets."""
    after = said.after(number.end, 2)
    word = number.unit
    if re.search(r"\(\s*$", rest[: number.start]) and re.match(r"\s*\)", rest[number.end :]):
        return lambda leaf: leaf.key.endswith("_each")
    counts = "." not in number.digits and (left is not None or not said.before(number.start, 1))
    if after[:2] == ["of", "them"] or (counts and after[:1] in (["are"], ["is"], ["were"], ["look"], ["stand"], ["belong"])):
        if re.search(r"\bby\b", " ".join(said.after(number.end, 4))):
            return lambda leaf: leaf.key.endswith("_each")
        return lambda leaf: (
            leaf.key in ("flagged_total", "in_findings", "ordinary") if leaf.key != "ordinary" else bool(NORMAL.search(said.bare))
        )
    if re.search(r"\bof (?:the|all)\s+$", rest[: number.start], re.I) and not word.strip("."):
        return keys("findings_total")
    role = role_of(said, number)
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
    letter = re.search(r"\b([xy])\s*=?\s*([01])?\s*(?:=|:)?\s*(?:(\d+(?:\.\d+)?)\s*(?:to|–|-|and)\s*)?$", head, re.I)
    if letter:
        axis = letter[1].lower()
        far = letter[3] is not None or letter[2] == "1" or re.search(r"\bto\s+[xy]\s*\d*(?:\.\d+)?,?\s*(?:[xy]\s*)?$", head, re.I)
        near = not far and re.search(r"\bto\b", head[max(0, letter.start() - 4) :]) is None
        return (f"box_{axis}0",) if near else (f"box_{axis}1",)
    inside = re.search(r"[(\[]\s*((?:\d+(?:\.\d+)?\s*,\s*){0,3})$", head)
    whole = inside and re.match(r"\s*\d*(?:\.\d+)?(?:\s*,\s*\d+(?:\.\d+)?){0,3}\s*[)\]]", rest[number.end :])
    if inside and whole:
        values = re.findall(r"\d+(?:\.\d+)?", inside[1])
        later = re.findall(r"\d+(?:\.\d+)?", re.split(r"[)\]]", rest[number.end :])[0])
        if len(values) + len(later) == 3:
            return (("box_x0", "box_y0", "box_x1", "box_y1")[len(values)],)
    return ()


def _row_before(said: Utterance, number: Number, rest: str) -> bool:
    return re.search(r"\brows?\s*(?:number\s*|no\.?\s*|#)?$", rest[: number.start], re.I) is not None


def _owned(said: Utterance, leaf: Leaf, number: Number) -> bool:
    """A value of one channel or process does not speak for another."""
    if leaf.key in ("row", "first_row", "last_row"):
        return row_told(said, leaf, number.start)
    if not leaf.owner:
        return True
    kind = "entity" if leaf.key.endswith("_each") else "channel"
    named = said.owner(number.start, number.end, ("entity", "channel", "source") if kind == "entity" else ("channel",))
    if not named:
        main = said.facts.main(leaf.evidence)
        return kind == "channel" and leaf.owner == (main or leaf.owner)
    return any(leaf.owner == n or leaf.owner.casefold().endswith(n.casefold()) for n in named)


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
    if "e" not in number.digits.lower() and abs(float(f"{size:.{decimals}f}") - target) < 1e-9:
        return decimals > 0 or size == round(size) or size >= 20 or number.unit in ("%", "percent")
    digits = len(mantissa.replace(".", "").strip("0")) or 1
    hedged = any(w in _HEDGES for w in said.before(number.start, 2))
    printed = float(f"{size:.{max(digits, 1)}g}") == target
    return printed and ("e" in number.digits.lower() or (hedged and size >= 1) or (decimals > 0 and size < 1))
