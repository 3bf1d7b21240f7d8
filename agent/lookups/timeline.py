"""Looking up what several files say together: about a time that they share, in which order, and whether it hangs together in time.

One piece of evidence (`lookup_timeline`) holds the moments of all files in UTC, grouped into incidents (`agent.incidents`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, TypeAlias

from agent.incidents.incident import FOLLOWS_S, Incident, Step, chance, group, steps_of
from agent.incidents.timeline import Clock, Moment, Timeline, timeline
from agent.investigation import Investigation
from agent.lookups.found import made
from agent.lookups.readings import length_said, plain_words
from agent.question import Request
from agent.reading.phrases import either
from core.evidence import Evidence, Whole
from core.samples import EventLog, Series
from readers.open import Source

MOST_STEPS = 8
"""Moments told in one answer; of more, those of the worst incidents."""
MOST_CLOCKS = 4
MOST_CHARS = 3_200
"""Of the facts as JSON: evidence is read whole, by people and by language models."""
LONGEST_LABEL, LONGEST_DEED = 60, 80
_TIMED = frozenset(("what", "overview", "exists", "is_normal", "list", "when", "which", "why", "who", "show"))
"""Intents for which a time that files share is told of all of them together."""
Asked: TypeAlias = Literal["time", "one", "apart", "timeline", "first", "connection"]
"""What the evidence answers: a time that files share, one that only one file has something for or that they have on different days …"""
_Span: TypeAlias = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Together:
    """The evidence of a question to several sources (empty when it asks nothing of the kind), and the sources it answers for."""

    evidence: tuple[Evidence, ...] = ()
    told: frozenset[str] = frozenset()


def look_up(request: Request, sources: Sequence[Source], investigations: Mapping[str, Investigation]) -> Together:
    """What the sources say together, where the question asks for that and there is something to tell."""
    if len(sources) < 2 or request.samples:
        return Together()
    asked = _asks(request, sources)
    chosen = _chosen(request, sources) if asked is not None else []
    if asked == "connection" and (len(chosen) == 1 or not (chosen or either("together at all").search(plain_words(request)))):
        return Together()
    if asked in ("timeline", "first") and len(chosen) == 1:  # of one file alone
        return Together()
    if asked is None and not request.times:
        return Together()
    of = [source for source in sources if source.name in chosen] or list(sources)
    findings = [f for s in of if (inv := investigations.get(s.name)) is not None for f in inv.findings if f.abnormal]
    if not findings:
        return Together()
    line = timeline(of, investigations)
    worst = [f.evidence.id for f in sorted(findings, key=lambda f: -f.severity_score)]
    if asked == "connection" and not line.clocks and len(chosen) < 2:
        return Together()
    if asked is not None:
        groups = _groups(line)
        return Together(evidence=(_evidence(request, asked, line, groups, (), worst),), told=frozenset(s.name for s in sources))
    return _at_a_time(request, line, worst)


def _at_a_time(request: Request, line: Timeline, worst: Sequence[str]) -> Together:
    """What the files show at a time that at least two of them share; or that they have it on different days, or no clock for it."""
    spans = _spans(request, line)
    windows = _shared(spans)
    astray = [name for name, _ in line.unplaced if spans and name in _misread(request, line)]
    groups = [steps for steps in _groups(line) if any(_inside(step.moment, windows) for step in steps)]
    shown = list(dict.fromkeys(step.moment.source for steps in groups for step in steps))
    if not windows and _on_different_days(spans):
        return Together(evidence=(_evidence(request, "apart", line, (), spans, ()),), told=frozenset(astray))
    if not groups:
        bare = (_evidence(request, "apart", line, (), (), ()),) if astray else ()
        return Together(evidence=bare, told=frozenset(astray))
    if len(shown) == 1:  # it is told by its own values; that the others show nothing is what they say together
        return Together(evidence=(_evidence(request, "one", line, groups, spans, ()),), told=frozenset(astray))
    ids = [step.moment.evidence for steps in groups for step in steps]
    evidence = _evidence(request, "time", line, groups, spans, [i for i in worst if i in ids])
    return Together(evidence=(evidence,), told=frozenset((*shown, *astray)))


def _asks(request: Request, sources: Sequence[Source]) -> Asked | None:
    """What a question asks of several sources, by its words; None when only a time in it can."""
    text = plain_words(request)
    if either("together first").search(text):
        return "first"
    if either("together in order").search(text) and not request.channels:
        return "timeline"
    return "connection" if either("together in time").search(text) else None


def _chosen(request: Request, sources: Sequence[Source]) -> list[str]:
    """Names of the sources that a question names: by themselves, by their only kind, or by a channel or an entity in them."""
    text = plain_words(request)
    named: set[str] = set() if "sources" in request.inherited else set(request.sources)
    for kind in ("video", "series", "events", "image"):
        alike = [source.name for source in sources if source.kind == kind]
        if either(f"kind {kind}").search(text) and len(alike) == 1:
            named.add(alike[0])
    for source in sources:
        sample = source.samples[0] if source.kind in ("series", "events") else None
        if isinstance(sample, Series) and (set(request.channels) & set(sample.channels) or _names_a_channel(text, sample)):
            named.add(source.name)
        if isinstance(sample, EventLog) and request.entities:
            named.add(source.name)
    return [source.name for source in sources if source.name in named]


def _names_a_channel(text: str, series: Series) -> bool:
    """True when a channel's own name stands in a question; channels are looked for in the named sources only (`request.channels`)."""
    return any(
        re.search(rf"\b{re.escape(name.lower())}\b", text) for name in series.channels if re.search(r"[a-z]{3}", name.lower())
    )


def _spans(request: Request, line: Timeline) -> tuple[tuple[str, _Span], ...]:
    """The times of a question in the sources with a clock, in seconds since 1970 UTC; empty for a question about something else."""
    narrow = request.channels or request.entities or request.concept or request.references or request.view
    if narrow or not set(request.intents) <= _TIMED or len(request.sources) == 1:
        return ()
    clocks = {clock.source: clock for clock in line.clocks}
    return tuple(
        (when.source, (clocks[when.source].epoch_s + when.start_s, clocks[when.source].epoch_s + when.end_s))
        for when in request.times if when.source in clocks and when.unit == "s"
    )  # fmt: skip


def _shared(spans: Sequence[tuple[str, _Span]]) -> tuple[_Span, ...]:
    """The spans of a source that overlap with one of another."""
    pairs = [(a, b) for (one, a), (other, b) in combinations(spans, 2) if one != other and max(a[0], b[0]) < min(a[1], b[1])]
    return tuple(sorted({span for pair in pairs for span in pair}))


def _on_different_days(spans: Sequence[tuple[str, _Span]]) -> bool:
    """True when at least two sources have the time of a question, and no two of them on one day."""
    days = {source: {int(span[0] // 86_400) for other, span in spans if other == source} for source, _ in spans}
    return len(days) > 1 and not any(a & b for a, b in combinations(days.values(), 2))


def _misread(request: Request, line: Timeline) -> frozenset[str]:
    """Sources without a clock in which a time of day was read as what has passed since their start; a video's own time is meant so."""
    kept = {"has no clock", "gives times of day but no date"}
    unplaced = {name for name, reason in line.unplaced if reason in kept}
    return frozenset(t.source for t in request.times if t.source in unplaced and t.source not in line.videos and ":" in t.text)


def _inside(moment: Moment, windows: Sequence[_Span]) -> bool:
    """True when a moment reaches into one of the windows."""
    return any(moment.start_s < end and max(moment.end_s, moment.start_s + 1e-3) > start for start, end in windows)


def _groups(line: Timeline) -> list[tuple[Step, ...]]:
    """The steps of every incident and of every moment that stands alone, by their onset."""
    incidents, alone = group(line.moments)
    groups = [incident.steps for incident in incidents] + [steps_of([moment]) for moment in alone]
    return sorted(groups, key=lambda steps: steps[0].moment.start_s)


def _evidence(request: Request, asked: Asked, line: Timeline, groups: Sequence[tuple[Step, ...]], spans: Sequence[tuple[str, _Span]],
              worst: Sequence[str]) -> Evidence:  # fmt: skip
    """The evidence of an answer, with as many steps as stay readable in one piece."""
    most = MOST_STEPS
    facts = _facts(request, asked, line, groups, spans, most)
    while most > 2 and len(json.dumps(facts)) > MOST_CHARS:
        most -= 1
        facts = _facts(request, asked, line, groups, spans, most)
    if worst:
        facts["findings"] = list(worst[:MOST_STEPS])
    names = ", ".join((*(c.source for c in line.clocks), *(name for name, _ in line.unplaced))[:3])
    return made("timeline", names, Whole(sample=names), facts)


def _facts(request: Request, asked: Asked, line: Timeline, groups: Sequence[tuple[Step, ...]], spans: Sequence[tuple[str, _Span]],
           most: int) -> dict[str, Any]:  # fmt: skip
    """At most `most` steps, the clocks they rest on, and how near findings lie by chance."""
    told = _most(groups, most)
    begin = min((clock.start_s for clock in line.clocks), default=0.0)
    incidents = [Incident(steps=steps) for steps in told if len(steps) > 1]
    seen = list(dict.fromkeys(source for incident in incidents for source in incident.sources))
    used = list(dict.fromkeys(step.moment.source for steps in told for step in steps))
    common = max((c.start_s for c in line.clocks), default=0.0) < min((c.end_s for c in line.clocks), default=0.0)
    quiet = [name for name in dict.fromkeys(source for source, _ in spans) if name not in used and line.clock(name).judged]
    return {
        "what": asked, "asked": request.times[0].text if spans else "", "expects": request.expects, "epoch_s": begin,
        "within": length_said(FOLLOWS_S, 0, "clock"), "incidents": len(incidents), "sources": seen, "common": common,
        "quiet": quiet[:MOST_CLOCKS],
        "days": [{"source": name, "start_s": round(span[0] - begin, 3)} for name, span in spans[:MOST_CLOCKS]] if asked == "apart" else [],
        "groups": [[_step(step, begin) for step in steps] for steps in told],
        "clocks": [_clock(c, begin) for c in sorted(line.clocks, key=lambda c: c.source not in used)[:MOST_CLOCKS]],
        "unplaced": [{"source": name, "reason": reason} for name, reason in line.unplaced[:MOST_CLOCKS]],
        "left_out": sum(map(len, groups)) - sum(map(len, told)),
        "chance": [{"source": s, "percent": round(100 * share, 1)} for s in seen[:MOST_CLOCKS]
                   if (share := chance(line, s, others=[o for o in seen if o != s])) is not None],
    }  # fmt: skip


def _most(groups: Sequence[tuple[Step, ...]], most: int) -> list[tuple[Step, ...]]:
    """Incidents first, worst first, as long as there is room; a long one loses its mildest steps. In the order of time again."""
    room, kept = most, []
    for steps in sorted(groups, key=lambda steps: (len(steps) == 1, -max(step.moment.severity_score for step in steps))):
        if room <= 0:
            break
        chosen = steps
        if len(steps) > room:
            first = {step.moment.source: step.moment for step in reversed(steps)}  # the onset in every source stays
            ranked = sorted((s.moment for s in steps), key=lambda m: (first[m.source] is not m, -m.severity_score))
            chosen = steps_of(ranked[:room])
        kept.append(chosen)
        room -= len(chosen)
    return sorted(kept, key=lambda steps: steps[0].moment.start_s)


def _step(step: Step, begin: float) -> dict[str, Any]:
    """A moment as facts; times count from the begin of the timeline."""
    moment = step.moment
    facts: dict[str, Any] = {
        "source": moment.source, "finding": moment.evidence, "label": _cut(_short_label(moment.label), LONGEST_LABEL),
        "start_s": round(moment.start_s - begin, 3), "end_s": round(moment.end_s - begin, 3), "ordered": step.ordered,
        "slack_s": moment.slack_s,
    }  # fmt: skip
    if step.after_s:
        facts |= {"lag_s": round(step.after_s, 3), "lag": length_said(step.after_s, 0, "clock")}
    if moment.by_readings:
        facts["by_readings"] = True
    if moment.kind == "video":
        facts["own_s"] = round(moment.own_s, 3)
    if moment.deed is not None:
        facts |= {"row": moment.deed[0], "did": _cut(moment.deed[1], LONGEST_DEED)}
    return facts


def _short_label(label: str) -> str:
    """A label with the last part of a path instead of all of it."""
    head, ending, path = label.partition(" ending in ")
    last = re.split(r"[/\\]", path)[-1]
    return f"{head}{ending}{last or path}" if ending else label


def _cut(text: str, most: int) -> str:
    """Text cut at a word.

    >>> _cut("one two three", 9)
    'one two …'
    """
    return text if len(text) <= most else text[: most - 1].rsplit(" ", 1)[0].rstrip() + " …"


def _clock(clock: Clock, begin: float) -> dict[str, Any]:
    """A clock as facts."""
    return {"source": clock.source, "start_s": round(clock.start_s - begin, 3), "end_s": round(clock.end_s - begin, 3),
            "length": length_said(clock.end_s - clock.start_s, 0, "clock"), "rests_on": clock.rests_on}  # fmt: skip
