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
IN_PICTURE = re.compile(r"\b(?:in|on) the (?:picture|plot|chart|graph|image|frame|photo|video|clip|scene)s?\b", re.I)
"""Marks what a vision model sees: it is shown as its own view."""
LIKENESS = re.compile(r"\b(?:looks?|looked) like\b|\bresembl\w+", re.I)
"""Says what a picture looks like, not what it is."""
_TOKEN = re.compile(
    r"(?:[A-Za-z]:\\[^\s,;\"`]+|\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?|0x[0-9a-fA-F]+|[\w-]*[A-Za-z][\w-]*(?:[._\\/][\w-]+)+)"
)
"""Addresses, paths, file and host names."""
_JOINED = re.compile(r"\s*(?:,|,?\s*and)\s*", re.I)
_NUMBERS = re.compile(r"\d+(?:\.\d+)?\s*%?(?:\s*(?:,|,?\s*and)\s*\d+(?:\.\d+)?\s*%?)+", re.I)
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
    context: tuple[str, ...] = ()
    """Names in the sentence before, of which a pronoun may speak."""

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
            have = frozenset(
                leaf.evidence for leaf, text in self.facts.texts if leaf.key in ("did", "relation") and _is_line(content, text)
            )
            if not have and re.match(r"[-/]\w", content):  # the switches of a command line
                have = frozenset(leaf.evidence for leaf, text in self.facts.texts if leaf.key == "did" and f" {content}" in text)
            if have:
                taken.append(Mention(start=start, end=end, name=content, type="line", support=have))
        for alias, name, kind, support in self.facts.aliases:
            if alias not in low:
                continue
            for match in re.finditer(rf"(?<![\w.\\/-]){re.escape(alias)}(?: #\d+)?(?![\w\\/]|\.\w|-\w)", low):
                if re.match(r":\d", low[match.end() :]) and re.search(r"\d$", alias):
                    continue  # an address with its port is another name
                if all(match.end() <= t.start or match.start() >= t.end for t in taken):
                    program = kind == "program"  # Word, Outlook: only where it is written as a name
                    if program and not self.text[match.start()].isupper() and not self._in_quotes(match.start()):
                        continue
                    if program and self._in_quotes(match.start()) and self.facts.writes(self.text[match.start() : match.end()]):
                        continue  # it is written so elsewhere: another thing of that name
                    of = "entity" if program else kind
                    taken.append(Mention(start=match.start(), end=match.end(), name=name, type=of, support=support))
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

    def _in_quotes(self, at: int) -> bool:
        return any(start <= at < end for start, end in self._pieces[1])

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

    def labelled(self, at: int) -> tuple[int, int]:
        """The clause around a position, with the label before it: "Abnormal rows: 106"."""
        start, end = self.clause(at)
        label = re.search(r"[^.;,:]*:\s*$", self.bare[:start])
        return (label.start() if label else start), end

    def before(self, at: int, words: int) -> list[str]:
        """The words before a position, the nearest last, in lower case; a name is one word `▪`."""
        return _words(self.bare[max(0, at - 12 * words - 40) : at])[-words:]

    def after(self, at: int, words: int) -> list[str]:
        """The words after a position, in lower case."""
        return _words(self.bare[at : at + 12 * words + 40])[:words]

    @cached_property
    def _paired(self) -> dict[int, str]:
        """Numbers of a list with the channels of a list that is as long, in order: "a, b and c contribute 40, 30 and 20 %"."""
        channels = [m for m in self.mentions if m.type == "channel"]
        runs: list[list[Mention]] = []
        for m in channels:
            if runs and _JOINED.fullmatch(self.bare[runs[-1][-1].end : m.start]):
                runs[-1].append(m)
            else:
                runs.append([m])
        starts = [
            [found.start() + number.start() for number in re.finditer(r"\d+(?:\.\d+)?", found.group())]
            for found in _NUMBERS.finditer(self.bare)
        ]
        lists = [run for run in runs if len(run) > 1]
        if len(lists) != 1 or len(starts) != 1 or len(lists[0]) != len(starts[0]) or lists[0][-1].end > starts[0][0]:
            return {}
        return {at: m.name for at, m in zip(starts[0], lists[0], strict=True)}

    def owner(self, start: int, end: int, types: tuple[str, ...] = ("channel",)) -> frozenset[str]:
        """The names that a value at a position belongs to: the one that follows it directly, else the one named last before it."""
        if start in self._paired and "channel" in types:
            return frozenset({self._paired[start]})
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
