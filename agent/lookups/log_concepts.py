"""What people ask an event log about (logins, registry changes, data sent out …) as operations and texts that tell of it.

Which words of a question mean which concept stands in `agent/reading/phrases.txt`, sections `[log concept …]`; here stands what a
row must show. A row tells of a concept by its act (`tools.events.wording.Deed`), by its object, or by its text. `levels` are tried
in order and the first that any row shows decides, so that one failed login that leaves three lines is counted once.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.reading.phrases import headed
from agent.reading.tidy import words_of
from core.samples import EventLog
from tools.events.wording import SECRETS, Deed, is_text, reads_memory, sure_deed

if TYPE_CHECKING:
    import polars as pl

Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Level:
    """Rows that show a concept: by act, by a pattern of the object, or by a pattern of operation and detail."""

    deeds: frozenset[Deed] = frozenset()
    thing: str = ""
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Concept:
    """One thing people ask about; `said` completes "rows tell of …", `near` is a concept worth telling where this one is missing."""

    said: str
    levels: tuple[Level, ...]
    near: str = ""
    outside: bool = False
    """Only rows whose object lies outside the private networks count."""
    limit: str = ""
    """What such rows do not prove."""


def _acts(*deeds: Deed, thing: str = "", text: str = "") -> Level:
    return Level(deeds=frozenset(deeds), thing=thing, text=text)


_OUTSIDE = "connections to addresses outside the private networks"
_REGISTRY = r"(?i)^\\?(HKLM|HKCU|HKU|HKCR|HKEY_|\\?REGISTRY\\)"
_FAILED = (
    Level(text=r"(?i)failed (password|publickey|log-?in|log-?on) ?|\blogon fail|\blogin fail|an account failed to log on"),
    Level(
        deeds=frozenset({"login_failed"}), text=r"(?i)authentication fail|invalid user|incorrect password|access denied for user"
    ),
)
CONCEPTS: Mapping[str, Concept] = {
    "brute": Concept(said="failed logins", levels=_FAILED),
    "failed": Concept(said="failed logins", levels=_FAILED),
    "login": Concept(said="successful logins", levels=(
        Level(text=r"(?i)\baccepted (password|publickey|keyboard-interactive|gssapi)|successfully logged on|log-?(in|on) success"),
        _acts("login", text=r"(?i)session opened for user"),
    )),
    "task": Concept(said="scheduled tasks being made", near="persistence", levels=(_acts(
        "task", thing=r"(?i)\\System32\\Tasks\\|\\Schedule\\TaskCache\\|^/etc/cron|^/var/spool/cron",
        text=r"(?i)schtasks(\.exe)?\W.*/create|Register-ScheduledTask|\bcrontab\b",
    ),)),
    "persistence": Concept(said="something arranged to start by itself", levels=(_acts(
        "task", "service",
        thing=r"(?i)\\CurrentVersion\\Run(Once)?\\|\\Start Menu\\Programs\\Startup\\|\\Winlogon\\(Shell|Userinit)"
        r"|Image File Execution Options|\\System32\\Tasks\\|\\Schedule\\TaskCache\\|\\Services\\[^\\]+\\ImagePath"
        r"|^/etc/(cron|systemd|init\.d|rc)|/\.ssh/authorized_keys",
        text=r"(?i)schtasks(\.exe)?\W.*/create|Register-ScheduledTask|\bcrontab\b|\bsc(\.exe)? create|New-Service",
    ),)),
    "registry": Concept(said="registry changes", levels=(_acts("registry_set", "registry_key", "registry_delete", thing=_REGISTRY),)),
    "service": Concept(said="services being installed", near="persistence", levels=(_acts(
        "service", thing=r"(?i)\\Services\\[^\\]+\\(ImagePath|ServiceDll)$",
        text=r"(?i)\bsc(\.exe)? create|New-Service|service was installed",
    ),)),
    "credentials": Concept(said="reaching for log-on secrets", levels=(_acts(
        "tamper", thing=r"(?i)\\(SAM|SECURITY|ntds\.dit)$|^/etc/shadow|\.dmp$",
        text=r"(?i)comsvcs.*MiniDump|sekurlsa|mimikatz|procdump.*lsass|reg(\.exe)? save.*(sam|security)",
    ),)),
    "privilege": Concept(said="higher rights being used or gained", levels=(Level(
        text=r"(?i)\bsudo\b|\bsu\[|\bsu:|for user root\b|special privileges|localgroup administrators|\brunas\b|SeDebugPrivilege|fodhelper",
    ),), limit="A jump in rights can also leave no line of its own."),
    "exfiltration": Concept(said=_OUTSIDE, outside=True, near="network", levels=(_acts("connect"),),
                            limit="The log tells who was connected to, not how much or what was sent."),
    "network": Concept(said="network connections", levels=(_acts("connect", "accept"), Level(
        text=r"(?i)\bconnection (from|to|closed|reset|refused)|\bdisconnect|\bconnect(ed|ing) (to|from)\b",
    ))),
    "internet": Concept(said=_OUTSIDE, outside=True, near="network", levels=(_acts("connect"),)),
    "lateral": Concept(said="reaching into other computers by file shares, remote desktop or remote commands", levels=(Level(
        thing=r"(?i):(445|3389|5985|5986)$|^\\\\[^\\]+\\(admin|c|ipc)\$",
        text=r"(?i)\bpsexec|\bwmic\b.*/node:|-ComputerName\b|\bwinrs\b|\\\\[^\\ ]+\\(admin|c|ipc)\$",
    ),)),
    "dns": Concept(said="names being looked up", levels=(_acts("resolve"),)),
    "delete": Concept(said="deletions", levels=(_acts("delete", "registry_delete"),)),
    "inject": Concept(said="code being put into other processes", levels=(_acts("inject", "tamper"),)),
    "write": Concept(said="files being written", levels=(_acts("write", "stream", "rename"),)),
    "read": Concept(said="files being read", levels=(_acts("read"),)),
    "start": Concept(said="processes being started", levels=(_acts("start"),)),
}  # fmt: skip
_SELDOM_ALONE = frozenset({"start", "write", "read", "delete", "network"})
"""Everyday words: another concept in the same question says better what is meant."""


def asked_concepts(question: str) -> tuple[str, ...]:
    """The concepts that a question names, in the order of the table.

    >>> asked_concepts("was there a scheduled task created?"), asked_concepts("did it talk to the internet?")
    (('task',), ('internet',))
    """
    words = words_of(question)
    found = [name for name, pattern in headed("log concept") if pattern.search(words)]
    if "brute" in found or "failed" in found:
        found = [name for name in found if name not in ("login", "failed" if "brute" in found else "")]
    special = [name for name in found if name not in _SELDOM_ALONE]
    if found == ["network"] and re.search(r"\binternet\b|\boutside\b|\bexternal\b", words):
        return ("internet",)
    return tuple(special or found)


def concept_words(name: str, question: str) -> str:
    """The words of a question that mean a concept, which are no names of processes ("Registry" is one) then.

    >>> concept_words("registry", "any registry changes?")
    'registry'
    """
    if name == "internet":
        return "internet"
    pattern = dict(headed("log concept")).get(name)
    return " ".join(m[0] for m in pattern.finditer(words_of(question))) if pattern is not None else ""


def rows_of(name: str, log: EventLog) -> Mask:
    """Mask (N,) of the rows that show a concept."""
    concept = CONCEPTS[name]
    found = np.zeros(log.table.height, np.bool_)
    for level in concept.levels:
        found = _shows(level, log.table)
        if found.any():
            break
    if name == "credentials":
        found |= _memory_read(log.table)
    return found & outside(log.table) if concept.outside else found


def texts(table: pl.DataFrame, column: str) -> pl.Series:
    """A column as text, empty where missing."""
    import polars as pl

    if column not in table.columns:
        return pl.Series(column, [""] * table.height, dtype=pl.String)
    return table[column].cast(pl.String).fill_null("")


def acts_of(table: pl.DataFrame, deeds: frozenset[Deed]) -> Mask:
    """Mask of the rows whose act certainly is one of `deeds`."""
    operation, thing = texts(table, "operation"), texts(table, "object")
    named = [o for o in operation.unique().to_list() if not is_text(o, "x") and sure_deed(o, "x") in deeds]
    written = [o for o in operation.unique().to_list() if is_text(o) and sure_deed(o) in deeds]
    free = operation.is_in(written) & (thing == "")
    return np.asarray((operation.is_in(named) | free).to_numpy(), np.bool_)


def _shows(level: Level, table: pl.DataFrame) -> Mask:
    found = acts_of(table, level.deeds) if level.deeds else np.zeros(table.height, np.bool_)
    if level.thing:
        found |= texts(table, "object").str.contains(level.thing).to_numpy()
    if level.text:
        said = texts(table, "operation").str.contains(level.text) | texts(table, "detail").str.contains(level.text)
        found |= said.to_numpy()
    return found


def _memory_read(table: pl.DataFrame) -> Mask:
    """Rows in which a process got the right to read the memory of a program that holds log-on secrets."""
    detail = texts(table, "detail")
    able = [mask for mask in detail.unique().to_list() if reads_memory(mask)]
    there = acts_of(table, frozenset({"access"})) & texts(table, "object").str.contains(SECRETS).to_numpy()
    return np.asarray(there & detail.is_in(able).to_numpy(), np.bool_)


_ADDRESS = re.compile(
    r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\.\d)|(?<![\w:])(?:[0-9a-fA-F]{0,4}:){3,7}[0-9a-fA-F]{0,4}(?![\w:])"
)
_INSIDE = tuple(
    ipaddress.ip_network(net)
    for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "0.0.0.0/8", "224.0.0.0/4",
                "255.255.255.255/32", "::/127", "fe80::/10", "fc00::/7", "ff00::/8")
)  # fmt: skip


def addresses_in(text: str) -> list[str]:
    """The network addresses in a text, without ports, in order.

    >>> addresses_in("203.0.113.66:8443"), addresses_in("Failed password from 10.0.0.5 port 22"), addresses_in("v1.2.3")
    (['203.0.113.66'], ['10.0.0.5'], [])
    """
    found = []
    for match in _ADDRESS.finditer(text):
        try:
            found.append(str(ipaddress.ip_address(match[0])))
        except ValueError:
            continue
    return found


def is_outside(address: str) -> bool:
    """True for an address beyond the private, local and group ranges.

    >>> is_outside("203.0.113.66"), is_outside("10.0.0.5")
    (True, False)
    """
    parsed = ipaddress.ip_address(address)
    return not any(parsed in net for net in _INSIDE if net.version == parsed.version)


def outside(table: pl.DataFrame) -> Mask:
    """Mask of the rows whose object is, or names, an outside address; what is no address at all counts as outside too."""
    thing = texts(table, "object")
    far = {o for o in thing.unique().to_list() if o and all(is_outside(a) for a in addresses_in(o))}
    return np.asarray(thing.is_in(list(far)).to_numpy(), np.bool_)
