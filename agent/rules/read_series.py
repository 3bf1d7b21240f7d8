"""Reading a definition about readings: which channel, compared with what, for how long, while what else holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent.question import SourceInfo
from agent.reading.channels import find_channels
from agent.reading.values import Comparison, find_comparison, same_unit
from agent.rules.conditions import How, Measure, SeriesCondition
from agent.rules.numbers import find_lasting, find_per, find_rows, find_within
from agent.rules.series_words import (
    BEFORE_UNIT,
    CHANGE,
    DERIVED,
    DOWNWARDS,
    EQUAL,
    FLAT,
    GAP,
    MACHINE,
    ON,
    QUANTITY_WORD,
    SPLIT,
    STATE,
    UPWARDS,
    channel_of,
    clean_words,
    not_derived,
    quantity_of,
    shown_unit,
    units_of,
)


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What was read of a body: conditions (any of them), words not understood, and notes."""

    conditions: tuple[SeriesCondition, ...] = ()
    missed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def about_series(body: str, sources: Sequence[SourceInfo] = ()) -> bool:
    """True when a definition compares readings, or speaks of a channel.

    >>> about_series("pressure above 7 bar"), about_series("people in the yard"), about_series("more than 3 people in the yard")
    (True, False, False)
    """
    info = _info(sources)
    change = CHANGE.search(body)
    if find_comparison(body, info) is not None or (
        change is not None and (QUANTITY_WORD.search(body) or _named(body, sources) or quantity_of(change["u"] or ""))
    ):
        return True
    if (GAP.search(body) or FLAT.search(body)) and (find_lasting(body) or find_rows(body)):
        return True
    main = SPLIT.split(body, maxsplit=1)[0]
    if (lasting := find_lasting(main)) is not None:
        main = f"{main[: lasting.a]} {main[lasting.b :]}"
    state = STATE.match(main.strip())
    if state is not None and MACHINE.search(state["x"]):
        return True
    return bool(QUANTITY_WORD.search(main) or _named(main, sources))


def read_series(body: str, *, sources: Sequence[SourceInfo] = ()) -> Heard:
    """Conditions of a definition about readings.

    >>> read_series("pressure above 7 bar for more than 10 seconds when the pump is off").conditions[0].when
    SeriesCondition(kind='series', channel='pump', measure='value', how='off', low=0.0, ...)
    >>> read_series("temperature rises faster than 3 °c per minute").conditions[0].measure
    'rise'
    """
    body = re.sub(r"\s*\bat the same (?:time|moment)\b|\bsimultaneously\b|\btogether\b", "", body)
    text, when, missed, notes = _when(body, sources)
    parts = _alternatives(text, sources)
    found: list[SeriesCondition] = []
    channel = ""
    for part in parts:
        condition, left, said = _one(part, sources, channel)
        notes += said
        if condition is None:
            missed += [left] if left else []
            continue
        channel = condition.channel
        missed += [left] if left else []
        found.append(condition)
    if " and " in text and len(found) > 1 and len(parts) == len(found) and not re.search(r"\bor\b", text):
        first, *others = found
        both = first.for_rows is not None and others[0].for_rows is not None
        if when is None and len(others) == 1 and others[0].for_s is None and not both:
            rows = first.for_rows or others[0].for_rows  # "a and b for 4 rows" means both at once, for 4 rows
            found = [first.model_copy(update={"for_rows": rows, "when": others[0].model_copy(update={"for_rows": None})})]
        else:
            missed.append(" and ".join(parts[1:]))
            found = [first]
    if when is not None:
        found = [c.model_copy(update={"when": when}) for c in found]
    return Heard(conditions=tuple(found), missed=tuple(dict.fromkeys(m for m in missed if m)), notes=tuple(dict.fromkeys(notes)))


def _info(sources: Sequence[SourceInfo]) -> SourceInfo:
    """All channels of the series in the chat as one, so that their units are known."""
    series = [s for s in sources if s.kind == "series"]
    channels = tuple(c for s in series for c in s.channels)[:500]
    units = tuple(u for s in series for u in s.units)[:500]
    return SourceInfo(name="series", kind="series", channels=channels, units=units)


def _named(text: str, sources: Sequence[SourceInfo]) -> bool:
    return any(find_channels(text, s).channels for s in sources if s.kind == "series")


def _when(body: str, sources: Sequence[SourceInfo]) -> tuple[str, SeriesCondition | None, list[str], list[str]]:
    """(main clause, the condition it depends on, words not understood, notes)."""
    leading = re.match(r"^(?P<w>when|while|if|whenever)\s+(?P<c>[^,]+),\s*(?P<m>.+)$", body)
    if leading is not None:
        word, clause, main = leading["w"], leading["c"], leading["m"]
    else:
        match = SPLIT.search(body)
        if match is None or not body[: match.start()].strip():
            return body, None, [], []
        word, clause, main = match["w"], body[match.end() :], body[: match.start()]
    for find in (find_lasting, find_rows):
        lasting = find(clause)
        if lasting is not None and find(main) is None:  # "… when the pump is off for more than 10 seconds"
            main = f"{main} {clause[lasting.a : lasting.b]}"
            clause = clause[: lasting.a] + clause[lasting.b :]
    condition, left, notes = _one(clause.strip(" ,."), sources, "")
    if condition is None:
        return main, None, [f"{word} {clause.strip()}"], []
    if word in ("unless", "except when", "except while"):
        opposite = _opposite(condition)
        if opposite is None:
            return main, None, [f"{word} {clause.strip()}"], []
        condition = opposite
    return main, condition, [left] if left else [], notes


_OPPOSITE: dict[How, How] = {
    "above": "at most", "at most": "above", "below": "at least", "at least": "below", "between": "outside", "outside": "between",
    "on": "off", "off": "on",
}  # fmt: skip


def _opposite(condition: SeriesCondition) -> SeriesCondition | None:
    if condition.how not in _OPPOSITE or condition.measure != "value":
        return None
    return condition.model_copy(update={"how": _OPPOSITE[condition.how]})


def _alternatives(text: str, sources: Sequence[SourceInfo]) -> list[str]:
    """Parts joined by "or" and "and" that each hold a comparison; "between 5 and 7" stays whole."""
    info = _info(sources)
    parts = [text]
    for joint in (r"\s*,?\s+or\s+", r"\s*,?\s+and\s+"):
        split = [p for part in parts for p in _cut(part, joint, info)]
        parts = split
    return parts


def _cut(text: str, joint: str, info: SourceInfo) -> list[str]:
    for match in re.finditer(joint, text):
        left, right = text[: match.start()], text[match.end() :]
        if _compares(left, info) and _compares(right, info):
            return [left, *_cut(right, joint, info)]
    return [text]


def _compares(text: str, info: SourceInfo) -> bool:
    bare = re.sub(r"\b(?:between|from|outside)\b.*$", "", text) if not re.search(r"\d.*\b(?:and|to)\b.*\d", text) else text
    return find_comparison(bare, info) is not None or STATE.match(text.strip()) is not None or CHANGE.search(bare) is not None


def _one(text: str, sources: Sequence[SourceInfo], inherited: str) -> tuple[SeriesCondition | None, str, list[str]]:
    """(condition, words left, notes) of one clause."""
    values: dict[str, Any] = {}
    left = text
    if (rows := find_rows(left)) is not None:
        values["for_rows"] = int(rows.value)
        left = left[: rows.a] + " " + left[rows.b :]
    change = CHANGE.search(left)
    if change is not None and (change["f"] or find_within(left) or find_per(left)):
        found = _changed(left, change, values, sources, inherited)
        if found is not None:
            return found
    if change is not None and not find_within(left) and not find_per(left) and not change["f"]:
        return None, " ".join(left.split()), ["A change needs a time: say “within 10 seconds” or “per minute”."]
    lasting = find_lasting(left)
    if lasting is not None:
        values |= {"for_s": lasting.value, "for_at_least": lasting.at_least}
        left = left[: lasting.a] + " " + left[lasting.b :]
    lasts: tuple[tuple[re.Pattern[str], Measure], ...] = ((GAP, "gap"), (FLAT, "flat"))
    for pattern, measure in lasts:
        match = pattern.search(left)
        if match is not None and "for_s" in values:
            rest = left[: match.start()] + " " + left[match.end() :]
            channel, rest = channel_of(
                re.sub(r"\b(?:from|in|of|for|on|by)\b", " ", rest), sources, "*" if measure == "gap" else inherited or "*"
            )
            return SeriesCondition(channel=channel, measure=measure, **values), rest, []
    comparison = find_comparison(left, _info(sources))
    if comparison is not None:
        return _compared(left, comparison, values, sources, inherited)
    state = STATE.match(" ".join(left.split()))
    if state is not None:
        channel, rest = channel_of(state["x"], sources, inherited)
        if channel:
            said = state["s"]
            how: How = "on" if said in ON else "off"
            return SeriesCondition(channel=channel, how=how, **values), rest, []
    equal = EQUAL.search(left)
    if equal is not None:
        channel, rest = channel_of(left[: equal.start()], sources, inherited)
        if channel:
            number = float(equal["n"].replace("−", "-"))
            unit = (equal["u"] or "").strip()
            return SeriesCondition(channel=channel, how="equal to", low=number, high=number, unit=unit, **values), rest, []
    return None, " ".join(left.split()), []


def _compared(
    left: str, found: Comparison, values: dict[str, Any], sources: Sequence[SourceInfo], inherited: str
) -> tuple[SeriesCondition | None, str, list[str]]:  # fmt: skip
    a, b = found.span
    before, after = left[:a], left[b:]
    if found.unit == "" and (unit := BEFORE_UNIT.match(after)) is not None and same_unit(unit["u"]) in units_of(sources):
        found = replace(found, unit=unit["u"])
        after = after[unit.end() :]
    if found.low == found.high and found.how in ("between", "outside"):
        return None, left, []
    notes: list[str] = []
    channel, rest = channel_of(before, sources, "")
    if not channel:
        channel, tail = channel_of(re.sub(r"^\s*(?:of|in|on|at)\s+", "", after), sources, "")
        after = tail if channel else after
    if not channel:
        channel = inherited
    if (derived := DERIVED.search(channel)) is not None:
        return None, left.strip(), [not_derived(derived[0])]
    if not channel:
        quantity = quantity_of(found.unit)
        channel, said = (
            (quantity, f"No channel was named; {found.unit} was read as {quantity}.")
            if quantity
            else ("*", "No channel was named, so all are meant.")
        )
        notes.append(said)
    rest = " ".join(f"{rest} {clean_words(after)}".split())
    condition = SeriesCondition(
        channel=channel, how=found.how, low=found.low, high=found.high, unit=shown_unit(found.unit), **values
    )  # fmt: skip
    both = re.match(r"^(?P<a>.+?) and (?:the )?(?P<b>.+?)(?: both| each| all)?$", channel)
    if both is not None and not any(both[0] == c.lower() for s in sources for c in s.channels):
        second = condition.model_copy(update={"channel": both["b"], "for_s": None, "for_rows": None})
        condition = condition.model_copy(update={"channel": both["a"], "when": second})
        notes.append(f"{both['a']} and {both['b']} must both meet it at the same time.")
    return condition, rest, notes


def _changed(
    left: str, change: re.Match[str], values: dict[str, Any], sources: Sequence[SourceInfo], inherited: str
) -> tuple[SeriesCondition | None, str, list[str]] | None:  # fmt: skip
    """A rise, a fall or a change of so much in so much time."""
    unit = (change["u"] or "").strip()
    after = left[change.end() :]
    if unit in ("per", "in", "within", "a", "over", "for", "to", "and", "or", "an", "every", "each"):
        after, unit = f"{unit} {after}", ""
    slash = re.match(r"^(?P<u>.+?)/(?P<t>min|s|h)$", unit)
    per, within = find_per(after), find_within(after)
    if slash is not None and slash["u"] not in ("l", "m3", "mm", "m", "km"):
        unit, time_s, rate = slash["u"], {"min": 60.0, "s": 1.0, "h": 3600.0}[slash["t"]], True
    elif within is not None:
        time_s, rate = within.value, False
        after = after[: within.a] + " " + after[within.b :]
    elif per is not None:
        time_s, rate = per.value, True
        after = after[: per.a] + " " + after[per.b :]
    else:
        return None
    if unit == "%" or unit.startswith("percent"):
        return (
            None,
            left.strip(),
            ["A change in per cent of the value itself cannot be measured by a rule; say it in the channel's unit."],
        )
    verb = change["v"]
    amount_of: Measure = "rise" if UPWARDS.search(verb) else "fall" if DOWNWARDS.search(verb) else "change"
    less = bool(change["f"]) and change["f"].startswith(("less", "slower", "up to"))
    how: How = "below" if less else "at least" if change["f"] == "at least" or not change["f"] else "above"
    lasting = find_lasting(after)
    if lasting is not None:
        values |= {"for_s": lasting.value, "for_at_least": lasting.at_least}
        after = after[: lasting.a] + after[lasting.b :]
    channel, rest = channel_of(left[: change.start()], sources, inherited)
    if not channel:
        channel, after = channel_of(re.sub(r"^\s*(?:of|in|on|at)\s+", "", after), sources, quantity_of(unit) or "*")
    if (derived := DERIVED.search(channel)) is not None:
        return None, left.strip(), [not_derived(derived[0])]
    amount = float(change["n"])
    condition = SeriesCondition(
        channel=channel or "*", measure=amount_of, how=how, low=amount, high=amount, unit=shown_unit(unit), within_s=time_s, rate=rate,
        **values,
    )  # fmt: skip
    return condition, " ".join(f"{rest} {clean_words(after)}".split()), []
