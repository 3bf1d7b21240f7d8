"""What a step did, in plain words: `started`, `wrote`, `connected to`, `opened the memory of` and so on.

Operations of Sysmon, auditd, EDR exports and hand-made logs are recognised by their words; an unknown one is shown as it
is. Text from files is data: control characters are removed, long values shortened, values that are not paths quoted.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Literal, TypeAlias

Deed: TypeAlias = Literal[
    "start", "inject", "tamper", "access", "exit", "write", "delete", "load", "rename", "stream", "touch", "block", "read",
    "connect", "accept", "resolve", "registry_set", "registry_key", "registry_delete", "pipe_create", "pipe_connect",
    "login", "login_failed", "logout", "service", "task", "driver", "other",
]  # fmt: skip

_RULES: tuple[tuple[str, Deed], ...] = (
    # the order matters: the first rule whose words all occur wins; sysmon's names come in many spellings
    (r"(remote ?thread|inject|thread (create|hollow))", "inject"),
    (r"(tamper|hollow)", "tamper"),
    (r"(raw ?(access ?)?read|rawaccess)", "read"),
    (r"driver", "driver"),
    (r"(image|module|library|dll|so).{0,3}load|load (image|module|library|dll)", "load"),
    (r"(stream ?hash|create stream|alternate data)", "stream"),
    (r"(block|deny|denied)", "block"),
    (r"(set file time|file ?creat\w* time|timestomp|utime|touch)", "touch"),
    (r"pipe (connect|open)|connect pipe", "pipe_connect"),
    (r"pipe", "pipe_create"),
    (r"(reg\w* (delete|remove)|delete (reg\w*|value|key))", "registry_delete"),
    (r"(reg\w* (value ?)?(set|write|modif\w*)|set ?value)", "registry_set"),
    (r"(reg\w*( |$)|registry)", "registry_key"),
    (r"(access process|process ?access|open process|ptrace)", "access"),
    (r"(exit|terminat|process (end|stop))", "exit"),
    (r"(fail\w* (log ?(i|o)n|password|auth)|(log ?(i|o)n|auth\w*) fail|invalid (user|password))", "login_failed"),
    (r"(log ?off|log ?out|session closed)", "logout"),
    (r"(log ?on|log ?in|session opened|accepted (password|publickey)|authenticat)", "login"),
    (r"(service (create|install|start)|(create|install) service)", "service"),
    (r"(task (create|register)|(create|register) task|schtask)", "task"),
    (r"(dns|resolve)", "resolve"),
    (r"(accept|listen|bind|inbound|recv|receive)", "accept"),
    (r"(connect|network|send( ?to)?$|outbound|sendmsg)", "connect"),
    (r"(delete|unlink|remove|rmdir)", "delete"),
    (r"rename|^mv$|move file", "rename"),
    (r"(create process|process ?creat|process start|start process|spawn|fork|clone|exec(ve)?( |$)|execut|launch|^start(ed|s)?$)", "start"),
    (r"(exe written|executable detected|create file|file ?creat|write|written|drop file|file modif|save)", "write"),
    (r"(read|open)", "read"),
)  # fmt: skip

_VERBS: dict[Deed, str] = {
    "start": "started", "inject": "injected code into", "tamper": "tampered with", "access": "opened the process",
    "exit": "ended", "write": "wrote", "delete": "deleted", "load": "loaded", "rename": "renamed",
    "stream": "attached a data stream to", "touch": "changed the time stamps of", "block": "was blocked from using",
    "read": "read", "connect": "connected to", "accept": "accepted a connection from", "resolve": "looked up the name",
    "registry_set": "changed the registry value", "registry_key": "changed the registry key",
    "registry_delete": "deleted from the registry", "pipe_create": "created the named pipe",
    "pipe_connect": "connected to the named pipe", "login": "logged in to", "login_failed": "failed to log in to",
    "logout": "logged out of", "service": "installed the service", "task": "scheduled the task", "driver": "loaded the driver",
    "other": "",
}  # fmt: skip

LINKING: frozenset[Deed] = frozenset({"start", "inject"})
"""Deeds by which one process makes or takes over another."""

SECRETS = r"(?i)(^|[\\/])(lsass|lsaiso)\.exe$"
"""Programs that keep log-on secrets in their memory, by path."""


@lru_cache(maxsize=4096)
def deed(operation: str) -> Deed:
    """Return what kind of act an operation's name means; "other" when its words are unknown.

    >>> [deed(o) for o in ("create_process", "ProcessCreate", "reg_set", "NetworkConnect", "frobnicate")]
    ['start', 'start', 'registry_set', 'connect', 'other']
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", operation)
    words = re.sub(r"[\W_]+", " ", words).strip().lower()
    return next((kind for pattern, kind in _RULES if re.search(rf"(?:^|\b){pattern}", words)), "other")


def clean(text: str, limit: int = 90) -> str:
    r"""Return `text` from a file made safe to show: one line, no control or invisible characters, middle cut at `limit`.

    >>> clean("a\x1b[31m\nb")
    'a [31m b'
    """
    # cut first: a log line may be megabytes long
    head = text if len(text) <= 8 * limit else text[: 4 * limit] + text[-4 * limit :]
    line = "".join(" " if unicodedata.category(c)[0] == "C" or unicodedata.category(c) in ("Zl", "Zp") else c for c in head)
    line = " ".join(line.split())
    if len(line) <= limit:
        return line
    keep = limit - 1
    return line[: keep // 3] + "…" + line[-(keep - keep // 3) :]


def short_name(image: str) -> str:
    r"""Return the file name of a program path, cleaned; the whole text when it is not a path.

    >>> short_name(r"C:\Windows\System32\cmd.exe")
    'cmd.exe'
    """
    text = image.strip().rstrip("\\/")
    return clean(re.split(r"[\\/]", text)[-1] or text, 60) or "(nothing)"


def step(operation: str, subject: str, thing: str, detail: str = "", object_type: str = "") -> str:
    r"""Return one event as a sentence without full stop.

    >>> step("create_process", r"C:\tmp\payload.exe", r"C:\Windows\System32\cmd.exe", "cmd.exe /c whoami")
    'payload.exe started cmd.exe with the command line "cmd.exe /c whoami"'
    >>> step("access_process", "a.exe", r"C:\Windows\system32\lsass.exe", "0x1010")
    'a.exe opened the memory of lsass.exe (which holds log-on secrets) with access 0x1010'
    >>> step("frobnicate", "bob", "the printer")
    'bob did "frobnicate" to "the printer"'
    """
    kind = deed(operation)
    who = short_name(subject) if subject.strip() else "someone"
    extra = clean(detail, 120)
    if kind == "access":
        name = short_name(thing)
        if re.search(SECRETS, thing.strip()):
            verb, name = "opened the memory of", f"{name} (which holds log-on secrets)"
        else:
            verb = _VERBS[kind]
        return f"{who} {verb} {name}" + (f" with access {extra}" if extra.strip("- ") else "")
    if kind in ("start", "inject", "tamper", "exit"):
        if kind == "exit" and short_name(thing).lower() == who.lower():
            return f"{who} ended"
        said = f"{who} {_VERBS[kind]} {short_name(thing)}"
        telling = kind == "start" and extra and extra.strip('"').lower() not in (thing.lower(), clean(thing, 120).lower())
        return f'{said} with the command line "{extra}"' if telling else said
    if kind == "other":
        said = f'{who} did "{clean(operation, 60)}"'
        return f'{said} to "{clean(thing)}"' if thing.strip() else said
    return f"{who} {_VERBS[kind]} {_named(thing, kind, object_type)}"


def _named(thing: str, kind: Deed, object_type: str) -> str:
    text = clean(thing)
    if not text:
        return "something not named" if not object_type else f"a {clean(object_type, 30)}"
    plain = re.fullmatch(r"[\w.:\-\[\]%<]+", text) is not None and kind in ("connect", "accept", "resolve")
    return text if plain else f'"{text}"'
