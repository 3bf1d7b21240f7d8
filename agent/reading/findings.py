"""Words that point at findings of the last answer ("the last spike", "the worst one", E3, "it"), and times said by them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from agent.question import Context, PriorFinding, Reference, ReferenceKind, TimeRange
from agent.reading.names import NUMBERS, ORDINAL, Named, Span, blank, ordinal
from agent.reading.phrases import either, word

_ADJECTIVES = (
    r"(?:(?:big|detected|found|red|marked|abnormal|unusual|suspicious|small|serious|severe|strange|anomalous|temperature|pressure"
    r"|vibration|other) )?"
)
_SPECIFIC_NEEDED = frozenset(("anomali", "anomaly", "event", "finding", "problem", "issue", "thing", "one"))
_RELATIVE = 90
"""`TimeRange.mention` of times said by a finding, after those said outright."""


@dataclass
class _Found:
    """References found so far, with where they stand."""

    context: Context
    made: list[tuple[int, Reference]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(
        self,
        kind: ReferenceKind,
        m: re.Match[str],
        findings: Sequence[int],
        number: int | None = None,
        evidence: str | None = None,
    ) -> None:
        reference = Reference(kind=kind, text=m[0].strip(), number=number, findings=tuple(findings), evidence=evidence)
        self.made.append((m.start(), reference))
        self.spans.append(m.span())

    @property
    def before(self) -> tuple[int, ...]:
        """Findings the question before was about."""
        return self.context.previous[-1].findings if self.context.previous else ()


def find_references(text: str, context: Context) -> Named:
    """Words of `text` that point at findings; ordinals count in time where findings have times, numbers in the order shown.

    >>> rows = ((90, 20), (10, 80))
    >>> findings = tuple(PriorFinding(label="spike", source="p", start_s=s, end_s=s + 1, severity_score=v) for s, v in rows)
    >>> [r.findings for r in find_references("the last spike and the worst one", Context(findings=findings)).references]
    [(0,), (1,)]
    """
    found = _Found(context)
    labels = sorted({w for f in context.findings for w in re.findall(r"[a-z]{4,}", f.label.lower())})
    noun = "(?:" + "|".join([word("found"), *(rf"{re.escape(label)}s?" for label in labels)]) + ")"
    _by_id(text, noun, found)
    _by_place(blank(text, found.spans), noun, found)
    if context.findings:
        _by_name(blank(text, found.spans), noun, found)
    references = tuple(reference for _, reference in sorted(found.made, key=lambda pair: pair[0]))
    return Named(references=references, spans=tuple(found.spans), notes=tuple(dict.fromkeys(found.notes)))


def _by_id(text: str, noun: str, found: _Found) -> None:
    """E3, "evidence 3", "spike 2", "#2"."""
    findings = found.context.findings
    for m in re.finditer(r"\[?\be ?(\d{1,4})\b(?![.:]\d)\]?|\bevidence (?:number |no\.? ?|# ?)?(\d{1,4})\b", text):
        number = int(m[1] or m[2])
        found.add("evidence", m, [i for i, f in enumerate(findings) if f"E{number}" in f.evidence], number, f"E{number}")
    numbered = (
        rf"\b{noun} ?(?:number |no\.? ?|nr\.? ?|# ?)?(\d{{1,3}})\b(?![.:]\d)|(?<!\w)# ?(\d{{1,3}})\b|\bnumber (\d{{1,3}})\b"
    )
    for m in re.finditer(numbered, blank(text, found.spans)):
        number = int(m[1] or m[2] or m[3])
        if not findings and not m[1]:
            continue
        inside = 1 <= number <= len(findings)
        found.add("number", m, [number - 1] if inside else [], number)
        if findings and not inside:
            there = "is only one finding" if len(findings) == 1 else f"are only {len(findings)} findings"
            found.notes.append(f"There {there}, so there is no number {number}.")


def _by_place(free: str, noun: str, found: _Found) -> None:
    """As in "the second spike", "the last one", "the worst", "the next event"."""
    findings = found.context.findings
    worst, mildest, steps = word("worst"), word("mildest"), {"next": 1, "following": 1, "previous": -1, "preceding": -1}
    place = "|".join([ORDINAL, "most recent", *steps, worst, mildest])
    for m in re.finditer(
        rf"\b(?:the |that |this )?(?:very )?({place}) {_ADJECTIVES}({noun}|ones?|thing|moments?|bits?|parts?)\b", free
    ):
        place, thing = m[1], m[2]
        if not findings and thing in ("one", "ones", "thing", "moment", "moments", "bit", "bits", "part", "parts"):
            continue
        if re.fullmatch(worst, place):
            found.add("worst", m, _ranked(findings, thing)[:1])
        elif re.fullmatch(mildest, place):
            found.add("mildest", m, _ranked(findings, thing)[-1:])
        elif place in steps:
            found.add("next" if steps[place] > 0 else "previous", m, _beside(found, steps[place]))
        elif place == "other":
            found.add("all", m, [i for i in range(len(findings)) if i not in found.before])
        else:
            _counted(-1 if place in ("most recent", "latest", "last", "final") else ordinal(place), m, thing, found)
    if findings and not found.made:
        for m in re.finditer(rf"\b(?:is|was|are|were) (?:the )?({worst})\b(?! than)", free):
            found.add("worst", m, _ranked(findings, "")[:1])
        for m in re.finditer(r"\b(?:came|happened|was|started|began|occurred) first\b", free):
            found.add("ordinal", m, _in_time(findings, "")[:1], 1)
    for m in (
        re.finditer(rf"\bthe ({ORDINAL})(?= *(?:$|[?.!,;])| (?:and|or|with|to|than|against|versus|vs)\b)", free)
        if findings
        else ()
    ):
        if not any(a < m.end() and m.start() < b for a, b in found.spans):
            _counted(ordinal(m[1]), m, "one", found)
    for m in re.finditer(rf"\b({ORDINAL})[- ]({worst}|{mildest})\b", free) if findings else ():
        ranked = _ranked(findings, "") if re.fullmatch(worst, m[2]) else _ranked(findings, "")[::-1]
        at = ordinal(m[1])
        found.add("ordinal", m, ranked[at - 1 : at] if at > 0 else ranked[-1:], at if at > 0 else None)


_BARE_PLACE = re.compile(rf"\bthe ({ORDINAL})(?= *(?:$|[?.!,;])| (?:and|or|with|to|than|against|versus|vs)\b)")
"""As in "compare the first and the second"."""


def places_of_findings(text: str, context: Context) -> tuple[Span, ...]:
    """Where "the second" or "second worst" counts findings and not photos: after findings were told, unless photos were asked for."""
    if not context.findings:
        return ()
    ranked = re.compile(rf"\b(?:{ORDINAL})[- ](?:{word('worst')}|{word('mildest')})\b")
    photos = bool(context.previous and context.previous[-1].samples)
    bare = [m.span() for m in _BARE_PLACE.finditer(text) if ordinal(m[1]) <= len(context.findings)]
    return (*(() if photos else bare), *(m.span() for m in ranked.finditer(text)))


def _counted(at: int, m: re.Match[str], thing: str, found: _Found) -> None:
    findings = found.context.findings
    # "the second one" counts in the order shown, "the second spike" in time
    order = list(range(len(findings))) if thing in ("one", "ones", "thing") else _in_time(findings, thing)
    picked = [order[at - 1 if at > 0 else at]] if at != 0 and -len(order) <= at <= len(order) else []
    found.add("last" if at == -1 else "ordinal", m, picked, at if at > 0 else None)
    if findings and not picked:
        there = "is only one such finding" if len(order) == 1 else f"are only {len(order)} such findings"
        found.notes.append(f"There {there}, so I cannot tell which is {m[0].strip()!r}.")
    elif picked and at > 0 and picked[0] != at - 1:
        found.notes.append(f"I took {m[0].strip()!r} in order of time.")


def _by_name(free: str, noun: str, found: _Found) -> None:
    """As in "the crash", "those events"; and, when nothing else was named, "it", "them"."""
    every = range(len(found.context.findings))
    for m in re.finditer(rf"\b(?:the|that|this|these|those|each|your) {_ADJECTIVES}({noun})\b", free):
        fitting = _labelled(found.context.findings, m[1])
        found.add("label" if fitting else "it", m, fitting or found.before or every)
    pronoun = either("pronoun").search(free)
    compared = len(found.made) == 1 and re.search(r"\b(?:compar\w+|than|versus|vs)\b", free)
    if found.context.previous and pronoun is not None and (not found.made or (compared and found.before)):
        found.add("it", pronoun, found.before or every)


def _labelled(findings: Sequence[PriorFinding], noun: str) -> list[int]:
    stem = re.sub(r"(?:es|s)$", "", noun)
    if len(stem) < 3 or stem in _SPECIFIC_NEEDED:
        return []
    return [i for i, f in enumerate(findings) if stem in f.label.lower()]


def _ranked(findings: Sequence[PriorFinding], noun: str) -> list[int]:
    pool = _labelled(findings, noun) or list(range(len(findings)))
    return sorted(pool, key=lambda i: (-findings[i].severity_score, i))


def _in_time(findings: Sequence[PriorFinding], noun: str) -> list[int]:
    pool = _labelled(findings, noun) or list(range(len(findings)))
    if all(findings[i].start_s is not None for i in pool):
        return sorted(pool, key=lambda i: (findings[i].source, findings[i].start_s or 0.0, i))
    return pool


def _beside(found: _Found, step: int) -> list[int]:
    """The finding after (+1) or before (-1) the one talked about, in time."""
    order, before = _in_time(found.context.findings, ""), found.before
    if not order:
        return []
    if not before or before[0] not in order:
        return [order[0 if step > 0 else -1]]
    at = order.index(before[-1 if step > 0 else 0]) + step
    return [order[at]] if 0 <= at < len(order) else []


_BARE = re.compile(
    r"^(?:and |but |so )*(?:what (?:about|happened|happens|was|is|came|comes|follow\w*) )?(?:just |right |shortly |directly |immediately )?"
    r"(?P<how>before|after)(?:wards)?(?: (?:that|it|this|then))?[?.! ]*$"
)
"""A question that only moves the time: as long a stretch before or after the one talked about."""
_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_HOW = {"leading up to": "before", "prior to": "before", "until": "before", "following": "after", "since": "after"}
_LEAD = re.compile(
    r"(?:(?:the )?(?:(?P<n>\d{1,6}(?:\.\d{1,3})?|an?|"
    + "|".join(NUMBERS)
    + r")\s?(?P<u>seconds?|secs?|s|minutes?|mins?|hours?|h|days?) )?"
    r"(?P<close>just |right |shortly |immediately |directly |soon )?"
    r"(?P<how>before|after|during|around|leading up to|prior to|following|at the time of|near|since|until)) $"
)


_TIME = r"(?:at|in|around|during) (?:that|the same|this) (?:time|moment|point|period)"
_THEN = re.compile(
    rf"(?:^(?:and |but |so )*(?:then|meanwhile|{_TIME})\b|\b(?:(?<!and )(?<!so )(?:back )?then|meanwhile|simultaneously|{_TIME})[?.! ]*$)"
)
"""At the time talked about: "what was the pressure then?", "at that time, was the pump on?"."""


def relative_times(text: str, references: Sequence[Reference], context: Context) -> Iterator[TimeRange]:
    """Times said by a finding: "after that", "10 seconds before the last spike", "during E3", or a bare "and before?"."""
    bare = _BARE.match(text)
    if bare is not None and context.previous and not any(reference.kind != "it" for reference in references):
        beside = list(_beside_before(bare, references, context))
        if beside:
            yield from beside
            return
    if context.previous and _THEN.search(text) and (talked := _talked_about(context)):
        yield from talked
        return
    for reference in references:
        lead = _LEAD.search(text[: max(text.find(reference.text), 0)])
        if lead is None:
            continue
        found = [context.findings[i] for i in reference.findings]
        spans = [(f.source, f.start_s, f.start_s if f.end_s is None else f.end_s) for f in found if f.start_s is not None]
        if reference.kind == "it" and not spans and context.previous:
            spans = [(t.source, t.start_s, t.end_s) for t in context.previous[-1].times[-1:]]
        how = _HOW.get(lead["how"], lead["how"])
        for name, start, end in spans[:1] if how in ("before", "during") else spans[-1:]:
            low, high = _beside_span(lead, how, start, end, name, context)
            if high > low:
                yield TimeRange(source=name, start_s=low, end_s=high, text=(lead[0] + reference.text).strip(), mention=_RELATIVE)


def _talked_about(context: Context) -> list[TimeRange]:
    """The time of the question before, or of the finding it was about: one it named, else the worst in its channels, else the worst."""
    previous = context.previous[-1]
    if previous.times:
        return [replace(previous.times[-1], mention=_RELATIVE)]
    named = [context.findings[i] for i in previous.findings if i < len(context.findings)]
    timed = [f for f in named or context.findings if not previous.sources or f.source in previous.sources]
    told = [f for f in timed if set(f.channels) & set(previous.channels)] or timed
    worst = max((f for f in told if f.start_s is not None), key=lambda f: f.severity_score, default=None)
    if worst is None or worst.start_s is None or worst.end_s is None or worst.end_s <= worst.start_s:
        return []
    return [TimeRange(source=worst.source, start_s=worst.start_s, end_s=worst.end_s, text="then", mention=_RELATIVE)]


def _reach(when: TimeRange, context: Context) -> float:
    """As long as the time itself; beside a moment, ten readings."""
    source = context.source(when.source)
    period = source.period_s if source is not None and source.period_s else 0.5
    return max(when.end_s - when.start_s, 10 * period if when.point else 0.0)


def _beside_before(bare: re.Match[str], references: Sequence[Reference], context: Context) -> Iterator[TimeRange]:
    """As long a stretch before or after the time asked before; without one, all that lies beside the findings told before."""
    previous = context.previous[-1]
    spans = [(t.source, t.start_s, t.end_s, _reach(t, context)) for t in previous.times[-1:]]
    if not spans and not references:
        chosen = previous.findings or range(len(context.findings))
        named = [context.findings[i] for i in chosen if i < len(context.findings)]
        timed = [(f.source, f.start_s, f.start_s if f.end_s is None else f.end_s) for f in named if f.start_s is not None]
        spans = [(*span, float("inf")) for span in (timed[:1] if bare["how"] == "before" else timed[-1:])]
    for name, start, end, length in spans:
        limit = getattr(context.source(name), "duration_s", None)
        low, high = (max(0.0, start - length), start) if bare["how"] == "before" else (end, end + length)
        high = high if limit is None else min(high, limit)
        if high > low:
            yield TimeRange(source=name, start_s=low, end_s=high, text=bare[0].strip(" ?.!"), mention=_RELATIVE)


def _beside_span(lead: re.Match[str], how: str, start: float, end: float, name: str, context: Context) -> tuple[float, float]:
    """(start, end) of the time before, after or around [start, end), clipped to the source."""
    source = context.source(name)
    limit = source.duration_s if source is not None and source.duration_s is not None else float("inf")
    reach: float | None = None
    if lead["n"]:
        count = NUMBERS.get(lead["n"]) or (1.0 if lead["n"] in ("a", "an") else float(lead["n"]))
        reach = count * _UNIT_S[lead["u"][0]]
    elif lead["close"]:
        period = source.period_s if source is not None and source.period_s else 0.5
        reach = max(end - start, 10 * period)
    if how == "before":
        low, high = (0.0 if reach is None else start - reach), start
    elif how == "after":
        low, high = end, (limit if reach is None else end + reach)
    else:
        low, high = start - (reach or 0.0), end + (reach or 0.0)
    return max(0.0, low), min(limit, high)
