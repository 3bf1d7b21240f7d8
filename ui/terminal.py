"""How a turn looks in a terminal: steps on stderr (one line that updates on a tty, plain lines elsewhere), the answer on stdout."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable
from typing import TextIO

from agent.reply import Progress, Reply, StepDone, StepStarted, TurnEvent
from core.evidence import SEVERITY_NAMES

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def follow(events: Iterable[TurnEvent], *, stream: TextIO | None = None) -> Reply | None:
    """Show steps and progress on `stream` (default stderr) and return the reply."""
    out = stream or sys.stderr
    live = out.isatty()
    reply: Reply | None = None
    titles: dict[str, str] = {}
    for event in events:
        if isinstance(event, StepStarted):
            titles[event.key] = event.title
            _passing(out, live, event.title)
        elif isinstance(event, Progress):
            done = f"{event.done:,}" + (f"/{event.total:,}" if event.total else "")
            _passing(out, live, f"{titles.get(event.key, '')} · {done} {event.what}")
        elif isinstance(event, StepDone):
            detail = f" · {event.detail}" if event.detail else ""
            _lasting(out, live, f"{'✓' if event.ok else '✕'} {event.title} ({event.seconds:.1f} s){detail}")
        elif isinstance(event, Reply):
            reply = event
    if live:
        out.write("\r\x1b[2K")
        out.flush()
    return reply


def print_progress(what: str, done: int, total: int) -> None:
    """Progress of a single tool on stderr; silent unless it is a tty."""
    _passing(sys.stderr, sys.stderr.isatty(), f"{done:,}/{total:,} {what}" if total else f"{done:,} {what}")


def print_passing(line: str) -> None:
    """One line on stderr that the next one replaces; silent unless it is a tty."""
    _passing(sys.stderr, sys.stderr.isatty(), line)


def clear_progress() -> None:
    """Remove the passing line."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[2K")


def answer_text(reply: Reply) -> str:
    """The answer for a terminal: verdict line, then the text; file content can send no terminal escapes."""
    worst = max(reply.anomalies, key=lambda a: (a.severity, a.severity_score), default=None)
    head = ""
    if worst is not None:
        count = len(reply.anomalies)
        head = (
            f"{SEVERITY_NAMES[worst.severity].upper()} {worst.severity_score:.0f}/100 · {count} finding{'s' * (count != 1)}\n\n"
        )
    clips = [f"\n\n{panel.caption}: {panel.path}" for panel in reply.panels if panel.kind == "clip"]
    return head + plain(reply.answer + "".join(clips))


def plain(text: str) -> str:
    r"""Text without control characters (line breaks and tabs stay).

    >>> plain("a\x1b[31mb")
    'a[31mb'
    """
    return _CONTROL.sub("", text)


def _passing(out: TextIO, live: bool, line: str) -> None:
    if live:
        width = shutil.get_terminal_size().columns
        out.write(f"\r\x1b[2K{plain(line)[: width - 1]}")
        out.flush()


def _lasting(out: TextIO, live: bool, line: str) -> None:
    out.write(("\r\x1b[2K" if live else "") + plain(line).replace("\n", " ") + "\n")
    out.flush()
