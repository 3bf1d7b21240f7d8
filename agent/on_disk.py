"""Whether the files of a chat are still as they were when they were read: a follow-up must not pass off old content as new.

A file's state is its size and time of change; a folder's is that of all its files. A state that differs only leads to reading again: what
decides is the content.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from agent.telling.words import name
from readers.names import shown_name

MOST_ENTRIES = 20_000
"""Files of a folder whose state is looked at."""
NAMED = 2
"""Files named in one sentence; of more, their number."""
Fate: TypeAlias = Literal["changed", "gone"]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A path as it was when it was read: its state, and the hash of the content read from it."""

    state: str
    content: str


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A sentence about files that are not what they were."""

    fate: Fate
    names: tuple[str, ...]
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Moves:
    """Paths that are gone, that may have changed, and the states of all that are there."""

    gone: frozenset[str]
    touched: frozenset[str]
    states: Mapping[str, str]


def state_of(path: Path) -> str | None:
    """The state of a file or folder; None when there is none.

    >>> state_of(Path("no such file.csv")) is None
    True
    """
    try:
        if not path.is_dir():
            found = path.stat()
            return f"{found.st_size}:{found.st_mtime_ns}"
        digest, entries = hashlib.sha256(), 0
        for folder, folders, files in os.walk(path):
            folders.sort()
            for file in sorted(files):
                entries += 1
                if entries > MOST_ENTRIES:
                    return digest.hexdigest()
                found = os.stat(os.path.join(folder, file), follow_symlinks=False)
                digest.update(f"{folder}\0{file}\0{found.st_size}\0{found.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()
    except OSError:
        return None


def moves(paths: Iterable[str], seen: Mapping[str, Seen]) -> Moves:
    """Compare paths with how they were seen; paths never seen are neither gone nor touched."""
    found = {path: state_of(Path(path)) for path in dict.fromkeys(paths)}
    return Moves(
        gone=frozenset(path for path, state in found.items() if state is None and path in seen),
        touched=frozenset(path for path, state in found.items() if state is not None and path in seen and seen[path].state != state),
        states={path: state for path, state in found.items() if state is not None},
    )  # fmt: skip


def _which(paths: Iterable[str]) -> tuple[tuple[str, ...], str, bool]:
    """Names of paths, how they are said ("`a.csv`", "`a.csv` and 3 other files"), and whether they are several."""
    names = tuple(dict.fromkeys(shown_name(path) for path in paths))
    if len(names) <= NAMED:
        return names, " and ".join(name(n) for n in names), len(names) > 1
    return names, f"{name(names[0])} and {len(names) - 1} other files", True


def changed(paths: Iterable[str]) -> Notice:
    """That files hold something else now.

    >>> changed(["/data/a.csv"]).sentence
    '`a.csv` has changed on disk since I read it: this answer is about what it holds now, earlier ones about what it held before.'
    """
    names, said, many = _which(paths)
    verb, them = ("have", "they") if many else ("has", "it")
    return Notice(fate="changed", names=names, sentence=(
        f"{said} {verb} changed on disk since I read {'them' if many else 'it'}: this answer is about what {them} hold{'s' * (not many)} "
        f"now, earlier ones about what {them} held before."
    ))  # fmt: skip


def gone(paths: Iterable[str], *, kept: bool, normal: bool) -> Notice:
    """That files are gone, and what an answer can still rest on.

    >>> gone(["/data/a.csv"], kept=True, normal=False).sentence
    '`a.csv` is no longer where it was: what I say of it rests on what I read and found before.'
    >>> gone(["/data/a.jpg", "/data/b.jpg"], kept=False, normal=True).sentence
    '`a.jpg` and `b.jpg` are no longer where they were: I go on without them, so less is known of what is normal.'
    """
    names, said, many = _which(paths)
    are, were, them, they = ("are", "were", "them", "they") if many else ("is", "was", "it", "it")
    rests = f"what I say of {them} rests on what I read and found before"
    if not kept:
        rests = f"I go on without {them}" + (", so less is known of what is normal" if normal else "")
    return Notice(fate="gone", names=names, sentence=f"{said} {are} no longer where {they} {were}: {rests}.")
