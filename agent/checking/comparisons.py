"""What a sentence compares: which of two is more, which of all is most, which is first, how many times or which part.

A word that compares is resolved into the things it compares and what they are compared by; both must be in the evidence, and the
values must stand to each other as the sentence says. A comparison that cannot be resolved claims something nobody measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from agent.checking.amounts import multiples, parts
from agent.checking.claims import Claim
from agent.checking.facts import Facts
from agent.checking.order import first
from agent.checking.phrases import phrases
from agent.checking.things import COMPARED, ORDINALS, Thing, compared, measure_of, things_of, value_of
from agent.checking.utterance import IN_PICTURE, Utterance

_ORDINAL = re.compile(
    rf"(?:\b(?:the|its|this|c[oa]mes?|came|is|was|ranks?|ranked|happen(?:s|ed)|start(?:s|ed)|beg[ia]ns?)\s+|^\W*|{'▪'}[\s,]*)"
    rf"({'|'.join(ORDINALS)}|last|\d+(?:st|nd|rd|th))\b"
    r"(?!\s+(?:seconds?|minutes?|events?\b|connections?\b|"
    r"hours?|days?|rows?|to\b|time|readings?|step|half|values?|score|with access|▪))(?=\s|[,;:.]|$)",
    re.IGNORECASE,
)
_OWN_WORDS = phrases("compared elsewhere")
"""Comparisons that other readers judge: with a number, with the threshold, with what is usual."""
_THAN = re.compile(r"\b(\w+er)\s+than\b", re.I)


def comparison_claims(said: Utterance) -> list[Claim]:
    """The claims of a part of a sentence that one thing is more than another, the most, so many times or such a part of it."""
    return [*_compared(said), *_ordinals(said), *multiples(said), *parts(said), *_looks(said)]


def _compared(said: Utterance) -> Iterator[Claim]:
    things = things_of(said)
    skipped = [m.span() for m in _OWN_WORDS.finditer(said.bare)]
    for match in COMPARED.finditer(said.bare):
        if any(a <= match.start() < b for a, b in skipped) or (
            (match["formed"] or "").lower() in ("later", "earlier") and _gap_before(said, match)
        ):
            continue
        by, way, superlative = measure_of(said, match)
        superlative = superlative or re.search(r"\bthe\s+$", said.bare[: match.start()], re.I) is not None
        than = re.search(r"\bthan\b", said.bare[match.end() :])
        against = re.match(r"\W*compared (?:with|to)\b[^,]*,", said.bare, re.I)
        if against and not than:
            other = [t for t in things if t.end <= against.end()]
            mine = [t for t in things if against.end() <= t.start <= match.start()]
            holds, problem = _more_of(said, [*mine], [*other], by, way)
            yield compared(said, match, "comparison", holds, problem)
            continue
        if than and not re.search(r"[;.]\s", said.bare[match.end() : match.end() + than.start()]):
            at = match.end() + than.start()
            holds, problem = _more(said, things, match, at, by, way)
        elif superlative or re.search(
            r"\bof (?:the |these |both )?(?:2|two|findings)\b|\bof (?:both|them)\b|\bone\b", said.bare[match.end() :], re.I
        ):
            if any(t.start <= match.start() and match.end() <= t.end for t in things):
                yield compared(said, match, "rank", True, "")  # "the earlier finding" only names it
                continue
            if _of_values(said, match):
                continue
            holds, problem = _most(said, things, match, by, way)
        elif any(t.start <= match.start() and match.end() <= t.end for t in things):
            holds, problem = True, ""
        else:
            holds, problem = (
                _less_than_the_main(said, things, by, way) or _than_the_other(said, things, match, by, way),
                f"{match.group()!r}: it compares what the evidence does not compare",
            )
        yield compared(said, match, "comparison", holds, problem)


def _looks(said: Utterance) -> Iterator[Claim]:
    """Darker, rounder than what surrounds it: only as the evidence describes it, or as the model's own view."""
    known = {match.group().lower() for match in COMPARED.finditer(said.bare)}
    for match in () if IN_PICTURE.search(said.text) else _THAN.finditer(said.bare):
        if match[1].lower() not in known and match[1].lower() not in ("other", "rather", "either", "whether"):
            yield compared(
                said, match, "look", match[1].lower() in said.facts.vocabulary, f"the evidence does not call it {match[1]!r}"
            )


def _gap_before(said: Utterance, match: re.Match[str]) -> bool:
    """Whether a length stands before "later": its own reader holds it against the times."""
    return re.search(r"\d[\s-]*[A-Za-z]+\s*$", said.bare[: match.start()]) is not None


def _of_values(said: Utterance, match: re.Match[str]) -> bool:
    """Whether "highest" or "lowest" speaks of a reading whose number or time stands beside it and is held against the facts."""
    _, b = said.clause(match.start())
    near = said.bare[match.start() : b + 40]
    readings = re.match(r"(?:highest|lowest|strongest|strangest)\b", match.group(), re.I) is not None
    things = [t for t in things_of(said) if t.type in ("finding", "entity", "part")]
    return readings and re.search(r"\d", near) is not None and not things


def _more(said: Utterance, things: Sequence[Thing], match: re.Match[str], than: int, by: str, way: int) -> tuple[bool, str]:
    """Whether what stands before "than" is more than what stands behind it."""
    facts, other = said.facts, "it compares what the evidence does not compare"
    right = [t for t in things if t.start > than]
    right = [t for t in right if not re.search(r"[;]|\.\s", said.bare[than : t.start])]
    between = [t for t in things if match.end() <= t.start < than]
    ahead = [t for t in things if t.end <= match.start()]
    if (right and right[0].type == "phase") or (not right and re.match(r"than\W*(?:usual|normal)", said.bare[than:], re.I)):
        return _phases(said, [*ahead, *between], right, way, match), f"{match.group()!r}: the evidence does not show it"
    if not right and re.match(r"than (?:the|its) (?:other|rest)\b", said.bare[than:], re.I):
        others = sorted(facts.findings - {t.name for t in ahead})
        right = [Thing(than, than, "finding", others[0])] if len(others) == 1 else []
    if not right:
        return False, other
    kind = right[0].type
    left = [t for t in (*between, *reversed(ahead)) if t.type == kind]
    within = next((t.name for t in (*between, *ahead) if t.type == "finding"), "") if kind == "channel" else ""
    if not left:
        return False, other
    a, b = value_of(facts, left[0], by, within), value_of(facts, right[0], by, within)
    if a is None or b is None or (kind in ("channel", "part", "entity") and by not in ("share", "size", "")):
        return False, "it compares what the evidence does not measure"
    return (a - b) * way > 0, "the evidence has it the other way round"


def _less_than_the_main(said: Utterance, things: Sequence[Thing], by: str, way: int) -> bool:
    """Whether channels that contribute less are all others than the one that contributes most."""
    shares = [v for leaf, v in said.facts.numbers if leaf.key == "shares_percent"]
    mine = [value_of(said.facts, t, "share") for t in things if t.type == "channel"]
    return by == "share" and way < 0 and bool(mine) and all(v is not None and v < max(shares, default=0.0) for v in mine)


def _than_the_other(said: Utterance, things: Sequence[Thing], match: re.Match[str], by: str, way: int) -> bool:
    """Whether one of two findings, both cited, is more than the other, where only the one is named."""
    a, _ = said.clause(match.start())
    ahead = [t for t in things if t.type == "finding" and t.end <= match.start()]
    subject = next((t for t in reversed(ahead) if t.start >= a), ahead[0] if ahead else None)
    others = said.facts.findings - {subject.name} if subject else frozenset()
    if subject is None or len(others) != 1 or subject.name not in said.facts.findings:
        return False
    return _more_of(said, [subject], [Thing(0, 0, "finding", next(iter(others)))], by, way)[0]


def _more_of(said: Utterance, left: Sequence[Thing], right: Sequence[Thing], by: str, way: int) -> tuple[bool, str]:
    """Whether the first of some things is more than the first of others of its sort."""
    pair = next(((a, b) for b in right for a in left if a.type == b.type), None)
    values = [value_of(said.facts, thing, by) for thing in pair] if pair else [None, None]
    if values[0] is None or values[1] is None:
        return False, "it compares what the evidence does not measure"
    return (values[0] - values[1]) * way > 0, "the evidence has it the other way round"


def _phases(said: Utterance, ahead: Sequence[Thing], right: Sequence[Thing], way: int, match: re.Match[str]) -> bool:
    """Whether a channel was higher or lower in one phase of a finding than in another."""
    owners = [t.name for t in ahead if t.type == "channel"] or [said.facts.main(i) for i in said.facts.findings]
    then = next((t.name for t in ahead if t.type == "phase"), "during")
    if not re.match(r"(?:high|low|great|larg|strong|weak|small|more|less)", match.group(), re.I) or not owners:
        return False
    base = right[0].name if right else "before"
    values = {(leaf.owner, leaf.key, leaf.evidence): v for leaf, v in said.facts.numbers}
    for item in said.facts.ids:
        here = values.get((owners[-1], then, item)), values.get((owners[-1], "before" if base == "usual" else base, item))
        if here[0] is not None and here[1] is not None and (here[0] - here[1]) * way > 0:
            return True
    return False


def _most(said: Utterance, things: Sequence[Thing], match: re.Match[str], by: str, way: int) -> tuple[bool, str]:
    """Whether what the sentence names is the most of its sort."""
    facts = said.facts
    if by == "time" and (steps := _steps(said)):
        sources = {m.name for m in said.mentions if m.name in steps}
        hit = len(sources) == 1 and steps[next(iter(sources))] == (max if way > 0 else min)(steps.values())
        return hit, "the evidence has another step there"
    ahead = [t for t in things if t.end <= match.start() and t.type != "phase"]
    behind = [t for t in things if t.start >= match.end() and t.type != "phase"]
    problem = "the evidence cited has another rank"
    subject = next(iter([*reversed(ahead), *behind]), None)
    if subject is None or (by in ("score", "severity", "length", "time", "confidence") and subject.type != "finding"):
        items = sorted(facts.items)
        subject = Thing(0, 0, "finding", items[0]) if len(items) == 1 else None
    if by in ("share", "") and ahead and ahead[-1].type == "finding" and behind and behind[0].type != "finding":
        subject = behind[0]
    if by == "share" and subject is not None and subject.type == "finding":
        named = [t for t in (*reversed(ahead), *behind) if t.type in ("channel", "part", "entity")]
        subject = named[0] if named else None
    if subject is None:
        return False, problem
    if subject.type == "finding":
        return _first_of_findings(facts, subject.name, by, way), problem
    if subject.type == "part":
        rivals = [v for leaf, v in facts.numbers if leaf.key in ("motion_percent", "appearance_percent")]
    elif subject.type == "channel":
        within = next((t.name for t in things if t.type == "finding"), "") or next(iter(sorted(facts.findings)), "")
        rivals = [v for leaf, v in facts.numbers if leaf.key == "shares_percent" and leaf.evidence == within]
        value = value_of(facts, subject, by, within)
        nth = re.search(r"\b(second|third)\s+$", said.bare[: match.start()], re.I)
        order = sorted(rivals, reverse=way > 0)
        place = ORDINALS.index(nth[1].lower()) if nth else 0
        return value is not None and len(order) > place and value == order[place], problem
    else:
        key = next(
            (leaf.key for leaf in facts.leaves if leaf.key.endswith("_each") and leaf.owner.casefold().endswith(subject.name)), ""
        )
        rivals = [v for leaf, v in facts.numbers if leaf.key == key]
    value = value_of(facts, subject, by)
    return value is not None and bool(rivals) and value == (max(rivals) if way > 0 else min(rivals)), problem


def _steps(said: Utterance) -> dict[str, float]:
    """When each file of a timeline first shows something."""
    found: dict[str, float] = {}
    for item in said.facts.evidence:
        groups: Any = item.facts.get("groups")
        for step in (step for steps in groups or () for step in steps):
            found[step["source"]] = min(step["start_s"], found.get(step["source"], step["start_s"]))
    return found


def _first_of_findings(facts: Facts, item: str, by: str, way: int) -> bool:
    """Whether a finding is the most: by its rank, or among all findings where all are cited."""
    rank = next((v for leaf, v in facts.numbers if leaf.evidence == item and leaf.key == "rank"), None)
    totals = [v for leaf, v in facts.numbers if leaf.key in ("findings_total", "flagged_total")]
    if by in ("", "score", "share") or (by == "severity" and len(facts.findings) < 2):
        return (
            item in facts.findings
            and rank is not None
            and rank == (1 if way > 0 else max(totals, default=0))
            and (way > 0 or rank > 1)
        )
    values = {i: v for i in facts.items if (v := value_of(facts, Thing(0, 0, "finding", i), by)) is not None}
    known = len(values) > 1 and (not totals or len(values) >= max(totals))
    unique = sum(v == values.get(item) for v in values.values()) == 1
    return known and unique and item in values and values[item] == (max(values.values()) if way > 0 else min(values.values()))


def _ordinals(said: Utterance) -> Iterator[Claim]:
    """First, second, last: by rank, or by time among the findings that are cited."""
    facts = said.facts
    ranks = {leaf.evidence: v for leaf, v in facts.numbers if leaf.key == "rank" and leaf.evidence in facts.items}
    totals = [v for leaf, v in facts.numbers if leaf.key in ("findings_total", "flagged_total")]
    things = things_of(said)
    values = {leaf.key for leaf in facts.leaves} & {"first", "last"}
    for match in _ORDINAL.finditer(said.bare):
        word = match[1].lower()
        if COMPARED.match(said.bare[match.end() :].lstrip()):
            continue  # the second largest
        if word in values and re.search(r"\d", said.bare[match.end() : match.end() + 60]):
            continue  # the first reading: its number is held against the facts
        wanted = (
            ORDINALS.index(word) + 1
            if word in ORDINALS
            else max(totals, default=0)
            if word == "last"
            else int(re.sub(r"\D", "", word))
        )
        hit = {i for i, v in ranks.items() if v == wanted}
        starts = sorted((t, i) for i in facts.findings if (t := first(facts, i)) is not None)
        if len(starts) > 1 and wanted <= len(starts):
            hit |= {starts[int(wanted) - 1][1]}
        subject = [t.name for t in things if t.type == "finding" and t.end <= match.start(1)][-1:]
        if re.search(r"\b(?:ranks?|ranked|is|was|comes?|came)\s+$|▪[\s,]*$", said.bare[: match.start(1)], re.I) and subject:
            hit &= set(subject)
        yield compared(said, match, "ordinal", bool(hit), f"the evidence cited is not the {word}", frozenset(hit))
