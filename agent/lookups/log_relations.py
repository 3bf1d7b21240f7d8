"""How things in an event log hang together: parent, children, what came next, who was contacted, whose account it was.

A question is matched with `[log relation …]` of `agent/reading/phrases.txt` and with the concepts of `log_concepts`; the answer is the
rows that show it, chosen by rarity and told in the order of time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.examine.rows import say_row
from agent.investigation import Investigation
from agent.lookups import log_concepts as concepts
from agent.lookups.log_actors import Actors, Answer, about, makes, meant, of_finding, pointed_at, says_it, suspicious
from agent.lookups.log_others import others
from agent.question import Request
from agent.reading.phrases import headed
from agent.reading.tidy import words_of
from core.samples import EventLog
from tools.events.wording import is_text

ROWS_SHOWN = 8
TALLIED = 8
GUESSES = 20
"""Failed logins from one address from which on an answer speaks of guessing."""
BEFORE_S = 600.0
"""How far back "before" reaches."""
_BROAD = frozenset({"address", "account", "computer"})
"""Relations that sum up many rows; they need nobody named."""
_CHAIN_WIDE = frozenset({"address", "account", "computer", "deeds", "before"})
"""Relations that mean all processes of a finding, not the last one alone."""
_SAID = {
    "parent": "say who started it", "writer": "say who wrote it", "children": "say what it started", "begin": "say when it was started",
    "touched": "say who used it", "deeds": "tell what it did", "next": "tell what it did", "before": "come just before",
}  # fmt: skip
_NETWORK = frozenset({"network", "internet", "exfiltration"})
_IN_ORDER = frozenset({"next", "before", "begin", "parent"})
_ELSE = re.compile(r"\belse\b")
_USER_IN_TEXT = re.compile(r"\bfor (?:invalid user )?(?!invalid\b)([\w.$\\-]{1,40}) (?:from|by)\b|\buser[= ]([\w.$\\-]{1,40})")


def asked_relation(question: str) -> str | None:
    """The relation a question asks for, or None.

    >>> asked_relation("who started svcupd.exe?"), asked_relation("what did that process do next"), asked_relation("why?")
    ('parent', 'next', None)
    >>> asked_relation("what did cmd.exe start?"), asked_relation("what did the attacker do, and how did it start?")
    ('children', 'deeds')
    """
    words = words_of(question)
    return next((name for name, pattern in headed("log relation") if pattern.search(words)), None)


def answer(request: Request, log: EventLog, inv: Investigation | None, inside: concepts.Mask | None) -> Answer | None:
    """What the log says to a question about a relation or a concept; None when it asks for neither. `inside` masks the times asked for."""
    relation, asked = asked_relation(request.question), concepts.asked_concepts(request.question)
    if relation == "touched" and asked and not request.entities:
        relation = None  # "who connected to the internet": the concept says it
    if relation is None and not asked and inside is not None and request.entities and "entities" not in request.inherited:
        relation = "deeds"
    if relation in ("next", "before") and inside is not None:
        relation = None  # a time was named; its events are told
    if relation == "others" and inv is not None:
        found = others(request, log, inv)
        return found if inside is None or found is None else replace(found, where=found.where[inside[found.where]])
    if relation in ("earliest", "ordinary"):
        return None  # told with the findings' scores (agent.lookups.log_incident)
    if relation is not None:
        who = meant(request, log, inv, last=relation not in _CHAIN_WIDE)
        if who is None and relation in ("next", *_BROAD) and (finding := pointed_at(request, inv)) and not asked:
            who = of_finding(finding, log, last=relation == "next") if relation != "address" or _short(request) else None
        usable = {"begin": bool(request.entities), "deeds": who is not None}.get(relation, who is not None or relation in _BROAD)
        if usable:
            found = _related(relation, asked, who, log, inside)
            if relation == "deeds" and _ELSE.search(request.question.lower()):
                found = _besides(found, log, inv, who)
            if len(found.where) or relation not in _BROAD or not asked:
                own = _suspicious_addresses(log, inv, found.where) if relation == "address" and who is None else []
                return Answer(where=found.where, facts={**found.facts, "suspicious": own}, ordered=found.ordered)
    if asked and _is_lookup(request):
        return _conceptual(asked[0], meant(_without_words(request, asked[0]), log, inv, last=False), log, inside)
    return None


def _besides(found: Answer, log: EventLog, inv: Investigation | None, who: Actors | None) -> Answer:
    """What was done besides what the findings about somebody told already, as far as anything is left."""
    told = {row for f in (inv.findings if inv else ()) if f.abnormal for row in getattr(f.evidence.locus, "rows", ())}
    known = np.isin(log.table["row"].to_numpy()[found.where], np.array(sorted(told), np.int64))
    return (
        replace(found, where=found.where[~known], facts={**found.facts, "told": int(known.sum())})
        if who and known.any()
        else found
    )


def _without_words(request: Request, concept: str) -> Request:
    """The request without the entities that are only the concept's own words: a process may be called Registry, a folder Credentials."""
    words = {word.removesuffix("s") for word in concepts.concept_words(concept, request.question).split()}
    kept = tuple(e for e in request.entities if PureWindowsPath(e).stem.lower().removesuffix("s") not in words)
    return replace(request, entities=kept)


def _short(request: Request) -> bool:
    """A question of so few words goes on with what was told before: "to which address?"."""
    return len(request.question.split()) <= 4


def _is_lookup(request: Request) -> bool:
    """A concept word makes a lookup unless the question is why something was found, or names something to look at among other things."""
    if {"why", "how_bad", "explain", "is_normal"} & set(request.intents) and not says_it(request.question):
        return False
    return bool({"exists", "how_many", "when", "where", "who", "which", "what", "show", "list"} & set(request.intents))


def _related(relation: str, asked: Sequence[str], who: Actors | None, log: EventLog, inside: concepts.Mask | None) -> Answer:
    everything = np.ones(log.table.height, np.bool_)
    done = who.doing(log) if who is not None else everything
    if relation == "parent":
        mask = who.target(log) & makes(log) if who is not None else ~everything
    elif relation == "begin":
        mask = who.target(log) & makes(log) if who is not None else ~everything
        if not mask.any():
            mask = _first(done)
    elif relation == "writer":
        mask = _objects(who, log) & concepts.rows_of("write", log)
    elif relation == "children":
        mask = done & makes(log)
    elif relation == "touched":
        mask = (who.target(log) | _objects(who, log)) & ~done if who is not None else ~everything
    elif relation == "before":
        mask = _before(done, log) & ~(who.target(log) if who is not None else ~everything)
    else:
        mask = done
        if asked and asked[0] not in _NETWORK:
            mask = mask & concepts.rows_of(asked[0], log)
        elif relation == "address":
            network = mask & concepts.rows_of("network", log)
            mask = network if network.any() else mask & _naming_addresses(log)
    if inside is not None:
        mask = mask & inside
    where = np.flatnonzero(mask)
    facts = {"kind": "relation", "relation": relation, "said": _SAID.get(relation, ""), **about(who)}
    if relation in _BROAD:
        facts["tally"] = _tally(relation, log, where)
        facts["outside"] = [a for a, _ in facts["tally"] if relation == "address" and concepts.is_outside(a)]
    return Answer(where=where, facts=facts, ordered=relation in _IN_ORDER)


def _conceptual(name: str, who: Actors | None, log: EventLog, inside: concepts.Mask | None) -> Answer:
    concept = concepts.CONCEPTS[name]
    everywhere = concepts.rows_of(name, log)
    mask = everywhere
    if who is not None:
        done = who.doing(log)
        mask = everywhere & (done if done.any() else _objects(who, log))
    where = np.flatnonzero(mask if inside is None else mask & inside)
    facts: dict[str, Any] = {
        "kind": "concept", "concept": name, "said": concept.said, "limit": concept.limit, "in_all": int(everywhere.sum()), **about(who),
        "recorded": [str(o) for o, _ in log.table["operation"].value_counts(sort=True).head(6).rows() if not is_text(str(o), "x")],
        "timed": inside is not None,
    }  # fmt: skip
    if name in ("brute", "failed", "login", "network", "internet", "exfiltration"):
        facts["addresses"] = _tally("address", log, where)
    if name in ("brute", "failed", "login"):
        facts["accounts"] = _tally("account", log, where)
    if name in ("brute", "failed"):
        entered = np.flatnonzero(concepts.rows_of("login", log))
        facts["entered"] = deeds(log, entered[:3])
        facts["entered_rows"], facts["guessing_from"] = len(entered), GUESSES
    if not len(where) and inside is None and concept.near:
        near = np.flatnonzero(concepts.rows_of(concept.near, log) & (who.doing(log) if who is not None else True))
        facts |= {"near_said": concepts.CONCEPTS[concept.near].said, "near_rows": len(near)}
        if len(near):
            return Answer(where=near, facts={**facts, "missing": True})
    return Answer(where=where, facts=facts)


def _naming_addresses(log: EventLog) -> concepts.Mask:
    """Rows whose object or detail holds a network address."""
    said = zip(concepts.texts(log.table, "object"), concepts.texts(log.table, "detail"), strict=True)
    return np.fromiter((bool(concepts.addresses_in(f"{thing} {detail}")) for thing, detail in said), np.bool_)


def _suspicious_addresses(log: EventLog, inv: Investigation | None, where: NDArray[np.int64]) -> list[list[Any]]:
    """The addresses in those of some rows that belong to findings."""
    return _tally("address", log, where[suspicious(log, inv)[where]])


def _objects(who: Actors | None, log: EventLog) -> concepts.Mask:
    """Rows whose object bears the name of one of the actors: the program's file, an address with a port."""
    if who is None:
        return np.zeros(log.table.height, np.bool_)
    names = who.names | frozenset(name.lower() for name in who.shown)
    return np.asarray(concepts.texts(log.table, "object").str.to_lowercase().is_in(list(names)).to_numpy(), np.bool_)


def _first(mask: concepts.Mask) -> concepts.Mask:
    first = np.zeros_like(mask)
    first[np.flatnonzero(mask)[:1]] = True
    return first


def _before(done: concepts.Mask, log: EventLog) -> concepts.Mask:
    """The rows of the minutes before somebody's first act."""
    own = np.flatnonzero(done)
    times = log.table["time_s"].cast(float).fill_null(float("nan")).to_numpy()
    if not len(own):
        return np.zeros_like(done)
    start = times[own[0]]
    if not np.isfinite(start):
        return np.asarray((np.arange(len(times)) < own[0]) & (np.arange(len(times)) >= own[0] - ROWS_SHOWN), np.bool_)
    return np.asarray((times < start) & (times >= start - BEFORE_S), np.bool_)


def _tally(relation: str, log: EventLog, where: NDArray[np.int64]) -> list[list[Any]]:
    """[name, rows] of the addresses, accounts or computers in some rows, the most frequent first."""
    table = log.table[where]
    if relation == "address":
        said = zip(concepts.texts(table, "object"), concepts.texts(table, "detail"), strict=True)
        # the details of a connection name the own end, too
        named = (concepts.addresses_in(thing) or concepts.addresses_in(detail) for thing, detail in said)
        found = [a for addresses in named for a in dict.fromkeys(addresses)]
    elif relation == "account" and "user" not in table.columns:
        found = [m[1] or m[2] for text in concepts.texts(table, "detail") for m in [_USER_IN_TEXT.search(text)] if m]
    else:
        found = [v for v in concepts.texts(table, {"account": "user"}.get(relation, "host")) if v]
    return [[name, n] for name, n in Counter(found).most_common(TALLIED)]


def deeds(log: EventLog, chosen: NDArray[np.int64]) -> list[list[Any]]:
    """[row, seconds, sentence] of some events."""
    times = log.table["time_s"].cast(float).fill_null(float("nan")).to_numpy()
    return [
        [int(log.table["row"][int(i)]), round(float(times[i]), 3) if np.isfinite(times[i]) else None, say_row(log, int(i))]
        for i in chosen
    ]


def telling(log: EventLog, found: Answer, scores: NDArray[Any] | None, suspicious: concepts.Mask) -> list[list[Any]]:
    """The rows to show, in the order of the log: all of a few, else the first or (where order tells nothing) the most telling.

    Rows of findings tell most, then acts of a kind not shown yet, then rare ones.
    """
    where = found.where
    if len(where) <= ROWS_SHOWN:
        return deeds(log, where)
    if found.facts.get("relation") == "before":
        return deeds(log, where[-ROWS_SHOWN:])
    same = _alike(log, where, "subject", "operation", "object", "detail")
    distinct = where[np.sort(np.unique(same, return_index=True)[1])]
    if found.ordered or scores is None:
        return deeds(log, distinct[:ROWS_SHOWN])
    rarest = distinct[np.lexsort((distinct, -scores[distinct], ~suspicious[distinct]))]
    kinds = _alike(log, rarest, "subject", "operation")
    new = np.zeros(len(rarest), np.bool_)
    new[np.unique(kinds, return_index=True)[1]] = True
    order = np.lexsort((np.arange(len(rarest)), ~(new | suspicious[rarest])))
    return deeds(log, np.sort(rarest[order][:ROWS_SHOWN]))


def _alike(log: EventLog, where: NDArray[np.int64], *columns: str) -> NDArray[np.uint64]:
    """A number per row, equal where the columns are."""
    return log.table[where].select(c for c in columns if c in log.table.columns).hash_rows().to_numpy()
