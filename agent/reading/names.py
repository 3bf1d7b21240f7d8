"""How people name things: numbers, ordinals, file names without extension or with typos; the base of the other readers.

People count from 1 and write "tile 4" for `tile_04.jpg`. Every reader returns the character spans it read from, so that "everything
except the temperature" can be turned round and concepts can be read from what is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TypeAlias

from agent.question import Reference, SampleRef
from agent.reading.phrases import either, wordlist

Span: TypeAlias = tuple[int, int]
ORDINALS = {
    "first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4, "fifth": 5, "5th": 5, "sixth": 6,
    "6th": 6, "seventh": 7, "7th": 7, "eighth": 8, "8th": 8, "ninth": 9, "9th": 9, "tenth": 10, "10th": 10, "last": -1, "final": -1,
    "latest": -1, "second to last": -2, "second last": -2, "penultimate": -2, "other": 0,
}  # fmt: skip
"""What an ordinal counts to: from 1, from the end below 0, and 0 for "the other"."""
NUMBERS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "couple of": 2,
}  # fmt: skip
ORDINAL = (
    r"(?:\d{1,4}(?:st|nd|rd|th)|" + "|".join(sorted((k for k in ORDINALS if not k[0].isdigit()), key=len, reverse=True)) + ")"
)
COUNT = r"(?:\d{1,4}|" + "|".join(NUMBERS) + ")"


def ordinal(word: str) -> int:
    """The place an ordinal stands for (see ORDINALS); 0 when it stands for none.

    >>> ordinal("third"), ordinal("21st"), ordinal("last")
    (3, 21, -1)
    """
    return ORDINALS.get(word, int(re.sub(r"\D", "", word) or 0))


def excepted(text: str, spans: Sequence[Span]) -> bool:
    """True when the words before the first of `spans` say "everything except"."""
    return bool(spans) and bool(either("except").search(text[: min(a for a, _ in spans)]))


@dataclass(frozen=True, kw_only=True)
class Named:
    """What was named: the things, the spans they were read from, names that belong to nothing, and notes."""

    samples: tuple[SampleRef, ...] = ()
    sources: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    spans: tuple[Span, ...] = ()
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def runs(name: str) -> tuple[str, ...]:
    """Letters and numbers of a name, zeros and case dropped: "Tile_04" -> ("tile", "4")."""
    return tuple(_number(run) for run in re.findall(r"[^\W\d_]+|\d+", name.lower()))


def stem(name: str) -> str:
    """The last part of a path without its extension."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return re.sub(r"\.[A-Za-z0-9]{1,5}$", "", last)


@lru_cache(maxsize=64)
def _by_first(names: tuple[str, ...]) -> dict[str, list[tuple[tuple[str, ...], str]]]:
    table: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for name in names:
        for key in dict.fromkeys((runs(stem(name)), runs(re.sub(r"\.[A-Za-z0-9]{1,5}$", "", name)))):
            if key:
                table.setdefault(key[0], []).append((key, name))
    return table


def find_names(text: str, names: tuple[str, ...], *, loose: bool) -> list[tuple[str, Span]]:
    """Names that occur in `text`, the longest first at each place; a one-word name needs its extension unless `loose`.

    >>> find_names("is tile 4 ok", ("tile_04.jpg", "tile_05.jpg"), loose=False)
    [('tile_04.jpg', (3, 9))]
    """
    table = _by_first(names)
    tokens = [(_number(m[0]), m.start(), m.end()) for m in re.finditer(r"[^\W\d_]+|\d+", text)]
    found: list[tuple[str, Span]] = []
    at = 0
    while at < len(tokens):
        fits = [
            (key, name) for key, name in table.get(tokens[at][0], ()) if _fits(text, tokens[at : at + len(key)], key, name, loose)
        ]
        length = max((len(key) for key, _ in fits), default=0)
        if fits:
            span = (tokens[at][1], tokens[at + length - 1][2])
            found += [(name, span) for name in dict.fromkeys(name for key, name in fits if len(key) == length)]
        at += max(length, 1)
    return found


def _fits(text: str, window: list[tuple[str, int, int]], key: tuple[str, ...], name: str, loose: bool) -> bool:
    """Whether these words of the text are the name; a single word or number must look like a file name."""
    if tuple(token for token, _, _ in window) != key:
        return False
    if any(not re.fullmatch(r"[ _\-./\\()#]{0,2}", text[a[2] : b[1]]) for a, b in pairwise(window)):
        return False
    a, b = window[0][1], window[-1][2]
    extension = name.rsplit(".", 1)[-1].lower() if "." in name else ""
    if len(key) > 1 or (extension and text[b : b + 1 + len(extension)] == "." + extension):
        return True
    led = bool(re.search(r"\b(?:image|photo|picture|file|sample|called|named|source|in|of)\s+$", text[:a]))
    if key[0].isdigit():
        return led and text[a] == "0" and b - a >= 2
    return key[0] not in wordlist("no file name alone") and (led or (loose and len(key[0]) >= 4))


def _number(token: str) -> str:
    return (token.lstrip("0") or "0") if token.isdigit() else token


def numbers(words: str) -> list[int]:
    """Counts and ranges in words: "1-3 and 5" -> [1, 2, 3, 5]."""
    out: list[int] = []
    for m in re.finditer(rf"(\d{{1,4}}) ?(?:-|to|through) ?(\d{{1,4}})|\b({COUNT})\b", words):
        if m[1]:
            low, high = sorted((int(m[1]), int(m[2])))
            out += range(low, min(high, low + 999) + 1)
        else:
            out.append(NUMBERS.get(m[3], 0) or (int(m[3]) if m[3].isdigit() else 0))
    return out


def closest(typed: str, names: Sequence[str]) -> str | None:
    """The file name that a mistyped one stands for: nearly the same letters and exactly the same numbers."""
    from difflib import get_close_matches

    lowered = {name.replace("\\", "/").rsplit("/", 1)[-1].lower(): name for name in names[:5000]}
    near = get_close_matches(typed, lowered, n=1, cutoff=0.85)
    return lowered[near[0]] if near and re.findall(r"\d+", near[0]) == re.findall(r"\d+", typed) else None


def blank(text: str, spans: Iterable[Span]) -> str:
    """The text with these spans replaced by spaces."""
    for a, b in spans:
        text = text[:a] + " " * (b - a) + text[b:]
    return text
