"""What a sentence says of a name without a deed: that it is affected, suspicious, the first of a chain, or belongs to another.

That a name stands in the evidence does not make everything true that plain words can say of it. Each such word needs a fact of that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from agent.checking.claims import Claim, claimed
from agent.checking.facts import basename
from agent.checking.utterance import BLANK, IN_PICTURE, Mention, Utterance

_AFFECTED = re.compile(r"\b(?:affect(?:s|ed)?|involv(?:es|ed)|contribut(?:es?|ed|ing)|part of)\b", re.I)
_CARRIES = re.compile(r"\b(?:account(?:s|ed)? for|carr(?:ies|ied)|responsible)\b", re.I)
_CALLED = re.compile(
    rf"{BLANK}\W{{0,3}}\s*(?:is|was|looks?|seems?)\s+(?:the\s+|an?\s+)?(?:most\s+)?(?P<word>suspicious|critical|serious|minor|abnormal|unusual|rare)\b",
    re.I,
)
_ENDS = re.compile(
    rf"\b(?P<start>start|begin|began)?(?P<end>end)?(?:s|ed)?\s+(?:with|from|at|in)\s+(?:the\s+)?(?:process\s+)?(?:row\s+(?P<row>\d+)|[^\w{BLANK}]{{0,2}}(?={BLANK}))",
    re.I,
)
_ERROR = re.compile(r"\bmeasurement error\b|\berror of measurement\b", re.I)
_MAY = re.compile(r"\b(?:often|may|might|can|could|possibly|rather than)\b", re.I)
_TOGETHER = re.compile(r"\b(?:at the same time|together(?! (?:cover|make|last|take|account))|simultaneously)\b", re.I)
_STEP = re.compile(r"\b(?P<which>first|last)\s+(?:event|step|entry|row|line|(?P<met>connection))\b", re.I)
_FOLDER = re.compile(r"\b(?:in|from|into|to|under)\s+the\s+(\w+)\s+(?:folder|directory)\b", re.I)
_PERSON = re.compile(r"\b(?:people|persons?|man|men|woman|women|child|children|pedestrians?)\b", re.I)
_ODD = re.compile(r"\b(?:unusual|abnormal|suspicious|odd)\b", re.I)
_PART_OF = re.compile(r"\bpart of (?!the (?:picture|image|photo|score|chain|recording|clip|finding|stretch)\b)", re.I)
_LISTED = re.compile(
    rf"(?:[\s,;:()/&–→-]|{BLANK}+|\d[\d:.,]*|\b(?:and|or|then|but|while|first|second|before|after|later|earlier|followed|follows|by|the|in|of|to|at|"
    r"from|until|is|was|are|both|all|s|seconds?|min|minutes?|h|hours?|with|a|an|it|its|own|time|on|came|comes|shows?|something|unusual|abnormal|"
    r"begins?|starts?|ends?|spike|finding|findings|one|rated|serious|critical|minor|video|clip|log|series|file|motion|appearance|UTC|about)\b)*",
    re.I,
)  # fmt: skip


def predicate_claims(said: Utterance) -> list[Claim]:
    """The claims of a part of a sentence about its names that are neither deeds nor numbers."""
    readers = (
        _affected,
        _called,
        _chain_ends,
        _sources,
        _outer_steps,
        _folders,
        _reasons,
        _members,
        _people,
        _hedged,
        _bound,
        _looks,
    )
    return [claim for reader in readers for claim in reader(said)]


def _affected(said: Utterance) -> Iterator[Claim]:
    shares: dict[str, set[str]] = {}
    for leaf in said.facts.leaves:
        if leaf.key == "shares_percent":
            shares.setdefault(leaf.evidence, set()).add(leaf.owner)
    named = {m.name for m in said.mentions if m.type == "channel"}
    if not named or not (shares or any(leaf.key == "channel_names" for leaf in said.facts.leaves)):
        return
    for match in _AFFECTED.finditer(said.bare):
        hit = frozenset(item for item, owners in shares.items() if named <= owners)
        yield claimed(match, "carried", hit, "the evidence does not say so of these channels")
    for match in _CARRIES.finditer(said.bare):
        if not re.search(r"\d", said.bare):
            hit = frozenset(item for item in shares if {said.facts.main(item)} == named)
            yield claimed(match, "carried", hit, "another channel carries most of it")


def _called(said: Utterance) -> Iterator[Claim]:
    """A process that is called suspicious: the evidence must call it so, not a chain it stands in."""
    for match in _CALLED.finditer(said.bare):
        before = [m for m in said.mentions if m.type == "entity" and m.end <= match.start("word")]
        if not before or before[-1].end < match.start() or not said.facts.lines:
            continue
        name = before[-1].name.casefold()
        labels = {i for i, text in said.facts.text("label") if name in text}
        own = {i for i, text in said.facts.text("entity") if basename(text) == name and i in said.facts.findings}
        yield claimed(match, "called", frozenset(labels | own), f"the evidence does not call {name} {match['word'].lower()}")


def _chain_ends(said: Utterance) -> Iterator[Claim]:
    """Where a chain starts and ends: its first and last process, its first and last row."""
    if not re.search(r"\bchain\b|\bit\b", said.bare, re.I):
        return
    for match in _ENDS.finditer(said.bare):
        if not (match["start"] or match["end"]):
            continue
        first = match["start"] is not None
        follows = next((m for m in said.mentions if m.start >= match.end()), None)
        hit = set()
        for item in said.facts.evidence:
            names = [basename(str(n)).casefold() for n in getattr(item.locus, "entities", ())]
            rows = sorted(v for leaf, v in said.facts.numbers if leaf.evidence == item.id and leaf.key == "row")
            if (match["row"] and rows and float(match["row"]) == (rows[0] if first else rows[-1])) or (
                follows is not None and names and names[0 if first else -1] == follows.name.casefold()
            ):
                hit.add(item.id)
        if match["row"] or (follows is not None and follows.type == "entity"):
            yield claimed(match, "chain", frozenset(hit), "the chain has another first or last step")


def _outer_steps(said: Utterance) -> Iterator[Claim]:
    """The first or the last step must be the row, or the deed of the names, that the sentence tells; so must a name's first connection."""
    told = {float(n) for n in re.findall(r"\brow\s+(\d+)", said.bare, re.I)}
    named = [m.name.casefold() for m in said.mentions if m.type == "entity"]
    for match in _STEP.finditer(said.bare):
        first, hit = match["which"].lower() == "first", set()
        for item in said.facts.ids:
            lines = [(v, leaf.owner.casefold()) for leaf, v in said.facts.numbers
                     if leaf.evidence == item and leaf.key == "row" and leaf.owner]  # fmt: skip
            if match["met"]:
                lines = [(v, line) for v, line in lines if " connected to " in line and all(name in line for name in named)]
            row, line = (min if first else max)(lines, default=(0.0, ""))
            if line and (told or named) and told <= {row} and all(name in line for name in named):
                hit.add(item)
        yield claimed(match, "step", frozenset(hit), f"the evidence has another {match['which'].lower()} step")


def _folders(said: Utterance) -> Iterator[Claim]:
    """A file or a program in a folder: its path must go through it."""
    for match in _FOLDER.finditer(said.text):
        before = [m.name.casefold() for m in said.mentions if m.type in ("entity", "source") and m.end <= match.start()]
        if not before or match[1].casefold() not in said.facts.folders:
            continue
        path = re.compile(rf"\\{re.escape(match[1].casefold())}\\(?:[^\\\"]+\\)*{re.escape(before[-1])}")
        paths = [(leaf.evidence, text) for leaf, text in said.facts.texts]
        paths += [(leaf.evidence, leaf.owner.casefold()) for leaf in said.facts.leaves if leaf.owner]
        yield claimed(
            match, "folder", frozenset(i for i, text in paths if path.search(text)), f"{before[-1]} is in another folder"
        )


def _reasons(said: Utterance) -> Iterator[Claim]:
    """What the reason of a grade says of one program is told of that one only."""
    stems = {name.rsplit(".", 1)[0] for name in said.facts.entities}
    named = {m.name.casefold().rsplit(".", 1)[0] for m in said.mentions if m.type == "entity"}
    for item, text in said.facts.text("severity_why"):
        for segment in re.split(r"[,;]\s", text):
            of = {stem for stem in stems if re.search(rf"\b{re.escape(stem)}\b", segment)}
            words = {word[:5] for word in re.findall(r"[a-z]{5,}", segment)} - {stem[:5] for stem in stems} - {"criti", "comma"}
            for match in re.finditer(r"\b[a-z]{5,}\b", said.bare, re.I) if of and named else ():
                if match.group().lower()[:5] in words:
                    yield claimed(
                        match, "reason", frozenset({item} if of & named else ()), f"the evidence says that of {', '.join(of)}"
                    )


def _members(said: Utterance) -> Iterator[Claim]:
    """What is called part of a finding or a chain must stand in it."""
    named = [m.name.casefold() for m in said.mentions if m.type == "entity"]
    for match in re.finditer(r"(?<!not )\bpart of the (?:finding|chain)\b", said.bare, re.I) if named else ():
        hit = {e.id for e in said.facts.evidence if e.id in said.facts.findings
               and set(named) <= {basename(str(n)).casefold() for n in getattr(e.locus, "entities", ())}}  # fmt: skip
        yield claimed(match, "part", frozenset(hit), "the evidence does not have it there")


def _people(said: Utterance) -> Iterator[Claim]:
    """No evidence says that a person is unusual, or that a finding is part of something else."""
    for match in _PERSON.finditer(said.bare):
        if _ODD.search(said.bare) and "person" not in " ".join(text for _, text in said.facts.text("label", "what")):
            yield claimed(match, "person", frozenset(), "the evidence does not say that of a person")
    for match in () if IN_PICTURE.search(said.text) else _PART_OF.finditer(said.bare):
        if not said.mentions:
            yield claimed(match, "part", frozenset(), "the evidence does not say what it is part of")


def _sources(said: Utterance) -> Iterator[Claim]:
    """Two files of a timeline stand in an order or a list; nothing else joins them."""
    if not any("groups" in e.facts for e in said.facts.evidence):
        return
    files = [m for m in said.mentions if m.type == "source" and re.search(r"\.\w{2,5}$", m.name)]
    for left, right in pairwise(files):
        between = said.bare[left.end : right.start]
        if left.name != right.name and not _LISTED.fullmatch(between):
            yield _joined(left, right)
    for chain in re.finditer(r"\bchain\b", said.bare, re.I):
        later = next((m for m in files if m.start >= chain.end()), None)
        if later is not None and not _LISTED.fullmatch(said.bare[chain.end() : later.start]):
            yield Claim(start=chain.start(), end=later.end, type="joined", text=later.name, support=frozenset(),
                        problem="the evidence joins them in time only")  # fmt: skip


def _joined(left: Mention, right: Mention) -> Claim:
    return Claim(start=left.start, end=right.end, type="joined", text=f"{left.name} … {right.name}", support=frozenset(),
                 problem=f"the evidence joins {left.name} and {right.name} in time only")  # fmt: skip


def _hedged(said: Utterance) -> Iterator[Claim]:
    """What the evidence only allows for, and what must have happened at one time."""
    for match in _ERROR.finditer(said.bare):
        given = frozenset(i for i, text in said.facts.text("severity_why") if "error of measurement" in text)
        yield claimed(
            match, "reason", given if _MAY.search(said.bare) else frozenset(), "the evidence only says that it is often so"
        )
    for match in _TOGETHER.finditer(said.bare):
        hit = frozenset(e.id for e in said.facts.evidence if e.facts.get("changes") or e.facts.get("incidents"))
        yield claimed(match, "together", hit, "the evidence does not have them at one time")


def _bound(said: Utterance) -> Iterator[Claim]:
    """What a log line says of one name in brackets is told of that name only."""
    for leaf, text in said.facts.texts:
        for name, told in re.findall(r"([\w.-]+) \(which ([a-z -]+)\)", text) if leaf.key == "did" else ():
            last = told.split()[-1]
            named = [m.name.casefold() for m in said.mentions if m.type == "entity"]
            for match in re.finditer(rf"\b{re.escape(last)}\b", said.bare, re.I):
                if named and name not in named:
                    yield claimed(match, "bound", frozenset(), f"the evidence says that of {name}")


def _looks(said: Utterance) -> Iterator[Claim]:
    """The words by which a detector describes a region are told of that region only."""
    texts = {e.id: re.findall(r"[a-z]{4,}", str(e.facts["looks"]).lower()) for e in said.facts.evidence if e.facts.get("looks")}
    own = {word for words in texts.values() for word in words} - {"than", "surroundings", "with", "region"}
    for match in re.finditer(r"\b[a-z]{4,}\b", said.bare, re.I):
        word = match.group().lower()
        if word in own:
            yield claimed(match, "look", frozenset(i for i, words in texts.items() if word in words), f"not all of it is {word}")
