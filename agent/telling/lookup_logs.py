"""What is said about rows looked up in an event log: relations, kinds of events, stretches of time, words."""

from __future__ import annotations

from typing import Any

from agent.telling.log_words import called, quote, rows_said, short, time_of
from agent.telling.words import cite, count, listed, name, number
from core.evidence import Evidence


def search(evidence: Evidence) -> list[str]:
    """What rows were found for a question, whatever they were looked for by."""
    kind = evidence.facts.get("kind")
    if kind == "relation":
        return _relation(evidence)
    told = {"concept": _concept, "earliest": _earliest, "ordinary": _ordinary}.get(str(kind), _word)
    return told(evidence)


def _earliest(evidence: Evidence) -> list[str]:
    """The first event of the findings, and where the worst one begins when it is another."""
    facts: Any = evidence.facts
    cited = cite(evidence)
    row, seconds, text = facts["did"][0]
    at = f", {time_of(facts, seconds)}" if seconds is not None else ""
    begins = listed([name(end) for end in facts["begins"][0]])
    lines = [f"**The earliest suspicious event is row {row}**{at}: {quote(text)}; with it begins what ends in {begins} {cited}."]
    if row != facts["worst_row"]:
        lines.append(f"The worst finding, which ends in {name(facts['worst'])}, begins in row {facts['worst_row']} {cited}.")
    return [*lines, *rows_said({**facts, "did": facts["did"][1:]}, cited)]


def _ordinary(evidence: Evidence) -> list[str]:
    """Which events of a finding are not rare on their own, beside what makes it suspicious as a whole."""
    facts: Any = evidence.facts
    cited = cite(evidence)
    events = "normal events" if facts["calibrated"] else "the events of this log"
    against = f"measured against {events} (threshold {number(facts['limit'])})"
    whole = f"{count(facts['events'], 'event')} of what ends in {name(facts['name'])}"
    some = f"{number(facts['usual'])} of the {whole} {'is' if facts['usual'] == 1 else 'are'} ordinary alone"
    lines = [f"**{some if facts['usual'] else f'None of the {whole} is ordinary alone'}**, {against} {cited}."]
    lines += rows_said(facts, cited)
    if facts["acts"] > facts["events"]:
        lines.append(
            f"Of all {count(facts['acts'], 'act')} of its processes {number(facts['usual_acts'])} are ordinary alone {cited}."
        )
    score, limit = number(facts["said_score"]), number(facts["said_limit"])
    lines.append(f"As a whole it is suspicious: it scores {score} against a threshold of {limit} {cited}.")
    return lines


def _word(evidence: Evidence) -> list[str]:
    """Where a word occurs, and the rows that tell most."""
    facts: Any = evidence.facts
    if not facts["rows_found"]:
        return [
            f"{name(facts['word'])} stands in none of the {count(facts['rows_searched'], 'row')}; I searched for the literal words only, "
            f"which proves nothing about what they mean {cite(evidence)}."
        ]
    mostly = listed([f"{name(op)} ({number(n)})" for op, n in facts["operations"][:3]])
    return [
        f"{name(facts['word'])} occurs in {number(facts['rows_found'])} of {count(facts['rows_searched'], 'row')}{_span(facts)}: "
        f"{mostly} {cite(evidence)}.",
        f"By {_by(facts)} {cite(evidence)}.{_introduced(facts, 6)}",
        *rows_said(facts, cite(evidence), 6),
    ]


def _span(facts: Any) -> str:
    """From when to when the rows reach, where the log gives times."""
    if facts["first_s"] is None:
        return ""
    first, last = (time_of(facts, facts[key]) for key in ("first_s", "last_s"))
    return f", at {first}" if first == last else f", from {first} to {last}"


def _by(facts: Any, most: int = 4) -> str:
    return listed([f"{name(short(subject))} ({number(n)})" for subject, n in facts["subjects"][:most]])


def _introduced(facts: Any, most: int) -> str:
    """What the lines that follow are, when they are not all rows."""
    found = facts.get("rows_found", facts.get("events_there", 0))
    if found <= min(most, len(facts["did"])):
        return ""
    return " The most unusual of them:" if facts.get("rarest", True) else " The first of them:"


def _whose(facts: Any) -> str:
    """Who a question is about, as the start of a sentence."""
    if not facts["about"]:
        return ""
    return (
        listed(called(facts["about"][:5]))
        + (" (of the finding below)" if facts["by_finding"] and facts["findings"] else "")
        + ": "
    )


def _relation(evidence: Evidence) -> list[str]:
    """Parents, children, what came next, or who and what was involved."""
    facts: Any = evidence.facts
    if "tally" in facts:
        return _tally(evidence)
    if facts["relation"] == "others":
        return _others(evidence)
    whose, cited, found = _whose(facts), cite(evidence), facts["rows_found"]
    if "told" in facts:
        whose = f"{whose}besides the {count(facts['told'], 'row')} of the finding, "
    if not found:
        return [_capital(f"{whose}none of the {count(facts['rows_searched'], 'row')} {_singular(facts['said'])} {cited}.")]
    if facts["relation"] == "before":
        return [f"{whose}{count(found, 'event')} came in the ten minutes before its first act; the last of them {cited}:",
                *rows_said(facts, cited)]  # fmt: skip
    said = _singular(facts["said"]) if found == 1 else facts["said"]
    more = ""
    if found > len(facts["did"]):
        more = "; the first different ones" if facts["relation"] in ("next", "parent", "begin") else "; the most telling"
    by = f", done by {_by(facts)}" if facts["relation"] == "touched" else ""
    return [f"{whose}{count(found, 'row')} {said}{_span(facts)}{by}{more} {cited}:", *rows_said(facts, cited)]


def _others(evidence: Evidence) -> list[str]:
    """Who but the processes of a finding reached something, or that nobody did."""
    facts: Any = evidence.facts
    cited, found = cite(evidence), facts["rows_found"]
    if not facts["things"]:
        rows = count(facts["rows_searched"], "row")
        return [f"{_whose(facts)}none of the {rows} names what somebody else could have reached {cited}."]
    things = listed([name(thing) for thing in facts["things"]])
    things += f" and {number(facts['more_things'])} more" if facts["more_things"] else ""
    own = f"; {_whose(facts).rstrip(': ')}: {count(facts['own_rows'], 'row')}" if facts["own_rows"] else ""
    if not found:
        return [f"Nobody else in the {count(facts['rows_searched'], 'row')} reached {things}{own} {cited}."]
    return [f"**Others reached {things} in {count(found, 'row')}**, by {_by(facts)}{own} {cited}:", *rows_said(facts, cited)]


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _singular(said: str) -> str:
    verb, _, rest = said.partition(" ")
    return f"{verb}s {rest}"


_NOUNS = {"address": ("address", "addresses"), "account": ("account", "accounts"), "computer": ("computer", "computers")}


def _tally(evidence: Evidence) -> list[str]:
    """Addresses, accounts or computers with how often they occur."""
    facts: Any = evidence.facts
    one, many = _NOUNS[facts["relation"]]
    cited, whose = cite(evidence), _whose(facts)
    if not facts["tally"]:
        return [_capital(f"{whose}none of the {count(facts['rows_searched'], 'row')} names any {one} {cited}.")]
    named = listed([f"{name(value)} (in {count(n, 'row')})" for value, n in facts["tally"]])
    lines = [_capital(f"{whose}{one if len(facts['tally']) == 1 else many} named in the log: {named} {cited}.")]
    if facts["suspicious"]:
        own = listed([f"{name(value)} (in {count(n, 'row')})" for value, n in facts["suspicious"]])
        lines.append(f"Of these rows, those of the finding below name {own} {cited}.")
    if facts["outside"]:
        lines.append(f"Outside the private networks: {listed([name(a) for a in facts['outside']])} {cited}.")
    return lines + (rows_said(facts, cited, 6) if facts["relation"] == "address" else [])


def _concept(evidence: Evidence) -> list[str]:
    """How many rows tell of a kind of event, by whom, and the most telling ones."""
    facts: Any = evidence.facts
    cited, whose, found = cite(evidence), _whose(facts), facts["rows_found"]
    if not found:
        return _nothing(evidence)
    rows = f"{count(found, 'row')} {'tells' if found == 1 else 'tell'} of {facts['said']}"
    by = f", by {_by(facts)}" if len(facts["subjects"]) > 1 and not facts["about"] else ""
    lines = [f"**{whose}{rows}**{_span(facts)}{by} {cited}."]
    if facts.get("addresses"):
        lines.append(f"Addresses: {listed([f'{name(a)} ({number(n)})' for a, n in facts['addresses'][:6]])} {cited}.")
    if facts.get("accounts"):
        lines.append(f"Accounts: {listed([f'{name(a)} ({number(n)})' for a, n in facts['accounts'][:6]])} {cited}.")
    if facts["concept"] in ("brute", "failed"):
        lines += _guessing(evidence)
    if facts.get("of_findings"):
        own = [str(row) for row in facts["of_findings"]]
        lines.append(
            f"Of the rows told here, {'row' if len(own) == 1 else 'rows'} {listed(own)} belong{'s' * (len(own) == 1)} to findings {cited}."
        )
    if facts["limit"]:
        lines.append(facts["limit"])
    if found > len(facts["did"]):
        lines.append("The most telling of these rows:")
    return [*lines, *rows_said(facts, cited, 4 if "entered" in facts else 8)]


def _guessing(evidence: Evidence) -> list[str]:
    """Whether failed logins look like guessing, and whether anybody got in."""
    facts: Any = evidence.facts
    cited, lines = cite(evidence), []
    worst = facts["addresses"][0] if facts["addresses"] else None
    if worst and worst[1] >= facts["guessing_from"]:
        lines.append(f"{number(worst[1])} failures from {name(worst[0])} alone look like passwords being guessed {cited}.")
    if not facts["entered_rows"]:
        return [*lines, f"No row of this log tells of a successful login {cited}."]
    got = [f"row {row}, {name(text)}" for row, _, text in facts["entered"][:2]]
    return [*lines, f"{count(facts['entered_rows'], 'row')} tell{'s' * (facts['entered_rows'] == 1)} of a successful login: "
                    f"{listed(got)} {cited}."]  # fmt: skip


def _nothing(evidence: Evidence) -> list[str]:
    """No row tells of it: what was searched, what the log records at all, and what is near."""
    facts: Any = evidence.facts
    cited, whose = cite(evidence), _whose(facts)
    lines = [f"{_capital(whose + 'none')} of the {count(facts['rows_searched'], 'row')} tells of {facts['said']} {cited}."]
    if facts["in_all"]:
        others = f"{count(facts['in_all'], 'row')} {'outside that time' if facts['timed'] else 'by others'}"
        lines = [f"{lines[0].removesuffix(f' {cited}.')}; {others} {'does' if facts['in_all'] == 1 else 'do'} {cited}."]
    else:
        recorded = f"{listed([name(o) for o in facts['recorded']])}" if facts["recorded"] else "lines of free text"
        lines.append(
            f"I looked for the operations, names and texts known for it. This log records {recorded}; what it does not record, it cannot "
            f"show {cited}."
        )
    if facts.get("near_rows"):
        lines.append(f"What comes near, {facts['near_said']}: {count(facts['near_rows'], 'row')} {cited}.")
        lines += rows_said(facts, cited, 4)
    return lines


def events(evidence: Evidence) -> list[str]:
    """What happened in a stretch of time."""
    facts: Any = evidence.facts
    start, end = (time_of(facts, facts[key]) for key in ("start_s", "end_s"))
    there, flagged = facts["events_there"], facts["flagged"]
    if not there:
        return [f"From {start} to {end} the log holds no event {cite(evidence)}."]
    if flagged:
        rare = f", {number(flagged)} of them rare on {'its' if flagged == 1 else 'their'} own"
    else:
        rare = ", none of them rare on its own" + (", yet they touch the finding below" if facts.get("findings") else "")
    return [
        f"From {start} to {end} there {'is' if there == 1 else 'are'} {count(there, 'event')}{rare}; mostly by {_by(facts, 3)} "
        f"{cite(evidence)}.{_introduced(facts, 6)}",
        *rows_said(facts, cite(evidence), 6),
    ]


def number_of_events(evidence: Evidence) -> list[str]:
    """How many events a log holds, and how many of them are suspicious."""
    facts: Any = evidence.facts
    mostly = listed([f"{name(op)} ({number(n)})" for op, n in facts["operations"][:3]])
    lines = [
        f"**{count(facts['events'], 'event')}** in {name(evidence.locus.sample)}, by {count(facts['subjects'], 'actor')}"
        f"{_span(facts)}; most often {mostly} {cite(evidence)}."
    ]
    if facts.get("busiest"):
        most = listed([f"{name(who)} ({number(n)})" for who, n in facts["busiest"][:3]])
        lines.append(f"Most of them by {most} {cite(evidence)}.")
    if "flagged" in facts:
        found = len(facts["findings"])
        belong = f"{number(facts['in_findings'])} belong to {'the finding' if found == 1 else 'the findings'} below"
        belong = belong if found else "none belongs to a finding"
        rare = "is rare on its own" if facts["flagged"] == 1 else "are rare on their own"
        lines.append(f"{number(facts['flagged'])} of them {rare}, and {belong} {cite(evidence)}.")
    return lines
