"""The phrase tables of the question parser, read from `phrases.txt`, `lexicon.txt` and `wordlists.txt` and compiled once.

A table of what people write is data: one idea per line, in sections, with `<name>` standing for a word list of the section
[words]. Patterns are compiled at the first question (about a tenth of a second), not at import.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files


@lru_cache(maxsize=4)
def _sections(table: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(section, lines) of a table file, in order; a section name may come more than once."""
    found: list[tuple[str, list[str]]] = []
    for line in files("agent.reading").joinpath(table).read_text("utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            found.append((line[1:-1], []))
        elif line.strip() and not line.startswith("#"):
            found[-1][1].append(line)
    return tuple((name, tuple(lines)) for name, lines in found)


@lru_cache(maxsize=1)
def _words() -> dict[str, str]:
    lines = next(lines for name, lines in _sections("phrases.txt") if name == "words")
    words: dict[str, str] = {}
    for line in lines:
        name, _, pattern = line.partition(" = ")
        words[name] = _expand(pattern, words)
    return words


def _expand(pattern: str, words: dict[str, str]) -> str:
    return re.sub(r"(?<!\(\?)(?<!\(\?P)<(\w+)>", lambda m: words[m[1]], pattern)


def word(name: str) -> str:
    """The regular expression behind `<name>`."""
    return _words()[name]


@lru_cache(maxsize=1)
def literals() -> frozenset[str]:
    """Every run of at least four letters in the tables of phrases: the words, and parts of words, that rules look for.

    >>> {"which", "compare"} <= literals()
    True
    """
    text = "\n".join(line for _, lines in _sections("phrases.txt") for line in lines)
    return frozenset(re.findall(r"(?<![\\a-z])[a-z]{4,}", re.sub(r"\\[a-zA-Z]", " ", text)))


@lru_cache(maxsize=64)
def each(section: str) -> tuple[re.Pattern[str], ...]:
    """The lines of a section, each compiled on its own, in order.

    >>> any(p.search("top 3 worst") for p in each("limit"))
    True
    """
    lines = [line for name, lines in _sections("phrases.txt") if name == section for line in lines]
    return tuple(re.compile(_expand(line, _words())) for line in lines)


@lru_cache(maxsize=64)
def either(section: str) -> re.Pattern[str]:
    """All lines of a section as one pattern; earlier lines are tried first.

    >>> bool(either("more").search("please be stricter"))
    True
    """
    lines = [line for name, lines in _sections("phrases.txt") if name == section for line in lines]
    return re.compile("|".join(f"(?:{_expand(line, _words())})" for line in lines))


@lru_cache(maxsize=8)
def headed(head: str) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """(rest of the title, pattern) of every section whose title starts with `head`, in order.

    >>> headed("intent")[0][0]
    'reset'
    """
    titles = [name for name, _ in _sections("phrases.txt") if name.startswith(head + " ")]
    if head == "define":  # lines of the same title differ in rank
        rows = [(name, line) for name, lines in _sections("phrases.txt") if name in titles for line in lines]
        return tuple((name[len(head) + 1 :], re.compile(_expand(line, _words()))) for name, line in rows)
    return tuple((name[len(head) + 1 :], either(name)) for name in dict.fromkeys(titles))


@lru_cache(maxsize=16)
def pairs(section: str) -> tuple[tuple[str, str], ...]:
    """(left, right) of the lines "left = right" of a section of `lexicon.txt`.

    >>> dict(pairs("typos"))["waht"]
    'what'
    """
    rows = [line.rpartition(" = ") for name, lines in _sections("lexicon.txt") if name == section for line in lines]
    return tuple((left, right) for left, _, right in rows)


@lru_cache(maxsize=8)
def replacements(section: str, *, whole_words: bool = True) -> tuple[tuple[re.Pattern[str], str], ...]:
    """The pairs of a section with their left side compiled."""
    around = r"(?<!\w)(?:{})(?!\w)" if whole_words else "{}"
    return tuple((re.compile(around.replace("{}", left)), right) for left, right in pairs(section))


@lru_cache(maxsize=16)
def wordlist(section: str) -> frozenset[str]:
    """The words of a section of `wordlists.txt`.

    >>> "which" in wordlist("mend")
    True
    """
    return frozenset(w for name, lines in _sections("wordlists.txt") if name == section for line in lines for w in line.split())
