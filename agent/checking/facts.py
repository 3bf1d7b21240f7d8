"""The facts of some evidence as leaves that know what they are: key, owner, unit, and the evidence they come from.

A number alone proves little: 11.6 may be another channel's share, 4 the rows of another stretch. A leaf supports a number in a
sentence only when its unit, its role (start, peak, share …) and its owner (the channel or process it belongs to) fit what the
sentence says around the number. Texts are kept apart: those that tools wrote (labels, kinds, reasons) may lend their words to a
sentence; those that came out of a file (log lines, captions, file names) may only be named as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from agent.checking.numerals import spelled_out
from core.evidence import Evidence

_SKIPPED = frozenset(("id", "version", "parameters", "seconds", "path", "intents", "asked", "expects"))
_OWNERS = ("channel", "entity", "process")
_OWNED = re.compile(r"percent|share|by_|counts?$|scores$")
"""Keys of mappings from a name to a number."""
_TOLD = frozenset(
    ("label", "labels", "kind", "what", "place", "where", "looks", "severity", "severity_why", "threshold_origin", "odd_attribute",
     "method", "unit", "length", "interval", "relation", "off_throughout", "predicate", "direction")
)  # fmt: skip
"""Keys of texts that tools write."""
_LENGTHS = frozenset(
    (
        "length_s",
        "duration_s",
        "total_s",
        "unit_s",
        "period_s",
        "interval_s",
        "abnormal_s",
        "still_s",
        "epoch_s",
        "keyframes_s",
        "within_s",
        "lag_s",
        "slack_s",
    )
)
_PLACED = frozenset(("did_s", "row", "start_s", "end_s", "own_s"))
"""Times and rows: their owner is the line or the step they belong to, not a name."""
SHORTEST_PHRASE = 12
_PRODUCTS = frozenset(("word", "teams", "edge"))
"""Programs that people call by the end of their file's name."""
_ARGUMENTS = re.compile(r'"[^"]*"?.*$', re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """One value of one piece of evidence. `owner` is the channel or entity it belongs to, `unit` the unit it was measured in."""

    evidence: str
    key: str
    value: float | str
    owner: str = ""
    unit: str = ""

    @property
    def is_time(self) -> bool:
        """Seconds since the start of the source."""
        return self.key.endswith("_s") and self.key not in _LENGTHS

    @property
    def is_length(self) -> bool:
        """Seconds that something lasts."""
        return self.key in _LENGTHS and self.key not in ("epoch_s", "keyframes_s")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All leaves of the evidence a sentence cites; `findings` are the ids of what was found abnormal, `ids` all."""

    evidence: tuple[Evidence, ...]
    leaves: tuple[Leaf, ...]

    @classmethod
    def of(cls, evidence: Sequence[Evidence]) -> Facts:
        """Flatten the evidence; run times, versions and parameters are no facts about the data."""
        return cls(evidence=tuple(evidence), leaves=tuple(leaf for item in evidence for leaf in _leaves(item)))

    @cached_property
    def ids(self) -> frozenset[str]:
        """The ids of all evidence."""
        return frozenset(e.id for e in self.evidence)

    @cached_property
    def findings(self) -> frozenset[str]:
        """The ids of what was found abnormal."""
        return frozenset(e.id for e in self.evidence if e.facts.get("label"))

    @cached_property
    def items(self) -> frozenset[str]:
        """The ids of what is about one stretch, photo or chain, and not about the whole."""
        return self.findings | {e.id for e in self.evidence if e.locus.kind == "region"}

    @cached_property
    def epochs(self) -> Mapping[str, float]:
        """Seconds since 1970 at which the source of each evidence starts, where its clock is known."""
        return {e.id: float(t) for e in self.evidence if isinstance(t := e.facts.get("epoch_s"), int | float)}

    @cached_property
    def numbers(self) -> tuple[tuple[Leaf, float], ...]:
        """Every number with its leaf."""
        return tuple((leaf, leaf.value) for leaf in self.leaves if not isinstance(leaf.value, str))

    @cached_property
    def moments(self) -> tuple[tuple[Leaf, float, float | None], ...]:
        """Every time with its leaf: seconds since the start, and since 1970 where the clock is known."""
        return tuple(
            (leaf, value, self.epochs[leaf.evidence] + value if leaf.evidence in self.epochs else None)
            for leaf, value in self.numbers if leaf.is_time
        )  # fmt: skip

    @cached_property
    def texts(self) -> tuple[tuple[Leaf, str], ...]:
        """Every text, casefolded and with plain spaces."""
        return tuple((leaf, plain(leaf.value)) for leaf in self.leaves if isinstance(leaf.value, str))

    @cached_property
    def told(self) -> tuple[tuple[Leaf, str], ...]:
        """The texts that tools wrote, casefolded; of a log line without what the file put into it."""
        kept = [(leaf, text) for leaf, text in self.texts if leaf.key in _TOLD]
        return (*kept, *((leaf, _ARGUMENTS.sub("", text)) for leaf, text in self.texts if leaf.key == "did"))

    @cached_property
    def units(self) -> frozenset[str]:
        """The units that values were measured in, casefolded."""
        return frozenset(plain(leaf.unit) for leaf in self.leaves if leaf.unit)

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """The words of tools' texts, of units and of channel names."""
        texts = [text for _, text in self.told] + [*self.units, *(c.casefold().replace("_", " ") for c in self.channels)]
        return frozenset(word for text in texts for word in re.findall(r"[^\W\d_]{2,}", text))

    @cached_property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """(evidence, who did what to whom) of logs and of relations in a video, casefolded."""
        related = [
            (e.id, plain(" ".join(str(e.facts[key]) for key in ("subject", "predicate", "object") if e.facts.get(key))))
            for e in self.evidence if isinstance(e.facts.get("predicate"), str)
        ]  # fmt: skip
        return (*((leaf.evidence, text) for leaf, text in self.texts if leaf.key == "did"), *related)

    @cached_property
    def channels(self) -> frozenset[str]:
        """The names that values belong to in a series: channels, or the parts of a score."""
        named = {leaf.owner for leaf in self.leaves if leaf.owner and leaf.key not in _PLACED and leaf.key != "operations_each"}
        listed = {str(leaf.value) for leaf in self.leaves if leaf.key in ("channel_names", "channel", "channels", "stuck")}
        return frozenset(n for n in named | listed if not _is_entity(n))

    @cached_property
    def entities(self) -> frozenset[str]:
        """Processes, files and addresses as one would write them: the last part of a path, without its number."""
        whole = {leaf.owner for leaf in self.leaves if leaf.owner and leaf.key not in _PLACED}
        whole |= {str(leaf.value) for leaf in self.leaves if leaf.key in ("entities", "entity", "about", "subjects")}
        listed = {basename(n) for n in whole if _is_entity(n)}
        told = {w for leaf, text in self.texts if leaf.key == "did" for w in re.findall(r"[\w-]+\.(?:exe|dll|com)\b", text)}
        return frozenset(n.casefold() for n in listed | told)

    def writes(self, word: str) -> bool:
        """Whether a log line has a word in just these letters, and not as the name of a program."""
        alone = re.compile(rf"(?<!\w){re.escape(word)}(?![\w.])")
        return any(leaf.key == "did" and alone.search(str(leaf.value)) for leaf in self.leaves)

    @cached_property
    def folders(self) -> frozenset[str]:
        """The folders in the paths of processes and files, casefolded: single words only, for a path may say anything."""
        paths = [str(leaf.value) for leaf in self.leaves if leaf.key in ("did", "entities", "entity", "about")]
        paths += [leaf.owner for leaf in self.leaves if leaf.key.endswith("_each")]
        parts = (part for path in paths for part in re.findall(r"(?<=\\)(\w{2,24})(?=\\)", path))
        return frozenset(part.casefold() for part in parts)

    @cached_property
    def aliases(self) -> tuple[tuple[str, str, str, frozenset[str]], ...]:
        """Every name as a sentence may write it, what it names, its type and the evidence that has it; the longest first."""
        return tuple(sorted(_aliases(self), key=lambda alias: -len(alias[0])))

    @cached_property
    def phrases(self) -> tuple[tuple[str, frozenset[str]], ...]:
        """What tools wrote that is long enough to be repeated word for word, and the evidence that has it; the longest first."""
        wrote: dict[str, set[str]] = {}
        for leaf, phrase in self.told:
            if len(phrase) >= SHORTEST_PHRASE and leaf.key != "did":
                wrote.setdefault(spelled_out(phrase), set()).add(leaf.evidence)
        return tuple((phrase, frozenset(wrote[phrase])) for phrase in sorted(wrote, key=len, reverse=True))

    def main(self, item: str) -> str:
        """The channel that carries most of a finding, or ""."""
        shares = {leaf.owner: value for leaf, value in self.numbers if leaf.evidence == item and leaf.key == "shares_percent"}
        return max(shares, key=lambda n: shares[n]) if shares else ""

    def text(self, *keys: str) -> tuple[tuple[str, str], ...]:
        """(evidence, text) of some keys."""
        return tuple((leaf.evidence, text) for leaf, text in self.texts if leaf.key in keys)


def basename(name: str) -> str:
    r"""The last part of a path, without the number that tells runs of one program apart.

    >>> basename("C:\\Windows\\cmd.exe #2")
    'cmd.exe'
    """
    return re.split(r"[\\/]", re.sub(r" #\d+$", "", name))[-1] or name


def plain(text: str) -> str:
    """Text without the difference between spaces, quotes and case."""
    return re.sub(r"\s+", " ", text.replace("`", "'").replace("³", "3").replace("²", "2")).strip().casefold()


def _is_entity(name: str) -> bool:
    return bool(re.search(r"[\\/.:@]", name))


def _leaves(item: Evidence) -> Iterator[Leaf]:
    made = Leaf(evidence=item.id, key="", value="")
    for name, value in item.to_json().items():
        if name not in _SKIPPED and name != "facts":
            yield from _walk(value, name, made)
    of_log = "actors" in item.facts or "subjects" in item.facts
    owner, unit = item.facts.get("channel"), item.facts.get("channel_unit", item.facts.get("unit"))
    made = replace(made, owner=owner if isinstance(owner, str) else "", unit=unit if isinstance(unit, str) else "")
    for name, value in item.facts.items():
        if name in _SKIPPED:
            continue
        key = name
        if isinstance(value, int | float) and not isinstance(value, bool):
            total = "log_events" if of_log and name == "events" else "findings_total"
            key = total if name in ("events", "findings") else name
            key = "flagged_total" if name == "flagged" else key
        yield from _walk(value, key, made)
    yield from _derived(item, made)


def _derived(item: Evidence, made: Leaf) -> Iterator[Leaf]:
    """Lengths that follow from two times or are told in words, and the sides of a box."""
    for name, value in item.facts.items():
        told = re.fullmatch(r"(\d+(?:\.\d+)?) (s|min|h|days?)", value) if isinstance(value, str) else None
        if told and name in ("length", "interval", "within"):
            yield replace(made, key=f"{name}_s", value=float(told[1]) * {"s": 1, "min": 60, "h": 3600}.get(told[2], 86_400))
    if item.score is not None and item.threshold is not None:
        yield replace(made, key="margin", value=item.score - item.threshold)
    box = getattr(item.locus, "box", None)
    if box:
        yield replace(made, key="box_width", value=float(box[2] - box[0]))
        yield replace(made, key="box_height", value=float(box[3] - box[1]))
    facts = {**item.facts, **{k: v for k, v in vars(item.locus).items() if k in ("start_s", "end_s")}}
    for first, last, key in (
        ("start_s", "end_s", "length_s"),
        ("first_s", "last_s", "length_s"),
        ("still_from_s", "still_to_s", "still_s"),
    ):
        a, b = facts.get(first), facts.get(last)
        if isinstance(a, int | float) and isinstance(b, int | float):
            yield replace(made, key=key, value=float(b - a))


def _walk(value: Any, key: str, made: Leaf) -> Iterator[Leaf]:
    if isinstance(value, Mapping):
        owner = next((str(value[k]) for k in _OWNERS if isinstance(value.get(k), str)), made.owner)
        step = "source" in value and "start_s" in value and "label" in value
        told = " ".join(str(value.get(k, "")) for k in ("source", "label", "did")) if step else ""
        inside = replace(made, owner=owner, unit=str(value.get("unit") or made.unit))
        for name, inner in value.items():
            if _OWNED.search(key) and isinstance(inner, int | float):
                yield replace(made, key=key, value=float(inner), owner=str(name))
            elif not (key == "locus" and name == "kind"):
                placed = replace(inside, owner=told) if told and name in _PLACED else inside
                yield from _walk(inner, str(name), placed)
    elif isinstance(value, list | tuple):
        yield from _walk_list(value, key, made)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield replace(made, key=key, value=float(value))
    elif isinstance(value, str):
        yield replace(made, key=key, value=value)


def _walk_list(value: Sequence[Any], key: str, made: Leaf) -> Iterator[Leaf]:
    if key == "box" or (key == "regions" and value and isinstance(value[0], list | tuple)):
        for box in [value] if key == "box" else value:
            yield from (
                replace(made, key=f"box_{edge}", value=float(v)) for edge, v in zip(["x0", "y0", "x1", "y1"], box, strict=False)
            )
        yield replace(made, key="regions_count", value=1.0 if key == "box" else float(len(value)))
        return
    if key == "did":
        for row, second, text in value:
            yield replace(made, key="row", value=float(row), owner=str(text))
            if second is not None:
                yield replace(made, key="did_s", value=float(second), owner=str(text))
            yield replace(made, key="did", value=str(text))
        return
    if value and all(isinstance(inner, list | tuple) and len(inner) == 2 and isinstance(inner[0], str) for inner in value):
        for name, number in value:
            yield replace(made, key=f"{key}_each", value=float(number), owner=str(name))
        yield replace(made, key=f"{key}_count", value=float(len(value)))
        return
    yield replace(made, key=f"{key}_count", value=float(len(value)))
    for inner in value:
        yield from _walk(inner, "row" if key == "rows" else key, made)


def _aliases(facts: Facts) -> Iterator[tuple[str, str, str, frozenset[str]]]:
    """Every name of the evidence as a sentence may write it, what it names, its type and the evidence that has it."""
    for channel in facts.channels:
        have = frozenset(leaf.evidence for leaf in facts.leaves if channel in (leaf.owner, leaf.value))
        spaced = channel.casefold().replace("_", " ")
        for alias in {channel.casefold(), spaced, re.sub(r"\btemp\b", "temperature", spaced)}:
            yield alias, channel, "channel", have
    for entity in facts.entities:
        have = frozenset(leaf.evidence for leaf, text in facts.texts if entity in text or entity in leaf.owner.casefold())
        yield entity, entity, "entity", have
        stem = entity.rsplit(".", 1)[0] if re.search(r"\.(?:exe|com)$", entity) else ""
        if len(stem) >= 3:
            yield stem, entity, "program", have
        for short in {stem[i:] for i in range(1, len(stem) - 3)}:  # Word for winword.exe
            if short in _PRODUCTS and sum(other.rsplit(".", 1)[0].endswith(short) for other in facts.entities) == 1:
                yield short, entity, "program", have
    for item in facts.evidence:
        here = frozenset({item.id})
        stem = item.source.rsplit(".", 1)[0] if re.fullmatch(r"[\w-]{3,}\.\w{2,5}", item.source) else ""
        for name in {item.source, str(getattr(item.locus, "sample", "")), item.tool, stem}:
            if name:
                listed = frozenset(
                    leaf.evidence for leaf, text in facts.texts if text == name.casefold() and leaf.key != "source"
                )
                yield plain(name), name, "source", here | listed
    for leaf, text in facts.texts:
        if leaf.key in ("subject", "object") and re.search(r" \d+$", text):  # "person 1" of a relation log
            yield text, text, "entity", frozenset(other.evidence for other, stated in facts.texts if stated == text)
        if leaf.key == "source" and re.fullmatch(r"[\w-]{3,}\.\w{2,5}", text):
            yield text.rsplit(".", 1)[0], str(leaf.value), "source", frozenset({leaf.evidence})
        if leaf.key in ("flagged_names", "borderline_names", "did", "entities", "operations", "host", "user"):
            yield text, str(leaf.value), "line" if leaf.key == "did" else "source", frozenset({leaf.evidence})
    for leaf in facts.leaves:
        if leaf.owner and leaf.key not in _PLACED:
            yield (
                plain(leaf.owner),
                leaf.owner if not _is_path(leaf.owner) else basename(leaf.owner).casefold(),
                "source" if leaf.key == "operations_each" else "entity" if leaf.key.endswith("_each") else "channel",
                frozenset({leaf.evidence}),
            )


def _is_path(name: str) -> bool:
    return "\\" in name or "/" in name
