"""A part of a sentence that leans on one citation: its text in one form, the names in it, and what stands around a place in it.

All positions refer to `text`. `bare` is as long as `text`, with every name that the evidence has and every phrase that a tool wrote
blanked out: what is left makes claims of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from agent.checking.facts import Facts, plain
from agent.checking.numerals import spelled_out
from agent.verify import CITATION, QUOTED

BLANK = "▪"
_CLAUSE = re.compile(r";|:\s|\.\s|,|\b(?:and|while|whereas|but|which|who)\b")
_SPOKEN = re.compile(r"[“\"‘]([^”\"’]{2,200})[”\"’]|(?<!\w)'([^']{2,200})'(?!\w)")
_TOKEN = re.compile(
    r"(?:[A-Za-z]:\\[^\s,;\"`]+|\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?|0x[0-9a-fA-F]+|[\w-]*[A-Za-z][\w-]*(?:[._\\/][\w-]+)+)"
)
"""Addresses, paths, file and host names."""
_PLAIN_VALUE = re.compile(r"[-\d:.,–% ]*\d[-\d:.,–% ]*(?:[A-Za-z/°%³²0-9]{1,8})?")


@dataclass(frozen=True, kw_only=True)
class Mention:
    """A name in a sentence that the cited evidence has: what it names, as the evidence writes it, and which evidence has it."""

    start: int
    end: int
    name: str
    type: str
    support: frozenset[str]


@dataclass(frozen=True)
class Utterance:
    """The text between two citations, held against the facts of the second."""

    said: str
    facts: Facts

    @cached_property
    def text(self) -> str:
        """Citations taken out, names in backticks without them, everything else with its numbers spelled in digits."""
        return self._pieces[0]

    @cached_property
    def _pieces(self) -> tuple[str, tuple[tuple[int, int], ...]]:
        """The text, and where in it the content of backticks stands."""
        years = [datetime.fromtimestamp(t, UTC).year for t in self.facts.epochs.values()]
        year = years[0] if years else None
        text, at, quotes = "", 0, []
        said = CITATION.sub(" ", self.said)
        for match in QUOTED.finditer(said):
            text += spelled_out(said[at : match.start()], year) + " "
            quotes.append((len(text), len(text) + len(match[2].strip())))
            text += match[2].strip() + " "
            at = match.end()
        return text + spelled_out(said[at:], year), tuple(quotes)

    @cached_property
    def quoted(self) -> tuple[str, ...]:
        """What stands in backticks or quotation marks and is no plain number or time."""
        rest = QUOTED.sub(" ", CITATION.sub(" ", self.said))
        found = [m[2] for m in QUOTED.finditer(self.said)] + [m[1] or m[2] for m in _SPOKEN.finditer(rest)]
        return tuple(q for q in (f.strip().rstrip("…") for f in found) if q and not _PLAIN_VALUE.fullmatch(q))

    @cached_property
    def mentions(self) -> tuple[Mention, ...]:
        """The names of the evidence in the sentence, the longest of overlapping ones, in order."""
        taken: list[Mention] = []
        low = self.text.casefold()
        for start, end in self._pieces[1]:
            content = plain(self.text[start:end]).rstrip("…")
            have = frozenset(leaf.evidence for leaf, text in self.facts.texts if leaf.key == "did" and _is_line(content, text))
            if have:
                taken.append(Mention(start=start, end=end, name=content, type="line", support=have))
        for alias, name, kind, support in self.facts.aliases:
            if alias not in low:
                continue
            for match in re.finditer(rf"(?<![\w.\\/-]){re.escape(alias)}(?: #\d+)?(?![\w\\/]|\.\w|-\w)", low):
                if all(match.end() <= t.start or match.start() >= t.end for t in taken):
                    taken.append(Mention(start=match.start(), end=match.end(), name=name, type=kind, support=support))
        for match in _TOKEN.finditer(self.text):
            token = match.group().rstrip(".,:;")
            end = match.start() + len(token)
            if plain(token) in self.facts.units or any(match.start() < t.end and end > t.start for t in taken):
                continue
            whole = re.compile(rf"(?<![\w.]){re.escape(plain(token))}(?!\w)")
            found = [leaf for leaf, text in self.facts.texts if plain(token) in text and whole.search(text)]
            if found:
                kind = "entity" if any(leaf.key == "did" for leaf in found) else "source"
                support = frozenset(leaf.evidence for leaf in found)
                taken.append(Mention(start=match.start(), end=end, name=token, type=kind, support=support))
        return tuple(sorted(taken, key=lambda m: m.start))

    @cached_property
    def phrases(self) -> tuple[Mention, ...]:
        """Where the sentence repeats word for word what a tool wrote: a label, a reason."""
        low = self.text.casefold().replace("³", "3").replace("²", "2")
        if len(low) != len(self.text):
            return ()
        found: list[Mention] = []
        for phrase, support in self.facts.phrases:
            match = re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", low) if phrase in low else None
            if match and all(match.end() <= f.start or match.start() >= f.end for f in found):
                found.append(Mention(start=match.start(), end=match.end(), name=phrase, type="phrase", support=support))
        return tuple(found)

    @cached_property
    def bare(self) -> str:
        """The text without names and without phrases that tools wrote, as long as before."""
        text = self.text
        for m in (*self.mentions, *self.phrases):
            text = text[: m.start] + BLANK * (m.end - m.start) + text[m.end :]
        return text

    def clause(self, at: int) -> tuple[int, int]:
        """Start and end of the clause around a position."""
        marks = [m.span() for m in _CLAUSE.finditer(self.bare)]
        start = max((b for a, b in marks if b <= at), default=0)
        return start, min((a for a, b in marks if a >= at), default=len(self.bare))

    def before(self, at: int, words: int) -> list[str]:
        """The words before a position, the nearest last, in lower case; a name is one word `▪`."""
        return _words(self.bare[max(0, at - 12 * words - 40) : at])[-words:]

    def after(self, at: int, words: int) -> list[str]:
        """The words after a position, in lower case."""
        return _words(self.bare[at : at + 12 * words + 40])[:words]

    def owner(self, start: int, end: int, types: tuple[str, ...] = ("channel",)) -> frozenset[str]:
        """The names that a value at a position belongs to: the one that follows it directly, else the one named last before it."""
        named = [m for m in self.mentions if m.type in types]
        following = [m for m in named if m.start >= end and re.fullmatch(r"[^.;,\d]{0,28}", self.bare[end : m.start])
                     and re.search(r"\b(?:of|for|by|in|from|on|to|belongs)\b", self.bare[end : m.start])
                     and not re.search(r"\b(?:and|while|but|than|against|with)\b|▪", self.bare[end : m.start])]  # fmt: skip
        if following:
            return frozenset({following[0].name})
        left = [m for m in named if m.end <= start]
        if left and not re.search(r"[.;]\s|\bwhile\b", self.bare[left[-1].end : start]):
            return frozenset({left[-1].name})
        a, b = self.clause(start)
        return frozenset([m.name for m in named if a <= m.start < b][:1]) if not left else frozenset()


def _is_line(content: str, line: str) -> bool:
    """Whether backticks hold a line of a log, its beginning, or the last word of it."""
    return (
        content == line
        or (len(content) > 20 and line.startswith(content))
        or (len(content) > 20 and " " not in content and line.endswith(content))
    )


def _words(text: str) -> list[str]:
    return [BLANK if w[0] == BLANK else w.lower() for w in re.findall(rf"{BLANK}+|[A-Za-zà-ÿ’']+|\d[\d.:]*|[×%–\-/(),]", text)]
