"""Things and the places they lie in: "executables in the downloads folder", "svchost.exe outside System32"."""

from __future__ import annotations

import re

from agent.rules.conditions import Who
from agent.rules.event_counts import Left

SEPARATOR = re.compile(r"[\\/]")


LYING = re.compile(
    r"^(?P<what>.+?) (?:that (?:is|lies|runs) |which (?:is|lies|runs) )?(?:running |started |located |lying |stored )?(?:from"
    r"|in|under|inside|out of) (?P<x>.+)$"
)


def in_place(place: Who) -> tuple[str, ...]:
    """The names of everything in a folder."""
    return tuple(n if n.endswith("*") else n.rstrip("\\/") + ("\\*" if "\\" in n else "/*") for n in place.names)


def are_files(who: Who) -> bool:
    """True for kinds of files, which do nothing themselves."""
    return bool(who.names) and all(n.startswith("*.") for n in who.names)


def within_place(what: Who, place: Who, said: str) -> Who | None:
    r"""The names of a thing inside a folder.

    >>> within_place(Who(said="x", names=("a.exe", "*.dll")), Who(said="y", names=(r"*\temp\*",)), "x in y").names
    ('*\\temp\\a.exe', '*\\temp\\*\\a.exe', '*\\temp\\*.dll')
    """
    if what.besides or place.besides or not all(SEPARATOR.search(n) for n in place.names):
        return None
    if any(SEPARATOR.search(n) for n in what.names):
        return None
    names = [
        p[:-1] + form for p in in_place(place) for n in what.names
        for form in ((n,) if n.startswith("*") else (n, f"*{p[-2]}{n}"))
    ]  # fmt: skip
    return Who(said=said[:200], names=tuple(names)[:200])


def joined(files: Who, place: Who | None, left: Left) -> Who:
    """Files, inside a place where one is named."""
    if place is None:
        return files
    if not place.names and not files.besides:
        return Who(said=f"{files.said} {place.said}", names=files.names, besides=place.besides)
    both = within_place(files, place, f"{files.said} in {place.said}")
    if both is None:
        left.missed.append(place.said)
        return files
    return both
