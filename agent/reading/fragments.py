"""What a message without a verb of asking wants: "severity?", "root cause?", "persistence?", "flow dropped out at some point?".

People who watch screens all day ask in notes. A note is read by its head noun (sections `[bare …]` of `phrases.txt`: a time asks when,
a rate asks how many), and anything else that ends in a question mark asks whether it is so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.question import INTENTS, Intent
from agent.reading.concepts import noun_phrase
from agent.reading.names import Span, blank
from agent.reading.phrases import either, headed, wordlist

_PARTS = re.compile(r",|;| and | then ")
_QUESTION_WORD = re.compile(r"\b(?:when|where|which|who|whose|whom|why|what|how)\b")
_ASKS: dict[str, Intent] = {
    "when": "when", "where": "where", "which": "which", "who": "who", "whose": "who", "whom": "who", "why": "why",
}  # fmt: skip
_REQUEST = re.compile(r"(?:and |but |so )?(?:can|could|will|would) you\b|.*\b(?:what|how) about\b")
MOST_CONCEPT_WORDS = 4
"""A longer note is a sentence ("flow dropped out at some point?") and names no single thing to look for."""


def read_fragment(text: str, spans: Sequence[Span]) -> tuple[Intent, ...]:
    """Intents of a note; `spans` are names and times, which ask nothing by themselves. Empty where nothing is said beside them.

    >>> read_fragment("scrap rate?", ()), read_fragment("persistence?", ()), read_fragment("and tile 4?", [(4, 10)])
    (('how_many',), ('exists',), ())
    """
    left = _left(text, spans)
    parts = [part for part in _PARTS.split(left) if part.strip(" ?.!")]
    heads = [head for part in parts if (head := _head(either("note begins").sub("", part.strip()))) is not None]
    if heads and len(heads) == len(parts):
        return tuple(dict.fromkeys(heads))
    if (asked := _QUESTION_WORD.search(text)) is not None:  # "around when should I start watching?"
        return (_ASKS.get(asked[0], "what"),)
    said = re.findall(r"[^\W\d_]+", left)
    own = [w for w in said if w not in wordlist("says nothing alone") and not _kind_of_thing(w)]
    return ("exists",) if own and text.endswith("?") and not _REQUEST.match(text) else ()


def _head(part: str) -> Intent | None:
    """What the head noun of one part of a note asks for."""
    name = next((name for name, pattern in headed("bare") if pattern.search(part)), None)
    return next((known for known in INTENTS if known == name), None)


def concept_of_fragment(text: str, spans: Sequence[Span]) -> str | None:
    """The thing whose existence a short note asks for, or None for a longer one.

    >>> concept_of_fragment("hairline cracks?", ()), concept_of_fragment("flow dropped out at some point?", [(0, 4)])
    ('hairline cracks', None)
    """
    said = either("note begins").sub("", _left(text, spans)).strip(" ?.!,")
    return noun_phrase(said) if 0 < len(said.split()) <= MOST_CONCEPT_WORDS else None


def _left(text: str, spans: Sequence[Span]) -> str:
    return re.sub(r"\s+", " ", re.sub(r"[^\w\s?.!,'%-]", " ", blank(text, spans))).strip()


def _kind_of_thing(word: str) -> bool:
    """True for "tile", "sensor", "log": what a name is a name of."""
    return any(pattern.fullmatch(word) for pattern in (*(p for _, p in headed("kind")), either("names of kinds")))
