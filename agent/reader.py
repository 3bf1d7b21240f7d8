"""What a message asks, and what answers it, as the packaged reader hears it (`models.question_reader`).

The rules of `agent.intents` know names, times and set phrases; how people word a wish they cannot list. Of 650 questions that nobody
had seen the rules read 64 % as they were meant, intent and way together; of 1,340 left out while fitting, the readers read 90 %. So
they say what is asked and what answers it, and the rules what is named. Fitted by `python -m benchmarks.reading --write`; their weights
lie beside this module.

A way is what answers: "finding" (what the detectors found), a look-up by its name without `lookup_`, "rule" (the rule book), "none".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.question import INTENTS, Intent

WEIGHTS = ("reader_0.npz", "reader_1.npz")
COMMAND = "*"
"""Stands among the intents for a command to the rule book."""
LOOKUPS: dict[str, tuple[str, ...]] = {
    "video": ("time", "comparison", "people", "concept", "type", "colour", "facts", "untold"),
    "image": ("type", "concept", "pair", "colour", "untold"),
    "series": ("channel", "channels", "time", "comparison", "crossing", "extreme", "facts", "fine", "total", "still", "type", "concept"),
    "events": ("search", "events", "count"),
}  # fmt: skip
"""Look-ups of each kind of file."""
TOGETHER = "timeline"
WAYS: tuple[str, ...] = ("finding", "rule", "none", TOGETHER, *sorted({way for ways in LOOKUPS.values() for way in ways}))
DETECTORS = ("frame_novelty", "musc", "window_pca", "rarity")
TALK: frozenset[str] = frozenset(("unsupported", "help", "greeting", "export", "undo", "reset"))
RULES: frozenset[str] = frozenset(("define_rule", COMMAND))
BESIDE = 0.25
"""Least probability of an intent of the rules that stands against, or beside, the likeliest."""
TOGETHER_LIKELY, EACH_LIKELY = 0.5, 0.12
"""Several intents of the rules stand when they are as likely together, and each as likely, as this."""
SURE_OF_TALK = 0.6
"""Least probability that no file answers a message, for it to be talk and nothing else."""
HARDLY, HARDLY_OF_MANY = 0.1, 0.02
"""Least probability of an intent of the rules beside the one heard; of three and more ("when, where and how bad?") less is asked."""
_SAID = {"video": "video", "image": "photos", "points": "photos", "series": "series", "events": "log"}
_MOST_CHARS, _MOST_BEFORE = 600, 110
"""Characters read of a message, and of the one before it: none that was learned from is longer."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The likeliest intent and way that go together, and all probabilities."""

    intent: str
    way: str
    intents: Mapping[str, float]
    ways: Mapping[str, float]


def way_of(tool: str) -> str:
    """The way that a tool's name stands for.

    >>> way_of("lookup_time"), way_of("window_pca"), way_of("rule")
    ('time', 'finding', 'rule')
    """
    return "finding" if tool in DETECTORS else "people" if tool == "lookup_motion" else tool.removeprefix("lookup_").strip()


def message(text: str, kinds: Iterable[str], before: str = "") -> tuple[str, str]:
    """What the reader is given: the kind of files in the chat with the message, and the message before it.

    >>> message("When?", ["video"], "What is wrong?")
    ('video : when?', 'what is wrong?')
    """
    known = list(dict.fromkeys(kinds))
    where = "nothing" if not known else _SAID.get(known[0], "log") if len(known) == 1 else "several"
    return f"{where} : {' '.join(text.lower().split())[:_MOST_CHARS]}", " ".join(before.lower().split())[:_MOST_BEFORE]


def possible_ways(kinds: Iterable[str]) -> frozenset[str]:
    """Ways that a chat with these kinds of files has.

    >>> "channel" in possible_ways(["video"])
    False
    """
    known = set(kinds)
    looked = {way for kind in known for way in LOOKUPS.get(kind, ())}
    return frozenset(("finding", "rule", "none", *looked, *((TOGETHER,) if len(known) > 1 else ())))


def reading_of(heads: Mapping[str, Mapping[str, float]], kinds: Iterable[str]) -> Reading:
    """The likeliest pair of intent and way that a chat with such files has and that go together.

    Rules are answered by the rule book and talk by nothing; nothing else is.
    """
    intents, possible = heads["intents"], possible_ways(kinds)
    ways = {way: p for way, p in heads["ways"].items() if way in possible}

    def fits(intent: str, way: str) -> bool:
        if way == "rule":
            return intent in RULES or intent in ("undo", "reset")
        if way == "none":
            return intent in TALK
        return intent not in RULES and intent not in ("export", "greeting", "undo", "reset", "help", "unsupported")

    _, intent, way = max((p * q, i, w) for i, p in intents.items() for w, q in ways.items() if fits(i, w))
    return Reading(intent=intent, way=way, intents=intents, ways=ways)


def read(text: str, kinds: Iterable[str], before: str = "") -> Reading:
    """What a message asks and what answers it."""
    from models.question_reader import packaged

    known = tuple(kinds)
    return reading_of(packaged("agent", WEIGHTS).read(*message(text, known, before)), known)


def known_intents(reading: Reading, read_by_rules: Sequence[Intent]) -> tuple[Intent, ...]:
    """The intents of the rules where they are likely enough too, else the one heard with those of the rules that are.

    Several that the rules read, each by a word of its own, stand where the likeliest is one of them: what is heard is one wish.

    A message heard to need no file (thanks, help, what lies outside) wants nothing else, whatever word stands in it.

    >>> heard = Reading(intent="which", way="finding", intents={"which": 0.6, "where": 0.3, "why": 0.1}, ways={})
    >>> known_intents(heard, ("where",)), known_intents(heard, ("why",)), known_intents(heard, ("which", "why"))
    (('where',), ('which',), ('which', 'why'))
    """
    if reading.way == "none" and reading.intent in TALK and reading.ways.get("none", 0.0) >= SURE_OF_TALK:
        return tuple(intent for intent in INTENTS if intent == reading.intent)
    if len(read_by_rules) > 1 and reading.intent in read_by_rules:
        least = HARDLY if len(read_by_rules) == 2 else HARDLY_OF_MANY
        return tuple(i for i in read_by_rules if i == reading.intent or reading.intents.get(i, 0.0) >= least)
    likely = [reading.intents.get(intent, 0.0) for intent in read_by_rules]
    if (len(likely) == 1 and likely[0] >= BESIDE) or (
        len(likely) > 1 and sum(likely) >= TOGETHER_LIKELY and min(likely) >= EACH_LIKELY
    ):
        return tuple(read_by_rules)
    heard = [intent for intent in INTENTS if intent == reading.intent]
    return (*heard, *(i for i, p in zip(read_by_rules, likely, strict=True) if i not in heard and p >= BESIDE))
