"""Asks a vision-language model how bad a finding is: a level in words with a reason, from the picture and, if there are, normal ones.

The detector decides whether something is abnormal; the judge only says how bad, and `agent.severity.grade` orders findings of one
level by what was measured. After the few-shot judges of MAD-Bench (Cao et al. 2024, arXiv 2411.14515: three normal pictures, worded
bands, consequence before size), but asked for one of four words, because models give few round numbers anyway.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agent.severity import Judgement
from core.errors import ModelOutputError
from core.evidence import SEVERITY_NAMES
from prompts.loader import render

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

MOST_REFERENCES = 3
LONGEST_REASON = 120
LONGEST_ANSWER = 2_000
"""Characters read of an answer that should have two lines."""
Written = Callable[[int], None]
_LEVEL = re.compile(r"^\W*severity\W+(none|minor|serious|critical|[0-3](?!\d))", re.IGNORECASE | re.MULTILINE)
_REASON = re.compile(r"^\W*reason\W+(.+)$", re.IGNORECASE | re.MULTILINE)


def judge_severity(
    model: BaseChatModel, picture: NDArray[np.uint8], *, what: str, judge: str, references: Sequence[NDArray[np.uint8]] = (),
    written: Written = lambda n: None,
) -> Judgement:  # fmt: skip
    """Ask `model` about a picture (H, W, 3) uint8 RGB of a finding called `what`; `judge` is how the model is named in the reason.

    `references` are normal pictures for comparison, of which the first three are shown. `written` hears how many characters the model
    has written, and may raise to stop it.

    Raises:
        ModelOutputError: the model names no level; grade without a judge then.
        BadInput: a picture is not (H, W, 3) uint8.
    """
    from langchain_core.messages import HumanMessage

    from models.chat.messages import picture_block

    shown = references[:MOST_REFERENCES]
    asked = render("judge_severity", references=len(shown), what=" ".join(what.replace("«", "'").replace("»", "'").split()))
    blocks = [*(picture_block(pixels) for pixels in (*shown, picture)), {"type": "text", "text": asked}]
    answer = ""
    for chunk in model.stream([HumanMessage(content=blocks)]):  # type: ignore[arg-type]
        answer += str(chunk.text)
        written(len(answer))
        if len(answer) > LONGEST_ANSWER:
            break
    return read_judgement(answer, judge=judge)


def read_judgement(text: str, *, judge: str) -> Judgement:
    r"""Read a judge's answer.

    A reason with a digit in it is left out: what a model believes to see was not measured, and must not pass for a fact.

    Raises:
        ModelOutputError: no level is named.

    >>> read_judgement("Severity: **Serious**\nReason: the rim is chipped.", judge="the judge")
    Judgement(level=2, reason='the rim is chipped', judge='the judge')
    """
    found = _LEVEL.search(text)
    if found is None:
        raise ModelOutputError(
            f"{judge}: expected 'Severity: none, minor, serious or critical', got {' '.join(text.split())!r:.80}."
        )
    word = found[1].lower()
    level = int(word) if word.isdigit() else SEVERITY_NAMES.index(word)
    said = _REASON.search(text)
    reason = re.sub(r"[\[\]()`*_«»]", "", " ".join(said[1].split())).rstrip(" .") if said else ""
    return Judgement(level=level, reason="" if re.search(r"\d", reason) else reason[:LONGEST_REASON], judge=judge)
