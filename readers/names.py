"""What a file is called on the screen: a text to show, never a path to open and never markup.

A name given by a stranger may hold line breaks, terminal escapes, right-to-left overrides (`gpj.exe` shown as `exe.jpg`)
or tags. The shown name keeps what a person needs to recognise the file and drops the rest.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

_BIDI_AND_INVISIBLE = frozenset(
    map(chr, (0x061C, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A)))
)
_HASH = re.compile(r"[0-9a-f]{16,}")
_MARKUP = str.maketrans({"<": "‹", ">": "›"})


def shown_name(raw: str | os.PathLike[str]) -> str:
    r"""Return the base name of `raw` made safe to show: no folders, control characters, bidi overrides or angle brackets.

    >>> shown_name("../../etc/passwd"), shown_name("a\nb<script>.csv"), shown_name("写真😀.png")
    ('passwd', 'ab‹script›.csv', '写真😀.png')
    """
    base = os.fspath(raw).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return _clean(base) or "unnamed"


def shown_text(text: str) -> str:
    """Return a text from inside a file (a key, a group name) made safe to show; slashes stay.

    >>> shown_text("a/b<b>")
    'a/b‹b›'
    """
    return _clean(text) or "unnamed"


def shown_relative(path: Path, folder: Path) -> str:
    """Return `path` relative to `folder` with forward slashes, each part made safe to show.

    >>> shown_relative(Path("/data/set/good/001.png"), Path("/data/set"))
    'good/001.png'
    """
    return "/".join(_clean(part) or "unnamed" for part in path.relative_to(folder).parts)


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Number the repetitions, so that every sample of a source has a name of its own.

    >>> distinct(["a.png", "b.png", "a.png"])
    ('a.png', 'b.png', 'a.png (2)')
    """
    seen: Counter[str] = Counter()
    taken = set(names)
    result = []
    for name in names:
        seen[name] += 1
        label = name
        while seen[name] > 1 and label in taken:
            label = f"{name} ({seen[name]})"
            seen[name] += label in taken
        taken.add(label)
        result.append(label)
    return tuple(result)


def told_apart(names: Sequence[str], paths: Sequence[Path]) -> tuple[str, ...]:
    """Names of files; where several have one name, with as many of their folders as it takes to tell them apart.

    Folders called by a hash (where a web page puts its uploads) tell a person nothing: such names stay as they are.

    >>> told_apart(["1.png", "1.png", "2.png"], [Path("/x/a/1.png"), Path("/x/b/1.png"), Path("/x/b/2.png")])
    ('a/1.png', 'b/1.png', '2.png')
    """
    alike: dict[str, set[Path]] = {}
    for name, path in zip(names, paths, strict=True):
        alike.setdefault(name, set()).add(path.absolute())
    result = []
    for name, path in zip(names, paths, strict=True):
        folders = path.absolute().parent.parts[1:]
        others = [p.parent.parts[1:] for p in alike[name] - {path.absolute()}]
        depth = next((d for d in range(1, len(folders) + 1) if others and all(o[-d:] != folders[-d:] for o in others)), 0)
        kept = folders[len(folders) - depth :] if depth else ()
        readable = not any(_HASH.fullmatch(folder) for folder in kept)
        result.append("/".join([*(_clean(folder) or "unnamed" for folder in kept), name]) if readable else name)
    return tuple(result)


def _clean(part: str) -> str:
    """Drop what must not reach a screen; bytes that are no text become the replacement character."""
    text = part.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    kept = (c for c in text if c not in _BIDI_AND_INVISIBLE and unicodedata.category(c) != "Cc")
    return unicodedata.normalize("NFC", "".join(kept)).translate(_MARKUP).strip()


def listed(names: Sequence[str], most: int = 8) -> str:
    """The first few names, and how many more there are.

    >>> listed(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    shown = ", ".join(repr(n) for n in names[:most])
    return shown + (f" and {len(names) - most:,} more" if len(names) > most else "")
