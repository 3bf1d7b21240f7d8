"""What a chat model's failure means for the conversation: a half answer, and the reason that can be shown."""

from __future__ import annotations

import logging
import re

from core.errors import BudgetExceeded, ModelOutputError, TelltaleError

log = logging.getLogger(__name__)
LONGEST = 300
"""Characters of a reason that are shown."""
_END = re.compile(r"(?<!\d)[.!?](?=\s|$)|[.!?](?=\s)")
"""The end of a sentence; "at 3." at the very end may be half a number."""


class BrokenAnswer(ModelOutputError):
    """The answer ended before it was finished; `partial` is the text that had already been passed on.

    >>> BrokenAnswer("the server closed the connection.", partial="The belt is").partial
    'The belt is'
    """

    def __init__(self, message: str, *, partial: str = "") -> None:
        super().__init__(message)
        self.partial = partial


class AnswerCutOff(BudgetExceeded):
    """The time or the tokens ran out; `partial` is what was written until then.

    >>> AnswerCutOff("stopped after 60 s.", partial="The belt").partial
    'The belt'
    """

    def __init__(self, message: str, *, partial: str = "") -> None:
        super().__init__(message)
        self.partial = partial


def finished(text: str) -> str:
    """The sentences of a half answer that were written to their end.

    >>> finished("The belt slips [E2]. It starts at 3."), finished("The belt")
    ('The belt slips [E2].', '')
    """
    ends = [found.end() for found in _END.finditer(text)]
    return text[: ends[-1]] if ends else ""


def reason(error: BaseException) -> str:
    """Why a model failed, as the end of a sentence; an error Telltale did not raise on purpose may hold anything and is only named.

    >>> reason(ModelOutputError("the model refused to answer."))
    'the model refused to answer'
    """
    if isinstance(error, TelltaleError):
        return " ".join(str(error).split()).rstrip(".")
    log.error("the model failed", exc_info=error)
    return f"it failed with {type(error).__name__}"


def one_line(text: str, *, longest: int = LONGEST) -> str:
    r"""`text` on one line of at most `longest` characters, without control characters; for words that come from outside.

    >>> one_line("bad\n  gateway\x1b[31m")
    'bad gateway[31m'
    """
    printable = "".join(c if c.isprintable() else " " if c.isspace() else "" for c in text)
    line = " ".join(printable.split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
