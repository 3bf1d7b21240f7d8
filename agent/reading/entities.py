"""Names of an event log that stand literally in a question: processes, users, addresses, paths."""

from __future__ import annotations

import re
from collections.abc import Iterable

from agent.question import SourceInfo
from agent.reading.names import Named, Span, blank
from agent.reading.phrases import either, headed, literals, wordlist
from agent.reading.tidy import is_word, one_edit

MOST_FOR_TYPOS = 5000
"""Larger logs are only searched for exact names."""
_MOST_PER_WORD = 20
_MOST_BY_PART = 3
"""A word that more names bear calls none of them."""
_FILE = re.compile(r"\.\w{2,5}$")
_LITERAL = re.compile(
    r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b|[a-z]:\\[^\s\"']+|(?<!\w)/(?:[\w.-]+/)+[\w.-]*"
    r"|\b[\w-]+\.(?:exe|dll|sys|ps1|bat|cmd|vbs|sh|py|service|scr|dmp|bin|tmp|zip|7z|rar|docx?|docm|xlsx?|xlsm|pdf|js|hta|lnk|iso|dat)\b|\b[\w-]+\\[\w.-]+\b"
)
_KINDS = frozenset({"services", "connections", "logins", "tasks", "users", "accounts", "drivers"})
"""Words for kinds of things, though a program may bear them: services.exe is meant by "services.exe" or "the services process"."""
_REGISTRY = re.compile(r"HK[A-Z_]+\\")
_NUMBERED = re.compile(r"\b(?:pid|process|port|id|user|uid) $")


def find_entities(text: str, source: SourceInfo, *, original: str = "") -> Named:
    r"""Names of a log in `text`, longest first; `original` keeps the capitals ("SYSTEM" is a user, "system" a word).

    >>> from agent.question import EntityIndex
    >>> log = SourceInfo(name="l", kind="events", entities=EntityIndex.of(["powershell.exe", "bob smith", "10.0.0.5"]))
    >>> find_entities("what did powershell and bob smith do with 10.0.0.5?", log).entities
    ('powershell.exe', 'bob smith', '10.0.0.5')
    >>> log = SourceInfo(name="l", kind="events", entities=EntityIndex.of([r"HKLM\System\Autologger\Start"]))
    >>> find_entities("how did it start?", log).entities
    ()
    """
    index = source.entities
    if not len(index):
        return Named()
    tokens = [m.span() for m in re.finditer(r"[^\s,;?!\"'()]+", text)]
    found: list[str] = []
    spans: list[Span] = []
    unknown: list[str] = []
    notes: list[str] = []
    at = 0
    while at < len(tokens):
        for length in (3, 2, 1):
            window = tokens[at : at + length]
            names = _names(text, window[0][0], window[-1][1], source, original) if len(window) == length else ()
            if names:
                found += names[:_MOST_PER_WORD]
                spans.append((window[0][0], window[-1][1]))
                break
        at += length if names else 1
    for m in _LITERAL.finditer(blank(text, spans)):
        with_port = _with_ports(m[0], index.keys())
        if with_port:
            found += [name for key in with_port for name in index.find(key)]
            spans.append(m.span())
            continue
        near = _near(m[0], index.keys()) if len(index) <= MOST_FOR_TYPOS else None
        if near is None:
            unknown.append(m[0])
            notes.append(f"{m[0]!r} does not occur in {source.name}.")
        else:
            found += index.find(near)
            spans.append(m.span())
            notes.append(f"I read {m[0]!r} as {index.find(near)[0]}.")
    if len(index) <= MOST_FOR_TYPOS:
        for m in re.finditer(r"(?<![\w./\\-])[a-z]\w{4,}(?![\w/\\@-]|\.\w)", blank(text, spans)):
            spoken = m[0] in literals() or is_word(m[0]) or any(p.search(m[0]) for _, p in headed("log concept"))
            near = None if spoken else _near(m[0], index.keys())
            if near is not None:  # "svucpd"
                found += index.find(near)
                spans.append(m.span())
                notes.append(f"I read {m[0]!r} as {index.find(near)[0]}.")
    if not found and not unknown and len(index) <= MOST_FOR_TYPOS:
        _by_part(text, source, found, spans, notes)
    return Named(entities=tuple(dict.fromkeys(found)), spans=tuple(spans), unknown=tuple(unknown), notes=tuple(notes))


def _by_part(text: str, source: SourceInfo, found: list[str], spans: list[Span], notes: list[str]) -> None:
    """Files called by a word of their names: "who opened the invoice?" means Invoice_4471.docm."""
    if not either("deeds to a file").search(text):
        return
    for m in re.finditer(r"\b(?:the|that|this|an?) ((?!\d)\w{5,40})\b", text):
        if m[1] in wordlist("no name in a log") or either("names of kinds").fullmatch(m[1]):
            continue
        files = filter(_FILE.search, source.entities.keys())
        called = (key for key in files if m[1] in re.split(r"[\W_\d]+", re.split(r"[/\\]", key)[-1]))
        names = list(dict.fromkeys(name for key in called for name in source.entities.find(key)))
        if 0 < len(names) <= _MOST_BY_PART:
            found += names
            spans.append(m.span(1))
            notes.append(f"I read {m[1]!r} as {names[0]}.")


def _names(text: str, a: int, b: int, source: SourceInfo, original: str) -> tuple[str, ...]:
    """Names behind text[a:b], none for common words and bare numbers."""
    typed = re.sub(r"'s$", "", text[a:b].strip(".:'"))
    if typed in wordlist("no name in a log") and not (
        typed == "system" and ("SYSTEM" in original or re.search(r"\b(?:user|account|as) $", text[max(0, a - 12) : a]))
    ):
        return ()
    if (
        typed in _KINDS
        and not re.match(r"(?:\.exe)?\s+process\b", text[b:])
        and not re.search(r"\bprocess $", text[max(0, a - 12) : a])
    ):
        return ()
    if typed.isdigit() and not _NUMBERED.search(text[max(0, a - 12) : a]):
        return ()
    found = source.entities.find(typed)
    if (
        found and is_word(typed) and all(_REGISTRY.match(name) for name in found)
    ):  # "how did it start?" means no value called Start
        return ()
    return found or (source.entities.find(typed[:-1]) if len(typed) > 4 and typed.endswith("s") else ())


def _with_ports(typed: str, keys: Iterable[str]) -> list[str]:
    """The keys that are the typed address with some port: a log names 203.0.113.66:443 where a person says 203.0.113.66."""
    if not re.fullmatch(r"\d{1,3}(?:\.\d{1,3}){3}", typed):
        return []
    return sorted(key for key in keys if key.startswith(typed + ":"))[:_MOST_PER_WORD]


def _near(typed: str, keys: Iterable[str]) -> str | None:
    if re.fullmatch(r"[\d.:]+", typed):
        return None  # another address is another machine, never a typo
    return next((key for key in sorted(keys) if len(key) >= 5 and key[0] == typed[0] and one_edit(typed, key)), None)
