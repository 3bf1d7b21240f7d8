"""Where and when a definition holds: the source, the kind of data, the part of the day or week that its sentence names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.question import SourceInfo
from agent.rules.conditions import Hours
from agent.rules.numbers import find_hours
from core.rules import Scope
from core.samples import Kind

_SCOPE = re.compile(
    r"\b(?:only )?(?:on|in|at|for|from) (?:the )?(?P<x>(?:this|the current) (?:camera|line|machine|file|video|clip|series"
    r"|recording|log|picture|photo|source|station|site)|(?:camera|line|machine|station|cell|site"
    r"|channel group) (?:no\.? ?|number ?)?[\w-]{1,20}"
    r"|[\w-]{1,60}\.(?:csv|tsv|txt|log|mp4|avi|mkv|mov|png|jpe?g|tiff?|json\w*|parquet|npz|npy|xlsx?))\b"
)
_KIND_SCOPE: tuple[tuple[Kind, str], ...] = (
    ("image", r"(?:in|on|for) (?:all |every |any )?(?:pictures?|photos?|images?)"), ("video",
        r"(?:in|on|for) (?:all |every |any )?(?:videos?|clips?|cameras?)"),
    ("series", r"(?:in|on|for) (?:all |every |any )?(?:sensor (?:series|data)|time series)"), ("events",
        r"(?:in|on|for) (?:all |every |any )?(?:event )?logs"),
)  # fmt: skip
_EVERYWHERE = re.compile(r"\b(?:everywhere|in all (?:files|sources)|on all (?:lines|cameras|machines))\b")


@dataclass
class Work:
    """The body, from which pieces are cut as they are read."""

    text: str
    cut: list[str] = field(default_factory=list)

    def take(self, a: int, b: int) -> str:
        """Cut text[a:b] out, and return it."""
        said = self.text[a:b]
        self.text = self.text[:a] + " " + self.text[b:]
        self.cut.append(said)
        return said


def scope_of(text: str, sources: Sequence[SourceInfo] = ()) -> Scope:
    """The scope that a sentence (lower case) names; everywhere without one.

    >>> scope_of("bicycles are fine in yard.mp4").words
    'in yard.mp4'
    """
    return read_scope(Work(text), sources, [])


def read_scope(work: Work, sources: Sequence[SourceInfo], notes: list[str]) -> Scope:
    """Cut the scope out of a body; `notes` gets a sentence where the name fits no source."""
    match = _EVERYWHERE.search(work.text)
    if match is not None:
        work.take(*match.span())
        return Scope()
    for source in sources:
        name = source.name.lower()
        found = re.search(rf"\b(?:only )?(?:on|in|at|for|from) (?:the )?{re.escape(name)}(?!\w)", work.text)
        if found is not None:
            work.take(*found.span())
            return Scope(source=source.name)
    match = _SCOPE.search(work.text)
    if match is not None:
        said = match["x"]
        work.take(*match.span())
        if said.startswith(("this ", "the current ")):
            if len(sources) == 1:
                return Scope(source=sources[0].name)
            notes.append(
                f"“{said}” names none of {len(sources)} sources, so the rule holds everywhere; say in which one it should hold."
            )
            return Scope()
        stems = {s.name.lower().rsplit(".", 1)[0]: s.name for s in sources}
        known = stems.get(said.replace(" ", "_")) or stems.get(said.replace(" ", "")) or stems.get(said)
        if known is None and sources:
            notes.append(f"No source here is called {said!r}; the rule will hold in one of that name.")
        return Scope(source=known or said)
    for kind, words in _KIND_SCOPE:
        match = re.search(rf"\b(?:{words})\b", work.text)
        if match is not None and len(work.text.split()) > len(match[0].split()):
            work.take(*match.span())
            return Scope(kind=kind)
    return Scope()


_ONLY_AT = re.compile(r",?\s*\b(?:but |and )?only (?=(?:at|between|on|during|in the|from|after|before|outside)\b)")


def read_hours(work: Work, notes: list[str]) -> Hours | None:
    """Cut the part of the day or week out of a body; `notes` says how loose words were read."""
    said = _ONLY_AT.sub(" ", work.text)
    found = find_hours(said)
    if found is None:
        return None
    hours, work.text, note = found
    if note:
        notes.append(note)
    return hours
