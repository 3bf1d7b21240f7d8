"""Reading a definition about an event log: who does what to what, how it was started, how often in which time."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from agent.lookups.log_concepts import asked_concepts
from agent.rules.conditions import EventCondition, Who
from agent.rules.event_counts import Left, read_attributes, read_counts
from agent.rules.event_places import LYING, SEPARATOR, are_files, in_place, joined, within_place
from agent.rules.event_words import (
    COMMANDS,
    CUE,
    EVERYDAY,
    EXCEPT,
    FILE_NAME,
    FLAGS,
    NOUNS,
    OF_ACCOUNTS,
    OUTSIDE_OF,
    REGISTRY,
    RUN_KEY,
    RUNNING,
    STARTED_BY,
    VERBS,
)
from agent.rules.programs import Embed, is_generic, is_program, who_is
from tools.events.wording import Deed


def about_events(body: str, known: Callable[[str], Sequence[str]] | None = None) -> bool:
    """True when a definition speaks of processes, files, accounts and the like.

    >>> about_events("powershell started by a document viewer"), about_events("a person near the press")
    (True, False)
    """
    if CUE.search(body) or COMMANDS.match(body) or asked_concepts(body):
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
    if (
        (flags := FLAGS.match(body)) is not None
        and is_program(flags["p"].removesuffix(".exe"))
        and (program := who_is(flags["p"])) is not None
    ):
        return EventCondition(deeds=("start",), object=program, text=flags["x"]), (), ()
    if (typed := COMMANDS.match(body)) is not None and (program := who_is(typed["p"])) is not None:
        return EventCondition(deeds=("start",), object=program, text=typed["x"]), (), ()
    left = Left(RUN_KEY.sub("registry changes to the run key", body))
    values: dict[str, Any] = {}
    read_counts(left, values)
    read_attributes(left, values)

    def resolve(phrase: str) -> Who | None:
        phrase = re.sub(
            r"^(?:(?:that|which|who|and|or|to|into|of|from|with|by|the memory of)\s+)+", "", " ".join(phrase.split())
        ).strip(" ,")
        phrase = re.sub(r"(?:^|\s+)(?:that|which|who|and|then|the|a|an|it)$", "", phrase)
        phrase = re.sub(r"^(?:(?:an?|any|the) )?(?:process(?:es)?|programs?|files?|executables?) (?:named|called) ", "", phrase)
        if not phrase or is_generic(phrase):
            return None
        for pattern in (EXCEPT, OUTSIDE_OF):
            if (match := pattern.match(phrase)) is not None:
                return _all_but(match["what"], match["x"], phrase, resolve, left)
        if (both := _inside(phrase, resolve)) is not None:
            return both
        lying = LYING.match(phrase)
        if lying is not None and is_generic(lying["what"]) and (place := resolve(lying["x"])) is not None:
            return Who(said=phrase[:200], names=in_place(place))
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
    if (key := _key(left.text)) is not None:
        values["deeds"], values["object"] = ("registry_set", "registry_key", "registry_delete"), key
    elif started is not None:
        _started(left, values, started, verb, resolve)
    elif (
        verb is None
        and _noun(left.text) is None
        and (not asked_concepts(left.text) or _is_a_program(left.text))
        and (named := who_is(left.text, known=known)) is not None
    ):
        values["deeds"], values["object"] = ("start",), named
        left.notes.append(f"A name alone was read as: {named.said} being started.")
    elif (noun := _noun(left.text)) is not None and (verb is None or noun[1].start() <= verb[1].start()):
        values["deeds"] = noun[0]
        _noun_rest(left.text[noun[1].end() :], values, resolve)
        if before := left.text[: noun[1].start()].strip():
            who = resolve(before)
            if who is not None and are_files(who):  # "a .dmp file is written"
                values["object"] = joined(who, values.get("object"), left)
            else:
                values.setdefault("subject", who)
    elif verb is None and _noun(left.text) is None and (inside := _inside(left.text, resolve)) is not None:
        values["deeds"], values["object"] = ("start",), inside
        left.notes.append(f"A name alone was read as: {inside.said} being started.")
    elif verb is not None and _whole_act(left, values, verb, resolve):
        pass
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
    if "deeds" in values and "object" in values and any(REGISTRY.search(n) for n in values["object"].names):
        values["deeds"] = ("registry_set", "registry_key", "registry_delete")
    if not set(values) & {"subject", "deeds", "concept", "object", "parent", "user", "user_besides", "text"}:
        return None, tuple(left.missed), tuple(left.notes)
    return EventCondition(**values), tuple(dict.fromkeys(left.missed)), tuple(left.notes)


def _all_but(what: str, x: str, phrase: str, resolve: Callable[[str], Who | None], left: Left) -> Who | None:
    """Those meant without those that are not; None, and the phrase missed, where the latter are unknown."""
    besides = resolve(x)
    meant = resolve(what) if what.strip() and not is_generic(what) else None
    if besides is None or besides.besides or (meant is not None and meant.besides):
        left.missed.append(phrase)
        return None
    return Who(said=phrase[:200], names=meant.names if meant is not None else (), besides=besides.names)


def _verb(text: str) -> tuple[tuple[Deed, ...], re.Match[str]] | None:
    """The act of the sentence: the earliest verb; of those at one place the longest."""
    found = [(deeds, m) for deeds, words in VERBS if (m := re.search(rf"(?<![\w.\\/])(?:{words})(?![\w.])", text)) is not None]
    return min(found, key=lambda pair: (pair[1].start(), -(pair[1].end() - pair[1].start())), default=None)


def _noun(text: str) -> tuple[tuple[Deed, ...], re.Match[str]] | None:
    """An act named by a noun ("file deletes", "connections") that opens the sentence or follows its subject."""
    found = [(deeds, m) for deeds, words in NOUNS if (m := re.search(rf"(?<![\w.\\/-])(?:{words})(?![\w.])", text)) is not None]
    best = min(found, key=lambda pair: (pair[1].start(), -(pair[1].end() - pair[1].start())), default=None)
    return best if best is not None and len(text[: best[1].start()].split()) <= 3 else None


def _concept_first(concept: str, verb: tuple[tuple[Deed, ...], re.Match[str]] | None) -> bool:
    """A concept says it better than the verb, except for everyday acts with a doer or a target of their own."""
    return verb is None or (
        concept not in EVERYDAY and concept not in ("registry", "inject", "credentials", "dns", "service", "task", "internet")
    )


def _concept_rest(left: Left, concept: str, values: dict[str, Any], resolve: Callable[[str], Who | None]) -> None:
    from agent.reading.phrases import headed

    pattern = dict(headed("log concept")).get(concept)
    for match in list(pattern.finditer(left.text)) if pattern is not None else []:
        left.take(match)
    by = re.search(r"\bby\s+(?P<x>[^,]+)$", left.text)
    if (
        by is not None
        and concept in OF_ACCOUNTS
        and re.fullmatch(r"[\w$@\\-]+", by["x"].strip())
        and not is_program(by["x"].strip())
    ):
        values["user"] = by["x"].strip()
        left.take(by)
    elif by is not None:
        values["subject"] = resolve(by["x"])
        left.take(by)
    rest = re.sub(
        r"\b(?:is|are|was|were|being|happens?|occurs?|there|any|a|an|the|new|attempts?|events?|from|for|to|of|in|on|with|that"
        r"|which|and|or|by|usage|use)\b",
        " ",
        left.text,
    )
    if concept in ("task", "service", "persistence"):
        rest = re.sub(r"\b(?:tasks?|jobs?|made|created|set up|installed|added|registered)\b", " ", rest)
    left.missed += [w for w in [" ".join(rest.split())] if w]


def _whole_act(
    left: Left, values: dict[str, Any], verb: tuple[tuple[Deed, ...], re.Match[str]], resolve: Callable[[str], Who | None]
) -> bool:
    """Read an act of which both the doer and what it is done to are known by name; False, and nothing read, without either."""
    missed, text, before = list(left.missed), left.text, dict(values)
    _acted(left, values, verb, resolve)
    if left.missed == missed and values.get("subject") and values.get("object"):
        return True
    left.missed[:], left.text = missed, text
    values.clear()
    values.update(before)
    return False


def _noun_rest(rest: str, values: dict[str, Any], resolve: Callable[[str], Who | None]) -> None:
    """What stands behind an act named by a noun: what it was done to ("of", "to", "in"), and who did it ("by", "from")."""
    by = re.search(r"\bby\s+(?P<x>(?:(?!\bby\b)[^,])+)$", rest)
    if by is not None:
        values["subject"] = resolve(by["x"])
        rest = rest[: by.start()]
    if rest.strip() and not values.get("object"):
        target = re.match(r"\s*(?:of|to|in|into|on|for|from|under|inside)\s+(?P<x>[^,]+)$", rest)
        thing = resolve(target["x"] if target else rest)
        source = thing if target is not None and target[0].lstrip().startswith("from") else None
        if source is not None and not any(SEPARATOR.search(n) for n in source.names):
            values["subject"] = values.get("subject") or thing  # "connections from powershell"; "from a folder" is a place
        else:
            values["object"] = thing


def _started(
    left: Left, values: dict[str, Any], started: re.Match[str], verb: tuple[tuple[Deed, ...], re.Match[str]] | None,
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
    values["deeds"], values["object"] = ("start",), resolve(left.text[: started.start()])
    denied = started["not"] or started["not2"]
    maker_said = left.text[started.end() :]
    lying = re.match(r"^\s*(?P<x>.+?)\s+(?:from|out of)\s+(?P<p>.+)$", maker_said)
    if (
        values["object"] is None
        and lying is not None
        and (place := resolve(lying["p"])) is not None
        and SEPARATOR.search(place.names[0] if place.names else "")
    ):
        values["object"], maker_said = place, lying["x"]  # "anything started by X from a folder": what lies there was started
    maker = resolve(maker_said)
    lies = re.search(r"\b(?:from|out of)\s*$", started[0]) is not None
    if maker is not None and not denied and lies and not maker.names and all(SEPARATOR.search(n) for n in maker.besides):
        what = values["object"]  # "started from outside a folder"
        values["object"] = Who(
            said=f"{what.said if what else 'anything'} {maker.said}", names=what.names if what else (), besides=maker.besides
        )
        return
    if (
        maker is not None
        and not denied
        and maker.names
        and all(SEPARATOR.search(n) and not FILE_NAME.search(n) for n in maker.names)
    ):
        what = values["object"]  # "started from a folder" is where it lies, not what started it
        values["object"] = maker if what is None else within_place(what, maker, f"{what.said} in {maker.said}")
        if values["object"] is None:
            left.missed.append(left.text[started.end() :].strip())
        return
    if denied and maker is not None:
        maker = Who(said=maker.said, besides=maker.names) if not maker.besides else Who(said=maker.said, names=maker.besides)
    elif denied:
        left.missed.append(" ".join(left.text[started.start() :].split()) or "not")
    values["subject"] = maker
    if started["how"] == "open" and values["object"] is not None and any(RUNNING.search(n) for n in values["object"].names):
        values["deeds"] = ("access", "read")
    if values["lineage"] and values["subject"] is not None:
        values |= {"parent": values["subject"], "subject": values["object"], "object": None, "deeds": ()}


def _acted(
    left: Left, values: dict[str, Any], verb: tuple[tuple[Deed, ...], re.Match[str]], resolve: Callable[[str], Who | None]
) -> None:
    deeds, match = verb
    before, after = left.text[: match.start()], left.text[match.end() :]
    values["deeds"] = deeds
    by = re.search(r"(?:^|\s)by\s+(?P<x>.+)$", after)
    participle = re.search(r"(?:ed|en|run)(?: to)?$", match[0]) is not None
    acted_on = by is not None and (participle or by.start() == 0)  # "read by" is passive as it stands
    passive = re.search(r"\b(?:is|are|was|were|being|been|gets?)\s*(?:\w+ly )?$", before) or acted_on
    if passive and deeds not in (("login",), ("login_failed",)):
        thing = re.sub(r"\b(?:that |which )?(?:is|are|was|were|being|been|gets?)\s*(?:\w+ly )?$", "", before)
        values["object"] = values.get("object") or resolve(thing)
        values["subject"] = resolve(by["x"]) if by else None
        where = re.sub(r"^\s*(?:in|into|to|from|on|at|under|inside|within)\s+", "", after[: by.start()] if by else after)
        if where.strip() and not is_generic(where.strip()) and (place := resolve(where)) is not None:
            values["object"] = joined(values["object"], place, left) if values.get("object") else place
        return
    values["subject"] = resolve(re.sub(r"\b(?:that|which|who)\s*$", "", before))
    from_place = (
        re.match(r"\s*(?:from|in|out of|under|inside|(?=outside\b))\s*(?P<x>\S.*)$", after) if deeds == ("start",) else None
    )
    if from_place is not None and values["subject"] is not None:  # "svchost.exe running from the temp folder"
        place = resolve(from_place["x"])
        if place is not None:
            values["subject"], values["object"] = None, joined(values["subject"], place, left)
        return
    _place(left, values, after, resolve)
    doer = values["subject"]
    if (
        doer is not None and are_files(doer) and re.search(r"(?:ed|en|run)(?: to)?$", match[0])
    ):  # "a dll loaded from a folder": nobody is named
        values["subject"], values["object"] = None, joined(doer, values.get("object"), left)
    if not values.get("object") and deeds == ("start",) and values["subject"] is not None and not after.strip():
        values["object"], values["subject"] = values["subject"], None  # "powershell running" is started by anybody


def _inside(text: str, resolve: Callable[[str], Who | None]) -> Who | None:
    """Of "executables in the downloads folder" the names of both as one pattern; None when either is no pattern."""
    match = re.match(
        r"^(?P<what>.+?)\s+(?:in|into|to|from|under|inside)\s+(?P<x>.*(?:\b(?:folder|directory|files|appdata|programdata"
        r"|system32|temp|tmp|downloads|desktop)\b|[\\/]).*)$",
        " ".join(text.split()),
    )
    if match is None:
        return None
    what, place = resolve(match["what"]), resolve(match["x"])
    return None if what is None or place is None else within_place(what, place, " ".join(text.split()))


def _key(text: str) -> Who | None:
    """The registry keys that a body only names, "a new run key"; None for anything else."""
    who = who_is(" ".join(text.split()))
    return who if who is not None and any(REGISTRY.search(n) for n in who.names) else None


def _is_a_program(text: str) -> bool:
    """True where a body is the name of a well-known program and no everyday word."""
    word = " ".join(text.split())
    return is_program(word) and word not in ("sudo", "su")


def _place(left: Left, values: dict[str, Any], after: str, resolve: Callable[[str], Who | None]) -> None:
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
