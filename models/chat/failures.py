"""What a chat model's failure means for the conversation: a half answer, and the sentence that says who goes on and why."""

from __future__ import annotations

from core.errors import ModelOutputError, TelltaleError

LONGEST = 300
"""Characters of a reason that are shown."""


class BrokenAnswer(ModelOutputError):
    """The answer ended before it was finished; `partial` is the text that had already been passed on.

    >>> BrokenAnswer("the server closed the connection.", partial="The belt is").partial
    'The belt is'
    """

    def __init__(self, message: str, *, partial: str = "") -> None:
        super().__init__(message)
        self.partial = partial


def handover(model: str, error: BaseException, *, to: str = "embedded") -> str:
    """One sentence that says that the tier `to` goes on where `model` failed, and why.

    An error Telltale did not raise on purpose is named by its class only: its text was not written to be shown.

    >>> handover("endpoint:qwen3-vl", ModelOutputError("the model refused to answer."))
    'endpoint:qwen3-vl stopped, so the embedded tier goes on: the model refused to answer.'
    """
    why = one_line(str(error)).rstrip(".") if isinstance(error, TelltaleError) else type(error).__name__
    what = "broke off in the middle of its answer" if getattr(error, "partial", "") else "stopped"
    return f"{model} {what}, so the {to} tier goes on: {why}."


def one_line(text: str, *, longest: int = LONGEST) -> str:
    r"""`text` on one line of at most `longest` characters, without control characters; for words that come from outside.

    >>> one_line("bad\n  gateway\x1b[31m")
    'bad gateway[31m'
    """
    printable = "".join(c if c.isprintable() else " " if c.isspace() else "" for c in text)
    line = " ".join(printable.split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
