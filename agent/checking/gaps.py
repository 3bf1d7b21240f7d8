"""How long after one thing another happened: between two moments of which a sentence speaks, or two steps of a timeline."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.checking.facts import Leaf
from agent.checking.utterance import Utterance

SECONDS = {
    "s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1, "ms": 0.001, "milliseconds": 0.001, "min": 60, "mins": 60,
    "minute": 60, "minutes": 60, "h": 3600, "hr": 3600, "hrs": 3600, "hour": 3600, "hours": 3600, "d": 86400, "day": 86400,
    "days": 86400, "week": 604800, "weeks": 604800,
}  # fmt: skip
GAP = re.compile(r"^\s*(?:later|earlier|before|after|ago|apart|afterwards|previously|from now)\b", re.I)


def gap_claimed(said: Utterance, at: int, end: int, value: float, unit: str, decimals: int, hedged: bool) -> frozenset[str]:
    """The evidence with two moments of which the sentence speaks that lie that far apart; how long one waits for the other."""
    waits = frozenset(item for item, gap in _waits(said, at, end) if _apart(value, gap, unit, decimals, hedged))
    if waits or any(leaf.key == "lag_s" for leaf in said.facts.leaves):
        return waits
    times = sorted((since, leaf.evidence, clock) for leaf, since, clock in said.facts.moments if _may_part(said, leaf))
    for i, (a, left, a_clock) in enumerate(times):
        for b, right, b_clock in times[i + 1 :]:
            days = (b_clock // 86_400 - a_clock // 86_400) * 86_400 if a_clock is not None and b_clock is not None else b - a
            if b > a and (
                _apart(value, b - a, unit, decimals, hedged) or (SECONDS[unit] >= 86_400 and days == value * SECONDS[unit])
            ):
                return frozenset({left, right})
    return frozenset()


def _waits(said: Utterance, at: int, end: int) -> Iterator[tuple[str, float]]:
    """(evidence, seconds) between steps of a timeline, where the sentence names the two in their order or names none."""
    text = said.text.lower().replace("_", " ")
    for item in said.facts.evidence:
        groups: Any = item.facts.get("groups")
        for steps in groups or ():
            words = [_step_words(step) for step in steps]
            marks = sorted((m.start(), k) for k, own in enumerate(words) for w in own - frozenset[str]().union(*words[:k], *words[k + 1 :])
                           for m in re.finditer(rf"\b{w}", text))  # fmt: skip
            ahead, behind = [k for p, k in marks if p < at], [k for p, k in marks if p >= end]
            for k, step in enumerate(steps):
                if isinstance(step.get("lag_s"), int | float) and _in_order(text[end:].split()[:1], ahead, behind, k):
                    yield item.id, float(step["lag_s"])


def _in_order(word: Sequence[str], ahead: Sequence[int], behind: Sequence[int], later: int) -> bool:
    """Whether steps named before and behind a length stand as "X so long after Y", "so long after Y, X" or "so long later, X"."""
    told = (word or [""])[0].strip(",.")
    if told in ("after", "before"):
        other = behind[0] if behind else None
        subject = ahead[-1] if ahead else next((k for k in behind if k != other), None)
        subject, other = (subject, other) if told == "after" else (other, subject)
        return subject in (later, None) and other in (later - 1, None)
    subject = behind[0] if behind else ahead[-1] if ahead else None
    return subject in (later, None)


def _step_words(step: Mapping[str, Any]) -> frozenset[str]:
    """The words by which a sentence may name a step of a timeline."""
    name, _, ending = str(step.get("source", "")).rpartition(".")
    kind = {"jsonl": "log", "mp4": "video clip", "csv": "series"}.get(ending, "")
    told = f"{name} {step.get('label', '')} {kind} {step.get('did', '')}".lower().replace("_", " ")
    return frozenset(w for w in re.findall(r"[a-z]{3,}", told) if w not in ("and", "the", "unusual", "ending", "exe"))


def _may_part(said: Utterance, leaf: Leaf) -> bool:
    """Whether a length between two things may be measured from a moment: of a finding, of a row or of a channel that is named."""
    named = {m.name for m in said.mentions if m.type == "channel"}
    if leaf.key == "did_s":
        lines = {m.name.casefold() for m in said.mentions if m.type == "entity"}
        return any(n in leaf.owner.casefold() for n in lines)
    looked_up = any(e.id == leaf.evidence and e.tool.startswith(("lookup_", "context_")) for e in said.facts.evidence)
    if leaf.owner:
        return (leaf.key == "peak_s" or looked_up) and leaf.owner in named
    if looked_up and leaf.evidence not in said.facts.findings:
        return leaf.key in (("lead_s",) if any(other.key == "lead_s" for other in said.facts.leaves) else ("start_s", "end_s"))
    main = said.facts.main(leaf.evidence)
    if leaf.key == "peak_s" and main and named and main not in named:
        return False
    return leaf.key in ("start_s", "end_s", "peak_s") and leaf.evidence in said.facts.findings


def _apart(claimed: float, gap: float, unit: str, decimals: int, hedged: bool) -> bool:
    return same(claimed, gap / SECONDS[unit], decimals) or (hedged and abs(gap / SECONDS[unit] - claimed) <= 0.05 * claimed)


def same(claimed: float, value: float, decimals: int) -> bool:
    """Whether a value, printed with so many decimals, is what was claimed.

    >>> same(4.5, 4.46, 1), same(4.5, 4.4, 1)
    (True, False)
    """
    return abs(claimed - value) <= 0.5 * 10.0**-decimals * (1 if decimals or value >= 10 else 0.02) + 1e-9
