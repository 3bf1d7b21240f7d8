"""Which language a question is in, and simple German, French and Spanish questions word by word in English.

One set of rules then serves all. This is no translation: English works best without a language model, and the person is told so.
"""

from __future__ import annotations

import re

from agent.question import Language
from agent.reading.phrases import pairs, replacements, wordlist

MOST_WORDS = 200
_LEXICA: tuple[Language, ...] = ("de", "fr", "es")


def detect_language(text: str) -> Language:
    """Guess the language of lower-case text from its commonest words; "other" when it is mostly in another script.

    >>> [detect_language(t) for t in ("what is wrong?", "was ist kaputt?", "qu'est-ce qui ne va pas?", "¿qué pasa?", "что не так?")]
    ['en', 'de', 'fr', 'es', 'other']
    >>> detect_language("was sensor 3 ok when sensor 4 was not?")
    'en'
    """
    letters = [c for c in text if c.isalpha()]
    if letters and sum(ord(c) > 0x24F for c in letters) > 0.5 * len(letters):
        return "other"
    words = re.findall(r"[^\W\d_]+", text)[:MOST_WORDS]
    said = set(words)  # a word said twice ("sensor 3 with sensor 4") tells no more than once
    alone = dict(pairs("one word")).get(words[0]) if words and len(words) <= 2 else None
    scores: dict[Language, int] = {name: len(said & wordlist(name)) + (name == "es" and "¿" in text) for name in _LEXICA}
    if alone is not None:
        return next(name for name in _LEXICA if name == alone)
    best = max(_LEXICA, key=lambda name: scores[name])
    english = len(said & wordlist("en"))
    return best if scores[best] >= 2 and scores[best] > english and 3 * scores[best] >= len(said) else "en"


def translate(text: str, language: str) -> str:
    """Put the known words of a simple German, French or Spanish question into English, word by word.

    >>> translate("wo ist der kratzer?", "de")
    'where is the scratches?'
    """
    pieces: list[tuple[int, int, str]] = []
    taken = [False] * len(text)
    for pattern, english in replacements(language):
        for match in pattern.finditer(text):
            a, b = match.span()
            if not any(taken[a:b]):
                taken[a:b] = [True] * (b - a)
                pieces.append((a, b, english))
    out, at = [], 0
    for a, b, english in sorted(pieces):
        out += [text[at:a], english]
        at = b
    return "".join([*out, text[at:]])
