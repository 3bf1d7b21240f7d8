"""Words for programs and files in a log ("a document viewer", "PowerShell", "executables") as names, by an editable table.

The table is `programs.txt` beside this module; a file of that name in TELLTALE_HOME adds groups or replaces them. A phrase that
is in no title is compared with the titles by sentence similarity, when an `embed` is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path, PureWindowsPath

import numpy as np
from numpy.typing import NDArray

from agent.rules.conditions import Who
from agent.rules.words import word_set
from core.settings import home

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
NEAR = 0.62
"""Sentence similarity from which a phrase means a group of the table."""
_GENERIC = re.compile(
    r"(?:(?:any|every|each|all|some|a|an|the|no|new|another|other|unknown|one|single|same|random)\s+)*(?:process(?:es)?"
        r"|programs?|applications?|apps?|things?|anything|something|"
    r"anybody|anyone|somebody|someone|it|files?|users?|people|person|machine|computer|host|system|data|address(?:es)?"
        r"|connections?|outside|objects?|"
    r"(?:file|registry|network)(?: (?:operations?|activity|access(?:es)?|events?|traffic|keys?|values?|entry|entries|connections?))?)?"
)  # fmt: skip
_NAME = re.compile(r"[\w$.*?-]+\.[a-z0-9*]{1,8}|\S*[\\/]\S*|(?:\d{1,3}\.){3}[\d*]{1,3}(?::\d+)?|\*\S*|\S*\*")
_ENDING = re.compile(
    r"\*?\.(?P<x>[a-z][a-z0-9]{0,7})(?: (?:files?|extension|executables?))?|(?P<y>zip|js|sys|log|sh) files?"
    r"|(?P<z>exe|dll|dmp|ps1|vbs|bat|iso|lnk|hta|jar|msi)s?(?: files?)?"
)
_JOINED = re.compile(
    r"\b(?:with|without|from|in|to|of|on|at|that|which|not|no|by|for|but|outside|under|and|or|than|more|like"
    r"|using)\b|\d"
)
"""Words between two things: a phrase with them says more than the title it is near to."""
_ARTICLE = re.compile(r"^(?:(?:the|a|an|any|every|each|some|all|this|that|its|my|our|new)\s+)+")
_TRAILING = re.compile(
    r"\s+(?:process(?:es)?|programs?|applications?|executable|binary|service|'s memory|memory|process memory)$"
)


def is_generic(phrase: str) -> bool:
    """True when a phrase names nobody in particular.

    >>> is_generic("any process"), is_generic("the pump"), is_generic("a file")
    (True, False, True)
    """
    return _GENERIC.fullmatch(phrase.strip()) is not None or _GENERIC.fullmatch(f"{phrase.strip()} ") is not None


def who_is(phrase: str, *, known: Callable[[str], Sequence[str]] | None = None, embed: Embed | None = None) -> Who | None:
    r"""What a phrase stands for: a literal name, a group of the table, or a name that `known` (typed -> names of the logs) finds.

    >>> who_is("a PDF reader").names[:2], who_is("wmiprvse.exe").names, who_is("purple haze") is None
    (('acrobat.exe', 'acrord32.exe'), ('wmiprvse.exe',), True)
    """
    said = _ARTICLE.sub("", phrase.strip().strip("\"'“”«»").lower()).strip(" ,").rstrip(".")
    if not said:
        return None
    table = groups()
    short = _TRAILING.sub("", said) or said
    for form in (said, said.removesuffix("s"), short, short.removesuffix("s")):
        if form in table:
            return Who(said=said, names=table[form])
    if (ending := _ENDING.fullmatch(said)) is not None:
        return Who(said=said, names=(f"*.{ending['x'] or ending['y'] or ending['z']}",))
    said = short
    if _NAME.fullmatch(said):
        return Who(said=said, names=(said,))
    folder = re.fullmatch(
        r"(?:folder |directory )?([\w$.-]{2,40}) (?:folder|directory|dir)s?|(?:folder|directory) ([\w$.-]{2,40})", said
    )
    if folder is not None:
        name = folder[1] or folder[2]
        return Who(said=said, names=(rf"*\{name}\*", f"*/{name}/*"))
    single = re.fullmatch(r"[\w$.-]{2,40}", said)
    if single and (known is not None and known(said)):
        return Who(said=said, names=(said,))
    if single and said in _stems():
        return Who(said=said, names=(said,))
    if embed is not None and not _JOINED.search(said):
        titles = list(table)
        near = embed(titles) @ embed([said])[0]
        best = int(near.argmax())
        if near[best] >= NEAR:
            return Who(said=said, names=table[titles[best]])
    return None


def groups() -> dict[str, tuple[str, ...]]:
    """Title word -> names, of the packaged table and the person's own."""
    own = home() / "programs.txt"
    stamp = own.stat().st_mtime_ns if own.is_file() else 0
    return _groups(str(own), stamp)


@lru_cache(maxsize=4)
def _groups(own: str, stamp: int) -> dict[str, tuple[str, ...]]:
    texts = [files("agent.rules").joinpath("programs.txt").read_text("utf-8")]
    if stamp:
        texts.append(Path(own).read_text("utf-8", errors="replace")[:200_000])
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        titles: list[str] = []
        for line in text.splitlines():
            line = line.strip().lower()
            if line.startswith("[") and line.endswith("]"):
                titles = [t.strip() for t in line[1:-1].split("|") if t.strip()]
                found.update(dict.fromkeys(titles, ()))
            elif line and not line.startswith("#"):
                for title in titles:
                    found[title] = (*found[title], *line.split())[:200]
    return {title: names for title, names in found.items() if names}


@lru_cache(maxsize=1)
def _stems() -> frozenset[str]:
    """Programs known by name: those of the table, and those of nearly every machine."""
    names = {PureWindowsPath(n).stem.rstrip("*") for names in groups().values() for n in names if not n.startswith(("*", "/"))}
    return frozenset(names) | _EVERYWHERE


_EVERYWHERE = word_set(
    """
    lsass svchost services explorer wininit winlogon csrss smss spoolsv taskhostw dllhost conhost wmiprvse rundll32 regsvr32 netsh net
    whoami systeminfo schtasks reg sc wmic psexec mimikatz procdump notepad calc sshd cron systemd ssh scp wget curl sudo su nc ncat
    regedit regini taskmgr mmc nmap tasklist ipconfig nltest vssadmin wbadmin bcdedit tiworker msiexec wevtutil
    """
)
"""Programs of nearly every Windows or Linux machine, by name."""
_ORDINARY = word_set(
    """
    at brave calc code excel net node office opera reg ruby sc server services su tar word zip
    """
)
"""Names of programs that are ordinary words, too."""


def is_program(word: str) -> bool:
    """True for the name of a well-known program that is no ordinary word.

    >>> is_program("winword"), is_program("services"), is_program("helmet")
    (True, False, False)
    """
    return word in _stems() and word not in _ORDINARY and len(word) > 2


def pattern_of(names: Sequence[str]) -> str:
    r"""One regular expression (Rust syntax, for whole lower-case values) for names: full, or the last part with or without extension.

    >>> import re
    >>> p = pattern_of(["lsass", "*.ps1", "10.0.0.5"])
    >>> [bool(re.search(p, v)) for v in (r"c:\windows\lsass.exe", "x.ps1", "10.0.0.5:443", "lsassy.exe", "110.0.0.5")]
    [True, True, True, False, False]
    """
    parts = []
    for name in names:
        body = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in name.lower())
        if "\\" in name or "/" in name:
            parts.append(rf"^{body}([\\/].*)?$")  # a folder stands for what lies in it
        else:
            extension = "" if re.search(r"\.[a-z0-9*]{1,8}$", name.lower()) and not name[-1].isdigit() else r"(\.[a-z0-9]{1,8})?"
            parts.append(rf"(^|[\\/]){body}{extension}(:\d+)?$")
    return "|".join(f"(?:{p})" for p in parts)
