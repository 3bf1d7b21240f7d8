"""Reading a definition about an event log: who does what to what, how it was started, how often in which time."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.lookups.log_concepts import asked_concepts
from agent.rules.conditions import EventCondition, Who
from agent.rules.event_words import ADDRESS, BY, COUNT, CUE, HOST, NOUNS, OUTSIDE, STARTED_BY, TEXT, USER, VERBS
from agent.rules.numbers import find_within
from agent.rules.programs import Embed, is_generic, is_program, who_is
from tools.events.wording import Deed


@dataclass
class _Left:
    """A body that is eaten up piece by piece: what was read is blanked, and what remains was not understood."""

    text: str
    missed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, match: re.Match[str] | tuple[int, int] | None) -> bool:
        if match is None:
            return False
        a, b = match if isinstance(match, tuple) else match.span()
        self.text = self.text[:a] + " " * (b - a) + self.text[b:]
        return True


def about_events(body: str, known: Callable[[str], Sequence[str]] | None = None) -> bool:
    """True when a definition speaks of processes, files, accounts and the like.

    >>> about_events("powershell started by a document viewer"), about_events("a person near the press")
    (True, False)
    """
    if CUE.search(body) or asked_concepts(body):
        return True
    names = list(re.findall(r"[\w$.-]{3,}", body))
    if STARTED_BY.search(body) and any(who_is(w, known=known) is not None for w in names):
        return True
    verb = _verb(body)
    if verb is not None and who_is(body[: verb[1].start()], known=known) and who_is(body[verb[1].end() :], known=known):
        return True
    return any(is_program(w) or (known is not None and known(w) and re.search(r"[.\d]", w)) for w in names)


def read_events(
    body: str, *, known: Callable[[str], Sequence[str]] | None = None, embed: Embed | None = None
) -> tuple[EventCondition | None, tuple[str, ...], tuple[str, ...]]:
    """(condition, words not understood, notes) of a definition about a log.

    >>> found, missed, _ = read_events("more than 20 file deletes within 1 minute")
    >>> found.deeds, found.count, found.within_s, missed
    (('delete',), 21, 60.0, ())
    >>> found, _, _ = read_events("powershell started by wmiprvse.exe")
    >>> found.deeds, found.subject.names, found.object.names
    (('start',), ('wmiprvse.exe',), ('powershell.exe', 'pwsh.exe', 'powershell_ise.exe'))
    """
    left = _Left(body)
    values: dict[str, Any] = {}
    _counting(left, values)
    _attributes(left, values)

    def resolve(phrase: str) -> Who | None:
        phrase = re.sub(
            r"^(?:(?:that|which|who|and|or|to|into|of|from|with|by|the memory of)\s+)+", "", " ".join(phrase.split())
        ).strip(" ,")
        phrase = re.sub(r"(?:^|\s+)(?:that|which|who|and|then|the|a|an|it)$", "", phrase)
        if not phrase or is_generic(phrase):
            return None
        parts = [p for p in re.split(r"\s+(?:or|and)\s+|,\s*(?:or |and )?", phrase) if p]
        found = [who_is(part, known=known, embed=embed) for part in parts]
        names = tuple(dict.fromkeys(n for who in found if who is not None for n in who.names))[:200]
        left.missed += [part for part, who in zip(parts, found, strict=True) if who is None and not is_generic(part)]
        return Who(said=phrase[:200], names=names) if names else None

    started = STARTED_BY.search(left.text)
    verb = _verb(
        left.text
        if started is None
        else left.text[: started.start()] + " " * (started.end() - started.start()) + left.text[started.end() :]
    )
    if started is not None:
        _started(left, values, started, verb, resolve)
    elif (noun := _noun(left.text)) is not None and (verb is None or noun[1].start() <= verb[1].start()):
        values["deeds"] = noun[0]
        _noun_rest(left.text[noun[1].end() :], values, resolve)
        if before := left.text[: noun[1].start()].strip():
            who = resolve(before)
            values.setdefault("subject", who)
    elif (concepts := asked_concepts(left.text)) and _concept_first(concepts[0], verb):
        values["concept"] = concepts[0]
        _concept_rest(left, concepts[0], values, resolve)
    elif verb is not None:
        _acted(left, values, verb, resolve)
    else:
        who = _inside(left.text, resolve) or resolve(left.text)
        if who is not None:  # a bare name: its being started or doing anything at all
            values["deeds"], values["object"] = ("start",), who
            left.notes.append(f"A name alone was read as: {who.said} being started.")
    if values.get("outside") and not values.get("deeds") and not values.get("concept"):
        values["concept"] = "internet"
    values = {k: v for k, v in values.items() if v not in (None, ())}
    if not set(values) & {"subject", "deeds", "concept", "object", "parent", "user", "text"}:
        return None, tuple(left.missed), tuple(left.notes)
    return EventCondition(**values), tuple(dict.fromkeys(left.missed)), tuple(left.notes)


def _counting(left: _Left, values: dict[str, Any]) -> None:
    within = find_within(left.text)
    per = re.search(r"\b(?:per|a|every|each)\s+(?P<u>second|minute|hour|day)\b", left.text) if within is None else None
    if within is not None:
        values["within_s"] = within.value
        left.take((within.a, within.b))
    elif per is not None and re.search(r"\d", left.text[: per.start()]):
        values["within_s"] = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}[per["u"]]
        left.take(per)
    left.text = left.text.lstrip()
    match = COUNT.search(left.text) or re.search(
        r"\b(?P<more>more than|over|at least)\s+(?P<n>\d{1,7})(?P<plus>)\s+(?=[a-z])", left.text
    )
    if match is not None and re.match(
        r"(?:different |distinct |other )?(?:address\w*|ips?|computers?|hosts?|machines?|accounts?|users?|people|servers?)\b",
        left.text[match.end() :],
    ):
        left.missed.append(" ".join(left.text[match.start() :].split()[:5]))  # counting different things is another thing
        left.take((match.start(), len(left.text)))
        match = None
    if match is not None:
        strict = match["more"] in ("more than", "over")
        values["count"] = int(match["n"]) + strict
        left.take(match)
    by = BY.search(left.text)
    if by is not None and ("count" in values or "within_s" in values):
        x = by["x"]
        values["by"] = (
            "subject" if x in ("process", "program") else "user" if x in ("user", "account", "person")
            else "host" if x in ("host", "computer", "machine") else "object" if x in ("file", "target") else "address"
        )  # fmt: skip
        left.take(by)


def _attributes(left: _Left, values: dict[str, Any]) -> None:
    if (match := TEXT.search(left.text)) is not None:
        values["text"] = (match["q"] or match["w"] or match["v"] or match["u"]).strip(" .,")
        left.take(match)
    if (match := USER.search(left.text)) is not None:
        values["user"] = (match["x"] or match["y"] or match["z"]).strip()
        left.take(match)
    if (match := HOST.search(left.text)) is not None:
        values["host"] = match["x"]
        left.take(match)
    if (match := ADDRESS.search(left.text)) is not None:
        values["object"] = Who(said=match["x"], names=(match["x"],))
        left.text = left.text[: match.start("x")] + " " * len(match["x"]) + left.text[match.end("x") :]
    elif (match := OUTSIDE.search(left.text)) is not None:
        values["outside"] = True
        left.take(match)


def _verb(text: str) -> tuple[tuple[Deed, ...], re.Match[str]] | None:
    """The act of the sentence: the earliest verb; of those at one place the longest."""
    found = [(deeds, m) for deeds, words in VERBS if (m := re.search(rf"(?<![\w.\\/])(?:{words})(?![\w.])", text)) is not None]
    return min(found, key=lambda pair: (pair[1].start(), -(pair[1].end() - pair[1].start())), default=None)


def _noun(text: str) -> tuple[tuple[Deed, ...], re.Match[str]] | None:
    """An act named by a noun ("file deletes", "connections") that opens the sentence or follows its subject."""
    found = [(deeds, m) for deeds, words in NOUNS if (m := re.search(rf"(?<![\w.\\/-])(?:{words})(?![\w.])", text)) is not None]
    best = min(found, key=lambda pair: (pair[1].start(), -(pair[1].end() - pair[1].start())), default=None)
    return best if best is not None and len(text[: best[1].start()].split()) <= 3 else None


_ACTIVE: frozenset[str] = frozenset({"delete", "write", "read", "start", "network"})


def _concept_first(concept: str, verb: tuple[tuple[Deed, ...], re.Match[str]] | None) -> bool:
    """A concept says it better than the verb, except for everyday acts with a doer or a target of their own."""
    return verb is None or (
        concept not in _ACTIVE and concept not in ("registry", "inject", "credentials", "dns", "service", "task", "internet")
    )


def _concept_rest(left: _Left, concept: str, values: dict[str, Any], resolve: Callable[[str], Who | None]) -> None:
    from agent.reading.phrases import headed

    pattern = dict(headed("log concept")).get(concept)
    for match in list(pattern.finditer(left.text)) if pattern is not None else []:
        left.take(match)
    by = re.search(r"\bby\s+(?P<x>[^,]+)$", left.text)
    if by is not None:
        values["subject"] = resolve(by["x"])
        left.take(by)
    rest = re.sub(
        r"\b(?:is|are|was|were|being|happens?|occurs?|there|any|a|an|the|new|attempts?|events?|from|to|of|in|on|with|that"
        r"|which|and|or|by|tasks?|jobs?|made|created|set up|installed|added|registered|usage|use)\b",
        " ",
        left.text,
    )
    left.missed += [w for w in [" ".join(rest.split())] if w]


def _noun_rest(rest: str, values: dict[str, Any], resolve: Callable[[str], Who | None]) -> None:
    """What stands behind an act named by a noun: what it was done to ("of", "to", "in"), and who did it ("by", "from")."""
    by = re.search(r"\b(?:by|from)\s+(?P<x>[^,]+)$", rest)
    if by is not None:
        values["subject"] = resolve(by["x"])
        rest = rest[: by.start()]
    if rest.strip() and not values.get("object"):
        target = re.match(r"\s*(?:of|to|in|into|on)\s+(?P<x>[^,]+)$", rest)
        values["object"] = resolve(target["x"] if target else rest)


def _started(
    left: _Left, values: dict[str, Any], started: re.Match[str], verb: tuple[tuple[Deed, ...], re.Match[str]] | None,
    resolve: Callable[[str], Who | None],
) -> None:  # fmt: skip
    """Of "Y started by X": the event of starting; with another act ("… that connects to the internet") X is the parent of its doer."""
    values["lineage"] = bool(started.groupdict().get("child") and started["child"].startswith(("descend", "offspring", "stem")))
    if verb is not None and verb[0] != ("start",) and verb[1].start() > started.end():
        values["parent"] = resolve(left.text[started.end() : verb[1].start()])
        values["subject"] = resolve(left.text[: started.start()])
        values["deeds"] = verb[0]
        values["object"] = values.get("object") or resolve(left.text[verb[1].end() :])
        return
    maker = left.text[started.end() :]
    values["deeds"], values["object"] = ("start",), resolve(left.text[: started.start()])
    values["subject"] = resolve(maker)
    if values["lineage"] and values["subject"] is not None:
        values |= {"parent": values["subject"], "subject": values["object"], "object": None, "deeds": ()}


def _acted(
    left: _Left, values: dict[str, Any], verb: tuple[tuple[Deed, ...], re.Match[str]], resolve: Callable[[str], Who | None]
) -> None:
    deeds, match = verb
    before, after = left.text[: match.start()], left.text[match.end() :]
    values["deeds"] = deeds
    passive = re.search(r"\b(?:is|are|was|were|being|been|gets?)\s*(?:\w+ly )?$", before) or re.match(r"\s*by\b", after)
    if passive and deeds not in (("login",), ("login_failed",)):
        by = re.match(r"\s*by\s+(?P<x>.+)$", after)
        thing = re.sub(r"\b(?:that |which )?(?:is|are|was|were|being|been|gets?)\s*(?:\w+ly )?$", "", before)
        values["object"] = values.get("object") or resolve(thing)
        values["subject"] = resolve(by["x"]) if by else None
        if by is None and after.strip():
            _place(left, values, after, resolve)
        return
    values["subject"] = resolve(re.sub(r"\b(?:that|which|who)\s*$", "", before))
    _place(left, values, after, resolve)
    if not values.get("object") and deeds == ("start",) and values["subject"] is not None and not after.strip():
        values["object"], values["subject"] = values["subject"], None  # "powershell running" is started by anybody


def _inside(text: str, resolve: Callable[[str], Who | None]) -> Who | None:
    """Of "executables in the downloads folder" the names of both as one pattern; None when either is no pattern."""
    match = re.match(
        r"^(?P<what>.+?)\s+(?:in|into|to|from|under|inside)\s+(?P<x>.*\b(?:folder|directory|files)\b.*)$", " ".join(text.split())
    )
    if match is None:
        return None
    what, place = resolve(match["what"]), resolve(match["x"])
    if (
        what is None
        or place is None
        or not all(n.startswith("*.") for n in what.names)
        or not all(n.endswith("*") for n in place.names)
    ):
        return None
    names = tuple(p[:-1] + n for p in place.names for n in what.names)[:200]
    return Who(said=" ".join(text.split())[:200], names=names)


def _place(left: _Left, values: dict[str, Any], after: str, resolve: Callable[[str], Who | None]) -> None:
    """What an act is done to; "a file in the temp folder" is the folder, the more telling of the two."""
    if values.get("object") or not after.strip():
        return
    if (both := _inside(after, resolve)) is not None:
        values["object"] = both
        return
    inside = re.search(r"^(?P<what>.*?)\s*\b(?:in|into|to|from|under|inside)\s+(?P<x>.+)$", after)
    if inside is not None:
        place, what = resolve(inside["x"]), resolve(inside["what"])
        values["object"] = what or place
        if what is not None and place is not None:
            left.missed.append(inside["x"].strip())
        return
    values["object"] = resolve(after)
