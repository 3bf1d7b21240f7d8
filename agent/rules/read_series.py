"""Reading a definition about readings: which channel, compared with what, for how long, while what else holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent.question import SourceInfo
from agent.reading.values import Comparison, same_unit
from agent.rules.conditions import How, Measure, SeriesCondition
from agent.rules.numbers import find_lasting, find_per, find_rows, find_within, find_within_rows
from agent.rules.ranges import range_of, ranges_meet
from agent.rules.series_clauses import clauses_of
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
    PLAINLY,
    QUANTITY_WORD,
    SPLIT,
    STATE,
    STEADILY,
    UPWARDS,
    channel_of,
    clean_words,
    comparison_in,
    not_derived,
    plain_form,
    quantity_of,
    shown_unit,
    units_of,
)
from agent.rules.two_channels import all_channels, channel_names, names_channel, read_two_channels


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
    body = plain_form(body)
    info = all_channels(sources)
    change = CHANGE.search(body)
    if comparison_in(body, info) is not None or (
        change is not None and (QUANTITY_WORD.search(body) or names_channel(body, sources) or quantity_of(change["u"] or ""))
    ):
        return True
    if (lasts := find_lasting(body) or find_rows(body)) is not None:
        bare = f"{body[: lasts.a]} {' '.join(body[lasts.b :].split())}"
        if any(p.search(text) for p in (GAP, FLAT) for text in (body, " ".join(bare.split()))):
            return True
    main = SPLIT.split(body, maxsplit=1)[0]
    if (lasting := find_lasting(main)) is not None:
        main = f"{main[: lasting.a]} {main[lasting.b :]}"
    state = STATE.match(main.strip())
    if state is not None and MACHINE.search(state["x"]):
        return True
    return bool(QUANTITY_WORD.search(main) or names_channel(main, sources))


def read_series(body: str, *, sources: Sequence[SourceInfo] = ()) -> Heard:
    """Conditions of a definition about readings.

    >>> read_series("pressure above 7 bar for more than 10 seconds when the pump is off").conditions[0].when
    SeriesCondition(kind='series', channel='pump', measure='value', how='off', low=0.0, ...)
    >>> read_series("temperature rises faster than 3 °c per minute").conditions[0].measure
    'rise'
    """
    body = re.sub(r"\s*\bat the same (?:time|moment)\b|\bsimultaneously\b|\btogether\b", "", plain_form(body))
    text, when, missed, notes = _when(body, sources)
    parts = clauses_of(text, sources)
    found: list[SeriesCondition] = []
    channel = ""
    for part in parts:
        condition, left, said = _one(part, sources, channel, steady=when is not None)
        notes += said
        if condition is None:
            missed += [left] if left else []
            continue
        channel = condition.channel
        missed += [left] if left else []
        found.append(condition)
    if " and " in text and len(found) > 1 and len(parts) == len(found) and not re.search(r"\bor\b", text):
        first, *others = found
        if (
            len(others) == 1 and first.for_s is None and others[0].for_s is not None
        ):  # "a and b for 10 s" means both at once, that long
            first = first.model_copy(update={"for_s": others[0].for_s, "for_at_least": others[0].for_at_least})
            others = [others[0].model_copy(update={"for_s": None, "for_at_least": False})]
        if (never := _never(first, others[0])) and len(others) == 1:
            return Heard(notes=(never,))
        both = first.for_rows is not None and others[0].for_rows is not None
        if when is None and len(others) == 1 and others[0].for_s is None and not both:
            rows = first.for_rows or others[0].for_rows  # "a and b for 4 rows" means both at once, for 4 rows
            if first.for_s is not None:
                notes.append("Both must hold together that long.")
            found = [first.model_copy(update={"for_rows": rows, "when": others[0].model_copy(update={"for_rows": None})})]
        else:
            missed.append(" and ".join(parts[1:]))
            found = [first]
    if when is not None:
        found = [c.model_copy(update={"when": when}) for c in found]
    return Heard(conditions=tuple(found), missed=tuple(dict.fromkeys(m for m in missed if m)), notes=tuple(dict.fromkeys(notes)))


def _never(a: SeriesCondition, b: SeriesCondition) -> str:
    """Why two conditions on one channel cannot hold at once, or ""."""
    if a.channel != b.channel or {a.measure, b.measure} != {"value"} or a.minus or b.minus or {a.how, b.how} & {"on", "off"}:
        return ""
    if ranges_meet(range_of(a.how, a.low, a.high), range_of(b.how, b.low, b.high)):
        return ""
    return f"{a.channel} can never be {a.how} {a.low:g} and {b.how} {b.low:g} at once. Say “or” if either is meant."


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
    condition, left, notes = _one(clause.strip(" ,."), sources, "", steady=True)
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


def _one(
    text: str, sources: Sequence[SourceInfo], inherited: str, *, steady: bool = False
) -> tuple[SeriesCondition | None, str, list[str]]:  # fmt: skip
    """(condition, words left, notes) of one clause; with `steady` a rise without an amount counts, too."""
    values: dict[str, Any] = {}
    left = text
    if (of_two := read_two_channels(text, sources)) is not None:
        return of_two
    change = CHANGE.search(left)
    in_rows = find_within_rows(left) if change is not None else None
    if in_rows is None and (rows := find_rows(left)) is not None:
        values["for_rows"] = int(rows.value)
        left = left[: rows.a] + " " + left[rows.b :]
        change = CHANGE.search(left)
    if change is not None and (change["f"] or in_rows or find_within(left) or find_per(left)):
        found = _changed(left, change, values, sources, inherited)
        if found is not None:
            return found
    if change is not None and not (in_rows or find_within(left) or find_per(left)):
        return (
            None,
            " ".join(left.split()),
            ["A change needs a time: say “within 10 seconds”, “within 5 readings” or “per minute”."],
        )
    lasting = find_lasting(left)
    if lasting is not None:
        values |= {"for_s": lasting.value, "for_at_least": lasting.at_least}
        left = left[: lasting.a] + " " + left[lasting.b :]
    lasts: tuple[tuple[re.Pattern[str], Measure], ...] = ((GAP, "gap"), (FLAT, "flat"))
    left = " ".join(left.split())
    for pattern, measure in lasts:
        match = pattern.search(left)
        if match is not None and values:
            rest = f"{left[: match.start()]} {match.groupdict().get('c') or ''} {left[match.end() :]}"
            channel, rest = channel_of(
                re.sub(r"\b(?:from|in|of|for|on|by)\b", " ", rest), sources, "*" if measure == "gap" else inherited or "*"
            )
            return SeriesCondition(channel=channel, measure=measure, **values), rest, []
    comparison = comparison_in(left, all_channels(sources))
    if comparison is not None:
        return _compared(left, comparison, values, sources, inherited)
    return _state(left, values, sources, inherited, steady or bool(values))


def _state(
    left: str, values: dict[str, Any], sources: Sequence[SourceInfo], inherited: str, steady: bool
) -> tuple[SeriesCondition | None, str, list[str]]:  # fmt: skip
    """A clause without a comparison: a machine that is on or off, a value that is equal to a number, or a steady rise."""
    state = STATE.match(" ".join(left.split()))
    if state is not None and not re.fullmatch(r"it|they|that|this|which", state["x"]):
        channel, rest = channel_of(state["x"], sources, inherited)
        if channel:
            on = (state["s"] in ON) != bool(state["not"])
            how: How = "on" if on else "off"
            said = f"{'not ' * bool(state['not'])}{state['s']}"
            notes = [] if state["s"] in PLAINLY else [f"“{said}” was read as {how}."]
            return SeriesCondition(channel=channel, how=how, **values), rest, notes
    equal = EQUAL.search(left)
    if equal is not None:
        channel, rest = channel_of(left[: equal.start()], sources, inherited)
        if channel:
            number = float(equal["n"].replace("−", "-"))
            unit = shown_unit((equal["u"] or "").strip())
            denied = any(equal[name] for name in ("not", "not2", "not3", "not4", "not5"))
            how = "not equal to" if denied else "equal to"
            rest = " ".join(f"{rest} {clean_words(left[equal.end() :])}".split())
            return SeriesCondition(channel=channel, how=how, low=number, high=number, unit=unit, **values), rest, []
    moving = STEADILY.search(left) if steady else None
    if moving is not None:
        channel, rest = channel_of(left[: moving.start()], sources, inherited)
        if channel:
            note = "No amount was given, so any step counts; say “by more than 2 within 1 minute” to leave small ones out."
            measure: Measure = "rise" if UPWARDS.search(moving["v"]) else "fall"
            return SeriesCondition(channel=channel, measure=measure, how="above", within_rows=2, **values), rest, [note]
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
    if not channel and rest:
        return None, left.strip(), []  # words that name no channel stand before the comparison: it is not one of readings alone
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
    if (
        same_unit(found.unit) == "%"
        and (share := re.match(r"\s*(?:of|from|above|below) (?:the |its )?(?P<x>\w[\w ]*)", after)) is not None
    ):
        return None, left.strip(), [not_derived(f"{found.low:g} % of {share['x']}")]
    rest = " ".join(f"{rest} {clean_words(after)}".split())
    quantity = quantity_of(found.unit)
    if quantity and MACHINE.search(channel) and not QUANTITY_WORD.search(channel) and channel not in channel_names(sources):
        notes.append(f"“{channel}” in {shown_unit(found.unit)} was read as its {quantity}.")
        channel = f"{channel} {quantity}"
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
    ampere = unit == "a" and re.match(r"\s*(?:in|within|per|over)\b", after) is not None  # "5 A in 2 s", not "5 a minute"
    if not ampere and unit in ("per", "in", "within", "a", "over", "for", "to", "and", "or", "an", "every", "each"):
        after, unit = f"{unit} {after}", ""
    slash = re.match(r"^(?P<u>.+?)/(?P<t>min|s|h)$", unit)
    per, within, in_rows = find_per(after), find_within(after), find_within_rows(after)
    time_s: float | None
    rows: int | None = None
    if in_rows is not None:
        time_s, rate, rows = None, False, max(2, int(in_rows.value))
        after = after[: in_rows.a] + " " + after[in_rows.b :]
    elif slash is not None and slash["u"] not in ("l", "m3", "mm", "m", "km"):
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
        within_rows=rows, **values,
    )  # fmt: skip
    return condition, " ".join(f"{rest} {clean_words(after)}".split()), []
