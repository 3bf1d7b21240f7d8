"""What a step did, in plain words: `started`, `wrote`, `connected to`, `opened the memory of` and so on.

Operations of Sysmon, auditd, EDR exports and hand-made logs are recognised by their words; an unknown one is shown as it
is, and so is a whole line of free text, in which single words prove nothing. Text from files is data: control characters are
removed, long values shortened, values that are not paths quoted.
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

FULL = 400
"""Characters of a value that are kept where it is stored rather than shown."""

_TEXTS: tuple[tuple[str, Deed], ...] = (
    (r"(?i)\bfailed (?:password|none|publickey|keyboard-interactive\S*) for\b|\bauthentication fail(?:ure|ed)\b"
     r"|^(?:input_userauth_request: )?invalid user\b|\bcheck pass; user unknown", "login_failed"),
    (r"(?i)^accepted (?:password|publickey|keyboard-interactive\S*|gssapi\S*) for\b|\bsession opened for user\b"
     r"|^anonymous ftp login from\b", "login"),
    (r"(?i)\bsession closed for user\b", "logout"),
)  # fmt: skip
"""What a line of free text must say for an act to be certain."""
_MOST_WORDS, _MOST_WORDS_ALONE = 6, 3
VM_READ = 0x10
"""The bit of a granted access by which the memory of a process may be read (PROCESS_VM_READ of Windows)."""

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


def is_text(operation: str, thing: str = "") -> bool:
    """True when an operation is a line of free text (a log template) and not the name of an act.

    >>> is_text("Received disconnect from <*>: <*>: Bye Bye [preauth]"), is_text("Registry value set", "HKLM")
    (True, False)
    """
    words = len(operation.split())
    return "<*>" in operation or words > _MOST_WORDS or (not thing.strip() and words > _MOST_WORDS_ALONE)


def sure_deed(operation: str, thing: str = "", detail: str = "") -> Deed:
    """The act that an event certainly is; of free text only what a fixed phrase says, else "other".

    >>> sure_deed("error: Received disconnect from <*>: <*>: No more user authentication methods available. [preauth]")
    'other'
    >>> sure_deed("Accepted password for <*> from <*> port <*> ssh2"), sure_deed("connect", "10.0.0.5:80")
    ('login', 'connect')
    """
    if not is_text(operation, thing):
        return deed(operation)
    said = detail.strip() or operation
    return next((kind for pattern, kind in _TEXTS if re.search(pattern, said) or re.search(pattern, operation)), "other")


def reads_memory(detail: str) -> bool | None:
    """Whether a granted access lets the opener read the memory; None when `detail` is no access mask.

    >>> [reads_memory(mask) for mask in ("0x1010", "0x1400", "no mask")]
    [True, False, None]
    """
    mask = re.fullmatch(r"\s*0x([0-9a-fA-F]{1,16})\s*", detail)
    return None if mask is None else bool(int(mask[1], 16) & VM_READ)


def step(operation: str, subject: str, thing: str, detail: str = "", object_type: str = "", *, limit: int = 90) -> str:
    r"""Return one event as a sentence without full stop; values longer than `limit` are cut in the middle.

    >>> step("create_process", r"C:\tmp\payload.exe", r"C:\Windows\System32\cmd.exe", "cmd.exe /c whoami")
    'payload.exe started cmd.exe with the command line "cmd.exe /c whoami"'
    >>> step("access_process", "a.exe", r"C:\Windows\system32\lsass.exe", "0x1010")
    'a.exe opened the memory of lsass.exe (which holds log-on secrets) with access 0x1010'
    >>> step("access_process", "a.exe", r"C:\Windows\system32\lsass.exe", "0x1400")
    'a.exe opened the process lsass.exe with access 0x1400, not enough to read its memory'
    >>> step("frobnicate", "bob", "the printer")
    'bob did "frobnicate" to "the printer"'
    """
    who = short_name(subject) if subject.strip() else "someone"
    if is_text(operation, thing):
        return f'{who} reported "{clean(detail.strip() or operation, limit + 30)}"'
    kind = deed(operation)
    extra = clean(detail, limit + 30)
    if kind == "access":
        return _opened(who, thing, extra)
    if kind in ("start", "inject", "tamper", "exit"):
        if kind == "exit" and short_name(thing).lower() == who.lower():
            return f"{who} ended"
        said = f"{who} {_VERBS[kind]} {short_name(thing)}"
        telling = kind == "start" and extra and extra.strip('"').lower() not in (thing.lower(), clean(thing, limit + 30).lower())
        return f'{said} with the command line "{clean(_command(detail), limit + 30)}"' if telling else said
    if kind == "other":
        said = f'{who} did "{clean(operation, 60)}"'
        return f'{said} to "{clean(thing, limit)}"' if thing.strip() else said
    return f"{who} {_verb(kind, operation)} {_named(thing, kind, object_type, limit)}"


def _opened(who: str, thing: str, mask: str) -> str:
    """One process opening another; its memory was within reach only when the granted access says so."""
    name, given = short_name(thing), mask.strip("- ")
    if re.search(SECRETS, thing.strip()):
        able = reads_memory(mask)
        if able is False:
            return f"{who} opened the process {name} with access {mask}, not enough to read its memory"
        if able is None:
            right = f"access {mask}" if given else "the log gives no access rights"
            return f"{who} may have opened the memory of {name} (which holds log-on secrets; {right})"
        return f"{who} opened the memory of {name} (which holds log-on secrets) with access {mask}"
    return f"{who} {_VERBS['access']} {name}" + (f" with access {mask}" if given else "")


def _command(detail: str) -> str:
    r"""A command line whose program is named without its folder, so that the arguments are seen.

    >>> _command(r'"C:\Program Files\Office\WINWORD.EXE" /n "C:\a.docm"')
    'WINWORD.EXE /n "C:\\a.docm"'
    """
    quoted = re.match(r'\s*"([^"]{1,500})"(?=\s|$)', detail) or re.match(r"\s*([^\s\"]{1,500})(?=\s|$)", detail)
    if quoted is None or not re.search(r"[\\/]", quoted[1]):
        return detail
    return short_name(quoted[1]) + detail[quoted.end() :]


_NARROWER: tuple[tuple[Deed, str, str], ...] = (
    ("accept", r"recv|receive", "received data from"), ("accept", r"listen|bind", "listened on"),
    ("connect", r"send", "sent data to"), ("read", r"^(?!.*read).*open", "opened"),
)  # fmt: skip


def _verb(kind: Deed, operation: str) -> str:
    """The verb of a deed, narrower where the operation's own name is."""
    return next((verb for k, words, verb in _NARROWER if k == kind and re.search(words, operation.lower())), _VERBS[kind])


def _named(thing: str, kind: Deed, object_type: str, limit: int) -> str:
    text = clean(thing, limit)
    if not text:
        return "something not named" if not object_type else f"a {clean(object_type, 30)}"
    plain = re.fullmatch(r"[\w.:\-\[\]%<]+", text) is not None and kind in ("connect", "accept", "resolve")
    return text if plain else f'"{text}"'
