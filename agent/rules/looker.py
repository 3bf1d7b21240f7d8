"""A chat model that sees as a `Looker`: it is shown a picture and statements, and says which one fits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import ModelOutputError
from prompts.loader import render


class Chat(Protocol):
    """What a looker needs of a chat model: an answer, with its `text`, to messages."""

    def invoke(self, messages: Any, /) -> Any:
        """The answer to a list of messages."""
        ...


class ChatLooker:
    """A chat model that takes pictures, asked which of some texts fits: 1 in the column of its choice, 0 elsewhere.

    Raises:
        ModelOutputError: the answer holds no number of a statement.
    """

    def __init__(self, model: Chat) -> None:
        self.model = model

    def __call__(self, pictures: Sequence[NDArray[np.uint8]], texts: Sequence[str]) -> NDArray[np.float32]:
        """Scores (N, P) of N pictures (H, W, 3) uint8 and P texts."""
        from models.chat.messages import picture_block

        question: dict[str, Any] = {"type": "text", "text": question_of(texts)}
        out = np.zeros((len(pictures), len(texts)), np.float32)
        for row, picture in enumerate(pictures):
            answer = self.model.invoke([{"role": "user", "content": [picture_block(picture), question]}]).text
            out[row, chosen(answer, len(texts))] = 1.0
        return out


def question_of(texts: Sequence[str]) -> str:
    """The whole question about one picture."""
    return render("which_fits", statements=[" ".join(text.replace("«", "<").replace("»", ">").split()) for text in texts])


def chosen(answer: str, count: int) -> int:
    """The index of the statement that an answer names, the first number that can be one.

    >>> chosen("Number 2 fits.", 3)
    1
    """
    numbers = [int(found) for found in re.findall(r"\d+", answer) if 1 <= int(found) <= count]
    if not numbers:
        raise ModelOutputError(f"expected the number of one of {count} statements, got {answer[:80]!r}.")
    return numbers[0] - 1
